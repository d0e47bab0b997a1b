package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// This file runs the program on a pseudo-terminal and shows what a terminal would show.

// A ptyRun is a run of the program on a pseudo-terminal.
type ptyRun struct {
	t      *testing.T
	master *os.File
	slave  *os.File // kept open, so that the terminal's modes outlive the program
	cmd    *exec.Cmd
	read   chan struct{} // closed when all output has been read
	before unix.Termios  // the modes when the program began
	after  unix.Termios  // the modes when the program had ended
	ended  bool

	mu     sync.Mutex // guards the fields below
	output []byte
	model  screenModel
}

// startPTY runs the program (this test binary as lxc-pull, as script_test.go does) as the
// leader of a session on a new pseudo-terminal. env is added to the test's environment.
func startPTY(t *testing.T, columns, rows int, env []string, args ...string) *ptyRun {
	t.Helper()
	needsKernel(t)
	master, slave := openPTY(t)
	p := &ptyRun{t: t, master: master, slave: slave, read: make(chan struct{})}
	p.model.resize(columns, rows)
	p.setSize(columns, rows)
	p.cmd = exec.Command("lxc-pull", args...)
	p.cmd.Env = append(os.Environ(), "TERM=vt100", "HOME="+t.TempDir(), "LXC_TEMPLATE_CONFIG="+t.TempDir(), "LXC_CACHE_PATH="+t.TempDir())
	p.cmd.Env = append(p.cmd.Env, env...)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = slave, slave, slave
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	p.before = p.modes()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.readAll()
	t.Cleanup(func() {
		if !p.ended {
			p.cmd.Process.Kill()
			p.cmd.Wait()
		}
		p.slave.Close()
		p.master.Close()
	})
	return p
}

// openPTY returns both ends of a new pseudo-terminal. It skips the test if there is none.
// master does not block, so that Close ends a Read; its method Fd would change that.
func openPTY(t *testing.T) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	master = os.NewFile(uintptr(fd), "ptmx")
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	return master, slave
}

// readAll reads the program's output until the terminal is closed.
func (p *ptyRun) readAll() {
	defer close(p.read)
	buf := make([]byte, 4096)
	for {
		n, err := p.master.Read(buf)
		p.mu.Lock()
		p.output = append(p.output, buf[:n]...)
		p.model.write(buf[:n])
		p.mu.Unlock()
		if err != nil {
			return // EIO: no process has the terminal open
		}
	}
}

// send types keys.
func (p *ptyRun) send(keys string) {
	p.t.Helper()
	if _, err := p.master.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

// signal sends a signal to the program.
func (p *ptyRun) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// resize changes the size of the terminal, and the kernel sends SIGWINCH.
func (p *ptyRun) resize(columns, rows int) {
	p.t.Helper()
	p.mu.Lock()
	p.model.resize(columns, rows)
	p.mu.Unlock()
	p.setSize(columns, rows)
}

func (p *ptyRun) setSize(columns, rows int) {
	size := unix.Winsize{Col: uint16(columns), Row: uint16(rows)}
	if err := unix.IoctlSetWinsize(int(p.slave.Fd()), unix.TIOCSWINSZ, &size); err != nil {
		p.t.Fatal(err)
	}
}

// wait waits until the screen shows text. After 20 s it fails with the screen.
func (p *ptyRun) wait(text string) {
	p.t.Helper()
	p.until(fmt.Sprintf("%q", text), func(screen string) bool { return strings.Contains(screen, text) })
}

// until waits until good accepts the screen. After 20 s it fails with the screen.
func (p *ptyRun) until(what string, good func(screen string) bool) {
	p.t.Helper()
	for late := time.Now().Add(20 * time.Second); !good(p.screen()); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(late) {
			p.t.Fatalf("waited for %s; the screen is\n%s", what, p.screen())
		}
	}
}

// screen returns what a terminal would show: its rows, without trailing blanks and trailing
// empty rows, joined by newlines.
func (p *ptyRun) screen() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.model.String()
}

