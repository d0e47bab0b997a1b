package lxc

import (
	"errors"
	"strconv"
	"strings"
)

// A Process is the process that a container of a container image runs (OCI image spec,
// config.md, "config"), with what ProcessConfig must know of the image's files and of this
// machine.
type Process struct {
	_          [0]func() // forbids ==, whose code nothing needs
	Args       []string  // the program and its arguments; never empty
	Env        []string  // NAME=VALUE; of two with one name the last counts
	Identity             // of its Home nothing is made
	Dir        string    // the working directory, absolute
	StopSignal string    // as Docker spells it; "": LXC's own
	DHCP       bool      // LXC's hook gets the addresses

	LXC      string   // the version of LXC, or the name of its library; "": not known
	Tools             // of the image
	Hooks    bool     // the container's config, or one that it includes, may have a hook
	Include  bool     // LXC's directory of configs has oci.common.conf
	EmptyRun bool     // the image's run is an empty directory
	Sysctls  []string // KEY=VALUE; only for a container with a network of its own
}

// Tools are the programs of an image that may set up what LXC's config can't express.
type Tools struct {
	Shell   bool   // the image has /bin/sh
	EnvTool string // the command of env(1): "/usr/bin/env", "/bin/env", "/bin/busybox env", or ""
}

// Limits of a process.
const (
	// maxString is the longest argument or variable, in bytes, that execve(2) takes:
	// MAX_ARG_STRLEN of linux/binfmts.h without the NUL.
	maxString = 32*4096 - 1
	// maxCommand is the longest lxc.execute.cmd, in bytes: lxc-execute reads it into a buffer
	// of PATH_MAX bytes and uses the beginning of a longer one (set_argv in lxc_execute.c).
	maxCommand = 4095
	// maxGroups is how many groups a user may have: each is compared with the others. Alpine's
	// root has 11.
	maxGroups = 1024
)

// mounts are the lines of LXC's own mounts, and of what Docker mounts in dev.
const mounts = `lxc.mount.auto = proc:mixed sys:mixed cgroup:mixed
lxc.mount.entry = shm dev/shm tmpfs rw,nosuid,nodev,noexec,relatime,mode=1777,size=65536k,create=dir 0 0
lxc.mount.entry = mqueue dev/mqueue mqueue rw,nosuid,nodev,noexec,relatime,create=dir,optional 0 0
`

// inits are programs that start and end a whole system.
const inits = "/init /sbin/init /usr/bin/init /usr/sbin/init /lib/systemd/systemd /usr/lib/systemd/systemd /s6-init"

// IsInit reports whether the process is the init of a whole system.
func (p *Process) IsInit() bool { return len(p.Args) > 0 && isWord(p.Args[0], inits) }

// ProcessConfig returns the lines that make lxc-start and lxc-execute run the process. They
// belong at the end of the config, and their tokens are not replaced. LXC 4.0 to 7.0 know all
// keys; lxc.init.groups is there only if p.LXC knows it (KnowsGroups). The error names what LXC's
// config can't express. left are the names of variables that the process does not get, because
// a hook would get them, too (environment.go).
func (c *Container) ProcessConfig(p *Process) (config []byte, left []string, err error) {
	if len(p.Args) == 0 || p.Args[0] == "" {
		return nil, nil, errors.New("the command is empty")
	}
	t := text("\n# The process of the container image\n")
	if p.Include {
		t.line("lxc.include", c.TemplateConfig+"/oci.common.conf")
	}
	if left, err = c.addCommand(p, &t); err == nil {
		err = c.addRest(p, &t)
	}
	if err != nil {
		return nil, nil, err
	}
	return t, left, nil
}

