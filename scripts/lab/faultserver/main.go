// Command faultserver serves a directory and behaves like a bad network: connections
// break, stall and slow down; bytes, lengths and statuses are wrong; login pages come in
// place of files; files change between two requests. It is for testing programs that
// download, automatically or by hand.
//
//	faultserver [OPTION]... DIR
//
//	-listen ADDRESS   default 127.0.0.1:0; the first line on stdout is the URL
//	-tls FILE         serve HTTPS; FILE gets the certificate to trust
//	-seed N           chooses the faults; the same seed gives the same faults
//	-faults LIST      only these faults: names separated by commas, "all" or "none"
//	-chance P         the probability that a request meets a fault: 0 to 1
//	-most N           faults per path; later answers are right, so that a patient
//	                  client succeeds
//	-rate N           bytes per second of every answer, 0: no limit
//	-only SUFFIX      only requests for paths with this suffix meet faults
//	-log FILE         write a line of JSON for each request after it was answered
//
// The fault that a request meets depends on the seed, the path and the number of
// earlier requests for that path, so requests for other paths at the same time don't
// change it.
//
// Example: serve lxc-pull every fault, and log its requests:
//
//	faultserver -seed 7 -log requests.json tree
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"lxc-pull/scripts/lab/faults"
)

func main() {
	if err := run(os.Args[1:]); err != nil && err != flag.ErrHelp {
		fmt.Fprintln(os.Stderr, "faultserver:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("faultserver", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:0", "address")
	certificate := flags.String("tls", "", "serve HTTPS, and write the certificate to this file")
	seed := flags.Uint64("seed", 1, "which faults come when")
	names := flags.String("faults", "all", "which faults")
	chance := flags.Float64("chance", 0.5, "of a fault")
	most := flags.Int("most", 3, "faults per path")
	rate := flags.Int64("rate", 0, "bytes per second")
	only := flags.String("only", "", "ending of the paths that meet faults")
	logName := flags.String("log", "", "file for a line per request")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("which directory?")
	}
	list, err := faults.Parse(*names)
	if err != nil {
		return err
	}
	out := io.Discard
	if *logName != "" {
		f, err := os.OpenFile(*logName, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			return err
		}
		defer f.Close()
		out = f
	}
	var mu sync.Mutex
	s := &faults.Server{
		Dir: flags.Arg(0), Seed: *seed, Faults: list, Chance: *chance, Most: *most, Rate: *rate, Only: *only,
		Done: func(r faults.Record) {
			mu.Lock()
			defer mu.Unlock()
			json.NewEncoder(out).Encode(r)
		},
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	// HTTP/1.1 alone: several faults take the connection out of net/http's hands.
	web := &http.Server{Handler: s, ErrorLog: log.New(io.Discard, "", 0), TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}}
	scheme := "http"
	if *certificate != "" {
		scheme = "https"
		pair, err := newCertificate(*certificate, l.Addr().(*net.TCPAddr).IP)
		if err != nil {
			return err
		}
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}})
	}
	fmt.Printf("%s://%s\n", scheme, l.Addr())
	return web.Serve(l)
}

// newCertificate makes a certificate for the address, localhost and *.test, and
// writes it to a file.
func newCertificate(name string, address net.IP) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{address}, DNSNames: []string{"localhost", "*.test"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	err = os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
