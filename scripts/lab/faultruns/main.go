// Command faultruns creates containers over a bad network (package faults) that is
// random: one server or two; mirrors without signatures, with an older build, with wrong
// bytes or without the build; with and without the cache; with a first run that is
// interrupted. A run must always end
//
//   - with the right tree and exit status 0, or
//   - with 3 (network), 4 (no such image) or 5 (verification), with the container's
//     directory as lxc-create made it and an empty root file system.
//
// It must leave no temporary file and never request a byte of the rootfs that it has.
// A later run over a good network must make the right tree from the cache, and request
// only the missing bytes. After a failure of the network the cache must have every byte
// that came, but for those of a rootfs that was requested before its turn and not read.
//
//	faultruns [-ours FILE] [-n 300] [-seed 1] [-j 24] [-v] [-oci]
//
// With -oci the images are container images with three layers in a registry (registry.go), named by a
// tag: a run that got an altered manifest may also end with 1, because it can't use that image.
//
// The runs have the seeds seed, seed+1, and so on; "-seed 17 -n 1 -v" repeats one and
// shows the program's output. Only the moment of an interruption doesn't depend on the
// seed. The exit status is 1 if a run was wrong.
//
// It must be called in the top directory and needs the go command. It works in /dev/shm
// if that exists, because a creation ends with syncfs(2), which on a disk waits for the
// writes of all processes.
package main

import (
	"crypto/sha256"
	"encoding/pem"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

func main() {
	// A shell that starts this process with "&" makes it ignore SIGINT, and children
	// inherit that. Children of a process that handles the signal don't ignore it.
	if signal.Ignored(os.Interrupt) {
		signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "faultruns:", err)
		os.Exit(1)
	}
}

func run() error {
	ours := flag.String("ours", "bin/lxc-pull", "the program")
	n := flag.Int("n", 300, "number of runs")
	seed := flag.Uint64("seed", 1, "seed of the first run")
	jobs := flag.Int("j", 24, "runs at the same time; they wait most of the time")
	oci := flag.Bool("oci", false, "container images from a registry")
	verbose := flag.Bool("v", false, "print the program's output")
	flag.Parse()
	program, err := filepath.Abs(*ours)
	if err != nil {
		return err
	}
	parent := "/dev/shm"
	if _, err := os.Stat(parent); err != nil {
		parent = ""
	}
	dir, err := os.MkdirTemp(parent, "faultruns-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	build := newWorld
	if *oci {
		build = newRegistryWorld
	}
	w, err := build(dir, program)
	if err != nil {
		return err
	}
	start := time.Now()
	var mu sync.Mutex
	var wg sync.WaitGroup
	outcomes := map[string]int{}
	wrong := 0
	turns := make(chan struct{}, *jobs)
	for i := range *n {
		turns <- struct{}{}
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer func() { <-turns }()
			t := &trial{world: w, seed: *seed + uint64(i)}
			run := t.run
			if *oci {
				run = t.runRegistry
			}
			err := run()
			mu.Lock()
			defer mu.Unlock()
			for _, o := range t.outcomes {
				outcomes[o]++
			}
			if err != nil {
				wrong++
				fmt.Printf("seed %d: %v\n  %s\n", t.seed, err, strings.Join(t.setting, "\n  "))
			}
			if *verbose {
				fmt.Print(t.said.String())
			}
		}()
	}
	wg.Wait()
	fmt.Printf("%d runs, %d wrong, %.0f s;", *n, wrong, time.Since(start).Seconds())
	for _, o := range slices.Sorted(maps.Keys(outcomes)) {
		fmt.Printf(" %s: %d", o, outcomes[o])
	}
	fmt.Println()
	switch {
	case wrong > 0:
		return fmt.Errorf("%d runs were wrong", wrong)
	case *oci && *n >= 100 && (outcomes["right tree"] < *n/4 || outcomes["exit 3"] < 5):
		return fmt.Errorf("the scripts show too little")
	case !*oci && *n >= 300 && (outcomes["right tree"] < *n/4 || outcomes["exit 3"] < 10 || outcomes["exit 4"] < 3 || outcomes["exit 5"] < 3):
		return fmt.Errorf("the scripts show too little")
	}
	return nil
}

