package pgp

import (
	"bytes"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"
	"time"
)

// Bounds of a signature file.
const (
	// MaxSignature is the size of the largest signature file that is read, in bytes. The
	// largest known, for Debian's release files, has 3 kB.
	MaxSignature = 64 << 10
	// maxPackets is how many packets a signature file may contain; Debian signs with three
	// keys.
	maxPackets = 64
	// maxStreams is how many hashes of the data are computed at the same time: one for each
	// combination of algorithm, signature type and salt.
	maxStreams = 16
	// maxTries is how often a public key is tried in one verification. Without an issuer
	// subpacket all keys are tried.
	maxTries = 4096
	// maxIssuers is how many unknown signers an UntrustedError lists.
	maxIssuers = 16
)

// A Verifier verifies data that is written to it. It is used once.
type Verifier struct {
	policy   Policy
	keys     map[string]*publicKey  // all primary keys, among which designated revokers may be
	verified []*verifiedCertificate // the certificates that were needed so far
	streams  []*stream
	checks   []check
	issuers  []string         // the signers that signatures by unknown keys name
	bad      error            // about the first signature that names a trusted key and is not good
	signify  *signifyVerifier // for a signature of signify or minisign; else nil
	err      error            // the result of further calls of Write and Finish
}

// A check is a signature that is good if one of the signers made it over the data.
type check struct {
	sig     *signature
	stream  *stream
	signers []signer
	// named is set if the signature names the signers; then all of them could sign at that
	// time. Otherwise signers are all trusted keys of the signature's version.
	named bool
}

// A signer is a key and its certificate.
type signer struct {
	cert *certificate
	key  *publicKey
}

// A stream is a hash of the data, for all signatures with the same algorithm, type and salt.
type stream struct {
	_      [0]func() // forbids ==, whose code nothing needs
	number byte      // of the hash algorithm
	text   bool      // for signatures of type text
	salt   string
	h      hash.Hash
	lines  lineEnds
}

// NewVerifier reads a signature file and returns a Verifier for the signed data. sig holds one
// or more detached OpenPGP signatures, armored or binary, or a signature of signify or
// minisign.
//
// NewVerifier returns a *[FormatError] if sig is not a signature file, an *[UntrustedError]
// if no signature names a trusted key, and a *[BadSignatureError] if one does but can't be
// good, whatever the data is.
func NewVerifier(k *Keyring, sig []byte, p Policy) (*Verifier, error) {
	fail := func(err error) (*Verifier, error) {
		return nil, &FormatError{File: "signature file", Reason: err.Error()}
	}
	if k.empty() {
		return nil, errNoKeys
	}
	if why := embeddedSignature(sig); why != "" {
		return fail(errors.New(why))
	}
	if len(sig) > MaxSignature {
		return fail(fmt.Errorf("larger than %d bytes", MaxSignature))
	}
	if isSignify(sig) {
		signify, err := newSignifyVerifier(k, sig, p)
		if err != nil {
			return nil, err
		}
		return &Verifier{policy: p, signify: signify}, nil
	}
	blocks := [][]byte{sig}
	if !isBinary(sig) {
		var err error
		if blocks, err = signatureBlocks(sig); err != nil {
			return fail(err)
		}
	}
	sigs, err := readSignatures(blocks)
	if err != nil {
		return fail(err)
	}
	return newVerifier(k, sigs, p, false)
}

// readSignatures reads the packets of a signature file. A signature that parseSignature can't
// read becomes nil; it does not prevent the others from counting.
func readSignatures(blocks [][]byte) (sigs []*signature, err error) {
	packets := 0
	for _, data := range blocks {
		for len(data) > 0 {
			p, rest, err := nextPacket(data)
			if err != nil {
				return nil, err
			}
			data = rest
			if packets++; packets > maxPackets {
				return nil, fmt.Errorf("more than %d packets", maxPackets)
			}
			switch {
			case p.tag == tagSignature:
				sigs = append(sigs, parseSignature(p.body))
			case p.tag == tagMarker, p.tag == tagPadding, p.tag >= firstNonCritical:
			case p.tag == tagPublicKey || p.tag == tagSecretKey:
				return nil, errors.New("keys, not signatures")
			default:
				// A message contains the data that it signs. It must not count as a
				// signature of other data.
				return nil, errors.New("a message, not a detached signature")
			}
		}
	}
	if len(sigs) == 0 {
		return nil, errors.New("no signature in it")
	}
	return sigs, nil
}

