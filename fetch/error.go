package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// A Kind classifies an *Error, so that a caller can tell the user what to do.
type Kind string

// The kinds of errors. The kinds from KindClock to KindRefusesCert are about
// certificates.
const (
	KindURL         Kind = "url"          // not a URL, or a scheme other than http, https and file
	KindDNS         Kind = "dns"          // the host name has no address, or no name server was found
	KindRefused     Kind = "refused"      // connection refused
	KindUnreachable Kind = "unreachable"  // no route, no network, or no permission to use it
	KindTimeout     Kind = "timeout"      // no connection or no response in time
	KindProxy       Kind = "proxy"        // the proxy can't be reached (Status 0), or did not connect
	KindSettings    Kind = "settings"     // the proxy settings of the environment are invalid
	KindTLS         Kind = "tls"          // the TLS handshake failed for another reason than those below
	KindClock       Kind = "clock"        // the server's certificate is not valid yet: the clock is behind
	KindExpired     Kind = "expired"      // the server's certificate has expired
	KindAuthority   Kind = "authority"    // no trusted CA signed the server's certificate
	KindName        Kind = "name"         // the server's certificate is for other hosts
	KindWantsCert   Kind = "wants-cert"   // the server wants a client certificate
	KindRefusesCert Kind = "refuses-cert" // the server does not accept the client certificate
	KindSpeaksHTTP  Kind = "speaks-http"  // the port of an https URL does not use TLS
	KindSpeaksTLS   Kind = "speaks-tls"   // the port of an http URL uses TLS
	KindStatus      Kind = "status"       // an HTTP status other than success; Status has it
	KindStall       Kind = "stall"        // fewer bytes than StallRate during StallWindow
	KindTruncated   Kind = "truncated"    // the connection ended before the file did
	KindChanged     Kind = "changed"      // the file differs from the file whose first bytes were received
	KindHTML        Kind = "html"         // a web page instead of the file, as from a captive portal
	KindRedirect    Kind = "redirect"     // too many redirects, or a redirect that is refused
	KindTooLarge    Kind = "too-large"    // the file has more bytes than the caller allows
	KindEncoding    Kind = "encoding"     // a Content-Encoding that the request did not ask for
	KindProtocol    Kind = "protocol"     // the response violates HTTP
	KindFile        Kind = "file"         // a local file (file URL or certificate) failed; Err has the cause
)

// An Error is the final error of one URL. If several URLs of a Request failed, their
// Errors are joined (errors.Join) in the order of the URLs.
type Error struct {
	URL    string        // of the request, without user and password; use ShowURL to display it
	Via    string        // the URL of the last redirect without its query, which may be secret; "": none
	Proxy  string        // the proxy, as scheme://host:port; "": none
	Kind   Kind          // class of the error
	Status int           // the HTTP status; 0: no response
	Wait   time.Duration // the Retry-After of the response; 0: none
	Page   []byte        // the start of the response with Status, at most 4 KiB, if Request.Accept is set; Error shows nothing of it
	Err    error         // the cause; may be nil

	detail  error // of which Err has the meaning in plain words; nil: none
	noProxy bool  // with KindProxy: no connection to the proxy, or none through a SOCKS proxy
	asIs    bool  // Err is the error of Options.Authorize, which the caller gets in the place of this one
}

// outward returns the error that the caller gets.
func (e *Error) outward() error {
	if e.asIs {
		return e.Err
	}
	return e
}

func (e *Error) Error() string {
	where := fmt.Sprintf("%q", ShowURL(e.URL))
	if e.Via != "" && e.Via != e.URL {
		where += fmt.Sprintf(" (redirected to %q)", ShowURL(e.Via))
	}
	if e.Proxy != "" && e.Kind != KindProxy {
		where += fmt.Sprintf(" (through the proxy %q)", e.Proxy)
	}
	return where + ": " + e.cause()
}

