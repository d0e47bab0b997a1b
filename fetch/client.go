// Package fetch brings bytes over HTTP and HTTPS, and out of file URLs.
//
// A Client gets a small file whole (Get) or opens a big one as a stream that
// mends itself (Open): when the connection breaks or stalls it asks again from
// the byte where it was, of the same server or of another one with the same
// bytes. What comes out is what the server sent; who signed it is the caller's
// business, and every byte is untrusted until the caller has checked it.
//
// The rules:
//
//   - Only http, https and file URLs that the caller passes; a redirect leads
//     to http or https only, and never from https to http.
//   - Credentials belong to one origin (scheme, host, port) and are sent to no
//     other, whatever a redirect says.
//   - Bytes are taken as they are: no Content-Encoding is asked for, and one
//     that arrives anyway is an error, for the digest is of the file.
//   - Time limits are on progress (bytes over a window), not on the whole.
//   - The clock that judges certificates is the caller's (Options.Now), for
//     boards without a battery start in 1970. Verification is never off.
//   - Name servers and certificates are looked for where Linux, Termux,
//     Android and OpenWrt keep them (paths.go); no public resolver is asked
//     unless the caller names one.
//   - Nothing is logged; Options.Notify hears what was overcome.
//
// Not here: HTTP/2 (0.4 MB of program for one stream at a time), cookies,
// content that needs a login form, FTP.
package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The limits and their reasons.
const (
	maxRedirects  = 10              // as browsers' 20, halved: an image server needs two
	maxHeader     = 64 << 10        // bytes of a response's header; servers' own limits are 8 to 32 KiB
	maxRetryAfter = 2 * time.Minute // a longer Retry-After ends the fetch: the caller should know, not wait
	maxBackoff    = 30 * time.Second
	tlsTimeout    = 30 * time.Second // an RSA chain takes a 400 MHz MIPS seconds

	hastyRetries    = 1 // a hasty Request's: a hiccup is no reason to leave a server
	hastyRetryAfter = 10 * time.Second

	firstBackoff = time.Second
	// progress is how many bytes must come before failures are counted from
	// zero again; less, and a server that gives a byte per connection would be
	// asked for ever.
	progress = 64 << 10
)

// Defaults of Options.
const (
	defaultRetries     = 7 // with backoff 1, 2, 4 ... 30 s: about a minute and a half
	defaultStallWindow = 30 * time.Second
	defaultStallRate   = 100 // bytes per second: a tenth of the slowest link anybody would wait for
)

// Options say how a Client fetches. The zero value works.
type Options struct {
	UserAgent string

	CACerts []string // PEM files of certificates trusted besides those found on the system
	DNS     []string // name servers ("9.9.9.9", "[::1]:5353") asked instead of the system's
	// Resolve has the addresses of host names that no name server is asked
	// for; the key is the host name in lower case.
	Resolve            map[string][]string
	IPv4Only, IPv6Only bool

	// Now is the clock by which certificates are judged. nil: the system's.
	Now func() time.Time
	// Earliest says that the clock is known to be behind, so that Now is only
	// the earliest time that it can be: a server's certificate that begins
	// later is judged as of its beginning (early.go). It is asked at every
	// request. To be given only by who checks the signature or the digest of
	// what comes. nil: Now is the time.
	Earliest func() bool

	// Proxy says through which proxy a request goes, as http.Transport's
	// field. nil: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY of the
	// environment (proxy.go).
	Proxy func(*http.Request) (*url.URL, error)

	Credentials []Credential
	// Certificate is the client's own, shown to servers of these origins (see
	// Origin) that ask for one, to no other, and not after a redirect from
	// elsewhere. nil: none.
	Certificate    *tls.Certificate
	CertificateFor []string

	LimitRate int64 // bytes per second over all streams of the Client, 0: no limit

	// Retries is how often a failure in a row is followed by another attempt,
	// 0: 7, below 0: none.
	Retries int
	// A stream that brings less than StallRate bytes per second over
	// StallWindow is broken off and asked for again. Only time spent waiting
	// for the network counts. 0: 100 bytes per second, 30 seconds.
	StallRate   int64
	StallWindow time.Duration

	// Notify hears of each failure that is followed by another attempt, from
	// the goroutine that reads. It may be nil.
	Notify func(Event)
	// Waiting hears of a transfer, from any goroutine, when for ten seconds
	// nothing else was told: of a server that sends nothing or is slow, and of
	// a longer wait for the next attempt. It may be nil.
	Waiting func(Waiting)
	// Heard returns when the user was last told something, whoever told it.
	// nil: only what Notify and Waiting heard counts.
	Heard func() time.Time

	// Wait waits for d or until ctx is done, and says which (nil, ctx.Err()).
	// nil: really. Tests don't wait.
	Wait func(ctx context.Context, d time.Duration) error
	// Seed makes the jitter of waiting times repeatable, 0: random.
	Seed uint64

	// Paths are the system's places, nil: SystemPaths(os.Getenv).
	Paths *Paths
}

