// Zcat measures decompressors: lxc-pull zcat, the command line tools, and other Go
// packages.
//
//	go run -C scripts ./lab/bench/zcat -tar ROOTFS.tar [-xz58 PROGRAM] ../bin/lxc-pull
//
// It packs the archive with xz, gzip, zstd and bzip2. The decoders take turns, several
// times, and their output is discarded. The table has the medians of user CPU time and
// wall time, the peak of resident memory (MB of 10^6 bytes), and user CPU time as a ratio to the
// first decoder's for the same file. PROGRAM is an xz 5.8 or newer, whose decoder has assembly, if
// the installed one is older. On a busy machine only user CPU time is meaningful. The goals are
// below the table; the exit status is 3 if one is missed.
package main

import (
	"bufio"
	"compress/bzip2"
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	xi2 "github.com/xi2/xz"

	"lxc-pull/scripts/lab/bench/measure"
)

// The goals: user CPU time as a ratio to the peer's, and the memory of two workers.
const (
	maxXZ        = 1.00 // to xz 5.8
	maxGzip      = 0.70
	maxZstd      = 0.95
	maxBzip2     = 1.10
	maxParallel  = 0.65 // wall time of two workers, to one
	maxMemoryOf2 = 72   // MB
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench/zcat: ")
	archive := flag.String("tar", "", "uncompressed `archive` to pack and unpack")
	work := flag.String("work", "", "`directory` for the packed files, kept and reused (default: a temporary one)")
	runs := flag.Int("n", 5, "runs of each decoder")
	newer := flag.String("xz58", "", "another xz `program`, 5.8 or newer")
	packages := flag.Bool("packages", true, "measure other Go packages and busybox, too")
	only := flag.String("only", "", "only files whose name contains this")
	decode := flag.String("decode", "", "decode with this `package` (internal)")
	flag.Parse()
	if *decode != "" {
		if err := decodeWith(*decode, flag.Arg(0)); err != nil {
			log.Fatal(err)
		}
		return
	}
	if *archive == "" || flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	directory := *work
	if directory == "" {
		var err error
		if directory, err = os.MkdirTemp("", "bench-zcat"); err != nil {
			log.Fatal(err)
		}
		defer os.RemoveAll(directory)
	}
	ours, err := filepath.Abs(flag.Arg(0))
	if err != nil {
		log.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		log.Fatal(err)
	}
	b := bench{ours: ours, self: self, newer: *newer, packages: *packages, runs: *runs, medians: map[string]sample{}}
	b.versions()
	b.table = tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(b.table, "file\tdecoder\tuser s\tratio\twall s\tMB\t")
	for _, f := range b.files() {
		if !strings.Contains(f.name, *only) {
			continue
		}
		name, err := f.pack(*archive, directory)
		if err != nil {
			log.Printf("%s left out: %v", f.name, err)
			continue
		}
		b.compare(f, name)
	}
	b.table.Flush()
	b.judge()
	if b.goals.Missed() {
		os.Exit(measure.Missed)
	}
}

// A bench has everything that the files share, and the medians.
type bench struct {
	ours, self string
	newer      string // an xz with assembly, or ""
	packages   bool   // measure other Go packages and busybox, too
	runs       int

	table   *tabwriter.Writer
	medians map[string]sample // by "FILE DECODER"
	goals   measure.Goals
}

// versions prints which versions of the other programs run.
func (b *bench) versions() {
	for _, argv := range [][]string{{"xz", "--version"}, {b.newer, "--version"}, {"gzip", "--version"}, {"zstd", "--version"}, {"bzip2", "--help"}} {
		if argv[0] == "" {
			continue
		}
		out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
		if err != nil {
			log.Printf("%s: %v", strings.Join(argv, " "), err)
			continue
		}
		line, _, _ := strings.Cut(string(out), "\n")
		fmt.Println(line)
	}
}

