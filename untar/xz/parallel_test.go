package xz

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"
)

// The Reader returns a block's content while it still reads the block's data.
func TestBlockInParts(t *testing.T) {
	const part = 60 << 10
	content := bytes.Repeat([]byte("0123456789abcdef"), 2*part/16)
	chunk := func(control byte, p []byte) []byte { // not compressed
		return append([]byte{control, byte((len(p) - 1) >> 8), byte((len(p) - 1) & 0xff)}, p...)
	}
	payload := chunk(1, content[:part]) // resets the dictionary
	first := len(payload)
	payload = append(append(payload, chunk(2, content[part:])...), 0)
	data := one(testBlock{content: content, payload: payload, sizes: true}).bytes(t)
	// The input has the first chunk and the slack after it, and no more.
	r, err := NewReader(&limitedReads{data, len(data) - len(payload) + first + 2*inputSlack}, Options{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := make([]byte, part)
	if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, content[:part]) {
		t.Errorf("the first chunk: %v", err)
	}
}

// limitedReads is a reader of the first n bytes of data, which then fails.
type limitedReads struct {
	data []byte
	n    int
}

func (l *limitedReads) Read(p []byte) (int, error) {
	n := copy(p, l.data[:l.n])
	l.data, l.n = l.data[n:], l.n-n
	if n == 0 {
		return 0, io.ErrNoProgress // the Reader returns the decoded content before this error
	}
	return n, nil
}

// Blocks that workers decode keep to the memory limit, whatever their sizes are.
func TestMemoryOfBlocks(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	s := testStream{check: checkCRC32}
	var want []byte
	for i := range 40 {
		b := testBlock{content: text(uint64(i), 1+random.IntN(60<<10)), sizes: i%9 != 0}
		want = append(want, b.content...)
		s.blocks = append(s.blocks, b)
	}
	data := s.bytes(t)
	for _, memory := range []int64{70 << 10, 130 << 10, 1 << 20} {
		for _, workers := range []int{2, 3, 5} {
			r, err := NewReader(bytes.NewReader(data), Options{Workers: workers, Memory: max(memory, 64<<10)})
			if err != nil {
				t.Fatal(err)
			}
			var got []byte
			for err == nil {
				var n int
				p := make([]byte, 1000)
				n, err = r.Read(p)
				got = append(got, p[:n]...)
				if r.jobs.used > memory {
					t.Fatalf("%d workers: %d bytes are mapped, %d allowed", workers, r.jobs.used, memory)
				}
				if r.jobs.busy() > r.jobs.used {
					t.Fatalf("%d bytes in use, %d mapped", r.jobs.busy(), r.jobs.used)
				}
			}
			r.Close()
			if err != io.EOF || !bytes.Equal(got, want) {
				t.Errorf("%d workers, %d bytes of memory: %d bytes, %v", workers, memory, len(got), err)
			}
		}
	}
}
