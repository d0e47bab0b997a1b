package source

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"lxc-pull/image"
	"lxc-pull/image/cache"
	"lxc-pull/lxc"
	"lxc-pull/pgp"
	"lxc-pull/untar"
)

// A bundle is one image in one file, with what vouches for it: a tar archive that is not
// compressed. Its first file says what it is, in lines of text; the kind says what follows:
//
//	lxc-pull-bundle 1 index       DIST/RELEASE/ARCH/VARIANT, BUILD. Then the files that a cache
//	                              entry has: the index, SHA256SUMS, their signatures, the
//	                              metadata, and rootfs.tar.xz
//	lxc-pull-bundle 1 container   REFERENCE ("": of an archive), DIGEST of what it names, ARCH, and
//	                              the platforms that were wanted. Then the files of an
//	                              oci-archive, with the signatures of cosign
//	lxc-pull-bundle 1 streams     NAME and URL of the server, ALIAS, ARCH, VARIANT
//	lxc-pull-bundle 1 url         URL of the file and of its metadata ("": none), ARCH
//
// After the last two comes what the cache keeps of such an image: the record of it, as
// image/cache writes it, and the blobs that the record lists: signed lists, signatures, the
// metadata, and last the root file system.
//
// Nothing in a bundle is trusted: all of it is checked as if it had just been downloaded. The
// headers must be exactly those that Export writes, so there are no links, no other types of
// files, no second member of the same name, and nothing after the end.

const (
	bundleFile  = "lxc-pull-bundle"
	bundleBegin = bundleFile + " 1 "
	recordFile  = "record" // of an image that the cache keeps as blobs
	// maxBundleText is the largest first file, in bytes: a reference or URL has at most 2 kB.
	maxBundleText = 64 << 10
	// maxBundleFiles is the most members: layers, and the small files that the cache keeps too.
	maxBundleFiles = image.MaxLayers + maxKeptTexts + 16
	// maxBundleTexts is how many bytes of signed texts are read into memory: two indexes, the
	// metadata and signatures.
	maxBundleTexts = 2*image.MaxIndex + maxMeta + maxSums + (1 << 20)
)

// Export writes the image to w as a bundle, from which Find makes the same checks without a
// network. All bytes are verified before the first is written. An image that will have expired
// at the time until is refused; if that is zero, only one that has expired by now. Provide must
// have said how to make temporary files.
func (f *Finder) Export(ctx context.Context, q image.Query, until time.Time, w io.Writer) error {
	f.keepTexts = true
	found, err := f.Find(ctx, q)
	if err != nil {
		return err
	}
	defer func() { found.Close() }()
	var accepted *Found
	for {
		if accepted != found {
			if err := found.checkExport(until); err != nil {
				return err
			}
			found.Accept()
			accepted = found
		}
		head, whole, err := found.collect(ctx)
		if err == nil {
			if err = found.writeBundle(ctx, w, head, whole); err == nil {
				found.Remember(ctx)
				found.Keep()
			}
			return err
		}
		found.Forget(err)
		next, err := f.Next(ctx, found, err)
		if err != nil {
			return err
		}
		found = next
	}
}

// checkExport refuses an image that a bundle can't hold, or that expires before the time until.
func (found *Found) checkExport(until time.Time) error {
	img, f := &found.Image, found.finder
	if found.index.unlisted || f.opt.Streams != nil && f.opt.Streams.Build != "" {
		return errors.New("a bundle of build " + strconv.Quote(img.Build) + " could not prove that it is not an outdated one: export takes the newest build, without @BUILD")
	}
	if o := found.pinned; o != nil {
		file := f.opt.File
		switch {
		case o.config != nil:
		case f.opt.Streams == nil && (file == nil || !isRemote(lowerHost(file.Path))):
			return errors.New("a file or directory of this machine needs no bundle")
		case file != nil && (strings.Contains(o.name, "#") || file.Metadata != "" && (!isRemote(lowerHost(file.Metadata)) || strings.ContainsAny(file.Metadata, "?@"))):
			return errors.New("a bundle can't have a URL with a query, nor metadata of this machine or at a URL with a password or query")
		}
		switch {
		case len(o.signers) > 0 || f.opt.Keys == nil:
		case o.config != nil: // all signatures of cosign are in the bundle
			f.tell.Tell("no key given here has signed the image: to use the bundle needs a PEM key in --keyring whose signature it has, or --no-validate")
		default:
			f.tell.Tell("no key has signed the image, so --no-validate is needed to use the bundle")
		}
	}
	if err := f.checkExpiry(found); err != nil || until.IsZero() {
		return err
	}
	if file, ok := found.Meta.Relevant("expiry", f.opt.Mode); ok {
		if t, ok := lxc.Expiry(file); !ok || t.Before(until) {
			return replayed(found.build() + " expires " + t.Format(time.RFC3339) + ", before the time of --until")
		}
	}
	return nil
}

