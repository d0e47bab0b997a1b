package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/pgp"
	"lxc-pull/pull"
	"lxc-pull/pull/source"
	"lxc-pull/untar"
)

func TestPrintable(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain, ünïcode\n\ttab", "plain, ünïcode\n\ttab"},
		{"\x1b[2J\x1b]0;title\x07", `\x1b[2J\x1b]0;title\x07`},
		{"a\rb\x00\x7f", `a\x0db\x00\x7f`},
		{"\xff\xc3", `\xff\xc3`},
		{"\u009b31m", `\u009b31m`},
		{"abc\u202edef\u200b", `abc\u202edef\u200b`},
		{"\u061c\u180e\ufff9\U000e0041", `\u061c\u180e\ufff9\U000e0041`},
		{"\ufffd", "\ufffd"},
	} {
		if got := printable(c.in); got != c.want {
			t.Errorf("printable(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

// A line that a caller forgot to escape is escaped all the same.
func TestLinesAreEscaped(t *testing.T) {
	var out bytes.Buffer
	u := &ui{out: &out, err: &out, verbose: true}
	u.warn("retry", "%s", "a\x1b[2J")
	u.notef("%v", errors.New("b\rc"))
	u.finish(fmt.Errorf("d\x07"), 0)
	if got, want := out.String(), "warning: a\\x1b[2J\nb\\x0dc\nlxc-pull: d\\x07\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// No text from outside makes the program print a byte that controls a terminal.
func FuzzPrintable(f *testing.F) {
	f.Add("\x1b[31m\u009b\xff")
	f.Add("a\u202eb\u200b\U000e0041")
	f.Fuzz(func(t *testing.T, s string) {
		out := printable(s)
		if !utf8.ValidString(out) {
			t.Fatalf("%q is not UTF-8", out)
		}
		for _, r := range out {
			if r < 0x20 && r != '\n' && r != '\t' || 0x7f <= r && r < 0xa0 || r == 0x202e {
				t.Fatalf("%q has %U", out, r)
			}
		}
		for _, r := range jsonString(s) {
			if r < 0x20 || r == 0x7f || steersTerminal(r) {
				t.Fatalf("jsonString(%q) has %U", s, r)
			}
		}
		var back string
		if err := json.Unmarshal([]byte(jsonString(s)), &back); err != nil || back != strings.ToValidUTF8(string([]rune(s)), "\ufffd") {
			t.Fatalf("jsonString(%q) = %s: %q, %v", s, jsonString(s), back, err)
		}
	})
}

func TestProgressText(t *testing.T) {
	for _, c := range []struct {
		kept, done, total int64
		elapsed           time.Duration
		room              int
		want              string
	}{
		{0, 0, -1, 0, 0, "Unpacking the rootfs  0 B"},
		{0, 1536, -1, 500 * time.Millisecond, 0, "Unpacking the rootfs  1.5 KiB"},
		{0, 10 << 20, 100 << 20, 10 * time.Second, 77, "Unpacking the rootfs  10 %  10.0 MiB of 100 MiB  1.0 MiB/s  1m30s left"},
		{0, 100 << 20, 100 << 20, 10 * time.Second, 77, "Unpacking the rootfs  100 %  100 MiB of 100 MiB  10.0 MiB/s"},
		{0, 1000, -1, time.Second, 77, "Unpacking the rootfs  1.0 KiB  1.0 KiB/s"},
		// The kept bytes count in the percentage and not in the rate.
		{50 << 20, 60 << 20, 100 << 20, 10 * time.Second, 77, "Unpacking the rootfs  60 %  60.0 MiB of 100 MiB  1.0 MiB/s  40s left"},
		{50 << 20, 10 << 20, 100 << 20, 0, 77, "Unpacking the rootfs  50 %  50.0 MiB of 100 MiB"},
		// Narrow terminals keep the percentage and the time left.
		{0, 10 << 20, 100 << 20, 10 * time.Second, 60, "Unpacking the rootfs  10 %  10.0 MiB of 100 MiB  1m30s left"},
		{0, 10 << 20, 100 << 20, 10 * time.Second, 50, "Unpacking the rootfs  10 %  10.0 MiB  1m30s left"},
		{0, 10 << 20, 100 << 20, 10 * time.Second, 37, "Unpacking  10 %  10.0 MiB  1m30s left"},
		{0, 10 << 20, 100 << 20, 10 * time.Second, 30, "Unpacking  10 %  1m30s left"},
		{0, 10 << 20, 100 << 20, 10 * time.Second, 22, "Unpa  10 %  1m30s left"},
		{0, 10 << 20, 100 << 20, 10 * time.Second, 5, "  10 "},
	} {
		start := time.Unix(1e9, 0)
		p := &progress{phase: "Unpacking the rootfs", kept: c.kept, done: c.done, total: c.total, start: start}
		if got := p.text(start.Add(c.elapsed), c.room); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	wide := &progress{phase: "\u4e2d\u6587\u4e2d\u6587", done: 1, total: -1}
	if got := wide.text(time.Time{}, 10); got != "\u4e2d\u6587  1 B" {
		t.Errorf("%q", got)
	}
}

// Progress lines are written only to a terminal; a file gets only the messages.
func TestProgressOnlyOnTerminals(t *testing.T) {
	var out, err bytes.Buffer
	u := &ui{out: &out, err: &err}
	line := u.begin("P", 10)
	io.Copy(io.Discard, io.TeeReader(strings.NewReader("0123456789"), line))
	u.warn("retry", "one %d", 1)
	line.Close()
	if err.String() != "warning: one 1\n" {
		t.Errorf("%q", err.String())
	}
	err.Reset()
	u.screen.columns = 30
	line = u.begin("P", 10)
	io.Copy(io.Discard, io.TeeReader(strings.NewReader("0123456789"), line))
	u.warn("retry", "two")
	line.Close()
	if !strings.HasPrefix(err.String(), "\rP  100 %  10 B") || !strings.Contains(err.String(), "\rwarning: two\n") {
		t.Errorf("%q", err.String())
	}
}

func TestExitStatus(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{errors.New("x"), exitFailure},
		{usageErrorf("x"), exitUsage},
		{&sopError{status: 41, err: errors.New("x")}, 41},
		{&silentError{}, exitFailure},
		{&silentError{usage: true}, exitUsage},
		{fmt.Errorf("x: %w", &fileError{option: "cacert", name: "f", err: syscall.EACCES}), exitPermission},
		{&image.NotFoundError{}, exitNoImage},
		{&fetch.Error{Kind: fetch.KindDNS}, exitNetwork},
		{fmt.Errorf("x: %w", &fetch.Error{Kind: fetch.KindHTML}), exitNetwork},
		{&fetch.Error{Kind: fetch.KindFile, Err: syscall.EACCES}, exitPermission},
		{&source.Error{Kind: source.Unverified, What: "x", Err: &fetch.Error{Kind: fetch.KindStatus, Status: 404}}, exitUnverified},
		{&source.Error{Kind: source.Unverified, What: "x", Err: errors.New("y")}, exitUnverified},
		{&source.Error{Kind: source.Replayed, Err: errors.New("x")}, exitUnverified},
		{&source.Error{Kind: source.Gone, Err: &fetch.Error{Kind: fetch.KindStatus, Status: 404}}, exitNoImage},
		{&source.Error{Kind: source.History, Err: errors.New("x")}, exitFailure},
		{&pgp.UntrustedError{}, exitUnverified},
		{fmt.Errorf("x: %w", syscall.ENOSPC), exitDisk},
		{syscall.EROFS, exitDisk},
		{syscall.EFBIG, exitDisk},
		{&pull.Error{Kind: pull.NoRoom, Err: syscall.ENOSPC}, exitDisk},
		{&pull.LeftError{Err: &pull.Error{Kind: pull.NoRoom, Err: syscall.ENOSPC}, Left: syscall.EBUSY}, exitDisk},
		{&pull.Error{Kind: pull.NotEmpty}, exitFailure},
		{&untar.UnfitError{}, exitFailure},
		{&untar.OwnerError{Err: syscall.EPERM}, exitPermission},
		{syscall.EPERM, exitPermission},
	} {
		if got := exitStatus(c.err); got != c.want {
			t.Errorf("exitStatus(%v) = %d, want %d", c.err, got, c.want)
		}
	}
}
