package pull

import (
	"errors"
	"fmt"
	"strings"
)

// A Kind classifies an error, so that the command line can choose an exit status and a
// remedy for it.
type Kind int

// The kinds of errors of this package. Any other error has the Kind zero.
const (
	NoRoom         Kind = iota + 1 // a file system has too little room, or too few inodes
	NotEmpty                       // the directory for a root file system holds something
	Exists                         // the path of a new container is taken
	NoConfig                       // the image's metadata has no config
	MissingInclude                 // a config includes a file that this machine does not have
	HostConfig                     // the image's config or fstab would configure the host
	NotDirectory                   // the container's root file system is an image or spread over several directories
	NoRecord                       // the container has no RecordFile
	NoContainer                    // the container does not exist
)

// An Error is an error of this package with its Kind.
type Error struct {
	_    [0]func() // forbids ==, whose code nothing needs
	Kind Kind
	Text string
	Err  error // the cause, whose message is part of Text; nil: none
	// Marker is the path of an interrupted run's marker beside the directory, for NotEmpty
	// and Exists: that run may have filled the directory. "": there is no marker.
	Marker string
}

func (e *Error) Error() string { return e.Text }
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the Kind of the first *Error in err's chain, zero if there is none.
func KindOf(err error) Kind {
	var own *Error
	if errors.As(err, &own) {
		return own.Kind
	}
	return 0
}

// notEmpty returns the error for a root file system's directory that is not empty. marker is
// the marker of an interrupted run in it, "" if there is none.
func notEmpty(path, marker string) error {
	return &Error{Kind: NotEmpty, Text: fmt.Sprintf("%q is not empty", path) + doubt(marker), Marker: marker}
}

// exists returns the error for a new container's path that is taken.
func exists(path, marker string) error {
	return &Error{Kind: Exists, Text: fmt.Sprintf("%q exists already", path) + doubt(marker), Marker: marker}
}

// doubt says why a directory with a marker is not emptied; it returns "" without a marker.
func doubt(marker string) string {
	if marker == "" {
		return ""
	}
	return fmt.Sprintf("; %q says that a run was interrupted there, but nothing proves that all files in the directory are from that run", marker)
}

// A LeftError is the error Err of a run whose files could not all be removed; Left says
// which stay, and why.
type LeftError struct {
	_         [0]func() // forbids ==, whose code nothing needs
	Err, Left error
}

func (e *LeftError) Error() string {
	// errors.Join puts each error on a line of its own.
	return fmt.Sprintf("%v; and not all files that the run made could be removed: %s", e.Err, strings.ReplaceAll(e.Left.Error(), "\n", "; "))
}

func (e *LeftError) Unwrap() error { return e.Err }

// A ResumableError is the error Err of a run whose downloaded bytes stay in the cache: the
// next run of the same image continues the download.
type ResumableError struct{ Err error }

func (e *ResumableError) Error() string { return e.Err.Error() }
func (e *ResumableError) Unwrap() error { return e.Err }