// collect brings the image to the disk and verifies it. It returns the beginning of the bundle,
// and the root file system unless that is in layers.
func (found *Found) collect(ctx context.Context) (head []byte, whole *Stream, err error) {
	f := found.finder
	if !found.Cached {
		f.tell.Say(found.Arriving())
	}
	if o := found.pinned; o != nil {
		err := found.gather(ctx)
		if err == nil && o.config != nil {
			head, err = o.bundleHead(ctx, found)
		} else if err == nil {
			head, err = o.keptHead(found)
		}
		return head, nil, err
	}
	stream, err := found.Open(ctx, 0)
	if err != nil {
		return nil, nil, err
	}
	defer stream.Close()
	var temp *os.File
	if !stream.InCache() {
		if temp, err = f.spool(); err != nil {
			return nil, nil, err
		}
	}
	progress := f.tell.Begin(found.Arriving(), stream.Kept, stream.Size)
	whole, err = stream.Complete(temp, progress)
	progress.Close()
	head = bundleHead("index", found.Image.Name.String(), found.Image.Build)
	for _, name := range EvidenceNames() {
		if text := found.checks.evidence[name]; text != nil {
			head = appendFile(head, name, text)
		}
	}
	return head, whole, err
}

// writeBundle writes the bundle after its beginning.
func (found *Found) writeBundle(ctx context.Context, w io.Writer, head []byte, whole *Stream) (err error) {
	if whole != nil {
		if _, err = w.Write(untar.AppendHeader(head, image.RootfsFile, whole.Size)); err == nil {
			_, err = io.Copy(w, whole)
		}
		if err == nil {
			err = whole.Check()
		}
		head = make([]byte, -whole.Size&(tarBlock-1))
	}
	for i := 0; found.pinned != nil && i < len(found.Layers) && err == nil; i++ {
		head, err = found.pinned.saveLayer(ctx, w, found, i, head)
	}
	if err == nil {
		_, err = w.Write(append(head, make([]byte, 2*tarBlock)...)) // the end of the archive
	}
	return err
}

// bundleHead returns the first file of a bundle.
func bundleHead(kind string, lines ...string) []byte {
	return appendFile(nil, bundleFile, []byte(bundleBegin+kind+"\n"+strings.Join(lines, "\n")+"\n"))
}

// keptHead returns the beginning of the bundle of an image that is no container image: all but the
// root file system.
func (o *pinnedImage) keptHead(found *Found) (b []byte, err error) {
	if s := found.finder.opt.Streams; s != nil {
		name, url := "", found.index.server
		if k := s.at(url); k != nil {
			name = k.Name
		}
		b = bundleHead("streams", name, url, s.Alias, found.Image.Arch, s.Variant)
	} else {
		file := found.finder.opt.File
		b = bundleHead("url", o.name, lowerHost(file.Metadata), file.Arch)
	}
	kept := o.kept(found)
	b = appendFile(b, recordFile, []byte(kept.Text()))
	for i, d := range kept.Blobs {
		again := d == o.layers[0].Digest
		for _, before := range kept.Blobs[:i] {
			again = again || d == before
		}
		if again {
			continue
		}
		text := o.reader.cached(d, maxBundleTexts)
		if text == nil {
			return nil, errors.New("the cache does not have " + string(d) + " of the image any more")
		}
		b = appendFile(b, blobName(d), text)
	}
	return b, nil
}

