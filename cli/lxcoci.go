package cli

// This file is the template "oci" of LXC, as which the program can be called too (argv[0]
// lxc-oci): the options of LXC's own script of that name, which needs skopeo, umoci and jq.

// ociName is the name of LXC's template for container images.
const ociName = "lxc-oci"

// stockOCI are the options of LXC's script. It takes any unique prefix of them; the others of
// this program must be complete.
const stockOCI = "help url username password no-cache dhcp mount-helper name path rootfs mapped-uid mapped-gid"

// ociGroups returns the flags of lxc-oci: those of the other template without the names on image
// servers.
func (c *templateCall) ociGroups() []*group {
	own := &group{"", []flag{
		{short: 'u', long: "url", value: "URL", help: "the container image", into: &c.image.container},
		{long: "password", value: "PASSWORD", help: "as --password-file; lxc-create writes it into the container's config", into: &c.finder.registry.password},
		{long: "mount-helper", value: "PROGRAM", into: &c.helper},
		c.image.group().flags[2], // --arch
	}}
	groups := append([]*group{own, c.caller.group()}, c.creation.groups(true)[1:]...)
	for _, g := range groups {
		for i := range g.flags {
			f := &g.flags[i]
			f.exact = !among(stockOCI, f.long)
			f.more = f.more && f.exact
			if among("server protocol metadata sha256 allow-host-config", f.long) { // mean nothing for container images
				f.help = ""
			}
		}
	}
	return groups
}

// checkOCI checks the options that only lxc-oci has.
func (c *templateCall) checkOCI(ui *ui) error {
	r, url := &c.finder.registry, c.image.container
	switch {
	case c.helper != "":
		return wrongValue("mount-helper", c.helper, "images are unpacked, not mounted: leave the option out")
	case r.password == "":
	case r.user == "":
		return &retoldError{text: "ERROR: password given but no username specified", err: &usageError{}, setting: false}
	case r.passwordFile != "":
		return usageErrorf("--password excludes --password-file")
	default:
		ui.warnText("secret", "--password: lxc-create writes it into the container's config, and ps shows it to all; use --password-file")
	}
	if url != "" && !isContainer(url) {
		return refuse(url, true)
	}
	return nil
}
