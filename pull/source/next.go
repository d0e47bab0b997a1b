package source

import (
	"context"
	"errors"
	"fmt"

	"lxc-pull/fetch"
)

// Next returns the image to try after found failed with err, which is an error of a method of
// found or of its Stream, or a *RefusedError. The result may be found itself, to be opened
// again. If there is nothing left to try, Next returns the error to end with, which may be
// err. It closes found unless that is the result.
func (f *Finder) Next(ctx context.Context, found *Found, err error) (*Found, error) {
	next, err := f.next(ctx, found, err)
	if next != found {
		found.Close()
	}
	return next, err
}

func (f *Finder) next(ctx context.Context, found *Found, err error) (*Found, error) {
	bad := isUnverified(err)
	var refused *RefusedError
	switch {
	case ctx.Err() != nil:
		return nil, err
	case errors.As(err, &refused) && found.Cached && !found.asked:
		return f.insteadOfRefused(ctx, found, refused.Err)
	case errors.As(err, &refused):
		return nil, refused.Err
	case found.Cached && bad:
		// The bytes in the cache have changed, so the image is downloaded again.
		f.tell.Warn(fmt.Sprintf("the cached copy is damaged (%v); downloading it anew", err))
		found.Close()
		f.distrustCache = true
		return f.onServer(ctx, found.query)
	case found.try.course == nil || !bad && len(fetch.Failures(err)) == 0:
		return nil, err
	}
	sources := found.try.sources()
	if bad && found.try.had == 0 {
		f.opt.Servers.noteWrong(sources)
	}
	again, final := found.try.course.Next(err, bad, found.try.had, sources)
	if again {
		f.tell.Warn(fmt.Sprintf("%v; starting again", err))
		found.held.discard()
		return found, found.renewSeals()
	}
	found.Close()
	return f.another(ctx, found, final)
}

// another finds another build than found's, or the same build on another server, after err:
// no server gave found's bytes.
func (f *Finder) another(ctx context.Context, found *Found, err error) (*Found, error) {
	for {
		server := f.opt.Servers.current()
		if err := f.afterFailure(ctx, f.orphaned(found.Image, found.query, err)); err != nil {
			return nil, err
		}
		next, err := f.onServer(ctx, found.query)
		if err != nil {
			return nil, err
		}
		if next.Image.Path != found.Image.Path || f.opt.Servers.current() == server {
			return next, nil
		}
		next.Close() // the same build on the same server, which was asked for it already
	}
}

// A RefusedError tells Next that the caller refuses an image because of its metadata. If the
// image came from the cache without a request, Next asks the server, which may have another
// build.
type RefusedError struct{ Err error }

func (e *RefusedError) Error() string { return e.Err.Error() }
func (e *RefusedError) Unwrap() error { return e.Err }

// insteadOfRefused finds the image on a server after the caller refused the cached copy.
func (f *Finder) insteadOfRefused(ctx context.Context, found *Found, refused error) (*Found, error) {
	f.tell.Note(fmt.Sprintf("the cached copy can't be used as it is: %v", refused))
	found.Close()
	f.replaceEvidence = true
	next, err := f.onServer(ctx, found.query)
	if Offline(err) {
		return nil, f.unfitOffline(refused, err)
	}
	return next, err
}
