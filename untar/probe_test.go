package untar

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// If statfs does not know a number, or reports an absurd one, nothing is refused.
func TestRoom(t *testing.T) {
	for _, c := range []struct {
		name string
		st   unix.Statfs_t
		want Room
	}{
		{"full", unix.Statfs_t{Type: 0xef53, Bsize: 4096, Blocks: 100, Files: 100}, Room{Bytes: 0, Inodes: 0, Total: 409600}},
		{"some", unix.Statfs_t{Type: 0xef53, Bsize: 4096, Blocks: 100, Bavail: 10, Files: 100, Ffree: 7}, Room{Bytes: 40960, Inodes: 7, Total: 409600}},
		{"nothing known", unix.Statfs_t{Bsize: 4096}, Room{Bytes: -1, Inodes: -1, Total: -1}},
		{"no inodes to count", unix.Statfs_t{Type: 0x24051905, Bsize: 4096, Blocks: 9, Bavail: 1}, Room{Bytes: 4096, Inodes: -1, Total: 9 * 4096, Packs: true}},
		{"no block size", unix.Statfs_t{Blocks: 9, Bavail: 3}, Room{Bytes: 3, Inodes: -1, Total: 9}},
		{"beyond 63 bits", unix.Statfs_t{Bsize: 1 << 20, Blocks: 1 << 60, Bavail: 1 << 60, Files: 1, Ffree: 1 << 63}, Room{Bytes: math.MaxInt64, Inodes: math.MaxInt64, Total: math.MaxInt64}},
	} {
		if got := roomOf(&c.st); got != c.want {
			t.Errorf("%s: %+v, not %+v", c.name, got, c.want)
		}
	}
}

func TestProbe(t *testing.T) {
	dir := t.TempDir()
	makeTree(t, dir, ".lxc-pull-probe/a=somebody's", "a=file")
	r, err := OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ids := [2]uint32{uint32(os.Geteuid()), uint32(os.Getegid())}
	if lack, err := r.Probe(&ids); err != nil || lack.HardLinks {
		t.Errorf("%+v, %v", lack, err)
	}
	if os.Geteuid() != 0 {
		var owner *OwnerError
		if _, err := r.Probe(&[2]uint32{ids[0] + 1, ids[1]}); !errors.As(err, &owner) || !errors.Is(err, fs.ErrPermission) {
			t.Errorf("another's files by an ordinary user: %v", err)
		}
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Probe(nil); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("in a directory that can't be written: %v", err)
		}
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("there is %v, %v; want what was there before", left, err)
	}
	if left, err := os.ReadDir(dir + "/.lxc-pull-probe"); err != nil || len(left) != 1 {
		t.Errorf("of somebody's directory there is %v, %v", left, err)
	}
}
