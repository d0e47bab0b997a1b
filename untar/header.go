package untar

import (
	"bytes"
	"encoding/binary"
	"math"
)

// blockSize is the unit of a tar archive in bytes. A header is one block, and bodies are
// padded to full blocks.
const blockSize = 512

// Offsets of the fields in a header block (pax(1), "ustar Interchange Format"; tar.h of
// GNU tar for the fields that GNU and star define differently).
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

	offGNUSparse   = 386 // 4 pairs of offset and length, each number 12 bytes
	offGNUExtended = 482 // if not 0, a block with more pairs follows
	offGNURealSize = 483

	offStarMagic = 508 // if "tar\0", the prefix has 131 bytes instead of 155
)

// Entry types: the type bytes of a header.
const (
	TypeFile     = '0'
	TypeLink     = '1' // hard link
	TypeSymlink  = '2'
	TypeChar     = '3'
	TypeBlock    = '4'
	TypeDir      = '5'
	TypeFIFO     = '6'
	typeOld      = 0   // v7: a regular file
	typeCont     = '7' // contiguous file: treated as a regular file
	typePax      = 'x'
	typeGlobal   = 'g'
	typeSolaris  = 'X' // pax header of Solaris before POSIX.1-2001
	typeLongName = 'L'
	typeLongLink = 'K'
	typeSparse   = 'S' // old GNU sparse file
	typeDumpDir  = 'D' // directory in a GNU incremental archive; its body is a list of names
	typeVolume   = 'V' // volume label
	typeMulti    = 'M' // continuation of a file from another volume
	typeOldNames = 'N' // long names in old GNU archives, before 'L'
)

// A format is the header format, identified by the magic bytes. It defines the meaning of
// bytes 345 to 511.
type format uint8

const (
	formatV7    format = iota
	formatUSTAR        // also pax, which uses ustar headers
	formatGNU          // no prefix: the access and change times are at byte 345
	formatStar
)

// formatOf returns the format of a header block.
func formatOf(b []byte) format {
	switch magic := b[offMagic : offMagic+8]; {
	case string(magic) == "ustar  \x00":
		return formatGNU
	case string(magic[:6]) != "ustar\x00":
		return formatV7 // "ustar" with another sixth byte is v7 for GNU tar, ustar for bsdtar
	case string(b[offStarMagic:offStarMagic+4]) == "tar\x00":
		return formatStar
	}
	return formatUSTAR
}

// isZero reports whether all bytes of a block are zero, as in an end-of-archive block.
func isZero(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		if binary.NativeEndian.Uint64(b) != 0 {
			return false
		}
	}
	return true
}

// checksumOK compares the sum of all bytes, with the checksum field read as blanks, with
// that field. Historic tar programs summed signed bytes, so either sum is accepted.
func checksumOK(b []byte, strict bool) bool {
	want, err := number(b[offChecksum:offChecksum+8], strict)
	if err != nil {
		return false
	}
	// Add eight bytes at a time, in four lanes of 16 bits. A lane adds 128 bytes of at most
	// 255, so it can't overflow.
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
	errNumber error = textError("bad number")
	errRange  error = textError("number out of range")
)

// number parses a numeric field: octal digits between blanks or NULs, or GNU's base-256
// (first byte 0x80, or 0xff for a negative number). A field without digits is 0, since many
// programs leave unused fields empty.
//
// Like GNU tar, it skips one leading NUL, which a historic tar wrote, and stops at the next
// blank or NUL. Programs read digits after that differently, so strict refuses them.
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
		v = v<<3 | int64(b[i]-'0') // at most 12 digits, 36 bits
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

// base256 parses a big-endian two's complement number. It fits in 64 bits if all bytes
// before the last eight equal fill.
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

// text returns the bytes of a field before its first NUL.
func text(b []byte) []byte {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		return b[:i]
	}
	return b
}
