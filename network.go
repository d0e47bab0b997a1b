package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/netip"
	"os"
	"slices"
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
      --cert F, --key F this client's certificate and key, shown to no mirror
      --dns ADDRESS     ask this name server; again for more
      --resolve HOST:ADDRESS   connect to ADDRESS for HOST
      --time TIME       judge certificates as of that time, not by the clock
      --header-file F   send the lines of F ("Name: value") to the first URL's
                        origin; those below a line [ORIGIN] to that instead
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
	cert, key    string              // --cert, --key
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
		{long: "cert", arg: true},
		{long: "key", arg: true},
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
			err = errors.New("must be at least 1 second")
		}
		n.stallTime = time.Duration(seconds) * time.Second
	case "ipv4":
		n.ipv4 = true
	case "ipv6":
		n.ipv6 = true
	case "cacert":
		n.cacerts = append(n.cacerts, value)
	case "cert":
		n.cert = value
	case "key":
		n.key = value
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

// client makes the client, after all files that the options name are read:
// what is wrong with them is told before the network is used. servers are the
// URLs that may see the client's certificate; the lines of --header-file that
// name no host are for the first. vouched says that the caller checks who
// signed what comes, or its digest.
func (n *networkOptions) client(agent string, servers []string, clock *clock, vouched bool, notes *retryNotes) (*fetch.Client, error) {
	credentials, err := n.credentials(servers[0])
	if err != nil {
		return nil, err
	}
	for _, name := range n.cacerts {
		if err := fetch.CheckCertificates(name); err != nil {
			return nil, fmt.Errorf("--cacert %q: %w", name, withoutPath(err))
		}
	}
	certificate, err := n.certificate()
	if err != nil {
		return nil, err
	}
	var origins []string
	for _, u := range servers {
		origins = append(origins, fetch.Origin(u))
	}
	client, err := fetch.NewClient(fetch.Options{
		UserAgent: agent, CACerts: n.cacerts, DNS: n.dns, Resolve: n.resolve,
		IPv4Only: n.ipv4, IPv6Only: n.ipv6, Credentials: credentials,
		Certificate: certificate, CertificateFor: origins,
		Now: clock.now, Earliest: func() bool { return vouched && clock.behind() },
		LimitRate: n.limitRate, Retries: n.retries, StallWindow: n.stallTime, Notify: notes.tell, Waiting: notes.waiting,
		Heard: func() time.Time { return time.Unix(0, notes.ui.heard.Load()) },
	})
	if err != nil {
		return nil, usageErrorf("%v", err)
	}
	return client, nil
}

// certificate reads --cert and --key; nil where they are not given. One file
// may hold both.
func (n *networkOptions) certificate() (*tls.Certificate, error) {
	if n.cert == "" {
		if n.key != "" {
			return nil, usageErrorf("--key needs --cert")
		}
		return nil, nil
	}
	certificate, err := readOption("cert", n.cert, maxCredentials)
	if err != nil {
		return nil, err
	}
	key := certificate
	if n.key != "" {
		if key, err = readOption("key", n.key, maxCredentials); err != nil {
			return nil, err
		}
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("--cert %q and its key: %w", n.cert, err)
	}
	return &pair, nil
}

// readOption reads a file that an option names.
func readOption(option, name string, max int64) ([]byte, error) {
	data, err := readFileLimit(name, max)
	if err != nil {
		return nil, fmt.Errorf("--%s %q: %w", option, name, withoutPath(err))
	}
	return data, nil
}

// withoutPath returns the cause of an error of a file whose name is told
// already.
func withoutPath(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
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
		data, err := readOption("netrc-file", netrc, maxCredentials)
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
	data, err := readOption("header-file", n.header, maxCredentials)
	if err != nil {
		return nil, err
	}
	headers, err := parseHeaders(string(data), fetch.Origin(first))
	if err != nil {
		return nil, fmt.Errorf("%q: %w", n.header, err)
	}
	return append(list, headers...), nil
}

