package cache

import (
	"context"
	"errors"
	"os"

	"lxc-pull/image"
)

// A Blob is a manifest, config or layer of container images in the cache, locked by this
// process while it is incomplete. Images share blobs.
type Blob struct {
	File     *os.File // for reading; writes append to it
	Have     int64    // bytes that an earlier run left, or all of them
	Complete bool     // File has all bytes; whoever uses them checks the digest
}

// Blob opens the blob with that digest, or begins or continues one of size bytes. While another
// process downloads it, Blob waits. The error is an *UnwritableError if the cache can't be used.
func (c *Cache) Blob(ctx context.Context, d image.Digest, size int64) (*Blob, error) {
	return nil, c.unwritable(errors.New("todo"))
}

// FindBlob opens a complete blob without a lock, for a cache that can only be read. The error is
// fs.ErrNotExist if there is none.
func (c *Cache) FindBlob(d image.Digest) (*Blob, error) { return nil, errors.New("todo") }

// Write appends to an incomplete blob.
func (b *Blob) Write(p []byte) (int, error) { return b.File.Write(p) }

// Commit makes the blob complete. The caller has checked its digest. File stays open.
func (b *Blob) Commit() error { return nil }

// Close closes the blob. An incomplete one stays for a later run.
func (b *Blob) Close() error { return nil }

// Discard closes the blob and removes it.
func (b *Blob) Discard() error { return nil }

// A Kept is a container image that the cache keeps.
type Kept struct {
	_         [0]func() // forbids ==, whose code nothing needs
	Reference string    // image.Reference.String, without the digest that its tag has now
	Name      image.Name
	Manifest  image.Digest   // of the platform's manifest
	Top       image.Digest   // of the index that lists the manifest, else Manifest
	MediaType string         // of Top
	Blobs     []image.Digest // all that the image needs, Manifest and Top too
}

// Keep records an image whose blobs are complete, in the place of an older one of the same
// Reference and Name.Arch.
func (c *Cache) Keep(ctx context.Context, k *Kept) error { return errors.New("todo") }

// FindKept returns the image that Keep has recorded. The error is fs.ErrNotExist if there is none.
func (c *Cache) FindKept(reference, arch string) (*Kept, error) { return nil, errors.New("todo") }

// UseKept records that the image is used now.
func (c *Cache) UseKept(k *Kept) {}
