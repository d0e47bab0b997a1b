package untar

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"
)

const maxLinks = 40 // symbolic links in one resolution, as in the kernel (MAXSYMLINKS)

// An OutsideError means that a symbolic link inside the root leads above the root.
type OutsideError struct {
	_    [0]func() // forbids ==, whose code nothing needs
	Name string    // the name that was resolved
	Link string    // path of the link
}

func (e *OutsideError) Error() string {
	return fmt.Sprintf("%q: the link %q leads out of the root", e.Name, e.Link)
}

// Resolve returns the clean path, without links, that name leads to for a process that is
// chrooted to the root (see OutsideError). Only its last component may not exist.
func (r *Root) Resolve(name string) (string, error) {
	path, err := r.resolve(name, resolveOptions{last: true})
	return string(path), err
}

// resolveOptions change what resolve does with the last and with missing components.
type resolveOptions struct {
	last   bool   // resolve the last component, too, if it is a link
	create uint32 // mode for missing directories; 0: do not make them
	// layer, if not nil, makes the missing directories. A ".." in a link that would leave the
	// root then stays in it, as for a process that is chrooted to the root.
	layer *extractor
}

// resolve returns the path without links that name leads to for a process that is chrooted
// to the root: absolute links start at the root, and a ".." in name does not leave it. A
// ".." in a link that would leave the root is an *OutsideError unless opt.layer is set. All
// components of the result exist, except possibly the last.
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

// A way is the state of one call of resolve.
type way struct {
	root  *Root
	name  string
	opt   resolveOptions
	d     dirStack
	path  []byte // the resolved part
	todo  []part // the unresolved parts, the next one last: at most one for each link, and name
	links int
}

// A part is a path that is still to be resolved, without empty components and ".".
type part struct {
	rest []byte
	link string // path of the link that it comes from; "" for name itself
}

// push adds a path that is to be resolved next.
func (w *way) push(s []byte, link string) {
	var clean []byte
	for _, c := range bytes.Split(s, []byte("/")) {
		if len(c) > 0 && string(c) != "." {
			clean = append(append(clean, c...), '/')
		}
	}
	if len(clean) > 0 {
		w.todo = append(w.todo, part{clean[:len(clean)-1], link})
	}
}

func (w *way) fail(op string, err error) error { return pathError(op, w.name, err) }

// step resolves the components before the next link or "..".
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
	if len(down) == 0 { // the part begins with ".."
		if len(w.path) == 0 && p.link != "" && w.opt.layer == nil {
			return &OutsideError{Name: w.name, Link: p.link}
		}
		w.path, _ = splitPath(w.path)
		w.push(bytes.TrimPrefix(after, []byte("..")), p.link)
		return nil
	}
	w.push(after, p.link)
	full := append(append(append([]byte(nil), w.path...), '/'), down...)
	if len(w.path) == 0 {
		full = full[1:]
	}
	fd, rest, err := w.d.enter(full)
	for err == unix.ENOENT && w.opt.create != 0 {
		component, _, _ := bytes.Cut(rest, []byte("/"))
		if x := w.opt.layer; x != nil {
			err = x.makeParent(fd, full, rest, inheritUnknown)
		} else {
			err = w.mkdir(fd, component)
		}
		if err != nil {
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

// mkdir makes a missing directory.
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

// follow continues after a component that could not be opened as a directory: the first of
// rest, which is the end of full. The component may be a link, or the last component. link
// is the link that full comes from.
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

// MkdirAll makes a directory and its missing parents, with mode perm without the bits of the
// umask. It resolves links inside the root (see OutsideError).
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
