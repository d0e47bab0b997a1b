// Package image knows what there is to fetch: it reads an image server's list
// and finds the image that a person means.
//
// It is pure: bytes in, plain structs out. The list is the LXC index,
// meta/1.0/index-{system,user} on the server, one image a line:
//
//	distribution;release;architecture;variant;build;path
//
// Every field ends up in a path on the host or in a URL, so every field is
// checked here (CheckName), before anything else sees it.
package image

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Limits of an index.
const (
	// MaxIndex is the largest index read, in bytes. The one of
	// images.linuxcontainers.org has 30 kB.
	MaxIndex = 4 << 20
	// maxProblems is how many broken lines are kept to be told of; more of
	// them say nothing more.
	maxProblems = 100
	// maxName is the longest field. A file name has 255 bytes at the most.
	maxName = 255
)

// The names of the files of an image server's tree. The lists are in IndexDir.
// A build's directory has the two tarballs and SHA256SUMS, and beside each file FILE a
// signature FILE.asc.
const (
	IndexDir   = "meta/1.0"
	RootfsFile = "rootfs.tar.xz" // the root file system
	MetaFile   = "meta.tar.xz"   // the metadata
	SumsFile   = "SHA256SUMS"    // the digests of a build's files
	SigSuffix  = ".asc"          // makes a file's name that of its signature
)

// A Name is what an image is called, whatever its build.
type Name struct {
	Dist, Release, Arch, Variant string
}

// String returns the name for people: dist/release/arch/variant.
func (n Name) String() string {
	return n.Dist + "/" + n.Release + "/" + n.Arch + "/" + n.Variant
}

// An Image is one line of an index: the newest build of an image.
type Image struct {
	Name
	Build string // by custom YYYYMMDD_HH:MM
	// Path is the build's directory below the server's URL, cleaned: no slash at
	// either end, no empty, "." or ".." component.
	Path string
}

// A Problem is a line of an index that was passed over.
type Problem struct {
	Line int // from 1
	Err  error
}

// An Index is an image server's list.
type Index struct {
	Images   []Image
	Problems []Problem
}

// ParseIndex reads an index. Lines that are no images (broken, or with a field
// that could leave its directory) are passed over and listed as problems: one bad
// line of a server must not hide the others. Empty lines, CRLF, a missing last
// newline and fields after the sixth are accepted; so is a line without a
// build or path, which stands for an image without a build and is not listed.
func ParseIndex(text []byte) Index {
	var index Index
	line := 0
	for rest := text; len(rest) > 0; {
		var current []byte
		current, rest, _ = bytes.Cut(rest, []byte("\n"))
		line++
		current = bytes.TrimSuffix(current, []byte("\r"))
		if len(bytes.TrimSpace(current)) == 0 {
			continue
		}
		img, err := parseLine(string(current))
		if err != nil {
			if len(index.Problems) < maxProblems {
				index.Problems = append(index.Problems, Problem{line, err})
			}
			continue
		}
		index.Images = append(index.Images, img)
	}
	return index
}

func parseLine(line string) (Image, error) {
	f := strings.Split(line, ";")
	if len(f) < 6 {
		return Image{}, fmt.Errorf("%d of 6 fields", len(f))
	}
	for n, field := range []string{"distribution", "release", "architecture", "variant", "build"} {
		if err := CheckName(f[n]); err != nil {
			return Image{}, fmt.Errorf("%s %q: %w", field, f[n], err)
		}
	}
	path, err := cleanPath(f[5])
	if err != nil {
		return Image{}, fmt.Errorf("path %q: %w", f[5], err)
	}
	return Image{Name{f[0], f[1], f[2], f[3]}, f[4], path}, nil
}

// CheckName reports why name can't be one component of a path and of a URL:
// empty, too long, ".", "..", a slash or backslash, a control character, or a
// character with a meaning in URLs ('%', '?', '#').
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("empty")
	case len(name) > maxName:
		return fmt.Errorf("longer than %d bytes", maxName)
	case strings.Trim(name, ".") == "":
		return errors.New("nothing but dots")
	}
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c < 0x20 || c == 0x7f:
			return errors.New("a control character")
		case strings.IndexByte(`/\%?#;`, c) >= 0:
			return fmt.Errorf("the character %q", c)
		}
	}
	return nil
}

