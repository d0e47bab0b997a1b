package source

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/image/cache"
	"lxc-pull/lxc"
)

// maxIndexes is how many indexes lead to a manifest: an index may list another one.
const maxIndexes = 2

// findContainer finds the container image of Options.Container: its manifest for the wanted
// platform, and its config. Both have the digests that lead to them, and a signature of top or
// manifest is checked, as docs/signatures.md says.
func (f *Finder) findContainer(ctx context.Context, found *Found) error {
	o, err := f.openImage(ctx)
	if err != nil {
		return err
	}
	found.pinned = o
	if err := f.readTop(ctx, o); err != nil {
		return err
	}
	m, chosen, err := f.chooseManifest(ctx, o)
	if err == nil {
		err = o.vouch(ctx, f)
	}
	if err != nil {
		return err
	}
	if err := o.readConfig(ctx, found, m, chosen); err != nil {
		return because(f.opt.Container.name(), err)
	}
	f.nameContainer(found)
	if err := f.checkTag(found); err != nil {
		return err
	}
	found.Meta = lxc.DefaultMeta(f.opt.Container.Arch)
	o.limitCache(f)
	found.Cached = o.inCache()
	found.announce = func() { f.announceContainer(found) }
	return nil
}

// readTop reads the manifest or index that the reference names, as o.top.
func (f *Finder) readTop(ctx context.Context, o *pinnedImage) error {
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
	if ref.Digest == "" && r.kept != nil && !r.offline && silent(err) {
		why := err
		r.offline = true
		if text, mediaType, err = r.get(ctx, "manifests/"+string(r.kept.Top), image.MaxManifest); err != nil {
			return f.unusableOffline(err, why)
		}
		f.warn("offline", "", why, "")
		f.tell.Warn("offline", "the registry can't say which image the name means now; using the image that the cache has")
	}
	o.top = &document{sumOf(text), mediaType, text}
	return err
}

// silent reports whether err says that a registry can't be reached, or can't answer for some time.
func silent(err error) bool {
	list := fetch.Failures(err)
	for _, e := range list {
		if e.Status >= 500 || e.Status == http.StatusTooManyRequests {
			return true
		}
	}
	return Offline(err)
}

// chooseManifest reads the manifest for the wanted platform, as o.manifest. chosen is its line in
// the index, nil if no index leads to it.
func (f *Finder) chooseManifest(ctx context.Context, o *pinnedImage) (m *image.Manifest, chosen *image.Descriptor, err error) {
	o.manifest = o.top
	for range maxIndexes + 1 {
		if m, err = image.ParseManifest(o.manifest.text, o.manifest.mediaType); err != nil {
			err = unusable(because("manifest "+string(o.manifest.digest), err))
			if o.registry != nil && o.manifest.digest == o.top.digest && f.opt.Container.Reference.Digest == "" {
				// No digest says that these bytes are the registry's.
				err = &fetch.Error{URL: o.registry.own().url + "/manifests/" + f.opt.Container.Reference.Tag, Kind: fetch.KindProtocol, Err: errors.Unwrap(err)}
			}
			return nil, nil, err
		}
		o.manifest.mediaType = m.MediaType
		if !m.Index {
			return m, chosen, nil
		}
		d, err := m.Choose(f.opt.Container.Platforms)
		if err != nil {
			return nil, nil, newError(NotFound, f.opt.Container.name(), err)
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
		o.manifest = &document{d.Digest, mediaType, text}
	}
	return nil, nil, failed(Unusable, f.opt.Container.name()+": more than two indexes lead to its manifest")
}

// name returns the quoted name of the image for errors.
func (c *Container) name() string {
	if c.Archive != "" {
		return strconv.Quote(c.Archive)
	}
	return strconv.Quote(c.Reference.String())
}

// vouch checks the signature of the image, or decides whether the image is used without one.
func (o *pinnedImage) vouch(ctx context.Context, f *Finder) error {
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
		return needsKey(c.name())
	}
	o.sure = o.registry == nil || c.Reference.Digest != "" || !c.Reference.Plain
	return nil
}

// readConfig reads the image's config, and checks it and the layers against the manifest.
func (o *pinnedImage) readConfig(ctx context.Context, found *Found, m *image.Manifest, chosen *image.Descriptor) error {
	if err := m.CheckImage(); err != nil {
		return unusable(err)
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
		return unusable(err)
	}
	n := len(m.Layers)
	if n == 0 || n != len(config.DiffIDs) {
		return failed(Unusable, "the manifest has "+strconv.Itoa(n)+" layers, and the config "+strconv.Itoa(len(config.DiffIDs)))
	}
	if err := found.finder.opt.Container.checkPlatform(&config.Platform, chosen); err != nil {
		return err
	}
	found.Layers = make([]Layer, n)
	for i := range m.Layers {
		d, l := &m.Layers[i], &found.Layers[i]
		l.Name = fmt.Sprintf("layer %d of %d (%.19s)", i+1, n, d.Digest)
		l.Packed, l.Content, l.OCI, l.DiffID = d.Size, -1, true, config.DiffIDs[i]
	}
	o.config, o.layers, found.Config = &m.Config, m.Layers, config
	if size := o.size(); size > maxRootfs {
		return unusable(tooLarge("the image", size, maxRootfs))
	}
	return nil
}

