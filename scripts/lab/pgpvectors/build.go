package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash"
	"math/big"
)

// Times in the cases: when the keys are made, when something happens to them, when the
// document is signed, a later time, and the time of verification.
const (
	keyTime   = 1700000000 // 2023-11-14
	midTime   = 1705000000
	signTime  = 1710000000 // 2024-03-09
	laterTime = 1715000000
	nowTime   = 1720000000 // 2024-07-03
)

// Public key algorithms and hash algorithms of RFC 9580, section 9.
const (
	rsaAlgo     = 1
	dsaAlgo     = 17
	ecdsaAlgo   = 19
	eddsaAlgo   = 22
	ed25519Algo = 27

	md5Hash    = 1
	sha1Hash   = 2
	sha256Hash = 8
	sha384Hash = 9
	sha512Hash = 10
	sha224Hash = 11
	sha3Hash   = 12
	sha3Long   = 14
)

// A stream of bytes that depends only on a name, so that keys are the same in every run.
// Nothing made from it is secret.
func stream(name string, n int) []byte {
	out := make([]byte, n)
	s := sha3.NewSHAKE256()
	s.Write([]byte(name))
	s.Read(out)
	return out
}

// A key is the body of a public key packet, and a function that makes signatures.
type key struct {
	version byte
	algo    byte
	created uint32
	body    []byte
	sign    func(hash crypto.Hash, digest []byte) []byte // returns the algorithm-specific part of a signature
}

func be16(n int) []byte    { return binary.BigEndian.AppendUint16(nil, uint16(n)) }
func be32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

func mpi(b []byte) []byte {
	n := new(big.Int).SetBytes(b)
	return append(be16(n.BitLen()), n.Bytes()...)
}

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func newKey(version, algo byte, created uint32, material []byte) *key {
	k := &key{version: version, algo: algo, created: created}
	k.body = append([]byte{version}, be32(created)...)
	k.body = append(k.body, algo)
	if version == 6 {
		k.body = append(k.body, be32(uint32(len(material)))...)
	}
	k.body = append(k.body, material...)
	return k
}

// eddsaKey returns an Ed25519 key in the older form, which most keys have.
func eddsaKey(name string, version byte, created uint32) *key {
	private := ed25519.NewKeyFromSeed(stream(name, 32))
	point := append([]byte{0x40}, private.Public().(ed25519.PublicKey)...)
	k := newKey(version, eddsaAlgo, created, cat([]byte("\x09\x2b\x06\x01\x04\x01\xda\x47\x0f\x01"), mpi(point)))
	k.sign = func(_ crypto.Hash, digest []byte) []byte {
		s := ed25519.Sign(private, digest)
		return cat(mpi(s[:32]), mpi(s[32:]))
	}
	return k
}

func ed25519Key(name string, version byte, created uint32) *key {
	private := ed25519.NewKeyFromSeed(stream(name, 32))
	k := newKey(version, ed25519Algo, created, private.Public().(ed25519.PublicKey))
	k.sign = func(_ crypto.Hash, digest []byte) []byte { return ed25519.Sign(private, digest) }
	return k
}

func ecdsaKey(name string, version byte, created uint32, curve elliptic.Curve, oid string) *key {
	size := (curve.Params().BitSize + 7) / 8
	scalar := stream(name, size)
	scalar[0] = 0 // so that it is less than the group's order
	private, err := ecdsa.ParseRawPrivateKey(curve, scalar)
	if err != nil {
		panic(err)
	}
	point, err := private.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	k := newKey(version, ecdsaAlgo, created, cat([]byte{byte(len(oid))}, []byte(oid), mpi(point)))
	k.sign = func(h crypto.Hash, digest []byte) []byte {
		// Deterministic signatures (RFC 6979) are the same in every run.
		der, err := private.Sign(nil, digest, h)
		if err != nil {
			panic(err)
		}
		var numbers struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(der, &numbers); err != nil {
			panic(err)
		}
		return cat(mpi(numbers.R.Bytes()), mpi(numbers.S.Bytes()))
	}
	return k
}