// addRest adds the lines that are not of the command or its environment. LXC itself uses the
// directory and the ids, and only in the container's root file system (do_start in start.c):
// no hook sees them.
func (c *Container) addRest(p *Process, t *text) error {
	if !strings.HasPrefix(p.Dir, "/") || len(p.Dir) > maxCommand || strings.ContainsAny(p.Dir, "\n\r\x00") {
		return refuse("working directory", p.Dir, "is a path that LXC's config can't have")
	}
	signal := haltSignal(p.StopSignal)
	if signal == "" && p.StopSignal != "" {
		return refuse("stop signal", p.StopSignal, "is unknown")
	}
	t.line("lxc.init.uid", formatID(p.UID))
	t.line("lxc.init.gid", formatID(p.GID))
	var groups text
	for _, id := range p.Groups {
		groups.add("," + formatID(id))
	}
	if groups != nil && KnowsGroups(p.LXC, c.UserNamespace) {
		t.line("lxc.init.groups", string(groups[1:]))
	}
	t.line("lxc.init.cwd", p.Dir)
	if signal != "" {
		t.line("lxc.signal.halt", signal)
	}
	t.add(mounts)
	if p.EmptyRun {
		t.line("lxc.mount.entry", "tmpfs run tmpfs rw,nosuid,nodev,relatime,mode=755 0 0")
	}
	if len(p.Sysctls) > 0 {
		t.add("# These are of the container's own network: remove them before you give it the host's.\n")
	}
	for _, sysctl := range p.Sysctls {
		key, value, _ := strings.Cut(sysctl, "=")
		t.line("lxc.sysctl."+key, value)
	}
	if p.DHCP {
		t.line("lxc.hook.start-host", c.HookDir+"/dhclient")
		t.line("lxc.hook.stop", c.HookDir+"/dhclient")
	}
	return nil
}

func formatID(id uint32) string { return strconv.FormatUint(uint64(id), 10) }

// A text is a config, or a part of one, that is being written.
type text []byte

func (t *text) add(s string) { *t = append(*t, s...) }

// line adds a line. LXC removes blanks around a value, and then one pair of quotes (parse_line
// in confile.c): a value that would lose something gets a pair.
func (t *text) line(key, value string) {
	if value != strings.Trim(value, " \t") || strings.IndexAny(value, `"'`) == 0 {
		value = `"` + value + `"`
	}
	t.add(key + " = " + value + "\n")
}

// checkText refuses a variable or a word of the command that is too long for Linux, or has one of
// the bytes bad. name is what the error shows of it.
func checkText(kind, name, text, bad string) error {
	switch {
	case len(text) > maxString:
		return refuse(kind, name, "is longer than Linux allows")
	case strings.ContainsAny(text, bad):
		return refuse(kind, name, "has a line end or a NUL, which LXC's config can't express")
	}
	return nil
}

func refuse(kind, name, why string) error {
	return errors.New("the " + kind + " " + strconv.Quote(Shown(name)) + " " + why)
}

// quoteWord returns a word as lxc_string_split_quoted (string_utils.c) reads it back. It splits
// at white space, and a word that begins with a quote ends at the next one: there is no escape,
// and quotes inside other words are ordinary. ok is false if that can't express the word.
func quoteWord(word string) (quoted string, ok bool) {
	switch {
	case strings.ContainsAny(word, "\n\r\x00"):
		return "", false
	case word != "" && strings.IndexAny(word, `"'`) != 0 && !strings.ContainsAny(word, " \t\v\f"):
		return word, true
	case !strings.Contains(word, "'"):
		return "'" + word + "'", true
	}
	return `"` + word + `"`, !strings.Contains(word, `"`)
}

// HasVariable reports whether a list of NAME=VALUE, or of names alone, has a variable.
func HasVariable(env []string, name string) bool {
	for _, variable := range env {
		if variable == name || strings.HasPrefix(variable, name+"=") {
			return true
		}
	}
	return false
}

// signalNames are the signals of signal(7) that LXC knows on all machines (signames in
// confile_utils.c), without "SIG".
const signalNames = "HUP INT QUIT ILL TRAP ABRT IOT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO POLL PWR SYS"

