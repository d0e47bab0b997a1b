package untar

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// grown returns where the tree is before Commit.
func (t *Target) grown() string {
	if t.staging == "" {
		return t.path
	}
	return filepath.Join(t.parent.Name(), t.staging)
}

// kill leaves what a run leaves if it is killed in the middle of an archive.
func kill(t *testing.T, open func(string) (*Target, error), path string) {
	t.Helper()
	whole := build(t, "x", nested...)
	target, err := open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := target.Root().Extract(bytes.NewReader(whole[:len(whole)-1024-200]), Options{DeferRoot: true}); err == nil {
		t.Fatal("a cut archive was accepted")
	}
	target.Close()
}

// only returns the only name in a directory with this prefix, without the prefix.
func only(t *testing.T, dir, prefix string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, prefix+"*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s* in %s: %q, %v", prefix, dir, found, err)
	}
	return strings.TrimPrefix(filepath.Base(found[0]), prefix)
}

func there(t *testing.T, want bool, paths ...string) {
	t.Helper()
	for _, p := range paths {
		if _, err := os.Lstat(p); (err == nil) != want {
			t.Errorf("%s is there: %v", p, err == nil)
		}
	}
}

// Files that a user put into a directory after a run was killed there stay, unless the
// directory was for a whole tree and contains that run's proof.
func TestOnlyTheProofLetsRemove(t *testing.T) {
	for _, c := range []struct {
		name    string
		by      func(string) (*Target, error)
		change  func(t *testing.T, dir, path string)
		next    func(string) (*Target, error)
		emptied bool
		stale   bool
	}{
		{"a tree, then a tree", OpenTarget, nil, OpenTarget, true, false},
		{"merged, then merged", OpenMerge, nil, OpenMerge, false, false},
		{"a tree, then merged", OpenTarget, nil, OpenMerge, false, false},
		{"merged, then a tree", OpenMerge, nil, OpenTarget, false, true},
		{"another directory", OpenTarget, func(t *testing.T, dir, path string) {
			if err := os.Rename(path, filepath.Join(dir, "old")); err != nil {
				t.Fatal(err)
			}
			makeTree(t, path, "etc/x=1")
		}, OpenTarget, false, true},
		{"another run's proof", OpenTarget, func(t *testing.T, dir, path string) {
			id := only(t, path, ".lxc-pull-")
			other := strings.Repeat("0", len(id))
			if err := os.Rename(filepath.Join(path, ".lxc-pull-"+id), filepath.Join(path, ".lxc-pull-"+other)); err != nil {
				t.Fatal(err)
			}
		}, OpenTarget, false, true},
		{"a proof that is a link", OpenTarget, func(t *testing.T, dir, path string) {
			proof := filepath.Join(path, ".lxc-pull-"+only(t, path, ".lxc-pull-"))
			if err := os.Rename(proof, filepath.Join(dir, "p")); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("../p", proof); err != nil {
				t.Fatal(err)
			}
		}, OpenTarget, false, true},
		{"a proof with two names", OpenTarget, func(t *testing.T, dir, path string) {
			if err := os.Link(filepath.Join(path, ".lxc-pull-"+only(t, path, ".lxc-pull-")), filepath.Join(dir, "p")); err != nil {
				t.Fatal(err)
			}
		}, OpenTarget, false, true},
		{"another user's proof", OpenTarget, func(t *testing.T, dir, path string) {
			if os.Geteuid() != 0 {
				t.Skip("needs root")
			}
			if err := os.Chown(filepath.Join(path, ".lxc-pull-"+only(t, path, ".lxc-pull-")), 1, 1); err != nil {
				t.Fatal(err)
			}
		}, OpenTarget, false, true},
		{"another user's marker", OpenTarget, func(t *testing.T, dir, path string) {
			if os.Geteuid() != 0 {
				t.Skip("needs root")
			}
			if err := os.Chown(filepath.Join(dir, ".root.incomplete"), 1, 1); err != nil {
				t.Fatal(err)
			}
		}, OpenTarget, false, false},
		{"a cut marker", OpenTarget, func(t *testing.T, dir, path string) {
			if err := os.Truncate(filepath.Join(dir, ".root.incomplete"), 60); err != nil {
				t.Fatal(err)
			}
		}, OpenTarget, false, true},
		{"no marker", OpenTarget, func(t *testing.T, dir, path string) {
			if err := os.Remove(filepath.Join(dir, ".root.incomplete")); err != nil {
				t.Fatal(err)
			}
		}, OpenTarget, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "root")
			makeTree(t, dir, "root/")
			kill(t, c.by, path)
			if c.change != nil {
				c.change(t, dir, path)
			}
			makeTree(t, path, "home/thesis=mine")
			target, err := c.next(path)
			if err != nil {
				t.Fatal(err)
			}
			defer target.Close()
			if target.IsEmpty() != c.emptied || (target.Recovered() != "") != c.emptied || (target.Stale() != "") != c.stale {
				t.Errorf("empty: %v, recovered: %q, stale: %q", target.IsEmpty(), target.Recovered(), target.Stale())
			}
			there(t, !c.emptied, filepath.Join(path, "home/thesis"))
			if _, err := target.Abort(); err != nil {
				t.Error(err)
			}
			there(t, !c.emptied, filepath.Join(path, "home/thesis"))
		})
	}
}

