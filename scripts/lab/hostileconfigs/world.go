package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A world is a worker's host: the machine's files below an overlay, with its own /dev, /run
// and /proc, in separate namespaces.
//
//	/w/canary    files that nothing may change
//	/w/lxc       the containers
//	/w/tree      the case's image tree
type world struct {
	job
	publisher *publisher
	tag       string // part of the names of containers and control groups
	upper     int    // the overlay's upper directory, which has every change
	before    state
}

// devices are the device nodes to copy from the machine's /dev.
var devices = []string{"null", "zero", "full", "random", "urandom", "tty"}

func newWorld(j job) (*world, error) {
	w := &world{job: j, tag: fmt.Sprintf("%s-%d", runTag(j.Dir), j.Worker)}
	var err error
	if w.publisher, err = newPublisher(j.Dir); err != nil {
		return nil, err
	}
	if err := w.enter(); err != nil {
		return nil, err
	}
	if err := w.furnish(); err != nil {
		return nil, err
	}
	w.before, err = w.look()
	return w, err
}

// enter makes the world and changes this process's root to it.
func (w *world) enter() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	stage := filepath.Join(w.Dir, fmt.Sprint("worker", w.Worker))
	if err := os.Mkdir(stage, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("stage", stage, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("tmpfs: %w", err)
	}
	for _, d := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(filepath.Join(stage, d), 0o755); err != nil {
			return err
		}
	}
	root := filepath.Join(stage, "root")
	options := fmt.Sprintf("lowerdir=/,upperdir=%s/upper,workdir=%s/work", stage, stage)
	if err := unix.Mount("host", root, "overlay", 0, options); err != nil {
		return fmt.Errorf("overlay: %w", err)
	}
	if err := bindSystem(root); err != nil {
		return err
	}
	for _, d := range []string{"w", "w.old"} {
		if err := os.Mkdir(filepath.Join(root, d), 0o755); err != nil {
			return err
		}
	}
	mounts := []struct {
		source, target, kind string
		flags                uintptr
		data                 string
	}{
		{"proc", "proc", "proc", 0, ""},
		{"/sys", "sys", "", unix.MS_BIND | unix.MS_REC, ""},
		{"dev", "dev", "tmpfs", 0, "mode=755"},
		{"run", "run", "tmpfs", 0, "mode=755"},
		{"w", "w", "tmpfs", 0, "mode=755"},
	}
	for _, m := range mounts {
		if err := unix.Mount(m.source, filepath.Join(root, m.target), m.kind, m.flags, m.data); err != nil {
			return fmt.Errorf("mount of %s: %w", m.target, err)
		}
	}
	if err := w.makeDevices(filepath.Join(root, "dev")); err != nil {
		return err
	}
	for _, name := range []string{"lxc-pull", "key.pub"} {
		data, err := os.ReadFile(filepath.Join(w.Dir, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(root, "w", name), data, 0o755); err != nil {
			return err
		}
	}
	var err error
	if w.upper, err = unix.Open(stage+"/upper", unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return err
	}
	if err := unix.PivotRoot(root, root+"/w.old"); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	if err := unix.Unmount("/w.old", unix.MNT_DETACH); err != nil {
		return err
	}
	if err := os.Remove("/w.old"); err != nil {
		return err
	}
	// Shared, as systemd leaves it: mounts that aren't made private propagate to the host.
	return unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, "")
}

// runTag returns the word in all names that the run makes outside of its directory dir.
func runTag(dir string) string { return "hostile" + strings.TrimPrefix(filepath.Ext(dir), ".") }

// bindSystem binds other file systems of the machine into the world, read-only, because the
// overlay shows only the root file system.
func bindSystem(root string) error {
	mounts, err := readMounts("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for _, m := range mounts {
		for _, dir := range []string{"/usr", "/etc", "/lib", "/bin", "/sbin", "/var", "/opt"} {
			if m.target != dir && !strings.HasPrefix(m.target, "/usr/") {
				continue
			}
			target := root + m.target
			if err := unix.Mount(m.target, target, "", unix.MS_BIND, ""); err != nil {
				return fmt.Errorf("bind of %s: %w", m.target, err)
			}
			if err := unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
				return fmt.Errorf("bind of %s: %w", m.target, err)
			}
			break
		}
	}
	return nil
}

