// Package faults serves a directory and behaves like a bad network: connections break,
// stall and slow down; bytes, lengths and statuses are wrong; login pages come in place
// of files; files change between two requests. The command faultserver uses it.
package faults

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// A fault answers a request in its own way. size is the file's size in bytes; r makes
// the random choices.
type fault struct {
	name  string
	serve func(a *answer, r *rand.Rand)
}

// faults returns all faults by name.
func faults() []fault {
	status := func(code int, header ...string) func(*answer, *rand.Rand) {
		return func(a *answer, _ *rand.Rand) {
			for i := 0; i < len(header); i += 2 {
				a.w.Header().Set(header[i], header[i+1])
			}
			a.w.WriteHeader(code)
		}
	}
	return []fault{
		// The connection breaks in the middle of the body.
		{"cut", func(a *answer, r *rand.Rand) { a.serve(shape{cut: 1 + r.Int64N(max(1, a.size-1))}) }},
		// The connection breaks before the answer.
		{"reset", func(a *answer, _ *rand.Rand) { a.hangUp() }},
		// Bytes stop coming while the connection stays open.
		{"stall", func(a *answer, r *rand.Rand) { a.serve(shape{stall: 1 + r.Int64N(max(1, a.size-1))}) }},
		// The server sends nothing, not even a header.
		{"silence", func(a *answer, _ *rand.Rand) { <-a.r.Context().Done() }},
		// The connection is slow, but not dead.
		{"throttle", func(a *answer, _ *rand.Rand) { a.serve(shape{rate: 200_000}) }},
		// One bit is wrong.
		{"corrupt", func(a *answer, r *rand.Rand) { a.serve(shape{flip: 1 + r.Int64N(max(1, a.size))}) }},
		// Two blocks come in the wrong order.
		{"reorder", func(a *answer, r *rand.Rand) {
			data := a.file()
			if half := len(data) / 2; half > 0 {
				n := min(half, 4096)
				swapped := bytes.Clone(data)
				copy(swapped, data[half:half+n])
				copy(swapped[half:], data[:n])
				data = swapped
			}
			a.content(data, a.tag)
		}},
		// Content-Length is too long: the body ends early.
		{"long", func(a *answer, r *rand.Rand) { a.raw(a.size+1+r.Int64N(1000), a.size) }},
		// Content-Length is too short: the file is cut, and the client can't tell.
		{"short", func(a *answer, r *rand.Rand) { n := r.Int64N(max(1, a.size)); a.raw(n, n) }},
		// No length: the body ends with the connection, which may end too early.
		{"endless", func(a *answer, r *rand.Rand) { a.raw(-1, r.Int64N(max(1, a.size))) }},
		{"404", status(404)},
		{"429", status(429, "Retry-After", "1")},
		{"500", status(500)},
		{"502", status(502)},
		{"503", status(503)},
		{"504", status(504)},
		{"416", status(416)},
		{"circle", func(a *answer, _ *rand.Rand) { a.circle() }},
		// A login page of a network, with status 200.
		{"html", func(a *answer, _ *rand.Rand) {
			a.w.Header().Set("Content-Type", "text/html; charset=utf-8")
			io.WriteString(a.w, "<!DOCTYPE html><title>Log in to the network</title>\n")
		}},
		// A Content-Encoding that was not asked for.
		{"gzip", func(a *answer, _ *rand.Rand) {
			a.w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(a.w)
			z.Write(a.file())
			z.Close()
		}},
		// Another file of the same length has replaced the file.
		{"changed", func(a *answer, _ *rand.Rand) {
			data := bytes.Clone(a.file())
			for i := range data {
				data[i] ^= 0x55
			}
			a.content(data, `"changed"`)
		}},
		// Another file of another length has replaced the file.
		{"grown", func(a *answer, _ *rand.Rand) { a.content(append(bytes.Clone(a.file()), "grown"...), `"grown"`) }},
		// Ranges are ignored.
		{"norange", func(a *answer, _ *rand.Rand) {
			a.r.Header.Del("Range")
			a.serve(shape{})
		}},
		// The answer has another range than the requested one.
		{"wrongrange", func(a *answer, r *rand.Rand) {
			if a.r.Header.Get("Range") != "" {
				a.r.Header.Set("Range", fmt.Sprintf("bytes=%d-", r.Int64N(max(1, a.size))))
			}
			a.serve(shape{})
		}},
	}
}

