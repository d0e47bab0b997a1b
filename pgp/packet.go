package pgp

import "errors"

// Packet type ids (RFC 9580, section 5).
const (
	tagSignature     = 2
	tagOnePass       = 4
	tagSecretKey     = 5
	tagPublicKey     = 6
	tagSecretSubkey  = 7
	tagMarker        = 10
	tagUserID        = 13
	tagPublicSubkey  = 14
	tagUserAttribute = 17
	tagPadding       = 21
)

// firstNonCritical is the first of the packet types, 40 to 63, that a reader may ignore if
// it does not know them (RFC 9580, section 4.3).
const firstNonCritical = 40

var (
	errTruncated = errors.New("truncated packet")
	errNoPacket  = errors.New("not an OpenPGP packet")
	errStreamed  = errors.New("packet of partial or indeterminate length")
)

// A packet is one packet of an OpenPGP file; body is a slice of the file.
type packet struct {
	tag  byte
	body []byte
}

// nextPacket splits the first packet off data. It refuses partial and indeterminate
// lengths: keys and signatures don't need them, and with them the same packet could be
// encoded in several ways.
func nextPacket(data []byte) (p packet, rest []byte, err error) {
	f := fields{b: data}
	head := f.u8()
	var n uint32
	switch {
	case head&0xc0 == 0xc0: // RFC 9580, section 4.2.1
		p.tag = head & 0x3f
		switch first := f.u8(); {
		case first < 192:
			n = uint32(first)
		case first < 224:
			n = uint32(first-192)<<8 + uint32(f.u8()) + 192
		case first == 255:
			n = f.u32()
		default:
			return p, nil, errStreamed
		}
	case head&0x80 != 0: // section 4.2.2, the legacy format
		p.tag = head >> 2 & 0x0f
		switch head & 3 {
		case 0:
			n = uint32(f.u8())
		case 1:
			n = uint32(f.u16())
		case 2:
			n = f.u32()
		default:
			return p, nil, errStreamed
		}
	default:
		return p, nil, errNoPacket
	}
	if p.tag == 0 && !f.short {
		return p, nil, errNoPacket
	}
	p.body = f.take(n)
	if f.short {
		return p, nil, errTruncated
	}
	return p, f.b, nil
}

// fields reads the fields of a packet body from front to back. After the first read past the
// end short is set and all reads return zero, so a parser checks short once, at the end.
type fields struct {
	b     []byte
	short bool
}

// take returns the next n bytes, as a slice of the body. n may come from the file and be up
// to 4 GiB, which is too large for an int of 32 bits.
func (f *fields) take(n uint32) []byte {
	if f.short || uint64(n) > uint64(len(f.b)) {
		f.short, f.b = true, nil
		return nil
	}
	part := f.b[:n:n]
	f.b = f.b[n:]
	return part
}

// u8 reads one byte.
func (f *fields) u8() byte {
	if b := f.take(1); b != nil {
		return b[0]
	}
	return 0
}

// u16 reads two bytes in big-endian order.
func (f *fields) u16() uint16 {
	if b := f.take(2); b != nil {
		return uint16(b[0])<<8 | uint16(b[1])
	}
	return 0
}

// u32 reads four bytes in big-endian order.
func (f *fields) u32() uint32 {
	if b := f.take(4); b != nil {
		return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	}
	return 0
}

// mpi reads a multiprecision integer (RFC 9580, section 3.2) and returns its bytes in
// big-endian order. The length must count from the highest bit that is set, which the RFC
// requires for version 6. Otherwise one signature would have many encodings.
func (f *fields) mpi() []byte {
	bits := uint32(f.u16())
	b := f.take((bits + 7) / 8)
	if f.short || bits == 0 {
		return b
	}
	if b[0]>>((bits-1)%8) != 1 {
		f.short, f.b = true, nil
		return nil
	}
	return b
}

// scalar reads one of the two numbers of an EdDSA signature. Beta versions of GnuPG in 2014
// wrote all 256 bits, with leading zeros; subkeys still in use have primary key binding
// signatures of that form.
func (f *fields) scalar() []byte {
	if len(f.b) >= 2 && f.b[0] == 1 && f.b[1] == 0 {
		f.u16()
		return f.take(32)
	}
	return f.mpi()
}

// done reports whether all bytes were read and none were missing.
func (f *fields) done() bool { return !f.short && len(f.b) == 0 }
