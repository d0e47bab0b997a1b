package main

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"encoding/base64"
	"math/big"
	"strings"
)

// A vector is one case: the input and the expected result.
type vector struct {
	name, comment string
	expect        string // "good", or the kind of error and a part of its text
	policy        []string
	keys, sig     []byte // armored or binary
	data          []byte
	message, text []byte // cleartext, instead of sig and data
}

const (
	oidP256 = "\x2a\x86\x48\xce\x3d\x03\x01\x07"
	oidP384 = "\x2b\x81\x04\x00\x22"
	oidP521 = "\x2b\x81\x04\x00\x23"
)

var document = []byte("Hello, world.\nA second line.\n")

// A set collects the vectors.
type set struct{ list []vector }

// detached adds a case with a detached signature of the document.
func (s *set) detached(name, expect, comment string, keys, sig []byte, policy ...string) {
	s.list = append(s.list, vector{name: name, expect: expect, comment: comment, keys: keys, sig: sig, data: document, policy: policy})
}

func (s *set) over(data string) { s.list[len(s.list)-1].data = []byte(data) }

const (
	changed = "bad signature: was changed"
)

func vectors() []vector {
	var s set
	s.algorithms()
	s.documents()
	s.subpackets()
	s.packets()
	s.armors()
	s.several()
	s.certificates()
	s.revocations()
	s.subkeys()
	s.keyFiles()
	s.cleartext()
	s.plain()
	return s.list
}

func (s *set) algorithms() {
	for _, c := range []struct {
		name, expect, comment string
		key                   *key
		hash                  byte
	}{
		{"rsa2048", "good", "RSA of 2048 bits", rsaKey("rsa2048", 4, keyTime, 2048), sha256Hash},
		{"rsa2048-sha512", "good", "RSA with SHA-512", rsaKey("rsa2048", 4, keyTime, 2048), sha512Hash},
		{"rsa1024", "bad signature: key is not accepted", "RSA of 1024 bits", rsaKey("rsa1024", 4, keyTime, 1024), sha256Hash},
		{"rsa2040", "bad signature: key is not accepted", "RSA a byte below the limit", rsaKey("rsa2040", 4, keyTime, 2032), sha256Hash},
		{"rsa2048-v6", "good", "RSA, version 6", rsaKey("rsa2048", 6, keyTime, 2048), sha256Hash},
		{"p256", "good", "ECDSA on P-256", ecdsaKey("p256", 4, keyTime, elliptic.P256(), oidP256), sha256Hash},
		{"p384", "good", "ECDSA on P-384", ecdsaKey("p384", 4, keyTime, elliptic.P384(), oidP384), sha384Hash},
		{"p521", "good", "ECDSA on P-521", ecdsaKey("p521", 4, keyTime, elliptic.P521(), oidP521), sha512Hash},
		{"p256-v6", "good", "ECDSA, version 6", ecdsaKey("p256", 6, keyTime, elliptic.P256(), oidP256), sha256Hash},
		{"eddsa", "good", "Ed25519 in its older form", eddsaKey("a", 4, keyTime), sha256Hash},
		{"eddsa-v6", "bad signature: key is not accepted", "the older form is forbidden to version 6", eddsaKey("a", 6, keyTime), sha256Hash},
		{"ed25519", "good", "Ed25519 in its newer form", ed25519Key("a", 4, keyTime), sha256Hash},
		{"ed25519-v6", "good", "Ed25519, version 6", ed25519Key("a", 6, keyTime), sha256Hash},
		{"ed25519-v6-sha512", "good", "version 6 with SHA-512, whose salt is longer", ed25519Key("a", 6, keyTime), sha512Hash},
		{"hash-sha384", "good", "SHA-384", eddsaKey("a", 4, keyTime), sha384Hash},
		{"hash-sha512", "good", "SHA-512", eddsaKey("a", 4, keyTime), sha512Hash},
		{"hash-md5", "bad signature: hash algorithm", "MD5 on a document", eddsaKey("a", 4, keyTime), md5Hash},
		{"hash-sha1", "bad signature: hash algorithm", "SHA-1 on a document", eddsaKey("a", 4, keyTime), sha1Hash},
		{"hash-sha224", "bad signature: hash algorithm", "SHA-224 on a document", eddsaKey("a", 4, keyTime), sha224Hash},
		{"hash-sha3", "bad signature: hash algorithm", "SHA3-256 on a document", eddsaKey("a", 4, keyTime), sha3Hash},
	} {
		s.detached("algo-"+c.name, c.expect, c.comment, cert(c.key), sig{by: c.key, hash: c.hash}.packet(document))
		if c.expect == "good" {
			s.detached("algo-"+c.name+"-changed", changed, c.comment+"; the data was changed", cert(c.key), sig{by: c.key, hash: c.hash}.packet(document))
			s.over("hello, world.\nA second line.\n")
		}
	}
	p256 := ecdsaKey("p256", 4, keyTime, elliptic.P256(), oidP256)
	s.detached("ecdsa-zero", changed, "r and s of zero verify everything where they aren't refused", cert(p256),
		sig{by: p256, damage: func([]byte) []byte { return []byte{0, 0, 0, 0} }}.packet(document))
	a := eddsaKey("a", 4, keyTime)
	s.detached("eddsa-s-plus-order", changed, "S plus the order of the curve: the same signature in another spelling", cert(a),
		sig{by: a, damage: addOrder}.packet(document))
	s.detached("mpi-length", changed, "a length that counts leading zero bits", cert(a),
		sig{by: a, damage: longerMPI}.packet(document))
	s.detached("mpi-eddsa-padded", "good", "256 bits always: GnuPG's betas of 2014", cert(a),
		sig{by: a, time: signTime + 2, damage: func(m []byte) []byte {
			n := (int(m[0])<<8 + int(m[1]) + 7) / 8
			r, v := make([]byte, 32), make([]byte, 32)
			copy(r[32-n:], m[2:2+n])
			copy(v[32-len(m[4+n:]):], m[4+n:])
			return cat([]byte{1, 0}, r, []byte{1, 0}, v)
		}}.packet(document))
	s.detached("material-trailing", changed, "a byte after the signature's numbers", cert(a),
		sig{by: a, damage: func(m []byte) []byte { return append(m, 0) }}.packet(document))
	s.detached("left-wrong", changed, "the digest's first bytes don't agree", cert(a),
		sig{by: a, left: []byte{0x12, 0x34}}.packet(document))
	rsa := rsaKey("rsa2048", 4, keyTime, 2048)
	s.detached("algo-mismatch", changed, "the signature claims another algorithm than its key's", cert(a),
		sig{by: a, algo: ed25519Algo}.packet(document))
	s.detached("rsa-of-another-key", changed, "an RSA signature that names an Ed25519 key", cert(a),
		sig{by: rsa, hashed: [][]byte{created(signTime), issuerPrint(a)}}.packet(document))
	s.weakKeys()
	v6 := ed25519Key("a", 6, keyTime)
	s.detached("v6-short-salt", "bad signature: salt", "a salt of 8 bytes", cert(v6), sig{by: v6, salt: stream("salt", 8)}.packet(document))
	s.detached("v6-no-salt", "bad signature: salt", "no salt", cert(v6), sig{by: v6, salt: []byte{}}.packet(document))
	s.detached("v4-by-v6-key", "bad signature: version", "a version 4 signature by a version 6 key", cert(v6), sig{by: v6, version: 4}.packet(document))
	b := ed25519Key("a", 4, keyTime)
	s.detached("v6-by-v4-key", "bad signature: version", "a version 6 signature by a version 4 key", cert(b), sig{by: b, version: 6}.packet(document))
	for _, v := range []byte{3, 5, 7} {
		body := sig{by: a}.body(document)
		body[0] = v
		s.detached("version-"+string(rune('0'+v)), "untrusted", "a signature of an unknown version", cert(a), packet(2, body))
	}
}

