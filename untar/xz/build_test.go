package xz

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"testing"

	ulikunitz "github.com/ulikunitz/xz/lzma"
)

// A testBlock is a block that a testStream writes. A field that is set replaces the right
// value, so that a file can have exactly one fault.
type testBlock struct {
	content []byte
	payload []byte // LZMA2 data; nil: content in LZMA chunks
	filters []byte // filter flags before LZMA2's; see count
	count   int    // how many filters before LZMA2 there are
	last    []byte // LZMA2's filter flags
	sizes   bool   // the header has both sizes

	flags      byte   // added to the block flags
	packedSize int64  // compressed size in the header
	size       int64  // uncompressed size in the header
	rawHeader  []byte // header fields after the flags, without padding
	padding    byte   // the header's last padding byte
	pad        byte   // the last padding byte after the compressed data
	sum        []byte // the check field
	headerCRC  uint32 // xored with the header's CRC32
}

// A testStream is a stream to be written. A field that is set replaces the right value.
type testStream struct {
	check  checkType
	blocks []testBlock

	flags0, footer0 byte // xored with the first byte of the flags
	footerCheck     int  // check type in the footer; 0: check
	headerCRC       uint32
	count           int64    // added to the number of records in the index
	record          [2]int64 // added to the first record of the index
	swap            bool     // swap the first two records of the index
	indexPad        byte
	indexCRC        uint32
	backward        uint32 // added to the backward size
	footerCRC       uint32
	magic           string // magic bytes of the footer
}

func appendVLI(b []byte, v int64) []byte { return binary.AppendUvarint(b, uint64(v)) }

func appendCRC(b, of []byte, wrong uint32) []byte {
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(of)^wrong)
}

// bytes writes the stream.
func (s testStream) bytes(t testing.TB) []byte {
	t.Helper()
	flags := []byte{s.flags0, byte(s.check)}
	out := append([]byte(streamMagic), flags...)
	out = appendCRC(out, flags, s.headerCRC)
	var records [][2]int64
	for _, b := range s.blocks {
		begin := len(out)
		payload := b.payload
		if payload == nil {
			payload = lzma2Data(t, b.content)
		}
		out = append(out, b.header(len(payload))...)
		out = append(out, payload...)
		unpadded := int64(len(out) - begin)
		for len(out)%4 != 0 {
			out = append(out, b.pad)
		}
		sum := b.sum
		if sum == nil {
			sum = s.check.sum(b.content)
		}
		out = append(out, sum...)
		records = append(records, [2]int64{unpadded + int64(len(sum)), int64(len(b.content))})
	}
	if s.swap {
		records[0], records[1] = records[1], records[0]
	}
	index := appendVLI([]byte{0}, int64(len(records))+s.count)
	for i, r := range records {
		if i == 0 {
			r[0], r[1] = r[0]+s.record[0], r[1]+s.record[1]
		}
		index = appendVLI(appendVLI(index, r[0]), r[1])
	}
	for len(index)%4 != 0 {
		index = append(index, s.indexPad)
	}
	index = appendCRC(index, index, s.indexCRC)
	out = append(out, index...)
	footer := binary.LittleEndian.AppendUint32(nil, uint32(len(index)/4-1)+s.backward)
	check := byte(s.check)
	if s.footerCheck != 0 {
		check = byte(s.footerCheck)
	}
	footer = append(footer, s.footer0, check)
	out = appendCRC(out, footer, s.footerCRC)
	out = append(out, footer...)
	if s.magic == "" {
		s.magic = footerMagic
	}
	return append(out, s.magic...)
}

// sum returns the check field for content.
func (c checkType) sum(content []byte) []byte {
	h := c.newHash()
	if h == nil {
		return nil
	}
	h.Write(content)
	sum := h.Sum(nil)
	if c != checkSHA256 {
		for i, j := 0, len(sum)-1; i < j; i, j = i+1, j-1 {
			sum[i], sum[j] = sum[j], sum[i]
		}
	}
	return sum
}

var lzma2Flags = []byte{filterLZMA2, 1, 16} // 1 MiB

func (b testBlock) header(packed int) []byte {
	flags := byte(b.count) | b.flags
	var fields []byte
	if b.sizes {
		flags |= 0xc0
		if b.packedSize == 0 {
			b.packedSize = int64(packed)
		}
		if b.size == 0 {
			b.size = int64(len(b.content))
		}
		fields = appendVLI(appendVLI(fields, b.packedSize), b.size)
	}
	if b.last == nil {
		b.last = lzma2Flags
	}
	fields = append(append(fields, b.filters...), b.last...)
	if b.rawHeader != nil {
		fields = b.rawHeader
	}
	header := append([]byte{0, flags}, fields...)
	for len(header)%4 != 0 {
		header = append(header, 0)
	}
	if b.padding != 0 {
		header = append(header, 0, 0, 0, b.padding)
	}
	header[0] = byte(len(header) / 4)
	return appendCRC(header, header, b.headerCRC)
}

// lzma2Data compresses content with ulikunitz/xz.
func lzma2Data(t testing.TB, content []byte) []byte {
	return lzma2DataDict(t, content, 1<<20)
}

// lzma2DataDict is lzma2Data with a dictionary of dict bytes.
func lzma2DataDict(t testing.TB, content []byte, dict int) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := ulikunitz.Writer2Config{DictCap: dict}.NewWriter2(&out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// lzmaChunks returns the chunks of lzma2Data, without the end marker.
func lzmaChunks(t testing.TB, content []byte) [][]byte {
	t.Helper()
	data := lzma2Data(t, content)
	src := &source{buf: append(bytes.Clone(data), make([]byte, inputSlack)...), end: len(data)}
	var chunks [][]byte
	for {
		begin := src.pos
		c, err := readChunk(src)
		if err != nil {
			t.Fatal(err)
		}
		if c.isEnd() {
			return chunks
		}
		src.pos += c.packed
		chunks = append(chunks, data[begin:src.pos])
	}
}

// text returns n bytes that compress as well as text does. The same seed gives the same
// bytes.
func text(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	words := make([][]byte, 64)
	for i := range words {
		words[i] = make([]byte, 1+r.IntN(9))
		for j := range words[i] {
			words[i][j] = byte('a' + r.IntN(26))
		}
	}
	var out []byte
	for len(out) < n {
		switch {
		case r.IntN(20) == 0 && len(out) > 0: // further back, and longer
			from := r.IntN(len(out))
			out = append(out, out[from:min(len(out), from+r.IntN(2000))]...)
		case r.IntN(40) == 0:
			out = append(out, bytes.Repeat([]byte{byte(r.IntN(4))}, r.IntN(600))...)
		default:
			out = append(append(out, words[r.IntN(len(words))]...), ' ')
		}
	}
	return out[:n]
}

// decodeAll decodes data with the options, in reads of size bytes, or by WriteTo if size
// is 0.
func decodeAll(data []byte, opt Options, size int) ([]byte, error) {
	r, err := NewReader(bytes.NewReader(data), opt)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var out bytes.Buffer
	if size == 0 {
		_, err = r.WriteTo(&out)
		return out.Bytes(), err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{&out}, struct{ io.Reader }{r}, make([]byte, size))
	return out.Bytes(), err
}
