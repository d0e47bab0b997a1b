package untar

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// Format of an ACL that is stored as an attribute (linux/posix_acl_xattr.h): a version,
// then for each entry a tag, permissions and an ID, sorted by tag and ID.
const (
	aclVersion   = 2
	aclUserOwner = 0x01
	aclUser      = 0x02
	aclGroupOwn  = 0x04
	aclGroup     = 0x08
	aclMask      = 0x10
	aclOther     = 0x20
	aclNoID      = 1<<32 - 1
)

type aclEntry struct {
	tag, perm uint16
	id        uint32
}

// textACLs adds the entry's text ACLs to its attributes, unless it already has the same ACL
// as an attribute.
func (x *extractor) textACLs(e *Entry) {
	if e.Type == TypeSymlink || e.Type == TypeLink {
		return
	}
	for _, t := range []struct {
		name string
		text []byte
	}{{attrACL, e.aclAccess}, {attrDefaultACL, e.aclDefault}} {
		has := len(t.text) == 0
		for i := range e.xattrs {
			has = has || string(e.xattrs[i].name) == t.name
		}
		if has {
			continue
		}
		value, ok := aclValue(t.text)
		if !ok {
			x.rep.note("ACL", "not stored", "it names users that have no ID in the archive, or is malformed", e.Name)
			continue
		}
		e.xattrs = append(e.xattrs, xattr{[]byte(t.name), value})
	}
}

// aclValue converts a text ACL (acl(5), with star's numeric ID as a fourth field) to the
// value of an attribute. It does not look up names: the names of an image are not those of
// the host.
func aclValue(text []byte) ([]byte, bool) {
	var entries []string // texts, which sort without new code in the program
	for len(text) > 0 {
		end := bytes.IndexAny(text, ",\n")
		if end < 0 {
			end = len(text)
		}
		line, _, _ := bytes.Cut(text[:end], []byte("#"))
		text = text[min(end+1, len(text)):]
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		e, ok := parseACLEntry(bytes.TrimPrefix(line, []byte("default:")))
		if !ok || len(entries) == maxXattrs {
			return nil, false
		}
		key := binary.BigEndian.AppendUint16(nil, e.tag)
		key = binary.BigEndian.AppendUint32(key, e.id)
		key = binary.BigEndian.AppendUint16(key, uint16(len(entries))) // of equal ones the first stays first
		entries = append(entries, string(append(key, byte(e.perm))))
	}
	slices.Sort(entries)
	value := binary.LittleEndian.AppendUint32(nil, aclVersion)
	for _, e := range entries {
		key := []byte(e)
		value = binary.LittleEndian.AppendUint16(value, binary.BigEndian.Uint16(key))
		value = binary.LittleEndian.AppendUint16(value, uint16(key[8]))
		value = binary.LittleEndian.AppendUint32(value, binary.BigEndian.Uint32(key[2:]))
	}
	return value, len(entries) > 0
}

// parseACLEntry parses "tag:qualifier:rwx" or "tag:qualifier:rwx:id".
func parseACLEntry(line []byte) (aclEntry, bool) {
	f := bytes.Split(line, []byte(":"))
	if len(f) == 2 { // "mask:rwx" or "other:rwx"
		f = [][]byte{f[0], nil, f[1]}
	}
	if len(f) < 3 || len(f) > 4 {
		return aclEntry{}, false
	}
	e := aclEntry{id: aclNoID}
	for _, c := range f[2] {
		switch c {
		case 'r':
			e.perm |= 4
		case 'w':
			e.perm |= 2
		case 'x':
			e.perm |= 1
		case '-':
		default:
			return aclEntry{}, false
		}
	}
	named := len(f[1]) > 0
	switch tag := string(f[0]); {
	case (tag == "user" || tag == "u") && named:
		e.tag = aclUser
	case tag == "user" || tag == "u":
		e.tag = aclUserOwner
	case (tag == "group" || tag == "g") && named:
		e.tag = aclGroup
	case tag == "group" || tag == "g":
		e.tag = aclGroupOwn
	case (tag == "mask" || tag == "m") && !named:
		e.tag = aclMask
	case (tag == "other" || tag == "o") && !named:
		e.tag = aclOther
	default:
		return aclEntry{}, false
	}
	if named {
		text := f[1]
		if len(f) == 4 {
			text = f[3]
		}
		id, err := decimal(text)
		if err != nil || id >= aclNoID {
			return aclEntry{}, false
		}
		e.id = uint32(id)
	}
	return e, true
}

// aclGroupPerm returns the permissions of the owning group in an ACL that is stored as an
// attribute, in the lowest three bits.
func aclGroupPerm(acl []byte) uint32 {
	for at := 4; at+8 <= len(acl); at += 8 {
		if binary.LittleEndian.Uint16(acl[at:]) == aclGroupOwn {
			return uint32(binary.LittleEndian.Uint16(acl[at+2:])) & 7
		}
	}
	return 0
}
