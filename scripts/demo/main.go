// Command demo shows lxc-pull at work on one machine, as an ordinary user, and needs
// nothing but Go. It makes and publishes a small image, serves it over HTTPS on the
// loopback interface, makes a container from it with every signature verified, then
// changes one byte on the server and shows that lxc-pull refuses the image.
//
// All its files are in demo/ in the repository, and it removes them at the end. It
// checks each step: the exit status is 0 only if every step went as described here.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "demo: FAILED: %v\n", err)
		os.Exit(1)
	}
}

// A demo is the state of one run. All its commands run in the repository's top
// directory, so that a reader can type the printed commands there.
type demo struct {
	ctx context.Context
	env []string
}

// dir holds everything that the demo makes; bin is the program that it shows.
const dir, bin = "demo", "bin/lxc-pull"

// exitUnverified is lxc-pull's exit status for bytes without a trusted signature.
const exitUnverified = 5

func run(ctx context.Context) (err error) {
	// go run -C scripts ./demo starts in scripts/, one directory below the top.
	if _, err := os.Stat(bin); err != nil {
		if err := os.Chdir(".."); err != nil {
			return err
		}
	}
	if _, err := os.Stat(bin); err != nil {
		return fmt.Errorf("%v: \"make build\" makes it", err)
	}
	if err := os.RemoveAll(dir); err != nil { // left by a run that was killed
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	defer func() {
		if removeErr := os.RemoveAll(dir); err == nil {
			err = removeErr
		}
	}()
	top, err := os.Getwd()
	if err != nil {
		return err
	}
	// lxc-pull keeps files in the home directory (its cache): remove them with the rest.
	home := filepath.Join(top, dir, "home")
	d := &demo{ctx, append(os.Environ(), "LXC_CACHE_PATH="+filepath.Join(home, "cache"))}
	for _, name := range []string{"publish", "serve"} {
		if err := d.build("./"+name, name); err != nil {
			return err
		}
	}

	d.say("An image server of your own: a root file system becomes a signed image.")
	arch, err := d.makeRootfs(dir + "/rootfs")
	if err != nil {
		return err
	}
	image := []string{"--dist", "tiny", "--release", "1", "--arch", arch}
	publish := append([]string{"--tree", dir + "/tree", "--new-key", "--owner", "0:0"}, image...)
	if _, err := d.expect(0, dir+"/publish", append(publish, dir+"/rootfs")...); err != nil {
		return err
	}
	url, err := d.serve(dir+"/tree", dir+"/ca.crt")
	if err != nil {
		return err
	}
	d.env = append(d.env, "HOME="+home) // only now: go build keeps its cache in the real home directory
	if os.Geteuid() != 0 {
		// Without subordinate ids LXC could not start an ordinary user's container,
		// so create refuses to make one; without LXC's config files it makes one.
		d.env = append(d.env, "LXC_TEMPLATE_CONFIG="+home)
	}

	server := []string{"--server", url, "--cacert", dir + "/ca.crt", "--keyring", dir + "/tree.key.pub"}
	d.say("What is there?")
	out, err := d.expect(0, bin, append([]string{"list"}, server...)...)
	if err != nil {
		return err
	}
	if !strings.Contains(out, "tiny") || !strings.Contains(out, arch) {
		return errors.New("the image is not in the list")
	}

	d.say("A container from it. The index, the list of digests and every byte are verified.")
	create := append([]string{"create", "web"}, image...)
	create = append(append(create, "-P", dir+"/lxc"), server...)
	if _, err := d.expect(0, bin, create...); err != nil {
		return err
	}
	if err := d.show(dir + "/lxc/web"); err != nil {
		return err
	}

	d.say("Now one byte of the image changes on the server.")
	if err := flipByte(dir + "/tree/images/tiny/1/" + arch + "/default/*/rootfs.tar.xz"); err != nil {
		return err
	}
	create[1] = "evil"
	if _, err := d.expect(exitUnverified, bin, append(create, "--no-cache")...); err != nil {
		return err
	}
	if _, err := os.Lstat(dir + "/lxc/evil"); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the refused container left something behind (%v)", err)
	}
	entries, err := os.ReadDir(dir + "/lxc")
	if err != nil {
		return err
	}
	if len(entries) != 1 {
		return fmt.Errorf("%s holds %d entries, not the one container", dir+"/lxc", len(entries))
	}
	d.say("Refused with exit status %d, and nothing of it is left. The demo worked.", exitUnverified)
	return nil
}

func (d *demo) say(format string, args ...any) {
	fmt.Printf("\n== "+format+"\n", args...)
}

