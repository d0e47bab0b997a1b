package untar

import (
	"fmt"
	"io"
)

// bufferSize is the size of a read in bytes. 128 KiB is twice the size of a pipe, and stays
// in the CPU cache between read and write.
const bufferSize = 128 << 10

// maxTail is how many bytes may follow the end of a strict archive. Tools fill the last record,
// of 10 KiB; a few compressed bytes could be zeros that take hours to decompress.
const maxTail = 64 << 20

var errLongTail error = textError("more than 64 MiB follow the archive's end")

// A FormatError means that an archive is damaged, cut off or not allowed.
type FormatError struct {
	_      [0]func() // forbids ==, whose code nothing needs
	Offset int64     // of the bad block in the uncompressed archive, in bytes
	Cause  error
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("bad archive at byte %d: %v", e.Offset, e.Cause)
}

func (e *FormatError) Unwrap() error { return e.Cause }

// A textError is an error that is only its text. Unlike errors.New, it takes no code when the
// program starts.
type textError string

func (e textError) Error() string { return string(e) }

// A stream reads an archive as a sequence of entries and their bodies.
type stream struct {
	r      io.Reader
	parser parser
	buf    []byte
	lo, hi int   // buf[lo:hi] is read and not yet taken
	off    int64 // bytes of the archive taken so far
	body   int64 // bytes of the current body not yet taken
	pad    int64 // bytes of padding after the body
	ended  bool  // r returned io.EOF
}

// An entries is a sequence of files with their contents: those of an archive (stream), of a
// squashfs image or of a directory.
type entries interface {
	// next skips the rest of the current entry and returns the next one, or io.EOF after the last.
	next() (*Entry, error)
	// chunk returns the next part of the current entry's content that is stored (all of it but
	// holes), at least one and at most max bytes, or io.EOF at its end.
	chunk(max int64) ([]byte, error)
	// fail returns the error for the current entry that says why it is refused.
	fail(cause error) error
}

// newStream returns a stream that reads r.
func newStream(r io.Reader, strict, vouched bool) *stream {
	return &stream{r: r, parser: parser{strictness: strictness{strict: strict, vouched: vouched}}, buf: make([]byte, bufferSize)}
}

// fill reads until at least n bytes are buffered. It returns io.EOF if the input ends before
// that.
func (s *stream) fill(n int) error {
	if s.hi-s.lo >= n {
		return nil
	}
	copy(s.buf, s.buf[s.lo:s.hi])
	s.lo, s.hi = 0, s.hi-s.lo
	for idle := 0; s.hi < n; {
		if s.ended {
			return io.EOF
		}
		k, err := s.r.Read(s.buf[s.hi:])
		s.hi += k
		switch {
		case err == io.EOF:
			s.ended = true
		case err != nil:
			return err
		case k == 0:
			if idle++; idle == 100 {
				return io.ErrNoProgress
			}
		default:
			idle = 0
		}
	}
	return nil
}

// take returns the next n buffered bytes.
func (s *stream) take(n int) []byte {
	b := s.buf[s.lo : s.lo+n]
	s.lo += n
	s.off += int64(n)
	return b
}

// bad returns a FormatError for the block at an offset.
func (s *stream) bad(at int64, cause error) error {
	return &FormatError{Offset: at, Cause: cause}
}

func (s *stream) fail(cause error) error { return s.bad(s.off, cause) }

// next skips the rest of the current entry and reads the next one. At the archive's end it
// reads the input to its end, so that a digest below it covers every byte, and returns
// io.EOF.
func (s *stream) next() (*Entry, error) {
	if err := s.discard(s.body); err != nil {
		return nil, err
	}
	if err := s.discard(s.pad); err != nil {
		if s.ended && s.parser.layer && s.parser.vouched {
			return nil, io.EOF // "umoci insert" neither ends an archive nor fills its last block
		}
		return nil, err
	}
	s.body, s.pad = 0, 0
	for {
		switch err := s.fill(blockSize); {
		case err == io.EOF:
			if err := s.parser.eof(s.buf[s.lo:s.hi]); err != nil {
				return nil, s.bad(s.off, err)
			}
			return nil, io.EOF
		case err != nil:
			return nil, err
		}
		at := s.off
		ev, err := s.parser.feed(s.take(blockSize))
		if err != nil {
			return nil, s.bad(at, err)
		}
		switch ev {
		case gotEntry:
			s.body = s.parser.entry.stored
			s.pad = -s.body & (blockSize - 1)
			return &s.parser.entry, nil
		case skipBody:
			n := s.parser.skip
			if err := s.discard(n); err != nil {
				return nil, err
			}
			if err := s.discard(-n & (blockSize - 1)); err != nil {
				return nil, err
			}
		case end:
			return nil, s.drain()
		}
	}
}

// chunk returns the next part of the current body, at least one and at most max bytes, or
// io.EOF at its end. It fills the buffer at least half, even if the input arrives in small
// pieces.
func (s *stream) chunk(max int64) ([]byte, error) {
	n := min(s.body, max)
	if n == 0 {
		return nil, io.EOF
	}
	if err := s.fill(int(min(n, bufferSize/2))); err != nil {
		if err == io.EOF {
			err = s.bad(s.off+int64(s.hi-s.lo), errTruncated)
		}
		return nil, err
	}
	b := s.take(int(min(n, int64(s.hi-s.lo))))
	s.body -= int64(len(b))
	return b, nil
}

// discard skips n bytes.
func (s *stream) discard(n int64) error {
	for n > 0 {
		if err := s.fill(1); err != nil {
			if err == io.EOF {
				err = s.bad(s.off, errTruncated)
			}
			return err
		}
		n -= int64(len(s.take(int(min(n, int64(s.hi-s.lo))))))
	}
	return nil
}

// drain reads the input to its end. It returns io.EOF if it succeeds.
func (s *stream) drain() error {
	end := s.off
	for {
		s.off += int64(s.hi - s.lo)
		s.lo, s.hi = 0, 0
		if s.parser.strict && s.off-end > maxTail {
			return s.bad(end, errLongTail)
		}
		if err := s.fill(1); err != nil {
			return err
		}
	}
}
