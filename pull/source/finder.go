// Package source is where an image comes from, and who vouches for it: it asks image
// servers for their lists, finds the image that is meant, checks the signatures on
// everything that the image is made of, and hands out the bytes of its root file
// system, out of the cache or from whichever server has them.
//
//	finder := source.Open(options, listener)
//	found, err := finder.Find(ctx, query)      // the metadata is here and checked
//	stream, err := found.Open(ctx)             // the root file system, as it comes
//	...                                        // read it to its end
//	err = stream.Check()                       // these were the signed bytes
//	found.Keep(ctx)                            // in the cache, for the next run
//	found.Remember(ctx)                        // so that an older image will be noticed
//	found.Close()
//
// After an error of the stream, or of what the caller made of it, Finder.Next says how
// to go on: with other servers' bytes, with another build, with the server in the
// place of a damaged cache.
//
// Nothing that a server sends is believed but what a trusted key signed: the list, and
// through it the build's SHA256SUMS, and through that the two tarballs. The caller
// checks what the metadata says of the host; this package checks whose it is.
package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/image/cache"
	"lxc-pull/lxc"
	"lxc-pull/pgp"
	"lxc-pull/untar"
)

// Options say which servers, keys and cache a run has.
type Options struct {
	Servers    *Servers       // nil: no server is asked
	Client     *fetch.Client  // as nil as Servers
	Keys       *pgp.Keyring   // that may vouch for images; nil: nothing is checked
	BuiltInKey bool           // Keys are those of DefaultServer, whose builds all have a signed list of digests
	Clock      *Clock         //
	Cache      *cache.Cache   // nil: none
	Use        CacheUse       // of Cache
	Histories  []*cache.Cache // that know what builds were seen; the first that can be written is written
	AllowOlder bool           // than what was seen
	Mode       lxc.Mode
	Decoding   untar.DecompressOptions // of the metadata; and so how much memory that may take
}

// A CacheUse says how the cache is used.
type CacheUse struct {
	Flush   bool  // remove the image first
	Force   bool  // use the cached image without asking a server, even if it has expired
	Refresh bool  // ask the server even if the cached image has not expired
	Limit   int64 // bytes of root file systems that the cache may keep; 0: any number
}

// A Listener hears what a person should know. None of the texts is escaped: names out
// of images and servers are in them as they came.
type Listener struct {
	Say  func(text string) // a step, in the stock template's words
	Tell func(text string) // something that is neither a step nor a fault
	Warn func(text string)
	Note func(text string) // a detail that only a curious person wants
	// Begin begins a phase that processes size bytes, -1 if that is not known. What is
	// written to the result is counted, until it is closed.
	Begin func(phase string, size int64) io.WriteCloser
}

// A Finder finds images for one run.
type Finder struct {
	opt   Options
	tell  Listener
	trust trust

	saidUnseen    bool // a warning that a history can't be read was given
	distrustCache bool // the cached copy is damaged, or was to be removed and is not
	unfit         bool // what is kept with the cached copy does not vouch for it
}

// Open returns a Finder. It asks nothing of the network yet.
func Open(opt Options, tell Listener) *Finder {
	f := &Finder{opt: opt, tell: tell, trust: trust{opt.Keys, opt.Clock}}
	f.recallTime()
	return f
}

// List returns the list of the first server that has one.
func (f *Finder) List(ctx context.Context) (image.Index, error) {
	for {
		server := f.opt.Servers.current()
		if server == nil {
			return image.Index{}, f.opt.Servers.verdict()
		}
		if server.list != nil {
			return server.list.index, nil
		}
		list, err := f.readList(ctx, server)
		if err == nil {
			server.list = list
			continue
		}
		if err := f.nextServer(ctx, err); err != nil {
			return image.Index{}, err
		}
	}
}

// Find finds the image that q means, in the cache while that is fresh, else on a
// server, and brings its metadata. The error is of Kind NotFound if no server has
// such an image.
func (f *Finder) Find(ctx context.Context, q image.Query) (*Found, error) {
	if f.opt.Cache != nil && f.opt.Use.Flush {
		if err := f.flush(ctx, q); err != nil {
			return nil, err
		}
	}
	kept, unfit := f.inCache(q)
	f.unfit = unfit != nil
	switch {
	case unfit != nil:
		// The stock template, which keeps no evidence, made the copy, or an older
		// version of this program, which kept no list; or it is damaged. The server
		// says whether it is still good.
		f.tell.Note(fmt.Sprintf("the cached copy can't be used as it is: %v", unfit))
	case kept == nil:
	case f.opt.Use.Force, !f.expired(kept) && !f.opt.Use.Refresh:
		f.sayCached(kept)
		return kept, nil
	case f.expired(kept):
		f.tell.Say("The cached copy has expired, re-downloading...")
	}
	found, err := f.onServer(ctx, q)
	switch {
	case Offline(err) && unfit != nil:
		return nil, f.unfitOffline(unfit, err)
	case Offline(err) && kept != nil:
		f.tell.Warn(err.Error())
		if f.expired(kept) {
			f.tell.Warn("the server can't be reached; using the cached copy, although it has expired")
		} else {
			f.tell.Warn("the server can't be reached; using the cached copy")
		}
		f.sayCached(kept)
		return kept, nil
	}
	if kept != nil {
		kept.Close()
	}
	return found, err
}

