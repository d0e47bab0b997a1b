package pgp

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// This file has the keys of PEM files (RFC 7468, section 13), as cosign writes them, and
// verifies their signatures. Such a signature is nothing but the numbers: it has no format
// that names its key, its time or its algorithm.

const (
	pemBegin   = "-----BEGIN "
	labelPlain = "PUBLIC KEY" // of a PEM block with a SubjectPublicKeyInfo

	// maxPlainKeys is how many PEM keys a file may contain. A signature does not name its
	// key, so each key is tried: with RSA keys of 16384 bits 64 take a second on a router.
	maxPlainKeys = 64
	// maxPlainKey is the size of the largest PEM key in bytes, decoded. An RSA key of
	// maxRSABits has 2,110.
	maxPlainKey = 4 << 10
)

// parsePlainKeys reads the PEM keys of a file. Each block must be a key that can be used: if
// one were left out, its owner would not learn why its signatures don't count.
func parsePlainKeys(file []byte) (keys []*bareKey, err error) {
	for {
		i := bytes.Index(file, []byte(pemBegin))
		if i < 0 {
			return keys, nil
		}
		file = file[i:]
		line, _ := cutLine(file)
		label, _, _ := strings.Cut(string(line[len(pemBegin):]), "-----")
		if strings.HasSuffix(label, "PRIVATE KEY") {
			return nil, errors.New("a secret key: give the public one")
		}
		if label != labelPlain {
			return nil, errors.New("a PEM block " + strconv.Quote(clip(label)) + ", not \"" + labelPlain + "\"")
		}
		block, rest := pem.Decode(file)
		// Decode passes over blocks that are damaged.
		if block == nil || bytes.Count(file[:len(file)-len(rest)], []byte(pemBegin)) != 1 {
			return nil, errors.New("a damaged PEM block")
		}
		if len(keys) == maxPlainKeys {
			return nil, fmt.Errorf("more than %d keys", maxPlainKeys)
		}
		// A SubjectPublicKeyInfo (RFC 5280, section 4.1).
		key := &bareKey{}
		if len(block.Bytes) <= maxPlainKey {
			parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
			known := err == nil // else parsed may be a nil pointer of some type
			switch key := parsed.(type) {
			case *ecdsa.PublicKey:
				known = known && key.Curve.Params().BitSize >= 256
			case *rsa.PublicKey:
				known = known && key.N.BitLen() >= minRSABits && key.N.BitLen() <= maxRSABits
			case ed25519.PublicKey:
			default:
				known = false
			}
			if known {
				key.plain = parsed
			}
		}
		if key.plain == nil {
			return nil, errors.New(refusedKey + ", or it is damaged")
		}
		sum := sha256.Sum256(block.Bytes)
		key.number = string(sum[:])
		keys = append(keys, key)
		file = rest
	}
}

// HasPlain reports whether k has keys without a format of signatures of their own: those of PEM
// files ("PUBLIC KEY", RFC 7468), as cosign writes them.
func (k *Keyring) HasPlain() bool {
	if k != nil {
		for _, p := range k.bare {
			if p.plain != nil {
				return true
			}
		}
	}
	return false
}

// VerifyPlain verifies a signature that has no format of its own: ECDSA (ASN.1) on P-256, P-384
// or P-521, Ed25519 (RFC 8032, also in its variant Ed25519ph), or RSA PKCS #1 v1.5 with at least
// 2048 bits. The hash algorithm is SHA-256; for ECDSA it may be the one of the curve's size,
// SHA-384 or SHA-512. It returns the fingerprint of the key: the SHA-256 digest of its
// SubjectPublicKeyInfo in upper-case hexadecimal digits. Only keys of PEM files count.
//
// Sigstore's registry of algorithms has these combinations of key and hash. cosign 2.6 signs with
// the hash of the curve's size and with Ed25519ph; older versions, and those that verify, expect
// SHA-256 and Ed25519.
//
// The error is an *[UntrustedError]. It does not tell another key's signature from one of
// other data, since nothing in a signature names its key.
func (k *Keyring) VerifyPlain(message, signature []byte) (fingerprint string, err error) {
	if k.empty() {
		return "", errNoKeys
	}
	sum := sha256.Sum256(message)
	for _, p := range k.bare {
		made := false
		switch key := p.plain.(type) {
		case *ecdsa.PublicKey:
			hash := crypto.SHA256 // of the curve's size
			switch key.Curve.Params().BitSize {
			case 384:
				hash = crypto.SHA384
			case 521:
				hash = crypto.SHA512
			}
			own := hash.New()
			own.Write(message)
			made = ecdsa.VerifyASN1(key, sum[:], signature) || ecdsa.VerifyASN1(key, own.Sum(nil), signature)
		case ed25519.PublicKey:
			long := crypto.SHA512.New()
			long.Write(message)
			made = ed25519.Verify(key, message, signature) ||
				ed25519.VerifyWithOptions(key, long.Sum(nil), signature, &ed25519.Options{Hash: crypto.SHA512}) == nil
		case *rsa.PublicKey:
			made = rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) == nil
		}
		if made {
			return hexID(p.number), nil
		}
	}
	return "", &UntrustedError{Need: 1}
}
