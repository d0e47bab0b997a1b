package untar

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// listTree returns a line for each file below a directory, with all that a copy keeps.
func listTree(t testing.TB, dir string) []string {
	t.Helper()
	var lines []string
	first := map[inode]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		line := fmt.Sprintf("%s %o %d:%d %d.%d", name, st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %d %x", st.Size, content[:min(len(content), 64)])
			if !bytes.Equal(content, bytes.TrimRight(content, "\x00")) {
				line += " zeros"
			}
			line += fmt.Sprintf(" %x", attrsOf(t, path))
		case unix.S_IFLNK:
			target, _ := os.Readlink(path)
			line += " -> " + target
		case unix.S_IFDIR:
			line += fmt.Sprintf(" %x", attrsOf(t, path))
		default:
			line += fmt.Sprintf(" %d", st.Rdev)
		}
		if st.Nlink > 1 && st.Mode&unix.S_IFMT != unix.S_IFDIR {
			if first[inodeIn(&st)] == "" {
				first[inodeIn(&st)] = name
			}
			line += " = " + first[inodeIn(&st)]
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// attrsOf returns the attributes of a file or directory.
func attrsOf(t testing.TB, path string) []xattr {
	attrs, err := readAttrs(openFor(t, path), "")
	must(t, err)
	return attrs
}

// openFor opens a file until the test ends.
func openFor(t testing.TB, path string) int {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// copyTree copies a directory.
func copyTree(t testing.TB, from, to string, opt Options) (*Report, error) {
	t.Helper()
	source, err := OpenRoot(from)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	target, err := OpenRoot(to)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	return target.Copy(source, opt)
}

// wantSameTree fails the test if two trees differ.
func wantSameTree(t testing.TB, from, to string) {
	t.Helper()
	want, got := listTree(t, from), listTree(t, to)
	for i := range max(len(want), len(got)) {
		if i >= len(want) || i >= len(got) || want[i] != got[i] {
			t.Fatalf("line %d of the copy is %q, of the source %q", i, at(got, i), at(want, i))
		}
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}

// must fails the test if one of the errors is not nil.
func must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Copy keeps all of a tree with one of everything.
func TestCopy(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	in := func(name string) string { return filepath.Join(from, name) }
	must(t,
		os.MkdirAll(in("a/b/c"), 0o755), os.Mkdir(in("closed"), 0o700), os.Mkdir(in("sticky"), 0o777), os.Chmod(in("sticky"), 0o1777|fs.ModeSticky),
		os.WriteFile(in("a/file"), []byte("hello"), 0o640), os.WriteFile(in("a/b/c/empty"), nil, 0o400),
		os.Link(in("a/file"), in("z")), os.Link(in("a/file"), in("a/b/y")),
		os.Symlink("../nowhere", in("a/link")), os.Link(in("a/link"), in("a/link2")),
		unix.Mkfifo(in("a/pipe"), 0o600), os.WriteFile(in("a/l\xe4tin\n1"), []byte("x"), 0o644),
		unix.Setxattr(in("a/file"), "user.comment", []byte("an attribute"), 0),
		unix.Setxattr(in("a/b"), "user.comment", []byte("of a directory"), 0),
	)
	if os.Geteuid() == 0 {
		must(t, unix.Mknod(in("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))), os.Chown(in("a/b/c/empty"), 12, 34), os.Lchown(in("a/link"), 5, 6),
			unix.Setxattr(in("z"), "security.capability", []byte("\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 0))
	}
	old := unix.NsecToTimespec(981173106_123456789)
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		return errors.Join(err, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{old, old}, unix.AT_SYMLINK_NOFOLLOW))
	})
	must(t, err)
	rep, err := copyTree(t, from, to, Options{Strict: true})
	if err != nil || len(rep.Notes) > 0 {
		t.Fatalf("%v, %+v", err, rep.Notes)
	}
	wantSameTree(t, from, to)
}

// Copies of random trees are equal to them.
func FuzzCopy(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed)
	}
	base := f.TempDir()
	f.Fuzz(func(t *testing.T, seed uint64) {
		work, err := os.MkdirTemp(base, "")
		must(t, err)
		defer os.RemoveAll(work)
		from, to := filepath.Join(work, "from"), filepath.Join(work, "to")
		must(t, os.Mkdir(from, 0o755), os.Mkdir(to, 0o755))
		r := rand.New(rand.NewPCG(seed, 0))
		dirs, files := []string{from}, []string(nil)
		for i := range r.IntN(60) {
			dir := dirs[r.IntN(len(dirs))]
			path := fmt.Sprintf("%s/%d%s", dir, i, strings.Repeat("n", r.IntN(20)))
			switch kind := r.IntN(10); {
			case kind < 3:
				must(t, os.Mkdir(path, 0o700|fs.FileMode(r.IntN(0o100))))
				dirs = append(dirs, path)
				continue
			case kind == 3 && len(files) > 0:
				must(t, os.Link(files[r.IntN(len(files))], path))
			case kind == 4:
				must(t, os.Symlink(strings.Repeat("../x", r.IntN(9)+1), path))
			case kind == 5:
				must(t, unix.Mkfifo(path, 0o640))
			default:
				file, err := os.Create(path)
				must(t, err)
				for off := int64(r.IntN(3)) * 70_000; r.IntN(3) > 0; off += int64(r.IntN(400_000)) {
					_, err := file.WriteAt(bytes.Repeat([]byte{byte(r.IntN(256))}, r.IntN(200_000)), off)
					must(t, err)
				}
				if st, _ := file.Stat(); r.IntN(3) == 0 {
					must(t, file.Truncate(st.Size()+int64(r.IntN(300_000))))
				}
				must(t, file.Chmod(fs.FileMode(r.IntN(0o400)|0o400)), file.Close())
			}
			files = append(files, path)
		}
		rep, err := copyTree(t, from, to, Options{Strict: true})
		if err != nil || len(rep.Notes) > 0 {
			t.Fatalf("%v, %+v", err, rep.Notes)
		}
		wantSameTree(t, from, to)
		// Content is compared whole, and no copy takes more space than its source.
		for _, path := range files {
			copied := to + strings.TrimPrefix(path, from)
			var a, b unix.Stat_t
			must(t, unix.Lstat(path, &a), unix.Lstat(copied, &b))
			if a.Mode&unix.S_IFMT != unix.S_IFREG {
				continue
			}
			x, err1 := os.ReadFile(path)
			y, err2 := os.ReadFile(copied)
			must(t, err1, err2)
			if !bytes.Equal(x, y) {
				t.Fatalf("content of %s differs", copied)
			}
		}
	})
}

// Holes stay holes.
func TestCopyHoles(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	for name, content := range map[string][]int64{"hole": nil, "middle": {8 << 20}, "begin": {0}, "end": {64<<20 - 1}, "both": {0, 32 << 20}} {
		f, err := os.Create(filepath.Join(from, name))
		must(t, err, f.Truncate(64<<20))
		for _, at := range content {
			_, err := f.WriteAt([]byte("x"), at)
			must(t, err)
		}
		must(t, f.Close())
	}
	rep, err := copyTree(t, from, to, Options{})
	must(t, err)
	if rep.Bytes+rep.Shared > 8<<20 {
		t.Errorf("%d bytes were written", rep.Bytes)
	}
	wantSameTree(t, from, to)
	for _, name := range []string{"hole", "middle", "begin", "end", "both"} {
		var st unix.Stat_t
		if must(t, unix.Lstat(filepath.Join(to, name), &st)); st.Blocks > 8<<20/512 {
			t.Errorf("%s has %d blocks", name, st.Blocks)
		}
	}
}

// Sockets and what is mounted below the directory are left out, with a note.
func TestCopyLeavesOut(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	must(t, unix.Mknod(filepath.Join(from, "socket"), unix.S_IFSOCK|0o644, 0), os.WriteFile(filepath.Join(from, "file"), nil, 0o644))
	rep, err := copyTree(t, from, to, Options{})
	must(t, err)
	if got := rep.Summary(); got != "1 socket not copied: the program that serves it makes it" {
		t.Error(got)
	}
	if entries, _ := os.ReadDir(to); len(entries) != 1 {
		t.Error(entries)
	}
}

// A directory is copied neither into itself nor below itself.
func TestCopyIntoItself(t *testing.T) {
	from := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(from, "a/b/c"), 0o755))
	for _, to := range []string{"", "a", "a/b/c"} {
		_, err := copyTree(t, from, filepath.Join(from, to), Options{})
		if !errors.Is(err, errIntoItself) {
			t.Errorf("into %q: %v", to, err)
		}
	}
	if list := listTree(t, from); len(list) != 4 {
		t.Error(list)
	}
	// The walk checks it as well.
	source, err := OpenRoot(from)
	must(t, err)
	defer source.Close()
	target, err := OpenRoot(filepath.Join(from, "a/b"))
	must(t, err)
	defer target.Close()
	tr := new(tree)
	defer tr.close()
	must(t, tr.start(source, &Root{fd: openFor(t, t.TempDir())}))
	tr.target = inodeOf(target.fd)
	for err == nil {
		_, err = tr.next()
	}
	if !errors.Is(err, errIntoItself) {
		t.Error(err)
	}
}

// Filters apply as to an archive made with "tar -C FROM -c .". The second name of a file whose
// first one is excluded becomes the file.
func TestCopyFilter(t *testing.T) {
	from := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(from, "dev/pts"), 0o755), os.MkdirAll(filepath.Join(from, "sub/etc"), 0o755),
		os.WriteFile(filepath.Join(from, "dev/null"), []byte("n"), 0o644),
		os.WriteFile(filepath.Join(from, "sub/etc/f"), []byte("f"), 0o644),
		os.Link(filepath.Join(from, "dev/null"), filepath.Join(from, "sub/null")),
		os.Link(filepath.Join(from, "sub/etc/f"), filepath.Join(from, "sub/g")))
	for _, c := range []struct {
		opt  Filter
		want string
	}{
		{Filter{Exclude: []string{"./dev/*"}}, "dev sub sub/etc sub/etc/f sub/g sub/null"},
		{Filter{Exclude: []string{"dev"}}, "sub sub/etc sub/etc/f sub/g sub/null"},
		{Filter{Inside: "sub"}, "etc etc/f g null"},
		{Filter{Inside: "/./sub/", Exclude: []string{"./etc/f"}}, "etc g null"},
		{Filter{Members: []string{"sub/etc"}}, "sub sub/etc sub/etc/f"},
		{Filter{Strip: 2}, "etc etc/f g null pts"},
	} {
		to := t.TempDir()
		if _, err := copyTree(t, from, to, Options{Filter: c.opt}); err != nil {
			t.Errorf("%+v: %v", c.opt, err)
			continue
		}
		var names []string
		for _, line := range listTree(t, to)[1:] {
			name, _, _ := strings.Cut(line, " ")
			names = append(names, name)
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%+v: %q, want %q", c.opt, got, c.want)
		}
	}
}

