package image

import (
	"errors"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"lxc-pull/image/json"
)

// Limits of the lists of simplestreams servers.
const (
	// MaxStreams is the size of the largest list that is read, in bytes. Today's largest have
	// 5 MB.
	MaxStreams = 32 << 20
	// maxStreamsPath is the longest path of a file, in bytes: PATH_MAX of Linux.
	maxStreamsPath = 4096
	// maxProductKey is the longest key of a product, in bytes. The cache records it in a line of
	// 1 KiB, with the server's URL; today's have 60.
	maxProductKey = 512
	// maxProductAliases is how many bytes the aliases of a product may have. Ubuntu's and Incus'
	// have 200 at most, and each lookup compares them all.
	maxProductAliases = 8 << 10
)

// A Products is a list of images of a simplestreams server ("products:1.0"). Incus and LXD
// (their shared/simplestreams) read the same members of it.
type Products struct {
	_         [0]func() // forbids ==, whose code nothing needs
	products  json.Value
	ContentID string // by which the index names the list; "": it says none
}

// A StreamsList is a list of images that an index names.
type StreamsList struct {
	_    [0]func() // forbids ==, whose code nothing needs
	ID   string    // Products.ContentID of the list
	Path string    // relative to the server's URL, checked
}

// A StreamsImage is a version of a product: an image and its files.
type StreamsImage struct {
	Image            // Dist is "os" in lower case; Build is the version's name
	Key     string   // the product's
	Aliases []string // without the architecture
	Files   []StreamsFile
}

// A StreamsFile is a file of a StreamsImage that can be of use for a container.
type StreamsFile struct {
	_      [0]func() // forbids ==, whose code nothing needs
	Type   string    // "incus.tar.xz", "root.tar.xz", "squashfs", "incus_combined.tar.gz" and the like
	Path   string    // relative to the server's URL, checked
	SHA256 Digest
	Size   int64 // bytes
	// Of the metadata file: the digests of its bytes followed by those of the root file system,
	// which are Incus' fingerprints of the image; "": the list has none. Combined is that of
	// root.tar.xz in lists without CombinedRootXZ.
	CombinedRootXZ, CombinedSquashfs, Combined Digest
}

// A StreamsQuery says which image of a list is wanted.
type StreamsQuery struct {
	_       [0]func() // forbids ==, whose code nothing needs
	Alias   string    // also a product's key, or DIST/RELEASE[/VARIANT]; the architecture may follow the release or the alias
	Arch    []string  // any of them, the preferred one first, unless Alias has another
	Variant string    // "": the alias says it
	Build   string    // "": the newest
}

// imageDownloads is the datatype of a list of images.
const imageDownloads = "image-downloads"

// openStreams checks a document of a server and returns a member of it, an object, whose strings
// are parts of text. It sets id to the content_id of a list.
func openStreams(text []byte, format, member string, id *string) (json.Value, error) {
	why := ""
	var v json.Value
	if len(text) > MaxStreams {
		why = "it is larger than " + strconv.Itoa(MaxStreams) + " bytes"
	} else {
		// The caller leaves text as it is, so that 5 MB are not copied.
		value, err := json.ParseLoose(unsafe.String(unsafe.SliceData(text), len(text)))
		got, datatype, n := "", "", 0
		pick(value, "format content_id datatype", &got, id, &datatype)
		for w := value.Walk(); ; {
			name, each, ok := w.Next()
			if !ok {
				break
			}
			if text, _ := name.Text(); text == member {
				v = each
				n++
			}
		}
		switch {
		case err != nil:
			why = err.Error()
		case n > 1: // programs differ in which one they take
			why = "it has more than one " + member
		case datatype != "" && datatype != imageDownloads:
			why = "its datatype is " + quote(datatype) + ", not " + imageDownloads
		case got != format:
			why = "its format is " + quote(got) + ", not " + format
		case !v.IsObject():
			why = "it has no " + member
		}
	}
	if why != "" {
		return v, errors.New("list of images: " + why)
	}
	return v, nil
}

// pick sets to to the members of an object that have these names, between blanks; "" for one that
// is no string. It goes through the object once.
func pick(v json.Value, names string, to ...*string) {
	for w := v.Walk(); ; {
		name, value, ok := w.Next()
		if !ok {
			return
		}
		text, _ := name.Text()
		rest := names
		for i := range to {
			var n string
			if n, rest, _ = strings.Cut(rest, " "); n == text {
				*to[i], _ = value.Text()
			}
		}
	}
}

