package pgp

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Write allocates nothing, for every kind of signature that does not need the data in memory.
func TestWriteAllocatesNothing(t *testing.T) {
	data := []byte(strings.Repeat("a line of text\nand one with\r\n", 1000))
	for _, name := range []string{"algo-eddsa", "text-lf", "several-text-and-binary", "minisign"} {
		v := readVector(t, "testdata/vectors/"+name+".txt")
		k, err := ReadKeyring(v.keys)
		if err != nil {
			t.Fatal(err)
		}
		w, err := NewVerifier(k, v.sig, v.policy)
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(10, func() { w.Write(data) }); n != 0 {
			t.Errorf("%s: %v allocations a write", name, n)
		}
	}
}

// The result does not depend on how the data is cut into calls of Write.
func TestWriteBorders(t *testing.T) {
	for _, name := range []string{"text-lf", "text-crlf", "text-trailing-blanks", "algo-eddsa", "several-text-and-binary", "minisign-legacy"} {
		v := readVector(t, "testdata/vectors/"+name+".txt")
		k, err := ReadKeyring(v.keys)
		if err != nil {
			t.Fatal(err)
		}
		for cut := range len(v.data) + 1 {
			w, err := NewVerifier(k, v.sig, v.policy)
			if err != nil {
				t.Fatal(err)
			}
			w.Write(v.data[:cut])
			w.Write(nil)
			w.Write(v.data[cut:])
			if _, err := w.Finish(); err != nil {
				t.Errorf("%s, cut at %d: %v", name, cut, err)
			}
			if _, err := w.Finish(); err == nil {
				t.Errorf("%s: a second Finish succeeds", name)
			}
		}
	}
}

// BadSignatureError.Future marks signatures from the future, since the clock may be wrong.
func TestFuture(t *testing.T) {
	for name, future := range map[string]bool{"created-in-future": true, "minisign-future": true, "expired": false, "algo-eddsa-changed": false} {
		v := readVector(t, "testdata/vectors/"+name+".txt")
		k, err := ReadKeyring(v.keys)
		if err != nil {
			t.Fatal(err)
		}
		var bad *BadSignatureError
		if _, err := Verify(k, v.data, v.sig, v.policy); !errors.As(err, &bad) || bad.Future != future {
			t.Errorf("%s: %#v", name, err)
		}
		// Policy.Latest: the clock is known to be behind.
		for days, good := range map[int]bool{1: future, 0: false, -5: false} {
			if name == "minisign-future" {
				days *= 3650 // its creation time is years later
			}
			p := v.policy
			p.Latest = p.Now.Add(time.Duration(days) * 24 * time.Hour)
			if _, err := Verify(k, v.data, v.sig, p); (err == nil) != good {
				t.Errorf("%s, at most %d days later: %v", name, days, err)
			}
		}
	}
}

// A revocation counts even if another copy of the certificate does not have it.
func TestMergeKeepsRevocations(t *testing.T) {
	revoked := readVector(t, "testdata/vectors/revoked-no-reason.txt")
	clean := readVector(t, "testdata/vectors/algo-eddsa.txt")
	a, err := ReadKeyring(revoked.keys)
	if err != nil {
		t.Fatal(err)
	}
	b, err := ReadKeyring(clean.keys)
	if err != nil {
		t.Fatal(err)
	}
	var bad *BadSignatureError
	for _, k := range []*Keyring{a, Merge(a, b), Merge(b, a), Merge(nil, b, a)} {
		if _, err := Verify(k, clean.data, clean.sig, clean.policy); !errors.As(err, &bad) {
			t.Errorf("%v", err)
		}
	}
	if _, err := Verify(Merge(b), clean.data, clean.sig, clean.policy); err != nil {
		t.Errorf("merging changed its arguments: %v", err)
	}
}

