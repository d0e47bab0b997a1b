package untar

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/klauspost/compress/zstd"

	"lxc-pull/untar/xz"
)

// A zstdReader decodes Zstandard frames with a bounded window.
type zstdReader struct {
	frames zstdFrames
	z      *zstd.Decoder
}

// newZstdReader returns a reader of src. Windows of more than limit bytes are an
// *xz.MemoryError.
func newZstdReader(src *bufio.Reader, limit int64) (*zstdReader, error) {
	// Stay below the limits of the library, which stores sizes in an int.
	limit = min(limit, math.MaxInt>>1, 1<<41)
	z := &zstdReader{frames: zstdFrames{src: src, limit: limit}}
	// Read the first header now, so that a window that is too large is an error before any
	// content is decoded.
	if err := z.frames.next(); err != nil && err != io.EOF {
		return nil, z.error(err)
	}
	// Without goroutines the decoder reads its input only during Read, and needs less memory
	// and CPU time (docs/xz.md has figures).
	var err error
	z.z, err = zstd.NewReader(&z.frames, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(uint64(max(limit, zstd.MinWindowSize))))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return z, nil
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

// A sink remembers an error of w, which must not be reported as the decoder's.
type sink struct {
	_   [0]func() // forbids ==, whose code nothing needs
	w   io.Writer
	err error
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.err = err
	return n, err
}

// error adds the format to an error of the decoder. If zstdFrames has failed it returns that
// error, since the decoder mistakes some of these errors for the end of the input.
func (z *zstdReader) error(err error) error {
	if err != nil && z.frames.err != nil {
		err = z.frames.err
	}
	var memory *xz.MemoryError
	if err == nil || err == io.EOF || errors.As(err, &memory) {
		return err
	}
	return fmt.Errorf("zstd: %w", err)
}

func (z *zstdReader) Close() error {
	z.z.Close()
	return nil
}

// zstdFrames passes the frames of a file (RFC 8878, section 3.1) to the decoder, without
// skippable frames. It parses their structure, because the decoder does not tell how large a
// window it refuses, which dictionary is missing, or that garbage follows a frame.
type zstdFrames struct {
	_     [0]func() // forbids ==, whose code nothing needs
	src   *bufio.Reader
	limit int64 // largest window, in bytes
	left  int64 // bytes of the current part still to pass on

	part     zstdPart // the kind of the next part
	checksum bool     // a checksum follows the frame's last block
	err      error    // returned by Read from now on
}

// A zstdPart is a part of a frame.
type zstdPart uint8

const (
	zstdFrame zstdPart = iota
	zstdBlock
	zstdChecksum
)

func (z *zstdFrames) Read(p []byte) (int, error) {
	for z.left == 0 && z.err == nil {
		z.err = z.next()
	}
	if z.err != nil {
		return 0, z.err
	}
	n, err := z.src.Read(p[:min(int64(len(p)), z.left)])
	z.left -= int64(n)
	z.err = noEOF(err)
	return n, z.err
}

// next finds the length of the next part: a frame's header, a block or a checksum. After the
// last frame it returns io.EOF.
func (z *zstdFrames) next() error {
	switch z.part {
	case zstdChecksum:
		z.left, z.part = 4, zstdFrame
		return nil
	case zstdFrame:
		return z.frame()
	}
	b, err := z.peek(3) // RFC 8878, section 3.1.1.2
	if err != nil {
		return err
	}
	head := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
	z.left = 3 + int64(head>>3)
	const repeated = 1
	if head>>1&3 == repeated {
		z.left = 3 + 1
	}
	if head&1 != 0 { // last block of the frame
		if z.part = zstdFrame; z.checksum {
			z.part = zstdChecksum
		}
	}
	return nil
}

// frame skips skippable frames and parses the header of the next frame (RFC 8878, section
// 3.1.1.1).
func (z *zstdFrames) frame() error {
	for {
		b, err := z.src.Peek(4)
		switch {
		case err == io.EOF && len(b) == 0:
			return io.EOF
		case err != nil && err != io.EOF:
			return err
		case isSkippableFrame(b):
			if b, err = z.peek(8); err != nil {
				return err
			}
			size := int64(binary.LittleEndian.Uint32(b[4:]))
			if _, err := io.CopyN(io.Discard, z.src, 8+size); err != nil {
				return noEOF(err)
			}
			continue
		case !isZstdFrame(b):
			return errors.New("garbage after the last frame")
		}
		break
	}
	b, err := z.peek(5)
	if err != nil {
		return err
	}
	flags := b[4]
	single := flags & (1 << 5) >> 5
	// Sizes of the fields in bytes: window, dictionary ID, content size.
	window := int(1 - single)
	dictionary := [4]int{0, 1, 2, 4}[flags&3]
	content := [4]int{int(single), 2, 4, 8}[flags>>6]
	size := 5 + window + dictionary + content
	if b, err = z.peek(size); err != nil {
		return err
	}
	field := func(at, n int) uint64 {
		var v [8]byte
		copy(v[:], b[at:at+n])
		return binary.LittleEndian.Uint64(v[:])
	}
	if id := field(5+window, dictionary); id != 0 {
		return fmt.Errorf("it needs the dictionary %d, which is not supported", id)
	}
	need := field(5+window+dictionary, content)
	if content == 2 {
		need += 256
	}
	if single == 0 {
		base := uint64(1) << (10 + b[5]>>3)
		need = base + base/8*uint64(b[5]&7)
	}
	if need > uint64(z.limit) {
		return &xz.MemoryError{Needed: int64(min(need, 1<<62)), Allowed: z.limit}
	}
	z.checksum = flags&(1<<2) != 0
	z.left, z.part = int64(size), zstdBlock
	return nil
}

// peek returns the next n bytes of a frame without reading them.
func (z *zstdFrames) peek(n int) ([]byte, error) {
	b, err := z.src.Peek(n)
	return b, noEOF(err)
}

// isZstdFrame reports whether head is the beginning of a frame with content.
func isZstdFrame(head []byte) bool {
	return len(head) >= 4 && binary.LittleEndian.Uint32(head) == 0xfd2fb528
}

// isSkippableFrame reports whether head is the beginning of a skippable frame (RFC 8878,
// section 3.1.2). A file may begin with one.
func isSkippableFrame(head []byte) bool {
	return len(head) >= 4 && binary.LittleEndian.Uint32(head)&^0xf == 0x184d2a50
}
