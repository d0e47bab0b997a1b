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
	"os"
	"path/filepath"
	"strings"
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
		{"version", nil, "print the version", versionCommand},
	}
}

// templateNames are the names under which LXC's template folder may hold the
// program; lxc-create calls a template with options only.
func isTemplateName(name string) bool {
	switch name {
	case "lxc-download", "lxc-local", "lxc-oci":
		return true
	}
	return false
}

func main() {
	os.Exit(run(os.Args))
}

// run is main with its exit status as a value, so that the tests of the
// command line call the same code.
func run(argv []string) int {
	ui := newUI(os.Stdout, os.Stderr)
	name, args := "", []string(nil)
	if len(argv) > 0 {
		name, args = filepath.Base(argv[0]), argv[1:]
	}
	ctx := context.Background()
	cmd, args, err := choose(name, args)
	if err == nil {
		err = cmd.run(ctx, ui, args)
	}
	return ui.finish(err)
}

// choose finds the command that argv[0] or the first word names.
func choose(name string, args []string) (command, []string, error) {
	for _, c := range commands() {
		for _, alias := range c.alias {
			if name == alias {
				return c, args, nil
			}
		}
	}
	if len(args) == 0 {
		return command{}, nil, usageErrorf("no command given")
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return c, args[1:], nil
		}
	}
	if strings.HasPrefix(args[0], "-") || isTemplateName(name) {
		return command{}, nil, usageErrorf("not built yet")
	}
	return command{}, nil, usageErrorf("unknown command %q", args[0])
}
