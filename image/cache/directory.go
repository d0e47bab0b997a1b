package cache

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// A directory is an open directory of the cache. The names that its methods take are
// names in this directory, without slashes. The methods follow no symbolic link,
// because another user may have put it there. They use only system calls of Linux
// 2.6.16: Android's system call filter kills a process that calls openat2, renameat2
// or faccessat2.
//
// The files and directories that open and openFile return belong to one of owners,
// and no other user may write them (owner.go).
type directory struct {
	file   *os.File // not embedded: wrappers of its methods would add 6 kB to the program
	owners []int
}

// maxDepth is how many levels of directories removeAll removes; an entry has two.
const maxDepth = 16

// wrap returns err as an *fs.PathError for name in d, or nil.
func (d *directory) wrap(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: d.file.Name() + "/" + name, Err: err}
}

// openat is openat(2), and follows no link. It repeats a call that fails with EINTR, as package
// os does: a signal can interrupt open(2) on a network file system.
func (d *directory) openat(name string, flag int, perm uint32) (fd int, err error) {
	for {
		fd, err = unix.Openat(int(d.file.Fd()), name, flag|unix.O_NOFOLLOW|unix.O_CLOEXEC, perm)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// openFile opens or creates a file. It returns an error if the file is not regular.
func (d *directory) openFile(name string, flag int, perm uint32) (*os.File, error) {
	// O_NONBLOCK: opening a FIFO must not block. It has no effect on a regular file.
	fd, err := d.openat(name, flag|unix.O_NONBLOCK|unix.O_LARGEFILE, perm)
	if err != nil {
		return nil, d.wrap("open", name, err)
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = errors.New("not a regular file")
	}
	if err != nil {
		unix.Close(fd)
		return nil, d.wrap("open", name, err)
	}
	if err := d.checkTrust(fd, &st, d.file.Name()+"/"+name); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), d.file.Name()+"/"+name), nil
}

// open opens a directory in d.
func (d *directory) open(name string) (*directory, error) {
	inner, st, err := d.openUntrusted(name)
	if err == nil {
		if err = d.checkTrust(int(inner.file.Fd()), st, inner.file.Name()); err != nil {
			inner.file.Close()
		}
	}
	if err != nil {
		return nil, err
	}
	return inner, nil
}

// create creates a file, and removes an old file of that name first.
func (d *directory) create(name string) (*os.File, error) {
	if err := d.remove(name); err != nil {
		return nil, err
	}
	return d.openFile(name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o644)
}

