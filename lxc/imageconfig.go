package lxc

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A HostConfigError says that a line of an image's config or fstab is none of
// those that an image may have.
type HostConfigError struct {
	File   string // "config" or "fstab"
	Line   string
	Reason string
}

func (e *HostConfigError) Error() string {
	return fmt.Sprintf("the image's %s has %q: %s", e.File, Shown(e.Line), e.Reason)
}

// An ImageConfig is what a check of an image's config found out.
type ImageConfig struct {
	Loaded
	// Creates says that LXC is to make directories below dev for mounts. Then
	// the image's dev must be a directory: through a link LXC, which makes them
	// as root before the container has a root of its own, would leave it.
	Creates bool
	// Writable are directories of the kernel that the container shares with the
	// host and whose files its root may write, since it is the host's root too.
	Writable []string
	// Foreign are the lines that an image may not have, and that the user lets
	// it have all the same.
	Foreign []string
}

// CheckConfig reads an image's config, tokens already replaced, and refuses with
// a *HostConfigError every key and value that is not on the list of those an
// image may set (allows). An image may say what it is; how the host runs it is
// the host's. With hostConfig true (the user allows it) such lines are returned.
//
// Refused in any case are control characters, and with a *ConfigError what LXC
// would refuse once the container is made. Lines that don't begin with "lxc." are
// no configuration for LXC and pass.
//
// Keys are compared as a whole. LXC before 4.0.7 compares them by their beginning,
// so that "lxc.tty.maximum" sets lxc.tty.max; a list of what is allowed holds for
// both. Values are taken as they stand: one in quotes is refused, since LXC
// before 2.1 does not take the quotes off.
func (c Container) CheckConfig(config []byte, hostConfig bool) (ImageConfig, error) {
	var found ImageConfig
	if line, bad := controlCharacter(config); bad {
		return found, fmt.Errorf("the image's config has a control character in %q", Shown(line))
	}
	loaded, err := CheckLoads(config)
	if err != nil {
		return found, fmt.Errorf("the image's config: %w", err)
	}
	found.Loaded = loaded
	for line := range strings.SplitSeq(string(config), "\n") {
		key, value, _, ok := configItem(line)
		if !ok {
			continue
		}
		if key == "lxc.mount.entry" {
			c.noteMount(value, &found)
		}
		if c.allows(key, value) {
			continue
		}
		if !hostConfig {
			return found, &HostConfigError{"config", line, "an image may not set this key to this value"}
		}
		found.Foreign = append(found.Foreign, line)
	}
	return found, nil
}

// Words that an image's values may be made of.
const (
	// capabilities(7), the names of caps_opt in LXC's conf.c. "none" is a word of
	// lxc.cap.keep and means all of them there.
	capabilities = "chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner " +
		"sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap " +
		"mac_override mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore"
	// Those of lxc.mount.auto that leave /proc/sys, /sys and the host's cgroups
	// read-only: LXC's own common.conf, and config/templates of LXC 1.0. Not
	// "cgroup" alone: that is cgroup:rw where the container keeps CAP_SYS_ADMIN
	// (lxc_mount_auto_mounts in conf.c).
	autoMounts = "proc proc:mixed sys sys:mixed sys:ro cgroup:mixed cgroup:ro"
	// Signals to the container's init: templates/lxc-busybox.in and
	// archlinux.common.conf of LXC, and the usual ones.
	signals = "SIGHUP SIGINT SIGKILL SIGPWR SIGQUIT SIGTERM SIGUSR1 SIGUSR2 SIGRTMIN+3 SIGRTMIN+4 SIGRTMIN+14"
	// Environment variables that programs of the host may see: LXC sets them
	// before it runs hooks. Their values have no slash.
	variables = "LANG LC_ALL TERM TZ"
)

