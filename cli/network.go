package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"lxc-pull/fetch"
	"lxc-pull/pull/source"
)

// networkOptions say how to reach servers. Every command that does so takes them.
type networkOptions struct {
	limitRate  int64 // bytes per second
	retries    int   // as in fetch.LimitOptions
	stallTime  time.Duration
	ipv4, ipv6 bool
	dns        []string
	resolve    map[string][]string // addresses by host name
	time       time.Time           // zero: the clock's time
	files      struct {
		cacerts                  []string
		cert, key, header, netrc string
	}
	authorize func(ctx context.Context, url, challenge string) (string, error) // of fetch.Options
}

func (n *networkOptions) group() *group {
	return &group{"The network", []flag{
		{long: "limit-rate", value: "N", help: "download at most N bytes per second (200K, 2M)", into: &n.limitRate, exact: true, more: true},
		{long: "retries", value: "N", help: "retry after up to N failures in a row (default: 7)", into: n.setRetries, exact: true, more: true},
		{long: "stall-time", value: "N", help: "N seconds with almost no bytes are a failure (default: 30)", into: n.setStallTime, exact: true, more: true},
		{short: '4', long: "ipv4", help: "IPv4 only", into: &n.ipv4, exact: true, more: true},
		{short: '6', long: "ipv6", help: "IPv6 only", into: &n.ipv6, exact: true, more: true},
		{long: "cacert", value: "FILE", help: "also trust the certificates in FILE", into: &n.files.cacerts, again: true, exact: true, more: true},
		{long: "cert", value: "FILE", help: "this client's certificate; mirrors do not see it", into: &n.files.cert, exact: true, more: true},
		{long: "key", value: "FILE", help: "the key of that certificate", into: &n.files.key, exact: true, more: true},
		{long: "dns", value: "ADDRESS", help: "ask the name server at ADDRESS", into: &n.dns, again: true, exact: true, more: true},
		{long: "resolve", value: "HOST:ADDRESS", help: "connect to ADDRESS for HOST", into: n.addAddress, again: true, exact: true, more: true},
		{long: "time", value: "TIME", help: "take TIME for the current time, not the clock's", into: &n.time, exact: true, more: true},
		{long: "header-file", value: "FILE", help: "send the headers in FILE (\"Name: value\") to the first server, those below a line [ORIGIN] to that origin", into: &n.files.header, exact: true, more: true},
		{long: "netrc-file", value: "FILE", help: "users and passwords by host (default: the file in NETRC)", into: &n.files.netrc, exact: true, more: true},
	}}
}

// setRetries parses --retries. In fetch.LimitOptions 0 means the default, so no retry is -1.
func (n *networkOptions) setRetries(value string) (err error) {
	if n.retries, err = smallNumber(value); err == nil && n.retries == 0 {
		n.retries = -1
	}
	return err
}

// setStallTime parses --stall-time, in seconds.
func (n *networkOptions) setStallTime(value string) error {
	seconds, err := smallNumber(value)
	if err == nil && seconds == 0 {
		err = errors.New("must be at least 1 second")
	}
	n.stallTime = time.Duration(seconds) * time.Second
	return err
}

// addAddress parses --resolve, HOST:ADDRESS.
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

// client returns the HTTP client. It reads all files that the options name, so their errors
// come before the first request. servers are the URLs that may see the client's
// certificate; headers of --header-file without an origin go to the first of them. vouched
// says that the caller verifies a signature or a digest of everything that it downloads.
func (n *networkOptions) client(agent string, servers []string, clock *source.Clock, vouched bool, notes *retryNotes) (*fetch.Client, error) {
	credentials, err := n.credentials(servers[0])
	if err != nil {
		return nil, err
	}
	for _, name := range n.files.cacerts {
		if err := fetch.CheckCertificates(name); err != nil {
			cause := withoutPath(err)
			if cause == err { // its text names the file
				cause = errors.New(strings.TrimPrefix(err.Error(), strconv.Quote(name)+" "))
			}
			return nil, &fileError{option: "cacert", name: name, err: cause}
		}
	}
	certificate, err := n.certificate()
	if err != nil {
		return nil, err
	}
	var origins []string
	for _, u := range servers {
		addTo(&origins, fetch.Origin(u))
	}
	client, err := fetch.NewClient(fetch.Options{
		UserAgent:   agent,
		Credentials: credentials,
		Authorize:   n.authorize,
		Address:     fetch.AddressOptions{DNS: n.dns, Resolve: n.resolve, IPv4Only: n.ipv4, IPv6Only: n.ipv6},
		TLS: fetch.TLSOptions{
			CACerts: n.files.cacerts, Certificate: certificate, CertificateFor: origins,
			Now: clock.Now, ClockBehind: func() bool { return vouched && clock.Behind() },
		},
		Limits: fetch.LimitOptions{Rate: n.limitRate, Retries: n.retries, StallWindow: n.stallTime},
		Report: fetch.ReportOptions{
			Notify: notes.tell, Waiting: notes.waiting,
			Heard: func() time.Time { return time.Unix(0, notes.ui.heard.Load()) },
		},
	})
	if err != nil {
		return nil, usageErrorf("%v", err)
	}
	return client, nil
}

