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

// A Caller is the process that runs this program as a template and waits for it:
// lxc-create, or lxc-usernsexec on behalf of lxc-create. When the template fails, lxc-create
// removes the container's directory. If lxc-create is dead, nobody does, and because of the
// directory LXC says "Container already exists" until somebody removes it.
//
// getppid(2) shows that the parent died. PR_SET_PDEATHSIG is of no use here: the signal comes
// when the parent's thread ends, and is lost when the thread of this process that asked for
// it ends. In a user namespace the parent is lxc-usernsexec, which outlives lxc-create;
// there the lock shows whether lxc-create lives: it holds the file "partial" in the
// container's directory locked (lxccontainer.c, create_partial).
type Caller struct {
	_         [0]func() // forbids ==, whose code nothing needs
	parent    int       // the process that waits
	path      string    // of the container's directory
	directory *os.File  // the container's directory; nil: it does not exist
	partial   *os.File  // lxc-create's lock file; nil: there is none, so only parent is watched
}

// partialName is the name of lxc-create's lock file: LXC's LXC_PARTIAL_FNAME.
const partialName = "partial"

// Parent returns a Caller of which only the parent process is watched: lxc-usernsexec, which
// started this process in another user namespace.
func Parent() *Caller { return &Caller{parent: os.Getppid()} }

// CallerOf returns the Caller that wants a container in the directory at path. If the directory
// has no lock file, or the lock file can't be opened, only the parent process is watched.
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
	if info, err := w.partial.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > 0 { // LXC's lock file is empty
		w.partial.Close()
		w.partial = nil
	}
	return w
}

// IgnoreUnheldLock makes w ignore a lock file that nobody holds, unless something else also says that
// lxc-create is dead: this process was orphaned, or lxc-usernsexec is its parent. Otherwise
// another program may have called the template as lxc-create does, in a directory with a file
// "partial" that it never locks.
func (w *Caller) IgnoreUnheldLock() {
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

// Close closes the files of the Caller.
func (w *Caller) Close() {
	for _, f := range []*os.File{w.directory, w.partial} {
		if f != nil {
			f.Close()
		}
	}
}

// own reports whether the container's directory belongs to this user and is not writable for
// others, so that nobody else can change what is in it.
func (w *Caller) own() bool {
	info, err := w.directory.Stat()
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Uid == uint32(os.Geteuid()) && info.Mode()&0o002 == 0
}

// creates reports whether lxc-create lives and holds its lock; true also if that can't be
// found out. LXC makes and locks the file before it calls the template, and removes it
// afterwards, so that a file without a lock belongs to a lxc-create that is dead.
func (w *Caller) creates() bool {
	fd := int(w.partial.Fd())
	held := unix.Flock_t{Type: unix.F_WRLCK}
	err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_GETLK, &held)
	if err == unix.EINVAL { // Linux before 3.15 has no F_OFD_GETLK; there LXC uses flock(2)
		if err = unix.Flock(fd, unix.LOCK_SH|unix.LOCK_NB); err == nil {
			unix.Flock(fd, unix.LOCK_UN)
			return false
		}
	}
	return err != nil || held.Type != unix.F_UNLCK
}

// dead reports whether lxc-create called this program and has died.
func (w *Caller) dead() bool { return w.partial != nil && !w.creates() }

// ended reports whether the process that waited has ended.
func (w *Caller) ended() bool { return os.Getppid() != w.parent || w.dead() }

// callerPoll is the time between two looks at the caller, of two system calls each.
const callerPoll = 100 * time.Millisecond

// errCallerEnded is the reason for which a run ends when lxc-create has died.
var errCallerEnded error = callerEndedError{}

type callerEndedError struct{}

func (callerEndedError) Error() string { return "the calling process has ended" }

// Is makes the error count as an interruption.
func (callerEndedError) Is(target error) bool { return target == context.Canceled }

// Watch returns a context that is done when ctx is, or when the caller has ended.
func (w *Caller) Watch(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if w.ended() {
		cancel(errCallerEnded)
	}
	go func() {
		tick := time.NewTicker(callerPoll)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if w.ended() {
					cancel(errCallerEnded)
					return
				}
			}
		}
	}()
	return ctx, func() { cancel(nil) }
}

// callerGrace is how long lxc-create may take to die of the signal that ended the template:
// a terminal sends the signal to both.
const callerGrace = time.Second

// RemoveContainer removes the container's directory on behalf of an lxc-create that is dead.
// It removes by name the files that LXC and the template put into the directory, and then
// the directory if nothing else is in it. The root file system must be empty. If
// interrupted is true, RemoveContainer first waits up to callerGrace for lxc-create to die.
// If lxc-create lives, RemoveContainer does nothing: removing is then the task of
// lxc-create, and the container may belong to another lxc-create by now.
func (w *Caller) RemoveContainer(interrupted bool) error {
	if w.partial == nil {
		return nil
	}
	for end := time.Now().Add(callerGrace); !w.dead(); time.Sleep(callerPoll / 10) {
		if !interrupted || time.Now().After(end) {
			return nil
		}
	}
	// The lock keeps a new lxc-create of the same name from using the directory meanwhile.
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	err := unix.FcntlFlock(w.partial.Fd(), unix.F_OFD_SETLK, &lock)
	if err == unix.EINVAL {
		err = unix.Flock(int(w.partial.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	dir := int(w.directory.Fd())
	if err != nil || !leadsTo(dir, partialName, w.partial) {
		return nil // another lxc-create has the directory
	}
	if err := untar.RemoveDir(dir, rootfsName); err != nil {
		return &fs.PathError{Op: "remove", Path: filepath.Join(w.path, rootfsName), Err: err}
	}
	names := []string{RecordFile, "fstab", "config", partialName} // partial last: without it the rest looks like a container
	for _, name := range containerFiles {
		names = append([]string{newName(name), oldName(name)}, names...)
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
			err = nil // the files that are left are neither LXC's nor this program's
		}
	}
	return err
}

// leadsTo reports whether a name in dir is still the open file f.
func leadsTo(dir int, name string, f *os.File) bool {
	var there, open unix.Stat_t
	return unix.Fstatat(dir, name, &there, unix.AT_SYMLINK_NOFOLLOW) == nil && unix.Fstat(int(f.Fd()), &open) == nil &&
		there.Dev == open.Dev && there.Ino == open.Ino
}

// unlink removes a file; it is no error if the file does not exist.
func unlink(dir int, name string) error {
	err := unix.Unlinkat(dir, name, 0)
	if err == unix.ENOENT {
		return nil
	}
	return err
}

// removeInterrupted removes an incomplete container that lxc-create left at path when it was
// killed together with the template; LXC would take it for a complete one. It reports
// whether the container was removed; any other container stays as it is.
func (r *run) removeInterrupted(path string) bool {
	w := CallerOf(path)
	defer w.Close()
	// Another user can change a directory of his own while this run looks at it. Removing
	// such a container is left to lxc-destroy.
	if !w.dead() || !w.own() || !configNamesRootfs(&directory{file: w.directory, path: path}) {
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
	r.warn("leftover", "%q was a container that lxc-create had begun when it was killed; it was removed first", path)
	return true
}

// configNamesRootfs reports whether the config in a container's directory says that the root
// file system is the directory's rootfs; true also if there is no config yet. An empty
// rootfs alone does not say so: it may be a mount point.
func configNamesRootfs(f *directory) bool {
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
