// Package source finds images on image servers and in the cache, and checks which keys signed
// them: it downloads the servers' indexes, finds the image that a query means, checks the
// signatures on all files of the image, and returns the bytes of its root file system, from
// the cache or from whichever server has them.
//
//	finder := source.Open(options, listener)
//	found, err := finder.Find(ctx, query)      // the metadata is downloaded and checked
//	stream, err := found.Open(ctx, layer)      // a layer of the root file system, as it arrives
//	...                                        // read stream to its end
//	err = stream.Check()                       // the bytes are the ones that were signed
//	err = stream.Close()
//	found.Keep()                               // keep the image in the cache
//	found.Remember(ctx)                        // record the build, so that an older one is refused
//	found.Close()
//
// After an error of the stream, or of the caller's use of it, Finder.Next returns how to go
// on: with the bytes of other servers, with another build, or with the server's copy in
// place of a damaged cached copy. Found.Forget drops the bytes of a download that failed.
//
// With Options.Container the image is a container image of a registry or an archive: its manifest
// and config are read in place of an index and the metadata, and the root file system has several
// layers. container.go finds the image, registry.go and archive.go are where it can be, imageread.go
// puts the cache before them, ahead.go and layers.go deliver the layers, cosign.go verifies
// signatures. Everything below the manifest is named by its digest.
//
// With Options.Streams the image is one of a simplestreams server (Incus, LXD, Ubuntu): streams.go
// reads the signed lists and finds the image, known.go has the servers with short names, and
// web.go downloads the files, whose digests the lists have. Each server has its own keys, its own
// copies in the cache and its own records of lists in the history. Without a key the certificate of
// a server counts alone: then older lists and builds, and expired images, are not noticed.
//
// Of an index of images only what a trusted key signed is believed: the index, which lists the build, the build's
// SHA256SUMS, and through it the two tarballs. The caller checks what the metadata does to
// the host; this package checks who signed it.
package source

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/image/cache"
	"lxc-pull/lxc"
	"lxc-pull/pgp"
	"lxc-pull/untar"
)

// Options are the servers, keys and caches of a Finder.
type Options struct {
	Servers    *Servers                // nil: no server is asked (Finder.Verify alone)
	Client     *fetch.Client           // for Servers; nil if Servers is nil
	Keys       *pgp.Keyring            // trusted to sign images; nil: nothing is checked
	BuiltInKey bool                    // Keys are DefaultServer's, whose builds all have a signed SHA256SUMS; for other sources they count for nothing
	Clock      *Clock                  // by which signatures and expiry dates are judged
	Cache      *cache.Cache            // nil: no image is kept
	Use        CacheUse                // how Cache is used
	Histories  []*cache.Cache          // the caches whose histories are read; the first that is writable is updated
	AllowOlder bool                    // take a build or index that is older than one seen before
	Mode       lxc.Mode                // which index and which metadata files are read
	Decoding   untar.DecompressOptions // for the metadata
	Wanted                             // what Find finds in place of an image of an index
}

// A Wanted says which image a Finder finds if it is not one of an index of images. At most one
// of the fields is set; if none is, the query of Find counts.
type Wanted struct {
	_         [0]func()  // forbids ==, whose code nothing needs
	Container *Container // a container image
	Streams   *Streams   // an image of a simplestreams server
	File      *File      // a root file system in one file, in a directory or at a URL
	// Bundle is the path of a bundle, which Finder.Export has written; "-" is standard input, ""
	// none. RequireSignature refuses one that no trusted key has signed.
	Bundle           string
	RequireSignature bool
	Stdin            *os.File // what "-" means for archives, files and bundles; nil: os.Stdin
}

// stdin returns what "-" means.
func (w *Wanted) stdin() *os.File {
	if w.Stdin != nil {
		return w.Stdin
	}
	return os.Stdin
}

