package xz

import (
	"io"
	"strings"
)

// BlockInfo describes a block of a file.
type BlockInfo struct {
	Stream     int    // number of the stream that the block is in, from 0
	Offset     int64  // of the block header in the file, in bytes
	HeaderSize int    // size of the block header in bytes
	Packed     int64  // compressed size in bytes, without padding and check
	Content    int64  // uncompressed size in bytes
	SizesKnown bool   // the block header has both sizes
	Check      string // "none", "CRC32", "CRC64" or "SHA-256"
	Dict       int64  // dictionary size in bytes
	Filters    string // such as "x86 lzma2", in the encoder's order
}

// List calls visit for each block of the .xz file r and returns the number of streams. It
// reads the whole file without decompressing it: List verifies headers, sizes, indexes and
// padding, but no checks of the content. Errors are those of a Reader.
func List(r io.Reader, visit func(BlockInfo)) (streams int, err error) {
	src := newSource(r)
	var blocks blockSums
	for more := true; more; streams++ {
		check, err := readStreamHeader(src)
		if err != nil {
			return streams, err
		}
		blocks.reset()
		for {
			b, err := src.need(1)
			if err != nil {
				return streams, err
			}
			if b[0] == 0 {
				break
			}
			info, h, err := listBlock(src, check)
			if err != nil {
				return streams, err
			}
			if !blocks.add(h.unpadded(check), h.content) {
				return streams, src.errorf("the sizes of the blocks exceed the format's range")
			}
			info.Stream = streams
			visit(info)
		}
		if err := readIndex(src, check, &blocks); err != nil {
			return streams, err
		}
		if more, err = nextStream(src); err != nil {
			return streams, err
		}
	}
	return streams, nil
}

// listBlock reads a block, skipping from one LZMA2 chunk to the next.
func listBlock(src *source, check checkType) (BlockInfo, *blockHeader, error) {
	h, err := readBlockHeader(src)
	if err != nil {
		return BlockInfo{}, nil, err
	}
	info := BlockInfo{
		Offset:     h.offset,
		HeaderSize: h.size,
		SizesKnown: h.packed >= 0 && h.content >= 0,
		Check:      check.String(),
		Dict:       h.window(),
	}
	names := []string{}
	for _, f := range h.before {
		names = append(names, filterName(f.id))
	}
	info.Filters = strings.Join(append(names, filterName(filterLZMA2)), " ")
	begin := src.offset()
	var content int64
	for {
		c, err := readChunk(src)
		if err != nil {
			return info, nil, err
		}
		if c.isEnd() {
			break
		}
		if _, err := src.next(c.packed); err != nil {
			return info, nil, err
		}
		content += int64(c.content)
	}
	packed := src.offset() - begin
	if h.packed >= 0 && h.packed != packed || h.content >= 0 && h.content != content {
		return info, nil, src.errorf("the block's sizes are not those that its header says")
	}
	h.packed, h.content = packed, content
	info.Packed, info.Content = packed, content
	_, err = src.next(int(h.dataSize(check) - packed))
	return info, h, err
}
