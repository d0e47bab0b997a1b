package untar

import (
	"bytes"
	"os"

	"golang.org/x/sys/unix"
)

// A dirState is the mode, owner and ACLs of an empty directory before a run fills it.
type dirState struct {
	mode        uint32
	owner       int64  // -1: this process's user
	access, def []byte // ACLs as attributes; nil: none
}

// state reads the mode, owner and ACLs of the root directory.
func (r *Root) state() (s dirState, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(r.fd, &st); err != nil {
		return s, pathError("stat", r.path, err)
	}
	s = dirState{st.Mode & 07777, int64(st.Uid), readAttr(r.fd, attrACL), readAttr(r.fd, attrDefaultACL)}
	if st.Uid == uint32(os.Geteuid()) {
		s.owner = -1
	}
	return s, nil
}

// restore restores the parts of a directory's state that have changed.
func (r *Root) restore(s dirState) error {
	now, err := r.state()
	for _, a := range []struct {
		name     string
		was, now []byte
	}{{attrACL, s.access, now.access}, {attrDefaultACL, s.def, now.def}} {
		switch {
		case err != nil || bytes.Equal(a.was, a.now):
		case len(a.was) == 0:
			err = unix.Fremovexattr(r.fd, a.name)
		default:
			err = unix.Fsetxattr(r.fd, a.name, a.was, 0)
		}
	}
	if err == nil && (now.mode != s.mode || !bytes.Equal(s.access, now.access)) {
		err = unix.Fchmod(r.fd, s.mode)
	}
	if err == nil && s.owner >= 0 && now.owner != s.owner {
		err = unix.Fchown(r.fd, int(s.owner), -1)
	}
	if err != nil {
		return pathError("restore the permissions of", r.path, err)
	}
	return nil
}

// dropInheritedACLs removes the root directory's ACLs: its access ACL, and its default
// ACL, which new files would inherit. A directory inherits both from its parent, and a
// user of the host whom they name could read the container's files.
func (r *Root) dropInheritedACLs() error {
	was, err := r.state()
	if err == nil && len(was.def) > 0 {
		err = unix.Fremovexattr(r.fd, attrDefaultACL)
	}
	if err == nil && len(was.access) > 0 {
		// The mode's group bits are the ACL's mask; the group itself may have fewer rights.
		if err = unix.Fremovexattr(r.fd, attrACL); err == nil {
			err = unix.Fchmod(r.fd, was.mode&^070|was.mode&(aclGroupPerm(was.access)<<3))
		}
	}
	if err != nil {
		return pathError("remove the ACL of", r.path, err)
	}
	return nil
}