// weakKeys adds cases of keys that are too weak, of keys that package pgp doesn't know, and
// of refused encodings of good keys.
func (s *set) weakKeys() {
	const refused = "bad signature: key is not accepted"
	rsa := rsaKey("rsa2048", 4, keyTime, 2048)
	p256 := ecdsaKey("p256", 4, keyTime, elliptic.P256(), oidP256)
	ed := eddsaKey("a", 4, keyTime)
	modulus, point := rsa.body[8:8+256], p256.body[6+1+len(oidP256)+2:]
	// with returns the key with other key material, and its signatures.
	with := func(k *key, algo byte, material ...[]byte) *key {
		other := newKey(4, algo, keyTime, cat(material...))
		other.sign = k.sign
		return other
	}
	even, compressed, off := bytes.Clone(modulus), cat([]byte{2 | point[64]&1}, point[1:33]), bytes.Clone(point)
	even[255] &^= 1
	off[64] ^= 1
	p256OID, edOID := cat([]byte{byte(len(oidP256))}, []byte(oidP256)), []byte("\x09\x2b\x06\x01\x04\x01\xda\x47\x0f\x01")
	edPoint := ed.body[len(ed.body)-32:]
	for _, c := range []struct {
		name, expect, comment string
		key                   *key
	}{
		{"rsa-sign-only", "good", "RSA under the number that is for signing only", with(rsa, 3, mpi(modulus), mpi([]byte{1, 0, 1}))},
		{"rsa-encrypt-only", refused, "RSA under the number that is for encrypting only", with(rsa, 2, mpi(modulus), mpi([]byte{1, 0, 1}))},
		{"rsa-exponent-1", refused, "with an exponent of 1 every number is its own signature", with(rsa, rsaAlgo, mpi(modulus), mpi([]byte{1}))},
		{"rsa-exponent-0", refused, "an exponent of 0", with(rsa, rsaAlgo, mpi(modulus), mpi(nil))},
		{"rsa-exponent-even", refused, "an even exponent", with(rsa, rsaAlgo, mpi(modulus), mpi([]byte{1, 0, 0}))},
		{"rsa-exponent-long", refused, "an exponent of 33 bits", with(rsa, rsaAlgo, mpi(modulus), mpi([]byte{1, 0, 0, 0, 1}))},
		{"rsa-exponent-top", refused, "an exponent of 32 bits", with(rsa, rsaAlgo, mpi(modulus), mpi([]byte{0x80, 0, 0, 1}))},
		{"rsa-modulus-even", refused, "an even modulus", with(rsa, rsaAlgo, mpi(even), mpi([]byte{1, 0, 1}))},
		{"rsa-modulus-long", refused, "a modulus of 16385 bits", with(rsa, rsaAlgo, mpi(cat([]byte{1}, stream("long", 2047), []byte{1})), mpi([]byte{1, 0, 1}))},
		{"rsa-modulus-padded", refused, "a modulus whose length counts leading zeros", with(rsa, rsaAlgo, be16(2056), []byte{0}, modulus, mpi([]byte{1, 0, 1}))},
		{"rsa-trailing", refused, "a byte after the key's numbers", with(rsa, rsaAlgo, mpi(modulus), mpi([]byte{1, 0, 1}), []byte{0})},
		{"p256-compressed", refused, "a compressed point", with(p256, ecdsaAlgo, p256OID, mpi(compressed))},
		{"p256-off-curve", refused, "a point that is not on the curve", with(p256, ecdsaAlgo, p256OID, mpi(off))},
		{"p256-for-agreement", refused, "a curve's key for key agreement", with(p256, 18, p256OID, mpi(point), []byte{3, 1, 8, 7})},
		{"secp256k1", refused, "the curve secp256k1", with(p256, ecdsaAlgo, []byte("\x05\x2b\x81\x04\x00\x0a"), mpi(point))},
		{"brainpool", refused, "the curve brainpoolP256r1", with(p256, ecdsaAlgo, []byte("\x09\x2b\x24\x03\x03\x02\x08\x01\x01\x07"), mpi(point))},
		{"p256-of-ed25519", refused, "ECDSA on the curve of Ed25519", with(p256, ecdsaAlgo, edOID, mpi(point))},
		{"eddsa-of-p256", refused, "EdDSA on P-256", with(ed, eddsaAlgo, p256OID, mpi(point))},
		{"eddsa-no-prefix", refused, "Ed25519 without the byte that says how its point is written", with(ed, eddsaAlgo, edOID, mpi(edPoint))},
		{"eddsa-short", refused, "Ed25519 of 31 bytes", with(ed, eddsaAlgo, edOID, mpi(cat([]byte{0x40}, edPoint[1:])))},
		{"ed25519-short", refused, "the newer form of 31 bytes", with(ed, ed25519Algo, edPoint[1:])},
		{"ed25519-long", refused, "the newer form of 33 bytes", with(ed, ed25519Algo, edPoint, []byte{0})},
		{"ed448", refused, "Ed448", with(ed, 28, stream("ed448", 57))},
		{"x25519", refused, "X25519, which can't sign", with(ed, 25, edPoint)},
		{"elgamal", refused, "ElGamal", with(ed, 20, mpi([]byte{0xff}), mpi([]byte{3}), mpi([]byte{4}))},
	} {
		s.detached("key-"+c.name, c.expect, c.comment, cert(c.key), sig{by: c.key}.packet(document))
	}
	s.detached("rsa-signature-plus-modulus", changed, "the modulus added to a signature: the same number in another spelling", cert(rsa),
		sig{by: rsa, damage: func(m []byte) []byte {
			n := new(big.Int).SetBytes(m[2:])
			return mpi(n.Add(n, new(big.Int).SetBytes(modulus)).Bytes())
		}}.packet(document))
	s.detached("rsa-signature-padded", changed, "a length that counts leading zeros", cert(rsa),
		sig{by: rsa, damage: func(m []byte) []byte { return cat(be16(2056), make([]byte, 258-len(m)), []byte{0}, m[2:]) }}.packet(document))
	s.detached("ecdsa-plus-order", changed, "s plus the order of the curve", cert(p256),
		sig{by: p256, damage: func(m []byte) []byte {
			n := (int(m[0])<<8 + int(m[1]) + 7) / 8
			v := new(big.Int).SetBytes(m[4+n:])
			return cat(m[:2+n], mpi(v.Add(v, elliptic.P256().Params().N).Bytes()))
		}}.packet(document))
	s.detached("p256-with-sha512", "good", "a digest longer than the curve", cert(p256), sig{by: p256, hash: sha512Hash}.packet(document))
	p521 := ecdsaKey("p521", 4, keyTime, elliptic.P521(), oidP521)
	s.detached("p521-with-sha256", "good", "a digest shorter than the curve", cert(p521), sig{by: p521}.packet(document))

	// Version 6 has the same fields in other places.
	v6 := ed25519Key("a", 6, keyTime)
	direct := func(more ...[]byte) []byte {
		return cat(primaryPacket(v6), sig{by: v6, kind: 0x1f, time: keyTime, more: more}.onKey(v6))
	}
	good := sig{by: v6}.packet(document)
	sign := flags(flagCertify | flagSign)
	for _, c := range []struct {
		name, expect, comment string
		keys, sig             []byte
	}{
		{"direct", "good", "a direct-key signature alone", direct(sign), good},
		{"text", "good", "a text signature", direct(sign), sig{by: v6, kind: 1}.packet(bytes.ReplaceAll(document, []byte("\n"), []byte("\r\n")))},
		{"certify", "bad signature: not for signing", "a key that is not for signing", direct(flags(flagCertify)), good},
		{"expired", "bad signature: key had expired", "an expired key", direct(sign, keyExpires(1000)), good},
		{"revoked", "bad signature: key is revoked", "a revoked key", cat(direct(sign), sig{by: v6, kind: 0x20, time: laterTime}.onKey(v6)), good},
		{"bare", "bad signature: no valid self-signature", "a key alone", primaryPacket(v6), good},
		{"self-sha1", "bad signature: no valid self-signature", "no salt is defined for SHA-1", cat(primaryPacket(v6), sig{by: v6, kind: 0x1f, hash: sha1Hash, time: keyTime, salt: stream("salt", 16)}.onKey(v6)), good},
		{"sha1", "bad signature: hash algorithm", "nor may it sign", direct(sign), sig{by: v6, hash: sha1Hash, salt: stream("salt", 16)}.packet(document)},
		{"long-salt", "bad signature: salt", "a salt of 32 bytes where 16 are right", direct(sign), sig{by: v6, salt: stream("salt", 32)}.packet(document)},
		{"two-salts", "good", "two signatures with salts of their own", direct(sign), cat(sig{by: v6, salt: stream("other", 16)}.packet([]byte("other")), good)},
		{"key-id", "good", "the first eight bytes of the fingerprint for a hint", direct(sign), sig{by: v6, hashed: [][]byte{created(signTime)}, unhashed: [][]byte{issuerID(v6)}}.packet(document)},
	} {
		s.detached("v6-"+c.name, c.expect, c.comment, c.keys, c.sig)
	}
	wrongLength := bytes.Clone(v6.body)
	wrongLength[9]++
	s.detached("v6-key-length", "key file: no keys of version 4 or 6", "a key whose material is shorter than it says", packet(6, wrongLength), good)
}

