package xz

import (
	"fmt"
	"syscall"
)

const (
	// windowSlack follows the ring: a match that begins in the ring ends
	// there, and copies of 16 bytes at a time reach a little further.
	windowSlack = 512

	// ringExtra is how much longer the ring is than the dictionary. What a
	// wide copy writes too much destroys only bytes that no distance reaches.
	ringExtra = 4096
)

// A window is the output of a decoder and the dictionary that matches refer to:
// a ring of size bytes, or, where all of a block fits, its whole output. It is
// handed out as slices, there is no other copy of the data.
//
// The memory is mapped rather than allocated: pages come to be as they are
// written, so that a huge dictionary over little content costs little; the
// garbage collector's pace does not depend on it; and if there is no such
// address space, that is an error instead of a crash.
type window struct {
	mem     []byte // all of the mapping
	buf     []byte // size + windowSlack bytes of it
	size    int    // a multiple of 16, so that pos keeps its low bits
	dict    uint32 // distances are below this, and below what was written
	pos     int    // where the next byte goes
	taken   int    // bytes before this were handed out
	wrapped bool   // the ring was full once
}

// reserve makes the window at least size bytes long.
func (w *window) reserve(size int) error {
	size = max((size+15)&^15, 16)
	if err := mapAtLeast(&w.mem, size+windowSlack); err != nil {
		return err
	}
	w.buf, w.size = w.mem, size
	w.restart()
	return nil
}

// rebase empties a window that holds a whole block, without losing what was
// written. The window is then shorter by that.
func (w *window) rebase() {
	w.buf, w.size = w.buf[w.pos:], w.size-w.pos
	w.restart()
}

// restart empties the window.
func (w *window) restart() {
	w.pos, w.taken, w.wrapped = 0, 0, false
}

func (w *window) free() {
	unmap(&w.mem)
	*w = window{}
}

// last is the byte before pos; 0 in an empty window.
func (w *window) last() byte {
	switch {
	case w.pos > 0:
		return w.buf[w.pos-1]
	case w.wrapped:
		return w.buf[w.size-1]
	}
	return 0
}

// take returns what was written since the last call. It is valid until the
// window is written to.
func (w *window) take() []byte {
	p := w.buf[w.taken:w.pos]
	w.taken = w.pos
	return p
}

// wrap goes on at the ring's begin when its end is reached. All was taken.
func (w *window) wrap() {
	if w.pos >= w.size {
		n := copy(w.buf, w.buf[w.size:w.pos])
		w.pos, w.taken, w.wrapped = n, n, true
	}
}

// mapAtLeast makes mem at least size bytes long; what it held is lost when it
// was shorter.
func mapAtLeast(mem *[]byte, size int) error {
	if len(*mem) >= size {
		return nil
	}
	unmap(mem)
	m, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return fmt.Errorf("no memory for %d bytes: %w", size, err)
	}
	*mem = m
	return nil
}

func unmap(mem *[]byte) {
	if *mem != nil {
		syscall.Munmap(*mem) // can't fail for a mapping of ours
		*mem = nil
	}
}
