package cli

import (
	"context"
	"io"
	"strconv"
	"strings"

	"lxc-pull/lxc"
	"lxc-pull/pull"
	"lxc-pull/pull/source"
	"lxc-pull/untar"
)

// dryOptions are the options with which a command says what it would do, and does nothing.
type dryOptions struct {
	_                uncomparable
	dryRun, printURL bool

	config string // the file with which a new container's config begins; "": none
}

func (o *dryOptions) group() *group {
	return &group{"Without making it", []flag{
		{long: "dry-run", help: "say what would be done, and change nothing", into: &o.dryRun, exact: true},
		{long: "print-url", help: "print the SHA-256, size and URL of each file to download, and change nothing", into: &o.printURL, exact: true, more: true},
	}}
}

// dry does what the options want in place of the work. The finder was opened read-only.
func (c *creation) dry(ctx context.Context, ui *ui, finder *source.Finder) (err error) {
	var found *source.Found
	var root *untar.Root
	text := ""
	if c.only.printURL {
		found, err = finder.Find(ctx, c.image.query())
	} else {
		how := c.how(ui)
		found, root, err = pull.Plan(ctx, finder, c.image.query(), &c.target, &how)
	}
	if err != nil {
		return c.suggest(err)
	}
	if c.only.printURL {
		found.Measure(ctx, false)
		text = found.FileList()
	} else {
		text = c.describe(found, root)
		root.Close()
	}
	found.Close()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	ui.settle()
	_, err = io.WriteString(ui.out, printable(text))
	return err
}

// describe returns the text of a plan, a line for each fact: its name and the fact. root is on
// the target's file system.
func (c *creation) describe(found *source.Found, root *untar.Root) string {
	text := ""
	add := func(name, fact string) {
		if fact != "" {
			text += (name + "                    ")[:20] + fact + "\n"
		}
	}
	add("target", c.target.Container.Rootfs)
	if found.Image.Reference != "" {
		add("image", found.Image.Reference)
	} else {
		add("image", strings.TrimRight(showImage(found.Image.Name)+" "+found.Image.Build, " "))
	}
	var packed, content int64
	for i := range found.Layers {
		packed, content = addSize(packed, found.Layers[i].Packed), addSize(content, found.Layers[i].Content)
	}
	add("signed by", strings.Join(found.Signers(), " "))
	if found.Cached && !found.Bundled() {
		add("source", "the cache")
	} else {
		add("source", found.URL())
	}
	if n := len(found.Layers); n > 1 {
		add("layers", strconv.Itoa(n))
	}
	add("size", source.ByteCount(packed))
	if found.WillKeep() {
		add("cache", "the download is kept")
	}
	room, _ := root.Room()
	if content >= 0 {
		add("needed room", source.ByteCount(content))
	}
	add("free room", source.ByteCount(room.Bytes)+" on "+root.FileSystem())
	if !c.target.RootfsOnly {
		ranges, _ := lxc.IDMap(c.target.BaseConfig)
		add("mode", string(c.target.Namespace.Mode()))
		add("idmap", mapArguments(ranges))
		add("config", c.only.config)
	}
	if found.Config != nil && !c.target.RootfsOnly {
		add("runs", shellWords(c.process.Arguments(found.Config)))
	}
	flags := c.personal.group(true).flags
	for i := range flags {
		f := &flags[i]
		switch value := f.into.(type) {
		case *string:
			add(f.long, *value)
		case *[]string:
			add(f.long, strings.Join(*value, ", "))
		}
	}
	return text
}

// addSize adds sizes, of which -1 is one that is not known.
func addSize(sum, size int64) int64 {
	if sum < 0 || size < 0 {
		return -1
	}
	return sum + size
}
