package cli

import (
	"context"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// This file reads single keys from a terminal.

// A rawTerminal is a terminal that passes on each key at once and shows none. Ctrl-C still
// sends SIGINT, so that a program that hangs can be ended. There is no goroutine which reads:
// what is typed after the last key that next returned stays for the next reader.
type rawTerminal struct {
	ctx     context.Context
	in      *os.File
	before  unix.Termios   // the modes that close restores
	changed chan os.Signal // SIGWINCH and SIGCONT
	rest    []byte         // the beginning of a key, which is incomplete
}

// openRaw changes the modes of a terminal. Call close at the end, also in a panic.
func openRaw(ctx context.Context, in *os.File) (*rawTerminal, error) {
	modes, err := unix.IoctlGetTermios(int(in.Fd()), unix.TCGETS)
	if err != nil {
		return nil, err
	}
	t := &rawTerminal{ctx: ctx, in: in, before: *modes, changed: make(chan os.Signal, 1)}
	signal.Notify(t.changed, unix.SIGWINCH, unix.SIGCONT)
	if err := t.raw(); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

// close restores the terminal's modes.
func (t *rawTerminal) close() {
	signal.Stop(t.changed)
	t.setModes(t.before)
}

// raw turns lines, echo and the special keys off, except those of SIGINT and of flow control,
// which a serial line may need. SIGQUIT would leave the terminal in this state; suspend takes
// the place of SIGTSTP's key.
func (t *rawTerminal) raw() error {
	modes := t.before
	modes.Lflag &^= unix.ICANON | unix.ECHO | unix.ECHONL | unix.IEXTEN
	modes.Cc[unix.VMIN], modes.Cc[unix.VTIME] = 1, 0
	modes.Cc[unix.VQUIT], modes.Cc[unix.VSUSP] = 0, 0 // _POSIX_VDISABLE
	return t.setModes(modes)
}

// setModes sets the modes at once: waiting for the output could take forever. In the
// background the kernel stops this process until it is in the foreground again.
func (t *rawTerminal) setModes(modes unix.Termios) error {
	for {
		if err := unix.IoctlSetTermios(int(t.in.Fd()), unix.TCSETS, &modes); err != unix.EINTR {
			return err
		}
	}
}

// suspend does what Ctrl-Z does elsewhere: it stops the processes of this job. It returns
// when they continue. The modes are restored first, because a shell goes on as soon as one
// process has stopped.
func (t *rawTerminal) suspend() error {
	if err := t.setModes(t.before); err != nil {
		return err
	}
	unix.Kill(0, unix.SIGTSTP)
	select { // the signal may stop this process a moment later; without job control it never does
	case <-t.changed:
	case <-time.After(100 * time.Millisecond):
	}
	return t.raw()
}

// The keys that are no characters.
const (
	keyNone     rune = -1 - iota // a key without a meaning
	keyUp                        // also Ctrl-P
	keyDown                      // Ctrl-N
	keyPageUp                    // Ctrl-B
	keyPageDown                  // Ctrl-F
	keyHome                      // Ctrl-A
	keyEnd                       // Ctrl-E
	keyEnter
	keyErase     // Backspace
	keyEraseWord // Ctrl-W
	keyClear     // Ctrl-U
	keyTab
	keyEscape  // also Ctrl-D, which elsewhere ends the input
	keyRedraw  // Ctrl-L
	keySuspend // Ctrl-Z
	keyChanged // no key: the terminal's size changed, or the stopped process continues
)

// escapeDelay is how long the rest of a key's bytes may take, in milliseconds. Without a rest
// the byte ESC is the key Esc.
const escapeDelay = 100

// next waits for a key. The error is the context's cause once the context is done, also while
// next waits.
func (t *rawTerminal) next() (rune, error) {
	for {
		if t.ctx.Err() != nil {
			return keyNone, context.Cause(t.ctx)
		}
		select {
		case <-t.changed:
			if t.raw() != nil { // again: a shell may have set other modes
				return keyNone, t.hangUp()
			}
			return keyChanged, nil
		default:
		}
		wait := pollInterval
		if len(t.rest) > 0 {
			wait = escapeDelay
		}
		ready, err := t.poll(wait)
		if err != nil {
			return keyNone, t.hangUp()
		}
		if ready {
			// One byte at a time, so that bytes after the last key stay unread.
			var b [1]byte
			if n, err := t.in.Read(b[:]); n == 0 || err != nil {
				return keyNone, t.hangUp()
			}
			t.rest = append(t.rest, b[0])
		}
		key, n := decodeKey(t.rest, !ready)
		t.rest = t.rest[n:]
		if n > 0 && key != keyNone {
			return key, nil
		}
	}
}

// hangUp returns the error for a terminal that is gone. The SIGHUP which tells that may come
// a moment later.
func (t *rawTerminal) hangUp() error {
	select {
	case <-t.ctx.Done():
		return context.Cause(t.ctx)
	case <-time.After(pollInterval * time.Millisecond):
		return errNotChosen
	}
}

// idle reports whether no input waits.
func (t *rawTerminal) idle() bool {
	ready, _ := t.poll(0)
	return !ready
}

// poll waits for input, for some milliseconds. A signal may end the wait.
func (t *rawTerminal) poll(wait int) (ready bool, err error) {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(t.in.Fd()), Events: unix.POLLIN}}, wait)
	if err == unix.EINTR {
		return false, nil
	}
	return n > 0, err
}

