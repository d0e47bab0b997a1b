package host

import (
	"path/filepath"
	"strings"
)

// Cgroups returns the versions of control groups that are mounted ("1", "2" or "1 and 2";
// "": none), and their controllers. own is the directory of this process's group of version
// 2, "" if it is not known.
func (l Layout) Cgroups() (versions string, controllers []string, own string) {
	one, two := false, ""
	for line := range strings.Lines(l.Read("/proc/self/mounts")) {
		f := strings.Fields(line)
		if len(f) < 4 {
			continue
		}
		switch f[2] {
		case "cgroup":
			one = true
			controllers = append(controllers, strings.Split(f[3], ",")...)
		case "cgroup2":
			two = f[1]
			controllers = append(controllers, strings.Fields(l.Read(two+"/cgroup.controllers"))...)
		}
	}
	switch {
	case one && two != "":
		return "1 and 2", controllers, ""
	case one:
		return "1", controllers, ""
	case two == "":
		return "", nil, ""
	}
	if path, ok := strings.CutPrefix(l.Read("/proc/self/cgroup"), "0::/"); ok && !strings.Contains(path, "\n") {
		own = l.Real(filepath.Join(two, path))
	}
	return "2", controllers, own
}

// MountPoint returns the mount point of a directory, "/" if it is not known
// (proc_pid_mountinfo(5)).
func (l Layout) MountPoint(dir string) string {
	best := "/"
	for line := range strings.Lines(l.Read("/proc/self/mountinfo")) {
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		at := strings.ReplaceAll(f[4], `\040`, " ")
		if len(at) > len(best) && (dir == at || strings.HasPrefix(dir, at+"/")) {
			best = at
		}
	}
	return best
}
