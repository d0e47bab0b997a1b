package untar

import (
	"fmt"
	"testing"
)

func TestReport(t *testing.T) {
	var r Report
	r.Privilege = "user"
	for i := range 3 {
		r.note("device node", "skipped", "user namespace", []byte(fmt.Sprintf("dev/\x1b%d", i)))
	}
	r.note("file capability", "not stored", "no such attributes on vfat", []byte("ping"))
	r.note("file capability", "not stored", "no such attributes on vfat", []byte("ping6"))
	if got, want := r.Summary(), "3 device nodes skipped: user namespace; 2 file capabilities not stored: no such attributes on vfat"; got != want {
		t.Errorf("summary is %q, want %q", got, want)
	}
	want := `{"entries":0,"bytes":0,"privilege":"user","notes":[` +
		`{"count":3,"thing":"device node","fate":"skipped","reason":"user namespace","names":["\"dev/\\x1b0\"","\"dev/\\x1b1\"","\"dev/\\x1b2\""]},` +
		`{"count":2,"thing":"file capability","fate":"not stored","reason":"no such attributes on vfat","names":["\"ping\"","\"ping6\""]}]}`
	if got := string(r.AppendJSON(nil)); got != want {
		t.Errorf("JSON is %s\nwant %s", got, want)
	}
	for i := range 1000 {
		r.note("extended attribute", "not stored", fmt.Sprint(i), nil)
	}
	if len(r.Notes) != maxNotes {
		t.Errorf("%d notes", len(r.Notes))
	}
	total := int64(0)
	for _, n := range r.Notes {
		total += n.Count
	}
	if total != 1005 {
		t.Errorf("%d things counted", total)
	}
}
