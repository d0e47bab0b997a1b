package untar

import (
	"bytes"
	"fmt"
)

// The parser keeps no more than this in memory.
const (
	maxPax     = 1 << 20  // bytes of an extended header; usual ones have a few hundred
	maxLong    = 64 << 10 // bytes of a GNU long name or link: 16 times PATH_MAX
	maxExtents = 1 << 20  // extents of a sparse file: 16 MiB of memory
	maxGlobal  = 1 << 10  // bytes of an owner or time in a global header, which is parsed again for each entry
	maxXattrs  = 1024     // attributes of an entry; the kernel lists at most 64 KiB of names
)

var (
	errNotTar         error = textError("not a tar archive")
	errChecksum       error = textError("header checksum is wrong")
	errLoneZero       error = textError("data after a single zero block")
	errEmpty          error = textError("archive is empty")
	errNoEnd          error = textError("archive has no end-of-archive blocks")
	errTruncated      error = textError("archive is cut off")
	errNoEntry        error = textError("extended header without an entry after it")
	errTooLong        error = textError("extended header is too long")
	errRepeated       error = textError("two extended headers of one kind before an entry")
	errConflict       error = textError("two extended headers in conflict")
	errGlobal         error = textError("global header would change every entry")
	errNUL            error = textError("NUL byte in an extended header")
	errBodySize       error = textError("entry of this type has a size")
	errLinkBody       error = textError("hard link with a body")
	errBadType        error = textError("entry type is not supported")
	errMultiVolume    error = textError("part of a multi-volume archive")
	errTooManyExtents error = textError("too many extents in a sparse file")
	errTooManyXattrs  error = textError("too many extended attributes")
	errXattr          error = textError("malformed extended attribute")
)

// An Entry is a member of an archive. Its slices are valid until the next entry is read.
type Entry struct {
	Type         byte   // one of the Type constants
	Name         []byte // as stored, with "./" or "/" in front and "/" at the end
	Link         []byte // target of a hard or symbolic link, as stored
	Mode         uint32 // permission, setuid, setgid and sticky bits: at most 07777
	UID, GID     uint32
	Uname, Gname []byte
	Sec          int64 // modification time in seconds since 1970
	Nsec         int32
	Size         int64 // size of the file in bytes, holes included
	Sparse       bool
	Major, Minor uint32 // device numbers

	Flag byte // the type byte of the header

	stored                int64      // bytes of the body in the archive, without padding
	extents               extentList // the parts of a sparse file that are stored
	xattrs                []xattr
	aclAccess, aclDefault []byte // ACLs as text
}

// Unknown reports whether no format defines the type byte. Such an entry is read as a
// regular file.
func (e *Entry) Unknown() bool {
	switch e.Flag {
	case TypeFile, typeOld, typeCont, typeSparse:
		return false
	}
	return e.Type == TypeFile
}

// A parser turns the blocks of a tar archive into entries. It does no I/O: feed takes one
// block and says what the next block is.
//
// It reads v7, ustar, pax, GNU, star and Solaris headers and all four forms of sparse
// files. The constants above limit its memory.
type parser struct {
	strictness

	state    state
	some     bool  // a header was read
	entries  bool  // an entry was read
	linkBody bool  // the last entry was a hard link with a size; a body would be an error
	skip     int64 // bytes to skip after a skipBody event

	ext       extendedHeaders
	globals   [len(globalKeys)][]byte // the last record for each key, with length and newline
	entry     Entry
	sparse    sparseForm
	sparseMap mapReader
}

// A strictness says what a parser refuses.
type strictness struct {
	strict  bool // refuse oddities, see Options.Strict
	vouched bool // accept a missing end in spite of strict
	layer   bool // accept an archive without entries in spite of strict, and no bytes at all
}

// extendedHeaders are the headers that describe the entry after them.
type extendedHeaders struct {
	pax, name, link, global extendedHeader

	current *extendedHeader // whose payload is being read
	left    int64           // bytes of that payload still to come
}

// An extendedHeader is a header with a payload that describes another entry.
type extendedHeader struct {
	set  bool // the next entry uses it
	data []byte
}

// waiting reports whether an extended header needs an entry after it.
func (x *extendedHeaders) waiting() bool { return x.pax.set || x.name.set || x.link.set }

// A state says what the next block is.
type state uint8

