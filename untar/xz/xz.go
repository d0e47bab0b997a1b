// Package xz decodes .xz files, and files of the older .lzma format.
//
// It reads what liblzma 5.8 reads and refuses what liblzma refuses: several streams in a
// file with padding between them, any number of blocks, the checks none, CRC32, CRC64 and
// SHA-256, and LZMA2 after up to three of the branch filters and Delta. Every size and
// check in a file, the index included, is compared with the data. Unlike xz(1), which
// only warns, this package refuses a check of an unknown type.
//
// The format is "The .xz File Format", version 1.2.1, from tukaani.org; the comments cite
// its sections. docs/xz.md explains how the decoder works and what was measured.
//
// A [Reader] uses memory for the dictionary, as far as content has filled it, and less
// than 2 MiB more. With several workers, each block being decoded also takes memory for
// its uncompressed bytes, and all of them together for the compressed bytes of little more
// than one block.
//
// # Reading the code
//
// Read the files in this order: xz.go (the Reader, which goes through the file step by
// step), source.go (buffered input), stream.go (stream header, index, stream footer),
// block.go (block header, filter chain, check), lzma2.go (the chunks of a block), lzma.go
// (the state of the LZMA decoder), window.go (output and dictionary in one buffer),
// filter.go (branch filters and Delta). gen.go writes the inner loop, lzma.decodeGo, into
// decode_unsafe.go and decode_checked.go; lzma.decode is that loop, or the same in assembly
// (decode_amd64.s, decode_arm64.s, decode_arm.s). After that parallel.go (several blocks at a
// time), memory.go (the default memory limit), alone.go (.lzma files), list.go (List) and
// crc64_fold.go or crc64_tables.go can be read in any order.
//
// # The life of one block
//
// Reader.peekBlock reads the block header. Reader.startBlock reserves the window and calls
// block.begin. Each Reader.Read then leads, by Reader.fill, next and advance, to
// block.next: block.unpack has lzma2.next decode a part of a chunk into the window, takes
// the new bytes from the window and undoes the filters on them; block.next adds them to
// the check. After the last chunk block.finish compares the sizes and the check with those
// in the file, and Reader.addBlock adds the sizes to the sums that readIndex later compares
// with the index. If several blocks are decoded at a time, Reader.startBlock calls
// jobs.start instead, jobs.fill reads the compressed bytes, job.decode decodes them in a
// goroutine with block.decodeWhole, and jobs.take returns the content.
package xz

import (
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
)

// Options are the limits of a Reader. The zero value selects the defaults.
type Options struct {
	Memory  int64 // limit for the dictionary and block buffers, in bytes; 0: DefaultMemory()
	Workers int   // how many blocks may be decoded at a time; 0: GOMAXPROCS
}

// A FormatError reports data that is not a valid file, or that uses a feature which the
// format reserves or this package does not support.
type FormatError struct {
	Offset int64 // where the fault was found in the compressed data, in bytes
	Cause  string

	truncated bool
}

func (e *FormatError) Error() string { return fmt.Sprintf("xz: at byte %d: %s", e.Offset, e.Cause) }

// Is reports that an error about truncated data is io.ErrUnexpectedEOF.
func (e *FormatError) Is(target error) bool { return e.truncated && target == io.ErrUnexpectedEOF }

// A MemoryError reports data whose dictionary or content needs more memory than
// Options.Memory allows.
type MemoryError struct {
	Needed  int64 // bytes; 0 if the data does not say
	Allowed int64 // bytes
}

func (e *MemoryError) Error() string {
	if e.Needed == 0 {
		return fmt.Sprintf("decompression needs more memory than the %d bytes allowed", e.Allowed)
	}
	return fmt.Sprintf("decompression needs %d bytes of memory, %d are allowed", e.Needed, e.Allowed)
}

var errClosed = errors.New("xz: reader is closed")

// A Reader decodes a file. It reads its input only within its own methods, up to the end
// of the input before it returns io.EOF. After an error every call returns that error.
type Reader struct {
	src    *source
	memory int64 // limit, in bytes
	phase  phase
	alone  *alone // the decoder of a .lzma file; nil for .xz

	stream struct { // the .xz stream being read
		check  checkType
		blocks blockSums // the blocks read so far
	}
	header *blockHeader // of the block that was read last
	block  block        // the block being decoded by the Reader itself
	window window       // output of block or alone

	jobs  jobs     // blocks being decoded by workers
	ahead struct { // reading the file while workers decode
		turn bool  // it is time to read: the last call returned content
		err  error // an error met by reading ahead; it is returned after all earlier content
	}

	pending []byte // decoded bytes that the caller has not read yet
	err     error
}

// phase says what comes next in the file.
type phase int

const (
	phaseBlock  phase = iota // a block header or the index
	phaseReady               // the data of the block whose header was just read
	phaseStream              // more data of the block that the Reader decodes
	phaseFill                // more data of the block that is being read for a worker
	phaseAlone               // more data of a .lzma file
	phaseEnd                 // nothing
)

