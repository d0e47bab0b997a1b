package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/image/cache"
)

// EvidenceNames returns the names of all files that the evidence of a cache entry may have:
// signatures and the files that they sign.
func EvidenceNames() []string {
	names := []string{image.RootfsFile, image.MetaFile, image.SumsFile}
	for _, name := range allIndexNames() {
		names = appendNew(names, string(name))
	}
	for _, name := range names {
		names = appendNew(names, name+image.SigSuffix)
	}
	return names
}

// The cacheParts are the parts of the cache that a Found holds open. Each may be nil without
// the others.
type cacheParts struct {
	_     [0]func()    // forbids ==, whose code nothing needs
	slot  *cache.Slot  // the lock for writing the image; nil: this run does not write to the cache
	entry *cache.Entry // the cached copy from which the bytes come; nil: they come from a server
	stage *cache.Stage // the copy that the download is written to; nil: it is not written
	would bool         // Options.ReadOnly: a run would write the image to the cache

	bundle *archive // entry is of this bundle, not of the cache: its last file is the root file system
}

// close closes all parts. The stage's bytes stay for the next run.
func (c *cacheParts) close() {
	if c.stage != nil {
		c.stage.Close()
	}
	c.dropEntry()
	if c.slot != nil {
		c.slot.Unlock()
	}
	if c.bundle != nil {
		c.bundle.close()
	}
	*c = cacheParts{}
}

// rootfs returns the root file system of entry.
func (c *cacheParts) rootfs() *io.SectionReader {
	if a := c.bundle; a != nil {
		last := &a.files[len(a.files)-1]
		return io.NewSectionReader(a.tar, last.Offset, last.Size)
	}
	return io.NewSectionReader(c.entry.Rootfs, 0, c.entry.Size)
}

// dropEntry closes the cached copy, so that the bytes come from a server.
func (c *cacheParts) dropEntry() {
	if c.entry != nil {
		c.entry.Close()
		c.entry = nil
	}
}

// discard removes the copy to which the download is written.
func (c *cacheParts) discard() {
	if c.stage != nil {
		c.stage.Discard()
		c.stage = nil
	}
}

// tag returns the name of a download's bytes in the cache: their digest if it is known, else
// the build's path.
func (found *Found) tag() string {
	if found.checks.rootfs.digestKnown() {
		return fmt.Sprintf("%x", found.checks.rootfs.want)
	}
	return found.Image.Path
}

// beginStage begins a copy in the cache, or continues that of an earlier run, as cache.stage.
// Without a known digest the bytes of an earlier run can't be continued, and it drops them.
// If beginStage fails, it warns the listener, and the download is not written to the cache.
func (found *Found) beginStage() {
	stage, err := found.cache.slot.Stage(found.tag())
	if err == nil && stage.Have > 0 && !found.checks.rootfs.digestKnown() {
		if err = stage.Reset(); err != nil {
			stage.Discard()
		}
	}
	if err != nil {
		found.finder.warn("cache-problem", "going on without writing to the cache: ", err, "")
		return
	}
	found.cache.stage = stage
}

// lockInCache locks the image in the cache and opens the cached copy, if there is one. Of
// several runs at the same time one downloads, and the others wait and use its copy. If the
// cache can't be written, the run continues without writing to it. A build that the index does
// not name is not written to the cache: there the index must vouch for it.
func (found *Found) lockInCache(ctx context.Context) error {
	f := found.finder
	if f.opt.Cache == nil || found.index.unlisted {
		return nil
	}
	if f.opt.Use.ReadOnly {
		var err error
		if found.cache.entry, err = f.opt.Cache.Open(found.Image.Name); err != nil {
			found.cache.entry = nil
		}
		found.cache.would = true
		return nil
	}
	slot, err := f.opt.Cache.Lock(ctx, found.Image.Name)
	var unwritable *cache.UnwritableError
	if errors.As(err, &unwritable) {
		f.warn("cache-problem", "going on without writing to the cache: ", err, "")
		if found.cache.entry, err = f.opt.Cache.Open(found.Image.Name); err != nil {
			found.cache.entry = nil
		}
		return nil
	}
	if err != nil {
		return err
	}
	found.cache.slot = slot
	found.cache.entry, err = slot.Open()
	if err != nil {
		found.cache.entry = nil
		if !errors.Is(err, fs.ErrNotExist) {
			f.warn("cache-problem", "the cached copy can't be read and will be replaced: ", err, "")
		}
	}
	return nil
}

