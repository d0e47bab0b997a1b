package host

import (
	"path/filepath"
	"strings"
)

// This file, version.go and privilege.go read facts about the machine for "lxc-pull doctor".
// Paths are those of the system; Layout.top comes before each.

// Below returns the layout of a machine whose system is in the directory top. home is the
// user's home directory, with top, and root says whether the user is root.
func Below(top, home string, root bool) *Layout { return &Layout{root, home, "", top} }

// Real returns the path by which this process opens a path of the system.
func (l *Layout) Real(path string) string { return l.top + path }

// Has reports whether a path of the system exists.
func (l *Layout) Has(path string) bool { return l.has(path) }

// Read returns the content of a file of the system, of at most maxConfig bytes, without blanks
// and newlines around it; "" if it can't be read.
func (l *Layout) Read(path string) string {
	data, _ := readFile(l.top + path)
	return strings.TrimSpace(string(data))
}

// Etc returns the directory of the files passwd, subuid and subgid.
func (l *Layout) Etc() string { return l.top + Etc }

// Termux returns the directory of Termux's files, "" elsewhere.
func (l *Layout) Termux() string { return l.prefix }

// NearestDir returns a path, or the nearest existing directory above it.
func NearestDir(path string) string {
	for !isDir(path) && path != "/" && path != "." {
		path = filepath.Dir(path)
	}
	return path
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