func (e *Error) cause() string {
	text := ""
	switch e.Kind {
	case KindStatus:
		text = fmt.Sprintf("the server answered %d %s", e.Status, http.StatusText(e.Status))
		if e.Wait > 0 {
			text += fmt.Sprintf(" and asks to wait %v", e.Wait)
		}
	case KindProxy:
		text = fmt.Sprintf("can't connect through the proxy %q", e.Proxy)
		if e.Status != 0 {
			text = fmt.Sprintf("the proxy %q answered %d %s", e.Proxy, e.Status, http.StatusText(e.Status))
		}
	default:
		for _, c := range [...]struct {
			kind Kind
			text string
		}{
			{KindDNS, "no address for the host name"},
			{KindRefused, "connection refused"},
			{KindUnreachable, "the network or host can't be reached"},
			{KindTimeout, "no answer in time"},
			{KindTLS, "the TLS handshake failed"},
			{KindClock, "the server's certificate is not valid yet by this clock"},
			{KindExpired, "the server's certificate has expired"},
			{KindAuthority, "the server's certificate is signed by an unknown authority"},
			{KindWantsCert, "the server wants a client certificate"},
			{KindRefusesCert, "the server does not accept the client certificate"},
			{KindSpeaksHTTP, "that port speaks plain http, not https"},
			{KindSpeaksTLS, "that port speaks https, not plain http"},
			{KindStall, "the transfer stalled"},
			{KindTruncated, "the connection ended early"},
			{KindChanged, "the file on the server is not the file with which the download began"},
			{KindHTML, "a web page came instead of the file"},
			{KindTooLarge, "the file is too large"},
		} {
			if c.kind == e.Kind {
				text = c.text
			}
		}
	}
	switch {
	case e.Err == nil && text == "":
		return string(e.Kind)
	case e.Err == nil:
		return text
	case text == "":
		return e.Err.Error()
	}
	return text + ": " + e.Err.Error()
}

// Detail returns the words of the system or of the resolver about the failure, "" if Error says
// all. They have addresses, and no part of the URL but the host.
func (e *Error) Detail() string {
	var op *net.OpError
	var dns *net.DNSError
	switch {
	case errors.As(e.detail, &op):
		return op.Error()
	case errors.As(e.detail, &dns):
		return dns.Error()
	}
	return ""
}

// NotFound reports whether the server answered that the file does not exist (RFC 9110,
// sections 15.5.5 and 15.5.11).
func (e *Error) NotFound() bool {
	return e.Kind == KindStatus && (e.Status == http.StatusNotFound || e.Status == http.StatusGone)
}

func (e *Error) Unwrap() error { return e.Err }

// errStalled is the cause of the cancellation of a stalled request.
var errStalled = errors.New("the transfer stalled")

// A proxyError is the status of a proxy's response to CONNECT, if it is not 200.
type proxyError struct{ status int }

func (e *proxyError) Error() string {
	return fmt.Sprintf("CONNECT: %d %s", e.status, http.StatusText(e.status))
}

// A viaError is the error of a request through a proxy. tunnel says that the proxy has
// confirmed the connection to the server, in this or an earlier request.
type viaError struct {
	_      [0]func() // forbids ==, whose code nothing needs
	proxy  *url.URL
	tunnel bool
	err    error
}

func (e *viaError) Error() string { return e.err.Error() }
func (e *viaError) Unwrap() error { return e.err }

// tunnelKey is the key of an *atomic.Bool in the context of a request. Its value
// becomes viaError.tunnel: Client.dial clears it, and a response to CONNECT sets it.
type tunnelKey struct{}

