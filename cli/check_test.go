package cli

import (
	"strings"
	"testing"

	"lxc-pull/image"
	"lxc-pull/untar"
)

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
