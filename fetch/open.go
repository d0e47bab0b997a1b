package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// The number of retries of a Hasty request, and the longest Retry-After for which it waits.
const (
	hastyRetries    = 1 // a single failure is no reason to leave a server
	hastyRetryAfter = 10 * time.Second
)

// A Request describes one file to fetch.
type Request struct {
	// URLs lists URLs of the same file, in order of preference.
	URLs []string
	// Pinned says that the caller knows the digest of the file, or will check a
	// signature over the whole file. A broken stream may then continue with bytes
	// from another URL, or from a server that can't prove that its file is the
	// same: the caller's check detects a mixture of two files.
	Pinned bool

	// Offset is the number of bytes of the file that the caller already has; the
	// stream begins there. Unless Pinned is set, Validator must identify the file
	// that these bytes belong to: it is Body.Validator from the time when they
	// came from the first URL.
	Offset    int64
	Validator string

	// Hasty says that the caller can use another server. The second failure in a
	// row then ends the fetch, as does a Retry-After of more than ten seconds.
	Hasty bool

	Size int64 // bytes of the whole file, as known to the caller; 0: unknown
	Max  int64 // maximum number of bytes of the whole file; 0: no limit
	HTML bool  // accept a web page; otherwise a web page is an error of KindHTML

	Accept string // the media types that the caller understands (the header field of that name); "": all

	// Authorization is the value of that header field, in requests to the origin of each URL.
	// It is not sent to another origin after a redirect. "": as Options.Authorize says.
	Authorization string

	// CallerRestarts tells Load not to start again when the file changes during the
	// download, since the caller does so itself (see Course).
	CallerRestarts bool

	spent int // failures in a row for this file before this request
}

// An Answer is a small file, with the header of the response that began it.
type Answer struct {
	Data   []byte
	Header http.Header // after redirects, that of the last server; nil for a file URL
}

// Ask returns the content of a file as Load does, and the header of the response. It
// returns the errors of Load.
func (c *Client) Ask(ctx context.Context, request Request) (*Answer, error) {
	data, body, err := c.load(ctx, request)
	if err != nil {
		return nil, err
	}
	return &Answer{Data: data, Header: body.header}, nil
}

// Get returns the content of a file of at most max bytes. It returns the errors of
// Load.
func (c *Client) Get(ctx context.Context, url string, max int64) ([]byte, error) {
	data, _, err := c.Load(ctx, Request{URLs: []string{url}, Max: max})
	return data, err
}

// Load returns the content of a file and the URLs of the Request that sent bytes
// of it. If the stream can't continue after an error, Load fetches the file again
// from the start. It returns the errors of Open.
func (c *Client) Load(ctx context.Context, request Request) (data []byte, sources []string, err error) {
	data, body, err := c.load(ctx, request)
	if body != nil {
		sources = body.Sources()
	}
	return data, sources, err
}

// Once is Load for a small file that the caller requests before it needs it, and again when it
// does: the first failure ends the fetch and is not reported.
func (c *Client) Once(ctx context.Context, request Request) ([]byte, error) {
	request.spent = 1 << 20 // more failures than any LimitOptions allow
	data, _, err := c.load(ctx, request)
	return data, err
}

// load implements Load and Ask. It returns the closed Body of the last attempt, nil if
// there was none.
func (c *Client) load(ctx context.Context, request Request) (data []byte, body *Body, err error) {
	for {
		if body, err = c.open(ctx, request); err == nil {
			data, err = readAll(body)
			body.Close()
		}
		if err == nil {
			return data, body, nil
		}
		var e *Error
		if ctx.Err() != nil || body == nil || !errors.As(err, &e) {
			return nil, body, err
		}
		for _, s := range body.sources.all {
			if s.last != nil && s.last.asIs { // an error of Options.Authorize, which may contain an *Error of another request
				return nil, body, err
			}
		}
		// The attempts made by Open count too: each file has one budget of attempts.
		request.spent = max(request.spent+1, body.sources.fewestFailures())
		switch {
		case e.Kind != KindChanged && e.Kind != KindTruncated && e.Kind != KindStall, e.Kind == KindChanged && request.CallerRestarts,
			request.spent > c.retries(request):
			return nil, body, err
		}
		d := c.backoff(request.spent - 1)
		c.notify(Event{Err: e, Next: e.URL, Wait: d, Attempt: request.spent + 1, Of: c.retries(request) + 1})
		if err := c.pause(ctx, d, e.URL); err != nil {
			return nil, nil, err
		}
	}
}

