package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/image/cache"
)

// maxRootfs is the largest compressed root file system that is downloaded, in bytes: a
// thousand times the size of today's.
const maxRootfs = 64 << 30

// An attempt is one download of an image's root file system.
type attempt struct {
	_        [0]func()     // forbids ==, whose code nothing needs
	course   *fetch.Course // the URLs to ask, in order; nil: not chosen yet
	body     *fetch.Body   // the response; nil: the download has not begun
	resumed  int64         // bytes of an earlier run, after which the download continues
	early    *earlyRootfs  // the request that was sent before its turn; nil: none
	cacheErr error         // why the download is no longer written to the cache; nil: no write failed
}

// sources returns the URLs from which the bytes came.
func (a *attempt) sources() []string {
	if a.body == nil {
		return nil
	}
	return a.body.Sources()
}

// A Stream is the bytes of a layer, from a server or from the cache. They are hashed while
// they are read, and unverified until Check returns nil.
type Stream struct {
	_    [0]func() // forbids ==, whose code nothing needs
	Size int64     // of the whole layer in bytes, -1 if it is not known
	Kept int64     // the first bytes of it that an earlier run has downloaded

	ctx   context.Context
	from  io.Reader
	body  *fetch.Body // the download, to be closed; nil: the bytes come from the disk
	local *cache.Blob // the layer in the cache, to be closed; nil: it comes from elsewhere
	stop  func() bool // what Close calls as well; nil: nothing
	seal  *seal
	found *Found
}

// Read reads the next bytes and passes them to the check. Once the context is done, it returns
// the context's error.
func (s *Stream) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := s.from.Read(p)
	if _, bad := s.seal.Write(p[:n]); bad != nil {
		return n, bad
	}
	return n, err
}

// Check returns an error of Kind Unverified or Replayed unless the bytes are the ones that were
// signed. Call it after reading the stream to its end.
func (s *Stream) Check() error {
	err := s.seal.check()
	if s.found != nil && s.found.pinned != nil {
		s.found.pinned.at.checked = err == nil || s.seal.right // the list may be wrong about more than the layer
	}
	return err
}

// File returns the bytes as a file that can be read at any place, nil if they come from the
// network or a pipe. Reading it does not check them: read the stream to its end and call Check
// first.
func (s *Stream) File() *io.SectionReader {
	file, _ := s.from.(*io.SectionReader)
	return file
}

// Name returns the name of the bytes for errors.
func (s *Stream) Name() string { return s.seal.file }

// Close ends the download. The bytes that the cache has stay there.
func (s *Stream) Close() error {
	if s.stop != nil {
		s.stop()
	}
	if s.local != nil {
		s.local.Close()
	}
	if s.body == nil {
		return nil
	}
	return s.body.Close()
}

// InCache reports whether the cache has the bytes, or gets them while they are read.
func (s *Stream) InCache() bool {
	if o := s.found.pinned; o != nil {
		return s.local != nil || o.at.ahead != nil && o.at.ahead.inCache(o.at.layer)
	}
	return s.found.cache.entry != nil || s.found.cache.stage != nil
}

// Complete reads the stream to its end, checks it, and returns a stream of the same bytes
// from the disk: from the cache if InCache is true, otherwise from temp, to which it writes
// them. Bytes from the cache are checked a second time, since another process can change the
// file; no other process may be able to open temp. Complete writes the bytes to progress as
// well. If the cache can't be written any more, Complete fails with the error of the write.
func (s *Stream) Complete(temp *os.File, progress io.Writer) (*Stream, error) {
	inCache := s.InCache()
	sink := io.MultiWriter(progress)
	if !inCache {
		sink = io.MultiWriter(progress, temp)
	}
	n, err := io.Copy(sink, s)
	if err == nil {
		err = s.Check()
	}
	if err != nil {
		return nil, err
	}
	found := s.found
	whole := &Stream{Size: n, ctx: s.ctx, seal: &seal{file: image.RootfsFile}, found: found}
	whole.from = io.NewSectionReader(temp, 0, n)
	if inCache {
		switch {
		case found.cache.entry != nil:
			whole.from = found.cache.rootfs()
		case found.cache.stage != nil:
			whole.from = io.NewSectionReader(found.cache.stage.Rootfs, 0, n)
		default:
			return nil, fmt.Errorf("the image can't be written to the cache: %w", found.try.cacheErr)
		}
		if err := found.renewSeals(); err != nil {
			return nil, err
		}
		whole.seal = found.checks.rootfs
	}
	return whole, nil
}

