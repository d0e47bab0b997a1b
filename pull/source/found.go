package source

import (
	"io/fs"
	"strings"
	"time"

	"lxc-pull/image"
	"lxc-pull/lxc"
	"lxc-pull/untar"
)

// A Found is an image that a trusted key has signed. Its metadata is read and checked, and
// its root file system can be opened.
type Found struct {
	Image  image.Image
	Meta   lxc.Meta
	Config *image.OCIConfig // of a container image; nil for others
	// Incus is the metadata of an image that was made for Incus or LXD; nil for others. Meta has
	// been made of it, but for the templates.
	Incus  *image.IncusMetadata
	Layers []Layer // of the root file system, the lowest first
	// Cached says that the bytes come from the cache and that its copy was found to be the
	// image's build. While the copy is still being compared with a server's index, cache.entry
	// is set and Cached is not; after Close Cached stays set.
	Cached bool

	finder   *Finder
	announce func() // what Accept tells the user; nil: nothing

	lxcImage              // of an index of images
	pinned   *pinnedImage // an image of another source; nil: lxcImage counts
}

// An lxcImage is what a Found has if it is an image of an index of images: a build, whose files
// are on image servers or in the cache.
type lxcImage struct {
	query  image.Query
	index  indexUse
	files  []untar.File // of the metadata, in the tarball's order
	checks checks
	cache  cacheParts
	try    attempt
}

// An indexUse says which index lists an image: a server's, or the one kept in the cache.
type indexUse struct {
	signers    signers
	downloaded bool // in this run
	// unlisted says that the index names another build of the image, and the user named this
	// one (image.Query.Build).
	unlisted bool
	only     string // the URL of the server that alone may give the build; "": all may

	// Of an image of a simplestreams server: the server's URL, and what the history calls the
	// image and its list.
	server     string
	seen, list image.Name
}

// Accept says that the caller uses the image after it has seen the metadata. If the image
// comes from the cache, the user is told so, and the cache records the use.
func (found *Found) Accept() {
	if found.announce != nil {
		found.announce()
		found.announce = nil
	}
	digest := ""
	if o := found.pinned; o != nil && found.Config != nil {
		digest = strings.TrimPrefix(string(o.id()), "sha256:")
	} else if o != nil {
		digest = strings.TrimPrefix(string(o.layers[0].Digest), "sha256:")
	} else if found.checks.rootfs.digestKnown() {
		digest = found.tag()
	}
	found.finder.tell.Image(found.Image, digest, found.Cached)
}

// A Layer is one tar archive of a root file system.
type Layer struct {
	_    [0]func() // forbids ==, whose code nothing needs
	Name string
	// Packed and Content are the sizes of the archive in bytes, compressed and decompressed;
	// -1: not known (Measure).
	Packed, Content int64
	OCI             bool         // an OCI image layer: its whiteouts remove files of lower layers
	DiffID          image.Digest // of the decompressed archive, by the image's config; "": not known
	Form
}

// A Form says what the bytes of a layer are, and which part of them is the root file system. The
// zero Form is a tar archive, all of it.
type Form struct {
	_ [0]func() // forbids ==, whose code nothing needs
	// Squashfs says that the layer is a squashfs image. It must be on the disk: Stream.File. A
	// layer whose kind is not known yet is looked at when it is there.
	Squashfs bool
	Tree     *untar.Root // a directory of this machine, which is copied; it has no stream. nil: none
	Inside   string      // only what is below this directory of the archive counts; "": all
	Top      bool        // if all is below one directory that is no part of a root file system, that is the root
}

// Sum returns the sizes of all layers together, as those of one layer. For a container image Content
// is the least that it can be: its layers may hold files that are compressed themselves, so that
// they grow little.
func (found *Found) Sum() *Layer {
	if found.Config == nil {
		return &found.Layers[0]
	}
	all := new(Layer)
	for i := range found.Layers {
		all.Packed += found.Layers[i].Packed
	}
	all.Content = all.Packed
	return all
}

// The checks of an image are the evidence for its files, and the prepared checks of the two
// tarballs.
type checks struct {
	evidence     evidence
	meta, rootfs *seal
}

// renewSeals checks the evidence for the image and prepares new seals of its two tarballs. A
// seal serves for one pass over a file.
func (found *Found) renewSeals() error {
	f := found.finder
	at := listing{directory: found.Image.Path}
	built, ok := image.BuildTime(found.Image.Build)
	switch {
	case ok && found.index.unlisted:
		at.since, at.until = built.Add(-slack), built.Add(slack)
	case ok && !f.opt.AllowOlder && f.isDate(built, found.index.signers.at):
		at.since = built.Add(-slack)
	}
	seals, err := f.trust.seals(found.checks.evidence, at, image.MetaFile, image.RootfsFile)
	if err != nil {
		return err
	}
	found.checks.meta, found.checks.rootfs = seals[0], seals[1]
	return nil
}

// Vouched reports whether the image's signatures are verified: true unless the user asked for
// no checks (Options.Keys is nil). The files of a container image have digests in any case. Of a
// file of this machine it says whether the user gave its digest.
func (found *Found) Vouched() bool {
	if o := found.pinned; o != nil {
		return o.config != nil || o.layers[0].Digest != ""
	}
	return found.finder.trust.keys != nil
}

// FileMode returns the mode that the archive has for a metadata file; ok is false if there is
// no such file.
func (found *Found) FileMode(name string) (mode fs.FileMode, ok bool) {
	for _, f := range found.files {
		if f.Name == name {
			return fs.FileMode(f.Mode), true
		}
	}
	return 0, false
}

// built returns the date in the build's name, or else the time of the cache entry.
func (found *Found) built() time.Time {
	t, ok := found.finder.buildTime(found.Image.Build)
	if !ok && found.cache.entry != nil {
		t = found.cache.entry.Modified
	}
	return t
}

// Close releases the image's files and lock in the cache. The bytes of an unfinished download
// stay in the cache, and the next run continues it. Close may be called again.
func (found *Found) Close() {
	found.cache.close()
	found.try.dropEarly()
	if o := found.pinned; o != nil {
		o.stopAhead(true)
		if o.reader != nil {
			o.reader.close()
		}
		o.at.own.Close() // does nothing for nil
		o.at.own = nil
	}
	for i := range found.Layers {
		if tree := found.Layers[i].Tree; tree != nil {
			tree.Close()
			found.Layers[i].Tree = nil
		}
	}
}
