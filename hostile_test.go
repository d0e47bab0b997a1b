package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
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
	"lxc-pull/image"
	"lxc-pull/lxc"
	"lxc-pull/pgp"
	"lxc-pull/untar"
)

// TestTellingFailure: of several failures the one that says most decides on the
// status and the advice, in whatever order they come.
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

// TestHints: no advice that is untrue where it is given.
func TestHints(t *testing.T) {
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"} {
		t.Setenv(name, "")
	}
	truncated := &fetch.Error{Kind: fetch.KindTruncated}
	down := &fetch.Error{Kind: fetch.KindTimeout}
	through := &fetch.Error{Kind: fetch.KindTimeout, Proxy: "http://p:1"}
	notFound := &fetch.Error{Kind: fetch.KindStatus, Status: 404}
	kept := func(err error) error { return &keptError{err, 5, "x.part"} }
	given := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	for _, test := range []struct {
		name        string
		ui          *ui
		err         error
		has, hasNot string
	}{
		{"nothing kept", new(ui), truncated, "Try again", "same command"},
		{"something kept", new(ui), kept(truncated), "same command", "Nothing"},
		{"kept in the cache", &ui{resumes: true}, truncated, "same command", "Nothing"},
		{"a full disk, kept", new(ui), kept(syscall.ENOSPC), "Make room", "Nothing"},
		{"a full disk", new(ui), syscall.ENOSPC, "Nothing of it was kept. Make room", "same command"},
		{"no proxy", new(ui), down, "set https_proxy", "is set"},
		{"a proxy", new(ui), through, "A proxy is set", "set https_proxy"},
		{"fetch, 404", &ui{command: "fetch"}, notFound, "is the URL right", "--server"},
		{"create, 404", &ui{command: "create"}, notFound, "--server", "URL"},
		{"fetch, a circle", &ui{command: "fetch"}, &fetch.Error{Kind: fetch.KindRedirect}, "Check the URL", "--server"},
		{"fetch, a web page", &ui{command: "fetch"}, &fetch.Error{Kind: fetch.KindHTML}, "the URL", "--server"},
		{"verify", &ui{command: "verify"}, &unverifiedError{"x", &pgp.BadSignatureError{}}, "not what was signed", "server"},
		{"verify, another key", &ui{command: "verify"}, &pgp.UntrustedError{}, "--keyring FILE", "server"},
		{"the clock", new(ui), &fetch.Error{Kind: fetch.KindClock}, "system's clock", "--time says"},
		{"--time", &ui{given: given}, &fetch.Error{Kind: fetch.KindClock}, "--time says 2026-01-02 03:04", "system's clock"},
		{"--time, expired", &ui{given: given}, &fetch.Error{Kind: fetch.KindExpired}, "--time says", "pass --time"},
		{"--time, a signature", &ui{given: given}, &unverifiedError{"x", &pgp.BadSignatureError{Future: true}}, "--time says", "system's clock"},
	} {
		if hint := test.ui.hint(test.err); !strings.Contains(hint, test.has) || strings.Contains(hint, test.hasNot) {
			t.Errorf("%s: %q", test.name, hint)
		}
	}
	if got := new(ui).hint(&unverifiedError{"x", errors.New("y")}); !strings.Contains(got, "another server") {
		t.Errorf("wrong bytes: %q", got)
	}
	t.Setenv("all_proxy", "http://p")
	if hint := new(ui).hint(down); strings.Contains(hint, "set https_proxy") {
		t.Errorf("with all_proxy: %q", hint)
	}
}

// TestProxyUnused: a proxy that can't be read stops no run that makes no
// request, and one that makes any before its first.
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
	if said, status := call(t, "fetch", "-o-", "file://"+path); status != exitDone || said != "bytes" {
		t.Errorf("a local file: status %d, %s", status, said)
	}
	asked := false
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer server.Close()
	for _, args := range [][]string{{"fetch", "-o-", server.URL + "/x"}, {"list", "--server", server.URL}} {
		said, status := call(t, args...)
		if status != exitUsage || asked || strings.Contains(said, "s3cret") || !strings.Contains(said, "https_proxy") || strings.Contains(said, "attempt") {
			t.Errorf("%q: status %d, asked %v, %s", args, status, asked, said)
		}
	}
}

// TestDigestNamesFile: the file of a wrong digest has its name.
func TestDigestNamesFile(t *testing.T) {
	t.Chdir(t.TempDir())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		io.WriteString(w, "x")
	}))
	defer server.Close()
	said, status := call(t, "fetch", "-o", "wanted", "--sha256", strings.Repeat("0", 64), server.URL+"/x")
	if status != exitUnverified || !strings.Contains(said, `"wanted": its SHA-256`) {
		t.Errorf("status %d: %s", status, said)
	}
}