// A successful merge ends the interruption and leaves no trace of it.
func TestMergeEndsAnInterruption(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "root")
	makeTree(t, dir, "root/")
	kill(t, OpenMerge, path)
	if err := os.WriteFile(filepath.Join(path, ".lxc-pull-"+only(t, path, ".lxc-pull-")), []byte("1"), 0o600); err != nil { // the killed run's process ID
		t.Fatal(err)
	}
	target, err := OpenMerge(path)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	if !target.Resumed() {
		t.Error("it is not said that a run was interrupted")
	}
	var busy *BusyError
	if _, err := OpenMerge(path); !errors.As(err, &busy) || busy.PID != os.Getpid() {
		t.Errorf("a third run: %v", err)
	}
	if _, err := target.Root().Extract(bytes.NewReader(build(t, "x", nested...)), Options{}); err != nil {
		t.Fatal(err)
	}
	there(t, true, filepath.Join(dir, ".root.incomplete"))
	if err := target.Commit(); err != nil {
		t.Fatal(err)
	}
	there(t, false, filepath.Join(dir, ".root.incomplete"))
	if left, _ := filepath.Glob(path + "/.*"); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// The proof does not belong to the tree: the directory keeps the archive's time.
func TestProofLeavesNoTrace(t *testing.T) {
	for _, kind := range []string{"absent", "empty"} {
		dir := t.TempDir()
		path := filepath.Join(dir, "root")
		if kind == "empty" {
			makeTree(t, dir, "root/")
		}
		target, err := OpenTarget(path)
		if err != nil {
			t.Fatal(err)
		}
		defer target.Close()
		f, err := target.Root().TempFile()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		when := time.Unix(1234567890, 0)
		archive := build(t, "x", tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o555, ModTime: when}, tar.Header{Name: "f"})
		if _, err := target.Root().Extract(bytes.NewReader(archive), Options{Strict: true, DeferRoot: true}); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(target.Root().Finish(), target.Commit(), f.Close()); err != nil {
			t.Fatal(err)
		}
		defer os.Chmod(path, 0o755) // so that an ordinary user can remove it
		info, err := os.Stat(path)
		if err != nil || !info.ModTime().Equal(when) || info.Mode().Perm() != 0o555 {
			t.Errorf("%s: %v, %v", kind, info, err)
		}
		if left, _ := filepath.Glob(path + "/.*"); len(left) > 0 {
			t.Errorf("%s: left %q", kind, left)
		}
	}
}

