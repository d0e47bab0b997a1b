// Package lxc computes the content of a container's directory from an image's metadata:
// which metadata file counts, the container's config and fstab, and which lines an
// image may not put into them. It does no input or output.
//
// The results are the same, byte for byte, as those of LXC's own "download" template
// (lxc-download.in of LXC 5.0 to 7.0). Where this package differs on purpose, a
// comment says so. Other comments name the file and function of liblxc for each rule.
//
// Reading order: namespace.go (which kind of container it is), meta.go (the metadata
// files), container.go (tokens, config, the container's name), config.go and keys.go (how
// LXC parses a config, and what it refuses), imageconfig.go (what an image may set),
// idmap.go.
package lxc

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// A Container holds the values of the tokens in an image's files, and whether the
// container is in a user namespace.
type Container struct {
	_              [0]func() // forbids ==, whose code nothing needs
	Name           string    // LXC_NAME
	Path           string    // LXC_PATH: the container's directory
	Rootfs         string    // LXC_ROOTFS: the directory of its root file system
	TemplateConfig string    // LXC_TEMPLATE_CONFIG: LXC's directory of configs to include
	HookDir        string    // LXC_HOOK_DIR: LXC's directory of hooks
	HostName       string    // lxc.uts.name; "": Name

	UserNamespace bool // the container's root is not the host's root
}

// Expand replaces the tokens in text by their values, literally and in one pass. (The
// stock template runs sed five times: '#', '&' and '\' in a value corrupt the file, and
// a token in a value is replaced too.)
func (c *Container) Expand(text []byte) []byte {
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

// Config returns the container's config file. before is the config that lxc-create has
// written: the lines of default.conf and lxc.rootfs.path. image is the image's config.
// fstab says whether the container has an fstab file.
//
// The parts of the result, in order: the lines of before without "lxc." in them; image,
// verbatim; the other lines of before, comments with a key included; the lines of the
// container's fstab and name; and the lines of before with "lxc.net.0" in them. A dot
// in these two patterns matches any byte, as in the sed expressions of the stock
// template. Tokens are replaced in all lines but lxc.rootfs.path, lxc.mount.fstab and
// lxc.uts.name, whose values may look like a token.
//
// If the last line of before has no newline, the stock template joins it with the
// next line, and LXC reads another key or loses the name. Config adds the newline.
func (c *Container) Config(before, image []byte, fstab bool) []byte {
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
	out = append(out, "lxc.uts.name = "+c.UTSName()+"\n"...)
	out = append(out, "\n# Network configuration\n"...)
	return append(out, network...)
}

// NameOnly returns the config of a container whose image has no metadata: the lines that
// lxc-create has written, and the container's name (lxc-local.in of LXC 7.0).
func (c *Container) NameOnly(before []byte) []byte {
	if n := len(before); n > 0 && before[n-1] != '\n' {
		before = append(before[:n:n], '\n')
	}
	return append(before[:len(before):len(before)], "lxc.uts.name = "+c.UTSName()+"\n"...)
}

// UTSName returns the host name in the container's config.
func (c *Container) UTSName() string {
	if c.HostName != "" {
		return c.HostName
	}
	return c.Name
}

// matches reports whether line contains pattern. A dot in pattern matches any byte.
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

// NoHangup adds the option --nohangup after the first "mingetty" of every line of an
// Upstart tty.conf (CentOS 6, Oracle 6), as the stock template does: mingetty calls
// vhangup(2), which fails in a user namespace.
func NoHangup(conf []byte) []byte {
	var edited []byte
	for len(conf) > 0 {
		end := bytes.IndexByte(conf, '\n') + 1
		if end == 0 {
			end = len(conf)
		}
		edited = append(edited, bytes.Replace(conf[:end], []byte("mingetty"), []byte("mingetty --nohangup"), 1)...)
		conf = conf[end:]
	}
	return edited
}

// CheckName returns an error if a container can't have the name, or if LXC would read it
// differently: a name with a control character or a slash, ".", "..", a name longer than
// a host name (set_config_uts_name in confile.c), and one with spaces, tabs or quotes
// around it, which LXC removes (parse_line in confile.c).
func CheckName(name string) error {
	_, control := controlCharacter([]byte(name))
	switch {
	case strings.Contains(name, "/"):
		return errors.New("\"/\" is not allowed")
	case name == "" || name == "." || name == "..":
		return errors.New("not a directory name")
	case control || strings.Contains(name, "\n"):
		return errors.New("a control character is not allowed")
	case len(name) > maxHostName:
		return fmt.Errorf("longer than %d bytes, the most that a host name has", maxHostName)
	case unquote(strings.Trim(name, " \t")) != name:
		return errors.New("blanks or quotes around it, which LXC removes")
	}
	return nil
}
