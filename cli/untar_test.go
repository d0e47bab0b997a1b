package cli

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lxc-pull/untar"
)

// The long listing is the same as GNU tar's.
func TestListLine(t *testing.T) {
	gnu, err := exec.LookPath("tar")
	if err != nil {
		t.Skip("there is no tar to compare with")
	}
	if out, err := exec.Command(gnu, "--version").Output(); err != nil || !bytes.Contains(out, []byte("GNU tar")) {
		t.Skip("tar is not GNU tar")
	}
	files := []string{listArchive(t)}
	for _, name := range []string{"format-v7", "format-ustar-prefix", "format-gnu-long-link", "type-fifo", "directory-root", "directory-sticky",
		"directory-read-only", "link-over-file", "symlink-targets", "sparse-gnu", "sparse-1.0", "sparse-large-hole", "pax-mtime-fraction",
		"number-mtime-negative", "pax-global-comment", "pax-size-wins", "name-bytes", "type-contiguous", "type-dumpdir"} {
		files = append(files, "../untar/testdata/tar/"+name+".tar")
	}
	for _, file := range files {
		archive, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			numeric, unicode := i&1 == 0, i&2 == 0
			args := []string{"-tvf", file}
			if numeric {
				args = append(args, "--numeric-owner")
			}
			cmd := exec.Command(gnu, args...)
			cmd.Env = []string{"TZ=UTC", "LC_ALL=C"}
			if unicode {
				cmd.Env[1] = "LC_ALL=C.UTF-8"
			}
			want, err := cmd.Output()
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			var got strings.Builder
			list := lister{numeric: numeric, zone: time.UTC, unicode: unicode}
			err = untar.Options{}.Walk(bytes.NewReader(archive), func(e *untar.Entry, _ io.Reader) error {
				got.WriteString(list.line(e))
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != string(want) {
				t.Errorf("%s, numeric %v, UTF-8 %v:\n%swant\n%s", file, numeric, unicode, got.String(), want)
			}
		}
	}
}

// listArchive makes an archive of entries whose lines are unusual, or that change the columns
// of the lines after them, and returns its path.
func listArchive(t *testing.T) string {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	at := time.Unix(1700000000, 0)
	for _, h := range []tar.Header{
		{Name: "narrow", Typeflag: tar.TypeReg, Mode: 0o644, Uname: "root", Gname: "root"},
		{Name: "wide", Typeflag: tar.TypeReg, Mode: 0o644, Uname: "systemd-timesync", Gname: "systemd-timesync"},
		{Name: "after", Typeflag: tar.TypeReg, Mode: 0o6644, Uid: 1000, Gid: 1000},
		{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o7755},
		{Name: "d2/", Typeflag: tar.TypeDir, Mode: 0o1644},
		{Name: "c", Typeflag: tar.TypeChar, Devmajor: 4095, Devminor: 1048575},
		{Name: "b", Typeflag: tar.TypeBlock, Devmajor: 8},
		{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "a b\tc\nd\\e\x1b\u00e9"},
		{Name: "h", Typeflag: tar.TypeLink, Linkname: "a\\b"},
		{Name: "na\\me\t\n\r\a\b\f\v\x1b\x7f \"q\" '?*[ \u00e9\xff", Typeflag: tar.TypeReg},
		{Name: "before", Typeflag: tar.TypeReg, ModTime: time.Unix(-1e12, 0)},
		{Name: "year10000", Typeflag: tar.TypeReg, ModTime: time.Unix(253402300800, 0)},
		{Name: "last ", Typeflag: tar.TypeReg},
	} {
		h.Format = tar.FormatPAX
		if h.ModTime.IsZero() {
			h.ModTime = at
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "list.tar")
	if err := os.WriteFile(name, out.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	return name
}

// A name can't control the terminal or begin a new line.
func TestListLineEscapes(t *testing.T) {
	e := &untar.Entry{Type: untar.TypeSymlink, Name: []byte("a\x1b[2K\nb\t\xff"), Link: []byte("\r\u202e"), Uname: []byte("\x07"), Mode: 0o7777}
	got := (&lister{zone: time.UTC, unicode: true}).line(e)
	want := `lrwsrwsrwt \a/0              0 1970-01-01 00:00 a\033[2K\nb\t\377 -> \r\342\200\256` + "\n"
	if got != want {
		t.Errorf("line is %q, want %q", got, want)
	}
}

// Options without a dash become options with one.
func TestOldStyle(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"xpf a.tar", "-x -p -f a.tar"},
		{"xCf dir a.tar m", "-x -C dir -f a.tar m"},
		{"tvf a.tar", "-t -v -f a.tar"},
		{"-xpf a.tar", "-xpf a.tar"},
		{"xyz.tar", "xyz.tar"},
		{"archive", "archive"},
		{"xf", "-x -f"},
		{"", ""},
	} {
		if got := oldStyle(strings.Fields(c.args)); !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%q is %q, want %q", c.args, got, c.want)
		}
	}
}

// A squashfs image is listed, printed and extracted as an archive is; one that can only be read
// once is copied to a temporary file first, of which nothing is left.
func TestSquashfs(t *testing.T) {
	image, err := os.ReadFile("../untar/squashfs/testdata/zstd.sqfs")
	if err != nil {
		t.Fatal(err)
	}
	size := int64(len(image))
	from := &input{squashfs: size, image: io.NewSectionReader(bytes.NewReader(image), 0, size)}
	c := new(untarCall)
	c.numeric = true
	var out bytes.Buffer
	if err := c.printList(&out, from); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"drwxr-xr-x 0/0               0 ", " ./\n", "srwxr-xr-x ", "brw-r--r-- 0/0       259,70000 ", " ./etc/deep/\n",
		"hrw-r--r-- ", " ./etc/hostname link to ./etc/deep/er/hard\n", "-rw-r--r-- 1000/100000    9000 "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	out.Reset()
	c.opt.Filter.Members = []string{"etc/deep", "dev"}
	if err := c.printContent(&out, from); err != nil || out.String() != "host\n" {
		t.Errorf("content %q, %v", out.String(), err)
	}

	c = new(untarCall)
	c.opt.Metadata.Privilege = untar.User
	for _, test := range []struct {
		body, want string
		size       int64
	}{
		{string(image), "", size},
		{string(image) + strings.Repeat("\x00", 4000), "", size},
		{string(image[:size-1]), "the squashfs image is cut off", size},
		{string(image), "a squashfs image of 1125899906842624 bytes must be in a file", 1 << 50},
		{"hsqs", "the squashfs image is cut off", 96},
	} {
		dir := t.TempDir()
		root, err := untar.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.extractInto(root, &input{body: strings.NewReader(test.body), squashfs: test.size})
		root.Close()
		if err == nil != (test.want == "") || err != nil && err.Error() != test.want {
			t.Errorf("%d bytes: %v, want %q", len(test.body), err, test.want)
		}
		names, _ := os.ReadDir(dir)
		var got []string
		for _, name := range names {
			got = append(got, name.Name())
		}
		want := []string(nil)
		if test.want == "" {
			want = []string{"dev", "empty", "etc"}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d bytes: %q is left, want %q", len(test.body), got, want)
		}
	}
}