// addOrder adds the group's order to an EdDSA signature's S.
func addOrder(material []byte) []byte {
	order := "\xed\xd3\xf5\x5c\x1a\x63\x12\x58\xd6\x9c\xf7\xa2\xde\xf9\xde\x14\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10"
	n := (int(material[0])<<8 + int(material[1]) + 7) / 8
	r, v := material[2:2+n], make([]byte, 32)
	copy(v[32-len(material[4+n:]):], material[4+n:])
	carry := 0
	for i := range v {
		carry += int(v[i]) + int(order[i])
		v[i] = byte(carry)
		carry >>= 8
	}
	return cat(mpi(r), mpi(v))
}

// longerMPI puts a zero byte before the second number.
func longerMPI(material []byte) []byte {
	n := (int(material[0])<<8 + int(material[1]) + 7) / 8
	second := material[4+n:]
	return cat(material[:2+n], be16(8*len(second)+8), []byte{0}, second)
}

func (s *set) documents() {
	k := eddsaKey("a", 4, keyTime)
	crlf := []byte("Hello, world.\r\nA second line.\r\n")
	s.detached("text-lf", "good", "a text signature: line feeds are hashed as CR LF", cert(k), sig{by: k, kind: 1}.packet(crlf))
	s.detached("text-crlf", "good", "a text signature on a file with CR LF", cert(k), sig{by: k, kind: 1}.packet(crlf))
	s.over(string(crlf))
	s.detached("text-no-final-line-end", "good", "the last line may lack its end", cert(k), sig{by: k, kind: 1}.packet([]byte("a\r\nb")))
	s.over("a\nb")
	s.detached("text-trailing-blanks", "good", "blanks at line ends are part of the text", cert(k), sig{by: k, kind: 1}.packet([]byte("a  \r\nb\t\r\n")))
	s.over("a  \nb\t\n")
	s.detached("text-trailing-blanks-removed", changed, "so removing them changes it", cert(k), sig{by: k, kind: 1}.packet([]byte("a  \r\nb\t\r\n")))
	s.over("a\nb\n")
	long := strings.Repeat("x", 32767)
	s.detached("text-crlf-on-a-border", "good", "CR and LF on either side of 32768 bytes", cert(k), sig{by: k, kind: 1}.packet([]byte(long+"\r\nmore")))
	s.over(long + "\r\nmore")
	s.detached("binary-of-crlf", changed, "a binary signature doesn't touch line ends", cert(k), sig{by: k}.packet(crlf))
	s.detached("empty-data", "good", "nothing is signed", cert(k), sig{by: k}.packet())
	s.over("")
	for _, kind := range []byte{2, 0x10, 0x13, 0x16, 0x18, 0x19, 0x1f, 0x20, 0x28, 0x30, 0x40, 0x50, 0xff} {
		s.detached("type-"+hexByte(kind), "bad signature: not over a document", "a signature that is made for something else", cert(k), sig{by: k, kind: kind}.packet(document))
	}
	s.detached("type-key-as-document", "bad signature: not over a document", "the certificate's own self-signature, with what it is over as the document", cert(k),
		selfSig(k, keyTime, flags(3)).onID(k, userID))
	s.over(string(cat(k.hashed(), hashedID(userID))))
}

