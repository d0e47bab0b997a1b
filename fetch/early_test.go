package fetch

import (
	"strings"
	"testing"
	"time"
)

// TestEarliest: a clock that is behind a certificate's beginning. All but the
// beginning is verified as ever.
func TestEarliest(t *testing.T) {
	base, ca, server := secure(t, send("secure"))
	begins, ends := server.Certificate().NotBefore, server.Certificate().NotAfter
	other := strings.Replace(base, "127.0.0.1", "images.test", 1)
	resolve := map[string][]string{"images.test": {"127.0.0.1"}}
	for _, test := range []struct {
		name, url string
		now       time.Time
		earliest  bool
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
				CACerts: test.cacerts, Paths: &Paths{}, Resolve: resolve,
				Now:      func() time.Time { return test.now },
				Earliest: func() bool { return test.earliest },
			})
			if _, err := c.Get(t.Context(), test.url, 100); kindOf(err) != test.want {
				t.Errorf("%v, want kind %q", err, test.want)
			}
		})
	}
}

// TestEarliestMoves: when Now moves, connections judged by the Now of before
// are not used again.
func TestEarliestMoves(t *testing.T) {
	base, ca, server := secure(t, send("secure"))
	begins, ends := server.Certificate().NotBefore, server.Certificate().NotAfter
	now, behind := begins.Add(-time.Hour), true
	c := newClient(t, Options{
		CACerts: []string{ca}, Paths: &Paths{},
		Now: func() time.Time { return now }, Earliest: func() bool { return behind },
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
