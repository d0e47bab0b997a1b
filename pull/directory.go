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
// to another user, the directory belongs to that user, who may put links, pipes and other
// people's files into it at any moment. So every file is reached by one name below the
// descriptor, no link is followed, and a file is looked at before it is read.
type directory struct {
	file *os.File
	path string // for messages
}

// openDir opens the directory at path. Who may swap what is at path is trusted:
// it is the owner of the directory of all containers.
func openDir(path string) (*directory, error) {
	f, err := os.OpenFile(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return &directory{f, path}, nil
}

func (f *directory) close() { f.file.Close() }

func (f *directory) fd() int { return int(f.file.Fd()) }

// fail puts the error of a system call on name into words; nil stays nil.
func (f *directory) fail(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: filepath.Join(f.path, name), Err: err}
}

// stat looks at a name without following it.
func (f *directory) stat(name string) (st unix.Stat_t, err error) {
	err = unix.Fstatat(f.fd(), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return st, err
}

// owner returns the user to whom the directory belongs, and its mode.
func (f *directory) owner() (uid, mode uint32, err error) {
	var st unix.Stat_t
	err = f.fail("stat", "", unix.Fstat(f.fd(), &st))
	return st.Uid, st.Mode & 0o7777, err
}

// remove removes a file; a name that is not there is no error.
func (f *directory) remove(name string) error {
	return f.fail("remove", name, unlink(f.fd(), name))
}

// rename gives a file another name.
func (f *directory) rename(from, to string) error {
	return f.fail("rename", from, unix.Renameat(f.fd(), from, f.fd(), to))
}

// sync makes the names in the directory durable, where directories can be synced.
func (f *directory) sync() error {
	if err := f.file.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}

// errNotOwnFile says why a file is not read: what has another name may be
// another user's, put there so that its content comes to light in the new file.
var errNotOwnFile = errors.New("not a regular file with one name")

// read returns the content of a file of at most maxConfig bytes, and what there
// is to know about it.
func (f *directory) read(name string) (data []byte, st unix.Stat_t, err error) {
	// O_NONBLOCK: a pipe must not make the run wait for a writer.
	fd, err := unix.Openat(f.fd(), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_LARGEFILE, 0)
	if err == unix.ELOOP {
		err = errNotOwnFile // a link
	}
	if err != nil {
		return nil, st, f.fail("open", name, err)
	}
	file := os.NewFile(uintptr(fd), filepath.Join(f.path, name))
	defer file.Close()
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, st, f.fail("stat", name, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink > 1 {
		return nil, st, f.fail("read", name, errNotOwnFile)
	}
	data, err = readLimit(file, maxConfig)
	return data, st, err
}

// accessACL is the extended attribute that holds a file's access control list
// (acl(5)).
const accessACL = "system.posix_acl_access"

// containerFiles are the files of a container's directory that are edited.
var containerFiles = []string{"fstab", "config"}

// asideName is where a file's new content is written.
func asideName(name string) string { return "." + name + ".partial" }

// beforeName is where a file's old content is kept until the creation is
// complete. That there was no such file before is kept as a link to nothing.
func beforeName(name string) string { return "." + name + ".before" }

// An edit is a change of one file in a container's directory.
type edit struct {
	name     string
	mode     uint32 // of a new file; one that is there keeps the bits of its mode that are permissions
	keep     bool   // save the old file so that restore can put it back
	uid, gid int    // the new owner; -1: as before
	content  func(before []byte) []byte
}

// replace writes a file anew: aside and with a rename, so that after a crash
// the old one or the new one is there.
func (f *directory) replace(e edit) (err error) {
	aside, kept := asideName(e.name), beforeName(e.name)
	before, st, err := f.read(e.name)
	absent := errors.Is(err, fs.ErrNotExist)
	if err != nil && !absent {
		return err
	}
	if err := f.remove(aside); err != nil { // a killed run's
		return err
	}
	fd, err := unix.Openat(f.fd(), aside, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_LARGEFILE, 0o600)
	if err != nil {
		return f.fail("make", aside, err)
	}
	file := os.NewFile(uintptr(fd), filepath.Join(f.path, aside))
	defer func() {
		file.Close()
		if err != nil {
			f.remove(aside)
		}
	}()
	// A directory's default ACL would let its users into the file, whatever the mode.
	unix.Fremovexattr(fd, accessACL)
	if _, err := file.Write(e.content(before)); err != nil {
		return err
	}
	mode := e.mode
	if !absent {
		mode = st.Mode & 0o777 // never set-user-ID: the file may be another user's
		// Fails where the owner is not ours to give; then the file is ours,
		// as the one that sed makes for the stock template is.
		unix.Fchown(fd, int(st.Uid), int(st.Gid))
	}
	// In a user namespace the file belongs to its root; its owner could not
	// edit it. As in the stock template a failure is none.
	unix.Fchown(fd, e.uid, e.gid)
	if err := unix.Fchmod(fd, mode); err != nil {
		return f.fail("chmod", aside, err)
	}
	if err := file.Sync(); err != nil {
		return err
	}
	// Where the file system has no links, a failure from here on costs the old
	// content; it is LXC's own, made anew by the next lxc-create.
	if e.keep {
		f.remove(kept)
		if absent {
			unix.Symlinkat("nothing", f.fd(), kept)
		} else {
			unix.Linkat(f.fd(), e.name, f.fd(), kept, 0)
		}
	}
	return f.rename(aside, e.name)
}

// restore undoes what replace did to the files with keep.
func (f *directory) restore() error {
	for _, name := range containerFiles {
		kept := beforeName(name)
		err := f.remove(asideName(name))
		st, missing := f.stat(kept)
		switch {
		case missing == unix.ENOENT || err != nil:
		case missing != nil:
			err = f.fail("stat", kept, missing)
		case st.Mode&unix.S_IFMT == unix.S_IFREG:
			// A rename between two names of one file does nothing, and leaves both.
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

// forget removes what replace kept: the new files are there to stay.
func (f *directory) forget() {
	for _, name := range containerFiles {
		f.remove(beforeName(name))
	}
	f.sync() // a name that came back after a power cut would do no harm
}

// maxConfig is the largest config that is read, in bytes. LXC's have a few kilobytes.
const maxConfig = 1 << 20

// readFile returns a file of at most max bytes.
func readFile(name string, max int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readLimit(f, max)
}

// readLimit returns the rest of an open file, of at most max bytes.
func readLimit(f *os.File, max int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(f, max+1))
	if err == nil && int64(len(data)) > max {
		err = fmt.Errorf("%q is larger than %d bytes", f.Name(), max)
	}
	return data, err
}
