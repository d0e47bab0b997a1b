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

// A Kind is the cause of a failed fetch, for callers that tell a person what
// to do about it.
type Kind string

const (
	KindURL         Kind = "url"          // not a URL, or a scheme other than http, https and file
	KindDNS         Kind = "dns"          // the host's name has no address, or no name server was found
	KindRefused     Kind = "refused"      // nothing listens there
	KindUnreachable Kind = "unreachable"  // no route, no network, or no permission to use it
	KindTimeout     Kind = "timeout"      // no connection or no answer in time
	KindProxy       Kind = "proxy"        // the proxy can't be reached (Status 0), or would not connect
	KindSettings    Kind = "settings"     // what the environment says of proxies can't be used
	KindTLS         Kind = "tls"          // the handshake, or the certificate for another reason than these:
	KindClock       Kind = "clock"        // it isn't valid yet by our clock: the clock is behind
	KindExpired     Kind = "expired"      // it is valid no more
	KindAuthority   Kind = "authority"    // nobody whom we trust signed it
	KindName        Kind = "name"         // it is for other hosts
	KindWantsCert   Kind = "wants-cert"   // the server wants a certificate of the client
	KindRefusesCert Kind = "refuses-cert" // the server does not accept the client's certificate
	KindSpeaksHTTP  Kind = "speaks-http"  // an https URL's port speaks no TLS
	KindSpeaksTLS   Kind = "speaks-tls"   // an http URL's port speaks TLS
	KindStatus      Kind = "status"       // an HTTP status other than success, in Status
	KindStall       Kind = "stall"        // too few bytes over the stall window
	KindTruncated   Kind = "truncated"    // the connection ended before the file did
	KindChanged     Kind = "changed"      // the file is not the one whose first bytes are already here
	KindHTML        Kind = "html"         // a web page where a file was expected: captive portal, soft 404
	KindRedirect    Kind = "redirect"     // a circle, too many, or one that is refused (https to http)
	KindTooLarge    Kind = "too-large"    // more bytes than the caller allows
	KindEncoding    Kind = "encoding"     // a Content-Encoding that was not asked for
	KindProtocol    Kind = "protocol"     // an answer that HTTP does not allow
	KindFile        Kind = "file"         // a local file, of file:// or of certificates; Err has the cause
)