// raw returns all bytes that the program has written, as the terminal got them.
func (p *ptyRun) raw() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.output)
}

// modes returns the present modes of the terminal.
func (p *ptyRun) modes() unix.Termios {
	p.t.Helper()
	if p.ended {
		return p.after
	}
	modes, err := unix.IoctlGetTermios(int(p.slave.Fd()), unix.TCGETS)
	if err != nil {
		p.t.Fatal(err)
	}
	return *modes
}

// end waits until the program has ended and its output has been read. It returns the exit
// status, or 128 and the number of the signal that killed the program.
func (p *ptyRun) end() int {
	p.t.Helper()
	late := time.AfterFunc(20*time.Second, func() { p.cmd.Process.Kill() })
	err := p.cmd.Wait()
	if !late.Stop() {
		p.t.Errorf("the program did not end; the screen is\n%s", p.screen())
	}
	if modes, err := unix.IoctlGetTermios(int(p.slave.Fd()), unix.TCGETS); err == nil { // else master is closed
		p.after = *modes
	}
	p.ended = true
	p.slave.Close()
	<-p.read
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	if status := p.cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		return 128 + int(status.Signal())
	}
	return p.cmd.ProcessState.ExitCode()
}

// A screenModel is a terminal like a VT100 with automatic wrapping: a character in the last
// column leaves the cursor there, and the next character begins a new row.
type screenModel struct {
	columns, rows int
	cells         [][]rune
	x, y          int
	wrap          bool   // the next character begins a new row
	hidden        bool   // the cursor is
	rest          []byte // the beginning of a character or a control sequence
}

// resize keeps the text at the top left, as xterm does. If the cursor would be below the
// screen, the text scrolls.
func (s *screenModel) resize(columns, rows int) {
	for s.y >= rows {
		s.cells = append(s.cells[1:], nil)
		s.y--
	}
	cells := make([][]rune, rows)
	for y := range cells {
		cells[y] = slices.Repeat([]rune{' '}, columns)
		if y < len(s.cells) {
			copy(cells[y], s.cells[y])
		}
	}
	s.cells, s.columns, s.rows, s.wrap = cells, columns, rows, false
	s.x = min(s.x, columns-1)
}

func (s *screenModel) String() string {
	var b strings.Builder
	for _, row := range s.cells {
		b.WriteString(strings.TrimRight(string(row), " ") + "\n")
	}
	return strings.TrimRight(b.String(), "\n")
}

func (s *screenModel) write(data []byte) {
	s.rest = append(s.rest, data...)
	for len(s.rest) > 0 {
		n := s.step(s.rest)
		if n == 0 {
			return // more bytes are needed
		}
		s.rest = s.rest[n:]
	}
}

// step carries out the first character or control sequence and returns its length, 0 if it is
// incomplete.
func (s *screenModel) step(b []byte) int {
	switch c := b[0]; {
	case c == 0x1b:
		return s.escape(b)
	case c == '\r':
		s.x, s.wrap = 0, false
	case c == '\n':
		s.wrap = false
		s.lineFeed()
	case c == '\b':
		s.x, s.wrap = max(s.x-1, 0), false
	case c == '\t':
		s.x = min((s.x/8+1)*8, s.columns-1)
	case c < ' ' || c == 0x7f:
	default:
		if !utf8.FullRune(b) {
			return 0
		}
		r, n := utf8.DecodeRune(b)
		s.put(r)
		return n
	}
	return 1
}

func (s *screenModel) lineFeed() {
	if s.y++; s.y == s.rows {
		s.cells = append(s.cells[1:], slices.Repeat([]rune{' '}, s.columns))
		s.y--
	}
}

func (s *screenModel) put(r rune) {
	if s.wrap {
		s.x, s.wrap = 0, false
		s.lineFeed()
	}
	s.cells[s.y][s.x] = r
	if s.x++; s.x == s.columns {
		s.x, s.wrap = s.columns-1, true
	}
}