// A revocation by a designated revoker counts even if Select does not select the revoker.
func TestSelectKeepsRevokers(t *testing.T) {
	v := readVector(t, "testdata/vectors/revoker-at-hand.txt")
	k, err := ReadKeyring(v.keys)
	if err != nil {
		t.Fatal(err)
	}
	k, err = k.Select(k.Fingerprints()[:1])
	if err != nil {
		t.Fatal(err)
	}
	var bad *BadSignatureError
	if _, err := Verify(k, v.data, v.sig, v.policy); !errors.As(err, &bad) || !strings.Contains(bad.Reason, "revoked") {
		t.Errorf("%v", err)
	}
}

func TestNoKeys(t *testing.T) {
	v := readVector(t, "testdata/vectors/algo-eddsa.txt")
	empty, err := LinuxContainers().Select(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []*Keyring{nil, {}, empty, Merge()} {
		if r, err := Verify(k, v.data, v.sig, v.policy); err == nil || r != nil {
			t.Error("verified without a key")
		}
		if text, r, err := VerifyCleartext(k, []byte("x"), v.policy); err == nil || r != nil || text != nil {
			t.Error("verified without a key")
		}
	}
}

// onlySignature verifies a vector and returns its only good signature.
func onlySignature(t *testing.T, name string) Signature {
	t.Helper()
	v := readVector(t, "testdata/vectors/"+name+".txt")
	_, _, r := v.run()
	if r == nil || len(r.Signatures) != 1 {
		t.Fatalf("%s: %v", name, r)
	}
	return r.Signatures[0]
}

func TestResult(t *testing.T) {
	verify := func(name string) Signature { return onlySignature(t, name) }
	if s := verify("subkey-plain"); s.Fingerprint == s.KeyFingerprint || len(s.KeyFingerprint) != 40 || s.Text || s.Warning != "" {
		t.Errorf("%+v", s)
	}
	if s := verify("text-lf"); !s.Text || !s.Created.Equal(time.Unix(1710000000, 0)) {
		t.Errorf("%+v", s)
	}
	if s := verify("algo-ed25519-v6"); len(s.Fingerprint) != 64 {
		t.Errorf("%+v", s)
	}
	if s := verify("notation"); len(s.Notations) != 1 || s.Notations[0] != (Notation{"image@example.org", "debian", true}) {
		t.Errorf("%+v", s)
	}
	if s := verify("revoked-retired-after"); s.Warning != "not good for a signature of today: the key is revoked" {
		t.Errorf("%+v", s)
	}
}

// TestKnownKey verifies a file of images.linuxcontainers.org. The certificate in a key file,
// which has only a self-signature with SHA-1, gives the same verdict as the built-in key.
func TestKnownKey(t *testing.T) {
	dir := filepath.Join("..", "..", "shared", "vectors", "openpgp", "linuxcontainers")
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Skip("reference vectors, which the checkout may have beside it, are absent")
		}
		return data
	}
	data, sig := read("SHA256SUMS"), read("SHA256SUMS.asc")
	file, err := ReadKeyring(read("key.asc"))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []*Keyring{LinuxContainers(), file, Merge(LinuxContainers(), file)} {
		r, err := Verify(k, data, sig, Policy{})
		if err != nil || r.Signatures[0].Warning != "" {
			t.Errorf("%v, %+v", err, r)
		}
		var bad *BadSignatureError
		if _, err := Verify(k, append(data, '\n'), sig, Policy{}); !errors.As(err, &bad) {
			t.Errorf("changed data: %v", err)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, name := range []string{"algo-eddsa", "algo-hash-sha512", "text-lf", "minisign"} {
		v := readVector(b, "testdata/vectors/"+name+".txt")
		k, err := ReadKeyring(v.keys)
		if err != nil {
			b.Fatal(err)
		}
		w, err := NewVerifier(k, v.sig, v.policy)
		if err != nil {
			b.Fatal(err)
		}
		data := []byte(strings.Repeat(strings.Repeat("x", 63)+"\n", 4096))
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				w.Write(data)
			}
		})
	}
}
