package source

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/image/cache"
	"lxc-pull/image/sha256"
	"lxc-pull/lxc"
)

// This file has what the methods of a Found do for a pinnedImage.

// open is Found.Open. The layers are opened in their order. What Gather has verified is checked a
// second time: another process can change a file of the cache.
func (o *pinnedImage) open(ctx context.Context, found *Found, layer int) (*Stream, error) {
	at := &o.at
	at.layer, at.checked = layer, false
	d := &o.layers[layer]
	check := &seal{file: found.Layers[layer].Name, layer: d}
	if d.Digest != "" {
		check.digest = sha256.New()
		hex.Decode(check.want[:], []byte(d.Digest[len("sha256:"):]))
	}
	if o.combined != "" {
		check.combined, check.wantCombined = sha256.New(), o.combined
		check.combined.Write(o.manifest.text)
	}
	s := &Stream{Size: d.Size, ctx: ctx, seal: check, found: found}
	if at.pipe != nil {
		s.from = at.pipe
		return s, nil
	}
	if at.starts != nil && at.starts[layer] >= 0 {
		s.from = io.NewSectionReader(at.whole, at.starts[layer], s.Size)
		return s, nil
	}
	if at.starts != nil || found.Cached {
		// Never from the network: pull.Run relies on bytes that are verified, or were.
		at.last = &fetched{cached: true}
		blob, err := o.reader.cache.FindBlob(d.Digest)
		if err != nil {
			return nil, unverified(check.file, because("the cache does not have it any more", err))
		}
		s.local = blob
		s.from = io.NewSectionReader(blob.File, 0, blob.Have)
		return s, nil
	}
	if at.ahead == nil {
		o.startAhead(found)
	}
	a := at.ahead
	s.stop = context.AfterFunc(ctx, a.wake)
	reader, err := a.reader(ctx, layer)
	if err != nil {
		s.stop()
		return nil, err
	}
	if s.from = reader; !reader.layer.cached {
		s.Kept = reader.layer.kept
	}
	return s, nil
}

// startAhead begins to fetch the layers.
func (o *pinnedImage) startAhead(found *Found) {
	f := found.finder
	ctx, cancel := context.WithCancel(context.Background())
	a := &ahead{store: o.reader.store, finder: f, cancel: cancel, done: make(chan struct{}), layers: make([]fetched, len(o.layers)), room: max(f.ahead, chunkSize)}
	if a.changed.L = &a.mu; !o.at.noCache && !f.opt.Use.ReadOnly {
		a.cache = o.reader.cache
	}
	for i := range a.layers {
		a.layers[i].d, a.layers[i].name = &o.layers[i], found.Layers[i].Name
	}
	o.at.ahead = a
	go a.run(ctx)
}

// reader returns a reader of a layer, once its size is confirmed and the first bytes are on their
// way, and closes the files of the layers before it.
func (a *ahead) reader(ctx context.Context, layer int) (*layerReader, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if layer != a.at && layer != a.at+1 {
		return nil, errors.New("layer " + strconv.Itoa(layer+1) + " is not the next one")
	}
	for i := range layer {
		if a.layers[i].err != nil { // the goroutine is done with it
			a.close(&a.layers[i], true)
		}
	}
	a.at = layer
	a.changed.Broadcast()
	l := &a.layers[layer]
	for !l.begun && ctx.Err() == nil {
		a.changed.Wait()
	}
	if !l.begun {
		return nil, ctx.Err()
	}
	if l.err != nil && l.err != io.EOF && l.written == 0 && len(l.chunks) == 0 {
		return nil, l.err
	}
	return &layerReader{ctx: ctx, ahead: a, layer: l}, nil
}

// wake wakes a reader whose context has ended.
func (a *ahead) wake() {
	a.mu.Lock()
	a.changed.Broadcast()
	a.mu.Unlock()
}

// inCache reports whether the cache has a layer, or gets it.
func (a *ahead) inCache(layer int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := &a.layers[layer]
	return l.blob != nil && !l.wrong && (l.cached || a.cache != nil)
}

// Gather downloads all layers of a pinned image (Found.Pinned) and verifies them. After it Open returns the
// bytes of the disk: of the cache, or of the file that temp makes, which must stay open until
// then and which no other process may open. It does not use the network then. begin begins the
// progress of a layer.
func (found *Found) Gather(ctx context.Context, temp func() (*os.File, error), begin func(layer int, s *Stream) io.WriteCloser) error {
	o := found.pinned
	if o.at.private {
		return nil // Find has done it. A file of this machine has starts, too, but others can change it
	}
	g := &gathering{temp: temp, file: o.at.spare}
	if g.file != nil { // of an attempt that failed
		if err := empty(g.file); err != nil {
			return err
		}
	}
	defer func() { o.at.spare = g.file }()
	starts := make([]int64, len(o.layers))
	for i := range o.layers {
		stream, err := found.Open(ctx, i)
		if err != nil {
			return err
		}
		g.stream, g.start, g.passed = stream, -1, 0
		progress := begin(i, stream)
		_, err = io.Copy(io.MultiWriter(progress, g), stream)
		if err == nil {
			err = stream.Check()
		}
		if err == nil {
			_, err = g.Write(nil) // the cache may have failed at the end
		}
		progress.Close()
		stream.Close()
		if err != nil {
			return err
		}
		starts[i] = g.start
	}
	o.stopAhead(true)
	o.at.whole, o.at.starts, o.at.pipe, o.at.private = g.file, starts, nil, true
	return nil
}

