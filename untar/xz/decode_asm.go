//go:build (amd64 || arm.6 || arm64) && !noasm && !nounsafe

package xz

import "unsafe"

// decode is decodeGo in assembly: for whatever input it returns the same position and status, and
// leaves the same state and the same bytes.
func (z *lzma) decode(w *window, input []byte, b bounds) (int, status) {
	base := unsafe.Pointer(unsafe.SliceData(input))
	z.last = uintptr(base) + uintptr(b.inEnd)
	z.stop, z.end = b.stop, b.end
	next, result := decodeSymbols(z, w, (*byte)(unsafe.Add(base, b.inPos)), uint32(w.last()))
	return int(next - uintptr(base)), result
}

// decodeSymbols decodes from in on, within the bounds z.last, z.stop and z.end. prev is the
// byte before the window's pos, or 0. It returns the address of the next byte of the input.
// (decode_amd64.s, decode_arm.s, decode_arm64.s)
//
//go:noescape
func decodeSymbols(z *lzma, w *window, in *byte, prev uint32) (next uintptr, result status)
