package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/image"
)

// inEntry is the path of put's entry below BASE.
const inEntry = "download/debian/trixie/arm64/default"

// stranger is the id of a user that is never the user of the test.
const stranger = 54321

// needRoot skips the test if it does not run as root.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

// TestUntrusted gives one file or directory of a cache to another user, or lets others
// write it. Then the cache must use nothing below it.
func TestUntrusted(t *testing.T) {
	places := []string{
		".", "download", "download/debian", "download/debian/trixie", "download/debian/trixie/arm64",
		inEntry, inEntry + "/rootfs.tar.xz", inEntry + "/build_id", inEntry + "/config",
		inEntry + "/.lxc-pull", inEntry + "/.lxc-pull/SHA256SUMS",
	}
	ways := map[string]func(path string) error{
		"writable by all":   func(path string) error { return os.Chmod(path, 0o757) },
		"writable by group": func(path string) error { return errors.Join(os.Chown(path, -1, stranger), os.Chmod(path, 0o775)) },
		"a stranger's":      func(path string) error { return os.Chown(path, stranger, -1) },
	}
	for how, spoil := range ways {
		for _, place := range places {
			t.Run(how+" "+place, func(t *testing.T) {
				if how != "writable by all" {
					needRoot(t)
				}
				c := &Cache{Base: t.TempDir()}
				put(t, c, testName, "20260101", "r")
				if err := spoil(filepath.Join(c.Base, place)); err != nil {
					t.Fatal(err)
				}
				e, err := c.Open(testName)
				var untrusted *untrustedError
				if !errors.As(err, &untrusted) || !errors.Is(err, fs.ErrPermission) {
					t.Errorf("Open: %v, want an *untrustedError", err)
				}
				if err == nil {
					e.Close()
				}
				slot, err := c.Lock(t.Context(), testName)
				if dirAbove := !strings.HasPrefix(place, inEntry); dirAbove {
					var unwritable *UnwritableError
					if !errors.As(err, &unwritable) || !errors.As(err, &untrusted) {
						t.Errorf("Lock: %v", err)
					}
				} else if err != nil {
					t.Errorf("Lock: %v", err)
				}
				if err == nil {
					slot.Unlock()
				}
				if strings.HasPrefix(place, inEntry) {
					// Only the entry is untrusted: a new one may replace it.
					put(t, c, testName, "20260102", "new")
					if e, err := c.Open(testName); err != nil {
						t.Errorf("made anew: %v", err)
					} else {
						e.Close()
					}
				}
			})
		}
	}
}

// TestTrusted checks cases that are used: a sticky directory, a group with its user's
// number, files of the user to whom the cache is given.
func TestTrusted(t *testing.T) {
	needRoot(t)
	for name, change := range map[string]func(c *Cache) error{
		"sticky": func(c *Cache) error { return os.Chmod(c.Base, 0o777|fs.ModeSticky) },
		"own group": func(c *Cache) error {
			return os.Chmod(filepath.Join(c.Base, "download"), 0o775)
		},
		"given": func(c *Cache) error {
			c.Chown, c.UID, c.GID = true, stranger, stranger
			return filepath.WalkDir(c.Base, func(path string, _ fs.DirEntry, err error) error {
				return errors.Join(err, os.Chown(path, stranger, stranger))
			})
		},
	} {
		c := &Cache{Base: t.TempDir()}
		put(t, c, testName, "20260101", "r")
		if err := change(c); err != nil {
			t.Fatal(err)
		}
		put(t, c, testName, "20260102", "n")
		e, err := c.Open(testName)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		e.Close()
	}
}

// beginStage leaves a partial download.
func beginStage(t *testing.T, c *Cache, tag string) *Stage {
	t.Helper()
	slot, err := c.Lock(t.Context(), testName)
	if err != nil {
		t.Fatal(err)
	}
	stage, err := slot.Stage(tag)
	if err != nil {
		t.Fatal(err)
	}
	return stage
}

