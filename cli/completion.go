package cli

import (
	"context"
	"io"
	"os"
	"strings"

	"lxc-pull/cross"
	"lxc-pull/image"
	"lxc-pull/image/cache"
	"lxc-pull/lxc/host"
	"lxc-pull/pull/source"
)

// The scripts, text/completion.*, ask this program, with --words, what the words of a command line can be
// completed to. So every shell has what the tables of commands and flags have. Each line of
// the answer is a word, a tab, and an explanation; or one of these, for names of files.
const (
	completeFiles = ":files"
	completeDirs  = ":dirs"
)

// A completionCall is one use of "completion".
type completionCall struct {
	words bool // answer a script: ask no server, and fail silently

	given  []string // the values of --dist, --release, --arch, --variant and --lxcpath
	answer string
	prefix string // what the words of the answer must begin with
	before string // "--NAME=", which the shell's word has before the value
}

func (c *completionCall) groups() []*group {
	return []*group{{"", []flag{{long: "words", into: &c.words, exact: true}, {short: 'h', long: "help"}}}}
}

func (c *completionCall) run(ctx context.Context, ui *ui, operands []string) error {
	if c.words {
		return untilDone(ctx, func() error {
			c.complete(operands)
			io.WriteString(ui.out, c.answer)
			return nil
		})
	}
	shell := strings.Join(operands, " ")
	if shell != "bash" && shell != "zsh" && shell != "fish" {
		return usageErrorf("completion needs one of bash, zsh, fish")
	}
	script, err := textOf(packedTexts, "completion."+shell)
	if err == nil {
		_, err = io.WriteString(ui.out, script)
	}
	return err
}

// complete sets the answer for the words that follow "lxc-pull", of which the last is the
// one to complete.
func (c *completionCall) complete(words []string) {
	var args []string
	join := true // bash splits words at "=" and ":"
	for _, word := range words {
		splits := word == "=" || word == ":"
		if len(args) > 0 && (splits || join) {
			args[len(args)-1] += word
		} else {
			addTo(&args, word)
		}
		join = splits
	}
	if len(args) == 0 {
		return
	}
	last := args[len(args)-1]
	c.prefix = last
	cmd := named(args[0])
	switch {
	case len(args) == 1:
		c.values("COMMAND")
		if last != "" {
			c.add("--help", "list the commands")
			c.add("--version", "print the version")
		}
		return
	case cmd.name == "":
		return
	}
	flags := flagsOf(cmd.call.groups())
	c.given = make([]string, len(partNames))
	if strings.HasPrefix(last, "-") && !strings.Contains(last, "=") {
		for i := range flags {
			if f := &flags[i]; f.help != "" {
				c.add("--"[:min(2, len(f.name()))]+f.name(), f.help)
			}
		}
		return
	}
	args[len(args)-1] += "\x00" // no other word has one
	values, operands, err := getopt(args[1:], flags)
	if err != nil {
		return
	}
	kind := ""
	for _, v := range values {
		f := &flags[v.flag]
		if strings.HasSuffix(v.value, "\x00") {
			kind, c.prefix = f.value, strings.TrimSuffix(v.value, "\x00")
			if word := words[len(words)-1]; strings.HasPrefix(word, "-") {
				c.before = strings.TrimSuffix(word, c.prefix)
			}
		} else {
			for i := range c.given {
				if f.long == partNames[i] {
					c.given[i] = v.value
				}
			}
		}
	}
	if kind != "" {
		c.values(kind)
		return
	}
	rest := lineOf(operandTable, cmd.name)
	for range operands {
		if rest != "" {
			kind, rest, _ = strings.Cut(rest, " ")
		}
	}
	c.values(kind)
}

// add adds a word to the answer if it begins with the prefix. It leaves out words with
// characters that a shell or a terminal may treat in a special way, and those that a command
// would take for options: names come from servers and from other users.
func (c *completionCall) add(word, help string) {
	option := strings.HasPrefix(word, "-") && c.prefix == ""
	if strings.HasPrefix(word, c.prefix) && !option && !strings.ContainsFunc(word, special) && !strings.Contains("\n"+c.answer, "\n"+c.before+word+"\t") {
		c.answer += c.before + word + "\t" + help + "\n"
	}
}

