package cli

import (
	"strconv"
	"testing"
	"time"

	"lxc-pull/fetch"
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

// TestBuildDate checks that the build date is never before that of the embedded root
// certificates, and that the date of the sources can only make it later.
func TestBuildDate(t *testing.T) {
	roots := versionDate(fetch.RootsVersion())
	if roots.IsZero() {
		t.Fatalf("the embedded root certificates have no date: version %q", fetch.RootsVersion())
	}
	before := sourceDate
	defer func() { sourceDate = before }()
	later := roots.AddDate(1, 0, 0)
	for _, test := range []struct {
		source string
		least  time.Time
	}{
		{"", roots}, {"x", roots}, {"1", roots}, {"-62135596800", roots}, {strconv.FormatInt(later.Unix(), 10), later},
	} {
		sourceDate = test.source
		if got := buildDate(); got.Before(test.least) {
			t.Errorf("sources of %q: built %v, want at least %v", test.source, got, test.least)
		}
	}
}
