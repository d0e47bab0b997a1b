package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

const (
	maxPage  = 4 << 10     // bytes of a page with an error; registries send a few hundred
	pageTime = time.Second // is a short wait, and about the time of a new connection
)

// maxRedirects is half of what browsers allow; an image server needs two.
const maxRedirects = 10

// requestFields say which part of a file a request asks for, in which form and by whose
// authority. The same fields are sent again after each redirect, if they may be.
type requestFields struct {
	offset    int64  // the first byte
	tail      int64  // if not 0, only this number of bytes at the end of the file
	whole     bool   // ask for the whole file, since the server does not support ranges
	validator string // identifies the file whose bytes the caller has; "": unknown
	host      string // the host that sent validator; it is sent to no other

	accept        string // "": all media types
	authorization string // is sent to the origin of the URL only; "": as Credentials and the URL say
}

// do sends a request for u and follows redirects. It returns the first response
// whose status is not a redirect; the response's Request has the final URL. home says
// that no redirect has left the origin of u.
func (c *Client) do(ctx context.Context, u *url.URL, fields *requestFields) (_ *http.Response, home bool, _ error) {
	hop := u
	home = true
	for range maxRedirects + 1 {
		home = home && origin(u) == origin(hop)
		request := (&http.Request{
			Method: "GET", URL: hop, Host: hop.Host, Header: c.header(u, home),
			Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		}).WithContext(ctx)
		h := request.Header
		if fields.accept != "" {
			h.Set("Accept", fields.accept)
		}
		if home && fields.authorization != "" {
			h.Set("Authorization", fields.authorization)
		}
		if fields.tail > 0 {
			h.Set("Range", fmt.Sprintf("bytes=-%d", fields.tail))
		}
		if fields.offset > 0 && !fields.whole {
			h.Set("Range", fmt.Sprintf("bytes=%d-", fields.offset))
			if fields.validator != "" && fields.host == hop.Host {
				h.Set("If-Range", fields.validator)
			}
		}
		identified := home && c.identifiesTo(hop)
		response, err := c.roundTrip(request, identified)
		if err != nil {
			return nil, home, c.requestError(ctx, u, hop, err, identified)
		}
		response.Request = request
		c.noteDate(response.Header)
		switch response.StatusCode {
		case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
			http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		default:
			return response, home, nil
		}
		takePage(response, pageTime)
		next, err := redirect(hop, response.Header.Get("Location"))
		if err != nil {
			e := failure(u, hop, err, c.opt.TLS.Now())
			e.Kind, e.Status = KindRedirect, response.StatusCode
			return nil, home, e
		}
		hop = next
	}
	e := failure(u, hop, fmt.Errorf("more than %d redirects", maxRedirects), c.opt.TLS.Now())
	e.Kind = KindRedirect
	return nil, home, e
}

// takePage reads the body of a response that is not the file, so that the next request can
// use the same connection: a TLS handshake takes a small board seconds. If the body is
// longer than maxPage or takes longer than limit, the rest is left out and the connection is
// closed. The body of the response is then what was read.
func takePage(response *http.Response, limit time.Duration) (page []byte) {
	body := response.Body
	timer := time.AfterFunc(limit, func() { body.Close() })
	page, _ = io.ReadAll(io.LimitReader(body, maxPage)) // after an error the part that came is enough
	timer.Stop()
	body.Close()
	response.Body = io.NopCloser(bytes.NewReader(page))
	return page
}

// identifiesTo reports whether the client certificate may be sent to the origin
// of u. The caller checks that no redirect from another origin led to u.
func (c *Client) identifiesTo(u *url.URL) bool {
	return c.opt.TLS.Certificate != nil && u.Scheme == "https" && slices.Contains(c.opt.TLS.CertificateFor, origin(u))
}

