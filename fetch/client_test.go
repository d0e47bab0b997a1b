package fetch

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// handle starts a server and returns its URL.
func handle(t *testing.T, f http.HandlerFunc) string {
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return s.URL
}

// send returns a handler that sends a body and header fields (names and values in turn).
func send(body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		io.WriteString(w, body)
	}
}

// closedPort returns an address at which no socket listens. The port stays bound
// during the test, so that no other socket gets it.
func closedPort(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
}

func TestErrorKinds(t *testing.T) {
	octets := []string{"Content-Type", "application/octet-stream"}
	notHTTP, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer notHTTP.Close()
	go func() {
		for {
			conn, err := notHTTP.Accept()
			if err != nil {
				return
			}
			conn.Read(make([]byte, 1))
			io.WriteString(conn, "SSH-2.0-OpenSSH_9.2\r\n")
			conn.Close()
		}
	}()
	refused := closedPort(t)
	tests := []struct {
		name, url string
		kind      Kind
		status    int
		text      string // the end of the error text
	}{
		{"refused", "http://" + refused + "/x", KindRefused, 0, `/x": connection refused: ` + refused},
		{"404", handle(t, http.NotFound), KindStatus, 404, "the server answered 404 Not Found"},
		{"403", handle(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }), KindStatus, 403, "the server answered 403 Forbidden"},
		{"503 for ever", handle(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }), KindStatus, 503, "the server answered 503 Service Unavailable"},
		{"come back tomorrow", handle(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(429)
		}), KindStatus, 429, "the server answered 429 Too Many Requests and asks to wait 1h0m0s"},
		{"a web page", handle(t, send("<p>", "Content-Type", "text/html; charset=utf-8")), KindHTML, 0, "a web page came instead of the file"},
		{"a web page in disguise", handle(t, send("\n <!DOCTYPE HTML>", octets...)), KindHTML, 0, "a web page came instead of the file"},
		{"encoded", handle(t, send("x", "Content-Encoding", "gzip", "Content-Type", "application/x-xz")), KindEncoding, 0, `unrequested Content-Encoding "gzip"`},
		{"too large, told", handle(t, send(strings.Repeat("x", 101), octets...)), KindTooLarge, 0, "the file is too large: at most 100 bytes are allowed"},
		{"too large, not told", handle(t, func(w http.ResponseWriter, _ *http.Request) {
			for range 101 {
				io.WriteString(w, "x")
				w.(http.Flusher).Flush()
			}
		}), KindTooLarge, 0, "the file is too large: at most 100 bytes are allowed"},
		{"always cut", handle(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "12345")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}), KindTruncated, 0, "the connection ended early: unexpected EOF"},
		{"not HTTP", "http://" + notHTTP.Addr().String(), KindProtocol, 0, `: malformed HTTP response`},
		{"a range unasked", handle(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 0-0/1")
			w.WriteHeader(206)
		}), KindProtocol, 0, `got range "bytes 0-0/1"`},
		{"204", handle(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }), KindStatus, 204, "the server answered 204 No Content"},
		{"300", handle(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(300) }), KindStatus, 300, "the server answered 300 Multiple Choices"},
		{"no URL", "", KindURL, 0, "a URL begins with https://, http:// or file:///"},
		{"no host name", "https:///x", KindURL, 0, "no host name in the URL"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			data, err := newClient(t, Options{}).Get(t.Context(), test.url, 100)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("%q, error %v", data, err)
			}
			if e.Kind != test.kind || e.Status != test.status || !strings.HasSuffix(err.Error(), test.text) {
				t.Errorf("kind %s, status %d, text %q; want %s, %d, ...%q", e.Kind, e.Status, err, test.kind, test.status, test.text)
			}
		})
	}
}

// TestKindOf checks that the Kind stays visible through %w and errors.Join.
func TestKindOf(t *testing.T) {
	e := &Error{Kind: KindStall}
	if k := kindOf(fmt.Errorf("x: %w", errors.Join(errors.New("y"), e))); k != KindStall {
		t.Errorf("kind %q", k)
	}
	if k := kindOf(errors.New("x")); k != "" {
		t.Errorf("kind %q of another error", k)
	}
}

func TestHTMLWelcome(t *testing.T) {
	u := handle(t, send("<!doctype html>x", "Content-Type", "text/html"))
	body, err := newClient(t, Options{}).Open(t.Context(), Request{URLs: []string{u}, HTML: true})
	if err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(body); string(data) != "<!doctype html>x" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
}

