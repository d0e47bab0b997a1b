package untar

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
)

// blockSize is tar's unit: headers are one block, bodies are padded to it.
const blockSize = 512

// The fields of a header block (pax(1), "ustar Interchange Format"; GNU tar's
// tar.h for the bytes that GNU and star use otherwise).
const (
	offName     = 0
	offMode     = 100
	offUID      = 108
	offGID      = 116
	offSize     = 124
	offMtime    = 136
	offChecksum = 148
	offType     = 156
	offLink     = 157
	offMagic    = 257
	offUname    = 265
	offGname    = 297
	offMajor    = 329
	offMinor    = 337
	offPrefix   = 345

	offGNUSparse   = 386 // 4 pairs of offset and length, 12 bytes each
	offGNUExtended = 482 // not 0: another block of pairs follows
	offGNURealSize = 483

	offStarMagic = 508 // "tar\0": the prefix has 131 bytes, not 155
)

// Entry types as a header spells them.
const (
	TypeFile     = '0'
	TypeLink     = '1' // hard link
	TypeSymlink  = '2'
	TypeChar     = '3'
	TypeBlock    = '4'
	TypeDir      = '5'
	TypeFIFO     = '6'
	typeOld      = 0   // v7: a regular file
	typeCont     = '7' // contiguous file: a regular file everywhere today
	typePax      = 'x'
	typeGlobal   = 'g'
	typeSolaris  = 'X' // pax header of Solaris before POSIX.1-2001
	typeLongName = 'L'
	typeLongLink = 'K'
	typeSparse   = 'S' // old GNU sparse file
	typeDumpDir  = 'D' // directory of a GNU incremental archive; the body lists names
	typeVolume   = 'V' // volume label
	typeMulti    = 'M' // rest of a file that began in another volume
	typeOldNames = 'N' // GNU's long names before 'L', with file names to rename
)

// A format is what the magic bytes say; it decides what bytes 345 to 511 mean.
type format uint8

const (
	formatV7    format = iota
	formatUSTAR        // also pax: its headers are ustar headers
	formatGNU          // no prefix: bytes 345 on are access and change times
	formatStar
)

func formatOf(b []byte) format {
	switch magic := b[offMagic : offMagic+8]; {
	case string(magic) == "ustar  \x00":
		return formatGNU
	case string(magic[:6]) != "ustar\x00":
		return formatV7 // any other sixth byte, too: so GNU tar; bsdtar sees ustar
	case string(b[offStarMagic:offStarMagic+4]) == "tar\x00":
		return formatStar
	}
	return formatUSTAR
}

// isZero reports whether the block is all zeros, as end-of-archive blocks are.
func isZero(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		if binary.NativeEndian.Uint64(b) != 0 {
			return false
		}
	}
	return true
}

// checksumOK compares the block's sum, with the checksum field taken as blanks,
// with the field. Historic tars summed signed bytes; either sum will do.
func checksumOK(b []byte, strict bool) bool {
	want, err := number(b[offChecksum:offChecksum+8], strict)
	if err != nil {
		return false
	}
	// Eight bytes at a time, in four lanes of 16 bits: 128 bytes of at most
	// 255 each can't overflow a lane.
	const lanes = 0x00ff00ff00ff00ff
	var sum uint64
	for i := 0; i < blockSize; i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		sum += w&lanes + w>>8&lanes
	}
	unsigned := int64(sum&0xffff + sum>>16&0xffff + sum>>32&0xffff + sum>>48)
	for _, c := range b[offChecksum : offChecksum+8] {
		unsigned += ' ' - int64(c)
	}
	if unsigned == want {
		return true
	}
	signed := int64(0)
	for i, c := range b[:blockSize] {
		if i >= offChecksum && i < offChecksum+8 {
			c = ' '
		}
		signed += int64(int8(c))
	}
	return signed == want
}

var (
	errNumber = errors.New("bad number")
	errRange  = errors.New("number out of range")
)

// number reads a numeric field: octal digits between blanks or NULs, or GNU's
// base-256 (first byte 0x80, or 0xff for a negative number). A field without
// digits is 0: many writers leave fields that they don't use empty.
//
// As GNU tar does, it passes over one NUL in front, which a historic tar wrote,
// and ends the number at the next blank or NUL. Readers differ about digits
// after that, so strict refuses them.
func number(b []byte, strict bool) (int64, error) {
	switch b[0] {
	case 0x80:
		return base256(b[1:], 0)
	case 0xff:
		return base256(b[1:], 0xff)
	case 0:
		b = b[1:]
	}
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	v, i := int64(0), 0
	for ; i < len(b) && '0' <= b[i] && b[i] <= '7'; i++ {
		v = v<<3 | int64(b[i]-'0') // 12 digits are 36 bits at most
	}
	for _, c := range b[i:] {
		if c != ' ' && c != 0 {
			return 0, errNumber
		}
		if !strict {
			break
		}
	}
	return v, nil
}

// base256 reads a big-endian two's complement number whose bytes above these
// are all fill.
func base256(b []byte, fill byte) (int64, error) {
	for len(b) > 8 {
		if b[0] != fill {
			return 0, errRange
		}
		b = b[1:]
	}
	var v uint64
	if fill == 0xff {
		v = math.MaxUint64
	}
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	if int64(v) < 0 != (fill == 0xff) {
		return 0, errRange
	}
	return int64(v), nil
}

// text returns a field's bytes up to the first NUL.
func text(b []byte) []byte {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		return b[:i]
	}
	return b
}
