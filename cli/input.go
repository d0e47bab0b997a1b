package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// This file reads files and standard input. SIGINT, SIGTERM and SIGHUP end a command by
// ending its context, but a system call that waits for a terminal, a pipe or the other end of
// a FIFO does not see that. So a command that leaves nothing behind on the disk runs under
// untilDone, and one that must clean up reads through a cancelReader. The functions at the
// end read whole files, up to a limit.

// untilDone runs f in a goroutine and returns its error, or ctx's cause as soon as ctx is
// done. Then f may still wait in a system call, and runs on until the process exits. So f
// must not create anything that has to be removed, and the caller must not look at what f sets
// after an error.
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

// A cancelReader reads a file. Its Read returns the context's cause once the context is done,
// even while it waits for input.
type cancelReader struct {
	_       uncomparable
	ctx     context.Context
	f       *os.File
	regular bool // a regular file, which is always ready to be read

	terminal bool
}

func newCancelReader(ctx context.Context, f *os.File) *cancelReader {
	info, err := f.Stat()
	return &cancelReader{ctx: ctx, f: f, regular: err == nil && info.Mode().IsRegular(), terminal: isTerminal(f)}
}

// pollInterval is how long a cancelReader waits for input before it looks at its context
// again, in milliseconds.
const pollInterval = 200

func (c *cancelReader) Read(p []byte) (int, error) {
	for !c.regular && c.ctx.Err() == nil {
		ready := []unix.PollFd{{Fd: int32(c.f.Fd()), Events: unix.POLLIN}}
		// A signal that interrupts poll (EINTR) does not mean that there is input.
		if n, err := unix.Poll(ready, pollInterval); n > 0 || err != nil && err != unix.EINTR {
			break
		}
	}
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	if !c.terminal {
		return c.f.Read(p)
	}
	own, n := make([]byte, len(p)), 0 // Ctrl-C may remove what poll has seen: then Read waits
	if err := untilDone(c.ctx, func() (err error) { n, err = c.f.Read(own); return err }); err != nil {
		return 0, err
	}
	return copy(p, own[:n]), nil
}

// openUntilDone opens a file for reading. If it is a FIFO, that waits for a writer, but no
// longer than until ctx is done.
func openUntilDone(ctx context.Context, name string) (*os.File, error) {
	var f *os.File
	err := untilDone(ctx, func() (err error) {
		f, err = os.Open(name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// openInput opens a file, or standard input for "-".
func openInput(name string) (*os.File, error) {
	if name == "-" {
		return os.Stdin, nil
	}
	return os.Open(name)
}

// A fileError says that the file which an option names can't be read, or that of the image.
type fileError struct {
	_            uncomparable
	option, name string // option is "" for the image
	err          error  // without the file's name
}

func (e *fileError) Error() string {
	text := strconv.Quote(e.name) + ": " + e.err.Error()
	if e.option != "" {
		text = "--" + e.option + " " + text
	}
	return text
}
func (e *fileError) Unwrap() error { return e.err }

// readOption reads a file of at most max bytes that an option names. The error is a
// *fileError.
func readOption(option, name string, max int64) ([]byte, error) {
	data, err := readFile(name, max)
	if err != nil {
		return nil, &fileError{option: option, name: name, err: withoutPath(err)}
	}
	return data, nil
}

// withoutPath returns the cause of an *fs.PathError, for messages that name the file
// themselves. It returns any other error unchanged.
func withoutPath(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// readFile returns the content of a file. It is an error if the file has more than max bytes.
func readFile(name string, max int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	data, err := readLimit(f, max)
	f.Close()
	return data, err
}

// readLimit returns the rest of an open file. It is an error if the rest has more than max bytes.
func readLimit(f *os.File, max int64) ([]byte, error) {
	data, err := readUpTo(f, max)
	if err == nil && int64(len(data)) > max {
		err = fmt.Errorf("larger than %d bytes", max)
	}
	return data, err
}

// readWhole returns the content of a file or, for "-", of standard input. If the content is
// larger than max bytes, it returns max+1 bytes: the parser refuses them with a better message.
func readWhole(name string, max int64) ([]byte, error) {
	f, err := openInput(name)
	if err != nil {
		return nil, err
	}
	data, err := readUpTo(f, max)
	f.Close()
	return data, err
}

// readUpTo returns what is left of r, but at most max+1 bytes, so that the caller sees
// whether there are more than max.
func readUpTo(r io.Reader, max int64) ([]byte, error) {
	return io.ReadAll(io.LimitReader(r, max+1))
}