// TestFalseSize: a size for which there is no room counts only where it comes
// from who may be believed.
func TestFalseSize(t *testing.T) {
	const absurd = int64(4e13)
	serve := func(size int64, tls bool) *httptest.Server {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n := min(int64(indexTail), size)
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", size-n, size-1, size))
			w.Header().Set("Content-Type", "application/octet-stream")
			w.WriteHeader(206)
			w.Write(make([]byte, n))
		})
		s := httptest.NewUnstartedServer(h)
		s.Config.ErrorLog = nil
		if tls {
			s.StartTLS()
		} else {
			s.Start()
		}
		t.Cleanup(s.Close)
		return s
	}
	lies, liesTLS, honest, honestTLS := serve(absurd, false), serve(absurd, true), serve(5000, false), serve(5000, true)
	ca := filepath.Join(t.TempDir(), "ca")
	writeCertificates(t, ca, liesTLS, honestTLS)
	for _, test := range []struct {
		name            string
		server, mirror  *httptest.Server
		refused, warned bool
	}{
		{"a mirror, the server knows better", honestTLS, lies, false, false},
		{"a mirror over https", honestTLS, liesTLS, false, false},
		{"a mirror, nobody to ask", honest, lies, false, true},
		{"plain http", lies, nil, false, true},
		{"the server itself", liesTLS, nil, true, false},
		{"a mirror that is right about it", liesTLS, lies, true, false},
		{"all is well", honest, nil, false, false},
	} {
		root, err := untar.OpenRoot(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		var said bytes.Buffer
		opt := options{servers: []string{test.server.URL}, noCache: true}
		if test.mirror != nil {
			opt.mirrors = []string{test.mirror.URL}
		}
		c := newCreation(&ui{out: io.Discard, err: &said}, opt, lxc.HostNamespace)
		if c.servers, err = newServers(&opt); err != nil {
			t.Fatal(err)
		}
		network := networkOptions{cacerts: []string{ca}}
		if c.client, err = network.client("", c.servers.urls(), newClock(time.Time{}), true, &retryNotes{ui: c.ui}); err != nil {
			t.Fatal(err)
		}
		c.ui.verbose = true
		err = c.checkRoom(t.Context(), root, &source{image: image.Image{Path: "images/x"}, seal: &seal{}})
		var room *roomError
		if errors.As(err, &room) != test.refused || err != nil && room == nil || strings.Contains(said.String(), "nothing vouches") != test.warned {
			t.Errorf("%s: %v; %s", test.name, err, said.String())
		}
		c.client.Close()
		root.Close()
	}
}

// writeCertificates writes those of servers as PEM.
func writeCertificates(t *testing.T, name string, servers ...*httptest.Server) {
	var all []byte
	for _, s := range servers {
		all = append(all, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})...)
	}
	if err := os.WriteFile(name, all, 0o600); err != nil {
		t.Fatal(err)
	}
}

// writeClientCertificate writes a client's certificate, signed by itself, to the
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

// TestRefusedCertificate: a server that does not accept the client's certificate
// is said not to, and one that wanted one gets no such word.
func TestRefusedCertificate(t *testing.T) {
	t.Chdir(t.TempDir())
	writeClientCertificate(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		server := httptest.NewUnstartedServer(http.NotFoundHandler())
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool(), MaxVersion: version}
		server.StartTLS()
		writeCertificates(t, "ca", server)
		said, status := call(t, "fetch", "-o-", "--cacert", "ca", "--cert", "both", server.URL)
		if status != exitNetwork || !strings.Contains(said, "does not accept the client certificate") || strings.Contains(said, "attempt") || strings.Contains(said, "--cert FILE") {
			t.Errorf("TLS %x: status %d, %s", version, status, said)
		}
		said, status = call(t, "fetch", "-o-", "--cacert", "ca", server.URL)
		if status != exitNetwork || strings.Contains(said, "does not accept") || !strings.Contains(said, "--cert FILE") {
			t.Errorf("TLS %x, without one: status %d, %s", version, status, said)
		}
		server.Close()
	}
}

// TestOfflineProxy: a proxy that is down is a network that is down: the cached
// copy may be used. One that refuses is not.
func TestOfflineProxy(t *testing.T) {
	for status, want := range map[int]bool{0: true, 403: false, 407: false} {
		if err := (&fetch.Error{Kind: fetch.KindProxy, Status: status}); offline(err) != want {
			t.Errorf("status %d: offline %v", status, !want)
		}
	}
}
