package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// kindOf returns the Kind of err, or "" if err is not an *Error.
func kindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

// noWait implements Options.Wait without waiting.
func noWait(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// newClient returns a Client that does not wait and whose jitter is repeatable.
func newClient(t *testing.T, opt Options) *Client {
	t.Helper()
	if opt.Wait == nil {
		opt.Wait = noWait
	}
	opt.Seed = 1
	if opt.Proxy == nil {
		opt.Proxy = http.ProxyURL(nil)
	}
	c, err := NewClient(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// file returns n random bytes, the same in each call, for test servers.
func file(n int) []byte {
	data := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(data)
	return data
}

// A server serves one file and records the requests.
type server struct {
	*httptest.Server
	data     []byte
	etag     string
	modified string
	noRanges bool
	noLength bool
	script   []fault // one fault for each request; later requests have none
	mu       sync.Mutex
	requests []string // "Range|If-Range" of each request
	log      *history // the Range of each request, shared by several servers
}

// A fault responds to a request instead of the server. It returns false to let the
// server respond; it may have changed the request or the server.
type fault func(s *server, w http.ResponseWriter, r *http.Request) bool

// A history records the requests to several servers, in order.
type history struct {
	mu   sync.Mutex
	list []string
}

func (h *history) add(s string) {
	if h != nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.list = append(h.list, s)
	}
}

// change replaces the served file.
func (s *server) change(data []byte, etag string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data, s.etag = data, etag
}

func newServer(t *testing.T, data []byte, script ...fault) *server {
	s := &server{data: data, etag: `"one"`, script: script}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.Header.Get("Range")+"|"+r.Header.Get("If-Range"))
	s.log.add(r.Header.Get("Range"))
	var f fault
	if len(s.script) > 0 {
		f, s.script = s.script[0], s.script[1:]
	}
	s.mu.Unlock()
	if f != nil && f(s, w, r) {
		return
	}
	s.serve(w, r)
}

func (s *server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	data, etag := s.data, s.etag
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/octet-stream")
	if etag != "" {
		w.Header().Set("ETag", etag)
	}
	if s.noRanges {
		r.Header.Del("Range")
	}
	if s.noLength {
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		w.Write(data)
		return
	}
	modified, _ := http.ParseTime(s.modified)
	http.ServeContent(w, r, "", modified, bytes.NewReader(data))
}

// cut sends the right response, but closes the connection after n bytes of the body.
func cut(n int) fault {
	return func(s *server, w http.ResponseWriter, r *http.Request) bool {
		s.serve(&cutter{ResponseWriter: w, left: n}, r)
		panic(http.ErrAbortHandler)
	}
}

type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	n, _ := c.ResponseWriter.Write(p[:min(len(p), c.left)])
	if c.left -= n; c.left == 0 {
		c.ResponseWriter.(http.Flusher).Flush()
		return n, errors.New("cut")
	}
	return n, nil
}

// status sends a status and header fields (names and values in turn).
func status(code int, header ...string) fault {
	return func(_ *server, w http.ResponseWriter, _ *http.Request) bool {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		return true
	}
}

