package xz

import "encoding/binary"

// Filter identifiers (xz file format, section 5.3). ARM64 and RISC-V are in version
// 1.2.1 of the format and not in 1.0.
const (
	filterDelta    = 0x03
	filterX86      = 0x04
	filterPowerPC  = 0x05
	filterIA64     = 0x06
	filterARM      = 0x07
	filterARMThumb = 0x08
	filterSPARC    = 0x09
	filterARM64    = 0x0a
	filterRISCV    = 0x0b
	filterLZMA2    = 0x21
)

// filterName returns xz(1)'s name of a filter, or "" for an unknown filter.
func filterName(id int64) string {
	switch id {
	case filterDelta:
		return "delta"
	case filterX86:
		return "x86"
	case filterPowerPC:
		return "powerpc"
	case filterIA64:
		return "ia64"
	case filterARM:
		return "arm"
	case filterARMThumb:
		return "armthumb"
	case filterSPARC:
		return "sparc"
	case filterARM64:
		return "arm64"
	case filterRISCV:
		return "riscv"
	case filterLZMA2:
		return "lzma2"
	}
	return ""
}

// alignment returns the alignment in bytes of the instructions that a branch filter
// converts.
func alignment(id int64) uint32 {
	switch id {
	case filterPowerPC, filterARM, filterSPARC, filterARM64:
		return 4
	case filterARMThumb, filterRISCV:
		return 2
	case filterIA64:
		return 16
	}
	return 1
}

// A filter undoes one filter of a block's filter chain. Before compression, a branch filter
// made the relative targets of calls and jumps absolute, so that all calls of one function
// have the same bytes; undoing it makes them relative again.
type filter struct {
	id  int64
	pos uint32 // branch filters: the address of the next byte

	// x86 only: which of the last bytes may have been an opcode, and the address of the
	// last one.
	mask   uint32
	opcode uint32

	// Delta only.
	distance int
	history  [256]byte // the last 256 bytes of output; byte n of the output is at n modulo 256
	at       byte      // where the next byte goes
}

// reset prepares the filter for a new block, whose first byte has the address start.
func (f *filter) reset(start uint32) {
	f.pos, f.mask, f.opcode = start, 0, start-5
	f.history, f.at = [256]byte{}, 0
}

// undo converts b in place and returns how many bytes are finished. The caller passes the
// others again, followed by more; at the end of the block they stay as they are.
func (f *filter) undo(b []byte) int {
	n := 0
	switch f.id {
	case filterDelta:
		f.delta(b)
		return len(b)
	case filterX86:
		n = f.x86(b)
	case filterPowerPC:
		n = powerPC(b, f.pos)
	case filterIA64:
		n = ia64(b, f.pos)
	case filterARM:
		n = arm(b, f.pos)
	case filterARMThumb:
		n = armThumb(b, f.pos)
	case filterSPARC:
		n = sparc(b, f.pos)
	case filterARM64:
		n = arm64(b, f.pos)
	case filterRISCV:
		n = riscV(b, f.pos)
	}
	f.pos += uint32(n)
	return n
}

// delta adds to each byte the byte of output that is distance before it.
func (f *filter) delta(b []byte) {
	back := byte(f.distance)
	for i := range b {
		b[i] += f.history[f.at-back]
		f.history[f.at] = b[i]
		f.at++
	}
}