// Open returns the bytes of a layer of the root file system. A download begins after the bytes
// that an earlier run left in the cache, and what is downloaded is written to the cache. The
// layers are opened in their order; the next ones are fetched while the caller uses the bytes of
// one. The caller closes the stream, and calls Forget or Keep in the end.
func (found *Found) Open(ctx context.Context, layer int) (*Stream, error) {
	if found.pinned != nil {
		return found.pinned.open(ctx, found, layer)
	}
	if entry := found.cache.entry; entry != nil {
		return &Stream{Size: entry.Size, ctx: ctx, from: found.cache.rootfs(), seal: found.checks.rootfs, found: found}, nil
	}
	slot := found.cache.slot
	if slot == nil {
		return found.download(ctx, 0)
	}
	if slot.Begun(found.tag()) {
		return found.continuePart(ctx)
	}
	return found.beginPart(ctx)
}

// continuePart continues the download that an earlier run began in the cache.
func (found *Found) continuePart(ctx context.Context) (*Stream, error) {
	found.beginStage()
	resumed := int64(0)
	if found.cache.stage != nil {
		resumed = found.cache.stage.Have
	}
	stream, err := found.download(ctx, resumed)
	if err != nil {
		return nil, err
	}
	if resumed == 0 {
		found.checkLimit(stream.Size)
		return stream, nil
	}
	found.finder.tell.Note(fmt.Sprintf("continuing after the %s that an earlier run left", ByteCount(resumed)))
	stream.Kept = resumed
	stream.from = io.MultiReader(io.NewSectionReader(found.cache.stage.Rootfs, 0, resumed), stream.from)
	return stream, nil
}

// beginPart begins a download that is written to the cache. beginStage removes an unfinished
// download of another build, so beginPart calls it only after a server has answered.
func (found *Found) beginPart(ctx context.Context) (*Stream, error) {
	stream, err := found.download(ctx, 0)
	if err != nil {
		return nil, err
	}
	found.beginStage()
	found.checkLimit(stream.Size)
	return stream, nil
}

// download asks the servers for the bytes of the root file system after the first resumed
// ones. The bytes are written to the cache while they are read, if cache.stage is set by then.
func (found *Found) download(ctx context.Context, resumed int64) (*Stream, error) {
	found.try.resumed, found.try.body, found.try.cacheErr = resumed, nil, nil
	request := fetch.Request{URLs: found.urls(), Pinned: found.checks.rootfs.refusesWrong(), Max: maxRootfs, Offset: resumed}
	if resumed > 0 {
		found.try.dropEarly()
	}
	body, err := found.try.takeEarly(ctx, request.URLs)
	if body == nil && err == nil {
		body, err = found.finder.opt.Client.Open(ctx, request)
	}
	if err != nil {
		return nil, err
	}
	found.try.body = body
	return &Stream{Size: body.Size, ctx: ctx, from: &cacheWriter{from: body, to: found}, body: body, seal: found.checks.rootfs, found: found}, nil
}

// checkLimit makes the download continue without a copy in the cache if size, that of the
// whole file in bytes (-1: not known), is above the cache's limit.
func (found *Found) checkLimit(size int64) {
	f := found.finder
	if limit := f.opt.Use.Limit; found.cache.stage != nil && limit > 0 && size > limit {
		f.tell.Note("the image is not kept: it is larger than the cache may be")
		found.cache.discard()
	}
}

// urls returns the URLs to ask for the root file system. The first call chooses them, so that
// Safe and Open use the same URLs. fromServer does not choose them yet: Measure, which comes
// after it, finds out which servers are down or lack the build.
func (found *Found) urls() []string {
	if found.try.course == nil {
		found.try.course = fetch.NewCourse(found.from(image.RootfsFile))
	}
	return found.try.course.URLs()
}

