package source

import (
	"context"
	"errors"
	"hash"
	"io"
	"sync"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/image/cache"
	"lxc-pull/image/sha256"
	"lxc-pull/untar"
)

const (
	// chunkSize is the size of the pieces in which layers are read and kept in memory, in bytes.
	chunkSize = 32 << 10
	// maxOpenBlobs is how many layers are fetched to the cache before their turn. Each is an
	// open file, and so is each directory of the tree that is being unpacked.
	maxOpenBlobs = 16
)

// An ahead fetches the layers of an image one after the other, in a goroutine of its own, while
// the layers before are read and unpacked: to the cache, or to memory up to a limit. It reads
// one layer at a time from the network, so the layer that is needed first is never slowed down
// by the next.
type ahead struct {
	_       [0]func() // forbids ==, whose code nothing needs
	store   store
	cache   *cache.Cache // nil: it is not used, or not any more
	finder  *Finder
	cancel  context.CancelFunc
	done    chan struct{} // closed when the goroutine has ended
	layers  []fetched
	mu      sync.Mutex // protects all below, and what fetched says
	changed sync.Cond  // of mu
	at      int        // the layer that is being read
	room    int64      // bytes of memory that may still be used
	free    [][]byte   // chunks to use again
	stopped bool
}

// A fetched is a layer that an ahead fetches. Its fields are protected by ahead.mu, once begun
// is set.
type fetched struct {
	d       *image.Descriptor
	name    string // for errors
	begun   bool
	kept    int64       // bytes that the cache had before
	cached  bool        // the cache had all of them
	sources []string    // the URLs that sent bytes
	blob    *cache.Blob // nil: the layer is not in the cache
	wrong   bool        // the blob's bytes are wrong
	stays   bool        // the cache has bytes that it did not have before
	written int64       // bytes that may be read from blob
	chunks  [][]byte    // the bytes after these
	err     error       // after these bytes: io.EOF if they are the whole layer
}

// run fetches all layers, in the goroutine. A layer that can't be fetched is the last.
func (a *ahead) run(ctx context.Context) {
	defer close(a.done)
	for i := range a.layers {
		l := &a.layers[i]
		a.mu.Lock()
		for i > a.at+maxOpenBlobs && !a.stopped {
			a.changed.Wait()
		}
		a.mu.Unlock()
		err := a.fetch(ctx, l)
		a.mu.Lock()
		l.begun = true
		if l.err = err; err == nil {
			l.err = io.EOF
		}
		a.changed.Broadcast()
		a.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// fetch fetches one layer.
func (a *ahead) fetch(ctx context.Context, l *fetched) error {
	if err := a.openBlob(ctx, l); err != nil {
		return err
	}
	if l.cached {
		return nil
	}
	got, sum := l.written, hash.Hash(nil)
	if l.blob != nil {
		sum = sha256.New() // without the cache, whoever reads the layer checks its digest alone
		if _, err := io.Copy(sum, io.NewSectionReader(l.blob.File, 0, got)); err != nil {
			return err
		}
	}
	if got != l.d.Size { // -1: not known
		body, err := a.store.open(ctx, l.d, got)
		if err != nil {
			return err
		}
		defer body.Close()
		a.mu.Lock()
		l.begun = true
		a.changed.Broadcast()
		a.mu.Unlock()
		if err := a.copy(ctx, l, body, sum, got); err != nil {
			return err
		}
	}
	if sum == nil || a.cache == nil {
		return nil
	}
	if sumOfHash(sum) != l.d.Digest {
		a.mu.Lock()
		l.wrong = true
		a.mu.Unlock()
		return otherDigest(l.name, l.d)
	}
	if err := l.blob.Commit(); err != nil {
		a.leaveCache(err)
	}
	return nil
}

// otherDigest returns the error for a layer whose bytes have another digest than its descriptor.
func otherDigest(name string, d *image.Descriptor) error {
	return distrust(name, "its SHA-256 digest is not "+theListed(d))
}

// theListed says which digest a layer should have.
func theListed(d *image.Descriptor) string {
	switch d.MediaType {
	case fileType:
		return "the one that was given"
	case cameType:
		return "the one that it had when it came"
	}
	return "the one in " + listedIn(d)
}

// listedIn says where the digest and size of a layer come from: a manifest has its media type. Of a
// file whose digest was given the server says the size.
func listedIn(d *image.Descriptor) string {
	switch d.MediaType {
	case "":
		return "the list"
	case fileType, cameType:
		return "the server"
	}
	return "the manifest"
}

// openBlob opens the layer in the cache, if there is one.
func (a *ahead) openBlob(ctx context.Context, l *fetched) error {
	if a.cache == nil {
		return nil
	}
	blob, err := a.cache.Blob(ctx, l.d.Digest, l.d.Size)
	if err == nil && l.d.Size >= 0 && blob.Have != l.d.Size && (blob.Complete || blob.Have > l.d.Size) {
		why := wrongSize(blob.Have, l.d)
		if blob.Complete {
			sum := sha256.New()
			_, err = io.Copy(sum, untar.Until(ctx, io.NewSectionReader(blob.File, 0, blob.Have)))
			if err == nil && sumOfHash(sum) == l.d.Digest { // the manifest is wrong
				blob.Close()
				return why
			}
			if ctx.Err() == nil {
				a.finder.warn("cache-problem", "the cached copy is damaged (", why, "); downloading it anew")
			}
		}
		if err = blob.Discard(); err == nil {
			blob, err = a.cache.Blob(ctx, l.d.Digest, l.d.Size)
		}
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, cache.ErrLocked):
		a.finder.warn("cache-problem", "downloading "+l.name+" without the cache: ", err, "")
		return nil
	case err != nil:
		a.leaveCache(err)
		return nil
	}
	a.mu.Lock()
	l.blob, l.written, l.kept, l.cached = blob, blob.Have, blob.Have, blob.Complete
	a.mu.Unlock()
	return nil
}

// leaveCache goes on without writing to the cache.
func (a *ahead) leaveCache(err error) {
	a.finder.warn("cache-problem", "going on without writing to the cache: ", err, "")
	a.mu.Lock()
	a.cache = nil
	a.mu.Unlock()
}

// copy reads a layer, of which got bytes are there, to its end. Its bytes go to the cache, or stay in
// memory. sum is nil if the layer is not in the cache.
func (a *ahead) copy(ctx context.Context, l *fetched, body io.ReadCloser, sum hash.Hash, got int64) error {
	for {
		var chunk []byte
		a.mu.Lock()
		for a.room < chunkSize && !a.stopped {
			a.changed.Wait()
		}
		stopped := a.stopped
		a.room -= chunkSize
		if n := len(a.free); n > 0 {
			chunk, a.free = a.free[n-1], a.free[:n-1]
		}
		a.mu.Unlock()
		if stopped || ctx.Err() != nil {
			return ctx.Err()
		}
		if chunk == nil {
			chunk = make([]byte, chunkSize)
		}
		n, err := io.ReadFull(body, chunk)
		if got += int64(n); l.d.Size >= 0 && got > l.d.Size {
			err = wrongSize(got, l.d) // n bytes of it are passed on, since the check needs none of them
		}
		inCache := false
		if sum != nil {
			sum.Write(chunk[:n])
			if a.cache != nil {
				_, failed := l.blob.Write(chunk[:n])
				if inCache = failed == nil; !inCache {
					a.leaveCache(failed)
					a.mu.Lock()
					l.wrong = true // it holds a part of this chunk, and no later one
					a.mu.Unlock()
				}
			}
		}
		a.mu.Lock()
		if answered, ok := body.(*fetch.Body); ok {
			l.sources = answered.Sources()
		}
		if inCache {
			l.written += int64(n)
		}
		if inCache || n == 0 {
			a.giveBack(chunk)
		} else {
			l.chunks = append(l.chunks, chunk[:n])
		}
		a.changed.Broadcast()
		a.mu.Unlock()
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF: // of ReadFull; a broken connection is a *fetch.Error
			if l.d.Size >= 0 && got != l.d.Size {
				return wrongSize(got, l.d)
			}
			return nil
		case err != nil:
			return ofSize(err, l.d)
		}
	}
}