// x86 converts the operands of the opcodes E8 (call) and E9 (jmp), which may be at any
// address. Many such bytes are not opcodes. So x86 converts only operands whose highest
// byte is 00 or FF, and skips an opcode if certain of the three bytes before it may be
// opcodes, too. The rules are those of liblzma's simple/x86.c.
func (f *filter) x86(b []byte) int {
	sign := func(c byte) bool { return c == 0 || c == 0xff }
	if len(b) < 5 {
		return 0
	}
	mask := f.mask
	if f.pos-f.opcode > 5 {
		f.opcode = f.pos - 5
	}
	i := 0
	for i <= len(b)-5 {
		if b[i]&0xfe != 0xe8 {
			i++
			continue
		}
		here := f.pos + uint32(i)
		gap := here - f.opcode
		f.opcode = here
		if gap > 5 {
			mask = 0
		} else {
			for range gap {
				mask = mask & 0x77 << 1
			}
		}
		before := mask >> 1
		if allowed := before < 3 || before == 4; !sign(b[i+4]) || !allowed {
			mask |= 1
			if sign(b[i+4]) {
				mask |= 0x10
			}
			i++
			continue
		}
		v := binary.LittleEndian.Uint32(b[i+1:]) - (here + 5)
		if mask != 0 {
			// The operand overlaps an opcode that was skipped. The encoder converted
			// the operand again until the byte there was neither 00 nor FF.
			shift := min(before, 3) * 8
			for sign(byte(v >> (24 - shift))) {
				v ^= 1<<(32-shift) - 1
				v -= here + 5
			}
		}
		v &= 1<<25 - 1
		v |= -(v >> 24 & 1) << 24
		binary.LittleEndian.PutUint32(b[i+1:], v)
		i += 5
		mask = 0
	}
	f.mask = mask
	return i
}

// powerPC converts the instruction bl.
func powerPC(b []byte, pos uint32) int {
	n := len(b) &^ 3
	for i := 0; i < n; i += 4 {
		v := binary.BigEndian.Uint32(b[i:])
		if v&0xfc000003 == 0x48000001 { // bl
			binary.BigEndian.PutUint32(b[i:], 0x48000001|(v-pos-uint32(i))&0x03fffffc)
		}
	}
	return n
}

// ia64 converts the branches in bundles of 16 bytes. A bundle has a template of 5 bits,
// which says which slots can hold a branch, and three slots of 41 bits.
func ia64(b []byte, pos uint32) int {
	const templates = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
		"\x04\x04\x06\x06\x00\x00\x07\x07\x04\x04\x00\x00\x04\x04\x00\x00"
	n := len(b) &^ 15
	for i := 0; i < n; i += 16 {
		branches := templates[b[i]&0x1f]
		for slot := range 3 {
			if branches>>slot&1 == 0 {
				continue
			}
			bit := 5 + 41*slot
			at, low := i+bit/8, bit%8
			var v uint64
			for j := range 6 {
				v |= uint64(b[at+j]) << (8 * j)
			}
			op := v >> low
			if op>>37&0xf != 5 || op>>9&7 != 0 {
				continue
			}
			target := uint32(op>>13&0xfffff|op>>36&1<<20) << 4
			target = (target - pos - uint32(i)) >> 4
			op &^= 0x8fffff << 13
			op |= uint64(target&0xfffff)<<13 | uint64(target>>20&1)<<36
			v = v&(1<<low-1) | op<<low
			for j := range 6 {
				b[at+j] = byte(v >> (8 * j))
			}
		}
	}
	return n
}

// arm converts the instruction bl without a condition.
func arm(b []byte, pos uint32) int {
	n := len(b) &^ 3
	for i := 0; i < n; i += 4 {
		if b[i+3] == 0xeb { // bl
			v := binary.LittleEndian.Uint32(b[i:])
			v = v<<2 - (pos + uint32(i) + 8)
			binary.LittleEndian.PutUint32(b[i:], 0xeb000000|v>>2&0xffffff)
		}
	}
	return n
}

// armThumb converts the instruction bl, which consists of two halves of 16 bits.
func armThumb(b []byte, pos uint32) int {
	i := 0
	for ; i <= len(b)-4; i += 2 {
		first, second := uint32(binary.LittleEndian.Uint16(b[i:])), uint32(binary.LittleEndian.Uint16(b[i+2:]))
		if first&0xf800 != 0xf000 || second&0xf800 != 0xf800 {
			continue
		}
		v := (first&0x7ff<<11 | second&0x7ff) << 1
		v = (v - (pos + uint32(i) + 4)) >> 1
		binary.LittleEndian.PutUint16(b[i:], uint16(0xf000|v>>11&0x7ff))
		binary.LittleEndian.PutUint16(b[i+2:], uint16(0xf800|v&0x7ff))
		i += 2
	}
	return i
}

