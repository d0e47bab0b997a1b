package lxc

import "strings"

// The environment of a container image's process.
//
// LXC sets the variables of lxc.environment before it runs the hooks pre-mount, mount and
// autodev (do_start in start.c). Hooks are programs of the host, and its root runs them. There
// the image's own files are below lxc.rootfs.mount: a PATH, LD_PRELOAD or BASH_ENV of the image
// would make a hook run them. So no variable of the image is in lxc.environment but the
// harmless ones. The others are set in one of three ways:
//
//   - LXC since 7.0 has lxc.environment.runtime, which hooks do not get.
//   - For older LXC, a shell of the image sets them in the container, before it becomes the
//     process. Its script is one variable, which no program knows but this shell.
//   - Without a shell in the image those are set that say nothing to a program of the host
//     (isMute); the others are left out.

// DefaultPath is the PATH of a process whose image sets none, as in Docker.
const DefaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// isHarmless reports whether a hook may see a variable: it is one of those that an image of
// an index may set (allows), the container's name, or has a usual value that names only places
// that also on the host only root can write.
func (c *Container) isHarmless(variable string) bool {
	switch variable {
	case DefaultPath, "HOME=/", "HOME=/root", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt", "HOSTNAME=" + c.UTSName():
		return true
	}
	return c.allows("lxc.environment", variable)
}

// Names of variables that programs of the host know, by their beginnings and ends. They are
// from the manuals ld.so(8), environ(7), locale(7), resolver(3), mallopt(3), sh(1), bash(1),
// perlrun(1), python(1), ruby(1), lua(1), less(1), git(1), openssl-env(7) and systemd(1), and
// from LXC's hooks.
const (
	knownBegins = "_ AWK BASH CLI_ CUDA CURL DBUS DHCP GAWK GCONV GET GIT GLIBC GREP HOST IF_ LANG LC_ LD_ LESS LIB LINES LOC LUA LXC LXD MAIL MALLOC NIS NLS NSS NVIDIA OLDPWD OPENSSL PERL PIPE POSIX PS PWD PYTHON RES RUBY SSL SYSTEMD TAR TEMP TERM TMP TZ UID XDG XZ"
	knownEnds   = "ARGS BROWSER CMD COLUMNS COMMAND CONF CONFIG DIR DOMAIN EDITOR FILE FLAGS GLOBIGNORE HOME IFS LOGNAME OPT OPTIONS OPTS PAGER PATH PRELOAD PROXY RC SHELL USER VISUAL"
)

// isMute reports whether a variable says nothing to a program of the host, as far as one can
// know: its name is in capitals, and none of the known ones, and its value can't be a path,
// code, or a pattern.
func isMute(name, value string) bool {
	const marks = "._-@+:,=%"
	if !isMadeOf(name, upper+digits+"_") || name[0] <= '9' || name == "ENV" || value != "" && !isMadeOf(value, lower+upper+digits+marks+" ") || len(value) > 1024 {
		return false
	}
	for _, word := range strings.Split(knownBegins, " ") {
		if strings.HasPrefix(name, word) {
			return false
		}
	}
	for _, word := range strings.Split(knownEnds, " ") {
		if strings.HasSuffix(name, word) {
			return false
		}
	}
	return true
}

// execVariable holds the shell's script.
const execVariable = "LXC_PULL_EXEC"

// addCommand adds the lines of the command and its environment, and returns the names of the
// variables that are left out.
func (c *Container) addCommand(p *Process, t *text) (left []string, err error) {
	command, bad, err := p.command()
	if err != nil {
		return nil, err
	}
	key := "lxc.environment"
	if knowsRuntime(p.LXC) {
		key += ".runtime"
	}
	var lines, rest []string
	needsShell := bad != nil || command == ""
	for i, variable := range p.Env {
		name, _, ok := strings.Cut(variable, "=")
		if err := checkText("variable", name, variable, "\r\x00"); err != nil {
			return nil, err
		}
		// LXC would take the value of a name alone from its own environment.
		if !ok || name == "" || strings.Contains(name, "\n") {
			return nil, refuse("variable", variable, "is not NAME=VALUE")
		}
		if strings.Contains(variable, "\n") {
			needsShell = true
			if bad == nil {
				bad = refuse("variable", name, "has a line end, which LXC's config can't express")
			}
		}
		if HasVariable(p.Env[i+1:], name) {
			continue
		}
		if c.isHarmless(variable) {
			lines = append(lines, variable)
		} else {
			rest = append(rest, variable)
		}
	}
	switch {
	case knowsRuntime(p.LXC) && !needsShell:
		lines = append(lines, rest...)
	case p.Shell && (needsShell || rest != nil):
		var script string
		if script, left = p.script(rest); len(script)+len(execVariable) >= maxString {
			return nil, refuse("command", p.Args[0], "is with its variables longer than Linux allows one to be")
		}
		lines = append(lines, execVariable+"="+script)
		// One word without white space: the shell itself splits it at ${IFS}.
		command = "/bin/sh -c eval${IFS}\"$" + execVariable + "\""
	case bad != nil:
		return nil, bad
	default:
		for _, variable := range rest {
			name, value, _ := strings.Cut(variable, "=")
			if !p.Hooks && isMute(name, value) {
				lines = append(lines, variable)
			} else {
				left = append(left, name)
			}
		}
	}
	t.line("lxc.init.cmd", command)
	t.line("lxc.execute.cmd", command)
	for _, variable := range lines {
		t.line(key, variable)
	}
	return left, nil
}

