package source

import (
	"errors"
	"fmt"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/pgp"
)

// A Kind classifies an error. This package uses it to decide whether to ask another server,
// the command line to choose an exit status and a remedy.
type Kind int

// The kinds of errors of this package. Any other error has the Kind zero.
const (
	Network    Kind = iota + 1 // a download from a server, or a read of a file URL, failed
	NotFound                   // the server has no such image
	Gone                       // the server's index lists a build that the server does not have
	Unverified                 // the bytes are not the ones that a trusted key signed
	Replayed                   // an image or index that is older than one seen before, or has expired
	History                    // the history of builds can't be read
	Login                      // a registry wants a user name and password, or refused those that it got
	Limited                    // a registry refuses further requests for some time
	Unusable                   // this program can't use the container image
)

// An Error is an error of this package with its Kind.
type Error struct {
	_    [0]func() // forbids ==, whose code nothing needs
	Kind Kind
	What string // the file or step that failed; "": Err names it
	Text string // says what Err means; "": Err itself is shown
	Err  error
}

func (e *Error) Error() string {
	if e.Text != "" {
		return e.Text
	}
	if e.What == "" {
		return e.Err.Error()
	}
	return e.What + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// ErrNoSignature says that a container image has no signature, although one is wanted. The errors
// about files that nobody signed wrap it, with a text of their own.
var ErrNoSignature = errors.New("no cosign signature of it, or of the platform's manifest")

// unusable returns the error of Kind Unusable for err, nil for nil.
func unusable(err error) error {
	if err == nil {
		return nil
	}
	return newError(Unusable, "", err)
}

// newError returns an Error.
func newError(kind Kind, what string, err error) error {
	return &Error{Kind: kind, What: what, Err: err}
}

// failed returns the Error of a Kind with that text.
func failed(kind Kind, text string) error { return newError(kind, "", errors.New(text)) }

// because returns an error that says what failed, and why; nil for nil.
func because(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// warn tells the user of an error, with text before and after it. Without a code it is a note.
func (f *Finder) warn(code, before string, err error, after string) {
	text := before + err.Error() + after
	if code == "" {
		f.tell.Note(text)
	} else {
		f.tell.Warn(code, text)
	}
}

// KindOf returns the Kind of an error of this package, and that of errors of the packages
// fetch, image and pgp, which this package returns as they are.
func KindOf(err error) Kind {
	var own *Error
	var missing *image.NotFoundError
	var bad *pgp.BadSignatureError
	var untrusted *pgp.UntrustedError
	switch {
	case errors.As(err, &own):
		return own.Kind
	case errors.As(err, &missing):
		return NotFound
	case errors.As(err, &bad), errors.As(err, &untrusted):
		return Unverified
	case len(fetch.Failures(err)) > 0:
		return Network
	}
	return 0
}

// isUnverified reports whether err says that bytes are not the signed ones, or belong to an
// older image. Another server may have the right bytes.
func isUnverified(err error) bool {
	var own *Error
	return errors.As(err, &own) && (own.Kind == Unverified || own.Kind == Replayed)
}

// severity orders the errors of several servers: the error of a server that gives wrong bytes
// must not be hidden by that of a server that is down.
func severity(err error) int {
	switch KindOf(err) {
	case Unverified, Replayed:
		return 3
	case NotFound, Gone:
		return 2
	}
	if !Offline(err) {
		return 1
	}
	return 0
}

// Offline reports whether err says that no server could be reached.
func Offline(err error) bool {
	list := fetch.Failures(err)
	for _, e := range list {
		switch e.Kind {
		case fetch.KindDNS, fetch.KindRefused, fetch.KindUnreachable, fetch.KindTimeout:
		case fetch.KindProxy:
			if e.Status != 0 {
				return false
			}
		default:
			return false
		}
	}
	return len(list) > 0
}
