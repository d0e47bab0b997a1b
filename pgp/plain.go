package pgp

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/blake2b"
)

// This file has the formats of signify(1), which OpenWrt calls usign, and
// minisign(1): a comment line, then base64 of an algorithm, a key number of 8
// bytes and an Ed25519 key or signature. minisign adds a second pair of lines,
// a comment that is signed. Algorithm "Ed" signs the file as it is, minisign's
// "ED" its BLAKE2b-512.

const (
	untrustedComment = "untrusted comment:"
	trustedComment   = "trusted comment: "

	// MaxPlainEd25519 is the largest file, in bytes, whose "Ed" signature is
	// verified: the algorithm of the standard library needs it in memory. Lists
	// of digests, for which signify is used, have some 100 kB.
	MaxPlainEd25519 = 16 << 20
	// maxPlainKeys of one file.
	maxPlainKeys = 1024
)

// A plainKey is a public key of signify or minisign.
type plainKey struct {
	number string // 8 bytes
	key    ed25519.PublicKey
}

// A plainSignature is a signature of signify or minisign.
type plainSignature struct {
	prehashed bool
	number    string
	raw       []byte
	// minisign only
	minisign   bool
	comment    string
	commentSig []byte // over raw and comment
}

func isPlain(data []byte) bool {
	if bytes.HasPrefix(data, []byte(untrustedComment)) {
		return true
	}
	// minisign prints its public key in short as the base64 alone.
	line := bytes.TrimRight(data, blanks)
	return len(line) == 56 && bytes.HasPrefix(line, []byte("RW"))
}

// embedded names the two forms of signify(1) in which signature and content are
// one file, "" for what is neither. They are not supported: nothing here reads
// the content of a file that it verifies.
func embedded(data []byte) string {
	const gzipComment = "\x1f\x8b\x08\x10" // gzip with a comment, whose text begins at byte 10
	if len(data) > 10 && bytes.HasPrefix(data, []byte(gzipComment)) && bytes.HasPrefix(data[10:], []byte(untrustedComment)) {
		return "this is a signify -z file, with the signature in the gzip header: verify and extract it with signify -Vz"
	}
	if !bytes.HasPrefix(data, []byte(untrustedComment)) {
		return ""
	}
	_, rest, _ := bytes.Cut(data, []byte("\n"))
	line, rest, _ := bytes.Cut(rest, []byte("\n"))
	if _, err := plainLine(strings.TrimSuffix(string(line), "\r"), 2+8+ed25519.SignatureSize); err != nil || len(bytes.TrimRight(rest, "\r\n")) == 0 || bytes.HasPrefix(rest, []byte(trustedComment)) {
		return ""
	}
	if lines := plainLines(rest[:min(len(rest), 4096)]); len(lines) == 2 { // maybe a minisign file without that comment
		if _, err := plainLine(lines[1], ed25519.SignatureSize); err == nil {
			return ""
		}
	}
	return "this is a signify -e file, with the signature before the signed text: verify it with signify -Ve"
}

var strictBase64 = base64.StdEncoding.Strict()

// plainLine decodes a line of base64 of n bytes.
func plainLine(line string, n int) ([]byte, error) {
	raw, err := strictBase64.DecodeString(line)
	if err != nil || len(raw) != n {
		return nil, errors.New("a line that is not a key or signature")
	}
	return raw, nil
}

