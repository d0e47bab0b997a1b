package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"lxc-pull/image"
	"lxc-pull/lxc"
	"lxc-pull/untar"
)

const createUsage = `Usage: lxc-pull create NAME -d DIST -r RELEASE [-a ARCH] [-P DIR] [-f CONFIG]

Makes a whole container in the LXC path: config, fstab, root file system. A
folder of that name must be absent or empty.

  -P, --lxcpath DIR   where containers live (default: lxc.conf's lxc.lxcpath,
                      then the usual place)
  -f, --config FILE   what the config begins with (default: LXC's default.conf)
`

const rootfsUsage = `Usage: lxc-pull rootfs DIR -d DIST -r RELEASE [-a ARCH] [--name NAME] [--cache]

Puts an image's root file system into DIR, which must be empty or absent.
Missing folders above it are made.
`

// commonHelp stands below the usage of create and rootfs.
const commonHelp = `
      --variant VARIANT, --server SERVER, --mirror SERVER, --keyring FILE,
      --keyid FPR, --no-validate, --verify-first, --no-cache, --refresh,
      --allow-older, --allow-host-config, --selinux, -q, -v: as for lxc-pull -h
`

// imageCommand parses what create and rootfs have in common: options and one
// operand. done says that help was asked for and given.
func imageCommand(ui *ui, args []string, usage string, extra ...option) (opt options, operand string, done bool, err error) {
	unix.Umask(newUmask)
	opt, operands, err := readOptions(ui, args, extra...)
	if err != nil {
		return opt, "", false, err
	}
	if opt.help {
		io.WriteString(ui.out, usage+commonHelp)
		return opt, "", true, nil
	}
	if len(operands) != 1 {
		return opt, "", false, usageErrorf("one name is needed, %d given\n%s", len(operands), strings.SplitN(usage, "\n", 2)[0])
	}
	return opt, operands[0], false, nil
}

// createCommand makes a container without lxc-create. It leaves the bytes that
// lxc-create with this template leaves, less the comments that lxc-create puts
// at the top.
func createCommand(ctx context.Context, ui *ui, args []string) (err error) {
	opt, name, done, err := imageCommand(ui, args, createUsage, option{short: 'P', long: "lxcpath", arg: true, exact: true}, option{short: 'f', long: "config", arg: true, exact: true})
	if err != nil || done {
		return err
	}
	if err := image.CheckName(name); err != nil {
		return usageErrorf("name %q: %v", name, err)
	}
	uid, mapped := mappedID(opt.mappedUID)
	gid, _ := mappedID(opt.mappedGID)
	mapped = mapped && currentNamespace() == lxc.UserNamespace // enterNamespace called
	places := hostPlaces()
	places.root = places.root && !mapped
	lxcPath := opt.lxcPath
	if lxcPath == "" {
		if lxcPath, err = getUntilDone(ctx, func() (string, error) { return places.lxcPath(), nil }); err != nil {
			return err
		}
		ui.notef("LXC path %q", lxcPath)
	}
	if lxcPath, err = filepath.Abs(lxcPath); err != nil {
		return err
	}
	before, err := getUntilDone(ctx, func() ([]byte, error) { return places.defaultConfig(opt.config) })
	if err != nil {
		return err
	}
	final := filepath.Join(lxcPath, name)
	opt.name, opt.path, opt.rootfs = name, final, filepath.Join(final, "rootfs")
	if err := enterNamespace(opt, args, before); err != nil {
		return err
	}
	c := newCreation(ui, opt, userNamespaceOf(before))
	owner, err := c.shiftOwners(before)
	if err != nil {
		return err
	}
	if mapped {
		// As lxc-create leaves it: the group can look into the folder.
		c.uid, c.gid = uid, gid
		owner = &[2]uint32{0, uint32(gid)} // -1: as it is
		waiting := &caller{parent: os.Getppid()}
		var stop context.CancelFunc
		ctx, stop = waiting.watch(ctx)
		defer stop()
	}
	_, err = os.Stat(filepath.Join(c.container.TemplateConfig, "common.conf"))
	c.withoutLXC = errors.Is(err, fs.ErrNotExist)
	if err := c.checkContainer(before); err != nil {
		return err
	}
	if ranges, _ := lxc.IDMap(before); len(ranges) == 0 && os.Geteuid() != 0 && !c.withoutLXC && inPath("lxc-start") != "" && currentNamespace() == lxc.HostNamespace {
		return noMap(places.userConfig(opt.config))
	}
	if err := c.askMissing(ctx, os.Stdin); err != nil {
		return err
	}
	made, err := makeFolders(lxcPath)
	defer func() {
		if err != nil {
			removeFolders(made)
		}
	}()
	if err != nil {
		return err
	}
	for _, dir := range made {
		if err := os.Lchown(dir, c.uid, c.gid); err != nil {
			return err
		}
	}
	return c.run(ctx, func(context.Context) (*place, error) {
		if _, err := os.Lstat(final); err == nil && !c.removeInterrupted(final) {
			return c.openExisting(owner)
		}
		return c.openContainer(owner)
	})
}

