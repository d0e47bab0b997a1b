// Scale measures how time and memory grow with a root file system: lxc-pull untar beside GNU tar
// and xz.
//
//	go run -C scripts ./lab/bench/scale [-mb 50,200,1000,4000] [-files 1000,10000,100000,1000000] -work DIR -unpack /dev/shm ../bin/lxc-pull
//
// One series has the same number of files in tarballs of different sizes, the other one small
// files alone, in different numbers. The tarballs are made while they are packed (rootfs.go) by xz
// -1, in blocks, into DIR: the largest needs 1.2 GB there. They are unpacked into the directory
// -unpack, best on a tmpfs, one after the other. On a tmpfs each run of both programs finds memory
// that was used before: a virtual machine gets it from its host at the first use. The table has
// wall time, CPU time and the peak of the resident memory of all processes, the time for each MB
// (10^6 bytes) of the tarball and for each file; medians if -n is more than 1. The goals, below
// the table, are that the CPU time for a MB or a file doesn't grow, nor the memory. The exit
// status is 3 if one is missed. It needs root, and memory for the largest tree: 5.2 GB for a
// million files.
package main

import (
	"flag"
	"fmt"
	"log"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"golang.org/x/sys/unix"

	"lxc-pull/scripts/lab/bench/measure"
)

// The goals.
const (
	maxGrowth = 1.15 // of the CPU time for a MB or a file, and of the memory
	maxMemory = 96   // MB
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench/scale: ")
	var b bench
	mb := flag.String("mb", "50,200,1000,4000", "`sizes` of the tarballs with a fixed number of files, in MB")
	files := flag.String("files", "1000,10000,100000,1000000", "`numbers` of small files")
	flag.StringVar(&b.work, "work", "", "`directory` for the packed tarballs (default: a temporary one)")
	flag.StringVar(&b.unpack, "unpack", "", "`directory` to unpack into (default: -work)")
	flag.IntVar(&b.runs, "n", 1, "runs of each")
	flag.Parse()
	var err error
	if b.ours, err = filepath.Abs(flag.Arg(0)); flag.NArg() != 1 || b.runs < 1 || err != nil {
		flag.Usage()
		os.Exit(2)
	}
	measure.Outlive()
	if err := b.all(numbers(*mb), numbers(*files)); err != nil {
		log.Fatal(err)
	}
	if b.goals.Missed() {
		os.Exit(measure.Missed)
	}
}

// numbers reads numbers with commas between.
func numbers(text string) (list []int) {
	for word := range strings.SplitSeq(text, ",") {
		if word == "" {
			continue
		}
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 {
			log.Fatalf("number %q", word)
		}
		list = append(list, n)
	}
	return list
}

// A bench has everything that the runs share.
type bench struct {
	ours, work, unpack string

	runs  int
	dir   string // in work
	table *tabwriter.Writer
	goals measure.Goals
}

// A row is one tarball and its measurements.
type row struct {
	shape
	bytes     int64 // of the uncompressed tarball
	ours, gnu *measure.Way
}

// filesOfSizes is the number of files in the tarballs of different sizes.
const filesOfSizes = 5000

