package xz

import (
	"io"
	"os"
	"testing"
)

// BenchmarkReader decodes the file that XZ_BENCH names, on one core.
func BenchmarkReader(b *testing.B) {
	name := os.Getenv("XZ_BENCH")
	if name == "" {
		b.Skip("XZ_BENCH names no file")
	}
	for b.Loop() {
		f, err := os.Open(name)
		if err != nil {
			b.Fatal(err)
		}
		r, err := NewReader(f, Options{Workers: 1})
		if err != nil {
			b.Fatal(err)
		}
		n, err := r.WriteTo(io.Discard)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(n)
		r.Close()
		f.Close()
	}
}
