package squashfs

import (
	"bytes"
	"encoding/binary"
)

// An Xattr is an extended attribute.
type Xattr struct {
	_           [0]func()
	Name, Value []byte
}

// Limits of the attributes of a file. The kernel can't set more: XATTR_SIZE_MAX is 64 KiB, and it
// lists at most 64 KiB of names.
const (
	maxXattrs     = 1024
	maxXattrValue = 64 << 10
	maxXattrBytes = 1 << 20 // names and values, as in a header of a tar archive
)

const (
	errXattr      = "bad extended attribute"
	errXattrCount = "too many extended attributes"
)

const xattrIDSize = 16 // struct squashfs_xattr_id

// An xattrTable finds the attributes of files.
type xattrTable struct {
	_          [0]func()
	count      int64  // number of lists of attributes
	index      uint64 // where the positions of the blocks with the lists' places are
	start, end int64  // of the table with names and values
}

// open reads the header of the table (struct squashfs_xattr_id_table). low is the position of the
// table before it.
func (t *xattrTable) open(m *metadata, at, low uint64) error {
	if at == none {
		return nil
	}
	var b [16]byte
	if err := m.readAt(b[:], int64(at)); err != nil {
		return err
	}
	start := binary.LittleEndian.Uint64(b[:])
	t.count = int64(binary.LittleEndian.Uint32(b[8:]))
	if t.index = at + 16; t.count == 0 {
		return nil
	}
	first, err := m.indexed(t.index, t.count*xattrIDSize, 0, low)
	if err == nil && (start < low || start >= first) {
		err = bad(int64(at), errTables)
	}
	t.start, t.end = int64(start), int64(first)
	return err
}

// Xattrs returns the extended attributes of the current file. They are valid until the next call
// of Next.
func (r *Reader) Xattrs() ([]Xattr, error) {
	t, m, i := &r.xattrs, &r.meta, int64(r.file.in.xattr)
	if r.file.in.xattr == noXattr {
		return nil, nil
	}
	if i >= t.count {
		return nil, bad(int64(t.index), errXattr)
	}
	pos, err := m.indexed(t.index, t.count*xattrIDSize, int(i*xattrIDSize/metaSize), uint64(t.start))
	if err != nil {
		return nil, err
	}
	var b [xattrIDSize]byte
	c := cursor{pos: int64(pos), end: int64(t.index), off: int(i * xattrIDSize % metaSize)}
	if err := m.read(&c, b[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(b[8:])
	if n > maxXattrs {
		return nil, bad(int64(pos), errXattrCount)
	}
	c = cursorOf(binary.LittleEndian.Uint64(b[:]), t.start, t.end)
	list := make([]Xattr, 0, n)
	for left := maxXattrBytes; n > 0; n-- {
		x, err := t.read(m, &c)
		if err != nil {
			return nil, err
		}
		if left -= len(x.Name) + len(x.Value); left < 0 {
			return nil, bad(c.pos, errXattrCount)
		}
		list = append(list, x)
	}
	return list, nil
}

// read reads the attribute at c (struct squashfs_xattr_entry, squashfs_xattr_val).
func (t *xattrTable) read(m *metadata, c *cursor) (x Xattr, err error) {
	const elsewhere = 1 << 8 // in the type: the value is the place of the value
	var b [8]byte
	at := c.pos
	if err := m.read(c, b[:4]); err != nil {
		return x, err
	}
	kind, size := binary.LittleEndian.Uint16(b[:]), int(binary.LittleEndian.Uint16(b[2:]))
	prefix := ""
	switch kind &^ elsewhere {
	case 0:
		prefix = "user."
	case 1:
		prefix = "trusted."
	case 2:
		prefix = "security."
	}
	const maxName = 255 // XATTR_NAME_MAX
	if prefix == "" || size == 0 || size+len(prefix) > maxName {
		return x, bad(at, errXattr)
	}
	x.Name = append(make([]byte, 0, len(prefix)+size), prefix...)[:len(prefix)+size]
	if err := m.read(c, x.Name[len(prefix):]); err != nil {
		return x, err
	}
	if bytes.IndexByte(x.Name, 0) >= 0 {
		return x, bad(at, errXattr)
	}
	if err := m.read(c, b[:4]); err != nil {
		return x, err
	}
	if n := binary.LittleEndian.Uint32(b[:]); kind&elsewhere != 0 {
		if n != 8 {
			return x, bad(at, errXattr)
		}
		if err := m.read(c, b[:]); err != nil {
			return x, err
		}
		far := cursorOf(binary.LittleEndian.Uint64(b[:]), t.start, t.end)
		c = &far
		if err := m.read(c, b[:4]); err != nil {
			return x, err
		}
	}
	n := binary.LittleEndian.Uint32(b[:])
	if n > maxXattrValue {
		return x, bad(at, errXattr)
	}
	x.Value = make([]byte, n)
	return x, m.read(c, x.Value)
}
