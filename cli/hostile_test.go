package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"lxc-pull/fetch"
	"lxc-pull/pgp"
	"lxc-pull/pull"
	"lxc-pull/pull/source"
)

// TestTellingFailure checks that the most telling of several failures determines the exit
// status and the hint, whatever the order of the failures.
func TestTellingFailure(t *testing.T) {
	file := &fetch.Error{URL: "file:///none", Kind: fetch.KindFile, Err: os.ErrNotExist}
	refused := &fetch.Error{URL: "http://a/", Kind: fetch.KindRefused}
	absent := &fetch.Error{URL: "http://b/", Kind: fetch.KindStatus, Status: 404}
	authority := &fetch.Error{URL: "https://c/", Kind: fetch.KindAuthority}
	for _, test := range []struct {
		a, b *fetch.Error
		want *fetch.Error
	}{{file, refused, refused}, {refused, absent, absent}, {authority, refused, authority}, {absent, authority, authority}} {
		for _, err := range []error{errors.Join(test.a, test.b), fmt.Errorf("x: %w", errors.Join(test.b, test.a))} {
			if got := telling(err); got != test.want {
				t.Errorf("%v: %v", err, got)
			}
			if got, hint := exitStatus(err), new(ui).hint(err); got != exitNetwork || hint != new(ui).hint(test.want) {
				t.Errorf("%v: status %d, %q", err, got, hint)
			}
		}
	}
}

// TestHints checks that no hint is wrong in its situation.
func TestHints(t *testing.T) {
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"} {
		t.Setenv(name, "")
	}
	truncated := &fetch.Error{Kind: fetch.KindTruncated}
	down := &fetch.Error{Kind: fetch.KindTimeout}
	through := &fetch.Error{Kind: fetch.KindTimeout, Proxy: "http://p:1"}
	notFound := &fetch.Error{Kind: fetch.KindStatus, Status: 404}
	kept := func(err error) error { return &keptError{err: err, size: 5, name: "x.part"} }
	given := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	at := func(given time.Time) *ui { return &ui{clock: source.NewClock(given, time.Now())} }
	unverified := func(err error) error { return &source.Error{Kind: source.Unverified, What: "x", Err: err} }
	for _, test := range []struct {
		name        string
		ui          *ui
		err         error
		has, hasNot string
	}{
		{"nothing kept", new(ui), truncated, "Try again", "same command"},
		{"something kept", new(ui), kept(truncated), "same command", "Nothing"},
		{"kept in the cache", new(ui), &pull.ResumableError{Err: truncated}, "same command", "Nothing"},
		{"a full disk, kept", new(ui), kept(syscall.ENOSPC), "Free some space", "Nothing"},
		{"a full disk", new(ui), syscall.ENOSPC, "Nothing was kept. Free some space", "same command"},
		{"no proxy", new(ui), down, "set https_proxy", "is set"},
		{"a proxy", new(ui), through, "A proxy is set", "set https_proxy"},
		{"fetch, 404", &ui{command: "fetch"}, notFound, "Check the URL", "--server"},
		{"create, 404", &ui{command: "create"}, notFound, "--server", "URL"},
		{"fetch, a circle", &ui{command: "fetch"}, &fetch.Error{Kind: fetch.KindRedirect}, "Check the URL", "--server"},
		{"fetch, a web page", &ui{command: "fetch"}, &fetch.Error{Kind: fetch.KindHTML}, "the URL", "--server"},
		{"create, no permission", &ui{command: "create"}, &fs.PathError{Op: "mkdir", Path: "/var/lib/lxc/web", Err: syscall.EACCES}, "You may not write to \"/var/lib/lxc/web\". Use sudo, or choose another place with -P DIR.", "read"},
		{"verify", &ui{command: "verify"}, unverified(&pgp.BadSignatureError{}), "not what was signed", "server"},
		{"verify, another key", &ui{command: "verify"}, &pgp.UntrustedError{}, "--keyring FILE", "server"},
		{"the clock", at(time.Time{}), &fetch.Error{Kind: fetch.KindClock}, "system's clock", "--time says"},
		{"--time", at(given), &fetch.Error{Kind: fetch.KindClock}, "--time says 2026-01-02 03:04", "system's clock"},
		{"--time, expired", at(given), &fetch.Error{Kind: fetch.KindExpired}, "--time says", "pass --time"},
		{"--time, a signature", at(given), unverified(&pgp.BadSignatureError{Future: true}), "--time says", "system's clock"},
	} {
		if hint := test.ui.hint(test.err); !strings.Contains(hint, test.has) || strings.Contains(hint, test.hasNot) {
			t.Errorf("%s: %q", test.name, hint)
		}
	}
	if got := new(ui).hint(unverified(errors.New("y"))); !strings.Contains(got, "another server") {
		t.Errorf("wrong bytes: %q", got)
	}
	t.Setenv("all_proxy", "http://p")
	if hint := new(ui).hint(down); strings.Contains(hint, "set https_proxy") {
		t.Errorf("with all_proxy: %q", hint)
	}
}

