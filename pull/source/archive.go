package source

import (
	"context"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"lxc-pull/image"
	"lxc-pull/image/sha256"
	"lxc-pull/untar"

	"golang.org/x/sys/unix"
)

// Limits of archives of container images.
const (
	// maxArchiveCopy is the most that is copied to the disk of a compressed archive or of
	// standard input, in bytes: as much as the largest root file system that is downloaded.
	maxArchiveCopy = maxRootfs
	// maxArchiveFiles is the most entries of a tar archive: those of 500 images of 30 layers,
	// with the four that "docker save" once wrote for each layer.
	maxArchiveFiles = 1 << 16
	// maxArchiveIndex is the most entries of an index.json: looking for signatures reads the
	// manifest of each.
	maxArchiveIndex = 4096
	// maxArchiveTexts is how many bytes of manifests are parsed: 16,000 usual ones.
	maxArchiveTexts = 64 << 20
	// maxNames is how many names of images an error lists.
	maxNames = 10
)

// Names of files in archives (OCI image spec, image-layout.md; "docker save").
const (
	layoutFile = "oci-layout"
	indexFile  = "index.json"
	savedFile  = "manifest.json"
	blobsDir   = "blobs/sha256/"
)

// An archive is a store on the disk: an OCI layout, an oci-archive (a tar archive of a layout),
// or a docker-archive ("docker save"). Nothing in it is trusted: manifests, configs and layers
// have the digests by which they were asked for, or are refused. Its methods must not be called
// at the same time, but what open returns may be read at any time.
type archive struct {
	name string // as the user wrote it
	// For a tar archive tar is set, and files lists its files. file is to be closed, nil if the
	// archive is standard input or a copy, which its caller closes.
	tar    io.ReaderAt
	files  []untar.Member
	file   *os.File
	layout *untar.Root // an unpacked archive; nil: tar is set
	bundle bool        // it is a bundle (bundle.go)

	index *image.Manifest    // index.json; empty if there is none
	saved []image.SavedImage // manifest.json; nil: there is none
	made  []*madeBlob        // index.json first, if there is one
	top   *image.Descriptor  // of the manifest that the caller of openArchive wants

	seen   map[string]*facts // manifests that were looked at, by digest and media type
	parsed int               // bytes of manifests
}

// facts are what an archive remembers of a manifest.
type facts struct {
	_         [0]func()    // forbids ==, whose code nothing needs
	err       error        // it can't be read
	index     bool         // it is an index
	signature bool         // of cosign's first storage
	artifact  string       // its type, if it may be one of a signature; "?": another type
	subject   image.Digest // "": none
}

// A madeBlob is a blob that has no file named by its digest.
type madeBlob struct {
	_      [0]func() // forbids ==, whose code nothing needs
	digest image.Digest
	text   []byte // nil: a file has it
	name   string // of the file
}

// openArchive opens the archive at a path; "-" is standard input. name is the tag or NAME:TAG of
// the image that manifest returns for the name "", or its digest. It may be "" if the archive
// has one image. A compressed archive and standard input are copied to the file that f.spool
// returns, which the caller closes after the archive. Other files are read in place.
func (f *Finder) openArchive(ctx context.Context, path, name string) (*archive, error) {
	a := &archive{name: path, index: new(image.Manifest), seen: map[string]*facts{}}
	err := a.openPath(ctx, f)
	if err == nil {
		err = a.readLists()
	}
	if err == nil {
		a.top, err = a.choose(ctx, name)
	}
	if err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

// close closes the files that openArchive has opened.
func (a *archive) close() {
	a.file.Close() // does nothing for nil
	if a.layout != nil {
		a.layout.Close()
	}
}

// bad returns an error about a part of the archive, "" for the whole.
func (a *archive) bad(kind Kind, part string, err error) error {
	what := "archive " + strconv.Quote(a.name)
	if a.bundle {
		what = "bundle " + strconv.Quote(a.name)
	}
	if part != "" {
		what += ": " + strconv.Quote(part)
		if errors.Is(err, fs.ErrNotExist) {
			kind, err = NotFound, errors.New("the archive has no such file")
		}
	}
	return newError(kind, what, err)
}

// openPath opens the layout or the tar archive.
func (a *archive) openPath(ctx context.Context, f *Finder) error {
	from := f.opt.stdin()
	if a.name != "-" {
		if info, err := os.Stat(a.name); err == nil && info.IsDir() {
			a.layout, err = untar.OpenRoot(a.name)
			return err
		}
		file, _, err := openLocal(a.name)
		if err != nil {
			return err
		}
		from, a.file = file, file
	}
	rest, err := restOf(from)
	if err != nil {
		return err
	}
	size, in := int64(0), io.Reader(&waiter{ctx: ctx, f: from})
	if rest != nil {
		size = rest.Size()
		a.tar, in = rest, untar.Until(ctx, rest)
	}
	packed, err := untar.Decompress(in, f.opt.Decoding)
	if err == nil {
		if a.tar == nil || packed.Format != untar.FormatPlain {
			size, err = a.copy(untar.Until(ctx, packed), f.spool)
			a.file.Close() // does nothing for nil
			a.file = nil
		}
		packed.Close()
	}
	if err == nil {
		a.files, err = untar.Members(a.tar, size, maxArchiveFiles)
	}
	if err != nil {
		return a.bad(0, "", err)
	}
	return nil
}

// copy writes the decompressed archive to the caller's file, and returns its size.
func (a *archive) copy(packed io.Reader, spool func() (*os.File, error)) (n int64, err error) {
	if spool == nil {
		return 0, errors.New("there is no place for a copy of the archive")
	}
	to, err := spool()
	if err == nil {
		a.tar = to
		n, err = io.Copy(to, io.LimitReader(packed, maxArchiveCopy+1))
	}
	if n > maxArchiveCopy {
		err = errors.New("it has more than " + strconv.Itoa(maxArchiveCopy>>30) + " GiB")
	}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		err = because("no room for the copy that standard input and compressed archives need, unlike a plain tar file", err)
	}
	return n, err
}

