package host

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

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
	var capability [64]byte
	n, err := unix.Getxattr(program, "security.capability", capability[:])
	return st.Uid == 0 && st.Mode&unix.S_ISUID != 0 || err == nil && n > 0
}

// Grants reports whether a directory gives a right (4: read, 2: write, 1: search) to a user
// with these groups, by its mode. A directory with an ACL (acl(5)) may give it to anyone, and
// root has all rights.
func Grants(dir string, right uint32, uid uint32, groups []int) bool {
	var st unix.Stat_t
	if unix.Stat(dir, &st) != nil {
		return false
	}
	n, err := unix.Getxattr(dir, "system.posix_acl_access", nil)
	switch {
	case uid == 0, err == nil && n > 0:
		return true
	case st.Uid == uid:
		return st.Mode&(right<<6) != 0
	case slices.Contains(groups, int(st.Gid)):
		return st.Mode&(right<<3) != 0
	}
	return st.Mode&right != 0
}

// NearestDir returns a path, or the nearest existing directory above it.
func NearestDir(path string) string {
	for {
		if info, err := os.Stat(path); err == nil && info.IsDir() || path == "/" || path == "." {
			return path
		}
		path = filepath.Dir(path)
	}
}

// UserNetwork reports whether lxc-usernet(5) lets a user attach interfaces to a bridge. names
// are the user's names, groups the numbers of the user's groups.
func (l Layout) UserNetwork(bridge string, names []string, groups []int) bool {
	for line := range strings.Lines(l.Read("/etc/lxc/lxc-usernet")) {
		f := strings.Fields(line)
		if len(f) < 4 || f[1] != "veth" || f[2] != bridge || f[3] == "0" {
			continue
		}
		if group, ok := strings.CutPrefix(f[0], "@"); slices.Contains(names, f[0]) || ok && l.isMember(group, groups) {
			return true
		}
	}
	return false
}

// isMember reports whether the file group(5) gives the group of that name one of the numbers.
func (l Layout) isMember(group string, numbers []int) bool {
	for line := range strings.Lines(l.Read("/etc/group")) {
		f := strings.Split(line, ":")
		for _, n := range numbers {
			if len(f) > 2 && f[0] == group && f[2] == decimal(n) {
				return true
			}
		}
	}
	return false
}
