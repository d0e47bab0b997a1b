package cli

import (
	"testing"
	"time"
)

// The date of a pseudo-version is found in all of its forms, and in no other version.
func TestVersionDate(t *testing.T) {
	for version, want := range map[string]string{
		"v0.0.0-20261030153154-30a33513ff6d":       "2026-10-30T15:31:54Z",
		"v1.2.4-0.20261030153154-30a33513ff6d":     "2026-10-30T15:31:54Z",
		"v1.2.4-pre.0.20261030153154-30a33513ff6d": "2026-10-30T15:31:54Z",
		"v0.0.0-20261030153154-30a33513ff6d+dirty": "2026-10-30T15:31:54Z",
		"v0.0.0-20261399999999-30a33513ff6d":       "",
		"v1.20.3":                                  "", "(devel)": "", "": "", "v1-2-3": "",
	} {
		got := ""
		if d := versionDate(version); !d.IsZero() {
			got = d.Format(time.RFC3339)
		}
		if got != want {
			t.Errorf("%q: %q, want %q", version, got, want)
		}
	}
}