// ParseStreams returns the lists of images that a server's streams/v1/index.json names.
func ParseStreams(text []byte) (lists []StreamsList, err error) {
	v, err := openStreams(text, "index:1.0", "index", new(string))
	for w := v.Walk(); err == nil; {
		id, entry, ok := w.Next()
		if !ok {
			break
		}
		var datatype, format, path string
		if pick(entry, "datatype format path", &datatype, &format, &path); datatype != imageDownloads || format != "" && format != "products:1.0" {
			continue // such as the lists of cloud providers' image ids
		}
		if !goodStreamsPath(path) {
			return nil, errors.New("list of images: bad path " + quote(path))
		}
		name, _ := id.Text()
		lists = append(lists, StreamsList{ID: name, Path: path})
	}
	if err == nil && lists == nil {
		err = errors.New("list of images: it names no list")
	}
	return lists, err
}

// goodStreamsPath reports whether a path leads below the server's URL.
func goodStreamsPath(path string) bool {
	ok := len(path) <= maxStreamsPath
	for more := true; more && ok; {
		var part string
		part, path, more = strings.Cut(path, "/")
		ok = CheckName(part) == nil
	}
	return ok
}

// ParseProducts parses a list. It keeps text, which must not be changed afterwards.
func ParseProducts(text []byte) (*Products, error) {
	id := ""
	v, err := openStreams(text, "products:1.0", "products", &id)
	if err != nil {
		return nil, err
	}
	return &Products{products: v, ContentID: strings.Clone(id)}, nil
}

// List returns all images that have a container's root file system, with their newest version, as
// an Index. An image's Path is the directory of its root file system. The line of a Problem is
// the number of the product in the list, from 1.
func (p *Products) List() Index {
	var index Index
	s := new(product)
	for w := p.products.Walk(); s.next(&w); {
		if s.choose(""); s.Build != "" {
			index.Images = append(index.Images, s.Image)
		}
		if s.err != nil && len(index.Problems) < maxProblems {
			index.Problems = append(index.Problems, Problem{Line: s.number, Err: s.err})
		}
	}
	return index
}

// Find returns the image that q selects. Of several it returns the newest. The error is a
// *NotFoundError.
func (p *Products) Find(q StreamsQuery) (*StreamsImage, error) {
	best, newest := "", "" // how good found and listed are
	var found, listed *product
	s := new(product)
	for w := p.products.Walk(); s.next(&w); {
		rank := s.rank(&q)
		if rank == "" {
			continue
		}
		s.choose(q.Build)
		if s.Build == "" {
			// Another version of the image tells the user what there is.
			if s.choose(""); s.Build != "" && rank+s.key > newest {
				newest, listed, s = rank+s.key, s, new(product)
			}
			continue
		}
		if key := rank + s.key; key > best {
			best, found, s = key, s, new(product)
		}
	}
	if found != nil {
		return found.image(), nil
	}
	return nil, p.notFound(&q, listed)
}

// notFound makes the error of Find. listed has another version of the image; nil: there is none.
func (p *Products) notFound(q *StreamsQuery, listed *product) *NotFoundError {
	near := Query{Arch: q.Arch, Variant: q.Variant, Build: q.Build, AnyVariant: true}
	e := &NotFoundError{query: near}
	e.query.Dist, e.query.Release = q.Alias, Latest
	if q.Variant != "" {
		e.query.Dist += "/" + q.Variant // as the user could have written it
	}
	if listed != nil {
		e.query.Arch, e.Listed, e.Near = []string{listed.Arch}, listed.Build, []Image{listed.Image}
		e.newest = true
		e.query.Dist, e.query.Release, e.query.Variant = listed.Dist, listed.Release, listed.Variant
		return e
	}
	near.Dist, near.Release, _ = strings.Cut(q.Alias, "/")
	near.Release, near.Variant, _ = strings.Cut(near.Release, "/")
	// The image with the most similar alias is the nearest one.
	least := 3
	s := new(product)
	for w := p.products.Walk(); s.next(&w); {
		for rest := s.aliases; ; {
			alias := nextAlias(&rest)
			if alias == "" {
				break
			}
			if cost := Distance(q.Alias, alias); cost < least && cost <= len(alias)/2 && matchesArch(q.Arch, s.Arch) {
				least, near.Dist, near.Release, near.Variant = cost, s.Dist, s.Release, s.Variant
			}
		}
	}
	if near.Release == "" {
		near.Release = Latest
	}
	index := p.List()
	e.Near = index.near(&near, "")
	e.OtherArch = len(e.Near) > 0 && !matchesArch(q.Arch, e.Near[0].Arch)
	return e
}

