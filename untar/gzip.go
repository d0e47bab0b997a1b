package untar

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/flate"
)

// Flags of a gzip member's header (RFC 1952, section 2.3.1).
const (
	gzipHeaderCRC = 1 << 1
	gzipExtra     = 1 << 2
	gzipName      = 1 << 3
	gzipComment   = 1 << 4
	gzipReserved  = 0xe0 // may mean further fields
)

// A gzipReader reads the members of a gzip file (RFC 1952, section 2.2). The
// headers and trailers are read here: the library refuses names and comments of
// 512 bytes and more, for which the RFC has no limit.
type gzipReader struct {
	trailing
	z      io.ReadCloser // inflates the members
	inside bool          // a header has been read, and not yet its member's end
	sum    uint32        // of the member's content so far
	size   uint32        // of the member's content so far, modulo 2^32
	err    error         // Read ended with it
}

func newGzipReader(src *bufio.Reader, strict bool) *gzipReader {
	return &gzipReader{trailing: trailing{src: src, format: FormatGzip, strict: strict}}
}

// Read reads the content of all members, one after another.
func (g *gzipReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for g.err == nil {
		if !g.inside {
			g.err = g.header()
			continue
		}
		n, err := g.z.Read(p)
		g.sum = crc32.Update(g.sum, crc32.IEEETable, p[:n])
		g.size += uint32(n)
		if err == io.EOF {
			err = g.trailer()
		} else if err != nil {
			err = gzipError(err)
		}
		g.err = err
		if n > 0 {
			return n, nil
		}
	}
	return 0, g.err
}

// header reads a member's header (RFC 1952, section 2.3). Its fields are passed
// over as they come, so that none needs memory or a limit.
func (g *gzipReader) header() error {
	var fixed [10]byte
	if _, err := io.ReadFull(g.src, fixed[:]); err != nil {
		return gzipError(err)
	}
	const deflate = 8
	if fixed[0] != 0x1f || fixed[1] != 0x8b || fixed[2] != deflate {
		return fmt.Errorf("gzip: unknown compression method %d", fixed[2])
	}
	flags := fixed[3]
	if flags&gzipReserved != 0 {
		return fmt.Errorf("gzip: reserved flags 0x%02x", flags&gzipReserved)
	}
	sum := crc32.NewIEEE()
	sum.Write(fixed[:])
	var two [2]byte
	if flags&gzipExtra != 0 {
		if _, err := io.ReadFull(g.src, two[:]); err != nil {
			return gzipError(err)
		}
		sum.Write(two[:])
		if _, err := io.CopyN(sum, g.src, int64(binary.LittleEndian.Uint16(two[:]))); err != nil {
			return gzipError(err)
		}
	}
	for _, field := range []byte{gzipName, gzipComment} {
		for more := flags&field != 0; more; {
			b, err := g.src.ReadSlice(0)
			sum.Write(b)
			if err != nil && err != bufio.ErrBufferFull {
				return gzipError(err)
			}
			more = err != nil
		}
	}
	if flags&gzipHeaderCRC != 0 {
		want := uint16(sum.Sum32()) // the lower half
		if _, err := io.ReadFull(g.src, two[:]); err != nil {
			return gzipError(err)
		}
		if binary.LittleEndian.Uint16(two[:]) != want {
			return errors.New("gzip: wrong checksum of a header")
		}
	}
	g.sum, g.size, g.inside = 0, 0, true
	if g.z == nil {
		g.z = flate.NewReader(g.src)
		return nil
	}
	return g.z.(flate.Resetter).Reset(g.src, nil)
}

// trailer checks the end of a member and finds out what follows: nil where that
// is another member, io.EOF where none does.
func (g *gzipReader) trailer() error {
	var b [8]byte
	if _, err := io.ReadFull(g.src, b[:]); err != nil {
		return gzipError(err)
	}
	if binary.LittleEndian.Uint32(b[:]) != g.sum || binary.LittleEndian.Uint32(b[4:]) != g.size {
		return errors.New("gzip: wrong checksum or size of the content")
	}
	g.inside = false
	next, err := g.src.Peek(2)
	if string(next) == "\x1f\x8b" || string(next) == "\x1f" && err == io.EOF {
		return nil // in the latter case, cut off
	}
	return g.rest(nil)
}

func gzipError(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("gzip: %w", err)
}

// A trailing reads what follows compressed data in a format whose own tool
// ignores it. Zeros are padding, as tapes and dd(1) leave; gzip(1) says nothing
// of them. Anything else is garbage: both tools warn.
type trailing struct {
	src     *bufio.Reader
	format  string
	strict  bool // garbage is an error
	garbage bool // there was some
	ahead   int  // bytes of src that are looked at and not yet taken
}

// rest reads all that is left, after the bytes in read. It returns io.EOF, or
// what is wrong.
func (t *trailing) rest(read []byte) error {
	for {
		for _, c := range read {
			t.garbage = t.garbage || c != 0
		}
		if t.garbage && t.strict {
			return fmt.Errorf("%s: garbage after the end", t.format)
		}
		t.src.Discard(t.ahead)
		if _, err := t.src.Peek(1); err != nil {
			return err // io.EOF, or the input's
		}
		t.ahead = t.src.Buffered()
		read, _ = t.src.Peek(t.ahead)
	}
}
