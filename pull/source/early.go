package source

import (
	"context"
	"slices"
	"strings"
	"sync"

	"lxc-pull/fetch"
	"lxc-pull/image"
)

// On a link with a latency of 300 ms each request that waits for another one costs as much as a
// megabyte. So requests whose URLs are known are sent at the same time, on three connections:
//
//	the index, the plain index and its signature
//	SHA256SUMS, its signature, and the root file system, whose bytes nobody reads yet
//	the metadata, and the end of the root file system, for its size
//
// What is trusted does not change: the URLs of each line come from files that were verified before,
// and an answer is used where its request would have been sent without this file.

// earlyFiles are small files that were requested before their turn.
type earlyFiles struct {
	mu    sync.Mutex
	files map[string]*earlyFile // by URL; nil: there was none yet
}

// An earlyFile is the answer to a request that was sent before the file is needed.
type earlyFile struct {
	_    [0]func()     // forbids ==, whose code nothing needs
	once bool          // after a failure the file is requested again, with retries
	done chan struct{} // closed when data and err are set
	data []byte
	err  error
}

// request sends the request for a small file before its turn, with retries or once. load takes the
// answer.
func (f *Finder) request(ctx context.Context, request fetch.Request, once bool) {
	if strings.HasPrefix(request.URLs[0], "file:") {
		return
	}
	e := &earlyFile{once: once, done: make(chan struct{})}
	f.early.mu.Lock()
	if f.early.files == nil {
		f.early.files = map[string]*earlyFile{}
	}
	f.early.files[request.URLs[0]] = e // and not the answer of an earlier round, which nobody needed
	f.early.mu.Unlock()
	go func() {
		defer close(e.done)
		if once {
			e.data, e.err = f.opt.Client.Once(ctx, request)
		} else {
			e.data, _, e.err = f.opt.Client.Load(ctx, request)
		}
	}()
}

// requestSignature requests a signature before its turn, if signatures are checked. If that fails,
// nobody is told: the signed file itself may not exist.
func (f *Finder) requestSignature(ctx context.Context, url string) {
	if f.trust.keys != nil {
		f.request(ctx, fetch.Request{URLs: []string{url}, Max: maxSignature}, true)
	}
}

// take waits for a file that was requested before its turn, and returns its bytes, or the error of
// a request with retries. ok is false if there is no such answer: the caller then sends a request.
func (e *earlyFiles) take(ctx context.Context, url string) (data []byte, err error, ok bool) {
	f := e.remove(url)
	if f == nil {
		return nil, nil, false
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, ctx.Err(), true
	}
	return f.data, f.err, f.err == nil || !f.once
}

// remove drops the answer for a URL, and returns it; nil: there is none.
func (e *earlyFiles) remove(url string) *earlyFile {
	e.mu.Lock()
	defer e.mu.Unlock()
	f := e.files[url]
	delete(e.files, url)
	return f
}

// An earlyRootfs is the root file system of an image server, requested before its turn.
type earlyRootfs struct {
	_      [0]func() // forbids ==, whose code nothing needs
	urls   []string
	ctx    context.Context // of the download
	cancel context.CancelFunc
	opened chan struct{} // closed when body and err are set
	body   *fetch.Body
	err    error
	tail   chan tailAnswer // nil: not requested, or taken
}

// A tailAnswer is what Finder.askTail returned.
type tailAnswer struct {
	_    [0]func() // forbids ==, whose code nothing needs
	data []byte
	size int64
	from string
	err  error
}

// requestRootfs requests the root file system from the server that gave the index, if the run will
// download all of it and asks that server alone: if it failed, the next server would be asked for a
// build that is not verified yet. The bytes wait in the kernel's buffer until the stream is read.
func (found *Found) requestRootfs(ctx context.Context) {
	f := found.finder
	slot, urls := found.cache.slot, found.from(image.RootfsFile)
	if !f.opens || found.cache.entry != nil || found.index.unlisted || slot != nil && slot.Partial() ||
		!strings.HasPrefix(urls[0], "http") || len(f.opt.Servers.servers)+len(f.opt.Servers.mirrors) > 1 {
		return
	}
	f.opens = false // a second attempt, after a failure, asks in its turn
	e := &earlyRootfs{urls: urls, opened: make(chan struct{})}
	e.ctx, e.cancel = context.WithCancel(ctx)
	found.try.early = e
	go func() {
		defer close(e.opened)
		e.body, e.err = f.opt.Client.Open(e.ctx, fetch.Request{URLs: urls, Pinned: f.trust.keys != nil, Max: maxRootfs})
	}()
}

// requestTail requests the end of the root file system, for Measure, if requestRootfs has requested
// the file.
func (found *Found) requestTail() {
	e := found.try.early
	if e == nil {
		return
	}
	e.tail = make(chan tailAnswer, 1)
	go func() { e.tail <- found.finder.askTail(e.ctx, e.urls) }()
}

// takeEarly returns the answer to the request of requestRootfs. It returns nil for both if there is
// none for these URLs. The download ends when ctx does.
func (a *attempt) takeEarly(ctx context.Context, urls []string) (*fetch.Body, error) {
	e := a.early
	if e == nil || !slices.Equal(e.urls, urls) {
		a.dropEarly()
		return nil, nil
	}
	a.early = nil
	context.AfterFunc(ctx, e.cancel)
	<-e.opened
	return e.body, e.err
}

// dropEarly ends the requests of requestRootfs and requestTail, if nobody has taken the answer.
func (a *attempt) dropEarly() {
	e := a.early
	if e == nil {
		return
	}
	a.early = nil
	e.cancel()
	<-e.opened
	if e.body != nil {
		e.body.Close()
	}
}