// maxKey is the longest sequence of bytes that a key may send. Those of terminals are half as
// long.
const maxKey = 16

// decodeKey returns the first key in b and the number of its bytes, 0 if bytes are missing.
// If last is true, no more bytes come.
func decodeKey(b []byte, last bool) (key rune, n int) {
	switch {
	case len(b) == 0:
		return keyNone, 0
	case b[0] == 0x1b:
		return decodeEscape(b, last)
	case b[0] < ' ' || b[0] == 0x7f:
		return controlKey(b[0]), 1
	case !utf8.FullRune(b) && !last:
		return keyNone, 0
	}
	key, n = utf8.DecodeRune(b)
	if key == utf8.RuneError || steersTerminal(key) {
		key = keyNone
	}
	return key, n
}

// controlKey returns the key that sends that control character.
func controlKey(c byte) rune {
	switch c {
	case '\r', '\n':
		return keyEnter
	case 0x7f, '\b':
		return keyErase
	case '\t':
		return keyTab
	case 'P' & 0x1f:
		return keyUp
	case 'N' & 0x1f:
		return keyDown
	case 'B' & 0x1f:
		return keyPageUp
	case 'F' & 0x1f:
		return keyPageDown
	case 'A' & 0x1f:
		return keyHome
	case 'E' & 0x1f:
		return keyEnd
	case 'U' & 0x1f:
		return keyClear
	case 'W' & 0x1f:
		return keyEraseWord
	case 'L' & 0x1f:
		return keyRedraw
	case 'D' & 0x1f:
		return keyEscape
	case 'Z' & 0x1f:
		return keySuspend
	}
	return keyNone
}

// decodeEscape is decodeKey for bytes that begin with ESC: the key Esc, or a control sequence
// (ECMA-48, section 5.4) or ESC O and a letter, as of a VT100.
func decodeEscape(b []byte, last bool) (key rune, n int) {
	switch {
	case len(b) == 1 && last, len(b) > 1 && b[1] == 0x1b:
		return keyEscape, 1
	case len(b) == 1:
		return keyNone, 0
	case b[1] != '[' && b[1] != 'O':
		return keyNone, 2 // a key with Alt
	}
	i := 2
	if b[1] == '[' && len(b) > 2 && b[2] == '[' {
		i = 3 // function keys of Linux's console: ESC [ [ A
	}
	for i < len(b) && ' ' <= b[i] && b[i] < '@' {
		i++
	}
	switch {
	case i == len(b) && (last || len(b) >= maxKey):
		return keyNone, len(b)
	case i == len(b):
		return keyNone, 0
	case b[i] < ' ' || b[i] >= 0x7f:
		return keyNone, i // it belongs to no sequence
	case b[2] == '[':
		return keyNone, i + 1
	}
	return sequenceKey(string(b[2:i]), b[i]), i + 1
}

// sequenceKey returns the key that sends a sequence with these parameters and this last byte.
func sequenceKey(parameters string, last byte) rune {
	switch last {
	case 'A':
		return keyUp
	case 'B':
		return keyDown
	case 'H':
		return keyHome
	case 'F':
		return keyEnd
	case 'M': // Enter of a number pad
		return keyEnter
	case '~':
		number, _, _ := strings.Cut(parameters, ";")
		switch n, _ := strconv.Atoi(number); n {
		case 1, 7:
			return keyHome
		case 4, 8:
			return keyEnd
		case 5:
			return keyPageUp
		case 6:
			return keyPageDown
		}
	}
	return keyNone
}
