package pgp

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
)

// This file has the keys of PEM files (RFC 7468, section 13), as cosign writes them, and
// verifies their signatures. Such a signature is nothing but the numbers: it has no format
// that names its key, its time or its algorithm.

const (
	pemBegin = "-----BEGIN "
	pemEnd   = "-----END "
	pemTail  = "-----"

	// labelPlain is the label of a PEM block with a SubjectPublicKeyInfo.
	labelPlain = "PUBLIC KEY"

	// maxPlainKeys is how many PEM keys a file may contain. A signature does not name its
	// key, so each key is tried: with RSA keys of 16384 bits 64 take a second on a router.
	maxPlainKeys = 64
	// maxPlainKey is the size of the largest PEM key in bytes, decoded. An RSA key of
	// maxRSABits has 2,110.
	maxPlainKey = 4 << 10
)

// A plainKey is a key of a PEM file.
type plainKey struct {
	fingerprint string           // the SHA-256 digest of the SubjectPublicKeyInfo, 32 bytes
	key         crypto.PublicKey // *ecdsa.PublicKey, ed25519.PublicKey or *rsa.PublicKey
}

// isPlain reports whether a key file has PEM keys, or else PEM blocks and no armor of OpenPGP. Other
// text may be around the blocks, as around armor.
func isPlain(file []byte) bool {
	plain, other, armor := false, false, false
	for len(file) > 0 {
		var line []byte
		line, file = cutLine(file)
		if !bytes.HasPrefix(line, []byte(pemBegin)) {
			continue
		}
		switch label := pemLabel(line, pemBegin); {
		case bytes.HasPrefix(line, []byte(armorBegin)):
			armor = true
		case label == labelPlain:
			plain = true
		case label != "":
			other = true
		}
	}
	return plain || other && !armor
}

// pemLabel returns the label X of a line "-----BEGIN X-----", or "". begin is how the line
// begins.
func pemLabel(line []byte, begin string) string {
	text := strings.TrimRight(string(line), blanks)
	if !strings.HasPrefix(text, begin) || !strings.HasSuffix(text, pemTail) {
		return ""
	}
	return strings.TrimSuffix(text[len(begin):], pemTail)
}

// parsePlainKeys reads the PEM keys of a file. Each block must be a key that can be used: if
// one were left out, its owner would not learn why its signatures don't count.
func parsePlainKeys(file []byte) (*Keyring, error) {
	k := &Keyring{}
	for len(file) > 0 {
		line, rest := cutLine(file)
		file = rest
		label := pemLabel(line, pemBegin)
		switch {
		case label == "", label == "EC PARAMETERS": // of a private key, which follows
			continue
		case label == labelPlain:
		case strings.HasSuffix(label, "PRIVATE KEY"):
			return nil, errors.New("a secret key: give the public one")
		case strings.HasSuffix(label, "CERTIFICATE"):
			return nil, errors.New(`a certificate: give its public key, which "openssl x509 -pubkey -noout" writes`)
		case label == "RSA "+labelPlain:
			return nil, errors.New(`an RSA key in an old format: "openssl rsa -RSAPublicKey_in -pubout" writes the one that is needed`)
		case strings.HasPrefix(label, "PGP "):
			return nil, errors.New("PEM keys and OpenPGP armor in one file: give two files")
		default:
			return nil, fmt.Errorf("a PEM block of another kind: %q", clip(label))
		}
		der, rest, err := pemBody(rest)
		if err != nil {
			return nil, err
		}
		file = rest
		key, err := parsePlainKey(der)
		if err != nil {
			return nil, err
		}
		if len(k.plain) == maxPlainKeys {
			return nil, fmt.Errorf("more than %d keys", maxPlainKeys)
		}
		k.addPlain(key)
	}
	if len(k.plain) == 0 {
		return nil, errors.New("no keys")
	}
	return k, nil
}

