package host

import (
	"os"
	"strconv"
	"strings"

	"lxc-pull/lxc"
)

// Namespace returns the kind of user namespace that this process is in. If /proc is not
// mounted it returns lxc.HostNamespace, as the stock template does.
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

// ContainerNamespace returns the kind of user namespace of a container that this program
// creates without lxc-create: the kind of this process's namespace. But if that is the host's
// namespace, and config has lxc.idmap or the user is not root, it is lxc.RootNamespace. config
// is the text that the container's config begins with.
func ContainerNamespace(config []byte) lxc.Namespace {
	n := Namespace()
	if ids, _ := lxc.IDMap(config); n == lxc.HostNamespace && (len(ids) > 0 || os.Geteuid() != 0) {
		return lxc.RootNamespace
	}
	return n
}

// IsIn reports whether this process is in the user namespace that ranges describe, as it
// is after "lxc-usernsexec lxc-pull create".
func IsIn(ranges []lxc.IDRange) bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && mapsRoot(string(text), ranges)
}

// mapsRoot reports whether a uid_map maps root to the same user as ranges do.
func mapsRoot(uidMap string, ranges []lxc.IDRange) bool {
	for _, line := range strings.Split(uidMap, "\n") {
		f := strings.Fields(line)
		for _, r := range ranges {
			if r.UID && r.Inside == 0 && len(f) == 3 && f[0] == "0" && f[1] == strconv.FormatUint(uint64(r.Outside), 10) {
				return true
			}
		}
	}
	return false
}

// OwnIDs returns the user ids and the group ids that files can have in this process's
// user namespace. An element is nil if all ids are possible, or if the map can't be read.
func OwnIDs() (kinds [2][]lxc.IDRange) {
	for i, file := range []string{"/proc/self/uid_map", "/proc/self/gid_map"} {
		text, err := os.ReadFile(file)
		if err != nil || lxc.NamespaceOf(text, nil) == lxc.HostNamespace {
			continue
		}
		for _, line := range strings.Split(string(text), "\n") {
			// chown(2) takes ids of this namespace, so Outside is the same as Inside.
			// Not fmt.Sscanf, which would add 30 KB to the program.
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
