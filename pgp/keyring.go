package pgp

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of a key file.
const (
	// MaxKeyring is the size of the largest key file that is read, in bytes. The largest
	// known, debian-keyring.gpg, has 28 MB.
	MaxKeyring = 64 << 20
	// maxCertificates is how many certificates a file may contain; debian-keyring.gpg has
	// 900.
	maxCertificates = 1 << 16
)

// A Keyring is a set of keys that the caller trusts. It does not change after it is made.
type Keyring struct {
	certs []*certificate
	bare  []*bareKey // the keys of signify, minisign and PEM files
	// all holds the primary keys of everything that was read, by fingerprint, also those
	// that Select left out: they may be designated revokers.
	all map[string]*publicKey
}

// A bareKey is a public key that is no part of a certificate.
type bareKey struct {
	_      [0]func()         // forbids ==, whose code nothing needs
	number string            // of signify and minisign, 8 bytes; of a PEM file, the SHA-256 digest of the key
	key    ed25519.PublicKey // of signify or minisign
	plain  crypto.PublicKey  // of a PEM file: *ecdsa.PublicKey, ed25519.PublicKey or *rsa.PublicKey; else nil
}

// errNoKeys is the error of a verification with an empty Keyring.
var errNoKeys = errors.New("no trusted keys to verify with")

// empty reports whether k is nil or has no keys.
func (k *Keyring) empty() bool { return k == nil || len(k.certs)+len(k.bare) == 0 }

// ReadKeyring reads a file of public keys: one or more OpenPGP certificates, binary or
// armored, with other text around the armor; or keys of signify, usign or minisign; or PEM
// blocks with public keys, as cosign writes them. Errors are of type *[FormatError].
//
// ReadKeyring ignores parts of a certificate that it can't read or that have no valid
// signature; they are never trusted. A certificate that can't be used (because its algorithm
// is refused, it has no valid self-signature, or it is revoked) is not an error here: a
// verification that needs it fails and says why.
func ReadKeyring(data []byte) (*Keyring, error) {
	fail := func(err error) (*Keyring, error) {
		return nil, &FormatError{File: "public key file", Reason: err.Error()}
	}
	if len(data) > MaxKeyring {
		return fail(fmt.Errorf("larger than %d bytes", MaxKeyring))
	}
	// Some editors put a byte order mark before the text.
	text := bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	var blocks [][]byte
	var bare []*bareKey
	var err error
	switch {
	case isSignify(text):
		bare, err = parseSignifyKeys(text)
	case len(data) >= 12 && string(data[8:12]) == "KBXf":
		return fail(errors.New(`a keybox, GnuPG's own format: write the keys with "gpg --export FINGERPRINT > keys.gpg" and give that file`))
	// Text before the armor may begin with a letter outside ASCII. A file that is not
	// valid text as a whole is taken for packets. It is not searched for armor: anybody can
	// put armor into a user id or a notation, and that is not a key of the file.
	case isBinary(data) && !utf8.Valid(data):
		blocks = [][]byte{data}
	// A file with PEM keys, or with PEM blocks and no armor of OpenPGP. Other text may be around
	// the blocks, as around armor.
	case bytes.Contains(text, []byte(pemBegin+labelPlain+"-----")), bytes.Contains(text, []byte(pemBegin)) && !bytes.Contains(text, []byte(armorBegin)):
		bare, err = parsePlainKeys(text)
	default:
		blocks, err = keyBlocks(data)
	}
	if err != nil {
		return fail(err)
	}
	if bare != nil {
		return &Keyring{bare: bare}, nil
	}
	k := &Keyring{all: map[string]*publicKey{}}
	byPrint := map[string]*certificate{}
	seen := 0
	for _, block := range blocks {
		n, err := readCertificates(block, func(primary *publicKey) *certificate {
			c := byPrint[primary.fingerprint]
			if c == nil && len(k.certs) < maxCertificates {
				c = &certificate{primary: primary}
				k.certs = append(k.certs, c)
				byPrint[primary.fingerprint] = c
				k.all[primary.fingerprint] = primary
			}
			return c
		})
		if err != nil {
			return fail(err)
		}
		seen += n
	}
	switch {
	case seen > maxCertificates:
		return fail(fmt.Errorf("more than %d keys", maxCertificates))
	case len(k.certs) == 0 && seen > 0:
		return fail(errors.New("no keys of version 4 or 6"))
	case len(k.certs) == 0:
		return fail(errors.New("no keys"))
	}
	return k, nil
}