// command returns the value of lxc.init.cmd and lxc.execute.cmd, "" if a shell is better, or
// why it can't have one.
//
// LXC reads the two in different ways. lxc-execute splits at white space and knows quotes
// (lxc_string_split_quoted), lxc-start only since 6.0: before, it splits at spaces and takes quotes
// as they are (split_init_cmd in lxccontainer.c). So all LXC agree only on words without white
// space that do not begin with a quote.
func (p *Process) command() (command string, bad, err error) {
	bare := true
	var words text
	for _, word := range p.Args {
		quoted, ok := quoteWord(word)
		if err := checkText("word", word, word, "\r\x00"); err != nil {
			return "", nil, err
		}
		if !ok {
			bad = refuse("word", word, "has both kinds of quotes or a line end, which LXC's config can't express")
		} else if quoted != word {
			bare = false
			if p.LXC != "" && !atLeast(p.LXC, 6, 0, 0) {
				bad = refuse("word", word, "is empty or has blanks or quotes, which lxc-start before LXC 6.0 can't express")
			}
		}
		words.add(" " + quoted)
	}
	command = string(words[1:])
	if len(command) > maxCommand {
		bad = refuse("command", command, "is longer than lxc-execute reads")
	}
	if bad != nil || !bare && p.LXC == "" && p.Shell {
		command = ""
	}
	return command, bad, nil
}

// script returns one line for a shell's eval, and the names of the variables that it can't
// set. It replaces the shell, so that the process has the same arguments and process ID as
// without it, and of the environment only what LXC sets, and vars.
//
// env(1) sets them if the image has it: the shell would lose names that are not of its form,
// and change its own variables. It sets no variable before it has read the whole line, so that
// none changes what the line means.
func (p *Process) script(vars []string) (script string, left []string) {
	tool := p.EnvTool
	for _, variable := range vars {
		if name, _, _ := strings.Cut(variable, "="); !isExportable(name) {
			left = append(left, name)
		}
	}
	// env takes a word with "=" for a variable. Not each busybox has env: a shell may do.
	if strings.Contains(p.Args[0], "=") || left == nil && strings.Contains(tool, " ") {
		tool = ""
	}
	// Shells set the first three of these variables, and some export them. bash exports "_" and,
	// when it calls exec, SHLVL again.
	options, names := "", ""
	for _, name := range []string{"PWD", "OLDPWD", "SHLVL", "_"} {
		if HasVariable(vars, name) && (tool != "" || isExportable(name)) {
			continue
		}
		options += " -u " + name
		if name != "_" { // which the shells use themselves
			names += " " + name
		}
	}
	// A shell begins with the value " \t\n" of IFS: that gives the line end.
	out := text("unset " + execVariable + names + `; set -- "${IFS#??}"; set --`)
	for _, variable := range vars {
		if name, _, _ := strings.Cut(variable, "="); tool != "" || isExportable(name) {
			out.add(shellWord(variable))
		}
	}
	for _, word := range p.Args {
		out.add(shellWord(word))
	}
	if tool != "" {
		out.add("; exec " + tool + options + ` -- "$@"`)
		return string(out), nil
	}
	if len(vars) > len(left) {
		out.add(`; while [ "$#" -gt ` + formatID(uint32(len(p.Args))) + ` ]; do export "$1"; shift; done`)
	}
	out.add(`; exec "$@"`)
	return string(out), left
}

// isExportable reports whether all shells can export a variable: its name is of their form, and
// none of those that have a meaning of their own in one of them and can't be set.
func isExportable(name string) bool {
	const special = "_ DIRSTACK EPOCHREALTIME EPOCHSECONDS EUID FUNCNAME GROUPS HISTCMD LINENO OPTIND PIPESTATUS PPID RANDOM SECONDS SHELLOPTS SHLVL SRANDOM UID"
	return isMadeOf(name, lower+upper+digits+"_") && name[0] > '9' && !strings.HasPrefix(name, "BASH") && !isWord(name, special)
}

// shellWord quotes a word for the shell, with a space before it.
func shellWord(word string) string {
	word = strings.ReplaceAll(word, "'", `'\''`)
	return " '" + strings.ReplaceAll(word, "\n", `'"$1"'`) + "'"
}
