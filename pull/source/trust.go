package source

import (
	"crypto/subtle"
	"errors"
	"hash"
	"slices"
	"strconv"
	"time"

	"lxc-pull/image"
	"lxc-pull/image/sha256"
	"lxc-pull/pgp"
)

// evidence is the signed files about one build, by file name: the index of images,
// SHA256SUMS and their signatures, or the signatures of the two tarballs; and the metadata tarball. It
// is kept beside the cached files and checked again whenever they are used.
type evidence map[string][]byte

// A seal checks whether a file's bytes, which are written to it, are the ones that were
// signed. It serves for one pass over the file.
type seal struct {
	_        [0]func() // forbids ==, whose code nothing needs
	file     string
	digest   hash.Hash // nil: no signed SHA256SUMS is known
	want     [sha256.Size]byte
	verifier *pgp.Verifier // of the file's own signature; nil: it is not used
	sum      hash.Hash     // of the bytes, for Stream.Digest, if digest is nil
	listing  listing
	bound    bool              // the signature of SHA256SUMS says which image and build it belongs to
	layer    *image.Descriptor // that has the digest; nil: another file
	// combined gets other bytes before those of the file, and must have wantCombined then; nil: it
	// is not used.
	combined     hash.Hash
	wantCombined image.Digest
	right        bool // check has found that the bytes have the wanted digest
}

// A listing is what the signed index of images says about a build. A build's own signatures
// can't replace it, since the same key has signed the files of other builds too.
type listing struct {
	_         [0]func() // forbids ==, whose code nothing needs
	directory string    // of the build, below the server's URL; "": not known
	since     time.Time // the build's files were not signed before this time; zero: not known
	// until is the time after which the build's files were not signed. It is set only if the
	// index does not name the build; zero: not known.
	until time.Time
}

// path returns a file's path below the server's URL, "" if it is not known.
func (l listing) path(file string) string {
	if l.directory == "" {
		return ""
	}
	return l.directory + "/" + file
}

// signedThen refuses a file that was signed before the build was made: it belongs to an older
// build. If the index does not name the build, signedThen also refuses a file that was signed
// a day or more later, unless its signature names the build. A signature without a time passes.
func (l listing) signedThen(by signers) error {
	signed := date(by.at)
	switch {
	case by.at.IsZero():
	case by.at.Before(l.since):
		return replayed("it was signed " + signed + ", before the build was made")
	case !l.until.IsZero() && !by.bound && by.at.After(l.until):
		return errors.New("it was signed " + signed + ", long after the build was made, so it may belong to another build")
	}
	return nil
}

// Write passes bytes of the file to the check. It returns an error of Kind Unverified if the
// file is too large for its plain signature, which needs the whole file in memory (pgp.Verifier).
func (s *seal) Write(p []byte) (int, error) {
	if s.combined != nil {
		s.combined.Write(p)
	}
	if s.digest == nil {
		if s.sum == nil {
			s.sum = sha256.New()
		}
		s.sum.Write(p)
	}
	switch {
	case s.verifier != nil:
		n, err := s.verifier.Write(p)
		if err != nil {
			err = unverified(s.file, err)
		}
		return n, err
	case s.digest != nil:
		return s.digest.Write(p)
	}
	return len(p), nil // nothing is checked
}

// check returns an error unless the bytes that were written are the ones that were signed.
func (s *seal) check() error {
	if s.verifier != nil {
		result, err := s.verifier.Finish()
		if err == nil {
			err = checkPath(result, s.listing.path(s.file))
		}
		if err == nil {
			err = s.listing.signedThen(newest(result))
		}
		if err != nil {
			return unverified(s.file, err)
		}
	}
	if s.digest != nil && subtle.ConstantTimeCompare(s.digest.Sum(nil), s.want[:]) != 1 {
		if s.layer != nil {
			return otherDigest(s.file, s.layer)
		}
		return distrust(s.file, "its SHA-256 digest is not the one in the signed SHA256SUMS")
	}
	s.right = s.digest != nil
	if s.combined != nil && sumOfHash(s.combined) != s.wantCombined {
		return distrust(s.file, "the metadata and the root file system together do not have the digest that the list has")
	}
	return nil
}

// checkBytes is Write and check for the bytes of a small file.
func (s *seal) checkBytes(data []byte) error {
	if _, err := s.Write(data); err != nil {
		return err
	}
	return s.check()
}

// digestKnown reports whether the file's digest is known before the download, so that another
// server, or a later run, can continue it.
func (s *seal) digestKnown() bool { return s.digest != nil }

// refusesWrong reports whether check will refuse wrong bytes.
func (s *seal) refusesWrong() bool { return s.digest != nil || s.verifier != nil }

