package untar

import (
	"bytes"
	"errors"
	"fmt"
)

// Limits of the parser: what one archive may make it hold.
const (
	maxPax     = 1 << 20  // bytes of one extended header; real ones have a few hundred
	maxLong    = 64 << 10 // bytes of one GNU long name or link, 16 times PATH_MAX
	maxExtents = 1 << 20  // pieces of one sparse file, 16 MB of map
	maxGlobal  = 1 << 10  // bytes of one owner or time in a global header: it is read again for each entry
	maxXattrs  = 1024     // attributes of one entry; the kernel lists at most 64 KiB of names
)

var (
	errNotTar         = errors.New("not a tar archive")
	errChecksum       = errors.New("header checksum is wrong")
	errLoneZero       = errors.New("data after a lone zero block")
	errEmpty          = errors.New("archive is empty")
	errNoEnd          = errors.New("archive has no end-of-archive blocks")
	errTruncated      = errors.New("archive is cut off")
	errNoEntry        = errors.New("extended header without an entry after it")
	errTooLong        = errors.New("extended header is too long")
	errRepeated       = errors.New("two extended headers of one kind before an entry")
	errConflict       = errors.New("two extended headers in conflict")
	errGlobal         = errors.New("global header would change every entry")
	errNUL            = errors.New("NUL byte in an extended header")
	errBodySize       = errors.New("entry of this type has a size")
	errLinkBody       = errors.New("hard link with a body")
	errBadType        = errors.New("entry type is not supported")
	errMultiVolume    = errors.New("part of a multi-volume archive")
	errTooManyExtents = errors.New("too many pieces in a sparse file")
	errTooManyXattrs  = errors.New("too many extended attributes")
	errXattr          = errors.New("malformed extended attribute")
)

// An Entry is one member of an archive. Its slices are valid until the next
// entry is read.
type Entry struct {
	Type         byte   // one of the Type constants
	Name         []byte // as stored: leading "./" and "/", trailing "/" and all
	Link         []byte // target of a hard or symbolic link, as stored
	Mode         uint32 // permissions with setuid, setgid, sticky: at most 07777
	UID, GID     uint32
	Uname, Gname []byte
	Sec          int64 // modification time in seconds since 1970
	Nsec         int32
	Size         int64 // bytes of the file, holes included
	Sparse       bool
	Major, Minor uint32 // of a device

	Flag byte // the type as the header has it

	stored                int64      // bytes of body in the archive, less padding
	extents               extentList // what of the file is stored, when Sparse
	xattrs                []xattr
	aclAccess, aclDefault []byte // ACLs as text
}

// Unknown reports a type that no format defines; it is taken as a file.
func (e *Entry) Unknown() bool {
	switch e.Flag {
	case TypeFile, typeOld, typeCont, typeSparse:
		return false
	}
	return e.Type == TypeFile
}

// A parser turns the blocks of a tar archive into entries. It does no I/O:
// feed takes one block and says what follows it.
//
// It reads v7, ustar, pax, GNU, star and Solaris headers and the four forms of
// sparse files. Everything that it keeps is bounded by the limits above.
type parser struct {
	strict  bool // an oddity is an error, see Options.Strict
	vouched bool // end-of-archive blocks may be missing also when strict

	state    state
	some     bool // a header has been read
	entries  bool // an entry has been read
	linkBody bool // the last entry was a hard link with a size: no body must follow
	kind     byte // type of the extended header whose payload is being read
	left     int64
	skip     int64 // bytes to pass over after a skip event

	hasPax, hasName, hasLink bool // extended headers that wait for their entry
	pax, name, link, global  []byte
	globals                  [len(globalKeys)][]byte // the last record of each, whole
	entry                    Entry
	sparse                   sparseForm
	sparseMap                mapReader
}

type state uint8

const (
	wantHeader  state = iota
	wantPayload       // of an extended header
	wantPairs         // a block of an old GNU sparse map
	wantMap           // a block of a 1.0 sparse map
	wantZero          // the second end-of-archive block
	ended
)

type sparseForm uint8

const (
	notSparse sparseForm = iota
	sparseGNU            // pairs in the header
	sparse0              // pax 0.0 and 0.1: pairs in records
	sparse1              // pax 1.0: pairs in front of the data
)

// An event is what a block led to.
type event uint8