// expect prints a command, runs it, and prints and returns its output. An exit status
// other than the expected one is an error.
func (d *demo) expect(status int, name string, args ...string) (string, error) {
	fmt.Printf("\n$ %s %s\n", name, strings.Join(args, " "))
	cmd := exec.CommandContext(d.ctx, name, args...)
	cmd.Env = d.env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out // one writer for both, so that exec keeps the order
	err := cmd.Run()
	fmt.Print(out.String())
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return "", err
	}
	if got := cmd.ProcessState.ExitCode(); got != status {
		return "", fmt.Errorf("%s: exit status %d, expected %d", name, got, status)
	}
	return out.String(), nil
}

// build builds a package of the scripts module as a static program in dir.
func (d *demo) build(pkg, name string) error {
	output, err := filepath.Abs(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(d.ctx, "go", "build", "-C", "scripts", "-trimpath", "-ldflags=-s -w", "-o", output, pkg)
	cmd.Env = append(d.env, "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("building %s: %v", pkg, err)
	}
	return nil
}

// serve starts the web server and returns its URL. The server ends when this process
// ends, because its standard input is closed then.
func (d *demo) serve(tree, ca string) (string, error) {
	fmt.Printf("\n$ %s/serve --ca %s %s &\n", dir, ca, tree)
	cmd := exec.CommandContext(d.ctx, dir+"/serve", "--stdin", "--ca", ca, tree)
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil {
		return "", err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("the server did not start: %v", err)
	}
	fmt.Print(line)
	return strings.TrimSpace(line), nil
}

// archNames maps Go's names of architectures to Debian's, which image servers use,
// where they differ.
var archNames = map[string]string{"386": "i386", "arm": "armhf", "ppc64le": "ppc64el"}

// makeRootfs makes a root file system for this machine in root and returns its
// architecture as image servers call it.
func (d *demo) makeRootfs(root string) (arch string, err error) {
	files := map[string]string{
		"etc/hostname":   "LXC_NAME\n",
		"etc/hosts":      "127.0.0.1 localhost\n127.0.1.1 LXC_NAME\n",
		"etc/os-release": "ID=tiny\nPRETTY_NAME=\"lxc-pull's demo\"\n",
	}
	for name, content := range files {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			return "", err
		}
	}
	for _, name := range []string{"dev", "proc", "sys", "run", "tmp", "sbin"} {
		if err := os.Mkdir(filepath.Join(root, name), 0o755); err != nil {
			return "", err
		}
	}
	if err := os.Symlink("../sbin/init", filepath.Join(root, "etc/init")); err != nil {
		return "", err
	}
	if err := d.build("./demo/init", "rootfs/sbin/init"); err != nil {
		return "", err
	}
	if name, ok := archNames[runtime.GOARCH]; ok {
		return name, nil
	}
	return runtime.GOARCH, nil
}

// show prints a container's config and tree, and checks that they are a
// container's.
func (d *demo) show(container string) error {
	config, err := os.ReadFile(container + "/config")
	if err != nil {
		return err
	}
	fmt.Printf("\n$ cat %s/config\n%s", container, config)
	for _, want := range []string{"lxc.uts.name = web\n", "lxc.arch = ", "lxc.rootfs.path = "} {
		if !bytes.Contains(config, []byte(want)) {
			return fmt.Errorf("the config has no %q", want)
		}
	}
	fmt.Printf("\n$ ls -lR %s/rootfs (in short)\n", container)
	err = filepath.WalkDir(container+"/rootfs", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		target, _ := os.Readlink(path)
		if target != "" {
			target = " -> " + target
		}
		fmt.Printf("%v %9d %s %s%s\n", info.Mode(), info.Size(), info.ModTime().Format(time.DateTime), path, target)
		return nil
	})
	if err != nil {
		return err
	}
	hostname, err := os.ReadFile(container + "/rootfs/etc/hostname")
	if err != nil {
		return err
	}
	fmt.Printf("\n$ cat %s/rootfs/etc/hostname\n%s", container, hostname)
	if string(hostname) != "web\n" {
		return errors.New("the container's name is not in its /etc/hostname")
	}
	if info, err := os.Stat(container + "/rootfs/sbin/init"); err != nil || info.Mode().Perm() != 0o755 {
		return fmt.Errorf("sbin/init is not the program that was published (%v)", err)
	}
	return nil
}

// flipByte changes one bit in the middle of the one file that pattern names.
func flipByte(pattern string) error {
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) != 1 {
		return fmt.Errorf("%s: %d files, %v", pattern, len(names), err)
	}
	data, err := os.ReadFile(names[0])
	if err != nil {
		return err
	}
	data[len(data)/2] ^= 1
	return os.WriteFile(names[0], data, 0o644)
}
