package untar

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"path/filepath"
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

// TestMergeLayers merges layers into a tree: they change what layers of this run made, and nothing
// that was there before.
func TestMergeLayers(t *testing.T) {
	file := func(names ...string) (list []tar.Header) {
		for _, name := range names {
			list = append(list, tar.Header{Name: name})
		}
		return list
	}
	link := func(typ byte, name, target string) tar.Header {
		return tar.Header{Name: name, Typeflag: typ, Linkname: target}
	}
	type layers = [][]tar.Header
	for _, c := range []struct {
		name   string
		before string // as for makeTree
		layers layers
		want   string // paths, and files that have text with "=mine" or "=new"
		left   int64  // entries left out
	}{
		{"a key deleted by layer 2", "mine=mine", layers{file("etc/key", "etc/conf"), file("etc/.wh.key")}, "etc/ etc/conf mine=mine", 0},
		{"opaque over a directory with a file that was there", "d/mine=mine d/e/mine=mine", layers{file("d/x", "d/e/x", "d/f/x"), file("d/new", "d/.wh..wh..opq")}, "d/ d/e/ d/e/mine=mine d/mine=mine d/new=new", 0},
		{"opaque first", "d/mine=mine", layers{file("d/x"), file("d/.wh..wh..opq", "d/new")}, "d/ d/mine=mine d/new=new", 0},
		{"opaque root", "mine=mine d/mine=mine", layers{file("d/x", "e/x"), file(".wh..wh..opq")}, "d/ d/mine=mine mine=mine", 0},
		{"whiteout of a directory that was there", "d/mine=mine d/empty/", layers{file("d/empty/x", "d/x"), file(".wh.d")}, "d/ d/empty/ d/mine=mine", 0},
		{"a directory replaced by a file", "", layers{file("d/x", "d/e/x"), file("d")}, "d=new", 0},
		{"a directory that was there is not replaced by a file", "d/mine=mine", layers{file("d/x"), file("d")}, "d/ d/mine=mine", 1},
		{"nor an empty one", "d/", layers{file("d/x"), file("d")}, "d/", 1},
		{"a file replaced by a directory", "", layers{file("f", "g"), append(file("f/x"), tar.Header{Name: "g/", Typeflag: tar.TypeDir})}, "f/ f/x=new g/", 0},
		{"a file that was there is not replaced by a directory", "f=mine g=mine", layers{file("x"), append(file("f/x"), tar.Header{Name: "g/", Typeflag: tar.TypeDir})}, "f=mine g=mine x=new", 2},
		{"whiteout of a file of the same name", "f=mine", layers{file("f"), file(".wh.f")}, "f=mine", 1},
		{"whiteout of a file that was there alone", "f=mine", layers{file("x"), file(".wh.f")}, "f=mine x=new", 0},
		{"whiteout, then made again", "mine=mine", layers{file("d/f"), file(".wh.d"), file("d/f", "d/g"), file("d/.wh.g")}, "d/ d/f=new mine=mine", 0},
		{"whiteout, then its replacement in the same layer", "", layers{file("d/f"), file("d/g", ".wh.d")}, "d/ d/g=new", 0},
		{"replaced twice", "", layers{file("f"), file("f"), file(".wh.f")}, "", 0},
		{"through a link of the image", "d/mine=mine", layers{append(file("d/x"), link(tar.TypeSymlink, "l", "d")), file("l/.wh.x", "l/.wh.mine", "l/y"), file(".wh.l")}, "d/ d/mine=mine d/y=new", 0},
		{"through a link that was there", "d/mine=mine l->d", layers{file("l/x", "l/y"), file("l/.wh.x", "l/.wh.mine"), file(".wh.l")}, "d/ d/mine=mine d/y=new l", 0},
		{"hard links of layers", "", layers{append(file("a"), link(tar.TypeLink, "b", "a")), append(file(".wh.a"), link(tar.TypeLink, "c", "b"))}, "b=new c=new", 0},
		{"no hard link to a file that was there", "f=mine", layers{file("x"), {link(tar.TypeLink, "l", "f"), link(tar.TypeLink, "f", "x")}, file(".wh.l", ".wh.f")}, "f=mine x=new", 2},
		{"a hard link to an entry left out", "f=mine", layers{append(file("f"), link(tar.TypeLink, "l", "f"))}, "f=mine", 2},
		{"a whiteout of nothing that can be named", "f=mine", layers{file("x"), file(".wh.", ".wh..", ".wh.x")}, "f=mine", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSandbox(t)
			makeTree(t, s.root, strings.Fields(c.before)...)
			r, err := OpenRoot(s.root)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			var all Report
			for _, layer := range c.layers {
				rep, err := r.Extract(bytes.NewReader(build(t, "new", layer...)), Options{Strict: true, Layer: true, Merge: true})
				if err != nil {
					t.Fatal(err)
				}
				all.Add(rep)
			}
			s.check(t)
			var paths []string
			for _, path := range strings.Fields(c.want) {
				path, text, _ := strings.Cut(path, "=")
				if paths = append(paths, path); text != "" {
					if got, err := os.ReadFile(filepath.Join(s.root, path)); err != nil || string(got) != text {
						t.Errorf("%s is %q (%v)", path, got, err)
					}
				}
			}
			s.wantTree(t, paths...)
			left := int64(0)
			for _, n := range all.Notes {
				if n.Fate == LeftOut {
					left += n.Count
				}
			}
			if left != c.left {
				t.Errorf("%d entries left out (%s), want %d", left, all.Summary(), c.left)
			}
		})
	}
}

// TestMergeKeepsInodes checks the proof for a removal in a merge: another file in the place of one
// that a layer made stays.
func TestMergeKeepsInodes(t *testing.T) {
	s := newSandbox(t)
	makeTree(t, s.root, "mine=mine")
	r, err := OpenRoot(s.root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	opt := Options{Strict: true, Layer: true, Merge: true, Limits: Limits{Entries: 5}}
	if _, err := r.Extract(bytes.NewReader(build(t, "new", tar.Header{Name: "a"}, tar.Header{Name: "b"})), opt); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(s.root, "mine"), filepath.Join(s.root, "a")); err != nil {
		t.Fatal(err)
	}
	edit := func(b []byte) []byte { return append(b, '!') }
	if _, err := r.Extract(bytes.NewReader(build(t, "new", tar.Header{Name: ".wh.a"}, tar.Header{Name: "c"})), opt); err != nil {
		t.Fatal(err)
	}
	s.wantTree(t, "a", "b", "c")
	if err := s.mustHave(`a file "mine"`); err != nil {
		t.Error(err)
	}
	// Files of all layers may be edited.
	for name, want := range map[string]string{"b": "new!", "c": "new!"} {
		if err := r.Rewrite(name, 100, edit); err != nil {
			t.Error(err)
		} else if err := s.mustHave(name + ` file "` + want + `"`); err != nil {
			t.Error(err)
		}
	}
	if _, err := r.Extract(bytes.NewReader(build(t, "new", tar.Header{Name: "d/e/f"})), opt); !errors.Is(err, errTooMany) {
		t.Errorf("more paths than Limits.Entries: %v", err)
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