// TestProxyUnused checks that a malformed proxy variable does not affect a run without
// requests, and stops any other run before its first request.
func TestProxyUnused(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("https_proxy", "http://u:s3cret%zz@p")
	if err := os.WriteFile("x", []byte("bytes"), 0o600); err != nil {
		t.Fatal(err)
	}
	path, err := filepath.Abs("x")
	if err != nil {
		t.Fatal(err)
	}
	if said, status := tell(t, "fetch", "-o-", "file://"+path); status != exitDone || said != "bytes" {
		t.Errorf("a local file: status %d, %s", status, said)
	}
	asked := false
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer server.Close()
	for _, args := range [][]string{{"fetch", "-o-", server.URL + "/x"}, {"list", "--server", server.URL}} {
		said, status := tell(t, args...)
		if status != exitUsage || asked || strings.Contains(said, "s3cret") || !strings.Contains(said, "https_proxy") || strings.Contains(said, "attempt") {
			t.Errorf("%q: status %d, asked %v, %s", args, status, asked, said)
		}
	}
}

// TestDigestNamesFile checks that the error for a wrong digest names the file.
func TestDigestNamesFile(t *testing.T) {
	t.Chdir(t.TempDir())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		io.WriteString(w, "x")
	}))
	defer server.Close()
	said, status := tell(t, "fetch", "-o", "wanted", "--sha256", strings.Repeat("0", 64), server.URL+"/x")
	if status != exitUnverified || !strings.Contains(said, `"wanted": its SHA-256`) {
		t.Errorf("status %d: %s", status, said)
	}
}

// writeCertificates writes the certificates of servers to a file, as PEM.
func writeCertificates(t *testing.T, name string, servers ...*httptest.Server) {
	var all []byte
	for _, s := range servers {
		all = append(all, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})...)
	}
	if err := os.WriteFile(name, all, 0o600); err != nil {
		t.Fatal(err)
	}
}

// writeClientCertificate writes a self-signed client certificate and its key to the
// files "cert" and "key", and both to "both".
func writeClientCertificate(t *testing.T) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	secret := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	for name, data := range map[string][]byte{"cert": cert, "key": secret, "both": slices.Concat(cert, secret)} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRefusedCertificate checks the errors of a server that refuses the client's certificate,
// and of a server that requires a certificate and gets none.
func TestRefusedCertificate(t *testing.T) {
	t.Chdir(t.TempDir())
	writeClientCertificate(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		server := httptest.NewUnstartedServer(http.NotFoundHandler())
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool(), MaxVersion: version}
		server.StartTLS()
		writeCertificates(t, "ca", server)
		said, status := tell(t, "fetch", "-o-", "--cacert", "ca", "--cert", "both", server.URL)
		if status != exitNetwork || !strings.Contains(said, "does not accept the client certificate") || strings.Contains(said, "attempt") || strings.Contains(said, "--cert FILE") {
			t.Errorf("TLS %x: status %d, %s", version, status, said)
		}
		said, status = tell(t, "fetch", "-o-", "--cacert", "ca", server.URL)
		if status != exitNetwork || strings.Contains(said, "does not accept") || !strings.Contains(said, "--cert FILE") {
			t.Errorf("TLS %x, without one: status %d, %s", version, status, said)
		}
		server.Close()
	}
}
