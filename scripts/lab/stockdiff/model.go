package main

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// This file computes the expected results of a creation for the cases in which the stock
// template is no reference: the differences in docs/stock-differences.md. In all other
// cases the stock template checks this model too.

// A difference is an intended difference, by its number in docs/stock-differences.md.
type difference int

// The differences that the comparison allows, and only as that page describes them.
const (
	pastExpiry      difference = 1
	literalTokens   difference = 2
	linksInside     difference = 3
	lastLines       difference = 4
	inodesKept      difference = 5
	escapedMessages difference = 8
	devicesSkipped  difference = 11
	dirTimes        difference = 12
	setGroupID      difference = 13
	dotSlash        difference = 14
	cacheModes      difference = 15
	cacheOwners     difference = 16
	badExpiry       difference = 17
	filesHanded     difference = 19
)

const (
	templateConfig = "/usr/share/lxc/config"
	hookDir        = "/usr/share/lxc/hooks"
)

// replaceTokens replaces the five tokens literally and in one pass.
func replaceTokens(data []byte, name, lxcPath, rootfs string) []byte {
	return []byte(strings.NewReplacer(
		"LXC_NAME", name, "LXC_PATH", lxcPath, "LXC_ROOTFS", rootfs,
		"LXC_TEMPLATE_CONFIG", templateConfig, "LXC_HOOK_DIR", hookDir).Replace(string(data)))
}

// relevant returns the name of the metadata file in use for a mode, or "" if there is none.
func relevant(meta map[string]metaFile, name, mode string) string {
	for _, suffix := range []string{"-" + mode, ".7"} {
		if _, ok := meta[name+suffix]; ok {
			name += suffix
		}
	}
	if _, ok := meta[name]; !ok {
		return ""
	}
	return name
}

// The patterns of the stock template's two sed calls on config. They match bytes, as sed
// does in the C locale.
var (
	networkLine = regexp.MustCompile(`(?s)lxc.net.0`)
	lxcLine     = regexp.MustCompile(`(?s)lxc.`)
)

// latin1 converts every byte to one character, so that "." in a regexp matches any byte.
func latin1(line []byte) string {
	r := make([]rune, len(line))
	for i, b := range line {
		r[i] = rune(b)
	}
	return string(r)
}

// modelConfig returns the config that a creation leaves. The tokens are replaced everywhere
// except in the container's own name and paths.
func modelConfig(old, image []byte, hasFstab bool, lxcPath, name string) []byte {
	replace := func(text []byte) []byte { return replaceTokens(text, name, lxcPath, lxcPath+"/rootfs") }
	var top, network, auto, out bytes.Buffer
	for line := range bytes.SplitAfterSeq(old, []byte("\n")) {
		text := latin1(bytes.TrimSuffix(line, []byte("\n")))
		to := &top
		switch {
		case networkLine.MatchString(text):
			to = &network
		case lxcLine.MatchString(text):
			to = &auto
		}
		if !bytes.HasPrefix(line, []byte("lxc.rootfs.path")) {
			line = replace(line)
		}
		to.Write(line)
	}
	out.Write(top.Bytes())
	out.WriteString("\n# Distribution configuration\n")
	out.Write(replace(image))
	out.WriteString("\n# Container specific configuration\n")
	out.Write(auto.Bytes())
	if n := auto.Len(); n > 0 && auto.Bytes()[n-1] != '\n' {
		out.WriteByte('\n')
	}
	if hasFstab {
		fmt.Fprintf(&out, "lxc.mount.fstab = %s/fstab\n", lxcPath)
	}
	fmt.Fprintf(&out, "lxc.uts.name = %s\n", name)
	out.WriteString("\n# Network configuration\n")
	out.Write(network.Bytes())
	return out.Bytes()
}

// A plan is a case in one outcome of the namespace check: the files that each of the two
// programs gets, and the differences that are allowed.
type plan struct {
	*testCase
	outcome outcome
	mode    string // "system" or "user"
	source  manifest

	// stockMeta replaces meta for the stock template, so that its result is the one
	// that ours must have although the two differ on purpose.
	stockMeta map[string]metaFile
	stockName string
	stockTail string
	// stockConfig is lxc-create's config with a line feed after the last line.
	stockConfig []byte
	oursFlags   []string

	rewritten   map[string]bool // files of the rootfs that the creation rewrites
	inTemplates map[string]bool // the rewritten files that templates names
	differences map[difference]bool
}