// haltSignal returns the value of lxc.signal.halt for a signal as Docker spells it, "" if it is
// unknown: with or without "SIG", in any case, or a number. Real-time signals become numbers, counted from the
// kernel's 34 and 64 as in Docker: C libraries differ in the first that they leave to programs.
func haltSignal(name string) string {
	short := strings.TrimPrefix(strings.ToUpper(name), "SIG")
	if isWord(short, signalNames) {
		return "SIG" + short
	}
	const first, last = 34, 64
	base, sign, offset := 0, "", name
	switch short[:min(len(short), 5)] {
	case "RTMIN":
		base, sign = first, "+"
	case "RTMAX":
		base, sign = last, "-"
	}
	if base > 0 {
		offset = short[5:]
		if offset == "" {
			offset = sign + "0"
		}
	}
	n, _ := strconv.Atoi(offset)
	n += base
	if number, ok := strings.CutPrefix(offset, sign); !ok || !isNumber(number, last) || n < 1 || n > last || base > n && n < first {
		return ""
	}
	return strconv.Itoa(n)
}

// KnowsGroups reports whether an LXC gives the groups of lxc.init.groups to a container. version
// is as Process.LXC. LXC has the key since 4.0.10, and refuses configs with unknown keys. In a
// user namespace it sets groups since 6.0.6 (do_start in start.c) and ignored the key before.
func KnowsGroups(version string, userNamespace bool) bool {
	if userNamespace {
		return atLeast(version, 6, 0, 6)
	}
	return atLeast(version, 4, 0, 10)
}

// knowsRuntime reports whether an LXC has lxc.environment.runtime, whose variables the hooks
// do not get: since 7.0 (do_start in start.c).
func knowsRuntime(version string) bool { return atLeast(version, 7, 0, 0) }

// atLeast reports whether a version of LXC is known, and not lower than another.
func atLeast(version string, other ...int) bool {
	if minor, ok := strings.CutPrefix(version, "liblxc.so.1."); ok {
		// liblxc_version in meson.build: 1.7.0 in LXC 4.0 and 5.0, 1.8.0 in 6.0, 1.9.0 in 7.0
		minor, _, _ = strings.Cut(minor, ".")
		n, _ := strconv.Atoi(minor)
		return n >= 8 && n-2 >= other[0] && (n-2 > other[0] || other[2] == 0)
	}
	for _, n := range other {
		end := 0
		for end < len(version) && version[end] >= '0' && version[end] <= '9' {
			end++
		}
		number, _ := strconv.Atoi(version[:end])
		if number != n {
			return number > n
		}
		version = strings.TrimPrefix(version[end:], ".")
	}
	return true
}

// SharesNetwork reports whether a config may give a container another network namespace than
// one of its own: that of the host or of another container.
func SharesNetwork(config []byte) bool {
	for _, line := range ConfigLines(config) {
		key, value, _, _ := configItem(line)
		if strings.HasPrefix(key, "lxc.net") && strings.HasSuffix(key, "type") && unquote(value) == "none" || strings.HasPrefix(key, "lxc.namespace.") {
			return true
		}
	}
	return false
}

// HasHook reports whether a config has a hook.
func HasHook(config []byte) bool {
	for _, line := range ConfigLines(config) {
		if key, value, _, _ := configItem(line); strings.HasPrefix(key, "lxc.hook.") && key != "lxc.hook.version" && value != "" {
			return true
		}
	}
	return false
}

// archs are the values of lxc.arch that are also Debian's names of machines
// (lxc_config_parse_arch in confile.c).
const archs = "amd64 arm64 armel armhf i386 loong64 mips mips64 mips64el mipsel powerpc ppc64 ppc64el riscv64 s390x"

// DefaultMeta returns the metadata of an image that has none of LXC's own: a config that includes
// LXC's common.conf, and userns.conf in a user namespace, and has the lxc.arch for arch, which is
// Debian's name of the machine. It has no lxc.arch for a machine that LXC does not know.
func DefaultMeta(arch string) Meta { return defaultMeta(arch, archs) }

