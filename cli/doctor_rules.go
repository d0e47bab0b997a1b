package cli

import (
	"strings"

	"lxc-pull/lxc/host"
)

// The file text/doctor.txt is the table of the checks of doctor, with an empty line after each. The first
// line of a check is its name. The others are its rules, and the first rule whose conditions
// hold is the finding:
//
//	STATUS|CONDITIONS|TEXT|REMEDY
//
// STATUS is ok, warn, fail, or "-" if the check does not apply. A rule without TEXT has that
// of the rule before, unless its STATUS is "-". {NAME} stands for a fact, {/PATH} for a file's content, and "\n" in
// REMEDY begins a line. A check whose name begins with "$" sets the fact of that name to TEXT.
//
// Conditions, all of which must hold ("!" before one denies it):
//
//	NAME, /PATH           the fact is not empty; the file exists
//	NAME=VALUE,...        the fact, or the content of a file, is one of the values
//	NAME~VALUE            it contains VALUE, in which "+" stands for blanks, newlines and its ends
//	+/PATH                the program has root's rights, by its mode or file capabilities
//
// It is a text because code for each check would add four times the bytes to the program.

// judge sets the facts status, text and remedy by the first rule whose conditions hold.
func (d *doctor) judge(rules string) {
	d.put("status", "-")
	d.put("text", "")
	text := ""
	for _, line := range strings.Split(rules, "\n") {
		f := strings.Split(line+"|||", "|")
		if f[2] != "" || f[0] == "-" {
			text = f[2]
		}
		holds := true
		for _, condition := range strings.Fields(f[1]) {
			holds = holds && d.holds(condition)
		}
		if holds {
			d.put("status", f[0])
			d.put("text", strings.TrimLeft(d.fill(text), " ")) // {url} may be ""
			d.put("remedy", d.fill(strings.ReplaceAll(f[3], `\n`, "\n")))
			return
		}
	}
}

// holds reports whether a condition of a rule holds.
func (d *doctor) holds(condition string) bool {
	condition, denied := strings.CutPrefix(condition, "!")
	name, value, equal := strings.Cut(condition, "=")
	name, part, contains := strings.Cut(name, "~")
	name, program := strings.CutPrefix(d.fill(name), "+")
	have := false
	switch {
	case contains:
		text := " " + strings.Join(strings.Fields(d.value(name)), " ") + " "
		have = strings.Contains(text, strings.ReplaceAll(d.fill(part), "+", " "))
	case equal:
		have = strings.Contains(","+value+",", ","+d.value(name)+",")
	case program:
		have = host.HasPrivilege(d.machine.Top + name)
	case strings.HasPrefix(name, "/"):
		have = d.machine.Has(name)
	default:
		have = d.facts[name] != ""
	}
	return have != denied
}

// value returns a fact, or the content of a file if name is a path.
func (d *doctor) value(name string) string {
	if strings.HasPrefix(name, "/") {
		return d.machine.Read(name)
	}
	return d.facts[name]
}

// fill replaces each {NAME} by the fact, and each {/PATH} by the file's content.
func (d *doctor) fill(text string) string {
	before, rest, found := strings.Cut(text, "{")
	if !found {
		return text
	}
	name, rest, _ := strings.Cut(rest, "}")
	return before + d.value(name) + d.fill(rest)
}
