package untar

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"encoding/hex"
	"io"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// A bitWriter writes bits, the highest first.
type bitWriter struct {
	out  []byte
	bits uint64
	n    uint
}

func (w *bitWriter) put(v uint64, n int) {
	for n--; n >= 0; n-- {
		w.bits = w.bits<<1 | v>>n&1
		if w.n++; w.n%8 == 0 {
			w.out = append(w.out, byte(w.bits))
		}
	}
}

// bzip2Sum is the checksum of a block.
func bzip2Sum(content []byte) uint64 {
	sum := uint32(1<<32 - 1)
	for _, c := range content {
		sum ^= uint32(c) << 24
		for range 8 {
			sum = sum<<1 ^ sum>>31*0x04c11db7
		}
	}
	return uint64(^sum)
}

// packBzip2 makes a stream with a block for each content. Its codes have short and long symbols.
func packBzip2(contents ...string) []byte {
	w := new(bitWriter)
	w.put(0x425a6831, 32)
	all := uint32(0)
	for _, content := range contents {
		sum := bzip2Sum([]byte(content))
		w.put(bzip2Block, 48)
		w.put(sum, 32)
		packBzip2Block(w, content)
		all = bits.RotateLeft32(all, 1) ^ uint32(sum)
	}
	w.put(bzip2End, 48)
	w.put(uint64(all), 32)
	w.put(0, 7)
	return w.out
}

func packBzip2Block(w *bitWriter, content string) {
	var text []byte // four equal bytes are followed by a number of more
	for len(content) > 0 {
		n := 1
		for n < min(len(content), 255+4) && content[n] == content[0] {
			n++
		}
		text = append(text, content[:min(n, 4)]...)
		if n >= 4 {
			text = append(text, byte(n-4))
		}
		content = content[n:]
	}
	rotations := make([]int, len(text))
	for i := range rotations {
		rotations[i] = i
	}
	twice := string(text) + string(text)
	slices.SortFunc(rotations, func(a, b int) int { return strings.Compare(twice[a:a+len(text)], twice[b:b+len(text)]) })
	w.put(0, 1)
	w.put(uint64(slices.Index(rotations, 0)), 24)
	used := slices.Compact(slices.Sorted(slices.Values(text)))
	ranges, sets := uint64(0), [16]uint64{}
	for _, c := range used {
		ranges |= 0x8000 >> (c >> 4)
		sets[c>>4] |= 0x8000 >> (c & 15)
	}
	w.put(ranges, 16)
	for _, set := range sets {
		if set != 0 {
			w.put(set, 16)
		}
	}
	var symbols []int
	run := 0
	flush := func() {
		for ; run > 0; run = (run - 1) / 2 {
			symbols = append(symbols, (run-1)%2)
		}
	}
	for _, r := range rotations {
		c := text[(r+len(text)-1)%len(text)]
		at := slices.Index(used, c)
		if at == 0 {
			run++
			continue
		}
		flush()
		symbols = append(symbols, at+1)
		used = slices.Insert(slices.Delete(used, at, at+1), 0, c)
	}
	flush()
	symbols = append(symbols, len(used)+1)
	packBzip2Symbols(w, symbols, len(used)+2)
}

// packBzip2Symbols writes symbols with two codes in turn: one with symbols of one length, and one
// in which the first twelve are ever longer.
func packBzip2Symbols(w *bitWriter, symbols []int, n int) {
	w.put(2, 3)
	groups := (len(symbols) + bzip2Group - 1) / bzip2Group
	w.put(uint64(groups), 15)
	for i := range groups {
		w.put(2, 1+min(i, 1)) // code 0 is in front first, and then always the other one
	}
	var lengths, codes [2][]int
	for i := range n {
		lengths[0] = append(lengths[0], bits.Len(uint(n-1)))
		length := i + 1
		if i >= 12 {
			length = 12 + bits.Len(uint(n-12-1))
		}
		lengths[1] = append(lengths[1], length)
	}
	for k := range 2 {
		code := 0
		codes[k] = make([]int, n)
		for length := 1; length <= bzip2MaxBits; length++ {
			for i, l := range lengths[k] {
				if l == length {
					codes[k][i] = code >> (bzip2MaxBits - length)
					code += 1 << (bzip2MaxBits - length)
				}
			}
		}
		last := lengths[k][0]
		w.put(uint64(last), 5)
		for _, l := range lengths[k] {
			for ; last < l; last++ {
				w.put(2, 2)
			}
			for ; last > l; last-- {
				w.put(3, 2)
			}
			w.put(0, 1)
		}
	}
	for i, symbol := range symbols {
		k := i / bzip2Group % 2
		w.put(uint64(codes[k][symbol]), lengths[k][symbol])
	}
}

func bzip2Contents() []string {
	r := rand.New(rand.NewPCG(1, 2))
	var all, skewed []byte
	for i := range 3000 {
		all = append(all, byte(r.Uint32()))
		skewed = append(skewed, bytes.Repeat([]byte{byte(bits.TrailingZeros32(r.Uint32()))}, i%17)...)
	}
	return []string{"x", "xx", "xxxx", "xxxxx", strings.Repeat("y", 5000), strings.Repeat("ab", 700), hello, string(all), string(skewed)}
}