// readAll reads a body to its end. If the server has said the size, it takes memory for the file
// once: that of io.ReadAll grows, and takes more than twice as much meanwhile.
func readAll(body *Body) ([]byte, error) {
	size := body.Size - body.offset
	if body.Size < 0 || size > body.request.Max {
		return io.ReadAll(body)
	}
	data := make([]byte, 0, max(size, 0)+1)
	for len(data) < cap(data) {
		n, err := body.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if err == io.EOF {
			return data, nil
		}
		if err != nil {
			return data, err
		}
	}
	more, err := io.ReadAll(body) // the size was wrong
	return append(data, more...), err
}

// retries returns the maximum number of further attempts after failures in a row.
func (c *Client) retries(request Request) int {
	if request.Hasty {
		return min(c.opt.Limits.Retries, hastyRetries)
	}
	return c.opt.Limits.Retries
}

// Open requests a file and returns it as a stream when a server has begun to send
// it. When ctx is done, the stream ends too. An error is an *Error, several joined
// *Errors if the Request has several URLs, or the error of ctx.
func (c *Client) Open(ctx context.Context, request Request) (*Body, error) {
	b, err := c.open(ctx, request)
	if err != nil {
		return nil, err
	}
	return b, nil
}

// open implements Open. Once the URLs are parsed it returns a Body even with an
// error, so that load can count the failures.
func (c *Client) open(ctx context.Context, request Request) (*Body, error) {
	if c == nil {
		return nil, noClient(request.URLs[0])
	}
	b := &Body{Size: -1, client: c, request: request, offset: request.Offset}
	b.transfer.end = -1
	if request.Size > 0 {
		b.Size = request.Size
	}
	if request.Max > 0 && request.Size > request.Max {
		return nil, &Error{Kind: KindTooLarge, Err: fmt.Errorf("%d bytes, at most %d are allowed", request.Size, request.Max)}
	}
	var err error
	if b.sources, err = newSourceList(request); err != nil {
		return nil, err
	}
	first := b.sources.current()
	b.ctx, b.cancel = context.WithCancel(ctx)
	b.watch.size.Store(b.Size)
	b.watch.url.Store(withoutUser(first.url))
	b.watch.got.Store(b.offset)
	b.watch.start(b.ctx, c)
	if err := b.connect(); err != nil && err != io.EOF {
		b.release()
		return b, err
	} else if err == io.EOF {
		b.err = io.EOF
	}
	return b, nil
}

// noClient returns the error of a nil Client, which opens nothing: a program that must not use the
// network has none.
func noClient(url string) error {
	return &Error{URL: ShowURL(url), Kind: KindUnreachable, Err: errors.New("the network is not used")}
}

// Tail returns the last n bytes of a file, or the whole file if it is shorter, and
// the size of the file. It sends one request and reads at most n bytes. If the
// server does not support ranges, the error is of KindProtocol. Tail is meant for
// a look at a file before its download, so the caller can ignore every error. It does
// not call Options.Authorize.
func (c *Client) Tail(ctx context.Context, url string, n int64) (data []byte, size int64, err error) {
	if c == nil {
		return nil, 0, noClient(url)
	}
	u, err := parseURL(url)
	if err != nil {
		return nil, 0, err
	}
	if u.Scheme == "file" {
		return tailFile(u, n)
	}
	// These few bytes need no stallTimer: a time limit for all of them is enough.
	ctx, cancel := context.WithTimeoutCause(ctx, min(c.opt.Limits.StallWindow, reportInterval), errStalled)
	defer cancel()
	var w watcher
	w.size.Store(-1)
	w.url.Store(withoutUser(u))
	w.beginWait()
	w.start(ctx, c)
	defer w.stop()
	var a authorization
	c.takeField(ctx, &a, u)
	response, _, err := c.do(ctx, u, &requestFields{tail: n, authorization: a.field})
	if err != nil {
		return nil, 0, err
	}
	defer response.Body.Close()
	first, last, size, ok := contentRange(response.Header.Get("Content-Range"))
	switch {
	case response.StatusCode != http.StatusOK && response.StatusCode != http.StatusPartialContent:
		err = &Error{Kind: KindStatus, Status: response.StatusCode, Wait: retryAfter(response.Header)}
	case response.StatusCode == http.StatusOK, !ok, last-first >= n, last != size-1:
		err = noRanges()
	case encoded(response.Header, u):
		err = &Error{Kind: KindEncoding}
	default:
		data = make([]byte, last-first+1)
		if _, err = io.ReadFull(response.Body, data); err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}
	if err != nil {
		return nil, 0, failure(u, response.Request.URL, err, c.opt.TLS.Now())
	}
	return data, size, nil
}
