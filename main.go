// Command lxc-pull puts a verified root file system on any machine that runs Linux.
// Installed in LXC's directory of templates it takes the place of the stock "download"
// template. The steps of that job (list, fetch, verify, untar, zcat) are commands, too.
//
// cli/cli.go has the table of commands. DESIGN.md says how to read the rest.
package main

import (
	"io"
	"log"
	"os"
	"runtime"

	"lxc-pull/cli"
)

// init keeps the main goroutine on the main thread. Only there can it do that for sure
// (runtime.LockOSThread); cli.Run says why.
func init() { runtime.LockOSThread() }

func main() {
	log.SetOutput(io.Discard) // net/http logs the errors of servers
	os.Exit(cli.Run(os.Args))
}
