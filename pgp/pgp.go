// Package pgp says who signed a file. It verifies and does nothing else: no
// secret keys, no key servers, no trust store, no clock of its own.
//
// It reads detached OpenPGP signatures (RFC 9580; armored or binary),
// cleartext-signed messages, the signatures of signify (OpenWrt's usign) and
// minisign, and the SHA256SUMS lists that any of them vouch for.
//
// # What a good signature is
//
// A signature is good when a key that may sign made it over the data, and the
// key belongs to a certificate in the caller's [Keyring]. In detail:
//
//   - It is of version 4 or 6 and of type binary or text, over SHA-256, SHA-384
//     or SHA-512, by RSA of 2048 to 16384 bits, ECDSA on the NIST curves P-256,
//     P-384 and P-521, or Ed25519.
//   - Its signed part has one creation time, which lies neither before the key's
//     nor more than [ClockSlack] after now; it has not expired; nothing in it is
//     critical and unknown.
//   - At that time the certificate had a valid self-signature, had not expired,
//     and was allowed to sign. SHA-1 is accepted in what an owner says of the
//     own key, since the caller trusts the certificate already.
//   - A subkey was bound to the certificate by then, flagged for signing, and
//     had agreed to that with a signature of its own.
//   - Neither key is revoked: at no time where the reason is a loss of the key or
//     isn't given, not by then where the reason is that it was retired or
//     replaced. A revocation by a designated revoker counts where the revoker's
//     key is in the same file.
//
// Of several signatures one good one is enough, or as many as [Policy] asks
// for, by distinct certificates; others (unknown signers, unknown algorithms,
// expired ones) don't matter, so that a key can be replaced by signing with
// both. Which key made a signature is believed to no hint: the key that the
// hint names must verify it.
//
// # What is refused
//
// A signature file that holds anything but signatures, text around the armor, a
// wrong armor checksum, packets of unknown length. Messages that carry their
// data in packets. In cleartext messages: every header but "Hash", text around
// the message, control characters, unescaped dashes.
//
// # Use
//
// The signature comes first: [NewVerifier] fails before the data is fetched
// where no trusted key can have signed. The data goes through Write, and
// nothing of it may be acted upon before Finish returns its [Result].
//
// Errors are *[FormatError], *[UntrustedError] or *[BadSignatureError]; their
// texts quote nothing from outside but hex digits and %q.
package pgp

import (
	"fmt"
	"strings"
	"time"
)

// ClockSlack is how far after now a signature may be made: a device whose clock
// runs on local time, or was set by hand, is off by up to a day.
const ClockSlack = 24 * time.Hour

// A Policy is what a caller asks of signatures beyond their being good.
type Policy struct {
	// Now is the time of verification; the zero Time is the system's clock.
	// A device without a clock gives the latest time that it is sure of.
	Now time.Time
	// Latest, where it is later than Now, is the latest time that it can be, for
	// a device whose clock is known to be behind: signatures made until then are
	// not from the future. What has ended is still judged by Now.
	Latest time.Time
	// NotBefore and NotAfter bound the time at which a signature was made, both
	// included. The zero Time is no bound. A signify signature, which has no
	// time, satisfies no bound.
	NotBefore, NotAfter time.Time
	// Require is how many distinct certificates must have signed; 0 is 1.
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

func (p Policy) need() int { return max(p.Require, 1) }

// fromFuture is the problem of a signature that BadSignatureError.Future tells.
const fromFuture = "the signature is from the future; the clock may be wrong"

// timeProblem returns why a signature made at the time t is refused, or "". The
// zero Time is an unknown one.
func (p Policy) timeProblem(t time.Time) string {
	bounded := !p.NotBefore.IsZero() || !p.NotAfter.IsZero()
	switch {
	case t.IsZero() && bounded:
		return "the signature has no time, and one is asked for"
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

// A Result is a successful verification.
type Result struct {
	Signatures []Signature // the good ones, by at least Policy.Require certificates
}

// A Signature is a good signature.
type Signature struct {
	// Fingerprint is of the certificate, that is of its primary key: 40 or 64
	// upper-case hex digits. For signify and minisign it is the key's number,
	// 16 digits.
	Fingerprint string
	// KeyFingerprint is of the key that signed, maybe a subkey.
	KeyFingerprint string
	// Created is when the signature was made, as its maker says; zero for
	// signify, and for minisign where the trusted comment has no time.
	Created time.Time
	// Text: line ends were brought to CR LF before signing.
	Text bool
	// Warning is what a person should know of a signature that is good all the
	// same: the key has expired or was retired since.
	Warning string
	// Notations are what the signer added, all of it signed.
	Notations []Notation
	// Comment is minisign's trusted comment, which is signed.
	Comment string
}

// A Notation is a name and a value in the signed part of a signature (RFC 9580,
// section 5.2.3.24). Its text is the signer's: escape it before showing it.
type Notation struct {
	Name, Value string
	Text        bool // the value is flagged as text
}

// A FormatError is a file that isn't what it should be.
type FormatError struct {
	File   string // what it should be: "signature file", "public key file", ...
	Reason string
}

func (e *FormatError) Error() string { return fmt.Sprintf("not a valid %s: %s", e.File, e.Reason) }

// An UntrustedError is data without enough signatures by trusted keys.
type UntrustedError struct {
	// Issuers are the ids, in hex digits, that the signatures name as their
	// keys. Nobody vouches for them.
	Issuers []string
	// Good is how many certificates of those asked for have signed.
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

// A BadSignatureError is a signature that names a trusted key and isn't good.
type BadSignatureError struct {
	Issuer string // the fingerprint of the trusted certificate
	Reason string
	// Future: nothing is wrong with it but its time, so maybe the clock is.
	Future bool
}

func badSignature(issuer, reason string) error {
	return &BadSignatureError{Issuer: hexID(issuer), Reason: reason, Future: reason == fromFuture}
}

func (e *BadSignatureError) Error() string {
	return fmt.Sprintf("bad signature by %s: %s", e.Issuer, e.Reason)
}

// Verify verifies data in memory with its detached signature.
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
