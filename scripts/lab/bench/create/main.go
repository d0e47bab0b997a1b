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
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"

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

const image = "--dist debian --release bookworm --arch amd64"

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
	cable  *measure.Cable
	url    string // host and port
	missed bool
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
	if b.cable, err = measure.NewCable(strconv.Itoa(os.Getpid()), 77); err != nil {
		return false, err
	}
	defer b.cable.Remove()
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
		if err := b.cable.Limit(rate); err != nil {
			return false, err
		}
		n := runs
		if rate > 0 && rate < 10 {
			n = 1 // a run that long isn't dominated by noise
		}
		ways := b.ways(rate == 0)
		for range n {
			for _, w := range ways {
				config := func() error {
					dir := b.dir + "/run/c"
					if err := os.MkdirAll(dir, 0o755); err != nil {
						return err
					}
					return os.WriteFile(dir+"/config", []byte("lxc.rootfs.path = dir:"+dir+"/rootfs\n"), 0o644)
				}
				env := []string{"LXC_CACHE_PATH=" + b.dir + "/run/cache", "WGETRC=" + b.dir + "/wgetrc", "LXC_PULL_CACHE_SIZE="}
				if err := w.Run(b.dir+"/run", env, config); err != nil {
					return false, fmt.Errorf("%s: %w", w.Name, err)
				}
			}
		}
		b.show(rate, ways)
	}
	return !b.missed, nil
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
	b.url = strings.TrimPrefix(strings.TrimSpace(line), "https://")
	return stop, os.WriteFile(b.dir+"/wgetrc", []byte("ca_certificate = "+b.dir+"/ca.pem\n"), 0o644)
}

// ways returns the candidates: ours is the first, the stock template the second.
func (b *bench) ways(unshaped bool) []*measure.Way {
	inside := []string{"ip", "netns", "exec", b.cable.Near}
	create := func(program string, more ...string) func(string) []string {
		return func(dir string) []string {
			argv := append(inside[:len(inside):len(inside)], program, "--path="+dir+"/c", "--name=c", "--rootfs="+dir+"/c/rootfs", "--server="+b.url)
			return append(append(argv, strings.Fields(image)...), more...)
		}
	}
	trust := []string{"--keyring=" + b.keyring, "--cacert=" + b.dir + "/ca.pem"}
	stock := create(b.oracle)
	ways := []*measure.Way{
		{Name: "lxc-pull --no-cache", Made: "c/rootfs", Argv: create(b.ours, append(trust, "--no-cache")...)},
		{Name: "stock, sync -f", Made: "c/rootfs", Argv: func(dir string) []string {
			script := `root=$1; shift; "$@" && sync -f "$root"`
			return append([]string{"sh", "-c", script, "stock", dir + "/c/rootfs"}, stock(dir)...)
		}},
		{Name: "transfer alone", Argv: func(dir string) []string {
			place := strings.TrimPrefix(b.rootfs, b.tree)
			return append(inside[:len(inside):len(inside)], b.ours, "fetch", "-q", "--cacert="+b.dir+"/ca.pem", "https://"+b.url+place, "-o", "/dev/null")
		}},
		{Name: "decoding alone", Argv: func(string) []string { return []string{b.ours, "zcat", "-t", b.rootfs} }},
	}
	if unshaped {
		ways = append(ways,
			&measure.Way{Name: "lxc-pull", Made: "c/rootfs", Argv: create(b.ours, trust...)},
			&measure.Way{Name: "lxc-pull --memory 24M", Made: "c/rootfs", Argv: create(b.ours, append(trust, "--no-cache", "--memory=24M")...)})
	}
	return ways
}

// show prints the table of a rate, and tells which goals are met.
func (b *bench) show(rate float64, ways []*measure.Way) {
	measure.Title(rate, ways)
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\twall s\tCPU s\tmemory MB\tbesides the rootfs MB\twall ratio\t")
	stock := measure.Median(ways[1].Wall)
	for _, w := range ways {
		ratio := "-"
		if w.Made != "" {
			ratio = fmt.Sprintf("%.2f", measure.Median(w.Wall)/stock)
		}
		fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%.1f\t%.1f\t%s\t\n", w.Name, measure.Median(w.Wall), measure.Median(w.CPU),
			float64(measure.Median(w.Memory))/1e6, float64(measure.Median(w.Disk))/1e6, ratio)
	}
	t.Flush()
	goal := func(what string, have, most float64) { b.missed = !measure.Goal(what, have, most) || b.missed }
	ours := ways[0]
	slower := max(measure.Median(ways[2].Wall), measure.Median(ways[3].Wall))
	goal("wall time to the slower of transfer and decoding", measure.Median(ours.Wall)/slower, maxOverlap)
	goal("MB of memory", float64(measure.Median(ours.Memory))/1e6, maxMemory)
	// A creation edits the config, so it must exist before.
	goal("MB besides the root file system", float64(measure.Median(ours.Disk))/1e6, 0.01)
	if rate > 0 {
		return
	}
	goal("wall time to stock's", measure.Median(ours.Wall)/stock, maxRatio)
	small := ways[5]
	goal("wall time to stock's, --memory 24M", measure.Median(small.Wall)/stock, maxRatioSmall)
	goal("MB of memory, --memory 24M", float64(measure.Median(small.Memory))/1e6, maxMemorySmall)
}
