package untar

import (
	"bytes"
	"strconv"

	"golang.org/x/sys/unix"
)

var (
	errNoTarget   error = textError("empty link target")
	errLongTarget error = textError("link target is too long")
	errTargetNUL  error = textError("link target with a NUL byte")
	errNoProc     error = textError("/proc is not mounted")
)

// symlink makes a symbolic link.
func (x *extractor) symlink(parent int, name cname, path []byte, e *Entry) error {
	switch {
	case len(e.Link) == 0:
		return errNoTarget
	case len(e.Link) > maxTarget:
		return errLongTarget
	case bytes.IndexByte(e.Link, 0) >= 0:
		return errTargetNUL
	}
	target := x.buf.name2.set(e.Link)
	err := symlinkat(target, parent, name)
	if err == unix.EEXIST {
		if err := x.clear(parent, name, path); err != nil {
			return err
		}
		err = symlinkat(target, parent, name)
	}
	if err != nil {
		return err
	}
	return x.special(parent, name, e, unix.S_IFLNK)
}

// device makes a device node or a named pipe.
func (x *extractor) device(parent int, name cname, path []byte, e *Entry) error {
	mode := x.mode(e)
	thing := "device node"
	switch e.Type {
	case TypeChar:
		mode |= unix.S_IFCHR
	case TypeBlock:
		mode |= unix.S_IFBLK
	case TypeFIFO:
		mode |= unix.S_IFIFO
		thing = "named pipe"
	}
	if x.opt.Metadata.IDMap != nil && e.Type != TypeFIFO && e.Major|e.Minor != 0 {
		// The container's root could neither make the device nor use it.
		x.rep.note(thing, "skipped", x.self.reason, e.Name)
		return x.skip(path)
	}
	err := mknodat(parent, name, mode, e.Major, e.Minor)
	if err == unix.EEXIST {
		// Remove the existing file only if mknod works here at all.
		trial := cname(proofName(newID()) + "\x00")
		if err = mknodat(parent, trial, mode, e.Major, e.Minor); err == nil {
			err = unlinkat(parent, trial, 0)
		}
		if err == nil {
			if err := x.clear(parent, name, path); err != nil {
				return err
			}
			err = mknodat(parent, name, mode, e.Major, e.Minor)
		}
	}
	if err == unix.EPERM || err == unix.EACCES && !x.self.chown {
		x.rep.note(thing, "skipped", x.self.reason, e.Name)
		return x.skip(path)
	}
	if err != nil {
		return err
	}
	return x.special(parent, name, e, mode)
}

// skip remembers the path of a device that could not be made, for hard links to it.
func (x *extractor) skip(path []byte) error {
	if x.kept.skipped == nil {
		x.kept.skipped = make(map[string]struct{})
	}
	x.kept.skipped[string(path)] = struct{}{}
	if x.kept.memory += int64(dirMemory + len(path)); x.kept.memory > maxDirMemory {
		return errTooManyDirs
	}
	return nil
}

// A specialFile is a new symbolic link, device or named pipe whose metadata is to be set.
// It can't be opened for that: opening a link follows it, and opening a device has side
// effects.
type specialFile struct {
	parent int
	name   cname
	e      *Entry
	mode   uint32 // with the type
	attrs  []xattr
	chown  bool // set the owner
	chmod  bool // set the mode
}

// special sets the metadata of a symbolic link, device or named pipe. mode has its type.
func (x *extractor) special(parent int, name cname, e *Entry, mode uint32) error {
	x.noteOwner(e)
	odd := x.inherits(parent) != inheritNothing
	f := specialFile{parent: parent, name: name, e: e, mode: mode}
	f.chown = x.self.chown && (odd || !x.keepsOwner(e))
	f.attrs = x.attributes(e)
	// mknod sets the exact mode if the directory has no default ACL. chown clears setuid
	// and setgid bits. A symbolic link has no mode.
	f.chmod = mode&unix.S_IFMT != unix.S_IFLNK && (odd || f.chown && mode&06000 != 0)
	if f.chmod || len(f.attrs) > 0 || !x.isOurs(parent) {
		return x.viaProc(f)
	}
	if f.chown {
		if err := lchownat(parent, name, e.UID, e.GID); err != nil {
			return &OwnerError{e.UID, e.GID, err}
		}
	}
	return x.timeErr(setTime(parent, name, e.Sec, e.Nsec), e.Name)
}

// viaProc sets the metadata of a special file that needs a mode or attributes, or whose
// parent directory other users can write to. There another process may have replaced the
// file, so viaProc opens the name once, checks the type, and sets the rest through that
// descriptor. For modes and attributes this needs /proc, since system calls for it exist
// only from Linux 6.6 and 6.13 on. Without /proc it notes the losses and sets the time by
// name.
func (x *extractor) viaProc(f specialFile) error {
	e := f.e
	fd, err := openat(f.parent, f.name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstatat(fd, "", &st, unix.AT_EMPTY_PATH); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != f.mode&unix.S_IFMT || st.Nlink > 1 {
		return errReplaced
	}
	if f.chown {
		if err := unix.Fchownat(fd, "", int(e.UID), int(e.GID), unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return &OwnerError{e.UID, e.GID, err}
		}
	}
	path := procFD(fd)
	if f.chmod {
		err := unix.Fchmodat(unix.AT_FDCWD, path, f.mode&07777, 0)
		if err == unix.ENOENT {
			err = errNoProc
		}
		if err != nil {
			x.rep.note("mode", "not kept", err.Error(), e.Name)
		}
	}
	for _, a := range f.attrs {
		err := unix.Setxattr(path, string(a.name), a.value, 0)
		if err == unix.ENOENT {
			err = errNoProc
		}
		if err := x.attrErr(err, a, e.Name); err != nil {
			return err
		}
	}
	err = utimensat(unix.AT_FDCWD, cname(path+"\x00"), e.Sec, e.Nsec, 0)
	if err == unix.ENOENT || err == unix.ENOTDIR {
		err = setTime(f.parent, f.name, e.Sec, e.Nsec)
	}
	return x.timeErr(err, e.Name)
}

// procFD returns a path to the file that fd is open on. It works for an O_PATH
// descriptor.
func procFD(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }
