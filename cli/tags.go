package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"lxc-pull/image"
	"lxc-pull/lxc/host"
)

// listContainer prints the tags of a repository, or the images of an archive, and for which
// platforms the image is that which has. For a terminal the tags stand in columns; otherwise
// each is a line, and the platforms go to standard error.
func (o *finderOptions) listContainer(ctx context.Context, ui *ui, which *imageOptions, json bool) error {
	defer ui.settle()
	o.namespace, o.owner, o.readOnly = host.Namespace(), unchanged(), true
	err := untilDone(ctx, func() error { return o.useContainer(ui, which.container, which.arch) })
	if err != nil {
		return err
	}
	finder, err := o.open(ctx, ui, false)
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
	name := o.containerName()
	if json {
		return errors.Join(printObjects(ui.out, []jsonObject{tagsObject(name, tags, platforms)}), missing)
	}
	width := terminalSize(os.Stdout)
	if _, err := io.WriteString(ui.out, tagTable(tags, width)); err != nil || missing != nil {
		return errors.Join(err, missing)
	}
	words := ""
	for i := range platforms {
		words += ", " + platformName(&platforms[i])
	}
	text := name + " is for " + strings.TrimPrefix(words, ", ")
	if width > 0 {
		_, err = io.WriteString(ui.out, "\n"+printable(text)+"\n")
	} else if !ui.quiet {
		ui.write("", text)
	}
	return err
}

// containerName returns the complete name of the container image that is wanted.
func (o *finderOptions) containerName() string {
	if c := o.registry.image; c.Archive == "" {
		return c.Reference.String()
	}
	return o.registry.name
}

// platformName returns OS/ARCH or OS/ARCH/VARIANT.
func platformName(p *image.Platform) string {
	name := p.OS + "/" + p.Arch
	if p.Variant != "" {
		name += "/" + p.Variant
	}
	return name
}

// sortTags sorts tags: latest, then versions, the newest first, then the others.
func sortTags(tags []string) {
	keys := make([]string, len(tags))
	for i, tag := range tags {
		version := strings.TrimPrefix(tag, "v")
		switch {
		case tag == "latest":
			keys[i] = "0"
		case version != "" && version[0] >= '0' && version[0] <= '9':
			key := []byte(image.ReleaseKey("", version) + "\x00")
			for n := range key {
				key[n] ^= 0xff // sorts descending
			}
			keys[i] = "1" + string(key)
		default:
			keys[i] = "2" + tag
		}
	}
	unsorted := append([]string(nil), tags...)
	for to, from := range image.Order(keys) {
		tags[to] = unsorted[from]
	}
}

// tagTable returns the tags in columns, row by row, for a terminal of that width, or each on a
// line for width 0.
func tagTable(tags []string, width int) string {
	wide := 1
	for _, tag := range tags {
		wide = max(wide, len(tag)+2)
	}
	var b strings.Builder
	perLine := max(1, (width+2)/wide)
	for i, tag := range tags {
		tag = printable(tag)
		b.WriteString(tag)
		if (i+1)%perLine == 0 || i == len(tags)-1 {
			b.WriteByte('\n')
		} else {
			b.WriteString(strings.Repeat(" ", max(1, wide-len(tag))))
		}
	}
	return b.String()
}

// tagsObject returns the JSON of a list.
func tagsObject(name string, tags []string, platforms []image.Platform) (o jsonObject) {
	list := ""
	for _, tag := range tags {
		list += ", " + jsonString(tag)
	}
	o.text("reference", name)
	o.raw("tags", "["+strings.TrimPrefix(list, ", ")+"]")
	list = ""
	for i := range platforms {
		list += ", " + jsonString(platformName(&platforms[i]))
	}
	o.raw("platforms", "["+strings.TrimPrefix(list, ", ")+"]")
	return o
}
