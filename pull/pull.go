// Package pull makes a container, or a root file system alone, out of an image that
// package source finds. The result is complete or absent.
//
// Run is the recipe. The other files follow in the order in which Run needs them:
//
//	staging.go, directory.go            the directory in which the result is made
//	room.go, config.go, machine.go      checks before the download
//	stream.go, memory.go                from the download to the files on the disk
//	forms.go                            the same for squashfs images and directories
//	container.go, personal.go, incus.go the image's files are edited
//	process.go                          the process of a container image
//	record.go                           image.json and config are written
//	plan.go                             what Run would do, without doing it
//	caller.go                           the process that waits for the result
//	error.go                            the kinds of errors
//	check.go                            a container is compared with its image
package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"lxc-pull/image"
	"lxc-pull/lxc"
	"lxc-pull/pull/source"
	"lxc-pull/untar"
)

// A Target says what Run makes, and where.
type Target struct {
	Container  lxc.Container
	RootfsOnly bool // make a root file system only, without config and fstab
	MakeDir    bool // make the container's directory too; false: lxc-create has made it

	Namespace lxc.Namespace      // in which the container will run
	IDMap     []untar.IDRange    // shifts the owners of files; nil: owners are not shifted
	IDs       [2][]untar.IDRange // users and groups that this process's namespace maps; nil: all, or not known
	Owner     Owner              // of the files beside the root file system
	Subvolume bool               // this process may make the root file system a btrfs subvolume

	BaseConfig []byte        // the container's config before the image's config is added
	Caller     *Caller       // the lxc-create that runs this program as its template; nil: none
	WithoutLXC bool          // LXC is not installed: a missing include is a warning, not an error
	LXCVersion func() string // the installed LXC's, as lxc.KnowsGroups takes it; nil: not known
}

// An Owner says who gets the container's directory and the files beside the root file
// system.
type Owner struct {
	UID, GID int        // of config and fstab; -1 leaves it unchanged
	Dir      *[2]uint32 // user and group of the directory; nil leaves it unchanged
}

// Options say how an image is unpacked.
type Options struct {
	Memory      Memory // that the whole program may take
	VerifyFirst bool   // download all of the image and verify it before the first byte is unpacked
	SELinux     bool   // store the image's SELinux labels
	NeedXattrs  bool   // refuse a file system without extended attributes
	AllowHost   bool   // accept an image whose config or fstab configures the host
	Program     string // the program and its version, for the Record
	Tell        source.Listener
	// Ready is called once the target's directory is open, and before the network is used.
	// If it returns an error, Run fails. nil: nothing is called.
	Ready    func(context.Context) error
	Process  Process  // the user's changes of a container image's process
	Personal Personal // the user's changes of the image's files and of the config
	Exclude  []string // patterns of the image's files that are not unpacked, besides the image's own
	// Report is called with the report about the unpacked files before the container is
	// complete. If it returns an error, Run fails. nil: no report is wanted.
	Report func(context.Context, *untar.Report) error
}

// A run is one call of Run.
type run struct {
	target   Target
	opt      Options
	staging  *staging
	contents *contents // of the image that is being unpacked; nil: no image was inspected yet
	locked   bool      // the image's root has no password
	edited   []string  // files of the root file system that differ from the image's, without leading slash
	arrived  arrived
}

// An arrived is what is known about the image's files once they are on the disk.
type arrived struct {
	digest   []byte // SHA-256 of the compressed root file system; nil: it is in layers
	report   untar.Report
	fromURL  bool              // a file at a URL is the root file system
	gathered bool              // all layers are on the disk and verified
	spooled  []*untar.TempFile // the temporary files that may still be read
}

// A Result says what Run has made.
type Result struct {
	Image   image.Image
	Message []byte // the image's create-message for the user; nil: it has none
	Locked  bool   // root has no password: nobody can log in with one

	Config *image.OCIConfig // of a container image; nil for others
}

// Run finds the image that query means and makes target out of it.
//
// After an error nothing that Run made is left, unless the error is a *LeftError, which
// names what is left. A *ResumableError says that the cache keeps the bytes that were
// downloaded. If ctx ended, the error wraps ctx's cause. KindOf and source.KindOf classify
// the error.
func Run(ctx context.Context, finder *source.Finder, query image.Query, target Target, opt Options) (made *Result, err error) {
	r := &run{target: target, opt: opt}
	if r.staging, err = r.stage(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = r.staging.abandon(interruption(ctx, err))
		}
	}()
	defer r.closeSpooled(0)
	if r.opt.Ready != nil {
		if err := r.opt.Ready(ctx); err != nil {
			return nil, err
		}
	}
	if err := r.probe(); err != nil {
		return nil, err
	}
	finder.Provide(opt.Memory.ahead(), r.spool)
	finder.WillOpen()
	found, err := finder.Find(ctx, query)
	if err != nil {
		return nil, r.explainFull(err)
	}
	defer func() { found.Close() }()
	for {
		err := r.fill(ctx, found)
		if err == nil {
			break
		}
		if !r.staging.isClean() {
			return nil, err // files of the failed image are still there: another image would be mixed with them
		}
		next, err := finder.Next(ctx, found, err)
		if err != nil {
			return nil, r.explainFull(err)
		}
		found = next
	}
	found.Remember(ctx)
	made = &Result{Image: found.Image, Locked: r.locked, Config: found.Config}
	if text, ok := found.Meta.Relevant("create-message", target.Namespace.Mode()); ok {
		made.Message = append([]byte{}, text...)
	}
	return made, nil
}

