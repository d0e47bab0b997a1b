package cli

import (
	testflag "flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = testflag.Bool("update", false, "write the generated parts of the manual pages anew")

// manualDir has the manual pages: lxc-pull(1), a page for each command, and lxc-pull.conf(5).
const manualDir = "../scripts/packaging/man"

// The manual pages have every command, option and setting, from the tables from which the
// help texts are printed. "go test ./cli -run Manual -update" writes these parts anew, and
// begins pages for new commands. A part stands between two lines
//
//	.\" begin NAME
//	.\" end NAME
//
// and the rest of a page is written by hand.
func TestManual(t *testing.T) {
	pages := map[string]map[string]string{
		"lxc-pull.1":      {"commands": manualCommands()},
		"lxc-pull.conf.5": {"settings": manualSettings()},
	}
	for _, c := range manualed() {
		pages[manualName(c)+".1"] = map[string]string{"head": manualHead(c), "options": manualOptions(c), "examples": manualExamples(c)}
	}
	for page, parts := range pages {
		checkPage(t, filepath.Join(manualDir, page), parts)
	}
	files, err := filepath.Glob(manualDir + "/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if pages[filepath.Base(file)] == nil {
			t.Errorf("%s is of no command: remove it", file)
		}
	}
}

// newPage is how the page of a new command begins. What its help does not say can be
// written around the parts later.
const newPage = `.\" The parts between the comments "begin" and "end" are written by
.\"     go test ./cli -run Manual -update
.\" begin head
.\" end head
.\" begin options
.\" end options
.\" begin examples
.\" end examples
.SH "SEE ALSO"
.BR lxc\-pull (1),
.BR lxc\-pull.conf (5)
`

// checkPage compares the parts of a page, or writes them with -update.
func checkPage(t *testing.T, file string, parts map[string]string) {
	old, err := os.ReadFile(file)
	text := string(old)
	if os.IsNotExist(err) {
		text = newPage
	} else if err != nil {
		t.Fatal(err)
	}
	for name, want := range parts {
		begin, end := `.\" begin `+name+"\n", `.\" end `+name+"\n"
		before, rest, found := strings.Cut(text, begin)
		_, after, ended := strings.Cut(rest, end)
		if !found || !ended {
			t.Errorf("%s has no lines %q and %q", file, begin, end)
			continue
		}
		text = before + begin + want + end + after
	}
	switch {
	case text == string(old):
	case *update:
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is not as the tables have it: run go test ./cli -run Manual -update", file)
	}
}

// manualed returns all commands, and the template.
func manualed() []command { return append(commands(), *template(templateName)) }

// manualName returns the name of a command's page.
func manualName(c command) string { return "lxc-pull-" + strings.TrimLeft(c.name, "-") }

// manualSummary returns the line about a command.
func manualSummary(c command) string {
	if c.name == templateName {
		return "the template of lxc-create: lxc-create -t pull"
	}
	return c.summary
}

// manualCommands returns the list of commands.
func manualCommands() string {
	var b strings.Builder
	for _, c := range manualed() {
		fmt.Fprintf(&b, ".TP\n.BR %s (1)\n%s\n", roff(manualName(c)), roff(manualSummary(c)))
	}
	return b.String()
}

// manualHead returns the title, the synopsis and what a command's help says before its
// options.
func manualHead(c command) string {
	var b strings.Builder
	name := manualName(c)
	fmt.Fprintf(&b, ".TH %s 1 \"@DATE@\" \"lxc-pull @VERSION@\" \"User Commands\"\n.SH NAME\n%s \\- %s\n.SH SYNOPSIS\n.nf\n",
		roff(strings.ToUpper(name)), roff(name), roff(manualSummary(c)))
	usage, _ := c.usage()
	synopsis, rest, _ := strings.Cut(usage, "\n\n")
	for line := range strings.Lines(synopsis) {
		b.WriteString(roff(strings.TrimRight(strings.TrimPrefix(strings.TrimPrefix(line, "Usage: "), "       "), "\n")) + "\n")
	}
	b.WriteString(".fi\n.SH DESCRIPTION\n" + manualText(rest))
	if strings.TrimSpace(rest) == "" { // the help has no more to say
		b.WriteString(roff(manualSummary(c)) + "\n")
	}
	return b.String()
}

