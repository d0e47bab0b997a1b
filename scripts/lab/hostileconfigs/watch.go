package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A kind says which watch noticed something.
type kind string

const (
	inFiles     kind = "file"      // something of the host's files is new, changed or gone
	inMounts    kind = "mount"     // the same for the host's mounts
	inNames     kind = "hostname"  // the host's name changed
	inSettings  kind = "sysctl"    // kernel settings changed
	inNetwork   kind = "network"   // network devices or addresses changed
	inGroups    kind = "cgroup"    // there are control groups where LXC doesn't put any
	inProcesses kind = "process"   // a process outlived the container
	gone        kind = "gone"      // the container, or a part of it, is missing
	reach       kind = "reach"     // the container has files of the host
	shared      kind = "namespace" // the container has a namespace of the host
	loosened    kind = "loosened"  // it lacks a protection of common.conf, without a warning
	left        kind = "left"      // a refusal left something
	ended       kind = "ended"     // lxc-pull ended with an undocumented exit status
	raw         kind = "output"    // lxc-pull's output has a control character
	unexpected  kind = "verdict"   // a case was wrongly refused or wrongly accepted
)

type fault struct {
	Kind kind
	What string
}

// A state has everything that is watched on the host: descriptions by "KIND NAME".
type state map[string]string

// sysctls are kernel settings that a container could change. Most have no namespace; the
// others are watched in the world's own namespaces.
var sysctls = map[string]bool{
	"/proc/sys/kernel/core_pattern": true, "/proc/sys/kernel/panic_on_oops": true, "/proc/sys/kernel/printk": true,
	"/proc/sys/vm/swappiness": true, "/proc/sys/fs/lease-break-time": true, "/proc/sys/kernel/sched_rt_runtime_us": true,
	"/proc/sys/kernel/domainname": true, "/proc/sys/kernel/hostname": true, "/proc/sys/kernel/shmmni": true,
	"/proc/sys/kernel/msgmax": true, "/proc/sys/fs/mqueue/msg_max": true, "/proc/sys/net/ipv4/ip_forward": true,
	"/proc/sys/net/ipv4/conf/all/forwarding": true, "/proc/sys/net/ipv6/conf/all/forwarding": true,
}

// passOver are files that a creation or LXC is allowed to write.
func passOver(name string) bool {
	for _, dir := range []string{"/w/lxc/", "/w/tree", "/w/home", "/w/cache", "/w/log", "/run/lxc", "/dev/pts/", "/run/mount"} {
		if strings.HasPrefix(name, dir) {
			return true
		}
	}
	return false
}

// look returns the host's state.
func (w *world) look() (state, error) {
	s := state{}
	upper := fmt.Sprintf("/proc/self/fd/%d", w.upper)
	for _, root := range []struct{ dir, name string }{{upper, "/"}, {"/dev", "/dev"}, {"/run", "/run"}, {"/w", "/w"}} {
		if err := s.addFiles(root.dir, root.name); err != nil {
			return nil, err
		}
	}
	mounts, err := readMounts("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	for i, m := range mounts {
		s[fmt.Sprintf("%s %03d", inMounts, i)] = m.line
	}
	for name := range sysctls {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		k := inSettings
		if strings.HasSuffix(name, "name") {
			k = inNames
		}
		s[string(k)+" "+name] = string(data)
	}
	return s, s.addNetwork()
}

