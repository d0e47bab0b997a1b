package cli

import (
	"bytes"
	"crypto/sha512"
)

// sha512Crypt hashes a password with a salt of at most 16 bytes, as crypt(3) does for hashes
// that begin with "$6$" (Ulrich Drepper, "Unix crypt using SHA-256 and SHA-512", 2007). Every
// C library that a container may have verifies them, musl and uClibc included. The numbers in
// the comments are those of the steps in that text. It uses the default of 5000 rounds.
func sha512Crypt(password, salt string) string {
	const rounds = 5000
	key, by := []byte(password), []byte(salt)
	// 4-8: the digest B.
	b := sha512.Sum512(bytes.Join([][]byte{key, by, key}, nil))
	// 1-3, 9-12: the digest A. stretch returns a digest repeated to n bytes.
	stretch := func(digest []byte, n int) []byte {
		return bytes.Repeat(digest, n/len(digest)+1)[:n]
	}
	text := bytes.Join([][]byte{key, by, stretch(b[:], len(key))}, nil)
	for n := len(key); n > 0; n >>= 1 {
		if n&1 != 0 {
			text = append(text, b[:]...)
		} else {
			text = append(text, key...)
		}
	}
	a := sha512.Sum512(text)
	// 13-20: the byte sequences P and S.
	dp := sha512.Sum512(bytes.Repeat(key, len(key)))
	p := stretch(dp[:], len(key))
	ds := sha512.Sum512(bytes.Repeat(by, 16+int(a[0])))
	s := stretch(ds[:], len(by))
	// 21: the rounds.
	for i := range rounds {
		text = text[:0]
		if i&1 != 0 {
			text = append(text, p...)
		} else {
			text = append(text, a[:]...)
		}
		if i%3 != 0 {
			text = append(text, s...)
		}
		if i%7 != 0 {
			text = append(text, p...)
		}
		if i&1 != 0 {
			text = append(text, a[:]...)
		} else {
			text = append(text, p...)
		}
		a = sha512.Sum512(text)
	}
	// 22: base 64 of three bytes at a time, 21 bytes apart, in an order that rotates.
	out := []byte("$6$" + salt + "$")
	add := func(v uint32, n int) {
		const digits = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		for range n {
			out = append(out, digits[v&63])
			v >>= 6
		}
	}
	for i, j, k, n := 0, 21, 42, 0; n < 21; n++ {
		add(uint32(a[i])<<16|uint32(a[j])<<8|uint32(a[k]), 4)
		i, j, k = j+1, k+1, i+1
	}
	add(uint32(a[63]), 2)
	return string(out)
}
