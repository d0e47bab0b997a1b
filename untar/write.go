package untar

import (
	"os"

	"golang.org/x/sys/unix"
)

// WriteFile puts a new regular file at name, in place of a file, link or other special file
// there. It gets the permissions mode, and the owner that MkdirAll gives its directories. No
// other user can read it before it has its mode. WriteFile never follows a link at the end of
// name, and resolves the links before that inside the root (see OutsideError). The error is
// EISDIR for a directory, and fs.ErrNotExist if the directory of name does not exist.
func (r *Root) WriteFile(name string, mode uint32, data []byte) error {
	own := owner{uint32(os.Geteuid()), uint32(os.Getegid())}
	if r.owner != nil {
		own = *r.owner
	}
	return r.writeFile(name, mode, own, data)
}

// WriteOwned is WriteFile for a file that has a user and a group, which ids maps as an extraction
// does (Metadata.IDMap; nil: they are not mapped). If this process is not root, its user owns the
// file.
func (r *Root) WriteOwned(name string, mode uint32, own [2]uint32, ids []IDRange, data []byte) error {
	if os.Geteuid() != 0 {
		return r.WriteFile(name, mode, data)
	}
	uid, ok1 := idMap(ids).id(own[0], false)
	gid, ok2 := idMap(ids).id(own[1], true)
	if !ok1 || !ok2 {
		return &OwnerError{own[0], own[1], unix.EINVAL}
	}
	return r.writeFile(name, mode, owner{uid, gid}, data)
}

func (r *Root) writeFile(name string, mode uint32, own owner, data []byte) error {
	path, err := r.resolve(name, resolveOptions{})
	if err != nil {
		return err
	}
	d := r.dirs()
	dir, base := splitPath(path)
	parent, _, err := d.enter(dir)
	if err == nil && r.deferred != nil && len(dir) == 0 {
		r.deferred.touched = true
	}
	var comp cname
	if err == nil {
		if err = unlinkat(parent, comp.set(base), 0); err == unix.ENOENT {
			err = nil
		}
	}
	fd := -1
	if err == nil {
		fd, err = openat(parent, comp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|openFlags, 0600)
	}
	if err == nil {
		// The directory may have a default ACL, or give its group to new files.
		unix.Fremovexattr(fd, attrACL)
		if err = unix.Fchown(fd, int(own.uid), int(own.gid)); err == nil {
			err = pwriteFull(fd, data, 0)
		}
		if err == nil {
			err = unix.Fchmod(fd, mode)
		}
		if e := unix.Close(fd); err == nil {
			err = e
		}
	}
	d.close()
	if err != nil {
		return pathError("write", name, err)
	}
	return nil
}