// A Credential is what one host is told and no other. It is sent only in
// requests that the caller makes to that host, and in redirects that stay at
// the same scheme, host and port.
type Credential struct {
	Host           string      // a host name, name:port, or an origin (see Origin)
	User, Password string      // basic authentication (RFC 7617), when User is not empty
	Header         http.Header // further header lines
}

// An Event is a failure that is followed by another attempt.
type Event struct {
	Err    *Error
	Next   string        // the URL asked next, without a password
	Wait   time.Duration // the time until then
	Offset int64         // the first byte that will be asked for
	// Attempt is the number of the next attempt in a row at Next, of at most Of.
	Attempt, Of int
}

// A Waiting is a time in which nothing comes, or comes without a word.
type Waiting struct {
	URL  string        // without a password
	For  time.Duration // it has lasted so long
	Left time.Duration // until the next attempt; 0: one is under way
	Got  int64         // bytes of the file that are here; 0: none has come since the last word
	Size int64         // bytes of the whole file, -1: not known
}

// waitingInterval is after what silence Options.Waiting is called: a person who
// hears nothing for a quarter of a minute takes the program for dead.
const waitingInterval = 10 * time.Second

// A Client fetches. It is safe for concurrent use.
type Client struct {
	opt     Options
	plain   *http.Transport
	secure  func() (*http.Transport, error) // reads the certificates at its first call
	known   func() (*http.Transport, error) // the same with Options.Certificate
	trust   string                          // where certificates were found, once secure has been called
	early   earlyPools                      // where Now is the earliest time only
	names   func() resolver                 // looks for name servers at its first call
	limiter limiter
	heard   atomic.Int64 // when Notify or Waiting last heard, in ns of Unix time; 0: nothing has begun

	mu     sync.Mutex
	jitter *rand.Rand
}

// NewClient returns a Client. It touches neither network nor file system;
// certificates and name servers are looked for when the first one is needed.
func NewClient(opt Options) (*Client, error) {
	if opt.IPv4Only && opt.IPv6Only {
		return nil, errors.New("IPv4 only and IPv6 only exclude each other")
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Earliest == nil {
		opt.Earliest = func() bool { return false }
	}
	if opt.Proxy == nil {
		// At the first request: where none is made a wrong variable does no harm.
		read := sync.OnceValues(func() (*proxies, error) { return environmentProxies(os.Getenv) })
		opt.Proxy = func(r *http.Request) (*url.URL, error) {
			p, err := read()
			if err != nil {
				return nil, &Error{Kind: KindSettings, Err: err}
			}
			return p.forRequest(r)
		}
	}
	if opt.Wait == nil {
		opt.Wait = wait
	}
	if opt.Notify == nil {
		opt.Notify = func(Event) {}
	}
	if opt.Retries == 0 {
		opt.Retries = defaultRetries
	}
	if opt.StallWindow <= 0 {
		opt.StallWindow = defaultStallWindow
	}
	if opt.StallRate <= 0 {
		opt.StallRate = defaultStallRate
	}
	if opt.LimitRate > 0 {
		// A stream that we slow down ourselves is not stalled.
		opt.StallRate = min(opt.StallRate, max(1, opt.LimitRate/4))
	}
	for i, server := range opt.DNS {
		address, err := nameServer(server)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			opt.DNS = append([]string(nil), opt.DNS...)
		}
		opt.DNS[i] = address
	}
	seed := opt.Seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	c := &Client{opt: opt, jitter: rand.New(rand.NewPCG(seed, 0))}
	c.limiter.rate = opt.LimitRate
	c.names = sync.OnceValue(func() resolver { return newResolver(opt.DNS, c.paths()) })
	c.plain = c.transport(nil)
	c.secure = sync.OnceValues(func() (*http.Transport, error) {
		roots, source, err := certificates(c.paths(), opt.CACerts)
		if err != nil {
			return nil, err
		}
		c.mu.Lock()
		c.trust = source
		c.mu.Unlock()
		return c.transport(&tls.Config{RootCAs: roots, Time: opt.Now, MinVersion: tls.VersionTLS12}), nil
	})
	c.known = sync.OnceValues(func() (*http.Transport, error) {
		anonymous, err := c.secure()
		if err != nil {
			return nil, err
		}
		config := anonymous.TLSClientConfig.Clone()
		config.Certificates = []tls.Certificate{*opt.Certificate}
		return c.transport(config), nil
	})
	return c, nil
}

