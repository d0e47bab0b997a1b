package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/lxc"
	"lxc-pull/untar"
)

// A staging is where a container, or a root file system alone, grows until all of it
// is there. Nothing looks complete before, and whatever ends the run before leaves
// nothing. What a kill leaves the next run finds (untar.Target).
type staging struct {
	target    *untar.Target // what is there whole or not at all: the container's directory, or the root file system
	root      *untar.Root   // the root file system: the target's own, or one below it
	directory *directory    // the container's directory; nil: a root file system alone
	closed    closedDir     // how directory is handed over when all is there

	storage string // LXC's name for what the root is on; "": lxc-create has written it
	edits   bool   // the directory was there before: its files come back after a failure
	merges  bool   // the root held something before: a failure removes nothing of it
	begun   bool   // something was unpacked into it
	made    bool   // the root's directory is new in a directory that was there before
}

// A closedDir is the container's directory while it is this process's own and closed
// to others. When all is there it gets its owner and mode.
type closedDir struct {
	shut  bool
	owner *[2]uint32 // user and group; nil: they stay
	mode  uint32
	given bool        // it has these
	was   unix.Stat_t // the directory before
}

// stage opens the place where the target is to grow.
func (r *run) stage(ctx context.Context) (*staging, error) {
	if !r.target.Create {
		return r.stageRootfs(ctx)
	}
	path := r.target.Container.Path
	if _, err := os.Lstat(path); err == nil && !r.removeInterrupted(path) {
		return r.stageExisting()
	}
	return r.stageContainer()
}

// stageRootfs opens the directory that the image goes into, for a root file system alone
// or as the template. For a root file system alone it must be absent or empty, so that
// what a failure removes is only what this run made.
//
// As the template it merges the image into a directory that holds something, as the stock
// template does: a refusal would have lxc-create remove all of it. For the same reason
// it waits, for an hour, for the end of another run in that directory. Since nothing of a
// merge can be undone, the image is verified before.
func (r *run) stageRootfs(ctx context.Context) (s *staging, err error) {
	s = new(staging)
	rootfs := r.target.Container.Rootfs
	if !r.target.Alone {
		if s.directory, err = openDir(r.target.Container.Path); err != nil {
			return nil, err
		}
		s.edits = true
	}
	most := time.Duration(0)
	if r.target.Caller != nil {
		most = maxStagingWait
	}
	err = r.waitBusy(ctx, most, func() (err error) {
		s.target, err = r.openTarget(s.directory)
		return err
	})
	if err != nil {
		s.close()
		return nil, err
	}
	s.root = s.target.Root()
	if !s.target.IsEmpty() {
		if r.target.Caller == nil {
			s.close()
			return nil, notEmpty(rootfs, s.target.Stale())
		}
		r.warnf("%q is not empty: the image is put beside what is there; if that fails, lxc-create removes all of it", rootfs)
		s.merges = true
	}
	r.warnStale(s.target)
	if s.target.Recovered() != "" {
		r.warnf("%q held what an interrupted run left; it was emptied first", rootfs)
	}
	if s.edits {
		err = s.directory.restore()
	}
	if err != nil {
		return nil, s.abandon(err)
	}
	return s, nil
}

// maxStagingWait bounds the wait for another run in the same directory: half a gigabyte
// at 150 kB/s, as for the lock of an image in the cache.
const maxStagingWait = time.Hour

