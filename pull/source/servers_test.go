package source

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"lxc-pull/fetch"
	"lxc-pull/image"
)

// newServers returns Servers with servers and mirrors of these names.
func newServers(t *testing.T, names, mirrors []string) *Servers {
	t.Helper()
	s := new(Servers)
	for _, name := range names {
		if err := s.Add(name); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range mirrors {
		if err := s.AddMirror(name); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// deaf returns a Listener that ignores all texts.
func deaf() Listener {
	none := func(string) {}
	return Listener{Say: none, Tell: none, Note: none, Warn: func(_, _ string) {}}
}

// After each kind of failure the right servers are asked, in the right order.
func TestServers(t *testing.T) {
	start := func() *Servers {
		return newServers(t, []string{"a", "http://b", "a/"}, []string{"m1", "m2/x/", "https://a"})
	}
	failure := func(url string, kind fetch.Kind, status int) fetch.Event {
		return fetch.Event{Err: &fetch.Error{URL: url, Kind: kind, Status: status}, Next: "https://elsewhere/f"}
	}
	for _, test := range []struct {
		name string
		do   func(s *Servers)
		want string
	}{
		{"the order given", func(*Servers) {}, "https://m1/f https://m2/x/f https://a/f http://b/f"},
		{"a mirror is down", func(s *Servers) { s.NoteFailure(failure("https://m1/g", fetch.KindRefused, 0)) }, "https://m2/x/f https://a/f http://b/f"},
		{"a mirror lags", func(s *Servers) { s.NoteFailure(failure("https://m2/x/g", fetch.KindStatus, 404)) }, "https://m1/f https://a/f http://b/f"},
		{"of another build", func(s *Servers) { s.NoteFailure(failure("https://m2/x/1/g", fetch.KindStatus, 404)) }, "https://m1/f https://m2/x/f https://a/f http://b/f"},
		{"the server that counts", func(s *Servers) { s.NoteFailure(failure("https://a/g", fetch.KindStatus, 404)) }, "https://m1/f https://m2/x/f https://a/f http://b/f"},
		{"a mirror has too much to do", func(s *Servers) { s.NoteFailure(failure("https://m1/g", fetch.KindStatus, 503)) }, "https://m2/x/f https://a/f http://b/f https://m1/f"},
		{"it is asked again", func(s *Servers) {
			e := failure("https://m1/g", fetch.KindStatus, 503)
			e.Next = e.Err.URL
			s.NoteFailure(e)
		}, "https://m1/f https://m2/x/f https://a/f http://b/f"},
		{"wrong bytes", func(s *Servers) { s.noteWrong([]string{"https://m1/g"}) }, "https://m2/x/f https://a/f http://b/f"},
		{"wrong bytes of two servers", func(s *Servers) { s.noteWrong([]string{"https://m1/g", "https://a/g"}) }, "https://m1/f https://m2/x/f https://a/f http://b/f"},
		{"the next server", func(s *Servers) { s.giveUp(errors.New("x")) }, "https://m1/f https://m2/x/f http://b/f"},
	} {
		s := start()
		test.do(s)
		if got := strings.Join(s.files("f"), " "); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
	s := start()
	for u, want := range map[string]bool{"https://a/f": false, "http://b/f": false, "https://m1/f": false} {
		if s.safe(u) != want {
			t.Errorf("safe(%q) is %v", u, !want)
		}
	}
	s.mirrors = s.mirrors[:2]
	if !s.safe("https://a/f") {
		t.Error("a server over https is not safe")
	}
}

// The most severe failure is reported, whatever the order of the servers.
func TestWorstError(t *testing.T) {
	down := &fetch.Error{Kind: fetch.KindRefused}
	busy := &fetch.Error{Kind: fetch.KindStatus, Status: 503}
	missing := &image.NotFoundError{}
	forged := unverified("index", errors.New("x"))
	gone := &Error{Kind: Gone, Err: fmt.Errorf("%w: %w", missing, &fetch.Error{Kind: fetch.KindStatus, Status: 404})}
	for _, test := range []struct {
		errs []error
		want Kind
		off  bool
	}{
		{[]error{down, down}, Network, true},
		{[]error{down, busy}, Network, false},
		{[]error{busy, missing, down}, NotFound, false},
		{[]error{down, gone}, Gone, false},
		{[]error{missing, forged, down}, Unverified, false},
	} {
		for range test.errs {
			test.errs = append(test.errs[1:], test.errs[0])
			s := new(Servers)
			for _, err := range test.errs {
				s.servers = append(s.servers, &server{givenUp: err})
			}
			if err := s.worstError(); KindOf(err) != test.want || Offline(err) != test.off {
				t.Errorf("%v: %v, kind %d, offline %v", test.errs, err, KindOf(err), Offline(err))
			}
		}
	}
}

// Only an answer of the current server shows that a build does not exist.
func TestLacks(t *testing.T) {
	s := newServers(t, []string{"a", "file:///b"}, []string{"m"})
	at := func(url string, kind fetch.Kind, status int, err error) *fetch.Error {
		return &fetch.Error{URL: url, Kind: kind, Status: status, Err: err}
	}
	mirror, own := at("https://m/f", fetch.KindStatus, 404, nil), at("https://a/f", fetch.KindStatus, 410, nil)
	for _, test := range []struct {
		err  error
		want bool
	}{
		{mirror, false}, {own, true}, {errors.Join(mirror, own), true},
		{errors.Join(mirror, at("https://a/f", fetch.KindStatus, 503, nil)), false},
		{unverified("signature", own), true}, {errors.New("x"), false},
	} {
		if s.lacks(test.err) != test.want {
			t.Errorf("lacks(%v) is %v", test.err, !test.want)
		}
	}
	s.giveUp(own)
	if !s.lacks(at("file:///b/f", fetch.KindFile, 0, fs.ErrNotExist)) || s.lacks(own) {
		t.Error("of the next server")
	}
}

// If the proxy is down, no server can be reached, and the cached copy may be used. A proxy
// that refuses is another failure.
func TestOfflineProxy(t *testing.T) {
	for status, want := range map[int]bool{0: true, 403: false, 407: false} {
		if err := (&fetch.Error{Kind: fetch.KindProxy, Status: status}); Offline(err) != want {
			t.Errorf("status %d: offline %v", status, !want)
		}
	}
}

func TestServerURL(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"images.linuxcontainers.org", "https://images.linuxcontainers.org"},
		{"repo.turris.cz/lxc/", "https://repo.turris.cz/lxc"},
		{"127.0.0.1:8443", "https://127.0.0.1:8443"},
		{"http://box/x", "http://box/x"},
		{"file:///srv/images", "file:///srv/images"},
		{"ftp://x", ""}, {"https://", ""}, {"https://x/?y", ""}, {"x#y", ""}, {"a b", ""}, {"", ""},
	} {
		got, err := serverURL(c.in)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("serverURL(%q) = %q, %v; want %q", c.in, got, err, c.want)
		}
	}
}
