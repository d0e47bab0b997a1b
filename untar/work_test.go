package untar

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The work of an extraction grows with the archive: twice the entries, in folders
// twice as deep, are twice the folders opened and entries looked at, not four
// times.
func TestWorkIsLinear(t *testing.T) {
	const depth, entries = 100, 150 // halves of the larger input
	chain := func(component string, n int) string { return strings.Repeat(component+"/", depth*n) }
	file := func(format string, args ...any) tar.Header { return tar.Header{Name: fmt.Sprintf(format, args...)} }
	dir := func(name string) tar.Header {
		return tar.Header{Name: strings.TrimSuffix(name, "/") + "/", Typeflag: tar.TypeDir, Mode: 0o755}
	}
	type headers = []tar.Header
	for _, c := range []struct {
		name   string
		layers func(n int) []headers // extracted one after the other
		merged bool                  // the last is into what somebody else may change, too
	}{
		{"in turn below two chains", func(n int) []headers {
			var h headers
			for i := range entries * n {
				h = append(h, file("%s%d", chain(string("ab"[i%2]), n), i))
			}
			return []headers{h}
		}, false},
		{"in turn below twenty chains", func(n int) []headers {
			var h headers
			for i := range entries * n {
				h = append(h, file("%c/%s%d", 'a'+i%20, chain("c", n), i))
			}
			return []headers{h}
		}, false},
		{"paths longer than PATH_MAX", func(n int) []headers {
			var h headers
			for i := range entries * n {
				h = append(h, file("%s%d", chain(strings.Repeat(string("ab"[i%2]), 50), 1), i))
			}
			return []headers{h}
		}, false},
		{"hard links in turn", func(n int) []headers {
			h := headers{file("%sf", chain("a", n)), file("%sf", chain("b", n))}
			for i := range entries * n {
				h = append(h, tar.Header{Name: fmt.Sprintf("%s%d", chain("c", n), i), Typeflag: tar.TypeLink, Linkname: chain(string("ab"[i%2]), n) + "f"})
			}
			return []headers{h}
		}, false},
		{"merged, in turn below two chains", func(n int) []headers {
			h := headers{file("%sf", chain("a", n)), file("%sf", chain("b", n))}
			var second headers
			for i := range entries * n {
				second = append(second, file("%s%d", chain(string("ab"[i%2]), n), i))
			}
			return []headers{h, second}
		}, true},
		{"below a link to a chain", func(n int) []headers {
			h := headers{file("%sf", chain("a", n)), {Name: "l", Typeflag: tar.TypeSymlink, Linkname: chain("a", n)}}
			for i := range entries * n {
				h = append(h, file("l/%d", i))
			}
			return []headers{h}
		}, false},
		{"below links in turn", func(n int) []headers {
			h := headers{file("%sf", chain("a", n)), {Name: "l1", Typeflag: tar.TypeSymlink, Linkname: "/l2"}, {Name: "l2", Typeflag: tar.TypeSymlink, Linkname: chain("a", n)},
				file("%sf", chain("b", n)), {Name: chain("b", n) + "up", Typeflag: tar.TypeSymlink, Linkname: "/l1"}}
			for i := range entries * n {
				h = append(h, file("l%d/%d", i%2+1, i), file("%sup/u%d", chain("b", n), i))
			}
			return []headers{h}
		}, false},
		{"one opaque folder", func(n int) []headers {
			var h headers
			for i := range entries * n {
				h = append(h, file("d/%d", i))
			}
			for range entries * n {
				h = append(h, file("d/.wh..wh..opq"))
			}
			return []headers{{dir("d"), file("d/low")}, h}
		}, true},
		{"opaque folders upwards and downwards", func(n int) []headers {
			h := headers{}
			for i := range entries * n {
				h = append(h, file("%s%d", chain("a", n), i))
			}
			all := chain("a", n)
			for i := len(all); i > 0; i -= 2 {
				h = append(h, file("%s.wh..wh..opq", all[:i]))
			}
			for i := 0; i < len(all); i += 2 {
				h = append(h, file("%s.wh.a", all[:i]))
			}
			return []headers{{file("%slow", all)}, h}
		}, true},
		{"whiteouts of names upwards", func(n int) []headers {
			h := headers{}
			for i := range entries * n {
				h = append(h, file("%s%d", chain("a", n), i))
			}
			all := chain("a", n)
			for i := len(all) - 2; i >= 0; i -= 2 {
				h = append(h, dir(all[:i+2]), file("%s.wh.a", all[:i]))
			}
			return []headers{{file("%slow", all)}, h}
		}, true},
		{"whiteouts of a folder that stays", func(n int) []headers {
			var low, h headers
			h = append(h, dir("d"))
			for i := range entries * n {
				low, h = append(low, file("d/low%d/x", i)), append(h, file("d/%d", i))
			}
			for range entries * n {
				h = append(h, file(".wh.d"), file("d/.wh.low1"))
			}
			return []headers{low, h}
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var steps [2]int64
			for n := 1; n <= 2; n++ {
				// ext4 and others number the generations of inodes, tmpfs does not.
				target, err := OpenTarget(filepath.Join(t.TempDir(), "root"))
				if err != nil {
					t.Fatal(err)
				}
				defer target.Close()
				r := target.Root()
				r.known.start(false)
				_, generations := r.known.identify(r.fd)
				if c.merged && !generations {
					t.Skip("this file system has no generations of inodes")
				}
				for _, h := range c.layers(n) {
					r.known.steps = 0
					if _, err := r.Extract(bytes.NewReader(build(t, "", h...)), Options{Layer: true}); err != nil {
						t.Fatal(err)
					}
				}
				steps[n-1] = r.known.steps
				r.known.steps = 0
				if _, err := target.Abort(); err != nil {
					t.Fatal(err)
				}
				if least := int64(depth * n); generations && r.known.steps > 8*(steps[n-1]+least) {
					t.Errorf("to remove it takes %d steps", r.known.steps)
				}
			}
			t.Logf("steps: %d, %d", steps[0], steps[1])
			if steps[1]*2 > steps[0]*5 {
				t.Errorf("twice the input is %d steps, and not about twice %d", steps[1], steps[0])
			}
		})
	}
}

