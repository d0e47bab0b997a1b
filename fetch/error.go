package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"
)

// A Kind is the cause of a failed fetch, for callers that tell a person what
// to do about it.
type Kind string

const (
	KindURL         Kind = "url"         // not a URL, or a scheme other than http, https and file
	KindDNS         Kind = "dns"         // the host's name has no address, or no name server was found
	KindRefused     Kind = "refused"     // nothing listens there
	KindUnreachable Kind = "unreachable" // no route, no network, or no permission to use it
	KindTimeout     Kind = "timeout"     // no connection or no answer in time
	KindProxy       Kind = "proxy"       // the proxy can't be reached (Status 0), or would not connect
	KindTLS         Kind = "tls"         // the certificate or the handshake
	KindClock       Kind = "clock"       // the certificate isn't valid yet by our clock: the clock is behind
	KindStatus      Kind = "status"      // an HTTP status other than success, in Status
	KindStall       Kind = "stall"       // too few bytes over the stall window
	KindTruncated   Kind = "truncated"   // the connection ended before the file did
	KindChanged     Kind = "changed"     // the file is not the one whose first bytes are already here
	KindHTML        Kind = "html"        // a web page where a file was expected: captive portal, soft 404
	KindRedirect    Kind = "redirect"    // a circle, too many, or one that is refused (https to http)
	KindTooLarge    Kind = "too-large"   // more bytes than the caller allows
	KindEncoding    Kind = "encoding"    // a Content-Encoding that was not asked for
	KindProtocol    Kind = "protocol"    // an answer that HTTP does not allow
	KindFile        Kind = "file"        // a local file, of file:// or of certificates; Err has the cause
)

// An Error is a fetch that failed for good. Errors of several URLs of one
// Request are joined (errors.Join) in the order of its URLs.
type Error struct {
	URL    string        // as asked, without a password
	Via    string        // where redirects led, when elsewhere, without a query: it may be a key
	Kind   Kind          //
	Status int           // the HTTP status, 0 where there was none
	Wait   time.Duration // how long the server asked us to stay away (Retry-After), 0: it did not
	Err    error         // the cause, may be nil
}

func (e *Error) Error() string {
	where := fmt.Sprintf("%q", e.URL)
	if e.Via != "" && e.Via != e.URL {
		where += fmt.Sprintf(" (redirected to %q)", e.Via)
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
		text = "no way through the proxy"
		if e.Status != 0 {
			text = fmt.Sprintf("the proxy answered %d %s", e.Status, http.StatusText(e.Status))
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

// failure makes the Error of a request to u that led to hop and failed there
// with err, now being the clock by which certificates were judged.
func failure(u, hop *url.URL, err error, now time.Time) *Error {
	e := &Error{URL: u.Redacted(), Err: err}
	if hop != nil && hop.String() != u.String() {
		via := *hop
		via.RawQuery = ""
		e.Via = via.Redacted()
	}
	var own *Error
	var proxy *proxyError
	var dial *net.OpError
	var dns *net.DNSError
	var noServers *noNameServersError
	var verification *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var timeout net.Error
	begins, young := notYetValid(err, now)
	switch {
	case errors.As(err, &own):
		if own.URL == "" {
			own.URL, own.Via = e.URL, e.Via
		}
		return own
	case errors.As(err, &proxy):
		e.Kind, e.Status, e.Err = KindProxy, proxy.status, nil
	case errors.As(err, &dial) && dial.Op == "proxyconnect": // net/http's word
		e.Kind, e.Err = KindProxy, dial.Err
	case errors.Is(err, errStalled):
		e.Kind, e.Err = KindStall, nil
	case errors.As(err, &noServers):
		e.Kind, e.Err = KindDNS, noServers
	case errors.As(err, &dns):
		e.Kind = KindDNS
	case young:
		e.Kind = KindClock
		e.Err = fmt.Errorf("valid from %s, the clock says %s", begins.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	case errors.As(err, &verification), errors.As(err, &record), errors.As(err, &alert), errors.Is(err, http.ErrSchemeMismatch):
		e.Kind = KindTLS
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Kind, e.Err = KindRefused, innermost(err)
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETDOWN),
		errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		// The last two: a firewall, or an Android app outside group inet.
		e.Kind = KindUnreachable
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		e.Kind = KindTimeout
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET),
		errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNABORTED):
		e.Kind = KindTruncated
	default:
		e.Kind = KindProtocol
	}
	return e
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
