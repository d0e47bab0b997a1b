package untar

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxRemoveDepth is how deep a removal recurses; what is deeper is moved up
// first, so that depth costs no descriptors.
const maxRemoveDepth = 8

// ErrMounted says that a folder was left since something is mounted on it.
var ErrMounted = errors.New("something is mounted here")

// RemoveContents removes everything below the root folder, except a file system's
// own lost+found, the program's files and the folder itself. It follows no link and
// enters no mount point: a mount point stays, with the folders that lead to it, and is the error, an
// ErrMounted. The rest is removed all the same. What Options.DeferRoot kept back
// is dropped, and the root folder has its own mode again.
func (r *Root) RemoveContents() error {
	rm := remover{root: r.fd}
	rm.dir(r.fd, 0, func(name string) bool { return !r.ignores(name) })
	if d := r.deferred; d != nil {
		d.folder = nil
		if err := r.Finish(); err != nil && rm.err == nil {
			rm.err = err
		}
	}
	return r.removed(rm.err)
}

// RemoveNames removes these entries of the root folder, with what is below
// them, as RemoveContents does. Names that are not there are no error.
func (r *Root) RemoveNames(names ...string) error {
	for _, name := range names {
		if name == "" || name == "." || name == ".." || len(name) > maxComponent || strings.ContainsAny(name, "/\x00") {
			return &fs.PathError{Op: "remove", Path: name, Err: unix.EINVAL}
		}
	}
	rm := remover{root: r.fd}
	for _, name := range names {
		rm.entry(r.fd, name, 0)
	}
	if rm.moved > 0 {
		rm.dir(r.fd, 0, rm.isMoved)
	}
	return r.removed(rm.err)
}

func (r *Root) removed(err error) error {
	if err != nil {
		return &fs.PathError{Op: "remove", Path: r.path, Err: err}
	}
	return nil
}

// A remover removes trees and keeps the first error.
type remover struct {
	root  int
	moved int // folders moved up to the root so far
	err   error
}

func (rm *remover) fail(name string, err error) {
	if rm.err == nil {
		rm.err = fmt.Errorf("%q: %w", name, err)
	}
}

const movedPrefix = ".lxc-pull-removing-"

func (rm *remover) isMoved(name string) bool {
	return strings.HasPrefix(name, movedPrefix+strconv.Itoa(unix.Getpid())+"-")
}

// dir removes the entries of a folder that which names, all for nil. It reads
// the folder again while that finds something to do: some file systems skip
// names while others are removed, and deep folders are moved to the root.
func (rm *remover) dir(fd, depth int, which func(string) bool) {
	stuck := make(map[string]bool) // can't be removed
	for {
		d, err := newDirReader(fd)
		if err != nil {
			rm.fail(".", err)
			return
		}
		gone := 0
		for {
			name, err := d.next()
			if err != nil {
				rm.fail(".", err)
			}
			if err != nil || name == "" {
				break
			}
			if which != nil && !which(name) || stuck[name] {
				continue
			}
			if rm.entry(fd, name, depth) {
				gone++
			} else {
				stuck[name] = true
			}
		}
		d.close()
		if gone == 0 {
			return
		}
	}
}

// entry removes one entry and reports whether it is gone.
func (rm *remover) entry(dir int, name string, depth int) bool {
	c := append([]byte(name), 0)
	err := unlinkat(dir, c, 0)
	if err == unix.EISDIR || err == unix.EPERM || err == unix.EBUSY {
		// The kernel refuses a mount point before it looks whether the folder
		// is empty, so this keeps out of mounts, bind mounts included, without
		// /proc.
		err = unlinkat(dir, c, unix.AT_REMOVEDIR)
	}
	switch err {
	case nil, unix.ENOENT:
		return true
	case unix.EBUSY:
		rm.fail(name, ErrMounted)
		return false
	case unix.ENOTEMPTY, unix.EEXIST:
	default:
		rm.fail(name, err)
		return false
	}
	if depth >= maxRemoveDepth {
		// The root folder's own pass takes it from there.
		rm.moved++
		to := movedPrefix + strconv.Itoa(unix.Getpid()) + "-" + strconv.Itoa(rm.moved)
		if err := unix.Renameat(dir, name, rm.root, to); err != nil {
			rm.fail(name, err)
			return false
		}
		return true
	}
	sub, err := openDir(dir, c)
	if err == nil {
		// An ordinary user's own folder may keep him out.
		var st unix.Stat_t
		if unix.Fstat(sub, &st) != nil || st.Mode&0700 != 0700 {
			if unix.Fchmod(sub, 0700) == unix.EBADF && unix.Fchmodat(unix.AT_FDCWD, procFD(sub), 0700, 0) == nil {
				unix.Close(sub)
				sub, err = openat(dir, c, dirFlags, 0)
			}
		}
	}
	if err != nil {
		rm.fail(name, err)
		return false
	}
	rm.dir(sub, depth+1, nil)
	unix.Close(sub)
	switch err := unlinkat(dir, c, unix.AT_REMOVEDIR); err {
	case nil, unix.ENOENT:
		return true
	default:
		if rm.err == nil {
			rm.fail(name, err)
		}
		return false
	}
}

// snapDestroy is BTRFS_IOC_SNAP_DESTROY (linux/btrfs.h): 0x94, 15, written, a
// struct of 4,096 bytes. How "written" is encoded differs between machines, as in
// FS_IOC_SETFLAGS.
const snapDestroy = unix.FS_IOC_SETFLAGS&0xe0000000 | 4096<<16 | 0x94<<8 | 15

// removeDir removes an empty folder. Before Linux 4.18 rmdir refuses a btrfs
// subvolume, whose inode is always 256. The other way to remove that takes what is
// in it, too.
func removeDir(dir int, name cname) error {
	err := unlinkat(dir, name, unix.AT_REMOVEDIR)
	if err != unix.EPERM {
		return err
	}
	var system unix.Statfs_t
	var st unix.Stat_t
	if unix.Fstatfs(dir, &system) != nil || fsName(int64(system.Type)) != "btrfs" || lstatat(dir, name, &st) != nil || st.Ino != 256 {
		return err
	}
	fd, oerr := openat(dir, name, dirFlags, 0)
	if oerr != nil {
		return err
	}
	defer unix.Close(fd)
	if empty, _ := (&Root{fd: fd}).IsEmpty(); !empty {
		return err
	}
	return destroySubvolume(dir, name)
}

func destroySubvolume(dir int, name cname) error {
	var args [4096]byte // struct btrfs_ioctl_vol_args: a descriptor, unused here, and the name
	copy(args[8:], name)
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(dir), snapDestroy, uintptr(unsafe.Pointer(&args[0])))
	return errnoErr(e)
}