// unverified returns an error of Kind Unverified for a file, of Kind Replayed if err is.
func unverified(file string, err error) error {
	kind := Unverified
	if KindOf(err) == Replayed {
		kind = Replayed
	}
	return newError(kind, file, err)
}

// distrust is unverified for an error with that text.
func distrust(file, text string) error { return newError(Unverified, file, errors.New(text)) }

// unsigned is distrust for a file that nobody signed, or whose signer nobody knows.
func unsigned(file, text string) error {
	return &Error{Kind: Unverified, Text: file + ": " + text, Err: ErrNoSignature}
}

// needsKey returns the error for a file that must be signed, while nothing can verify a signature.
func needsKey(file string) error {
	return unverified(file, because("a signature is required, and no key is given that could verify one", &pgp.UntrustedError{}))
}

// A trust is the trusted keys and the time by which their signatures are judged.
type trust struct {
	keys  *pgp.Keyring // nil: nothing is checked
	clock *Clock
}

// keyless reports whether no signature can be verified.
func (t *trust) keyless() bool { return t.keys == nil || len(t.keys.Fingerprints()) == 0 }

// pathNotation is the notation by which scripts/publish names the signed file in a signature:
// the file's path below the server's URL.
const pathNotation = "path@lxc-pull"

// checkPath refuses a signature that was made for a file of another path: such a file is
// signed, but belongs to another image. A signature without the notation passes.
func checkPath(result *pgp.Result, path string) error {
	for _, s := range result.Signatures {
		for _, n := range s.Notations {
			if n.Name == pathNotation && path != "" && n.Value != path {
				return errors.New("it was signed as " + strconv.Quote(n.Value) + ", not as " + strconv.Quote(path))
			}
		}
	}
	return nil
}

// verify checks a small file against its signature and returns who signed it. what names the
// file in errors; path is the file's path below the server's URL, "" if it is not known.
func (t trust) verify(what, path string, data, sig []byte) (signers, error) {
	if t.keys == nil {
		return signers{}, nil
	}
	result, err := pgp.Verify(t.keys, data, sig, t.clock.Policy())
	if err == nil {
		err = checkPath(result, path)
	}
	if err != nil {
		return signers{}, unverified(what, err)
	}
	by := newest(result)
	t.clock.learn(by.at)
	return by, nil
}

// signers are the trusted keys that signed a file.
type signers struct {
	keys []string  // fingerprints, each once
	at   time.Time // when the newest of their signatures was made
	// bound says that a signature has the notation with the file's path. checkPath has
	// compared the path.
	bound bool
}

// newest returns the signers of a verified file.
func newest(result *pgp.Result) signers {
	var s signers
	for _, r := range result.Signatures {
		if !slices.Contains(s.keys, r.Fingerprint) {
			s.keys = append(s.keys, r.Fingerprint)
		}
		if r.Created.After(s.at) {
			s.at = r.Created
		}
		for _, n := range r.Notations {
			s.bound = s.bound || n.Name == pathNotation
		}
	}
	return s
}

// seals checks the evidence for a build and returns a seal for each of files. If there is a
// signed SHA256SUMS, it must name all of them; otherwise each file needs its own signature.
func (t trust) seals(e evidence, at listing, files ...string) ([]*seal, error) {
	seals := make([]*seal, len(files))
	for i, f := range files {
		seals[i] = &seal{file: f}
	}
	if t.keys == nil {
		return seals, nil
	}
	if text, sig := e[image.SumsFile], e[image.SumsFile+image.SigSuffix]; text != nil && sig != nil {
		by, err := t.verify(image.SumsFile, at.path(image.SumsFile), text, sig)
		if err != nil {
			return nil, err
		}
		if err := at.signedThen(by); err != nil {
			return nil, unverified(image.SumsFile, err)
		}
		sums, err := pgp.ParseSums(text)
		if err != nil {
			return nil, unverified(image.SumsFile, err)
		}
		for i, f := range files {
			sum, ok := sums[f]
			if !ok {
				return nil, distrust(f, "the signed SHA256SUMS does not name it")
			}
			s := seals[i]
			s.digest, s.want, s.bound = sha256.New(), sum, by.bound
		}
		return seals, nil
	}
	for i, f := range files {
		sig := e[f+image.SigSuffix]
		if sig == nil {
			return nil, distrust(f, "its signature is missing")
		}
		v, err := pgp.NewVerifier(t.keys, sig, t.clock.Policy())
		if err != nil {
			return nil, unverified(f, err)
		}
		seals[i].verifier, seals[i].listing = v, at
	}
	return seals, nil
}