// bundleHead returns the beginning of a container image's bundle: all but its layers.
func (o *pinnedImage) bundleHead(ctx context.Context, found *Found) ([]byte, error) {
	f, r := found.finder, o.reader
	c := f.opt.Container
	// The signatures are read as for a key that made none of them, so that all are found.
	s := &cosignSearch{keys: new(pgp.Keyring), store: r, ref: &c.Reference, left: maxSignatures}
	s.find(ctx, o.top.digest)
	if o.manifest != o.top && !s.stop {
		s.find(ctx, o.manifest.digest)
	}
	if s.failure != nil {
		return nil, because("the signatures of "+c.name(), s.failure)
	}
	reference, platforms := "", ""
	if c.Reference.Host != "" {
		reference = c.Reference.String()
	}
	for i := range c.Platforms {
		platforms += " " + c.Platforms[i].Name()
	}
	b := bundleHead("container", reference, string(o.top.digest), c.Arch, platforms)
	b = appendFile(appendLayout(b), indexFile, o.bundleIndex(c.Reference.Tag, found))
	for _, t := range r.texts {
		b = appendFile(b, blobName(t.digest), t.text)
	}
	return b, nil
}

// bundleIndex returns the index.json of a bundle: what the reference names, with its tag, and the
// signatures, each as archive.named and archive.referrers look for it.
func (o *pinnedImage) bundleIndex(tag string, found *Found) []byte {
	var p *image.Platform
	if o.top == o.manifest {
		p = &found.Config.Platform
	}
	list := savedEntry(o.top, tag, p)
	for _, t := range o.reader.texts {
		m, err := image.ParseManifest(t.text, "")
		if err != nil || t.digest == o.top.digest || t.digest == o.manifest.digest || m.Index || len(m.Layers) == 0 {
			continue
		}
		name := ""
		if m.Layers[0].MediaType == image.SimpleSigning {
			claim, _ := image.ParseSimpleSigning(o.reader.known(m.Layers[0].Digest))
			if !isDigest(claim.Digest) {
				continue
			}
			name = strings.Replace(claim.Digest, ":", "-", 1) + ".sig"
		}
		list += "," + savedEntry(&document{t.digest, m.MediaType, t.text}, name, nil)
	}
	return savedIndex(list)
}

// findInBundle finds the image of Options.Bundle.
func (f *Finder) findInBundle(ctx context.Context, q image.Query) (found *Found, err error) {
	a := &archive{name: f.opt.Bundle, bundle: true, index: new(image.Manifest), seen: map[string]*facts{}}
	kind, lines, err := a.openBundle(ctx, f)
	if err == nil {
		switch kind {
		case "index":
			found, err = f.findIndexed(a, lines, q)
		case "container":
			found, err = f.findBundled(ctx, a, lines)
		case "streams", "url":
			found, err = f.findKept(ctx, a, kind == "url", lines)
		default:
			err = a.bad(Unusable, "", errors.New("it is of the kind "+quote(kind)+", which this version of lxc-pull does not know"))
		}
	}
	if err != nil {
		a.close()
		return nil, err
	}
	if arch := found.Image.Arch; arch != "" && len(q.Arch) > 0 && q.Arch[0] != "" && !slices.Contains(q.Arch, arch) {
		found.Close()
		return nil, a.bad(NotFound, "", errors.New("its image is for "+strconv.Quote(arch)+", not for "+strconv.Quote(q.Arch[0])))
	}
	return found, nil
}

// openBundle opens the bundle. It returns its kind, and at least five lines, which may be empty,
// with what names the image. A bundle from standard input is copied.
func (a *archive) openBundle(ctx context.Context, f *Finder) (kind string, lines []string, err error) {
	in := f.opt.stdin()
	if a.name != "-" {
		if in, _, err = openLocal(a.name); err != nil {
			return "", nil, err
		}
		a.file = in
	}
	var size int64
	rest, err := restOf(in)
	if err == nil && rest != nil {
		a.tar, size = rest, rest.Size()
	} else if err == nil {
		size, err = a.copy(&waiter{ctx: ctx, f: in}, f.spool)
	}
	if err != nil {
		return "", nil, a.bad(0, "", err)
	}
	if err := a.listBundle(ctx, size); err != nil {
		return "", nil, a.bad(Unusable, "", err)
	}
	text, err := a.read(bundleFile, maxBundleText)
	if err != nil {
		return "", nil, err
	}
	lines = strings.Split(string(text), "\n")
	kind, _ = strings.CutPrefix(lines[0], bundleBegin)
	return kind, append(lines[1:], "", "", "", "", ""), nil
}