// newUmask is what lxc-create gives a template (lxccontainer.c, do_create): so
// folders have the modes that LXC and the processes in the container need,
// whatever the caller's umask.
const newUmask = 0o022

// makeFolders makes a folder and those above it, and returns which are new, the
// innermost first.
func makeFolders(path string) (made []string, err error) {
	var missing []string
	for dir := path; ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(dir); err == nil || !errors.Is(err, fs.ErrNotExist) {
			break
		}
		missing = append(missing, dir)
	}
	for i := len(missing) - 1; i >= 0; i-- {
		if err := os.Mkdir(missing[i], 0o755); err == nil {
			made = append([]string{missing[i]}, made...)
		} else if !errors.Is(err, fs.ErrExist) { // another run's by now
			return made, err
		}
	}
	return made, nil
}

// removeFolders removes what makeFolders made and nobody has filled since.
func removeFolders(made []string) {
	for _, dir := range made {
		unix.Rmdir(dir)
	}
}

// removeInterrupted removes a container that a lxc-create left half-made when it
// was killed together with the template, which LXC takes for a whole one. It
// reports whether it is gone; any other container stays as it is.
func (c *creation) removeInterrupted(path string) bool {
	w := callerOf(path)
	defer w.close()
	// What is in another user's folder may change while it is looked at. Root
	// leaves that to lxc-destroy.
	if !w.dead() || !w.own() || !beganHere(&containerDir{w.folder, path}) {
		return false
	}
	target, err := untar.OpenTargetAt(w.folder, rootfsName, filepath.Join(path, rootfsName))
	if err != nil {
		return false
	}
	defer target.Close()
	if !target.IsEmpty() {
		return false
	}
	if _, err = target.Abort(); err == nil {
		err = w.removeContainer(false)
	}
	if _, there := os.Lstat(path); err != nil || there == nil {
		return false
	}
	c.ui.warnf("%q was a container that lxc-create had begun when it was killed; it was removed first", path)
	return true
}

// beganHere reports whether the config in a container's folder, where there is one
// yet, is that of a container whose root file system is to be in the folder. An
// empty "rootfs" alone is no sign of that: so looks a mount point.
func beganHere(folder *containerDir) bool {
	config, _, err := folder.read("config")
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	loaded, bad := lxc.CheckLoads(config)
	if err != nil || bad != nil || len(loaded.Rootfs) == 0 {
		return false
	}
	_, value, _ := strings.Cut(loaded.Rootfs[len(loaded.Rootfs)-1], "=")
	kind, dir, ok := strings.Cut(strings.Trim(value, " \t"), ":")
	return ok && (kind == "dir" || kind == "btrfs") && filepath.Clean(dir) == filepath.Join(folder.path, rootfsName)
}

