package fetch

import (
	"errors"
	"fmt"
	"testing"
)

// TestCourse checks which URLs are asked after each error.
func TestCourse(t *testing.T) {
	wrong, cut := errors.New("wrong digest"), &Error{Kind: KindTruncated}
	changed := &Error{Kind: KindChanged}
	type end struct {
		err     error
		resumed int64
		sources []string
	}
	abc := []string{"a", "b", "c"}
	for _, test := range []struct {
		name string
		urls []string
		ends []end
		want string // the URLs after each error, and the final error
	}{
		{"a broken connection", abc, []end{{cut, 0, abc[:1]}}, fmt.Sprint(cut)},
		{"one server sends wrong bytes", abc, []end{{wrong, 0, abc[1:2]}, {cut, 0, nil}}, "[a c] wrong digest"},
		{"the only server sends wrong bytes", abc[:1], []end{{wrong, 0, abc[:1]}}, "wrong digest"},
		{"a mixture", abc, []end{{wrong, 0, abc[:2]}, {wrong, 0, abc[:1]}, {cut, 0, abc[1:2]}, {wrong, 0, abc[2:]}}, "[a] [b] [c] wrong digest"},
		{"no server sent a byte", abc[:2], []end{{wrong, 0, nil}, {wrong, 0, nil}, {wrong, 0, nil}}, "[a] [b] wrong digest"},
		{"wrong bytes of an earlier run", abc[:1], []end{{wrong, 9, abc[:1]}, {wrong, 0, abc[:1]}}, "[a] wrong digest"},
		{"a file that changes", abc[:1], []end{{changed, 0, nil}, {changed, 0, nil}, {changed, 0, nil}, {changed, 0, nil}}, fmt.Sprint("[a] [a] [a] ", changed)},
		{"servers that disagree", abc[:2], []end{{errors.Join(cut, changed), 0, abc[:1]}, {cut, 0, abc[:1]}, {wrong, 0, abc[1:2]}}, "[a] [b] wrong digest"},
	} {
		t.Run(test.name, func(t *testing.T) {
			course := NewCourse(test.urls)
			got := ""
			for i, e := range test.ends {
				again, last := course.Next(Attempt{e.err, e.err == wrong, e.resumed, e.sources})
				if !again {
					got += fmt.Sprint(last)
					if i != len(test.ends)-1 {
						t.Errorf("it ends after %d of %d", i+1, len(test.ends))
					}
					break
				}
				got += fmt.Sprint(course.URLs(), " ")
			}
			if got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	a, b := &Error{Kind: KindDNS}, &Error{Kind: KindTLS}
	for _, test := range []struct {
		err  error
		want int
	}{
		{nil, 0}, {errors.New("x"), 0}, {a, 1}, {fmt.Errorf("x: %w", a), 1}, {errors.Join(a, b), 2},
		{fmt.Errorf("%w: %w", errors.New("x"), errors.Join(a, fmt.Errorf("y: %w", b))), 2},
	} {
		if got := Failures(test.err); len(got) != test.want || len(got) > 0 && got[0] != a {
			t.Errorf("Failures(%v) = %v", test.err, got)
		}
	}
}

// TestHasty checks that a Hasty request ends early.
func TestHasty(t *testing.T) {
	s := newServer(t, file(10), status(503), status(503), status(503))
	_, _, err := newClient(t, Options{}).Load(t.Context(), Request{URLs: []string{s.URL}, Hasty: true})
	if kindOf(err) != KindStatus || len(s.requests) != 2 {
		t.Errorf("%v after %d requests", err, len(s.requests))
	}
	s = newServer(t, file(10), status(429, "Retry-After", "60"))
	_, _, err = newClient(t, Options{}).Load(t.Context(), Request{URLs: []string{s.URL}, Hasty: true})
	if kindOf(err) != KindStatus || len(s.requests) != 1 {
		t.Errorf("%v after %d requests", err, len(s.requests))
	}
}

// TestValidatorsOwner checks that Request.Validator is sent only to the host of the
// first URL.
func TestValidatorsOwner(t *testing.T) {
	data := file(300_000)
	a, b := newServer(t, data, status(404)), newServer(t, data)
	body, err := newClient(t, Options{}).Open(t.Context(), Request{URLs: []string{a.URL, b.URL}, Pinned: true, Offset: 100_000, Validator: `"one"`})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if got, want := fmt.Sprint(a.requests, b.requests), `[bytes=100000-|"one"] [bytes=100000-|]`; got != want {
		t.Errorf("requests %s, want %s", got, want)
	}
}
