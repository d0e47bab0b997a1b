package xz

import "io"

// DecoderSlack is the capacity in bytes that the input of [Decoder.Decode] must have after its
// end. The bytes there may have any value.
const DecoderSlack = inputSlack

// A Decoder decodes short files that are in memory, one after the other, and keeps its memory
// between them. It is for formats that contain many such files, as squashfs does.
type Decoder struct{ r Reader }

// NewDecoder returns a Decoder for content of at most memory bytes. The window of a file is
// never larger than its content, as far as the file tells its size, or else than memory.
func NewDecoder(memory int64) *Decoder {
	return &Decoder{Reader{src: new(source), memory: memory, jobs: jobs{workers: 1, memory: memory}}}
}

// Close frees the memory.
func (d *Decoder) Close() { d.r.window.free() }

// Decode decodes packed, a whole file: .lzma if alone is set, else .xz. It writes the content
// to dst and returns its size. More content than dst has room for is an error.
func (d *Decoder) Decode(dst, packed []byte, alone bool) (int, error) {
	r := &d.r
	*r.src = source{buf: packed[:len(packed)+inputSlack], end: len(packed)}
	r.header, r.alone, r.phase = nil, nil, phaseBlock
	var err error
	if alone {
		err = r.openAlone()
	} else if r.stream.check, err = readStreamHeader(r.src); err == nil {
		r.stream.blocks.reset()
	}
	n := 0
	for err == nil {
		var p []byte
		p, err = r.advance()
		if len(p) > len(dst)-n {
			return n, r.src.errorf("more than %d bytes of content", len(dst))
		}
		n += copy(dst[n:], p)
	}
	if err == io.EOF {
		return n, nil
	}
	return n, err
}
