package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"lxc-pull/fetch"
)

// maxCredentials bounds a header or netrc file.
const maxCredentials = 64 << 10

// networkUsage is the part about the network of a command's usage; the other
// commands point to it.
const networkUsage = `      --limit-rate N    bytes per second, or 200K, 2M
      --retries N       go on after so many failures in a row (7)
      --stall-time N    seconds of next to no bytes that count as one (30)
  -4, -6                IPv4 only, IPv6 only
      --cacert FILE     trust the certificates in FILE too; again for more
      --dns ADDRESS     ask this name server; again for more
      --resolve HOST:ADDRESS   connect to ADDRESS for HOST
      --time TIME       judge certificates as of that time, not by the clock
      --header-file F   send the lines of F ("Name: value") to the first URL's
                        host; those below a line [HOST] to that host instead
      --netrc-file F    users and passwords by host (default: NETRC's file)
`

// networkOptions say how servers are asked, in every command that asks one.
type networkOptions struct {
	limitRate    int64
	retries      int // as fetch.Options has them
	stallTime    time.Duration
	ipv4, ipv6   bool
	cacerts      []string
	dns          []string
	resolve      map[string][]string // addresses by host name
	time         time.Time           // zero: the clock's
	header, auth string              // --header-file, --netrc-file
}

// networkFlags are the options that networkOptions.set reads.
func networkFlags() []option {
	return []option{
		{long: "limit-rate", arg: true},
		{long: "retries", arg: true},
		{long: "stall-time", arg: true},
		{short: '4', long: "ipv4"},
		{short: '6', long: "ipv6"},
		{long: "cacert", arg: true},
		{long: "dns", arg: true},
		{long: "resolve", arg: true},
		{long: "time", arg: true},
		{long: "header-file", arg: true},
		{long: "netrc-file", arg: true},
	}
}

// set takes over one option. known is false for those of others.
func (n *networkOptions) set(name, value string) (known bool, err error) {
	switch name {
	case "limit-rate":
		n.limitRate, err = parseSize(value)
	case "retries":
		if n.retries, err = smallNumber(value); err == nil && n.retries == 0 {
			n.retries = -1
		}
	case "stall-time":
		var seconds int
		if seconds, err = smallNumber(value); err == nil && seconds == 0 {
			err = errors.New("no time at all")
		}
		n.stallTime = time.Duration(seconds) * time.Second
	case "ipv4":
		n.ipv4 = true
	case "ipv6":
		n.ipv6 = true
	case "cacert":
		n.cacerts = append(n.cacerts, value)
	case "dns":
		n.dns = append(n.dns, value)
	case "resolve":
		err = n.addAddress(value)
	case "time":
		n.time, err = parseTime(value)
	case "header-file":
		n.header = value
	case "netrc-file":
		n.auth = value
	default:
		return false, nil
	}
	return true, err
}

// smallNumber reads a number of times or seconds.
func smallNumber(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0, errors.New("not a number from 0 to 65535")
	}
	return int(n), nil
}

// addAddress reads --resolve, HOST:ADDRESS.
func (n *networkOptions) addAddress(value string) error {
	host, address, _ := strings.Cut(value, ":")
	host, address = strings.ToLower(host), strings.Trim(address, "[]")
	if _, err := netip.ParseAddr(address); err != nil || host == "" {
		return errors.New("not HOST:ADDRESS")
	}
	if n.resolve == nil {
		n.resolve = map[string][]string{}
	}
	n.resolve[host] = append(n.resolve[host], address)
	return nil
}

// client makes the client. first is the URL whose host the lines of
// --header-file are for that name none. vouched says that the caller checks who
// signed what comes, or its digest.
func (n *networkOptions) client(agent, first string, clock *clock, vouched bool, notify func(fetch.Event)) (*fetch.Client, error) {
	credentials, err := n.credentials(first)
	if err != nil {
		return nil, err
	}
	client, err := fetch.NewClient(fetch.Options{
		UserAgent: agent, CACerts: n.cacerts, DNS: n.dns, Resolve: n.resolve,
		IPv4Only: n.ipv4, IPv6Only: n.ipv6, Credentials: credentials,
		Now: clock.now, Earliest: func() bool { return vouched && clock.behind() },
		LimitRate: n.limitRate, Retries: n.retries, StallWindow: n.stallTime, Notify: notify,
	})
	if err != nil {
		return nil, usageErrorf("%v", err)
	}
	return client, nil
}

