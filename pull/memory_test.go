package pull

import (
	"errors"
	"testing"

	"lxc-pull/untar/xz"
)

// A Memory limits the whole program, not only its decoder, and errors say so.
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
	// Said once, and only of a limit that the user set.
	if again := Memory(16 << 20).explain(err); !errors.As(again, &short) || short.Needed != 20<<20 {
		t.Errorf("explained twice: %v", again)
	}
	for _, c := range []struct {
		memory Memory
		short  xz.MemoryError
	}{{0, xz.MemoryError{Needed: 8 << 20, Allowed: 4 << 20}}, {16 << 20, xz.MemoryError{Allowed: 4 << 20}}} {
		same := c.short
		if err := c.memory.explain(&same); err != error(&same) || same != c.short {
			t.Errorf("%d bytes: %v", c.memory, err)
		}
	}
	if other := errors.New("x"); Memory(1).explain(other) != other || Memory(1).explain(nil) != nil {
		t.Error("another error is changed")
	}
}
