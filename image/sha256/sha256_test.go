package sha256

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"math/rand/v2"
	"testing"
)

// random returns n bytes. The same seed gives the same bytes.
func random(seed uint64, n int) []byte {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	p := make([]byte, n)
	rand.NewChaCha8(key).Read(p)
	return p
}

// write writes p in parts, whose sizes come from sizes, modulo 200, and then the rest. After
// each part it compares the sums, as crypto/sha256 computes them.
func write(t *testing.T, h hash.Hash, p, sizes []byte) {
	t.Helper()
	want := sha256.New()
	for done := 0; ; {
		n := len(p) - done
		if len(sizes) > 0 {
			n = min(n, int(sizes[0])%200)
			sizes = sizes[1:]
		}
		if k, err := h.Write(p[done : done+n]); k != n || err != nil {
			t.Fatalf("Write of %d bytes: %d, %v", n, k, err)
		}
		want.Write(p[done : done+n])
		done += n
		if got, want := h.Sum([]byte("before")), want.Sum([]byte("before")); !bytes.Equal(got, want) {
			t.Fatalf("after %d of %d bytes: %x, want %x", done, len(p), got, want)
		}
		if done == len(p) {
			return
		}
	}
}

// New computes the sums of crypto/sha256: for all lengths and alignments, after Reset, and
// whatever the sizes of the writes are.
func TestSums(t *testing.T) {
	h := New()
	if h.Size() != sha256.Size || h.BlockSize() != sha256.BlockSize {
		t.Errorf("size %d, block size %d", h.Size(), h.BlockSize())
	}
	for n := range 301 {
		h.Reset()
		p := random(uint64(n), n+4)[n%4:]
		write(t, h, p[:n:n], nil)
	}
	for seed := range uint64(300) {
		h.Reset()
		write(t, h, random(seed, int(seed*seed%5000)), random(seed+1000, int(seed%50)))
	}
	h = New()
	write(t, h, random(1, 1<<20), nil)
}

// Bytes of ones carry in every addition.
func TestOnes(t *testing.T) {
	h := New()
	write(t, h, bytes.Repeat([]byte{0xff}, 1000), nil)
}

// FuzzSums compares the sums with those of crypto/sha256. sizes are the sizes of the writes.
func FuzzSums(f *testing.F) {
	f.Add([]byte(nil), []byte(nil))
	f.Add([]byte("abc"), []byte{1})
	f.Add(random(2, 64*3+56), []byte{63, 65, 0, 1})
	f.Fuzz(func(t *testing.T, p, sizes []byte) { write(t, New(), p, sizes) })
}
