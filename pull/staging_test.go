package pull

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/lxc"
	"lxc-pull/untar"
)

// A container's directory whose root file system holds something that no marker
// proves to be an interrupted run's stays, and no descriptor is left open.
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
	r := &run{tell: into(new(strings.Builder))}
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
	r := &run{tell: into(&said)}
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

// An error is one line, however many it is made of.
func TestLeftErrorIsOneLine(t *testing.T) {
	err := &LeftError{errors.New("a"), errors.Join(errors.New("b"), errors.New("c"))}
	if got := err.Error(); strings.Contains(got, "\n") || !strings.HasSuffix(got, "b; c") {
		t.Errorf("%q", got)
	}
}

// A directory that was there has its own mode, and the container's owner, before the
// marker goes: a kill in between would leave a complete container closed for ever.
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
	p, err := (&run{target: target, tell: into(new(strings.Builder))}).stageExisting()
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
