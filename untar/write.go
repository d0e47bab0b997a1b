package untar

import (
	"os"

	"golang.org/x/sys/unix"
)

// WriteFile puts a new regular file at name, in place of a file, link or other special file
// there. It gets the permissions mode, and the owner that MkdirAll gives its directories.
// WriteFile never follows a link at the end of name, and resolves the links before that inside
// the root (see OutsideError). The error is EISDIR for a directory, and fs.ErrNotExist if the
// directory of name does not exist. where is the path of the file, clean and without links.
func (r *Root) WriteFile(name string, mode uint32, data []byte) (where string, err error) {
	path, err := r.resolve(name, resolveOptions{})
	if err != nil {
		return "", err
	}
	d := r.dirs()
	defer d.close()
	dir, base := splitPath(path)
	parent, _, err := d.enter(dir)
	if err == nil {
		if r.deferred != nil && len(dir) == 0 {
			r.deferred.touched = true
		}
		var comp cname
		if err = unlinkat(parent, comp.set(base), 0); err == nil || err == unix.ENOENT {
			err = r.create(parent, comp, mode, data)
		}
	}
	if err != nil {
		return "", pathError("write", name, err)
	}
	return string(path), nil
}

// create makes a new file. No other user can read it before it has its mode.
func (r *Root) create(parent int, name cname, mode uint32, data []byte) error {
	fd, err := openat(parent, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|openFlags, 0600)
	if err != nil {
		return err
	}
	// The directory may have a default ACL, or give its group to new files.
	unix.Fremovexattr(fd, attrACL)
	own := owner{uint32(os.Geteuid()), uint32(os.Getegid())}
	if r.owner != nil {
		own = *r.owner
	}
	if err = unix.Fchown(fd, int(own.uid), int(own.gid)); err == nil {
		err = pwriteFull(fd, data, 0)
	}
	if err == nil {
		err = unix.Fchmod(fd, mode)
	}
	if e := unix.Close(fd); err == nil {
		err = e
	}
	return err
}