// manualText formats paragraphs. Indented lines stay as they are.
func manualText(text string) string {
	var b strings.Builder
	fixed, begun := false, false
	mode := func(now bool) {
		if now != fixed {
			b.WriteString(map[bool]string{true: ".nf\n", false: ".fi\n"}[now])
		}
		fixed = now
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case line == "":
			mode(false)
			if begun {
				b.WriteString(".PP\n")
			}
			begun = false
			continue
		default:
			mode(line[0] == ' ')
		}
		begun = true
		b.WriteString(roff(line) + "\n")
	}
	mode(false)
	return strings.TrimSuffix(b.String(), ".PP\n")
}

// manualOptions returns the section about a command's options.
func manualOptions(c command) string {
	text := ""
	for _, g := range c.call.groups() {
		flags := manualFlags(g)
		if flags != "" && g.title != "" {
			text += ".SS " + roff(g.title) + "\n"
		}
		text += flags
	}
	if text == "" {
		return ""
	}
	return ".SH OPTIONS\n" + text
}

// manualFlags returns the lines of a group's flags.
func manualFlags(g *group) string {
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
		help := manualHelp(f)
		if f.again {
			help += "; may be repeated"
		}
		fmt.Fprintf(&b, ".TP\n%s\n%s\n", left, roff(help))
	}
	return b.String()
}

// manualHelp returns a flag's help text without the name of this machine's architecture: the
// page is for all machines.
func manualHelp(f flag) string { return strings.ReplaceAll(f.help, ", "+hostArch()+")", ")") }

// manualExamples returns the section with the example of the help text.
func manualExamples(c command) string {
	_, example := c.usage()
	if example == "" {
		return ""
	}
	text := ".SH EXAMPLES\n.nf\n"
	for line := range strings.Lines(example) {
		text += roff(strings.TrimSpace(strings.TrimPrefix(line, "Example: "))) + "\n"
	}
	return text + ".fi\n"
}

// manualSettings returns the list of settings.
func manualSettings() string {
	help := map[string]string{"progress": "how progress is shown"}
	for _, f := range flagsOf(new(createCall).groups()) {
		help[f.long] = manualHelp(f)
	}
	var b strings.Builder
	for _, name := range settingNames() {
		kind, fallback := kindOf(name)
		text := help[name]
		if kind == "l" || kind == "F" {
			text += "; a list"
		}
		if !strings.Contains(text, "(default: ") {
			text += " (default: " + fallback + ")"
		}
		fmt.Fprintf(&b, ".TP\n.BR %s \", \" %s\n%s\n", roff(name), roff(variableOf(name)), roff(text))
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

// The overview names each command, and a command's page each of its options.
func TestManualHasEveryCommand(t *testing.T) {
	overview, err := os.ReadFile(manualDir + "/lxc-pull.1")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range manualed() {
		page, err := os.ReadFile(filepath.Join(manualDir, manualName(c)+".1"))
		if err != nil {
			t.Errorf("%v: go test ./cli -run Manual -update begins it", err)
			continue
		}
		if !strings.Contains(string(overview), roff(manualName(c))) {
			t.Errorf("lxc-pull.1 does not name %s", manualName(c))
		}
		for _, name := range longNames(flagsOf(c.call.groups())) {
			if !strings.Contains(string(page), "\\fB"+roff("--"+name)+"\\fR") {
				t.Errorf("%s.1 does not have --%s", manualName(c), name)
			}
		}
	}
}

// The formatters that are installed find nothing wrong in a page.
func TestManualRenders(t *testing.T) {
	checks := [][]string{{"groff", "-t", "-man", "-Tutf8", "-ww", "-z"}, {"mandoc", "-Tlint", "-Wwarning"}}
	checks = slices.DeleteFunc(checks, func(words []string) bool {
		_, err := exec.LookPath(words[0])
		return err != nil
	})
	if len(checks) == 0 {
		t.Skip("neither groff nor mandoc is installed")
	}
	files, err := filepath.Glob(manualDir + "/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d pages, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		page := filepath.Join(t.TempDir(), filepath.Base(file))
		text = []byte(strings.NewReplacer("@DATE@", "2026-11-29", "@VERSION@", "1.2.0").Replace(string(text)))
		if err := os.WriteFile(page, text, 0o644); err != nil {
			t.Fatal(err)
		}
		for _, words := range checks {
			if out, err := exec.Command(words[0], append(words[1:], page)...).CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%s %s: %v\n%s", words[0], file, err, out)
			}
		}
	}
}
