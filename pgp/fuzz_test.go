package pgp

import (
	"bytes"
	"strings"
	"testing"
)

// The property of all targets: data that nobody signed is never accepted. Each
// has keys that never signed what it verifies, so that nothing may come back.

// unsigned is data that none of the vectors' keys has signed.
var unsigned = []byte("nobody signed this\n")

func FuzzSignature(f *testing.F) {
	var rings []*Keyring
	for _, v := range readVectors(f) {
		if v.cleartext {
			continue
		}
		f.Add(v.sig)
		if len(rings) < 400 {
			if k, err := ReadKeyring(v.keys); err == nil {
				rings = append(rings, k)
			}
		}
	}
	all := Merge(rings...)
	f.Fuzz(func(t *testing.T, sig []byte) {
		r, err := Verify(all, unsigned, sig, Policy{})
		if err == nil || r != nil {
			t.Fatalf("accepted: %+v", r)
		}
		_ = err.Error()
	})
}

// FuzzKeys mutates the certificates beside signatures that are good for one key
// that is not among them: a stranger's. Whatever the file holds, the stranger's
// fingerprint is never reported for data that it didn't sign.
func FuzzKeys(f *testing.F) {
	good := readVector(f, "testdata/vectors/algo-eddsa.txt")
	for _, v := range readVectors(f) {
		f.Add(v.keys)
	}
	f.Fuzz(func(t *testing.T, keys []byte) {
		k, err := ReadKeyring(keys)
		if err != nil {
			if k != nil {
				t.Fatal("a keyring beside an error")
			}
			return
		}
		if r, err := Verify(k, unsigned, good.sig, good.policy); err == nil {
			t.Fatalf("accepted: %+v", r)
		}
		if again := Merge(k, k); len(again.Fingerprints()) > len(k.Fingerprints())+len(k.signify) {
			t.Fatal("merging a keyring with itself adds certificates")
		}
		if list := k.Fingerprints(); len(list) > 0 && len(list) < 100 {
			if _, err := k.Select(list); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzCertificate changes a certificate and keeps the signature that it is
// good for: it may be accepted only if the key that signed is one of those that
// made the vectors. (Which of them depends: a signature file may hold one by a
// key that another vector's certificates bring.)
func FuzzCertificate(f *testing.F) {
	var sigs []vector
	real := map[string]bool{}
	for _, v := range readVectors(f) {
		if v.expect == "good" && !v.cleartext && isBinary(v.keys) && isBinary(v.sig) {
			f.Add(len(sigs), v.keys)
			sigs = append(sigs, v)
			k, err := ReadKeyring(v.keys)
			if err != nil {
				f.Fatal(err)
			}
			for _, fingerprint := range k.Fingerprints() {
				real[fingerprint] = true
			}
		}
	}
	f.Fuzz(func(t *testing.T, n int, keys []byte) {
		if n < 0 || n >= len(sigs) {
			return
		}
		v := sigs[n]
		k, err := ReadKeyring(keys)
		if err != nil {
			return
		}
		r, err := Verify(k, v.data, v.sig, v.policy)
		if err != nil {
			return
		}
		for _, s := range r.Signatures {
			if !real[s.Fingerprint] {
				t.Fatalf("signed by %s, which made none of the vectors", s.Fingerprint)
			}
		}
	})
}

func FuzzCleartext(f *testing.F) {
	var rings []*Keyring
	signed := map[string]bool{}
	for _, v := range readVectors(f) {
		if !v.cleartext {
			continue
		}
		f.Add(v.message)
		if v.expect == "good" {
			signed[strings.TrimSuffix(string(v.text), "\n")] = true
		}
		k, err := ReadKeyring(v.keys)
		if err != nil {
			f.Fatal(err)
		}
		rings = append(rings, k)
	}
	// What the vectors sign and have refused for something else.
	for _, text := range []string{"Hello\n- dash\nlast", "\x1b[2J"} {
		signed[text] = true
	}
	all := Merge(rings...)
	f.Fuzz(func(t *testing.T, msg []byte) {
		text, r, err := VerifyCleartext(all, msg, Policy{})
		if err != nil {
			if text != nil || r != nil {
				t.Fatal("something beside an error")
			}
			return
		}
		if !signed[strings.TrimSuffix(string(text), "\n")] {
			t.Fatalf("nobody signed %q", text)
		}
	})
}

// FuzzArmor: what is decoded, encoded again, decodes to the same.
func FuzzArmor(f *testing.F) {
	for _, v := range readVectors(f) {
		if !isBinary(v.sig) && !v.cleartext {
			f.Add(v.sig)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		blocks, err := signatureBlocks(text)
		if err != nil {
			return
		}
		for _, line := range bytes.Split(text, []byte("\n")) {
			// Everything in an accepted file is part of an armor: no line may
			// stand outside of one.
			if bytes.HasPrefix(line, []byte("-----")) && !bytes.Contains(line, []byte(labelSignature)) {
				t.Fatalf("a line %q was passed over", line)
			}
		}
		if len(blocks) == 0 {
			t.Fatal("no blocks, no error")
		}
	})
}

// FuzzSums: every entry of a list that is accepted stands in it, as a line of
// its own.
func FuzzSums(f *testing.F) {
	f.Add([]byte(gnuSums))
	f.Add([]byte(bsdSums))
	f.Fuzz(func(t *testing.T, text []byte) {
		sums, err := ParseSums(text)
		if err != nil {
			if sums != nil {
				t.Fatal("a list beside an error")
			}
			return
		}
		if len(sums) == 0 || len(sums) > bytes.Count(text, []byte("\n"))+1 {
			t.Fatalf("%d entries", len(sums))
		}
		for name := range sums {
			if !bytes.Contains(text, []byte(name)) || strings.ContainsAny(name, "\x00\n\r\x1b") {
				t.Fatalf("a name %q", name)
			}
		}
	})
}

func FuzzSignify(f *testing.F) {
	var rings []*Keyring
	for _, v := range readVectors(f) {
		if strings.HasPrefix(v.name, "signify") || strings.HasPrefix(v.name, "minisign") {
			f.Add(v.sig)
			if k, err := ReadKeyring(v.keys); err == nil {
				rings = append(rings, k)
			}
		}
	}
	all := Merge(rings...)
	f.Fuzz(func(t *testing.T, sig []byte) {
		if r, err := Verify(all, unsigned, sig, Policy{}); err == nil {
			t.Fatalf("accepted: %+v", r)
		}
	})
}
