// Startup measures the cost of starting a program that does nothing: lxc-pull version,
// busybox true, wget --version and curl --version.
//
//	go run -C scripts ./lab/bench/startup [-n 200] ../bin/lxc-pull
//
// The programs take turns. The table has the shortest and the median wall time
// from fork to exit and the peak of resident memory. time(1) measures the peak, because
// a child of this program would count this program's memory too, until its exec
// (getrusage(2), ru_maxrss). The goal is below the table; the exit status is 3 if it is missed.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"lxc-pull/scripts/lab/bench/measure"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench/startup: ")
	runs := flag.Int("n", 200, "runs of each program")
	flag.Parse()
	if flag.NArg() != 1 || *runs < 1 {
		flag.Usage()
		os.Exit(2)
	}
	program, err := filepath.Abs(flag.Arg(0))
	var goals measure.Goals
	if err == nil {
		err = bench(&goals, program, *runs)
	}
	if err != nil {
		log.Fatal(err)
	}
	if goals.Missed() {
		os.Exit(measure.Missed)
	}
}

// maxRatio is the goal for the median, as a ratio to wget's.
const maxRatio = 1.0

func bench(goals *measure.Goals, program string, runs int) error {
	calls := [][]string{{program, "version"}, {program, "--help"}, {"busybox", "true"}, {"wget", "--version"}, {"curl", "--version"}}
	walls := make([][]time.Duration, len(calls))
	for range runs {
		for i, argv := range calls {
			start := time.Now()
			if err := exec.Command(argv[0], argv[1:]...).Run(); err != nil {
				return fmt.Errorf("%q: %v", argv, err)
			}
			walls[i] = append(walls[i], time.Since(start))
		}
	}
	fmt.Printf("%-20s %9s %9s %9s\n", "", "best", "median", "memory")
	for i, argv := range calls {
		memory, err := peak(argv)
		if err != nil {
			return err
		}
		slices.Sort(walls[i])
		ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
		fmt.Printf("%-20s %6.2f ms %6.2f ms %6d KiB\n", filepath.Base(argv[0])+" "+argv[1], ms(walls[i][0]), ms(walls[i][runs/2]), memory)
	}
	ms := func(i int) float64 { return 1e3 * measure.Median(walls[i]).Seconds() }
	goals.Ratio("start-up, to wget", "ms", ms(0), ms(3), maxRatio)
	return nil
}

// peak returns the largest resident memory of one run, in KiB.
func peak(argv []string) (int, error) {
	cmd := exec.Command("time", append([]string{"-f", "%M"}, argv...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("time %q: %v", argv, err)
	}
	lines := strings.Fields(stderr.String())
	if len(lines) == 0 {
		return 0, fmt.Errorf("time %q says nothing", argv)
	}
	return strconv.Atoi(lines[len(lines)-1])
}