// A waiter reads a file that may have to wait for its bytes. Read returns the context's error
// once the context is done.
type waiter struct {
	_   [0]func() // forbids ==, whose code nothing needs
	ctx context.Context
	f   *os.File
}

func (w *waiter) Read(p []byte) (int, error) {
	for w.ctx.Err() == nil {
		ready := []unix.PollFd{{Fd: int32(w.f.Fd()), Events: unix.POLLIN}}
		const interval = 200 // milliseconds
		if n, err := unix.Poll(ready, interval); n > 0 || err != nil && err != unix.EINTR {
			return w.f.Read(p)
		}
	}
	return 0, w.ctx.Err()
}

// find returns a file of the archive. The caller closes f, which is nil in a tar archive.
func (a *archive) find(name string) (r *io.SectionReader, f *os.File, err error) {
	if a.layout != nil {
		size := int64(0)
		if f, size, err = a.layout.OpenFile(name); err == nil {
			return io.NewSectionReader(f, 0, size), f, nil
		}
		return nil, nil, a.bad(0, name, err)
	}
	for i := range a.files {
		if m := &a.files[i]; m.Name == name {
			return io.NewSectionReader(a.tar, m.Offset, m.Size), nil, nil
		}
	}
	return nil, nil, a.bad(0, name, fs.ErrNotExist)
}

// read returns the content of a file of at most max bytes.
func (a *archive) read(name string, max int64) ([]byte, error) {
	r, f, err := a.find(name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(r, max+1))
	f.Close()
	if int64(len(data)) > max {
		err = errors.New("larger than the " + strconv.FormatInt(max, 10) + " bytes that are allowed")
	}
	if err != nil {
		return nil, a.bad(0, name, err)
	}
	return data, nil
}

// sumOf returns the digest of a text.
func sumOf(text []byte) image.Digest {
	h := sha256.New()
	h.Write(text)
	return sumOfHash(h)
}

// sumOfHash returns the digest of the bytes that were written to a hash.
func sumOfHash(h hash.Hash) image.Digest {
	return image.Digest("sha256:" + hex.EncodeToString(h.Sum(nil)))
}

// isDigest reports whether a name has the form of a Digest.
func isDigest(name string) bool {
	_, err := image.ParseDigest(name)
	return err == nil
}

// blobName returns the name of a blob's file.
func blobName(d image.Digest) string { return blobsDir + strings.TrimPrefix(string(d), "sha256:") }

// add notes a blob: its text, or the name of the file that has it.
func (a *archive) add(d image.Digest, text []byte, name string) {
	a.made = append(a.made, &madeBlob{digest: d, text: text, name: name})
}

// place returns the text of a blob, or the name of the file that has it.
func (a *archive) place(d image.Digest) (text []byte, name string) {
	for i := range a.made {
		if m := a.made[i]; m.digest == d {
			return m.text, m.name
		}
	}
	return nil, blobName(d)
}

// text returns a blob of at most max bytes, which has the digest.
func (a *archive) text(d image.Digest, max int64) ([]byte, error) {
	text, name := a.place(d)
	if text != nil {
		return text, nil
	}
	text, err := a.read(name, max)
	if err == nil && sumOf(text) != d {
		return nil, a.bad(Unverified, name, errors.New(wrongDigest))
	}
	return text, err
}

