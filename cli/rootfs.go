package cli

import (
	"context"
	"path/filepath"

	"lxc-pull/lxc/host"
)

const rootfsUsage = `Usage: lxc-pull rootfs DIR DIST/RELEASE[/ARCH][/VARIANT] [OPTION]...
       lxc-pull rootfs DIR -d DIST -r RELEASE [-a ARCH] [OPTION]...

Unpacks an image's root file system into DIR, which must be empty or absent.
Missing parent directories are made.
`

// A rootfsCall is one use of "rootfs", which unpacks a root file system into a directory and
// writes nowhere else.
type rootfsCall struct {
	creation
	name  string
	cache bool
}

func (c *rootfsCall) groups() []group {
	own := group{"The directory", []flag{
		{long: "name", value: "NAME", help: "host name for the image's files (default: DIR's name)", into: &c.name},
		{long: "cache", help: "use the image cache", into: &c.cache, exact: true},
	}}
	return append([]group{own}, c.creation.groups()...)
}

// rewrite removes a bare "--" before options.
func (c *rootfsCall) rewrite(args []string) []string {
	c.args = args
	return dropDashes(args, c.groups())
}

func (c *rootfsCall) run(ctx context.Context, ui *ui, operands []string) error {
	c.begin()
	dir := ""
	if err := c.image.readOperands(&dir, operands, "directory"); err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return err
	}
	if c.cache && c.finder.cache.noCache {
		return errNoCache
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
	finder, err := c.open(ctx, ui)
	if err != nil {
		return err
	}
	made, err := makeDirs(filepath.Dir(dir))
	if err == nil {
		err = c.creation.run(ctx, ui, finder)
	}
	if err != nil {
		removeDirs(made)
	}
	return err
}
