package pull

import (
	"errors"

	"lxc-pull/untar"
	"lxc-pull/untar/xz"
)

// A Memory is how many bytes of memory the whole program may take; 0 leaves the decoder
// its own limit.
type Memory int64

// ownMemory is how many bytes a run takes besides the decoder's dictionary and blocks: the
// program itself, TLS, the garbage collector's reserve, the buffers between stages. 13 MiB
// were measured; a third of them are pages of the program's file, which the kernel may
// drop.
const ownMemory = 12 << 20

// Decoding returns the options for decompressing an image. The decoder gets the bytes of m
// that the rest of the program does not need.
func (m Memory) Decoding() untar.DecompressOptions {
	opt := untar.DecompressOptions{Strict: true} // an image with other bytes at its end is damaged
	if m > 0 {
		opt.Memory = max(int64(m)-ownMemory, 1)
	}
	return opt
}

// explain changes the numbers in a decoder's *xz.MemoryError to those of the whole program,
// which is what the user has limited.
func (m Memory) explain(err error) error {
	var short *xz.MemoryError
	if m > 0 && errors.As(err, &short) && short.Needed > 0 && short.Allowed != int64(m) {
		short.Needed += ownMemory
		short.Allowed = int64(m)
	}
	return err
}
