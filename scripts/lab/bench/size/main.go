// Size compares the program with an empty one that uses net/http, for each target.
//
//	go run -C scripts ./lab/bench/size [TARGET...]
//
// The peer does one http.Get, without HTTP/2, names and debug information (-s -w), as the program
// does. The table also has the peer with the program's own flags (cross/build), by which the
// compiler inlines less. The goal, for each target, is below the table; the exit status is 3 if it
// is missed.
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"lxc-pull/cross"
	"lxc-pull/scripts/lab/bench/measure"
)

// maxRatio is the goal; 1.28 would be better.
const maxRatio = 1.34

const empty = `package main

import "net/http"

func main() { http.Get("http://localhost/") }
`

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench/size: ")
	flag.Parse()
	met, err := compare(flag.Args())
	if err != nil {
		log.Fatal(err)
	}
	if !met {
		os.Exit(measure.Missed)
	}
}

func compare(names []string) (met bool, err error) {
	dir, err := os.MkdirTemp("", "bench-size")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	for name, text := range map[string]string{"go.mod": "module empty\n\ngo 1.26\n", "main.go": empty} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return false, err
		}
	}
	build := filepath.Join(dir, "build")
	if err := command("..", nil, "go", "build", "-o", build, "./cross/build"); err != nil {
		return false, err
	}
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "target\tbytes\tempty\tratio\tempty, same flags\tratio\t")
	var goals measure.Goals
	var sizes [][3]int64
	var targets []cross.Target
	for _, target := range cross.Targets() {
		name := strings.TrimPrefix(strings.TrimPrefix(target.File(), "lxc-pull-"), "linux-")
		if len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		s, err := sizesOf(target, name, dir, build)
		if err != nil {
			return false, err
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%.3f\t%d\t%.3f\t\n", name, s[0], s[1], float64(s[0])/float64(s[1]), s[2], float64(s[0])/float64(s[2]))
		sizes, targets = append(sizes, s), append(targets, target)
	}
	t.Flush()
	for i, s := range sizes {
		goals.Ratio("size, "+strings.TrimPrefix(targets[i].File(), "lxc-pull-")+", to an empty program", "MB", float64(s[0])/1e6, float64(s[1])/1e6, maxRatio)
	}
	return !goals.Missed(), nil
}

// sizesOf builds the program and the two peers, and returns their sizes in bytes.
func sizesOf(target cross.Target, name, dir, build string) (sizes [3]int64, err error) {
	plain := filepath.Join(dir, "plain")
	for _, step := range []struct {
		dir  string
		argv []string
	}{
		{"..", []string{build, "-o", filepath.Join(dir, "ours"), name}},
		{dir, []string{"go", "build", "-trimpath", "-tags=nethttpomithttp2", "-ldflags=-s -w -buildid=", "-o", plain, "."}},
		{dir, []string{build, "-o", filepath.Join(dir, "same"), name}},
	} {
		// A size above the budget is an error of the build, too, but leaves the file.
		err = errors.Join(err, command(step.dir, target.Env(), step.argv...))
	}
	for i, path := range []string{filepath.Join(dir, "ours", target.File()), plain, filepath.Join(dir, "same", target.File())} {
		info, missing := os.Stat(path)
		if missing != nil {
			return sizes, fmt.Errorf("%s: %w", name, err)
		}
		sizes[i] = info.Size()
		os.Remove(path) // so that a failing build doesn't leave the size of another
	}
	return sizes, nil
}

// command runs a program in a directory.
func command(dir string, env []string, argv ...string) error {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", argv[0], err, out)
	}
	return nil
}
