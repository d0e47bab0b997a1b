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

// A Target is the place for a new tree, kept so that nobody mistakes an
// interrupted extraction for a complete one.
//
// Where the folder is absent, the tree grows in a folder beside it,
// ".NAME.partial-PID", which Commit renames; the next run removes those whose
// process is gone. Where it exists and is empty, a
// file beside it, ".NAME.incomplete", says so until Commit; it holds the
// folder's device and inode. The next OpenTarget on the same folder empties it
// first. Where it holds something, the archive is merged into that, with no
// such promise.
type Target struct {
	root      *Root
	parent    *os.File // the folder of all three names; nil: merged, or no marker could be made
	name      string   // of the folder in parent
	staging   string   // of the folder that Commit renames, "" if none
	marker    string   // of the marker, "" if none
	empty     bool     // the folder held nothing at the start
	recovered bool
	path      string
}

// OpenTarget opens or makes the folder at path.
func OpenTarget(path string) (*Target, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	t := &Target{path: path}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		abs = real
	}
	t.name = filepath.Base(abs)
	parent, perr := os.Open(filepath.Dir(abs))
	t.root, err = OpenRoot(path)
	if errors.Is(err, fs.ErrNotExist) && perr == nil {
		t.parent, t.empty = parent, true
		return t, t.stage()
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

// ErrBusy says that another process extracts into the same folder.
var ErrBusy = errors.New("another extraction into this folder is under way")

// lock takes the lock of a folder that this run alone works in; the kernel gives
// it back when the process ends, however it ends. Where the file system has no
// locks, runs are not told apart.
func lock(fd int) error {
	for {
		switch err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err {
		case unix.EINTR:
		case unix.EWOULDBLOCK:
			return ErrBusy
		default:
			return nil
		}
	}
}

// sweep removes staged folders of this name whose processes are gone.
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
		if !strings.HasPrefix(name, "."+t.name+".partial-") {
			continue
		}
		fd, err := openat(dir, cname(name+"\x00"), dirFlags, 0)
		if err != nil {
			continue
		}
		var st unix.Stat_t
		stale := &Root{fd: fd, path: name}
		if unix.Fstat(fd, &st) == nil && st.Uid == uint32(os.Geteuid()) && unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) == nil {
			if err = stale.RemoveContents(); err == nil {
				err = unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
			}
		}
		stale.Close()
		if err != nil {
			return &fs.PathError{Op: "remove", Path: name, Err: err}
		}
	}
}

// stage makes the folder that Commit renames.
func (t *Target) stage() error {
	if err := t.sweep(); err != nil {
		t.parent.Close()
		return err
	}
	for i := 0; ; i++ {
		name := "." + t.name + ".partial-" + strconv.Itoa(os.Getpid()) + strings.Repeat("x", i)
		err := unix.Mkdirat(int(t.parent.Fd()), name, 0700)
		if err == unix.EEXIST && i < 10 {
			continue
		}
		if err != nil {
			t.parent.Close()
			return &fs.PathError{Op: "mkdir", Path: t.path, Err: err}
		}
		fd, err := openat(int(t.parent.Fd()), cname(name+"\x00"), dirFlags, 0)
		if err != nil {
			t.parent.Close()
			return &fs.PathError{Op: "open", Path: t.path, Err: err}
		}
		t.root, t.staging = &Root{fd: fd, path: t.path}, name
		lock(fd) // it is ours alone: nobody else knows the name
		return nil
	}
}

// identity is what a marker holds.
func (t *Target) identity() (string, error) {
	var st unix.Stat_t
	if err := unix.Fstat(t.root.fd, &st); err != nil {
		return "", &fs.PathError{Op: "stat", Path: t.path, Err: err}
	}
	return fmt.Sprintf("incomplete extraction into device %d inode %d\n", st.Dev, st.Ino), nil
}

