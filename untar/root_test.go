package untar

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// makeTree makes files ("a/b=text"), directories ("d/") and links ("l->target")
// below a directory.
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

func TestResolve(t *testing.T) {
	s := newSandbox(t)
	makeTree(t, s.root, "etc/hostname=h", "usr/lib/f=x", "lib->usr/lib", "abs->/usr/lib", "dots->usr/../etc/./hostname", "out->../victim/hello",
		"etc/up->../etc/hostname", "etc/above->../../victim", "absup->/../etc", "loop->loop", "dangling->nowhere/x", "chain->lib", "etc/file->/lib/f")
	r, err := OpenRoot(s.root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, c := range []struct{ name, want string }{
		{"/etc/hostname", "etc/hostname"},
		{"etc//./hostname", "etc/hostname"},
		{"../../etc/hostname", "etc/hostname"}, // a process in a chroot stays there, too
		{"lib/f", "usr/lib/f"},
		{"abs/f", "usr/lib/f"},
		{"chain/f", "usr/lib/f"},
		{"dots", "etc/hostname"},
		{"etc/up", "etc/hostname"},
		{"etc/file", "usr/lib/f"},
		{"lib/../x", "usr/x"},
		{"", ""},
		{"/", ""},
		{"out", "outside"},
		{"etc/above/hello", "outside"},
		{"absup/hostname", "outside"},
		{"loop", "error"},
		{"nowhere/x", "error"},
		{"dangling", "error"},
		{"etc/hostname/x", "error"},
		{"x", "x"},
		{strings.Repeat("n", 256), "error"},
	} {
		path, err := r.resolve(c.name, resolveOptions{last: true})
		got := string(path)
		var outside *OutsideError
		if errors.As(err, &outside) {
			got = "outside"
		} else if err != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("%q is %q (%v), want %q", c.name, got, err, c.want)
		}
	}
}

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
	for _, name := range []string{"etc/link", "/etc/hostname"} { // the second time there is nothing to do
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

func TestMkdirAll(t *testing.T) {
	s := newSandbox(t)
	makeTree(t, s.root, "real/", "dev->real", "out->../victim", "file=x")
	r, err := OpenRoot(s.root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.MkdirAll("dev/pts/", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := r.MkdirAll("/a/b/c", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"real/pts dir 0755", "a/b/c dir 0755"} {
		if err := s.mustHave(line); err != nil {
			t.Error(err)
		}
	}
	var outside *OutsideError
	if err := r.MkdirAll("out/pts", 0o755); !errors.As(err, &outside) {
		t.Errorf("below a link to outside: %v", err)
	}
	if err := r.MkdirAll("file", 0o755); err == nil {
		t.Error("a file passes for a directory")
	}
	s.check(t)
}

func TestRemoveContents(t *testing.T) {
	s := newSandbox(t)
	deep := strings.Repeat("d/", 200)
	makeTree(t, s.root, "a/b/c=x", "out->../victim", "outdir->../victim/", "lost+found/", "empty/", "a/locked/f=x")
	if err := os.MkdirAll(filepath.Join(s.root, deep), 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		makeTree(t, s.root, "many/"+strings.Repeat("n", i%200)+string(rune('a'+i%26))+strings.Repeat("x", i/200)+"=1")
	}
	if err := os.Chmod(filepath.Join(s.root, "a/locked"), 0); err != nil {
		t.Fatal(err)
	}
	r, err := OpenRoot(s.root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if empty, err := r.IsEmpty(); empty || err != nil {
		t.Errorf("empty: %v (%v)", empty, err)
	}
	if err := r.RemoveNames("a", "missing"); err != nil {
		t.Error(err)
	}
	if err := r.RemoveNames("../victim"); err == nil {
		t.Error("a name with a slash was taken")
	}
	if _, err := os.Lstat(filepath.Join(s.root, "a")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a is there: %v", err)
	}
	if err := r.RemoveContents(); err != nil {
		t.Error(err)
	}
	if empty, err := r.IsEmpty(); !empty || err != nil {
		t.Errorf("empty: %v (%v)", empty, err)
	}
	s.wantTree(t) // an image's lost+found goes too
	s.check(t)
}

func TestTarget(t *testing.T) {
	good := build(t, "x", nested...)
	bad := good[:len(good)-1024-200] // cut in the last header
	run := func(t *testing.T, path string, archive []byte) (*Target, error) {
		target, err := OpenTarget(path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = target.Root().Extract(bytes.NewReader(archive), Options{})
		return target, err
	}
	for _, kind := range []string{"absent", "empty"} {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "root")
			if kind == "empty" {
				if err := os.Mkdir(path, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			before := strings.Join(beside(t, dir), " ")

			target, err := run(t, path, bad)
			if err == nil {
				t.Fatal("a cut archive was accepted")
			}
			if len(beside(t, dir)) != len(strings.Fields(before))+1 {
				t.Errorf("while it goes on there is %q", beside(t, dir))
			}
			if _, err := target.Abort(); err != nil {
				t.Fatal(err)
			}
			target.Close()
			if got := strings.Join(beside(t, dir), " "); got != before {
				t.Errorf("after a failure there is %q, before %q", got, before)
			}

			// Killed in the middle: nothing is closed or removed.
			if target, err = run(t, path, bad); err == nil {
				t.Fatal("a cut archive was accepted")
			}
			target.Close()

			target, err = run(t, path, good)
			if err != nil {
				t.Fatal(err)
			}
			if len(beside(t, dir)) != len(strings.Fields(before))+1 {
				t.Errorf("the killed run left something: %q", beside(t, dir))
			}
			if _, err := OpenTarget(path); !errors.Is(err, ErrBusy) {
				t.Errorf("a second run at the same time: %v", err)
			}
			if (target.Recovered() != "") != (kind == "empty") {
				t.Errorf("recovered: %q", target.Recovered())
			}
			if err := target.Commit(); err != nil {
				t.Fatal(err)
			}
			target.Close()
			if got := beside(t, path); strings.Join(got, " ") != "dev etc" {
				t.Errorf("tree has %q", got)
			}
			for _, name := range beside(t, dir) {
				if strings.HasSuffix(name, ".incomplete") {
					t.Errorf("%s is left", name)
				}
			}
		})
	}
	t.Run("holds something", func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "root")
		makeTree(t, path, "mine=1")
		target, err := run(t, path, bad)
		if err == nil {
			t.Fatal("a cut archive was accepted")
		}
		if _, err := target.Abort(); err != nil {
			t.Fatal(err)
		}
		target.Close()
		if _, err := os.Lstat(filepath.Join(path, "mine")); err != nil {
			t.Error(err)
		}
		if got := beside(t, dir); len(got) != 1 {
			t.Errorf("beside the directory is %q", got)
		}
	})
	t.Run("removed and made anew", func(t *testing.T) {
		// The new directory may well get the inode number of the old one.
		dir := t.TempDir()
		path := filepath.Join(dir, "root")
		makeTree(t, filepath.Dir(path), "root/")
		target, err := run(t, path, bad)
		if err == nil {
			t.Fatal("a cut archive was accepted")
		}
		target.Close()
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		makeTree(t, path, "mine=1")
		if target, err = OpenTarget(path); err != nil {
			t.Fatal(err)
		}
		if target.IsEmpty() || target.Recovered() != "" {
			t.Error("it was emptied")
		}
		target.Close()
		// Once it is empty the old marker is in nobody's way.
		if err := os.Remove(filepath.Join(path, "mine")); err != nil {
			t.Fatal(err)
		}
		if target, err = run(t, path, good); err != nil {
			t.Fatal(err)
		}
		if err := target.Commit(); err != nil {
			t.Fatal(err)
		}
		target.Close()
		if got := beside(t, dir); len(got) != 1 {
			t.Errorf("beside the directory is %q", got)
		}
	})
	t.Run("the mode comes back", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "root")
		makeTree(t, filepath.Dir(path), "root/")
		if err := os.Chmod(path, 0o751); err != nil {
			t.Fatal(err)
		}
		target, err := OpenTarget(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := target.Root().Extract(bytes.NewReader(bad), Options{DeferRoot: true}); err == nil {
			t.Fatal("a cut archive was accepted")
		}
		target.Close()
		if target, err = OpenTarget(path); err != nil {
			t.Fatal(err)
		}
		if _, err := target.Abort(); err != nil {
			t.Fatal(err)
		}
		target.Close()
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o751 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
	})
	t.Run("something came to be there", func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "root")
		target, err := run(t, path, good)
		if err != nil {
			t.Fatal(err)
		}
		if target.grown() == path || filepath.Dir(target.grown()) != dir {
			t.Errorf("it grows at %q", target.grown())
		}
		makeTree(t, filepath.Dir(path), "root/")
		if err := target.Commit(); !errors.Is(err, fs.ErrExist) {
			t.Errorf("commit over a new directory: %v", err)
		}
		if _, err := target.Abort(); err != nil {
			t.Error(err)
		}
		if got := beside(t, dir); len(got) != 1 || len(beside(t, path)) != 0 {
			t.Errorf("beside the directory is %q, in it %q", got, beside(t, path))
		}
	})
	t.Run("killed before the marker was written", func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "root")
		makeTree(t, dir, "root/", ".root.incomplete=")
		target, err := run(t, path, good)
		if err != nil {
			t.Fatal(err)
		}
		if err := target.Commit(); err != nil {
			t.Fatal(err)
		}
		target.Close()
		if got := beside(t, dir); len(got) != 1 {
			t.Errorf("beside the directory is %q", got)
		}
	})
	t.Run("names that only look like ours", func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "root")
		makeTree(t, dir, "root/", ".root.incomplete=mine", ".root.partial-/", ".root.partial-notes/a=1", ".root.partial-1y/")
		target, err := run(t, path, good)
		if err != nil {
			t.Fatal(err)
		}
		if err := target.Commit(); err != nil {
			t.Fatal(err)
		}
		target.Close()
		if target, err = run(t, path+"2", good); err != nil {
			t.Fatal(err)
		}
		if _, err := target.Abort(); err != nil {
			t.Fatal(err)
		}
		target.Close()
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		if target, err = run(t, path, good); err != nil {
			t.Fatal(err)
		}
		if err := target.Commit(); err != nil {
			t.Fatal(err)
		}
		target.Close()
		if got := beside(t, dir); len(got) != 5 {
			t.Errorf("there is %q", got)
		}
		if text, err := os.ReadFile(filepath.Join(dir, ".root.incomplete")); string(text) != "mine" {
			t.Errorf("%q, %v", text, err)
		}
	})
	t.Run("a link that leads nowhere", func(t *testing.T) {
		dir := t.TempDir()
		makeTree(t, dir, "root->nowhere")
		if _, err := OpenTarget(filepath.Join(dir, "root")); !errors.Is(err, fs.ErrExist) {
			t.Error(err)
		}
	})
	t.Run("a marker for another directory", func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "root")
		makeTree(t, path, "mine=1")
		makeTree(t, dir, ".root.incomplete=lxc-pull: incomplete: inode 1 generation 0 on device 1, mode 755\n")
		target, err := run(t, path, good)
		if err != nil {
			t.Fatal(err)
		}
		if err := target.Commit(); err != nil {
			t.Fatal(err)
		}
		target.Close()
		if _, err := os.Lstat(filepath.Join(path, "mine")); err != nil {
			t.Error(err)
		}
	})
}

// However many names lead to a file, it is edited once.
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

// After a merge only what the archive made is edited: anything else may have a
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

// An edit that changes nothing writes nothing, so that holes stay, and what is
// written in all is bounded.
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

// beside lists the names in a directory.
func beside(t *testing.T, dir string) []string {
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, n := range names {
		list = append(list, n.Name())
	}
	return list
}
