package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Who may change the cache: root, the user of this process and, in a user
// namespace, the user to whom the cache is given (Cache.UID). A file or directory
// of anybody else, or one that anybody else may write, is not used: its owner
// could change it between two reads, put an old image back, or hold its lock.
//
// An id that is not mapped into the namespace shows as 65534 (user_namespaces(7),
// "Unmapped user and group IDs"), whoever it is, and so counts for nobody.

// An UntrustedError is a file or directory in the cache that is not used.
type UntrustedError struct {
	Path string
	Why  string // "belongs to user 1000, ..."
}

func (e *UntrustedError) Error() string { return fmt.Sprintf("%q %s", e.Path, e.Why) }

// Unwrap makes it fs.ErrPermission: another user's cache.
func (e *UntrustedError) Unwrap() error { return fs.ErrPermission }

func untrusted(err error) bool {
	var e *UntrustedError
	return errors.As(err, &e)
}

// owners are the user ids to which the cache's files may belong.
func (c *Cache) owners() []int {
	ids := []int{0, os.Geteuid()}
	if c.Chown && c.UID != -1 {
		ids = append(ids, c.UID)
	}
	return ids
}

// distrust says why an open file or directory is not used; nil: it may be used. A
// descriptor of -1 means that path leads to it.
func (d directory) distrust(fd int, st *unix.Stat_t, path string) error {
	if !slices.Contains(d.owners, int(st.Uid)) {
		return &UntrustedError{path, fmt.Sprintf("belongs to user %d, who is neither root nor this user", st.Uid)}
	}
	// In a sticky directory nobody can take away or replace another's names.
	if st.Mode&0o022 == 0 || st.Mode&unix.S_IFMT == unix.S_IFDIR && st.Mode&unix.S_ISVTX != 0 {
		return nil
	}
	// A group with its user's number is that user's own (adduser(8), USERGROUPS).
	// But where there is an access control list, the group's bits are what it gives
	// to anybody at most (acl(5)).
	if st.Mode&0o002 != 0 || st.Gid != st.Uid {
		return &UntrustedError{path, fmt.Sprintf("may be written by other users (mode %04o)", st.Mode&0o7777)}
	}
	if hasACL(fd, path) {
		return &UntrustedError{path, "may be written by other users (its access control list says so)"}
	}
	return nil
}

// hasACL reports whether more than the mode says who may use a file.
func hasACL(fd int, path string) bool {
	const name = "system.posix_acl_access"
	if fd < 0 {
		n, err := unix.Lgetxattr(path, name, nil)
		return err == nil && n > 0
	}
	n, err := unix.Fgetxattr(fd, name, nil)
	return err == nil && n > 0
}

// maxLinks is how many symbolic links BASE may lead through: as the kernel's limit
// (path_resolution(7)).
const maxLinks = 40

// A baseWalk goes to BASE one name at a time. Who owns a directory on the way can put
// another one in BASE's place, and whose link is followed chooses the place.
type baseWalk struct {
	cache *Cache
	above directory // its owners: those in whose directories BASE may lie
	root  unix.Stat_t
	dir   int    // the directory that was reached
	at    string // its path
	rest  string
	links int
}

const walkFlags = unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC

// base opens the cache's directory; it makes it, with its parents, if make says so.
func (c *Cache) base(make bool) (directory, error) {
	if c.Base == "" {
		return directory{}, errors.New("no directory is known for it")
	}
	d := directory{nil, c.owners()}
	w := &baseWalk{cache: c, at: ".", rest: c.Base}
	if c.Base[0] == '/' {
		w.at = "/"
	}
	if err := unix.Stat("/", &w.root); err != nil {
		return directory{}, &fs.PathError{Op: "stat", Path: "/", Err: err}
	}
	// Whoever owns "/" decides where all paths lead. In a user namespace that is
	// root outside, and has the number of nobody, as all others have who are not
	// mapped: whose the directories of these are can't be told there.
	w.above.owners = slices.Concat(d.owners, c.Above, []int{int(w.root.Uid)})
	var err error
	if w.dir, err = unix.Open(w.at, walkFlags, 0); err != nil {
		return directory{}, &fs.PathError{Op: "open", Path: w.at, Err: err}
	}
	defer func() { unix.Close(w.dir) }()
	for w.rest = strings.TrimLeft(w.rest, "/"); w.rest != ""; w.rest = strings.TrimLeft(w.rest, "/") {
		if err := w.step(make); err != nil {
			return directory{}, err
		}
	}
	fd, err := unix.Openat(w.dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return directory{}, &fs.PathError{Op: "open", Path: c.Base, Err: err}
	}
	d.File = os.NewFile(uintptr(fd), c.Base)
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil {
		err = d.distrust(fd, &st, c.Base)
	}
	if err != nil {
		d.Close()
		return directory{}, err
	}
	return d, nil
}

// step goes through the first name of rest.
func (w *baseWalk) step(make bool) error {
	var name string
	name, w.rest, _ = strings.Cut(w.rest, "/")
	// Linux before 3.6 has no fstat of such a descriptor.
	var here unix.Stat_t
	if err := unix.Fstatat(w.dir, "", &here, unix.AT_EMPTY_PATH); err != nil {
		return &fs.PathError{Op: "stat", Path: w.at, Err: err}
	}
	if err := w.above.distrust(-1, &here, w.at); err != nil {
		err.(*UntrustedError).Why += fmt.Sprintf(", and the cache %q is below it", w.cache.Base)
		return err
	}
	path := strings.TrimSuffix(w.at, "/") + "/" + name
	next, err := unix.Openat(w.dir, name, walkFlags|unix.O_NOFOLLOW, 0)
	if err == unix.ENOENT && make {
		if err = unix.Mkdirat(w.dir, name, 0o755); err == nil || err == unix.EEXIST {
			made := err == nil
			if next, err = unix.Openat(w.dir, name, walkFlags|unix.O_NOFOLLOW, 0); err == nil && made {
				w.give(next)
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

// give gives a directory that was just made to the cache's owner.
func (w *baseWalk) give(dir int) {
	if fd, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == nil {
		f := os.NewFile(uintptr(fd), "")
		w.cache.own(f)
		f.Close()
	}
}

// follow goes where a link leads.
func (w *baseWalk) follow(name, path string, here *unix.Stat_t) error {
	fail := func(err error) error { return &fs.PathError{Op: "open", Path: path, Err: err} }
	link, err := unix.Openat(w.dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(link)
	var st unix.Stat_t
	if err := unix.Fstatat(link, "", &st, unix.AT_EMPTY_PATH); err != nil {
		return fail(err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return fail(unix.ENOTDIR)
	}
	// A link in "/" is as good as "/" itself, and so is one that the same owner made
	// in a directory that nobody else may write: /home/alice may be one, also in a user
	// namespace, where root outside has the number of nobody.
	top := here.Dev == w.root.Dev && here.Ino == w.root.Ino || here.Mode&0o022 == 0 && here.Uid == st.Uid
	top = top && (st.Uid == w.root.Uid || slices.Contains(w.cache.Above, int(st.Uid)))
	if !top && !slices.Contains(w.cache.owners(), int(st.Uid)) {
		return &UntrustedError{path, fmt.Sprintf("is a link of user %d, who is neither root nor this user; LXC_CACHE_PATH may name the directory that it leads to", st.Uid)}
	}
	if w.links++; w.links > maxLinks {
		return fail(unix.ELOOP)
	}
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(link, "", target)
	if err != nil {
		return fail(err)
	}
	w.rest = string(target[:n]) + "/" + w.rest
	if n == 0 || target[0] != '/' {
		return nil
	}
	next, err := unix.Open("/", walkFlags, 0)
	if err != nil {
		return fail(err)
	}
	unix.Close(w.dir)
	w.dir, w.at = next, "/"
	return nil
}