// partNames are the options of completionCall.given. The first four are the parts of an
// image's name.
var partNames = [5]string{"dist", "release", "arch", "variant", "lxcpath"}

// operandTable has the kinds of a command's operands, in their order; the last is that of all
// that follow. Commands that take no operands, or any, are not in it.
const operandTable = `create NAME IMAGE NAME
rootfs DIR IMAGE NAME
list IMAGE
check CONTAINER NAME
info CONTAINER NAME
cache ls,verify,gc,rm CACHED
export IMAGE NAME
untar FILE
zcat FILE
verify FILE
completion bash,zsh,fish NAME
help TOPIC NAME
--install DIR NAME
`

// values adds what a value can be. kind is the name of a flag's value, or one in operandTable.
func (c *completionCall) values(kind string) {
	switch kind {
	case "FILE":
		c.answer = completeFiles + "\n"
	case "DIR":
		c.answer = completeDirs + "\n"
	case "COMMAND", "TOPIC":
		for _, cmd := range commands() {
			c.add(cmd.name, cmd.summary)
		}
		if kind == "TOPIC" {
			c.add(templateName, "lxc-create -t pull")
		}
	case "CONTAINER":
		path := c.given[4]
		if path == "" {
			path = host.This().LXCPath()
		}
		entries, _ := os.ReadDir(path)
		for _, e := range entries {
			if _, err := os.Stat(path + "/" + e.Name() + "/config"); err == nil {
				c.add(e.Name(), "")
			}
		}
	case "WHEN":
		c.values("auto,plain,none")
	case "PROTOCOL":
		c.values("lxc,simplestreams")
	case "TYPE:LINK":
		c.values("veth:,macvlan:,ipvlan:,phys:,none,host")
	case "IMAGE", "CACHED", "DIST", "RELEASE", "ARCH", "VARIANT":
		c.images(kind)
	default:
		if kind != strings.ToLower(kind) {
			return
		}
		for _, word := range strings.Split(kind, ",") {
			c.add(word, "")
		}
	}
}

// images adds names of images, or parts of them, as values does.
func (c *completionCall) images(kind string) {
	if kind == "IMAGE" && (isPath(c.prefix) || strings.HasPrefix(c.prefix, "bundle:")) {
		c.values("FILE")
		return
	}
	if kind == "IMAGE" && isContainer(c.prefix) {
		if !strings.HasPrefix(c.prefix, "docker:") && !strings.HasPrefix(c.prefix, "docker+") {
			c.values("FILE") // the scripts cut the scheme off
		}
		return
	}
	if kind == "IMAGE" && c.prefix != "" {
		for _, scheme := range strings.Fields(containerSchemes) {
			c.add(scheme+":", "container image")
		}
		for _, name := range knownNames() {
			c.add(name+":", "image server")
		}
	}
	base := host.This().CacheDir(host.Namespace())
	dir := (&finderOptions{owner: unchanged()}).cacheAt(base)
	var list []cache.Info
	if base != "" {
		list, _ = dir.List()
	}
	if kind == "CACHED" {
		for i := range list {
			name := list[i].Label()
			if list[i].Kept != nil {
				name = list[i].Kept.Reference
			}
			c.add(name, "")
		}
		return
	}
	// Those for this machine in the index that the cache keeps.
	if c.given[2] == "" && kind != "ARCH" {
		c.given[2] = hostArch()
	}
	for _, img := range source.CachedIndex(dir, list).Select(image.Query{
		Dist: c.given[0], Release: c.given[1], Arch: cross.Spellings(c.given[2]), Variant: c.given[3],
	}) {
		name := shortName(&img.Name, false)
		for i, part := range strings.Split(img.Name.String(), "/") {
			if strings.EqualFold(kind, partNames[i]) {
				name = part
			}
		}
		c.add(name, "")
	}
}
