package source

import (
	"context"
	"io"
	"sync"

	"lxc-pull/image"
)

// A textStore has the manifests and other small files of container images.
type textStore interface {
	// get returns a small file and its media type, "" if that is not known. path is
	// "manifests/" with a tag or digest, or "blobs/" with a digest. The bytes are at most max,
	// and have the digest.
	get(ctx context.Context, path string, max int64) (text []byte, mediaType string, err error)
	// referrers lists those of the manifests that refer to the one with that digest (OCI
	// distribution spec, "Listing Referrers") that may be signatures, up to maxSignatures. Next to
	// an error those that it has found count.
	referrers(ctx context.Context, d image.Digest) ([]image.Descriptor, error)
}

// A store has container images: a registry, or an archive on the disk.
type store interface {
	textStore
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

	mu      sync.Mutex
	secrets [32]string // passwords and tokens, which no error may have: a registry's and its mirrors', also renewed ones
	next    int        // secrets that were noted
}
