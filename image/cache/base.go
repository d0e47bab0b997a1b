package cache

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is how many symbolic links the path BASE may lead through, as in the kernel
// (path_resolution(7)).
const maxLinks = 40

// A baseWalk opens BASE one name of its path at a time and checks the owner of every
// directory and link on the way: the owner of a directory can replace BASE by another
// directory, and the owner of a link can choose where it leads.
type baseWalk struct {
	cache *Cache
	above *directory  // its owners: the users who may own the directories above BASE
	root  unix.Stat_t // of "/"
	dir   int         // descriptor of the directory reached
	at    string      // the path of dir
	rest  string      // the path still to go, below dir
	links int         // links followed
}

const walkFlags = unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC

// base opens BASE. If create is true it creates BASE and the directories above it.
func (c *Cache) base(create bool) (*directory, error) {
	if c.Base == "" {
		return nil, errors.New("no directory is known for it")
	}
	d := &directory{nil, c.owners()}
	w := &baseWalk{cache: c, above: &directory{}, at: ".", rest: c.Base}
	if c.Base[0] == '/' {
		w.at = "/"
	}
	if err := unix.Stat("/", &w.root); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: "/", Err: err}
	}
	// The owner of "/" decides where all paths lead, so it is trusted. In a user
	// namespace it is root of the host, whose id there is 65534, like that of every
	// user who is not mapped: directories of these users can't be told apart from root's.
	w.above.owners = append(append([]int{int(w.root.Uid)}, d.owners...), c.Above...)
	var err error
	if w.dir, err = unix.Open(w.at, walkFlags, 0); err != nil {
		return nil, &fs.PathError{Op: "open", Path: w.at, Err: err}
	}
	for w.rest = strings.TrimLeft(w.rest, "/"); err == nil && w.rest != ""; w.rest = strings.TrimLeft(w.rest, "/") {
		err = w.step(create)
	}
	fd := -1
	if err == nil {
		if fd, err = unix.Openat(w.dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
			err = &fs.PathError{Op: "open", Path: c.Base, Err: err}
		}
	}
	unix.Close(w.dir)
	if err != nil {
		return nil, err
	}
	d.file = os.NewFile(uintptr(fd), c.Base)
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil {
		err = d.checkTrust(fd, &st, c.Base)
	}
	if err != nil {
		d.file.Close()
		return nil, err
	}
	return d, nil
}

// step opens the first name of rest.
func (w *baseWalk) step(create bool) error {
	var name string
	name, w.rest, _ = strings.Cut(w.rest, "/")
	// Not fstat(2): Linux before 3.6 refuses it for an O_PATH descriptor (open(2)).
	var here unix.Stat_t
	if err := unix.Fstatat(w.dir, "", &here, unix.AT_EMPTY_PATH); err != nil {
		return &fs.PathError{Op: "stat", Path: w.at, Err: err}
	}
	if err := w.above.checkTrust(-1, &here, w.at); err != nil {
		err.(*untrustedError).reason += ", and the cache " + strconv.Quote(w.cache.Base) + " is below it"
		return err
	}
	path := strings.TrimSuffix(w.at, "/") + "/" + name
	next, err := unix.Openat(w.dir, name, walkFlags|unix.O_NOFOLLOW, 0)
	if err == unix.ENOENT && create {
		if err = unix.Mkdirat(w.dir, name, 0o755); err == nil || err == unix.EEXIST {
			created := err == nil
			if next, err = unix.Openat(w.dir, name, walkFlags|unix.O_NOFOLLOW, 0); err == nil && created {
				w.giveAway(next)
			}
		}
	}
	if err == unix.ENOTDIR || err == unix.ELOOP {
		return w.follow(name, path, &here)
	}
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	unix.Close(w.dir)
	w.dir, w.at = next, path
	return nil
}

// giveAway gives a directory that step created to the cache's owner.
func (w *baseWalk) giveAway(dir int) {
	if fd, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == nil {
		f := os.NewFile(uintptr(fd), "")
		w.cache.giveAway(f)
		f.Close()
	}
}

// follow reads the symbolic link name in dir and puts its target in front of rest. here
// is the state of dir, path the path of the link.
func (w *baseWalk) follow(name, path string, here *unix.Stat_t) error {
	var st unix.Stat_t
	target, n := make([]byte, unix.PathMax), 0
	link, err := unix.Openat(w.dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == nil {
		err = unix.Fstatat(link, "", &st, unix.AT_EMPTY_PATH)
	}
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFLNK {
		err = unix.ENOTDIR
	}
	if err == nil {
		n, err = unix.Readlinkat(link, "", target)
	}
	unix.Close(link)
	if w.links++; err == nil && w.links > maxLinks {
		err = unix.ELOOP
	}
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	// A link in "/" is trusted as "/" is. So is a link of the owner of "/" in a
	// directory that only this owner may write: /home/alice may be such a link, also in a
	// user namespace, where root of the host has the id 65534.
	system := here.Dev == w.root.Dev && here.Ino == w.root.Ino || here.Mode&0o022 == 0 && here.Uid == st.Uid
	system = system && (st.Uid == w.root.Uid || slices.Contains(w.cache.Above, int(st.Uid)))
	if !system && !slices.Contains(w.cache.owners(), int(st.Uid)) {
		return &untrustedError{path: path, reason: "is a link of " + user(&st) + "; LXC_CACHE_PATH may name the directory that it leads to"}
	}
	w.rest = string(target[:n]) + "/" + w.rest
	if n == 0 || target[0] != '/' {
		return nil
	}
	next, err := unix.Open("/", walkFlags, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	unix.Close(w.dir)
	w.dir, w.at = next, "/"
	return nil
}
