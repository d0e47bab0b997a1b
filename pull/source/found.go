package source

import (
	"io/fs"
	"time"

	"lxc-pull/image"
	"lxc-pull/lxc"
	"lxc-pull/untar"
)

// A Found is an image that is found and vouched for: its metadata is here, and its
// root file system is ready to be read.
type Found struct {
	Image  image.Image
	Meta   lxc.Meta
	Layers []Layer // of the root file system, the lowest first
	Cached bool    // the bytes come out of the cache

	finder   *Finder
	query    image.Query
	listedBy signers // of the list that names the image, the server's or the cached one
	asked    bool    // the server was asked in this run, so that list is its own of now

	files []untar.File // of the metadata, in the tarball's order
	proof proof
	held  loan
	try   attempt
}

// A Layer is one tar archive of a root file system.
type Layer struct {
	Name string
	// Packed and Content are its sizes in bytes, as it is sent and unpacked; -1 until
	// they are known (Measure).
	Packed, Content int64
	OCI             bool // it is an OCI image layer, whose whiteouts remove
}

// A proof is what vouches for an image's files, and the checks that are ready to run.
type proof struct {
	evidence     evidence
	meta, rootfs *seal
}

// renewSeals checks what vouches for the image and prepares the checks of its two
// files. A check is good for one pass over a file.
func (found *Found) renewSeals() error {
	f := found.finder
	at := listing{directory: found.Image.Path}
	if built, ok := buildTime(found.Image.Build); ok && !f.opt.AllowOlder && f.isDate(built, found.listedBy.at) {
		at.since = built.Add(-slack)
	}
	seals, err := f.trust.seals(found.proof.evidence, at, image.MetaFile, image.RootfsFile)
	if err != nil {
		return err
	}
	found.proof.meta, found.proof.rootfs = seals[image.MetaFile], seals[image.RootfsFile]
	return nil
}

// Vouched reports whether a trusted key vouches for the image. It does unless the user
// asked for no check.
func (found *Found) Vouched() bool { return found.finder.trust.keys != nil }

// FileMode returns the mode of a metadata file as the archive has it; ok is false if
// the metadata has no such file.
func (found *Found) FileMode(name string) (mode fs.FileMode, ok bool) {
	for _, f := range found.files {
		if f.Name == name {
			return fs.FileMode(f.Mode), true
		}
	}
	return 0, false
}

// built returns when the image was built, as far as its name or the cache tells.
func (found *Found) built() time.Time {
	if t, ok := buildTime(found.Image.Build); ok {
		return t
	}
	return found.held.entry.Modified
}

// Close ends the use of what found holds in the cache. What has come of a download
// that broke off stays there for the next run to go on with.
func (found *Found) Close() { found.held.close() }