const (
	more     event = iota // feed the next block
	skipBody              // pass over p.skip bytes and their padding, then feed
	gotEntry              // p.entry is complete; entry.stored bytes and padding follow
	end                   // the archive is complete; what follows means nothing
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

// eof says whether the input may end here, with rest, which is less than a
// block.
func (p *parser) eof(rest []byte) error {
	switch {
	case p.state == wantZero && !p.strict:
		return nil // a second zero block that was not written in full
	case len(rest) > 0 && !p.some:
		return notTar(rest)
	case len(rest) > 0:
		return errTruncated
	case p.state == wantZero:
		return nil
	case p.state != wantHeader:
		return errTruncated
	case !p.some:
		return errNotTar
	case p.hasPax || p.hasName || p.hasLink:
		return errNoEntry
	case p.strict && !p.vouched:
		return errNoEnd
	}
	return nil
}

// notTar names the format of what is no archive where that is known.
func notTar(head []byte) error {
	if name := Unsupported(head); name != "" {
		return fmt.Errorf("%w: it is %s, which is not supported", errNotTar, name)
	}
	if format := detectFormat(head); format != FormatPlain && format != FormatLZMA { // which has no magic
		return fmt.Errorf("%w: its content is %s-compressed once more", errNotTar, format)
	}
	return errNotTar
}

// head takes a block where a header is due.
func (p *parser) head(b []byte) (event, error) {
	if isZero(b) {
		if p.hasPax || p.hasName || p.hasLink {
			return 0, errNoEntry
		}
		p.some, p.linkBody = true, false
		if p.strict && !p.entries {
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
		// No header, so nothing is lost by taking the one zero block for the
		// end, as the others do.
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
	switch typ := b[offType]; typ {
	case typePax, typeSolaris:
		p.pax = p.pax[:0]
		return p.extended(typePax, size, maxPax, &p.hasPax)
	case typeLongName:
		p.name = p.name[:0]
		return p.extended(typ, size, maxLong, &p.hasName)
	case typeLongLink:
		p.link = p.link[:0]
		return p.extended(typ, size, maxLong, &p.hasLink)
	case typeGlobal:
		p.global = p.global[:0]
		ignored := false
		return p.extended(typ, size, maxPax, &ignored)
	case typeVolume:
		p.skip = size
		return skipBody, nil
	case typeMulti, typeOldNames:
		return 0, errMultiVolume
	}
	return p.begin(b, size)
}

// extended prepares for the payload of an extended header.
func (p *parser) extended(kind byte, size, limit int64, has *bool) (event, error) {
	if size > limit {
		return 0, errTooLong
	}
	if *has && p.strict {
		return 0, errRepeated
	}
	*has = true
	p.kind, p.left = kind, size
	if size > 0 {
		p.state = wantPayload
	}
	return more, nil
}

// payload takes a block of an extended header's body.
func (p *parser) payload(b []byte) (event, error) {
	b = b[:min(p.left, blockSize)]
	p.left -= int64(len(b))
	switch p.kind {
	case typePax:
		p.pax = append(p.pax, b...)
	case typeLongName:
		p.name = append(p.name, b...)
	case typeLongLink:
		p.link = append(p.link, b...)
	case typeGlobal:
		p.global = append(p.global, b...)
	}
	if p.left > 0 {
		return more, nil
	}
	p.state = wantHeader
	if p.kind == typeGlobal {
		return more, p.readGlobal()
	}
	return more, nil
}

// globalKeys are what a global header may say of all entries after it: what
// `tar --pax-option=uid=0` writes.
var globalKeys = [...]string{"uid", "gid", "uname", "gname", "mtime"}

// readGlobal reads a global header. GNU tar applies all of its records, bsdtar
// and archive/tar none. Here owners and times are applied; a name, a size or
// attributes for every entry are an attack, or ignored if not strict. What git
// archive writes is a comment.
func (p *parser) readGlobal() error {
	for b := p.global; len(b) > 0; {
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

// begin reads an entry's own header and what extended headers say about it.
func (p *parser) begin(b []byte, size int64) (event, error) {
	e := &p.entry
	e.extents.reset()
	*e = Entry{Name: e.Name[:0], Link: e.Link[:0], Uname: e.Uname[:0], Gname: e.Gname[:0], extents: e.extents, xattrs: e.xattrs[:0]}
	e.Type, e.Flag, e.stored = b[offType], b[offType], size
	p.sparse = notSparse
	form := formatOf(b)

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
		return 0, errOr(err, errRange)
	}
	e.Mode = uint32(mode & 07777) // others put the file type above
	uid, err := number(b[offUID:offUID+8], p.strict)
	if err != nil {
		return 0, err
	}
	gid, err := number(b[offGID:offGID+8], p.strict)
	if err != nil {
		return 0, err
	}
	if e.Sec, err = number(b[offMtime:offMtime+12], p.strict); err != nil {
		return 0, err
	}
	if p.hasName {
		e.Name = append(e.Name[:0], text(p.name)...)
	}
	if p.hasLink {
		e.Link = append(e.Link[:0], text(p.link)...)
	}
	realSize := int64(-1) // of a sparse file
	if p.mergeGlobals(); len(p.pax) > 0 {
		if realSize, err = p.records(&uid, &gid); err != nil {
			return 0, err
		}
	}
	p.hasPax, p.hasName, p.hasLink = false, false, false
	// 2^32-1 is "leave as it is" to chown(2): the file would stay the
	// extractor's own, with its setuid bit.
	if uid < 0 || uid >= 1<<32-1 || gid < 0 || gid >= 1<<32-1 {
		return 0, errRange
	}
	e.UID, e.GID = uint32(uid), uint32(gid)

	if err := p.settle(b, form); err != nil {
		return 0, err
	}
	if e.Type != TypeFile {
		p.sparse = notSparse
	}
	e.Size = e.stored
	if p.sparse != notSparse {
		e.Sparse = true
	}
	switch p.sparse {
	case sparseGNU:
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

// mergeGlobals puts the records of global headers before the entry's own, which
// override them (pax(1), "pax Header Block").
func (p *parser) mergeGlobals() {
	if !p.hasPax {
		p.pax = p.pax[:0]
	}
	own := len(p.pax)
	for _, record := range p.globals {
		p.pax = append(p.pax, record...)
	}
	if n := len(p.pax) - own; n > 0 && own > 0 {
		p.pax = append(p.pax[own:len(p.pax):len(p.pax)], p.pax[:own]...)
	}
}

func errOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// settle turns the type byte into what the entry is, and decides whether a body
// follows.
func (p *parser) settle(b []byte, form format) error {
	e := &p.entry
	slash := len(e.Name) > 0 && e.Name[len(e.Name)-1] == '/'
	switch typ := e.Type; typ {
	case TypeFile, typeOld, typeCont:
		e.Type = TypeFile
		if slash { // how v7 spells a directory
			e.Type = TypeDir
			return p.noBody()
		}
		return nil
	case typeSparse:
		if form != formatGNU {
			return errBadType // star's sparse files have another layout
		}
		e.Type, p.sparse = TypeFile, sparseGNU
		return nil
	case typeDumpDir:
		e.Type = TypeDir // its body is passed over
		return nil
	case TypeLink:
		// Old tars write the file's size and no body. A body, if there is one,
		// shows as a block that is no header.
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
		// dev_t of the system call has 12 and 20 bits.
		if major < 0 || major >= 1<<12 || minor < 0 || minor >= 1<<20 {
			return errRange
		}
		e.Major, e.Minor = uint32(major), uint32(minor)
		return p.noBody()
	default:
		if p.strict {
			return errBadType
		}
		e.Type = TypeFile // POSIX: extract it as a file
		return nil
	}
}

// noBody drops the size of an entry that can't have a body; GNU tar, bsdtar and
// archive/tar do so too.
func (p *parser) noBody() error {
	if e := &p.entry; e.stored != 0 {
		if p.strict {
			return errBodySize
		}
		e.stored = 0
	}
	return nil
}

// records applies the extended header to the entry. It returns the real size
// of a sparse file, or -1. Of records with one keyword the last counts; where it
// has no value, what the header itself says.
func (p *parser) records(uid, gid *int64) (realSize int64, err error) {
	e := &p.entry
	realSize = -1
	var path, linkPath, uname, gname, sparseName []byte
	size, headUID, headGID, headSec := e.stored, *uid, *gid, e.Sec
	major, minor := int64(-1), int64(-1)
	offset, pairs := int64(-1), false
	for b := p.pax; len(b) > 0; {
		key, value, rest, err := nextRecord(b)
		if err != nil {
			return 0, err
		}
		b = rest
		if bytes.HasPrefix(key, []byte("SCHILY.")) || bytes.HasPrefix(key, []byte("LIBARCHIVE.")) || bytes.HasPrefix(key, []byte("RHT.")) {
			if err := p.attribute(key, value); err != nil {
				return 0, err
			}
			continue
		}
		if string(key) == "GNU.sparse.map" {
			pairs = true
			e.extents.reset()
			if err := p.mapText(value); err != nil {
				return 0, err
			}
			continue
		}
		unset := len(value) == 0
		switch string(key) {
		case "path":
			if bytes.IndexByte(value, 0) >= 0 {
				return 0, errNUL
			}
			if p.hasName && p.strict && !unset && !bytes.Equal(value, e.Name) {
				return 0, errConflict
			}
			path = value
		case "linkpath":
			if bytes.IndexByte(value, 0) >= 0 {
				return 0, errNUL
			}
			if p.hasLink && p.strict && !unset && !bytes.Equal(value, e.Link) {
				return 0, errConflict
			}
			linkPath = value
		case "size":
			e.stored, err = decimalOr(value, size)
		case "uid":
			*uid, err = decimalOr(value, headUID)
		case "gid":
			*gid, err = decimalOr(value, headGID)
		case "uname":
			uname = value
		case "gname":
			gname = value
		case "mtime":
			if e.Sec, e.Nsec = headSec, 0; !unset {
				e.Sec, e.Nsec, err = paxTime(value, p.strict)
			}
		}
		if unset {
			continue
		}
		switch string(key) {
		case "GNU.sparse.major":
			major, err = decimal(value)
		case "GNU.sparse.minor":
			minor, err = decimal(value)
		case "GNU.sparse.name":
			if bytes.IndexByte(value, 0) >= 0 {
				return 0, errNUL
			}
			sparseName = value
		case "GNU.sparse.size", "GNU.sparse.realsize":
			realSize, err = decimal(value)
		case "GNU.sparse.numblocks":
			pairs = true // the pairs themselves are counted as they come
			var n int64
			if n, err = decimal(value); n > maxExtents {
				return 0, errTooManyExtents
			}
		case "GNU.sparse.offset":
			offset, err = decimal(value)
		case "GNU.sparse.numbytes":
			var n int64
			if n, err = decimal(value); err == nil && offset < 0 {
				return 0, errSparse
			}
			if err == nil {
				pairs = true
				err = p.addExtent(offset, n)
				offset = -1
			}
		}
		if err != nil {
			return 0, err
		}
	}
	if sparseName != nil {
		path = sparseName
	}
	for _, t := range []struct {
		field *[]byte
		value []byte
	}{{&e.Name, path}, {&e.Link, linkPath}, {&e.Uname, uname}, {&e.Gname, gname}} {
		if len(t.value) > 0 {
			*t.field = append((*t.field)[:0], t.value...)
		}
	}
	switch {
	case major == 1 && minor == 0:
		p.sparse = sparse1
		e.extents.reset()
	case major > 0 || minor > 1:
		// bsdtar refuses it, GNU tar takes it for 1.0. Nothing is known to write it.
		return 0, fmt.Errorf("sparse file of the unknown format %d.%d", max(major, 0), max(minor, 0))
	case pairs:
		p.sparse = sparse0
	case realSize >= 0 && p.strict:
		return 0, errSparse
	case realSize >= 0:
		// A size without a map: GNU tar and bsdtar add a hole at the end.
		p.sparse = sparse0
		e.extents.reset()
		e.extents.add(Extent{0, e.stored})
	}
	return realSize, nil
}

// attribute keeps a record that holds an extended attribute or an ACL.
func (p *parser) attribute(key, value []byte) error {
	e := &p.entry
	var x xattr
	switch {
	case bytes.HasPrefix(key, []byte(schilyXattr)):
		x = xattr{schilyName(key[len(schilyXattr):]), value}
	case bytes.HasPrefix(key, []byte(libarchiveXattr)):
		x.name = libarchiveName(key[len(libarchiveXattr):])
		var err error
		if x.value, err = libarchiveValue(value); err != nil {
			if p.strict {
				return errXattr
			}
			return nil
		}
	case string(key) == "RHT.security.selinux":
		x = xattr{[]byte("security.selinux"), value}
	case string(key) == "SCHILY.acl.access":
		e.aclAccess = value
		return nil
	case string(key) == "SCHILY.acl.default":
		e.aclDefault = value
		return nil
	default:
		return nil
	}
	if bytes.IndexByte(x.name, 0) >= 0 {
		return errNUL
	}
	if len(x.name) == 0 {
		if p.strict {
			return errXattr
		}
		return nil
	}
	if len(e.xattrs) >= maxXattrs {
		return errTooManyXattrs
	}
	e.xattrs = append(e.xattrs, x)
	return nil
}

// complete closes an entry whose headers are all read.
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
