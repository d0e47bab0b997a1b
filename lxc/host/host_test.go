package host

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lxc-pull/lxc"
)

// TestLayout checks the directories of containers and of the cache on each kind of system.
func TestLayout(t *testing.T) {
	const termux = "/data/data/com.termux/files/usr"
	for _, test := range []struct {
		name      string
		p         Layout
		files     []string // files of the system, as "name=content"
		path      string
		cacheBase string
	}{
		{"root", Layout{Root: true}, nil, "/var/lib/lxc", "/var/cache/lxc"},
		{"a host with other directories", Layout{Root: true}, []string{"/srv/lxc/x", "/data/lxc/x"}, "/var/lib/lxc", "/var/cache/lxc"},
		{"a user", Layout{home: "/home/u"}, nil, "/home/u/.local/share/lxc", "/var/cache/lxc"},
		{"no HOME", Layout{}, nil, "/var/lib/lxc", "/var/cache/lxc"},
		{"lxc.conf", Layout{Root: true}, []string{"/etc/lxc/lxc.conf=lxc.lxcpath = /mnt/lxc\n"}, "/mnt/lxc", "/var/cache/lxc"},
		{"Termux", Layout{prefix: termux, home: "/h"}, nil, termux + "/var/lib/lxc", termux + "/var/cache/lxc"},
		{"Android", Layout{Root: true}, []string{"/dev/__properties__/x"}, "/data/lxc", "/data/lxc/.cache"},
		{"Android, a port of LXC", Layout{Root: true}, []string{"/dev/__properties__/x", "/data/lxc/containers/x"}, "/data/lxc/containers", "/data/lxc/.cache"},
		{"OpenWrt", Layout{Root: true}, []string{"/etc/openwrt_release="}, "/var/lib/lxc", "/var/cache/lxc"},
		{"Turris", Layout{Root: true}, []string{"/etc/openwrt_release=", "/srv/lxc/x"}, "/srv/lxc", "/var/cache/lxc"},
		{"Turris, lxc.conf", Layout{Root: true}, []string{"/etc/openwrt_release=", "/srv/lxc/x", "/etc/lxc/lxc.conf=lxc.lxcpath=/mnt\n"}, "/mnt", "/var/cache/lxc"},
	} {
		test.p.top = t.TempDir()
		for _, f := range test.files {
			name, content, _ := strings.Cut(f, "=")
			name = test.p.top + name
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := test.p.LXCPath(); got != test.path {
			t.Errorf("%s: containers in %q, want %q", test.name, got, test.path)
		}
		if got := test.p.systemCache(); got != test.cacheBase {
			t.Errorf("%s: cache in %q, want %q", test.name, got, test.cacheBase)
		}
	}
}

func TestTermuxPrefix(t *testing.T) {
	t.Setenv("TERMUX_VERSION", "")
	for prefix, want := range map[string]string{
		"/data/data/com.termux/files/usr": "/data/data/com.termux/files/usr",
		"/usr/local":                      "", "": "", "com.termux": "",
	} {
		t.Setenv("PREFIX", prefix)
		if got := termuxPrefix(); got != want {
			t.Errorf("PREFIX=%q: %q, want %q", prefix, got, want)
		}
	}
}

func TestMapsRoot(t *testing.T) {
	ranges := []lxc.IDRange{{UID: true, Inside: 1000, Outside: 1000, Count: 1}, {UID: true, Inside: 0, Outside: 100000, Count: 1000}}
	for text, want := range map[string]bool{
		"":                                   false,
		"         0          0 4294967295\n": false,
		"         0     100000       1000\n": true,
		"      1000       1000          1\n         0     100000 9\n": true,
		"         0    1000000      65536\n":                          false, // inside a container
		"    100000          0          1\n":                          false,
	} {
		if mapsRoot(text, ranges) != want {
			t.Errorf("%q: not %v", text, want)
		}
	}
}

// TestCacheOwners checks that only on Android the cache may be in directories of the user
// system and of the Termux app's user.
func TestCacheOwners(t *testing.T) {
	top := t.TempDir()
	if got := (&Layout{top: top, prefix: top}).CacheOwners(); got != nil {
		t.Errorf("elsewhere: %v", got)
	}
	if err := os.MkdirAll(top+"/dev/__properties__", 0o755); err != nil {
		t.Fatal(err)
	}
	if got := (&Layout{top: top}).CacheOwners(); !slices.Equal(got, []int{1000}) {
		t.Errorf("Android: %v", got)
	}
	if got := (&Layout{top: top, prefix: top}).CacheOwners(); !slices.Equal(got, []int{1000, os.Getuid()}) {
		t.Errorf("Termux: %v", got)
	}
}

func TestMissingIDs(t *testing.T) {
	ranges := []lxc.IDRange{
		{UID: true, Inside: 0, Outside: 100000, Count: 65536}, {GID: true, Inside: 0, Outside: 200000, Count: 10},
		{UID: true, Inside: 70000, Outside: 1000, Count: 1}, // the user's own id
	}
	for _, c := range []struct{ passwd, subuid, subgid, want string }{
		{"", "", "", "--add-subuids 100000-165535 --add-subgids 200000-200009 1000"},
		{"u:x:1000:1000::/:/bin/sh\n", "v:1:2\n", "uu:1:2\n", "--add-subuids 100000-165535 --add-subgids 200000-200009 u"},
		{"u:x:1000:1000::/:/bin/sh\n", "v:1:2\nu:100000:65536\n", "", "--add-subgids 200000-200009 u"},
		{"u:x:1000:1000::/:/bin/sh\n", "1000:100000:65536\n", "u:200000:65536\n", "u"},
		{"u:x:1000:1000::/:/bin/sh\n", "u:100000:65535\n", "u:200000:65536\n", "--add-subuids 100000-165535 u"}, // one too few
		{"u:x:1000:1000::/:/bin/sh\n", "u:500000:65536\n", "u:500000:65536\n", "--add-subuids 100000-165535 --add-subgids 200000-200009 u"},
		{"u:x:1000:1000::/:/bin/sh\n", "u:1:9\nu:90000:100000\n", "u:200005:10\nu:199990:20\n", "u"},
	} {
		etc := t.TempDir()
		for name, text := range map[string]string{"passwd": c.passwd, "subuid": c.subuid, "subgid": c.subgid} {
			if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := strings.Join(append(MissingIDs(ranges, 1000, etc), UserNames(1000, etc)[0]), " "); got != c.want {
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
		if lines, lent := MapLines(1000, etc); lines != c.lines || lent != c.lent {
			t.Errorf("%+v: %q, %v", c, lines, lent)
		}
	}
}

func TestInsideID(t *testing.T) {
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
		if id, known := InsideID(c.ranges, false, 1000); id != c.id || known != c.known {
			t.Errorf("%v: %d, %v", c.ranges, id, known)
		}
	}
}

func TestPullConfigs(t *testing.T) {
	for _, c := range []struct {
		layout Layout
		xdg    string
		want   string
	}{
		{Layout{home: "/home/u"}, "", "/etc/lxc/pull.conf /home/u/.config/lxc/pull.conf"},
		{Layout{Root: true, home: "/root/"}, "", "/etc/lxc/pull.conf /root/.config/lxc/pull.conf"},
		{Layout{home: "/"}, "", "/etc/lxc/pull.conf /.config/lxc/pull.conf"},
		{Layout{}, "", "/etc/lxc/pull.conf "},
		{Layout{home: "u"}, "", "/etc/lxc/pull.conf "},
		{Layout{}, "/x/", "/etc/lxc/pull.conf /x/lxc/pull.conf"},
		{Layout{home: "/home/u"}, "x", "/etc/lxc/pull.conf /home/u/.config/lxc/pull.conf"},
		{Layout{home: "/t/home", prefix: "/t/usr"}, "", "/etc/lxc/pull.conf /t/usr/etc/lxc/pull.conf /t/home/.config/lxc/pull.conf"},
	} {
		t.Setenv("XDG_CONFIG_HOME", c.xdg)
		system, user := c.layout.PullConfigs()
		if got := strings.Join(append(system, user), " "); got != c.want {
			t.Errorf("%+v, XDG_CONFIG_HOME %q: %q, want %q", c.layout, c.xdg, got, c.want)
		}
	}
}
