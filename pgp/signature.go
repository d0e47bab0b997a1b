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

// Signature type ids (RFC 9580, section 5.2.1).
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

// A digestAlgo is a hash algorithm and how far it is trusted.
type digestAlgo struct {
	id       crypto.Hash
	new      func() hash.Hash // nil for an unknown algorithm
	saltSize int              // bytes of salt in a version 6 signature; 0: not allowed there
	strength strength
}

// strength says for which signatures a hash algorithm is accepted. A stronger algorithm is
// accepted for everything that a weaker one is.
type strength int

const (
	_ strength = iota // a hash that this package does not compute
	// forRevocation is the strength of MD5. Collisions are easy to make, but a false
	// revocation makes no false signature good.
	forRevocation
	// forBinding is the strength of SHA-1. It is accepted in a certificate's own
	// signatures, since the caller trusts the certificate. More than a third of Arch
	// Linux's keys, and the key of images.linuxcontainers.org, have no better ones.
	forBinding
	// forDocument is the strength of the algorithms that are accepted for everything.
	forDocument
)

// digestAlgoOf returns the algorithm with the given number (RFC 9580, section 9.5). No known
// file is signed with SHA-224 or SHA-3, but a revocation may use them.
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

// Bounds of one signature packet; what exceeds them is ignored.
const (
	maxEmbedded = 4  // embedded signatures; a subkey binding signature needs one
	maxHints    = 16 // issuer subpackets; two are usual
)

// A signature holds the fields of one signature packet.
type signature struct {
	version, kind, algo byte // kind is the signature type
	hash                digestAlgo
	hashNumber          byte
	head                []byte // the signed part of the packet: from the version to the end of the hashed area
	salt                []byte // of version 6 only
	left                []byte // the first two bytes of the digest
	material            []byte // the numbers that are specific to the key's algorithm

	// From the hashed area. If invalid is not empty the other fields may be missing.
	invalid    string // why the signature does not count even if a key made it
	created    uint32 // seconds since 1970
	hasCreated bool
	expires    uint32 // seconds after created; 0: never
	keyExpires uint32 // seconds after the key's creation; 0: never
	flags      byte   // the first byte of the key flags
	hasFlags   bool
	reason     byte // of a revocation; valid if hasReason is set
	hasReason  bool
	revokers   []string // fingerprints of designated revokers
	notations  []Notation

	// From both areas. The unhashed area is not signed, so these are hints.
	issuers  []string // key ids and fingerprints
	embedded [][]byte // bodies of embedded signature packets
}

// parseSignature reads the body of a signature packet (RFC 9580, section 5.2.3). It returns
// nil if the version is neither 4 nor 6, or if the lengths of the main fields are wrong.
// Other faults are recorded in invalid: a revocation with such a fault still revokes.
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

// refuse sets invalid, unless an earlier reason is set.
func (s *signature) refuse(reason string) {
	if s.invalid == "" {
		s.invalid = reason
	}
}

// readArea reads one area of subpackets (RFC 9580, section 5.2.3.7). In the unhashed area,
// only hints count.
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

// readHint reads a subpacket that may be in the unhashed area.
func (s *signature) readHint(kind byte, body []byte) {
	switch {
	case kind == 16 && len(body) == 8 && len(s.issuers) < maxHints: // issuer key id
		// A key id of zeros hides the issuer.
		if string(body) != "\x00\x00\x00\x00\x00\x00\x00\x00" {
			s.issuers = append(s.issuers, string(body))
		}
	case kind == 33 && (len(body) == 21 || len(body) == 33) && len(s.issuers) < maxHints: // key version, issuer fingerprint
		s.issuers = append(s.issuers, string(body[1:]))
	case kind == 32 && len(s.embedded) < maxEmbedded: // embedded signature
		s.embedded = append(s.embedded, body)
	}
}

// readSubpacket reads one subpacket of the hashed area. If a subpacket type occurs twice, the
// value that allows less counts.
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
		flags := body.u8() // 0 if the field is empty
		if s.hasFlags {
			flags &= s.flags
		}
		s.flags, s.hasFlags = flags, true
		return
	case 29: // reason for revocation
		code := body.u8()
		if s.hasReason && s.reason != code {
			code = 0 // no reason: the revocation counts at all times
		}
		s.reason, s.hasReason = code, true
		return
	case 4, 5, 6, 7, 11, 16, 21, 22, 23, 24, 25, 26, 28, 30, 31, 32, 33, 34, 35, 37, 38, 39:
		// Known types that this package does not need: exportable, trust, regular
		// expression, revocable, preferences, issuer, primary user id, policy, signer,
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

// sooner returns the shorter of two lifetimes; 0 means forever.
func sooner(a, b uint32) uint32 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// names reports whether an issuer subpacket, in either area, names k.
func (s *signature) names(k *publicKey) bool {
	for _, id := range s.issuers {
		if id == k.fingerprint || id == k.id() {
			return true
		}
	}
	return false
}

// finish writes the signed part of the packet and the trailer to h, which has hashed the
// salt and the signed data, and returns the digest (RFC 9580, section 5.2.4).
func (s *signature) finish(h hash.Hash) []byte {
	h.Write(s.head)
	trailer := [6]byte{s.version, 0xff}
	binary.BigEndian.PutUint32(trailer[2:], uint32(len(s.head)))
	h.Write(trailer[:])
	return h.Sum(nil)
}

// expiredAt reports whether the signature itself had expired at the time t.
func (s *signature) expiredAt(t int64) bool {
	return s.expires != 0 && t >= int64(s.created)+int64(s.expires)
}