// All returns the names of all faults.
func All() []string {
	var names []string
	for _, f := range faults() {
		names = append(names, f.name)
	}
	return names
}

// Parse reads names of faults separated by commas, "all" or "none".
func Parse(s string) ([]string, error) {
	switch s {
	case "all":
		return All(), nil
	case "none", "":
		return nil, nil
	}
	list := strings.Split(s, ",")
	for _, name := range list {
		if !slices.Contains(All(), name) {
			return nil, fmt.Errorf("no fault %q; there are %s", name, strings.Join(All(), ","))
		}
	}
	return list, nil
}

// A Server is an http.Handler for HTTP/1.1: several faults take the connection
// out of net/http's hands. Which fault a request meets depends on the seed, its
// path and how often that path was asked for before, so that requests side by
// side change nothing.
type Server struct {
	Dir    string
	Seed   uint64
	Faults []string     // names of the faults; none: every answer is right
	Chance float64      // the probability that a request meets a fault: 0 to 1
	Most   int          // faults per path; later answers are right
	Rate   int64        // bytes per second of every answer, 0: no limit
	Only   string       // ending of the paths that meet faults, "": all
	Done   func(Record) // called for each request after it was answered

	mu    sync.Mutex
	asked map[string]int // requests by path
	met   map[string]int // faults by path
}

// A Record is one request and its answer.
type Record struct {
	Begun   time.Time `json:"begun"`
	Path    string    `json:"path"`
	Range   string    `json:"range,omitempty"`
	IfRange string    `json:"ifRange,omitempty"`
	Fault   string    `json:"fault,omitempty"`
	Status  int       `json:"status"`
	Sent    int64     `json:"sent"` // bytes of the body
}

// draw decides which fault, if any, a request meets, and returns the random source of
// the request.
func (s *Server) draw(p string) (string, *rand.Rand) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked == nil {
		s.asked, s.met = map[string]int{}, map[string]int{}
	}
	s.asked[p]++
	h := fnv.New64a()
	fmt.Fprintf(h, "%s\x00%d", p, s.asked[p])
	r := rand.New(rand.NewPCG(s.Seed, h.Sum64()))
	if len(s.Faults) == 0 || s.met[p] >= s.Most || !strings.HasSuffix(p, s.Only) || r.Float64() >= s.Chance {
		return "", r
	}
	s.met[p]++
	return s.Faults[r.IntN(len(s.Faults))], r
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec := Record{Begun: time.Now(), Path: r.URL.Path, Range: r.Header.Get("Range"), IfRange: r.Header.Get("If-Range")}
	counted := &counter{ResponseWriter: w}
	defer func() {
		rec.Status, rec.Sent = counted.status, counted.sent
		s.Done(rec)
	}()
	if r.URL.RawQuery == circle {
		rec.Fault = circle
		(&answer{w: counted, r: r}).circle()
		return
	}
	name := filepath.Join(s.Dir, filepath.FromSlash(path.Clean("/"+r.URL.Path)))
	f, err := os.Open(name)
	if err != nil {
		http.NotFound(counted, r)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		http.NotFound(counted, r)
		return
	}
	a := &answer{w: counted, r: r, f: f, size: info.Size(), modified: info.ModTime(), rate: s.Rate,
		tag: fmt.Sprintf(`"%x-%x"`, info.Size(), info.ModTime().UnixNano())}
	fault, chance := s.draw(r.URL.Path)
	rec.Fault = fault
	w.Header().Set("Content-Type", "application/octet-stream")
	for _, f := range faults() {
		if f.name == fault {
			f.serve(a, chance)
			return
		}
	}
	a.serve(shape{})
}

