package pull

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
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
func (c *Audit) compare(ctx context.Context, found *source.Found) (result *untar.Comparison, err error) {
	ctx, cancel := context.WithCancel(ctx)
	stream, err := found.Open(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	defer stream.Close()
	defer cancel()
	if !found.Safe() {
		if !stream.InCache() {
			return nil, errors.New("bytes from a mirror or over plain http must be verified before they are decoded, and without the cache there is no room for them")
		}
		progress := c.Tell.Begin("Downloading the rootfs", stream.Kept, stream.Size)
		stream, err = stream.Complete(nil, progress)
		progress.Close()
		if err != nil {
			return nil, err
		}
	}
	p := pipeline{stream, c.Tell.Begin("Comparing", stream.Kept, stream.Size), c.Memory, cancel}
	err = p.run(func(archive io.Reader) (err error) {
		result, err = c.Root.Compare(ctx, archive, c.options(found))
		return err
	})
	if got := hex.EncodeToString(stream.Digest()); err == nil && c.Record.Rootfs != "" && got != c.Record.Rootfs {
		c.Tell.Warn("unverified", RecordFile+" has another digest than the image that was verified")
	}
	return result, err
}

// options returns the options of the extraction that made the container.
func (c *Audit) options(found *source.Found) *untar.CompareOptions {
	excludes, _ := found.Meta.Relevant("excludes", c.Record.Mode)
	opt := new(untar.CompareOptions)
	opt.Strict, opt.Vouched = true, found.Vouched()
	opt.Filter.Exclude = lxc.Lines(excludes)
	opt.Metadata.IDMap, opt.Metadata.Privilege = c.IDMap, untar.Owners
	if c.Record.Privilege == "user" {
		opt.Metadata.Privilege = untar.User
	}
	opt.Ignore, opt.Edited, opt.ChangedOnly = c.Ignore, c.Record.Edited, c.ChangedOnly
	opt.NoDevices = c.Record.Privilege != "root"
	return opt
}

// Query returns the query for the image of a record.
func (r *Record) Query() image.Query {
	return image.Query{Dist: r.Image.Dist, Release: r.Image.Release, Variant: r.Image.Variant, Arch: []string{r.Image.Arch}}
}

// OpenRootfs opens the root file system of the container in the directory path, whose config
// may be of another user: its directory below path is opened without following links.
func OpenRootfs(path string, config []byte) (*untar.Root, error) {
	dir := filepath.Join(path, rootfsName)
	loaded, err := lxc.CheckLoads(config)
	if err != nil {
		return nil, err
	}
	if len(loaded.Rootfs) > 0 {
		line := loaded.Rootfs[len(loaded.Rootfs)-1]
		if dir = rootfsDir(line); dir == "" {
			return nil, &Error{Kind: NotDirectory, Text: "its root file system is no directory: " + lxc.Shown(line)}
		}
	}
	if dir != filepath.Join(path, rootfsName) {
		return untar.OpenRoot(dir)
	}
	container, err := untar.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	defer container.Close()
	return container.Open(rootfsName)
}

// rootfsDir returns the directory in a line that sets lxc.rootfs.path, "" if it names none.
func rootfsDir(line string) string {
	_, value, _ := strings.Cut(line, "=")
	value = strings.Trim(value, " \t\"'")
	if kind, dir, ok := strings.Cut(value, ":"); ok && (kind == "dir" || kind == "btrfs") {
		value = dir
	}
	if !strings.HasPrefix(value, "/") {
		return ""
	}
	return filepath.Clean(value)
}
