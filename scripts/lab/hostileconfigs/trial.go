package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// A testCase is an image. In Config and Fstab "@TAG@" stands for a word that is part of
// the world's names on the machine, and "@NAME@" for the container's name.
type testCase struct {
	Name      string
	Config    string
	Fstab     string
	Templates string
	Rootfs    int       // index in rootfses
	Take      bool      // it must be created and started, without a warning
	Warn      bool      // it must be refused, or created with a warning
	Notice    kind      // -self: created with --allow-host-config, and this must be noticed
	At        string    // text that the report must have
	OCI       *ociImage // a container image in place of the config; it must start
}

// warning is the beginning of lxc-pull's warning that a config removes a protection.
var warning = regexp.MustCompile(`(?i)warning|gives the container`)

// Time limits. A start that takes longer than startLimit has failed.
const (
	createLimit = 30 * time.Second
	startLimit  = 20 * time.Second
	readyLimit  = 400 * time.Millisecond // for the init script
	stopLimit   = 2 * time.Second        // for LXC's monitor to end after a stop
)

// call runs a command and returns its output.
func call(limit time.Duration, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/w/home", "LXC_CACHE_PATH=/w/cache", "LC_ALL=C"}
	cmd.Dir = "/w/home"
	// Use a file and not a pipe: a process that outlives the command may keep it open.
	out, err := os.CreateTemp("/w/log", "out.")
	if err != nil {
		return "", err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Run()
	data, readErr := os.ReadFile(out.Name())
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return string(data), errors.Join(err, readErr)
}

// try runs one case.
func (w *world) try(index int, c testCase) result {
	r := result{Index: index, Name: c.Name, Want: c.Notice, At: c.At}
	name := fmt.Sprintf("c%s-%d", w.tag, index)
	replace := strings.NewReplacer("@TAG@", w.tag, "@NAME@", name)
	c.Config, c.Fstab = replace.Replace(c.Config), replace.Replace(c.Fstab)
	r.Config = c.Config
	if c.Fstab != "" {
		r.Config += "\n--- fstab\n" + c.Fstab
	}
	if c.Rootfs != 0 {
		r.Config += fmt.Sprintf("\n--- root file system with %v", rootfses[c.Rootfs])
	}
	if err := w.run(&r, name, c); err != nil {
		r.Error = err.Error()
	}
	return r
}

func (w *world) run(r *result, name string, c testCase) error {
	defer os.RemoveAll("/w/tree")
	err := error(nil)
	if c.OCI != nil {
		err = c.OCI.publish("/w/tree")
	} else {
		err = w.publisher.publish("/w/tree", c)
	}
	if err != nil {
		return err
	}
	argv := []string{"/w/lxc-pull", "create", name, "-P", "/w/lxc", "-f", "/w/default.conf", "--server", "file:///w/tree",
		"--keyring", "/w/key.pub", "--no-cache", "-d", "d", "-r", "r", "-a", arch}
	if c.OCI != nil {
		argv = []string{"/w/lxc-pull", "create", name, "oci:/w/tree", "-P", "/w/lxc", "-f", "/w/hook.conf", "--no-cache"}
	}
	if c.Notice != "" {
		argv = append(argv, "--allow-host-config")
	}
	out, err := call(createLimit, argv...)
	r.Output = out
	if err := w.judgeCreation(r, name, err); err != nil {
		return err
	}
	warned := warning.MatchString(out)
	if c.OCI != nil && r.Status != 0 {
		r.Faults = append(r.Faults, fault{unexpected, fmt.Sprintf("status %d: it has a process", r.Status)})
	}
	if c.Take && (r.Status != 0 || warned) {
		r.Faults = append(r.Faults, fault{unexpected, fmt.Sprintf("status %d, warned %t: it is harmless", r.Status, warned)})
	}
	if c.Warn && r.Status == 0 && !warned {
		r.Faults = append(r.Faults, fault{loosened, "no refusal and no warning"})
	}
	if r.Status == 0 {
		if err := w.live(r, name, warned && c.Notice == ""); err != nil {
			return err
		}
		if (c.Take || c.OCI != nil) && !r.Started {
			r.Faults = append(r.Faults, fault{unexpected, "it could not be started"})
		}
	}
	processes, err := w.quiet(stopLimit)
	if err != nil {
		return err
	}
	for _, p := range processes {
		r.Faults = append(r.Faults, fault{inProcesses, p})
	}
	if r.Status == 0 {
		w.checkDir(r, name)
	}
	groups, err := removeGroups(w.tag)
	if err != nil {
		return err
	}
	for _, g := range groups {
		r.Faults = append(r.Faults, fault{inGroups, g})
	}
	faults, err := w.changes()
	r.Faults = append(r.Faults, faults...)
	return errors.Join(err, w.restore(r, name))
}

// judgeCreation records how lxc-pull ended, and the files that a refusal left.
func (w *world) judgeCreation(r *result, name string, err error) error {
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit):
		r.Status = exit.ExitCode()
		if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() {
			r.Faults = append(r.Faults, fault{ended, s.Signal().String()})
		}
	default:
		return err
	}
	if r.Status > 7 || strings.Contains(r.Output, "panic:") || strings.Contains(r.Output, "goroutine ") {
		r.Faults = append(r.Faults, fault{ended, fmt.Sprintf("status %d", r.Status)})
	}
	for _, c := range r.Output { // bytes that aren't UTF-8 come as U+FFFD
		if c != '\n' && (c < ' ' || 0x7f <= c && c < 0xa0 || c == '\u2028' || c == utf8.RuneError) {
			r.Faults = append(r.Faults, fault{raw, fmt.Sprintf("%q", c)})
			break
		}
	}
	if r.Status == 0 {
		return nil
	}
	if len(strings.TrimSpace(r.Output)) == 0 {
		r.Faults = append(r.Faults, fault{ended, "refused without a word"})
	}
	entries, err := os.ReadDir("/w/lxc")
	if err != nil {
		return err
	}
	for _, e := range entries {
		r.Faults = append(r.Faults, fault{left, e.Name()})
	}
	return nil
}

