package xz

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"syscall"
	"testing"

	ulikunitz "github.com/ulikunitz/xz/lzma"
)

// guarded returns n bytes between pages that can't be accessed: they end, or else begin,
// where such a page begins or ends. So an access out of bounds ends the test.
func guarded(t testing.TB, n int, atEnd bool) []byte {
	t.Helper()
	page := syscall.Getpagesize()
	inner := (n + page - 1) / page * page
	mem, err := syscall.Mmap(-1, 0, inner+2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Munmap(mem) })
	for _, p := range [][]byte{mem[:page], mem[page+inner:]} {
		if err := syscall.Mprotect(p, syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	if atEnd {
		return mem[page+inner-n : page+inner : page+inner]
	}
	return mem[page : page+n : page+n]
}

// A decodeCase runs decode and decodeGo side by side on the same input.
type decodeCase struct {
	r        *rand.Rand
	input    []byte // followed by inputSlack bytes
	size     int    // of input
	at       int    // position in input
	z, zGo   lzma
	w, wGo   window
	wraps    bool
	whole    bool                   // begins with the data and never with an early end
	statuses [statusTooLong + 1]int // how often each status was returned
}

// newDecodeCase makes a case from LZMA data. The seed chooses the properties, if props does
// not, the window, and what is in it and in the decoder at the start.
func newDecodeCase(t testing.TB, seed uint64, props byte, data []byte) *decodeCase {
	r := rand.New(rand.NewPCG(seed, 2))
	c := &decodeCase{r: r, size: len(data), wraps: r.IntN(2) == 0, whole: r.IntN(3) == 0}
	c.input = guarded(t, len(data)+inputSlack, r.IntN(4) > 0)
	copy(c.input, data)
	for !c.z.setProps(props) {
		props = byte(r.Uint32())
	}
	c.z.reset()
	w := &c.w
	w.dict = minDict + uint32(r.IntN(8))*r.Uint32N(1<<13)&^15
	w.size = 16 * (1 + r.IntN(1<<12))
	if c.wraps {
		w.size = int(w.dict) + ringExtra
	}
	w.buf = guarded(t, w.size+windowSlack, r.IntN(2) == 0)
	if !c.whole && r.IntN(2) == 0 { // an image of the middle of a stream
		for i := 0; i+8 <= len(w.buf); i += 8 {
			binary.LittleEndian.PutUint64(w.buf[i:], r.Uint64()&0x0f1fff070f03ff01)
		}
		w.pos = r.IntN(w.size)
		w.wrapped = c.wraps
	}
	if w.wrapped {
		c.z.state = r.Uint32N(numStates)
		for i := range c.z.rep {
			c.z.rep[i] = r.Uint32N(w.dict) >> r.IntN(16)
		}
	}
	if !c.whole && r.IntN(2) == 0 { // likely and unlikely bits, all possible after other data
		for i := range c.z.probs {
			v := r.Uint32()
			c.z.probs[i] = uint16(31 + v>>16*(2048-2*31+1)>>16)
			if i >= probSlot && i < probMatchLen && v&3 > 0 {
				c.z.probs[i] = 2017 // short distances
			}
		}
	}
	c.zGo, c.wGo = c.z, c.w
	c.wGo.buf = guarded(t, len(w.buf), true)
	copy(c.wGo.buf, w.buf)
	return c
}

// start begins a chunk of LZMA data. It returns false at the end of the input.
func (c *decodeCase) start() bool {
	if c.at+rangeStart > c.size {
		return false
	}
	c.z.start(c.input[c.at:])
	c.zGo.start(c.input[c.at:])
	if !c.whole && c.r.IntN(8) == 0 { // not below the range, as in no valid data
		c.z.code, c.zGo.code = 1<<32-1, 1<<32-1
	}
	c.at += rangeStart
	return true
}

// run decodes all input, in steps that end where the input is cut, at a random position in the
// window, or at an error. After an error it begins anew with what follows.
func (c *decodeCase) run(t testing.TB) {
	r, dict := c.r, c.w.dict
	for more := c.start(); more; {
		begin := c.w.pos
		stop := min(begin+1+r.IntN(2<<r.IntN(13)), c.w.size)
		end := math.MaxInt
		if !c.whole && r.IntN(8) == 0 {
			end = begin + r.IntN(1000)
		}
		inEnd := c.size
		if r.IntN(4) > 0 {
			inEnd = min(inEnd, c.at+r.IntN(300))
		}
		if c.w.dict = dict; !c.whole && r.IntN(4) == 0 { // exactly at a distance, or next to it
			c.w.dict = min(dict, c.z.rep[r.IntN(4)]+uint32(r.IntN(2)))
		}
		c.wGo.dict = c.w.dict
		at, result := c.z.decode(&c.w, c.input, bounds{c.at, inEnd, stop, end})
		atGo, resultGo := c.zGo.decodeGo(&c.wGo, c.input, c.at, inEnd, stop, end)
		if at != atGo || result != resultGo {
			t.Fatalf("from %d: input %d, status %d, window %d; decodeGo: %d, %d, %d", begin, at, result, c.w.pos, atGo, resultGo, c.wGo.pos)
		}
		c.compare(t)
		c.statuses[result]++
		c.at = at
		if c.w.pos >= c.w.size {
			if !c.wraps {
				return
			}
			c.w.wrap()
			c.wGo.wrap()
		}
		if more = at <= c.size; more && result != statusMore {
			c.z.reset()
			c.zGo.reset()
			more = c.start()
		} else if at == c.size && inEnd == c.size && c.w.pos == begin {
			return
		}
	}
}

// compare compares all that decode and decodeGo have changed. After pos, up to ringExtra bytes
// of a ring are of no use, and may differ.
func (c *decodeCase) compare(t testing.TB) {
	t.Helper()
	if c.z != c.zGo {
		c.z.probs, c.zGo.probs = [numProbs]uint16{}, [numProbs]uint16{}
		t.Fatalf("decoder %+v, decodeGo's is %+v", c.z, c.zGo)
	}
	w, wGo := &c.w, &c.wGo
	if w.pos != wGo.pos || w.wrapped != wGo.wrapped {
		t.Fatalf("window at %d, decodeGo's at %d", w.pos, wGo.pos)
	}
	if !bytes.Equal(w.buf[:w.pos], wGo.buf[:w.pos]) {
		t.Fatal("other content than decodeGo's")
	}
	if rest := w.pos + ringExtra; w.wrapped && rest < w.size && !bytes.Equal(w.buf[rest:w.size], wGo.buf[rest:w.size]) {
		t.Fatal("overwrote bytes that distances reach")
	}
}

// lzmaData compresses content with the given properties, with an end marker. It returns the
// data without the file's header.
func lzmaData(t testing.TB, content []byte, lc, lp, pb int) (props byte, data []byte) {
	t.Helper()
	var out bytes.Buffer
	p := ulikunitz.Properties{LC: lc, LP: lp, PB: pb}
	w, err := ulikunitz.WriterConfig{Properties: &p, DictCap: minDict, EOSMarker: true}.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()[0], out.Bytes()[aloneHeaderSize:]
}

// hostileContent makes every kind of symbol: literals after matches, runs, matches at all
// distances up to the dictionary's size, short and long ones.
func hostileContent(r *rand.Rand, n int) []byte {
	b := text(r.Uint64N(50), 500)
	for len(b) < n {
		switch distance := 1 + r.IntN(min(len(b), 1<<(1+r.IntN(12)))); r.IntN(4) {
		case 0:
			b = append(b, byte(r.Uint32()))
		case 1:
			b = append(b, b[len(b)-distance]^1<<r.IntN(8))
		default:
			for range 1 + r.IntN(2<<r.IntN(9)) {
				b = append(b, b[len(b)-distance])
			}
		}
	}
	return b
}

// TestDecode compares decode with decodeGo for all properties: valid data, changed data, and
// random bytes.
func TestDecode(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	var statuses [statusTooLong + 1]int
	count := 0
	for lc := range maxLcLp + 1 {
		for lp := range maxLcLp - lc + 1 {
			for pb := range 5 {
				props, valid := lzmaData(t, hostileContent(r, 20000), lc, lp, pb)
				for i := range 12 {
					data := bytes.Clone(valid)
					switch {
					case i >= 8:
						for j := range data {
							data[j] = byte(r.Uint32())
						}
					case i >= 2:
						for range 1 + r.IntN(3) {
							data[r.IntN(len(data))] ^= 1 << r.IntN(8)
						}
					}
					t.Run("", func(t *testing.T) {
						c := newDecodeCase(t, r.Uint64(), props, data)
						c.run(t)
						for s, n := range c.statuses {
							statuses[s] += n
						}
					})
					count++
				}
			}
		}
	}
	t.Logf("%d cases; statuses %v", count, statuses)
	for s, n := range statuses {
		if n < count/100 {
			t.Errorf("status %d only %d times in %d cases", s, n, count)
		}
	}
}

// FuzzDecode is TestDecode for data and properties that the fuzzer chooses.
func FuzzDecode(f *testing.F) {
	r := rand.New(rand.NewPCG(4, 4))
	for lc := range maxLcLp + 1 {
		props, data := lzmaData(f, hostileContent(r, 3000), lc, r.IntN(maxLcLp-lc+1), r.IntN(5))
		for range 4 {
			f.Add(r.Uint64(), props, data)
		}
	}
	f.Fuzz(func(t *testing.T, seed uint64, props byte, data []byte) {
		newDecodeCase(t, seed, props, data).run(t)
	})
}
