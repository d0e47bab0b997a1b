package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"lxc-pull/lxc"
	"lxc-pull/lxc/host"
	"lxc-pull/pull"
	"lxc-pull/pull/source"
	"lxc-pull/untar"
)

// A creation holds the options that the commands template, create and rootfs have in
// common, and the target that they make.
type creation struct {
	image   imageOptions
	finder  finderOptions
	unpack  unpackOptions
	target  pull.Target
	process pull.Process // changes of what a container image runs

	exclude  []string // patterns of files of the image that are not unpacked
	personal personalOptions
	changes  pull.Personal // what personal says, set by personalize
	only     dryOptions

	args      []string // the arguments of this call, for enterNamespace and sameAs
	noVariant bool     // the user named no variant
}

// groups returns the flags that the three commands have in common. container says that the
// command makes a container.
func (c *creation) groups(container bool) []*group {
	images := &group{"Container images", c.finder.registry.flags()}
	if container {
		images.flags = append(processFlags(&c.process), images.flags...)
	}
	return []*group{
		c.image.group(), c.finder.servers.withProtocol(), c.finder.file.group(), images, c.finder.trust.group(), c.finder.cache.group(),
		c.unpack.group(), c.finder.network.group(), commonFlags(), {flags: []flag{progressFlag()}},
	}
}

// begin prepares this process for making something. Modes do not depend on the caller's umask.
// If the reader of standard output or standard error has ended, writes fail and the run
// continues; SIGPIPE would kill this process and leave an incomplete container.
func (c *creation) begin() {
	c.image.streams = c.finder.servers.streams
	unix.Umask(newUmask)
	signal.Ignore(unix.SIGPIPE)
}

// check refuses unsafe names and options that exclude each other. It sets the default
// variant.
func (c *creation) check(ui *ui) error {
	if c.image.streams {
		c.image.nameStreams()
	}
	if c.image.variant == "" && c.image.kind() == fromServer {
		c.noVariant, c.image.variant = true, defaultVariant
	}
	if err := c.checkSource(ui); err != nil {
		return err
	}
	if err := c.image.check(); err != nil {
		return err
	}
	ui.named = c.image.named
	if err := c.image.checkThere(); err != nil {
		return err
	}
	if c.only.dryRun && c.only.printURL {
		return usageErrorf("--dry-run excludes --print-url")
	}
	return c.finder.cache.check()
}

// dropDashes removes a "--" after which the image is named by options, as in a call of
// lxc-create: "create NAME -- -d DIST -r RELEASE". Any other "--" stays, and ends the options.
func dropDashes(args []string, groups []*group) []string {
	i := slices.Index(args, "--")
	if i < 0 {
		return args
	}
	// parseable reports whether words are options, and whether these name an image.
	parseable := func(words []string) (ok, image bool, operands []string) {
		flags := flagsOf(groups)
		values, operands, err := getopt(words, flags)
		for _, v := range values {
			image = image || flags[v.flag].long == "dist" || flags[v.flag].long == "release"
		}
		return err == nil, image, operands
	}
	if ok, image, _ := parseable(args[:i]); !ok || image {
		return args
	}
	if ok, image, operands := parseable(args[i+1:]); !ok || !image || len(operands) > 0 {
		return args
	}
	return slices.Delete(slices.Clone(args), i, i+1)
}

// newUmask is the umask that lxc-create gives a template (lxccontainer.c, do_create). With it
// new directories have the modes that LXC and the container's processes need, whatever the
// caller's umask is.
const newUmask = 0o022

// setTarget sets where the container or the root file system goes, and what this machine
// allows there.
func (c *creation) setTarget(name, path, rootfs string, namespace lxc.Namespace) {
	t := &c.target
	t.Container = lxc.Container{
		Name: name, Path: path, Rootfs: rootfs, UserNamespace: namespace != lxc.HostNamespace,
		TemplateConfig: host.TemplateConfig(c.unpack.templateConfig), HookDir: host.HookDir(c.unpack.hookDir),
	}
	t.Namespace, t.LXCVersion = namespace, host.This().LXCVersion
	for i, ranges := range host.OwnIDs() {
		t.IDs[i] = idRanges(ranges)
	}
	t.Subvolume = os.Geteuid() == 0 && host.Namespace() == lxc.HostNamespace
	c.finder.namespace, c.finder.memory = namespace, c.unpack.memory
	if !t.RootfsOnly {
		c.finder.lxcPath = filepath.Dir(path)
	}
}

// unchanged returns the Owner that leaves all owners as they are.
func unchanged() pull.Owner { return pull.Owner{UID: -1, GID: -1} }

// idRanges converts the ranges of lxc.idmap for package untar.
func idRanges(ranges []lxc.IDRange) (list []untar.IDRange) {
	for _, r := range ranges {
		list = append(list, untar.IDRange(r))
	}
	return list
}

