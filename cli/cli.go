// Package cli is the command line. It reads the arguments, runs the command that they
// name, and turns results and errors into text.
//
// Each command has a file of its own. Read first:
//
//   - cli.go: the table of commands, and how a command is chosen and run
//   - flags.go: the options that commands share
//   - errors.go: exit statuses, and what a user can do about an error
//   - terminal.go: the rules for everything that a person reads
package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A command is a row of the table of commands.
type command struct {
	name    string
	alias   []string // names of the program (argv[0]) that select this command
	summary string   // a line in the overview
	raw     bool     // the command parses its arguments itself
	rare    bool     // the overview has only its name
	call    call     // a new one in each table
}

// A call is one use of a command: it holds the options and does the work.
type call interface {
	// groups returns the flags that the command takes. Parsing stores their values in
	// the call.
	groups() []*group
	// run does the work. operands are the arguments that are not options; a raw command
	// gets all arguments.
	run(ctx context.Context, ui *ui, operands []string) error
}

// An argReader is a call that rewrites its arguments before getopt parses them, because
// it accepts forms that getopt does not know.
type argReader interface {
	rewrite(args []string) []string
}

// commands returns the table of commands, in the order of the overview.
func commands() []command {
	return []command{
		{name: "create", summary: "make a container without lxc-create", call: new(createCall)},
		{name: "rootfs", summary: "unpack only a root file system, into an empty directory", call: new(rootfsCall)},
		{name: "list", summary: "list the images of a server", call: new(listCall)},
		{name: "check", summary: "compare a container's files with its signed image", call: new(checkCall)},
		{name: "info", summary: "show which image a container was made of", call: new(infoCall)},
		{name: "cache", summary: "show, verify and remove cached images", call: new(cacheCall)},
		{name: "export", summary: "write an image as one file for machines without a network", call: new(exportCall)},
		{name: "doctor", summary: "check this machine for containers", call: new(doctorCall)},
		{name: "config", summary: "show the settings and where each comes from", call: new(configCall)},
		{name: "fetch", summary: "download a file: resume, mirrors, proxies", call: new(fetchCall)},
		{name: "untar", alias: []string{"untar"}, summary: "extract a tar archive, safely", call: new(untarCall)},
		{name: "zcat", alias: []string{"zcat", "xzcat", "zstdcat", "bzcat"}, summary: "decompress xz, gzip, zstd and bzip2", call: new(zcatCall)},
		{name: "verify", summary: "say who signed a file", call: new(verifyCall)},
		{name: "sopv", alias: []string{"sopv"}, summary: "verify by the Stateless OpenPGP command line", raw: true, rare: true, call: new(sopvCall)},
		{name: "completion", summary: "print the completion script of a shell", rare: true, call: new(completionCall)},
		{name: "version", summary: "print the version", call: new(versionCall)},
		{name: "help", summary: "explain a command, with all its options", call: new(helpCall)},
		{name: "--install", summary: "install links that name single commands", rare: true, call: new(installCall)},
	}
}

// template returns the command that lxc-create runs: the program as a template of LXC, name being
// templateName, ociName or localName. Only "help" finds it by its name; arguments that begin with an option
// select it, or the program's name.
func template(name string) *command {
	call := &templateCall{oci: name == ociName}
	if name == localName {
		call.local = new(localOptions)
	}
	return &command{name: name, call: call}
}

const templateName = "template"

// Run runs the command that argv names and returns the exit status. argv[0] is the name by
// which the program was called. After SIGINT, SIGTERM or SIGHUP the command cleans up and
// ends.
func Run(argv []string) int {
	ui := newUI(os.Stdout, os.Stderr)
	ctx, stop := untilSignal()
	defer stop()
	signal.Ignore(unix.SIGXFSZ) // so that write(2) returns an error at the limit of file sizes
	// The kernel prefers the main thread for a signal (signal(7)). If that thread were in a system
	// call that waits for a dead file system, the signal would wait as well. So the main thread,
	// to which main.go has bound this goroutine, does nothing but wait.
	// version and help, which read no file, start 0.2 ms sooner without the other threads.
	if cmd, _, err := choose(argv); err == nil && among("version help", cmd.name) {
		runtime.UnlockOSThread()
		return ui.carryOut(ctx, argv)
	}
	code := make(chan int, 1)
	go func() { code <- ui.carryOut(ctx, argv) }()
	return <-code
}

// carryOut runs the command that argv names, prints its error, and returns the exit status.
func (u *ui) carryOut(ctx context.Context, argv []string) int {
	cmd, args, err := choose(argv)
	if err == nil {
		u.command = cmd.name
		err = cmd.run(ctx, u, args)
	}
	if u.events == nil && exitStatus(err) == exitUsage && !cmd.raw {
		u.findEvents(args)
	}
	var end signalError
	if err == nil || !errors.Is(err, context.Canceled) || !errors.As(context.Cause(ctx), &end) {
		end = 0
	}
	return u.finish(err, end)
}

