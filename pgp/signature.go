package pgp

import (
	"crypto"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/binary"
	"hash"
)

// Signature types (RFC 9580, section 5.2.1).
const (
	typeBinary              = 0x00
	typeText                = 0x01
	typeGenericCert         = 0x10
	typePositiveCert        = 0x13
	typeSubkeyBinding       = 0x18
	typePrimaryBinding      = 0x19
	typeDirectKey           = 0x1f
	typeKeyRevocation       = 0x20
	typeSubkeyRevocation    = 0x28
	typeCertificationRevoke = 0x30
)

// A digestAlgo is a hash algorithm, and what it is still good for.
type digestAlgo struct {
	id       crypto.Hash
	new      func() hash.Hash
	saltSize int // of a version 6 signature; 0: none may use it
	strength strength
}

// strength is how much an algorithm is trusted with.
type strength int

const (
	_ strength = iota // a hash that this package doesn't compute
	// forRevocation: MD5. Collisions are easy, but who revokes a key loses
	// nothing by being believed.
	forRevocation
	// forBinding: SHA-1, in what a key's owner says of the key, in a
	// certificate that the user trusts already. More than a third of Arch
	// Linux's keys, and the one of images.linuxcontainers.org, have nothing
	// better.
	forBinding
	// forDocument: anything.
	forDocument
)

// digestAlgoOf returns the algorithm of a number (RFC 9580, section 9.5).
// SHA-224 and SHA-3 sign no file that we ever met, but a key may be revoked with
// them.
func digestAlgoOf(number byte) digestAlgo {
	switch number {
	case 1:
		return digestAlgo{crypto.MD5, md5.New, 0, forRevocation}
	case 2:
		return digestAlgo{crypto.SHA1, sha1.New, 0, forBinding}
	case 8:
		return digestAlgo{crypto.SHA256, sha256.New, 16, forDocument}
	case 9:
		return digestAlgo{crypto.SHA384, sha512.New384, 24, forDocument}
	case 10:
		return digestAlgo{crypto.SHA512, sha512.New, 32, forDocument}
	case 11:
		return digestAlgo{crypto.SHA224, sha256.New224, 16, forBinding}
	case 12:
		return digestAlgo{crypto.SHA3_256, func() hash.Hash { return sha3.New256() }, 16, forBinding}
	case 14:
		return digestAlgo{crypto.SHA3_512, func() hash.Hash { return sha3.New512() }, 32, forBinding}
	}
	return digestAlgo{}
}

// Of one signature, maxEmbedded embedded ones are looked at, where a subkey's
// binding needs one, and maxHints issuers, where two are usual.
const (
	maxEmbedded = 4
	maxHints    = 16
)

// A signature is one signature packet.
type signature struct {
	version, kind, algo byte
	hash                digestAlgo
	hashNumber          byte
	head                []byte // from the version to the end of the hashed area: what is signed of the packet itself
	salt                []byte // version 6 only
	left                []byte // the first two bytes of the digest
	material            []byte // what the key's algorithm makes

	// From the hashed area. Where invalid isn't empty the rest may be missing.
	invalid    string // why the signature can't count, for all its mathematics
	created    uint32 // seconds since 1970
	hasCreated bool
	expires    uint32 // seconds after created; 0: never
	keyExpires uint32 // seconds after the key's creation; 0: never
	flags      byte   // key flags, the first octet
	hasFlags   bool
	reason     byte // for a revocation; only where hasReason
	hasReason  bool
	revokers   []string // fingerprints of designated revokers
	notations  []Notation

	// From both areas. Nobody need have signed these: hints only.
	issuers  []string // key ids and fingerprints
	embedded [][]byte // signature packets' bodies
}

// parseSignature reads the body of a signature packet (RFC 9580, section
// 5.2.3). It returns nil where the version is neither 4 nor 6 or the frame is
// broken. What is wrong inside of the frame is left in invalid: a revocation
// that nobody can read is one all the same.
func parseSignature(body []byte) *signature {
	f := fields{b: body}
	s := &signature{version: f.u8(), kind: f.u8(), algo: f.u8(), hashNumber: f.u8()}
	if s.version != 4 && s.version != 6 {
		return nil
	}
	area := func() []byte {
		if s.version == 6 {
			return f.take(f.u32())
		}
		return f.take(uint32(f.u16()))
	}
	s.hash = digestAlgoOf(s.hashNumber)
	hashed := area()
	s.head = body[:len(body)-len(f.b)]
	unhashed := area()
	s.left = f.take(2)
	if s.version == 6 {
		s.salt = f.take(uint32(f.u8()))
	}
	if f.short {
		return nil
	}
	s.material = f.b
	if s.version == 6 && (s.hash.saltSize == 0 || len(s.salt) != s.hash.saltSize) {
		s.refuse("a salt of the wrong length")
	}
	s.readArea(hashed, true)
	s.readArea(unhashed, false)
	if !s.hasCreated {
		s.refuse("no creation time")
	}
	return s
}

