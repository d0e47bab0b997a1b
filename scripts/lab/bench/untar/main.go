// Untar measures extractors: lxc-pull untar, GNU tar with the flags of the stock LXC
// template, bsdtar and busybox.
//
//	go run -C scripts ./lab/bench/untar -tar ROOTFS.tar -work /dev/shm ../bin/lxc-pull
//
// All extract the same uncompressed archive into a directory on the same file
// system, taking turns, several times. The table has the medians of CPU time
// (user and system) and wall time, the peak of resident memory, and CPU time as a ratio
// to GNU tar's. With strace it also counts the file system calls per entry of the
// archive. The goals are below the table; the exit status is 3 if one is missed. It
// needs root, for owners and devices.
package main

import (
	"archive/tar"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"lxc-pull/scripts/lab/bench/measure"
)

// The goals: GNU tar's CPU time, half its system calls, and memory for a small router.
const (
	maxRatio  = 1.0
	maxCalls  = 5.0     // GNU tar needs 10
	maxMemory = 8 << 10 // KiB above the resident memory at start-up
)

// A tool is one extractor; its arguments take the directory and the archive.
type tool struct {
	name string
	args func(directory, archive string) []string

	cpu, wall []time.Duration
	memory    []int64 // KiB
	calls     float64 // file system calls per entry
}

func tools(ours string) []*tool {
	return []*tool{
		{name: "lxc-pull", args: func(d, a string) []string { return []string{ours, "untar", "-C", d, a} }},
		{name: "GNU tar", args: func(d, a string) []string {
			return []string{"tar", "--anchored", "--numeric-owner", "--xattrs-include=*", "-xpf", a, "-C", d}
		}},
		{name: "bsdtar", args: func(d, a string) []string { return []string{"bsdtar", "--numeric-owner", "-xpf", a, "-C", d} }},
		{name: "busybox", args: func(d, a string) []string { return []string{"busybox", "tar", "-xpf", a, "-C", d} }},
	}
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench/untar: ")
	archive := flag.String("tar", "", "uncompressed `archive` to extract")
	work := flag.String("work", "", "`directory` to extract in, best on a tmpfs (default: a temporary one)")
	runs := flag.Int("n", 7, "runs of each extractor")
	flag.Parse()
	if *archive == "" || flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	met, err := bench(flag.Arg(0), *archive, *work, *runs)
	if err != nil {
		log.Fatal(err)
	}
	if !met {
		os.Exit(measure.Missed)
	}
}

func bench(ours, archive, work string, runs int) (bool, error) {
	dir, err := os.MkdirTemp(work, "bench-untar")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	entries, err := count(archive)
	if err != nil {
		return false, err
	}
	var list []*tool
	for _, t := range tools(ours) {
		if _, err := exec.LookPath(t.args("", "")[0]); err != nil {
			log.Printf("%s is not there: left out", t.name)
			continue
		}
		list = append(list, t)
	}
	for range runs {
		for _, t := range list {
			if err := t.run(dir, archive); err != nil {
				return false, err
			}
		}
	}
	if _, err := exec.LookPath("strace"); err == nil {
		for _, t := range list {
			calls, err := t.trace(dir, archive)
			if err != nil {
				return false, err
			}
			t.calls = float64(calls) / float64(entries)
		}
	} else {
		log.Print("strace is not there: system calls are not counted")
	}
	start, err := startMemory(ours)
	if err != nil {
		return false, err
	}
	return show(list, entries, start), nil
}

// count returns the number of entries in the archive.
func count(archive string) (int, error) {
	f, err := os.Open(archive)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	r := tar.NewReader(f)
	for n := 0; ; n++ {
		if _, err := r.Next(); err == io.EOF {
			return n, nil
		} else if err != nil {
			return 0, err
		}
	}
}

// empty makes an empty directory to extract into.
func empty(dir string) (string, error) {
	directory := filepath.Join(dir, "root")
	if err := os.RemoveAll(directory); err != nil {
		return "", err
	}
	return directory, os.Mkdir(directory, 0o755)
}

