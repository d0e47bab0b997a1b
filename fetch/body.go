package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"
)

// A Request is one file as Open fetches it.
type Request struct {
	// URLs name the same bytes, in order of preference.
	URLs []string
	// Pinned says that the caller knows the file's digest, or will check a
	// signature over the whole of it. Then a broken stream may go on with
	// bytes of another URL, or of a server that can't prove that its file is
	// still the same: what is mixed up will not pass the check.
	Pinned bool

	// Offset is how many bytes of the file the caller has already; the stream
	// begins there. Unless Pinned, Validator (a Body's, of the time when those
	// bytes came from the first URL) must say which file they are of.
	Offset    int64
	Validator string

	// Hasty says that the caller has another server to turn to: the second
	// failure in a row ends the fetch, and so does a longer Retry-After than a
	// person would sit through.
	Hasty bool

	Size int64 // bytes of the whole file where the caller knows them, 0: not known
	Max  int64 // most bytes that the whole file may have, 0: no limit
	HTML bool  // a web page is welcome; else it is an error, for it hides one

	// Anew says to Load that the caller itself begins anew when the file changes
	// under the download, as a Course does.
	Anew bool

	spent int // failures of the same file in a row before this request
}

// A Body is a file being fetched: an io.ReadCloser that asks again when the
// connection breaks. After an error every Read returns that error; io.EOF
// comes only after the last byte of a file whose length was told, or after the
// end that the server marked. Read and Close are for one goroutine; to end a
// Read from another one, cancel the context of Open.
type Body struct {
	Size      int64  // bytes of the whole file, -1: not known (yet)
	Validator string // what a later Request may continue with, "": nothing

	client  *Client
	ctx     context.Context // the stream's own, cancelled by Close
	cancel  context.CancelFunc
	request Request
	sources []*source
	at      int // of sources: the one in use
	offset  int64
	counted int64 // the offset at which failures were last counted from zero

	answer  io.ReadCloser // nil between connections
	hop     *url.URL      // where answer came from
	hangup  context.CancelCauseFunc
	guard   guard
	skip    int64 // bytes that answer repeats
	until   int64 // where the part that answer has ends; -1: it has the rest
	from    int64 // where answer's bytes begin
	pending error // what answer ended with, after its last bytes
	vigil   vigil
	unwatch func() // ends the vigil
	err     error  // sticky
}

// A source is one URL of a Request and what is known of it.
type source struct {
	raw       string
	url       *url.URL
	validator string // of its file
	host      string // that gave validator
	whole     bool   // it has no ranges
	fails     int    // in a row
	dead      bool   // asking again is useless
	gave      bool   // bytes
	last      *Error
}

// Get returns a small file whole, of at most max bytes.
func (c *Client) Get(ctx context.Context, url string, max int64) ([]byte, error) {
	data, _, err := c.Load(ctx, Request{URLs: []string{url}, Max: max})
	return data, err
}

// Load returns a small file whole, and which of the Request's URLs its bytes
// came from. What Open can't mend is fetched again from the start.
func (c *Client) Load(ctx context.Context, request Request) (data []byte, sources []string, err error) {
	for {
		data, sources, spent, err := c.load(ctx, request)
		var e *Error
		if err == nil || ctx.Err() != nil || !errors.As(err, &e) {
			return data, sources, err
		}
		// What Open has tried itself counts: a file has one budget.
		request.spent = max(request.spent+1, spent)
		switch {
		case e.Kind != KindChanged && e.Kind != KindTruncated && e.Kind != KindStall, e.Kind == KindChanged && request.Anew,
			request.spent > c.retries(request):
			return nil, sources, err
		}
		d := c.backoff(request.spent - 1)
		c.notify(Event{Err: e, Next: e.URL, Wait: d, Attempt: request.spent + 1, Of: c.retries(request) + 1})
		if err := c.pause(ctx, d, e.URL); err != nil {
			return nil, nil, err
		}
	}
}

