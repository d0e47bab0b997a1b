package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/image"
	"lxc-pull/lxc/host"
	"lxc-pull/pull/source"
)

// An exportCall is one use of "export", which writes an image as a bundle: one file from which
// create makes containers without a network, with the same checks. FILE.part is renamed when it is
// complete, as for fetch, but a later call can't continue it; the cache has what was downloaded.
type exportCall struct {
	creation
	out   fetchCall
	until time.Time // zero: not given
}

func (c *exportCall) groups() []*group {
	own := &group{"", []flag{
		{short: 'o', long: "output", value: "FILE", help: "write the bundle to FILE, which is replaced (-: standard output)", into: &c.out.output},
		{long: "until", value: "TIME", help: "refuse an image that will have expired at TIME", into: &c.until, exact: true},
		progressFlag(),
	}}
	f := &c.finder
	return []*group{
		own, c.image.group(), f.servers.withProtocol(), f.file.group(), {"Container images", f.registry.flags()},
		f.trust.group(), f.cache.group(), f.network.group(), commonFlags(),
	}
}

func (c *exportCall) run(ctx context.Context, ui *ui, operands []string) error {
	// begin sets the umask of new containers; an image may be private.
	umask := unix.Umask(0)
	c.begin()
	unix.Umask(umask)
	c.out.ui = ui
	switch {
	case len(operands) > 1:
		return unexpected(operands)
	case len(operands) == 0 && !c.image.isNamed():
		return usageErrorf("export needs an image, as in lxc-pull export debian/trixie -o debian.bundle")
	case c.out.output == "":
		return usageErrorf("export needs -o FILE")
	case c.out.output == "-" && (ui.events != nil && ui.events.fd == 1 || isTerminal(os.Stdout)):
		return usageErrorf("-o -: standard output is a terminal, or has the events")
	}
	if len(operands) == 1 {
		if err := c.image.readImage(operands[0]); err != nil {
			return err
		}
		c.out.urls = operands
	} else {
		c.out.urls = []string{c.image.dist + "/" + c.image.release}
	}
	c.image.loose, c.image.anyVariant = true, c.image.variant == ""
	if err := c.check(ui); err != nil {
		return err
	}
	c.target.Owner, c.finder.namespace = unchanged(), host.Namespace()
	finder, err := c.open(ctx, ui)
	if err != nil {
		return err
	}
	finder.Provide(0, c.finder.tempFile)
	c.out.save = func(ctx context.Context, w io.Writer) error {
		err := finder.Export(ctx, c.image.query(), c.until, w)
		var missing *image.NotFoundError
		if errors.As(err, &missing) {
			missing.Command = "export -o " + shellWord(c.out.output)
		}
		return err
	}
	if err = c.out.write(ctx, nil); err != nil {
		return err
	}
	path := c.out.output
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && path != "-" && !ui.quiet {
		ui.write("", path+": "+source.ByteCount(info.Size())+". On the other machine: lxc-pull create NAME "+shellWord("bundle:"+filepath.Base(path)))
	}
	return nil
}
