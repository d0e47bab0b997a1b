package untar

import (
	"errors"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// stagingName returns the name of the staging directory of the run with this ID.
func (t *Target) stagingName(id string) string { return "." + t.name + ".partial-" + id }

// stage makes the staging directory, which Commit renames.
func (t *Target) stage() error {
	if t.exists() {
		return pathError("mkdir", t.path, unix.EEXIST) // a dangling symbolic link
	}
	if err := t.sweep(); err != nil {
		return err
	}
	dir := int(t.parent.Fd())
	for range 10 {
		id := newID()
		name := t.stagingName(id)
		if err := unix.Mkdirat(dir, name, 0700); err != nil {
			return pathError("mkdir", t.path, err)
		}
		fd, err := openat(dir, cname(name+"\x00"), dirFlags, 0)
		if err == nil {
			t.root, t.staging = &Root{fd: fd, path: t.path}, name
			if tryLock(fd) == unix.EWOULDBLOCK {
				err = ErrBusy
			} else {
				err = t.root.dropInheritedACLs()
			}
			if err == nil {
				err = t.prove(id)
			}
			if err == nil {
				return nil
			}
			removeDir(dir, cname(name+"\x00"))
			t.root.Close()
			t.root, t.staging = nil, ""
		}
		if !errors.Is(err, unix.ENOENT) && err != ErrBusy {
			return pathError("make a directory at", t.path, err)
		}
		// Another run's sweep locked or removed the directory before it had its proof.
		// Try again.
	}
	return pathError("fill", t.path, ErrBusy)
}

// sweep removes the staging directories that interrupted runs left for this name. The
// error is ErrBusy if a run is still using one.
func (t *Target) sweep() error {
	dir := int(t.parent.Fd())
	d, err := newDirReader(dir)
	if err != nil {
		return nil // the caller may write to the parent but not read it
	}
	defer d.close()
	for {
		name, err := d.next()
		if err != nil || name == "" {
			return err
		}
		id, ok := strings.CutPrefix(name, t.stagingName(""))
		if !ok || !isID(id) {
			continue
		}
		if err := t.sweepOne(name, id); err != nil {
			return err
		}
	}
}

// sweepOne removes a staging directory that is empty or contains its own proof. It tries
// rmdir first: on a mount point the kernel returns EBUSY even if that is not empty.
func (t *Target) sweepOne(name, id string) error {
	dir := int(t.parent.Fd())
	if err := removeDir(dir, cname(name+"\x00")); err != unix.ENOTEMPTY && err != unix.EEXIST {
		return nil // removed, a mount point, not a directory, or not permitted
	}
	was := t.found.stale
	t.found.stale = filepath.Join(t.parent.Name(), name)
	fd, err := openat(dir, cname(name+"\x00"), dirFlags, 0)
	if err != nil {
		return nil
	}
	stale := &Root{fd: fd, path: name, own: []string{proofName(id)}}
	defer stale.Close()
	if !stale.holds(id) {
		return nil
	}
	switch err := tryLock(fd); err {
	case nil:
	case unix.EWOULDBLOCK:
		return t.busy(stale, id)
	default:
		return nil // the file system has no locks: the other process may be running
	}
	if err := stale.RemoveContents(); err != nil {
		return err
	}
	// Remove the proof last: if this sweep is killed, the next one still finds it.
	if err := stale.removeOwn(proofName(id)); err != nil {
		return err
	}
	if err := removeDir(dir, cname(name+"\x00")); err != nil && err != unix.ENOENT {
		return pathError("remove", name, err)
	}
	t.found.stale = was
	return nil
}

// exists reports whether there is a file or directory at the directory's name.
func (t *Target) exists() bool {
	var st unix.Stat_t
	return unix.Fstatat(int(t.parent.Fd()), t.name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil
}

// rename gives the staging directory its final name. It checks for an existing directory
// first, because a plain rename replaces an empty one. (renameat2 with RENAME_NOREPLACE is
// missing before Linux 3.15, and some system call filters don't allow it.)
func (t *Target) rename() error {
	dir := int(t.parent.Fd())
	err := error(unix.EEXIST)
	if !t.exists() {
		// The owner of the parent could have replaced the staging directory.
		if !leadsTo(dir, t.staging, t.root.fd) {
			return pathError("rename", filepath.Join(t.parent.Name(), t.staging), errReplaced)
		}
		err = unix.Renameat(dir, t.staging, dir, t.name)
	}
	if err != nil {
		return pathError("rename", t.path, err)
	}
	t.staging, t.renamed = "", true
	if !leadsTo(dir, t.name, t.root.fd) {
		return pathError("rename", t.path, errReplaced)
	}
	return nil
}

// fixStaging sets a staging directory's mode to that of a new directory, unless the
// archive or the caller has set another mode.
func (t *Target) fixStaging() error {
	var st unix.Stat_t
	if t.root.named || unix.Fstat(t.root.fd, &st) == nil && st.Mode&07777 != 0700 {
		return nil
	}
	old := unix.Umask(0)
	unix.Umask(old)
	if err := unix.Fchmod(t.root.fd, 0777&^uint32(old)); err != nil {
		return pathError("chmod", t.path, err)
	}
	return nil
}
