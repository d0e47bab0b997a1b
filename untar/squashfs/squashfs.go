// Package squashfs reads squashfs 4.0 images, file by file in the order of their paths.
//
// The format is that of the kernel's Documentation/filesystems/squashfs.rst and of
// fs/squashfs/squashfs_fs.h. The package reads what mksquashfs(1) writes: all types of inodes,
// blocks compressed with zlib, lzma, xz (with branch filters), lz4 or zstd, or not at all,
// fragments, holes, extended attributes and hard links. It refuses lzo, and images of versions
// before 4.0.
//
// A [Reader] trusts nothing in the image. It refuses tables and blocks outside of the image,
// content that is longer or shorter than its inode says, names that can't be names of files,
// directories that are not sorted or that occur twice, and inode numbers that two files have.
//
// # Memory
//
// Metadata are read through a cache of 16 blocks of 8 KiB. Content is decoded ahead by up to 4
// workers, each with a compressed block, a decoder (xz and lzma: a window and 0.2 MiB) and their
// shares of 2 MiB of decoded blocks, or of one decoded block more than workers if that is more. 2
// MiB of fragments, or two fragments, are kept. With two workers that is 6 MiB for blocks of 128 KiB,
// and 10 MiB (with xz 12 MiB) for blocks of 1 MiB. Hard links take at most 16 MiB for the paths of
// files some of whose names are still to come, and inode numbers at most 2 MiB.
//
// # Reading the code
//
// Read squashfs.go (the superblock), metadata.go (metadata blocks and tables), inode.go, walk.go
// (directories), content.go (blocks of content, fragments and workers), xattr.go, decode.go and
// lz4.go.
package squashfs

import (
	"encoding/binary"
	"io"
	"math"
	"runtime"
	"strconv"
)

// A FormatError means that an image is damaged, cut off, hostile, or not supported.
type FormatError struct {
	_      [0]func() // forbids ==, whose code nothing needs
	Offset int64     // in the image, in bytes: where the bad part or its table begins
	Cause  error
}

func (e *FormatError) Error() string {
	return "bad squashfs image at byte " + strconv.FormatInt(e.Offset, 10) + ": " + e.Cause.Error()
}

func (e *FormatError) Unwrap() error { return e.Cause }

// A textError is an error that is only its text. Unlike errors.New, it takes no code when the
// program starts.
type textError string

func (e textError) Error() string { return string(e) }

// bad returns a FormatError.
func bad(at int64, cause string) error { return &FormatError{Offset: at, Cause: textError(cause)} }

const (
	errMagic     = "not a squashfs image"
	errVersion   = "not squashfs 4.0"
	errBlockSize = "bad block size"
	errTables    = "tables overlap or lie outside of the image"
	errTruncated = "the image is cut off"
	errInodes    = "more inodes than allowed"
	errRoot      = "the root is not a directory"
)

// Fields of the superblock (struct squashfs_super_block).
const (
	superSize = 96
	magic     = "hsqs"

	none = math.MaxUint64 // a table that does not exist
)

// IsImage reports whether a file that begins with head is a squashfs image.
func IsImage(head []byte) bool { return len(head) >= 4 && string(head[:4]) == magic }

// ImageSize returns the size of an image in bytes, as the first 48 bytes say; 0 if they are not
// those of an image.
func ImageSize(head []byte) int64 {
	if len(head) < HeadSize || !IsImage(head) {
		return 0
	}
	return int64(min(binary.LittleEndian.Uint64(head[40:]), math.MaxInt64))
}

// HeadSize is how many bytes ImageSize needs.
const HeadSize = 48

// Limits of an image.
const (
	maxInodes = 1 << 24 // eight times the most entries of an extraction; their bit set takes 2 MiB
	minLog    = 12      // of blocks: 4 KiB
	maxLog    = 20      // 1 MiB
)

// A super holds the fields of the superblock that are used.
type super struct {
	inodes, fragments uint32
	block             int // size of a block of content in bytes
	log, compressor   uint
	root, used        uint64
	ids               int                                                   // number of ids
	tables            struct{ inodes, dirs, fragments, ids, xattrs uint64 } // their positions
}

// A Reader reads an image. It is not safe for concurrent use.
type Reader struct {
	_      [0]func() // forbids ==, whose code nothing needs
	super  super
	meta   metadata
	ids    []uint32
	dirEnd int64 // end of the directory table
	xattrs xattrTable
	walker walker
	ahead  ahead
	file   *File // the current file
	err    error // returned by Next from now on
}

