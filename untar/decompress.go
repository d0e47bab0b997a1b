package untar

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"

	"lxc-pull/untar/xz"
)

// The formats that Decompress recognizes.
const (
	FormatPlain = "plain"
	FormatXZ    = "xz"
	FormatLZMA  = "lzma"
	FormatGzip  = "gzip"
	FormatZstd  = "zstd"
	FormatBzip2 = "bzip2"
)

// DecompressOptions limit Decompress. The zero value uses defaults.
type DecompressOptions struct {
	_ [0]func() // forbids ==, whose code nothing needs
	// Memory is the limit for dictionary, window and block buffers in bytes; 0 is
	// xz.DefaultMemory(), and a negative number allows none.
	Memory int64
	// Overhead is the memory that the rest of the program takes, in bytes. The numbers of
	// an *xz.MemoryError include it, so that they are those of the whole program.
	Overhead int64
	Workers  int  // xz blocks to decode at the same time, no more than CPUs; 0: number of CPUs
	Strict   bool // refuse garbage after the end, even if the format's own tool ignores it
}

// whole changes the numbers of a decoder's *xz.MemoryError to those of the whole program.
func (o DecompressOptions) whole(err error) error {
	var short *xz.MemoryError
	if o.Overhead == 0 || !errors.As(err, &short) || short.Needed == 0 {
		return err
	}
	return &xz.MemoryError{Needed: short.Needed + o.Overhead, Allowed: o.Memory + o.Overhead}
}

// workers returns how many blocks to decode at the same time. More workers than processors
// need more memory and are not faster.
func (o DecompressOptions) workers() int { return min(o.Workers, runtime.GOMAXPROCS(0)) }

// A Decompressed is the uncompressed content of a stream. Close frees its memory and does
// not close the input.
type Decompressed struct {
	Format   string // one of the Format constants
	opt      DecompressOptions
	r        io.Reader
	close    func() error // nil: nothing to free
	trailing *trailing    // nil if the format allows no garbage after the end
}

// formatPeek is the number of bytes that detectFormat needs: a .lzma header and the byte
// after it.
const formatPeek = 14

// Decompress recognizes the compression of r by its first bytes and returns the uncompressed
// stream. It returns other input, including an empty stream, unchanged. If a stream of any
// format needs more memory than opt allows, the error of Decompress or Read is an
// *xz.MemoryError.
//
// Decompress reads everything that a format's own tool reads: several members, streams or
// frames, padding, and skippable frames. Other bytes after the end are an error for xz, lzma
// and zstd. For gzip and bzip2 they are ignored, as their tools do, and Garbage reports
// them. Decompress and Read read the input only while they run, and to its end before Read
// returns io.EOF.
func Decompress(r io.Reader, opt DecompressOptions) (*Decompressed, error) {
	if opt.Memory == 0 {
		opt.Memory = xz.DefaultMemory()
	}
	br := bufio.NewReaderSize(r, 64<<10)
	head, err := br.Peek(formatPeek)
	if err != nil && err != io.EOF {
		return nil, err
	}
	d := &Decompressed{Format: detectFormat(head), opt: opt}
	limit := max(opt.Memory, 1)
	switch d.Format {
	case FormatXZ:
		x, err := xz.NewReader(br, xz.Options{Memory: limit, Workers: opt.workers()})
		if err != nil {
			return nil, opt.whole(err)
		}
		d.r, d.close = x, x.Close
	case FormatLZMA:
		x, err := xz.NewAloneReader(br, xz.Options{Memory: limit})
		if err != nil {
			return nil, opt.whole(err)
		}
		d.r, d.close = x, x.Close
	case FormatGzip:
		g := newGzipReader(br, opt.Strict)
		d.r, d.trailing = g, &g.trailing
	case FormatZstd:
		z, err := newZstdReader(br, limit)
		if err != nil {
			return nil, opt.whole(err)
		}
		d.r, d.close = z, z.Close
	case FormatBzip2:
		b := newBzip2Reader(br, opt.Strict)
		d.r, d.trailing = b, &b.trailing
	default:
		d.r = br
	}
	return d, nil
}

// Read reads uncompressed bytes.
func (d *Decompressed) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	if err != nil && err != io.EOF {
		err = d.opt.whole(err)
	}
	return n, err
}

// WriteTo writes the rest of the content to w.
func (d *Decompressed) WriteTo(w io.Writer) (int64, error) {
	n, err := io.Copy(w, d.r)
	return n, d.opt.whole(err)
}

// Garbage reports whether bytes after the end were ignored; zero bytes do not count. It is
// valid after Read has returned io.EOF.
func (d *Decompressed) Garbage() bool { return d.trailing != nil && d.trailing.garbage }

// Close frees the decoder's memory. Do not call Read afterwards.
func (d *Decompressed) Close() error {
	if d.close == nil {
		return nil
	}
	return d.close()
}

// detectFormat returns the format of a stream that begins with head.
func detectFormat(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
		return FormatXZ
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return FormatGzip
	case isZstdFrame(head), isSkippableFrame(head):
		return FormatZstd
	case len(head) >= 4 && bytes.HasPrefix(head, []byte("BZh")) && '1' <= head[3] && head[3] <= '9':
		return FormatBzip2
	case xz.IsAlone(head):
		return FormatLZMA
	}
	return FormatPlain
}

// Unsupported returns the name of a format that Decompress and the parser do not support, if
// data in that format begins with head; else "". The first name of a tar archive may look
// like such data, so call Unsupported only for input that is not a tar archive.
func Unsupported(head []byte) string {
	for _, f := range []struct{ magic, name string }{
		{"\x04\x22\x4d\x18", "lz4-compressed"},
		{"\x02\x21\x4c\x18", "lz4-compressed"}, // legacy frame
		{"\x1f\x9d", "compressed by compress (.Z)"},
		{"\x1f\x1e", "compressed by pack (.z)"},
		{"LZIP", "lzip-compressed"},
		{"\x89LZO\x00\r\n\x1a\n", "lzop-compressed"},
		{"7z\xbc\xaf\x27\x1c", "a 7z archive"},
		{"Rar!\x1a\x07", "a rar archive"},
		{"PK\x03\x04", "a zip archive"},
		{"PK\x05\x06", "a zip archive"}, // empty
		{"070701", "a cpio archive"},
		{"070702", "a cpio archive"},
		{"070707", "a cpio archive"},
		{"!<arch>\n", "an ar archive or Debian package"},
		{"hsqs", "a squashfs image"},
		{"QFI\xfb", "a qcow2 disk image"},
	} {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			return f.name
		}
	}
	if len(head) >= 4 && string(head[1:4]) == "\xb5\x2f\xfd" && 0x22 <= head[0] && head[0] <= 0x27 {
		return "compressed by zstd before 0.8"
	}
	return ""
}

// A trailing reads the bytes after compressed data, in a format whose own tool ignores them.
// Zero bytes are padding, as left by tapes and dd(1); gzip(1) does not mention them. Other
// bytes are garbage, and the tools warn.
type trailing struct {
	_       [0]func() // forbids ==, whose code nothing needs
	src     *bufio.Reader
	format  string
	strict  bool // return an error for garbage
	garbage bool // garbage was found
	ahead   int  // bytes of src that were peeked at, but not yet discarded
}

// rest reads the rest of the input. read are bytes that were read already. It returns
// io.EOF, or an error of the input or for garbage.
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
			return err
		}
		t.ahead = t.src.Buffered()
		read, _ = t.src.Peek(t.ahead)
	}
}

// noEOF turns io.EOF in the middle of data into io.ErrUnexpectedEOF.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
