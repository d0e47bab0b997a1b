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
type mappedError struct {
	_              uncomparable
	reason, remedy string
}

func (e *mappedError) Error() string { return e.reason }

// enterNamespace replaces this process by another run of the program in a user namespace
// with the ids of lxc.idmap, if an ordinary user's container needs that. Like lxc-create
// it uses lxc-usernsexec(1). It returns nil only if no namespace is needed.
func (c *createCall) enterNamespace(ui *ui) error {
	ranges, err := lxc.IDMap(c.target.BaseConfig)
	uid := os.Geteuid()
	if err != nil || len(ranges) == 0 || uid == 0 || host.Namespace() != lxc.HostNamespace {
		return err
	}
	if _, err := lxc.RootIDs(ranges); err != nil {
		return err
	}
	c.warnStart(ui, uid, ranges)
	remedy, err := reenter(ranges, "create", c.args)
	if err == errCantEnter {
		return c.notMapped(remedy)
	}
	return err
}

// warnStart warns of what keeps an ordinary user's container from starting.
func (c *createCall) warnStart(ui *ui, uid int, ranges []lxc.IDRange) {
	d := &doctor{machine: host.This(), uid: uid, config: c.target.BaseConfig, ranges: ranges, facts: map[string]string{}}
	d.gatherIDs()
	d.gatherUserNet()
	_ = d.gatherPlace(c.lxcPath)
	if c.personal.net == "" {
		d.readNet()
	}
	if d.judge(startRules); d.facts["text"] != "" {
		ui.warnText("id-map", d.facts["text"])
	}
}

// startRules are the rules for what keeps an ordinary user's container from starting.
const startRules = `-|closed|it can't start yet: others may not pass through {closed}: chmod o+x {closed}
-|!type=veth
-|usernet~+{name}+veth+{link}+
-|usernet~+@+veth+{link}+
-|link|it can't start yet: {name} may not attach it to {link}; as root: echo {name} veth {link} 10 >>/etc/lxc/lxc-usernet`

// errCantEnter says that this process can't enter a user namespace.
var errCantEnter = errors.New("the user namespace can't be entered")

// reenter replaces this process by a run of a command in a user namespace with ranges. If it
// can't, the error is errCantEnter, and remedy says how the user gets the ids, "" if they are the
// user's.
func reenter(ranges []lxc.IDRange, command string, args []string) (remedy string, err error) {
	uid := os.Geteuid()
	remedy = idRemedy(host.This(), uid, ranges)
	helper, own := host.InPath("lxc-usernsexec"), programPath(templateAlias)
	if remedy != "" || helper == "" || filepath.Base(own) == templateAlias { // under that name the program is the template
		return remedy, errCantEnter
	}
	maps, mapped := mapArguments(ranges), ""
	for _, group := range []bool{false, true} {
		kind, option, outside := "u", " --mapped-uid ", uid
		if group {
			kind, option, outside = "g", " --mapped-gid ", os.Getegid()
		}
		id, known := host.InsideID(ranges, group, uint32(outside))
		if !known {
			maps += mapArgument(kind, id, uint32(outside), 1)
		}
		mapped += option + strconv.FormatUint(uint64(id), 10)
	}
	argv := append([]string{helper}, strings.Fields(maps)...)
	argv = append(append(argv, "--", own, command), strings.Fields(mapped)...)
	argv = append(argv, args...)
	return "", fmt.Errorf("%q: %w", helper, syscall.Exec(helper, argv, os.Environ()))
}

// idRemedy says how a user gets the ids of ranges, "" if they are the user's.
func idRemedy(machine *host.Layout, uid int, ranges []lxc.IDRange) string {
	ids := idFacts(machine, uid, ranges)
	switch {
	case ids["missing"] == "":
		return ""
	case ids["low"] != "":
		return "These are ids of this machine's own users and groups. In the config replace the lines of lxc.idmap by:" + ids["instead"]
	}
	return "First root must lend you the ids: " + ids["lend"]
}

// mapArguments returns the options of lxc-usernsexec for ranges.
func mapArguments(ranges []lxc.IDRange) (args string) {
	for _, r := range ranges {
		kind := "u"
		if r.GID {
			kind = "g"
		}
		args += mapArgument(kind, r.Inside, r.Outside, r.Count)
	}
	return strings.TrimPrefix(args, " ")
}

// mapArgument returns an option of lxc-usernsexec, after a blank.
func mapArgument(kind string, ids ...uint32) string {
	for _, id := range ids {
		kind += ":" + strconv.FormatUint(uint64(id), 10)
	}
	return " -m " + kind
}

// notMapped returns the error for a user namespace that this process can't enter. remedy says how
// the user gets the ids; "": they are the user's.
func (c *createCall) notMapped(remedy string) error {
	if remedy != "" {
		return &mappedError{reason: errNotOwn, remedy: remedy}
	}
	words := []string{"lxc-create", "-t", lxcTemplate(), "-n", c.name, "-P", c.lxcPath}
	if c.config != "" {
		addTo(&words, "-f", c.config)
	}
	addTo(&words, "--")
	if c.image.variant != defaultVariant {
		addTo(&words, "--variant", c.image.variant)
	}
	for _, w := range [][2]string{{"-d", c.image.dist}, {"-r", c.image.release}, {"-a", c.image.arch}} {
		if w[1] != "" {
			addTo(&words, w[:]...)
		}
	}
	return &mappedError{reason: errNotOwn, remedy: "lxc-create does it in a user namespace (add your other options): " + shellWords(words)}
}

const errNotOwn = "an ordinary user can't give files to the ids of lxc.idmap"

// noMap returns the error for an ordinary user's config without lxc.idmap. The user would
// own all files, and LXC could neither start the container nor remove it.
func noMap(machine *host.Layout, uid int, config string) error {
	remedy := "Android lends no ids: on Android, make and start containers as root."
	if !machine.Android() {
		ids := idFacts(machine, uid, nil)
		remedy = "printf '"
		if !machine.Has(config) {
			remedy = `mkdir -p ~/.config/lxc && printf '\nlxc.net.0.type = veth\nlxc.net.0.link = lxcbr0\nlxc.net.0.flags = up`
		}
		remedy += strings.ReplaceAll(ids["offer"], "\n  ", `\n`) + `\n' >>` + shellWord(config)
		if ids["lend"] != "" {
			remedy = "First root must lend you the ids: " + ids["lend"]
		}
	}
	return &mappedError{
		reason: "an ordinary user's container needs lxc.idmap, which " + strconv.Quote(config) + " does not have",
		remedy: remedy,
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
	return programPath("pull")
}

// programPath returns the path of this program, or other if it is not known.
func programPath(other string) string {
	for _, path := range host.ProgramPaths() {
		return path
	}
	return other
}

// shellWords quotes words for a shell.
func shellWords(words []string) (line string) {
	for n, word := range words {
		if n > 0 {
			line += " "
		}
		line += shellWord(word)
	}
	return line
}

// shellWord returns a text as one word for a shell, with quotes only if it needs them.
func shellWord(text string) string {
	if text == "" || strings.ContainsFunc(text, special) {
		return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
	}
	return text
}

// special reports whether a shell may treat the character in a special way.
func special(r rune) bool {
	return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=+,@%", r)
}
