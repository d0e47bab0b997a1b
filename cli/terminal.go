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
//   - On a terminal one line may change: progress, or a passing message.

// A ui writes text for a person.
type ui struct {
	out, err io.Writer
	quiet    bool          // -q
	verbose  bool          // -v
	command  string        // the command's name, because hints depend on its options
	template bool          // lxc-create called: use the stock template's phrases
	clock    *source.Clock // the time of the run, for hints
	heard    atomic.Int64  // when the last line was written, in ns of Unix time

	mu       sync.Mutex // guards the fields below: several goroutines write
	columns  int        // width of the terminal; 0: err is no terminal, and progress is not shown
	progress *progress  // the progress line on the terminal; nil: none
	passing  int        // width of the passing message on the terminal; 0: none
}

// newUI returns a ui for the two outputs.
func newUI(out, err *os.File) *ui {
	u := &ui{out: out, err: err, clock: source.NewClock(time.Time{}, buildDate())}
	if os.Getenv("TERM") != "dumb" {
		u.columns = terminalSize(err)
	}
	return u
}

// setClock sets the clock of the run, and warns if it is wrong.
func (u *ui) setClock(c *source.Clock) {
	u.clock = c
	if text := c.Warning(); text != "" {
		u.warnf("%s", text)
	}
}

// settle removes progress and passing messages from the terminal. Call it before a result
// is written to standard output, which may be the same terminal.
func (u *ui) settle() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clear()
}

// warnf writes a warning.
func (u *ui) warnf(format string, args ...any) {
	if !u.quiet {
		u.line("warning: "+format, args...)
	}
}

// notef writes a line if -v is given.
func (u *ui) notef(format string, args ...any) {
	if u.verbose {
		u.line(format, args...)
	}
}

// line writes a line to err. A progress line comes back below it.
func (u *ui) line(format string, args ...any) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clear()
	u.hear()
	fmt.Fprintln(u.err, printable(fmt.Sprintf(format, args...)))
}

// hear records that a line was written now.
func (u *ui) hear() { u.heard.Store(time.Now().UnixNano()) }

// transient shows a message on the terminal until the next line is written there. It reports
// whether there is a terminal.
func (u *ui) transient(text string) bool {
	if u.columns == 0 || u.quiet {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clear()
	text = printable(text)
	if runes := []rune(text); len(runes) >= u.columns {
		text = string(runes[:u.columns-1])
	}
	u.passing = u.columns - 1
	u.hear()
	fmt.Fprintf(u.err, "%s", strings.ReplaceAll(text, "\n", " "))
	return true
}

// say writes a phrase of the stock template, which scripts look for. Only the template
// writes it to standard output: other commands print their results there.
func (u *ui) say(text string) { u.sayRaw(text + "\n") }

// sayRaw is say for a text that may lack the newline at its end.
func (u *ui) sayRaw(text string) {
	if u.quiet {
		return
	}
	u.settle()
	u.hear()
	w := u.err
	if u.template {
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

// A progress is a line on a terminal that is rewritten in place. It shows the phase, bytes,
// bytes per second and the time left.
type progress struct {
	ui     *ui
	phase  string
	total  int64 // -1: unknown
	start  time.Time
	shown  time.Time
	done   int64
	widest int
}

// progressInterval is the time between two rewritings of the line. It is short enough to show
// that the program works, and long enough for a serial console.
const progressInterval = 200 * time.Millisecond

// begin starts a progress line; Close ends it. Without a terminal, and with -q, begin returns
// nil, on which the methods do nothing.
func (u *ui) begin(phase string, total int64) *progress {
	if u.columns == 0 || u.quiet {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.progress = &progress{ui: u, phase: phase, total: total, start: time.Now()}
	return u.progress
}

// Write counts bytes, so that io.TeeReader can write to a progress.
func (p *progress) Write(b []byte) (int, error) {
	if p == nil {
		return len(b), nil
	}
	p.ui.mu.Lock()
	defer p.ui.mu.Unlock()
	p.done += int64(len(b))
	if now := time.Now(); now.Sub(p.shown) >= progressInterval {
		p.shown = now
		p.show(now)
	}
	return len(b), nil
}

// show rewrites the line. The caller holds the lock.
func (p *progress) show(now time.Time) {
	if p.ui.progress != p {
		return
	}
	text := progressText(p.phase, p.done, p.total, now.Sub(p.start))
	if p.ui.passing > 0 {
		p.ui.clear()
	}
	if len(text) >= p.ui.columns {
		text = text[:p.ui.columns-1]
	}
	p.widest = max(p.widest, len(text))
	p.ui.hear()
	fmt.Fprintf(p.ui.err, "\r%-*s", p.widest, text)
}

// progressText returns the text of a progress line.
func progressText(phase string, done, total int64, elapsed time.Duration) string {
	text := phase + "  " + source.ByteCount(done)
	if total > 0 {
		text += " of " + source.ByteCount(total)
	}
	if elapsed < time.Second {
		return text
	}
	rate := int64(float64(done) / elapsed.Seconds())
	text += "  " + source.ByteCount(rate) + "/s"
	if total > done && rate > 0 {
		text += "  " + (time.Duration((total-done)/rate) * time.Second).String() + " left"
	}
	return text
}

// Close removes the line.
func (p *progress) Close() error {
	if p == nil {
		return nil
	}
	p.ui.mu.Lock()
	defer p.ui.mu.Unlock()
	p.ui.clear()
	p.ui.progress = nil
	return nil
}

// clear removes the progress line or passing message until the next line. The caller holds
// the lock.
func (u *ui) clear() {
	if u.passing > 0 {
		fmt.Fprintf(u.err, "\r%*s\r", u.passing, "")
		u.passing = 0
	}
	if u.progress != nil && u.progress.widest > 0 {
		fmt.Fprintf(u.err, "\r%*s\r", u.progress.widest, "")
	}
}

// listener returns the functions by which package source and package pull tell the user
// something.
func (u *ui) listener() source.Listener {
	return source.Listener{
		Say: u.say,
		Tell: func(text string) {
			if !u.quiet {
				u.line("%s", text)
			}
		},
		Warn:  func(text string) { u.warnf("%s", text) },
		Note:  func(text string) { u.notef("%s", text) },
		Begin: func(phase string, size int64) io.WriteCloser { return u.begin(phase, size) },
	}
}
