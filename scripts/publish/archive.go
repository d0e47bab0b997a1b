package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A dirArchive says how to write a directory as a tar stream. The same directory gives the
// same bytes: entries are in byte order, owners are numbers without names, times are in
// whole seconds, and there are no access times.
type dirArchive struct {
	clamp time.Time        // a later modification time is replaced by this one; zero: none is
	owner *[2]int          // user and group of every entry; nil: as on disk
	warn  func(msg string) // called for files that an archive can't contain
}

// hostAttributes are the extended attributes that describe the publisher's machine and not
// the image: the labels of its security policy and its integrity hashes.
var hostAttributes = []string{"security.selinux", "security.ima", "security.evm", "trusted.overlay."}

// write writes dir as a tar stream with names that begin with "./", as GNU tar
// writes "tar -C dir .".
func (a *dirArchive) write(w io.Writer, dir string) error {
	tw := tar.NewWriter(w)
	first := make(map[[2]uint64]string) // device and inode to the name of the first link
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		name := "./"
		if rel != "." {
			name += rel
		}
		return a.add(tw, path, name, first)
	})
	if err != nil {
		return err
	}
	return tw.Close()
}

func (a *dirArchive) add(tw *tar.Writer, path, name string, first map[[2]uint64]string) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	h := &tar.Header{
		Name:    name,
		Mode:    int64(st.Mode & 0o7777),
		Uid:     int(st.Uid),
		Gid:     int(st.Gid),
		ModTime: time.Unix(st.Mtim.Unix()),
	}
	h.ModTime = h.ModTime.Truncate(time.Second)
	if !a.clamp.IsZero() && h.ModTime.After(a.clamp) {
		h.ModTime = a.clamp
	}
	if a.owner != nil {
		h.Uid, h.Gid = a.owner[0], a.owner[1]
	}

	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		h.Typeflag = tar.TypeDir
		if !strings.HasSuffix(h.Name, "/") {
			h.Name += "/"
		}
	case unix.S_IFREG:
		h.Typeflag, h.Size = tar.TypeReg, st.Size
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		if err != nil {
			return err
		}
		h.Typeflag, h.Linkname = tar.TypeSymlink, target
	case unix.S_IFCHR, unix.S_IFBLK:
		h.Typeflag = tar.TypeChar
		if st.Mode&unix.S_IFMT == unix.S_IFBLK {
			h.Typeflag = tar.TypeBlock
		}
		h.Devmajor, h.Devminor = int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	default:
		a.warn(fmt.Sprintf("%q is a socket, which no archive can hold: left out", name))
		return nil
	}

	if h.Typeflag != tar.TypeDir && st.Nlink > 1 {
		inode := [2]uint64{st.Dev, st.Ino}
		if earlier, ok := first[inode]; ok {
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, earlier, 0
			return tw.WriteHeader(h)
		}
		first[inode] = name
	}
	if err := addAttributes(h, path); err != nil {
		return err
	}
	if err := tw.WriteHeader(h); err != nil {
		return fmt.Errorf("%q: %v", name, err)
	}
	if h.Typeflag != tar.TypeReg {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.CopyN(tw, f, h.Size); err != nil {
		return fmt.Errorf("%q has changed while it was read: %v", path, err)
	}
	return nil
}

// addAttributes puts the extended attributes of path into pax records
// (SCHILY.xattr, as GNU tar and star write them). They include ACLs and file
// capabilities in their binary form.
func addAttributes(h *tar.Header, path string) error {
	names, err := attribute(func(buf []byte) (int, error) { return unix.Llistxattr(path, buf) })
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		return &fs.PathError{Op: "llistxattr", Path: path, Err: err}
	}
names:
	for _, name := range strings.Split(string(names), "\x00") {
		if name == "" {
			continue
		}
		for _, host := range hostAttributes {
			if strings.HasPrefix(name, host) {
				continue names
			}
		}
		value, err := attribute(func(buf []byte) (int, error) { return unix.Lgetxattr(path, name, buf) })
		if errors.Is(err, unix.ENODATA) { // removed in the meantime, or not readable for us
			continue
		}
		if err != nil {
			return &fs.PathError{Op: "lgetxattr " + name, Path: path, Err: err}
		}
		if h.PAXRecords == nil {
			h.PAXRecords = make(map[string]string)
		}
		h.PAXRecords["SCHILY.xattr."+name] = string(value)
	}
	return nil
}

// attribute calls get twice: without a buffer to learn the size, then with a buffer.
func attribute(get func([]byte) (int, error)) ([]byte, error) {
	n, err := get(nil)
	if err != nil || n == 0 {
		return nil, err
	}
	buf := make([]byte, n)
	n, err = get(buf)
	return buf[:max(n, 0)], err
}