// A staging directory is removed if it is empty or contains the proof with the ID in its
// name.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "root")
	kill(t, OpenTarget, path)
	ours := only(t, dir, ".root.partial-")
	there(t, true, filepath.Join(dir, ".root.partial-"+ours, ".lxc-pull-"+ours))
	zeros, ones, twos := strings.Repeat("0", 32), strings.Repeat("1", 32), strings.Repeat("2", 32)
	makeTree(t, dir, ".root.partial-"+zeros+"/", ".root.partial-"+ones+"/mine=1", ".root.partial-4711/mine=1", ".root.partial-"+twos+"->"+".root.partial-"+ones)
	target, err := OpenTarget(path)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	if want := filepath.Join(dir, ".root.partial-"+ones); target.Stale() != want {
		t.Errorf("stale: %q, want %q", target.Stale(), want)
	}
	there(t, false, filepath.Join(dir, ".root.partial-"+ours), filepath.Join(dir, ".root.partial-"+zeros))
	there(t, true, filepath.Join(dir, ".root.partial-"+ones, "mine"), filepath.Join(dir, ".root.partial-4711", "mine"), filepath.Join(dir, ".root.partial-"+twos))
}

// acl returns the value of an ACL that gives a user access; the owning group has no rights.
func acl() []byte {
	b := binary.LittleEndian.AppendUint32(nil, aclVersion)
	for _, e := range []struct {
		tag, perm uint16
		id        uint32
	}{{1, 7, aclNoID}, {2, 7, 4711}, {4, 0, aclNoID}, {0x10, 7, aclNoID}, {0x20, 0, aclNoID}} {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.perm)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return b
}

// A whole tree has only the ACLs of the archive, even if its parent directory has a default
// ACL. After a failure an existing directory has its own ACLs again. A merge behaves like
// GNU tar.
func TestInheritedACLs(t *testing.T) {
	archive := build(t, "x", nested...)
	open := func(t *testing.T, kind string) (dir, path string) {
		dir = t.TempDir()
		path = filepath.Join(dir, "root")
		if err := unix.Setxattr(dir, attrDefaultACL, acl(), 0); err != nil {
			t.Skipf("no ACLs here: %v", err)
		}
		if kind == "empty" {
			if err := os.Mkdir(path, 0o770); err != nil {
				t.Fatal(err)
			}
		}
		return dir, path
	}
	has := func(path, name string) bool {
		n, err := unix.Lgetxattr(path, name, nil)
		return err == nil && n > 0
	}
	for _, kind := range []string{"absent", "empty"} {
		t.Run(kind, func(t *testing.T) {
			_, path := open(t, kind)
			target, err := OpenTarget(path)
			if err != nil {
				t.Fatal(err)
			}
			defer target.Close()
			if _, err := target.Root().Extract(bytes.NewReader(archive), Options{Strict: true}); err != nil {
				t.Fatal(err)
			}
			if err := target.Commit(); err != nil {
				t.Fatal(err)
			}
			for _, p := range []string{"", "etc", "etc/hosts", "dev/pts"} {
				if p := filepath.Join(path, p); has(p, attrACL) || has(p, attrDefaultACL) {
					t.Errorf("%s has an ACL", p)
				}
			}
		})
	}
	t.Run("a failure", func(t *testing.T) {
		for _, killed := range []bool{false, true} {
			_, path := open(t, "empty")
			before, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if killed {
				kill(t, OpenTarget, path)
			}
			target, err := OpenTarget(path)
			if err != nil {
				t.Fatal(err)
			}
			defer target.Close()
			if now, err := os.Stat(path); err != nil || now.Mode().Perm()&0o070 != 0 {
				t.Errorf("the group has got the ACL's mask: %v, %v", now.Mode(), err)
			}
			if _, err := target.Abort(); err != nil {
				t.Fatal(err)
			}
			if now, err := os.Stat(path); err != nil || now.Mode() != before.Mode() || !has(path, attrACL) || !has(path, attrDefaultACL) {
				t.Errorf("killed %v: it has not got back what it had: %v, before %v (%v)", killed, now.Mode(), before.Mode(), err)
			}
		}
	})
	t.Run("a merge", func(t *testing.T) {
		_, path := open(t, "empty")
		target, err := OpenMerge(path)
		if err != nil {
			t.Fatal(err)
		}
		defer target.Close()
		if _, err := target.Root().Extract(bytes.NewReader(archive), Options{}); err != nil {
			t.Fatal(err)
		}
		if err := target.Commit(); err != nil {
			t.Fatal(err)
		}
		if p := filepath.Join(path, "etc"); !has(path, attrDefaultACL) || !has(p, attrDefaultACL) || !has(filepath.Join(p, "hosts"), attrACL) {
			t.Error("GNU tar leaves the inherited ACLs, this has removed them")
		}
	})
}

