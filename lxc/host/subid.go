package host

import (
	"slices"
	"strconv"
	"strings"

	"lxc-pull/lxc"
)

// Etc is the directory of the files passwd, subuid and subgid.
const Etc = "/etc"

// An idRange is a line of /etc/subuid or /etc/subgid.
type idRange struct{ first, count uint64 }

// UserNames returns the names of a user in the file passwd of the directory etc, followed
// by the decimal user id.
func UserNames(uid int, etc string) (names []string) {
	number := strconv.Itoa(uid)
	passwd, _ := readFile(etc + "/passwd")
	for _, line := range strings.Split(string(passwd), "\n") {
		if f := strings.Split(line, ":"); len(f) > 2 && f[2] == number {
			names = append(names, f[0])
		}
	}
	return append(names, number)
}

// subIDs returns the subordinate user ids and group ids of a user, who has names, from the
// files subuid(5) and subgid(5) in the directory etc. Without names it returns those of all
// users.
func subIDs(names []string, etc string) (ids [2][]idRange) {
	for i, file := range []string{"/subuid", "/subgid"} {
		text, _ := readFile(etc + file)
		for _, line := range strings.Split(string(text), "\n") {
			f := strings.Split(line, ":")
			if len(f) != 3 || names != nil && !slices.Contains(names, f[0]) {
				continue
			}
			first, err1 := strconv.ParseUint(f[1], 10, 32)
			count, err2 := strconv.ParseUint(f[2], 10, 32)
			if err1 == nil && err2 == nil && count > 0 {
				ids[i] = append(ids[i], idRange{first, count})
			}
		}
	}
	return ids
}

// MissingRanges returns those of ranges whose ids are not all subordinate ids of a user, by the
// files in the directory etc.
func MissingRanges(ranges []lxc.IDRange, uid int, etc string) (missing []lxc.IDRange) {
	have := subIDs(UserNames(uid, etc), etc)
	for _, r := range ranges {
		i := 0
		if r.GID {
			i = 1
		}
		first, count := uint64(r.Outside), uint64(r.Count)
		own := first == uint64(uid) && count == 1 // the user's own id, which newuidmap(1) and newgidmap(1) allow
		if !own && !slices.ContainsFunc(have[i], func(h idRange) bool { return h.first <= first && first+count <= h.first+h.count }) {
			missing = append(missing, r)
		}
	}
	return missing
}

// OfferedIDs returns ranges of 65536 user and group ids for a user's containers: those that
// the user has, else ids after all that the files in the directory etc give to anyone.
func OfferedIDs(uid int, etc string) []lxc.IDRange {
	const count = 65536
	have := subIDs(UserNames(uid, etc), etc)
	if len(have[0]) == 0 || len(have[1]) == 0 {
		free := idRange{100000, count}
		for _, ranges := range subIDs(nil, etc) {
			for _, r := range ranges {
				if end := r.first + r.count; end > free.first && end < 1<<32-count {
					free.first = end
				}
			}
		}
		have = [2][]idRange{{free}, {free}}
	}
	offered := make([]lxc.IDRange, len(have))
	for i, ranges := range have {
		offered[i] = lxc.IDRange{UID: i == 0, GID: i == 1, Outside: uint32(ranges[0].first), Count: uint32(min(ranges[0].count, count))}
	}
	return offered
}

// InsideID returns the id in a user namespace with ranges to which the host's user id (or
// group id, if group is true) is mapped. If ranges don't map it, mapped is false and
// inside is the first free id, as lxc-create chooses it (find_unmapped_nsid in LXC's
// conf.c).
func InsideID(ranges []lxc.IDRange, group bool, id uint32) (inside uint32, mapped bool) {
	for range len(ranges) + 1 {
		for _, r := range ranges {
			switch {
			case r.GID != group:
			case id >= r.Outside && id-r.Outside < r.Count:
				return r.Inside + id - r.Outside, true
			case inside >= r.Inside && inside-r.Inside < r.Count:
				inside = r.Inside + r.Count
			}
		}
	}
	return inside, false
}
