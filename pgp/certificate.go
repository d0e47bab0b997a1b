package pgp

import (
	"bytes"
	"encoding/binary"
	"hash"
)

// Bounds of one certificate. A certificate that exceeds them is refused, since the part that
// is left out might be the revocation. Some Debian developers have hundreds of
// self-signatures.
const (
	maxSelfSignatures = 4096
	maxUserIDs        = 1024
	maxSubkeys        = 1024
)

const flagSign = 0x02 // key flag: may sign data (RFC 9580, section 5.2.3.29)

// A certificate is a primary key with its user ids, subkeys and signatures, none of which
// has been verified. The method verify does that when a signature names one of the keys: a
// keyring may hold a thousand certificates, and usually only one is needed.
type certificate struct {
	primary *publicKey
	// pinned is set if the caller knows the fingerprint of the primary key. The key then
	// needs no self-signature, but an expiry or revocation still counts.
	pinned            bool
	tooLarge          bool         // the certificate exceeds the bounds
	direct            []*signature // direct-key signatures
	revocations       []*signature // of the primary key
	ids               []*userID
	subkeys           []*subkey
	subkeyRevocations []*signature // of all subkeys: a revocation after the wrong subkey counts, too
	count             int          // number of all these signatures
}

// A userID is a user id or user attribute with the self-signatures on it.
type userID struct {
	tag  byte
	body []byte
	sigs []*signature // certifications and their revocations
}

// A subkey is a subkey with its subkey binding signatures.
type subkey struct {
	key      *publicKey
	bindings []*signature
}

// addID returns the userID with that content and adds it if it is new. The content may be
// known, because a file may contain several copies of a certificate.
func (c *certificate) addID(tag byte, body []byte) *userID {
	for _, u := range c.ids {
		if u.tag == tag && bytes.Equal(u.body, body) {
			return u
		}
	}
	if len(c.ids) == maxUserIDs {
		c.tooLarge = true
		return nil
	}
	u := &userID{tag: tag, body: body}
	c.ids = append(c.ids, u)
	return u
}

// addSubkey returns the subkey with k's fingerprint and adds it if it is new.
func (c *certificate) addSubkey(k *publicKey) *subkey {
	for _, s := range c.subkeys {
		if s.key.fingerprint == k.fingerprint {
			return s
		}
	}
	if len(c.subkeys) == maxSubkeys {
		c.tooLarge = true
		return nil
	}
	s := &subkey{key: k}
	c.subkeys = append(c.subkeys, s)
	return s
}

// addSignature adds a signature that follows u or sub in the file, or follows the primary key
// if both are nil. It drops signatures by other people.
func (c *certificate) addSignature(s *signature, u *userID, sub *subkey) {
	var list *[]*signature
	switch own := len(s.issuers) == 0 || s.names(c.primary); {
	case s.kind == typeKeyRevocation: // maybe a designated revoker's
		list = &c.revocations
	case s.kind == typeSubkeyRevocation:
		list = &c.subkeyRevocations
	case !own:
		return
	case s.kind == typeDirectKey:
		list = &c.direct
	case s.kind >= typeGenericCert && s.kind <= typePositiveCert && u != nil,
		s.kind == typeCertificationRevoke && u != nil:
		list = &u.sigs
	case s.kind == typeSubkeyBinding && sub != nil:
		list = &sub.bindings
	default:
		return
	}
	if c.count == maxSelfSignatures {
		c.tooLarge = true
		return
	}
	c.count++
	*list = append(*list, s)
}

// merge adds the parts of another copy of the same certificate.
func (c *certificate) merge(other *certificate) {
	c.pinned = c.pinned || other.pinned
	c.tooLarge = c.tooLarge || other.tooLarge
	add := func(sigs []*signature, u *userID, sub *subkey) {
		for _, s := range sigs {
			c.addSignature(s, u, sub)
		}
	}
	add(other.direct, nil, nil)
	add(other.revocations, nil, nil)
	add(other.subkeyRevocations, nil, nil)
	for _, o := range other.ids {
		if u := c.addID(o.tag, o.body); u != nil {
			add(o.sigs, u, nil)
		}
	}
	for _, o := range other.subkeys {
		if sub := c.addSubkey(o.key); sub != nil {
			add(o.bindings, nil, sub)
		}
	}
}

// writeTo writes the user id to h in the form that certifications hash (RFC 9580, section
// 5.2.4).
func (u *userID) writeTo(h hash.Hash) {
	head := [5]byte{0: 0xb4}
	if u.tag == tagUserAttribute {
		head[0] = 0xd1
	}
	binary.BigEndian.PutUint32(head[1:], uint32(len(u.body)))
	h.Write(head[:])
	h.Write(u.body)
}

