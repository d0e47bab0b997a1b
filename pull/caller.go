package pull

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/lxc"
	"lxc-pull/untar"
)

// A Caller is the process that called the template and waits for it: lxc-create,
// or lxc-usernsexec on its behalf. Whoever waits removes the container's directory
// when the template fails; when lxc-create is dead nobody would, and the directory
// that stays makes LXC say "Container already exists" for ever.
//
// The parent's death shows in getppid(2); PR_SET_PDEATHSIG would come at the end
// of the parent's thread, and be lost with the thread of ours that asked for it.
// In a user namespace the parent is lxc-usernsexec, which outlives lxc-create.
// That one's life shows in the file "partial" in the container's directory, which
// it holds locked (lxccontainer.c, create_partial).
type Caller struct {
	parent    int      // the process that waits
	path      string   // the container's directory
	directory *os.File // that, opened; nil: not there
	partial   *os.File // lxc-create's; nil: called by something else
}

// partialName is LXC's LXC_PARTIAL_FNAME.
const partialName = "partial"

// Parent returns a Caller of which nothing but the process is watched: that of
// lxc-usernsexec, which started this process in another user namespace.
func Parent() *Caller { return &Caller{parent: os.Getppid()} }

// CallerOf finds out who called for a container in the directory at path. Where the
// lock can't be looked at, nothing but the parent is watched.
func CallerOf(path string) *Caller {
	w := &Caller{parent: os.Getppid(), path: filepath.Clean(path)}
	directory, err := os.OpenFile(w.path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return w
	}
	w.directory = directory
	fd, err := unix.Openat(int(directory.Fd()), partialName, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return w
	}
	w.partial = os.NewFile(uintptr(fd), partialName)
	if info, err := w.partial.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > 0 { // LXC's is empty
		w.partial.Close()
		w.partial = nil
	}
	return w
}

// Doubt forgets the lock where nothing but its absence speaks of a lxc-create
// that is dead: something else may have called as lxc-create calls, with a file
// of that name that it does not lock. What speaks for it is that the caller's
// process was orphaned, or that lxc-usernsexec waits for us.
func (w *Caller) Doubt() {
	if !w.dead() || w.parent == 1 {
		return
	}
	comm, err := os.ReadFile("/proc/" + strconv.Itoa(w.parent) + "/comm")
	if err == nil && string(comm) == "lxc-usernsexec\n" {
		return
	}
	w.partial.Close()
	w.partial = nil
}

// Close ends the use of the Caller.
func (w *Caller) Close() {
	for _, f := range []*os.File{w.directory, w.partial} {
		if f != nil {
			f.Close()
		}
	}
}

// own reports whether the container's directory is this user's, so that nobody else
// can change what is in it.
func (w *Caller) own() bool {
	info, err := w.directory.Stat()
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Uid == uint32(os.Geteuid()) && info.Mode()&0o002 == 0
}

// creates reports whether lxc-create lives and holds its lock. Not to know means
// that it does. Its file without a lock is a dead one's: LXC makes and locks it
// before it calls, and removes it afterwards.
func (w *Caller) creates() bool {
	fd := int(w.partial.Fd())
	held := unix.Flock_t{Type: unix.F_WRLCK}
	err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_GETLK, &held)
	if err == unix.EINVAL { // before Linux 3.15; there LXC takes the other kind of lock
		if err = unix.Flock(fd, unix.LOCK_SH|unix.LOCK_NB); err == nil {
			unix.Flock(fd, unix.LOCK_UN)
			return false
		}
	}
	return err != nil || held.Type != unix.F_UNLCK
}

// dead reports whether lxc-create called and is no more.
func (w *Caller) dead() bool { return w.partial != nil && !w.creates() }

// gone reports whether nobody waits any more.
func (w *Caller) gone() bool { return os.Getppid() != w.parent || w.dead() }

// callerPoll is how often the caller is looked for: two system calls.
const callerPoll = 100 * time.Millisecond

// errCallerGone is why a creation was ended when nobody waits for it.
var errCallerGone error = callerGoneError{}

type callerGoneError struct{}

func (callerGoneError) Error() string { return "lxc-create is gone" }

// Is makes it an interruption.
func (callerGoneError) Is(target error) bool { return target == context.Canceled }

// Watch returns a context that ends when the caller is gone.
func (w *Caller) Watch(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if w.gone() {
		cancel(errCallerGone)
	}
	go func() {
		tick := time.NewTicker(callerPoll)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if w.gone() {
					cancel(errCallerGone)
					return
				}
			}
		}
	}()
	return ctx, func() { cancel(nil) }
}