func (b *bench) all(sizes, counts []int) (err error) {
	if b.dir, err = os.MkdirTemp(b.work, "bench-scale"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if b.unpack == "" {
		b.unpack = b.dir
	}
	root, err := os.MkdirTemp(b.unpack, "bench-scale")
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	b.table = tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(b.table, "files\tMB\tpacked MB\tprogram\twall s\tCPU s\tmemory MB\tCPU ms/MB\tCPU us/file\t")
	var bySize, byCount []*row
	for _, mb := range sizes {
		r, err := b.measure(shape{files: filesOfSizes, size: int64(mb) * 1e6 / filesOfSizes}, root)
		if err != nil {
			return err
		}
		bySize = append(bySize, r)
	}
	for _, n := range counts {
		r, err := b.measure(shape{files: n, size: 100}, root)
		if err != nil {
			return err
		}
		byCount = append(byCount, r)
	}
	b.table.Flush()
	b.judge(bySize, byCount)
	return nil
}

// measure packs a tarball, and unpacks it with both programs.
func (b *bench) measure(s shape, root string) (*row, error) {
	r := &row{shape: s}
	name := b.dir + "/rootfs.tar.xz"
	defer os.Remove(name)
	if err := r.pack(name); err != nil {
		return nil, err
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	r.ours = &measure.Way{Name: "lxc-pull untar", Made: "root", Argv: func(dir string) []string { return []string{b.ours, "untar", "-C", dir + "/root", name} }}
	r.gnu = &measure.Way{Name: "GNU tar, xz", Made: "root", Argv: func(dir string) []string {
		return []string{"tar", "--numeric-owner", "--xattrs-include=*", "-xpJf", name, "-C", dir + "/root"}
	}}
	for range b.runs {
		for _, w := range []*measure.Way{r.ours, r.gnu} {
			if err := w.Run(root+"/run", nil, func() error { return r.touch(root) }); err != nil {
				return nil, fmt.Errorf("%s: %w", w.Name, err)
			}
			if err := os.RemoveAll(root + "/run"); err != nil {
				return nil, err
			}
		}
	}
	for _, w := range []*measure.Way{r.ours, r.gnu} {
		cpu := measure.Median(w.CPU)
		fmt.Fprintf(b.table, "%d\t%.0f\t%.0f\t%s\t%.2f\t%.2f\t%.1f\t%.2f\t%.1f\t\n", r.files, float64(r.bytes)/1e6, float64(info.Size())/1e6, w.Name,
			measure.Median(w.Wall), cpu, megabytes(w), cpu*1e9/float64(r.bytes), cpu*1e6/float64(r.files))
	}
	log.Printf("%d files, %d MB: done", r.files, r.bytes/1e6)
	return r, nil
}

// touch uses as much memory as the tree will need on a tmpfs, and gives it back. A virtual machine
// gets memory from its host at the first use, which takes longer than the extraction.
func (r *row) touch(dir string) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil || fs.Type != unix.TMPFS_MAGIC {
		return err
	}
	const page = 4096 // a small file's content
	need := r.bytes + int64(r.files)*page
	if need > math.MaxInt {
		return fmt.Errorf("a tree of %d bytes is too large for a %d-bit program", need, strconv.IntSize)
	}
	memory, err := unix.Mmap(-1, 0, int(need), unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_POPULATE)
	if err != nil {
		return fmt.Errorf("the memory for the tree: %w", err)
	}
	return unix.Munmap(memory)
}

// megabytes returns the median of the memory in MB.
func megabytes(w *measure.Way) float64 { return float64(measure.Median(w.Memory)) / 1e6 }

// pack makes the tarball, compressed.
func (r *row) pack(name string) error {
	out, err := os.Create(name)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command("xz", "-1", "-T2", "--block-size=24MiB", "-c")
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	r.bytes, err = r.write(in)
	in.Close()
	if end := cmd.Wait(); err == nil {
		err = end
	}
	return err
}

// judge compares the last row of each series with an earlier one: for CPU time the second, because
// the first is so small that the program's start counts; for memory the first with a tarball of
// fullBlocks.
func (b *bench) judge(bySize, byCount []*row) {
	if len(bySize) > 2 {
		first, last := bySize[1], bySize[len(bySize)-1]
		of := func(r *row) float64 { return measure.Median(r.ours.CPU) * 1e9 / float64(r.bytes) }
		b.goals.Ratio(fmt.Sprintf("CPU a MB, %d MB to %d MB", last.bytes/1e6, first.bytes/1e6), "ms", of(last), of(first), maxGrowth)
	}
	if len(byCount) > 2 {
		first, last := byCount[1], byCount[len(byCount)-1]
		of := func(r *row) float64 { return measure.Median(r.ours.CPU) * 1e6 / float64(r.files) }
		b.goals.Ratio(fmt.Sprintf("CPU a file, %d files to %d", last.files, first.files), "us", of(last), of(first), maxGrowth)
	}
	for _, rows := range [][]*row{bySize, byCount} {
		if len(rows) == 0 {
			continue
		}
		last := rows[len(rows)-1]
		full := slices.IndexFunc(rows, func(r *row) bool { return r.bytes >= fullBlocks })
		if full >= 0 && rows[full] != last {
			name := fmt.Sprintf("memory, %d files, %d MB, to %d files, %d MB", last.files, last.bytes/1e6, rows[full].files, rows[full].bytes/1e6)
			b.goals.Ratio(name, "MB", megabytes(last.ours), megabytes(rows[full].ours), maxGrowth)
		}
		b.goals.Limit(fmt.Sprintf("memory, %d files, %d MB", last.files, last.bytes/1e6), "MB", megabytes(last.ours), maxMemory)
	}
}

// fullBlocks is the size in bytes from which a tarball has enough blocks that each worker has one,
// and the next are read.
const fullBlocks = 95e6
