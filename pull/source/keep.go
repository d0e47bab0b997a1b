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
)

// EvidenceNames returns the names of all files that the evidence of a cache entry may
// have: signatures, and what they are of.
func EvidenceNames() []string {
	names := slices.Concat([]string{image.RootfsFile, image.MetaFile, image.SumsFile}, listNames(lxc.System), listNames(lxc.User))
	for _, name := range names {
		names = append(names, name+image.SigSuffix)
	}
	return names
}

// A loan is what a run holds of an image's place in the cache.
type loan struct {
	slot  *cache.Slot  // the place, locked; nil: this run does not write to the cache
	entry *cache.Entry // the cached copy that the bytes come from; nil: they come from a server
	stage *cache.Stage // the copy that is being made; nil: none is
}

// close ends the loan. A copy that is not complete stays for the next run.
func (l *loan) close() {
	if l.stage != nil {
		l.stage.Close()
	}
	l.dropEntry()
	if l.slot != nil {
		l.slot.Unlock()
	}
	*l = loan{}
}

// dropEntry goes on without the cached copy.
func (l *loan) dropEntry() {
	if l.entry != nil {
		l.entry.Close()
		l.entry = nil
	}
}

// discard throws the copy away that is being made.
func (l *loan) discard() {
	if l.stage != nil {
		l.stage.Discard()
		l.stage = nil
	}
}

// tag says which bytes a download will have: the digest if it is known, else the
// build.
func (found *Found) tag() string {
	if found.proof.rootfs.digestKnown() {
		return fmt.Sprintf("%x", found.proof.rootfs.want)
	}
	return found.Image.Path
}

// beginStage begins a copy in the cache. Only bytes whose digest is known beforehand
// are worth keeping from one run to the next.
func (found *Found) beginStage() error {
	stage, err := found.held.slot.Stage(found.tag())
	if err != nil {
		return err
	}
	if stage.Have > 0 && !found.proof.rootfs.digestKnown() {
		if err := stage.Reset(); err != nil {
			stage.Discard()
			return err
		}
	}
	found.held.stage = stage
	return nil
}

// lockInCache locks the image's place in the cache, so that of several runs at the
// same time one downloads and the others use its copy, and opens the copy that is
// there. If the cache can't be written the run goes on without writing to it.
func (found *Found) lockInCache(ctx context.Context) error {
	f := found.finder
	if f.opt.Cache == nil {
		return nil
	}
	slot, err := f.opt.Cache.Lock(ctx, found.Image.Name)
	var unwritable *cache.UnwritableError
	if errors.As(err, &unwritable) {
		f.tell.Warn(fmt.Sprintf("going on without writing to the cache: %v", err))
		if found.held.entry, err = f.opt.Cache.Open(found.Image.Name); err != nil {
			found.held.entry = nil
		}
		return nil
	}
	if err != nil {
		return err
	}
	found.held.slot = slot
	found.held.entry, err = slot.Open()
	if err != nil {
		found.held.entry = nil
		if !errors.Is(err, fs.ErrNotExist) {
			f.tell.Warn(fmt.Sprintf("the cached copy can't be read and will be replaced: %v", err))
		}
	}
	return nil
}

// flush removes the image from the cache. What can't be removed is not used.
func (f *Finder) flush(ctx context.Context, q image.Query) error {
	for _, name := range names(q) {
		entry, err := f.opt.Cache.Open(name)
		if err != nil {
			continue
		}
		entry.Close()
		f.tell.Say("Flushing the cache...")
		if err := f.opt.Cache.Remove(ctx, name); ctx.Err() != nil {
			return err
		} else if err != nil {
			f.tell.Warn(fmt.Sprintf("the cached copy can't be removed, and is not used: %v", err))
			f.distrustCache = true
		}
	}
	return nil
}

// sayCached says that the image comes out of the cache, and how old it is.
func (f *Finder) sayCached(found *Found) {
	f.tell.Say("Using image from local cache")
	f.tell.Tell(fmt.Sprintf("build %q, %s old", found.Image.Build, Age(f.trust.clock.Now().Sub(found.built()))))
	f.opt.Cache.Use(found.Image.Name)
}

