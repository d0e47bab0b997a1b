// Package pull makes a container, or a root file system alone, out of an image that
// package source finds: whole or not at all.
//
// Run is the recipe. The rest of the package is, in the order in which Run comes to it:
// the place where everything grows (staging.go, directory.go), what is known to end badly
// (room.go, config.go, machine.go), the stream from the download to the disk (stream.go,
// memory.go), what makes the image's files this container's (container.go), and who
// waits for the result (caller.go).
package pull

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"lxc-pull/image"
	"lxc-pull/lxc"
	"lxc-pull/pull/source"
	"lxc-pull/untar"
)

// A Target is what is to be made, and where.
type Target struct {
	Container lxc.Container
	Alone     bool // a root file system, without a config and fstab
	Create    bool // the container's directory is this run's to make; else lxc-create has made it

	Namespace lxc.Namespace      // that the container will live in
	IDMap     []untar.IDRange    // by which owners are shifted; nil: not at all
	IDs       [2][]untar.IDRange // users and groups that files can be given, inside IDMap; nil: all, or not known
	Owner     Owner              // of what is made beside the root file system
	Subvolume bool               // this process may make the root file system a btrfs subvolume

	Begins     []byte  // the config with which the container begins
	Caller     *Caller // lxc-create, if it called; nil: a person did
	WithoutLXC bool    // no LXC is on this machine: what its configs lack is a warning
}

// An Owner says whose the files of a container's directory are.
type Owner struct {
	UID, GID int        // of config and fstab; -1 leaves it unchanged
	Dir      *[2]uint32 // user and group of the directory; nil leaves it unchanged
}

// Options say how an image is unpacked.
type Options struct {
	Memory      Memory // that the whole program may take
	VerifyFirst bool   // bring all of the image to the disk and check it before a byte is unpacked
	SELinux     bool   // store the image's SELinux labels
	NeedXattrs  bool   // refuse a file system that can't hold extended attributes
	AllowHost   bool   // let the image's config reach for the host
	Tell        source.Listener
	// Report takes the report of what was unpacked, before the container is complete.
	// Its error ends the run as any other. nil: no report is wanted.
	Report func(context.Context, *untar.Report) error
}

// A run is one call of Run.
type run struct {
	target Target
	opt    Options
	tell   source.Listener
	place  *staging
	image  *contents // of the image that is being unpacked; nil: none is yet
}

// Run finds the image that query means and makes the target out of it. It returns what
// the image has to say to whoever made a container of it, nil for nothing. After an error
// nothing is left but what a *LeftError names, and a *ResumableError says that a download
// is kept.
func Run(ctx context.Context, finder *source.Finder, query image.Query, target Target, how Options) (message []byte, err error) {
	r := &run{target: target, opt: how, tell: how.Tell}
	if r.place, err = r.stage(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = r.place.abandon(interruption(ctx, err))
		}
	}()
	if err := r.probe(); err != nil {
		return nil, err
	}
	found, err := finder.Find(ctx, query)
	if err != nil {
		return nil, how.Memory.explain(err)
	}
	defer func() { found.Close() }()
	for {
		failed := r.fill(ctx, found)
		if failed == nil {
			break
		}
		if !r.place.isClean() {
			return nil, failed
		}
		next, err := finder.Next(ctx, found, failed)
		if err != nil {
			return nil, how.Memory.explain(err)
		}
		found = next
	}
	r.place.done()
	found.Remember(ctx)
	if text, ok := found.Meta.Relevant("create-message", target.Namespace.Mode()); ok {
		message = append([]byte{}, text...)
	}
	return message, nil
}

// interruption returns the reason for which ctx ended if err says only that it ended. An
// error that has the reason stays as it is, with all that it says besides.
func interruption(ctx context.Context, err error) error {
	if why := context.Cause(ctx); why != nil && errors.Is(err, context.Canceled) && !errors.Is(err, why) {
		return why
	}
	return err
}

// fill makes the target out of an image, all of it or nothing.
func (r *run) fill(ctx context.Context, found *source.Found) (err error) {
	defer func() {
		if err == nil {
			return
		}
		err = interruption(ctx, err)
		kept := found.Forget(err)
		if left := r.place.empty(); left != nil {
			err = &LeftError{err, left}
		}
		if kept {
			err = &ResumableError{err}
		}
	}()
	if r.image == nil || r.image.of != found {
		if r.image, err = r.inspect(found); err != nil {
			return &source.RefusedError{Err: err}
		}
		if err := r.checkRoom(ctx, found); err != nil {
			return err
		}
	}
	for i := range found.Layers {
		if err := r.unpack(ctx, found, i); err != nil {
			return r.whatIsFull(err)
		}
	}
	if err := r.checkDev(); err != nil {
		return err
	}
	if err := r.personalize(ctx, found.Meta); err != nil {
		return err
	}
	if err := r.place.root.Finish(); err != nil {
		return err
	}
	if err := r.place.root.Sync(); err != nil {
		return fmt.Errorf("writing %q to the disk: %w", r.target.Container.Rootfs, err)
	}
	if !r.target.Alone {
		if err := r.writeContainer(); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err // it came while the disk was busy
	}
	if err := r.place.commit(r.target.Caller); err != nil {
		return err
	}
	found.Keep()
	return nil
}

// contents are an image's metadata as they apply to the target.
type contents struct {
	of        *source.Found
	config    []byte
	hasFstab  bool
	fstab     []byte
	fstabMode fs.FileMode // of the container's fstab
	creates   bool        // the config has LXC make mount points below dev
	sized     bool        // the room for it was compared with its size
}

func (r *run) warnf(format string, args ...any) { r.tell.Warn(fmt.Sprintf(format, args...)) }
