package cli

import (
	"context"
	"io"
)

// This file is fetch --oci, which writes a container image as an OCI archive: a tar archive of an
// OCI layout, as "skopeo copy docker://NAME oci-archive:FILE" makes it. FILE.part is renamed when
// it is complete, as for a download, but a later call can't continue it.

// ociGroups returns the flags of fetch --oci.
func (c *fetchCall) ociGroups() []group {
	logins, second := c.finder.registry.group()
	own := []flag{
		{long: "oci", value: "IMAGE", help: "write a container image, such as docker:nginx, as an OCI archive to the file of -o", into: &c.image.container},
		{short: 'a', long: "arch", value: "ARCH", help: "its architecture (default: this machine's, " + hostArch() + ")", into: &c.image.arch, exact: true, more: true},
	}
	return []group{{"Container images", append(own, logins...)}, {flags: c.finder.servers.group().flags[1:]}, c.finder.trust.group(), {flags: second}}
}

// saveOCI writes the archive.
func (c *fetchCall) saveOCI(ctx context.Context, operands []string) error {
	name := c.image.container
	switch {
	case len(operands) > 0:
		return unexpected(operands)
	case !isContainer(name):
		return notContainer("oci", name)
	case c.output == "":
		return usageErrorf("--oci needs -o FILE")
	case c.output == "-" && c.ui.events != nil && c.ui.events.fd == 1:
		return errTwoOutputs
	case c.digest != nil || c.html:
		return usageErrorf("--sha256 and --html are for files; a digest is part of an image's name: NAME@sha256:HEX")
	}
	c.finder.network, c.finder.owner, c.finder.readOnly, c.urls = c.network, unchanged(), true, []string{name}
	err := untilDone(ctx, func() error { return c.finder.useContainer(c.ui, name, c.image.arch) })
	if err != nil {
		return err
	}
	finder, err := c.finder.open(ctx, c.ui, false)
	if err != nil {
		return err
	}
	c.save = func(w io.Writer) error {
		c.ui.events.phase("Downloading the image")
		progress := c.ui.beginAt(name, 0, -1)
		defer progress.Close()
		return finder.SaveArchive(ctx, io.MultiWriter(w, progress))
	}
	return c.write(ctx, nil)
}

// notContainer returns the error for an option's value that does not name a container image.
func notContainer(option, name string) error {
	shown, _ := showName(name)
	meaning := unclear(name)
	if meaning == "" {
		meaning = "did you mean docker:" + shown + "?"
	}
	return wrongValue(option, shown, meaning)
}
