package untar

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// build returns an archive with these headers. The content of every regular file is text.
func build(t testing.TB, text string, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if h.Uid == 0 && h.Gid == 0 {
			h.Uid, h.Gid = os.Geteuid(), os.Getegid()
		}
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(text))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// tree lists the paths below the root; directories end with a slash.
func (s *sandbox) tree(t testing.TB) []string {
	t.Helper()
	var list []string
	err := filepath.Walk(s.root, func(path string, info os.FileInfo, err error) error {
		if err != nil || path == s.root {
			return err
		}
		rel, _ := filepath.Rel(s.root, path)
		if info.IsDir() {
			rel += "/"
		}
		list = append(list, rel)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func (s *sandbox) wantTree(t testing.TB, want ...string) {
	t.Helper()
	if got := s.tree(t); !slices.Equal(got, want) {
		t.Errorf("tree is %q, want %q", got, want)
	}
}

var nested = []tar.Header{
	{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755},
	{Name: "./dev/", Typeflag: tar.TypeDir, Mode: 0o755},
	{Name: "./dev/console"},
	{Name: "./dev/consoleX"},
	{Name: "./dev/pts/", Typeflag: tar.TypeDir, Mode: 0o755},
	{Name: "./dev/pts/0"},
	{Name: "./etc/", Typeflag: tar.TypeDir, Mode: 0o755},
	{Name: "./etc/hosts"},
	{Name: "./etc/link", Typeflag: tar.TypeLink, Linkname: "./etc/hosts"},
}

func TestSelection(t *testing.T) {
	for _, c := range []struct {
		name string
		opt  Options
		want []string
	}{
		{"all", Options{}, []string{"dev/", "dev/console", "dev/consoleX", "dev/pts/", "dev/pts/0", "etc/", "etc/hosts", "etc/link"}},
		{"one file", Options{Filter: Filter{Exclude: []string{"./dev/console", ""}}}, []string{"dev/", "dev/consoleX", "dev/pts/", "dev/pts/0", "etc/", "etc/hosts", "etc/link"}},
		{"a directory takes in what is below", Options{Filter: Filter{Exclude: []string{"./dev/pts"}}}, []string{"dev/", "dev/console", "dev/consoleX", "etc/", "etc/hosts", "etc/link"}},
		{"star matches slashes", Options{Filter: Filter{Exclude: []string{"./*s"}}}, []string{"dev/", "dev/console", "dev/consoleX", "etc/", "etc/link"}[:3]},
		{"without dot", Options{Filter: Filter{Exclude: []string{"dev/*"}}}, []string{"dev/", "etc/", "etc/hosts", "etc/link"}},
		{"members", Options{Filter: Filter{Members: []string{"dev/pts", "./etc/hosts"}}}, []string{"dev/", "dev/pts/", "dev/pts/0", "etc/", "etc/hosts"}},
		{"strip the dot", Options{Filter: Filter{Strip: 1}}, []string{"dev/", "dev/console", "dev/consoleX", "dev/pts/", "dev/pts/0", "etc/", "etc/hosts", "etc/link"}},
		{"strip", Options{Filter: Filter{Strip: 2}}, []string{"console", "consoleX", "hosts", "link", "pts/", "pts/0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSandbox(t)
			_, err := s.extract(t, build(t, "x", nested...), c.opt)
			if c.name == "star matches slashes" {
				// ./etc/hosts is excluded, but not the hard link to it.
				if !errors.Is(err, errTargetGone) {
					t.Fatalf("error is %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			s.wantTree(t, c.want...)
		})
	}
	s := newSandbox(t)
	_, err := s.extract(t, build(t, "x", nested...), Options{Filter: Filter{Members: []string{"etc", "nowhere"}}})
	var missing *MissingError
	if !errors.As(err, &missing) || missing.Name != "nowhere" {
		t.Errorf("a missing member: %v", err)
	}
}

func TestLimits(t *testing.T) {
	archive := build(t, strings.Repeat("x", 1000), tar.Header{Name: "a"}, tar.Header{Name: "b"})
	for _, c := range []struct {
		opt  Options
		want error
	}{
		{Options{Limits: Limits{Bytes: 2000, Entries: 2}}, nil},
		{Options{Limits: Limits{Bytes: 1999}}, ErrTooBig},
		{Options{Limits: Limits{Entries: 1}}, errTooMany},
	} {
		s := newSandbox(t)
		if _, err := s.extract(t, archive, c.opt); !errors.Is(err, c.want) {
			t.Errorf("%+v: error is %v, want %v", c.opt, err, c.want)
		}
	}
}

// TestVouched checks that an archive without an end is accepted if it is vouched for.
func TestVouched(t *testing.T) {
	archive := build(t, "x", tar.Header{Name: "a"})
	archive = archive[:len(archive)-2*blockSize]
	for _, vouched := range []bool{false, true} {
		s := newSandbox(t)
		if _, err := s.extract(t, archive, Options{Strict: true, Vouched: vouched}); (err == nil) != vouched {
			t.Errorf("vouched %v: error is %v", vouched, err)
		}
	}
}

func TestDirMemoryIsBounded(t *testing.T) {
	x := &extractor{kept: keptPaths{directories: map[string]directory{}}}
	var err error
	n := 0
	for ; err == nil; n++ {
		err = x.putDir([]byte(fmt.Sprintf("%0200d", n)), directory{})
	}
	if !errors.Is(err, errTooManyDirs) || n < 100_000 {
		t.Errorf("%d directories, then %v", n, err)
	}
}

func TestExistingTree(t *testing.T) {
	old := build(t, "old", tar.Header{Name: "f"}, tar.Header{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o700}, tar.Header{Name: "d/kept"},
		tar.Header{Name: "out", Typeflag: tar.TypeSymlink, Linkname: "../victim"})
	prepare := func(t *testing.T) *sandbox {
		s := newSandbox(t)
		if _, err := s.extract(t, old, Options{}); err != nil {
			t.Fatal(err)
		}
		return s
	}
	t.Run("merged", func(t *testing.T) {
		s := prepare(t)
		if _, err := s.extract(t, build(t, "new", tar.Header{Name: "f"}, tar.Header{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o750}), Options{}); err != nil {
			t.Fatal(err)
		}
		for _, line := range []string{`f file 0644 "new"`, `d dir 0750`, `d/kept file 0644 "old"`} {
			if err := s.mustHave(line); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("strict", func(t *testing.T) {
		s := prepare(t)
		if _, err := s.extract(t, old, Options{Strict: true}); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("kept", func(t *testing.T) {
		s := prepare(t)
		rep, err := s.extract(t, build(t, "new", tar.Header{Name: "f"}, tar.Header{Name: "g"}), Options{KeepOld: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range []string{`f file 0644 "old"`, `g file 0644 "new"`} {
			if err := s.mustHave(line); err != nil {
				t.Error(err)
			}
		}
		if got := rep.Summary(); got != "1 file kept as it was: it exists" {
			t.Errorf("summary is %q", got)
		}
	})
	t.Run("a link that was there is not followed", func(t *testing.T) { // CVE-2025-45582
		s := prepare(t)
		if _, err := s.extract(t, build(t, "x", tar.Header{Name: "out/hello"}), Options{}); !errors.Is(err, errNotDir) {
			t.Errorf("error is %v", err)
		}
		s.check(t)
	})
	t.Run("hard link to what was there", func(t *testing.T) {
		s := prepare(t)
		if _, err := s.extract(t, build(t, "x", tar.Header{Name: "l", Typeflag: tar.TypeLink, Linkname: "f"}), Options{}); !errors.Is(err, errTargetGone) {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("an outside file linked at the name is not written", func(t *testing.T) {
		s := newSandbox(t)
		if err := os.Link(filepath.Join(s.dir, "victim/hello"), filepath.Join(s.root, "x")); err != nil {
			t.Skip("hard links:", err)
		}
		if _, err := s.extract(t, build(t, "new", tar.Header{Name: "x"}), Options{}); err != nil {
			t.Fatal(err)
		}
		s.check(t)
	})
	t.Run("setgid directory", func(t *testing.T) {
		s := newSandbox(t)
		if err := os.Chmod(s.root, 0o755|os.ModeSetgid); err != nil {
			t.Fatal(err)
		}
		if os.Geteuid() == 0 {
			if err := os.Chown(s.root, 0, 12345); err != nil {
				t.Skip("chown:", err)
			}
			if err := os.Chmod(s.root, 0o755|os.ModeSetgid); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.extract(t, build(t, "x", tar.Header{Name: "a/b/f", Mode: 0o640}, tar.Header{Name: "g"}, tar.Header{Name: "e/", Typeflag: tar.TypeDir, Mode: 0o711},
			tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "x"}), Options{}); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"a", "a/b", "a/b/f", "g", "e", "l"} {
			var st unix.Stat_t
			if err := unix.Lstat(filepath.Join(s.root, name), &st); err != nil {
				t.Fatal(err)
			}
			if st.Mode&unix.S_ISGID != 0 || os.Geteuid() == 0 && st.Gid != 0 {
				t.Errorf("%s has mode %o and group %d", name, st.Mode, st.Gid)
			}
		}
	})
}

func TestDeferRoot(t *testing.T) {
	for want, how := range map[string]struct{ named, late bool }{
		`. dir 0755`: {}, `. dir 0711 mtime 1234.000000000`: {named: true}, `. dir 0711`: {named: true, late: true},
	} {
		s := newSandbox(t)
		headers := []tar.Header{{Name: "f"}}
		if how.named {
			headers = append(headers, tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o711, ModTime: time.Unix(1234, 0)})
		}
		r, err := OpenRoot(s.root)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if _, err := r.Extract(bytes.NewReader(build(t, "x", headers...)), Options{DeferRoot: true}); err != nil {
			t.Fatal(err)
		}
		if err := s.mustHave(`. dir 0700`); err != nil {
			t.Error(err)
		}
		if how.late {
			if err := r.MkdirAll("late", 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Finish(); err != nil {
			t.Fatal(err)
		}
		if err := s.mustHave(want); err != nil {
			t.Error(err)
		}
		if err := s.mustHave(`. dir 0711 mtime 1234.000000000`); how.late && err == nil {
			t.Error("the time is not that of what was made in it last")
		}
	}
}

func TestUser(t *testing.T) {
	s := newSandbox(t)
	other := os.Geteuid() + 1
	archive := build(t, "x",
		tar.Header{Name: "suid", Mode: 0o4755, Uid: other, Gid: other},
		tar.Header{Name: "own", Mode: 0o4755},
		tar.Header{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o500, Uid: other, Gid: other},
		tar.Header{Name: "d/f", Mode: 0o400, Uid: other, Gid: other, PAXRecords: map[string]string{"SCHILY.xattr.user.x": "1"}})
	rep, err := s.extract(t, archive, Options{Metadata: Metadata{Privilege: User}})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{`suid file 0755 "x"`, `own file 04755 "x"`, `d dir 0500`, `d/f file 0400`} {
		if err := s.mustHave(line); err != nil {
			t.Error(err)
		}
	}
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(s.root, "suid"), &st); err != nil || st.Uid != uint32(os.Geteuid()) {
		t.Errorf("owner is %d (%v)", st.Uid, err)
	}
	if got := rep.Summary(); !strings.Contains(got, "1 setuid or setgid bit dropped: not root") || !strings.Contains(got, "3 owners not kept: not root") {
		t.Errorf("summary is %q", got)
	}
}

// TestSkippedDevice checks that a hard link to a device that can't be made is skipped, too.
func TestSkippedDevice(t *testing.T) {
	s := newSandbox(t)
	rep, err := s.extract(t, build(t, "x",
		tar.Header{Name: "dev/sda", Typeflag: tar.TypeBlock, Devmajor: 8},
		tar.Header{Name: "dev/link", Typeflag: tar.TypeLink, Linkname: "dev/sda"},
		tar.Header{Name: "dev/link2", Typeflag: tar.TypeLink, Linkname: "dev/link"}), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.Notes) == 0 { // this process may make devices
		s.wantTree(t, "dev/", "dev/link", "dev/link2", "dev/sda")
		return
	}
	s.wantTree(t, "dev/")
	if got := rep.Summary(); !strings.Contains(got, "1 device node skipped: ") || !strings.Contains(got, "2 hard links skipped: its target is") {
		t.Errorf("summary is %q", got)
	}
}

// A file that replaces a skipped device can be the target of hard links. A skipped device
// does not count as made by the run.
func TestSkippedThenMade(t *testing.T) {
	opt := Options{}
	if os.Geteuid() == 0 {
		opt.Metadata.IDMap = []IDRange{{UID: true, Count: 1 << 16}, {GID: true, Count: 1 << 16}}
	}
	device := tar.Header{Name: "x", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}
	link := tar.Header{Name: "y", Typeflag: tar.TypeLink, Linkname: "x"}
	s := newSandbox(t)
	rep, err := s.extract(t, build(t, "file", device, tar.Header{Name: "x"}, link), opt)
	if err != nil {
		t.Fatal(err)
	}
	s.wantTree(t, "x", "y")
	if got := rep.Summary(); !strings.Contains(got, "1 device node skipped") || strings.Contains(got, "hard link") {
		t.Errorf("summary is %q", got)
	}
	s = newSandbox(t)
	makeTree(t, s.root, "x=mine")
	r, err := OpenRoot(s.root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	opt.Merge, opt.Strict = true, true
	if _, err := r.Extract(bytes.NewReader(build(t, "", device)), opt); err != nil {
		t.Fatal(err)
	}
	if err := r.Rewrite("x", 100, func([]byte) []byte { return nil }); !errors.Is(err, ErrNotMade) {
		t.Errorf("what was there before a device that is skipped: %v", err)
	}
	if data, err := os.ReadFile(s.root + "/x"); string(data) != "mine" {
		t.Errorf("what was there before a device that is skipped: %q, %v", data, err)
	}
}

// A merge leaves out an entry that can't be made, and the entries that need it, and makes
// the others. Without Merge this is an error.
func TestMergeLeavesOut(t *testing.T) {
	archive := build(t, "new",
		tar.Header{Name: "usr/bin/sh"},
		tar.Header{Name: "bin", Typeflag: tar.TypeSymlink, Linkname: "usr/bin"},
		tar.Header{Name: "etc/conf"},
		tar.Header{Name: "etc"},
		tar.Header{Name: "lib/x"},
		tar.Header{Name: "file/below"},
		tar.Header{Name: "hard", Typeflag: tar.TypeLink, Linkname: "bin"},
		tar.Header{Name: "mine", Typeflag: tar.TypeLink, Linkname: "mine"},
		tar.Header{Name: "late"})
	old := []string{"bin/tool=mine", "lib->usr", "file=mine", "mine=mine", "empty/"}
	s := newSandbox(t)
	makeTree(t, s.root, old...)
	rep, err := s.extract(t, archive, Options{Strict: true, Merge: true})
	if err != nil {
		t.Fatal(err)
	}
	s.wantTree(t, "bin/", "bin/tool", "empty/", "etc/", "etc/conf", "file", "late", "lib", "mine", "usr/", "usr/bin/", "usr/bin/sh")
	for _, line := range []string{`bin/tool file 0644 "mine"`, `file file 0644 "mine"`, `mine file 0644 "mine"`, `late file 0644 "new"`} {
		if err := s.mustHave(line); err != nil {
			t.Error(err)
		}
	}
	for _, want := range []string{"2 entries left out: a directory that is not empty is in the way", "2 entries left out: " + errNotDir.Error(), "2 entries left out: target of the hard link"} {
		if got := rep.Summary(); !strings.Contains(got, want) {
			t.Errorf("summary %q lacks %q", got, want)
		}
	}
	s = newSandbox(t)
	makeTree(t, s.root, old...)
	if _, err := s.extract(t, archive, Options{}); !errors.Is(err, errFull) {
		t.Errorf("without Merge: %v", err)
	}
}

// A merge of a layer replaces no file by a directory that the layer does not list, and follows
// links of the root; what can't be made is left out.
func TestMergeLayerLeavesOut(t *testing.T) {
	s := newSandbox(t)
	makeTree(t, s.root, "file=mine", "dir/", "link->dir", "leaf=mine", "bad->leaf", "loop->loop", "out->../../gone")
	archive := build(t, "new", tar.Header{Name: "file/below"}, tar.Header{Name: "link/in"}, tar.Header{Name: "bad/x"}, tar.Header{Name: "loop/x"}, tar.Header{Name: "leaf/a/b"},
		tar.Header{Name: "made"}, tar.Header{Name: "made/x"}, tar.Header{Name: "out/x"},
		tar.Header{Name: "hard", Typeflag: tar.TypeLink, Linkname: "bad/x"}, tar.Header{Name: "late"})
	rep, err := s.extract(t, archive, Options{Strict: true, Merge: true, Layer: true})
	if err != nil {
		t.Fatal(err)
	}
	s.wantTree(t, "bad", "dir/", "dir/in", "file", "gone/", "gone/x", "late", "leaf", "link", "loop", "made", "out")
	for _, line := range []string{`file file 0644 "mine"`, `leaf file 0644 "mine"`, `dir/in file 0644 "new"`} {
		if err := s.mustHave(line); err != nil {
			t.Error(err)
		}
	}
	if got := rep.Summary(); !strings.Contains(got, "entries left out: "+errNotDir.Error()) {
		t.Errorf("summary %q", got)
	}
}

func TestDeepTree(t *testing.T) {
	// The deepest tree that is allowed. On the way back, levels whose descriptors were
	// closed are opened again.
	var headers []tar.Header
	deep := strings.Repeat("d/", maxComponents-1)
	headers = append(headers, tar.Header{Name: deep + "f"})
	for i := maxComponents - 2; i > 0; i -= 100 {
		headers = append(headers, tar.Header{Name: deep[:2*i] + "f"}, tar.Header{Name: deep[:2*i], Typeflag: tar.TypeDir, Mode: 0o750, ModTime: time.Unix(int64(i), 0)})
	}
	headers = append(headers, tar.Header{Name: "l", Typeflag: tar.TypeLink, Linkname: deep + "f"})
	s := newSandbox(t)
	if _, err := s.extract(t, build(t, "deep", headers...), Options{Strict: true}); err != nil {
		t.Fatal(err)
	}
	if err := s.mustHave(`l file 0644 "deep"`); err != nil {
		t.Error(err)
	}
	i := 1022 % 100
	if err := s.mustHave(fmt.Sprintf("%s dir 0750 mtime %d.000000000", strings.TrimSuffix(deep[:2*i], "/"), i)); err != nil {
		t.Error(err)
	}
}

func TestHolesStayHoles(t *testing.T) {
	for _, c := range readCases(t) {
		if c.name != "sparse-large-hole.tar" {
			continue
		}
		s := newSandbox(t)
		if _, err := s.extract(t, c.archive, Options{Strict: true, Limits: Limits{Bytes: 2}}); err != nil {
			t.Fatal(err)
		}
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(s.root, "s"), &st); err != nil {
			t.Fatal(err)
		}
		if st.Blocks*512 > 1<<20 {
			t.Errorf("1 TiB of hole takes %d bytes", st.Blocks*512)
		}
		return
	}
	t.Fatal("the case is gone")
}

// TestLongTail checks that zeros without end after a strict archive are an error, and that others
// read them as GNU tar does.
func TestLongTail(t *testing.T) {
	archive := build(t, "", tar.Header{Name: "a", Typeflag: tar.TypeDir, Mode: 0o755})
	for _, c := range []struct {
		strict bool
		tail   int64
		ok     bool
	}{{true, 1 << 20, true}, {true, maxTail + 1<<20, false}, {false, maxTail + 1<<20, true}} {
		root, err := OpenRoot(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		_, err = root.Extract(io.MultiReader(bytes.NewReader(archive), io.LimitReader(zeros{}, c.tail)), Options{Strict: c.strict, Vouched: true})
		root.Close()
		if (err == nil) != c.ok || err != nil && !strings.Contains(err.Error(), "follow the archive's end") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
