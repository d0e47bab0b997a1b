// Package signer makes OpenPGP keys, and signs files with them as image servers do.
package signer

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// PathNotation names a signature's notation (RFC 9580 section 5.2.3.24) that
// holds the path of the signed file in the tree, such as
// "images/alpine/3.20/amd64/default/20260101_00:00/rootfs.tar.xz". It ties the signed
// bytes to one image and build: without it a mirror could serve another image or an older
// build that the same key has signed. Verifiers that don't know the notation ignore it.
const PathNotation = "path@lxc-pull"

// maxKeyFile is the greatest size of a key file in bytes. The largest real key files have
// about 100 kB, most of it other people's certifications.
const maxKeyFile = 4 << 20

// A Signer signs files of a tree.
type Signer struct {
	entity *openpgp.Entity
	config packet.Config
}

// New makes a signing key without a passphrase and writes it to file, which only its
// owner can read. It never overwrites a file.
func New(file, userID string, now time.Time) error {
	never := false // Ed25519 is deterministic and needs no salt
	config := &packet.Config{
		Algorithm:   packet.PubKeyAlgoEdDSA, // the form of Ed25519 that GnuPG 2.2 supports
		DefaultHash: crypto.SHA512,
		Time:        func() time.Time { return now },

		NonDeterministicSignaturesViaNotation: &never,
	}
	entity, err := openpgp.NewEntity(userID, "", "", config)
	if err != nil {
		return err
	}
	entity.Subkeys = nil // the key is not for encryption
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	err = armored(f, openpgp.PrivateKeyType, func(w io.Writer) error { return entity.SerializePrivate(w, config) })
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

// Read reads a secret key as "gpg --export-secret-keys" writes it, armored
// or not. passphrase is needed when the key is protected by one.
func Read(file string, passphrase []byte) (*Signer, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxKeyFile {
		return nil, fmt.Errorf("%q: too large for a key", file)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	read := openpgp.ReadKeyRing
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("-----BEGIN PGP")) {
		read = openpgp.ReadArmoredKeyRing
	}
	ring, err := read(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%q: %v", file, err)
	}
	if len(ring) != 1 {
		return nil, fmt.Errorf("%q holds %d keys, it must hold one", file, len(ring))
	}
	never := false
	s := &Signer{entity: ring[0], config: packet.Config{DefaultHash: crypto.SHA512, NonDeterministicSignaturesViaNotation: &never}}
	key, ok := s.entity.SigningKey(s.config.Now())
	if !ok {
		return nil, fmt.Errorf("%q: no key in it may sign now: expired, revoked, or made for something else", file)
	}
	if key.PrivateKey == nil || key.PrivateKey.Dummy() {
		return nil, fmt.Errorf("%q: the secret part of the signing key is missing", file)
	}
	if key.PrivateKey.Encrypted {
		if len(passphrase) == 0 {
			return nil, fmt.Errorf("%q is protected: give its passphrase with --passphrase-file", file)
		}
		if err := key.PrivateKey.Decrypt(passphrase); err != nil {
			return nil, fmt.Errorf("%q: wrong passphrase? %v", file, err)
		}
	}
	// Signing selects a key again: leave only this one to select.
	s.config.SigningKeyId = key.PublicKey.KeyId
	return s, nil
}

// WritePublic writes the key's public part to file.
func (s *Signer) WritePublic(file string) error {
	var b bytes.Buffer
	if err := armored(&b, openpgp.PublicKeyType, s.entity.Serialize); err != nil {
		return err
	}
	return os.WriteFile(file, b.Bytes(), 0o644)
}

// Fingerprint returns the key's fingerprint, in upper-case hexadecimal digits.
func (s *Signer) Fingerprint() string {
	return fmt.Sprintf("%X", s.entity.PrimaryKey.Fingerprint)
}

// At returns a Signer whose signatures are dated at.
func (s *Signer) At(at time.Time) *Signer {
	c := *s
	c.config.Time = func() time.Time { return at }
	return &c
}

// notations returns those of a signature of the file at a path in the tree; "": it has none.
func notations(path string) []*packet.Notation {
	if path == "" {
		return nil
	}
	return []*packet.Notation{{Name: PathNotation, Value: []byte(path), IsHumanReadable: true}}
}

// Detached writes the armored signature of file to file plus suffix. path is the file's
// path in the tree, for the notation; "": the signature has none.
func (s *Signer) Detached(file, path, suffix string) error {
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	var b bytes.Buffer
	config := s.config
	config.SignatureNotations = notations(path)
	if err := openpgp.ArmoredDetachSign(&b, s.entity, in, &config); err != nil {
		return fmt.Errorf("signing %q: %v", file, err)
	}
	b.WriteByte('\n')
	return os.WriteFile(file+suffix, b.Bytes(), 0o644)
}

// Cleartext writes text with a cleartext signature to file (RFC 9580 section 7). path is as that
// of Detached.
func (s *Signer) Cleartext(file, path string, text []byte) error {
	key, ok := s.entity.SigningKeyById(s.config.Now(), s.config.SigningKeyId)
	if !ok {
		return errors.New("the signing key has expired during the run")
	}
	config := s.config
	config.SignatureNotations = notations(path)
	var b bytes.Buffer
	w, err := clearsign.Encode(&b, key.PrivateKey, &config)
	if err == nil {
		_, err = w.Write(text)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return fmt.Errorf("signing %q: %v", file, err)
	}
	// clearsign leaves out the armor's checksum. Without it GnuPG 2.2 mistakes the end
	// of one signature in three for data, so make the armor again.
	block, _ := clearsign.Decode(b.Bytes())
	body, _, found := bytes.Cut(b.Bytes(), []byte("-----BEGIN PGP SIGNATURE-----"))
	if block == nil || !found {
		return fmt.Errorf("signing %q: not a signed message", file)
	}
	message := bytes.NewBuffer(bytes.Clone(body))
	err = armored(message, openpgp.SignatureType, func(w io.Writer) error {
		_, err := io.Copy(w, block.ArmoredSignature.Body)
		return err
	})
	if err != nil {
		return err
	}
	return os.WriteFile(file, message.Bytes(), 0o644)
}

// armored writes the output of write in ASCII armor, with a line feed at the end.
func armored(out io.Writer, blockType string, write func(io.Writer) error) error {
	w, err := armor.Encode(out, blockType, nil)
	if err != nil {
		return err
	}
	if err := write(w); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_, err = out.Write([]byte{'\n'})
	return err
}
