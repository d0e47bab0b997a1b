package host

import (
	"path/filepath"
	"strings"
)

// This file and kernel.go, version.go and privilege.go read facts about the machine for
// "lxc-pull doctor". Paths are those of the system; Layout.top comes before each.

// Below returns the layout of a machine whose system is in the directory top. home is the
// user's home directory, with top, and root says whether the user is root.
func Below(top, home string, root bool) Layout { return Layout{root, home, "", top} }

// Real returns the path by which this process opens a path of the system.
func (l Layout) Real(path string) string {
	if l.top == "" {
		return path
	}
	return filepath.Join(l.top, path)
}

// Has reports whether a path of the system exists.
func (l Layout) Has(path string) bool { return l.has(path) }

// Read returns the content of a file of the system, of at most maxConfig bytes, without blanks
// and newlines around it; "" if it can't be read.
func (l Layout) Read(path string) string {
	data, err := readFile(l.top + path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// Etc returns the directory of the files passwd, subuid and subgid.
func (l Layout) Etc() string { return l.top + Etc }

// OpenWrt reports whether this is an OpenWrt system.
func (l Layout) OpenWrt() bool { return l.openWrt() }

// Termux returns the directory of Termux's files, "" elsewhere.
func (l Layout) Termux() string { return l.prefix }
