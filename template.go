package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"lxc-pull/image"
	"lxc-pull/lxc"
)

// templateUsage fits a small screen, and names what the stock template takes
// first.
const templateUsage = `Usage: lxc-create -t pull -n NAME -- -d DIST -r RELEASE [-a ARCH]

Makes a container from a pre-built, signed image.

  -d, --dist DIST        distribution      -l, --list   list the images
  -r, --release RELEASE  release           -h, --help   this text
  -a, --arch ARCH        architecture (default: the host's)
      --variant VARIANT  variant (default: default)
      --server SERVER    HOST[:PORT][/PATH] or a URL; again for the next to ask
      --mirror SERVER    take the bytes from there; or --mirror-list FILE
      --keyring FILE     trust these keys instead of the built-in one
      --keyid FPR        of the trusted keys, take only this one
      --no-validate      check no signature (dangerous)
      --cacert, --dns, --limit-rate, -4, ...   see lxc-pull fetch --help
      --flush-cache --force-cache --no-cache --refresh
      --verify-first     download and verify, then unpack
      --memory SIZE --cache-size SIZE   the most to take, and to keep
      --allow-older      accept an older build than seen before
      --allow-host-config  let the image configure the host
      --selinux --xattrs   store SELinux labels; insist on extended attributes
  -q, -v                 say less, say more

lxc-create passes --name, --path, --rootfs, --mapped-uid, --mapped-gid.
Example: lxc-create -t pull -n web -- -d debian -r trixie -a arm64
`

// templateCommand is the program as one of LXC's templates: the contract of
// lxc-create(1) with the stock "download" template.
func templateCommand(ctx context.Context, ui *ui, args []string) (err error) {
	flags, operands, err := getopt(args, append(stockOptions(), ownOptions()...))
	if err != nil {
		return err
	}
	// lxc-create appends --mapped-uid and --mapped-gid to the user's words, so
	// a bare "--" among these makes operands of them (lxccontainer.c,
	// create_run_template).
	internal, operands := mappedIDs(operands)
	var opt options
	if err := opt.set(append(flags, internal...)); err != nil {
		return err
	}
	ui.quiet, ui.verbose = opt.quiet, opt.verbose
	if len(operands) > 0 {
		ui.warnf("ignoring %q", operands)
	}
	switch {
	case opt.help:
		io.WriteString(ui.out, templateUsage)
		return noContainer(opt)
	case opt.list:
		if err := listImages(ctx, ui, opt); err != nil {
			return err
		}
		return noContainer(opt)
	case opt.name == "" || opt.path == "" || opt.rootfs == "":
		return usageErrorf("ERROR: Please pass the name, path, and rootfs for the container")
	}
	unix.Umask(newUmask) // as by lxc-create; others may call, too
	namespace := currentNamespace()
	uid, mapped := mappedID(opt.mappedUID)
	gid, _ := mappedID(opt.mappedGID)
	if namespace == lxc.UserNamespace && !mapped {
		return errors.New("ERROR: In a user namespace without a map")
	}
	c := newCreation(ui, opt, namespace)
	c.uid, c.gid = uid, gid
	if !mapped {
		c.uid = -1
	}
	// From here on a death of lxc-create ends the run.
	c.caller = callerOf(opt.path)
	defer c.caller.close()
	c.caller.doubt()
	ctx, stop := c.caller.watch(ctx)
	defer stop()
	defer func() {
		if err == nil {
			return
		}
		if left := c.caller.removeContainer(ctx.Err() != nil); left != nil {
			err = &leftError{err, left}
		}
	}()
	before, err := readBegun(opt.path)
	if err != nil {
		return err
	}
	if err := c.checkContainer(before); err != nil {
		return err
	}
	if err := c.askMissing(ctx, os.Stdin); err != nil {
		return err
	}
	return c.run(ctx, c.openRootfs)
}

// mappedIDs takes lxc-create's own two options out of operands.
func mappedIDs(operands []string) (flags []flagValue, rest []string) {
	for i := 0; i < len(operands); i++ {
		word := operands[i]
		if (word == "--mapped-uid" || word == "--mapped-gid") && i+1 < len(operands) {
			flags = append(flags, flagValue{strings.TrimPrefix(word, "--"), operands[i+1]})
			i++
			continue
		}
		rest = append(rest, word)
	}
	return flags, rest
}

// noContainer is the end of --help and --list: where lxc-create waits for a
// container, success would keep an empty one.
func noContainer(opt options) error {
	if opt.rootfs != "" {
		return &exitError{code: exitFailure}
	}
	return nil
}

