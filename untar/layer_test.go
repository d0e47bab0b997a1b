package untar

import (
	"archive/tar"
	"strings"
	"testing"
)

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
