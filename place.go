package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/lxc"
	"lxc-pull/untar"
)

// A place is where a creation grows until all of it is there: nothing before
// looks complete, and whatever ends the run before leaves nothing. What a kill
// leaves the next run finds (untar.Target).
type place struct {
	target *untar.Target // what is there whole or not at all: the container's folder, or the root file system
	root   *untar.Root   // the root file system; the target's own, or one below it
	folder *containerDir // the container's folder; nil: a root file system alone
	edits  bool          // the folder was there before: its files come back after a failure
	merges bool          // the root held something before: a failure removes nothing of it
	begun  bool          // something was unpacked into it
	made   bool          // the root's folder is new in a folder that was there before
	caller *caller       // who waits for it; nil: a person

	// The container's folder is this process's own, and closed to others, until
	// all is there; then it gets these.
	grown bool
	owner *[2]uint32 // user and group; nil: they stay
	mode  uint32
	given bool        // it has these
	was   unix.Stat_t // the folder before
}

// openRootfs opens the folder that the image goes into, for a root file system
// alone or as the template. For a root file system alone it must be absent or
// empty, so that what a failure removes is only what this run made.
//
// As the template a folder that holds something is merged into, as by the stock
// template: a refusal would have lxc-create remove all of it. For the same reason
// the end of another run in that folder is waited for, for an hour. Since nothing of a merge
// can be undone, the image is verified before.
func (c *creation) openRootfs(ctx context.Context) (p *place, err error) {
	p = &place{caller: c.caller}
	if c.folder != "" {
		if p.folder, err = openFolder(c.folder); err != nil {
			return nil, err
		}
		p.edits = true
	}
	most := time.Duration(0)
	if c.caller != nil {
		most = maxPlaceWait
	}
	err = c.ui.waitBusy(ctx, most, func() (err error) {
		p.target, err = c.openTarget(p.folder)
		return err
	})
	if err != nil {
		p.close()
		return nil, err
	}
	p.root = p.target.Root()
	if !p.target.IsEmpty() {
		if c.caller == nil {
			p.close()
			return nil, &notEmptyError{c.rootfs, p.target.Stale()}
		}
		c.ui.warnf("%q is not empty: the image is put beside what is there; if that fails, lxc-create removes all of it", c.rootfs)
		p.merges, c.merges, c.opt.verifyFirst = true, true, true
	}
	warnStale(c.ui, p.target)
	if p.target.Recovered() != "" {
		c.ui.warnf("%q held what an interrupted run left; it was emptied first", c.rootfs)
	}
	if p.edits {
		err = p.folder.restore()
	}
	if err != nil {
		return nil, p.abandon(err)
	}
	return p, nil
}

// maxPlaceWait bounds the wait for another run in the same folder: half a gigabyte
// at 150 kB/s, as for the lock of an image in the cache.
const maxPlaceWait = time.Hour

