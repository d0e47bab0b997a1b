package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/untar/xz"
)

// maxRootfs is the largest root file system that is taken, packed, in bytes: a
// thousand times today's.
const maxRootfs = 64 << 30

// An attempt is one download of an image's root file system.
type attempt struct {
	course *fetch.Course // of its URLs; nil: no server was asked for it yet
	body   *fetch.Body   // as it comes; nil: it is not on its way
	had    int64         // bytes of it that an earlier run left
}

// sources returns the URLs that the bytes came from.
func (a *attempt) sources() []string {
	if a.body == nil {
		return nil
	}
	return a.body.Sources()
}

// A Stream is a layer as it comes, from a server or out of the cache. The bytes are
// checked while they pass, so they are not known to be right before Check says so.
type Stream struct {
	Size int64 // bytes of the whole, -1 if that is not known

	ctx   context.Context
	from  io.Reader
	body  *fetch.Body // to be closed; nil: nothing is
	seal  *seal
	found *Found
}

// Read returns the context's error once there is one.
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

// Check returns an error unless all the bytes, which must have been read, are the ones
// that were signed.
func (s *Stream) Check() error { return s.seal.check() }

// Close ends the download.
func (s *Stream) Close() error {
	if s.body == nil {
		return nil
	}
	return s.body.Close()
}

// InCache reports whether the bytes are, or are being written, in the cache.
func (s *Stream) InCache() bool { return s.found.held.entry != nil || s.found.held.stage != nil }

