package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"
)

// Defaults of LimitOptions.
const (
	defaultRetries     = 7 // with backoff 1, 2, 4 ... 30 s: about a minute and a half
	defaultStallWindow = 30 * time.Second
	defaultStallRate   = 100 // bytes per second
)

// Options configures a Client. The zero value is ready to use.
type Options struct {
	// UserAgent is sent in the User-Agent header field; "" sends none.
	UserAgent   string
	Credentials []Credential

	// Authorize returns the value of the header field Authorization for requests to the origin
	// of url, which answered 401. challenge is the value of the response's WWW-Authenticate, of
	// any scheme (RFC 9110, section 11.6.1); several fields are joined with commas, and "" means
	// that there was none. url is that of the Request, without user and password.
	//
	// The Client sends the request again with the value, and keeps the value for later requests
	// to the origin until one of them is answered 401: a token may expire in the middle of a
	// download, which then continues. It calls Authorize at most once for each HTTP request, so
	// a second 401 is an error, as is a 403. Requests that are answered 401 at the same time
	// share one call. "" means that there is no value: the 401 is the error. An error of
	// Authorize is returned unchanged (joined with those of the Request's other URLs), and is
	// not retried at that URL.
	//
	// Authorize may use the Client, with the ctx that it gets: for requests with this ctx the
	// Client neither calls Authorize nor sends a value that it keeps.
	//
	// A request to the origin of its URL has, in this order, Request.Authorization, the value
	// that Authorize returned, the user and password of the URL, or those of Credentials. With
	// Request.Authorization, Authorize is not called. nil: a 401 is an error.
	Authorize func(ctx context.Context, url, challenge string) (string, error)

	// Proxy returns the proxy for a request, as http.Transport.Proxy does. nil
	// reads HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY (proxy.go).
	Proxy func(*http.Request) (*url.URL, error)
	// Paths lists where name servers and CA certificates are found; nil means
	// SystemPaths(os.Getenv).
	Paths *Paths

	Address AddressOptions
	TLS     TLSOptions
	Limits  LimitOptions
	Report  ReportOptions

	// Wait waits for d or until ctx is done, and returns nil or ctx.Err(). nil
	// uses a timer. Tests set it in order not to wait.
	Wait func(ctx context.Context, d time.Duration) error
	// Seed makes the jitter of the waiting times repeatable; 0 uses a random seed.
	Seed uint64
}

// AddressOptions says how the Client finds the addresses of a host name.
type AddressOptions struct {
	// DNS lists name servers ("9.9.9.9", "[::1]:5353") that replace the system's.
	DNS []string
	// Resolve maps a host name in lower case to its addresses. No name server is
	// asked for these names.
	Resolve            map[string][]string
	IPv4Only, IPv6Only bool
}

// TLSOptions says how the Client verifies servers and identifies itself.
type TLSOptions struct {
	// CACerts lists PEM files of CA certificates, trusted in addition to those of
	// the system.
	CACerts []string
	// Now is the clock for certificate verification; nil uses the system clock.
	Now func() time.Time
	// ClockBehind reports whether the clock is known to be behind, so that Now is
	// only the earliest possible time. A server certificate that is not valid yet
	// is then verified at the start of its validity (early.go). The Client calls
	// ClockBehind for every request. Set it only if the caller checks the
	// signature or digest of every file. nil means that the clock is right.
	ClockBehind func() bool

	// Certificate is the client certificate. It is sent to the servers of the
	// origins in CertificateFor (see Origin) that ask for one, and not after a
	// redirect from another origin. nil: none.
	Certificate    *tls.Certificate
	CertificateFor []string
}

// LimitOptions sets the retries and speeds of downloads.
type LimitOptions struct {
	Rate int64 // bytes per second over all streams of the Client; 0: no limit

	// Retries is the number of further attempts after failures in a row. 0 means
	// 7; a negative number means none.
	Retries int

	// A connection that brings less than StallRate bytes per second during
	// StallWindow is closed, and the request is repeated. Only time spent waiting
	// for the network counts. 0 means 100 bytes per second and 30 seconds.
	StallRate   int64
	StallWindow time.Duration
}