func (t *tool) run(dir, archive string) error {
	directory, err := empty(dir)
	if err != nil {
		return err
	}
	args := t.args(directory, archive)
	cmd := exec.Command(args[0], args[1:]...)
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	// ru_maxrss begins at this program's own size, so read the high-water mark while
	// the tool runs.
	var peak int64
	done := make(chan error, 1)
	go func() { done <- t.tolerate(cmd.Wait()) }()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			peak = max(peak, measure.HighWater(cmd.Process.Pid))
			continue
		case err := <-done:
			if err != nil {
				return err
			}
		}
		break
	}
	t.wall = append(t.wall, time.Since(start))
	t.cpu = append(t.cpu, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
	t.memory = append(t.memory, peak)
	return nil
}

// tolerate ignores an exit status of 1 or 2 of the other tools, which complain about
// times and attributes; their time counts nevertheless.
func (t *tool) tolerate(err error) error {
	var exit *exec.ExitError
	if err == nil || errors.As(err, &exit) && t.name != "lxc-pull" && exit.ExitCode() > 0 {
		return nil
	}
	return fmt.Errorf("%s: %w", t.name, err)
}

// notFiles lists the system calls that have nothing to do with the file system.
var notFiles = []string{"futex", "nanosleep", "clock_nanosleep", "mmap", "munmap", "mprotect", "madvise", "brk", "sched_yield", "sched_getaffinity",
	"epoll_pwait", "epoll_create1", "epoll_ctl", "eventfd2", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "tgkill", "getpid", "gettid",
	"clone", "clone3", "exit", "exit_group", "execve", "arch_prctl", "set_tid_address", "set_robust_list", "rseq", "prlimit64", "getrandom", "uname",
	"geteuid", "getegid", "getuid", "getgid", "prctl", "wait4", "restart_syscall"}

// trace counts the system calls of one run.
func (t *tool) trace(dir, archive string) (int, error) {
	directory, err := empty(dir)
	if err != nil {
		return 0, err
	}
	summary := filepath.Join(dir, "calls")
	cmd := exec.Command("strace", append([]string{"-f", "-c", "-o", summary, "--"}, t.args(directory, archive)...)...)
	if err := t.tolerate(cmd.Run()); err != nil {
		return 0, err
	}
	text, err := os.ReadFile(summary)
	if err != nil {
		return 0, err
	}
	calls := 0
	for name, n := range measure.Calls(string(text)) {
		if name != "total" && !slices.Contains(notFiles, name) {
			calls += n
		}
	}
	return calls, nil
}

// startMemory returns the program's peak of resident memory in KiB while it waits for
// its first byte.
func startMemory(ours string) (int64, error) {
	cmd := exec.Command(ours, "untar", "-t", "-")
	in, err := cmd.StdinPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	time.Sleep(200 * time.Millisecond)
	peak := measure.HighWater(cmd.Process.Pid)
	in.Close()
	cmd.Wait() // it fails: empty input is no archive
	return peak, nil
}

// show prints the table and reports whether the goals are met.
func show(list []*tool, entries int, start int64) bool {
	fmt.Printf("%d entries\n", entries)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "extractor\tCPU ms\twall ms\tfastest\tmemory KiB\tcalls/entry\tCPU ratio\t")
	var gnu time.Duration
	for _, t := range list {
		if t.name == "GNU tar" {
			gnu = measure.Median(t.cpu)
		}
	}
	ms := func(d time.Duration) string { return fmt.Sprintf("%.0f", float64(d)/1e6) }
	for _, t := range list {
		ratio := "-"
		if gnu > 0 {
			ratio = fmt.Sprintf("%.2f", float64(measure.Median(t.cpu))/float64(gnu))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%.2f\t%s\t\n", t.name, ms(measure.Median(t.cpu)), ms(measure.Median(t.wall)), ms(slices.Min(t.wall)), measure.Median(t.memory), t.calls, ratio)
	}
	w.Flush()
	ours := list[0]
	var goals measure.Goals
	if gnu > 0 {
		goals.Ratio("extraction, CPU, to GNU tar", "ms", float64(measure.Median(ours.cpu))/1e6, float64(gnu)/1e6, maxRatio)
	}
	if ours.calls > 0 {
		goals.Limit("extraction, file system calls an entry", "", ours.calls, maxCalls)
	}
	goals.Limit("extraction, memory above start-up", "KiB", float64(measure.Median(ours.memory)-start), maxMemory)
	return !goals.Missed()
}
