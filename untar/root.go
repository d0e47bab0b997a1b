package untar

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A Root is a directory for a root file system. All work inside it goes through its
// descriptor.
type Root struct {
	fd        int
	path      string        // as the caller gave it, for messages
	deferred  *deferredRoot // what Finish has to do; nil: nothing
	named     bool          // an archive had an entry for the root directory
	owner     *owner        // of directories made by MkdirAll; nil: the caller
	fsKind    string
	own       []string    // names of files in the directory that belong to this program, not to the tree
	temporary []*TempFile // that are open
	known     knownDirs
	early     earlySync
	merged    *madePaths // of the last extraction, or of all layers, if that merged; else nil
}

// dirs returns a dirStack that begins at the root.
func (r *Root) dirs() dirStack {
	if r.known.ids == nil {
		r.known.start(false, false)
	}
	return dirStack{root: r.fd, most: maxOpenDirs, known: &r.known}
}

// An owner is a user and a group.
type owner struct{ uid, gid uint32 }

// A deferredRoot is the metadata that Finish has to set on the root directory.
type deferredRoot struct {
	_         [0]func() // forbids ==, whose code nothing needs
	mode      uint32    // before the extraction
	directory *directory
	x         *extractor
	touched   bool // a file in it was made or edited since the extraction, so the directory keeps that time
}

// OpenRoot opens an existing directory.
func OpenRoot(path string) (*Root, error) {
	for {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, pathError("open", path, err)
		}
		return &Root{fd: fd, path: path}, nil
	}
}

// Close closes the descriptor. After an extraction that was not followed by Sync, it may wait
// until a part of the files is on the disk.
func (r *Root) Close() error {
	r.early.wait()
	return unix.Close(r.fd)
}

// Sync makes all changes in the root's file system durable. Errors of earlier writes are
// certain to be reported only since Linux 5.8.
func (r *Root) Sync() error {
	err := r.early.wait()
	if err == nil {
		err = unix.Syncfs(r.fd)
	}
	if err != nil {
		return pathError("syncfs", r.path, err)
	}
	return nil
}

