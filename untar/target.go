package untar

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A Target is the directory for a new tree. It makes sure that nobody takes an incomplete
// tree for a complete one, and that the next run on the same path finds and removes what
// a killed run or a power cut left.
//
// Each run has an ID of 128 random bits. While it runs, the directory contains a small
// file, the proof, whose name contains the ID, so that an archive can't contain that name.
// The proof contains the process ID, for messages.
//
// What happens depends on the directory:
//
//   - It does not exist: the tree is made in a staging directory beside it,
//     ".NAME.partial-ID", and Commit renames that. The staging directory is locked. The
//     next run removes staging directories that nobody has locked and that contain their
//     proof.
//   - It exists and is empty: a file beside it, the marker ".NAME.incomplete", exists until
//     Commit and contains the ID. The next run empties a directory that contains the proof
//     with the marker's ID, and no other directory. Inode numbers and file system IDs
//     would not be enough: they are reused.
//   - It exists and is not empty: the archive is merged, without these guarantees.
//
// Whoever can open a file or directory can lock it (flock(2)) and so block others. So only
// files that no other user can open are locked: the marker has mode 0600, and a staging
// directory has mode 0700. An existing directory is not locked.
type Target struct {
	root   *Root
	path   string   // as the caller gave it, for messages
	parent *os.File // contains the directory, its marker and its staging directory; nil: the archive is merged, or no marker could be made
	name   string   // of the directory in parent
	merge  bool     // opened with OpenMerge, and the directory exists

	staging string // name of the staging directory in parent, "" if there is none
	renamed bool   // Commit has renamed the staging directory to name
	marker  marker
	proof   string // name of the proof in the directory, "" if there is none
	old     oldPermissions
	found   found
}

// A marker is the file beside a directory that says that its tree is incomplete.
type marker struct {
	_    [0]func() // forbids ==, whose code nothing needs
	name string    // in the parent, "" if there is none
	fd   int       // locked, so that others know that a run uses it; -1: none
}

// oldPermissions are what the run changed and has to restore.
type oldPermissions struct {
	dir        dirState
	takenOver  bool   // the directory's owner was changed, see takeOver
	parentMode uint32 // mode of the parent before a run closed it to others, or noMode
}

// found is what the directory contained when it was opened.
type found struct {
	_         [0]func() // forbids ==, whose code nothing needs
	empty     bool      // nothing, or nothing after it was emptied
	recovered bool      // the tree of an interrupted run; it was removed
	resumed   bool      // the tree of an interrupted run; it stays and is merged
	stale     string    // path of a marker or staging directory that looks interrupted
}

// ErrBusy means that another process is filling the same directory.
var ErrBusy error = textError("another run is filling this directory")

// A BusyError is an ErrBusy with the other process's ID.
type BusyError struct{ PID int }

func (e *BusyError) Error() string { return fmt.Sprintf("%v (process %d)", ErrBusy, e.PID) }
func (e *BusyError) Unwrap() error { return ErrBusy }

// OpenTarget opens or makes the directory at path for a tree that is to appear as a whole
// or not at all. It removes the incomplete tree of an interrupted run. It removes the ACLs
// of an existing directory, because the archive's modes are to apply. The error is
// ErrBusy if another run is filling the directory.
func OpenTarget(path string) (*Target, error) { return openTarget(path, false) }

// OpenMerge is like OpenTarget, for an archive that may be merged with the content of the
// directory. It removes nothing from the directory.
func OpenMerge(path string) (*Target, error) { return openTarget(path, true) }

func openTarget(path string, merge bool) (*Target, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	t := &Target{path: path, marker: marker{fd: -1}, old: oldPermissions{parentMode: noMode}}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		abs = real
	}
	t.name = filepath.Base(abs)
	parent, perr := os.Open(filepath.Dir(abs))
	if perr == nil {
		t.parent = parent
	}
	t.root, err = OpenRoot(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && t.parent != nil:
		t.found.empty = true
		err = t.stage()
	case err == nil:
		err = t.take(merge)
	}
	if err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// OpenTargetAt is OpenTarget for an existing directory with the given name in parent. It
