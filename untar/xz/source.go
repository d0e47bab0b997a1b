package xz

import (
	"errors"
	"fmt"
	"io"
	"math"
)

// inputSize is the size of the input buffer in bytes. An LZMA2 chunk, of up to 64 KiB,
// must be in the buffer as a whole; twice that size makes reads large.
const inputSize = 128 << 10

// maxEmptyReads is how often in a row a reader may return neither bytes nor an error.
const maxEmptyReads = 100

// A source is buffered input that counts its offset. If r is nil, the bytes are in buf from
// the start (a block header).
type source struct {
	r        io.Reader
	buf      []byte // inputSlack bytes after end may be read, whatever they are
	pos, end int    // buf[pos:end] has not been used yet
	base     int64  // offset of buf[0] in the file
}

// newSource returns a source that reads from r.
func newSource(r io.Reader) *source {
	return &source{r: r, buf: make([]byte, inputSize+inputSlack)}
}

// offset returns the offset of the next byte in the file.
func (s *source) offset() int64 { return s.base + int64(s.pos) }

// errBlockEnd is the error of job.Read at the end of a block's bytes.
var errBlockEnd = errors.New("the block's data ends")

// more reads once, and buffers at least one more byte unless it returns an error. It makes
// room for the next n bytes in one piece; n is at most inputSize.
func (s *source) more(n int) error {
	if s.r == nil {
		return io.EOF
	}
	if room := len(s.buf) - inputSlack; s.pos == s.end || s.pos+n > room || s.end == room {
		copy(s.buf, s.buf[s.pos:s.end])
		s.base += int64(s.pos)
		s.pos, s.end = 0, s.end-s.pos
	}
	for range maxEmptyReads {
		k, err := s.r.Read(s.buf[s.end : len(s.buf)-inputSlack])
		s.end += k
		if k > 0 {
			return nil // the reader returns its error again at the next call
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// need buffers at least n bytes in one piece and returns all that is buffered, without
// using it up. Fewer than n bytes are an error.
func (s *source) need(n int) ([]byte, error) {
	for s.end-s.pos < n {
		if err := s.more(n); err == io.EOF {
			return nil, &FormatError{Offset: s.base + int64(s.end), Cause: "the data ends too early", truncated: true}
		} else if err == errBlockEnd {
			return nil, s.errorf("more compressed data than the block's header says")
		} else if err != nil {
			return nil, err
		}
	}
	return s.buf[s.pos:s.end], nil
}

// next returns the next n bytes and uses them up.
func (s *source) next(n int) ([]byte, error) {
	b, err := s.need(n)
	if err != nil {
		return nil, err
	}
	s.pos += n
	return b[:n], nil
}

// errorf returns a FormatError at the current offset.
func (s *source) errorf(format string, args ...any) error {
	return &FormatError{Offset: s.offset(), Cause: fmt.Sprintf(format, args...)}
}

// vli reads a variable-length integer (xz file format, section 1.2): seven bits per byte,
// the lowest first, in as few bytes as possible and at most nine. It writes the bytes to
// sum unless sum is nil.
func (s *source) vli(sum io.Writer) (int64, error) {
	var v uint64
	for shift := 0; shift < 63; shift += 7 {
		b, err := s.next(1)
		if err != nil {
			return 0, err
		}
		c := b[0]
		if sum != nil {
			sum.Write(b)
		}
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			if c == 0 && shift > 0 {
				return 0, s.errorf("a number is longer than it needs to be")
			}
			return int64(v), nil
		}
	}
	return 0, s.errorf("a number is longer than nine bytes")
}

// maxVLI is the largest variable-length integer.
const maxVLI = math.MaxInt64

// tryMore buffers at least one more byte if the input has one; the end of the input is no
// error.
func (s *source) tryMore() error {
	if err := s.more(1); err != io.EOF {
		return err
	}
	return nil
}

// readInto reads once into p: from the buffer if it holds bytes, else directly from the
// reader.
func (s *source) readInto(p []byte) (int, error) {
	if s.pos == s.end {
		for range maxEmptyReads {
			n, err := s.r.Read(p)
			s.base += int64(n)
			if n > 0 {
				return n, nil
			}
			if err == io.EOF {
				_, err = s.need(1) // returns the error for truncated data
			}
			if err != nil {
				return 0, err
			}
		}
		return 0, io.ErrNoProgress
	}
	n := copy(p, s.buf[s.pos:s.end])
	s.pos += n
	return n, nil
}