// requestError returns the *Error of a request for u that got no response from hop, the
// URL of the last redirect. identified says that the client certificate was sent.
func (c *Client) requestError(ctx context.Context, u, hop *url.URL, err error, identified bool) *Error {
	var via *viaError
	errors.As(err, &via)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	e := failure(u, hop, err, c.opt.TLS.Now())
	var alert *net.OpError
	if errors.As(err, &alert) && alert.Op == "remote error" && e.Kind == KindTLS {
		// The only certificate that a server verifies is the client certificate.
		switch text := alert.Err.Error(); {
		case identified && (strings.Contains(text, "certificate") || strings.HasSuffix(text, "access denied")):
			e.Kind, e.Err = KindRefusesCert, alert.Err
		case text == "tls: bad certificate":
			e.Kind, e.Err = KindWantsCert, nil // before TLS 1.3
		}
	}
	if via != nil {
		e.blameProxy(via)
	}
	return e
}

// blameProxy names the proxy in the error of a request through a proxy. If the proxy
// had not yet connected to the server, or the proxy itself sends the request, then an
// absent or malformed response is a failure of the proxy.
func (e *Error) blameProxy(via *viaError) {
	e.Proxy = origin(via.proxy)
	if via.tunnel || strings.HasPrefix(via.proxy.Scheme, "socks") {
		return
	}
	why := ""
	switch e.Kind {
	case KindTruncated:
		why = "it closed the connection without a response"
	case KindTimeout, KindStall:
		why = "it did not respond in time"
	case KindProtocol, KindSpeaksTLS:
		why = "it did not respond as an http proxy"
	default:
		return
	}
	e.Kind, e.Err = KindProxy, errors.New(why)
}

// failure returns the *Error of a request for u that failed with err at hop, the URL of
// the last redirect. now is the time with which certificates were verified.
func failure(u, hop *url.URL, err error, now time.Time) *Error {
	e := &Error{URL: withoutUser(u), Err: err}
	if hop != nil && hop.String() != u.String() {
		via := *hop
		via.RawQuery = ""
		e.Via = withoutUser(&via)
	}
	var own *Error
	var proxy *proxyError
	var dial *net.OpError
	var dns *net.DNSError
	var noServers *noNameServersError
	var timeout net.Error
	var number syscall.Errno
	errors.As(err, &number) // 0: the kernel has not failed
	switch {
	case errors.As(err, &own):
		if own.URL == "" {
			own.URL, own.Via = e.URL, e.Via
		}
		return own
	case errors.As(err, &proxy):
		e.Kind, e.Status, e.Err = KindProxy, proxy.status, nil
	case errors.As(err, &dial) && (dial.Op == "proxyconnect" || dial.Op == "socks connect"): // set by net/http
		e.Kind, e.Err, e.noProxy, e.detail = KindProxy, plain(dial.Err), true, dial
	case errors.Is(err, errStalled):
		e.Kind, e.Err = KindStall, nil
	case errors.As(err, &noServers):
		e.Kind, e.Err = KindDNS, noServers
	case errors.As(err, &dns):
		e.Kind, e.Err, e.detail = KindDNS, fmt.Errorf("%q", dns.Name), err
		if !dns.IsNotFound {
			e.Err = fmt.Errorf("%q (the name servers do not answer)", dns.Name)
		}
	case e.setTLS(err, now):
	case number == syscall.ECONNREFUSED:
		e.Kind, e.Err, e.detail = KindRefused, innermost(err), err
	case number == syscall.ENETUNREACH, number == syscall.EHOSTUNREACH, number == syscall.ENETDOWN,
		number == syscall.EADDRNOTAVAIL, number == syscall.EACCES, number == syscall.EPERM:
		// EACCES and EPERM come from a firewall, or if an Android app lacks group inet.
		e.Kind, e.detail = KindUnreachable, err
		if address := innermost(err); address != err {
			e.Err = fmt.Errorf("%v: %w", address, number)
		}
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		e.Kind, e.Err, e.detail = KindTimeout, plain(err), err
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), number == syscall.ECONNRESET,
		number == syscall.EPIPE, number == syscall.ECONNABORTED:
		e.Kind, e.Err, e.detail = KindTruncated, plain(err), err
	default:
		e.Kind = KindProtocol
		// net/http appends what the server sent, which may contain a password.
		if _, text, ok := strings.Cut(err.Error(), "malformed "); ok {
			text, _, _ = strings.Cut(text, `"`)
			text, _, _ = strings.Cut(text, ":")
			e.Err = errors.New("malformed " + strings.TrimSpace(text))
		}
	}
	return e
}

