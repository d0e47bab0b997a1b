package lxc

import (
	"errors"
	"fmt"
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
	// maxGroups is NGROUPS_MAX of linux/limits.h.
	maxGroups = 65536
)

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
	env, err := uniqueEnv(p.Env)
	if err != nil {
		return nil, err
	}
	command, script, err := p.command(env)
	if err != nil {
		return nil, err
	}
	if script != "" {
		env = append(env, execVariable+"="+script)
	}
	dir := p.Dir
	if dir == "" {
		dir = "/"
	}
	if dir[0] != '/' || len(dir) > maxCommand || strings.ContainsAny(dir, "\n\r\x00") {
		return nil, fmt.Errorf("the working directory %q: LXC's config can't have such a path", Shown(dir))
	}
	signal, err := haltSignal(p.StopSignal)
	if err != nil {
		return nil, err
	}

	t := text("\n# The process of the container image\n")
	if p.Include {
		t.line("lxc.include", c.TemplateConfig+"/oci.common.conf")
	}
	t.line("lxc.init.cmd", command)
	t.line("lxc.execute.cmd", command)
	for _, variable := range env {
		t.line("lxc.environment", variable)
	}
	t.line("lxc.init.uid", strconv.FormatUint(uint64(p.UID), 10))
	t.line("lxc.init.gid", strconv.FormatUint(uint64(p.GID), 10))
	var groups []byte
	for _, id := range p.Groups {
		groups = strconv.AppendUint(append(groups, ','), uint64(id), 10)
	}
	if groups != nil && KnowsGroups(p.LXC, c.UserNamespace) {
		t.line("lxc.init.groups", string(groups[1:]))
	}
	t.line("lxc.init.cwd", dir)
	if signal != "" {
		t.line("lxc.signal.halt", signal)
	}
	t.line("lxc.mount.auto", "proc:mixed sys:mixed cgroup:mixed")
	// What Docker mounts in dev.
	t.line("lxc.mount.entry", "shm dev/shm tmpfs rw,nosuid,nodev,noexec,relatime,mode=1777,size=65536k,create=dir 0 0")
	t.line("lxc.mount.entry", "mqueue dev/mqueue mqueue rw,nosuid,nodev,noexec,relatime,create=dir,optional 0 0")
	if p.EmptyRun {
		t.line("lxc.mount.entry", "tmpfs run tmpfs rw,nosuid,nodev,relatime,mode=755 0 0")
	}
	if len(p.Sysctls) > 0 {
		t = append(t, "# These are of the container's own network: remove them before you give it the host's.\n"...)
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

// A text is a config that is being written.
type text []byte

// line adds a line. LXC removes blanks around a value, and then one pair of quotes (parse_line
// in confile.c): a value that would lose something gets a pair.
func (t *text) line(key, value string) {
	if value != strings.Trim(value, " \t") || strings.IndexAny(value, `"'`) == 0 {
		value = `"` + value + `"`
	}
	*t = append(*t, key+" = "+value+"\n"...)
}

// uniqueEnv returns each variable once, with its last value, at its first place. It refuses
// what lxc.environment can't express.
func uniqueEnv(env []string) ([]string, error) {
	var list []string
	places := map[string]int{}
	for _, variable := range env {
		name, _, ok := strings.Cut(variable, "=")
		// LXC would take the value of a name alone from its own environment.
		if !ok || name == "" {
			return nil, fmt.Errorf("the environment has %q: want NAME=VALUE", Shown(variable))
		}
		if strings.ContainsAny(variable, "\n\r\x00") {
			return nil, fmt.Errorf("the variable %q has a line end or a NUL, which LXC's config can't express", Shown(name))
		}
		if len(variable) > maxString {
			return nil, fmt.Errorf("the variable %q has more than %d bytes, the most that Linux takes", Shown(name), maxString)
		}
		place, seen := places[name]
		if !seen {
			places[name] = len(list)
			list = append(list, variable)
		} else {
			list[place] = variable
		}
	}
	return list, nil
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
func (p *Process) command(env []string) (command, script string, err error) {
	var bad error
	bare := true
	var words []byte
	for _, word := range p.Args {
		quoted, ok := quoteWord(word)
		switch {
		case len(word) > maxString:
			return "", "", fmt.Errorf("the word %q of the command has more than %d bytes, the most that Linux takes", Shown(word), maxString)
		case strings.ContainsAny(word, "\r\x00"):
			return "", "", fmt.Errorf("the word %q of the command has a carriage return or a NUL, which LXC's config can't express", Shown(word))
		case !ok && bad == nil:
			bad = fmt.Errorf("the word %q of the command has both kinds of quotes or a line end, which LXC's config can't express", Shown(word))
		case quoted != word && bare:
			bare = false
			if p.LXC != "" && !atLeast(p.LXC, 6, 0, 0) && bad == nil {
				bad = fmt.Errorf("the word %q of the command is empty or has blanks or quotes, which lxc-start before LXC 6.0 can't express", Shown(word))
			}
		}
		words = append(append(words, ' '), quoted...)
	}
	command = string(words[1:])
	if bad == nil && len(command) > maxCommand {
		bad = fmt.Errorf("the command %q has more than %d bytes, the most that lxc-execute reads", Shown(command), maxCommand)
	}
	if bad == nil && (bare || p.LXC != "" || !p.Shell) {
		return command, "", nil
	}
	if !p.Shell {
		return "", "", bad
	}
	if script = p.script(env); script == "" {
		return "", "", fmt.Errorf("the command %q is too long, or the environment has a variable that keeps /bin/sh from starting it", Shown(command))
	}
	// One word without white space: the shell itself splits it at ${IFS}.
	return `/bin/sh -c eval${IFS}"$` + execVariable + `"`, script, nil
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

// script returns one line for a shell's eval. It replaces the shell, so that the process has
// the same arguments, environment and process ID as without the shell. "" if it can't do that.
func (p *Process) script(env []string) string {
	if HasVariable(env, "IFS") || HasVariable(env, execVariable) {
		return ""
	}
	// Shells set the first three of these variables, and some export them.
	begin, options := "unset "+execVariable, ""
	for _, name := range []string{"PWD", "OLDPWD", "SHLVL", "_"} {
		if HasVariable(env, name) {
			continue
		}
		if name != "_" { // which the shells use themselves
			begin += " " + name
		}
		options += " -u " + name
	}
	// A shell begins with the value " \t\n" of IFS: that gives the line end.
	out := []byte(begin + `; set -- "${IFS#??}"; set --`)
	for _, word := range p.Args {
		out = append(out, shellWord(word)...)
	}
	// bash exports "_" and, when it calls exec, SHLVL again. Other shells lose the variables
	// whose names are not of the shell's form.
	test, lost := `[ "${BASH_VERSION-}" ] && [ -x /usr/bin/env ] && `, []byte(" --")
	for _, variable := range env {
		if name, _, _ := strings.Cut(variable, "="); strings.Trim(name, lower+upper+digits+"_") != "" || name[0] <= '9' {
			test = ""
			lost = append(lost, shellWord(variable)...)
		}
	}
	if !strings.Contains(p.Args[0], "=") {
		out = append(out, "; "+test+"exec /usr/bin/env"+options+string(lost)+` "$@"`...)
	} else if test == "" {
		return ""
	}
	if out = append(out, `; exec "$@"`...); len(out)+len(execVariable) >= maxString {
		return ""
	}
	return string(out)
}

// shellWord quotes a word for the shell, with a space before it.
func shellWord(word string) string {
	word = strings.ReplaceAll(word, "'", `'\''`)
	return " '" + strings.ReplaceAll(word, "\n", `'"$1"'`) + "'"
}

// HasVariable reports whether a list of NAME=VALUE has a variable.
func HasVariable(env []string, name string) bool {
	for _, variable := range env {
		if strings.HasPrefix(variable, name+"=") {
			return true
		}
	}
	return false
}

// signalNames are the signals of signal(7) that LXC knows on all machines (signames in
// confile_utils.c), without "SIG".
const signalNames = "HUP INT QUIT ILL TRAP ABRT IOT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO POLL PWR SYS"

// haltSignal returns the value of lxc.signal.halt for a signal as Docker spells it: with or
// without "SIG", in any case, or a number. Real-time signals become numbers, counted from the
// kernel's 34 and 64 as in Docker: C libraries differ in the first that they leave to programs.
func haltSignal(name string) (string, error) {
	const first, last = 34, 64
	short := strings.TrimPrefix(strings.ToUpper(name), "SIG")
	n, err := strconv.ParseUint(short, 10, 8)
	switch {
	case name == "":
		return "", nil
	case isWord(short, signalNames):
		return "SIG" + short, nil
	case err == nil && short == name:
	case short == "RTMIN":
		n = first
	case short == "RTMAX":
		n = last
	default:
		n = 0
		if offset, ok := strings.CutPrefix(short, "RTMIN+"); ok && isNumber(offset, last-first) {
			n, _ = strconv.ParseUint(offset, 10, 8)
			n += first
		} else if offset, ok := strings.CutPrefix(short, "RTMAX-"); ok && isNumber(offset, last-first) {
			n, _ = strconv.ParseUint(offset, 10, 8)
			n = last - n
		}
	}
	if n < 1 || n > last {
		return "", fmt.Errorf("the stop signal %q is unknown", Shown(name))
	}
	return strconv.FormatUint(n, 10), nil
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
func LookUp(user string, passwd, group []byte) (Identity, error) {
	var id Identity
	name, groupName, _ := strings.Cut(user, ":")
	known := ""
	for line := range strings.SplitSeq(string(passwd), "\n") {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 4 || f[0] == "" {
			continue
		}
		uid, err := parseID(f[2])
		gid, err2 := parseID(f[3])
		if err != nil || err2 != nil || name != f[0] && name != f[2] && (name != "" || uid != 0) {
			continue
		}
		known, id.UID, id.GID = f[0], uid, gid
		if len(f) > 5 {
			id.Home = f[5]
		}
		break
	}
	if known == "" && name != "" {
		uid, err := parseID(name)
		if err != nil {
			return id, fmt.Errorf("the image's etc/passwd has no user %q", Shown(name))
		}
		id.UID = uid
	}
	if known == "" && groupName == "" {
		id.Groups = []uint32{id.GID}
		return id, nil
	}
	found := false
	var more []uint32
	for line := range strings.SplitSeq(string(group), "\n") {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 3 || f[0] == "" {
			continue
		}
		gid, err := parseID(f[2])
		switch {
		case err != nil:
		case groupName != "":
			if !found && (groupName == f[0] || groupName == f[2]) {
				found, id.GID = true, gid
			}
		case len(f) > 3 && strings.Contains(","+f[3]+",", ","+known+","):
			more = append(more, gid)
		}
	}
	if groupName != "" && !found {
		gid, err := parseID(groupName)
		if err != nil {
			return id, fmt.Errorf("the image's etc/group has no group %q", Shown(groupName))
		}
		id.GID = gid
	}
	if len(more) >= maxGroups {
		return id, fmt.Errorf("the image's etc/group has user %q in more than %d groups", Shown(known), maxGroups-1)
	}
	// The group itself is one of them, too, as in Docker: else a process that leaves it keeps
	// nothing of it.
	seen := map[uint32]bool{}
	for _, gid := range append([]uint32{id.GID}, more...) {
		if !seen[gid] {
			seen[gid] = true
			id.Groups = append(id.Groups, gid)
		}
	}
	return id, nil
}

// parseID parses the number of a user or group. The largest of 32 bits means "none" to the
// kernel.
func parseID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err == nil && n == 1<<32-1 {
		err = strconv.ErrRange
	}
	return uint32(n), err
}
