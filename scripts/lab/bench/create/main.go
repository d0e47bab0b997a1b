// Create measures the creation of a container: by lxc-pull, and by the stock template
// (GNU wget, tar, xz) followed by "sync -f", because lxc-pull syncs too.
//
//	go run -C scripts ./lab/bench/create -tree TREE -keyring KEY -oracle TEMPLATE -server FAULTSERVER ../bin/lxc-pull
//
// The image server is in a network namespace of its own, behind a virtual cable. The
// kernel limits the server's end of the cable (tc's token bucket filter) to a number of
// MB (10^6 bytes) per second. The candidates take turns. The table has the medians of
// wall time, CPU time of all processes, the peak of the sum of their resident memory,
// and the peak of bytes on a disk besides the root file system: the cache, temporary
// files, and deleted files that are still open. The goals are below the table; the exit
// status is 1 if one is missed. It needs root, ip and tc. Wall times are meaningful only
// on an idle machine.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"lxc-pull/scripts/lab/bench/measure"
)

// The goals.
const (
	maxOverlap     = 1.05 // wall time, as a ratio to the slower of transfer and decoding
	maxRatio       = 0.50 // wall time, as a ratio to the stock template's, without a limit
	maxRatioSmall  = 0.75 // the same with --memory 24M
	maxMemory      = 96   // MB, with two blocks decoded in parallel
	maxMemorySmall = 32   // MB, with --memory 24M
)

const (
	host, address = "10.213.77.2", "10.213.77.1" // in separate network namespaces
	image         = "--dist debian --release bookworm --arch amd64"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench/create: ")
	var b bench
	flag.StringVar(&b.tree, "tree", "", "image `tree` with debian/bookworm/amd64")
	flag.StringVar(&b.keyring, "keyring", "", "`file` with its key")
	flag.StringVar(&b.oracle, "oracle", "", "the stock `template`")
	flag.StringVar(&b.server, "server", "", "the `program` scripts/lab/faultserver")
	flag.StringVar(&b.work, "work", "", "`directory` to make containers in, on a disk (default: a temporary one)")
	rates := flag.String("rates", "0,50,8,2", "MB per second, 0: no limit")
	runs := flag.Int("n", 5, "runs of each on fast links; links below 10 MB/s get one run")
	flag.Parse()
	if flag.NArg() != 1 || b.tree == "" || b.keyring == "" || b.oracle == "" || b.server == "" {
		flag.Usage()
		os.Exit(2)
	}
	b.ours = flag.Arg(0)
	met, err := b.all(strings.Split(*rates, ","), *runs)
	if err != nil {
		log.Fatal(err)
	}
	if !met {
		os.Exit(1)
	}
}

// A bench has everything that the runs share.
type bench struct {
	tree, keyring, oracle, server, work, ours string

	dir    string // in work
	rootfs string // the image's tarball
	near   string // the client's namespace
	far    string // the server's
	cable  string // the far end's name
	url    string // host and port
	missed bool
}

// A way is one candidate and its measurements.
type way struct {
	name   string
	argv   func(dir string) []string
	create bool // it makes a container

	wall, cpu    []float64 // seconds
	memory, disk []int64   // bytes
}

func (b *bench) all(rates []string, runs int) (bool, error) {
	for _, p := range []*string{&b.tree, &b.keyring, &b.oracle, &b.server, &b.ours} {
		var err error
		if *p, err = filepath.Abs(*p); err != nil {
			return false, err
		}
	}
	found, err := filepath.Glob(b.tree + "/images/debian/bookworm/amd64/default/*/rootfs.tar.xz")
	if err != nil || len(found) == 0 {
		return false, fmt.Errorf("no image in %q", b.tree)
	}
	b.rootfs = found[len(found)-1]
	if b.dir, err = os.MkdirTemp(b.work, "bench-create"); err != nil {
		return false, err
	}
	defer os.RemoveAll(b.dir)
	if err := b.network(); err != nil {
		return false, err
	}
	defer b.unplug()
	stop, err := b.serve()
	if err != nil {
		return false, err
	}
	defer stop()
	info, err := os.Stat(b.rootfs)
	if err != nil {
		return false, err
	}
	fmt.Printf("%d bytes packed, %d processors\n", info.Size(), runtime.NumCPU())
	for _, text := range rates {
		rate, err := strconv.ParseFloat(text, 64)
		if err != nil || rate < 0 {
			return false, fmt.Errorf("rate %q", text)
		}
		if err := b.shape(rate); err != nil {
			return false, err
		}
		n := runs
		if rate > 0 && rate < 10 {
			n = 1 // a run that long isn't dominated by noise
		}
		ways := b.ways(rate == 0)
		for range n {
			for _, w := range ways {
				if err := b.run(w); err != nil {
					return false, fmt.Errorf("%s: %w", w.name, err)
				}
			}
		}
		b.show(rate, ways)
	}
	return !b.missed, nil
}

