package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"lxc-pull/fetch"
	"lxc-pull/lxc"
	"lxc-pull/untar"
)

// The largest files that the recipe takes from a server, in bytes.
const (
	maxSums      = 1 << 20  // SHA256SUMS: a build has a dozen files
	maxSignature = 64 << 10 // a few signatures of a few kilobytes
	maxMeta      = 4 << 20  // meta.tar.xz: today's have 1 kB
	maxMetaFile  = 1 << 20  // one file in it
	maxMetaTotal = 8 << 20  // all of them
	maxRootfs    = 64 << 30 // rootfs.tar.xz: a thousand times today's
	maxTemplate  = 4 << 20  // a file of the rootfs in which tokens are replaced
	maxTemplates = 4096     // such files: today's images have two
	maxRewritten = 64 << 20 // all of them rewritten: a hole of 4 MiB is no byte of an image and 4 MiB of disk
	maxLoosens   = 8        // warnings of one image: more say nothing more
	maxConfig    = 1 << 20  // the config that lxc-create wrote
)

// A creation is one run of the recipe: find the image, check who signed it,
// stream it in, write the container.
type creation struct {
	ui        *ui
	opt       options
	namespace lxc.Namespace
	mode      lxc.Mode
	container lxc.Container
	rootfs    string          // the folder that is filled
	folder    string          // the container's folder; "": a root file system alone
	storage   string          // LXC's name for what the rootfs is on; "": lxc-create has written it
	merges    bool            // the image goes beside what is in the rootfs
	idmap     []untar.IDRange // by which owners are shifted; nil: not at all
	uid, gid  int             // whom the cache, config and fstab are handed back to; -1: nobody

	before []byte  // the config with which the container begins
	caller *caller // lxc-create, where it called; nil: a person did

	withoutLXC    bool // no LXC on this machine: what its config lacks is a warning
	distrustCache bool // the cached copy turned out to be damaged, or was to be removed
	unfit         bool // its evidence does not vouch for it
	saidUnseen    bool // that what was seen before can't be read

	servers *servers
	client  *fetch.Client
	trust   trust
	cache   *fetch.Cache // nil: none
	limit   int64        // bytes that it may keep; 0: any number
	report  *reportFile  // nil: none is wanted
}

// newCreation prepares a run. Nothing is asked of the network yet.
func newCreation(ui *ui, opt options, namespace lxc.Namespace) *creation {
	return &creation{
		ui: ui, opt: opt, namespace: namespace, mode: modeOf(namespace), uid: -1, gid: -1,
		rootfs: opt.rootfs, folder: opt.path,
		container: lxc.Container{
			Name: opt.name, Path: opt.path, Rootfs: opt.rootfs,
			TemplateConfig: opt.templateConfigDir(), HookDir: opt.hookDirectory(),
			UserNamespace: namespace != lxc.HostNamespace,
		},
	}
}

// run is the recipe. open makes the place in which everything grows.
func (c *creation) run(ctx context.Context, open func(context.Context) (*place, error)) (err error) {
	// Nobody reading the words any more must not leave half a container.
	signal.Ignore(unix.SIGPIPE)
	if err := untilDone(ctx, c.prepare); err != nil {
		return err
	}
	p, err := open(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			if why := context.Cause(ctx); why != nil && errors.Is(err, context.Canceled) {
				err = why
			}
			err = p.abandon(err)
		}
	}()
	if c.report, err = openReport(ctx, c.opt.report, p.root); err != nil {
		return err
	}
	defer c.report.close()
	if err := c.checkPlace(p.root); err != nil {
		return err
	}
	source, err := c.locate(ctx)
	if err != nil {
		return err
	}
	defer func() { source.close() }()
	for {
		if err = c.fill(ctx, p, source); err == nil {
			break
		}
		if !p.again() {
			return err
		}
		another, err := c.otherwise(ctx, source, err)
		if err != nil {
			return err // source is closed all the same
		}
		source = another
	}
	p.done()
	c.remember(ctx, source)
	if message, ok := source.meta.Relevant("create-message", c.mode); ok {
		c.ui.sayRaw("\n---\n" + printable(string(message)))
	}
	return nil
}