// shiftOwners reads lxc.idmap of the config with which a container begins. As
// root the owners are shifted on the way to the disk, unless this is the very
// namespace of that map; then it returns the ids of the container's root, else
// nil.
func (c *creation) shiftOwners(config []byte) (*[2]uint32, error) {
	ranges, err := lxc.IDMap(config)
	if err != nil || len(ranges) == 0 || os.Geteuid() != 0 {
		return nil, err
	}
	if text, err := os.ReadFile("/proc/self/uid_map"); err == nil && mapsRoot(string(text), ranges) {
		return nil, nil
	}
	ids, err := rootIDs(ranges)
	if err != nil {
		return nil, err
	}
	for _, r := range ranges {
		c.idmap = append(c.idmap, untar.IDRange(r))
	}
	return &ids, nil
}

// rootIDs returns the user and the group that lxc.idmap makes the container's
// root.
func rootIDs(ranges []lxc.IDRange) (ids [2]uint32, err error) {
	user, group := false, false
	for _, r := range ranges {
		if r.Inside == 0 && r.UID {
			ids[0], user = r.Outside, true
		}
		if r.Inside == 0 && r.GID {
			ids[1], group = r.Outside, true
		}
	}
	if !user || !group {
		kind := "g"
		if !user {
			kind = "u"
		}
		return ids, fmt.Errorf("lxc.idmap of the config has no line for the container's root: \"lxc.idmap = %s 0 FIRST COUNT\"", kind)
	}
	return ids, nil
}

// mapsRoot reports whether the text of a uid_map maps root as ranges do: so it is
// after "lxc-usernsexec lxc-pull create".
func mapsRoot(uidMap string, ranges []lxc.IDRange) bool {
	for line := range strings.Lines(uidMap) {
		f := strings.Fields(line)
		for _, r := range ranges {
			if r.UID && r.Inside == 0 && len(f) == 3 && f[0] == "0" && f[1] == strconv.FormatUint(uint64(r.Outside), 10) {
				return true
			}
		}
	}
	return false
}

// rootfsCommand puts a root file system into a folder, and nothing else
// anywhere.
func rootfsCommand(ctx context.Context, ui *ui, args []string) error {
	opt, dir, done, err := imageCommand(ui, args, rootfsUsage, option{long: "cache", exact: true})
	if err != nil || done {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if opt.name == "" {
		opt.name = filepath.Base(dir)
	}
	opt.rootfs, opt.path = dir, filepath.Dir(dir)
	opt.noCache = opt.noCache || !opt.cache
	c := newCreation(ui, opt, userNamespaceOf(nil))
	c.folder = ""
	if err := c.askMissing(ctx, os.Stdin); err != nil {
		return err
	}
	made, err := makeFolders(filepath.Dir(dir))
	if err == nil {
		err = c.run(ctx, c.openRootfs)
	}
	if err != nil {
		removeFolders(made)
	}
	return err
}

// userNamespaceOf is the namespace that a container made without lxc-create
// will live in: the one we are in, or the one that its config maps.
func userNamespaceOf(config []byte) lxc.Namespace {
	n := currentNamespace()
	if ids, _ := lxc.IDMap(config); n == lxc.HostNamespace && (len(ids) > 0 || os.Geteuid() != 0) {
		return lxc.RootNamespace
	}
	return n
}

// places is where LXC keeps its settings and containers on this machine.
type places struct {
	root   bool
	home   string // "": none
	prefix string // Termux's, "" elsewhere
	top    string // before every path of the system: "", but in tests
}

func hostPlaces() places {
	return places{os.Geteuid() == 0, os.Getenv("HOME"), termuxPrefix(), ""}
}

// termuxPrefix is where Termux has its tree, "" elsewhere: others set PREFIX too.
func termuxPrefix() string {
	prefix := os.Getenv("PREFIX")
	if filepath.IsAbs(prefix) && (strings.Contains(prefix, "com.termux") || os.Getenv("TERMUX_VERSION") != "") {
		return prefix
	}
	return ""
}

// has reports whether a path of the system is there.
func (p places) has(path string) bool {
	_, err := os.Stat(p.top + path)
	return err == nil
}

// android and openwrt tell systems by what every one of them has.
func (p places) android() bool { return p.has("/dev/__properties__") }
func (p places) openwrt() bool { return p.has("/etc/openwrt_release") }

// settings lists the folders that may hold lxc.conf and default.conf.
func (p places) settings() []string {
	var dirs []string
	if !p.root && p.home != "" {
		dirs = append(dirs, filepath.Join(p.home, ".config/lxc"))
	}
	if p.prefix != "" {
		dirs = append(dirs, filepath.Join(p.prefix, "etc/lxc"))
	}
	return append(dirs, p.top+"/etc/lxc")
}

// userConfig is the file that an ordinary user's containers begin with: the one
// that was named, else the user's own default.conf.
func (p places) userConfig(named string) string {
	if named != "" {
		return named
	}
	return filepath.Join(p.settings()[0], "default.conf")
}

// setting returns the value of a key in lxc.conf, "" where none has it. As LXC
// does, an ordinary user's file counts before the system's.
func (p places) setting(key string) string {
	for _, dir := range p.settings() {
		data, err := readFileLimit(filepath.Join(dir, "lxc.conf"), maxConfig)
		if err != nil {
			continue
		}
		value := ""
		for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
			name, v, ok := strings.Cut(lines.Text(), "=")
			if ok && strings.TrimSpace(name) == key {
				value = strings.TrimSpace(v)
			}
		}
		if value != "" {
			return value
		}
	}
	return ""
}

