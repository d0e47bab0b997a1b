package pull

import "lxc-pull/untar"

// A Memory is how many bytes of memory the whole program may take; 0 leaves the decoder
// its own limit.
type Memory int64

// ownMemory is how many bytes a run takes besides the decoder's dictionary and blocks: the
// program itself, TLS, the garbage collector's reserve, the buffers between stages. 13 MiB
// were measured; a third of them are pages of the program's file, which the kernel may
// drop.
const ownMemory = 12 << 20

// usualAhead is how many bytes of a container image's layers are kept in memory before their
// turn: at 8 MB/s what arrives while a small layer is unpacked.
const usualAhead = 16 << 20

// ahead returns how many bytes of layers may be kept in memory before their turn.
func (m Memory) ahead() int64 {
	if m == 0 {
		return usualAhead
	}
	return max(0, min(usualAhead, int64(m-ownMemory)/4))
}

// Decoding returns the options for decompressing an image. The decoder gets the bytes of m
// that the rest of the program does not need, and its errors have the numbers of the whole
// program, which is what the user has limited.
func (m Memory) Decoding() untar.DecompressOptions {
	opt := untar.DecompressOptions{Strict: true} // an image with other bytes at its end is damaged
	switch {
	case m == ownMemory:
		opt.Memory, opt.Overhead = -1, ownMemory+1 // 0 would be the decoder's own limit
	case m > 0:
		opt.Memory, opt.Overhead = int64(m)-ownMemory, ownMemory
	}
	return opt
}
