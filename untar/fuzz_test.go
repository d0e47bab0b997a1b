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

// fixChecksums makes every block that looks like a header pass the checksum, so
// that a fuzzer's changes reach the code behind it. Blocks are taken for headers
// where the magic or a known type byte says so.
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

// An outcome is one entry as both parsers see it.
type outcome struct {
	name, link string
	typ        byte
	mode       int64
	uid, gid   int64
	size       int64
	sec        int64
	nsec       int
	sum        uint32 // of the content
}

// maxFuzzContent bounds what a fuzzed archive makes the oracle read: it returns
// holes as zeros.
const maxFuzzContent = 1 << 20

// ours reads an archive strictly, or leniently.
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

// theirs reads it with archive/tar.
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

// maxFuzzArchive keeps inputs small: the fuzzer takes up to a minute to make a
// large one smaller.
const maxFuzzArchive = 16 << 10

func addSeeds(f *testing.F) {
	for _, c := range readCases(f) {
		if len(c.archive) <= maxFuzzArchive {
			f.Add(c.archive)
		}
	}
}

// FuzzParser compares the parser with archive/tar. Where ours accepts an
// archive strictly and theirs accepts it as well, both must see the same
// entries. That ours refuses more is the point of it; that theirs refuses what
// ours accepts is listed in differs.
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
		// What is accepted strictly is read the same leniently.
		if lenientErr != nil {
			t.Fatalf("accepted strictly, refused leniently: %v", lenientErr)
		}
		compare(t, "lenient", list, lenientList)
		if differs(archive) {
			return
		}
		other, err := theirs(archive)
		if err != nil {
			return // it refuses more in places: bad ids, sparse forms, Solaris headers
		}
		if bytes.Contains(archive, []byte("GNU.sparse.name")) {
			// It takes that name for sparse files only; GNU tar for all.
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
			// archive/tar adds a slash to nothing and drops none, but makes a
			// directory of a file with a slash only in the old types; and it knows
			// link targets of types that have none.
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

// differs lists on what archive/tar differs from GNU tar and bsdtar, or from
// what we want, and skips such archives:
//
//   - It does not know Solaris' X headers and volume labels: entries to it.
//   - With a GNU long name and a pax path it takes the long name.
//   - Wide user IDs wrap where int has 32 bits.
//   - A pax record without a value unsets the keyword for all that follows the
//     header in its map, so "path=" leaves the ustar name as ours does, but
//     "size=" and "uid=" are errors or zero depending on the key.
//   - It wants SCHILY.xattr names without '='; unescapes nothing.
//   - It takes a number's leading NULs away, so that it reads digits where GNU
//     tar reads 0. (Strict refuses those.)
//   - In a GNU header it reads a prefix that is not zero as one where that makes
//     the times invalid, to read what Go 1.7 wrote.
//   - v7 magic with a star trailer, and an X or V type.
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
		// Bytes that are neither blanks nor digits in fields of numbers that
		// only devices have.
		for _, c := range h[offMajor : offMajor+16] {
			if c != 0 && c != ' ' && (c < '0' || c > '7') && h[offType] != TypeChar && h[offType] != TypeBlock {
				return true
			}
		}
	}
	return bytes.Contains(archive, []byte("=\n")) || bytes.Contains(archive, []byte("GNU.sparse")) && math.MaxInt == math.MaxInt32
}

// FuzzExtract extracts what it gets, strictly, leniently and as a layer, and
// checks that nothing beside the root changes. It wants a directory on a tmpfs.
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
				// The tree can be walked and removed again, and nothing in it
				// has an owner other than the archive's.
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

// FuzzGlob compares excludes with a plain recursive matcher, for patterns
// without brackets.
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
		glob(pattern, []byte(name), &steps) // any pattern: no panic, no endless loop
		if strings.ContainsAny(pattern, "[\\") {
			return
		}
		if got, want := glob(pattern, []byte(name), &steps), slowGlob(pattern, name); got != want {
			t.Errorf("glob(%q, %q) = %v", pattern, name, got)
		}
	})
}

// slowGlob asks for each rest of the pattern, from the shortest, which rests of
// the name it matches: no pattern takes more than the product of the lengths.
func slowGlob(pattern, name string) bool {
	matches := make([]bool, len(name)+1) // by where the rest of the name begins
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

// nextRune is how many bytes the first character has.
func nextRune(s string) int {
	for i := range s {
		if i > 0 {
			return i
		}
	}
	return len(s)
}
