package squashfs

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	stdadler "hash/adler32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/tree.txt")

// manifest reads an image and returns a line for each file. It stops after most files, or most
// bytes of content.
func manifest(image []byte, workers int, most int64) (string, error) {
	var b strings.Builder
	r, err := Open(bytes.NewReader(image), int64(len(image)), workers)
	if err != nil {
		return "", err
	}
	defer r.Close()
	left := most
	for left > 0 {
		f, err := r.Next()
		if err == io.EOF {
			return b.String(), nil
		}
		if err != nil {
			return b.String(), err
		}
		left -= 256 + f.Stored
		fmt.Fprintf(&b, "%d %04o %d:%d %d %d,%d %q %q %v", f.Type, f.Mode, f.UID, f.GID, f.Time, f.Device[0], f.Device[1], f.Path, f.Link, f.HardLink)
		if left > 0 && f.Type == TypeFile && !f.HardLink {
			line, err := content(r, f)
			b.WriteString(line)
			if err != nil {
				return b.String(), err
			}
		}
		if !f.HardLink {
			list, err := r.Xattrs()
			if err != nil {
				return b.String(), err
			}
			for i := range list {
				fmt.Fprintf(&b, " %s=%.20q", list[i].Name, list[i].Value)
			}
		}
		b.WriteByte('\n')
	}
	return b.String(), nil
}

// content returns the size, the extents and the digest of a file.
func content(r *Reader, f *File) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, " size=%d stored=%d", f.Size, f.Stored)
	sum, extents := int64(0), 0
	err := r.Extents(func(offset, length int64) bool {
		if length <= 0 || offset < 0 || offset+length > f.Size {
			panic(fmt.Sprintf("extent %d+%d of %d bytes", offset, length, f.Size))
		}
		if extents++; extents < 100 {
			fmt.Fprintf(&b, " %d+%d", offset, length)
		}
		sum += length
		return extents < 1000
	})
	if err != nil {
		return b.String(), err
	}
	if sum != f.Stored && extents < 1000 {
		panic("the extents have other bytes than are stored")
	}
	digest := sha256.New()
	sum = 0
	for {
		p, err := r.Chunk(3000)
		if err == io.EOF {
			break
		}
		if err != nil {
			return b.String(), err
		}
		if len(p) == 0 {
			panic("empty chunk")
		}
		sum += int64(len(p))
		digest.Write(p)
	}
	if sum != f.Stored {
		panic("other bytes than are stored")
	}
	fmt.Fprintf(&b, " %x", digest.Sum(nil)[:8])
	return b.String(), nil
}

// images returns the images in testdata, which mksquashfs 4.5.1 made of the same tree.
func images(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("testdata/*.sqfs")
	if err != nil || len(names) < 7 {
		t.Fatalf("%d images, %v", len(names), err)
	}
	all := map[string][]byte{}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(name), ".sqfs")] = b
	}
	return all
}

