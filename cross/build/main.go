// Command build makes the static binaries of the target table.
//
//	go run ./cross/build [-o DIR] [TARGET...]
//
// Without targets it makes all of them. It prints each file's size and writes
// SHA256SUMS beside them. Two runs of the same commit make the same bytes:
// -trimpath, no C, no build id that depends on the place.
package main

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"lxc-pull/cross"
)

// flags are the settings of every build; the Makefile's `make build` has the
// same. HTTP/2 is left out: one server, a few files, 0.4 MB. SOURCE_DATE_EPOCH
// gives sources that are no checkout their date, before which no clock is right.
func flags() []string {
	linker := "-ldflags=-s -w -buildid="
	if date := os.Getenv("SOURCE_DATE_EPOCH"); date != "" {
		linker += " -X main.sourceDate=" + date
	}
	return []string{"-trimpath", "-buildvcs=auto", "-tags=nethttpomithttp2", linker}
}

func main() {
	dir := flag.String("o", "dist", "folder for the binaries")
	flag.Parse()
	if err := build(*dir, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

func build(dir string, names []string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	sums, made := "", 0
	for _, t := range cross.Targets() {
		if len(names) > 0 && !slices.Contains(names, t.Name) {
			continue
		}
		path := filepath.Join(dir, t.File())
		cmd := exec.Command("go", append(append([]string{"build"}, flags()...), "-o", path, ".")...)
		cmd.Env = append(os.Environ(), t.Env()...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %v", t.Name, err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fmt.Printf("%9d  %s\n", len(data), path)
		sums += fmt.Sprintf("%x  %s\n", sha256.Sum256(data), t.File())
		made++
	}
	if made == 0 || len(names) > 0 && made != len(names) {
		return fmt.Errorf("%q: not all of these are targets", names)
	}
	return os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(sums), 0o644)
}