// giveBack makes the memory of a chunk free. The caller holds mu.
func (a *ahead) giveBack(chunk []byte) {
	a.room += chunkSize
	a.free = append(a.free, chunk[:chunkSize])
}

// stop ends the goroutine and closes the blobs. Bytes of unfinished layers stay in the cache if
// keep is true. kept reports whether the cache has bytes that it did not have before.
func (a *ahead) stop(keep bool) (kept bool) {
	a.cancel()
	a.mu.Lock()
	a.stopped = true
	a.changed.Broadcast()
	a.mu.Unlock()
	<-a.done
	for i := range a.layers {
		a.close(&a.layers[i], keep)
		kept = kept || a.layers[i].stays
	}
	return kept
}

// close closes the blob of a layer.
func (a *ahead) close(l *fetched, keep bool) {
	blob := l.blob
	if l.blob = nil; blob == nil {
		return
	}
	if l.wrong || !keep && l.err != io.EOF {
		blob.Discard()
		return
	}
	l.stays = !l.cached && l.written > 0
	blob.Close()
}

// A layerReader reads the bytes of a layer as they arrive.
type layerReader struct {
	_     [0]func() // forbids ==, whose code nothing needs
	ctx   context.Context
	ahead *ahead
	layer *fetched
	at    int64 // of the bytes in the cache
	part  int   // bytes of the first chunk that were read
}

// Read returns the next bytes of the layer. Once ctx is done, it returns ctx's error.
func (r *layerReader) Read(p []byte) (int, error) {
	a, l := r.ahead, r.layer
	a.mu.Lock()
	defer a.mu.Unlock()
	for {
		switch {
		case r.ctx.Err() != nil:
			return 0, r.ctx.Err()
		case r.at < l.written:
			n := int(min(int64(len(p)), l.written-r.at))
			file := l.blob.File
			a.mu.Unlock()
			got, err := file.ReadAt(p[:n], r.at)
			a.mu.Lock()
			r.at += int64(got)
			if got == n {
				err = nil
			} else if err == io.EOF {
				err = io.ErrUnexpectedEOF // another process has cut the file
			}
			return got, err
		case len(l.chunks) > 0:
			n := copy(p, l.chunks[0][r.part:])
			if r.part += n; r.part == len(l.chunks[0]) {
				a.giveBack(l.chunks[0])
				l.chunks, r.part = l.chunks[1:], 0
				a.changed.Broadcast()
			}
			return n, nil
		case l.err != nil:
			return 0, l.err
		}
		a.changed.Wait()
	}
}