func (c *Client) paths() *Paths {
	if c.opt.Paths != nil {
		return c.opt.Paths
	}
	return SystemPaths(os.Getenv)
}

// transport returns a connection pool; config is nil where no TLS is needed.
func (c *Client) transport(config *tls.Config) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  c.opt.Proxy,
		DialContext:            c.dial,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    tlsTimeout,
		ResponseHeaderTimeout:  c.opt.StallWindow,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConnsPerHost:    2,
		MaxResponseHeaderBytes: maxHeader,
		DisableCompression:     true,
		Protocols:              protocols,
		OnProxyConnectResponse: func(ctx context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
			if answer.StatusCode != http.StatusOK {
				return &proxyError{answer.StatusCode}
			}
			if tunnel, ok := ctx.Value(tunnelKey{}).(*atomic.Bool); ok {
				tunnel.Store(true)
			}
			return nil
		},
	}
}

// Trust says where the certificates that TLS servers are judged by were found,
// "" when none has been needed yet.
func (c *Client) Trust() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.trust
}

// Close closes idle connections. Streams that are open go on.
func (c *Client) Close() {
	c.plain.CloseIdleConnections()
	if c.Trust() == "" {
		return
	}
	if secure, err := c.secure(); err == nil {
		secure.CloseIdleConnections()
	}
	if c.opt.Certificate != nil {
		if known, err := c.known(); err == nil {
			known.CloseIdleConnections()
		}
	}
	c.early.mu.Lock()
	defer c.early.mu.Unlock()
	for _, t := range c.early.hosts {
		t.CloseIdleConnections()
	}
}

// An ask is one request as the redirects of its answer repeat it.
type ask struct {
	offset    int64  // the first byte wanted
	tail      int64  // if not 0, only so many bytes from the end
	whole     bool   // ask for the whole file, the server has no ranges
	validator string // of the bytes already here, "" for none
	host      string // the host that gave validator: to no other it means anything
}

// do sends one request and follows redirects. The answer has a status that is
// no redirect; where it came from is its Request.URL.
func (c *Client) do(ctx context.Context, u *url.URL, a ask) (*http.Response, error) {
	hop := u
	home := true // what is for u's origin alone may be sent: the way never left it
	for range maxRedirects + 1 {
		home = home && origin(u) == origin(hop)
		request := (&http.Request{
			Method: "GET", URL: hop, Host: hop.Host, Header: c.header(u, home),
			Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		}).WithContext(ctx)
		if a.tail > 0 {
			request.Header.Set("Range", fmt.Sprintf("bytes=-%d", a.tail))
		}
		if a.offset > 0 && !a.whole {
			request.Header.Set("Range", fmt.Sprintf("bytes=%d-", a.offset))
			if a.validator != "" && a.host == hop.Host {
				request.Header.Set("If-Range", a.validator)
			}
		}
		identified := home && c.identified(hop)
		answer, err := c.roundTrip(request, identified)
		if err != nil {
			return nil, c.requestError(ctx, u, hop, err, identified)
		}
		answer.Request = request
		switch answer.StatusCode {
		case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
			http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		default:
			return answer, nil
		}
		answer.Body.Close() // unread: it could stall
		next, err := redirect(hop, answer.Header.Get("Location"))
		if err != nil {
			e := failure(u, hop, err, c.opt.Now())
			e.Kind, e.Status = KindRedirect, answer.StatusCode
			return nil, e
		}
		hop = next
	}
	e := failure(u, hop, fmt.Errorf("more than %d redirects", maxRedirects), c.opt.Now())
	e.Kind = KindRedirect
	return nil, e
}

