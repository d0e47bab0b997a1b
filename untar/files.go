package untar

import (
	"fmt"
	"io"
)

// A File is a member of a small archive.
type File struct {
	Name string // clean, without a leading "./"; "" is the root
	Type byte   // TypeFile or another Type constant
	Mode uint32 // permissions, at most 07777
	Data []byte // content of a regular file
}

var errFileSize error = textError("larger than allowed")

const (
	// maxFiles is the most members that a small archive may have.
	maxFiles = 4096
	// maxHeaders is how many bytes such an archive may have besides the content of its files:
	// more than maxFiles headers, each with a pax header and padding.
	maxHeaders = maxFiles * 4096
)

// ReadFiles reads a small archive into memory, with Options.Strict. No file may be larger
// than maxFile bytes, and all files together no larger than maxTotal bytes. Members that are
// not regular files have no Data, and what they have in the archive is limited too: a little that
// is compressed could be terabytes of it.
func ReadFiles(tar io.Reader, maxFile, maxTotal int64) ([]File, error) {
	s := newStream(&bounded{tar, maxTotal + maxHeaders}, true, false)
	var files []File
	for {
		e, err := s.next()
		if err == io.EOF {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if len(files) == maxFiles {
			return nil, s.bad(s.off, errTooMany)
		}
		name, err := cleanName(nil, e.Name)
		if err != nil {
			return nil, fmt.Errorf("member %s: %w", quote(e.Name), err)
		}
		f := File{Name: string(name), Type: e.Type, Mode: e.Mode}
		if e.Type == TypeFile {
			if e.Size > maxFile || e.Size > maxTotal {
				return nil, fmt.Errorf("member %s: %w", quote(e.Name), errFileSize)
			}
			maxTotal -= e.Size
			if f.Data, err = io.ReadAll(&bodyReader{s: s, e: e}); err != nil {
				return nil, err
			}
		}
		files = append(files, f)
	}
}

// A bounded reads at most left bytes; reading more is an error.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errFileSize
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// Walk calls fn for each selected entry, with its content; holes are read as zeros. fn need
// not read all content. Walk reads the archive to its end. It applies Strict, Vouched,
// Filter (without Strip) and Limits.Entries.
func (opt Options) Walk(tar io.Reader, fn func(e *Entry, body io.Reader) error) error {
	return opt.walk(newStream(tar, opt.Strict, opt.Vouched), fn)
}

// walk calls fn for each selected entry of in, as Walk does.
func (opt Options) walk(in entries, fn func(e *Entry, body io.Reader) error) error {
	sel, err := newSelection(&opt)
	if err != nil {
		return err
	}
	for n := int64(0); ; n++ {
		e, err := in.next()
		if err == io.EOF {
			return sel.missing()
		}
		if err != nil {
			return err
		}
		if n == sel.maxEntries {
			return in.fail(errTooMany)
		}
		if ok, err := sel.selects(e.Name); err != nil {
			return fmt.Errorf("entry %s: %w", quote(e.Name), err)
		} else if !ok {
			continue
		}
		if err := fn(e, &bodyReader{s: in, e: e}); err != nil {
			return err
		}
	}
}

// A bodyReader reads an entry's content.
type bodyReader struct {
	_   [0]func() // forbids ==, whose code nothing needs
	s   entries
	e   *Entry
	off int64 // position in the file
	i   int   // index of the current extent
}

func (b *bodyReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if !b.e.Sparse {
		c, err := b.s.chunk(int64(len(p)))
		return copy(p, c), err
	}
	for b.i < b.e.extents.n {
		x := b.e.extents.at(b.i)
		if b.off < x.Offset {
			return b.zeros(p, x.Offset-b.off), nil
		}
		if left := x.Offset + x.Length - b.off; left > 0 {
			c, err := b.s.chunk(min(int64(len(p)), left))
			b.off += int64(len(c))
			return copy(p, c), err
		}
		b.i++
	}
	if b.off == b.e.Size {
		return 0, io.EOF
	}
	return b.zeros(p, b.e.Size-b.off), nil
}

// zeros reads from a hole.
func (b *bodyReader) zeros(p []byte, hole int64) int {
	n := int(min(int64(len(p)), hole))
	clear(p[:n])
	b.off += int64(n)
	return n
}
