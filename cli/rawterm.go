package cli

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// This file reads single keys from a terminal.

// A rawTerminal is a terminal that passes on each key at once and shows none. Ctrl-C still
// sends SIGINT. No goroutine reads, and bytes are read one at a time: what is typed after the
// last key that next returned stays for the next reader.
type rawTerminal struct {
	ctx     context.Context
	in      *os.File
	before  unix.Termios   // the modes that close restores
	changed chan os.Signal // SIGWINCH and SIGCONT
	ends    chan os.Signal // signals that would end this process and leave the modes
	rest    []byte         // the beginning of a key
}

// openRaw changes the modes of a terminal. Call close at the end, also in a panic.
func openRaw(ctx context.Context, in *os.File) (*rawTerminal, error) {
	modes, err := unix.IoctlGetTermios(int(in.Fd()), unix.TCGETS)
	if err != nil {
		return nil, err
	}
	t := &rawTerminal{ctx: ctx, in: in, before: *modes, changed: make(chan os.Signal, 1), ends: make(chan os.Signal, 1)}
	if err := t.set(true); err != nil {
		return nil, err
	}
	signal.Notify(t.changed, unix.SIGWINCH, unix.SIGCONT)
	signal.Notify(t.ends, unix.SIGQUIT, unix.SIGABRT, unix.SIGALRM, unix.SIGUSR1, unix.SIGUSR2)
	return t, nil
}

// close restores the terminal's modes.
func (t *rawTerminal) close() {
	signal.Stop(t.changed)
	signal.Stop(t.ends)
	t.set(false)
}

// set sets the terminal's modes to raw ones or to those before. Raw modes turn lines, echo and
// special keys off, except those of SIGINT and of flow control, which a serial line may need.
// SIGQUIT would leave the terminal in this state; suspend takes the place of SIGTSTP's key.
// Read does not wait: Ctrl-C may remove what poll has seen. The modes change at once: waiting
// for output to be sent could take forever. In the background the kernel stops this process
// first.
func (t *rawTerminal) set(raw bool) error {
	modes := t.before
	if raw {
		modes.Lflag &^= unix.ICANON | unix.ECHO | unix.ECHONL | unix.IEXTEN
		modes.Cc[unix.VMIN], modes.Cc[unix.VTIME] = 0, 0
		modes.Cc[unix.VQUIT], modes.Cc[unix.VSUSP] = 0, 0 // _POSIX_VDISABLE
	}
	return unix.IoctlSetTermios(int(t.in.Fd()), unix.TCSETS, &modes)
}

// suspend does what Ctrl-Z does elsewhere: it stops the processes of this job. The modes are
// restored first, because a shell goes on as soon as one process has stopped. When this
// process continues, next returns keyChanged.
func (t *rawTerminal) suspend() {
	t.set(false)
	unix.Kill(0, unix.SIGTSTP)
	// The signal may come a moment later. Without job control it does nothing.
	time.Sleep(escapeDelay * time.Millisecond)
	select {
	case t.changed <- unix.SIGCONT:
	default: // the kernel's is there
	}
}

// The keys, as control characters. Keys that send sequences have those of Emacs and of other
// programs.
const (
	keyNone      = 0 // a key without a meaning
	keyHome      = 'A' & 0x1f
	keyPageUp    = 'B' & 0x1f
	keyEscape    = 'D' & 0x1f // which elsewhere ends the input
	keyEnd       = 'E' & 0x1f
	keyPageDown  = 'F' & 0x1f
	keyErase     = '\b'
	keyTab       = '\t'
	keyRedraw    = 'L' & 0x1f
	keyEnter     = '\r'
	keyDown      = 'N' & 0x1f
	keyUp        = 'P' & 0x1f
	keyClear     = 'U' & 0x1f
	keySuspend   = 'Z' & 0x1f
	keyChanged   = -1 // no key: the terminal's size changed, or this process was stopped
	keySequences = " A\x10 B\x0e H\x01 F\x05 M\r 1~\x01 7~\x01 4~\x05 8~\x05 5~\x02 6~\x06 "
)

