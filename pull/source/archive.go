package source

import (
	"context"
	"errors"
	"io"
	"os"

	"lxc-pull/image"
	"lxc-pull/untar"
)

// An archive is a store on the disk.
type archive struct {
	store
	index *image.Manifest
	saved []image.SavedImage
	file  io.Closer
}

// openArchive opens an archive.
func openArchive(ctx context.Context, path, name string, spool func() (*os.File, error), decoding untar.DecompressOptions) (*archive, error) {
	return nil, errors.New("todo")
}

func (a *archive) close() {}
