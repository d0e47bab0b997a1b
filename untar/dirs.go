package untar

import (
	"bytes"
	"hash/maphash"

	"golang.org/x/sys/unix"
)

var errNotDir error = textError("a parent is not a directory")

// A dirStack is a path of directories below a root, with a descriptor for each. It moves
// from one directory to another through their common parents, so that an archive in the
// usual order opens each directory once.
//
// It never follows a link: it opens each component from the descriptor of its parent. Where
// it returns to a known directory with a single call, which could follow links, it checks
// that the result is the same directory.
type dirStack struct {
	root   int    // descriptor of the first directory, which close does not close
	base   []byte // path of the first directory below the Root; nil for the Root itself
	path   []byte // of the current directory, below the first
	levels []level
	open   int // number of levels with a descriptor
	most   int // how many levels may have a descriptor
	name   cname
	known  *knownDirs
	traits traits // of the first directory
}

// farDepth is the depth from which on directories are remembered. Usual root file systems are
// not deeper, so they cost nothing here.
const farDepth = 8

// maxKnown is the number of directories that are remembered: 2 MB.
const maxKnown = 1 << 16

// A dirID identifies a directory. After the directory is removed, another one may get its
// inode number. The generation differs then, on file systems that have generations.
type dirID struct {
	inode
	generation uint32
}

// knownDirs remembers deep directories by their paths, so that a return to one needs a
// single call instead of one for each component. Without it, entries that alternate between
// two deep chains of directories would cost their number times the depth. All stacks of a
// Root share one knownDirs.
type knownDirs struct {
	ids  map[uint64]dirID // by the hash of the path
	seed maphash.Seed
	// alone means that no other user can remove directories: the root was empty and only
	// we can write to it, as to all directories of a run until its end. Generations are
	// then not needed.
	alone   bool
	unknown bool // the file system has no generations
	// keeps means that the directories that a stack left last stay open. This works on
	// file systems without generations, too.
	keeps bool
	left  []leftDir // the oldest first
}

// A leftDir is a directory that a stack has left and that is still open.
type leftDir struct {
	path []byte
	fd   int
}

// maxLeft is the number of directories that stay open after a stack has left them. Together
// with two dirStacks and a removal this leaves room in a process with 32 descriptors.
const maxLeft = 4

// start forgets all directories.
func (k *knownDirs) start(alone, keeps bool) {
	k.ids, k.seed, k.alone, k.keeps = make(map[uint64]dirID), maphash.MakeSeed(), alone, keeps
	k.close(nil)
}

// leave keeps open a directory that a stack leaves, and closes the oldest such directory.
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

// back returns the descriptor of the deepest open directory that is path or one of its
// parents, and the length of that directory's path. The caller then owns the descriptor. It is
// -1 if no such directory has a path longer than have.
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

// close closes the open directories at a path and below it.
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

// isBelow reports whether a clean path is directory or a path below it.
func isBelow(path, directory []byte) bool {
	return bytes.HasPrefix(path, directory) && (len(directory) == 0 || len(path) == len(directory) || path[len(directory)] == '/')
}

// getVersion asks for an inode's generation (FS_IOC_GETVERSION). Its number differs between
// architectures in the same way as FS_IOC_GETFLAGS ('f', 1, a long).
const getVersion = unix.FS_IOC_GETFLAGS&^0xff00 | 'v'<<8

// identify returns the ID of an open directory. ok is false if the directory has no usable ID.
func (k *knownDirs) identify(fd int) (id dirID, ok bool) {
	if !k.alone {
		if k.unknown {
			return id, false
		}
		// The kernel writes four bytes, whatever the size of a long.
		n, err := unix.IoctlGetUint32(fd, getVersion)
		if err != nil || n == 0 {
			k.unknown = err != unix.EBADF // EBADF: an O_PATH descriptor; others may still have generations
			return id, false
		}
		id.generation = n
	}
	id.inode = inodeOf(fd)
	return id, id.inode != inode{}
}

// remember stores the ID of a directory before fd is closed. h is the hash of its path.
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

// forget forgets a directory that was removed.
func (k *knownDirs) forget(path []byte) {
	if len(k.ids) > 0 {
		delete(k.ids, maphash.Bytes(k.seed, path))
	}
	k.close(path)
}

// hash returns a hash to which a path below the first directory is to be written.
func (d *dirStack) hash() (h maphash.Hash) {
	h.SetSeed(d.known.seed)
	if len(d.base) > 0 {
		h.Write(d.base)
		h.WriteByte('/')
	}
	return h
}

// key returns the hash of a path below the first directory.
func (d *dirStack) key(path []byte) uint64 {
	h := d.hash()
	h.Write(path)
	return h.Sum64()
}

// maxOpenDirs is the number of directories that a dirStack keeps open. Usual root
// filesystems are not deeper, and a process with 32 descriptors still has some left.
const maxOpenDirs = 12

// A level is a directory on the path of a dirStack.
type level struct {
	_   [0]func() // forbids ==, whose code nothing needs
	end int       // path[:end] is its path
	fd  int       // -1: closed to save descriptors
	was inode     // of a closed directory, on file systems without generations
	traits
}

// traits are facts about a directory that are found out once.
type traits struct {
	inherit inherit
	access  access
}

// inherit says what new files inherit from their directory.
type inherit uint8

const (
	inheritUnknown inherit = iota
	inheritNothing         // nothing: they get our user and group, and the requested mode
	inheritSome            // a group (setgid, bsdgroups), an ACL, or a fixed owner
)

// access says who can replace a file in a directory.
type access uint8

const (
	accessUnknown access = iota
	accessOurs           // only this user and root
	accessOthers         // possibly other users
)

// pop leaves all but the first n levels. The deepest stays open for a while if it took
// several calls to reach it.
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

// climb reopens the level before level n through its "..", if level n is open and its parent
// was closed. It checks the parent's inode. That check can only fail to notice a change if
// another process has moved level n, removed the old parent, and made a directory that got
// the same inode number.
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

// inodeOf returns the inode that fd is open on, or zero for an error.
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

// openDir opens a directory in the directory fd.
func (d *dirStack) openDir(fd int, component []byte) (int, error) {
	return openDir(fd, d.name.set(component))
}

// openPath opens a path of several components below dir. This may follow links, so the
// caller has to check that the result is the expected directory.
func openPath(dir int, path []byte) (int, error) {
	for {
		fd, err := unix.Openat(dir, string(path), dirFlags, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// openFar opens a remembered directory by its path, starting from the deepest open level
// among the first n. It returns -1 if the path no longer leads to that directory.
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
	const most = 4000 // bytes per call; PATH_MAX is 4096
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

// jump moves the stack from a parent of path to the deepest directory on the way to path
// that is still open or remembered.
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

// land moves the stack from a parent of path to path, on which fd is open.
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

// end returns the length of the path of the first n levels.
func (d *dirStack) end(n int) int {
	if n == 0 {
		return 0
	}
	return d.levels[n-1].end
}

// shared returns how many levels of the stack are on the way to path.
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

// top returns the descriptor of the current directory. It reopens closed levels from the
// nearest open level.
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
	passing := -1 // descriptor opened on the way that is not kept
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

// enter moves the stack to a directory. If a component can't be opened, enter returns the
// error, and the stack is at the parent of that component. rest is the unopened part of
// path, without a leading '/'.
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

// last returns the traits of the current directory.
func (d *dirStack) last() *traits {
	if n := len(d.levels); n > 0 {
		return &d.levels[n-1].traits
	}
	return &d.traits
}

// close closes all levels.
func (d *dirStack) close() { d.pop(0) }
