// Command init is the only program in the demo's image: process 1, which prints a
// greeting and waits until it is told to stop.
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
	// lxc-stop asks for a shutdown with SIGPWR.
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGPWR, syscall.SIGTERM, syscall.SIGINT)
	<-stop
}
