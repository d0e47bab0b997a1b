package untar

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A directory is the metadata of a directory. The extractor sets it at the end, when it
// makes nothing in the directory any more.
type directory struct {
	mode     uint32
	uid, gid uint32
	sec      int64
	nsec     int32
	named    bool // the archive has an entry for it
	fresh    bool // this run made it, with mode 0700
	noted    bool // a lower layer has it, and this layer only what is in it: its time stays
	inherit       // for what is made in it
	attrs    []xattr
}

// dir makes a directory, or keeps an existing directory and its content.
func (x *extractor) dir(parent int, name cname, path []byte, e *Entry) error {
	if f, ok := x.kept.directories[string(path)]; ok && f.fresh {
		return x.keepDir(path, e, f)
	}
	f := directory{fresh: true}
	in := x.inherits(parent)
	err := mkdirat(parent, name, 0700)
	if err == unix.EEXIST {
		var st unix.Stat_t
		if err := lstatat(parent, name, &st); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			if !x.self.chown && st.Mode&0700 != 0700 {
				x.makeWritable(parent, name)
			}
			return x.keepDir(path, e, directory{})
		}
		if err := x.clear(parent, name, path); err != nil {
			return err
		}
		err = mkdirat(parent, name, 0700)
	}
	if err == nil {
		err = x.addFile(parent, name, path)
	}
	if err != nil {
		return err
	}
	if in == inheritNothing {
		f.inherit = in
	}
	return x.keepDir(path, e, f)
}

// makeWritable gives an ordinary user access to his own directory. The entry's mode
// replaces this mode at the end.
func (x *extractor) makeWritable(parent int, name cname) {
	fd, err := openat(parent, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	unix.Fchmodat(unix.AT_FDCWD, procFD(fd), 0700, 0)
}

// keepDir stores an entry's metadata until the end. The last entry for a path wins.
func (x *extractor) keepDir(path []byte, e *Entry, f directory) error {
	f.mode, f.uid, f.gid, f.sec, f.nsec, f.named = x.mode(e), e.UID, e.GID, e.Sec, e.Nsec, true
	x.noteOwner(e)
	f.attrs = nil
	for _, a := range x.attributes(e) {
		f.attrs = append(f.attrs, xattr{bytes.Clone(a.name), bytes.Clone(a.value)})
		x.kept.memory += int64(len(a.name) + len(a.value) + 64)
	}
	return x.putDir(path, f)
}

// putDir stores the metadata of a directory, within the limit of memory.
func (x *extractor) putDir(path []byte, f directory) error {
	if _, ok := x.kept.directories[string(path)]; !ok {
		x.kept.memory += int64(dirMemory + len(path))
	}
	if x.kept.memory > maxDirMemory {
		return errTooManyDirs
	}
	x.kept.directories[string(path)] = f
	return nil
}

// noteLower remembers the time of a lower layer's directory, open as fd, before a layer that has no
// entry for the directory changes what is in it.
func (x *extractor) noteLower(fd int, path []byte) error {
	if _, ok := x.kept.directories[string(path)]; ok {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	return x.putDir(path, directory{noted: true, sec: int64(st.Mtim.Sec), nsec: int32(st.Mtim.Nsec)})
}

// inherits finds out what new files inherit in the directory fd, the last of x.dirs.
func (x *extractor) inherits(fd int) inherit {
	last := x.dirs.last()
	if last.inherit != inheritUnknown {
		return last.inherit
	}
	f, ok := x.kept.directories[string(x.dirs.path)]
	if !ok || !f.fresh {
		return inheritUnknown // not made by this run: the first new file will show it
	}
	if f.inherit == inheritUnknown {
		var st unix.Stat_t
		f.inherit = inheritSome
		if unix.Fstat(fd, &st) == nil && st.Uid == x.self.uid && st.Gid == x.self.gid && st.Mode&07777 == 0700 && !hasDefaultACL(fd) {
			f.inherit = inheritNothing
		}
		x.kept.directories[string(x.dirs.path)] = f
	}
	last.inherit = f.inherit
	return f.inherit
}

// isOurs reports whether no other user can change names in the directory fd, the last of
// x.dirs. This is true for all directories that the run made, until their modes are set.
func (x *extractor) isOurs(fd int) bool {
	last := x.dirs.last()
	if last.access == accessUnknown {
		last.access = accessOthers
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil && st.Uid == x.self.uid && st.Mode&022 == 0 {
			last.access = accessOurs
		}
	}
	return last.access == accessOurs
}

// passesOn reports whether new files in a directory may inherit an ACL or its group. The
// setgid bit must be checked because new directories inherit it even if the group is the
// caller's own.
func passesOn(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) != nil || st.Mode&unix.S_ISGID != 0 || hasDefaultACL(fd)
}

// hasDefaultACL reports whether a directory may have an ACL that new files inherit.
func hasDefaultACL(fd int) bool {
	_, err := unix.Fgetxattr(fd, "system.posix_acl_default", nil)
	return err != unix.ENODATA && err != unix.EOPNOTSUPP
}

// finish sets the metadata of all directories, of each after those below it.
func (x *extractor) finish() error {
	// With NUL, which no name contains, instead of "/" the order of bytes puts a directory
	// directly before everything below it. slices.SortFunc would add 9 KB to the program.
	keys := make([]string, 0, len(x.kept.directories))
	for path := range x.kept.directories {
		keys = append(keys, strings.ReplaceAll(path, "/", "\x00"))
	}
	slices.Sort(keys)
	x.targets.pop(0)
	for i := len(keys) - 1; i >= 0; i-- {
		path := strings.ReplaceAll(keys[i], "\x00", "/")
		f := x.kept.directories[path]
		fd, _, err := x.dirs.enter([]byte(path))
		switch {
		case err == unix.ENOENT || err != nil && isNotDir(err):
			continue // a later entry replaced it
		case err == nil && path == "" && x.opt.DeferRoot && !f.noted:
			f := f
			x.root.deferred.directory, x.root.deferred.x = &f, x
		case err == nil:
			err = x.applyDir(fd, f, []byte(path))
		}
		if err != nil {
			return fmt.Errorf("directory %s: %w", quote([]byte(path)), err)
		}
	}
	return nil
}

// applyDir sets a directory's owner, attributes, mode and time.
func (x *extractor) applyDir(fd int, f directory, path []byte) error {
	if f.noted {
		return x.timeErr(setTime(fd, nil, f.sec, f.nsec), path)
	}
	if x.opt.Layer && !f.fresh && len(path) > 0 && x.made.origin(fd, cname(".\x00"), path) == goes {
		clearAttrs(fd, f.attrs)
	}
	known := f.fresh && f.inherit == inheritNothing // it belongs to us and has mode 0700
	if x.self.chown && !(known && f.uid == x.self.uid && f.gid == x.self.gid) {
		if err := unix.Fchown(fd, int(f.uid), int(f.gid)); err != nil {
			return &OwnerError{f.uid, f.gid, err}
		}
	}
	if len(f.attrs) > 0 {
		if err := x.setAttrs(fd, f.attrs, beforeMode, path); err != nil {
			return err
		}
	}
	if !known || f.mode != 0700 {
		if err := unix.Fchmod(fd, f.mode); err != nil {
			return err
		}
	}
	if len(f.attrs) > 0 {
		if err := x.setAttrs(fd, f.attrs, afterMode, path); err != nil {
			return err
		}
	}
	if !f.named {
		return nil
	}
	return x.timeErr(setTime(fd, nil, f.sec, f.nsec), path)
}
