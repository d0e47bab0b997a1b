// Package image parses the index of an image server and finds images in it. It also parses the
// names of container images (reference.go), the documents about them (oci.go, login.go) and what
// their signatures say (cosign.go), the lists of simplestreams servers (streams.go) and the metadata
// of their images (incus.go). It does no input or output.
//
// The index is the file meta/1.0/index-system or index-user on the server, with one
// image per line:
//
//	distribution;release;architecture;variant;build;path
//
// Every field becomes part of a path on the host or of a URL, so ParseIndex checks
// every field (CheckName) and leaves out lines with a bad one.
//
// Reading order: the types Name and Image, ParseIndex, Query, Index.Find, NotFoundError,
// which carries the images with the most similar names, and Index.Resolve (resolve.go), which
// knows other names for the same.
package image

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Limits.
const (
	// MaxIndex is the size of the largest index that may be read, in bytes. The index
	// of images.linuxcontainers.org has 30 kB.
	MaxIndex = 4 << 20
	// maxProblems is how many broken lines ParseIndex reports.
	maxProblems = 100
	// maxName is the longest field, in bytes: NAME_MAX of Linux.
	maxName = 255
)

// Names in the directory tree of an image server. IndexDir holds the indexes. The
// directory of a build holds RootfsFile, MetaFile and SumsFile. The signature of each
// file FILE is FILE.asc.
const (
	IndexDir   = "meta/1.0"
	RootfsFile = "rootfs.tar.xz" // the root file system
	MetaFile   = "meta.tar.xz"   // the metadata
	SumsFile   = "SHA256SUMS"    // the digests of a build's files
	SigSuffix  = ".asc"          // makes a file's name that of its signature
)

// A Name names an image independently of its build.
type Name struct {
	Dist, Release, Arch, Variant string
}

// String returns the name as dist/release/arch/variant.
func (n Name) String() string {
	return n.Dist + "/" + n.Release + "/" + n.Arch + "/" + n.Variant
}

// An Image is a line of an index: an image and its newest build.
type Image struct {
	_ [0]func() // forbids ==, whose code nothing needs
	Name
	Build string // usually YYYYMMDD_HH:MM
	// Path is the build's directory, relative to the server's URL. It has no slash at
	// either end and no component that is empty, "." or "..".
	Path string
	// Reference is the complete name of a container image (Reference.String), "" for an image
	// of an index. Dist is then the last part of the repository's name, Release the tag or
	// the beginning of the digest, and Build the beginning of the digest of the manifest.
	Reference string
}

// BuildTime returns the date in a build id of the form YYYYMMDD_HH:MM, which
// images.linuxcontainers.org uses. ok is false for any other id. The date is in the local time
// of whoever built the image, so it may be wrong by a day.
func BuildTime(build string) (t time.Time, ok bool) {
	t, err := time.Parse("20060102_15:04", build)
	return t, err == nil
}

// A Problem is a line of an index that ParseIndex left out.
type Problem struct {
	_    [0]func() // forbids ==, whose code nothing needs
	Line int       // the line's number, from 1
	Err  error     // why
}

// An Index is the list of images of a server.
type Index struct {
	Images   []Image   // in the order of the lines
	Problems []Problem // the first of the lines that were left out
}

// ParseIndex parses an index. It leaves out lines that are broken or have a bad field,
// and lists them as Problems: one bad line must not hide the other images. A line
// without a build or path, which names an image without a build, is such a line too.
// ParseIndex accepts empty lines, CRLF, a last line without newline, and more than six
// fields.
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
		img := new(Image)
		if err := img.parse(string(current)); err == nil {
			index.Images = append(index.Images, *img)
		} else if len(index.Problems) < maxProblems {
			index.Problems = append(index.Problems, Problem{Line: line, Err: err})
		}
	}
	return index
}

// parse parses a line of an index.
func (img *Image) parse(line string) (err error) {
	f := strings.Split(line, ";")
	if len(f) < 6 {
		return errors.New(strconv.Itoa(len(f)) + " of 6 fields")
	}
	for n, field := range []string{"distribution", "release", "architecture", "variant", "build"} {
		if err := CheckName(f[n]); err != nil {
			return fmt.Errorf("%s %q: %w", field, f[n], err)
		}
	}
	img.Dist, img.Release, img.Arch, img.Variant, img.Build = f[0], f[1], f[2], f[3], f[4]
	if img.Path, err = cleanPath(f[5]); err != nil {
		return fmt.Errorf("path %q: %w", f[5], err)
	}
	return nil
}