// does not follow a link of that name, so another user may own parent. path is for
// messages. The caller may then close parent to other users until the tree is complete:
// the marker stores parent's mode, and the run restores it when it removes the marker.
func OpenTargetAt(parent *os.File, name, path string) (*Target, error) {
	fd, err := openat(int(parent.Fd()), cname(name+"\x00"), dirFlags, 0)
	if err != nil {
		return nil, pathError("open", path, err)
	}
	t := &Target{path: path, name: name, root: &Root{fd: fd, path: path}, marker: marker{fd: -1}, old: oldPermissions{parentMode: noMode}}
	own, err := openat(int(parent.Fd()), cname(".\x00"), dirFlags, 0)
	if err != nil {
		t.Close()
		return nil, pathError("open", parent.Name(), err)
	}
	t.parent = os.NewFile(uintptr(own), parent.Name())
	var st unix.Stat_t
	if err := unix.Fstat(own, &st); err != nil {
		t.Close()
		return nil, pathError("stat", parent.Name(), err)
	}
	t.old.parentMode = st.Mode & 07777
	if err := t.take(false); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// take prepares an existing directory.
func (t *Target) take(merge bool) (err error) {
	t.merge = merge
	if t.parent != nil && t.name == string(filepath.Separator) {
		t.parent.Close() // the marker of "/" would be inside the tree
		t.parent = nil
	}
	if t.parent == nil {
		t.found.empty, err = t.root.IsEmpty()
	} else {
		err = t.recover(merge)
	}
	if err != nil || !t.found.empty {
		return err
	}
	t.old.dir, err = t.root.state()
	if err == nil && t.marker.fd >= 0 {
		err = t.writeMarker(merge)
	}
	if err == nil && !merge {
		if err = t.takeOver(); err == nil {
			err = t.root.dropInheritedACLs()
		}
	}
	if err != nil {
		t.giveBack()
		t.unprove()
		t.unmark()
	}
	return err
}

// takeOver makes this process's user the owner of an empty directory until the tree is
// complete. Whatever the mode, another owner could replace new files. The marker
// stores that owner.
func (t *Target) takeOver() error {
	if t.old.dir.owner < 0 {
		return nil
	}
	if err := unix.Fchown(t.root.fd, os.Geteuid(), -1); err != nil {
		return fmt.Errorf("%q belongs to user %d, who could change the tree during the extraction: %w", t.path, t.old.dir.owner, err)
	}
	t.old.takenOver = true
	empty, err := t.root.IsEmpty()
	if err == nil && !empty {
		err = pathError("fill", t.path, ErrNotEmpty)
	}
	return err
}

// giveBack undoes takeOver.
func (t *Target) giveBack() {
	if t.old.takenOver {
		unix.Fchown(t.root.fd, int(t.old.dir.owner), -1)
		t.old.takenOver = false
	}
}

// Root returns the directory to extract into.
func (t *Target) Root() *Root { return t.root }

// IsEmpty reports whether the directory was empty when it was opened, or was emptied then.
func (t *Target) IsEmpty() bool { return t.found.empty }

// Recovered returns the directory's path if OpenTarget removed the tree of an interrupted
// run, else "".
func (t *Target) Recovered() string {
	if t.found.recovered {
		return t.path
	}
	return ""
}

// Resumed reports whether the directory contains the tree of an interrupted run, which
// OpenMerge does not remove.
func (t *Target) Resumed() bool { return t.found.resumed }

// Stale returns the path of a marker or a staging directory that an interrupted run may
// have left, but that has no proof; else "". The user should examine and remove it.
func (t *Target) Stale() string { return t.found.stale }

// IsAt reports whether the directory still has its name.
func (t *Target) IsAt() bool { return leadsTo(int(t.parent.Fd()), t.name, t.root.fd) }

// ParentMode returns the mode that the parent directory had before this run, or the
// interrupted run before it, closed it to others (see OpenTargetAt).
func (t *Target) ParentMode() uint32 { return t.old.parentMode }

// Commit makes the tree durable and complete: it syncs the file system, removes the proof,
// and renames the staging directory or removes the marker. After Commit, even after a
// failed Commit, Abort can still remove everything. The error is fs.ErrExist if another
// process made something at the directory's name.
func (t *Target) Commit() error {
	if err := t.root.Sync(); err != nil {
		return err
	}
	if t.staging != "" {
		if err := t.fixStaging(); err != nil {
			return err
		}
	}
	if err := t.unprove(); err != nil {
		return err
	}
	if t.staging != "" {
		if err := t.rename(); err != nil {
			return err
		}
	}
	if !t.root.named {
		t.giveBack()
	}
	if err := t.unmark(); err != nil {
		return err
	}
	if t.parent == nil {
		return nil
	}
	if err := t.syncRoot(); err != nil {
		return err
	}
	return t.syncParent()
}

// Abort removes what the run made. It removes nothing if the directory was not empty at
// the start. It returns the path that it emptied or removed, or "".
//
// Other processes can add files to a directory that OpenMerge opened, and nothing tells
// these from the archive's files. So Abort removes nothing there.
func (t *Target) Abort() (string, error) {
	if !t.found.empty {
		return "", nil
	}
	if t.merge {
		if err := t.unprove(); err != nil {
			return "", err
		}
		return "", t.unmark()
	}
	if err := t.root.RemoveContents(); err != nil {
		return "", err
	}
	if t.staging == "" && !t.renamed {
		if err := t.root.restore(t.old.dir); err != nil {
			return "", err
		}
		t.old.takenOver = false
	}
	if err := t.unprove(); err != nil {
		return "", err
	}
	made := t.staging
	if t.renamed {
		made = t.name
	}
	if dir := t.parent; made != "" && leadsTo(int(dir.Fd()), made, t.root.fd) {
		if err := removeDir(int(dir.Fd()), cname(made+"\x00")); err != nil {
			return "", pathError("remove", made, err)
		}
	}
	return t.path, t.unmark()
}

// Keep keeps an incomplete tree at the directory's name, and removes the marker.
func (t *Target) Keep() error {
	if err := t.unprove(); err != nil {
		return err
	}
	if t.staging != "" {
		if err := t.rename(); err != nil {
			return err
		}
	}
	return t.unmark()
}

// Close closes the descriptors. If Commit, Abort or Keep was not called before, the marker
// or the staging directory stays, as after a kill.
func (t *Target) Close() {
	if t.root != nil {
		t.root.Close()
	}
	if t.marker.fd >= 0 {
		unix.Close(t.marker.fd)
		t.marker.fd = -1
	}
	if t.parent != nil {
		t.parent.Close()
		t.parent = nil
	}
}

// syncParent makes changes of names in the parent durable. Some file systems can't sync a
// directory (EINVAL).
func (t *Target) syncParent() error {
	err := t.parent.Sync()
	if errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}

// syncRoot makes changes of names in the directory durable.
func (t *Target) syncRoot() error {
	if err := unix.Fsync(t.root.fd); err != nil && err != unix.EINVAL {
		return pathError("fsync", t.path, err)
	}
	return nil
}

// leadsTo reports whether a name in dir is the directory or file that fd is open on.
func leadsTo(dir int, name string, fd int) bool {
	var there, open unix.Stat_t
	return unix.Fstatat(dir, name, &there, unix.AT_SYMLINK_NOFOLLOW) == nil && unix.Fstat(fd, &open) == nil &&
		there.Dev == open.Dev && there.Ino == open.Ino
}

// pathError returns a *fs.PathError. It is not inlined, since many functions call it.
//
//go:noinline
func pathError(op, path string, err error) error {
	return &fs.PathError{Op: op, Path: path, Err: bareError(err)}
}

// bareError returns the cause of a *fs.PathError, or err itself if it is none.
func bareError(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