// signedBy reports whether k made the signature over the given keys and, if u is not nil,
// the user id, with a hash of at least the strength need. Only a revocation may be older
// than the key that made it.
func (s *signature) signedBy(k *publicKey, need strength, u *userID, over ...*publicKey) bool {
	if s.hash.strength < need || s.hash.new == nil || k.key == nil || need > forRevocation && s.created < k.created {
		return false
	}
	h := s.hash.new()
	h.Write(s.salt)
	for _, o := range over {
		o.writeTo(h)
	}
	if u != nil {
		u.writeTo(h)
	}
	return k.verify(s, s.finish(h))
}

// A verifiedCertificate is a certificate with those of its signatures that were verified: the
// primary key made them or, in the case of a revocation, a designated revoker.
type verifiedCertificate struct {
	cert        *certificate
	lists       [][]*signature // the direct-key signatures, then a list for each user id
	revokers    []*publicKey   // the designated revokers whose keys are known
	revocations []*signature   // of the primary key
}

// verify checks the signatures on the primary key and on the user ids. keys holds all known
// primary keys by fingerprint, among which designated revokers may be.
func (c *certificate) verify(keys map[string]*publicKey) *verifiedCertificate {
	r := &verifiedCertificate{cert: c, lists: make([][]*signature, 1, 1+len(c.ids))}
	for _, s := range c.direct {
		if s.invalid == "" && s.signedBy(c.primary, forBinding, nil, c.primary) {
			r.lists[0] = append(r.lists[0], s)
		}
	}
	for _, u := range c.ids {
		r.lists = append(r.lists, u.verify(c.primary))
	}
	for _, list := range r.lists {
		for _, s := range list {
			for _, fingerprint := range s.revokers {
				if k := keys[fingerprint]; k != nil {
					r.revokers = append(r.revokers, k)
				}
			}
		}
	}
	for _, s := range c.revocations {
		if r.revokes(s, c.primary) {
			r.revocations = append(r.revocations, s)
		}
	}
	return r
}

// verify returns the self-signatures on the user id that owner, the primary key, made. It
// returns none if one of them is a revocation with a fault.
func (u *userID) verify(owner *publicKey) (good []*signature) {
	for _, s := range u.sigs {
		revocation, need := s.kind == typeCertificationRevoke, forBinding
		if revocation {
			need = forRevocation
		}
		if !revocation && s.invalid != "" || !s.signedBy(owner, need, u, owner) {
			continue
		}
		if s.invalid != "" {
			return nil
		}
		good = append(good, s)
	}
	return good
}

// revokes reports whether the primary key or a designated revoker made the revocation s over
// the given keys.
func (r *verifiedCertificate) revokes(s *signature, over ...*publicKey) bool {
	if s.signedBy(r.cert.primary, forRevocation, nil, over...) {
		return true
	}
	for _, k := range r.revokers {
		if s.signedBy(k, forRevocation, nil, over...) {
			return true
		}
	}
	return false
}

// inForce returns the newest of sigs at the time t. Of two signatures of the same second it
// returns the revocation, or else the later one in the file. It skips signatures that had
// expired, except revocations, which don't expire; GnuPG and Sequoia do the same. made
// reports whether any of sigs existed at the time t.
func inForce(sigs []*signature, t int64) (newest *signature, made bool) {
	for _, s := range sigs {
		if int64(s.created) > t {
			continue
		}
		made = true
		if s.kind != typeCertificationRevoke && s.expiredAt(t) {
			continue
		}
		if newest == nil || s.created > newest.created ||
			s.created == newest.created && newest.kind != typeCertificationRevoke {
			newest = s
		}
	}
	return newest, made
}

// oldest returns the signature in sigs with the earliest creation time, revocations excepted.
func oldest(sigs []*signature) (first *signature) {
	for _, s := range sigs {
		if s.kind != typeCertificationRevoke && (first == nil || s.created < first.created) {
			first = s
		}
	}
	return first
}

// A statement is what the self-signatures in force say about the primary key.
type statement struct {
	found   bool  // a self-signature is in force
	expires int64 // when the key expires, in seconds since 1970; 0: never
	sign    bool  // the key flags, if any, allow signing
}

