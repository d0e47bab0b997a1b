package untar

import (
	"bytes"
	"errors"
	"hash/maphash"

	"golang.org/x/sys/unix"
)

var errNotDir = errors.New("a parent is not a directory")

// A dirStack is a path of directories below a root, each with its descriptor. It
// moves from one directory to another by way of their common part, so that
// an archive in the usual order opens every directory once. Links are never
// followed: every component is opened from the descriptor before it, and where
// several are passed in one call, to come back to a directory, that must turn out to
// be the same directory.
type dirStack struct {
	root   int    // not the stack's own
	base   []byte // the path of that directory, where it is not the Root's
	path   []byte // below it
	levels []level
	open   int // how many levels have a descriptor
	most   int // that may have one
	name   cname
	known  *knownDirs
	traits traits // of the root directory
}

// farDepth is the depth from which directories are remembered. A root filesystem is
// hardly deeper, and pays nothing for it.
const farDepth = 8

// maxKnown bounds the directories that are remembered: 2 MB.
const maxKnown = 1 << 16

// A dirID is a directory for as long as nobody removes it: then its number may
// become another's. The generation tells these two, where the file system has it.
type dirID struct {
	inode
	generation uint32
}

// knownDirs remembers deep directories by their paths, so that to come back to one
// costs one call and not one for each of its components: entries in turn below
// two deep chains would cost their number times the depth. All stacks of a Root
// share it.
type knownDirs struct {
	ids  map[uint64]dirID // by the hashes of their paths
	seed maphash.Seed
	// alone says that nobody else can remove directories: the root was empty and is
	// closed to others, as what a run makes is until its end.
	alone   bool
	unknown bool // this file system tells no generations
	// The directories that were left last stay open, which needs no numbers: so it is
	// also where generations are not told.
	keeps bool
	left  []leftDir // the oldest first
}

// A leftDir is a directory that was left and is still open.
type leftDir struct {
	path []byte
	fd   int
}

// maxLeft is how many directories stay open after they were left. With those of two
// dirStacks and a removal a process of 32 descriptors still has room.
const maxLeft = 4

// start forgets everything.
func (k *knownDirs) start(alone, keeps bool) {
	k.ids, k.seed, k.alone, k.keeps = make(map[uint64]dirID), maphash.MakeSeed(), alone, keeps
	k.close(nil)
}

// leave keeps a directory open.
func (k *knownDirs) leave(path []byte, fd int) {
	var l leftDir
	if len(k.left) == maxLeft {
		l = k.left[0]
		k.left = append(k.left[:0], k.left[1:]...)
		k.remember(maphash.Bytes(k.seed, l.path), l.fd)
		unix.Close(l.fd)
	}
	k.left = append(k.left, leftDir{append(l.path[:0], path...), fd})
}

// back returns the deepest directory that is open, deeper than the first have bytes of
// path and on the way to it, with the length of its own path. It is the caller's
// then. fd is -1 for none.
func (k *knownDirs) back(path []byte, have int) (fd, length int) {
	best := -1
	for i, l := range k.left {
		if n := len(l.path); n > have && isBelow(path, l.path) {
			best, have = i, n
		}
	}
	if best < 0 {
		return -1, 0
	}
	fd = k.left[best].fd
	k.left = append(k.left[:best], k.left[best+1:]...)
	return fd, have
}

// close closes the directories at a path and below it.
func (k *knownDirs) close(path []byte) {
	kept := k.left[:0]
	for _, l := range k.left {
		if isBelow(l.path, path) {
			unix.Close(l.fd)
		} else {
			kept = append(kept, l)
		}
	}
	k.left = kept
}

// isBelow reports whether a clean path is that of a directory or leads into it.
func isBelow(path, directory []byte) bool {
	return bytes.HasPrefix(path, directory) && (len(directory) == 0 || len(path) == len(directory) || path[len(directory)] == '/')
}

// getVersion asks for an inode's generation. The number differs between
// machines as that of FS_IOC_GETFLAGS does ('f', 1, a long).
const getVersion = unix.FS_IOC_GETFLAGS&^0xff00 | 'v'<<8

func (k *knownDirs) identify(fd int) (id dirID, ok bool) {
	if !k.alone {
		if k.unknown {
			return id, false
		}
		// The kernel writes four bytes, whatever a long is.
		n, err := unix.IoctlGetUint32(fd, getVersion)
		if err != nil || n == 0 {
			k.unknown = err != unix.EBADF // as of a directory that may only be passed
			return id, false
		}
		id.generation = n
	}
	id.inode = inodeOf(fd)
	return id, id.inode != inode{}
}

// remember keeps the number of a directory, before fd is closed.
func (k *knownDirs) remember(h uint64, fd int) {
	if _, ok := k.ids[h]; ok {
		return
	}
	if id, ok := k.identify(fd); ok {
		if len(k.ids) >= maxKnown {
			k.ids = make(map[uint64]dirID)
		}
		k.ids[h] = id
	}
}

// forget drops a directory that was removed.
func (k *knownDirs) forget(path []byte) {
	if len(k.ids) > 0 {
		delete(k.ids, maphash.Bytes(k.seed, path))
	}
	k.close(path)
}

