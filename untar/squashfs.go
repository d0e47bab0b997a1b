package untar

import (
	"context"
	"errors"
	"io"

	"lxc-pull/untar/squashfs"
)

// typeSocket is the type of a socket, which only squashfs images have. The extractor leaves it out,
// as unsquashfs and tar do: the program that listens makes it.
const typeSocket = 's'

// ExtractSquashfs is Extract for a squashfs image of size bytes. It decodes blocks on several
// CPUs; the memory for that is less than 8 MiB, or 14 MiB if the image has blocks of 1 MiB.
func (r *Root) ExtractSquashfs(image io.ReaderAt, size int64, opt Options) (*Report, error) {
	opt.Filter.recognizeInSquashfs(image, size)
	in, err := openSquashfs(image, size)
	if err != nil {
		return new(Report), err
	}
	defer in.r.Close()
	return r.extract(in, opt)
}

// CompareSquashfs is Compare for a squashfs image of size bytes.
func (r *Root) CompareSquashfs(ctx context.Context, image io.ReaderAt, size int64, opt *CompareOptions) (*Comparison, error) {
	image = UntilAt(ctx, image)
	own := *opt
	own.Filter.recognizeInSquashfs(image, size)
	in, err := openSquashfs(image, size)
	if err != nil {
		return nil, err
	}
	defer in.r.Close()
	return r.compare(ctx, in, &own)
}

// recognizeInSquashfs does what Filter.Top asks for with a squashfs image.
func (f *Filter) recognizeInSquashfs(image io.ReaderAt, size int64) {
	if !f.Top {
		return
	}
	if in, err := openSquashfs(image, size); err == nil { // else whoever extracts it gets the error
		f.recognize(in)
		in.r.Close()
	}
}

// WalkSquashfs is Walk for a squashfs image of size bytes.
func (opt Options) WalkSquashfs(image io.ReaderAt, size int64, fn func(e *Entry, body io.Reader) error) error {
	in, err := openSquashfs(image, size)
	if err != nil {
		return err
	}
	defer in.r.Close()
	return opt.walk(in, fn)
}

// SquashfsHead is how many of a file's first bytes IsSquashfs and SquashfsSize need at most.
const SquashfsHead = squashfs.HeadSize

// IsSquashfs reports whether a file that begins with head is a squashfs image.
func IsSquashfs(head []byte) bool { return squashfs.IsImage(head) }

// SquashfsSize returns how large the squashfs image is, in bytes, that begins with head. More
// bytes of the file are padding. It is 0 if head is not the beginning of an image.
func SquashfsSize(head []byte) int64 { return squashfs.ImageSize(head) }

// UntilAt returns a reader that fails with ctx's cause once ctx is done.
func UntilAt(ctx context.Context, r io.ReaderAt) io.ReaderAt { return &untilAt{ctx: ctx, r: r} }

type untilAt struct {
	_   [0]func() // forbids ==, whose code nothing needs
	ctx context.Context
	r   io.ReaderAt
}

func (u *untilAt) ReadAt(p []byte, off int64) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.r.ReadAt(p, off)
}

// A squashfsEntries is the entries of a squashfs image. Their names are those of an archive that
// "tar -C DIR -c ." makes.
type squashfsEntries struct {
	_     [0]func() // forbids ==, whose code nothing needs
	r     *squashfs.Reader
	entry Entry
}

func openSquashfs(image io.ReaderAt, size int64) (*squashfsEntries, error) {
	r, err := squashfs.Open(image, size, 0)
	if err != nil {
		return nil, squashfsError(err)
	}
	return &squashfsEntries{r: r}, nil
}

// squashfsError makes a bad image's error a FormatError.
func squashfsError(err error) error {
	var bad *squashfs.FormatError
	if errors.As(err, &bad) {
		return &FormatError{Offset: bad.Offset, Cause: bad.Cause}
	}
	return err
}

// types are the types of entries, by squashfs's types.
const types = "\x00" + string(TypeDir) + string(TypeFile) + string(TypeSymlink) + string(TypeBlock) + string(TypeChar) + string(TypeFIFO) + string(typeSocket)

func (s *squashfsEntries) next() (*Entry, error) {
	f, err := s.r.Next()
	if err != nil {
		return nil, squashfsError(err)
	}
	e := &s.entry
	e.extents.reset()
	e.Name = append(append(e.Name[:0], "./"...), f.Path...)
	if f.Type == squashfs.TypeDir && len(f.Path) > 0 {
		e.Name = append(e.Name, '/')
	}
	e.Type, e.Mode, e.UID, e.GID, e.Sec = types[f.Type], f.Mode, f.UID, f.GID, int64(f.Time)
	e.Major, e.Minor, e.Size, e.stored = f.Device[0], f.Device[1], f.Size, f.Stored
	e.Link, e.xattrs = e.Link[:0], e.xattrs[:0]
	const nobody = 1<<32 - 1 // chown(2) leaves the owner as it is
	if e.UID == nobody || e.GID == nobody {
		return nil, s.fail(errRange)
	}
	if f.HardLink {
		e.Type = TypeLink
		e.Link = append(e.Link, "./"...)
	}
	e.Flag, e.Link = e.Type, append(e.Link, f.Link...)
	if e.Sparse = f.Stored < f.Size; e.Sparse {
		err = s.r.Extents(func(offset, length int64) bool {
			e.extents.add(Extent{offset, length})
			return e.extents.n <= maxExtents
		})
	}
	if err == nil && !f.HardLink { // its first name has the attributes
		var list []squashfs.Xattr
		list, err = s.r.Xattrs()
		for i := range list {
			e.xattrs = append(e.xattrs, xattr{list[i].Name, list[i].Value})
		}
	}
	return e, squashfsError(err)
}

func (s *squashfsEntries) chunk(max int64) ([]byte, error) {
	b, err := s.r.Chunk(max)
	return b, squashfsError(err)
}

func (s *squashfsEntries) fail(cause error) error {
	return squashfsError(s.r.Fail(cause))
}
