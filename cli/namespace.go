package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"lxc-pull/lxc"
	"lxc-pull/lxc/host"
)

// A mappedError says that an ordinary user's container can't have the file owners of
// lxc.idmap, which LXC needs.
type mappedError struct{ reason, remedy string }

func (e *mappedError) Error() string { return e.reason }

// enterNamespace replaces this process by another run of the program in a user namespace
// with the ids of lxc.idmap, if an ordinary user's container needs that. Like lxc-create
// it uses lxc-usernsexec(1). It returns nil only if no namespace is needed.
func (c *createCall) enterNamespace() error {
	ranges, err := lxc.IDMap(c.target.BaseConfig)
	uid := os.Geteuid()
	if err != nil || len(ranges) == 0 || uid == 0 || host.Namespace() != lxc.HostNamespace {
		return err
	}
	if _, err := lxc.RootIDs(ranges); err != nil {
		return err
	}
	grant, err := reenter(ranges, "create", c.args)
	if err == errCantEnter {
		return c.notMapped(grant)
	}
	return err
}

// errCantEnter says that this process can't enter a user namespace.
var errCantEnter = errors.New("the user namespace can't be entered")

// reenter replaces this process by a run of a command in a user namespace with ranges. If it
// can't, the error is errCantEnter, and grant is the command by which root must first lend the
// ids, "" if none is needed.
func reenter(ranges []lxc.IDRange, command string, args []string) (grant string, err error) {
	uid := os.Geteuid()
	grant = idFacts(host.This(), uid, ranges)["lend"]
	helper, own := host.InPath("lxc-usernsexec"), append(host.ProgramPaths(), templateAlias)[0]
	if grant != "" || helper == "" || filepath.Base(own) == templateAlias { // under that name the program is the template
		return grant, errCantEnter
	}
	argv := append([]string{helper}, mapArguments(ranges)...)
	inside := []string{command}
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
	argv = append(append(append(argv, "--", own), inside...), args...)
	return "", fmt.Errorf("%q: %w", helper, syscall.Exec(helper, argv, os.Environ()))
}

// mapArguments returns the options of lxc-usernsexec for ranges.
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

// notMapped returns the error for a user namespace that this process can't enter. grant is
// the command by which root must first lend the ids; "": none is needed.
func (c *createCall) notMapped(grant string) error {
	words := []string{"lxc-create", "-t", lxcTemplate(), "-n", c.name, "-P", c.lxcPath}
	if c.config != "" {
		words = append(words, "-f", c.config)
	}
	words = append(words, "--")
	if c.image.variant != defaultVariant {
		words = append(words, "--variant", c.image.variant)
	}
	for _, w := range [][2]string{{"-d", c.image.dist}, {"-r", c.image.release}, {"-a", c.image.arch}} {
		if w[1] != "" {
			words = append(words, w[:]...)
		}
	}
	remedy := "lxc-create does it in a user namespace; append your other options:\n  " + shellWords(words)
	if grant != "" {
		remedy += "\nFirst root must lend you the ids:\n  " + grant
		if own := idFacts(host.This(), os.Geteuid(), nil); own["missing"] == "" {
			remedy += "\nOr write the ids that you may use into the config:" + own["offer"]
		}
	}
	return &mappedError{"an ordinary user can't give files to the ids of lxc.idmap", remedy}
}

// noMap returns the error for an ordinary user's config without lxc.idmap. The user would
// own all files, and LXC could neither start the container nor remove it.
func noMap(machine *host.Layout, uid int, config string) error {
	remedy := "Android lends no ids: on Android, make and start containers as root."
	if !machine.Android() {
		ids := idFacts(machine, uid, nil)
		remedy = "Add to that file:" + ids["offer"]
		if ids["lend"] != "" {
			remedy += "\nRoot must lend you these ids:\n  " + ids["lend"]
		}
		remedy += "\nFor a network, root adds to /etc/lxc/lxc-usernet:\n  " + ids["name"] + " veth lxcbr0 10"
	}
	return &mappedError{
		fmt.Sprintf("an ordinary user's container needs lxc.idmap, which %q does not have", config),
		remedy + "\nA root file system alone needs no ids: lxc-pull rootfs DIR.",
	}
}

// lxcTemplate returns the name by which lxc-create finds this program: its name in LXC's
// directory of templates, else its path.
func lxcTemplate() string {
	for _, path := range host.ProgramPaths() {
		if name, ok := strings.CutPrefix(path, "/usr/share/lxc/templates/lxc-"); ok {
			return name
		}
	}
	return append(host.ProgramPaths(), "pull")[0]
}

// shellWords quotes words for a shell.
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

// special reports whether a shell may treat the character in a special way.
func special(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_./:=+,@%", r))
}