// hash begins the hash by which a directory below the stack's is known.
func (d *dirStack) hash() (h maphash.Hash) {
	h.SetSeed(d.known.seed)
	if len(d.base) > 0 {
		h.Write(d.base)
		h.WriteByte('/')
	}
	return h
}

func (d *dirStack) key(path []byte) uint64 {
	h := d.hash()
	h.Write(path)
	return h.Sum64()
}

// maxOpenDirs is how many directories one dirStack keeps open. A root filesystem
// is hardly deeper; a process with 32 descriptors still has room.
const maxOpenDirs = 12

// A level is one directory of the path.
type level struct {
	end int   // path[:end] names it
	fd  int   // -1: closed to save descriptors
	was inode // of a closed one, where generations are not told
	traits
}

// traits are what is known about a directory.
type traits struct {
	inherit inherit
	access  access
}

// inherit says what a new file in a directory is given by it.
type inherit uint8

const (
	inheritUnknown inherit = iota
	inheritNothing         // our own user and group, the mode that was asked for
	inheritSome            // a group (setgid, bsdgroups), an ACL, a fixed owner
)

// access says who may put something else in the place of a name in a directory.
type access uint8

const (
	accessUnknown access = iota
	accessOurs           // nobody but us, and root
	accessOthers
)

// pop leaves all but the first n levels. The last one stays open for a while where
// it took several calls to come there.
func (d *dirStack) pop(n int) {
	if n > 0 && n < len(d.levels) {
		d.climb(n)
	}
	for i := len(d.levels) - 1; i >= n; i-- {
		switch {
		case d.levels[i].fd < 0:
		case i == len(d.levels)-1 && i-n >= 2 && d.known.keeps && d.base == nil:
			d.known.leave(d.path, d.levels[i].fd)
			d.open--
		default:
			d.shut(i)
		}
	}
	d.levels = d.levels[:n]
	d.path = d.path[:d.end(n)]
}

// climb opens the level above n through n, where that is open and the one above was
// closed. It is another directory by now only if somebody has moved n and removed the
// one above, whose number a directory of his own was given then.
func (d *dirStack) climb(n int) {
	parent, fd := &d.levels[n-1], d.levels[n].fd
	if parent.fd >= 0 || fd < 0 || parent.was == (inode{}) {
		return
	}
	up, err := openat(fd, cname("..\x00"), dirFlags, 0)
	if err != nil {
		return
	}
	if inodeOf(up) != parent.was {
		unix.Close(up)
		return
	}
	parent.fd, parent.access = up, accessUnknown
	d.open++
}

// inodeOf returns zero for an error.
func inodeOf(fd int) inode {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return inode{}
	}
	return inode{uint64(st.Dev), st.Ino}
}

// shut closes the descriptor of a level.
func (d *dirStack) shut(i int) {
	fd := d.levels[i].fd
	if i >= farDepth && (d.known.alone || !d.known.unknown) {
		d.known.remember(d.key(d.path[:d.levels[i].end]), fd)
	}
	unix.Close(fd)
	d.levels[i].fd = -1
	d.open--
}

// openDir opens the directory of a component below fd.
func (d *dirStack) openDir(fd int, component []byte) (int, error) {
	return openDir(fd, d.name.set(component))
}

