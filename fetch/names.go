package fetch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

const (
	dialTimeout   = 30 * time.Second // for the name lookup and all addresses together
	maxResolvConf = 64 << 10
)

// A noNameServersError says that the system names no name server.
type noNameServersError struct {
	tried []string // files and sockets
}

func (e *noNameServersError) Error() string {
	return "no name server found (looked for one in " + strings.Join(e.tried, ", ") + ")"
}

// nameServer returns the address of a name server as host:port. In s the port may be
// missing.
func nameServer(s string) (string, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(a, 53).String(), nil
	}
	if a, err := netip.ParseAddrPort(s); err == nil {
		return a.String(), nil
	}
	return "", fmt.Errorf("name server %q is not an address (1.2.3.4, 1.2.3.4:53, 2001:db8::1, [2001:db8::1]:53)", s)
}

// A resolver resolves host names.
type resolver struct {
	_ [0]func() // forbids ==, whose code nothing needs
	*net.Resolver
	source string              // where the name servers were found
	none   *noNameServersError // not nil: there are none, and only /etc/hosts is used
}

// newResolver returns the resolver for this system. It uses the first of these that
// names a name server: the servers given by the caller, /etc/resolv.conf, the file of
// Termux, the resolver of Android, the files of OpenWrt, the file of the kernel. It
// uses a public server only if one of these names it.
//
// Without newResolver, Go's resolver would ask 127.0.0.1 and ::1 when
// /etc/resolv.conf names no server (golang.org/issue/10714). Go's resolver always
// reads /etc/hosts.
func newResolver(servers []string, paths *Paths) *resolver {
	if len(servers) > 0 {
		return &resolver{Resolver: askServers(servers), source: "the given name servers"}
	}
	var tried []string
	for i, file := range paths.ResolvConf {
		tried = append(tried, file)
		servers := nameServersIn(file)
		switch {
		case len(servers) == 0:
		case i == 0 && file == "/etc/resolv.conf":
			// Go's resolver reads this file itself, with its options and search list.
			return &resolver{Resolver: &net.Resolver{PreferGo: true}, source: file}
		default:
			return &resolver{Resolver: askServers(servers), source: file}
		}
	}
	if _, err := os.Stat(paths.Properties); err == nil && paths.DNSProxy != "" {
		tried = append(tried, paths.DNSProxy)
		// SELinux may allow an app to connect to the socket, but not to stat it.
		if conn, err := net.DialTimeout("unix", paths.DNSProxy, 5*time.Second); err == nil {
			conn.Close()
			return &resolver{Resolver: askAndroid(paths.DNSProxy), source: paths.DNSProxy}
		}
	}
	for _, file := range paths.LateResolvConf {
		tried = append(tried, file)
		if servers := nameServersIn(file); len(servers) > 0 {
			return &resolver{Resolver: askServers(servers), source: file}
		}
	}
	none := &noNameServersError{tried}
	dial := func(context.Context, string, string) (net.Conn, error) { return nil, none }
	return &resolver{Resolver: &net.Resolver{PreferGo: true, Dial: dial}, none: none}
}

// nameServersIn returns the addresses in the nameserver lines of a file in the format
// of resolv.conf(5). It returns none if the file can't be read.
func nameServersIn(file string) []string {
	data, err := readCapped(file, maxResolvConf)
	if err != nil {
		return nil
	}
	var list []string
	for _, line := range strings.Split(string(data), "\n") {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "nameserver" {
			continue
		}
		a, err := netip.ParseAddr(words[1])
		if err == nil && !a.IsUnspecified() {
			list = append(list, netip.AddrPortFrom(a, 53).String())
		}
	}
	return list
}

// askServers returns a resolver that asks these servers instead of the servers that
// Go's resolver chooses. It asks each in turn; Go's resolver makes four attempts.
func askServers(servers []string) *net.Resolver {
	var turn atomic.Uint32
	var dialer net.Dialer
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		n := turn.Add(1) - 1
		return dialer.DialContext(ctx, network, servers[n%uint32(len(servers))])
	}}
}

// dial connects to addr, a host:port, with the allowed address families. net.Dialer
// tries both families at the same time (RFC 6555).
func (c *Client) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	if tunnel, ok := ctx.Value(tunnelKey{}).(*atomic.Bool); ok {
		tunnel.Store(false) // until the proxy answers CONNECT on the new connection
	}
	network := "tcp"
	switch {
	case c.opt.Address.IPv4Only:
		network = "tcp4"
	case c.opt.Address.IPv6Only:
		network = "tcp6"
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{KeepAlive: 15 * time.Second}
	if given := c.opt.Address.Resolve[strings.ToLower(host)]; len(given) > 0 {
		return dialEach(ctx, &dialer, network, given, port)
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return dialer.DialContext(ctx, network, addr)
	}
	names := c.names()
	dialer.Resolver = names.Resolver
	conn, err := dialer.DialContext(ctx, network, addr)
	var dns *net.DNSError
	if names.none != nil && errors.As(err, &dns) {
		err = names.none // the DNSError has only the text of this error
	}
	return conn, err
}

// dialEach connects to the first of the addresses that accepts a connection.
func dialEach(ctx context.Context, dialer *net.Dialer, network string, addresses []string, port string) (net.Conn, error) {
	var errs []error
	for i, address := range addresses {
		// Each address gets its share of the time, as in net.Dialer.
		conn, err := func() (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, dialTimeout/time.Duration(len(addresses)-i))
			defer cancel()
			return dialer.DialContext(ctx, network, net.JoinHostPort(address, port))
		}()
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// NameServers returns where the name servers were found: a file, a socket or "the
// given name servers"; "" if there are none.
func (c *Client) NameServers() string {
	return c.names().source
}
