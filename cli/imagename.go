package cli

import (
	"errors"
	"os"
	"strings"

	"lxc-pull/cross"
	"lxc-pull/image"
)

// This file reads the names of images on the command line, and suggests names in place of
// those that no list has.

// imageForm is how an image is named in one word.
const imageForm = "DIST[/RELEASE][/ARCH][/VARIANT][@BUILD]"

// readOperands takes the target's name from the operands, unless an option gave it, and then
// the image's name. kind is "container" or "directory".
func (o *imageOptions) readOperands(name *string, operands []string, kind string) error {
	given := *name
	// With --name one operand alone is the image, unless options name that.
	if len(operands) > 1 || len(operands) == 1 && (given == "" || o.dist != "" && !strings.Contains(operands[0], "/")) {
		*name, operands = operands[0], operands[1:]
	}
	switch {
	case *name == "":
		return usageErrorf("the name of the %s is missing", kind)
	case given != "" && given != *name:
		return usageErrorf("the %s has two names, %q and %q", kind, given, *name)
	case given == "" && o.dist == "" && looksLikeImage(*name) && (len(operands) == 0 || kind == "container" && !strings.Contains(operands[0], "/")):
		return usageErrorf("%q is the name of an image, and the name of the %s must come before it: %s %s", *name, kind, strings.Join(append(operands, "NAME")[:1], ""), *name)
	case len(operands) > 1:
		return usageErrorf("unexpected argument %q after the name and the image", operands[1])
	}
	if len(operands) == 1 {
		if err := o.readImage(operands[0]); err != nil {
			return err
		}
	}
	o.loose, o.anyVariant = true, o.variant == ""
	return nil
}

// looksLikeImage reports whether an argument is more likely DIST/RELEASE than the name of a
// container or directory.
func looksLikeImage(arg string) bool {
	dist, _, found := strings.Cut(arg, "/")
	if _, err := os.Stat(dist); !found || err == nil {
		return false
	}
	return image.CheckName(dist) == nil && new(imageOptions).readImage(arg) == nil
}

// readImage parses DIST[/RELEASE][/ARCH][/VARIANT][@BUILD].
func (o *imageOptions) readImage(text string) error {
	name, build, pinned := strings.Cut(text, "@")
	fields := strings.Split(name, "/")
	if len(fields) > 4 || pinned && build == "" {
		return usageErrorf("image %q: not %s", text, imageForm)
	}
	options := []*string{&o.dist, &o.release, &o.arch, &o.variant}
	switch {
	case len(fields) == 2 && isArch(fields[1]):
		options[1] = &o.arch
	case len(fields) == 3 && isArch(fields[1]):
		options = []*string{&o.dist, &o.arch, &o.variant}
	case len(fields) == 3 && !isArch(fields[2]):
		options[2] = &o.variant
	}
	if pinned {
		fields, options = append(fields, build), append(options[:len(fields):len(fields)], &o.build)
	}
	for i, field := range fields {
		if field == "" {
			return usageErrorf("image %q: not %s", text, imageForm)
		}
		if *options[i] != "" && *options[i] != field {
			return usageErrorf("image %q: an option says %q, not %q", text, *options[i], field)
		}
		*options[i] = field
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
	switch {
	case !errors.As(err, &missing) || c.target.Caller != nil:
	case c.target.RootfsOnly:
		missing.Command = "rootfs " + shellWord(c.target.Container.Rootfs)
	default:
		missing.Command = "create " + shellWord(c.target.Container.Name)
	}
	return err
}

// shortName returns the shortest name that means the image on this machine.
func shortName(n *image.Name) string {
	name := n.Dist + "/" + n.Release
	if n.Arch != hostArch() || isArch(n.Variant) {
		name += "/" + n.Arch
	}
	if n.Variant != defaultVariant {
		name += "/" + n.Variant
	}
	return name
}

// nearHint returns the hint that names the most similar images, with the command lines for
// them if the command is known.
func (u *ui) nearHint(e *image.NotFoundError) string {
	hint, title := "", "The nearest:"
	if u.template { // the error is the stock template's phrase, which names nothing
		hint = e.Error() + ". "
	}
	switch {
	case e.Gone != "" && len(e.Near) == 0:
		return "The server is being updated, or is out of date. Try again later, or use another server."
	case e.Gone != "":
		hint = "The server is being updated, or is out of date: try again later, or use another server. "
	case e.Listed != "":
		title = "The build in the list:"
	case len(e.Near) == 0:
		return hint + "See lxc-pull list."
	}
	hint += title
	for i := range e.Near {
		img := &e.Near[i]
		name := img.Name.String() + "  " + img.Build
		switch {
		case e.Command != "" && e.Listed != "":
			name = "lxc-pull " + e.Command + " " + shellWord(shortName(&img.Name)+"@"+img.Build)
		case e.Command != "":
			name = "lxc-pull " + e.Command + " " + shellWord(shortName(&img.Name))
		case e.Gone == "" && e.Listed == "":
			name = img.Name.String()
		}
		hint += "\n  " + name
	}
	return hint
}
