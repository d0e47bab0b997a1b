package cli

import (
	"strings"
	"testing"
)

// Options that lxc-create appends to the user's words count even after a bare "--".
func TestTemplateWords(t *testing.T) {
	for args, want := range map[string]string{
		"-d a -- b --mapped-uid 65536 c --mapped-gid 7":         "-d a --mapped-uid 65536 --mapped-gid 7 -- b c",
		"-- a --mapped-uid 65536 b --mapped-gid 7 --mapped-uid": "--mapped-uid 65536 --mapped-gid 7 -- a b --mapped-uid",
		"-d a --mapped-uid 5":                                   "-d a --mapped-uid 5",
		"":                                                      "",
	} {
		if got := new(templateCall).rewrite(strings.Fields(args)); strings.Join(got, " ") != want {
			t.Errorf("%q: %q, want %q", args, got, want)
		}
	}
}
