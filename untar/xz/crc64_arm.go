//go:build arm.6 && !noasm

package xz

// add adds p to the sum. Its length is a multiple of 8, and not 0.
func (h *tableCRC64) add(p []byte) { addCRC64(h, &p[0], len(p)) }

// addCRC64 is add in assembly (crc64_arm.s), in half as many instructions as the compiler's.
//
//go:noescape
func addCRC64(h *tableCRC64, p *byte, n int)
