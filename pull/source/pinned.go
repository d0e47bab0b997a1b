package source

import (
	"io"
	"os"

	"lxc-pull/fetch"
	"lxc-pull/image"
)

// A pinnedImage is what a Found has if a digest names each of the image's files: a container
// image, an image of a simplestreams server, or a root file system in one file.
type pinnedImage struct {
	_      [0]func() // forbids ==, whose code nothing needs
	reader *imageReader
	remote remote // nil: the bytes are on this machine
	name   string // under which the cache keeps the image (cache.Kept.Reference)

	// Of a container image. top and manifest are the same, unless top is an index. Another image
	// has no config, and top and manifest are what the cache's record begins with: its metadata,
	// or else the root file system.
	registry      *registry // nil: the image is in an archive
	top, manifest *document
	config        *image.Descriptor

	layers []image.Descriptor // a Digest may be "" only if the bytes are on this machine
	// combined is the digest of the metadata followed by the one layer; "": not known. The
	// metadata is manifest.text.
	combined image.Digest
	sure     bool     // the sizes of the layers come from who vouches for the image
	signers  []string // fingerprints of the keys that signed top or manifest
	at       fetching
}

// A remote is a store whose bytes come from the network.
type remote interface {
	// course returns the URLs from which what has a digest is downloaded. It is the same one for
	// all calls with that digest.
	course(d image.Digest) *fetch.Course
	// url returns the URL of what has a digest, at the server that is asked first. kind is
	// "manifests" or "blobs".
	url(kind string, d image.Digest) string
	// safe reports whether a decoder may read bytes of the store before they are verified
	// (Found.Safe).
	safe() bool
}

// A document is the text of a manifest or of another small file, with its digest.
type document struct {
	digest    image.Digest
	mediaType string
	text      []byte
}

// A fetching is how a pinnedImage gets its layers.
type fetching struct {
	ahead   *ahead
	layer   int      // the one that was opened last
	checked bool     // its bytes have the right digest
	whole   *os.File // has those of the layers that are not in the cache, after Found.Gather; nil: the cache has all
	spare   *os.File // what Gather made; nil: nothing yet
	starts  []int64  // of each layer in whole, -1: it is in the cache; nil without Found.Gather
	last    *fetched // how that layer came, for Finder.Next; nil: not known
	private bool     // no other process can change whole, and it is verified
	noCache bool     // the run does not write to the cache
	// Of a root file system on this machine: its file, which Close closes, and its bytes if they
	// can be read only once; nil: none.
	own  *os.File
	pipe io.Reader
}

// id returns the digest of the manifest, or of what takes its place; "": it has none.
func (o *pinnedImage) id() image.Digest {
	if o.manifest == nil {
		return ""
	}
	return o.manifest.digest
}

// Ready reports whether Stream.File gives the bytes of every layer, and a check of them holds
// until they are used: no other process can change them, or the cache has them, or nobody vouches
// for them.
func (found *Found) Ready() bool {
	o := found.pinned
	return found.Cached || o != nil && o.at.starts != nil && (o.at.private || !found.Vouched())
}

// Unlisted reports whether no list of a server, or manifest, says for which machine the image is:
// only its own metadata and the user do.
func (found *Found) Unlisted() bool { return found.pinned != nil && found.finder.opt.File != nil }

// Pinned reports whether digests name all files of the image before the first byte of a layer
// comes. Such an image is gathered (Gather) where another one is verified with Stream.Complete.
func (found *Found) Pinned() bool { return found.pinned != nil }
