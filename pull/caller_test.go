package pull

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// begin makes the files that lxc-create makes before it calls a template. The lock of
// lxc-create is held until creator is closed.
func begin(t *testing.T, path string, more ...string) (creator *os.File) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(path, "rootfs"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(more, "config") {
		if err := os.WriteFile(filepath.Join(path, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	creator, err := os.OpenFile(filepath.Join(path, partialName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.FcntlFlock(creator.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		t.Fatal(err)
	}
	return creator
}

func TestContainerOfADeadCreator(t *testing.T) {
	there := func(path ...string) bool {
		_, err := os.Lstat(filepath.Join(path...))
		return err == nil
	}
	t.Run("it lives", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "web")
		creator := begin(t, path)
		w := CallerOf(path)
		defer w.Close()
		if w.dead() || w.ended() {
			t.Error("a living one is taken for dead")
		}
		if err := w.RemoveContainer(true); err != nil || !there(path, "config") || !there(path, "rootfs") {
			t.Errorf("its container was touched (%v)", err)
		}
		creator.Close()
	})
	t.Run("it dies", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "web")
		creator := begin(t, path, "fstab", newName("config"), oldName("config"), oldName("fstab"))
		w := CallerOf(path)
		defer w.Close()
		ctx, stop := w.Watch(context.Background())
		defer stop()
		if ctx.Err() != nil {
			t.Fatal("the watch is over while it lives")
		}
		creator.Close()
		<-ctx.Done()
		if why := context.Cause(ctx); !errors.Is(why, errCallerEnded) || !errors.Is(why, context.Canceled) {
			t.Errorf("the reason is %v", why)
		}
		if err := w.RemoveContainer(true); err != nil || there(path) {
			t.Errorf("the container is there: %v, %v", there(path), err)
		}
	})
	t.Run("it was dead before", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "web")
		begin(t, path).Close()
		w := CallerOf(path)
		defer w.Close()
		ctx, stop := w.Watch(context.Background())
		defer stop()
		if ctx.Err() == nil {
			t.Error("the watch goes on")
		}
		if err := w.RemoveContainer(false); err != nil || there(path) {
			t.Errorf("the container is there: %v, %v", there(path), err)
		}
	})
	t.Run("it never locked", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "web")
		begin(t, path).Close()
		w := CallerOf(path)
		defer w.Close()
		w.IgnoreUnheldLock() // the parent is the go command
		if w.dead() || w.ended() {
			t.Error("a caller that locks nothing is taken for dead")
		}
		if err := w.RemoveContainer(true); err != nil || !there(path, "config") {
			t.Errorf("its container was touched (%v)", err)
		}
	})
	t.Run("something else is there", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "web")
		begin(t, path, "precious").Close()
		w := CallerOf(path)
		defer w.Close()
		if err := w.RemoveContainer(false); err != nil || !there(path, "precious") || there(path, "config") || there(path, partialName) {
			t.Errorf("not right: %v", err)
		}
	})
	t.Run("the rootfs is not empty", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "web")
		begin(t, path, "rootfs/precious").Close()
		w := CallerOf(path)
		defer w.Close()
		if err := w.RemoveContainer(false); !errors.Is(err, unix.ENOTEMPTY) || !there(path, "config") || !there(path, partialName) {
			t.Errorf("not right: %v", err)
		}
	})
	t.Run("another one has begun", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "web")
		begin(t, path).Close()
		w := CallerOf(path)
		defer w.Close()
		if err := os.Rename(path, path+".gone"); err != nil {
			t.Fatal(err)
		}
		creator := begin(t, path)
		defer creator.Close()
		if err := w.RemoveContainer(false); err != nil || !there(path, "config") || !there(path, partialName) || !there(path, "rootfs") {
			t.Errorf("the new one's container was touched (%v)", err)
		}
	})
	t.Run("nobody", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "web")
		begin(t, path).Close()
		if err := os.Remove(filepath.Join(path, partialName)); err != nil {
			t.Fatal(err)
		}
		w := CallerOf(path)
		defer w.Close()
		if err := w.RemoveContainer(true); err != nil || w.dead() || !there(path, "config") {
			t.Errorf("a person's directory was touched (%v)", err)
		}
	})
}
