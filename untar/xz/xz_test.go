package xz

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

var (
	short = text(1, 300)
	long  = text(2, 3<<20)
)

func one(b testBlock) testStream { return testStream{check: checkCRC32, blocks: []testBlock{b}} }

// raw returns an uncompressed LZMA2 chunk.
func raw(control byte, content []byte) []byte {
	return append([]byte{control, byte((len(content) - 1) >> 8), byte(len(content) - 1)}, content...)
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestGood(t *testing.T) {
	first := lzmaChunks(t, short)[0]
	many := testStream{check: checkCRC64}
	for i := range 20 {
		many.blocks = append(many.blocks, testBlock{content: text(uint64(i), 1000*i), sizes: i%5 != 3})
	}
	var manyContent []byte
	for _, b := range many.blocks {
		manyContent = append(manyContent, b.content...)
	}
	plain := one(testBlock{content: short}).bytes(t)
	empty := testStream{check: checkCRC32}.bytes(t)
	for _, c := range []struct {
		name string
		data []byte
		want []byte
	}{
		{"one block", plain, short},
		{"no check", testStream{blocks: []testBlock{{content: short}}}.bytes(t), short},
		{"CRC64", testStream{check: checkCRC64, blocks: []testBlock{{content: short}}}.bytes(t), short},
		{"SHA-256", testStream{check: checkSHA256, blocks: []testBlock{{content: short, sizes: true}}}.bytes(t), short},
		{"no block", empty, nil},
		{"empty block", one(testBlock{payload: []byte{0}}).bytes(t), nil},
		{"empty block with filters", one(testBlock{payload: []byte{0}, count: 2, filters: []byte{filterX86, 0, filterDelta, 1, 7}}).bytes(t), nil},
		{"two streams", join(plain, plain), join(short, short)},
		{"streams and padding", join(empty, make([]byte, 8), plain, make([]byte, 4), plain, make([]byte, 400<<10)), join(short, short)},
		{"many blocks", many.bytes(t), manyContent},
		{"long block", one(testBlock{content: long}).bytes(t), long},
		{"long block with sizes", one(testBlock{content: long, sizes: true}).bytes(t), long},
		{"ring smaller than content", one(testBlock{content: long[:200<<10], last: []byte{filterLZMA2, 1, 6}, payload: lzma2DataDict(t, long[:200<<10], 32<<10)}).bytes(t), long[:200<<10]},
		{"padded header", one(testBlock{content: short, rawHeader: append(bytes.Clone(lzma2Flags), make([]byte, 900)...)}).bytes(t), short},
		{"raw chunks", one(testBlock{content: join(short, short), payload: join(raw(1, short), raw(2, short), []byte{0})}).bytes(t), join(short, short)},
		{"dictionary reset in the block", one(testBlock{content: join(short, short), payload: join(first, first, []byte{0})}).bytes(t), join(short, short)},
		{"dictionary reset with sizes", one(testBlock{sizes: true, content: join(short, short, short), payload: join(first, raw(1, short), first, []byte{0})}).bytes(t), join(short, short, short)},
		{"raw chunk between", one(testBlock{sizes: true, content: join(short, short), payload: join(first, raw(2, short), []byte{0})}).bytes(t), join(short, short)},
		{"huge dictionary declared", one(testBlock{content: short, last: []byte{filterLZMA2, 1, 40}}).bytes(t), short},
	} {
		for _, opt := range []Options{{Workers: 1}, {Workers: 2}, {Workers: 3, Memory: 1 << 20}, {Workers: 2, Memory: 8 << 20}} {
			if opt.Memory == 1<<20 && len(c.want) > 1<<20 {
				continue
			}
			for _, size := range []int{0, 7, 100 << 10} {
				if size == 7 && len(c.data) > 100<<10 {
					continue
				}
				got, err := decodeAll(c.data, opt, size)
				if err != nil || !bytes.Equal(got, c.want) {
					t.Errorf("%s (%+v, reads of %d): %d bytes, %v; want %d", c.name, opt, size, len(got), err, len(c.want))
				}
			}
		}
	}
}

func TestBad(t *testing.T) {
	first := lzmaChunks(t, short)[0]
	edit := func(at int, to byte) []byte {
		b := bytes.Clone(first)
		b[at] = to
		return append(b, 0)
	}
	plain := one(testBlock{content: short}).bytes(t)
	flags := func(b ...byte) testStream { return one(testBlock{content: short, rawHeader: b}) }
	for _, c := range []struct {
		name  string
		data  []byte
		cause string // a part of FormatError.Cause
	}{
		{"nothing", nil, "too early"},
		{"no xz file", []byte("hello, this is text"), "no xz stream"},
		{"another magic byte", append([]byte{0xfe}, plain[1:]...), "no xz stream"},
		{"stream flags", testStream{flags0: 1, check: 1}.bytes(t), "stream flags"},
		{"stream flags above the check", testStream{check: 0x11}.bytes(t), "stream flags"},
		{"check type unknown", testStream{check: 2}.bytes(t), "check type 2"},
		{"stream header CRC32", testStream{headerCRC: 1}.bytes(t), "stream header's CRC32"},
		{"block header CRC32", one(testBlock{content: short, headerCRC: 1 << 31}).bytes(t), "block header's CRC32"},
		{"block flags", one(testBlock{content: short, flags: 0x04}).bytes(t), "block flags"},
		{"block flags, highest reserved", one(testBlock{content: short, flags: 0x20}).bytes(t), "block flags"},
		{"block header padding", one(testBlock{content: short, padding: 1}).bytes(t), "padding"},
		{"fields beyond the block header", flags(filterLZMA2, 20, 16).bytes(t), "beyond the block header"},
		{"number beyond the block header", flags(0xff, 0xff, 0xff, 0xff, 0xff, 0xff).bytes(t), "beyond the block header"},
		{"number too long", flags(filterLZMA2|0x80, 0, 1, 16).bytes(t), "longer than it needs"},
		{"number of ten bytes", flags(0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 1, 0, 0, 0, 0).bytes(t), "longer than nine"},
		{"compressed size 0", one(testBlock{content: short, flags: 0x40, rawHeader: join([]byte{0}, lzma2Flags)}).bytes(t), "compressed size 0"},
		{"compressed size too large", one(testBlock{content: short, flags: 0x40, rawHeader: join(appendVLI(nil, maxVLI), lzma2Flags)}).bytes(t), "impossible compressed size"},
		{"filter unknown", flags(0x22, 1, 16).bytes(t), "unsupported filter 0x22"},
		{"filter LZMA1", flags(appendVLI(nil, 0x4000000000000001)...).bytes(t), ""},
		{"first filter unknown", one(testBlock{content: short, count: 1, filters: []byte{0x02, 0}}).bytes(t), "unsupported filter 0x2"},
		{"LZMA2 not last", one(testBlock{content: short, count: 1, filters: lzma2Flags}).bytes(t), "not the last"},
		{"x86 last", flags(filterX86, 0).bytes(t), "is the last"},
		{"LZMA2 without properties", flags(filterLZMA2, 0).bytes(t), "properties of filter lzma2"},
		{"LZMA2 with more properties", flags(filterLZMA2, 2, 16, 0).bytes(t), "properties of filter lzma2"},
		{"dictionary size reserved", flags(filterLZMA2, 1, 41).bytes(t), "properties of filter lzma2"},
		{"dictionary bits reserved", flags(filterLZMA2, 1, 0x40|16).bytes(t), "properties of filter lzma2"},
		{"delta without properties", one(testBlock{content: short, count: 1, filters: []byte{filterDelta, 0}}).bytes(t), "properties of filter delta"},
		{"branch filter with one byte", one(testBlock{content: short, count: 1, filters: []byte{filterX86, 1, 0}}).bytes(t), "properties of filter x86"},
		{"start not aligned", one(testBlock{content: short, count: 1, filters: []byte{filterARM, 4, 2, 0, 0, 0}}).bytes(t), "not aligned"},
		{"compressed size less", one(testBlock{content: short, sizes: true, packedSize: 20}).bytes(t), "header says"},
		{"compressed size more", one(testBlock{content: short, sizes: true, packedSize: 1000}).bytes(t), ""},
		{"size less", one(testBlock{content: short, sizes: true, size: 299}).bytes(t), "header says"},
		{"size more", one(testBlock{content: short, sizes: true, size: 301}).bytes(t), "header says"},
		{"block padding", one(testBlock{content: short[:5], payload: append(raw(1, short[:5]), 0), pad: 1}).bytes(t), "padding is not zero"},
		{"check", one(testBlock{content: short, sum: []byte{1, 2, 3, 4}}).bytes(t), "CRC32 is wrong"},
		{"record count more", testStream{check: 1, count: 1, blocks: []testBlock{{content: short}}}.bytes(t), "index has 2 blocks"},
		{"record count less", testStream{check: 1, count: -1, blocks: []testBlock{{content: short}}}.bytes(t), "index has 0 blocks"},
		{"record's unpadded size", testStream{check: 1, record: [2]int64{1, 0}, blocks: []testBlock{{content: short}}}.bytes(t), "does not match"},
		{"record's size", testStream{check: 1, record: [2]int64{0, -1}, blocks: []testBlock{{content: short}}}.bytes(t), "does not match"},
		{"records swapped", testStream{check: 1, swap: true, blocks: []testBlock{{content: short}, {content: short[:100]}}}.bytes(t), "does not match"},
		{"index padding", testStream{check: 1, indexPad: 1, blocks: []testBlock{{content: short}}}.bytes(t), "index's padding"},
		{"index CRC32", testStream{check: 1, indexCRC: 4}.bytes(t), "index's CRC32"},
		{"backward size", testStream{check: 1, backward: 1}.bytes(t), "size of the index"},
		{"footer CRC32", testStream{check: 1, footerCRC: 1}.bytes(t), "footer's CRC32"},
		{"footer magic", testStream{check: 1, magic: "YX"}.bytes(t), "footer's magic"},
		{"footer check", testStream{check: 1, footerCheck: 4}.bytes(t), "flags differ"},
		{"footer flags", testStream{check: 1, footer0: 1}.bytes(t), "stream flags"},
		{"padding of 3", join(plain, make([]byte, 3)), "too early"},
		{"padding of 5", join(plain, make([]byte, 5), plain), "multiple of four"},
		{"padding first", join(make([]byte, 4), plain), "no xz stream"},
		{"garbage after", join(plain, []byte("garbage!")), "no xz stream"},
		{"LZMA2 chunk type", one(testBlock{content: short, payload: join(first, raw(3, short), []byte{0})}).bytes(t), "chunk type 0x03"},
		{"first chunk does not reset", one(testBlock{content: short, payload: edit(0, 0xc0)}).bytes(t), "reset the dictionary"},
		{"raw chunk without reset", one(testBlock{content: short, payload: append(raw(2, short), 0)}).bytes(t), "reset the dictionary"},
		{"no properties after a raw chunk", one(testBlock{content: short, payload: join(raw(1, short), append([]byte{0xa0}, edit(0, 0)[1:5]...), first[6:], []byte{0})}).bytes(t), "needs new properties"},
		{"LZMA properties", one(testBlock{content: short, payload: edit(5, 225)}).bytes(t), "LZMA properties 0xe1"},
		{"lc + lp above 4", one(testBlock{content: short, payload: edit(5, 4+9)}).bytes(t), "LZMA properties"},
		{"LZMA data begins with 1", one(testBlock{content: short, payload: edit(6, 1)}).bytes(t), "begin with 0"},
		{"content longer than the chunk", one(testBlock{content: short[:299], payload: edit(2, first[2]-1)}).bytes(t), ""},
		{"content shorter than the chunk", one(testBlock{content: append(bytes.Clone(short), 0), payload: edit(2, first[2]+1)}).bytes(t), ""},
		{"data longer than the chunk", one(testBlock{content: short, payload: edit(4, first[4]-1)}).bytes(t), ""},
		{"data shorter than the chunk", one(testBlock{content: short, payload: join(edit(4, first[4]+1)[:len(first)], []byte{0, 0})}).bytes(t), "does not end with its chunk"},
		{"match before the content", one(testBlock{content: short, payload: join([]byte{0xe0, 1, 43, 0, 8, 0x5d, 0}, bytes.Repeat([]byte{0xff}, 8), []byte{0})}).bytes(t), "before the dictionary"},
	} {
		for _, workers := range []int{1, 2} {
			got, err := decodeAll(c.data, Options{Workers: workers}, 0)
			var format *FormatError
			if !errors.As(err, &format) || !strings.Contains(err.Error(), c.cause) {
				t.Errorf("%s, %d workers: %d bytes, %v; want a format error with %q", c.name, workers, len(got), err, c.cause)
				continue
			}
			if format.Offset < 0 || format.Offset > int64(len(c.data)) {
				t.Errorf("%s: offset %d of %d", c.name, format.Offset, len(c.data))
			}
		}
	}
}

// A file that is cut short, anywhere, is an error.
func TestTruncated(t *testing.T) {
	for _, sizes := range []bool{false, true} {
		s := testStream{check: checkCRC64, blocks: []testBlock{{content: short, sizes: sizes}, {content: short[:50], sizes: sizes}}}
		data := s.bytes(t)
		for n := range data {
			for _, workers := range []int{1, 2} {
				if _, err := decodeAll(data[:n], Options{Workers: workers}, 0); !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("the first %d of %d bytes, sizes %v, %d workers: %v", n, len(data), sizes, workers, err)
				}
			}
		}
	}
}