// A gathering writes those of the layers to a temporary file that the cache does not get.
type gathering struct {
	_      [0]func() // forbids ==, whose code nothing needs
	temp   func() (*os.File, error)
	file   *os.File // nil: not needed yet
	end    int64    // of file
	stream *Stream  // the layer that is read
	start  int64    // of it in file; -1: the cache has it so far
	passed int64    // bytes of it
}

// Write takes bytes of the layer. If the cache has just failed, those before are still there.
func (g *gathering) Write(p []byte) (n int, err error) {
	if g.start < 0 && !g.stream.InCache() {
		if g.file == nil {
			if g.file, err = g.temp(); err == nil {
				err = hasRoom(g.file, g.stream.Size)
			}
			if err != nil {
				return 0, err
			}
		}
		if g.start = g.end; g.passed > 0 {
			l := g.stream.from.(*layerReader).layer
			_, err = io.Copy(g.file, io.NewSectionReader(l.blob.File, 0, g.passed))
			g.end += g.passed
		}
	}
	if g.passed += int64(len(p)); g.start < 0 || err != nil {
		return len(p), err
	}
	n, err = g.file.Write(p)
	g.end += int64(n)
	return n, err
}

// stopAhead ends the download. Bytes of unfinished layers stay in the cache for a later run if keep
// is true. kept reports whether the cache has bytes that it did not have before.
func (o *pinnedImage) stopAhead(keep bool) (kept bool) {
	a := o.at.ahead
	if a == nil {
		return false
	}
	kept = a.stop(keep)
	o.at.ahead = nil
	if o.at.layer == a.at {
		o.at.last = &a.layers[a.at]
	}
	return kept
}

// nextPinned is Finder.Next for a pinnedImage: the same image again, if other URLs may
// give the right bytes of the layer that failed.
func (f *Finder) nextPinned(ctx context.Context, found *Found, err error) (*Found, error) {
	o := found.pinned
	last, wrong := o.at.last, isUnverified(err)
	if o.at.last = nil; last == nil {
		last = new(fetched)
	}
	var refused *RefusedError
	switch {
	case ctx.Err() != nil:
		return nil, err
	case errors.As(err, &refused):
		return nil, refused.Err
	case o.remote == nil || o.at.checked: // the store has no other bytes, or these are the right ones
		return nil, err
	case wrong && last.cached:
		f.warn("cache-problem", "the cached copy is damaged (", err, "); downloading it anew")
		if !o.dropBlob(ctx) {
			o.at.noCache = true
		}
		found.Cached = false
		return found, nil
	case !wrong && len(fetch.Failures(err)) == 0: // neither the bytes nor the network
		return nil, err
	}
	course := o.remote.course(o.layers[o.at.layer].Digest)
	again, final := course.Next(fetch.Attempt{Err: err, Wrong: wrong, Resumed: last.kept, Sources: last.sources})
	if !again {
		if isUnverified(final) { // part of the bytes may be wrong
			o.dropPart(ctx)
		}
		return nil, final
	}
	f.warn("retry", "", err, "; starting again")
	return found, nil
}

// dropBlob removes the layer that was opened last from the cache.
func (o *pinnedImage) dropBlob(ctx context.Context) bool {
	if o.at.noCache || o.reader.cache == nil {
		return false
	}
	blob, err := o.reader.cache.Blob(ctx, o.layers[o.at.layer].Digest, o.layers[o.at.layer].Size)
	return err == nil && blob.Discard() == nil
}

// dropPart removes what the cache has of that layer if it is not complete.
func (o *pinnedImage) dropPart(ctx context.Context) {
	if o.at.noCache || o.reader.cache == nil {
		return
	}
	blob, err := o.reader.cache.Blob(ctx, o.layers[o.at.layer].Digest, o.layers[o.at.layer].Size)
	switch {
	case err != nil:
	case blob.Complete:
		blob.Close()
	default:
		blob.Discard()
	}
}

// limitCache makes the run not write to the cache if the image is above the cache's limit.
func (o *pinnedImage) limitCache(f *Finder) {
	limit := f.opt.Use.Limit
	if limit > 0 && o.reader.cache != nil && o.size() > limit {
		f.tell.Note("the image is not kept: it is larger than the cache may be")
		o.at.noCache = true
	}
}

// size returns the size of all layers in bytes.
func (o *pinnedImage) size() (n int64) {
	for i := range o.layers {
		n += o.layers[i].Size
	}
	return n
}

