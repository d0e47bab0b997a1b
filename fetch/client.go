package fetch

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxHeader    = 64 << 10 // bytes of a response header; servers' own limits are 8 to 32 KiB
	tlsTimeout   = 30 * time.Second
	firstBackoff = time.Second
	maxBackoff   = 30 * time.Second
)

// A Client fetches files. It is safe for concurrent use.
type Client struct {
	opt     Options
	pools   pools
	early   earlyPools       // used while TLSOptions.ClockBehind
	names   func() *resolver // searches for name servers at its first call
	limiter limiter
	grants  grants
	heard   atomic.Int64 // last call of Notify or Waiting, in ns of Unix time; 0: no download yet
	ahead   atomic.Int64 // of ClockOffset, in ns; 0: not known

	jitter struct {
		sync.Mutex
		rand *rand.Rand
	}
}

// pools are a Client's connection pools.
type pools struct {
	plain      *http.Transport
	secure     func() (*http.Transport, error) // reads the CA certificates at its first call
	identified func() (*http.Transport, error) // like secure, with TLSOptions.Certificate

	mu    sync.Mutex
	trust string // where secure found CA certificates; "": secure was not called yet
}

// NewClient returns a Client. It uses neither the network nor the file system: the
// Client searches for CA certificates and name servers when it first needs one.
// An error says which of the options is invalid.
func NewClient(opt Options) (*Client, error) {
	if err := opt.setDefaults(); err != nil {
		return nil, err
	}
	seed := opt.Seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	c := &Client{opt: opt}
	c.jitter.rand = rand.New(rand.NewPCG(seed, 0))
	c.limiter.rate = opt.Limits.Rate
	c.names = sync.OnceValue(func() *resolver { return newResolver(opt.Address.DNS, c.paths()) })
	c.pools.plain = c.transport(nil)
	c.pools.secure = sync.OnceValues(c.secureTransport)
	c.pools.identified = sync.OnceValues(c.identifiedTransport)
	return c, nil
}

func (c *Client) paths() *Paths {
	if c.opt.Paths != nil {
		return c.opt.Paths
	}
	return SystemPaths(os.Getenv)
}

func (c *Client) secureTransport() (*http.Transport, error) {
	roots, source, err := certificates(c.paths(), c.opt.TLS.CACerts)
	if err != nil {
		return nil, err
	}
	c.pools.mu.Lock()
	c.pools.trust = source
	c.pools.mu.Unlock()
	return c.transport(&tls.Config{RootCAs: roots, Time: c.opt.TLS.Now, MinVersion: tls.VersionTLS12}), nil
}

func (c *Client) identifiedTransport() (*http.Transport, error) {
	anonymous, err := c.pools.secure()
	if err != nil {
		return nil, err
	}
	config := anonymous.TLSClientConfig.Clone()
	config.Certificates = []tls.Certificate{*c.opt.TLS.Certificate}
	return c.transport(config), nil
}

// transport returns a new connection pool. config is nil if no connection of the
// pool uses TLS.
func (c *Client) transport(config *tls.Config) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  c.opt.Proxy,
		DialContext:            c.dial,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    tlsTimeout, // a 400 MHz MIPS takes seconds to verify an RSA chain
		ResponseHeaderTimeout:  c.opt.Limits.StallWindow,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConnsPerHost:    3, // an image server gets three requests at the same time
		MaxResponseHeaderBytes: maxHeader,
		DisableCompression:     true,
		Protocols:              protocols,
		OnProxyConnectResponse: func(ctx context.Context, _ *url.URL, _ *http.Request, response *http.Response) error {
			if response.StatusCode != http.StatusOK {
				return &proxyError{response.StatusCode}
			}
			if tunnel, ok := ctx.Value(tunnelKey{}).(*atomic.Bool); ok {
				tunnel.Store(true)
			}
			return nil
		},
	}
}

// Trust returns where the CA certificates were found that verify TLS servers. It
// returns "" before the first request that needs them.
func (c *Client) Trust() string {
	c.pools.mu.Lock()
	defer c.pools.mu.Unlock()
	return c.pools.trust
}

// Close closes idle connections. Open streams are not affected.
func (c *Client) Close() {
	c.pools.plain.CloseIdleConnections()
	if c.Trust() == "" {
		return
	}
	if secure, err := c.pools.secure(); err == nil {
		secure.CloseIdleConnections()
	}
	if c.opt.TLS.Certificate != nil {
		if identified, err := c.pools.identified(); err == nil {
			identified.CloseIdleConnections()
		}
	}
	c.early.mu.Lock()
	defer c.early.mu.Unlock()
	for i := range c.early.hosts {
		c.early.hosts[i].pool.CloseIdleConnections()
	}
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

// backoff returns the waiting time before round (counted from 0) of the attempts.
// It doubles from a second to half a minute. The upper half is random, so that a
// hundred boards that lost the same server do not return at the same moment.
func (c *Client) backoff(round int) time.Duration {
	d := firstBackoff << min(round, 10)
	d = min(d, maxBackoff)
	c.jitter.Lock()
	defer c.jitter.Unlock()
	return d/2 + time.Duration(c.jitter.rand.Int64N(int64(d/2)))
}