// A file with one wrong bit is an error, or its content is still right: some check covers
// every bit of the format.
func TestBitFlips(t *testing.T) {
	for _, check := range []checkType{checkCRC32, checkCRC64, checkSHA256} {
		s := testStream{check: check, blocks: []testBlock{{content: short, sizes: true}, {content: short[:50]}}}
		data := s.bytes(t)
		want := join(short, short[:50])
		for bit := range len(data) * 8 {
			data[bit/8] ^= 1 << (bit % 8)
			if got, err := decodeAll(data, Options{Workers: 1 + bit&1}, 0); err == nil && !bytes.Equal(got, want) {
				t.Errorf("%v: bit %d of byte %d changes the content unseen", check, bit%8, bit/8)
			}
			data[bit/8] ^= 1 << (bit % 8)
		}
	}
}

// The content is the same if the input comes in small pieces, or data together with an
// error.
func TestPieces(t *testing.T) {
	content := long[:300<<10]
	data := testStream{check: checkCRC64, blocks: []testBlock{{content: content, sizes: true}, {content: content}}}.bytes(t)
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"bytes":     iotest.OneByteReader,
		"half":      iotest.HalfReader,
		"data, EOF": iotest.DataErrReader,
	} {
		r, err := NewReader(wrap(bytes.NewReader(data)), Options{Workers: 2})
		if err != nil {
			t.Fatal(name, err)
		}
		if err := iotest.TestReader(r, join(content, content)); err != nil {
			t.Error(name, err)
		}
		r.Close()
	}
}