// waitBusy calls open until no other run fills the folder, or for so long.
func (u *ui) waitBusy(ctx context.Context, most time.Duration, open func() error) error {
	for waited := time.Duration(0); ; waited += callerPoll {
		err := open()
		if !errors.Is(err, untar.ErrBusy) {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if waited >= most {
			if most > 0 {
				err = fmt.Errorf("%w (waited %v)", err, most)
			}
			return err
		}
		if waited == 0 {
			u.say("Waiting for another run that fills this folder" + who(err))
		}
		time.Sleep(callerPoll)
	}
}

// who says which process fills a folder, where that is known.
func who(err error) string {
	var busy *untar.BusyError
	if errors.As(err, &busy) {
		return fmt.Sprintf(" (process %d)", busy.PID)
	}
	return ""
}

// openTarget opens the root file system's folder. In a container's folder that
// another user may own it is opened below that, and no link is followed; what
// else --rootfs names is the administrator's choice.
func (c *creation) openTarget(in *containerDir) (*untar.Target, error) {
	if in == nil || filepath.Clean(c.rootfs) != filepath.Join(c.folder, rootfsName) {
		return untar.OpenTarget(c.rootfs)
	}
	uid, _, err := in.owner()
	if err != nil {
		return nil, err
	}
	if c.namespace == lxc.HostNamespace && uid == uint32(os.Geteuid()) {
		return untar.OpenTarget(c.rootfs)
	}
	return untar.OpenTargetAt(in.file, rootfsName, c.rootfs)
}

// rootfsName is the folder of the root file system in a container's.
const rootfsName = "rootfs"

// openContainer makes the folder of a container beside its own place.
func (c *creation) openContainer(owner *[2]uint32) (*place, error) {
	target, err := untar.OpenTarget(c.folder)
	if err != nil {
		return nil, err
	}
	warnStale(c.ui, target)
	// The mode is lxc-create's (lxccontainer.c, create_container_dir).
	p := &place{target: target, owner: owner, mode: 0o770}
	file, err := target.Root().File()
	if err == nil && !target.IsEmpty() {
		file.Close()
		err = &existsError{name: c.folder} // it came to be just now
	}
	if err == nil {
		p.folder = &containerDir{file, c.folder}
		err = c.makeRootfs(p)
	}
	if err == nil {
		p.root, err = target.Root().Open(rootfsName)
	}
	if err == nil {
		err = p.own()
	}
	if err == nil && c.idmap != nil {
		err = p.shiftRoot()
	}
	if err != nil {
		return nil, p.abandon(err)
	}
	return p, nil
}

// rootfsMarker says that the root file system in a container's folder is
// incomplete (untar.Target).
const rootfsMarker = "." + rootfsName + ".incomplete"

// openExisting takes a folder that is there for the container's, as lxc-create
// does: an empty one, or one that holds an empty folder for the root file system
// and nothing else. Both may be mount points. It keeps its mode.
func (c *creation) openExisting(owner *[2]uint32) (*place, error) {
	f, err := openFolder(c.folder)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, fs.ErrNotExist) {
		return nil, &existsError{name: c.folder} // a file, or a link that leads nowhere
	}
	if err != nil {
		return nil, err
	}
	p := &place{folder: f, owner: owner}
	owners := []uint32{uint32(os.Geteuid()), uint32(c.uid)}
	if owner != nil && f.marker() != "" {
		owners = append(owners, owner[0]) // a killed run had handed it over already
	}
	if uid, _, e := f.owner(); e != nil {
		err = e
	} else if !slices.Contains(owners, uid) {
		err = &existsError{c.folder, f.marker()}
	} else {
		err = f.checkFree()
	}
	if err == nil {
		c.storage = "dir"
		st, missing := f.stat(rootfsName)
		if owner != nil {
			owners = append(owners, owner[0])
		}
		switch {
		case missing == unix.ENOENT:
			err = c.makeRootfs(p)
			p.made = err == nil
		case missing == nil && !slices.Contains(owners, st.Uid):
			err = &existsError{c.rootfs, f.marker()}
		}
	}
	if err == nil {
		p.target, err = untar.OpenTargetAt(f.file, rootfsName, c.rootfs)
	}
	if err == nil && !p.target.IsEmpty() {
		err = &existsError{c.rootfs, p.target.Stale()}
	}
	// The mode is written down (untar.OpenTargetAt): now the folder can be closed,
	// and looked at once more, since nobody else puts anything into it any more.
	if err == nil {
		p.mode = p.target.ParentMode()
		err = p.own()
	}
	if err == nil {
		err = f.checkFree()
	}
	if err == nil && !p.target.IsAt() {
		err = &existsError{name: c.rootfs}
	}
	if err != nil {
		return nil, p.abandon(err)
	}
	warnStale(c.ui, p.target)
	p.root, p.edits = p.target.Root(), true
	if p.target.Recovered() != "" {
		c.ui.warnf("%q held what an interrupted run left; it was emptied first", c.rootfs)
		err = f.restore()
	}
	if err == nil {
		err = f.checkNew()
	}
	if err == nil && c.idmap != nil {
		err = p.shiftRoot()
	}
	if err != nil {
		return nil, p.abandon(err)
	}
	return p, nil
}

// marker is the path of the marker of an interrupted run, "" for none.
func (f *containerDir) marker() string {
	if _, err := f.stat(rootfsMarker); err != nil {
		return ""
	}
	return filepath.Join(f.path, rootfsMarker)
}

// checkFree refuses a folder that holds what a new container's can't. What it
// says of an interrupted run's files is up to checkNew.
func (f *containerDir) checkFree() error {
	if _, err := f.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	names, err := f.file.Readdirnames(16) // more than there can be
	if err != nil && err != io.EOF {
		return err
	}
	free := true
	for _, name := range names {
		known := name == "lost+found" || name == rootfsName
		if slices.Contains(names, rootfsMarker) {
			known = known || name == rootfsMarker
			for _, file := range containerFiles {
				known = known || name == file || name == asideName(file) || name == beforeName(file)
			}
		}
		free = free && known
	}
	if !free {
		return &existsError{f.path, f.marker()}
	}
	return nil
}

// checkNew refuses a folder with a config, which makes it a container.
func (f *containerDir) checkNew() error {
	if _, err := f.stat("config"); err != unix.ENOENT {
		return &existsError{f.path, f.marker()}
	}
	return nil
}

// makeRootfs makes the folder for the root file system: on btrfs a subvolume, as
// lxc-create -B best does.
func (c *creation) makeRootfs(p *place) error {
	c.storage = "dir"
	if os.Geteuid() == 0 && currentNamespace() == lxc.HostNamespace && untar.MakeSubvolume(p.folder.fd(), rootfsName) == nil {
		c.storage = "btrfs"
		return nil
	}
	return p.folder.fail("mkdir", rootfsName, unix.Mkdirat(p.folder.fd(), rootfsName, 0o755))
}

