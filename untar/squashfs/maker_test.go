package squashfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// A node is a file of an image that makeImage makes.
type node struct {
	name   string
	kind   Type
	number int    // of the inode; 0: the next one
	links  uint32 // 0: 1
	data   string // content, or target
	nodes  []*node
	// How the image is made wrong.
	also  *node  // the entry leads to this node's inode
	words []byte // the sizes of blocks, instead of one that is right
	size  int64  // of a file, instead of that of data
	delta int    // is added to the number in the directory's entry

	made bool
	ref  uint64
}

// A maker writes an image that is not compressed, with blocks of 4 KiB.
type maker struct {
	data, inodes, dirs []byte
	next, used         int
}

// stored returns metadata blocks with the content b.
func stored(b []byte) []byte {
	var out []byte
	for len(b) > 0 {
		n := min(len(b), metaSize)
		out = binary.LittleEndian.AppendUint16(out, uint16(n)|metaStored)
		out = append(out, b[:n]...)
		b = b[n:]
	}
	return out
}

// place returns the reference to the end of a table.
func place(table []byte) uint64 {
	return uint64(len(table)/metaSize*(metaSize+2))<<16 | uint64(len(table)%metaSize)
}

// add writes a node's inode and, before it, those of the nodes in it.
func (m *maker) add(n *node) {
	if n.made {
		return
	}
	n.made = true
	if n.number == 0 {
		m.next++
		n.number = m.next
	}
	m.used = max(m.used, n.number)
	le := binary.LittleEndian
	dir, size := uint64(0), 0
	if n.kind == TypeDir {
		for _, child := range n.nodes {
			if child.also == nil {
				m.add(child)
			}
		}
		dir = place(m.dirs)
		before := len(m.dirs)
		for _, child := range n.nodes {
			of := child
			if child.also != nil {
				of = child.also
			}
			m.dirs = le.AppendUint32(m.dirs, 0)
			m.dirs = le.AppendUint32(m.dirs, uint32(of.ref>>16))
			m.dirs = le.AppendUint32(m.dirs, uint32(of.number))
			m.dirs = le.AppendUint16(m.dirs, uint16(of.ref))
			m.dirs = le.AppendUint16(m.dirs, uint16(child.delta))
			m.dirs = le.AppendUint16(m.dirs, uint16(of.kind))
			m.dirs = le.AppendUint16(m.dirs, uint16(len(child.name)-1))
			m.dirs = append(m.dirs, child.name...)
		}
		size = len(m.dirs) - before + 3
	}
	n.ref = place(m.inodes)
	kind, b := n.kind, []byte(nil)
	links := max(n.links, 1)
	switch n.kind {
	case TypeDir:
		kind += extended
		b = le.AppendUint32(le.AppendUint32(le.AppendUint32(le.AppendUint32(nil, links), uint32(size)), uint32(dir>>16)), 0)
		b = le.AppendUint32(le.AppendUint16(le.AppendUint16(b, 0), uint16(dir)), noXattr)
	case TypeFile:
		kind += extended
		at := superSize + len(m.data)
		m.data = append(m.data, n.data...)
		length := uint64(len(n.data))
		if n.size != 0 {
			length = uint64(n.size)
		}
		b = le.AppendUint64(le.AppendUint64(le.AppendUint64(nil, uint64(at)), length), 0)
		b = le.AppendUint32(le.AppendUint32(le.AppendUint32(le.AppendUint32(b, links), noFragment), 0), noXattr)
		if n.words != nil {
			b = append(b, n.words...)
		} else if len(n.data) > 0 {
			b = le.AppendUint32(b, uint32(len(n.data))|blockStored)
		}
	case TypeSymlink:
		b = append(le.AppendUint32(le.AppendUint32(nil, links), uint32(len(n.data))), n.data...)
	default:
		b = le.AppendUint32(nil, links)
	}
	m.inodes = le.AppendUint16(m.inodes, uint16(kind))
	m.inodes = le.AppendUint16(m.inodes, 0o755)
	m.inodes = le.AppendUint32(m.inodes, 0) // owner and group
	m.inodes = le.AppendUint32(m.inodes, 1756445040)
	m.inodes = le.AppendUint32(m.inodes, uint32(n.number))
	m.inodes = append(m.inodes, b...)
}