// addFiles adds all files below dir, whose path on the host is name.
func (s state) addFiles(dir, name string) error {
	// dir may be a link of /proc/self/fd.
	return filepath.WalkDir(dir+"/.", func(path string, d fs.DirEntry, err error) error {
		path = filepath.Clean(path)
		full := filepath.Join(name, strings.TrimPrefix(path, dir))
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // a process that has just ended
			}
			return err
		}
		if passOver(full) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		var st unix.Stat_t
		stat := unix.Lstat
		if path == dir {
			stat = unix.Stat
		}
		if err := stat(path, &st); err != nil {
			if errors.Is(err, unix.ENOENT) {
				return nil
			}
			return err
		}
		text := fmt.Sprintf("mode %o owner %d:%d device %x links %d", st.Mode, st.Uid, st.Gid, st.Rdev, st.Nlink)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += fmt.Sprintf(" size %d time %d.%09d %x", st.Size, st.Mtim.Sec, st.Mtim.Nsec, sha256.Sum256(data))
		case unix.S_IFLNK:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			text += " to " + target
		case unix.S_IFDIR:
			// Directories of files in passOver are allowed to change.
			switch full {
			case "/w", "/w/lxc", "/run", "/", "/run/lxc":
				text = fmt.Sprintf("mode %o owner %d:%d", st.Mode, st.Uid, st.Gid)
			default:
				text += fmt.Sprintf(" time %d.%09d", st.Mtim.Sec, st.Mtim.Nsec)
			}
		}
		s[string(inFiles)+" "+full] = text
		return nil
	})
}

func (s state) addNetwork() error {
	devices, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, d := range devices {
		addresses, err := d.Addrs()
		if err != nil {
			return err
		}
		s[string(inNetwork)+" "+d.Name] = fmt.Sprint(d.HardwareAddr, d.MTU, d.Flags, addresses)
	}
	return nil
}

// changes returns the differences between two states, and restores settings that don't
// belong to the world alone.
func (w *world) changes() ([]fault, error) {
	now, err := w.look()
	if err != nil {
		return nil, err
	}
	var faults []fault
	note := func(key, was, is string) {
		k, name, _ := strings.Cut(key, " ")
		faults = append(faults, fault{kind(k), fmt.Sprintf("%s: was %q, is %q", name, was, is)})
	}
	for key, was := range w.before {
		is := now[key]
		if is == was {
			continue
		}
		note(key, was, is)
		if _, name, _ := strings.Cut(key, " "); sysctls[name] {
			if err := os.WriteFile(name, []byte(was), 0); err != nil {
				return nil, err
			}
			now[key] = was
		}
	}
	for key, is := range now {
		if _, ok := w.before[key]; !ok {
			note(key, "", is)
		}
	}
	w.before = now
	slices.SortFunc(faults, func(a, b fault) int { return strings.Compare(a.What, b.What) })
	return faults, nil
}

// removeGroups removes the control groups that have tag in their names, and
// returns the names of those that LXC doesn't make by itself.
func removeGroups(tag string) ([]string, error) {
	var strange []string
	patterns := []string{"/sys/fs/cgroup/*", "/sys/fs/cgroup/*/*"}
	// LXC makes them below the control group of process 1, which is the worker.
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(own)) {
		if f := strings.SplitN(strings.TrimSpace(line), ":", 3); len(f) == 3 && f[2] != "/" {
			patterns = append(patterns, "/sys/fs/cgroup"+f[2]+"/*", "/sys/fs/cgroup/*"+f[2]+"/*")
		}
	}
	var dirs []string
	for _, p := range patterns {
		found, err := filepath.Glob(p + tag + "*")
		if err != nil {
			return nil, err
		}
		dirs = append(dirs, found...)
	}
	for _, dir := range dirs {
		base := filepath.Base(dir)
		if !strings.HasPrefix(base, "lxc.payload.") && !strings.HasPrefix(base, "lxc.monitor.") {
			strange = append(strange, dir)
		}
		// The deepest first. A group in use is removed another time.
		for _, sub := range subdirectories(dir) {
			unix.Rmdir(sub)
		}
	}
	return strange, nil
}

// subdirectories returns dir and all directories below it, the deepest first.
func subdirectories(dir string) []string {
	var all []string
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			all = append(all, path)
		}
		return nil
	})
	slices.Reverse(all)
	return all
}

// A mount is a line of mountinfo (proc_pid_mountinfo(5)).
type mount struct {
	device, root, target, kind string
	line                       string
}

