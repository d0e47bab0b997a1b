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

// proxies are what the environment says of proxies. net/http's own reading of
// it passes over a variable that is no URL, and then asks the server directly:
// whoever set the variable did so lest that happen.
type proxies struct {
	http, https *url.URL // nil: none
	direct      []string // of NO_PROXY
}

// environmentProxies reads HTTP_PROXY, HTTPS_PROXY, ALL_PROXY for both where
// they are absent, and NO_PROXY, in upper or lower case. An error never shows a
// value: it is likely to hold a password.
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
		// A CGI program's HTTP_PROXY is a header of its client's (httpoxy.org).
		return nil, errors.New("HTTP_PROXY is not believed in a CGI program: unset it")
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
	for word := range strings.SplitSeq(no, ",") {
		if word = strings.ToLower(strings.TrimSpace(word)); word != "" {
			p.direct = append(p.direct, word)
		}
	}
	return p, nil
}

// proxyURL reads a proxy: a URL, or HOST:PORT of a http proxy.
func proxyURL(value string) (*url.URL, error) {
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	u, err := url.Parse(value)
	if err == nil && u.Scheme == "socks" { // GNOME's word for it
		u.Scheme = "socks5"
	}
	switch {
	case err != nil:
		return nil, errors.New("is not a URL (in its user and password %, @, : and / are written %25, %40, %3A and %2F)")
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5" && u.Scheme != "socks5h":
		return nil, errors.New("is none of http://, https://, socks5:// and socks5h://")
	case u.Hostname() == "" || !validPort(u):
		return nil, errors.New("has no host name, or a wrong port")
	}
	return u, nil
}

// forRequest returns the proxy for a request, nil for none.
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

// isDirect reports whether NO_PROXY has the host, or it is this machine. A word
// is "*", an address, a range of addresses (10.0.0.0/8), or a name, which means
// the hosts below it too; with a dot or "*." before it those alone. Addresses
// and names may have a port.
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

// port is a URL's, its scheme's where it names none.
func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// validPort reports whether a URL's port, if it has one, can be one.
func validPort(u *url.URL) bool {
	n, ok := digits(u.Port())
	return u.Port() == "" || ok && 0 < n && n < 1<<16
}
