package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"lxc-pull/lxc"
	"lxc-pull/lxc/host"
)

// A mappedError says that an ordinary user's container can't have the owners that
// LXC needs: those of lxc.idmap.
type mappedError struct{ reason, remedy string }

func (e *mappedError) Error() string { return e.reason }

// enterNamespace calls this program once more in a user namespace with the ids of
// lxc.idmap, if an ordinary user's container needs one. It does so as lxc-create does, by
// lxc-usernsexec, and takes its place: it returns nil only if no namespace is needed.
func (c *createCall) enterNamespace() error {
	ranges, err := lxc.IDMap(c.target.Begins)
	uid := os.Geteuid()
	if err != nil || len(ranges) == 0 || uid == 0 || host.Namespace() != lxc.HostNamespace {
		return err
	}
	if _, err := lxc.RootIDs(ranges); err != nil {
		return err
	}
	grant := grantCommand(ranges, uid)
	helper, own := host.InPath("lxc-usernsexec"), append(host.ProgramPaths(), templateAlias)[0]
	if grant != "" || helper == "" || filepath.Base(own) == templateAlias { // by that name it would be the template
		return c.notMapped(grant)
	}
	argv := append([]string{helper}, mapArguments(ranges)...)
	inside := []string{"create"}
	for _, kind := range []struct {
		letter, option string
		group          bool
		id             int
	}{{"u", "--mapped-uid", false, uid}, {"g", "--mapped-gid", true, os.Getegid()}} {
		id, known := host.InsideID(ranges, kind.group, uint32(kind.id))
		if !known {
			argv = append(argv, "-m", fmt.Sprintf("%s:%d:%d:1", kind.letter, id, kind.id))
		}
		inside = append(inside, kind.option, strconv.FormatUint(uint64(id), 10))
	}
	argv = append(append(append(argv, "--", own), inside...), c.args...)
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

// notMapped is the error if the namespace of lxc.idmap can't be entered. grant is root's
// command without which it never can be; "": none is needed.
func (c *createCall) notMapped(grant string) error {
	words := []string{"lxc-create", "-t", lxcTemplate(), "-n", c.name, "-P", c.lxcPath}
	if c.config != "" {
		words = append(words, "-f", c.config)
	}
	words = append(words, "--")
	for _, w := range [][2]string{{"-d", c.image.dist}, {"-r", c.image.release}, {"-a", c.image.arch}} {
		if w[1] != "" {
			words = append(words, w[:]...)
		}
	}
	remedy := "lxc-create gives them, in a user namespace; your other options go to its end:\n  " + shellWords(words)
	if grant != "" {
		remedy += "\nFirst root must lend you the ids:\n  " + grant
		if lines, lent := host.MapLines(os.Geteuid(), host.Etc); lent {
			remedy += "\nOr the config has the ids that you may use:\n" + lines
		}
	}
	return &mappedError{"an ordinary user can't give files to the ids of lxc.idmap", remedy}
}

// noMap is the error if an ordinary user's config has no lxc.idmap: all files would be the
// user's, and LXC could neither start the container nor remove it.
func noMap(config string) error {
	remedy := "On Android nobody lends ids: containers are made and started by root."
	if !host.This().Android() {
		uid := os.Geteuid()
		lines, lent := host.MapLines(uid, host.Etc)
		remedy = "Write into that file:\n" + lines
		if !lent {
			remedy += "\nFirst root must lend you the ids:\n  usermod --add-subuids 100000-165535 --add-subgids 100000-165535 " + shellWords(host.UserNames(uid, host.Etc)[:1])
		}
	}
	return &mappedError{
		fmt.Sprintf("an ordinary user's container needs lxc.idmap, which %q does not have", config),
		remedy + "\nA root file system alone needs no ids: lxc-pull rootfs DIR.",
	}
}

// lxcTemplate is how lxc-create finds this program: its name in LXC's directory of
// templates, else its path.
func lxcTemplate() string {
	for _, path := range host.ProgramPaths() {
		if name, ok := strings.CutPrefix(path, "/usr/share/lxc/templates/lxc-"); ok {
			return name
		}
	}
	return append(host.ProgramPaths(), "pull")[0]
}

// grantCommand is root's command that lets a user use the ids of ranges; "" if
// the user may use all of them already.
func grantCommand(ranges []lxc.IDRange, uid int) string {
	options := host.MissingIDs(ranges, uid, host.Etc)
	if options == nil {
		return ""
	}
	return shellWords(slices.Concat([]string{"usermod"}, options, host.UserNames(uid, host.Etc)[:1]))
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
