// Package xz decodes .xz files, and .lzma files, which came before.
//
// It reads what liblzma 5.8 reads and refuses what that refuses: streams in a
// row with padding between them, any number of blocks, the checks none, CRC32,
// CRC64 and SHA-256, LZMA2 with any chain of the branch filters and Delta. Every
// size, sum and check in a file is compared with the data, the index included.
// Unlike xz(1), which warns, it refuses checks that it can't compute.
//
// The format is "The .xz File Format", version 1.2.1, of tukaani.org. docs/xz.md
// tells how the decoder is made and what was measured.
//
// The memory is that of the dictionary, as far as content fills it, and less
// than 2 MiB besides; with several workers a block's compressed and
// uncompressed bytes for each block under way.
package xz

import (
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
)

// Options are the limits of a Reader. The zero value is useful.
type Options struct {
	Memory  int64 // bytes of dictionary and block buffers allowed; 0: DefaultMemory()
	Workers int   // blocks decoded side by side at most; 0: number of CPUs
}

// A FormatError is data that is no valid file, or one that needs something that
// the format reserves.
type FormatError struct {
	Offset int64 // where that was found in the compressed data, in bytes
	Cause  string

	truncated bool
}

func (e *FormatError) Error() string { return fmt.Sprintf("xz: at byte %d: %s", e.Offset, e.Cause) }

// Is reports truncation as io.ErrUnexpectedEOF.
func (e *FormatError) Is(target error) bool { return e.truncated && target == io.ErrUnexpectedEOF }

// A MemoryError is data whose dictionary or window exceeds Options.Memory.
type MemoryError struct {
	Needed  int64 // bytes; 0 where the data does not tell
	Allowed int64 // bytes
}

func (e *MemoryError) Error() string {
	if e.Needed == 0 {
		return fmt.Sprintf("decompression needs more memory than the %d bytes allowed", e.Allowed)
	}
	return fmt.Sprintf("decompression needs %d bytes of memory, %d are allowed", e.Needed, e.Allowed)
}

var errClosed = errors.New("xz: reader is closed")

// A Reader decodes a file. It reads its input only within its own methods, to
// the end before io.EOF. After an error it returns that error forever.
type Reader struct {
	src    *source
	memory int64 // bytes

	check  checkType
	blocks blockSums // of this stream, so far
	phase  phase
	header *blockHeader // of the block to come
	block  block        // the one being streamed
	window window

	alone *alone // a .lzma file

	jobs  jobs  // blocks being decoded side by side
	turn  bool  // to read ahead of them: something was just handed out
	ahead error // met while doing so

	pending []byte // decoded and not yet read
	err     error
}

// phase is what comes next in the file.
type phase int

const (
	phaseBlock  phase = iota // a block header or the index
	phaseReady               // the block of Reader.header
	phaseStream              // more of the block being streamed
	phaseFill                // more of the block being read for a worker
	phaseAlone               // more of a .lzma file
	phaseEnd                 // nothing
)

// NewReader returns a Reader of the .xz file r, after it has read the first
// headers: what is no .xz file, or can't be decoded in the memory allowed as
// far as they tell, is an error here.
func NewReader(r io.Reader, opt Options) (*Reader, error) {
	x := newReader(r, opt)
	var err error
	if x.check, err = readStreamHeader(x.src); err != nil {
		return nil, err
	}
	x.blocks.reset()
	if err := x.peekBlock(); err != nil {
		return nil, err
	}
	return x, nil
}

func newReader(r io.Reader, opt Options) *Reader {
	if opt.Memory <= 0 {
		opt.Memory = DefaultMemory()
	}
	if opt.Workers <= 0 {
		opt.Workers = runtime.GOMAXPROCS(0)
	}
	memory := min(opt.Memory, math.MaxInt-2*ringExtra)
	return &Reader{
		src:    newSource(r),
		memory: memory,
		jobs:   newJobs(opt.Workers, memory),
	}
}

// Read reads uncompressed bytes.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := r.fill(); err != nil {
		return 0, err
	}
	n := copy(p, r.pending)
	r.pending = r.pending[n:]
	return n, nil
}

// WriteTo writes all that is left to w, straight from the dictionary.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	var sum int64
	for {
		if err := r.fill(); err == io.EOF {
			return sum, nil
		} else if err != nil {
			return sum, err
		}
		n, err := w.Write(r.pending)
		sum += int64(n)
		r.pending = r.pending[n:]
		if err == nil && len(r.pending) > 0 {
			err = io.ErrShortWrite
		}
		if err != nil {
			return sum, err
		}
	}
}

// Close frees the Reader's memory; it must be called. It does not close the
// input.
func (r *Reader) Close() error {
	r.fail(errClosed)
	return nil
}

// fill waits until there is something to read.
func (r *Reader) fill() error {
	for len(r.pending) == 0 && r.err == nil {
		p, err := r.next()
		if err != nil {
			r.fail(err)
		}
		r.pending = p
	}
	return r.err
}

