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
	"path"
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
	made  []madeBlob
	top   image.Descriptor  // of the manifest that the caller of openArchive wants
	pick  *image.SavedImage // or the image of which manifest makes one; nil: top has it
}

// A madeBlob is a blob that has no file named by its digest.
type madeBlob struct {
	_      [0]func() // forbids ==, whose code nothing needs
	digest image.Digest
	text   []byte // nil: place has the bytes
	place  untar.Member
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
	for _, f := range []*os.File{a.file, a.layout, a.blobs} {
		if f != nil {
			f.Close()
		}
	}
}

// bad returns an error about a part of the archive.
func (a *archive) bad(kind Kind, part string, err error) error {
	return &Error{Kind: kind, What: fmt.Sprintf("archive %q: %q", a.name, part), Err: err}
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
	regular := info.Mode().IsRegular()
	if !regular && a.file != nil {
		return fmt.Errorf("%q is neither a directory nor a regular file; - reads standard input", a.name)
	}
	size, in := info.Size(), io.Reader(&waiter{ctx, f})
	if regular {
		start := int64(0)
		if a.file == nil { // others may have read the beginning of standard input
			if start, err = f.Seek(0, io.SeekCurrent); err != nil {
				return err
			}
		}
		whole := io.NewSectionReader(f, start, max(size-start, 0))
		a.tar, size = whole, whole.Size()
		in = untar.Until(ctx, io.NewSectionReader(whole, 0, size))
	}
	packed, err := untar.Decompress(in, decoding)
	if err != nil {
		return fmt.Errorf("archive %q: %w", a.name, err)
	}
	defer packed.Close()
	if !regular || packed.Format != untar.FormatPlain {
		if size, err = a.copy(packed, spool); err != nil {
			return err
		}
	}
	if a.files, err = untar.Members(a.tar, size, maxArchiveFiles); err != nil {
		return fmt.Errorf("archive %q: %w", a.name, err)
	}
	return nil
}

// copy writes the decompressed archive to the caller's file.
func (a *archive) copy(packed *untar.Decompressed, spool func() (*os.File, error)) (int64, error) {
	to, err := spool()
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(to, io.LimitReader(packed, maxArchiveCopy+1))
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT), errors.Is(err, unix.EFBIG):
		return 0, fmt.Errorf("archive %q: the disk has no room for a copy of it, which is needed because it is compressed or standard input; a plain tar file is read in place: %w", a.name, err)
	case err != nil:
		return 0, fmt.Errorf("archive %q: %w", a.name, err)
	case n > maxArchiveCopy:
		return 0, fmt.Errorf("archive %q: it has more than %s", a.name, ByteCount(maxArchiveCopy))
	}
	a.tar = to
	return n, nil
}