// pemBody decodes the lines of base64 after a BEGIN line of a public key. rest is the text
// after the END line.
func pemBody(text []byte) (der, rest []byte, err error) {
	var code []byte
	for rest = text; len(rest) > 0; {
		var line []byte
		line, rest = cutLine(rest)
		line = bytes.Trim(line, blanks)
		if bytes.HasPrefix(line, []byte(pemTail)) {
			if pemLabel(line, pemEnd) != labelPlain {
				break
			}
			// The decoder would ignore a carriage return.
			der, err = strictBase64.DecodeString(string(code))
			if err != nil || bytes.IndexByte(code, '\r') >= 0 {
				return nil, nil, errors.New("a PEM block that is not base64")
			}
			return der, rest, nil
		}
		if len(code)+len(line) > maxPlainKey*4/3 {
			return nil, nil, fmt.Errorf("a PEM block of more than %d bytes", maxPlainKey)
		}
		code = append(code, line...)
	}
	return nil, nil, errors.New("a PEM block without its end")
}

// parsePlainKey reads a SubjectPublicKeyInfo (RFC 5280, section 4.1).
func parsePlainKey(der []byte) (*plainKey, error) {
	parsed, err := x509.ParsePKIXPublicKey(der)
	known := false
	if err == nil { // else parsed may be a nil pointer of some type
		switch key := parsed.(type) {
		case *ecdsa.PublicKey:
			known = key.Curve != elliptic.P224()
		case *rsa.PublicKey:
			known = true
			if bits := key.N.BitLen(); bits < minRSABits || bits > maxRSABits {
				return nil, fmt.Errorf("an RSA key of %d bits, not of %d to %d", bits, minRSABits, maxRSABits)
			}
		case ed25519.PublicKey:
			known = true
		}
	}
	if !known {
		return nil, errors.New("a damaged key, or one of an unknown algorithm or curve: not ECDSA on P-256, P-384 or P-521, Ed25519, or RSA")
	}
	sum := sha256.Sum256(der)
	return &plainKey{string(sum[:]), parsed}, nil
}

// addPlain adds p to k, unless k has it.
func (k *Keyring) addPlain(p *plainKey) {
	for _, other := range k.plain {
		if other.fingerprint == p.fingerprint {
			return
		}
	}
	k.plain = append(k.plain, p)
}

// HasPlain reports whether k has keys without a format of signatures of their own: those of PEM
// files ("PUBLIC KEY", RFC 7468), as cosign writes them.
func (k *Keyring) HasPlain() bool { return k != nil && len(k.plain) > 0 }

// VerifyPlain verifies a signature that has no format of its own: ECDSA (ASN.1) on P-256, P-384
// or P-521, Ed25519 (RFC 8032, also in its variant Ed25519ph), or RSA PKCS #1 v1.5 with at least
// 2048 bits. The hash algorithm is SHA-256; for ECDSA it may be the one of the curve's size,
// SHA-384 or SHA-512. It returns the fingerprint of the key: the SHA-256 digest of its
// SubjectPublicKeyInfo in upper-case hexadecimal digits. Only keys of PEM files count.
//
// The error is an *[UntrustedError]. It does not tell another key's signature from one of
// other data, since nothing in a signature names its key.
func (k *Keyring) VerifyPlain(message, signature []byte) (fingerprint string, err error) {
	if k.empty() && !k.HasPlain() {
		return "", errNoKeys
	}
	if !k.HasPlain() {
		return "", &UntrustedError{Need: 1, why: "no trusted key is of a PEM file, as cosign writes it"}
	}
	for _, p := range k.plain {
		if p.verify(message, signature) {
			return hexID(p.fingerprint), nil
		}
	}
	return "", &UntrustedError{Need: 1}
}

// verify reports whether p made the signature. Sigstore's registry of algorithms has these
// combinations of key and hash: cosign 3 signs with the first of each key, cosign 2 with SHA-256,
// and both with Ed25519ph unless they are told otherwise.
func (p *plainKey) verify(message, signature []byte) bool {
	sum := sha256.Sum256(message)
	switch key := p.key.(type) {
	case *ecdsa.PublicKey:
		digest := sum[:]
		switch key.Curve {
		case elliptic.P384():
			long := sha512.Sum384(message)
			digest = long[:]
		case elliptic.P521():
			long := sha512.Sum512(message)
			digest = long[:]
		}
		return ecdsa.VerifyASN1(key, digest, signature) ||
			len(digest) > len(sum) && ecdsa.VerifyASN1(key, sum[:], signature)
	case ed25519.PublicKey:
		long := sha512.Sum512(message)
		return ed25519.Verify(key, message, signature) ||
			ed25519.VerifyWithOptions(key, long[:], signature, &ed25519.Options{Hash: crypto.SHA512}) == nil
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) == nil
	}
	return false
}
