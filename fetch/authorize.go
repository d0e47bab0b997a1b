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
	mu  sync.Mutex // also protects the fields of each grant
	all []*grant   // a program asks one registry and its mirrors, so the list is short
}

// A grant is the Authorization field for one origin.
type grant struct {
	origin string
	field  string     // "": none yet
	number int        // of field: 1 for the first that Authorize returned
	call   *grantCall // nil: Authorize does not run for this origin
}

// A grantCall is a call of Authorize, for which other requests may wait.
type grantCall struct {
	ended chan struct{} // closed at the end of the call; then the other fields are set
	none  bool          // Authorize returned ""
	left  bool          // the request that made the call was cancelled
	err   error
}

// An authorization is what one request knows about its Authorization field.
type authorization struct {
	grant    *grant // nil: Authorize is not called for this request
	field    string // "": as Credentials and the URL say
	number   int    // of grant.field when it was copied to field
	borrowed bool   // field was refused, and replaced by what another request had got
	called   bool   // this request has called Authorize
}

// authorizing is the key of a value in the context that Authorize gets.
type authorizing struct{}

// authorization returns the authorization of a new request for u. given is
// Request.Authorization.
func (c *Client) authorization(ctx context.Context, u *url.URL, given string) authorization {
	// A request that Authorize makes must not wait for Authorize.
	if given != "" || c.opt.Authorize == nil || ctx.Value(authorizing{}) != nil {
		return authorization{field: given}
	}
	name := origin(u)
	c.grants.mu.Lock()
	defer c.grants.mu.Unlock()
	for _, g := range c.grants.all {
		if g.origin == name {
			return authorization{grant: g, field: g.field, number: g.number}
		}
	}
	g := &grant{origin: name}
	c.grants.all = append(c.grants.all, g)
	return authorization{grant: g}
}

// renew replaces a.field after the origin of u answered 401 to it. It takes the field
// that another request has got in the meantime, once, since that may be for another
// repository; or it calls Authorize, once. It returns false if the 401 is final.
func (c *Client) renew(ctx context.Context, a *authorization, u *url.URL, challenge string) (bool, error) {
	g := a.grant
	if g == nil || a.called {
		return false, nil
	}
	c.grants.mu.Lock()
	defer c.grants.mu.Unlock()
	for g.number == a.number || a.borrowed {
		call := g.call
		if call == nil {
			return c.callAuthorize(ctx, a, u, challenge)
		}
		c.grants.mu.Unlock()
		select {
		case <-call.ended:
		case <-ctx.Done():
		}
		c.grants.mu.Lock()
		switch {
		case ctx.Err() != nil:
			return false, context.Cause(ctx)
		case call.err != nil && !call.left, call.none:
			return false, call.err
		}
	}
	a.borrowed, a.field, a.number = true, g.field, g.number
	return true, nil
}

// callAuthorize calls Options.Authorize for renew. The caller holds c.grants.mu, which
// is unlocked during the call.
func (c *Client) callAuthorize(ctx context.Context, a *authorization, u *url.URL, challenge string) (bool, error) {
	g, call := a.grant, &grantCall{ended: make(chan struct{})}
	g.call, a.called = call, true
	c.grants.mu.Unlock()
	field, err := c.opt.Authorize(context.WithValue(ctx, authorizing{}, true), withoutUser(u), challenge)
	if err == nil && !validField(field) {
		err = errors.New("the value for the header field Authorization has a control character")
	}
	c.grants.mu.Lock()
	g.call, call.err, call.none, call.left = nil, err, err == nil && field == "", ctx.Err() != nil
	close(call.ended)
	if err != nil || call.none {
		return false, err
	}
	g.number++
	g.field = field
	a.field, a.number = field, g.number
	return true, nil
}

// validField reports whether a field of a header can have the value s (RFC 9110, section
// 5.5). The text comes from a token server.
func validField(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// authorize handles the status 401 of a response from the origin of s. It returns true if
// the request is to be sent again, with another a.field.
func (b *Body) authorize(s *source, a *authorization, response *http.Response) (bool, error) {
	if a.grant == nil || a.called {
		return false, nil
	}
	takePage(response)
	b.watch.endWait() // the requests of Authorize are reported as waiting themselves
	again, err := b.client.renew(b.ctx, a, s.url, strings.Join(response.Header.Values("WWW-Authenticate"), ", "))
	if err != nil {
		err = &Error{URL: withoutUser(s.url), Kind: KindStatus, Status: response.StatusCode, Err: err, asIs: true}
	}
	return again, err
}