// flush removes the image from the cache. If that fails, the cached copy is not used.
func (f *Finder) flush(ctx context.Context, q image.Query) error {
	if f.opt.Use.ReadOnly {
		f.distrustCache = true
		return nil
	}
	if f.opt.Streams != nil {
		if f.addKnown() != nil {
			return nil // onServer returns the error
		}
		for _, server := range f.opt.Servers.servers {
			if kept := f.keptStreams(server); kept != nil {
				f.tell.Say("Flushing the cache...")
				f.warnFlush(f.opt.Cache.Drop(cache.Info{Kept: kept, Proven: true}))
			}
		}
		return nil
	}
	for _, name := range cacheNames(q) {
		entry, err := f.opt.Cache.Open(name)
		if err != nil {
			continue
		}
		entry.Close()
		f.tell.Say("Flushing the cache...")
		if err := f.opt.Cache.Remove(ctx, name); ctx.Err() != nil {
			return err
		} else {
			f.warnFlush(err)
		}
	}
	return nil
}

// warnFlush warns of an image that can't be removed from the cache, if err is not nil.
func (f *Finder) warnFlush(err error) {
	if err != nil {
		f.warn("cache-problem", "the cached copy can't be removed, and is not used: ", err, "")
		f.distrustCache = true
	}
}

// sayCached tells the listener that the image comes from the cache, and how old it is.
func (f *Finder) sayCached(found *Found) {
	f.tell.Say("Using image from local cache")
	f.tell.Tell(fmt.Sprintf("build %q, %s old", found.Image.Build, Age(f.trust.clock.Now().Sub(found.built()))))
	o := found.pinned
	switch {
	case f.opt.Use.ReadOnly:
	case o == nil:
		f.opt.Cache.Use(found.Image.Name)
	case o.reader.kept != nil:
		f.opt.Cache.UseKept(o.reader.kept)
	}
	if o != nil {
		f.saySigners(found.server(), o.signers)
	}
}

// WillKeep reports whether a download of the image would be written to the cache.
func (found *Found) WillKeep() bool {
	if o := found.pinned; o != nil {
		return o.reader.cache != nil && !o.at.noCache && !found.Cached
	}
	return (found.cache.slot != nil || found.cache.would) && found.cache.entry == nil
}

// CacheDir returns the directory of the cache, "" if there is none.
func (found *Found) CacheDir() string {
	if found.finder.opt.Cache == nil {
		return ""
	}
	return found.finder.opt.Cache.Base
}

// LeaveCache makes the run continue without writing to the cache.
func (found *Found) LeaveCache() {
	if found.pinned != nil {
		found.pinned.at.noCache = true
	}
	found.cache.discard()
	found.cache.would = false
	if found.cache.slot != nil {
		found.cache.slot.Unlock()
		found.cache.slot = nil
	}
}

// Forget removes the bytes of a download that failed with err from the cache, unless a later
// run can continue it: the network or the user interrupted it, and the digest of the whole
// file is known. kept reports whether such bytes stay.
func (found *Found) Forget(err error) (kept bool) {
	if o := found.pinned; o != nil {
		kept = o.stopAhead(len(fetch.Failures(err)) > 0 || errors.Is(err, context.Canceled))
		o.at.whole, o.at.starts, o.at.private = nil, nil, false
		return kept
	}
	resumable := found.checks.rootfs.digestKnown() && (len(fetch.Failures(err)) > 0 || errors.Is(err, context.Canceled))
	if !resumable {
		found.cache.discard()
		return false
	}
	return found.cache.stage != nil && found.try.body != nil && found.try.body.Offset() > 0
}

