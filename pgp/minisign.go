package pgp

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"strconv"
	"strings"
	"time"
)

// This file has what minisign(1) adds to signify's format: two more lines in a signature
// file, which hold a signed comment, the algorithm "ED", which signs the BLAKE2b-512 of the
// file, and a public key without a comment line.

const (
	trustedComment    = "trusted comment: "
	minisignPrehashed = "ED"
)

// isShortMinisignKey reports whether data is a public key as minisign prints it: a line of
// base64 alone.
func isShortMinisignKey(data []byte) bool {
	line := bytes.TrimRight(data, blanks)
	return len(line) == 56 && bytes.HasPrefix(line, []byte("RW"))
}

// isMinisignRest reports whether rest, the part of a file after the second line, belongs to a
// minisign signature. The trusted comment may be missing from it, which is an error later.
func isMinisignRest(rest []byte) bool {
	if bytes.HasPrefix(rest, []byte(trustedComment)) {
		return true
	}
	lines := signifyLines(rest[:min(len(rest), 4096)])
	if len(lines) != 2 {
		return false
	}
	_, err := decodeSignifyLine(lines[1], ed25519.SignatureSize)
	return err == nil
}

// A minisignComment is the trusted comment of a minisign signature.
type minisignComment struct {
	text string
	raw  []byte // the signature over the file's signature and text
}

// parseMinisignComment reads the third and the fourth line of a signature file.
func parseMinisignComment(comment, signature string) (*minisignComment, error) {
	text, ok := strings.CutPrefix(comment, trustedComment)
	if !ok {
		return nil, errors.New("no trusted comment in a minisign signature")
	}
	raw, err := decodeSignifyLine(signature, ed25519.SignatureSize)
	if err != nil {
		return nil, err
	}
	return &minisignComment{text: text, raw: raw}, nil
}

// created returns the time that minisign writes into the trusted comment by default:
// "timestamp:SECONDS", a tab, and more. Without one, or without a comment (c is nil), it
// returns the zero Time.
func (c *minisignComment) created() time.Time {
	if c == nil {
		return time.Time{}
	}
	for _, field := range strings.Split(c.text, "\t") {
		if digits, ok := strings.CutPrefix(field, "timestamp:"); ok {
			if seconds, err := strconv.ParseUint(digits, 10, 40); err == nil {
				return time.Unix(int64(seconds), 0).UTC()
			}
		}
	}
	return time.Time{}
}

// signedBy reports whether k signed the comment together with signature, the signature of
// the file.
func (c *minisignComment) signedBy(k *bareKey, signature []byte) bool {
	return ed25519.Verify(k.key, append(signature[:len(signature):len(signature)], c.text...), c.raw)
}
