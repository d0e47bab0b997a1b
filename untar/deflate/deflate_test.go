package deflate

import (
	"bufio"
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
)

// pack returns content compressed.
func pack(t testing.TB, content []byte, level int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// contents returns content of all kinds: none, random, runs of every distance, text, and parts of
// few and of many symbols, more than buf holds.
func contents() map[string][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	random := make([]byte, 300<<10)
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	all := map[string][]byte{"empty": nil, "one": {7}, "random": random, "zero": make([]byte, 1<<20)}
	var text, skewed []byte
	for range 60000 {
		text = fmt.Appendf(text, "%d %x\n", r.IntN(1000), r.IntN(40))
		skewed = append(skewed, byte(min(r.ExpFloat64()*9, 255))) // long codes
		if r.IntN(90) == 0 && len(text) > 400 {
			at := len(text) - 1 - r.IntN(min(len(text)-1, window))
			text = append(text, text[at:min(len(text), at+r.IntN(longest))]...)
		}
	}
	all["text"], all["skewed"] = text, skewed
	var runs []byte
	for distance := 1; distance < 40; distance++ {
		runs = append(runs, random[:distance]...)
		for range 3 + r.IntN(300) {
			runs = append(runs, runs[len(runs)-distance])
		}
	}
	all["runs"] = runs
	return all
}

// oracle decompresses packed with the standard library. It returns the content, the number of
// bytes of the stream and the error.
func oracle(packed []byte) ([]byte, int, error) {
	in := bytes.NewReader(packed)
	out, err := io.ReadAll(flate.NewReader(in))
	return out, len(packed) - in.Len(), err
}

// same checks that a reader of packed, which src delivers, does as the standard library's.
func same(t *testing.T, name string, packed []byte, src io.Reader) {
	t.Helper()
	want, size, wanted := oracle(packed)
	in := bufio.NewReader(src)
	got, err := io.ReadAll(NewReader(in))
	if !bytes.Equal(got, want) && (err == nil || !bytes.HasPrefix(want, got) && !bytes.HasPrefix(got, want)) {
		t.Fatalf("%s: %d bytes of content, want %d", name, len(got), len(want))
	}
	if (err == nil) != (wanted == nil) || errors.Is(err, io.ErrUnexpectedEOF) != errors.Is(wanted, io.ErrUnexpectedEOF) {
		t.Fatalf("%s: %v, want %v", name, err, wanted)
	}
	if rest, _ := io.ReadAll(in); err == nil && len(rest) != len(packed)-size {
		t.Fatalf("%s: %d bytes are left, want %d", name, len(rest), len(packed)-size)
	}
}

func TestReader(t *testing.T) {
	for name, content := range contents() {
		for _, level := range []int{flate.NoCompression, flate.BestSpeed, 6, flate.HuffmanOnly} {
			packed := append(pack(t, content, level), "the rest"...)
			name := fmt.Sprint(name, level)
			same(t, name, packed, bytes.NewReader(packed))
			same(t, name, packed, iotest.OneByteReader(bytes.NewReader(packed)))
			same(t, name, packed, iotest.HalfReader(bytes.NewReader(packed)))
		}
	}
}

// Data that is cut off, and data with a changed bit.
func TestDamage(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for name, content := range contents() {
		for _, level := range []int{flate.NoCompression, 1, 6, flate.HuffmanOnly} {
			packed := pack(t, content[:min(len(content), 3000)], level)
			for n := range min(len(packed), 300) {
				same(t, name, packed[:n], bytes.NewReader(packed[:n]))
			}
			for range 60 {
				bad := bytes.Clone(packed)
				bad[r.IntN(min(len(bad), 1+r.IntN(len(bad))))] ^= 1 << r.IntN(8)
				same(t, name, bad, bytes.NewReader(bad))
			}
		}
	}
}

// Read returns what there is before it waits for more.
func TestReadDoesNotWait(t *testing.T) {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, 6)
	w.Write([]byte("first"))
	w.Flush()
	from, to := io.Pipe()
	go func() {
		to.Write(b.Bytes())
		to.CloseWithError(io.ErrClosedPipe)
	}()
	var p [20]byte
	n, err := NewReader(bufio.NewReader(from)).Read(p[:])
	if string(p[:n]) != "first" || err != nil {
		t.Errorf("%q, %v", p[:n], err)
	}
}

// An error of the source is returned as it is.
func TestErrorOfSource(t *testing.T) {
	packed := pack(t, []byte("hello, hello, hello"), 6)
	wanted := errors.New("no such disk")
	for n := range packed {
		src := bufio.NewReader(io.MultiReader(bytes.NewReader(packed[:n]), iotest.ErrReader(wanted)))
		if _, err := io.ReadAll(NewReader(src)); err != wanted {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

func TestReset(t *testing.T) {
	d := NewReader(bufio.NewReader(bytes.NewReader([]byte{7})))
	io.ReadAll(d)
	for _, content := range contents() {
		packed := pack(t, content, 6)
		d.Reset(bufio.NewReader(bytes.NewReader(packed)))
		if got, err := io.ReadAll(d); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes, %v, want %d", len(got), err, len(content))
		}
		// Nothing is left of the content before that a match could copy.
		d.Reset(bufio.NewReader(bytes.NewReader([]byte{0x03 | 1<<3, 0x02, 0})))
		io.ReadAll(d)
	}
}

// FuzzReader compares Reader with the standard library's decoder.
func FuzzReader(f *testing.F) {
	for _, content := range contents() {
		for _, level := range []int{0, 1, 6, flate.HuffmanOnly} {
			f.Add(pack(f, content[:min(len(content), 2000)], level))
		}
	}
	f.Fuzz(func(t *testing.T, packed []byte) {
		if len(packed) > 1<<12 {
			return
		}
		same(t, "fuzzed", packed, bytes.NewReader(packed))
		same(t, "fuzzed, in parts", packed, iotest.HalfReader(bytes.NewReader(packed)))
	})
}
