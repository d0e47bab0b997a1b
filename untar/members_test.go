package untar

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// list returns the members of an archive, "NAME=CONTENT" each.
func list(archive []byte, most int) ([]string, error) {
	files, err := Members(bytes.NewReader(archive), int64(len(archive)), most)
	var lines []string
	for _, f := range files {
		lines = append(lines, f.Name+"="+string(archive[f.Offset:f.Offset+f.Size]))
	}
	return lines, err
}

func TestMembers(t *testing.T) {
	file := func(name string) tar.Header { return tar.Header{Name: name} }
	link := func(name, to string) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to}
	}
	hard := func(name, to string) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: to}
	}
	long := strings.Repeat("long/", 60) + "x"
	for _, c := range []struct {
		name    string
		headers []tar.Header
		want    string
	}{
		{"names are cleaned", []tar.Header{file("./a"), {Name: "d/", Typeflag: tar.TypeDir}, file("d//./b"), file("/c")}, "a d/b c"},
		{"docker save's links", []tar.Header{file("1/layer.tar"), link("2/layer.tar", "../1/layer.tar"), link("l/../x", "y")}, ""},
		{"a link to a file", []tar.Header{file("1/layer.tar"), link("2/layer.tar", "../1/layer.tar")}, "1/layer.tar 2/layer.tar"},
		{"a link to a later file", []tar.Header{link("2/layer.tar", "../1/layer.tar"), file("1/layer.tar")}, "2/layer.tar 1/layer.tar"},
		{"a chain of links", []tar.Header{link("a", "b"), link("b", "./c"), file("c")}, "a b c"},
		{"links that lead to nothing", []tar.Header{link("a", "b"), link("b", "a"), link("c", "../c"), link("d", "/e"), link("f", "."), file("e")}, "e"},
		{"hard links", []tar.Header{file("a"), hard("d/b", "a"), hard("c", "./d/b")}, "a d/b c"},
		{"a hard link to a link", []tar.Header{file("d/a"), link("d/b", "a"), hard("c", "d/b")}, "d/a d/b c"},
		{"a hard link to nothing", []tar.Header{hard("b", "a"), file("a")}, ""},
		{"a hard link to a directory", []tar.Header{{Name: "d/", Typeflag: tar.TypeDir}, hard("b", "d")}, ""},
		{"other types", []tar.Header{{Name: "p", Typeflag: tar.TypeFifo}, file("a")}, "a"},
		{"a directory in the place of a file", []tar.Header{file("a"), {Name: "a/", Typeflag: tar.TypeDir}, file("b")}, "b"},
		{"a file in the place of a link", []tar.Header{file("x"), link("a", "x"), file("a")}, "x a"},
		{"long names", []tar.Header{file(long)}, long},
		{"names with ..", []tar.Header{file("a/../b")}, ""},
	} {
		got, err := list(build(t, "x", c.headers...), 100)
		if c.want == "" {
			if err == nil {
				t.Errorf("%s: accepted", c.name)
			}
			continue
		}
		if got, want := strings.Join(got, " "), strings.ReplaceAll(c.want, " ", "=x ")+"=x"; err != nil || got != want {
			t.Errorf("%s: %q (%v), want %q", c.name, got, err, want)
		}
	}
}

// TestMembersLastCounts checks that of several entries with one name the last counts, and that
// a hard link keeps the file that its target was then.
func TestMembersLastCounts(t *testing.T) {
	first := build(t, "first", tar.Header{Name: "a"}, tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "a"})
	archive := append(first[:len(first)-2*blockSize], build(t, "second", tar.Header{Name: "a"})...)
	if got, err := list(archive, 3); err != nil || !slices.Equal(got, []string{"a=second", "h=first"}) {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := list(archive, 2); !errors.Is(err, errTooMany) {
		t.Errorf("three entries where two are allowed: %v", err)
	}
}

