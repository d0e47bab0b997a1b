package xz

import (
	"encoding/binary"
	"io"
	"math"
	"math/bits"
)

const (
	aloneHeaderSize = 13
	maxAloneSize    = 1 << 38 // 256 GiB; liblzma takes a larger size for an error
)

// IsAlone guesses whether a file that begins with head, at least 14 bytes, is a .lzma file.
// The format has no magic number. IsAlone requires, as liblzma does, a valid properties
// byte, a dictionary of 2^n or 2^n + 2^(n-1) bytes, a size that is unknown or at most
// 256 GiB, and 0 as the first byte of the range coder's data. It also requires a dictionary
// of at least 4 KiB; some tar archives would pass without this condition.
func IsAlone(head []byte) bool {
	if len(head) <= aloneHeaderSize || head[aloneHeaderSize] != 0 || !new(lzma).setProps(head[0]) {
		return false
	}
	dict := binary.LittleEndian.Uint32(head[1:])
	odd := dict >> bits.TrailingZeros32(dict)
	size := binary.LittleEndian.Uint64(head[5:])
	return dict >= minDict && (odd == 1 || odd == 3 || dict == math.MaxUint32) &&
		(size == math.MaxUint64 || size <= maxAloneSize)
}

// alone decodes a .lzma file: a header, then LZMA data that ends with an end marker, at the
// size that the header gives, or both.
type alone struct {
	_       [0]func() // forbids ==, whose code nothing needs
	z       lzma
	src     *source
	w       *window
	left    int64 // bytes of content to come; negative if unknown
	fullErr error // as in lzma2
	eof     bool  // the source has buffered the end of the input
	done    bool
}

// NewAloneReader returns a Reader of the .lzma file r. It reads the header and returns the
// errors that NewReader returns. Options.Workers is not used: the format has no blocks.
func NewAloneReader(r io.Reader, opt Options) (*Reader, error) {
	opt.Workers = 1
	x := newReader(r, opt)
	if err := x.openAlone(); err != nil {
		return nil, err
	}
	return x, nil
}

// openAlone reads the header of a .lzma file and prepares to decode it.
func (r *Reader) openAlone() error {
	b, err := r.src.need(aloneHeaderSize + rangeStart)
	if err != nil {
		return err
	}
	a := &alone{src: r.src, w: &r.window}
	if !a.z.setProps(b[0]) {
		return r.src.errorf("bad LZMA properties 0x%02x", b[0])
	}
	dict := int64(binary.LittleEndian.Uint32(b[1:]))
	a.left = int64(binary.LittleEndian.Uint64(b[5:]))
	if a.left != -1 && uint64(a.left) > maxAloneSize {
		return r.src.errorf("impossible content size %d", uint64(a.left))
	}
	r.src.pos += aloneHeaderSize
	if !a.z.start(b[aloneHeaderSize:]) {
		return r.src.errorf("LZMA data does not begin with 0")
	}
	r.src.pos += rangeStart
	a.z.reset()
	if a.fullErr, err = r.openWindow(dict, a.left); err != nil {
		return err
	}
	r.alone, r.phase = a, phaseAlone
	return nil
}

// next returns more of the content, or io.EOF after a valid end.
func (a *alone) next() ([]byte, error) {
	if a.done {
		return nil, io.EOF
	}
	w, src := a.w, a.src
	if a.left != 0 && w.pos >= w.size {
		if a.fullErr != nil {
			return nil, a.fullErr
		}
		w.wrap()
	}
	for src.end-src.pos < inputSlack && !a.eof {
		if err := src.more(inputSlack); err == io.EOF {
			a.eof = true
		} else if err != nil {
			return nil, err
		}
	}
	// All bytes of a symbol that begins before inEnd are in the buffer.
	inEnd := src.end
	if !a.eof {
		inEnd -= inputSlack
	}
	if a.left == 0 {
		return nil, a.finish(inEnd)
	}
	begin, end := w.pos, math.MaxInt
	stop := min(begin+step, w.size)
	if a.left > 0 {
		end = begin + int(min(a.left, math.MaxInt-int64(begin)))
		stop = min(stop, end)
	}
	at, result := a.z.decode(w, src.buf, bounds{src.pos, inEnd, stop, end})
	if a.left > 0 {
		a.left -= int64(w.pos - begin)
	}
	if err := a.status(at, result); err != nil {
		return nil, err
	}
	if result == statusMarker {
		if a.left > 0 {
			return nil, src.errorf("an end marker before the size in the header")
		}
		if err := a.end(); err != nil {
			return nil, err
		}
	}
	return w.take(), nil
}

// status sets the source's position to at and returns the error for decode's result.
func (a *alone) status(at int, result status) error {
	src := a.src
	if a.eof && at > src.end {
		src.pos = src.end
		_, err := src.need(1)
		return err
	}
	src.pos = at
	switch result {
	case statusTooFar:
		return src.errorf("a match refers to bytes before the dictionary")
	case statusTooLong:
		return src.errorf("more content than the size in the header")
	}
	return nil
}

// finish reads what follows content whose size the header gave: nothing, or the end marker.
func (a *alone) finish(inEnd int) error {
	if at := a.z.normalize(a.src.buf, a.src.pos); a.z.code != 0 || at > a.src.end {
		a.w.wrap()
		pos := a.w.pos
		at, result := a.z.decode(a.w, a.src.buf, bounds{at, inEnd, pos + 1, pos})
		if err := a.status(at, result); err != nil {
			return err
		}
		if result != statusMarker {
			return a.src.errorf("more content than the size in the header")
		}
	} else {
		a.src.pos = at
	}
	return a.end()
}

// end checks that the range coder's data and the file have ended.
func (a *alone) end() error {
	src := a.src
	if err := a.status(a.z.normalize(src.buf, src.pos), statusMore); err != nil {
		return err
	}
	if a.z.code != 0 {
		return src.errorf("LZMA data does not end properly")
	}
	if src.pos == src.end && !a.eof {
		if err := src.tryMore(); err != nil {
			return err
		}
	}
	if src.pos < src.end {
		return src.errorf("garbage after the end")
	}
	a.done = true
	return nil
}