// ReportOptions has the functions that tell the user about a download. Each may
// be nil.
type ReportOptions struct {
	// Notify is called before each further attempt, by the goroutine that reads.
	Notify func(Event)
	// Waiting is called, by any goroutine, when the user has been told nothing for
	// ten seconds and the server sends nothing, or is slow, or the next attempt
	// is not due yet.
	Waiting func(Waiting)
	// Heard returns the time when the user was last told anything by any part of
	// the program. If it is nil, only calls of Notify and Waiting count.
	Heard func() time.Time
}

// A Credential is sent to one host only: in requests that the caller makes to
// that host, and in redirects that stay at the same scheme, host and port.
type Credential struct {
	Host           string      // a host name, name:port, or an origin (see Origin)
	User, Password string      // basic authentication (RFC 7617), unless User is empty
	Header         http.Header // further header fields
}

// An Event describes a failure and the attempt that will follow it.
type Event struct {
	_      [0]func() // forbids ==, whose code nothing needs
	Err    *Error
	Next   string        // the next URL, without a password
	Wait   time.Duration // the time until the next attempt
	Offset int64         // the first byte that the next attempt asks for
	// Attempt numbers the attempts in a row at Next; the next is number Attempt of
	// at most Of.
	Attempt, Of int
}

// A Waiting describes a download about which the user has heard nothing for ten
// seconds.
type Waiting struct {
	_    [0]func()     // forbids ==, whose code nothing needs
	URL  string        // without a password
	For  time.Duration // the duration of the wait, or of the download if Got is not 0
	Left time.Duration // the time until the next attempt; 0: an attempt is in progress
	Got  int64         // bytes of the file received; 0: none since the last report
	Size int64         // bytes of the whole file; -1: unknown
}

// setDefaults replaces zero values by their meanings.
func (opt *Options) setDefaults() error {
	if opt.Address.IPv4Only && opt.Address.IPv6Only {
		return errors.New("IPv4 only and IPv6 only exclude each other")
	}
	if opt.TLS.Now == nil {
		opt.TLS.Now = time.Now
	}
	if opt.TLS.ClockBehind == nil {
		opt.TLS.ClockBehind = func() bool { return false }
	}
	if opt.Proxy == nil {
		opt.Proxy = proxyFromEnvironment()
	}
	if opt.Wait == nil {
		opt.Wait = wait
	}
	if opt.Report.Notify == nil {
		opt.Report.Notify = func(Event) {}
	}
	opt.Limits.setDefaults()
	return opt.Address.addPorts()
}

func (l *LimitOptions) setDefaults() {
	if l.Retries == 0 {
		l.Retries = defaultRetries
	}
	if l.StallWindow <= 0 {
		l.StallWindow = defaultStallWindow
	}
	if l.StallRate <= 0 {
		l.StallRate = defaultStallRate
	}
	if l.Rate > 0 {
		// A stream that the Client slows down itself has not stalled.
		l.StallRate = min(l.StallRate, max(1, l.Rate/4))
	}
}

// addPorts adds the port to each name server's address. It copies the list, which
// belongs to the caller.
func (a *AddressOptions) addPorts() error {
	var list []string
	for _, server := range a.DNS {
		address, err := nameServer(server)
		if err != nil {
			return err
		}
		list = append(list, address)
	}
	a.DNS = list
	return nil
}

// proxyFromEnvironment returns the default of Options.Proxy. It reads the
// environment at the first request, so that a malformed variable does not stop a
// program that makes no request.
func proxyFromEnvironment() func(*http.Request) (*url.URL, error) {
	read := sync.OnceValues(func() (*proxies, error) { return environmentProxies(os.Getenv) })
	return func(r *http.Request) (*url.URL, error) {
		p, err := read()
		if err != nil {
			return nil, &Error{Kind: KindSettings, Err: err}
		}
		return p.forRequest(r)
	}
}
