package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"lxc-pull/untar"
)

// TestListLine compares the listing with GNU tar's.
func TestListLine(t *testing.T) {
	gnu, err := exec.LookPath("tar")
	if err != nil {
		t.Skip("GNU tar is not there to compare with")
	}
	if out, err := exec.Command(gnu, "--version").Output(); err != nil || !bytes.Contains(out, []byte("GNU tar")) {
		t.Skip("tar is not GNU tar")
	}
	for _, name := range []string{"format-v7", "format-ustar-prefix", "format-gnu-long-link", "type-fifo", "folder-root", "folder-sticky",
		"folder-read-only", "link-over-file", "symlink-targets", "sparse-gnu", "sparse-1.0", "sparse-large-hole", "pax-mtime-fraction",
		"number-mtime-negative", "pax-global-comment", "pax-size-wins"} {
		file := "testdata/tar/" + name + ".tar"
		for _, numeric := range []bool{false, true} {
			args := []string{"-tvf", file}
			if numeric {
				args = append(args, "--numeric-owner")
			}
			cmd := exec.Command(gnu, args...)
			cmd.Env = []string{"TZ=UTC", "LC_ALL=C.UTF-8"}
			want, err := cmd.Output()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			archive, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			err = untar.Options{}.Walk(bytes.NewReader(archive), func(e *untar.Entry, _ io.Reader) error {
				got.WriteString(listLine(e, numeric, time.UTC))
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != string(want) {
				t.Errorf("%s, numeric %v:\n%swant\n%s", name, numeric, got.String(), want)
			}
		}
	}
}

// TestListLineEscapes shows that a name can't draw on the terminal or begin a
// line of its own.
func TestListLineEscapes(t *testing.T) {
	e := &untar.Entry{Type: untar.TypeSymlink, Name: []byte("a\x1b[2K\nb\t\xff"), Link: []byte("\r\u202e"), Uname: []byte("\x07"), Mode: 0o7777}
	got := listLine(e, false, time.UTC)
	want := `lrwsrwsrwt \x07/0            0 1970-01-01 00:00 a\x1b[2K\nb\t\xff -> \x0d\u202e` + "\n"
	if got != want {
		t.Errorf("line is %q, want %q", got, want)
	}
}

func TestOldStyle(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"xpf a.tar", "-x -p -f a.tar"},
		{"xCf dir a.tar m", "-x -C dir -f a.tar m"},
		{"tvf a.tar", "-t -v -f a.tar"},
		{"-xpf a.tar", "-xpf a.tar"},
		{"xyz.tar", "xyz.tar"},
		{"archive", "archive"},
		{"xf", "-x -f"},
		{"", ""},
	} {
		if got := oldStyle(strings.Fields(c.args)); !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%q is %q, want %q", c.args, got, c.want)
		}
	}
}
