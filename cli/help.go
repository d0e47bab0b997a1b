package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// A help text consists of a command's usage, its table of flags and its example. --help
// prints the flags that most people need, so that the text fits a small screen; "help
// COMMAND" prints all flags.

// A helpCall is one use of "help".
type helpCall struct{ install bool }

func (c *helpCall) groups() []*group {
	return []*group{{"", []flag{{long: "install", into: &c.install}, {short: 'h', long: "help"}}}}
}

func (c *helpCall) run(_ context.Context, ui *ui, operands []string) error {
	if c.install {
		operands = append(operands, "--install") // the one command that looks like an option
	}
	switch {
	case len(operands) > 1:
		return unexpected(operands)
	case len(operands) == 1:
		return explain(ui.out, operands[0])
	}
	return printOverview(ui.out)
}

// A missingCall is a call without arguments. It prints the overview, and fails because
// nothing was done.
type missingCall struct{}

func (c *missingCall) groups() []*group { return nil }

func (c *missingCall) run(_ context.Context, ui *ui, _ []string) error {
	if err := printOverview(ui.err); err != nil {
		return err
	}
	return &silentError{usage: true}
}

// explain prints the help text of the command with that name, with all flags.
func explain(w io.Writer, name string) error {
	c := named(name)
	if among("template lxc-oci lxc-local", name) {
		c = template(name)
	}
	if c.name != "" {
		return c.printHelp(w, c.call.groups(), true)
	}
	text, err := codeText(name)
	switch {
	case err != nil:
	case text == "":
		err = usageErrorf("unknown command %q%s", name, didYouMean(name, "", commandNames()))
	default:
		_, err = io.WriteString(w, text)
	}
	return err
}

// printOverview prints the list of commands.
func printOverview(w io.Writer) error {
	var b strings.Builder
	b.WriteString(`Usage: lxc-pull COMMAND ...
       lxc-create -t pull -n NAME -- -d DIST -r RELEASE [-a ARCH]

Makes containers and root file systems from pre-built, signed images.

`)
	var rare []string
	for _, c := range commands() {
		if c.rare {
			addTo(&rare, c.name)
			continue
		}
		fmt.Fprintf(&b, "  %-9s  %s\n", c.name, c.summary)
	}
	b.WriteString("  also: " + strings.Join(rare, ", ") + "\n")
	b.WriteString(`
"lxc-pull COMMAND --help" says more, "lxc-pull help COMMAND" has all options.
Example: lxc-pull create web debian/trixie
`)
	_, err := io.WriteString(w, b.String())
	return err
}

// printHelp prints a command's help text. If all is true, the text has all flags.
func (c *command) printHelp(w io.Writer, groups []*group, all bool) error {
	usage, example := c.usage()
	if !all && hasHidden(groups) {
		example += "lxc-pull help " + c.name + " explains more options.\n"
	}
	if example != "" {
		example = "\n" + example
	}
	_, err := io.WriteString(w, usage+flagTable(groups, all)+example)
	return err
}

// usage returns the beginning of the command's help text, and its end, "" if there is none: the
// two parts of the file NAME.usage in the directory "text". If the texts are damaged, both are
// "", and the options are better than no help.
func (c *command) usage() (usage, example string) {
	text, _ := textOf(packedTexts, strings.TrimLeft(c.name, "-")+".usage")
	usage, example, _ = strings.Cut(text, "---\n")
	return usage, example
}

// The columns of a help text.
const (
	helpColumn = 26 // where the explanation of a flag begins
	helpWidth  = 80
)

// flagTable returns the lines of the flags in groups. If all is true, all flags have lines,
// under the titles of their groups.
func flagTable(groups []*group, all bool) string {
	var b strings.Builder
	for _, g := range groups {
		title := g.title
		for _, f := range g.flags {
			if f.help == "" || f.more && !all {
				continue
			}
			if b.Len() == 0 || all && title != "" {
				b.WriteString("\n")
			}
			if all && title != "" {
				b.WriteString(title + ":\n")
			}
			title = ""
			b.WriteString(f.line(all))
		}
	}
	return b.String()
}

// line returns the lines of a flag in a help text. If all is true, they say that the flag
// may be repeated.
func (f *flag) line(all bool) string {
	left := "      "
	if f.short != 0 {
		left = "  -" + string(f.short)
		if f.long != "" {
			left += ", "
		}
	}
	if f.long != "" {
		left += "--" + f.long
	}
	if f.value != "" {
		left += " " + f.value
	}
	var b strings.Builder
	if len(left) > helpColumn-2 {
		b.WriteString(left + "\n")
		left = ""
	}
	help := f.help
	if all && f.again {
		help += "; may be repeated"
	}
	for _, text := range wrap(help, helpWidth-helpColumn) {
		fmt.Fprintf(&b, "%-*s%s\n", helpColumn, left, text)
		left = ""
	}
	return b.String()
}

// hasHidden reports whether "help COMMAND" shows flags that --help does not.
func hasHidden(groups []*group) bool {
	for _, f := range flagsOf(groups) {
		if f.help != "" && f.more && f.long != "help" {
			return true
		}
	}
	return false
}

// wrap splits a text into lines of at most width bytes, at blanks.
func wrap(text string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			addTo(&lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
