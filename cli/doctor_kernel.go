package cli

import (
	"context"
	"os"
	"slices"
	"strconv"
	"strings"

	"lxc-pull/lxc/host"
)

// The checks of doctor about the kernel. All facts come from /proc and /sys.

func (d *doctor) kernel(context.Context) []finding {
	text := release()
	if !d.machine.Has("/proc/self") {
		return bad(quoted(text)+"; /proc is not mounted, so that nothing else is known about it", "mount -t proc proc /proc")
	}
	if !atLeast(text, 3, 8) {
		return doubt(quoted(text)+" is older than 3.8, the first with all namespaces", "Use a newer kernel.")
	}
	return good(quoted(text))
}

// atLeast reports whether a kernel's version, such as 6.1.0-13-amd64, is MAJOR.MINOR or later,
// or is not known.
func atLeast(version string, major, minor int) bool {
	f := strings.FieldsFunc(version, func(r rune) bool { return r < '0' || r > '9' })
	if len(f) < 2 {
		return true
	}
	a, err1 := strconv.Atoi(f[0])
	b, err2 := strconv.Atoi(f[1])
	return err1 != nil || err2 != nil || a > major || a == major && b >= minor
}

func (d *doctor) cgroups(context.Context) []finding {
	m := d.machine
	if !m.Has("/proc/self") {
		return nil
	}
	versions, controllers, own := m.Cgroups()
	if versions == "" {
		return bad("none are mounted", "As root: "+d.mountCgroups())
	}
	text := "version " + versions
	for _, name := range []string{"memory", "pids"} {
		if !slices.Contains(controllers, name) {
			remedy := "Use a kernel with CONFIG_CGROUP_PIDS=y."
			if name == "memory" {
				remedy = "Add cgroup_enable=memory to the kernel's command line (on a Raspberry Pi in /boot/firmware/cmdline.txt), and restart."
			}
			return doubt(text+", without the controller "+name+": LXC can't limit it", remedy)
		}
	}
	if own != "" && d.uid != 0 && !host.Grants(own, 2, uint32(d.uid), d.groups) {
		remedy := "Let root give you one: chown -R USER of a directory below /sys/fs/cgroup, and write your shell's number to its cgroup.procs."
		if m.Has("/run/systemd/system") {
			remedy = "Start containers in one of your own:\n  systemd-run --user --scope -p Delegate=yes -- lxc-start -n NAME"
		}
		return doubt(text+"; this user may not change the group "+quoted(own), remedy)
	}
	return good(text + ", with the controllers memory and pids")
}

// mountCgroups returns the command that mounts control groups.
func (d *doctor) mountCgroups() string {
	switch m := d.machine; {
	case m.Has("/etc/init.d/cgroups"):
		return "rc-update add cgroups && rc-service cgroups start"
	case strings.Contains(m.Read("/proc/filesystems"), "cgroup2"):
		return "mount -t cgroup2 cgroup2 /sys/fs/cgroup"
	}
	return "mount -t tmpfs tmpfs /sys/fs/cgroup && mkdir /sys/fs/cgroup/memory && mount -t cgroup -o memory memory /sys/fs/cgroup/memory"
}

func (d *doctor) namespaces(context.Context) []finding {
	m := d.machine
	if !m.Has("/proc/self") || !atLeast(release(), 3, 8) { // before, /proc/self/ns does not show all
		return nil
	}
	for _, each := range []struct{ name, option string }{
		{"mnt", "NAMESPACES"}, {"pid", "PID_NS"}, {"ipc", "IPC_NS"}, {"uts", "UTS_NS"}, {"net", "NET_NS"},
	} {
		if _, err := os.Lstat(m.Real("/proc/self/ns/" + each.name)); err != nil {
			return bad("this kernel has no namespace of kind "+each.name, "Use a kernel with CONFIG_"+each.option+"=y.")
		}
	}
	return good("mnt, pid, ipc, uts and net")
}

func (d *doctor) fileSystems(context.Context) []finding {
	if !d.machine.Has("/proc/self") {
		return nil
	}
	loaded := d.machine.FileSystems()
	for _, name := range []string{"proc", "sysfs", "tmpfs", "devpts"} {
		if !slices.Contains(loaded, name) {
			return bad("this kernel has no "+name, "Use a kernel with all of proc, sysfs, tmpfs and devpts (CONFIG_TMPFS=y, CONFIG_UNIX98_PTYS=y).")
		}
	}
	text := "proc, sysfs, tmpfs and devpts"
	if slices.Contains(loaded, "overlay") {
		return good(text + ", and overlay for snapshots")
	}
	return good(text + "; overlay is not loaded, which only snapshots (lxc-copy -s) need, and a module may load then")
}

func (d *doctor) seccomp(context.Context) []finding {
	m := d.machine
	if !m.Has("/proc/self") {
		return nil
	}
	if m.Has("/proc/sys/kernel/seccomp") || strings.Contains(m.Read("/proc/self/status"), "\nSeccomp:") {
		return good("there")
	}
	return doubt("this kernel has none: containers start without a filter of system calls, or not at all if LXC was built with it", "Use a kernel with CONFIG_SECCOMP_FILTER=y.")
}
