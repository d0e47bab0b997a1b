package cli

import (
	"bytes"
	testflag "flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = testflag.Bool("update", false, "write the generated part of the manual page anew")

// The manual page has every command and every option, from the tables from which the help
// texts are printed. "go test ./cli -run Manual -update" writes that part anew.
func TestManual(t *testing.T) {
	const name = "../scripts/packaging/lxc-pull.1"
	const begin, end = ".\\\" options begin: go test ./cli -run Manual -update\n", ".\\\" options end\n"
	page, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := bytes.Cut(page, []byte(begin))
	old, after, ended := bytes.Cut(rest, []byte(end))
	if !found || !ended {
		t.Fatalf("%s has no lines %q and %q", name, begin, end)
	}
	want := manualCommands() + manualOptions()
	if string(old) == want {
		return
	}
	if !*update {
		t.Fatalf("%s is not as the tables of flags have it: run go test ./cli -run Manual -update", name)
	}
	if err := os.WriteFile(name, slices.Concat(before, []byte(begin+want+end), after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// manualCommands returns the section about commands: for each its summary and what its help
// text says before the options.
func manualCommands() string {
	var b strings.Builder
	b.WriteString(".SH COMMANDS\n")
	for _, c := range append(commands(), template()) {
		if c.summary != "" {
			fmt.Fprintf(&b, ".SS %s \\- %s\n.nf\n", roff(c.name), roff(c.summary))
		} else {
			fmt.Fprintf(&b, ".SS %s\n.nf\n", roff("lxc-create -t pull"))
		}
		for line := range strings.Lines(c.usage) {
			b.WriteString(roff(strings.TrimRight(line, "\n")) + "\n")
		}
		b.WriteString(".fi\n")
	}
	return b.String()
}

// manualOptions returns the section about options: those of single commands, then the
// groups that several commands take.
func manualOptions() string {
	uses := map[string][]string{} // the commands that take a group, by the group's title
	all := append([]command{template()}, commands()...)
	for _, c := range all {
		for _, g := range c.call.groups() {
			uses[g.title] = append(uses[g.title], c.name)
		}
	}
	own := func(g group) bool { return g.title == "" || len(uses[g.title]) == 1 }
	var b strings.Builder
	b.WriteString(".SH OPTIONS\nEach command takes its own options and those of the groups that are named with it.\n")
	var shared []group
	for _, c := range all {
		var names []string
		text := ""
		for _, g := range c.call.groups() {
			if own(g) {
				text += manualFlags(g)
				continue
			}
			names = append(names, g.title)
			if !slices.ContainsFunc(shared, func(s group) bool { return s.title == g.title }) {
				shared = append(shared, g)
			}
		}
		if text == "" && names == nil {
			continue
		}
		fmt.Fprintf(&b, ".SS %s\n", roff(c.name))
		if names != nil {
			fmt.Fprintf(&b, "Groups: %s.\n", roff(strings.Join(names, ", ")))
		}
		b.WriteString(text)
	}
	for _, g := range shared {
		fmt.Fprintf(&b, ".SS \"Group: %s\"\n%s", roff(g.title), manualFlags(g))
	}
	return b.String()
}

// manualFlags returns the lines of a group's flags.
func manualFlags(g group) string {
	var b strings.Builder
	for _, f := range g.flags {
		if f.help == "" {
			continue
		}
		var names []string
		if f.short != 0 {
			names = append(names, "\\fB\\-"+string(f.short)+"\\fR")
		}
		if f.long != "" {
			names = append(names, "\\fB"+roff("--"+f.long)+"\\fR")
		}
		left := strings.Join(names, ", ")
		if f.value != "" {
			left += " \\fI" + roff(f.value) + "\\fR"
		}
		help := strings.ReplaceAll(f.help, ", "+hostArch()+")", ")") // the page is for all machines
		if f.again {
			help += "; may be repeated"
		}
		fmt.Fprintf(&b, ".TP\n%s\n%s\n", left, roff(help))
	}
	return b.String()
}

// roff escapes a text for man(7).
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}
