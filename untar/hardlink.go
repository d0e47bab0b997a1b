package untar

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

var (
	errRootLink   error = textError("hard link to the root")
	errTargetGone error = textError("target of the hard link is not in the archive")
	errTargetDir  error = textError("hard link to a directory")
	errCopyType   error = textError("neither a file nor a symbolic link")
)

// A place is a name in an open directory.
type place struct {
	dir  int
	name cname
}

// link makes a hard link. It does not apply the entry's metadata: the file has the
// metadata of the target's entry.
func (x *extractor) link(parent int, name cname, path []byte, e *Entry) error {
	if len(e.Link) == 0 {
		return errNoTarget
	}
	target, err := x.linkTarget(e)
	if err != nil {
		return err
	}
	if len(target) == 0 {
		return errRootLink
	}
	if _, ok := x.kept.skipped[string(target)]; ok {
		x.rep.note("hard link", "skipped", "its target is", e.Name)
		return x.skip(path)
	}
	from, target, err := x.enterTarget(parent, target, e)
	if err != nil {
		return err
	}
	dir, base := splitPath(target)
	old := x.buf.name2.set(base)
	made := x.made.origin(from, old, target) == goes && (x.opt.Layer || x.made.has(target))
	var st unix.Stat_t
	if bytes.Equal(target, path) {
		// Old versions of GNU tar write links to themselves.
		if err := lstatat(from, old, &st); err != nil || x.opt.Merge && !made {
			return targetError(e, errTargetGone)
		}
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			return targetError(e, errTargetDir)
		}
		return nil
	}
	if !made {
		return targetError(e, errTargetGone)
	}
	err = linkat(from, old, parent, name)
	if err == unix.EEXIST {
		var was unix.Stat_t
		if lstatat(from, old, &st) == nil && lstatat(parent, name, &was) == nil && st.Dev == was.Dev && st.Ino == was.Ino {
			return nil
		}
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			return targetError(e, errTargetDir)
		}
		if err := x.clear(parent, name, path); err != nil {
			return err
		}
		if err = nil; from != parent { // clear may have closed it
			from, _, err = x.targets.enter(dir)
		}
		if err == nil {
			err = linkat(from, old, parent, name)
		}
	}
	switch err {
	case unix.ENOENT:
		return targetError(e, errTargetGone)
	case unix.EPERM, unix.EMLINK, unix.EXDEV, unix.EOPNOTSUPP:
		return x.copyInstead(place{from, old}, place{parent, name}, e, err)
	}
	return err
}

// targetError adds the target of the link e to an error.
func targetError(e *Entry, err error) error {
	return fmt.Errorf("target %s: %w", quote(e.Link), err)
}

// linkTarget returns the clean path of a hard link's target.
func (x *extractor) linkTarget(e *Entry) ([]byte, error) {
	target, err := cleanName(x.buf.target[:0], e.Link)
	if err != nil {
		return nil, targetError(e, err)
	}
	if n := x.opt.Filter.Strip; n > 0 {
		name, ok := stripComponents(e.Link, n)
		if !ok {
			return nil, targetError(e, errTargetGone)
		}
		if target, err = cleanName(target[:0], name); err != nil {
			return nil, err
		}
	}
	x.buf.target = target
	return target, nil
}

// enterTarget opens the directory of a hard link's target. It returns the directory's
// descriptor, and target with a layer's links resolved.
func (x *extractor) enterTarget(parent int, target []byte, e *Entry) (int, []byte, error) {
	dir, _ := splitPath(target)
	if bytes.Equal(dir, x.dirs.path) {
		return parent, target, nil
	}
	fd, rest, err := x.targets.enter(dir)
	if err != nil && isNotDir(err) && x.opt.Layer {
		var canon []byte
		if canon, err = x.root.resolve(string(dir), resolveOptions{last: true, layer: x}); err == nil {
			target = bytes.TrimPrefix(append(canon, target[len(dir):]...), []byte("/"))
			dir, _ = splitPath(target)
			fd, rest, err = x.targets.enter(dir)
		}
	}
	switch {
	case len(rest) > 0 && err != nil && isNotDir(err):
		return -1, nil, targetError(e, errNotDir)
	case errors.Is(err, unix.ENOENT):
		return -1, nil, targetError(e, errTargetGone)
	}
	return fd, target, err
}