func hexByte(b byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[b>>4], digits[b&15]})
}

func (s *set) subpackets() {
	k, stranger := eddsaKey("a", 4, keyTime), eddsaKey("stranger", 4, keyTime)
	at := func(name, expect, comment string, hashed [][]byte, unhashed ...[]byte) {
		s.detached(name, expect, comment, cert(k), sig{by: k, hashed: hashed, unhashed: unhashed}.packet(document))
	}
	list := func(parts ...[]byte) [][]byte { return parts }
	c, issuer := created(signTime), issuerPrint(k)
	at("created-missing", "bad signature: no creation time", "no creation time", list(issuer))
	at("created-unhashed", "bad signature: no creation time", "a creation time that nobody signed", list(issuer), c)
	at("created-twice", "bad signature: two creation times", "two creation times", list(c, created(midTime), issuer))
	at("created-short", "bad signature: broken subpackets", "a creation time of three bytes", list(sub(2, 1, 2, 3), issuer))
	at("created-before-key", "bad signature: older than its key", "made before its key", list(created(keyTime-1), issuer))
	at("created-with-key", "good", "made in the second of its key", list(created(keyTime), issuer))
	at("created-in-future", "bad signature: from the future", "two days after now", list(created(nowTime+2*86400), issuer))
	at("created-in-slack", "good", "an hour after now: a clock on local time", list(created(nowTime+3600), issuer))
	at("created-2106", "bad signature: from the future", "the last second of 32 bits", list(created(0xffffffff), issuer))
	at("expired", "bad signature: expired", "expired before now", list(c, expires(1000), issuer))
	at("expires-later", "good", "expires after now", list(c, expires(nowTime), issuer))
	at("expires-never", "good", "0 is for ever", list(c, expires(0), issuer))
	at("expires-beyond-32-bits", "good", "creation and lifetime add up to more than 32 bits", list(c, expires(0xffffffff), issuer))
	at("expires-twice", "bad signature: expired", "of two lifetimes the shorter counts", list(c, expires(nowTime), expires(1000), issuer))
	at("expires-unhashed", "good", "a lifetime that nobody signed", list(c, issuer), expires(1000))
	at("unknown", "good", "an unknown subpacket", list(c, issuer, sub(99, 1)))
	at("unknown-critical", "bad signature: critical", "an unknown subpacket that is critical", list(c, issuer, sub(99|critical, 1)))
	at("unknown-critical-unhashed", "good", "one that nobody signed", list(c, issuer), sub(99|critical, 1))
	at("critical-known", "good", "known subpackets that are critical", list(sub(2|critical, be32(signTime)...), sub(33|critical, append([]byte{4}, k.fingerprint()...)...)))
	at("created-in-slack-last", "good", "a day after now, to the second", list(created(nowTime+86400), issuer))
	at("created-beyond-slack", "bad signature: from the future", "a second more than a day after now", list(created(nowTime+86401), issuer))
	at("expires-now", "bad signature: expired", "expires in the second of now", list(c, expires(nowTime-signTime), issuer))
	at("expires-next", "good", "expires a second after now", list(c, expires(nowTime-signTime+1), issuer))
	at("expires-twice-never", "bad signature: expired", "of a lifetime and none the lifetime counts", list(c, expires(1000), expires(0), issuer))
	at("expires-short", "bad signature: broken subpackets", "a lifetime of three bytes", list(c, sub(3, 1, 2, 3), issuer))
	at("expires-long", "bad signature: broken subpackets", "a lifetime of five bytes", list(c, sub(3, 0, 0, 0, 0, 0), issuer))
	at("critical-reserved", "bad signature: critical", "a reserved subpacket that is critical", list(c, issuer, sub(1|critical, 1)))
	at("critical-private", "bad signature: critical", "a subpacket of private use that is critical", list(c, issuer, sub(100|critical, 1)))
	at("critical-placeholder", "bad signature: critical", "the placeholder for what never was, critical", list(c, issuer, sub(10|critical, 1)))
	at("private", "good", "a subpacket of private use", list(c, issuer, sub(110, 1)))
	at("notation-critical-unhashed", "good", "a critical notation that nobody signed", list(c, issuer), notation(20|critical, "image@example.org", "debian"))
	at("notation-twice", "good", "two notations of one name", list(c, issuer, notation(20, "image@example.org", "debian"), notation(20, "image@example.org", "alpine")))
	at("notation-long", "good", "a notation that takes two bytes for its length, and the packet too", list(c, issuer, notation(20, "image@example.org", strings.Repeat("x", 300))))
	at("key-expiry-on-document", "good", "a key's lifetime says nothing on a document's signature", list(c, issuer, keyExpires(1)))
	at("signer-policy-revocable", "good", "a signer's user id, a policy and the like", list(c, issuer, sub(28, []byte(userID)...), sub(26, []byte("https://example.org/")...), sub(7, 0), sub(4, 1)))
	at("issuer-short", "good", "an issuer of seven bytes is no hint", list(c, sub(16, k.id()[1:]...)))
	at("issuer-id-of-stranger-print-of-key", "good", "the hashed key id is a stranger's, the fingerprint the key's", list(c, issuerID(stranger), issuer))
	at("notation", "good", "a notation", list(c, issuer, notation(20, "image@example.org", "debian")))
	at("notation-critical", "bad signature: critical notation", "a notation that must be understood", list(c, issuer, notation(20|critical, "image@example.org", "debian")))
	at("notation-broken", "bad signature: broken subpackets", "a notation whose value is longer than it", list(c, issuer, sub(20, 0x80, 0, 0, 0, 0, 1, 0, 9, 'a', 'b')))
	at("area-truncated", "bad signature: broken subpackets", "a subpacket that ends behind the area", list(c, issuer, []byte{9, 99, 1}))
	at("area-empty-subpacket", "bad signature: broken subpackets", "a subpacket without a type", list(c, issuer, []byte{0}))
	at("area-truncated-unhashed", "good", "the same where nobody signed it", list(c, issuer), []byte{9, 99, 1})
	at("area-long-lengths", "good", "lengths of five bytes", list([]byte{255, 0, 0, 0, 5, 2}, be32(signTime), issuer))
	at("issuer-none", "good", "no hint: all keys are tried", list(c))
	at("issuer-zero", "good", "a key id of zero is no hint", list(c), sub(16, 0, 0, 0, 0, 0, 0, 0, 0))
	at("issuer-key-id", "good", "the key id alone, unhashed", list(c), issuerID(k))
	at("issuer-unhashed", "good", "the fingerprint, unhashed", list(c), issuer)
	at("issuer-wrong", "untrusted", "a hint to a key that is not known", list(c, issuerPrint(stranger)))
	at("issuer-wrong-and-right", "good", "one wrong hint and one right one", list(c, issuerPrint(stranger)), issuerID(k))
	at("issuer-right-and-wrong", "good", "the other way round", list(c, issuer), issuerID(stranger))
	s.detached("issuer-claimed", changed, "a stranger's signature that names a trusted key", cert(k),
		sig{by: stranger, hashed: list(c, issuer)}.packet(document))
	s.detached("issuer-stranger", "untrusted", "a stranger's signature", cert(k), sig{by: stranger}.packet(document))
	s.detached("issuer-stranger-no-hint", "untrusted", "a stranger's signature without a hint", cert(k), sig{by: stranger, hashed: list(c)}.packet(document))
	s.detached("window-before", "bad signature: older than asked for", "made before the window", cert(k), sig{by: k}.packet(document), "not-before 1710000001")
	s.detached("window-after", "bad signature: newer than asked for", "made after the window", cert(k), sig{by: k}.packet(document), "not-after 1709999999")
	s.detached("window-within", "good", "made within the window of one second", cert(k), sig{by: k}.packet(document), "not-before 1710000000", "not-after 1710000000")
}

