package untar

import (
	"bufio"
	"bytes"
	"io"

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
	Strict  bool  // garbage after the end is an error also where the format's own tool ignores it
}

// Decompressed is the uncompressed content of a stream. Close frees its memory
// and leaves the input open.
type Decompressed struct {
	Format   string // one of the Format constants
	r        io.Reader
	close    func() error // nil: nothing to free
	trailing *trailing    // of formats that may have garbage after the end
}

// formatPeek is how many bytes detectFormat looks at: a .lzma header and the
// first byte after it.
const formatPeek = 14

// Decompress recognises how r is compressed by its first bytes and returns the
// uncompressed stream; what it does not recognise, the empty stream included,
// it returns as it is. A stream that needs more memory than opt allows is an
// *xz.MemoryError, whatever the format, from here or from Read.
//
// Of each format all is read that its own tool reads: several members, streams
// or frames in a row, padding, skippable frames. What else follows the end is an
// error for xz, lzma and zstd; for gzip and bzip2 it is passed over, as their
// tools do, and Garbage tells. The input is read only within Decompress and
// Read, and to its end before Read says io.EOF.
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
		g := newGzipReader(br, opt.Strict)
		d.r, d.trailing = g, &g.trailing
	case FormatZstd:
		z, err := newZstdReader(br, opt.Memory)
		if err != nil {
			return nil, err
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
func (d *Decompressed) Read(p []byte) (int, error) { return d.r.Read(p) }

// WriteTo writes all that is left to w.
func (d *Decompressed) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, d.r) }

// Garbage reports, once Read has said io.EOF, that bytes followed the end which
// were ignored. Zeros are none.
func (d *Decompressed) Garbage() bool { return d.trailing != nil && d.trailing.garbage }

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
	case isZstdFrame(head), isSkippableFrame(head):
		return FormatZstd
	case len(head) >= 4 && bytes.HasPrefix(head, []byte("BZh")) && '1' <= head[3] && head[3] <= '9':
		return FormatBzip2
	case xz.IsAlone(head):
		return FormatLZMA
	}
	return FormatPlain
}

// Unsupported names the format of data that begin with head where that is one
// that Decompress and the parser don't read, else "". A tar archive may begin
// with any of these, as its first name does, so ask after it proved to be none.
func Unsupported(head []byte) string {
	for _, f := range []struct{ magic, name string }{
		{"\x04\x22\x4d\x18", "lz4-compressed"},
		{"\x02\x21\x4c\x18", "lz4-compressed"}, // the legacy frame
		{"\x1f\x9d", "compressed by compress (.Z)"},
		{"\x1f\x1e", "compressed by pack (.z)"},
		{"LZIP", "lzip-compressed"},
		{"\x89LZO\x00\r\n\x1a\n", "lzop-compressed"},
		{"7z\xbc\xaf\x27\x1c", "a 7z archive"},
		{"Rar!\x1a\x07", "a rar archive"},
		{"PK\x03\x04", "a zip archive"},
		{"PK\x05\x06", "a zip archive"}, // an empty one
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
