// Command hostileconfigs publishes images whose configs and fstabs try to reach the host,
// and creates containers from them with lxc-pull. It starts each accepted container with
// the real lxc-start, and checks whether anything outside of the container changed.
//
//	hostileconfigs [-ours FILE] [-n 2000] [-seed S] [-j 2] [-only I] [-self] [-v]
//
// It tries fixed configs first, then -n random ones. Each worker attacks a host of its
// own: namespaces of every kind, and the machine's files below an overlay, whose upper
// directory shows every change. So the machine itself doesn't change, except for kernel
// settings without a namespace, which are watched and restored. With -self the configs
// are harmful ones that lxc-pull must accept (--allow-host-config), and each kind of
// watch must notice its harm.
//
// It needs root, Linux 5.0 or later, LXC and a static busybox.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A job is a worker's task, as JSON in the worker's last argument.
type job struct {
	Dir           string // the run's directory
	Seed          uint64
	Count         int
	Worker, Of    int
	Only          int // if not negative, try only this case
	Self, Verbose bool
}

// A result is a worker's report about a case, as a line of JSON.
type result struct {
	Index   int
	Name    string
	Status  int // lxc-pull's exit status
	Started bool
	Faults  []fault
	Config  string
	Output  string // output of lxc-pull and lxc-start
	Want    kind   // -self: the watch that must notice something,
	At      string // and where
	Error   string // the worker itself failed
	Notes   []string
}

const workerWord = "in-own-world"

func main() {
	var err error
	if len(os.Args) == 3 && os.Args[1] == workerWord {
		err = work(os.Args[2])
	} else {
		err = run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "hostileconfigs:", err)
		os.Exit(1)
	}
}

func run() error {
	ours := flag.String("ours", "bin/lxc-pull", "our program")
	count := flag.Int("n", 2000, "random configs, besides the fixed ones")
	seed := flag.Uint64("seed", 0, "seed of the configs (0: a new one)")
	workers := flag.Int("j", runtime.NumCPU(), "workers")
	only := flag.Int("only", -1, "run only the case with this number, which a failure prints")
	self := flag.Bool("self", false, "show that each watch notices its kind of harm")
	verbose := flag.Bool("v", false, "print the result of each case")
	flag.Parse()
	if os.Geteuid() != 0 {
		return errors.New("needs root, to make namespaces and containers")
	}
	if flag.NArg() > 0 || *count < 0 || *workers < 1 {
		return errors.New("usage: hostileconfigs [-ours FILE] [-n COUNT] [-seed S] [-j WORKERS] [-only I] [-self] [-v]")
	}
	if *seed == 0 {
		*seed = rand.Uint64()>>1 + 1
	}
	fmt.Printf("seed %d\n", *seed)

	dir, err := os.MkdirTemp("/var/tmp", "hostileconfigs.")
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	defer func() {
		// Remove the files of dead workers; their mounts ended with their namespaces.
		removeGroups(runTag(dir))
		os.RemoveAll(dir)
	}()
	if err := prepare(dir, *ours); err != nil {
		return err
	}
	start := time.Now()
	j := job{Dir: dir, Seed: *seed, Count: *count, Of: *workers, Only: *only, Self: *self, Verbose: *verbose}
	sum := summary{self: *self, verbose: *verbose}
	if err := sum.runWorkers(ctx, j); err != nil {
		return err
	}
	if want := len(j.indexes()); sum.passed+sum.failed != want {
		return fmt.Errorf("%d cases of %d were run", sum.passed+sum.failed, want)
	}
	fmt.Printf("%d refused, %d created, %d of them started; %.1f s\n", sum.refused, sum.created, sum.started, time.Since(start).Seconds())
	for _, k := range slices.Sorted(maps.Keys(sum.kinds)) {
		fmt.Printf("  %-10s %d\n", k, sum.kinds[k])
	}
	fmt.Printf("%d passed, %d failed\n", sum.passed, sum.failed)
	if sum.failed > 0 {
		return errors.New("an image reached the host")
	}
	// A run that started no container proves nothing.
	if *only < 0 && !*self && sum.started < len(j.indexes())/10 {
		return fmt.Errorf("only %d containers were started", sum.started)
	}
	return nil
}

// A summary counts results.
type summary struct {
	self, verbose             bool
	passed, failed            int
	refused, created, started int
	kinds                     map[kind]int
}