// NewReader returns a Reader of the .xz file r. It reads the stream header and the first
// block header; if these show that r is not an .xz file it returns a *FormatError, and if
// they show that decoding would exceed the memory limit a *MemoryError.
func NewReader(r io.Reader, opt Options) (*Reader, error) {
	x := newReader(r, opt)
	var err error
	if x.stream.check, err = readStreamHeader(x.src); err != nil {
		return nil, err
	}
	x.stream.blocks.reset()
	if err := x.peekBlock(); err != nil {
		return nil, err
	}
	return x, nil
}

// newReader returns a Reader that has read nothing yet.
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
		jobs:   jobs{workers: opt.Workers, memory: memory, thrifty: int64(opt.Workers) * thriftyWorker},
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

// WriteTo writes the rest of the content to w, directly from the dictionary.
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

// Close frees the Reader's memory and ends its goroutines; it must be called. It does not
// close the input.
func (r *Reader) Close() error {
	r.fail(errClosed)
	return nil
}

// fill decodes until pending holds bytes or err is set.
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

// fail ends the decoding with err, unless an earlier error ended it already.
func (r *Reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.pending = nil
	r.jobs.stop()
	r.window.free()
}

// next returns more of the content, or nothing if a step of the work gave none; io.EOF at
// the end. While workers decode, next takes turns between reading the file ahead and
// returning the content of the first block.
func (r *Reader) next() ([]byte, error) {
	if r.jobs.waiting() {
		canRead := r.canReadAhead()
		if !canRead || !r.ahead.turn {
			p, ok, err := r.jobs.take(!canRead)
			if ok {
				r.ahead.turn = true
				return p, err
			}
		}
		r.ahead.turn = false
	} else if r.ahead.err != nil {
		return nil, r.ahead.err
	}
	p, err := r.advance()
	if err != nil && r.jobs.waiting() {
		// Return the content of the blocks before the error first.
		r.ahead.err, err = err, nil
	}
	return p, err
}

// canReadAhead reports whether the Reader can go on reading the file while workers decode.
// It can't read past a block that it must decode itself or that has no room yet,
// and it need not while the last decoder has enough to do.
func (r *Reader) canReadAhead() bool {
	switch {
	case r.ahead.err != nil || r.phase == phaseEnd:
		return false
	case r.phase == phaseReady:
		return r.jobs.suits(r.header, r.stream.check) && r.jobs.room(r.header, r.stream.check)
	case r.phase == phaseFill:
		return !r.jobs.fed()
	}
	return true
}

// advance does the next step in the file and returns the content that the step gave.
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

// peekBlock reads the next block header and compares the block's need with the memory
// limit. If the index comes instead, peekBlock reads it and the header of the next stream.
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

// endStream reads the index, the stream footer and, if another stream follows, its header.
func (r *Reader) endStream() error {
	if err := readIndex(r.src, r.stream.check, &r.stream.blocks); err != nil {
		return err
	}
	more, err := nextStream(r.src)
	if err != nil || !more {
		r.phase = phaseEnd
		return err
	}
	if r.stream.check, err = readStreamHeader(r.src); err != nil {
		return err
	}
	r.stream.blocks.reset()
	r.phase = phaseBlock
	return nil
}

// addBlock adds a block, whose sizes are known by now, to those that the index must list.
func (r *Reader) addBlock(h *blockHeader) error {
	if !r.stream.blocks.add(h.unpadded(r.stream.check), h.content) {
		return r.src.errorf("the sizes of the blocks exceed the format's range")
	}
	return nil
}

// window returns how far back a match may refer, in bytes.
func (h *blockHeader) window() int64 { return max(int64(h.dict), minDict) }

// startBlock begins the block of r.header. A worker decodes it if the header has both
// sizes and there is room; else the Reader decodes it as it reads.
func (r *Reader) startBlock() error {
	h, check := r.header, r.stream.check
	if r.jobs.suits(h, check) && r.jobs.room(h, check) {
		r.window.free()
		r.phase = phaseFill
		return r.jobs.start(h, check, r.src.offset())
	}
	r.jobs.dropIdle()
	var err error
	if r.block.lzma2.fullErr, err = r.openWindow(h.window(), h.content); err != nil {
		return err
	}
	r.block.begin(h, check, r.src, &r.window)
	r.phase = phaseStream
	return nil
}

// openWindow reserves the window for a dictionary of dict bytes and content bytes of
// content; content is negative if unknown. With unknown content the window may become
// smaller than the dictionary, since the content may be short. fullErr is then the error
// to return when the window is full.
func (r *Reader) openWindow(dict, content int64) (fullErr, err error) {
	dict = max(dict, minDict)
	size := dict + ringExtra
	if content >= 0 {
		size = min(size, content)
	}
	if size > r.memory+ringExtra {
		fullErr = &MemoryError{Needed: dict, Allowed: r.memory}
		if content >= 0 {
			return nil, fullErr
		}
		size = r.memory
	}
	err = r.window.reserve(int(size))
	for err != nil && content < 0 && size > step {
		// The kernel gives less. The content may still fit.
		fullErr = err
		size /= 2
		err = r.window.reserve(int(size))
	}
	r.window.dict = uint32(min(dict, int64(r.window.size)))
	return fullErr, err
}
