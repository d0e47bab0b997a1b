package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// maxLinks is how many symbolic links a path may lead through: as the kernel's
// limit (path_resolution(7)).
const maxLinks = 40

// An output is a file that a command writes where its caller said. Another user
// may own that directory and put links into it while the command runs, so nothing
// is done by path: each step is relative to the directory's descriptor, a link is
// looked at and read through one descriptor, and a file that is there already is
// used only if it is this user's own, a regular one, and has no other name.
type output struct {
	dir   int    // the directory's descriptor
	path  string // as given
	base  string // the last part of path, or of where links lead from there
	links int    // that were followed
	given int    // the descriptor that path names, /dev/stdout's 1; -1: none
}

// openOutput finds the directory of path. Links of root's and of this user's alone
// are followed, and only where nobody else can put another in their place.
func openOutput(path string) (*output, error) {
	o := &output{dir: -1, path: path, given: descriptorOf(path)}
	if o.given >= 0 {
		return o, nil
	}
	var err error
	if o.dir, err = unix.Open(".", dirFlags, 0); err != nil {
		return nil, o.fail("open", "", err)
	}
	if err := o.enter(path); err != nil {
		o.close()
		return nil, err
	}
	return o, nil
}

const dirFlags = unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC

// descriptorOf returns the open file that a path names, -1 where it names none. A
// file is written that is open already: no other user's link leads there.
func descriptorOf(path string) int {
	switch path {
	case "/dev/stdout":
		return 1
	case "/dev/stderr":
		return 2
	}
	for _, directory := range []string{"/dev/fd/", "/proc/self/fd/"} {
		if text, ok := strings.CutPrefix(path, directory); ok {
			if n, err := strconv.ParseUint(text, 10, 16); err == nil {
				return int(n)
			}
		}
	}
	return -1
}

// enter goes from the directory that is held to that of path.
func (o *output) enter(path string) error {
	directory, base := filepath.Split(path)
	if base == "" || base == "." || base == ".." {
		return usageErrorf("%q is a directory", o.path)
	}
	fail := func(err error) error {
		return &os.PathError{Op: "open", Path: strings.TrimSuffix(directory, "/"), Err: err}
	}
	if strings.HasPrefix(directory, "/") {
		if err := o.move("/"); err != nil {
			return fail(err)
		}
	}
	for rest := directory; ; {
		var name string
		name, rest, _ = strings.Cut(strings.TrimLeft(rest, "/"), "/")
		if name == "" {
			o.base = base
			return nil
		}
		err := o.move(name)
		if err == nil {
			continue
		}
		target, ok, lerr := o.link(name)
		if lerr != nil {
			return lerr
		}
		if !ok {
			return fail(err)
		}
		if strings.HasPrefix(target, "/") {
			if err := o.move("/"); err != nil {
				return fail(err)
			}
		}
		rest = target + "/" + rest
	}
}

// move makes a directory in the one that is held, or "/", the one that is held.
func (o *output) move(name string) error {
	next, err := unix.Openat(o.dir, name, dirFlags, 0)
	if err == nil {
		unix.Close(o.dir)
		o.dir = next
	}
	return err
}

// link reads a link in the directory; ok is false where the name is none's. It is an
// error if the link is not to be followed.
func (o *output) link(name string) (target string, ok bool, err error) {
	fd, err := unix.Openat(o.dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", false, nil // who opens the name will say why
	}
	defer unix.Close(fd)
	var st unix.Stat_t // fstat of such a descriptor is Linux 3.6's
	if err := unix.Fstatat(fd, "", &st, unix.AT_EMPTY_PATH); err != nil || st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return "", false, nil
	}
	if err := o.distrust(name, &st); err != nil {
		return "", false, err
	}
	if o.links++; o.links > maxLinks {
		return "", false, o.fail("open", "", unix.ELOOP)
	}
	text := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", text)
	if err != nil {
		return "", false, o.fail("readlink", "", err)
	}
	return string(text[:n]), true, nil
}

// distrust says why a link in the directory is not followed.
func (o *output) distrust(name string, link *unix.Stat_t) error {
	var here, root unix.Stat_t
	if err := unix.Fstatat(o.dir, "", &here, unix.AT_EMPTY_PATH); err != nil {
		return o.fail("stat", "", err)
	}
	// What lies in "/" is as good as "/" itself, whose owner has the number of
	// nobody in a user namespace, as all have who are not mapped there; and so is a
	// link that the same owner made in a directory that nobody else may write.
	if unix.Stat("/", &root) == nil && link.Uid == root.Uid &&
		(here.Dev == root.Dev && here.Ino == root.Ino || here.Uid == root.Uid && here.Mode&0o022 == 0) {
		return nil
	}
	if !trustedOwner(link.Uid) {
		return fmt.Errorf("%q: %q is a symbolic link that belongs to another user (uid %d), which is not followed: name what it leads to", o.path, name, link.Uid)
	}
	if o.othersWrite(&here) {
		return fmt.Errorf("%q: %q is a symbolic link in a directory of another user (uid %d, mode %04o), which is not followed: name what it leads to", o.path, name, here.Uid, here.Mode&0o7777)
	}
	return nil
}