// Keep makes the download, which the caller has checked, an entry of the cache. If the bytes
// came from an entry without good evidence, such as an entry of the stock template, Keep adds
// the evidence with which they were checked. If Keep fails, it warns the listener.
func (found *Found) Keep() {
	if found.pinned != nil {
		found.pinned.keep(found)
		return
	}
	f, c := found.finder, &found.cache
	if c.entry != nil && c.slot != nil && (f.replaceEvidence || c.entry.Evidence == nil) && found.Vouched() {
		if err := c.slot.Adopt(found.checks.evidence); err != nil {
			f.warn("cache-problem", "the evidence for the cached image is not kept: ", err, "")
		}
	}
	if c.stage == nil {
		return
	}
	if !found.makeRoom() {
		f.tell.Warn("cache-problem", fmt.Sprintf("the image is not kept: it is larger than the cache may be (%s)", ByteCount(f.opt.Use.Limit)))
		c.discard()
		return
	}
	files := map[string]cache.File{}
	for _, file := range found.files {
		files[file.Name] = cache.File{Data: file.Data, Mode: fs.FileMode(file.Mode)}
	}
	err := c.stage.Commit(found.Image.Build, files, found.checks.evidence)
	c.stage = nil
	if err != nil {
		f.warn("cache-problem", "the image is not kept in the cache: ", err, "")
		return
	}
	f.tell.Say("The image cache is now ready")
}

// makeRoom removes other images from the cache until the new one fits below the limit. It
// returns false if the new one alone is too large.
func (found *Found) makeRoom() bool {
	f := found.finder
	limit := f.opt.Use.Limit
	if limit == 0 {
		return true
	}
	info, err := found.cache.stage.Rootfs.Stat()
	if err != nil || info.Size() > limit {
		return false
	}
	return f.shrink(limit-info.Size(), found.Image.Name) == nil
}

// shrink removes images from the cache until it has at most limit bytes, but not that of the name.
func (f *Finder) shrink(limit int64, name image.Name) error {
	return f.opt.Cache.Shrink(limit, name, func(i cache.Info, err error) {
		if err == nil {
			f.tell.Note(i.Label() + " is removed from the cache to make room")
		}
	})
}

// ErrUnsigned says that a cached image can't be checked, since no evidence is kept with it.
var ErrUnsigned = errors.New("no signatures are kept with it (the stock template made it); a creation with --refresh downloads them")

// Verify checks an image of the cache: the signatures, the two tarballs, and whether the
// unpacked metadata files, which the stock template reads, are those of the tarball.
func (f *Finder) Verify(ctx context.Context, i cache.Info) error {
	entry, err := f.opt.Cache.Open(i.Name)
	if err != nil {
		return err
	}
	defer entry.Close()
	if entry.Evidence == nil && f.trust.keys != nil {
		return ErrUnsigned
	}
	found, err := f.fromEntry(i.Name, entry, image.Query{})
	if err != nil {
		return err
	}
	stream := &Stream{ctx: ctx, from: entry.Rootfs, seal: found.checks.rootfs}
	if _, err := io.Copy(io.Discard, stream); err != nil {
		return err
	}
	if err := stream.Check(); err != nil {
		return err
	}
	for name := range entry.Files {
		if _, ok := found.Meta[name]; !ok {
			return fmt.Errorf("%q is not in the signed metadata", name)
		}
	}
	for name, data := range found.Meta {
		if string(entry.Files[name]) != string(data) {
			return fmt.Errorf("%q is not as in the signed metadata", name)
		}
	}
	return nil
}
