//go:build !noasm

package xz

import (
	"hash"
	"hash/crc64"

	"golang.org/x/sys/cpu"
)

// The CRC64 of the standard library goes by tables, which is 7 % of the time
// that decoding takes. Multiplication without carries folds 64 bytes into what
// the 64 before them come to, six times as fast; the 16 bytes that are left in
// the end have the same CRC as all that was folded, and are left to the tables.
//
// fold512 and fold128 are x to the powers of the distance in bits and 63, and
// of the distance less 1, modulo the polynomial, bits reversed.
var (
	fold512 = [2]uint64{0x6ae3efbb9dd441f3, 0x081f6054a7842df4}
	fold128 = [2]uint64{0xe05dd497ca393ae4, 0xdabe95afc7875f40}
)

//go:noescape
func foldCRC64(rest *[16]byte, p *byte, n int, crc uint64)

// newCRC64 is the hash of checkCRC64.
func newCRC64() hash.Hash {
	tables := crc64.MakeTable(crc64.ECMA)
	if !cpu.X86.HasPCLMULQDQ {
		return crc64.New(tables)
	}
	return &foldingCRC64{tables: tables}
}

type foldingCRC64 struct {
	crc    uint64
	tables *crc64.Table
}

func (f *foldingCRC64) Size() int      { return crc64.Size }
func (f *foldingCRC64) BlockSize() int { return 1 }
func (f *foldingCRC64) Reset()         { f.crc = 0 }

func (f *foldingCRC64) Sum(b []byte) []byte {
	for shift := 56; shift >= 0; shift -= 8 {
		b = append(b, byte(f.crc>>shift))
	}
	return b
}

func (f *foldingCRC64) Write(p []byte) (int, error) {
	size := len(p)
	if n := size &^ 63; n >= 128 {
		var rest [16]byte
		foldCRC64(&rest, &p[0], n, ^f.crc)
		f.crc = crc64.Update(^uint64(0), f.tables, rest[:])
		p = p[n:]
	}
	f.crc = crc64.Update(f.crc, f.tables, p)
	return size, nil
}
