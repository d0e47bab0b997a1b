package untar

import (
	"archive/tar"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestAttacked extracts while an attacker, as another process would, replaces new files with
// links: directories and files with symbolic links to a directory outside, other files with
// hard links to a file outside. The tree may suffer, but nothing outside may change.
func TestAttacked(t *testing.T) {
	var headers []tar.Header
	at := time.Unix(1000, 0)
	for i := range 40 {
		d := fmt.Sprintf("d%d", i%4)
		sub := d + "/e"
		headers = append(headers,
			tar.Header{Name: d + "/", Typeflag: tar.TypeDir, Mode: 0o1777, Uid: 1234, ModTime: at},
			tar.Header{Name: sub + "/", Typeflag: tar.TypeDir, Mode: 0o777, Gid: 1234, ModTime: at, PAXRecords: map[string]string{"SCHILY.xattr.user.a": "x"}},
			tar.Header{Name: d + "/hello", Mode: 0o4666, Uid: 1234, ModTime: at, PAXRecords: map[string]string{"SCHILY.xattr.user.a": "x"}},
			tar.Header{Name: fmt.Sprintf("%s/f%d", sub, i), Mode: 0o666, ModTime: at},
			tar.Header{Name: d + "/l", Typeflag: tar.TypeSymlink, Linkname: "x", Uid: 1234, ModTime: at},
			tar.Header{Name: d + "/p", Typeflag: tar.TypeFifo, Mode: 0o6777, Uid: 1234, ModTime: at},
			tar.Header{Name: d + "/h", Typeflag: tar.TypeLink, Linkname: d + "/hello", ModTime: at})
	}
	archive := build(t, "x", headers...)
	for _, opt := range []Options{{}, {Layer: true}} {
		s := newSandbox(t)
		victim := filepath.Join(s.dir, "victim")
		if err := os.Symlink("target", filepath.Join(victim, "l")); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(s.root, 0o777); err != nil {
			t.Fatal(err)
		}
		before := describeVictim(t, victim)
		// Existing directories have another mode than 0700, and another owner.
		if _, err := s.extract(t, archive, opt); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		var attacker sync.WaitGroup
		attacker.Go(func() { attack(s.root, victim, done) })
		failed := 0
		for range 30 {
			if _, err := s.extract(t, archive, opt); err != nil {
				failed++
				if errors.Is(err, unix.EACCES) {
					t.Errorf("permissions: %v", err)
				}
			}
		}
		close(done)
		attacker.Wait()
		t.Logf("layer %v: %d of 30 ended with an error", opt.Layer, failed)
		if after := describeVictim(t, victim); after != before {
			t.Errorf("layer %v: outside the root is now\n%swas\n%s", opt.Layer, after, before)
		}
	}
}

// describeVictim describes a directory, its entries and content. It ignores link counts,
// since the attacker makes links.
func describeVictim(t *testing.T, dir string) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, name := range append([]string{"."}, names(entries)...) {
		var st unix.Stat_t
		path := filepath.Join(dir, name)
		if err := unix.Lstat(path, &st); err != nil {
			t.Fatal(err)
		}
		data, _ := os.ReadFile(path)
		n, _ := unix.Llistxattr(path, nil)
		text += fmt.Sprintln(name, st.Mode, st.Uid, st.Gid, st.Size, st.Mtim, n, string(data))
	}
	return text
}

func names(entries []os.DirEntry) []string {
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// attack changes what it finds below root until done is closed. It runs as root, so that it
// can link to the victim's files. But it does not touch directories to which only their
// owner may write, since an attacker could not.
func attack(root, victim string, done chan struct{}) {
	r := rand.New(rand.NewPCG(1, 2))
	aside := filepath.Join(filepath.Dir(root), "aside")
	os.Mkdir(aside, 0o777)
	defer os.RemoveAll(aside)
	for n := 0; ; n++ {
		select {
		case <-done:
			return
		case <-time.After(time.Duration(r.IntN(300)) * time.Microsecond):
		}
		d := fmt.Sprintf("d%d", r.IntN(4))
		moved := fmt.Sprintf("%s/%d", aside, n)
		switch r.IntN(6) {
		case 0, 1: // replace a directory with a link to the victim, then make it again
			in, name := root, d
			if r.IntN(2) == 0 {
				in, name = filepath.Join(root, d), "e"
			}
			os.Symlink(victim, moved)
			inDir(in, func(fd int) {
				if unix.Renameat2(fd, name, unix.AT_FDCWD, moved, unix.RENAME_EXCHANGE) == nil {
					for range r.IntN(50) {
						os.Lstat(in)
					}
					unix.Renameat2(fd, name, unix.AT_FDCWD, moved, unix.RENAME_EXCHANGE)
				}
			})
			os.RemoveAll(moved)
		default: // replace a file with a hard link to a file outside
			name := []string{"hello", "l", "p", "h"}[r.IntN(4)]
			from := victim + "/hello"
			if name == "l" && r.IntN(2) == 0 {
				from = victim + "/l"
			}
			if os.Link(from, moved) == nil {
				inDir(filepath.Join(root, d), func(fd int) { unix.Renameat(unix.AT_FDCWD, moved, fd, name) })
			}
			os.Remove(moved)
		}
	}
}

// inDir calls f with a directory if other users than its owner may write to it.
func inDir(path string, f func(fd int)) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if unix.Fstat(fd, &st) == nil && st.Mode&0o022 != 0 {
		f(fd)
	}
}
