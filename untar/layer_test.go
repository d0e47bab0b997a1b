package untar

import (
	"archive/tar"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestLongWhiteout hides files with the longest names that Linux has: their whiteouts have longer
// ones.
func TestLongWhiteout(t *testing.T) {
	long := strings.Repeat("n", 255)
	s := newSandbox(t)
	opt := Options{Strict: true, Layer: true}
	if _, err := s.extract(t, build(t, "x", tar.Header{Name: "d/" + long}, tar.Header{Name: "f"}), opt); err != nil {
		t.Fatal(err)
	}
	if _, err := s.extract(t, build(t, "x", tar.Header{Name: "d/.wh." + long}), opt); err != nil {
		t.Fatal(err)
	}
	s.wantTree(t, "d/", "f")
	for _, name := range []string{"d/.wh." + long + "n", long + "n", ".wh." + long + "/x"} {
		if _, err := s.extract(t, build(t, "x", tar.Header{Name: name}), opt); err == nil {
			t.Errorf("a name of %d bytes is accepted", len(name))
		}
	}
	// Without Layer it is a name like others, which no file system takes.
	if _, err := s.extract(t, build(t, "x", tar.Header{Name: ".wh." + long}), Options{}); err == nil {
		t.Error("a file of that name is made")
	}
}

// TestLayerWithoutEnd checks archives that end after the last byte of a file, as those of "umoci
// insert" do. They are accepted if a digest vouches for them.
func TestLayerWithoutEnd(t *testing.T) {
	archive := build(t, "content", tar.Header{Name: "f"})
	whole := blockSize + len("content")
	for _, c := range []struct {
		n    int
		opt  Options
		good bool
	}{
		{whole, Options{Strict: true, Layer: true, Vouched: true}, true},
		{whole + 1, Options{Strict: true, Layer: true, Vouched: true}, true},
		{whole - 1, Options{Strict: true, Layer: true, Vouched: true}, false},
		{blockSize - 1, Options{Strict: true, Layer: true, Vouched: true}, false},
		{whole, Options{Strict: true, Layer: true}, false},
		{whole, Options{Strict: true, Vouched: true}, false},
		{whole, Options{}, false},
		{0, Options{Strict: true, Layer: true, Vouched: true}, true},
		{0, Options{Strict: true, Vouched: true}, false},
	} {
		s := newSandbox(t)
		_, err := s.extract(t, archive[:c.n], c.opt)
		if (err == nil) != c.good {
			t.Errorf("the first %d bytes, %+v: %v", c.n, c.opt, err)
		}
		if err == nil && c.n > 0 {
			if err := s.mustHave(`f file "content"`); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestLayerMetadata checks the metadata of directories of lower layers: an entry replaces all of
// it, and without an entry all of it stays, also the time.
func TestLayerMetadata(t *testing.T) {
	s := newSandbox(t)
	at := time.Unix(1e9, 0)
	opt := Options{Strict: true, Layer: true}
	attrs := map[string]string{schilyXattr + "user.x": "1", schilyXattr + "user.y": "1"}
	first := build(t, "x", tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755, ModTime: at},
		tar.Header{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o700, ModTime: at, PAXRecords: attrs},
		tar.Header{Name: "e/", Typeflag: tar.TypeDir, Mode: 0o711, ModTime: at, PAXRecords: attrs},
		tar.Header{Name: "e/f", ModTime: at}, tar.Header{Name: "e/g", ModTime: at}, tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "e"})
	second := build(t, "x", tar.Header{Name: "l/new"}, tar.Header{Name: "e/.wh.f"}, tar.Header{Name: ".wh.no"},
		tar.Header{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o750, ModTime: at.Add(time.Second), PAXRecords: map[string]string{schilyXattr + "user.x": "2"}})
	for _, layer := range [][]byte{first, second} {
		if _, err := s.extract(t, layer, opt); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range []string{". dir 0755 mtime 1000000000.000000000", "d dir 0750 mtime 1000000001.000000000", "e dir 0711 mtime 1000000000.000000000"} {
		if err := s.mustHave(line); err != nil {
			t.Error(err)
		}
	}
	value := make([]byte, 10)
	if err := unix.Lsetxattr(s.root, "user.z", nil, 0); err != nil {
		t.Skipf("the file system has no attributes to check: %v", err)
	}
	for _, c := range [][2]string{{"d user.x", "2"}, {"d user.y", ""}, {"e user.x", "1"}} {
		dir, name, _ := strings.Cut(c[0], " ")
		n, err := unix.Lgetxattr(s.root+"/"+dir, name, value)
		if got := string(value[:max(n, 0)]); got != c[1] || (err == unix.ENODATA) != (c[1] == "") {
			t.Errorf("%s is %q (%v), want %q", c[0], got, err, c[1])
		}
	}
}

func TestLayer(t *testing.T) {
	lower := build(t, "low", tar.Header{Name: "d/a"}, tar.Header{Name: "d/e/b"}, tar.Header{Name: "f"}, tar.Header{Name: "usr/lib/x"},
		tar.Header{Name: "lib", Typeflag: tar.TypeSymlink, Linkname: "usr/lib"}, tar.Header{Name: "abs", Typeflag: tar.TypeSymlink, Linkname: "/usr"},
		tar.Header{Name: "up", Typeflag: tar.TypeSymlink, Linkname: "../victim"})
	for _, c := range []struct {
		name   string
		layer  []tar.Header
		want   string // paths of the tree; "" for an error
		wanted []string
	}{
		{"whiteout of a file", []tar.Header{{Name: ".wh.f"}}, "abs d/ d/a d/e/ d/e/b lib up usr/ usr/lib/ usr/lib/x", nil},
		{"whiteout of a directory", []tar.Header{{Name: ".wh.d"}}, "abs f lib up usr/ usr/lib/ usr/lib/x", nil},
		{"whiteout of nothing", []tar.Header{{Name: "no/.wh.d"}}, "abs d/ d/a d/e/ d/e/b f lib up usr/ usr/lib/ usr/lib/x", nil},
		{"opaque first", []tar.Header{{Name: "d/.wh..wh..opq"}, {Name: "d/new"}}, "abs d/ d/new f lib up usr/ usr/lib/ usr/lib/x", nil},
		{"opaque last", []tar.Header{{Name: "d/new"}, {Name: "d/e/n2"}, {Name: "d/.wh..wh..opq"}}, "abs d/ d/e/ d/e/n2 d/new f lib up usr/ usr/lib/ usr/lib/x", nil},
		{"whiteout after its replacement", []tar.Header{{Name: "f"}, {Name: ".wh.f"}}, "abs d/ d/a d/e/ d/e/b f lib up usr/ usr/lib/ usr/lib/x", []string{`f file 0644 "new"`}},
		{"file over a directory", []tar.Header{{Name: "d"}}, "abs d f lib up usr/ usr/lib/ usr/lib/x", nil},
		{"parent is a link", []tar.Header{{Name: "lib/y"}, {Name: "abs/z"}}, "abs d/ d/a d/e/ d/e/b f lib up usr/ usr/lib/ usr/lib/x usr/lib/y usr/z", nil},
		{"link below a link", []tar.Header{{Name: "l", Typeflag: tar.TypeLink, Linkname: "lib/x"}}, "abs d/ d/a d/e/ d/e/b f l lib up usr/ usr/lib/ usr/lib/x", nil},
		{"parent leads above the root", []tar.Header{{Name: "up/hello"}}, "abs d/ d/a d/e/ d/e/b f lib up usr/ usr/lib/ usr/lib/x victim/ victim/hello", nil},
		{"parent is a file", []tar.Header{{Name: "f/g"}}, "abs d/ d/a d/e/ d/e/b f/ f/g lib up usr/ usr/lib/ usr/lib/x", nil},
		{"whiteout below a file", []tar.Header{{Name: "f/.wh.g"}, {Name: "f/.wh..wh..opq"}}, "abs d/ d/a d/e/ d/e/b f lib up usr/ usr/lib/ usr/lib/x", nil},
		{"opaque root", []tar.Header{{Name: "d/new"}, {Name: ".wh..wh..opq"}}, "d/ d/new", nil},
		{"whiteout of a link", []tar.Header{{Name: ".wh.lib"}}, "abs d/ d/a d/e/ d/e/b f up usr/ usr/lib/ usr/lib/x", nil},
		{"opaque below a link", []tar.Header{{Name: "abs/.wh..wh..opq"}, {Name: "abs/n"}}, "abs d/ d/a d/e/ d/e/b f lib up usr/ usr/n", nil},
		{"link over a directory", []tar.Header{{Name: "usr/lib", Typeflag: tar.TypeSymlink, Linkname: "../d"}, {Name: "lib/z"}}, "abs d/ d/a d/e/ d/e/b d/z f lib up usr/ usr/lib", nil},
		{"odd names", []tar.Header{{Name: ".wh.no\n\x1b[31m\xff"}, {Name: ".wh. "}, {Name: "d/.wh..."}}, "", nil},
		{"odd names of whiteouts", []tar.Header{{Name: ".wh.no\n\x1b[31m\xff"}, {Name: ".wh. "}, {Name: "d/.wh...."}, {Name: "d/.wh.\\"}}, "abs d/ d/a d/e/ d/e/b f lib up usr/ usr/lib/ usr/lib/x", nil},
		{"whiteout of nothing named", []tar.Header{{Name: "d/.wh."}}, "", nil},
		{"whiteout of .", []tar.Header{{Name: "d/.wh.."}}, "", nil},
		{"whiteout of ..", []tar.Header{{Name: "d/.wh..."}}, "", nil},
		{"whiteout below a link", []tar.Header{{Name: "lib/.wh.x"}}, "abs d/ d/a d/e/ d/e/b f lib up usr/ usr/lib/", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSandbox(t)
			if _, err := s.extract(t, lower, Options{Strict: true, Layer: true}); err != nil {
				t.Fatal(err)
			}
			_, err := s.extract(t, build(t, "new", c.layer...), Options{Strict: true, Layer: true})
			s.check(t)
			if c.want == "" {
				if err == nil {
					t.Error("accepted")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			s.wantTree(t, strings.Fields(c.want)...)
			for _, line := range c.wanted {
				if err := s.mustHave(line); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