// openPath opens a directory below another by all of a path at once, and so through
// links, too: the caller makes sure that it is the one that was meant.
func openPath(dir int, path []byte) (int, error) {
	for {
		fd, err := unix.Openat(dir, string(path), dirFlags, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// openFar opens a directory that is known, by its path from a level that is open, n
// of them from the root. It returns -1 where there is another one now.
func (d *dirStack) openFar(n int, path []byte) int {
	if len(d.known.ids) == 0 {
		return -1
	}
	for n > 0 && d.levels[n-1].fd < 0 {
		n--
	}
	key := d.key(path)
	id, ok := d.known.ids[key]
	if !ok {
		return -1
	}
	from, rest := d.root, path
	if n > 0 {
		from, rest = d.levels[n-1].fd, path[d.levels[n-1].end+1:]
	}
	fd := from
	const most = 4000 // bytes in one call: PATH_MAX is 4096
	for len(rest) > 0 {
		part := rest
		if len(part) > most {
			part = part[:bytes.LastIndexByte(part[:most], '/')]
		}
		rest = bytes.TrimPrefix(rest[len(part):], []byte("/"))
		next, err := openPath(fd, part)
		if fd != from {
			unix.Close(fd)
		}
		if err != nil {
			return -1
		}
		fd = next
	}
	if now, ok := d.known.identify(fd); !ok || now != id {
		unix.Close(fd)
		delete(d.known.ids, key)
		return -1
	}
	return fd
}

// jump moves the stack, which stands at a parent of path, to the deepest directory
// on the way that is still open or known.
func (d *dirStack) jump(path []byte) {
	if d.base == nil {
		if fd, n := d.known.back(path, len(d.path)); fd >= 0 {
			d.land(path[:n], fd)
		}
	}
	if len(d.known.ids) == 0 || bytes.Count(path[len(d.path):], []byte("/")) <= 2 {
		return
	}
	h := d.hash()
	best, depth, from := 0, 0, 0
	for at := 0; at < len(path); {
		i := bytes.IndexByte(path[at:], '/')
		if i < 0 {
			i = len(path) - at
		}
		at += i
		h.Write(path[from:at])
		from = at
		if depth++; depth > farDepth && at > len(d.path) {
			if _, ok := d.known.ids[h.Sum64()]; ok {
				best = at
			}
		}
		at++
	}
	if best == 0 {
		return
	}
	if fd := d.openFar(len(d.levels), path[:best]); fd >= 0 {
		d.land(path[:best], fd)
	}
}

// land moves the stack, which stands at a parent of path, to the directory path, which
// fd is open on.
func (d *dirStack) land(path []byte, fd int) {
	for at := len(d.path); at < len(path); {
		start := at
		if start > 0 {
			start++
		}
		i := bytes.IndexByte(path[start:], '/')
		if i < 0 {
			i = len(path) - start
		}
		at = start + i
		d.levels = append(d.levels, level{end: at, fd: -1})
	}
	last := len(d.levels) - 1
	end := d.end(last)
	if last > 0 {
		end++
	}
	d.path, d.levels = append(d.path[:0], path[:d.end(last)]...), d.levels[:last]
	d.push(path[end:], fd, inheritUnknown)
}

// end is the length of the path of n levels.
func (d *dirStack) end(n int) int {
	if n == 0 {
		return 0
	}
	return d.levels[n-1].end
}

// shared returns how many levels of the stack a path has in common with it.
func (d *dirStack) shared(path []byte) int {
	for i, l := range d.levels {
		if len(path) < l.end || len(path) > l.end && path[l.end] != '/' || !bytes.Equal(path[d.end(i):l.end], d.path[d.end(i):l.end]) {
			return i
		}
	}
	return len(d.levels)
}

// push adds the directory that fd is open on.
func (d *dirStack) push(component []byte, fd int, in inherit) {
	if len(d.path) > 0 {
		d.path = append(d.path, '/')
	}
	d.path = append(d.path, component...)
	if d.open == d.most {
		for i := range d.levels {
			if fd := d.levels[i].fd; fd >= 0 {
				if d.known.unknown {
					d.levels[i].was = inodeOf(fd)
				}
				d.shut(i)
				break
			}
		}
	}
	d.levels = append(d.levels, level{end: len(d.path), fd: fd, traits: traits{inherit: in}})
	d.open++
}

// top returns the descriptor of the last level, reopening closed ones from the
// nearest that is open.
func (d *dirStack) top() (int, error) {
	if len(d.levels) == 0 {
		return d.root, nil
	}
	n := len(d.levels)
	if fd := d.levels[n-1].fd; fd >= 0 {
		return fd, nil
	}
	i := n - 1
	for i > 0 && d.levels[i-1].fd < 0 {
		i--
	}
	if n-i > 2 {
		if fd := d.openFar(i, d.path); fd >= 0 {
			d.levels[n-1].fd, d.levels[n-1].access = fd, accessUnknown
			d.open++
			return fd, nil
		}
	}
	fd := d.root
	if i > 0 {
		fd = d.levels[i-1].fd
	}
	passing := -1 // opened on the way and not kept
	for ; i < n; i++ {
		start := d.end(i)
		if i > 0 {
			start++
		}
		next, err := d.openDir(fd, d.path[start:d.levels[i].end])
		if passing >= 0 {
			unix.Close(passing)
			passing = -1
		}
		if err != nil {
			return -1, err
		}
		fd = next
		if n-i <= d.most-d.open || i == n-1 {
			d.levels[i].fd, d.levels[i].access = fd, accessUnknown
			d.open++
		} else {
			passing = fd
		}
	}
	return fd, nil
}

// enter moves the stack to a directory. It stops at the first component that can't
// be opened and returns its error; the stack then stands at its parent, and
// rest is what of path is still to go, without a leading '/'.
func (d *dirStack) enter(path []byte) (fd int, rest []byte, err error) {
	n := d.shared(path)
	if n < len(d.levels) {
		d.pop(n)
	}
	if bytes.Count(path[len(d.path):], []byte("/")) > 2 {
		d.jump(path)
	}
	rest = path[len(d.path):]
	if len(rest) > 0 && rest[0] == '/' {
		rest = rest[1:]
	}
	fd, err = d.top()
	for err == nil && len(rest) > 0 {
		component := rest
		if i := bytes.IndexByte(rest, '/'); i >= 0 {
			component = rest[:i]
		}
		var next int
		if next, err = d.openDir(fd, component); err != nil {
			break
		}
		d.push(component, next, inheritUnknown)
		fd = next
		rest = rest[len(component):]
		if len(rest) > 0 {
			rest = rest[1:]
		}
	}
	return fd, rest, err
}

// last returns the traits of the directory at which the stack stands.
func (d *dirStack) last() *traits {
	if n := len(d.levels); n > 0 {
		return &d.levels[n-1].traits
	}
	return &d.traits
}

func (d *dirStack) close() { d.pop(0) }