// network makes two network namespaces with a virtual cable between them.
func (b *bench) network() error {
	id := strconv.Itoa(os.Getpid())
	b.near, b.far, b.cable = "benchnear"+id, "benchfar"+id, "bf"+id
	for _, line := range []string{
		"ip netns add " + b.near,
		"ip netns add " + b.far,
		"ip link add bn" + id + " netns " + b.near + " type veth peer name " + b.cable + " netns " + b.far,
		"ip -n " + b.near + " addr add " + host + "/24 dev bn" + id,
		"ip -n " + b.far + " addr add " + address + "/24 dev " + b.cable,
		"ip -n " + b.near + " link set bn" + id + " up",
		"ip -n " + b.far + " link set " + b.cable + " up",
	} {
		if err := command(line); err != nil {
			b.unplug()
			return err
		}
	}
	return nil
}

func (b *bench) unplug() {
	exec.Command("ip", "netns", "del", b.near).Run()
	exec.Command("ip", "netns", "del", b.far).Run()
}

func command(line string) error {
	f := strings.Fields(line)
	if out, err := exec.Command(f[0], f[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %v: %s", line, err, out)
	}
	return nil
}

// shape limits the server's sending to rate MB per second; 0 removes the limit.
func (b *bench) shape(rate float64) error {
	tc := "tc -n " + b.far + " qdisc "
	exec.Command("tc", "-n", b.far, "qdisc", "del", "dev", b.cable, "root").Run() // it fails if there is none
	if rate == 0 {
		return nil
	}
	return command(fmt.Sprintf("%s add dev %s root tbf rate %.0fkbit burst 128kb latency 50ms", tc, b.cable, rate*8000))
}

// serve starts the image server.
func (b *bench) serve() (stop func(), err error) {
	cmd := exec.Command("ip", "netns", "exec", b.far, b.server, "-faults", "none", "-listen", address+":0", "-tls", b.dir+"/ca.pem", b.tree)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		stop()
		return nil, fmt.Errorf("%s: %w", b.server, err)
	}
	b.url = strings.TrimPrefix(strings.TrimSpace(line), "https://")
	return stop, os.WriteFile(b.dir+"/wgetrc", []byte("ca_certificate = "+b.dir+"/ca.pem\n"), 0o644)
}

// ways returns the candidates: ours is the first, the stock template the second.
func (b *bench) ways(unshaped bool) []*way {
	inside := []string{"ip", "netns", "exec", b.near}
	create := func(program string, more ...string) func(string) []string {
		return func(dir string) []string {
			argv := append(inside[:len(inside):len(inside)], program, "--path="+dir+"/c", "--name=c", "--rootfs="+dir+"/c/rootfs", "--server="+b.url)
			return append(append(argv, strings.Fields(image)...), more...)
		}
	}
	trust := []string{"--keyring=" + b.keyring, "--cacert=" + b.dir + "/ca.pem"}
	stock := create(b.oracle)
	ways := []*way{
		{name: "lxc-pull --no-cache", create: true, argv: create(b.ours, append(trust, "--no-cache")...)},
		{name: "stock, sync -f", create: true, argv: func(dir string) []string {
			script := `root=$1; shift; "$@" && sync -f "$root"`
			return append([]string{"sh", "-c", script, "stock", dir + "/c/rootfs"}, stock(dir)...)
		}},
		{name: "transfer alone", argv: func(dir string) []string {
			place := strings.TrimPrefix(b.rootfs, b.tree)
			return append(inside[:len(inside):len(inside)], b.ours, "fetch", "-q", "--cacert="+b.dir+"/ca.pem", "https://"+b.url+place, "-o", "/dev/null")
		}},
		{name: "decoding alone", argv: func(string) []string { return []string{b.ours, "zcat", "-t", b.rootfs} }},
	}
	if unshaped {
		ways = append(ways,
			&way{name: "lxc-pull", create: true, argv: create(b.ours, trust...)},
			&way{name: "lxc-pull --memory 24M", create: true, argv: create(b.ours, append(trust, "--no-cache", "--memory=24M")...)})
	}
	return ways
}