func (s *set) packets() {
	k := eddsaKey("a", 4, keyTime)
	body := sig{by: k}.body(document)
	good := packet(2, body)
	literal := packet(11, cat([]byte{'b', 0, 0, 0, 0, 0}, document))
	onePass := packet(4, cat([]byte{3, 0, sha256Hash, eddsaAlgo}, k.id(), []byte{1}))
	const message = "format: a message"
	for _, c := range []struct {
		name, expect, comment string
		sig                   []byte
	}{
		{"old-format", "good", "the old packet format", oldPacket(2, body)},
		{"five-byte-length", "good", "a length of five bytes", cat([]byte{0xc2, 255}, be32(uint32(len(body))), body)},
		{"old-format-four-bytes", "good", "the old packet format with a length of four bytes", cat([]byte{0x80 | 2<<2 | 2}, be32(uint32(len(body))), body)},
		{"old-format-one-byte", "good", "the old packet format with a length of one byte", cat([]byte{0x80 | 2<<2, byte(len(body))}, body)},
		{"private-last", "good", "the last packet type", cat(good, packet(63, []byte("x")))},
		{"unknown-critical-after", message, "an unknown packet that may not be passed over, after", cat(good, packet(22, []byte("x")))},
		{"subkey", message, "a public subkey", cat(good, subkeyPacket(k))},
		{"padding-cut", "format: truncated", "padding that is cut short", cat(good, []byte{0xc0 | 21, 5, 1})},
		{"marker", "good", "a marker packet first", cat(packet(10, []byte("PGP")), good)},
		{"padding", "good", "padding after", cat(good, packet(21, []byte("noise")))},
		{"private", "good", "a packet of private use", cat(packet(60, []byte("x")), good)},
		{"unknown-non-critical", "good", "an unknown packet that may be passed over", cat(packet(40, []byte("x")), good)},
		{"unknown-critical", message, "an unknown packet that may not", cat(packet(39, []byte("x")), good)},
		{"trust", message, "GnuPG's trust packet has no place here", cat(packet(12, []byte("x")), good)},
		{"literal-before", message, "data in the signature file, before", cat(literal, good)},
		{"literal-after", message, "data in the signature file, after", cat(good, literal)},
		{"inline-message", message, "a whole signed message", cat(onePass, literal, good)},
		{"one-pass", message, "a one-pass packet", cat(onePass, good)},
		{"compressed", message, "a compressed packet (uncompressed inside)", packet(8, cat([]byte{0}, good))},
		{"encrypted", message, "an encrypted packet", cat(good, packet(18, []byte("\x01xxxxxxxx")))},
		{"user-id", message, "a user id", cat(good, idPacket(userID))},
		{"certificate", "format: keys, not signatures", "a certificate", cert(k)},
		{"none", "format: no signature", "a marker alone", packet(10, []byte("PGP"))},
		{"empty", "format: empty", "an empty file", nil},
		{"truncated", "format: truncated", "the last byte is missing", good[:len(good)-1]},
		{"trailing-byte", "format: not an OpenPGP packet", "a byte after the packet", cat(good, []byte{0})},
		{"trailing-line-feed", "format: not an OpenPGP packet", "a line feed after the packet", cat(good, []byte{'\n'})},
		{"length-beyond", "format: truncated", "a length beyond the end of the file", cat([]byte{0xc2, 255, 0xff, 0xff, 0xff, 0xff}, body)},
		{"partial", "format: partial", "a partial length", cat([]byte{0xc2, 0xe0, body[0], byte(len(body) - 1)}, body[1:])},
		{"indeterminate", "format: partial", "an old packet that ends with the file", cat([]byte{0x8b}, body)},
		{"tag-zero", "format: not an OpenPGP packet", "the reserved type", packet(0, body)},
		{"short-body", "untrusted", "a signature packet of three bytes", packet(2, body[:3])},
		{"too-many", "format: more than 64 packets", "65 packets", bytes.Repeat(packet(10, []byte("PGP")), 65)},
		{"too-large", "format: larger than", "more than 64 KiB", packet(21, make([]byte, 1<<16))},
		{"text", "format: neither armor nor packets", "some text", []byte("sig\n")},
		{"html", "format: HTML", "a server's page", []byte("\n<!DOCTYPE html>\n<html></html>\n")},
		{"utf16", "format: UTF-16", "armor after a redirection on Windows", []byte("\xff\xfe-\x00-\x00")},
	} {
		s.detached("packet-"+c.name, c.expect, c.comment, cert(k), c.sig)
	}
}

