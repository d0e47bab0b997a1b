package untar

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"lxc-pull/untar/xz"
)

// Formats that Decompress tells apart.
const (
	FormatPlain = "plain"
	FormatXZ    = "xz"
	FormatLZMA  = "lzma"
	FormatGzip  = "gzip"
	FormatZstd  = "zstd"
	FormatBzip2 = "bzip2"
)

// DecompressOptions limit what Decompress may use. The zero value is useful.
type DecompressOptions struct {
	Memory  int64 // bytes of dictionary, window and block buffers; 0: xz.DefaultMemory()
	Workers int   // xz blocks decoded side by side at most; 0: number of CPUs
}

// Decompressed is the uncompressed content of a stream. Close frees its memory
// and leaves the input open.
type Decompressed struct {
	Format string // one of the Format constants
	r      io.Reader
	close  func() error // nil: nothing to free
}

// formatPeek is how many bytes detectFormat looks at: a .lzma header and the
// first byte after it.
const formatPeek = 14

// Decompress recognises how r is compressed by its first bytes and returns the
// uncompressed stream; what it does not recognise, the empty stream included,
// it returns as it is. A stream that needs more memory than opt allows is an
// *xz.MemoryError, whatever the format, from here or from Read.
//
// Of each format all is read that its own tool reads: several members or
// frames in a row, padding, skippable frames. Anything else after the end is an
// error. The input is read only within Decompress and Read, and to its end
// before Read says io.EOF.
func Decompress(r io.Reader, opt DecompressOptions) (*Decompressed, error) {
	if opt.Memory == 0 {
		opt.Memory = xz.DefaultMemory()
	}
	br := bufio.NewReaderSize(r, 64<<10)
	head, err := br.Peek(formatPeek)
	if err != nil && err != io.EOF {
		return nil, err
	}
	d := &Decompressed{Format: detectFormat(head)}
	switch d.Format {
	case FormatXZ:
		x, err := xz.NewReader(br, xz.Options{Memory: opt.Memory, Workers: opt.Workers})
		if err != nil {
			return nil, err
		}
		d.r, d.close = x, x.Close
	case FormatLZMA:
		x, err := xz.NewAloneReader(br, xz.Options{Memory: opt.Memory})
		if err != nil {
			return nil, err
		}
		d.r, d.close = x, x.Close
	case FormatGzip:
		d.r, err = newGzipReader(br)
		if err != nil {
			return nil, err
		}
	case FormatZstd:
		z, err := newZstdReader(br, opt.Memory)
		if err != nil {
			return nil, err
		}
		d.r, d.close = z, z.Close
	case FormatBzip2:
		d.r = &namedErrors{"bzip2", bzip2.NewReader(br)}
	default:
		d.r = br
	}
	return d, nil
}

// Read reads uncompressed bytes.
func (d *Decompressed) Read(p []byte) (int, error) { return d.r.Read(p) }

// WriteTo writes all that is left to w.
func (d *Decompressed) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, d.r) }

// Close frees the decoder's memory. Read must not be called afterwards.
func (d *Decompressed) Close() error {
	if d.close == nil {
		return nil
	}
	return d.close()
}

// detectFormat names the format of a stream that begins with head.
func detectFormat(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
		return FormatXZ
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return FormatGzip
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}), isSkippableFrame(head):
		return FormatZstd
	case len(head) >= 4 && bytes.HasPrefix(head, []byte("BZh")) && '1' <= head[3] && head[3] <= '9':
		return FormatBzip2
	case xz.IsAlone(head):
		return FormatLZMA
	}
	return FormatPlain
}

// isSkippableFrame reports a Zstandard skippable frame (RFC 8878, section
// 3.1.2), which may stand before the first frame with content.
func isSkippableFrame(head []byte) bool {
	return len(head) >= 4 && binary.LittleEndian.Uint32(head)&^0xf == 0x184d2a50
}

// namedErrors puts the format's name before the errors of a decoder that does
// not say it.
type namedErrors struct {
	name string
	r    io.Reader
}