// A product is a member of "products": what is wanted of it, and the version that choose chose.
type product struct {
	_       [0]func() // forbids ==, whose code nothing needs
	Image             // Build is "" without a version
	number  int       // in the list, from 1
	id      string
	aliases string
	release string // another name of the release: "version"
	key     string // by which versions are compared: the greater, the newer

	versions, items json.Value // items are those of the version
	err             error      // what is wrong with the product, or with the first version that was left out
}

// next reads the next product; false: there is none. The strings are parts of the list, so that
// a list of thousands makes little garbage.
func (s *product) next(w *json.Walk) bool {
	id, v, ok := w.Next()
	*s = product{number: s.number + 1, versions: v.Get("versions")}
	s.id, _ = id.Text()
	pick(v, "os release arch variant aliases version", &s.Dist, &s.Release, &s.Arch, &s.Variant, &s.aliases, &s.release)
	s.Dist, s.Arch = strings.ToLower(s.Dist), debianArch(s.Arch)
	if s.Variant == "" {
		s.Variant = "default"
	}
	for _, name := range [...]string{s.Dist, s.Release, s.Arch, s.Variant} {
		if err := CheckName(name); err != nil {
			s.fail("os, release, arch or variant", name, err)
		}
	}
	if len(s.id) > maxProductKey || !goodStreamsPath(s.id) {
		s.fail("key", s.id, errors.New("it is too long, or has empty parts or characters that no name may have"))
	}
	if len(s.aliases) > maxProductAliases {
		s.fail("aliases", "", errors.New("more than "+strconv.Itoa(maxProductAliases)+" bytes"))
	}
	if s.err != nil { // the product is passed over
		s.versions, s.aliases = json.Value{}, ""
	}
	return ok
}

// nextAlias returns the next alias in rest, which it shortens; "": there is none. Those that are no
// names are passed over.
func nextAlias(rest *string) (alias string) {
	for *rest != "" {
		alias, *rest, _ = strings.Cut(*rest, ",")
		if alias = strings.TrimSpace(alias); goodStreamsPath(alias) {
			return alias
		}
	}
	return ""
}

// debianArch returns Debian's name of an architecture, for those that lists have under the
// kernel's name.
func debianArch(arch string) string {
	_, rest, ok := strings.Cut(" x86_64=amd64 aarch64=arm64 armv7l=armhf i686=i386 ppc64le=ppc64el ", " "+arch+"=")
	if ok {
		arch, _, _ = strings.Cut(rest, " ")
	}
	return arch
}

// fail notes what is wrong with a text of the product, unless something else is.
func (s *product) fail(what, text string, err error) {
	if s.err == nil {
		s.err = errors.New("product " + quote(s.id) + ": " + what + " " + quote(text) + ": " + err.Error())
	}
}

// choose chooses the version of that name, or the newest, of those that have the files of a
// container. The name of a version begins with its day; 20260829.10 is newer than 20260829.9.
func (s *product) choose(wanted string) {
	s.key = ""
	for w := s.versions.Walk(); ; {
		name, v, ok := w.Next()
		if !ok {
			return
		}
		build, _ := name.Text()
		day := build[:min(8, len(build))]
		key := day + strconv.Itoa(1000+len(build)) + build
		if wanted != "" && build != wanted || key <= s.key {
			continue
		}
		err := CheckName(build)
		if err == nil {
			_, err = time.Parse("20060102", day)
		}
		items, path := v.Get("items"), ""
		if err == nil {
			path, err = usable(items)
		}
		if err != nil {
			s.fail("version", build, err)
		} else if path != "" {
			s.key, s.Build, s.Path, s.items = key, build, path[:max(0, strings.LastIndexByte(path, '/'))], items
		}
	}
}

// What a file has of an image.
const (
	hasMetadata = 1 << iota
	hasRoot
)