// unfitOffline is the error if the cached copy is all that there is and can't be
// used.
func (f *Finder) unfitOffline(unfit, offline error) error {
	return unverified("the cached copy can't be used offline", errors.Join(unfit, offline))
}

// expired reports whether the image's recommended time of use is over. An image
// without expiry lasts for ever; one whose expiry is no number is treated as expired.
func (f *Finder) expired(found *Found) bool {
	file, ok := found.Meta.Relevant("expiry", f.opt.Mode)
	if !ok {
		return false
	}
	t, ok := lxc.Expiry(file)
	return !ok || t.Before(f.trust.clock.Now())
}

// onServer finds the image on the first server that has it. If the list names a
// build that is not there, no longer or not yet, the list is read again, once, before
// the next server is asked.
func (f *Finder) onServer(ctx context.Context, q image.Query) (*Found, error) {
	for {
		index, err := f.List(ctx)
		if err != nil {
			return nil, err
		}
		found, err := f.inList(ctx, index, q)
		if err == nil {
			return found, nil
		}
		if err := f.afterFailure(ctx, err); err != nil {
			return nil, err
		}
	}
}

// inList finds the image in the current server's list, and takes the bytes from the
// cache if that has the same build.
func (f *Finder) inList(ctx context.Context, index image.Index, q image.Query) (_ *Found, err error) {
	img, err := index.Find(q)
	if err != nil {
		return nil, err
	}
	by := f.opt.Servers.current().list.by
	if err := f.checkNotOlder(img, by, false); err != nil {
		return nil, err
	}
	f.tell.Note(fmt.Sprintf("image %s, build %s", img.Name, img.Build))
	found := &Found{Image: img, finder: f, query: q, listedBy: by, asked: true}
	defer func() {
		if err != nil {
			found.Close()
			err = f.orphaned(img, q, err)
		}
	}()
	if err := found.lockInCache(ctx); err != nil {
		return nil, err
	}
	if entry := found.held.entry; entry != nil && (entry.Build != img.Build || f.distrustCache) {
		found.held.dropEntry()
	}
	if err := f.vouch(ctx, found); err != nil {
		return nil, err
	}
	if found.held.entry != nil {
		f.tell.Say("The cache is already up to date")
		f.sayCached(found)
		found.Cached = true
	}
	if err := found.readMeta(ctx); err != nil {
		return nil, err
	}
	if err := f.checkFresh(found); err != nil {
		return nil, err
	}
	found.Layers = []Layer{{Name: image.RootfsFile, Packed: -1, Content: -1}}
	return found, nil
}

// afterFailure prepares another look for the image after err: with the current
// server's list read again, or on the next server. Otherwise it returns the error to
// end with.
func (f *Finder) afterFailure(ctx context.Context, err error) error {
	server := f.opt.Servers.current()
	if KindOf(err) == Gone && !server.reread && ctx.Err() == nil {
		f.tell.Warn(fmt.Sprintf("%v; reading the list again", err))
		server.list, server.reread = nil, true
		return nil
	}
	return f.nextServer(ctx, err)
}

// nextServer gives up the current server after err, if the next one may do better;
// otherwise it returns the error to end with.
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
		return f.opt.Servers.verdict()
	}
	f.tell.Warn(fmt.Sprintf("%v; asking %q", err, next.url))
	return nil
}

// orphaned turns the current server's answer that a file of the build does not exist
// into what it means: the list names a build that is not there. Other errors stay as
// they are.
func (f *Finder) orphaned(img image.Image, q image.Query, err error) error {
	server := f.opt.Servers.current()
	if server == nil || server.list == nil || isUnverified(err) || !f.opt.Servers.hasNot(err) {
		return err
	}
	return &Error{Kind: Gone, Err: fmt.Errorf("%w: %w", server.list.index.Gone(img, q), err)}
}

// Next says how to go on after found failed with err: the result may be found itself,
// to be opened once more, or another. It returns an error, which may be err, if there
// is no other way. found is closed unless it is the result.
func (f *Finder) Next(ctx context.Context, found *Found, err error) (*Found, error) {
	next, err := f.next(ctx, found, err)
	if next != found {
		found.Close()
	}
	return next, err
}

func (f *Finder) next(ctx context.Context, found *Found, err error) (*Found, error) {
	bad := isUnverified(err)
	var refused *RefusedError
	switch {
	case ctx.Err() != nil:
		return nil, err
	case errors.As(err, &refused) && found.Cached && !found.asked:
		return f.insteadOfRefused(ctx, found, refused.Err)
	case errors.As(err, &refused):
		return nil, refused.Err
	case found.Cached && bad:
		// The cache is at fault, not the image: take it from the server.
		f.tell.Warn(fmt.Sprintf("the cached copy is damaged (%v); downloading it anew", err))
		found.Close()
		f.distrustCache = true
		return f.onServer(ctx, found.query)
	case found.try.course == nil || !bad && len(fetch.Failures(err)) == 0:
		return nil, err
	}
	sources := found.try.sources()
	if bad && found.try.had == 0 {
		f.opt.Servers.noteWrong(sources)
	}
	again, final := found.try.course.Next(err, bad, found.try.had, sources)
	if again {
		f.tell.Warn(fmt.Sprintf("%v; starting again", err))
		found.held.discard()
		return found, found.renewSeals()
	}
	found.Close()
	return f.another(ctx, found, final)
}

