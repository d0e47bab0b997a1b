package cache

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// A directory is an open directory of the cache. Every name that its methods take
// is a single component, looked up in the directory itself, and a symbolic link
// is never followed: what stands in a cache may have been put there by somebody
// else. The system calls are those of Linux 2.6.16 (no openat2, renameat2,
// faccessat2: Android's filter kills a process that tries them).
//
// Whatever open and openFile open belongs to one of owners, and nobody else may
// write it (owner.go).
type directory struct {
	*os.File
	owners []int
}

// maxDepth bounds how deep removeAll goes; our own entries are two deep.
const maxDepth = 16

func (d directory) wrap(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: d.Name() + "/" + name, Err: err}
}

// retry repeats a call that a signal interrupted, as os does: network file
// systems let open fail so.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// openFile opens or creates a file. What is no regular file is an error.
func (d directory) openFile(name string, flag int, perm uint32) (*os.File, error) {
	fd := -1
	err := retry(func() (err error) {
		// O_NONBLOCK: to open a FIFO must not hang; on a file it means nothing.
		fd, err = unix.Openat(int(d.Fd()), name, flag|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_LARGEFILE, perm)
		return err
	})
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
	if err := d.distrust(fd, &st, d.Name()+"/"+name); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), d.Name()+"/"+name), nil
}

// open opens a directory inside.
func (d directory) open(name string) (directory, error) {
	inner, st, err := d.openAny(name)
	if err == nil {
		if err = d.distrust(int(inner.Fd()), &st, inner.Name()); err != nil {
			inner.Close()
		}
	}
	if err != nil {
		return directory{}, err
	}
	return inner, nil
}

// create makes a file, in place of the one that has the name.
func (d directory) create(name string) (*os.File, error) {
	if err := d.remove(name); err != nil {
		return nil, err
	}
	return d.openFile(name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o644)
}

// openAny opens a directory inside, whoever may write it.
func (d directory) openAny(name string) (inner directory, st unix.Stat_t, err error) {
	fd := -1
	err = retry(func() (err error) {
		fd, err = unix.Openat(int(d.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	path := d.Name() + "/" + name
	if err != nil {
		if d.isLink(name) {
			return directory{}, st, &UntrustedError{path, "is a symbolic link, and no link is followed in the cache; LXC_CACHE_PATH may name another place"}
		}
		return directory{}, st, d.wrap("open", name, err)
	}
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return directory{}, st, d.wrap("open", name, err)
	}
	return directory{os.NewFile(uintptr(fd), path), d.owners}, st, nil
}

func (d directory) isLink(name string) bool {
	var st unix.Stat_t
	return unix.Fstatat(int(d.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK
}

// mkdir makes a directory inside and reports whether it is new.
func (d directory) mkdir(name string) (made bool, err error) {
	err = unix.Mkdirat(int(d.Fd()), name, 0o755)
	if err == unix.EEXIST {
		return false, nil
	}
	return err == nil, d.wrap("mkdir", name, err)
}

func (d directory) rename(from, to string) error {
	return d.wrap("rename", from, unix.Renameat(int(d.Fd()), from, int(d.Fd()), to))
}

// exists reports whether the name is there, be it a dangling link.
func (d directory) exists(name string) bool {
	var st unix.Stat_t
	return unix.Fstatat(int(d.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil
}

// remove removes a file or a link; one that is absent is no error.
func (d directory) remove(name string) error {
	err := unix.Unlinkat(int(d.Fd()), name, 0)
	if err == unix.ENOENT {
		return nil
	}
	return d.wrap("remove", name, err)
}

// removeAll removes a file, a link, or a directory with all that is in it. It goes
// into no mount: rmdir(2) of a mount point is EBUSY, even where something is in it.
// Package untar removes trees too; this is a second remover because neither
// package imports the other, and it can be simple: what the caller has proved to
// be the cache's is two directories deep. So a descriptor a level is enough.
func (d directory) removeAll(name string) error { return d.removeTree(name, maxDepth) }

func (d directory) removeTree(name string, depth int) error {
	err := unix.Unlinkat(int(d.Fd()), name, 0)
	if err == unix.EISDIR || err == unix.EPERM { // Linux and POSIX
		err = unix.Unlinkat(int(d.Fd()), name, unix.AT_REMOVEDIR)
	}
	switch err {
	case nil, unix.ENOENT:
		return nil
	case unix.ENOTEMPTY, unix.EEXIST:
	default:
		return d.wrap("remove", name, err)
	}
	if depth == 0 {
		return d.wrap("remove", name, fmt.Errorf("directories more than %d deep", maxDepth))
	}
	// Whoever made what is to go: no rule of owners here.
	inner, st, err := d.openAny(name)
	if err != nil {
		return err
	}
	defer inner.Close()
	var above unix.Stat_t
	if err := unix.Fstat(int(d.Fd()), &above); err != nil {
		return d.wrap("remove", name, err)
	}
	if st.Dev != above.Dev {
		return d.wrap("remove", name, errors.New("it is on another file system"))
	}
	// Some file systems (NFS, some FUSE) skip names in a directory
	// that changes while it is read: as long as a pass finds some, another follows.
	for {
		names, err := inner.names()
		if err != nil {
			return err
		}
		// The signs go last: a removal that breaks off leaves what proves whose the
		// rest is.
		for _, signs := range [2]bool{false, true} {
			for _, each := range names {
				if isSign(each) != signs {
					continue
				}
				if err := inner.removeTree(each, depth-1); err != nil {
					return err
				}
			}
		}
		err = unix.Unlinkat(int(d.Fd()), name, unix.AT_REMOVEDIR)
		if err == nil || err == unix.ENOENT {
			return nil
		}
		if err != unix.ENOTEMPTY && err != unix.EEXIST || len(names) == 0 {
			return d.wrap("remove", name, err)
		}
	}
}

// sync writes the directory's names to the disk, where its file system can do that:
// some FUSE ones can't.
func (d directory) sync() error {
	err := d.Sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	return err
}

// names lists what is inside, from the start at every call.
func (d directory) names() ([]string, error) {
	if _, err := d.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return d.Readdirnames(-1)
}

// read returns a regular file whole, of at most max bytes.
func (d directory) read(name string, max int64) ([]byte, error) {
	f, err := d.openFile(name, unix.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, max+1))
	if err == nil && int64(len(data)) > max {
		err = d.wrap("read", name, fmt.Errorf("more than %d bytes", max))
	}
	return data, err
}
