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
	if c.print(ui, result, &image.Image{Build: "1"}) == nil {
		t.Error("no error")
	}
	want := "added       /a\\x0a..5....?.   /bin/su\\x1b[2J\n.M?...G?.   /\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	if !strings.Contains(err.String(), "2 more files differ") || !strings.Contains(err.String(), "web: 4 files differ") {
		t.Error(err.String())
	}
}
