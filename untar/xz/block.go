package xz

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"math"
)

const (
	minDict = 4 << 10 // liblzma's smallest dictionary, in bytes
)

// A checkType is the type of check in the blocks of a stream (xz file format, section
// 2.1.1.2).
type checkType byte

const (
	checkNone   checkType = 0
	checkCRC32  checkType = 1
	checkCRC64  checkType = 4
	checkSHA256 checkType = 10
)

// size returns the size of the check field in bytes. It returns false for an unknown type:
// data that can't be checked is refused.
func (c checkType) size() (int, bool) {
	switch c {
	case checkNone:
		return 0, true
	case checkCRC32:
		return 4, true
	case checkCRC64:
		return 8, true
	case checkSHA256:
		return 32, true
	}
	return 0, false
}

// String returns the name of the check as xz(1) prints it in lists.
func (c checkType) String() string {
	switch c {
	case checkNone:
		return "none"
	case checkCRC32:
		return "CRC32"
	case checkCRC64:
		return "CRC64"
	case checkSHA256:
		return "SHA-256"
	}
	return "unknown"
}

// newHash returns a hash that computes the check, or nil for checkNone.
func (c checkType) newHash() hash.Hash {
	switch c {
	case checkCRC32:
		return crc32.NewIEEE()
	case checkCRC64:
		return newCRC64()
	case checkSHA256:
		return sha256.New()
	}
	return nil
}

// equalsField compares a hash's sum with the check field of a block, in which CRCs are in
// little-endian order. It may change sum.
func (c checkType) equalsField(sum, field []byte) bool {
	if c != checkSHA256 {
		for i, j := 0, len(sum)-1; i < j; i, j = i+1, j-1 {
			sum[i], sum[j] = sum[j], sum[i]
		}
	}
	return bytes.Equal(sum, field)
}

// A blockHeader holds a block header's fields (xz file format, section 3.1).
type blockHeader struct {
	offset  int64        // of the header in the file
	size    int          // of the header, in bytes
	packed  int64        // compressed size in bytes; -1 if the header does not have it
	content int64        // uncompressed size in bytes; -1 if the header does not have it
	dict    uint32       // dictionary size in bytes
	before  []filterSpec // the filters before LZMA2, in the encoder's order
}

// A filterSpec is a filter of a block's filter chain, with its properties.
type filterSpec struct {
	id       int64
	start    uint32 // of a branch filter: the address of the block's first byte
	distance int    // of Delta, in bytes
}

// readBlockHeader reads a block header. The caller knows that the next byte is not 0, which
// would begin the index.
func readBlockHeader(src *source) (*blockHeader, error) {
	b, err := src.need(1)
	if err != nil {
		return nil, err
	}
	h := &blockHeader{offset: src.offset(), size: (int(b[0]) + 1) * 4, packed: -1, content: -1}
	if b, err = src.need(h.size); err != nil {
		return nil, err
	}
	end := h.size - 4
	if crc32.ChecksumIEEE(b[:end]) != binary.LittleEndian.Uint32(b[end:]) {
		return nil, src.errorf("the block header's CRC32 is wrong")
	}
	// With a source of its own, parse can't read beyond the header.
	own := &source{buf: b[:end], end: end, base: src.offset()}
	if err := h.parse(own); err != nil {
		if f, ok := err.(*FormatError); ok && f.truncated {
			return nil, own.errorf("a field reaches beyond the block header")
		}
		return nil, err
	}
	src.pos += h.size
	return h, nil
}

// parse reads the fields after the size of the header. src ends where the header's CRC32
// begins.
func (h *blockHeader) parse(src *source) error {
	b, err := src.next(2)
	if err != nil {
		return err
	}
	flags := b[1]
	if flags&0x3c != 0 {
		return src.errorf("unsupported block flags 0x%02x", flags)
	}
	if flags&0x40 != 0 {
		if h.packed, err = src.vli(nil); err != nil {
			return err
		}
		if h.packed == 0 || h.packed > maxVLI-maxBlockOverhead {
			return src.errorf("impossible compressed size %d", h.packed)
		}
	}
	if flags&0x80 != 0 {
		if h.content, err = src.vli(nil); err != nil {
			return err
		}
	}
	for before := int(flags & 3); before > 0; before-- {
		if err := h.parseBefore(src); err != nil {
			return err
		}
	}
	if err := h.parseLast(src); err != nil {
		return err
	}
	for src.pos < src.end {
		if b, _ := src.next(1); b[0] != 0 {
			return src.errorf("the block header's padding is not zero")
		}
	}
	return nil
}