// callerGrace is how long lxc-create may take to die of the signal that ended
// the template: a terminal sends it to both.
const callerGrace = time.Second

// RemoveContainer removes the container's directory on behalf of a lxc-create that
// is dead: what LXC and the template put into it, by name, and the directory where
// nothing else is in it. The root file system must be empty. interrupted lets
// lxc-create have a moment to die. While it lives, nothing is done, since that
// is its own task, and since it may be another one's by now.
func (w *Caller) RemoveContainer(interrupted bool) error {
	if w.partial == nil {
		return nil
	}
	for end := time.Now().Add(callerGrace); !w.dead(); time.Sleep(callerPoll / 10) {
		if !interrupted || time.Now().After(end) {
			return nil
		}
	}
	// The lock tells a new lxc-create of the same name that the container is
	// not there for the taking yet.
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	err := unix.FcntlFlock(w.partial.Fd(), unix.F_OFD_SETLK, &lock)
	if err == unix.EINVAL {
		err = unix.Flock(int(w.partial.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	dir := int(w.directory.Fd())
	if err != nil || !leadsTo(dir, partialName, w.partial) {
		return nil // somebody else takes care of it
	}
	if err := untar.RemoveDir(dir, rootfsName); err != nil {
		return &fs.PathError{Op: "remove", Path: filepath.Join(w.path, rootfsName), Err: err}
	}
	names := []string{"fstab", "config", partialName} // partial last: it says what the rest is
	for _, name := range containerFiles {
		names = append([]string{asideName(name), beforeName(name)}, names...)
	}
	for _, name := range names {
		if err := unlink(dir, name); err != nil {
			return &fs.PathError{Op: "remove", Path: filepath.Join(w.path, name), Err: err}
		}
	}
	parent, err := os.Open(filepath.Dir(w.path))
	if err != nil {
		return err
	}
	defer parent.Close()
	if leadsTo(int(parent.Fd()), filepath.Base(w.path), w.directory) {
		err = untar.RemoveDir(int(parent.Fd()), filepath.Base(w.path))
		if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) {
			err = nil // what is left is not ours, and in nobody's way
		}
	}
	return err
}

// leadsTo reports whether a name in dir is still the file that f is.
func leadsTo(dir int, name string, f *os.File) bool {
	var there, open unix.Stat_t
	return unix.Fstatat(dir, name, &there, unix.AT_SYMLINK_NOFOLLOW) == nil && unix.Fstat(int(f.Fd()), &open) == nil &&
		there.Dev == open.Dev && there.Ino == open.Ino
}

// unlink removes a file; a name that is not there is no error.
func unlink(dir int, name string) error {
	err := unix.Unlinkat(dir, name, 0)
	if err == unix.ENOENT {
		return nil
	}
	return err
}

// removeInterrupted removes a container that a lxc-create left half-made when it was
// killed together with the template: LXC takes it for a whole one. It reports whether
// the container is gone; any other container stays as it is.
func (r *run) removeInterrupted(path string) bool {
	w := CallerOf(path)
	defer w.Close()
	// What is in another user's directory may change while it is looked at. Root
	// leaves that to lxc-destroy.
	if !w.dead() || !w.own() || !beganHere(&directory{w.directory, path}) {
		return false
	}
	target, err := untar.OpenTargetAt(w.directory, rootfsName, filepath.Join(path, rootfsName))
	if err != nil {
		return false
	}
	defer target.Close()
	if !target.IsEmpty() {
		return false
	}
	if _, err = target.Abort(); err == nil {
		err = w.RemoveContainer(false)
	}
	if _, there := os.Lstat(path); err != nil || there == nil {
		return false
	}
	r.warnf("%q was a container that lxc-create had begun when it was killed; it was removed first", path)
	return true
}

// beganHere reports whether the config in a container's directory, where there is one
// yet, is that of a container whose root file system is to be in the directory. An
// empty "rootfs" alone is no sign of that: so looks a mount point.
func beganHere(f *directory) bool {
	config, _, err := f.read("config")
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	loaded, bad := lxc.CheckLoads(config)
	if err != nil || bad != nil || len(loaded.Rootfs) == 0 {
		return false
	}
	_, value, _ := strings.Cut(loaded.Rootfs[len(loaded.Rootfs)-1], "=")
	kind, dir, ok := strings.Cut(strings.Trim(value, " \t"), ":")
	return ok && (kind == "dir" || kind == "btrfs") && filepath.Clean(dir) == filepath.Join(f.path, rootfsName)
}
