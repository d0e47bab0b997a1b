package cache

import (
	"errors"
	"fmt"
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

// others are files that people may keep four directories deep. None is an image, whatever
// its place and age.
var others = map[string]string{
	"download/music/artist/album/song.mp3":                    "a file",
	"download/music/artist/album/rootfs.tar.xz":               "a file of that name",
	"download/music/artist/album/disc1/a.flac":                "a directory",
	"download/music/artist/album/.disc2.part/b.flac":          "a browser's download",
	"download/music/artist/album/.disc3.part":                 "a file with a hidden name",
	"download/music/artist/album/.disc4.old/deep/tag":         "too deep",
	"download/music/artist/album/.disc5.lock":                 "text",
	"download/music/artist/album/.disc6.lock.owner":           "more text",
	"download/music/artist/album/.disc7.lock/build_id":        "a directory as a lock",
	"download/music/artist/album/base/.lxc-pull/seen":         "another cache",
	"download/music/artist/album/base/download/d/r/a/v/x":     "another cache",
	"download/photos/2019/holiday/image/rootfs.tar.xz":        "an image that a person keeps",
	"download/photos/2019/holiday/image/build_id":             "20260101",
	"download/photos/2019/holiday/image/mine/letter":          "with more in it",
	"download/photos/2019/holiday/half/rootfs.tar.xz":         "half of the stock template's",
	"download/photos/2019/holiday/halves/build_id":            "20260101",
	"download/photos/2019/holiday/lines/build_id":             "two\nlines",
	"download/photos/2019/holiday/lines/rootfs.tar.xz":        "r",
	"download/photos/2019/holiday/.half.new/rootfs.tar.xz/in": "a directory",
}

// TestOthersStay checks that no removal (by age, by size, of all images) takes a directory
// without the cache's marker files, and that Shrink does not count it.
func TestOthersStay(t *testing.T) {
	c := &Cache{Base: write(t, others)}
	want := tree(t, c.Base)
	put(t, c, testName, "20260101", "12345")
	put(t, c, image.Name{Dist: "photos", Release: "2019", Arch: "holiday", Variant: "signed"}, "20260101", "123")
	os.Remove(filepath.Join(c.Base, "download/photos/2019/holiday/signed/build_id"))
	old := time.Now().Add(-2 * Leftover)
	err := filepath.WalkDir(c.Base, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chtimes(path, old, old))
	})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := c.Leftovers(time.Now())
	if err != nil || len(keys) > 0 {
		t.Errorf("leftovers of %v (%v)", keys, err)
	}
	for _, variant := range []string{"disc2", "disc3", "disc4", "disc7", "disc5", "disc6"} {
		s, err := c.TryLock(image.Name{Dist: "music", Release: "artist", Arch: "album", Variant: variant})
		if err == nil {
			_, err = s.Sweep(time.Now())
			s.Unlock()
		}
		if err != nil && !strings.Contains(err.Error(), "was not made by the cache") && !strings.Contains(err.Error(), "is a directory") {
			t.Errorf("%s: %v", variant, err)
		}
	}
	list, err := c.List()
	var listed []string
	for _, i := range list {
		line := i.String()
		if i.Proven {
			line += " proven"
		}
		if i.Damage != nil {
			line += " damaged"
		}
		listed = append(listed, line)
	}
	if want := []string{
		"debian/trixie/arm64/default proven", "photos/2019/holiday/half damaged", "photos/2019/holiday/halves damaged",
		"photos/2019/holiday/image", "photos/2019/holiday/lines damaged", "photos/2019/holiday/signed proven damaged",
	}; err != nil || !slices.Equal(listed, want) {
		t.Errorf("List: %v, want %v (%v)", listed, want, err)
	}
	if err := c.Shrink(8, image.Name{}, func(i Info, err error) { t.Errorf("%v is removed though only 8 bytes are images (%v)", i, err) }); err != nil {
		t.Error(err)
	}
	var gone []string
	if err := c.Shrink(0, image.Name{}, func(i Info, err error) { gone = append(gone, i.String()) }); err != nil || len(gone) != 2 {
		t.Errorf("%v is removed (%v)", gone, err)
	}
	if got := tree(t, c.Base); !slices.Equal(slices.DeleteFunc(got, func(s string) bool { return strings.HasSuffix(s, "arm64/") }), want) {
		t.Errorf("left\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestStageBesideOthers checks that a directory of others under a name of the cache stays,
// and that Lock or Stage refuses to use it before anything is downloaded.
func TestStageBesideOthers(t *testing.T) {
	const at = "download/debian/trixie/arm64/"
	for _, name := range []string{
		"default/letter", "default", ".default.part/letter", ".default.part", ".default.old/letter", ".default.old",
		".default.new/letter", ".default.new", ".default.lock", "default/rootfs.tar.xz/letter", "default/.lxc-pull/deep/letter",
	} {
		c := &Cache{Base: write(t, map[string]string{at + name: "dear me"})}
		before := tree(t, c.Base)
		slot, err := c.Lock(t.Context(), testName)
		if err == nil {
			var stage *Stage
			if stage, err = slot.Stage("tag"); err == nil {
				stage.Discard()
			}
			if e := slot.remove(); e == nil {
				t.Errorf("%s: removed", name)
			}
			slot.Unlock()
		}
		var unwritable *UnwritableError
		if !errors.As(err, &unwritable) {
			t.Errorf("%s: %v, want an *UnwritableError", name, err)
		}
		if after := tree(t, c.Base); !slices.Equal(before, after) {
			t.Errorf("%s: left %q, was %q", name, after, before)
		}
	}
}

// TestDropProves checks that Drop leaves an entry that has changed since List and is no entry now.
func TestDropProves(t *testing.T) {
	c := &Cache{Base: t.TempDir()}
	put(t, c, testName, "20260101", "r")
	list, _ := c.List()
	entry := filepath.Join(c.Base, inEntry)
	if err := errors.Join(os.RemoveAll(entry), os.Mkdir(entry, 0o755), os.WriteFile(entry+"/rootfs.tar.xz", nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	if err := c.Drop(list[0]); err == nil {
		t.Error("half an entry is removed as a whole one")
	}
	half, _ := c.List()
	if err := c.Drop(half[0]); err != nil {
		t.Errorf("half an entry, named: %v", err)
	}
	if _, err := os.Lstat(entry); err == nil {
		t.Error("it stays")
	}
}

// TestMarkersLast checks that an interrupted removal leaves a marker file.
func TestMarkersLast(t *testing.T) {
	needRoot(t)
	c := &Cache{Base: t.TempDir()}
	put(t, c, testName, "20260101", "r")
	for n := range 20 {
		os.WriteFile(filepath.Join(c.Base, inEntry, fmt.Sprint("file", n)), nil, 0o644)
	}
	mount := filepath.Join(c.Base, inEntry, "mount")
	if err := errors.Join(os.Mkdir(mount, 0o755), unix.Mount("none", mount, "tmpfs", 0, "size=4k")); err != nil {
		t.Skip(err)
	}
	defer unix.Unmount(mount, 0)
	d, err := c.parent(testName, false)
	if err != nil {
		t.Fatal(err)
	}
	defer d.file.Close()
	if err := d.removeAll("default"); err == nil {
		t.Error("removed with a mount in it")
	}
	if got := d.markers("default"); !got.build || !got.rootfs || !got.evidence {
		t.Errorf("markers that are left: %+v", got)
	}
}
