package pull

import (
	"errors"
	"fmt"
	"strings"
)

// A Kind says what is wrong, for whoever knows exit statuses and remedies.
type Kind int

// The kinds of errors of this package. Zero is any other error.
const (
	NoRoom         Kind = iota + 1 // a file system has too little room or too few inodes
	NotEmpty                       // the directory for a root file system holds something
	Exists                         // something is where a container was to be made
	NoConfig                       // the image's metadata has no config
	MissingInclude                 // LXC on this machine lacks a file that a config includes
	HostConfig                     // the image's config or fstab would configure the host
)

// An Error is an error of this package with its Kind.
type Error struct {
	Kind Kind
	Text string
	Err  error // the cause, which Text has said; nil: none
	// Marker is the marker of an interrupted run that may have filled the directory, for
	// NotEmpty and Exists; "": there is none.
	Marker string
}

func (e *Error) Error() string { return e.Text }
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the Kind of an error of this package.
func KindOf(err error) Kind {
	var own *Error
	if errors.As(err, &own) {
		return own.Kind
	}
	return 0
}

// notEmpty says that the directory for the root file system holds something.
func notEmpty(path, marker string) error {
	text := fmt.Sprintf("%q is not empty", path)
	if marker != "" {
		text += fmt.Sprintf("; %q says that a run was interrupted there, but nothing proves that all in the directory is from that run: look, and remove both by hand", marker)
	}
	return &Error{Kind: NotEmpty, Text: text, Marker: marker}
}

// exists says that there is something where a container was to be made.
func exists(path, marker string) error {
	text := fmt.Sprintf("%q exists already", path)
	if marker != "" {
		text += fmt.Sprintf("; %q says that a run was interrupted there, but nothing proves that all in the directory is from that run", marker)
	}
	return &Error{Kind: Exists, Text: text, Marker: marker}
}

// A LeftError is an error after which not all that was made could be removed.
type LeftError struct{ Err, Left error }

func (e *LeftError) Error() string {
	// errors.Join has each error on a line of its own.
	return fmt.Sprintf("%v; and not all that was made could be removed: %s", e.Err, strings.ReplaceAll(e.Left.Error(), "\n", "; "))
}

func (e *LeftError) Unwrap() error { return e.Err }

// A ResumableError is an error after which the same call goes on where this one
// stopped: what has come of the download is kept.
type ResumableError struct{ Err error }

func (e *ResumableError) Error() string { return e.Err.Error() }
func (e *ResumableError) Unwrap() error { return e.Err }
