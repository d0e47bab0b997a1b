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

// The rules for words:
//
//   - Results go to standard output; messages, warnings and progress go to standard
//     error. The template says its steps on standard output, as the stock template does.
//   - Nothing from outside reaches either unescaped: texts are passed through printable,
//     here where they are written; tables and lists pass their cells through it.
//   - -q leaves errors alone; -v adds details.
//   - On a terminal there may be one line that changes: progress, or a passing word.

// A ui is where words for a person go.
type ui struct {
	out, err io.Writer
	quiet    bool          // -q
	verbose  bool          // -v
	command  string        // the command's name, whose options a remedy may name
	template bool          // called by lxc-create: the stock template's phrases
	clock    *source.Clock // by which certificates are judged, for remedies
	heard    atomic.Int64  // when a line was last shown, in ns of Unix time

	mu       sync.Mutex // guards the rest: warnings come from other goroutines than progress
	columns  int        // of the terminal that err is; 0: none, no progress
	progress *progress  // the line being shown; nil: none
	passing  int        // columns of a passing line being shown
}

func newUI(out, err *os.File) *ui {
	u := &ui{out: out, err: err, clock: source.NewClock(time.Time{}, buildDate())}
	if os.Getenv("TERM") != "dumb" {
		u.columns = terminalSize(err)
	}
	return u
}

// setClock notes by which clock the run goes, and warns if it is wrong.
func (u *ui) setClock(c *source.Clock) {
	u.clock = c
	if text := c.Warning(); text != "" {
		u.warnf("%s", text)
	}
}

// settle takes away what is shown for a moment, before a result goes to
// standard output, which may be the same terminal.
func (u *ui) settle() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clear()
}

// warnf writes one warning.
func (u *ui) warnf(format string, args ...any) {
	if !u.quiet {
		u.line("warning: "+format, args...)
	}
}

// notef writes one line that only -v asks for.
func (u *ui) notef(format string, args ...any) {
	if u.verbose {
		u.line(format, args...)
	}
}

// line writes a line to err, around the progress line if there is one.
func (u *ui) line(format string, args ...any) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clear()
	u.hear()
	fmt.Fprintln(u.err, printable(fmt.Sprintf(format, args...)))
}

// hear notes that the user is told something.
func (u *ui) hear() { u.heard.Store(time.Now().UnixNano()) }

// transient shows a line on a terminal until anything else is shown there, and
// reports whether there is a terminal.
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

// say writes one of the stock template's phrases, which scripts look for. Other
// commands have their results on standard output, and say this beside it.
func (u *ui) say(text string) { u.sayRaw(text + "\n") }

// sayRaw is say for a text that may lack its last line end.
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

// terminalSize returns how many columns the terminal f has, 0 where f is none.
func terminalSize(f *os.File) int {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	if size.Col == 0 {
		return 80 // a serial console does not know
	}
	return int(size.Col)
}

// isTerminal reports whether f is a terminal that a person may sit at.
func isTerminal(f *os.File) bool { return terminalSize(f) > 0 }

// A progress is one line on a terminal, rewritten in place: phase, bytes, rate,
// time left.
type progress struct {
	ui     *ui
	phase  string
	total  int64 // -1: unknown
	start  time.Time
	shown  time.Time
	done   int64
	widest int
}

// progressInterval is how often the line is rewritten: often enough to look
// alive, seldom enough for a serial console.
const progressInterval = 200 * time.Millisecond

// begin starts a progress line, which Close ends. If no terminal shows it, and after
// -q, it is nil, on which the methods do nothing.
func (u *ui) begin(phase string, total int64) *progress {
	if u.columns == 0 || u.quiet {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.progress = &progress{ui: u, phase: phase, total: total, start: time.Now()}
	return u.progress
}

// Write counts bytes, so that a progress can stand behind io.TeeReader.
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

// progressText is what a progress line says.
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

// Close takes the line away.
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

// clear takes the progress line away for a moment. The caller holds the lock.
func (u *ui) clear() {
	if u.passing > 0 {
		fmt.Fprintf(u.err, "\r%*s\r", u.passing, "")
		u.passing = 0
	}
	if u.progress != nil && u.progress.widest > 0 {
		fmt.Fprintf(u.err, "\r%*s\r", u.progress.widest, "")
	}
}

// listener passes on what the packages below have to say.
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
