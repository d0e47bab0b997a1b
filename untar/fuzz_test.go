package untar

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// fixChecksums corrects the checksum of each block that looks like a header, so that the
// fuzzer's changes reach the code after the check. A block looks like a header if it has the
// magic bytes or a known type byte.
func fixChecksums(archive []byte) []byte {
	b := bytes.Clone(archive)
	for at := 0; at+blockSize <= len(b); at += blockSize {
		h := b[at : at+blockSize]
		if string(h[offMagic:offMagic+5]) != "ustar" {
			continue
		}
		sum := 0
		for i, c := range h {
			if i >= offChecksum && i < offChecksum+8 {
				c = ' '
			}
			sum += int(c)
		}
		copy(h[offChecksum:], fmt.Sprintf("%06o\x00 ", sum))
	}
	return b
}

// An outcome is an entry as one of the two parsers reads it.
type outcome struct {
	name, link string
	typ        byte
	mode       int64
	uid, gid   int64
	size       int64
	sec        int64
	nsec       int
	sum        uint32 // CRC-32 of the content
}

// maxFuzzContent limits the content that archive/tar reads, since it returns holes as zeros.
const maxFuzzContent = 1 << 20

// ours reads an archive with this package.
func ours(archive []byte, strict bool) ([]outcome, error) {
	s := newStream(bytes.NewReader(archive), strict, true)
	var list []outcome
	for {
		e, err := s.next()
		if err == io.EOF {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		o := outcome{string(e.Name), string(e.Link), e.Type, int64(e.Mode), int64(e.UID), int64(e.GID), e.Size, e.Sec, int(e.Nsec), 0}
		if e.Type == TypeFile && e.Size <= maxFuzzContent {
			h := crc32.NewIEEE()
			if _, err := io.Copy(h, &bodyReader{s: s, e: e}); err != nil {
				return list, err
			}
			o.sum = h.Sum32()
		}
		list = append(list, o)
	}
}

// theirs reads an archive with archive/tar.
func theirs(archive []byte) ([]outcome, error) {
	r := tar.NewReader(bytes.NewReader(archive))
	var list []outcome
	for {
		h, err := r.Next()
		if err == io.EOF {
			return list, nil
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return list, err
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		o := outcome{h.Name, h.Linkname, h.Typeflag, h.Mode & 0o7777, int64(h.Uid), int64(h.Gid), h.Size, h.ModTime.Unix(), h.ModTime.Nanosecond(), 0}
		switch o.typ {
		case tar.TypeCont, tar.TypeGNUSparse:
			o.typ = TypeFile
		}
		if h.ModTime.IsZero() {
			o.sec, o.nsec = 0, 0
		}
		if o.typ == TypeFile && o.size <= maxFuzzContent {
			c := crc32.NewIEEE()
			if _, err := io.Copy(c, r); err != nil {
				return list, err
			}
			o.sum = c.Sum32()
		}
		list = append(list, o)
	}
}

// maxFuzzArchive limits inputs: the fuzzer needs up to a minute to minimize a large input.
const maxFuzzArchive = 16 << 10

func addSeeds(f *testing.F) {
	for _, c := range readCases(f) {
		if len(c.archive) <= maxFuzzArchive {
			f.Add(c.archive)
		}
	}
}

// FuzzParser compares the parser with archive/tar. If this package accepts an archive
// strictly, and archive/tar accepts it too, both must return the same entries. This package
// may refuse more. The archives that archive/tar refuses or reads differently are listed in
// differs.
func FuzzParser(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, archive []byte) {
		if len(archive) > maxFuzzArchive {
			return
		}
		archive = fixChecksums(archive)
		lenientList, lenientErr := ours(archive, false)
		list, err := ours(archive, true)
		if err != nil {
			return
		}
		// An archive that is accepted strictly has the same entries when read leniently.
		if lenientErr != nil {
			t.Fatalf("accepted strictly, refused leniently: %v", lenientErr)
		}
		compare(t, "lenient", list, lenientList)
		if differs(archive) {
			return
		}
		other, err := theirs(archive)
		if err != nil {
			return // archive/tar refuses some archives: bad IDs, sparse formats, Solaris headers
		}
		if bytes.Contains(archive, []byte("GNU.sparse.name")) {
			// archive/tar uses this name for sparse files only, GNU tar for all files.
			for i := range min(len(list), len(other)) {
				other[i].name = list[i].name
			}
		}
		compare(t, "archive/tar", list, other)
	})
}

func compare(t *testing.T, who string, list, other []outcome) {
	t.Helper()
	for i := range max(len(list), len(other)) {
		if i >= len(list) || i >= len(other) {
			t.Fatalf("ours has %d entries, %s %d", len(list), who, len(other))
		}
		a, b := list[i], other[i]
		if who != "lenient" {
			// archive/tar treats a file with a trailing slash as a directory only for
			// some types, and returns link targets for types without one.
			if a.typ != TypeLink && a.typ != TypeSymlink {
				a.link, b.link = "", ""
			}
			if a.typ != TypeFile {
				a.size, b.size = 0, 0
			}
			if a.typ == TypeDir && (b.typ == TypeFile && strings.HasSuffix(b.name, "/") || b.typ == typeDumpDir) {
				b.typ, b.sum = TypeDir, 0
				b.size = 0
			}
		}
		if a != b {
			t.Fatalf("entry %d is %+v, %s has %+v", i, a, who, b)
		}
	}
}

