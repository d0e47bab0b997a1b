package lxc

import (
	"bytes"
	"fmt"
	"strings"
)

// maxHostName is the longest name of a container, in bytes: LXC keeps lxc.uts.name
// in the kernel's struct utsname (set_config_uts_name in confile.c, uname(2)).
const maxHostName = 64

// A ConfigError says that LXC would refuse a line of a container's config, and
// with it the container.
type ConfigError struct {
	Line   string
	Reason string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("LXC would refuse the line %q: %s", Shown(e.Line), e.Reason)
}

// Shown cuts a line from outside for a message: a line may have a megabyte.
func Shown(line string) string {
	const most = 200
	if len(line) > most {
		return line[:most] + "..."
	}
	return line
}

// ConfigLines splits a config into lines as LXC since 3.0.4 does: at every CR
// and LF, empty lines left out (lxc_file_for_each_line_mmap in parse.c). LXC ends
// at a NUL; here it stays in its line, for CheckLoads to refuse.
func ConfigLines(config []byte) []string {
	return strings.FieldsFunc(string(config), func(r rune) bool { return r == '\n' || r == '\r' })
}

// TrimCR drops the CR of every CR LF.
func TrimCR(text []byte) []byte { return bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")) }

// controlCharacter returns the first line that has a control character other
// than a tab. LXC since 3.0.4 takes CR for the end of a line and NUL for the
// end of the text, older ones don't; musl's getmntent(3) takes all of them for
// blanks. Where two programs read a text in two ways no check of it holds.
func controlCharacter(text []byte) (line string, found bool) {
	for line := range strings.SplitSeq(string(text), "\n") {
		for i := 0; i < len(line); i++ {
			if b := line[i]; b < ' ' && b != '\t' || b == 0x7f {
				return line, true
			}
		}
	}
	return "", false
}

// configItem splits a config line as LXC does (parse_line in confile.c): blanks
// around key and value cut off. ok is false for lines that LXC ignores: all that
// don't begin with "lxc.". There is no continuation of a line, and no comment
// behind a value. equals is false where the line lacks the "=", which is an error.
func configItem(line string) (key, value string, equals, ok bool) {
	line = strings.TrimLeft(line, " \t")
	if !strings.HasPrefix(line, "lxc.") {
		return "", "", false, false
	}
	key, value, equals = strings.Cut(line, "=")
	return strings.Trim(key, " \t"), strings.Trim(value, " \t"), equals, true
}

// unquote takes one pair of quotes around a value away, as LXC since 2.1 does.
func unquote(value string) string {
	if n := len(value); n > 1 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
		return value[1 : n-1]
	}
	return value
}

// A Loaded is what LXC would read in a config.
type Loaded struct {
	Arch     []string // values of lxc.arch
	Includes []string // files and directories that lxc.include names
	Name     string   // the last lxc.uts.name
	Rootfs   []string // the lines that set lxc.rootfs.path
	// Missing are the protections that LXC's common.conf gives a container and
	// that this config, which does not include it, leaves out. (A file that it
	// includes may do so in turn.)
	Missing []string
}

// CheckLoads reads a config as LXC 3.0 and later do, and refuses with a
// *ConfigError what every one of them refuses: keys that none knows, those of
// LXC 1 and 2 (with their new spelling), lines without "=", host names that are
// too long, a NUL, at which LXC would stop, and some mistyped values (refuseValue).
func CheckLoads(config []byte) (Loaded, error) {
	var found Loaded
	common := false
	drops, mounts := " ", ""
	for line := range strings.SplitSeq(string(config), "\n") {
		if strings.IndexByte(line, 0) >= 0 {
			return found, &ConfigError{line, "a NUL"}
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
			return found, &ConfigError{line, reason}
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
				return found, &ConfigError{line, fmt.Sprintf("a host name longer than %d bytes", maxHostName)}
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

// missing names what common.conf of LXC 5.0 to 7.0 does to a container's root and
// a config that drops the capabilities in drops and mounts mounts does not.
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

// Includes lists what a config includes, whatever else it holds.
func Includes(config []byte) []string {
	var names []string
	for _, line := range ConfigLines(config) {
		if key, value, equals, ok := configItem(line); ok && equals && key == "lxc.include" && unquote(value) != "" {
			names = append(names, unquote(value))
		}
	}
	return names
}