// What is packed comes out again, also in several blocks and streams, with every size of reads.
func TestBzip2(t *testing.T) {
	contents := bzip2Contents()
	file := packBzip2()
	for _, content := range contents {
		file = append(file, packBzip2(content)...)
	}
	file = append(file, packBzip2(contents...)...)
	want := strings.Repeat(strings.Join(contents, ""), 2)
	for _, size := range []int{1, 7, 4096, len(want) + 1} {
		r := newBzip2Reader(bufio.NewReader(bytes.NewReader(file)), false)
		var got []byte
		var err error
		for p := make([]byte, size); err == nil; {
			var n int
			n, err = r.Read(p)
			got = append(got, p[:n]...)
		}
		if string(got) != want || err != io.EOF {
			t.Errorf("reads of %d bytes: %d bytes, want %d; %v", size, len(got), len(want), err)
		}
	}
}

// The content of a block is what comes of following its chain entry by entry, from every first entry
// on, also if the chain is several circles, and for small blocks.
func TestBzip2Content(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	random := func(size, different int) string {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(r.IntN(different))
		}
		return string(b)
	}
	var c bzip2Content
	c.resize(9 * bzip2Level)
	for _, text := range []string{
		"x", "xy", random(3, 3), random(300, 256), random(8*bzip2Stride-7, 256), random(8*bzip2Stride+1, 256), random(70001, 2),
		random(200000, 256), random(9*bzip2Level, 7), strings.Repeat(random(1000, 256), 100), strings.Repeat("a", 40000) + random(40000, 9),
		strings.Repeat("a", 50000), strings.Repeat("a", 30000) + strings.Repeat("b", 30000), strings.Repeat("ba", 9*bzip2Level/2),
	} {
		var sorted []int // the indexes of the bytes in the order of the bytes
		for b := range 256 {
			for i := strings.IndexByte(text, byte(b)); i < len(text) && i >= 0; i++ {
				if text[i] == byte(b) {
					sorted = append(sorted, i)
				}
			}
		}
		for _, first := range []int{0, len(text) - 1, len(text) / 2, r.IntN(len(text)), min(len(text)-1, bzip2Stride)} {
			copy(c.text, text)
			c.counts = [256]uint32{}
			for _, b := range []byte(text) {
				c.counts[b]++
			}
			c.open(first, len(text))
			got := make([]byte, 0, len(text))
			for c.more(); len(c.rest) > 0; c.more() {
				got = append(got, c.rest...)
			}
			want := make([]byte, len(text))
			for i, at := 0, first; i < len(want); i++ {
				want[i] = text[sorted[at]]
				at = sorted[at]
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%d bytes from entry %d on: %d bytes, and not the right ones", len(text), first, len(got))
			}
		}
	}
}

// A block for which the checksum of the block or of the stream is wrong is an error, as is a block
// that is larger than the level says.
func TestBadBzip2(t *testing.T) {
	good := packBzip2(hello)
	for _, test := range []struct {
		at   int
		want string
	}{{10, "bzip2: wrong checksum of a block"}, {len(good) - 2, "bzip2: damaged block"}, {4, "bzip2: damaged block"}, {14, "bzip2: a randomised block"}} {
		bad := bytes.Clone(good)
		bad[test.at] ^= 0x80
		_, err := io.ReadAll(newBzip2Reader(bufio.NewReader(bytes.NewReader(bad)), false))
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("bit of byte %d: %v, want %s", test.at, err, test.want)
		}
	}
	w := &bitWriter{}
	w.put(0x425a6831, 32)
	w.put(bzip2Block, 48)
	w.put(0, 32+1+24)
	w.put(0x8000, 16) // of the ranges of bytes the first
	w.put(0xc000, 16) // 0 and 1
	w.put(2, 3)
	w.put(bzip2Level/bzip2Group+2, 15)
	for range bzip2Level/bzip2Group + 2 {
		w.put(0, 1)
	}
	for range 2 {
		w.put(2, 5)
		w.put(0, 4) // four symbols of two bits
	}
	for range bzip2Level + 1 {
		w.put(2, 2) // the other byte
	}
	w.put(3, 2)
	w.put(0, 80)
	if _, err := io.ReadAll(newBzip2Reader(bufio.NewReader(bytes.NewReader(w.out)), false)); err == nil || err.Error() != "bzip2: damaged block" {
		t.Errorf("a block that is too large: %v", err)
	}
}

// What the standard library reads, we read, and the same. It refuses codes that not all bits are
// the beginning of, which bzip2(1) reads.
func FuzzBzip2(f *testing.F) {
	packed, _ := hex.DecodeString(helloBzip2)
	f.Add(packed)
	f.Add(append(packed, packed...))
	for _, content := range bzip2Contents() {
		f.Add(packBzip2(content[:min(len(content), 500)]))
	}
	circles := make([]byte, 500)
	for i := range circles {
		circles[i] = byte(i * i >> 3)
	}
	f.Add(packBzip2(strings.Repeat(string(circles), 10*bzip2Stride/500)))
	f.Fuzz(func(t *testing.T, data []byte) {
		if detectFormat(data) != FormatBzip2 {
			return
		}
		want, wantErr := io.ReadAll(bzip2.NewReader(bytes.NewReader(data)))
		got, err := io.ReadAll(newBzip2Reader(bufio.NewReader(bytes.NewReader(data)), true))
		if wantErr == nil && (err != nil || !bytes.Equal(got, want)) {
			t.Errorf("%d bytes, %v; the library reads %d", len(got), err, len(want))
		}
	})
}
