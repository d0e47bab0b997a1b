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

// A Plan says what Run would do.
type Plan struct {
	Image   image.Image
	Cached  bool          // the image comes from the cache
	Keeps   bool          // a download would be kept in the cache
	Layer   source.Layer  // of the root file system, with its sizes
	Files   []source.File // that are downloaded or already verified; nil if the image is cached
	Signers []string      // fingerprints of the keys that signed the index; nil: nothing was verified

	Room       untar.Room // of the file system that the target would be on
	FileSystem string     // its name, as in mount(8)
}

// MakePlan finds out what Run would do with the same arguments, and changes nothing on the
// disk: the finder must have been opened with source.Options.ReadOnly. It verifies the
// signatures, the metadata and the image's config as Run does, and checks the target and its
// room. Its errors are those of Run, except for failures that only the work itself shows.
func MakePlan(ctx context.Context, finder *source.Finder, query image.Query, target Target, opt Options) (*Plan, error) {
	r := &run{target: target, opt: opt}
	root, err := r.openNearest()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	r.staging = &staging{root: root}
	found, err := finder.Find(ctx, query)
	if err != nil {
		return nil, err
	}
	defer func() { found.Close() }()
	for {
		if r.contents, err = r.inspect(found); err == nil {
			break
		}
		next, err := finder.Next(ctx, found, &source.RefusedError{Err: err})
		if err != nil {
			return nil, err
		}
		found = next
	}
	found.Accept()
	if err := r.checkRoom(ctx, found); err != nil {
		return nil, err
	}
	plan := &Plan{Image: found.Image, Cached: found.Cached, Keeps: found.WillKeep(), Layer: found.Layers[0], Signers: found.Signers(), FileSystem: root.FileSystem()}
	if !found.Cached {
		plan.Files = found.Files()
	}
	plan.Room, err = root.Room()
	return plan, err
}

// openNearest checks the target's directory, as far as that changes nothing. It opens the
// directory if it exists, else the nearest existing directory above it.
func (r *run) openNearest() (*untar.Root, error) {
	path := r.target.Container.Path
	if r.target.RootfsOnly {
		path = r.target.Container.Rootfs
	}
	_, err := os.Lstat(path)
	switch {
	case err == nil && r.target.RootfsOnly:
		if _, marked := os.Lstat(filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".incomplete")); marked == nil {
			r.warnf("%q holds what an interrupted run left; a run empties it first, if it can prove that", path)
		} else if err := checkEmpty(path); err != nil {
			return nil, err
		}
	case err == nil:
		if err := r.checkFreePath(path); err != nil {
			return nil, err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	for {
		root, err := untar.OpenRoot(path)
		if err == nil {
			if err = access(path); err == nil {
				return root, nil
			}
			root.Close()
		}
		if !errors.Is(err, fs.ErrNotExist) || path == filepath.Dir(path) {
			return nil, err
		}
		path = filepath.Dir(path)
	}
}

// checkEmpty refuses a directory that is not empty.
func checkEmpty(path string) error {
	root, err := untar.OpenRoot(path)
	if err != nil {
		return err
	}
	defer root.Close()
	empty, err := root.IsEmpty()
	if err == nil && !empty {
		err = notEmpty(path, "")
	}
	return err
}

// checkFreePath refuses a new container's path at which something is, unless it is an empty
// directory of this user or one with an empty rootfs (stageExisting).
func (r *run) checkFreePath(path string) error {
	f, err := openDir(path)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, fs.ErrNotExist) {
		return exists(path, "")
	}
	if err != nil {
		return err
	}
	defer f.close()
	uid, _, err := f.owner()
	if err != nil {
		return err
	}
	if uid != uint32(os.Geteuid()) && uid != uint32(r.target.Owner.UID) {
		return exists(path, f.marker())
	}
	if err := f.checkFree(); err != nil {
		return err
	}
	if err := f.checkNew(); err != nil {
		return err
	}
	if f.marker() != "" {
		r.warnf("%q holds what an interrupted run left; a run empties it first, if it can prove that", path)
		return nil
	}
	rootfs := filepath.Join(path, rootfsName)
	err = checkEmpty(rootfs)
	if KindOf(err) == NotEmpty || errors.Is(err, unix.ENOTDIR) {
		return exists(rootfs, "")
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// access returns an error if this process may not make files in a directory (faccessat(2);
// golang.org/x/sys's function would bring in faccessat2, which Android's system call filter
// does not allow).
func access(path string) error {
	name, err := unix.BytePtrFromString(path)
	if err != nil {
		return err
	}
	const writeAndSearch = 2 | 1 // W_OK | X_OK, unistd.h
	dir := unix.AT_FDCWD
	if _, _, e := unix.Syscall(unix.SYS_FACCESSAT, uintptr(dir), uintptr(unsafe.Pointer(name)), writeAndSearch); e != 0 {
		return &fs.PathError{Op: "write", Path: path, Err: e}
	}
	return nil
}