const (
	wantHeader  state = iota
	wantPayload       // a block of an extended header
	wantPairs         // a block of an old GNU sparse map
	wantMap           // a block of a 1.0 sparse map
	wantZero          // the second end-of-archive block
	ended
)

// A sparseForm says where the map of a sparse file is.
type sparseForm uint8

const (
	notSparse sparseForm = iota
	sparseGNU            // old GNU: pairs in the header
	sparse0              // pax 0.0 and 0.1: pairs in records
	sparse1              // pax 1.0: pairs before the data
)

// An event is the result of feeding a block.
type event uint8

const (
	more     event = iota // feed the next block
	skipBody              // skip p.skip bytes and their padding, then feed the next block
	gotEntry              // p.entry is complete; entry.stored bytes and padding follow
	end                   // the archive is complete; ignore what follows
)

// feed takes the next block.
func (p *parser) feed(b []byte) (event, error) {
	switch p.state {
	case wantPayload:
		return p.payload(b)
	case wantPairs:
		if err := p.gnuPairs(b, 21); err != nil {
			return 0, err
		}
		if b[504] != 0 {
			return more, nil
		}
		return p.complete()
	case wantMap:
		if p.entry.stored < blockSize {
			return 0, errSparse
		}
		p.entry.stored -= blockSize
		done, err := p.mapBlock(b)
		if err != nil || !done {
			return more, err
		}
		return p.complete()
	}
	return p.head(b)
}

// eof returns an error unless the input may end here. rest is the incomplete block at the
// end.
func (p *parser) eof(rest []byte) error {
	switch {
	case p.state == wantZero && !p.strict:
		return nil // the second zero block is incomplete
	case len(rest) > 0 && !p.some:
		return notTar(rest)
	case len(rest) > 0:
		return errTruncated
	case p.state == wantZero:
		return nil
	case p.state != wantHeader:
		return errTruncated
	case !p.some && p.layer:
		return nil
	case !p.some:
		return errNotTar
	case p.ext.waiting():
		return errNoEntry
	case p.strict && !p.vouched:
		return errNoEnd
	}
	return nil
}

// notTar returns the error for input that is not a tar archive, with its format if that is
// known.
func notTar(head []byte) error {
	if name := Unsupported(head); name != "" {
		return fmt.Errorf("%w: it is %s, which is not supported", errNotTar, name)
	}
	if format := detectFormat(head); format != FormatPlain && format != FormatLZMA { // lzma has no magic bytes
		return fmt.Errorf("%w: its content is %s-compressed once more", errNotTar, format)
	}
	return errNotTar
}

// head parses a block at a place where a header must be.
func (p *parser) head(b []byte) (event, error) {
	if isZero(b) {
		if p.ext.waiting() {
			return 0, errNoEntry
		}
		p.some, p.linkBody = true, false
		if p.strict && !p.entries && !p.layer {
			return 0, errEmpty
		}
		if p.state == wantZero {
			p.state = ended
			return end, nil
		}
		p.state = wantZero
		return more, nil
	}
	switch sound := checksumOK(b, p.strict); {
	case p.state == wantZero && !sound && !p.strict:
		// Like other programs, take the single zero block for the end. No entry is lost,
		// since this block is no header.
		p.state = ended
		return end, nil
	case p.state == wantZero:
		return 0, errLoneZero
	case !sound && p.linkBody:
		return 0, errLinkBody
	case !sound && p.some:
		return 0, errChecksum
	case !sound:
		return 0, notTar(b)
	}
	p.some, p.linkBody = true, false
	size, err := number(b[offSize:offSize+12], p.strict)
	if err != nil {
		return 0, err
	}
	if size < 0 {
		return 0, errRange
	}
	switch b[offType] {
	case typePax, typeSolaris:
		return p.extended(&p.ext.pax, size, maxPax)
	case typeLongName:
		return p.extended(&p.ext.name, size, maxLong)
	case typeLongLink:
		return p.extended(&p.ext.link, size, maxLong)
	case typeGlobal:
		p.ext.global.set = false // global headers may follow each other
		return p.extended(&p.ext.global, size, maxPax)
	case typeVolume:
		p.skip = size
		return skipBody, nil
	case typeMulti, typeOldNames:
		return 0, errMultiVolume
	}
	return p.begin(b, size)
}

// extended prepares for the payload of an extended header.
func (p *parser) extended(h *extendedHeader, size, limit int64) (event, error) {
	if size > limit {
		return 0, errTooLong
	}
	if h.set && p.strict {
		return 0, errRepeated
	}
	h.set, h.data = true, h.data[:0]
	p.ext.current, p.ext.left = h, size
	if size > 0 {
		p.state = wantPayload
	}
	return more, nil
}