// open opens a Finder for the image, and asks the user for the names that are missing.
func (c *creation) open(ctx context.Context, ui *ui) (*source.Finder, error) {
	c.finder.owner = c.target.Owner
	c.finder.readOnly = c.only.dryRun || c.only.printURL
	if c.only.printURL {
		c.finder.cache.noCache = true // the servers' files are wanted
	}
	if err := c.reach(ctx); err != nil {
		return nil, err
	}
	if err := c.image.needAlias(); err != nil {
		return nil, err
	}
	if err := c.finder.use(ctx, ui, &c.image); err != nil {
		return nil, err
	}
	finder, err := c.finder.open(ctx, ui, true)
	if err != nil {
		return nil, err
	}
	if c.finder.readOnly {
		finder.Provide(0, c.finder.tempFile)
	}
	if c.finder.wanted.File != nil {
		return finder, nil
	}
	return finder, c.askMissing(ctx, ui, finder, os.Stdin)
}

// reach looks at the places where files will be written, while nothing is there that has to be
// removed: a signal must end this process although a network file system does not answer.
func (c *creation) reach(ctx context.Context) error {
	return untilDone(ctx, func() error {
		for _, path := range []string{c.target.Container.Rootfs, c.finder.lxcPath, c.unpack.report, host.This().CacheDir(c.finder.namespace)} {
			os.Stat(path)
		}
		return nil
	})
}

// how returns the options by which the image is unpacked.
func (c *creation) how(ui *ui) pull.Options {
	return pull.Options{
		Memory: pull.Memory(c.unpack.memory), VerifyFirst: c.unpack.verifyFirst, SELinux: c.unpack.selinux,
		NeedXattrs: c.unpack.xattrs, AllowHost: c.unpack.allowHost, Tell: ui.listener(), Personal: c.changes, Process: c.process, Exclude: c.exclude,
		Program: "lxc-pull " + version(),
	}
}

// run makes the target, and prints the image's message for a container's user.
func (c *creation) run(ctx context.Context, ui *ui, finder *source.Finder) (*pull.Result, error) {
	how := c.how(ui)
	if c.unpack.report != "" {
		var report *reportFile
		defer func() { report.close() }()
		how.Ready = func(ctx context.Context) (err error) {
			report, err = openReport(ctx, c.unpack.report, c.target.Container.Rootfs)
			if err != nil && exitStatus(err) != exitUsage {
				return fmt.Errorf("--report: %w", err)
			}
			if err == nil && clashes(report.out, c.target) {
				err = usageErrorf("--report %q: the container needs a file of that name", c.unpack.report)
			}
			return err
		}
		how.Report = func(ctx context.Context, r *untar.Report) error {
			return report.write(ctx, append(r.AppendJSON(nil), '\n'))
		}
	}
	made, err := pull.Run(ctx, finder, c.image.query(), c.target, how)
	if err == nil && made.Message != nil && !c.target.RootfsOnly {
		ui.say("\n---\n" + string(made.Message))
	}
	return made, c.suggest(err)
}

// clashes reports whether an output has a name that the container or this program needs: the
// target itself, files of the container's directory, and markers (".NAME.incomplete").
func clashes(o *output, target pull.Target) bool {
	container := target.Container
	needed := map[string][]string{filepath.Dir(container.Rootfs): {filepath.Base(container.Rootfs)}}
	if !target.RootfsOnly {
		needed[filepath.Dir(container.Path)] = append(needed[filepath.Dir(container.Path)], filepath.Base(container.Path))
		needed[container.Path] = append(needed[container.Path], "config", "fstab", "partial", pull.RecordFile)
	}
	for dir, names := range needed {
		for _, name := range names {
			if (o.base == name || strings.HasPrefix(o.base, "."+name+".")) && o.isIn([]string{dir}) {
				return true
			}
		}
	}
	return false
}

// makeDirs makes a directory and its missing parents. It returns the new ones, the
// innermost first.
func makeDirs(path string) (made []string, err error) {
	var missing []string
	for dir := path; ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(dir); err == nil || !errors.Is(err, fs.ErrNotExist) {
			break
		}
		addTo(&missing, dir)
	}
	for i := len(missing) - 1; i >= 0; i-- {
		if err := os.Mkdir(missing[i], 0o755); err == nil {
			made = append([]string{missing[i]}, made...)
		} else if !errors.Is(err, fs.ErrExist) { // another run has made it meanwhile
			return made, err
		}
	}
	return made, nil
}

// removeDirs removes the directories that makeDirs made, if they are still empty.
func removeDirs(made []string) {
	for _, dir := range made {
		unix.Rmdir(dir)
	}
}
