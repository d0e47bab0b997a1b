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
	Shell    bool     // the image has /bin/sh, which may start what LXC's config can't express
	Include  bool     // LXC's directory of configs has oci.common.conf
	EmptyRun bool     // the image's run is an empty directory
	Sysctls  []string // KEY=VALUE; only for a container with a network of its own
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
// config can't express.
func (c *Container) ProcessConfig(p *Process) ([]byte, error) {
	if len(p.Args) == 0 || p.Args[0] == "" {
		return nil, errors.New("the command is empty")
	}
	for _, variable := range p.Env {
		name, _, ok := strings.Cut(variable, "=")
		switch {
		case len(variable) > maxString:
			return nil, refuse("variable", name, tooLong)
		case strings.ContainsAny(variable, "\n\r\x00"):
			return nil, refuse("variable", name, badByte)
		// LXC would take the value of a name alone from its own environment.
		case !ok || name == "":
			return nil, refuse("variable", variable, "is not NAME=VALUE")
		}
	}
	command, script, err := p.command()
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(p.Dir, "/") || len(p.Dir) > maxCommand || strings.ContainsAny(p.Dir, "\n\r\x00") {
		return nil, refuse("working directory", p.Dir, "is a path that LXC's config can't have")
	}
	signal := haltSignal(p.StopSignal)
	if signal == "" && p.StopSignal != "" {
		return nil, refuse("stop signal", p.StopSignal, "is unknown")
	}

	t := text("\n# The process of the container image\n")
	if p.Include {
		t.line("lxc.include", c.TemplateConfig+"/oci.common.conf")
	}
	t.line("lxc.init.cmd", command)
	t.line("lxc.execute.cmd", command)
	for _, variable := range p.Env {
		t.line("lxc.environment", variable)
	}
	if script != "" {
		t.line("lxc.environment", execVariable+"="+script)
	}
	t.line("lxc.init.uid", strconv.FormatUint(uint64(p.UID), 10))
	t.line("lxc.init.gid", strconv.FormatUint(uint64(p.GID), 10))
	groups := "" // at most maxGroups
	for _, id := range p.Groups {
		groups += "," + strconv.FormatUint(uint64(id), 10)
	}
	if groups != "" && KnowsGroups(p.LXC, c.UserNamespace) {
		t.line("lxc.init.groups", groups[1:])
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
	return t, nil
}

// A text is a config, or a part of one, that is being written. An image may have so many words
// and variables that strings would take too long.
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

// Why a word of the command or a variable is refused.
const (
	tooLong = "is longer than Linux allows"
	badByte = "has a line end or a NUL, which LXC's config can't express"
)

func refuse(kind, name, why string) error {
	return errors.New("the " + kind + " " + strconv.Quote(Shown(name)) + " " + why)
}

// execVariable holds a shell's script for a command that LXC's config can't express.
const execVariable = "LXC_PULL_EXEC"

// command returns the value of lxc.init.cmd and lxc.execute.cmd, and the script for
// execVariable, "" if none is needed.
//
// LXC reads the two in different ways. lxc-execute splits at white space and knows quotes
// (lxc_string_split_quoted), lxc-start only since 6.0: before, it splits at spaces and takes quotes
// as they are (split_init_cmd in lxccontainer.c). So all LXC agree only on words without white
// space that do not begin with a quote.
func (p *Process) command() (command, script string, err error) {
	bare := true
	var bad error
	var words text
	for _, word := range p.Args {
		switch {
		case len(word) > maxString:
			return "", "", refuse("word", word, tooLong)
		case strings.ContainsAny(word, "\r\x00"):
			return "", "", refuse("word", word, badByte)
		}
		// lxc_string_split_quoted knows no escape: a word that begins with a quote ends at the
		// next one, and quotes inside other words are ordinary.
		quoted := word
		if word == "" || strings.IndexAny(word, `"'`) == 0 || strings.ContainsAny(word, " \t\v\f") {
			quoted = "'" + word + "'"
			if strings.Contains(word, "'") {
				quoted = `"` + word + `"`
			}
		}
		if strings.Contains(word, "\n") || quoted[0] == '"' && strings.Count(quoted, `"`) > 2 {
			bad = refuse("word", word, "has both kinds of quotes or a line end, which LXC's config can't express")
		} else if quoted != word {
			bare = false
			if p.LXC != "" && versionNumber(p.LXC) < 6_000_000 {
				bad = refuse("word", word, "is empty or has blanks or quotes, which lxc-start before LXC 6.0 can't express")
			}
		}
		words.add(" " + quoted)
	}
	command = string(words[1:])
	if len(command) > maxCommand {
		bad = refuse("command", command, "is longer than lxc-execute reads")
	}
	if bad == nil && (bare || p.LXC != "" || !p.Shell) {
		return command, "", nil
	}
	if p.Shell {
		script = p.script()
	}
	if script == "" {
		return "", "", bad
	}
	// One word without white space: the shell itself splits it at ${IFS}.
	return "/bin/sh -c eval${IFS}\"$" + execVariable + "\"", script, nil
}

// script returns one line for a shell's eval. It replaces the shell, so that the process has
// the same arguments, environment and process ID as without the shell. "" if it can't do that.
func (p *Process) script() string {
	if HasVariable(p.Env, "IFS") || HasVariable(p.Env, execVariable) || strings.Contains(p.Args[0], "=") {
		return ""
	}
	// bash exports "_" and, when it calls exec, SHLVL again: env removes them. Other shells lose
	// the variables whose names are not of the shell's form: env sets them.
	var lost text
	for _, variable := range p.Env {
		if name, _, _ := strings.Cut(variable, "="); !isMadeOf(name, lower+upper+digits+"_") || name[0] <= '9' {
			lost.add(shellWord(variable))
		}
	}
	// Shells set the first three of these variables, and some export them.
	begin, options := "unset "+execVariable, ""
	for _, name := range []string{"PWD", "OLDPWD", "SHLVL", "_"} {
		if HasVariable(p.Env, name) {
			continue
		}
		options += " -u " + name
		if name != "_" { // which the shells use themselves
			begin += " " + name
		}
	}
	// A shell begins with the value " \t\n" of IFS: that gives the line end.
	words := text(begin + `; set -- "${IFS#??}"; set --`)
	for _, word := range p.Args {
		words.add(shellWord(word))
	}
	test := "; "
	if lost == nil {
		test = `; [ "${BASH_VERSION-}" ] && [ -x /usr/bin/env ] && `
	}
	script := string(words) + test + "exec /usr/bin/env" + options + " --" + string(lost) + ` "$@"; exec "$@"`
	if len(script)+len(execVariable) >= maxString {
		return ""
	}
	return script
}

// shellWord quotes a word for the shell, with a space before it.
func shellWord(word string) string {
	word = strings.ReplaceAll(word, "'", `'\''`)
	return " '" + strings.ReplaceAll(word, "\n", `'"$1"'`) + "'"
}

// HasVariable reports whether a list of NAME=VALUE, or of names alone, has a variable.
func HasVariable(env []string, name string) bool {
	for _, variable := range env {
		if rest, ok := strings.CutPrefix(variable, name); ok && (rest == "" || rest[0] == '=') {
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
	n := versionNumber(version)
	return n >= 6_000_006 || n >= 4_000_010 && !userNamespace
}

// versionNumber returns a version of LXC as a number: 4.0.10 is 4000010. 0: not known, or too old
// to tell.
func versionNumber(version string) (n int) {
	// liblxc_version in meson.build: 1.7.0 in LXC 4.0 and 5.0, 1.8.0 in 6.0, 1.9.0 in 7.0
	library, isLibrary := strings.CutPrefix(version, "liblxc.so.1.")
	if isLibrary {
		version, _, _ = strings.Cut(library, ".")
	}
	for range 3 {
		end := 0
		for end < len(version) && version[end] >= '0' && version[end] <= '9' {
			end++
		}
		number, _ := strconv.Atoi(version[:end])
		n = n*1000 + min(number, 999)
		version = strings.TrimPrefix(version[end:], ".")
	}
	if isLibrary {
		if n -= 2_000_000; n < 6_000_000 {
			n = 0
		}
	}
	return n
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

// archs are the values of lxc.arch that are also Debian's names of machines
// (lxc_config_parse_arch in confile.c).
const archs = "amd64 arm64 armel armhf i386 loong64 mips mips64 mips64el mipsel powerpc ppc64 ppc64el riscv64 s390x"

// DefaultMeta returns the metadata of an image that has none of LXC's own: a config that includes
// LXC's common.conf, and userns.conf in a user namespace, and has the lxc.arch for arch, which is
// Debian's name of the machine. It has no lxc.arch for a machine that LXC does not know.
func DefaultMeta(arch string) Meta {
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
func LookUp(user string, passwd, group []byte) (*Identity, error) {
	id := new(Identity)
	name, groupName, _ := strings.Cut(user, ":")
	if name == "" {
		name = "0"
	}
	uid, gid := parseID(name), int64(0)
	f := find(passwd, name, 4)
	if f != nil {
		name, uid, gid = f[0], parseID(f[2]), parseID(f[3])
		if len(f) > 5 {
			id.Home = f[5]
		}
	}
	if uid < 0 {
		return nil, refuse("user", name, "is not in the image's etc/passwd")
	}
	if groupName != "" {
		if g := find(group, groupName, 3); g != nil {
			gid = parseID(g[2])
		} else if gid = parseID(groupName); gid < 0 {
			return nil, refuse("group", groupName, "is not in the image's etc/group")
		}
	}
	id.UID, id.GID = uint32(uid), uint32(gid)
	// The group itself is one of them, too, as in Docker: else a process that leaves it keeps
	// nothing of it.
	id.Groups = []uint32{id.GID}
	if groupName != "" || f == nil {
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
			return nil, refuse("user", name, "is in too many groups")
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
