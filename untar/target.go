package untar

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Target is the place for a new tree, kept so that nobody mistakes one that
// was interrupted for a complete one, and so that the next run on the same path
// finds and removes what a kill or a power cut left.
//
// Where the folder is absent, the tree grows in a folder beside it,
// ".NAME.partial-PID", which Commit renames. It is locked; the next run removes
// those that nobody has locked. Where the folder exists and is empty, a file
// beside it, ".NAME.incomplete", says so until Commit; it tells which folder is
// meant, and the next run empties that first. Where the folder holds something,
// the archive is merged into that, with no such promise.
type Target struct {
	root      *Root
	parent    *os.File // the folder of all three names; nil: merged, or no marker could be made
	name      string   // of the folder in parent
	staging   string   // of the folder that Commit renames, "" if none
	renamed   bool     // Commit has done so
	marker    string   // of the marker, "" if none
	markerFD  int      // locked, so that others know that it is in use; -1: none
	empty     bool     // the folder held nothing at the start
	recovered bool
	path      string
}

// OpenTarget opens or makes the folder at path. The error is ErrBusy where
// another run works on it.
func OpenTarget(path string) (*Target, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	t := &Target{path: path, markerFD: -1}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		abs = real
	}
	t.name = filepath.Base(abs)
	parent, perr := os.Open(filepath.Dir(abs))
	t.root, err = OpenRoot(path)
	if errors.Is(err, fs.ErrNotExist) && perr == nil {
		t.parent, t.empty = parent, true
		if err := t.stage(); err != nil {
			parent.Close()
			return nil, err
		}
		return t, nil
	}
	if err != nil {
		if perr == nil {
			parent.Close()
		}
		return nil, err
	}
	if perr != nil || t.name == string(filepath.Separator) {
		if perr == nil {
			parent.Close()
		}
		t.empty, err = t.root.IsEmpty()
		return t, err
	}
	t.parent = parent
	if err := t.mark(); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// OpenTargetAt opens an existing folder by its name in parent. Another user may
