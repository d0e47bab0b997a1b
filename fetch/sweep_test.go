package fetch

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
)

// TestShrink removes by the time of use, spares one image, and leaves alone
// what a process has.
func TestShrink(t *testing.T) {
	key := func(n int) Key { return Key{"debian", fmt.Sprint("r", n), "arm64", "default"} }
	for _, test := range []struct {
		max    int64
		spare  int
		locked int
		want   string // what stays; 0 was used last
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
		spare := Key{}
		if test.spare >= 0 {
			spare = key(test.spare)
		}
		err := c.Shrink(test.max, spare, func(i Info, err error) {
			if (err != nil) != (i.Key == key(max(test.locked, 0)) && test.locked >= 0) || err != nil && !errors.Is(err, ErrLocked) {
				t.Errorf("%v: %v", i.Key, err)
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

// TestSweep removes what processes left that ended long ago, and nothing that is
// newer, an entry's, or held.
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
	variant := func(v string) Key { return Key{"debian", "trixie", "arm64", v} }
	if want := []Key{variant("cloud"), variant("default")}; err != nil || !slices.Equal(keys, want) {
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

// Drop takes an entry or an interrupted download, and only that.
func TestDrop(t *testing.T) {
	c := &Cache{Base: t.TempDir()}
	put(t, c, testKey, "20260101", "r")
	slot, err := c.Lock(t.Context(), testKey)
	if err != nil {
		t.Fatal(err)
	}
	stage, err := slot.Stage("x")
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(stage, "12")
	stage.Close()
	if err := c.Drop(Info{Key: testKey}); !errors.Is(err, ErrLocked) {
		t.Errorf("an entry in use: %v", err)
	}
	slot.Unlock()
	if err := c.Drop(Info{Key: testKey, Partial: true}); err != nil {
		t.Error(err)
	}
	if list, _ := c.List(); len(list) != 1 || list[0].Partial {
		t.Errorf("after an interrupted download was dropped: %v", list)
	}
	if err := c.Drop(Info{Key: testKey}); err != nil {
		t.Error(err)
	}
	if list, _ := c.List(); len(list) != 0 {
		t.Errorf("after the entry was dropped: %v", list)
	}
}