// at returns what the self-signatures say about the primary key at the time t.
//
// Of the direct-key signatures, and of the signatures on each user id, the newest at the
// time t counts. Many keyrings contain only the newest signatures; so if all of them are
// later than t, the oldest of each list counts. If a direct-key signature and a user id both
// set an expiry, the earlier one counts, because the direct-key signature may only be about
// a designated revoker. Among user ids, the newest signature that sets an expiry decides,
// and the newest that has key flags, as in GnuPG.
func (r *verifiedCertificate) at(t int64) statement {
	st := statement{sign: true}
	var direct *signature
	var expiry, flags *signature // on user ids
	inForceAt := make([]*signature, len(r.lists))
	any := false
	for i, list := range r.lists {
		s, made := inForce(list, t)
		inForceAt[i], any = s, any || made
	}
	for i, s := range inForceAt {
		if !any {
			s = oldest(r.lists[i])
		}
		switch {
		case s == nil || s.kind == typeCertificationRevoke:
			continue
		case i == 0:
			direct = s
		default:
			if s.keyExpires != 0 && (expiry == nil || s.created >= expiry.created) {
				expiry = s
			}
			if s.hasFlags && (flags == nil || s.created >= flags.created) {
				flags = s
			}
		}
		st.found = true
	}
	for _, s := range []*signature{direct, expiry} {
		if s != nil && s.keyExpires != 0 {
			if end := int64(r.cert.primary.created) + int64(s.keyExpires); st.expires == 0 || end < st.expires {
				st.expires = end
			}
		}
	}
	for _, s := range []*signature{direct, flags} {
		if s != nil && s.hasFlags && s.flags&flagSign == 0 {
			st.sign = false
		}
	}
	return st
}

// revokedAt reports whether one of the revocations is in force at the time t. A hard
// revocation (the key is compromised, or the reason is unknown or missing) always is: whoever
// has the secret key can make signatures with any creation time. A soft revocation
// (superseded, retired, user id no longer valid; RFC 9580, section 5.2.3.31) is in force from
// its creation time until a newer signature in renewals replaces it.
func revokedAt(revocations []*signature, renewals [][]*signature, t int64) bool {
	for _, r := range revocations {
		soft := r.invalid == "" && r.hasReason && (r.reason == 1 || r.reason == 3 || r.reason == 32)
		if !soft {
			return true
		}
		if int64(r.created) > t {
			continue
		}
		renewed := false
		for _, list := range renewals {
			for _, s := range list {
				if s.kind != typeCertificationRevoke && s.created > r.created && int64(s.created) <= t && !s.expiredAt(t) {
					renewed = true
				}
			}
		}
		if !renewed {
			return true
		}
	}
	return false
}

// problem returns why key, the primary key or a subkey of the certificate, could not sign a
// document at the time t, or "" if it could.
func (r *verifiedCertificate) problem(key *publicKey, t int64) string {
	c := r.cert
	switch {
	case c.tooLarge:
		return "the certificate has more signatures, user ids or subkeys than this program reads"
	case t < int64(c.primary.created), t < int64(key.created):
		return "the signature is older than its key"
	case revokedAt(r.revocations, r.lists, t):
		return "the key is revoked"
	}
	st := r.at(t)
	switch {
	case !st.found && !c.pinned:
		return "the certificate has no valid self-signature"
	case st.expires != 0 && t >= st.expires:
		return "the key had expired"
	case key == c.primary && !st.sign:
		return "the key is not for signing"
	case key == c.primary:
		return ""
	}
	return r.subkeyProblem(key, t)
}

// subkeyProblem is the part of problem about the subkey alone.
func (r *verifiedCertificate) subkeyProblem(key *publicKey, t int64) string {
	c := r.cert
	var bindings []*signature
	for _, sub := range c.subkeys {
		if sub.key != key {
			continue
		}
		for _, s := range sub.bindings {
			if s.invalid == "" && s.signedBy(c.primary, forBinding, nil, c.primary, key) {
				bindings = append(bindings, s)
			}
		}
	}
	binding, made := inForce(bindings, t)
	switch {
	case len(bindings) == 0:
		return "the subkey is not bound to its certificate: no valid subkey binding signature"
	case !made:
		return "the signature is older than the subkey's binding"
	case binding == nil:
		return "the subkey's binding had expired"
	case !binding.hasFlags || binding.flags&flagSign == 0:
		return "the subkey is not for signing"
	case binding.keyExpires != 0 && t >= int64(key.created)+int64(binding.keyExpires):
		return "the subkey had expired"
	case !binding.hasBackSignature(c.primary, key, t):
		return "the subkey did not agree to its binding: no valid primary key binding signature"
	}
	var revocations []*signature
	for _, s := range c.subkeyRevocations {
		if r.revokes(s, c.primary, key) {
			revocations = append(revocations, s)
		}
	}
	if revokedAt(revocations, [][]*signature{bindings}, t) {
		return "the subkey is revoked"
	}
	return ""
}

// hasBackSignature reports whether the subkey binding signature s contains a primary key
// binding signature by the subkey. Without one, an attacker could bind another person's
// subkey to his own primary key and claim its signatures (RFC 9580, section 5.2.1.9).
func (s *signature) hasBackSignature(primary, key *publicKey, t int64) bool {
	for _, body := range s.embedded {
		back := parseSignature(body)
		if back != nil && back.kind == typePrimaryBinding && back.invalid == "" &&
			int64(back.created) <= t && !back.expiredAt(t) &&
			back.signedBy(key, forBinding, nil, primary, key) {
			return true
		}
	}
	return false
}