// run measures one run.
func (b *bench) run(w *way) error {
	dir := b.dir + "/run"
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	for _, d := range []string{dir + "/c/rootfs", dir + "/tmp"} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(dir+"/c/config", []byte("lxc.rootfs.path = dir:"+dir+"/c/rootfs\n"), 0o644); err != nil {
		return err
	}
	syscall.Sync() // so that earlier writes don't count
	argv := w.argv(dir)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "LXC_CACHE_PATH="+dir+"/cache", "TMPDIR="+dir+"/tmp", "WGETRC="+b.dir+"/wgetrc", "LXC_PULL_CACHE_SIZE=")
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	var memory, disk int64
	for tick := time.Tick(5 * time.Millisecond); ; {
		select {
		case <-tick:
			processes := family(cmd.Process.Pid)
			sum := int64(0)
			for _, pid := range processes {
				if len(processes) == 1 {
					sum += measure.HighWater(pid)
				} else {
					sum += measure.Resident(pid)
				}
			}
			memory = max(memory, sum<<10)
			disk = max(disk, sizes(dir)+deleted(processes))
			continue
		case err := <-done:
			if err != nil {
				return fmt.Errorf("%w: %s", err, output.String())
			}
		}
		break
	}
	w.wall = append(w.wall, time.Since(begin).Seconds())
	w.cpu = append(w.cpu, (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds())
	w.memory, w.disk = append(w.memory, memory), append(w.disk, disk)
	if entries, err := os.ReadDir(dir + "/c/rootfs"); w.create && (err != nil || len(entries) == 0) {
		return fmt.Errorf("no container was made: %s", output.String())
	}
	return nil
}

// family is a process with its descendants.
func family(pid int) []int {
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", all[i], all[i]))
		for _, f := range strings.Fields(string(text)) {
			if n, err := strconv.Atoi(f); err == nil {
				all = append(all, n)
			}
		}
	}
	return all
}

// sizes returns the bytes in dir, without the root file system.
func sizes(dir string) int64 {
	sum := int64(0)
	filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil // removed in the meantime
		}
		if entry.IsDir() && path == dir+"/c/rootfs" {
			return fs.SkipDir
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			sum += info.Size()
		}
		return nil
	})
	return sum
}

// deleted returns the bytes of deleted files that processes still have open.
func deleted(processes []int) int64 {
	sum := int64(0)
	for _, pid := range processes {
		open, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		for _, fd := range open {
			if target, err := os.Readlink(fd); err != nil || !strings.HasSuffix(target, " (deleted)") {
				continue
			}
			if info, err := os.Stat(fd); err == nil && info.Mode().IsRegular() {
				sum += info.Size()
			}
		}
	}
	return sum
}

// show prints the table of a rate, and tells which goals are met.
func (b *bench) show(rate float64, ways []*way) {
	link := "unshaped"
	if rate > 0 {
		link = fmt.Sprintf("%g MB/s", rate)
	}
	fmt.Printf("\n%s, %d runs\n", link, len(ways[0].wall))
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\twall s\tCPU s\tmemory MB\tbesides the rootfs MB\twall ratio\t")
	stock := measure.Median(ways[1].wall)
	for _, w := range ways {
		ratio := "-"
		if w.create {
			ratio = fmt.Sprintf("%.2f", measure.Median(w.wall)/stock)
		}
		fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%.1f\t%.1f\t%s\t\n", w.name, measure.Median(w.wall), measure.Median(w.cpu),
			float64(measure.Median(w.memory))/1e6, float64(measure.Median(w.disk))/1e6, ratio)
	}
	t.Flush()
	goal := func(what string, have, most float64) {
		word := "met"
		if have > most {
			word, b.missed = "MISSED", true
		}
		fmt.Printf("goal %s: %.2f, at most %.2f: %s\n", what, have, most, word)
	}
	ours := ways[0]
	slower := max(measure.Median(ways[2].wall), measure.Median(ways[3].wall))
	goal("wall time to the slower of transfer and decoding", measure.Median(ours.wall)/slower, maxOverlap)
	goal("MB of memory", float64(measure.Median(ours.memory))/1e6, maxMemory)
	// A creation edits the config, so it must exist before.
	goal("MB besides the root file system", float64(measure.Median(ours.disk))/1e6, 0.01)
	if rate > 0 {
		return
	}
	goal("wall time to stock's", measure.Median(ours.wall)/stock, maxRatio)
	small := ways[5]
	goal("wall time to stock's, --memory 24M", measure.Median(small.wall)/stock, maxRatioSmall)
	goal("MB of memory, --memory 24M", float64(measure.Median(small.memory))/1e6, maxMemorySmall)
}
