package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
)

// minProgress is the number of bytes after which failures are counted from zero
// again. Without it a server that sends one byte per connection would be asked
// for ever.
const minProgress = 64 << 10

// A Body is the stream of a file: an io.ReadCloser that sends another request when
// the connection breaks. After an error every Read returns the same error. io.EOF
// comes only after the last byte of a file of known size, or at the end that the
// server marked. Only one goroutine may call Read and Close; to stop a Read in
// another goroutine, cancel the context passed to Open.
type Body struct {
	Size      int64  // bytes of the whole file; -1: unknown so far
	Validator string // for a later Request that continues this download; "": none

	client   *Client
	ctx      context.Context // of this stream; Close cancels it
	cancel   context.CancelFunc
	request  Request
	sources  sourceList
	offset   int64 // of the next byte in the file
	transfer transfer
	watch    watcher
	header   http.Header // of the first response that sent bytes of the file
	err      error       // returned by every further Read
}

// A transfer is the HTTP response or the local file that a Body is reading.
type transfer struct {
	body   io.ReadCloser // nil between two connections
	url    *url.URL      // of the last request, after redirects
	cancel context.CancelCauseFunc
	stall  stallTimer
	skip   int64 // bytes at the start of body that the caller already has
	start  int64 // offset in the file of the first byte of body
	end    int64 // offset in the file where the received range ends; -1: it has no end
	err    error // returned by body together with its last bytes
}

func (t *transfer) close() {
	if t.body != nil {
		t.body.Close()
		t.cancel(nil)
		t.body = nil
	}
	t.err = nil
}

// Offset returns the offset of the next byte in the file.
func (b *Body) Offset() int64 { return b.offset }

// Sources returns the URLs of the Request that sent bytes of the file. If the
// digest is wrong, at least one of them sent wrong bytes.
func (b *Body) Sources() []string { return b.sources.used() }

// Close ends the stream. It always returns nil.
func (b *Body) Close() error {
	if b.err == nil {
		b.err = os.ErrClosed
	}
	b.transfer.close()
	b.release()
	return nil
}

// release ends the context and the watcher of the stream.
func (b *Body) release() {
	b.cancel()
	b.watch.stop()
}

// Read returns the next bytes of the file. It sends further requests as needed.
func (b *Body) Read(p []byte) (int, error) {
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	for {
		if b.transfer.body == nil {
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
		b.transfer.close()
		if err == io.EOF {
			b.Size, b.err = b.offset, io.EOF
			return 0, io.EOF
		}
		if err == errPartEnded {
			continue
		}
		if err := b.next(b.failure(err)); err != nil {
			b.err = err
			return 0, err
		}
	}
}

// receive reads from the transfer. It returns bytes or an error, never both. io.EOF
// means the end of the file.
func (b *Body) receive(p []byte) (int, error) {
	t := &b.transfer
	if t.err != nil {
		return 0, b.endOfTransfer(t.err)
	}
	b.watch.beginWait()
	n, err := t.stall.read(t.body, p[:b.client.limiter.portion(len(p))])
	b.watch.endWait()
	t.err = err
	if d := b.client.limiter.take(n); d > 0 {
		if err := b.client.opt.Wait(b.ctx, d); err != nil {
			return 0, err
		}
	}
	if again := min(t.skip, int64(n)); again > 0 {
		t.skip -= again
		n = copy(p, p[again:n])
	}
	if n == 0 {
		return 0, nil
	}
	if err := b.check(p[:n]); err != nil {
		return 0, err
	}
	b.offset += int64(n)
	b.watch.got.Store(b.offset)
	b.sources.received(b.offset)
	return n, nil
}

// check refuses bytes that can't be the next bytes of the file.
func (b *Body) check(p []byte) error {
	end := b.offset + int64(len(p))
	switch {
	case b.offset == 0 && !b.request.HTML && looksHTML(p):
		return &Error{Kind: KindHTML}
	case b.Size >= 0 && end > b.Size:
		return &Error{Kind: KindChanged, Err: fmt.Errorf("the server sent more than the announced %d bytes", b.Size)}
	case b.request.Max > 0 && end > b.request.Max:
		return tooLarge(b.request.Max)
	case b.transfer.end >= 0 && end > b.transfer.end:
		return &Error{Kind: KindProtocol, Err: fmt.Errorf("the server sent more bytes than the range up to byte %d has", b.transfer.end-1)}
	}
	return nil
}

// endOfTransfer returns what the end of a transfer means for the file: io.EOF,
// errPartEnded or an error. err is the error of the last read.
func (b *Body) endOfTransfer(err error) error {
	t := &b.transfer
	partial := t.end >= 0 && b.offset == t.end && b.offset != b.Size
	switch {
	case err != io.EOF:
		return err
	case t.skip > 0:
		return &Error{Kind: KindChanged, Err: errors.New("the file is shorter now")}
	case partial && b.offset-t.start >= minProgress:
		return errPartEnded
	case partial:
		// A server may send less than the request asked for. If it does not send the
		// size of the file either, only a 416 marks its end (RFC 9110, 15.3.7).
		return &Error{Kind: KindTruncated, Err: errors.New("the server sent a part of the file without the size of the file")}
	case b.Size >= 0 && b.offset < b.Size, t.end >= 0 && b.offset < t.end:
		return io.ErrUnexpectedEOF
	}
	return io.EOF
}

// errPartEnded marks the end of a part of the file whose length the server chose.
// The part was large enough to request the next part without waiting.
var errPartEnded = errors.New("the part ended")

func tooLarge(max int64) *Error {
	return &Error{Kind: KindTooLarge, Err: fmt.Errorf("at most %d bytes are allowed", max)}
}

// failure returns the *Error for an error of the current source. If the context is
// done, it returns the context's error unchanged.
func (b *Body) failure(err error) error {
	if b.ctx.Err() != nil {
		return context.Cause(b.ctx)
	}
	return failure(b.sources.current().url, b.transfer.url, err, b.client.opt.TLS.Now())
}