func TestResume(t *testing.T) {
	data := file(300_000)
	tests := []struct {
		name     string
		set      func(*server)
		script   []fault
		requests []string
	}{
		{"whole", nil, nil, []string{"|"}},
		{"cut once", nil, []fault{cut(100_000)}, []string{"|", `bytes=100000-|"one"`}},
		{"cut twice", nil, []fault{cut(1), cut(99_999)}, []string{"|", `bytes=1-|"one"`, `bytes=100000-|"one"`}},
		{"by date", func(s *server) { s.etag, s.modified = "", "Mon, 02 Jan 2006 15:04:05 GMT" },
			[]fault{cut(70_000)}, []string{"|", "bytes=70000-|Mon, 02 Jan 2006 15:04:05 GMT"}},
		{"no ranges, same file", func(s *server) { s.noRanges = true },
			[]fault{cut(70_000)}, []string{"|", `bytes=70000-|"one"`}},
		{"refused at first", nil, []fault{status(503), status(500), status(429, "Retry-After", "3")}, []string{"|", "|", "|", "|"}},
		{"416 in the middle", nil, []fault{cut(70_000), status(416)}, []string{"|", `bytes=70000-|"one"`, "|"}},
		{"wrong range", nil, []fault{cut(70_000), func(s *server, w http.ResponseWriter, r *http.Request) bool {
			r.Header.Set("Range", "bytes=69999-")
			return false
		}}, []string{"|", `bytes=70000-|"one"`, "|"}},
		{"short range", nil, []fault{cut(70_000), func(s *server, w http.ResponseWriter, r *http.Request) bool {
			r.Header.Set("Range", "bytes=70000-79999")
			return false
		}}, []string{"|", `bytes=70000-|"one"`, `bytes=80000-|"one"`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newServer(t, data, test.script...)
			if test.set != nil {
				test.set(s)
			}
			body, err := newClient(t, Options{}).Open(t.Context(), Request{URLs: []string{s.URL}})
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			if body.Size != int64(len(data)) {
				t.Errorf("Size = %d, want %d", body.Size, len(data))
			}
			got, err := io.ReadAll(body)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, data) {
				t.Errorf("%d bytes that differ from the %d served", len(got), len(data))
			}
			if fmt.Sprint(s.requests) != fmt.Sprint(test.requests) {
				t.Errorf("requests %q, want %q", s.requests, test.requests)
			}
		})
	}
}

func TestFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a b")
	if err := os.WriteFile(name, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, Options{})
	got, err := c.Get(t.Context(), "file://"+strings.ReplaceAll(name, " ", "%20"), 10)
	if err != nil || string(got) != "hello" {
		t.Errorf("Get = %q, %v", got, err)
	}
	for url, want := range map[string]Kind{
		"file://" + name + "x":    KindFile,
		"file:///dev":             KindFile,
		"file://elsewhere/x":      KindURL,
		"file:x":                  KindURL,
		"ftp://127.0.0.1/x":       KindURL,
		"http:///x":               KindURL,
		"http://127.0.0.1:x/":     KindURL,
		"lxc-pull":                KindURL,
		"file://" + name + "?a#b": KindTooLarge,
	} {
		if _, err := c.Get(t.Context(), url, 4); kindOf(err) != want {
			t.Errorf("%s: %v, want kind %s", url, err, want)
		}
	}
}

