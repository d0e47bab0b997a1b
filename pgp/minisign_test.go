package pgp

import (
	"testing"
	"time"
)

func TestMinisignResult(t *testing.T) {
	if s := onlySignature(t, "minisign"); s.Comment != "timestamp:1710000000\tfile:hello\thashed" || !s.Created.Equal(time.Unix(1710000000, 0)) {
		t.Errorf("%+v", s)
	}
}

// The time is zero if the trusted comment has none, or one that is not a number.
func TestMinisignCreated(t *testing.T) {
	for text, want := range map[string]int64{
		"timestamp:1710000000":           1710000000,
		"file:a\ttimestamp:7\thashed":    7,
		"timestamp:x\ttimestamp:8":       8,
		"timestamp:-1":                   0,
		"timestamp:99999999999999999999": 0,
		" timestamp:1":                   0,
		"":                               0,
	} {
		got := (&minisignComment{text: text}).created()
		if want == 0 && !got.IsZero() || want != 0 && !got.Equal(time.Unix(want, 0)) {
			t.Errorf("%q: %v", text, got)
		}
	}
}