// A layer's whiteouts and a removal work with few descriptors, however deep the
// tree is.
func TestRemovalNeedsFewDescriptors(t *testing.T) {
	dir := t.TempDir()
	target, err := OpenTarget(filepath.Join(dir, "root"))
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	deep := strings.Repeat("d/", 1000)
	low := build(t, "", tar.Header{Name: deep + "low"}, tar.Header{Name: "d/low"}, tar.Header{Name: deep[:1000] + "low"})
	layer := build(t, "", tar.Header{Name: deep + "new"}, tar.Header{Name: "d/.wh..wh..opq"}, tar.Header{Name: ".wh.d"})
	if _, err := target.Root().Extract(bytes.NewReader(low), Options{Layer: true}); err != nil {
		t.Fatal(err)
	}
	next, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	few := was
	few.Cur = uint64(next.Fd()) + 1 + 20
	next.Close()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	_, err = target.Root().Extract(bytes.NewReader(layer), Options{Layer: true})
	var aborted error
	grown := filepath.Join(target.Path(), deep[:200])
	left, _ := filepath.Glob(grown + "/*")
	if err == nil {
		_, aborted = target.Abort()
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	if err != nil || aborted != nil {
		t.Error(err, aborted)
	}
	if len(left) != 1 {
		t.Errorf("at %d levels there is %q", 100, left)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// A folder that is remembered by its number is forgotten when it is removed: the
// next one may have its number, and stand where a link leads.
func TestRemovedFoldersAreForgotten(t *testing.T) {
	s := newSandbox(t)
	deep := strings.Repeat("d/", 10)
	makeTree(t, s.root, deep+"empty/", deep+"full/x=1", deep+"z/c/")
	r, err := OpenRoot(s.root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	r.known.start(true)
	for _, name := range []string{"empty", "full", "z/c"} {
		d := r.dirs()
		if _, _, err := d.enter([]byte(deep + name)); err != nil {
			t.Fatal(err)
		}
		d.close()
	}
	if len(r.known.ids) < 5 {
		t.Fatalf("%d folders are remembered", len(r.known.ids))
	}
	if err := r.RemoveNames("d"); err != nil || len(r.known.ids) > 0 {
		t.Errorf("%d removed folders are remembered (%v)", len(r.known.ids), err)
	}
}

// A path that leads to another folder by now, through a link or not, is gone
// component by component, and the link is an error.
func TestRememberedPathOfAnother(t *testing.T) {
	s := newSandbox(t)
	deep := strings.Repeat("d/", 12)
	makeTree(t, s.root, deep+"x=1", "other/"+deep[2:])
	r, err := OpenRoot(s.root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	r.known.start(true)
	enter := func() error {
		d := r.dirs()
		defer d.close()
		_, _, err := d.enter([]byte(strings.TrimSuffix(deep, "/")))
		return err
	}
	if err := enter(); err != nil {
		t.Fatal(err)
	}
	before := r.known.steps
	if err := enter(); err != nil || r.known.steps != before+1 {
		t.Errorf("to come back takes %d steps (%v)", r.known.steps-before, err)
	}
	if err := os.Rename(filepath.Join(s.root, "d"), filepath.Join(s.root, "was")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("other", filepath.Join(s.root, "d")); err != nil {
		t.Fatal(err)
	}
	if err := enter(); !isNotDir(err) {
		t.Errorf("through a link: %v", err)
	}
}
