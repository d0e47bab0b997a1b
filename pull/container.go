package pull

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"

	"lxc-pull/lxc"
	"lxc-pull/pull/source"
	"lxc-pull/untar"
)

// Limits of the files of a root file system in which tokens are replaced.
const (
	maxTemplate  = 4 << 20  // bytes of one file
	maxTemplates = 4096     // files: today's images name two
	maxRewritten = 64 << 20 // bytes of all files: a sparse file of 4 MiB takes no space in an image, but 4 MiB of disk when rewritten
)

// checkDev refuses an image whose dev is not a directory if its config makes LXC create
// mount points in dev: if dev is a link, LXC would follow it and create them on the host.
func (r *run) checkDev() error {
	if !r.contents.creates {
		return nil
	}
	dev, err := r.staging.root.Open("dev")
	if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP) {
		return errors.New("the image's dev is no directory, and its config has LXC make something in it")
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // LXC makes the directory and mounts a dev of its own
	}
	if err != nil {
		return fmt.Errorf("the image's dev: %w", err)
	}
	return dev.Close()
}

// personalize adapts the image's files to this container: it makes dev/pts, replaces the
// tokens in the files that the metadata names, and edits CentOS 6's tty.conf. The image
// chose these paths, so each is resolved inside the root file system, as chroot(2) would
// resolve its links.
func (r *run) personalize(ctx context.Context, found *source.Found) error {
	root, container := r.staging.root, r.target.Container
	container.Name = container.UTSName() // in the image's files LXC_NAME is the host name
	if err := r.inside("dev/pts", root.MkdirAll("dev/pts", 0o755)); err != nil {
		return err
	}
	r.edit("dev/pts")
	templates, _ := found.Meta.Relevant("templates", r.target.Namespace.Mode())
	tokens := untar.Rewriter{Root: root, Max: maxTemplate, Total: maxRewritten, Edit: container.Expand}
	for _, name := range lxc.Lines(templates) {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := tokens.Rewrite(name)
		if err == nil {
			r.edit(name)
		}
		if err := r.inside(name, err); err != nil {
			return err
		}
	}
	if found.Incus != nil {
		if err := r.fillTemplates(ctx, found.Incus, container.Name); err != nil {
			return err
		}
	}
	err := root.Rewrite("etc/init/tty.conf", maxTemplate, lxc.NoHangup)
	if err == nil {
		r.edit("etc/init/tty.conf")
	}
	if err = r.inside("etc/init/tty.conf", err); err != nil {
		return err
	}
	return r.makePersonal()
}

// inside returns the error of an edit of name, but nil for a file that the stock template
// skips: one that does not exist or is not a regular file. It also returns nil, after a
// warning, if name leads out of the root file system or the file does not come from the image.
func (r *run) inside(name string, err error) error {
	var outside *untar.OutsideError
	var irregular *untar.NotRegularError
	var number syscall.Errno
	errors.As(err, &number)
	switch {
	case err == nil, errors.As(err, &irregular), errors.Is(err, fs.ErrNotExist),
		number == syscall.EISDIR, number == syscall.ELOOP, number == syscall.ENOTDIR, number == syscall.ENAMETOOLONG:
		return nil
	case errors.As(err, &outside):
		r.warn("image-file", "%q leads out of the image's root file system; left as it is", name)
		return nil
	case errors.Is(err, untar.ErrNotMade):
		r.warn("image-file", "%q was in the root file system before the image; left as it is", name)
		return nil
	}
	return fmt.Errorf("%q in the rootfs: %w", name, err)
}

// editContainer returns the edits of the container's record, its fstab, if it has one, and its
// config, in this order.
func (r *run) editContainer(record *Record) []edit {
	s, container, contents, owner := r.staging, r.target.Container, r.contents, r.target.Owner
	edits := []edit{{
		name: RecordFile, mode: 0o644, keep: s.dirExisted, uid: owner.UID, gid: owner.GID,
		content: func([]byte) []byte { return record.AppendJSON(nil) },
	}}
	if contents.hasFstab {
		edits = append(edits, edit{
			name: "fstab", mode: uint32(contents.fstabMode.Perm()), keep: s.dirExisted, uid: owner.UID, gid: owner.GID,
			content: func([]byte) []byte { return container.Expand(contents.fstab) },
		})
	}
	mode := uint32(0o644) // the mode of the stock template's config, if lxc-create has written none
	if s.storage != "" {
		mode = 0o640 // lxc-create's
	}
	return append(edits, edit{
		name: "config", mode: mode, keep: s.dirExisted, uid: owner.UID, gid: owner.GID,
		content: func(before []byte) []byte {
			if s.storage != "" {
				before = append(slices.Clip(r.target.BaseConfig), "lxc.rootfs.path = "+s.storage+":"+container.Rootfs+"\n"...)
			}
			before = append(contents.write(&container, before), contents.process...)
			return append(before, r.opt.Personal.Config...)
		},
	})
}

// writeContainer makes the root file system durable, and makes the edits of the container's files.
// Each sync waits for the disk, so there is one for all if they are on the same file system: the
// new files are written before it, and get their names after it. Their own fsync(2) then has nothing
// to write; but syncfs(2) alone does not reach the server of FUSE, and reports failed writes only
// since Linux 5.8. commit makes the names durable.
func (r *run) writeContainer(edits []edit) error {
	s := r.staging
	apart := len(edits) > 0 && !r.sharesDisk(s.directory.file.Stat())
	for i := range edits {
		if err := s.directory.prepare(&edits[i]); err != nil {
			return err
		}
	}
	if err := s.root.Sync(); err != nil {
		return fmt.Errorf("writing %q to the disk: %w", r.target.Container.Rootfs, err)
	}
	for i := range edits {
		if err := s.directory.publish(&edits[i]); err != nil {
			return err
		}
	}
	if !apart {
		return nil
	}
	return s.directory.sync()
}
