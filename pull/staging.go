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

// A staging is where a container, or a root file system alone, is made. It looks
// incomplete until commit; if the run ends before, abandon removes what the run made. If
// the run is killed, the next run finds and removes it (untar.Target).
type staging struct {
	_         [0]func()     // forbids ==, whose code nothing needs
	target    *untar.Target // complete or absent as a whole: the container's directory, or the root file system
	root      *untar.Root   // the root file system: the target's own directory, or one below it
	directory *directory    // the container's directory; nil: a root file system alone
	closed    closedDir     // how directory is handed over when the container is complete

	storage    string // the type in lxc.rootfs.path (dir, btrfs); "": lxc-create has written that line
	dirExisted bool   // directory was there before this run: abandon restores its files
	merging    bool   // root held something before this run: a failure removes nothing of it
	unpacked   bool   // something was unpacked into root
	madeRoot   bool   // this run made root in a directory that was there before
}

// A closedDir is the container's directory while it belongs to this process and is closed
// to others. When the container is complete the directory gets its owner and mode.
type closedDir struct {
	_     [0]func()   // forbids ==, whose code nothing needs
	shut  bool        // it is closed to others
	owner *[2]uint32  // user and group to give it to; nil leaves them unchanged
	mode  uint32      // of the directory when it is complete
	given bool        // the directory has that owner and mode
	was   unix.Stat_t // the directory's status before it was closed
}

// stage opens the directory in which the target is made.
func (r *run) stage(ctx context.Context) (*staging, error) {
	if !r.target.MakeDir {
		return r.stageRootfs(ctx)
	}
	path := r.target.Container.Path
	if _, err := os.Lstat(path); err == nil && !r.removeInterrupted(path) {
		return r.stageExisting()
	}
	return r.stageContainer()
}

