// Package lxc knows what a container's directory holds: which metadata file of an
// image counts, how the container's config and fstab come out of it, and which
// lines an image may not put there.
//
// It is pure: text in, text out. The behaviour is that of LXC's own "download"
// template (lxc-download.in of LXC 5.0 to 7.0), byte for byte; where it
// differs on purpose the comment says so.
package lxc

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// CompatLevel is the level of the metadata that this program understands, the
// stock template's DOWNLOAD_COMPAT_LEVEL. A metadata file or an index named
// NAME.7 overrides NAME.
const CompatLevel = 7

// A Mode is the kind of container that is made: it selects the index and the
// metadata files.
type Mode string

// The modes, as they stand in file names.
const (
	System Mode = "system" // made by root, no user namespace
	User   Mode = "user"   // made in a user namespace
)

// A Namespace is the outcome of the stock template's check for a user
// namespace (in_userns).
type Namespace int

// The three outcomes.
const (
	// HostNamespace is the namespace that maps every id to itself, or a kernel
	// without user namespaces.
	HostNamespace Namespace = iota
	// RootNamespace is a user namespace that root made: root itself is mapped
	// into it, or the whole machine (as seen by process 1) is inside it. The
	// images are a user's, the cache is the system's.
	RootNamespace
	// UserNamespace is one that an ordinary user made.
	UserNamespace
)

// Mode returns the kind of container that is made for a namespace.
func (n Namespace) Mode() Mode {
	if n == HostNamespace {
		return System
	}
	return User
}

// NamespaceOf decides from the text of /proc/self/uid_map and /proc/1/uid_map
// (nil where a file can't be read), by the stock template's rules.
func NamespaceOf(self, init []byte) Namespace {
	if self == nil {
		return HostNamespace
	}
	for line := range strings.SplitSeq(string(self), "\n") {
		f := strings.Fields(line)
		if len(f) < 3 {
			continue
		}
		if f[0] == "0" && f[1] == "0" && f[2] == "4294967295" {
			return HostNamespace
		}
		if f[1] == "0" && f[2] == "1" {
			return RootNamespace
		}
	}
	if init != nil && bytes.Equal(bytes.TrimRight(self, "\n"), bytes.TrimRight(init, "\n")) {
		return RootNamespace
	}
	return UserNamespace
}

// A Meta is the content of an image's metadata tarball: file names without a
// directory, and their bytes.
type Meta map[string][]byte

// RelevantName returns which file counts for name: NAME, or NAME-MODE where that
// exists, and then the same with the suffix ".7" where that exists
// (relevant_file of the stock template). There need not be a file of that name.
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

// Relevant returns the content of the file that counts for name; ok is false
// where there is none.
func (m Meta) Relevant(name string, mode Mode) (data []byte, ok bool) {
	data, ok = m[m.RelevantName(name, mode)]
	return data, ok
}