// othersWrite reports whether other users can replace what is in the directory: its
// owner can; in a sticky one nobody else; a group with its user's number is that
// user's own, unless an access control list gives its bits another meaning (acl(5)).
func (o *output) othersWrite(here *unix.Stat_t) bool {
	if !trustedOwner(here.Uid) {
		return true
	}
	if here.Mode&unix.S_ISVTX != 0 || here.Mode&0o022 == 0 {
		return false
	}
	if here.Mode&0o002 != 0 || here.Uid != here.Gid {
		return true
	}
	fd, err := unix.Openat(o.dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return true
	}
	defer unix.Close(fd)
	n, err := unix.Fgetxattr(fd, "system.posix_acl_access", nil)
	return err == nil && n > 0
}

// trustedOwner reports whether what a user made may be followed and written to:
// this user's own, and root's. In a user namespace whoever is not mapped has the
// number of nobody, root outside too, and so counts for nobody.
func trustedOwner(uid uint32) bool { return uid == 0 || int(uid) == os.Geteuid() }

// target is where the output's name leads: to itself, or through links. The caller
// closes it.
func (o *output) target() (*output, error) {
	t := *o
	if o.given >= 0 {
		return &t, nil
	}
	var err error
	if t.dir, err = unix.Openat(o.dir, ".", dirFlags, 0); err != nil {
		return nil, o.fail("open", "", err)
	}
	for {
		to, ok, err := t.link(t.base)
		if err == nil && !ok {
			return &t, nil
		}
		if t.given = descriptorOf(to); t.given >= 0 {
			return &t, nil
		}
		if err == nil {
			err = t.enter(to)
		}
		if err != nil {
			t.close()
			return nil, err
		}
	}
}

func (o *output) close() {
	if o.dir >= 0 {
		unix.Close(o.dir)
	}
}

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

// asideSuffix ends the name under which replace writes.
const asideSuffix = ".new"

// replace writes data aside, which only this user may read, and renames it: whoever
// reads, and whoever comes after a power failure, finds the old content or the new.
func (o *output) replace(suffix string, data []byte) error {
	aside := suffix + asideSuffix
	f, err := o.begin(aside, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err = f.Truncate(0); err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = f.Sync()
	}
	switch {
	case !o.holds(f, aside):
		return fmt.Errorf("%q was replaced while it was written", o.path+aside)
	case err == nil:
		if err = unix.Renameat(o.dir, o.base+aside, o.dir, o.base+suffix); err != nil {
			err = o.fail("rename", aside, err)
		}
	}
	if err != nil {
		unix.Unlinkat(o.dir, o.base+aside, 0)
		return err
	}
	// The name, too, before what comes next. Some file systems (FUSE) can't do that.
	if fd, err := unix.Openat(o.dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == nil {
		unix.Fsync(fd)
		unix.Close(fd)
	}
	return nil
}

// blank reports whether a file that begin would open has nothing in it, or NULs: a
// power failure leaves these of what was not yet on the disk.
func (o *output) blank(suffix string) bool {
	data, err := o.read(suffix, maxCredentials)
	return err == nil && len(bytes.Trim(data, "\x00")) == 0
}

// exists reports whether anything has the name.
func (o *output) exists(suffix string) bool {
	var st unix.Stat_t
	return unix.Fstatat(o.dir, o.base+suffix, &st, unix.AT_SYMLINK_NOFOLLOW) != unix.ENOENT
}

// read returns a file of at most max bytes.
func (o *output) read(suffix string, max int64) ([]byte, error) {
	f, err := o.existing(suffix, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readLimit(f, max)
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
	var there, open unix.Stat_t
	return unix.Fstatat(o.dir, o.base+suffix, &there, unix.AT_SYMLINK_NOFOLLOW) == nil && unix.Fstat(int(f.Fd()), &open) == nil &&
		there.Dev == open.Dev && there.Ino == open.Ino
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
// written to, never replaced. nil: it is a file. What the name leads to is opened
// first, which changes nothing, and looked at then. A FIFO is waited for until it
// has a reader.
func (o *output) device(ctx context.Context) (*os.File, error) {
	if o.given >= 0 {
		fd, err := unix.FcntlInt(uintptr(o.given), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			return nil, o.fail("open", "", err)
		}
		return os.NewFile(uintptr(fd), o.path), nil
	}
	for {
		fd, err := unix.Openat(o.dir, o.base, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		var st unix.Stat_t
		if err == nil {
			if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
				// Only the opening must not wait; who writes does so under untilDone.
				err = unix.SetNonblock(fd, false)
			}
			if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
				return os.NewFile(uintptr(fd), o.path), nil
			}
			unix.Close(fd)
			if err != nil {
				return nil, o.fail("open", "", err)
			}
			return nil, nil
		}
		// It can't be opened: whether it is to be replaced the name tells. Whoever
		// makes that a lie gains nothing: a file is made beside and renamed, or is
		// looked at again (existing).
		if e := unix.Fstatat(o.dir, o.base, &st, unix.AT_SYMLINK_NOFOLLOW); e == unix.ENOENT {
			return nil, nil
		} else if e != nil {
			return nil, o.fail("stat", "", e)
		}
		switch kind := st.Mode & unix.S_IFMT; {
		case kind == unix.S_IFREG, kind == unix.S_IFLNK:
			return nil, nil
		case kind == unix.S_IFDIR:
			return nil, usageErrorf("%q is a directory", o.path)
		case kind != unix.S_IFIFO || err != unix.ENXIO && err != unix.EINTR:
			return nil, o.fail("open", "", err)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(readerInterval):
		}
	}
}

// readerInterval is how often a FIFO is asked whether it has a reader.
const readerInterval = 100 * time.Millisecond
