package untar

import (
	"bytes"
	"fmt"
)

// A recordReader applies the records of an extended header to an entry. Of several
// records with the same keyword the last one counts. A record without a value restores
// the value of the header itself.
type recordReader struct {
	p                            *parser
	uid, gid                     int64
	size, headUID, headGID, sec  int64 // of the header itself
	path, linkPath, uname, gname []byte
	sparse                       sparseRecords
}

// sparseRecords are the GNU.sparse records. Numbers are -1 if there is none.
type sparseRecords struct {
	major, minor int64
	name         []byte
	realSize     int64
	offset       int64 // of the next extent, before its length is known
	hasMap       bool
}

// records applies the extended header to the entry. It returns the real size of a sparse
// file, or -1.
func (p *parser) records(uid, gid *int64) (realSize int64, err error) {
	e := &p.entry
	r := recordReader{p: p, uid: *uid, gid: *gid, size: e.stored, headUID: *uid, headGID: *gid, sec: e.Sec}
	r.sparse = sparseRecords{major: -1, minor: -1, realSize: -1, offset: -1}
	for b := p.ext.pax.data; len(b) > 0; {
		key, value, rest, err := nextRecord(b)
		if err != nil {
			return 0, err
		}
		b = rest
		switch {
		case bytes.HasPrefix(key, []byte("SCHILY.")), bytes.HasPrefix(key, []byte("LIBARCHIVE.")), bytes.HasPrefix(key, []byte("RHT.")):
			err = p.attribute(key, value)
		case bytes.HasPrefix(key, []byte("GNU.sparse.")):
			err = r.sparseRecord(key, value)
		default:
			err = r.record(key, value)
		}
		if err != nil {
			return 0, err
		}
	}
	*uid, *gid = r.uid, r.gid
	path := r.path
	if r.sparse.name != nil {
		path = r.sparse.name
	}
	for _, t := range []struct {
		field *[]byte
		value []byte
	}{{&e.Name, path}, {&e.Link, r.linkPath}, {&e.Uname, r.uname}, {&e.Gname, r.gname}} {
		if len(t.value) > 0 {
			*t.field = append((*t.field)[:0], t.value...)
		}
	}
	return r.sparse.realSize, p.setSparse(&r.sparse)
}

// record applies a record that pax(1) defines.
func (r *recordReader) record(key, value []byte) (err error) {
	p, e := r.p, &r.p.entry
	switch string(key) {
	case "path":
		r.path = value
		return p.checkName(value, e.Name, p.ext.name.set)
	case "linkpath":
		r.linkPath = value
		return p.checkName(value, e.Link, p.ext.link.set)
	case "size":
		e.stored, err = decimalOr(value, r.size)
	case "uid":
		r.uid, err = decimalOr(value, r.headUID)
	case "gid":
		r.gid, err = decimalOr(value, r.headGID)
	case "uname":
		r.uname = value
	case "gname":
		r.gname = value
	case "mtime":
		if e.Sec, e.Nsec = r.sec, 0; len(value) > 0 {
			e.Sec, e.Nsec, err = paxTime(value, p.strict)
		}
	}
	return err
}

// checkName refuses a name with a NUL byte and, in strict mode, a name that contradicts
// a GNU long name before the same entry.
func (p *parser) checkName(value, long []byte, hasLong bool) error {
	if bytes.IndexByte(value, 0) >= 0 {
		return errNUL
	}
	if hasLong && p.strict && len(value) > 0 && !bytes.Equal(value, long) {
		return errConflict
	}
	return nil
}

// sparseRecord applies a record of a sparse file (GNU tar manual, "Storing Sparse Files").
func (r *recordReader) sparseRecord(key, value []byte) (err error) {
	s, p := &r.sparse, r.p
	if string(key) == "GNU.sparse.map" {
		s.hasMap = true
		p.entry.extents.reset()
		return p.mapText(value)
	}
	if len(value) == 0 {
		return nil
	}
	switch string(key) {
	case "GNU.sparse.major":
		s.major, err = decimal(value)
	case "GNU.sparse.minor":
		s.minor, err = decimal(value)
	case "GNU.sparse.name":
		if bytes.IndexByte(value, 0) >= 0 {
			return errNUL
		}
		s.name = value
	case "GNU.sparse.size", "GNU.sparse.realsize":
		s.realSize, err = decimal(value)
	case "GNU.sparse.numblocks":
		s.hasMap = true // addExtent counts the extents themselves
		var n int64
		if n, err = decimal(value); n > maxExtents {
			return errTooManyExtents
		}
	case "GNU.sparse.offset":
		s.offset, err = decimal(value)
	case "GNU.sparse.numbytes":
		var n int64
		if n, err = decimal(value); err == nil && s.offset < 0 {
			return errSparse
		}
		if err == nil {
			s.hasMap = true
			err = p.addExtent(s.offset, n)
			s.offset = -1
		}
	}
	return err
}

// setSparse decides which sparse format the records describe.
func (p *parser) setSparse(s *sparseRecords) error {
	e := &p.entry
	switch {
	case s.major == 1 && s.minor == 0:
		p.sparse = sparse1
		e.extents.reset()
	case s.major > 0 || s.minor > 1:
		// bsdtar refuses it, GNU tar reads it as 1.0. No known program writes it.
		return fmt.Errorf("sparse file of the unknown format %d.%d", max(s.major, 0), max(s.minor, 0))
	case s.hasMap:
		p.sparse = sparse0
	case s.realSize >= 0 && p.strict:
		return errSparse
	case s.realSize >= 0:
		// A size without a map: GNU tar and bsdtar add a hole at the end.
		p.sparse = sparse0
		e.extents.reset()
		e.extents.add(Extent{0, e.stored})
	}
	return nil
}

// attribute stores a record with an extended attribute or an ACL.
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
