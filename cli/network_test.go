package cli

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"lxc-pull/fetch"
	"lxc-pull/pull/source"
)

// tell runs the program with these words, and returns all that it says.
func tell(t *testing.T, args ...string) (said string, status int) {
	t.Helper()
	var text bytes.Buffer
	u := &ui{out: &text, err: &text, clock: source.NewClock(time.Time{}, time.Time{})}
	status = u.carryOut(t.Context(), append([]string{"lxc-pull"}, args...))
	return text.String(), status
}

// perform runs the command that the first of words names, and returns what it writes to
// both outputs.
func perform(t *testing.T, words ...string) (out, messages string, err error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	u := &ui{out: &stdout, err: &stderr, clock: source.NewClock(time.Time{}, time.Time{})}
	cmd, args, err := choose(append([]string{"lxc-pull"}, words...))
	if err == nil {
		u.command = cmd.name
		err = cmd.run(t.Context(), u, args)
	}
	return stdout.String(), stderr.String(), err
}

// TestNoSecrets checks that no password is printed, however it was passed and whatever is
// wrong with it.
func TestNoSecrets(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NETRC", "NO_PROXY", "no_proxy"} {
		t.Setenv(name, "")
	}
	t.Setenv("LXC_CACHE_PATH", t.TempDir())
	closed := closedPort(t)
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/loop"):
			http.Redirect(w, r, r.URL.String(), http.StatusFound)
		case strings.HasSuffix(r.URL.Path, "/away"):
			http.Redirect(w, r, "http://u:s3cret@"+closed+"/?k=s3cret", http.StatusFound)
		case strings.HasSuffix(r.URL.Path, "/broken"):
			w.Header().Set("Location", "http://%zz")
			w.WriteHeader(302)
		default:
			w.WriteHeader(403)
		}
	}))
	defer refusing.Close()
	live := strings.TrimPrefix(refusing.URL, "http://")
	check := func(args ...string) {
		t.Helper()
		said, status := tell(t, args...)
		if strings.Contains(said, "s3cret") || status == exitDone || said == "" {
			t.Errorf("%q: status %d: %s", args, status, said)
		}
	}
	urls := []string{
		"http://user:s3cret@host:port/x", "http://user:s3cret%zz@127.0.0.1/x", "http://us/er:s3cret@127.0.0.1/x%zz", "user:s3cret@127.0.0.1/x",
		"https:/user:s3cret@127.0.0.1/x", "http:user:s3cret@127.0.0.1", "//user:s3cret@127.0.0.1/x", "ftp://user:s3cret@127.0.0.1/x", "file://user:s3cret@host/x",
		"file:/user:s3cret@host", "./user:s3cret@host", "http://user:s3cret@", "http://user:s3cret@127.0.0.1:99999/x", "http://user:s3 cret s3cret@127.0.0.1/",
		"http://s3cret@" + closed + "/x", "http://user:s3cret@" + closed + "/x", "http://user:s3cret@" + closed + "/", "http://" + closed + "/x?key=s3cret", "http://" + closed + "/x#s3cret",
		"http://user:s3cret@" + live + "/x", "http://user:s3cret@" + live + "/loop?k=s3cret", "http://user:s3cret@" + live + "/away", "http://user:s3cret@" + live + "/broken",
		"https://user:s3cret@" + live + "/x", "http://" + closed + "/s3cret@x", "\x1buser:s3cret@127.0.0.1",
	}
	for _, u := range urls {
		check("fetch", "--retries", "1", "--limit-rate", "1G", u)
		check("fetch", "--retries", "0", "-v", "-o", "y", u)
		check("fetch", "--retries", "0", "-o", "-", "--sha256", strings.Repeat("0", 64), "http://"+closed+"/", u)
		if strings.HasPrefix(u, "http://"+closed+"/s3cret") {
			continue // a path of a server: it is no secret
		}
		check("list", "--retries", "0", "--server", u)
		check("--list", "--retries", "0", "--server", u)
		check("rootfs", "z", "-d", "a", "-r", "b", "--retries", "0", "--server", "http://"+closed, "--mirror", u)
		os.WriteFile("mirrors", []byte(u+"\n"), 0o600)
		check("rootfs", "z", "-d", "a", "-r", "b", "--retries", "0", "--server", "http://"+closed, "--mirror-list", "mirrors")
	}
	for _, proxy := range []string{"http://user:s3cret%@p", "user:s3cret@p:x", "s3cret://p", "http://user:s3cret@" + closed, "socks5://user:s3cret@" + live, "https://user:s3cret@" + live} {
		t.Setenv("all_proxy", proxy)
		if strings.HasPrefix(proxy, "socks5") {
			t.Setenv("all_proxy", "socks5://user:s3cret@"+closed) // a web server waits for a line that SOCKS has not
		}
		check("fetch", "--retries", "0", "-o", "y", "http://images.test/x")
		check("list", "--retries", "0", "--server", "images.test")
	}
	t.Setenv("all_proxy", "")
	for _, text := range []string{"s3cret", "machine 127.0.0.1 login s3cret s3cret", "machine 127.0.0.1 password \"s3cret", "default login a password s3cret", "machine 127.0.0.1 login a password s3cret"} {
		os.WriteFile("netrc", []byte(text), 0o600)
		check("fetch", "--retries", "0", "-o", "y", "--netrc-file", "netrc", "http://"+live+"/x")
		check("list", "--retries", "0", "--netrc-file", "netrc", "--server", "http://"+live)
		t.Setenv("NETRC", "netrc")
		check("fetch", "--retries", "0", "-o", "y", "http://"+live+"/x")
		t.Setenv("NETRC", "")
	}
	for _, text := range []string{"s3cret", "X: s3cret\x00", "[s3cret", "[user:s3cret@]", "[http://user:s3cret@a:x]", "Authorization: s3cret"} {
		os.WriteFile("header", []byte(text), 0o600)
		check("fetch", "--retries", "0", "-o", "y", "--header-file", "header", "http://"+live+"/x")
		check("list", "--retries", "0", "--header-file", "header", "--server", "http://"+live)
	}
}