// setTLS sets the Kind of e if err is a TLS error, and reports whether it is.
func (e *Error) setTLS(err error, now time.Time) bool {
	var (
		certificate x509.CertificateInvalidError
		authority   x509.UnknownAuthorityError
		name        x509.HostnameError
		other       *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		alert       *net.OpError
	)
	date := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }
	begins, young := notYetValid(err, now)
	switch {
	case young:
		e.Kind, e.Err = KindClock, fmt.Errorf("valid from %s, the clock says %s", date(begins), date(now))
	case errors.As(err, &certificate) && certificate.Reason == x509.Expired:
		e.Kind, e.Err = KindExpired, fmt.Errorf("it ended %s, the clock says %s", date(certificate.Cert.NotAfter), date(now))
	case errors.As(err, &name):
		e.Kind, e.Err = KindName, otherNames(name)
	case errors.As(err, &authority):
		e.Kind, e.Err = KindAuthority, nil
		if authority.Cert != nil {
			e.Err = fmt.Errorf("%.200q", authority.Cert.Issuer.String())
		}
	case errors.As(err, &record):
		e.Kind, e.Err = KindSpeaksHTTP, nil
	case errors.As(err, &alert) && alert.Op == "remote error": // crypto/tls marks an alert so
		e.Kind, e.Err = KindTLS, fmt.Errorf("the server refused it: %w", alert.Err)
		if alert.Err.Error() == "tls: certificate required" {
			e.Kind, e.Err = KindWantsCert, nil
		}
	case errors.As(err, &other), strings.Contains(err.Error(), "tls: "): // crypto/tls has no type for most errors
		e.Kind = KindTLS
	case strings.Contains(err.Error(), `malformed HTTP response "\x15\x03`): // a TLS alert
		e.Kind, e.Err = KindSpeaksTLS, nil
	default:
		return false
	}
	return true
}

// otherNames returns an error that lists the hosts of a certificate.
func otherNames(e x509.HostnameError) error {
	var names []string
	for _, address := range e.Certificate.IPAddresses {
		names = append(names, address.String())
	}
	names = append(names, e.Certificate.DNSNames...)
	if len(names) == 0 {
		return fmt.Errorf("the certificate has only the common name %.100q, which TLS clients no longer use", e.Certificate.Subject.CommonName)
	}
	more := ""
	if len(names) > 4 { // more would make the message too long
		names, more = names[:4], " and others"
	}
	return fmt.Errorf("the certificate is for %s%s, not for %q", strings.Trim(fmt.Sprintf("%q", names), "[]"), more, e.Host)
}

// plain returns the cause of a network failure without the words that package net puts around
// it, nil if the Kind says it all.
func plain(err error) error {
	var number syscall.Errno
	var dns *net.DNSError
	var timeout net.Error
	address := innermost(err)
	switch {
	case errors.As(err, &dns):
		return fmt.Errorf("no address for the host name %q", dns.Name)
	case errors.As(err, &timeout) && timeout.Timeout():
		if address != err {
			return address
		}
		return nil
	case errors.As(err, &number):
		return number
	}
	return err
}

// innermost returns the address of a dial error as an error. The Kind already says
// "connection refused".
func innermost(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Addr != nil {
		return fmt.Errorf("%s", op.Addr)
	}
	return err
}

// transient reports whether another attempt can succeed.
func (e *Error) transient() bool {
	switch e.Kind {
	case KindRefused, KindUnreachable, KindTimeout, KindStall, KindTruncated, KindProtocol:
		return true
	case KindDNS:
		var none *noNameServersError
		return !errors.As(e.Err, &none)
	case KindProxy, KindStatus:
		switch e.Status {
		case 0, http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
			http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
	}
	return false
}
