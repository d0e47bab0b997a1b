package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/lxc"
	"lxc-pull/untar"
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

// A container's folder whose root file system holds something that no marker
// proves to be an interrupted run's stays, and no descriptor is left open.
func TestRemoveInterruptedLeavesOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c")
	if err := os.MkdirAll(filepath.Join(path, "rootfs/mine"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"config", partialName} {
		if err := os.WriteFile(filepath.Join(path, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		return len(entries)
	}
	c := &creation{ui: &ui{out: io.Discard, err: io.Discard}}
	before := open()
	if c.removeInterrupted(path) {
		t.Error("it was removed")
	}
	if now := open(); now != before {
		t.Errorf("%d descriptors, %d before", now, before)
	}
	if _, err := os.Stat(filepath.Join(path, "rootfs/mine")); err != nil {
		t.Error(err)
	}
}

// The wait for another run in the same folder ends, and its process is named.
func TestWaitBusyEnds(t *testing.T) {
	var said strings.Builder
	u := &ui{out: io.Discard, err: &said}
	busy := &fs.PathError{Op: "fill", Path: "/r", Err: &untar.BusyError{PID: 12}}
	calls := 0
	err := u.waitBusy(t.Context(), 2*callerPoll, func() error { calls++; return busy })
	if !errors.Is(err, untar.ErrBusy) || !strings.Contains(err.Error(), "process 12") || !strings.Contains(err.Error(), "waited") || calls != 3 {
		t.Errorf("after %d calls: %v", calls, err)
	}
	if strings.Count(said.String(), "process 12") != 1 {
		t.Errorf("said: %q", &said)
	}
	if err := u.waitBusy(t.Context(), 0, func() error { return busy }); err != error(busy) {
		t.Errorf("without a wait: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := u.waitBusy(ctx, time.Hour, func() error { return busy }); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// An error is one line, however many it is made of.
func TestLeftErrorIsOneLine(t *testing.T) {
	err := &leftError{errors.New("a"), errors.Join(errors.New("b"), errors.New("c"))}
	if got := err.Error(); strings.Contains(got, "\n") || !strings.HasSuffix(got, "b; c") {
		t.Errorf("%q", got)
	}
}

// A folder that was there has its own mode, and the container's owner, before the
// marker goes: a kill in between would leave a complete container closed for ever.
func TestFolderIsOpenBeforeTheMarkerGoes(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, rootfsName), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o751); err != nil {
		t.Fatal(err)
	}
	c := &creation{ui: &ui{out: io.Discard, err: io.Discard}, folder: dir, rootfs: filepath.Join(dir, rootfsName)}
	owner := &[2]uint32{uint32(os.Geteuid()), uint32(os.Getegid())}
	if owner[0] == 0 {
		owner = &[2]uint32{4242, 4243}
	}
	p, err := c.openExisting(owner)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	mode := func() os.FileMode {
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	if mode() != 0o700 {
		t.Errorf("while it grows the folder has mode %o", mode())
	}
	// A folder in the place of the marker can't be removed as a file.
	marker := filepath.Join(dir, rootfsMarker)
	if err := os.Remove(marker); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(marker, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := p.commit(); err == nil {
		t.Error("the marker stays, and it is no error")
	}
	if mode() != 0o751 {
		t.Errorf("with the marker there the folder has mode %o", mode())
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil || st.Uid != owner[0] || st.Gid != owner[1] {
		t.Errorf("with the marker there the folder belongs to %d:%d (%v)", st.Uid, st.Gid, err)
	}
}
