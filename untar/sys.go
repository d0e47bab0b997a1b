package untar

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// A cname is a name with a NUL after it, as system calls take it. Names are stored in
// buffers that are reused, so that entries cause no garbage. Only the target of a symbolic
// link and paths in /proc contain a '/'. Every other cname is a single path component, and
// the kernel gets it together with the descriptor of its directory. Only openPath passes
// several components to the kernel.
type cname []byte

// set stores a component in c and returns c.
func (c *cname) set(component []byte) cname {
	*c = append(append((*c)[:0], component...), 0)
	return *c
}

func (c cname) String() string { return string(c[:len(c)-1]) }

// errnoErr returns nil for errno 0.
func errnoErr(e unix.Errno) error {
	if e == 0 {
		return nil
	}
	return e
}

// openFlags are used for every open. O_NOFOLLOW: no link is opened.
const openFlags = unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_LARGEFILE

// dirFlags open a directory.
const dirFlags = unix.O_RDONLY | unix.O_DIRECTORY | openFlags

// openat is the system call. It repeats an interrupted call (EINTR).
func openat(dir int, name cname, flags int, mode uint32) (int, error) {
	for {
		fd, _, e := unix.Syscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), uintptr(flags), uintptr(mode), 0, 0)
		if e == unix.EINTR {
			continue
		}
		if e != 0 {
			return -1, e
		}
		return int(fd), nil
	}
}

// openDir opens a directory. If the caller may search but not read it, the descriptor is an
// O_PATH one.
func openDir(dir int, name cname) (int, error) {
	fd, err := openat(dir, name, dirFlags, 0)
	if err == unix.EACCES {
		return openat(dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	}
	return fd, err
}

// isNotDir reports whether an error of openDir means that the file is not a directory. With
// O_NOFOLLOW the error for a link is ELOOP or ENOTDIR, depending on the kernel.
func isNotDir(err error) bool { return err == unix.ENOTDIR || err == unix.ELOOP }

func mkdirat(dir int, name cname, mode uint32) error {
	_, _, e := unix.Syscall(unix.SYS_MKDIRAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), uintptr(mode))
	return errnoErr(e)
}

func symlinkat(target cname, dir int, name cname) error {
	_, _, e := unix.Syscall(unix.SYS_SYMLINKAT, uintptr(unsafe.Pointer(&target[0])), uintptr(dir), uintptr(unsafe.Pointer(&name[0])))
	return errnoErr(e)
}

// linkat makes a hard link. If old is a symbolic link, it links that itself.
func linkat(oldDir int, old cname, dir int, name cname) error {
	_, _, e := unix.Syscall6(unix.SYS_LINKAT, uintptr(oldDir), uintptr(unsafe.Pointer(&old[0])), uintptr(dir), uintptr(unsafe.Pointer(&name[0])), 0, 0)
	return errnoErr(e)
}

func mknodat(dir int, name cname, mode uint32, major, minor uint32) error {
	dev := minor&0xff | major<<8 | minor>>8<<20 // as new_encode_dev in the kernel
	_, _, e := unix.Syscall6(unix.SYS_MKNODAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), uintptr(mode), uintptr(dev), 0, 0)
	return errnoErr(e)
}

func unlinkat(dir int, name cname, flags int) error {
	_, _, e := unix.Syscall(unix.SYS_UNLINKAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), uintptr(flags))
	return errnoErr(e)
}

// lchownat changes the owner of a file. It does not follow a symbolic link.
func lchownat(dir int, name cname, uid, gid uint32) error {
	_, _, e := unix.Syscall6(unix.SYS_FCHOWNAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), uintptr(uid), uintptr(gid), unix.AT_SYMLINK_NOFOLLOW, 0)
	return errnoErr(e)
}

// readlinkat reads the target of a symbolic link into buf.
func readlinkat(dir int, name cname, buf []byte) (int, error) {
	n, _, e := unix.Syscall6(unix.SYS_READLINKAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}

// lstatat is fstatat without following a symbolic link.
func lstatat(dir int, name cname, st *unix.Stat_t) error {
	return unix.Fstatat(dir, name.String(), st, unix.AT_SYMLINK_NOFOLLOW)
}

func fsetxattr(fd int, name cname, value []byte) error {
	var p unsafe.Pointer
	if len(value) > 0 {
		p = unsafe.Pointer(&value[0])
	}
	_, _, e := unix.Syscall6(unix.SYS_FSETXATTR, uintptr(fd), uintptr(unsafe.Pointer(&name[0])), uintptr(p), uintptr(len(value)), 0, 0)
	return errnoErr(e)
}

// writeFull writes all of b at the file offset of fd.
func writeFull(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// pwriteFull writes all of b at an offset.
func pwriteFull(fd int, b []byte, off int64) error {
	for len(b) > 0 {
		n, err := unix.Pwrite(fd, b, off)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		b, off = b[n:], off+int64(n)
	}
	return nil
}

// setTime sets the modification time of name in dir, or of dir itself if name is nil. It
// does not change the access time.
func setTime(dir int, name cname, sec int64, nsec int32) error {
	flags := uintptr(unix.AT_SYMLINK_NOFOLLOW)
	if name == nil {
		flags = 0
	}
	return utimensat(dir, name, sec, nsec, flags)
}
