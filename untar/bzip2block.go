package untar

import (
	"hash/crc32"
	"math/bits"
)

// A bzip2Content is the content of a block.
type bzip2Content struct {
	_ [0]func() // forbids ==, whose code nothing needs
	// text has the bytes of the block, first in the order in which they were stored, and then
	// pieces of the content.
	text   []byte
	counts [256]uint32 // how often each byte is in text
	// chain has an entry for each byte: the byte in the lowest 8 bits, and above it the index of
	// the entry of the next byte of the content.
	chain  []uint32
	pieces [9*bzip2Level/bzip2Stride + 1]bzip2Piece

	at   uint32 // the entry of the byte after rest
	left int    // how many bytes follow from there on
	rest []byte // bytes that were not read: of a piece, or of few
	few  [256]byte
	runs bzip2Runs
	sum  uint32 // the checksum, see add
}

// A bzip2Piece is a part of the content: where it is in text, and the entry of the byte after it.
type bzip2Piece struct{ from, to, end uint32 }

// bzip2Runs is where a block's content is in the runs of a byte.
type bzip2Runs struct {
	_      [0]func() // forbids ==, whose code nothing needs
	last   byte      // the byte before
	same   int       // how often it was there in a row; the byte after four is the number of more
	repeat int       // how often it comes again
}

// Each entry whose index is a multiple of bzip2Stride has bzip2Mark set, and can begin a piece.
const (
	bzip2Stride = 1 << 11
	bzip2Mark   = 1 << 31
	// bzip2Walks is how many pieces are made at a time. More are not faster.
	bzip2Walks = 8
)

// resize makes room for blocks of so many bytes.
func (c *bzip2Content) resize(size int) {
	if len(c.chain) < size {
		c.chain = make([]uint32, size)
		c.text = make([]byte, size)
	}
	c.text = c.text[:size]
}

// open undoes the Burrows-Wheeler transform of the first bytes of text.
func (c *bzip2Content) open(first, size int) {
	sum := uint32(0)
	for i, n := range c.counts {
		c.counts[i], sum = sum, sum+n
	}
	chain, counts := c.chain, &c.counts
	for i, b := range c.text[:size] {
		at := counts[b]
		counts[b] = at + 1
		chain[at] = uint32(i)<<8 | uint32(b)
	}
	for i := 0; i < size; i += bzip2Stride {
		chain[i] |= bzip2Mark
	}
	c.cut(uint32(size))
	c.at, c.left, c.rest = uint32(first), size, nil
	c.runs, c.sum = bzip2Runs{}, 0
}

// cut makes pieces of the content, several at a time, each in its part of text. Which entry is the
// next one is known when this one has been read, and for that the processor waits, since it is
// seldom in a cache; so it waits for several at once. A piece ends where another one begins. If the
// chain is several circles, as in a bad file or if the content repeats itself, some pieces may be
// no part of the content. When none is left to begin, those that are not complete end: the rest of
// them is read entry by entry, as is the content of a small block.
func (c *bzip2Content) cut(size uint32) {
	chain, text := c.chain, c.text
	c.pieces = [len(c.pieces)]bzip2Piece{}
	begun, starts := uint32(0), (size+bzip2Stride-1)/bzip2Stride
	if starts < bzip2Walks {
		return
	}
	var at, piece [bzip2Walks]uint32 // the next entry, which is marked now, and the index of the piece
	part, pos, i := size/bzip2Walks, uint32(0), 0
walk:
	for ; pos < part; pos++ {
		to := pos
		for i = range at {
			entry := chain[at[i]]
			if entry >= bzip2Mark {
				if begun == starts {
					break walk
				}
				if pos > 0 {
					c.pieces[piece[i]].to, c.pieces[piece[i]].end = to, at[i]
				}
				piece[i], c.pieces[begun].from = begun, to
				entry = chain[begun*bzip2Stride] &^ bzip2Mark
				begun++
			}
			text[to] = byte(entry)
			at[i] = entry >> 8
			to += part
		}
	}
	for j, p := range piece {
		to := uint32(j)*part + pos
		if pos < part && j < i {
			to++
		}
		c.pieces[p].to, c.pieces[p].end = to, at[j]
	}
}

// more gets the next bytes of the content: a piece, or some bytes up to the next piece.
func (c *bzip2Content) more() {
	n, at := 0, c.at
	for ; n < len(c.few) && n < c.left; n++ {
		entry := c.chain[at]
		if p := &c.pieces[at/bzip2Stride]; entry >= bzip2Mark && p.from < p.to {
			if n > 0 {
				break
			}
			c.rest = c.text[p.from:p.to]
			c.rest = c.rest[:min(len(c.rest), c.left)]
			c.at, c.left = p.end, c.left-len(c.rest)
			return
		}
		c.few[n] = byte(entry)
		at = entry &^ bzip2Mark >> 8
	}
	c.at, c.left, c.rest = at, c.left-n, c.few[:n]
}

// read reads what is left of a block, and expands its runs.
func (c *bzip2Content) read(p []byte) (n int) {
	for n < len(p) {
		if r := &c.runs; r.repeat > 0 {
			run := p[n:][:min(r.repeat, len(p)-n)]
			for i := range run {
				run[i] = r.last
			}
			n, r.repeat = n+len(run), r.repeat-len(run)
			continue
		}
		if len(c.rest) == 0 {
			c.more()
		}
		if len(c.rest) == 0 {
			break
		}
		if c.runs.same == 4 {
			c.runs.same, c.runs.repeat, c.rest = 0, int(c.rest[0]), c.rest[1:]
			continue
		}
		n += c.copy(p[n:])
	}
	c.add(p[:n])
	return n
}

// copy copies bytes until four in a row are the same.
func (c *bzip2Content) copy(p []byte) int {
	rest := c.rest[:min(len(c.rest), len(p))]
	last, same, n := c.runs.last, c.runs.same, 0
	for n < len(rest) && same < 4 {
		b := rest[n]
		p[n] = b
		n++
		if b != last || same == 0 {
			last, same = b, 0
		}
		same++
	}
	c.runs.last, c.runs.same, c.rest = last, same, c.rest[n:]
	return n
}

// add adds bytes to the checksum. It is that of gzip but for the order of the bits in a byte, and
// most processors have instructions for that one.
func (c *bzip2Content) add(p []byte) {
	var reversed [512]byte
	for len(p) > 0 {
		n := copy(reversed[:], p)
		for i := 0; i < n; i += 8 {
			b := reversed[i:][:8]
			v := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
				uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
			v = v>>1&0x5555555555555555 | v&0x5555555555555555<<1
			v = v>>2&0x3333333333333333 | v&0x3333333333333333<<2
			v = v>>4&0x0f0f0f0f0f0f0f0f | v&0x0f0f0f0f0f0f0f0f<<4
			b[0], b[1], b[2], b[3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
			b[4], b[5], b[6], b[7] = byte(v>>32), byte(v>>40), byte(v>>48), byte(v>>56)
		}
		c.sum = crc32.Update(c.sum, crc32.IEEETable, reversed[:n])
		p = p[n:]
	}
}

// checksum returns the checksum of what was read.
func (c *bzip2Content) checksum() uint32 { return bits.Reverse32(c.sum) }
