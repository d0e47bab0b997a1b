//go:build !(amd64 || arm64) || noasm

package xz

import (
	"encoding/binary"
	"hash"
)

// A tableCRC64 is a hash.Hash that computes CRC64 (ECMA-182, reversed) with tables, four bytes
// at a step. Most processors that need it have registers of 32 bits, for which hash/crc64 takes
// half as many instructions again: so sum and tables are in halves.
type tableCRC64 struct {
	low, high uint32 // first: their offsets must fit into ARM's instructions
	tables    [4]crcTable
}

// A crcTable has for each byte the sum of that byte and of a number of zeros after it: none in
// tableCRC64.tables[0], three in tables[3].
type crcTable [256]struct{ low, high uint32 }

// newCRC64 returns the hash of checkCRC64.
func newCRC64() hash.Hash {
	h := new(tableCRC64)
	for i := range 256 {
		v := uint64(i)
		for k := range h.tables {
			for range 8 {
				v = v>>1 ^ 0xc96c5795d7870f42&-(v&1)
			}
			h.tables[k][i].low, h.tables[k][i].high = uint32(v), uint32(v>>32)
		}
	}
	return h
}

func (h *tableCRC64) Size() int      { return 8 }
func (h *tableCRC64) BlockSize() int { return 1 }
func (h *tableCRC64) Reset()         { h.low, h.high = 0, 0 }

func (h *tableCRC64) Sum(b []byte) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, h.high), h.low)
}

func (h *tableCRC64) Write(p []byte) (int, error) {
	size := len(p)
	h.low, h.high = ^h.low, ^h.high
	if n := size &^ 7; n > 0 {
		h.add(p[:n])
		p = p[n:]
	}
	for _, v := range p {
		t := &h.tables[0][byte(h.low)^v]
		h.low, h.high = h.low>>8^h.high<<24^t.low, h.high>>8^t.high
	}
	h.low, h.high = ^h.low, ^h.high
	return size, nil
}
