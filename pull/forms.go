package pull

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"lxc-pull/cross"
	"lxc-pull/lxc"
	"lxc-pull/pull/source"
	"lxc-pull/untar"
)

// This file unpacks root file systems that are no archives: squashfs images and directories.

// lookAt reads the first bytes of a stream, which say whether it is a squashfs image.
func lookAt(stream *source.Stream) (head []byte, err error) {
	head = make([]byte, 4)
	n, err := io.ReadFull(stream, head)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil // the decoder says what is wrong
	}
	return head[:n], err
}

// gathers reports whether all layers are brought to the disk and verified before the first is
// unpacked: a squashfs image is not read from its beginning to its end, and a decoder must not
// get other bytes of it than those that were verified.
func (r *run) gathers(found *source.Found) bool {
	return found.Pinned() && (r.verifiesFirst(found) || found.Layers[0].Squashfs && !found.Ready())
}

// unpackSquashfs unpacks a layer that is a squashfs image. head is what was read of the stream.
// All of the stream is read and checked before the image is decoded, unless Gather has done so.
func (r *run) unpackSquashfs(ctx context.Context, found *source.Found, layer int, stream *source.Stream, head []byte) error {
	image := stream.File()
	if !r.arrived.gathered {
		to := io.Writer(io.Discard)
		var spooled *os.File
		if image == nil || found.Vouched() && !found.Ready() {
			// Its name does not say what it is, so that it was not gathered.
			var err error
			if spooled, err = r.spool(); err != nil {
				return err
			}
			to = spooled
		}
		progress := r.opt.Tell.Begin(found.Arriving(), stream.Kept, stream.Size)
		n, err := io.Copy(io.MultiWriter(progress, to), io.MultiReader(bytes.NewReader(head), stream))
		progress.Close()
		if err == nil {
			err = stream.Check()
		}
		if err != nil {
			return err
		}
		if spooled != nil {
			image = io.NewSectionReader(spooled, 0, n)
		}
	}
	r.opt.Tell.Say("Unpacking the rootfs")
	opt, err := r.extraction(found, layer)
	if err != nil {
		return err
	}
	at := &squashfsReader{ctx: ctx, image: image, progress: r.opt.Tell.Begin("Unpacking the rootfs", 0, image.Size()), left: image.Size()}
	defer at.progress.Close()
	r.staging.unpacked = true
	report, err := r.staging.root.ExtractSquashfs(at, image.Size(), opt)
	if err == nil {
		return r.unpacked(found, report, stream)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err = r.explainTooBig(err, &opt); KindOf(err) == 0 {
		err = fmt.Errorf("%s: %w", stream.Name(), err)
	}
	return err
}

// A squashfsReader reads an image at any place, until the context is done.
type squashfsReader struct {
	_        [0]func() // forbids ==, whose code nothing needs
	ctx      context.Context
	image    *io.SectionReader
	mu       sync.Mutex // protects the rest
	progress io.WriteCloser
	left     int64 // bytes of the image that progress did not get; some are read more than once
}

func (s *squashfsReader) ReadAt(p []byte, off int64) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := s.image.ReadAt(p, off)
	s.mu.Lock()
	part := min(int64(n), s.left)
	s.left -= part
	s.progress.Write(p[:part])
	s.mu.Unlock()
	return n, err
}

// copyTree copies a directory of this machine.
func (r *run) copyTree(ctx context.Context, found *source.Found, layer int) error {
	r.opt.Tell.Say("Unpacking the rootfs")
	opt, err := r.extraction(found, layer)
	if err != nil {
		return err
	}
	progress := r.opt.Tell.Begin("Copying the rootfs", 0, -1)
	defer progress.Close()
	dummy := make([]byte, 64<<10)
	opt.Each = func(e *untar.Entry) {
		for left := min(e.Size, mostShown); left > 0; left -= int64(len(dummy)) {
			progress.Write(dummy[:min(left, int64(len(dummy)))])
		}
	}
	opt.Stop = ctx.Err
	if own := r.target.Owner; own.UID >= 0 && own.GID >= 0 {
		opt.Metadata.Caller = &[2]uint32{uint32(own.UID), uint32(own.GID)}
	}
	r.staging.unpacked = true
	report, err := r.staging.root.Copy(found.Layers[layer].Tree, opt)
	if err != nil {
		return r.explainTooBig(err, &opt)
	}
	return r.unpacked(found, report, nil)
}

// mostShown is how many bytes of one file of a directory the progress counts: files with holes
// can be as large as the file system allows.
const mostShown = 4 << 30

// settleArch finds out for which machine an image is whose source did not say it, by the image's
// programs, and writes the lxc.arch of a config that this program made. Otherwise it compares the
// two. It warns of an image that this machine can't run, and of one that is no root file system.
func (r *run) settleArch(found *source.Found) {
	if !found.Pinned() || found.Config != nil {
		return
	}
	arch := rootMachine(r.staging.root)
	if r.target.Caller == nil && arch == "" && !hasProgram(r.staging.root, startPrograms) { // LXC's template local says nothing
		r.warn("no-init", "the image has no program that a container could start (such as /sbin/init or /bin/sh): is it a root file system?")
	}
	listed := &found.Image.Arch
	*listed = cross.ImageName(*listed) // Incus' metadata has the kernel's
	switch {
	case arch != "" && *listed == "":
		*listed = arch
		made, _ := lxc.DefaultMeta("").Relevant("config", r.target.Namespace.Mode())
		if string(r.contents.config) == string(made) {
			r.contents.config, _ = lxc.DefaultMeta(arch).Relevant("config", r.target.Namespace.Mode())
		}
		r.warnForeign(arch)
	case arch == "", arch == *listed, strings.HasPrefix(arch, "arm") && strings.HasPrefix(*listed, "arm") && (arch == "arm64") == (*listed == "arm64"):
		// The header of an ELF file does not tell the 32-bit ARM machines from each other.
		if found.Unlisted() && !r.target.RootfsOnly {
			r.warnForeign(*listed)
		}
	case found.Unlisted():
		r.warn("image-config", "the image's programs are for %q, although -a or its metadata says %q", arch, *listed)
	default:
		r.warn("image-config", "the image's programs are for %q, although it is listed as %q", arch, *listed)
	}
}