// TestRetryNotes: a line for each attempt; on a terminal the first of each kind
// and one that is rewritten.
func TestRetryNotes(t *testing.T) {
	events := func(r *retryNotes) {
		for i := range 3 {
			r.tell(fetch.Event{
				Err:  &fetch.Error{URL: "http://a/x?k=s3cret", Kind: fetch.KindStatus, Status: 500},
				Next: "http://a/x?k=s3cret", Wait: time.Duration(9+i) * time.Second, Attempt: i + 2, Of: 8,
			})
		}
		r.waiting(fetch.Waiting{URL: "http://a/x?k=s3cret", For: 10 * time.Second})
		r.waiting(fetch.Waiting{URL: "http://b/x", For: 10 * time.Second}) // at the same time
		r.ui.line("done")
	}
	const failed = `"http://a/x?...": the server answered 500 Internal Server Error; attempt `
	for columns, want := range map[int]string{
		0: "warning: " + failed + "1 of 8, next in 9 s\nwarning: " + failed + "2 of 8, next in 10 s\nwarning: " + failed + "3 of 8, next in 11 s\n" +
			"waiting for \"http://a/x?...\", 10 s so far\ndone\n",
		20: "warning: " + failed + "1 of 8, next in 9 s\nattempt 2 of 8, n\r" + strings.Repeat(" ", 19) + "\rattempt 3 of 8, n\r" + strings.Repeat(" ", 19) +
			"\rwaiting for \"http\r" + strings.Repeat(" ", 19) + "\rdone\n",
	} {
		var text bytes.Buffer
		events(&retryNotes{ui: &ui{err: &text, screen: screen{columns: columns}}})
		if text.String() != want {
			t.Errorf("%d columns: %q, want %q", columns, text.String(), want)
		}
	}
	// The end of the run does not leave it there.
	var text bytes.Buffer
	u := &ui{err: &text, screen: screen{columns: 20}}
	u.transient("passing")
	u.finish(nil, 0)
	if want := "passing\r" + strings.Repeat(" ", 9) + "\r"; text.String() != want {
		t.Errorf("%q, want %q", text.String(), want)
	}
	text.Reset()
	events(&retryNotes{ui: &ui{err: &text, quiet: true}})
	if text.String() != "done\n" {
		t.Errorf("quiet: %q", text.String())
	}
}

// TestFetchClientCertificate checks that a server accepts --cert and --key. A refusal without
// them is final, and the error says that a certificate is needed.
func TestFetchClientCertificate(t *testing.T) {
	t.Chdir(t.TempDir())
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, len(r.TLS.PeerCertificates))
	}))
	server.Config.ErrorLog = nil
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.StartTLS()
	defer server.Close()
	writeCertificates(t, "ca", server)
	writeClientCertificate(t)
	for _, args := range [][]string{{"--cert", "cert", "--key", "key"}, {"--cert", "both"}} {
		all := append([]string{"fetch", "-q", "-o-", "--cacert", "ca", server.URL}, args...)
		if said, status := tell(t, all...); said != "1" || status != exitDone {
			t.Errorf("%q: %q, status %d", all, said, status)
		}
	}
	started := time.Now()
	said, status := tell(t, "fetch", "-o-", "--cacert", "ca", server.URL)
	if status != exitNetwork || !strings.Contains(said, "the server wants a client certificate") || !strings.Contains(said, "--cert FILE") || strings.Contains(said, "attempt") {
		t.Errorf("status %d after %v: %s", status, time.Since(started), said)
	}
}

// TestCertificateHints checks that each fault of a certificate has its own hint. Only the hint
// for an unknown authority mentions --cacert.
func TestCertificateHints(t *testing.T) {
	u := &ui{clock: source.NewClock(time.Time{}, time.Now())}
	for kind, want := range map[fetch.Kind]string{
		fetch.KindAuthority: "--cacert", fetch.KindExpired: "Tell the server's owner", fetch.KindName: "subjectAltName", fetch.KindWantsCert: "--cert FILE",
		fetch.KindSpeaksHTTP: "http://", fetch.KindSpeaksTLS: "https://", fetch.KindTLS: "TLS 1.2", fetch.KindClock: "clock",
		fetch.KindRefusesCert: "owner", fetch.KindSettings: "variable",
	} {
		hint := u.networkHint(&fetch.Error{Kind: kind}, false)
		if !strings.Contains(hint, want) || kind != fetch.KindAuthority && strings.Contains(hint, "--cacert") {
			t.Errorf("%s: %q, want %q", kind, hint, want)
		}
	}
	for year, want := range map[int]string{2026: "Tell the server's owner", 2099: "This machine's clock says 2099-01-01, more than ten years"} {
		if hint := u.expiredHint(time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)); !strings.Contains(hint, want) {
			t.Errorf("in %d: %q, want %q", year, hint, want)
		}
	}
}