// fail ends the decoding; the first error stays.
func (r *Reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.pending = nil
	r.jobs.stop()
	r.window.free()
}

// next returns more of the content, perhaps nothing yet; io.EOF at the end.
func (r *Reader) next() ([]byte, error) {
	if r.jobs.waiting() {
		ahead := r.canReadAhead()
		if !ahead || !r.turn {
			p, ok, err := r.jobs.take(!ahead)
			if ok {
				r.turn = true
				return p, err
			}
		}
		r.turn = false
	} else if r.ahead != nil {
		return nil, r.ahead
	}
	p, err := r.advance()
	if err != nil && r.jobs.waiting() {
		// What came before the error is delivered before it.
		r.ahead, err = err, nil
	}
	return p, err
}

// canReadAhead reports whether the file can be read on while blocks are being
// decoded: not beyond a block that has to be streamed or has no room yet.
func (r *Reader) canReadAhead() bool {
	switch {
	case r.ahead != nil || r.phase == phaseEnd:
		return false
	case r.phase == phaseReady:
		return r.jobs.suits(r.header, r.check) && r.jobs.room(r.header, r.check)
	}
	return true
}

// advance goes one step forward in the file.
func (r *Reader) advance() ([]byte, error) {
	switch r.phase {
	case phaseBlock:
		return nil, r.peekBlock()
	case phaseReady:
		return nil, r.startBlock()
	case phaseFill:
		done, err := r.jobs.fill(r.src)
		if done {
			r.phase = phaseBlock
			err = r.addBlock(r.header)
		}
		return nil, err
	case phaseStream:
		p, err := r.block.next()
		if err != nil || p != nil {
			return p, err
		}
		r.phase = phaseBlock
		return nil, r.addBlock(r.block.blockHeader)
	case phaseAlone:
		return r.alone.next()
	}
	return nil, io.EOF
}

// peekBlock reads the next block header and sees whether the memory can do; or
// the index, and what follows it.
func (r *Reader) peekBlock() error {
	b, err := r.src.need(1)
	if err != nil {
		return err
	}
	if b[0] == 0 {
		return r.endStream()
	}
	h, err := readBlockHeader(r.src)
	if err != nil {
		return err
	}
	r.header, r.phase = h, phaseReady
	if h.content >= 0 && min(h.window(), h.content) > r.memory {
		return &MemoryError{Needed: h.window(), Allowed: r.memory}
	}
	return nil
}

func (r *Reader) endStream() error {
	if err := readIndex(r.src, r.check, &r.blocks); err != nil {
		return err
	}
	more, err := nextStream(r.src)
	if err != nil || !more {
		r.phase = phaseEnd
		return err
	}
	if r.check, err = readStreamHeader(r.src); err != nil {
		return err
	}
	r.blocks.reset()
	r.phase = phaseBlock
	return nil
}

// addBlock counts a block whose sizes are known.
func (r *Reader) addBlock(h *blockHeader) error {
	if !r.blocks.add(h.unpadded(r.check), h.content) {
		return r.src.errorf("the sizes of the blocks exceed the format's range")
	}
	return nil
}

// window is how many bytes matches may refer to.
func (h *blockHeader) window() int64 { return max(int64(h.dict), minDict) }

// startBlock begins the block of r.header: for a worker where its sizes are
// known and there is room, else by streaming it.
func (r *Reader) startBlock() error {
	h := r.header
	if r.jobs.suits(h, r.check) && r.jobs.room(h, r.check) {
		r.window.free()
		r.phase = phaseFill
		return r.jobs.start(h, r.check, r.src.offset())
	}
	r.jobs.dropIdle()
	var err error
	if r.block.lzma2.short, err = r.openWindow(h.window(), h.content); err != nil {
		return err
	}
	r.block.begin(h, r.check, r.src, &r.window)
	r.phase = phaseStream
	return nil
}

// openWindow reserves the window for a dictionary of dict bytes and as much
// content, negative if that is not known. Where the memory allows less, short is
// the error when that is used up.
func (r *Reader) openWindow(dict, content int64) (short, err error) {
	dict = max(dict, minDict)
	size := dict + ringExtra
	if content >= 0 {
		size = min(size, content)
	}
	if size > r.memory+ringExtra {
		short = &MemoryError{Needed: dict, Allowed: r.memory}
		if content >= 0 {
			return nil, short
		}
		size = r.memory
	}
	err = r.window.reserve(int(size))
	for err != nil && content < 0 && size > step {
		// The content may be much less than the dictionary. If it is not, what
		// the kernel says now is the error when the window is full.
		short = err
		size /= 2
		err = r.window.reserve(int(size))
	}
	r.window.dict = uint32(min(dict, int64(r.window.size)))
	return short, err
}