// certificate reads the files of --cert and --key, which may be one file. It returns nil if
// --cert is not given.
func (n *networkOptions) certificate() (*tls.Certificate, error) {
	if n.files.cert == "" {
		if n.files.key != "" {
			return nil, usageErrorf("--key needs --cert")
		}
		return nil, nil
	}
	certificate, err := readOption("cert", n.files.cert, maxCredentials)
	if err != nil {
		return nil, err
	}
	key := certificate
	if n.files.key != "" {
		if key, err = readOption("key", n.files.key, maxCredentials); err != nil {
			return nil, err
		}
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("--cert %q and its key: %w", n.files.cert, err)
	}
	return &pair, nil
}

// retryNotes tells the user about failed attempts that are retried. Each note is a line. On a
// terminal this holds for the first note of each kind, and later notes rewrite one line.
type retryNotes struct {
	ui     *ui
	also   func(fetch.Event) // is called for each failure, too; nil: nothing
	mu     sync.Mutex
	told   map[fetch.Kind]bool
	waited time.Time // when waiting last printed a line
}

func (r *retryNotes) tell(e fetch.Event) {
	if r.also != nil {
		r.also(e)
	}
	next := fmt.Sprintf("attempt %d of %d, next", e.Attempt-1, e.Of)
	if e.Next != e.Err.URL {
		next = "trying " + fetch.ShowURL(e.Next)
	}
	if e.Wait > 0 {
		next += " in " + seconds(e.Wait)
	}
	if e.Offset > 0 {
		next += ", from " + source.ByteCount(e.Offset) + " on"
	}
	r.mu.Lock()
	told := r.told[e.Err.Kind]
	if r.told == nil {
		r.told = map[fetch.Kind]bool{}
	}
	r.told[e.Err.Kind] = true
	r.mu.Unlock()
	text := e.Err.Error()
	if told && r.ui.transient(next+": "+text) {
		r.ui.events.send("warning", "code", "retry", "text", text+"; "+next)
		return
	}
	r.ui.warn("retry", "%s; %s", text, next)
}

// waiting tells the user that a server sends nothing or is slow. While several downloads
// wait at the same time, one line a second is enough.
func (r *retryNotes) waiting(w fetch.Waiting) {
	now := time.Now()
	r.mu.Lock()
	again := now.Sub(r.waited) < time.Second
	if !again {
		r.waited = now
	}
	r.mu.Unlock()
	if again || w.Got > 0 && r.ui.shows() { // the progress line says more
		return
	}
	text := fmt.Sprintf("waiting for %q, %s so far", fetch.ShowURL(w.URL), seconds(w.For))
	switch {
	case w.Got > 0 && w.Size > w.Got:
		text = fmt.Sprintf("%q: %s of %s so far", fetch.ShowURL(w.URL), source.ByteCount(w.Got), source.ByteCount(w.Size))
	case w.Got > 0:
		text = fmt.Sprintf("%q: %s so far", fetch.ShowURL(w.URL), source.ByteCount(w.Got))
	case w.Left > 0:
		text = fmt.Sprintf("%q is asked again in %s", fetch.ShowURL(w.URL), seconds(w.Left))
	}
	if !r.ui.quiet && !r.ui.transient(text) {
		r.ui.line("%s", text)
	}
}

// proxySet reports whether an environment variable names a proxy.
func proxySet() bool {
	for _, name := range [...]string{"http_proxy", "https_proxy", "all_proxy"} {
		if os.Getenv(name)+os.Getenv(strings.ToUpper(name)) != "" {
			return true
		}
	}
	return false
}

// seconds formats a duration in whole seconds, at least one.
func seconds(d time.Duration) string {
	return strconv.Itoa(max(1, int(d.Round(time.Second)/time.Second))) + " s"
}
