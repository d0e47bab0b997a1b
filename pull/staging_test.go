package pull

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/lxc"
	"lxc-pull/untar"
)

// A container's directory stays if its root file system is not empty and no marker proves
// that an interrupted run filled it. No descriptor is left open.
func TestRemoveInterruptedLeavesOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c")
	if err := os.MkdirAll(filepath.Join(path, "rootfs/mine"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"config", partialName} {
		if err := os.WriteFile(filepath.Join(path, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		return len(entries)
	}
	r := &run{opt: Options{Tell: into(new(strings.Builder))}}
	before := open()
	if r.removeInterrupted(path) {
		t.Error("it was removed")
	}
	if now := open(); now != before {
		t.Errorf("%d descriptors, %d before", now, before)
	}
	if _, err := os.Stat(filepath.Join(path, "rootfs/mine")); err != nil {
		t.Error(err)
	}
}

// The wait for another run in the same directory ends, and its process is named.
func TestWaitBusyEnds(t *testing.T) {
	var said strings.Builder
	r := &run{opt: Options{Tell: into(&said)}}
	busy := &fs.PathError{Op: "fill", Path: "/r", Err: &untar.BusyError{PID: 12}}
	calls := 0
	err := r.waitBusy(t.Context(), 2*callerPoll, func() error { calls++; return busy })
	if !errors.Is(err, untar.ErrBusy) || !strings.Contains(err.Error(), "process 12") || !strings.Contains(err.Error(), "waited") || calls != 3 {
		t.Errorf("after %d calls: %v", calls, err)
	}
	if strings.Count(said.String(), "process 12") != 1 {
		t.Errorf("said: %q", &said)
	}
	if err := r.waitBusy(t.Context(), 0, func() error { return busy }); err != error(busy) {
		t.Errorf("without a wait: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.waitBusy(ctx, time.Hour, func() error { return busy }); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// An error is printed as one line, even if it joins several errors.
func TestLeftErrorIsOneLine(t *testing.T) {
	err := &LeftError{Err: errors.New("a"), Left: errors.Join(errors.New("b"), errors.New("c"))}
	if got := err.Error(); strings.Contains(got, "\n") || !strings.HasSuffix(got, "b; c") {
		t.Errorf("%q", got)
	}
}

// An existing directory gets its mode back, and the container's owner, before the marker is
// removed: otherwise a kill in between would leave a complete container closed for ever.
func TestDirIsOpenBeforeTheMarkerGoes(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, rootfsName), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o751); err != nil {
		t.Fatal(err)
	}
	owner := &[2]uint32{uint32(os.Geteuid()), uint32(os.Getegid())}
	if owner[0] == 0 {
		owner = &[2]uint32{4242, 4243}
	}
	target := Target{Container: lxc.Container{Path: dir, Rootfs: filepath.Join(dir, rootfsName)}, Owner: Owner{UID: -1, GID: -1, Dir: owner}}
	p, err := (&run{target: target, opt: Options{Tell: into(new(strings.Builder))}}).stageExisting()
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	mode := func() os.FileMode {
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	if mode() != 0o700 {
		t.Errorf("while it grows the directory has mode %o", mode())
	}
	// A directory in the place of the marker can't be removed as a file.
	marker := filepath.Join(dir, rootfsMarker)
	if err := os.Remove(marker); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(marker, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := p.commit(nil); err == nil {
		t.Error("the marker stays, and it is no error")
	}
	if mode() != 0o751 {
		t.Errorf("with the marker there the directory has mode %o", mode())
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil || st.Uid != owner[0] || st.Gid != owner[1] {
		t.Errorf("with the marker there the directory belongs to %d:%d (%v)", st.Uid, st.Gid, err)
	}
}

// Which directories a new container is made in, and what a failure leaves of them.
func TestStageExisting(t *testing.T) {
	put := func(names ...string) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o751); err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				if dir, ok := strings.CutSuffix(name, "/"); ok {
					if err := os.MkdirAll(filepath.Join(path, dir), 0o755); err != nil {
						t.Fatal(err)
					}
					continue
				}
				writeFile(t, filepath.Join(path, name), []byte("mine"))
			}
		}
	}
	for _, test := range []struct {
		name string
		put  func(t *testing.T, path string)
		ok   bool
	}{
		{"an empty directory", put(), true},
		{"an empty rootfs in it", put("rootfs/"), true},
		{"a file system's own directory", put("lost+found/"), true},
		{"a container", put("config", "rootfs/"), false},
		{"a file of somebody's", put("mine"), false},
		{"a rootfs that holds something", put("rootfs/mine"), false},
		{"a file", func(t *testing.T, path string) { writeFile(t, path, nil) }, false},
		{"a link that leads nowhere", func(t *testing.T, path string) {
			if err := os.Symlink("nowhere", path); err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			lxcPath := t.TempDir()
			target := newContainer(t, lxcPath)
			test.put(t, target.Container.Path)
			before := below(t, lxcPath)
			s, err := (&run{target: target, opt: Options{Tell: into(new(strings.Builder))}}).stage(t.Context())
			if (err == nil) != test.ok || !test.ok && KindOf(err) != Exists {
				t.Fatalf("%v", err)
			}
			if err == nil {
				writeFile(t, filepath.Join(target.Container.Rootfs, "new"), nil)
				failed := errors.New("failed")
				if err := s.abandon(failed); err != failed {
					t.Errorf("abandon: %v", err)
				}
			}
			if after := below(t, lxcPath); after != before {
				t.Errorf("left:\n%swas:\n%s", after, before)
			}
		})
	}
}

// A directory for a root file system alone must be empty, and what a killed run left in it
// is removed.
func TestStageRootfsAlone(t *testing.T) {
	dir := t.TempDir()
	target := Target{Container: lxc.Container{Name: "web", Path: dir, Rootfs: filepath.Join(dir, "root")}, RootfsOnly: true, Owner: Owner{UID: -1, GID: -1}}
	if err := os.Mkdir(target.Container.Rootfs, 0o755); err != nil { // an absent one would grow under another name
		t.Fatal(err)
	}
	var heard strings.Builder
	r := &run{target: target, opt: Options{Tell: into(&heard)}}
	killed, err := r.stage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.stage(t.Context()); !errors.Is(err, untar.ErrBusy) {
		t.Errorf("two runs in one directory: %v", err)
	}
	writeFile(t, filepath.Join(dir, "root", "half"), nil)
	killed.close() // as the kernel does
	s, err := r.stage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if empty, err := s.root.IsEmpty(); !empty || err != nil || !strings.Contains(heard.String(), "it was emptied first") {
		t.Errorf("empty %v, %v; %s", empty, err, &heard)
	}
	if err := s.abandon(errCallerEnded); err != errCallerEnded {
		t.Error(err)
	}
	writeFile(t, filepath.Join(dir, "root", "mine"), nil)
	if _, err := r.stage(t.Context()); KindOf(err) != NotEmpty {
		t.Errorf("somebody's file: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "root", "mine")); err != nil {
		t.Error(err)
	}
}

// What a killed run of the template changed in the container's directory is undone by the
// next one.
func TestStageAfterAKill(t *testing.T) {
	target := newContainer(t, t.TempDir())
	target.MakeDir = false
	path := target.Container.Path
	writeFile(t, filepath.Join(path, "config"), target.BaseConfig)
	if err := os.Mkdir(target.Container.Rootfs, 0o755); err != nil {
		t.Fatal(err)
	}
	before := below(t, path)
	r := &run{target: target, opt: Options{Tell: into(new(strings.Builder))}}
	killed, err := r.stage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range containerFiles {
		if err := replace(killed.directory, edit{name: name, mode: 0o644, keep: true, uid: -1, gid: -1, content: after}); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, filepath.Join(target.Container.Rootfs, "half"), nil)
	killed.close()
	s, err := r.stage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Restored before this run reads the config, not only when it fails.
	if config, err := os.ReadFile(filepath.Join(path, "config")); string(config) != string(target.BaseConfig) {
		t.Errorf("%q, %v", config, err)
	}
	if err := s.abandon(errMerged); err != errMerged {
		t.Error(err)
	}
	if now := below(t, path); now != before {
		t.Errorf("left:\n%swas:\n%s", now, before)
	}
}

// A container that is complete when nobody waits for it any more is an error.
func TestCommitForNobody(t *testing.T) {
	target := newContainer(t, t.TempDir())
	s, err := (&run{target: target, opt: Options{Tell: into(new(strings.Builder))}}).stage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.commit(&Caller{parent: -1}); err != errCallerEnded || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if err := s.abandon(errCallerEnded); err != errCallerEnded {
		t.Error(err)
	}
	if names, err := os.ReadDir(filepath.Dir(target.Container.Path)); len(names) > 0 || err != nil {
		t.Errorf("left %v, %v", names, err)
	}
}

// Another user's directory can't become a container, unless the container's root is mapped to
// that user.
func TestStageOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	for _, test := range []struct {
		name      string
		directory int // owners
		rootfs    int
		ok        bool
	}{
		{"root's", 0, 0, true}, {"another's", 4242, 0, false}, {"another's rootfs", 0, 4242, false}, {"the container's rootfs", 0, 4343, true},
	} {
		target := newContainer(t, t.TempDir())
		target.Owner.Dir = &[2]uint32{4343, 4343}
		path := target.Container.Path
		if err := os.MkdirAll(target.Container.Rootfs, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, uid := range map[string]int{path: test.directory, target.Container.Rootfs: test.rootfs} {
			if err := os.Chown(name, uid, uid); err != nil {
				t.Skip(err)
			}
		}
		s, err := (&run{target: target, opt: Options{Tell: into(new(strings.Builder))}}).stage(t.Context())
		if (err == nil) != test.ok || err != nil && KindOf(err) != Exists {
			t.Errorf("%s: %v", test.name, err)
		}
		if err == nil {
			s.abandon(err)
		}
		for name, uid := range map[string]int{path: test.directory, target.Container.Rootfs: test.rootfs} {
			info, err := os.Stat(name)
			if err != nil || info.Sys().(*syscall.Stat_t).Uid != uint32(uid) {
				t.Errorf("%s: %q has another owner, or %v", test.name, name, err)
			}
		}
	}
}
