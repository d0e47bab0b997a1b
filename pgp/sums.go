package pgp

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

const (
	// MaxSums is the largest list of digests in bytes; OpenWrt's have 100 kB.
	MaxSums = 4 << 20
	// maxName is the longest file name in one, as long as Linux allows a path.
	maxName = 4096
)

// Sums are the SHA-256 digests of files by their names, as the list has them
// but for a "./" in front, as "sha256sum ./*" writes: nothing else is cleaned or
// shortened, so a name is to be looked up in full.
type Sums map[string][sha256.Size]byte

// ParseSums reads a SHA256SUMS list, in the format of sha256sum(1)
// ("DIGEST  NAME" or "DIGEST *NAME") or in BSD's ("SHA256 (NAME) = DIGEST").
//
// The list is read whole and in one of the formats, or refused with a
// *FormatError: the key that signs a list may sign other texts too, and a line
// in the middle of a build's log is not a list. A name that comes twice with
// different digests is refused, too.
func ParseSums(text []byte) (Sums, error) {
	fail := func(line int, err error) (Sums, error) {
		return nil, &FormatError{File: "SHA256SUMS list", Reason: fmt.Sprintf("line %d: %v", line, err)}
	}
	switch {
	case len(text) > MaxSums:
		return nil, &FormatError{File: "SHA256SUMS list", Reason: fmt.Sprintf("larger than %d bytes", MaxSums)}
	case len(text) == 0:
		return nil, &FormatError{File: "SHA256SUMS list", Reason: "empty"}
	}
	parse := parseGNUSum
	if strings.HasPrefix(string(text[:min(len(text), 8)]), "SHA256 (") {
		parse = parseBSDSum
	}
	sums := Sums{}
	for n, rest := 1, text; len(rest) > 0; n++ {
		var line []byte
		line, rest = cutLine(rest)
		name, digits, ok := parse(strings.TrimSuffix(string(line), "\r"))
		if !ok {
			return fail(n, errors.New("not a digest and a name"))
		}
		name = strings.TrimPrefix(name, "./")
		if err := checkName(name); err != nil {
			return fail(n, err)
		}
		var sum [sha256.Size]byte
		if len(digits) != 2*len(sum) {
			return fail(n, errors.New("a digest of the wrong length"))
		}
		if _, err := hex.Decode(sum[:], []byte(digits)); err != nil {
			return fail(n, errors.New("a digest that is not hex digits"))
		}
		if known, ok := sums[name]; ok && known != sum {
			return fail(n, fmt.Errorf("%q has two digests", clip(name)))
		}
		sums[name] = sum
	}
	return sums, nil
}

func parseGNUSum(line string) (name, digits string, ok bool) {
	digits, name, ok = strings.Cut(line, " ")
	if !ok || name == "" || name[0] != ' ' && name[0] != '*' {
		return "", "", false
	}
	return name[1:], digits, true
}

func parseBSDSum(line string) (name, digits string, ok bool) {
	line, ok = strings.CutPrefix(line, "SHA256 (")
	end := strings.LastIndex(line, ") = ")
	if !ok || end < 0 {
		return "", "", false
	}
	return line[:end], line[end+len(") = "):], true
}

// checkName refuses names that no list has a use for. sha256sum escapes line
// feeds and backslashes in names, and marks such a line with a backslash; it
// fails as a digest.
func checkName(name string) error {
	if name == "" || len(name) > maxName {
		return errors.New("a name of a wrong length")
	}
	for _, b := range []byte(name) {
		if b < ' ' || b == 0x7f {
			return fmt.Errorf("a control character in the name %q", clip(name))
		}
	}
	return nil
}