// load is one try of Load. spent is how often in a row the source that failed
// least has failed.
func (c *Client) load(ctx context.Context, request Request) (data []byte, sources []string, spent int, err error) {
	body, err := c.open(ctx, request)
	if err == nil {
		defer body.Close()
		data, err = io.ReadAll(body)
	}
	if body == nil {
		return nil, nil, 0, err
	}
	spent = body.sources[0].fails
	for _, s := range body.sources {
		spent = min(spent, s.fails)
	}
	return data, body.Sources(), spent, err
}

// retries is how often a failure in a row is followed by another attempt.
func (c *Client) retries(request Request) int {
	if request.Hasty {
		return min(c.opt.Retries, hastyRetries)
	}
	return c.opt.Retries
}

// Tail returns the last n bytes of a file, or all of a shorter one, and the
// size of the whole file. It asks once, and takes no more than n bytes: from a
// server without ranges it takes none, and the error is of KindProtocol. It is
// for a look before a download, so every error is one to go on without.
func (c *Client) Tail(ctx context.Context, url string, n int64) (data []byte, size int64, err error) {
	u, err := parseURL(url)
	if err != nil {
		return nil, 0, err
	}
	if u.Scheme == "file" {
		return tailFile(u, n)
	}
	// So few bytes need no guard: in that time they are here, or it is a stall.
	ctx, cancel := context.WithTimeoutCause(ctx, min(c.opt.StallWindow, waitingInterval), errStalled)
	defer cancel()
	var v vigil
	v.size.Store(-1)
	v.asked.Store(withoutUser(u))
	v.busy()
	defer v.keep(ctx, c)()
	answer, err := c.do(ctx, u, ask{tail: n})
	if err != nil {
		return nil, 0, err
	}
	defer answer.Body.Close()
	first, last, size, ok := contentRange(answer.Header.Get("Content-Range"))
	switch {
	case answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusPartialContent:
		err = &Error{Kind: KindStatus, Status: answer.StatusCode, Wait: retryAfter(answer.Header)}
	case answer.StatusCode == http.StatusOK, !ok, last-first >= n, last != size-1:
		err = &Error{Kind: KindProtocol, Err: errors.New("the server has no ranges")}
	case encoded(answer.Header, u):
		err = &Error{Kind: KindEncoding}
	default:
		data = make([]byte, last-first+1)
		if _, err = io.ReadFull(answer.Body, data); err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}
	if err != nil {
		return nil, 0, failure(u, answer.Request.URL, err, c.opt.Now())
	}
	return data, size, nil
}

func tailFile(u *url.URL, n int64) (data []byte, size int64, err error) {
	f, info, err := openRegular(u.Path)
	if err != nil {
		return nil, 0, failure(u, u, err, time.Time{})
	}
	defer f.Close()
	data = make([]byte, min(n, info.Size()))
	if _, err = f.ReadAt(data, info.Size()-int64(len(data))); err != nil {
		return nil, 0, failure(u, u, localError(err), time.Time{})
	}
	return data, info.Size(), nil
}

// Open asks for a file and returns it as a stream once a server has begun to
// answer. ctx ends the stream too. Errors are of type *Error (several, joined,
// for several URLs), or the context's.
func (c *Client) Open(ctx context.Context, request Request) (*Body, error) {
	b, err := c.open(ctx, request)
	if err != nil {
		return nil, err
	}
	return b, nil
}

// open is Open; with an error it returns a Body too, once there are sources.
func (c *Client) open(ctx context.Context, request Request) (*Body, error) {
	b := &Body{Size: -1, until: -1, client: c, request: request, offset: request.Offset, counted: request.Offset}
	if request.Size > 0 {
		b.Size = request.Size
	}
	if request.Max > 0 && request.Size > request.Max {
		return nil, &Error{Kind: KindTooLarge, Err: fmt.Errorf("%d bytes, at most %d are allowed", request.Size, request.Max)}
	}
	for _, raw := range request.URLs {
		u, err := parseURL(raw)
		if err != nil {
			return nil, err
		}
		b.sources = append(b.sources, &source{raw: raw, url: u, fails: request.spent})
	}
	if len(b.sources) == 0 {
		return nil, &Error{Kind: KindURL, Err: errors.New("no URL")}
	}
	b.sources[0].validator, b.sources[0].host = request.Validator, b.sources[0].url.Host
	b.ctx, b.cancel = context.WithCancel(ctx)
	b.vigil.size.Store(b.Size)
	b.vigil.asked.Store(withoutUser(b.sources[0].url))
	b.vigil.got.Store(b.offset)
	b.unwatch = b.vigil.keep(b.ctx, c)
	if err := b.connect(); err != nil && err != io.EOF {
		b.end()
		return b, err
	} else if err == io.EOF {
		b.err = io.EOF
	}
	return b, nil
}

