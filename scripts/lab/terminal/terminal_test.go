package terminal

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestTerminal runs a shell on a terminal: it sees the size, answers keys, and its exit
// status comes back.
func TestTerminal(t *testing.T) {
	term, err := Start(exec.Command("sh", "-c", `stty size; read word; echo "got $word"; exit 7`), 93, 17)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	at, err := term.Expect(ctx, "17 93", 0)
	if err != nil {
		t.Fatalf("%v; it printed %q", err, term.Output())
	}
	if err := term.Type("word\r"); err != nil {
		t.Fatal(err)
	}
	if _, err := term.Expect(ctx, "got word", at); err != nil {
		t.Fatalf("%v; it printed %q", err, term.Output())
	}
	if _, err := term.Expect(ctx, "never printed", at); err == nil || !strings.Contains(err.Error(), "ended without") {
		t.Errorf("a text that never comes: %v", err)
	}
	if status, err := term.Wait(); status != 7 || err != nil {
		t.Errorf("exit status %d, %v", status, err)
	}
}

// TestScreen writes to a screen of ten columns.
func TestScreen(t *testing.T) {
	for _, test := range []struct{ output, want string }{
		{"a\r\nb\r\n", "a\nb\n"},
		{"long line\rshort\x1b[K\r\n", "short\n"},
		{"one\r\x1b[2Ktwo", "two\n"},
		{"1\r\n2\r\n3\x1b[2A\rx\x1b[J", "x\n"},
		{"abcdefghijkl", "abcdefghij\nkl\n"},
		{"ab\bc\x1b[5Cd", "ac     d\n"},
		{"\x1b[1;31mred\x1b[0m\x1b[?25h", "red\n"},
	} {
		s := &Screen{Columns: 10}
		s.Write(test.output)
		if got := s.Text(); got != test.want {
			t.Errorf("%q: got %q, want %q", test.output, got, test.want)
		}
	}
	s := &Screen{Columns: 10}
	s.Write("\x1b[1;31mr\x1b[22;2;39mg")
	if row := s.Lines()[0]; row[0].Style != (Style{Bold: true, Colour: 31}) || row[1].Style != (Style{Dim: true}) {
		t.Errorf("styles %+v", row)
	}
}