// A file that changes or vanishes while it is copied is an error that names it, and a link in its
// place is not followed.
func TestCopyChanged(t *testing.T) {
	link := func(_, other string) error {
		return errors.Join(os.RemoveAll(other), os.Symlink("/etc", other))
	}
	for name, change := range map[string]func(file, other string) error{
		"grown":              func(file, _ string) error { return os.WriteFile(file, []byte("longer than before"), 0o644) },
		"cut":                func(file, _ string) error { return os.Truncate(file, 1) },
		"removed":            func(_, other string) error { return os.RemoveAll(other) },
		"replaced by a link": link,
	} {
		from, to := t.TempDir(), t.TempDir()
		for _, dir := range []string{"p", "q"} {
			must(t, os.Mkdir(filepath.Join(from, dir), 0o755), os.WriteFile(filepath.Join(from, dir, "passwd"), []byte("mine"), 0o644))
		}
		wrong := ""
		_, err := copyTree(t, from, to, Options{Each: func(e *Entry) {
			if file := string(e.Name); e.Type == TypeFile && wrong == "" {
				other := strings.NewReplacer("p/", "q/", "q/", "p/").Replace(file[:4])
				if wrong = other[2:3]; name == "grown" || name == "cut" {
					wrong = file[2:]
				}
				must(t, change(filepath.Join(from, file), filepath.Join(from, other)))
			}
		}})
		if err == nil || !strings.Contains(err.Error(), `"`+wrong+`"`) {
			t.Errorf("%s: %v", name, err)
		}
		if list := listTree(t, to); len(list) != 3 {
			t.Errorf("%s: %q", name, list)
		}
	}
}

