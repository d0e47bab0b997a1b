package lxc

import "testing"

func TestValue(t *testing.T) {
	const config = "# lxc.net.0.link = no\nlxc.net.0.link = a\r lxc.net.0.link=\"b c\" \nlxc.net.0.linkx = d\nlxc.net.0.type\n"
	for key, want := range map[string]string{"lxc.net.0.link": "b c", "lxc.net.0.type": "", "lxc.arch": ""} {
		if got := Value([]byte(config), key); got != want {
			t.Errorf("%s: %q", key, got)
		}
	}
}