// own closes the container's folder to others.
func (p *place) own() error {
	err := unix.Fstat(p.folder.fd(), &p.was)
	if err == nil {
		p.grown = true
		if p.owner != nil && p.was.Uid == p.owner[0] {
			err = unix.Fchown(p.folder.fd(), os.Geteuid(), -1)
		}
	}
	if err == nil {
		err = unix.Fchmod(p.folder.fd(), 0o700)
	}
	return p.folder.fail("close", "", err)
}

// shiftRoot gives the folder of the root file system, to which nobody else has a
// way yet, to the container's root.
func (p *place) shiftRoot() error {
	root, err := p.root.File()
	if err != nil {
		return err
	}
	defer root.Close()
	return root.Chown(int(p.owner[0]), int(p.owner[1]))
}

// handOver gives the container's folder to the container's root, when nothing in
// it is to be done by name any more.
func (p *place) handOver() error {
	if !p.grown {
		return nil
	}
	if err := p.folder.fail("chmod", "", unix.Fchmod(p.folder.fd(), p.mode)); err != nil {
		return err
	}
	if p.owner == nil {
		return nil
	}
	p.given = true
	return p.folder.fail("chown", "", unix.Fchown(p.folder.fd(), int(int32(p.owner[0])), int(int32(p.owner[1]))))
}

// takeBack undoes handOver, before what is in the folder is removed. Where it
// fails the removal does no harm all the same: it follows no link.
func (p *place) takeBack() {
	if p.given {
		unix.Fchown(p.folder.fd(), int(p.was.Uid), int(p.was.Gid))
		unix.Fchmod(p.folder.fd(), 0o700)
		p.given = false
	}
}

// commit makes everything durable and the place what it is to be.
func (p *place) commit() error {
	// Before: a folder that is renamed must be right, and one that was there would
	// stay closed for ever if the run were killed when its marker is gone.
	if err := p.handOver(); err != nil {
		return err
	}
	if err := p.target.Commit(); err != nil {
		var path *fs.PathError
		if errors.As(err, &path) && errors.Is(err, fs.ErrExist) {
			return &existsError{name: path.Path}
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
	if p.edits {
		p.folder.forget()
	}
	p.close()
}

// again reports whether there may be another attempt: what one left of an image
// must not be mixed with another.
func (p *place) again() bool {
	if p.merges {
		return !p.begun
	}
	empty, err := p.root.IsEmpty()
	return err == nil && empty
}

// empty removes what one attempt made, so that there may be another.
func (p *place) empty() (err error) {
	p.takeBack()
	if p.merges {
		err = p.root.Reopen()
		if p.begun {
			err = errors.Join(err, errMerged)
		}
	} else {
		err = p.root.RemoveContents()
	}
	if p.edits {
		err = errors.Join(err, p.folder.restore())
	}
	return err
}

// errMerged says what stays of a merge that failed.
var errMerged = errors.New("what was unpacked beside other files stays")

// abandon removes what this run made, and returns err with what could not be
// removed.
func (p *place) abandon(err error) error {
	p.takeBack()
	var left error
	if p.target != nil {
		_, left = p.target.Abort()
	}
	if p.edits {
		left = errors.Join(left, p.folder.restore())
	}
	if p.made && left == nil {
		left = p.folder.fail("remove", rootfsName, untar.RemoveDir(p.folder.fd(), rootfsName))
	}
	if p.grown {
		unix.Fchmod(p.folder.fd(), p.mode) // one that was there before has its own again
	}
	p.close()
	if left != nil {
		return &leftError{err, left}
	}
	return err
}

func (p *place) close() {
	if p.target != nil {
		if p.root != nil && p.root != p.target.Root() {
			p.root.Close()
		}
		p.target.Close()
	}
	if p.folder != nil {
		p.folder.close()
	}
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
type existsError struct {
	name   string
	marker string // of an interrupted run that may have filled it; "": none
}

func (e *existsError) Error() string {
	if e.marker != "" {
		return fmt.Sprintf("%q exists already; %q says that a run was interrupted there, but nothing proves that all in the folder is from that run", e.name, e.marker)
	}
	return fmt.Sprintf("%q exists already", e.name)
}

// A leftError says what could not be removed after a failure.
type leftError struct{ err, left error }

func (e *leftError) Error() string {
	// errors.Join has each error on a line of its own.
	return fmt.Sprintf("%v; and not all that was made could be removed: %s", e.err, strings.ReplaceAll(e.left.Error(), "\n", "; "))
}

func (e *leftError) Unwrap() error { return e.err }