// A directory that was left, and is replaced before the walk comes back, is an error.
func TestCopyMovedParent(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	deep := strings.Repeat("d/", sourceLevels+3)
	must(t, os.MkdirAll(filepath.Join(from, deep), 0o755), os.WriteFile(filepath.Join(from, deep, "f"), nil, 0o644), os.Mkdir(filepath.Join(from, "d/d/e"), 0o755))
	_, err := copyTree(t, from, to, Options{Each: func(e *Entry) {
		if strings.HasSuffix(string(e.Name), "/f") {
			must(t, os.Rename(filepath.Join(from, "d"), filepath.Join(from, "old")), os.MkdirAll(filepath.Join(from, deep, "e"), 0o755))
		}
	}})
	if err == nil {
		t.Error("no error")
	}
}

// A file that the caller can't read is an error that names it.
func TestCopyUnreadable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root can read all files")
	}
	for _, name := range []string{"file", "sub"} {
		from, to := t.TempDir(), t.TempDir()
		if path := filepath.Join(from, name); name == "sub" {
			must(t, os.Mkdir(path, 0o300))
			defer os.Chmod(path, 0o700)
		} else {
			must(t, os.WriteFile(path, nil, 0o200))
		}
		if _, err := copyTree(t, from, to, Options{}); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The limits of an archive hold.
func TestCopyLimits(t *testing.T) {
	from := t.TempDir()
	must(t, os.WriteFile(filepath.Join(from, "a"), make([]byte, 600), 0o644), os.WriteFile(filepath.Join(from, "b"), make([]byte, 600), 0o644))
	if rep, err := copyTree(t, from, t.TempDir(), Options{Limits: Limits{Bytes: 1000}}); !errors.Is(err, ErrTooBig) && rep.Shared == 0 {
		t.Error(err)
	}
	if _, err := copyTree(t, from, t.TempDir(), Options{Limits: Limits{Entries: 2}}); !errors.Is(err, errTooMany) {
		t.Error(err)
	}
}

// Files can't be read with the work of the tree's depth times its files, and few descriptors are
// enough.
func TestCopyDeep(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	root, err := OpenRoot(from)
	must(t, err)
	defer root.Close()
	must(t, root.MkdirAll(strings.Repeat("d/", 900), 0o755))
	dir := openFor(t, from)
	for i := range 300 {
		if i%30 == 0 {
			must(t, unix.Mkdirat(dir, "e", 0o755))
		}
		dir, err = unix.Openat(dir, "d", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		must(t, err)
		defer unix.Close(dir)
	}
	most := 0
	_, err = copyTree(t, from, to, Options{Each: func(*Entry) {
		fds, _ := os.ReadDir("/proc/self/fd")
		most = max(most, len(fds))
	}})
	must(t, err)
	fds, _ := os.ReadDir("/proc/self/fd")
	if most-len(fds) > 24 {
		t.Errorf("%d descriptors were open, %d after it", most, len(fds))
	}
	target, err := OpenRoot(to)
	must(t, err)
	defer target.Close()
	if path, err := target.Resolve(strings.Repeat("d/", 900)); err != nil || strings.Count(path, "d") != 900 {
		t.Error(err)
	}
	must(t, root.RemoveContents(), target.RemoveContents())
}

// The files of a copy get the owners that the map says.
func TestCopyMapped(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	from, to := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(from, "f"), nil, 0o644), os.Chown(filepath.Join(from, "f"), 5, 6))
	_, err := copyTree(t, from, to, Options{Metadata: Metadata{IDMap: []IDRange{{UID: true, GID: true, Outside: 100000, Count: 1000}}}})
	must(t, err)
	var st unix.Stat_t
	must(t, unix.Lstat(filepath.Join(to, "f"), &st))
	if st.Uid != 100005 || st.Gid != 100006 {
		t.Errorf("%d:%d", st.Uid, st.Gid)
	}
	must(t, os.Chown(filepath.Join(from, "f"), 2000, 6))
	var owner *OwnerError
	if _, err = copyTree(t, from, t.TempDir(), Options{Metadata: Metadata{IDMap: []IDRange{{UID: true, GID: true, Outside: 100000, Count: 1000}}}}); !errors.As(err, &owner) {
		t.Error(err)
	}
}

// TestCopyForgetsLinks checks that a file with several names is kept in memory only until all its
// names were met.
func TestCopyForgetsLinks(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, link := range []string{"a a2", "a a3", "b b2"} {
		from, to, _ := strings.Cut(link, " ")
		if err := os.Link(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	from, err := OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	in := new(tree)
	defer in.close()
	if err := in.start(from, to); err != nil {
		t.Fatal(err)
	}
	links := 0
	for {
		e, err := in.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		in.selected = true
		if e.Type == TypeLink {
			links++
		}
	}
	if links != 3 || len(in.links) != 0 || in.linked != 0 {
		t.Errorf("%d links, %d files and %d bytes are kept", links, len(in.links), in.linked)
	}
}
