package fetch

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// proxies has the proxy settings of the environment. http.ProxyFromEnvironment
// ignores a variable that is not a URL, and the request then goes to the server
// directly, which is what the user wanted to prevent.
type proxies struct {
	http, https *url.URL // nil: none
	direct      []string // the words of NO_PROXY
}

// environmentProxies reads HTTP_PROXY, HTTPS_PROXY and NO_PROXY, in upper or lower
// case. ALL_PROXY replaces an absent HTTP_PROXY or HTTPS_PROXY. An error does not
// show the value of a variable, since it may contain a password.
func environmentProxies(getenv func(string) string) (*proxies, error) {
	p := new(proxies)
	first := func(names ...string) (*url.URL, error) {
		for _, name := range names {
			if value := getenv(name); value != "" {
				u, err := proxyURL(value)
				if err != nil {
					return nil, fmt.Errorf("the proxy in the environment's %s %w", name, err)
				}
				return u, nil
			}
		}
		return nil, nil
	}
	var err error
	if getenv("REQUEST_METHOD") != "" && getenv("HTTP_PROXY") != "" {
		// In a CGI program HTTP_PROXY comes from the client's header (httpoxy.org).
		return nil, errors.New("HTTP_PROXY can't be trusted in a CGI program (REQUEST_METHOD is set): unset it")
	}
	if p.http, err = first("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"); err != nil {
		return nil, err
	}
	if p.https, err = first("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"); err != nil {
		return nil, err
	}
	no := getenv("NO_PROXY")
	if no == "" {
		no = getenv("no_proxy")
	}
	for _, word := range strings.Split(no, ",") {
		if word = strings.ToLower(strings.TrimSpace(word)); word != "" {
			p.direct = append(p.direct, word)
		}
	}
	return p, nil
}

// proxyURL parses the URL of a proxy, or the HOST:PORT of an http proxy.
func proxyURL(value string) (*url.URL, error) {
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	u, err := url.Parse(value)
	if err == nil && u.Scheme == "socks" { // the scheme that GNOME writes
		u.Scheme = "socks5"
	}
	switch {
	case err != nil:
		return nil, errors.New("is not a URL (write %, @, : and / in the user and password as %25, %40, %3A and %2F)")
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5" && u.Scheme != "socks5h":
		return nil, errors.New("does not begin with http://, https://, socks5:// or socks5h://")
	case u.Hostname() == "" || !validPort(u):
		return nil, errors.New("has no host name, or its port is not a number from 1 to 65535")
	}
	return u, nil
}

// forRequest returns the proxy for a request, or nil for a direct connection.
func (p *proxies) forRequest(r *http.Request) (*url.URL, error) {
	proxy := p.http
	if r.URL.Scheme == "https" {
		proxy = p.https
	}
	if proxy == nil || p.isDirect(strings.ToLower(r.URL.Hostname()), port(r.URL)) {
		return nil, nil
	}
	return proxy, nil
}

// isDirect reports whether the host is this machine or is listed in NO_PROXY. A word
// of NO_PROXY is "*", an address, a range of addresses (10.0.0.0/8) or a domain name.
// A domain name includes its subdomains; if "." or "*." precedes it, the word means
// only the subdomains. Addresses and names may have a port.
func (p *proxies) isDirect(host, port string) bool {
	host = strings.TrimSuffix(host, ".")
	address, err := netip.ParseAddr(host)
	if address = address.Unmap(); host == "localhost" || err == nil && address.IsLoopback() {
		return true
	}
	for _, word := range p.direct {
		if word == "*" {
			return true
		}
		if span, bad := netip.ParsePrefix(word); bad == nil {
			if err == nil && span.Contains(address) {
				return true
			}
			continue
		}
		if name, only, bad := net.SplitHostPort(word); bad == nil {
			if only != "" && only != port || name == "" {
				continue
			}
			word = name
		}
		if listed, bad := netip.ParseAddr(word); bad == nil {
			if err == nil && listed.Unmap() == address {
				return true
			}
			continue
		}
		if strings.HasPrefix(word, "*.") {
			word = word[1:]
		}
		below := "." + strings.TrimPrefix(word, ".")
		if err != nil && (strings.HasSuffix(host, below) || host == word) {
			return true
		}
	}
	return false
}

// port returns the port of a URL, or the default port of its scheme.
func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// validPort reports whether a URL has no port or a port from 1 to 65535.
func validPort(u *url.URL) bool {
	n, ok := digits(u.Port())
	return u.Port() == "" || ok && 0 < n && n < 1<<16
}
