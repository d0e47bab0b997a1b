package untar

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// A Member is a regular file in an archive that is not compressed.
type Member struct {
	_      [0]func() // forbids ==, whose code nothing needs
	Name   string    // clean, without "./" before it
	Offset int64     // of its first byte in the archive
	Size   int64     // bytes
}

// maxMemberNames limits the names that Members keeps, in bytes: those of an archive of 20,000
// files with names of 200 bytes.
const maxMemberNames = 4 << 20

var errSparseMember error = textError("sparse file, which can't be read in place")

// A listed is an entry of an archive. Its Offset is noFile if it is no regular file.
type listed struct {
	Member
	link string // where a symbolic link leads, as a path below the root; "": it is none
}

const noFile = -1

// Members lists the regular files in an archive of size bytes that is not compressed. It passes
// over their content. The archive may have at most most entries of any type. If a name occurs
// twice, the last entry counts, as it does for tar. A hard or symbolic link to a file of the
// archive is listed with the place of that file: "docker save" stores a layer that occurs twice
// once. The error is a *FormatError if the archive is bad, is cut off, or has a sparse file.
func Members(archive io.ReaderAt, size int64, most int) ([]Member, error) {
	in := io.NewSectionReader(archive, 0, size)
	s := newStream(in, true, true)
	s.buf = s.buf[:8*blockSize] // more would be read in vain
	var all []*listed
	names, at := 0, make(map[string]int) // index in all
	for {
		e, err := s.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		names += len(e.Name) + len(e.Link)
		if most--; most < 0 || names > maxMemberNames {
			return nil, s.bad(s.off, errTooMany)
		}
		m, err := newListed(e, all, at)
		if err != nil {
			return nil, s.bad(s.off, fmt.Errorf("entry %s: %w", quote(e.Name), err))
		}
		if m.Offset == 0 {
			m.Offset, m.Size = s.off, e.Size
		}
		i, old := at[m.Name]
		if !old {
			i = len(all)
			at[m.Name] = i
			all = append(all, nil)
		}
		all[i] = m
		if s.body > size-s.off {
			return nil, s.bad(s.off, errTruncated)
		}
		if s.body > int64(s.hi-s.lo) {
			s.off += s.body
			s.lo, s.hi, s.body = 0, 0, 0
			in.Seek(s.off, io.SeekStart)
		}
	}
	files := []Member{}
	for _, m := range all {
		file, ok := m, true
		for n := 0; n < maxLinks && file.link != "" && ok; n++ {
			var i int
			if i, ok = at[file.link]; ok {
				file = all[i]
			}
		}
		if file.link == "" && file.Offset != noFile {
			m.Offset, m.Size = file.Offset, file.Size
			files = append(files, m.Member)
		}
	}
	return files, nil
}

// newListed returns what an entry is after the members all, whose indexes at has by their names.
// The Offset is 0 if it is a file whose content follows.
func newListed(e *Entry, all []*listed, at map[string]int) (*listed, error) {
	name, err := cleanName(nil, e.Name)
	if err != nil {
		return nil, err
	}
	m := new(listed)
	switch e.Type {
	case TypeFile:
		if e.Sparse {
			return nil, errSparseMember
		}
	case TypeLink:
		target, err := cleanName(nil, e.Link)
		if err != nil {
			return nil, targetError(e, err)
		}
		i, ok := at[string(target)]
		if !ok || all[i].Offset == noFile && all[i].link == "" {
			return nil, targetError(e, errTargetGone)
		}
		*m = *all[i]
	case TypeSymlink:
		m.Offset = noFile
		dir, _ := splitPath(name)
		// It leads nowhere if the path begins with ".." or "/".
		if m.link = string(e.Link); !strings.HasPrefix(m.link, "/") {
			m.link = filepath.Join(string(dir), m.link)
		}
	default:
		m.Offset = noFile
	}
	m.Name = string(name)
	return m, nil
}

// AppendHeader appends the header (ustar, POSIX.1-1988) of a regular file of size bytes, or of a
// directory if name ends with a slash. The name has at most 100 bytes. The file's bytes follow,
// and zeros up to a multiple of 512. A size of 8 GiB or more is written in base-256, as GNU tar
// writes it.
func AppendHeader(b []byte, name string, size int64) []byte {
	var h [blockSize]byte
	copy(h[offName:offName+100], name)
	// mode, user and group, size, time
	copy(h[offMode:], "0000644\x000000000\x000000000\x0000000000000\x0000000000000")
	h[offType] = TypeFile
	if strings.HasSuffix(name, "/") {
		copy(h[offMode:], "0000755")
		h[offType] = TypeDir
	}
	if size < 1<<33 {
		putOctal(h[offSize:offSize+11], size)
	} else {
		h[offSize] = 0x80
		for i := range 11 {
			h[offSize+11-i] = byte(size >> (8 * i))
		}
	}
	copy(h[offMagic:], "ustar\x0000")
	sum := int64(8 * ' ') // its own field counts as blanks
	for _, c := range h {
		sum += int64(c)
	}
	putOctal(h[offChecksum:offChecksum+7], sum)
	return append(b, h[:]...)
}

// putOctal fills a field with the octal digits of a number.
func putOctal(field []byte, n int64) {
	for i := len(field) - 1; i >= 0; i-- {
		field[i] = '0' + byte(n&7)
		n >>= 3
	}
}
