package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"unicode/utf8"
)

// ui is where words for a person go. Results go to out; messages, warnings and
// progress go to err. Nothing from outside reaches either unescaped: texts are
// passed through printable, names through %q.
type ui struct {
	out, err io.Writer
	quiet    bool // -q: errors only
	verbose  bool // -v
}

func newUI(out, err *os.File) *ui {
	return &ui{out: out, err: err}
}

// warnf writes one warning.
func (u *ui) warnf(format string, args ...any) {
	if !u.quiet {
		fmt.Fprintf(u.err, "warning: "+format+"\n", args...)
	}
}

// notef writes one line that only -v asks for.
func (u *ui) notef(format string, args ...any) {
	if u.verbose {
		fmt.Fprintf(u.err, format+"\n", args...)
	}
}

// A usageError is a command line that can't be carried out.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usageErrorf(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// An exitError carries a command's own exit status; err may be nil, then
// nothing is printed.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// finish prints the error, if any, with what to do about it, and returns the
// exit status.
func (u *ui) finish(err error) int {
	if err == nil {
		return exitDone
	}
	code := exitStatus(err)
	var own *exitError
	if errors.As(err, &own) && own.err == nil {
		return code
	}
	fmt.Fprintf(u.err, "lxc-pull: %s\n", printable(err.Error()))
	return code
}

// exitStatus maps an error to the documented statuses.
func exitStatus(err error) int {
	var own *exitError
	var usage *usageError
	switch {
	case errors.As(err, &own):
		return own.code
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EIO), errors.Is(err, syscall.EROFS):
		return exitDisk
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return exitPermission
	}
	return exitFailure
}

// printable returns s with control characters and broken UTF-8 escaped as Go
// would write them in a string, line feeds and tabs kept, so that a text from
// outside can't steer a terminal.
func printable(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\n' || r == '\t':
			b.WriteRune(r)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, r)
		case 0x80 <= r && r < 0xa0, 0x200b <= r && r <= 0x200f, 0x2028 <= r && r <= 0x202e, 0x2060 <= r && r <= 0x206f, r == 0xfeff:
			// C1 controls, and marks that reorder or hide what stands beside them.
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		i += n
	}
	return b.String()
}
