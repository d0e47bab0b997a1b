package cli

import (
	"context"
	"io"
)

// This file is fetch --oci, which writes a container image as an OCI archive: a tar archive of an
// OCI layout, as "skopeo copy docker://NAME oci-archive:FILE" makes it. FILE.part is renamed when
// it is complete, as for a download, but a later call can't continue it.

// ociGroups returns the flags of fetch --oci.
func (c *fetchCall) ociGroups() []*group {
	own := []flag{
		{long: "oci", value: "IMAGE", help: "write a container image, such as docker:nginx, as an OCI archive to the file of -o", into: &c.image.container},
		c.image.group().flags[2], // --arch
	}
	own[1].exact, own[1].more = true, true
	return []*group{{"Container images", append(own, c.finder.registry.flags()...)}, {flags: c.finder.servers.group().flags[1:]}, c.finder.trust.group()}
}

// saveOCI does the work of --oci.
func (c *fetchCall) saveOCI(ctx context.Context, operands []string) error {
	name := c.image.container
	switch {
	case len(operands) > 0:
		return unexpected(operands)
	case !isContainer(name):
		return refuse(name, true)
	case c.output == "":
		return usageErrorf("--oci needs -o FILE")
	case c.digest != nil || c.html:
		return usageErrorf("--sha256 and --html are for files; a digest is part of an image's name: NAME@sha256:HEX")
	}
	c.urls = []string{name}
	finder, err := c.finder.openContainer(ctx, c.ui, name, c.image.arch)
	if err != nil {
		return err
	}
	c.early = true
	c.save = func(ctx context.Context, w io.Writer) error {
		text := "Downloading the image"
		if c.finder.registry.image.Archive != "" {
			text = "Reading the image"
		}
		c.ui.events.phase(text)
		progress := c.ui.begin(name, -1)
		err := finder.SaveArchive(ctx, io.MultiWriter(w, progress))
		progress.Close()
		return err
	}
	return c.write(ctx, nil)
}