// judge prints the goals.
func (b *bench) judge() {
	user := func(s sample) float64 { return s.user }
	wall := func(s sample) float64 { return s.wall }
	ratio := func(name, file, ours, peer string, of func(sample) float64, most float64) {
		a, c := b.medians[file+" "+ours], b.medians[file+" "+peer]
		if of(a) > 0 && of(c) > 0 {
			b.goals.Ratio(name, "s", of(a), of(c), most)
		}
	}
	peer := "xz"
	if b.newer != "" {
		peer = "xz58"
		ratio("xz -6, user CPU, to the installed xz", "rootfs.6.tar.xz", "lxc-pull zcat -T1", "xz -dc -T1", user, maxXZ)
	}
	ratio("xz -6, user CPU, to "+peer, "rootfs.6.tar.xz", "lxc-pull zcat -T1", peer+" -dc -T1", user, maxXZ)
	ratio("xz -9e, user CPU, to "+peer, "rootfs.9e.tar.xz", "lxc-pull zcat -T1", peer+" -dc -T1", user, maxXZ)
	ratio("blocks of xz -T2, two workers, user CPU, to "+peer+" -T2", "rootfs.6T2.tar.xz", "lxc-pull zcat -T2", peer+" -dc -T2", user, maxXZ)
	ratio("blocks of xz -T2, two workers, wall time, to "+peer+" -T2", "rootfs.6T2.tar.xz", "lxc-pull zcat -T2", peer+" -dc -T2", wall, maxXZ)
	ratio("blocks of xz -T2, two workers, wall time, to one", "rootfs.6T2.tar.xz", "lxc-pull zcat -T2", "lxc-pull zcat -T1", wall, maxParallel)
	if s, ok := b.medians["rootfs.6T2.tar.xz lxc-pull zcat -T2"]; ok {
		b.goals.Limit("blocks of xz -T2, two workers, memory", "MB", s.megabytes(), maxMemoryOf2)
	}
	ratio("gzip -9, user CPU, to gzip", "rootfs.9.tar.gz", "lxc-pull zcat", "gzip -dc", user, maxGzip)
	ratio("zstd -19, user CPU, to zstd", "rootfs.19.tar.zst", "lxc-pull zcat", "zstd -dcq", user, maxZstd)
	ratio("bzip2 -9, user CPU, to bzip2", "rootfs.tar.bz2", "lxc-pull zcat", "bzip2 -dc", user, maxBzip2)
}

// A file is one way to pack the archive, and its decoders.
type file struct {
	name     string
	packer   []string // reads stdin, writes stdout
	decoders [][]string
}

// files returns the files, each with the decoder first that the others are compared with.
func (b *bench) files() []file {
	zcat := func(args ...string) []string { return append([]string{b.ours, "zcat"}, args...) }
	others := [][]string{{"busybox", "xzcat"}, {b.self, "-decode", "xi2"}, {b.self, "-decode", "ulikunitz"}}
	xz := func(threads ...string) (list [][]string) {
		for _, decoder := range [][]string{{"xz", "-dc"}, {b.newer, "-dc"}, {b.ours, "zcat"}} {
			for _, t := range threads {
				list = append(list, append(slices.Clone(decoder), t))
			}
		}
		return append(list, others...)
	}
	return []file{
		{"rootfs.6.tar.xz", []string{"xz", "-6", "-T1"}, xz("-T1")},
		{"rootfs.6T2.tar.xz", []string{"xz", "-6", "-T2"}, xz("-T1", "-T2")},
		{"rootfs.9e.tar.xz", []string{"xz", "-9e", "-T1"}, xz("-T1")},
		{"rootfs.9.tar.gz", []string{"gzip", "-9n"}, [][]string{
			{"gzip", "-dc"}, zcat(), {"pigz", "-dc"}, {b.self, "-decode", "gzip"}}},
		{"rootfs.19.tar.zst", []string{"zstd", "-q", "-19", "-T2"}, [][]string{
			{"zstd", "-dcq"}, zcat(), {b.self, "-decode", "zstd"}}},
		{"rootfs.tar.bz2", []string{"bzip2", "-9"}, [][]string{
			{"bzip2", "-dc"}, zcat(), {b.self, "-decode", "bzip2"}}},
	}
}

