package untar

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

var patternNames = []string{"./dev", "./dev/console", "./dev/consoleX", "./dev/pts/0", "./a[b", "./x*y", "./xzy", "./\xc3\xa9t\xc3\xa9", "./a/b/c", "./a-b", "./A1", "./back\\slash", "./sp ace"}

var patterns = []string{"./dev", "./dev/", "./dev/console", "./dev/*", "./de*", "*", "./*", "./?ev/console", "dev/console", "console", "./[ax]*", "./[!d]*", "./[^d]*", "./a[[]b",
	"./a[b", "./x\\*y", "./x*y", "./?t?", "./[[:upper:]][[:digit:]]", "./a[a-z-]b", "./a/b", "./*/c", "./sp ace", "./[]a]*", "./dev/pts/?", "*/console",
	"./[[.a.]]*", "./[[=x=]]*", "./[[.a.]-[.c.]]*", "./[![.d.]]*"}

// plenty is more steps than a test needs.
func plenty() *int64 {
	steps := int64(1 << 40)
	return &steps
}

// TestPatterns compares excludes with GNU tar.
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
			if !newPattern(p).match([]byte(n), plenty()) {
				got = append(got, n)
			}
		}
		if p == "dev/console" {
			continue // this package also matches without "./"
		}
		if len(got) == 0 && len(want) == 1 && want[0] == "" {
			continue
		}
		if !slices.Equal(got, want) {
			t.Errorf("pattern %q leaves %q, GNU tar %q", p, got, want)
		}
	}
}

// TestPatternsWithoutDot tests what differs from GNU tar.
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
		if got := newPattern(c.pattern).match([]byte(c.name), plenty()); got != c.want {
			t.Errorf("%q matches %q: %v", c.pattern, c.name, got)
		}
	}
}

// Patterns without wildcards are looked up by hash, with the same result as pattern.match.
func TestListedPatterns(t *testing.T) {
	names := append([]string{".", "./", "dev", "dev/", "dev/null", "././dev", "./dev//null", "/dev", "a/b/c/", ".//dev"}, patternNames...)
	for _, text := range []string{"./dev", "dev", "./dev/", "dev/console", ".", "./", "./.", "/dev", "././dev", "./a/b", "a/b", "b", "./sp ace", "./a/b/c/d"} {
		s, err := newSelection(&Options{Filter: Filter{Exclude: []string{text}}})
		if err != nil {
			t.Fatal(err)
		}
		if len(s.exclude) > 0 {
			t.Fatalf("%q is tried in turn", text)
		}
		for _, n := range names {
			if got, want := s.isListed([]byte(n)), newPattern(text).match([]byte(n), plenty()); got != want {
				t.Errorf("%q excludes %q: %v, in turn %v", text, n, got, want)
			}
		}
	}
}

// A list of patterns or members may be as long as a list of all files. An entry costs the
// same as with a short list.
func TestLongLists(t *testing.T) {
	var lines []string
	for i := range 200_000 {
		lines = append(lines, fmt.Sprintf("./usr/share/doc/p%d", i))
	}
	began := time.Now()
	s, err := newSelection(&Options{Filter: Filter{Exclude: lines, Members: append(lines, "var", "var/lib", "var")}})
	if err != nil {
		t.Fatal(err)
	}
	for range 20_000 {
		if ok, err := s.selects([]byte("./var/lib/dpkg/info/x.list")); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if ok, err := s.selects([]byte("./usr/share/doc/p199999/copyright")); ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	// One by one this would take eight thousand million comparisons.
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
	for i, m := range s.members {
		if m.found != (i >= len(lines)) {
			t.Fatalf("%s found: %v", m.path, m.found)
		}
	}
	if _, err := newSelection(&Options{Filter: Filter{Exclude: []string{strings.Repeat("*", maxWildcards+1)}}}); err != errWildcards {
		t.Errorf("too many wildcards: %v", err)
	}
}

// The cost of patterns is limited, whatever they are, and counted in steps.
func TestPatternSteps(t *testing.T) {
	component := strings.Repeat("a", 127) + "/"
	long := strings.Repeat(component, 31)
	for _, text := range []string{
		"*" + strings.Repeat("?", 2000) + "b", strings.Repeat("*a", 30000) + "b", strings.Repeat("[", 60000), "*[" + strings.Repeat("[:", 30000), "*" + strings.Repeat("[^b]", 1000) + "b",
	} {
		s, err := newSelection(&Options{Filter: Filter{Exclude: []string{text}}})
		if err != nil {
			t.Fatal(err)
		}
		s.steps = 1 << 20 // a slow machine takes a second for that
		before := time.Now()
		for range 100 {
			if _, err = s.selects([]byte(long)); err != nil {
				break
			}
		}
		// Without a limit these take minutes or hours.
		if d := time.Since(before); err != nil && err != errSteps || d > 30*time.Second {
			t.Errorf("%.20q: %v after %v", text, err, d)
		}
	}
	for _, text := range []string{"*" + strings.Repeat("?", 2000) + "b", "*[" + strings.Repeat("[:", 30000)} {
		s, err := newSelection(&Options{Filter: Filter{Exclude: []string{text}}})
		if err != nil {
			t.Fatal(err)
		}
		s.steps = 1 << 20
		for range 100 {
			if _, err = s.selects([]byte(long)); err != nil {
				break
			}
		}
		if err != errSteps {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	// A usual list stays far below the limit.
	var list []string
	for i := range 500 {
		list = append(list, fmt.Sprintf("./usr/share/*/thing%d/*", i))
	}
	s, err := newSelection(&Options{Filter: Filter{Exclude: list}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5000 {
		if ok, err := s.selects(fmt.Appendf(nil, "./usr/share/doc/package-%d/changelog.Debian.gz", i)); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	if s.steps < firstSteps {
		t.Errorf("%d steps are left", s.steps)
	}
	// A name longer than PATH_MAX matches no wildcard.
	s, err = newSelection(&Options{Filter: Filter{Exclude: []string{"*"}}})
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]bool{4096: false, 4097: true} {
		if ok, err := s.selects([]byte(strings.Repeat(component, 31) + strings.Repeat("a", n-31*128))); ok != want || err != nil {
			t.Errorf("%d bytes: %v, %v", n, ok, err)
		}
	}
}
