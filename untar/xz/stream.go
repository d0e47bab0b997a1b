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
	// Data that is not in the format gets this error even if it is shorter than a header.
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

// streamFlags reads the stream flags (xz file format, section 2.1.1.2), two bytes that stream
// header and footer have in common, and returns the check type.
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

// blockSums stands for a list of block sizes. Two lists are equal if their blockSums are:
// the hash covers every size. The memory that it needs does not grow with the list.
type blockSums struct {
	count  int64 // number of blocks
	padded int64 // bytes of all blocks, with their padding
	// content is the number of uncompressed bytes of all blocks.
	content int64
	hash    hash.Hash // SHA-256 over both sizes of each block
}

// reset makes s stand for an empty list.
func (s *blockSums) reset() {
	*s = blockSums{hash: s.hash}
	if s.hash == nil {
		s.hash = sha256.New()
	} else {
		s.hash.Reset()
	}
}

// add adds a block by its unpadded size (xz file format, section 4.3) and its uncompressed
// size. It returns false if a size or a sum is beyond what the format allows.
func (s *blockSums) add(unpadded, content int64) bool {
	if unpadded < minUnpadded || unpadded > maxUnpadded || content < 0 {
		return false
	}
	padded := (unpadded + 3) &^ 3
	if s.padded > maxVLI-padded || s.content > maxVLI-content {
		return false
	}
	s.count++
	s.padded += padded
	s.content += content
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], uint64(unpadded))
	binary.LittleEndian.PutUint64(b[8:], uint64(content))
	s.hash.Write(b[:])
	return true
}

// equal reports whether s and t stand for the same list.
func (s *blockSums) equal(t *blockSums) bool {
	return s.count == t.count && s.padded == t.padded && s.content == t.content &&
		bytes.Equal(s.hash.Sum(nil), t.hash.Sum(nil))
}

// readIndex reads the index and the stream footer after it (xz file format, sections 4 and
// 2.1.2). The index must list blocks; the footer must have the check of the stream header.
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

// indexSums reads an index and returns what it lists. If blocks is not nil, indexSums stops
// as soon as the index lists more than blocks, so that a wrong index costs no time.
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
		if !listed.add(unpadded, content) || blocks != nil && (listed.padded > blocks.padded || listed.content > blocks.content) {
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

// ContentSize returns the uncompressed size of an .xz file in bytes, as the index at the end
// of the file gives it. tail holds the last bytes of the file; size is the size of the whole
// file in bytes. ok is false if the index is longer than tail, or if the file is not an .xz
// file with a single stream. Only a CRC32 protects the index, so the size is a hint.
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
	return listed.content, size == streamHeaderSize+listed.padded+index+streamHeaderSize
}

// readFooter reads the stream footer and compares it with the check type of the stream
// header and with the size of the index in bytes.
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
		return src.errorf("the backward size in the stream footer is not the size of the index")
	}
	footer, err := streamFlags(src, b[8:10])
	if err != nil {
		return err
	}
	if footer != check {
		return src.errorf("the stream footer's flags differ from the stream header's")
	}
	src.pos += streamHeaderSize
	return nil
}

// nextStream reads stream padding (xz file format, section 2.2). It returns false at the end
// of the input and true if other data follows.
func nextStream(src *source) (bool, error) {
	for {
		for src.pos == src.end {
			if err := src.tryMore(); err != nil {
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
