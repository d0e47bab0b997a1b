package lxc

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"strings"
)

// A HostConfigError says that a line of an image's config or fstab would hand
// the image something of the host.
type HostConfigError struct {
	File   string // "config" or "fstab"
	Line   string
	Reason string
}

func (e *HostConfigError) Error() string {
	return fmt.Sprintf("the image's %s has %q: %s", e.File, e.Line, e.Reason)
}

// An ImageConfig is what a check of an image's config found out.
type ImageConfig struct {
	Arch     []string // values of lxc.arch
	Includes []string // files and folders that lxc.include names
	// Creates says that LXC is to make files or folders below dev for mounts.
	// Then the image's dev must be a folder: through a link LXC, which makes
	// them as root before the container has a root of its own, would leave it.
	Creates bool
	// Loosens are lines that take away some of what keeps the root of a container
	// without a user namespace from the host. They stay inside of the container,
	// as long as its root means well.
	Loosens []string
	// NoDev is the line, if any, that has LXC mount nothing on dev: then what
	// it makes there it makes in the image's own dev, whose links lead out.
	NoDev string
}

// CheckConfig reads an image's config, tokens already replaced, as LXC's parser
// does (parse_line in confile.c), and refuses with a *HostConfigError what
// reaches outside the container: an image may configure the container, not the
// host that runs it as root. Refused are
//
//   - hooks and network scripts outside LXC_HOOK_DIR, with a path for an
//     argument, or with a character that the shell reads (LXC runs them through
//     popen(3));
//   - environment variables that these hooks, the host's own among them, would
//     obey: LXC sets lxc.environment before it runs some of them;
//   - includes and seccomp profiles outside LXC_TEMPLATE_CONFIG;
//   - lxc.rootfs.*, lxc.idmap: another root file system, other owners;
//   - raw rules of AppArmor, which may end the container's profile and begin one
//     for a program of the host;
//   - mounts of host paths (see CheckFstab);
//   - the host's namespaces, and the host's side of the network: its devices,
//     names and routes there;
//   - a folder for the terminals that leads out of dev, another place in the
//     host's cgroups, processes of the host in the container's;
//   - files that LXC writes on the host: logs, the console's log, a seccomp
//     proxy's socket, names of lxc.proc and lxc.cgroup that are paths;
//   - sysctls that are not the container's own, and environment variables
//     taken over from the host.
//
// With hostConfig true (the user allowed it) nothing of this is refused. Lines
// that don't begin with "lxc." are no configuration for LXC and pass. A NUL is
// always refused: LXC would read another line than this.
func (c Container) CheckConfig(config []byte, hostConfig bool) (ImageConfig, error) {
	var found ImageConfig
	if bytes.IndexByte(config, 0) >= 0 {
		return found, errors.New("the image's config has a NUL byte")
	}
	for line := range strings.SplitSeq(string(config), "\n") {
		key, value, ok := configItem(line)
		if !ok {
			continue
		}
		switch {
		case strings.HasPrefix(key, "lxc.arch") && value != "":
			found.Arch = append(found.Arch, value)
		case strings.HasPrefix(key, "lxc.include") && value != "":
			found.Includes = append(found.Includes, value)
		}
		if hostConfig {
			continue
		}
		if reason := c.refuse(key, value); reason != "" {
			return found, &HostConfigError{"config", line, reason}
		}
		found.Creates = found.Creates || strings.HasPrefix(key, "lxc.mount.entry") && creates(value)
		if loosens(key, value) {
			found.Loosens = append(found.Loosens, line)
		}
		if strings.HasPrefix(key, "lxc.autodev") && !strings.HasPrefix(key, "lxc.autodev.tmpfs") && value != "1" && value != "" {
			found.NoDev = line
		}
	}
	return found, nil
}

// configItem splits a config line as LXC does: blanks around key and value cut
// off, one pair of quotes around the value taken away. ok is false for lines
// that LXC ignores.
func configItem(line string) (key, value string, ok bool) {
	line = strings.TrimLeft(line, " \t")
	if !strings.HasPrefix(line, "lxc.") {
		return "", "", false
	}
	key, value, _ = strings.Cut(line, "=")
	key = strings.Trim(key, " \t")
	value = strings.Trim(value, " \t")
	if n := len(value); n > 1 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
		value = value[1 : n-1]
	}
	return key, value, true
}