// TestMirrors checks that a pinned stream continues at another server.
func TestMirrors(t *testing.T) {
	data := file(300_000)
	page := func(_ *server, w http.ResponseWriter, r *http.Request) bool {
		send("<html>", "Content-Type", "text/html")(w, r)
		return true
	}
	tests := []struct {
		name          string
		first, second []fault
		set           func(first, second *server)
		requests      [2][]string
		sources       int
	}{
		{"the first", nil, nil, nil, [2][]string{{"|"}, nil}, 1},
		{"not there", []fault{status(404)}, nil, nil, [2][]string{{"|"}, {"|"}}, 1},
		{"a portal", []fault{page}, nil, nil, [2][]string{{"|"}, {"|"}}, 1},
		{"overloaded", []fault{status(503)}, nil, nil, [2][]string{{"|"}, {"|"}}, 1},
		{"cut once", []fault{cut(100_000)}, nil, nil, [2][]string{{"|", `bytes=100000-|"one"`}, nil}, 1},
		{"cut, then gone", []fault{cut(100_000), status(404)}, nil, nil,
			[2][]string{{"|", `bytes=100000-|"one"`}, {"bytes=100000-|"}}, 2},
		{"cut, then another file", []fault{cut(100_000)}, nil, func(first, _ *server) {
			first.script = append(first.script, func(s *server, _ http.ResponseWriter, _ *http.Request) bool {
				s.change(file(299_999), `"two"`)
				return false
			})
		}, [2][]string{{"|", `bytes=100000-|"one"`}, {"bytes=100000-|"}}, 2},
		{"cut, and no ranges: the other spares the bytes", []fault{cut(100_000)}, nil,
			func(first, _ *server) { first.noRanges = true },
			[2][]string{{"|", `bytes=100000-|"one"`}, {"bytes=100000-|"}}, 2},
		{"no ranges anywhere", []fault{cut(100_000)}, nil,
			func(first, second *server) { first.noRanges, second.noRanges = true, true },
			[2][]string{{"|", `bytes=100000-|"one"`}, {"bytes=100000-|"}}, 2},
		{"there and back", []fault{cut(100_000), status(502)}, []fault{cut(100_000), status(500)}, nil,
			[2][]string{{"|", `bytes=100000-|"one"`, `bytes=200000-|"one"`}, {"bytes=100000-|", `bytes=200000-|"one"`}}, 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			first, second := newServer(t, data, test.first...), newServer(t, data, test.second...)
			if test.set != nil {
				test.set(first, second)
			}
			urls := []string{first.URL + "/a", second.URL + "/b"}
			body, err := newClient(t, Options{}).Open(t.Context(), Request{URLs: urls, Pinned: true})
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			got, err := io.ReadAll(body)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes of %d, %v", len(got), len(data), err)
			}
			if got, want := fmt.Sprint(first.requests, second.requests), fmt.Sprint(test.requests[0], test.requests[1]); got != want {
				t.Errorf("requests %s, want %s", got, want)
			}
			if len(body.Sources()) != test.sources {
				t.Errorf("bytes of %v, want of %d", body.Sources(), test.sources)
			}
		})
	}
}

// TestMirrorErrors checks that the error has the cause of each server.
func TestMirrorErrors(t *testing.T) {
	urls := []string{newServer(t, nil, status(404)).URL, "http://" + closedPort(t)}
	_, err := newClient(t, Options{}).Open(t.Context(), Request{URLs: urls, Pinned: true})
	want := fmt.Sprintf("%q: the server answered 404 Not Found\n%q: connection refused: %s", urls[0], urls[1], urls[1][7:])
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

// TestNotPinned checks that an unpinned stream continues only with a file that is
// provably the same.
func TestNotPinned(t *testing.T) {
	data := file(300_000)
	other := func(s *server, _ http.ResponseWriter, _ *http.Request) bool {
		s.change(file(300_001), `"two"`)
		return false
	}
	weak := func(s *server) { s.etag = `W/"one"` }
	tests := []struct {
		name   string
		script []fault
		set    func(*server)
		kind   Kind
	}{
		{"changed", []fault{cut(100_000), other}, nil, KindChanged},
		{"only a weak tag", []fault{cut(100_000)}, weak, KindTruncated},
		{"nothing to tell it by", []fault{cut(100_000)}, func(s *server) { s.etag = "" }, KindTruncated},
		{"gone", []fault{cut(100_000), status(404)}, nil, KindStatus},
		{"shorter now", []fault{cut(100_000), func(s *server, w http.ResponseWriter, _ *http.Request) bool {
			return status(416, "Content-Range", "bytes */99999")(s, w, nil)
		}}, nil, KindChanged},
		{"another one without ranges", []fault{cut(100_000), func(s *server, w http.ResponseWriter, r *http.Request) bool {
			r.Header.Del("Range")
			s.change(s.data, `"two"`)
			return false
		}}, nil, KindChanged},
		{"a range of another one", []fault{cut(100_000), func(s *server, w http.ResponseWriter, r *http.Request) bool {
			r.Header.Del("If-Range")
			s.change(s.data, `"two"`)
			return false
		}}, nil, KindChanged},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newServer(t, data, test.script...)
			if test.set != nil {
				test.set(s)
			}
			// The second URL must not be asked for the rest of the file.
			never := newServer(t, data)
			body, err := newClient(t, Options{}).Open(t.Context(), Request{URLs: []string{s.URL, never.URL}})
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			got, err := io.ReadAll(body)
			if kindOf(err) != test.kind || !bytes.Equal(got, data[:100_000]) {
				t.Errorf("%d bytes, %v; want 100000 and kind %s", len(got), err, test.kind)
			}
			if len(never.requests) != 0 {
				t.Errorf("the other URL was asked for %q", never.requests)
			}
		})
	}
}

