package untar

import (
	"errors"
	"io"
)

// A Member is a regular file in an archive that is not compressed.
type Member struct {
	Name   string // without "./" before it
	Offset int64  // of its first byte in the archive
	Size   int64  // bytes
}

// Members lists the regular files in an archive of size bytes that is not compressed. An archive
// has at most most files. A hard or symbolic link to a file of the archive is listed with the
// place of that file: "docker save" stores a layer that occurs twice once.
func Members(archive io.ReaderAt, size int64, most int) ([]Member, error) {
	return nil, errors.New("todo")
}

// AppendHeader appends the header (ustar, POSIX.1-1988) of a regular file of size bytes, or of a
// directory if name ends with a slash. The name has at most 100 bytes. The file's bytes follow,
// and zeros up to a multiple of 512.
func AppendHeader(b []byte, name string, size int64) []byte { return b }