func TestEncodedSuffix(t *testing.T) {
	for name, want := range map[string]bool{"x.tar.gz": false, "x.tgz": false, "x.tar": true, "x.tar.xz": true, "x.gz/y": true} {
		if got := encoded(http.Header{"Content-Encoding": {"x-gzip"}}, &url.URL{Path: "/" + name}); got != want {
			t.Errorf("gzip of %s: %v, want %v", name, got, want)
		}
	}
}

func TestRedirects(t *testing.T) {
	elsewhere := handle(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "elsewhere %s|%s|%s", r.URL.Path, r.Header.Get("Authorization"), r.Header.Get("X-Token"))
	})
	var base string
	base = handle(t, func(w http.ResponseWriter, r *http.Request) {
		to := func(location string) {
			w.Header().Set("Location", location)
			w.WriteHeader(302)
		}
		switch path := r.URL.Path; path {
		case "/relative":
			to("there")
		case "/absolute":
			to(base + "/there")
		case "/elsewhere":
			to(elsewhere + "/x")
		case "/there-and-back":
			to(strings.Replace(base, "127.0.0.1", "localhost", 1) + "/back")
		case "/back":
			to(base + "/there")
		case "/circle":
			to("/circle")
		case "/nowhere":
			w.WriteHeader(301)
		case "/file":
			to("file:///etc/hostname")
		case "/ftp":
			to("ftp://127.0.0.1/")
		case "/broken":
			to("http://[::1")
		case "/user":
			to(strings.Replace(elsewhere, "//", "//u:p@", 1))
		case "/hundred":
			w.Header().Set("Location", "/there")
			w.WriteHeader(300)
		default:
			fmt.Fprintf(w, "%s|%s|%s", path, r.Header.Get("Authorization"), r.Header.Get("X-Token"))
		}
	})
	c := newClient(t, Options{Credentials: []Credential{{Host: "127.0.0.1", User: "Aladdin", Password: "open sesame", Header: http.Header{"x-token": {"T"}}}}})
	// The other server has the same host but another port, so its origin differs.
	const basic = "|Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==|T"
	tests := []struct {
		path, want string
		kind       Kind
	}{
		{"/there", "/there" + basic, ""},
		{"/relative", "/there" + basic, ""},
		{"/absolute", "/there" + basic, ""},
		{"/elsewhere", "elsewhere /x||", ""},
		{"/user", "elsewhere /||", ""},
		{"/circle", `": more than 10 redirects`, KindRedirect},
		{"/nowhere", `": a redirect without a Location`, KindRedirect},
		{"/file", `": a redirect to "file:///etc/hostname", which is neither http nor https`, KindRedirect},
		{"/ftp", `": a redirect to "ftp://127.0.0.1/", which is neither http nor https`, KindRedirect},
		{"/broken", `": a redirect to "http://[::1", which is not a URL`, KindRedirect},
		{"/hundred", `": the server answered 300 Multiple Choices`, KindStatus},
	}
	for _, test := range tests {
		data, err := c.Get(t.Context(), base+test.path, 1000)
		if test.kind == "" && (err != nil || string(data) != test.want) {
			t.Errorf("%s: %q, %v, want %q", test.path, data, err, test.want)
		}
		if test.kind != "" && (kindOf(err) != test.kind || !strings.HasSuffix(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %s %s", test.path, err, test.kind, test.want)
		}
	}
	withUser := strings.Replace(base, "//", "//u:secret@", 1)
	if data, err := c.Get(t.Context(), withUser+"/there", 100); string(data) != "/there|Basic dTpzZWNyZXQ=|T" {
		t.Errorf("user and password of the URL: %q, %v", data, err)
	}
	if _, err := c.Get(t.Context(), withUser+"/circle", 100); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("the message shows the password: %v", err)
	}
	if _, err := c.Get(t.Context(), "http://u:secret@127.0.0.1:x/", 100); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("the message shows the password: %v", err)
	}
	if data, err := c.Get(t.Context(), elsewhere, 100); string(data) != "elsewhere /"+basic {
		t.Errorf("a credential without a port goes to every port asked for: %q, %v", data, err)
	}
	host := strings.TrimPrefix(base, "http://")
	c = newClient(t, Options{Credentials: []Credential{{Host: host, User: "u"}}})
	if data, err := c.Get(t.Context(), elsewhere, 100); string(data) != "elsewhere /||" {
		t.Errorf("a credential of another port: %q, %v", data, err)
	}
}