// fill makes the container out of source, all of it or nothing.
func (c *creation) fill(ctx context.Context, p *place, source *source) (err error) {
	defer func() {
		if err == nil {
			return
		}
		if !source.resumable(err) {
			source.discard()
		} else if source.stage != nil && source.body != nil && source.body.Offset() > 0 {
			c.ui.resumes = true
		}
		if left := p.empty(); left != nil {
			err = &leftError{err, left}
		}
	}()
	if err := c.checkRoom(ctx, p.root, source); err != nil {
		return err
	}
	if err := c.unpack(ctx, p, source); err != nil {
		return c.whatIsFull(p.root, err)
	}
	if err := c.checkDev(p.root, source); err != nil {
		return err
	}
	if err := c.personalize(ctx, p.root, source.meta); err != nil {
		return err
	}
	if err := p.root.Finish(); err != nil {
		return err
	}
	if err := p.root.Sync(); err != nil {
		return fmt.Errorf("writing %q to the disk: %w", c.rootfs, err)
	}
	if c.folder != "" {
		if err := c.writeContainer(p, source); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err // it came while the disk was busy
	}
	if err := p.commit(); err != nil {
		return err
	}
	source.commit(c)
	return nil
}

// unpack streams the root file system in: socket, cache file, digest,
// decompression, tar, files. The bytes are checked as they pass, so files come
// to be before the last of them is known to be right; until then, and until the
// image's own files are this container's, the root folder is closed to others, and
// a wrong end removes everything.
func (c *creation) unpack(ctx context.Context, p *place, source *source) error {
	root := p.root
	if !source.cached {
		c.ui.say("Downloading the rootfs")
	}
	ctx, cancel := context.WithCancel(ctx)
	body, size, err := source.open(ctx, c)
	if err != nil {
		cancel()
		return err
	}
	defer body.Close()
	if source.packed == 0 && size > 0 { // the server has told it only now
		beside := int64(0)
		if c.verifyFirst(source) && source.stage == nil {
			beside = size
		}
		if err := c.fits(root, size, -1, beside); err != nil {
			cancel()
			return err
		}
	}
	body = interruptible{body, ctx}
	if c.verifyFirst(source) {
		if body, err = c.settle(root, source, body, size); err != nil {
			cancel()
			return err
		}
		defer body.Close()
		body = interruptible{body, ctx}
	}
	c.ui.say("Unpacking the rootfs")
	line := c.ui.begin("Unpacking the rootfs", size)
	defer line.end()

	stream := newReadAhead(io.TeeReader(io.TeeReader(body, line), source.seal))
	defer stream.Close()
	tarball, err := untar.Decompress(stream, c.opt.decoding())
	if err != nil {
		defer cancel()
		return c.blame(source, stream, err)
	}
	defer tarball.Close()
	unpacked := newReadAhead(tarball)
	defer unpacked.Close()
	defer cancel() // runs first: it ends a read of the network that the others would wait for

	how, err := c.extraction(root, source)
	if err != nil {
		return err
	}
	p.begun = true
	// What is read may be few bytes, and what comes out of them go on for minutes.
	report, err := root.Extract(interruptible{unpacked, ctx}, how)
	if errors.Is(err, untar.ErrTooBig) {
		err = fmt.Errorf("%q has room for %s: %w", c.rootfs, byteCount(how.MaxBytes), err)
	}
	if err == nil {
		_, err = io.Copy(io.Discard, stream) // the tail that the decoder did not ask for
	}
	if err != nil {
		unpacked.Close()
		tarball.Close()
		return c.blame(source, stream, err)
	}
	if err := source.seal.check(); err != nil {
		return err
	}
	line.end()
	return c.tell(ctx, report)
}

