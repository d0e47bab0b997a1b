package main

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"lxc-pull/fetch"
	"lxc-pull/image"
)

// TestServers: who is asked for bytes, after what.
func TestServers(t *testing.T) {
	list := t.TempDir() + "/list"
	if err := os.WriteFile(list, []byte("# mirrors\n\nm2/x/ # near\nhttps://a\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	start := func() *servers {
		s, err := newServers(&options{servers: []string{"a", "http://b", "a/"}, mirrors: []string{"m1"}, mirrorLists: []string{list}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	failure := func(url string, kind fetch.Kind, status int) fetch.Event {
		return fetch.Event{Err: &fetch.Error{URL: url, Kind: kind, Status: status}, Next: "https://elsewhere/f"}
	}
	for _, test := range []struct {
		name string
		do   func(s *servers)
		want string
	}{
		{"the order given", func(*servers) {}, "https://m1/f https://m2/x/f https://a/f http://b/f"},
		{"a mirror is down", func(s *servers) { s.failed(failure("https://m1/g", fetch.KindRefused, 0)) }, "https://m2/x/f https://a/f http://b/f"},
		{"a mirror lags", func(s *servers) { s.failed(failure("https://m2/x/g", fetch.KindStatus, 404)) }, "https://m1/f https://a/f http://b/f"},
		{"of another build", func(s *servers) { s.failed(failure("https://m2/x/1/g", fetch.KindStatus, 404)) }, "https://m1/f https://m2/x/f https://a/f http://b/f"},
		{"the server that counts", func(s *servers) { s.failed(failure("https://a/g", fetch.KindStatus, 404)) }, "https://m1/f https://m2/x/f https://a/f http://b/f"},
		{"a mirror has too much to do", func(s *servers) { s.failed(failure("https://m1/g", fetch.KindStatus, 503)) }, "https://m2/x/f https://a/f http://b/f https://m1/f"},
		{"it is asked again", func(s *servers) {
			e := failure("https://m1/g", fetch.KindStatus, 503)
			e.Next = e.Err.URL
			s.failed(e)
		}, "https://m1/f https://m2/x/f https://a/f http://b/f"},
		{"a liar", func(s *servers) { s.wrong([]string{"https://m1/g"}) }, "https://m2/x/f https://a/f http://b/f"},
		{"a mixture", func(s *servers) { s.wrong([]string{"https://m1/g", "https://a/g"}) }, "https://m1/f https://m2/x/f https://a/f http://b/f"},
		{"the next server", func(s *servers) { s.giveUp(errors.New("x")) }, "https://m1/f https://m2/x/f http://b/f"},
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

// TestVerdict: the gravest failure counts, whatever the order.
func TestVerdict(t *testing.T) {
	down := &fetch.Error{Kind: fetch.KindRefused}
	busy := &fetch.Error{Kind: fetch.KindStatus, Status: 503}
	missing := &image.NotFoundError{}
	forged := &unverifiedError{"index", errors.New("x")}
	gone := &goneError{missing, &fetch.Error{Kind: fetch.KindStatus, Status: 404}}
	for _, test := range []struct {
		errs []error
		want int
		off  bool
	}{
		{[]error{down, down}, exitNetwork, true},
		{[]error{down, busy}, exitNetwork, false},
		{[]error{busy, missing, down}, exitNoImage, false},
		{[]error{down, gone}, exitNoImage, false},
		{[]error{missing, forged, down}, exitUnverified, false},
	} {
		for range test.errs {
			test.errs = append(test.errs[1:], test.errs[0])
			s := new(servers)
			for _, err := range test.errs {
				s.list = append(s.list, &server{failed: err})
			}
			if err := s.verdict(); exitStatus(err) != test.want || offline(err) != test.off {
				t.Errorf("%v: %v, status %d, offline %v", test.errs, err, exitStatus(err), offline(err))
			}
		}
	}
}

// TestLacks: only the current server's own answer says that a build is gone.
func TestLacks(t *testing.T) {
	s, err := newServers(&options{servers: []string{"a", "file:///b"}, mirrors: []string{"m"}})
	if err != nil {
		t.Fatal(err)
	}
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
		{&unverifiedError{"signature", own}, true}, {errors.New("x"), false},
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