func TestUserAgent(t *testing.T) {
	u := handle(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%q %q", r.Header["User-Agent"], r.Header["Accept-Encoding"])
	})
	for agent, want := range map[string]string{"": `[] ["identity"]`, "lxc-pull/1 compat:7": `["lxc-pull/1 compat:7"] ["identity"]`} {
		if data, err := newClient(t, Options{UserAgent: agent}).Get(t.Context(), u, 100); string(data) != want {
			t.Errorf("agent %q: %s, %v, want %s", agent, data, err, want)
		}
	}
}

// secure starts a TLS server. It returns the URL, a file with the certificate, and the
// server.
func secure(t *testing.T, f http.HandlerFunc) (url, certificate string, server *httptest.Server) {
	s := httptest.NewUnstartedServer(f)
	s.Config.ErrorLog = quiet()
	s.StartTLS()
	t.Cleanup(s.Close)
	certificate = filepath.Join(t.TempDir(), "ca.pem")
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(certificate, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return s.URL, certificate, s
}

func TestTLS(t *testing.T) {
	plain := handle(t, send("plain"))
	var base string
	base, ca, server := secure(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/down" {
			w.Header().Set("Location", plain)
			w.WriteHeader(302)
			return
		}
		io.WriteString(w, "secure")
	})
	up := handle(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", base)
		w.WriteHeader(302)
	})
	none := &Paths{}
	begins, ends := server.Certificate().NotBefore, server.Certificate().NotAfter
	at := func(now time.Time) func() time.Time { return func() time.Time { return now } }
	other := strings.Replace(base, "127.0.0.1", "images.test", 1)
	tests := []struct {
		name, url, want string
		opt             Options
		kind            Kind
		text            string
	}{
		{"trusted", base, "secure", Options{TLS: TLSOptions{CACerts: []string{ca}}, Paths: none}, "", ""},
		{"by a store", base, "secure", Options{Paths: &Paths{Stores: []Store{{Files: []string{"/nowhere", ca}}}}}, "", ""},
		{"by a directory", base, "secure", Options{Paths: &Paths{Stores: []Store{{Dirs: []string{"/nowhere", filepath.Dir(ca)}}}}}, "", ""},
		{"unknown", base, "", Options{Paths: none}, KindAuthority, `signed by an unknown authority: "O=Acme Co"`},
		{"wrong name", other, "", Options{TLS: TLSOptions{CACerts: []string{ca}}, Paths: none, Address: AddressOptions{Resolve: map[string][]string{"images.test": {"127.0.0.1"}}}}, KindName, `not for "images.test"`},
		{"1970", base, "", Options{TLS: TLSOptions{CACerts: []string{ca}, Now: at(begins.Add(-time.Hour))}, Paths: none}, KindClock, ""},
		{"the clock is right at last", base, "secure", Options{TLS: TLSOptions{CACerts: []string{ca}, Now: at(begins.Add(time.Hour))}, Paths: none}, "", ""},
		{"expired", base, "", Options{TLS: TLSOptions{CACerts: []string{ca}, Now: at(ends.Add(time.Hour))}, Paths: none}, KindExpired, "the clock says 2084-01-29 17:00"},
		{"no TLS there", strings.Replace(plain, "http:", "https:", 1), "", Options{Paths: none}, KindSpeaksHTTP, "speaks plain http"},
		{"TLS there", strings.Replace(base, "https:", "http:", 1), "", Options{Paths: none}, KindSpeaksTLS, "speaks https"},
		{"to http", base + "/down", "", Options{TLS: TLSOptions{CACerts: []string{ca}}, Paths: none}, KindRedirect, "from https to http"},
		{"from http", up, "secure", Options{TLS: TLSOptions{CACerts: []string{ca}}, Paths: none}, "", ""},
		{"a file without certificates", base, "", Options{TLS: TLSOptions{CACerts: []string{"/dev/null"}}, Paths: none}, KindFile, `"/dev/null" is not a regular file`},
		{"an empty store that must be", base, "", Options{Paths: &Paths{Stores: []Store{{Name: "here", Must: true}, {Files: []string{ca}}}}}, KindFile, "here: no certificate found"},
		{"an empty store that must be, and a file", base, "secure", Options{TLS: TLSOptions{CACerts: []string{ca}}, Paths: &Paths{Stores: []Store{{Name: "here", Must: true}}}}, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			data, err := newClient(t, test.opt).Get(t.Context(), test.url, 100)
			if string(data) != test.want || kindOf(err) != test.kind || err != nil && !strings.Contains(err.Error(), test.text) {
				t.Errorf("%q, %v; want %q, kind %q, %q", data, err, test.want, test.kind, test.text)
			}
		})
	}
}

