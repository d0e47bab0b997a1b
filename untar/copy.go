package untar

import (
	"bytes"
	"errors"

	"golang.org/x/sys/unix"
)

var errCopyType = errors.New("neither a file nor a symbolic link")

// copyFile makes a copy with all metadata where the file system can't make a
// hard link: its limit is reached (65,000 on ext4), or it has none.
func (x *extractor) copyFile(from int, old cname, to int, name cname, st *unix.Stat_t) error {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return x.copyRegular(from, old, to, name)
	case unix.S_IFLNK:
		var target [maxTarget + 2]byte
		n, err := readlinkat(from, old, target[:maxTarget+1])
		if err != nil {
			return err
		}
		if err := symlinkat(cname(target[:n+1]), to, name); err != nil {
			return err
		}
		if x.chown {
			if err := lchownat(to, name, st.Uid, st.Gid); err != nil {
				return err
			}
		}
		return setTime(to, name, int64(st.Mtim.Sec), int32(st.Mtim.Nsec))
	}
	return errCopyType
}

func (x *extractor) copyRegular(from int, old cname, to int, name cname) (err error) {
	src, err := openat(from, old, unix.O_RDONLY|openFlags|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer unix.Close(src)
	var st unix.Stat_t
	if err := unix.Fstat(src, &st); err != nil {
		return err
	}
	dst, err := openat(to, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|openFlags, 0600)
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
		if max := x.opt.MaxBytes; max > 0 && int64(n) > max-x.rep.Bytes {
			return ErrTooBig
		}
		if err := writeFull(dst, buf[:n]); err != nil {
			return err
		}
		x.rep.Bytes += int64(n)
	}
	if x.chown {
		if err := unix.Fchown(dst, int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	attrs := readAttrs(src)
	if err := x.setAttrs(dst, attrs, beforeMode, name[:len(name)-1]); err != nil {
		return err
	}
	if err := unix.Fchmod(dst, st.Mode&07777); err != nil {
		return err
	}
	if err := x.setAttrs(dst, attrs, afterMode, name[:len(name)-1]); err != nil {
		return err
	}
	return setTime(dst, nil, int64(st.Mtim.Sec), int32(st.Mtim.Nsec))
}

// readAttrs reads all extended attributes of an open file; those that can't be
// read are left out.
func readAttrs(fd int) []xattr {
	names := make([]byte, 64<<10) // XATTR_LIST_MAX
	n, err := unix.Flistxattr(fd, names)
	if err != nil {
		return nil
	}
	var attrs []xattr
	value := make([]byte, 64<<10) // XATTR_SIZE_MAX
	for _, name := range bytes.Split(names[:n], []byte{0}) {
		if len(name) == 0 {
			continue
		}
		if n, err := unix.Fgetxattr(fd, string(name), value); err == nil {
			attrs = append(attrs, xattr{name, bytes.Clone(value[:n])})
		}
	}
	return attrs
}