// untilSignal returns a context that is cancelled by a signal to end the program. Signals
// that were ignored when the process started (nohup(1), a shell's "&") stay ignored.
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

// choose returns the command that argv[0] or the first argument names, and the arguments
// that are left for it.
func choose(argv []string) (*command, []string, error) {
	name, args := "", []string(nil)
	if len(argv) > 0 {
		// A login shell's name begins with "-".
		name, args = strings.TrimPrefix(filepath.Base(argv[0]), "-"), argv[1:]
	}
	list := commands()
	for i := range list {
		if slices.Contains(list[i].alias, name) {
			return &list[i], args, nil
		}
	}
	switch name {
	case templateAlias:
		return template(templateName), args, nil
	case ociName, localName:
		return template(name), args, nil
	}
	if len(args) == 0 {
		return &command{raw: true, call: new(missingCall)}, nil, nil
	}
	// lxc-create -t TEMPLATE --help runs the template with --help (lxc_create.c).
	// It runs the template by its path, and as "PATH -h".
	inTemplates := filepath.Base(filepath.Dir(argv[0])) == "templates"
	switch word := args[0]; {
	case len(args) == 1 && word == "-h" && !inTemplates && !filepath.IsAbs(argv[0]), len(args) == 1 && word == "--help" && !inTemplates:
		return named("help"), nil, nil
	case len(args) == 2 && word == "--help" && named(args[1]).name != "":
		return named("help"), args[1:], nil
	case len(args) == 1 && (word == "--version" || word == "-V"):
		return named("version"), nil, nil
	}
	if c := named(args[0]); c.name != "" {
		return c, args[1:], nil
	}
	if strings.HasPrefix(args[0], "-") {
		return template(templateName), args, nil
	}
	hint := didYouMean(args[0], "", commandNames())
	if known := lineOf(otherCommands, args[0]); known != "" {
		hint = "; " + known
	}
	return new(command), nil, usageErrorf("unknown command %q%s", args[0], hint)
}

// otherCommands has words that users of other programs try, and what to use instead.
const otherCommands = `ls did you mean list?
images did you mean list?
search did you mean list?
download did you mean create?
rm LXC has lxc-destroy
delete LXC has lxc-destroy
destroy LXC has lxc-destroy
start LXC has lxc-start
run LXC has lxc-start
update did you mean info?
`

// stockOptions are options to which lxc-create and scripts for the stock template may give an
// empty value, which is none.
const stockOptions = "name path rootfs mapped-uid mapped-gid dist release arch variant server keyid keyserver username password"

// refuseEmpty returns an error for an option with an empty value, as a script with an unset
// variable passes it: the command would do without what the user wanted.
func (c *command) refuseEmpty(args []string, flags []flag) error {
	values, _, err := getopt(args, flags)
	for _, v := range values {
		f := &flags[v.flag]
		stock := among("template lxc-oci lxc-local", c.name) && among(stockOptions, f.long) || c.name == localName && among(stockLocal, f.long)
		if err == nil && v.value == "" && f.value != "" && !stock && f.long != "entrypoint" { // which may have none
			err = wrongValue(f.name(), "", "the value is empty")
		}
	}
	return err
}

// named returns the command of that name, or a command without a name if there is none.
func named(name string) *command {
	list := commands()
	for i := range list {
		if list[i].name == name {
			return &list[i]
		}
	}
	return new(command)
}

// commandNames returns the names of all commands.
func commandNames() (names []string) {
	for _, c := range commands() {
		addTo(&names, c.name)
	}
	return names
}

// run parses the arguments and runs the command, or prints its help text.
func (c *command) run(ctx context.Context, ui *ui, args []string) error {
	one := c.call
	if c.raw {
		return one.run(ctx, ui, args)
	}
	if r, ok := one.(argReader); ok {
		args = r.rewrite(args)
	}
	var given, operands []string
	var settings *settings
	groups := ui.bind(one.groups())
	has := func(name string) bool { return slices.Contains(given, name) }
	// Parsing may wait: a file that an option or a setting names can be a pipe.
	err := untilDone(ctx, func() (err error) {
		if given, operands, err = parse(args, groups); err != nil {
			return err
		}
		ui.given = given
		ui.quiet, ui.verbose = ui.quiet || has("quiet"), ui.verbose || has("verbose")
		if !has("help") {
			if err := c.refuseEmpty(args, flagsOf(groups)); err != nil {
				return err
			}
			settings, err = ui.takeSettings(c, flagsOf(groups), given, operands)
		}
		return err
	})
	if err != nil {
		return err
	}
	ui.applyFlags()
	if !has("help") {
		return settings.blame(one.run(ctx, ui, operands))
	}
	if err := c.printHelp(ui.out, groups, false); err != nil {
		return err
	}
	if t, ok := one.(*templateCall); ok {
		return t.noContainer()
	}
	return nil
}
