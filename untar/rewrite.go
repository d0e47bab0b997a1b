package untar

import (
	"bytes"
	"hash/maphash"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNotMade means that a file was in the root before an archive was merged into it.
var ErrNotMade error = textError("it is not from the archive")

// A Rewriter edits files inside a root. It edits each file once, even if the file has
// several names.
type Rewriter struct {
	Root *Root
	Max  int64 // largest size of a file in bytes, before it is edited
	Edit func([]byte) []byte

	// Total is the number of bytes that may be written to all files; 0: unlimited. Files
	// may need more disk space afterwards, because their holes are filled.
	Total int64

	done    map[inode]struct{}
	written int64
}

var errTotal error = textError("more bytes would be rewritten in all files than are allowed")

// An inode identifies a file by its device and inode number.
type inode struct{ dev, ino uint64 }

// Rewrite edits one file, as Rewriter.Rewrite does.
func (r *Root) Rewrite(name string, max int64, edit func([]byte) []byte) error {
	return (&Rewriter{Root: r, Max: max, Edit: edit}).Rewrite(name)
}

// Rewrite replaces the content of a regular file of at most w.Max bytes by the result of
// w.Edit, unless this Rewriter has edited the file before. It resolves names as ReadFile
// does, with the same errors.
//
// It writes the file in place. Only this keeps the inode, and with it the owner, mode, hard
// links and all attributes, even those that the caller can read but not set. A crash can
// leave a mix of old and new bytes, so the tree must be marked as incomplete until the end.
// Call Root.Sync to make the content durable. Rewrite sets the times of the file and its
// directory to the present even if w.Edit changes nothing, as sed -i does.
//
// After an extraction with Options.Merge the error is ErrNotMade for a file that the archive
// did not contain: such a file may have further names outside of the root, and would change
// there, too.
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

// overwrite replaces a file's content. op is the name of the call that failed.
func overwrite(fd int, st *unix.Stat_t, now []byte) (op string, err error) {
	// A write clears setuid bits (except for root on the host) and capabilities.
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
	return "", nil
}

// checkMade returns ErrNotMade if the file at name was in the root before a merge. It does
// not report a missing file.
func (r *Root) checkMade(name string) error {
	if r.merged == nil {
		return nil
	}
	path, err := r.resolve(name, resolveOptions{last: true})
	if err != nil || r.merged.has(path) || r.merged.inodes[maphash.Bytes(r.merged.seed, path)] != 0 {
		return err
	}
	fd, _, err := r.open(name, unix.O_RDONLY)
	if err != nil {
		return err
	}
	unix.Close(fd)
	return ErrNotMade
}

// touchDir sets the time of the directory that contains the file at name.
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
