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
	// MaxSignature is the largest signature file in bytes; the largest that we
	// met, of Debian's release files, has 3 kB.
	MaxSignature = 64 << 10
	// maxPackets of a signature file; Debian signs with three keys.
	maxPackets = 64
	// maxStreams is how many hashes of the data are computed at a time, one for
	// each algorithm, kind of line end and salt.
	maxStreams = 16
	// maxTries is how many public keys are tried in all where a signature
	// doesn't say which one made it.
	maxTries = 4096
	// maxIssuers is how many unknown signers an error lists.
	maxIssuers = 16
)

// A Verifier verifies data that streams through it. It is used once.
type Verifier struct {
	policy  Policy
	keys    map[string]*publicKey // to find designated revokers in
	records map[*certificate]*record
	streams []*stream
	checks  []check
	issuers []string // of signatures by nobody that is trusted
	bad     error    // the first signature that names a trusted key and isn't good
	plain   *plainVerifier
	err     error // from Write, or of a second Finish
}

// A check is a signature that may turn out good.
type check struct {
	sig     *signature
	stream  *stream
	signers []signer
	hinted  bool // the signature names the signers, and they may sign; else they are all there are
}

// A signer is a key of a certificate.
type signer struct {
	cert *certificate
	key  *publicKey
}

// A stream is one hash of the data.
type stream struct {
	number byte
	text   bool
	salt   string
	h      hash.Hash
	lines  lineEnds
}

// NewVerifier reads a signature file and returns a Verifier for the data that
// it signs. sig is a detached OpenPGP signature, armored or binary, one or more
// of them, or a signature of signify or minisign.
//
// It fails at once, before any data, with a *FormatError where sig is no
// signature file, with an *UntrustedError where no trusted key is named as its
// maker, and with a *BadSignatureError where one is but the signature couldn't
// count whatever the data.
func NewVerifier(k *Keyring, sig []byte, p Policy) (*Verifier, error) {
	fail := func(err error) (*Verifier, error) {
		return nil, &FormatError{File: "signature file", Reason: err.Error()}
	}
	if k == nil || len(k.certs)+len(k.plain) == 0 {
		return nil, errors.New("no trusted keys to verify with")
	}
	if why := embedded(sig); why != "" {
		return fail(errors.New(why))
	}
	if len(sig) > MaxSignature {
		return fail(fmt.Errorf("larger than %d bytes", MaxSignature))
	}
	if isPlain(sig) {
		plain, err := newPlainVerifier(k, sig, p)
		if err != nil {
			return nil, err
		}
		return &Verifier{policy: p, plain: plain}, nil
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

// readSignatures reads the packets of a signature file. A signature that can't
// be read comes back as nil: it stands beside the others and counts for
// nothing.
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
				// A message carries the data that it signs; whoever looks at
				// other data would be told that it is signed.
				return nil, errors.New("a message, not a detached signature")
			}
		}
	}
	if len(sigs) == 0 {
		return nil, errors.New("no signature in it")
	}
	return sigs, nil
}