// flock locks a file or directory, as another process would.
func flock(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
}

// A lock that other users can hold does not block a run. The lock of another run does, and
// the error names that run.
func TestOthersLocks(t *testing.T) {
	for _, open := range []func(string) (*Target, error){OpenTarget, OpenMerge} {
		dir := t.TempDir()
		path, marker := filepath.Join(dir, "root"), filepath.Join(dir, ".root.incomplete")
		makeTree(t, dir, "root/")
		flock(t, dir)
		flock(t, path)
		target, err := open(path)
		if err != nil {
			t.Fatalf("others have locked the directory: %v", err)
		}
		info, err := os.Stat(marker)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the marker that is locked: %v, %v", info, err)
		}
		var busy *BusyError
		if _, err := open(path); !errors.Is(err, ErrBusy) || !errors.As(err, &busy) || busy.PID != os.Getpid() {
			t.Errorf("a second run: %v", err)
		}
		target.Close() // as after a kill
		if err := os.Chmod(marker, 0o644); err != nil {
			t.Fatal(err)
		}
		flock(t, marker)
		if target, err = open(path); err != nil {
			t.Fatalf("others have locked a marker that they may open: %v", err)
		}
		if _, err := target.Abort(); err != nil {
			t.Error(err)
		}
		target.Close()
		there(t, false, marker)

		// The same for a directory that is not empty.
		makeTree(t, path, "mine=1")
		if target, err = open(path); err != nil || target.IsEmpty() {
			t.Fatalf("others have locked a directory that holds something: %v", err)
		}
		target.Close()
		there(t, false, marker)
	}
}

// If no marker can be made, two runs in a directory that is closed to others still exclude
// each other.
func TestLockWithoutMarker(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "root")
	makeTree(t, dir, "root/", ".root.incomplete/")
	if err := os.Chmod(path, 0o700); err != nil {
		t.Fatal(err)
	}
	target, err := OpenTarget(path)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	if _, err := OpenTarget(path); !errors.Is(err, ErrBusy) {
		t.Errorf("a second run: %v", err)
	}
}

// The directory "/" has no parent, so a marker would be in the tree. None is made.
func TestNoMarkerInTheRoot(t *testing.T) {
	dir := t.TempDir()
	r, err := OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	parent, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	target := &Target{path: "/", name: "/", root: r, parent: parent, marker: marker{fd: -1}, old: oldPermissions{parentMode: noMode}}
	defer target.Close()
	if err := target.take(false); err != nil || !target.IsEmpty() {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("in the root there is %v", left)
	}
	if err := target.Commit(); err != nil {
		t.Error(err)
	}
}