// identified reports whether a request may show the client's certificate, unless
// it came from elsewhere.
func (c *Client) identified(u *url.URL) bool {
	return c.opt.Certificate != nil && u.Scheme == "https" && slices.Contains(c.opt.CertificateFor, origin(u))
}

func (c *Client) roundTrip(request *http.Request, identified bool) (*http.Response, error) {
	tunnel := new(atomic.Bool)
	ctx := context.WithValue(request.Context(), tunnelKey{}, tunnel)
	if request.URL.Scheme == "https" {
		// A connection to an https server is one whose way is open, also where an
		// earlier request opened it: then no CONNECT is sent.
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { tunnel.Store(true) }})
	}
	request = request.WithContext(ctx)
	proxy, err := c.opt.Proxy(request)
	var own *Error
	switch {
	case errors.As(err, &own):
		return nil, &Error{Kind: own.Kind, Err: own.Err} // a copy, for each request has its URL
	case err != nil:
		return nil, &Error{Kind: KindSettings, Err: errors.New("the proxy's address is not a URL")}
	}
	answer, err := c.through(request, proxy, identified)
	if err != nil && proxy != nil {
		err = &viaError{proxy, tunnel.Load(), err}
	}
	return answer, err
}

// through sends a request through proxy, nil being none.
func (c *Client) through(request *http.Request, proxy *url.URL, identified bool) (_ *http.Response, err error) {
	transport := c.plain
	if request.URL.Scheme != "https" && (proxy == nil || proxy.Scheme != "https") {
		return transport.RoundTrip(request)
	}
	if transport, err = c.secure(); err != nil {
		return nil, err
	}
	if identified {
		if proxy != nil && proxy.Scheme == "https" {
			// net/http would show it to the proxy too.
			return nil, &Error{Kind: KindURL, Err: errors.New("a client certificate goes through no https proxy: use a http or socks5 one, or NO_PROXY")}
		}
		if transport, err = c.known(); err != nil {
			return nil, err
		}
	}
	if c.opt.Earliest() {
		return c.earliest(request, transport)
	}
	return transport.RoundTrip(request)
}

// redirect returns where location leads from hop.
func redirect(hop *url.URL, location string) (*url.URL, error) {
	if location == "" {
		return nil, errors.New("a redirect that leads nowhere")
	}
	next, err := hop.Parse(location)
	if err != nil {
		return nil, fmt.Errorf("a redirect to %.200q, which is not a URL", ShowURL(location))
	}
	next.User, next.Fragment = nil, "" // a server has no credentials to hand out
	switch {
	case next.Scheme != "http" && next.Scheme != "https" || next.Hostname() == "":
		return nil, fmt.Errorf("a redirect to %.200q, which is neither http nor https", ShowURL(location))
	case hop.Scheme == "https" && next.Scheme == "http":
		return nil, fmt.Errorf("a redirect from https to http (%.200q) is refused", ShowURL(location))
	}
	return next, nil
}

// header returns the header of a request that began at u; home says that its
// way never left u's origin.
func (c *Client) header(u *url.URL, home bool) http.Header {
	h := http.Header{
		// Without this line some servers compress what they send.
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
		if !strings.EqualFold(k.Host, u.Hostname()) && !strings.EqualFold(k.Host, u.Host) &&
			!strings.EqualFold(k.Host, net.JoinHostPort(u.Hostname(), port(u))) && k.Host != origin(u) {
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

// wait waits for d or until ctx is done.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// pause waits for d before url is asked again.
func (c *Client) pause(ctx context.Context, d time.Duration, url string) error {
	var v vigil
	v.size.Store(-1)
	v.asked.Store(url)
	v.busy()
	v.resume.Store(time.Now().Add(d).UnixNano())
	defer v.keep(ctx, c)()
	return c.opt.Wait(ctx, d)
}

// backoff returns the wait before the round-th round of attempts (from 0):
// doubling from a second to half a minute, the upper half of it by chance, so
// that a hundred boards that lost one server don't come back in step.
func (c *Client) backoff(round int) time.Duration {
	d := firstBackoff << min(round, 10)
	d = min(d, maxBackoff)
	c.mu.Lock()
	defer c.mu.Unlock()
	return d/2 + time.Duration(c.jitter.Int64N(int64(d/2)))
}
