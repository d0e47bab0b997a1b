// Links shows what happens on the network while a command creates a container from a server
// that is far away: each request with its time, and which connection it used.
//
//	go run -C scripts ./lab/bench/links -tree TREE [-rtt 300ms | -rate 50] [-watch DIR] -- lxc-pull rootfs DIR --server SERVER --cacert CA ...
//
// In the arguments SERVER is the server's host and port, CA the file with its certificate. The
// server is in a network namespace of its own, behind a cable on which packets take half of the
// given time in each direction, or one with a rate in MB per second. All times are from the start
// of the command: in seconds, and in round trips less the half that a request takes to the server.
// With -watch also the time is shown when the first file is below that directory. It needs root, ip,
// and tc or /dev/net/tun.
package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"lxc-pull/scripts/lab/bench/measure"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench/links: ")
	tree := flag.String("tree", "", "image `tree`")
	rtt := flag.Duration("rtt", 300*time.Millisecond, "`time` of a round trip")
	rate := flag.Float64("rate", 0, "MB per `second`, in place of a time of round trips")
	watch := flag.String("watch", "", "`directory` that gets the files")
	listen := flag.String("serve", "", "used by the program itself: serve at this `address`")
	ca := flag.String("ca", "", "used by the program itself: write the certificate to this `file`")
	flag.Parse()
	err := error(nil)
	switch {
	case *listen != "":
		err = serve(*listen, *ca, *tree)
	case *tree == "" || flag.NArg() == 0:
		flag.Usage()
		os.Exit(2)
	default:
		err = run(*tree, *rtt, *rate, *watch, flag.Args())
	}
	if err != nil {
		log.Fatal(err)
	}
}

// serve serves the tree, and prints a line for each new connection, request and first byte of a
// response.
func serve(address, ca, tree string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.ParseIP(host)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		return err
	}
	var mu sync.Mutex
	numbers := map[string]int{}
	say := func(peer, text string) {
		mu.Lock()
		defer mu.Unlock()
		if numbers[peer] == 0 {
			numbers[peer] = len(numbers) + 1
		}
		fmt.Printf("%d %d %s\n", time.Now().UnixNano(), numbers[peer], text)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	files := http.FileServer(http.Dir(tree))
	web := &http.Server{
		ErrorLog: log.New(io.Discard, "", 0), TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
		ConnState: func(c net.Conn, s http.ConnState) {
			if s == http.StateNew {
				say(c.RemoteAddr().String(), "connects")
			}
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			say(r.RemoteAddr, r.URL.Path+" "+r.Header.Get("Range"))
			w.Header().Set("Content-Type", "application/octet-stream")
			files.ServeHTTP(w, r)
			say(r.RemoteAddr, "sent "+r.URL.Path)
		}),
	}
	return web.Serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}))
}

func run(tree string, rtt time.Duration, rate float64, watch string, argv []string) error {
	dir, err := os.MkdirTemp("", "bench-links")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if tree, err = filepath.Abs(tree); err != nil {
		return err
	}
	id := strconv.Itoa(os.Getpid())
	var cable *measure.Cable
	if rate == 0 {
		cable, err = measure.NewDelayedCable(id, 78, rtt/2)
	} else if cable, err = measure.NewCable(id, 78); err == nil {
		err = cable.Limit(rate)
	}
	if err != nil {
		return err
	}
	defer cable.Remove()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	server := exec.Command("ip", "netns", "exec", cable.Far, self, "-tree", tree, "-ca", dir+"/ca.pem", "-serve", cable.Address+":0")
	out, err := server.StdoutPipe()
	if err != nil {
		return err
	}
	server.Stderr = os.Stderr
	if err := server.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(out)
	lines.Scan()
	address := lines.Text()
	for i := range argv {
		argv[i] = strings.NewReplacer("SERVER", address, "CA", dir+"/ca.pem").Replace(argv[i])
	}
	cmd := exec.Command("ip", append([]string{"netns", "exec", cable.Near}, argv...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	first := make(chan time.Time, 1)
	if watch != "" {
		go firstFile(watch, first)
	}
	begin := time.Now()
	failed := cmd.Run()
	end := time.Now()
	server.Process.Kill()
	say := func(t time.Time, text string) {
		trips := ""
		if rate == 0 {
			trips = fmt.Sprintf("%5.1f ", float64(t.Sub(begin))/float64(rtt)-0.5)
		}
		fmt.Printf("%6.3f %s %s\n", t.Sub(begin).Seconds(), trips, text)
	}
	for lines.Scan() {
		f := strings.SplitN(lines.Text(), " ", 3)
		if at, err := strconv.ParseInt(f[0], 10, 64); err == nil && len(f) == 3 {
			say(time.Unix(0, at), "connection "+f[1]+" "+f[2])
		}
	}
	server.Wait()
	select {
	case t := <-first:
		say(t, "first file")
	default:
	}
	say(end, fmt.Sprintf("end, processor time %.2f s", (cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()).Seconds()))
	return failed
}

// firstFile waits for a file two or more levels below a directory: the root file system's.
func firstFile(dir string, first chan<- time.Time) {
	for {
		if found, _ := filepath.Glob(dir + "/*/*/*"); len(found) > 0 {
			first <- time.Now()
			return
		}
		time.Sleep(time.Millisecond)
	}
}
