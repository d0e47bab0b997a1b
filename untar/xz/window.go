package xz

import (
	"fmt"
	"syscall"
)

const (
	// windowSlack bytes follow the ring. A match that begins in the ring may end there,
	// and copies of 16 bytes at a time reach a little further.
	windowSlack = 512

	// ringExtra is how many bytes longer the ring is than the dictionary. A copy of 16
	// bytes at a time may write too far; it then overwrites only bytes that are older than
	// any distance reaches.
	ringExtra = 4096
)

// A window holds the output of a decoder, which is also the dictionary that matches refer
// to. It is a ring of size bytes or, if all of a block fits, the block's whole content.
// The output is returned as slices of the window; there is no other copy.
//
// The memory is mapped, not allocated. The kernel adds pages as they are written, so a huge
// dictionary with little content needs little memory; the garbage collector does not count
// the memory; and a lack of address space is an error instead of the end of the process.
type window struct {
	mem     []byte // the mapping
	buf     []byte // size + windowSlack bytes of mem
	size    int    // a multiple of 16: LZMA uses the low four bits of pos, which wrap must keep
	dict    uint32 // distances are less than dict, and reach only bytes that were written
	pos     int    // where the next byte goes
	taken   int    // the bytes before taken were returned by take
	wrapped bool   // the ring was full at least once
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

// rebase empties the dictionary of a window that holds a whole block and keeps the bytes in
// memory: the window begins after them and is shorter by their number.
func (w *window) rebase() {
	w.buf, w.size = w.buf[w.pos:], w.size-w.pos
	w.restart()
}

// restart empties the window; its memory stays.
func (w *window) restart() {
	w.pos, w.taken, w.wrapped = 0, 0, false
}

// free unmaps the window's memory.
func (w *window) free() {
	unmap(&w.mem)
	*w = window{}
}

// last returns the byte before pos, or 0 if the window is empty.
func (w *window) last() byte {
	switch {
	case w.pos > 0:
		return w.buf[w.pos-1]
	case w.wrapped:
		return w.buf[w.size-1]
	}
	return 0
}

// take returns the bytes written since the last call. They are valid until more is written.
func (w *window) take() []byte {
	p := w.buf[w.taken:w.pos]
	w.taken = w.pos
	return p
}

// wrap moves pos to the beginning of the ring if it has reached the end. The caller has
// taken all bytes. Bytes in the slack move to the beginning, too.
func (w *window) wrap() {
	if w.pos >= w.size {
		n := copy(w.buf, w.buf[w.size:w.pos])
		w.pos, w.taken, w.wrapped = n, n, true
	}
}

// mapAtLeast makes the mapping mem at least size bytes long. If mem was shorter, its content
// is lost.
func mapAtLeast(mem *[]byte, size int) error {
	if len(*mem) >= size {
		return nil
	}
	unmap(mem)
	m, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return fmt.Errorf("mapping %d bytes of memory: %w", size, err)
	}
	*mem = m
	return nil
}

// hugePage is the size of a huge page on most machines, in bytes, and a multiple of every
// size of page.
const hugePage = 2 << 20

// giveBack gives the pages of mem between *given and end, which nobody will read again, back
// to the kernel, in pieces of hugePage bytes, and moves *given. They read as zero later.
func giveBack(mem []byte, given *int, end int) {
	end &^= hugePage - 1
	if end <= *given {
		return
	}
	// An error is of no importance: the memory stays in use.
	syscall.Madvise(mem[*given:end], syscall.MADV_DONTNEED)
	*given = end
}

// unmap frees a mapping and sets mem to nil.
func unmap(mem *[]byte) {
	if *mem != nil {
		syscall.Munmap(*mem) // can't fail for a mapping of ours
		*mem = nil
	}
}
