package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"

	"lxc-pull/scripts/lab/bench/measure"
)

const (
	maxSlower = 1.03 // wall time with more workers, as a ratio to one worker's: what runs differ by
	maxCPU    = 1.08 // CPU time of a creation, as a ratio to the sum of its parts
	maxSleeps = 200  // nanosleep calls of a creation but for those of the runtime's monitor
)

// scheduling measures what the division of the work costs: several workers beside one, the calls
// with which threads wait, and a creation beside its parts.
func (b *bench) scheduling() error {
	if b.plain == "" {
		return fmt.Errorf("-tar is missing")
	}
	stop, err := b.connect(0)
	if err != nil {
		return err
	}
	defer stop()
	for cpus := 1; cpus <= min(runtime.NumCPU(), 4); cpus *= 2 {
		for _, busy := range []bool{false, true} {
			if err := b.workers(cpus, busy); err != nil {
				return err
			}
		}
	}
	if err := b.waits(); err != nil {
		return err
	}
	return b.parts()
}

// workers compares one worker with as many as the program takes on a number of processors. If busy,
// a loop occupies one of the processors.
func (b *bench) workers(cpus int, busy bool) error {
	title := fmt.Sprintf("%d processors, idle", cpus)
	if busy {
		title = fmt.Sprintf("%d processors, one busy", cpus)
		loop := exec.Command("taskset", "-c", "0", "sh", "-c", "while :; do :; done")
		if err := loop.Start(); err != nil {
			return err
		}
		defer func() {
			loop.Process.Kill()
			loop.Wait()
		}()
	}
	on := func(w *measure.Way, env ...string) *measure.Way {
		argv := w.Argv
		w.Argv = func(dir string) []string {
			set := []string{"taskset", "-c", fmt.Sprintf("0-%d", cpus-1), "env"}
			return append(append(set, env...), argv(dir)...)
		}
		return w
	}
	zcat := func(workers int) *measure.Way {
		name := "zcat -T" + strconv.Itoa(workers)
		return on(&measure.Way{Name: name, Argv: func(string) []string {
			return []string{b.ours, "zcat", "-t", "-T" + strconv.Itoa(workers), b.rootfs}
		}})
	}
	several := max(cpus, 2)
	ways := []*measure.Way{zcat(1), zcat(several)}
	if cpus > 1 { // on one processor a creation has one worker
		ways = append(ways, on(b.own("creation, one worker", "--no-cache"), "GOMAXPROCS=1"), on(b.own("creation", "--no-cache")))
	}
	for range b.runs {
		for _, w := range ways {
			if err := b.run(w, b.dir+"/run", "", nothing); err != nil {
				return err
			}
		}
	}
	table(title, ways[len(ways)-2], ways)
	for i := 0; i < len(ways); i += 2 {
		name := fmt.Sprintf("%s, %s, to one worker", ways[i+1].Name, title)
		b.goals.Ratio(name, "s", measure.Median(ways[i+1].Wall), measure.Median(ways[i].Wall), maxSlower)
	}
	return nil
}

