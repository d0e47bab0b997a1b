package untar

import (
	"io"

	"golang.org/x/sys/unix"
)

// file writes a regular file. The order of the calls matters: a write and a chown clear
// setuid bits and capabilities, and a chmod rewrites the mask of an ACL.
func (x *extractor) file(parent int, name cname, path []byte, e *Entry) error {
	if x.logical += e.Size; x.logical > maxLogical || e.Size > maxLogical {
		return ErrTooBig
	}
	if x.tree == nil && x.exceeds(e) {
		return ErrTooBig
	}
	in := x.inherits(parent)
	mode := x.mode(e)
	attrs := x.attributes(e)
	ours := x.keepsOwner(e) && in == inheritNothing
	create := uint32(0600)
	if ours && mode&^0777 == 0 && len(attrs) == 0 {
		create = mode
	}
	const flags = unix.O_CREAT | unix.O_EXCL | unix.O_WRONLY | openFlags
	fd, err := openat(parent, name, flags, create)
	if err == unix.EEXIST {
		if err := x.clear(parent, name, path); err != nil {
			return err
		}
		fd, err = openat(parent, name, flags, create)
	}
	if err != nil {
		return err
	}
	err = x.fill(fd, e)
	if err == nil && in == inheritUnknown {
		var st unix.Stat_t
		in = inheritSome
		if unix.Fstat(fd, &st) == nil && st.Uid == x.self.uid && st.Gid == x.self.gid && st.Mode&07777 == create && !passesOn(parent) {
			in = inheritNothing
		}
		x.dirs.last().inherit = in
		ours = x.keepsOwner(e) && in == inheritNothing
	}
	if err == nil && x.self.chown && !ours {
		if err = unix.Fchown(fd, int(e.UID), int(e.GID)); err != nil {
			err = &OwnerError{e.UID, e.GID, err}
		}
	}
	if err == nil && len(attrs) > 0 {
		err = x.setAttrs(fd, attrs, beforeMode, e.Name)
	}
	if err == nil && (mode != create || !ours) {
		err = unix.Fchmod(fd, mode)
	}
	if err == nil && len(attrs) > 0 {
		err = x.setAttrs(fd, attrs, afterMode, e.Name)
	}
	if err == nil {
		err = x.timeErr(setTime(fd, nil, e.Sec, e.Nsec), e.Name)
	}
	if e := unix.Close(fd); err == nil && e != unix.EINTR {
		err = e
	}
	x.noteOwner(e)
	return err
}

// exceeds reports whether the limit leaves no room for the entry's content.
func (x *extractor) exceeds(e *Entry) bool {
	max := x.opt.Limits.Bytes
	return max > 0 && e.stored > max-x.rep.Bytes
}

// wrote counts content that was written to a file.
func (x *extractor) wrote(n int) {
	x.rep.Bytes += int64(n)
	x.root.wrote(n)
}

// fill writes a file's content and leaves out its holes.
func (x *extractor) fill(fd int, e *Entry) error {
	if t := x.tree; t != nil {
		if e == &t.entry && t.share(fd) {
			x.rep.Shared += e.stored
			return nil
		}
		if x.exceeds(e) {
			return ErrTooBig
		}
	}
	if !e.Sparse {
		for {
			b, err := x.in.chunk(e.stored)
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if err = writeFull(fd, b); err == nil {
				err = x.stopped()
			}
			if err != nil {
				return err
			}
			x.wrote(len(b))
		}
	}
	for i := range e.extents.n {
		piece := e.extents.at(i)
		for piece.Length > 0 {
			b, err := x.in.chunk(piece.Length)
			if err != nil {
				return err
			}
			if err = pwriteFull(fd, b, piece.Offset); err == nil {
				err = x.stopped()
			}
			if err != nil {
				return err
			}
			x.wrote(len(b))
			piece.Offset += int64(len(b))
			piece.Length -= int64(len(b))
		}
	}
	// The map need not list a hole at the end of the file.
	return unix.Ftruncate(fd, e.Size)
}