// Offset returns where in the file the next byte will be.
func (b *Body) Offset() int64 { return b.offset }

// Sources returns which of the Request's URLs bytes came from: after a wrong
// digest one of them is to blame.
func (b *Body) Sources() []string {
	var list []string
	for _, s := range b.sources {
		if s.gave {
			list = append(list, s.raw)
		}
	}
	return list
}

// Close ends the stream.
func (b *Body) Close() error {
	if b.err == nil {
		b.err = os.ErrClosed
	}
	b.disconnect()
	b.end()
	return nil
}

func (b *Body) end() {
	b.cancel()
	b.unwatch()
}

func (b *Body) disconnect() {
	if b.answer != nil {
		b.answer.Close()
		b.hangup(nil)
		b.answer = nil
	}
	b.pending = nil
}

// Read returns the next bytes of the file, over as many connections as it takes.
func (b *Body) Read(p []byte) (int, error) {
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	for {
		if b.answer == nil {
			if err := b.connect(); err != nil {
				b.err = err
				return 0, err
			}
		}
		n, err := b.receive(p)
		if n > 0 {
			return n, nil
		}
		if err == nil {
			continue
		}
		b.disconnect()
		if err == io.EOF {
			b.Size, b.err = b.offset, io.EOF
			return 0, io.EOF
		}
		if err == errPart {
			continue
		}
		if err := b.next(b.failure(err)); err != nil {
			b.err = err
			return 0, err
		}
	}
}

// receive reads from the connection. It returns bytes or an error, never both;
// io.EOF is the end of the file.
func (b *Body) receive(p []byte) (int, error) {
	if err := b.pending; err != nil {
		return 0, b.ended(err)
	}
	b.vigil.busy()
	n, err := b.guard.read(b.answer, p[:b.client.limiter.portion(len(p))])
	b.vigil.idle()
	b.pending = err
	if d := b.client.limiter.take(n); d > 0 {
		if err := b.client.opt.Wait(b.ctx, d); err != nil {
			return 0, err
		}
	}
	if again := min(b.skip, int64(n)); again > 0 {
		b.skip -= again
		n = copy(p, p[again:n])
	}
	if n == 0 {
		return 0, nil
	}
	if b.offset == 0 && !b.request.HTML && looksHTML(p[:n]) {
		return 0, &Error{Kind: KindHTML}
	}
	if b.Size >= 0 && b.offset+int64(n) > b.Size {
		return 0, &Error{Kind: KindChanged, Err: fmt.Errorf("more than the %d bytes that were told", b.Size)}
	}
	if max := b.request.Max; max > 0 && b.offset+int64(n) > max {
		return 0, tooLarge(max)
	}
	if b.until >= 0 && b.offset+int64(n) > b.until {
		return 0, &Error{Kind: KindProtocol, Err: fmt.Errorf("more bytes than the range to %d has", b.until-1)}
	}
	b.offset += int64(n)
	b.vigil.got.Store(b.offset)
	b.sources[b.at].gave = true
	if b.offset-b.counted >= progress {
		b.counted = b.offset
		for _, s := range b.sources {
			s.fails = 0
		}
	}
	return n, nil
}