// payload takes a block of an extended header's payload.
func (p *parser) payload(b []byte) (event, error) {
	b = b[:min(p.ext.left, blockSize)]
	p.ext.left -= int64(len(b))
	h := p.ext.current
	h.data = append(h.data, b...)
	if p.ext.left > 0 {
		return more, nil
	}
	p.state = wantHeader
	if h == &p.ext.global {
		return more, p.readGlobal()
	}
	return more, nil
}

// globalKeys are the keywords that a global header may set for all entries after it, as `tar
// --pax-option=uid=0` does.
var globalKeys = [...]string{"uid", "gid", "uname", "gname", "mtime"}

// readGlobal reads a global header. GNU tar applies all of its records, bsdtar and
// archive/tar apply none. This parser applies owners and times. A name, a size or attributes
// for all entries are an attack if strict, else ignored. The comments that git archive
// writes are ignored.
func (p *parser) readGlobal() error {
	for b := p.ext.global.data; len(b) > 0; {
		key, _, rest, err := nextRecord(b)
		if err != nil {
			return err
		}
		for i, k := range globalKeys {
			if string(key) == k {
				if len(b)-len(rest) > maxGlobal {
					return errTooLong
				}
				p.globals[i] = append(p.globals[i][:0], b[:len(b)-len(rest)]...)
			}
		}
		b = rest
		if !p.strict {
			continue
		}
		switch k := string(key); {
		case k == "path", k == "linkpath", k == "size",
			bytes.HasPrefix(key, []byte("GNU.sparse.")), bytes.HasPrefix(key, []byte("SCHILY.xattr.")),
			bytes.HasPrefix(key, []byte("SCHILY.acl.")), bytes.HasPrefix(key, []byte(libarchiveXattr)):
			return errGlobal
		}
	}
	return nil
}

// begin reads an entry's header and applies the extended headers before it.
func (p *parser) begin(b []byte, size int64) (event, error) {
	form := formatOf(b)
	uid, gid, err := p.header(b, size, form)
	if err != nil {
		return 0, err
	}
	e := &p.entry
	if p.ext.name.set {
		e.Name = append(e.Name[:0], text(p.ext.name.data)...)
	}
	if p.ext.link.set {
		e.Link = append(e.Link[:0], text(p.ext.link.data)...)
	}
	realSize := int64(-1) // of a sparse file
	if p.mergeGlobals(); len(p.ext.pax.data) > 0 {
		if realSize, err = p.records(&uid, &gid); err != nil {
			return 0, err
		}
	}
	p.ext.pax.set, p.ext.name.set, p.ext.link.set = false, false, false
	// chown(2) takes 2^32-1 for "do not change": the file would keep the extractor as its
	// owner, and its setuid bit.
	if uid < 0 || uid >= 1<<32-1 || gid < 0 || gid >= 1<<32-1 {
		return 0, errRange
	}
	e.UID, e.GID = uint32(uid), uint32(gid)

	if err := p.applyType(b, form); err != nil {
		return 0, err
	}
	return p.beginSparse(b, realSize)
}

// header reads the fields of an entry's own header.
func (p *parser) header(b []byte, size int64, form format) (uid, gid int64, err error) {
	e := &p.entry
	e.extents.reset()
	*e = Entry{Name: e.Name[:0], Link: e.Link[:0], Uname: e.Uname[:0], Gname: e.Gname[:0], extents: e.extents, xattrs: e.xattrs[:0]}
	e.Type, e.Flag, e.stored = b[offType], b[offType], size
	p.sparse = notSparse

	if form == formatUSTAR || form == formatStar {
		n := 155
		if form == formatStar {
			n = 131
		}
		if prefix := text(b[offPrefix : offPrefix+n]); len(prefix) > 0 {
			e.Name = append(append(e.Name, prefix...), '/')
		}
	}
	e.Name = append(e.Name, text(b[offName:offName+100])...)
	e.Link = append(e.Link, text(b[offLink:offLink+100])...)
	if form != formatV7 {
		e.Uname = append(e.Uname, text(b[offUname:offUname+32])...)
		e.Gname = append(e.Gname, text(b[offGname:offGname+32])...)
	}
	mode, err := number(b[offMode:offMode+8], p.strict)
	if err != nil || mode < 0 {
		return 0, 0, errOr(err, errRange)
	}
	e.Mode = uint32(mode & 07777) // some programs also store the file type here
	if uid, err = number(b[offUID:offUID+8], p.strict); err != nil {
		return 0, 0, err
	}
	if gid, err = number(b[offGID:offGID+8], p.strict); err != nil {
		return 0, 0, err
	}
	e.Sec, err = number(b[offMtime:offMtime+12], p.strict)
	return uid, gid, err
}