func (s *set) armors() {
	k := eddsaKey("a", 4, keyTime)
	body := sig{by: k}.packet(document)
	good := armorSig(body)
	lines := strings.SplitAfter(good, "\n")
	crc := lines[len(lines)-3]
	oneLine := base64.StdEncoding.EncodeToString(body)
	for _, c := range []struct{ name, expect, comment, text string }{
		{"plain", "good", "as it should be", good},
		{"crlf", "good", "CR LF", strings.ReplaceAll(good, "\n", "\r\n")},
		{"headers", "good", "headers", strings.Replace(good, "\n\n", "\nVersion: 1\nComment: a: b\nComment:\n\n", 1)},
		{"no-checksum", "good", "no checksum", strings.Replace(good, crc, "", 1)},
		{"no-final-line-end", "good", "no line end at the end", strings.TrimSuffix(good, "\n")},
		{"long-line", "good", "all in one line", strings.Replace(good, base64Lines(body), oneLine+"\n", 1)},
		{"blank-lines", "good", "blank lines before, after and inside", "\n \n" + strings.Replace(good, crc, "\n"+crc+"\n", 1) + "\n\t\n"},
		{"trailing-blanks", "good", "blanks at line ends", strings.ReplaceAll(good, "\n", " \t\n")},
		{"two-blocks", "good", "two blocks", good + "\n" + good},
		{"text-before", "format: neither armor", "text before", "Please verify:\n" + good},
		{"text-after", "format: text after the armor", "text after", good + "signed by us\n"},
		{"wrong-checksum", "format: wrong checksum", "a wrong checksum", strings.Replace(good, crc, "=AAAA\n", 1)},
		{"after-checksum", "format: goes on", "data after the checksum", strings.Replace(good, crc, crc+"AAAA\n", 1)},
		{"no-end", "format: without its end", "no END line", strings.Join(lines[:len(lines)-2], "")},
		{"wrong-end", "format: without its end", "another END line", strings.Replace(good, "END PGP SIGNATURE", "END PGP MESSAGE", 1)},
		{"no-blank-line", "format: header", "no blank line after BEGIN", strings.Replace(good, "\n\n", "\n", 1)},
		{"not-base64", "format: not base64", "a character that is not base64", strings.Replace(good, crc, "!\n"+crc, 1)},
		{"nul", "format: not base64", "a NUL inside", strings.Replace(good, crc, "\x00\n"+crc, 1)},
		{"indented", "format: not base64", "an indented line", strings.Replace(good, "\n\n", "\n\n ", 1)},
		{"message", "format: another kind", "labelled as a message", armor("MESSAGE", body)},
		{"key", "format: another kind", "labelled as a key", armorKey(body)},
		{"signed-message", "format: another kind", "a cleartext message in place of a signature", "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nHello\n" + good},
		{"utf8-mark", "format: ", "a byte order mark before", "\xef\xbb\xbf" + good},
		{"separator-blank", "good", "blanks in the separator line", strings.Replace(good, "\n\n", "\n \t\n", 1)},
		{"begin-vertical-tab", "format: neither armor", "a vertical tab after BEGIN", strings.Replace(good, "-----\n", "-----\v\n", 1)},
		{"begin-lower-case", "format: neither armor", "BEGIN in lower case", strings.Replace(good, "BEGIN", "begin", 1)},
		{"begin-four-dashes", "format: neither armor", "a dash is missing", strings.Replace(good, "SIGNATURE-----\n", "SIGNATURE----\n", 1)},
		{"end-text", "format: without its end", "text behind END", strings.TrimSuffix(good, "\n") + " signed by us\n"},
		{"carriage-returns", "format: ", "carriage returns for line ends", strings.ReplaceAll(good, "\n", "\r")},
		{"carriage-return-inside", "format: not base64", "a carriage return inside a line", strings.Replace(good, "\n\n", "\n\nwp\r", 1)},
		{"checksum-short", "format: not base64", "a checksum of two bytes", strings.Replace(good, crc, "=AAA\n", 1)},
		{"checksum-twice", "format: goes on", "two checksums", strings.Replace(good, crc, crc+crc, 1)},
		{"padding-inside", "format: not base64", "base64 goes on after its end", strings.Replace(good, crc, "wg==\nwg==\n", 1)},
		{"nested", "format: without its end", "a block inside a block", strings.Replace(good, crc, good, 1)},
		{"two-blocks-glued", "format: without its end", "BEGIN follows END in one line", strings.TrimSuffix(good, "\n") + good},
		{"two-blocks-one-cut", "format: without its end", "the second block is cut short", good + strings.Join(lines[:4], "")},
		{"two-blocks-text-between", "format: text after the armor", "text between two blocks", good + "and\n" + good},
		{"header-blank-in-name", "format: header", "a header with a blank in its name", strings.Replace(good, "\n\n", "\nSigned by us: yes\n\n", 1)},
		{"empty", "format: no signature", "an empty block", "-----BEGIN PGP SIGNATURE-----\n\n=twTO\n-----END PGP SIGNATURE-----\n"},
		{"begin-only", "format: without a body", "the BEGIN line alone", "-----BEGIN PGP SIGNATURE-----"},
	} {
		s.detached("armor-"+c.name, c.expect, c.comment, cert(k), []byte(c.text))
	}
	// Base64 whose length leaves unused bits, which aren't zero.
	tail := cat(body, packet(60, make([]byte, (3-(len(body)+2)%3+1)%3)))
	code := base64.StdEncoding.EncodeToString(tail)
	i := strings.IndexByte(code, '=') - 1
	s.detached("armor-spare-bits", "format: not base64", "bits in the padding", cert(k),
		[]byte("-----BEGIN PGP SIGNATURE-----\n\n"+code[:i]+string(code[i]+1)+code[i+1:]+"\n-----END PGP SIGNATURE-----\n"))
}

func (s *set) several() {
	a, b, stranger := eddsaKey("a", 4, keyTime), eddsaKey("b", 4, keyTime), eddsaKey("stranger", 4, keyTime)
	sa, sb := sig{by: a}.packet(document), sig{by: b}.packet(document)
	v3 := sig{by: a}.body(document)
	v3[0] = 3
	both := cat(cert(a), cert(b))
	s.detached("several-stranger-first", "good", "a stranger's signature beside a good one", cert(a), cat(sig{by: stranger}.packet(document), sa))
	s.detached("several-bad-first", "good", "a bad one beside a good one", both, cat(sig{by: b}.packet([]byte("other")), sa))
	s.detached("several-sha1-first", "good", "a SHA-1 one beside a good one", cert(a), cat(sig{by: a, hash: sha1Hash}.packet(document), sa))
	s.detached("several-expired-first", "good", "an expired one beside a good one", cert(a), cat(sig{by: a, more: [][]byte{expires(1)}}.packet(document), sa))
	s.detached("several-v3-first", "good", "one of an unknown version beside a good one", cert(a), cat(packet(2, v3), sa))
	s.detached("several-text-and-binary", "good", "text and binary, two hashes", cert(a), cat(sig{by: a, kind: 1, hash: sha512Hash}.packet([]byte("other")), sa))
	s.detached("several-bad-all", changed, "all bad", both, cat(sig{by: b}.packet([]byte("other")), sig{by: a}.packet([]byte("other"))))
	s.detached("require-two", "good", "two are asked for, two sign", both, cat(sa, sb), "require 2")
	s.detached("require-two-have-one", "untrusted: 1 of the trusted keys", "two are asked for, one signs", both, sa, "require 2")
	s.detached("require-two-same", "untrusted: 1 of the trusted keys", "two are asked for, one signs twice", both, cat(sa, sig{by: a, hash: sha512Hash}.packet(document)), "require 2")
	sub := eddsaKey("sub", 4, keyTime+100)
	s.detached("require-two-subkey", "untrusted: 1 of the trusted keys", "a primary key and its subkey are one certificate", cat(cert(a, subkeyPacket(sub), binding(a, sub, keyTime+100).onSubkey(a, sub)), cert(b)),
		cat(sa, sig{by: sub}.packet(document)), "require 2")
	s.detached("require-two-one-bad", changed, "two are asked for, one is bad", both, cat(sa, sig{by: b}.packet([]byte("other"))), "require 2")
}

