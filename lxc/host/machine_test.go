package host

import (
	"os"
	"path/filepath"
	"testing"

	"lxc-pull/lxc"
)

// below returns the layout of a machine with one file.
func below(t *testing.T, name, content string) *Layout {
	top := t.TempDir()
	if err := os.MkdirAll(filepath.Dir(top+name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(top+name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return Below(top, "", true)
}

func TestLXCVersion(t *testing.T) {
	for _, c := range []struct{ file, content, want string }{
		{"/var/lib/dpkg/status", "Package: lxc\nStatus: install ok installed\nVersion: 1:5.0.2-1\n", "5.0.2-1"},
		{"/var/lib/dpkg/status", "Package: lxc\nStatus: deinstall ok config-files\nVersion: 1:5.0.2-1\n", ""},
		{"/var/lib/dpkg/status", "Package: lxcfs\nStatus: install ok installed\nVersion: 6\n\nPackage: liblxc1t64\nStatus: install ok installed\nVersion: 6.1\n", "6.1"},
		{"/lib/apk/db/installed", "C:Q1\nP:musl\nV:1.2\n\nC:Q1\nP:lxc\nV:6.0.1-r0\n", "6.0.1-r0"},
		{"/usr/lib/opkg/status", "Package: liblxc\nVersion: 5.0.2-1\nStatus: install user installed\n", "5.0.2-1"},
		{"/etc/x", "", ""},
	} {
		l := below(t, c.file, c.content)
		if got := l.LXCVersion(); got != c.want {
			t.Errorf("%q: %q", c.content, got)
		}
	}
}

func TestMountPoint(t *testing.T) {
	l := below(t, "/proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n23 22 8:2 / /srv rw - ext4 x rw\n24 23 8:3 / /srv/my\\040disk rw - ext4 x rw\n25 22 8:4 / /sr rw - ext4 x rw\nbroken\n")
	for dir, want := range map[string]string{"/": "/", "/srv": "/srv", "/srv/x": "/srv", "/srv/my disk/lxc": "/srv/my disk", "/srvx": "/"} {
		if got := l.MountPoint(dir); got != want {
			t.Errorf("%q: %q", dir, got)
		}
	}
}

func TestGrants(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		mode  os.FileMode
		right uint32
		uid   int
		want  bool
	}{
		{0o700, 1, 0, true}, {0o700, 1, 123456, false}, {0o701, 1, 123456, true}, {0o770, 2, 123456, false}, {0o707, 2, 123456, true},
	} {
		if err := os.Chmod(dir, c.mode); err != nil {
			t.Fatal(err)
		}
		if got := Grants(dir, c.right, c.uid); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	if Grants(dir+"/none", 1, 123456) {
		t.Error("a missing directory")
	}
}

func TestOfferedIDs(t *testing.T) {
	for _, c := range []struct {
		subuid, subgid      string
		user, group, number uint32
	}{
		{"", "", 100000, 100000, 65536},
		{"v:100000:65536\n", "v:300000:10\nx\n", 300010, 300010, 65536},
		{"1000:200000:99\n", "1000:300000:99\n", 200000, 300000, 99},
		{"1000:200000:99\n", "", 200099, 200099, 65536}, // without groups the users do not help
		{"v:4294967000:65536\n", "", 100000, 100000, 65536},
	} {
		etc := t.TempDir()
		for name, text := range map[string]string{"subuid": c.subuid, "subgid": c.subgid} {
			if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got := OfferedIDs(1000, etc)
		if got[0] != (lxc.IDRange{UID: true, Outside: c.user, Count: c.number}) || got[1] != (lxc.IDRange{GID: true, Outside: c.group, Count: c.number}) {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
