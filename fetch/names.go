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
	dialTimeout   = 30 * time.Second // for the name and all its addresses
	maxResolvConf = 64 << 10
)

// A noNameServersError is a system on which no name server was found.
type noNameServersError struct {
	Tried []string // the places
}

func (e *noNameServersError) Error() string {
	return "no name server found (looked for one in " + strings.Join(e.Tried, ", ") + ")"
}

// nameServer returns the address host:port of a name server that may lack the
// port.
func nameServer(s string) (string, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(a, 53).String(), nil
	}
	if a, err := netip.ParseAddrPort(s); err == nil {
		return a.String(), nil
	}
	return "", fmt.Errorf("name server %q is not an address (1.2.3.4, 1.2.3.4:53, 2001:db8::1, [2001:db8::1]:53)", s)
}

// A resolver asks name servers.
type resolver struct {
	*net.Resolver
	source string              // a word on which
	none   *noNameServersError // there are none; /etc/hosts is read all the same
}

// newResolver returns the resolver for this system.
// The order: servers that the caller names, /etc/resolv.conf, Termux's, Android's
// resolver, OpenWrt's files, the kernel's. A public server is never asked
// unless somebody wrote it there.
//
// Go's resolver asks 127.0.0.1 and ::1 where /etc/resolv.conf names nobody
// (golang.org/issue/10714), hence all this. It reads /etc/hosts in any case.
func newResolver(servers []string, paths *Paths) resolver {
	if len(servers) > 0 {
		return resolver{askServers(servers), "the given name servers", nil}
	}
	var tried []string
	for i, file := range paths.ResolvConf {
		tried = append(tried, file)
		servers := nameServersIn(file)
		switch {
		case len(servers) == 0:
		case i == 0 && file == "/etc/resolv.conf":
			// Go reads it itself, with its options and search list.
			return resolver{&net.Resolver{PreferGo: true}, file, nil}
		default:
			return resolver{askServers(servers), file, nil}
		}
	}
	if _, err := os.Stat(paths.Properties); err == nil && paths.DNSProxy != "" {
		tried = append(tried, paths.DNSProxy)
		// SELinux may let an app connect to the socket but not stat it.
		if conn, err := net.DialTimeout("unix", paths.DNSProxy, 5*time.Second); err == nil {
			conn.Close()
			return resolver{askAndroid(paths.DNSProxy), paths.DNSProxy, nil}
		}
	}
	for _, file := range paths.LateResolvConf {
		tried = append(tried, file)
		if servers := nameServersIn(file); len(servers) > 0 {
			return resolver{askServers(servers), file, nil}
		}
	}
	none := &noNameServersError{tried}
	dial := func(context.Context, string, string) (net.Conn, error) { return nil, none }
	return resolver{&net.Resolver{PreferGo: true, Dial: dial}, "", none}
}

// nameServersIn returns the addresses in the nameserver lines of a file in
// resolv.conf(5)'s form; none when it can't be read.
func nameServersIn(file string) []string {
	data, err := readCapped(file, maxResolvConf)
	if err != nil {
		return nil
	}
	var list []string
	for line := range strings.Lines(string(data)) {
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

// askServers returns a resolver that asks these servers in place of the ones
// that Go thinks of, each in turn: Go asks four times before it gives up.
func askServers(servers []string) *net.Resolver {
	var turn atomic.Uint32
	var dialer net.Dialer
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		n := turn.Add(1) - 1
		return dialer.DialContext(ctx, network, servers[n%uint32(len(servers))])
	}}
}

// dial connects to addr, a host:port, over the address families that are
// allowed. net.Dialer races the two families (RFC 6555).
func (c *Client) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	network := "tcp"
	switch {
	case c.opt.IPv4Only:
		network = "tcp4"
	case c.opt.IPv6Only:
		network = "tcp6"
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{KeepAlive: 15 * time.Second}
	if given := c.opt.Resolve[strings.ToLower(host)]; len(given) > 0 {
		var errs []error
		for i, address := range given {
			// Each gets its share of the time, as net.Dialer gives it.
			conn, err := func() (net.Conn, error) {
				ctx, cancel := context.WithTimeout(ctx, dialTimeout/time.Duration(len(given)-i))
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
	if _, err := netip.ParseAddr(host); err == nil {
		return dialer.DialContext(ctx, network, addr)
	}
	names := c.names()
	dialer.Resolver = names.Resolver
	conn, err := dialer.DialContext(ctx, network, addr)
	var dns *net.DNSError
	if names.none != nil && errors.As(err, &dns) {
		err = names.none // of which the DNSError keeps only the text
	}
	return conn, err
}

// NameServers says where name servers were found, "" when nowhere.
func (c *Client) NameServers() string {
	return c.names().source
}