func TestMembersRefusesDamage(t *testing.T) {
	archive := build(t, strings.Repeat("content", 100), tar.Header{Name: "a"})
	for n := range len(archive) - 2*blockSize {
		if _, err := list(archive[:n], 10); err == nil {
			t.Fatalf("the first %d of %d bytes are accepted", n, len(archive))
		}
	}
	var bad *FormatError
	if _, err := list([]byte("no archive"), 10); !errors.As(err, &bad) {
		t.Errorf("no archive: %v", err)
	}
	huge := AppendHeader(nil, "huge", math.MaxInt64)
	if _, err := list(huge, 10); !errors.Is(err, errTruncated) {
		t.Errorf("a file of 8 EiB: %v", err)
	}
	var many []byte
	name := strings.Repeat("n", 200)
	for i := range maxMemberNames/200 + 1 {
		h := build(t, "", tar.Header{Name: fmt.Sprint(name, i)})
		many = append(many, h[:len(h)-2*blockSize]...)
		if i == 0 && len(many) > 4*blockSize {
			t.Fatal("a header is larger than expected")
		}
	}
	if _, err := list(many, math.MaxInt); !errors.Is(err, errTooMany) {
		t.Errorf("too many names: %v", err)
	}
	sparse := 0
	for _, c := range readCases(t) {
		if _, err := list(c.archive, 1000); errors.Is(err, errSparseMember) {
			sparse++
		}
	}
	if sparse == 0 {
		t.Error("no sparse file is refused")
	}
}

func TestAppendHeader(t *testing.T) {
	for _, c := range []struct {
		name string
		size int64
	}{{"oci-layout", 0}, {"blobs/", 0}, {strings.Repeat("n", 100), 1}, {"8GiB-1", 1<<33 - 1}, {"8GiB", 1 << 33}, {"most", math.MaxInt64}} {
		b := AppendHeader([]byte("before"), c.name, c.size)
		h, err := tar.NewReader(bytes.NewReader(b[len("before"):])).Next()
		if err != nil || h.Name != c.name || h.Size != c.size || h.FileInfo().IsDir() != strings.HasSuffix(c.name, "/") || len(b) != len("before")+blockSize {
			t.Errorf("%s: %+v, %v", c.name, h, err)
		}
		if h != nil && h.Mode != 0o644 && h.Mode != 0o755 {
			t.Errorf("%s: mode %o", c.name, h.Mode)
		}
	}
}

// FuzzMembers compares Members with the stream that reads the whole archive: the same files are
// at the same places.
func FuzzMembers(f *testing.F) {
	addSeeds(f)
	f.Add(build(f, "x", tar.Header{Name: "1/layer.tar"}, tar.Header{Name: "2/layer.tar", Typeflag: tar.TypeSymlink, Linkname: "../1/layer.tar"},
		tar.Header{Name: "3", Typeflag: tar.TypeLink, Linkname: "2/layer.tar"}))
	f.Fuzz(func(t *testing.T, archive []byte) {
		if len(archive) > maxFuzzArchive {
			return
		}
		archive = fixChecksums(archive)
		files, err := Members(bytes.NewReader(archive), int64(len(archive)), 100)
		content := map[string]string{} // of the regular files whose last entry is one
		link := false
		s := newStream(bytes.NewReader(archive), true, true)
		var e *Entry
		var serr error
		for {
			if e, serr = s.next(); serr != nil {
				break
			}
			name, nerr := cleanName(nil, e.Name)
			if nerr != nil {
				serr = nerr
				break
			}
			delete(content, string(name))
			link = link || e.Type == TypeSymlink || e.Type == TypeLink
			if e.Type == TypeFile && !e.Sparse {
				data, rerr := io.ReadAll(&bodyReader{s: s, e: e})
				if serr = rerr; serr != nil {
					break
				}
				content[string(name)] = string(data)
			}
		}
		if err != nil {
			return // Members may refuse more
		}
		if serr != io.EOF {
			t.Fatalf("Members accepts it, the stream says %v", serr)
		}
		for _, m := range files {
			if m.Offset < 0 || m.Size < 0 || m.Offset+m.Size > int64(len(archive)) {
				t.Fatalf("%+v is outside of the archive", m)
			}
			if want, ok := content[m.Name]; ok && want != string(archive[m.Offset:m.Offset+m.Size]) || !ok && !link {
				t.Fatalf("%q is %q, in the stream %q", m.Name, archive[m.Offset:m.Offset+m.Size], want)
			}
			delete(content, m.Name)
		}
		if len(content) > 0 {
			t.Fatalf("Members lacks %q", content)
		}
	})
}

