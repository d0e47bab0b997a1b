package cli

import (
	"context"
	"io"

	"lxc-pull/image"
	"lxc-pull/lxc/host"
	"lxc-pull/pull/source"
)

const listUsage = `Usage: lxc-pull list [OPTION]...

Lists the images of a server, or only those that match the options.
`

// A listCall is one use of "list".
type listCall struct {
	image  imageOptions
	finder finderOptions
	json   bool
}

func (c *listCall) groups() []group {
	own := group{"", []flag{
		{long: "json", help: "print JSON", into: &c.json, exact: true},
		{long: "no-cache", into: &c.finder.cache.noCache, exact: true}, // accepted: "list" reads no image from the cache
	}}
	return []group{own, c.image.filters(), c.finder.servers.group(), c.finder.trust.group(), c.finder.network.group(), commonFlags()}
}

func (c *listCall) run(ctx context.Context, ui *ui, operands []string) error {
	if len(operands) > 0 {
		return usageErrorf("list takes no names: %q", operands)
	}
	if err := c.image.check(); err != nil {
		return err
	}
	c.finder.namespace = host.Namespace()
	index, err := c.finder.list(ctx, ui)
	if err != nil {
		return err
	}
	images := index.Select(c.image.query())
	if c.json {
		if err := printJSON(ui.out, images); err != nil {
			return err
		}
	}
	if len(images) == 0 && len(index.Images) > 0 {
		if _, err := index.Find(c.image.query()); err != nil { // it names the nearest images
			return err
		}
	}
	if c.json {
		return nil
	}
	return printTable(ui.out, images)
}

// list returns the list of a server.
func (o *finderOptions) list(ctx context.Context, ui *ui) (image.Index, error) {
	defer ui.settle()
	o.owner = unchanged()
	finder, err := getUntilDone(ctx, func() (*source.Finder, error) { return o.open(ui, false) })
	if err != nil {
		return image.Index{}, err
	}
	return finder.List(ctx)
}

// listTemplate prints the template's --list as the stock template does. Like the stock template,
// it lists only the default variant unless the user names another.
func listTemplate(ctx context.Context, ui *ui, finder finderOptions, which imageOptions) error {
	index, err := finder.list(ctx, ui)
	if err != nil {
		return err
	}
	return printImages(ui, index.Select(which.query()))
}

// printImages prints images as the stock template does.
func printImages(ui *ui, images []image.Image) error {
	if _, err := io.WriteString(ui.out, "\n---\n"); err != nil {
		return err
	}
	if err := printTable(ui.out, images); err != nil {
		return err
	}
	_, err := io.WriteString(ui.out, "---\n")
	return err
}

// printTable prints images in columns, a line for each.
func printTable(w io.Writer, images []image.Image) error {
	rows := [][]string{{"DIST", "RELEASE", "ARCH", "VARIANT", "BUILD"}}
	for _, i := range images {
		rows = append(rows, []string{printable(i.Dist), printable(i.Release), printable(i.Arch), printable(i.Variant), printable(i.Build)})
	}
	_, err := io.WriteString(w, columns(rows, false))
	return err
}

// printJSON prints images as a JSON array of objects.
func printJSON(w io.Writer, images []image.Image) error {
	var objects []jsonObject
	for _, i := range images {
		o := nameObject(i.Name, i.Build)
		o.text("path", i.Path)
		objects = append(objects, o)
	}
	return printObjects(w, objects)
}