// makeImage returns an image of the files in a root directory.
func makeImage(nodes ...*node) []byte {
	var m maker
	root := &node{kind: TypeDir, nodes: nodes}
	m.add(root)
	le := binary.LittleEndian
	b := append(make([]byte, superSize), m.data...)
	inodes := len(b)
	b = append(b, stored(m.inodes)...)
	dirs := len(b)
	b = append(b, stored(m.dirs)...)
	ids := len(b)
	b = append(b, stored([]byte{0, 0, 0, 0})...)
	index := len(b)
	b = le.AppendUint64(b, uint64(ids))
	copy(b, "hsqs")
	le.PutUint32(b[4:], uint32(m.used))
	le.PutUint32(b[12:], 4096)
	le.PutUint16(b[20:], gzip)
	le.PutUint16(b[22:], 12)
	le.PutUint16(b[26:], 1)
	le.PutUint16(b[28:], 4)
	le.PutUint64(b[32:], root.ref)
	le.PutUint64(b[40:], uint64(len(b)))
	for i, at := range []uint64{uint64(index), none, uint64(inodes), uint64(dirs), none, none} {
		le.PutUint64(b[48+8*i:], at)
	}
	return b
}

// A hostileImage is an image that must be refused.
type hostileImage struct {
	name, want string
	image      []byte
}

// hostile returns images that are refused.
func hostile() []hostileImage {
	var list []hostileImage
	add := func(name, want string, nodes ...*node) {
		list = append(list, hostileImage{name, want, makeImage(nodes...)})
	}
	file := func(name string) *node { return &node{name: name, kind: TypeFile, data: "x"} }
	for _, name := range []string{"..", ".", "a/b", "/", "../x", "a\x00b"} {
		add(fmt.Sprintf("name %q", name), "bad name", file(name))
	}
	add("long name", "bad name", file(strings.Repeat("n", 257)))
	add("not sorted", "not sorted", file("b"), file("a"))
	add("name twice", "not sorted", file("a"), file("a"))
	loop := &node{name: "loop", kind: TypeDir}
	loop.nodes = []*node{{name: "again", kind: TypeDir, also: loop}}
	// Its inode is written after its list, so the place in the list is a guess: the first inode.
	add("cycle", "occurs twice", loop)
	dir := &node{name: "a", kind: TypeDir, nodes: []*node{file("f")}}
	add("directory twice", "occurs twice", dir, &node{name: "b", kind: TypeDir, also: dir})
	add("number twice", "same inode number", file("a"), &node{name: "b", kind: TypeFile, number: 1, data: "y"})
	add("number of two files with links", "same inode number", &node{name: "a", kind: TypeFile, links: 2}, &node{name: "b", kind: TypeFile, number: 1, links: 2})
	one := file("a")
	add("link that is not counted", "same inode number", one, &node{name: "b", kind: TypeFile, also: one})
	add("other number in the directory", "contradict", &node{name: "a", kind: TypeFile, delta: 1}, file("b"))
	add("too long target", "bad target", &node{name: "a", kind: TypeSymlink, data: strings.Repeat("t", 4096)})
	add("empty target", "bad target", &node{name: "a", kind: TypeSymlink})
	add("NUL in a target", "bad target", &node{name: "a", kind: TypeSymlink, data: "a\x00b"})
	add("negative size", "impossible size", &node{name: "a", kind: TypeFile, size: -1})
	add("too many blocks", "too many blocks", &node{name: "a", kind: TypeFile, size: 1 << 62})
	add("block beyond the image", "cut off", &node{name: "a", kind: TypeFile, size: 4096, words: []byte{0, 16, 0, 1}})
	add("stored block without content", "bad block", &node{name: "a", kind: TypeFile, size: 4096, words: []byte{0, 0, 0, 1}})
	add("block too short", "bad block", &node{name: "a", kind: TypeFile, size: 4096, data: "x", words: []byte{1, 0, 0, 1}})
	add("block too long", "bad block", &node{name: "a", kind: TypeFile, size: 4096, data: strings.Repeat("x", 4097), words: []byte{1, 16, 0, 0}})
	add("block that is not zlib", "bad zlib data", &node{name: "a", kind: TypeFile, size: 5, data: "hello", words: []byte{5, 0, 0, 0}})
	deep := &node{name: "d", kind: TypeDir}
	for range maxDepth {
		deep = &node{name: "d", kind: TypeDir, nodes: []*node{deep, file("f")}}
	}
	add("deep", "too deep", deep)
	return list
}

