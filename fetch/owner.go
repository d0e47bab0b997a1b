package fetch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Who may change the cache: root, the user of this process and, in a user
// namespace, the user to whom the cache is given (Cache.UID). A file or folder
// of anybody else, or one that anybody else may write, is not used: its owner
// could change it between two reads, put an old image back, or hold its lock.
//
// An id that is not mapped into the namespace shows as 65534 (user_namespaces(7),
// "Unmapped user and group IDs"), whoever it is, and so counts for nobody.

// An UntrustedError is a file or folder in the cache that is not used.
type UntrustedError struct {
	Path string
	Why  string // "belongs to user 1000, ..."
}

func (e *UntrustedError) Error() string { return fmt.Sprintf("%q %s", e.Path, e.Why) }

// Unwrap makes it fs.ErrPermission: another user's cache.
func (e *UntrustedError) Unwrap() error { return fs.ErrPermission }

func untrusted(err error) bool {
	var e *UntrustedError
	return errors.As(err, &e)
}

// owners are the user ids to which the cache's files may belong.
func (c *Cache) owners() []int {
	ids := []int{0, os.Geteuid()}
	if c.Chown && c.UID != -1 {
		ids = append(ids, c.UID)
	}
	return ids
}

// distrust says why an open file or folder is not used; nil: it may be used.
func (d folder) distrust(st *unix.Stat_t, path string) error {
	if !slices.Contains(d.owners, int(st.Uid)) {
		return &UntrustedError{path, fmt.Sprintf("belongs to user %d, who is neither root nor this user", st.Uid)}
	}
	// A group with its user's number is that user's own (adduser(8), USERGROUPS).
	open := st.Mode&0o002 != 0 || st.Mode&0o020 != 0 && st.Gid != st.Uid
	// In a sticky folder nobody can take away or replace another's names.
	if open && (st.Mode&unix.S_IFMT != unix.S_IFDIR || st.Mode&unix.S_ISVTX == 0) {
		return &UntrustedError{path, fmt.Sprintf("may be written by other users (mode %04o)", st.Mode&0o7777)}
	}
	return nil
}
