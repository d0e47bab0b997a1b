package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is how many symbolic links a path may lead through: as the kernel's
// limit (path_resolution(7)).
const maxLinks = 40

// An output is a file that a command writes where its caller said. Another user
// may own that folder and put links into it while the command runs, so nothing
// is done by path: each step is relative to the folder's descriptor and follows
// no link, and a file that is there already is used only if it is this user's
// own, a regular one, and has no other name.
type output struct {
	dir  int    // the folder's descriptor
	path string // as given
	base string // the last part of path
}

// openOutput finds the folder of path. It follows links of root's and of this
// user's alone.
func openOutput(path string) (*output, error) {
	folder, base := filepath.Split(path)
	if base == "" || base == "." || base == ".." {
		return nil, usageErrorf("%q is a folder", path)
	}
	start, rest := ".", folder
	if strings.HasPrefix(folder, "/") {
		start = "/"
	}
	const flags = unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	dir, err := unix.Open(start, flags, 0)
	for links := 0; err == nil; {
		var name string
		name, rest, _ = strings.Cut(strings.TrimLeft(rest, "/"), "/")
		if name == "" {
			return &output{dir, path, base}, nil
		}
		var next int
		if next, err = unix.Openat(dir, name, flags, 0); err == nil {
			unix.Close(dir)
			dir = next
			continue
		}
		var st unix.Stat_t
		if unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || st.Mode&unix.S_IFMT != unix.S_IFLNK {
			break
		}
		if links++; links > maxLinks {
			err = unix.ELOOP
			break
		}
		if !trustedOwner(st.Uid) {
			unix.Close(dir)
			return nil, fmt.Errorf("%q: %q is a link that belongs to another user (uid %d): name the folder that it leads to", path, name, st.Uid)
		}
		target := make([]byte, unix.PathMax)
		var n int
		if n, err = unix.Readlinkat(dir, name, target); err != nil {
			break
		}
		rest = string(target[:n]) + "/" + rest
		if target[0] == '/' {
			if next, err = unix.Open("/", flags, 0); err == nil {
				unix.Close(dir)
				dir = next
			}
		}
	}
	if dir >= 0 {
		unix.Close(dir)
	}
	return nil, &os.PathError{Op: "open", Path: strings.TrimSuffix(folder, "/"), Err: err}
}

// trustedOwner reports whether what a user made may be followed and written to:
// this user's own, and root's. In a user namespace root's files are those of
// nobody, as the root folder is.
func trustedOwner(uid uint32) bool {
	var root unix.Stat_t
	return uid == 0 || int(uid) == os.Geteuid() || unix.Stat("/", &root) == nil && uid == root.Uid
}

func (o *output) close() { unix.Close(o.dir) }

// fail puts the file's path to an error.
func (o *output) fail(op, suffix string, err error) error {
	return &os.PathError{Op: op, Path: o.path + suffix, Err: err}
}

// begin opens the file, or one beside it whose name has suffix, for reading and
// writing. It makes the file if there is none, of that mode less the umask.
func (o *output) begin(suffix string, mode uint32) (*os.File, error) {
	const flags = unix.O_RDWR | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(o.dir, o.base+suffix, flags|unix.O_CREAT|unix.O_EXCL, mode)
	if err == unix.EEXIST {
		return o.existing(suffix, flags)
	}
	if err != nil {
		return nil, o.fail("create", suffix, err)
	}
	return os.NewFile(uintptr(fd), o.path+suffix), nil
}

// newMode is the mode of a new file, less the umask.
const newMode = 0o666

// beginAlone opens a file beside the output that no other process writes or can
// lock: its mode is 0600, since whoever can open a file can lock it (flock(2)).
func (o *output) beginAlone(suffix string) (*os.File, error) {
	for {
		f, err := o.begin(suffix, 0o600)
		if err != nil {
			return nil, err
		}
		busy, again, err := o.lock(f, suffix)
		switch {
		case busy:
			err = fmt.Errorf("%q is being written by another process", f.Name())
		case err == nil && !again && o.holds(f, suffix):
			return f, nil
		case err == nil && !again: // complete and renamed, or removed, before we had the lock
			err = fmt.Errorf("another process has completed or removed %q just now", f.Name())
		}
		f.Close()
		if err != nil {
			return nil, err
		}
	}
}

// lock locks a file. busy says that another process of this user has it. One that
// others may open, which an older version made, is closed to them; if they could
// write to it, or have locked it, it is removed, which again says.
func (o *output) lock(f *os.File, suffix string) (busy, again bool, err error) {
	fd := int(f.Fd())
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false, false, o.fail("stat", suffix, err)
	}
	busy = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) == unix.EWOULDBLOCK
	mode := st.Mode
	// Where modes can't be set (FAT) no other file would be better.
	if mode&0o077 == 0 || unix.Fchmod(fd, 0o600) != nil || unix.Fstat(fd, &st) != nil || st.Mode&0o077 != 0 {
		return busy, false, nil
	}
	if !busy && mode&0o022 == 0 {
		return false, false, nil
	}
	if o.holds(f, suffix) {
		if err := unix.Unlinkat(o.dir, o.base+suffix, 0); err != nil {
			return false, false, o.fail("remove", suffix, err)
		}
	}
	return false, true, nil
}

