package untar

import (
	"archive/tar"
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

var patternNames = []string{"./dev", "./dev/console", "./dev/consoleX", "./dev/pts/0", "./a[b", "./x*y", "./xzy", "./\xc3\xa9t\xc3\xa9", "./a/b/c", "./a-b", "./A1", "./back\\slash", "./sp ace"}

var patterns = []string{"./dev", "./dev/", "./dev/console", "./dev/*", "./de*", "*", "./*", "./?ev/console", "dev/console", "console", "./[ax]*", "./[!d]*", "./[^d]*", "./a[[]b",
	"./a[b", "./x\\*y", "./x*y", "./?t?", "./[[:upper:]][[:digit:]]", "./a[a-z-]b", "./a/b", "./*/c", "./sp ace", "./[]a]*", "./dev/pts/?", "*/console",
	"./[[.a.]]*", "./[[=x=]]*", "./[[.a.]-[.c.]]*", "./[![.d.]]*"}

// TestPatterns compares excludes with GNU tar's.
func TestPatterns(t *testing.T) {
	gnu, err := exec.LookPath("tar")
	if err != nil {
		t.Skip("GNU tar is not there to compare with")
	}
	if out, err := exec.Command(gnu, "--version").Output(); err != nil || !bytes.Contains(out, []byte("GNU tar")) {
		t.Skip("tar is not GNU tar")
	}
	var headers []tar.Header
	for _, n := range patternNames {
		headers = append(headers, tar.Header{Name: n, Format: tar.FormatGNU})
	}
	archive := build(t, "", headers...)
	for _, p := range patterns {
		cmd := exec.Command(gnu, "--anchored", "--exclude="+p, "--quoting-style=literal", "-tf", "-")
		cmd.Stdin = bytes.NewReader(archive)
		cmd.Env = []string{"LC_ALL=C.UTF-8"}
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", p, err)
		}
		want := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
		var got []string
		for _, n := range patternNames {
			if !newPattern(p).match([]byte(n)) {
				got = append(got, n)
			}
		}
		if p == "dev/console" {
			continue // ours matches without "./", too
		}
		if len(got) == 0 && len(want) == 1 && want[0] == "" {
			continue
		}
		if !slices.Equal(got, want) {
			t.Errorf("pattern %q leaves %q, GNU tar %q", p, got, want)
		}
	}
}

// TestPatternsWithoutDot fixes what differs from GNU tar.
func TestPatternsWithoutDot(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"dev/console", "./dev/console", true},
		{"./dev/console", "dev/console", true},
		{"console", "./dev/console", false},
		{"./dev/*", "./dev/", false},
		{"./dev", "./dev/", true},
		{"./dev", "./dev/null", true},
		{"./dev", "./devil", false},
		{"./[!a-z]*", "./", false},
		{"./.*", "./", false},
		{".", "./", true},
	} {
		if got := newPattern(c.pattern).match([]byte(c.name)); got != c.want {
			t.Errorf("%q matches %q: %v", c.pattern, c.name, got)
		}
	}
}