// Every compressor and every form of an image gives the tree of testdata/tree.txt, whose lines
// were compared with what unsquashfs makes (scripts/lab/e2e/squashfs does so with larger trees).
func TestImages(t *testing.T) {
	if *update {
		got, err := manifest(images(t)["gzip"], 1, 1<<20)
		if err == nil {
			err = os.WriteFile("testdata/tree.txt", []byte(got), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, image := range images(t) {
		for _, workers := range []int{1, 3} {
			got, err := manifest(image, workers, 1<<20)
			if name == "lzo" {
				if err == nil || !strings.Contains(err.Error(), "lzo is not supported") {
					t.Errorf("lzo: %v", err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			want, err := os.ReadFile("testdata/tree.txt")
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s, %d workers:\n%s\nwant\n%s", name, workers, got, want)
			}
		}
	}
}

// The content of files may be skipped, or read in part.
func TestSkippedContent(t *testing.T) {
	image := images(t)["gzip"]
	whole := map[string]string{}
	for round := range 20 {
		rng := rand.New(rand.NewPCG(uint64(round), 1))
		r, err := Open(bytes.NewReader(image), int64(len(image)), 2)
		if err != nil {
			t.Fatal(err)
		}
		for {
			f, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []byte
			for round == 0 || rng.IntN(3) > 0 {
				p, err := r.Chunk(1 + rng.Int64N(5000))
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, p...)
			}
			if round == 0 {
				whole[string(f.Path)] = string(got)
			} else if !strings.HasPrefix(whole[string(f.Path)], string(got)) {
				t.Fatalf("round %d: other content of %q", round, f.Path)
			}
		}
		r.Close()
	}
}

// Each damaged image gives an error, or the undamaged tree's content with at most other metadata;
// it never takes long.
func TestDamage(t *testing.T) {
	for name, image := range images(t) {
		step := 1
		if testing.Short() || len(image) > 10000 {
			step = 37
		}
		for at := 0; at < len(image); at += step {
			b := bytes.Clone(image)
			b[at] ^= 0xff
			manifest(b, 1, 1<<18)
			if at%16 == 0 {
				if _, err := manifest(image[:at], 1, 1<<18); err == nil {
					t.Errorf("%s: no error for %d bytes", name, at)
				}
			}
		}
	}
}

// A superblock with one bad field is refused for the right reason.
func TestSuperblock(t *testing.T) {
	good := images(t)["gzip"]
	for _, test := range []struct {
		at    int
		value uint64
		size  int
		want  string
	}{
		{0, 0x73717369, 4, "not a squashfs image"},
		{4, 0, 4, "tables"},
		{4, 1 << 25, 4, "more inodes than allowed"},
		{4, 3, 4, "bad inode number"},
		{12, 8192, 4, "bad block size"},
		{12, 0, 4, "bad block size"},
		{22, 13, 2, "bad block size"},
		{22, 65535, 2, "bad block size"},
		{20, 3, 2, "lzo is not supported"},
		{20, 7, 2, "unknown compressor"},
		{20, 0, 2, "unknown compressor"},
		{26, 0, 2, "tables"},
		{28, 3, 2, "not squashfs 4.0"},
		{30, 1, 2, "not squashfs 4.0"},
		{32, 1 << 40, 8, "metadata outside"},
		{32, 9000, 8, "metadata outside"},
		{40, 1 << 62, 8, "cut off"},
		{40, 95, 8, "tables"},
		{48, 0, 8, "tables"},
		{48, 1<<64 - 1, 8, "tables"},
		{56, 1, 8, "tables"},
		{64, 1<<64 - 1, 8, "tables"},
		{64, 95, 8, "tables"},
		{72, 96, 8, "tables"},
		{80, 96, 8, "tables"},
	} {
		b := bytes.Clone(good)
		var v [8]byte
		binary.LittleEndian.PutUint64(v[:], test.value)
		copy(b[test.at:test.at+test.size], v[:])
		_, err := manifest(b, 1, 1<<20)
		var bad *FormatError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%d at %d: %v, want %q", test.value, test.at, err, test.want)
		}
	}
	if ImageSize(good) != int64(len(good)) || ImageSize(good[:40]) != 0 || ImageSize(make([]byte, 100)) != 0 {
		t.Error("ImageSize")
	}
}

// An error of reading is not the image's fault.
func TestReadError(t *testing.T) {
	image := images(t)["stored"]
	want := errors.New("broken disk")
	for fail := int64(0); fail < int64(len(image)); fail += 101 {
		r, err := Open(&brokenReader{bytes.NewReader(image), fail, want}, int64(len(image)), 2)
		for err == nil {
			if _, err = r.Next(); err == nil {
				for err == nil {
					_, err = r.Chunk(1 << 20)
				}
				if err == io.EOF {
					err = nil
				}
			}
		}
		if r != nil {
			r.Close()
		}
		if err != want && err != io.EOF {
			t.Fatalf("at %d: %v", fail, err)
		}
	}
}

type brokenReader struct {
	io.ReaderAt
	at  int64
	err error
}

func (b *brokenReader) ReadAt(p []byte, off int64) (int, error) {
	if off <= b.at && b.at < off+int64(len(p)) {
		return 0, b.err
	}
	return b.ReaderAt.ReadAt(p, off)
}

func TestLZ4(t *testing.T) {
	for _, test := range []struct{ packed, want string }{
		{"\x00", ""},
		{"\x10a", "a"},
		{"\x10a\x01\x00\x00", "aaaaa"},
		{"\x20ab\x02\x00\x10c", "abababc"},
		{"\xf0\x00123456789012345", "123456789012345"},
		{"\x1fa\x01\x00\x02\x10b", "a" + strings.Repeat("a", 21) + "b"},
		{"", "!"},
		{"\x10", "!"},
		{"\xf0", "!"},
		{"\xf0\xff", "!"},
		{"\x10a\x01", "!"},
		{"\x10a\x00\x00\x00", "!"},
		{"\x10a\x02\x00\x00", "!"},
		{"\x10a\x01\x00", "!"}, // must end with bytes
		{"\x1fa\x01\x00\xff\xff\x10b", "!"},
		{"\xf0\x17" + strings.Repeat("x", 38), strings.Repeat("x", 38)},
		{"\xf0\x1a" + strings.Repeat("x", 41), "!"},
	} {
		var dst [40]byte
		n, err := decodeLZ4(dst[:], []byte(test.packed))
		if got := string(dst[:n]); err == nil && got != test.want || err != nil && test.want != "!" {
			t.Errorf("%q: %q, %v, want %q", test.packed, got, err, test.want)
		}
	}
}

func TestAdler32(t *testing.T) {
	b := make([]byte, 20000)
	for i := range b {
		b[i] = byte(255 - i%3)
	}
	for n := range b {
		if n < 10 || n%997 == 0 || n > 5550 && n < 5560 {
			if got, want := adler32(b[:n]), stdadler.Checksum(b[:n]); got != want {
				t.Fatalf("%d bytes: %x, want %x", n, got, want)
			}
		}
	}
}

// FuzzSquashfs reads its input twice, with one worker and with three. Both runs must give the same
// files, or the same error, and no path that is not below the root.
func FuzzSquashfs(f *testing.F) {
	for _, image := range images(f) {
		if len(image) < 10000 {
			f.Add(image)
		}
	}
	for _, bad := range hostile() {
		f.Add(bad.image)
	}
	f.Fuzz(func(t *testing.T, image []byte) {
		if len(image) > 64<<10 {
			return
		}
		one, err1 := manifest(image, 1, 1<<20)
		three, err3 := manifest(image, 3, 1<<20)
		if one != three || fmt.Sprint(err1) != fmt.Sprint(err3) {
			t.Fatalf("one worker: %v\n%s\nthree workers: %v\n%s", err1, one, err3, three)
		}
		seen := map[string]bool{}
		for line := range strings.Lines(one) {
			_, path, _ := strings.Cut(line, `"`)
			path, _, _ = strings.Cut(path, `" "`)
			if seen[path] {
				t.Fatalf("%q twice", path)
			}
			seen[path] = true
			for part := range strings.SplitSeq(path, "/") {
				if part == ".." || part == "." || part == "" && path != "" {
					t.Fatalf("path %q", path)
				}
			}
			if dir, _, ok := strings.Cut(path, "/"); ok && !seen[dir] {
				t.Fatalf("%q before its directory", path)
			}
		}
	})
}
