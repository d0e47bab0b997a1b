package pull

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"

	"lxc-pull/lxc"
	"lxc-pull/untar"
)

// The largest files of a root file system in which tokens are replaced.
const (
	maxTemplate  = 4 << 20  // bytes of one
	maxTemplates = 4096     // such files: today's images have two
	maxRewritten = 64 << 20 // bytes of all of them: a hole of 4 MiB takes no byte of an image, and 4 MiB of disk
)

// checkDev refuses an image that has a dev which is no directory, if its config has LXC
// make mount points in it: LXC would make them where a link leads, on the host.
func (r *run) checkDev() error {
	if !r.image.creates {
		return nil
	}
	dev, err := r.place.root.Open("dev")
	if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP) {
		return errors.New("the image's dev is no directory, and its config has LXC make something in it")
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // LXC mounts its own, and makes the directory for it
	}
	if err != nil {
		return fmt.Errorf("the image's dev: %w", err)
	}
	return dev.Close()
}

// personalize makes the image's files this container's: dev/pts, the tokens in the
// files that the metadata names, CentOS 6's tty.conf. The image chose these paths, so
// every one is walked inside the root file system, links included, and never out of it.
func (r *run) personalize(ctx context.Context, meta lxc.Meta) error {
	root := r.place.root
	if err := r.inside("dev/pts", root.MkdirAll("dev/pts", 0o755)); err != nil {
		return err
	}
	templates, _ := meta.Relevant("templates", r.target.Namespace.Mode())
	tokens := untar.Rewriter{Root: root, Max: maxTemplate, Total: maxRewritten, Edit: r.target.Container.Expand}
	for _, name := range lxc.Lines(templates) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.inside(name, tokens.Rewrite(name)); err != nil {
			return err
		}
	}
	return r.inside("etc/init/tty.conf", root.Rewrite("etc/init/tty.conf", maxTemplate, lxc.NoHangup))
}

// inside passes over what the stock template passes over (a file that does not exist,
// or is not a regular one), and, with a warning, what leads out of the root file system
// or is not of the image. Other errors it returns.
func (r *run) inside(name string, err error) error {
	var outside *untar.OutsideError
	var irregular *untar.NotRegularError
	switch {
	case err == nil, errors.As(err, &irregular), errors.Is(err, fs.ErrNotExist),
		errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ENAMETOOLONG):
		return nil
	case errors.As(err, &outside):
		r.warnf("%q leads out of the image's root file system; left as it is", name)
		return nil
	case errors.Is(err, untar.ErrNotMade):
		r.warnf("%q was in the root file system before the image; left as it is", name)
		return nil
	}
	return fmt.Errorf("%q in the rootfs: %w", name, err)
}

// writeContainer writes the container's fstab and config, the config last.
func (r *run) writeContainer() error {
	s, container, image := r.place, r.target.Container, r.image
	change := edit{name: "fstab", mode: uint32(image.fstabMode.Perm()), keep: s.edits, uid: r.target.Owner.UID, gid: r.target.Owner.GID}
	if image.hasFstab {
		change.content = func([]byte) []byte { return container.Expand(image.fstab) }
		if err := s.directory.replace(change); err != nil {
			return err
		}
	}
	change.name, change.mode = "config", 0o644
	if s.storage != "" {
		change.mode = 0o640 // lxc-create's
	}
	change.content = func(before []byte) []byte {
		if s.storage != "" {
			before = append(slices.Clip(r.target.Begins), "lxc.rootfs.path = "+s.storage+":"+container.Rootfs+"\n"...)
		}
		return container.Config(before, image.config, image.hasFstab)
	}
	if err := s.directory.replace(change); err != nil {
		return err
	}
	return s.directory.sync()
}