// TestTrust checks which store is used, and that no store is read before the first
// https request.
func TestTrust(t *testing.T) {
	base, ca, _ := secure(t, send("secure"))
	plain := handle(t, send("plain"))
	a, b := Store{Name: "A", Files: []string{ca}}, Store{Name: "B", Files: []string{ca}}
	empty := Store{Name: "empty", Files: []string{"/nowhere"}, Dirs: []string{t.TempDir()}}
	for _, test := range []struct {
		stores []Store
		want   string
	}{
		{[]Store{a, b}, "A"},
		{[]Store{empty, b}, "B"},
		{[]Store{empty}, "the embedded roots"},
		{nil, "the embedded roots"},
	} {
		c := newClient(t, Options{Paths: &Paths{Stores: test.stores}})
		if _, err := c.Get(t.Context(), plain, 10); err != nil {
			t.Fatal(err)
		}
		if got := c.Trust(); got != "" {
			t.Errorf("certificates of %q are read for plain http", got)
		}
		c.Get(t.Context(), base, 10)
		if got := c.Trust(); got != test.want {
			t.Errorf("trusts %q, want %q", got, test.want)
		}
	}
}

func TestSystemPaths(t *testing.T) {
	none := SystemPaths(func(string) string { return "" })
	if none.ResolvConf[0] != "/etc/resolv.conf" || len(none.ResolvConf) != 1 || none.Stores[0].Name != "the system" {
		t.Errorf("%+v", none)
	}
	env := map[string]string{"SSL_CERT_DIR": "/a:/b", "PREFIX": "/data/usr"}
	set := SystemPaths(func(name string) string { return env[name] })
	if s := set.Stores[0]; !s.Must || len(s.Files) != 0 || fmt.Sprint(s.Dirs) != "[/a /b]" {
		t.Errorf("store of the environment: %+v", s)
	}
	if got := set.ResolvConf[1]; got != "/data/usr/etc/resolv.conf" {
		t.Errorf("Termux's resolv.conf: %q", got)
	}
	if got := set.Stores[2].Files[0]; got != "/data/usr/etc/tls/cert.pem" {
		t.Errorf("Termux's certificates: %q", got)
	}
}

// proxy starts an HTTP proxy that requires a password, unless password is "". It
// accepts CONNECT and requests with an absolute URL.
func proxy(t *testing.T, password string) (address string, seen *[]string) {
	seen = new([]string)
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte("user:"+password))
	return handle(t, func(w http.ResponseWriter, r *http.Request) {
		*seen = append(*seen, r.Method+" "+r.Host)
		if password != "" && r.Header.Get("Proxy-Authorization") != want {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		if r.Method != http.MethodConnect {
			fmt.Fprintf(w, "through the proxy to %s, authorization %q", r.URL.Host, r.Header.Get("Proxy-Authorization")[:6])
			return
		}
		there, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		here, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { io.Copy(there, buffered); there.Close() }()
		go func() { io.Copy(here, there); here.Close() }()
	}), seen
}