// The Reader returns an error of its input unchanged.
func TestInputError(t *testing.T) {
	data := one(testBlock{content: long, sizes: true}).bytes(t)
	broken := errors.New("broken")
	for _, n := range []int{3, 20, 5000, len(data) - 3} {
		for _, workers := range []int{1, 2} {
			in := io.MultiReader(bytes.NewReader(data[:n]), iotest.ErrReader(broken))
			r, err := NewReader(in, Options{Workers: workers})
			if err == nil {
				_, err = io.Copy(io.Discard, r)
				r.Close()
			}
			if err != broken {
				t.Errorf("after %d bytes: %v", n, err)
			}
		}
	}
}

// A reader that returns neither bytes nor errors does not hang the decoder.
func TestNoProgress(t *testing.T) {
	if _, err := NewReader(readerFunc(func([]byte) (int, error) { return 0, nil }), Options{}); err != io.ErrNoProgress {
		t.Error(err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestMemory(t *testing.T) {
	const mib = 1 << 20
	dict := func(props byte) []byte { return []byte{filterLZMA2, 1, props} }
	for _, c := range []struct {
		name   string
		block  testBlock
		memory int64
		needed int64 // 0: it can be decoded
		atOnce bool  // refused before anything is read
	}{
		{"small content, huge dictionary", testBlock{content: short, last: dict(40)}, mib, 0, false},
		{"the same with sizes", testBlock{content: short, last: dict(40), sizes: true}, mib, 0, false},
		{"dictionary as allowed", testBlock{content: long, last: dict(16)}, mib, 0, false},
		{"content as allowed", testBlock{content: long, last: dict(20)}, 3 * mib, 0, false},
		{"content above, dictionary above", testBlock{content: long, last: dict(20)}, 3*mib - 4096, 4 * mib, false},
		{"the same with sizes", testBlock{content: long, last: dict(20), sizes: true}, 3*mib - 4096, 4 * mib, true},
	} {
		r, err := NewReader(bytes.NewReader(one(c.block).bytes(t)), Options{Workers: 1, Memory: c.memory})
		if atOnce := err != nil; atOnce != c.atOnce {
			t.Errorf("%s: NewReader: %v", c.name, err)
		}
		var n int64
		if err == nil {
			n, err = io.Copy(io.Discard, r)
			r.Close()
		}
		var memory *MemoryError
		switch {
		case c.needed == 0 && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.needed != 0 && (!errors.As(err, &memory) || *memory != MemoryError{c.needed, c.memory}):
			t.Errorf("%s: %v", c.name, err)
		case c.needed != 0 && !c.atOnce && n < c.memory:
			t.Errorf("%s: refused after %d bytes already", c.name, n)
		}
	}
}

// If the kernel does not give memory for all of the window, a smaller window may be enough.
func TestLessMemoryThanAllowed(t *testing.T) {
	r := newReader(nil, Options{Memory: math.MaxInt64})
	const dict = 1 << 50
	short, err := r.openWindow(dict, -1)
	if err != nil || short == nil || r.window.size < step {
		t.Errorf("a window of %d bytes, %v, %v", r.window.size, short, err)
	}
	if _, err := r.openWindow(dict, dict); err == nil {
		t.Error("a window for all of a huge content is mapped")
	}
	r.Close()
}

// The Reader returns the content before a bad block first, also with several workers.
func TestErrorComesInOrder(t *testing.T) {
	var s testStream
	s.check = checkCRC32
	for i := range 8 {
		s.blocks = append(s.blocks, testBlock{content: text(uint64(i), 50<<10), sizes: true})
	}
	s.blocks[5].sum = make([]byte, 4)
	for _, workers := range []int{1, 2, 4} {
		got, err := decodeAll(s.bytes(t), Options{Workers: workers}, 0)
		if err == nil || len(got) < 5*50<<10 {
			t.Errorf("%d workers: %d bytes, then %v", workers, len(got), err)
		}
	}
	// The same if the Reader meets the error while it reads ahead.
	data := s.bytes(t)
	data = data[:len(data)/4]
	for _, workers := range []int{1, 2, 4} {
		got, err := decodeAll(data, Options{Workers: workers}, 0)
		if err == nil || len(got) < 50<<10 {
			t.Errorf("cut, %d workers: %d bytes, then %v", workers, len(got), err)
		}
	}
}

// Close in the middle of a file ends the workers and frees all memory; reads after it fail.
func TestClose(t *testing.T) {
	s := testStream{check: checkCRC32}
	for i := range 6 {
		s.blocks = append(s.blocks, testBlock{content: text(uint64(i), 200<<10), sizes: true})
	}
	data := s.bytes(t)
	before := runtime.NumGoroutine()
	for _, n := range []int64{0, 1, 200 << 10, 300 << 10} {
		r, err := NewReader(bytes.NewReader(data), Options{Workers: 3})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, r, n); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("read after Close: %v", err)
		}
		if r.window.mem != nil || r.jobs.used != 0 {
			t.Errorf("closed after %d bytes: memory is still mapped", n)
		}
	}
	for range 1000 { // the last goroutine may need a moment to return
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

// Decoding allocates little memory, however many blocks there are.
func TestGarbage(t *testing.T) {
	s := testStream{check: checkCRC64}
	for i := range 200 {
		s.blocks = append(s.blocks, testBlock{content: short, sizes: i%2 == 0})
	}
	data := s.bytes(t)
	for _, workers := range []int{1, 2} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := decodeAll(data, Options{Workers: workers}, 1000); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("%d workers: %d bytes allocated", workers, n)
		}
	}
}

func TestDefaultMemory(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		files map[string]string
		want  int64
	}{
		{nil, 256 * mib},
		{map[string]string{"/proc/meminfo": "MemTotal: 1 kB\nMemFree: 9 kB\nMemAvailable:   409600 kB\n"}, 100 * mib},
		{map[string]string{"/proc/meminfo": "MemFree:   409600 kB\n"}, 100 * mib},
		{map[string]string{"/proc/meminfo": "MemAvailable:   8192 kB\n"}, 8 * mib},
		{map[string]string{"/proc/meminfo": "MemAvailable: 99999999999999999 kB\n"}, 256 * mib},
		{map[string]string{"/proc/meminfo": "MemAvailable: many\n"}, 256 * mib},
		{map[string]string{"/sys/fs/cgroup/memory.max": "max\n"}, 256 * mib},
		{map[string]string{"/sys/fs/cgroup/memory.max": "104857600\n", "/sys/fs/cgroup/memory.current": "20971520\n"}, 20 * mib},
		{map[string]string{"/sys/fs/cgroup/memory/memory.limit_in_bytes": "83886080\n"}, 20 * mib},
		{map[string]string{"/sys/fs/cgroup/memory.max": "104857600\n", "/sys/fs/cgroup/memory.current": "209715200\n"}, 8 * mib},
	} {
		got := defaultMemory(func(name string) []byte { return []byte(c.files[name]) })
		if got != c.want {
			t.Errorf("%v: %d, want %d", c.files, got, c.want)
		}
	}
}