// interruption returns ctx's cause if err says that ctx has ended. It keeps a *LeftError and a
// *ResumableError: fill has already put the cause into them.
func interruption(ctx context.Context, err error) error {
	var left *LeftError
	var resumable *ResumableError
	why := context.Cause(ctx)
	if why == nil || !errors.Is(err, context.Canceled) || errors.As(err, &left) || errors.As(err, &resumable) {
		return err
	}
	return why
}

// fill makes the target out of an image. If it fails, it removes the image's files again.
func (r *run) fill(ctx context.Context, found *source.Found) (err error) {
	defer func() {
		if err == nil {
			return
		}
		kept := found.Forget(err)
		err = interruption(ctx, err)
		if left := r.staging.removeImage(); left != nil {
			err = &LeftError{Err: err, Left: left}
		}
		if kept {
			err = &ResumableError{err}
		}
	}()
	if r.contents == nil || r.contents.of != found {
		if r.contents, err = r.inspect(found); err != nil {
			return &source.RefusedError{Err: err}
		}
		found.Accept()
		if err := r.checkRoom(ctx, found); err != nil {
			return err
		}
	}
	r.edited, r.arrived = nil, arrived{spooled: r.arrived.spooled} // the files of an image that failed
	if err := r.unpackAll(ctx, found); err != nil {
		return r.explainFull(err)
	}
	r.settleArch(found)
	if err := r.checkDev(); err != nil {
		return err
	}
	if err := r.personalize(ctx, found); err != nil {
		return err
	}
	if found.Config != nil {
		if err := r.setUpProcess(ctx, found); err != nil {
			return err
		}
	}
	r.locked = r.lacksPassword()
	if err := r.staging.root.Finish(); err != nil {
		return err
	}
	var edits []edit
	if !r.target.RootfsOnly {
		edits = r.editContainer(r.record(found))
	}
	if err := r.writeContainer(edits); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err // the signal came during Sync
	}
	if err := r.staging.commit(r.target.Caller); err != nil {
		return err
	}
	// From here on the container is complete. Keep may take long.
	r.staging.done()
	found.Keep()
	return nil
}

// unpackAll unpacks the layers of an image in their order.
func (r *run) unpackAll(ctx context.Context, found *source.Found) (err error) {
	before := len(r.arrived.spooled) // the Finder may read these again
	defer func() {
		if err == nil {
			before = 0
		}
		r.closeSpooled(before)
	}()
	if r.gathers(found) { // of others unpack verifies the one layer first
		if !found.Cached {
			r.opt.Tell.Say(found.Arriving())
		}
		temp := func() (*os.File, error) {
			file, err := r.spool()
			before = len(r.arrived.spooled) // the next attempt takes it again
			return file, err
		}
		err := found.Gather(ctx, temp, func(layer int, s *source.Stream) io.WriteCloser {
			return r.opt.Tell.Begin(found.Arriving()+nth(found, layer), s.Kept, s.Size)
		})
		if err != nil {
			return err
		}
		r.arrived.gathered = true
	}
	for i := range found.Layers {
		if err := r.unpack(ctx, found, i); err != nil {
			return err
		}
	}
	return r.report(ctx, &r.arrived.report)
}

// closeSpooled closes all temporary files but the first ones.
func (r *run) closeSpooled(keep int) {
	for _, temp := range r.arrived.spooled[keep:] {
		temp.Close()
	}
	r.arrived.spooled = r.arrived.spooled[:keep]
}

// contents are the parts of an image's metadata that the target needs.
type contents struct {
	of        *source.Found
	config    []byte
	hasFstab  bool
	fstab     []byte
	fstabMode fs.FileMode // of the container's fstab
	creates   bool        // the config makes LXC create mount points below dev
	sized     bool        // the image's size was compared with the free room
	process   []byte      // the config's lines for a container image's process
	bare      bool        // there is no metadata: the container's config gets its name only
}

// write returns the container's config, which begins with the lines of before.
func (c *contents) write(container *lxc.Container, before []byte) []byte {
	if c.bare {
		return container.NameOnly(before)
	}
	return container.Config(before, c.config, c.hasFstab)
}

func (r *run) warn(code, format string, args ...any) {
	r.opt.Tell.Warn(code, fmt.Sprintf(format, args...))
}