// loosens reports whether a line takes away what LXC's common.conf, or AppArmor
// and seccomp, deny the root of a container that is the host's root too.
func loosens(key, value string) bool {
	contains := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(value, w) {
				return true
			}
		}
		return false
	}
	switch key {
	case "lxc.cap.drop", "lxc.seccomp.profile", "lxc.seccomp":
		return value == ""
	case "lxc.cap.keep":
		return contains("sys_module", "sys_rawio", "sys_time", "mac_admin", "mac_override")
	case "lxc.apparmor.profile", "lxc.aa_profile", "lxc.selinux.context", "lxc.se_context":
		return contains("unconfined", "unchanged")
	case "lxc.apparmor.allow_incomplete", "lxc.aa_allow_incomplete", "lxc.apparmor.allow_nesting":
		return value == "1"
	case "lxc.cgroup.devices.allow", "lxc.cgroup2.devices.allow":
		return strings.HasPrefix(value, "a") || strings.HasPrefix(value, "b") // all, or disks
	case "lxc.mount.auto":
		return contains("proc:rw", "sys:rw", "cgroup-full")
	}
	return false
}

// refuse returns why an image may not set key to value; "" if it may. Keys are
// compared by their beginning, as LXC's table is searched; the old names (LXC
// 1 and 2) are refused with the new ones.
func (c Container) refuse(key, value string) string {
	has := func(names ...string) bool {
		for _, n := range names {
			if strings.HasPrefix(key, n) {
				return true
			}
		}
		return false
	}
	if value == "" {
		return "" // an empty value clears what was set before
	}
	switch {
	case has("lxc.hook.version"):
		return ""
	case has("lxc.hook"):
		return c.refuseHook(value)
	case has("lxc.net"):
		return c.refuseNetwork(key, value)
	case has("lxc.include"):
		if !below(c.TemplateConfig, value) {
			return "includes must lie in " + c.TemplateConfig
		}
	case has("lxc.seccomp.notify"):
		return "it speaks to a socket of the host"
	case has("lxc.seccomp"):
		if !(has("lxc.seccomp.allow_nesting") && !strings.Contains(value, "/")) && !below(c.TemplateConfig, value) {
			return "seccomp profiles must lie in " + c.TemplateConfig
		}
	case has("lxc.rootfs", "lxc.pivotdir"):
		return "the root file system is not the image's to choose"
	case has("lxc.idmap", "lxc.id_map"):
		return "the ids of the container are not the image's to choose"
	case has("lxc.namespace"):
		return "it shares namespaces of the host"
	case has("lxc.log"):
		if !has("lxc.log.level", "lxc.loglevel") {
			return "it names a file of the host"
		}
	case has("lxc.console"):
		// Not only the keys of today: LXC before 3.0 takes every key that begins
		// so for the file of the console.
		logs := has("lxc.console.logfile", "lxc.console.buffer.logfile")
		plain := has("lxc.console.size", "lxc.console.buffer.size", "lxc.console.rotate") && !strings.Contains(value, "/")
		if logs || !plain && value != "none" && value != "auto" {
			return "it names a file of the host"
		}
	case has("lxc.mount.auto"):
		// Also "shmounts:PATH:PATH", which binds a path of the host.
		for word := range strings.FieldsSeq(value) {
			kind, rest, _ := strings.Cut(word, ":")
			if kind != "proc" && kind != "sys" && kind != "cgroup" && kind != "cgroup-full" || strings.ContainsAny(rest, "/.") {
				return "it mounts a path of the host"
			}
		}
	case has("lxc.mount.entry"):
		return c.refuseMount(value)
	case has("lxc.mount"): // lxc.mount.fstab, and lxc.mount of old
		if value != c.Path+"/fstab" {
			return "it names a file of the host"
		}
	case has("lxc.sysctl"):
		name := strings.TrimPrefix(key, "lxc.sysctl.")
		for _, own := range []string{"net.", "fs.mqueue.", "kernel.shm", "kernel.msg", "kernel.sem", "kernel.domainname", "kernel.hostname"} {
			if strings.HasPrefix(name, own) && !strings.ContainsAny(name, "/") && !strings.Contains(name, "..") {
				return ""
			}
		}
		return "the kernel has that setting once for the whole host"
	case has("lxc.proc"):
		// LXC writes /proc/PID/NAME with the dots of NAME turned to slashes:
		// lxc.proc.root.etc.x is a file of the host.
		if strings.Trim(strings.TrimPrefix(key, "lxc.proc."), "abcdefghijklmnopqrstuvwxyz_") != "" {
			return "it writes a file of the host"
		}
	case has("lxc.cgroup.dir"):
		return "the place among the host's cgroups is not the image's to choose"
	case has("lxc.cgroup"):
		// LXC writes the file of that name in the container's cgroup.
		switch _, file, _ := strings.Cut(strings.TrimPrefix(key, "lxc."), "."); {
		case strings.Contains(file, "/"), strings.Contains(file, ".."):
			return "it writes a file of the host"
		case file == "tasks", file == "cgroup.procs", file == "cgroup.threads", file == "release_agent":
			return "it is about processes of the host"
		}
	case has("lxc.tty.dir", "lxc.devttydir"):
		// A folder that LXC makes below dev, ".." and all.
		if strings.Contains(value, "/") || value == "." || value == ".." {
			return "it is not the name of a folder"
		}
	case has("lxc.apparmor.raw"):
		return "raw rules can reach programs of the host"
	case has("lxc.environment.hooks"):
		return "it is for programs of the host"
	case has("lxc.environment"):
		return refuseVariable(value)
	}
	return ""
}

