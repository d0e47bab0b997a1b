package pgp

import (
	"bytes"
	"errors"
	"fmt"
)

// MaxCleartext is the largest cleartext-signed message in bytes: it is held in
// memory. Debian's InRelease has 150 kB, Ubuntu's image index a few MB.
const MaxCleartext = 16 << 20

const cleartextBegin = "-----BEGIN PGP SIGNED MESSAGE-----"

// VerifyCleartext verifies a cleartext-signed message (RFC 9580, section 7) and
// returns the text that is signed: without dash escapes, without blanks at line
// ends, every line ended by a line feed. Only that text is vouched for; what is
// in msg beside it is not. Errors are those of NewVerifier and Finish.
func VerifyCleartext(k *Keyring, msg []byte, p Policy) (text []byte, r *Result, err error) {
	fail := func(err error) ([]byte, *Result, error) {
		return nil, nil, &FormatError{File: "cleartext-signed message", Reason: err.Error()}
	}
	if k == nil || len(k.certs)+len(k.plain) == 0 {
		return nil, nil, errors.New("no trusted keys to verify with")
	}
	if why := embedded(msg); why != "" {
		return fail(errors.New(why))
	}
	if len(msg) > MaxCleartext {
		return fail(fmt.Errorf("larger than %d bytes", MaxCleartext))
	}
	text, armor, err := splitCleartext(msg)
	if err != nil {
		return fail(err)
	}
	blocks, err := signatureBlocks(armor)
	if err != nil {
		return fail(err)
	}
	if len(blocks) != 1 {
		return fail(errors.New("more than one block of signatures"))
	}
	sigs, err := readSignatures(blocks)
	if err != nil {
		return fail(err)
	}
	// Signatures of type binary are over the same bytes here: some programs
	// (older Go ones) label them so.
	v, err := newVerifier(k, sigs, p, true)
	if err != nil {
		return nil, nil, err
	}
	// The last line end belongs to the armor.
	v.Write(bytes.TrimSuffix(text, []byte("\n")))
	r, err = v.Finish()
	if err != nil {
		return nil, nil, err
	}
	return text, r, nil
}

// splitCleartext returns the text of a message, with its line ends as line
// feeds, and the armored signatures after it.
func splitCleartext(msg []byte) (text, armor []byte, err error) {
	line, rest := cutLine(msg)
	// Blanks may follow any line of an armor (RFC 9580, section 6.2).
	if string(bytes.TrimRight(line, blanks)) != cleartextBegin {
		return nil, nil, errors.New("it does not begin with " + cleartextBegin)
	}
	for {
		if len(rest) == 0 {
			return nil, nil, errors.New("no text")
		}
		line, rest = cutLine(rest)
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 {
			break
		}
		if !isHashHeader(line) {
			return nil, nil, errors.New(`a header that is not "Hash"`)
		}
	}
	text = make([]byte, 0, len(rest))
	for {
		if len(rest) == 0 {
			return nil, nil, errors.New("no signature")
		}
		armor = rest
		line, rest = cutLine(rest)
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) > 0 && line[0] == '-' {
			if label, ok := armorLabel(line); ok && label == labelSignature {
				return text, armor, nil
			}
			var ok bool
			if line, ok = bytes.CutPrefix(line, []byte("- ")); !ok {
				return nil, nil, errors.New("a line with an unescaped dash")
			}
		}
		line = bytes.TrimRight(line, " \t")
		for _, b := range line {
			if b < ' ' && b != '\t' || b == 0x7f {
				return nil, nil, fmt.Errorf("a control character, %q", b)
			}
		}
		text = append(append(text, line...), '\n')
	}
}

// isHashHeader says whether line is "Hash: " and names of hash algorithms (RFC
// 9580, section 9.5). They are not used, since the signatures say the same, but
// anything else here would be text that a person takes for signed.
func isHashHeader(line []byte) bool {
	names, ok := bytes.CutPrefix(line, []byte("Hash: "))
	if !ok {
		return false
	}
	for name := range bytes.SplitSeq(names, []byte(",")) {
		switch string(bytes.TrimPrefix(name, []byte(" "))) {
		case "MD5", "SHA1", "RIPEMD160", "SHA224", "SHA256", "SHA384", "SHA512", "SHA3-256", "SHA3-512":
		default:
			return false
		}
	}
	return true
}