// newVerifier prepares the checks. text makes every signature one over text, as
// cleartext messages have it.
func newVerifier(k *Keyring, sigs []*signature, p Policy, text bool) (*Verifier, error) {
	v := &Verifier{policy: p, keys: k.all, records: map[*certificate]*record{}}
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

// add prepares the check of one signature, or notes why there is none.
func (v *Verifier) add(k *Keyring, s *signature, text bool) {
	c := check{sig: s, hinted: len(s.issuers) > 0}
	var named *signer // a trusted key that the signature names but can't be by
	problem := ""
	for _, cert := range k.certs {
		for _, key := range cert.keys() {
			by := signer{cert, key}
			switch {
			case c.hinted && !s.hints(key):
			case key.key != nil && key.version == s.version:
				c.signers = append(c.signers, by)
			case c.hinted && named == nil:
				named = &by
				problem = refusedKey
				if key.version != s.version {
					problem = "it is of another version than its key"
				}
			}
		}
	}
	if len(c.signers) == 0 {
		if named != nil {
			v.blame(*named, problem)
		} else {
			v.addIssuers(s)
		}
		return
	}
	problem = v.problem(s)
	if problem == "" && c.hinted {
		c.signers, problem = v.able(s, c.signers)
	}
	if problem == "" {
		if c.stream = v.streamFor(s, text || s.kind == typeText); c.stream == nil {
			problem = "it is one of too many different signatures"
		}
	}
	if problem != "" {
		if c.hinted {
			v.blame(c.signers[0], problem)
		}
		return
	}
	v.checks = append(v.checks, c)
}

// addIssuers notes whom a signature by nobody that is trusted names: the
// fingerprints, and the key ids that are not part of one.
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

// keys returns the keys of a certificate, the primary one first.
func (c *certificate) keys() []*publicKey {
	list := []*publicKey{c.primary}
	for _, sub := range c.subkeys {
		list = append(list, sub.key)
	}
	return list
}

// problem returns why s can't count, whoever made it.
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

// able returns those of the signers that could sign a document when s was made.
// Where there are none it returns them all, and what is wrong with the first.
func (v *Verifier) able(s *signature, signers []signer) (able []signer, problem string) {
	for _, by := range signers {
		reason := v.record(by.cert).problem(by.key, int64(s.created))
		if reason == "" && v.policy.Strict {
			reason = v.warning(by)
		}
		if reason == "" {
			able = append(able, by)
		} else if problem == "" {
			problem = reason
		}
	}
	if len(able) > 0 {
		return able, ""
	}
	return signers, problem
}

// warning returns what is wrong with a key by now that wasn't when it signed.
func (v *Verifier) warning(by signer) string {
	if reason := v.record(by.cert).problem(by.key, v.policy.now()); reason != "" {
		// A key may be younger than a slow clock.
		if v.policy.now() >= int64(by.key.created) {
			return "not good for a signature of today: " + reason
		}
	}
	return ""
}

func (v *Verifier) record(c *certificate) *record {
	r := v.records[c]
	if r == nil {
		r = c.verified(v.keys)
		v.records[c] = r
	}
	return r
}

// blame notes a signature that names a trusted key and isn't good.
func (v *Verifier) blame(by signer, reason string) {
	if v.bad == nil {
		v.bad = badSignature(by.cert.primary.fingerprint, reason)
	}
}

// streamFor returns the hash that s is over, or nil where there are too many.
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

// Write takes in the next part of the data. It fails only where the signature's
// format limits the size of the data, and keeps nothing of p.
func (v *Verifier) Write(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	if v.plain != nil {
		if v.err = v.plain.write(p); v.err != nil {
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

// Finish says who signed the data that was written: all of it, so it is not to
// be called after a read that failed. Its error is an *UntrustedError or a
// *BadSignatureError.
func (v *Verifier) Finish() (*Result, error) {
	if v.err != nil {
		return nil, v.err
	}
	v.err = errors.New("verification is over")
	if v.plain != nil {
		return v.plain.finish(v.policy)
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
				v.blame(by, reason)
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

// signer returns the key that made the signature of a check. Where none did it
// returns the reason, and who is to blame if a key is named.
func (v *Verifier) signer(c check, digest []byte, tries *int) (by signer, reason string) {
	for _, by := range c.signers {
		if *tries == maxTries {
			break
		}
		*tries++
		if !by.key.verify(c.sig, digest) {
			continue
		}
		if c.hinted {
			return by, "" // add has seen to it that the key may sign
		}
		_, reason := v.able(c.sig, []signer{by})
		return by, reason
	}
	if c.hinted {
		return c.signers[0], "the data or the signature was changed"
	}
	return signer{}, "no trusted key made it"
}

// failure is the error of a verification with so many good certificates, too
// few.
func (v *Verifier) failure(good int) error {
	if v.bad != nil {
		return v.bad
	}
	return &UntrustedError{Issuers: v.issuers, Good: good, Need: v.policy.need()}
}

// lineEnds hashes text as text signatures are over it: with every line feed
// preceded by a carriage return (RFC 9580, section 5.2.4). It leaves a carriage
// return that stands alone, and blanks at line ends, as they are.
type lineEnds struct {
	crlf [2]byte // here, so that a write allocates nothing
	cr   bool    // the last byte was a carriage return
}

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