// TestUntrustedPart begins with another user's partial download.
func TestUntrustedPart(t *testing.T) {
	needRoot(t)
	for _, name := range []string{"", "/tag", "/rootfs.tar.xz"} {
		c := &Cache{Base: t.TempDir()}
		first := beginStage(t, c, "tag")
		io.WriteString(first, "his")
		first.Close()
		first.slot.Unlock()
		if err := os.Chown(filepath.Join(c.Base, filepath.Dir(inEntry), ".default.part"+name), stranger, -1); err != nil {
			t.Fatal(err)
		}
		stage := beginStage(t, c, "tag")
		if stage.Have != 0 {
			t.Errorf("%q: %d bytes of another user's are kept", name, stage.Have)
		}
		stage.Close()
		stage.slot.Unlock()
	}
}

// TestUntrustedSeen checks that a file seen which another user may write is not used.
func TestUntrustedSeen(t *testing.T) {
	needRoot(t)
	for _, name := range []string{".lxc-pull", ".lxc-pull/seen"} {
		c := &Cache{Base: t.TempDir()}
		add := func(list []Seen) ([]Seen, error) { return append(list, testSeen), nil }
		if err := c.UpdateSeen(t.Context(), add); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(filepath.Join(c.Base, name), stranger, -1); err != nil {
			t.Fatal(err)
		}
		if list, err := c.LoadSeen(); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: %v, %v", name, list, err)
		}
	}
}

