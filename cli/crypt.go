package cli

import "crypto/sha512"

// cryptDigits are the digits of base 64 in salts and hashes of crypt(3).
const cryptDigits = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// sha512Crypt hashes a password with a salt of at most 16 bytes, as crypt(3) does for hashes
// that begin with "$6$" (Ulrich Drepper, "Unix crypt using SHA-256 and SHA-512", 2007). Every
// C library that a container may have verifies them, musl and uClibc included. The numbers in
// the comments are those of the steps in that text. It uses the default of 5000 rounds.
func sha512Crypt(password, salt string) string {
	const rounds = 5000
	// 4-8: the digest B.
	b := sha512Sum(password + salt + password)
	// 1-3, 9-12: the digest A.
	text := password + salt + stretch(b, len(password))
	for n := len(password); n > 0; n >>= 1 {
		if n&1 != 0 {
			text += b
		} else {
			text += password
		}
	}
	a := sha512Sum(text)
	// 13-20: the byte sequences P and S.
	p := stretch(sha512Sum(stretch(password, len(password)*len(password))), len(password))
	s := stretch(sha512Sum(stretch(salt, len(salt)*(16+int(a[0])))), len(salt))
	// 21: the rounds.
	for i := range rounds {
		text, last := a, p
		if i&1 != 0 {
			text, last = p, a
		}
		if i%3 != 0 {
			text += s
		}
		if i%7 != 0 {
			text += p
		}
		a = sha512Sum(text + last)
	}
	// 22: base 64 of three bytes at a time, 21 bytes apart, in an order that rotates.
	out := "$6$" + salt + "$"
	for n, i, j, k := 0, 0, 21, 42; n < 86; i, j, k = j+1, k+1, i+1 {
		v := uint(a[63])
		if n < 84 {
			v = uint(a[i])<<16 | uint(a[j])<<8 | uint(a[k])
		}
		for end := min(n+4, 86); n < end; n++ {
			out += cryptDigits[v&63:][:1]
			v >>= 6
		}
	}
	return out
}

// sha512Sum returns the digest of a text.
func sha512Sum(text string) string {
	h := sha512.New()
	h.Write([]byte(text))
	return string(h.Sum(nil))
}

// stretch returns a text repeated to n bytes.
func stretch(text string, n int) string {
	for len(text) < n {
		text += text
	}
	return text[:n]
}
