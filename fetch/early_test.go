package fetch

import (
	"strings"
	"testing"
	"time"
)

// TestClockBehind has a clock that is before the start of a certificate's validity.
// Everything except this start must be verified as usual.
func TestClockBehind(t *testing.T) {
	base, ca, server := secure(t, send("secure"))
	begins, ends := server.Certificate().NotBefore, server.Certificate().NotAfter
	other := strings.Replace(base, "127.0.0.1", "images.test", 1)
	resolve := map[string][]string{"images.test": {"127.0.0.1"}}
	for _, test := range []struct {
		name, url string
		now       time.Time
		behind    bool
		cacerts   []string
		want      Kind
	}{
		{"not valid yet", base, begins.Add(-time.Hour), true, []string{ca}, ""},
		{"not valid yet, and Now is the time", base, begins.Add(-time.Hour), false, []string{ca}, KindClock},
		{"valid", base, begins.Add(time.Hour), true, []string{ca}, ""},
		{"ended", base, ends.Add(time.Hour), true, []string{ca}, KindExpired},
		{"unknown", base, begins.Add(-time.Hour), true, nil, KindAuthority},
		{"of another name", other, begins.Add(-time.Hour), true, []string{ca}, KindName},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newClient(t, Options{
				TLS:     TLSOptions{CACerts: test.cacerts, Now: func() time.Time { return test.now }, ClockBehind: func() bool { return test.behind }},
				Paths:   &Paths{},
				Address: AddressOptions{Resolve: resolve},
			})
			if _, err := c.Get(t.Context(), test.url, 100); kindOf(err) != test.want {
				t.Errorf("%v, want kind %q", err, test.want)
			}
		})
	}
}

// TestClockBehindMoves checks that connections verified with an earlier Now are not
// used after Now has moved.
func TestClockBehindMoves(t *testing.T) {
	base, ca, server := secure(t, send("secure"))
	begins, ends := server.Certificate().NotBefore, server.Certificate().NotAfter
	now, behind := begins.Add(-time.Hour), true
	c := newClient(t, Options{
		TLS:   TLSOptions{CACerts: []string{ca}, Now: func() time.Time { return now }, ClockBehind: func() bool { return behind }},
		Paths: &Paths{},
	})
	for _, step := range []struct {
		now  time.Time
		want Kind
	}{
		{now, ""},
		{now, ""},
		{begins.Add(time.Minute), ""},
		{ends.Add(time.Minute), KindExpired},
		{begins.Add(-time.Minute), ""},
	} {
		now = step.now
		if _, err := c.Get(t.Context(), base, 100); kindOf(err) != step.want {
			t.Errorf("at %v: %v, want kind %q", now, err, step.want)
		}
	}
	behind = false
	c.Close()
	if _, err := c.Get(t.Context(), base, 100); kindOf(err) != KindClock {
		t.Errorf("when Now is the time: %v, want kind %q", err, KindClock)
	}
}
