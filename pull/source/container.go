package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/image/cache"
	"lxc-pull/lxc"
)

// maxIndexes is how many indexes lead to a manifest: an index may list another one.
const maxIndexes = 2

// An ociImage is what a Found has if it is a container image.
type ociImage struct {
	_        [0]func() // forbids ==, whose code nothing needs
	reader   *ociReader
	registry *registry // nil: the image is in an archive

	top, manifest document // the same, unless top is an index
	config        image.Descriptor
	layers        []image.Descriptor
	sure          bool     // the sizes of the layers come from who vouches for the image
	signers       []string // fingerprints of the keys that signed top or manifest
	at            fetching
}

// A document is the text of a manifest or of another small file, with its digest.
type document struct {
	digest    image.Digest
	mediaType string
	text      []byte
}

// A fetching is how an ociImage gets its layers.
type fetching struct {
	ahead   *ahead
	layer   int  // the one that was opened last
	checked bool // its bytes have the right digest
	whole   wholeLayers
	last    lastLayer
	noCache bool // the run does not write to the cache
}

// findContainer finds the container image of Options.Container: its manifest for the wanted
// platform, and its config. Both have the digests that lead to them, and a signature of top or
// manifest is checked, as docs/signatures.md says.
func (f *Finder) findContainer(ctx context.Context) (_ *Found, err error) {
	o, err := f.openImage(ctx)
	if err != nil {
		return nil, err
	}
	found := &Found{finder: f, oci: o}
	defer func() {
		if err != nil {
			found.Close()
		}
	}()
	if err := f.readTop(ctx, o); err != nil {
		return nil, err
	}
	m, chosen, err := f.chooseManifest(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := o.vouch(ctx, f); err != nil {
		return nil, err
	}
	if err := o.readConfig(ctx, found, m, chosen); err != nil {
		return nil, fmt.Errorf("%q: %w", f.opt.Container.name(), err)
	}
	f.nameContainer(found)
	if err := f.checkTag(found); err != nil {
		return nil, err
	}
	found.Meta = lxc.DefaultMeta(f.opt.Container.Arch)
	o.limitCache(f)
	found.Cached = o.inCache()
	found.announce = func() { f.announceContainer(found) }
	return found, nil
}

// readTop reads the manifest or index that the reference names, as o.top.
func (f *Finder) readTop(ctx context.Context, o *ociImage) error {
	r, ref := o.reader, &f.opt.Container.Reference
	name := ref.Tag
	if o.registry == nil {
		name = "" // openArchive knows which
	} else if ref.Digest != "" {
		name = string(ref.Digest)
		r.offline = r.kept != nil && !r.fresh // its signatures may be in the cache, too
	} else if f.opt.Use.Force && r.kept != nil {
		name, r.offline = string(r.kept.Top), true
	} else if o.registry != nil {
		f.tell.Say("Downloading the manifest")
	}
	text, mediaType, err := r.get(ctx, "manifests/"+name, image.MaxManifest)
	if Offline(err) && ref.Digest == "" && r.kept != nil {
		why := err
		r.offline = true
		if text, mediaType, err = r.get(ctx, "manifests/"+string(r.kept.Top), image.MaxManifest); err != nil {
			return f.unusableOffline(err, why)
		}
		f.tell.Warn("offline", why.Error())
		f.tell.Warn("offline", "the registry can't be reached; using the image that the cache has")
	}
	o.top = document{sumOf(text), mediaType, text}
	return err
}

// chooseManifest reads the manifest for the wanted platform, as o.manifest. chosen is its line in
// the index, nil if no index leads to it.
func (f *Finder) chooseManifest(ctx context.Context, o *ociImage) (m *image.Manifest, chosen *image.Descriptor, err error) {
	o.manifest = o.top
	for range maxIndexes + 1 {
		if m, err = image.ParseManifest(o.manifest.text, o.manifest.mediaType); err != nil {
			err = fmt.Errorf("manifest %s: %w", o.manifest.digest, err)
			if o.registry != nil && o.manifest.digest == o.top.digest && f.opt.Container.Reference.Digest == "" {
				// No digest says that these bytes are the registry's.
				err = &fetch.Error{URL: o.registry.own().url + "/manifests/" + f.opt.Container.Reference.Tag, Kind: fetch.KindProtocol, Err: err}
			}
			return nil, nil, err
		}
		if o.top.digest == o.manifest.digest {
			o.top.mediaType = m.MediaType
		}
		o.manifest.mediaType = m.MediaType
		if !m.Index {
			return m, chosen, nil
		}
		d, err := m.Choose(f.opt.Container.Platforms)
		if err != nil {
			return nil, nil, &Error{Kind: NotFound, What: fmt.Sprintf("%q", f.opt.Container.name()), Err: err}
		}
		chosen = d
		text, mediaType, err := o.reader.get(ctx, "manifests/"+string(d.Digest), image.MaxManifest)
		if err != nil {
			return nil, nil, err
		}
		if int64(len(text)) != d.Size {
			return nil, nil, wrongSize(int64(len(text)), d)
		}
		if mediaType == "" {
			mediaType = d.MediaType
		}
		o.manifest = document{d.Digest, mediaType, text}
	}
	return nil, nil, fmt.Errorf("%q: more than %d indexes lead to its manifest", f.opt.Container.name(), maxIndexes)
}

// name returns the name of the image for errors.
func (c *Container) name() string {
	if c.Archive != "" {
		return c.Archive
	}
	return c.Reference.String()
}

// vouch checks the signature of the image, or decides whether the image is used without one.
func (o *ociImage) vouch(ctx context.Context, f *Finder) error {
	c, keys := f.opt.Container, f.trust.keys
	switch {
	case keys != nil && keys.HasPlain():
		by, err := f.checkCosign(ctx, o.reader, &c.Reference, o.top.digest, o.manifest.digest)
		if err != nil && o.reader.offline && o.registry != nil && c.Reference.Digest != "" && ctx.Err() == nil {
			// The image was kept without this signature. The digest names the image, so no other
			// file changes.
			o.reader.offline = false
			by, err = f.checkCosign(ctx, o.reader, &c.Reference, o.top.digest, o.manifest.digest)
		}
		if err != nil {
			return err
		}
		o.signers, o.sure = by.keys, true
		return nil
	case c.RequireSignature:
		return unverified(fmt.Sprintf("%q", c.name()), errors.New("a signature is required, and no key is given that could verify one (--keyring with a PEM public key)"))
	}
	o.sure = o.registry == nil || c.Reference.Digest != "" || !c.Reference.Plain
	return nil
}

// readConfig reads the image's config, and checks it and the layers against the manifest.
func (o *ociImage) readConfig(ctx context.Context, found *Found, m *image.Manifest, chosen *image.Descriptor) error {
	if err := m.CheckImage(); err != nil {
		return err
	}
	text, _, err := o.reader.get(ctx, "blobs/"+string(m.Config.Digest), image.MaxConfig)
	if err != nil {
		return err
	}
	if int64(len(text)) != m.Config.Size {
		return wrongSize(int64(len(text)), &m.Config)
	}
	config, err := image.ParseConfig(text)
	if err != nil {
		return err
	}
	n := len(m.Layers)
	if n == 0 || n != len(config.DiffIDs) {
		return fmt.Errorf("the manifest has %d layers, and the config %d", n, len(config.DiffIDs))
	}
	if err := found.finder.opt.Container.checkPlatform(&config.Platform, chosen); err != nil {
		return &Error{Kind: NotFound, Err: err}
	}
	for i := range m.Layers {
		d := &m.Layers[i]
		found.Layers = append(found.Layers, Layer{
			Name:   fmt.Sprintf("layer %d of %d (%.19s)", i+1, n, d.Digest),
			Packed: d.Size, Content: -1, OCI: true, DiffID: config.DiffIDs[i],
		})
	}
	o.config, o.layers, found.Config = m.Config, m.Layers, config
	if size := o.size(); size > maxRootfs {
		return tooLarge("the image", size, maxRootfs)
	}
	return nil
}

// checkPlatform refuses a config for another machine than its manifest was chosen for. Without an
// index the config alone says for which machine the image is.
func (c *Container) checkPlatform(p *image.Platform, chosen *image.Descriptor) error {
	is := p.OS + "/" + p.Arch
	if p.Variant != "" {
		is += "/" + p.Variant
	}
	if chosen != nil && chosen.Platform.OS != "" {
		if by := &chosen.Platform; by.OS != p.OS || by.Arch != p.Arch {
			return fmt.Errorf("its index says that it is for %q, its config for %q", by.OS+"/"+by.Arch, is)
		}
		return nil
	}
	own := image.Manifest{Index: true, Manifests: []image.Descriptor{{MediaType: image.OCIManifest, Platform: *p}}}
	if _, err := own.Choose(c.Platforms); err != nil {
		return fmt.Errorf("it is for %q, not for this machine (-a names another)", is)
	}
	return nil
}

// nameContainer sets the image's names.
func (f *Finder) nameContainer(found *Found) {
	c, o := f.opt.Container, found.oci
	ref := c.Reference
	short := string(o.top.digest)[len("sha256:"):][:12]
	img := &found.Image
	img.Dist = ref.Repository[strings.LastIndexByte(ref.Repository, '/')+1:]
	if img.Dist == "" {
		img.Dist = "archive"
	}
	if img.Release = ref.Tag; img.Release == "" {
		img.Release = short
	}
	img.Arch, img.Variant = c.Arch, "default"
	img.Build = string(o.manifest.digest)[len("sha256:"):][:12]
	ref.Digest = o.top.digest
	if img.Reference = ref.String(); ref.Host == "" {
		img.Reference = "archive@" + string(ref.Digest) // no paths of the host in a container's record
	}
}

// announceContainer tells the user which image is used, and who vouches for it.
func (f *Finder) announceContainer(found *Found) {
	c, o := f.opt.Container, found.oci
	if found.Cached {
		f.tell.Say("Using image from local cache")
		if o.reader.kept != nil && !f.opt.Use.ReadOnly {
			o.reader.cache.UseKept(o.reader.kept)
		}
	}
	f.tell.Note("manifest " + string(o.manifest.digest) + " of " + found.Image.Reference)
	if len(o.signers) > 0 || c.Reference.Digest != "" || o.registry == nil || f.trust.keys == nil {
		return
	}
	why := fmt.Sprintf("trusting the certificate of %q", c.Reference.Host)
	if c.Reference.Plain {
		why = fmt.Sprintf("anybody on the network to %q can replace it", c.Reference.Host)
	}
	f.tell.Tell("not signed: " + why + "; this name pins the image: " + found.Image.Reference)
}

// inCache reports whether the cache has all layers.
func (o *ociImage) inCache() bool {
	r := o.reader
	if r.cache == nil || o.at.noCache {
		return false
	}
	for i := range o.layers {
		blob, err := r.cache.FindBlob(o.layers[i].Digest)
		if err != nil {
			return false
		}
		blob.Close()
		if blob.Have != o.layers[i].Size {
			return false
		}
	}
	return true
}

// openImage opens the registry or archive of a container image.
func (f *Finder) openImage(ctx context.Context) (*ociImage, error) {
	r, err := f.openStore(ctx)
	if err != nil {
		return nil, err
	}
	own, _ := r.store.(*registry)
	return &ociImage{reader: r, registry: own}, nil
}

// openStore opens the store of an ociImage.
func (f *Finder) openStore(ctx context.Context) (*ociReader, error) {
	c := f.opt.Container
	if c.Archive != "" {
		s, err := openArchive(ctx, c.Archive, c.archiveName(), f.spool, f.opt.Decoding)
		if err != nil {
			return nil, err
		}
		return &ociReader{store: s, archive: s}, nil
	}
	s, err := f.newRegistry()
	r := &ociReader{store: s, cache: f.opt.Cache, fresh: f.opt.Use.Refresh}
	if err != nil || r.cache == nil {
		return r, err
	}
	r.kept, err = r.cache.FindKept(c.Reference.String(), c.Arch)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.tell.Warn("cache-problem", fmt.Sprintf("what the cache has of the image is not used: %v", err))
	}
	if f.opt.Use.Flush {
		if r.kept != nil && !f.opt.Use.ReadOnly {
			f.tell.Say("Flushing the cache...")
			if err := r.cache.Drop(cache.Info{Kept: r.kept, Proven: true}); err != nil {
				f.tell.Warn("cache-problem", fmt.Sprintf("the image can't be removed from the cache: %v", err))
			}
		}
		r.fresh, r.kept = true, nil
	}
	return r, nil
}

