package untar

import (
	"bytes"
	"fmt"
	"io/fs"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrMounted means that a directory was not removed because something is mounted on it.
var ErrMounted error = textError("something is mounted here")

// RemoveContents removes everything below the root directory, except a file system's own
// lost+found and this program's own files. It does not follow links. It does not enter mount
// points: they stay, with the directories that lead to them, and the error is ErrMounted
// after everything else is removed. It drops the metadata that Options.DeferRoot postponed,
// and restores the root directory's mode. Files of TempFile stay open.
func (r *Root) RemoveContents() error {
	rm := r.remover()
	rm.ignore = r.ignores
	rm.run(nil)
	if d := r.deferred; d != nil {
		d.directory = nil
		if err := r.finishRoot(); err != nil && rm.err == nil {
			rm.err = err
		}
	}
	return r.removed(rm.err)
}

// RemoveNames removes some entries of the root directory and everything below them, as
// RemoveContents does. A missing name is not an error.
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

// removed adds the root to the error of a removal.
func (r *Root) removed(err error) error {
	if err != nil {
		return &fs.PathError{Op: "remove", Path: r.path, Err: err}
	}
	return nil
}

// A verdict says what a remover does with an entry.
type verdict uint8

const (
	goes      verdict = iota // remove it, and everything in it that goes, too
	goesEmpty                // remove it unless it is a directory that is not empty
	stays                    // keep it and everything in it
	opens                    // keep the directory, but examine its entries
	shared                   // likewise, for what may be a mount point: it was there before a merge
)

// A remover removes the content of a directory and keeps the first error. It does not
// recurse: the depth of a tree costs neither descriptors nor stack.
type remover struct {
	d      dirStack
	ignore func(name string) bool // reports whether an entry of the first directory stays; nil: none does
	layer  *extractor             // decides what goes; nil: everything does
	frames []frame                // of the first directory, and of each directory on the way to the current one
	err    error
}

// A frame is the work that is left in a directory.
type frame struct {
	todo  []string        // subdirectories that are not empty
	left  map[string]bool // entries that stay
	again bool            // read the directory again: some file systems skip names after a removal
	keep  bool            // do not remove the directory itself
}

// remover returns a remover that begins at the root.
func (r *Root) remover() *remover { return &remover{d: r.dirs()} }

// fail keeps the first error.
func (rm *remover) fail(name string, err error) {
	if rm.err == nil {
		rm.err = fmt.Errorf("%q: %w", name, err)
	}
}

// run removes the named entries of the first directory, or all entries if names is nil.
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

// read removes the entries of the current directory, and collects the subdirectories that
// are not empty.
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

// path returns the path of an entry of the current directory, below the Root.
func (rm *remover) path(name string) []byte {
	path := bytes.Clone(rm.d.base)
	if len(rm.d.path) > 0 {
		path = joinPath(path, string(rm.d.path))
	}
	return joinPath(path, name)
}

// entry removes an entry of the current directory and reports whether it did.
func (rm *remover) entry(dir int, name string) bool {
	f := &rm.frames[len(rm.frames)-1]
	is, c := goes, cname(name+"\x00")
	if rm.layer != nil {
		switch is = rm.layer.judge(dir, c, rm.path(name)); is {
		case stays:
			return false // not in f.left: there may be any number of them
		case opens, shared:
			f.todo = append(f.todo, name)
			return false
		}
	}
	err := unlinkat(dir, c, 0)
	if err == unix.EISDIR || err == unix.EPERM || err == unix.EBUSY {
		// For a mount point, also a bind mount, the kernel returns EBUSY before it checks
		// whether the directory is empty. So this detects mounts without /proc.
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
			rm.keep(f, name)
		} else {
			f.todo = append(f.todo, name)
		}
	default:
		rm.stuck(f, name, err)
	}
	return false
}

// leave marks an entry that stays.
func (f *frame) leave(name string) {
	if f.left == nil {
		f.left = map[string]bool{}
	}
	f.left[name] = true
}