func (n *namedErrors) Read(p []byte) (int, error) {
	k, err := n.r.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%s: %w", n.name, err)
	}
	return k, err
}

// A gzipReader reads the members of a gzip file (RFC 1952, section 2.2) and
// zeros after the last one, as gzip(1) does: tapes and some upload tools pad.
type gzipReader struct {
	src *bufio.Reader
	z   *gzip.Reader
}

func newGzipReader(src *bufio.Reader) (*gzipReader, error) {
	if err := checkGzipFlags(src); err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(src)
	if err != nil {
		return nil, gzipError(err)
	}
	z.Multistream(false)
	return &gzipReader{src, z}, nil
}

func (g *gzipReader) Read(p []byte) (int, error) {
	for {
		n, err := g.z.Read(p)
		if err == nil || n > 0 {
			return n, nil
		}
		if err != io.EOF {
			return 0, gzipError(err)
		}
		if err := g.next(); err != nil {
			return 0, err
		}
	}
}

// next goes on to the next member; io.EOF where there is none.
func (g *gzipReader) next() error {
	b, err := g.src.Peek(1)
	if err != nil {
		return err
	}
	if b[0] == 0 {
		return g.padding()
	}
	if b, err := g.src.Peek(2); err == nil && (b[0] != 0x1f || b[1] != 0x8b) {
		return errGzipGarbage
	}
	if err := checkGzipFlags(g.src); err != nil {
		return err
	}
	if err := g.z.Reset(g.src); err != nil {
		return gzipError(err)
	}
	g.z.Multistream(false)
	return nil
}

// checkGzipFlags refuses a member with flags that are reserved (RFC 1952,
// section 2.3.1.2: they may mean further fields), which the decoder ignores.
func checkGzipFlags(src *bufio.Reader) error {
	const flags, reserved = 3, 0xe0
	if b, err := src.Peek(flags + 1); err == nil && b[flags]&reserved != 0 {
		return fmt.Errorf("gzip: reserved flags 0x%02x", b[flags]&reserved)
	}
	return nil
}

var errGzipGarbage = errors.New("gzip: garbage after the last member")

// padding reads zeros to the end.
func (g *gzipReader) padding() error {
	for {
		c, err := g.src.ReadByte()
		if err != nil {
			return err
		}
		if c != 0 {
			return errGzipGarbage
		}
	}
}

func gzipError(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("gzip: %w", err)
}

// A zstdReader decodes Zstandard frames with a bounded window.
type zstdReader struct {
	z     *zstd.Decoder
	limit int64
}

func newZstdReader(src *bufio.Reader, limit int64) (*zstdReader, error) {
	head, err := src.Peek(zstd.HeaderMaxSize)
	if err != nil && err != io.EOF {
		return nil, err
	}
	// The decoder does not say how large the window is that it refuses.
	var h zstd.Header
	if h.Decode(head) == nil && !h.Skippable {
		need := h.WindowSize
		if h.SingleSegment {
			need = h.FrameContentSize
		}
		if need > uint64(limit) {
			return nil, &xz.MemoryError{Needed: int64(min(need, 1<<62)), Allowed: limit}
		}
	}
	// One goroutine: the decoder then reads only within Read, and takes less
	// memory and CPU (docs/xz.md has figures).
	z, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(uint64(max(limit, zstd.MinWindowSize))))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return &zstdReader{z, limit}, nil
}

func (z *zstdReader) Read(p []byte) (int, error) {
	n, err := z.z.Read(p)
	return n, z.error(err)
}

func (z *zstdReader) WriteTo(w io.Writer) (int64, error) {
	sink := &sink{w: w}
	n, err := z.z.WriteTo(sink)
	if sink.err != nil {
		return n, sink.err
	}
	return n, z.error(err)
}

// A sink remembers w's error, which is none of the decoder's.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.err = err
	return n, err
}

func (z *zstdReader) error(err error) error {
	switch {
	case err == nil || err == io.EOF:
		return err
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		return &xz.MemoryError{Allowed: z.limit}
	}
	return fmt.Errorf("zstd: %w", err)
}

func (z *zstdReader) Close() error {
	z.z.Close()
	return nil
}
