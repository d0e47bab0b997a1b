package untar

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Root is a directory that holds, or is to hold, a root filesystem. All work
// inside it goes through its descriptor.
type Root struct {
	fd       int
	path     string // as the caller named it, for messages
	deferred *deferredRoot
	named    bool   // an archive had an entry for the root
	owner    *owner // of what is made in it besides archives; nil: the caller
	fsKind   string
	own      []string // names in the directory that are the program's, not the tree's
	// temporary are the files of TempFile that are open.
	temporary []*TempFile
	known     knownDirs
	merged    *madePaths // of the last extraction, if that merged; else nil
}

// ErrNotMade says that a file was in the root before the image that was extracted
// beside it.
var ErrNotMade = errors.New("it is not of the archive")

// dirs returns a way to walk below the root.
func (r *Root) dirs() dirStack {
	if r.known.ids == nil {
		r.known.start(false, false)
	}
	return dirStack{root: r.fd, most: maxOpenDirs, known: &r.known}
}

type owner struct{ uid, gid uint32 }

// A deferredRoot is what Finish still has to give to the root directory.
type deferredRoot struct {
	mode      uint32 // its own
	directory *directory
	x         *extractor
	touched   bool // something was made or edited in it since: its time is that
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

// Close closes the descriptor.
func (r *Root) Close() error { return unix.Close(r.fd) }

// Sync makes everything in the root's file system durable. Errors of earlier
// writes are sure to show only from Linux 5.8 on.
func (r *Root) Sync() error {
	if err := unix.Syncfs(r.fd); err != nil {
		return pathError("syncfs", r.path, err)
	}
	return nil
}

// deferRoot closes the root to others until Finish.
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

// Finish gives the root directory what Options.DeferRoot kept back: the archive's
// own owner, mode, attributes and time, or the mode that it had before where
// the archive has no entry for it. (The time is the present where MkdirAll or a
// Rewriter changed the directory since.) Call it when the archive is known to be
// right and nothing is made in the root any more. It closes what TempFile made.
func (r *Root) Finish() error {
	for len(r.temporary) > 0 {
		if err := r.temporary[0].Close(); err != nil {
			return err
		}
	}
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

// Reopen drops what Options.DeferRoot kept back: the root directory has the mode
// again that it had before.
func (r *Root) Reopen() error {
	if r.deferred != nil {
		r.deferred.directory = nil
	}
	return r.Finish()
}

// Open opens a directory in the root directory, by one name; a link is not followed.
func (r *Root) Open(name string) (*Root, error) {
	fd, err := openDir(r.fd, cname(name+"\x00"))
	if err != nil {
		return nil, pathError("open", filepath.Join(r.path, name), err)
	}
	return &Root{fd: fd, path: filepath.Join(r.path, name)}, nil
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
	at  []byte // what of buf is still to be parsed
}

// newDirReader opens the directory once more, so that fd keeps its place.
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

// IsEmpty reports whether the root directory has no entry but a file system's own
// lost+found, and the program's.
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

// ignores reports whether an entry of the root directory is not of the tree.
func (r *Root) ignores(name string) bool { return r.isLostFound(name) || slices.Contains(r.own, name) }

// removeOwn removes a file of the program's from the root directory, which keeps its
// time: that is the archive's by now.
func (r *Root) removeOwn(name string) error {
	var st unix.Stat_t
	err := unix.Fstat(r.fd, &st)
	if err == nil {
		err = unix.Unlinkat(r.fd, name, 0)
	}
	if err == unix.EACCES { // an ordinary user's own directory, which the archive made read-only
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

// isLostFound reports whether an entry of the root directory is the directory that
// every new ext file system has: its inode is the first that is not reserved
// (EXT4_GOOD_OLD_FIRST_INO). Any other of that name is an image's.
func (r *Root) isLostFound(name string) bool {
	var st unix.Stat_t
	return name == "lost+found" && r.FileSystem() == "ext4" &&
		unix.Fstatat(r.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Ino == 11
}

const maxLinks = 40 // symbolic links in one resolution, as in the kernel

// An OutsideError is a symbolic link inside the root that leads above it.
type OutsideError struct {
	Name string // that was to be resolved
	Link string // the path of the link
}

func (e *OutsideError) Error() string {
	return fmt.Sprintf("%q: the link %q leads out of the root", e.Name, e.Link)
}

type resolveOptions struct {
	last   bool   // resolve also the last component where it is a link
	create uint32 // not 0: make missing directories with this mode
}

// resolve finds the path without links that name stands for, as a process
// chrooted to the root would: absolute links start at the root, and ".." in
// name stops there. A link whose ".." would go above the root is an
// *OutsideError. The components of the result but the last exist, unless they
// were to be created.
func (r *Root) resolve(name string, opt resolveOptions) ([]byte, error) {
	if len(name) > maxName {
		return nil, pathError("resolve", name, unix.ENAMETOOLONG)
	}
	w := way{root: r, name: name, opt: opt, d: r.dirs()}
	defer w.d.close()
	w.push([]byte(name), "")
	for len(w.todo) > 0 {
		if err := w.step(); err != nil {
			return nil, err
		}
	}
	return w.path, nil
}

// A way is one resolution.
type way struct {
	root  *Root
	name  string
	opt   resolveOptions
	d     dirStack
	path  []byte // as far as it is resolved
	todo  []part // the next one last; at most one a link, and the name
	links int
}

// A part is what is still to be resolved, without "" and ".".
type part struct {
	rest []byte
	link string // the link that it comes from, "" for name itself
}

func (w *way) push(s []byte, link string) {
	var clean []byte
	for c := range bytes.SplitSeq(s, []byte("/")) {
		if len(c) > 0 && string(c) != "." {
			clean = append(append(clean, c...), '/')
		}
	}
	if len(clean) > 0 {
		w.todo = append(w.todo, part{clean[:len(clean)-1], link})
	}
}

func (w *way) fail(op string, err error) error { return pathError(op, w.name, err) }

// step resolves what comes before the next link or "..".
func (w *way) step() error {
	p := w.todo[len(w.todo)-1]
	w.todo = w.todo[:len(w.todo)-1]
	down, after := p.rest, []byte(nil)
	for at, n := 0, bytes.Count(w.path, []byte("/")); at <= len(p.rest); n++ {
		c, _, _ := bytes.Cut(p.rest[at:], []byte("/"))
		if string(c) == ".." {
			down, after = p.rest[:max(at-1, 0)], p.rest[at:]
			break
		}
		if len(c) > maxComponent || bytes.IndexByte(c, 0) >= 0 || n > maxComponents {
			return w.fail("resolve", unix.ENAMETOOLONG)
		}
		at += len(c) + 1
	}
	if len(down) == 0 { // begins with ".."
		if len(w.path) == 0 && p.link != "" {
			return &OutsideError{w.name, p.link}
		}
		w.path, _ = splitPath(w.path)
		w.push(bytes.TrimPrefix(after, []byte("..")), p.link)
		return nil
	}
	w.push(after, p.link)
	full := slices.Concat(w.path, []byte("/"), down)
	if len(w.path) == 0 {
		full = full[1:]
	}
	fd, rest, err := w.d.enter(full)
	for err == unix.ENOENT && w.opt.create != 0 {
		component, _, _ := bytes.Cut(rest, []byte("/"))
		if err := w.mkdir(fd, component); err != nil {
			return w.fail("mkdir", err)
		}
		fd, rest, err = w.d.enter(full)
	}
	if err == nil {
		w.path = full
		return nil
	}
	return w.follow(fd, full, rest, p.link, err)
}

func (w *way) mkdir(fd int, component []byte) error {
	var c cname
	err := mkdirat(fd, c.set(component), w.opt.create)
	if d := w.root.deferred; d != nil && fd == w.root.fd {
		d.touched = true
	}
	if o := w.root.owner; err == nil && o != nil {
		err = lchownat(fd, c, o.uid, o.gid)
	}
	return err
}

// follow goes on where full could be entered up to rest: through a link, or to the
// end.
func (w *way) follow(fd int, full, rest []byte, link string, why error) error {
	component, below, more := bytes.Cut(rest, []byte("/"))
	last := !more && len(w.todo) == 0
	if last && !w.opt.last && (isNotDir(why) || why == unix.ENOENT) {
		w.path = full
		return nil
	}
	if !isNotDir(why) && why != unix.ENOENT {
		return w.fail("open", why)
	}
	var target [maxTarget + 1]byte
	var c cname
	n, err := readlinkat(fd, c.set(component), target[:])
	switch {
	case err == nil:
	case last && (err == unix.EINVAL || err == unix.ENOENT):
		w.path = full
		return nil
	case err == unix.EINVAL:
		return w.fail("open", unix.ENOTDIR)
	default:
		return w.fail("resolve", err)
	}
	if w.links++; w.links > maxLinks {
		return w.fail("resolve", unix.ELOOP)
	}
	at := full[:len(full)-len(rest)+len(component)]
	w.path, _ = splitPath(at)
	if target[0] == '/' {
		w.path = nil
	}
	w.push(below, link)
	w.push(target[:n], string(at))
	return nil
}

// MkdirAll makes a directory and those above it that are missing, with mode perm
// less the umask. Links are resolved inside the root, see OutsideError.
func (r *Root) MkdirAll(name string, perm uint32) error {
	path, err := r.resolve(name, resolveOptions{last: true, create: perm})
	if err != nil {
		return err
	}
	d := r.dirs()
	defer d.close()
	if _, _, err := d.enter(path); err != nil {
		return pathError("mkdir", name, err)
	}
	return nil
}

// open resolves a name and opens the regular file that it stands for.
func (r *Root) open(name string, flags int) (int, *unix.Stat_t, error) {
	if strings.HasSuffix(name, "/") || strings.HasSuffix(name, "/.") {
		return -1, nil, &NotRegularError{name} // names a directory, whatever is there
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
		// O_NONBLOCK: should it be a pipe by now, don't wait for a writer.
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

// A NotRegularError is a name that stands for something else than a file.
type NotRegularError struct{ Name string }

func (e *NotRegularError) Error() string { return fmt.Sprintf("%q is not a regular file", e.Name) }

// A TooLargeError is a file inside the root above the size that the caller
// allows.
type TooLargeError struct {
	Name string
	Max  int64 // bytes
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%q has more than %d bytes", e.Name, e.Max)
}

// ReadFile reads a regular file of at most max bytes. Links are resolved inside
// the root, see OutsideError; a missing file is fs.ErrNotExist, anything but a
// file a *NotRegularError, a larger one a *TooLargeError.
func (r *Root) ReadFile(name string, max int64) ([]byte, error) {
	fd, _, err := r.open(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return readFD(fd, name, max)
}

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

// A Rewriter edits files inside a root, each of them once, however many names
// lead to it.
type Rewriter struct {
	Root *Root
	Max  int64 // bytes of a file before it is edited
	Edit func([]byte) []byte

	// Total is how many bytes may be written, in all files; 0: any number. A file
	// may hold less on the disk than it gets: its holes are filled.
	Total int64

	done    map[inode]struct{}
	written int64
}

// errTotal says that a Rewriter would write more than its Total.
var errTotal = errors.New("more bytes would be rewritten in all files than are allowed")

type inode struct{ dev, ino uint64 }

// Rewrite is a Rewriter's work on one file.
func (r *Root) Rewrite(name string, max int64, edit func([]byte) []byte) error {
	return (&Rewriter{Root: r, Max: max, Edit: edit}).Rewrite(name)
}

// Rewrite replaces the content of a regular file of at most w.Max bytes by what
// w.Edit makes of it, unless that was done already. Names are resolved as in
// ReadFile, with the same errors.
//
// The file is written in place: nothing else keeps its inode, and with it the
// owner, mode, hard links and every attribute, also those that the caller may
// read but not set. A crash in the middle leaves the old bytes, the new ones or
// a mix; the tree's marker or mode must say until the end that it isn't
// complete. Content is durable on return. The time of the file and that of its
// directory become the present, whatever edit does: so it is after sed -i, by which
// others tell what a creation touched. Nothing else is written where edit changes
// nothing.
//
// After an extraction with Options.Merge a file that the archive has not made is
// ErrNotMade: in place it would also change under names outside of the root.
func (w *Rewriter) Rewrite(name string) (err error) {
	r := w.Root
	if err := r.checkMade(name); err != nil {
		return err
	}
	fd, st, err := r.open(name, unix.O_RDWR)
	if err != nil {
		return err
	}
	fail := func(op string, err error) error { return pathError(op, name, err) }
	defer func() {
		if e := unix.Close(fd); err == nil && e != nil {
			err = fail("close", e)
		}
	}()
	present := time.Now()
	sec, nsec := present.Unix(), int32(present.Nanosecond())
	id := inode{uint64(st.Dev), st.Ino}
	if _, done := w.done[id]; done {
		return r.touchDir(name, sec, nsec)
	}
	old, err := readFD(fd, name, w.Max)
	if err != nil {
		return err
	}
	if now := w.Edit(old); !bytes.Equal(now, old) {
		if w.written += int64(len(now)); w.Total > 0 && w.written > w.Total {
			return errTotal
		}
		if op, err := overwrite(fd, st, now); err != nil {
			return fail(op, err)
		}
	}
	if err := setTime(fd, nil, sec, nsec); err != nil {
		return fail("utimens", err)
	}
	if w.done == nil {
		w.done = map[inode]struct{}{}
	}
	w.done[id] = struct{}{}
	return r.touchDir(name, sec, nsec)
}

// overwrite replaces a file's content. op is the call that failed.
func overwrite(fd int, st *unix.Stat_t, now []byte) (op string, err error) {
	// Writing drops setuid bits (for all but host root) and capabilities.
	capability := make([]byte, 64)
	n, capErr := unix.Fgetxattr(fd, attrCapability, capability)
	if err := pwriteFull(fd, now, 0); err != nil {
		return "write", err
	}
	if err := unix.Ftruncate(fd, int64(len(now))); err != nil {
		return "truncate", err
	}
	if st.Mode&06000 != 0 {
		if err := unix.Fchmod(fd, st.Mode&07777); err != nil {
			return "chmod", err
		}
	}
	if capErr == nil {
		if err := unix.Fsetxattr(fd, attrCapability, capability[:n], 0); err != nil {
			return "setxattr", err
		}
	}
	return "fsync", unix.Fsync(fd)
}

// checkMade refuses what was there before an extraction beside it, by the path
// that name stands for. A missing file is for others to tell.
func (r *Root) checkMade(name string) error {
	if r.merged == nil {
		return nil
	}
	path, err := r.resolve(name, resolveOptions{last: true})
	if err != nil || r.merged.has(path) {
		return err
	}
	fd, _, err := r.open(name, unix.O_RDONLY)
	if err != nil {
		return err
	}
	unix.Close(fd)
	return ErrNotMade
}

// touchDir sets the time of the directory that holds the file that name stands
// for.
func (r *Root) touchDir(name string, sec int64, nsec int32) error {
	path, err := r.resolve(name, resolveOptions{last: true})
	if err != nil {
		return err
	}
	d := r.dirs()
	defer d.close()
	dir, _ := splitPath(path)
	fd, _, err := d.enter(dir)
	if err == nil {
		if r.deferred != nil && len(dir) == 0 {
			r.deferred.touched = true
		}
		err = setTime(fd, nil, sec, nsec)
	}
	if err != nil {
		return pathError("utimens", name, err)
	}
	return nil
}