// A CacheUse says how a Finder uses its cache.
type CacheUse struct {
	_       [0]func() // forbids ==, whose code nothing needs
	Flush   bool      // remove the image first
	Force   bool      // use the cached image without asking a server, even if it has expired
	Refresh bool      // ask the server even if the cached image has not expired
	Limit   int64     // most bytes of root file systems to keep; 0: no limit
	// ReadOnly says that nothing is changed on the disk: Find and Measure say what a run would
	// use.
	ReadOnly bool
}

// A Listener tells the user about a run. The texts are not escaped: they have names
// from images and servers as they came.
type Listener struct {
	Say  func(text string) // a step, in the stock template's words
	Tell func(text string) // other information
	Note func(text string) // a detail, for -v
	// Warn is called with a warning. The code names its kind for programs.
	Warn func(code, text string)
	// Image is called when the caller has accepted an image (Found.Accept). digest is the
	// SHA-256 of the root file system in hexadecimal digits, "" if it is not known.
	Image func(i image.Image, digest string, cached bool)
	// Begin begins a phase that processes size bytes, -1 if the size is not known. An earlier
	// run has downloaded the first kept of them. The caller writes all bytes to the result as
	// they pass, and closes it after the phase.
	Begin func(phase string, kept, size int64) io.WriteCloser
}

// A Finder finds images for one run.
type Finder struct {
	opt   Options
	tell  Listener
	trust trust

	warnedHistory bool // Warn was told that a history can't be read
	distrustCache bool // don't use the cached copy: it is damaged, or could not be removed
	// The evidence that is kept with the cached copy (the signed files that vouch for it) was
	// refused: Keep writes the new one, with which the copy's bytes were checked.
	replaceEvidence bool
	// loose says that no server has exactly the image of the query: other names for it count
	// (image.Query.Loose), and builds that the index does not name (image.Query.Build).
	loose bool
	noted string // the last note about names that Tell was told

	runParts
	early earlyFiles

	keepTexts bool // lists of images stay in memory as they came, for Export

	copied *archive // read from standard input or copied; nil: none
}

// runParts is what a run gives to a Finder: with Provide, and with WillOpen.
type runParts struct {
	ahead int64                    // bytes of memory for layers before their turn
	spool func() (*os.File, error) // makes a temporary file
	opens bool                     // the run opens what Find finds
}

// WillOpen says that the caller opens the image that Find finds. Find then requests the root file
// system of an image server as soon as it knows the image, and the server sends its first bytes
// while the signatures and the metadata are downloaded. Nobody reads them before these are checked.
func (f *Finder) WillOpen() { f.opens = true }

// Provide sets what a run gives to the Finder: the bytes of memory that may hold layers before
// their turn, and how to make a temporary file, which no other process can open and which the
// run closes. Without it one buffer is used, and an archive from standard input is refused.
func (f *Finder) Provide(ahead int64, temp func() (*os.File, error)) { f.ahead, f.spool = ahead, temp }

// Open returns a Finder. It does not use the network.
func Open(opt Options, tell Listener) *Finder {
	f := &Finder{opt: opt, tell: tell, trust: trust{opt.Keys, opt.Clock}}
	f.trustKeys(opt.keys(""))
	return f
}

// List returns the index of the first server that gives one with a good signature. If none
// does, the error is the most severe of the servers' errors.
func (f *Finder) List(ctx context.Context) (image.Index, error) {
	if f.opt.Streams != nil {
		return f.listStreams(ctx)
	}
	for {
		server := f.opt.Servers.current()
		if server == nil {
			return image.Index{}, f.opt.Servers.worstError()
		}
		if server.index != nil {
			return server.index.Index, nil
		}
		index, err := f.readIndex(ctx, server)
		if err == nil {
			server.index = index
			continue
		}
		if err := f.nextServer(ctx, err); err != nil {
			return image.Index{}, err
		}
	}
}