// listBundle lists the files of a bundle. The first one must be bundleFile, and no name may occur
// twice.
func (a *archive) listBundle(ctx context.Context, size int64) error {
	var h, zeros [tarBlock]byte
	cut := errors.New("it is cut off")
	headers := 0
	for at := int64(0); ctx.Err() == nil; at += tarBlock {
		_, err := a.tar.ReadAt(h[:], at)
		headers++
		name, n := bundleHeader(&h)
		switch {
		case len(a.files) == 0 && (name != bundleFile || n > maxBundleText):
			return errors.New("it is not what lxc-pull export writes")
		case at+tarBlock > size:
			return cut
		case err != nil && err != io.EOF:
			return err
		case h == zeros:
			if _, err := a.tar.ReadAt(h[:], at+tarBlock); h != zeros || at+2*tarBlock != size || err != nil && err != io.EOF {
				return errors.New("its end is not where it must be")
			}
			return nil
		case string(untar.AppendHeader(nil, name, n)) != string(h[:]):
			return errors.New("a member is not as lxc-pull export writes it")
		case n > size-at-3*tarBlock: // the end follows
			return cut
		case headers > maxBundleFiles+2:
			return errors.New("it has more than " + strconv.Itoa(maxBundleFiles) + " members")
		case name == "blobs/", name == blobsDir:
			continue
		}
		for i := range a.files {
			if a.files[i].Name == name {
				return errors.New(strconv.Quote(name) + " is in it twice")
			}
		}
		a.files = append(a.files, untar.Member{Name: name, Offset: at + tarBlock, Size: n})
		at += n
		if pad := -n & (tarBlock - 1); pad > 0 {
			copy(h[:], zeros[:])
			if _, err := a.tar.ReadAt(h[:pad], at+tarBlock); err != nil || h != zeros {
				return errors.New("a member is not as lxc-pull export writes it")
			}
			at += pad
		}
	}
	return ctx.Err()
}

// bundleHeader returns the name and the size that a tar header has, if it is one of
// untar.AppendHeader.
func bundleHeader(h *[tarBlock]byte) (name string, size int64) {
	const field = 124 // of the size: octal digits, or 0x80 and a number of 11 bytes
	name, _, _ = strings.Cut(string(h[:100]), "\x00")
	if h[field] == 0x80 {
		for _, c := range h[field+4 : field+12] {
			size = size<<8 | int64(c)
		}
		return name, max(size, 0)
	}
	size, _ = strconv.ParseInt(string(h[field:field+11]), 8, 64)
	return name, max(size, 0)
}

// findIndexed returns the image of an index that is in a bundle. Its files are checked as those of
// a cached copy, and its expiry date as that of a server's.
func (f *Finder) findIndexed(a *archive, lines []string, q image.Query) (*Found, error) {
	parts := strings.Split(lines[0]+"/"+lines[1], "/")
	ok := len(parts) == 5
	for _, part := range parts {
		ok = ok && image.CheckName(part) == nil
	}
	last := len(a.files) - 1
	evidence, signed, left := map[string][]byte{}, f.trust.keys == nil, int64(maxBundleTexts)
	at := 1
	for _, name := range EvidenceNames() {
		if at < last && a.files[at].Name == name {
			text, err := a.read(name, left)
			if err != nil {
				return nil, err
			}
			evidence[name] = text
			left -= int64(len(text))
			signed = signed || strings.HasPrefix(name, "index-")
			at++
		}
	}
	switch {
	case !ok || at != last || a.files[last].Name != image.RootfsFile || evidence[image.MetaFile] == nil:
		return nil, a.bad(Unusable, "", errors.New("it does not have the files of an image, in their order"))
	case !signed:
		return nil, a.bad(Unverified, "", errors.New("it has no signed index: it was exported with --no-validate"))
	}
	name := image.Name{Dist: parts[0], Release: parts[1], Arch: parts[2], Variant: parts[3]}
	entry := &cache.Entry{Build: parts[4], Size: a.files[last].Size, Evidence: evidence}
	found, err := f.fromEntry(name, entry, image.Query{})
	if err == nil {
		found.Cached, found.index.downloaded, found.cache.bundle = false, true, a
		err = f.checkFresh(found)
	}
	if err != nil {
		if KindOf(err) == 0 {
			err = newError(Unverified, "", err)
		}
		return nil, because("bundle "+strconv.Quote(a.name), err)
	}
	found.announce = func() {
		f.tell.Tell(found.build() + ", from a bundle")
	}
	return found, nil
}

