package lxc

import (
	"fmt"
	"strconv"
	"strings"
)

// A HostConfigError says that an image's config or fstab has a line that an image may not
// have: it concerns the host.
type HostConfigError struct {
	_      [0]func() // forbids ==, whose code nothing needs
	file   string    // "config" or "fstab"
	line   string    // the whole line
	reason string
}

func (e *HostConfigError) Error() string {
	return fmt.Sprintf("the image's %s has %q: %s", e.file, Shown(e.line), e.reason)
}

// An ImageConfig is the result of a check of an image's config or fstab.
type ImageConfig struct {
	Loaded // set by CheckConfig only
	// Creates says that LXC will create directories below dev for mounts. Then the
	// image's dev must be a directory: LXC creates them as the host's root before it
	// changes the root directory, so a symbolic link would lead it out of the image.
	Creates bool
	// Writable lists kernel directories that are mounted from the host and that the
	// container's root may write, because it is the host's root.
	Writable []string
	// Foreign lists the lines that an image may not have, if the user allows them.
	Foreign []string
}

// CheckConfig checks an image's config, in which the tokens are already replaced. It
// returns a *HostConfigError for every key and value that is not in the list of those
// that an image may set (allows): an image describes itself, and the host decides how to
// run it. If hostConfig is true, because the user allows such lines, CheckConfig returns
// them in Foreign instead.
//
// Control characters, and lines that LXC would refuse after the container is complete,
// are errors in any case. Lines that don't begin with "lxc." are accepted, because LXC
// ignores them (parse_line in confile.c).
//
// CheckConfig compares whole keys. LXC before 4.0.7 compares only their beginning, so
// that "lxc.tty.maximum" sets lxc.tty.max (lxc_get_config in confile.c); with a list of
// allowed keys both are safe. It does not remove quotes around values, and so refuses
// them, because LXC before 2.1 does not remove them.
func (c *Container) CheckConfig(config []byte, hostConfig bool) (ImageConfig, error) {
	var found ImageConfig
	if line, bad := controlCharacter(config); bad {
		return found, fmt.Errorf("the image's config has a control character in %q", Shown(line))
	}
	loaded, err := CheckLoads(config)
	if err != nil {
		return found, fmt.Errorf("the image's config: %w", err)
	}
	found.Loaded = loaded
	for _, line := range strings.Split(string(config), "\n") {
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
			return found, &HostConfigError{file: "config", line: line, reason: "an image may not set this key to this value"}
		}
		found.Foreign = append(found.Foreign, line)
	}
	return found, nil
}

// Words that values of an image's config may have.
const (
	// The names of capabilities(7) in caps_opt in conf.c. Not "none", which only
	// lxc.cap.keep knows.
	capabilities = "chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner " +
		"sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap " +
		"mac_override mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore"
	// Words of lxc.mount.auto that leave /proc/sys, /sys and the host's cgroups
	// read-only, from common.conf and from config/templates of LXC 1.0. Not "cgroup"
	// alone, which means cgroup:rw if the container keeps CAP_SYS_ADMIN
	// (lxc_mount_auto_mounts in conf.c).
	autoMounts = "proc proc:mixed sys sys:mixed sys:ro cgroup:mixed cgroup:ro"
	// Signals to the container's init: those of templates/lxc-busybox.in and
	// archlinux.common.conf of LXC, and other usual ones.
	signals = "SIGHUP SIGINT SIGKILL SIGPWR SIGQUIT SIGTERM SIGUSR1 SIGUSR2 SIGRTMIN+3 SIGRTMIN+4 SIGRTMIN+14"
	// Environment variables. Hooks, which are programs of the host, see them too,
	// because LXC sets them before it runs hooks. The values may have no slash.
	variables = "LANG LC_ALL TERM TZ"
)