// differs reports whether archive/tar reads an archive differently from GNU tar and bsdtar,
// or from this package's rules:
//
//   - It returns Solaris X headers and volume labels as entries.
//   - If there is a GNU long name and a pax path, it uses the long name.
//   - Wide user IDs wrap where int has 32 bits.
//   - A pax record without a value: "path=" leaves the ustar name, as here, but "size=" and
//     "uid=" are errors or zero.
//   - It refuses SCHILY.xattr names with '=' and decodes no escapes.
//   - It skips all leading NULs of a number, so it reads digits where GNU tar reads 0. (Strict
//     refuses those.)
//   - In a GNU header it reads a prefix if its bytes are no valid times, as Go 1.7 wrote.
//   - It reads v7 magic with a star trailer, and X and V types, differently.
func differs(archive []byte) bool {
	for at := 0; at+blockSize <= len(archive); at += blockSize {
		h := archive[at : at+blockSize]
		switch h[offType] {
		case typeSolaris, typeVolume, typeDumpDir, typeLongName, typeLongLink:
			return true
		}
		if formatOf(h) == formatGNU && h[offPrefix] != 0 {
			return true
		}
		// Device numbers with bytes that are neither blanks nor digits.
		for _, c := range h[offMajor : offMajor+16] {
			if c != 0 && c != ' ' && (c < '0' || c > '7') && h[offType] != TypeChar && h[offType] != TypeBlock {
				return true
			}
		}
	}
	return bytes.Contains(archive, []byte("=\n")) || bytes.Contains(archive, []byte("GNU.sparse")) && math.MaxInt == math.MaxInt32
}

// FuzzExtract extracts its input strictly, leniently and as a layer, and checks that nothing
// outside the root changes. Run it with the temporary directory on a tmpfs.
func FuzzExtract(f *testing.F) {
	addSeeds(f)
	base := f.TempDir()
	f.Fuzz(func(t *testing.T, archive []byte) {
		if len(archive) > maxFuzzArchive {
			return
		}
		dir, err := os.MkdirTemp(base, "")
		if err != nil {
			t.Fatal(err)
		}
		s := &sandbox{dir: dir, root: filepath.Join(dir, "root")}
		makeTree(t, dir, "root/", "victim/hello=hello\n")
		s.before = s.outside(t)
		archive = fixChecksums(archive)
		r, err := OpenRoot(s.root)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for _, opt := range []Options{{Strict: true}, {}, {Layer: true}, {Strict: true, Layer: true}} {
			opt.Limits = Limits{Bytes: 1 << 20, Entries: 1000}
			_, err := r.Extract(bytes.NewReader(archive), opt)
			s.check(t)
			if err == nil && opt.Strict && !opt.Layer {
				// The tree can be walked and removed, and all owners are from the archive.
				if err := r.RemoveContents(); err != nil {
					t.Fatal(err)
				}
				if empty, err := r.IsEmpty(); !empty || err != nil {
					t.Fatalf("not empty after RemoveContents (%v)", err)
				}
			}
		}
		unix.Fchmod(r.fd, 0o700)
		if err := r.RemoveContents(); err != nil {
			t.Fatal(err)
		}
		s.check(t)
		os.RemoveAll(dir)
	})
}

// FuzzGlob compares glob with a plain recursive matcher, for patterns without brackets.
func FuzzGlob(f *testing.F) {
	for _, s := range []string{"./dev/*\x00./dev/x", "a*b*c\x00abcbc/d", "*\x00x", "\\*\x00*", "?\x00\xc3\xa9", "**a\x00bba", strings.Repeat("*a", 9) + "*\x00" + strings.Repeat("ab", 20), strings.Repeat("*", 19) + "c\x00" + strings.Repeat("ab", 20)} {
		p, n, _ := strings.Cut(s, "\x00")
		f.Add(p, n)
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 20 || len(name) > 40 {
			return
		}
		steps := int64(1 << 40)
		glob(pattern, []byte(name), &steps) // for any pattern: no panic, no endless loop
		if strings.ContainsAny(pattern, "[\\") {
			return
		}
		if got, want := glob(pattern, []byte(name), &steps), slowGlob(pattern, name); got != want {
			t.Errorf("glob(%q, %q) = %v", pattern, name, got)
		}
	})
}

// slowGlob is a matcher by dynamic programming: for each suffix of the pattern, from the
// shortest, it computes which suffixes of the name match. The number of steps is the product
// of the lengths.
func slowGlob(pattern, name string) bool {
	matches := make([]bool, len(name)+1) // by the start of the suffix of the name
	for i := range matches {
		matches[i] = i == len(name) || name[i] == '/'
	}
	for p := len(pattern) - 1; p >= 0; p-- {
		next := slices.Clone(matches)
		for i := range matches {
			switch {
			case pattern[p] == '*':
				matches[i] = slices.Contains(next[i:], true)
			case i == len(name):
				matches[i] = false
			case pattern[p] == '?':
				matches[i] = next[i+nextRune(name[i:])]
			default:
				matches[i] = pattern[p] == name[i] && next[i+1]
			}
		}
	}
	return matches[0]
}

// nextRune returns the length of the first character in bytes.
func nextRune(s string) int {
	for i := range s {
		if i > 0 {
			return i
		}
	}
	return len(s)
}
