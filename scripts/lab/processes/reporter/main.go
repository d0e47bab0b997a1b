// Command reporter is the process of the containers that processes starts. It writes what it
// is to /out/report as JSON, and the first signal that it gets to /out/signal.
package main

import (
	"encoding/json"
	"log"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

// A Report is what the process sees of itself. Texts are bytes, which JSON would change.
type Report struct {
	Args, Env []byte // as /proc/self has them, with a NUL after each
	Status    string // /proc/self/status
	Dir       []byte
	Mounts    string // /proc/self/mounts
	PID       int
	Ports     string // net.ipv4.ip_unprivileged_port_start
	Ping      string // net.ipv4.ping_group_range
}

func main() {
	log.SetFlags(0)
	signals := make(chan os.Signal, 10)
	for n := 1; n < 65; n++ {
		if s := syscall.Signal(n); s != syscall.SIGURG && s != syscall.SIGCHLD && s != syscall.SIGWINCH && s != syscall.SIGCONT {
			signal.Notify(signals, s)
		}
	}
	var r Report
	r.Args, r.Env, r.Status = read("/proc/self/cmdline"), read("/proc/self/environ"), string(read("/proc/self/status"))
	r.Mounts, r.Ports, r.Ping = string(read("/proc/self/mounts")), line("ip_unprivileged_port_start"), line("ping_group_range")
	dir, err := os.Readlink("/proc/self/cwd")
	if err != nil {
		log.Fatal(err)
	}
	r.Dir, r.PID = []byte(dir), os.Getpid()
	text, err := json.Marshal(r)
	if err == nil {
		err = os.WriteFile("/out/report.new", text, 0o644)
	}
	if err == nil {
		err = os.Rename("/out/report.new", "/out/report")
	}
	if err != nil {
		log.Fatal(err)
	}
	s := <-signals
	number, _ := s.(syscall.Signal)
	if err := os.WriteFile("/out/signal", []byte(strconv.Itoa(int(number))), 0o644); err != nil {
		log.Fatal(err)
	}
}

func read(name string) []byte {
	data, err := os.ReadFile(name)
	if err != nil {
		log.Fatal(err)
	}
	return data
}

// line returns a setting of the network, "" if the kernel lacks it.
func line(name string) string {
	data, _ := os.ReadFile("/proc/sys/net/ipv4/" + name)
	return strings.Join(strings.Fields(string(data)), " ")
}
