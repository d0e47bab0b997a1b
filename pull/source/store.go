package source

import (
	"context"
	"io"

	"lxc-pull/image"
)

// A store has container images: a registry, or an archive on the disk.
type store interface {
	// manifest returns a manifest or index by its tag or digest, and its media type. The bytes
	// have the digest, if it was asked for by one.
	manifest(ctx context.Context, name string) (text []byte, mediaType string, err error)
	// small returns a small blob, such as a config. The bytes have the digest.
	small(ctx context.Context, d *image.Descriptor, max int64) ([]byte, error)
	// referrers lists the manifests that refer to the one with that digest (OCI distribution
	// spec, "Listing Referrers"), none if there are none.
	referrers(ctx context.Context, d image.Digest) ([]image.Descriptor, error)
	// open returns the bytes of a layer from offset on. Whoever reads them checks the digest.
	open(ctx context.Context, d *image.Descriptor, offset int64) (io.ReadCloser, error)
}

// A Container says which container image a Finder finds.
type Container struct {
	_         [0]func()       // forbids ==, whose code nothing needs
	Reference image.Reference // in a registry; its Host is "" for an archive
	// Archive is the path of an OCI layout, oci-archive or docker-archive; "-" is standard
	// input, "" means a registry.
	Archive          string
	Platforms        []image.Platform // the best first
	Arch             string           // Debian's name of the machine for which the image is wanted
	Login            func(host, repository string) (user, password string, err error)
	Mirrors          []string // registries, HOST[:PORT][/PREFIX], that are asked before Reference.Host
	RequireSignature bool
}
