// Command stockdiff creates the same random containers with LXC's own download
// template and with ours, and reports what differs.
//
//	stockdiff [-local] [-ours FILE] [-n 100] [-seed 1] [-j 2] [-keep] [-disk] [-v] [PART...]
//
// With -local the templates are those for files of this machine, lxc-local, and the only part is
// "diff".
//
// The parts, all by default: "self" compares the stock template with itself and shows that
// a changed byte is noticed; "diff" compares ours with the stock template; "hostile" gives
// ours images that try to reach the host. docs/stock-differences.md lists the intended
// differences by number.
//
// It needs root, GNU tar, xz, sed, wget, gpg and LXC's template. It writes only into a
// directory of its own, and removes that. With -keep (or KEEP=1) it keeps the directories
// of cases that differ.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == enterWord {
		enter(os.Args[2])
	}
	inside := len(os.Args) > 1 && os.Args[1] == insideWord
	var err error
	if inside {
		err = run(os.Args[2:])
	} else {
		err = runInside()
	}
	var exit *exec.ExitError
	if !inside && errors.As(err, &exit) {
		os.Exit(1) // the child has printed why
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "stockdiff:", err)
		os.Exit(1)
	}
}

// insideWord is argv[1] of the program in a mount namespace of its own.
const insideWord = "in-own-mounts"

// runInside calls the program again in a mount namespace of its own, so that it can work in
// memory: a creation ends with syncfs(2), which on a disk waits for the writes of all
// processes.
func runInside() error {
	if os.Geteuid() != 0 {
		return errors.New("needs root, to make namespaces and devices")
	}
	cmd := exec.Command("/proc/self/exe", append([]string{insideWord}, os.Args[1:]...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = ownMounts()
	return cmd.Run()
}

// ownMounts puts a child into a mount namespace of its own.
func ownMounts() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGTERM}
}

// workDir makes the directory for all files of the run: in memory, or with onDisk on the
// disk. In memory means an ext4 in a file of a tmpfs, because ext4 keeps every extended
// attribute with every kernel, and our program doesn't use a cache in a tmpfs. The
// directory isn't below /tmp, because some cases mount over /tmp.
func workDir(onDisk bool) (string, error) {
	dir, err := os.MkdirTemp("/var/tmp", "stockdiff.")
	if err != nil || onDisk {
		return dir, err
	}
	if err := unix.Mount("stockdiff", dir, "tmpfs", 0, "mode=755"); err != nil {
		return "", fmt.Errorf("mount %s: %w", dir, err)
	}
	// At most some tens of MiB are in use at a time; the rest is a hole.
	for _, argv := range [][]string{
		{"truncate", "--size=4G", dir + "/ext4"},
		{"mkfs.ext4", "-q", "-O", "^has_journal", dir + "/ext4"},
		{"mount", "-o", "loop", dir + "/ext4", dir},
	} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %v: %s", argv[0], err, out)
		}
	}
	return dir, os.Chmod(dir, 0o755)
}

// A harness is one run of this program.
type harness struct {
	dir       string // removed at the end
	view      string
	authority *authority
	stock     program
	ours      program
	workers   int
	local     bool // the templates are lxc-local
	keep      bool
	verbose   bool
	quiet     bool // differences are not reported

	mu          sync.Mutex
	failed      int
	creations   int // by each of the two programs
	refusals    int
	differences map[difference]int
}

