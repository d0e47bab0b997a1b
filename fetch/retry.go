package fetch

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"
)

// maxRetryAfter is the longest Retry-After that is obeyed. A longer one ends the
// fetch, so that the caller learns of it instead of waiting.
const maxRetryAfter = 2 * time.Minute

// fewRetries is the number of retries after failures that rarely end by themselves.
const fewRetries = 2

// A source is one URL of a Request and what is known about its server.
type source struct {
	_         [0]func() // forbids ==, whose code nothing needs
	raw       string    // the URL as the caller wrote it
	url       *url.URL
	validator string // of its file
	host      string // the host that sent validator
	whole     bool   // the server does not support ranges
	fails     int    // failures in a row
	dead      bool   // further requests are useless
	used      bool   // it sent bytes of the file
	last      *Error // its last failure
}

// A sourceList has the sources of a Request, in order of preference.
type sourceList struct {
	all     []*source
	index   int   // of the current source
	resetAt int64 // the offset in the file at which failures were last set to zero
}

func newSourceList(request Request) (sourceList, error) {
	l := sourceList{resetAt: request.Offset}
	for _, raw := range request.URLs {
		u, err := parseURL(raw)
		if err != nil {
			return sourceList{}, err
		}
		l.all = append(l.all, &source{raw: raw, url: u, fails: request.spent})
	}
	if len(l.all) == 0 {
		return sourceList{}, &Error{Kind: KindURL, Err: errors.New("no URL was given")}
	}
	l.all[0].validator, l.all[0].host = request.Validator, l.all[0].url.Host
	return l, nil
}

func (l *sourceList) current() *source { return l.all[l.index] }

// received notes that the current source sent bytes up to offset. After enough
// bytes the failures of all sources are forgotten.
func (l *sourceList) received(offset int64) {
	l.current().used = true
	if offset-l.resetAt >= minProgress {
		l.resetAt = offset
		for _, s := range l.all {
			s.fails = 0
		}
	}
}

// used returns the URLs that sent bytes of the file.
func (l *sourceList) used() []string {
	var list []string
	for _, s := range l.all {
		if s.used {
			list = append(list, s.raw)
		}
	}
	return list
}

// fewestFailures returns the failures in a row of the source that failed least.
func (l *sourceList) fewestFailures() int {
	n := l.all[0].fails
	for _, s := range l.all {
		n = min(n, s.fails)
	}
	return n
}

// choose selects the source to ask after the failure e, and returns false if all
// sources are dead. It keeps the current source if that source had sent
// bytes and its connection then broke for the first time. Otherwise it takes the
// source that failed least, the first of several.
func (l *sourceList) choose(e *Error) bool {
	if s := l.current(); !s.dead && s.fails == 1 && s.used && e.Kind == KindTruncated {
		return true
	}
	best := -1
	for i, s := range l.all {
		if !s.dead && (best < 0 || s.fails < l.all[best].fails) {
			best = i
		}
	}
	l.index = max(best, 0)
	return best >= 0
}

// err returns the last errors of all sources, joined in the order of the URLs.
func (l *sourceList) err() error {
	var all []error
	for _, s := range l.all {
		if s.last != nil {
			all = append(all, s.last.outward())
		}
	}
	if len(all) == 1 {
		return all[0]
	}
	return errors.Join(all...)
}

// othersHaveRanges reports whether another source may support ranges, so that the
// bytes before the offset need not be downloaded again.
func (l *sourceList) othersHaveRanges() bool {
	for i, s := range l.all {
		if i != l.index && !s.dead && !s.whole {
			return true
		}
	}
	return false
}

// connect asks the current source, and after failures the next ones, until one
// sends the bytes from b.offset on. It returns io.EOF if the file ends there.
func (b *Body) connect() error {
	if b.Size > 0 && b.offset == b.Size {
		return io.EOF
	}
	for {
		err := b.send(b.sources.current())
		if err == nil || err == io.EOF {
			return err
		}
		if err := b.next(b.failure(err)); err != nil {
			return err
		}
	}
}

// next chooses the source of the next attempt after err, a failure of the current
// source, and waits if the chosen source has failed before. It returns the error
// that ends the stream if no source is left.
func (b *Body) next(err error) error {
	e, ok := err.(*Error)
	if !ok {
		return err // the context's error
	}
	failed := b.sources.current()
	failed.last = e
	failed.fails++
	longest := maxRetryAfter
	if b.request.Hasty {
		longest = hastyRetryAfter
	}
	lasts := !e.transient()
	if failed.used && e.Kind == KindStatus && e.Via != "" && Origin(e.Via) != origin(failed.url) {
		// Registries redirect to URLs that are signed for some minutes, and stores answer so after
		// that. The next request begins at the URL of the Request, and gets a new one.
		lasts = lasts && e.Status != http.StatusBadRequest && e.Status != http.StatusUnauthorized && e.Status != http.StatusForbidden
	}
	failed.dead = lasts || e.Wait > longest || failed.fails > b.patience(e)

	if b.offset > 0 && !b.request.Pinned {
		// Only a server whose validator proves that the file is the same may send
		// the rest.
		if failed.validator == "" || failed.dead {
			return e.outward()
		}
	} else if !b.sources.choose(e) {
		return b.sources.err()
	}
	return b.waitFor(b.sources.current(), e)
}

// waitFor reports the failure e and waits before the next attempt, at chosen.
func (b *Body) waitFor(chosen *source, e *Error) error {
	var d time.Duration
	if chosen.fails > 0 {
		d = b.client.backoff(chosen.fails - 1)
		if chosen.last != nil {
			d = max(d, chosen.last.Wait)
		}
	}
	attempts := b.client.retries(b.request) + 1
	if chosen.last != nil {
		attempts = b.patience(chosen.last) + 1
	}
	next := withoutUser(chosen.url)
	b.client.notify(Event{Err: e, Next: next, Wait: d, Offset: b.offset, Attempt: chosen.fails + 1, Of: attempts})
	if d <= 0 {
		return nil
	}
	b.watch.url.Store(next)
	b.watch.beginWait()
	b.watch.resume.Store(time.Now().Add(d).UnixNano())
	return b.client.opt.Wait(b.ctx, d)
}

// patience returns how many failures in a row like e a source may have. A host
// name or an address that never worked is probably misspelled: the user should
// not wait a minute and a half for the error. A proxy that was reached and then
// closed the connection gets as many attempts as a server. A server that counts
// requests and does not say how long to wait (Docker Hub: hours) would count more of them.
func (b *Body) patience(e *Error) int {
	switch e.Kind {
	case KindDNS, KindRefused, KindUnreachable, KindProxy:
		if b.offset == b.request.Offset && (e.Kind != KindProxy || e.noProxy) {
			return min(b.client.retries(b.request), fewRetries)
		}
	case KindStatus:
		if e.Status == http.StatusTooManyRequests && e.Wait == 0 {
			return min(b.client.retries(b.request), fewRetries)
		}
	}
	return b.client.retries(b.request)
}
