package untar

import (
	"archive/tar"
	"bytes"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestLayerModel applies random layers and compares the result with the image specification:
// a whiteout hides the files of the lower layers, whatever the order of entries.
func TestLayerModel(t *testing.T) {
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(1, seed))
		// "m" is a directory in one layer and a file in the next.
		pick := func(names ...string) string { return names[rnd.IntN(len(names))] }
		directory := func(with ...string) string {
			p := ""
			for range rnd.IntN(5) {
				p = path.Join(p, pick(append(with, "d1", "d2", "d3")...))
			}
			return p
		}
		dir := t.TempDir()
		target, err := OpenTarget(filepath.Join(dir, "root"))
		if err != nil {
			t.Fatal(err)
		}
		have := map[string]bool{} // path to whether it is a directory
		add := func(to map[string]bool, p string, isDir bool) {
			to[p] = isDir
			for p = path.Dir(p); p != "."; p = path.Dir(p) {
				to[p] = true
			}
		}
		for layer := range 3 {
			upper, hidden, opaque := map[string]bool{}, map[string]bool{}, map[string]bool{}
			var headers []tar.Header
			for range 5 + rnd.IntN(25) {
				in := directory()
				if layer%2 == 0 {
					in = directory("m")
				}
				switch rnd.IntN(6) {
				case 0, 1, 2:
					name := path.Join(in, pick("f1", "f2", "f3"))
					headers = append(headers, tar.Header{Name: name})
					add(upper, name, false)
				case 3:
					if in != "" {
						headers = append(headers, tar.Header{Name: in + "/", Typeflag: tar.TypeDir, Mode: 0o755})
						add(upper, in, true)
					} else if layer%2 == 1 {
						headers = append(headers, tar.Header{Name: "m"})
						add(upper, "m", false)
					}
				case 4:
					name := pick("f1", "f2", "d1", "d2", "m")
					headers = append(headers, tar.Header{Name: path.Join(in, ".wh."+name)})
					hidden[path.Join(in, name)] = true
				case 5:
					headers = append(headers, tar.Header{Name: path.Join(in, whiteoutOpaque)})
					opaque[path.Join(in, ".")] = true
				}
			}
			next := map[string]bool{}
			for p, isDir := range have {
				gone := hidden[p]
				for up := path.Dir(p); ; up = path.Dir(up) {
					is, there := upper[up]
					gone = gone || hidden[up] || opaque[up] || there && !is
					if up == "." {
						break
					}
				}
				if is, there := upper[p]; !gone && (!there || is == isDir) {
					next[p] = isDir
				}
			}
			for p, isDir := range upper {
				next[p] = isDir
			}
			before := have
			have = next
			rnd.Shuffle(len(headers), func(i, j int) { headers[i], headers[j] = headers[j], headers[i] })
			if isDir, there := before["m"]; there && !isDir && upper["m"] {
				headers = slices.Insert(headers, 0, tar.Header{Name: "m/", Typeflag: tar.TypeDir, Mode: 0o755}) // its parent must exist
			}
			if _, err := target.Root().Extract(bytes.NewReader(build(t, "x", headers...)), Options{Layer: true}); err != nil {
				t.Fatalf("seed %d, layer %d: %v", seed, layer, err)
			}
			var want []string
			for p, isDir := range have {
				if isDir {
					p += "/"
				}
				want = append(want, p)
			}
			slices.Sort(want)
			var got []string
			err := filepath.Walk(target.grown(), func(p string, info os.FileInfo, err error) error {
				rel, _ := filepath.Rel(target.grown(), p)
				if err != nil || rel == "." || strings.HasPrefix(rel, ".lxc-pull-") {
					return err
				}
				if info.IsDir() {
					rel += "/"
				}
				got = append(got, rel)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				var names []string
				for _, h := range headers {
					names = append(names, h.Name)
				}
				t.Fatalf("seed %d, layer %d: %q\nleaves %q\nwant   %q", seed, layer, names, got, want)
			}
		}
		if _, err := target.Abort(); err != nil {
			t.Fatal(err)
		}
		target.Close()
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
		{"parent leads outside", []tar.Header{{Name: "up/hello"}}, "", nil},
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