// roundTrip sends one request, through a proxy if Options.Proxy returns one.
// identified says that the client certificate may be sent.
func (c *Client) roundTrip(request *http.Request, identified bool) (*http.Response, error) {
	// If an earlier request opened the tunnel, net/http neither dials nor sends CONNECT.
	tunnel := new(atomic.Bool)
	tunnel.Store(request.URL.Scheme == "https")
	request = request.WithContext(context.WithValue(request.Context(), tunnelKey{}, tunnel))
	proxy, err := c.opt.Proxy(request)
	var own *Error
	switch {
	case errors.As(err, &own):
		return nil, &Error{Kind: own.Kind, Err: own.Err} // a copy, since each request sets its own URL
	case err != nil:
		return nil, &Error{Kind: KindSettings, Err: errors.New("the proxy's address is not a URL")}
	}
	response, err := c.through(request, proxy, identified)
	if err != nil && proxy != nil {
		err = &viaError{proxy: proxy, tunnel: tunnel.Load(), err: err}
	}
	return response, err
}

// through sends a request with the connection pool that fits its scheme. proxy is
// nil if there is none.
func (c *Client) through(request *http.Request, proxy *url.URL, identified bool) (_ *http.Response, err error) {
	transport := c.pools.plain
	if request.URL.Scheme != "https" && (proxy == nil || proxy.Scheme != "https") {
		return transport.RoundTrip(request)
	}
	if transport, err = c.pools.secure(); err != nil {
		return nil, err
	}
	if identified {
		if proxy != nil && proxy.Scheme == "https" {
			// net/http would send the certificate to the proxy too.
			return nil, &Error{Kind: KindURL, Err: errors.New("a client certificate can't be used through an https proxy: use an http or socks5 proxy, or NO_PROXY")}
		}
		if transport, err = c.pools.identified(); err != nil {
			return nil, err
		}
	}
	if c.opt.TLS.ClockBehind() {
		return c.roundTripEarly(request, transport)
	}
	return transport.RoundTrip(request)
}

// redirect returns the URL to which location redirects a request for hop.
func redirect(hop *url.URL, location string) (*url.URL, error) {
	if location == "" {
		return nil, errors.New("a redirect without a Location")
	}
	next, err := hop.Parse(location)
	if err != nil {
		return nil, fmt.Errorf("a redirect to %.200q, which is not a URL", ShowURL(location))
	}
	next.User, next.Fragment = nil, "" // a server does not choose the credentials
	switch {
	case next.Scheme != "http" && next.Scheme != "https" || next.Hostname() == "":
		return nil, fmt.Errorf("a redirect to %.200q, which is neither http nor https", ShowURL(location))
	case hop.Scheme == "https" && next.Scheme == "http":
		return nil, fmt.Errorf("a redirect from https to http (%.200q) is refused", ShowURL(location))
	}
	return next, nil
}

// header returns the header of a request for u, or of a redirect that u led to.
// home says that no redirect has left the origin of u.
func (c *Client) header(u *url.URL, home bool) http.Header {
	h := http.Header{
		// Without this field some servers compress the response.
		"Accept-Encoding": {"identity"},
		"Accept":          {"*/*"},
		"User-Agent":      {c.opt.UserAgent},
	}
	if !home {
		return h
	}
	basic := func(user, password string) {
		r := http.Request{Header: h}
		r.SetBasicAuth(user, password)
	}
	for _, k := range c.opt.Credentials {
		if !k.isFor(u) {
			continue
		}
		for name, values := range k.Header {
			h[http.CanonicalHeaderKey(name)] = append([]string(nil), values...)
		}
		if k.User != "" {
			basic(k.User, k.Password)
		}
	}
	if u.User != nil {
		password, _ := u.User.Password()
		basic(u.User.Username(), password)
	}
	return h
}

// isFor reports whether the credential belongs to the host of u.
func (k *Credential) isFor(u *url.URL) bool {
	return strings.EqualFold(k.Host, u.Hostname()) || strings.EqualFold(k.Host, u.Host) ||
		strings.EqualFold(k.Host, net.JoinHostPort(u.Hostname(), port(u))) || k.Host == origin(u)
}
