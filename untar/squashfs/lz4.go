package squashfs

const errLZ4 = "bad lz4 data"

// decodeLZ4 decodes a block (lz4's doc/lz4_Block_format.md) to dst and returns its size. A block
// is a list of sequences: a token with two lengths of four bits, which more bytes extend, bytes
// to copy, the distance of a match and the match, which the last sequence does not have.
func decodeLZ4(dst, src []byte) (int, error) {
	n, i := 0, 0
	for i < len(src) {
		token := int(src[i])
		i++
		size := 0
		var ok bool
		if size, i, ok = lengthLZ4(token>>4, src, i); !ok || size > len(src)-i {
			return 0, textError(errLZ4)
		}
		if size > len(dst)-n {
			return 0, textError(errTooLong)
		}
		n += copy(dst[n:], src[i:i+size])
		if i += size; i == len(src) {
			return n, nil
		}
		if len(src)-i < 2 {
			return 0, textError(errLZ4)
		}
		distance := int(src[i]) | int(src[i+1])<<8
		if size, i, ok = lengthLZ4(token&15, src, i+2); !ok || distance == 0 || distance > n {
			return 0, textError(errLZ4)
		}
		if size += 4; size > len(dst)-n {
			return 0, textError(errTooLong)
		}
		// The match may overlap what it makes; then its bytes repeat.
		from, end := n-distance, n+size
		for n < end {
			n += copy(dst[n:end], dst[from:n])
		}
	}
	return 0, textError(errLZ4)
}

// lengthLZ4 returns a length whose four bits are in a token, and where the bytes after it begin.
func lengthLZ4(n int, src []byte, i int) (int, int, bool) {
	if n < 15 {
		return n, i, true
	}
	for i < len(src) {
		c := src[i]
		i++
		if n += int(c); c != 255 {
			return n, i, true
		}
	}
	return 0, i, false
}