// credentials reads the netrc file and the file of header lines. They come from
// files alone: lxc-create writes its arguments into the container's config, and
// ps shows them to everybody. Each is for one host, never for all that are
// asked.
func (n *networkOptions) credentials(first string) ([]fetch.Credential, error) {
	var list []fetch.Credential
	netrc := n.auth
	if netrc == "" {
		netrc = os.Getenv("NETRC")
	}
	if netrc != "" {
		data, err := readFileLimit(netrc, maxCredentials)
		if err != nil {
			return nil, err
		}
		if list, err = parseNetrc(string(data)); err != nil {
			return nil, fmt.Errorf("%q: %w", netrc, err)
		}
	}
	if n.header == "" {
		return list, nil
	}
	data, err := readFileLimit(n.header, maxCredentials)
	if err != nil {
		return nil, err
	}
	host := ""
	if u, err := url.Parse(first); err == nil {
		host = u.Host
	}
	headers, err := parseHeaders(string(data), host)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", n.header, err)
	}
	return append(list, headers...), nil
}

// parseHeaders reads lines "Name: value", and lines "[host]" that say for which
// host the lines below are; those above are for first, if there is one. Empty
// lines and those that begin with # are passed over. A message never shows a
// value: it is likely to be a secret.
func parseHeaders(text, first string) ([]fetch.Credential, error) {
	list := []fetch.Credential{{Host: first, Header: http.Header{}}}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimRight(line, "\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		if host, ok := strings.CutPrefix(line, "["); ok {
			// The last bracket, for a host may be "[::1]".
			if host, ok = strings.CutSuffix(strings.TrimSpace(host), "]"); !ok || host == "" {
				return nil, fmt.Errorf("line %d is not of the form \"[host]\"", n)
			}
			list = append(list, fetch.Credential{Host: host, Header: http.Header{}})
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if !ok || name == "" || strings.ContainsFunc(name, notToken) || strings.ContainsFunc(value, isControl) {
			return nil, fmt.Errorf("line %d is not of the form \"Name: value\"", n)
		}
		list[len(list)-1].Header.Add(name, value)
	}
	if first == "" { // a file URL: there is nobody to send them to
		list = list[1:]
	}
	return list, nil
}

// notToken reports whether a character can't be in a header's name (RFC 9110,
// 5.6.2).
func notToken(r rune) bool {
	return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// parseNetrc reads the machine, login and password words of a netrc file
// (ftp(1)). A "default" entry is refused: it would give a password to whatever
// host is asked.
func parseNetrc(text string) ([]fetch.Credential, error) {
	var list []fetch.Credential
	words := strings.Fields(text)
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		switch {
		case word == "default":
			return nil, errors.New("a default entry is for every host, and so for the wrong one")
		case word != "machine" && word != "login" && word != "password" && word != "account":
			return nil, errors.New("not a netrc file of machine, login and password entries")
		case len(words) == 0:
			return nil, fmt.Errorf("%q ends the file", word)
		case word == "machine":
			list = append(list, fetch.Credential{Host: words[0]})
		case len(list) == 0:
			return nil, fmt.Errorf("%q before any machine", word)
		case word == "login":
			list[len(list)-1].User = words[0]
		case word == "password":
			list[len(list)-1].Password = words[0]
		}
		words = words[1:]
	}
	return list, nil
}

// retryNotes tell of failures that are followed by another attempt: the first
// of each kind, the others under -v, for several files may be asked for at the
// same time.
type retryNotes struct {
	ui   *ui
	mu   sync.Mutex
	told map[fetch.Kind]bool
}

func (r *retryNotes) tell(e fetch.Event) {
	next := "trying " + printable(e.Next)
	if e.Next == e.Err.URL {
		next = "trying again"
	}
	if e.Wait > 0 {
		next += " in " + e.Wait.Round(time.Second/10).String()
	}
	if e.Offset > 0 {
		next += ", from " + byteCount(e.Offset) + " on"
	}
	r.mu.Lock()
	told := r.told[e.Err.Kind]
	if r.told == nil {
		r.told = map[fetch.Kind]bool{}
	}
	r.told[e.Err.Kind] = true
	r.mu.Unlock()
	text := printable(e.Err.Error())
	if told {
		r.ui.notef("%s; %s", text, next)
	} else {
		r.ui.warnf("%s; %s", text, next)
	}
}
