package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"lxc-pull/image"
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
)

// Names of files in archives (OCI image spec, image-layout.md; "docker save").
const (
	layoutFile = "oci-layout"
	indexFile  = "index.json"
	savedFile  = "manifest.json"
	blobsDir   = "blobs/sha256/"
)

// The media types of the manifest that makeManifest writes (OCI image spec, media-types.md), and
// of cosign's payloads.
const (
	typeIndex      = "application/vnd.oci.image.index.v1+json"
	typeManifest   = "application/vnd.oci.image.manifest.v1+json"
	typeConfig     = "application/vnd.oci.image.config.v1+json"
	typeLayer      = "application/vnd.oci.image.layer.v1.tar"
	typeSimpleSign = "application/vnd.dev.cosign.simplesigning.v1+json"
)

// An archive is a store on the disk: an OCI layout, an oci-archive (a tar archive of a layout),
// or a docker-archive ("docker save"). Nothing in it is trusted: manifests, configs and layers
// have the digests by which they were asked for, or are refused. Its methods must not be called
// at the same time, but what open returns may be read at any time.
type archive struct {
	name string // as the user wrote it
	// For a tar archive tar is set, and files lists its files. file is to be closed, nil if the
	// archive is standard input or a copy, which its caller closes.
	tar   io.ReaderAt
	files []untar.Member
	file  *os.File
	// A layout has the directories itself and blobs/sha256.
	layout, blobs *os.File

	index *image.Manifest    // index.json; nil: there is none
	saved []image.SavedImage // manifest.json; nil: there is none
	made  []madeBlob         // index.json first, if there is one
	top   *image.Descriptor  // of the manifest that the caller of openArchive wants
	pick  *image.SavedImage  // or the image of which manifest makes one; nil: top has it
}

// A madeBlob is a blob that has no file named by its digest.
type madeBlob struct {
	_            [0]func() // forbids ==, whose code nothing needs
	digest       image.Digest
	text         []byte // nil: a file has it
	name         string // of the file
	offset, size int64  // of the file in the archive, in bytes
}

