// Zcat measures decompressors: lxc-pull zcat, the command line tools, and other Go
// packages.
//
//	go run -C scripts ./lab/bench/zcat -tar ROOTFS.tar ../bin/lxc-pull
//
// It packs the archive with xz, gzip, zstd and bzip2. The decoders take turns, several
// times, and their output is discarded. The table has the medians of user CPU time and
// wall time, the peak of resident memory, and user CPU time as a ratio to the first
// decoder's for the same file. On a busy machine only user CPU time is meaningful.
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

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench/zcat: ")
	archive := flag.String("tar", "", "uncompressed `archive` to pack and unpack")
	work := flag.String("work", "", "`directory` for the packed files, kept and reused (default: a temporary one)")
	runs := flag.Int("n", 5, "runs of each decoder")
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
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "file\tdecoder\tuser s\tratio\twall s\tMiB\t")
	for _, f := range files(ours, self) {
		if !strings.Contains(f.name, *only) {
			continue
		}
		name, err := f.pack(*archive, directory)
		if err != nil {
			log.Printf("%s left out: %v", f.name, err)
			continue
		}
		compare(t, f, name, *runs)
	}
	t.Flush()
}

// A file is one way to pack the archive, and its decoders.
type file struct {
	name     string
	packer   []string // reads stdin, writes stdout
	decoders [][]string
}

func files(ours, self string) []file {
	zcat := func(args ...string) []string { return append([]string{ours, "zcat"}, args...) }
	xzTools := [][]string{
		{"xz", "-dc", "-T1"}, zcat("-T1"), {"busybox", "xzcat"},
		{self, "-decode", "xi2"}, {self, "-decode", "ulikunitz"},
	}
	return []file{
		{"rootfs.6.tar.xz", []string{"xz", "-6", "-T1"}, xzTools},
		{"rootfs.6T2.tar.xz", []string{"xz", "-6", "-T2"}, append([][]string{
			{"xz", "-dc", "-T1"}, {"xz", "-dc", "-T2"}, zcat("-T1"), zcat("-T2")}, xzTools[2:]...)},
		{"rootfs.9e.tar.xz", []string{"xz", "-9e", "-T1"}, xzTools},
		{"rootfs.9.tar.gz", []string{"gzip", "-9n"}, [][]string{
			{"gzip", "-dc"}, zcat(), {"pigz", "-dc"}, {self, "-decode", "gzip"}}},
		{"rootfs.19.tar.zst", []string{"zstd", "-q", "-19", "-T2"}, [][]string{
			{"zstd", "-dcq"}, zcat(), {self, "-decode", "zstd"}}},
		{"rootfs.tar.bz2", []string{"bzip2", "-9"}, [][]string{
			{"bzip2", "-dc"}, zcat(), {self, "-decode", "bzip2"}}},
	}
}

// pack makes the file unless it exists.
func (f file) pack(archive, directory string) (string, error) {
	name := filepath.Join(directory, f.name)
	if _, err := os.Stat(name); err == nil {
		return name, nil
	}
	in, err := os.Open(archive)
	if err != nil {
		return "", err
	}
	defer in.Close()
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

// compare runs the decoders of a file in turns and prints their rows.
func compare(t io.Writer, f file, name string, runs int) {
	samples := make([][]sample, len(f.decoders))
	for range runs {
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
		label := strings.Join(append([]string{filepath.Base(command[0])}, command[1:]...), " ")
		if command[0] == os.Args[0] || len(command) > 2 && command[1] == "-decode" {
			label = "Go package " + command[2]
		}
		if len(samples[i]) == 0 {
			fmt.Fprintf(t, "%s\t%s\t-\t-\t-\t-\t\n", f.name, label)
			continue
		}
		user := median(samples[i], func(s sample) float64 { return s.user })
		if first == 0 {
			first = user
		}
		fmt.Fprintf(t, "%s\t%s\t%.2f\t%.2f\t%.2f\t%.1f\t\n", f.name, label, user, user/first,
			median(samples[i], func(s sample) float64 { return s.wall }),
			median(samples[i], func(s sample) float64 { return float64(s.peak) / 1024 }))
	}
}

func median(samples []sample, of func(sample) float64) float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	return measure.Median(values)
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