// deferRoot closes the root directory to other users until Finish.
func (r *Root) deferRoot() error {
	if r.deferred != nil {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(r.fd, &st); err != nil {
		return pathError("stat", r.path, err)
	}
	if err := unix.Fchmod(r.fd, 0700); err != nil {
		return pathError("chmod", r.path, err)
	}
	r.deferred = &deferredRoot{mode: st.Mode & 07777}
	return nil
}

// Finish sets the metadata of the root directory that Options.DeferRoot postponed: the
// archive's owner, mode, attributes and time, or the old mode if the archive has no entry
// for the root. If MkdirAll or a Rewriter changed the directory afterwards, its time stays.
// Call Finish when the archive is verified and no more files will be made in the root. It
// closes all files of TempFile.
func (r *Root) Finish() error {
	for len(r.temporary) > 0 {
		if err := r.temporary[0].Close(); err != nil {
			return err
		}
	}
	return r.finishRoot()
}

// finishRoot is Finish without the files of TempFile.
func (r *Root) finishRoot() error {
	d := r.deferred
	if d == nil {
		return nil
	}
	var err error
	if d.directory == nil {
		err = unix.Fchmod(r.fd, d.mode)
	} else {
		f := *d.directory
		f.named = f.named && !d.touched
		err = d.x.applyDir(r.fd, f, nil)
	}
	if err != nil {
		return &fs.PathError{Op: "finish", Path: r.path, Err: err}
	}
	r.deferred = nil
	return nil
}

// Reopen drops the metadata that Options.DeferRoot postponed, and restores the mode that the
// root directory had before.
func (r *Root) Reopen() error {
	if r.deferred != nil {
		r.deferred.directory = nil
	}
	return r.Finish()
}

// Open opens a directory in the root directory. name is a single component; a symbolic link
// is not followed.
func (r *Root) Open(name string) (*Root, error) {
	fd, err := openDir(r.fd, cname(name+"\x00"))
	if err != nil {
		return nil, pathError("open", filepath.Join(r.path, name), err)
	}
	return &Root{fd: fd, path: filepath.Join(r.path, name)}, nil
}

// OpenIn opens a directory in an open one, as Root.Open does.
func OpenIn(dir *os.File, name string) (*Root, error) {
	return (&Root{fd: int(dir.Fd()), path: dir.Name()}).Open(name)
}

// File opens the root directory once more.
func (r *Root) File() (*os.File, error) {
	fd, err := openat(r.fd, cname(".\x00"), dirFlags, 0)
	if err != nil {
		return nil, pathError("open", r.path, err)
	}
	return os.NewFile(uintptr(fd), r.path), nil
}

// A dirReader lists a directory.
type dirReader struct {
	fd  int
	buf []byte
	at  []byte // the part of buf that is not yet parsed
}

// newDirReader opens the directory once more, so that the file offset of fd does not change.
func newDirReader(fd int) (*dirReader, error) {
	own, err := openat(fd, cname(".\x00"), dirFlags, 0)
	if err != nil {
		return nil, err
	}
	return &dirReader{fd: own, buf: make([]byte, 8<<10)}, nil
}

// next returns the next name, or "" at the end.
func (d *dirReader) next() (string, error) {
	for {
		if len(d.at) == 0 {
			n, err := unix.ReadDirent(d.fd, d.buf)
			if err == unix.EINTR {
				continue
			}
			if err != nil || n == 0 {
				return "", err
			}
			d.at = d.buf[:n]
		}
		used, _, names := unix.ParseDirent(d.at, 1, nil)
		d.at = d.at[used:]
		if len(names) == 1 {
			return names[0], nil
		}
	}
}

func (d *dirReader) close() { unix.Close(d.fd) }

// IsEmpty reports whether the root directory is empty. The lost+found directory of a file
// system and this program's own files do not count.
func (r *Root) IsEmpty() (bool, error) {
	d, err := newDirReader(r.fd)
	if err != nil {
		return false, pathError("read", r.path, err)
	}
	defer d.close()
	for {
		name, err := d.next()
		if err != nil {
			return false, pathError("read", r.path, err)
		}
		if name == "" {
			return true, nil
		}
		if !r.ignores(name) {
			return false, nil
		}
	}
}

// ignores reports whether an entry of the root directory does not belong to the tree.
func (r *Root) ignores(name string) bool { return r.isLostFound(name) || slices.Contains(r.own, name) }

// removeOwn removes one of this program's files from the root directory, and restores the
// directory's time, which may be the archive's.
func (r *Root) removeOwn(name string) error {
	var st unix.Stat_t
	err := unix.Fstat(r.fd, &st)
	if err == nil {
		err = unix.Unlinkat(r.fd, name, 0)
	}
	if err == unix.EACCES { // an ordinary user's own directory that the archive made read-only
		if err = unix.Fchmod(r.fd, st.Mode&07777|0700); err == nil {
			err = unix.Unlinkat(r.fd, name, 0)
			unix.Fchmod(r.fd, st.Mode&07777)
		}
	}
	if err != nil && err != unix.ENOENT {
		return pathError("remove", r.path+"/"+name, err)
	}
	setTime(r.fd, nil, int64(st.Mtim.Sec), int32(st.Mtim.Nsec))
	return nil
}

// isLostFound reports whether an entry of the root directory is the lost+found of a new ext
// file system. Its inode number is the first that is not reserved (EXT4_GOOD_OLD_FIRST_INO).
// Another directory with that name belongs to an image.
func (r *Root) isLostFound(name string) bool {
	var st unix.Stat_t
	return name == "lost+found" && r.FileSystem() == "ext4" &&
		unix.Fstatat(r.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Ino == 11
}

// open resolves a name and opens the regular file at it.
func (r *Root) open(name string, flags int) (int, *unix.Stat_t, error) {
	if strings.HasSuffix(name, "/") || strings.HasSuffix(name, "/.") {
		return -1, nil, &NotRegularError{name} // such a name can only be a directory
	}
	path, err := r.resolve(name, resolveOptions{last: true})
	if err != nil {
		return -1, nil, err
	}
	if len(path) == 0 {
		return -1, nil, pathError("open", name, unix.EISDIR)
	}
	d := r.dirs()
	defer d.close()
	dir, base := splitPath(path)
	parent, _, err := d.enter(dir)
	var st unix.Stat_t
	var comp cname
	fd := -1
	if err == nil {
		err = lstatat(parent, comp.set(base), &st)
	}
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		return -1, nil, &NotRegularError{name}
	}
	if err == nil {
		// O_NONBLOCK: if another process made it a pipe, don't wait for a writer.
		fd, err = openat(parent, comp, flags|openFlags|unix.O_NONBLOCK, 0)
	}
	if err == nil {
		err = unix.Fstat(fd, &st)
	}
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		unix.Close(fd)
		return -1, nil, &NotRegularError{name}
	}
	if err != nil {
		return -1, nil, pathError("open", name, err)
	}
	return fd, &st, nil
}

// A NotRegularError means that a name leads to something other than a regular file.
type NotRegularError struct{ Name string }

func (e *NotRegularError) Error() string { return fmt.Sprintf("%q is not a regular file", e.Name) }

// A TooLargeError means that a file is larger than the caller allows.
type TooLargeError struct {
	Name string
	Max  int64 // bytes
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%q has more than %d bytes", e.Name, e.Max)
}

// ReadFile reads a regular file of at most max bytes. It resolves links inside the root (see
// OutsideError). The error is fs.ErrNotExist for a missing file, a *NotRegularError for
// anything but a regular file, and a *TooLargeError for a larger file.
func (r *Root) ReadFile(name string, max int64) ([]byte, error) {
	fd, _, err := r.open(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return readFD(fd, name, max)
}

// OpenFile opens a regular file for reading, and returns its size in bytes. It resolves names as
// ReadFile does, and has its errors.
func (r *Root) OpenFile(name string) (*os.File, int64, error) {
	fd, st, err := r.open(name, unix.O_RDONLY)
	if err != nil {
		return nil, 0, err
	}
	return os.NewFile(uintptr(fd), name), st.Size, nil
}

// readFD reads an open file of at most max bytes. name is for errors.
func readFD(fd int, name string, max int64) ([]byte, error) {
	data := make([]byte, 0, 4<<10)
	for {
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
		n, err := unix.Pread(fd, data[len(data):cap(data)], int64(len(data)))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, pathError("read", name, err)
		}
		data = data[:len(data)+n]
		if int64(len(data)) > max {
			return nil, &TooLargeError{name, max}
		}
		if n == 0 {
			return data, nil
		}
	}
}