// sparc converts the instruction call if its target fits 23 bits, its sign included.
func sparc(b []byte, pos uint32) int {
	n := len(b) &^ 3
	for i := 0; i < n; i += 4 {
		v := binary.BigEndian.Uint32(b[i:])
		if top := v >> 22; top != 0x100 && top != 0x1ff {
			continue
		}
		v = (v<<2 - (pos + uint32(i))) >> 2
		v = 0x40000000 | -(v>>22&1)<<22&0x3fffffff | v&0x3fffff
		binary.BigEndian.PutUint32(b[i:], v)
	}
	return n
}

// arm64 converts the instructions bl and adrp.
func arm64(b []byte, pos uint32) int {
	n := len(b) &^ 3
	for i := 0; i < n; i += 4 {
		v := binary.LittleEndian.Uint32(b[i:])
		pc := pos + uint32(i)
		switch {
		case v>>26 == 0x25: // bl
			v = 0x94000000 | (v-pc>>2)&0x03ffffff
		case v&0x9f000000 == 0x90000000: // adrp; converted if within 512 MiB
			page := v>>29&3 | v>>3&0x1ffffc
			if (page+0x20000)&0x1c0000 != 0 {
				continue
			}
			page -= pc >> 12
			v = v&0x9000001f | page&3<<29 | page&0x3fffc<<3 | -(page>>17&1)&0xe00000
		default:
			continue
		}
		binary.LittleEndian.PutUint32(b[i:], v)
	}
	return n
}

// riscV converts the instruction jal to ra or t0, and pairs of auipc and an instruction that
// uses its result. The encoder replaced such a pair by an auipc to x2, followed by the
// address in big-endian order. A pair that looked like the replacement from the start was
// stored in the form of an ordinary pair.
func riscV(b []byte, pos uint32) int {
	i := 0
	for ; i <= len(b)-8; i += 2 {
		pc := pos + uint32(i)
		switch {
		case b[i] == 0xef: // jal
			b1, b2, b3 := uint32(b[i+1]), uint32(b[i+2]), uint32(b[i+3])
			if b1&0x0d != 0 {
				continue
			}
			v := (b1&0xf0<<13 | b2<<9 | b3<<1) - pc
			b[i+1] = byte(b1&0x0f | v>>8&0xf0)
			b[i+2] = byte(v>>16&0x0f | v>>7&0x10 | v<<4&0xe0)
			b[i+3] = byte(v>>4&0x7f | v>>13&0x80)
			i += 4 - 2
		case b[i]&0x7f == 0x17: // auipc
			first, second := binary.LittleEndian.Uint32(b[i:]), binary.LittleEndian.Uint32(b[i+4:])
			if first&0xe80 != 0 { // neither x0 nor x2
				if (first<<8^(second-3))&0xf8003 != 0 {
					i += 6 - 2
					continue
				}
				v := first&0xfffff000 + second>>20
				first = 0x17 | 2<<7 | second<<12
				second = v
			} else {
				register := first >> 27
				if (first-0x3117)<<18 >= register&0x1d {
					i += 4 - 2
					continue
				}
				v := binary.BigEndian.Uint32(b[i+4:]) - pc
				second = first>>12 | v<<20
				first = 0x17 | register<<7 | (v+0x800)&0xfffff000
			}
			binary.LittleEndian.PutUint32(b[i:], first)
			binary.LittleEndian.PutUint32(b[i+4:], second)
			i += 8 - 2
		}
	}
	return i
}
