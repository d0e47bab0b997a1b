package cli

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A slowReader gives few bytes at a time.
type slowReader struct{ io.ReadSeeker }

func (s slowReader) Read(p []byte) (int, error) {
	time.Sleep(30 * time.Millisecond)
	return s.ReadSeeker.Read(p[:min(len(p), 32<<10)])
}

// slowServer serves a directory, about 1 MiB a second. Requests for a path that ends in stall
// get no answer; "": all do.
func slowServer(t *testing.T, dir, stall string) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if stall != "" && strings.HasSuffix(r.URL.Path, stall) {
			<-r.Context().Done()
			return
		}
		data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(r.URL.Path)))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("ETag", `"1"`)
		http.ServeContent(w, r, "", time.Time{}, slowReader{bytes.NewReader(data)})
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// noise returns bytes that can't be packed.
func noise(n int) []byte {
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(data)
	return data
}

// slowFile returns the URL of a file that takes some seconds.
func slowFile(t *testing.T) string {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "rootfs.tar.xz"), noise(3<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	return slowServer(t, dir, "") + "/rootfs.tar.xz"
}

// TestProgressOnPTY checks the line at several widths: it fits, and the terminal is clean afterwards.
func TestProgressOnPTY(t *testing.T) {
	for columns, want := range map[int]string{
		40:  `^rootfs\.tar\.xz  \d+ %  [\d.]+ [KM]iB  \ds left$|^rootfs\.tar\.xz  \d+ %  \ds left$`,
		80:  `^rootfs\.tar\.xz  \d+ %  [\d.]+ [KM]iB of 3\.0 MiB  [\d.]+ [KM]iB/s  \ds left$`,
		200: `^rootfs\.tar\.xz  \d+ %  [\d.]+ [KM]iB of 3\.0 MiB  [\d.]+ [KM]iB/s  \ds left$`,
	} {
		url := slowFile(t)
		p := startPTY(t, columns, 5, nil, "fetch", "-o", filepath.Join(t.TempDir(), "rootfs.tar.xz"), url)
		before := p.modes()
		line := regexp.MustCompile(want)
		p.until(want, line.MatchString)
		if code := p.end(); code != 0 || p.screen() != "" || p.modes() != before {
			t.Errorf("%d columns: status %d, screen %q", columns, code, p.screen())
		}
		if strings.Contains(p.raw(), "\n") || strings.Contains(p.raw(), "\x1b") {
			t.Errorf("%d columns: %q", columns, p.raw())
		}
	}
}

// TestProgressResized makes the terminal narrower and wider while the line is shown.
func TestProgressResized(t *testing.T) {
	p := startPTY(t, 80, 5, nil, "fetch", "-o", filepath.Join(t.TempDir(), "rootfs.tar.xz"), slowFile(t))
	p.wait("/s  ")
	p.resize(40, 5)
	narrow := regexp.MustCompile(`(?m)^rootfs\.tar\.xz  \d+ %  [^/]*\ds left$`)
	p.until("a narrow line", narrow.MatchString)
	p.resize(80, 5)
	p.until("a wide line", func(screen string) bool { return strings.Contains(screen, "/s  ") })
	if code := p.end(); code != 0 {
		t.Errorf("status %d, screen\n%s", code, p.screen())
	}
}

// TestProgressModes: a dumb terminal and --progress get no line that is rewritten.
func TestProgressModes(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), noise(400<<10), 0o644); err != nil {
		t.Fatal(err)
	}
	url := slowServer(t, dir, "") + "/f"
	for _, c := range []struct{ env, option string }{
		{"TERM=dumb", "--progress=auto"}, {"TERM=vt100", "--progress=plain"}, {"TERM=vt100", "--progress=none"}, {"TERM=vt100", "-q"},
	} {
		p := startPTY(t, 80, 5, []string{c.env}, "fetch", c.option, "-o", filepath.Join(t.TempDir(), "f"), url)
		if code := p.end(); code != 0 || p.raw() != "" {
			t.Errorf("%q: status %d, %q", c, code, p.raw())
		}
	}
	if out, _, err := fetchTest(t, "--progress=often", url); exitStatus(err) != exitUsage || out != "" {
		t.Errorf("%q, %v", out, err)
	}
}

// TestPlainProgress: files get a line after ten seconds, and another after ten more.
func TestPlainProgress(t *testing.T) {
	var text bytes.Buffer
	u := &ui{err: &text}
	p := u.beginAt("Unpacking the rootfs", 1<<20, 4<<20)
	p.Write(make([]byte, 2<<20))
	p.Write(make([]byte, 1<<19))
	if text.Len() > 0 {
		t.Errorf("at once: %q", &text)
	}
	p.shown = p.shown.Add(-plainInterval)
	p.Write(make([]byte, 1<<19))
	p.Write(make([]byte, 1<<19))
	if got := text.String(); !strings.HasPrefix(got, "Unpacking the rootfs  75 %  3.0 MiB of 4.0 MiB") || strings.Count(got, "\n") != 1 || strings.Contains(got, "\r") {
		t.Errorf("%q", got)
	}
	p.Close()
	u.screen.mode = "none"
	if u.begin("x", 1) != nil {
		t.Error("--progress=none shows progress")
	}
}