// newVerifier prepares the checks. text says to verify all signatures as signatures of type
// text, as in cleartext signed messages.
func newVerifier(k *Keyring, sigs []*signature, p Policy, text bool) (*Verifier, error) {
	v := &Verifier{policy: p, keys: k.all}
	for _, s := range sigs {
		if s != nil {
			v.add(k, s, text)
		}
	}
	if len(v.checks) == 0 {
		return nil, v.failure(0)
	}
	return v, nil
}

// add prepares the check of one signature, or records why it can't be good.
func (v *Verifier) add(k *Keyring, s *signature, text bool) {
	c := check{sig: s, named: len(s.issuers) > 0}
	var unusable *signer // a trusted key that the signature names, but which can't have made it
	problem := ""
	for _, cert := range k.certs {
		for _, key := range cert.keys() {
			by := signer{cert, key}
			switch {
			case c.named && !s.names(key):
			case key.key != nil && key.version == s.version:
				c.signers = append(c.signers, by)
			case c.named && unusable == nil:
				unusable = &by
				problem = refusedKey
				if key.version != s.version {
					problem = "its version is not that of its key"
				}
			}
		}
	}
	if len(c.signers) == 0 {
		if unusable != nil {
			v.noteBad(*unusable, problem)
		} else {
			v.addIssuers(s)
		}
		return
	}
	problem = v.problem(s)
	if problem == "" && c.named {
		c.signers, problem = v.usable(s, c.signers)
	}
	if problem == "" {
		if c.stream = v.streamFor(s, text || s.kind == typeText); c.stream == nil {
			problem = "the signature file needs too many different hashes of the data"
		}
	}
	if problem != "" {
		if c.named {
			v.noteBad(c.signers[0], problem)
		}
		return
	}
	v.checks = append(v.checks, c)
}

// addIssuers records the signers that a signature by an unknown key names: fingerprints, and
// key ids that don't belong to one of the fingerprints.
func (v *Verifier) addIssuers(s *signature) {
	for _, id := range s.issuers {
		known := false
		for _, other := range s.issuers {
			known = known || len(other) > len(id) && (strings.HasSuffix(other, id) || strings.HasPrefix(other, id))
		}
		if id := hexID(id); !known && len(v.issuers) < maxIssuers && !slices.Contains(v.issuers, id) {
			v.issuers = append(v.issuers, id)
		}
	}
}

// keys returns the keys of a certificate, the primary key first.
func (c *certificate) keys() []*publicKey {
	list := []*publicKey{c.primary}
	for _, sub := range c.subkeys {
		list = append(list, sub.key)
	}
	return list
}

// problem returns why s is not good, whoever made it, or "".
func (v *Verifier) problem(s *signature) string {
	switch {
	case s.kind != typeBinary && s.kind != typeText:
		return "it is not over a document"
	case s.hash.strength < forDocument:
		return "its hash algorithm is too weak or unknown"
	case s.invalid != "":
		return "it has " + s.invalid
	case s.expiredAt(v.policy.now()):
		return "it has expired"
	}
	return v.policy.timeProblem(time.Unix(int64(s.created), 0))
}

// usable returns those signers that could sign a document when s was made. If there are none
// it returns all signers, and the problem of the first.
func (v *Verifier) usable(s *signature, signers []signer) (good []signer, problem string) {
	for _, by := range signers {
		reason := v.verify(by.cert).problem(by.key, int64(s.created))
		if reason == "" && v.policy.Strict {
			reason = v.warning(by)
		}
		if reason == "" {
			good = append(good, by)
		} else if problem == "" {
			problem = reason
		}
	}
	if len(good) > 0 {
		return good, ""
	}
	return signers, problem
}

// warning returns what is wrong with a key now, although it could sign at the time of its
// signature, or "".
func (v *Verifier) warning(by signer) string {
	if reason := v.verify(by.cert).problem(by.key, v.policy.now()); reason != "" {
		// If the clock is behind, the key may have been created after now.
		if v.policy.now() >= int64(by.key.created) {
			return "not good for a signature of today: " + reason
		}
	}
	return ""
}

// verify returns the verified form of a certificate. It verifies each certificate once.
func (v *Verifier) verify(c *certificate) *verifiedCertificate {
	for _, r := range v.verified {
		if r.cert == c {
			return r
		}
	}
	r := c.verify(v.keys)
	v.verified = append(v.verified, r)
	return r
}