// lxcPath is where containers live: what lxc.conf says, else where this kind of
// system has them. LXC itself goes by lxc.conf and its own default alone, so on a
// system of no special kind no other place is guessed.
func (p places) lxcPath() string {
	if path := p.setting("lxc.lxcpath"); path != "" {
		return path
	}
	switch {
	case p.prefix != "":
		return filepath.Join(p.prefix, "var/lib/lxc")
	case !p.root && p.home != "":
		return filepath.Join(p.home, ".local/share/lxc")
	case p.android() && p.has("/data/lxc/containers"):
		return "/data/lxc/containers"
	case p.android():
		return "/data/lxc" // there is no /var, and the root is read-only
	case p.openwrt() && p.has("/srv/lxc"):
		return "/srv/lxc" // Turris; /var is in memory
	}
	return "/var/lib/lxc"
}

// systemCache is the stock template's, where nothing else is said.
func (p places) systemCache() string {
	switch {
	case p.prefix != "":
		return filepath.Join(p.prefix, "var/cache/lxc")
	case p.android():
		return "/data/lxc/.cache"
	}
	return "/var/cache/lxc"
}

// defaultConfig returns what a container's config begins with: the named file,
// or LXC's default.conf where there is one. As lxc-create does, empty lines are
// left out and lines of blanks become empty (parse_line in LXC's confile.c).
func (p places) defaultConfig(name string) ([]byte, error) {
	var data []byte
	var err error
	switch named := p.setting("lxc.default_config"); {
	case name != "":
		data, err = readFileLimit(name, maxConfig)
	case named != "":
		data, err = readFileLimit(named, maxConfig)
	default:
		for _, dir := range p.settings() {
			data, err = readFileLimit(filepath.Join(dir, "default.conf"), maxConfig)
			if !errors.Is(err, fs.ErrNotExist) {
				break
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err != nil {
		return nil, err
	}
	var out []byte
	for _, line := range lxc.ConfigLines(data) {
		if strings.Trim(line, " \t") == "" {
			line = ""
		}
		out = append(out, line+"\n"...)
	}
	return out, nil
}
