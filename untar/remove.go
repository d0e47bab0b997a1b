package untar

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrMounted says that a directory was left since something is mounted on it.
var ErrMounted = errors.New("something is mounted here")

// RemoveContents removes everything below the root directory, except a file system's
// own lost+found, the program's files and the directory itself. It follows no link and
// enters no mount point: a mount point stays, with the directories that lead to it, and
// is the error, an ErrMounted. The rest is removed all the same. What
// Options.DeferRoot kept back is dropped, and the root directory has its own mode again.
func (r *Root) RemoveContents() error {
	rm := r.remover()
	rm.ignore = r.ignores
	rm.run(nil)
	if d := r.deferred; d != nil {
		d.directory = nil
		if err := r.Finish(); err != nil && rm.err == nil {
			rm.err = err
		}
	}
	return r.removed(rm.err)
}

// RemoveNames removes these entries of the root directory, with what is below
// them, as RemoveContents does. Names that are not there are no error.
func (r *Root) RemoveNames(names ...string) error {
	for _, name := range names {
		if name == "" || name == "." || name == ".." || len(name) > maxComponent || strings.ContainsAny(name, "/\x00") {
			return pathError("remove", name, unix.EINVAL)
		}
	}
	rm := r.remover()
	rm.run(names)
	return r.removed(rm.err)
}

func (r *Root) removed(err error) error {
	if err != nil {
		return &fs.PathError{Op: "remove", Path: r.path, Err: err}
	}
	return nil
}

// A verdict is what a remover does with an entry.
type verdict uint8

const (
	goes      verdict = iota // with what is in it and goes too
	goesEmpty                // where it is no directory that holds something
	stays                    // untouched
	opens                    // a directory that stays, but what is in it may go
)

// A remover removes what is in a directory, and keeps the first error. It walks
// without recursion: depth costs it neither descriptors nor stack.
type remover struct {
	d      dirStack
	ignore func(name string) bool // entries of the first directory that stay; nil: none
	judge  func(path []byte) verdict
	frames []frame // of the first directory and of those below it on the way to the current one
	err    error
}

// A frame is what is still to be done in a directory.
type frame struct {
	todo  []string // directories that are not empty
	left  map[string]bool
	again bool // some file systems skip names while others are removed
	keep  bool // the directory itself stays
}

func (r *Root) remover() *remover { return &remover{d: r.dirs()} }

func (rm *remover) fail(name string, err error) {
	if rm.err == nil {
		rm.err = fmt.Errorf("%q: %w", name, err)
	}
}

// run removes these entries of the directory at which the stack begins, all for nil.
func (rm *remover) run(names []string) {
	defer rm.d.close()
	rm.frames = []frame{{again: names == nil}}
	for _, name := range names {
		rm.entry(rm.d.root, name)
	}
	for {
		f := &rm.frames[len(rm.frames)-1]
		switch n := len(f.todo); {
		case n > 0:
			name := f.todo[n-1]
			f.todo = f.todo[:n-1]
			rm.down(f, name)
		case f.again:
			rm.read(f)
		case len(rm.frames) == 1:
			return
		default:
			rm.up()
		}
	}
}

// read removes the entries of the current directory that it can, and finds those
// that hold something.
func (rm *remover) read(f *frame) {
	f.again = false
	fd, err := rm.d.top()
	if err != nil {
		rm.fail(".", err)
		return
	}
	d, err := newDirReader(fd)
	if err != nil {
		rm.fail(".", err)
		return
	}
	defer d.close()
	for {
		name, err := d.next()
		if err != nil {
			rm.fail(".", err)
		}
		if err != nil || name == "" {
			return
		}
		if len(rm.frames) == 1 && rm.ignore != nil && rm.ignore(name) || f.left[name] {
			continue
		}
		if rm.entry(fd, name) {
			f.again = true
		}
	}
}

// path is that of an entry of the current directory, from the Root's.
func (rm *remover) path(name string) []byte {
	path := bytes.Clone(rm.d.base)
	if len(rm.d.path) > 0 {
		path = joinPath(path, string(rm.d.path))
	}
	return joinPath(path, name)
}

// entry removes one entry of the current directory and reports whether it did.
func (rm *remover) entry(dir int, name string) bool {
	f := &rm.frames[len(rm.frames)-1]
	is := goes
	if rm.judge != nil {
		switch is = rm.judge(rm.path(name)); is {
		case stays:
			f.leave(name)
			return false
		case opens:
			f.todo = append(f.todo, name)
			return false
		}
	}
	c := cname(name + "\x00")
	err := unlinkat(dir, c, 0)
	if err == unix.EISDIR || err == unix.EPERM || err == unix.EBUSY {
		// The kernel refuses a mount point before it looks whether the directory
		// is empty, so this keeps out of mounts, bind mounts included, without
		// /proc.
		if e := removeDir(dir, c); e != unix.ENOTDIR {
			err = e
		}
	}
	switch err {
	case nil:
		if len(rm.d.levels) >= farDepth || rm.d.base != nil || len(rm.d.known.left) > 0 {
			rm.d.known.forget(rm.path(name))
		}
		return true
	case unix.ENOENT:
	case unix.ENOTEMPTY, unix.EEXIST:
		if is == goesEmpty {
			f.leave(name)
		} else {
			f.todo = append(f.todo, name)
		}
	default:
		rm.stuck(f, name, err)
	}
	return false
}

