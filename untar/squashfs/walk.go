package squashfs

import (
	"bytes"
	"encoding/binary"
	"io"
)

// A File is a file of an image.
type File struct {
	_        [0]func() // forbids ==, whose code nothing needs
	Type     Type
	HardLink bool   // it is the file Link, which came before
	Path     []byte // clean; empty for the root
	Link     []byte // target of a symbolic link, or path of another name of the same file
	Mode     uint32 // at most 07777
	UID, GID uint32
	Time     uint32 // of the last modification, in seconds since 1970
	Device   [2]uint32
	Size     int64 // of a regular file in bytes
	Stored   int64 // bytes of it that are not in holes

	in inode
}

// Limits of a tree.
const (
	maxDepth = 1024     // directories in a directory; no real root file system is that deep
	maxPath  = 64 << 10 // bytes: 16 times PATH_MAX
	maxName  = 256      // bytes of a name: SQUASHFS_NAME_LEN
	maxNamed = 16 << 20 // bytes of the paths of files that have more names
	overhead = 100      // bytes that such a file takes besides its path
)

const (
	errDir       = "bad directory"
	errName      = "bad name in a directory"
	errOrder     = "a directory is not sorted, or has a name twice"
	errDeep      = "directories are too deep"
	errNumber    = "bad inode number"
	errTwice     = "two files have the same inode number"
	errDirTwice  = "a directory occurs twice"
	errMismatch  = "a directory and an inode contradict each other"
	errManyLinks = "too many hard links"
)

// A walker goes through the tree, directories before their content.
type walker struct {
	_      [0]func() // forbids ==, whose code nothing needs
	begun  bool
	levels []level
	path   []byte
	seen   []uint64          // a bit for each inode number
	named  map[uint32]*named // files that have more names, by inode number
	memory int               // of named
	words  int64             // sizes of blocks that were read
}

// A level is a directory that is being read.
type level struct {
	_     [0]func()
	list  cursor
	left  int64  // bytes of the list still to read
	run   int    // entries left that share the fields below
	block uint64 // where their inodes are
	base  uint32 // inode number to which theirs are relative
	path  int    // length of the directory's path
	last  [maxName]byte
	name  int // length of last
}

// named is a file with several names.
type named struct {
	_    [0]func()
	path string
	ref  uint64 // its inode
	left uint32 // names that are still to come
}

// walk sets f to the next file, or returns io.EOF after the last.
func (r *Reader) walk(f *File) error {
	w := &r.walker
	if !w.begun {
		w.begun = true
		return r.visit(f, r.super.root, TypeDir)
	}
	for len(w.levels) > 0 {
		l := &w.levels[len(w.levels)-1]
		if l.left > 0 {
			return r.entry(f, l)
		}
		if l.run > 0 {
			return bad(l.list.pos, errDir)
		}
		w.levels = w.levels[:len(w.levels)-1]
	}
	return io.EOF
}

// entry reads the next entry of a directory (struct squashfs_dir_header, squashfs_dir_entry).
func (r *Reader) entry(f *File, l *level) error {
	w, m, le := &r.walker, &r.meta, binary.LittleEndian
	at := l.list.pos
	var b [12]byte
	if l.run == 0 {
		if err := m.read(&l.list, b[:]); err != nil {
			return err
		}
		const maxRun = 256
		count := le.Uint32(b[:])
		if l.left -= 12; count >= maxRun {
			return bad(at, errDir)
		}
		l.run, l.block, l.base = int(count)+1, uint64(le.Uint32(b[4:])), le.Uint32(b[8:])
	}
	if err := m.read(&l.list, b[:8]); err != nil {
		return err
	}
	offset, number, kind, size := le.Uint16(b[:]), l.base+uint32(int16(le.Uint16(b[2:]))), Type(le.Uint16(b[4:])), int(le.Uint16(b[6:]))+1
	l.run--
	if l.left -= 8 + int64(size); l.left < 0 || kind == 0 || kind > TypeSocket {
		return bad(at, errDir)
	}
	if size > maxName {
		return bad(at, errName)
	}
	var name [maxName]byte
	n := name[:size]
	if err := m.read(&l.list, n); err != nil {
		return err
	}
	if string(n) == "." || string(n) == ".." || bytes.IndexByte(n, '/') >= 0 || bytes.IndexByte(n, 0) >= 0 {
		return bad(at, errName)
	}
	if bytes.Compare(n, l.last[:l.name]) <= 0 {
		return bad(at, errOrder)
	}
	l.name = copy(l.last[:], n)
	w.path = w.path[:l.path]
	if l.path > 0 {
		w.path = append(w.path, '/')
	}
	if w.path = append(w.path, n...); len(w.path) > maxPath {
		return bad(at, errDeep)
	}
	if err := r.visit(f, l.block<<16|uint64(offset), kind); err != nil {
		return err
	}
	if f.in.number != number {
		return bad(at, errMismatch)
	}
	return nil
}