// Find returns the image that q means and its metadata: the cached copy if it has not
// expired, else the image of the first server that has it. The error is of
// Kind NotFound if no server has such an image.
func (f *Finder) Find(ctx context.Context, q image.Query) (*Found, error) {
	switch {
	case f.opt.Bundle != "" && (f.opt.Cache == nil || f.opt.Cache.Held == nil): // else findKept looks for it
		return f.findInBundle(ctx, q)
	case f.opt.Container != nil || f.opt.File != nil:
		return f.findPinned(ctx)
	}
	if f.opt.Streams != nil {
		q.Build = f.opt.Streams.Build
	}
	if f.opt.Cache != nil && f.opt.Use.Flush {
		if err := f.flush(ctx, q); err != nil {
			return nil, err
		}
	}
	cached, why := f.inCache(ctx, q)
	f.replaceEvidence = why != nil
	if why != nil {
		// The copy was made by the stock template, which keeps no evidence, or by an older
		// version of this program, which kept no index; or it is damaged. The server's
		// evidence tells whether its bytes are good.
		f.warn("", "the cached copy can't be used as it is: ", why, "")
	}
	expired := cached != nil && f.expired(cached)
	if expired && q.Build != "" {
		f.warnExpired(cached) // a server can't have that build with another date
		expired = false
	}
	if cached != nil && (f.opt.Use.Force || !expired && !f.opt.Use.Refresh) {
		cached.announce = func() { f.sayCached(cached) }
		return cached, nil
	}
	if expired {
		f.tell.Say("The cached copy has expired, re-downloading...")
	}
	found, err := f.onServer(ctx, q)
	if Offline(err) && why != nil {
		return nil, f.unusableOffline(why, err)
	}
	if Offline(err) && cached != nil {
		cached.announce = func() {
			f.tell.Warn("offline", err.Error())
			if expired {
				f.tell.Warn("offline", "the server can't be reached; using the cached copy, although it has expired")
			} else {
				f.tell.Warn("offline", "the server can't be reached; using the cached copy")
			}
			f.sayCached(cached)
		}
		return cached, nil
	}
	if cached != nil {
		cached.Close()
	}
	return found, err
}

// findPinned is Find for a container image and for a file.
func (f *Finder) findPinned(ctx context.Context) (*Found, error) {
	found := &Found{finder: f}
	var err error
	switch {
	case f.opt.Container != nil:
		err = f.findContainer(ctx, found)
	case strings.Contains(f.opt.File.Path, "://"):
		err = f.findAtURL(ctx, found)
	default:
		err = f.findLocal(ctx, found)
	}
	if err != nil {
		found.Close()
		return nil, err
	}
	return found, nil
}

// unusableOffline returns the error for a cached copy that can't be used, for the reason why,
// while no server can be reached.
func (f *Finder) unusableOffline(why, offline error) error {
	if f.opt.Cache != nil && f.opt.Cache.Held != nil {
		return unverified("its image", why) // of a bundle, which is all there is
	}
	return unverified("the cached copy can't be used offline", fmt.Errorf("%w; %w", why, offline))
}

// defaultLife is after how long a server is asked for a newer image than a cached one that has no
// expiry date, as Ubuntu's have none. Images of distrobuilder expire after it.
const defaultLife = 30 * 24 * time.Hour

// expired reports whether the image's expiry date has passed. An image of a simplestreams server
// without one expires in the cache after defaultLife, and another one does not expire; one whose
// expiry is not a number has expired.
func (f *Finder) expired(found *Found) bool {
	file, ok := found.Meta.Relevant("expiry", f.opt.Mode)
	if !ok {
		o := found.pinned
		return o != nil && found.Cached && o.reader.kept != nil && f.trust.clock.Now().Sub(o.reader.kept.Time) > defaultLife
	}
	t, ok := lxc.Expiry(file)
	return !ok || t.Before(f.trust.clock.Now())
}

// onServer finds the image on the first server that has it. If a server's index lists a build
// that the server does not have, removed already or not yet published, onServer reads the
// index again, once, before it asks the next server. If no server has exactly that image,
// onServer looks for other names of it, and for a build that no index names.
func (f *Finder) onServer(ctx context.Context, q image.Query) (*Found, error) {
	if f.opt.Streams != nil {
		return f.streamsOnServer(ctx)
	}
	for {
		index, err := f.List(ctx)
		if err == nil {
			var found *Found
			if found, err = f.fromServer(ctx, index, q); err == nil {
				return found, nil
			}
			err = f.afterFailure(ctx, err)
		}
		if err == nil {
			continue
		}
		if f.loose || !q.Loose && q.Build == "" || ctx.Err() != nil || !f.opt.Servers.askAgain() {
			return nil, err
		}
		f.loose = true
	}
}

