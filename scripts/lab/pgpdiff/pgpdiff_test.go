// Package pgpdiff compares package pgp with ProtonMail/go-crypto on the certificates in
// Debian's keyrings: which of the keys could make a valid signature at a given time? The
// keys of two thousand people from twenty years have properties that no vector made by
// hand has.
package pgpdiff

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"lxc-pull/pgp"
)

// keyrings are the files of Debian's packages debian-keyring (2022.12.24) and
// debian-archive-keyring (2023.3+deb12u2).
var keyrings = []string{
	"debian-keyring.gpg", "debian-maintainers.gpg", "debian-nonupload.gpg", "debian-role-keys.gpg",
	"debian-archive-keyring.gpg", "debian-archive-removed-keys.gpg",
}

// explained lists the keys that the two packages judge differently, and the reasons.
// go-crypto uses only the self-signature of the primary user ID; GnuPG and package pgp
// use the newest self-signature that has the property in question.
var explained = map[string]string{
	// The owners extended the expiry on other user ids than the primary one;
	// GnuPG says that the keys were good.
	"8A7F208C6D9E73291657414D2135D123D8C19BEC/8A7F208C6D9E73291657414D2135D123D8C19BEC": otherIDExtended,
	"16AD29CF574AD0206F9961E02CF0F17C43474B6F/16AD29CF574AD0206F9961E02CF0F17C43474B6F": otherIDExtended,
	// The key flags on the primary user ID are "certify"; those of a newer signature
	// on another user ID are "certify and sign". GnuPG says that these keys can sign.
	"2CCB26BC5C49BC221F20794255C9882D999BBCC4/2CCB26BC5C49BC221F20794255C9882D999BBCC4": otherIDSigns,
	"A8DF13269E5D9A38E57CFAC29D20F6503E338888/A8DF13269E5D9A38E57CFAC29D20F6503E338888": otherIDSigns,
	// A signing subkey on brainpoolP512r1, a curve that the standard library
	// doesn't have.
	"7CB6197E385A02DC15D8E223E4DB6492FDB9B5D5/02B1CFF5E3A56609D32D16F4E2DBE04C743F2BE7": brainpool,
}

const (
	otherIDExtended = "extended on another user id: we say it can"
	otherIDSigns    = "may sign by another user id: we say it can"
	brainpool       = "brainpool: we refuse it"
	// Keyrings don't keep older self-signatures, so nothing describes a key's first
	// years. go-crypto refuses signatures from these years; GnuPG accepts them, and
	// package pgp uses the oldest self-signature that is left.
	cleaned = "only newer self-signatures: we say it can"
	// Old keys in forms that go-crypto can't parse; package pgp refuses all of them.
	unread = "not read by go-crypto, refused by us"
)

func TestDebianKeyrings(t *testing.T) {
	for _, name := range keyrings {
		data, err := os.ReadFile(filepath.Join("/usr/share/keyrings", name))
		if err != nil {
			t.Skipf("Debian's packages debian-keyring and debian-archive-keyring are not installed: %v", err)
		}
		ours, err := pgp.ReadKeyring(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		entities, err := openpgp.ReadKeyRing(bytes.NewReader(data))
		if err != nil {
			t.Fatalf("%s: go-crypto: %v", name, err)
		}
		for _, date := range []string{"2015-01-01", "2022-12-24", "2026-11-01"} {
			when, err := time.Parse(time.DateOnly, date)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, name, when, ours, theirs(entities, when))
		}
	}
}

// A verdict is go-crypto's result for one key.
type verdict struct {
	able   bool
	noSelf bool // the certificate has no self-signature by that time
}

func theirs(entities openpgp.EntityList, when time.Time) map[string]verdict {
	config := &packet.Config{InsecureAllowAllKeyFlagsWhenMissing: true}
	verdicts := map[string]verdict{}
	for _, e := range entities {
		keys := []*packet.PublicKey{e.PrimaryKey}
		for _, s := range e.Subkeys {
			keys = append(keys, s.PublicKey)
		}
		_, err := e.PrimarySelfSignature(when, config)
		for _, k := range keys {
			found, ok := e.SigningKeyById(when, k.KeyId, config)
			verdicts[fmt.Sprintf("%X/%X", e.PrimaryKey.Fingerprint, k.Fingerprint)] = verdict{ok && found.PublicKey == k, err != nil}
		}
	}
	return verdicts
}

func compare(t *testing.T, name string, when time.Time, ours *pgp.Keyring, theirs map[string]verdict) {
	date := when.Format(time.DateOnly)
	counts := map[string]int{}
	for _, k := range ours.Keys(when) {
		id := k.Fingerprint + "/" + k.KeyFingerprint
		their, known := theirs[id]
		able := k.Problem == ""
		switch {
		case !known && able:
			t.Errorf("%s %s %s: go-crypto can't read it, we say that it can sign", name, date, id)
		case !known:
			counts[unread]++
		case able == their.able && able:
			counts["can sign"]++
		case able == their.able:
			counts["can't sign"]++
		case able && their.noSelf:
			counts[cleaned]++
		case explained[id] == "":
			t.Errorf("%s %s %s: %q to us, %+v to go-crypto", name, date, id, k.Problem, their)
		default:
			counts[explained[id]]++
		}
	}
	t.Log(name, date, counts)
}