// TestGetAgain checks that Get fetches a file again if the stream can't continue.
func TestGetAgain(t *testing.T) {
	data := file(1000)
	s := newServer(t, data, cut(500), cut(400))
	s.etag = ""
	got, err := newClient(t, Options{}).Get(t.Context(), s.URL, 1000)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if want := "[| | |]"; fmt.Sprint(s.requests) != want {
		t.Errorf("requests %q, want %s", s.requests, want)
	}
}

// TestOffset continues the download of an earlier run.
func TestOffset(t *testing.T) {
	data := file(300_000)
	tests := []struct {
		name    string
		request Request
		set     func(*server)
		kind    Kind
		asked   string
	}{
		{"by tag", Request{Offset: 100_000, Validator: `"one"`}, nil, "", `[bytes=100000-|"one"]`},
		{"by another tag", Request{Offset: 100_000, Validator: `"two"`}, nil, KindChanged, `[bytes=100000-|"two"]`},
		{"by nothing", Request{Offset: 100_000}, nil, KindChanged, `[bytes=100000-|]`},
		{"pinned", Request{Offset: 100_000, Pinned: true}, nil, "", `[bytes=100000-|]`},
		{"pinned, no ranges", Request{Offset: 100_000, Pinned: true}, func(s *server) { s.noRanges = true }, "", `[bytes=100000-|]`},
		{"all there", Request{Offset: 300_000, Pinned: true}, nil, "", `[bytes=300000-|]`},
		{"all there, by tag", Request{Offset: 300_000, Validator: `"one"`}, nil, "", `[bytes=300000-|"one"]`},
		{"all there, size known", Request{Offset: 300_000, Pinned: true, Size: 300_000}, nil, "", `[]`},
		{"more than there is", Request{Offset: 300_001, Pinned: true}, nil, KindChanged, `[bytes=300001-|]`},
		{"another size", Request{Size: 300_001, Pinned: true}, nil, KindChanged, `[|]`},
		{"another size, in the middle", Request{Offset: 5, Size: 299_999, Pinned: true}, nil, KindChanged, `[bytes=5-|]`},
		{"another size, not told", Request{Size: 299_999, Pinned: true}, func(s *server) { s.noLength = true }, KindChanged, `[|]`},
		{"size not told", Request{}, func(s *server) { s.noLength = true }, "", `[|]`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newServer(t, data)
			if test.set != nil {
				test.set(s)
			}
			test.request.URLs = []string{s.URL}
			body, err := newClient(t, Options{}).Open(t.Context(), test.request)
			var got []byte
			if err == nil {
				got, err = io.ReadAll(body)
				body.Close()
			}
			if fmt.Sprint(s.requests) != test.asked {
				t.Errorf("requests %q, want %s", s.requests, test.asked)
			}
			if kindOf(err) != test.kind || err == nil && !bytes.Equal(got, data[test.request.Offset:]) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if err == nil && (body.Size != 300_000 || body.Offset() != 300_000) {
				t.Errorf("Size %d, Offset %d at the end", body.Size, body.Offset())
			}
		})
	}
	name := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	body, err := newClient(t, Options{}).Open(t.Context(), Request{URLs: []string{"file://" + name}, Offset: 299_990})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(body); !bytes.Equal(got, data[299_990:]) || err != nil {
		t.Errorf("of a file: %d bytes, %v", len(got), err)
	}
}