// cleanPath checks a build's directory and drops empty components: the index says
// "/images/debian/…/", relative to the server's URL although it begins with a
// slash.
func cleanPath(path string) (string, error) {
	if strings.Contains(path, "://") {
		return "", errors.New("a URL of its own")
	}
	var parts []string
	for part := range strings.SplitSeq(path, "/") {
		if part == "" {
			continue
		}
		if err := CheckName(part); err != nil {
			return "", err
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return "", errors.New("empty")
	}
	return strings.Join(parts, "/"), nil
}

// A Query says which images are meant. An empty field means any.
type Query struct {
	Dist, Release, Variant string
	// Arch holds the spellings of one architecture that count as the same, the
	// one that was asked for first.
	Arch []string
}

// Select returns the images that q means, in the index's order.
func (x Index) Select(q Query) []Image {
	var found []Image
	for _, img := range x.Images {
		if alike(q.Dist, img.Dist) && alike(q.Release, img.Release) && alike(q.Variant, img.Variant) && hasArch(q.Arch, img.Arch) {
			found = append(found, img)
		}
	}
	return found
}

// Find returns the image that q means. As in the stock template the first line
// that is exactly as asked for wins; where there is none, letter case and the
// spelling of the architecture don't count. Otherwise the error is a
// *NotFoundError.
func (x Index) Find(q Query) (Image, error) {
	found := x.Select(q)
	for _, img := range found {
		if img.Dist == q.Dist && img.Release == q.Release && img.Variant == q.Variant && len(q.Arch) > 0 && img.Arch == q.Arch[0] {
			return img, nil
		}
	}
	if len(found) > 0 {
		return found[0], nil
	}
	return Image{}, &NotFoundError{Query: q, Near: x.near(q)}
}

// Gone is the error for an image that q means and whose build is not where the
// index says.
func (x Index) Gone(img Image, q Query) *NotFoundError {
	rest := Index{Images: slices.DeleteFunc(slices.Clone(x.Images), func(i Image) bool { return i == img })}
	return &NotFoundError{Query: q, Gone: img.Build, Near: rest.near(q)}
}

func alike(asked, name string) bool { return asked == "" || strings.EqualFold(asked, name) }

func hasArch(spellings []string, arch string) bool {
	if len(spellings) == 0 || spellings[0] == "" {
		return true
	}
	for _, s := range spellings {
		if strings.EqualFold(s, arch) {
			return true
		}
	}
	return false
}

// A NotFoundError says that the server has no such image.
type NotFoundError struct {
	Query Query
	Gone  string  // the build that the index names although it is not there; "": it names none
	Near  []Image // existing images most like it, the nearest first; few
}

func (e *NotFoundError) Error() string {
	arch := ""
	if len(e.Query.Arch) > 0 {
		arch = e.Query.Arch[0]
	}
	name := strings.Join([]string{anyName(e.Query.Dist), anyName(e.Query.Release), anyName(arch), anyName(e.Query.Variant)}, "/")
	if e.Gone != "" {
		return fmt.Sprintf("the list has build %q of %q, the server does not", e.Gone, name)
	}
	return fmt.Sprintf("no image %q", name)
}

// anyName shows an empty field of a Query as what it means.
func anyName(s string) string {
	if s == "" {
		return "*"
	}
	return s
}

// maxNear is how many near images an error names: what fits a small screen.
const maxNear = 6

// near returns existing images like q: those that differ in one field first,
// then those whose distribution or release has a similar name.
func (x Index) near(q Query) []Image {
	type candidate struct {
		img  Image
		cost int
	}
	var candidates []candidate
	for _, img := range x.Images {
		cost := 0
		// A wrong distribution is further off than a wrong release, that
		// further than a variant; images of other machines help least.
		cost += 4 * Distance(q.Dist, img.Dist)
		cost += 2 * Distance(q.Release, img.Release)
		if !alike(q.Variant, img.Variant) {
			cost++
		}
		if !hasArch(q.Arch, img.Arch) {
			cost += 3
		}
		if q.Dist != "" && !alike(q.Dist, img.Dist) && Distance(q.Dist, img.Dist) > 2 {
			continue
		}
		candidates = append(candidates, candidate{img, cost})
	}
	sort.SliceStable(candidates, func(a, b int) bool { return candidates[a].cost < candidates[b].cost })
	var near []Image
	for _, c := range candidates {
		if len(near) == maxNear {
			break
		}
		near = append(near, c.img)
	}
	return near
}

// Distance returns how many letters must be put in, left out or changed to make a
// of b, letter case aside (Levenshtein); 0 if a is empty.
func Distance(a, b string) int {
	if a == "" {
		return 0
	}
	a, b = strings.ToLower(a), strings.ToLower(b)
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := diagonal
			if a[i-1] != b[j-1] {
				change++
			}
			diagonal = row[j]
			row[j] = min(row[j]+1, row[j-1]+1, change)
		}
	}
	return row[len(b)]
}