// nextFile reads the next file of items that can be of use for a container. Its digests have no
// "sha256:". has is 0 after the last one. The error says what is wrong with the file.
func nextFile(items *json.Walk, f *StreamsFile) (has int, err error) {
	for has == 0 {
		_, v, ok := items.Next()
		if !ok {
			return 0, nil
		}
		*f = StreamsFile{}
		pick(v, "ftype path sha256 combined_rootxz_sha256 combined_squashfs_sha256 combined_sha256", &f.Type, &f.Path,
			(*string)(&f.SHA256), (*string)(&f.CombinedRootXZ), (*string)(&f.CombinedSquashfs), (*string)(&f.Combined))
		switch f.Type {
		case "incus.tar.xz", "lxd.tar.xz":
			has = hasMetadata
		case "root.tar.xz", "squashfs":
			has = hasRoot
		case "incus_combined.tar.gz", "lxd_combined.tar.gz":
			has = hasMetadata | hasRoot
		}
		f.Size, ok = v.Get("size").Int()
		ok = ok && f.Size >= 0 && f.Size <= maxBlob && f.SHA256 != "" && goodStreamsPath(f.Path)
		for _, digest := range f.digests() {
			ok = ok && (*digest == "" || len(*digest) == 64 && strings.Trim(string(*digest), "0123456789abcdef") == "")
		}
		if has != 0 && !ok {
			err = errors.New("the path, size or a digest of " + f.Type + " is missing or bad")
		}
	}
	return has, err
}

// digests returns the digests of a file.
func (f *StreamsFile) digests() [4]*Digest {
	return [4]*Digest{&f.SHA256, &f.CombinedRootXZ, &f.CombinedSquashfs, &f.Combined}
}

// usable returns the path of the root file system in the items of a version, "" if the version
// has no container's root file system with its metadata.
func usable(items json.Value) (path string, err error) {
	all := 0
	var f StreamsFile
	for w := items.Walk(); ; {
		has, err := nextFile(&w, &f)
		if err != nil || has == 0 {
			if all != hasMetadata|hasRoot {
				path = ""
			}
			return path, err
		}
		if all |= has; has&hasRoot != 0 {
			path = f.Path
		}
	}
}

// image returns the version that was chosen.
func (s *product) image() *StreamsImage {
	img := &StreamsImage{Image: s.Image, Key: s.id}
	for rest := s.aliases; ; {
		alias := nextAlias(&rest)
		if alias == "" {
			break
		}
		img.Aliases = append(img.Aliases, alias)
	}
	var f StreamsFile
	for w := s.items.Walk(); ; {
		if has, _ := nextFile(&w, &f); has == 0 {
			return img
		}
		for _, digest := range f.digests() {
			if *digest != "" {
				*digest = "sha256:" + *digest
			}
		}
		img.Files = append(img.Files, f)
	}
}

// How well a product fits a query; "": not at all. The greater, the better.
const (
	rankNames = "1" // distribution, release and variant
	rankAlias = "2" // an alias
	rankKey   = "3" // the product's key
)

// rank says how well the product fits a query.
func (s *product) rank(q *StreamsQuery) (rank string) {
	if q.Variant != "" && !strings.EqualFold(q.Variant, s.Variant) {
		return ""
	}
	if q.Alias == s.id && s.versions.IsObject() {
		return rankKey
	}
	if matchesArch(q.Arch, s.Arch) {
		rank = s.rankOf(q.Alias, q.Variant)
	}
	// The architecture may be a part of the name, after the first slash.
	parts := strings.Split(q.Alias, "/")
	for n := 1; n < len(parts); n++ {
		if debianArch(strings.ToLower(parts[n])) == s.Arch {
			copy(parts[n:], parts[n+1:])
			return max(rank, s.rankOf(strings.Join(parts[:len(parts)-1], "/"), q.Variant))
		}
	}
	return rank
}

// rankOf is rank for a name without an architecture.
func (s *product) rankOf(name, variant string) string {
	for rest := s.aliases; ; {
		alias := nextAlias(&rest)
		if alias == "" {
			break
		}
		if strings.EqualFold(alias, name) || strings.EqualFold(alias, name+"/"+variant) {
			return rankAlias
		}
	}
	dist, release, _ := strings.Cut(name, "/")
	release, wanted, more := strings.Cut(release, "/")
	if !more {
		wanted = variant
	}
	if release != "" && SameDist(dist, s.Dist) && (SameRelease(s.Dist, release, s.Release) || release == s.release) &&
		(wanted == s.Variant || wanted == "" && s.Variant == "default") {
		return rankNames
	}
	return ""
}
