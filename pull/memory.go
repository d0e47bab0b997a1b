package pull

import (
	"errors"

	"lxc-pull/untar"
	"lxc-pull/untar/xz"
)

// A Memory is how many bytes the whole program may take; 0: as many as the decoder
// thinks fit.
type Memory int64

// ownMemory is what a run takes besides the decoder's dictionary and blocks, in bytes:
// the program itself, TLS, the garbage collector's room, the buffers between stages.
// 13 MiB were measured, a third of it pages of the program's file that the kernel may
// drop.
const ownMemory = 12 << 20

// Decoding returns how an image is decompressed, with what is left to the decoder.
func (m Memory) Decoding() untar.DecompressOptions {
	how := untar.DecompressOptions{Strict: true} // an image with garbage behind it is damaged
	if m > 0 {
		how.Memory = max(int64(m)-ownMemory, 1)
	}
	return how
}

// explain makes the error of a decoder that wants more memory speak of the whole
// program, whose memory the user has set.
func (m Memory) explain(err error) error {
	var short *xz.MemoryError
	if m > 0 && errors.As(err, &short) && short.Needed > 0 && short.Allowed != int64(m) {
		short.Needed += ownMemory
		short.Allowed = int64(m)
	}
	return err
}
