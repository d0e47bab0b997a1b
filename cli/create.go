package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"lxc-pull/image"
	"lxc-pull/lxc"
	"lxc-pull/lxc/host"
	"lxc-pull/pull"
)

// A createCall is one use of "create", which makes a container without lxc-create. It makes
// the same files, byte for byte, as lxc-create with this template, without the comments that
// lxc-create writes at the top of the config.
type createCall struct {
	creation
	name, lxcPath, config string
	configs               []string // of --config: config, and lines as --set takes them
	mappedUID, mappedGID  string   // enterNamespace passes these options
}

func (c *createCall) groups() []*group {
	own := &group{"The container", []flag{
		{short: 'n', long: "name", value: "NAME", help: "the container's name, as for lxc-create", into: &c.name, more: true},
		{short: 'P', long: "lxcpath", value: "DIR", help: "where containers are (default: as in lxc.conf)", into: &c.lxcPath, exact: true},
		{short: 'f', long: "config", value: "FILE", help: "config file (default: default.conf), or lxc.KEY=VALUE", into: &c.configs, again: true, exact: true},
		jsonFlag(),
		{long: "mapped-uid", value: "UID", into: &c.mappedUID},
		{long: "mapped-gid", value: "GID", into: &c.mappedGID},
	}}
	return c.newGroups(own, true)
}

// rewrite keeps the arguments for enterNamespace and removes a bare "--" before options.
func (c *createCall) rewrite(args []string) []string {
	c.args = args
	return dropDashes(args, c.groups())
}

func (c *createCall) run(ctx context.Context, ui *ui, operands []string) (err error) {
	c.begin()
	uid, mapped := mappedID(c.mappedUID)
	gid, _ := mappedID(c.mappedGID)
	mapped = mapped && host.Namespace() == lxc.UserNamespace // enterNamespace has called this process
	layout := host.This()
	layout.Root = layout.Root && !mapped
	c.target.Owner = unchanged()
	if mapped {
		// The caller's group can read the directory, as after lxc-create.
		c.target.Owner = pull.Owner{UID: uid, GID: gid, Dir: &[2]uint32{0, uint32(gid)}}
		var stop context.CancelFunc
		ctx, stop = pull.Parent().Watch(ctx)
		defer stop()
	}
	if err := untilDone(ctx, func() error { return c.prepare(ui, layout, operands) }); err != nil {
		return err
	}
	finder, err := c.open(ctx, ui)
	if err != nil {
		return err
	}
	if c.only.dryRun || c.only.printURL {
		return c.dry(ctx, ui, finder)
	}
	made, err := makeDirs(c.lxcPath)
	defer func() {
		if err != nil {
			removeDirs(made)
		}
	}()
	for _, dir := range made {
		if err == nil {
			err = os.Lchown(dir, c.target.Owner.UID, c.target.Owner.GID)
		}
	}
	if err != nil {
		return err
	}
	result, err := c.creation.run(ctx, ui, finder)
	if err == nil {
		c.sayNext(ui, layout, result)
	}
	return err
}

// prepare checks the options and sets the target. It reads the files that the user named, so
// it runs under untilDone, and changes nothing.
func (c *createCall) prepare(ui *ui, layout *host.Layout, operands []string) error {
	for _, value := range c.configs {
		if strings.HasPrefix(value, "lxc.") && strings.Contains(value, "=") {
			if err := lxc.CheckLine(value); err != nil {
				return wrongValue("config", value, err.Error())
			}
			addTo(&c.personal.lines, value)
		} else {
			c.config = value
		}
	}
	if err := c.image.readOperands(&c.name, operands, "container"); err != nil {
		return err
	}
	if err := image.CheckName(c.name); err != nil {
		return usageErrorf("invalid name %q: %v", c.name, err)
	}
	if err := c.check(ui); err != nil {
		return err
	}
	if err := c.locate(ui, layout); err != nil {
		return err
	}
	if err := c.personalize(); err != nil {
		return err
	}
	if err := c.shiftOwners(); err != nil {
		return err
	}
	if err := c.checkTarget(ui, layout); err != nil || c.image.isNamed() {
		return err
	}
	// Nobody should choose an image for a container that exists. What a killed run or
	// lxc-create left has no config, or "partial" beside it; it is looked at later.
	path := c.target.Container.Path
	_, missing := os.Stat(filepath.Join(path, "config"))
	if _, err := os.Lstat(filepath.Join(path, "partial")); missing == nil && err != nil {
		return &pull.Error{Kind: pull.Exists, Text: strconv.Quote(path) + " exists already"}
	}
	return nil
}

// locate finds the directory of containers and the config with which the new container
// begins. For an ordinary user it then runs the program again in a user namespace.
func (c *createCall) locate(ui *ui, layout *host.Layout) (err error) {
	if c.lxcPath == "" {
		c.lxcPath = layout.LXCPath()
		if !layout.Root && os.Getenv("HOME") == "" && c.lxcPath == "/var/lib/lxc" {
			return usageErrorf("HOME is not set, so your directory of containers is not known: set HOME, or pass -P DIR")
		}
		ui.notef("LXC path %q", c.lxcPath)
	}
	c.only.config = layout.ConfigSource(c.config)
	if c.lxcPath, err = filepath.Abs(c.lxcPath); err != nil {
		return err
	}
	c.target.MakeDir = true
	config, err := layout.DefaultConfig(c.config)
	if err != nil && c.config != "" {
		return &fileError{option: "config", name: c.config, err: withoutPath(err)}
	}
	if err != nil {
		return err
	}
	c.target.BaseConfig = config
	path := filepath.Join(c.lxcPath, c.name)
	c.setTarget(c.name, path, filepath.Join(path, "rootfs"), host.ContainerNamespace(c.target.BaseConfig))
	if c.only.printURL {
		return nil // nothing is made, so no owners are needed
	}
	return c.enterNamespace(ui)
}

// checkTarget refuses a container that LXC would refuse or could not start.
func (c *createCall) checkTarget(ui *ui, layout *host.Layout) error {
	_, err := os.Stat(filepath.Join(c.target.Container.TemplateConfig, "common.conf"))
	c.target.WithoutLXC = errors.Is(err, fs.ErrNotExist)
	if err := checkNames(c.target); err != nil {
		return err
	}
	full := c.target
	full.BaseConfig = c.fullConfig()
	if err := pull.Check(full, ui.listener()); err != nil {
		return err
	}
	if ranges, _ := lxc.IDMap(c.target.BaseConfig); !c.only.printURL && len(ranges) == 0 && os.Geteuid() != 0 && !c.target.WithoutLXC && host.InPath("lxc-start") != "" && host.Namespace() == lxc.HostNamespace {
		return noMap(layout, os.Geteuid(), layout.UserConfig(c.config))
	}
	return nil
}

// shiftOwners sets the map of user ids by lxc.idmap in the config with which the container
// begins. If the caller is root, unpacking shifts the owners, unless this process is in the
// user namespace of that map already.
func (c *createCall) shiftOwners() error {
	ranges, err := lxc.IDMap(c.target.BaseConfig)
	if err != nil || len(ranges) == 0 || os.Geteuid() != 0 || host.IsIn(ranges) {
		return err
	}
	ids, err := lxc.RootIDs(ranges)
	if err != nil {
		return err
	}
	c.target.IDMap, c.target.Owner.Dir = idRanges(ranges), &ids
	return nil
}