func newPlan(c *testCase, o outcome, source manifest) *plan {
	p := &plan{testCase: c, outcome: o, mode: "system", source: source, stockName: c.name, stockTail: c.tail,
		stockMeta: map[string]metaFile{}, rewritten: map[string]bool{}, inTemplates: map[string]bool{}, differences: map[difference]bool{}}
	if o != outcomeNo {
		p.mode = "user"
	}
	for name, f := range c.meta {
		p.stockMeta[name] = f
	}
	if strings.ContainsAny(c.name, `&#\`) || strings.Contains(c.name, "LXC_") {
		p.stockName = "twin"
		p.differences[literalTokens] = true
	}
	if !strings.HasSuffix(c.tail, "\n") {
		p.stockTail += "\n"
		p.differences[lastLines] = true
	}
	p.stockConfig = c.config
	if n := len(c.config); n > 0 && c.config[n-1] != '\n' {
		p.stockConfig = append(bytes.Clone(c.config), '\n')
		p.differences[lastLines] = true
	}
	p.planTemplates()
	p.planExcludes()
	p.planExpiry()
	if f, ok := c.meta[relevant(c.meta, "create-message", p.mode)]; ok && strings.IndexFunc(string(f.data), hidden) >= 0 {
		p.differences[escapedMessages] = true
	}
	return p
}

// metaLines returns the lines of the file in use, also a last line without line feed, and
// the file's name.
func (p *plan) metaLines(name string) (file string, lines []string) {
	file = relevant(p.meta, name, p.mode)
	data := string(p.meta[file].data)
	if data == "" {
		return file, nil
	}
	if !strings.HasSuffix(data, "\n") {
		p.differences[lastLines] = true
		data += "\n"
	}
	return file, strings.Split(strings.TrimSuffix(data, "\n"), "\n")
}

// setStock replaces the lines of a file for the stock template.
func (p *plan) setStock(file string, lines []string) {
	data := strings.Join(lines, "\n")
	if len(lines) > 0 {
		data += "\n"
	}
	p.stockMeta[file] = metaFile{[]byte(data), p.meta[file].mode}
}

func (p *plan) planTemplates() {
	file, lines := p.metaLines("templates")
	for i, line := range lines {
		name := strings.Trim(line, " \t")
		if name == "" {
			continue
		}
		real, ok := p.source.resolve(name)
		if plain := path.Join(".", "/"+name)[1:]; ok && real != plain || !ok && p.source.hasLink(plain) {
			// The link's target is rewritten, or nothing is.
			p.differences[linksInside] = true
			lines[i] = ""
			if ok {
				lines[i] = "/" + real
			}
		}
		if ok && p.source[real].kind == unix.S_IFREG {
			p.rewritten[real], p.inTemplates[real] = true, true
		}
	}
	if file != "" {
		p.setStock(file, lines)
	}
	if e, ok := p.source["etc/init/tty.conf"]; ok && e.kind == unix.S_IFREG {
		p.rewritten["etc/init/tty.conf"] = true
	}
	for name := range p.rewritten {
		if e := p.source[name]; e.link != "" || len(e.xattrs) > 0 {
			p.differences[inodesKept] = true
		}
	}
}

func (p *plan) planExcludes() {
	file, lines := p.metaLines("excludes")
	for i, line := range lines {
		// A blank in the middle is part of the pattern; "?" matches it after the shell's splitting.
		line = strings.Trim(line, " \t")
		if strings.ContainsAny(line, " \t") {
			p.differences[lastLines] = true
			lines[i] = strings.Map(func(r rune) rune {
				if r == ' ' || r == '\t' {
					return '?'
				}
				return r
			}, line)
		}
	}
	// Our program matches a name with and without "./"; the stock template's tar matches
	// only the form in the archive.
	for _, line := range lines {
		line = strings.Trim(line, " \t")
		bare, dotted := strings.CutPrefix(line, "./")
		switch {
		case dotted && !p.packing.dot && bare != "":
			p.differences[dotSlash] = true
			lines = append(lines, bare)
		case !dotted && p.packing.dot && line != "":
			p.differences[dotSlash] = true
			lines = append(lines, "./"+line)
		}
	}
	if p.mode == "user" {
		// Entries that a namespace can't make are left out, whether the image says
		// so or not.
		for name, e := range p.source {
			if e.kind == unix.S_IFCHR || e.kind == unix.S_IFBLK {
				p.differences[devicesSkipped] = true
				lines = append(lines, "./"+name, name)
			}
		}
	}
	if file == "" && len(lines) > 0 {
		file = "excludes"
	}
	if file != "" {
		p.setStock(file, lines)
	}
}

func (p *plan) planExpiry() {
	file := relevant(p.meta, "expiry", p.mode)
	if file == "" {
		return
	}
	when, err := strconv.ParseInt(strings.Trim(string(p.meta[file].data), " \n"), 10, 64)
	switch {
	case err != nil:
		p.differences[badExpiry] = true
		p.oursFlags = append(p.oursFlags, "--allow-older")
	case when < time.Now().Unix():
		p.differences[pastExpiry] = true
		p.oursFlags = append(p.oursFlags, "--allow-older")
	}
}

// hasLink reports whether a path has a symbolic link in it.
func (m manifest) hasLink(name string) bool {
	for p := name; p != "." && p != "/" && p != ""; p = path.Dir(p) {
		if m[p].kind == unix.S_IFLNK {
			return true
		}
	}
	return false
}

// hidden reports whether a character may control a terminal, so that it is not shown
// unchanged (difference 8).
func hidden(r rune) bool {
	return r < 0x20 && r != '\n' && r != '\t' || 0x7f <= r && r < 0xa0 || r == '\uFFFD'
}