// findBundled returns the container image that is in a bundle. It needs a signature, for the
// repository of which the bundle says that it is: no registry's certificate vouches for it here.
func (f *Finder) findBundled(ctx context.Context, a *archive, lines []string) (*Found, error) {
	c := &Container{Archive: a.name, Arch: lines[2], RequireSignature: f.opt.RequireSignature}
	err := image.CheckName(c.Arch)
	if name, plain := strings.CutPrefix(lines[0], "docker+http://"); err == nil && name != "" {
		c.Reference, err = image.ParseReference(strings.TrimPrefix(name, "docker:"))
		c.Reference.Plain = plain
	}
	for _, p := range strings.Fields(lines[3]) {
		parts := append(strings.Split(p, "/"), "", "")
		c.Platforms = append(c.Platforms, image.Platform{OS: parts[0], Arch: parts[1], Variant: parts[2]})
	}
	for i := 1; i < len(a.files) && err == nil; i++ {
		name := a.files[i].Name
		digest, ok := strings.CutPrefix(name, blobsDir)
		if ok = ok && isDigest("sha256:"+digest); !ok && name != layoutFile && name != indexFile {
			err = errors.New("it has " + quote(name) + ", which is no file of a container image")
		}
	}
	if err == nil && (!isDigest(lines[1]) || len(c.Platforms) == 0) {
		err = errors.New("it does not say which image it has")
	}
	if err != nil {
		return nil, a.bad(Unusable, "", err)
	}
	if err = a.readLists(); err == nil {
		a.top, err = a.choose(ctx, lines[1])
	}
	if err != nil {
		return nil, err
	}
	f.opt.Container, f.copied = c, a
	found, err := f.findPinned(ctx)
	f.copied = nil
	if err == nil && len(found.pinned.signers) == 0 {
		if f.opt.Keys != nil { // the kind of a bundle is a word in it, and must not decide whether a key is needed
			found.Close()
			return nil, unsigned("bundle "+strconv.Quote(a.name), "no trusted key has signed its image, and no registry's certificate vouches for it")
		}
		found.Image.Reference = "archive@" + string(found.pinned.top.digest) // nothing says that it is of that registry
	}
	return found, err
}

