package cache

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/image"
)

// TestShrink checks that images are removed by the time of use, except the spared image and
// a locked one.
func TestShrink(t *testing.T) {
	key := func(n int) image.Name {
		return image.Name{Dist: "debian", Release: fmt.Sprint("r", n), Arch: "arm64", Variant: "default"}
	}
	for _, test := range []struct {
		max    int64
		spare  int
		locked int
		want   string // the images that stay; 0 was used last
	}{
		{100, -1, -1, "[0 1 2 3]"},
		{40, -1, -1, "[0 1 2 3]"},
		{39, -1, -1, "[0 1 2]"},
		{15, -1, -1, "[0]"},
		{5, -1, -1, "[]"},
		{20, 3, -1, "[0 1 3]"},
		{20, -1, 3, "[0 3]"},
	} {
		c := &Cache{Base: t.TempDir()}
		for n := range 4 {
			put(t, c, key(n), "20260101", "0123456789")
			when := time.Now().Add(-time.Duration(n+1) * time.Hour)
			err := filepath.WalkDir(filepath.Join(c.Base, "download/debian", key(n).Release), func(path string, _ fs.DirEntry, err error) error {
				return errors.Join(err, os.Chtimes(path, when, when))
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		c.Use(key(0))
		if test.locked >= 0 {
			slot, err := c.Lock(t.Context(), key(test.locked))
			if err != nil {
				t.Fatal(err)
			}
			defer slot.Unlock()
		}
		spare := image.Name{}
		if test.spare >= 0 {
			spare = key(test.spare)
		}
		err := c.Shrink(test.max, spare, func(i Info, err error) {
			if (err != nil) != (i.Name == key(max(test.locked, 0)) && test.locked >= 0) || err != nil && !errors.Is(err, ErrLocked) {
				t.Errorf("%v: %v", i.Name, err)
			}
		})
		if err != nil {
			t.Error(err)
		}
		list, err := c.List()
		if err != nil {
			t.Fatal(err)
		}
		var left []string
		for _, i := range list {
			left = append(left, strings.TrimPrefix(i.Release, "r"))
		}
		if got := fmt.Sprint(left); got != test.want {
			t.Errorf("shrunk to %d, %d spared, %d locked: %s is left, want %s", test.max, test.spare, test.locked, got, test.want)
		}
	}
}

// TestSweep checks that Sweep removes old files of interrupted runs, and no newer files, no
// entry and no held lock.
func TestSweep(t *testing.T) {
	const at = "download/debian/trixie/arm64/"
	c := &Cache{Base: write(t, map[string]string{
		at + "default/rootfs.tar.xz": "r", at + "default/build_id": "b",
		at + ".default.part/rootfs.tar.xz": "12345", at + ".default.part/tag": "t",
		at + ".default.lock.owner":   "1\telsewhere\t\n",
		at + ".default.lock.owner.7": "1\telsewhere\t\n",
		at + ".cloud.lock":           "",
		at + ".fresh.part/tag":       "t",
		at + ".other":                "not ours",
	})}
	now := time.Now()
	old := now.Add(-Leftover - time.Hour)
	err := filepath.WalkDir(c.Base, func(path string, _ fs.DirEntry, err error) error {
		if strings.Contains(path, ".fresh.part") {
			return err
		}
		return errors.Join(err, os.Chtimes(path, old, old))
	})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := c.Leftovers(now)
	variant := func(v string) image.Name {
		return image.Name{Dist: "debian", Release: "trixie", Arch: "arm64", Variant: v}
	}
	if want := []image.Name{variant("cloud"), variant("default")}; err != nil || !slices.Equal(keys, want) {
		t.Fatalf("leftovers of %v, want %v (%v)", keys, want, err)
	}
	for _, k := range keys {
		slot, err := c.TryLock(k)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.TryLock(k); !errors.Is(err, ErrLocked) {
			t.Errorf("locked twice: %v", err)
		}
		size, err := slot.Sweep(now)
		if want := int64(5); err != nil || k.Variant == "default" && size != want {
			t.Errorf("%d bytes are told, want %d (%v)", size, want, err)
		}
		if err := slot.Unlock(); err != nil {
			t.Error(err)
		}
	}
	want := []string{at + ".fresh.part/tag t", at + ".other not ours", at + "default/build_id b", at + "default/rootfs.tar.xz r"}
	if got := tree(t, c.Base); !slices.Equal(got, want) {
		t.Errorf("left\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestDrop checks that Drop removes an entry or a partial download, and nothing else.
func TestDrop(t *testing.T) {
	c := &Cache{Base: t.TempDir()}
	put(t, c, testName, "20260101", "r")
	slot, err := c.Lock(t.Context(), testName)
	if err != nil {
		t.Fatal(err)
	}
	stage, err := slot.Stage("x")
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(stage, "12")
	stage.Close()
	if err := c.Drop(Info{Name: testName}); !errors.Is(err, ErrLocked) {
		t.Errorf("an entry in use: %v", err)
	}
	slot.Unlock()
	if err := c.Drop(Info{Name: testName, Partial: true}); err != nil {
		t.Error(err)
	}
	if list, _ := c.List(); len(list) != 1 || list[0].Partial {
		t.Errorf("after an interrupted download was dropped: %v", list)
	}
	if err := c.Drop(Info{Name: testName}); err != nil {
		t.Error(err)
	}
	if list, _ := c.List(); len(list) != 0 {
		t.Errorf("after the entry was dropped: %v", list)
	}
}

// TestDamagedLock checks that a lock file which a power failure damaged can be locked if it
// has the mode and links of a lock file, and that other files under its name stay.
func TestDamagedLock(t *testing.T) {
	const at = "download/debian/trixie/arm64/"
	for _, test := range []struct {
		name, text string
		mode       os.FileMode
		links      bool
		taken      bool
		swept      bool // by the Sweep of a Slot with another lock
	}{
		{"NULs", strings.Repeat("\x00", 40), 0o600, false, true, true},
		{"a cut line", "1234\thos", 0o600, false, true, false},
		{"a cut line, then NULs", "1234\thos\x00\x00\x00", 0o600, false, true, false},
		{"others may read it", strings.Repeat("\x00", 40), 0o644, false, false, false},
		{"other names", strings.Repeat("\x00", 40), 0o600, true, false, false},
		{"too long", strings.Repeat("\x00", maxHolder+1), 0o600, false, false, false},
		{"text", "dear me", 0o600, false, false, false},
		{"a number of another program", "1234\n", 0o600, false, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			old := time.Now().Add(-Leftover - time.Hour)
			put := func(name string) *Cache {
				c := &Cache{Base: write(t, map[string]string{name: test.text})}
				path := filepath.Join(c.Base, name)
				err := errors.Join(os.Chmod(path, test.mode), os.Chtimes(path, old, old))
				if test.links {
					err = errors.Join(err, os.Link(path, filepath.Join(c.Base, "other")))
				}
				if err != nil {
					t.Fatal(err)
				}
				return c
			}
			for name, noFlock := range map[string]bool{".default.lock": false, ".default.lock.owner": true} {
				c := put(at + name)
				c.noFlock = noFlock
				slot, err := c.TryLock(testName)
				if noFlock && test.taken && errors.Is(err, ErrLocked) { // the first try removed the file
					slot, err = c.TryLock(testName)
				}
				if (err == nil) != test.taken {
					t.Errorf("%s: %v", name, err)
				}
				if err == nil {
					if _, again := c.TryLock(testName); !errors.Is(again, ErrLocked) {
						t.Errorf("%s: locked twice: %v", name, again)
					}
					slot.Unlock()
				} else if text, _ := os.ReadFile(filepath.Join(c.Base, at+name)); string(text) != test.text {
					t.Errorf("%s holds %q", name, text)
				}
			}
			c := put(".lxc-pull/seen.lock")
			if err := c.UpdateSeen(t.Context(), func(s []Seen) ([]Seen, error) { return s, nil }); (err == nil) != test.taken {
				t.Errorf("seen: %v", err)
			}
			c = put(at + ".default.lock.owner")
			slot, err := c.TryLock(testName)
			if err != nil {
				t.Fatal(err)
			}
			defer slot.Unlock()
			if _, err := slot.Sweep(time.Now()); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Lstat(filepath.Join(c.Base, at+".default.lock.owner")); errors.Is(err, fs.ErrNotExist) != test.swept {
				t.Errorf("after Sweep: %v", err)
			}
		})
	}
}

// TestDamagedLockHeld checks that a damaged lock counts as held while its flock is held, or
// until an owner file has had no heartbeat for deadAfter.
func TestDamagedLockHeld(t *testing.T) {
	const at = "download/debian/trixie/arm64/"
	for _, name := range []string{".default.lock", ".default.lock.owner"} {
		c := &Cache{Base: write(t, map[string]string{at + name: "\x00\x00"}), noFlock: strings.HasSuffix(name, ownerSuffix)}
		path := filepath.Join(c.Base, at+name)
		now := time.Now().Add(-deadAfter / 2)
		f, err := os.Open(path)
		if err == nil {
			defer f.Close()
			err = errors.Join(os.Chmod(path, 0o600), os.Chtimes(path, now, now), unix.Flock(int(f.Fd()), unix.LOCK_EX))
		}
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := c.TryLock(testName); !errors.Is(err, ErrLocked) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
