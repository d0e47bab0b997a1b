package pgp

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strings"

	"golang.org/x/crypto/blake2b"
)

// This file reads the format of signify(1), which OpenWrt calls usign: a comment line, then
// a line of base64 that holds an algorithm, a key number of 8 bytes, and an Ed25519 key or
// signature. The algorithm "Ed" signs the file itself. minisign(1) extends the format:
// minisign.go has its additions.

const (
	untrustedComment = "untrusted comment:"

	// MaxUnhashed is the size in bytes of the largest file that can be verified with an
	// "Ed" signature of signify or minisign. The standard library's Ed25519 needs the file
	// in memory. Lists of digests, for which signify is used, have about 100 kB.
	MaxUnhashed = 16 << 20
	// maxSignifyKeys is how many keys a file may contain.
	maxSignifyKeys = 1024
)

// A signifySignature is a signature of signify or minisign.
type signifySignature struct {
	number    string // of the key, 8 bytes
	raw       []byte
	prehashed bool             // raw is over the BLAKE2b-512 of the file; minisign only
	comment   *minisignComment // nil for signify
}

// isSignify reports whether data is a key or signature of signify or minisign.
func isSignify(data []byte) bool {
	return bytes.HasPrefix(data, []byte(untrustedComment)) || isShortMinisignKey(data)
}

// embeddedSignature returns the Reason to refuse a file in one of the two forms of signify(1)
// that contain signature and content, or "" for any other file. This package does not
// support these forms: it never returns content from a signature file.
func embeddedSignature(data []byte) string {
	const gzipComment = "\x1f\x8b\x08\x10" // a gzip header with a comment, which begins at byte 10
	if len(data) > 10 && bytes.HasPrefix(data, []byte(gzipComment)) && bytes.HasPrefix(data[10:], []byte(untrustedComment)) {
		return "this is a signify -z file, with the signature in the gzip header: verify and extract it with signify -Vz"
	}
	if !bytes.HasPrefix(data, []byte(untrustedComment)) {
		return ""
	}
	_, rest, _ := bytes.Cut(data, []byte("\n"))
	line, rest, _ := bytes.Cut(rest, []byte("\n"))
	if _, err := decodeSignifyLine(strings.TrimSuffix(string(line), "\r"), 2+8+ed25519.SignatureSize); err != nil {
		return "" // no signature
	}
	if len(bytes.TrimRight(rest, "\r\n")) == 0 || isMinisignRest(rest) {
		return ""
	}
	return "this is a signify -e file, with the signature before the signed text: verify it with signify -Ve"
}

var strictBase64 = base64.StdEncoding.Strict()

// decodeSignifyLine decodes a line of base64, which must give n bytes.
func decodeSignifyLine(line string, n int) ([]byte, error) {
	raw, err := strictBase64.DecodeString(line)
	if err != nil || len(raw) != n {
		return nil, errors.New("a line that is not a key or signature")
	}
	return raw, nil
}

