package untar

import (
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

// squashfsImage returns one of the images of package squashfs.
func squashfsImage(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("squashfs/testdata/" + name + ".sqfs")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// extractSquashfs extracts an image below a new directory.
func extractSquashfs(t *testing.T, image []byte, opt Options) (*Root, *Report, error) {
	t.Helper()
	dir := t.TempDir()
	r, err := OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	opt.Metadata.Privilege = User
	report, err := r.ExtractSquashfs(bytes.NewReader(image), int64(len(image)), opt)
	return r, report, err
}

func TestExtractSquashfs(t *testing.T) {
	image := squashfsImage(t, "zstd")
	r, report, err := extractSquashfs(t, image, Options{Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(15190 + 5 + 9000 + 4096); report.Bytes != want || report.Entries != 20 {
		t.Errorf("%d bytes in %d entries, want %d in 20", report.Bytes, report.Entries, want)
	}
	if s := report.Summary(); !strings.Contains(s, "1 socket skipped") {
		t.Errorf("no note of the socket: %s", s)
	}
	if b, err := r.ReadFile("etc/hostname", 100); err != nil || string(b) != "host\n" {
		t.Errorf("etc/hostname: %q, %v", b, err)
	}
	one, err1 := os.Stat(filepath.Join(r.path, "etc/hostname"))
	two, err2 := os.Stat(filepath.Join(r.path, "etc/deep/er/hard"))
	if err1 != nil || err2 != nil || !os.SameFile(one, two) {
		t.Error("etc/hostname and etc/deep/er/hard are two files")
	}
	if link, err := os.Readlink(filepath.Join(r.path, "etc/zlink")); err != nil || link != "hostname" {
		t.Errorf("etc/zlink: %q, %v", link, err)
	}
	if info, err := os.Stat(filepath.Join(r.path, "etc/holes")); err != nil || info.Size() != 50000 {
		t.Errorf("etc/holes: %v, %v", info, err)
	}

	// The tree is as in the image, until it is changed.
	compare := func() string {
		t.Helper()
		opt := &CompareOptions{Options: Options{Metadata: Metadata{Privilege: User}}, NoDevices: true}
		c, err := r.CompareSquashfs(context.Background(), bytes.NewReader(image), int64(len(image)), opt)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, d := range c.Differences {
			fmt.Fprintf(&b, "%s %d;", d.Path, d.Fate)
		}
		return b.String()
	}
	// Of another owner's file the setuid bit is dropped.
	if got := compare(); got != "" {
		t.Errorf("differences: %s", got)
	}
	if err := os.WriteFile(filepath.Join(r.path, "etc/sparse"), make([]byte, 60000), 0o644); err != nil {
		t.Fatal(err)
	}
	os.Remove(filepath.Join(r.path, "etc/noise"))
	os.WriteFile(filepath.Join(r.path, "new"), nil, 0o644)
	if got, want := compare(), "etc/noise 1;etc/sparse 0;new 2;"; got != want {
		t.Errorf("differences: %s, want %s", got, want)
	}
}

// The options mean what they mean for an archive.
func TestSquashfsOptions(t *testing.T) {
	image := squashfsImage(t, "gzip")
	for _, test := range []struct {
		opt  Options
		want string // the files that are not directories
		err  error
	}{
		{opt: Options{Filter: Filter{Exclude: []string{"./etc", "dev/*"}}}},
		{opt: Options{Filter: Filter{Members: []string{"etc/deep", "etc/zero"}}}, want: "etc/deep/er/hard etc/zero "},
		{opt: Options{Filter: Filter{Members: []string{"etc/deep"}, Strip: 2}}, want: "deep/er/hard "},
		{opt: Options{Filter: Filter{Members: []string{"no"}}}, err: &MissingError{"no"}},
		{opt: Options{Limits: Limits{Bytes: 20000}}, err: ErrTooBig},
		{opt: Options{Limits: Limits{Entries: 5}}, err: errTooMany},
	} {
		r, _, err := extractSquashfs(t, image, test.opt)
		if test.err != nil {
			if !errors.Is(err, test.err) && (err == nil || err.Error() != test.err.Error()) {
				t.Errorf("%+v: %v, want %v", test.opt, err, test.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%+v: %v", test.opt, err)
		}
		var got strings.Builder
		filepath.WalkDir(r.path, func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				got.WriteString(strings.TrimPrefix(path, r.path+"/") + " ")
			}
			return err
		})
		if got.String() != test.want {
			t.Errorf("%+v: %q, want %q", test.opt, got.String(), test.want)
		}
	}
}

// All images are walked to the same names and contents.
func TestWalkSquashfs(t *testing.T) {
	var first string
	for _, name := range []string{"gzip", "lzma", "xz", "lz4", "zstd", "stored"} {
		image := squashfsImage(t, name)
		var b strings.Builder
		err := Options{}.WalkSquashfs(bytes.NewReader(image), int64(len(image)), func(e *Entry, body io.Reader) error {
			text, err := io.ReadAll(body)
			if e.Type == TypeFile && int64(len(text)) != e.Size || e.Type != TypeFile && len(text) > 0 {
				t.Errorf("%s: %q has %d bytes, want %d", name, e.Name, len(text), e.Size)
			}
			fmt.Fprintf(&b, "%c %s %s %x\n", e.Type, e.Name, e.Link, text)
			return err
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if first == "" {
			first = b.String()
		}
		if b.String() != first {
			t.Errorf("%s differs", name)
		}
	}
	if !strings.HasPrefix(first, "5 ./  \n5 ./dev/  \n") || !strings.Contains(first, "\n1 ./etc/hostname ./etc/deep/er/hard \n") {
		t.Errorf("%.200s", first)
	}
	var bad *FormatError
	image := squashfsImage(t, "lzo")
	if err := (Options{}).WalkSquashfs(bytes.NewReader(image), int64(len(image)), nil); !errors.As(err, &bad) || !strings.Contains(err.Error(), "lzo") {
		t.Errorf("lzo: %v", err)
	}
}

// FuzzExtractSquashfs extracts its input and checks that nothing outside of the root changes, and
// that no more content is written than allowed.
func FuzzExtractSquashfs(f *testing.F) {
	for _, name := range []string{"gzip", "lzma", "xz", "lz4", "zstd"} {
		f.Add(squashfsImage(f, name))
	}
	base := f.TempDir()
	f.Fuzz(func(t *testing.T, image []byte) {
		if len(image) > 16<<10 {
			return
		}
		dir, err := os.MkdirTemp(base, "")
		if err != nil {
			t.Fatal(err)
		}
		s := &sandbox{dir: dir, root: filepath.Join(dir, "root")}
		makeTree(t, dir, "root/", "victim/hello=hello\n")
		s.before = s.outside(t)
		r, err := OpenRoot(s.root)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		opt := Options{Strict: true, Limits: Limits{Bytes: 1 << 20, Entries: 1000}}
		report, _ := r.ExtractSquashfs(bytes.NewReader(image), int64(len(image)), opt)
		if report.Bytes > opt.Limits.Bytes {
			t.Fatalf("%d bytes were written", report.Bytes)
		}
		s.check(t)
		if err := r.RemoveContents(); err != nil {
			t.Fatal(err)
		}
		s.check(t)
		os.RemoveAll(dir)
	})
}
