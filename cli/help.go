package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// Help texts are made of a command's usage and example, and of its table of flags. --help
// prints those flags that most people need, on one small screen; "help COMMAND" prints all
// of them.

const helpUsage = `Usage: lxc-pull help [COMMAND]

Explains a command with all its options, or says what commands there are.
"lxc-pull help template" is about lxc-create -t pull.
`

// A helpCall explains the program, or a command.
type helpCall struct{ install bool }

func (c *helpCall) groups() []group {
	return []group{{"", []flag{{long: "install", into: &c.install}, {short: 'h', long: "help"}}}}
}

func (c *helpCall) run(_ context.Context, ui *ui, operands []string) error {
	if c.install {
		operands = append(operands, "--install") // a command whose name looks like an option
	}
	switch {
	case len(operands) > 1:
		return usageErrorf("help explains one command: %q", operands)
	case len(operands) == 1:
		return explain(ui.out, operands[0])
	}
	return printOverview(ui.out)
}

// A missingCall is a call without words: it says what commands there are, and that nothing
// was done.
type missingCall struct{}

func (c *missingCall) groups() []group { return nil }

func (c *missingCall) run(_ context.Context, ui *ui, _ []string) error {
	if err := printOverview(ui.err); err != nil {
		return err
	}
	return &exitError{code: exitUsage}
}

// explain prints a command's help text with all its options.
func explain(w io.Writer, name string) error {
	c := named(name)
	if name == templateName {
		c = template()
	}
	if c.name == "" {
		return usageErrorf("unknown command %q%s", name, didYouMean(name, "", commandNames()))
	}
	return c.printHelp(w, c.new().groups(), true)
}

// printOverview prints what commands there are.
func printOverview(w io.Writer) error {
	var b strings.Builder
	b.WriteString(`Usage: lxc-pull COMMAND ...
       lxc-create -t pull -n NAME -- -d DIST -r RELEASE [-a ARCH]

Makes containers and root file systems from pre-built, signed images.

`)
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-9s  %s\n", c.name, c.summary)
	}
	b.WriteString(`
lxc-pull COMMAND --help says more, lxc-pull help COMMAND has all options.
Example: lxc-pull create web debian/trixie
`)
	_, err := io.WriteString(w, b.String())
	return err
}

// printHelp prints a command's help text: with all flags, or with those alone that fit a
// small screen.
func (c command) printHelp(w io.Writer, groups []group, all bool) error {
	var b strings.Builder
	b.WriteString(c.usage)
	b.WriteString(flagTable(groups, all))
	if n := hiddenFlags(groups); !all && n > 0 {
		fmt.Fprintf(&b, "\n%slxc-pull help %s explains %d more options.\n", c.example, c.name, n)
	} else if c.example != "" {
		b.WriteString("\n" + c.example)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// The columns of a help text.
const (
	helpColumn = 26 // of a flag's explanation
	helpWidth  = 80
)

// flagTable returns a line or more for each flag that is shown.
func flagTable(groups []group, all bool) string {
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

// line returns a flag's line, or lines, in a help text: with all that there is to say of
// it, or less.
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
		help += "; again for more"
	}
	for _, text := range wrap(help, helpWidth-helpColumn) {
		fmt.Fprintf(&b, "%-*s%s\n", helpColumn, left, text)
		left = ""
	}
	return b.String()
}

// hiddenFlags returns how many flags --help does not explain.
func hiddenFlags(groups []group) (n int) {
	for _, f := range flagsOf(groups) {
		if f.help != "" && f.more && f.long != "help" {
			n++
		}
	}
	return n
}

// wrap splits a text into lines of at most width bytes, at blanks.
func wrap(text string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