// copyInstead copies a file with all its metadata if the file system can't make a hard
// link: the file has too many (65,000 on ext4), or the file system has none. why is the
// error of linkat.
func (x *extractor) copyInstead(from, to place, e *Entry, why error) error {
	var st unix.Stat_t
	if err := lstatat(from.dir, from.name, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return targetError(e, errTargetDir)
	}
	if err := x.copyFile(from, to, &st); err != nil {
		return fmt.Errorf("copy %s for a link (%v): %w", quote(e.Link), why, err)
	}
	x.rep.note("hard link", "replaced by a copy", why.Error(), e.Name)
	return nil
}

// copyFile copies a regular file or a symbolic link with its metadata.
func (x *extractor) copyFile(from, to place, st *unix.Stat_t) error {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return x.copyRegular(from, to)
	case unix.S_IFLNK:
		var target [maxTarget + 2]byte
		n, err := readlinkat(from.dir, from.name, target[:maxTarget+1])
		if err != nil {
			return err
		}
		if err := symlinkat(cname(target[:n+1]), to.dir, to.name); err != nil {
			return err
		}
		if x.self.chown {
			if err := lchownat(to.dir, to.name, st.Uid, st.Gid); err != nil {
				return err
			}
		}
		return setTime(to.dir, to.name, int64(st.Mtim.Sec), int32(st.Mtim.Nsec))
	}
	return errCopyType
}

// copyRegular copies a regular file.
func (x *extractor) copyRegular(from, to place) (err error) {
	src, err := openat(from.dir, from.name, unix.O_RDONLY|openFlags|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer unix.Close(src)
	var st unix.Stat_t
	if err := unix.Fstat(src, &st); err != nil {
		return err
	}
	dst, err := openat(to.dir, to.name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|openFlags, 0600)
	if err != nil {
		return err
	}
	defer func() {
		if e := unix.Close(dst); err == nil {
			err = e
		}
	}()
	buf := make([]byte, bufferSize)
	for {
		n, err := unix.Read(src, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		if max := x.opt.Limits.Bytes; max > 0 && int64(n) > max-x.rep.Bytes {
			return ErrTooBig
		}
		if err := writeFull(dst, buf[:n]); err != nil {
			return err
		}
		x.wrote(n)
	}
	if x.self.chown {
		if err := unix.Fchown(dst, int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	attrs, _ := readAttrs(src, "") // those that can be read
	if err := x.setAttrs(dst, attrs, beforeMode, to.name[:len(to.name)-1]); err != nil {
		return err
	}
	if err := unix.Fchmod(dst, st.Mode&07777); err != nil {
		return err
	}
	if err := x.setAttrs(dst, attrs, afterMode, to.name[:len(to.name)-1]); err != nil {
		return err
	}
	return setTime(dst, nil, int64(st.Mtim.Sec), int32(st.Mtim.Nsec))
}

// readAttrs reads the extended attributes of the file that fd is open on. path is a path to the same
// file if fd is an O_PATH descriptor, else "". Next to an error it returns those that it could read.
func readAttrs(fd int, path string) (attrs []xattr, err error) {
	get := func(name string, into []byte) (int, error) {
		switch {
		case name == "" && path == "":
			return unix.Flistxattr(fd, into)
		case name == "":
			return unix.Listxattr(path, into)
		case path == "":
			return unix.Fgetxattr(fd, name, into)
		}
		return unix.Getxattr(path, name, into)
	}
	n, err := get("", nil)
	if err == unix.EOPNOTSUPP || n == 0 && err == nil {
		return nil, nil // most files: large buffers are needed for others only
	}
	var names, value []byte
	if err == nil {
		names, value = make([]byte, 64<<10), make([]byte, 64<<10) // XATTR_LIST_MAX, XATTR_SIZE_MAX
		n, err = get("", names)
	}
	if err != nil {
		return nil, err
	}
	sum := 0
	for _, name := range bytes.Split(names[:n], []byte{0}) {
		if len(name) == 0 || bytes.HasPrefix(name, []byte("trusted.SGI_ACL_")) {
			continue // the second: xfs lists its ACLs under another name, too
		}
		n, e := get(string(name), value)
		if e == unix.ENODATA || e == unix.EOPNOTSUPP {
			continue
		}
		if e != nil {
			err = e
			continue
		}
		if sum += n; sum > maxPax || len(attrs) == maxXattrs {
			return attrs, errTooManyXattrs // no archive can have them either
		}
		attrs = append(attrs, xattr{name, bytes.Clone(value[:n])})
	}
	return attrs, err
}
