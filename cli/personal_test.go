package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lxc-pull/lxc/host"
	"lxc-pull/pull"
)

// The next commands are said only where they can be run, with the options that they need.
func TestSayNext(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	t.Setenv("PREFIX", "")
	layout := &host.Layout{Root: true}
	say := func(name, path string, layout *host.Layout, locked bool) string {
		var out bytes.Buffer
		c := &createCall{name: name, lxcPath: path}
		c.target.Container.Path = filepath.Join(path, name)
		c.target.BaseConfig = []byte("lxc.net.0.type = veth\nlxc.net.0.link = \"no\x1blink\"\nlxc.net.1.link = lo\n")
		c.sayNext(&ui{out: &out, err: &out}, layout, &pull.Result{Locked: locked})
		return out.String()
	}
	missing := ""
	if _, err := os.Stat("/sys/class/net/lo"); err == nil {
		missing = "It can't start yet: the host has no no\\x1blink, which the config names\n  ip link add 'no\\x1blink' type bridge && ip link set 'no\\x1blink' up    (as root, if it is a bridge)\n"
	}
	if got, want := say("web", layout.LXCPath(), layout, true), "Container web is ready in "+layout.LXCPath()+"/web.\n"+missing; got != want {
		t.Errorf("without LXC: %q, want %q", got, want)
	}
	session := t.TempDir()
	if err := os.Mkdir(session+"/systemd", 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_RUNTIME_DIR", session)
	for _, name := range []string{"lxc-start", "lxc-unpriv-start"} {
		if err := os.WriteFile(filepath.Join(bin, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, path string
		layout     *host.Layout
		locked     bool
		want       string
	}{
		{"web", layout.LXCPath(), layout, true, "  lxc-start -n web\n  lxc-attach -n web\n  lxc-attach -n web -- passwd    (root has no password yet)\n"},
		{"it's", "/a b", layout, false, "  lxc-start -n 'it'\\''s' -P '/a b'\n  lxc-attach -n 'it'\\''s' -P '/a b'\n"},
		{"web", "/lxc", &host.Layout{}, false, "  lxc-unpriv-start -n web -P /lxc\n  lxc-unpriv-attach -n web -P /lxc\n"},
	} {
		if got := say(c.name, c.path, c.layout, c.locked); !strings.HasSuffix(got, missing+c.want) || !strings.HasPrefix(got, "Container ") {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// A line is a public key if the name in the key is the type before it.
func TestIsPublicKey(t *testing.T) {
	const key = "AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
	for line, want := range map[string]bool{
		"ssh-ed25519 " + key:                                  true,
		"ssh-ed25519\t" + key + " a comment":                  true,
		`no-pty,command="x ssh-ed25519 y" ssh-ed25519 ` + key: true,
		"ssh-rsa " + key:                                      false,
		"ssh-ed25519 " + key[:20]:                             false,
		"ssh-ed25519":                                         false,
		key:                                                   false,
		" " + key:                                             false,
		"ssh-ed25519 " + key + "\x00":                         false,
		"ssh-ed25519 " + key + " \rroot":                      false,
	} {
		if isPublicKey(line) != want {
			t.Errorf("%q: not %v", line, want)
		}
	}
}
