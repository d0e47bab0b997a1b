package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/lxc"
	"lxc-pull/pgp"
)

// Rightly signed bytes at another's place are another image.
func TestBound(t *testing.T) {
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
		if err := bound(&pgp.Result{Signatures: c.sigs}, c.path); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

// Signatures of single files are enough for a key that the user gave, and not
// for the built-in one, wherever its images lie.
func TestVouchWithoutList(t *testing.T) {
	ring, err := pgp.ReadKeyring(signify("key", signer().Public().(ed25519.PublicKey)))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{metaFile, rootfsFile} {
		if err := os.MkdirAll(filepath.Join(dir, "build"), 0o755); err != nil {
			t.Fatal(err)
		}
		for file, data := range map[string][]byte{name: []byte(name), name + sigSuffix: signed([]byte(name))} {
			if err := os.WriteFile(filepath.Join(dir, "build", file), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, keyrings := range [][]string{nil, {"given"}} {
		c := newCreation(&ui{out: io.Discard, err: io.Discard}, options{keyrings: keyrings}, lxc.HostNamespace)
		if c.servers, err = newServers(&options{servers: []string{"file://" + dir}}); err != nil {
			t.Fatal(err)
		}
		c.trust = trust{ring: ring, clock: newClock(time.Time{})}
		var network networkOptions
		if c.client, err = network.client("", c.servers.urls(), c.trust.clock, true, &retryNotes{ui: c.ui}); err != nil {
			t.Fatal(err)
		}
		defer c.client.Close()
		err := c.vouch(t.Context(), &source{image: image.Image{Path: "build"}})
		var bad *unverifiedError
		if given := len(keyrings) > 0; given && err != nil || !given && !errors.As(err, &bad) {
			t.Errorf("keyrings %q: %v", keyrings, err)
		}
	}
}

// An old build's files, rightly signed, in a new build's place.
func TestSealsOfOlderBuild(t *testing.T) {
	publisher := newMinisigner("publisher")
	ring, err := pgp.ReadKeyring(publisher.public())
	if err != nil {
		t.Fatal(err)
	}
	vouch := trust{ring: ring, clock: newClock(time.Time{})}
	when := time.Date(2026, 8, 29, 5, 24, 0, 0, time.UTC)
	meta := []byte("meta")
	sums := fmt.Appendf(nil, "%x  meta.tar.xz\n", sha256.Sum256(meta))
	for _, e := range []evidence{
		{sumsFile: sums, sumsFile + sigSuffix: publisher.sign(sums, when)},
		{metaFile + sigSuffix: publisher.sign(meta, when)},
	} {
		for since, ok := range map[time.Time]bool{{}: true, when.Add(-time.Hour): true, when: true, when.Add(time.Second): false} {
			seals, err := vouch.seals(e, listing{since: since}, metaFile)
			if err == nil {
				err = seals[metaFile].checkBytes(meta)
			}
			var replay *replayError
			if (err == nil) != ok || !ok && !errors.As(err, &replay) {
				t.Errorf("signed %v, nothing before %v: %v", when, since, err)
			}
		}
	}
}

func TestSeals(t *testing.T) {
	ring, err := pgp.ReadKeyring(signify("key", signer().Public().(ed25519.PublicKey)))
	if err != nil {
		t.Fatal(err)
	}
	vouch := trust{ring: ring, clock: newClock(time.Time{})}
	meta, rootfs := []byte("meta"), []byte("rootfs")
	sums := fmt.Appendf(nil, "%x  meta.tar.xz\n%x  rootfs.tar.xz\n", sha256.Sum256(meta), sha256.Sum256(rootfs))
	list := evidence{sumsFile: sums, sumsFile + sigSuffix: signed(sums)}
	each := evidence{metaFile + sigSuffix: signed(meta), rootfsFile + sigSuffix: signed(rootfs)}
	for _, c := range []struct {
		what string
		e    evidence
		data []byte // of the rootfs
		ok   bool
	}{
		{"list", list, rootfs, true},
		{"list, other bytes", list, []byte("rootfS"), false},
		{"list, cut", list, rootfs[:5], false},
		{"list, nothing", list, nil, false},
		{"each its own", each, rootfs, true},
		{"each its own, other bytes", each, []byte("rootfS"), false},
		{"each its own, the other's bytes", each, meta, false},
		{"nothing vouches", evidence{}, rootfs, false},
		{"a list without its signature", evidence{sumsFile: sums}, rootfs, false},
		{"a list with another's signature", evidence{sumsFile: sums, sumsFile + sigSuffix: signed(meta)}, rootfs, false},
		{"a list that names other files", evidence{sumsFile: sums[:70], sumsFile + sigSuffix: signed(sums[:70])}, rootfs, false},
		{"one signature of two", evidence{metaFile + sigSuffix: signed(meta)}, rootfs, false},
	} {
		seals, err := vouch.seals(c.e, listing{folder: "images/x"}, metaFile, rootfsFile)
		if err == nil {
			err = seals[rootfsFile].checkBytes(c.data)
		}
		var bad *unverifiedError
		if (err == nil) != c.ok || err != nil && !errors.As(err, &bad) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	// --no-validate: everything passes, and only then.
	seals, err := trust{}.seals(evidence{}, listing{}, rootfsFile)
	if err != nil || seals[rootfsFile].checkBytes(bytes.Repeat([]byte("x"), 100)) != nil {
		t.Errorf("without a ring: %v", err)
	}
}

// A cached file that is verified first is read twice: what its owner changes in
// between is noticed in the pass that unpacks it.
func TestVerifyFirstReadsTwice(t *testing.T) {
	ring, err := pgp.ReadKeyring(signify("key", signer().Public().(ed25519.PublicKey)))
	if err != nil {
		t.Fatal(err)
	}
	data := []byte("rootfs")
	sums := fmt.Appendf(nil, "%x  meta.tar.xz\n%x  rootfs.tar.xz\n", sha256.Sum256(nil), sha256.Sum256(data))
	for name, e := range map[string]evidence{
		"list":       {sumsFile: sums, sumsFile + sigSuffix: signed(sums)},
		"signatures": {metaFile + sigSuffix: signed(nil), rootfsFile + sigSuffix: signed(data)},
	} {
		for _, changed := range []bool{false, true} {
			path := filepath.Join(t.TempDir(), rootfsFile)
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
			file, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			c := newCreation(&ui{out: io.Discard, err: io.Discard}, options{}, lxc.HostNamespace)
			c.trust = trust{ring: ring, clock: newClock(time.Time{})}
			s := &source{evidence: e, entry: &fetch.Entry{Rootfs: file}}
			if err := c.seal(s); err != nil {
				t.Fatal(err)
			}
			whole, err := c.settle(nil, s, file, int64(len(data)))
			if err != nil {
				t.Fatal(err)
			}
			if changed {
				if err := os.WriteFile(path, []byte("rootFS"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := io.Copy(s.seal, whole); err != nil {
				t.Fatal(err)
			}
			if err := s.seal.check(); (err != nil) != changed {
				t.Errorf("%s, changed %v: %v", name, changed, err)
			}
		}
	}
}