// ended says what the end of a connection means for the file.
func (b *Body) ended(err error) error {
	switch {
	case err != io.EOF:
		return err
	case b.skip > 0:
		return &Error{Kind: KindChanged, Err: errors.New("it is shorter now")}
	case b.until >= 0 && b.offset == b.until && b.offset-b.from >= progress && b.offset != b.Size:
		return errPart
	case b.until >= 0 && b.offset == b.until && b.offset != b.Size:
		// A server may give less than was asked for. Where it does not tell the
		// size either only a 416 says that nothing follows (RFC 9110, 15.3.7).
		return &Error{Kind: KindTruncated, Err: errors.New("the server gave a part, and told no size")}
	case b.Size >= 0 && b.offset < b.Size, b.until >= 0 && b.offset < b.until:
		return io.ErrUnexpectedEOF
	}
	return io.EOF
}

// errPart is the end of a part of the file that the server chose, and that is
// large enough to go on at once.
var errPart = errors.New("the part ended")

func tooLarge(max int64) *Error {
	return &Error{Kind: KindTooLarge, Err: fmt.Errorf("at most %d bytes are allowed", max)}
}

// failure makes an Error of what went wrong with the source in use. The
// context's own error stays as it is.
func (b *Body) failure(err error) error {
	if b.ctx.Err() != nil {
		return context.Cause(b.ctx)
	}
	return failure(b.sources[b.at].url, b.hop, err, b.client.opt.Now())
}

// connect asks the source in use, and after failures the next ones, until one
// answers with the bytes from b.offset on. It returns io.EOF when there are
// none.
func (b *Body) connect() error {
	if b.Size > 0 && b.offset == b.Size {
		return io.EOF
	}
	for {
		err := b.ask(b.sources[b.at])
		if err == nil || err == io.EOF {
			return err
		}
		if err := b.next(b.failure(err)); err != nil {
			return err
		}
	}
}

