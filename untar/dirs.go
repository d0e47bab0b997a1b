package untar

import (
	"bytes"
	"errors"
	"hash/maphash"

	"golang.org/x/sys/unix"
)

var errNotDir = errors.New("a parent is not a folder")

// A dirStack is a path of folders below a root, each with its descriptor. It
// moves from one folder to another by way of their common part, so that
// an archive in the usual order opens every folder once. Links are never
// followed: every component is opened from the descriptor before it, and where
// several are passed in one call, to come back to a folder, that must turn out to
// be the same folder.
type dirStack struct {
	root   int // not the stack's own
	path   []byte
	levels []level
	open   int // how many levels have a descriptor
	most   int // that may have one
	name   cname
	known  *knownDirs // nil: every way is gone component by component
}

// farDepth is the depth from which folders are remembered. A root filesystem is
// hardly deeper, and pays nothing for it.
const farDepth = 8

// maxKnown bounds the folders that are remembered: 2 MB.
const maxKnown = 1 << 16

// A folderID is a folder for as long as nobody removes it: then its number may
// become another's. The generation tells these two, where the file system has it.
type folderID struct {
	dev, ino   uint64
	generation uint32
}

// knownDirs remembers deep folders by their paths, so that to come back to one
// costs one call and not one for each of its components: entries in turn below
// two deep chains would cost their number times the depth.
type knownDirs struct {
	ids  map[uint64]folderID // by the hashes of their paths
	seed maphash.Seed
	// alone says that nobody else can remove folders: the root was empty and is
	// closed to others, as what a run makes is until its end.
	alone bool
	steps int64 // folders opened and entries looked at, for tests
}

// start forgets everything.
func (k *knownDirs) start(alone bool) {
	k.ids, k.seed, k.alone = make(map[uint64]folderID), maphash.MakeSeed(), alone
}

// getVersion asks for an inode's generation. The number differs between
// machines as that of FS_IOC_GETFLAGS does ('f', 1, a long).
const getVersion = unix.FS_IOC_GETFLAGS&^0xff00 | 'v'<<8

func (k *knownDirs) identify(fd int) (id folderID, ok bool) {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return id, false
	}
	id.dev, id.ino = uint64(st.Dev), st.Ino
	if !k.alone {
		// The kernel writes four bytes, whatever a long is.
		n, err := unix.IoctlGetUint32(fd, getVersion)
		if id.generation = n; err != nil || n == 0 {
			return id, false
		}
	}
	return id, true
}

// remember keeps the folder that fd is open on, before that is closed.
func (k *knownDirs) remember(path []byte, fd int) {
	h := maphash.Bytes(k.seed, path)
	if _, ok := k.ids[h]; ok {
		return
	}
	if id, ok := k.identify(fd); ok {
		if len(k.ids) >= maxKnown {
			k.ids = make(map[uint64]folderID)
		}
		k.ids[h] = id
	}
}

// forget drops a folder that was removed.
func (k *knownDirs) forget(path []byte) {
	if len(k.ids) > 0 {
		delete(k.ids, maphash.Bytes(k.seed, path))
	}
}

// maxOpenDirs is how many folders one dirStack keeps open. A root filesystem
// is hardly deeper; a process with 32 descriptors still has room.
const maxOpenDirs = 12

// A level is one folder of the path.
type level struct {
	end int // path[:end] names it
	fd  int // -1: closed to save descriptors
	inherit
	access
}

// inherit says what a new file in a folder is given by it.
type inherit uint8

const (
	inheritUnknown inherit = iota
	inheritNothing         // our own user and group, the mode that was asked for
	inheritSome            // a group (setgid, bsdgroups), an ACL, a fixed owner
)

// access says who may put something else in the place of a name in a folder.
type access uint8

const (
	accessUnknown access = iota
	accessOurs           // nobody but us, and root
	accessOthers
)

// pop closes all but the first n levels.
func (d *dirStack) pop(n int) {
	for i := len(d.levels) - 1; i >= n; i-- {
		if d.levels[i].fd >= 0 {
			d.shut(i)
		}
	}
	d.levels = d.levels[:n]
	d.path = d.path[:d.end(n)]
}

// shut closes the descriptor of a level.
func (d *dirStack) shut(i int) {
	fd := d.levels[i].fd
	if d.known != nil && i >= farDepth {
		d.known.remember(d.path[:d.levels[i].end], fd)
	}
	unix.Close(fd)
	d.levels[i].fd = -1
	d.open--
}

// openDir opens the folder of a component below fd.
func (d *dirStack) openDir(fd int, component []byte) (int, error) {
	if d.known != nil {
		d.known.steps++
	}
	return openDir(fd, d.name.set(component))
}

// openFar opens a folder that is known, by its path from a level that is open, n
// of them from the root. It returns -1 where there is another one now.
func (d *dirStack) openFar(n int, path []byte) int {
	if len(d.known.ids) == 0 {
		return -1
	}
	for n > 0 && d.levels[n-1].fd < 0 {
		n--
	}
	id, ok := d.known.ids[maphash.Bytes(d.known.seed, path)]
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
		next, err := d.openDir(fd, part)
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
		d.known.forget(path)
		return -1
	}
	return fd
}

// jump moves the stack, which stands at a parent of path, to the deepest folder
// on the way that is known.
func (d *dirStack) jump(path []byte) {
	if d.known == nil || len(d.known.ids) == 0 {
		return
	}
	var h maphash.Hash
	h.SetSeed(d.known.seed)
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
	fd := d.openFar(len(d.levels), path[:best])
	if fd < 0 {
		return
	}
	for at := len(d.path); at < best; {
		start := at
		if start > 0 {
			start++
		}
		i := bytes.IndexByte(path[start:best], '/')
		if i < 0 {
			i = best - start
		}
		at = start + i
		d.levels = append(d.levels, level{at, -1, inheritUnknown, accessUnknown})
	}
	last := len(d.levels) - 1
	d.path, d.levels = append(d.path[:0], path[:d.end(last)]...), d.levels[:last]
	d.push(path[d.end(last)+1:best], fd, inheritUnknown)
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

// push adds the folder that fd is open on.
func (d *dirStack) push(component []byte, fd int, in inherit) {
	if len(d.path) > 0 {
		d.path = append(d.path, '/')
	}
	d.path = append(d.path, component...)
	if d.open == d.most {
		for i := range d.levels {
			if d.levels[i].fd >= 0 {
				d.shut(i)
				break
			}
		}
	}
	d.levels = append(d.levels, level{len(d.path), fd, in, accessUnknown})
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
	if d.known != nil && n-i > 2 {
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

// enter moves the stack to a folder. It stops at the first component that can't
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

// inherits returns what new files in the last level are given.
func (d *dirStack) inherits(root inherit) inherit {
	if len(d.levels) == 0 {
		return root
	}
	return d.levels[len(d.levels)-1].inherit
}

func (d *dirStack) close() { d.pop(0) }
