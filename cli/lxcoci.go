package cli

import (
	"context"
	"errors"
)

// This file is the template "oci" of LXC, as which the program can be called too (argv[0]
// lxc-oci): the options of LXC's own script of that name, which needs skopeo, umoci and jq.

// ociName is the name of LXC's template for container images.
const ociName = "lxc-oci"

const ociUsage = `Usage: lxc-create -t oci -n NAME -- -u URL [OPTION]...

Makes a container from a container image. URL is as for skopeo:
docker://HOST/NAME, oci:DIR[:TAG], oci-archive:FILE or docker-archive:FILE.
lxc-create itself adds --name, --path, --rootfs, --mapped-uid and --mapped-gid.
`

const ociExample = `Example: lxc-create -t oci -n web -- -u docker://docker.io/library/nginx
`

// An ociCall is one use of the program as the template "oci".
type ociCall struct {
	templateCall
	password string
}

// stockOCI are the options of LXC's script. It takes any unique prefix of them; the others of
// this program must be complete.
const stockOCI = "help url username password no-cache dhcp mount-helper name path rootfs mapped-uid mapped-gid"

func (c *ociCall) groups() []group {
	own := group{"", []flag{
		{short: 'u', long: "url", value: "URL", help: "the container image", into: &c.image.container},
		{long: "password", value: "PASSWORD", help: "as --password-file; lxc-create writes it into the container's config", into: &c.password, more: true},
		{long: "mount-helper", value: "PROGRAM", into: c.refuseHelper},
		{short: 'a', long: "arch", value: "ARCH", help: "architecture (default: this machine's, " + hostArch() + ")", into: &c.image.arch},
	}}
	groups := append([]group{own, c.caller.group()}, c.creation.groups(true)[1:]...) // without the names on image servers
	for _, g := range groups {
		for i := range g.flags {
			f := &g.flags[i]
			f.exact = !among(stockOCI, f.long)
			if among("username password dhcp no-cache", f.long) {
				f.more = false
			}
		}
	}
	return groups
}

func (c *ociCall) refuseHelper(string) error {
	return errors.New("images are unpacked, not mounted: leave the option out")
}

func (c *ociCall) run(ctx context.Context, ui *ui, operands []string) error {
	c.oci = true
	r, url := &c.finder.registry, c.image.container
	if c.password != "" {
		if r.user == "" {
			return &retoldError{"ERROR: password given but no username specified", &usageError{}, false}
		}
		if r.passwordFile != "" {
			return usageErrorf("--password excludes --password-file")
		}
		r.password = c.password
		ui.warnText("secret", "--password: lxc-create writes it into the container's config, and ps shows it to all; use --password-file")
	}
	if url != "" && !isContainer(url) {
		return notContainer("url", url)
	}
	return c.templateCall.run(ctx, ui, operands)
}