// waitBusy calls open until no other run fills the directory, or for so long.
func (r *run) waitBusy(ctx context.Context, most time.Duration, open func() error) error {
	for waited := time.Duration(0); ; waited += callerPoll {
		err := open()
		if !errors.Is(err, untar.ErrBusy) {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if waited >= most {
			if most > 0 {
				err = fmt.Errorf("%w (waited %v)", err, most)
			}
			return err
		}
		if waited == 0 {
			r.tell.Say("Waiting for another run that fills this directory" + who(err))
		}
		time.Sleep(callerPoll)
	}
}

// who says which process fills a directory, where that is known.
func who(err error) string {
	var busy *untar.BusyError
	if errors.As(err, &busy) {
		return fmt.Sprintf(" (process %d)", busy.PID)
	}
	return ""
}

// warnStale names what a killed run seems to have left and no run removes.
func (r *run) warnStale(target *untar.Target) {
	if warning := StaleWarning(target); warning != "" {
		r.tell.Warn(warning)
	}
}

// StaleWarning returns the warning of what warnStale names, "" if there is nothing.
func StaleWarning(target *untar.Target) string {
	path := target.Stale()
	if path == "" {
		return ""
	}
	return fmt.Sprintf("%q seems to be left by an interrupted run, but nothing proves it: look, and remove it by hand", path)
}

// openTarget opens the root file system's directory. In a container's directory that another
// user may own it is opened below that, and no link is followed; any other --rootfs is
// the administrator's choice.
func (r *run) openTarget(in *directory) (*untar.Target, error) {
	path := r.target.Container.Rootfs
	if in == nil || filepath.Clean(path) != filepath.Join(in.path, rootfsName) {
		return untar.OpenTarget(path)
	}
	uid, _, err := in.owner()
	if err != nil {
		return nil, err
	}
	if r.target.Namespace == lxc.HostNamespace && uid == uint32(os.Geteuid()) {
		return untar.OpenTarget(path)
	}
	return untar.OpenTargetAt(in.file, rootfsName, path)
}

// rootfsName is the directory of the root file system in a container's.
const rootfsName = "rootfs"

// stageContainer makes the directory of a container beside its own place.
func (r *run) stageContainer() (*staging, error) {
	path := r.target.Container.Path
	target, err := untar.OpenTarget(path)
	if err != nil {
		return nil, err
	}
	r.warnStale(target)
	// The mode is lxc-create's (lxccontainer.c, create_container_dir).
	s := &staging{target: target, closed: closedDir{owner: r.target.Owner.Dir, mode: 0o770}}
	file, err := target.Root().File()
	if err == nil && !target.IsEmpty() {
		file.Close()
		err = exists(path, "") // it came to be just now
	}
	if err == nil {
		s.directory = &directory{file, path}
		err = r.makeRootfs(s)
	}
	if err == nil {
		s.root, err = target.Root().Open(rootfsName)
	}
	if err == nil {
		err = s.shut()
	}
	if err == nil && r.target.IDMap != nil {
		err = s.shiftRoot()
	}
	if err != nil {
		return nil, s.abandon(err)
	}
	return s, nil
}

// rootfsMarker says that the root file system in a container's directory is incomplete
// (untar.Target).
const rootfsMarker = "." + rootfsName + ".incomplete"

// stageExisting takes a directory that exists for the container's, as lxc-create does: an
// empty one, or one that holds an empty directory for the root file system and nothing
// else. Both may be mount points. The directory keeps its mode.
func (r *run) stageExisting() (*staging, error) {
	path, rootfs, owner := r.target.Container.Path, r.target.Container.Rootfs, r.target.Owner.Dir
	f, err := openDir(path)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, fs.ErrNotExist) {
		return nil, exists(path, "") // a file, or a link that leads nowhere
	}
	if err != nil {
		return nil, err
	}
	s := &staging{directory: f, closed: closedDir{owner: owner}}
	owners := []uint32{uint32(os.Geteuid()), uint32(r.target.Owner.UID)}
	if owner != nil && f.marker() != "" {
		owners = append(owners, owner[0]) // a killed run had handed it over already
	}
	if uid, _, e := f.owner(); e != nil {
		err = e
	} else if !slices.Contains(owners, uid) {
		err = exists(path, f.marker())
	} else {
		err = f.checkFree()
	}
	if err == nil {
		if owner != nil {
			owners = append(owners, owner[0])
		}
		err = r.findRootfs(s, owners)
	}
	if err == nil {
		s.target, err = untar.OpenTargetAt(f.file, rootfsName, rootfs)
	}
	if err == nil && !s.target.IsEmpty() {
		err = exists(rootfs, s.target.Stale())
	}
	// The mode is written down (untar.OpenTargetAt): now the directory can be closed. Then
	// nobody else puts anything into it any more, and it is looked at once more.
	if err == nil {
		s.closed.mode = s.target.ParentMode()
		err = s.shut()
	}
	if err == nil {
		err = f.checkFree()
	}
	if err == nil && !s.target.IsAt() {
		err = exists(rootfs, "")
	}
	if err == nil {
		err = r.takeExisting(s)
	}
	if err != nil {
		return nil, s.abandon(err)
	}
	return s, nil
}

