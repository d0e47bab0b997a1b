package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lxc-pull/image"
)

var testName = image.Name{Dist: "debian", Release: "trixie", Arch: "arm64", Variant: "default"}

// write creates files, and the directories above them, in a test's directory.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	base := t.TempDir()
	for name, text := range files {
		at := filepath.Join(base, name)
		err := os.MkdirAll(filepath.Dir(at), 0o755)
		if err == nil {
			err = os.WriteFile(at, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return base
}

// tree lists the files below dir with their contents, and links with their targets.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		switch {
		case entry.Type()&fs.ModeSymlink != 0:
			target, _ := os.Readlink(path)
			list = append(list, name+" -> "+target)
		case entry.IsDir():
			if inner, _ := os.ReadDir(path); len(inner) == 0 {
				list = append(list, name+"/")
			}
		default:
			data, _ := os.ReadFile(path)
			list = append(list, name+" "+string(data))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// put stores an entry whose rootfs is text.
func put(t *testing.T, c *Cache, k image.Name, build, text string) {
	t.Helper()
	slot, err := c.Lock(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	defer slot.Unlock()
	stage, err := slot.Stage(build)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(stage, text); err != nil {
		t.Fatal(err)
	}
	err = stage.Commit(build, map[string]File{"config": {Data: []byte("c"), Mode: 0o600}}, map[string][]byte{"SHA256SUMS": []byte("s")})
	if err != nil {
		t.Fatal(err)
	}
}

// describe returns an entry as one line.
func describe(t *testing.T, e *Entry) string {
	t.Helper()
	rootfs, err := io.ReadAll(e.Rootfs)
	if err != nil {
		t.Fatal(err)
	}
	if e.Size != int64(len(rootfs)) {
		t.Errorf("Size is %d, the rootfs has %d bytes", e.Size, len(rootfs))
	}
	return fmt.Sprintf("%s %s %s %s", e.Build, rootfs, e.Files, e.Evidence)
}

func TestCache(t *testing.T) {
	c := &Cache{Base: filepath.Join(t.TempDir(), "not", "yet", "there"), Chown: true, UID: os.Getuid(), GID: os.Getgid()}
	if _, err := c.Open(testName); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open without a cache: %v", err)
	}
	if list, err := c.List(); len(list) != 0 || err != nil {
		t.Errorf("List without a cache: %v, %v", list, err)
	}
	if err := c.Remove(t.Context(), testName); err != nil {
		t.Errorf("Remove without a cache: %v", err)
	}
	put(t, c, testName, "20260101_05:24", "old")
	old, err := c.Open(testName)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	put(t, c, testName, "20260102_05:24", "new")

	// The cache has the stock template's layout and no other files.
	want := []string{
		"download/debian/trixie/arm64/default/.lxc-pull/SHA256SUMS s",
		"download/debian/trixie/arm64/default/build_id 20260102_05:24\n",
		"download/debian/trixie/arm64/default/config c",
		"download/debian/trixie/arm64/default/rootfs.tar.xz new",
	}
	if got := tree(t, c.Base); !slices.Equal(got, want) {
		t.Errorf("the cache holds\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got, want := describe(t, old), "20260101_05:24 old map[config:c] map[SHA256SUMS:s]"; got != want {
		t.Errorf("an entry opened before it was replaced: %s, want %s", got, want)
	}
	e, err := c.Open(testName)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if got, want := describe(t, e), "20260102_05:24 new map[config:c] map[SHA256SUMS:s]"; got != want {
		t.Errorf("entry %s, want %s", got, want)
	}
	if err := c.Remove(t.Context(), testName); err != nil {
		t.Fatal(err)
	}
	if got, want := tree(t, c.Base), []string{"download/debian/trixie/arm64/"}; !slices.Equal(got, want) {
		t.Errorf("after Remove: %q, want %q", got, want)
	}
}

// TestStockEntry reads complete and incomplete entries of the stock template.
func TestStockEntry(t *testing.T) {
	const at = "download/debian/trixie/arm64/default/"
	files := map[string]string{at + "rootfs.tar.xz": "r", at + "build_id": "20260101_05:24\n", at + "config": "c", at + "expiry": "1\n"}
	c := &Cache{Base: write(t, files)}
	e, err := c.Open(testName)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := describe(t, e), "20260101_05:24 r map[config:c expiry:1\n] map[]"; got != want || e.Evidence != nil {
		t.Errorf("entry %s, want %s, without evidence", got, want)
	}
	e.Close()
	for _, missing := range []string{"rootfs.tar.xz", "build_id"} {
		c := &Cache{Base: write(t, files)}
		os.Remove(filepath.Join(c.Base, at+missing))
		if _, err := c.Open(testName); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("without %s: %v", missing, err)
		}
		put(t, c, testName, "20260102", "new")
		if _, err := c.Open(testName); err != nil {
			t.Errorf("made anew where %s was missing: %v", missing, err)
		}
	}
}

// TestStage checks which bytes of an earlier run Stage keeps.
func TestStage(t *testing.T) {
	c := &Cache{Base: t.TempDir()}
	last := ""
	for _, step := range []struct {
		tag, write string
		have       int64
	}{
		{"one", "abc", 0}, {"one", "def", 3}, {"two", "x", 0}, {"two", "", 1}, {"one", "", 0},
	} {
		slot, err := c.Lock(t.Context(), testName)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := slot.Begun(step.tag), step.tag == last; got != want {
			t.Errorf("tag %q after %q: begun %v", step.tag, last, got)
		}
		if last != "" && !slot.Begun(last) {
			t.Errorf("Begun(%q) removes the bytes of %q", step.tag, last)
		}
		last = step.tag
		stage, err := slot.Stage(step.tag)
		if err != nil {
			t.Fatal(err)
		}
		if stage.Have != step.have {
			t.Errorf("tag %q: %d bytes are kept, want %d", step.tag, stage.Have, step.have)
		}
		io.WriteString(stage, step.write)
		stage.Close()
		slot.Unlock()
	}
	slot, err := c.Lock(t.Context(), testName)
	if err != nil {
		t.Fatal(err)
	}
	defer slot.Unlock()
	stage, err := slot.Stage("one")
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(stage, "wrong")
	if err := stage.Reset(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(stage, "right")
	if err := stage.Commit("b", nil, nil); err != nil {
		t.Fatal(err)
	}
	e, err := slot.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if got, want := describe(t, e), "b right map[] map[]"; got != want {
		t.Errorf("entry %s, want %s", got, want)
	}
	if stage, err = slot.Stage("three"); err != nil {
		t.Fatal(err)
	}
	if err := stage.Discard(); err != nil {
		t.Fatal(err)
	}
	if slot.parent.exists(slot.part()) {
		t.Error("Discard leaves the stage")
	}
}

// TestKilled begins with the files that a process leaves if it is killed between two
// renames of Commit or Remove.
func TestKilled(t *testing.T) {
	entry := func(text string) map[string]string { return map[string]string{"rootfs.tar.xz": text, "build_id": text} }
	tests := []struct {
		name  string
		there map[string]map[string]string // directories with their files
		want  string                       // build of the entry afterwards, "" for no entry
	}{
		{"new is complete", map[string]map[string]string{"default": entry("old"), ".default.new": entry("new")}, "new"},
		{"old is aside", map[string]map[string]string{".default.old": entry("old"), ".default.new": entry("new")}, "new"},
		{"old is not removed", map[string]map[string]string{"default": entry("new"), ".default.old": entry("old")}, "new"},
		{"old is half removed", map[string]map[string]string{"default": entry("new"), ".default.old": {"build_id": "old"}}, "new"},
		{"old is in the way", map[string]map[string]string{"default": entry("old"), ".default.old": entry("older"), ".default.new": entry("new")}, "new"},
		{"first entry", map[string]map[string]string{".default.new": entry("new")}, "new"},
		{"removal", map[string]map[string]string{".default.old": entry("old")}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			files := map[string]string{}
			for beside, inside := range test.there {
				for name, text := range inside {
					files["download/debian/trixie/arm64/"+beside+"/"+name] = text
				}
			}
			c := &Cache{Base: write(t, files)}
			slot, err := c.Lock(t.Context(), testName)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if e, err := slot.Open(); err == nil {
				got = e.Build
				e.Close()
			}
			slot.Unlock()
			if got != test.want {
				t.Errorf("build %q, want %q", got, test.want)
			}
			for _, line := range tree(t, c.Base) {
				if strings.Contains(line, "/.default") {
					t.Errorf("left: %s", line)
				}
			}
		})
	}
}

// TestCacheLinks replaces each directory below BASE by a link that leads out of BASE. The
// cache must not follow it and must not change the target.
func TestCacheLinks(t *testing.T) {
	places := []string{
		"download", "download/debian", "download/debian/trixie", "download/debian/trixie/arm64",
		"download/debian/trixie/arm64/default", "download/debian/trixie/arm64/.default.part",
		"download/debian/trixie/arm64/.default.new", "download/debian/trixie/arm64/.default.old",
		"download/debian/trixie/arm64/.default.lock", ".lxc-pull",
	}
	for _, place := range places {
		t.Run(place, func(t *testing.T) {
			outside := write(t, map[string]string{"rootfs.tar.xz": "r", "build_id": "b", "seen": "", "deep/file": "f"})
			before := tree(t, outside)
			c := &Cache{Base: t.TempDir()}
			os.MkdirAll(filepath.Join(c.Base, filepath.Dir(place)), 0o755)
			if err := os.Symlink(outside, filepath.Join(c.Base, place)); err != nil {
				t.Fatal(err)
			}
			if e, err := c.Open(testName); err == nil {
				e.Close()
				t.Error("an entry is found through the link")
			}
			if slot, err := c.Lock(t.Context(), testName); err == nil {
				if stage, err := slot.Stage("tag"); err == nil {
					io.WriteString(stage, "new")
					stage.Commit("build", map[string]File{"config": {Mode: 0o644}}, nil)
				}
				slot.remove()
				slot.Unlock()
			} else if unwritable := new(UnwritableError); !errors.As(err, &unwritable) {
				t.Errorf("Lock: %v, which is no *UnwritableError", err)
			}
			c.UpdateSeen(t.Context(), func(list []Seen) ([]Seen, error) { return append(list, testSeen), nil })
			c.List()
			if after := tree(t, outside); !slices.Equal(before, after) {
				t.Errorf("outside is now %q, was %q", after, before)
			}
		})
	}
}

// TestEntryLinks puts links into an entry, as an image's metadata might have them.
func TestEntryLinks(t *testing.T) {
	const at = "download/debian/trixie/arm64/default/"
	for _, name := range []string{"rootfs.tar.xz", "build_id", "config", ".lxc-pull", ".lxc-pull/SHA256SUMS"} {
		c := &Cache{Base: write(t, map[string]string{
			at + "rootfs.tar.xz": "r", at + "build_id": "b", at + "config": "c", at + ".lxc-pull/SHA256SUMS": "s", "outside": "secret", "directory/x": "x"})}
		path := filepath.Join(c.Base, at, name)
		os.RemoveAll(path)
		target := filepath.Join(c.Base, "outside")
		if name == ".lxc-pull" {
			target = filepath.Join(c.Base, "directory")
		}
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		if e, err := c.Open(testName); err == nil {
			t.Errorf("%s is a link, and the entry is %s", name, describe(t, e))
			e.Close()
		}
	}
}

func TestCacheNames(t *testing.T) {
	for name, good := range map[string]bool{
		"trixie": true, "3.20": true, "20260829_05:24": true, "a b": true, "größe": true, strings.Repeat("x", 200): true,
		"": false, ".": false, "..": false, ".lxc-pull": false, "a/b": false, "/": false, "a\x00b": false, "a\nb": false,
		"a\u0085b": false, "a\xffb": false, strings.Repeat("x", 201): false,
	} {
		if err := checkName(name); (err == nil) != good {
			t.Errorf("checkName(%q) = %v", name, err)
		}
	}
	c := &Cache{Base: t.TempDir()}
	for _, fields := range [][4]string{{"..", "r", "a", "v"}, {"d", "", "a", "v"}, {"d", "r", "a/b", "v"}, {"d", "r", "a", ".v"}} {
		k := image.Name{Dist: fields[0], Release: fields[1], Arch: fields[2], Variant: fields[3]}
		if _, err := c.Lock(t.Context(), k); err == nil {
			t.Errorf("%q can be locked", k)
		}
		if _, err := c.Open(k); err == nil {
			t.Errorf("%q can be opened", k)
		}
	}
	for _, name := range []string{"rootfs.tar.xz", "build_id", "../x", ".lxc-pull", "a/b", ""} {
		slot, err := c.Lock(t.Context(), testName)
		if err != nil {
			t.Fatal(err)
		}
		stage, err := slot.Stage("x")
		if err != nil {
			t.Fatal(err)
		}
		if err := stage.Commit("b", map[string]File{name: {}}, nil); err == nil {
			t.Errorf("a metadata file may be called %q", name)
		}
		if _, err := slot.Open(); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a refused commit left an entry: %v", err)
		}
		slot.Unlock()
	}
}

func TestUnwritable(t *testing.T) {
	file := filepath.Join(write(t, map[string]string{"file": ""}), "file")
	for _, base := range []string{"", file, file + "/below", "/proc/lxc-pull"} {
		c := &Cache{Base: base}
		_, err := c.Lock(t.Context(), testName)
		var unwritable *UnwritableError
		if !errors.As(err, &unwritable) {
			t.Errorf("base %q: %v, want an *UnwritableError", base, err)
		}
		if err := c.UpdateSeen(t.Context(), nil); !errors.As(err, &unwritable) {
			t.Errorf("base %q, UpdateSeen: %v, want an *UnwritableError", base, err)
		}
	}
}

func TestList(t *testing.T) {
	c := &Cache{Base: t.TempDir()}
	other := image.Name{Dist: "alpine", Release: "edge", Arch: "amd64", Variant: "default"}
	put(t, c, testName, "20260101", "12345")
	put(t, c, other, "20260102", "123")
	slot, err := c.Lock(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	stage, err := slot.Stage("x")
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(stage, "1")
	stage.Close()
	slot.Unlock()
	os.Remove(filepath.Join(c.Base, "download/debian/trixie/arm64/default/build_id"))
	os.WriteFile(filepath.Join(c.Base, "download/stray"), nil, 0o644)
	list, err := c.List()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, i := range list {
		got = append(got, fmt.Sprint(i.Name, " ", i.Build, " ", i.Size, " ", i.Partial, " ", i.Evidence))
	}
	slices.Sort(got)
	want := []string{"alpine/edge/amd64/default  1 true false", "alpine/edge/amd64/default 20260102 3 false true", "debian/trixie/arm64/default  5 false false"}
	if !slices.Equal(got, want) {
		t.Errorf("List\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestLock counts the holders of a lock, with flock and without.
func TestLock(t *testing.T) {
	for _, noFlock := range []bool{false, true} {
		t.Run(fmt.Sprintf("noFlock=%v", noFlock), func(t *testing.T) {
			base := t.TempDir()
			var inside, most, waited int
			var mu sync.Mutex
			count := func(n int) {
				mu.Lock()
				defer mu.Unlock()
				inside += n
				most = max(most, inside)
			}
			var all sync.WaitGroup
			held := make(chan struct{})
			for i := range 8 {
				all.Go(func() {
					c := &Cache{Base: base, noFlock: noFlock,
						pause: func(context.Context, time.Duration) error { <-held; time.Sleep(time.Millisecond); return nil },
						Waiting: func(string) {
							mu.Lock()
							defer mu.Unlock()
							if waited++; waited == 7 {
								close(held)
							}
						}}
					slot, err := c.Lock(t.Context(), testName)
					if err != nil {
						t.Errorf("%d: %v", i, err)
						return
					}
					count(1)
					<-held // the first holder waits until the others wait
					count(-1)
					slot.Unlock()
				})
			}
			all.Wait()
			if most != 1 {
				t.Errorf("%d held the lock at once", most)
			}
			if got, want := tree(t, base), []string{"download/debian/trixie/arm64/"}; !slices.Equal(got, want) {
				t.Errorf("left %q, want %q", got, want)
			}
		})
	}
}

// TestOwnerFile checks which owner files count as a held lock.
func TestOwnerFile(t *testing.T) {
	host, _ := os.Hostname()
	tests := []struct {
		name, owner string
		held        bool
	}{
		{"this process", self(), true},
		{"no such process", fmt.Sprintf("%d\t%s\t%s\n", 1<<30, host, bootID()), false},
		{"another machine", fmt.Sprintf("%d\tnot %s\t%s\n", 1<<30, host, bootID()), true},
		{"before the last start", fmt.Sprintf("%d\t%s\tother\n", os.Getpid(), host), bootID() == ""},
		{"damaged", "x", true},
		{"being written", "", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := &Cache{noFlock: true, Base: write(t, map[string]string{"download/debian/trixie/arm64/.default.lock.owner": test.owner}),
				pause: func(context.Context, time.Duration) error {
					if test.held {
						return context.Canceled
					}
					return nil
				}}
			slot, err := c.Lock(t.Context(), testName)
			if (err != nil) != test.held {
				t.Errorf("Lock: %v", err)
			}
			if err == nil {
				slot.Unlock()
			}
		})
	}
}

// TestLostOwner waits for an owner file of another machine, whose process can't be
// checked: the lock counts as held as long as the file's time changes.
func TestLostOwner(t *testing.T) {
	const name = "download/debian/trixie/arm64/.default.lock.owner"
	for _, alive := range []bool{true, false} {
		base := write(t, map[string]string{name: "1\telsewhere\t\n"})
		var waited time.Duration
		c := &Cache{noFlock: true, Base: base, pause: func(_ context.Context, d time.Duration) error {
			if waited += d; waited > 2*deadAfter {
				return context.Canceled
			}
			if alive && waited%beatEvery < d {
				return os.Chtimes(filepath.Join(base, name), time.Time{}, time.Unix(int64(waited.Seconds()), 0))
			}
			return nil
		}}
		slot, err := c.Lock(t.Context(), testName)
		if alive != (err != nil) || err == nil && waited < deadAfter {
			t.Errorf("alive %v: after %v: %v", alive, waited, err)
		}
		if err == nil {
			slot.Unlock()
		}
	}
}

// TestReleaseOfLost checks that release leaves a lock that another machine has taken over.
func TestReleaseOfLost(t *testing.T) {
	c := &Cache{noFlock: true, Base: t.TempDir()}
	slot, err := c.Lock(t.Context(), testName)
	if err != nil {
		t.Fatal(err)
	}
	owner := filepath.Join(c.Base, "download/debian/trixie/arm64/.default.lock.owner")
	os.WriteFile(owner, []byte("1\telsewhere\t\n"), 0o644)
	slot.Unlock()
	if _, err := os.Stat(owner); err != nil {
		t.Errorf("another's lock: %v", err)
	}
}

var testSeen = Seen{Signer: "E7FB0CAEC8173D669066514CBAEFF88C22F6E216", Name: testName, Build: "20260101_05:24", Signed: time.Unix(1767225600, 0)}

func TestSeen(t *testing.T) {
	c := &Cache{Base: t.TempDir()}
	if list, err := c.LoadSeen(); len(list) != 0 || err != nil {
		t.Errorf("LoadSeen of nothing: %v, %v", list, err)
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			err := c.UpdateSeen(t.Context(), func(list []Seen) ([]Seen, error) {
				s := testSeen
				s.Build = fmt.Sprint(i)
				return append(list, s), nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	list, err := c.LoadSeen()
	if len(list) != 8 || err != nil {
		t.Fatalf("%d of 8 updates are there: %v", len(list), err)
	}
	if s := list[0]; s.Signer != testSeen.Signer || s.Name != testName || !s.Signed.Equal(testSeen.Signed) {
		t.Errorf("%+v came back, %+v was stored", s, testSeen)
	}
	stop := errors.New("stop")
	if err := c.UpdateSeen(t.Context(), func([]Seen) ([]Seen, error) { return nil, stop }); err != stop {
		t.Errorf("the error of edit came back as %v", err)
	}
	if err := c.UpdateSeen(t.Context(), func([]Seen) ([]Seen, error) { return []Seen{{Signer: "a\tb"}}, nil }); err == nil {
		t.Error("a tab in a field is stored")
	}
	if got := tree(t, c.Base); len(got) != 1 || !strings.HasPrefix(got[0], ".lxc-pull/seen ") {
		t.Errorf("the cache holds %q", got)
	}
	os.WriteFile(filepath.Join(c.Base, ".lxc-pull/seen"), []byte("damaged\n"), 0o644)
	if _, err := c.LoadSeen(); err == nil {
		t.Error("a damaged file loads")
	}
}

// FuzzSeen checks that UpdateSeen stores every parsed list and LoadSeen returns it.
func FuzzSeen(f *testing.F) {
	f.Add("")
	f.Add("a\tb\tc\td\te\tf\t1\n")
	f.Add("a\tb\tc\td\te\tf\t-1\na\tb\tc\td\te\tf\t2")
	f.Add("a\tb\tc\td\t..\tf\t1\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parseSeen(text)
		if err != nil || len(text) > 4<<10 {
			return
		}
		c := &Cache{Base: t.TempDir()}
		if err := c.UpdateSeen(t.Context(), func([]Seen) ([]Seen, error) { return list, nil }); err != nil {
			t.Fatal(err)
		}
		again, err := c.LoadSeen()
		if err != nil || !reflect.DeepEqual(list, again) {
			t.Errorf("%q became %v, then %v (%v)", text, list, again, err)
		}
	})
}