const wrongDigest = "it does not have the SHA-256 digest by which it is named"

// readLists reads index.json and manifest.json.
func (a *archive) readLists() error {
	version, err := a.read(layoutFile, 4<<10)
	saved, other := a.read(savedFile, image.MaxManifest)
	if KindOf(err) == NotFound {
		if err = other; KindOf(err) == NotFound {
			return a.bad(Unusable, "", errors.New("it is not an OCI layout: it has neither "+layoutFile+" nor "+savedFile+`, which "docker save" writes`))
		}
	} else if KindOf(other) == NotFound {
		saved, other = nil, nil
	}
	var text []byte
	if err == nil && version != nil {
		if text, err = a.read(indexFile, image.MaxManifest); !strings.Contains(string(version), `"1.`) {
			err = a.bad(Unusable, layoutFile, errors.New("it is not version 1 of the layout"))
		}
	}
	if err == nil {
		err = other
	}
	if err != nil {
		return err
	}
	if text != nil {
		if a.index, err = image.ParseManifest(text, image.OCIIndex); err == nil && len(a.index.Manifests) > maxArchiveIndex {
			err = errors.New("it lists more than " + strconv.Itoa(maxArchiveIndex) + " manifests")
		}
		if err != nil {
			return a.bad(Unusable, indexFile, err)
		}
		a.add(sumOf(text), text, "")
	}
	if saved != nil {
		if a.saved, err = image.ParseSaved(saved); err != nil {
			return a.bad(Unusable, "", err) // it names the file
		}
	}
	return nil
}

// choose returns the descriptor of the manifest that a name means. For an image that only
// manifest.json describes it makes the manifest.
func (a *archive) choose(ctx context.Context, name string) (*image.Descriptor, error) {
	found := a.named(ctx, name)
	n := len(found)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case a.parsed > maxArchiveTexts:
		return nil, a.tooLarge()
	case n == 1:
		return found[0], nil
	case isIndex(found) && n == len(a.named(ctx, "")):
		return &image.Descriptor{MediaType: image.OCIIndex, Digest: a.made[0].digest}, nil
	case n == 0 && isDigest(name): // of a manifest in an index
		d := &image.Descriptor{Digest: image.Digest(name)}
		if _, err := a.parse(d); err == nil {
			return d, nil
		}
	}
	var picked *image.SavedImage
	fitting := 0
	for i := range a.saved {
		s := &a.saved[i]
		fit := name == "" || strings.TrimPrefix(name, "sha256:") == configDigits(s)
		for _, tag := range s.Tags {
			fit = fit || fits(tag, name)
		}
		if fit {
			fitting++
			picked = s
		}
	}
	if fitting == 1 {
		return a.makeManifest(ctx, picked)
	}
	why := "several of its images fit: "
	if n+fitting == 0 {
		why = "it has no such image, but "
	}
	names := a.names(ctx, true)
	for i, known := range names[:min(len(names), maxNames)] {
		if i > 0 {
			why += ", "
		}
		why += strconv.Quote(known[:min(len(known), 200)])
	}
	if why += " (" + strconv.Itoa(len(names)) + " in all)"; len(names) == 0 {
		why = "it has no image"
	}
	if name != "" {
		why = "image " + strconv.Quote(name) + ": " + why
	}
	return nil, a.bad(NotFound, "", errors.New(why))
}

// names lists the names of the archive's images, each once. With all set images without a name are
// listed by their digests.
func (a *archive) names(ctx context.Context, all bool) (list []string) {
	for i := range a.index.Manifests {
		d := &a.index.Manifests[i]
		name := d.Name
		if name == "" && all {
			if is, _ := a.artifact(ctx, d); !is {
				name = string(d.Digest)
			}
		}
		list = appendName(list, name)
	}
	for i := range a.saved {
		s := &a.saved[i]
		for _, tag := range s.Tags {
			list = appendName(list, tag)
		}
		if len(s.Tags) == 0 && all {
			list = appendName(list, configDigits(s))
		}
	}
	return list
}

// appendName appends a name to a list, unless it is empty or the list is full.
func appendName(list []string, name string) []string {
	if name == "" || len(list) == maxArchiveIndex {
		return list
	}
	return appendNew(list, name)
}

// configDigits returns the name of an image's config without its directory and ending: its
// digest in hexadecimal digits.
func configDigits(s *image.SavedImage) string {
	return strings.TrimSuffix(s.Config[strings.LastIndexByte(s.Config, '/')+1:], ".json")
}

