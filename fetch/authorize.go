package fetch

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// grants has the results of Options.Authorize.
type grants struct {
	_     [0]func()  // forbids ==, whose code nothing needs
	mu    sync.Mutex // also protects the fields of each grant
	first *grant     // a program asks one registry and its mirrors, so the list is short
}

// A grant is the Authorization field for one origin.
type grant struct {
	_      [0]func() // forbids ==, whose code nothing needs
	next   *grant
	origin string
	field  string        // "": none yet
	number int           // of field: 1 for the first that Authorize returned
	ended  chan struct{} // is closed when the running call of Authorize ends; nil: none runs
	failed bool          // the last call returned an error or "", and not because its request was cancelled
	err    error         // of the last call, if failed
}

// An authorization is what one request knows about its Authorization field.
type authorization struct {
	_        [0]func() // forbids ==, whose code nothing needs
	grant    *grant    // nil: Authorize is not called for this request
	field    string    // "": as Credentials and the URL say
	number   int       // of grant.field when it was copied to field
	borrowed bool      // field was refused, and replaced by what another request had got
	called   bool      // this request has called Authorize
}

// authorizing is the key of a value in the context that Authorize gets.
type authorizing struct{}

// takeField sets a, which is empty, to the authorization of a new request for u.
func (c *Client) takeField(ctx context.Context, a *authorization, u *url.URL) {
	// A request that Authorize makes must not wait for Authorize.
	if c.opt.Authorize == nil || ctx.Value(authorizing{}) != nil {
		return
	}
	name := origin(u)
	c.grants.mu.Lock()
	g := c.grants.first
	for g != nil && g.origin != name {
		g = g.next
	}
	if g == nil {
		g = &grant{origin: name, next: c.grants.first}
		c.grants.first = g
	}
	a.grant, a.field, a.number = g, g.field, g.number
	c.grants.mu.Unlock()
}

// authorize replaces a.field after the origin of s answered 401 to it. It takes the field
// that another request has got in the meantime, once, since that may be for another
// repository; or it calls Options.Authorize, once. It returns false if the 401 is final.
func (b *Body) authorize(s *source, a *authorization, response *http.Response) (again bool, err error) {
	if a.grant == nil || a.called {
		return false, nil
	}
	takePage(response, pageTime)
	b.watch.endWait() // the requests of Authorize are reported as waiting themselves
	c, g := b.client, a.grant
	c.grants.mu.Lock()
	for !a.called && (g.number == a.number || a.borrowed) {
		if ended := g.ended; ended != nil {
			c.grants.mu.Unlock()
			select {
			case <-ended:
			case <-b.ctx.Done():
			}
			c.grants.mu.Lock()
		} else {
			ended = make(chan struct{})
			g.ended, g.failed, g.err, a.called = ended, false, nil, true
			c.grants.mu.Unlock()
			challenge := strings.Join(response.Header.Values("WWW-Authenticate"), ", ")
			field, err := c.opt.Authorize(context.WithValue(b.ctx, authorizing{}, true), withoutUser(s.url), challenge)
			for i := range len(field) { // RFC 9110, section 5.5; the text comes from a token server
				if err == nil && (field[i] < ' ' && field[i] != '\t' || field[i] == 0x7f) {
					err = errors.New("the value for the header field Authorization has a control character")
				}
			}
			c.grants.mu.Lock()
			if err == nil && field != "" {
				g.number++
				g.field = field
			} else if b.ctx.Err() == nil { // otherwise the next request that waits calls Authorize
				g.failed, g.err = true, err
			}
			g.ended = nil
			close(ended)
		}
		if g.failed || b.ctx.Err() != nil {
			break
		}
	}
	if g.number != a.number {
		a.borrowed, a.field, a.number = true, g.field, g.number
		again = true
	} else if g.err != nil {
		err = &Error{URL: withoutUser(s.url), Kind: KindStatus, Status: response.StatusCode, Err: g.err, asIs: true}
	}
	c.grants.mu.Unlock()
	return again, err
}
