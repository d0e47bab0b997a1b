package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// Three users may change the cache: root, the user of this process and, in a user
// namespace, the user to whom new files are given (Cache.UID). A file or directory that
// another user owns or may write is not used: that user could change it between two
// reads, put an old image back, or hold its lock.
//
// A user who is not mapped into the user namespace has the id 65534 there
// (user_namespaces(7), "Unmapped user and group IDs"). Any user may be behind that id, so
// it is not trusted.

// An untrustedError says why a file or directory of the cache is not used. It wraps
// fs.ErrPermission.
type untrustedError struct {
	_      [0]func() // forbids ==, whose code nothing needs
	path   string
	reason string // "belongs to user 1000, ..."
}

func (e *untrustedError) Error() string { return strconv.Quote(e.path) + " " + e.reason }

// Unwrap returns fs.ErrPermission.
func (e *untrustedError) Unwrap() error { return fs.ErrPermission }

// untrusted reports whether err is an *untrustedError.
func untrusted(err error) bool {
	var e *untrustedError
	return errors.As(err, &e)
}

// owners returns the user ids to which the cache's files may belong.
func (c *Cache) owners() []int {
	ids := []int{0, os.Geteuid()}
	if c.Chown && c.UID != -1 {
		ids = append(ids, c.UID)
	}
	return ids
}

// checkTrust returns an *untrustedError if the file or directory of which st is the
// state must not be used. fd is its descriptor; -1 means that path leads to it.
func (d *directory) checkTrust(fd int, st *unix.Stat_t, path string) error {
	if !slices.Contains(d.owners, int(st.Uid)) {
		return &untrustedError{path: path, reason: "belongs to " + user(st)}
	}
	// In a sticky directory users can't rename or remove files of others.
	if st.Mode&0o022 == 0 || st.Mode&unix.S_IFMT == unix.S_IFDIR && st.Mode&unix.S_ISVTX != 0 {
		return nil
	}
	// A group with the number of its user has only that user in it (adduser(8),
	// USERGROUPS). But if the file has an access control list, the group bits of the
	// mode are the mask of the list, and other users may be in it (acl(5)).
	if st.Mode&0o002 != 0 || st.Gid != st.Uid {
		return &untrustedError{path: path, reason: fmt.Sprintf("may be written by other users (mode %04o)", st.Mode&0o7777)}
	}
	if hasACL(fd, path) {
		return &untrustedError{path: path, reason: "may be written by other users (its access control list says so)"}
	}
	return nil
}

// user describes the owner of a file, who is not trusted.
func user(st *unix.Stat_t) string {
	return "user " + strconv.FormatUint(uint64(st.Uid), 10) + ", who is neither root nor this user"
}

// hasACL reports whether a file has an access control list beyond its mode.
func hasACL(fd int, path string) bool {
	const name = "system.posix_acl_access"
	if fd < 0 {
		n, err := unix.Lgetxattr(path, name, nil)
		return err == nil && n > 0
	}
	n, err := unix.Fgetxattr(fd, name, nil)
	return err == nil && n > 0
}
