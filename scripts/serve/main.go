// Command serve is a web server for trying an image tree on one machine. It serves
// HTTPS on the loopback interface, with a certificate authority that it makes for this
// run and whose key it never writes to a file.
//
//	serve [--addr 127.0.0.1:0] [--name NAME]... [--log] --ca FILE TREE
//
// It writes the authority's certificate to FILE, then prints its URL on one line and
// serves until a signal ends it or, with --stdin, until its standard input is closed.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "address to listen on; port 0 means any free port")
	ca := flag.String("ca", "", "file to write the certificate authority to")
	var names []string
	flag.Func("name", "a name or address of the server besides localhost; may be repeated", func(name string) error {
		names = append(names, name)
		return nil
	})
	requests := flag.Bool("log", false, "write a line for every request to standard error")
	stdin := flag.Bool("stdin", false, "end when standard input ends")
	flag.Parse()
	if flag.NArg() != 1 || *ca == "" {
		fmt.Fprintln(os.Stderr, "usage: serve [--addr HOST:PORT] [--name NAME]... [--log] [--stdin] --ca FILE TREE")
		os.Exit(2)
	}
	if err := serve(*addr, *ca, flag.Arg(0), names, *requests, *stdin); err != nil {
		fmt.Fprintf(os.Stderr, "serve: %v\n", err)
		os.Exit(1)
	}
}

func serve(addr, ca, tree string, names []string, requests, stdin bool) error {
	authority, certificate, err := throwawayCertificate(time.Now(), names)
	if err != nil {
		return err
	}
	if err := os.WriteFile(ca, authority, 0o644); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	files := http.FileServer(http.Dir(tree))
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if requests {
				log.Printf("%s %s", r.Method, r.URL.Path)
			}
			files.ServeHTTP(w, r)
		}),
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		ReadHeaderTimeout: 30 * time.Second,
	}
	if stdin {
		go func() {
			io.Copy(io.Discard, os.Stdin)
			os.Exit(0)
		}()
	}
	fmt.Printf("https://%s\n", listener.Addr())
	return server.ServeTLS(listener, "", "")
}

// throwawayCertificate makes a certificate authority and a server certificate
// for this machine's own names and the given ones, both valid for a day. It returns the
// authority's certificate in PEM, and drops the authority's key.
func throwawayCertificate(now time.Time, names []string) (authority []byte, server tls.Certificate, err error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, server, err
	}
	ca := &x509.Certificate{
		SerialNumber:          big.NewInt(now.UnixNano()),
		Subject:               pkix.Name{CommonName: "throw-away authority of scripts/serve"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return nil, server, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, server, err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano() + 1),
		Subject:      pkix.Name{CommonName: "localhost"},
		NotBefore:    ca.NotBefore,
		NotAfter:     ca.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		return nil, server, err
	}
	authority = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	return authority, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
