//go:build noasm || nounsafe || !(amd64 || arm.6 || arm64)

package xz

// decode is decodeGo on processors for which there is no assembly.
func (z *lzma) decode(w *window, input []byte, b bounds) (int, status) {
	return z.decodeGo(w, input, b.inPos, b.inEnd, b.stop, b.end)
}
