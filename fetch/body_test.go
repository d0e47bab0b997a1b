package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// noWait lets waiting cost nothing, and stops when ctx does.
func noWait(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// newClient returns a client that doesn't wait and whose jitter is repeatable.
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

// file is the content that test servers serve.
func file(n int) []byte {
	data := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(data)
	return data
}

// A server serves one file and counts what it was asked for.
type server struct {
	*httptest.Server
	data     []byte
	etag     string
	modified string
	noRanges bool
	noLength bool
	script   []fault // one for each request, then none
	mu       sync.Mutex
	requests []string // "Range|If-Range" of each
}

// A fault answers a request in place of the server; data is what a sane answer
// would hold. It returns false to let the server answer.
type fault func(s *server, w http.ResponseWriter, r *http.Request) bool

func newServer(t *testing.T, data []byte, script ...fault) *server {
	s := &server{data: data, etag: `"one"`, script: script}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.Header.Get("Range")+"|"+r.Header.Get("If-Range"))
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
	w.Header().Set("Content-Type", "application/octet-stream")
	if s.etag != "" {
		w.Header().Set("ETag", s.etag)
	}
	if s.noRanges {
		r.Header.Del("Range")
	}
	if s.noLength {
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		w.Write(s.data)
		return
	}
	modified, _ := http.ParseTime(s.modified)
	http.ServeContent(w, r, "", modified, bytes.NewReader(s.data))
}

// hangUp ends the connection under a handler.
func hangUp(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
}

// cut answers sanely but hangs up after n bytes of the body.
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

// status answers with a status and header lines.
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
