//go:build !(amd64 || arm64 || arm.6) || noasm

package xz

// add adds p to the sum. Its length is a multiple of 8.
func (h *tableCRC64) add(p []byte) {
	t0, t1, t2, t3 := &h.tables[0], &h.tables[1], &h.tables[2], &h.tables[3]
	low, high := h.low, h.high
	for ; len(p) >= 8; p = p[8:] {
		a, b, c, d := &t3[byte(low)^p[0]], &t2[byte(low>>8)^p[1]], &t1[byte(low>>16)^p[2]], &t0[byte(low>>24)^p[3]]
		low = high ^ a.low ^ b.low ^ c.low ^ d.low
		high = a.high ^ b.high ^ c.high ^ d.high
		a, b, c, d = &t3[byte(low)^p[4]], &t2[byte(low>>8)^p[5]], &t1[byte(low>>16)^p[6]], &t0[byte(low>>24)^p[7]]
		low = high ^ a.low ^ b.low ^ c.low ^ d.low
		high = a.high ^ b.high ^ c.high ^ d.high
	}
	h.low, h.high = low, high
}