// refuse notes why the signature can't count; the first reason stays.
func (s *signature) refuse(reason string) {
	if s.invalid == "" {
		s.invalid = reason
	}
}

// readArea reads one area of subpackets (RFC 9580, section 5.2.3.7). Of the
// area that isn't signed, only hints count.
func (s *signature) readArea(area []byte, hashed bool) {
	f := fields{b: area}
	for len(f.b) > 0 {
		var n uint32
		switch first := f.u8(); {
		case first < 192:
			n = uint32(first)
		case first < 255:
			n = uint32(first-192)<<8 + uint32(f.u8()) + 192
		default:
			n = f.u32()
		}
		body := fields{b: f.take(n)}
		kind := body.u8()
		if f.short || body.short {
			if hashed {
				s.refuse("broken subpackets")
			}
			return
		}
		s.readHint(kind&0x7f, body.b)
		if hashed {
			s.readSubpacket(kind&0x7f, kind&0x80 != 0, body)
		}
	}
}

// readHint reads the subpackets that need not be signed: they only say where
// to look.
func (s *signature) readHint(kind byte, body []byte) {
	switch {
	case kind == 16 && len(body) == 8 && len(s.issuers) < maxHints: // issuer key id
		// All zero is what hides the issuer: no hint.
		if string(body) != "\x00\x00\x00\x00\x00\x00\x00\x00" {
			s.issuers = append(s.issuers, string(body))
		}
	case kind == 33 && (len(body) == 21 || len(body) == 33) && len(s.issuers) < maxHints: // issuer fingerprint, after a key version
		s.issuers = append(s.issuers, string(body[1:]))
	case kind == 32 && len(s.embedded) < maxEmbedded: // embedded signature
		s.embedded = append(s.embedded, body)
	}
}

// readSubpacket reads one subpacket of the hashed area. Of a number that comes
// twice the reading that allows less is taken.
func (s *signature) readSubpacket(kind byte, critical bool, body fields) {
	switch kind {
	case 2: // creation time
		if s.hasCreated {
			s.refuse("two creation times")
		}
		s.created, s.hasCreated = body.u32(), true
	case 3: // signature expiration time
		s.expires = sooner(s.expires, body.u32())
	case 9: // key expiration time
		s.keyExpires = sooner(s.keyExpires, body.u32())
	case 12: // revocation key: class, algorithm, fingerprint
		if class := body.u8(); class&0x80 != 0 && len(body.b) == 21 {
			s.revokers = append(s.revokers, string(body.b[1:]))
		}
		return
	case 20: // notation: flags, lengths of name and value
		flags := body.u32()
		name, value := body.u16(), body.u16()
		n := Notation{Name: string(body.take(uint32(name))), Value: string(body.take(uint32(value)))}
		if critical {
			s.refuse("a critical notation")
		}
		n.Text = flags == 0x80000000
		s.notations = append(s.notations, n)
	case 27: // key flags
		flags := body.u8() // an empty field flags nothing
		if s.hasFlags {
			flags &= s.flags
		}
		s.flags, s.hasFlags = flags, true
		return
	case 29: // reason for revocation
		code := body.u8()
		if s.hasReason && s.reason != code {
			code = 0 // none is given, which is the hardest
		}
		s.reason, s.hasReason = code, true
		return
	case 4, 5, 6, 7, 11, 16, 21, 22, 23, 24, 25, 26, 28, 30, 31, 32, 33, 34, 35, 37, 38, 39:
		// Known, and of no weight here: exportable, trust, regular expression,
		// revocable, preferences, issuer, primary user id, policy, signer,
		// features, target, embedded signature, recipient, attestations.
		return
	default:
		if critical {
			s.refuse("an unknown critical subpacket")
		}
		return
	}
	if !body.done() {
		s.refuse("broken subpackets")
	}
}

// sooner returns the shorter of two lifetimes, of which 0 is for ever.
func sooner(a, b uint32) uint32 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// hints says whether the signature names k, in either area.
func (s *signature) hints(k *publicKey) bool {
	for _, id := range s.issuers {
		if id == k.fingerprint || id == k.id() {
			return true
		}
	}
	return false
}

// finish adds to h, which has taken in what is signed, what the packet says of
// itself, and returns the digest (RFC 9580, section 5.2.4).
func (s *signature) finish(h hash.Hash) []byte {
	h.Write(s.head)
	trailer := [6]byte{s.version, 0xff}
	binary.BigEndian.PutUint32(trailer[2:], uint32(len(s.head)))
	h.Write(trailer[:])
	return h.Sum(nil)
}

// expiredAt says whether the signature itself had run out at the time t.
func (s *signature) expiredAt(t int64) bool {
	return s.expires != 0 && t >= int64(s.created)+int64(s.expires)
}