// signifyLines splits a file into lines, which may end with LF or CR LF, and drops empty
// lines at the end.
func signifyLines(data []byte) []string {
	lines := strings.Split(strings.TrimRight(string(data), "\r\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimSuffix(lines[i], "\r")
	}
	return lines
}

// parseSignifyKeys reads the public keys of signify or minisign in a file. There may be
// several, with or without comment lines.
func parseSignifyKeys(data []byte) ([]*bareKey, error) {
	var keys []*bareKey
	for _, line := range signifyLines(data) {
		if strings.HasPrefix(line, untrustedComment) {
			continue
		}
		raw, err := decodeSignifyLine(line, 2+8+ed25519.PublicKeySize)
		if err != nil {
			return nil, err
		}
		if string(raw[:2]) != "Ed" {
			return nil, errors.New("a signify or minisign key of an unknown algorithm")
		}
		if len(keys) == maxSignifyKeys {
			return nil, fmt.Errorf("more than %d keys", maxSignifyKeys)
		}
		keys = append(keys, &bareKey{number: string(raw[2:10]), key: raw[10:]})
	}
	if len(keys) == 0 {
		return nil, errors.New("no keys")
	}
	return keys, nil
}

// parseSignifySignature reads a signature file of signify, which has two lines, or minisign,
// which has four.
func parseSignifySignature(data []byte) (*signifySignature, error) {
	lines := signifyLines(data)
	if len(lines) != 2 && len(lines) != 4 {
		return nil, fmt.Errorf("%d lines, where signify has 2 and minisign 4", len(lines))
	}
	raw, err := decodeSignifyLine(lines[1], 2+8+ed25519.SignatureSize)
	if err != nil {
		return nil, err
	}
	s := &signifySignature{number: string(raw[2:10]), raw: raw[10:]}
	switch algo := string(raw[:2]); {
	case algo == "Ed":
	case algo == minisignPrehashed && len(lines) == 4:
		s.prehashed = true
	default:
		return nil, errors.New("a signify or minisign signature of an unknown algorithm")
	}
	if len(lines) == 4 {
		if s.comment, err = parseMinisignComment(lines[2], lines[3]); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// A signifyVerifier verifies data with a signature of signify or minisign.
type signifyVerifier struct {
	sig  *signifySignature
	keys []*bareKey // the trusted keys with the signature's key number
	hash hash.Hash  // of the data, for a prehashed signature
	data []byte     // the data itself, for other signatures
}

// newSignifyVerifier is NewVerifier for signify and minisign.
func newSignifyVerifier(k *Keyring, data []byte, p Policy) (*signifyVerifier, error) {
	sig, err := parseSignifySignature(data)
	if err != nil {
		return nil, &FormatError{File: "signature file", Reason: err.Error()}
	}
	v := &signifyVerifier{sig: sig}
	for _, key := range k.bare {
		if key.number == sig.number {
			v.keys = append(v.keys, key)
		}
	}
	if len(v.keys) == 0 {
		return nil, &UntrustedError{Issuers: []string{hexID(sig.number)}, Need: p.need()}
	}
	// The time is not verified yet: finish verifies the comment that holds it. Until then
	// it only serves to refuse a signature early.
	if reason := p.timeProblem(sig.comment.created()); reason != "" {
		return nil, badSignature(sig.number, reason)
	}
	if sig.prehashed {
		v.hash, _ = blake2b.New512(nil) // fails only if there is a key that is too long
	}
	return v, nil
}

// write adds p to the data.
func (v *signifyVerifier) write(p []byte) error {
	if v.hash != nil {
		v.hash.Write(p)
		return nil
	}
	if len(p) > MaxUnhashed-len(v.data) {
		return &FormatError{File: "signed file", Reason: fmt.Sprintf("larger than %d bytes, which its signature's format needs in memory (minisign -H has no such limit)", MaxUnhashed)}
	}
	v.data = append(v.data, p...)
	return nil
}

// finish implements Verifier.Finish for signify and minisign.
func (v *signifyVerifier) finish(p Policy) (*Result, error) {
	message := v.data
	if v.hash != nil {
		message = v.hash.Sum(nil)
	}
	s := v.sig
	for _, k := range v.keys {
		if !ed25519.Verify(k.key, message, s.raw) {
			continue
		}
		signature := Signature{Fingerprint: hexID(s.number), KeyFingerprint: hexID(s.number)}
		if s.comment != nil {
			if !s.comment.signedBy(k, s.raw) {
				return nil, badSignature(s.number, "the trusted comment was changed")
			}
			signature.Created, signature.Comment = s.comment.created(), s.comment.text
		}
		if need := p.need(); need > 1 {
			return nil, &UntrustedError{Good: 1, Need: need}
		}
		return &Result{Signatures: []Signature{signature}}, nil
	}
	return nil, badSignature(s.number, "the data or the signature was changed")
}