// fromServer finds the image on the current server: it looks the image up in the index, locks
// it in the cache, downloads the signatures and the metadata, checks them, and tells the user
// what it does. If the cache has the same build, the metadata and the root file system come
// from the cache.
func (f *Finder) fromServer(ctx context.Context, index image.Index, q image.Query) (_ *Found, err error) {
	by := f.opt.Servers.current().index.by
	found := &Found{finder: f, lxcImage: lxcImage{query: q, index: indexUse{signers: by, downloaded: true}}}
	if err := found.choose(&index); err != nil {
		return nil, err
	}
	img := found.Image
	if q.Build == "" { // else the user wants that build, even if it is older
		if err := f.checkNotOlder(&img, &by, false); err != nil {
			return nil, err
		}
	}
	f.tell.Note(fmt.Sprintf("image %s, build %s", img.Name, img.Build))
	defer func() {
		if err != nil {
			found.Close()
			err = f.asGone(&found.Image, &found.query, err)
		}
	}()
	if err := found.lockInCache(ctx); err != nil {
		return nil, err
	}
	if entry := found.cache.entry; entry != nil && (entry.Build != img.Build || f.distrustCache) {
		found.cache.dropEntry()
	}
	found.requestRootfs(ctx)
	if err := f.vouch(ctx, found); err != nil {
		return nil, err
	}
	if err := found.checkUnlisted(); err != nil {
		return nil, err
	}
	if found.cache.entry != nil {
		f.tell.Say("The cache is already up to date")
		f.sayCached(found)
		found.Cached = true // only now: the server's evidence vouches for the build
	}
	found.requestTail()
	if err := found.readMeta(ctx); err != nil {
		return nil, err
	}
	if err := f.checkFresh(found); err != nil {
		return nil, err
	}
	found.Layers = []Layer{{Name: image.RootfsFile, Packed: -1, Content: -1}}
	return found, nil
}

// afterFailure returns nil if the image should be looked for again after err: in the current
// server's index, which will be read again, or on the next server. Otherwise it returns the
// error to end with.
func (f *Finder) afterFailure(ctx context.Context, err error) error {
	server := f.opt.Servers.current()
	if KindOf(err) == Gone && !server.reread && ctx.Err() == nil {
		f.warn("retry", "", err, "; reading the index again")
		server.index, server.reread = nil, true
		return nil
	}
	return f.nextServer(ctx, err)
}

// nextServer makes the next server the current one and returns nil, if another server may
// succeed after err. Otherwise it returns the error to end with.
func (f *Finder) nextServer(ctx context.Context, err error) error {
	switch KindOf(err) {
	case Network, NotFound, Gone, Unverified, Replayed:
	default:
		return err
	}
	if ctx.Err() != nil {
		return err
	}
	next := f.opt.Servers.giveUp(err)
	if next == nil {
		return f.opt.Servers.worstError()
	}
	f.tell.Warn("retry", fmt.Sprintf("%v; asking %q", err, next.url))
	return nil
}

// asGone returns the error to report for err, a failure to find or download img. If the
// current server answered that a file of the build does not exist, the error becomes Gone:
// the index lists a build that is not there. Other errors stay as they are.
func (f *Finder) asGone(img *image.Image, q *image.Query, err error) error {
	server := f.opt.Servers.current()
	if server == nil || server.index == nil || isUnverified(err) || !f.opt.Servers.lacks(err) {
		return err
	}
	missing := server.index.Gone(img, q)
	if missing.Listed != "" {
		return missing
	}
	return newError(Gone, "", fmt.Errorf("%w: %w", missing, err))
}
