// Package cli is the command line: it reads the words that the program was called with,
// runs the command that they name, and puts results and errors into sentences.
//
// This file is the table of contents: which command a call names. flags.go has the options
// that commands share, errors.go the exit statuses and what to do about an error,
// terminal.go the rules for everything that a person reads.
package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A command is one word of the command line.
type command struct {
	name    string
	alias   []string // other names by which argv[0] may call it
	summary string
	usage   string // what --help begins with
	example string // what --help ends with; "": nothing
	raw     bool   // it reads its words itself
	new     func() call
}

// A call is one call of a command: its options, and what it does with them.
type call interface {
	// groups returns the flags that the call takes; parsing sets them.
	groups() []group
	// run does the work. operands are the words that are no options; of a raw command
	// all words.
	run(ctx context.Context, ui *ui, operands []string) error
}

// A wordReader is a call that changes its words before they are parsed, since it
// understands more than getopt.
type wordReader interface {
	words(args []string) []string
}

// commands lists every command in the order in which help shows them.
func commands() []command {
	return []command{
		{name: "create", summary: "make a container without lxc-create", usage: createUsage, example: createExample, new: func() call { return new(createCall) }},
		{name: "rootfs", summary: "only a root file system, into an empty directory", usage: rootfsUsage, new: func() call { return new(rootfsCall) }},
		{name: "list", summary: "what images there are", usage: listUsage, new: func() call { return new(listCall) }},
		{name: "cache", summary: "show, verify and tidy the images that were kept", usage: cacheUsage, new: func() call { return new(cacheCall) }},
		{name: "fetch", summary: "bring a file: resume, mirrors, proxies", usage: fetchUsage, new: func() call { return new(fetchCall) }},
		{name: "untar", alias: []string{"untar"}, summary: "extract a tar archive, safely", usage: untarUsage, example: untarExample, new: func() call { return new(untarCall) }},
		{name: "zcat", alias: []string{"zcat", "xzcat", "zstdcat", "bzcat"}, summary: "decompress xz, gzip, zstd and bzip2", usage: zcatUsage, example: zcatExample, new: func() call { return new(zcatCall) }},
		{name: "verify", summary: "say who signed a file", usage: verifyUsage, example: verifyExample, new: func() call { return new(verifyCall) }},
		{name: "sopv", alias: []string{"sopv"}, summary: "verify as the Stateless OpenPGP command line has it", usage: sopvUsage, raw: true, new: func() call { return new(sopvCall) }},
		{name: "version", summary: "print the version", usage: versionUsage, new: func() call { return new(versionCall) }},
		{name: "help", summary: "explain a command, with all its options", usage: helpUsage, new: func() call { return new(helpCall) }},
		{name: "--install", summary: "make links by whose names it is called", usage: installUsage, example: installExample, new: func() call { return new(installCall) }},
	}
}

// template is the program as a template of LXC's, which is called with options only. Its
// name is no word of the command line, but one that help understands.
func template() command {
	return command{name: templateName, usage: templateUsage, example: templateExample, new: func() call { return new(templateCall) }}
}

const templateName = "template"

// Run runs the command that argv names, argv[0] being the name that the program was called
// by, and returns the exit status. SIGINT, SIGTERM and SIGHUP end the command in good
// order.
func Run(argv []string) int {
	ui := newUI(os.Stdout, os.Stderr)
	ctx, stop := untilSignal()
	defer stop()
	signal.Ignore(unix.SIGXFSZ) // a limit on the size of files is an error like a full disk
	return ui.carryOut(ctx, argv)
}

// carryOut runs the command that argv names, says how it failed, and returns the exit
// status.
func (u *ui) carryOut(ctx context.Context, argv []string) int {
	cmd, args, err := choose(argv)
	if err == nil {
		u.template, u.command = cmd.name == templateName, cmd.name
		err = cmd.run(ctx, u, args)
	}
	code := u.finish(err)
	var end signalError
	if err != nil && errors.As(context.Cause(ctx), &end) && errors.Is(err, context.Canceled) {
		code = exitSignal + int(end)
	}
	return code
}

// untilSignal returns a context that ends with the signal that is to end the program.
// What nohup(1) or a shell's "&" lets a process ignore stays ignored.
func untilSignal() (ctx context.Context, stop func()) {
	ends := []os.Signal{unix.SIGTERM}
	for _, s := range []os.Signal{unix.SIGINT, unix.SIGHUP} {
		if !signal.Ignored(s) {
			ends = append(ends, s)
		}
	}
	ctx, end := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, ends...)
	go func() {
		if s, ok := (<-signals).(unix.Signal); ok {
			end(signalError(s))
		}
	}()
	return ctx, func() { signal.Stop(signals) }
}

// choose finds the command that argv[0] or the first word names.
func choose(argv []string) (command, []string, error) {
	name, args := "", []string(nil)
	if len(argv) > 0 {
		// A login shell's name begins with "-".
		name, args = strings.TrimPrefix(filepath.Base(argv[0]), "-"), argv[1:]
	}
	for _, c := range commands() {
		for _, alias := range c.alias {
			if name == alias {
				return c, args, nil
			}
		}
	}
	switch name {
	case templateAlias:
		return template(), args, nil
	case "lxc-local", "lxc-oci":
		// It would fetch an image although one at hand was meant.
		return command{}, nil, usageErrorf("this program takes the place of LXC's download template, not of %q", name)
	}
	if len(args) == 0 {
		return command{raw: true, new: func() call { return new(missingCall) }}, nil, nil
	}
	// lxc-create asks a template in LXC's directory for its help (lxc_create.c).
	asTemplate := filepath.Base(filepath.Dir(argv[0])) == "templates"
	switch word := args[0]; {
	case len(args) == 1 && (word == "--help" || word == "-h") && !asTemplate:
		return named("help"), nil, nil
	case len(args) == 1 && (word == "--version" || word == "-V"):
		return named("version"), nil, nil
	}
	if c := named(args[0]); c.name != "" {
		return c, args[1:], nil
	}
	if strings.HasPrefix(args[0], "-") {
		return template(), args, nil
	}
	return command{}, nil, usageErrorf("unknown command %q%s", args[0], didYouMean(args[0], "", commandNames()))
}

// named returns the command of that name; one without a name if there is none.
func named(name string) command {
	for _, c := range commands() {
		if c.name == name {
			return c
		}
	}
	return command{}
}

// commandNames returns the names of all commands.
func commandNames() (names []string) {
	for _, c := range commands() {
		names = append(names, c.name)
	}
	return names
}

// run reads the words and runs the call, or prints the help that they ask for.
func (c command) run(ctx context.Context, ui *ui, args []string) error {
	one := c.new()
	if c.raw {
		return one.run(ctx, ui, args)
	}
	if w, ok := one.(wordReader); ok {
		args = w.words(args)
	}
	var given, operands []string
	// A file that an option names may be a pipe, and wait.
	err := untilDone(ctx, func() (err error) {
		given, operands, err = parse(args, one.groups())
		return err
	})
	if err != nil {
		return err
	}
	has := func(name string) bool { return slices.Contains(given, name) }
	ui.quiet, ui.verbose = ui.quiet || has("quiet"), ui.verbose || has("verbose")
	if !has("help") {
		return one.run(ctx, ui, operands)
	}
	if err := c.printHelp(ui.out, one.groups(), false); err != nil {
		return err
	}
	if t, ok := one.(*templateCall); ok {
		return t.noContainer()
	}
	return nil
}
