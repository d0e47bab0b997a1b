package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
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
// After downloadFirst the left end is the file on the disk. Each ReadAhead has a goroutine
// that reads from the parts to its left. The digest is known to be right only after the last
// byte, when the files are on the disk already. Until then, and until personalize is done, the
// root directory is closed to others; if the digest is wrong, fill removes all files.
func (r *run) unpack(ctx context.Context, found *source.Found, layer int) error {
	if !found.Cached {
		r.opt.Tell.Say("Downloading the rootfs")
	}
	ctx, cancel := context.WithCancel(ctx)
	stream, err := found.Open(ctx)
	if err != nil {
		cancel()
		return err
	}
	defer stream.Close()
	defer cancel() // ends a read from the network, for which Close would wait
	if err := r.checkLateRoom(found, stream); err != nil {
		return err
	}
	if r.verifiesFirst(found) {
		var temp io.Closer
		if stream, temp, err = r.downloadFirst(stream, nth(found, layer)); err != nil {
			return err
		}
		defer temp.Close()
	}
	r.opt.Tell.Say("Unpacking the rootfs")
	p := pipeline{stream, r.opt.Tell.Begin("Unpacking the rootfs"+nth(found, layer), stream.Kept, stream.Size), r.opt.Memory, cancel}
	var report *untar.Report
	err = p.run(func(archive io.Reader) error {
		opt, err := r.extraction(found, layer)
		if err != nil {
			return err
		}
		r.staging.unpacked = true
		// A few compressed bytes can take minutes to unpack, so ctx is checked here as well.
		report, err = r.staging.root.Extract(untar.Until(ctx, archive), opt)
		if errors.Is(err, untar.ErrTooBig) {
			text := fmt.Sprintf("%q has room for %s: %v", r.target.Container.Rootfs, source.ByteCount(opt.Limits.Bytes), err)
			err = &Error{Kind: NoRoom, Text: text, Err: err}
		}
		return err
	})
	if err != nil {
		return err
	}
	r.arrived = arrived{stream.Digest(), report.Privilege}
	return r.report(ctx, report)
}

// A pipeline decompresses a stream and passes the archive on.
type pipeline struct {
	stream   *source.Stream
	progress io.WriteCloser // gets the bytes of the stream as well
	memory   Memory
	cancel   context.CancelFunc // ends a read from the network
}

// run calls use with the decompressed archive, and then checks the stream. It closes progress.
func (p *pipeline) run(use func(archive io.Reader) error) error {
	defer p.progress.Close()
	compressed := untar.NewReadAhead(io.TeeReader(p.stream, p.progress))
	defer compressed.Close()
	defer p.cancel()
	decoder, err := untar.Decompress(compressed, p.memory.Decoding())
	if err != nil {
		return explain(p.stream, compressed, err)
	}
	defer decoder.Close()
	archive := untar.NewReadAhead(decoder)
	defer archive.Close()
	defer p.cancel()
	if err := use(archive); err != nil {
		// explain reads the rest of compressed itself, so the goroutine and the decoder that
		// read it must have stopped.
		archive.Close()
		decoder.Close()
		return explain(p.stream, compressed, err)
	}
	return p.stream.Check()
}

// verifiesFirst reports whether all of an image is verified before the first byte is
// unpacked: if the user asked for it, if a merge could not be undone, or if bytes from a
// mirror or over plain http would reach the decoder.
func (r *run) verifiesFirst(found *source.Found) bool {
	return found.Vouched() && (r.opt.VerifyFirst || r.staging.merging || !found.Safe())
}

// nth says which of an image's layers is meant, "" if there is only one.
func nth(found *source.Found, layer int) string {
	if len(found.Layers) == 1 {
		return ""
	}
	return fmt.Sprintf(", layer %d/%d", layer+1, len(found.Layers))
}

// downloadFirst writes all of a stream to the disk and checks it. nth is for the progress. It returns a stream that
// reads the same bytes from the cache, or from a temporary file if the cache does not keep
// them. The caller closes temp, that file, after use.
func (r *run) downloadFirst(stream *source.Stream, nth string) (whole *source.Stream, temp io.Closer, err error) {
	progress := r.opt.Tell.Begin("Downloading the rootfs"+nth, stream.Kept, stream.Size)
	defer progress.Close()
	if stream.InCache() {
		whole, err = stream.Complete(nil, progress)
		return whole, io.NopCloser(nil), err
	}
	file, err := r.staging.root.TempFile()
	if err != nil {
		return nil, nil, err
	}
	if whole, err = stream.Complete(file.File, progress); err != nil {
		file.Close()
		return nil, nil, err
	}
	return whole, file, nil
}

// explain returns the error to report after unpacking failed with err. Bytes that can't be
// unpacked most likely are not the signed ones. So explain reads the rest of them, and if
// the digest is wrong, it returns that error instead. A system call's error, of a failure of
// our own disk, is no reason to doubt the bytes.
func explain(stream *source.Stream, compressed io.Reader, err error) error {
	var errno syscall.Errno
	if errors.Is(err, context.Canceled) || errors.Is(err, untar.ErrTooBig) || source.KindOf(err) != 0 || errors.As(err, &errno) {
		return err
	}
	if _, rest := io.Copy(io.Discard, compressed); rest != nil {
		return rest
	}
	if bad := stream.Check(); bad != nil {
		return bad
	}
	return fmt.Errorf("%s: %w", image.RootfsFile, err)
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
		Merge:     r.staging.merging,
		Vouched:   found.Vouched(),
		DeferRoot: !r.staging.merging, // not in a merge: the image is verified already, and after a kill the user's directory would stay closed
		Filter:    untar.Filter{Exclude: lxc.Lines(excludes)},
		Limits:    untar.Limits{Bytes: most},
		Metadata:  untar.Metadata{IDMap: r.target.IDMap, SELinux: r.opt.SELinux},
	}, nil
}

// report warns of the parts of the image that could not be restored, and passes on the report.
func (r *run) report(ctx context.Context, report *untar.Report) error {
	if lost := report.Summary(); lost != "" {
		r.opt.Tell.Warn("not-restored", lost)
	}
	for _, n := range report.Notes {
		if r.staging.merging && n.Fate == untar.LeftOut {
			r.warn("merge", "%d files of the image were not written to %q, because other files are in their place: %s", n.Count, r.target.Container.Rootfs, strings.Join(n.Names, ", "))
		}
	}
	if r.opt.Report == nil {
		return nil
	}
	return r.opt.Report(ctx, report)
}