// waits counts the calls with which threads sleep, wait for each other and yield. The runtime's
// monitor (sysmon in runtime/proc.go) sleeps for 20 µs as long as it takes processors from threads in
// system calls, and up to 10 ms otherwise; all other sleeps in the runtime are shorter.
func (b *bench) waits() error {
	names := []string{"futex", "nanosleep", "epoll_pwait", "sched_yield", "madvise"}
	fmt.Print("\ncalls\n")
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\t"+strings.Join(names, "\t")+"\tof these the monitor's nanosleep\t")
	zcat := func(workers string) *measure.Way {
		return &measure.Way{Name: "zcat " + workers, Argv: func(string) []string { return []string{b.ours, "zcat", "-t", workers, b.rootfs} }}
	}
	creation := b.own("creation", "--no-cache")
	sleeps := 0
	for _, w := range []*measure.Way{zcat("-T1"), zcat("-T2"), creation} {
		trace := b.dir + "/calls"
		traced := &measure.Way{Name: w.Name, Made: w.Made, Argv: func(dir string) []string {
			return append([]string{"strace", "-f", "--trace=" + strings.Join(names, ","), "-o", trace, "--"}, w.Argv(dir)...)
		}}
		if err := b.run(traced, b.dir+"/run", "", nothing); err != nil {
			return err
		}
		text, err := os.ReadFile(trace)
		if err != nil {
			return err
		}
		calls, monitors := countCalls(string(text))
		fmt.Fprintf(t, "%s\t", w.Name)
		for _, name := range names {
			fmt.Fprintf(t, "%d\t", calls[name])
		}
		fmt.Fprintf(t, "%d\t\n", monitors)
		if w == creation {
			sleeps = calls["nanosleep"] - monitors
		}
	}
	t.Flush()
	b.goals.Limit("nanosleep calls of a creation but the monitor's", "", float64(sleeps), maxSleeps)
	return nil
}

// countCalls returns how often strace -f saw each call, and how many sleeps are the monitor's.
func countCalls(trace string) (calls map[string]int, monitors int) {
	calls = map[string]int{}
	for line := range strings.Lines(trace) {
		_, call, _ := strings.Cut(line, " ")
		name, arguments, begun := strings.Cut(strings.TrimSpace(call), "(")
		if !begun { // the rest of a call that another thread's line interrupted, or a signal
			continue
		}
		calls[name]++
		var seconds, ns int
		if n, _ := fmt.Sscanf(arguments, "{tv_sec=%d, tv_nsec=%d}", &seconds, &ns); name == "nanosleep" && n == 2 && ns >= 20000 {
			monitors++
		}
	}
	return calls, monitors
}

// parts compares the CPU time of creations with the sum of decoding, digest and extraction.
func (b *bench) parts() error {
	sum, err := digest(b.rootfs)
	if err != nil {
		return err
	}
	plain, err := filepath.Abs(b.plain)
	if err != nil {
		return err
	}
	kept := b.dir + "/kept" // a cache that has the image
	fill := b.own("filling the cache")
	if err := b.run(fill, b.dir+"/run", kept, nothing); err != nil {
		return err
	}
	cached, fetched := b.own("creation from the cache"), b.own("creation from the server", "--no-cache")
	decode := &measure.Way{Name: "zcat -t", Argv: func(string) []string { return []string{b.ours, "zcat", "-t", b.rootfs} }}
	hash := &measure.Way{Name: "fetch --sha256 of a file", Argv: func(string) []string {
		return []string{b.ours, "fetch", "-q", "--sha256=" + sum, "file://" + b.rootfs, "-o", "/dev/null"}
	}}
	transfer := b.transfer(sum)
	transfer.Name = "fetch --sha256 from the server"
	extract := &measure.Way{Name: "untar", Made: "root", Argv: func(dir string) []string { return []string{b.ours, "untar", "-C", dir + "/root", plain} }}
	ways := []*measure.Way{cached, fetched, decode, hash, transfer, extract}
	for range b.runs {
		for _, w := range ways {
			if err := b.run(w, b.dir+"/run", kept, nothing); err != nil {
				return err
			}
		}
	}
	table("a creation and its parts", fetched, ways)
	cpu := func(ways ...*measure.Way) (sum float64) {
		for _, w := range ways {
			sum += measure.Median(w.CPU)
		}
		return sum
	}
	b.goals.Ratio("CPU, creation from the cache, to decode + hash + extract", "s", cpu(cached), cpu(decode, hash, extract), maxCPU)
	b.goals.Ratio("CPU, creation from the server, the same and transfer", "s", cpu(fetched), cpu(decode, transfer, extract), maxCPU)
	return nil
}

// digest returns the SHA-256 of a file in hexadecimal.
func digest(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return fmt.Sprintf("%x", h.Sum(nil)), err
}
