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

// This file opens, replaces and removes files that a command writes at a path that its
// caller gave, such as fetch's -o and --report. Another user may own the directory, and put
// links, pipes and other people's files into it while the command runs. So the path is
// followed once, part by part, to a descriptor of the directory (openOutput, walk, readLink,
// checkLink), and every file is opened below that descriptor and looked at before it is used
// (open, openLocked, replace, finish, openDevice).

// An output is a file that a command writes. No system call takes its path: each takes the
// descriptor of its directory and a name without a slash, and follows no link. A link that
// may be followed is looked at and read through one descriptor. A file that exists is used
// only if it is a regular file of this user or of root with one name (openExisting).
//
// openOutput follows the links of the directory; the output's own name may still be a link
// then, which a download replaces. target returns the output to which that link leads. After
// that an output changes no more.
//
// Most methods take a suffix: they work on the file whose name is the output's name with that
// suffix. With "" they work on the output itself.
type output struct {
	_    uncomparable
	path string // as given, for messages
	dir  int    // descriptor of the directory; -1: none, since path names a descriptor
	base string // name in the directory
	// fd is the open descriptor that path, or its link, names: 1 for /dev/stdout. -1: it
	// names a file. No link of another user can lead from there to another file.
	fd    int
	links int // symbolic links followed so far
}

// maxLinks is how many symbolic links a path may lead through: the kernel's limit
// (path_resolution(7)).
const maxLinks = 40

const dirFlags = unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC

// openOutput opens the directory of path. It follows only links of root and of this user, and
// these only where nobody else can replace them. The caller calls close.
func openOutput(path string) (*output, error) {
	o := &output{path: path, dir: -1, fd: descriptorOf(path)}
	if o.fd >= 0 {
		return o, nil
	}
	var err error
	if o.dir, err = unix.Open(".", dirFlags, 0); err != nil {
		return nil, o.pathError("open", "", err)
	}
	if err := o.walk(path); err != nil {
		o.close()
		return nil, err
	}
	return o, nil
}

// descriptorOf returns the number of the open file that a path names; -1 if it names none.
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

