package pgp

import (
	"bytes"
	"encoding/binary"
	"hash"
)

// Bounds of one certificate. Debian's longest-serving developers have some
// hundreds of self-signatures; a certificate beyond the bounds is refused,
// since what was left out might have been its revocation.
const (
	maxSelfSignatures = 4096
	maxUserIDs        = 1024
	maxSubkeys        = 1024
)

const flagSign = 0x02 // key flags, RFC 9580, section 5.2.3.29

// A certificate is a primary key and what its owner says of it, unchecked: the
// signatures are verified when a signature names one of its keys, since of a
// keyring of a thousand certificates one is needed.
type certificate struct {
	primary *publicKey
	// pinned: the caller knows the bare key by its fingerprint, so it needs no
	// self-signature. What it says of itself still counts against it.
	pinned            bool
	overfull          bool
	direct            []*signature // on the primary key
	revocations       []*signature // of the primary key
	ids               []*userID
	subkeys           []*subkey
	subkeyRevocations []*signature // of any of the subkeys: one out of its place still counts
	count             int          // of all these signatures
}

// A userID is a user id or user attribute with the owner's signatures on it.
type userID struct {
	tag  byte
	body []byte
	sigs []*signature // certifications, and their revocations
}

// A subkey is one with its bindings.
type subkey struct {
	key      *publicKey
	bindings []*signature
}

// addID returns the user id of that content, made if need be: a certificate may
// come in several copies.
func (c *certificate) addID(tag byte, body []byte) *userID {
	for _, u := range c.ids {
		if u.tag == tag && bytes.Equal(u.body, body) {
			return u
		}
	}
	if len(c.ids) == maxUserIDs {
		c.overfull = true
		return nil
	}
	u := &userID{tag: tag, body: body}
	c.ids = append(c.ids, u)
	return u
}

// addSubkey returns the subkey of that fingerprint, made if need be.
func (c *certificate) addSubkey(k *publicKey) *subkey {
	for _, s := range c.subkeys {
		if s.key.fingerprint == k.fingerprint {
			return s
		}
	}
	if len(c.subkeys) == maxSubkeys {
		c.overfull = true
		return nil
	}
	s := &subkey{key: k}
	c.subkeys = append(c.subkeys, s)
	return s
}

// addSignature files a signature that stands below u or sub, or below the
// primary key where both are nil. What other people say of the key is dropped.
func (c *certificate) addSignature(s *signature, u *userID, sub *subkey) {
	var list *[]*signature
	switch own := len(s.issuers) == 0 || s.hints(c.primary); {
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
		c.overfull = true
		return
	}
	c.count++
	*list = append(*list, s)
}

// join adds what another copy of the same certificate holds.
func (c *certificate) join(other *certificate) {
	c.pinned = c.pinned || other.pinned
	c.overfull = c.overfull || other.overfull
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

// writeTo hashes the id as certifications do (RFC 9580, section 5.2.4).
func (u *userID) writeTo(h hash.Hash) {
	head := [5]byte{0: 0xb4}
	if u.tag == tagUserAttribute {
		head[0] = 0xd1
	}
	binary.BigEndian.PutUint32(head[1:], uint32(len(u.body)))
	h.Write(head[:])
	h.Write(u.body)
}

// signedBy says whether k made the signature over the keys and, where it isn't
// nil, the user id, with a hash of at least the given strength. Nothing but a
// revocation can be older than the key that made it.
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

// A record is what was found true of a certificate: every signature in it is
// made by the owner, or, for a revocation, by somebody the owner appointed.
type record struct {
	cert        *certificate
	lists       [][]*signature // the direct ones first, then one list for each user id
	revokers    []*publicKey   // the keys that may revoke this one, as far as they are at hand
	revocations []*signature   // of the primary key
}

// verified checks the signatures on the primary key and on the user ids. keys
// are all primary keys at hand, by fingerprint, to find designated revokers in.
func (c *certificate) verified(keys map[string]*publicKey) *record {
	r := &record{cert: c, lists: make([][]*signature, 1, 1+len(c.ids))}
	for _, s := range c.direct {
		if s.invalid == "" && s.signedBy(c.primary, forBinding, nil, c.primary) {
			r.lists[0] = append(r.lists[0], s)
		}
	}
	for _, u := range c.ids {
		r.lists = append(r.lists, u.verified(c.primary))
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

// verified returns the owner's signatures on the user id: none where it has
// been revoked in a way that can't be read.
func (u *userID) verified(owner *publicKey) (good []*signature) {
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

// revokes says whether s is a revocation, over the given keys, by the owner or
// a designated revoker.
func (r *record) revokes(s *signature, over ...*publicKey) bool {
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

// inForce returns the newest of sigs at the time t; of two of one second a
// revocation, else the later one in the file. One that has expired by then takes
// nothing back of what an older one says, and revocations don't expire, as
// GnuPG and Sequoia have both. made says whether there was any by then.
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

// oldest returns the first of the owner's statements in sigs.
func oldest(sigs []*signature) (first *signature) {
	for _, s := range sigs {
		if s.kind != typeCertificationRevoke && (first == nil || s.created < first.created) {
			first = s
		}
	}
	return first
}

// A statement is what the owner's signatures in force say of the primary key.
type statement struct {
	found   bool  // a self-signature is in force
	expires int64 // seconds since 1970; 0: never
	sign    bool  // the flags, if any, allow signing
}

// at returns what the certificate says of its primary key at the time t.
//
// That is: of the direct-key signatures and of those on each user id the newest
// one by then. Keyrings are often cleaned of all but the newest signatures, so
// where all are later than t the oldest of each count. Direct-key signatures and user
// ids are read together and the earlier expiry wins, since the direct one may
// be about something else (a designated revoker); of several user ids the
// newest signature that sets an expiry decides, as GnuPG has it.
func (r *record) at(t int64) statement {
	st := statement{sign: true}
	var direct, expiry, flags *signature // the latter two of the user ids
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

// revokedAt says whether one of the revocations is in force at the time t. A
// hard one (the key was lost, or no reason or an unknown one is given) always
// is, whenever it was made: who has the key can date signatures back. A soft
// one (superseded, retired) is in force from its date until a newer signature
// in renewals takes it back.
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

// problem returns why key, the primary key or a subkey of the certificate,
// couldn't sign a document at the time t; "" where it could.
func (r *record) problem(key *publicKey, t int64) string {
	c := r.cert
	switch {
	case c.overfull:
		return "the certificate has more parts than this program reads"
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

// subkeyProblem is problem for what concerns the subkey alone.
func (r *record) subkeyProblem(key *publicKey, t int64) string {
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
		return "the subkey is not bound to its certificate"
	case !made:
		return "the signature is older than the subkey's binding"
	case binding == nil:
		return "the subkey's binding had expired"
	case !binding.hasFlags || binding.flags&flagSign == 0:
		return "the subkey is not for signing"
	case binding.keyExpires != 0 && t >= int64(key.created)+int64(binding.keyExpires):
		return "the subkey had expired"
	case !binding.agreed(c.primary, key, t):
		return "the subkey did not agree to its binding"
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

// agreed says whether a binding holds the subkey's own signature: else anybody
// could bind somebody else's subkey and pass its signatures off as theirs (RFC
// 9580, section 5.2.1.9).
func (s *signature) agreed(primary, key *publicKey, t int64) bool {
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