// openArchive opens the archive at a path; "-" is standard input. name is the tag or NAME:TAG of
// the image that manifest returns for the name "", or its digest. It may be "" if the archive
// has one image. A compressed archive and standard input are copied to the file that spool
// returns, which the caller closes after the archive. Other files are read in place.
func openArchive(ctx context.Context, path, name string, spool func() (*os.File, error), decoding untar.DecompressOptions) (*archive, error) {
	a := &archive{name: path}
	err := a.openPath(ctx, spool, decoding)
	if err == nil {
		err = a.readLists()
	}
	if err == nil {
		a.top, a.pick, err = a.choose(name)
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
	a.layout.Close()
	a.blobs.Close()
}

// bad returns an error about a part of the archive, "" for the whole.
func (a *archive) bad(kind Kind, part, why string) error {
	return a.broken(kind, part, errors.New(why))
}

// broken returns the error for a part that can't be read.
func (a *archive) broken(kind Kind, part string, err error) error {
	what := "archive " + strconv.Quote(a.name)
	if part != "" {
		what += ": " + strconv.Quote(part)
		if errors.Is(err, fs.ErrNotExist) {
			kind, err = NotFound, errors.New("the archive has no such file")
		}
	}
	return &Error{Kind: kind, What: what, Err: err}
}

// openPath opens the layout or the tar archive.
func (a *archive) openPath(ctx context.Context, spool func() (*os.File, error), decoding untar.DecompressOptions) error {
	f := os.Stdin
	if a.name != "-" {
		// Look first: to open a device may have effects, and a FIFO waits for a writer.
		info, err := os.Stat(a.name)
		if err != nil {
			return err
		}
		if info.IsDir() {
			return a.openLayout()
		}
		if f, err = os.OpenFile(a.name, os.O_RDONLY|unix.O_NONBLOCK, 0); err != nil {
			return err
		}
		a.file = f
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	size, in := info.Size(), io.Reader(&waiter{ctx: ctx, f: f})
	if info.Mode().IsRegular() {
		// Others may have read the beginning of standard input.
		start, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		size = max(size-start, 0)
		a.tar = io.NewSectionReader(f, start, size)
		in = untar.Until(ctx, io.NewSectionReader(f, start, size))
	} else if a.file != nil {
		return a.bad(0, "", "it is neither a directory nor a regular file; - is standard input")
	}
	packed, err := untar.Decompress(in, decoding)
	if err == nil {
		if a.tar == nil || packed.Format != untar.FormatPlain {
			size, err = a.copy(packed, spool)
		}
		packed.Close()
	}
	if err == nil {
		a.files, err = untar.Members(a.tar, size, maxArchiveFiles)
	}
	if err != nil {
		return a.broken(0, "", err)
	}
	return nil
}

// copy writes the decompressed archive to the caller's file, and returns its size.
func (a *archive) copy(packed io.Reader, spool func() (*os.File, error)) (int64, error) {
	to, err := spool()
	if err != nil {
		return 0, err
	}
	a.tar = to
	n, err := io.Copy(to, io.LimitReader(packed, maxArchiveCopy+1))
	if n > maxArchiveCopy {
		err = errors.New("it has more than " + strconv.Itoa(maxArchiveCopy>>30) + " GiB")
	}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		err = fmt.Errorf("no room for the copy that standard input and compressed archives need, unlike a plain tar file: %w", err)
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

// openLayout opens the directories of a layout. Links in it are not followed.
func (a *archive) openLayout() error {
	root, err := untar.OpenRoot(a.name)
	if err != nil {
		return err
	}
	a.layout, err = root.File()
	for _, name := range [...]string{"blobs", "sha256"} {
		if err == nil {
			var next *untar.Root
			if next, err = root.Open(name); err == nil {
				root.Close()
				root = next
			}
		}
	}
	if err == nil {
		a.blobs, err = root.File()
	}
	root.Close()
	if err != nil {
		return a.broken(0, "", fmt.Errorf("it is not an OCI layout: %w", err))
	}
	return nil
}

// A part is a file of an archive.
type part struct {
	_            [0]func() // forbids ==, whose code nothing needs
	from         io.ReaderAt
	offset, size int64
	file         *os.File // to be closed; nil: none
}

// find returns a file of the archive.
func (a *archive) find(name string) (*part, error) {
	for i := range a.files {
		if f := &a.files[i]; f.Name == name {
			return &part{from: a.tar, offset: f.Offset, size: f.Size}, nil
		}
	}
	err := error(fs.ErrNotExist)
	if a.layout != nil {
		dir, base := a.layout, name
		if in, ok := strings.CutPrefix(name, blobsDir); ok {
			dir, base = a.blobs, in
		}
		fd := -1
		for err = unix.EINTR; err == unix.EINTR; {
			fd, err = unix.Openat(int(dir.Fd()), base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		}
		if err == nil {
			f := os.NewFile(uintptr(fd), name)
			if info, serr := f.Stat(); serr == nil && info.Mode().IsRegular() {
				return &part{from: f, size: info.Size(), file: f}, nil
			}
			f.Close()
		}
		if err == nil || err == unix.ELOOP {
			err = errors.New("it is no regular file")
		}
	}
	return nil, a.broken(0, name, err)
}

// read returns the content of a file of at most max bytes.
func (a *archive) read(name string, max int64) ([]byte, error) {
	p, err := a.find(name)
	if err != nil {
		return nil, err
	}
	if p.size > max {
		err = errors.New("larger than the " + strconv.FormatInt(max, 10) + " bytes that are allowed")
	}
	var data []byte
	if err == nil {
		data = make([]byte, p.size)
		_, err = io.ReadFull(io.NewSectionReader(p.from, p.offset, p.size), data)
	}
	p.file.Close()
	if err != nil {
		return nil, a.broken(0, name, err)
	}
	return data, nil
}

// sumOf returns the digest of a text.
func sumOf(text []byte) image.Digest {
	sum := sha256.Sum256(text)
	return image.Digest("sha256:" + hex.EncodeToString(sum[:]))
}

// isDigest reports whether a name has the form of a Digest.
func isDigest(name string) bool {
	digits, ok := strings.CutPrefix(name, "sha256:")
	return ok && isHex(digits)
}

// isHex reports whether a text is a SHA-256 digest in hexadecimal digits.
func isHex(s string) bool { return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == "" }

// blobName returns the name of a blob's file.
func blobName(d image.Digest) string { return blobsDir + strings.TrimPrefix(string(d), "sha256:") }

const wrongDigest = "it does not have the SHA-256 digest by which it is named"

// text returns a blob of at most max bytes, which has the digest.
func (a *archive) text(d image.Digest, max int64) ([]byte, error) {
	name := blobName(d)
	for i := range a.made {
		if m := &a.made[i]; m.digest == d {
			if m.text != nil {
				return m.text, nil
			}
			name = m.name
		}
	}
	data, err := a.read(name, max)
	if err == nil && sumOf(data) != d {
		return nil, a.bad(Unverified, name, wrongDigest)
	}
	return data, err
}

// readLists reads index.json and manifest.json.
func (a *archive) readLists() error {
	isOCI, isDocker := a.layout != nil, false
	for i := range a.files {
		isOCI = isOCI || a.files[i].Name == layoutFile
		isDocker = isDocker || a.files[i].Name == savedFile
	}
	if !isOCI && !isDocker {
		return a.bad(0, "", "it has neither "+layoutFile+", as an OCI layout has, nor "+savedFile+`, which "docker save" writes`)
	}
	if isOCI {
		version, err := a.read(layoutFile, 4<<10)
		if err == nil && !strings.Contains(string(version), `"1.`) {
			err = a.bad(0, layoutFile, "it is not version 1 of the layout")
		}
		var text []byte
		if err == nil {
			text, err = a.read(indexFile, image.MaxManifest)
		}
		if err != nil {
			return err
		}
		if a.index, err = image.ParseManifest(text, typeIndex); err == nil && len(a.index.Manifests) > maxArchiveIndex {
			err = errors.New("it lists more than " + strconv.Itoa(maxArchiveIndex) + " manifests")
		}
		if err != nil {
			return a.broken(0, indexFile, err)
		}
		a.made = append(a.made, madeBlob{digest: sumOf(text), text: text})
	}
	if isDocker {
		text, err := a.read(savedFile, image.MaxManifest)
		if err != nil {
			return err
		}
		if a.saved, err = image.ParseSaved(text); err != nil {
			return a.broken(0, "", err) // it names the file
		}
	}
	return nil
}

// choose returns the descriptor of the manifest that a name means, or the image of manifest.json
// if index.json does not say which it is.
func (a *archive) choose(name string) (*image.Descriptor, *image.SavedImage, error) {
	n := 0
	if a.index != nil {
		found := a.named(name)
		n = len(found)
		switch {
		case n == 1:
			return found[0], nil, nil
		case n > 1 && isIndex(found) && n == len(a.named("")):
			return &image.Descriptor{MediaType: typeIndex, Digest: a.made[0].digest}, nil, nil
		case n == 0 && isDigest(name): // of a manifest in an index
			d := &image.Descriptor{Digest: image.Digest(name)}
			if _, err := a.parse(d); err == nil {
				return d, nil, nil
			}
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
		return nil, picked, nil
	}
	why := "several of its images fit: "
	if n+fitting == 0 {
		why = "it has no such image, but "
	}
	names := a.listNames()
	if why += names; names == "" {
		why = "it has no image"
	}
	if name != "" {
		why = "image " + strconv.Quote(name) + ": " + why
	}
	return nil, nil, a.bad(NotFound, "", why)
}

// listNames returns the first names of the archive's images, for an error.
func (a *archive) listNames() string {
	text, n := "", 0
	list := func(name string) {
		const most = 10
		if n++; n <= most {
			text += ", " + strconv.Quote(name[:min(len(name), 200)])
		}
	}
	for i := range a.saved {
		for _, tag := range a.saved[i].Tags {
			list(tag)
		}
		if len(a.saved[i].Tags) == 0 {
			list(configDigits(&a.saved[i]))
		}
	}
	if a.index != nil && n == 0 {
		for _, d := range a.named("") {
			if d.Name != "" {
				list(d.Name)
			} else {
				list(string(d.Digest))
			}
		}
	}
	if n == 0 {
		return ""
	}
	return text[2:] + " (" + strconv.Itoa(n) + " in all)"
}

// configDigits returns the name of an image's config without its directory and ending: its
// digest in hexadecimal digits.
func configDigits(s *image.SavedImage) string {
	return strings.TrimSuffix(s.Config[strings.LastIndexByte(s.Config, '/')+1:], ".json")
}

// named returns the entries of index.json that a name means. "" means all images: entries that
// are not signatures or the like.
func (a *archive) named(name string) []*image.Descriptor {
	var exact, found []*image.Descriptor
	for i := range a.index.Manifests {
		d := &a.index.Manifests[i]
		switch {
		case name == "":
			if !strings.HasPrefix(d.Name, "sha256-") && d.ArtifactType == "" {
				found = append(found, d)
			}
		case d.Name == name || string(d.Digest) == name:
			exact = append(exact, d)
		case fits(d.Name, name):
			found = append(found, d)
		}
	}
	if len(exact) > 0 {
		found = exact
	}
	others := 0 // one image may have several names
	for _, d := range found {
		if d.Digest != found[0].Digest {
			others++
		}
	}
	if others == 0 {
		return found[:min(len(found), 1)]
	}
	if name != "" {
		return found
	}
	images := found[:0]
	for _, d := range found {
		// What can't be read counts as an image: the user then has to say which he wants.
		if m, err := a.parse(d); err != nil || m.Subject == "" && m.ArtifactType == "" && !isSimpleSigned(m) {
			images = append(images, d)
		}
	}
	return images
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
	return true
}

// isSimpleSigned reports whether a manifest is cosign's, of its first storage.
func isSimpleSigned(m *image.Manifest) bool {
	return len(m.Layers) > 0 && m.Layers[0].MediaType == typeSimpleSign
}

// parse reads and parses a manifest.
func (a *archive) parse(d *image.Descriptor) (*image.Manifest, error) {
	text, err := a.text(d.Digest, image.MaxManifest)
	if err != nil {
		return nil, err
	}
	m, err := image.ParseManifest(text, d.MediaType)
	if err != nil {
		return nil, a.broken(0, blobName(d.Digest), err)
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

// manifest returns a manifest or index, and its media type: by its tag or digest, or for "" the
// one that openArchive was asked for. For an image that only manifest.json describes it makes
// one, for which it reads all layers that no digest names.
func (a *archive) manifest(ctx context.Context, name string) (text []byte, mediaType string, err error) {
	d, pick := a.top, a.pick
	if isDigest(name) {
		d, pick = &image.Descriptor{Digest: image.Digest(name)}, nil
		if a.index != nil {
			for i := range a.index.Manifests {
				if known := &a.index.Manifests[i]; known.Digest == d.Digest {
					d = known
				}
			}
		}
	} else if name != "" {
		if d, pick, err = a.choose(name); err != nil {
			if d = a.signatures(name); d == nil {
				return nil, "", err
			}
		}
	}
	if pick != nil {
		text, err = a.makeManifest(ctx, pick)
		return text, typeManifest, err
	}
	text, err = a.text(d.Digest, image.MaxManifest)
	return text, d.MediaType, err
}

// signatures returns the entry of index.json with cosign's signatures of the first storage, if
// name is the tag that they have in a registry: "cosign save" writes them without a name. nil:
// there is none. Whoever reads them checks for which image they are.
func (a *archive) signatures(name string) *image.Descriptor {
	if a.index != nil && strings.HasPrefix(name, "sha256-") && strings.HasSuffix(name, ".sig") {
		for i := range a.index.Manifests {
			d := &a.index.Manifests[i]
			if m, err := a.parse(d); err == nil && d.Name == "" && isSimpleSigned(m) {
				return d
			}
		}
	}
	return nil
}

// makeManifest makes the manifest of an image that only manifest.json describes.
func (a *archive) makeManifest(ctx context.Context, s *image.SavedImage) ([]byte, error) {
	if len(s.Layers) > image.MaxLayers {
		return nil, a.bad(0, savedFile, "an image has more than "+strconv.Itoa(image.MaxLayers)+" layers")
	}
	config, err := a.read(s.Config, image.MaxConfig)
	if err != nil {
		return nil, err
	}
	m := madeBlob{digest: sumOf(config), text: config}
	if digits := configDigits(s); isHex(digits) && string(m.digest) != "sha256:"+digits {
		return nil, a.bad(Unverified, s.Config, wrongDigest)
	}
	a.made = append(a.made, m)
	text := appendDescriptor(`{"schemaVersion":2,"mediaType":"`+typeManifest+`","config":`, typeConfig, m.digest, int64(len(config)))
	separator := `,"layers":[`
	for _, name := range s.Layers {
		m, mediaType, err := a.layer(ctx, name)
		if err != nil {
			return nil, err
		}
		text = appendDescriptor(text+separator, mediaType, m.digest, m.size)
		separator = ","
	}
	if len(s.Layers) == 0 {
		text += separator
	}
	m.text = []byte(text + "]}")
	m.digest = sumOf(m.text)
	a.made = append(a.made, m)
	return m.text, nil
}

// appendDescriptor appends a descriptor to a JSON text. Nothing in it needs an escape.
func appendDescriptor(text, mediaType string, d image.Digest, size int64) string {
	return text + `{"mediaType":"` + mediaType + `","digest":"` + string(d) + `","size":` + strconv.FormatInt(size, 10) + "}"
}

// layer returns a layer of a docker-archive and its media type. It computes the digest unless the
// name is that of a blob: whoever reads the blob checks its digest.
func (a *archive) layer(ctx context.Context, name string) (m madeBlob, mediaType string, err error) {
	p, err := a.find(name)
	if err != nil {
		return m, "", err
	}
	m = madeBlob{name: name, offset: p.offset, size: p.size}
	var head [4]byte
	n, _ := p.from.ReadAt(head[:min(p.size, 4)], p.offset)
	switch kind := string(head[:n]); {
	case strings.HasPrefix(kind, "\x1f\x8b"):
		mediaType = typeLayer + "+gzip"
	case kind == "\x28\xb5\x2f\xfd":
		mediaType = typeLayer + "+zstd"
	default:
		mediaType = typeLayer
	}
	if digits, ok := strings.CutPrefix(name, blobsDir); ok && isHex(digits) {
		m.digest = image.Digest("sha256:" + digits)
		return m, mediaType, nil
	}
	for i := range a.made { // the same bytes may have several names
		if known := &a.made[i]; known.text == nil && known.offset == p.offset && known.size == p.size {
			return *known, mediaType, nil
		}
	}
	h := sha256.New()
	if _, err := io.Copy(h, untar.Until(ctx, io.NewSectionReader(p.from, p.offset, p.size))); err != nil {
		return m, "", a.broken(0, name, err)
	}
	m.digest = image.Digest("sha256:" + hex.EncodeToString(h.Sum(nil)))
	a.made = append(a.made, m)
	return m, mediaType, nil
}

// small returns a small blob of at most max bytes, which has the digest.
func (a *archive) small(_ context.Context, d *image.Descriptor, max int64) ([]byte, error) {
	data, err := a.text(d.Digest, max)
	if err == nil {
		err = a.checkSize(d, int64(len(data)))
	}
	return data, err
}

// checkSize returns an error unless a blob has the size of its descriptor.
func (a *archive) checkSize(d *image.Descriptor, size int64) error {
	if size == d.Size {
		return nil
	}
	return a.bad(Unverified, string(d.Digest), "it has "+strconv.FormatInt(size, 10)+" bytes, and "+strconv.FormatInt(d.Size, 10)+" in the manifest")
}

// referrers lists the manifests in index.json that refer to the one with a digest, and those
// that an index with its tag lists (distribution spec, "Referrers Tag Schema").
func (a *archive) referrers(ctx context.Context, digest image.Digest) (list []image.Descriptor, err error) {
	if a.index == nil {
		return nil, nil
	}
	for i := range a.index.Manifests {
		d := &a.index.Manifests[i]
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		m, err := a.parse(d)
		switch {
		case KindOf(err) == NotFound: // a layout may have a part of what its index lists
		case err != nil:
			return nil, err
		case m.Index && d.Name == strings.Replace(string(digest), ":", "-", 1):
			list = append(list, m.Manifests...)
		case m.Subject == digest:
			of := *d
			if of.ArtifactType == "" {
				of.ArtifactType = m.ArtifactType
			}
			list = append(list, of)
		}
	}
	return list, nil
}

// open returns the bytes of a layer from offset on. Whoever reads them checks the digest.
func (a *archive) open(ctx context.Context, d *image.Descriptor, offset int64) (io.ReadCloser, error) {
	name := blobName(d.Digest)
	for i := range a.made {
		if m := &a.made[i]; m.digest == d.Digest && m.text == nil {
			name = m.name
		}
	}
	p, err := a.find(name)
	if err != nil {
		return nil, err
	}
	if err = a.checkSize(d, p.size); err == nil && (offset < 0 || offset > p.size) {
		err = a.bad(0, name, "it has no byte "+strconv.FormatInt(offset, 10))
	}
	if err != nil {
		p.file.Close()
		return nil, err
	}
	return &partReader{Reader: untar.Until(ctx, io.NewSectionReader(p.from, p.offset+offset, p.size-offset)), file: p.file}, nil
}

// A partReader reads a part of an archive.
type partReader struct {
	_ [0]func() // forbids ==, whose code nothing needs
	io.Reader
	file *os.File // to be closed; nil: none
}

// Close closes the part's file.
func (r *partReader) Close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}
