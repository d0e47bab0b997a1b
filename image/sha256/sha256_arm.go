//go:build !noasm

package sha256

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
)

// New returns a new hash.Hash that computes the SHA-256 sum (FIPS 180-4).
func New() hash.Hash {
	d := new(digest)
	d.Reset()
	return d
}

// A digest is the state of a sum (FIPS 180-4, section 6.2).
type digest struct {
	h    [8]uint32
	rest [sha256.BlockSize]byte // the bytes after the last whole block
	n    uint64                 // how many bytes were written; n modulo the block size are in rest
}

func (d *digest) Size() int      { return Size }
func (d *digest) BlockSize() int { return sha256.BlockSize }

func (d *digest) Reset() {
	d.h = [8]uint32{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}
	d.n = 0
}

func (d *digest) Write(p []byte) (int, error) {
	size := len(p)
	begun := int(d.n % sha256.BlockSize)
	d.n += uint64(size)
	if begun > 0 {
		n := copy(d.rest[begun:], p)
		if p = p[n:]; begun+n < sha256.BlockSize {
			return size, nil
		}
		blocks(&d.h, &d.rest[0], sha256.BlockSize)
	}
	if n := len(p) &^ (sha256.BlockSize - 1); n > 0 {
		blocks(&d.h, &p[0], n)
		p = p[n:]
	}
	copy(d.rest[:], p)
	return size, nil
}

// Sum appends the sum of the bytes so far to b. More bytes can follow: Sum pads a copy.
func (d *digest) Sum(b []byte) []byte {
	end := *d
	padding := [sha256.BlockSize + 8]byte{0x80}
	// one byte, zeros until 8 bytes are missing to a whole block, and the number of bits
	zeros := (sha256.BlockSize*2 - 9 - int(d.n%sha256.BlockSize)) % sha256.BlockSize
	binary.BigEndian.PutUint64(padding[1+zeros:], d.n<<3)
	end.Write(padding[:1+zeros+8])
	for _, v := range end.h {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// blocks adds n bytes at p to the sum h. n is a multiple of the block size, and not 0.
// (sha256_arm.s)
//
//go:noescape
func blocks(h *[8]uint32, p *byte, n int)

// constants has the first 32 bits of the fractional parts of the cube roots of the first 64
// primes.
var constants = [64]uint32{
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
}