func (s *set) certificates() {
	k, stranger := eddsaKey("a", 4, keyTime), eddsaKey("stranger", 4, keyTime)
	good := sig{by: k}.packet(document)
	primary, id := primaryPacket(k), idPacket(userID)
	self := func(t uint32, more ...[]byte) []byte { return selfSig(k, t, more...).onID(k, userID) }
	direct := func(t uint32, more ...[]byte) []byte {
		return sig{by: k, kind: 0x1f, time: t, more: more}.onKey(k)
	}
	const noSelf = "bad signature: no valid self-signature"
	const expired = "bad signature: key had expired"
	sign, certify := flags(flagCertify|flagSign), flags(flagCertify)
	for _, c := range []struct {
		name, expect, comment string
		cert                  []byte
	}{
		{"bare", noSelf, "a key alone", primary},
		{"bare-id", noSelf, "a user id without a self-signature", cat(primary, id)},
		{"self-by-stranger", noSelf, "a stranger's signature on the user id", cat(primary, id, selfSig(stranger, keyTime, sign).onID(k, userID))},
		{"self-claimed", noSelf, "a stranger's signature that names the owner", cat(primary, id, sig{by: stranger, kind: 0x13, hashed: [][]byte{created(keyTime), issuerPrint(k), sign}}.onID(k, userID))},
		{"self-on-other-id", noSelf, "the self-signature of another user id", cat(primary, idPacket("Other"), self(keyTime, sign))},
		{"self-md5", noSelf, "an MD5 self-signature", cat(primary, id, sig{by: k, kind: 0x13, hash: md5Hash, time: keyTime}.onID(k, userID))},
		{"self-sha1", "good", "a SHA-1 self-signature: the caller trusts the certificate", cat(primary, id, sig{by: k, kind: 0x13, hash: sha1Hash, time: keyTime}.onID(k, userID))},
		{"self-critical", noSelf, "a self-signature with an unknown critical subpacket", cat(primary, id, self(keyTime, sign, sub(99|critical, 1)))},
		{"self-expired", noSelf, "a self-signature that has expired", cat(primary, id, self(keyTime, sign, expires(1)))},
		{"self-generic", "good", "a self-signature of type 0x10", cat(primary, id, sig{by: k, kind: 0x10, time: keyTime}.onID(k, userID))},
		{"self-later", "good", "the only self-signature is newer than the document's: keyrings are cleaned so", cat(primary, id, self(laterTime, sign))},
		{"self-later-expired", expired, "the same, and it says that the key had expired by then", cat(primary, id, self(laterTime, sign, keyExpires(1000)))},
		{"direct-only", "good", "a direct-key signature, no user id", cat(primary, direct(keyTime, sign))},
		{"third-party", "good", "strangers' signatures on the user id", cat(primary, id, selfSig(stranger, keyTime).onID(k, userID), self(keyTime, sign))},
		{"two-ids", "good", "two user ids", cat(cert(k), idPacket("Other"), selfSig(k, keyTime, sign).onID(k, "Other"))},
		{"attribute", "good", "a user attribute", cat(cert(k), packet(17, []byte("\x02\x64x")))},
		{"id-revoked", noSelf, "the only user id is revoked", cat(cert(k), sig{by: k, kind: 0x30, time: midTime}.onID(k, userID))},
		{"id-revoked-later", "good", "the user id is revoked after signing", cat(cert(k), sig{by: k, kind: 0x30, time: laterTime}.onID(k, userID))},
		{"id-one-revoked", "good", "one of two user ids is revoked", cat(cert(k), sig{by: k, kind: 0x30, time: midTime}.onID(k, userID), idPacket("Other"), selfSig(k, keyTime, sign).onID(k, "Other"))},
		{"flags-none", "good", "no key flags on a primary key", cat(primary, id, self(keyTime))},
		{"flags-certify", "bad signature: not for signing", "a primary key that is not for signing", cat(primary, id, self(keyTime, certify))},
		{"flags-changed", "bad signature: not for signing", "no longer for signing", cat(primary, id, self(keyTime, sign), self(midTime, certify))},
		{"flags-unhashed", "bad signature: not for signing", "flags that nobody signed", cat(primary, id, sig{by: k, kind: 0x13, time: keyTime, more: [][]byte{certify}, unhashed: [][]byte{sign}}.onID(k, userID))},
		{"expired", expired, "expired before the signature", cat(primary, id, self(keyTime, sign, keyExpires(1000)))},
		{"expired-since", "good", "expired after the signature", cat(primary, id, self(keyTime, sign, keyExpires(signTime-keyTime+1)))},
		{"expired-at-once", expired, "expired in the second of the signature", cat(primary, id, self(keyTime, sign, keyExpires(signTime-keyTime)))},
		{"expiry-extended", "good", "extended before the signature", cat(primary, id, self(keyTime, sign, keyExpires(1000)), self(midTime, sign))},
		{"expiry-extended-later", expired, "extended only after the signature", cat(primary, id, self(keyTime, sign, keyExpires(1000)), self(laterTime, sign))},
		{"expiry-shortened", expired, "shortened before the signature", cat(primary, id, self(keyTime, sign), self(midTime, sign, keyExpires(1000)))},
		{"expiry-unhashed", "good", "an expiry that nobody signed", cat(primary, id, sig{by: k, kind: 0x13, time: keyTime, unhashed: [][]byte{keyExpires(1)}}.onID(k, userID))},
		{"expiry-behind-direct", expired, "a newer direct-key signature without an expiry doesn't hide the user id's", cat(primary, direct(midTime), id, self(keyTime, sign, keyExpires(1000)))},
		{"expiry-in-direct", expired, "the direct-key signature has the expiry", cat(primary, direct(keyTime, keyExpires(1000)), id, self(keyTime, sign))},
		{"expiry-beyond-32-bits", "good", "creation and lifetime add up to more than 32 bits", cat(primary, id, self(keyTime, sign, keyExpires(0xffffffff)))},
		{"copies", "good", "the certificate twice", cat(cert(k), cert(k))},
		{"copies-expiry", expired, "the certificate twice; the second copy has a newer self-signature, with an expiry", cat(cert(k), primary, id, self(midTime, sign, keyExpires(1000)))},
		{"self-newer-expired", "good", "a newer self-signature that has expired takes nothing back", cat(primary, id, self(keyTime, sign), self(midTime, certify, expires(1000)))},
		{"self-newer-expires-later", "bad signature: not for signing", "and before it has, it counts", cat(primary, id, self(keyTime, sign), self(midTime, certify, expires(signTime-midTime+1)))},
		{"self-before-key", noSelf, "a self-signature that is older than the key", cat(primary, id, self(keyTime-100, sign))},
		{"self-critical-notation", noSelf, "a self-signature with a critical notation", cat(primary, id, self(keyTime, sign, notation(20|critical, "a@example.org", "b")))},
		{"self-sha224", "good", "a SHA-224 self-signature", cat(primary, id, sig{by: k, kind: 0x13, hash: sha224Hash, time: keyTime}.onID(k, userID))},
		{"self-sha3", "good", "a SHA3-512 self-signature", cat(primary, id, sig{by: k, kind: 0x13, hash: sha3Long, time: keyTime}.onID(k, userID))},
		{"self-no-hint", "good", "a self-signature that names nobody", cat(primary, id, sig{by: k, kind: 0x13, hashed: [][]byte{created(keyTime), sign}}.onID(k, userID))},
		{"self-of-document", noSelf, "a document's signature in the self-signature's place", cat(primary, id, good)},
		{"self-direct-below-id", "good", "a direct-key signature below a user id still counts", cat(primary, id, direct(keyTime, sign))},
		{"self-id-below-key", noSelf, "a self-signature before its user id doesn't", cat(primary, self(keyTime, sign), id)},
		{"later-expiry-behind-direct", expired, "all self-signatures are newer; the oldest, a direct-key one, doesn't hide the user id's expiry", cat(primary, direct(laterTime), id, self(laterTime+5, sign, keyExpires(1000)))},
		{"later-flags-behind-direct", "bad signature: not for signing", "nor its flags", cat(primary, direct(laterTime), id, self(laterTime+5, certify))},
		{"expiry-twice", expired, "of two lifetimes the shorter counts", cat(primary, id, self(keyTime, sign, keyExpires(nowTime), keyExpires(1000)))},
		{"expiry-taken-back", "good", "a lifetime of 0 takes an earlier one back", cat(primary, id, self(keyTime, sign, keyExpires(1000)), self(midTime, sign, keyExpires(0)))},
		{"expiry-of-second-id", expired, "the second user id's self-signature is newer, and has the expiry", cat(cert(k), idPacket("Other"), selfSig(k, midTime, sign, keyExpires(1000)).onID(k, "Other"))},
		{"expiry-in-renewed-direct", "good", "the direct-key signature had an expiry, and a newer one has none", cat(primary, direct(keyTime, keyExpires(1000)), direct(midTime), id, self(keyTime, sign))},
		{"flags-empty", "bad signature: not for signing", "key flags without a byte allow nothing", cat(primary, id, self(keyTime, sub(27)))},
		{"flags-twice", "bad signature: not for signing", "of two sets of flags only what both have", cat(primary, id, self(keyTime, sign, certify))},
		{"flags-two-bytes", "good", "key flags of two bytes", cat(primary, id, self(keyTime, sub(27, flagCertify|flagSign, 4)))},
		{"flags-in-direct", "bad signature: not for signing", "the direct-key signature's flags", cat(primary, direct(keyTime, certify), id, self(keyTime))},
		{"id-revoked-md5", noSelf, "the only user id is revoked with MD5", cat(cert(k), sig{by: k, kind: 0x30, hash: md5Hash, time: midTime}.onID(k, userID))},
		{"id-revoked-renewed", "good", "a user id is revoked, and signed again", cat(cert(k), sig{by: k, kind: 0x30, time: midTime}.onID(k, userID), self(midTime+1, sign))},
		{"id-revoked-same-second", noSelf, "revoked in the second in which it was signed again", cat(cert(k), sig{by: k, kind: 0x30, time: midTime}.onID(k, userID), self(midTime, sign))},
		{"id-revoked-beside-direct", "good", "the only user id is revoked, and a direct-key signature stands", cat(primary, direct(keyTime, sign), id, self(keyTime, sign), sig{by: k, kind: 0x30, time: midTime}.onID(k, userID))},
		{"id-revoked-by-stranger", "good", "a stranger's revocation of the user id", cat(cert(k), sig{by: stranger, kind: 0x30, time: midTime}.onID(k, userID))},
		{"attribute-only", "good", "a user attribute with a self-signature, no user id", cat(primary, packet(17, []byte("\x02\x64x")), selfSig(k, keyTime, sign).packet(k.hashed(), []byte("\xd1\x00\x00\x00\x03\x02\x64x")))},
		{"unknown-packets", "good", "packets of unknown kinds", cat(primary, packet(60, []byte("x")), packet(12, []byte("x")), id, self(keyTime, sign), packet(39, []byte("x")))},
		{"after-v3", "good", "a version 3 key first", cat(packet(6, cat([]byte{3}, be32(keyTime), []byte{0, 0, 1}, mpi([]byte{0xff}), mpi([]byte{3}))), idPacket("old"), cert(k))},
		{"after-unknown-algorithm", "good", "a key of an unknown algorithm first", cat(packet(6, cat([]byte{4}, be32(keyTime), []byte{99, 1, 2, 3})), idPacket("new"), cert(k))},
		{"broken-signature", "good", "a signature packet that can't be read", cat(primary, packet(2, []byte{4, 0x1f}), id, packet(2, []byte{9}), self(keyTime, sign))},
	} {
		s.detached("cert-"+c.name, c.expect, c.comment, c.cert, good)
	}
	s.detached("cert-expired-since-strict", "bad signature: signature of today: the key had expired", "expired after the signature, which --strict refuses",
		cat(primary, id, self(keyTime, sign, keyExpires(signTime-keyTime+1))), good, "strict")
	dsa := newKey(4, dsaAlgo, keyTime, cat(mpi([]byte{0xff}), mpi([]byte{3}), mpi([]byte{2}), mpi([]byte{4})))
	dsa.sign = func(crypto.Hash, []byte) []byte { return cat(mpi([]byte{1}), mpi([]byte{1})) }
	s.detached("cert-dsa", "bad signature: key is not accepted", "a DSA key", cert(dsa), sig{by: dsa}.packet(document))
}