// TestRedirectedMirrors has a server that redirects each request to another mirror. The
// ETag of one mirror must not be sent to another.
func TestRedirectedMirrors(t *testing.T) {
	data := file(300_000)
	a, b := newServer(t, data, cut(100_000)), newServer(t, data)
	turns := 0
	u := handle(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", []string{a.URL, b.URL}[turns%2])
		turns++
		w.WriteHeader(http.StatusFound)
	})
	body, err := newClient(t, Options{}).Open(t.Context(), Request{URLs: []string{u}, Pinned: true})
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(body)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if got, want := fmt.Sprint(a.requests, b.requests), "[|] [bytes=100000-|]"; got != want {
		t.Errorf("requests %s, want %s", got, want)
	}
}

// TestFaultScripts reads one stream from two servers with random faults. The stream must
// have the whole file, or a correct start of the file and an *Error. No requested range
// may begin before an earlier one.
func TestFaultScripts(t *testing.T) {
	data := file(200_000)
	changed := append([]byte{1}, data...)
	faults := []func(r *rand.Rand) fault{
		func(r *rand.Rand) fault { return nil },
		func(r *rand.Rand) fault { return cut(1 + r.IntN(len(data)-1)) },
		func(r *rand.Rand) fault { return cut(1 + r.IntN(len(data)-1)) },
		func(r *rand.Rand) fault { return cut(1 + r.IntN(100)) },
		func(r *rand.Rand) fault { return status([]int{404, 408, 416, 429, 500, 502, 503, 504}[r.IntN(8)]) },
		func(r *rand.Rand) fault { return status(503, "Retry-After", "5") },
		func(*rand.Rand) fault { // closes the connection at once
			return func(*server, http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }
		},
		func(*rand.Rand) fault { // a captive portal
			return func(_ *server, w http.ResponseWriter, r *http.Request) bool {
				send("<html>", "Content-Type", "text/html")(w, r)
				return true
			}
		},
		func(*rand.Rand) fault { // a redirect loop
			return func(_ *server, w http.ResponseWriter, r *http.Request) bool {
				http.Redirect(w, r, r.URL.Path+"x", http.StatusFound)
				return true
			}
		},
		func(*rand.Rand) fault { // compressed by a proxy
			return func(_ *server, w http.ResponseWriter, r *http.Request) bool {
				send("x", "Content-Encoding", "gzip", "Content-Type", "application/x-xz")(w, r)
				return true
			}
		},
		func(r *rand.Rand) fault { // another range than the requested one
			return func(_ *server, _ http.ResponseWriter, q *http.Request) bool {
				if q.Header.Get("Range") != "" {
					q.Header.Set("Range", fmt.Sprintf("bytes=%d-", r.IntN(len(data))))
				}
				return false
			}
		},
		func(*rand.Rand) fault { // no range for this request
			return func(_ *server, _ http.ResponseWriter, q *http.Request) bool {
				q.Header.Del("Range")
				return false
			}
		},
		func(*rand.Rand) fault { // another file for this and later requests
			return func(s *server, _ http.ResponseWriter, _ *http.Request) bool {
				s.change(changed, `"two"`)
				return false
			}
		},
	}
	outcomes := map[Kind]int{}
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		script := func() (list []fault) {
			for range 1 + r.IntN(6) {
				list = append(list, faults[r.IntN(len(faults))](r))
			}
			return list
		}
		a, b := newServer(t, data, script()...), newServer(t, data, script()...)
		asked := new(history)
		a.log, b.log = asked, asked
		pinned := r.IntN(3) > 0
		body, err := newClient(t, Options{}).Open(t.Context(), Request{URLs: []string{a.URL, b.URL}, Pinned: pinned, Size: int64(len(data))})
		var got []byte
		if err == nil {
			got, err = io.ReadAll(body)
			body.Close()
		}
		a.Close()
		b.Close()
		if err == nil && !bytes.Equal(got, data) || !bytes.HasPrefix(data, got) {
			t.Errorf("seed %d: %d bytes that are not the file's, %v", seed, len(got), err)
		}
		least := 0
		for _, line := range asked.list {
			var first int
			if n, _ := fmt.Sscanf(line, "bytes=%d-", &first); n == 1 && first < least {
				t.Errorf("seed %d: requests bytes that it has: %q", seed, asked.list)
			}
			least = max(least, first)
		}
		outcomes[kindOf(err)]++
		if err != nil && kindOf(err) == "" {
			t.Errorf("seed %d: %v, which is no *Error", seed, err)
		}
	}
	t.Log(outcomes)
	if outcomes[""] < 150 || len(outcomes) < 4 {
		t.Errorf("the scripts show too little: outcomes %v", outcomes)
	}
}

