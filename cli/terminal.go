package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/pull/source"
)

// The rules for text that a person reads:
//
//   - Results go to standard output; messages, warnings and progress go to standard
//     error. The template prints its steps on standard output, as the stock template does.
//   - No text from outside is written unescaped. The functions of this file pass texts
//     through printable; tables and lists pass their cells through it.
//   - With -q only errors are printed; -v adds details.
//   - On a terminal one line may change: progress, or a passing message (progress.go).
//   - Colour marks only the words "warning:", "lxc-pull:" and "ERROR:", on a terminal, and
//     not if NO_COLOR is set (no-color.org) or TERM is "dumb".
//   - With --json-fd a program reads the same as JSON objects (events.go).

// A ui writes text for a person.
type ui struct {
	_        uncomparable
	out, err io.Writer
	quiet    bool          // -q
	verbose  bool          // -v
	command  string        // the command's name, because hints depend on its options
	given    []string      // the options that the command line gives
	clock    *source.Clock // the time of the run, for hints
	heard    atomic.Int64  // when the last line was written, in ns of Unix time
	events   *events       // of --json-fd; nil: not given
	hinted

	mu     sync.Mutex // guards screen: several goroutines write
	screen screen
}

// hinted is what hints need to know of the image.
type hinted struct {
	registry *registryOptions // of a container image; nil: it is none
	named    *sourceName      // of an image of another source; nil: it is none
}

// A screen is what a ui knows about the terminal, and what stands on its last line.
type screen struct {
	_        uncomparable
	file     *os.File  // the terminal; nil: err is none, or tests set the width
	color    bool      // the terminal shows colours
	mode     string    // of --progress: "plain", "none", or "" for auto
	progress *progress // of the phase that runs; nil: none
	columns  int       // width of the terminal; 0: no line may be rewritten
	passing  int       // width of the passing message on the terminal; 0: none
}

// isTemplate reports whether lxc-create called: then the phrases are the stock template's.
func (u *ui) isTemplate() bool { return among("template lxc-oci lxc-local", u.command) }

// newUI returns a ui for the two outputs.
func newUI(out, err *os.File) *ui {
	u := &ui{out: out, err: err, clock: source.NewClock(time.Time{}, buildDate())}
	if term := os.Getenv("TERM"); term != "dumb" && isTerminal(err) {
		u.screen.columns, u.screen.file = terminalSize(err), err
		u.screen.color = term != "" && os.Getenv("NO_COLOR") == ""
	}
	return u
}

// setClock sets the clock of the run, and warns if it is wrong.
func (u *ui) setClock(c *source.Clock) {
	u.clock = c
	if text := c.Warning(); text != "" {
		u.warnText("clock", text)
	}
}

// settle removes progress and passing messages from the terminal. Call it before a result
// is written to standard output, which may be the same terminal.
func (u *ui) settle() {
	u.mu.Lock()
	u.clear()
	u.mu.Unlock()
}

// warn writes a warning. code is one of those in codes.txt.
func (u *ui) warn(code, format string, args ...any) { u.warnText(code, fmt.Sprintf(format, args...)) }

// warnText is warn for a text that needs no format.
func (u *ui) warnText(code, text string) {
	u.events.send("warning", "code", code, "text", text)
	if !u.quiet {
		u.write("warning:", " "+text)
	}
}

// notef writes a line if -v is given.
func (u *ui) notef(format string, args ...any) {
	if u.verbose {
		u.line(format, args...)
	}
}

// line writes a line to err. A progress line comes back below it.
func (u *ui) line(format string, args ...any) { u.write("", fmt.Sprintf(format, args...)) }

// write writes a line to err: a word that a terminal shows in colour, if it is not empty, and
// text.
func (u *ui) write(word, text string) {
	u.mu.Lock()
	u.clear()
	u.hear()
	if u.screen.color && word != "" {
		color := "31" // red, ECMA-48 8.3.117
		if word == "warning:" {
			color = "33" // yellow
		}
		word = "\x1b[" + color + "m" + word + "\x1b[m"
	}
	io.WriteString(u.err, word+printable(text)+"\n")
	u.mu.Unlock()
}

// hear records that a line was written now.
func (u *ui) hear() { u.heard.Store(time.Now().UnixNano()) }

// transient shows a message on the terminal until the next line is written there. It reports
// whether there is a terminal.
func (u *ui) transient(text string) bool {
	u.mu.Lock()
	shown := u.screen.columns > 0 && !u.quiet
	if shown {
		u.clear()
		text = fit(strings.ReplaceAll(printable(text), "\n", " "), u.room())
		u.screen.passing = width(text)
		u.hear()
		io.WriteString(u.err, text)
	}
	u.mu.Unlock()
	return shown
}

// say writes a phrase of the stock template, which scripts look for. Only the template
// writes it to standard output: other commands print their results there.
func (u *ui) say(text string) {
	if u.quiet {
		return
	}
	u.settle()
	u.hear()
	w := u.err
	if u.isTemplate() {
		w = u.out
	}
	io.WriteString(w, printable(text))
}

// terminalSize returns the number of columns of the terminal f, 0 if f is not a terminal.
func terminalSize(f *os.File) int {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	if size.Col == 0 {
		return 80 // a serial console does not know its size
	}
	return int(size.Col)
}

// isTerminal reports whether f is a terminal.
func isTerminal(f *os.File) bool { return terminalSize(f) > 0 }

// listener returns the functions by which package source and package pull tell the user
// something.
func (u *ui) listener() source.Listener {
	return source.Listener{
		Say: func(text string) {
			u.events.phase(text)
			u.say(text + "\n")
		},
		Tell: func(text string) {
			if !u.quiet {
				u.write("", text)
			}
		},
		Warn: u.warnText,
		Note: func(text string) {
			if u.verbose {
				u.write("", text)
			}
		},
		Image: u.events.image,
		Begin: func(phase string, kept, size int64) io.WriteCloser { return u.beginAt(phase, kept, size) },
	}
}
