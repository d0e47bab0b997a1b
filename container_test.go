package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lxc-pull/lxc"
)

// TestPlaces shows where containers and the cache are on each kind of system.
func TestPlaces(t *testing.T) {
	const termux = "/data/data/com.termux/files/usr"
	for _, test := range []struct {
		name      string
		p         places
		files     []string // that the system has; "name=content"
		path      string
		cacheBase string
	}{
		{"root", places{root: true}, nil, "/var/lib/lxc", "/var/cache/lxc"},
		{"a host with other folders", places{root: true}, []string{"/srv/lxc/x", "/data/lxc/x"}, "/var/lib/lxc", "/var/cache/lxc"},
		{"a user", places{home: "/home/u"}, nil, "/home/u/.local/share/lxc", "/var/cache/lxc"},
		{"no HOME", places{}, nil, "/var/lib/lxc", "/var/cache/lxc"},
		{"lxc.conf", places{root: true}, []string{"/etc/lxc/lxc.conf=lxc.lxcpath = /mnt/lxc\n"}, "/mnt/lxc", "/var/cache/lxc"},
		{"Termux", places{prefix: termux, home: "/h"}, nil, termux + "/var/lib/lxc", termux + "/var/cache/lxc"},
		{"Android", places{root: true}, []string{"/dev/__properties__/x"}, "/data/lxc", "/data/lxc/.cache"},
		{"Android, a port of LXC", places{root: true}, []string{"/dev/__properties__/x", "/data/lxc/containers/x"}, "/data/lxc/containers", "/data/lxc/.cache"},
		{"OpenWrt", places{root: true}, []string{"/etc/openwrt_release="}, "/var/lib/lxc", "/var/cache/lxc"},
		{"Turris", places{root: true}, []string{"/etc/openwrt_release=", "/srv/lxc/x"}, "/srv/lxc", "/var/cache/lxc"},
		{"Turris, lxc.conf", places{root: true}, []string{"/etc/openwrt_release=", "/srv/lxc/x", "/etc/lxc/lxc.conf=lxc.lxcpath=/mnt\n"}, "/mnt", "/var/cache/lxc"},
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
		if got := test.p.lxcPath(); got != test.path {
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
		"         0    1000000      65536\n":                          false, // in a container
		"    100000          0          1\n":                          false,
	} {
		if mapsRoot(text, ranges) != want {
			t.Errorf("%q: not %v", text, want)
		}
	}
}

// TestAbove: on Android alone the cache may lie below folders of the system's user
// and of Termux's.
func TestAbove(t *testing.T) {
	top := t.TempDir()
	if got := (places{top: top, prefix: top}).above(); got != nil {
		t.Errorf("elsewhere: %v", got)
	}
	if err := os.MkdirAll(top+"/dev/__properties__", 0o755); err != nil {
		t.Fatal(err)
	}
	if got := (places{top: top}).above(); !slices.Equal(got, []int{1000}) {
		t.Errorf("Android: %v", got)
	}
	if got := (places{top: top, prefix: top}).above(); !slices.Equal(got, []int{1000, os.Getuid()}) {
		t.Errorf("Termux: %v", got)
	}
}
