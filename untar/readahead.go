package untar

import (
	"context"
	"io"
)

// The buffers between two stages. They let one stage continue while the other waits for a
// disk or the network, and are small enough for a router.
const (
	aheadBuffers = 8
	aheadSize    = 64 << 10
)

// A ReadAhead reads from another reader in its own goroutine, a bounded number of buffers
// ahead, so that several stages run at the same time.
type ReadAhead struct {
	full  chan []byte // filled buffers, in order
	empty chan []byte // buffers to fill
	done  chan struct{}
	err   error // error of the other reader; valid after full is closed

	rest    []byte // unread part of current
	current []byte // the buffer being read
}

// NewReadAhead starts to read r. Close the ReadAhead before r.
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

// fill reads r in the goroutine.
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
			a.full <- b[:n] // never blocks: the channel has room for all buffers
		}
		if err != nil {
			a.err = err
			return
		}
	}
}

// Read returns buffered bytes, and then the error of the other reader.
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

// Close stops reading and waits until the goroutine no longer uses the other reader. It does
// not interrupt a Read of that reader that blocks; use a context for that.
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

// Until returns a reader of r that returns the error of ctx once ctx is done. A plain file
// would go on reading.
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