func readMounts(name string) ([]mount, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var mounts []mount
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		dash := slices.Index(f, "-")
		if dash < 6 || len(f) < dash+3 {
			return nil, fmt.Errorf("%s: %q", name, line)
		}
		mounts = append(mounts, mount{f[2], f[3], f[4], f[dash+1], strings.TrimSuffix(line, "\n")})
	}
	return mounts, nil
}

// inspect checks a running container from outside.
func (w *world) inspect(name string, pid int, warned bool) ([]fault, error) {
	var faults []fault
	add := func(k kind, format string, args ...any) {
		faults = append(faults, fault{k, fmt.Sprintf(format, args...)})
	}
	proc := fmt.Sprintf("/proc/%d/", pid)
	for _, ns := range []string{"mnt", "pid", "uts", "ipc", "net"} {
		its, err := os.Readlink(proc + "ns/" + ns)
		if err != nil {
			return nil, err
		}
		if own, err := os.Readlink("/proc/self/ns/" + ns); err != nil || own == its {
			add(shared, "%s (%v)", ns, err)
		}
	}
	for key := range w.before {
		// LXC returns a network device when the container ends.
		if device, ok := strings.CutPrefix(key, string(inNetwork)+" "); ok {
			if _, err := net.InterfaceByName(device); err != nil {
				add(inNetwork, "%s: %v", device, err)
			}
		}
	}
	mounts, err := readMounts(proc + "mountinfo")
	if err != nil {
		return nil, err
	}
	host, err := readMounts("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	for _, m := range mounts {
		i := slices.IndexFunc(host, func(h mount) bool { return h.device == m.device })
		rootfs := "/lxc/" + name + "/rootfs"
		switch {
		case i < 0, m.kind == "tmpfs" && (m.root == rootfs || strings.HasPrefix(m.root, rootfs+"/")):
		case m.kind == "devpts" && len(m.root) > 1:
			// A terminal that LXC made for the container on the host's devpts, as it
			// does for the console without lxc.pty.max.
		case m.kind == "sysfs" || strings.HasPrefix(m.kind, "cgroup"):
			// The container's control groups, and directories of /sys that common.conf binds.
			if strings.HasPrefix(m.target, "/sys/") || m.target == "/sys" {
				continue
			}
			fallthrough
		default:
			add(reach, "%s", m.line)
		}
	}
	groups, err := os.ReadFile(proc + "cgroup")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(groups)) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(f) == 3 && strings.Contains(f[2], w.tag) && !strings.HasSuffix(f[2], "/lxc.payload."+name) {
			add(inGroups, "%s", line)
		}
	}
	if warned {
		return faults, nil
	}
	more, err := w.loosened(name, proc)
	return append(faults, more...), err
}

// droppedCaps are the capabilities that common.conf drops, by number.
var droppedCaps = map[int]string{16: "sys_module", 17: "sys_rawio", 25: "sys_time", 32: "mac_override", 33: "mac_admin"}

// loosened returns the rights of a container that common.conf denies.
func (w *world) loosened(name, proc string) ([]fault, error) {
	var faults []fault
	add := func(format string, args ...any) {
		faults = append(faults, fault{loosened, fmt.Sprintf(format, args...)})
	}
	status, err := os.ReadFile(proc + "status")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch key {
		case "CapBnd":
			caps, err := strconv.ParseUint(value, 16, 64)
			if err != nil {
				return nil, err
			}
			for n, word := range droppedCaps {
				if caps>>n&1 == 1 {
					add("capability %s", word)
				}
			}
		case "Seccomp":
			if value == "0" {
				add("no seccomp filter")
			}
		}
	}
	rootfs := "/w/lxc/" + name + "/rootfs/"
	for _, f := range []string{"char", "block"} {
		var st unix.Stat_t
		if unix.Lstat(rootfs+"probe."+f, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR && st.Mode&unix.S_IFMT != unix.S_IFBLK {
			continue // mknod failed already
		}
		out, err := os.ReadFile(rootfs + "probe." + f + ".out")
		if err != nil {
			return nil, err
		}
		if len(out) > 0 && !strings.Contains(string(out), "not permitted") {
			add("device: %s", out)
		}
	}
	return faults, nil
}
