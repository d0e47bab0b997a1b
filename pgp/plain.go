package pgp

import "errors"

// HasPlain reports whether k has keys without a format of signatures of their own: those of PEM
// files ("PUBLIC KEY", RFC 7468), as cosign writes them.
func (k *Keyring) HasPlain() bool { return false }

// VerifyPlain verifies a signature that has no format of its own: ECDSA (ASN.1) with SHA-256 on
// P-256 and SHA-384 on P-384, Ed25519, or RSA PKCS #1 v1.5 with SHA-256 and at least 2048 bits. It
// returns the fingerprint of the key: the SHA-256 digest of its SubjectPublicKeyInfo in
// hexadecimal digits. Only keys of PEM files count. The error is as that of Verify.
func (k *Keyring) VerifyPlain(message, signature []byte) (fingerprint string, err error) {
	return "", errors.New("todo")
}