// Open reads the superblock of an image of size bytes. workers is how many blocks of content are
// decoded at the same time; 0 is the number of CPUs, but at most 4. Close the Reader.
func Open(image io.ReaderAt, size int64, workers int) (*Reader, error) {
	var b [superSize]byte
	if size < superSize {
		return nil, bad(0, errTruncated)
	}
	r := new(Reader)
	r.meta.image, r.meta.end = image, size
	if err := r.meta.readAt(b[:], 0); err != nil {
		return nil, err
	}
	s := &r.super
	if wrong := s.parse(b[:], size); wrong != "" {
		return nil, bad(0, wrong)
	}
	r.meta.end = int64(s.used)
	r.meta.decoder = decoder{compressor: s.compressor, most: metaSize}
	if err := r.readTables(); err != nil {
		r.meta.decoder.close()
		return nil, err
	}
	if workers <= 0 {
		workers = min(runtime.GOMAXPROCS(0), 4)
	}
	r.ahead.workers = workers
	r.walker.seen = make([]uint64, s.inodes/64+1)
	r.walker.named = map[uint32]*named{}
	return r, nil
}

// Close ends the workers and frees the memory.
func (r *Reader) Close() {
	r.ahead.close()
	r.meta.decoder.close()
}

// parse reads the superblock of an image of size bytes. It returns what is wrong.
func (s *super) parse(b []byte, size int64) string {
	u16 := func(at int) uint { return uint(b[at]) | uint(b[at+1])<<8 }
	u64 := func(at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	s.inodes, s.fragments = uint32(u64(4)), uint32(u64(16))
	block := uint32(u64(12))
	s.compressor, s.log, s.ids = u16(20), u16(22), int(u16(26))
	s.root, s.used = u64(32), u64(40)
	t := &s.tables
	t.ids, t.xattrs, t.inodes, t.dirs, t.fragments = u64(48), u64(56), u64(64), u64(72), u64(80)
	if s.fragments == 0 {
		t.fragments = none // some writers leave it undefined
	}
	name := compressorName(s.compressor)
	switch {
	case !IsImage(b):
		return errMagic
	case u16(28) != 4 || u16(30) != 0:
		return errVersion
	case s.log < minLog || s.log > maxLog || block != 1<<s.log:
		return errBlockSize
	case s.used > uint64(size):
		return errTruncated
	case s.inodes > maxInodes:
		return errInodes
	case name == "":
		return "unknown compressor"
	case s.compressor == lzo:
		return "compressor " + name + " is not supported"
	}
	s.block = int(block)
	// The tables are in this order, and those after dirs may be missing.
	last := uint64(superSize)
	for i, at := range []uint64{t.inodes, t.dirs, t.fragments, t.ids, t.xattrs} {
		if at == none && (i == 2 || i == 4) {
			continue
		}
		if at < last || at >= s.used {
			return errTables
		}
		last = at
	}
	if t.inodes == t.dirs || s.ids == 0 || s.inodes == 0 || s.fragments > s.inodes { // a file has one fragment at most
		return errTables
	}
	return ""
}

// readTables reads the ids and finds where the tables end.
func (r *Reader) readTables() error {
	s := &r.super
	// The directories end where the first block of the next table begins.
	end := s.tables.ids
	if s.fragments > 0 {
		first, err := r.meta.indexed(s.tables.fragments, int64(s.fragments)*fragmentSize, 0, s.tables.dirs)
		if err != nil {
			return err
		}
		end = min(end, first)
	}
	raw := make([]byte, 4*s.ids)
	for n := 0; n < len(raw); n += metaSize {
		first, err := r.meta.indexed(s.tables.ids, int64(len(raw)), n/metaSize, s.tables.dirs)
		if err != nil {
			return err
		}
		end = min(end, first)
		c := cursor{pos: int64(first), end: int64(s.tables.ids)}
		if err := r.meta.read(&c, raw[n:min(n+metaSize, len(raw))]); err != nil {
			return err
		}
	}
	r.dirEnd = int64(end)
	r.ids = make([]uint32, s.ids)
	for i := range r.ids {
		r.ids[i] = binary.LittleEndian.Uint32(raw[4*i:])
	}
	return r.xattrs.open(&r.meta, s.tables.xattrs, s.tables.dirs)
}
