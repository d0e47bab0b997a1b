package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestPartOfUnknownSize has a server that sends parts of a file without its size. The
// stream must have the whole file or end with an error.
func TestPartOfUnknownSize(t *testing.T) {
	for _, test := range []struct {
		name       string
		size, part int
		extra      int // bytes in the response after the end of its range
		ok         bool
	}{
		{"large parts", 600_000, 100_000, 0, true},
		{"many large parts", 2_000_000, 70_000, 0, true},
		{"a few small parts", 5_000, 1_000, 0, true},
		{"too many small parts", 50_000, 1_000, 0, false},
		{"one part", 5_000, 10_000, 0, true},
		{"more than the range", 600_000, 100_000, 5, true},
	} {
		for _, pinned := range []bool{false, true} {
			data := file(test.size)
			first := true
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("ETag", `"one"`)
				if first {
					first = false
					w.Header().Set("Content-Type", "application/octet-stream")
					w.WriteHeader(200)
					w.(http.Flusher).Flush()
					w.Write(data[:1_000])
					w.(http.Flusher).Flush()
					panic(http.ErrAbortHandler)
				}
				var at int
				fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &at)
				if at >= len(data) {
					w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", len(data)))
					w.WriteHeader(416)
					return
				}
				end := min(at+test.part, len(data))
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/*", at, end-1))
				w.Header().Set("Content-Type", "application/octet-stream")
				w.WriteHeader(206)
				w.(http.Flusher).Flush() // without a Content-Length
				w.Write(data[at:end])
				w.Write(make([]byte, test.extra))
			}))
			body, err := newClient(t, Options{}).Open(t.Context(), Request{URLs: []string{s.URL}, Pinned: pinned})
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(body)
			body.Close()
			s.Close()
			if !bytes.HasPrefix(data, got) || (err == nil) != test.ok || err == nil && len(got) != len(data) {
				t.Errorf("%s, pinned %v: %d of %d bytes, %v", test.name, pinned, len(got), len(data), err)
			}
		}
	}
}

// TestRangeOfAnotherLength has a response whose length differs from that of its range.
func TestRangeOfAnotherLength(t *testing.T) {
	data := file(10_000)
	s := newServer(t, data, cut(1_000), func(_ *server, w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("ETag", `"one"`)
		w.Header().Set("Content-Range", "bytes 1000-9999/10000")
		w.Header().Set("Content-Length", "9010")
		w.WriteHeader(206)
		w.Write(make([]byte, 9010))
		return true
	})
	var kinds []Kind
	c := newClient(t, Options{Report: ReportOptions{Notify: func(e Event) { kinds = append(kinds, e.Err.Kind) }}})
	got, err := c.Get(t.Context(), s.URL, 1<<20)
	if err != nil || !bytes.Equal(got, data) || len(kinds) != 2 || kinds[1] != KindProtocol {
		t.Errorf("%d bytes, %v; %q", len(got), err, kinds)
	}
}

// TestOneBudget checks that Get makes as many attempts as Retries allows, whatever the
// failure, and that the waits together last the minute and a half of docs/fetching.md.
func TestOneBudget(t *testing.T) {
	hangUp := func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }
	short := func(etag string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if etag != "" {
				w.Header().Set("ETag", etag)
			}
			w.Header().Set("Content-Type", "application/octet-stream")
			w.Header().Set("Content-Length", "10")
			w.WriteHeader(200)
			io.WriteString(w, "12345")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
	}
	var changes atomic.Int64
	changing := func(w http.ResponseWriter, r *http.Request) {
		short(fmt.Sprintf("%q", fmt.Sprint(changes.Add(1))))(w, r)
	}
	for _, test := range []struct {
		name  string
		serve http.HandlerFunc
	}{
		{"hangs up", hangUp}, {"breaks off", short("")}, {"breaks off, with a validator", short(`"one"`)}, {"changes", changing},
		{"is down", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }},
	} {
		for _, retries := range []int{0, 2, -1} {
			var requests atomic.Int64
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				test.serve(w, r)
			}))
			s.Config.ErrorLog = quiet()
			s.Start()
			waited := time.Duration(0)
			c := newClient(t, Options{Limits: LimitOptions{Retries: retries}, Wait: func(_ context.Context, d time.Duration) error { waited += d; return nil }})
			_, err := c.Get(t.Context(), s.URL+"/x", 100)
			s.Close()
			want := map[int]int64{0: 8, 2: 3, -1: 1}[retries]
			if err == nil || requests.Load() != want || waited > 91*time.Second {
				t.Errorf("%s, retries %d: %d requests, %v of waiting, %v; want %d", test.name, retries, requests.Load(), waited, err, want)
			}
		}
	}
}

// TestCallerRestarts checks that Load does not start again if Request.CallerRestarts is set.
func TestCallerRestarts(t *testing.T) {
	n := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n++
		w.Header().Set("ETag", fmt.Sprintf("%q", fmt.Sprint(n)))
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", fmt.Sprint(10+n))
		io.WriteString(w, "12345")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer s.Close()
	_, _, err := newClient(t, Options{}).Load(t.Context(), Request{URLs: []string{s.URL}, Pinned: true, CallerRestarts: true})
	if kindOf(err) != KindChanged || n != 2 {
		t.Errorf("%v after %d requests", err, n)
	}
}

// TestThereAndBack checks that no credential is sent after redirects that left the
// origin and came back, since another server chose the last URL.
func TestThereAndBack(t *testing.T) {
	var home, away string
	home = handle(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/f" {
			http.Redirect(w, r, away, http.StatusFound)
			return
		}
		fmt.Fprintf(w, "%s|%s|%s", r.URL.Path, r.Header.Get("Authorization"), r.Header.Get("X-Token"))
	})
	away = handle(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, home+"/evil", http.StatusFound) })
	c := newClient(t, Options{Credentials: []Credential{{Host: "127.0.0.1", User: "u", Password: "p", Header: http.Header{"X-Token": {"T"}}}}})
	if data, err := c.Get(t.Context(), home+"/f", 100); string(data) != "/evil||" {
		t.Errorf("%q, %v", data, err)
	}
	if data, err := c.Get(t.Context(), strings.Replace(home, "//", "//u:p@", 1)+"/f", 100); string(data) != "/evil||" {
		t.Errorf("user and password of the URL: %q, %v", data, err)
	}
}

// TestDefaultPort checks that a credential for HOST:80 is also for http://HOST.
func TestDefaultPort(t *testing.T) {
	c := newClient(t, Options{Credentials: []Credential{{Host: "A.test:80", User: "u"}, {Host: "b.test:443", User: "u"}, {Host: "[::1]:80", User: "u"}}})
	for raw, want := range map[string]bool{
		"http://a.test/": true, "http://a.test:80/": true, "http://a.test:81/": false, "https://a.test/": false,
		"https://b.test/": true, "http://b.test/": false, "http://[::1]/": true,
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.header(u, true).Get("Authorization") != ""; got != want {
			t.Errorf("%s: %v", raw, got)
		}
	}
}

// TestRefusedRedirect checks that an error shows no secret of a Location.
func TestRefusedRedirect(t *testing.T) {
	hop, err := url.Parse("https://a.test/x")
	if err != nil {
		t.Fatal(err)
	}
	for _, location := range []string{
		"ftp://user:SECRET@h/x?token=SECRET", "http://user:SECRET@h/x?token=SECRET#SECRET", "http://u:SECRET@[::1/x",
		"file:///x?SECRET", "http:///x?SECRET", "http://h:x/?SECRET", "gopher:SECRET@h", "http://u:SEC%zzRET@h/?SECRET",
	} {
		if next, err := redirect(hop, location); err == nil || strings.Contains(err.Error(), "SEC") {
			t.Errorf("%q: %v, %v", location, next, err)
		}
	}
}

// rawServer starts a TCP server and returns its address. After the first bytes of a
// connection it sends text. Then it closes the connection, or waits if hang is true.
func rawServer(t *testing.T, text string, hang bool) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				conn.Read(make([]byte, 4096))
				io.WriteString(conn, text)
				if hang {
					io.Copy(io.Discard, conn)
				}
			}()
		}
	}()
	return listener.Addr().String()
}

// TestMalformed checks that an error shows nothing of a response that is not HTTP, since
// it may contain a secret.
func TestMalformed(t *testing.T) {
	for _, text := range []string{"SECRET\r\n\r\n", "HTTP/1.1 SECRET\r\n\r\n", "HTTP/1.1 200 OK\r\nSECRET\r\n\r\n", "HTTP/9.SECRET 200 OK\r\n\r\n"} {
		_, err := newClient(t, Options{Limits: LimitOptions{Retries: -1}}).Get(t.Context(), "http://"+rawServer(t, text, false)+"/x", 10)
		if kindOf(err) != KindProtocol || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestProxyBlamed checks that a failure of the proxy is not reported as one of the
// server, nor a failure of the server as one of the proxy.
func TestProxyBlamed(t *testing.T) {
	for name, proxy := range map[string]string{
		"hangs up": rawServer(t, "", false), "no HTTP": rawServer(t, "SSH-2.0-SECRET\r\n", false), "silent": rawServer(t, "", true),
	} {
		for _, target := range []string{"https://images.test/x", "http://images.test/x"} {
			// net/http allows CONNECT a minute; this context is shorter.
			c := newClient(t, Options{Limits: LimitOptions{Retries: -1, StallWindow: time.Second}, Paths: &Paths{}, Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: proxy, User: url.UserPassword("u", "SECRET")})})
			ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Second, errStalled)
			answer, _, err := c.do(ctx, &url.URL{Scheme: target[:strings.Index(target, ":")], Host: "images.test", Path: "/x"}, &requestFields{})
			cancel()
			var e *Error
			if !errors.As(err, &e) || e.Kind != KindProxy || e.Proxy != "http://"+proxy || !strings.Contains(err.Error(), proxy) || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%s, %s: %v, %v", name, target, answer, err)
			}
		}
	}
	// The proxy has connected to the server, and the server closes the connection.
	proxy := rawServer(t, "HTTP/1.1 200 OK\r\n\r\n", false)
	c := newClient(t, Options{Limits: LimitOptions{Retries: -1}, Paths: &Paths{}, Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: proxy})})
	if _, err := c.Get(t.Context(), "https://images.test/x", 10); kindOf(err) != KindTruncated || !strings.Contains(err.Error(), "through the proxy") {
		t.Errorf("a server behind a proxy: %v", err)
	}
}

// TestNeverSilent checks that the user hears something every fifteen seconds, while
// several files each come quickly, and while bytes come slowly.
func TestNeverSilent(t *testing.T) {
	slow := func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(9 * time.Second)
		w.Header().Set("Content-Type", "application/octet-stream")
		io.WriteString(w, "x")
	}
	quick := func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(4 * time.Second)
		w.Header().Set("Content-Type", "application/octet-stream")
		io.WriteString(w, "x")
	}
	trickle := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", "9000")
		for range 30 {
			w.Write(make([]byte, 300))
			w.(http.Flusher).Flush()
			select {
			case <-time.After(2 * time.Second):
			case <-r.Context().Done():
				return
			}
		}
	}
	for _, test := range []struct {
		name  string
		serve http.HandlerFunc
		files int
		got   bool // a report has Got
	}{{"slow answers", slow, 5, false}, {"many answers", quick, 20, false}, {"slow bytes", trickle, 1, true}} {
		t.Run(test.name, func(t *testing.T) {
			heard := make(chan time.Time, 1000)
			var got atomic.Int64
			opt := Options{Report: ReportOptions{Waiting: func(w Waiting) {
				heard <- time.Now()
				got.Store(max(got.Load(), w.Got))
			}}}
			inTime(t, test.serve, opt, func(t *testing.T, c *Client) {
				last := time.Now()
				for range test.files {
					if _, err := c.Get(t.Context(), "http://images.test/x", 10_000); err != nil {
						t.Error(err)
					}
					// Tail must report too.
					c.Tail(t.Context(), "http://images.test/x", 10)
				}
				heard <- time.Now()
				synctest.Wait()
				close(heard)
				for at := range heard {
					if silence := at.Sub(last); silence > 15*time.Second {
						t.Errorf("nothing was heard for %v", silence)
					}
					last = at
				}
				if test.got && got.Load() == 0 {
					t.Errorf("%d bytes were told of", got.Load())
				}
			})
		})
	}
}

// TestHeard checks that Waiting is not called while other parts of the program tell the
// user something.
func TestHeard(t *testing.T) {
	silent := func(w http.ResponseWriter, r *http.Request) { time.Sleep(25 * time.Second) }
	opt := Options{Report: ReportOptions{Heard: time.Now, Waiting: func(w Waiting) { t.Errorf("%+v", w) }}}
	inTime(t, silent, opt, func(t *testing.T, c *Client) { c.Get(t.Context(), "http://images.test/x", 10) })
}

// TestLooksHTML checks pages after an XML declaration and comments.
func TestLooksHTML(t *testing.T) {
	for text, want := range map[string]bool{
		"<!DOCTYPE html>": true, " \n<HTML>": true, "<?xml version=\"1.0\"?>\n<!DOCTYPE html PUBLIC>": true,
		"<!-- a --><!-- b --><html>": true, "<?xml version=\"1.0\"?><html xmlns=x>": true,
		"<?xml version=\"1.0\"?><Error>": false, "<!-- ": false, "<?xml": false, "": false, "debian;": false,
	} {
		if got := looksHTML([]byte(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// TestProxyReused checks that a slow server is not reported as a failure of the proxy if
// an earlier request opened the tunnel.
func TestProxyReused(t *testing.T) {
	slow := make(chan struct{})
	target, ca, _ := secure(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-slow
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		io.WriteString(w, "x")
	})
	defer close(slow)
	address, seen := proxy(t, "")
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, Options{TLS: TLSOptions{CACerts: []string{ca}}, Paths: &Paths{}, Proxy: http.ProxyURL(u), Limits: LimitOptions{Retries: -1, StallWindow: time.Second}})
	if _, err := c.Get(t.Context(), target+"/quick", 10); err != nil {
		t.Fatal(err)
	}
	_, err = c.Get(t.Context(), target+"/slow", 10)
	if kindOf(err) != KindTimeout || len(*seen) != 1 {
		t.Errorf("%v; the proxy saw %q", err, *seen)
	}
}

// TestProxyPatience checks the number of retries after a proxy closed the connection,
// and after a proxy refused it. The numbers are those for a server.
func TestProxyPatience(t *testing.T) {
	for _, test := range []struct {
		name, proxy string
		want        int
	}{{"breaks off", rawServer(t, "", false), defaultRetries}, {"is not there", closedPort(t), 2}} {
		for _, target := range []string{"http://images.test/x", "https://images.test/x"} {
			retries := 0
			c := newClient(t, Options{Paths: &Paths{}, Wait: noWait, Report: ReportOptions{Notify: func(Event) { retries++ }}, Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: test.proxy})})
			b, err := c.Open(t.Context(), Request{URLs: []string{target}})
			if kindOf(err) != KindProxy || retries != test.want {
				t.Errorf("%s, %s: %d retries, want %d (%v, %v)", test.name, target, retries, test.want, b, err)
			}
		}
	}
}

// TestWaitingSize checks that Waiting.Size has the size of the file once it is known.
func TestWaitingSize(t *testing.T) {
	serve := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", "9000")
		w.Write(make([]byte, 300))
		w.(http.Flusher).Flush()
		time.Sleep(25 * time.Second)
		w.Write(make([]byte, 8700))
	}
	var told []int64
	opt := Options{Report: ReportOptions{Waiting: func(w Waiting) { told = append(told, w.Size) }}}
	inTime(t, serve, opt, func(t *testing.T, c *Client) {
		if _, err := c.Get(t.Context(), "http://images.test/x", 10_000); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if fmt.Sprint(told) != "[9000 9000]" {
			t.Errorf("told %v", told)
		}
	})
}

// TestWaitingClosed checks that Waiting is not called after the stream was closed.
func TestWaitingClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 200 {
			var closed, late atomic.Bool
			c := newClient(t, Options{Report: ReportOptions{Waiting: func(Waiting) { late.Store(late.Load() || closed.Load()) }}})
			var w watcher
			w.url.Store("http://images.test/x")
			w.beginWait()
			w.start(t.Context(), c)
			time.Sleep(reportInterval) // the report and the stop are due at the same moment
			w.stop()
			closed.Store(true)
			synctest.Wait()
			if late.Load() {
				t.Fatal("said after the end")
			}
		}
	})
}
