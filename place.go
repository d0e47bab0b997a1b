package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"lxc-pull/untar"
)

// A place is where a creation grows until all of it is there: nothing before
// looks complete, and whatever ends the run before leaves nothing. What a kill
// leaves the next run finds (untar.Target).
type place struct {
	target *untar.Target // what is there whole or not at all: the container's folder, or the root file system
	root   *untar.Root   // the root file system; the target's own, or one below it
	edited string        // the folder whose files are edited where they are; "": none
	caller *caller       // who waits for it; nil: a person
}

// openRootfs opens the folder that the image goes into, for a root file system
// alone or as the template. It must be absent or empty, so that what a failure
// removes is only what this run made.
func (c *creation) openRootfs() (*place, error) {
	target, err := untar.OpenTarget(c.rootfs)
	if err != nil {
		return nil, err
	}
	if !target.IsEmpty() {
		target.Close()
		return nil, &notEmptyError{c.rootfs, target.Stale()}
	}
	warnStale(c.ui, target)
	if target.Recovered() != "" {
		c.ui.warnf("%q held what an interrupted run left; it was emptied first", c.rootfs)
	}
	p := &place{target: target, root: target.Root(), edited: c.folder, caller: c.caller}
	if p.edited != "" {
		err = restoreFiles(p.edited)
	}
	if err != nil {
		return nil, p.abandon(err)
	}
	c.rootfs = target.Path()
	return p, nil
}

// openContainer makes the folder of a container beside its own place, with the
// config with which it begins.
func (c *creation) openContainer(config []byte, owner *[2]uint32) (*place, error) {
	target, err := untar.OpenTarget(c.folder)
	if err != nil {
		return nil, err
	}
	warnStale(c.ui, target)
	p := &place{target: target}
	dir := target.Path()
	if err := c.beginContainer(dir, config, owner); err != nil {
		return nil, p.abandon(err)
	}
	c.folder, c.rootfs = dir, filepath.Join(dir, "rootfs")
	if p.root, err = untar.OpenRoot(c.rootfs); err != nil {
		return nil, p.abandon(err)
	}
	return p, nil
}

// beginContainer leaves in dir what lxc-create makes before it calls a template.
func (c *creation) beginContainer(dir string, config []byte, owner *[2]uint32) error {
	rootfs := filepath.Join(dir, "rootfs")
	if err := os.Chmod(dir, 0o770); err != nil {
		return err
	}
	if err := os.Mkdir(rootfs, 0o755); err != nil {
		return err
	}
	config = append(config, "lxc.rootfs.path = dir:"+c.container.Rootfs+"\n"...)
	if err := os.WriteFile(filepath.Join(dir, "config"), config, 0o640); err != nil {
		return err
	}
	if owner == nil {
		return nil
	}
	// The container's root owns both folders.
	for _, name := range []string{dir, rootfs} {
		if err := os.Chown(name, int(owner[0]), int(owner[1])); err != nil {
			return err
		}
	}
	return nil
}

// commit makes everything durable and the place what it is to be.
func (p *place) commit() error {
	if err := p.target.Commit(); err != nil {
		var path *fs.PathError
		if errors.As(err, &path) && errors.Is(err, fs.ErrExist) {
			return &existsError{path.Path}
		}
		return err
	}
	// Nobody may have died in the meantime who was to take it over.
	if p.caller != nil && p.caller.gone() {
		return errCallerGone
	}
	return nil
}

// done ends the use of a place in which everything is right.
func (p *place) done() {
	if p.edited != "" {
		for _, name := range containerFiles {
			os.Remove(filepath.Join(p.edited, beforeName(name)))
		}
		syncFolder(p.edited) // a name that came back after a power cut would do no harm
	}
	p.close()
}

// empty removes what one attempt made, so that there may be another.
func (p *place) empty() error {
	err := p.root.RemoveContents()
	if p.edited != "" {
		err = errors.Join(err, restoreFiles(p.edited))
	}
	return err
}

