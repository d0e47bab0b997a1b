package pull

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A directory is a container's directory, held open. If lxc.idmap maps the container's root
// to another user, the directory belongs to that user, who may put links, pipes and hard
// links to other users' files into it at any moment. So every file is opened by one name
// below the descriptor, no link is followed, and a file is checked before it is read.
type directory struct {
	_    [0]func() // forbids ==, whose code nothing needs
	file *os.File
	path string // for messages
}

// openDir opens the directory at path. Only the owner of the directory above can put another
// directory at path, and that user is trusted.
func openDir(path string) (*directory, error) {
	f, err := os.OpenFile(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return &directory{file: f, path: path}, nil
}

func (f *directory) close() { f.file.Close() }

func (f *directory) fd() int { return int(f.file.Fd()) }

// fail returns the error of the system call op on name as a *fs.PathError; nil stays nil.
func (f *directory) fail(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: filepath.Join(f.path, name), Err: err}
}

// stat returns the status of a name; it does not follow a link.
func (f *directory) stat(name string) (st unix.Stat_t, err error) {
	err = unix.Fstatat(f.fd(), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return st, err
}

// owner returns the directory's user ID and mode.
func (f *directory) owner() (uid, mode uint32, err error) {
	var st unix.Stat_t
	err = f.fail("stat", "", unix.Fstat(f.fd(), &st))
	return st.Uid, st.Mode & 0o7777, err
}

// remove removes a file; it is no error if the file does not exist.
func (f *directory) remove(name string) error {
	return f.fail("remove", name, unlink(f.fd(), name))
}

// rename renames a file, and replaces the file to.
func (f *directory) rename(from, to string) error {
	return f.fail("rename", from, unix.Renameat(f.fd(), from, f.fd(), to))
}

// sync makes the names in the directory durable, if the file system can sync directories.
func (f *directory) sync() error {
	if err := f.file.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}

// errNotOwnFile says why a file is not read. A file with a second name may be a hard link to
// another user's secret file, whose content would be copied into the new config.
var errNotOwnFile = errors.New("not a regular file with one name")

// read returns the content of a regular file of at most maxConfig bytes, and its status.
func (f *directory) read(name string) (data []byte, st unix.Stat_t, err error) {
	// With O_NONBLOCK the open of a pipe does not wait for a writer.
	fd, err := unix.Openat(f.fd(), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_LARGEFILE, 0)
	if err == unix.ELOOP {
		err = errNotOwnFile // a symbolic link
	}
	if err != nil {
		return nil, st, f.fail("open", name, err)
	}
	file := os.NewFile(uintptr(fd), filepath.Join(f.path, name))
	defer file.Close()
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, st, f.fail("stat", name, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink > 1 && !f.isKept(name, &st) {
		return nil, st, f.fail("read", name, errNotOwnFile)
	}
	data, err = readLimit(file, maxConfig)
	return data, st, err
}

// isKept reports whether the second name of a file with two names is the one under which
// publish keeps it. A run that was killed inside publish leaves both names.
func (f *directory) isKept(name string, st *unix.Stat_t) bool {
	kept, err := f.stat(oldName(name))
	return err == nil && st.Nlink == 2 && kept.Dev == st.Dev && kept.Ino == st.Ino
}

// accessACL is the extended attribute with a file's access control list (acl(5)).
const accessACL = "system.posix_acl_access"

// containerFiles are the files of a container's directory that prepare and publish edit.
var containerFiles = []string{RecordFile, "fstab", "config"}

// newName is the name under which a file's new content is written.
func newName(name string) string { return "." + name + ".partial" }

// oldName is the name under which a file's old content is kept until the container is
// complete. A dangling symlink of that name records that the file did not exist.
func oldName(name string) string { return "." + name + ".before" }

// An edit is a change of one file in a container's directory.
type edit struct {
	name     string
	mode     uint32                     // for a new file; a file that exists keeps its permissions
	keep     bool                       // save the old file so that restore can put it back
	uid, gid int                        // the new owner; -1 leaves it unchanged
	content  func(before []byte) []byte // returns the new content
	absent   bool                       // the file did not exist when prepare read it
}

// prepare writes the new content of a file under another name, and publish then renames it, so
// that after a crash either the old file or the new one is there.
func (f *directory) prepare(e *edit) (err error) {
	temporary := newName(e.name)
	before, st, err := f.read(e.name)
	e.absent = errors.Is(err, fs.ErrNotExist)
	if err != nil && !e.absent {
		return err
	}
	if err := f.remove(temporary); err != nil { // a killed run may have left it
		return err
	}
	fd, err := unix.Openat(f.fd(), temporary, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_LARGEFILE, 0o600)
	if err != nil {
		return f.fail("make", temporary, err)
	}
	file := os.NewFile(uintptr(fd), filepath.Join(f.path, temporary))
	defer func() {
		file.Close()
		if err != nil {
			f.remove(temporary)
		}
	}()
	// The directory's default ACL would give users access to the file, whatever its mode.
	unix.Fremovexattr(fd, accessACL)
	if _, err := file.Write(e.content(before)); err != nil {
		return err
	}
	mode := e.mode
	if !e.absent {
		mode = st.Mode & 0o777 // never set-user-ID: the file may get another owner
		// This fails if this process may not give files away. Then the file belongs to this
		// process's user, like the file that sed makes for the stock template.
		unix.Fchown(fd, int(st.Uid), int(st.Gid))
	}
	// In a user namespace the file belongs to the namespace's root, and the user who
	// called lxc-create could not edit it. As in the stock template, errors are ignored.
	unix.Fchown(fd, e.uid, e.gid)
	if err := unix.Fchmod(fd, mode); err != nil {
		return f.fail("chmod", temporary, err)
	}
	return nil
}

// publish syncs the file that prepare has written, and renames it.
func (f *directory) publish(e *edit) error {
	temporary, kept := newName(e.name), oldName(e.name)
	err := f.syncFile(temporary)
	if err != nil {
		f.remove(temporary)
		return err
	}
	// On a file system without links nothing is kept, and a failure from here on loses the
	// old content. LXC wrote it, and the next lxc-create writes it again.
	if e.keep {
		f.remove(kept)
		if e.absent {
			unix.Symlinkat("nothing", f.fd(), kept)
		} else {
			unix.Linkat(f.fd(), e.name, f.fd(), kept, 0)
		}
	}
	if err = f.rename(temporary, e.name); err != nil {
		f.remove(temporary)
	}
	return err
}

// syncFile waits until a file is on the disk.
func (f *directory) syncFile(name string) error {
	fd, err := unix.Openat(f.fd(), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_LARGEFILE, 0)
	if err == nil {
		err = unix.Fsync(fd)
		unix.Close(fd)
	}
	if err != nil {
		return f.fail("sync", name, err)
	}
	return nil
}

// restore undoes each prepare, and each publish with keep.
func (f *directory) restore() error {
	for _, name := range containerFiles {
		kept := oldName(name)
		err := f.remove(newName(name))
		st, missing := f.stat(kept)
		switch {
		case missing == unix.ENOENT || err != nil:
		case missing != nil:
			err = f.fail("stat", kept, missing)
		case st.Mode&unix.S_IFMT == unix.S_IFREG:
			// If both are names of one file, rename(2) does nothing and leaves both.
			if err = f.rename(kept, name); err == nil {
				err = f.remove(kept)
			}
		default:
			if err = f.remove(name); err == nil {
				err = f.remove(kept)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// forget removes the old files that publish has kept. This is not synced: an old file that is back
// after a power cut does no harm.
func (f *directory) forget() {
	for _, name := range containerFiles {
		f.remove(oldName(name))
	}
}

// maxConfig is the largest config that is read, in bytes. LXC's configs have a few kilobytes.
const maxConfig = 1 << 20

// readFile returns the content of a file of at most max bytes.
func readFile(name string, max int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	data, err := readLimit(f, max)
	f.Close()
	return data, err
}

// readLimit returns the rest of an open file, of at most max bytes.
func readLimit(f *os.File, max int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(f, max+1))
	if err == nil && int64(len(data)) > max {
		err = fmt.Errorf("%q is larger than %d bytes", f.Name(), max)
	}
	return data, err
}