func TestProxy(t *testing.T) {
	target, ca, _ := secure(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "secure %q", r.Header.Get("Proxy-Authorization"))
	})
	host := strings.TrimPrefix(target, "https://")
	address, seen := proxy(t, "secret")
	through := func(user string) Options {
		u, err := url.Parse(strings.Replace(address, "//", "//"+user, 1))
		if err != nil {
			t.Fatal(err)
		}
		return Options{TLS: TLSOptions{CACerts: []string{ca}}, Paths: &Paths{}, Proxy: http.ProxyURL(u)}
	}
	data, err := newClient(t, through("user:secret@")).Get(t.Context(), target, 100)
	if string(data) != `secure ""` || err != nil {
		t.Errorf("https: %q, %v", data, err)
	}
	if got, want := fmt.Sprint(*seen), "[CONNECT "+host+"]"; got != want {
		t.Errorf("the proxy saw %s, want %s", got, want)
	}
	data, err = newClient(t, through("user:secret@")).Get(t.Context(), "http://images.test/x", 100)
	if string(data) != `through the proxy to images.test, authorization "Basic "` || err != nil {
		t.Errorf("http: %q, %v", data, err)
	}
	for _, target := range []string{target, "http://images.test/x"} {
		_, err = newClient(t, through("")).Get(t.Context(), target, 100)
		var e *Error
		if !errors.As(err, &e) || e.Status != 407 || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s without a password: %v", target, err)
		}
	}
	_, err = newClient(t, through("user:secret@")).Get(t.Context(), "https://"+closedPort(t), 100)
	if e := new(Error); !errors.As(err, &e) || e.Kind != KindProxy || e.Status != 502 {
		t.Errorf("a proxy that can't connect: %v", err)
	}
	nobody, err := url.Parse("http://" + closedPort(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{target, "http://images.test/x"} {
		_, err = newClient(t, Options{Paths: &Paths{}, Proxy: http.ProxyURL(nobody)}).Get(t.Context(), target, 100)
		if kindOf(err) != KindProxy || !strings.Contains(err.Error(), nobody.Host) {
			t.Errorf("no proxy there: %v", err)
		}
	}
	broken := Options{Proxy: func(*http.Request) (*url.URL, error) { return nil, errors.New("x") }}
	if _, err = newClient(t, broken).Get(t.Context(), "http://images.test/x", 100); kindOf(err) != KindSettings {
		t.Errorf("a proxy that is no URL: %v", err)
	}
}

// pipes is a net.Listener for connections in memory, for tests with synthetic time
// (testing/synctest).
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	conn, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}
func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (p pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p <- there:
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// inTime runs a test against a server in memory, in a synctest bubble: time passes only
// while all goroutines wait.
func inTime(t *testing.T, handler http.HandlerFunc, opt Options, test func(t *testing.T, c *Client)) {
	synctest.Test(t, func(t *testing.T) {
		p := make(pipes)
		server := &http.Server{Handler: handler, ErrorLog: quiet()}
		go server.Serve(p)
		opt.Wait = wait
		c := newClient(t, opt)
		c.pools.plain.DialContext = p.dial
		test(t, c)
		c.Close()
		server.Close()
	})
}

func TestStall(t *testing.T) {
	data := file(10_000)
	// drip serves chunks with pauses between them, and later requests at once.
	drip := func(chunk int, pause time.Duration) http.HandlerFunc {
		first := true
		return func(w http.ResponseWriter, r *http.Request) {
			if !first {
				http.ServeContent(w, r, "x.bin", time.Unix(1, 0), bytes.NewReader(data))
				return
			}
			first = false
			w.Header().Set("Last-Modified", time.Unix(1, 0).UTC().Format(http.TimeFormat))
			w.Header().Set("Content-Length", fmt.Sprint(len(data)))
			for at := 0; at < len(data); at += chunk {
				if _, err := w.Write(data[at : at+chunk]); err != nil {
					return
				}
				w.(http.Flusher).Flush()
				select {
				case <-r.Context().Done():
					return
				case <-time.After(pause):
				}
			}
		}
	}
	tests := []struct {
		name  string
		serve http.HandlerFunc
		stall bool
	}{
		{"silence", drip(5000, time.Hour), true},
		{"99 bytes per second", drip(500, 500*time.Second/99), true},
		{"101 bytes per second", drip(500, 500*time.Second/101), false},
		{"in bursts", drip(5000, 29*time.Second), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var events []Event
			inTime(t, test.serve, Options{Report: ReportOptions{Notify: func(e Event) { events = append(events, e) }}}, func(t *testing.T, c *Client) {
				body, err := c.Open(t.Context(), Request{URLs: []string{"http://images.test/x"}})
				if err != nil {
					t.Fatal(err)
				}
				defer body.Close()
				got, err := io.ReadAll(body)
				if err != nil || !bytes.Equal(got, data) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			})
			stalled := len(events) == 1 && events[0].Err.Kind == KindStall && events[0].Offset > 0
			if stalled != test.stall || len(events) > 1 {
				t.Errorf("events %+v, want a stall: %v", events, test.stall)
			}
		})
	}
}

// TestSlowReader checks that a slow reader does not count as a stalled network.
func TestSlowReader(t *testing.T) {
	data := file(1 << 20)
	serve := func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "x.bin", time.Unix(1, 0), bytes.NewReader(data))
	}
	inTime(t, serve, Options{Report: ReportOptions{Notify: func(e Event) { t.Errorf("event %+v", e) }}}, func(t *testing.T, c *Client) {
		body, err := c.Open(t.Context(), Request{URLs: []string{"http://images.test/x"}})
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		buf := make([]byte, 64<<10)
		n := 0
		for {
			k, err := body.Read(buf)
			n += k
			if err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
		}
		if n != len(data) {
			t.Errorf("%d bytes", n)
		}
	})
}

