package cli

import (
	"encoding/json"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/image"
)

// TestEvents reads each kind of event as JSON, also with texts that need escapes.
func TestEvents(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	e := &events{fd: int(w.Fd())}
	e.phase("Downloading the metadata")
	e.phase("Downloading the metadata") // no second event
	e.phase("The cache is already up to date")
	e.progress(5, -1)
	e.progress(6, 7)
	e.image(image.Image{Name: image.Name{Dist: "d", Release: "r", Arch: "a", Variant: "v"}, Build: "1"}, "", true)
	e.send("warning", "code", "retry", "text", "a \"b\"\x1b[2J\n\xff")
	w.Close()
	var got []map[string]any
	for d := json.NewDecoder(r); d.More(); {
		var o map[string]any
		if err := d.Decode(&o); err != nil {
			t.Fatal(err)
		}
		got = append(got, o)
	}
	text, _ := json.Marshal(got)
	want := `[{"event":"phase","phase":"metadata","text":"Downloading the metadata"},` +
		`{"bytes":5,"event":"progress","phase":"metadata","total":null},{"bytes":6,"event":"progress","phase":"metadata","total":7},` +
		`{"build":"1","cached":true,"digest":null,"event":"image","image":"d/r/a/v"},` +
		`{"code":"retry","event":"warning","text":"a \"b\"\u001b[2J\n` + "\ufffd" + `"}]`
	if string(text) != want {
		t.Errorf("%s\nwant %s", text, want)
	}
}

// TestLastFlagCounts: of several flags about the same the last one counts.
func TestLastFlagCounts(t *testing.T) {
	for last, columns := range map[string]int{"auto": 80, "plain": 0, "none": 80} {
		u := &ui{out: io.Discard, err: io.Discard, screen: screen{columns: 80}}
		cmd, args, err := choose([]string{"lxc-pull", "fetch", "--progress=plain", "--progress=none", "--progress=" + last, "--help"})
		if err == nil {
			err = cmd.run(t.Context(), u, args)
		}
		if err != nil || u.screen.columns != columns {
			t.Errorf("%s: %d columns, %v", last, u.screen.columns, err)
		}
	}
}

// TestEventsDoNotWait: a reader that does not read does not hold up progress.
func TestEventsDoNotWait(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	e := &events{fd: int(w.Fd())}
	size, err := unix.FcntlInt(w.Fd(), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		t.Skip(err)
	}
	w.WriteString(strings.Repeat("x", size))
	begun := time.Now()
	for range 100 {
		e.progress(1, 2)
	}
	if d := time.Since(begun); d > 2*time.Second || e.gone {
		t.Errorf("it took %v, gone %v", d, e.gone)
	}
	r.Close()
	e.send("warning") // EPIPE, or SIGPIPE if it were not ignored
	if !e.gone {
		t.Error("the reader is not gone")
	}
	(*events)(nil).send("warning")
}

// TestEventsDescriptor checks which descriptors --json-fd refuses: also those that this process
// has opened for itself.
func TestEventsDescriptor(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for _, value := range []string{"0", "-1", "x", "", "99999", "60000", strconv.Itoa(int(w.Fd())), strconv.Itoa(int(r.Fd()))} {
		u := new(ui)
		if err := u.openEvents(value); err == nil || u.events != nil {
			t.Errorf("--json-fd %q: %v", value, err)
		}
	}
	// Inherited descriptors are not closed on exec.
	if _, err := unix.FcntlInt(w.Fd(), unix.F_SETFD, 0); err != nil {
		t.Fatal(err)
	}
	u := new(ui)
	if err := u.openEvents(strconv.Itoa(int(w.Fd()))); err != nil || u.events == nil {
		t.Error(err)
	}
}
