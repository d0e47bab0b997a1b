package untar

import (
	"bytes"
	"fmt"
	"io"
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

// A memberList collects the members of an archive.
type memberList struct {
	list []Member       // a negative Offset: no regular file is at the name
	to   []string       // where the symbolic links among them lead: paths below the root
	at   map[string]int // index in list and to, by name
}

// Offsets of what is no regular file.
const (
	noFile     = -1
	linkOffset = -2 // a symbolic link
)

// Members lists the regular files in an archive of size bytes that is not compressed. It reads
// the headers only. The archive may have at most most entries of any type. If a name occurs
// twice, the last entry counts, as it does for tar. A hard or symbolic link to a file of the
// archive is listed with the place of that file: "docker save" stores a layer that occurs twice
// once. The error is a *FormatError if the archive is bad, is cut off, or has a sparse file.
func Members(archive io.ReaderAt, size int64, most int) ([]Member, error) {
	p := parser{strictness: strictness{strict: true, vouched: true}}
	m := memberList{at: make(map[string]int)}
	block := make([]byte, blockSize)
	names := 0
	for off, ev := int64(0), more; ev != end; {
		n := int(min(size-off, blockSize))
		if n > 0 {
			if k, err := archive.ReadAt(block[:n], off); k < n {
				return nil, noEOF(err)
			}
		}
		bad := func(err error) error { return &FormatError{off, err} }
		if n < blockSize {
			if err := p.eof(block[:max(n, 0)]); err != nil {
				return nil, bad(err)
			}
			break
		}
		var err error
		if ev, err = p.feed(block); err != nil {
			return nil, bad(err)
		}
		body := int64(0)
		switch ev {
		case skipBody:
			body = p.skip
		case gotEntry:
			e := &p.entry
			names += len(e.Name) + len(e.Link)
			if most--; most < 0 || names > maxMemberNames {
				return nil, bad(errTooMany)
			}
			if err := m.add(e, off+blockSize); err != nil {
				return nil, bad(fmt.Errorf("entry %s: %w", quote(e.Name), err))
			}
			body = e.stored
		}
		if off += blockSize; body > size-off || body+-body&(blockSize-1) > size-off {
			return nil, bad(errTruncated)
		}
		off += body + -body&(blockSize-1)
	}
	return m.resolve(), nil
}

// add adds an entry, whose body is at an offset of the archive.
func (m *memberList) add(e *Entry, offset int64) error {
	clean, err := cleanName(nil, e.Name)
	if err != nil {
		return err
	}
	name := string(clean)
	i, old := m.at[name]
	if !old {
		i = len(m.list)
		m.at[name] = i
		m.list, m.to = append(m.list, Member{Name: name, Offset: noFile}), append(m.to, "")
	}
	f := &m.list[i]
	switch e.Type {
	case TypeFile:
		if e.Sparse {
			return errSparseMember
		}
		f.Offset, f.Size = offset, e.Size
	case TypeLink:
		if clean, err = cleanName(nil, e.Link); err != nil {
			return targetError(e, err)
		}
		target, ok := m.at[string(clean)]
		if !ok || m.list[target].Offset == noFile {
			return targetError(e, errTargetGone)
		}
		f.Offset, f.Size = m.list[target].Offset, m.list[target].Size
		m.to[i] = m.to[target]
	case TypeSymlink:
		f.Offset = linkOffset
		dir, _ := splitPath(clean)
		m.to[i] = linkTarget(string(dir), e.Link)
	default:
		f.Offset = noFile
	}
	return nil
}

// linkTarget returns the path to which a symbolic link in a directory leads if no other link is on
// the way, "" if that is no path below the root.
func linkTarget(dir string, target []byte) string {
	for len(target) > 0 {
		component, rest, _ := bytes.Cut(target, []byte("/"))
		switch string(component) {
		case "": // an absolute path
			return ""
		case ".":
		case "..":
			if dir == "" {
				return ""
			}
			dir = dir[:max(strings.LastIndexByte(dir, '/'), 0)]
		default:
			dir = string(joinPath([]byte(dir), string(component)))
		}
		target = rest
	}
	return dir
}

// resolve returns the files, and the symbolic links that lead to one.
func (m *memberList) resolve() []Member {
	for i := range m.list {
		place := i
		for n := 0; n < maxLinks && m.list[place].Offset == linkOffset; n++ {
			next, ok := m.at[m.to[place]]
			if !ok {
				break
			}
			place = next
		}
		m.list[i].Offset, m.list[i].Size = m.list[place].Offset, m.list[place].Size
	}
	files := m.list[:0]
	for _, f := range m.list {
		if f.Offset >= 0 {
			files = append(files, f)
		}
	}
	return files
}

// AppendHeader appends the header (ustar, POSIX.1-1988) of a regular file of size bytes, or of a
// directory if name ends with a slash. The name has at most 100 bytes. The file's bytes follow,
// and zeros up to a multiple of 512. A size of 8 GiB or more is written in base-256, as GNU tar
// writes it.
func AppendHeader(b []byte, name string, size int64) []byte {
	at := len(b)
	b = append(b, make([]byte, blockSize)...)
	h := b[at:]
	copy(h[offName:offName+100], name)
	mode, typ := int64(0o644), byte(TypeFile)
	if strings.HasSuffix(name, "/") {
		mode, typ = 0o755, TypeDir
	}
	putOctal(h[offMode:offMode+8], mode)
	putOctal(h[offUID:offUID+8], 0)
	putOctal(h[offGID:offGID+8], 0)
	if size < 1<<33 {
		putOctal(h[offSize:offSize+12], size)
	} else {
		h[offSize] = 0x80
		for i := range 8 {
			h[offSize+11-i] = byte(size >> (8 * i))
		}
	}
	putOctal(h[offMtime:offMtime+12], 0)
	h[offType] = typ
	copy(h[offMagic:], "ustar\x0000")
	sum := int64(8 * ' ') // the field of the sum counts as blanks
	for _, c := range h {
		sum += int64(c)
	}
	putOctal(h[offChecksum:offChecksum+8], sum)
	return b
}

// putOctal writes a number as octal digits and a NUL.
func putOctal(field []byte, n int64) {
	for i := len(field) - 2; i >= 0; i-- {
		field[i] = '0' + byte(n&7)
		n >>= 3
	}
}
