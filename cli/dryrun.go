package cli

import (
	"context"
	"fmt"
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
	if c.only.printURL {
		return c.printURLs(ctx, ui, finder)
	}
	plan, err := pull.MakePlan(ctx, finder, c.image.query(), c.target, c.how(ui))
	if err != nil {
		return err
	}
	ui.settle()
	_, err = fmt.Fprint(ui.out, printable(c.planText(plan)))
	return err
}

// printURLs prints a line for each file of the image: its SHA-256, its size in bytes and its
// URL, with "-" for what is not known.
func (c *creation) printURLs(ctx context.Context, ui *ui, finder *source.Finder) error {
	found, err := finder.Find(ctx, c.image.query())
	if err != nil {
		return err
	}
	defer found.Close()
	found.Measure(ctx, false)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var b strings.Builder
	for _, f := range found.Files() {
		digest, size := "-", "-"
		if f.Known {
			digest = fmt.Sprintf("%x", f.SHA256)
		}
		if f.Size >= 0 {
			size = fmt.Sprint(f.Size)
		}
		b.WriteString(digest + " " + size + " " + f.URL + "\n")
	}
	ui.settle()
	_, err = fmt.Fprint(ui.out, printable(b.String()))
	return err
}

// planText returns the text of a plan, a line for each fact: its name, and after blanks the
// fact.
func (c *creation) planText(p *pull.Plan) string {
	var b strings.Builder
	line := func(name, text string) { fmt.Fprintf(&b, "%-12s%s\n", name, text) }
	if c.target.RootfsOnly {
		line("directory", fmt.Sprintf("%q", c.target.Container.Rootfs))
	} else {
		line("container", fmt.Sprintf("%q in %q", c.target.Container.Name, c.target.Container.Path))
	}
	line("image", p.Image.Name.String()+", build "+p.Image.Build)
	signed := "not verified (--no-validate)"
	if len(p.Signers) > 0 {
		signed = strings.Join(p.Signers, ", ")
	}
	line("signed by", signed)
	size := "of unknown size"
	if p.Layer.Packed >= 0 {
		size = source.ByteCount(p.Layer.Packed)
	}
	if p.Cached {
		line("from", "the cache, "+size)
	} else {
		rootfs := p.Files[len(p.Files)-1]
		line("from", rootfs.URL)
		line("download", size)
		if p.Keeps {
			line("cache", "the download is kept")
		}
	}
	room := "not known"
	if p.Layer.Content >= 0 {
		room = source.ByteCount(p.Layer.Content)
	} else if p.Layer.Packed >= 0 {
		room = "more than " + source.ByteCount(p.Layer.Packed)
	}
	if p.Room.Bytes >= 0 {
		room += ", and " + source.ByteCount(p.Room.Bytes) + " are free"
	}
	line("room", room+" ("+p.FileSystem+")")
	if !c.target.RootfsOnly {
		c.planContainer(line)
	}
	c.planChanges(line)
	return b.String()
}

// planContainer adds the facts about a new container.
func (c *creation) planContainer(line func(name, text string)) {
	mode := "privileged: the container's root is the host's root"
	if ranges, _ := lxc.IDMap(c.target.BaseConfig); len(ranges) > 0 {
		mode = "mapped:"
		for _, r := range ranges {
			kind := "u"
			if r.GID {
				kind = "g"
			}
			mode += fmt.Sprintf(" %s %d %d %d", kind, r.Inside, r.Outside, r.Count)
		}
	} else if c.target.Namespace != lxc.HostNamespace {
		mode = "in this user's name, without lxc.idmap"
	}
	line("owners", mode)
	config := "no default.conf, and the image's config"
	if c.only.config != "" {
		config = fmt.Sprintf("%q, and the image's config", c.only.config)
	}
	line("config", config)
}

// planChanges adds the user's changes.
func (c *creation) planChanges(line func(name, text string)) {
	if c.personal.net != "" {
		line("network", c.personal.net)
	}
	p := c.changes
	if p == nil {
		return
	}
	if p.HostName != "" {
		line("host name", p.HostName)
	}
	if n := strings.Count(p.Keys, "\n"); n > 0 {
		line("ssh keys", fmt.Sprint(n))
	}
	if p.Password != "" {
		line("password", "root's is set")
	}
	if p.NameServers != nil {
		line("resolv.conf", strings.Join(p.NameServers, ", "))
	}
	for text := range strings.Lines(p.Config) {
		line("set", strings.TrimSuffix(text, "\n"))
	}
}
