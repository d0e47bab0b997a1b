package deflate

import "math/bits"

// The bits of a code that its table is indexed by. Most symbols are not longer; for the others
// there is a second table.
const (
	literalBits  = 10
	distanceBits = 8
	maxBits      = 15 // the longest symbol
)

// An entry of a table has the bits that a symbol takes with its extra bits (consumed), those that
// it takes without, what kind of symbol it is, and a value: the byte of a literal, the least
// length or distance, or the place of a second table, which has "length" bits of its own.
const (
	consumed    = 1<<6 - 1
	literal     = 1 << 6
	link        = 1 << 7 // continue in a second table
	lengthShift = 8
	lengthMask  = 15
	end         = 1 << 12 // of the block
	bad         = 1 << 13 // no symbol has these bits, or no meaning
	valueShift  = 16
)

// The symbols of the codes.
const (
	literals  = 286 // bytes, the end of a block (256) and lengths
	distances = 30
	fixedSize = 288 // of the fixed codes, which have a few without meaning, too
)

// The codes of a block. A second table is needed for two symbols at least.
type codes struct {
	literal  [1<<literalBits + fixedSize/2<<(maxBits-literalBits)]uint32
	distance [1<<distanceBits + distances/2<<(maxBits-distanceBits)]uint32
	fixed    bool // these are the fixed codes
}

// fix sets the fixed codes (RFC 1951, section 3.2.6).
func (c *codes) fix() {
	if c.fixed {
		return
	}
	var lengths [fixedSize]uint8
	for i := range lengths {
		switch {
		case i < 144:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		case i < 280:
			lengths[i] = 7
		default:
			lengths[i] = 8
		}
	}
	build(c.literal[:], literalBits, lengths[:], literalEntry)
	for i := range 32 {
		lengths[i] = 5
	}
	build(c.distance[:], distanceBits, lengths[:32], distanceEntry)
	c.fixed = true
}

// readCodes reads the codes of a block (RFC 1951, section 3.2.7).
func (d *Reader) readCodes() error {
	d.codes.fixed = false
	v, err := d.take(14)
	if err != nil {
		return err
	}
	n, m := int(v&31)+257, int(v>>5&31)+1
	if n > literals || m > distances {
		return errCorrupt
	}
	var lengths [literals + distances]uint8
	for i := range v>>10 + 4 {
		length, err := d.take(3)
		if err != nil {
			return err
		}
		lengths["\x10\x11\x12\x00\x08\x07\x09\x06\x0a\x05\x0b\x04\x0c\x03\x0d\x02\x0e\x01\x0f"[i]] = uint8(length)
	}
	// The code of the lengths is needed only until the distances have theirs.
	if !build(d.codes.distance[:], distanceBits, lengths[:19], lengthEntry) {
		return errCorrupt
	}
	if err := d.readLengths(lengths[:n+m]); err != nil {
		return err
	}
	if !build(d.codes.literal[:], literalBits, lengths[:n], literalEntry) || !build(d.codes.distance[:], distanceBits, lengths[n:n+m], distanceEntry) {
		return errCorrupt
	}
	return nil
}

// readLengths reads the lengths of the symbols of both codes.
func (d *Reader) readLengths(lengths []uint8) error {
	for i := 0; i < len(lengths); {
		e, err := d.symbol(d.codes.distance[:], distanceBits)
		if err != nil {
			return err
		}
		value := e >> valueShift
		if value < 16 {
			lengths[i] = uint8(value)
			i++
			continue
		}
		repeat, extra, length := 3, uint(2), uint8(0)
		switch value {
		case 16:
			if i == 0 {
				return errCorrupt
			}
			length = lengths[i-1]
		case 17:
			extra = 3
		case 18:
			repeat, extra = 11, 7
		}
		more, err := d.take(extra)
		if err != nil {
			return err
		}
		if repeat += int(more); repeat > len(lengths)-i {
			return errCorrupt
		}
		for range repeat {
			lengths[i] = length
			i++
		}
	}
	return nil
}

// lengthEntry returns the entry of a symbol of the code of lengths, without its length.
func lengthEntry(symbol uint32) uint32 { return symbol << valueShift }

// literalEntry returns the entry of a literal, of the end of a block or of a length.
func literalEntry(symbol uint32) uint32 {
	switch {
	case symbol < 256:
		return symbol<<valueShift | literal
	case symbol == 256:
		return end
	case symbol < 265:
		return (symbol - 254) << valueShift
	case symbol < 285:
		extra := (symbol - 261) >> 2
		return (3+(4+(symbol-265)&3)<<extra)<<valueShift | extra
	case symbol == 285:
		return longest << valueShift
	}
	return bad
}

// distanceEntry returns the entry of a distance.
func distanceEntry(symbol uint32) uint32 {
	switch {
	case symbol < 4:
		return (symbol + 1) << valueShift
	case symbol < distances:
		extra := symbol>>1 - 1
		return (1+(2+symbol&1)<<extra)<<valueShift | extra
	}
	return bad
}

// build makes the table of a code whose symbols have these lengths, and reports whether they make
// one: any bits must begin with a symbol. As for zlib, a code of one symbol, of 1 bit, and a code
// without symbols are allowed, while nothing else is read with them. entry returns a symbol's
// entry without its length.
func build(table []uint32, root int, lengths []uint8, entry func(symbol uint32) uint32) bool {
	var count, next [maxBits + 1]int // of symbols of each length; the next code of each
	for _, n := range lengths {
		count[n]++
	}
	longest, code := 0, 0
	for n := 1; n <= maxBits; n++ {
		code <<= 1
		next[n] = code
		code += count[n]
		if count[n] > 0 {
			longest = n
		}
	}
	code >>= maxBits - longest
	switch {
	case longest > 0 && code == 1<<longest:
	case longest == 0, longest == 1 && code == 1:
		for i := range 1 << root {
			table[i] = bad
		}
	default:
		return false
	}
	more := max(longest-root, 0) // bits that index the second tables
	if more > 0 {
		first := next[root+1] >> 1
		for i := first; i < 1<<root; i++ {
			at := 1<<root + (i-first)<<more
			table[bits.Reverse16(uint16(i))>>(16-root)] = uint32(at<<valueShift | more<<lengthShift | link)
		}
	}
	for symbol, length := range lengths {
		n := int(length)
		if n == 0 {
			continue
		}
		e := entry(uint32(symbol)) + uint32(n<<lengthShift+n)
		at := int(bits.Reverse16(uint16(next[n])) >> (16 - n))
		next[n]++
		part, step := table[:1<<root], 1<<n
		if n > root {
			second := int(table[at&(1<<root-1)] >> valueShift)
			part, step = table[second:second+1<<more], 1<<(n-root)
			at >>= root
		}
		for ; at < len(part); at += step {
			part[at] = e
		}
	}
	return true
}
