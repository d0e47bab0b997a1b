package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lxc-pull/lxc"
	"lxc-pull/pull"
)

// A word with a blank or a quote inside is quoted.
func TestShellWords(t *testing.T) {
	got := shellWords([]string{"lxc-create", "-n", "a b", "it's", "", "$(x)", "a$b", "/srv/lxc"})
	if want := `lxc-create -n 'a b' 'it'\''s' '' '$(x)' 'a$b' /srv/lxc`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// LXC would read another path, or end the line there.
func TestCheckNames(t *testing.T) {
	for path, ok := range map[string]bool{"/lxc/web": true, "/l xc/w": true, "/lxc\n/web": false, "/lxc\x7f/web": false, "/lxc\r/web": false} {
		target := pull.Target{Container: lxc.Container{Name: "web", Path: path}}
		if err := checkNames(target); (err == nil) != ok {
			t.Errorf("%q: %v", path, err)
		}
	}
}

// TestRemediesAreShort: an error and what to do take at most three lines.
func TestRemediesAreShort(t *testing.T) {
	c := &createCall{name: "web", lxcPath: "/lxc"}
	for _, err := range []error{noMap("/x"), c.notMapped(""), c.notMapped("usermod --add-subuids 1-2 u")} {
		if text := new(ui).hint(err); text == "" || strings.Contains(text, "\n") {
			t.Errorf("%v: %q", err, text)
		}
	}
}

func TestGrantCommand(t *testing.T) {
	ranges := []lxc.IDRange{
		{UID: true, Inside: 0, Outside: 100000, Count: 65536}, {GID: true, Inside: 0, Outside: 200000, Count: 10},
		{UID: true, Inside: 70000, Outside: 1000, Count: 1}, // the user's own
	}
	for _, c := range []struct{ passwd, subuid, subgid, want string }{
		{"", "", "", "usermod --add-subuids 100000-165535 --add-subgids 200000-200009 1000"},
		{"u:x:1000:1000::/:/bin/sh\n", "v:1:2\n", "uu:1:2\n", "usermod --add-subuids 100000-165535 --add-subgids 200000-200009 u"},
		{"u:x:1000:1000::/:/bin/sh\n", "v:1:2\nu:100000:65536\n", "", "usermod --add-subgids 200000-200009 u"},
		{"u:x:1000:1000::/:/bin/sh\n", "1000:100000:65536\n", "u:200000:65536\n", ""},
		{"u:x:1000:1000::/:/bin/sh\n", "u:100000:65535\n", "u:200000:65536\n", "usermod --add-subuids 100000-165535 u"}, // one too few
		{"u:x:1000:1000::/:/bin/sh\n", "u:500000:65536\n", "u:500000:65536\n", "usermod --add-subuids 100000-165535 --add-subgids 200000-200009 u"},
		{"u:x:1000:1000::/:/bin/sh\n", "u:1:9\nu:90000:100000\n", "u:200005:10\nu:199990:20\n", ""},
	} {
		etc := t.TempDir()
		for name, text := range map[string]string{"passwd": c.passwd, "subuid": c.subuid, "subgid": c.subgid} {
			if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := grantCommand(ranges, 1000, etc); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