// rsaKey makes its primes from the name, because the standard library makes others in every
// run.
func rsaKey(name string, version byte, created uint32, bits int) *key {
	one := big.NewInt(1)
	prime := func(name string) *big.Int {
		p := new(big.Int).SetBytes(stream(name, bits/16))
		p.SetBit(p, 0, 1).SetBit(p, bits/2-1, 1).SetBit(p, bits/2-2, 1)
		for e := big.NewInt(65537); ; p.Add(p, big.NewInt(2)) {
			if p.ProbablyPrime(20) && new(big.Int).GCD(nil, nil, new(big.Int).Sub(p, one), e).Cmp(one) == 0 {
				return p
			}
		}
	}
	p, q := prime(name+" p"), prime(name+" q")
	n := new(big.Int).Mul(p, q)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	d := new(big.Int).ModInverse(big.NewInt(65537), phi)
	k := newKey(version, rsaAlgo, created, cat(mpi(n.Bytes()), mpi([]byte{1, 0, 1})))
	k.sign = func(h crypto.Hash, digest []byte) []byte {
		// PKCS #1 v1.5 by hand: the standard library refuses short keys.
		prefix := map[crypto.Hash]string{
			crypto.MD5:    "\x30\x20\x30\x0c\x06\x08\x2a\x86\x48\x86\xf7\x0d\x02\x05\x05\x00\x04\x10",
			crypto.SHA1:   "\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14",
			crypto.SHA256: "\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20",
			crypto.SHA384: "\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30",
			crypto.SHA512: "\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40",
		}[h]
		tail := cat([]byte{0}, []byte(prefix), digest)
		em := bytes.Repeat([]byte{0xff}, bits/8)
		em[0], em[1] = 0, 1
		copy(em[len(em)-len(tail):], tail)
		return mpi(new(big.Int).Exp(new(big.Int).SetBytes(em), d, n).Bytes())
	}
	return k
}

func (k *key) hashed() []byte {
	if k.version == 6 {
		return cat([]byte{0x9b}, be32(uint32(len(k.body))), k.body)
	}
	return cat([]byte{0x99}, be16(len(k.body)), k.body)
}

func (k *key) fingerprint() []byte {
	if k.version == 6 {
		sum := sha256.Sum256(k.hashed())
		return sum[:]
	}
	sum := sha1.Sum(k.hashed())
	return sum[:]
}

func (k *key) id() []byte {
	if k.version == 6 {
		return k.fingerprint()[:8]
	}
	return k.fingerprint()[12:]
}

// Packets, in the new format unless said otherwise.

func packet(tag byte, body []byte) []byte {
	head := []byte{0xc0 | tag}
	switch n := len(body); {
	case n < 192:
		head = append(head, byte(n))
	case n < 8384:
		head = append(head, byte((n-192)>>8+192), byte(n-192))
	default:
		head = append(append(head, 255), be32(uint32(n))...)
	}
	return append(head, body...)
}

func oldPacket(tag byte, body []byte) []byte {
	return cat([]byte{0x80 | tag<<2 | 1}, be16(len(body)), body)
}

func primaryPacket(k *key) []byte { return packet(6, k.body) }
func subkeyPacket(k *key) []byte  { return packet(14, k.body) }
func idPacket(id string) []byte   { return packet(13, []byte(id)) }

// Subpackets.

func sub(kind byte, body ...byte) []byte {
	n := len(body) + 1
	if n < 192 {
		return append([]byte{byte(n), kind}, body...)
	}
	return append([]byte{byte((n-192)>>8 + 192), byte(n - 192), kind}, body...)
}

const critical = 0x80

func created(t uint32) []byte       { return sub(2, be32(t)...) }
func expires(seconds uint32) []byte { return sub(3, be32(seconds)...) }
func keyExpires(sec uint32) []byte  { return sub(9, be32(sec)...) }
func flags(f byte) []byte           { return sub(27, f) }
func issuerID(k *key) []byte        { return sub(16, k.id()...) }
func issuerPrint(k *key) []byte     { return sub(33, append([]byte{k.version}, k.fingerprint()...)...) }
func embedded(body []byte) []byte   { return sub(32, body...) }
func reason(code byte) []byte       { return sub(29, append([]byte{code}, "a reason"...)...) }
func revoker(k *key) []byte         { return sub(12, append([]byte{0x80, k.algo}, k.fingerprint()...)...) }
func notation(kind byte, name, value string) []byte {
	return sub(kind, cat(be32(0x80000000), be16(len(name)), be16(len(value)), []byte(name), []byte(value))...)
}

const (
	flagCertify = 1
	flagSign    = 2
	flagEncrypt = 4
)

// A sig says how to make a signature packet. A zero field means the correct value.
type sig struct {
	by       *key
	kind     byte
	hash     byte // 0: SHA-256
	time     uint32
	more     [][]byte // hashed subpackets beside creation time and issuer
	hashed   [][]byte // if set, these are all hashed subpackets
	unhashed [][]byte
	version  byte   // 0: as the key's
	salt     []byte // version 6; nil: of the right length
	algo     byte   // 0: as the key's
	damage   func(material []byte) []byte
	left     []byte // nil: the right bytes
}

