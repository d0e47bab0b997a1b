package cli

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"lxc-pull/fetch"
	"lxc-pull/pull/source"
)

// networkOptions say how servers are asked, in every command that asks one.
type networkOptions struct {
	limitRate    int64
	retries      int // as in fetch.LimitOptions
	stallTime    time.Duration
	ipv4, ipv6   bool
	cacerts      []string
	dns          []string
	resolve      map[string][]string // addresses by host name
	time         time.Time           // zero: the clock's
	header, auth string              // --header-file, --netrc-file
	cert, key    string              // --cert, --key
}

// setRetries reads --retries. For fetch.LimitOptions 0 means the default.
func (n *networkOptions) setRetries(value string) (err error) {
	if n.retries, err = smallNumber(value); err == nil && n.retries == 0 {
		n.retries = -1
	}
	return err
}

// setStallTime reads --stall-time, in seconds.
func (n *networkOptions) setStallTime(value string) error {
	seconds, err := smallNumber(value)
	if err == nil && seconds == 0 {
		err = errors.New("must be at least 1 second")
	}
	n.stallTime = time.Duration(seconds) * time.Second
	return err
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
func (n *networkOptions) client(agent string, servers []string, clock *source.Clock, vouched bool, notes *retryNotes) (*fetch.Client, error) {
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
		UserAgent:   agent,
		Credentials: credentials,
		Address:     fetch.AddressOptions{DNS: n.dns, Resolve: n.resolve, IPv4Only: n.ipv4, IPv6Only: n.ipv6},
		TLS: fetch.TLSOptions{
			CACerts: n.cacerts, Certificate: certificate, CertificateFor: origins,
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
