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
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/image"
)

// TestKept records images, finds, replaces and drops them.
func TestKept(t *testing.T) {
	c := &Cache{Base: t.TempDir()}
	if _, err := c.FindKept("docker:a", "arm64"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("FindKept without a cache: %v", err)
	}
	c.UseKept(kept("docker:a", "m"))
	var unwritable *UnwritableError
	if err := c.Keep(t.Context(), kept("docker:a", "m")); !errors.As(err, &unwritable) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Keep without the blob: %v", err)
	}
	k := keep(t, c, "docker:a", "manifest", "base", "base", "top")
	got, err := c.FindKept("docker:a", "arm64")
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Join(k.lines(), "|"); strings.Join(got.lines(), "|") != want || len(got.Blobs) != 3 || !got.Time.Equal(k.Time) || time.Since(k.Time) > time.Minute {
		t.Errorf("%q came back, want %q", got.lines(), want)
	}
	for _, other := range []struct{ reference, arch string }{{"docker:a", "amd64"}, {"docker:b", "arm64"}, {"docker:a\narm64", ""}, {"", ""}} {
		if _, err := c.FindKept(other.reference, other.arch); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", other, err)
		}
	}
	// A new version of the tag: what only the old one needs goes, if no run may be using it.
	keep(t, c, "docker:a", "manifest2", "base", "top2")
	if left := contents(t, c); left != "base manifest manifest2 top top2" {
		t.Errorf("left %s", left)
	}
	age(t, c, 2*time.Hour)
	keep(t, c, "docker:a", "manifest3", "base", "top3")
	if left := contents(t, c); left != "base manifest manifest3 top top3" {
		t.Errorf("left %s", left)
	}
	// Drop removes them whatever their age, but not what another image needs.
	keep(t, c, "docker:b", "manifest4", "base")
	for _, i := range list(t, c) {
		if i.Kept != nil && i.Kept.Reference == "docker:a" {
			if err := c.Drop(i); err != nil {
				t.Error(err)
			}
			if err := c.Drop(i); err != nil {
				t.Errorf("again: %v", err)
			}
		}
	}
	if left := contents(t, c); left != "base manifest manifest4 top" {
		t.Errorf("left %s", left)
	}
	for _, i := range list(t, c) {
		if err := c.VerifyKept(t.Context(), i); err != nil {
			t.Error(err)
		}
		if err := c.Drop(i); err != nil {
			t.Error(err)
		}
	}
	if left := tree(t, c.Base); len(left) != 1 || left[0] != ".lxc-pull/images/" {
		t.Errorf("left %q", left)
	}
}