// plainLines splits a file into lines, of either line ending, without the empty
// ones at its end.
func plainLines(data []byte) []string {
	lines := strings.Split(strings.TrimRight(string(data), "\r\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimSuffix(lines[i], "\r")
	}
	return lines
}

func parsePlainKeys(data []byte) ([]*plainKey, error) {
	var keys []*plainKey
	for _, line := range plainLines(data) {
		if strings.HasPrefix(line, untrustedComment) {
			continue
		}
		raw, err := plainLine(line, 2+8+ed25519.PublicKeySize)
		if err != nil {
			return nil, err
		}
		if string(raw[:2]) != "Ed" {
			return nil, errors.New("a signify or minisign key of an unknown algorithm")
		}
		if len(keys) == maxPlainKeys {
			return nil, fmt.Errorf("more than %d keys", maxPlainKeys)
		}
		keys = append(keys, &plainKey{number: string(raw[2:10]), key: raw[10:]})
	}
	if len(keys) == 0 {
		return nil, errors.New("no keys")
	}
	return keys, nil
}

func parsePlainSignature(data []byte) (*plainSignature, error) {
	lines := plainLines(data)
	if len(lines) != 2 && len(lines) != 4 {
		return nil, fmt.Errorf("%d lines, where signify has 2 and minisign 4", len(lines))
	}
	raw, err := plainLine(lines[1], 2+8+ed25519.SignatureSize)
	if err != nil {
		return nil, err
	}
	s := &plainSignature{number: string(raw[2:10]), raw: raw[10:], minisign: len(lines) == 4}
	switch algo := string(raw[:2]); {
	case algo == "Ed":
	case algo == "ED" && s.minisign:
		s.prehashed = true
	default:
		return nil, errors.New("a signify or minisign signature of an unknown algorithm")
	}
	if s.minisign {
		var ok bool
		if s.comment, ok = strings.CutPrefix(lines[2], trustedComment); !ok {
			return nil, errors.New("no trusted comment in a minisign signature")
		}
		if s.commentSig, err = plainLine(lines[3], ed25519.SignatureSize); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// created returns the time that minisign puts into the trusted comment unless
// told otherwise: "timestamp:SECONDS", a tab, and more.
func (s *plainSignature) created() time.Time {
	for field := range strings.SplitSeq(s.comment, "\t") {
		if digits, ok := strings.CutPrefix(field, "timestamp:"); ok {
			if seconds, err := strconv.ParseUint(digits, 10, 40); err == nil {
				return time.Unix(int64(seconds), 0).UTC()
			}
		}
	}
	return time.Time{}
}

// plainVerifier verifies one such signature.
type plainVerifier struct {
	sig  *plainSignature
	keys []*plainKey // those of the signature's number
	data []byte      // for Ed
	hash hash.Hash   // for ED
}

func newPlainVerifier(k *Keyring, data []byte, p Policy) (*plainVerifier, error) {
	sig, err := parsePlainSignature(data)
	if err != nil {
		return nil, &FormatError{File: "signature file", Reason: err.Error()}
	}
	v := &plainVerifier{sig: sig}
	for _, key := range k.plain {
		if key.number == sig.number {
			v.keys = append(v.keys, key)
		}
	}
	if len(v.keys) == 0 {
		return nil, &UntrustedError{Issuers: []string{hexID(sig.number)}, Need: p.need()}
	}
	// What isn't signed yet is believed only to refuse it early; finish
	// verifies the comment.
	if reason := p.timeProblem(sig.created()); reason != "" {
		return nil, badSignature(sig.number, reason)
	}
	if sig.prehashed {
		v.hash, _ = blake2b.New512(nil) // fails for a key only, and there is none
	}
	return v, nil
}

func (v *plainVerifier) write(p []byte) error {
	if v.hash != nil {
		v.hash.Write(p)
		return nil
	}
	if len(p) > MaxPlainEd25519-len(v.data) {
		return &FormatError{File: "signed file", Reason: fmt.Sprintf("larger than %d bytes, which its signature's format needs in memory (minisign -H has no such limit)", MaxPlainEd25519)}
	}
	v.data = append(v.data, p...)
	return nil
}

func (v *plainVerifier) finish(p Policy) (*Result, error) {
	message := v.data
	if v.hash != nil {
		message = v.hash.Sum(nil)
	}
	s := v.sig
	for _, k := range v.keys {
		if !ed25519.Verify(k.key, message, s.raw) {
			continue
		}
		if s.minisign && !ed25519.Verify(k.key, append(s.raw[:len(s.raw):len(s.raw)], s.comment...), s.commentSig) {
			return nil, badSignature(s.number, "the trusted comment was changed")
		}
		if need := p.need(); need > 1 {
			return nil, &UntrustedError{Good: 1, Need: need}
		}
		return &Result{Signatures: []Signature{{
			Fingerprint:    hexID(s.number),
			KeyFingerprint: hexID(s.number),
			Created:        s.created(),
			Comment:        s.comment,
		}}}, nil
	}
	return nil, badSignature(s.number, "the data or the signature was changed")
}