// Safe reports whether a decoder may read the root file system before it is verified: if the
// bytes come from image servers over https or from a file, or from the cache, or if nothing
// is verified at all. Plain http can be altered on the way, and a mirror is run by others.
func (found *Found) Safe() bool {
	if found.Cached || !found.Vouched() {
		return true
	}
	if o := found.pinned; o != nil {
		return o.remote == nil || o.remote.safe()
	}
	if found.cache.bundle != nil {
		return true
	}
	return !slices.ContainsFunc(found.urls(), func(u string) bool { return !found.finder.opt.Servers.safe(u) })
}

// A cacheWriter copies the bytes that are read to the cache. If that fails, it gives up the
// copy and warns. A stream that is unpacked while it is read continues without the cache;
// Complete, which would read the bytes again from the cache, fails.
type cacheWriter struct {
	_    [0]func() // forbids ==, whose code nothing needs
	from io.Reader
	to   *Found
}

func (w *cacheWriter) Read(p []byte) (int, error) {
	n, err := w.from.Read(p)
	if stage := w.to.cache.stage; n > 0 && stage != nil {
		if _, failed := stage.Write(p[:n]); failed != nil {
			w.to.finder.warn("cache-problem", "the image is not written to the cache: ", failed, "")
			w.to.try.cacheErr = failed
			w.to.cache.discard()
		}
	}
	return n, err
}

// indexTail is how many bytes of the end of an archive are read for xz's index, which has at
// most 18 bytes for each block; xz makes a block of 24 MiB.
const indexTail = 4 << 10

// Measure finds out the sizes of the layers and stores them in Layers. It asks a server once,
// for the last bytes of the file, which hold xz's index. sure is true if the sizes come from
// the cache or from an image server over https; a mirror, or anybody on the way of plain
// http, could invent them. With sureOnly Measure asks no server that could.
func (found *Found) Measure(ctx context.Context, sureOnly bool) (sure bool) {
	if found.pinned != nil {
		return found.Cached || found.pinned.sure // the manifest has the sizes
	}
	layer := &found.Layers[0]
	layer.Packed, layer.Content = -1, -1
	var tail []byte
	if entry := found.cache.entry; entry != nil {
		layer.Packed = entry.Size
		tail = make([]byte, min(indexTail, entry.Size))
		if _, err := found.cache.rootfs().ReadAt(tail, entry.Size-int64(len(tail))); err != nil && err != io.EOF {
			return true
		}
		sure = true
	} else {
		servers := found.finder.opt.Servers
		urls := found.from(image.RootfsFile)
		if sureOnly {
			urls = slices.DeleteFunc(urls, func(u string) bool { return !servers.safe(u) })
		}
		if len(urls) == 0 {
			return false
		}
		var answer tailAnswer
		if e := found.try.early; e != nil && e.tail != nil && !sureOnly {
			answer, e.tail = <-e.tail, nil
		} else {
			answer = found.finder.askTail(ctx, urls)
		}
		if answer.err != nil {
			found.finder.warn("", "the size of the image is not known yet: ", answer.err, "")
			return false
		}
		tail, layer.Packed = answer.data, answer.size
		sure = servers.safe(answer.from)
	}
	layer.take(tail, layer.Packed)
	return sure
}

// askTail asks for the end of a file, and the file's size, the first of urls that answers.
// A server that is down or has no such file is noted, so that it is not asked for the whole
// file either.
func (f *Finder) askTail(ctx context.Context, urls []string) (a tailAnswer) {
	for i, u := range urls {
		a.from = u
		a.data, a.size, a.err = f.opt.Client.Tail(ctx, u, indexTail)
		var failed *fetch.Error
		if a.err == nil || !errors.As(a.err, &failed) || !Offline(a.err) && !isNotFound(failed) || i+1 == len(urls) {
			break
		}
		f.opt.Servers.NoteFailure(fetch.Event{Err: failed, Next: urls[i+1]})
	}
	return a
}
