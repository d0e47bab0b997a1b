package pull

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"lxc-pull/image"
	"lxc-pull/lxc"
	"lxc-pull/pull/source"
	"lxc-pull/untar"
)

// An Audit says how Compare compares a container with its image.
type Audit struct {
	Record *Record
	Root   *untar.Root // the container's root file system
	IDMap  []untar.IDRange
	Memory Memory

	Ignore      []string // patterns of paths that are not compared (untar.CompareOptions)
	ChangedOnly bool
	Tell        source.Listener

	// OtherImage is set by Compare: the record has another digest than the image that was
	// verified. So the container was made of something else, or the record was forged.
	OtherImage bool
}

// Compare compares the files of a container with the image that found is, and verifies the
// image in the same pass. It returns no result unless the image is the signed one. After
// success the image is kept in the cache.
func (c *Audit) Compare(ctx context.Context, found *source.Found) (result *untar.Comparison, err error) {
	if len(found.Layers) != 1 || found.Layers[0].OCI {
		return nil, errors.New("an image of several layers can't be compared")
	}
	if found.Layers[0].Tree != nil {
		return nil, errors.New("a directory is no image that can be compared")
	}
	found.Accept()
	reading, cancel := context.WithCancel(ctx)
	if err = c.gather(reading, found); err == nil {
		var stream *source.Stream
		var head []byte
		if stream, head, err = c.open(reading, found); err == nil {
			result, err = c.compare(reading, found, pipeline{stream: stream, head: head, decoding: c.Memory.Decoding(), cancel: cancel})
			cancel() // ends a read from the network, for which Close would wait
			stream.Close()
		}
	}
	cancel()
	if err == nil {
		found.Keep()
		return result, nil
	}
	kept := found.Forget(err)
	if err = interruption(ctx, err); kept {
		err = &ResumableError{err}
	}
	return nil, err
}

var errNoPlace = errors.New("bytes from a mirror or over plain http, and squashfs images, must be verified before they are decoded, and without the cache there is no room for them")

// gather brings a pinned image to the cache if it has to be verified before it is decoded.
func (c *Audit) gather(ctx context.Context, found *source.Found) error {
	if !found.Pinned() || found.Safe() && (!found.Layers[0].Squashfs || found.Ready()) {
		return nil
	}
	return found.Gather(ctx, func() (*os.File, error) { return nil, errNoPlace }, func(_ int, s *source.Stream) io.WriteCloser {
		return c.Tell.Begin(found.Arriving(), s.Kept, s.Size)
	})
}

// open opens the image, and reads the beginning of a pinned one. A squashfs image whose name does
// not say so is gathered then.
func (c *Audit) open(ctx context.Context, found *source.Found) (stream *source.Stream, head []byte, err error) {
	layer := &found.Layers[0]
	for {
		if stream, err = found.Open(ctx, 0); err != nil || !found.Pinned() {
			return stream, nil, err
		}
		if head, err = lookAt(stream); err == nil && (!untar.IsSquashfs(head) || stream.File() != nil || layer.Squashfs) {
			return stream, head, nil
		}
		stream.Close()
		if err != nil {
			return nil, nil, err
		}
		found.Forget(context.Canceled) // the download continues after what the cache got
		layer.Squashfs = true
		if err = c.gather(ctx, found); err != nil {
			return nil, nil, err
		}
	}
}

// compare is like run.unpack, with a comparison in place of the extraction.
func (c *Audit) compare(ctx context.Context, found *source.Found, p pipeline) (result *untar.Comparison, err error) {
	if !found.Pinned() && !found.Safe() {
		if !p.stream.InCache() {
			return nil, errNoPlace
		}
		progress := c.Tell.Begin("Downloading the rootfs", p.stream.Kept, p.stream.Size)
		p.stream, err = p.stream.Complete(nil, progress)
		progress.Close()
		if err != nil {
			return nil, err
		}
	}
	// The options are those of the extraction that made the container.
	excludes, _ := found.Meta.Relevant("excludes", c.Record.Mode)
	opt := new(untar.CompareOptions)
	opt.Strict, opt.Vouched = true, found.Vouched()
	opt.Filter = filter(&found.Layers[0], excludes)
	opt.Metadata.IDMap, opt.Metadata.Privilege = c.IDMap, untar.Owners
	if c.Record.Privilege == "user" {
		opt.Metadata.Privilege = untar.User
	}
	opt.NoDevices = c.Record.Privilege != "root"
	opt.Ignore, opt.Edited, opt.ChangedOnly = c.Ignore, c.Record.Edited, c.ChangedOnly
	p.progress = c.Tell.Begin("Comparing", p.stream.Kept, p.stream.Size)
	if image := p.stream.File(); untar.IsSquashfs(p.head) && image != nil {
		_, err = io.Copy(io.MultiWriter(p.progress, io.Discard), p.stream)
		p.progress.Close()
		if err == nil {
			err = p.stream.Check()
		}
		if err == nil {
			result, err = c.Root.CompareSquashfs(ctx, image, image.Size(), opt)
		}
	} else {
		err = p.run(func(archive io.Reader) (err error) {
			result, err = c.Root.Compare(ctx, archive, opt)
			return err
		})
	}
	c.OtherImage = c.Record.Rootfs != "" && hex.EncodeToString(p.stream.Digest()) != c.Record.Rootfs
	return result, err
}

// filter returns which files of a layer belong to the root file system, without those that the
// file excludes of the metadata names.
func filter(layer *source.Layer, excludes []byte) untar.Filter {
	return untar.Filter{Exclude: lxc.Lines(excludes), Inside: layer.Inside, Top: layer.Top}
}

// Query returns the query for the image of a record.
func (r *Record) Query() image.Query {
	return image.Query{Dist: r.Image.Dist, Release: r.Image.Release, Variant: r.Image.Variant, Arch: []string{r.Image.Arch}}
}

// OpenRootfs opens the container's root file system without following links, below the
// directory that ReadContainer opened. Only a config of root or of this process's user may name
// one elsewhere. Call it once.
func (m *Made) OpenRootfs() (*untar.Root, error) {
	loaded, err := lxc.CheckLoads(m.Config)
	if err != nil {
		return nil, err
	}
	if n := len(loaded.Rootfs); n > 0 {
		line := loaded.Rootfs[n-1]
		_, dir, _ := strings.Cut(line, "=")
		dir = strings.Trim(dir, " \t\"'")
		if kind, below, ok := strings.Cut(dir, ":"); ok && (kind == "dir" || kind == "btrfs") {
			dir = below
		}
		if !strings.HasPrefix(dir, "/") {
			return nil, &Error{Kind: NotDirectory, Text: "its root file system is no directory: " + lxc.Shown(line)}
		}
		if dir = filepath.Clean(dir); dir != filepath.Join(m.directory.path, rootfsName) {
			if !m.ownConfig {
				return nil, &Error{Kind: NotDirectory, Text: "its config belongs to another user, so the root file system that it names is not opened: " + lxc.Shown(line)}
			}
			return untar.OpenRoot(dir)
		}
	}
	root, err := untar.OpenIn(m.directory.file, rootfsName)
	m.directory.close()
	return root, err
}
