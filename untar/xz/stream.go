package xz

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"hash/crc32"
)

const (
	streamMagic = "\xfd7zXZ\x00"
	footerMagic = "YZ"

	streamHeaderSize = 12
	minUnpadded      = 5
	maxUnpadded      = maxVLI &^ 3
)

// isStreamHeader reports whether b begins as a stream does.
func isStreamHeader(b []byte) bool { return bytes.HasPrefix(b, []byte(streamMagic)) }

// readStreamHeader reads a stream header (xz file format, section 2.1.1).
func readStreamHeader(src *source) (checkType, error) {
	b, err := src.need(1)
	if err != nil {
		return 0, err
	}
	// What is not of the format is said to be so even if it is short.
	if n := min(len(b), len(streamMagic)); string(b[:n]) != streamMagic[:n] {
		return 0, src.errorf("no xz stream begins here")
	}
	if b, err = src.need(streamHeaderSize); err != nil {
		return 0, err
	}
	if !isStreamHeader(b) {
		return 0, src.errorf("no xz stream begins here")
	}
	if crc32.ChecksumIEEE(b[6:8]) != binary.LittleEndian.Uint32(b[8:]) {
		return 0, src.errorf("the stream header's CRC32 is wrong")
	}
	check, err := streamFlags(src, b[6:8])
	if err != nil {
		return 0, err
	}
	src.pos += streamHeaderSize
	return check, nil
}

// streamFlags reads the two bytes that header and footer have in common.
func streamFlags(src *source, b []byte) (checkType, error) {
	check := checkType(b[1])
	if b[0] != 0 || b[1] > 0xf {
		return 0, src.errorf("unsupported stream flags 0x%02x%02x", b[0], b[1])
	}
	if _, ok := check.size(); !ok {
		return 0, src.errorf("unsupported check type %d", byte(check))
	}
	return check, nil
}

// blockSums is what a list of blocks comes to. Comparing two of them compares
// the lists, in memory that does not grow with their length.
type blockSums struct {
	count    int64
	unpadded int64 // bytes of all blocks, padded
	content  int64
	hash     hash.Hash
}

func (s *blockSums) reset() {
	*s = blockSums{hash: s.hash}
	if s.hash == nil {
		s.hash = sha256.New()
	} else {
		s.hash.Reset()
	}
}

// add takes one block more; false if the sums leave the range of the format.
func (s *blockSums) add(unpadded, content int64) bool {
	if unpadded < minUnpadded || unpadded > maxUnpadded || content < 0 {
		return false
	}
	padded := (unpadded + 3) &^ 3
	if s.unpadded > maxVLI-padded || s.content > maxVLI-content {
		return false
	}
	s.count++
	s.unpadded += padded
	s.content += content
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], uint64(unpadded))
	binary.LittleEndian.PutUint64(b[8:], uint64(content))
	s.hash.Write(b[:])
	return true
}

func (s *blockSums) equal(t *blockSums) bool {
	return s.count == t.count && s.unpadded == t.unpadded && s.content == t.content &&
		bytes.Equal(s.hash.Sum(nil), t.hash.Sum(nil))
}

// readIndex reads the index and the footer after it (xz file format, sections
// 4 and 2.1.2), which must agree with the blocks and the header.
func readIndex(src *source, check checkType, blocks *blockSums) error {
	begin := src.offset()
	listed, err := indexSums(src, blocks)
	if err != nil {
		return err
	}
	if !listed.equal(blocks) {
		return src.errorf("the index does not match the blocks")
	}
	return readFooter(src, check, src.offset()-begin)
}

// indexSums reads an index. Where the blocks are known, it stops as soon as the
// index has more than they.
func indexSums(src *source, blocks *blockSums) (listed blockSums, err error) {
	begin := src.offset()
	sum := crc32.NewIEEE()
	b, err := src.next(1)
	if err != nil {
		return listed, err
	}
	sum.Write(b)
	count, err := src.vli(sum)
	if err != nil {
		return listed, err
	}
	if blocks != nil && count != blocks.count {
		return listed, src.errorf("the index has %d blocks, the stream %d", count, blocks.count)
	}
	listed.reset()
	for range count {
		unpadded, err := src.vli(sum)
		if err != nil {
			return listed, err
		}
		content, err := src.vli(sum)
		if err != nil {
			return listed, err
		}
		if !listed.add(unpadded, content) || blocks != nil && (listed.unpadded > blocks.unpadded || listed.content > blocks.content) {
			return listed, src.errorf("the index does not match the blocks")
		}
	}
	for (src.offset()-begin)%4 != 0 {
		if b, err = src.next(1); err != nil {
			return listed, err
		}
		if b[0] != 0 {
			return listed, src.errorf("the index's padding is not zero")
		}
		sum.Write(b)
	}
	if b, err = src.next(4); err != nil {
		return listed, err
	}
	if sum.Sum32() != binary.LittleEndian.Uint32(b) {
		return listed, src.errorf("the index's CRC32 is wrong")
	}
	return listed, nil
}

// ContentSize returns how many bytes an .xz file decompresses to, as the index
// at its end says: tail is the end of the file, size how many bytes the whole
// file has. It is false where the index is longer than tail, and for what is no
// .xz file of a single stream. Nothing but CRC32 vouches for the figure.
func ContentSize(tail []byte, size int64) (content int64, ok bool) {
	at := len(tail) - streamHeaderSize
	if at < 0 {
		return 0, false
	}
	footer := tail[at:]
	index := (int64(binary.LittleEndian.Uint32(footer[4:])) + 1) * 4
	if string(footer[10:]) != footerMagic || index > int64(at) {
		return 0, false
	}
	src := newSource(bytes.NewReader(tail[int64(at)-index:]))
	if b, err := src.need(1); err != nil || b[0] != 0 {
		return 0, false // the index indicator
	}
	listed, err := indexSums(src, nil)
	if err != nil || src.offset() != index {
		return 0, false
	}
	check, err := streamFlags(src, footer[8:10])
	if err != nil || readFooter(src, check, index) != nil {
		return 0, false
	}
	return listed.content, size == streamHeaderSize+listed.unpadded+index+streamHeaderSize
}

func readFooter(src *source, check checkType, indexSize int64) error {
	b, err := src.need(streamHeaderSize)
	if err != nil {
		return err
	}
	switch {
	case string(b[10:12]) != footerMagic:
		return src.errorf("the stream footer's magic bytes are wrong")
	case crc32.ChecksumIEEE(b[4:10]) != binary.LittleEndian.Uint32(b):
		return src.errorf("the stream footer's CRC32 is wrong")
	case (int64(binary.LittleEndian.Uint32(b[4:]))+1)*4 != indexSize:
		return src.errorf("the stream footer has another size of the index")
	}
	footer, err := streamFlags(src, b[8:10])
	if err != nil {
		return err
	}
	if footer != check {
		return src.errorf("the stream footer's flags are not the header's")
	}
	src.pos += streamHeaderSize
	return nil
}

// nextStream reads padding (xz file format, section 2.2); false at the end of
// the input.
func nextStream(src *source) (bool, error) {
	for {
		for src.pos == src.end {
			if err := src.atEnd(); err != nil {
				return false, err
			}
			if src.pos == src.end {
				return false, nil
			}
		}
		if src.buf[src.pos] != 0 {
			return true, nil
		}
		b, err := src.next(4)
		if err != nil {
			return false, err
		}
		if string(b) != "\x00\x00\x00\x00" {
			return false, src.errorf("stream padding is not a multiple of four zeros")
		}
	}
}