// target follows the links at the output's own name, and returns the output to which they
// lead; without a link that is the output itself. The caller calls close.
func (o *output) target() (*output, error) {
	t := *o
	if o.fd >= 0 {
		return &t, nil
	}
	var err error
	if t.dir, err = unix.Openat(o.dir, ".", dirFlags, 0); err != nil {
		return nil, o.pathError("open", "", err)
	}
	for {
		to, ok, err := t.readLink(t.base)
		if err == nil && !ok {
			return &t, nil
		}
		if t.fd = descriptorOf(to); t.fd >= 0 {
			return &t, nil
		}
		if err == nil {
			err = t.walk(to)
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

// walk goes from the output's directory to that of path, and sets base.
func (o *output) walk(path string) error {
	directory, base := filepath.Split(path)
	if base == "" || base == "." || base == ".." {
		return usageErrorf("%q is a directory", o.path)
	}
	fail := func(err error) error {
		return &os.PathError{Op: "open", Path: strings.TrimSuffix(directory, "/"), Err: err}
	}
	if strings.HasPrefix(directory, "/") {
		if err := o.changeDir("/"); err != nil {
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
		err := o.changeDir(name)
		if err == nil {
			continue
		}
		target, ok, lerr := o.readLink(name)
		if lerr != nil {
			return lerr
		}
		if !ok {
			return fail(err)
		}
		if strings.HasPrefix(target, "/") {
			if err := o.changeDir("/"); err != nil {
				return fail(err)
			}
		}
		rest = target + "/" + rest
	}
}

// changeDir makes the directory of that name, or "/", the output's directory.
func (o *output) changeDir(name string) error {
	next, err := unix.Openat(o.dir, name, dirFlags, 0)
	if err == nil {
		unix.Close(o.dir)
		o.dir = next
	}
	return err
}

// readLink returns where the symbolic link of that name leads; ok is false if the name is no
// link. It is an error if the link may not be followed.
func (o *output) readLink(name string) (target string, ok bool, err error) {
	fd, err := unix.Openat(o.dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", false, nil // opening the file fails too, with the reason
	}
	defer unix.Close(fd)
	var st unix.Stat_t // fstat of an O_PATH descriptor needs Linux 3.6
	if err := unix.Fstatat(fd, "", &st, unix.AT_EMPTY_PATH); err != nil || st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return "", false, nil
	}
	if err := o.checkLink(name, &st); err != nil {
		return "", false, err
	}
	if o.links++; o.links > maxLinks {
		return "", false, o.pathError("open", "", unix.ELOOP)
	}
	text := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", text)
	if err != nil {
		return "", false, o.pathError("readlink", "", err)
	}
	return string(text[:n]), true, nil
}

// checkLink returns an error if a symbolic link in the directory may not be followed.
func (o *output) checkLink(name string, link *unix.Stat_t) error {
	dir, err := o.statDir()
	if err != nil {
		return err
	}
	// A link in "/" is trusted as "/" itself is, and so is a link of the owner of "/" in a
	// directory of the same owner that nobody else can write to. In a user namespace that
	// owner has the number of "nobody", like all users that are not mapped there.
	var root unix.Stat_t
	if unix.Stat("/", &root) == nil && link.Uid == root.Uid &&
		(dir.Dev == root.Dev && dir.Ino == root.Ino || dir.Uid == root.Uid && dir.Mode&0o022 == 0) {
		return nil
	}
	if !trustedOwner(link.Uid) {
		return fmt.Errorf("%q: %q is a symbolic link that belongs to another user (uid %d) and is not followed: give the path that it leads to", o.path, name, link.Uid)
	}
	if o.othersWrite(&dir) {
		return fmt.Errorf("%q: %q is a symbolic link in a directory of another user (uid %d, mode %04o) and is not followed: give the path that it leads to", o.path, name, dir.Uid, dir.Mode&0o7777)
	}
	return nil
}

// othersWrite reports whether other users can replace files in the directory. Its owner can.
// If the directory is sticky, nobody else can. A group with the same number as the owner is
// taken for the owner's own, unless an access control list changes what the group's bits
// mean (acl(5)).
func (o *output) othersWrite(dir *unix.Stat_t) bool {
	if !trustedOwner(dir.Uid) {
		return true
	}
	if dir.Mode&unix.S_ISVTX != 0 || dir.Mode&0o022 == 0 {
		return false
	}
	if dir.Mode&0o002 != 0 || dir.Uid != dir.Gid {
		return true
	}
	fd, err := o.reopenDir()
	if err != nil {
		return true
	}
	defer unix.Close(fd)
	n, err := unix.Fgetxattr(fd, "system.posix_acl_access", nil)
	return err == nil && n > 0
}

// trustedOwner reports whether a link of that user may be followed, and a file of that user
// written to: whether it is this user or root. In a user namespace all users that are not
// mapped, root of the outside too, have the number of "nobody", which is not trusted.
func trustedOwner(uid uint32) bool { return uid == 0 || int(uid) == os.Geteuid() }

// pathError adds the file's path to an error of a system call.
func (o *output) pathError(op, suffix string, err error) error {
	return &os.PathError{Op: op, Path: o.path + suffix, Err: err}
}

// statDir returns the properties of the directory.
func (o *output) statDir() (st unix.Stat_t, err error) {
	if err := unix.Fstatat(o.dir, "", &st, unix.AT_EMPTY_PATH); err != nil {
		return st, o.pathError("stat", "", err)
	}
	return st, nil
}

// reopenDir opens the directory for calls that an O_PATH descriptor does not allow.
func (o *output) reopenDir() (fd int, err error) {
	return unix.Openat(o.dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

// stat returns the properties of the file. It does not follow a link.
func (o *output) stat(suffix string) (st unix.Stat_t, err error) {
	err = unix.Fstatat(o.dir, o.base+suffix, &st, unix.AT_SYMLINK_NOFOLLOW)
	return st, err
}

// exists reports whether the name is taken, by whatever kind of file.
func (o *output) exists(suffix string) bool {
	_, err := o.stat(suffix)
	return err != unix.ENOENT
}

// isStill reports whether the name still leads to the open file f.
func (o *output) isStill(f *os.File, suffix string) bool {
	there, err := o.stat(suffix)
	var held unix.Stat_t
	return err == nil && unix.Fstat(int(f.Fd()), &held) == nil && there.Dev == held.Dev && there.Ino == held.Ino
}

// newMode is the mode of a new file, less the umask.
const newMode = 0o666

// open opens the file for reading and writing. If there is none, it creates one with that
// mode, less the umask.
func (o *output) open(suffix string, mode uint32) (*os.File, error) {
	f, err := o.create(suffix, mode)
	if err == unix.EEXIST {
		return o.openExisting(suffix, unix.O_RDWR)
	}
	if err != nil {
		return nil, o.pathError("create", suffix, err)
	}
	return f, nil
}

// create creates the file. It returns the error of open(2): unix.EEXIST if there is one.
func (o *output) create(suffix string, mode uint32) (*os.File, error) {
	fd, err := unix.Openat(o.dir, o.base+suffix, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), o.path+suffix), nil
}

// openExisting opens a file that exists, if it is safe to use.
func (o *output) openExisting(suffix string, flags int) (*os.File, error) {
	// O_NONBLOCK: if it is a FIFO, open must not wait for the other end.
	fd, err := unix.Openat(o.dir, o.base+suffix, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err == unix.ELOOP {
		return nil, fmt.Errorf("%q is a symbolic link, which is not followed: remove it, or name another file", o.path+suffix)
	}
	if err != nil {
		return nil, o.pathError("open", suffix, err)
	}
	f := os.NewFile(uintptr(fd), o.path+suffix)
	var st unix.Stat_t
	switch err = unix.Fstat(fd, &st); {
	case err != nil:
		err = o.pathError("stat", suffix, err)
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

// openLocked opens the file, or creates it, and locks it until it is closed. Its mode is
// 0600 then, since whoever can open a file can lock it (flock(2)).
func (o *output) openLocked(suffix string) (*os.File, error) {
	for {
		f, err := o.open(suffix, 0o600)
		if err != nil {
			return nil, err
		}
		state, err := o.lock(f, suffix)
		switch {
		case err != nil:
		case state == lockRemoved:
			f.Close()
			continue
		case state == lockBusy:
			err = fmt.Errorf("%q is being written by another process", f.Name())
		case !o.isStill(f, suffix):
			err = fmt.Errorf("another process has just completed or removed %q", f.Name())
		default:
			return f, nil
		}
		f.Close()
		return nil, err
	}
}

// A lockState is the outcome of lock.
type lockState int

const (
	lockHeld    lockState = iota // this process has the lock, or the file system has no locks
	lockBusy                     // another process of this user has it
	lockRemoved                  // the file was removed, since other users may have used it
)

// lock locks a file and sets its mode to 0600: older versions of this program made the file
// with a mode that let other users open it, and so lock it. If others could write to it,
// or one of them may have locked it, lock removes the file, so that a new file can be made.
func (o *output) lock(f *os.File, suffix string) (lockState, error) {
	fd := int(f.Fd())
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return lockHeld, o.pathError("stat", suffix, err)
	}
	state := lockHeld
	if unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) == unix.EWOULDBLOCK {
		state = lockBusy
	}
	before := st.Mode
	// Where modes can't be set (FAT), a new file would have the same mode.
	if before&0o077 == 0 || unix.Fchmod(fd, 0o600) != nil || unix.Fstat(fd, &st) != nil || st.Mode&0o077 != 0 {
		return state, nil
	}
	if state == lockHeld && before&0o022 == 0 {
		return lockHeld, nil
	}
	if o.isStill(f, suffix) {
		if err := unix.Unlinkat(o.dir, o.base+suffix, 0); err != nil {
			return state, o.pathError("remove", suffix, err)
		}
	}
	return lockRemoved, nil
}

// asideSuffix ends the name under which replace writes the new content.
const asideSuffix = ".new"

// replace writes data to a file aside, which only this user may read, and renames it. So a
// reader, and also a run after a power failure, finds the old content or the new.
func (o *output) replace(suffix string, data []byte) error {
	aside := suffix + asideSuffix
	f, err := o.open(aside, 0o600)
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
	case !o.isStill(f, aside):
		return fmt.Errorf("%q was replaced while it was written", o.path+aside)
	case err == nil:
		if err = unix.Renameat(o.dir, o.base+aside, o.dir, o.base+suffix); err != nil {
			err = o.pathError("rename", aside, err)
		}
	}
	if err != nil {
		unix.Unlinkat(o.dir, o.base+aside, 0)
		return err
	}
	// Make the rename durable before the next step. Some file systems (FUSE) can't.
	if fd, err := o.reopenDir(); err == nil {
		unix.Fsync(fd)
		unix.Close(fd)
	}
	return nil
}

// read returns the content of a file of at most max bytes.
func (o *output) read(suffix string, max int64) ([]byte, error) {
	f, err := o.openExisting(suffix, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	data, err := readLimit(f, max)
	f.Close()
	return data, err
}

// isBlank reports whether the file is safe to use and is empty or holds only NUL bytes. A
// power failure leaves such a file if its content was not yet on the disk.
func (o *output) isBlank(suffix string) bool {
	data, err := o.read(suffix, maxRecord)
	return err == nil && len(bytes.Trim(data, "\x00")) == 0
}

// remove removes the file if it is safe to use.
func (o *output) remove(suffix string) {
	if f, err := o.openExisting(suffix, unix.O_RDONLY); err == nil {
		f.Close()
		unix.Unlinkat(o.dir, o.base+suffix, 0)
	}
}

// finish gives the open file f, which has the name with suffix, the mode of a new file and
// the output's own name.
func (o *output) finish(f *os.File, suffix string) error {
	umask := unix.Umask(0)
	unix.Umask(umask)
	f.Chmod(os.FileMode(newMode &^ umask)) // fails on FAT, which has no modes
	if !o.isStill(f, suffix) {
		return fmt.Errorf("%q was replaced while it was written", o.path+suffix)
	}
	if err := unix.Renameat(o.dir, o.base+suffix, o.dir, o.base); err != nil {
		return o.pathError("rename", suffix, err)
	}
	return nil
}

// readerInterval is how often openDevice tries to open a FIFO that has no reader.
const readerInterval = 100 * time.Millisecond

// openDevice opens the output for writing if it is a device or a pipe. It returns nil, and
// no error, if the output is absent, a regular file, or a link. The file is opened first,
// which changes nothing, and looked at through the descriptor. If it is a FIFO, openDevice
// waits until that has a reader, or until ctx is done.
func (o *output) openDevice(ctx context.Context) (*os.File, error) {
	if o.fd >= 0 {
		fd, err := unix.FcntlInt(uintptr(o.fd), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			return nil, o.pathError("open", "", err)
		}
		return os.NewFile(uintptr(fd), o.path), nil
	}
	for {
		fd, err := unix.Openat(o.dir, o.base, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		if err == nil {
			return o.deviceFile(fd)
		}
		wait, err := o.explainOpen(err)
		if !wait {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(readerInterval):
		}
	}
}

// deviceFile makes a file of an open device or pipe. It closes a regular file and returns
// nil.
func (o *output) deviceFile(fd int) (*os.File, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		// Only open must not wait. Writes may, since the callers make them under untilDone.
		if err = unix.SetNonblock(fd, false); err == nil {
			return os.NewFile(uintptr(fd), o.path), nil
		}
	}
	unix.Close(fd)
	if err != nil {
		return nil, o.pathError("open", "", err)
	}
	return nil, nil
}

// explainOpen says what is to be done after open failed with the error failed: to wait for
// a FIFO's reader; or nothing (nil), since the output is a file that a new one can replace;
// or to return an error. Another user who changes the file in between gains nothing, for a
// new file is created aside and renamed, or the file is checked again (openExisting).
func (o *output) explainOpen(failed error) (wait bool, err error) {
	st, err := o.stat("")
	switch {
	case err == unix.ENOENT:
		return false, nil
	case err != nil:
		return false, o.pathError("stat", "", err)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFLNK:
		return false, nil
	case unix.S_IFDIR:
		return false, usageErrorf("%q is a directory", o.path)
	case unix.S_IFIFO:
		if failed == unix.ENXIO || failed == unix.EINTR { // no reader yet
			return true, nil
		}
	}
	return false, o.pathError("open", "", failed)
}
