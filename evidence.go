package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash"
	"slices"
	"time"

	"lxc-pull/pgp"
)

// Names of the files of a build on an image server, and of those that vouch
// for them.
const (
	rootfsFile = "rootfs.tar.xz"
	metaFile   = "meta.tar.xz"
	sumsFile   = "SHA256SUMS"
	sigSuffix  = ".asc"
)

// evidence is what an image server says about one build: SHA256SUMS with its
// signature, or the signature of each file. It is kept beside the cached files
// and checked again whenever they are used.
type evidence map[string][]byte

// A seal decides whether a file's bytes, which are written to it, are the ones
// that were signed.
type seal struct {
	file     string
	digest   hash.Hash
	want     [sha256.Size]byte
	verifier *pgp.Verifier
	listing  listing
}

// A listing is what the signed index says of a build, and its files can't say of
// themselves: the key that signed them has signed other builds too.
type listing struct {
	folder string    // below the server's URL; "": not known
	since  time.Time // nothing in it was signed before that; zero: not known
}

// path is a file's below the server's URL, "" where that is not known.
func (l listing) path(file string) string {
	if l.folder == "" {
		return ""
	}
	return l.folder + "/" + file
}

// fits refuses what was signed before the build was made: an old build's files
// in a new one's place. Signatures without a time say nothing of it.
func (l listing) fits(made time.Time) error {
	if made.IsZero() || !made.Before(l.since) {
		return nil
	}
	return &replayError{fmt.Sprintf("it was signed %s, before the build was made", made.UTC().Format(time.RFC3339))}
}

func (s *seal) Write(p []byte) (int, error) {
	switch {
	case s.verifier != nil:
		return s.verifier.Write(p)
	case s.digest != nil:
		return s.digest.Write(p)
	}
	return len(p), nil // --no-validate
}

// check returns an error unless all the bytes written are the ones that were
// signed.
func (s *seal) check() error {
	if s.verifier != nil {
		result, err := s.verifier.Finish()
		if err == nil {
			err = bound(result, s.listing.path(s.file))
		}
		if err == nil {
			err = s.listing.fits(newest(result).made)
		}
		if err != nil {
			return &unverifiedError{s.file, err}
		}
	}
	if s.digest != nil && subtle.ConstantTimeCompare(s.digest.Sum(nil), s.want[:]) != 1 {
		return &unverifiedError{s.file, errors.New("its SHA-256 digest is not the one in the signed list")}
	}
	return nil
}

// pinned reports whether the digest is known beforehand, so that a download may
// go on at another server.
func (s *seal) pinned() bool { return s.digest != nil }

// checks reports whether wrong bytes will be noticed at their end.
func (s *seal) checks() bool { return s.digest != nil || s.verifier != nil }

// An unverifiedError says that bytes are not the ones that a trusted key signed.
type unverifiedError struct {
	what string
	err  error
}

func (e *unverifiedError) Error() string { return fmt.Sprintf("%s: %v", e.what, e.err) }
func (e *unverifiedError) Unwrap() error { return e.err }

// A trust is whose signatures count, and at what time. A nil ring is
// --no-validate: nothing is checked.
type trust struct {
	ring  *pgp.Keyring
	clock *clock
}

// pathNotation names, in a signature of our publisher's, the file that was
// signed: its path below the server's URL.
const pathNotation = "path@lxc-pull"

// bound refuses a signature that was made for a file of another name: rightly
// signed bytes at the wrong place are an image in another's stead. Signatures
// without the notation say nothing of names.
func bound(result *pgp.Result, path string) error {
	for _, s := range result.Signatures {
		for _, n := range s.Notations {
			if n.Name == pathNotation && path != "" && n.Value != path {
				return fmt.Errorf("it was signed as %q, not as %q", n.Value, path)
			}
		}
	}
	return nil
}

// signed verifies a small file against its signature. path is its place below
// the server's URL, "" where that is not known. The newest signature's time
// comes back.
func (t trust) signed(what, path string, data, sig []byte) (signature, error) {
	if t.ring == nil {
		return signature{}, nil
	}
	result, err := pgp.Verify(t.ring, data, sig, t.clock.policy())
	if err == nil {
		err = bound(result, path)
	}
	if err != nil {
		return signature{}, &unverifiedError{what, err}
	}
	made := newest(result)
	t.clock.learn(made.made)
	return made, nil
}

// A signature is who signed, and when.
type signature struct {
	signers []string  // fingerprints, each once
	made    time.Time // the newest of theirs
}

func newest(result *pgp.Result) signature {
	var s signature
	for _, r := range result.Signatures {
		if !slices.Contains(s.signers, r.Fingerprint) {
			s.signers = append(s.signers, r.Fingerprint)
		}
		if r.Created.After(s.made) {
			s.made = r.Created
		}
	}
	return s
}

// seals checks what vouches for the files of a build and returns a seal for
// each of them. A SHA256SUMS with its signature vouches for all; else each file
// needs its own signature.
func (t trust) seals(e evidence, at listing, files ...string) (map[string]*seal, error) {
	seals := map[string]*seal{}
	if t.ring == nil {
		for _, f := range files {
			seals[f] = &seal{file: f}
		}
		return seals, nil
	}
	if list, sig := e[sumsFile], e[sumsFile+sigSuffix]; list != nil && sig != nil {
		made, err := t.signed(sumsFile, at.path(sumsFile), list, sig)
		if err != nil {
			return nil, err
		}
		if err := at.fits(made.made); err != nil {
			return nil, &unverifiedError{sumsFile, err}
		}
		sums, err := pgp.ParseSums(list)
		if err != nil {
			return nil, &unverifiedError{sumsFile, err}
		}
		for _, f := range files {
			sum, ok := sums[f]
			if !ok {
				return nil, &unverifiedError{f, errors.New("the signed list does not name it")}
			}
			seals[f] = &seal{file: f, digest: sha256.New(), want: sum}
		}
		return seals, nil
	}
	for _, f := range files {
		sig := e[f+sigSuffix]
		if sig == nil {
			return nil, &unverifiedError{f, errors.New("no signature of it is at hand")}
		}
		v, err := pgp.NewVerifier(t.ring, sig, t.clock.policy())
		if err != nil {
			return nil, &unverifiedError{f, err}
		}
		seals[f] = &seal{file: f, verifier: v, listing: at}
	}
	return seals, nil
}

// checkBytes is a seal's whole work on a small file.
func (s *seal) checkBytes(data []byte) error {
	if _, err := s.Write(data); err != nil {
		return err
	}
	return s.check()
}
