package pgp

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// All targets check that data which nobody signed is never accepted. They verify data that
// none of their keys has signed, so every verification must fail.

// unsigned is data that no key of the vectors has signed.
var unsigned = []byte("nobody signed this\n")

// FuzzSignature changes signature files.
func FuzzSignature(f *testing.F) {
	var rings []*Keyring
	for i, v := range readVectors(f) {
		if v.cleartext {
			continue
		}
		// Each signature is verified with 400 keys: 32-bit programs need minutes for all of them.
		if strconv.IntSize == 64 || i%8 == 0 {
			f.Add(v.sig)
		}
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

// FuzzKeys changes key files and verifies a valid signature over other data with them. No key
// file may make it good.
func FuzzKeys(f *testing.F) {
	good := readVector(f, "testdata/vectors/algo-eddsa.txt")
	for _, v := range readVectors(f) {
		f.Add(v.keys)
	}
	f.Fuzz(func(t *testing.T, keys []byte) {
		k, err := ReadKeyring(keys)
		if err != nil {
			if k != nil {
				t.Fatal("a keyring together with an error")
			}
			return
		}
		if r, err := Verify(k, unsigned, good.sig, good.policy); err == nil {
			t.Fatalf("accepted: %+v", r)
		}
		if again := Merge(k, k); len(again.Fingerprints()) > len(k.Fingerprints())+len(k.bare) {
			t.Fatal("merging a keyring with itself adds certificates")
		}
		if list := k.Fingerprints(); len(list) > 0 && len(list) < 100 {
			if _, err := k.Select(list); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzCertificate changes the certificate of a good signature. The signature may be accepted
// only if its key is one of the keys of the vectors. (It may be the key of another vector: a
// signature file may contain signatures by several keys.)
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

// FuzzCleartext changes cleartext signed messages.
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
	// These texts are signed in vectors that are refused for another reason.
	for _, text := range []string{"Hello\n- dash\nlast", "\x1b[2J"} {
		signed[text] = true
	}
	all := Merge(rings...)
	f.Fuzz(func(t *testing.T, msg []byte) {
		text, r, err := VerifyCleartext(all, append([]byte{}, msg...), Policy{}) // it overwrites the message
		if err != nil {
			if text != nil || r != nil {
				t.Fatal("a text or result together with an error")
			}
			return
		}
		if !signed[strings.TrimSuffix(string(text), "\n")] {
			t.Fatalf("nobody signed %q", text)
		}
	})
}

// FuzzArmor changes armored signatures. No text outside the blocks may be accepted.
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
			// All of an accepted file is armored signatures: no line may be outside.
			if bytes.HasPrefix(line, []byte("-----")) && !bytes.Contains(line, []byte(labelSignature)) {
				t.Fatalf("the line %q was ignored", line)
			}
		}
		if len(blocks) == 0 {
			t.Fatal("no blocks, no error")
		}
	})
}

// FuzzSums changes lists of digests. Each name of an accepted list must be in a line of it.
func FuzzSums(f *testing.F) {
	f.Add([]byte(gnuSums))
	f.Add([]byte(bsdSums))
	f.Fuzz(func(t *testing.T, text []byte) {
		sums, err := ParseSums(text)
		if err != nil {
			if sums != nil {
				t.Fatal("a list together with an error")
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

// FuzzDigests changes lists of digests of all forms. A digest that is found is in a line with the
// name, and what ParseSums reads FindDigest reads too.
func FuzzDigests(f *testing.F) {
	f.Add([]byte(gnuSums), "rootfs.tar.xz")
	f.Add([]byte(bsdSums), "a (b) = c")
	f.Add([]byte("# BLAKE2B HASH\n"+digest2b+"  a\n# SHA512 HASH\n"+digest512+" *./a\r\n"), "a")
	f.Add([]byte("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n- SHA256 (a) = "+digestA+"\n-----BEGIN PGP SIGNATURE-----\n"), "a")
	f.Fuzz(func(t *testing.T, text []byte, name string) {
		sum, err := FindDigest(text, name, false)
		if sum != nil && err != nil {
			t.Fatal("a digest together with an error")
		}
		found := false
		for _, line := range strings.Split(string(text), "\n") {
			found = found || strings.Contains(strings.ToLower(line), fmt.Sprintf("%x", sum)) && strings.Contains(line, strings.TrimPrefix(name, "./"))
		}
		if sum != nil && (!found || len(sum) != 32 && len(sum) != 64) {
			t.Fatalf("%x of %q", sum, name)
		}
		sums, _ := ParseSums(text)
		for name, want := range sums {
			if got, err := FindDigest(text, "./"+name, false); err != nil || string(got) != string(want[:]) {
				t.Fatalf("%q: %x, %v; ParseSums has %x", name, got, err, want)
			}
		}
	})
}

// FuzzSignify changes signatures of signify and minisign.
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
