package squashfs

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"

	"github.com/klauspost/compress/zstd"

	"lxc-pull/untar/deflate"
	"lxc-pull/untar/xz"
)

// The numbers of compressors.
const (
	gzip      = 1 // zlib's format (RFC 1950), in spite of the name
	lzma      = 2
	lzo       = 3
	xzip      = 4
	lz4       = 5
	zstandard = 6
)

// compressorName returns mksquashfs's name of a compressor.
func compressorName(id uint) string {
	switch id {
	case gzip:
		return "gzip"
	case lzma:
		return "lzma"
	case lzo:
		return "lzo"
	case xzip:
		return "xz"
	case lz4:
		return "lz4"
	case zstandard:
		return "zstd"
	}
	return ""
}

const (
	errTooLong  = "a block has more content than it may"
	errZlib     = "bad zlib data"
	errChecksum = "the checksum of a zlib block is wrong"
)

// A decoder decodes blocks, one after the other, and keeps its memory between them.
type decoder struct {
	_          [0]func() // forbids ==, whose code nothing needs
	compressor uint
	most       int // bytes of content of a block
	packed     bytes.Reader
	in         *bufio.Reader // of packed
	deflate    *deflate.Reader
	zstd       *zstd.Decoder
	xz         *xz.Decoder
}

// close frees the memory.
func (d *decoder) close() {
	if d.zstd != nil {
		d.zstd.Close()
	}
	if d.xz != nil {
		d.xz.Close()
	}
}

// decode decodes a block to dst and returns its size. After its end packed has at least
// xz.DecoderSlack bytes of capacity.
func (d *decoder) decode(dst, packed []byte) (int, error) {
	switch d.compressor {
	case gzip:
		return d.inflate(dst, packed)
	case lz4:
		return decodeLZ4(dst, packed)
	case zstandard:
		return d.unzstd(dst, packed)
	}
	if d.xz == nil {
		d.xz = xz.NewDecoder(int64(d.most))
	}
	return d.xz.Decode(dst, packed, d.compressor == lzma)
}

// unzstd decodes zstd frames (RFC 8878).
func (d *decoder) unzstd(dst, packed []byte) (int, error) {
	if d.zstd == nil {
		// A window is a power of two, or the content's size; so it may be larger than the content.
		z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxWindow(2<<maxLog))
		if err != nil {
			return 0, err
		}
		d.zstd = z
	}
	out, err := d.zstd.DecodeAll(packed, dst[:0:len(dst)])
	if err != nil {
		return 0, textError("zstd: " + err.Error())
	}
	return len(out), nil
}

// inflate decodes a zlib stream (RFC 1950).
func (d *decoder) inflate(dst, packed []byte) (int, error) {
	const (
		method     = 8      // DEFLATE, with any window
		dictionary = 1 << 5 // a preset dictionary is needed
	)
	if len(packed) < 2+4 || packed[0]&0xf != method || packed[0]>>4 > 7 || packed[1]&dictionary != 0 || binary.BigEndian.Uint16(packed)%31 != 0 {
		return 0, textError(errZlib)
	}
	d.packed.Reset(packed[2:])
	if d.deflate == nil {
		d.in = bufio.NewReaderSize(&d.packed, 32<<10)
		d.deflate = deflate.NewReader(d.in)
	} else {
		d.in.Reset(&d.packed)
		d.deflate.Reset(d.in)
	}
	n, err := io.ReadFull(d.deflate, dst)
	if err == nil {
		var more [1]byte
		var k int
		for k == 0 && err == nil {
			k, err = d.deflate.Read(more[:])
		}
		if k > 0 {
			return 0, textError(errTooLong)
		}
	}
	if err != io.EOF && err != io.ErrUnexpectedEOF {
		return 0, textError(errZlib)
	}
	// deflate reports data that is cut off as io.ErrUnexpectedEOF, as ReadFull does content that
	// is shorter than dst. Only after a whole stream are the bytes of the checksum left.
	if d.packed.Len()+d.in.Buffered() != 4 {
		return 0, textError(errZlib)
	}
	if adler32(dst[:n]) != binary.BigEndian.Uint32(packed[len(packed)-4:]) {
		return 0, textError(errChecksum)
	}
	return n, nil
}

// adler32 returns the checksum of a zlib stream (RFC 1950, section 8.2).
func adler32(b []byte) uint32 {
	const (
		mod  = 65521 // the largest prime number below 65536
		most = 5552  // bytes after which the sums still fit 32 bits
	)
	s1, s2 := uint32(1), uint32(0)
	for len(b) > 0 {
		part := b[:min(len(b), most)]
		b = b[len(part):]
		for len(part) >= 4 {
			s1 += uint32(part[0])
			s2 += s1
			s1 += uint32(part[1])
			s2 += s1
			s1 += uint32(part[2])
			s2 += s1
			s1 += uint32(part[3])
			s2 += s1
			part = part[4:]
		}
		for _, c := range part {
			s1 += uint32(c)
			s2 += s1
		}
		s1 %= mod
		s2 %= mod
	}
	return s2<<16 | s1
}
