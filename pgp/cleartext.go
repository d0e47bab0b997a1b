package pgp

import (
	"bytes"
	"errors"
	"fmt"
)

// MaxCleartext is the size of the largest cleartext signed message that is read, in bytes.
// The message is held in memory. Debian's InRelease has 150 kB, Ubuntu's lists of images have
// up to 5 MB.
const MaxCleartext = 32 << 20

// cleartextBegin is the first line of a cleartext signed message.
const cleartextBegin = "-----BEGIN PGP SIGNED MESSAGE-----"

// VerifyCleartext verifies a cleartext signed message (RFC 9580, section 7) and returns the
// signed text: without dash escapes, without blanks at line ends, and with a line feed after
// every line. Use only this text; nothing else in msg is signed. The text is in the memory of
// msg, which VerifyCleartext overwrites, also if it fails. Errors are those of [NewVerifier] and
// [Verifier.Finish].
func VerifyCleartext(k *Keyring, msg []byte, p Policy) (text []byte, r *Result, err error) {
	fail := func(err error) ([]byte, *Result, error) {
		return nil, nil, &FormatError{File: "cleartext signed message", Reason: err.Error()}
	}
	if k.empty() {
		return nil, nil, errNoKeys
	}
	if why := embeddedSignature(msg); why != "" {
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
	// Some programs (older ones in Go) give these signatures the type binary, but make
	// them over the same bytes.
	v, err := newVerifier(k, sigs, p, true)
	if err != nil {
		return nil, nil, err
	}
	// The last line end is not part of the signed text.
	v.Write(bytes.TrimSuffix(text, []byte("\n")))
	r, err = v.Finish()
	if err != nil {
		return nil, nil, err
	}
	return text, r, nil
}

// splitCleartext returns the text of a message, with line feeds as line ends, and the armored
// signatures after the text. The text is in the memory of msg.
func splitCleartext(msg []byte) (text, armor []byte, err error) {
	line, rest := cutLine(msg)
	// Any line of an armor may end with blanks (RFC 9580, section 6.2).
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
	text = rest[:0:len(rest)] // longer than what has been read only after a last line without a line feed
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

// isHashHeader reports whether line consists of "Hash: " and names of hash algorithms (RFC
// 9580, section 9.5). The names are not used, since the signature packets have the
// algorithm. Other text here is refused because a person could take it for signed text.
func isHashHeader(line []byte) bool {
	names, ok := bytes.CutPrefix(line, []byte("Hash: "))
	if !ok {
		return false
	}
	for _, name := range bytes.Split(names, []byte(",")) {
		switch string(bytes.TrimPrefix(name, []byte(" "))) {
		case "MD5", "SHA1", "RIPEMD160", "SHA224", "SHA256", "SHA384", "SHA512", "SHA3-256", "SHA3-512":
		default:
			return false
		}
	}
	return true
}
