package xz

// step is about how many bytes are decoded at a time. They are still in the processor's
// cache when the check and the caller read them.
const step = 256 << 10

// lzma2 decodes the LZMA2 chunks of one block (xz file format, section 5.3.1; only liblzma's
// source documents the format itself). A chunk is a control byte and sizes, then up to
// 64 KiB of LZMA data or uncompressed bytes.
type lzma2 struct {
	_    [0]func() // forbids ==, whose code nothing needs
	z    lzma
	src  *source
	w    *window
	have int64 // uncompressed bytes so far
	max  int64 // have may not exceed this

	flat      bool  // the window holds the whole block
	fullErr   error // the error when the window is full, if it is smaller than the dictionary; else nil
	needDict  bool  // the next chunk must reset the dictionary
	needProps bool  // the next LZMA chunk must have new properties

	raw  bool  // the current chunk is not compressed
	left int   // how many uncompressed bytes of the current chunk are still to come
	end  int64 // offset in the file at which the current chunk ends
}

// begin prepares for a new block.
func (l *lzma2) begin(src *source, w *window, max int64) {
	l.src, l.w, l.max, l.have = src, w, max, 0
	l.needDict, l.needProps, l.left = true, true, 0
}

// next decodes up to step bytes into the window. It returns false at the end marker.
func (l *lzma2) next() (bool, error) {
	if l.left == 0 {
		if ok, err := l.beginChunk(); !ok {
			return false, err
		}
	}
	w := l.w
	if w.pos >= w.size {
		if l.fullErr != nil {
			return false, l.fullErr
		}
		w.wrap()
	}
	begin := w.pos
	stop := min(begin+min(l.left, step), w.size)
	if l.raw {
		b, err := l.src.need(1)
		if err != nil {
			return false, err
		}
		n := copy(w.buf[begin:stop], b)
		l.src.pos += n
		w.pos += n
	} else if err := l.decode(stop, begin+l.left); err != nil {
		return false, err
	}
	l.left -= w.pos - begin
	l.have += int64(w.pos - begin)
	return true, nil
}

// A chunk holds the fields of an LZMA2 chunk's header.
type chunk struct {
	control byte
	content int // uncompressed size in bytes
	packed  int // how many bytes follow the header
	props   byte
}

func (c *chunk) isEnd() bool      { return c.control == 0 }
func (c *chunk) isRaw() bool      { return c.control < 0x80 }
func (c *chunk) resetsDict() bool { return c.control >= 0xe0 || c.control == 1 }
func (c *chunk) hasProps() bool   { return c.control >= 0xc0 }
func (c *chunk) resets() bool     { return c.control >= 0xa0 } // state and probabilities

// readChunk reads a chunk's header.
func readChunk(src *source) (c chunk, err error) {
	b, err := src.next(1)
	if err != nil {
		return c, err
	}
	c.control = b[0]
	size := 0
	switch {
	case c.isEnd():
		return c, nil
	case c.hasProps():
		size = 5
	case !c.isRaw():
		size = 4
	case c.control > 2:
		return c, src.errorf("unknown LZMA2 chunk type 0x%02x", c.control)
	default:
		size = 2
	}
	if b, err = src.next(size); err != nil {
		return c, err
	}
	c.content = int(b[0])<<8 + int(b[1]) + 1
	if c.isRaw() {
		c.packed = c.content
		return c, nil
	}
	c.content += int(c.control&0x1f) << 16
	c.packed = int(b[2])<<8 + int(b[3]) + 1
	if c.hasProps() {
		c.props = b[4]
	}
	return c, nil
}

// beginChunk reads the next chunk's header and prepares for its data. It returns false at
// the end marker.
func (l *lzma2) beginChunk() (bool, error) {
	src := l.src
	c, err := readChunk(src)
	if err != nil || c.isEnd() {
		return false, err
	}
	if c.resetsDict() {
		l.needDict, l.needProps = false, true
		if l.flat {
			l.w.rebase()
		} else {
			l.w.restart()
		}
	} else if l.needDict {
		return false, src.errorf("the first LZMA2 chunk does not reset the dictionary")
	}
	if l.have+int64(c.content) > l.max {
		return false, src.errorf("more content than the block's header says")
	}
	l.raw, l.left = c.isRaw(), c.content
	if l.raw {
		return true, nil
	}
	switch {
	case c.hasProps():
		if !l.z.setProps(c.props) {
			return false, src.errorf("bad LZMA properties 0x%02x", c.props)
		}
		l.needProps = false
		l.z.reset()
	case l.needProps:
		return false, src.errorf("an LZMA2 chunk needs new properties and has none")
	case c.resets():
		l.z.reset()
	}
	l.end = src.offset() + int64(c.packed)
	b, err := src.need(max(c.packed, rangeStart))
	if err != nil {
		return false, err
	}
	if !l.z.start(b) {
		return false, src.errorf("LZMA data does not begin with 0")
	}
	src.pos += rangeStart
	return true, nil
}

// decode decodes LZMA data until the window's pos reaches stop. The chunk's content ends at
// end in the window. All of the chunk's data is in the source's buffer.
func (l *lzma2) decode(stop, end int) error {
	src := l.src
	inEnd := int(l.end - src.base)
	at, result := l.z.decode(l.w, src.buf, bounds{src.pos, inEnd, stop, end})
	if result == statusMore && l.w.pos >= end {
		at = l.z.normalize(src.buf, at)
	}
	src.pos = min(at, inEnd)
	switch {
	case result == statusTooFar:
		return src.errorf("a match refers to bytes before the dictionary")
	case result == statusTooLong:
		return src.errorf("a match is longer than its LZMA2 chunk")
	case result == statusMarker:
		return src.errorf("an end marker in LZMA2 data")
	case at > inEnd, l.w.pos < stop:
		return src.errorf("LZMA2 data longer than its chunk")
	case l.w.pos >= end && (at < inEnd || l.z.code != 0):
		return src.errorf("LZMA2 data does not end with its chunk")
	}
	return nil
}
