package main

import (
	"errors"
	"testing"

	"lxc-pull/untar/xz"
)

// --memory bounds the program, not its decoder alone, also in what is said.
func TestMemoryOption(t *testing.T) {
	for _, c := range []struct{ memory, decoder int64 }{
		{0, 0}, {24 << 20, 12 << 20}, {ownMemory, 1}, {1, 1},
	} {
		o := &options{memory: c.memory}
		if got := o.decoding().Memory; got != c.decoder {
			t.Errorf("--memory %d leaves the decoder %d, want %d", c.memory, got, c.decoder)
		}
	}
	o := &options{memory: 16 << 20}
	var short *xz.MemoryError
	err := o.wholeMemory(&xz.MemoryError{Needed: 8 << 20, Allowed: 4 << 20})
	if !errors.As(err, &short) || *short != (xz.MemoryError{Needed: 20 << 20, Allowed: 16 << 20}) {
		t.Errorf("the error is %v", err)
	}
}