func newHash(n byte) (crypto.Hash, hash.Hash) {
	switch n {
	case md5Hash:
		return crypto.MD5, md5.New()
	case sha1Hash:
		return crypto.SHA1, sha1.New()
	case sha224Hash:
		return crypto.SHA224, sha256.New224()
	case sha384Hash:
		return crypto.SHA384, sha512.New384()
	case sha512Hash:
		return crypto.SHA512, sha512.New()
	case sha3Hash:
		return crypto.SHA3_256, sha3.New256()
	case sha3Long:
		return crypto.SHA3_512, sha3.New512()
	}
	return crypto.SHA256, sha256.New()
}

// body returns the packet's body for the signed bytes.
func (s sig) body(over ...[]byte) []byte {
	if s.version == 0 {
		s.version = s.by.version
	}
	if s.hash == 0 {
		s.hash = sha256Hash
	}
	if s.algo == 0 {
		s.algo = s.by.algo
	}
	if s.time == 0 {
		s.time = signTime
	}
	if s.hashed == nil {
		s.hashed = append([][]byte{created(s.time), issuerPrint(s.by)}, s.more...)
	}
	area := func(parts [][]byte) []byte {
		b := cat(parts...)
		if s.version == 6 {
			return append(be32(uint32(len(b))), b...)
		}
		return append(be16(len(b)), b...)
	}
	head := cat([]byte{s.version, s.kind, s.algo, s.hash}, area(s.hashed))
	id, h := newHash(s.hash)
	var salt []byte
	if s.version == 6 {
		if s.salt == nil {
			s.salt = stream("salt", h.Size()/2)
		}
		h.Write(s.salt)
		salt = append([]byte{byte(len(s.salt))}, s.salt...)
	}
	h.Write(cat(over...))
	h.Write(cat(head, []byte{s.version, 0xff}, be32(uint32(len(head)))))
	digest := h.Sum(nil)
	material := s.by.sign(id, digest)
	if s.damage != nil {
		material = s.damage(material)
	}
	if s.left == nil {
		s.left = digest[:2]
	}
	return cat(head, area(s.unhashed), s.left, salt, material)
}

func (s sig) packet(over ...[]byte) []byte { return packet(2, s.body(over...)) }

// The parts of certificates.

func hashedID(id string) []byte { return cat([]byte{0xb4}, be32(uint32(len(id))), []byte(id)) }

const userID = "Test <test@example.org>"

// selfSig returns the owner's signature on the user ID.
func selfSig(k *key, t uint32, more ...[]byte) sig {
	return sig{by: k, kind: 0x13, time: t, more: more}
}

func (s sig) onID(k *key, id string) []byte { return s.packet(k.hashed(), hashedID(id)) }
func (s sig) onKey(k *key) []byte           { return s.packet(k.hashed()) }
func (s sig) onSubkey(k, sub *key) []byte   { return s.packet(k.hashed(), sub.hashed()) }

// cert returns a normal certificate: key, user ID, self-signature, and more packets.
func cert(k *key, more ...[]byte) []byte {
	self := selfSig(k, k.created, flags(flagCertify|flagSign))
	return cat(primaryPacket(k), idPacket(userID), self.onID(k, userID), cat(more...))
}

// backSig returns the subkey's signature that agrees to its binding.
func backSig(k, sub *key, t uint32, more ...[]byte) sig {
	return sig{by: sub, kind: 0x19, time: t, more: more}
}

// binding returns a correct binding signature of a signing subkey.
func binding(k, sub *key, t uint32, more ...[]byte) sig {
	back := backSig(k, sub, t).body(k.hashed(), sub.hashed())
	return sig{by: k, kind: 0x18, time: t, more: append([][]byte{flags(flagSign), embedded(back)}, more...)}
}

// Armor.

func crc24(data []byte) []byte {
	crc := uint32(0xb704ce)
	for _, b := range data {
		crc ^= uint32(b) << 16
		for range 8 {
			if crc <<= 1; crc&0x1000000 != 0 {
				crc ^= 0x1864cfb
			}
		}
	}
	return []byte{byte(crc >> 16), byte(crc >> 8), byte(crc)}
}

func base64Lines(data []byte) string {
	code := base64.StdEncoding.EncodeToString(data)
	var b bytes.Buffer
	for len(code) > 64 {
		fmt.Fprintln(&b, code[:64])
		code = code[64:]
	}
	fmt.Fprintln(&b, code)
	return b.String()
}

func armor(label string, data []byte) string {
	return fmt.Sprintf("-----BEGIN PGP %s-----\n\n%s=%s\n-----END PGP %s-----\n",
		label, base64Lines(data), base64.StdEncoding.EncodeToString(crc24(data)), label)
}

func armorSig(data []byte) string { return armor("SIGNATURE", data) }
func armorKey(data []byte) string { return armor("PUBLIC KEY BLOCK", data) }
