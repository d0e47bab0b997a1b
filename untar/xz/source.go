package xz

import (
	"errors"
	"fmt"
	"io"
	"math"
)

// inputSize is the size of the input buffer: one LZMA2 chunk of 64 KiB, which
// must lie in one piece, and as much again so that reads are large.
const inputSize = 128 << 10

// maxEmptyReads is how often in a row a reader may give neither bytes nor an
// error.
const maxEmptyReads = 100

// A source is buffered input that knows its offset. A source without a reader
// has all its bytes in buf from the start, or waits for them to be put there.
type source struct {
	r        io.Reader
	wait     func(end int) (int, error) // for more than end bytes in buf: how many there are then
	buf      []byte                     // readable for inputSlack bytes behind end
	pos, end int
	base     int64 // offset of buf[0] in the stream
}

func newSource(r io.Reader) *source {
	return &source{r: r, buf: make([]byte, inputSize+inputSlack)}
}

// offset is the place of the next byte in the stream.
func (s *source) offset() int64 { return s.base + int64(s.pos) }

// errBlockEnd is the end of the bytes that a source waits for.
var errBlockEnd = errors.New("the block's data ends")

// more reads once, so that at least one byte more is buffered. The next n bytes
// will lie in one piece; n is at most inputSize.
func (s *source) more(n int) (err error) {
	if s.wait != nil {
		s.end, err = s.wait(s.end)
		return err
	}
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
			return nil // an error comes again
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// need buffers at least n bytes in one piece and returns them all. It is an
// error if there are fewer.
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

// next is need that also moves on.
func (s *source) next(n int) ([]byte, error) {
	b, err := s.need(n)
	if err != nil {
		return nil, err
	}
	s.pos += n
	return b[:n], nil
}

// errorf is a FormatError at the current place.
func (s *source) errorf(format string, args ...any) error {
	return &FormatError{Offset: s.offset(), Cause: fmt.Sprintf(format, args...)}
}

// vli reads a variable-length integer (xz file format, section 1.2): seven
// bits a byte, the lowest first, in as few bytes as it takes, at most nine. The
// bytes are added to sum, unless it is nil.
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

// atEnd tries to buffer a byte; at the end of the input it does nothing.
func (s *source) atEnd() error {
	if err := s.more(1); err != io.EOF {
		return err
	}
	return nil
}

// readInto reads once, past the buffer if that is empty.
func (s *source) readInto(p []byte) (int, error) {
	if s.pos == s.end {
		for range maxEmptyReads {
			n, err := s.r.Read(p)
			s.base += int64(n)
			if n > 0 {
				return n, nil
			}
			if err == io.EOF {
				_, err = s.need(1) // says so
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
