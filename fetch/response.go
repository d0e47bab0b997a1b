package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// send sends a request to s and prepares b.transfer for reading the response. It
// returns io.EOF if the file ends at b.offset. After a 401 it sends the request again, as
// Options.Authorize says.
func (b *Body) send(s *source) error {
	b.transfer.url = s.url
	if s.url.Scheme == "file" {
		return b.openFile(s)
	}
	b.watch.url.Store(withoutUser(s.url))
	defer b.watch.endWait()
	a := authorization{field: b.request.Authorization}
	if a.field == "" {
		b.client.takeField(b.ctx, &a, s.url)
	}
	window := b.client.opt.Limits.StallWindow
	for {
		ctx, cancel := context.WithCancelCause(b.ctx)
		b.watch.beginWait()
		// net/http has no time limit for a SOCKS proxy that sends nothing.
		timer := time.AfterFunc(dialTimeout+tlsTimeout+window, func() { cancel(context.DeadlineExceeded) })
		response, home, err := b.client.do(ctx, s.url, &requestFields{
			offset: b.offset, whole: s.whole, validator: s.validator, host: s.host,
			accept: b.request.Accept, authorization: a.field,
		})
		timer.Stop()
		again := false
		if err == nil && home && response.StatusCode == http.StatusUnauthorized {
			again, err = b.authorize(s, &a, response)
		}
		if again || err != nil {
			cancel(nil)
			if again {
				continue
			}
			return err
		}
		if err = b.accept(s, response); err == nil {
			b.transfer.body, b.transfer.cancel, b.transfer.url = response.Body, cancel, response.Request.URL
			b.transfer.stall.begin(b.client.opt.Limits.StallRate, window, cancel)
			return nil
		}
		if e, ok := err.(*Error); ok && e.Kind == KindStatus {
			err = b.readPage(e, response)
		}
		response.Body.Close()
		cancel(nil)
		if err != io.EOF {
			err = failure(s.url, response.Request.URL, err, b.client.opt.TLS.Now())
		}
		return err
	}
}

// readPage reads the page of a response with the error status e: if it is needed, or if it is
// small, so that the connection can be used again. It returns e, or another error if the page says
// that a TLS server got a plain HTTP request: Apache, nginx and Go send such pages.
func (b *Body) readPage(e *Error, response *http.Response) *Error {
	plain := e.Status == http.StatusBadRequest && b.transfer.url.Scheme == "http"
	limit := b.client.opt.Limits.StallWindow
	if b.request.Accept == "" && !plain {
		if response.ContentLength > maxPage {
			return e
		}
		limit = pageTime
	}
	page := takePage(response, limit)
	if plain && (bytes.Contains(page, []byte("HTTPS")) || bytes.Contains(page, []byte("SSL-enabled"))) {
		return &Error{Kind: KindSpeaksTLS}
	}
	if b.request.Accept != "" {
		e.Page = page
	}
	return e
}

// accept returns nil if the bytes of a response continue the bytes that the caller
// has, and io.EOF if the caller has all bytes. It sets the range of b.transfer,
// b.Size and b.Validator.
func (b *Body) accept(s *source, response *http.Response) error {
	b.transfer.skip, b.transfer.start, b.transfer.end = 0, b.offset, -1
	var total int64
	var err error
	switch response.StatusCode {
	case http.StatusOK:
		total, err = b.acceptWhole(s, response)
	case http.StatusPartialContent:
		total, err = b.acceptRange(s, response)
	case http.StatusRequestedRangeNotSatisfiable:
		err = b.refusedRange(s, response)
	default:
		err = &Error{Kind: KindStatus, Status: response.StatusCode, Wait: retryAfter(response.Header)}
	}
	if err != nil {
		return err
	}
	if err := b.checkHeader(s, response.Header, total); err != nil {
		return err
	}
	if b.Size < 0 {
		b.Size = total
		b.watch.size.Store(total)
	}
	if b.offset == b.request.Offset {
		b.header = response.Header
	}
	s.validator, s.host = validator(response.Header), response.Request.URL.Host
	if b.Validator == "" || !b.request.Pinned {
		b.Validator = s.validator
	}
	return nil
}

// acceptWhole handles status 200: the response has the whole file. total is the
// size of the file, -1 if it is unknown.
func (b *Body) acceptWhole(s *source, response *http.Response) (total int64, err error) {
	if b.offset > 0 && !s.whole {
		s.whole = true
		if b.request.Pinned && b.sources.othersHaveRanges() {
			return 0, noRanges()
		}
	}
	b.transfer.skip = b.offset
	return response.ContentLength, nil
}

// acceptRange handles status 206: the response has a range, which may end before
// the file does.
func (b *Body) acceptRange(s *source, response *http.Response) (total int64, err error) {
	text := response.Header.Get("Content-Range")
	first, last, total, ok := contentRange(text)
	if !ok || first != b.offset || b.offset == 0 || s.whole {
		s.whole = true
		return 0, &Error{Kind: KindProtocol, Err: fmt.Errorf("asked for the bytes from %d on, got range %.100q", b.offset, text)}
	}
	b.transfer.end = last + 1
	if n := last + 1 - first; response.ContentLength >= 0 && response.ContentLength != n {
		return 0, &Error{Kind: KindProtocol, Err: fmt.Errorf("the range has %d bytes, but the response has %d", n, response.ContentLength)}
	}
	return total, nil
}

// refusedRange handles status 416: it returns io.EOF if the caller has the whole
// file, and otherwise an error.
func (b *Body) refusedRange(s *source, response *http.Response) error {
	_, last, size, ok := contentRange(response.Header.Get("Content-Range"))
	ok = ok && last < 0
	ifRange := response.Request.Header.Get("If-Range") != ""
	switch {
	case b.offset == 0 || s.whole:
		return &Error{Kind: KindStatus, Status: response.StatusCode}
	case ok && size == b.offset && (b.Size < 0 && ifRange || b.request.Pinned && b.request.Size <= 0):
		// The caller has the whole file. A server with another file would have
		// ignored the range (RFC 9110, 13.1.5). If the caller checks a digest, this
		// server may also contradict the size that another server sent.
		b.Size = size
		return io.EOF
	case ok && size < b.offset:
		return &Error{Kind: KindChanged, Err: fmt.Errorf("it has %d bytes, fewer than the %d already received", size, b.offset)}
	}
	s.whole = true // the next request asks for no range
	return &Error{Kind: KindProtocol, Err: fmt.Errorf("the server refused the range from byte %d on", b.offset)}
}

// checkHeader refuses a response whose header shows that it is not the file. total
// is the size of the file that the header gives, -1 if it gives none.
func (b *Body) checkHeader(s *source, h http.Header, total int64) error {
	switch {
	case encoded(h, s.url):
		return &Error{Kind: KindEncoding, Err: fmt.Errorf("unrequested Content-Encoding %.100q", h.Get("Content-Encoding"))}
	case !b.request.HTML && isHTML(h):
		return &Error{Kind: KindHTML}
	case b.Size >= 0 && total >= 0 && total != b.Size:
		return &Error{Kind: KindChanged, Err: fmt.Errorf("it has %d bytes, not %d", total, b.Size)}
	case b.request.Max > 0 && total > b.request.Max:
		return tooLarge(b.request.Max)
	case b.offset > 0 && !b.request.Pinned && !matches(h, s.validator):
		return &Error{Kind: KindChanged}
	}
	return nil
}

func noRanges() *Error {
	return &Error{Kind: KindProtocol, Err: errors.New("the server does not support ranges")}
}
