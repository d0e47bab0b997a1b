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

// firstNonCritical is the first packet type that a reader may pass over
// without knowing it (RFC 9580, section 4.3: 40 to 63 are non-critical).
const firstNonCritical = 40

var (
	errTruncated = errors.New("truncated packet")
	errNoPacket  = errors.New("not an OpenPGP packet")
	errStreamed  = errors.New("packet of partial or indeterminate length")
)

// A packet is one element of an OpenPGP file; body is a slice of the file.
type packet struct {
	tag  byte
	body []byte
}

// nextPacket splits the first packet off data. Lengths that are not known
// beforehand are refused: no key or signature needs one, and they are a way of
// saying the same bytes twice.
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
	case head&0x80 != 0: // section 4.2.2, the old format
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

// fields reads a packet body from front to back. After the first read past the
// end, short is set and everything read is zero, so that a parser checks once.
type fields struct {
	b     []byte
	short bool
}

// take returns the next n bytes, as a slice of the body. n is as the file has
// it: up to 4 GiB, which an int of 32 bits doesn't hold.
func (f *fields) take(n uint32) []byte {
	if f.short || uint64(n) > uint64(len(f.b)) {
		f.short, f.b = true, nil
		return nil
	}
	part := f.b[:n:n]
	f.b = f.b[n:]
	return part
}

func (f *fields) u8() byte {
	if b := f.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (f *fields) u16() uint16 {
	if b := f.take(2); b != nil {
		return uint16(b[0])<<8 | uint16(b[1])
	}
	return 0
}

func (f *fields) u32() uint32 {
	if b := f.take(4); b != nil {
		return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	}
	return 0
}

// mpi reads a multiprecision integer (RFC 9580, section 3.2) and returns its
// big-endian bytes. Its length must count from the highest bit that is set, as
// the RFC demands of version 6: else one signature had many spellings.
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

// scalar reads one of the two numbers of an EdDSA signature. GnuPG's betas of
// 2014 gave all of them 256 bits, leading zeros and all; subkeys still in use
// have agreed to their bindings so.
func (f *fields) scalar() []byte {
	if len(f.b) >= 2 && f.b[0] == 1 && f.b[1] == 0 {
		f.u16()
		return f.take(32)
	}
	return f.mpi()
}

// done says whether everything was read, and nothing was missing.
func (f *fields) done() bool { return !f.short && len(f.b) == 0 }
