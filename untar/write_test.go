package untar

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// WriteFile writes inside the root, whatever is in the place of the file.
func TestWriteFile(t *testing.T) {
	s := newSandbox(t)
	makeTree(t, s.root, "etc/file=old\n", "etc/link->file", "etc/out->../../victim/hello", "etc/dir/", "run/x=kept\n",
		"abs->/etc", "up->../victim", "loop->loop")
	if err := unix.Mkfifo(filepath.Join(s.root, "etc/fifo"), 0o644); err != nil {
		t.Skip("pipes:", err)
	}
	hard := os.Link(filepath.Join(s.root, "run/x"), filepath.Join(s.root, "etc/hard"))
	defer syscall.Umask(syscall.Umask(0o077)) // the mode does not depend on it
	r, err := OpenRoot(s.root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for name, line := range map[string]string{
		"etc/file": `etc/file file 0640 "new\n"`,
		"etc/link": `etc/link file 0640 "new\n"`,
		"etc/out":  `etc/out file 0640 "new\n"`,
		"etc/fifo": `etc/fifo file 0640 "new\n"`,
		"etc/new":  `etc/new file 0640 "new\n"`,
		"abs/abs":  `etc/abs file 0640 "new\n"`,
		"/../top":  `top file 0640 "new\n"`,
		"etc/hard": `etc/hard file 0640 "new\n"`,
	} {
		err := r.WriteFile(name, 0o640, []byte("new\n"))
		where, _ := r.Resolve(name)
		if want, _ := word(line); err != nil || where != want {
			t.Errorf("%s: %q, %v", name, where, err)
		}
		if err := s.mustHave(line); err != nil {
			t.Error(err)
		}
	}
	if err := s.mustHave(`run/x file 0644 "kept\n"`); err != nil && hard == nil {
		t.Error("the other name of a file was changed:", err)
	}
	var outside *OutsideError
	for name, is := range map[string]func(error) bool{
		"etc/dir":   func(err error) bool { return errors.Is(err, unix.EISDIR) },
		"etc/no/f":  func(err error) bool { return errors.Is(err, fs.ErrNotExist) },
		"run/x/f":   func(err error) bool { return errors.Is(err, unix.ENOTDIR) },
		"up/hello":  func(err error) bool { return errors.As(err, &outside) },
		"loop/file": func(err error) bool { return errors.Is(err, unix.ELOOP) },
		"/":         func(err error) bool { return err != nil },
	} {
		if err := r.WriteFile(name, 0o640, []byte("new\n")); !is(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.check(t)
}
