package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"

	"lxc-pull/lxc/host"
)

// listContainer prints the tags of a repository, or the images of an archive, and for which
// platforms the image is that which has. For a terminal the tags stand in columns; otherwise
// each is a line, and the platforms go to standard error.
func (o *finderOptions) listContainer(ctx context.Context, ui *ui, which *imageOptions, json bool) error {
	defer ui.settle()
	o.namespace = host.Namespace()
	finder, err := o.openContainer(ctx, ui, which.container, which.arch)
	if err != nil {
		return err
	}
	tags, err := finder.Tags(ctx)
	if err != nil {
		return err
	}
	sortTags(tags)
	platforms, missing := finder.Platforms(ctx)
	if missing != nil && len(tags) == 0 {
		return missing
	}
	ui.settle()
	name := o.registry.name
	if o.registry.image.Archive == "" {
		name = o.registry.image.Reference.String()
	}
	var words []string
	for i := range platforms {
		addTo(&words, platforms[i].Name())
	}
	if json {
		var o jsonObject
		o.text("reference", name)
		o.raw("tags", jsonList(tags))
		o.raw("platforms", jsonList(words))
		return errors.Join(printObjects(ui.out, []jsonObject{o}), missing)
	}
	width := terminalSize(os.Stdout)
	if _, err := io.WriteString(ui.out, tagTable(tags, width)); err != nil || missing != nil {
		return errors.Join(err, missing)
	}
	text := name + " is for " + strings.Join(words, ", ")
	if width > 0 {
		_, err = io.WriteString(ui.out, "\n"+printable(text)+"\n")
	} else if !ui.quiet {
		ui.write("", text)
	}
	return err
}

// sortTags sorts tags: latest, then versions, the newest first, then the others.
func sortTags(tags []string) {
	for i, tag := range tags {
		key := ""
		if tag != "latest" {
			key = newestFirst("", strings.TrimPrefix(tag, "v"))
		}
		tags[i] = key + "\x00" + tag
	}
	slices.Sort(tags)
	for i, key := range tags {
		tags[i] = key[strings.LastIndexByte(key, 0)+1:]
	}
}

// tagTable returns the tags in lines for a terminal of that width, or each on a line for width 0.
func tagTable(tags []string, width int) string {
	lines := tags
	if width > 0 {
		lines = wrap(strings.Join(tags, " "), width)
	}
	return printable(strings.Join(lines, "\n")) + "\n"
}