// A counter counts what a handler sends.
type counter struct {
	http.ResponseWriter
	status int
	sent   int64
}

func (c *counter) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

func (c *counter) Write(p []byte) (int, error) {
	if c.status == 0 {
		c.status = http.StatusOK
	}
	n, err := c.ResponseWriter.Write(p)
	c.sent += int64(n)
	return n, err
}

func (c *counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// An answer is a request and the file that it is for.
type answer struct {
	w        *counter
	r        *http.Request
	f        *os.File
	size     int64
	modified time.Time
	tag      string
	rate     int64
}

// A shape says how a body is changed. Positions in the body count from 1; 0 means
// nowhere.
type shape struct {
	cut, stall, flip, rate int64
}

// file returns the file's bytes.
func (a *answer) file() []byte {
	data, _ := io.ReadAll(io.NewSectionReader(a.f, 0, a.size))
	return data
}

// serve answers correctly except for the shape.
func (a *answer) serve(s shape) {
	a.w.Header().Set("ETag", a.tag)
	if s.rate == 0 || a.rate > 0 && a.rate < s.rate {
		s.rate = a.rate
	}
	http.ServeContent(&shaper{counter: a.w, shape: s, a: a}, a.r, "", a.modified, io.NewSectionReader(a.f, 0, a.size))
}

// content answers with other bytes.
func (a *answer) content(data []byte, tag string) {
	a.w.Header().Set("ETag", tag)
	http.ServeContent(a.w, a.r, "", time.Time{}, bytes.NewReader(data))
}

// hangUp ends the connection with a reset.
func (a *answer) hangUp() {
	conn, _, err := http.NewResponseController(a.w.ResponseWriter).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}

// circle is the name of a fault, and the query that marks its requests.
const circle = "circle"

// circle redirects to a URL that redirects again, without end.
func (a *answer) circle() { http.Redirect(a.w, a.r, a.r.URL.Path+"?"+circle, http.StatusFound) }

// raw answers with the first sent bytes of the file and ends the connection. The
// Content-Length is told; -1 leaves the header out.
func (a *answer) raw(told, sent int64) {
	conn, _, err := http.NewResponseController(a.w.ResponseWriter).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer conn.Close()
	a.w.status = http.StatusOK
	fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nConnection: close\r\n")
	if told >= 0 {
		fmt.Fprintf(conn, "Content-Length: %d\r\n", told)
	}
	fmt.Fprintf(conn, "\r\n")
	a.w.sent, _ = io.Copy(conn, io.NewSectionReader(a.f, 0, sent))
}

// A shaper writes a body and changes it as its shape says.
type shaper struct {
	*counter
	shape
	a  *answer
	at int64
}

// chunk is the number of bytes written at a time if the shape delays or counts bytes.
const chunk = 8 << 10

func (s *shaper) Write(p []byte) (int, error) {
	done := 0
	for len(p) > 0 {
		n := min(len(p), chunk)
		for _, place := range []int64{s.cut, s.stall} {
			if place > s.at {
				n = int(min(int64(n), place-s.at))
			}
		}
		part := p[:n]
		if s.flip > s.at && s.flip <= s.at+int64(n) {
			part = bytes.Clone(part)
			part[s.flip-s.at-1] ^= 1
		}
		k, err := s.counter.Write(part)
		done += k
		s.at += int64(k)
		if err != nil {
			return done, err
		}
		p = p[n:]
		switch s.at {
		case s.cut:
			s.flush()
			panic(http.ErrAbortHandler)
		case s.stall:
			s.flush()
			<-s.a.r.Context().Done()
			panic(http.ErrAbortHandler)
		}
		if s.rate > 0 {
			s.flush()
			time.Sleep(time.Duration(float64(n) / float64(s.rate) * float64(time.Second)))
		}
	}
	return done, nil
}

func (s *shaper) flush() { http.NewResponseController(s.counter.ResponseWriter).Flush() }
