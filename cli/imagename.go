package cli

import (
	"errors"
	"os"
	"slices"
	"strings"

	"lxc-pull/cross"
	"lxc-pull/image"
)

// This file reads the names of images on the command line, and suggests names in place of
// those that no list has.

// imageForm is how an image is named in one word.
const imageForm = "DIST[/RELEASE][/ARCH][/VARIANT][@BUILD]"

// distributions are those for which image servers have images.
const distributions = "almalinux alpine alt amazonlinux archlinux busybox centos debian devuan fedora gentoo kali mint nixos openeuler opensuse openwrt oracle rockylinux slackware ubuntu voidlinux"

// readOperands takes the target's name from the operands, unless an option gave it, and then
// the image's name. kind is "container" or "directory".
func (o *imageOptions) readOperands(name *string, operands []string, kind string) error {
	given, own := *name, *name
	// With --name one operand alone is the image, unless options name that.
	if len(operands) > 1 || len(operands) == 1 && (given == "" || o.dist != "" && !strings.Contains(operands[0], "/")) {
		own, operands = operands[0], operands[1:]
	}
	*name = own
	dist, _, _ := strings.Cut(own, "/")
	switch {
	case own == "":
		return usageErrorf("the name of the %s is missing", kind)
	case given == "" && o.dist == "" && (looksLikeImage(own) || kind == "container" && isPath(own)) && (len(operands) == 0 || isElsewhere(own) || isPath(own) || dist != own && kind == "container" && among(distributions, dist) && image.CheckName(operands[0]) == nil):
		other := "NAME"
		if len(operands) > 0 {
			other = operands[0]
		}
		return usageErrorf("%q is the name of an image, and the name of the %s must come before it: %s %s", own, kind, other, own)
	case given != "" && given != own:
		return usageErrorf("the %s has two names, %q and %q", kind, given, own)
	case len(operands) > 1:
		if isElsewhere(operands[0]) || isElsewhere(operands[1]) || isPath(operands[0]) || isPath(operands[1]) {
			return unexpected(operands)
		}
		return usageErrorf("unexpected argument %q; did you mean the image %q?", operands[1], operands[0]+"/"+operands[1])
	}
	if len(operands) == 1 {
		if err := o.readImage(operands[0]); err != nil {
			return err
		}
	}
	o.loose, o.anyVariant = true, o.variant == ""
	return nil
}

// looksLikeImage reports whether an argument is more likely DIST/RELEASE, or a distribution,
// than the name of a container or directory.
func looksLikeImage(arg string) bool {
	if isElsewhere(arg) {
		return true
	}
	dist, _, found := strings.Cut(arg, "/")
	if _, err := os.Stat(dist); !found && !among(distributions, dist) || err == nil {
		return false
	}
	return image.CheckName(dist) == nil && new(imageOptions).readImage(arg) == nil
}

// readImage parses DIST[/RELEASE][/ARCH][/VARIANT][@BUILD], or takes the name of an image of
// another source.
func (o *imageOptions) readImage(text string) error {
	if isContainer(text) {
		o.container = text
		return nil
	}
	if named, err := readSource(text, o.streams); err != nil {
		return err
	} else if named != nil {
		return o.takeSource(named)
	}
	if err := refuse(text, false); err != nil {
		return err
	}
	name, build, pinned := strings.Cut(text, "@")
	fields := strings.Split(name, "/")
	if len(fields) > 4 || slices.Contains(fields, "") || pinned && build == "" {
		return usageErrorf("image %q: not "+imageForm, text)
	}
	parts := [...]string{4: build} // "": left out
	copy(parts[:], fields)
	switch n := len(fields); {
	case n < 4 && isArch(parts[1]): // the release is left out
		parts[1], parts[2], parts[3] = "", parts[1], parts[2]
	case n == 3 && !isArch(parts[2]) && image.Distance(parts[2], hostArch()) > 1: // the architecture is left out
		parts[2], parts[3] = "", parts[2]
	}
	for i, option := range []*string{&o.dist, &o.release, &o.arch, &o.variant, &o.build} {
		if part := parts[i]; part != "" {
			if *option != "" && *option != part {
				return usageErrorf("image %q: an option says %q, not %q", text, *option, part)
			}
			*option = part
		}
	}
	if o.release == "" {
		o.release = image.Latest
	}
	return nil
}

// isArch reports whether a word is the name of an architecture.
func isArch(word string) bool { return len(cross.Spellings(word)) > 1 || cross.LXCKnows(word) }

// suggest adds the command to an error that says that there is no such image.
func (c *creation) suggest(err error) error {
	var missing *image.NotFoundError
	if errors.As(err, &missing) && c.target.Caller == nil {
		missing.Command = "create " + shellWord(c.target.Container.Name)
		if c.target.RootfsOnly {
			missing.Command = "rootfs " + shellWord(c.target.Container.Rootfs)
		}
	}
	return err
}

// shortName returns the shortest name that means the image on this machine; arch says that it
// has the architecture in any case.
func shortName(n *image.Name, arch bool) string {
	name := n.Dist
	if n.Release != "" {
		name += "/" + n.Release
	}
	if arch || n.Arch != hostArch() || isArch(n.Variant) {
		name += "/" + n.Arch
	}
	if n.Variant != defaultVariant {
		name += "/" + n.Variant
	}
	return name
}

// nearHint returns the hint that names the most similar image, with the command line for it if
// the command is known. With -v it has more images, one on each line.
func (u *ui) nearHint(e *image.NotFoundError) string {
	hint, title := "", "The nearest: "
	if u.isTemplate() { // the error is the stock template's phrase, which names nothing
		hint = e.Error() + ". "
	}
	switch {
	case e.Gone != "" && len(e.Near) == 0:
		return "The server is being updated, or is out of date. Try again later, or use another server."
	case e.Gone != "":
		hint = "The server is being updated, or is out of date: try again later, or use another server. "
	case e.Listed != "":
		title = "The build in the list: "
	case len(e.Near) == 0:
		return hint + "See lxc-pull list."
	case e.OtherArch:
		title = "For another architecture: "
	case e.Command != "":
		title = "Try: "
	}
	hint += title
	for i := range e.Near {
		img := &e.Near[i]
		name := img.Name.String()
		if e.Command != "" || img.Release == "" {
			name = shortName(&img.Name, e.OtherArch)
		}
		if e.Listed != "" {
			name += "@" + img.Build
		}
		if e.Command != "" {
			name = "lxc-pull " + e.Command + " " + shellWord(name)
		}
		if i > 0 && !u.verbose {
			return hint + "   (more: lxc-pull list " + shellWord(e.Near[0].Dist) + ")"
		}
		if i > 0 {
			hint += "\n  "
		}
		hint += name
	}
	return hint
}
