// Command init is the whole userland of the demo's image: process 1 that says
// hello and waits until it is told to stop.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	name, err := os.Hostname()
	if err != nil {
		name = "?"
	}
	fmt.Printf("hello from %s, process %d\n", name, os.Getpid())
	// SIGPWR is how lxc-stop asks for a shutdown.
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGPWR, syscall.SIGTERM, syscall.SIGINT)
	<-stop
}