func TestNoAnswer(t *testing.T) {
	silent := func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	inTime(t, silent, Options{Limits: LimitOptions{Retries: -1}}, func(t *testing.T, c *Client) {
		start := time.Now()
		_, err := c.Get(t.Context(), "http://images.test/x", 10)
		if kindOf(err) != KindTimeout || time.Since(start) != 30*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestLimitRate(t *testing.T) {
	data := file(100_000)
	serve := func(w http.ResponseWriter, r *http.Request) { w.Write(data) }
	inTime(t, serve, Options{Limits: LimitOptions{Rate: 10_000}}, func(t *testing.T, c *Client) {
		start := time.Now()
		if _, err := c.Get(t.Context(), "http://images.test/x", 1<<20); err != nil {
			t.Error(err)
		}
		if d := time.Since(start).Round(time.Second); d != 10*time.Second {
			t.Errorf("100000 bytes at 10000 a second took %v", d)
		}
	})
}

// TestBackoff checks the waiting times after repeated failures of a server.
func TestBackoff(t *testing.T) {
	var waits []time.Duration
	opt := Options{Wait: func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil }}
	u := handle(t, func(w http.ResponseWriter, r *http.Request) {
		if len(waits) == 2 {
			w.Header().Set("Retry-After", "77")
		}
		w.WriteHeader(503)
	})
	if _, err := newClient(t, opt).Get(t.Context(), u, 10); err == nil {
		t.Fatal("no error")
	}
	if len(waits) != 7 {
		t.Fatalf("%d waits: %v", len(waits), waits)
	}
	for i, most := range []time.Duration{1, 2, 77, 8, 16, 30, 30} {
		most *= time.Second
		if waits[i] > most || waits[i] < most/2 || i == 2 && waits[i] != most {
			t.Errorf("wait %d is %v, want %v to %v", i, waits[i], most/2, most)
		}
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	opt := Options{Wait: func(ctx context.Context, _ time.Duration) error { cancel(); return ctx.Err() }}
	u := handle(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	if _, err := newClient(t, opt).Get(ctx, u, 10); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled while waiting: %v", err)
	}
	u = handle(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	ctx, cancel = context.WithCancel(t.Context())
	body, err := newClient(t, Options{}).Open(ctx, Request{URLs: []string{u}})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	for range 2 {
		if _, err := io.ReadAll(body); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled while reading: %v", err)
		}
	}
	body.Close()
	body, err = newClient(t, Options{}).Open(t.Context(), Request{URLs: []string{u}})
	if err != nil {
		t.Fatal(err)
	}
	body.Close()
	if _, err := body.Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("read after Close: %v", err)
	}
}

// quiet returns a logger that discards everything.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// Once asks once, and reports nothing.
func TestOnce(t *testing.T) {
	asked := 0
	url := handle(t, func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, "text")
	})
	c, err := NewClient(Options{Report: ReportOptions{Notify: func(e Event) { t.Errorf("reported: %+v", e) }}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	request := Request{URLs: []string{url}, Max: 100}
	var failed *Error
	if _, err := c.Once(t.Context(), request); !errors.As(err, &failed) || failed.Status != 503 || asked != 1 {
		t.Errorf("%v after %d requests", err, asked)
	}
	if data, err := c.Once(t.Context(), request); err != nil || string(data) != "text" {
		t.Errorf("%q, %v", data, err)
	}
	c = nil
	if _, err := c.Once(t.Context(), request); !errors.As(err, &failed) || failed.Kind != KindUnreachable {
		t.Errorf("without a client: %v", err)
	}
}

// A file that a server does not have costs no connection: the page of the answer is read.
func TestMissingKeepsConnection(t *testing.T) {
	connections := 0
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/missing" {
			http.NotFound(w, r)
		}
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections++
		}
	}
	s.Start()
	defer s.Close()
	c, err := NewClient(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, path := range []string{"/missing", "/there", "/missing", "/missing"} {
		c.Get(t.Context(), s.URL+path, 100)
	}
	if connections != 1 {
		t.Errorf("%d connections", connections)
	}
}
