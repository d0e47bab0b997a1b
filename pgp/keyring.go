package pgp

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of a file of keys.
const (
	// MaxKeyring is the largest file of keys, in bytes. The largest in use,
	// debian-keyring.gpg, has 28 MB.
	MaxKeyring = 64 << 20
	// maxCertificates of one file; debian-keyring.gpg has 900.
	maxCertificates = 1 << 16
)

// A Keyring is a set of keys that the caller trusts. It doesn't change once it
// is made.
type Keyring struct {
	certs []*certificate
	plain []*plainKey // signify's and minisign's
	// all are the primary keys of everything that was read, also of what
	// Select left out, by fingerprint: they may be designated revokers.
	all map[string]*publicKey
}

// ReadKeyring reads a file of public keys: OpenPGP certificates, binary or
// armored, several of them and with prose around the armor; or keys of signify,
// usign or minisign. An error is a *FormatError.
//
// Parts of a certificate that it can't read, or that nobody signed, are passed
// over and never trusted. A certificate that can't be used (an algorithm that
// is refused, no valid self-signature, a revocation) is no error here: the
// verification that would need it fails and says why.
func ReadKeyring(data []byte) (*Keyring, error) {
	fail := func(err error) (*Keyring, error) {
		return nil, &FormatError{File: "public key file", Reason: err.Error()}
	}
	if len(data) > MaxKeyring {
		return fail(fmt.Errorf("larger than %d bytes", MaxKeyring))
	}
	// A byte order mark goes before the text of some editors.
	if text := bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")); isPlain(text) {
		keys, err := parsePlainKeys(text)
		if err != nil {
			return fail(err)
		}
		return &Keyring{plain: keys}, nil
	}
	var blocks [][]byte
	switch {
	case len(data) >= 12 && string(data[8:12]) == "KBXf":
		return fail(errors.New(`a keybox, GnuPG's own format: write the keys with "gpg --export FINGERPRINT > keys.gpg" and give that file`))
	// Prose before the armor may begin with a letter beyond ASCII. What is not
	// text as a whole is packets: armor that stands in a user id or a notation
	// in it, where anybody can put one, is no key of the file's.
	case isBinary(data) && !utf8.Valid(data):
		blocks = [][]byte{data}
	default:
		var err error
		if blocks, err = keyBlocks(data); err != nil {
			return fail(err)
		}
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

// readCertificates reads the packets of one block (RFC 9580, section 10.1) and
// returns how many primary keys it saw. add returns the certificate of a
// primary key, nil where there is no room.
func readCertificates(data []byte, add func(*publicKey) *certificate) (seen int, err error) {
	var c *certificate // nil: what comes belongs to nothing that counts
	var id *userID
	var sub *subkey
	below := false // c's own signatures may come: the last key or id was read
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
			c, id, sub, below = nil, nil, nil, true
			if primary := parsePublicKey(p.body); primary != nil {
				c = add(primary)
			}
		case tagUserID, tagUserAttribute:
			id, sub, below = nil, nil, false
			if c != nil {
				id = c.addID(p.tag, p.body)
				below = id != nil
			}
		case tagPublicSubkey:
			id, sub, below = nil, nil, false
			if k := parsePublicKey(p.body); c != nil && k != nil && k.version == c.primary.version {
				sub = c.addSubkey(k)
				below = sub != nil
			}
		case tagSignature:
			if seen == 0 {
				return 0, errors.New("signatures, not keys")
			}
			s := parseSignature(p.body)
			if c == nil || s == nil {
				continue
			}
			// Below a part that can't be read only what is about the
			// primary key or may be about any subkey counts.
			if below || s.kind == typeKeyRevocation || s.kind == typeSubkeyRevocation {
				c.addSignature(s, id, sub)
			}
		case 1, 3, tagOnePass, 8, 9, 11, 18, 19, 20:
			return seen, errors.New("a message, not keys")
		}
		// Everything else (markers, GnuPG's trust packets, what is to come) says
		// nothing about keys.
	}
	return seen, nil
}

// Merge returns the keys of all rings. Of a certificate that several hold, the
// parts are put together, so that the copy with the revocation counts. A nil
// ring is an empty one.
func Merge(rings ...*Keyring) *Keyring {
	k := &Keyring{all: map[string]*publicKey{}}
	byPrint := map[string]*certificate{}
	for _, ring := range rings {
		if ring == nil {
			continue
		}
		k.plain = append(k.plain, ring.plain...)
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
			c.join(from)
		}
	}
	return k
}

// Select returns the keys of k that have one of the fingerprints: 40 hex digits
// of an OpenPGP certificate's primary key, 64 of version 6, or the 16 of a
// signify or minisign key's number. "0x", blanks and lower case are allowed. It
// never makes a key trusted; one that k doesn't hold is an error, and so is an
// OpenPGP key id, which anybody can make a second key for.
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
		for _, p := range k.plain {
			if hexID(p.number) == want {
				picked.plain = append(picked.plain, p)
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

// Fingerprints returns the fingerprints of the keys in k, in the order in which
// they were read: of a certificate's primary key in upper-case hex digits, of a
// signify or minisign key its number.
func (k *Keyring) Fingerprints() []string {
	var list []string
	for _, c := range k.certs {
		list = append(list, hexID(c.primary.fingerprint))
	}
	for _, p := range k.plain {
		list = append(list, hexID(p.number))
	}
	return list
}

// A Key is one key of a keyring.
type Key struct {
	// Fingerprint is of the certificate, KeyFingerprint of the key itself, as
	// in Signature.
	Fingerprint, KeyFingerprint string
	// Problem is why the key couldn't have signed anything; "" where it could.
	Problem string
}

// Keys returns every key of k, and whether it could have made a signature at
// the time t.
func (k *Keyring) Keys(t time.Time) []Key {
	var list []Key
	for _, c := range k.certs {
		r := c.verified(k.all)
		for _, key := range c.keys() {
			problem := refusedKey
			if key.key != nil {
				problem = r.problem(key, t.Unix())
			}
			list = append(list, Key{hexID(c.primary.fingerprint), hexID(key.fingerprint), problem})
		}
	}
	for _, p := range k.plain {
		list = append(list, Key{hexID(p.number), hexID(p.number), ""})
	}
	return list
}