// The parent directory, which a run closes to others, gets its mode back when the marker is
// removed, even after a kill.
func TestModeAround(t *testing.T) {
	for _, end := range []string{"commit", "abort", "killed, then commit", "killed, then abort", "killed, then opened by its path", "killed, then changed"} {
		dir := t.TempDir()
		makeTree(t, dir, "root/")
		if err := os.Chmod(dir, 0o751); err != nil {
			t.Fatal(err)
		}
		open := func() *Target {
			t.Helper()
			parent, err := os.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer parent.Close()
			target, err := OpenTargetAt(parent, "root", filepath.Join(dir, "root"))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			return target
		}
		want := os.FileMode(0o751)
		target := open()
		if how, ok := strings.CutPrefix(end, "killed, then "); ok {
			target.Close()
			switch how {
			case "opened by its path":
				var err error
				if target, err = OpenMerge(filepath.Join(dir, "root")); err != nil {
					t.Fatal(err)
				}
			case "changed":
				if want = 0o711; os.Chmod(dir, want) != nil {
					t.Fatal("chmod")
				}
				fallthrough
			default:
				target = open()
			}
			if got := target.ParentMode(); got != uint32(want) {
				t.Errorf("%s: %o is remembered", end, got)
			}
		}
		if strings.HasSuffix(end, "abort") {
			_, err := target.Abort()
			if err != nil {
				t.Error(err)
			}
		} else if err := target.Commit(); err != nil {
			t.Error(err)
		}
		target.Close()
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v (%v)", end, info.Mode(), err)
		}
	}
}

// Files that a user adds while an archive is merged stay, and so does everything else:
// nothing tells one from the other.
func TestFailedMergeRemovesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "root")
	makeTree(t, dir, "root/")
	target, err := OpenMerge(path)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	makeTree(t, path, "extracted=1", "thesis=mine")
	if removed, err := target.Abort(); removed != "" || err != nil {
		t.Errorf("removed %q, %v", removed, err)
	}
	if got := strings.Join(beside(t, path), " "); got != "extracted thesis" {
		t.Errorf("there is %q", got)
	}
	if got := strings.Join(beside(t, dir), " "); got != "root" {
		t.Errorf("beside it is %q", got)
	}
}

// This process's user owns another user's empty directory while a run fills it. After a
// failure that user owns it again.
func TestDirOfAnother(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make a directory of another user's")
	}
	const other = 54321
	owner := func(path string) uint32 {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			t.Fatal(err)
		}
		return st.Uid
	}
	path := filepath.Join(t.TempDir(), "root")
	for _, name := range []string{"", "mine"} {
		if err := os.MkdirAll(filepath.Join(path, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, other, other); err != nil {
			t.Fatal(err)
		}
		target, err := OpenTarget(path)
		if err != nil {
			t.Fatal(err)
		}
		want := uint32(os.Geteuid())
		if name != "" {
			want = other // it is not empty, so it is not taken over
		}
		if got := owner(path); got != want {
			t.Errorf("%q in it: meanwhile it is %d's", name, got)
		}
		if _, err := target.Abort(); err != nil {
			t.Error(err)
		}
		target.Close()
		if got := owner(path); got != other {
			t.Errorf("%q in it: after a failure it is %d's", name, got)
		}
		if name != "" {
			continue
		}
		// A run is killed, and the next run fails.
		if target, err = OpenTarget(path); err != nil {
			t.Fatal(err)
		}
		target.Close()
		if target, err = OpenTarget(path); err != nil {
			t.Fatal(err)
		}
		if _, err := target.Abort(); err != nil {
			t.Error(err)
		}
		target.Close()
		if got := owner(path); got != other {
			t.Errorf("after a kill and a failure it is %d's", got)
		}
		// If the archive has no entry for the root directory, its owner stays.
		if target, err = OpenTarget(path); err != nil {
			t.Fatal(err)
		}
		if err := target.Commit(); err != nil {
			t.Error(err)
		}
		target.Close()
		if got := owner(path); got != other {
			t.Errorf("after a success it is %d's", got)
		}
	}
}

// A directory that replaced the staging directory is not renamed.
func TestStagedOfAnother(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "root")
	target, err := OpenTarget(path)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	staged := target.grown()
	if err := errors.Join(os.Rename(staged, staged+"x"), os.Mkdir(staged, 0o755)); err != nil {
		t.Fatal(err)
	}
	makeTree(t, staged, "evil=1")
	if err := target.Commit(); !errors.Is(err, errReplaced) {
		t.Errorf("%v", err)
	}
	there(t, false, path)
	if _, err := target.Abort(); err != nil {
		t.Error(err)
	}
	there(t, true, filepath.Join(staged, "evil"))
}

