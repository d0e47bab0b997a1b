package untar

import (
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// A TempFile is a file in a root directory that does not belong to the tree.
type TempFile struct {
	_    [0]func() // forbids ==, whose code nothing needs
	File *os.File
	root *Root
	name string
}

// TempFile makes a file in the root directory: the only directory on the root's file system
// that the caller is sure to be able to write to. The root still counts as empty. The file's
// name is removed at once, so that a kill leaves nothing, even in a directory into which an
// archive is merged. On file systems that rename a removed file that is still open (FUSE,
// NFS), so that the new name would be part of the tree, the file keeps its name until Close;
// if the process is killed, it is removed with the tree.
func (r *Root) TempFile() (*TempFile, error) {
	name := proofName(newID())
	fd, err := openat(r.fd, cname(name+"\x00"), unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|openFlags, 0600)
	if err != nil {
		return nil, pathError("make a file in", r.path, err)
	}
	switch r.FileSystem() {
	case "ext4", "tmpfs", "ramfs", "f2fs", "btrfs", "bcachefs", "xfs", "zfs", "overlay", "jffs2", "ubifs", "vfat":
		if err := r.removeOwn(name); err != nil {
			unix.Close(fd)
			return nil, err
		}
	}
	f := &TempFile{File: os.NewFile(uintptr(fd), name), root: r, name: name}
	r.own, r.temporary = append(r.own, name), append(r.temporary, f)
	return f, nil
}

// Close closes the file and removes it, unless Root.Finish has done so. It keeps the time of
// the root directory.
func (f *TempFile) Close() error {
	r := f.root
	open := r.temporary[:0]
	for _, other := range r.temporary {
		if other != f {
			open = append(open, other)
		}
	}
	if len(open) == len(r.temporary) {
		return nil
	}
	r.temporary = open
	err := f.File.Close()
	if e := r.removeOwn(f.name); e != nil {
		return e
	}
	r.own = slices.DeleteFunc(r.own, func(s string) bool { return s == f.name })
	return err
}