// pack makes the file unless one exists that is newer than the archive.
func (f file) pack(archive, directory string) (string, error) {
	name := filepath.Join(directory, f.name)
	in, err := os.Open(archive)
	if err != nil {
		return "", err
	}
	defer in.Close()
	source, err := in.Stat()
	if err != nil {
		return "", err
	}
	if packed, err := os.Stat(name); err == nil && packed.ModTime().After(source.ModTime()) {
		return name, nil
	}
	out, err := os.Create(name + ".new")
	if err != nil {
		return "", err
	}
	defer out.Close()
	cmd := exec.Command(f.packer[0], append(f.packer[1:], "-c")...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", err
	}
	return name, os.Rename(name+".new", name)
}

type sample struct {
	user, wall float64 // seconds
	peak       int64   // KiB
}

func (s sample) megabytes() float64 { return float64(s.peak) * 1024 / 1e6 }

// label names a decoder in the table.
func (b *bench) label(command []string) string {
	switch command[0] {
	case b.self:
		return "Go package " + command[2]
	case b.newer:
		return strings.Join(append([]string{"xz58"}, command[1:]...), " ")
	}
	return strings.Join(append([]string{filepath.Base(command[0])}, command[1:]...), " ")
}

// compare runs the decoders of a file in turns and prints their rows.
func (b *bench) compare(f file, name string) {
	f.decoders = slices.DeleteFunc(f.decoders, func(command []string) bool {
		return command[0] == "" || !b.packages && (command[0] == b.self || command[0] == "busybox")
	})
	samples := make([][]sample, len(f.decoders))
	for range b.runs {
		for i, command := range f.decoders {
			if _, err := exec.LookPath(command[0]); err != nil {
				continue
			}
			s, err := run(append(slices.Clone(command), name))
			if err != nil {
				log.Printf("%s: %v", strings.Join(command, " "), err)
				continue
			}
			samples[i] = append(samples[i], s)
		}
	}
	first := 0.0
	for i, command := range f.decoders {
		label := b.label(command)
		if len(samples[i]) == 0 {
			fmt.Fprintf(b.table, "%s\t%s\t-\t-\t-\t-\t\n", f.name, label)
			continue
		}
		m := medians(samples[i])
		b.medians[f.name+" "+label] = m
		if first == 0 {
			first = m.user
		}
		fmt.Fprintf(b.table, "%s\t%s\t%.2f\t%.2f\t%.2f\t%.1f\t\n", f.name, label, m.user, m.user/first, m.wall, m.megabytes())
	}
}

// medians returns the median of each figure.
func medians(samples []sample) sample {
	var user, wall []float64
	var peak []int64
	for _, s := range samples {
		user, wall, peak = append(user, s.user), append(wall, s.wall), append(peak, s.peak)
	}
	return sample{measure.Median(user), measure.Median(wall), measure.Median(peak)}
}

// run measures one command.
func run(command []string) (sample, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return sample{}, err
	}
	// The kernel's own peak (ru_maxrss) begins at the parent's size, so read the
	// child's high-water mark, which only grows, while the child runs.
	peak, stop, stopped := int64(0), make(chan bool), make(chan bool)
	go func() {
		defer close(stopped)
		for {
			peak = max(peak, measure.HighWater(cmd.Process.Pid))
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	err := cmd.Wait()
	wall := time.Since(start)
	close(stop)
	<-stopped
	if err != nil {
		return sample{}, err
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return sample{user: time.Duration(usage.Utime.Nano()).Seconds(), wall: wall.Seconds(), peak: peak}, nil
}

// decodeWith decodes a file with a Go package.
func decodeWith(name, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 64<<10)
	var r io.Reader
	switch name {
	case "xi2":
		r, err = xi2.NewReader(in, 0)
	case "ulikunitz":
		r, err = xz.NewReader(in)
	case "gzip":
		r, err = gzip.NewReader(in)
	case "zstd":
		r, err = zstd.NewReader(in)
	case "bzip2":
		r = bzip2.NewReader(in)
	default:
		err = fmt.Errorf("no decoder %q", name)
	}
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r)
	return err
}
