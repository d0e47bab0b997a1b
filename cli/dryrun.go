package cli

import (
	"context"
	"io"
	"strings"

	"lxc-pull/lxc"
	"lxc-pull/pull"
	"lxc-pull/pull/source"
)

// dryOptions are the options with which a command says what it would do, and does nothing.
type dryOptions struct {
	dryRun, printURL bool

	config string // the file with which a new container's config begins; "": none
}

func (o *dryOptions) group() group {
	return group{"Without making it", []flag{
		{long: "dry-run", help: "say what would be done, and change nothing", into: &o.dryRun, exact: true, more: true},
		{long: "print-url", help: "print the SHA-256, size and URL of each file to download, and change nothing", into: &o.printURL, exact: true, more: true},
	}}
}

// given reports whether nothing is to be made.
func (o *dryOptions) given() bool { return o.dryRun || o.printURL }

// dry does what the options want in place of the work. The finder was opened read-only.
func (c *creation) dry(ctx context.Context, ui *ui, finder *source.Finder) error {
	text := ""
	if c.only.printURL {
		found, err := finder.Find(ctx, c.image.query())
		if err != nil {
			return err
		}
		defer found.Close()
		found.Measure(ctx, false)
		text = found.FileList()
	} else {
		plan, err := pull.MakePlan(ctx, finder, c.image.query(), c.target, c.how(ui))
		if err != nil {
			return err
		}
		defer plan.Found.Close()
		text = c.describe(plan)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	ui.settle()
	_, err := io.WriteString(ui.out, printable(text))
	return err
}

// describe returns the text of a plan, a line for each fact: its name and the fact.
func (c *creation) describe(p *pull.Plan) string {
	found := p.Found
	layer := &found.Layers[0]
	where := c.target.Container.Path
	if c.target.RootfsOnly {
		where = c.target.Container.Rootfs
	}
	size := "of unknown size"
	if layer.Packed >= 0 {
		size = source.ByteCount(layer.Packed)
	}
	from := "download " + size + " from " + found.URL()
	if found.Cached {
		from = "the cache, " + size
	} else if found.WillKeep() {
		from += ", and keep it in the cache"
	}
	need := "not known before the download"
	if layer.Content >= 0 {
		need = source.ByteCount(layer.Content)
	}
	free := "unknown"
	if p.Room.Bytes >= 0 {
		free = source.ByteCount(p.Room.Bytes)
	}
	signers := strings.Join(found.Signers(), " ")
	if signers == "" {
		signers = "not verified"
	}
	rows := [][]string{
		{"target", where}, {"image", found.Image.Name.String() + ", build " + found.Image.Build}, {"signed by", signers},
		{"source", from}, {"room", need + " needed, " + free + " free on " + p.FileSystem},
	}
	if !c.target.RootfsOnly {
		rows = append(rows, []string{"owners", c.owners()}, []string{"config", c.only.config})
	}
	password := ""
	if c.changes.Password != "" {
		password = "is set"
	}
	rows = append(rows, []string{"hostname", c.personal.hostName}, []string{"ssh-key", strings.Join(c.personal.keys, " ")},
		[]string{"password", password}, []string{"nameserver", strings.Join(c.personal.nameServers, " ")}, []string{"net", c.personal.net})
	for _, line := range c.personal.lines {
		rows = append(rows, []string{"set", line})
	}
	text := ""
	for _, row := range rows {
		if row[1] != "" {
			text += (row[0] + "           ")[:12] + row[1] + "\n"
		}
	}
	return text
}

// owners says who owns the files of a new container.
func (c *creation) owners() string {
	ranges, _ := lxc.IDMap(c.target.BaseConfig)
	switch {
	case len(ranges) > 0:
		return strings.Join(mapArguments(ranges), " ")
	case c.target.Namespace == lxc.HostNamespace:
		return "privileged: the container's root is the host's root"
	}
	return "this user, without lxc.idmap"
}
