package pgp

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"math/big"
	"strings"
)

// Public key algorithms (RFC 9580, section 9.1).
const (
	algoRSA     = 1
	algoRSASign = 3
	algoECDSA   = 19
	algoEdDSA   = 22 // EdDSALegacy: Ed25519 in version 4 keys only
	algoEd25519 = 27
)

// The smallest and the largest accepted RSA modulus, in bits. Shorter keys can be factored;
// with longer ones a single verification takes seconds on a router.
const (
	minRSABits = 2048
	maxRSABits = 16384
)

// refusedKey is the problem of a key whose algorithm or size is not accepted.
const refusedKey = "the key is not accepted: not RSA of 2048 bits or more, ECDSA on a NIST curve, or Ed25519"

// A publicKey is a primary key or subkey.
type publicKey struct {
	version     byte
	algo        byte
	created     uint32 // seconds since 1970
	body        []byte // the body of the packet, which signatures on the key are over
	fingerprint string // 20 bytes; of version 6, 32 bytes
	// key is a *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey. It is nil if this
	// package does not accept signatures by such a key.
	key crypto.PublicKey
}

// The object identifiers of the curves (RFC 9580, section 9.2).
var (
	oidP256    = "\x2a\x86\x48\xce\x3d\x03\x01\x07"
	oidP384    = "\x2b\x81\x04\x00\x22"
	oidP521    = "\x2b\x81\x04\x00\x23"
	oidEd25519 = "\x2b\x06\x01\x04\x01\xda\x47\x0f\x01"
)

// parsePublicKey reads the body of a public key packet (RFC 9580, section 5.5.2). It returns
// nil for versions other than 4 and 6 and for a malformed body. For an algorithm that is not
// accepted it returns a publicKey without key, so that the signatures that follow in the
// file are not taken for signatures on the key before.
func parsePublicKey(body []byte) *publicKey {
	f := fields{b: body}
	k := &publicKey{version: f.u8(), body: body}
	k.created = f.u32()
	k.algo = f.u8()
	switch k.version {
	case 4:
		if len(body) > 0xffff {
			return nil // the fingerprint is computed with a length of 16 bits
		}
		sum := sha1.New()
		k.writeTo(sum)
		k.fingerprint = string(sum.Sum(nil))
	case 6:
		if material := f.u32(); uint64(material) != uint64(len(f.b)) {
			return nil
		}
		sum := sha256.New()
		k.writeTo(sum)
		k.fingerprint = string(sum.Sum(nil))
	default:
		return nil
	}
	if f.short {
		return nil
	}
	k.key = k.parseMaterial(&f)
	return k
}

// parseMaterial reads the part of a public key that is specific to its algorithm. It returns
// nil if this package does not accept the key.
func (k *publicKey) parseMaterial(f *fields) crypto.PublicKey {
	switch k.algo {
	case algoRSA, algoRSASign:
		n, e := f.mpi(), f.mpi()
		if !f.done() || len(e) == 0 || len(e) > 4 {
			return nil
		}
		var exponent uint32
		for _, b := range e {
			exponent = exponent<<8 | uint32(b)
		}
		modulus := new(big.Int).SetBytes(n)
		bits := modulus.BitLen()
		if bits < minRSABits || bits > maxRSABits || modulus.Bit(0) == 0 ||
			exponent < 3 || exponent > 1<<31-1 || exponent%2 == 0 {
			return nil
		}
		return &rsa.PublicKey{N: modulus, E: int(exponent)}
	case algoECDSA:
		oid := string(f.take(uint32(f.u8())))
		point := f.mpi()
		if !f.done() {
			return nil
		}
		var curve elliptic.Curve
		switch oid {
		case oidP256:
			curve = elliptic.P256()
		case oidP384:
			curve = elliptic.P384()
		case oidP521:
			curve = elliptic.P521()
		default:
			return nil
		}
		key, err := ecdsa.ParseUncompressedPublicKey(curve, point)
		if err != nil {
			return nil
		}
		return key
	case algoEdDSA:
		oid := string(f.take(uint32(f.u8())))
		point := f.mpi()
		// 0x40 says that the curve's native encoding follows (RFC 9580, section 11.2).
		// The RFC forbids this algorithm in version 6 keys.
		if !f.done() || k.version != 4 || oid != oidEd25519 || len(point) != 1+ed25519.PublicKeySize || point[0] != 0x40 {
			return nil
		}
		return ed25519.PublicKey(point[1:])
	case algoEd25519:
		point := f.take(ed25519.PublicKeySize)
		if !f.done() {
			return nil
		}
		return ed25519.PublicKey(point)
	}
	return nil
}

// writeTo writes the key to h in the form that fingerprints and signatures on the key hash
// (RFC 9580, sections 5.2.4 and 5.5.4).
func (k *publicKey) writeTo(h hash.Hash) {
	if k.version == 6 {
		head := [5]byte{0: 0x9b}
		binary.BigEndian.PutUint32(head[1:], uint32(len(k.body)))
		h.Write(head[:])
	} else {
		h.Write([]byte{0x99, byte(len(k.body) >> 8), byte(len(k.body))})
	}
	h.Write(k.body)
}

// id returns the key id, 8 bytes.
func (k *publicKey) id() string {
	if k.version == 6 {
		return k.fingerprint[:8]
	}
	return k.fingerprint[len(k.fingerprint)-8:]
}

// hexID formats a fingerprint or key id as upper-case hex digits.
func hexID(id string) string { return strings.ToUpper(hex.EncodeToString([]byte(id))) }

// verify reports whether k made the signature s over digest. It checks nothing else.
func (k *publicKey) verify(s *signature, digest []byte) bool {
	// A version 6 key makes version 6 signatures, and a version 4 key version 4
	// signatures (RFC 9580, section 10.3.2.3). The packet has the first two bytes of the
	// digest; if they are wrong the signature is damaged.
	if s.version != k.version || !bytes.Equal(s.left, digest[:2]) {
		return false
	}
	f := fields{b: s.material}
	switch key := k.key.(type) {
	case *rsa.PublicKey:
		if s.algo != algoRSA && s.algo != algoRSASign {
			return false
		}
		value := f.mpi()
		if !f.done() || len(value) > key.Size() {
			return false
		}
		// An MPI has no leading zeros; the standard library requires them.
		padded := make([]byte, key.Size())
		copy(padded[len(padded)-len(value):], value)
		return rsa.VerifyPKCS1v15(key, s.hash.id, digest, padded) == nil
	case *ecdsa.PublicKey:
		if s.algo != algoECDSA {
			return false
		}
		r, v := f.mpi(), f.mpi()
		return f.done() && ecdsa.Verify(key, digest, new(big.Int).SetBytes(r), new(big.Int).SetBytes(v))
	case ed25519.PublicKey:
		var raw [ed25519.SignatureSize]byte
		switch {
		case s.algo != k.algo:
			return false
		case s.algo == algoEd25519:
			copy(raw[:], f.take(ed25519.SignatureSize))
		default:
			r, v := f.scalar(), f.scalar()
			if len(r) > 32 || len(v) > 32 {
				return false
			}
			copy(raw[32-len(r):], r)
			copy(raw[64-len(v):], v)
		}
		return f.done() && ed25519.Verify(key, digest, raw[:])
	}
	return false
}