// mark makes the marker where the folder is empty, and empties the folder where
// a marker says that it holds the rest of an interrupted run.
func (t *Target) mark() error {
	if err := lock(t.root.fd); err != nil {
		return &fs.PathError{Op: "lock", Path: t.path, Err: err}
	}
	id, err := t.identity()
	if err != nil {
		return err
	}
	marker := "." + t.name + ".incomplete"
	dir := int(t.parent.Fd())
	if fd, err := openat(dir, cname(marker+"\x00"), unix.O_RDONLY|openFlags|unix.O_NONBLOCK, 0); err == nil {
		text, err := readFD(fd, marker, 4096)
		var st unix.Stat_t
		serr := unix.Fstat(fd, &st)
		unix.Close(fd)
		// Somebody else's marker must not make us remove anything.
		if err == nil && serr == nil && string(text) == id && st.Uid == uint32(os.Geteuid()) {
			if err := t.root.RemoveContents(); err != nil {
				return err
			}
			t.marker, t.empty, t.recovered = marker, true, true
			return nil
		}
	}
	if t.empty, err = t.root.IsEmpty(); err != nil || !t.empty {
		return err
	}
	fd, err := openat(dir, cname(marker+"\x00"), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|openFlags, 0600)
	if err != nil {
		return nil // the folder beside which it would stand isn't ours: go on without
	}
	err = writeFull(fd, []byte(id))
	if err == nil {
		err = unix.Fsync(fd)
	}
	unix.Close(fd)
	if err == nil {
		err = t.parent.Sync()
	}
	t.marker = marker
	if err != nil {
		t.unmark()
		return &fs.PathError{Op: "write", Path: marker, Err: err}
	}
	return nil
}

func (t *Target) unmark() error {
	if t.marker == "" {
		return nil
	}
	err := unix.Unlinkat(int(t.parent.Fd()), t.marker, 0)
	if err != nil {
		return &fs.PathError{Op: "remove", Path: t.marker, Err: err}
	}
	t.marker = ""
	return nil
}

// Root is the folder to extract into.
func (t *Target) Root() *Root { return t.root }

// Recovered returns the folder's path where it was emptied of an interrupted
// extraction, else "".
func (t *Target) Recovered() string {
	if t.recovered {
		return t.path
	}
	return ""
}

// Commit makes the tree durable and complete: it syncs, and then renames the
// folder or removes the marker. It closes the target.
func (t *Target) Commit() error {
	defer t.Close()
	if err := t.root.Sync(); err != nil {
		return err
	}
	if t.staging != "" {
		if err := t.fixStaging(); err != nil {
			return err
		}
		dir := int(t.parent.Fd())
		if err := unix.Renameat(dir, t.staging, dir, t.name); err != nil {
			return &fs.PathError{Op: "rename", Path: t.path, Err: err}
		}
		t.staging = ""
	}
	if err := t.unmark(); err != nil {
		return err
	}
	if t.parent != nil {
		if err := t.parent.Sync(); err != nil {
			return err
		}
	}
	return nil
}

// fixStaging gives a staged folder the mode of a new one where the archive has
// no entry for it.
func (t *Target) fixStaging() error {
	if t.root.named {
		return nil
	}
	old := unix.Umask(0)
	unix.Umask(old)
	if err := unix.Fchmod(t.root.fd, 0777&^uint32(old)); err != nil {
		return &fs.PathError{Op: "chmod", Path: t.path, Err: err}
	}
	return nil
}

// Abort removes what the extraction made, and nothing else: where the folder
// held something at the start, that and all the rest stays. It returns the path
// of what was emptied or removed, "" for none, and closes the target.
func (t *Target) Abort() (string, error) {
	defer t.Close()
	if !t.empty {
		return "", nil
	}
	if err := t.root.RemoveContents(); err != nil {
		return "", err
	}
	if t.staging != "" {
		if err := unix.Unlinkat(int(t.parent.Fd()), t.staging, unix.AT_REMOVEDIR); err != nil {
			return "", &fs.PathError{Op: "remove", Path: t.staging, Err: err}
		}
		return t.path, nil
	}
	return t.path, t.unmark()
}

// Keep leaves what there is, under the folder's own name, without a marker.
func (t *Target) Keep() error {
	if t.staging != "" {
		dir := int(t.parent.Fd())
		if err := unix.Renameat(dir, t.staging, dir, t.name); err != nil {
			t.Close()
			return &fs.PathError{Op: "rename", Path: t.path, Err: err}
		}
	}
	err := t.unmark()
	t.Close()
	return err
}

// Close closes the descriptors; a marker or a staged folder stays.
func (t *Target) Close() {
	t.root.Close()
	if t.parent != nil {
		t.parent.Close()
		t.parent = nil
	}
}
