// Create measures the creation of a container: by lxc-pull, and by the stock template
// (GNU wget, tar, xz) followed by "sync -f", because lxc-pull syncs too.
//
//	go run -C scripts ./lab/bench/create -tree TREE -keyring KEY -oracle TEMPLATE -server FAULTSERVER [-part PART] ../bin/lxc-pull
//
// The image server is in a network namespace of its own, behind a virtual cable. The candidates
// take turns. The tables have the medians of wall time, CPU time of all processes, the peak of
// the sum of their resident memory, and the peak of bytes on a disk besides the root file
// system: the cache, temporary files, and deleted files that are still open. PART is one of
//
//	rates       the kernel limits the cable to a number of MB (10^6 bytes) per second
//	            (rates.go); needs tc
//	disk        on a new ext4 on a loop device whose file is in -work (disk.go)
//	latency     each packet takes half of -delay (latency.go); needs /dev/net/tun
//	scheduling  on one processor and on more, idle and busy (scheduling.go); needs strace
//
// The goals are below the tables; the exit status is 3 if one is missed. It needs root and ip.
// Wall times are meaningful only on an idle machine.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"lxc-pull/scripts/lab/bench/measure"
)

const image = "--dist debian --release bookworm --arch amd64"

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench/create: ")
	var b bench
	flag.StringVar(&b.tree, "tree", "", "image `tree` with debian/bookworm/amd64")
	flag.StringVar(&b.keyring, "keyring", "", "`file` with its key")
	flag.StringVar(&b.oracle, "oracle", "", "the stock `template`")
	flag.StringVar(&b.server, "server", "", "the `program` scripts/lab/faultserver")
	flag.StringVar(&b.work, "work", "", "`directory` to make containers in (default: a temporary one)")
	part := flag.String("part", "rates", "rates, disk, latency or scheduling")
	rates := flag.String("rates", "0,50,8,2", "MB per second, 0: no limit")
	flag.StringVar(&b.plain, "tar", "", "scheduling: the image's uncompressed `archive`")
	flag.DurationVar(&b.delay, "delay", 300*time.Millisecond, "latency: the time of a round trip")
	flag.IntVar(&b.runs, "n", 5, "runs of each on fast links; links below 10 MB/s get one run")
	flag.Parse()
	run := map[string]func() error{"rates": b.atRates, "disk": b.onDisk, "latency": b.withLatency, "scheduling": b.scheduling}[*part]
	if flag.NArg() != 1 || b.tree == "" || b.keyring == "" || b.oracle == "" || b.server == "" || run == nil || b.runs < 1 {
		flag.Usage()
		os.Exit(2)
	}
	for text := range strings.SplitSeq(*rates, ",") {
		rate, err := strconv.ParseFloat(text, 64)
		if err != nil || rate < 0 {
			log.Fatalf("rate %q", text)
		}
		b.rates = append(b.rates, rate)
	}
	b.ours = flag.Arg(0)
	measure.Outlive()
	err := b.prepare()
	if err == nil {
		err = errors.Join(run(), os.RemoveAll(b.dir))
	}
	if err != nil {
		log.Fatal(err)
	}
	if b.goals.Missed() {
		os.Exit(measure.Missed)
	}
}

// A bench has everything that the runs share.
type bench struct {
	tree, keyring, oracle, server, work, ours, plain string

	rates  []float64
	runs   int
	delay  time.Duration
	dir    string // in work
	rootfs string // the image's tarball
	cable  *measure.Cable
	url    string // host and port
	serves int    // process id of the server
	goals  measure.Goals
}

// prepare makes paths absolute, finds the image, and makes a directory to work in.
func (b *bench) prepare() error {
	for _, p := range []*string{&b.tree, &b.keyring, &b.oracle, &b.server, &b.ours} {
		var err error
		if *p, err = filepath.Abs(*p); err != nil {
			return err
		}
	}
	found, err := filepath.Glob(b.tree + "/images/debian/bookworm/amd64/default/*/rootfs.tar.xz")
	if err != nil || len(found) == 0 {
		return fmt.Errorf("no image in %q", b.tree)
	}
	b.rootfs = found[len(found)-1]
	info, err := os.Stat(b.rootfs)
	if err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp(b.work, "bench-create"); err != nil {
		return err
	}
	fmt.Printf("%d bytes packed\n", info.Size())
	return nil
}

