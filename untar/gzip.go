package untar

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"lxc-pull/untar/deflate"
)

// Flags in the header of a gzip member (RFC 1952, section 2.3.1).
const (
	gzipHeaderCRC = 1 << 1
	gzipExtra     = 1 << 2
	gzipName      = 1 << 3
	gzipComment   = 1 << 4
	gzipReserved  = 0xe0 // a future version may add fields
)

// A gzipReader reads the members of a gzip file (RFC 1952, section 2.2). Names and comments
// have no limit in the RFC, and none here.
type gzipReader struct {
	_ [0]func() // forbids ==, whose code nothing needs
	trailing
	z      *deflate.Reader // of the content
	inside bool            // between a member's header and its trailer
	sum    uint32          // CRC-32 of the member's content so far
	size   uint32          // size of the member's content so far, modulo 2^32
	err    error           // returned by Read from now on
}

func newGzipReader(src *bufio.Reader, strict bool) *gzipReader {
	return &gzipReader{trailing: trailing{src: src, format: FormatGzip, strict: strict}}
}

// Read reads the content of all members.
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

// header reads a member's header (RFC 1952, section 2.3). It skips the optional fields piece
// by piece, so that they need no memory and no limit.
func (g *gzipReader) header() error {
	var fixed [10]byte
	if _, err := io.ReadFull(g.src, fixed[:]); err != nil {
		return gzipError(err)
	}
	const method = 8 // DEFLATE
	if fixed[0] != 0x1f || fixed[1] != 0x8b || fixed[2] != method {
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
		want := uint16(sum.Sum32()) // the lower 16 bits
		if _, err := io.ReadFull(g.src, two[:]); err != nil {
			return gzipError(err)
		}
		if binary.LittleEndian.Uint16(two[:]) != want {
			return errors.New("gzip: wrong checksum of a header")
		}
	}
	g.sum, g.size, g.inside = 0, 0, true
	if g.z == nil {
		g.z = deflate.NewReader(g.src)
	} else {
		g.z.Reset(g.src)
	}
	return nil
}

// trailer checks the trailer of a member. It returns nil if another member follows, and
// io.EOF at the end.
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
		return nil // if only "\x1f" is left, header returns io.ErrUnexpectedEOF
	}
	return g.rest(nil)
}

// gzipError adds the format to an error. The end of the input is unexpected here.
func gzipError(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("gzip: %w", err)
}
