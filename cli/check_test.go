package cli

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"lxc-pull/image"
	"lxc-pull/untar"
)

// JSON has text, so it has a path that is not UTF-8 in another member, too: two files never have
// the same members.
func TestCheckPathHex(t *testing.T) {
	var out, err strings.Builder
	c := new(checkCall)
	c.made.json = true
	c.print(&ui{out: &out, err: &err}, &untar.Comparison{Differences: []*untar.Difference{{Path: "a\xff", Fate: untar.Added}, {Path: "a\ufffd", Fate: untar.Added}}}, &image.Image{})
	want := `[
  {"path": "/a\ufffd", "path_hex": "2f61ff", "fate": "added", "flags": ".......?.", "edited": false},
  {"path": "/a\ufffd", "fate": "added", "flags": ".......?.", "edited": false}
]
`
	if got := strings.ReplaceAll(out.String(), "\ufffd", `\ufffd`); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Another image than the one that the record names is a difference, also with -q.
func TestCheckOtherImage(t *testing.T) {
	var out, text strings.Builder
	c := &checkCall{other: true}
	c.made.name = "web"
	err := c.print(&ui{out: &out, err: &text, quiet: true}, new(untar.Comparison), &image.Image{Build: "1"})
	if err == nil || exitStatus(err) != exitFailure || !strings.Contains(text.String(), "image.json has another SHA-256 digest than this image") {
		t.Errorf("%v, %q", err, text.String())
	}
}

// Work that hangs does not outlive a signal by more than cleanupTime; other work may clean up.
func TestUntilEnded(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(io.ErrClosedPipe)
	cleaned := errors.New("cleaned up")
	if err := untilEnded(ctx, func() error { time.Sleep(time.Millisecond); return cleaned }); err != cleaned {
		t.Error(err)
	}
	hang := make(chan struct{})
	defer close(hang)
	if err := untilEnded(ctx, func() error { <-hang; return nil }); err != io.ErrClosedPipe {
		t.Error(err)
	}
}

// A path of a container can't forge a line of the output, or steer a terminal.
func TestCheckPrintsPaths(t *testing.T) {
	result := &untar.Comparison{More: 2, Differences: []*untar.Difference{
		{Path: "a\n..5....?.   /bin/su\x1b[2J", Fate: untar.Added},
		{Path: "", Wrong: untar.AspectMode | untar.AspectGroup, Unknown: untar.AspectContent},
		{Path: "etc/hostname", Wrong: untar.AspectContent, Edited: true},
	}}
	var out, err strings.Builder
	ui := &ui{out: &out, err: &err}
	c := new(checkCall)
	c.made.name = "web"
	if err := c.print(ui, result, &image.Image{Build: "1"}); err == nil || exitStatus(err) != exitFailure {
		t.Error(err)
	}
	want := "added       /a\\x0a..5....?.   /bin/su\\x1b[2J\n.M?...G?.   /\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	if !strings.Contains(err.String(), "2 more files differ") || !strings.Contains(err.String(), "web: 4 files differ") {
		t.Error(err.String())
	}
	// Another user's record can't say which changes do not count.
	out.Reset()
	err.Reset()
	c.foreign = true
	result.More = 0
	result.Differences = result.Differences[2:]
	if c.print(ui, result, &image.Image{Build: "1"}) == nil || out.String() != "..5....?. c /etc/hostname\n" {
		t.Errorf("got %q", out.String())
	}
	if !strings.Contains(err.String(), "image.json belongs to another user") || !strings.Contains(err.String(), "web: 1 file differs from ") || strings.Contains(err.String(), "creation edited 1") {
		t.Error(err.String())
	}
}