// An Error is a fetch that failed for good. Errors of several URLs of one
// Request are joined (errors.Join) in the order of its URLs.
type Error struct {
	URL    string        // as asked, without user and password where it is a URL; ShowURL is for people
	Via    string        // where redirects led, when elsewhere, without a query: it may be a key
	Proxy  string        // that was asked, as scheme://host:port, "": none
	Kind   Kind          //
	Status int           // the HTTP status, 0 where there was none
	Wait   time.Duration // how long the server asked us to stay away (Retry-After), 0: it did not
	Err    error         // the cause, may be nil

	noProxy bool // with KindProxy: no connection to it, or none through a SOCKS one
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
		text = fmt.Sprintf("no way through the proxy %q", e.Proxy)
		if e.Status != 0 {
			text = fmt.Sprintf("the proxy %q answered %d %s", e.Proxy, e.Status, http.StatusText(e.Status))
		}
	case KindDNS:
		text = "no address for the host name"
	case KindRefused:
		text = "connection refused"
	case KindUnreachable:
		text = "the network or host can't be reached"
	case KindTimeout:
		text = "no answer in time"
	case KindTLS:
		text = "no trusted TLS connection"
	case KindClock:
		text = "the server's certificate is not valid yet by this clock"
	case KindExpired:
		text = "the server's certificate has expired"
	case KindAuthority:
		text = "the server's certificate is signed by an unknown authority"
	case KindName:
		text = "the server's certificate is for another host"
	case KindWantsCert:
		text = "the server wants a client certificate"
	case KindRefusesCert:
		text = "the server does not accept the client certificate"
	case KindSpeaksHTTP:
		text = "that port speaks no TLS (https), most likely plain http"
	case KindSpeaksTLS:
		text = "that port speaks https, not plain http"
	case KindStall:
		text = "the transfer stalled"
	case KindTruncated:
		text = "the connection ended early"
	case KindChanged:
		text = "the file on the server is not the one the download began with"
	case KindHTML:
		text = "a web page came instead of the file"
	case KindTooLarge:
		text = "larger than allowed"
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

func (e *Error) Unwrap() error { return e.Err }

// kindOf returns err's Kind, "" when it has none.
func kindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

// errStalled is the cause with which a stalled attempt is cancelled.
var errStalled = errors.New("too few bytes for too long")

// A proxyError is a proxy's answer to CONNECT other than 200.
type proxyError struct{ status int }

func (e *proxyError) Error() string {
	return fmt.Sprintf("CONNECT: %d %s", e.status, http.StatusText(e.status))
}

// A viaError is what a request through a proxy failed with. tunnel says that the
// proxy had answered, this request or an earlier one, that the way to the server is
// open.
type viaError struct {
	proxy  *url.URL
	tunnel bool
	err    error
}

func (e *viaError) Error() string { return e.err.Error() }
func (e *viaError) Unwrap() error { return e.err }

// tunnelKey is the key of a request's context for an *atomic.Bool: viaError.tunnel.
type tunnelKey struct{}

// requestError makes the Error of a request that got no answer. identified says
// that it showed the client's certificate.
func (c *Client) requestError(ctx context.Context, u, hop *url.URL, err error, identified bool) *Error {
	var via *viaError
	errors.As(err, &via)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	e := failure(u, hop, err, c.opt.Now())
	var alert *net.OpError
	if errors.As(err, &alert) && alert.Op == "remote error" && e.Kind == KindTLS {
		// A server judges no certificate but the client's.
		switch text := alert.Err.Error(); {
		case identified && (strings.Contains(text, "certificate") || strings.HasSuffix(text, "access denied")):
			e.Kind, e.Err = KindRefusesCert, alert.Err
		case text == "tls: bad certificate":
			e.Kind, e.Err = KindWantsCert, nil // before TLS 1.3
		}
	}
	if via == nil {
		return e
	}
	e.Proxy = origin(via.proxy)
	if via.tunnel || strings.HasPrefix(via.proxy.Scheme, "socks") {
		return e
	}
	// No server was asked yet, or it was asked by the proxy: who is silent is
	// the proxy.
	why := ""
	switch e.Kind {
	case KindTruncated:
		why = "it closed the connection without an answer"
	case KindTimeout, KindStall:
		why = "it did not answer in time"
	case KindProtocol, KindSpeaksTLS:
		why = "it does not answer as a http proxy"
	default:
		return e
	}
	e.Kind, e.Err = KindProxy, errors.New(why)
	return e
}

// failure makes the Error of a request to u that led to hop and failed there
// with err, now being the clock by which certificates were judged.
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
	switch {
	case errors.As(err, &own):
		if own.URL == "" {
			own.URL, own.Via = e.URL, e.Via
		}
		return own
	case errors.As(err, &proxy):
		e.Kind, e.Status, e.Err = KindProxy, proxy.status, nil
	case errors.As(err, &dial) && (dial.Op == "proxyconnect" || dial.Op == "socks connect"): // net/http's words
		e.Kind, e.Err, e.noProxy = KindProxy, dial.Err, true
	case errors.Is(err, errStalled):
		e.Kind, e.Err = KindStall, nil
	case errors.As(err, &noServers):
		e.Kind, e.Err = KindDNS, noServers
	case errors.As(err, &dns):
		e.Kind = KindDNS
		if dns.IsNotFound {
			e.Err = fmt.Errorf("%q", dns.Name)
		}
	case e.secure(err, now):
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Kind, e.Err = KindRefused, innermost(err)
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETDOWN),
		errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		// The last two: a firewall, or an Android app outside group inet.
		e.Kind = KindUnreachable
		var number syscall.Errno
		if address := innermost(err); address != err && errors.As(err, &number) {
			e.Err = fmt.Errorf("%v: %w", address, number)
		}
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		e.Kind = KindTimeout
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET),
		errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNABORTED):
		e.Kind = KindTruncated
	default:
		e.Kind = KindProtocol
		// net/http repeats what came after its own words; a password may be in it.
		if _, text, ok := strings.Cut(err.Error(), "malformed "); ok {
			text, _, _ = strings.Cut(text, `"`)
			text, _, _ = strings.Cut(text, ":")
			e.Err = errors.New("malformed " + strings.TrimSpace(text))
		}
	}
	return e
}

// secure reports whether err is one of TLS, and tells in e which.
func (e *Error) secure(err error, now time.Time) bool {
	var (
		certificate x509.CertificateInvalidError
		authority   x509.UnknownAuthorityError
		name        x509.HostnameError
		other       *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		alert       *net.OpError
	)
	date := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
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
	case errors.As(err, &alert) && alert.Op == "remote error": // crypto/tls's word for an alert
		e.Kind, e.Err = KindTLS, fmt.Errorf("the server refuses it: %w", alert.Err)
		if alert.Err.Error() == "tls: certificate required" {
			e.Kind, e.Err = KindWantsCert, nil
		}
	case errors.As(err, &other), strings.Contains(err.Error(), "tls: "): // crypto/tls has no types for most
		e.Kind = KindTLS
	case strings.Contains(err.Error(), `malformed HTTP response "\x15\x03`): // an alert
		e.Kind, e.Err = KindSpeaksTLS, nil
	default:
		return false
	}
	return true
}

// otherNames says for whom a certificate is.
func otherNames(e x509.HostnameError) error {
	var names []string
	for _, address := range e.Certificate.IPAddresses {
		names = append(names, address.String())
	}
	names = append(names, e.Certificate.DNSNames...)
	if len(names) == 0 {
		return fmt.Errorf("it has no name but the common name %.100q, which counts no more", e.Certificate.Subject.CommonName)
	}
	more := ""
	if len(names) > 4 { // as many as a person reads
		names, more = names[:4], " and others"
	}
	return fmt.Errorf("it is for %q%s, not for %q", names, more, e.Host)
}

// innermost keeps of a dial error the part that names the address: the text
// "connection refused" is the Kind's already.
func innermost(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Addr != nil {
		return fmt.Errorf("%s", op.Addr)
	}
	return err
}

// transient reports whether asking again can help.
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
