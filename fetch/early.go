package fetch

import (
	"crypto/x509"
	"errors"
	"net/http"
	"sync"
	"time"
)

// While the clock is known to be behind, Now is only the earliest time that it
// can be, and a server's certificate may well be younger: it is renewed every
// few weeks, the program is not. That certificate is then judged as of the
// moment from which it is valid. Its chain, its names and its purposes are
// verified as ever, and so is that all of the chain was valid at one moment not
// before Now; what nobody can know without a clock is whether it has ended
// since. The caller allows this for bytes whose signer or digest it checks, and
// moves Now as soon as it has seen a signature; from then on every connection is
// a new one, judged by the new Now.

// earlyPools are the connections to hosts whose certificates begin after Now.
type earlyPools struct {
	mu     sync.Mutex
	judged time.Time // by this Now
	hosts  map[earlyHost]*http.Transport
}

// An earlyHost is a host as asked through usual: with the client's certificate
// or without.
type earlyHost struct {
	name  string
	usual *http.Transport
}

// earliest sends a request where Now is the earliest time. usual is the
// transport that goes by Now.
func (c *Client) earliest(request *http.Request, usual *http.Transport) (*http.Response, error) {
	host := earlyHost{request.URL.Host, usual}
	transport := c.earlyPool(host)
	answer, err := transport.RoundTrip(request)
	begins, ok := notYetValid(err, c.opt.Now())
	if !ok || transport != usual {
		return answer, err
	}
	config := usual.TLSClientConfig.Clone()
	config.Time = func() time.Time { return begins }
	transport = c.transport(config)
	if answer, err = transport.RoundTrip(request); err == nil {
		c.early.mu.Lock()
		c.early.hosts[host] = transport
		c.early.mu.Unlock()
	}
	return answer, err
}

// earlyPool returns the transport for a host. Where Now has moved, connections
// that were judged by the Now of before are not used again.
func (c *Client) earlyPool(host earlyHost) *http.Transport {
	c.early.mu.Lock()
	defer c.early.mu.Unlock()
	if now := c.opt.Now(); !now.Equal(c.early.judged) {
		c.early.judged = now
		host.usual.CloseIdleConnections()
		for _, t := range c.early.hosts {
			t.CloseIdleConnections()
		}
		c.early.hosts = map[earlyHost]*http.Transport{}
	}
	if t := c.early.hosts[host]; t != nil {
		return t
	}
	return host.usual
}

// notYetValid returns from when on a certificate is valid that was refused for
// being too young. Verification looks at the dates of the server's own
// certificate before it looks at who made it, so nothing is to be believed of it
// yet.
func notYetValid(err error, now time.Time) (begins time.Time, ok bool) {
	var certificate x509.CertificateInvalidError
	if errors.As(err, &certificate) && certificate.Reason == x509.Expired && now.Before(certificate.Cert.NotBefore) {
		return certificate.Cert.NotBefore, true
	}
	return time.Time{}, false
}
