package untar

import (
	"archive/tar"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestXattrs(t *testing.T) {
	s := newSandbox(t)
	if err := unix.Setxattr(s.root, "user.probe", []byte("1"), 0); err != nil {
		t.Skip("no user.* attributes on the temporary directory:", err)
	}
	record := map[string]string{
		"SCHILY.xattr.user.plain":             "\x00\xff\n",
		"SCHILY.xattr.user.a%3Db%25":          "escaped",
		"LIBARCHIVE.xattr.user.url%20encoded": "dmFsdWU",
		"SCHILY.xattr.user.overlay.opaque":    "y",
		"SCHILY.xattr.trusted.overlay.opaque": "y",
		"SCHILY.xattr.unknown.x":              "1",
		"SCHILY.xattr.security.selinux":       "label",
		"SCHILY.xattr.user.read-only":         "1",
	}
	rep, err := s.extract(t, build(t, "x", tar.Header{Name: "f", Mode: 0o444, PAXRecords: record},
		tar.Header{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o555, PAXRecords: record}), Options{Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"f", "d"} {
		for attr, want := range map[string]string{
			"user.plain": "\x00\xff\n", "user.a=b%": "escaped", "user.url encoded": "value", "user.read-only": "1",
			"user.overlay.opaque": "", "security.selinux": "",
		} {
			buf := make([]byte, 100)
			n, err := unix.Getxattr(filepath.Join(s.root, name), attr, buf)
			if want == "" {
				if err != unix.ENODATA && err != unix.EOPNOTSUPP {
					t.Errorf("%s has %s (%v)", name, attr, err)
				}
			} else if err != nil || string(buf[:n]) != want {
				t.Errorf("%s: %s is %q (%v)", name, attr, buf[:max(n, 0)], err)
			}
		}
	}
	if got := rep.Summary(); !strings.Contains(got, "overlayfs would obey it") || !strings.Contains(got, `"unknown.x" is in no known namespace`) || !strings.Contains(got, "2 SELinux labels left out: not asked for") {
		t.Errorf("summary is %q", got)
	}
}