func run(args []string) error {
	flag := flag.NewFlagSet("stockdiff", flag.ExitOnError)
	ours := flag.String("ours", "bin/lxc-pull", "our template; \"stock\": test the stock template instead")
	local := flag.Bool("local", false, "compare the templates lxc-local")
	stock := flag.String("stock", "", "LXC's template, of 5.0 or later (default: in /usr/share/lxc/templates; of lxc-local, of 5.0 or 6.0)")
	count := flag.Int("n", 100, "number of images")
	seed := flag.Uint64("seed", 1, "seed of the first image; later images have the next seeds")
	workers := flag.Int("j", runtime.NumCPU(), "images at a time")
	keep := flag.Bool("keep", os.Getenv("KEEP") != "", "keep the directories of cases that differ")
	verbose := flag.Bool("v", false, "describe each case")
	disk := flag.Bool("disk", false, "work on the disk, not in memory; -keep implies it")
	if err := flag.Parse(args); err != nil {
		return err
	}
	parts := flag.Args()
	if len(parts) == 0 && *local {
		parts = []string{"diff"}
	} else if len(parts) == 0 {
		parts = []string{"self", "diff", "hostile"}
	}
	if *local && !slices.Equal(parts, []string{"diff"}) {
		return errors.New("with -local there is only the part \"diff\"")
	}

	dir, err := workDir(*disk || *keep)
	if err != nil {
		return err
	}
	h := &harness{dir: dir, view: filepath.Join(dir, "view"), workers: *workers, local: *local, keep: *keep, verbose: *verbose, differences: map[difference]int{}}
	defer func() {
		if h.failed == 0 || !h.keep {
			for unix.Unmount(dir, unix.MNT_DETACH) == nil {
			}
			os.RemoveAll(dir)
		}
	}()
	if err := h.prepare(*stock, *ours, parts); err != nil {
		return err
	}
	defer h.authority.close()
	var bad []string
	for _, part := range parts {
		start, before := time.Now(), h.failed
		var err error
		switch part {
		case "self":
			err = h.self(*seed, min(*count, 10))
		case "diff":
			err = h.compareMany(*seed, *count, h.ours)
		case "hostile":
			err = h.hostile()
		default:
			err = fmt.Errorf("unknown part %q", part)
		}
		if err != nil {
			return err
		}
		fmt.Printf("%s: %d went wrong, %.1f s\n", part, h.failed-before, time.Since(start).Seconds())
		if h.failed > before {
			bad = append(bad, part)
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("not as it should be: %s", strings.Join(bad, ", "))
	}
	return nil
}

func (h *harness) prepare(stock, ours string, parts []string) error {
	for _, dir := range []string{h.view, filepath.Join(h.dir, "bin")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(h.dir, 0o755); err != nil {
		return err
	}
	if err := os.MkdirAll(systemCache, 0o755); err != nil {
		return err
	}
	var err error
	if h.authority, err = newAuthority(h.dir); err != nil {
		return err
	}
	h.stock = program{name: "stock", path: filepath.Join(h.dir, "bin", "lxc-download"), stock: true}
	if h.local {
		h.stock.path = filepath.Join(h.dir, "bin", "lxc-local")
	}
	if stock == "" {
		stock = filepath.Join("/usr/share/lxc/templates", filepath.Base(h.stock.path))
	}
	script, err := os.ReadFile(stock)
	if err != nil {
		return err
	}
	if script, err = withXattrs(script); err != nil {
		return fmt.Errorf("%s: %w", stock, err)
	}
	if h.local {
		// Metadata is read by the rules of LXC's other templates.
		script = bytes.Replace(script, []byte("COMPAT_LEVEL=5"), []byte("COMPAT_LEVEL=7"), 1)
	}
	if err := os.WriteFile(h.stock.path, script, 0o755); err != nil {
		return err
	}
	if !slices.Contains(parts, "diff") && !slices.Contains(parts, "hostile") {
		return nil
	}
	if ours == "stock" {
		h.ours = h.stock
		return nil
	}
	// A copy that the root of a namespace can reach, and that doesn't change.
	binary, err := os.ReadFile(ours)
	if err != nil {
		return err
	}
	h.ours = program{name: "ours", path: filepath.Join(h.dir, "bin", "lxc-pull"),
		extra: []string{"--keyring", "@VIEW@/trust/key.asc", "--cacert", "@VIEW@/trust/ca.pem"}}
	if h.local {
		h.ours = program{name: "ours", path: filepath.Join(h.dir, "bin", "ours", "lxc-local")}
		if err := os.Mkdir(filepath.Dir(h.ours.path), 0o755); err != nil {
			return err
		}
	}
	return os.WriteFile(h.ours.path, binary, 0o755)
}

// withXattrs makes LXC 5.0's template call tar as 7.0's does. Everything else that the two
// leave is the same.
func withXattrs(script []byte) ([]byte, error) {
	const want = "--xattrs-include='*'"
	s := string(script)
	if strings.Contains(s, want) {
		return script, nil
	}
	changed := strings.Replace(s, "--numeric-owner -xpJf", "--numeric-owner "+want+" -xpJf", 1)
	if changed == s {
		return nil, errors.New("tar is not called as expected")
	}
	return []byte(changed), nil
}

// compareMany runs the cases of count seeds in every outcome.
func (h *harness) compareMany(seed uint64, count int, second program) error {
	var wg sync.WaitGroup
	seeds := make(chan uint64)
	errs := make(chan error, h.workers)
	for range h.workers {
		wg.Go(func() {
			for s := range seeds {
				if err := h.compareCase(s, second, nil, outcomes...); err != nil {
					errs <- fmt.Errorf("seed %d: %w", s, err)
					return
				}
			}
		})
	}
	var err error
feed:
	for i := range count {
		select {
		case seeds <- seed + uint64(i):
		case err = <-errs:
			break feed
		}
	}
	close(seeds)
	wg.Wait()
	if err == nil && len(errs) > 0 {
		err = <-errs
	}
	h.showDifferences(count)
	return err
}

func (h *harness) showDifferences(count int) {
	var calls []string
	for _, d := range slices.Sorted(maps.Keys(h.differences)) {
		calls = append(calls, fmt.Sprintf("%d (%d)", d, h.differences[d]))
	}
	fmt.Printf("%d images in %d outcomes: %d creations, of which the stock template refuses %d; differences on purpose, and in how many creations: %s\n",
		count, len(outcomes), h.creations, h.refusals, strings.Join(calls, ", "))
	clear(h.differences)
	h.creations, h.refusals = 0, 0
}