// moreArchs are other values of lxc.arch, which metadata of Incus may have: names of the kernel.
const moreArchs = " x86_64 aarch64 armv7l i486 i586 i686 ppc ppc64le loongarch64"

// IncusMeta returns the metadata of an image that was made for Incus: the config of DefaultMeta,
// and the date of the image's expiry. arch is Debian's or the kernel's name of the machine, and
// expires in seconds since 1970, 0 if the image does not expire.
func IncusMeta(arch string, expires int64) Meta {
	m := defaultMeta(arch, archs+moreArchs)
	if expires > 0 {
		m["expiry"] = []byte(strconv.FormatInt(expires, 10) + "\n")
	}
	return m
}

func defaultMeta(arch, archs string) Meta {
	const common, userns = "lxc.include = LXC_TEMPLATE_CONFIG/common.conf\n", "lxc.include = LXC_TEMPLATE_CONFIG/userns.conf\n"
	end := ""
	if isWord(arch, archs) {
		end = "lxc.arch = " + arch + "\n"
	}
	return Meta{"config": []byte(common + end), "config-user": []byte(common + userns + end)}
}

// An Identity is a user with the groups, as the passwd and group files of an image have them.
type Identity struct {
	UID, GID uint32
	Groups   []uint32 // for setgroups(2): GID, then the supplementary groups; nil: LXC's own
	Home     string   // "": not known
}

// LookUp finds the user that an image names: NAME, UID, NAME:GROUP, UID:GID or "" for root
// (OCI image spec, config.md, "User"). The rules are Docker's: a number need not be in the
// files, and has group 0 then. A user has the supplementary groups of the group file only if no
// group is named. A line of the files without valid numbers does not count.
func LookUp(user string, passwd, group []byte) (id Identity, err error) {
	name, groupName, _ := strings.Cut(user, ":")
	if name == "" {
		name = "0"
	}
	f := find(passwd, name, 4)
	if f == nil {
		f = []string{"", "", name, "0"}
		name = ""
	} else {
		name = f[0]
	}
	if len(f) > 5 {
		id.Home = f[5]
	}
	uid, gid := parseID(f[2]), parseID(f[3])
	if uid < 0 {
		return id, refuse("user", f[2], "is not in the image's etc/passwd")
	}
	if groupName != "" {
		if f = find(group, groupName, 3); f != nil {
			gid = parseID(f[2])
		} else if gid = parseID(groupName); gid < 0 {
			return id, refuse("group", groupName, "is not in the image's etc/group")
		}
	}
	id.UID, id.GID = uint32(uid), uint32(gid)
	// The group itself is one of them, too, as in Docker: else a process that leaves it keeps
	// nothing of it.
	id.Groups = []uint32{id.GID}
	if groupName != "" || name == "" {
		return id, nil
	}
	for _, line := range strings.Split(string(group), "\n") {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 4 || f[0] == "" || !strings.Contains(","+f[3]+",", ","+name+",") {
			continue
		}
		gid := parseID(f[2])
		for _, other := range id.Groups {
			if int64(other) == gid {
				gid = -1
			}
		}
		if gid >= 0 {
			id.Groups = append(id.Groups, uint32(gid))
		}
		if len(id.Groups) > maxGroups {
			return id, refuse("user", name, "is in too many groups")
		}
	}
	return id, nil
}

// find returns the fields of the first line of a passwd or group file that has a name or number,
// and at least count fields with valid numbers.
func find(file []byte, name string, count int) []string {
	for _, line := range strings.Split(string(file), "\n") {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) >= count && f[0] != "" && (f[0] == name || f[2] == name) && parseID(f[2]) >= 0 && (count < 4 || parseID(f[3]) >= 0) {
			return f
		}
	}
	return nil
}

// parseID parses the number of a user or group; -1: it is none. The largest of 32 bits means
// "none" to the kernel.
func parseID(s string) int64 {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 1<<32-1 {
		return -1
	}
	return int64(n)
}
