package untar

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestRewrite(t *testing.T) {
	s := newSandbox(t)
	makeTree(t, s.root, "etc/hostname=LXC_NAME\n", "etc/link->hostname", "etc/out->../../victim/hello", "etc/dir/")
	file := filepath.Join(s.root, "etc/hostname")
	if err := os.Link(file, filepath.Join(s.root, "etc/hard")); err != nil {
		t.Skip("hard links:", err)
	}
	if err := os.Chmod(file, 0o640|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	xattrs := unix.Setxattr(file, "user.note", []byte("kept"), 0) == nil
	r, err := OpenRoot(s.root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	edit := func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("LXC_NAME"), []byte("web")) }
	for _, name := range []string{"etc/link", "/etc/hostname"} { // the second time nothing is left to do
		if err := r.Rewrite(name, 100, edit); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range []string{`etc/hostname file 04640 "web\n"`, `etc/hard file 04640 "web\n"`, `etc/link symlink 0777 "hostname"`} {
		if err := s.mustHave(line); err != nil {
			t.Error(err)
		}
	}
	if xattrs {
		value := make([]byte, 10)
		if n, err := unix.Getxattr(file, "user.note", value); err != nil || string(value[:n]) != "kept" {
			t.Errorf("attribute is %q (%v)", value[:max(n, 0)], err)
		}
	}
	var outside *OutsideError
	var irregular *NotRegularError
	var large *TooLargeError
	if err := r.Rewrite("etc/out", 100, edit); !errors.As(err, &outside) {
		t.Errorf("a link to outside: %v", err)
	}
	if err := r.Rewrite("etc/dir", 100, edit); !errors.As(err, &irregular) {
		t.Errorf("a directory: %v", err)
	}
	if err := r.Rewrite("etc/hostname/", 100, edit); !errors.As(err, &irregular) {
		t.Errorf("a file with a slash behind it: %v", err)
	}
	if err := r.Rewrite("etc/none", 100, edit); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if err := r.Rewrite("etc/hostname", 3, edit); !errors.As(err, &large) {
		t.Errorf("a file of 4 bytes: %v", err)
	}
	s.check(t)
}

// A file with several names is edited once.
func TestRewriterEditsAFileOnce(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a": "x", "other": "x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a", filepath.Join(dir, "c")); err != nil {
		t.Fatal(err)
	}
	r, err := OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w := Rewriter{Root: r, Max: 100, Edit: func(b []byte) []byte { return append(b, "y"...) }}
	for _, name := range []string{"a", "/a", "b", "c", "./c", "other"} {
		if err := w.Rewrite(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"b", "other"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); string(got) != "xy" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// After a merge, only files that the archive contained are edited. Other files may have a
// second name outside.
func TestRewriteAfterMerge(t *testing.T) {
	s := newSandbox(t)
	makeTree(t, s.root, "etc/old->hosts", "etc/hosts=old", "link->etc", "own=LXC_NAME", "self=LXC_NAME")
	outside := t.TempDir()
	for _, name := range []string{"own", "self"} {
		if err := os.Link(filepath.Join(s.root, name), filepath.Join(outside, name)); err != nil {
			t.Skip("hard links:", err)
		}
	}
	r, err := OpenRoot(s.root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	archive := build(t, "LXC_NAME", tar.Header{Name: "etc/hosts"}, tar.Header{Name: "self", Typeflag: tar.TypeLink, Linkname: "self"}, tar.Header{Name: "new"})
	if _, err := r.Extract(bytes.NewReader(archive), Options{Strict: true, Merge: true}); err != nil {
		t.Fatal(err)
	}
	edit := func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("LXC_NAME"), []byte("web")) }
	for name, want := range map[string]error{"new": nil, "etc/old": nil, "/link/hosts": nil, "own": ErrNotMade, "./self": ErrNotMade, "gone": fs.ErrNotExist} {
		if err := r.Rewrite(name, 100, edit); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	for _, line := range []string{`etc/hosts file 0644 "web"`, `new file 0644 "web"`, `own file 0644 "LXC_NAME"`, `self file 0644 "LXC_NAME"`} {
		if err := s.mustHave(line); err != nil {
			t.Error(err)
		}
	}
}

// An edit that changes nothing writes nothing, so that holes stay. The sum of all written
// bytes is limited.
func TestRewriterWritesLittle(t *testing.T) {
	dir := t.TempDir()
	hole := filepath.Join(dir, "hole")
	if err := os.WriteFile(hole, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(hole, 1<<20); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(hole, time.Unix(1234, 0), time.Unix(1234, 0)); err != nil {
		t.Fatal(err)
	}
	r, err := OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w := Rewriter{Root: r, Max: 4 << 20, Total: 1000, Edit: func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("a"), []byte("bb")) }}
	if err := w.Rewrite("hole"); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(hole, &st); err != nil || st.Blocks > 16 || st.Size != 1<<20 || st.Mtim.Sec == 1234 {
		t.Errorf("%d blocks, %d bytes, time %d, %v", st.Blocks, st.Size, st.Mtim.Sec, err)
	}
	for i, want := range []error{nil, nil, errTotal} {
		name := fmt.Sprint("f", i)
		if err := os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte("a"), 200), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := w.Rewrite(name); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "f2")); len(got) != 200 {
		t.Errorf("the file that is too much has %d bytes", len(got))
	}
}