// abandon removes what this run made, and returns err with what could not be
// removed.
func (p *place) abandon(err error) error {
	_, left := p.target.Abort()
	if p.edited != "" {
		left = errors.Join(left, restoreFiles(p.edited))
	}
	p.close()
	if left != nil {
		return &leftError{err, left}
	}
	return err
}

func (p *place) close() {
	if p.root != nil && p.root != p.target.Root() {
		p.root.Close()
	}
	p.target.Close()
}

// A notEmptyError says that the folder for the root file system holds something.
type notEmptyError struct {
	name   string
	marker string // of an interrupted run that may have filled it; "": none
}

func (e *notEmptyError) Error() string {
	if e.marker != "" {
		return fmt.Sprintf("%q is not empty; %q says that a run was interrupted there, but nothing proves that all in the folder is from that run: look, and remove both by hand", e.name, e.marker)
	}
	return fmt.Sprintf("%q is not empty", e.name)
}

// An existsError says that there is something where a container was to be made.
type existsError struct{ name string }

func (e *existsError) Error() string { return fmt.Sprintf("%q exists already", e.name) }

// A leftError says what could not be removed after a failure.
type leftError struct{ err, left error }

func (e *leftError) Error() string {
	return fmt.Sprintf("%v; and not all that was made could be removed: %v", e.err, e.left)
}

func (e *leftError) Unwrap() error { return e.err }

// containerFiles are the files of a container's folder that are edited.
var containerFiles = []string{"fstab", "config"}

// asideName is where a file's new content is written.
func asideName(name string) string { return "." + name + ".partial" }

// beforeName is where a file's old content is kept until the creation is
// complete. That there was no such file before is kept as a link to nothing.
func beforeName(name string) string { return "." + name + ".before" }

// replaceFile writes a file of the container's folder anew, by what edit makes
// of its content: aside and with a rename, so that after a crash the old one or
// the new one is there. The owner and the mode stay; a new file gets mode. keep
// says that what was there is kept for restoreFiles.
func replaceFile(dir, name string, mode fs.FileMode, keep bool, edit func([]byte) []byte) (err error) {
	path, aside, kept := filepath.Join(dir, name), filepath.Join(dir, asideName(name)), filepath.Join(dir, beforeName(name))
	before, err := readFileLimit(path, maxConfig)
	absent := errors.Is(err, fs.ErrNotExist)
	if err != nil && !absent {
		return err
	}
	info, err := os.Stat(path)
	if err != nil && !absent {
		return err
	}
	os.Remove(aside) // a killed run's
	f, err := os.OpenFile(aside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(aside)
		}
	}()
	if _, err := f.Write(edit(before)); err != nil {
		return err
	}
	if !absent {
		mode = info.Mode()
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			// Fails where the owner is not ours to give; then the file is ours,
			// as the one that sed makes for the stock template is.
			f.Chown(int(st.Uid), int(st.Gid))
		}
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	// Where the file system has no links, a failure from here on costs the old
	// content; it is LXC's own, made anew by the next lxc-create.
	if keep {
		os.Remove(kept)
		if absent {
			os.Symlink("nothing", kept)
		} else {
			os.Link(path, kept)
		}
	}
	return os.Rename(aside, path)
}

// restoreFiles undoes what replaceFile did to the files in dir.
func restoreFiles(dir string) error {
	for _, name := range containerFiles {
		path, kept := filepath.Join(dir, name), filepath.Join(dir, beforeName(name))
		os.Remove(filepath.Join(dir, asideName(name)))
		info, err := os.Lstat(kept)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
		case info.Mode().IsRegular():
			// A rename between two names of one file does nothing, and leaves both.
			if err = os.Rename(kept, path); err == nil {
				err = os.Remove(kept)
			}
		default:
			if err = os.Remove(path); err == nil || errors.Is(err, fs.ErrNotExist) {
				err = os.Remove(kept)
			}
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
