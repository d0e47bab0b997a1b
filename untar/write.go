package untar

import (
	"os"

	"golang.org/x/sys/unix"
)

// WriteFile replaces the content of the regular file at name, of at most max bytes, by the
// result of edit. It edits a regular file in place, as Rewrite does. If the name does not
// exist, or is a symbolic link or another special file, WriteFile puts a new file there: with
// the permissions mode, the owner that MkdirAll gives its directories, and edit(nil) as
// content. It never follows a link at the end of name, and resolves the links before that
// inside the root (see OutsideError). The error is EISDIR for a directory, fs.ErrNotExist if
// the directory of name does not exist, and a *TooLargeError for a larger file.
func (r *Root) WriteFile(name string, mode uint32, max int64, edit func(old []byte) []byte) error {
	path, err := r.resolve(name, resolveOptions{})
	if err != nil {
		return err
	}
	if len(path) == 0 {
		return pathError("write", name, unix.EISDIR)
	}
	d := r.dirs()
	defer d.close()
	dir, base := splitPath(path)
	parent, _, err := d.enter(dir)
	if err != nil {
		return pathError("open", name, err)
	}
	var st unix.Stat_t
	var comp cname
	err = lstatat(parent, comp.set(base), &st)
	switch {
	case err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG:
		return r.Rewrite(string(path), max, edit)
	case err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR:
		err = unix.EISDIR
	case err == nil:
		err = unlinkat(parent, comp, 0)
	case err == unix.ENOENT:
		err = nil
	}
	if err == nil {
		if r.deferred != nil && len(dir) == 0 {
			r.deferred.touched = true
		}
		err = r.create(parent, comp, mode, edit(nil))
	}
	if err != nil {
		return pathError("write", name, err)
	}
	return nil
}

// create makes a new file. No other user sees its content before it has its mode.
func (r *Root) create(parent int, name cname, mode uint32, data []byte) (err error) {
	fd, err := openat(parent, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|openFlags, 0600)
	if err != nil {
		return err
	}
	defer func() {
		if e := unix.Close(fd); err == nil {
			err = e
		}
	}()
	// The directory may have a default ACL, or give its group to new files.
	unix.Fremovexattr(fd, attrACL)
	own := owner{uint32(os.Geteuid()), uint32(os.Getegid())}
	if r.owner != nil {
		own = *r.owner
	}
	if err := unix.Fchown(fd, int(own.uid), int(own.gid)); err != nil {
		return &OwnerError{own.uid, own.gid, err}
	}
	if err := pwriteFull(fd, data, 0); err != nil {
		return err
	}
	return unix.Fchmod(fd, mode)
}