// WillKeep reports whether a download of the image would be written to the cache.
func (found *Found) WillKeep() bool { return found.held.slot != nil && found.held.entry == nil }

// CacheDir returns the directory of the cache, "" if there is none.
func (found *Found) CacheDir() string {
	if found.finder.opt.Cache == nil {
		return ""
	}
	return found.finder.opt.Cache.Base
}

// LeaveCache goes on without writing to the cache.
func (found *Found) LeaveCache() {
	found.held.discard()
	if found.held.slot != nil {
		found.held.slot.Unlock()
		found.held.slot = nil
	}
}

// Forget drops what the cache has of a download that failed with err, unless a later
// run can go on with it: if the network or the user broke it off, and the digest that
// the whole must have is known. kept says that a later run can.
func (found *Found) Forget(err error) (kept bool) {
	resumable := found.proof.rootfs.digestKnown() && (len(fetch.Failures(err)) > 0 || errors.Is(err, context.Canceled))
	if !resumable {
		found.held.discard()
		return false
	}
	return found.held.stage != nil && found.try.body != nil && found.try.body.Offset() > 0
}

// Keep makes the download an entry of the cache, or adds to an entry of the stock
// template's the evidence that it was just checked against. What can't be kept is told
// to the listener.
func (found *Found) Keep() {
	f, held := found.finder, &found.held
	if held.entry != nil && held.slot != nil && (f.unfit || held.entry.Evidence == nil) && found.Vouched() {
		if err := held.slot.Adopt(found.proof.evidence); err != nil {
			f.tell.Warn(fmt.Sprintf("the evidence for the cached image is not kept: %v", err))
		}
	}
	if held.stage == nil {
		return
	}
	if !found.makeRoom() {
		f.tell.Warn(fmt.Sprintf("the image is not kept: the cache may hold %s", ByteCount(f.opt.Use.Limit)))
		held.discard()
		return
	}
	files := map[string]cache.File{}
	for _, file := range found.files {
		files[file.Name] = cache.File{Data: file.Data, Mode: fs.FileMode(file.Mode)}
	}
	err := held.stage.Commit(found.Image.Build, files, found.proof.evidence)
	held.stage = nil
	if err != nil {
		f.tell.Warn(fmt.Sprintf("the image is not kept in the cache: %v", err))
		return
	}
	f.tell.Say("The image cache is now ready")
}

// makeRoom removes other images from the cache for the one that was just downloaded.
// It returns false if that is too large to be kept.
func (found *Found) makeRoom() bool {
	f := found.finder
	limit := f.opt.Use.Limit
	if limit == 0 {
		return true
	}
	info, err := found.held.stage.Rootfs.Stat()
	if err != nil || info.Size() > limit {
		return false
	}
	err = f.opt.Cache.Shrink(limit-info.Size(), found.Image.Name, func(i cache.Info, err error) {
		if err == nil {
			f.tell.Note(fmt.Sprintf("%s gives way in the cache", i.Name))
		}
	})
	return err == nil
}

// ErrUnsigned says that a cached image is neither good nor bad.
var ErrUnsigned = errors.New("no signatures are kept with it (the stock template made it); a creation with --refresh fetches them")

// Verify checks one image of the cache: the signatures, the two tarballs, and that the
// metadata's files, which the stock template reads, are the tarball's.
func (f *Finder) Verify(ctx context.Context, i cache.Info) error {
	entry, err := f.opt.Cache.Open(i.Name)
	if err != nil {
		return err
	}
	defer entry.Close()
	if entry.Evidence == nil && f.trust.keys != nil {
		return ErrUnsigned
	}
	found, err := f.fromEntry(i.Name, entry)
	if err != nil {
		return err
	}
	stream := &Stream{ctx: ctx, from: entry.Rootfs, seal: found.proof.rootfs}
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