func (s *summary) runWorkers(ctx context.Context, j job) error {
	results := make(chan result)
	errs := make(chan error, j.Of)
	var wg sync.WaitGroup
	for i := range j.Of {
		wg.Go(func() {
			own := j
			own.Worker = i
			errs <- runWorker(ctx, own, results)
		})
	}
	go func() {
		wg.Wait()
		close(results)
	}()
	var broken error
	for r := range results {
		if r.Error != "" {
			broken = fmt.Errorf("case %d (%s): %s\n%s", r.Index, r.Name, r.Error, escape(r.Output))
			continue
		}
		s.add(r)
	}
	for range j.Of {
		broken = errors.Join(broken, <-errs)
	}
	return broken
}

func (s *summary) add(r result) {
	if s.kinds == nil {
		s.kinds = map[kind]int{}
	}
	if r.Status == 0 {
		s.created++
	} else {
		s.refused++
	}
	if r.Started {
		s.started++
	}
	bad := len(r.Faults) > 0
	if r.Want != "" {
		bad = !slices.ContainsFunc(r.Faults, func(f fault) bool { return f.Kind == r.Want && strings.Contains(f.What, r.At) })
	}
	for _, f := range r.Faults {
		s.kinds[f.Kind]++
	}
	if bad {
		s.failed++
	} else {
		s.passed++
	}
	switch {
	case bad && s.self && r.Want != "":
		fmt.Printf("FAIL %d %s: not noticed: %s %s\n", r.Index, r.Name, r.Want, r.At)
	case bad:
		fmt.Printf("FAIL %d %s\n", r.Index, r.Name)
	case s.verbose:
		fmt.Printf("ok   %d %s: status %d, started %t\n", r.Index, r.Name, r.Status, r.Started)
	default:
		return
	}
	for _, f := range r.Faults {
		fmt.Printf("  %s: %s\n", f.Kind, escape(f.What))
	}
	if bad || s.verbose {
		fmt.Printf("  config %s\n  output %s\n", escape(r.Config), escape(r.Output))
		for _, n := range r.Notes {
			fmt.Printf("  %s\n", escape(n))
		}
	}
}

func runWorker(ctx context.Context, j job, results chan<- result) error {
	arg, err := json.Marshal(j)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe", workerWord, string(arg))
	cmd.Stderr = os.Stderr
	// Its death ends all processes in its PID namespace.
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWNET,
		Pdeathsig:  syscall.SIGKILL,
	}
	// The kernel sends Pdeathsig when the thread that started the child ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	in := bufio.NewScanner(out)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		var r result
		if err := json.Unmarshal(in.Bytes(), &r); err != nil {
			return fmt.Errorf("worker %d: %w", j.Worker, err)
		}
		results <- r
	}
	if err := errors.Join(in.Err(), cmd.Wait()); err != nil {
		return fmt.Errorf("worker %d: %w", j.Worker, err)
	}
	return nil
}

// indexes returns the numbers of all cases of the run.
func (j job) indexes() []int {
	total := len(fixed) + j.Count
	if j.Self {
		total = len(selfCases)
	}
	if j.Only >= 0 {
		return []int{j.Only}
	}
	all := make([]int, total)
	for i := range all {
		all[i] = i
	}
	return all
}

// work is the worker: the first process of its namespaces.
func work(arg string) error {
	var j job
	if err := json.Unmarshal([]byte(arg), &j); err != nil {
		return err
	}
	w, err := newWorld(j)
	if err != nil {
		return fmt.Errorf("worker %d: %w", j.Worker, err)
	}
	out := json.NewEncoder(os.Stdout)
	for _, i := range j.indexes() {
		if i%j.Of != j.Worker && j.Only < 0 || j.Only >= 0 && j.Worker > 0 {
			continue
		}
		var c testCase
		switch {
		case j.Self && i < len(selfCases):
			c = selfCases[i]
		case j.Self:
			return fmt.Errorf("there are %d cases", len(selfCases))
		case i < len(fixed):
			c = fixed[i]
		default:
			c = generate(rand.New(rand.NewPCG(j.Seed, uint64(i))), i)
		}
		r := w.try(i, c)
		if err := out.Encode(r); err != nil {
			return err
		}
		if r.Error != "" {
			return nil // it is reported already
		}
	}
	return w.close()
}

// escape makes text safe to print as a line on a terminal.
func escape(text string) string {
	quoted := strconv.QuoteToASCII(text)
	return strings.ReplaceAll(quoted, `\n`, "\\n\n    ")
}

// prepare makes the files that all workers read: the program, the images' root file
// systems and the key.
func prepare(dir, ours string) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	program, err := os.ReadFile(ours)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "lxc-pull"), program, 0o755); err != nil {
		return err
	}
	return prepareImages(dir)
}
