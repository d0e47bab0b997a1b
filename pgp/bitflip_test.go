package pgp

import (
	"bytes"
	"testing"
)

// areas returns the offsets of the bytes, in a file of packets, that are in the unhashed area
// of a signature, which is not signed. The length fields of the areas are not among them.
func areas(t *testing.T, file []byte) map[int]bool {
	t.Helper()
	free := map[int]bool{}
	for rest := file; len(rest) > 0; {
		p, next, err := nextPacket(rest)
		if err != nil {
			t.Fatal(err)
		}
		start := len(file) - len(next) - len(p.body)
		rest = next
		if p.tag != tagSignature {
			continue
		}
		s := parseSignature(p.body)
		f := fields{b: p.body[len(s.head):]}
		n := f.u16()
		for i := range int(n) {
			free[start+len(s.head)+2+i] = true
		}
	}
	return free
}

// TestBitFlips changes every single bit of a signature, of a certificate and of the data, and
// cuts each of them at every byte. A change may be accepted only in the unhashed areas, and a
// shortened file never.
func TestBitFlips(t *testing.T) {
	for _, name := range []string{"issuer-unhashed", "issuer-none", "subkey-agreement-unhashed", "algo-p256", "algo-rsa2048", "algo-ed25519-v6", "text-lf", "minisign", "signify", "minisign-legacy"} {
		v := readVector(t, "testdata/vectors/"+name+".txt")
		accepted := func(keys, sig, data []byte) bool {
			k, err := ReadKeyring(keys)
			if err != nil {
				return false
			}
			r, err := Verify(k, data, sig, v.policy)
			return err == nil && r != nil
		}
		if !accepted(v.keys, v.sig, v.data) {
			t.Fatalf("%s: not accepted as it is", name)
		}
		binary := v.sig[0]&0x80 != 0
		for _, part := range []struct {
			what string
			file []byte
			try  func(changed []byte) bool
		}{
			{"signature", v.sig, func(c []byte) bool { return accepted(v.keys, c, v.data) }},
			{"certificate", v.keys, func(c []byte) bool { return accepted(c, v.sig, v.data) }},
			{"data", v.data, func(c []byte) bool { return accepted(v.keys, v.sig, c) }},
		} {
			free := map[int]bool{}
			if binary && part.what != "data" {
				free = areas(t, part.file)
			}
			changed := bytes.Clone(part.file)
			for i := range changed {
				for bit := range 8 {
					// RSA and ECDSA are slow on small machines: change only one
					// bit of each byte.
					if (name == "algo-rsa2048" || name == "algo-p256") && bit != i%8 {
						continue
					}
					changed[i] ^= 1 << bit
					if part.try(changed) && !free[i] && !harmless(v, part.what, part.file, changed, i) {
						t.Errorf("%s: bit %d of byte %d of the %s changed: accepted", name, bit, i, part.what)
					}
					changed[i] ^= 1 << bit
				}
			}
			for n := range part.file {
				rest := part.file[n:]
				switch {
				case part.what != "data" && !binary && len(bytes.TrimSpace(rest)) == 0:
					continue // only the end of the last line is missing
				case name == "minisign-legacy" && bytes.HasPrefix(bytes.TrimLeft(rest, "\n"), []byte(trustedComment)):
					continue // without the trusted comment it is a valid signature of signify
				}
				if part.try(part.file[:n]) {
					t.Errorf("%s: the first %d bytes of the %s: accepted", name, n, part.what)
				}
			}
		}
	}
}

// harmless reports whether a change is in text that no format signs: the untrusted comment and
// the blanks at the end of a line.
func harmless(v vector, what string, file, changed []byte, i int) bool {
	if what == "data" || v.sig[0]&0x80 != 0 {
		return false
	}
	line := bytes.Count(file[:i], []byte("\n"))
	comment := len(untrustedComment)
	return line == 0 && i >= comment && changed[i] != '\n' || file[i] == '\n' && bytes.HasSuffix(file, file[i:]) && len(file) == i+1
}
