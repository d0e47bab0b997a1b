package cli

import (
	"context"
	"path/filepath"

	"lxc-pull/lxc/host"
	"lxc-pull/pull"
)

// A rootfsCall is one use of "rootfs", which unpacks a root file system into a directory and
// writes nowhere else.
type rootfsCall struct {
	creation
	name  string
	cache bool
}

func (c *rootfsCall) groups() []*group {
	own := &group{"The directory", []flag{
		{long: "name", value: "NAME", help: "host name for the image's files (default: DIR's name)", into: &c.name},
		{long: "cache", help: "use the image cache", into: &c.cache, exact: true},
		jsonFlag(),
	}}
	return c.newGroups(own, false)
}

// rewrite removes a bare "--" before options.
func (c *rootfsCall) rewrite(args []string) []string {
	c.args = args
	return dropDashes(args, c.groups())
}

func (c *rootfsCall) run(ctx context.Context, ui *ui, operands []string) error {
	c.begin()
	if err := untilDone(ctx, func() error { return c.prepare(ui, operands) }); err != nil {
		return err
	}
	dir := c.target.Container.Rootfs
	finder, err := c.open(ctx, ui)
	if err != nil {
		return err
	}
	if c.only.dryRun || c.only.printURL {
		return c.dry(ctx, ui, finder)
	}
	made, err := makeDirs(filepath.Dir(dir))
	if err == nil {
		var result *pull.Result
		if result, err = c.creation.run(ctx, ui, finder); err == nil {
			c.sayDone(ui, result)
		}
	}
	if err != nil {
		removeDirs(made)
	}
	return err
}

// prepare checks the options and sets the target. It reads the files that the user named, so
// it runs under untilDone, and changes nothing.
func (c *rootfsCall) prepare(ui *ui, operands []string) error {
	dir := ""
	if err := c.image.readOperands(&dir, operands, "directory"); err != nil {
		return err
	}
	if err := c.check(ui); err != nil {
		return err
	}
	if cache := c.finder.cache; c.cache && cache.noCache {
		return errNoCache
	} else if !c.cache && (cache.flush || cache.force || cache.refresh) { // --cache-size may be a setting
		return usageErrorf("--flush-cache, --force-cache and --refresh need --cache")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if c.name == "" {
		c.name = filepath.Base(dir)
	}
	c.finder.cache.noCache = !c.cache
	c.target.RootfsOnly, c.target.Owner = true, unchanged()
	c.setTarget(c.name, filepath.Dir(dir), dir, host.ContainerNamespace(nil))
	return c.personalize()
}