// CheckName returns an error if name can't be a component of a path and of a URL: it is
// empty or longer than 255 bytes, has only dots, or has a slash, a backslash, a control
// character, a semicolon, or a character with a meaning in URLs ('%', '?', '#').
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("it is empty")
	case len(name) > maxName:
		return errors.New("longer than " + strconv.Itoa(maxName) + " bytes")
	case strings.Trim(name, ".") == "":
		return errors.New("only dots are not allowed")
	}
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c < 0x20 || c == 0x7f:
			return errors.New("a control character is not allowed")
		case strings.IndexByte(`/\%?#;`, c) >= 0:
			return errors.New(strconv.Quote(name[i:i+1]) + " is not allowed")
		}
	}
	return nil
}

// cleanPath checks the path of a build's directory and removes empty components. The
// path in the index begins with a slash, such as "/images/debian/.../", although it is
// relative to the server's URL.
func cleanPath(path string) (string, error) {
	if strings.Contains(path, "://") {
		return "", errors.New("a URL, not a path on the server")
	}
	var parts []string
	for _, part := range strings.Split(path, "/") {
		if part == "" {
			continue
		}
		if err := CheckName(part); err != nil {
			return "", err
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return "", errors.New("it is empty")
	}
	return strings.Join(parts, "/"), nil
}

// A Query selects images. An empty field selects all.
type Query struct {
	Dist, Release, Variant string
	// Arch lists the names of one architecture, such as amd64 and x86_64. The first is
	// the name that the user gave.
	Arch []string
	// Build is the build that the user wants; "": the newest. Select ignores it.
	Build string
	// Loose says that the index may have other names for the same (Resolve).
	Loose bool
	// AnyVariant says that the user named no variant. Variant is then the default one, and
	// Resolve may replace it.
	AnyVariant bool
}

// Select returns the images that q selects, in the order of the index. It ignores letter
// case.
func (x Index) Select(q Query) []Image {
	var found []Image
	for i := range x.Images {
		if q.selects(&x.Images[i]) {
			found = append(found, x.Images[i])
		}
	}
	return found
}

// Find returns the image that q selects. As in the stock template, the first line with
// exactly the fields of q is returned. If there is none, Find ignores letter case and
// accepts every name in q.Arch. A line with q.Build is preferred, but not required. The
// error is a *NotFoundError.
func (x Index) Find(q Query) (Image, error) {
	best, found := 0, 0
	for i := range x.Images {
		img, rank := &x.Images[i], 1
		switch {
		case !q.selects(img):
			rank = 0
		case img.Build == q.Build:
			rank = 3
		case img.Dist == q.Dist && img.Release == q.Release && img.Variant == q.Variant && len(q.Arch) > 0 && img.Arch == q.Arch[0]:
			rank = 2
		}
		if rank > best {
			best, found = rank, i
		}
	}
	if best == 0 {
		e := &NotFoundError{query: q, Near: x.near(&q, "")}
		e.OtherArch = len(e.Near) > 0 && !matchesArch(q.Arch, e.Near[0].Arch)
		if q.Release == Latest && q.AnyVariant && len(e.Near) > 0 {
			// The user named a distribution alone, so its right name comes first.
			first := &e.Near[0]
			named := q.names(first)
			q.Dist = first.Dist
			if !named && x.Resolve(&q) != "" {
				first.Release, first.Variant = "", e.query.Variant
			}
		}
		return Image{}, e
	}
	return x.Images[found], nil
}

// Gone returns the error for an image that q selects and whose build is missing on the
// server. If the index has another build of it than q.Build, the error says so.
func (x *Index) Gone(img *Image, q *Query) *NotFoundError {
	e := &NotFoundError{query: *q}
	for i := range x.Images {
		other := &x.Images[i]
		if q.Build != "" && other.Name == img.Name && other.Build != q.Build {
			e.Listed, e.Near = other.Build, x.Images[i:i+1]
		}
	}
	if e.Listed == "" {
		e.Gone, e.Near = img.Build, x.near(q, img.Path)
	}
	return e
}

// selects reports whether q selects an image, ignoring letter case.
func (q *Query) selects(img *Image) bool {
	return matches(q.Dist, img.Dist) && matches(q.Release, img.Release) && matches(q.Variant, img.Variant) && matchesArch(q.Arch, img.Arch)
}

// names reports whether the user wrote an image's release in place of the distribution, or
// both in another form, as bookworm, debian12 and debian:12.
func (q *Query) names(img *Image) bool {
	rest := strings.TrimPrefix(plainDist(q.Dist), plainDist(img.Dist))
	return q.Release == Latest && SameRelease(img.Dist, strings.TrimPrefix(rest, ":"), img.Release)
}

// matches reports whether a field of a Query selects name.
func matches(wanted, name string) bool { return wanted == "" || strings.EqualFold(wanted, name) }

// matchesArch reports whether Query.Arch selects arch.
func matchesArch(wanted []string, arch string) bool {
	if len(wanted) == 0 || wanted[0] == "" {
		return true
	}
	for _, name := range wanted {
		if strings.EqualFold(name, arch) {
			return true
		}
	}
	return false
}

// A NotFoundError says that the server does not have the image of a Query.
type NotFoundError struct {
	query  Query
	Gone   string // the build that is in the index and not on the server; "": not in the index
	Listed string // the build that is in the index in place of the one that the user named; "": no such case
	newest bool   // Listed is the newest of several builds
	// OtherArch says that Near has images of other architectures than the query's.
	OtherArch bool
	Near      []Image // images with similar names, the most similar first; the release may be ""
	// Command is the command line in which the user named the image, up to the image; "": not
	// known. The caller of this package may set it.
	Command string
}

func (e *NotFoundError) Error() string {
	arch := ""
	if len(e.query.Arch) > 0 {
		arch = e.query.Arch[0]
	}
	name := strconv.Quote(anyName(e.query.Dist) + "/" + anyName(e.query.Release) + "/" + anyName(arch) + "/" + anyName(e.query.Variant))
	switch {
	case e.Listed != "":
		has := "the list has"
		if e.newest {
			has = "the newest in the list is"
		}
		return fmt.Sprintf("the server has no build %q of %s; %s %q", e.query.Build, name, has, e.Listed)
	case e.Gone != "":
		return fmt.Sprintf("the list has build %q of %s, the server does not", e.Gone, name)
	case e.query.AnyVariant: // as the user typed it
		name = e.query.Dist
		if e.query.Release != Latest {
			name += "/" + e.query.Release
		}
		name = strconv.Quote(name) + " for " + strconv.Quote(arch)
	}
	return "no image " + name
}

// anyName returns s, or "*" for an empty field of a Query.
func anyName(s string) string {
	if s == "" {
		return "*"
	}
	return s
}

// maxNear is how many similar images an error lists: as many as fit on a small screen.
const maxNear = 6

// near returns images with names similar to q: first those that differ in one field, then
// those whose distribution or release has a similar name, and of equals the newest release. Of
// another architecture it returns images only if there are no others. It leaves out the path
// gone; "": none.
func (x *Index) near(q *Query, gone string) (near []Image) {
	const foreign, tooFar = 1 << 16, 1 << 20
	costs := make([]int, len(x.Images))
	for i := range x.Images {
		img, cost := &x.Images[i], 0
		// Another distribution counts more than another release, and that counts more than
		// another variant.
		if !SameDist(q.Dist, img.Dist) {
			cost = 4 * Distance(q.Dist, img.Dist)
		}
		if q.names(img) {
			cost = 0
		}
		if cost > 4*2 || gone != "" && img.Path == gone {
			cost = tooFar
		}
		if q.Release != Latest && !SameRelease(img.Dist, q.Release, img.Release) {
			cost += 2 * min(3, Distance(q.Release, img.Release)) // of those that are not similar the newest
		}
		cost += min(2, Distance(q.Variant, img.Variant))
		if !matchesArch(q.Arch, img.Arch) {
			cost += foreign + min(2, Distance(q.Arch[0], img.Arch))
		}
		costs[i] = cost
	}
	for limit := tooFar; len(near) < maxNear; {
		best, next, newest := limit, 0, ""
		for i, cost := range costs {
			if cost > best || cost == limit {
				continue
			}
			if key := ReleaseKey(x.Images[i].Dist, x.Images[i].Release); cost < best || key > newest {
				best, next, newest = cost, i, key
			}
		}
		if best == limit {
			break
		}
		if best < foreign {
			limit = foreign
		}
		near = append(near, x.Images[next])
		costs[next] = tooFar
	}
	return near
}

// Distance returns the Levenshtein distance of a and b, ignoring letter case: how many
// bytes must be inserted, removed or changed to turn b into a. It is 0 if a is empty.
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