// connect makes the cable, with half of delay for each packet, and starts the server at its end.
func (b *bench) connect(delay time.Duration) (stop func(), err error) {
	id := strconv.Itoa(os.Getpid())
	if delay == 0 {
		b.cable, err = measure.NewCable(id, 77)
	} else {
		b.cable, err = measure.NewDelayedCable(id, 77, delay/2)
	}
	if err != nil {
		return nil, err
	}
	end, err := b.serve()
	if err != nil {
		b.cable.Remove()
		return nil, err
	}
	return func() {
		end()
		b.cable.Remove()
	}, nil
}

// serve starts the image server.
func (b *bench) serve() (stop func(), err error) {
	cmd := exec.Command("ip", "netns", "exec", b.cable.Far, b.server, "-faults", "none", "-listen", b.cable.Address+":0", "-tls", b.dir+"/ca.pem", b.tree)
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
	b.serves = cmd.Process.Pid
	b.url = strings.TrimPrefix(strings.TrimSpace(line), "https://")
	return stop, os.WriteFile(b.dir+"/wgetrc", []byte("ca_certificate = "+b.dir+"/ca.pem\n"), 0o644)
}

// inside returns argv to be run at the near end of the cable.
func (b *bench) inside(argv ...string) []string {
	return append([]string{"ip", "netns", "exec", b.cable.Near}, argv...)
}

// create returns the command of a creation by one of the two programs.
func (b *bench) create(program, dir string, more ...string) []string {
	argv := b.inside(program, "--path="+dir+"/c", "--name=c", "--rootfs="+dir+"/c/rootfs", "--server="+b.url)
	return append(append(argv, strings.Fields(image)...), more...)
}

// own is a creation by lxc-pull.
func (b *bench) own(name string, more ...string) *measure.Way {
	more = append([]string{"--keyring=" + b.keyring, "--cacert=" + b.dir + "/ca.pem"}, more...)
	return &measure.Way{Name: name, Made: "c/rootfs", Argv: func(dir string) []string { return b.create(b.ours, dir, more...) }}
}

// stock is a creation by the stock template.
func (b *bench) stock() *measure.Way {
	const script = `root=$1; shift; "$@" && sync -f "$root"`
	return &measure.Way{Name: "stock, sync -f", Made: "c/rootfs", Argv: func(dir string) []string {
		return append([]string{"sh", "-c", script, "stock", dir + "/c/rootfs"}, b.create(b.oracle, dir)...)
	}}
}

// transfer downloads the image's tarball, and verifies its digest if sum is one.
func (b *bench) transfer(sum string) *measure.Way {
	return &measure.Way{Name: "transfer alone", Argv: func(string) []string {
		argv := b.inside(b.ours, "fetch", "-q", "--cacert="+b.dir+"/ca.pem", "https://"+b.url+strings.TrimPrefix(b.rootfs, b.tree), "-o", "/dev/null")
		if sum != "" {
			argv = append(argv, "--sha256="+sum)
		}
		return argv
	}}
}

// run runs one of the ways in dir, which is made anew. The cache is in dir, or in cache if it is
// not "".
func (b *bench) run(w *measure.Way, dir, cache string, before func() error) error {
	if cache == "" {
		cache = dir + "/cache"
	}
	prepare := func() error {
		if err := os.MkdirAll(dir+"/c", 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(dir+"/c/config", []byte("lxc.rootfs.path = dir:"+dir+"/c/rootfs\n"), 0o644); err != nil {
			return err
		}
		return before()
	}
	env := []string{"LXC_CACHE_PATH=" + cache, "WGETRC=" + b.dir + "/wgetrc", "LXC_PULL_CACHE_SIZE="}
	if err := w.Run(dir, env, prepare); err != nil {
		return fmt.Errorf("%s: %w", w.Name, err)
	}
	return nil
}

func nothing() error { return nil }

// table prints the ways, each with its wall time as a ratio to that of peer.
func table(title string, peer *measure.Way, ways []*measure.Way) {
	fmt.Printf("\n%s, %d runs\n", title, len(ways[0].Wall))
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\twall s\tCPU s\tmemory MB\tbesides the rootfs MB\twall ratio\t")
	for _, w := range ways {
		ratio := "-"
		if w.Made != "" {
			ratio = fmt.Sprintf("%.2f", measure.Median(w.Wall)/measure.Median(peer.Wall))
		}
		fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%.1f\t%.1f\t%s\t\n", w.Name, measure.Median(w.Wall), measure.Median(w.CPU),
			megabytes(w.Memory), megabytes(w.Disk), ratio)
	}
	t.Flush()
}

// megabytes returns the median of bytes in MB.
func megabytes(bytes []int64) float64 { return float64(measure.Median(bytes)) / 1e6 }
