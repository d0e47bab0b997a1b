package lxc

import (
	"strconv"
	"strings"
	"time"
)

// CompatLevel is the level of image metadata that this program understands, as
// DOWNLOAD_COMPAT_LEVEL in lxc-download.in. A metadata file or index NAME.7 overrides
// NAME.
const CompatLevel = 7

// A Meta maps the file names in an image's metadata tarball to the files' content. The
// names have no directory.
type Meta map[string][]byte

// RelevantName returns the name of the file that counts for name: NAME-MODE if it exists, else
// NAME. If a file of that name with ".7" added exists, RelevantName returns the longer name
// (relevant_file in lxc-download.in). If no such file exists, it returns NAME.
func (m Meta) RelevantName(name string, mode Mode) string {
	if _, ok := m[name+"-"+string(mode)]; ok {
		name += "-" + string(mode)
	}
	level := name + "." + strconv.Itoa(CompatLevel)
	if _, ok := m[level]; ok {
		name = level
	}
	return name
}

// Relevant returns the content of the file that counts for name. ok is false if there is
// no such file.
func (m Meta) Relevant(name string, mode Mode) (data []byte, ok bool) {
	data, ok = m[m.RelevantName(name, mode)]
	return data, ok
}

// Lines returns the lines of a metadata file as the shell's "read -r" returns them to the
// stock template: without spaces and tabs at both ends. Empty lines are left out. Unlike
// the stock template, Lines also returns a last line without a newline.
func Lines(file []byte) []string {
	var lines []string
	for _, line := range strings.Split(string(file), "\n") {
		if line = strings.Trim(line, " \t"); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// maxExpiry is the end of the year 9999, in seconds since 1970. RFC 3339 has no later
// dates, and seconds near 2^63 overflow in time.Unix.
const maxExpiry = 253402300799

// Expiry returns the time in an image's expiry file, which holds decimal seconds since
// 1970; later times than maxExpiry count as maxExpiry. ok is false if the file does not
// hold a number.
func Expiry(file []byte) (t time.Time, ok bool) {
	seconds, err := strconv.ParseInt(strings.TrimSpace(string(file)), 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	return time.Unix(max(0, min(seconds, maxExpiry)), 0).UTC(), true
}
