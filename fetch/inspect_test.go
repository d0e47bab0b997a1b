package fetch

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestClockOffset checks that a cache's old answer does not tell the time.
func TestClockOffset(t *testing.T) {
	age := "7200"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		if age != "" {
			w.Header().Set("Age", age)
		}
	}))
	defer server.Close()
	client, err := NewClient(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, want := range []bool{false, true} {
		if _, err := client.Get(t.Context(), server.URL, 10); err != nil {
			t.Fatal(err)
		}
		ahead, known := client.ClockOffset()
		if known != want || known && (ahead < 59*time.Minute || ahead > 61*time.Minute) {
			t.Errorf("%v, %v", ahead, known)
		}
		age = ""
	}
}