// keep is Found.Keep.
func (o *pinnedImage) keep(found *Found) {
	f, r := found.finder, o.reader
	a := o.at.ahead
	o.stopAhead(true)
	if r.cache == nil || f.opt.Use.ReadOnly {
		return
	}
	if !o.at.noCache && (a == nil || a.cache != nil) { // else it could not be written
		o.record(found)
	}
	r.leave()
	if limit := f.opt.Use.Limit; limit > 0 {
		if err := f.shrink(limit, image.Name{}); err != nil {
			f.warn("cache-problem", "the cache can't be made smaller: ", err, "")
		}
	}
}

// kept returns the cache's record of the image.
func (o *pinnedImage) kept(found *Found) *cache.Kept {
	f, r := found.finder, o.reader
	kept := &cache.Kept{
		Reference: o.name, Name: found.Image.Name,
		Manifest: o.manifest.digest, Top: o.top.digest, MediaType: o.top.mediaType,
	}
	if found.Config == nil { // of a container image the digests say which build it is
		kept.Build = found.Image.Build
		if file, ok := found.Meta.Relevant("expiry", f.opt.Mode); ok {
			kept.Expires, _ = lxc.Expiry(file)
		}
		if f.opt.File != nil {
			kept.Name.Arch = "" // openKept
		}
	}
	n := len(o.layers)
	kept.Blobs = make([]image.Digest, n+len(r.texts)) // a blob may be listed twice
	for i := range kept.Blobs {
		if i < n {
			kept.Blobs[i] = o.layers[i].Digest
		} else {
			kept.Blobs[i] = r.texts[i-n].digest
		}
	}
	return kept
}

// record makes the cache keep the image.
func (o *pinnedImage) record(found *Found) {
	f, r := found.finder, o.reader
	kept := o.kept(found)
	var err error
	for i := 0; i < len(r.texts) && err == nil; i++ { // also of an image that is kept: one may be damaged
		if r.texts[i].text != nil { // else the cache has it
			err = keepText(context.Background(), r.cache, r.texts[i])
		}
	}
	if old := r.kept; found.Cached && old != nil && old.Top == kept.Top && old.Manifest == kept.Manifest && len(old.Blobs) == len(kept.Blobs) {
		return
	}
	if err == nil {
		err = r.cache.Keep(context.Background(), kept)
	}
	if err != nil {
		f.warn("cache-problem", "the image is not kept in the cache: ", err, "")
		return
	}
	if !found.Cached {
		f.tell.Say("The image cache is now ready")
	}
}

// keepText writes a small file to the cache.
func keepText(ctx context.Context, c *cache.Cache, t *document) error {
	size := int64(len(t.text))
	blob, err := c.Blob(ctx, t.digest, size)
	if err == nil && (blob.Complete || blob.Have > 0) {
		sum := sha256.New()
		io.Copy(sum, io.NewSectionReader(blob.File, 0, size))
		if !blob.Complete || blob.Have != size || sumOfHash(sum) != t.digest { // the rest of a killed run, or damaged
			if err = blob.Discard(); err == nil {
				blob, err = c.Blob(ctx, t.digest, size)
			}
		}
	}
	if err != nil {
		return err
	}
	if !blob.Complete {
		if _, err = blob.Write(t.text); err == nil {
			err = blob.Commit()
		}
	}
	if err != nil {
		blob.Discard()
		return err
	}
	blob.Close()
	return nil
}

// url returns the URL of what has a digest, at the repository that is asked first. kind is
// "manifests" or "blobs". For an archive it is the archive's path.
func (o *pinnedImage) url(found *Found, kind string, d image.Digest) string {
	switch f := found.finder; {
	case f.opt.Bundle != "":
		return f.opt.Bundle
	case o.remote != nil:
		return o.remote.url(kind, d)
	case f.opt.Container != nil:
		return f.opt.Container.Archive
	case f.opt.File != nil:
		return f.opt.File.Path
	}
	return "file:"
}

// fileList is Found.FileList.
func (o *pinnedImage) fileList(found *Found) string {
	lines := ""
	if o.config != nil && o.top.digest != o.manifest.digest {
		lines = o.fileLine(found, "manifests", o.top.digest, int64(len(o.top.text)))
	}
	if id := o.id(); id != "" && id != o.layers[0].Digest {
		lines += o.fileLine(found, "manifests", id, int64(len(o.manifest.text)))
	}
	if o.config != nil {
		lines += o.fileLine(found, "blobs", o.config.Digest, o.config.Size)
	}
	for i := range o.layers {
		lines += o.fileLine(found, "blobs", o.layers[i].Digest, o.layers[i].Size)
	}
	return lines
}

// fileLine returns the line of what has a digest.
func (o *pinnedImage) fileLine(found *Found, kind string, d image.Digest, size int64) string {
	return fileLine(strings.TrimPrefix(string(d), "sha256:"), size, o.url(found, kind, d))
}
