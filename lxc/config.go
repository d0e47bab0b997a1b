package lxc

import (
	"bytes"
	"fmt"
	"strings"
)

// maxHostName is the longest name of a container, in bytes: LXC stores lxc.uts.name in
// a struct utsname (set_config_uts_name in confile.c, uname(2)).
const maxHostName = 64

// A configError says that LXC would refuse a line of a container's config, and the
// container with it.
type configError struct {
	_      [0]func() // forbids ==, whose code nothing needs
	line   string
	reason string
}

func (e *configError) Error() string {
	return fmt.Sprintf("LXC would refuse the line %q: %s", Shown(e.line), e.reason)
}

// Shown returns at most the first 200 bytes of a line from outside, for a message. A line
// may be a megabyte long.
func Shown(line string) string {
	const most = 200
	if len(line) > most {
		return line[:most] + "..."
	}
	return line
}

// ConfigLines splits a config into lines as LXC since 3.0.4 does: at every CR and LF,
// without empty lines (lxc_file_for_each_line_mmap in parse.c). LXC stops at a NUL byte;
// ConfigLines leaves it in its line, and CheckLoads refuses the line.
func ConfigLines(config []byte) []string {
	return strings.FieldsFunc(string(config), func(r rune) bool { return r == '\n' || r == '\r' })
}

// TrimCR replaces every CR LF by LF.
func TrimCR(text []byte) []byte { return bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")) }

// controlCharacter returns the first line that has a control character other than a
// tab. Programs read these differently, so a check of such a text proves nothing: for LXC
// since 3.0.4 a CR ends a line and a NUL ends the text (lxc_file_for_each_line_mmap in
// parse.c), for older versions not; for getmntent(3) of musl some are separators.
func controlCharacter(text []byte) (line string, found bool) {
	for _, line := range strings.Split(string(text), "\n") {
		for i := 0; i < len(line); i++ {
			if b := line[i]; b < ' ' && b != '\t' || b == 0x7f {
				return line, true
			}
		}
	}
	return "", false
}

// configItem splits a config line as LXC does (parse_line in confile.c) and removes
// spaces and tabs around key and value. ok is false for lines that LXC ignores: those
// that don't begin with "lxc.". equals is false if the line has no "=", which LXC refuses.
// A config has no continuation lines and no comments after a value.
func configItem(line string) (key, value string, equals, ok bool) {
	line = strings.TrimLeft(line, " \t")
	if !strings.HasPrefix(line, "lxc.") {
		return "", "", false, false
	}
	key, value, equals = strings.Cut(line, "=")
	return strings.Trim(key, " \t"), strings.Trim(value, " \t"), equals, true
}

// unquote removes one pair of quotes around a value, as LXC since 2.1 does (parse_line
// in confile.c).
func unquote(value string) string {
	if n := len(value); n > 1 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
		return value[1 : n-1]
	}
	return value
}

// A Loaded is the content of a config as LXC reads it.
type Loaded struct {
	Arch     []string // values of lxc.arch
	Includes []string // files and directories, from lxc.include
	Name     string   // the last lxc.uts.name
	Rootfs   []string // whole lines that set lxc.rootfs.path
	// Missing describes protections of LXC's common.conf that this config lacks,
	// because it does not include common.conf. Included files are not read, so one
	// of them may include it.
	Missing []string
}

// CheckLoads parses a config as LXC 3.0 and later do. It returns an error for lines that
// all of them refuse: unknown keys, keys of LXC 1 and 2 (the error has the new name),
// lines without "=", a host name that is too long, and some wrong values (refuseValue). A
// line with a NUL byte, at which LXC would stop, is an error too.
func CheckLoads(config []byte) (Loaded, error) {
	var found Loaded
	common := false
	drops, mounts := " ", ""
	for _, line := range strings.Split(string(config), "\n") {
		if strings.IndexByte(line, 0) >= 0 {
			return found, &configError{line: line, reason: "a NUL"}
		}
		key, value, equals, ok := configItem(line)
		if !ok {
			continue
		}
		value = unquote(value)
		reason := refuseKey(key)
		if !equals {
			reason = `"KEY = VALUE" is expected`
		} else if reason == "" {
			reason = refuseValue(key, value)
		}
		if reason != "" {
			return found, &configError{line: line, reason: reason}
		}
		switch key {
		case "lxc.arch":
			found.Arch = append(found.Arch, value)
		case "lxc.include":
			if value != "" {
				found.Includes = append(found.Includes, value)
				common = common || strings.HasSuffix(value, "/common.conf")
			}
		case "lxc.uts.name":
			if len(value) > maxHostName {
				return found, &configError{line: line, reason: fmt.Sprintf("a host name longer than %d bytes", maxHostName)}
			}
			found.Name = value
		case "lxc.rootfs.path":
			found.Rootfs = append(found.Rootfs, line)
		case "lxc.cap.drop":
			drops += strings.Join(strings.Fields(value), " ") + " "
		case "lxc.mount.auto":
			mounts += value
		}
	}
	if !common {
		found.Missing = missing(drops, mounts)
	}
	return found, nil
}

// missing lists restrictions of common.conf of LXC 5.0 to 7.0 that a config lacks. drops
// are the values of its lxc.cap.drop, mounts those of lxc.mount.auto.
func missing(drops, mounts string) []string {
	var list, kept []string
	for _, capability := range []string{"mac_admin", "mac_override", "sys_time", "sys_module", "sys_rawio"} {
		if !strings.Contains(drops, " "+capability+" ") {
			kept = append(kept, capability)
		}
	}
	if kept != nil {
		list = append(list, "drops the capabilities "+strings.Join(kept, ", "))
	}
	if !strings.Contains(mounts, "proc") || !strings.Contains(mounts, "sys") {
		list = append(list, "keeps /proc/sys and /sys from being written")
	}
	return append(list, "denies devices", "filters system calls")
}

// Values returns the values of a key in a config, which may have errors. An empty value, or
// one without "=", is "".
func Values(config []byte, key string) (values []string) {
	for _, line := range ConfigLines(config) {
		if k, value, _, _ := configItem(line); k == key {
			values = append(values, unquote(value))
		}
	}
	return values
}
