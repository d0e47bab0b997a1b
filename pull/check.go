package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

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
}

// Compare compares the files of a container with the image that found is, and verifies the
// image in the same pass. It returns no result unless the image is the signed one. After
// success the image is kept in the cache.
func (c *Audit) Compare(ctx context.Context, found *source.Found) (*untar.Comparison, error) {
	if len(found.Layers) != 1 || found.Layers[0].OCI {
		return nil, errors.New("an image of several layers can't be compared")
	}
	found.Accept()
	result, err := c.compare(ctx, found)
	if err != nil {
		kept := found.Forget(err)
		if err = interruption(ctx, err); kept {
			err = &ResumableError{err}
		}
		return nil, err
	}
	found.Keep()
	return result, nil
}

// compare is like run.unpack, with a comparison in place of the extraction.
func (c *Audit) compare(ctx context.Context, found *source.Found) (*untar.Comparison, error) {
	ctx, cancel := context.WithCancel(ctx)
	var toClose []io.Closer
	defer func() {
		cancel()
		for _, each := range slices.Backward(toClose) {
			each.Close()
		}
	}()
	stream, err := found.Open(ctx)
	if err != nil {
		return nil, err
	}
	toClose = append(toClose, stream)
	if found.Vouched() && !found.Safe() {
		if !stream.InCache() {
			return nil, errors.New("bytes from a mirror or over plain http are verified before they are read, and only the cache has room for that: leave out --no-cache, or use https")
		}
		progress := c.Tell.Begin("Downloading the rootfs", stream.Size)
		stream, err = stream.Complete(nil, progress)
		progress.Close()
		if err != nil {
			return nil, err
		}
	}
	progress := c.Tell.Begin("Comparing", stream.Size)
	compressed := untar.NewReadAhead(io.TeeReader(stream, progress))
	toClose = append(toClose, progress, compressed)
	decoder, err := untar.Decompress(compressed, c.Memory.Decoding())
	if err != nil {
		return nil, explain(stream, compressed, err)
	}
	archive := untar.NewReadAhead(decoder)
	toClose = append(toClose, decoder, archive)
	result, err := c.Root.Compare(ctx, archive, c.options(found))
	if err != nil {
		archive.Close()
		decoder.Close()
		return nil, explain(stream, compressed, err)
	}
	if err := stream.Check(); err != nil {
		return nil, err
	}
	if got := fmt.Sprintf("%x", stream.Digest()); c.Record.Rootfs != "" && got != c.Record.Rootfs {
		c.Tell.Warn(fmt.Sprintf("%s has another digest than the image that was verified: %q", RecordFile, c.Record.Rootfs))
	}
	return result, nil
}

// options returns the options of the extraction that made the container.
func (c *Audit) options(found *source.Found) untar.CompareOptions {
	excludes, _ := found.Meta.Relevant("excludes", c.Record.Mode)
	opt := untar.CompareOptions{
		Options: untar.Options{
			Strict: true, Vouched: found.Vouched(), Filter: untar.Filter{Exclude: lxc.Lines(excludes)},
			Metadata: untar.Metadata{Privilege: untar.Owners, IDMap: c.IDMap},
		},
		Ignore: c.Ignore, Edited: c.Record.Edited, NoDevices: c.Record.Privilege != "root", ChangedOnly: c.ChangedOnly,
	}
	if c.Record.Privilege == "user" {
		opt.Metadata.Privilege = untar.User
	}
	return opt
}

// Query returns the query for the image of a record.
func (r *Record) Query() image.Query {
	return image.Query{Dist: r.Image.Dist, Release: r.Image.Release, Variant: r.Image.Variant, Arch: []string{r.Image.Arch}}
}

// OpenRootfs opens the root file system of the container in the directory path, whose config
// may be of another user: its directory below path is opened without following links.
func OpenRootfs(path string, config []byte) (*untar.Root, error) {
	loaded, err := lxc.CheckLoads(config)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(path, rootfsName)
	if n := len(loaded.Rootfs); n > 0 {
		_, value, _ := strings.Cut(loaded.Rootfs[n-1], "=")
		value = strings.Trim(value, " \t\"'")
		kind, rest, typed := strings.Cut(value, ":")
		switch {
		case strings.HasPrefix(value, "/"):
			dir = value
		case typed && (kind == "dir" || kind == "btrfs"):
			dir = rest
		default:
			return nil, &Error{Kind: NotDirectory, Text: fmt.Sprintf("the root file system is %q, which is no directory", value)}
		}
	}
	if filepath.Clean(dir) != filepath.Join(path, rootfsName) {
		return untar.OpenRoot(dir)
	}
	container, err := untar.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	defer container.Close()
	root, err := container.Open(rootfsName)
	if errors.Is(err, syscall.ELOOP) {
		err = fmt.Errorf("%q is a link", dir)
	}
	return root, err
}