// Lines returns the lines of a metadata file as the shell's "read -r" gives
// them to the stock template: blanks and tabs at both ends cut off. Empty lines
// are left out; unlike in the stock template the last line counts without a
// newline too.
func Lines(file []byte) []string {
	var lines []string
	for line := range strings.SplitSeq(string(file), "\n") {
		if line = strings.Trim(line, " \t"); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// maxExpiry is the end of the year 9999, in seconds since 1970: what is beyond it
// has no date in RFC 3339, and near 2^63 overflows time.Unix.
const maxExpiry = 253402300799

// Expiry returns the time in an image's expiry file: decimal seconds since
// 1970, at most maxExpiry. ok is false where the text is no such number.
func Expiry(file []byte) (t time.Time, ok bool) {
	seconds, err := strconv.ParseInt(strings.TrimSpace(string(file)), 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	return time.Unix(max(0, min(seconds, maxExpiry)), 0).UTC(), true
}

// A Container is what the tokens in an image's files stand for, and where the
// container will live.
type Container struct {
	Name           string // LXC_NAME
	Path           string // LXC_PATH: the container's directory
	Rootfs         string // LXC_ROOTFS: the directory of its root file system
	TemplateConfig string // LXC_TEMPLATE_CONFIG: LXC's directory of configs to include
	HookDir        string // LXC_HOOK_DIR: LXC's directory of hooks

	UserNamespace bool // it lives in a user namespace, so that its root is not the host's
}

// Expand replaces the tokens in text, each literally and in one pass. (The
// stock template runs sed five times in a row, so that '#', '&' and '\' in a
// value corrupt the file and a value that holds a token is replaced again.)
func (c Container) Expand(text []byte) []byte {
	if !bytes.Contains(text, []byte("LXC_")) {
		return text
	}
	return []byte(strings.NewReplacer(
		"LXC_NAME", c.Name,
		"LXC_PATH", c.Path,
		"LXC_ROOTFS", c.Rootfs,
		"LXC_TEMPLATE_CONFIG", c.TemplateConfig,
		"LXC_HOOK_DIR", c.HookDir,
	).Replace(string(text)))
}

// Config returns the container's config file. before is what lxc-create wrote:
// the lines of its default.conf and the rootfs. Its lines with "lxc.net.0"
// anywhere in them go to the end, those with "lxc." (so also comments that
// mention a key) before them, the rest stays at the top; image is the image's
// own config, verbatim, between them. Every dot matches any one byte, as in the
// sed expressions of the stock template. The tokens in all of it are replaced, but
// not in what is this container's: its name and paths, whatever they look like.
// fstab says whether the container gets an fstab file.
//
// Where before lacks its last newline the stock template joins that line with the
// next it writes, and LXC reads another key or loses the name; here the line ends.
func (c Container) Config(before, image []byte, fstab bool) []byte {
	var top, auto, network []byte
	for rest := before; len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n') + 1
		if end == 0 {
			end = len(rest)
		}
		line := rest[:end:end]
		rest = rest[end:]
		text := bytes.TrimSuffix(line, []byte("\n"))
		if key, _, _, _ := configItem(string(text)); key != "lxc.rootfs.path" {
			line = c.Expand(line)
		}
		switch {
		case matches(text, "lxc.net.0"):
			network = append(network, line...)
		case matches(text, "lxc."):
			auto = append(auto, line...)
		default:
			top = append(top, line...)
		}
	}
	out := top
	out = append(out, "\n# Distribution configuration\n"...)
	out = append(out, c.Expand(image)...)
	out = append(out, "\n# Container specific configuration\n"...)
	out = append(out, auto...)
	if n := len(auto); n > 0 && auto[n-1] != '\n' {
		out = append(out, '\n')
	}
	if fstab {
		out = append(out, "lxc.mount.fstab = "+c.Path+"/fstab\n"...)
	}
	out = append(out, "lxc.uts.name = "+c.Name+"\n"...)
	out = append(out, "\n# Network configuration\n"...)
	return append(out, network...)
}

// matches reports whether pattern, in which a dot stands for any one byte, is
// found anywhere in line.
func matches(line []byte, pattern string) bool {
	for i := 0; i+len(pattern) <= len(line); i++ {
		j := 0
		for j < len(pattern) && (pattern[j] == '.' || pattern[j] == line[i+j]) {
			j++
		}
		if j == len(pattern) {
			return true
		}
	}
	return false
}

// NoHangup gives every line's first mingetty of an Upstart tty.conf the option
// --nohangup: vhangup(2) fails in a user namespace (CentOS 6, Oracle 6).
func NoHangup(conf []byte) []byte {
	lines := bytes.SplitAfter(conf, []byte("\n"))
	for i, line := range lines {
		lines[i] = bytes.Replace(line, []byte("mingetty"), []byte("mingetty --nohangup"), 1)
	}
	return bytes.Join(lines, nil)
}

// An IDRange maps ids of a container to ids of the host.
type IDRange struct {
	UID, GID bool // which kind of id it is for; one of them
	Inside   uint32
	Outside  uint32
	Count    uint32
}

// IDMap returns the ranges that lxc.idmap in a config sets: "u INSIDE OUTSIDE
// COUNT", "g" for groups, "b" for both; an empty value takes back those before
// it (set_config_idmaps in LXC's confile.c).
func IDMap(config []byte) ([]IDRange, error) {
	var ranges []IDRange
	for line := range strings.SplitSeq(string(config), "\n") {
		key, value, _, ok := configItem(line)
		value = unquote(value)
		if !ok || key != "lxc.idmap" && key != "lxc.id_map" {
			continue
		}
		if value == "" {
			ranges = nil
			continue
		}
		f := strings.Fields(value)
		if len(f) != 4 || f[0] != "u" && f[0] != "g" && f[0] != "b" {
			return nil, fmt.Errorf("%q: not TYPE INSIDE OUTSIDE COUNT", line)
		}
		var n [3]uint32
		for i, text := range f[1:] {
			v, err := strconv.ParseUint(text, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("%q: %q is no id", line, text)
			}
			n[i] = uint32(v)
		}
		if n[2] == 0 || uint64(n[0])+uint64(n[2]) > 1<<32-1 || uint64(n[1])+uint64(n[2]) > 1<<32-1 {
			return nil, fmt.Errorf("%q: ids beyond 32 bits, or none", line)
		}
		if f[0] != "g" {
			ranges = append(ranges, IDRange{UID: true, Inside: n[0], Outside: n[1], Count: n[2]})
		}
		if f[0] != "u" {
			ranges = append(ranges, IDRange{GID: true, Inside: n[0], Outside: n[1], Count: n[2]})
		}
	}
	return ranges, nil
}

// RootIDs returns the user and the group of the host that ranges make the
// container's root. The error says which line of the config is missing.
func RootIDs(ranges []IDRange) (ids [2]uint32, err error) {
	user, group := false, false
	for _, r := range ranges {
		if r.Inside == 0 && r.UID {
			ids[0], user = r.Outside, true
		}
		if r.Inside == 0 && r.GID {
			ids[1], group = r.Outside, true
		}
	}
	if !user || !group {
		kind := "g"
		if !user {
			kind = "u"
		}
		return ids, fmt.Errorf("lxc.idmap of the config has no line for the container's root: \"lxc.idmap = %s 0 FIRST COUNT\"", kind)
	}
	return ids, nil
}