// filterFlags reads a filter's identifier and properties (xz file format, section 3.1.5).
func filterFlags(src *source) (id int64, props []byte, err error) {
	if id, err = src.vli(nil); err != nil {
		return 0, nil, err
	}
	n, err := src.vli(nil)
	if err != nil {
		return 0, nil, err
	}
	if n > int64(src.end-src.pos) {
		return 0, nil, src.errorf("a field reaches beyond the block header")
	}
	props, err = src.next(int(n))
	return id, props, err
}

// parseBefore reads the flags of a filter that is not the last of the chain.
func (h *blockHeader) parseBefore(src *source) error {
	id, props, err := filterFlags(src)
	if err != nil {
		return err
	}
	f := filterSpec{id: id}
	switch name := filterName(id); {
	case name == "":
		return src.errorf("unsupported filter 0x%x", id)
	case id == filterLZMA2:
		return src.errorf("filter lzma2 is not the last of its chain")
	case id == filterDelta:
		if len(props) != 1 {
			return src.errorf("unsupported properties of filter delta")
		}
		f.distance = int(props[0]) + 1
	case len(props) == 4:
		f.start = binary.LittleEndian.Uint32(props)
		if f.start%alignment(id) != 0 {
			return src.errorf("filter %s starts at an address that is not aligned", name)
		}
	case len(props) != 0:
		return src.errorf("unsupported properties of filter %s", name)
	}
	h.before = append(h.before, f)
	return nil
}

// parseLast reads the flags of the last filter of the chain, which must be LZMA2.
func (h *blockHeader) parseLast(src *source) error {
	id, props, err := filterFlags(src)
	if err != nil {
		return err
	}
	switch {
	case id != filterLZMA2 && filterName(id) != "":
		return src.errorf("filter %s is the last of its chain", filterName(id))
	case id != filterLZMA2:
		return src.errorf("unsupported filter 0x%x", id)
	case len(props) != 1 || props[0] > 40:
		return src.errorf("unsupported properties of filter lzma2")
	case props[0] == 40:
		h.dict = math.MaxUint32
	default:
		h.dict = (2 | uint32(props[0])&1) << (props[0]/2 + 11)
	}
	return nil
}

// maxBlockOverhead is how many bytes a block can have besides its compressed data: header,
// padding and check.
const maxBlockOverhead = 1024 + 3 + 64

// A block decodes one block of a stream.
type block struct {
	*blockHeader
	check checkType
	src   *source
	w     *window
	lzma2 lzma2
	data  int64     // offset of the compressed data in the file
	hash  hash.Hash // of the content; nil for checkNone

	stages []stage // the filters to undo, in the decoder's order
	todo   []byte  // bytes from lzma2 that have not gone through the stages
	done   bool    // lzma2 has decoded all of the block
}

// begin prepares to decode the block whose header was just read. The caller has reserved
// the window.
func (b *block) begin(h *blockHeader, check checkType, src *source, w *window) {
	b.blockHeader, b.src, b.w, b.data = h, src, w, src.offset()
	if b.hash == nil || b.check != check {
		b.check, b.hash = check, check.newHash()
	} else {
		b.hash.Reset()
	}
	b.stages = b.stages[:0]
	for i := len(h.before) - 1; i >= 0; i-- {
		spec := h.before[i]
		f := filter{id: spec.id, distance: spec.distance}
		f.reset(spec.start)
		b.stages = append(b.stages, stage{filter: f})
	}
	b.todo, b.done = nil, false
	most := h.content
	if most < 0 {
		most = maxVLI
	}
	b.lzma2.begin(src, w, most)
}

