// Command probe is the program of the container images that e2e/oci makes. It prints how it was
// started, a line each: its arguments, environment, user, groups and directory. It then waits
// for a signal, prints its name and ends; with PROBE_ONCE in its environment it ends at once.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals)
	var text string
	for _, arg := range os.Args {
		text += fmt.Sprintf("arg %q\n", arg)
	}
	env := os.Environ()
	slices.Sort(env)
	for _, e := range env {
		text += fmt.Sprintf("env %q\n", e)
	}
	groups, err := os.Getgroups()
	if err != nil {
		text += fmt.Sprintf("groups: %v\n", err)
	}
	slices.Sort(groups)
	text += fmt.Sprintf("uid %d\ngid %d\ngroups %d\n", os.Geteuid(), os.Getegid(), groups)
	dir, err := os.Getwd()
	if err != nil {
		text += fmt.Sprintf("cwd: %v\n", err)
	}
	text += fmt.Sprintf("cwd %q\npid %d\nend\n", dir, os.Getpid())
	fmt.Print(text)
	if os.Getenv("PROBE_ONCE") != "" {
		return
	}
	for s := range signals {
		if s != syscall.SIGCHLD && s != syscall.SIGURG && s != syscall.SIGWINCH && s != syscall.SIGCONT {
			fmt.Printf("signal %v\n", s)
			return
		}
	}
}
