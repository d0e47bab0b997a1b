package pull

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"

	"lxc-pull/image"
	"lxc-pull/pull/source"
	"lxc-pull/untar"
)

// Plan finds out what Run would do with the same arguments, and changes nothing on the disk:
// the finder must have been opened with source.Options.ReadOnly. It verifies the signatures, the
// metadata and the image's config as Run does, and checks the target and its room. Its errors
// are those of Run, without those that only the work itself shows. It returns the image, with
// its sizes, and a directory of the file system on which the target would be. The caller closes
// both.
func Plan(ctx context.Context, finder *source.Finder, query image.Query, target *Target, opt *Options) (*source.Found, *untar.Root, error) {
	r := &run{target: *target, opt: *opt}
	root, err := r.openNearest()
	if err != nil {
		return nil, nil, err
	}
	r.staging = &staging{root: root}
	found, err := finder.Find(ctx, query)
	for err == nil {
		if r.contents, err = r.inspect(found); err == nil {
			found.Accept()
			if err = r.checkRoom(ctx, found); err == nil {
				return found, root, nil
			}
			found.Close()
			break
		}
		found, err = finder.Next(ctx, found, &source.RefusedError{Err: err})
	}
	root.Close()
	return nil, nil, err
}

// openNearest checks the target's directory, as far as that changes nothing. It opens the
// directory if it exists, else the nearest existing directory above it. It is an error if
// this process may not make files there.
func (r *run) openNearest() (root *untar.Root, err error) {
	path := r.target.Container.Path
	if r.target.RootfsOnly {
		path = r.target.Container.Rootfs
	}
	if _, err = os.Lstat(path); err == nil && r.target.RootfsOnly {
		err = checkEmpty(path)
	} else if err == nil {
		err = r.checkFreePath(path)
	}
	for err == nil || errors.Is(err, fs.ErrNotExist) {
		if root, err = untar.OpenRoot(path); err == nil {
			break
		}
		path = filepath.Dir(path)
	}
	if err != nil {
		return nil, err
	}
	// golang.org/x/sys's function would bring in faccessat2, which Android's system call
	// filter does not allow.
	const writeAndSearch = 2 | 1 // W_OK | X_OK, unistd.h
	name, dir := []byte(path+"\x00"), unix.AT_FDCWD
	if _, _, e := unix.Syscall(unix.SYS_FACCESSAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), writeAndSearch); e != 0 {
		root.Close()
		return nil, &fs.PathError{Op: "write", Path: path, Err: e}
	}
	return root, nil
}

// checkEmpty refuses a directory for a root file system that is not empty. A run would first
// remove what an interrupted run left there, if it can prove that; so with that run's marker
// the directory passes.
func checkEmpty(path string) error {
	if _, err := os.Lstat(filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".incomplete")); err == nil {
		return nil
	}
	root, err := untar.OpenRoot(path)
	if err != nil {
		return err
	}
	empty, err := root.IsEmpty()
	root.Close()
	if err == nil && !empty {
		err = notEmpty(path, "")
	}
	return err
}

// checkFreePath refuses a new container's path, unless it is a directory of this user which is
// empty, or has an empty rootfs and nothing else (stageExisting).
func (r *run) checkFreePath(path string) error {
	f, err := openDir(path)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, fs.ErrNotExist) {
		return exists(path, "")
	}
	if err != nil {
		return err
	}
	uid, _, err := f.owner()
	if err == nil && uid != uint32(os.Geteuid()) && uid != uint32(r.target.Owner.UID) {
		err = exists(path, f.marker())
	}
	if err == nil {
		err = f.checkFree()
	}
	if err == nil {
		err = f.checkNew()
	}
	f.close()
	if err != nil {
		return err
	}
	path = filepath.Join(path, rootfsName)
	if err = checkEmpty(path); KindOf(err) == NotEmpty || errors.Is(err, unix.ENOTDIR) {
		err = exists(path, "")
	}
	return err
}
