// Command lxc-pull puts a verified root filesystem on anything that runs
// Linux. Installed as lxc-pull in LXC's template folder it is a drop-in for the
// stock "download" template; the stages of that job (list, fetch, verify,
// untar, zcat) are commands of their own.
//
// This file is the table of contents: which command a call names, and what its
// exit status is. create.go is the recipe; tui.go has the words a person reads.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Exit statuses, the same for every command but sopv, which has SOP's own.
const (
	exitDone       = 0
	exitFailure    = 1 // anything without a status of its own
	exitUsage      = 2
	exitNetwork    = 3
	exitNoImage    = 4
	exitUnverified = 5 // bad or missing signature, wrong digest
	exitDisk       = 6 // disk full, quota, I/O error
	exitPermission = 7

	// A command that a signal ended has 128 and its number, as shells have it:
	// 130 for SIGINT, 143 for SIGTERM, 129 for SIGHUP.
	exitSignal = 128
)

// A command is one word of the command line.
type command struct {
	name    string
	alias   []string // other names by which argv[0] may call it
	summary string
	run     func(ctx context.Context, ui *ui, args []string) error
}

// commands lists every command in the order in which help shows them.
func commands() []command {
	return []command{
		{"create", nil, "make a container without lxc-create", createCommand},
		{"rootfs", nil, "only a root file system, into an empty folder", rootfsCommand},
		{"list", nil, "what images there are", listCommand},
		{"cache", nil, "show, verify and tidy the images that were kept", cacheCommand},
		{"fetch", nil, "bring a file: resume, mirrors, proxies", fetchCommand},
		{"untar", []string{"untar"}, "extract a tar archive, safely", untarCommand},
		{"zcat", []string{"zcat", "xzcat", "zstdcat", "bzcat"}, "decompress xz, gzip, zstd and bzip2", zcatCommand},
		{"verify", nil, "say who signed a file", verifyCommand},
		{"sopv", []string{"sopv"}, "verify as the Stateless OpenPGP command line has it", sopvCommand},
		{"version", nil, "print the version", versionCommand},
		{"--install", nil, "make links by whose names it is called", installCommand},
	}
}

func main() {
	log.SetOutput(io.Discard) // net/http's, of what servers do wrong
	os.Exit(run(os.Args))
}

// run is main with its exit status as a value, so that the tests of the
// command line call the same code.
func run(argv []string) int {
	ui := newUI(os.Stdout, os.Stderr)
	name, args := "", []string(nil)
	if len(argv) > 0 {
		// A login shell's name begins with "-".
		name, args = strings.TrimPrefix(filepath.Base(argv[0]), "-"), argv[1:]
	}
	// An interruption ends what is under way in good order: nothing half-made.
	// What nohup(1) or a shell's "&" lets a process ignore stays ignored.
	ends := []os.Signal{unix.SIGTERM}
	for _, s := range []os.Signal{unix.SIGINT, unix.SIGHUP} {
		if !signal.Ignored(s) {
			ends = append(ends, s)
		}
	}
	ctx, ended := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, ends...)
	defer signal.Stop(signals)
	go func() {
		if s, ok := (<-signals).(unix.Signal); ok {
			ended(signalError(s))
		}
	}()
	signal.Ignore(unix.SIGXFSZ) // a limit on the size of files is an error like a full disk
	cmd, args, err := choose(name, args)
	if err == nil {
		ui.template, ui.command = cmd.name == templateName, cmd.name
		err = cmd.run(ctx, ui, args)
	}
	code := ui.finish(err)
	var end signalError
	if err != nil && errors.As(context.Cause(ctx), &end) && errors.Is(err, context.Canceled) {
		code = exitSignal + int(end)
	}
	return code
}

// A signalError is the signal that ended the run.
type signalError unix.Signal

func (e signalError) Error() string        { return unix.Signal(e).String() + " signal received" }
func (e signalError) Is(target error) bool { return target == context.Canceled }

// templateName is the template's in the table of commands: no word, for it is
// called with options only.
const templateName = ""

// choose finds the command that argv[0] or the first word names.
func choose(name string, args []string) (command, []string, error) {
	for _, c := range commands() {
		for _, alias := range c.alias {
			if name == alias {
				return c, args, nil
			}
		}
	}
	template := command{name: templateName, run: templateCommand}
	switch name {
	case templateAlias:
		return template, args, nil
	case "lxc-local", "lxc-oci":
		// It would fetch an image where one at hand was meant.
		return command{}, nil, usageErrorf("this program takes the place of LXC's download template, not of %q", name)
	}
	if len(args) == 0 {
		return command{name: "help", run: helpCommand}, nil, nil
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return c, args[1:], nil
		}
	}
	if strings.HasPrefix(args[0], "-") {
		return template, args, nil
	}
	return command{}, nil, usageErrorf("unknown command %q", args[0])
}

// helpCommand is a call without words: what there is, and that nothing was done.
func helpCommand(_ context.Context, ui *ui, _ []string) error {
	fmt.Fprint(ui.err, "Usage: lxc-pull COMMAND ..., or as LXC's template: lxc-pull -h\n\n")
	for _, c := range commands() {
		fmt.Fprintf(ui.err, "  %-9s %s\n", c.name, c.summary)
	}
	return &exitError{code: exitUsage}
}