// noteBad records that a signature which names a trusted key is not good.
func (v *Verifier) noteBad(by signer, reason string) {
	if v.bad == nil {
		v.bad = badSignature(by.cert.primary.fingerprint, reason)
	}
}

// streamFor returns the hash of the data that s needs, or nil if there are too many.
func (v *Verifier) streamFor(s *signature, text bool) *stream {
	for _, st := range v.streams {
		if st.number == s.hashNumber && st.text == text && st.salt == string(s.salt) {
			return st
		}
	}
	if len(v.streams) == maxStreams {
		return nil
	}
	st := &stream{number: s.hashNumber, text: text, salt: string(s.salt), h: s.hash.new(), lines: lineEnds{crlf: [2]byte{'\r', '\n'}}}
	st.h.Write(s.salt)
	v.streams = append(v.streams, st)
	return st
}

// Write adds p to the data. It returns an error only after Finish, or if the data is larger
// than the signature's format allows, and does not keep p.
func (v *Verifier) Write(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	if v.signify != nil {
		if v.err = v.signify.write(p); v.err != nil {
			return 0, v.err
		}
		return len(p), nil
	}
	for _, st := range v.streams {
		if st.text {
			st.lines.write(st.h, p)
		} else {
			st.h.Write(p)
		}
	}
	return len(p), nil
}

// Finish returns who signed the data that was written. The caller must have written all of the
// data; don't call Finish after a failed read. Its error is an *[UntrustedError] or a
// *[BadSignatureError], or the error of Write.
func (v *Verifier) Finish() (*Result, error) {
	if v.err != nil {
		return nil, v.err
	}
	v.err = errors.New("the verification has already finished")
	if v.signify != nil {
		return v.signify.finish(v.policy)
	}
	var good []Signature
	signed := map[string]bool{}
	tries := 0
	for _, c := range v.checks {
		clone, err := c.stream.h.(hash.Cloner).Clone()
		if err != nil {
			return nil, err
		}
		digest := c.sig.finish(clone)
		by, reason := v.signer(c, digest, &tries)
		if reason != "" {
			if by.key != nil {
				v.noteBad(by, reason)
			}
			continue
		}
		fingerprint := hexID(by.cert.primary.fingerprint)
		signed[fingerprint] = true
		good = append(good, Signature{
			Fingerprint:    fingerprint,
			KeyFingerprint: hexID(by.key.fingerprint),
			Created:        time.Unix(int64(c.sig.created), 0).UTC(),
			Text:           c.stream.text,
			Warning:        v.warning(by),
			Notations:      c.sig.notations,
		})
	}
	if len(signed) < v.policy.need() {
		return nil, v.failure(len(signed))
	}
	return &Result{Signatures: good}, nil
}

// signer returns the key that made the signature of a check. If no key did, it returns the
// reason, and the signer to report if the signature names one. tries counts the attempts.
func (v *Verifier) signer(c check, digest []byte, tries *int) (by signer, reason string) {
	for _, by := range c.signers {
		if *tries == maxTries {
			break
		}
		*tries++
		if !by.key.verify(c.sig, digest) {
			continue
		}
		if c.named {
			return by, "" // add has checked that the key could sign
		}
		_, reason := v.usable(c.sig, []signer{by})
		return by, reason
	}
	if c.named {
		return c.signers[0], "the data or the signature was changed"
	}
	return signer{}, "no trusted key made it"
}

// failure returns the error of a verification in which good certificates have signed, fewer
// than required.
func (v *Verifier) failure(good int) error {
	if v.bad != nil {
		return v.bad
	}
	return &UntrustedError{Issuers: v.issuers, Good: good, Need: v.policy.need()}
}

// lineEnds hashes text in the form that text signatures are over, with CR LF as line ends (RFC
// 9580, section 5.2.4). It does not change single carriage returns, or blanks at line ends.
type lineEnds struct {
	crlf [2]byte // a field, so that write allocates nothing
	cr   bool    // the last byte was a carriage return
}

// write writes p to h with CR LF as line ends.
func (l *lineEnds) write(h hash.Hash, p []byte) {
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			h.Write(p)
			l.cr = p[len(p)-1] == '\r'
			return
		}
		if i > 0 {
			h.Write(p[:i])
			l.cr = p[i-1] == '\r'
		}
		if l.cr {
			h.Write(l.crlf[1:])
		} else {
			h.Write(l.crlf[:])
		}
		l.cr = false
		p = p[i+1:]
	}
}