// stageRootfs opens the directory into which the image is unpacked, for a root file system
// alone or as the template. For a root file system alone the directory must be absent or
// empty, so that a failure removes only what this run made.
//
// As the template it accepts a directory that is not empty, as the stock template does. If
// this program refused, lxc-create would delete the directory with everything in it, so this
// run merges (it adds the image's files to those that are there), and waits up to an hour for
// another run in that directory. A merge can't be undone, so the image is verified before the
// first byte is unpacked.
func (r *run) stageRootfs(ctx context.Context) (s *staging, err error) {
	s = new(staging)
	rootfs := r.target.Container.Rootfs
	if !r.target.RootfsOnly {
		if s.directory, err = openDir(r.target.Container.Path); err != nil {
			return nil, err
		}
		s.dirExisted = true
	}
	limit := time.Duration(0)
	if r.target.Caller != nil {
		limit = maxStagingWait
	}
	err = r.waitBusy(ctx, limit, func() (err error) {
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
		r.warn("merge", "%q is not empty: the image is put beside what is there; if that fails, lxc-create removes all of it", rootfs)
		s.merging = true
	}
	r.warnStale(s.target)
	if s.target.Recovered() != "" {
		r.warn("leftover", "%q held what an interrupted run left; it was emptied first", rootfs)
	}
	if s.dirExisted {
		err = s.directory.restore()
	}
	if err != nil {
		return nil, s.abandon(err)
	}
	return s, nil
}

// maxStagingWait bounds the wait for another run in the same directory: an hour suffices
// for half a gigabyte at 150 kB/s. The wait for the lock of an image in the cache has the
// same bound.
const maxStagingWait = time.Hour

// waitBusy calls open until no other run fills the directory. It returns the error of open
// if that takes longer than limit, and ctx's cause once ctx is done.
func (r *run) waitBusy(ctx context.Context, limit time.Duration, open func() error) error {
	for waited := time.Duration(0); ; waited += callerPoll {
		err := open()
		if !errors.Is(err, untar.ErrBusy) {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if waited >= limit {
			if limit > 0 {
				err = fmt.Errorf("%w (waited %v)", err, limit)
			}
			return err
		}
		if waited == 0 {
			r.opt.Tell.Say("Waiting for another run that fills this directory" + busyProcess(err))
		}
		time.Sleep(callerPoll)
	}
}

// busyProcess names the process that fills a directory, "" if it is not known.
func busyProcess(err error) string {
	var busy *untar.BusyError
	if errors.As(err, &busy) {
		return fmt.Sprintf(" (process %d)", busy.PID)
	}
	return ""
}

// warnStale warns of files that a killed run seems to have left and that no run removes.
func (r *run) warnStale(target *untar.Target) {
	if warning := StaleWarning(target); warning != "" {
		r.opt.Tell.Warn("leftover", warning)
	}
}

// StaleWarning returns the text of the warning that an interrupted run seems to have left
// something beside target, "" if there is nothing.
func StaleWarning(target *untar.Target) string {
	path := target.Stale()
	if path == "" {
		return ""
	}
	return fmt.Sprintf("%q seems to be left by an interrupted run, but nothing proves it: look at it, and remove it yourself if you do not need it", path)
}

// openTarget opens the root file system's directory. If it is rootfs in a container's
// directory that another user may own, it is opened below that directory's descriptor and
// no link is followed. Any other --rootfs is the administrator's choice.
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

// rootfsName is the name of the root file system's directory in a container's directory.
const rootfsName = "rootfs"

// stageContainer makes a new container's directory, under another name until commit.
func (r *run) stageContainer() (*staging, error) {
	target, err := untar.OpenTarget(r.target.Container.Path)
	if err != nil {
		return nil, err
	}
	r.warnStale(target)
	// The mode is lxc-create's (lxccontainer.c, create_container_dir).
	s := &staging{target: target, closed: closedDir{owner: r.target.Owner.Dir, mode: 0o770}}
	if err := r.fillNew(s); err != nil {
		return nil, s.abandon(err)
	}
	return s, nil
}

// fillNew makes the root file system's directory in a new container's directory, and
// closes the latter.
func (r *run) fillNew(s *staging) error {
	path := r.target.Container.Path
	file, err := s.target.Root().File()
	if err != nil {
		return err
	}
	if !s.target.IsEmpty() { // another process made it after stage had looked for it
		file.Close()
		return exists(path, "")
	}
	s.directory = &directory{file: file, path: path}
	if err := r.makeRootfs(s); err != nil {
		return err
	}
	if s.root, err = s.target.Root().Open(rootfsName); err != nil {
		return err
	}
	if err := s.shut(); err != nil {
		return err
	}
	return r.shiftRoot(s)
}

// rootfsMarker says that the root file system in a container's directory is incomplete
// (untar.Target).
const rootfsMarker = "." + rootfsName + ".incomplete"

// stageExisting makes a container in a directory that exists, as lxc-create does: an empty
// one, or one that holds an empty rootfs and nothing else. Both may be mount points. The
// directory keeps its mode.
func (r *run) stageExisting() (*staging, error) {
	path := r.target.Container.Path
	f, err := openDir(path)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, fs.ErrNotExist) {
		return nil, exists(path, "") // a file, or a link that leads nowhere
	}
	if err != nil {
		return nil, err
	}
	s := &staging{directory: f, closed: closedDir{owner: r.target.Owner.Dir}}
	if err := r.closeExisting(s); err != nil {
		return nil, s.abandon(err)
	}
	if err := r.takeExisting(s); err != nil {
		return nil, s.abandon(err)
	}
	return s, nil
}

// closeExisting prepares a directory that exists for a new container. It refuses a directory
// that belongs to another user or holds other files, opens the rootfs in it, makes it
// accessible to this process alone, and then checks it again, since until then other
// processes could put files into it.
func (r *run) closeExisting(s *staging) error {
	f, rootfs, owner := s.directory, r.target.Container.Rootfs, s.closed.owner
	owners := []uint32{uint32(os.Geteuid()), uint32(r.target.Owner.UID)} // who may own the directory
	if owner != nil && f.marker() != "" {
		owners = append(owners, owner[0]) // a killed run had changed the owner already
	}
	uid, _, err := f.owner()
	if err != nil {
		return err
	}
	if !slices.Contains(owners, uid) {
		return exists(f.path, f.marker())
	}
	if err := f.checkFree(); err != nil {
		return err
	}
	if owner != nil {
		owners = append(owners, owner[0]) // who may own the rootfs: the container's root as well
	}
	if err := r.findRootfs(s, owners); err != nil {
		return err
	}
	if s.target, err = untar.OpenTargetAt(f.file, rootfsName, rootfs); err != nil {
		return err
	}
	if !s.target.IsEmpty() {
		return exists(rootfs, s.target.Stale())
	}
	// OpenTargetAt has stored the directory's mode in the marker, so that a later run can
	// restore the mode if this run is killed after shut has changed it.
	s.closed.mode = s.target.ParentMode()
	if err := s.shut(); err != nil {
		return err
	}
	if err := f.checkFree(); err != nil {
		return err
	}
	if !s.target.IsAt() {
		return exists(rootfs, "")
	}
	return nil
}

// findRootfs makes the directory for the root file system in a directory that exists, or
// checks that the one there belongs to one of owners.
func (r *run) findRootfs(s *staging, owners []uint32) error {
	s.storage = "dir"
	st, err := s.directory.stat(rootfsName)
	switch {
	case err == unix.ENOENT:
		err = r.makeRootfs(s)
		s.madeRoot = err == nil
		return err
	case err == nil && !slices.Contains(owners, st.Uid):
		return exists(r.target.Container.Rootfs, s.directory.marker())
	}
	return nil
}

// takeExisting takes over a directory that exists and is closed. It restores the files that
// an interrupted run changed in it.
func (r *run) takeExisting(s *staging) error {
	r.warnStale(s.target)
	s.root, s.dirExisted = s.target.Root(), true
	if s.target.Recovered() != "" {
		r.warn("leftover", "%q held what an interrupted run left; it was emptied first", r.target.Container.Rootfs)
		if err := s.directory.restore(); err != nil {
			return err
		}
	}
	if err := s.directory.checkNew(); err != nil {
		return err
	}
	return r.shiftRoot(s)
}

// marker returns the path of the marker of an interrupted run, "" for none.
func (f *directory) marker() string {
	if _, err := f.stat(rootfsMarker); err != nil {
		return ""
	}
	return filepath.Join(f.path, rootfsMarker)
}

// checkFree refuses a directory that holds a file which a new container's directory does
// not have. With an interrupted run's marker it lets that run's files pass; checkNew looks
// at them once they are restored.
func (f *directory) checkFree() error {
	if _, err := f.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	names, err := f.file.Readdirnames(16) // more than a free directory has
	if err != nil && err != io.EOF {
		return err
	}
	free := true
	for _, name := range names {
		known := name == "lost+found" || name == rootfsName
		if slices.Contains(names, rootfsMarker) {
			known = known || name == rootfsMarker
			for _, file := range containerFiles {
				known = known || name == file || name == newName(file) || name == oldName(file)
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

// shut closes the container's directory to others, until handOver or abandon.
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

// shiftRoot gives the root file system's directory to the container's root if owners are
// shifted. The container's directory is closed, so that nobody else can reach it yet.
func (r *run) shiftRoot(s *staging) error {
	if r.target.IDMap == nil {
		return nil
	}
	root, err := s.root.File()
	if err != nil {
		return err
	}
	err = root.Chown(int(s.closed.owner[0]), int(s.closed.owner[1]))
	root.Close()
	return err
}

// handOver gives the container's directory its owner and mode. From then on the owner may
// change what is in it. From then on, unless takeBack undoes it, this program only removes
// fixed names of its own in it (the marker and the old files), and follows no link.
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

// takeBack undoes handOver before the directory's content is removed. If takeBack fails,
// the removal does no harm all the same, since it follows no link.
func (s *staging) takeBack() {
	if s.closed.given {
		unix.Fchown(s.directory.fd(), int(s.closed.was.Uid), int(s.closed.was.Gid))
		unix.Fchmod(s.directory.fd(), 0o700)
		s.closed.given = false
	}
}

// commit makes the result durable and complete. caller is the process that waits for the
// result; nil: a person.
func (s *staging) commit(caller *Caller) error {
	// handOver comes first: a new directory must have its owner and mode when Commit gives
	// it its name, and a directory that was there would stay closed for ever if the run
	// were killed after Commit had removed the marker.
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
	if caller != nil && caller.ended() {
		return errCallerEnded
	}
	return nil
}

// done ends the use of a staging after commit.
func (s *staging) done() {
	if s.dirExisted {
		s.directory.forget()
	}
	s.close()
}

// isClean reports whether another image may be tried: no file of the image that failed is
// there.
func (s *staging) isClean() bool {
	if s.merging {
		return !s.unpacked
	}
	empty, err := s.root.IsEmpty()
	return err == nil && empty
}

// removeImage removes the files of an image that failed, so that another image can be tried.
func (s *staging) removeImage() (err error) {
	s.takeBack()
	if s.merging {
		err = s.root.Reopen()
		if s.unpacked {
			err = errors.Join(err, errMerged)
		}
	} else {
		err = s.root.RemoveContents()
	}
	if s.dirExisted {
		err = errors.Join(err, s.directory.restore())
	}
	return err
}

// errMerged says that a merge that failed is not undone.
var errMerged = errors.New("the files that were already unpacked stay, because other files were there before")

// abandon removes what this run made. It returns err, as a *LeftError if not all of it
// could be removed.
func (s *staging) abandon(err error) error {
	s.takeBack()
	var left error
	if s.target != nil {
		_, left = s.target.Abort()
	}
	if s.dirExisted {
		left = errors.Join(left, s.directory.restore())
	}
	if s.madeRoot && left == nil {
		left = s.directory.fail("remove", rootfsName, untar.RemoveDir(s.directory.fd(), rootfsName))
	}
	if s.closed.shut {
		unix.Fchmod(s.directory.fd(), s.closed.mode) // an existing directory gets its old mode back
	}
	s.close()
	if left != nil {
		return &LeftError{Err: err, Left: left}
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