func TestList(t *testing.T) {
	s := testStream{check: checkCRC64, blocks: []testBlock{
		{content: short, sizes: true},
		{content: short[:100], count: 2, filters: []byte{filterX86, 0, filterDelta, 1, 3}},
	}}
	data := join(s.bytes(t), make([]byte, 4), testStream{check: checkSHA256, blocks: []testBlock{{content: long}}}.bytes(t))
	var got []string
	streams, err := List(bytes.NewReader(data), func(b BlockInfo) {
		got = append(got, fmt.Sprintln(b.Stream, b.HeaderSize, b.Content, b.SizesKnown, b.Check, b.Dict, b.Filters))
	})
	want := []string{
		"0 12 300 true CRC64 1048576 lzma2\n",
		"0 16 100 false CRC64 1048576 x86 delta lzma2\n",
		"1 12 3145728 false SHA-256 1048576 lzma2\n",
	}
	if err != nil || streams != 2 || !slices.Equal(got, want) {
		t.Errorf("%d streams, %v:\n%s", streams, err, strings.Join(got, ""))
	}
	data = s.bytes(t)
	for n := range data {
		if _, err := List(bytes.NewReader(data[:n]), func(BlockInfo) {}); err == nil {
			t.Errorf("the first %d bytes are listed without an error", n)
		}
	}
}

func TestContentSize(t *testing.T) {
	one := testStream{check: checkCRC64, blocks: []testBlock{{content: short, sizes: true}, {content: long}}}.bytes(t)
	want := int64(len(short) + len(long))
	for n := range len(one) + 1 {
		got, ok := ContentSize(one[len(one)-n:], int64(len(one)))
		if whole := n >= 12+16; ok != whole || ok && got != want {
			t.Errorf("of the last %d bytes: %d, %v", n, got, ok)
		}
	}
	tail := one[len(one)-28:]
	for i := range tail {
		for bit := range 8 {
			flipped := slices.Clone(tail)
			flipped[i] ^= 1 << bit
			if got, ok := ContentSize(flipped, int64(len(one))); ok {
				t.Errorf("byte %d, bit %d flipped: %d", i, bit, got)
			}
		}
	}
	for name, data := range map[string][]byte{
		"two streams": join(one, one), "padding": join(one, make([]byte, 4)), "cut": one[:len(one)-1], "empty": nil,
	} {
		if got, ok := ContentSize(data, int64(len(data))); ok {
			t.Errorf("%s: %d", name, got)
		}
	}
}