// An interruptible ends a stream with its context: a file knows nothing of it.
type interruptible struct {
	io.ReadCloser
	ctx context.Context
}

// Read returns the context's error once there is one.
func (i interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.ReadCloser.Read(p)
}

// verifyFirst reports whether the whole rootfs is to be verified before a byte
// of it is unpacked: on request, and for what may come over plain http or from a
// mirror.
func (c *creation) verifyFirst(source *source) bool {
	return c.trust.ring != nil && (c.opt.verifyFirst || !source.cached && slices.ContainsFunc(source.course.URLs(), func(u string) bool { return !c.servers.safe(u) }))
}

// settle brings all of body to the disk, checks it, and returns the same bytes
// from the same descriptor: out of the cache where they are kept there, else
// from a temporary file.
func (c *creation) settle(root *untar.Root, source *source, body io.Reader, size int64) (io.ReadCloser, error) {
	line := c.ui.begin("Downloading the rootfs", size)
	defer line.end()
	var sink io.Writer = io.Discard
	var file *os.File
	var temporary *untar.TempFile
	if source.entry == nil && source.stage == nil {
		var err error
		if temporary, err = root.TempFile(); err != nil {
			return nil, err
		}
		file, sink = temporary.File, temporary.File
	}
	n, err := io.Copy(io.MultiWriter(sink, source.seal), io.TeeReader(body, line))
	if err == nil {
		err = source.seal.check()
	}
	switch {
	case err != nil:
	case source.entry != nil:
		file = source.entry.Rootfs
	case source.stage != nil:
		file = source.stage.Rootfs
	case file == nil:
		err = fmt.Errorf("the cache can't hold the image: %w", syscall.ENOSPC)
	}
	if err != nil {
		if temporary != nil {
			temporary.Close()
		}
		return nil, err
	}
	whole := io.NewSectionReader(file, 0, n)
	if temporary == nil {
		// A file of the cache has a name: what is read again is checked again.
		return io.NopCloser(whole), c.seal(source)
	}
	source.seal = &seal{file: rootfsFile} // checked, and nobody else can open it
	return struct {
		io.Reader
		io.Closer
	}{whole, temporary}, nil
}

// blame finds out what an error in the middle of an image means. Bytes that
// can't be unpacked are most likely not the ones that were signed: the rest of
// them is read, and a wrong digest is the better answer.
func (c *creation) blame(source *source, stream io.Reader, err error) error {
	var network *fetch.Error
	var number syscall.Errno
	if errors.Is(err, context.Canceled) || errors.Is(err, untar.ErrTooBig) || errors.As(err, &network) || errors.As(err, &number) {
		return err
	}
	if _, rest := io.Copy(io.Discard, stream); rest != nil {
		return rest
	}
	if bad := source.seal.check(); bad != nil {
		return bad
	}
	return fmt.Errorf("%s: %w", rootfsFile, c.opt.wholeMemory(err))
}

// extraction is how an image is unpacked: as the stock template's
// "tar --anchored --exclude=… --numeric-owner --xattrs-include='*' -xpJf".
func (c *creation) extraction(root *untar.Root, source *source) (untar.Options, error) {
	room, err := root.Room()
	if err != nil {
		return untar.Options{}, err
	}
	most := int64(0) // what fits can't be told
	if room.Bytes >= 0 && !room.Packs {
		most = max(room.Bytes-spare(room), 1)
	}
	excludes, _ := source.meta.Relevant("excludes", c.mode)
	return untar.Options{
		Strict:    true,
		Merge:     c.merges,
		Vouched:   c.trust.ring != nil,
		DeferRoot: !c.merges, // what was verified needs no closed door, and a kill would leave it closed
		IDMap:     c.idmap,
		SELinux:   c.opt.selinux,
		Exclude:   lxc.Lines(excludes),
		MaxBytes:  most,
	}, nil
}

