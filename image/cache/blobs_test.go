package cache

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/image"
)

const (
	inBlobs = ".lxc-pull/images/"
)

func digestOf(text string) image.Digest {
	return image.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(text))))
}

// nameOf is the name of the complete blob that holds text.
func nameOf(text string) string { return "sha256-" + string(digestOf(text))[7:] }

// pullBlob does what a run does with a blob, and reports whether it wrote any of it.
func pullBlob(c *Cache, ctx context.Context, text string) (wrote bool, err error) {
	b, err := c.Blob(ctx, digestOf(text), int64(len(text)))
	if err != nil {
		return false, err
	}
	defer b.Close()
	if !b.Complete {
		wrote = true
		if _, err := io.WriteString(b, text[b.Have:]); err != nil {
			return true, err
		}
	}
	got, err := io.ReadAll(io.NewSectionReader(b.File, 0, 1<<30))
	if err != nil {
		return wrote, err
	}
	if string(got) != text {
		return wrote, errors.Join(fmt.Errorf("the blob holds %.50q, want %.50q", got, text), b.Discard())
	}
	return wrote, b.Commit()
}

// keep stores blobs and the record of an image that needs them. The first is the manifest.
func keep(t *testing.T, c *Cache, reference string, texts ...string) *Kept {
	t.Helper()
	k := kept(reference, texts...)
	for _, text := range texts {
		if _, err := pullBlob(c, t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Keep(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	return k
}

func kept(reference string, texts ...string) *Kept {
	k := &Kept{Reference: reference, Name: image.Name{Dist: "x", Release: "latest", Arch: "arm64", Variant: "default"},
		Manifest: digestOf(texts[0]), Top: digestOf(texts[0]), MediaType: "application/vnd.oci.image.manifest.v1+json"}
	for _, text := range texts {
		k.Blobs = append(k.Blobs, digestOf(text))
	}
	return k
}

// age makes everything in a cache look unused for that long.
func age(t *testing.T, c *Cache, d time.Duration) {
	t.Helper()
	when := time.Now().Add(-d)
	err := filepath.WalkDir(c.Base, func(path string, _ fs.DirEntry, err error) error {
		at := []unix.Timespec{unix.NsecToTimespec(when.UnixNano()), unix.NsecToTimespec(when.UnixNano())}
		return errors.Join(err, unix.UtimesNanoAt(unix.AT_FDCWD, path, at, unix.AT_SYMLINK_NOFOLLOW))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// contents lists the texts of the blobs in a cache: "text" of complete ones, "text..." of others.
func contents(t *testing.T, c *Cache) string {
	t.Helper()
	var list []string
	for _, line := range tree(t, c.Base) {
		if name, text, ok := strings.Cut(line, " "); ok && strings.Contains(name, "/images/") && strings.Contains(name, "sha256-") {
			switch {
			case strings.HasSuffix(name, ".part"):
				text += "..."
			case strings.Contains(name, ".lock"):
				text = "lock"
			}
			list = append(list, text)
		}
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// TestBlob follows one blob from its first byte to its removal.
func TestBlob(t *testing.T) {
	for _, noFlock := range []bool{false, true} {
		c := &Cache{Base: filepath.Join(t.TempDir(), "not/yet"), noFlock: noFlock, Chown: true, UID: os.Getuid(), GID: os.Getgid()}
		const text = "0123456789"
		d := digestOf(text)
		if _, err := c.FindBlob(d); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("FindBlob without a cache: %v", err)
		}
		for _, step := range []struct {
			write string
			have  int64
		}{{"", 0}, {"0123", 0}, {"45", 4}, {"6789", 6}} {
			b, err := c.Blob(t.Context(), d, int64(len(text)))
			if err != nil {
				t.Fatal(err)
			}
			if b.Complete || b.Have != step.have {
				t.Fatalf("complete %v, %d bytes, want %d", b.Complete, b.Have, step.have)
			}
			if _, err := c.FindBlob(d); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("FindBlob of an incomplete blob: %v", err)
			}
			if step.have < 6 {
				if err := b.Commit(); err == nil {
					t.Fatal("a blob without all its bytes is complete")
				}
			}
			if _, err := io.WriteString(b, step.write); err != nil {
				t.Fatal(err)
			}
			if step.have == 6 {
				if err := b.Commit(); err != nil || !b.Complete || b.Have != 10 {
					t.Fatalf("Commit: %v, %v, %d", err, b.Complete, b.Have)
				}
			}
			if err := errors.Join(b.Close(), b.Close()); err != nil {
				t.Error(err)
			}
			if step.write == "" && contents(t, c) != "" {
				t.Errorf("an empty blob is left: %s", contents(t, c))
			}
		}
		if got, want := tree(t, c.Base), []string{inBlobs + nameOf(text) + " " + text}; !slices.Equal(got, want) {
			t.Errorf("the cache holds %q, want %q", got, want)
		}
		for path, mode := range map[string]fs.FileMode{strings.TrimSuffix(inBlobs, "/"): fs.ModeDir | 0o700, inBlobs + nameOf(text): 0o600} {
			if info, err := os.Stat(filepath.Join(c.Base, path)); err != nil || info.Mode() != mode {
				t.Errorf("%s: mode %v (%v)", path, info.Mode(), err)
			}
		}
		b, err := c.FindBlob(d)
		if err != nil || !b.Complete || b.Have != 10 {
			t.Fatalf("FindBlob: %v", err)
		}
		b.Close()
		if b, err = c.Blob(t.Context(), d, -1); err != nil || !b.Complete {
			t.Fatalf("Blob: %v", err)
		}
		if err := b.Discard(); err != nil || len(contents(t, c)) != 0 {
			t.Errorf("after Discard (%v): %q", err, tree(t, c.Base))
		}
		if b, err = c.Blob(t.Context(), d, -1); err != nil {
			t.Fatal(err)
		}
		io.WriteString(b, "wrong")
		if err := b.Discard(); err != nil || len(contents(t, c)) != 0 {
			t.Errorf("after Discard (%v): %q", err, tree(t, c.Base))
		}
	}
}

// TestBlobNames checks that nothing but a digest becomes a name.
func TestBlobNames(t *testing.T) {
	c := &Cache{Base: t.TempDir()}
	good := string(digestOf("x"))
	for _, d := range []string{"", "sha256:", "sha256:../x", good + "0", good[:70], strings.ToUpper(good), "sha512:" + good[7:], good[:70] + "/", "sha256:" + strings.Repeat("é", 32)} {
		if _, err := c.Blob(t.Context(), image.Digest(d), 1); err == nil {
			t.Errorf("Blob takes %q", d)
		}
		if _, err := c.FindBlob(image.Digest(d)); err == nil {
			t.Errorf("FindBlob takes %q", d)
		}
		k := kept("docker:x", "x")
		k.Blobs = append(k.Blobs, image.Digest(d))
		if err := c.Keep(t.Context(), k); err == nil {
			t.Errorf("Keep takes %q", d)
		}
	}
	if left := tree(t, c.Base); len(left) != 1 || left[0] != "" && left[0] != "./" {
		t.Errorf("left %q", left)
	}
}

// TestBlobStates begins with what a killed process, a power failure or a wrong list leave.
func TestBlobStates(t *testing.T) {
	const text = "0123456789"
	full, part, lock := inBlobs+nameOf(text), inBlobs+"."+nameOf(text)+".part", inBlobs+"."+nameOf(text)+".lock"
	for _, test := range []struct {
		name  string
		there map[string]string
		size  int64
		have  int64 // -1: an error
		done  bool
	}{
		{"nothing", nil, 10, 0, false},
		{"killed while it wrote", map[string]string{part: "012", lock: "1234\thost\tid\n"}, 10, 3, false},
		{"killed before it wrote", map[string]string{part: "", lock: ""}, 10, 0, false},
		{"killed before the rename", map[string]string{part: text, lock: self()}, 10, 10, false},
		{"killed after the rename", map[string]string{full: text, lock: self()}, 10, 10, true},
		{"both", map[string]string{full: text, part: "01"}, 10, 10, true},
		{"a list with a smaller size", map[string]string{part: "012345"}, 5, 0, false},
		{"complete, with a wrong size in a list", map[string]string{full: text}, 11, 10, true},
		{"damaged", map[string]string{full: "0123"}, 10, 4, true},
		{"a directory as the part", map[string]string{part + "/x": ""}, 10, -1, false},
		{"a directory as the blob", map[string]string{full + "/x": ""}, 10, -1, false},
		{"another file as the lock", map[string]string{lock: "dear me"}, 10, -1, false},
	} {
		for _, fresh := range []bool{true, false} {
			c := &Cache{Base: write(t, test.there)}
			if !fresh {
				age(t, c, 2*Leftover)
			}
			before := tree(t, c.Base)
			b, err := c.Blob(t.Context(), digestOf(text), test.size)
			if test.have < 0 {
				var unwritable *UnwritableError
				if !errors.As(err, &unwritable) || !slices.Equal(before, tree(t, c.Base)) {
					t.Errorf("%s: %v, left %q", test.name, err, tree(t, c.Base))
				}
				continue
			}
			if err != nil || b.Have != test.have || b.Complete != test.done {
				t.Errorf("%s: %+v, %v", test.name, b, err)
				continue
			}
			b.Close()
			if left := contents(t, c); !fresh && !test.done && strings.Contains(left, "lock") {
				t.Errorf("%s: left %s", test.name, left)
			}
		}
	}
}

// TestBlobsAtOnce has eight goroutines, with their own Cache each, pull overlapping blobs. Each
// blob is written once, and the others wait for it.
func TestBlobsAtOnce(t *testing.T) {
	for _, noFlock := range []bool{false, true} {
		base := t.TempDir()
		var written, waited atomic.Int32
		var all sync.WaitGroup
		const blobs = 12
		for n := range 8 {
			all.Go(func() {
				c := &Cache{Base: base, noFlock: noFlock, Waiting: func(string) { waited.Add(1) },
					pause: func(context.Context, time.Duration) error { time.Sleep(20 * time.Millisecond); return nil }}
				for i := range blobs {
					text := strings.Repeat(fmt.Sprint(" ", (i+n)%blobs), 10000)
					wrote, err := pullBlob(c, t.Context(), text)
					if err != nil {
						t.Errorf("%d: %v", n, err)
					}
					if wrote {
						written.Add(1)
					}
				}
			})
		}
		all.Wait()
		if n := written.Load(); n != blobs {
			t.Errorf("%d blobs were written %d times", blobs, n)
		}
		if left := tree(t, base); len(left) != blobs {
			t.Errorf("left %d files", len(left))
		}
	}
}

// TestBlobWaits checks that one process downloads and that the other one uses its bytes.
func TestBlobWaits(t *testing.T) {
	base, told := t.TempDir(), make(chan string, 1)
	first, err := (&Cache{Base: base}).Blob(t.Context(), digestOf("abc"), 3)
	if err != nil {
		t.Fatal(err)
	}
	second := &Cache{Base: base, Waiting: func(holder string) { told <- holder }, pause: func(context.Context, time.Duration) error { time.Sleep(time.Millisecond); return nil }}
	got := make(chan string)
	go func() {
		b, err := second.Blob(t.Context(), digestOf("abc"), 3)
		if err != nil {
			got <- err.Error()
			return
		}
		defer b.Close()
		text, _ := io.ReadAll(b.File)
		got <- fmt.Sprint(b.Complete, string(text))
	}()
	if holder := <-told; holder != fmt.Sprint("process ", os.Getpid()) {
		t.Errorf("it waits for %q", holder)
	}
	io.WriteString(first, "abc")
	if err := errors.Join(first.Commit(), first.Close()); err != nil {
		t.Error(err)
	}
	if text := <-got; text != "trueabc" {
		t.Error(text)
	}
	ctx, cancel := context.WithCancel(t.Context())
	third, err := second.Blob(ctx, digestOf("x"), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer third.Close()
	cancel()
	second.pause = nil
	if _, err := second.Blob(ctx, digestOf("x"), 1); err != context.Canceled {
		t.Errorf("after the end of the context: %v", err)
	}
}

// TestRemoveUsedBlob checks that a blob which stays is not said to be removed, and that a complete
// one is removed under its locks.
func TestRemoveUsedBlob(t *testing.T) {
	c := &Cache{Base: t.TempDir()}
	if _, err := pullBlob(c, t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	alone := list(t, c)[0]
	keep(t, c, "docker:a", "m", "x")
	if err := c.Drop(alone); !errors.Is(err, ErrLocked) {
		t.Errorf("an image needs it: %v", err)
	}
	b, err := c.Blob(t.Context(), digestOf("x"), 1)
	if err != nil {
		t.Fatal(err)
	}
	l, err := c.lock(t.Context(), b.dir, "."+nameOf("x")+lockSuffix, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Discard(); !errors.Is(err, ErrLocked) || contents(t, c) != "lock m x" {
		t.Errorf("locked: %v, left %s", err, contents(t, c))
	}
	l.dir, _ = c.images(false) // Discard has closed the other
	if err := l.release(); err != nil {
		t.Fatal(err)
	}
	if b, err = c.Blob(t.Context(), digestOf("x"), 1); err != nil {
		t.Fatal(err)
	}
	if err := b.Discard(); err != nil || contents(t, c) != "m" {
		t.Errorf("%v, left %s", err, contents(t, c))
	}
}

// TestBlobSlow waits for a process that downloads, but not for one that gives a blob too slowly.
func TestBlobSlow(t *testing.T) {
	for _, test := range []struct {
		grows int   // bytes a second
		size  int64 // of the blob
		waits time.Duration
	}{
		{0, 4 << 20, 15 * time.Second},
		{3000, 4 << 20, 15 * time.Second},
		{200_000, 4 << 20, 30 * time.Second}, // then it stops
		{200_000, 3_000_000, maxLockWait},    // it has all bytes, and syncs them
	} {
		c := &Cache{Base: t.TempDir()}
		first, err := c.Blob(t.Context(), digestOf("slow"), test.size)
		if err != nil {
			t.Fatal(err)
		}
		waited, wrote := time.Duration(0), 0
		other := &Cache{Base: c.Base, pause: func(_ context.Context, d time.Duration) error {
			waited += d
			if n := test.grows * int(waited/time.Second); n > wrote && n <= 3_000_000 {
				first.Write(make([]byte, n-wrote))
				wrote = n
			}
			os.Chtimes(filepath.Join(c.Base, inBlobs, "."+nameOf("slow")+".lock"), time.Time{}, time.Now()) // it is alive
			return nil
		}}
		_, err = other.Blob(t.Context(), digestOf("slow"), test.size)
		var unwritable *UnwritableError
		if !errors.As(err, &unwritable) || !errors.Is(err, ErrLocked) || waited > test.waits || waited < test.waits-time.Second {
			t.Errorf("%+v: waited %v: %v", test, waited, err)
		}
		first.Discard()
	}
}

// helperEnv makes this test binary a process that TestBlobProcesses or TestBlobFull starts.
const helperEnv = "LXC_PULL_CACHE_TEST"

// helperBlobs are the blobs that the processes pull.
func helperBlobs() (texts []string) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 6 {
		var b strings.Builder
		for range 40 + r.IntN(200) {
			fmt.Fprintf(&b, "%0500d", r.Uint64())
		}
		texts = append(texts, b.String())
	}
	return texts
}

// TestHelper is no test: it is what the other processes run.
func TestHelper(t *testing.T) {
	how, base, _ := strings.Cut(os.Getenv(helperEnv), ":")
	c := &Cache{Base: base, noFlock: how == "owner"}
	switch how {
	case "":
		t.Skip("for other tests")
	case "full":
		signal.Ignore(unix.SIGXFSZ)
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1000, Max: 1000}); err != nil {
			t.Skip(err)
		}
		b, err := c.Blob(t.Context(), digestOf("x"), 5000)
		if err != nil {
			t.Fatal(err)
		}
		n, err := b.Write(make([]byte, 5000))
		if n != 1000 || !errors.Is(err, unix.EFBIG) {
			t.Errorf("%d bytes, %v", n, err)
		}
		if err := b.Commit(); err == nil || b.Complete {
			t.Error("a cut blob is complete")
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		err = c.Keep(t.Context(), kept("docker:x", strings.Split(strings.Repeat("a ", 40), " ")[0], "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m"))
		var unwritable *UnwritableError
		if !errors.As(err, &unwritable) {
			t.Errorf("Keep: %v", err)
		}
	default:
		r := rand.New(rand.NewPCG(uint64(os.Getpid()), 1))
		texts := helperBlobs()
		k := kept(fmt.Sprint("docker:", os.Getpid()%4), texts...)
		for _, i := range r.Perm(len(texts)) {
			text := texts[i]
			b, err := c.Blob(t.Context(), digestOf(text), int64(len(text)))
			if err != nil {
				t.Fatal(err)
			}
			for at := int(b.Have); !b.Complete && at < len(text); {
				n := min(r.IntN(3000), len(text)-at)
				if _, err := io.WriteString(b, text[at:at+n]); err != nil {
					t.Fatal(err)
				}
				at += n
			}
			if got, err := io.ReadAll(io.NewSectionReader(b.File, 0, 1<<30)); err != nil || string(got) != text {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
			if err := errors.Join(b.Commit(), b.Close()); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Keep(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		if err := c.Shrink(1<<40, image.Name{}, func(Info, error) {}); err != nil {
			t.Fatal(err)
		}
	}
}

func helper(how, base string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelper$")
	if emulator := os.Getenv("TEST_EMULATOR"); emulator != "" { // scripts/lab/test32
		cmd = exec.Command(emulator, append([]string{os.Args[0]}, cmd.Args[1:]...)...)
	}
	cmd.Env = append(os.Environ(), helperEnv+"="+how+":"+base)
	return cmd
}

// TestBlobProcesses has eight processes pull the same blobs in different orders, and kills some of
// them at any moment. The last runs must find good bytes and leave nothing but them.
func TestBlobProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("starts many processes")
	}
	for _, how := range []string{"flock", "owner"} {
		base := t.TempDir()
		r := rand.New(rand.NewPCG(3, 4))
		for round := range 3 {
			var all []*exec.Cmd
			for range 8 {
				cmd := helper(how, base)
				cmd.Stdout = new(strings.Builder)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				all = append(all, cmd)
			}
			var ended sync.WaitGroup
			for i, cmd := range all {
				killed := round < 2 && i%2 == 0
				if killed {
					time.Sleep(time.Duration(r.IntN(8)) * time.Millisecond)
					cmd.Process.Signal(syscall.SIGKILL)
				}
				// A process that nobody has waited for would count as alive.
				ended.Go(func() {
					if err := cmd.Wait(); err != nil && !killed {
						t.Errorf("%s, round %d: %v\n%s", how, round, err, cmd.Stdout)
					}
				})
			}
			ended.Wait()
		}
		c := &Cache{Base: base}
		list, err := c.List()
		if err != nil || len(list) == 0 {
			t.Fatalf("%v, %v", list, err)
		}
		for _, i := range list {
			if i.Kept == nil || i.Damage != nil {
				t.Errorf("%s: %+v", how, i)
			}
			if err := c.VerifyKept(t.Context(), i); err != nil {
				t.Error(err)
			}
		}
		for _, line := range tree(t, base) {
			name, _, _ := strings.Cut(line, " ")
			if base := filepath.Base(name); base[0] == '.' && !strings.Contains(base, ".lock") || strings.HasSuffix(base, ".new") {
				t.Errorf("%s: left %s", how, name)
			}
		}
	}
}

// TestBlobFull has a process that can't write more than 1000 bytes into a file.
func TestBlobFull(t *testing.T) {
	base := t.TempDir()
	// Their record is longer than 1000 bytes.
	for _, text := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m"} {
		if _, err := pullBlob(&Cache{Base: base}, t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := helper("full", base).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, line := range tree(t, base) {
		if strings.Contains(line, "image-") {
			t.Errorf("left %.80q", line)
		}
	}
	b, err := (&Cache{Base: base}).Blob(t.Context(), digestOf("x"), 5000)
	if err != nil || b.Have != 1000 {
		t.Fatalf("%+v, %v", b, err)
	}
	b.Close()
}

// TestBlobUntrusted gives a file or directory to another user, or lets others write it. Then the
// cache uses nothing of it, and removes none of it.
func TestBlobUntrusted(t *testing.T) {
	const text = "text"
	name := func(k *Kept) string { return inBlobs + k.recordName() }
	for how, spoil := range map[string]func(path string) error{
		"writable by all": func(path string) error { return os.Chmod(path, 0o757) },
		"a stranger's":    func(path string) error { return os.Chown(path, stranger, -1) },
	} {
		for _, place := range []string{".lxc-pull", ".lxc-pull/images", inBlobs + nameOf(text), inBlobs + "." + nameOf("more") + ".part", "RECORD"} {
			if how != "writable by all" && os.Geteuid() != 0 {
				continue
			}
			c := &Cache{Base: t.TempDir()}
			k := keep(t, c, "docker:x", text)
			b, err := c.Blob(t.Context(), digestOf("more"), 4)
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(b, "mo")
			b.Close()
			age(t, c, 2*Leftover)
			path := filepath.Join(c.Base, place)
			if place == "RECORD" {
				path = filepath.Join(c.Base, name(k))
			}
			if err := spoil(path); err != nil {
				t.Fatal(err)
			}
			before := tree(t, c.Base)
			inBlob := place == inBlobs+nameOf(text)
			if b, err := c.FindBlob(digestOf(text)); place != "RECORD" && !strings.HasSuffix(place, ".part") {
				if !untrusted(err) {
					t.Errorf("%s, %s: FindBlob: %v", how, place, err)
				}
			} else if err != nil {
				t.Errorf("%s, %s: FindBlob: %v", how, place, err)
			} else {
				b.Close()
			}
			if strings.HasSuffix(place, ".part") {
				if _, err := c.Blob(t.Context(), digestOf("more"), 4); !untrusted(err) {
					t.Errorf("%s: a part: %v", how, err)
				}
			} else if _, err := c.FindKept("docker:x", "arm64"); !inBlob && !untrusted(err) {
				t.Errorf("%s, %s: FindKept: %v", how, place, err)
			}
			c.Shrink(0, image.Name{}, func(Info, error) {})
			c.SweepBlobs(time.Now())
			after := tree(t, c.Base)
			if !inBlob && !strings.HasSuffix(place, ".part") && !slices.Equal(before, after) {
				t.Errorf("%s, %s: left\n%s\nof\n%s", how, place, strings.Join(after, "\n"), strings.Join(before, "\n"))
			}
			if _, err := os.Lstat(path); err != nil {
				t.Errorf("%s, %s: %v", how, place, err)
			}
		}
	}
}

// TestBlobLinks replaces files and directories by links that lead out of the cache.
func TestBlobLinks(t *testing.T) {
	k := kept("docker:x", "text")
	for _, place := range []string{".lxc-pull", ".lxc-pull/images", inBlobs + nameOf("text"), inBlobs + "." + nameOf("text") + ".part",
		inBlobs + "." + nameOf("text") + ".lock", inBlobs + k.recordName(), inBlobs + k.recordName() + ".new", inBlobs + ".images.lock"} {
		for _, target := range []string{"dir", "file", "none"} {
			outside := write(t, map[string]string{"dir/" + nameOf("text"): "text", "file": "text"})
			before := tree(t, outside)
			c := &Cache{Base: t.TempDir()}
			os.MkdirAll(filepath.Join(c.Base, filepath.Dir(place)), 0o755)
			if err := os.Symlink(filepath.Join(outside, target), filepath.Join(c.Base, place)); err != nil {
				t.Fatal(err)
			}
			if b, err := c.FindBlob(digestOf("text")); err == nil {
				b.Close()
				t.Errorf("%s: a blob is found through the link", place)
			}
			pullBlob(c, t.Context(), "text")
			c.Keep(t.Context(), k)
			age(t, c, 2*Leftover)
			c.UseKept(k)
			c.SweepBlobs(time.Now())
			c.Shrink(0, image.Name{}, func(Info, error) {})
			c.Drop(Info{Kept: k})
			if after := tree(t, outside); !slices.Equal(before, after) {
				t.Errorf("%s: outside is now %q", place, after)
			}
		}
	}
}
