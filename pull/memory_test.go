package pull

import (
	"errors"
	"testing"

	"lxc-pull/untar/xz"
)

// A Memory bounds the program, not its decoder alone, also in what is said.
func TestMemory(t *testing.T) {
	for _, c := range []struct{ memory, decoder int64 }{
		{0, 0}, {24 << 20, 12 << 20}, {ownMemory, 1}, {1, 1},
	} {
		if got := Memory(c.memory).Decoding().Memory; got != c.decoder {
			t.Errorf("%d bytes leave the decoder %d, want %d", c.memory, got, c.decoder)
		}
	}
	var short *xz.MemoryError
	err := Memory(16 << 20).explain(&xz.MemoryError{Needed: 8 << 20, Allowed: 4 << 20})
	if !errors.As(err, &short) || *short != (xz.MemoryError{Needed: 20 << 20, Allowed: 16 << 20}) {
		t.Errorf("the error is %v", err)
	}
}