// escape carries out an escape sequence (ECMA-48, sections 5.4 and 8.3).
func (s *screenModel) escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	if b[1] == ']' { // an operating system command ends with BEL or ESC \
		for i := 2; i < len(b); i++ {
			if b[i] == 7 {
				return i + 1
			}
			if b[i] == '\\' && b[i-1] == 0x1b {
				return i + 1
			}
		}
		return 0
	}
	if b[1] != '[' {
		return 2
	}
	end := 2
	for end < len(b) && (b[end] < 0x40 || b[end] > 0x7e) {
		end++
	}
	if end == len(b) {
		return 0
	}
	text := string(b[2:end])
	private := strings.HasPrefix(text, "?")
	var numbers [2]int
	for i, field := range strings.SplitN(strings.TrimPrefix(text, "?"), ";", 2) {
		numbers[i], _ = strconv.Atoi(field)
	}
	s.control(b[end], private, numbers)
	return end + 1
}

// control carries out the control sequence with that final byte.
func (s *screenModel) control(final byte, private bool, numbers [2]int) {
	n := max(numbers[0], 1)
	if final != 'm' && !private {
		s.wrap = false
	}
	switch final {
	case 'A':
		s.y = max(s.y-n, 0)
	case 'B':
		s.y = min(s.y+n, s.rows-1)
	case 'C':
		s.x = min(s.x+n, s.columns-1)
	case 'D':
		s.x = max(s.x-n, 0)
	case 'G':
		s.x = min(n, s.columns) - 1
	case 'H', 'f':
		s.y, s.x = min(n, s.rows)-1, min(max(numbers[1], 1), s.columns)-1
	case 'K':
		from, to := s.x, s.columns
		if numbers[0] == 1 {
			from, to = 0, s.x+1
		} else if numbers[0] == 2 {
			from = 0
		}
		s.erase(s.y, from, to)
	case 'J':
		for y := range s.cells {
			switch {
			case numbers[0] == 2, numbers[0] == 0 && y > s.y, numbers[0] == 1 && y < s.y:
				s.erase(y, 0, s.columns)
			case numbers[0] == 0 && y == s.y:
				s.erase(y, s.x, s.columns)
			case numbers[0] == 1 && y == s.y:
				s.erase(y, 0, s.x+1)
			}
		}
	case 'h', 'l':
		if private && numbers[0] == 25 {
			s.hidden = final == 'l'
		}
	}
}

func (s *screenModel) erase(y, from, to int) {
	for x := from; x < to; x++ {
		s.cells[y][x] = ' '
	}
}

func TestScreenModel(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"one\r\ntwo", "one\ntwo"},
		{"0123456789", "0123456789"},
		{"0123456789\rx", "x123456789"},
		{"0123456789ab", "0123456789\nab"},
		{"0123456789\r\nab", "0123456789\nab"},
		{"1\r\n2\r\n3\r\n4\r\n5", "2\n3\n4\n5"},
		{"abc\r\ndef\x1b[A\rx\x1b[K", "x\ndef"},
		{"abc\r\ndef\x1b[1A\x1b[2D\x1b[J", "a"},
		{"abc\b\bX\x1b[1;31mY\x1b[0m", "aXY"},
		{"\x1b[2;3Hx\x1b[5Gy\x1b[?25l\x1b]0;title\x07z", "\n  x yz"},
		{"ü\tx", "ü       x"},
	} {
		var s screenModel
		s.resize(10, 4)
		for i := range len(c.in) { // in pieces
			s.write([]byte{c.in[i]})
		}
		if got := s.String(); got != c.want {
			t.Errorf("%q shows %q, want %q", c.in, got, c.want)
		}
	}
}

// The program's texts arrive, its modes are seen, and its end is.
func TestPTY(t *testing.T) {
	p := startPTY(t, 40, 10, nil, "help", "version")
	if code := p.end(); code != 0 || p.modes() != p.before || !strings.Contains(p.screen(), "Usage: lxc-pull version") {
		t.Errorf("exit status %d, screen\n%s", code, p.screen())
	}
	if !strings.Contains(p.raw(), "\r\n") {
		t.Errorf("raw output %q", p.raw())
	}
}
