package untar

import (
	"bytes"
	"encoding/binary"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	attrCapability = "security.capability"
	attrSELinux    = "security.selinux"
	attrACL        = "system.posix_acl_access"
	attrDefaultACL = "system.posix_acl_default"
)

// A phase orders the attributes of a file. User attributes are set before the mode, because
// the mode may deny the owner to write. ACLs are set after the mode, since its group bits
// change with the ACL. Capabilities are set last, since each chown and write removes them.
type phase uint8

const (
	neverSet phase = iota
	beforeMode
	afterMode
	lastOfAll
)

// phaseOf returns when an attribute is set.
func phaseOf(name []byte) phase {
	switch {
	case bytes.HasPrefix(name, []byte("user.")), bytes.HasPrefix(name, []byte("trusted.")):
		return beforeMode
	case string(name) == attrCapability:
		return lastOfAll
	}
	return afterMode
}

// attributes returns the entry's attributes that are to be set. It notes the attributes that
// it drops. The slice belongs to the entry.
func (x *extractor) attributes(e *Entry) []xattr {
	if x.opt.Metadata.ACLs {
		x.textACLs(e)
	}
	if len(e.xattrs) == 0 {
		return nil
	}
	keep := e.xattrs[:0]
	opened := e.Type == TypeFile || e.Type == TypeDir
	for _, a := range e.xattrs {
		n := a.name
		switch {
		case bytes.HasPrefix(n, []byte("trusted.overlay.")), bytes.HasPrefix(n, []byte("user.overlay.")):
			// overlayfs interprets them if the tree becomes one of its layers.
			x.rep.note("extended attribute", "dropped", "overlayfs would obey it", e.Name)
			continue
		case string(n) == "user.rootlesscontainers":
			continue // owners as stored by another tool; the header has them, too
		case bytes.HasPrefix(n, []byte("user.")):
			if !opened {
				continue // the kernel allows them on files and directories only
			}
		case bytes.HasPrefix(n, []byte("trusted.")):
		case string(n) == attrCapability:
			if e.Type != TypeFile {
				continue
			}
		case string(n) == attrACL:
			if e.Type == TypeSymlink {
				continue
			}
		case string(n) == attrDefaultACL:
			if e.Type != TypeDir {
				continue
			}
		case string(n) == attrSELinux:
			if !x.opt.Metadata.SELinux {
				x.rep.note("SELinux label", "left out", "not asked for", e.Name)
				continue
			}
		case bytes.HasPrefix(n, []byte("security.")):
			// ima, evm, SMACK64, apparmor: an image's attributes belong to the policy of
			// another system. Without Strict the archive may be a backup of this system.
			if !x.opt.Strict {
				break
			}
			x.rep.note("extended attribute", "dropped", quote(n)+" belongs to a security module", e.Name)
			continue
		default:
			x.rep.note("extended attribute", "dropped", quote(n)+" is in no known namespace", e.Name)
			continue
		}
		keep = append(keep, a)
	}
	e.xattrs = keep
	return keep
}

// setAttrs sets the attributes that belong before the mode, or those that belong after it,
// on an open file or directory.
func (x *extractor) setAttrs(fd int, attrs []xattr, when phase, path []byte) error {
	for p := when; p <= lastOfAll; p++ {
		for _, a := range attrs {
			if phaseOf(a.name) != p {
				continue
			}
			if err := x.setAttr(fd, a, path); err != nil {
				return err
			}
		}
		if when == beforeMode {
			break
		}
	}
	return nil
}

// clearAttrs removes the attributes of a lower layer's directory that its new entry does not have:
// the entry describes the whole directory. Labels of security modules stay.
func clearAttrs(fd int, keep []xattr) {
	attrs, _ := readAttrs(fd, "")
	for _, old := range attrs {
		name := string(old.name)
		class, _, _ := strings.Cut(name, ".")
		goes := (class == "user" || class == "trusted") && !strings.HasPrefix(name[len(class):], ".overlay.") || name == attrACL || name == attrDefaultACL
		for _, a := range keep {
			goes = goes && string(a.name) != name
		}
		if goes {
			unix.Fremovexattr(fd, name)
		}
	}
}

// setAttr sets an attribute. In a user namespace it retries a version 3 capability as
// version 2.
func (x *extractor) setAttr(fd int, a xattr, path []byte) error {
	value := a.value
	if string(a.name) == attrCapability {
		value = rootlessCapability(value)
	}
	err := fsetxattr(fd, x.buf.attr.set(a.name), value)
	if err == unix.EINVAL && string(a.name) == attrCapability && x.opt.Metadata.IDMap == nil {
		if v2, ok := capabilityV2(a.value); ok {
			err = fsetxattr(fd, x.buf.attr, v2)
		}
	}
	return x.attrErr(err, a, path)
}

// attrErr notes an attribute that the file system or the kernel refuses. It returns errors
// that show that the disk is failing.
func (x *extractor) attrErr(err error, a xattr, path []byte) error {
	switch err {
	case nil, unix.EIO, unix.EROFS:
		return err
	}
	reason := err.Error()
	switch err {
	case unix.EOPNOTSUPP:
		reason = "no such attributes on " + x.root.FileSystem()
	case unix.EPERM, unix.EACCES:
		reason = x.self.reason
	}
	if string(a.name) == attrCapability {
		x.rep.note("file capability", "not stored", reason, path)
	} else {
		x.rep.note("extended attribute", "not stored", quote(a.name)+": "+reason, path)
	}
	return nil
}

// File capabilities (struct vfs_cap_data of linux/capability.h). Version 2 has 20 bytes.
// Version 3 has four more bytes, the user ID of the namespace's root.
const (
	capRevisionMask = 0xff000000
	capRevision2    = 0x02000000
	capRevision3    = 0x03000000
	capSize2        = 20
	capSize3        = 24
)

// rootlessCapability converts a version 3 capability for root on the host to the equivalent
// version 2.
func rootlessCapability(value []byte) []byte {
	if len(value) == capSize3 && binary.LittleEndian.Uint32(value[capSize2:]) == 0 {
		if v2, ok := capabilityV2(value); ok {
			return v2
		}
	}
	return value
}

// capabilityV2 converts a version 3 capability to version 2, without its root user. In a
// user namespace the kernel then stores the root of that namespace.
func capabilityV2(value []byte) ([]byte, bool) {
	if len(value) != capSize3 || binary.LittleEndian.Uint32(value)&capRevisionMask != capRevision3 {
		return nil, false
	}
	v2 := bytes.Clone(value[:capSize2])
	binary.LittleEndian.PutUint32(v2, binary.LittleEndian.Uint32(v2)&^uint32(capRevisionMask)|capRevision2)
	return v2, true
}

// readAttr returns the value of an attribute, or nil if there is none.
func readAttr(fd int, name string) []byte {
	n, err := unix.Fgetxattr(fd, name, nil)
	if err != nil || n <= 0 {
		return nil
	}
	value := make([]byte, 64<<10) // XATTR_SIZE_MAX
	if n, err = unix.Fgetxattr(fd, name, value); err != nil {
		return nil
	}
	return value[:n]
}