// TestKeptBuild keeps images with a build and an expiry date, and reads and removes them again.
// Those without have a record of the first version, which older versions of the program read.
func TestKeptBuild(t *testing.T) {
	c := &Cache{Base: t.TempDir()}
	for _, want := range []struct {
		build   string
		expires int64
		line    string
	}{
		{"", 0, "lxc-pull image 1"}, {"20260829_05:24", 0, "lxc-pull image 2"}, {"20260829_05:24", 1790000000, "lxc-pull image 2"},
		{"", 1790000000, "lxc-pull image 2"}, {"a b  c", 1, "lxc-pull image 2"}, {"x", -5, "lxc-pull image 2"},
	} {
		k := kept("images:debian/trixie/default", "meta", "root")
		pullBlob(c, t.Context(), "meta")
		pullBlob(c, t.Context(), "root")
		if k.Build = want.build; want.expires != 0 {
			k.Expires = time.Unix(want.expires, 0)
		}
		k.MediaType = ""
		if err := c.Keep(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		got, err := c.FindKept(k.Reference, "arm64")
		if err != nil || got.Build != want.build || !got.Expires.Equal(k.Expires) || got.lines()[0] != want.line || len(got.Blobs) != 2 {
			t.Errorf("%+v came back as %+v, %v", want, got, err)
		}
		if err := c.Drop(list(t, c)[0]); err != nil {
			t.Errorf("%+v: %v", want, err)
		}
		if left := contents(t, c); left != "" {
			t.Errorf("%+v: left %s", want, left)
		}
	}
	for _, line := range []string{"5", "5 ", "5 0", "5 0 ", "5 x b", "x 1 b", "05 1 b", "5 01 b", "5 +1 b", " 5 1 b"} {
		lines := append([]string{recordBegin2, line}, kept("a", "m").lines()[2:]...)
		if k, err := parseKept(lines); err == nil {
			t.Errorf("%q is accepted: %+v", line, k)
		}
	}
}

func list(t *testing.T, c *Cache) []Info {
	t.Helper()
	list, err := c.List()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestKeptChanged checks that Drop leaves an image that was replaced after List.
func TestKeptChanged(t *testing.T) {
	c := &Cache{Base: t.TempDir()}
	keep(t, c, "docker:a", "m", "x")
	old := list(t, c)[0]
	keep(t, c, "docker:a", "m2", "x")
	if err := c.Drop(old); err == nil {
		t.Error("the new image is dropped")
	}
	if err := c.VerifyKept(t.Context(), list(t, c)[0]); err != nil {
		t.Error(err)
	}
}

// TestKeptList checks sizes: bytes that images share count once.
func TestKeptList(t *testing.T) {
	c := &Cache{Base: t.TempDir()}
	put(t, c, testName, "20260101", "r")
	keep(t, c, "docker:old", "m1", strings.Repeat("b", 100), "1")
	age(t, c, time.Minute)
	keep(t, c, "docker:new", "m2", strings.Repeat("b", 100), "22")
	keep(t, c, "docker:bad", "m3", "333", "4444")
	for _, text := range []string{"333", "m3"} {
		if err := os.Remove(filepath.Join(c.Base, inBlobs, nameOf(text))); err != nil {
			t.Fatal(err)
		}
	}
	os.Chtimes(filepath.Join(c.Base, inBlobs, recordName("docker:bad", "arm64")), time.Time{}, time.Now().Add(-time.Hour))
	pullBlob(c, t.Context(), "55555")
	if b, err := c.Blob(t.Context(), digestOf("666666"), 6); err == nil {
		io.WriteString(b, "666")
		b.Close()
	}
	var got []string
	for _, i := range list(t, c) {
		name := i.Name.String()
		if i.Kept != nil {
			name = i.Kept.Reference
		} else if i.Blob != "" {
			name = map[image.Digest]string{digestOf("55555"): "55555", digestOf("666666"): "666666"}[i.Blob]
		}
		got = append(got, fmt.Sprint(name, " ", i.Size, " ", i.Shared, " ", i.Partial, " ", i.Damage != nil))
	}
	want := []string{"debian/trixie/arm64/default 1 0 false false", "docker:new 104 0 false false", "docker:old 3 100 false false", "docker:bad 4 0 false true"}
	if !slices.Equal(got[:4], want) {
		t.Errorf("%q, want %q", got[:4], want)
	}
	slices.Sort(got[4:])
	if want := []string{"55555 5 0 false false", "666666 3 0 true false"}; !slices.Equal(got[4:], want) {
		t.Errorf("%q, want %q", got[4:], want)
	}
	bad := list(t, c)[3]
	if err := c.VerifyKept(t.Context(), bad); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing blob: %v", err)
	}
	if err := os.WriteFile(filepath.Join(c.Base, inBlobs, nameOf("22")), []byte("23"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.VerifyKept(t.Context(), list(t, c)[1]); err == nil || !strings.Contains(err.Error(), "has the digest") {
		t.Errorf("a damaged blob: %v", err)
	}
}

// TestShrinkKept removes images until the cache is small enough. Each image has 14 bytes of its
// own and shares 100 bytes with the next one, image 0 was used last, and no image needs 10 bytes.
func TestShrinkKept(t *testing.T) {
	for _, test := range []struct {
		max  int64
		old  bool   // the images and blobs were used more than an hour ago
		run  bool   // there is a run
		want string // the images that stay
		left int    // bytes of blobs
	}{
		{566, true, true, "0123", 566},
		{565, true, true, "0123", 556}, // the blob that no image needs goes first
		{556, true, true, "0123", 556},
		{555, true, true, "012", 442},
		{442, true, true, "012", 442},
		{328, true, true, "01", 328},
		{0, true, true, "", 0},
		{566, false, true, "0123", 566},
		{565, false, true, "012", 566}, // the run may need the blobs, but they count
		{452, false, true, "012", 566},
		{0, false, true, "", 566},
		{565, false, false, "0123", 556},
		{555, false, false, "012", 442},
		{0, false, false, "", 0},
	} {
		c := &Cache{Base: t.TempDir()}
		if test.run {
			defer c.Join().Close()
		}
		if _, err := pullBlob(c, t.Context(), "0123456789"); err != nil {
			t.Fatal(err)
		}
		for n := range 4 {
			keep(t, c, fmt.Sprint("docker:", n), fmt.Sprint("manifest ", n), fmt.Sprint("own", n),
				strings.Repeat(string(rune('a'+n)), 100), strings.Repeat(string(rune('b'+n)), 100))
		}
		if test.old {
			age(t, c, 3*time.Hour)
		}
		for n := range 4 {
			when := time.Now().Add(-time.Duration(n) * time.Minute)
			if test.old {
				when = when.Add(-2 * time.Hour)
			}
			if err := os.Chtimes(filepath.Join(c.Base, inBlobs, recordName(fmt.Sprint("docker:", n), "arm64")), when, when); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Shrink(test.max, image.Name{}, func(i Info, err error) {
			if err != nil {
				t.Errorf("%d: %+v: %v", test.max, i, err)
			}
		}); err != nil {
			t.Fatal(err)
		}
		images := ""
		for _, i := range list(t, c) {
			if i.Kept != nil {
				images += strings.TrimPrefix(i.Kept.Reference, "docker:")
				if i.Damage != nil {
					t.Errorf("%d: %v", test.max, i.Damage)
				}
			}
		}
		left := strings.ReplaceAll(contents(t, c), " ", "")
		if n := len(left) + strings.Count(left, "manifest"); images != test.want || n != test.left {
			t.Errorf("to %d, old %v, run %v: images %s and %d bytes are left, want %s and %d", test.max, test.old, test.run, images, n, test.want, test.left)
		}
	}
}

// TestShrinkSpares checks that a run which has fetched blobs, or uses an image, keeps its blobs.
func TestShrinkSpares(t *testing.T) {
	c := &Cache{Base: t.TempDir()}
	run := c.Join()
	keep(t, c, "docker:a", "m", "shared", "own")
	age(t, c, 2*time.Hour)
	// Another run begins with a blob that is there, and downloads one.
	for _, text := range []string{"shared", "new"} {
		if _, err := pullBlob(c, t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	b, err := c.Blob(t.Context(), digestOf("begun"), 5)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(b, "beg")
	if err := c.Shrink(0, image.Name{}, func(Info, error) {}); err != nil {
		t.Fatal(err)
	}
	if left := contents(t, c); left != "beg... lock new shared" {
		t.Errorf("left %s", left)
	}
	age(t, c, 2*time.Hour)
	c.Shrink(0, image.Name{}, func(i Info, err error) {
		if i.Partial != errors.Is(err, ErrLocked) {
			t.Errorf("%+v: %v", i, err)
		}
	})
	if left := contents(t, c); left != "beg... lock" {
		t.Errorf("left %s", left)
	}
	io.WriteString(b, "un")
	if err := errors.Join(b.Commit(), b.Close()); err != nil {
		t.Error(err)
	}
	if err := c.Keep(t.Context(), kept("docker:b", "begun")); err != nil {
		t.Error(err)
	}
	// UseKept does the same for the blobs of an image.
	k := keep(t, c, "docker:a", "m", "shared", "own")
	age(t, c, 2*time.Hour)
	c.UseKept(k)
	if i := list(t, c)[0]; i.Kept == nil || i.Kept.Reference != "docker:a" || time.Since(i.Used) > time.Minute {
		t.Errorf("used last: %+v", i)
	}
	c.Shrink(0, image.Name{}, func(Info, error) {})
	if left := contents(t, c); left != "m own shared" {
		t.Errorf("left %s", left)
	}
	run.Close()
	c.Shrink(0, image.Name{}, func(Info, error) {})
	if left := contents(t, c); left != "" {
		t.Errorf("without a run: left %s", left)
	}
}

// TestSweepBlobs removes what is older than Leftover, and leaves what is not proven.
func TestSweepBlobs(t *testing.T) {
	c := &Cache{Base: t.TempDir()}
	c.SweepBlobs(time.Now())
	k := keep(t, c, "docker:a", "m", "x")
	dir := filepath.Join(c.Base, inBlobs)
	part := func(text string) string { return "." + nameOf(text) + ".part" }
	for name, text := range map[string]string{
		nameOf("orphan"): "orphan", part("half"): "ha", part("fresh"): "fr", nameOf("young"): "young", nameOf("twice"): "twice",
		"." + nameOf("gone") + ".lock": "", "." + nameOf("gone") + ".lock.owner": "1\telsewhere\t\n", "." + nameOf("gone") + ".lock.owner.7": "1\telsewhere\t\n",
		"." + nameOf("held") + ".lock.owner": "dear me", ".images.lock.owner": "", k.recordName() + ".new": recordBegin,
		"README": "not ours", "sha256-abc": "not ours", "." + nameOf("x") + ".partial": "not ours", nameOf("x") + ".part": "not ours", "image-x": "not ours",
		".other.lock": "", ".sha256-abc.part": "not ours", strings.ToUpper(nameOf("X")): "not ours",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Link(filepath.Join(dir, nameOf("twice")), filepath.Join(dir, "second name")), os.Mkdir(filepath.Join(dir, nameOf("dir")), 0o700),
		os.Symlink("README", filepath.Join(dir, nameOf("link")))); err != nil {
		t.Fatal(err)
	}
	age(t, c, Leftover+time.Hour)
	now := time.Now()
	for _, name := range []string{part("fresh"), nameOf("young")} {
		if err := os.Chtimes(filepath.Join(dir, name), now, now); err != nil {
			t.Fatal(err)
		}
	}
	held, err := c.Blob(t.Context(), digestOf("locked"), 6)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	io.WriteString(held, "lo")
	old := now.Add(-2 * Leftover)
	os.Chtimes(filepath.Join(dir, part("locked")), old, old)
	c.SweepBlobs(now)
	var removed []string
	for _, i := range list(t, c) { // as "cache gc" does
		if i.Blob != "" && now.Sub(i.Used) > Leftover {
			if err := c.Drop(i); err == nil {
				removed = append(removed, fmt.Sprint(i.Size))
			} else if i.Blob != digestOf("locked") || !errors.Is(err, ErrLocked) {
				t.Error(err)
			}
		}
	}
	if slices.Sort(removed); !slices.Equal(removed, []string{"2", "6"}) {
		t.Errorf("removed %q", removed)
	}
	var left []string
	for _, line := range tree(t, dir) {
		name, _, _ := strings.Cut(line, " ")
		left = append(left, strings.TrimSuffix(name, "/"))
	}
	want := []string{k.recordName(), nameOf("m"), nameOf("x"), part("fresh"), nameOf("young"), nameOf("twice"), "second", "." + nameOf("held") + ".lock.owner",
		"README", "sha256-abc", "." + nameOf("x") + ".partial", nameOf("x") + ".part", "image-x", ".other.lock", ".sha256-abc.part", strings.ToUpper(nameOf("X")),
		nameOf("dir"), nameOf("link"), part("locked"), "." + nameOf("locked") + ".lock"}
	slices.Sort(left)
	slices.Sort(want)
	if !slices.Equal(left, want) {
		t.Errorf("left\n%s\nwant\n%s", strings.Join(left, "\n"), strings.Join(want, "\n"))
	}
	for _, i := range list(t, c) {
		c.Drop(i)
	}
	c.Shrink(-1, image.Name{}, func(Info, error) {})
	for _, name := range []string{nameOf("twice"), "README", nameOf("dir"), nameOf("link"), ".sha256-abc.part", part("locked")} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

// TestUnknownRecord checks that the blobs of a record which this version can't read stay, and
// that a record under another image's name is not used.
func TestUnknownRecord(t *testing.T) {
	c := &Cache{Base: t.TempDir()}
	k := keep(t, c, "docker:a", "m", "x", "y")
	path := filepath.Join(c.Base, inBlobs, k.recordName())
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		strings.Replace(string(good), "image 1", "image 2", 1), strings.Replace(string(good), "docker:a", "docker:b", 1),
		"\n" + string(good), strings.Replace(string(good), "docker:a", "docker:\x1b[2J", 1), string(good) + "more\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		age(t, c, 2*Leftover)
		if _, err := c.FindKept("docker:a", "arm64"); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", text, err)
		}
		c.SweepBlobs(time.Now())
		c.Shrink(0, image.Name{}, func(i Info, err error) { t.Errorf("%+v is removed", i) })
		if left := contents(t, c); left != "m x y" {
			t.Errorf("%q: left %s", text, left)
		}
	}
	if err := c.Keep(t.Context(), k); err != nil {
		t.Errorf("replaced: %v", err)
	}
	if err := os.Truncate(path, maxRecord+1); err != nil {
		t.Fatal(err)
	}
	if _, err := c.FindKept("docker:a", "arm64"); err == nil {
		t.Error("a record that is too large is read")
	}
}

// TestKeptTooMuch checks fields and counts that can't be recorded.
func TestKeptTooMuch(t *testing.T) {
	c := &Cache{Base: t.TempDir()}
	for name, change := range map[string]func(k *Kept){
		"line end":     func(k *Kept) { k.Reference = "docker:a\nb" },
		"tab":          func(k *Kept) { k.Name.Dist = "\t" },
		"no text":      func(k *Kept) { k.MediaType = "\xff" },
		"a long field": func(k *Kept) { k.Name.Release = strings.Repeat("x", maxField+1) },
		"no digest":    func(k *Kept) { k.Top = "" },
		"many blobs": func(k *Kept) {
			for n := range maxKeptBlobs {
				k.Blobs = append(k.Blobs, digestOf(fmt.Sprint(n)))
			}
		},
	} {
		k := kept("docker:a", "m")
		if change(k); c.Keep(t.Context(), k) == nil {
			t.Errorf("%s is recorded", name)
		}
	}
	if left := tree(t, c.Base); len(left) > 1 {
		t.Errorf("left %q", left)
	}
}

// TestPullAndShrink has runs that pull images with common blobs while others shrink the cache and
// remove images. No run may lose a blob between its download and the record.
func TestPullAndShrink(t *testing.T) {
	for _, noFlock := range []bool{false, true} {
		base := t.TempDir()
		var pulls, shrinks sync.WaitGroup
		done := make(chan bool)
		for n := range 6 {
			pulls.Go(func() {
				c := &Cache{Base: base, noFlock: noFlock}
				for round := range 10 {
					run := c.Join()
					texts := []string{fmt.Sprint("manifest ", n, round), "base", fmt.Sprint("layer ", round%3)}
					for _, text := range texts {
						if _, err := pullBlob(c, t.Context(), text); err != nil {
							t.Error(err)
							return
						}
					}
					if err := c.Keep(t.Context(), kept(fmt.Sprint("docker:", n), texts...)); err != nil {
						t.Error(err)
						return
					}
					run.Close()
				}
			})
		}
		shrinks.Go(func() {
			c := &Cache{Base: base, noFlock: noFlock}
			for {
				select {
				case <-done:
					return
				case <-time.After(5 * time.Millisecond):
					c.Shrink(0, image.Name{}, func(Info, error) {})
					c.SweepBlobs(time.Now())
				}
			}
		})
		pulls.Wait()
		close(done)
		shrinks.Wait()
		for _, i := range list(t, &Cache{Base: base}) {
			if i.Damage != nil {
				t.Error(i.Damage)
			}
		}
	}
}

// TestBlobOverlay has blobs in a lower layer of overlayfs.
func TestBlobOverlay(t *testing.T) {
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
	lower := &Cache{Base: dir + "/lower"}
	k := keep(t, lower, "docker:a", "m", "layer")
	b, err := lower.Blob(t.Context(), digestOf("begun"), 5)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(b, "be")
	b.Close()
	age(t, lower, 2*time.Hour)
	before := tree(t, lower.Base)
	if err := unix.Mount("overlay", dir+"/all", "overlay", 0, "redirect_dir=off,lowerdir="+dir+"/lower,upperdir="+dir+"/upper,workdir="+dir+"/work"); err != nil {
		t.Skipf("no overlay here: %v", err)
	}
	defer unix.Unmount(dir+"/all", unix.MNT_DETACH)
	c := &Cache{Base: dir + "/all"}
	c.UseKept(k)
	for _, text := range []string{"layer", "begun"} {
		if _, err := pullBlob(c, t.Context(), text); err != nil {
			t.Error(err)
		}
	}
	b2 := keep(t, c, "docker:b", "begun", "layer")
	age(t, c, 2*time.Hour)
	c.UseKept(b2)
	if err := c.Shrink(10, image.Name{}, func(i Info, err error) {
		if err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Error(err)
	}
	if left := contents(t, c); left != "begun layer" {
		t.Errorf("left %s", left)
	}
	if after := tree(t, lower.Base); !slices.Equal(before, after) {
		t.Errorf("the lower layer has %q", after)
	}
}

// FuzzKept checks that a record which loads is the same after it was recorded again, and that
// nothing in it can end a line or reach a terminal.
func FuzzKept(f *testing.F) {
	k := kept("docker:docker.io/library/nginx:latest", "m", "a", "b")
	f.Add(strings.Join(k.lines(), "\n"))
	f.Add(strings.Join(k.lines()[:9], "\n"))
	f.Add(recordBegin + "\n\n\n\n\n\n\n\n")
	k.Top = digestOf("i")
	f.Add(strings.Join(k.lines(), "\n"))
	f.Fuzz(func(t *testing.T, text string) {
		k, err := parseKept(strings.Split(text, "\n"))
		if err != nil {
			return
		}
		again, err := parseKept(k.lines())
		if err != nil || !slices.Equal(again.lines(), k.lines()) || !slices.Equal(again.Blobs, k.Blobs) {
			t.Fatalf("%q became %q (%v)", text, k.lines(), err)
		}
		if len(k.Blobs) == 0 || len(k.Blobs) > maxKeptBlobs || !slices.Contains(k.Blobs, k.Top) || !slices.Contains(k.Blobs, k.Manifest) {
			t.Errorf("%d blobs", len(k.Blobs))
		}
		for _, d := range k.Blobs {
			if _, err := blobName(d); err != nil {
				t.Error(err)
			}
		}
		for _, s := range []string{k.Reference, k.Name.String(), k.MediaType} {
			if strings.ContainsAny(s, "\n\t\x1b\x00\u0085") {
				t.Errorf("%q", s)
			}
		}
	})
}
