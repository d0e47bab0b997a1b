package pty

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