// findKept returns the image of a simplestreams server or at a URL that is in a bundle: it is looked
// for as in a cache that has it, while no server can be reached. It needs a signature, because the
// certificate of a server can vouch for nothing in a bundle.
func (f *Finder) findKept(ctx context.Context, a *archive, url bool, lines []string) (*Found, error) {
	text, err := a.read(recordFile, maxBundleTexts)
	if err == nil && f.spool == nil {
		err = errors.New("there is no place for a copy of its image")
	}
	if err != nil {
		return nil, err
	}
	kept, err := cache.ParseKept(string(text))
	for i := 1; i < len(a.files) && err == nil; i++ {
		name := a.files[i].Name
		ok := name == recordFile && i == 1
		for _, d := range kept.Blobs {
			ok = ok || i > 1 && name == blobName(d)
		}
		if !ok {
			err = errors.New("it has " + quote(name) + ", which the record of its image does not list")
		}
	}
	opt := f.opt
	opt.Client, opt.Servers = nil, new(Servers)
	if url {
		err = errors.Join(err, checkNames(lines[2]))
		opt.File = &File{Path: lines[0], Metadata: lines[1], Arch: lines[2], RequireSignature: opt.RequireSignature}
		if !isRemote(lines[0]) || lines[1] != "" && !isRemote(lines[1]) {
			err = errors.New("it does not say of which URL it is")
		}
	} else {
		if err == nil {
			err = checkNames(lines[0], lines[3], lines[4])
		}
		if alias := lines[2]; err == nil && strconv.Quote(alias) != `"`+alias+`"` {
			err = errors.New("the alias of its image is not printable")
		}
		opt.Streams = &Streams{Name: lines[0], Alias: lines[2], Arch: []string{lines[3]}, Variant: lines[4], RequireSignature: opt.RequireSignature}
		if err == nil {
			err = opt.Servers.Add(lines[1])
		}
	}
	if err != nil {
		return nil, a.bad(Unusable, "", err)
	}
	held := &holding{finder: f, archive: a, copies: make([]*os.File, len(a.files))}
	opt.Use = CacheUse{Force: true, ReadOnly: true}
	opt.Cache = &cache.Cache{HeldKept: kept, Held: func(d image.Digest) (*os.File, int64, error) { return held.blob(ctx, d) }}
	f.opt = opt
	f.trustKeys(opt.keys(lines[1])) // only of a list's bundle is it the server
	if opt.Keys != nil && f.trust.keyless() {
		return nil, because("bundle "+strconv.Quote(a.name), unverified("its image", because("no key is given that could verify a signature of it", &pgp.UntrustedError{})))
	}
	found, err := f.Find(ctx, image.Query{})
	switch {
	case held.failed != nil:
		err = held.failed
	case err != nil && (KindOf(err) == Network || KindOf(err) == NotFound):
		err = failed(Unverified, "it does not have all of its image")
	case err != nil:
	case !found.Cached || found.pinned == nil:
		err = failed(Unverified, "it does not have all of its image")
	case len(found.pinned.signers) == 0 && f.opt.Keys != nil:
		err = unsigned("its image", "no trusted key has signed it, and no server's certificate vouches for it")
	default:
		found.Cached = false
		err = f.checkFresh(found)
		found.Cached, found.index.downloaded, found.pinned.remote, found.cache.bundle = true, true, nil, a
	}
	if err != nil {
		if found != nil {
			found.Close()
		}
		return nil, because("bundle "+strconv.Quote(a.name), err)
	}
	found.announce = func() {
		f.tell.Tell("build " + strconv.Quote(found.Image.Build) + " of " + found.Image.Reference + ", from a bundle")
		f.tellKeys(found.pinned.signers)
	}
	return found, nil
}

// checkNames refuses names in a bundle that are none. Each may be "".
func checkNames(names ...string) error {
	for _, name := range names {
		if err := image.CheckName(name); name != "" && err != nil {
			return because(quote(name), err)
		}
	}
	return nil
}

// isRemote reports whether a text is a URL of a web server.
func isRemote(text string) bool {
	return strings.HasPrefix(text, "https://") || strings.HasPrefix(text, "http://")
}

// A holding copies the blobs of a bundle to temporary files.
type holding struct {
	_       [0]func() // forbids ==, whose code nothing needs
	finder  *Finder
	archive *archive
	copies  []*os.File // of the archive's files; nil: not needed yet
	failed  error      // the copy of a blob that is in the bundle failed; nil: none did
}

// blob is cache.Cache's Held.
func (h *holding) blob(ctx context.Context, d image.Digest) (file *os.File, size int64, err error) {
	a := h.archive
	for i := range a.files {
		m := &a.files[i]
		if m.Name != blobName(d) {
			continue
		}
		if h.copies[i] == nil {
			if file, err = h.finder.spool(); err == nil {
				err = hasRoom(file, m.Size)
			}
			if err == nil {
				_, err = io.Copy(file, untar.Until(ctx, io.NewSectionReader(a.tar, m.Offset, m.Size)))
			}
			if err != nil {
				h.failed = err
				return nil, 0, err
			}
			h.copies[i] = file
		}
		_, err = h.copies[i].Seek(0, io.SeekStart)
		return h.copies[i], m.Size, err
	}
	return nil, 0, fs.ErrNotExist
}
