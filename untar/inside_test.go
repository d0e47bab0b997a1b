package untar

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// archiveOf returns an archive with these names. "NAME/" is a directory, "NAME>TARGET" a symbolic
// link, "NAME=TARGET" a hard link, "NAME*N" a file of N bytes, and NAME a file with its name as
// content.
func archiveOf(t testing.TB, names string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range strings.Fields(names) {
		h := tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Uid: os.Geteuid(), Gid: os.Getegid()}
		content := []byte(name)
		if base, target, ok := strings.Cut(name, ">"); ok {
			h.Name, h.Linkname, h.Typeflag, content = base, target, tar.TypeSymlink, nil
		} else if base, target, ok := strings.Cut(name, "="); ok {
			h.Name, h.Linkname, h.Typeflag, content = base, target, tar.TypeLink, nil
		} else if strings.HasSuffix(name, "/") {
			h.Typeflag, h.Mode, content = tar.TypeDir, 0o750, nil
		} else if base, size, ok := strings.Cut(name, "*"); ok {
			n := 0
			fmt.Sscan(size, &n)
			h.Name, content = base, make([]byte, n)
		}
		h.Size = int64(len(content))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		w.Write(content)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// extractNames extracts an archive and returns the names of the files.
func extractNames(t testing.TB, archive []byte, opt Options) (string, *Report, error) {
	t.Helper()
	s := &sandbox{root: t.TempDir()}
	r, err := OpenRoot(s.root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	rep, err := r.Extract(bytes.NewReader(archive), opt)
	if err == nil { // what was extracted is what a comparison expects
		cmp := CompareOptions{Options: opt}
		if cmp.Each = nil; os.Geteuid() != 0 {
			cmp.Metadata.Privilege = User // the owners of the archive were not set
		}
		c, err := r.Compare(context.Background(), bytes.NewReader(archive), &cmp)
		if err != nil || len(c.Differences) > 0 {
			t.Errorf("the comparison says %v, %+v", err, c)
		}
	}
	return strings.Join(s.tree(t), " "), rep, err
}

func TestInside(t *testing.T) {
	for _, c := range []struct{ archive, inside, want, wrong string }{
		{"metadata.yaml templates/ templates/x rootfs/ rootfs/etc/ rootfs/etc/f rootfs/f=rootfs/etc/f", "rootfs", "etc/ etc/f f", ""},
		{"./ ./rootfs/ ./rootfs/etc/ ./rootfs/etc/f ./rootfsx", "rootfs", "etc/ etc/f", ""},
		{"rootfs/etc/f", "./rootfs/", "etc/ etc/f", ""},
		{"a/b/ a/b/c/ a/b/c/d a/x", "a/b", "c/ c/d", ""},
		{"a/b", "", "a/ a/b", ""}, {"a/b", ".", "a/ a/b", ""},
		{"a/b", "c", "", `"c" is not in the archive`},
		{"rootfs", "rootfs", "", "not a directory"},
		{"rootfs>x", "rootfs", "", "not a directory"},
		{"x rootfs/ rootfs/f=x", "rootfs", "", "target of the hard link is not in the archive"},
		{"rootfs/ rootfs/f=rootfs", "rootfs", "", "hard link to the root"},
		{"rootfs/ rootfs/../x", "rootfs", "", `name with ".."`},
		{"rootfs/f", "a/../b", "", `name with ".."`},
	} {
		got, _, err := extractNames(t, archiveOf(t, c.archive), Options{Strict: true, Filter: Filter{Inside: c.inside}})
		if c.wrong == "" && (err != nil || got != c.want) || c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
			t.Errorf("%q inside %q: %q, %v", c.archive, c.inside, got, err)
		}
	}
}

// The directory becomes the root with its mode, and the lists of the filter begin below it.
func TestInsideRoot(t *testing.T) {
	dir := t.TempDir()
	r, err := OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var seen []string
	opt := Options{Filter: Filter{Inside: "rootfs", Exclude: []string{"./dev/*"}}, Each: func(e *Entry) { seen = append(seen, string(e.Name)) }}
	if _, err := r.Extract(bytes.NewReader(archiveOf(t, "./ ./rootfs/ ./rootfs/dev/ ./rootfs/dev/null ./rootfs/f")), opt); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o750 {
		t.Error(st.Mode(), err)
	}
	if got := strings.Join(seen, " "); got != "./ ./dev/ ./f" {
		t.Errorf("%q", got)
	}
}

func TestTop(t *testing.T) {
	many := func(format string) string {
		var s strings.Builder
		for i := range maxLooked {
			fmt.Fprintf(&s, format, i)
		}
		return s.String()
	}
	for _, c := range []struct{ archive, top, want, wrong string }{
		{"root.x86_64/ root.x86_64/bin>usr/bin root.x86_64/etc/ root.x86_64/etc/f pkglist.x86_64.txt version", "root.x86_64", "bin etc/ etc/f", ""},
		{"pkglist.x86_64.txt version root.x86_64/ root.x86_64/etc/ root.x86_64/etc/f root.x86_64/f=root.x86_64/etc/f", "root.x86_64", "etc/ etc/f f", ""},
		{"rootfs/bin/sh", "rootfs", "bin/ bin/sh", ""},
		{"./ ./alpine-minirootfs/ ./alpine-minirootfs/bin/ ./alpine-minirootfs/bin/sh ./alpine-minirootfs/x", "alpine-minirootfs", "bin/ bin/sh x", ""},
		{"README debian/ debian/bin>usr/bin debian/boot/ debian/etc/", "debian", "bin boot/ etc/", ""},
		{"alpine/ alpine/bin/ alpine/bin/sh alpine/dev/ alpine/etc/ alpine/etc/f", "alpine", "bin/ bin/sh dev/ etc/ etc/f", ""},
		{"x/ x/etc/ x/etc/f y", "x", "etc/ etc/f", ""}, // the whole archive is known
		{"x/y x/etc/", "x", "etc/ y", ""},
		{"x/usr/ y/f z", "x", "usr/", ""},
		{"x/ x/usr/ x/x/ x/x/etc/", "x", "usr/ x/ x/etc/", ""},
		{"Rootfs/etc/f etc/f", "", "", `"etc" is beside "Rootfs"`},
		{"rootfs/usr/ usr>x", "", "", `"usr" is beside "rootfs"`},
		{"rootfs/usr/ init lib", "rootfs", "usr/", ""}, // files named like a directory of a root file system may lie beside it
		{"rootfs/usr/ rootfs/f=x", "", "", "target of the hard link is not in the archive"},
		// These archives have no such directory.
		{"./ ./app/ ./app/bin/ ./app/bin/app ./app/lib/ ./app/tmp/ ./bin/ ./bin/sh", "", "app/ app/bin/ app/bin/app app/lib/ app/tmp/ bin/ bin/sh", ""},
		{".dockerenv app/bin/x bin/sh", "", ".dockerenv app/ app/bin/ app/bin/x bin/ bin/sh", ""},
		{"a/etc/f b/etc/f c", "", "a/ a/etc/ a/etc/f b/ b/etc/ b/etc/f c", ""},
		{"etc/f rootfs/usr/", "", "etc/ etc/f rootfs/ rootfs/usr/", ""},
		{"a b/c d/", "", "a b/ b/c d/", ""},
		{"nix/ nix/store/ nix/store/a etc/", "", "etc/ nix/ nix/store/ nix/store/a", ""},
		{"usr/bin/x usr/etc/y", "", "usr/ usr/bin/ usr/bin/x usr/etc/ usr/etc/y", ""},
		{"x/bin/big*2097152 x/usr/", "", "x/ x/bin/ x/bin/big x/usr/", ""},
		{"x/bin/big*2096640 x/usr/", "", "x/ x/bin/ x/bin/big x/usr/", ""}, // its header is behind what is looked at
		{"x/bin/half*1048576 x/bin/half2*1000000 x/usr/", "x", "bin/ bin/half bin/half2 usr/", ""},
	} {
		got, rep, err := extractNames(t, archiveOf(t, c.archive), Options{Strict: true, Filter: Filter{Top: true}})
		switch {
		case c.wrong != "":
			if err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%q: %q, %v", c.archive, got, err)
			}
		case err != nil || got != c.want || rep.Top != c.top:
			t.Errorf("%q: top %q, %q, %v, want %q, %q", c.archive, rep.Top, got, err, c.top, c.want)
		}
	}
	if _, rep, err := extractNames(t, archiveOf(t, "x/ "+many("x/bin/%d>busybox ")+"x/usr/"), Options{Filter: Filter{Top: true}}); err != nil || rep.Top != "" {
		t.Errorf("%q, %v", rep.Top, err)
	}
	// The notes count what is beside the directory, and the limits too.
	_, rep, err := extractNames(t, archiveOf(t, "version rootfs/usr/ README"), Options{Filter: Filter{Top: true}})
	if err != nil || rep.Summary() != `2 files not extracted: not below "rootfs"` || rep.Entries != 3 {
		t.Errorf("%+v, %v", rep, err)
	}
	if _, _, err := extractNames(t, archiveOf(t, "rootfs/usr/ a b c d"), Options{Limits: Limits{Entries: 4}, Filter: Filter{Top: true}}); !errors.Is(err, errTooMany) {
		t.Error(err)
	}
	var bad *FormatError
	if _, _, err := extractNames(t, archiveOf(t, "a rootfs/usr/")[:1000], Options{Filter: Filter{Top: true}}); !errors.As(err, &bad) {
		t.Error(err)
	}
}