// openUntrusted opens a directory in d without checking who owns it or may write it.
func (d *directory) openUntrusted(name string) (*directory, *unix.Stat_t, error) {
	fd, err := d.openat(name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	path := d.file.Name() + "/" + name
	if err != nil {
		if d.isLink(name) {
			return nil, nil, &untrustedError{path: path, reason: "is a symbolic link, and no link is followed in the cache; LXC_CACHE_PATH may name another place"}
		}
		return nil, nil, d.wrap("open", name, err)
	}
	st := new(unix.Stat_t)
	if err := unix.Fstat(fd, st); err != nil {
		unix.Close(fd)
		return nil, nil, d.wrap("open", name, err)
	}
	return &directory{os.NewFile(uintptr(fd), path), d.owners}, st, nil
}

// isLink reports whether name is a symbolic link.
func (d *directory) isLink(name string) bool {
	var st unix.Stat_t
	return unix.Fstatat(int(d.file.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK
}

// mkdir creates a directory in d if there is none; created reports whether it did.
func (d *directory) mkdir(name string) (created bool, err error) {
	err = unix.Mkdirat(int(d.file.Fd()), name, 0o755)
	if err == unix.EEXIST {
		return false, nil
	}
	return err == nil, d.wrap("mkdir", name, err)
}

// rename renames a file or directory within d.
func (d *directory) rename(from, to string) error {
	return d.wrap("rename", from, unix.Renameat(int(d.file.Fd()), from, int(d.file.Fd()), to))
}

// exists reports whether d has an entry of that name, a dangling link included.
func (d *directory) exists(name string) bool {
	_, ok := d.modified(name)
	return ok
}

// remove removes a file or a link. A missing file is no error.
func (d *directory) remove(name string) error {
	err := unix.Unlinkat(int(d.file.Fd()), name, 0)
	if err == unix.ENOENT {
		return nil
	}
	return d.wrap("remove", name, err)
}

// removeAll removes a file, a link, or a directory with its content. It does not
// enter a mounted file system, and fails there: rmdir(2) of a mount point is EBUSY.
//
// Package untar has such a function too, but neither package imports the other.
// This one can be simple, because an entry has two levels of directories: it keeps one
// descriptor open for each level.
func (d *directory) removeAll(name string) error { return d.removeTree(name, maxDepth) }

// removeTree is removeAll for at most depth levels of directories.
func (d *directory) removeTree(name string, depth int) error {
	err := unix.Unlinkat(int(d.file.Fd()), name, 0)
	if err == unix.EISDIR || err == unix.EPERM { // Linux and POSIX
		err = unix.Unlinkat(int(d.file.Fd()), name, unix.AT_REMOVEDIR)
	}
	switch err {
	case nil, unix.ENOENT:
		return nil
	case unix.ENOTEMPTY, unix.EEXIST:
	default:
		return d.wrap("remove", name, err)
	}
	if depth == 0 {
		return d.wrap("remove", name, errors.New("directories more than "+strconv.Itoa(maxDepth)+" deep"))
	}
	// The owner does not matter for a removal.
	inner, st, err := d.openUntrusted(name)
	if err != nil {
		return err
	}
	var above unix.Stat_t
	err = unix.Fstat(int(d.file.Fd()), &above)
	if err == nil && st.Dev != above.Dev {
		err = errors.New("it is on another file system")
	}
	err = d.wrap("remove", name, err)
	// NFS and some FUSE file systems skip names of a directory that changes while it
	// is read, so the loop goes on as long as it finds names.
	for again := true; again && err == nil; {
		var names []string
		names, err = inner.names()
		// The marker files are removed last: if the removal is interrupted, they
		// still show that the rest belongs to the cache.
		for _, markers := range [2]bool{false, true} {
			for _, each := range names {
				if err == nil && isMarker(each) == markers {
					err = inner.removeTree(each, depth-1)
				}
			}
		}
		if err == nil {
			err = unix.Unlinkat(int(d.file.Fd()), name, unix.AT_REMOVEDIR)
			again = (err == unix.ENOTEMPTY || err == unix.EEXIST) && len(names) > 0
			if again || err == unix.ENOENT {
				err = nil
			}
			err = d.wrap("remove", name, err)
		}
	}
	inner.file.Close()
	return err
}

// sync writes the directory to disk. Some FUSE file systems can't; that is no error.
func (d *directory) sync() error { return ignoreUnable(d.file.Sync()) }

// syncAll writes all files of the directory's file system to disk.
func (d *directory) syncAll() error {
	return ignoreUnable(d.wrap("syncfs", ".", unix.Syncfs(int(d.file.Fd()))))
}

// ignoreUnable returns the error of a sync, but nil if the file system can't do it.
func ignoreUnable(err error) error {
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	return err
}

// modified returns the time of the last change to name; ok is false if it is not there.
func (d *directory) modified(name string) (t time.Time, ok bool) {
	var st unix.Stat_t
	err := unix.Fstatat(int(d.file.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return time.Unix(st.Mtim.Unix()), err == nil
}

// touch sets the time of a file to now, if it is older than rest. Errors are ignored; then the
// old time stays.
func (d *directory) touch(name string, rest time.Duration) {
	if t, ok := d.modified(name); ok && time.Since(t) >= rest {
		now := []unix.Timespec{{Nsec: unix.UTIME_NOW}, {Nsec: unix.UTIME_NOW}}
		unix.UtimesNanoAt(int(d.file.Fd()), name, now, unix.AT_SYMLINK_NOFOLLOW)
	}
}

// names returns the names in d. Every call reads the directory from its start.
func (d *directory) names() ([]string, error) {
	if _, err := d.file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return d.file.Readdirnames(-1)
}

// read returns the content of a regular file of at most max bytes.
func (d *directory) read(name string, max int64) ([]byte, error) {
	f, err := d.openFile(name, unix.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, max+1))
	f.Close()
	if err == nil && int64(len(data)) > max {
		err = d.wrap("read", name, errors.New("more than "+strconv.FormatInt(max, 10)+" bytes"))
	}
	return data, err
}