// keep marks a lower layer's directory that should go and has entries that stay.
func (rm *remover) keep(f *frame, name string) {
	f.leave(name)
	// It becomes one that no layer lists, because a whiteout hides it and this layer has something
	// in it. A whiteout before that would have removed the directory.
	x := rm.layer
	if err := x.putDir(rm.path(name), directory{mode: 0755, uid: x.self.implicit.uid, gid: x.self.implicit.gid}); err != nil {
		rm.fail(name, err)
	}
}

// stuck marks an entry that can't be removed, and keeps the error.
func (rm *remover) stuck(f *frame, name string, err error) {
	if err == unix.EBUSY {
		err = ErrMounted
	}
	rm.fail(name, err)
	f.leave(name)
}

// down enters a subdirectory that is not empty.
func (rm *remover) down(f *frame, name string) {
	dir, err := rm.d.top()
	sub, c := -1, cname(name+"\x00")
	if err == nil {
		sub, err = openDir(dir, c)
	}
	if err != nil {
		if rm.layer == nil || !isNotDir(err) && err != unix.ENOENT {
			rm.fail(name, err)
		}
		f.leave(name)
		return
	}
	is := goes
	if rm.layer != nil {
		is = rm.layer.judge(dir, c, rm.path(name))
	}
	keep := is != goes
	if is == opens {
		// rmdir was not yet tried on this directory. If it is not empty, rmdir removes
		// nothing and shows whether it is a mount point.
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
	// An ordinary user may have no access to his own directory: give it to him.
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

// up leaves a directory that is finished, and removes it.
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
	case rm.layer != nil && (err == unix.ENOTEMPTY || err == unix.EEXIST):
		rm.keep(f, name) // it contains an entry that stays
	case rm.err != nil && err != unix.EBUSY:
		f.leave(name) // the error was about an entry in it
	default:
		rm.stuck(f, name, err)
	}
}

// removeDir removes an empty directory. Before Linux 4.18 rmdir refuses a btrfs subvolume,
// whose inode number is always 256. The btrfs call to remove it would remove its content,
// too, so removeDir checks first that it is empty.
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

// RemoveDir removes the empty directory name in dir, which may be a btrfs subvolume. A
// missing name is not an error.
func RemoveDir(dir int, name string) error {
	if err := removeDir(dir, cname(name+"\x00")); err != unix.ENOENT {
		return err
	}
	return nil
}

// ioctl numbers of btrfs (linux/btrfs.h): _IOW(0x94, 14 or 15, 4096 bytes). The direction
// bits differ between architectures, so they are taken from FS_IOC_SETFLAGS, another _IOW.
const (
	btrfsCall    = unix.FS_IOC_SETFLAGS&0xe0000000 | 4096<<16 | 0x94<<8
	subvolCreate = btrfsCall | 14 // BTRFS_IOC_SUBVOL_CREATE
	snapDestroy  = btrfsCall | 15 // BTRFS_IOC_SNAP_DESTROY
)

// callBtrfs makes an ioctl that takes the name of a subvolume in dir.
func callBtrfs(dir int, call uintptr, name cname) error {
	var args [4096]byte // struct btrfs_ioctl_vol_args: an unused descriptor, and the name
	if len(name) > len(args)-8 {
		return unix.ENAMETOOLONG
	}
	copy(args[8:], name)
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(dir), call, uintptr(unsafe.Pointer(&args[0])))
	return errnoErr(e)
}

// destroySubvolume removes a subvolume with its content.
func destroySubvolume(dir int, name cname) error { return callBtrfs(dir, snapDestroy, name) }

// MakeSubvolume makes a btrfs subvolume in dir, with the mode of a new directory. The error
// is ENOTTY on other file systems.
func MakeSubvolume(dir int, name string) error {
	return callBtrfs(dir, subvolCreate, cname(name+"\x00"))
}