// parseHeaders reads lines "Name: value", and lines "[host]" that say for which
// origin the lines below are: an https one unless it begins with "http://".
// Those above are for the origin first, if there is one. Empty
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
			if !strings.Contains(host, "://") {
				host = "https://" + host
			}
			if host = fetch.Origin(host); host == "" {
				return nil, fmt.Errorf("line %d has no host, host:port or http://host:port", n)
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
// (ftp(1)). An entry is for its host at any port, or for HOST:PORT, as its
// machine says. A "default" entry is refused: it would give a password to
// whatever host is asked.
func parseNetrc(text string) ([]fetch.Credential, error) {
	var list []fetch.Credential
	words, err := netrcWords(text)
	if err != nil {
		return nil, err
	}
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

// netrcWords splits a netrc file as curl does: a word that begins with a
// quotation mark ends at the next, and has backslashes before marks and
// backslashes in it; a line that begins with # is a comment.
func netrcWords(text string) (words []string, err error) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		for ; line != ""; line = strings.TrimLeft(line, " \t") {
			if line[0] != '"' {
				end := strings.IndexAny(line, " \t")
				if end < 0 {
					end = len(line)
				}
				words, line = append(words, line[:end]), line[end:]
				continue
			}
			var word []byte
			i := 1
			for ; i < len(line) && line[i] != '"'; i++ {
				if line[i] == '\\' && i+1 < len(line) {
					i++
				}
				word = append(word, line[i])
			}
			if i == len(line) {
				return nil, errors.New("a quotation mark without its second")
			}
			words, line = append(words, string(word)), line[i+1:]
		}
	}
	return words, nil
}

// retryNotes tell of failures that are followed by another attempt, a line for
// each. On a terminal the first of each kind is a line; the others are one that
// is rewritten.
type retryNotes struct {
	ui     *ui
	also   func(fetch.Event) // hears of them too; nil: nobody
	mu     sync.Mutex
	told   map[fetch.Kind]bool
	waited time.Time // when waiting last told something
}

func (r *retryNotes) tell(e fetch.Event) {
	if r.also != nil {
		r.also(e)
	}
	next := fmt.Sprintf("attempt %d of %d", e.Attempt, e.Of)
	if e.Next != e.Err.URL {
		next = "trying " + printable(fetch.ShowURL(e.Next))
	}
	if e.Wait > 0 {
		next += " in " + seconds(e.Wait)
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
	if told && r.ui.transient(next+": "+text) {
		return
	}
	r.ui.warnf("%s; %s", text, next)
}

// waiting tells of a server that sends nothing, or is slow. Of several files that are
// waited for at the same time one is enough.
func (r *retryNotes) waiting(w fetch.Waiting) {
	now := time.Now()
	r.mu.Lock()
	again := now.Sub(r.waited) < time.Second
	if !again {
		r.waited = now
	}
	r.mu.Unlock()
	if again {
		return
	}
	text := fmt.Sprintf("waiting for %q, %s so far", fetch.ShowURL(w.URL), seconds(w.For))
	switch {
	case w.Got > 0 && w.Size > w.Got:
		text = fmt.Sprintf("%q: %s of %s so far", fetch.ShowURL(w.URL), byteCount(w.Got), byteCount(w.Size))
	case w.Got > 0:
		text = fmt.Sprintf("%q: %s so far", fetch.ShowURL(w.URL), byteCount(w.Got))
	case w.Left > 0:
		text = fmt.Sprintf("%q is asked again in %s", fetch.ShowURL(w.URL), seconds(w.Left))
	}
	if !r.ui.quiet && !r.ui.transient(text) {
		r.ui.line("%s", text)
	}
}

// proxySet reports whether the environment names a proxy.
func proxySet() bool {
	return slices.ContainsFunc([]string{"http_proxy", "https_proxy", "all_proxy"}, func(name string) bool {
		return os.Getenv(name)+os.Getenv(strings.ToUpper(name)) != ""
	})
}

// seconds is a time for people.
func seconds(d time.Duration) string {
	return strconv.Itoa(max(1, int(d.Round(time.Second)/time.Second))) + " s"
}
