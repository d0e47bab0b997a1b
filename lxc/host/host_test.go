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
		{"Termux", Layout{Prefix: termux, home: "/h"}, nil, termux + "/var/lib/lxc", termux + "/var/cache/lxc"},
		{"Android", Layout{Root: true}, []string{"/dev/__properties__/x"}, "/data/lxc", "/data/lxc/.cache"},
		{"Android, a port of LXC", Layout{Root: true}, []string{"/dev/__properties__/x", "/data/lxc/containers/x"}, "/data/lxc/containers", "/data/lxc/.cache"},
		{"OpenWrt", Layout{Root: true}, []string{"/etc/openwrt_release="}, "/var/lib/lxc", "/var/cache/lxc"},
		{"Turris", Layout{Root: true}, []string{"/etc/openwrt_release=", "/srv/lxc/x"}, "/srv/lxc", "/var/cache/lxc"},
		{"Turris, lxc.conf", Layout{Root: true}, []string{"/etc/openwrt_release=", "/srv/lxc/x", "/etc/lxc/lxc.conf=lxc.lxcpath=/mnt\n"}, "/mnt", "/var/cache/lxc"},
	} {
		test.p.Top = t.TempDir()
		for _, f := range test.files {
			name, content, _ := strings.Cut(f, "=")
			name = test.p.Top + name
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
	if got := (&Layout{Top: top, Prefix: top}).CacheOwners(); got != nil {
		t.Errorf("elsewhere: %v", got)
	}
	if err := os.MkdirAll(top+"/dev/__properties__", 0o755); err != nil {
		t.Fatal(err)
	}
	if got := (&Layout{Top: top}).CacheOwners(); !slices.Equal(got, []int{1000}) {
		t.Errorf("Android: %v", got)
	}
	if got := (&Layout{Top: top, Prefix: top}).CacheOwners(); !slices.Equal(got, []int{1000, os.Getuid()}) {
		t.Errorf("Termux: %v", got)
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
		{Layout{home: "/t/home", Prefix: "/t/usr"}, "", "/etc/lxc/pull.conf /t/usr/etc/lxc/pull.conf /t/home/.config/lxc/pull.conf"},
	} {
		t.Setenv("XDG_CONFIG_HOME", c.xdg)
		system, user := c.layout.PullConfigs()
		if got := strings.Join(append(system, user), " "); got != c.want {
			t.Errorf("%+v, XDG_CONFIG_HOME %q: %q, want %q", c.layout, c.xdg, got, c.want)
		}
	}
}