// beginSparse reads the part of a sparse file's map that is in the header, and completes
// the entry unless blocks with the rest of the map follow. realSize is the size with
// holes from the extended header, or -1.
func (p *parser) beginSparse(b []byte, realSize int64) (event, error) {
	e := &p.entry
	if e.Type != TypeFile {
		p.sparse = notSparse
	}
	e.Size = e.stored
	e.Sparse = p.sparse != notSparse
	switch p.sparse {
	case sparseGNU:
		var err error
		if e.Size, err = number(b[offGNURealSize:offGNURealSize+12], p.strict); err != nil {
			return 0, errSparse
		}
		if err := p.gnuPairs(b[offGNUSparse:], 4); err != nil {
			return 0, err
		}
		if b[offGNUExtended] != 0 {
			p.state = wantPairs
			return more, nil
		}
	case sparse0:
		e.Size = realSize
	case sparse1:
		e.Size = realSize
		p.sparseMap = mapReader{count: -1}
		p.state = wantMap
		return more, nil
	}
	return p.complete()
}

// mergeGlobals puts the records of global headers before the entry's own records, which
// override them (pax(1), "pax Header Block").
func (p *parser) mergeGlobals() {
	pax := &p.ext.pax
	if !pax.set {
		pax.data = pax.data[:0]
	}
	own := len(pax.data)
	for _, record := range p.globals {
		pax.data = append(pax.data, record...)
	}
	if n := len(pax.data) - own; n > 0 && own > 0 {
		pax.data = append(pax.data[own:len(pax.data):len(pax.data)], pax.data[:own]...)
	}
}

// errOr returns err, or other if err is nil.
func errOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// applyType turns the header's type byte into the entry's type, and decides whether a
// body follows.
func (p *parser) applyType(b []byte, form format) error {
	e := &p.entry
	slash := len(e.Name) > 0 && e.Name[len(e.Name)-1] == '/'
	switch typ := e.Type; typ {
	case TypeFile, typeOld, typeCont:
		e.Type = TypeFile
		if slash { // a directory in v7 archives
			e.Type = TypeDir
			return p.noBody()
		}
		return nil
	case typeSparse:
		if form != formatGNU {
			return errBadType // sparse files of star have another layout
		}
		e.Type, p.sparse = TypeFile, sparseGNU
		return nil
	case typeDumpDir:
		e.Type = TypeDir // the body, a list of names, is skipped
		return nil
	case TypeLink:
		// Old programs write the file's size, but no body. If there is a body, the next
		// block is not a valid header, and linkBody makes that an error.
		p.linkBody = e.stored != 0
		e.stored = 0
		return nil
	case TypeSymlink, TypeDir, TypeFIFO:
		return p.noBody()
	case TypeChar, TypeBlock:
		major, err := number(b[offMajor:offMajor+8], p.strict)
		if err != nil {
			return err
		}
		minor, err := number(b[offMinor:offMinor+8], p.strict)
		if err != nil {
			return err
		}
		// mknod(2) takes 12 and 20 bits.
		if major < 0 || major >= 1<<12 || minor < 0 || minor >= 1<<20 {
			return errRange
		}
		e.Major, e.Minor = uint32(major), uint32(minor)
		return p.noBody()
	default:
		if p.strict {
			return errBadType
		}
		e.Type = TypeFile // as POSIX demands
		return nil
	}
}

// noBody ignores the size of an entry that can't have a body, as GNU tar, bsdtar and
// archive/tar do; strict refuses it.
func (p *parser) noBody() error {
	if e := &p.entry; e.stored != 0 {
		if p.strict {
			return errBodySize
		}
		e.stored = 0
	}
	return nil
}

// complete ends an entry after its last header block.
func (p *parser) complete() (event, error) {
	p.state = wantHeader
	e := &p.entry
	if e.Sparse {
		if err := p.checkExtents(); err != nil {
			return 0, err
		}
	}
	p.entries = true
	return gotEntry, nil
}