// gnuTar runs GNU tar, and skips the test where there is none.
func gnuTar(t *testing.T, stdin []byte, args ...string) string {
	t.Helper()
	version, err := exec.Command("tar", "--version").Output()
	if err != nil || !bytes.Contains(version, []byte("GNU tar")) {
		t.Skip("GNU tar, with which the result is compared, is not installed")
	}
	cmd := exec.Command("tar", args...)
	cmd.Stdin = bytes.NewReader(stdin)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tar %q: %v", args, err)
	}
	return string(out)
}

// TestMembersLikeTar compares Members with the list and the content that GNU tar has for
// archives of its own.
func TestMembersLikeTar(t *testing.T) {
	for _, format := range []string{"ustar", "gnu", "posix", "v7", "oldgnu"} {
		dir := t.TempDir()
		makeTree(t, dir, "index.json={}", "oci-layout=", "blobs/sha256/aa=one", "blobs/sha256/bb="+strings.Repeat("two", 500), "sp ace=3", "1/layer.tar=layer", "2/layer.tar->../1/layer.tar")
		if format != "v7" {
			makeTree(t, dir, strings.Repeat("deep/", 22)+"file=4")
		}
		if err := os.Link(filepath.Join(dir, "index.json"), filepath.Join(dir, "same")); err != nil {
			t.Fatal(err)
		}
		archive := []byte(gnuTar(t, nil, "-C", dir, "--format="+format, "-cf", "-", "."))
		got, err := list(archive, 100)
		if err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		var want []string
		for line := range strings.Lines(gnuTar(t, archive, "-tvf", "-")) {
			_, name, _ := strings.Cut(line, " ./")
			name = strings.TrimSuffix(name, "\n")
			name, _, _ = strings.Cut(name, " link to ")
			name, _, link := strings.Cut(name, " -> ")
			if strings.HasSuffix(name, "/") || name == "" {
				continue
			}
			from := name
			if link {
				from = "1/layer.tar"
			}
			data, err := os.ReadFile(filepath.Join(dir, from))
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, name+"="+string(data))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, GNU tar has %q", format, got, want)
		}
	}
}

// TestTarReadsAppendHeader has GNU tar list and extract what AppendHeader writes.
func TestTarReadsAppendHeader(t *testing.T) {
	var b []byte
	b = AppendHeader(b, "blobs/", 0)
	name := "blobs/" + strings.Repeat("n", 94)
	b = append(AppendHeader(b, name, 5), "hello"...)
	b = append(b, make([]byte, 507+2*blockSize)...)
	if got, want := gnuTar(t, b, "-tf", "-"), "blobs/\n"+name+"\n"; got != want {
		t.Errorf("GNU tar lists %q, want %q", got, want)
	}
	if got := gnuTar(t, b, "-xOf", "-", name); got != "hello" {
		t.Errorf("GNU tar reads %q", got)
	}
	// A sparse file on the disk is enough for one of 9 GiB.
	big := filepath.Join(t.TempDir(), "big.tar")
	const size = 9<<30 + 1
	f, err := os.Create(big)
	if err == nil {
		_, err = f.Write(AppendHeader(nil, "big", size))
	}
	if err == nil {
		err = f.Truncate(blockSize + size + 511 + 2*blockSize)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Skipf("no file of 9 GiB with a hole can be made here: %v", err)
	}
	if got := gnuTar(t, nil, "-tvf", big); !strings.Contains(got, fmt.Sprint(int64(size))+" 1970-01-01") {
		t.Errorf("GNU tar lists %q", got)
	}
}
