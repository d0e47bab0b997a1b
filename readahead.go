package main

import (
	"errors"
	"io"

	"lxc-pull/untar"
	"lxc-pull/untar/xz"
)

// ownMemory is what a creation takes besides the decoder's dictionary and
// blocks, in bytes: the program itself, TLS, the garbage collector's room, the
// buffers below. 13 MiB were measured, a third of it pages of the program's file
// that the kernel may drop.
const ownMemory = 12 << 20

// decoding is what --memory leaves to the decoder: it bounds the whole program.
func (o *options) decoding() untar.DecompressOptions {
	how := untar.DecompressOptions{Strict: true} // an image with garbage behind it is damaged
	if o.memory > 0 {
		how.Memory = max(o.memory-ownMemory, 1)
	}
	return how
}

// wholeMemory makes of a decoder that wants more memory a program that does.
func (o *options) wholeMemory(err error) error {
	var short *xz.MemoryError
	if o.memory > 0 && errors.As(err, &short) && short.Needed > 0 {
		return &xz.MemoryError{Needed: short.Needed + ownMemory, Allowed: o.memory}
	}
	return err
}

// The buffers between two stages: enough for one to run on while the other
// waits for a disk or the network, little enough for a router.
const (
	aheadBuffers = 8
	aheadSize    = 64 << 10
)

// A readAhead reads from another reader in a goroutine of its own, a bounded
// number of buffers ahead, so that stages run side by side.
type readAhead struct {
	full  chan []byte // filled, in order
	empty chan []byte // to be filled
	done  chan struct{}
	err   error // after full is closed: what the reader ended with

	rest    []byte // of the buffer being read
	current []byte // that buffer
}

// newReadAhead begins to read r. Close it before r.
func newReadAhead(r io.Reader) *readAhead {
	a := &readAhead{
		full:  make(chan []byte, aheadBuffers),
		empty: make(chan []byte, aheadBuffers),
		done:  make(chan struct{}),
	}
	for range aheadBuffers {
		a.empty <- make([]byte, aheadSize)
	}
	go a.fill(r)
	return a
}

func (a *readAhead) fill(r io.Reader) {
	defer close(a.full)
	for {
		var b []byte
		select {
		case b = <-a.empty:
		case <-a.done:
			a.err = io.ErrClosedPipe
			return
		}
		n, err := io.ReadAtLeast(r, b[:cap(b)], 1)
		if n > 0 {
			a.full <- b[:n] // never blocks: there are no more buffers than places
		}
		if err != nil {
			a.err = err
			return
		}
	}
}

// Read returns bytes, or what the other reader ended with.
func (a *readAhead) Read(p []byte) (int, error) {
	if len(a.rest) == 0 {
		if a.current != nil {
			a.empty <- a.current
			a.current = nil
		}
		b, ok := <-a.full
		if !ok {
			return 0, a.err
		}
		a.current, a.rest = b, b
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// Close stops the reading and returns once the other reader is left alone. A
// read of it that blocks must be ended by other means first (a context).
func (a *readAhead) Close() error {
	select {
	case <-a.done:
		return nil
	default:
	}
	close(a.done)
	for range a.full {
	}
	return nil
}