func TestTarget(t *testing.T) {
	good := build(t, "x", nested...)
	bad := good[:len(good)-1024-200] // cut off in the last header
	run := func(t *testing.T, path string, archive []byte) (*Target, error) {
		target, err := OpenTarget(path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = target.Root().Extract(bytes.NewReader(archive), Options{})
		return target, err
	}
	for _, kind := range []string{"absent", "empty"} {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "root")
			if kind == "empty" {
				if err := os.Mkdir(path, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			before := strings.Join(beside(t, dir), " ")

			target, err := run(t, path, bad)
			if err == nil {
				t.Fatal("a cut archive was accepted")
			}
			if len(beside(t, dir)) != len(strings.Fields(before))+1 {
				t.Errorf("while it goes on there is %q", beside(t, dir))
			}
			if _, err := target.Abort(); err != nil {
				t.Fatal(err)
			}
			target.Close()
			if got := strings.Join(beside(t, dir), " "); got != before {
				t.Errorf("after a failure there is %q, before %q", got, before)
			}

			// Killed in the middle: nothing is closed or removed.
			if target, err = run(t, path, bad); err == nil {
				t.Fatal("a cut archive was accepted")
			}
			target.Close()

			target, err = run(t, path, good)
			if err != nil {
				t.Fatal(err)
			}
			if len(beside(t, dir)) != len(strings.Fields(before))+1 {
				t.Errorf("the killed run left something: %q", beside(t, dir))
			}
			if _, err := OpenTarget(path); !errors.Is(err, ErrBusy) {
				t.Errorf("a second run at the same time: %v", err)
			}
			if (target.Recovered() != "") != (kind == "empty") {
				t.Errorf("recovered: %q", target.Recovered())
			}
			if err := target.Commit(); err != nil {
				t.Fatal(err)
			}
			target.Close()
			if got := beside(t, path); strings.Join(got, " ") != "dev etc" {
				t.Errorf("tree has %q", got)
			}
			for _, name := range beside(t, dir) {
				if strings.HasSuffix(name, ".incomplete") {
					t.Errorf("%s is left", name)
				}
			}
		})
	}
	t.Run("holds something", func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "root")
		makeTree(t, path, "mine=1")
		target, err := run(t, path, bad)
		if err == nil {
			t.Fatal("a cut archive was accepted")
		}
		if _, err := target.Abort(); err != nil {
			t.Fatal(err)
		}
		target.Close()
		if _, err := os.Lstat(filepath.Join(path, "mine")); err != nil {
			t.Error(err)
		}
		if got := beside(t, dir); len(got) != 1 {
			t.Errorf("beside the directory is %q", got)
		}
	})
	t.Run("removed and made anew", func(t *testing.T) {
		// The new directory may get the inode number of the old one.
		dir := t.TempDir()
		path := filepath.Join(dir, "root")
		makeTree(t, filepath.Dir(path), "root/")
		target, err := run(t, path, bad)
		if err == nil {
			t.Fatal("a cut archive was accepted")
		}
		target.Close()
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		makeTree(t, path, "mine=1")
		if target, err = OpenTarget(path); err != nil {
			t.Fatal(err)
		}
		if target.IsEmpty() || target.Recovered() != "" {
			t.Error("it was emptied")
		}
		target.Close()
		// When the directory is empty, the old marker is reused.
		if err := os.Remove(filepath.Join(path, "mine")); err != nil {
			t.Fatal(err)
		}
		if target, err = run(t, path, good); err != nil {
			t.Fatal(err)
		}
		if err := target.Commit(); err != nil {
			t.Fatal(err)
		}
		target.Close()
		if got := beside(t, dir); len(got) != 1 {
			t.Errorf("beside the directory is %q", got)
		}
	})
	t.Run("the mode comes back", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "root")
		makeTree(t, filepath.Dir(path), "root/")
		if err := os.Chmod(path, 0o751); err != nil {
			t.Fatal(err)
		}
		target, err := OpenTarget(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := target.Root().Extract(bytes.NewReader(bad), Options{DeferRoot: true}); err == nil {
			t.Fatal("a cut archive was accepted")
		}
		target.Close()
		if target, err = OpenTarget(path); err != nil {
			t.Fatal(err)
		}
		if _, err := target.Abort(); err != nil {
			t.Fatal(err)
		}
		target.Close()
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o751 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
	})
	t.Run("something came to be there", func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "root")
		target, err := run(t, path, good)
		if err != nil {
			t.Fatal(err)
		}
		if target.grown() == path || filepath.Dir(target.grown()) != dir {
			t.Errorf("it grows at %q", target.grown())
		}
		makeTree(t, filepath.Dir(path), "root/")
		if err := target.Commit(); !errors.Is(err, fs.ErrExist) {
			t.Errorf("commit over a new directory: %v", err)
		}
		if _, err := target.Abort(); err != nil {
			t.Error(err)
		}
		if got := beside(t, dir); len(got) != 1 || len(beside(t, path)) != 0 {
			t.Errorf("beside the directory is %q, in it %q", got, beside(t, path))
		}
	})
	t.Run("killed before the marker was written", func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "root")
		makeTree(t, dir, "root/", ".root.incomplete=")
		target, err := run(t, path, good)
		if err != nil {
			t.Fatal(err)
		}
		if err := target.Commit(); err != nil {
			t.Fatal(err)
		}
		target.Close()
		if got := beside(t, dir); len(got) != 1 {
			t.Errorf("beside the directory is %q", got)
		}
	})
	t.Run("names that only look like ours", func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "root")
		makeTree(t, dir, "root/", ".root.incomplete=mine", ".root.partial-/", ".root.partial-notes/a=1", ".root.partial-1y/")
		target, err := run(t, path, good)
		if err != nil {
			t.Fatal(err)
		}
		if err := target.Commit(); err != nil {
			t.Fatal(err)
		}
		target.Close()
		if target, err = run(t, path+"2", good); err != nil {
			t.Fatal(err)
		}
		if _, err := target.Abort(); err != nil {
			t.Fatal(err)
		}
		target.Close()
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		if target, err = run(t, path, good); err != nil {
			t.Fatal(err)
		}
		if err := target.Commit(); err != nil {
			t.Fatal(err)
		}
		target.Close()
		if got := beside(t, dir); len(got) != 5 {
			t.Errorf("there is %q", got)
		}
		if text, err := os.ReadFile(filepath.Join(dir, ".root.incomplete")); string(text) != "mine" {
			t.Errorf("%q, %v", text, err)
		}
	})
	t.Run("a link that leads nowhere", func(t *testing.T) {
		dir := t.TempDir()
		makeTree(t, dir, "root->nowhere")
		if _, err := OpenTarget(filepath.Join(dir, "root")); !errors.Is(err, fs.ErrExist) {
			t.Error(err)
		}
	})
	t.Run("a marker for another directory", func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "root")
		makeTree(t, path, "mine=1")
		makeTree(t, dir, ".root.incomplete=lxc-pull: incomplete: inode 1 generation 0 on device 1, mode 755\n")
		target, err := run(t, path, good)
		if err != nil {
			t.Fatal(err)
		}
		if err := target.Commit(); err != nil {
			t.Fatal(err)
		}
		target.Close()
		if _, err := os.Lstat(filepath.Join(path, "mine")); err != nil {
			t.Error(err)
		}
	})
}

// beside lists the names in a directory.
func beside(t *testing.T, dir string) []string {
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, n := range names {
		list = append(list, n.Name())
	}
	return list
}
