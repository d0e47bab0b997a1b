package main

import (
	"os"
	"path/filepath"
	"testing"

	"lxc-pull/lxc"
)

// A word with a blank or a quote inside is quoted.
func TestShellWords(t *testing.T) {
	got := shellWords([]string{"lxc-create", "-n", "a b", "it's", "", "$(x)", "a$b", "/srv/lxc"})
	if want := `lxc-create -n 'a b' 'it'\''s' '' '$(x)' 'a$b' /srv/lxc`; got != want {
		t.Errorf("%s, want %s", got, want)
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

func TestCallerID(t *testing.T) {
	u := func(inside, outside, count uint32) lxc.IDRange {
		return lxc.IDRange{UID: true, Inside: inside, Outside: outside, Count: count}
	}
	for _, c := range []struct {
		ranges []lxc.IDRange
		id     uint32
		known  bool
	}{
		{[]lxc.IDRange{u(0, 100000, 65536)}, 65536, false},
		{[]lxc.IDRange{u(1000, 100000, 10)}, 0, false},
		{[]lxc.IDRange{u(10, 200000, 5), u(0, 100000, 10)}, 15, false},
		{[]lxc.IDRange{u(0, 100000, 1000), u(1000, 1000, 1), u(1001, 101000, 64535)}, 1000, true},
		{[]lxc.IDRange{{GID: true, Inside: 0, Outside: 1000, Count: 1}}, 0, false},
	} {
		if id, known := callerID(c.ranges, false, 1000); id != c.id || known != c.known {
			t.Errorf("%v: %d, %v", c.ranges, id, known)
		}
	}
}