func TestHostile(t *testing.T) {
	for _, test := range hostile() {
		_, err := manifest(test.image, 2, 1<<20)
		var bad *FormatError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

// The maker's images are right unless it makes them wrong.
func TestMaker(t *testing.T) {
	a := &node{name: "a", kind: TypeFile, data: "hello", links: 3}
	tree := []*node{a, {name: "b", kind: TypeFile, also: a}, {name: "d", kind: TypeDir, nodes: []*node{
		{name: "c", kind: TypeFile, also: a}, {name: "hole", kind: TypeFile, size: 1 << 20, words: make([]byte, 4*256)}, {name: "l", kind: TypeSymlink, data: "../a"},
		{name: "p", kind: TypeFIFO}, {name: "s", kind: TypeSocket},
	}}}
	got, err := manifest(makeImage(tree...), 2, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"a" "" false size=5 stored=5 0+5 2cf24dba5fb0a30e`, `"b" "a" true`, `"d/c" "a" true`, `"d/hole" "" false size=1048576 stored=0 e3b0`, `"d/l" "../a"`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
}

// The image may change after the sizes of a file's blocks were checked.
func TestChangedWhileRead(t *testing.T) {
	size := binary.LittleEndian.AppendUint32(nil, 4096|blockStored)
	for _, word := range []uint32{0xff0000, 0xffffff, 4097, 4097 | blockStored, 4095 | blockStored, blockStored, 1<<31 | 1} {
		image := makeImage(&node{name: "a", kind: TypeFile, data: strings.Repeat("x", 4096)})
		at := strings.Index(string(image), string(size))
		r, err := Open(readerAt(image), int64(len(image)), 1)
		if err == nil {
			_, err = r.Next() // the root
		}
		if err == nil {
			_, err = r.Next()
		}
		if err != nil || at < 0 {
			t.Fatal(err, at)
		}
		binary.LittleEndian.PutUint32(image[at:], word)
		r.meta.blocks = [metaBlocks]*metaBlock{}
		if _, err := r.Chunk(1 << 20); err == nil || !strings.Contains(err.Error(), errChanged) {
			t.Errorf("%#x: %v", word, err)
		}
		r.Close()
	}
}

// A directory of 100,000 files, whose tables have many blocks.
func TestManyFiles(t *testing.T) {
	var nodes []*node
	for i := range 100_000 {
		nodes = append(nodes, &node{name: fmt.Sprintf("%06d", i), kind: TypeFIFO})
	}
	image := makeImage(nodes...)
	r, err := Open(readerAt(image), int64(len(image)), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n := -1 // the root
	for ; err == nil; n++ {
		_, err = r.Next()
	}
	if n-1 != len(nodes) || err != io.EOF {
		t.Errorf("%d files, %v", n-1, err)
	}
}

// readerAt reads bytes.
type readerAt []byte

func (b readerAt) ReadAt(p []byte, off int64) (int, error) {
	n := copy(p, b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
