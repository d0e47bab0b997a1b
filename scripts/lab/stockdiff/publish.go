package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// An authority has everything that a client trusts: an OpenPGP key, made by gpg, and a
// certificate authority with a server certificate. It exists as long as the run.
type authority struct {
	gnupg string // gpg's home directory
	key   []byte // the public key, armored
	ca    []byte // PEM
	tls   *tls.Config

	mu         sync.Mutex
	signatures map[[32]byte][]byte // by the SHA-256 digest of the signed bytes
}

func newAuthority(dir string) (*authority, error) {
	a := &authority{gnupg: filepath.Join(dir, "gnupg"), signatures: map[[32]byte][]byte{}}
	if err := os.Mkdir(a.gnupg, 0o700); err != nil {
		return nil, err
	}
	if _, err := a.gpg(nil, "--passphrase", "", "--quick-generate-key", "Stock test <test@localhost>", "rsa2048", "sign", "never"); err != nil {
		return nil, err
	}
	var err error
	if a.key, err = a.gpg(nil, "--armor", "--export"); err != nil {
		return nil, err
	}
	return a, a.makeCertificates()
}

// close ends the gpg-agent that gpg started for this home directory.
func (a *authority) close() error {
	cmd := exec.Command("gpgconf", "--kill", "gpg-agent")
	cmd.Env = append(os.Environ(), "GNUPGHOME="+a.gnupg)
	return cmd.Run()
}

func (a *authority) gpg(stdin []byte, args ...string) ([]byte, error) {
	cmd := exec.Command("gpg", append([]string{"--batch", "--quiet"}, args...)...)
	cmd.Env = append(os.Environ(), "GNUPGHOME="+a.gnupg)
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("gpg %s: %w\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return out, nil
}

// sign returns an armored detached signature, the same one for the same bytes.
func (a *authority) sign(data []byte) ([]byte, error) {
	digest := sha256.Sum256(data)
	a.mu.Lock()
	sig, ok := a.signatures[digest]
	a.mu.Unlock()
	if ok {
		return sig, nil
	}
	sig, err := a.gpg(data, "--armor", "--digest-algo", "SHA512", "--output", "-", "--detach-sign")
	a.mu.Lock()
	defer a.mu.Unlock()
	a.signatures[digest] = sig
	return sig, err
}

func (a *authority) makeCertificates() error {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Stock test CA"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		return err
	}
	a.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	a.tls = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	return nil
}

// A site is an image server's tree, by path without a leading slash.
type site map[string][]byte

// add adds a file and its detached signature, or only the file if there is no authority.
func (s site) add(a *authority, name string, data []byte) error {
	if a == nil {
		s[name] = data
		return nil
	}
	sig, err := a.sign(data)
	if err != nil {
		return err
	}
	s[name], s[name+".asc"] = data, sig
	return nil
}

// addBuild adds an image's two signed archives and, if sums is true, the list of their
// digests.
func (s site) addBuild(a *authority, dir string, rootfs, meta []byte, sums bool) error {
	if err := s.add(a, dir+"/rootfs.tar.xz", rootfs); err != nil {
		return err
	}
	if err := s.add(a, dir+"/meta.tar.xz", meta); err != nil {
		return err
	}
	if a == nil || !sums {
		return nil
	}
	list := fmt.Sprintf("%x  rootfs.tar.xz\n%x  meta.tar.xz\n", sha256.Sum256(rootfs), sha256.Sum256(meta))
	return s.add(a, dir+"/SHA256SUMS", []byte(list))
}

// A server serves one site over HTTPS on the loopback interface and counts requests.
type server struct {
	http   *http.Server
	addr   string
	prefix string // path before the site, "" or "/mirror"

	mu   sync.Mutex
	site site
	log  []string
}

func serve(a *authority, prefix string) (*server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{addr: l.Addr().String(), prefix: prefix}
	s.http = &http.Server{Handler: s, TLSConfig: a.tls, ErrorLog: log.New(io.Discard, "", 0)}
	go s.http.ServeTLS(l, "", "")
	return s, nil
}

// name returns the value for --server.
func (s *server) name() string { return s.addr + s.prefix }

// show replaces the served site, and forgets the requests.
func (s *server) show(site site) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.site, s.log = site, nil
}

func (s *server) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.log...)
}

func (s *server) close() error { return s.http.Close() }

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// Treat two slashes as one, as nginx and Apache do: the stock template asks
	// for "//meta/1.0/index-system".
	name := path.Clean("/" + strings.TrimPrefix(r.URL.Path, s.prefix))[1:]
	s.mu.Lock()
	s.log = append(s.log, name)
	data, ok := s.site[name]
	s.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}