// allows reports whether an image may set key to value. The list is from three sources:
// the images of images.linuxcontainers.org (the 973 changes to lxc-ci's image
// definitions since 2018 use only lxc.include, lxc.arch and lxc.mount.entry),
// distrobuilder, which adds no key, and config/templates of LXC 1.0 to 7.0, from which
// makers of images copy. A value is allowed only if it gives the container nothing
// beyond common.conf.
func (c *Container) allows(key, value string) bool {
	switch key {
	case "lxc.include":
		return c.allowsInclude(value)
	case "lxc.arch":
		return isMadeOf(value, lower+digits+"_")
	case "lxc.cap.drop": // not an empty value, which clears the list
		return areWords(value, capabilities)
	case "lxc.mount.auto":
		return areWords(value, autoMounts)
	case "lxc.mount.entry":
		return c.allowsMount(value)
	case "lxc.tty.max": // terminals that LXC opens on the host; 4 in common.conf
		return isNumber(value, 64)
	case "lxc.pty.max": // 1024 in common.conf
		return isNumber(value, 4096)
	case "lxc.tty.dir": // from common.conf and userns.conf
		return value == "lxc" || value == ""
	case "lxc.autodev":
		// With 0, LXC creates mount points in the image's own dev, whose symbolic
		// links may lead out of the image.
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

// allowsInclude reports whether an image may include the file name: common.conf in
// LXC_TEMPLATE_CONFIG, which restricts a container, and in a user namespace also
// userns.conf, which lifts restrictions that the kernel makes there anyway.
//
// Not DISTRO.common.conf, which images included until 2020: the file of that name on
// the host may be old or from another package, allow more devices or run hooks (Debian's
// lxc-templates has twenty such files).
func (c *Container) allowsInclude(name string) bool {
	file, ok := strings.CutPrefix(name, strings.TrimSuffix(c.TemplateConfig, "/")+"/")
	return ok && c.TemplateConfig != "" && (file == "common.conf" || file == "userns.conf" && c.UserNamespace)
}

// boundMounts are kernel directories that an image may mount from the host at the same
// path, with "none bind,optional 0 0", as images until 2020 and common.conf do.
// userMounts are allowed only in user namespaces: elsewhere the container's root could
// write there and change the host.
const (
	boundMounts = "/sys/fs/fuse/connections /sys/fs/pstore /sys/kernel/debug /sys/kernel/security"
	userMounts  = "/proc/sys/fs/binfmt_misc /sys/firmware/efi/efivars"
)

// stockMounts are the other mounts that an image may have, separated by semicolons,
// without the two zeros at the end. The first is from images until 2020, the others are
// from config/templates of LXC 1.0 to 2.1, without those that mount /proc or /sys
// writable or create a file in the image's own dev.
const stockMounts = "mqueue dev/mqueue mqueue rw,relatime,create=dir,optional;" +
	"mqueue dev/mqueue mqueue rw,nodev,noexec,nosuid,create=dir;mqueue dev/mqueue mqueue rw,nodev,noexec,nosuid;" +
	"shm dev/shm tmpfs rw,nosuid,nodev,noexec,relatime,create=dir;shm dev/shm tmpfs rw,nosuid,nodev,noexec,relatime;" +
	"none dev/shm tmpfs rw,nosuid,nodev,create=dir;none dev/shm tmpfs nosuid,nodev,noexec,mode=1777;" +
	"run run tmpfs rw,nosuid,nodev,relatime,mode=755"

// allowsMount reports whether entry, a line in the form of fstab(5), is one of
// boundMounts, userMounts or stockMounts. Spaces may differ, and the zeros at the end
// may be missing.
func (c *Container) allowsMount(entry string) bool {
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
	for _, mount := range strings.Split(stockMounts, ";") {
		if mount == entry {
			return true
		}
	}
	return false
}

// noteMount sets Creates and Writable for a mount.
func (c *Container) noteMount(entry string, found *ImageConfig) {
	found.Creates = found.Creates || strings.Contains(entry, "create=")
	if f := mountFields(entry); len(f) > 0 && !c.UserNamespace && isWord(f[0], "/sys/fs/pstore /sys/kernel/debug /sys/kernel/security") {
		found.Writable = append(found.Writable, f[0])
	}
}

// mountFields splits a line of fstab(5) at spaces and tabs.
func mountFields(entry string) []string {
	return strings.FieldsFunc(entry, func(r rune) bool { return r == ' ' || r == '\t' })
}

// maxFstabLine is the longest line of an image's fstab, in bytes. LXC reads lines with
// getmntent_r(3) into a buffer of PATH_MAX bytes (mount_file_entries in conf.c), and
// Android's C library reads the rest of a longer line as another line.
const maxFstabLine = 4000

// CheckFstab checks an image's fstab, in which the tokens are already replaced: every
// mount must be allowed (allowsMount). hostConfig and the results are as for CheckConfig.
func (c *Container) CheckFstab(fstab []byte, hostConfig bool) (ImageConfig, error) {
	var found ImageConfig
	if line, bad := controlCharacter(fstab); bad {
		return found, fmt.Errorf("the image's fstab has a control character in %q", Shown(line))
	}
	for _, line := range strings.Split(string(fstab), "\n") {
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
			return found, &HostConfigError{file: "fstab", line: line, reason: "an image may not have this mount"}
		}
		found.Foreign = append(found.Foreign, line)
	}
	return found, nil
}

// startsNumber reports whether scanf(3) finds a number at the start of s. Android's
// getmntent(3) knows no comments: for it the line "#tmpfs mnt tmpfs rw 0 0" is a mount,
// because the last two fields are numbers.
func startsNumber(s string) bool {
	s = strings.TrimLeft(s, "+-")
	return s != "" && s[0] >= '0' && s[0] <= '9'
}

const (
	lower  = "abcdefghijklmnopqrstuvwxyz"
	upper  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits = "0123456789"
)

// isMadeOf reports whether s is not empty and all its bytes are in set.
func isMadeOf(s, set string) bool { return s != "" && strings.Trim(s, set) == "" }

// isWord reports whether s is one of words, which are separated by spaces.
func isWord(s, words string) bool {
	return s != "" && !strings.Contains(s, " ") && strings.Contains(" "+words+" ", " "+s+" ")
}

// areWords reports whether s has at least one word, and only words of list.
func areWords(s, list string) bool {
	f := mountFields(s)
	for _, word := range f {
		if !isWord(word, list) {
			return false
		}
	}
	return len(f) > 0
}

// isNumber reports whether s is a decimal number from 0 to limit.
func isNumber(s string, limit int) bool {
	n, err := strconv.Atoi(s)
	return err == nil && isMadeOf(s, digits) && n <= limit
}