// escapeDelay is how long the rest of a key's bytes may take, in milliseconds. Without a rest
// the byte ESC is the key Esc.
const escapeDelay = 100

// next waits for a key. The error is the context's cause once the context is done, also while
// next waits.
func (t *rawTerminal) next() (int, error) {
	for {
		wait := pollInterval
		if len(t.rest) > 0 {
			wait = escapeDelay
		}
		events, late := t.poll(wait)
		if t.ctx.Err() != nil {
			return keyNone, context.Cause(t.ctx)
		}
		select {
		case <-t.ends:
			unix.Kill(unix.Getpid(), unix.SIGTERM) // which ends the context
		case <-t.changed:
			if t.set(true) != nil { // again: a shell may have set other modes
				return keyNone, t.hangUp()
			}
			return keyChanged, nil
		default:
		}
		if events&^unix.POLLIN != 0 { // POLLHUP, POLLERR, POLLNVAL
			return keyNone, t.hangUp()
		}
		if events != 0 {
			var b [1]byte
			n, _ := t.in.Read(b[:]) // 0 bytes if Ctrl-C has removed them
			t.rest = append(t.rest, b[:n]...)
		}
		if len(t.rest) >= maxKey {
			t.rest = t.rest[:maxKey/2] // it goes on: its end is awaited, and no key of ours is so long
		}
		key, n := decodeKey(t.rest, late)
		t.rest = t.rest[n:]
		if key != keyNone {
			return key, nil
		}
	}
}

// hangUp returns the error for a terminal that is gone. The SIGHUP which tells that may come
// a moment later.
func (t *rawTerminal) hangUp() error {
	time.Sleep(pollInterval * time.Millisecond)
	if t.ctx.Err() != nil {
		return context.Cause(t.ctx)
	}
	return errNotChosen
}

// poll waits for input, for some milliseconds. It returns poll(2)'s events, and whether the
// time has passed: a signal may end the wait, also one of Go's own.
func (t *rawTerminal) poll(wait int) (events int, late bool) {
	fds := []unix.PollFd{{Fd: int32(t.in.Fd()), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, wait)
	return int(fds[0].Revents), n == 0 && err == nil
}

// maxKey is the longest sequence of bytes that a key may send. Those of terminals are half as
// long.
const maxKey = 16

// decodeKey returns the first key in b and the number of its bytes. The key is a byte of a
// character, one of the constants, or keyNone. The number is 0 if bytes are missing. If last
// is true, no more bytes come. A key may send a control sequence (ECMA-48, section 5.4), or
// ESC O and a letter, as a VT100's does.
func decodeKey(b []byte, last bool) (key, n int) {
	switch {
	case len(b) == 0, len(b) == 1 && b[0] == 0x1b && !last:
		return keyNone, 0
	case b[0] == '\n':
		return keyEnter, 1
	case b[0] == 0x7f:
		return keyErase, 1
	case b[0] != 0x1b:
		return int(b[0]), 1
	case len(b) == 1, b[1] == 0x1b:
		return keyEscape, 1
	case b[1] != '[' && b[1] != 'O':
		return keyNone, 2 // a key with Alt
	}
	i := 2
	if len(b) > 2 && b[2] == '[' { // a function key of Linux's console: ESC [ [ A
		i = 3
	}
	for i < len(b) && ' ' <= b[i] && b[i] < '@' {
		i++
	}
	switch {
	case i == len(b) && !last && i < maxKey:
		return keyNone, 0
	case i == len(b), b[i] < '@':
		return keyNone, i // what follows belongs to no sequence
	}
	if at := strings.Index(keySequences, " "+string(b[2:i+1])); at >= 0 {
		key = int(keySequences[at+i])
	}
	return key, i + 1
}
