package source

import (
	"errors"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/pgp"
)

// A Kind says what is wrong, for whoever decides what to do next: this package,
// which may ask another server, and the command line, which knows exit statuses
// and remedies.
type Kind int

// The kinds of errors of this package. Zero is any other error.
const (
	Network    Kind = iota + 1 // a server or a file URL did not give what was asked for
	NotFound                   // the server has no such image
	Gone                       // the server's list names a build that the server does not have
	Unverified                 // the bytes are not the ones that a trusted key signed
	Replayed                   // an older image, or an older list, than was seen before
	History                    // what was seen before can't be read
)

// An Error is an error of this package with its Kind.
type Error struct {
	Kind Kind
	What string // what failed; "": Err says it
	Err  error
}

func (e *Error) Error() string {
	if e.What == "" {
		return e.Err.Error()
	}
	return e.What + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the Kind of an error of this package or of one that it passes
// on from the packages fetch, image and pgp.
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

// isUnverified reports whether err says that bytes are not the ones that were
// signed, or are older ones.
func isUnverified(err error) bool {
	var own *Error
	return errors.As(err, &own) && (own.Kind == Unverified || own.Kind == Replayed)
}

// severity orders the errors of several servers. One that gives wrong bytes must
// not be hidden by another that is down.
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

// Offline reports whether an error says that no server was reached.
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
