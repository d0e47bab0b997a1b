package pgp

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

const (
	// MaxSums is the size of the largest list of digests that is read, in bytes. OpenWrt's
	// lists have 100 kB.
	MaxSums = 4 << 20
	// maxName is the longest file name in a list, in bytes: as long as a path of Linux.
	maxName = 4096
)

// Sums maps the names of files to their SHA-256 digests. The names are those in the list
// without a "./" in front, which "sha256sum ./*" writes. ParseSums changes nothing else in
// them, so a caller looks a name up in full.
type Sums map[string][sha256.Size]byte

// ParseSums reads a SHA256SUMS list in the format of sha256sum(1) ("DIGEST  NAME" or
// "DIGEST *NAME") or in the format of BSD ("SHA256 (NAME) = DIGEST").
//
// If a line is not in the format of the list, ParseSums refuses the whole list with a
// *FormatError. The key that signs lists may sign other texts, too, and a line in the middle
// of a build log that looks like a digest is not a list. A name with two different digests
// is also refused.
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

// parseGNUSum splits a line of sha256sum(1).
func parseGNUSum(line string) (name, digits string, ok bool) {
	digits, name, ok = strings.Cut(line, " ")
	if !ok || name == "" || name[0] != ' ' && name[0] != '*' {
		return "", "", false
	}
	return name[1:], digits, true
}

// parseBSDSum splits a line in the format of BSD.
func parseBSDSum(line string) (name, digits string, ok bool) {
	line, ok = strings.CutPrefix(line, "SHA256 (")
	end := strings.LastIndex(line, ") = ")
	if !ok || end < 0 {
		return "", "", false
	}
	return line[:end], line[end+len(") = "):], true
}

// checkName refuses empty names, names that are too long, and control characters. Names with
// line feeds or backslashes don't get here: sha256sum puts a backslash in front of such a
// line, which makes the digest invalid.
func checkName(name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("an empty name or a name of more than %d bytes", maxName)
	}
	for _, b := range []byte(name) {
		if b < ' ' || b == 0x7f {
			return fmt.Errorf("a control character in the name %q", clip(name))
		}
	}
	return nil
}
