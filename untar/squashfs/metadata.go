package squashfs

import (
	"encoding/binary"
	"io"

	"lxc-pull/untar/xz"
)

// Metadata blocks hold inodes, directories and tables. Each has a header of two bytes: the size
// of what follows, and whether that is compressed.
const (
	metaSize   = 8 << 10 // the content of a block: at most, and in all but the last of a table
	metaStored = 1 << 15 // in the header: the block is not compressed
	metaBlocks = 16      // in the cache
)

const (
	errMeta  = "bad metadata block"
	errRange = "metadata outside of its table"
)

// A metaBlock is a decoded metadata block.
type metaBlock struct {
	_         [0]func() // forbids ==, whose code nothing needs
	pos, next int64     // of this block and of the one after it
	n         int       // bytes of data
	used      int64     // when it was used last
	data      [metaSize]byte
}

// A metadata reads metadata blocks. A cache keeps those used last.
type metadata struct {
	_       [0]func() // forbids ==, whose code nothing needs
	image   io.ReaderAt
	end     int64 // of the image
	decoder decoder
	clock   int64
	blocks  [metaBlocks]*metaBlock
	packed  [2 + metaSize + xz.DecoderSlack]byte
}

// A cursor is a place in a table.
type cursor struct {
	_   [0]func() // forbids ==, whose code nothing needs
	pos int64     // of a metadata block
	end int64     // of the table
	off int       // in the block's content
}

// cursorOf returns the cursor of a reference: the block's position relative to its table, and 16
// bits with the offset in the block's content.
func cursorOf(ref uint64, table, end int64) cursor {
	return cursor{pos: table + int64(ref>>16), end: end, off: int(ref & 0xffff)}
}

// readAt fills p from the image.
func (m *metadata) readAt(p []byte, at int64) error {
	if at < 0 || at > m.end || int64(len(p)) > m.end-at {
		return bad(at, errTruncated)
	}
	n, err := m.image.ReadAt(p, at)
	if n == len(p) {
		return nil
	}
	if err == io.EOF || err == nil {
		return bad(at, errTruncated)
	}
	return err
}

// block returns the metadata block at pos, which must end before end.
func (m *metadata) block(pos, end int64) (*metaBlock, error) {
	m.clock++
	slot := 0
	for i, b := range m.blocks {
		if b != nil && b.pos == pos && b.next <= end {
			b.used = m.clock
			return b, nil
		}
		if m.blocks[slot] != nil && (b == nil || b.used < m.blocks[slot].used) {
			slot = i
		}
	}
	if pos < 0 || pos > end-2 {
		return nil, bad(pos, errRange)
	}
	raw := m.packed[:min(2+metaSize, end-pos)]
	if err := m.readAt(raw, pos); err != nil {
		return nil, err
	}
	head := binary.LittleEndian.Uint16(raw)
	size := int(head &^ metaStored)
	if size == 0 || size > len(raw)-2 {
		return nil, bad(pos, errMeta)
	}
	b := m.blocks[slot]
	if b == nil {
		b = new(metaBlock)
		m.blocks[slot] = b
	}
	b.pos = -1 // until it is complete
	raw = raw[2 : 2+size]
	if b.n = size; head&metaStored != 0 {
		copy(b.data[:], raw)
	} else if n, err := m.decoder.decode(b.data[:], raw); err != nil {
		return nil, &FormatError{Offset: pos, Cause: err}
	} else if b.n = n; n == 0 {
		return nil, bad(pos, errMeta)
	}
	b.pos, b.next, b.used = pos, pos+2+int64(size), m.clock
	return b, nil
}

// read fills p from a table and moves the cursor.
func (m *metadata) read(c *cursor, p []byte) error { return m.move(c, p, int64(len(p))) }

// move moves the cursor by n bytes, and copies those that p has room for.
func (m *metadata) move(c *cursor, p []byte, n int64) error {
	for {
		b, err := m.block(c.pos, c.end)
		if err != nil {
			return err
		}
		if c.off > b.n {
			return bad(c.pos, errRange)
		}
		k := int(min(n, int64(b.n-c.off)))
		p = p[copy(p, b.data[c.off:c.off+k]):]
		c.off += k
		if n -= int64(k); n == 0 {
			return nil
		}
		c.pos, c.off = b.next, 0
	}
}

// indexed returns the position of block i of a table with size bytes of content. The positions
// of such a table's blocks, which are at least low, are at table.
func (m *metadata) indexed(table uint64, size int64, i int, low uint64) (uint64, error) {
	var b [8]byte
	blocks := (size + metaSize - 1) / metaSize
	if int64(table) > m.end || blocks*8 > m.end-int64(table) {
		return 0, bad(int64(table), errTables)
	}
	if err := m.readAt(b[:], int64(table)+8*int64(i)); err != nil {
		return 0, err
	}
	pos := binary.LittleEndian.Uint64(b[:])
	if pos < low || pos >= table {
		return 0, bad(int64(table), errTables)
	}
	return pos, nil
}
