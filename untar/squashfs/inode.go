package squashfs

import (
	"encoding/binary"
	"math"
)

// A Type is a type of files.
type Type uint16

// The types. In an inode they are the basic ones; those with more fields have extended added.
const (
	TypeDir Type = 1 + iota
	TypeFile
	TypeSymlink
	TypeBlock
	TypeChar
	TypeFIFO
	TypeSocket

	extended = 7
)

const (
	errInodeType = "unknown type of inode"
	errID        = "an owner that is not in the table of ids"
	errSize      = "impossible size"
	errTarget    = "bad target of a symbolic link"
	errFragment  = "bad fragment"
	errBlocks    = "the files have too many blocks"
)

const (
	noFragment = math.MaxUint32
	noXattr    = math.MaxUint32
	maxTarget  = 4095 // bytes: PATH_MAX without the NUL
)

// An inode holds the fields of an inode that are not in File.
type inode struct {
	_        [0]func()
	number   uint32
	links    uint32
	xattr    uint32
	start    uint64 // of a file: where its blocks are; of a directory: where its list is
	offset   uint32 // in the fragment, or in the metadata block
	fragment uint32
	rest     cursor // after the fields: sizes of blocks, or target
}

// A layout says where fields are in the bytes after the first 16 of an inode: struct
// squashfs_dir_inode and so on. no is the place of a field that is not there.
type layout struct{ size, links, content, start, fragment, offset, device byte }

const no = 0xff

var layouts = [...]layout{
	TypeDir:                {16, 4, 8, 0, no, 10, no},
	TypeFile:               {16, no, 12, 0, 4, 8, no},
	TypeSymlink:            {8, 0, 4, no, no, no, no},
	TypeBlock:              {8, 0, no, no, no, no, 4},
	TypeChar:               {8, 0, no, no, no, no, 4},
	TypeFIFO:               {4, 0, no, no, no, no, no},
	TypeSocket:             {4, 0, no, no, no, no, no},
	TypeDir + extended:     {24, 0, 4, 8, no, 18, no},
	TypeFile + extended:    {40, 24, 8, 0, 28, 32, no},
	TypeSymlink + extended: {8, 0, 4, no, no, no, no},
	TypeBlock + extended:   {12, 0, no, no, no, no, 4},
	TypeChar + extended:    {12, 0, no, no, no, no, 4},
	TypeFIFO + extended:    {8, 0, no, no, no, no, no},
	TypeSocket + extended:  {8, 0, no, no, no, no, no},
}

// field returns the field at a place; if there is none, other.
func field(b []byte, at byte, other uint32) uint32 {
	if at == no {
		return other
	}
	return binary.LittleEndian.Uint32(b[at:])
}

// inode reads the inode at a reference. f.Size is the size of the file, of a directory's list or
// of a target.
func (r *Reader) inode(f *File, ref uint64) error {
	in := &f.in
	c := cursorOf(ref, int64(r.super.tables.inodes), int64(r.super.tables.dirs))
	m, at := &r.meta, c.pos
	var b [40]byte
	if err := m.read(&c, b[:16]); err != nil {
		return err
	}
	first, owners := field(b[:], 0, 0), field(b[:], 4, 0)
	kind := Type(first & 0xffff)
	if kind == 0 || kind > TypeSocket+extended {
		return bad(at, errInodeType)
	}
	uid, gid := int(owners&0xffff), int(owners>>16)
	if uid >= len(r.ids) || gid >= len(r.ids) {
		return bad(at, errID)
	}
	f.Type, f.Mode, f.UID, f.GID, f.Time = kind, first>>16&07777, r.ids[uid], r.ids[gid], field(b[:], 8, 0)
	in.number, in.xattr = field(b[:], 12, 0), noXattr
	l := &layouts[kind]
	if err := m.read(&c, b[:l.size]); err != nil {
		return err
	}
	in.links = field(b[:], l.links, 1)
	// new_encode_dev of the kernel's include/linux/kdev_t.h
	device := field(b[:], l.device, 0)
	f.Device = [2]uint32{device >> 8 & 0xfff, device&0xff | device>>12&0xfff00}
	in.start, in.fragment, in.offset = uint64(field(b[:], l.start, 0)), field(b[:], l.fragment, noFragment), field(b[:], l.offset, 0)
	size := int64(field(b[:], l.content, 0))
	switch kind { // fields of other sizes
	case TypeDir:
		size, in.offset = size&0xffff, in.offset&0xffff
	case TypeDir + extended:
		in.offset &= 0xffff
	case TypeFile + extended:
		in.start |= uint64(field(b[:], 4, 0)) << 32
		size |= int64(field(b[:], 12, 0)) << 32
	}
	if size < 0 {
		return bad(at, errSize)
	}
	f.Size, in.rest = size, c
	var err error
	if kind == TypeSymlink+extended { // the index of the attributes follows the target
		if size > maxTarget {
			return bad(at, errSize)
		}
		if err = m.move(&c, nil, size); err == nil {
			err = m.read(&c, b[:4])
		}
		in.xattr = field(b[:], 0, 0)
	} else if kind > extended {
		in.xattr = field(b[:], l.size-4, 0)
	}
	if kind > extended {
		f.Type -= extended
	}
	return err
}
