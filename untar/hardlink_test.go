package untar

import (
	"archive/tar"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestCopyFile copies files as the extractor does if it can't make a hard link.
func TestCopyFile(t *testing.T) {
	s := newSandbox(t)
	record := map[string]string{"SCHILY.xattr.user.x": "1"}
	archive := build(t, "text", tar.Header{Name: "f", Mode: 0o4751, ModTime: time.Unix(1000, 0), PAXRecords: record},
		tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "f", ModTime: time.Unix(2000, 0)}, tar.Header{Name: "d/", Typeflag: tar.TypeDir})
	if _, err := s.extract(t, archive, Options{}); err != nil {
		t.Fatal(err)
	}
	r, err := OpenRoot(s.root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	x := &extractor{root: r, opt: Options{Limits: Limits{Bytes: 4}}, self: ownership{chown: os.Geteuid() == 0}}
	for _, name := range []string{"f", "l", "d"} {
		from, to := cname(name+"\x00"), cname("copy-"+name+"\x00")
		var st unix.Stat_t
		if err := lstatat(r.fd, from, &st); err != nil {
			t.Fatal(err)
		}
		if err := x.copyFile(place{r.fd, from}, place{r.fd, to}, &st); (err == nil) != (name != "d") {
			t.Fatalf("%s: %v", name, err)
		}
	}
	for _, line := range []string{`copy-f file 04751 "text" mtime 1000.000000000`, `copy-l symlink 0777 "f" mtime 2000.000000000`} {
		if err := s.mustHave(line); err != nil {
			t.Error(err)
		}
	}
	value := make([]byte, 4)
	if _, err := unix.Getxattr(filepath.Join(s.root, "f"), "user.x", value); err == nil {
		if n, err := unix.Getxattr(filepath.Join(s.root, "copy-f"), "user.x", value); err != nil || string(value[:n]) != "1" {
			t.Errorf("the copy's attribute is %q (%v)", value[:max(n, 0)], err)
		}
	}
	if err := x.copyFile(place{r.fd, cname("f\x00")}, place{r.fd, cname("again\x00")}, &unix.Stat_t{Mode: unix.S_IFREG}); !errors.Is(err, ErrTooBig) {
		t.Errorf("above the limit: %v", err)
	}
}
