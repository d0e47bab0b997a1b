package cli

import (
	"context"
	"io"
	"path"
)

// This file is fetch --oci, which writes a container image as an OCI archive: a tar archive of an
// OCI layout, as "skopeo copy docker://NAME oci-archive:FILE" makes it. FILE.part is renamed when
// it is complete, as for a download, but a later call can't continue it.

// An ociOptions is what fetch --oci takes besides the options of every download.
type ociOptions struct {
	image   imageOptions
	servers serverOptions
	trust   trustOptions

	registry registryOptions
}

// groups returns the flags.
func (o *ociOptions) groups() []group {
	logins, second := o.registry.group()
	trust := o.trust.group()
	some := []flag{
		{long: "oci", value: "IMAGE", help: "write a container image, such as docker:nginx, as an OCI archive to the file of -o", into: &o.image.container},
		{short: 'a', long: "arch", value: "ARCH", help: "its architecture (default: this machine's, " + hostArch() + ")", into: &o.image.arch, exact: true, more: true},
		{long: "mirror", value: "HOST", help: "ask this mirror of the registry first: HOST[:PORT][/PREFIX]", into: &o.servers.mirrors, again: true, exact: true, more: true},
	}
	for i := range trust.flags {
		if f := &trust.flags[i]; among("keyring keyid no-validate require-signature", f.long) {
			some = append(some, *f)
		}
	}
	return []group{{"Container images", append(some, logins...)}, {flags: second}}
}

// checkOCI checks the options of fetch --oci.
func (c *fetchCall) checkOCI(operands []string) error {
	switch {
	case len(operands) == 1 && isContainer(operands[0]) && c.oci.image.container == "":
		return usageErrorf("a container image needs --oci: --oci %s -o FILE", operands[0])
	case c.oci.image.container == "":
		return nil
	case len(operands) > 0:
		return unexpected(operands)
	case !isContainer(c.oci.image.container):
		meaning := unclear(c.oci.image.container)
		if meaning == "" {
			meaning = "did you mean docker:" + c.oci.image.container + "?"
		}
		shown, _ := showName(c.oci.image.container)
		return usageErrorf("--oci %q: %s", shown, meaning)
	case c.output == "":
		return usageErrorf("--oci needs -o FILE")
	case c.output == "-" && c.ui.events != nil && c.ui.events.fd == 1:
		return usageErrorf("-o - and the events can't both go to standard output")
	case c.digest != nil || c.html:
		return usageErrorf("--sha256 and --html are for files; a digest is part of an image's name: NAME@sha256:HEX")
	}
	return c.oci.image.check()
}

// saveOCI writes the archive.
func (c *fetchCall) saveOCI(ctx context.Context) error {
	finder := &finderOptions{
		servers: c.oci.servers, trust: c.oci.trust, network: c.network, registry: c.oci.registry, owner: unchanged(), readOnly: true,
	}
	err := untilDone(ctx, func() error { return finder.useContainer(c.ui, c.oci.image.container, c.oci.image.arch) })
	if err != nil {
		return err
	}
	find, err := finder.open(ctx, c.ui, false)
	if err != nil {
		return err
	}
	c.urls = []string{finder.containerName()}
	save := func(w io.Writer) error {
		c.ui.events.phase("Downloading the image")
		progress := c.ui.beginAt(path.Base(c.output), 0, -1)
		defer progress.Close()
		return find.SaveArchive(ctx, io.MultiWriter(w, progress))
	}
	if c.output == "-" {
		return untilDone(ctx, func() error { return save(c.ui.out) })
	}
	out, err := openOutput(c.output)
	if err != nil {
		return err
	}
	defer out.close()
	done := false
	err = untilDone(ctx, func() error {
		target, err := out.target()
		if err != nil {
			return nil // as in streamToDevice
		}
		defer target.close()
		f, err := target.openDevice(ctx)
		if f == nil {
			return err
		}
		defer f.Close()
		done = true
		return save(f)
	})
	if err != nil || done {
		return err
	}
	d := &download{call: c, out: out}
	return d.write(func() error {
		if err := d.drop(); err != nil {
			return err
		}
		return save(d.part)
	})
}