// Tags lists the tags of the repository of Options.Container, or the names in its archive.
func (f *Finder) Tags(ctx context.Context) ([]string, error) {
	o, err := f.openImage(ctx)
	if err != nil {
		return nil, err
	}
	defer o.reader.close()
	if o.registry != nil {
		return o.registry.tags(ctx)
	}
	return o.reader.archive.names(false), nil
}

// archiveName returns the name in the archive of the image that is wanted.
func (c *Container) archiveName() string {
	if c.Reference.Digest != "" {
		return string(c.Reference.Digest)
	}
	return c.Reference.Tag
}

// Platforms lists the platforms for which Options.Container has an image.
func (f *Finder) Platforms(ctx context.Context) (list []image.Platform, err error) {
	o, err := f.openImage(ctx)
	if err != nil {
		return nil, err
	}
	defer o.reader.close()
	if err := f.readTop(ctx, o); err != nil {
		return nil, err
	}
	m, err := image.ParseManifest(o.top.text, o.top.mediaType)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", f.opt.Container.name(), err)
	}
	for i := range m.Manifests {
		if p := m.Manifests[i].Platform; p.OS != "" && p.OS != "unknown" { // of attestations
			list = append(list, p)
		}
	}
	if !m.Index {
		text, _, err := o.reader.get(ctx, "blobs/"+string(m.Config.Digest), image.MaxConfig)
		if err != nil {
			return nil, err
		}
		config, err := image.ParseConfig(text)
		if err != nil {
			return nil, fmt.Errorf("%q: its config: %w", f.opt.Container.name(), err)
		}
		list = append(list, config.Platform)
	}
	return list, nil
}