// allows reports whether an image may set key to value. The sources: the images
// of images.linuxcontainers.org (the 973 changes to lxc-ci's definitions since
// 2018 use lxc.include, lxc.arch and lxc.mount.entry alone), distrobuilder, which
// adds no key, and config/templates of LXC 1.0 to 7.0, whose lines self-made
// images copy. A line is here only if it gives the container nothing that
// common.conf does not give.
func (c Container) allows(key, value string) bool {
	switch key {
	case "lxc.include":
		return c.allowsInclude(value)
	case "lxc.arch":
		return isMadeOf(value, lower+digits+"_")
	case "lxc.cap.drop": // more words drop more; an empty value would drop none at all
		return areWords(value, capabilities)
	case "lxc.mount.auto":
		return areWords(value, autoMounts)
	case "lxc.mount.entry":
		return c.allowsMount(value)
	case "lxc.tty.max": // terminals that LXC opens on the host; common.conf: 4
		return isNumber(value, 64)
	case "lxc.pty.max": // common.conf: 1024
		return isNumber(value, 4096)
	case "lxc.tty.dir": // common.conf, and userns.conf
		return value == "lxc" || value == ""
	case "lxc.autodev":
		// With 0 LXC makes what mounts need in the image's own dev, where links
		// of the image lead out.
		return value == "1"
	case "lxc.uts.name":
		return value == c.Name || isMadeOf(value, lower+upper+digits+".-_") && len(value) <= maxHostName
	case "lxc.signal.halt", "lxc.signal.reboot", "lxc.signal.stop":
		return areWords(value, signals) && !strings.ContainsAny(value, " \t")
	case "lxc.environment":
		name, text, ok := strings.Cut(value, "=")
		return ok && isWord(name, variables) && len(text) <= 64 && isMadeOf(text, lower+upper+digits+"._-@+")
	}
	return false
}

// allowsInclude reports whether an image may include the file name: common.conf
// below LXC_TEMPLATE_CONFIG, which gives a container its protection, and in a user
// namespace userns.conf, which takes back what the kernel gives there anyway.
//
// Not a distribution's own DISTRO.common.conf, which images had until 2020: what
// the host has by that name may be of any age, from another package, allow more
// devices or run hooks (Debian's lxc-templates has twenty).
func (c Container) allowsInclude(name string) bool {
	file, ok := strings.CutPrefix(name, strings.TrimSuffix(c.TemplateConfig, "/")+"/")
	return ok && c.TemplateConfig != "" && (file == "common.conf" || file == "userns.conf" && c.UserNamespace)
}

// boundMounts are directories of the kernel that images bind onto themselves, all
// with "none bind,optional 0 0": images until 2020, LXC's common.conf. Those of
// userMounts stand only in files for user namespaces: the host's root could write
// them in the container, and what is written there counts for the whole host.
const (
	boundMounts = "/sys/fs/fuse/connections /sys/fs/pstore /sys/kernel/debug /sys/kernel/security"
	userMounts  = "/proc/sys/fs/binfmt_misc /sys/firmware/efi/efivars"
)

// stockMounts are the other mount lines, parted by semicolons, without the two
// zeros at the end: the first is that of images until 2020, the others are of
// config/templates of LXC 1.0 to 2.1. Not there: those that mount /proc or /sys
// writable, and those that make a file on the image's own dev.
const stockMounts = "mqueue dev/mqueue mqueue rw,relatime,create=dir,optional;" +
	"mqueue dev/mqueue mqueue rw,nodev,noexec,nosuid,create=dir;mqueue dev/mqueue mqueue rw,nodev,noexec,nosuid;" +
	"shm dev/shm tmpfs rw,nosuid,nodev,noexec,relatime,create=dir;shm dev/shm tmpfs rw,nosuid,nodev,noexec,relatime;" +
	"none dev/shm tmpfs rw,nosuid,nodev,create=dir;none dev/shm tmpfs nosuid,nodev,noexec,mode=1777;" +
	"run run tmpfs rw,nosuid,nodev,relatime,mode=755"

// allowsMount reports whether entry, a line in the form of fstab(5), is one of
// the stock mounts as a whole. Blanks may differ, and the zeros at the end may
// be missing.
func (c Container) allowsMount(entry string) bool {
	f := mountFields(entry)
	for len(f) > 4 && f[len(f)-1] == "0" && len(f) <= 6 {
		f = f[:len(f)-1]
	}
	if len(f) != 4 {
		return false
	}
	if isWord(f[0], boundMounts) || c.UserNamespace && isWord(f[0], userMounts) {
		return f[1] == f[0][1:] && f[2] == "none" && f[3] == "bind,optional"
	}
	entry = strings.Join(f, " ")
	for mount := range strings.SplitSeq(stockMounts, ";") {
		if mount == entry {
			return true
		}
	}
	return false
}

