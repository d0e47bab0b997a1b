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

// unpack downloads, decompresses and unpacks one layer of the root file system in one pass:
//
//	download or cached file -> cache, digest -> ReadAhead -> decoder -> ReadAhead -> files
//
// Each ReadAhead has a goroutine that runs the stages before it. The digest is known to be
// right only after the last byte, when the files are on the disk already. Until then, and
// until personalize is done, the root directory is closed to others; if the digest is
// wrong, fill removes all files.
func (r *run) unpack(ctx context.Context, found *source.Found, layer int) error {
	if !found.Cached {
		r.tell.Say("Downloading the rootfs")
	}
	ctx, cancel := context.WithCancel(ctx)
	var stages []io.Closer // in the order of the pipeline; closed in the reverse order
	defer func() {
		cancel() // ends a read from the network, for which Close would wait
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
	r.staging.begun = true
	// A few compressed bytes can take minutes to unpack, so ctx is checked here as well.
	report, err := r.staging.root.Extract(untar.Until(ctx, unpacked), how)
	if errors.Is(err, untar.ErrTooBig) {
		text := fmt.Sprintf("%q has room for %s: %v", r.target.Container.Rootfs, source.ByteCount(how.Limits.Bytes), err)
		err = &Error{Kind: NoRoom, Text: text, Err: err}
	}
	if err == nil {
		_, err = io.Copy(io.Discard, packed) // the decoder may stop before the last bytes
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

// verifiesFirst reports whether all of an image is verified before the first byte is
// unpacked: if the user asked for it, if a merge could not be undone, or if bytes from a
// mirror or over plain http would reach the decoder.
func (r *run) verifiesFirst(found *source.Found) bool {
	return found.Vouched() && (r.opt.VerifyFirst || r.staging.merges || !found.Safe())
}

// downloadFirst writes all of a stream to the disk and checks it. It returns a stream that
// reads the same bytes from the cache, or from a temporary file if the cache does not keep
// them. The caller closes beside, that file, after use.
func (r *run) downloadFirst(stream *source.Stream) (whole *source.Stream, beside io.Closer, err error) {
	line := r.tell.Begin("Downloading the rootfs", stream.Size)
	defer line.Close()
	if stream.InCache() {
		whole, err = stream.Complete(nil, line)
		return whole, io.NopCloser(nil), err
	}
	file, err := r.staging.root.TempFile()
	if err != nil {
		return nil, nil, err
	}
	if whole, err = stream.Complete(file.File, line); err != nil {
		file.Close()
		return nil, nil, err
	}
	return whole, file, nil
}

// explain returns the error to report after unpacking failed with err. Bytes that can't be
// unpacked most likely are not the signed ones. So explain reads the rest of them, and if
// the digest is wrong, it returns that error instead.
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

// extraction returns the options for unpacking a layer. They do what the stock template's
// "tar --anchored --exclude=… --numeric-owner --xattrs-include='*' -xpJf" does.
func (r *run) extraction(found *source.Found, layer int) (untar.Options, error) {
	room, err := r.staging.root.Room()
	if err != nil {
		return untar.Options{}, err
	}
	most := int64(0) // no limit: the free room is not known
	if room.Bytes >= 0 && !room.Packs {
		most = max(room.Bytes-spare(room), 1)
	}
	excludes, _ := found.Meta.Relevant("excludes", r.target.Namespace.Mode())
	return untar.Options{
		Strict:    true,
		Layer:     found.Layers[layer].OCI,
		Merge:     r.staging.merges,
		Vouched:   found.Vouched(),
		DeferRoot: !r.staging.merges, // a merge is verified before, and a kill would leave the directory closed
		Filter:    untar.Filter{Exclude: lxc.Lines(excludes)},
		Limits:    untar.Limits{Bytes: most},
		Metadata:  untar.Metadata{IDMap: r.target.IDMap, SELinux: r.opt.SELinux},
	}, nil
}

// report warns of what could not be restored of the image, and passes on the report.
func (r *run) report(ctx context.Context, report *untar.Report) error {
	if lost := report.Summary(); lost != "" {
		r.tell.Warn(lost)
	}
	for _, n := range report.Notes {
		if r.staging.merges && n.Fate == untar.LeftOut {
			r.warnf("the image is not whole in %q, where existing files stay in the place of %d of its entries: %s", r.target.Container.Rootfs, n.Count, strings.Join(n.Names, ", "))
		}
	}
	if r.opt.Report == nil {
		return nil
	}
	return r.opt.Report(ctx, report)
}
