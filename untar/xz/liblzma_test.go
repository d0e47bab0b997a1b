package xz

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"testing/iotest"
)

// A liblzma is a running helper process, scripts/lab/xzdiff/liblzma.c.
type liblzma struct {
	in  *bufio.Writer
	out *bufio.Reader
}

// Results of liblzma: lzma_ret of lzma/base.h, and one result of the helper itself.
const (
	lzmaStreamEnd    = 1
	lzmaMemError     = 5
	lzmaOptionsError = 8
	lzmaTooMuch      = 255
)

func startLiblzma(t *testing.T, program string) *liblzma {
	t.Helper()
	cmd := exec.Command(program)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	return &liblzma{bufio.NewWriter(in), bufio.NewReader(out)}
}

func (l *liblzma) decode(t *testing.T, form byte, data []byte) ([]byte, byte) {
	t.Helper()
	l.in.WriteByte(form)
	l.in.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(data))))
	l.in.Write(data)
	if err := l.in.Flush(); err != nil {
		t.Fatal(err)
	}
	var head [5]byte
	if _, err := io.ReadFull(l.out, head[:]); err != nil {
		t.Fatal(err)
	}
	content := make([]byte, binary.LittleEndian.Uint32(head[1:]))
	if _, err := io.ReadFull(l.out, content); err != nil {
		t.Fatal(err)
	}
	return content, head[0]
}

// TestLiblzma decodes changed files with liblzma and with this package, and requires the
// same verdict and the same content. scripts/lab/xzdiff/run runs it: the script builds the
// helper and says how many files to try.
func TestLiblzma(t *testing.T) {
	program := os.Getenv("LIBLZMA_HELPER")
	if program == "" {
		t.Skip("scripts/lab/xzdiff/run builds what this compares with")
	}
	count, _ := strconv.Atoi(os.Getenv("LIBLZMA_COUNT"))
	seed, _ := strconv.ParseUint(os.Getenv("LIBLZMA_SEED"), 10, 64)
	lib := startLiblzma(t, program)
	m := newMutator(t, seed)
	riscV := testStream{blocks: []testBlock{{content: short, filters: []byte{filterRISCV, 0}, count: 1}}}
	_, ret := lib.decode(t, 'x', riscV.bytes(t))
	m.riscV = ret == lzmaStreamEnd
	m.makeStreams(t)
	agreed := map[string]int{}
	for i := range count {
		form, data := m.file()
		want, ret := lib.decode(t, form, data)
		got, err := decodeForm(t, m.r, form, data)
		verdict := "refused"
		if err == nil {
			verdict = "accepted"
		}
		var memory *MemoryError
		switch {
		case ret == lzmaMemError || ret == lzmaTooMuch || len(got) > maxFuzz || errors.As(err, &memory):
			continue // each decoder has its own limits
		case ret == lzmaOptionsError && err == nil && !m.riscV && bytes.Contains(data, []byte{filterRISCV}):
			continue // this liblzma does not support the filter
		case (ret == lzmaStreamEnd) != (err == nil):
			t.Errorf("file %d, form %c: %d bytes, %v; liblzma: %d bytes, result %d%s", i, form, len(got), err, len(want), ret, keepFile(t, form, data))
		case err == nil && !bytes.Equal(got, want):
			t.Errorf("file %d, form %c: %d bytes, liblzma has %d others%s", i, form, len(got), len(want), keepFile(t, form, data))
		}
		agreed[string(form)+" "+verdict]++
	}
	t.Logf("seed %d: %v", seed, agreed)
	for _, kind := range []string{"x accepted", "x refused", "l accepted", "l refused", "r accepted", "r refused"} {
		if count >= 10_000 && agreed[kind] < count/1000 {
			t.Errorf("%d files %s: the changes are not what they should be", agreed[kind], kind)
		}
	}
}

// keepFile writes a file on which the verdicts differ to the directory LIBLZMA_KEEP.
func keepFile(t *testing.T, form byte, data []byte) string {
	dir := os.Getenv("LIBLZMA_KEEP")
	if dir == "" {
		return ""
	}
	name := filepath.Join(dir, strconv.FormatUint(uint64(crc32.ChecksumIEEE(data)), 16)+"."+string(form))
	if err := os.WriteFile(name, data, 0o666); err != nil {
		t.Fatal(err)
	}
	return ": " + name
}