// noteMount notes what a mount means for the host.
func (c Container) noteMount(entry string, found *ImageConfig) {
	found.Creates = found.Creates || strings.Contains(entry, "create=")
	if f := mountFields(entry); len(f) > 0 && !c.UserNamespace && isWord(f[0], "/sys/fs/pstore /sys/kernel/debug /sys/kernel/security") {
		found.Writable = append(found.Writable, f[0])
	}
}

// mountFields splits a line of fstab(5).
func mountFields(entry string) []string {
	return strings.FieldsFunc(entry, func(r rune) bool { return r == ' ' || r == '\t' })
}

// maxFstabLine is the longest line of an image's fstab, in bytes: LXC reads it
// with getmntent_r(3) into PATH_MAX bytes (mount_file_entries in conf.c), and
// Android's C library takes what is beyond them for the next line.
const maxFstabLine = 4000

// CheckFstab checks an image's fstab, tokens already replaced: every mount must
// be one of the stock ones (allowsMount). hostConfig is that of CheckConfig, and
// so are the results.
func (c Container) CheckFstab(fstab []byte, hostConfig bool) (ImageConfig, error) {
	var found ImageConfig
	if line, bad := controlCharacter(fstab); bad {
		return found, fmt.Errorf("the image's fstab has a control character in %q", Shown(line))
	}
	for line := range strings.SplitSeq(string(fstab), "\n") {
		if len(line) > maxFstabLine {
			return found, fmt.Errorf("the image's fstab has a line longer than %d bytes: %q", maxFstabLine, Shown(line))
		}
		f := mountFields(line)
		if len(f) == 0 || f[0][0] == '#' && !(len(f) > 5 && startsNumber(f[4]) && startsNumber(f[5])) {
			continue
		}
		c.noteMount(line, &found)
		if c.allowsMount(line) {
			continue
		}
		if !hostConfig {
			return found, &HostConfigError{"fstab", line, "an image may not have this mount"}
		}
		found.Foreign = append(found.Foreign, line)
	}
	return found, nil
}

// startsNumber reports whether scanf(3) takes s for a number. Android's
// getmntent(3) knows no comments: a line "#tmpfs mnt tmpfs rw 0 0" is a mount.
func startsNumber(s string) bool {
	s = strings.TrimLeft(s, "+-")
	return s != "" && s[0] >= '0' && s[0] <= '9'
}

// CheckName refuses a name of a container that LXC would not take, or take for
// another: control characters, a slash, "." and "..", more bytes than a host
// name has, and blanks or quotes around it, which LXC takes off.
func CheckName(name string) error {
	_, control := controlCharacter([]byte(name))
	switch {
	case name == "" || name == "." || name == ".." || strings.Contains(name, "/"):
		return errors.New("no name of a directory")
	case control || strings.Contains(name, "\n"):
		return errors.New("a control character")
	case len(name) > maxHostName:
		return fmt.Errorf("longer than %d bytes, the most that a host name has", maxHostName)
	case unquote(strings.Trim(name, " \t")) != name:
		return errors.New("blanks or quotes around it, which LXC takes off")
	}
	return nil
}

const (
	lower  = "abcdefghijklmnopqrstuvwxyz"
	upper  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits = "0123456789"
)

// isMadeOf reports whether s is not empty and has bytes of set alone.
func isMadeOf(s, set string) bool { return s != "" && strings.Trim(s, set) == "" }

// isWord reports whether s is one of words, which blanks part.
func isWord(s, words string) bool {
	return s != "" && !strings.Contains(s, " ") && strings.Contains(" "+words+" ", " "+s+" ")
}

// areWords reports whether s is words of the list alone, at least one.
func areWords(s, list string) bool {
	f := mountFields(s)
	for _, word := range f {
		if !isWord(word, list) {
			return false
		}
	}
	return len(f) > 0
}

// isNumber reports whether s is a decimal number up to most.
func isNumber(s string, most int) bool {
	n, err := strconv.Atoi(s)
	return err == nil && isMadeOf(s, digits) && n <= most
}
