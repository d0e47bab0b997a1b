package fetch

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// certificate makes a self-signed certificate.
func certificate(t *testing.T, template *x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(1)
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	template.IsCA, template.BasicConstraintsValid = true, true
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// trustFile writes a certificate to a file for TLSOptions.CACerts.
func trustFile(t *testing.T, der []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// secureWith starts a TLS server with the given configuration. It returns the URL and
// a file with the certificate.
func secureWith(t *testing.T, config *tls.Config, f http.HandlerFunc) (url, ca string) {
	t.Helper()
	s := httptest.NewUnstartedServer(f)
	s.Config.ErrorLog = quiet()
	s.TLS = config
	s.StartTLS()
	t.Cleanup(s.Close)
	der := s.Certificate().Raw
	if len(config.Certificates) > 0 {
		der = config.Certificates[0].Certificate[0]
	}
	return s.URL, trustFile(t, der)
}

// TestTLSRefusals checks that a TLS error ends the fetch at the first attempt, with
// the right Kind.
func TestTLSRefusals(t *testing.T) {
	legacy := certificate(t, &x509.Certificate{Subject: pkix.Name{CommonName: "127.0.0.1"}})
	alerts, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer alerts.Close()
	go func() { // a server that sends an alert after a plain HTTP request, as OpenSSL does
		for {
			conn, err := alerts.Accept()
			if err != nil {
				return
			}
			conn.Read(make([]byte, 1000))
			conn.Write([]byte("\x15\x03\x01\x00\x02\x02\x46"))
			conn.Close()
		}
	}()
	page := func(text string) string {
		return handle(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(400)
			io.WriteString(w, text)
		})
	}
	for _, test := range []struct {
		name   string
		config *tls.Config // nil: url is used
		url    string
		kind   Kind
		text   string
	}{
		{"a client certificate, TLS 1.3", &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13}, "", KindWantsCert, "client certificate"},
		{"a client certificate, TLS 1.2", &tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}, "", KindTLS, "the server refused it"},
		{"TLS 1.1 alone", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, "", KindTLS, "protocol version"},
		{"no common cipher", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_RC4_128_SHA}}, "", KindTLS, "handshake failure"},
		{"a common name alone", &tls.Config{Certificates: []tls.Certificate{legacy}}, "", KindName, `the common name "127.0.0.1"`},
		{"an alert to a plain request", nil, "http://" + alerts.Addr().String(), KindSpeaksTLS, "https"},
		{"nginx", nil, page("<html><center>The plain HTTP request was sent to HTTPS port</center>"), KindSpeaksTLS, "https"},
		{"Apache", nil, page("Reason: You're speaking plain HTTP to an SSL-enabled server port."), KindSpeaksTLS, "https"},
		{"another 400", nil, page("<html>no"), KindStatus, "400"},
	} {
		t.Run(test.name, func(t *testing.T) {
			base, ca := test.url, ""
			opt := Options{Paths: &Paths{}}
			if test.config != nil {
				base, ca = secureWith(t, test.config, send("x"))
				opt.TLS.CACerts = []string{ca}
			}
			attempts := 0
			opt.Report.Notify = func(e Event) { attempts++ }
			_, err := newClient(t, opt).Get(t.Context(), base, 10)
			if kindOf(err) != test.kind || !strings.Contains(err.Error(), test.text) {
				t.Errorf("%v; want kind %q, %q", err, test.kind, test.text)
			}
			if attempts > 0 {
				t.Errorf("%d further attempts", attempts)
			}
		})
	}
}

// TestClientCertificate checks that the client certificate is sent to its origins only:
// not to mirrors, not after a redirect from or to another origin, and not to a proxy.
func TestClientCertificate(t *testing.T) {
	mine := certificate(t, &x509.Certificate{Subject: pkix.Name{CommonName: "client"}})
	var server, other string
	answer := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/to-other":
			http.Redirect(w, r, other+"/x", http.StatusFound)
		case "/there-and-back":
			http.Redirect(w, r, other+"/to-server", http.StatusFound)
		case "/to-server":
			http.Redirect(w, r, server+"/x", http.StatusFound)
		default:
			fmt.Fprint(w, len(r.TLS.PeerCertificates))
		}
	}
	server, serverCA := secureWith(t, &tls.Config{ClientAuth: tls.RequestClientCert}, answer)
	other, otherCA := secureWith(t, &tls.Config{ClientAuth: tls.RequestClientCert}, answer)
	opt := Options{Paths: &Paths{}, TLS: TLSOptions{CACerts: []string{serverCA, otherCA}, Certificate: &mine, CertificateFor: []string{Origin(server)}}}
	for _, early := range []bool{false, true} {
		if early {
			opt.TLS.Now = func() time.Time { return time.Unix(0, 0) }
			opt.TLS.ClockBehind = func() bool { return true }
		}
		c := newClient(t, opt)
		for _, test := range [][2]string{
			{server + "/x", "1"}, {other + "/x", "0"}, {other + "/to-server", "0"}, {server + "/to-other", "0"}, {server + "/to-server", "1"}, {server + "/there-and-back", "0"},
		} {
			if got, err := c.Get(t.Context(), test[0], 10); string(got) != test[1] {
				t.Errorf("early %v: %s: %q certificates, %v, want %s", early, test[0], got, err, test[1])
			}
		}
	}
	opt.TLS.Now, opt.TLS.ClockBehind = nil, nil
	opt.Proxy = http.ProxyURL(&url.URL{Scheme: "https", Host: strings.TrimPrefix(other, "https://")})
	if _, err := newClient(t, opt).Get(t.Context(), server+"/x", 10); err == nil || !strings.Contains(err.Error(), "client certificate") {
		t.Errorf("through an https proxy: %v", err)
	}
}

// TestWaiting checks that the user hears something every fifteen seconds while the
// server sends no header, no body or only errors.
func TestWaiting(t *testing.T) {
	for _, test := range []struct {
		name  string
		serve http.HandlerFunc
	}{
		{"no header", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		{"no body", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "10")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}},
		{"come back later", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "100")
			w.WriteHeader(503)
		}},
		{"always 500", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			heard := make(chan time.Time, 1000)
			attempts := 0
			opt := Options{
				Report: ReportOptions{Notify: func(e Event) {
					heard <- time.Now()
					attempts++
					if e.Attempt != attempts+1 || e.Of != 8 {
						t.Errorf("attempt %d of %d, want %d of 8", e.Attempt, e.Of, attempts+1)
					}
				}, Waiting: func(w Waiting) {
					heard <- time.Now()
					if w.URL != "http://images.test/x" {
						t.Errorf("waiting for %q", w.URL)
					}
				}},
			}
			inTime(t, test.serve, opt, func(t *testing.T, c *Client) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				last := time.Now()
				body, err := c.Open(ctx, Request{URLs: []string{"http://u:s3cret@images.test/x"}})
				if err == nil {
					_, err = io.ReadAll(body)
					body.Close()
				}
				if err == nil {
					t.Error("no error")
				}
				heard <- time.Now()
				synctest.Wait() // until the goroutine that reports has ended
				close(heard)
				for at := range heard {
					if silence := at.Sub(last); silence > 15*time.Second {
						t.Errorf("nothing was heard for %v", silence)
					}
					last = at
				}
			})
		})
	}
}