// Complete reads the stream to its end, checks it, and returns a stream of the same
// bytes from the disk. They are in the cache if InCache says so; then they are checked
// again, since a file with a name can be changed. Otherwise they are written to
// beside, which nobody else may be able to open. What passes is counted by progress.
func (s *Stream) Complete(beside *os.File, progress io.Writer) (*Stream, error) {
	inCache := s.InCache()
	sink := io.MultiWriter(progress)
	if !inCache {
		sink = io.MultiWriter(progress, beside)
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
	file := beside
	if inCache {
		switch {
		case found.held.entry != nil:
			file = found.held.entry.Rootfs
		case found.held.stage != nil:
			file = found.held.stage.Rootfs
		default:
			return nil, fmt.Errorf("the cache can't hold the image: %w", syscall.ENOSPC)
		}
		if err := found.renewSeals(); err != nil {
			return nil, err
		}
		whole.seal = found.proof.rootfs
	}
	whole.from = io.NewSectionReader(file, 0, n)
	return whole, nil
}

// Open returns the bytes of the root file system.
func (found *Found) Open(ctx context.Context) (*Stream, error) {
	stream := &Stream{ctx: ctx, seal: found.proof.rootfs, found: found}
	held := &found.held
	if held.entry != nil {
		if _, err := held.entry.Rootfs.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		stream.Size, stream.from = held.entry.Size, held.entry.Rootfs
		return stream, nil
	}
	f := found.finder
	found.plan()
	request := fetch.Request{URLs: found.try.course.URLs(), Pinned: found.proof.rootfs.checks(), Max: maxRootfs}
	found.try.had, found.try.body = 0, nil
	stage := func() {
		if err := found.beginStage(); err != nil {
			f.tell.Warn(fmt.Sprintf("going on without writing to the cache: %v", err))
		}
	}
	begun := held.slot != nil && held.slot.Begun(found.tag())
	if begun {
		stage()
	}
	if held.stage != nil {
		found.try.had = held.stage.Have
	}
	request.Offset = found.try.had
	body, err := f.opt.Client.Open(ctx, request)
	if err != nil {
		return nil, err
	}
	if held.slot != nil && !begun {
		stage() // only now does what the cache has of another build give way
	}
	found.try.body = body
	stream.Size, stream.body, stream.from = body.Size, body, &keeper{body, found}
	if limit := f.opt.Use.Limit; found.try.had == 0 && held.stage != nil && limit > 0 && body.Size > limit {
		f.tell.Note("the image is larger than the cache may be: not kept")
		held.discard()
	}
	if found.try.had > 0 {
		f.tell.Note(fmt.Sprintf("going on after the %s that an earlier run left", ByteCount(found.try.had)))
		stream.from = io.MultiReader(io.NewSectionReader(held.stage.Rootfs, 0, found.try.had), stream.from)
	}
	return stream, nil
}

// plan lists the URLs that the root file system is to be asked of.
func (found *Found) plan() {
	if found.try.course == nil {
		found.try.course = fetch.NewCourse(found.finder.opt.Servers.files(found.Image.Path + "/" + image.RootfsFile))
	}
}

// Safe reports whether a decoder may read the root file system before it is verified:
// if it comes from image servers over https, or out of the cache. Over plain http
// anybody on the way could feed the decoder, and a mirror is somebody else's machine.
func (found *Found) Safe() bool {
	if found.Cached || !found.Vouched() {
		return true
	}
	found.plan()
	return !slices.ContainsFunc(found.try.course.URLs(), func(u string) bool { return !found.finder.opt.Servers.safe(u) })
}

// A keeper copies what passes to the cache, for as long as that works: a full cache is
// no reason not to make a container.
type keeper struct {
	from io.Reader
	to   *Found
}

func (k *keeper) Read(p []byte) (int, error) {
	n, err := k.from.Read(p)
	if stage := k.to.held.stage; n > 0 && stage != nil {
		if _, failed := stage.Write(p[:n]); failed != nil {
			k.to.finder.tell.Warn(fmt.Sprintf("the cache is given up: %v", failed))
			k.to.held.discard()
		}
	}
	return n, err
}

// indexTail is how much of the end of an image is looked at, in bytes: xz's index has
// at most 18 for each block, of which xz makes one in 24 MiB.
const indexTail = 4 << 10

// Measure finds out how large the layers are and notes that in them. Of a server it
// asks for the last few bytes of the file, once: there is xz's index. sure says that
// nobody but a --server and whoever has its certificate can have invented the sizes;
// sureOnly says to ask no other.
func (found *Found) Measure(ctx context.Context, sureOnly bool) (sure bool) {
	layer := &found.Layers[0]
	layer.Packed, layer.Content = -1, -1
	var tail []byte
	if entry := found.held.entry; entry != nil {
		layer.Packed = entry.Size
		tail = make([]byte, min(indexTail, entry.Size))
		if _, err := entry.Rootfs.ReadAt(tail, entry.Size-int64(len(tail))); err != nil && err != io.EOF {
			return true
		}
		sure = true
	} else {
		servers := found.finder.opt.Servers
		urls := servers.files(found.Image.Path + "/" + image.RootfsFile)
		if sureOnly {
			urls = slices.DeleteFunc(urls, func(u string) bool { return !servers.safe(u) })
		}
		if len(urls) == 0 {
			return false
		}
		var err error
		var from string
		if tail, layer.Packed, from, err = found.finder.askTail(ctx, urls); err != nil {
			layer.Packed = -1
			found.finder.tell.Note(fmt.Sprintf("the size of the image is not known yet: %v", err))
			return false
		}
		sure = servers.safe(from)
	}
	if content, ok := xz.ContentSize(tail, layer.Packed); ok {
		layer.Content = content
	}
	return sure
}

// askTail asks the server that the file will come from. One that is down is asked for
// nothing more if there is another.
func (f *Finder) askTail(ctx context.Context, urls []string) (data []byte, size int64, from string, err error) {
	for i, u := range urls {
		from = u
		data, size, err = f.opt.Client.Tail(ctx, u, indexTail)
		var failed *fetch.Error
		if err == nil || !errors.As(err, &failed) || !Offline(err) && !absent(failed) || i+1 == len(urls) {
			break
		}
		f.opt.Servers.Failed(fetch.Event{Err: failed, Next: urls[i+1]})
	}
	return data, size, from, err
}