// A world has the programs and images that all runs share.
type world struct {
	dir     string
	program string
	oci     bool   // the image is a container image in a registry
	key     string // the publisher's public key
	// The trees of a server: "whole" has builds 1 and 2; "lagging" has only build 1;
	// "gone" has a list with build 2, but not its directory.
	trees map[string]string
	right map[string]string // listings of a container's rootfs, by build
	files map[string]string // the rootfs tarballs' bytes, by path below a tree
}

const (
	build1 = "20260801_05:24"
	build2 = "20260829_05:24"
)

// newWorld publishes the images and lists the trees that containers must have.
func newWorld(dir, program string) (*world, error) {
	w := &world{dir: dir, program: program, key: filepath.Join(dir, "key.pub"), trees: map[string]string{}, right: map[string]string{}, files: map[string]string{}}
	publish := filepath.Join(dir, "publish")
	if out, err := exec.Command("scripts/lab/e2e/programs", dir, "publish").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building publish (faultruns must be called in the top directory): %v\n%s", err, out)
	}
	w.trees["lagging"], w.trees["whole"], w.trees["gone"] = filepath.Join(dir, "lagging"), filepath.Join(dir, "whole"), filepath.Join(dir, "gone")
	for _, build := range []string{build1, build2} {
		directory := filepath.Join(dir, "image", build)
		if err := writeImage(directory, build); err != nil {
			return nil, err
		}
		out, err := exec.Command(publish, "--tree", w.trees["whole"], "--key", filepath.Join(dir, "key"), "--new-key",
			"--dist", "debian", "--release", "trixie", "--arch", "amd64", "--build", build, "--meta", "templates=/dev/null", directory).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("publish: %v\n%s", err, out)
		}
		if build == build1 {
			if err := os.CopyFS(w.trees["lagging"], os.DirFS(w.trees["whole"])); err != nil {
				return nil, err
			}
		}
		w.right[build], err = listing(directory)
		if err != nil {
			return nil, err
		}
		name := "/images/debian/trixie/amd64/default/" + build + "/rootfs.tar.xz"
		data, err := os.ReadFile(w.trees["whole"] + name)
		if err != nil {
			return nil, err
		}
		w.files[name] = string(data)
	}
	if err := os.CopyFS(w.trees["gone"], os.DirFS(w.trees["whole"])); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(filepath.Join(w.trees["gone"], "images/debian/trixie/amd64/default", build2)); err != nil {
		return nil, err
	}
	return w, w.equip()
}

// equip makes what the program needs on this machine.
func (w *world) equip() error {
	dir := w.dir
	for _, name := range []string{"lxcconfig", "hooks", "home"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
	}
	for _, name := range []string{"common.conf", "userns.conf", "debian.common.conf", "debian.userns.conf"} {
		if err := os.WriteFile(filepath.Join(dir, "lxcconfig", name), nil, 0o644); err != nil {
			return err
		}
	}
	// httptest has one certificate for all its servers.
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return os.WriteFile(filepath.Join(dir, "ca.pem"), ca, 0o644)
}

// writeImage makes a small root file system. Its compressed size of about 300 kB gives
// a connection many places to break.
func writeImage(dir, build string) error {
	seed := sha256.Sum256([]byte(build))
	r := rand.NewChaCha8(seed)
	noise := make([]byte, 290_000)
	r.Read(noise)
	files := map[string][]byte{"etc/hostname": []byte("LXC_NAME\n"), "etc/build": []byte(build + "\n"), "usr/lib/noise": noise}
	for i := range 50 {
		files[fmt.Sprintf("usr/share/doc/%02d", i)] = fmt.Appendf(nil, "document %d of %s\n", i, build)
	}
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "dev/pts"), 0o755); err != nil { // every creation makes it
		return err
	}
	return os.Symlink("usr/lib", filepath.Join(dir, "lib"))
}

// listing returns the names, types, permissions and contents in a directory.
func listing(dir string) (string, error) {
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		content := ""
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			content = fmt.Sprintf("%x", sha256.Sum256(data))
		case info.Mode()&fs.ModeSymlink != 0:
			if content, err = os.Readlink(path); err != nil {
				return err
			}
		}
		fmt.Fprintf(&b, "%s %v %s\n", rel, info.Mode(), content)
		return nil
	})
	return b.String(), err
}
