// Package terminal runs a program on a pseudo-terminal, and knows what a terminal shows.
package terminal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxOutput is the largest output of a program in bytes. A picture needs a few kilobytes;
// a container's console at boot writes less than 100 kB.
const maxOutput = 4 << 20

// A Chunk is a piece of output and the time at which it arrived.
type Chunk struct {
	At   time.Time
	Text []byte
}

// A Terminal is a program that runs on a pseudo-terminal.
type Terminal struct {
	cmd     *exec.Cmd
	master  *os.File
	columns int

	mu     sync.Mutex
	chunks []Chunk
	size   int
	news   chan struct{} // closed and replaced when output arrives or the output has ended
	ended  bool
}

// Start starts cmd on a new terminal of that many columns and rows. The terminal is its
// standard input, output and error, and its controlling terminal.
func Start(cmd *exec.Cmd, columns, rows int) (*Terminal, error) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	slave, err := openSlave(master, columns, rows)
	if err != nil {
		master.Close()
		return nil, err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty, cmd.SysProcAttr.Ctty = true, true, 0
	err = cmd.Start()
	slave.Close()
	if err != nil {
		master.Close()
		return nil, err
	}
	t := &Terminal{cmd: cmd, master: master, columns: columns, news: make(chan struct{})}
	go t.read()
	return t, nil
}

// openSlave unlocks and opens the program's side of a terminal.
func openSlave(master *os.File, columns, rows int) (*os.File, error) {
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, fmt.Errorf("unlock the terminal: %v", err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, fmt.Errorf("number of the terminal: %v", err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: uint16(columns), Row: uint16(rows)}); err != nil {
		return nil, fmt.Errorf("size of the terminal: %v", err)
	}
	return os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
}

// read collects the output until the last process has closed the terminal.
func (t *Terminal) read() {
	buf := make([]byte, 32<<10)
	for {
		n, err := t.master.Read(buf)
		t.mu.Lock()
		if n > 0 && t.size < maxOutput {
			t.chunks = append(t.chunks, Chunk{time.Now(), append([]byte(nil), buf[:n]...)})
			t.size += n
		}
		t.ended = err != nil // EIO when no process has the terminal open
		close(t.news)
		t.news = make(chan struct{})
		t.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Chunks returns the output so far.
func (t *Terminal) Chunks() []Chunk {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]Chunk(nil), t.chunks...)
}

// Output returns the output so far as one text.
func (t *Terminal) Output() string {
	var b strings.Builder
	for _, c := range t.Chunks() {
		b.Write(c.Text)
	}
	return b.String()
}

// Screen returns what the terminal shows now.
func (t *Terminal) Screen() *Screen {
	s := &Screen{Columns: t.columns}
	s.Write(t.Output())
	return s
}

// Type sends keys to the program.
func (t *Terminal) Type(keys string) error {
	_, err := io.WriteString(t.master, keys)
	return err
}

// Expect waits until the output from byte offset from on contains text. It returns the
// offset behind the text.
func (t *Terminal) Expect(ctx context.Context, text string, from int) (int, error) {
	for {
		t.mu.Lock()
		news, ended := t.news, t.ended
		t.mu.Unlock()
		output := t.Output()
		if from <= len(output) {
			if at := strings.Index(output[from:], text); at >= 0 {
				return from + at + len(text), nil
			}
		}
		if ended {
			return 0, fmt.Errorf("the program ended without printing %q", text)
		}
		select {
		case <-news:
		case <-ctx.Done():
			return 0, fmt.Errorf("the program has not printed %q: %w", text, ctx.Err())
		}
	}
}

// Wait waits for the program's end and returns its exit status.
func (t *Terminal) Wait() (int, error) {
	err := t.cmd.Wait()
	// The rest of the output is in the terminal still.
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		t.mu.Lock()
		ended := t.ended
		t.mu.Unlock()
		if ended {
			break
		}
	}
	t.master.Close()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	return t.cmd.ProcessState.ExitCode(), nil
}
