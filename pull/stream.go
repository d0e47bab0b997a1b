package pull

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strings"
	"syscall"

	"lxc-pull/image"
	"lxc-pull/image/sha256"
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
//
// A squashfs image and a directory have no such pass: unpackSquashfs and copyTree.
func (r *run) unpack(ctx context.Context, found *source.Found, layer int) error {
	if found.Layers[layer].Tree != nil {
		return r.copyTree(ctx, found, layer)
	}
	if !found.Cached && layer == 0 && !r.arrived.gathered {
		r.opt.Tell.Say(found.Arriving())
	}
	ctx, cancel := context.WithCancel(ctx)
	stream, err := found.Open(ctx, layer)
	if err != nil {
		cancel()
		return err
	}
	defer stream.Close()
	defer cancel() // ends a read from the network, for which Close would wait
	if err := r.checkLateRoom(found, stream); err != nil {
		return err
	}
	if !found.Pinned() && r.verifiesFirst(found) {
		if stream, err = r.downloadFirst(stream); err != nil {
			return err
		}
	}
	p := pipeline{stream: stream, diffID: found.Layers[layer].DiffID, decoding: r.opt.Memory.Decoding(), cancel: cancel}
	if found.Pinned() && !found.Layers[layer].OCI {
		if p.head, err = lookAt(stream); err != nil {
			return err
		}
		if untar.IsSquashfs(p.head) {
			return r.unpackSquashfs(ctx, found, layer, stream, p.head)
		}
	}
	if layer == 0 {
		r.opt.Tell.Say("Unpacking the rootfs")
	}
	if found.Pinned() && p.decoding.Memory > 0 {
		p.decoding.Memory -= r.opt.Memory.ahead()
		p.decoding.Overhead += r.opt.Memory.ahead()
	}
	p.progress = r.opt.Tell.Begin("Unpacking the rootfs"+nth(found, layer), stream.Kept, stream.Size)
	var report *untar.Report
	err = p.run(func(archive io.Reader) error {
		opt, err := r.extraction(found, layer)
		if err != nil {
			return err
		}
		r.staging.unpacked = true
		// A few compressed bytes can take minutes to unpack, so ctx is checked here as well.
		report, err = r.staging.root.Extract(untar.Until(ctx, archive), opt)
		return r.explainTooBig(err, &opt)
	})
	if err != nil {
		return err
	}
	return r.unpacked(found, report, stream)
}

// explainTooBig gives the Kind NoRoom to the error of an extraction that reached its limit.
func (r *run) explainTooBig(err error, opt *untar.Options) error {
	if errors.Is(err, untar.ErrTooBig) {
		text := fmt.Sprintf("%q has room for %s, too little for the files of the image: %v", r.target.Container.Rootfs, source.ByteCount(opt.Limits.Bytes), err)
		err = &Error{Kind: NoRoom, Text: text, Err: err}
	}
	return err
}

// unpacked notes what the extraction of a layer reported, and the digest of its stream (nil: it
// has none).
func (r *run) unpacked(found *source.Found, report *untar.Report, stream *source.Stream) error {
	if r.arrived.digest = nil; len(found.Layers) == 1 && found.Config == nil && stream != nil {
		r.arrived.digest = stream.Digest()
	}
	r.arrived.report.Add(report)
	r.arrived.fromURL = found.Unlisted() && strings.Contains(found.URL(), "://")
	return nil
}

// A pipeline decompresses a stream and passes the archive on.
type pipeline struct {
	stream   *source.Stream
	head     []byte         // the first bytes of the stream, which were read already
	progress io.WriteCloser // gets the bytes of the stream as well
	decoding untar.DecompressOptions
	cancel   context.CancelFunc // ends a read from the network
	diffID   image.Digest       // of the archive; "": not known
}

// run calls use with the decompressed archive, and then checks the stream. It closes progress.
func (p *pipeline) run(use func(archive io.Reader) error) error {
	defer p.progress.Close()
	compressed := untar.NewReadAhead(io.TeeReader(io.MultiReader(bytes.NewReader(p.head), p.stream), p.progress))
	defer compressed.Close()
	defer p.cancel()
	decoder, err := untar.Decompress(compressed, p.decoding)
	if err != nil {
		return explain(p.stream, compressed, err)
	}
	defer decoder.Close()
	content, sum := io.Reader(decoder), hash.Hash(nil)
	if p.diffID != "" && decoder.Format != untar.FormatPlain {
		sum = sha256.New()
		content = io.TeeReader(decoder, sum)
	}
	archive := untar.NewReadAhead(content)
	defer archive.Close()
	defer p.cancel()
	if err := use(archive); err != nil {
		// explain reads the rest of compressed itself, so the goroutine and the decoder that
		// read it must have stopped.
		archive.Close()
		decoder.Close()
		return explain(p.stream, compressed, err)
	}
	if err := p.stream.Check(); err != nil || p.diffID == "" {
		return err
	}
	digest := p.stream.Digest()
	if sum != nil {
		digest = sum.Sum(nil)
	}
	if fmt.Sprintf("sha256:%x", digest) != string(p.diffID) {
		return &source.Error{Kind: source.Unverified, What: p.stream.Name(), Err: errors.New("its decompressed archive does not have the digest that the image's config names (diff_id)")}
	}
	return nil
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

// downloadFirst writes all of a stream to the disk and checks it. It returns a stream that
// reads the same bytes from the cache, or from a temporary file if the cache does not keep
// them.
func (r *run) downloadFirst(stream *source.Stream) (whole *source.Stream, err error) {
	progress := r.opt.Tell.Begin("Downloading the rootfs", stream.Kept, stream.Size)
	defer progress.Close()
	var file *os.File
	if !stream.InCache() {
		if file, err = r.spool(); err != nil {
			return nil, err
		}
	}
	return stream.Complete(file, progress)
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
	return fmt.Errorf("%s: %w", stream.Name(), err)
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
	files := filter(&found.Layers[layer], excludes)
	files.Exclude = append(files.Exclude, r.opt.Exclude...)
	return untar.Options{
		Strict:    true,
		Layer:     found.Layers[layer].OCI,
		Merge:     r.staging.merging,
		Vouched:   found.Vouched(),
		DeferRoot: !r.staging.merging, // not in a merge: the image is verified already, and after a kill the user's directory would stay closed
		Filter:    files,
		Limits:    untar.Limits{Bytes: most},
		Metadata:  untar.Metadata{IDMap: r.target.IDMap, SELinux: r.opt.SELinux},
	}, nil
}

// report warns of the parts of the image that could not be restored, and passes on the report.
func (r *run) report(ctx context.Context, report *untar.Report) error {
	if lost := report.Summary(); lost != "" {
		r.opt.Tell.Warn("not-restored", lost)
	}
	if report.Top != "" {
		r.opt.Tell.Tell(fmt.Sprintf("the root file system is the directory %q", report.Top))
	}
	if report.Top == rootfsName && r.arrived.fromURL {
		r.opt.Tell.Tell("if the archive is one of Incus, with metadata, get it with lxc-pull fetch: its metadata counts only in a file of this machine")
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

// spool makes a temporary file on the target's file system, for the Finder or until all is
// unpacked. One of the Finder stays open until an image is unpacked: it has the only copy. It is gone with the root's staging.
func (r *run) spool() (*os.File, error) {
	temp, err := r.staging.root.TempFile()
	if err != nil {
		return nil, err
	}
	r.arrived.spooled = append(r.arrived.spooled, temp)
	return temp.File, nil
}