// own parent: a link of that name is not followed. path is for messages.
func OpenTargetAt(parent *os.File, name, path string) (*Target, error) {
	fd, err := openat(int(parent.Fd()), cname(name+"\x00"), dirFlags, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	t := &Target{path: path, name: name, markerFD: -1, root: &Root{fd: fd, path: path}}
	own, err := openat(int(parent.Fd()), cname(".\x00"), dirFlags, 0)
	if err != nil {
		t.Close()
		return nil, &fs.PathError{Op: "open", Path: parent.Name(), Err: err}
	}
	t.parent = os.NewFile(uintptr(own), parent.Name())
	if err := t.mark(); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// ErrBusy says that another process fills the same folder.
var ErrBusy = errors.New("another run is filling this folder")

// lock takes the lock of a folder that this run alone works in; the kernel gives
// it back when the process ends, however it ends. Where the file system has no
// locks, runs are not told apart.
func lock(fd int) error {
	if tryLock(fd) == unix.EWOULDBLOCK {
		return ErrBusy
	}
	return nil
}

func tryLock(fd int) error {
	for {
		if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != unix.EINTR {
			return err
		}
	}
}

// sweep removes staged folders of this name whose processes are gone. A living
// one's is ErrBusy.
func (t *Target) sweep() error {
	dir := int(t.parent.Fd())
	d, err := newDirReader(dir)
	if err != nil {
		return nil // a folder that may be written and not read
	}
	defer d.close()
	for {
		name, err := d.next()
		if err != nil || name == "" {
			return err
		}
		if !t.isStaging(name) {
			continue
		}
		if err := t.sweepOne(name); err != nil {
			return err
		}
	}
}

// isStaging reports whether a name is one that stage gives for this folder: with
// a process id, and as many x as it took.
func (t *Target) isStaging(name string) bool {
	pid, ok := strings.CutPrefix(name, "."+t.name+".partial-")
	pid = strings.TrimRight(pid, "x")
	return ok && pid != "" && strings.Trim(pid, "0123456789") == ""
}

func (t *Target) sweepOne(name string) error {
	dir := int(t.parent.Fd())
	fd, err := openat(dir, cname(name+"\x00"), dirFlags, 0)
	if err != nil {
		return nil
	}
	stale := &Root{fd: fd, path: name}
	defer stale.Close()
	var st unix.Stat_t
	// Root has made folders that it has given away, see the create command.
	if uid := uint32(os.Geteuid()); unix.Fstat(fd, &st) != nil || st.Uid != uid && uid != 0 {
		return nil
	}
	switch err := tryLock(fd); err {
	case nil:
	case unix.EWOULDBLOCK:
		return &fs.PathError{Op: "fill", Path: t.path, Err: ErrBusy}
	default:
		return nil // no locks here: its process may live
	}
	if err := stale.RemoveContents(); err != nil {
		return err
	}
	if err := unix.Unlinkat(dir, name, unix.AT_REMOVEDIR); err != nil && err != unix.ENOENT {
		return &fs.PathError{Op: "remove", Path: name, Err: err}
	}
	return nil
}

// stage makes the folder that Commit renames.
func (t *Target) stage() error {
	if t.exists() {
		return &fs.PathError{Op: "mkdir", Path: t.path, Err: unix.EEXIST} // a link that leads nowhere
	}
	if err := t.sweep(); err != nil {
		return err
	}
	dir := int(t.parent.Fd())
	for i := range 10 {
		name := "." + t.name + ".partial-" + strconv.Itoa(os.Getpid()) + strings.Repeat("x", i)
		err := unix.Mkdirat(dir, name, 0700)
		if err == unix.EEXIST {
			continue
		}
		if err != nil {
			return &fs.PathError{Op: "mkdir", Path: t.path, Err: err}
		}
		fd, err := openat(dir, cname(name+"\x00"), dirFlags, 0)
		if err == nil && lock(fd) == nil && leadsTo(dir, name, fd) {
			t.root, t.staging = &Root{fd: fd, path: t.path}, name
			return nil
		}
		if err == nil {
			unix.Close(fd)
		} else if err != unix.ENOENT {
			return &fs.PathError{Op: "open", Path: t.path, Err: err}
		}
		// Another run's sweep came between mkdir and lock.
	}
	return &fs.PathError{Op: "fill", Path: t.path, Err: ErrBusy}
}

// exists reports whether something is at the folder's own name.
func (t *Target) exists() bool {
	var st unix.Stat_t
	return unix.Fstatat(int(t.parent.Fd()), t.name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil
}

// leadsTo reports whether a name in dir is the folder or file that fd is.
func leadsTo(dir int, name string, fd int) bool {
	var there, open unix.Stat_t
	return unix.Fstatat(dir, name, &there, unix.AT_SYMLINK_NOFOLLOW) == nil && unix.Fstat(fd, &open) == nil &&
		there.Dev == open.Dev && there.Ino == open.Ino
}

// getVersion asks for an inode's generation. The number differs between
// machines as that of FS_IOC_GETFLAGS does ('f', 1, a long).
const getVersion = unix.FS_IOC_GETFLAGS&^0xff00 | 'v'<<8

// identity tells the folder from any other, as a marker has it: the file
// system, the inode, and the inode's generation, for the number of a folder
// that was removed is soon another one's. What the file system doesn't tell is
// 0. The device number would not do: it may change from one start to the next.
func (t *Target) identity() (id string, mode uint32, err error) {
	var st unix.Stat_t
	var system unix.Statfs_t
	if err := unix.Fstat(t.root.fd, &st); err != nil {
		return "", 0, &fs.PathError{Op: "stat", Path: t.path, Err: err}
	}
	device := "device " + strconv.FormatUint(uint64(st.Dev), 16)
	if unix.Fstatfs(t.root.fd, &system) == nil && system.Fsid.Val != [2]int32{} {
		device = fmt.Sprintf("file system %08x%08x", uint32(system.Fsid.Val[0]), uint32(system.Fsid.Val[1]))
	}
	generation, err := unix.IoctlGetInt(t.root.fd, getVersion)
	if err != nil {
		generation = 0
	}
	return fmt.Sprintf(markerBegin+"inode %d generation %d on %s, mode ", st.Ino, uint32(generation), device), st.Mode & 07777, nil
}

// markerBegin is how every marker begins: what has its name and not this is some
// other file.
const markerBegin = "lxc-pull: incomplete: "

// maxMarker is above what any marker has, in bytes.
const maxMarker = 4096

// mark makes the marker where the folder is empty, and empties the folder where
// a marker says that it holds the rest of an interrupted run.
func (t *Target) mark() error {
	if err := lock(t.root.fd); err != nil {
		return &fs.PathError{Op: "fill", Path: t.path, Err: err}
	}
	id, mode, err := t.identity()
	if err != nil {
		return err
	}
	marker := "." + t.name + ".incomplete"
	dir := int(t.parent.Fd())
	fd, text := t.ownMarker(marker)
	if before, ok := strings.CutPrefix(text, id); ok {
		t.marker, t.markerFD, t.empty, t.recovered = marker, fd, true, true
		tryLock(fd)
		if err := t.root.RemoveContents(); err != nil {
			return err
		}
		if mode, err := strconv.ParseUint(strings.TrimSpace(before), 8, 32); err == nil {
			unix.Fchmod(t.root.fd, uint32(mode&07777)) // it may have been closed to others
		}
		return nil
	}
	if t.empty, err = t.root.IsEmpty(); err != nil || !t.empty {
		if fd >= 0 {
			unix.Close(fd)
		}
		return err
	}
	if fd >= 0 {
		// Of a folder that is gone, unless it is another mount namespace's of
		// the same path, whose run has the lock.
		if tryLock(fd) == nil && leadsTo(dir, marker, fd) {
			unix.Unlinkat(dir, marker, 0)
		}
		unix.Close(fd)
	}
	fd, err = openat(dir, cname(marker+"\x00"), unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|openFlags, 0600)
	if err != nil {
		return nil // the folder beside which it would stand isn't ours: go on without
	}
	t.marker, t.markerFD = marker, fd
	tryLock(fd)
	err = writeFull(fd, fmt.Appendf(nil, "%s%o\n", id, mode))
	if err == nil {
		err = unix.Fsync(fd)
	}
	if err == nil {
		err = t.syncParent()
	}
	if err != nil {
		t.unmark()
		return &fs.PathError{Op: "write", Path: marker, Err: err}
	}
	return nil
}

// ownMarker opens a marker and returns its text, "" for one that was killed
// before it was written; fd is -1 where there is none, or something else, or
// somebody else's, which must not make us remove anything.
func (t *Target) ownMarker(marker string) (fd int, text string) {
	fd, err := openat(int(t.parent.Fd()), cname(marker+"\x00"), unix.O_RDONLY|openFlags|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, ""
	}
	var st unix.Stat_t
	if unix.Fstat(fd, &st) == nil && st.Uid == uint32(os.Geteuid()) && st.Mode&unix.S_IFMT == unix.S_IFREG {
		if data, err := readFD(fd, marker, maxMarker); err == nil && (len(data) == 0 || strings.HasPrefix(string(data), markerBegin)) {
			return fd, string(data)
		}
	}
	unix.Close(fd)
	return -1, ""
}

func (t *Target) unmark() error {
	if t.marker == "" {
		return nil
	}
	err := unix.Unlinkat(int(t.parent.Fd()), t.marker, 0)
	if err != nil && err != unix.ENOENT {
		return &fs.PathError{Op: "remove", Path: t.marker, Err: err}
	}
	t.marker = ""
	return nil
}

// syncParent makes what was done to names durable, where folders can be synced.
func (t *Target) syncParent() error {
	err := t.parent.Sync()
	if errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}

// Root is the folder to extract into.
func (t *Target) Root() *Root { return t.root }

// Path is where that folder is before Commit.
func (t *Target) Path() string {
	if t.staging == "" {
		return t.path
	}
	return filepath.Join(t.parent.Name(), t.staging)
}

// IsEmpty reports whether the folder held nothing at the start, or was emptied
// then.
func (t *Target) IsEmpty() bool { return t.empty }

// Recovered returns the folder's path where it was emptied of an interrupted
// run, else "".
func (t *Target) Recovered() string {
	if t.recovered {
		return t.path
	}
	return ""
}

// Commit makes the tree durable and complete: it syncs, and then renames the
// folder or removes the marker. Whether it fails or not, Abort can still remove
// everything. The error is fs.ErrExist where something came to be at the
// folder's own name.
func (t *Target) Commit() error {
	if err := t.root.Sync(); err != nil {
		return err
	}
	if t.staging != "" {
		if err := t.fixStaging(); err != nil {
			return err
		}
		if err := t.rename(); err != nil {
			return err
		}
	}
	if err := t.unmark(); err != nil {
		return err
	}
	if t.parent == nil {
		return nil
	}
	return t.syncParent()
}

// rename gives a staged folder its own name. A plain rename would replace an
// empty folder; renameat2 is not in kernels before 3.15, nor always allowed.
func (t *Target) rename() error {
	err := error(unix.EEXIST)
	if !t.exists() {
		dir := int(t.parent.Fd())
		err = unix.Renameat(dir, t.staging, dir, t.name)
	}
	if err != nil {
		return &fs.PathError{Op: "rename", Path: t.path, Err: err}
	}
	t.staging, t.renamed = "", true
	return nil
}

// fixStaging gives a staged folder the mode of a new one where nobody has given
// it another.
func (t *Target) fixStaging() error {
	var st unix.Stat_t
	if t.root.named || unix.Fstat(t.root.fd, &st) == nil && st.Mode&07777 != 0700 {
		return nil
	}
	old := unix.Umask(0)
	unix.Umask(old)
	if err := unix.Fchmod(t.root.fd, 0777&^uint32(old)); err != nil {
		return &fs.PathError{Op: "chmod", Path: t.path, Err: err}
	}
	return nil
}

// Abort removes what the run made, and nothing else: where the folder held
// something at the start, that and all the rest stays. It returns the path of
// what was emptied or removed, "" for none.
func (t *Target) Abort() (string, error) {
	if !t.empty {
		return "", nil
	}
	if err := t.root.RemoveContents(); err != nil {
		return "", err
	}
	made := t.staging
	if t.renamed {
		made = t.name
	}
	if made != "" && leadsTo(int(t.parent.Fd()), made, t.root.fd) {
		if err := unix.Unlinkat(int(t.parent.Fd()), made, unix.AT_REMOVEDIR); err != nil {
			return "", &fs.PathError{Op: "remove", Path: made, Err: err}
		}
	}
	return t.path, t.unmark()
}

// Keep leaves what there is, under the folder's own name, without a marker.
func (t *Target) Keep() error {
	if t.staging != "" {
		if err := t.rename(); err != nil {
			return err
		}
	}
	return t.unmark()
}

// Close closes the descriptors. Without Commit, Abort or Keep before it a marker
// or a staged folder stays, as after a kill.
func (t *Target) Close() {
	t.root.Close()
	if t.markerFD >= 0 {
		unix.Close(t.markerFD)
		t.markerFD = -1
	}
	if t.parent != nil {
		t.parent.Close()
		t.parent = nil
	}
}
