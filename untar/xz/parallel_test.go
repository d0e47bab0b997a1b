package xz

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"time"
	"unsafe"
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

// mapped adds up the memory of all jobs and free pieces.
func (j *jobs) mapped() int64 {
	sum := 0
	for _, p := range j.free {
		sum += len(p)
	}
	for _, k := range append(j.queue[:len(j.queue):len(j.queue)], j.idle...) {
		k.state.Lock()
		for _, p := range append(k.state.pieces[:len(k.state.pieces):len(k.state.pieces)], k.state.spent...) {
			sum += len(p)
		}
		k.state.Unlock()
		sum += len(k.window.mem)
	}
	return int64(sum)
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
				if sum := r.jobs.mapped(); sum != r.jobs.used || r.jobs.busy() > memory {
					t.Fatalf("%d bytes are mapped, counted as %d; the queue needs up to %d", sum, r.jobs.used, r.jobs.busy())
				}
			}
			r.Close()
			if err != io.EOF || !bytes.Equal(got, want) {
				t.Errorf("%d workers, %d bytes of memory: %d bytes, %v", workers, memory, len(got), err)
			}
		}
	}
}

// far returns n bytes. Half of them are random, and half the same as those at distance before.
func far(seed uint64, n, distance int) []byte {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed)}).Read(p)
	for i := distance; i < n; i += 1000 {
		copy(p[i:min(i+500, n)], p[i-distance:])
	}
	return p
}

// rawChunks returns content as LZMA2 chunks that are not compressed.
func rawChunks(content []byte) []byte {
	var out []byte
	for control := byte(1); len(content) > 0; control = 2 { // the first resets the dictionary
		n := min(len(content), 1<<16)
		out = append(append(out, control, byte((n-1)>>8), byte((n-1)&0xff)), content[:n]...)
		content = content[n:]
	}
	return append(out, 0)
}

// Pages of content that the caller has, and that no match reaches, are given back; the content
// stays right. Without need none are.
func TestGiveBack(t *testing.T) {
	const dict, size = 1 << 20, 2*hugePage + 100
	s := testStream{check: checkCRC32}
	var want []byte
	for i := range 3 {
		b := testBlock{content: far(uint64(i), size, dict-1000), sizes: true}
		if i != 1 {
			b.payload = rawChunks(b.content)
		} else {
			b.payload = lzma2DataDict(t, b.content, dict)
		}
		want = append(want, b.content...)
		s.blocks = append(s.blocks, b)
	}
	data := s.bytes(t)
	for _, thrifty := range []int64{0, 1 << 30} {
		// With little input at a time, the caller has all but the last of the content that is decoded.
		r, err := NewReader(&slowReads{data}, Options{Workers: 2, Memory: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		r.jobs.thrifty = thrifty
		var got bytes.Buffer
		given := 0
		for p := make([]byte, 100_000); err == nil; {
			var n int
			n, err = r.Read(p)
			got.Write(p[:n])
			if len(r.jobs.queue) > 0 {
				k := r.jobs.queue[0]
				if pages := resident(t, k.window.mem[:k.given]); pages != 0 {
					t.Fatalf("%d pages are in use that were given back", pages)
				}
				given = max(given, k.given)
			}
		}
		r.Close()
		if err != io.EOF || !bytes.Equal(got.Bytes(), want) {
			t.Errorf("thrifty from %d bytes on: %d bytes, %v", thrifty, got.Len(), err)
		}
		if need := hugePage; thrifty == 0 && given < need || thrifty > 0 && given > 0 {
			t.Errorf("thrifty from %d bytes on: %d bytes of a block were given back", thrifty, given)
		}
	}
}

// slowReads is a reader of its bytes that returns few of them at a time.
type slowReads struct{ data []byte }

func (s *slowReads) Read(p []byte) (int, error) {
	if len(s.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), 8<<10)], s.data)
	s.data = s.data[n:]
	return n, nil
}

// resident counts the pages of a mapping that are in memory.
func resident(t *testing.T, mem []byte) int {
	if len(mem) == 0 {
		return 0
	}
	vec := make([]byte, (len(mem)+os.Getpagesize()-1)/os.Getpagesize())
	_, _, errno := syscall.Syscall(syscall.SYS_MINCORE, uintptr(unsafe.Pointer(&mem[0])), uintptr(len(mem)), uintptr(unsafe.Pointer(&vec[0])))
	if errno != 0 {
		t.Fatal(errno)
	}
	n := 0
	for _, v := range vec {
		n += int(v & 1)
	}
	return n
}

// Few bytes are read ahead of the last decoder, and all blocks together need memory for the
// compressed bytes of little more than one.
func TestCompressedMemory(t *testing.T) {
	const size = 4 * maxAhead
	s := testStream{check: checkNone}
	var want []byte
	for i := range 4 {
		content := far(uint64(i), size, size)
		want = append(want, content...)
		s.blocks = append(s.blocks, testBlock{content: content, payload: rawChunks(content), sizes: true})
	}
	r, err := NewReader(bytes.NewReader(s.bytes(t)), Options{Workers: 2, Memory: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	// Read as long as the Reader would, and until the block that no worker has yet is begun.
	for len(r.jobs.queue) < 3 || r.canReadAhead() {
		if r.canReadAhead() {
			if _, err := r.advance(); err != nil {
				t.Fatal(err)
			}
		} else {
			time.Sleep(time.Millisecond) // for the decoders
		}
	}
	if have := r.jobs.queue[2].state.have; have < maxAhead || have > maxAhead+maxPiece {
		t.Errorf("%d bytes of the third block are there, want %d", have, maxAhead)
	}
	windows := 0
	for _, k := range r.jobs.queue {
		windows += len(k.window.mem)
	}
	if pieces := r.jobs.used - int64(windows); pieces > size+2*maxAhead+4*maxPiece {
		t.Errorf("%d bytes are needed for compressed bytes, more than %d", pieces, size+2*maxAhead+4*maxPiece)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