// findRootfs makes the directory for the root file system in a directory that exists, or
// checks that the one there belongs to one of owners.
func (r *run) findRootfs(s *staging, owners []uint32) error {
	s.storage = "dir"
	st, err := s.directory.stat(rootfsName)
	switch {
	case err == unix.ENOENT:
		err = r.makeRootfs(s)
		s.made = err == nil
		return err
	case err == nil && !slices.Contains(owners, st.Uid):
		return exists(r.target.Container.Rootfs, s.directory.marker())
	}
	return nil
}

// takeExisting takes over a directory that exists and is closed, with what an interrupted
// run left in it.
func (r *run) takeExisting(s *staging) error {
	r.warnStale(s.target)
	s.root, s.edits = s.target.Root(), true
	if s.target.Recovered() != "" {
		r.warnf("%q held what an interrupted run left; it was emptied first", r.target.Container.Rootfs)
		if err := s.directory.restore(); err != nil {
			return err
		}
	}
	if err := s.directory.checkNew(); err != nil {
		return err
	}
	if r.target.IDMap != nil {
		return s.shiftRoot()
	}
	return nil
}

// marker is the path of the marker of an interrupted run, "" for none.
func (f *directory) marker() string {
	if _, err := f.stat(rootfsMarker); err != nil {
		return ""
	}
	return filepath.Join(f.path, rootfsMarker)
}

// checkFree refuses a directory that holds what a new container's can't. What it
// says of an interrupted run's files is up to checkNew.
func (f *directory) checkFree() error {
	if _, err := f.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	names, err := f.file.Readdirnames(16) // more than there can be
	if err != nil && err != io.EOF {
		return err
	}
	free := true
	for _, name := range names {
		known := name == "lost+found" || name == rootfsName
		if slices.Contains(names, rootfsMarker) {
			known = known || name == rootfsMarker
			for _, file := range containerFiles {
				known = known || name == file || name == asideName(file) || name == beforeName(file)
			}
		}
		free = free && known
	}
	if !free {
		return exists(f.path, f.marker())
	}
	return nil
}

// checkNew refuses a directory with a config, which makes it a container.
func (f *directory) checkNew() error {
	if _, err := f.stat("config"); err != unix.ENOENT {
		return exists(f.path, f.marker())
	}
	return nil
}

// makeRootfs makes the directory for the root file system: on btrfs a subvolume, as
// lxc-create -B best does.
func (r *run) makeRootfs(s *staging) error {
	s.storage = "dir"
	if r.target.Subvolume && untar.MakeSubvolume(s.directory.fd(), rootfsName) == nil {
		s.storage = "btrfs"
		return nil
	}
	return s.directory.fail("mkdir", rootfsName, unix.Mkdirat(s.directory.fd(), rootfsName, 0o755))
}

// shut closes the container's directory to others.
func (s *staging) shut() error {
	c := &s.closed
	err := unix.Fstat(s.directory.fd(), &c.was)
	if err == nil {
		c.shut = true
		if c.owner != nil && c.was.Uid == c.owner[0] {
			err = unix.Fchown(s.directory.fd(), os.Geteuid(), -1)
		}
	}
	if err == nil {
		err = unix.Fchmod(s.directory.fd(), 0o700)
	}
	return s.directory.fail("close", "", err)
}

