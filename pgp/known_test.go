package pgp

import (
	"testing"
	"time"
)

// TestUbuntuCloudImages computes the fingerprints from the parts of the keys. They are those that
// gpg shows for the file of Debian's package.
func TestUbuntuCloudImages(t *testing.T) {
	ring := UbuntuCloudImages()
	want := []string{"4A3CE3CD565D7EB5C810E2B97FF3F408476CF100", "D2EB44626FDDC30B513D5BB71A5D6C4C7DB87C81"}
	list := ring.Fingerprints()
	if len(list) != 2 || list[0] != want[0] || list[1] != want[1] {
		t.Fatalf("fingerprints %q, want %q", list, want)
	}
	for _, key := range ring.Keys(time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC)) {
		if key.Problem != "" || key.Plain {
			t.Errorf("%s can't sign: %s", key.Fingerprint, key.Problem)
		}
	}
}
