// Lists measures what listing a simplestreams server costs: by lxc-pull, by LXD's client if it is
// installed, and, as the measure of reading JSON, by jq, which reads the list from a file.
//
//	go run -C scripts ./lab/bench/lists -tree TREE -keyring FILE ../bin/lxc-pull
//
// scripts/streams made the tree. It is served over HTTPS on the loopback interface. The programs
// take turns. The table has the medians of wall time and of CPU time, and the peak of resident
// memory, as time(1) measures it. The goals are below the table; the exit status is 3 if one is
// missed. Wall times are meaningful only on an idle machine.
package main

import (
	"bytes"
	"encoding/pem"
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"lxc-pull/scripts/lab/bench/measure"
)

// The goals.
const (
	maxRatio  = 2.0 // wall time, as a ratio to jq's
	maxMemory = 24  // MB
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench/lists: ")
	tree := flag.String("tree", "", "`directory` that scripts/streams made")
	keyring := flag.String("keyring", "", "`file` with the key that signed the lists")
	runs := flag.Int("n", 11, "runs of each")
	flag.Parse()
	if flag.NArg() != 1 || *tree == "" || *keyring == "" || *runs < 1 {
		flag.Usage()
		os.Exit(2)
	}
	met, err := bench(flag.Arg(0), *tree, *keyring, *runs)
	if err != nil {
		log.Fatal(err)
	}
	if !met {
		os.Exit(measure.Missed)
	}
}

// A candidate is a program and its measurements.
type candidate struct {
	name      string
	argv      []string
	want      string // what it prints
	wall, cpu []float64
	memory    []int64 // bytes
}

func bench(ours, tree, keyring string, runs int) (met bool, err error) {
	dir, err := os.MkdirTemp("", "bench-lists")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	for _, path := range []*string{&ours, &tree, &keyring} {
		if *path, err = filepath.Abs(*path); err != nil {
			return false, err
		}
	}
	server := httptest.NewTLSServer(http.FileServer(http.Dir(tree)))
	defer server.Close()
	ca := dir + "/ca.pem"
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o644); err != nil {
		return false, err
	}
	list := tree + "/streams/v1/images.json"
	info, err := os.Stat(list)
	if err != nil {
		return false, err
	}
	candidates := []*candidate{
		{name: "jq -c .", argv: []string{"jq", "-c", ".", list}, want: "products"},
		{name: "lxc-pull list", argv: []string{ours, "list", server.URL, "--protocol", "simplestreams", "--cacert", ca}, want: "filler00"},
		{name: "lxc-pull list, signed", argv: []string{ours, "list", server.URL, "--protocol", "simplestreams", "--cacert", ca, "--keyring", keyring}, want: "filler00"},
	}
	env := append(os.Environ(), "HOME="+dir, "LXD_CONF="+dir, "SSL_CERT_FILE="+ca, "LXC_CACHE_PATH="+dir+"/cache")
	if _, err := exec.LookPath("lxc"); err == nil {
		add := exec.Command("lxc", "remote", "add", "bench", server.URL, "--protocol", "simplestreams")
		add.Env = env
		if out, err := add.CombinedOutput(); err != nil {
			return false, fmt.Errorf("lxc: %w: %s", err, out)
		}
		candidates = append(candidates, &candidate{name: "lxc image list (LXD)", argv: []string{"lxc", "image", "list", "bench:", "--format", "csv"}, want: "filler00"})
	}
	for range runs {
		for _, c := range candidates {
			if err := c.run(env); err != nil {
				return false, fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	fmt.Printf("\nlist of %.1f MB, %d runs\n%-22s %9s %9s %9s\n", float64(info.Size())/1e6, runs, "", "wall", "CPU", "memory")
	for _, c := range candidates {
		fmt.Printf("%-22s %6.0f ms %6.0f ms %6.1f MB\n", c.name, 1e3*measure.Median(c.wall), 1e3*measure.Median(c.cpu), float64(measure.Median(c.memory))/1e6)
	}
	var goals measure.Goals
	for _, c := range candidates[1:3] {
		goals.Limit(c.name+", memory", "MB", float64(measure.Median(c.memory))/1e6, maxMemory)
		goals.Ratio(c.name+", to jq", "ms", 1e3*measure.Median(c.wall), 1e3*measure.Median(candidates[0].wall), maxRatio)
	}
	return !goals.Missed(), nil
}

// run measures one run.
func (c *candidate) run(env []string) error {
	cmd := exec.Command("time", append([]string{"-f", "\n%e %U %S %M"}, c.argv...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Env = &stdout, &stderr, env
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w: %s", err, stderr.Bytes())
	}
	if !strings.Contains(stdout.String(), c.want) {
		return fmt.Errorf("it does not print %q: %s", c.want, stderr.Bytes())
	}
	var wall, user, system float64
	var memory int64
	text := strings.TrimSpace(stderr.String())
	if _, err := fmt.Sscan(text[strings.LastIndexByte(text, '\n')+1:], &wall, &user, &system, &memory); err != nil {
		return fmt.Errorf("time: %w: %s", err, text)
	}
	c.wall, c.cpu, c.memory = append(c.wall, wall), append(c.cpu, user+system), append(c.memory, memory<<10)
	return nil
}
