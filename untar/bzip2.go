package untar

import (
	"bufio"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
)

// A bzip2Reader reads the streams of a bzip2 file. The library expects another stream after
// each stream: it reads two bytes and fails unless they are "BZ". The reader has to tell
// this error from damage. So it is itself the source of the library: it remembers the last
// two bytes that the library read, and it adds two zero bytes at the end of the file, so
// that the library can always read two bytes.
type bzip2Reader struct {
	_ [0]func() // forbids ==, whose code nothing needs
	trailing
	z     io.Reader
	added int     // zero bytes after the end that the library read
	last  [2]byte // the last two bytes that the library read
	err   error   // returned by Read from now on
}

func newBzip2Reader(src *bufio.Reader, strict bool) *bzip2Reader {
	b := &bzip2Reader{trailing: trailing{src: src, format: FormatBzip2, strict: strict}}
	b.z = bzip2.NewReader(bzip2Source{b})
	return b
}

// Errors of the library if no stream follows a stream: "BZ", "h" or the level is missing.
// bzip2(1) treats all three as garbage.
const (
	bzip2NoBZ    = bzip2.StructuralError("bad magic value in continuation file")
	bzip2NoH     = bzip2.StructuralError("non-Huffman entropy encoding")
	bzip2NoLevel = bzip2.StructuralError("invalid compression level")
)

// Read reads the content of all streams.
func (b *bzip2Reader) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.z.Read(p)
	b.err = b.verdict(err)
	return n, b.err
}

// verdict returns what an error of the library means.
func (b *bzip2Reader) verdict(err error) error {
	if err == nil {
		return nil
	}
	// Decompress has checked the magic bytes of the first stream, so these errors can only
	// come from a later one.
	var structural bzip2.StructuralError
	switch errors.As(err, &structural); {
	case structural == bzip2NoBZ && (b.added == 0 || b.last[0] != 'B'):
		return b.rest(b.last[:])
	case b.added > 0:
		err = io.ErrUnexpectedEOF
	case structural == bzip2NoH, structural == bzip2NoLevel:
		return b.rest([]byte("BZ"))
	}
	return fmt.Errorf("bzip2: %w", err)
}

// A bzip2Source is the source of the library. The library uses ReadByte, and so never reads
// too many bytes.
type bzip2Source struct{ b *bzip2Reader }

func (s bzip2Source) ReadByte() (byte, error) {
	c, err := s.b.src.ReadByte()
	if err == io.EOF {
		if s.b.added == len(s.b.last) {
			return 0, io.ErrUnexpectedEOF
		}
		s.b.added++
		c, err = 0, nil
	}
	s.b.last = [2]byte{s.b.last[1], c}
	return c, err
}

func (s bzip2Source) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c, err := s.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = c
	return 1, nil
}
