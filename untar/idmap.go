package untar

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// An IDRange maps owners in the archive to owners on the disk: Count IDs starting at Inside
// become the IDs starting at Outside.
type IDRange struct {
	UID, GID               bool // which kinds of ID it maps
	Inside, Outside, Count uint32
}

// An idMap maps IDs as the kernel does in a user namespace (user_namespaces(7)), for a
// process outside of it. A nil idMap changes no ID.
type idMap []IDRange

// id maps an ID. It returns false if no range contains it.
func (m idMap) id(id uint32, group bool) (uint32, bool) {
	if m == nil {
		return id, true
	}
	for _, r := range m {
		if (group && r.GID || !group && r.UID) && id >= r.Inside && id-r.Inside < r.Count {
			return r.Outside + (id - r.Inside), true
		}
	}
	return 0, false
}

// owners maps an entry's owners, and the IDs in its attributes.
func (m idMap) owners(x *extractor, e *Entry) error {
	if m == nil || e.Type == TypeLink {
		return nil // the metadata of a hard link is not used
	}
	uid, ok1 := m.id(e.UID, false)
	gid, ok2 := m.id(e.GID, true)
	if !ok1 || !ok2 {
		return &OwnerError{e.UID, e.GID, unix.EINVAL}
	}
	e.UID, e.GID = uid, gid
	keep := e.xattrs[:0]
	for _, a := range e.xattrs {
		ok := true
		switch {
		case string(a.name) == attrCapability:
			a.value, ok = m.capability(a.value)
		case string(a.name) == attrACL, string(a.name) == attrDefaultACL:
			a.value, ok = m.acl(a.value)
		case bytes.HasPrefix(a.name, []byte("trusted.")):
			ok = false // root in a user namespace may not set these attributes
		}
		if !ok {
			x.rep.note("extended attribute", "dropped", quote(a.name)+" does not fit the mapped ids", e.Name)
			continue
		}
		keep = append(keep, a)
	}
	e.xattrs = keep
	return nil
}

// capability converts a file capability to version 3, with the namespace's root.
func (m idMap) capability(value []byte) ([]byte, bool) {
	root := uint32(0)
	v2 := value
	if v, ok := capabilityV2(value); ok {
		root, v2 = binary.LittleEndian.Uint32(value[capSize2:]), v
	}
	if len(v2) != capSize2 || binary.LittleEndian.Uint32(v2)&capRevisionMask != capRevision2 {
		return nil, false
	}
	mapped, ok := m.id(root, false)
	if !ok {
		return nil, false
	}
	v3 := binary.LittleEndian.AppendUint32(bytes.Clone(v2), mapped)
	binary.LittleEndian.PutUint32(v3, binary.LittleEndian.Uint32(v3)&^uint32(capRevisionMask)|capRevision3)
	return v3, true
}

// acl maps the IDs in an ACL that is stored as an attribute.
func (m idMap) acl(value []byte) ([]byte, bool) {
	const head, size = 4, 8 // bytes of the version and of an entry
	if len(value) < head || (len(value)-head)%size != 0 || binary.LittleEndian.Uint32(value) != aclVersion {
		return nil, false
	}
	mapped := bytes.Clone(value)
	for at := head; at < len(mapped); at += size {
		tag, id := binary.LittleEndian.Uint16(mapped[at:]), mapped[at+4:at+8]
		if tag != aclUser && tag != aclGroup {
			continue
		}
		host, ok := m.id(binary.LittleEndian.Uint32(id), tag == aclGroup)
		if !ok {
			return nil, false
		}
		binary.LittleEndian.PutUint32(id, host)
	}
	return mapped, true
}
