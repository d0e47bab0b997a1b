package untar

import (
	"bytes"
	"errors"

	"golang.org/x/sys/unix"
)

// maxOpenDirs is how many folders one dirStack keeps open. A root filesystem
// is hardly deeper; a process with 32 descriptors still has room.
const maxOpenDirs = 12

var errNotDir = errors.New("a parent is not a folder")

// A dirStack is a path of folders below a root, each with its descriptor. It
// moves from one folder to another by way of their common part, so that
// an archive in the usual order opens every folder once. Links are never
// followed; every component is opened from the descriptor before it.
type dirStack struct {
	root   int // not the stack's own
	path   []byte
	levels []level
	open   int // how many levels have a descriptor
	name   cname
}

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
		if fd := d.levels[i].fd; fd >= 0 {
			unix.Close(fd)
			d.open--
		}
	}
	d.levels = d.levels[:n]
	d.path = d.path[:d.end(n)]
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
	if d.open == maxOpenDirs {
		for i := range d.levels {
			if d.levels[i].fd >= 0 {
				unix.Close(d.levels[i].fd)
				d.levels[i].fd = -1
				break
			}
		}
		d.open--
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
		next, err := openDir(fd, d.name.set(d.path[start:d.levels[i].end]))
		if passing >= 0 {
			unix.Close(passing)
			passing = -1
		}
		if err != nil {
			return -1, err
		}
		fd = next
		if n-i <= maxOpenDirs-d.open || i == n-1 {
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
		if next, err = openDir(fd, d.name.set(component)); err != nil {
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
