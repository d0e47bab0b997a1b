package host

import (
	"os"
	"strconv"
	"strings"

	"lxc-pull/lxc"
)

// Namespace returns the kind of user namespace that this process is in. Without
// /proc it is the host's, as for the stock template.
func Namespace() lxc.Namespace {
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

// ContainerNamespace returns the kind of user namespace that a container will live
// in which lxc-create does not make: that of this process, or the one that config,
// which the container begins with, maps.
func ContainerNamespace(config []byte) lxc.Namespace {
	n := Namespace()
	if ids, _ := lxc.IDMap(config); n == lxc.HostNamespace && (len(ids) > 0 || os.Geteuid() != 0) {
		return lxc.RootNamespace
	}
	return n
}

// IsIn reports whether this process is in the very user namespace that ranges
// describe: so it is after "lxc-usernsexec lxc-pull create".
func IsIn(ranges []lxc.IDRange) bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && mapsRoot(string(text), ranges)
}

// mapsRoot reports whether the text of a uid_map maps root as ranges do.
func mapsRoot(uidMap string, ranges []lxc.IDRange) bool {
	for line := range strings.Lines(uidMap) {
		f := strings.Fields(line)
		for _, r := range ranges {
			if r.UID && r.Inside == 0 && len(f) == 3 && f[0] == "0" && f[1] == strconv.FormatUint(uint64(r.Outside), 10) {
				return true
			}
		}
	}
	return false
}

// OwnIDs returns the user ids and the group ids that files can be given in this
// process's user namespace. A kind is nil if it has no bounds, or they are not
// known.
func OwnIDs() (kinds [2][]lxc.IDRange) {
	for i, file := range []string{"/proc/self/uid_map", "/proc/self/gid_map"} {
		text, err := os.ReadFile(file)
		if err != nil || lxc.NamespaceOf(text, nil) == lxc.HostNamespace {
			continue
		}
		for line := range strings.Lines(string(text)) {
			// Files get the ids as they are inside, whatever those are outside.
			// The fields are split by hand: fmt's scanning is 30 KB of the program.
			fields := strings.Fields(line)
			if len(fields) != 3 {
				continue
			}
			inside, err := strconv.ParseUint(fields[0], 10, 32)
			count, err2 := strconv.ParseUint(fields[2], 10, 32)
			if err == nil && err2 == nil {
				kinds[i] = append(kinds[i], lxc.IDRange{UID: i == 0, GID: i == 1, Inside: uint32(inside), Outside: uint32(inside), Count: uint32(count)})
			}
		}
	}
	return kinds
}