// decodeForm decodes data of the given form: .xz, .lzma or LZMA2 without a container.
func decodeForm(t *testing.T, r *rand.Rand, form byte, data []byte) ([]byte, error) {
	var in io.Reader = bytes.NewReader(data)
	switch r.IntN(8) {
	case 0:
		in = iotest.OneByteReader(in)
	case 1:
		in = iotest.DataErrReader(in)
	case 2:
		in = iotest.HalfReader(in)
	}
	opt := Options{Memory: 16 << 20, Workers: 1 + r.IntN(3)}
	var x *Reader
	var err error
	switch form {
	case 'r':
		return decodeLZMA2(t, data)
	case 'l':
		x, err = NewAloneReader(in, opt)
	default:
		x, err = NewReader(in, opt)
	}
	if err != nil {
		return nil, err
	}
	defer x.Close()
	var out bytes.Buffer
	sink := &limitedWriter{&out}
	if r.IntN(2) == 0 {
		_, err = x.WriteTo(sink)
	} else {
		_, err = io.CopyBuffer(struct{ io.Writer }{sink}, struct{ io.Reader }{x}, make([]byte, 1+r.IntN(5000)))
	}
	return out.Bytes(), err
}

// A limitedWriter fails after a little more than maxFuzz bytes.
type limitedWriter struct{ b *bytes.Buffer }

var errMuch = errors.New("too much content")

func (l *limitedWriter) Write(p []byte) (int, error) {
	if l.b.Len() > maxFuzz {
		return 0, errMuch
	}
	return l.b.Write(p)
}

// A mutator makes valid files and files with faults. It corrects the checksums of most
// faulty files; otherwise decoders would refuse nearly all of them at the first checksum.
type mutator struct {
	r                     *rand.Rand
	streams, alone, lzma2 [][]byte // the files from which it makes others
	riscV                 bool     // liblzma before 5.6 has no such filter
}

func newMutator(t *testing.T, seed uint64) *mutator {
	m := &mutator{r: rand.New(rand.NewPCG(seed, 1))}
	for i, n := range []int{0, 1, 50, 700, 3000, 9000} {
		content := text(uint64(i), n)
		m.alone = append(m.alone, aloneFile(t, content, true, false), aloneFile(t, content, false, true), aloneFile(t, content, true, true))
		m.lzma2 = append(m.lzma2, lzma2DataDict(t, content, minDict))
	}
	m.lzma2 = append(m.lzma2, join(raw(1, short), raw(2, short), []byte{0}))
	return m
}

func (m *mutator) makeStreams(t *testing.T) {
	for range 500 {
		m.streams = append(m.streams, m.stream(t))
	}
}

// content returns text, or bytes with instructions that branch filters convert.
func (m *mutator) content() []byte {
	b := text(m.r.Uint64N(50), m.r.IntN(3000))
	if m.r.IntN(2) == 0 {
		return b
	}
	ops := [][]byte{{0xe8}, {0xe9, 0, 0}, {0x48, 0, 0, 1}, {0, 0, 0, 0xeb}, {0xf0, 0xf8}, {0, 0xf0, 0, 0xf8}, {0x40, 0, 0, 0}, {0x7f, 0xff, 0xff, 0xff},
		{0, 0, 0, 0x94}, {0, 0, 0, 0x90}, {0, 0, 0, 0xb0}, {0xef, 0, 0, 0}, {0xef, 0x10, 1, 2}, {0x97, 0, 0, 0, 0x93}, {0x17, 1, 0, 0}, {0x17, 0x31, 0, 8}, {0x10}, {0x16}, {0xff}, {0}, {0, 0, 0, 0}}
	for i := 0; i < len(b); {
		op := ops[m.r.IntN(len(ops))]
		i += copy(b[i:], op)
		for range m.r.IntN(5) {
			if i < len(b) {
				if b[i] = byte(m.r.Uint32()); m.r.IntN(3) == 0 {
					b[i] = byte(-(m.r.IntN(2)))
				}
				i++
			}
		}
	}
	return b
}

// filters returns the flags of up to three filters. Most are valid; some have a start
// address that is not aligned.
func (m *mutator) filters() (flags []byte, count int) {
	for range m.r.IntN(4) {
		id := byte(filterDelta + m.r.IntN(filterRISCV-filterDelta+1))
		if id == filterRISCV && !m.riscV {
			id = filterX86
		}
		switch {
		case id == filterDelta:
			flags = append(flags, id, 1, byte(m.r.Uint32()))
		case m.r.IntN(2) == 0:
			flags = append(flags, id, 0)
		default:
			start := m.r.Uint32() &^ 15
			if m.r.IntN(8) == 0 {
				start |= 1 << m.r.IntN(4)
			}
			flags = binary.LittleEndian.AppendUint32(append(flags, id, 4), start)
		}
		count++
	}
	return flags, count
}

