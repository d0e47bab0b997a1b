package untar

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"
)

const (
	attrCapability = "security.capability"
	attrSELinux    = "security.selinux"
	attrACL        = "system.posix_acl_access"
	attrDefaultACL = "system.posix_acl_default"
)

// A phase orders attributes around the chmod: user.* wants a file that its
// owner may still write, an ACL must come after the mode, whose group bits it
// holds, and a capability must come last, since every chown and write drops it.
type phase uint8

const (
	neverSet phase = iota
	beforeMode
	afterMode
	lastOfAll
)

func phaseOf(name []byte) phase {
	switch {
	case bytes.HasPrefix(name, []byte("user.")), bytes.HasPrefix(name, []byte("trusted.")):
		return beforeMode
	case string(name) == attrCapability:
		return lastOfAll
	}
	return afterMode
}

// attributes returns those of the entry's attributes that are to be set, and
// notes those that are dropped on purpose. The slice is the entry's own.
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
			// They steer overlayfs when the tree becomes one of its layers.
			x.rep.note("extended attribute", "dropped", "overlayfs would obey it", e.Name)
			continue
		case string(n) == "user.rootlesscontainers":
			continue // owners as seen by another tool; ours are in the header
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
			// ima, evm, SMACK64, apparmor: in an image they belong to another
			// system's policy. A person's archive may be a backup of this one.
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

// setAttrs sets the attributes of one side of the chmod on an open file or
// directory.
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

// attrErr counts an attribute that the file system or the kernel won't have,
// and passes on what says that the disk is failing.
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

// File capabilities, struct vfs_cap_data of linux/capability.h: version 2 has
// 20 bytes, version 3 four more that name the namespace's root user.
const (
	capRevisionMask = 0xff000000
	capRevision2    = 0x02000000
	capRevision3    = 0x03000000
	capSize2        = 20
	capSize3        = 24
)

// rootlessCapability turns a version 3 capability of host root into the version
// 2 that it is.
func rootlessCapability(value []byte) []byte {
	if len(value) == capSize3 && binary.LittleEndian.Uint32(value[capSize2:]) == 0 {
		if v2, ok := capabilityV2(value); ok {
			return v2
		}
	}
	return value
}

// capabilityV2 drops the root user of a version 3 capability. In a user
// namespace the kernel then stores the namespace's own.
func capabilityV2(value []byte) ([]byte, bool) {
	if len(value) != capSize3 || binary.LittleEndian.Uint32(value)&capRevisionMask != capRevision3 {
		return nil, false
	}
	v2 := bytes.Clone(value[:capSize2])
	binary.LittleEndian.PutUint32(v2, binary.LittleEndian.Uint32(v2)&^uint32(capRevisionMask)|capRevision2)
	return v2, true
}

// readAttr returns an attribute, nil where there is none.
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