// visit sets f to the file whose inode is at ref and whose path is w.path. A directory becomes
// the one that is read next.
func (r *Reader) visit(f *File, ref uint64, kind Type) error {
	w := &r.walker
	*f = File{Path: append(f.Path[:0], w.path...), Link: f.Link[:0]}
	in := &f.in
	if err := r.inode(f, ref); err != nil {
		return err
	}
	at := int64(r.super.tables.inodes) + int64(ref>>16)
	if f.Type != kind {
		return bad(at, errMismatch)
	}
	if in.number == 0 || in.number > r.super.inodes {
		return bad(at, errNumber)
	}
	bit := uint64(1) << (in.number & 63)
	again := w.seen[in.number/64]&bit != 0
	w.seen[in.number/64] |= bit
	switch {
	case kind == TypeDir:
		if again {
			return bad(at, errDirTwice)
		}
		return r.enter(f)
	case again || in.links > 1:
		if wrong := w.link(f, ref, again); wrong != "" {
			return bad(at, wrong)
		}
	}
	switch {
	case f.HardLink:
		f.Size = 0
	case kind == TypeFile:
		return r.measure(f, at)
	case kind == TypeSymlink:
		if f.Size == 0 || f.Size > maxTarget {
			return bad(at, errTarget)
		}
		f.Link = append(f.Link, make([]byte, f.Size)...)
		f.Size = 0
		c := in.rest
		if err := r.meta.read(&c, f.Link); err != nil {
			return err
		}
		if bytes.IndexByte(f.Link, 0) >= 0 {
			return bad(at, errTarget)
		}
	}
	return nil
}

// enter makes a directory the one that is read next.
func (r *Reader) enter(f *File) error {
	w := &r.walker
	const nothing = 3 // is added to the size of the list, for "." and ".."
	size := f.Size - nothing
	if f.Size = 0; size <= 0 {
		return nil
	}
	if len(w.levels) == maxDepth {
		return bad(int64(r.super.tables.dirs), errDeep)
	}
	w.levels = append(w.levels, level{
		list: cursorOf(f.in.start<<16|uint64(f.in.offset), int64(r.super.tables.dirs), r.dirEnd),
		left: size, path: len(w.path),
	})
	return nil
}

// link makes f a hard link if another name of its inode came before. Otherwise it keeps f's path
// for the names that follow. It returns what is wrong.
func (w *walker) link(f *File, ref uint64, again bool) string {
	first := w.named[f.in.number]
	switch {
	case !again:
		if w.memory += len(f.Path) + overhead; w.memory > maxNamed {
			return errManyLinks
		}
		w.named[f.in.number] = &named{path: string(f.Path), ref: ref, left: f.in.links - 1}
		return ""
	case first == nil || first.ref != ref:
		return errTwice
	}
	f.HardLink, f.Link = true, append(f.Link, first.path...)
	if first.left--; first.left == 0 {
		delete(w.named, f.in.number)
		w.memory -= len(first.path) + overhead
	}
	return ""
}

// blocks returns how many blocks a file has besides its fragment, and the size of the fragment's
// part.
func (r *Reader) blocks(f *File) (n, tail int64) {
	if tail = f.Size & int64(r.super.block-1); f.in.fragment == noFragment && tail > 0 {
		return f.Size>>r.super.log + 1, 0
	} else if f.in.fragment == noFragment {
		tail = 0
	}
	return f.Size >> r.super.log, tail
}

// blockSize returns the size of block i of a file in bytes.
func (r *Reader) blockSize(f *File, i int64) int64 {
	return min(int64(r.super.block), f.Size-i<<r.super.log)
}

// measure sets f.Stored, and checks the sizes of the file's blocks.
func (r *Reader) measure(f *File, at int64) error {
	n, tail := r.blocks(f)
	f.Stored = tail
	if f.in.fragment != noFragment && f.in.fragment >= r.super.fragments {
		return bad(at, errFragment)
	}
	const maxWords = 1 << 26 // 8 TiB in blocks of 128 KiB, read in less than a second
	if r.walker.words += n; r.walker.words > maxWords {
		return bad(at, errBlocks)
	}
	c, pos := f.in.rest, f.in.start
	for i := range n {
		word, err := r.word(&c)
		if err != nil {
			return err
		}
		if word == hole {
			continue
		}
		size, want := uint64(word&^blockStored), r.blockSize(f, i)
		if !r.fits(word, want) {
			return bad(at, errBlock)
		}
		if pos += size; pos > r.super.used || pos < size {
			return bad(at, errTruncated)
		}
		f.Stored += want
	}
	return nil
}

// fits reports whether a block of that size may have want bytes of content.
func (r *Reader) fits(word uint32, want int64) bool {
	size := int64(word &^ blockStored)
	return size > 0 && size <= int64(r.super.block) && (word&blockStored == 0 || size == want)
}

// word reads the size of a block from an inode.
func (r *Reader) word(c *cursor) (uint32, error) {
	var b [4]byte
	err := r.meta.read(c, b[:])
	return binary.LittleEndian.Uint32(b[:]), err
}

// Extents calls add for each part of the current file that is stored, in order. Parts that follow
// each other are one. If add returns false, they are too many.
func (r *Reader) Extents(add func(offset, length int64) bool) error {
	f := r.file
	n, tail := r.blocks(f)
	c, from, to := f.in.rest, int64(0), int64(0)
	for i := range n + 1 {
		size := tail
		if i < n {
			word, err := r.word(&c)
			if err != nil {
				return err
			}
			if size = 0; word != hole {
				size = r.blockSize(f, i)
			}
		}
		if at := i << r.super.log; size > 0 && to < at {
			if to > from && !add(from, to-from) {
				return r.Fail(textError("too many extents in a sparse file"))
			}
			from, to = at, at
		}
		to += size
	}
	if to > from {
		add(from, to-from)
	}
	return nil
}
