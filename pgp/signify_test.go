package pgp

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

// The error for a signify -e or -z file says what the file is.
func TestEmbeddedSignatures(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	line := func(payload []byte) string {
		return "untrusted comment: x\n" + base64.StdEncoding.EncodeToString(append([]byte("Ed12345678"), payload...)) + "\n"
	}
	ring, err := ReadKeyring([]byte(line(key.Public().(ed25519.PublicKey))))
	if err != nil {
		t.Fatal(err)
	}
	text := []byte("hello\n")
	sig := line(ed25519.Sign(key, text))
	large := strings.Repeat("hello\n", MaxCleartext/6+1)
	for _, c := range []struct{ data, want string }{
		{sig + "hello\n", "signify -Ve"},
		{sig + "hello\nworld\n", "signify -Ve"}, // four lines, as minisign's
		{sig + large, "signify -Ve"},
		{"\x1f\x8b\x08\x10\x00\x00\x00\x00\x00\x03" + sig + "date=x\n", "signify -Vz"},
		{"\x1f\x8b\x08\x10\x00\x00\x00\x00\x00\x03" + sig + large, "signify -Vz"},
	} {
		for name, verify := range map[string]func() error{
			"detached": func() error { _, err := Verify(ring, text, []byte(c.data), Policy{}); return err },
			"message":  func() error { _, _, err := VerifyCleartext(ring, []byte(c.data), Policy{}); return err },
		} {
			var format *FormatError
			if err := verify(); !errors.As(err, &format) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, %.20q: %v", name, c.data, err)
			}
		}
	}
	if _, err := Verify(ring, text, []byte(sig+"\n\r\n"), Policy{}); err != nil {
		t.Errorf("empty lines after a signature: %v", err)
	}
	for _, other := range []string{"", "\x1f\x8b\x08\x10", "untrusted comment: x", "untrusted comment: x\nhello\nhello\n", "\x1f\x8b\x08\x10\x00\x00\x00\x00\x00\x03comment"} {
		if why := embeddedSignature([]byte(other)); why != "" {
			t.Errorf("%q: %s", other, why)
		}
	}
}

func TestSignifyResult(t *testing.T) {
	if s := onlySignature(t, "signify"); !s.Created.IsZero() || s.Fingerprint != "0123456789ABCDEF" {
		t.Errorf("%+v", s)
	}
}
