package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"lxc-pull/lxc/host"
)

// serveFault is "fault KIND": a server on loopback that fails in one way, until the script
// ends. It sets FAULT to the URL. KIND is "expired" or "othername", certificates that the
// authority of fault.pem has signed; "plain", http; "cut", which closes each connection; or
// a number, the status of every answer.
func serveFault(ts *testscript.TestScript, _ bool, args []string) {
	status, _ := strconv.Atoi(args[0])
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch {
		case status > 0:
			w.WriteHeader(status)
		case args[0] == "cut":
			panic(http.ErrAbortHandler)
		}
	}))
	server.Config.ErrorLog = nil
	ts.Defer(server.Close)
	if args[0] != "expired" && args[0] != "othername" {
		server.Start()
		ts.Setenv("FAULT", server.URL)
		return
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	certificate := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Date(2025, 3, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), IsCA: true, BasicConstraintsValid: true,
	}
	if args[0] == "othername" {
		certificate.IPAddresses, certificate.DNSNames, certificate.NotAfter = nil, []string{"other.example.org"}, time.Now().Add(time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, certificate, certificate, key.Public(), key)
	ts.Check(err)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.StartTLS()
	ts.Setenv("FAULT", server.URL)
	ts.Check(os.WriteFile(ts.MkAbs("fault.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
}

// TestHomeIsMissing: without HOME and -P an ordinary user is told both ways out.
func TestHomeIsMissing(t *testing.T) {
	t.Setenv("HOME", "")
	t.Setenv("PREFIX", "")
	c := new(createCall)
	err := c.locate(new(ui), &host.Layout{})
	if exitStatus(err) != exitUsage || !strings.Contains(err.Error(), "set HOME, or pass -P DIR") {
		t.Error(err)
	}
}
