// Command build builds the static binaries for the targets in package cross.
//
//	go run ./cross/build [-o DIR] [-symbols] [TARGET...]
//	go run ./cross/build -list
//
// Without arguments it builds all targets. A TARGET is a name from the table (armv7,
// android-arm64) or "host": the machine on which it runs, as the settings of the go command
// describe it; that file is called lxc-pull. The command prints the size of each file and
// writes SHA256SUMS into the same directory. A file that exceeds its budget in the table by
// more than 1 % is an error. -symbols keeps the names of functions, for "go tool nm", and has no
// budget.
//
// Two builds of the same commit give the same bytes, because of -trimpath, no C, and no build
// id that depends on the directory (scripts/lab/reproducible verifies that).
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

// inlined returns the packages in which the compiler may inline calls: those that need most of
// the time (decoders, ciphers, digests, the arithmetic of signatures, the runtime), and those
// that inlining makes smaller. Without inlining in the other packages the file is 0.4 MB
// smaller on amd64; most of that is tables of line numbers. The other packages (name
// resolution, HTTP, TLS's messages, our commands) mostly wait for the network or the disk, or
// call the arithmetic (nistec, ecdsa, rsa).
func inlined() []string {
	return []string{
		"runtime", "internal/runtime/...", "internal/abi", "internal/bytealg", "sync/atomic",
		"github.com/klauspost/compress/...", "lxc-pull/untar/deflate", "lxc-pull/untar/xz",
		"vendor/golang.org/x/crypto/...", "crypto/internal/constanttime",
		"crypto/internal/fips140/aes/...", "crypto/internal/fips140/alias", "crypto/internal/fips140/bigmod",
		"crypto/internal/fips140/edwards25519/field", "crypto/internal/fips140/mlkem", "crypto/internal/fips140/nistec/fiat",
		"crypto/internal/fips140/sha...", "crypto/internal/fips140/subtle", "crypto/internal/fips140deps/...",
		// In these a call takes more bytes than the small function that is called.
		"container/list", "crypto/ed25519", "crypto/internal/entropy/...", "crypto/internal/fips140/check",
		"crypto/internal/fips140/drbg", "crypto/internal/fips140/tls13", "crypto/md5", "crypto/mlkem", "crypto/sha1", "crypto/sha512",
		"encoding/base64", "encoding/binary", "golang.org/x/crypto/...", "internal/cpu", "internal/fmtsort",
		"internal/strconv", "internal/testlog", "io/fs", "lxc-pull/lxc/host", "math", "math/rand/v2", "net/http/internal",
		"net/http/internal/ascii", "net/netip", "net/textproto", "runtime/debug", "unicode", "unicode/utf16", "unicode/utf8", "unique",
		"vendor/golang.org/x/net/...", "vendor/golang.org/x/text/...",
	}
}

// flags returns the arguments of "go build" for a processor.
//
// The tag nethttpomithttp2 leaves out HTTP/2: a run downloads a few files from one server,
// and HTTP/2 costs 0.4 MB. -funcalign: by default the linker aligns functions to 32 bytes on
// amd64, to 16 on 386, ppc64le and loong64, and to 8 on riscv64, which costs 0.02 to 0.1 MB of
// padding; functions in assembly keep the alignment that they request. It has no effect on
// arm64 and s390x. -R: 32-bit ARM has pages of 4 KiB, and by default the linker pads segments
// to 64 KiB, which costs up to 0.1 MB; other processors with that padding may have larger
// pages. SOURCE_DATE_EPOCH is the build date for sources that are not a git checkout; the
// program knows that a clock before the build date is wrong.
func flags(goarch string, symbols bool) []string {
	linker := "-ldflags=-w -buildid="
	if !symbols {
		linker += " -s"
	}
	switch goarch {
	case "amd64", "386":
		linker += " -funcalign=1"
	case "ppc64le", "loong64", "riscv64":
		linker += " -funcalign=4" // the size of an instruction (on riscv64, of most)
	case "arm":
		linker += " -R=4096"
	}
	if date := os.Getenv("SOURCE_DATE_EPOCH"); date != "" {
		linker += " -X lxc-pull/cli.sourceDate=" + date
	}
	// By default the compiler makes room on the stack for each slice of up to 32 bytes whose
	// length is known only at run time, besides the call that allocates it: 19 kB of code.
	const heap = "-d=variablemakethreshold=0"
	list := []string{"-trimpath", "-buildvcs=auto", "-tags=nethttpomithttp2", linker, "-gcflags=all=-l " + heap}
	for _, pkg := range inlined() {
		list = append(list, "-gcflags="+pkg+"="+heap)
	}
	return list
}

func main() {
	dir := flag.String("o", "dist", "directory for the binaries")
	symbols := flag.Bool("symbols", false, "keep the names of functions")
	list := flag.Bool("list", false, "print the targets, and what runs each on amd64: an emulator, \"native\", or \"none\"")
	flag.Parse()
	if *list {
		for _, t := range cross.Targets() {
			fmt.Println(name(t), runner(t))
		}
		return
	}
	if err := build(*dir, *symbols, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

// runner returns the program that runs a target's binary on amd64.
func runner(t cross.Target) string {
	if t.Qemu == "" {
		return "native"
	}
	return t.Qemu
}

// name returns a target's name on the command line.
func name(t cross.Target) string {
	return strings.TrimPrefix(strings.TrimPrefix(t.File(), "lxc-pull-"), "linux-")
}

// files returns the targets with the given names, or all without names, by their file names,
// and the file names in the order of the builds.
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
		return nil, nil, fmt.Errorf("unknown target in %q", names)
	}
	return targets, order, nil
}

// build builds the named targets into dir.
func build(dir string, symbols bool, names []string) error {
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
		cmd := exec.Command("go", append(append([]string{"build"}, flags(t.GOARCH, symbols)...), "-o", path, ".")...)
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
		if t.Budget > 0 && !symbols && len(data) > t.Budget+t.Budget/100 {
			failed = append(failed, fmt.Errorf("%s: %d bytes, more than 1 %% above its budget of %d", path, len(data), t.Budget))
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(sums), 0o644); err != nil {
		return err
	}
	return errors.Join(failed...)
}
