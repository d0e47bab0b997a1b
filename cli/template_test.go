package cli

import (
	"strings"
	"testing"
)

// TestTakeMapped checks that the options which lxc-create appends count also behind a "--".
func TestTakeMapped(t *testing.T) {
	o := new(callerOptions)
	rest := o.takeMapped([]string{"a", "--mapped-uid", "65536", "b", "--mapped-gid", "7", "--mapped-uid"})
	if o.mappedUID != "65536" || o.mappedGID != "7" || strings.Join(rest, " ") != "a b --mapped-uid" {
		t.Errorf("%+v, %q", o, rest)
	}
}
