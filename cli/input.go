package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// A signal ends every command through its context, which knows nothing of a
// system call that waits: for a terminal, for a pipe, for the other end of a
// FIFO. Commands that make nothing run under untilDone; those that have to
// clean up read through a cancelReader.

// untilDone runs f and returns its error, or ctx's cause as soon as ctx is done.
// f may wait in a system call then. It is left behind and ends with the process,
// so f must not make what has to be removed.
func untilDone(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// A cancelReader reads a file and returns the context's cause once that is done,
// also while nothing comes.
type cancelReader struct {
	ctx     context.Context
	f       *os.File
	regular bool // reads of f don't wait
}

func newCancelReader(ctx context.Context, f *os.File) *cancelReader {
	info, err := f.Stat()
	return &cancelReader{ctx, f, err == nil && info.Mode().IsRegular()}
}

// pollInterval, in milliseconds, is how late a cancelReader may notice that its
// context is done.
const pollInterval = 200

func (c *cancelReader) Read(p []byte) (int, error) {
	for !c.regular && c.ctx.Err() == nil {
		ready := []unix.PollFd{{Fd: int32(c.f.Fd()), Events: unix.POLLIN}}
		// A signal that interrupts the wait is no input: n is -1 then.
		if n, err := unix.Poll(ready, pollInterval); n > 0 || err != nil && err != unix.EINTR {
			break
		}
	}
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.f.Read(p)
}

// getUntilDone is untilDone for a function with a result.
func getUntilDone[T any](ctx context.Context, f func() (T, error)) (result T, err error) {
	got := make(chan T, 1)
	err = untilDone(ctx, func() error {
		value, err := f()
		got <- value
		return err
	})
	if err != nil {
		return result, err
	}
	return <-got, nil
}

// openUntilDone opens a file for reading. Opening a FIFO waits for its writer.
func openUntilDone(ctx context.Context, name string) (*os.File, error) {
	return getUntilDone(ctx, func() (*os.File, error) { return os.Open(name) })
}

// readOption reads a file that an option names.
func readOption(option, name string, max int64) ([]byte, error) {
	data, err := readFile(name, max)
	if err != nil {
		return nil, fmt.Errorf("--%s %q: %w", option, name, withoutPath(err))
	}
	return data, nil
}

// withoutPath returns the cause of an error of a file whose name is told
// already.
func withoutPath(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// readFile returns a file of at most max bytes.
func readFile(name string, max int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readLimit(f, max)
}

// readLimit returns the rest of an open file, of at most max bytes.
func readLimit(f *os.File, max int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(f, max+1))
	if err == nil && int64(len(data)) > max {
		err = fmt.Errorf("larger than %d bytes", max)
	}
	return data, err
}

// openInput opens a file, or standard input for "-".
func openInput(name string) (*os.File, error) {
	if name == "-" {
		return os.Stdin, nil
	}
	return os.Open(name)
}

// readWhole reads a file or, for "-", standard input: one byte more than max
// at most, so that who parses it sees that it is too large.
func readWhole(name string, max int64) ([]byte, error) {
	f, err := openInput(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, max+1))
}