// tell says what could not be kept of the image, and writes the report that
// was asked for.
func (c *creation) tell(ctx context.Context, report *untar.Report) error {
	if lost := report.Summary(); lost != "" {
		c.ui.warnf("%s", printable(lost))
	}
	for _, n := range report.Notes {
		if c.merges && n.Fate == untar.LeftOut {
			c.ui.warnf("the image is not whole in %q, which keeps its own in the way of %d of its entries: %s", c.rootfs, n.Count, strings.Join(n.Names, ", "))
		}
	}
	if c.report == nil {
		return nil
	}
	return c.report.write(ctx, append(report.AppendJSON(nil), '\n'))
}

// checkDev refuses an image whose mounts are to be made below a dev that is no
// folder: LXC would make them where a link leads, on the host.
func (c *creation) checkDev(root *untar.Root, source *source) error {
	if !source.creates {
		return nil
	}
	dev, err := root.Open("dev")
	if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP) {
		return errors.New("the image's dev is no folder, and its config has LXC make something in it")
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // LXC mounts its own, and makes the folder for it
	}
	if err != nil {
		return fmt.Errorf("the image's dev: %w", err)
	}
	return dev.Close()
}

// personalize makes the image's files this container's: dev/pts, the tokens in
// the files that the metadata names, CentOS 6's tty.conf. The image chose these
// paths, so every one is walked inside the rootfs, links included, and never
// out of it.
func (c *creation) personalize(ctx context.Context, root *untar.Root, meta lxc.Meta) error {
	if err := c.inside("dev/pts", root.MkdirAll("dev/pts", 0o755)); err != nil {
		return err
	}
	templates, _ := meta.Relevant("templates", c.mode)
	tokens := untar.Rewriter{Root: root, Max: maxTemplate, Total: maxRewritten, Edit: c.container.Expand}
	for _, name := range lxc.Lines(templates) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.inside(name, tokens.Rewrite(name)); err != nil {
			return err
		}
	}
	return c.inside("etc/init/tty.conf", root.Rewrite("etc/init/tty.conf", maxTemplate, lxc.NoHangup))
}

// inside passes over what the stock template passes over (a file that is not
// there, or no regular one), and, with a warning, what leads out of the rootfs or
// is not of the image.
func (c *creation) inside(name string, err error) error {
	var outside *untar.OutsideError
	var irregular *untar.NotRegularError
	switch {
	case err == nil, errors.As(err, &irregular), errors.Is(err, fs.ErrNotExist),
		errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ENAMETOOLONG):
		return nil
	case errors.As(err, &outside):
		c.ui.warnf("%q leads out of the image's root file system; left as it is", name)
		return nil
	case errors.Is(err, untar.ErrNotMade):
		c.ui.warnf("%q was in the root file system before the image; left as it is", name)
		return nil
	}
	return fmt.Errorf("%q in the rootfs: %w", name, err)
}

// writeContainer writes the container's fstab and config, the config last.
func (c *creation) writeContainer(p *place, source *source) error {
	image, _ := source.meta.Relevant("config", c.mode)
	fstab, hasFstab := source.meta.Relevant("fstab", c.mode)
	change := edit{name: "fstab", mode: uint32(source.fstabMode(c.mode).Perm()), keep: p.edits, uid: c.uid, gid: c.gid}
	if hasFstab {
		change.content = func([]byte) []byte { return c.container.Expand(fstab) }
		if err := p.folder.replace(change); err != nil {
			return err
		}
	}
	change.name, change.mode = "config", 0o644
	if c.storage != "" {
		change.mode = 0o640 // lxc-create's
	}
	change.content = func(before []byte) []byte {
		if c.storage != "" {
			before = append(slices.Clip(c.before), "lxc.rootfs.path = "+c.storage+":"+c.container.Rootfs+"\n"...)
		}
		return c.container.Config(before, image, hasFstab)
	}
	if err := p.folder.replace(change); err != nil {
		return err
	}
	return p.folder.sync()
}
