package untar

import (
	"math"
)

// An Extent is a part of a sparse file that the archive stores, in bytes. Between extents
// are holes.
type Extent struct {
	Offset, Length int64
}

// extentChunk is the number of extents allocated together: 16 KiB.
const extentChunk = 1024

// keptChunks is the number of chunks that are reused for the next file: 256 KiB.
const keptChunks = 16

// An extentList is a sparse file's map. It grows by chunks, because a growing slice would
// leave two to four times its size to the garbage collector.
type extentList struct {
	chunks []*[extentChunk]Extent
	n      int
}

func (l *extentList) at(i int) Extent { return l.chunks[i/extentChunk][i%extentChunk] }

func (l *extentList) add(x Extent) {
	if l.n == len(l.chunks)*extentChunk {
		l.chunks = append(l.chunks, new([extentChunk]Extent))
	}
	l.chunks[l.n/extentChunk][l.n%extentChunk] = x
	l.n++
}

// reset empties the list.
func (l *extentList) reset() {
	if len(l.chunks) > keptChunks {
		l.chunks = nil
	}
	l.n = 0
}

var errSparse error = textError("bad sparse map")

// addExtent appends an extent to the map of the current entry.
func (p *parser) addExtent(offset, length int64) error {
	if p.entry.extents.n >= maxExtents {
		return errTooManyExtents
	}
	p.entry.extents.add(Extent{offset, length})
	return nil
}

// gnuPairs reads the pairs of an old GNU sparse header, up to the first empty pair.
func (p *parser) gnuPairs(b []byte, n int) error {
	for i := range n {
		f := b[i*24 : i*24+24]
		if f[0] == 0 || f[12] == 0 {
			return nil
		}
		offset, err := number(f[:12], p.strict)
		if err != nil {
			return errSparse
		}
		length, err := number(f[12:], p.strict)
		if err != nil {
			return errSparse
		}
		if err := p.addExtent(offset, length); err != nil {
			return err
		}
	}
	return nil
}

// mapText parses the map of pax format 0.1: "offset,length,offset,length".
func (p *parser) mapText(b []byte) error {
	var pair [2]int64
	for n := 0; len(b) > 0; n++ {
		i := 0
		for i < len(b) && b[i] != ',' {
			i++
		}
		v, err := decimal(b[:i])
		if err != nil {
			return errSparse
		}
		pair[n&1] = v
		if n&1 == 1 {
			if err := p.addExtent(pair[0], pair[1]); err != nil {
				return err
			}
		}
		if i == len(b) {
			if n&1 == 0 {
				return errSparse
			}
			return nil
		}
		b = b[i+1:]
	}
	return nil
}

// A mapReader reads the map before the data of a pax 1.0 sparse file: decimal numbers, each
// followed by a line feed. The first is the number of pairs. The map is padded to a full
// block.
type mapReader struct {
	_      [0]func() // forbids ==, whose code nothing needs
	count  int64     // pairs still to read; -1 until the count is read
	value  int64
	digits int
	pair   [2]int64
	half   bool // pair[0] was read
}

// mapBlock takes a block of the map and reports whether the map is complete.
func (p *parser) mapBlock(b []byte) (bool, error) {
	m := &p.sparseMap
	for _, c := range b {
		if c != '\n' {
			d := int64(c) - '0'
			if d < 0 || d > 9 || m.value > (math.MaxInt64-d)/10 {
				return false, errSparse
			}
			m.value, m.digits = m.value*10+d, m.digits+1
			if m.digits > 20 {
				return false, errSparse
			}
			continue
		}
		if m.digits == 0 {
			return false, errSparse
		}
		v := m.value
		m.value, m.digits = 0, 0
		switch {
		case m.count < 0:
			if v > maxExtents {
				return false, errTooManyExtents
			}
			m.count = v
		case !m.half:
			m.pair[0], m.half = v, true
		default:
			m.half = false
			m.count--
			if err := p.addExtent(m.pair[0], v); err != nil {
				return false, err
			}
		}
		if m.count == 0 {
			return true, nil // the rest of the block is padding
		}
	}
	return false, nil
}

// checkExtents checks that a map is sorted, does not overlap, lies within the file, and has
// as many bytes as the archive stores.
func (p *parser) checkExtents() error {
	e := &p.entry
	if e.Size < 0 {
		return errSparse
	}
	end, sum := int64(0), int64(0)
	for i := range e.extents.n {
		x := e.extents.at(i)
		if x.Offset < end || x.Length < 0 || x.Length > e.Size-x.Offset {
			return errSparse
		}
		end = x.Offset + x.Length
		sum += x.Length
	}
	if sum != e.stored {
		return errSparse
	}
	return nil
}
