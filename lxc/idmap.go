package lxc

import (
	"fmt"
	"strconv"
	"strings"
)

// An IDRange maps Count user or group ids of a container to ids of the host.
type IDRange struct {
	UID, GID bool   // whether the ids are users or groups; exactly one is true
	Inside   uint32 // the first id in the container
	Outside  uint32 // the first id on the host
	Count    uint32
}

// IDMap returns the ranges of the lxc.idmap lines in a config: "u INSIDE OUTSIDE COUNT"
// maps users, "g" groups, "b" both. An empty value removes the ranges of the lines
// before (set_config_idmaps in confile.c).
func IDMap(config []byte) ([]IDRange, error) {
	var ranges []IDRange
	for _, line := range strings.Split(string(config), "\n") {
		key, value, _, ok := configItem(line)
		value = unquote(value)
		if !ok || key != "lxc.idmap" && key != "lxc.id_map" {
			continue
		}
		if value == "" {
			ranges = nil
			continue
		}
		f := strings.Fields(value)
		if len(f) != 4 || f[0] != "u" && f[0] != "g" && f[0] != "b" {
			return nil, fmt.Errorf("%q: want TYPE INSIDE OUTSIDE COUNT", line)
		}
		var n [3]uint32
		for i, text := range f[1:] {
			v, err := strconv.ParseUint(text, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("%q: %q is not an id", line, text)
			}
			n[i] = uint32(v)
		}
		if n[2] == 0 || uint64(n[0])+uint64(n[2]) > 1<<32-1 || uint64(n[1])+uint64(n[2]) > 1<<32-1 {
			return nil, fmt.Errorf("%q: an id exceeds 32 bits, or COUNT is 0", line)
		}
		if f[0] != "g" {
			ranges = append(ranges, IDRange{UID: true, Inside: n[0], Outside: n[1], Count: n[2]})
		}
		if f[0] != "u" {
			ranges = append(ranges, IDRange{GID: true, Inside: n[0], Outside: n[1], Count: n[2]})
		}
	}
	return ranges, nil
}

// RootIDs returns the user and the group of the host to which ranges map the
// container's root. The error names the missing line of the config.
func RootIDs(ranges []IDRange) (ids [2]uint32, err error) {
	user, group := false, false
	for _, r := range ranges {
		if r.Inside == 0 && r.UID {
			ids[0], user = r.Outside, true
		}
		if r.Inside == 0 && r.GID {
			ids[1], group = r.Outside, true
		}
	}
	if !user || !group {
		kind := "g"
		if !user {
			kind = "u"
		}
		return ids, fmt.Errorf("lxc.idmap of the config does not map the container's root: there is no \"lxc.idmap = %s 0 FIRST COUNT\"", kind)
	}
	return ids, nil
}
