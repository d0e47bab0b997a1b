package main

import (
	"io"
	"math"
	"os"
	"testing"
	"time"

	"lxc-pull/untar"
)

func TestShortage(t *testing.T) {
	const mib = 1 << 20
	large := untar.Room{Bytes: 1000 * mib, Inodes: 100000, Total: 2000 * mib}
	for _, c := range []struct {
		name                    string
		room                    untar.Room
		packed, content, beside int64
		need, have              string
	}{
		{"fits", large, 50 * mib, 200 * mib, 0, "", ""},
		{"just fits", large, 50 * mib, (1000 - 16) * mib * 8 / 7, 0, "", ""},
		{"does not", large, 50 * mib, 1200 * mib, 0, "1.0 GiB and 16.0 MiB to spare", "1.0 GiB"},
		{"by its factor", large, 500 * mib, -1, 0, "1.0 GiB and 16.0 MiB to spare", "1.0 GiB"},
		{"with a file beside", large, 200 * mib, 1000 * mib, 200 * mib, "875 MiB, 200 MiB for the download and 16.0 MiB to spare", "1.0 GiB"},
		{"an absurd size", large, math.MaxInt64, -1, 0, "8388608 TiB and 16.0 MiB to spare", "1.0 GiB"},
		{"a router's flash", untar.Room{Bytes: 20 * mib, Inodes: -1, Total: 64 * mib}, 3 * mib, 9 * mib, 0, "", ""},
		{"one that packs", untar.Room{Bytes: 20 * mib, Inodes: -1, Total: 64 * mib, Packs: true}, 10 * mib, 40 * mib, 0, "", ""},
		{"not so well", untar.Room{Bytes: 20 * mib, Inodes: -1, Total: 64 * mib, Packs: true}, 19 * mib, 40 * mib, 0, "19.0 MiB and 4.0 MiB to spare", "20.0 MiB"},
		{"nobody knows", untar.Room{Bytes: -1, Inodes: -1, Total: -1}, 1 << 50, 1 << 50, 1 << 50, "", ""},
		{"few inodes", untar.Room{Bytes: 1000 * mib, Inodes: 1000, Total: 2000 * mib}, 50 * mib, 200 * mib, 0, "2800 inodes or more", "1000"},
		{"none", untar.Room{Bytes: 1000 * mib, Inodes: 0, Total: 2000 * mib}, 1, 1, 0, "1 inodes or more", "0"},
	} {
		if need, have := shortage(c.room, c.packed, c.content, c.beside); need != c.need || have != c.have {
			t.Errorf("%s: %q, %q; want %q, %q", c.name, need, have, c.need, c.have)
		}
	}
}

func TestMappedOwners(t *testing.T) {
	u := func(inside, outside, count uint32) untar.IDRange {
		return untar.IDRange{UID: true, Inside: inside, Outside: outside, Count: count}
	}
	for _, c := range []struct {
		ranges []untar.IDRange
		count  uint32
		some   uint32
	}{
		{nil, 0, 1},
		{[]untar.IDRange{u(0, 100000, 65536)}, 65536, 100001},
		{[]untar.IDRange{u(0, 1000, 1)}, 1, 1000},
		{[]untar.IDRange{u(1000, 1000, 1), u(0, 100000, 1000), u(1001, 101001, 64535)}, 65536, 100001},
		{[]untar.IDRange{u(0, 100000, 1000), u(2000, 102000, 5)}, 1000, 100001},
		{[]untar.IDRange{u(5, 5, 5)}, 0, 1},
		{[]untar.IDRange{u(0, 0, math.MaxUint32)}, math.MaxUint32, 1},
	} {
		if got := mappedCount(c.ranges); got != c.count {
			t.Errorf("%v: %d owners, not %d", c.ranges, got, c.count)
		}
		if got := someID(c.ranges); got != c.some {
			t.Errorf("%v: owner %d, not %d", c.ranges, got, c.some)
		}
	}
}

// Where an image is merged into a folder nothing is tried there: a kill would leave
// it in the tree for ever.
func TestMergeTriesNothing(t *testing.T) {
	for _, merges := range []bool{false, true} {
		dir := t.TempDir()
		if err := os.WriteFile(dir+"/mine", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		long := time.Unix(1234567890, 0)
		if err := os.Chtimes(dir, long, long); err != nil {
			t.Fatal(err)
		}
		root, err := untar.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		c := &creation{ui: &ui{out: io.Discard, err: io.Discard}, merges: merges}
		if err := c.checkPlace(root); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(dir)
		if err != nil || info.ModTime().Equal(long) != merges {
			t.Errorf("merges: %v, the folder's time: %v (%v)", merges, info.ModTime(), err)
		}
	}
}