func (f *frame) leave(name string) {
	if f.left == nil {
		f.left = map[string]bool{}
	}
	f.left[name] = true
}

// stuck leaves an entry that can't be removed.
func (rm *remover) stuck(f *frame, name string, err error) {
	if err == unix.EBUSY {
		err = ErrMounted
	}
	rm.fail(name, err)
	f.leave(name)
}

// down goes into a directory that holds something.
func (rm *remover) down(f *frame, name string) {
	dir, err := rm.d.top()
	sub, c := -1, cname(name+"\x00")
	if err == nil {
		sub, err = openDir(dir, c)
	}
	if err != nil {
		if rm.judge == nil || !isNotDir(err) && err != unix.ENOENT {
			rm.fail(name, err)
		}
		f.leave(name)
		return
	}
	keep := rm.judge != nil && rm.judge(rm.path(name)) == opens
	if keep {
		// Its name was not tried: only of one that holds something rmdir is
		// sure to tell whether it is a mount point, and nothing else.
		empty, _ := (&Root{fd: sub}).IsEmpty()
		err := error(nil)
		if !empty {
			err = removeDir(dir, c)
		}
		if empty || err == unix.EBUSY {
			unix.Close(sub)
			if f.leave(name); err != nil {
				rm.stuck(f, name, err)
			}
			return
		}
	}
	// An ordinary user's own directory may keep him out.
	var st unix.Stat_t
	if unix.Fstat(sub, &st) != nil || !keep && st.Mode&0700 != 0700 {
		if unix.Fchmod(sub, 0700) == unix.EBADF && unix.Fchmodat(unix.AT_FDCWD, procFD(sub), 0700, 0) == nil {
			if again, err := openat(dir, c, dirFlags, 0); err == nil {
				unix.Close(sub)
				sub = again
			}
		}
	}
	rm.d.push([]byte(name), sub, inheritUnknown)
	rm.frames = append(rm.frames, frame{again: true, keep: keep})
}

// up leaves a directory in which nothing is to be done any more, and removes it.
func (rm *remover) up() {
	last := len(rm.frames) - 1
	keep := rm.frames[last].keep
	rm.frames = rm.frames[:last]
	f := &rm.frames[last-1]
	_, base := splitPath(rm.d.path)
	name := string(base)
	rm.d.pop(len(rm.d.levels) - 1)
	if keep {
		f.leave(name)
		return
	}
	dir, err := rm.d.top()
	if err == nil {
		err = removeDir(dir, cname(name+"\x00"))
	}
	switch {
	case err == nil, err == unix.ENOENT:
		rm.d.known.forget(rm.path(name))
	case rm.judge != nil && (err == unix.ENOTEMPTY || err == unix.EEXIST):
		f.leave(name) // something that stays is in it
	case rm.err != nil && err != unix.EBUSY:
		f.leave(name) // what is left in it is the error
	default:
		rm.stuck(f, name, err)
	}
}

// removeDir removes an empty directory. Before Linux 4.18 rmdir refuses a btrfs
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

// RemoveDir removes an empty directory, also a btrfs subvolume. A name that is not there
// is no error.
func RemoveDir(dir int, name string) error {
	if err := removeDir(dir, cname(name+"\x00")); err != unix.ENOENT {
		return err
	}
	return nil
}

// Calls of btrfs (linux/btrfs.h): _IOW(0x94, 14 or 15, 4096 bytes). How "written" is
// encoded differs between machines; FS_IOC_SETFLAGS is an _IOW as well.
const (
	btrfsCall    = unix.FS_IOC_SETFLAGS&0xe0000000 | 4096<<16 | 0x94<<8
	subvolCreate = btrfsCall | 14 // BTRFS_IOC_SUBVOL_CREATE
	snapDestroy  = btrfsCall | 15 // BTRFS_IOC_SNAP_DESTROY
)

func callBtrfs(dir int, call uintptr, name cname) error {
	var args [4096]byte // struct btrfs_ioctl_vol_args: a descriptor, unused here, and the name
	if len(name) > len(args)-8 {
		return unix.ENAMETOOLONG
	}
	copy(args[8:], name)
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(dir), call, uintptr(unsafe.Pointer(&args[0])))
	return errnoErr(e)
}

func destroySubvolume(dir int, name cname) error { return callBtrfs(dir, snapDestroy, name) }

// MakeSubvolume makes a subvolume in a directory on btrfs, of the mode that a new directory
// has. On other file systems the error is ENOTTY.
func MakeSubvolume(dir int, name string) error {
	return callBtrfs(dir, subvolCreate, cname(name+"\x00"))
}
