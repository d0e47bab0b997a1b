package host

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
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

// Grants reports whether a directory gives a right (4: read, 2: write, 1: search) to a user, by
// its mode. If the user is that of this process, the process's groups count. A directory with
// an ACL (acl(5)) may give it to anyone, and root has all rights.
func Grants(dir string, right uint32, uid int) bool {
	var st unix.Stat_t
	if uid == 0 || unix.Stat(dir, &st) != nil {
		return uid == 0
	}
	n, err := unix.Getxattr(dir, "system.posix_acl_access", nil)
	switch {
	case err == nil && n > 0:
		return true
	case int(st.Uid) == uid:
		right <<= 6
	case uid == os.Geteuid() && inGroup(int(st.Gid)):
		right <<= 3
	}
	return st.Mode&right != 0
}

// inGroup reports whether this process is in a group.
func inGroup(gid int) bool {
	groups, err := unix.Getgroups()
	return gid == os.Getegid() || err == nil && slices.Contains(groups, gid)
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

// UserNetwork reports whether lxc-usernet(5) lets this process's user, who has these names,
// attach interfaces to a bridge.
func (l Layout) UserNetwork(bridge string, names []string) bool {
	for line := range strings.Lines(l.Read("/etc/lxc/lxc-usernet")) {
		f := strings.Fields(line)
		if len(f) < 4 || f[1] != "veth" || f[2] != bridge || f[3] == "0" {
			continue
		}
		if group, ok := strings.CutPrefix(f[0], "@"); slices.Contains(names, f[0]) || ok && l.isMember(group) {
			return true
		}
	}
	return false
}

// isMember reports whether this process is in the group of that name, by the file group(5).
func (l Layout) isMember(group string) bool {
	for line := range strings.Lines(l.Read("/etc/group")) {
		f := strings.Split(line, ":")
		if len(f) < 3 || f[0] != group {
			continue
		}
		gid, err := strconv.Atoi(f[2])
		return err == nil && inGroup(gid)
	}
	return false
}
