package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"lxc-pull/lxc"
)

// A mappedError says that an ordinary user's container can't have the owners that
// LXC needs: those of lxc.idmap.
type mappedError struct{ reason, remedy string }

func (e *mappedError) Error() string { return e.reason }

func (e *mappedError) hint() string { return e.remedy }

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
	if _, err := rootIDs(ranges); err != nil {
		return err
	}
	grant := grantCommand(ranges, uid, "/etc")
	helper, own := inPath("lxc-usernsexec"), append(ownPaths(), templateAlias)[0]
	if grant != "" || helper == "" || filepath.Base(own) == templateAlias { // by that name it would be the template
		return notMapped(opt, grant)
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

// notMapped is the error where the namespace of lxc.idmap can't be entered. grant
// is root's command without which it never can; "": it is not needed.
func notMapped(opt options, grant string) error {
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
	remedy := "lxc-create gives them, in a user namespace; your other options go to its end:\n  " + shellWords(words)
	if grant != "" {
		remedy += "\nFirst root must lend you the ids:\n  " + grant
		if lines, lent := mapLines(os.Geteuid(), "/etc"); lent {
			remedy += "\nOr the config has the ids that you may use:\n" + lines
		}
	}
	return &mappedError{"an ordinary user can't give files to the ids of lxc.idmap", remedy}
}

// noMap is the error where an ordinary user's config has no lxc.idmap: all files
// would be the user's, and LXC could neither start the container nor remove it.
func noMap(config string) error {
	remedy := "On Android nobody lends ids: containers are made and started by root."
	if !hostPlaces().android() {
		uid := os.Geteuid()
		lines, lent := mapLines(uid, "/etc")
		remedy = "Write into that file:\n" + lines
		if !lent {
			remedy += "\nFirst root must lend you the ids:\n  usermod --add-subuids 100000-165535 --add-subgids 100000-165535 " + shellWords(userNames(uid, "/etc")[:1])
		}
	}
	return &mappedError{
		fmt.Sprintf("an ordinary user's container needs lxc.idmap, which %q does not have", config),
		remedy + "\nA root file system alone needs no ids: lxc-pull rootfs DIR.",
	}
}

// mapLines are the lines of a config that map the ids which a user may use; lent
// is false where there are none yet.
func mapLines(uid int, etc string) (lines string, lent bool) {
	ranges := lentRanges(uid, etc)
	lent = true
	for i := range ranges {
		if len(ranges[i]) == 0 {
			ranges[i], lent = []idRange{{100000, 65536}}, false
		}
	}
	return fmt.Sprintf("  lxc.idmap = u 0 %s\n  lxc.idmap = g 0 %s", ranges[0][0], ranges[1][0]), lent
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

// An idRange is a line of /etc/subuid or /etc/subgid.
type idRange struct{ first, count uint64 }

func (r idRange) String() string { return fmt.Sprintf("%d %d", r.first, r.count) }

// userNames are the names of a user in /etc/passwd (here below etc), and the
// number.
func userNames(uid int, etc string) (names []string) {
	number := strconv.Itoa(uid)
	passwd, _ := readFileLimit(etc+"/passwd", maxConfig)
	for line := range strings.Lines(string(passwd)) {
		if f := strings.Split(line, ":"); len(f) > 2 && f[2] == number {
			names = append(names, f[0])
		}
	}
	return append(names, number)
}

// lentRanges are the user ids and the group ids that a user may use besides the
// own ones (subuid(5), subgid(5)).
func lentRanges(uid int, etc string) (lent [2][]idRange) {
	names := userNames(uid, etc)
	for i, file := range []string{"/subuid", "/subgid"} {
		text, _ := readFileLimit(etc+file, maxConfig)
		for line := range strings.Lines(string(text)) {
			f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
			if len(f) != 3 || !slices.Contains(names, f[0]) {
				continue
			}
			first, err1 := strconv.ParseUint(f[1], 10, 32)
			count, err2 := strconv.ParseUint(f[2], 10, 32)
			if err1 == nil && err2 == nil && count > 0 {
				lent[i] = append(lent[i], idRange{first, count})
			}
		}
	}
	return lent
}

// grantCommand is the command that lets a user use the ids of ranges; "" where
// /etc/subuid and /etc/subgid (here below etc) let the user use them already.
func grantCommand(ranges []lxc.IDRange, uid int, etc string) string {
	lent := lentRanges(uid, etc)
	command := ""
	for _, r := range ranges {
		kind, i := "uids", 0
		if r.GID {
			kind, i = "gids", 1
		}
		first, count := uint64(r.Outside), uint64(r.Count)
		own := first == uint64(uid) && count == 1 // or the user's group, which newgidmap knows
		if !own && !slices.ContainsFunc(lent[i], func(l idRange) bool { return l.first <= first && first+count <= l.first+l.count }) {
			command += fmt.Sprintf(" --add-sub%s %d-%d", kind, first, first+count-1)
		}
	}
	if command == "" {
		return ""
	}
	return "usermod" + command + " " + shellWords(userNames(uid, etc)[:1])
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