// TestStrangersStay checks that neither Sweep nor Shrink removes another user's files.
func TestStrangersStay(t *testing.T) {
	needRoot(t)
	c := &Cache{Base: t.TempDir()}
	put(t, c, testName, "20260101", "r")
	old := time.Now().Add(-2 * Leftover)
	part := filepath.Join(c.Base, filepath.Dir(inEntry), ".default.part")
	if err := errors.Join(os.Mkdir(part, 0o755), os.WriteFile(filepath.Join(part, "tag"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{part + "/tag", part, filepath.Join(c.Base, inEntry)} {
		if err := errors.Join(os.Chown(path, stranger, -1), os.Chtimes(path, old, old)); err != nil {
			t.Fatal(err)
		}
	}
	if keys, err := c.Leftovers(time.Now()); err != nil || len(keys) > 0 {
		t.Errorf("leftovers %v, %v", keys, err)
	}
	before := tree(t, c.Base)
	list, err := c.List()
	if err != nil || len(list) != 2 || !list[0].Foreign() {
		t.Errorf("List: %v, %v", list, err)
	}
	err = c.Shrink(-1, image.Name{}, func(i Info, err error) {
		t.Errorf("%v is removed (%v)", i, err)
	})
	if after := tree(t, c.Base); err != nil || !slices.Equal(before, after) {
		t.Errorf("left %q of %q, %v", after, before, err)
	}
}

// TestModes checks that the modes of an image's metadata can't let others write files.
func TestModes(t *testing.T) {
	c := &Cache{Base: t.TempDir()}
	slot, err := c.Lock(t.Context(), testName)
	if err != nil {
		t.Fatal(err)
	}
	defer slot.Unlock()
	stage, err := slot.Stage("tag")
	if err != nil {
		t.Fatal(err)
	}
	if err := stage.Commit("1", map[string]File{"open": {Mode: 0o4777}, "closed": {Mode: 0}}, nil); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{"open": 0o755, "closed": 0o400} {
		if info, err := os.Stat(filepath.Join(c.Base, inEntry, name)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, want %v (%v)", name, info.Mode(), want, err)
		}
	}
}

// TestManyEvidence has far more evidence than maxKept allows: List must read none of it,
// and Open only files named in Cache.Evidence, up to the limit.
func TestManyEvidence(t *testing.T) {
	c := &Cache{Base: t.TempDir()}
	put(t, c, testName, "20260101", "r")
	for i := range 20 {
		// Sparse files: they take no space on disk.
		name := filepath.Join(c.Base, inEntry, ".lxc-pull", fmt.Sprint("more", i))
		if err := errors.Join(os.WriteFile(name, nil, 0o644), os.Truncate(name, maxKept/10)); err != nil {
			t.Fatal(err)
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	list, err := c.List()
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; err != nil || len(list) != 1 || !list[0].Evidence || used > 1<<20 {
		t.Errorf("List: %v, %v, %d bytes taken", list, err, used)
	}
	if e, err := c.Open(testName); err == nil {
		e.Close()
		t.Error("twice as much evidence as maxKept is read")
	}
	c.Evidence = []string{"SHA256SUMS"}
	e, err := c.Open(testName)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if len(e.Evidence) != 1 || string(e.Evidence["SHA256SUMS"]) != "s" {
		t.Errorf("evidence %q", slices.Sorted(func(yield func(string) bool) {
			for name := range e.Evidence {
				if !yield(name) {
					return
				}
			}
		}))
	}
}

// TestMetadata reads files of an entry by a prefix.
func TestMetadata(t *testing.T) {
	const at = inEntry + "/"
	c := &Cache{Base: write(t, map[string]string{at + "rootfs.tar.xz": "r", at + "build_id": "b", at + "expiry": "1", at + "expiry-user": "2", at + "config": "c"})}
	files, err := c.Metadata(testName, "expiry")
	if err != nil || len(files) != 2 || string(files["expiry-user"]) != "2" {
		t.Errorf("%q, %v", files, err)
	}
}

// TestRemoveMount checks that files of a file system mounted in or on an entry stay.
func TestRemoveMount(t *testing.T) {
	needRoot(t)
	for _, at := range []string{inEntry, inEntry + "/.lxc-pull", inEntry + "/.lxc-pull/deep"} {
		for _, bind := range []bool{false, true} { // a bind mount of the same file system, which has the same st_dev
			c := &Cache{Base: t.TempDir()}
			put(t, c, testName, "20260101", "r")
			place := filepath.Join(c.Base, at)
			if err := os.MkdirAll(place, 0o755); err != nil {
				t.Fatal(err)
			}
			disk := t.TempDir()
			var err error
			if bind {
				err = unix.Mount(disk, place, "", unix.MS_BIND, "")
			} else {
				err = unix.Mount("none", place, "tmpfs", 0, "mode=755")
			}
			if err != nil {
				t.Skipf("can't mount: %v", err)
			}
			defer unix.Unmount(place, unix.MNT_DETACH)
			file := filepath.Join(place, "file")
			if err := os.WriteFile(file, []byte("keep"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := c.Remove(t.Context(), testName); err == nil {
				t.Errorf("%s, bind %v: removed", at, bind)
			}
			// The entry may have been renamed, and the mount with it.
			aside := strings.Replace(file, "/default", "/.default.old", 1)
			_, err1 := os.Stat(file)
			_, err2 := os.Stat(aside)
			if err1 != nil && err2 != nil {
				t.Errorf("%s, bind %v: the mounted file system was emptied", at, bind)
			}
			unix.Unmount(place, unix.MNT_DETACH)
			unix.Unmount(filepath.Dir(aside), unix.MNT_DETACH)
			if err := c.Remove(t.Context(), testName); err != nil {
				t.Errorf("%s, bind %v, unmounted: %v", at, bind, err)
			}
		}
	}
}

// TestOverlay has the cache in a lower layer of overlayfs, where directories can't be
// renamed.
func TestOverlay(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "mode=755"); err != nil {
		t.Skipf("can't mount: %v", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	for _, name := range []string{"lower", "upper", "work", "all"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name string
		do   func(c *Cache) error
		want string // the build in the cache afterwards
	}{
		{"replace", func(c *Cache) error { put(t, c, testName, "20260102", "new"); return nil }, "20260102"},
		{"go on", func(c *Cache) error { put(t, c, testName, "20260103", "gun"); return nil }, "20260103"},
		{"remove", func(c *Cache) error { return c.Remove(t.Context(), testName) }, ""},
		{"drop", func(c *Cache) error { return c.Drop(Info{Name: testName}) }, ""},
	} {
		lower := &Cache{Base: dir + "/lower"}
		put(t, lower, testName, "20260101", "old")
		stage := beginStage(t, lower, "20260103")
		io.WriteString(stage, "be")
		stage.Close()
		stage.slot.Unlock()
		os.RemoveAll(dir + "/upper")
		os.Mkdir(dir+"/upper", 0o755)
		if err := unix.Mount("overlay", dir+"/all", "overlay", 0, "redirect_dir=off,lowerdir="+dir+"/lower,upperdir="+dir+"/upper,workdir="+dir+"/work"); err != nil {
			t.Skipf("no overlay here: %v", err)
		}
		c := &Cache{Base: dir + "/all"}
		if err := test.do(c); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		got := ""
		if e, err := c.Open(testName); err == nil {
			got = e.Build
			if text, _ := io.ReadAll(e.Rootfs); got == "20260103" && string(text) != "begun" {
				t.Errorf("%s: the rootfs is %q", test.name, text)
			}
			e.Close()
		}
		if left, _ := filepath.Glob(c.Base + "/" + filepath.Dir(inEntry) + "/.default.*"); test.name == "go on" && len(left) > 0 {
			t.Errorf("%s: left %q", test.name, left)
		}
		if got != test.want {
			t.Errorf("%s: build %q is there, want %q", test.name, got, test.want)
		}
		if err := unix.Unmount(dir+"/all", 0); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReadersLock checks that the flock of a lock file from an older version, which any
// user may open, is ignored, and that the mode of a new lock file lets no other user open it.
func TestReadersLock(t *testing.T) {
	const name = "download/debian/trixie/arm64/.default.lock"
	c := &Cache{Base: write(t, map[string]string{name: ""}), pause: func(_ context.Context, _ time.Duration) error { return errors.New("it waits") }}
	reader, err := os.Open(filepath.Join(c.Base, name))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := unix.Flock(int(reader.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	slot, err := c.Lock(t.Context(), testName)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(c.Base, name)); err != nil || info.Mode() != 0o600 {
		t.Errorf("the lock's mode is %v (%v)", info.Mode(), err)
	}
	if _, err := c.TryLock(testName); !errors.Is(err, ErrLocked) {
		t.Errorf("locked twice: %v", err)
	}
	if err := slot.Unlock(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(c.Base, name)); err == nil {
		t.Error("the lock stays")
	}
}

// TestPatience checks that a wait ends, and names the holder: after deadAfter if the
// holder has no heartbeat, else after maxLockWait.
func TestPatience(t *testing.T) {
	for _, noFlock := range []bool{false, true} {
		for _, alive := range []bool{false, true} {
			c := &Cache{Base: t.TempDir(), noFlock: noFlock}
			slot, err := c.Lock(t.Context(), testName)
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.Join(c.Base, "download/debian/trixie/arm64", slot.lock.name)
			var waited time.Duration
			told := ""
			other := &Cache{Base: c.Base, noFlock: noFlock, Waiting: func(holder string) { told = holder },
				pause: func(_ context.Context, d time.Duration) error {
					if waited += d; alive && waited%beatEvery < d {
						return os.Chtimes(name, time.Time{}, time.Unix(int64(waited.Seconds()), 0))
					}
					return nil
				}}
			got, err := other.Lock(t.Context(), testName)
			var locked *lockedError
			want := fmt.Sprint("process ", os.Getpid())
			switch {
			case noFlock && !alive: // an owner file without heartbeat is taken over
				if err != nil {
					t.Errorf("owner file, silent: %v", err)
				} else {
					got.Unlock()
				}
			case !errors.As(err, &locked) || locked.holder != want || told != want:
				t.Errorf("noFlock %v, alive %v: %v (told %q)", noFlock, alive, err, told)
			case alive && waited < maxLockWait || waited > maxLockWait+deadAfter || waited < deadAfter:
				t.Errorf("noFlock %v, alive %v: waited %v", noFlock, alive, waited)
			}
			slot.Unlock()
		}
	}
}

// TestSeenPatience checks that UpdateSeen gives up soon: a complete container waits for it.
func TestSeenPatience(t *testing.T) {
	var waited time.Duration
	c := &Cache{Base: t.TempDir(), pause: func(_ context.Context, d time.Duration) error { waited += d; return nil }}
	d, err := c.walk(true, evidenceName)
	if err != nil {
		t.Fatal(err)
	}
	defer d.file.Close()
	l, err := c.lock(t.Context(), d, seenName+".lock", maxLockWait)
	if err != nil {
		t.Fatal(err)
	}
	defer l.release()
	err = c.UpdateSeen(t.Context(), func(list []Seen) ([]Seen, error) { return list, nil })
	if !errors.Is(err, ErrLocked) || waited > 2*maxSeenWait {
		t.Errorf("after %v: %v", waited, err)
	}
}