// refuseNetwork returns why an image may not set the key of a network: what is
// inside of the container is its own, the other end is the host's.
func (c Container) refuseNetwork(key, value string) string {
	name := strings.TrimPrefix(strings.TrimPrefix(key, "lxc.network."), "lxc.net.")
	name = strings.TrimLeft(name, "0123456789.")
	has := func(names ...string) bool {
		for _, n := range names {
			if strings.HasPrefix(name, n) {
				return true
			}
		}
		return false
	}
	switch {
	case has("script"):
		return c.refuseHook(value)
	case has("type"):
		if value != "veth" && value != "empty" {
			return "it takes over a network device of the host"
		}
	case has("link"):
		// LXC's own bridge is there for containers.
		if value != "lxcbr0" {
			return "it joins a network device of the host"
		}
	case !has("name", "hwaddr", "mtu", "flags", "ipv4", "ipv6", "veth.n_"):
		return "it sets up the host's side of the network"
	}
	return ""
}

// refuseVariable returns why an image may not set an environment variable,
// "NAME=VALUE". LXC has set it already when it runs the hooks pre-mount, mount,
// autodev and start: programs of the host, as root, that see the host's files
// (start.c, do_start). lxcfs installs one of them for every container.
func refuseVariable(value string) string {
	name, value, ok := strings.Cut(value, "=")
	if !ok {
		return "it takes a variable over from the host"
	}
	for _, prefix := range []string{"LD_", "LXC_", "BASH", "GLIBC_", "GCONV_"} {
		if strings.HasPrefix(name, prefix) {
			return "programs of the host would obey the variable"
		}
	}
	switch name {
	case "PATH":
		for dir := range strings.SplitSeq(value, ":") {
			switch dir {
			case "/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/usr/games", "/usr/local/games":
			default:
				return "programs of the host would be looked for in other folders than the usual ones"
			}
		}
	case "ENV", "SHELLOPTS", "PS4", "IFS", "CDPATH", "LOCPATH", "NLSPATH", "PERL5LIB", "PERL5OPT", "PYTHONPATH", "PYTHONHOME":
		return "programs of the host would obey the variable"
	}
	return ""
}

// refuseHook returns why value may not be run on the host.
func (c Container) refuseHook(value string) string {
	for i := 0; i < len(value); i++ {
		switch b := value[i]; {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', strings.IndexByte(" ./_-+,:=@%", b) >= 0:
		default:
			return fmt.Sprintf("a hook with the character %q", b)
		}
	}
	program, arguments, _ := strings.Cut(value, " ")
	if !below(c.HookDir, program) {
		return "hooks must lie in " + c.HookDir
	}
	if strings.Contains(arguments, "/") {
		return "a hook with a path of the host" // ubuntu-cloud-prep copies such files in
	}
	return ""
}