// named returns the entries of index.json that a name means, each digest once. "" means all
// images. "cosign save" writes signatures of the first storage without the tag that they have in
// a registry: without an entry of that name, the first of them is returned. Whoever reads them
// checks for which image they are.
func (a *archive) named(ctx context.Context, name string) (found []*image.Descriptor) {
	exact, signed := false, strings.HasPrefix(name, "sha256-") && strings.HasSuffix(name, ".sig")
	for i := range a.index.Manifests {
		d := &a.index.Manifests[i]
		same := name != "" && (d.Name == name || string(d.Digest) == name)
		fit := same || !exact && fits(d.Name, name)
		if !fit && d.Name == "" && signed && len(found) == 0 {
			_, fit = a.artifact(ctx, d)
		} else if name == "" {
			is := false
			if len(a.index.Manifests) > 1 {
				is, _ = a.artifact(ctx, d)
			}
			fit = !is
		}
		if !fit {
			continue
		}
		if same && !exact {
			exact, found = true, nil
		}
		known := false
		for _, f := range found {
			known = known || f.Digest == d.Digest
		}
		if !known {
			found = append(found, d)
		}
	}
	return found
}

// isIndex reports whether descriptors are of one image for several platforms.
func isIndex(list []*image.Descriptor) bool {
	for i, d := range list {
		for _, other := range list[:i] {
			if other.Platform == d.Platform || other.Name != d.Name {
				return false
			}
		}
		if d.Platform.Arch == "" {
			return false
		}
	}
	return len(list) > 1
}

// artifact reports whether an entry of index.json is a signature or the like, and whether it is
// one of cosign's first storage. What can't be read counts as an image: the user then has to say
// which one is wanted.
func (a *archive) artifact(ctx context.Context, d *image.Descriptor) (is, signature bool) {
	f := a.look(ctx, d)
	is = f.signature || f.subject != "" || f.artifact != ""
	return is || strings.HasPrefix(d.Name, "sha256-") || d.ArtifactType != "", f.signature
}

// look returns what is in a manifest, which is parsed once: an index may list it 4,096 times.
func (a *archive) look(ctx context.Context, d *image.Descriptor) *facts {
	key := string(d.Digest) + d.MediaType
	if f := a.seen[key]; f != nil {
		return f
	}
	f := new(facts)
	if f.err = ctx.Err(); f.err != nil {
		return f
	}
	m, err := a.parse(d)
	if f.err = err; err == nil {
		f.index, f.subject = m.Index, image.Digest(strings.Clone(string(m.Subject)))
		f.signature = len(m.Layers) > 0 && m.Layers[0].MediaType == image.SimpleSigning
		if f.artifact = "?"; isSignature(m.ArtifactType) {
			f.artifact = strings.Clone(m.ArtifactType)
		}
	}
	a.seen[key] = f
	return f
}

// tooLarge returns the error for more manifests than are parsed.
func (a *archive) tooLarge() error {
	return a.bad(0, "", errors.New("its manifests have more than "+strconv.Itoa(maxArchiveTexts>>20)+" MiB"))
}

// parse reads and parses a manifest.
func (a *archive) parse(d *image.Descriptor) (*image.Manifest, error) {
	if a.parsed > maxArchiveTexts {
		return nil, a.tooLarge()
	}
	text, err := a.text(d.Digest, image.MaxManifest)
	if err != nil {
		return nil, err
	}
	a.parsed += len(text)
	m, err := image.ParseManifest(text, d.MediaType)
	if err != nil {
		return nil, a.bad(Unusable, blobName(d.Digest), err)
	}
	return m, nil
}

// fits reports whether an image has a name by the rules of Docker's command line: without the
// names of its registry and library, and with the tag latest if there is no tag. A name that is
// only a tag fits, too.
func fits(have, name string) bool {
	if have == "" || name == "" {
		return false
	}
	have = shortName(have)
	_, tag, _ := strings.Cut(have[strings.LastIndexByte(have, '/')+1:], ":")
	return have == shortName(name) || tag == name
}

func shortName(name string) string {
	name = strings.TrimPrefix(strings.TrimPrefix(name, "docker.io/"), "library/")
	if !strings.Contains(name[strings.LastIndexByte(name, '/')+1:], ":") {
		name += ":latest"
	}
	return name
}