// shiftRoot gives the directory of the root file system, to which nobody else has a way
// yet, to the container's root.
func (s *staging) shiftRoot() error {
	root, err := s.root.File()
	if err != nil {
		return err
	}
	defer root.Close()
	return root.Chown(int(s.closed.owner[0]), int(s.closed.owner[1]))
}

// handOver gives the container's directory to the container's root, when nothing in
// it is to be done by name any more.
func (s *staging) handOver() error {
	if !s.closed.shut {
		return nil
	}
	if err := s.directory.fail("chmod", "", unix.Fchmod(s.directory.fd(), s.closed.mode)); err != nil {
		return err
	}
	if s.closed.owner == nil {
		return nil
	}
	s.closed.given = true
	return s.directory.fail("chown", "", unix.Fchown(s.directory.fd(), int(int32(s.closed.owner[0])), int(int32(s.closed.owner[1]))))
}

// takeBack undoes handOver, before what is in the directory is removed. Where it
// fails the removal does no harm all the same: it follows no link.
func (s *staging) takeBack() {
	if s.closed.given {
		unix.Fchown(s.directory.fd(), int(s.closed.was.Uid), int(s.closed.was.Gid))
		unix.Fchmod(s.directory.fd(), 0o700)
		s.closed.given = false
	}
}

// commit makes everything durable, and complete. caller is who waits for it; nil: a
// person.
func (s *staging) commit(caller *Caller) error {
	// This comes first: a directory that is renamed must be right, and one that was there
	// would stay closed for ever if the run were killed after its marker is gone.
	if err := s.handOver(); err != nil {
		return err
	}
	if err := s.target.Commit(); err != nil {
		var path *fs.PathError
		if errors.As(err, &path) && errors.Is(err, fs.ErrExist) {
			return exists(path.Path, "")
		}
		return err
	}
	// If lxc-create has died, nobody will register this container: fail and remove it.
	if caller != nil && caller.gone() {
		return errCallerGone
	}
	return nil
}

// done ends the use of a staging in which everything is right.
func (s *staging) done() {
	if s.edits {
		s.directory.forget()
	}
	s.close()
}

// isClean reports whether there may be another attempt: what one attempt left of an
// image must not be mixed with the next.
func (s *staging) isClean() bool {
	if s.merges {
		return !s.begun
	}
	empty, err := s.root.IsEmpty()
	return err == nil && empty
}

// empty removes what one attempt made, so that there may be another.
func (s *staging) empty() (err error) {
	s.takeBack()
	if s.merges {
		err = s.root.Reopen()
		if s.begun {
			err = errors.Join(err, errMerged)
		}
	} else {
		err = s.root.RemoveContents()
	}
	if s.edits {
		err = errors.Join(err, s.directory.restore())
	}
	return err
}

// errMerged says what stays of a merge that failed.
var errMerged = errors.New("what was unpacked beside other files stays")

// abandon removes what this run made, and returns err with what could not be
// removed.
func (s *staging) abandon(err error) error {
	s.takeBack()
	var left error
	if s.target != nil {
		_, left = s.target.Abort()
	}
	if s.edits {
		left = errors.Join(left, s.directory.restore())
	}
	if s.made && left == nil {
		left = s.directory.fail("remove", rootfsName, untar.RemoveDir(s.directory.fd(), rootfsName))
	}
	if s.closed.shut {
		unix.Fchmod(s.directory.fd(), s.closed.mode) // one that was there before has its own again
	}
	s.close()
	if left != nil {
		return &LeftError{err, left}
	}
	return err
}

func (s *staging) close() {
	if s.target != nil {
		if s.root != nil && s.root != s.target.Root() {
			s.root.Close()
		}
		s.target.Close()
	}
	if s.directory != nil {
		s.directory.close()
	}
}
