package untar

import (
	"context"
	"io"
)

// The buffers between two stages: enough for one to run on while the other
// waits for a disk or the network, little enough for a router.
const (
	aheadBuffers = 8
	aheadSize    = 64 << 10
)

// A ReadAhead reads from another reader in a goroutine of its own, a bounded
// number of buffers ahead, so that stages run side by side.
type ReadAhead struct {
	full  chan []byte // filled, in order
	empty chan []byte // to be filled
	done  chan struct{}
	err   error // after full is closed: what the reader ended with

	rest    []byte // of the buffer being read
	current []byte // that buffer
}

// NewReadAhead begins to read r. Close it before r.
func NewReadAhead(r io.Reader) *ReadAhead {
	a := &ReadAhead{
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

func (a *ReadAhead) fill(r io.Reader) {
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
func (a *ReadAhead) Read(p []byte) (int, error) {
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
func (a *ReadAhead) Close() error {
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

// Until returns a reader of r that ends with ctx's error once ctx is done. A plain file
// would go on.
func Until(ctx context.Context, r io.Reader) io.Reader { return &until{ctx, r} }

type until struct {
	ctx context.Context
	r   io.Reader
}

func (u *until) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}
