package fetch

import (
	"crypto/x509"
	"errors"
	"net/http"
	"sync"
	"time"
)

// While the clock is known to be behind, TLSOptions.Now is only the earliest
// possible time. The validity of a server's certificate may begin later, since servers renew
// certificates every few weeks. Such a certificate is then verified at the time when its
// validity begins. The chain, the names and the key usage are verified as usual,
// including that all certificates of the chain were valid at this moment, which is
// not before Now. Only an expiry since then stays undetected. The caller allows
// this for files whose signature or digest it checks, and moves Now forward when
// it has seen a signature. After that every connection is new and is verified with
// the new Now.

// earlyPools has the connection pools of hosts whose certificates begin after Now.
type earlyPools struct {
	mu    sync.Mutex
	now   time.Time // the value of TLSOptions.Now for which hosts is valid
	hosts []earlyHost
}

// An earlyHost is a host with its pool, and the pool that would be used if the clock were right:
// the pool with or without the client certificate.
type earlyHost struct {
	_           [0]func() // forbids ==, whose code nothing needs
	name        string
	usual, pool *http.Transport
}

// roundTripEarly sends a request while the clock is behind. usual is the pool that
// verifies certificates with TLSOptions.Now.
func (c *Client) roundTripEarly(request *http.Request, usual *http.Transport) (*http.Response, error) {
	transport := c.earlyPool(request.URL.Host, usual)
	response, err := transport.RoundTrip(request)
	begins, ok := notYetValid(err, c.opt.TLS.Now())
	if !ok || transport != usual {
		return response, err
	}
	config := usual.TLSClientConfig.Clone()
	config.Time = func() time.Time { return begins }
	transport = c.transport(config)
	if response, err = transport.RoundTrip(request); err == nil {
		c.early.mu.Lock()
		c.early.hosts = append(c.early.hosts, earlyHost{name: request.URL.Host, usual: usual, pool: transport})
		c.early.mu.Unlock()
	}
	return response, err
}

// earlyPool returns the pool for a host. If Now has moved since the last call, it
// first closes the connections that were verified with the earlier Now.
func (c *Client) earlyPool(host string, usual *http.Transport) *http.Transport {
	c.early.mu.Lock()
	defer c.early.mu.Unlock()
	if now := c.opt.TLS.Now(); !now.Equal(c.early.now) {
		c.early.now = now
		usual.CloseIdleConnections()
		for i := range c.early.hosts {
			c.early.hosts[i].pool.CloseIdleConnections()
		}
		c.early.hosts = nil
	}
	for i := len(c.early.hosts) - 1; i >= 0; i-- { // the newest: two requests may have made one each
		if h := &c.early.hosts[i]; h.name == host && h.usual == usual {
			return h.pool
		}
	}
	return usual
}

// notYetValid returns when the certificate begins that caused err, if err says that
// a certificate is not valid yet. crypto/x509 checks the dates of the server's
// certificate before its signature, so the date is not authenticated.
func notYetValid(err error, now time.Time) (begins time.Time, ok bool) {
	var certificate x509.CertificateInvalidError
	if errors.As(err, &certificate) && certificate.Reason == x509.Expired && now.Before(certificate.Cert.NotBefore) {
		return certificate.Cert.NotBefore, true
	}
	return time.Time{}, false
}