// A waiter reads a file that may have to wait for its bytes. Read returns the context's error
// once the context is done.
type waiter struct {
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

// openLayout opens the directories of a layout. Links to them are not followed.
func (a *archive) openLayout() error {
	root, err := untar.OpenRoot(a.name)
	if err != nil {
		return err
	}
	defer root.Close()
	if a.layout, err = root.File(); err != nil {
		return err
	}
	for _, name := range []string{"blobs", "sha256"} {
		next, err := root.Open(name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			return fmt.Errorf("%q is not an OCI layout: it has no directory blobs/sha256", a.name)
		}
		if err != nil {
			return err
		}
		defer next.Close()
		root = next
	}
	a.blobs, err = root.File()
	return err
}

// A part is a file of an archive.
type part struct {
	from         io.ReaderAt
	offset, size int64
	file         *os.File // to be closed; nil: none
}

// find returns a file of the archive. The error is fs.ErrNotExist if there is none.
func (a *archive) find(name string) (part, error) {
	if a.layout == nil {
		for _, f := range a.files {
			if f.Name == name {
				return part{a.tar, f.Offset, f.Size, nil}, nil
			}
		}
		return part{}, fs.ErrNotExist
	}
	dir := a.layout
	if in, ok := strings.CutPrefix(name, blobsDir); ok {
		dir, name = a.blobs, in
	}
	if strings.Contains(name, "/") {
		return part{}, fs.ErrNotExist
	}
	for {
		fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		switch err {
		case nil:
		case unix.EINTR:
			continue
		case unix.ELOOP:
			return part{}, errors.New("it is a symbolic link")
		default:
			return part{}, err
		}
		f := os.NewFile(uintptr(fd), name)
		info, err := f.Stat()
		if err == nil && !info.Mode().IsRegular() {
			err = errors.New("it is not a regular file")
		}
		if err != nil {
			f.Close()
			return part{}, err
		}
		return part{f, 0, info.Size(), f}, nil
	}
}

// read returns the content of a file of at most max bytes.
func (a *archive) read(name string, max int64) ([]byte, error) {
	p, err := a.find(name)
	if err == nil {
		if p.file != nil {
			defer p.file.Close()
		}
		if p.size > max {
			err = fmt.Errorf("it has %d bytes, more than the %d that are allowed", p.size, max)
		}
	}
	var data []byte
	if err == nil {
		data = make([]byte, p.size)
		_, err = io.ReadFull(io.NewSectionReader(p.from, p.offset, p.size), data)
	}
	if err != nil {
		return nil, a.broken(name, err)
	}
	return data, nil
}

// broken returns the error for a file that can't be read.
func (a *archive) broken(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return a.bad(NotFound, name, errors.New("the archive has no such file"))
	}
	return a.bad(0, name, err)
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

// text returns a blob of at most max bytes, which has the digest.
func (a *archive) text(d image.Digest, max int64) ([]byte, error) {
	name := blobName(d)
	for i := range a.made {
		if m := &a.made[i]; m.digest == d {
			if m.text != nil {
				return m.text, nil
			}
			name = m.place.Name
		}
	}
	if !isDigest(string(d)) { // for other algorithms there is no directory
		return nil, a.bad(NotFound, string(d), errors.New("the digest is not of SHA-256"))
	}
	data, err := a.read(name, max)
	if err == nil && sumOf(data) != d {
		return nil, a.bad(Unverified, name, errors.New("its SHA-256 digest is not the one in its name"))
	}
	return data, err
}

// readLists reads index.json and manifest.json.
func (a *archive) readLists() error {
	isOCI, isDocker := a.layout != nil, false
	for _, f := range a.files {
		isOCI, isDocker = isOCI || f.Name == layoutFile, isDocker || f.Name == savedFile
	}
	if !isOCI && !isDocker {
		return fmt.Errorf("archive %q: it has neither %s, as an OCI layout has, nor %s, as \"docker save\" writes", a.name, layoutFile, savedFile)
	}
	if isOCI {
		version, err := a.read(layoutFile, 4<<10)
		if err != nil {
			return err
		}
		if !strings.Contains(string(version), `"imageLayoutVersion"`) || !strings.Contains(string(version), `"1.`) {
			return a.bad(0, layoutFile, fmt.Errorf("not version 1 of the layout: %.100q", version))
		}
		text, err := a.read(indexFile, image.MaxManifest)
		if err != nil {
			return err
		}
		if a.index, err = image.ParseManifest(text, typeIndex); err == nil && !a.index.Index {
			err = errors.New("it is not an index")
		}
		if err == nil && len(a.index.Manifests) > maxArchiveIndex {
			err = fmt.Errorf("it lists %d manifests; at most %d are allowed", len(a.index.Manifests), maxArchiveIndex)
		}
		if err != nil {
			return a.bad(0, indexFile, err)
		}
		a.made = append(a.made, madeBlob{digest: sumOf(text), text: text})
	}
	if isDocker {
		text, err := a.read(savedFile, image.MaxManifest)
		if err != nil {
			return err
		}
		if a.saved, err = image.ParseSaved(text); err != nil {
			return fmt.Errorf("archive %q: %w", a.name, err) // it names the file
		}
	}
	return nil
}

// choose returns the descriptor of the manifest that a name means, or the image of manifest.json
// if index.json does not say which it is.
func (a *archive) choose(name string) (image.Descriptor, *image.SavedImage, error) {
	var found []image.Descriptor
	if a.index != nil {
		if found = a.named(name); len(found) == 1 {
			return found[0], nil, nil
		}
		if isDigest(name) && len(found) == 0 {
			if _, err := a.text(image.Digest(name), image.MaxManifest); err == nil {
				return image.Descriptor{Digest: image.Digest(name)}, nil, nil
			}
		}
		if isIndex(found) && len(found) == len(a.named("")) {
			return image.Descriptor{MediaType: typeIndex, Digest: a.made[0].digest}, nil, nil
		}
	}
	var picked *image.SavedImage
	n := len(found)
	if len(a.saved) > 0 {
		n = 0
	}
	for i := range a.saved {
		s := &a.saved[i]
		fitting := name == "" || isHex(configDigits(s)) && strings.TrimPrefix(name, "sha256:") == configDigits(s)
		for _, tag := range s.Tags {
			fitting = fitting || fits(tag, name)
		}
		if fitting {
			n++
			picked = s
		}
	}
	if n == 1 && picked != nil {
		if d := a.withConfig(picked); d != nil {
			return *d, nil, nil
		}
		return image.Descriptor{}, picked, nil
	}
	return image.Descriptor{}, nil, a.whichImage(name, n)
}

// withConfig returns the entry of index.json for an image of manifest.json: the one whose manifest,
// or a manifest in its index, has the same config. nil: there is none.
func (a *archive) withConfig(s *image.SavedImage) *image.Descriptor {
	if a.index == nil {
		return nil
	}
	for i := range a.index.Manifests {
		d := &a.index.Manifests[i]
		m, err := a.parse(d)
		if err != nil {
			continue
		}
		if string(m.Config.Digest) == "sha256:"+configDigits(s) {
			return d
		}
		for k := range m.Manifests {
			in, err := a.parse(&m.Manifests[k])
			if err == nil && string(in.Config.Digest) == "sha256:"+configDigits(s) {
				return d
			}
		}
	}
	return nil
}

// whichImage returns the error for a name that n images have.
func (a *archive) whichImage(name string, n int) error {
	var names []string
	for _, s := range a.saved {
		if names = append(names, s.Tags...); len(s.Tags) == 0 {
			names = append(names, configDigits(&s))
		}
	}
	if len(names) == 0 && a.index != nil {
		for _, d := range a.named("") {
			if d.Name == "" {
				d.Name = string(d.Digest)
			}
			names = append(names, d.Name)
		}
	}
	const most = 10 // names in a text
	text := ""
	for i, s := range names[:min(len(names), most)] {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%.200q", s)
	}
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	err := fmt.Errorf("the archive has several images, and a name must say which: %s", text)
	switch {
	case len(names) == 0:
		err = errors.New("the archive has no image")
	case n > 1 && name != "":
		err = fmt.Errorf("several images have the name %q: %s", name, text)
	case n == 0:
		err = fmt.Errorf("the archive has no image %q, but %s", name, text)
	}
	return &Error{Kind: NotFound, What: fmt.Sprintf("archive %q", a.name), Err: err}
}

// configDigits returns the name of an image's config without its directory and ending: its
// digest in hexadecimal digits.
func configDigits(s *image.SavedImage) string {
	return strings.TrimSuffix(path.Base(s.Config), ".json")
}

// named returns the entries of index.json that a name means. "" means all images: entries that
// are not signatures or the like.
func (a *archive) named(name string) []image.Descriptor {
	var exact, found []image.Descriptor
	for _, d := range a.index.Manifests {
		attached := strings.HasPrefix(d.Name, "sha256-") || d.ArtifactType != "" || d.Platform.OS == "unknown"
		switch {
		case name == "" && !attached, name != "" && (fits(d.Name, name) || string(d.Digest) == name):
			found = add(found, d)
		}
		if name != "" && d.Name == name {
			exact = add(exact, d)
		}
	}
	if len(exact) > 0 {
		return exact
	}
	if name != "" || len(found) < 2 {
		return found
	}
	images := found[:0:0]
	for i := range found {
		// What can't be read counts as an image: the user then has to say which he wants.
		if m, err := a.parse(&found[i]); err != nil || m.Subject == "" && m.ArtifactType == "" && !isSignature(m) {
			images = append(images, found[i])
		}
	}
	return images
}

// add appends a descriptor unless its digest is in the list.
func add(list []image.Descriptor, d image.Descriptor) []image.Descriptor {
	for i := range list {
		if list[i].Digest == d.Digest {
			return list
		}
	}
	return append(list, d)
}

// isIndex reports whether descriptors are of one image for several platforms.
func isIndex(list []image.Descriptor) bool {
	for i := range list {
		for k := range list[:i] {
			if list[k].Platform == list[i].Platform || list[k].Name != list[i].Name {
				return false
			}
		}
		if list[i].Platform.Arch == "" {
			return false
		}
	}
	return len(list) > 0
}

// isSignature reports whether a manifest is cosign's, of its first storage.
func isSignature(m *image.Manifest) bool {
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
		return nil, a.bad(0, blobName(d.Digest), err)
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
		d, pick = image.Descriptor{Digest: image.Digest(name)}, nil
		if a.index != nil {
			for _, known := range a.index.Manifests {
				if known.Digest == d.Digest {
					d = known
				}
			}
		}
	} else if name != "" {
		if d, pick, err = a.choose(name); err != nil {
			signature := a.signatures(name)
			if signature == nil {
				return nil, "", err
			}
			d, pick = *signature, nil
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
	if a.index == nil || !strings.HasPrefix(name, "sha256-") || !strings.HasSuffix(name, ".sig") {
		return nil
	}
	for i := range a.index.Manifests {
		d := &a.index.Manifests[i]
		if d.Name != "" {
			continue
		}
		if m, err := a.parse(d); err == nil && isSignature(m) {
			return d
		}
	}
	return nil
}

// makeManifest makes the manifest of an image that only manifest.json describes.
func (a *archive) makeManifest(ctx context.Context, s *image.SavedImage) ([]byte, error) {
	if len(s.Layers) > image.MaxLayers {
		return nil, a.bad(0, savedFile, fmt.Errorf("an image has %d layers; at most %d are allowed", len(s.Layers), image.MaxLayers))
	}
	name := path.Clean(s.Config)
	config, err := a.read(name, image.MaxConfig)
	if err != nil {
		return nil, err
	}
	digest := sumOf(config)
	if digits := configDigits(s); isHex(digits) && string(digest) != "sha256:"+digits {
		return nil, a.bad(Unverified, name, errors.New("its SHA-256 digest is not the one in its name"))
	}
	a.made = append(a.made, madeBlob{digest: digest, text: config})
	text := []byte(`{"schemaVersion":2,"mediaType":"` + typeManifest + `","config":`)
	text = appendDescriptor(text, typeConfig, digest, int64(len(config)))
	for i, layer := range s.Layers {
		separator := byte(',')
		if i == 0 {
			text, separator = append(text, `,"layers":`...), '['
		}
		m, mediaType, err := a.layer(ctx, path.Clean(layer))
		if err != nil {
			return nil, err
		}
		text = appendDescriptor(append(text, separator), mediaType, m.digest, m.place.Size)
	}
	if len(s.Layers) == 0 {
		text = append(text, `,"layers":[`...)
	}
	text = append(text, `]}`...)
	a.made = append(a.made, madeBlob{digest: sumOf(text), text: text})
	return text, nil
}

// appendDescriptor appends a descriptor to a JSON text. Nothing in it needs an escape.
func appendDescriptor(b []byte, mediaType string, d image.Digest, size int64) []byte {
	b = append(b, `{"mediaType":"`+mediaType+`","digest":"`+string(d)+`","size":`...)
	return append(strconv.AppendInt(b, size, 10), '}')
}

// layer returns a layer of a docker-archive and its media type. It computes the digest unless the
// name is that of a blob: whoever reads the blob checks its digest.
func (a *archive) layer(ctx context.Context, name string) (madeBlob, string, error) {
	p, err := a.find(name)
	if err != nil {
		return madeBlob{}, "", a.broken(name, err)
	}
	if p.file != nil {
		defer p.file.Close()
	}
	head := make([]byte, min(p.size, 4))
	if _, err := p.from.ReadAt(head, p.offset); err != nil && err != io.EOF {
		return madeBlob{}, "", a.bad(0, name, err)
	}
	mediaType := typeLayer
	switch {
	case strings.HasPrefix(string(head), "\x1f\x8b"):
		mediaType += "+gzip"
	case string(head) == "\x28\xb5\x2f\xfd":
		mediaType += "+zstd"
	}
	m := madeBlob{place: untar.Member{Name: name, Offset: p.offset, Size: p.size}}
	if digits, ok := strings.CutPrefix(name, blobsDir); ok && isHex(digits) {
		m.digest = image.Digest("sha256:" + digits)
		return m, mediaType, nil
	}
	for i := range a.made { // the same bytes may have several names
		if known := &a.made[i]; known.text == nil && known.place.Offset == p.offset && known.place.Size == p.size {
			return *known, mediaType, nil
		}
	}
	h := sha256.New()
	if _, err := io.Copy(h, untar.Until(ctx, io.NewSectionReader(p.from, p.offset, p.size))); err != nil {
		return madeBlob{}, "", a.bad(0, name, err)
	}
	m.digest = image.Digest("sha256:" + hex.EncodeToString(h.Sum(nil)))
	a.made = append(a.made, m)
	return m, mediaType, nil
}

// small returns a small blob of at most max bytes, which has the digest.
func (a *archive) small(_ context.Context, d *image.Descriptor, max int64) ([]byte, error) {
	data, err := a.text(d.Digest, max)
	if err == nil && int64(len(data)) != d.Size {
		return nil, a.wrongSize(d, int64(len(data)))
	}
	return data, err
}

func (a *archive) wrongSize(d *image.Descriptor, size int64) error {
	return a.bad(Unverified, string(d.Digest), fmt.Errorf("it has %d bytes, and %d in the manifest", size, d.Size))
}

// referrers lists the manifests in index.json that refer to the one with a digest, and those
// that an index with its tag lists (distribution spec, "Referrers Tag Schema").
func (a *archive) referrers(ctx context.Context, digest image.Digest) ([]image.Descriptor, error) {
	if a.index == nil {
		return nil, nil
	}
	var list []image.Descriptor
	for i := range a.index.Manifests {
		d := a.index.Manifests[i]
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		m, err := a.parse(&d)
		switch {
		case KindOf(err) == NotFound: // a layout may have a part of what its index lists
		case err != nil:
			return nil, err
		case m.Index && d.Name == strings.Replace(string(digest), ":", "-", 1):
			for _, of := range m.Manifests {
				list = add(list, of)
			}
		case m.Subject == digest:
			if d.ArtifactType == "" {
				d.ArtifactType = m.ArtifactType
			}
			list = add(list, d)
		}
	}
	return list, nil
}

// open returns the bytes of a layer from offset on. Whoever reads them checks the digest.
func (a *archive) open(ctx context.Context, d *image.Descriptor, offset int64) (io.ReadCloser, error) {
	name := blobName(d.Digest)
	for i := range a.made {
		if m := &a.made[i]; m.digest == d.Digest && m.text == nil {
			name = m.place.Name
		}
	}
	p, err := a.find(name)
	switch {
	case err != nil:
		return nil, a.broken(name, err)
	case p.size != d.Size:
		err = a.wrongSize(d, p.size)
	case offset < 0 || offset > p.size:
		err = a.bad(0, name, fmt.Errorf("it has no byte %d", offset))
	}
	if err != nil {
		if p.file != nil {
			p.file.Close()
		}
		return nil, err
	}
	return &partReader{untar.Until(ctx, io.NewSectionReader(p.from, p.offset+offset, p.size-offset)), p.file}, nil
}

// A partReader reads a part of an archive.
type partReader struct {
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
