package lxc

import (
	"slices"
	"testing"
)

func TestValues(t *testing.T) {
	const config = "# lxc.net.0.link = no\nlxc.net.0.link = a\r lxc.net.0.link=\"b c\" \nlxc.net.0.linkx = d\nlxc.net.0.type\nlxc.net.0.link =\n"
	for key, want := range map[string][]string{"lxc.net.0.link": {"a", "b c", ""}, "lxc.net.0.type": {""}, "lxc.arch": nil} {
		if got := Values([]byte(config), key); !slices.Equal(got, want) {
			t.Errorf("%s: %q", key, got)
		}
	}
}
