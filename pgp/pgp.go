// Package pgp verifies signatures of files and says who made them. It does nothing else: it
// has no secret keys, no key servers and no trust store.
//
// It reads detached OpenPGP signatures (RFC 9580; armored or binary), cleartext signed
// messages, the signatures of signify (OpenWrt's usign) and minisign, the SHA256SUMS
// lists that such signatures are made for, and the signatures of keys in PEM files, which cosign
// makes for container images ([Keyring.VerifyPlain]).
//
// # What a good signature is
//
// A signature is good if a key that may sign made it over the data, and if that key belongs
// to a certificate in the caller's [Keyring]. In detail:
//
//   - The signature packet has version 4 or 6 and the type binary or text. It uses SHA-256,
//     SHA-384 or SHA-512 with RSA of 2048 to 16384 bits, ECDSA on the NIST curves P-256,
//     P-384 and P-521, or Ed25519.
//   - Its hashed area has exactly one creation time, which is not before the creation of the
//     key and at most [ClockSlack] after now. The signature has not expired, and no critical
//     subpacket in the hashed area is unknown.
//   - At the creation time the certificate had a valid self-signature, had not expired, and
//     was allowed to sign. Self-signatures and subkey binding signatures may use SHA-1,
//     because the caller already trusts the certificate.
//   - If a subkey made the signature: at the creation time, a subkey binding signature by the
//     primary key was in force, its key flags allowed signing, and it contained a primary key
//     binding signature by the subkey.
//   - Neither the primary key nor the subkey is revoked. A revocation counts at all times
//     unless its reason is that the key was superseded or retired; then it counts from its
//     own creation time on. A revocation by a designated revoker counts if the revoker's key
//     is in the same file.
//
// One good signature is enough, or as many as [Policy] requires, by distinct certificates.
// Other signatures in the file (of unknown signers, with unknown algorithms, expired) do not
// matter, so that a project can replace its key by signing with both. The issuer
// subpackets of a signature are hints: they only say which key to try.
//
// # What is refused
//
// Signature files are refused if they contain anything but signatures, text outside the
// armor, a wrong armor checksum, or packets of unknown length; so are messages that carry
// their data in packets. Cleartext signed messages are refused if they have a header other
// than "Hash", text outside the message, control characters or unescaped dashes.
//
// # Use
//
// A caller gets the signature first: [NewVerifier] fails before the data is downloaded if no
// trusted key can have made the signature. The caller then writes the data to the
// [Verifier], and may use no part of it before [Verifier.Finish] has returned a [Result].
//
// Errors are *[FormatError], *[UntrustedError] or *[BadSignatureError]. Their texts contain
// nothing from outside except hex digits and strings quoted with %q.
//
// # Reading the code
//
// Read the files in this order: pgp.go (what a caller asks and gets), packet.go (packets and
// their fields), armor.go, key.go (public keys), signature.go (signature packets),
// certificate.go (may this key sign at this time?), keyring.go, verifier.go, cleartext.go.
// The others stand alone: signify.go and minisign.go, plain.go, sums.go, linuxcontainers.go.
//
// # The life of one signature
//
// NewVerifier decodes the armor with signatureBlocks. readSignatures splits the bytes into
// packets with nextPacket, and parseSignature reads each signature packet. Verifier.add then
// looks for the keys in the Keyring that the signature names. It checks everything that does
// not need the data: Verifier.problem checks type, hash algorithm and times, and
// Verifier.usable asks verifiedCertificate.problem whether the key could sign at that time,
// for which certificate.verify checks the self-signatures once. Verifier.streamFor starts
// the hash, Verifier.Write feeds it with the data, and Verifier.Finish completes it with
// signature.finish and has publicKey.verify compare it with the signature. The signature
// becomes a Signature of the Result.
package pgp

import (
	"fmt"
	"strings"
	"time"
)

// ClockSlack is how far after now the creation time of a signature may be. The clock of a
// device that runs on local time, or was set by hand, can be wrong by up to a day.
const ClockSlack = 24 * time.Hour

// A Policy says what a caller requires of signatures, besides that they are good.
type Policy struct {
	_ [0]func() // forbids ==, whose code nothing needs
	// Now is the time of verification; the zero Time means the system's clock. A device
	// without a clock sets the latest time that it knows to be past.
	Now time.Time
	// Latest, if later than Now, is the latest possible present time, for a device
	// whose clock is known to be behind. Signatures made up to Latest are not from the
	// future. Whether something has expired is still decided by Now.
	Latest time.Time
	// NotBefore and NotAfter are the earliest and the latest creation time that a
	// signature may have. The zero Time is no limit. A signify signature has no time and
	// is refused if a limit is set.
	NotBefore, NotAfter time.Time
	// Require is how many distinct certificates must have signed; 0 means 1.
	Require int
	// Strict refuses a signature that would come with a Warning.
	Strict bool
}