// currentNamespace reads the maps that tell the namespace. Without /proc it is
// taken for the host's, as by the stock template.
func currentNamespace() lxc.Namespace {
	self, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		self = nil
	}
	first, err := os.ReadFile("/proc/1/uid_map")
	if err != nil {
		first = nil
	}
	return lxc.NamespaceOf(self, first)
}

// modeOf returns the kind of image for a namespace.
func modeOf(n lxc.Namespace) lxc.Mode {
	if n == lxc.HostNamespace {
		return lxc.System
	}
	return lxc.User
}

// checkNames refuses names that could leave their folder or the server's tree,
// before they meet a path or a URL.
func (o *options) checkNames() error {
	for _, f := range []struct{ what, value string }{
		{"dist", o.dist}, {"release", o.release}, {"arch", o.arch}, {"variant", o.variant},
	} {
		if f.value == "" {
			continue
		}
		if err := image.CheckName(f.value); err != nil {
			return usageErrorf("--%s %q: %v", f.what, f.value, err)
		}
	}
	return nil
}

// askMissing fills in what the command line left out. Only the architecture
// missing: the host's. Otherwise the images are listed, and a person at a
// terminal chooses; where there is no terminal one line is read for each
// missing name, as by the stock template, and an empty architecture is the
// host's.
func (c *creation) askMissing(ctx context.Context, stdin *os.File) error {
	opt := &c.opt
	if opt.variant == "" {
		opt.variant = defaultVariant
	}
	if err := opt.checkNames(); err != nil {
		return err
	}
	if opt.dist != "" && opt.release != "" {
		if opt.arch == "" {
			opt.arch = hostArch()
		}
		return nil
	}
	index, err := c.fetchIndex(ctx)
	if err != nil {
		return err
	}
	answers := newCancelReader(ctx, stdin)
	if isTerminal(stdin) && isTerminal(os.Stdout) {
		err = c.choose(answers, index)
	} else {
		err = c.readNames(answers, index)
	}
	if err != nil {
		return err
	}
	return opt.checkNames()
}

// readNames is the stock template's way: the list, then a line for each name.
func (c *creation) readNames(stdin io.Reader, index image.Index) error {
	opt := &c.opt
	printImages(c.ui, index.Select(opt.query()))
	for _, f := range []struct {
		prompt string
		value  *string
	}{{"Distribution: ", &opt.dist}, {"Release: ", &opt.release}, {"Architecture: ", &opt.arch}} {
		if *f.value != "" {
			continue
		}
		fmt.Fprintln(c.ui.out, f.prompt)
		line, err := readLine(stdin)
		if errors.Is(err, context.Canceled) {
			return err
		}
		if err != nil {
			return usageErrorf("no distribution and release given: pass --dist and --release")
		}
		*f.value = line
	}
	fmt.Fprintln(c.ui.out)
	if opt.arch == "" {
		opt.arch = hostArch()
	}
	if opt.dist == "" || opt.release == "" {
		return usageErrorf("no distribution and release given: pass --dist and --release")
	}
	return nil
}

// maxLine is the longest answer that is read, in bytes: more than any name.
const maxLine = 1024

// readLine reads one line without reading beyond it. The last line counts
// without a newline; the error is io.EOF where there is none.
func readLine(r io.Reader) (string, error) {
	var line []byte
	var b [1]byte
	for len(line) < maxLine {
		n, err := r.Read(b[:])
		if n == 1 && b[0] == '\n' {
			return strings.TrimSpace(string(line)), nil
		}
		if n == 1 {
			line = append(line, b[0])
			continue
		}
		if err != nil {
			if len(line) > 0 {
				return strings.TrimSpace(string(line)), nil
			}
			return "", err
		}
	}
	return "", fmt.Errorf("a line longer than %d bytes", maxLine)
}

// choose offers a person what there is: distributions, then the releases of the
// one chosen, for the wanted architecture.
func (c *creation) choose(stdin io.Reader, index image.Index) error {
	opt := &c.opt
	if opt.arch == "" {
		opt.arch = hostArch()
	}
	for _, f := range []struct {
		prompt string
		value  *string
		field  func(image.Image) string
	}{
		{"Distribution", &opt.dist, func(i image.Image) string { return i.Dist }},
		{"Release", &opt.release, func(i image.Image) string { return i.Release }},
	} {
		if *f.value != "" {
			continue
		}
		var names []string
		seen := map[string]bool{}
		for _, img := range index.Select(opt.query()) {
			if name := f.field(img); !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
		if len(names) == 0 {
			_, err := index.Find(opt.query())
			return err
		}
		name, err := c.ui.pick(stdin, f.prompt, names)
		if err != nil {
			return err
		}
		*f.value = name
	}
	return nil
}
