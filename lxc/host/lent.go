package host

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"lxc-pull/lxc"
)

// Etc is the directory of the files that name users and the ids they may use.
const Etc = "/etc"

// An idRange is a line of /etc/subuid or /etc/subgid.
type idRange struct{ first, count uint64 }

// UserNames returns the names that the file passwd in the directory etc has for a
// user, and last the user's number.
func UserNames(uid int, etc string) (names []string) {
	number := strconv.Itoa(uid)
	passwd, _ := readFile(etc + "/passwd")
	for line := range strings.Lines(string(passwd)) {
		if f := strings.Split(line, ":"); len(f) > 2 && f[2] == number {
			names = append(names, f[0])
		}
	}
	return append(names, number)
}

// lentIDs returns the user ids and the group ids that a user may use besides the
// user's own, by subuid(5) and subgid(5) in the directory etc.
func lentIDs(uid int, etc string) (lent [2][]idRange) {
	names := UserNames(uid, etc)
	for i, file := range []string{"/subuid", "/subgid"} {
		text, _ := readFile(etc + file)
		for line := range strings.Lines(string(text)) {
			f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
			if len(f) != 3 || !slices.Contains(names, f[0]) {
				continue
			}
			first, err1 := strconv.ParseUint(f[1], 10, 32)
			count, err2 := strconv.ParseUint(f[2], 10, 32)
			if err1 == nil && err2 == nil && count > 0 {
				lent[i] = append(lent[i], idRange{first, count})
			}
		}
	}
	return lent
}

// MapLines returns the lines of a config that map the ids which a user may use by
// the files in the directory etc. If the user may use none yet, lent is false and the
// lines are those of the usual ids.
func MapLines(uid int, etc string) (lines string, lent bool) {
	lent = true
	fields := [2]string{}
	for i, ranges := range lentIDs(uid, etc) {
		r := idRange{100000, 65536}
		if len(ranges) > 0 {
			r = ranges[0]
		} else {
			lent = false
		}
		fields[i] = fmt.Sprintf("%d %d", r.first, r.count)
	}
	return fmt.Sprintf("  lxc.idmap = u 0 %s\n  lxc.idmap = g 0 %s", fields[0], fields[1]), lent
}

// MissingIDs returns usermod's options that let a user use the ids of ranges, nil
// if the files in the directory etc let the user use all of them already.
func MissingIDs(ranges []lxc.IDRange, uid int, etc string) (options []string) {
	lent := lentIDs(uid, etc)
	for _, r := range ranges {
		option, i := "--add-subuids", 0
		if r.GID {
			option, i = "--add-subgids", 1
		}
		first, count := uint64(r.Outside), uint64(r.Count)
		own := first == uint64(uid) && count == 1 // or the user's group, which newgidmap knows
		if !own && !slices.ContainsFunc(lent[i], func(l idRange) bool { return l.first <= first && first+count <= l.first+l.count }) {
			options = append(options, option, fmt.Sprintf("%d-%d", first, first+count-1))
		}
	}
	return options
}

// InsideID returns the id that a user (a group, if group is true) has in a
// namespace with ranges. If ranges do not map it, known is false and inside is the
// first id that is free there, as lxc-create chooses one.
func InsideID(ranges []lxc.IDRange, group bool, id uint32) (inside uint32, known bool) {
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
