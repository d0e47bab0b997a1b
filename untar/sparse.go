package untar

import (
	"errors"
	"math"
)

// An Extent is a piece of a sparse file that the archive stores; what lies
// between extents is a hole.
type Extent struct {
	Offset, Length int64
}

// extentChunk is how many extents come into one piece of memory, 16 KiB.
const extentChunk = 1024

// keptChunks is how much of a large map stays for the next file, 256 KiB.
const keptChunks = 16

// An extentList is a map of extents. It grows by chunks: a slice that grows
// leaves twice its size behind for the garbage collector, four times at worst.
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

var errSparse = errors.New("bad sparse map")

// addExtent appends a piece to the map of the entry at hand.
func (p *parser) addExtent(offset, length int64) error {
	if p.entry.extents.n >= maxExtents {
		return errTooManyExtents
	}
	p.entry.extents.add(Extent{offset, length})
	return nil
}

// gnuPairs reads pairs of old GNU sparse headers up to the first empty one.
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

// mapText reads the numbers of a 0.1 map: "offset,length,offset,length".
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

// mapReader reads the map in front of a 1.0 sparse file's data: decimal
// numbers, each with a line feed, the first of them the count of pairs, padded
// to a whole block.
type mapReader struct {
	count  int64 // pairs still to come; -1 before the count is known
	value  int64
	digits int
	pair   [2]int64
	half   bool // pair[0] is set
}

// block takes one block and reports whether the map is complete.
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
			return true, nil // what is left of the block is padding
		}
	}
	return false, nil
}

// checkExtents makes sure that a sparse map is sorted, free of overlaps, inside
// the file, and holds as many bytes as the archive stores.
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
