package source

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/image/cache"
	"lxc-pull/pgp"
)

// signer returns the key of the tests' publisher.
func signer() ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("the key of the tests' publisher"))
	return ed25519.NewKeyFromSeed(seed[:])
}

// signify formats a key or signature as signify(1) does; it has no time.
func signify(payload []byte) []byte {
	blob := append([]byte("Ed12345678"), payload...)
	return fmt.Appendf(nil, "untrusted comment: a test's\n%s\n", base64.StdEncoding.EncodeToString(blob))
}

func signed(data []byte) []byte { return signify(ed25519.Sign(signer(), data)) }

// Bytes that are signed for another path belong to another image.
func TestCheckPath(t *testing.T) {
	at := func(path string) pgp.Signature {
		return pgp.Signature{Notations: []pgp.Notation{{Name: "other@example", Value: "x"}, {Name: pathNotation, Value: path}}}
	}
	for _, c := range []struct {
		what string
		sigs []pgp.Signature
		path string
		ok   bool
	}{
		{"the file that was signed", []pgp.Signature{at("a/SHA256SUMS")}, "a/SHA256SUMS", true},
		{"another image's", []pgp.Signature{at("b/SHA256SUMS")}, "a/SHA256SUMS", false},
		{"one of two signatures is another image's", []pgp.Signature{at("a/SHA256SUMS"), at("b/SHA256SUMS")}, "a/SHA256SUMS", false},
		{"a signature that says nothing", []pgp.Signature{{}}, "a/SHA256SUMS", true},
		{"a place that is not known", []pgp.Signature{at("b/SHA256SUMS")}, "", true},
	} {
		if err := checkPath(&pgp.Result{Signatures: c.sigs}, c.path); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

// Signatures of single files suffice for a key that the user gave. They do not for the
// built-in key, whatever the server.
func TestVouchWithoutList(t *testing.T) {
	ring, err := pgp.ReadKeyring(signify(signer().Public().(ed25519.PublicKey)))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{image.MetaFile, image.RootfsFile} {
		if err := os.MkdirAll(filepath.Join(dir, "build"), 0o755); err != nil {
			t.Fatal(err)
		}
		for file, data := range map[string][]byte{name: []byte(name), name + image.SigSuffix: signed([]byte(name))} {
			if err := os.WriteFile(filepath.Join(dir, "build", file), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, builtIn := range []bool{true, false} {
		servers := new(Servers)
		if err := servers.Add("file://" + dir); err != nil {
			t.Fatal(err)
		}
		client, err := fetch.NewClient(fetch.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		f := Open(Options{Servers: servers, Client: client, Keys: ring, BuiltInKey: builtIn, Clock: NewClock(time.Time{}, time.Now())}, deaf())
		servers.current().index = new(signedIndex)
		err = f.vouch(t.Context(), &Found{finder: f, Image: image.Image{Path: "build"}})
		if !builtIn && err != nil || builtIn && KindOf(err) != Unverified {
			t.Errorf("built-in key %v: %v", builtIn, err)
		}
	}
}

// A file that is too large for its plain signature is as bad as a wrong one: another server
// may have the right file.
func TestTooLargeForPlainSignature(t *testing.T) {
	ring, err := pgp.ReadKeyring(signify(signer().Public().(ed25519.PublicKey)))
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := pgp.NewVerifier(ring, signed([]byte("x")), pgp.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	s := &seal{file: image.RootfsFile, verifier: verifier}
	if _, err := s.Write(make([]byte, pgp.MaxUnhashed+1)); KindOf(err) != Unverified || !strings.Contains(err.Error(), image.RootfsFile) {
		t.Errorf("%v, Kind %v", err, KindOf(err))
	}
}

// The signed files of an old build are refused in the place of a new build's.
func TestSealsOfOlderBuild(t *testing.T) {
	publisher := newMinisigner("publisher")
	ring, err := pgp.ReadKeyring(publisher.public())
	if err != nil {
		t.Fatal(err)
	}
	vouch := trust{keys: ring, clock: NewClock(time.Time{}, time.Now())}
	when := time.Date(2026, 8, 29, 5, 24, 0, 0, time.UTC)
	meta := []byte("meta")
	sums := fmt.Appendf(nil, "%x  meta.tar.xz\n", sha256.Sum256(meta))
	for _, e := range []evidence{
		{image.SumsFile: sums, image.SumsFile + image.SigSuffix: publisher.sign(sums, when)},
		{image.MetaFile + image.SigSuffix: publisher.sign(meta, when)},
	} {
		for since, ok := range map[time.Time]bool{{}: true, when.Add(-time.Hour): true, when: true, when.Add(time.Second): false} {
			seals, err := vouch.seals(e, listing{since: since}, image.MetaFile)
			if err == nil {
				err = seals[0].checkBytes(meta)
			}
			if (err == nil) != ok || !ok && KindOf(err) != Replayed {
				t.Errorf("signed %v, nothing before %v: %v", when, since, err)
			}
		}
	}
}

// A build that the index does not name must have been signed on its day, unless the signature
// names the build.
func TestSignedThen(t *testing.T) {
	built := time.Date(2026, 8, 29, 5, 24, 0, 0, time.UTC)
	day := listing{since: built.Add(-slack), until: built.Add(slack)}
	for _, c := range []struct {
		by   signers
		kind Kind
		ok   bool
	}{
		{signers{}, 0, true},
		{signers{at: built}, 0, true},
		{signers{at: built.Add(-slack)}, 0, true},
		{signers{at: built.Add(slack)}, 0, true},
		{signers{at: built.Add(-slack - 1)}, Replayed, false},
		{signers{at: built.Add(slack + 1)}, 0, false},
		{signers{at: built.Add(slack + 1), bound: true}, 0, true},
		{signers{at: built.Add(-slack - 1), bound: true}, Replayed, false},
	} {
		if err := day.signedThen(c.by); (err == nil) != c.ok || KindOf(err) != c.kind {
			t.Errorf("%+v: %v", c.by, err)
		}
	}
	if err := (listing{since: day.since}).signedThen(signers{at: built.AddDate(1, 0, 0)}); err != nil {
		t.Errorf("a build that the index names: %v", err)
	}
	named := []pgp.Notation{{Name: pathNotation, Value: "x"}}
	if !newest(&pgp.Result{Signatures: []pgp.Signature{{}, {Notations: named}}}).bound || newest(&pgp.Result{Signatures: []pgp.Signature{{}}}).bound {
		t.Error("the notation is not seen")
	}
}

func TestSeals(t *testing.T) {
	ring, err := pgp.ReadKeyring(signify(signer().Public().(ed25519.PublicKey)))
	if err != nil {
		t.Fatal(err)
	}
	vouch := trust{keys: ring, clock: NewClock(time.Time{}, time.Now())}
	meta, rootfs := []byte("meta"), []byte("rootfs")
	sums := fmt.Appendf(nil, "%x  meta.tar.xz\n%x  rootfs.tar.xz\n", sha256.Sum256(meta), sha256.Sum256(rootfs))
	all := evidence{image.SumsFile: sums, image.SumsFile + image.SigSuffix: signed(sums)}
	each := evidence{image.MetaFile + image.SigSuffix: signed(meta), image.RootfsFile + image.SigSuffix: signed(rootfs)}
	for _, c := range []struct {
		what string
		e    evidence
		data []byte // of the rootfs
		ok   bool
	}{
		{"SHA256SUMS", all, rootfs, true},
		{"SHA256SUMS, other bytes", all, []byte("rootfS"), false},
		{"SHA256SUMS, cut", all, rootfs[:5], false},
		{"SHA256SUMS, nothing", all, nil, false},
		{"each its own", each, rootfs, true},
		{"each its own, other bytes", each, []byte("rootfS"), false},
		{"each its own, the other's bytes", each, meta, false},
		{"nothing vouches", evidence{}, rootfs, false},
		{"a SHA256SUMS without its signature", evidence{image.SumsFile: sums}, rootfs, false},
		{"a SHA256SUMS with another's signature", evidence{image.SumsFile: sums, image.SumsFile + image.SigSuffix: signed(meta)}, rootfs, false},
		{"a SHA256SUMS that names other files", evidence{image.SumsFile: sums[:70], image.SumsFile + image.SigSuffix: signed(sums[:70])}, rootfs, false},
		{"one signature of two", evidence{image.MetaFile + image.SigSuffix: signed(meta)}, rootfs, false},
	} {
		seals, err := vouch.seals(c.e, listing{directory: "images/x"}, image.MetaFile, image.RootfsFile)
		if err == nil {
			err = seals[1].checkBytes(c.data)
		}
		if (err == nil) != c.ok || err != nil && KindOf(err) != Unverified {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	// Everything passes with --no-validate, and only then.
	seals, err := trust{}.seals(evidence{}, listing{}, image.RootfsFile)
	if err != nil || seals[0].checkBytes(bytes.Repeat([]byte("x"), 100)) != nil {
		t.Errorf("without a ring: %v", err)
	}
}

// A cached file that is verified first is read twice. If its owner changes it in between, the
// second pass, which unpacks it, fails.
func TestVerifyFirstReadsTwice(t *testing.T) {
	ring, err := pgp.ReadKeyring(signify(signer().Public().(ed25519.PublicKey)))
	if err != nil {
		t.Fatal(err)
	}
	data := []byte("rootfs")
	sums := fmt.Appendf(nil, "%x  meta.tar.xz\n%x  rootfs.tar.xz\n", sha256.Sum256(nil), sha256.Sum256(data))
	for name, e := range map[string]evidence{
		"SHA256SUMS": {image.SumsFile: sums, image.SumsFile + image.SigSuffix: signed(sums)},
		"signatures": {image.MetaFile + image.SigSuffix: signed(nil), image.RootfsFile + image.SigSuffix: signed(data)},
	} {
		for _, changed := range []bool{false, true} {
			path := filepath.Join(t.TempDir(), image.RootfsFile)
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
			file, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			f := Open(Options{Keys: ring, Clock: NewClock(time.Time{}, time.Now())}, deaf())
			found := &Found{finder: f, lxcImage: lxcImage{checks: checks{evidence: e}, cache: cacheParts{entry: &cache.Entry{Rootfs: file, Size: int64(len(data))}}}}
			if err := found.renewSeals(); err != nil {
				t.Fatal(err)
			}
			stream, err := found.Open(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			whole, err := stream.Complete(nil, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if changed {
				if err := os.WriteFile(path, []byte("rootFS"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := io.Copy(io.Discard, whole); err != nil {
				t.Fatal(err)
			}
			if err := whole.Check(); (err != nil) != changed {
				t.Errorf("%s, changed %v: %v", name, changed, err)
			}
		}
	}
}
