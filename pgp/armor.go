package pgp

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
)

// Labels of the armored blocks that this package reads (RFC 9580, section 6.2).
const (
	labelSignature = "SIGNATURE"
	labelPublicKey = "PUBLIC KEY BLOCK"
)

const armorBegin = "-----BEGIN PGP "

// blanks are what may stand at the end of an armored line, or between blocks.
const blanks = " \t\r\n"

// cutLine splits the first line off text. The line comes without its line feed.
func cutLine(text []byte) (line, rest []byte) {
	if i := bytes.IndexByte(text, '\n'); i >= 0 {
		return text[:i], text[i+1:]
	}
	return text, nil
}

// armorLabel returns X of a line "-----BEGIN PGP X-----".
func armorLabel(line []byte) (label string, ok bool) {
	line = bytes.TrimRight(line, blanks)
	line, ok = bytes.CutPrefix(line, []byte(armorBegin))
	if !ok {
		return "", false
	}
	line, ok = bytes.CutSuffix(line, []byte("-----"))
	return string(line), ok
}

// dearmor decodes the armored block at the start of text, whose first line is
// its BEGIN line, and returns what follows the END line. The CRC is optional,
// as RFC 9580 has it, but a wrong one is an error: it tells a damaged file from
// a forged one, and no program makes it wrong.
func dearmor(text []byte) (label string, body, rest []byte, err error) {
	line, rest := cutLine(text)
	label, ok := armorLabel(line)
	if !ok {
		return "", nil, nil, errors.New("no armor")
	}
	for { // headers ("Version: ...", "Comment: ..."), none of which is used
		if len(rest) == 0 {
			return label, nil, nil, errors.New("armor without a body")
		}
		line, rest = cutLine(rest)
		line = bytes.TrimRight(line, blanks)
		if len(line) == 0 {
			break
		}
		if name, _, ok := bytes.Cut(line, []byte(":")); !ok || len(name) == 0 || bytes.ContainsAny(name, " \t") {
			return label, nil, nil, errors.New("armor header that is none")
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
		case bytes.IndexByte(line, '\r') >= 0: // which the decoder would pass over
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
	// Strict: the bits that padding leaves over must be zero, so that there is
	// one spelling only.
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

// crc24 is the checksum of RFC 9580, section 6.1.1.
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

// signatureBlocks decodes a file of armored signatures: blocks with nothing
// but blanks around them. Text around them would be text that somebody takes
// for signed.
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

// keyBlocks decodes the armored certificates of a key file, which may have
// prose around them: people paste keys below an explanation.
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

// describe says what a file that should have been OpenPGP looks like: servers
// answer with pages, and users mix files up.
func describe(data []byte) string {
	text := bytes.TrimLeft(data, blanks)
	switch {
	case len(text) == 0:
		return "empty"
	case text[0] == '<':
		return "an HTML or XML page"
	case isUTF16(text):
		return "UTF-16 text, as a shell's redirection on Windows makes it"
	}
	return "neither armor nor packets"
}

// isBinary tells packets from armor: every packet begins with a byte that no
// ASCII has.
func isBinary(data []byte) bool { return len(data) > 0 && data[0]&0x80 != 0 && !isUTF16(data) }

func isUTF16(data []byte) bool {
	return bytes.HasPrefix(data, []byte{0xff, 0xfe}) || bytes.HasPrefix(data, []byte{0xfe, 0xff})
}

// clip shortens a text from outside for an error.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "..."
	}
	return s
}