// live starts the container, inspects it, and stops it.
func (w *world) live(r *result, name string, warned bool) error {
	saved, err := os.ReadFile("/w/lxc/" + name + "/config")
	if err != nil {
		return err
	}
	r.Notes = append(r.Notes, "config of the container: "+string(saved))
	log := "/w/log/" + name
	out, err := call(startLimit, "lxc-start", "-P", "/w/lxc", "-n", name, "-l", "WARN", "-o", log)
	if text, readErr := os.ReadFile(log); readErr == nil {
		out += string(text)
		os.Remove(log)
	}
	r.Notes = append(r.Notes, "lxc-start: "+out)
	if strings.Contains(out, "Failed to load config") {
		r.Faults = append(r.Faults, fault{unexpected, "liblxc can't read the config of the container"})
	}
	if err == nil {
		pid := w.ready(name)
		if pid > 0 {
			r.Started = true
			faults, err := w.inspect(name, pid, warned)
			if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ESRCH) {
				return err
			}
			r.Faults = append(r.Faults, faults...)
		}
	}
	// Settings that LXC obeys itself and doesn't pass to the kernel.
	if items, err := call(startLimit, "lxc-info", "-P", "/w/lxc", "-n", name, "-c", "lxc.start.auto",
		"-c", "lxc.apparmor.profile", "-c", "lxc.selinux.context"); err == nil && !warned {
		for line := range strings.Lines(items) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
			if value != "" && value != map[string]string{"lxc.start.auto": "0"}[key] {
				r.Faults = append(r.Faults, fault{loosened, line})
			}
		}
	}
	call(startLimit, "lxc-stop", "-k", "-P", "/w/lxc", "-n", name) // it fails if the container has ended by itself
	return nil
}

// ready waits until the init script is done, and returns its process id, or 0 if the
// container has ended.
func (w *world) ready(name string) int {
	end := time.Now().Add(readyLimit)
	for time.Now().Before(end) {
		if _, err := os.Lstat("/w/lxc/" + name + "/rootfs/probe.done"); err == nil {
			break
		}
		time.Sleep(2 * time.Millisecond)
	}
	out, err := call(startLimit, "lxc-info", "-P", "/w/lxc", "-n", name, "-p", "-H")
	pid, convErr := strconv.Atoi(strings.TrimSpace(out))
	if err != nil || convErr != nil {
		return 0
	}
	return pid
}

// checkDir checks the container's directory after the container was stopped.
func (w *world) checkDir(r *result, name string) {
	dir := "/w/lxc/" + name
	config, err := os.ReadFile(dir + "/config")
	if err != nil {
		r.Faults = append(r.Faults, fault{gone, err.Error()})
		return
	}
	if want := "config of the container: " + string(config); len(r.Notes) > 0 && r.Notes[0] != want {
		r.Faults = append(r.Faults, fault{inFiles, "the container's config has changed"})
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		r.Faults = append(r.Faults, fault{gone, err.Error()})
		return
	}
	for _, e := range entries {
		switch e.Name() {
		case "config", "fstab", "image.json", "rootfs":
		default:
			r.Faults = append(r.Faults, fault{inFiles, filepath.Join(dir, e.Name()) + " is new"})
		}
	}
	if _, err := os.Lstat(dir + "/rootfs/sbin/init"); err != nil {
		r.Faults = append(r.Faults, fault{gone, err.Error()})
	}
}

// restore prepares the world for the next case: it removes the container and everything
// that a fault has made, and makes the canaries again.
func (w *world) restore(r *result, name string) error {
	entries, err := os.ReadDir("/w/lxc")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll("/w/lxc/" + e.Name()); err != nil {
			return err
		}
	}
	// A network device that was moved into the container has vanished with it.
	for _, f := range r.Faults {
		if f.Kind != inNetwork {
			continue
		}
		exec.Command("ip", "link", "del", "canary1").Run()
		if out, err := exec.Command("ip", "link", "add", "canary0", "type", "veth", "peer", "name", "canary1").CombinedOutput(); err != nil &&
			!bytes.Contains(out, []byte("exists")) {
			return fmt.Errorf("canary0: %w: %s", err, out)
		}
		w.before, err = w.look()
		return err
	}
	return nil
}
