package untar

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// What bzip2(1) writes; no standard describes it. A file is one stream after another. A stream is
// "BZh", a level, blocks, and an end. All numbers are bits, the highest first.
const (
	bzip2Block = 0x314159265359 // begins a block
	bzip2End   = 0x177245385090 // begins the end of a stream
	// bzip2Level is how many bytes a block can have for each level, before the runs in it are
	// expanded.
	bzip2Level = 100000
	// bzip2Group is how many symbols follow before another code is selected.
	bzip2Group = 50
	// bzip2MaxBits is the length of the longest symbol of a code.
	bzip2MaxBits = 20
	// bzip2Lookup is how many bits are looked up at once. Most symbols are not longer.
	bzip2Lookup = 10
)

var errBzip2 error = textError("damaged block")

// A bzip2Reader reads the streams of a bzip2 file. The standard library's reader is five times as
// large, because of the sorting in it, and slower. It takes whatever follows a stream for another.
type bzip2Reader struct {
	_ [0]func() // forbids ==, whose code nothing needs
	trailing
	bits  uint64 // the highest count bits are the next ones of the input
	count uint
	err   error // returned by Read from now on
	block bzip2Content
	codes [6]bzip2Code
	// selectors has the code for each group of symbols.
	selectors [1 << 15]byte
	// wanted is the checksum of the block that is read, all that of the blocks before it.
	wanted, all uint32
	started     bool // a block was read of the stream
}

// A bzip2Code is a Huffman code: the symbols of a length have consecutive codes, which follow those
// of the shorter ones.
type bzip2Code struct {
	lookup  [1 << bzip2Lookup]uint16 // by the next bits: the symbol << 5 | its length; 0: it is longer
	limit   [bzip2MaxBits + 1]uint32 // by length: the code after the last one, with zeros to bzip2MaxBits bits
	index   [bzip2MaxBits + 1]uint32 // by length: the index after that of the last one in symbols
	symbols [258]uint16              // by code
}

func newBzip2Reader(src *bufio.Reader, strict bool) *bzip2Reader {
	b := &bzip2Reader{trailing: trailing{src: src, format: FormatBzip2, strict: strict}}
	b.err = b.stream()
	return b
}

// Read reads the content of all streams.
func (b *bzip2Reader) Read(p []byte) (int, error) {
	for len(p) > 0 && b.err == nil {
		if n := b.block.read(p); n > 0 {
			return n, nil
		}
		b.next()
	}
	return 0, b.err
}

// stream reads the header of a stream; at the end of the file it returns io.EOF.
func (b *bzip2Reader) stream() error {
	b.all, b.bits, b.count, b.started = 0, 0, 0, false
	head, err := b.src.Peek(4)
	switch {
	case detectFormat(head) == FormatBzip2:
		b.block.resize(int(head[3]-'0') * bzip2Level)
		_, err = b.src.Discard(len(head))
		return err
	case err == io.EOF && len(head) > 0 && strings.HasPrefix("BZh", string(head)):
		return fmt.Errorf("bzip2: %w", io.ErrUnexpectedEOF)
	}
	return b.rest(nil)
}

// next checks the block that was read, and begins the next one, if need be of the next stream.
func (b *bzip2Reader) next() {
	if b.started && b.block.checksum() != b.wanted {
		b.err = errors.New("bzip2: wrong checksum of a block")
		return
	}
	if b.started {
		b.all = (b.all<<1 | b.all>>31) ^ b.wanted
	}
	magic, sum := b.take(48), uint32(b.take(32))
	err := errBzip2
	switch {
	case b.err != nil:
	case magic == bzip2Block:
		b.wanted, b.started = sum, true
		err = b.open()
	case magic == bzip2End && sum == b.all:
		b.err = b.stream()
		return
	}
	if b.err != nil { // the input has ended
		err = b.err
	}
	if err != nil {
		b.err = fmt.Errorf("bzip2: %w", err)
	}
}

// take reads bits, 1 to 48. It sets err if the input ends before.
func (b *bzip2Reader) take(n uint) uint64 {
	b.fill(n)
	bits := b.bits >> (64 - n)
	b.bits <<= n
	b.count -= n
	return bits
}

// fill reads bytes until there are so many bits, at most 48. It sets err if the input ends before.
func (b *bzip2Reader) fill(n uint) {
	for b.count < n {
		c, err := b.src.ReadByte()
		if err != nil && b.err == nil {
			b.err = noEOF(err)
		}
		b.bits |= uint64(c) << (56 - b.count)
		b.count += 8
	}
}

// open reads a block.
func (b *bzip2Reader) open() error {
	if b.take(1) != 0 {
		return errors.New("a randomised block, of bzip2 before 0.9.5, is not supported")
	}
	first := int(b.take(24))
	// The bytes in the block: a bit for each 16 of them, and a bit for each of these.
	var front [256]byte
	used := 0
	for i, ranges := 0, b.take(16); i < 16; i++ {
		bits := uint64(0)
		if ranges<<i&0x8000 != 0 {
			bits = b.take(16)
		}
		for j := range 16 {
			if bits<<j&0x8000 != 0 {
				front[used] = byte(i<<4 | j)
				used++
			}
		}
	}
	codes := int(b.take(3))
	selectors := b.selectors[:b.take(15)]
	if used == 0 || codes < 2 || codes > len(b.codes) {
		return errBzip2
	}
	order := [...]byte{0, 1, 2, 3, 4, 5}
	for i := range selectors {
		n := 0
		for b.take(1) != 0 {
			if n++; n == codes {
				return errBzip2
			}
		}
		c := order[n]
		copy(order[1:], order[:n])
		order[0], selectors[i] = c, c
	}
	for i := range codes {
		if !b.readCode(&b.codes[i], used+2) {
			return errBzip2
		}
	}
	size := b.symbols(&front, selectors, used+1)
	if first >= size || b.err != nil {
		return errBzip2
	}
	b.block.open(first, size)
	return nil
}