func (m *mutator) stream(t *testing.T) []byte {
	s := testStream{check: []checkType{checkNone, checkCRC32, checkCRC64, checkSHA256}[m.r.IntN(4)]}
	if m.r.IntN(2) == 0 {
		s.check = checkNone // a change of the content is no error then
	}
	for range m.r.IntN(4) {
		content := m.content()
		b := testBlock{content: content, sizes: m.r.IntN(2) == 0, last: []byte{filterLZMA2, 1, byte(m.r.IntN(20))}}
		if b.filters, b.count = m.filters(); b.count > 0 {
			// The content here is the input of the filters that decoders undo. Only the
			// decoders know the result, and so its check.
			s.check = checkNone
		}
		if m.r.IntN(2) == 0 {
			b.payload = join(raw(1, content), []byte{0})
			if len(content) == 0 {
				b.payload = []byte{0}
			}
		}
		s.blocks = append(s.blocks, b)
	}
	return s.bytes(t)
}

// file returns a form and a file of that form.
func (m *mutator) file() (byte, []byte) {
	switch m.r.IntN(4) {
	case 0:
		return 'l', m.change(bytes.Clone(m.alone[m.r.IntN(len(m.alone))]))
	case 1:
		return 'r', m.change(bytes.Clone(m.lzma2[m.r.IntN(len(m.lzma2))]))
	}
	stream := func() []byte { return m.streams[m.r.IntN(len(m.streams))] }
	data := bytes.Clone(stream())
	for range m.r.IntN(3) {
		data = append(data, make([]byte, m.r.IntN(4)*4)...)
		data = append(data, stream()...)
	}
	if m.r.IntN(4) == 0 {
		data = append(data, make([]byte, m.r.IntN(9))...)
	}
	if m.r.IntN(8) == 0 {
		return 'x', data
	}
	data = m.change(data)
	if m.r.IntN(8) > 0 {
		mend(data)
	}
	return 'x', data
}

// change puts a few faults into a file.
func (m *mutator) change(b []byte) []byte {
	for range m.r.IntN(4) {
		if len(b) == 0 {
			return b
		}
		at := m.r.IntN(len(b))
		if m.r.IntN(3) == 0 {
			at = m.r.IntN(min(len(b), 64)) // headers
		} else if m.r.IntN(3) == 0 {
			at = len(b) - 1 - m.r.IntN(min(len(b), 64)) // index and footer
		}
		switch m.r.IntN(10) {
		case 0, 1, 2, 3:
			b[at] ^= 1 << m.r.IntN(8)
		case 4, 5:
			b[at] = byte(m.r.Uint32())
		case 6:
			b[at] += byte(m.r.IntN(3)) - 1
		case 7:
			b = append(b[:at], b[at+1:]...)
		case 8:
			b = append(b[:at], append([]byte{byte(m.r.Uint32()) * byte(m.r.IntN(2))}, b[at:]...)...)
		case 9:
			if m.r.IntN(4) == 0 {
				b = b[:at]
			}
		}
	}
	return b
}

// mend corrects the CRC32 of stream headers, block headers, indexes and stream footers, as
// far as the structure of the file is intact.
func mend(b []byte) {
	crc := func(begin, end, at int) { binary.LittleEndian.PutUint32(b[at:], crc32.ChecksumIEEE(b[begin:end])) }
	for at := 0; len(b)-at >= streamHeaderSize; {
		if string(b[at:at+4]) == "\x00\x00\x00\x00" {
			at += 4
			continue
		}
		if !isStreamHeader(b[at:]) {
			return
		}
		crc(at+6, at+8, at+8)
		size, _ := checkType(b[at+7]).size()
		at += streamHeaderSize
		for at < len(b) && b[at] != 0 {
			end := at + int(b[at])*4
			if end+4 > len(b) {
				return
			}
			crc(at, end, end)
			begin := end + 4
			src := &source{buf: append(bytes.Clone(b[begin:]), make([]byte, inputSlack)...), end: len(b) - begin}
			for {
				c, err := readChunk(src)
				if err != nil {
					return
				}
				if c.isEnd() {
					break
				}
				if _, err := src.next(c.packed); err != nil {
					return
				}
			}
			at = begin + (src.pos+3)&^3 + size
		}
		src := &source{buf: append(bytes.Clone(b[min(at, len(b)):]), make([]byte, inputSlack)...), end: len(b) - min(at, len(b))}
		if _, err := src.next(1); err != nil {
			return
		}
		count, err := src.vli(nil)
		for i := int64(0); err == nil && i < 2*count; i++ {
			_, err = src.vli(nil)
		}
		end := at + (src.pos+3)&^3
		if err != nil || end+4+streamHeaderSize > len(b) {
			return
		}
		crc(at, end, end)
		crc(end+8, end+14, end+4)
		at = end + 4 + streamHeaderSize
	}
}
