package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"

	"lxc-pull/image"
	"lxc-pull/lxc"
	"lxc-pull/pull/source"
	"lxc-pull/untar"
)

// unpack streams one layer of the root file system in:
//
//	download or cached file -> cache, digest -> buffers -> decoder -> buffers -> files
//
// Each pair of buffers has a goroutine that reads what is left of it. The bytes are checked
// while they pass, so files come to be before the last byte is known to be right; until
// then, and until the image's own files are this container's, the root directory is closed
// to others, and a wrong end removes everything.
func (r *run) unpack(ctx context.Context, found *source.Found, layer int) error {
	if !found.Cached {
		r.tell.Say("Downloading the rootfs")
	}
	ctx, cancel := context.WithCancel(ctx)
	var stages []io.Closer // in the order in which the bytes pass them
	defer func() {
		cancel() // ends a read of the network that the stages would wait for
		for _, stage := range slices.Backward(stages) {
			stage.Close()
		}
	}()
	stream, err := found.Open(ctx)
	if err != nil {
		return err
	}
	stages = append(stages, stream)
	if err := r.checkLateRoom(found, stream); err != nil {
		return err
	}
	if r.verifiesFirst(found) {
		var beside io.Closer
		if stream, beside, err = r.downloadFirst(stream); err != nil {
			return err
		}
		stages = append(stages, beside)
	}
	r.tell.Say("Unpacking the rootfs")
	line := r.tell.Begin("Unpacking the rootfs", stream.Size)
	packed := untar.NewReadAhead(io.TeeReader(stream, line))
	stages = append(stages, line, packed)
	tarball, err := untar.Decompress(packed, r.opt.Memory.Decoding())
	if err != nil {
		return r.explain(stream, packed, err)
	}
	unpacked := untar.NewReadAhead(tarball)
	stages = append(stages, tarball, unpacked)
	how, err := r.extraction(found, layer)
	if err != nil {
		return err
	}
	r.place.begun = true
	// A few bytes that are read may unpack for minutes.
	report, err := r.place.root.Extract(untar.Until(ctx, unpacked), how)
	if errors.Is(err, untar.ErrTooBig) {
		err = fmt.Errorf("%q has room for %s: %w", r.target.Container.Rootfs, source.ByteCount(how.Limits.Bytes), err)
	}
	if err == nil {
		_, err = io.Copy(io.Discard, packed) // the tail that the decoder did not ask for
	}
	if err != nil {
		unpacked.Close()
		tarball.Close()
		return r.explain(stream, packed, err)
	}
	if err := stream.Check(); err != nil {
		return err
	}
	line.Close()
	return r.report(ctx, report)
}

// verifiesFirst reports whether all of an image is to be verified before a byte of it
// is unpacked: on request, since a merge can't be undone, and because of who could feed
// the decoder.
func (r *run) verifiesFirst(found *source.Found) bool {
	return found.Vouched() && (r.opt.VerifyFirst || r.place.merges || !found.Safe())
}

// downloadFirst brings all of a stream to the disk, checks it, and returns a stream of
// the same bytes, which end with beside: out of the cache if they are kept there, else
// from a temporary file.
func (r *run) downloadFirst(stream *source.Stream) (whole *source.Stream, beside io.Closer, err error) {
	line := r.tell.Begin("Downloading the rootfs", stream.Size)
	defer line.Close()
	if stream.InCache() {
		whole, err = stream.Complete(nil, line)
		return whole, io.NopCloser(nil), err
	}
	file, err := r.place.root.TempFile()
	if err != nil {
		return nil, nil, err
	}
	if whole, err = stream.Complete(file.File, line); err != nil {
		file.Close()
		return nil, nil, err
	}
	return whole, file, nil
}

// explain finds out what an error in the middle of an image means. Bytes that can't be
// unpacked are most likely not the ones that were signed: the rest of them is read, and
// a wrong digest is the better answer.
func (r *run) explain(stream *source.Stream, packed io.Reader, err error) error {
	var number syscall.Errno
	if errors.Is(err, context.Canceled) || errors.Is(err, untar.ErrTooBig) || source.KindOf(err) != 0 || errors.As(err, &number) {
		return err
	}
	if _, rest := io.Copy(io.Discard, packed); rest != nil {
		return rest
	}
	if bad := stream.Check(); bad != nil {
		return bad
	}
	return fmt.Errorf("%s: %w", image.RootfsFile, r.opt.Memory.explain(err))
}

// extraction says how a layer is unpacked: as the stock template's
// "tar --anchored --exclude=… --numeric-owner --xattrs-include='*' -xpJf".
func (r *run) extraction(found *source.Found, layer int) (untar.Options, error) {
	room, err := r.place.root.Room()
	if err != nil {
		return untar.Options{}, err
	}
	most := int64(0) // how much fits can't be told
	if room.Bytes >= 0 && !room.Packs {
		most = max(room.Bytes-spare(room), 1)
	}
	excludes, _ := found.Meta.Relevant("excludes", r.target.Namespace.Mode())
	return untar.Options{
		Strict:    true,
		Layer:     found.Layers[layer].OCI,
		Merge:     r.place.merges,
		Vouched:   found.Vouched(),
		DeferRoot: !r.place.merges, // what was verified needs no closed door, and a kill would leave it closed
		Filter:    untar.Filter{Exclude: lxc.Lines(excludes)},
		Limits:    untar.Limits{Bytes: most},
		Metadata:  untar.Metadata{IDMap: r.target.IDMap, SELinux: r.opt.SELinux},
	}, nil
}

// report tells what could not be kept of the image, and hands on the report.
func (r *run) report(ctx context.Context, report *untar.Report) error {
	if lost := report.Summary(); lost != "" {
		r.tell.Warn(lost)
	}
	for _, n := range report.Notes {
		if r.place.merges && n.Fate == untar.LeftOut {
			r.warnf("the image is not whole in %q, which keeps its own in the way of %d of its entries: %s", r.target.Container.Rootfs, n.Count, strings.Join(n.Names, ", "))
		}
	}
	if r.opt.Report == nil {
		return nil
	}
	return r.opt.Report(ctx, report)
}