// readCode reads a code of so many symbols: the length of the first one, and how the length of each
// differs from that of the one before.
func (b *bzip2Reader) readCode(c *bzip2Code, n int) bool {
	var lengths [len(c.symbols)]byte
	length := byte(b.take(5))
	for i := range n {
		for {
			if length < 1 || length > bzip2MaxBits {
				return false
			}
			if b.take(1) == 0 {
				break
			}
			length += 1 - 2*byte(b.take(1))
		}
		lengths[i] = length
	}
	c.lookup = [len(c.lookup)]uint16{}
	code, index := uint32(0), 0
	for length := 1; length <= bzip2MaxBits; length++ {
		for i, l := range lengths[:n] {
			if int(l) != length {
				continue
			}
			c.symbols[index] = uint16(i)
			index++
			const shift = bzip2MaxBits - bzip2Lookup
			first := code >> shift
			if code += 1 << (bzip2MaxBits - length); length > bzip2Lookup {
				continue
			}
			for at := first; at < code>>shift && int(at) < len(c.lookup); at++ {
				c.lookup[at] = uint16(i<<5 | length)
			}
		}
		c.limit[length], c.index[length] = code, uint32(index)
	}
	return true
}

// symbols reads the symbols of a block into its text, and returns how many bytes that are; 0: they
// are bad. Symbols 0 and 1 are the digits of a number of bytes like the one before, and the others
// the place of a byte in the list of bytes, the last one used being in front. end ends the block.
func (b *bzip2Reader) symbols(front *[256]byte, selectors []byte, end int) (size int) {
	counts, text := &b.block.counts, b.block.text
	*counts = [256]uint32{}
	// The first 8 bytes of the list are in near, the very first one in the lowest bits.
	near, far := uint64(0), front[8:]
	for i, c := range front[:8] {
		near |= uint64(c) << (8 * i)
	}
	bits, count, in := b.refill(b.bits, b.count, 0)
	at, run, digit := 0, 0, 1
	for _, selector := range selectors {
		code := &b.codes[selector]
		for range bzip2Group {
			if next := in[at:]; count >= bzip2MaxBits {
			} else if len(next) < 8 {
				if bits, count, in = b.refill(bits, count, at); count < bzip2MaxBits {
					return 0
				}
				at = 0
			} else {
				word := uint64(next[7]) | uint64(next[6])<<8 | uint64(next[5])<<16 | uint64(next[4])<<24 |
					uint64(next[3])<<32 | uint64(next[2])<<40 | uint64(next[1])<<48 | uint64(next[0])<<56
				bits |= word >> (count & 63)
				at += int(63-count) / 8
				count |= 56
			}
			found := code.lookup[bits>>(64-bzip2Lookup)]
			if found == 0 {
				if found = code.long(uint32(bits >> (64 - bzip2MaxBits))); found == 0 {
					return 0
				}
			}
			bits <<= found & 31
			count -= uint(found & 31)
			symbol := int(found >> 5)
			if symbol < 2 {
				if run += digit << symbol; run > len(text) {
					return 0
				}
				digit <<= 1
				continue
			}
			if run > 0 {
				if run > len(text)-size {
					return 0
				}
				counts[byte(near)] += uint32(run)
				for ; run > 0; run-- {
					text[size] = byte(near)
					size++
				}
			}
			if digit = 1; symbol == end {
				b.bits, b.count = bits, count
				b.src.Discard(at)
				return size
			}
			if size == len(text) {
				return 0
			}
			if place := uint(symbol-1) * 8; place < 64 {
				before := near & (1<<place - 1)
				near = near>>place>>8<<8<<place | before<<8 | near>>place&0xff
			} else {
				near = near<<8 | uint64(toFront(far, symbol-9, byte(near>>56)))
			}
			counts[byte(near)]++
			text[size] = byte(near)
			size++
		}
	}
	return 0
}

// refill gets more of the input while symbols are read: bits, of which there are count, and bytes
// after them, of which as many as read were added to the bits. If count is too small for a symbol
// afterwards, the input has ended.
func (b *bzip2Reader) refill(bits uint64, count uint, read int) (uint64, uint, []byte) {
	b.src.Discard(read)
	b.bits, b.count = bits, count
	if b.fill(48); b.err != nil { // after a block are 80 bits at least
		b.count = 0
	}
	in, _ := b.src.Peek(b.src.Buffered())
	return b.bits, b.count, in
}

// toFront takes a byte out of a list, and puts another one in front.
func toFront(list []byte, place int, front byte) byte {
	c := list[place]
	copy(list[1:], list[:place])
	list[0] = front
	return c
}

// long returns a symbol << 5 | its length that is longer than bzip2Lookup; 0: there is none.
func (c *bzip2Code) long(next uint32) uint16 {
	for length := bzip2Lookup + 1; length <= bzip2MaxBits; length++ {
		if next < c.limit[length] {
			// Those of this length are counted from their end.
			symbol := c.symbols[c.index[length]-1-(c.limit[length]-1-next)>>(bzip2MaxBits-length)]
			return symbol<<5 | uint16(length)
		}
	}
	return 0
}