// next returns more of the content, which is valid until the next call. It returns nil when
// the block has ended and its sizes and check are right.
func (b *block) next() ([]byte, error) {
	for {
		p, err := b.unpack()
		if err != nil {
			return nil, err
		}
		if len(p) > 0 {
			if b.hash != nil {
				b.hash.Write(p)
			}
			return p, nil
		}
		if b.done {
			return nil, b.finish()
		}
	}
}

// unpack returns decoded bytes with the filters undone, or none if this step gave none.
func (b *block) unpack() ([]byte, error) {
	if len(b.todo) == 0 && !b.done {
		if b.packed >= 0 && b.src.offset()-b.data > b.packed {
			return nil, b.src.errorf("more compressed data than the block's header says")
		}
		more, err := b.lzma2.next()
		if err != nil {
			return nil, err
		}
		b.done = !more
		b.todo = b.w.take()
	}
	if len(b.stages) == 0 {
		p := b.todo
		b.todo = nil
		return p, nil
	}
	n := min(len(b.todo), filterStep)
	p := b.todo[:n]
	b.todo = b.todo[n:]
	for i := range b.stages {
		p = b.stages[i].undo(p, b.done)
	}
	return p, nil
}

// decodeWhole decodes a block whose content fits the window, as the caller knows. It calls
// publish with the number of bytes of content that are ready; with filters that is only
// once, at the end, because matches refer to the bytes as they were before the filters. It
// stops early if publish returns false.
func (b *block) decodeWhole(publish func(ready int) bool) error {
	b.lzma2.flat = true
	for !b.done {
		more, err := b.lzma2.next()
		if err != nil {
			return err
		}
		b.done = !more
		ready := 0
		if p := b.w.take(); len(b.stages) == 0 {
			ready = int(b.lzma2.have)
			if b.hash != nil {
				b.hash.Write(p) // while it is in the processor's cache
			}
		}
		if !publish(ready) {
			return errClosed
		}
	}
	if len(b.stages) > 0 {
		p := b.w.mem[:b.lzma2.have]
		for i := range b.stages {
			b.stages[i].filter.undo(p)
		}
		if b.hash != nil {
			b.hash.Write(p)
		}
		publish(len(p))
	}
	return b.finish()
}

// filterStep is how many bytes go through the stages at a time. They are copied out of the
// window first, because matches refer to the bytes as they were before the filters.
const filterStep = 64 << 10

// A stage is a filter with a buffer.
type stage struct {
	filter
	buf []byte
	out int // the first out bytes of buf were returned
}

// undo adds p to the buffer, undoes the filter and returns the bytes that are finished,
// which are valid until the next call. If end is set that is all of them.
func (s *stage) undo(p []byte, end bool) []byte {
	s.buf = append(s.buf[:copy(s.buf, s.buf[s.out:])], p...)
	s.out = s.filter.undo(s.buf)
	if end {
		s.out = len(s.buf)
	}
	return s.buf[:s.out]
}

// finish compares the sizes with those in the header, and reads the padding and the check
// that follow the compressed data.
func (b *block) finish() error {
	packed := b.src.offset() - b.data
	if b.packed >= 0 && b.packed != packed {
		return b.src.errorf("%d bytes of compressed data, but the block's header says %d", packed, b.packed)
	}
	if b.content >= 0 && b.content != b.lzma2.have {
		return b.src.errorf("%d bytes of content, but the block's header says %d", b.lzma2.have, b.content)
	}
	b.packed, b.content = packed, b.lzma2.have
	for n := packed; n%4 != 0; n++ {
		p, err := b.src.next(1)
		if err != nil {
			return err
		}
		if p[0] != 0 {
			return b.src.errorf("the block's padding is not zero")
		}
	}
	size, _ := b.check.size()
	if size == 0 {
		return nil
	}
	field, err := b.src.need(size)
	if err != nil {
		return err
	}
	if !b.check.equalsField(b.hash.Sum(nil), field[:size]) {
		return b.src.errorf("the block's %v is wrong", b.check)
	}
	b.src.pos += size
	return nil
}

// unpadded returns the block's size without its padding, in bytes, as the index lists it.
func (h *blockHeader) unpadded(check checkType) int64 {
	size, _ := check.size()
	return int64(h.size) + h.packed + int64(size)
}
