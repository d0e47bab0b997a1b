package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"lxc-pull/lxc"
)

// A mappedError says that an ordinary user's container needs owners that the
// user may not give: those of lxc.idmap. lxc-create calls the template in a user
// namespace, which it makes by the set-user-ID programs newuidmap and newgidmap.
type mappedError struct {
	command string // that makes the container
	grant   string // root's command without which it can't; "": not needed
}

func (e *mappedError) Error() string {
	return "an ordinary user can't give files to the ids of lxc.idmap"
}

func (e *mappedError) hint() string {
	hint := "lxc-create gives them, in a user namespace; your other options go to its end:\n  " + e.command
	if e.grant != "" {
		hint += "\nFirst root must lend you the ids:\n  " + e.grant
	}
	return hint
}

// enterNamespace calls this program once more in a user namespace with the ids
// of lxc.idmap, where an ordinary user's container needs one; config is what the
// container's begins with, args are create's. It does so as lxc-create does, by
// lxc-usernsexec, and takes its place: it returns nil only where no namespace is
// needed.
func enterNamespace(opt options, args []string, config []byte) error {
	ranges, err := lxc.IDMap(config)
	uid := os.Geteuid()
	if err != nil || len(ranges) == 0 || uid == 0 || currentNamespace() != lxc.HostNamespace {
		return err
	}
	refused := refusal(opt, ranges, uid)
	helper, own := inPath("lxc-usernsexec"), append(ownPaths(), templateAlias)[0]
	if refused.grant != "" || helper == "" || filepath.Base(own) == templateAlias {
		return refused // by its alias it would be the template
	}
	argv := append([]string{helper}, mapArguments(ranges)...)
	inside := []string{"create"}
	for _, kind := range []struct {
		letter, option string
		group          bool
		id             int
	}{{"u", "--mapped-uid", false, uid}, {"g", "--mapped-gid", true, os.Getegid()}} {
		id, known := callerID(ranges, kind.group, uint32(kind.id))
		if !known {
			argv = append(argv, "-m", fmt.Sprintf("%s:%d:%d:1", kind.letter, id, kind.id))
		}
		inside = append(inside, kind.option, strconv.FormatUint(uint64(id), 10))
	}
	argv = append(append(append(argv, "--", own), inside...), args...)
	return fmt.Errorf("%q: %w", helper, syscall.Exec(helper, argv, os.Environ()))
}

// mapArguments are lxc-usernsexec's options for ranges.
func mapArguments(ranges []lxc.IDRange) (args []string) {
	for _, r := range ranges {
		kind := "u"
		if r.GID {
			kind = "g"
		}
		args = append(args, "-m", fmt.Sprintf("%s:%d:%d:%d", kind, r.Inside, r.Outside, r.Count))
	}
	return args
}

// callerID is what a user or group is called in a namespace with ranges; where
// it is not known there, the first id that is free, as lxc-create chooses.
func callerID(ranges []lxc.IDRange, group bool, id uint32) (inside uint32, known bool) {
	for range len(ranges) + 1 {
		for _, r := range ranges {
			switch {
			case r.GID != group:
			case id >= r.Outside && id-r.Outside < r.Count:
				return r.Inside + id - r.Outside, true
			case inside >= r.Inside && inside-r.Inside < r.Count:
				inside = r.Inside + r.Count
			}
		}
	}
	return inside, false
}

// inPath is where a program is, "" for nowhere. (os/exec's question asks a system
// call that Android's filter punishes.)
func inPath(name string) string {
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); filepath.IsAbs(dir) && err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// refusal is the error where the namespace can't be entered.
func refusal(opt options, ranges []lxc.IDRange, uid int) *mappedError {
	words := []string{"lxc-create", "-t", lxcTemplate(), "-n", opt.name, "-P", filepath.Dir(opt.path)}
	if opt.config != "" {
		words = append(words, "-f", opt.config)
	}
	words = append(words, "--")
	for _, w := range [][2]string{{"-d", opt.dist}, {"-r", opt.release}, {"-a", opt.arch}} {
		if w[1] != "" {
			words = append(words, w[:]...)
		}
	}
	return &mappedError{shellWords(words), grantCommand(ranges, uid, "/etc")}
}

// lxcTemplate is how lxc-create finds this program: its name in LXC's folder of
// templates, else its path.
func lxcTemplate() string {
	for _, path := range ownPaths() {
		if name, ok := strings.CutPrefix(path, "/usr/share/lxc/templates/lxc-"); ok {
			return name
		}
	}
	return append(ownPaths(), "pull")[0]
}

// grantCommand is the command that lets a user use the ids of ranges; "" where
// /etc/subuid and /etc/subgid (here below etc) let the user use some.
func grantCommand(ranges []lxc.IDRange, uid int, etc string) string {
	names := []string{strconv.Itoa(uid)}
	passwd, _ := readFileLimit(etc+"/passwd", maxConfig)
	for line := range strings.Lines(string(passwd)) {
		if f := strings.Split(line, ":"); len(f) > 2 && f[2] == names[0] {
			names = append(names, f[0])
		}
	}
	has := func(file string) bool {
		text, _ := readFileLimit(etc+file, maxConfig)
		for line := range strings.Lines(string(text)) {
			for _, name := range names {
				if strings.HasPrefix(line, name+":") {
					return true
				}
			}
		}
		return false
	}
	command := ""
	for _, r := range ranges {
		kind := "uids"
		if r.GID {
			kind = "gids"
		}
		if r.Outside != uint32(uid) && !has("/sub"+strings.TrimSuffix(kind, "s")) {
			command += fmt.Sprintf(" --add-sub%s %d-%d", kind, r.Outside, r.Outside+r.Count-1)
		}
	}
	if command == "" {
		return ""
	}
	return "usermod" + command + " " + shellWords(names[len(names)-1:])
}

// shellWords writes words so that a shell reads them as they are.
func shellWords(words []string) string {
	var quoted []string
	for _, w := range words {
		if w == "" || strings.ContainsFunc(w, special) {
			w = "'" + strings.Join(strings.Split(w, "'"), `'\''`) + "'"
		}
		quoted = append(quoted, w)
	}
	return strings.Join(quoted, " ")
}

// special tells the characters that a shell may not leave as they are.
func special(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_./:=+,@%", r))
}