// get returns a small blob. The name of a manifest may also be that of an image, or "" for the
// one that openArchive was asked for.
func (a *archive) get(ctx context.Context, path string, max int64) (text []byte, mediaType string, err error) {
	_, name, _ := strings.Cut(path, "/")
	d := a.top
	if isDigest(name) {
		d = &image.Descriptor{Digest: image.Digest(name)}
		for i := range a.index.Manifests {
			if known := &a.index.Manifests[i]; known.Digest == d.Digest {
				d = known
			}
		}
	} else if name != "" {
		if d, err = a.choose(ctx, name); err != nil {
			return nil, "", err
		}
	}
	text, err = a.text(d.Digest, max)
	return text, d.MediaType, err
}

// makeManifest makes the manifest of an image that only manifest.json describes. It computes the
// digest of a layer unless that is its name: whoever reads the layer checks the digest.
func (a *archive) makeManifest(ctx context.Context, s *image.SavedImage) (*image.Descriptor, error) {
	config, err := a.read(s.Config, image.MaxConfig)
	if err != nil {
		return nil, err
	}
	d := sumOf(config)
	if named := "sha256:" + configDigits(s); string(d) != named && isDigest(named) {
		return nil, a.bad(Unverified, s.Config, errors.New(wrongDigest))
	}
	a.add(d, config, "")
	text := `{"schemaVersion":2,"mediaType":"` + image.OCIManifest + `","config":` + descriptor(image.OCIConfigType, d, int64(len(config))) + `},"layers":[`
	for i, name := range s.Layers {
		r, f, err := a.find(name)
		if err != nil {
			return nil, err
		}
		mediaType := "application/vnd.oci.image.layer.v1.tar"
		var head [4]byte
		r.ReadAt(head[:], 0)
		if string(head[:2]) == "\x1f\x8b" {
			mediaType += "+gzip"
		} else if string(head[:]) == "\x28\xb5\x2f\xfd" {
			mediaType += "+zstd"
		}
		if d = image.Digest(strings.Replace(name, blobsDir, "sha256:", 1)); !isDigest(string(d)) {
			h := sha256.New()
			_, err = io.Copy(h, untar.Until(ctx, r))
			d = sumOfHash(h)
			a.add(d, nil, name)
		}
		if f.Close(); err != nil {
			return nil, a.bad(0, name, err)
		}
		if i > 0 {
			text += ","
		}
		text += descriptor(mediaType, d, r.Size()) + "}"
	}
	text += "]}"
	d = sumOf([]byte(text))
	a.add(d, []byte(text), "")
	return &image.Descriptor{MediaType: image.OCIManifest, Digest: d}, nil
}

// descriptor returns the JSON text of a descriptor without the brace at its end. Nothing in it
// needs an escape.
func descriptor(mediaType string, d image.Digest, size int64) string {
	return `{"mediaType":"` + mediaType + `","digest":"` + string(d) + `","size":` + strconv.FormatInt(size, 10)
}

// referrers lists the manifests in index.json that refer to the one with a digest, and those
// that an index with its tag lists (distribution spec, "Referrers Tag Schema").
func (a *archive) referrers(ctx context.Context, digest image.Digest) (list []image.Descriptor, err error) {
	for i := range a.index.Manifests {
		d := &a.index.Manifests[i]
		f := a.look(ctx, d)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		more := []image.Descriptor{*d}
		switch {
		case KindOf(f.err) == NotFound: // a layout may have a part of what its index lists
			continue
		case f.err != nil:
			return nil, f.err
		case f.index && d.Name == strings.Replace(string(digest), ":", "-", 1):
			m, err := a.parse(d)
			if err != nil {
				return nil, err
			}
			more = m.Manifests
		case f.subject != digest:
			continue
		case d.ArtifactType == "":
			more[0].ArtifactType = f.artifact
		}
		if list = appendSignatures(list, more); len(list) == maxSignatures {
			break
		}
	}
	return list, nil
}

// open returns the bytes of a layer from offset on. Whoever reads them checks the digest.
func (a *archive) open(ctx context.Context, d *image.Descriptor, offset int64) (io.ReadCloser, error) {
	_, name := a.place(d.Digest)
	r, f, err := a.find(name)
	if err != nil {
		return nil, err
	}
	if r.Size() != d.Size {
		err = wrongSize(r.Size(), d)
	} else if offset > d.Size {
		err = a.bad(0, name, io.ErrUnexpectedEOF)
	} else {
		_, err = r.Seek(offset, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &partReader{from: untar.Until(ctx, r), file: f}, nil
}

// A partReader reads a part of an archive.
type partReader struct {
	_    [0]func() // forbids ==, whose code nothing needs
	from io.Reader
	file *os.File // to be closed; nil: none
}

func (r *partReader) Read(p []byte) (int, error) { return r.from.Read(p) }

// Close closes the part's file.
func (r *partReader) Close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}