// existing opens a file that is there and safe to be used.
func (o *output) existing(suffix string, flags int) (*os.File, error) {
	// O_NONBLOCK: a FIFO must not hang us before we know that it is one.
	fd, err := unix.Openat(o.dir, o.base+suffix, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err == unix.ELOOP {
		return nil, fmt.Errorf("%q is a symbolic link, which is not followed: remove it, or name another file", o.path+suffix)
	}
	if err != nil {
		return nil, o.fail("open", suffix, err)
	}
	f := os.NewFile(uintptr(fd), o.path+suffix)
	var st unix.Stat_t
	switch err = unix.Fstat(fd, &st); {
	case err != nil:
		err = o.fail("stat", suffix, err)
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		err = fmt.Errorf("%q is not a regular file: remove it, or name another file", o.path+suffix)
	case !trustedOwner(st.Uid):
		err = fmt.Errorf("%q belongs to another user (uid %d): remove it, or name another file", o.path+suffix, st.Uid)
	case st.Nlink > 1:
		err = fmt.Errorf("%q has other names (hard links), whose content would change too: remove it, or name another file", o.path+suffix)
	default:
		return f, nil
	}
	f.Close()
	return nil, err
}

// replace writes data to the file, in the place of what was there.
func (o *output) replace(suffix string, data []byte) error {
	f, err := o.begin(suffix, newMode)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(0); err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Close()
}

// read returns a file of at most max bytes.
func (o *output) read(suffix string, max int64) ([]byte, error) {
	f, err := o.existing(suffix, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, max))
}

// remove removes a file that begin would have opened.
func (o *output) remove(suffix string) {
	if f, err := o.existing(suffix, unix.O_RDONLY); err == nil {
		f.Close()
		unix.Unlinkat(o.dir, o.base+suffix, 0)
	}
}

// holds reports whether f is still the file of that name.
func (o *output) holds(f *os.File, suffix string) bool {
	var mine, there unix.Stat_t
	return unix.Fstat(int(f.Fd()), &mine) == nil &&
		unix.Fstatat(o.dir, o.base+suffix, &there, unix.AT_SYMLINK_NOFOLLOW) == nil &&
		mine.Dev == there.Dev && mine.Ino == there.Ino
}

// finish gives f, which has a suffix to its name, the mode of a new file and the
// file's name itself.
func (o *output) finish(f *os.File, suffix string) error {
	umask := unix.Umask(0)
	unix.Umask(umask)
	f.Chmod(os.FileMode(newMode &^ umask)) // FAT has no modes to set
	if !o.holds(f, suffix) {
		return fmt.Errorf("%q was replaced while it was written", o.path+suffix)
	}
	if err := unix.Renameat(o.dir, o.base+suffix, o.dir, o.base); err != nil {
		return o.fail("rename", suffix, err)
	}
	return nil
}

// device opens what is neither a regular file nor absent: a device or a pipe is
// written to, never replaced. nil: it is a file.
func (o *output) device() (*os.File, error) {
	var st unix.Stat_t
	err := unix.Fstatat(o.dir, o.base, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return nil, o.fail("stat", "", err)
	}
	follow := unix.O_NOFOLLOW
	if err == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK && trustedOwner(st.Uid) {
		// As /dev/stdout is. A link of another user's is replaced like a file.
		follow = 0
		err = unix.Fstatat(o.dir, o.base, &st, 0)
	}
	switch kind := st.Mode & unix.S_IFMT; {
	case err != nil, kind == unix.S_IFREG, kind == unix.S_IFLNK:
		return nil, nil
	case kind == unix.S_IFDIR:
		return nil, usageErrorf("%q is a folder", o.path)
	}
	fd, err := unix.Openat(o.dir, o.base, unix.O_WRONLY|unix.O_CLOEXEC|follow, 0)
	if err != nil {
		return nil, o.fail("open", "", err)
	}
	return os.NewFile(uintptr(fd), o.path), nil
}

// writeOutput writes data to the file of that path.
func writeOutput(path string, data []byte) error {
	o, err := openOutput(path)
	if err != nil {
		return err
	}
	defer o.close()
	f, err := o.device()
	switch {
	case err != nil:
		return err
	case f == nil:
		return o.replace("", data)
	}
	defer f.Close()
	_, err = f.Write(data)
	return err
}