// now returns the time of verification in seconds since 1970.
func (p Policy) now() int64 {
	if p.Now.IsZero() {
		return time.Now().Unix()
	}
	return p.Now.Unix()
}

// need returns how many certificates must have signed.
func (p Policy) need() int { return max(p.Require, 1) }

// fromFuture is the reason of a BadSignatureError whose Future is set.
const fromFuture = "the signature is from the future; the clock may be wrong"

// timeProblem returns why a signature made at the time t is refused, or "". The zero Time
// means that the time is unknown.
func (p Policy) timeProblem(t time.Time) string {
	bounded := !p.NotBefore.IsZero() || !p.NotAfter.IsZero()
	switch {
	case t.IsZero() && bounded:
		return "the signature has no time, but the policy limits the time"
	case t.IsZero():
		return ""
	case t.Unix() > max(p.now(), p.Latest.Unix())+int64(ClockSlack/time.Second):
		return fromFuture
	case !p.NotBefore.IsZero() && t.Before(p.NotBefore):
		return "the signature is older than asked for"
	case !p.NotAfter.IsZero() && t.After(p.NotAfter):
		return "the signature is newer than asked for"
	}
	return ""
}

// A Result describes a successful verification.
type Result struct {
	Signatures []Signature // the good signatures, by at least Policy.Require certificates
}

// A Signature is a good signature.
type Signature struct {
	// Fingerprint is the fingerprint of the certificate, that is of its primary key: 40
	// or 64 upper-case hex digits. For signify and minisign it is the key number, 16
	// digits.
	Fingerprint string
	// KeyFingerprint is the fingerprint of the key that signed, which may be a subkey.
	KeyFingerprint string
	// Created is when the signature was made, according to the signer. It is zero for
	// signify, and for minisign if the trusted comment has no time.
	Created time.Time
	// Text is set if the signature is of type text: it is over the data with CR LF as
	// line ends.
	Text bool
	// Warning, if not "", says what is wrong with the key by now: it has expired or was
	// retired after it made this signature.
	Warning string
	// Notations are the notations that the signer added. They are signed.
	Notations []Notation
	// Comment is minisign's trusted comment, which is signed.
	Comment string
}

// A Notation is a name and a value in the hashed area of a signature (RFC 9580, section
// 5.2.3.24). The signer chose the text: escape it before you print it.
type Notation struct {
	Name, Value string
	Text        bool // the signer flagged the value as text
}

// A FormatError reports a file that does not have the expected format.
type FormatError struct {
	_      [0]func() // forbids ==, whose code nothing needs
	File   string    // the expected kind of file: "signature file", "public key file", ...
	Reason string
}

func (e *FormatError) Error() string { return fmt.Sprintf("not a valid %s: %s", e.File, e.Reason) }

// An UntrustedError reports data with fewer signatures by trusted keys than required.
type UntrustedError struct {
	// Issuers are the key ids and fingerprints, in hex digits, that the other signatures
	// name as their keys. They are hints: nothing proves them.
	Issuers []string
	// Good is how many certificates have signed, and Need how many are required.
	Good, Need int
}

func (e *UntrustedError) Error() string {
	text := "no signature by a trusted key"
	if e.Good > 0 {
		text = fmt.Sprintf("signed by %d of the trusted keys, and %d are asked for", e.Good, e.Need)
	}
	if len(e.Issuers) > 0 {
		text += "; signatures by " + strings.Join(e.Issuers, ", ")
	}
	return text
}

// A BadSignatureError reports a signature that names a trusted key and is not good.
type BadSignatureError struct {
	_      [0]func() // forbids ==, whose code nothing needs
	Issuer string    // the fingerprint of the trusted certificate
	Reason string
	// Future is set if only the creation time is wrong: it is after now, so the clock of
	// the machine may be wrong.
	Future bool
}

// badSignature returns a BadSignatureError; issuer is a fingerprint in bytes.
func badSignature(issuer, reason string) error {
	return &BadSignatureError{Issuer: hexID(issuer), Reason: reason, Future: reason == fromFuture}
}

func (e *BadSignatureError) Error() string {
	return fmt.Sprintf("bad signature by %s: %s", e.Issuer, e.Reason)
}

// Verify verifies data in memory with its detached signature. Errors are those of
// [NewVerifier] and [Verifier.Finish].
func Verify(k *Keyring, data, sig []byte, p Policy) (*Result, error) {
	v, err := NewVerifier(k, sig, p)
	if err != nil {
		return nil, err
	}
	if _, err := v.Write(data); err != nil {
		return nil, err
	}
	return v.Finish()
}