// Top applies to a directory that is copied as well, and a file with two names stays one.
func TestCopyTop(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	must(t, os.MkdirAll(filepath.Join(from, "image/usr/bin"), 0o755), os.WriteFile(filepath.Join(from, "image/usr/bin/a"), []byte("a"), 0o644),
		os.Link(filepath.Join(from, "image/usr/bin/a"), filepath.Join(from, "image/usr/b")), os.WriteFile(filepath.Join(from, "note"), []byte("b"), 0o644))
	rep, err := copyTree(t, from, to, Options{Strict: true, Filter: Filter{Top: true}})
	if err != nil || rep.Top != "image" || rep.Summary() != `1 file not extracted: not below "image"` {
		t.Fatalf("%+v, %v", rep, err)
	}
	wantSameTree(t, filepath.Join(from, "image"), to)
}

// FuzzTop: without a recognized directory the entries are those without Filter.Top; with one they
// are those of Filter.Inside with that directory.
func FuzzTop(f *testing.F) {
	for _, names := range []string{"version rootfs/ rootfs/bin/sh README", "x/bin/a x/bin/b=x/bin/a x/usr/", "a/etc/f b/etc/f", "app/bin/x bin/sh", "./ ./x/ ./x/etc/ ./x/f ./x/g=./x/f"} {
		f.Add(archiveOf(f, names))
	}
	addSeeds(f)
	f.Fuzz(func(t *testing.T, archive []byte) {
		if len(archive) > maxFuzzArchive {
			return
		}
		archive = fixChecksums(archive)
		list := func(filter Filter) (string, *Report, error) {
			x := &extractor{opt: Options{Filter: filter}}
			tar := x.opt.Filter.recognizeIn(bytes.NewReader(archive))
			var err error
			if x.selection, err = newSelection(&x.opt); err != nil {
				t.Fatal(err)
			}
			in, err := x.within(newStream(tar, false, true))
			if err != nil {
				return "", &x.rep, nil
			}
			var all strings.Builder
			for {
				e, err := in.next()
				if err == io.EOF {
					return all.String(), &x.rep, nil
				}
				if err != nil {
					return all.String(), &x.rep, err
				}
				fmt.Fprintf(&all, "%c %q %q %o %d:%d %d %d", e.Type, e.Name, e.Link, e.Mode, e.UID, e.GID, e.Sec, e.Size)
				sum := 0
				for n := int64(0); e.Type == TypeFile; {
					b, err := in.chunk(bufferSize)
					if n += int64(len(b)); err != nil || n > e.stored {
						fmt.Fprintf(&all, " %d %d", n, sum)
						break
					}
					for _, c := range b {
						sum = sum*31 + int(c)
					}
				}
				all.WriteString("\n")
			}
		}
		got, rep, err := list(Filter{Top: true})
		want, _, wantErr := list(Filter{Inside: rep.Top})
		if got == want && (err == nil) == (wantErr == nil) {
			return
		}
		if err == nil || rep.Top == "" || !strings.HasPrefix(want, got) {
			t.Fatalf("with Top, which is %q:\n%s%v\nwith Inside:\n%s%v", rep.Top, got, err, want, wantErr)
		}
	})
}