// readCertificates reads the packets of one block (RFC 9580, section 10.1) and returns the
// number of primary keys in it. It calls add for each primary key, to get the certificate;
// add returns nil if there are too many.
func readCertificates(data []byte, add func(*publicKey) *certificate) (seen int, err error) {
	var c *certificate // nil if the packets that follow belong to an ignored primary key
	var id *userID
	var sub *subkey
	known := false // the last key or user id was read, and signatures on it count
	for len(data) > 0 {
		p, rest, err := nextPacket(data)
		if err != nil {
			return seen, err
		}
		data = rest
		switch p.tag {
		case tagSecretKey, tagSecretSubkey:
			return seen, errors.New("a secret key: give the public one")
		case tagPublicKey:
			seen++
			c, id, sub, known = nil, nil, nil, true
			if primary := parsePublicKey(p.body); primary != nil {
				c = add(primary)
			}
		case tagUserID, tagUserAttribute:
			id, sub, known = nil, nil, false
			if c != nil {
				id = c.addID(p.tag, p.body)
				known = id != nil
			}
		case tagPublicSubkey:
			id, sub, known = nil, nil, false
			if k := parsePublicKey(p.body); c != nil && k != nil && k.version == c.primary.version {
				sub = c.addSubkey(k)
				known = sub != nil
			}
		case tagSignature:
			if seen == 0 {
				return 0, errors.New("signatures, not keys")
			}
			s := parseSignature(p.body)
			if c == nil || s == nil {
				continue
			}
			// After a part that can't be read, only those signatures count that are
			// about the primary key or may be about any subkey.
			if known || s.kind == typeKeyRevocation || s.kind == typeSubkeyRevocation {
				c.addSignature(s, id, sub)
			}
		case 1, 3, tagOnePass, 8, 9, 11, 18, 19, 20:
			return seen, errors.New("a message, not keys")
		}
		// All other packets (markers, GnuPG's trust packets, future types) are ignored.
	}
	return seen, nil
}

// Merge returns a Keyring with the keys of all rings. If several rings have a copy of the
// same certificate, Merge combines their parts, so that a revocation in one of them counts.
// A nil ring counts as empty.
func Merge(rings ...*Keyring) *Keyring {
	k := &Keyring{all: map[string]*publicKey{}}
	byPrint := map[string]*certificate{}
	for _, ring := range rings {
		if ring == nil {
			continue
		}
		k.bare = append(k.bare, ring.bare...)
		for fingerprint, key := range ring.all {
			k.all[fingerprint] = key
		}
		for _, from := range ring.certs {
			c := byPrint[from.primary.fingerprint]
			if c == nil {
				c = &certificate{primary: from.primary}
				k.certs = append(k.certs, c)
				byPrint[from.primary.fingerprint] = c
			}
			c.merge(from)
		}
	}
	return k
}

// Select returns a Keyring with those keys of k that have one of the fingerprints: 40 hex
// digits for the primary key of an OpenPGP certificate, 64 for version 6 or a PEM key, or 16 for
// the key number of signify or minisign. "0x", blanks and lower case are allowed. A fingerprint that
// is not in k is an error. So is an OpenPGP key id: anybody can make another key with the
// same id.
func (k *Keyring) Select(fingerprints []string) (*Keyring, error) {
	picked := &Keyring{all: k.all}
	for _, given := range fingerprints {
		want := strings.ToUpper(strings.Join(strings.Fields(given), ""))
		want = strings.TrimPrefix(want, "0X")
		found := false
		for _, c := range k.certs {
			if hexID(c.primary.fingerprint) == want {
				picked.certs = append(picked.certs, c)
				found = true
			}
		}
		for _, p := range k.bare {
			if hexID(p.number) == want {
				picked.bare = append(picked.bare, p)
				found = true
			}
		}
		switch {
		case found:
		case strings.Trim(want, "0123456789ABCDEF") != "" || len(want) != 40 && len(want) != 64:
			return nil, fmt.Errorf("%q is not a full fingerprint of 40 or 64 hex digits", clip(given))
		default:
			return nil, fmt.Errorf("no trusted key has the fingerprint %q", clip(given))
		}
	}
	return picked, nil
}

// Fingerprints returns the fingerprints of the certificates in k, and after them the key numbers
// of signify and minisign keys and the fingerprints of PEM keys, in upper-case hex digits and in
// the order in which they were read.
func (k *Keyring) Fingerprints() []string {
	var list []string
	for _, c := range k.certs {
		list = append(list, hexID(c.primary.fingerprint))
	}
	for _, p := range k.bare {
		list = append(list, hexID(p.number))
	}
	return list
}

// A Key is one key of a keyring.
type Key struct {
	_ [0]func() // forbids ==, whose code nothing needs
	// Fingerprint is the fingerprint of the certificate, KeyFingerprint that of the key
	// itself, as in Signature.
	Fingerprint, KeyFingerprint string
	// Problem says why the key could not sign; it is "" if the key could.
	Problem string
	Plain   bool // the key is of a PEM file: it signs container images only
}

// Keys returns every key of k, and whether it could sign at the time t.
func (k *Keyring) Keys(t time.Time) []Key {
	var list []Key
	for _, c := range k.certs {
		r := c.verify(k.all)
		for _, key := range c.keys() {
			problem := refusedKey
			if key.key != nil {
				problem = r.problem(key, t.Unix())
			}
			list = append(list, Key{Fingerprint: hexID(c.primary.fingerprint), KeyFingerprint: hexID(key.fingerprint), Problem: problem})
		}
	}
	for _, p := range k.bare {
		list = append(list, Key{Fingerprint: hexID(p.number), KeyFingerprint: hexID(p.number), Plain: p.plain != nil})
	}
	return list
}
