package pgp

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
)

// The labels of the armored blocks that this package reads (RFC 9580, section 6.2).
const (
	labelSignature = "SIGNATURE"
	labelPublicKey = "PUBLIC KEY BLOCK"
)

// armorBegin is how the first line of an armored block begins.
const armorBegin = "-----BEGIN PGP "

// blanks are the characters that may be at the end of an armored line and between blocks.
const blanks = " \t\r\n"

// cutLine splits the first line off text and returns it without its line feed.
func cutLine(text []byte) (line, rest []byte) {
	if i := bytes.IndexByte(text, '\n'); i >= 0 {
		return text[:i], text[i+1:]
	}
	return text, nil
}

// armorLabel returns the label X of a line "-----BEGIN PGP X-----".
func armorLabel(line []byte) (label string, ok bool) {
	line = bytes.TrimRight(line, blanks)
	line, ok = bytes.CutPrefix(line, []byte(armorBegin))
	if !ok {
		return "", false
	}
	line, ok = bytes.CutSuffix(line, []byte("-----"))
	return string(line), ok
}

// dearmor decodes the armored block at the start of text. The first line of text is the
// BEGIN line; rest is the text after the END line. The checksum is optional, as in RFC 9580,
// but a wrong checksum is an error: no program writes one, so the file is damaged.
func dearmor(text []byte) (label string, body, rest []byte, err error) {
	line, rest := cutLine(text)
	label, ok := armorLabel(line)
	if !ok {
		return "", nil, nil, errors.New("no armor")
	}
	for { // headers such as "Version: ..." and "Comment: ...", which are not used
		if len(rest) == 0 {
			return label, nil, nil, errors.New("armor without a body")
		}
		line, rest = cutLine(rest)
		line = bytes.TrimRight(line, blanks)
		if len(line) == 0 {
			break
		}
		if name, _, ok := bytes.Cut(line, []byte(":")); !ok || len(name) == 0 || bytes.ContainsAny(name, " \t") {
			return label, nil, nil, errors.New("a malformed armor header")
		}
	}
	var code, crc []byte
	for {
		if len(rest) == 0 {
			return label, nil, nil, errors.New("armor without its end")
		}
		line, rest = cutLine(rest)
		line = bytes.TrimRight(line, blanks)
		if len(line) > 0 && line[0] == '-' {
			break
		}
		switch {
		case bytes.IndexByte(line, '\r') >= 0: // the base64 decoder would ignore it
			return label, nil, nil, errors.New("armor that is not base64")
		case crc != nil && len(line) > 0:
			return label, nil, nil, errors.New("armor that goes on after its checksum")
		case len(line) == 5 && line[0] == '=':
			crc = line[1:]
		default:
			code = append(code, line...)
		}
	}
	if string(line) != "-----END PGP "+label+"-----" {
		return label, nil, nil, errors.New("armor without its end")
	}
	// Strict requires the unused bits before the padding to be zero, so that there is
	// only one encoding.
	strict := base64.StdEncoding.Strict()
	body, err = strict.DecodeString(string(code))
	if err != nil {
		return label, nil, nil, errors.New("armor that is not base64")
	}
	if crc != nil {
		sum, err := strict.DecodeString(string(crc))
		if err != nil || len(sum) != 3 || crc24(body) != uint32(sum[0])<<16|uint32(sum[1])<<8|uint32(sum[2]) {
			return label, nil, nil, errors.New("armor with a wrong checksum")
		}
	}
	return label, body, rest, nil
}

// crc24 returns the checksum of data (RFC 9580, section 6.1.1).
func crc24(data []byte) uint32 {
	crc := uint32(0xb704ce)
	for _, b := range data {
		crc ^= uint32(b) << 16
		for range 8 {
			crc <<= 1
			if crc&0x1000000 != 0 {
				crc ^= 0x1864cfb
			}
		}
	}
	return crc & 0xffffff
}

// signatureBlocks decodes a file of armored signatures. Only blanks may be outside the
// blocks, because a person could take other text there for signed text.
func signatureBlocks(text []byte) (blocks [][]byte, err error) {
	for text = bytes.TrimLeft(text, blanks); len(text) > 0; text = bytes.TrimLeft(text, blanks) {
		line, _ := cutLine(text)
		switch label, ok := armorLabel(line); {
		case !ok && len(blocks) == 0:
			return nil, errors.New(describe(text))
		case !ok:
			return nil, errors.New("text after the armor")
		case label != labelSignature:
			return nil, fmt.Errorf("armor of another kind: %q", clip(label))
		}
		_, body, rest, err := dearmor(text)
		if err != nil {
			return nil, err
		}
		blocks = append(blocks, body)
		text = rest
	}
	if len(blocks) == 0 {
		return nil, errors.New("empty")
	}
	return blocks, nil
}

// keyBlocks decodes the armored certificates in a key file. Other text may be around them:
// people paste keys below an explanation.
func keyBlocks(file []byte) (blocks [][]byte, err error) {
	for text := file; len(text) > 0; {
		line, rest := cutLine(text)
		label, ok := armorLabel(line)
		if !ok {
			text = rest
			continue
		}
		switch label {
		case labelPublicKey:
		case "PRIVATE KEY BLOCK":
			return nil, errors.New("a secret key: give the public one")
		default:
			return nil, fmt.Errorf("armor of another kind: %q", clip(label))
		}
		_, body, rest, err := dearmor(text)
		if err != nil {
			return nil, err
		}
		blocks = append(blocks, body)
		text = rest
	}
	if len(blocks) == 0 {
		return nil, errors.New(describe(file))
	}
	return blocks, nil
}

// describe returns the Reason for a file that is not in an OpenPGP format. Servers may send
// an HTML page instead, and users confuse files.
func describe(data []byte) string {
	text := bytes.TrimLeft(data, blanks)
	switch {
	case len(text) == 0:
		return "empty"
	case text[0] == '<':
		return "an HTML or XML page"
	case isUTF16(text):
		return "UTF-16 text, which redirecting output in a Windows shell creates"
	}
	return "neither armor nor packets"
}

// isBinary reports whether data can be packets rather than armor: the first byte of a packet
// has its highest bit set.
func isBinary(data []byte) bool { return len(data) > 0 && data[0]&0x80 != 0 && !isUTF16(data) }

// isUTF16 reports whether data begins with a byte order mark of UTF-16.
func isUTF16(data []byte) bool {
	return bytes.HasPrefix(data, []byte{0xff, 0xfe}) || bytes.HasPrefix(data, []byte{0xfe, 0xff})
}

// clip shortens a string from outside for an error text.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "..."
	}
	return s
}
