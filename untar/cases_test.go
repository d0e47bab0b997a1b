package untar

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A testCase is a paragraph of testdata/tar/cases.txt. scripts/lab/tarvectors describes the
// format.
type testCase struct {
	name    string
	about   string
	accept  map[bool]bool // by strictness
	has     []string
	hasnot  []string
	archive []byte
}

func readCases(t testing.TB) []testCase {
	const dir = "testdata/tar"
	text, err := os.ReadFile(filepath.Join(dir, "cases.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []testCase
	for paragraph := range strings.SplitSeq(string(text), "\n\n") {
		lines := strings.Split(strings.TrimSpace(paragraph), "\n")
		if strings.HasPrefix(lines[0], "#") {
			continue
		}
		c := testCase{name: lines[0], accept: map[bool]bool{}}
		for _, line := range lines[1:] {
			key, value, _ := strings.Cut(line, " ")
			switch key {
			case "about":
				c.about = value
			case "strict":
				c.accept[true] = value == "accept"
			case "lenient":
				c.accept[false] = value == "accept"
			case "has":
				c.has = append(c.has, value)
			case "hasnot":
				c.hasnot = append(c.hasnot, value)
			default:
				t.Fatalf("cases.txt: line %q", line)
			}
		}
		if c.archive, err = os.ReadFile(filepath.Join(dir, c.name)); err != nil {
			t.Fatal(err)
		}
		cases = append(cases, c)
	}
	return cases
}

// A sandbox is a root to extract into, next to a directory that must not change.
type sandbox struct {
	dir, root string
	before    string
}

func newSandbox(t testing.TB) *sandbox {
	s := &sandbox{dir: t.TempDir()}
	s.root = filepath.Join(s.dir, "root")
	for _, d := range []string{"root", "victim"} {
		if err := os.Mkdir(filepath.Join(s.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(s.dir, "victim/hello"), []byte("hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.before = s.outside(t)
	// An ordinary user could not remove all of it with os.RemoveAll.
	t.Cleanup(func() {
		r, err := OpenRoot(s.dir)
		if err != nil {
			t.Error(err)
			return
		}
		defer r.Close()
		if err := r.RemoveContents(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// outside describes everything next to the root.
func (s *sandbox) outside(t testing.TB) string {
	var b strings.Builder
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path == s.root {
			return filepath.SkipDir
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		if path == s.dir {
			st.Atim = unix.Timespec{}
		}
		fmt.Fprintln(&b, path, st.Mode, st.Nlink, st.Uid, st.Gid, st.Size, st.Mtim, st.Ino)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func (s *sandbox) check(t testing.TB) {
	t.Helper()
	if now := s.outside(t); now != s.before {
		t.Errorf("something outside the root changed:\n%s\nwas:\n%s", now, s.before)
	}
}

// extract extracts an archive into the sandbox.
func (s *sandbox) extract(t testing.TB, archive []byte, opt Options) (*Report, error) {
	t.Helper()
	r, err := OpenRoot(s.root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	rep, err := r.Extract(bytes.NewReader(archive), opt)
	if ferr := r.Finish(); ferr != nil {
		t.Error(ferr)
	}
	return rep, err
}

// word returns the first word of a line, which may be quoted, and the rest.
func word(line string) (string, string) {
	if strings.HasPrefix(line, `"`) {
		if q, err := strconv.QuotedPrefix(line); err == nil {
			s, _ := strconv.Unquote(q)
			return s, strings.TrimPrefix(line[len(q):], " ")
		}
	}
	first, rest, _ := strings.Cut(line, " ")
	return first, rest
}

// mustHave compares an entry of the tree with a line of a case.
func (s *sandbox) mustHave(line string) error {
	name, rest := word(line)
	path := filepath.Join(s.root, name)
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return fmt.Errorf("%s: %w", line, err)
	}
	kind, rest := word(rest)
	kinds := map[string]uint32{"file": unix.S_IFREG, "dir": unix.S_IFDIR, "symlink": unix.S_IFLNK, "fifo": unix.S_IFIFO, "char": unix.S_IFCHR}
	if st.Mode&unix.S_IFMT != kinds[kind] {
		return fmt.Errorf("%s: mode is %o", line, st.Mode)
	}
	for rest != "" {
		quoted := strings.HasPrefix(rest, `"`)
		var w string
		w, rest = word(rest)
		switch {
		case quoted && kind == "symlink":
			if target, err := os.Readlink(path); err != nil || target != w {
				return fmt.Errorf("%s: target is %q (%v)", line, target, err)
			}
		case quoted:
			if os.Geteuid() != 0 && st.Mode&0o400 == 0 {
				break
			}
			if data, err := os.ReadFile(path); err != nil || string(data) != w {
				return fmt.Errorf("%s: content is %q (%v)", line, data, err)
			}
		case w == "size":
			w, rest = word(rest)
			if strconv.FormatInt(st.Size, 10) != w {
				return fmt.Errorf("%s: size is %d", line, st.Size)
			}
		case w == "mtime":
			w, rest = word(rest)
			if got := fmt.Sprintf("%d.%09d", st.Mtim.Sec, st.Mtim.Nsec); got != w {
				return fmt.Errorf("%s: time is %s", line, got)
			}
		default:
			mode, err := strconv.ParseUint(w, 8, 32)
			if err != nil {
				return fmt.Errorf("%s: %w", line, err)
			}
			if st.Mode&0o7777 != uint32(mode) {
				return fmt.Errorf("%s: mode is %o", line, st.Mode)
			}
		}
	}
	return nil
}

func TestCases(t *testing.T) {
	for _, c := range readCases(t) {
		for _, strict := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/strict=%v", c.name, strict), func(t *testing.T) {
				s := newSandbox(t)
				_, err := s.extract(t, c.archive, Options{Strict: strict})
				s.check(t)
				if (err == nil) != c.accept[strict] {
					t.Fatalf("%s: error is %v, accepted should be %v", c.about, err, c.accept[strict])
				}
				if err != nil {
					return
				}
				for _, line := range c.has {
					if err := s.mustHave(line); err != nil {
						t.Error(err)
					}
				}
				for _, name := range c.hasnot {
					if _, err := os.Lstat(filepath.Join(s.root, name)); !errors.Is(err, fs.ErrNotExist) {
						t.Errorf("%s is there (%v)", name, err)
					}
				}
			})
		}
	}
}

// TestOneByteReads reads the archives byte by byte: the result must not depend on the size
// of reads.
func TestOneByteReads(t *testing.T) {
	for _, c := range readCases(t) {
		if len(c.archive) > 64<<10 {
			continue
		}
		var whole, pieces []string
		for i, r := range []*oneByte{{bytes.NewReader(c.archive), 1 << 20}, {bytes.NewReader(c.archive), 1}} {
			list := &whole
			if i == 1 {
				list = &pieces
			}
			s := newStream(r, false, false)
			for {
				e, err := s.next()
				if err != nil {
					*list = append(*list, err.Error())
					break
				}
				*list = append(*list, fmt.Sprintf("%q %c %d", e.Name, e.Type, e.Size))
			}
		}
		if strings.Join(whole, "\n") != strings.Join(pieces, "\n") {
			t.Errorf("%s: %q, in single bytes %q", c.name, whole, pieces)
		}
	}
}

type oneByte struct {
	r *bytes.Reader
	n int
}

func (o *oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(len(p), o.n)]) }

// makeTree makes files ("a/b=text"), directories ("d/") and links ("l->target") below a
// directory.
func makeTree(t testing.TB, root string, entries ...string) {
	t.Helper()
	for _, e := range entries {
		var err error
		name, target, link := strings.Cut(e, "->")
		name, text, _ := strings.Cut(name, "=")
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		switch {
		case link:
			err = os.Symlink(target, path)
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		default:
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
