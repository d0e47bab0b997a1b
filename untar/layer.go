package untar

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Whiteouts of image layers (OCI image spec, "layer.md"): ".wh.NAME" hides NAME
// of the layers below, ".wh..wh..opq" all that they have in the folder.
const (
	whiteoutPrefix = ".wh."
	whiteoutOpaque = ".wh..wh..opq"
)

// whiteout removes what the layers below have at a name. What this layer made
// stays, whatever the order in the archive.
func (x *extractor) whiteout(dir, base []byte) error {
	name := base[len(whiteoutPrefix):]
	opaque := string(base) == whiteoutOpaque
	if !opaque && (len(name) == 0 || string(name) == "." || string(name) == "..") {
		return errWhiteout
	}
	fd, rest, err := x.dirs.enter(dir)
	if err != nil && isNotDir(err) {
		canon, rerr := x.root.resolve(string(dir), resolveOptions{last: true})
		if errors.Is(rerr, fs.ErrNotExist) {
			return nil
		}
		if rerr != nil {
			return rerr
		}
		dir = canon
		fd, rest, err = x.dirs.enter(dir)
	}
	if err == unix.ENOENT && len(rest) > 0 {
		return nil // nothing there to hide
	}
	if err != nil {
		return err
	}
	x.targets.pop(0)
	if opaque {
		return x.purgeContents(fd, dir)
	}
	path := append([]byte(nil), dir...)
	if len(path) > 0 {
		path = append(path, '/')
	}
	path = append(path, name...)
	return x.purge(fd, x.name.set(name), path)
}

// purge removes an entry and what is below it, save what this run made.
func (x *extractor) purge(parent int, name cname, path []byte) error {
	if !x.isMade(path) {
		switch err := unlinkat(parent, name, 0); err {
		case nil:
			return nil
		case unix.ENOENT:
			return nil
		case unix.EISDIR, unix.EPERM:
		default:
			return err
		}
		if err := unlinkat(parent, name, unix.AT_REMOVEDIR); err != unix.ENOTEMPTY {
			return err // removed, or a mount point
		}
	}
	fd, err := openat(parent, name, dirFlags, 0)
	if isNotDir(err) {
		return nil // made by this run
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := x.purgeContents(fd, path); err != nil {
		return err
	}
	if x.isMade(path) {
		return nil
	}
	if err := unlinkat(parent, name, unix.AT_REMOVEDIR); err != unix.ENOTEMPTY {
		return err
	}
	return nil // something of this layer is in it
}

func (x *extractor) purgeContents(fd int, path []byte) error {
	d, err := newDirReader(fd)
	if err != nil {
		return err
	}
	var names []string
	for {
		name, err := d.next()
		if err != nil {
			d.close()
			return err
		}
		if name == "" {
			break
		}
		names = append(names, name)
	}
	d.close()
	for _, name := range names {
		sub := append([]byte(nil), path...)
		if len(sub) > 0 {
			sub = append(sub, '/')
		}
		sub = append(sub, name...)
		if err := x.purge(fd, cname(append([]byte(name), 0)), sub); err != nil {
			return err
		}
	}
	return nil
}
