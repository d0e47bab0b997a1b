package untar

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRemoveContents(t *testing.T) {
	s := newSandbox(t)
	deep := strings.Repeat("d/", 200)
	makeTree(t, s.root, "a/b/c=x", "out->../victim", "outdir->../victim/", "lost+found/", "empty/", "a/locked/f=x")
	if err := os.MkdirAll(filepath.Join(s.root, deep), 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		makeTree(t, s.root, "many/"+strings.Repeat("n", i%200)+string(rune('a'+i%26))+strings.Repeat("x", i/200)+"=1")
	}
	if err := os.Chmod(filepath.Join(s.root, "a/locked"), 0); err != nil {
		t.Fatal(err)
	}
	r, err := OpenRoot(s.root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if empty, err := r.IsEmpty(); empty || err != nil {
		t.Errorf("empty: %v (%v)", empty, err)
	}
	if err := r.RemoveNames("a", "missing"); err != nil {
		t.Error(err)
	}
	if err := r.RemoveNames("../victim"); err == nil {
		t.Error("a name with a slash was taken")
	}
	if _, err := os.Lstat(filepath.Join(s.root, "a")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a is there: %v", err)
	}
	if err := r.RemoveContents(); err != nil {
		t.Error(err)
	}
	if empty, err := r.IsEmpty(); !empty || err != nil {
		t.Errorf("empty: %v (%v)", empty, err)
	}
	s.wantTree(t) // an image's lost+found is removed, too
	s.check(t)
}

// A mount point stays, whether the staging directory itself or a directory in a removed
// tree, and even if the mounted file system is the same.
func TestMountsStay(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "root")
	kill(t, OpenTarget, path)
	staged := filepath.Join(dir, ".root.partial-"+only(t, dir, ".root.partial-"))
	mount := func(on string) {
		t.Helper()
		if err := unix.Mount(staged, on, "", unix.MS_BIND, ""); err != nil {
			t.Skipf("bind mounts: %v", err)
		}
		t.Cleanup(func() { unix.Unmount(on, unix.MNT_DETACH) })
	}
	precious := filepath.Join(staged, "precious")
	makeTree(t, staged, "precious=1")
	mount(staged) // it contains the proof, too
	target, err := OpenTarget(path)
	if err != nil {
		t.Fatal(err)
	}
	there(t, true, precious)

	grown := target.grown()
	makeTree(t, grown, "a/b/c/on/", "a/x=1", "file=1")
	mount(filepath.Join(grown, "a/b/c/on"))
	if err := unix.Mount(precious, filepath.Join(grown, "file"), "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(filepath.Join(grown, "file"), unix.MNT_DETACH)
	if _, err := target.Abort(); !errors.Is(err, ErrMounted) {
		t.Errorf("abort: %v", err)
	}
	there(t, true, precious, filepath.Join(grown, "a/b/c/on/precious"))
	there(t, false, filepath.Join(grown, "a/x"))

	// A layer's whiteout keeps mount points, too: below a directory of the lower layers, and
	// below a directory for which the layer has an entry.
	opaque := build(t, "x", tar.Header{Name: "a/b/", Typeflag: tar.TypeDir, Mode: 0o755}, tar.Header{Name: "a/b/c/", Typeflag: tar.TypeDir, Mode: 0o755},
		tar.Header{Name: "a/b/c/on/", Typeflag: tar.TypeDir, Mode: 0o755}, tar.Header{Name: ".wh..wh..opq"})
	if _, err := target.Root().Extract(bytes.NewReader(opaque), Options{Layer: true}); err != nil && !errors.Is(err, ErrMounted) {
		t.Error(err)
	}
	there(t, true, precious, filepath.Join(grown, "a/b/c/on/precious"))
	target.Close()
}

// A btrfs subvolume is removed like a directory, with its content. The call for old kernels
// removes no subvolume that is not empty.
func TestSubvolumes(t *testing.T) {
	if os.Geteuid() != 0 || testing.Short() {
		t.Skip("needs root, and makes a file system")
	}
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk")
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(disk, 200<<20); err != nil {
		t.Fatal(err)
	}
	mnt := filepath.Join(dir, "mnt")
	if err := os.Mkdir(mnt, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"mkfs.btrfs", "-q", disk}, {"mount", "-o", "loop", disk, mnt}} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Skipf("%s: %v: %s", command[0], err, out)
		}
	}
	defer unix.Unmount(mnt, unix.MNT_DETACH)
	subvolume := func(path string) {
		t.Helper()
		if out, err := exec.Command("btrfs", "subvolume", "create", path).CombinedOutput(); err != nil {
			t.Skipf("%v: %s", err, out)
		}
	}
	target, err := OpenTarget(filepath.Join(mnt, "root"))
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	deep := filepath.Join(target.grown(), strings.Repeat("d/", 12))
	makeTree(t, deep, "x=1")
	subvolume(filepath.Join(deep, "rootfs"))
	makeTree(t, filepath.Join(deep, "rootfs"), strings.Repeat("e/", 15)+"x=1")
	subvolume(filepath.Join(deep, "rootfs/inner"))
	makeTree(t, filepath.Join(deep, "rootfs/inner"), "f=1")
	if _, err := target.Abort(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(mnt); len(left) > 0 {
		t.Errorf("left: %v", left)
	}

	r, err := OpenRoot(mnt)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	subvolume(filepath.Join(mnt, "s"))
	makeTree(t, mnt, "s/f=1")
	if err := removeDir(r.fd, cname("s\x00")); err != unix.ENOTEMPTY {
		t.Errorf("one that holds something: %v", err)
	}
	there(t, true, filepath.Join(mnt, "s/f"))
	if err := os.Remove(filepath.Join(mnt, "s/f")); err != nil {
		t.Fatal(err)
	}
	if err := destroySubvolume(r.fd, cname("s\x00")); err != nil {
		t.Errorf("by its own call: %v", err)
	}
	there(t, false, filepath.Join(mnt, "s"))
}

// Only one function removes directories. It handles btrfs subvolumes on all kernels.
func TestOneRemovesDirs(t *testing.T) {
	sources, err := filepath.Glob("../*.go")
	if err != nil {
		t.Fatal(err)
	}
	own, _ := filepath.Glob("*.go")
	for _, source := range append(own, sources...) {
		text, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(text, []byte("AT_"+"REMOVEDIR")); n > 0 && source != "remove.go" {
			t.Errorf("%s removes directories by itself", source)
		}
	}
}
