package host

import (
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// This file, version.go and privilege.go read facts about the machine for "lxc-pull doctor".
// Paths are those of the system; Layout.Top comes before each.

// Below returns the layout of a machine whose system is in the directory top. home is the
// user's home directory, with top, and root says whether the user is root.
func Below(top, home string, root bool) *Layout { return &Layout{root, home, "", top} }

// Read returns the content of a file of the system, of at most maxConfig bytes, without blanks
// and newlines around it; "" if it can't be read.
func (l *Layout) Read(path string) string {
	data, _ := readFile(l.Top + path)
	return strings.TrimSpace(string(data))
}

// NearestDir returns a path, or the nearest existing directory above it.
func NearestDir(path string) string {
	for {
		var st unix.Stat_t
		if unix.Stat(path, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR || path == "/" || path == "." {
			return path
		}
		path = filepath.Dir(path)
	}
}

// MountPoint returns the mount point of a directory, "/" if it is not known
// (proc_pid_mountinfo(5)).
func (l *Layout) MountPoint(dir string) string {
	best := "/"
	for _, line := range strings.Split(l.Read("/proc/self/mountinfo"), "\n") {
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		at := strings.ReplaceAll(f[4], `\040`, " ")
		if len(at) > len(best) && strings.HasPrefix(dir+"/", at+"/") {
			best = at
		}
	}
	return best
}
