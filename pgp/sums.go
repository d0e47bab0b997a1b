package pgp

import (
	"bytes"
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

// FindDigest returns the digest of the file of that name in a list of digests: its SHA-256, of
// 32 bytes, or if the list has none its SHA-512, of 64 bytes. It is nil if the list does not
// name the file. FindDigest reads more forms than [ParseSums]:
//
//   - lines of sha256sum(1) and sha512sum(1), and of BSD with any algorithm ("SHA512 (NAME) = DIGEST")
//   - comments, empty lines, and Gentoo's comment that names the algorithm ("# SHA512 HASH")
//   - a cleartext signed message, of which it reads the text and does not verify the
//     signature: pass it the text of [VerifyCleartext] in order to trust it
//   - if alone is true, a digest without a name in the only line, as in NAME.sha256
//
// Digests by other algorithms are passed over. It is a *[FormatError] if the file has no other
// digest, or two that differ, or if another line is in the list: the key that signs lists may
// sign other texts, too.
func FindDigest(list []byte, name string, alone bool) ([]byte, error) {
	if bytes.HasPrefix(list, []byte(cleartextBegin)) {
		text, _, err := splitCleartext(bytes.Clone(list)) // the caller's text must not change
		if err != nil {
			return badList(err.Error())
		}
		list = text
	}
	if len(list) > MaxSums {
		return badList("larger than allowed")
	}
	if digits := strings.TrimSpace(string(list[:min(len(list), 256)])); alone && strings.IndexByte(digits, ' ') < 0 {
		list, name = []byte(digits+"  -"), "-"
	}
	name = strings.TrimPrefix(name, "./")
	var found [2]string // SHA-256 and SHA-512
	algorithm, weak := "", false
	for rest := list; len(rest) > 0; {
		var line []byte
		line, rest = cutLine(rest)
		text := strings.TrimSuffix(string(line), "\r")
		if strings.TrimSpace(text) == "" {
			continue
		}
		if text[0] == '#' {
			if words := strings.Fields(text); words[len(words)-1] == "HASH" && len(words) > 2 {
				algorithm = words[1]
			}
			continue
		}
		entry, digits, kind, err := parseSum(text, algorithm)
		switch {
		case err != nil:
			return badList(err.Error())
		case entry != name:
		case kind < 0:
			weak = true
		case found[kind] != "" && found[kind] != digits:
			return badList("it has two digests of the file")
		default:
			found[kind] = digits
		}
	}
	digits := found[0]
	if digits == "" {
		digits = found[1]
	}
	if digits == "" {
		if weak {
			return badList("it has neither the SHA-256 nor the SHA-512 of the file")
		}
		return nil, nil
	}
	return hex.DecodeString(digits)
}

func badList(why string) ([]byte, error) {
	return nil, &FormatError{File: "list of digests", Reason: why}
}

// parseSum splits a line of a list. algorithm is the one that a comment before it names, "" if
// there is none. kind is 0 for SHA-256, 1 for SHA-512 and -1 for another algorithm. digits are
// in lower case.
func parseSum(line, algorithm string) (name, digits string, kind int, err error) {
	var ok bool
	if tag, rest, tagged := strings.Cut(line, " ("); tagged && strings.IndexByte(tag, ' ') < 0 {
		algorithm = tag
		name, digits, ok = parseBSDSum("SHA256 (" + rest)
	} else {
		name, digits, ok = parseGNUSum(line)
	}
	digits = strings.ToLower(digits)
	n := len(digits)
	if !ok || n < 32 || n%2 != 0 || strings.Trim(digits, "0123456789abcdef") != "" {
		return "", "", 0, fmt.Errorf("the line %q is not a digest and a name", clip(line))
	}
	switch {
	case algorithm == "SHA256" || algorithm == "" && n == 2*sha256.Size:
	case algorithm == "SHA512" || algorithm == "" && n == 4*sha256.Size:
		kind = 1
	default:
		kind = -1
	}
	if kind >= 0 && n != 2*sha256.Size<<kind {
		return "", "", 0, errors.New("a digest of the wrong length")
	}
	name = strings.TrimPrefix(name, "./")
	return name, digits, kind, checkName(name)
}
