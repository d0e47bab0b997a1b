package source

import (
	"context"
	"errors"

	"lxc-pull/fetch"
)

// Next returns the image to try after found failed with err, which is an error of a method of
// found or of its Stream, or a *RefusedError. The result may be found itself, to be opened
// again. If there is nothing left to try, Next returns the error to end with, which may be
// err. It closes found unless that is the result.
//
// next and what it calls close found earlier where they ask a server: found holds the lock of
// the image in the cache, which fromServer takes again.
func (f *Finder) Next(ctx context.Context, found *Found, err error) (*Found, error) {
	var next *Found
	var refused *RefusedError
	if f.opt.Streams != nil && ctx.Err() == nil && errors.As(err, &refused) && found.Cached && !found.index.downloaded {
		next, err = f.insteadOfRefused(ctx, found, refused.Err)
	} else if found.pinned != nil {
		next, err = f.nextPinned(ctx, found, err)
	} else {
		next, err = f.next(ctx, found, err)
	}
	if next != found {
		found.Close()
	}
	return next, err
}

func (f *Finder) next(ctx context.Context, found *Found, err error) (*Found, error) {
	wrong := isUnverified(err)
	var refused *RefusedError
	switch {
	case ctx.Err() != nil: // the user ended the run
		return nil, err
	case errors.As(err, &refused) && found.Cached && !found.index.downloaded: // a server may have a newer build
		return f.insteadOfRefused(ctx, found, refused.Err)
	case errors.As(err, &refused): // the server's build is refused
		return nil, refused.Err
	case found.Cached && wrong: // the bytes in the cache have changed: download the image again
		f.warn("cache-problem", "the cached copy is damaged (", err, "); downloading it anew")
		found.Close()
		f.distrustCache = true
		next, offline := f.onServer(ctx, found.query)
		if Offline(offline) {
			return nil, f.unusableOffline(err, offline)
		}
		return next, offline
	case found.try.course == nil: // no server was asked for the root file system
		return nil, err
	case !wrong && len(fetch.Failures(err)) == 0: // neither the bytes nor the network: no server can help
		return nil, err
	}
	sources := found.try.sources()
	if wrong && found.try.resumed == 0 {
		f.opt.Servers.noteWrong(sources)
	}
	again, last := found.try.course.Next(fetch.Attempt{Err: err, Wrong: wrong, Resumed: found.try.resumed, Sources: sources})
	if again {
		f.warn("retry", "", err, "; starting again")
		found.cache.discard()
		return found, found.renewSeals()
	}
	found.Close()
	return f.another(ctx, found, last)
}

// another finds another build of the image after err: no URL gave the bytes of found's build.
// It skips the same build on another server, since found's Course has asked that server's URL
// for the root file system already.
func (f *Finder) another(ctx context.Context, found *Found, err error) (*Found, error) {
	for {
		server := f.opt.Servers.current()
		if err := f.afterFailure(ctx, f.asGone(&found.Image, &found.query, err)); err != nil {
			return nil, err
		}
		next, err := f.onServer(ctx, found.query)
		if err != nil {
			return nil, err
		}
		if next.Image.Path != found.Image.Path || f.opt.Servers.current() == server {
			return next, nil
		}
		next.Close() // the same build on another server, whose URL found's Course has asked already
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
	f.warn("", "the cached copy can't be used as it is: ", refused, "")
	found.Close()
	f.replaceEvidence = true
	next, err := f.onServer(ctx, found.query)
	if Offline(err) {
		return nil, f.unusableOffline(refused, err)
	}
	return next, err
}
