package host

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// HasPrivilege reports whether a program runs with root's rights, or some of them: it is
// set-user-ID root or has file capabilities (capabilities(7)), and its mount honours them.
func HasPrivilege(program string) bool {
	var st unix.Stat_t
	var fs unix.Statfs_t
	if unix.Stat(program, &st) != nil || unix.Statfs(program, &fs) == nil && int64(fs.Flags)&unix.ST_NOSUID != 0 {
		return false
	}
	return st.Uid == 0 && st.Mode&unix.S_ISUID != 0 || hasAttribute(program, "security.capability")
}

func hasAttribute(path, name string) bool {
	n, err := attribute(path, name)
	return err == nil && n > 0
}

// attribute returns the size of an extended attribute.
func attribute(path, name string) (int, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return 0, err
	}
	return unix.Lgetxattr(path, name, nil) // the program has no other use of getxattr(2)
}

// MissingAttributes returns the kinds of extended attributes, of those in images (xattr(7)),
// that the kernel or a directory's file system does not know: " user security" at most.
func MissingAttributes(dir string) (missing string) {
	for _, kind := range []string{" user", " security"} {
		if _, err := attribute(dir, kind[1:]+".capability"); err == unix.EOPNOTSUPP {
			missing += kind
		}
	}
	return missing
}

// Grants reports whether a directory gives a right (4: read, 2: write, 1: search) to a user, by
// its mode. The user of this process is taken for a member of the directory's group. A
// directory with an ACL (acl(5)) may give it to anyone, and root has all rights.
func Grants(dir string, right uint32, uid int) bool {
	var st unix.Stat_t
	switch {
	case uid == 0 || hasAttribute(dir, "system.posix_acl_access"):
		return true
	case unix.Stat(dir, &st) != nil:
		return false
	case int(st.Uid) == uid:
		right <<= 6
	case uid == os.Geteuid():
		right |= right << 3
	}
	return st.Mode&right != 0
}
