// Command build makes the static binaries of the target table.
//
//	go run ./cross/build [-o DIR] [TARGET...]
//	go run ./cross/build -list
//
// Without targets it makes all of them. A target is named as in the table
// (armv7; android-arm64), or "host", which is the machine at hand as the
// settings of the go command describe it, and whose file is called lxc-pull.
// It prints each file's size and writes SHA256SUMS beside them. A file that is
// more than 1 % above its budget in the table is an error.
//
// Two runs of the same commit make the same bytes: -trimpath, no C, no build
// id that depends on the place (scripts/lab/reproducible shows it).
package main

import (
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"lxc-pull/cross"
)

// inlined lists the packages in which the compiler may inline calls: those
// where the time goes (decoders, ciphers, signatures' arithmetic, the runtime,
// locks). Everywhere else a call stays a call: 0.33 MB less on amd64, most of
// it tables of line numbers. Name resolution, HTTP, TLS's messages and our own
// commands wait for the network or the disk anyway.
func inlined() []string {
	return []string{
		"runtime", "internal/runtime/...", "internal/abi", "internal/bytealg",
		"sync", "sync/atomic", "internal/sync",
		"crypto/internal/...", "vendor/golang.org/x/crypto/...",
		"github.com/klauspost/compress/...", "lxc-pull/untar/xz",
	}
}

// flags are the settings of every build.
//
// HTTP/2 is left out: one server, a few files, 0.4 MB. -funcalign: the linker
// else aligns functions to 32 bytes on amd64 and 16 on 386, 0.1 MB of padding;
// those written in assembly keep the alignment that they ask for. -R: pages of
// 32-bit ARM have 4 KiB, and padding segments to 64 KiB is up to 0.1 MB; other
// processors with that padding may have larger pages.
// SOURCE_DATE_EPOCH gives sources that are no checkout their date, before which
// no clock is right.
func flags(goarch string) []string {
	linker := "-ldflags=-s -w -buildid="
	switch goarch {
	case "amd64", "386":
		linker += " -funcalign=1"
	case "arm":
		linker += " -R=4096"
	}
	if date := os.Getenv("SOURCE_DATE_EPOCH"); date != "" {
		linker += " -X lxc-pull/cli.sourceDate=" + date
	}
	list := []string{"-trimpath", "-buildvcs=auto", "-tags=nethttpomithttp2", linker, "-gcflags=all=-l"}
	for _, pkg := range inlined() {
		list = append(list, "-gcflags="+pkg+"=")
	}
	return list
}

func main() {
	dir := flag.String("o", "dist", "directory for the binaries")
	list := flag.Bool("list", false, "print the targets, and what runs each on amd64: an emulator, \"native\", or \"none\"")
	flag.Parse()
	if *list {
		for _, t := range cross.Targets() {
			fmt.Println(name(t), runner(t))
		}
		return
	}
	if err := build(*dir, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

// runner is the program that runs a target's binary on amd64.
func runner(t cross.Target) string {
	if t.Qemu == "" {
		return "native"
	}
	return t.Qemu
}

// name is a target's on the command line.
func name(t cross.Target) string {
	return strings.TrimPrefix(strings.TrimPrefix(t.File(), "lxc-pull-"), "linux-")
}

// files returns the targets that names ask for, by the names of their files.
func files(names []string) (map[string]cross.Target, []string, error) {
	targets, order := map[string]cross.Target{}, []string(nil)
	add := func(file string, t cross.Target) {
		targets[file] = t
		order = append(order, file)
	}
	for _, t := range cross.Targets() {
		if len(names) == 0 || slices.Contains(names, name(t)) {
			add(t.File(), t)
		}
	}
	if slices.Contains(names, "host") {
		goarch, err := exec.Command("go", "env", "GOARCH").Output()
		if err != nil {
			return nil, nil, fmt.Errorf("go env: %v", err)
		}
		add("lxc-pull", cross.Target{GOARCH: strings.TrimSpace(string(goarch))})
	}
	if len(names) > 0 && len(order) != len(names) {
		return nil, nil, fmt.Errorf("%q: not all of these are targets", names)
	}
	return targets, order, nil
}

func build(dir string, names []string) error {
	targets, order, err := files(names)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var sums string
	var failed []error
	for _, file := range order {
		t := targets[file]
		path := filepath.Join(dir, file)
		cmd := exec.Command("go", append(append([]string{"build"}, flags(t.GOARCH)...), "-o", path, ".")...)
		cmd.Env = append(os.Environ(), t.Env()...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %v", file, err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fmt.Printf("%9d  %s\n", len(data), path)
		sums += fmt.Sprintf("%x  %s\n", sha256.Sum256(data), file)
		if t.Budget > 0 && len(data) > t.Budget+t.Budget/100 {
			failed = append(failed, fmt.Errorf("%s: %d bytes, more than 1 %% above its budget of %d", path, len(data), t.Budget))
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(sums), 0o644); err != nil {
		return err
	}
	return errors.Join(failed...)
}