func (w *world) makeDevices(dev string) error {
	for _, name := range devices {
		var st unix.Stat_t
		if err := unix.Stat("/dev/"+name, &st); err != nil {
			return err
		}
		path := filepath.Join(dev, name)
		if err := unix.Mknod(path, unix.S_IFCHR|0o666, int(st.Rdev)); err != nil {
			return err
		}
		if err := os.Chmod(path, 0o666); err != nil {
			return err
		}
	}
	for _, name := range []string{"pts", "shm"} {
		if err := os.Mkdir(filepath.Join(dev, name), 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("devpts", filepath.Join(dev, "pts"), "devpts", 0, "newinstance,ptmxmode=666"); err != nil {
		return err
	}
	return os.Symlink("pts/ptmx", filepath.Join(dev, "ptmx"))
}

// furnish makes the canaries and the files that creations need.
func (w *world) furnish() error {
	if err := unix.Sethostname([]byte("hostile-host")); err != nil {
		return err
	}
	for _, dir := range []string{canary, canary + "/dir", "/w/lxc", "/w/home", "/w/log", "/w/evil"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	for name, data := range map[string]string{
		canary + "/file": "canary LXC_NAME LXC_PATH mingetty\n", canary + "/dir/file": "canary\n",
		canary + "/script": "#!/bin/sh\n/usr/bin/touch " + canary + "/by-script\n",
		"/w/default.conf":  "lxc.net.0.type = empty\n", canary + "/hostile.conf": "lxc.hook.pre-start = " + canary + "/script\n",
		"/w/sibling": "canary\n", "/w/hook": mountHook, "/w/evil/env": evil, "/w/hook.conf": "lxc.net.0.type = empty\nlxc.hook.mount = /w/hook\n",
	} {
		if err := os.WriteFile(name, []byte(data), 0o755); err != nil {
			return err
		}
	}
	for _, argv := range [][]string{
		{"ip", "link", "set", "lo", "up"},
		{"ip", "link", "add", "lxcbr0", "type", "bridge"},
		{"ip", "link", "add", "canary0", "type", "veth", "peer", "name", "canary1"},
	} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, out)
		}
	}
	// Without these some watches would have nothing to find.
	for name := range sysctls {
		if _, err := os.ReadFile(name); err != nil {
			return err
		}
	}
	return nil
}

// quiet waits until this process is the only one in the world, and returns the processes
// that don't end.
func (w *world) quiet(patience time.Duration) ([]string, error) {
	end := time.Now().Add(patience)
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.ECHILD):
			return nil, nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, err
		case pid > 0:
			continue
		case time.Now().Before(end):
			time.Sleep(2 * time.Millisecond)
			continue
		}
		return w.killAll()
	}
}

// killAll kills all processes of the world but this one, and returns their names.
func (w *world) killAll() ([]string, error) {
	var left []string
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if name == "/proc/1/cmdline" {
			continue
		}
		if data, err := os.ReadFile(name); err == nil {
			left = append(left, strings.TrimSpace(strings.ReplaceAll(string(data), "\x00", " ")))
		}
	}
	if os.Getpid() != 1 {
		return nil, errors.New("not the first process of the world")
	}
	if err := unix.Kill(-1, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return nil, err
	}
	for {
		if _, err := unix.Wait4(-1, nil, 0, nil); errors.Is(err, unix.ECHILD) {
			return left, nil
		} else if err != nil && !errors.Is(err, unix.EINTR) {
			return nil, err
		}
	}
}

// close removes the control groups, which outlive the world.
func (w *world) close() error {
	_, err := removeGroups(w.tag)
	return err
}
