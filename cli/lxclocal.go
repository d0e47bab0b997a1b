package cli

import (
	"strings"

	"lxc-pull/image"
	"lxc-pull/pull/source"
)

// This file is the template "local" of LXC, as which the program can be called too (argv[0]
// lxc-local): it takes a root file system and its metadata from files of this machine. The options
// are those of LXC 7.0's script. That script gives --no-dev an argument by mistake, and reads
// metadata by the rules of an older level than its other templates; this program does neither.

// localName is the name of LXC's template for files of this machine.
const localName = "lxc-local"

// stockLocal are the options of LXC's script. It takes any unique prefix of them; the others of
// this program must be complete.
const stockLocal = "help metadata fstree no-dev name path rootfs mapped-uid mapped-gid"

// localOptions are the options that only lxc-local has.
type localOptions struct {
	_              uncomparable
	metadata, tree string // paths; "": not given
	digest         string // of the tree, as hexadecimal digits; "": not given
	noDev          bool
}

// localGroups returns the flags of lxc-local: those of the other template that make sense for a
// file of this machine.
func (c *templateCall) localGroups() []*group {
	o := c.local
	own := &group{"", []flag{
		{short: 'm', long: "metadata", value: "FILE", help: "the metadata, meta.tar.xz; without it nothing is added to the container's config but its name", into: &o.metadata},
		{short: 'f', long: "fstree", value: "FILE", help: "the root file system, rootfs.tar.xz", into: &o.tree},
		{long: "no-dev", help: "leave out what is in /dev", into: &o.noDev},
		{long: "sha256", value: "HEX", help: "the SHA-256 that the root file system must have", into: &o.digest, exact: true},
	}}
	groups := []*group{own, c.caller.group(), c.finder.trust.group(), c.unpack.group(), commonFlags(), {flags: []flag{progressFlag()}}}
	for _, g := range groups {
		for i := range g.flags {
			f := &g.flags[i]
			f.exact = !among(stockLocal, f.long)
			if among("keyserver standard-resolver allow-older", f.long) { // mean nothing here
				f.help = ""
			}
		}
	}
	return groups
}

// dropEmptyArgument removes the empty argument that LXC's own lxc-local needs after --no-dev.
func dropEmptyArgument(args []string) (rest []string) {
	for i := 0; i < len(args); i++ {
		word, value, given := strings.Cut(args[i], "=")
		if word == "--" {
			return append(rest, args[i:]...)
		}
		if strings.HasPrefix(word, "--no-d") && strings.HasPrefix("--no-dev", word) && (!given || value == "") {
			addTo(&rest, word)
			if !given && i+1 < len(args) && args[i+1] == "" {
				i++
			}
			continue
		}
		addTo(&rest, args[i])
	}
	return rest
}

// useLocal makes the files that the options name the image.
func (c *templateCall) useLocal(ui *ui) error {
	o := c.local
	if o.tree == "" {
		return &retoldError{text: "ERROR: Rootfs file was not passed", err: &usageError{}, setting: false}
	}
	file := &source.File{Path: o.tree, Metadata: o.metadata, Stock: true, RequireSignature: c.finder.trust.requireSignature}
	if o.digest != "" {
		digest, err := image.ParseDigest("sha256:" + strings.ToLower(o.digest))
		if err != nil {
			return wrongValue("sha256", o.digest, "not 64 hexadecimal digits")
		}
		file.SHA256 = digest
	}
	if o.metadata == "" {
		ui.listener().Say("Metadata file was not passed")
	}
	if o.noDev {
		c.exclude = []string{"./dev/*"}
	}
	c.finder.wanted.File = file
	return nil
}
