package xz

import (
	"bytes"
	"hash/crc64"
	"testing"
)

// newCRC64 gives the sums of the standard library, whatever the sizes of the writes are.
func TestCRC64(t *testing.T) {
	want := crc64.New(crc64.MakeTable(crc64.ECMA))
	got := newCRC64()
	for round := range uint64(3) {
		for n := range 600 {
			p := text(round, n)
			want.Write(p)
			if k, err := got.Write(p); k != n || err != nil {
				t.Fatalf("Write of %d bytes: %d, %v", n, k, err)
			}
			if !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
				t.Fatalf("after %d bytes more: %x, want %x", n, got.Sum(nil), want.Sum(nil))
			}
		}
		got.Reset()
		want.Reset()
	}
}