// checkPlatform refuses a config for another machine than its manifest was chosen for. Without an
// index the config alone says for which machine the image is.
func (c *Container) checkPlatform(p *image.Platform, chosen *image.Descriptor) error {
	if chosen != nil && chosen.Platform.OS != "" {
		if by := &chosen.Platform; by.OS != p.OS || by.Arch != p.Arch {
			return failed(Unusable, "its index says that it is for "+quote(by.Name())+", its config for "+quote(p.Name()))
		}
		return nil
	}
	own := image.Manifest{Manifests: []image.Descriptor{{MediaType: image.OCIManifest, Platform: *p}}}
	if _, err := own.Choose(c.Platforms); err != nil {
		return failed(NotFound, "it is for "+quote(p.Name())+", not for "+quote(c.Platforms[0].Name()))
	}
	return nil
}

// nameContainer sets the image's names.
func (f *Finder) nameContainer(found *Found) {
	c, o := f.opt.Container, found.pinned
	ref := c.Reference
	img := &found.Image
	img.Dist = ref.Repository[strings.LastIndexByte(ref.Repository, '/')+1:]
	if img.Dist == "" {
		img.Dist = "archive"
	}
	img.Release = ref.Tag[max(strings.LastIndexByte(ref.Tag, '/'), strings.LastIndexByte(ref.Tag, ':'))+1:] // an archive's may be NAME:TAG
	if image.CheckName(img.Release) != nil {
		img.Release = string(o.top.digest)[len("sha256:"):][:12]
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
	c, o := f.opt.Container, found.pinned
	if found.Cached {
		f.tell.Say("Using image from local cache")
		if kept := o.reader.kept; !f.opt.Use.ReadOnly {
			if kept == nil { // its layers are other images'
				kept = new(cache.Kept)
				for i := range o.layers {
					kept.Blobs = append(kept.Blobs, o.layers[i].Digest)
				}
			}
			o.reader.cache.UseKept(kept)
		}
	}
	f.tell.Note("manifest " + string(o.manifest.digest) + " of " + found.Image.Reference)
	f.tellKeys(o.signers)
	if len(o.signers) > 0 || c.Reference.Digest != "" || o.registry == nil || f.trust.keys == nil {
		return
	}
	why, host := "trusting the certificate of ", strconv.Quote(c.Reference.Host)
	if c.Reference.Plain {
		why, host = "anybody on the network to ", host+" can replace it"
	}
	f.tell.Tell("not signed: " + why + host + "; this name pins the image: " + found.Image.Reference)
}

// inCache reports whether the cache has all layers.
func (o *pinnedImage) inCache() bool {
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
func (f *Finder) openImage(ctx context.Context) (*pinnedImage, error) {
	c := f.opt.Container
	r := new(imageReader)
	o := &pinnedImage{reader: r, name: c.Reference.String()}
	if c.Archive != "" {
		name := string(c.Reference.Digest)
		if name == "" {
			name = c.Reference.Tag
		}
		s, err := f.copied, error(nil)
		if s == nil {
			s, err = f.openArchive(ctx, c.Archive, name)
		}
		if err == nil && s.layout == nil && s.file == nil {
			f.copied = s // nothing of it is closed, and standard input can't be read again
		}
		r.store, r.archive = s, s
		return o, err
	}
	bases, err := c.bases()
	o.registry = &registry{client: f.opt.Client, container: c, bases: bases, tell: f.tell}
	o.remote = o.registry
	r.store = o.registry
	if err == nil {
		f.openKept(o, c.Arch)
	}
	return o, err
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
	return o.reader.archive.names(ctx, false), nil
}

// Platforms lists the platforms for which Options.Container has an image.
func (f *Finder) Platforms(ctx context.Context) (list []image.Platform, err error) {
	o, err := f.openImage(ctx)
	if err != nil {
		return nil, err
	}
	defer o.reader.close()
	if err = f.readTop(ctx, o); err != nil {
		return nil, err
	}
	m, err := image.ParseManifest(o.top.text, o.top.mediaType)
	if err == nil && !m.Index {
		var text []byte
		if text, _, err = o.reader.get(ctx, "blobs/"+string(m.Config.Digest), image.MaxConfig); err != nil {
			return nil, err
		}
		var config *image.OCIConfig
		if config, err = image.ParseConfig(text); err == nil {
			return []image.Platform{config.Platform}, nil
		}
	}
	if err != nil {
		return nil, unusable(because(f.opt.Container.name(), err))
	}
	for i := range m.Manifests {
		if p := &m.Manifests[i].Platform; p.OS != "" && p.OS != "unknown" { // of attestations
			list = append(list, *p)
		}
	}
	return list, nil
}
