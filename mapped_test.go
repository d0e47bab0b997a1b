package main

import (
	"os"
	"path/filepath"
	"strings"
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

func TestMapLines(t *testing.T) {
	for _, c := range []struct {
		subuid, subgid, lines string
		lent                  bool
	}{
		{"1000:200000:65536\n", "1000:300000:1000\n", "  lxc.idmap = u 0 200000 65536\n  lxc.idmap = g 0 300000 1000", true},
		{"1000:200000:65536\n", "1000:x:1000\n1000:1\n", "  lxc.idmap = u 0 200000 65536\n  lxc.idmap = g 0 100000 65536", false},
		{"", "", "  lxc.idmap = u 0 100000 65536\n  lxc.idmap = g 0 100000 65536", false},
	} {
		etc := t.TempDir()
		for name, text := range map[string]string{"subuid": c.subuid, "subgid": c.subgid} {
			if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if lines, lent := mapLines(1000, etc); lines != c.lines || lent != c.lent {
			t.Errorf("%+v: %q, %v", c, lines, lent)
		}
	}
}

func TestRootIDs(t *testing.T) {
	u := lxc.IDRange{UID: true, Outside: 100000, Count: 65536}
	g := lxc.IDRange{GID: true, Outside: 200000, Count: 65536}
	if ids, err := rootIDs([]lxc.IDRange{u, g}); err != nil || ids != [2]uint32{100000, 200000} {
		t.Errorf("%v, %v", ids, err)
	}
	if _, err := rootIDs([]lxc.IDRange{u}); err == nil || !strings.Contains(err.Error(), `"lxc.idmap = g 0 `) {
		t.Error(err)
	}
	if _, err := rootIDs([]lxc.IDRange{g}); err == nil || !strings.Contains(err.Error(), `"lxc.idmap = u 0 `) {
		t.Error(err)
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