// below reports whether name lies in the folder dir, by its letters: no "..".
func below(dir, name string) bool {
	if dir == "" || !strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/") {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return false
		}
	}
	return path.Clean(name) != path.Clean(dir)
}

// CheckFstab refuses with a *HostConfigError the lines of an image's fstab,
// tokens already replaced, that mount something of the host: all but virtual
// file systems and the kernel's own folders that LXC's common.conf binds too.
//
// create says what ImageConfig.Creates says of a config.
func (c Container) CheckFstab(fstab []byte) (create bool, err error) {
	if bytes.IndexByte(fstab, 0) >= 0 {
		return false, errors.New("the image's fstab has a NUL byte")
	}
	for line := range strings.SplitSeq(string(fstab), "\n") {
		entry := strings.TrimSuffix(strings.TrimLeft(line, " \t"), "\r")
		if entry == "" || entry[0] == '#' {
			continue
		}
		if reason := c.refuseMount(entry); reason != "" {
			return create, &HostConfigError{"fstab", line, reason}
		}
		create = create || creates(entry)
	}
	return create, nil
}

// mountFields splits a line of fstab(5).
func mountFields(entry string) []string {
	return strings.FieldsFunc(entry, func(r rune) bool { return r == ' ' || r == '\t' })
}

// creates reports whether LXC is to make the mount's target.
func creates(entry string) bool {
	f := mountFields(entry)
	return len(f) > 3 && strings.Contains(f[3], "create=")
}

// maxMount is the longest mount in bytes: getmntent_r(3) reads no more of a line
// into LXC's buffer (conf.c, mount_file_entries), and passes over the rest.
const maxMount = 4000

// refuseMount returns why the image may not have a mount, a line in the form
// of fstab(5).
func (c Container) refuseMount(entry string) string {
	if len(entry) > maxMount {
		return fmt.Sprintf("a mount longer than %d bytes", maxMount)
	}
	// musl's getmntent(3) takes all of them for blanks between the fields.
	for _, b := range []byte(entry) {
		if b < ' ' && b != '\t' {
			return "a control character in a mount"
		}
	}
	f := mountFields(entry)
	if len(f) < 3 {
		return "it is no mount: a source, a target and a type are needed"
	}
	source, target, kind, options := f[0], f[1], f[2], ""
	if len(f) > 3 {
		options = f[3]
	}
	// A backslash begins an octal escape (getmntent(3)) that would be read as
	// another letter than this.
	if strings.ContainsRune(target+kind+options, '\\') {
		return "a backslash in the target, the type or the options"
	}
	// LXC resolves the target on the host, and makes it there where "create="
	// asks for it, even when it refuses the mount afterwards. On dev it has
	// mounted a file system of the container's own by then.
	target = strings.TrimPrefix(strings.TrimPrefix(target, c.Rootfs), "/")
	for part := range strings.SplitSeq(target, "/") {
		if part == ".." {
			return "its target leads out of the container"
		}
	}
	if creates(entry) && !strings.HasPrefix(target, "dev/") {
		return "it makes a file or folder outside of dev"
	}
	bind := false
	for option := range strings.SplitSeq(options, ",") {
		// LXC before 3.0 compares options by their beginning only.
		for _, name := range []string{"bind", "rbind", "move", "remount"} {
			bind = bind || strings.HasPrefix(option, name)
		}
		// A cgroup file system's release_agent is run by the kernel, outside.
		for _, name := range []string{"idmap", "upperdir", "lowerdir", "workdir", "release_agent"} {
			if strings.HasPrefix(option, name) {
				return "it names a file of the host"
			}
		}
	}
	if bind {
		for _, own := range []string{"/sys/fs/fuse/connections", "/sys/kernel/debug", "/sys/kernel/security", "/sys/kernel/tracing", "/sys/fs/pstore", "/sys/firmware/efi/efivars"} {
			if source == own {
				return ""
			}
		}
		return "it mounts a path of the host"
	}
	switch kind {
	case "proc", "sysfs", "tmpfs", "ramfs", "devpts", "mqueue", "cgroup", "cgroup2", "securityfs", "debugfs", "tracefs",
		"fusectl", "binfmt_misc", "hugetlbfs", "pstore", "efivarfs", "configfs", "bpf":
		return ""
	}
	return "it mounts a file system of the host"
}