// FuzzContentRange checks that a parsed range is possible.
func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-0/1", "bytes 2-9/*", "bytes */10", "Bytes 5-4/9", "bytes -1-2/3", "bytes 0-9/9", "bytes 0-18446744073709551616/*", "items 0-1/2", "bytes 0-1", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		first, last, total, ok := contentRange(s)
		if !ok {
			return
		}
		if last < 0 && (first != 0 || total < 0) || last >= 0 && (first < 0 || first > last || total >= 0 && last >= total) {
			t.Errorf("%q is %d-%d/%d", s, first, last, total)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	for _, test := range []struct {
		after, date string
		want        time.Duration
	}{
		{"", "", 0}, {"5", "", 5 * time.Second}, {" 5 ", "", 5 * time.Second}, {"-5", "", 0}, {"+5", "", 0}, {"soon", "", 0},
		{"99999999999", "", 24 * time.Hour}, {"99999999999999999999", "", 0},
		{"Mon, 02 Jan 2006 15:04:05 GMT", "", 0},
		{"Mon, 02 Jan 2006 15:04:05 GMT", "Mon, 02 Jan 2006 15:04:01 GMT", 4 * time.Second},
		{"Mon, 02 Jan 2006 15:04:05 GMT", "Mon, 02 Jan 2006 15:04:06 GMT", 0},
	} {
		if got := retryAfter(http.Header{"Retry-After": {test.after}, "Date": {test.date}}); got != test.want {
			t.Errorf("Retry-After %q at %q is %v, want %v", test.after, test.date, got, test.want)
		}
	}
}

func TestValidator(t *testing.T) {
	const modified, later = "Mon, 02 Jan 2006 15:04:05 GMT", "Mon, 02 Jan 2006 15:04:06 GMT"
	for _, test := range []struct{ tag, modified, date, want string }{
		{`"x"`, modified, later, `"x"`},
		{`W/"x"`, modified, later, modified},
		{``, modified, later, modified},
		{``, modified, modified, ""},
		{``, modified, "", ""},
		{``, "", later, ""},
		{`x`, "", later, ""},
		{`"`, "", later, ""},
	} {
		h := http.Header{"Etag": {test.tag}, "Last-Modified": {test.modified}, "Date": {test.date}}
		if got := validator(h); got != test.want {
			t.Errorf("of %+v: %q", test, got)
		}
	}
	if matches(http.Header{}, "") {
		t.Error("nothing matches nothing")
	}
}

func TestTail(t *testing.T) {
	data := file(300_000)
	name := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	good, noRanges, missing := newServer(t, data), newServer(t, data), newServer(t, data, status(404))
	noRanges.noRanges = true
	for _, test := range []struct {
		url  string
		n    int
		want int
		kind Kind
	}{
		{good.URL, 12, 12, ""}, {good.URL, 300_000, 300_000, ""}, {good.URL, 400_000, 300_000, ""}, {noRanges.URL, 12, 0, KindProtocol}, {missing.URL, 12, 0, KindStatus},
		{"file://" + name, 12, 12, ""}, {"file://" + name, 400_000, 300_000, ""}, {"file://" + name + "x", 12, 0, KindFile}, {"x", 12, 0, KindURL},
	} {
		got, size, err := newClient(t, Options{}).Tail(t.Context(), test.url, int64(test.n))
		if kindOf(err) != test.kind || !bytes.Equal(got, data[len(data)-test.want:]) || err == nil && size != 300_000 {
			t.Errorf("the last %d bytes of %s: %d of %d, %v", test.n, test.url, len(got), size, err)
		}
	}
}