// another finds another build than found's, or the same one on another server, after
// all servers failed to give found's bytes with err.
func (f *Finder) another(ctx context.Context, found *Found, err error) (*Found, error) {
	for {
		server := f.opt.Servers.current()
		if err := f.afterFailure(ctx, f.orphaned(found.Image, found.query, err)); err != nil {
			return nil, err
		}
		next, err := f.onServer(ctx, found.query)
		if err != nil {
			return nil, err
		}
		if next.Image.Path != found.Image.Path || f.opt.Servers.current() == server {
			return next, nil
		}
		next.Close() // the same build: that server was asked for it already
	}
}

// A RefusedError tells Next that the caller does not take an image because of what
// its metadata says. If the image is a cached one, the server may have one that it
// takes.
type RefusedError struct{ Err error }

func (e *RefusedError) Error() string { return e.Err.Error() }
func (e *RefusedError) Unwrap() error { return e.Err }

// insteadOfRefused asks the server after the caller refused the cached copy.
func (f *Finder) insteadOfRefused(ctx context.Context, found *Found, refused error) (*Found, error) {
	f.tell.Note(fmt.Sprintf("the cached copy can't be used as it is: %v", refused))
	found.Close()
	f.unfit = true
	next, err := f.onServer(ctx, found.query)
	if Offline(err) {
		return nil, f.unfitOffline(refused, err)
	}
	return next, err
}

// inCache returns the cached copy of the image, found without a request, nil if there
// is none. An error says why it may not be used as it is.
func (f *Finder) inCache(q image.Query) (*Found, error) {
	if f.opt.Cache == nil || f.distrustCache {
		return nil, nil
	}
	for _, name := range names(q) {
		entry, err := f.opt.Cache.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found, err := f.fromEntry(name, entry)
		if err != nil {
			entry.Close()
			return nil, err
		}
		found.query = q
		return found, nil
	}
	return nil, nil
}

// names are those under which the cache may have the image: an entry has the names of
// the server's list, which may spell the architecture otherwise than q does.
func names(q image.Query) []image.Name {
	var list []image.Name
	for _, arch := range q.Arch {
		list = append(list, image.Name{Dist: q.Dist, Release: q.Release, Arch: arch, Variant: q.Variant})
	}
	return list
}

// fromEntry makes a Found of a cache entry. The error says why what is kept with it
// does not vouch for it.
func (f *Finder) fromEntry(name image.Name, entry *cache.Entry) (*Found, error) {
	found := &Found{
		Image: image.Image{Name: name, Build: entry.Build}, Cached: true, Layers: []Layer{{Name: image.RootfsFile, Packed: -1, Content: -1}},
		finder: f, proof: proof{evidence: evidence(entry.Evidence)}, held: loan{entry: entry},
	}
	if f.trust.keys == nil && entry.Evidence[image.MetaFile] == nil {
		// Nothing is to be checked, and the stock template made the copy.
		found.proof.rootfs = &seal{file: image.RootfsFile}
		found.Meta = lxc.Meta(entry.Files)
		return found, nil
	}
	if f.trust.keys != nil {
		if err := f.tieToList(found); err != nil {
			return nil, err
		}
	}
	if err := found.renewSeals(); err != nil {
		return nil, err
	}
	tarball := entry.Evidence[image.MetaFile]
	if tarball == nil {
		return nil, errors.New("it lacks " + image.MetaFile)
	}
	if err := found.proof.meta.checkBytes(tarball); err != nil {
		return nil, err
	}
	return found, found.useMeta(tarball)
}

// tieToList ties a cache entry to its name and build, which its files and build_id
// alone do not: the signed list that is kept with it must name them, and no newer
// build may have been seen. The list also tells the image's place on the server, which
// the signatures of its files may name.
func (f *Finder) tieToList(found *Found) error {
	for _, name := range slices.Concat(listNames(lxc.System), listNames(lxc.User)) {
		text, sig := found.proof.evidence[name], found.proof.evidence[name+image.SigSuffix]
		if text == nil || sig == nil {
			continue
		}
		by, err := f.trust.verify(name, image.IndexDir+"/"+name, text, sig)
		if err != nil {
			return err
		}
		for _, img := range image.ParseIndex(text).Images {
			if img.Name == found.Image.Name && img.Build == found.Image.Build {
				found.Image, found.listedBy = img, by
				return f.checkNotOlder(img, by, true)
			}
		}
		return unverified(name, fmt.Errorf("it does not name build %q of this image", found.Image.Build))
	}
	return errors.New("no signed list is kept with it (the stock template or an older version made it); the next creation fetches one")
}
