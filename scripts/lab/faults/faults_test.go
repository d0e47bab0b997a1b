package faults

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A site serves one file under url with faults.
type site struct {
	url   string
	asked chan struct{} // has a value once the first request is here

	server *httptest.Server
	// answers are the requests that are not answered yet. Server.Close does not
	// wait for the handlers that took their connection out of net/http's hands.
	answers sync.WaitGroup
	mu      sync.Mutex
	list    []Record
}

func start(t *testing.T, data []byte, faults ...string) *site {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	s := &site{asked: make(chan struct{}, 1)}
	faulty := &Server{Dir: dir, Seed: 1, Faults: faults, Chance: 1, Most: 1, Done: func(r Record) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.list = append(s.list, r)
	}}
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.answers.Add(1)
		defer s.answers.Done()
		select {
		case s.asked <- struct{}{}:
		default:
		}
		faulty.ServeHTTP(w, r)
	}))
	t.Cleanup(s.server.Close)
	s.url = s.server.URL + "/x"
	return s
}

// records ends the server and returns its requests.
func (s *site) records() []Record {
	s.server.Close()
	s.answers.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list)
}

// TestFaults shows what a plain client sees of each fault, and that the next
// request gets the right answer.
func TestFaults(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	whole := fmt.Sprintf("200 %d, right", len(data))
	want := map[string]string{
		"cut": "200, unexpected EOF", "reset": "no answer", "stall": "200, context canceled", "silence": "no answer",
		"throttle": whole, "corrupt": fmt.Sprintf("200 %d, wrong", len(data)), "reorder": whole, "long": "200, unexpected EOF",
		"short": "200 fewer", "endless": "200 fewer", "circle": "no answer", "html": "200 fewer",
		"gzip": "200 fewer", "changed": fmt.Sprintf("200 %d, wrong", len(data)), "grown": "200 more",
		"norange": whole, "wrongrange": whole,
	}
	// All blocks of this file are equal, so swapping two would change nothing.
	for _, name := range All() {
		t.Run(name, func(t *testing.T) {
			s := start(t, data, name)
			got := see(t, s, data, name == "silence" || name == "stall")
			if w := want[name]; w != "" && got != w || w == "" && !strings.HasPrefix(got, name) {
				t.Errorf("a client sees %q, want %q", got, w)
			}
			// The second request gets the right answer only after the first met the fault.
			s.answers.Wait()
			if got := see(t, s, data, false); name != circle && got != whole {
				t.Errorf("and then %q", got)
			}
			if list := s.records(); !slices.ContainsFunc(list, func(r Record) bool { return r.Fault == name }) {
				t.Errorf("the records say %+v", list)
			}
		})
	}
}

// see describes an answer. An impatient client gives up when the server has the
// request and, if an answer comes, the first bytes of it are here.
func see(t *testing.T, s *site, data []byte, impatient bool) string {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if impatient && strings.HasSuffix(t.Name(), "silence") {
		go func() {
			<-s.asked
			cancel()
		}()
	}
	request, err := http.NewRequestWithContext(ctx, "GET", s.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return "no answer"
	}
	defer answer.Body.Close()
	if answer.StatusCode != 200 {
		return fmt.Sprint(answer.StatusCode)
	}
	var body []byte
	buf := make([]byte, 1000)
	for {
		n, err := answer.Body.Read(buf)
		body = append(body, buf[:n]...)
		if err == io.EOF {
			break
		} else if err != nil {
			return fmt.Sprintf("200, %v", err)
		}
		if impatient && len(body) > 0 {
			cancel()
		}
	}
	switch {
	case len(body) < len(data):
		return "200 fewer"
	case len(body) > len(data):
		return "200 more"
	case bytes.Equal(body, data):
		return fmt.Sprintf("200 %d, right", len(body))
	}
	return fmt.Sprintf("200 %d, wrong", len(body))
}

// TestSeeds: what a path meets depends on the seed and on nothing else.
func TestSeeds(t *testing.T) {
	draw := func(seed uint64, paths ...string) string {
		s := &Server{Seed: seed, Faults: All(), Chance: 0.5, Most: 3}
		drawn := map[string][]string{}
		for range 6 {
			for _, p := range paths {
				name, r := s.draw(p)
				drawn[p] = append(drawn[p], fmt.Sprint(name, r.IntN(1000)))
			}
		}
		return fmt.Sprint(drawn["/a"])
	}
	if a, b := draw(1, "/a"), draw(1, "/b", "/a", "/c"); a != b {
		t.Errorf("other paths change the faults: %s, %s", a, b)
	}
	if a, b := draw(1, "/a"), draw(2, "/a"); a == b {
		t.Errorf("seeds 1 and 2 give the same faults: %s", a)
	}
	s := &Server{Seed: 1, Faults: All(), Chance: 1, Most: 2, Only: ".xz"}
	met := 0
	for range 10 {
		if name, _ := s.draw("/a.xz"); name != "" {
			met++
		}
		if name, _ := s.draw("/a.asc"); name != "" {
			t.Errorf("-only .xz, and /a.asc meets %s", name)
		}
	}
	if met != 2 {
		t.Errorf("-most 2, and a path meets %d", met)
	}
}

func TestParse(t *testing.T) {
	for given, want := range map[string]int{"all": len(faults()), "none": 0, "": 0, "cut,404": 2} {
		if got, err := Parse(given); len(got) != want || err != nil {
			t.Errorf("%q is %q, %v", given, got, err)
		}
	}
	if _, err := Parse("cut,bite"); err == nil {
		t.Error("an unknown fault is taken")
	}
}