// TestResumedProgress: after a resumption the line begins where the file is.
func TestResumedProgress(t *testing.T) {
	url := slowFile(t)
	name := filepath.Join(t.TempDir(), "rootfs.tar.xz")
	p := startPTY(t, 80, 5, nil, "fetch", "-o", name, url)
	p.until("20 %", regexp.MustCompile(`[23]\d %`).MatchString)
	p.send("\x03")
	if code := p.end(); code != 130 || !strings.Contains(p.screen(), `kept in "`) {
		t.Fatalf("status %d, screen\n%s", code, p.screen())
	}
	p = startPTY(t, 80, 5, nil, "fetch", "-o", name, url)
	p.wait("left")
	p.until("the last fifth", regexp.MustCompile(`[89]\d %`).MatchString)
	if code := p.end(); code != 0 || regexp.MustCompile(`\b1?\d %  `).MatchString(strings.ReplaceAll(p.raw(), "\r", "\n")) {
		t.Errorf("status %d, %q", code, p.raw())
	}
	if data, err := os.ReadFile(name); err != nil || !bytes.Equal(data, noise(3<<20)) {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}

// TestInterruptedOnPTY sends Ctrl-C while the metadata is waited for, while a file is downloaded,
// and while an image is unpacked. The terminal is left clean.
func TestInterruptedOnPTY(t *testing.T) {
	args := imageTree(t, []testFile{{"config", "lxc.arch = x86_64\n"}}, []testFile{{"f", string(noise(4 << 20))}})
	tree := strings.TrimPrefix(args[0], "--server=file://")
	for _, c := range []struct {
		name, stall, wait string
		args              []string
	}{
		{"metadata", "meta.tar.xz", "Downloading the metadata", append([]string{"rootfs", "DIR"}, args...)},
		{"download", "", "%", []string{"fetch", "-o", "DIR", "URL/images/1/rootfs.tar.xz"}},
		{"unpack", "", "%", append([]string{"rootfs", "DIR"}, args...)},
	} {
		for _, columns := range []int{40, 80} {
			made := filepath.Join(t.TempDir(), "made")
			var words []string
			url := slowServer(t, tree, c.stall)
			for _, word := range c.args {
				word = strings.Replace(strings.Replace(word, "DIR", made, 1), "URL", url, 1)
				words = append(words, strings.Replace(word, "file://"+tree, url, 1))
			}
			p := startPTY(t, columns, 20, nil, words...)
			before := p.modes()
			p.wait(c.wait)
			p.send("\x03")
			code := p.end()
			if code != 130 || p.modes() != before {
				t.Errorf("%s: status %d, modes changed: %v", c.name, code, p.modes() != before)
			}
			screen := p.screen()
			if strings.Contains(screen, "%") || !regexp.MustCompile(`(?m)^lxc-pull: interrupted`).MatchString(screen) || !strings.HasSuffix(p.raw(), "\n") {
				t.Errorf("%s: screen\n%s", c.name, screen)
			}
			if _, err := os.Lstat(made); err == nil {
				t.Errorf("%s: %s is left", c.name, made)
			}
		}
	}
}

// TestTerminatedOnPTY: SIGTERM leaves the terminal clean as well.
func TestTerminatedOnPTY(t *testing.T) {
	p := startPTY(t, 80, 5, nil, "fetch", "-o", filepath.Join(t.TempDir(), "f"), slowFile(t))
	p.wait("%")
	p.signal(syscall.SIGTERM)
	if code := p.end(); code != 143 || !strings.HasPrefix(p.screen(), "lxc-pull: interrupted") || strings.Contains(p.screen(), "%") {
		t.Errorf("status %d, screen\n%s", code, p.screen())
	}
}

// TestUntarOnPTY: untar does not wait for an archive that somebody would have to type.
func TestUntarOnPTY(t *testing.T) {
	p := startPTY(t, 80, 5, nil, "untar", "-t")
	if code := p.end(); code != exitUsage || !strings.Contains(p.screen(), "the archive is missing: name a FILE") {
		t.Errorf("status %d, screen\n%s", code, p.screen())
	}
}

// TestColor: the words that matter are coloured on a terminal, and nothing else ever is.
func TestColor(t *testing.T) {
	closed := closedPort(t)
	for _, c := range []struct {
		env  string
		want bool
	}{{"TERM=vt100", true}, {"TERM=dumb", false}, {"TERM=", false}, {"NO_COLOR=1", false}} {
		p := startPTY(t, 80, 20, []string{c.env}, "fetch", "--retries", "1", "-o", filepath.Join(t.TempDir(), "x"), "http://"+closed+"/x")
		code := p.end()
		if code != exitNetwork || strings.Contains(p.raw(), "\x1b[33mwarning:\x1b[m \"http") != c.want || strings.Contains(p.raw(), "\x1b[31mlxc-pull:\x1b[m \"http") != c.want {
			t.Errorf("%s: status %d, %q", c.env, code, p.raw())
		}
		if strings.Count(p.raw(), "\x1b") > 4 || !c.want && strings.Contains(p.raw(), "\x1b") {
			t.Errorf("%s: %q", c.env, p.raw())
		}
	}
}
