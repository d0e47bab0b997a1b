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
	key, by, h := []byte(password), []byte(salt), sha512.New()
	sum := func() []byte {
		digest := h.Sum(nil)
		h.Reset()
		return digest
	}
	// stretch returns a digest repeated to n bytes.
	stretch := func(digest []byte, n int) []byte { return bytes.Repeat(digest, n/len(digest)+1)[:n] }
	// 4-8: the digest B.
	h.Write(key)
	h.Write(by)
	h.Write(key)
	b := sum()
	// 1-3, 9-12: the digest A.
	h.Write(key)
	h.Write(by)
	h.Write(stretch(b, len(key)))
	for n := len(key); n > 0; n >>= 1 {
		if n&1 != 0 {
			h.Write(b)
		} else {
			h.Write(key)
		}
	}
	a := sum()
	// 13-20: the byte sequences P and S.
	h.Write(bytes.Repeat(key, len(key)))
	p := stretch(sum(), len(key))
	h.Write(bytes.Repeat(by, 16+int(a[0])))
	s := stretch(sum(), len(by))
	// 21: the rounds.
	for i := range rounds {
		first, last := a, p
		if i&1 != 0 {
			first, last = p, a
		}
		h.Write(first)
		if i%3 != 0 {
			h.Write(s)
		}
		if i%7 != 0 {
			h.Write(p)
		}
		h.Write(last)
		a = sum()
	}
	// 22: base 64 of three bytes at a time, 21 bytes apart, in an order that rotates.
	const digits = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	out := "$6$" + salt + "$"
	for n, i, j, k := 0, 0, 21, 42; n < 86; i, j, k = j+1, k+1, i+1 {
		v := uint32(a[63])
		if n < 84 {
			v = uint32(a[i])<<16 | uint32(a[j])<<8 | uint32(a[k])
		}
		for end := min(n+4, 86); n < end; n++ {
			out += digits[v&63 : v&63+1]
			v >>= 6
		}
	}
	return out
}
