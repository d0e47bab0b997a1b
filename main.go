// Command lxc-pull puts a verified root filesystem on anything that runs
// Linux. Installed as lxc-pull in LXC's template directory it is a drop-in for the
// stock "download" template; the stages of that job (list, fetch, verify,
// untar, zcat) are commands of their own.
//
// cli/cli.go has the table of commands; DESIGN.md says how to read the rest.
package main

import (
	"io"
	"log"
	"os"

	"lxc-pull/cli"
)

func main() {
	log.SetOutput(io.Discard) // net/http logs what servers do wrong
	os.Exit(cli.Run(os.Args))
}