// next chooses which source is asked after a failure of the one in use, and
// waits when it has failed before. It returns the error to end with when no
// source is left.
func (b *Body) next(err error) error {
	e, ok := err.(*Error)
	if !ok {
		return err // the context's
	}
	failed := b.sources[b.at]
	failed.last = e
	failed.fails++
	longest := maxRetryAfter
	if b.request.Hasty {
		longest = hastyRetryAfter
	}
	failed.dead = !e.transient() || e.Wait > longest || failed.fails > b.patience(e)

	if b.offset > 0 && !b.request.Pinned {
		// Only the same file, told by its validator, can go on.
		if failed.validator == "" || failed.dead {
			return e
		}
	} else {
		b.at = b.choose(e)
		if b.at < 0 {
			b.at = 0
			return b.verdict()
		}
	}
	chosen := b.sources[b.at]
	var d time.Duration
	if chosen.fails > 0 {
		d = b.client.backoff(chosen.fails - 1)
		if chosen.last != nil {
			d = max(d, chosen.last.Wait)
		}
	}
	of := b.client.retries(b.request) + 1
	if chosen.last != nil {
		of = b.patience(chosen.last) + 1
	}
	b.client.notify(Event{Err: e, Next: withoutUser(chosen.url), Wait: d, Offset: b.offset, Attempt: chosen.fails + 1, Of: of})
	if d > 0 {
		b.vigil.asked.Store(withoutUser(chosen.url))
		b.vigil.busy()
		b.vigil.resume.Store(time.Now().Add(d).UnixNano())
		if err := b.client.opt.Wait(b.ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// patience returns how many failures in a row a source may have. A name or an
// address that never worked is most likely wrong: the user should not wait a
// minute and a half to hear of a typing error. A proxy that was reached and broke
// off is asked as often as a server.
func (b *Body) patience(e *Error) int {
	switch e.Kind {
	case KindDNS, KindRefused, KindUnreachable, KindProxy:
		if b.offset == b.request.Offset && (e.Kind != KindProxy || e.noProxy) {
			return min(b.client.retries(b.request), 2)
		}
	}
	return b.client.retries(b.request)
}

// choose returns the source to ask after e, -1 when all are dead: the one in
// use when it has just brought something and only broke off, else the one that
// failed least, in order of preference.
func (b *Body) choose(e *Error) int {
	if now := b.sources[b.at]; !now.dead && now.fails == 1 && now.gave && e.Kind == KindTruncated {
		return b.at
	}
	best := -1
	for i, s := range b.sources {
		if !s.dead && (best < 0 || s.fails < b.sources[best].fails) {
			best = i
		}
	}
	return best
}

// verdict is the error when every source has failed.
func (b *Body) verdict() error {
	var all []error
	for _, s := range b.sources {
		if s.last != nil {
			all = append(all, s.last)
		}
	}
	if len(all) == 1 {
		return all[0]
	}
	return errors.Join(all...)
}

// ask sends one request to s and prepares b for its answer.
func (b *Body) ask(s *source) error {
	b.hop = s.url
	if s.url.Scheme == "file" {
		return b.openFile(s)
	}
	ctx, hangup := context.WithCancelCause(b.ctx)
	b.vigil.asked.Store(withoutUser(s.url))
	b.vigil.busy()
	defer b.vigil.idle()
	// net/http waits for ever for a SOCKS proxy that says nothing.
	late := time.AfterFunc(dialTimeout+tlsTimeout+b.client.opt.StallWindow, func() { hangup(context.DeadlineExceeded) })
	defer late.Stop()
	answer, err := b.client.do(ctx, s.url, ask{offset: b.offset, whole: s.whole, validator: s.validator, host: s.host})
	if err != nil {
		hangup(nil)
		return err
	}
	if err = b.accept(s, answer); err != nil {
		if answer.StatusCode == http.StatusBadRequest && b.hop.Scheme == "http" && b.saysHTTPS(answer.Body, hangup) {
			err = &Error{Kind: KindSpeaksTLS}
		}
		answer.Body.Close()
		hangup(nil)
		if err == io.EOF {
			return err
		}
		return failure(s.url, answer.Request.URL, err, b.client.opt.Now())
	}
	b.answer, b.hangup, b.hop = answer.Body, hangup, answer.Request.URL
	b.guard.begin(b.client.opt.StallRate, b.client.opt.StallWindow, hangup)
	return nil
}

// saysHTTPS reports whether a refusal is that of a server that speaks TLS to a
// plain request: Apache, nginx and Go say so in the page.
func (b *Body) saysHTTPS(page io.Reader, hangup context.CancelCauseFunc) bool {
	patience := time.AfterFunc(b.client.opt.StallWindow, func() { hangup(errStalled) })
	defer patience.Stop()
	text, _ := io.ReadAll(io.LimitReader(page, 4<<10)) // what came of it is enough
	return bytes.Contains(text, []byte("HTTPS")) || bytes.Contains(text, []byte("SSL-enabled"))
}

// accept judges an answer: nil when its bytes may follow those that are here.
func (b *Body) accept(s *source, answer *http.Response) error {
	h := answer.Header
	total := int64(-1)
	b.skip, b.until, b.from = 0, -1, b.offset
	switch answer.StatusCode {
	case http.StatusOK:
		total = answer.ContentLength
		if b.offset > 0 && !s.whole {
			s.whole = true
			if b.request.Pinned && b.othersHaveRanges() {
				return &Error{Kind: KindProtocol, Err: errors.New("the server has no ranges")}
			}
		}
		b.skip = b.offset
	case http.StatusPartialContent:
		first, last, size, ok := contentRange(h.Get("Content-Range"))
		if !ok || first != b.offset || b.offset == 0 || s.whole {
			s.whole = true
			return &Error{Kind: KindProtocol, Err: fmt.Errorf("asked for the bytes from %d on, got range %.100q", b.offset, h.Get("Content-Range"))}
		}
		total, b.until = size, last+1
		if answer.ContentLength >= 0 && answer.ContentLength != b.until-first {
			return &Error{Kind: KindProtocol, Err: fmt.Errorf("a range of %d bytes in an answer of %d", b.until-first, answer.ContentLength)}
		}
	case http.StatusRequestedRangeNotSatisfiable:
		_, last, size, ok := contentRange(h.Get("Content-Range"))
		ifRange := answer.Request.Header.Get("If-Range") != ""
		switch {
		case b.offset == 0 || s.whole:
			return &Error{Kind: KindStatus, Status: answer.StatusCode}
		case ok && last < 0 && size == b.offset && (b.Size < 0 && ifRange || b.request.Pinned && b.request.Size <= 0):
			// All is here. A server that knew another file would have ignored
			// the range (RFC 9110, 13.1.5); with a digest to come it may also
			// contradict a server that told another length.
			b.Size = size
			return io.EOF
		case ok && last < 0 && size < b.offset:
			return &Error{Kind: KindChanged, Err: fmt.Errorf("it has %d bytes, %d are here already", size, b.offset)}
		}
		s.whole = true // asked again without a range
		return &Error{Kind: KindProtocol, Err: fmt.Errorf("the server refuses the range from %d on", b.offset)}
	default:
		return &Error{Kind: KindStatus, Status: answer.StatusCode, Wait: retryAfter(h)}
	}
	switch {
	case encoded(h, s.url):
		return &Error{Kind: KindEncoding, Err: fmt.Errorf("unasked Content-Encoding %.100q", h.Get("Content-Encoding"))}
	case !b.request.HTML && isHTML(h):
		return &Error{Kind: KindHTML}
	case b.Size >= 0 && total >= 0 && total != b.Size:
		return &Error{Kind: KindChanged, Err: fmt.Errorf("it has %d bytes, not %d", total, b.Size)}
	case b.request.Max > 0 && total > b.request.Max:
		return tooLarge(b.request.Max)
	case b.offset > 0 && !b.request.Pinned && !matches(h, s.validator):
		return &Error{Kind: KindChanged}
	}
	if b.Size < 0 {
		b.Size = total
		b.vigil.size.Store(total)
	}
	s.validator, s.host = validator(h), answer.Request.URL.Host
	if b.Validator == "" || !b.request.Pinned {
		b.Validator = s.validator
	}
	return nil
}

// othersHaveRanges reports whether a source other than the one in use may
// spare us the bytes that are here already.
func (b *Body) othersHaveRanges() bool {
	for i, s := range b.sources {
		if i != b.at && !s.dead && !s.whole {
			return true
		}
	}
	return false
}

// openFile makes a local file the answer.
func (b *Body) openFile(s *source) error {
	f, info, err := openRegular(s.url.Path)
	if err != nil {
		return err
	}
	switch {
	case b.request.Max > 0 && info.Size() > b.request.Max:
		err = tooLarge(b.request.Max)
	case b.Size >= 0 && info.Size() != b.Size, info.Size() < b.offset:
		err = &Error{Kind: KindChanged, Err: fmt.Errorf("it has %d bytes", info.Size())}
	default:
		_, err = f.Seek(b.offset, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return err
	}
	b.Size, b.skip, b.until = info.Size(), 0, -1
	b.answer, b.hangup, b.hop = f, func(error) {}, s.url
	b.guard.begin(0, 0, nil)
	return nil
}

// openRegular opens a local file that is a regular one. A tree on a file system
// without colons (FAT, NTFS) has something else in the name of a build
// (20260829_05:24), which is the directory of the file.
func openRegular(name string) (f *os.File, info fs.FileInfo, err error) {
	file := strings.LastIndexByte(name, '/')
	build := strings.LastIndexByte(name[:max(file, 0)], '/') + 1
	for _, colon := range []string{":", "%3A", "_"} {
		path := name
		if colon != ":" {
			path = name[:build] + strings.ReplaceAll(name[build:file], ":", colon) + name[file:]
		}
		// O_NONBLOCK: a FIFO must not hang us before we know that it is one.
		f, err = os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.EINVAL) || file < build || !strings.Contains(name[build:file], ":") {
			break
		}
	}
	if err != nil {
		return nil, nil, localError(err)
	}
	info, err = f.Stat()
	switch {
	case err != nil:
		err = localError(err)
	case !info.Mode().IsRegular():
		err = &Error{Kind: KindFile, Err: errors.New("not a regular file")}
	default:
		return f, info, nil
	}
	f.Close()
	return nil, nil, err
}

// localError is the Error of a local file; the path is the URL's.
func localError(err error) *Error {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return &Error{Kind: KindFile, Err: err}
}
