package main

import (
	"net"
	"net/http"
	"testing"
	"time"

	"lxc-pull/scripts/lab/faults"
)

// TestKept checks that a cache that lost bytes is found, and that only bytes that nobody read are
// excused.
func TestKept(t *testing.T) {
	rootfs := image(build2)
	whole := faults.Record{Path: rootfs, Status: 200, Sent: 5000}
	const begun = "Downloading the image index\nDownloading the rootfs\n"
	for _, test := range []struct {
		name   string
		said   string
		had    int
		list   []faults.Record
		have   int
		broken bool
	}{
		{"all is here", begun, 0, []faults.Record{whole}, 5000, false},
		{"bytes are lost", begun, 0, []faults.Record{whole}, 4999, true},
		{"the server's error message", begun, 0, []faults.Record{{Path: rootfs, Status: 404, Sent: 19}}, 0, false},
		{"requested early, and not read", "Downloading the image index\n", 0, []faults.Record{whole}, 0, false},
		{"an earlier run's bytes are lost before the rootfs", "connection refused\n", 5000, nil, 0, true},
		{"dropped with the first list", "reading the index again\n" + begun, 0, []faults.Record{whole}, 0, false},
		{"an earlier run's bytes are lost after it", "reading the index again\n" + begun, 5000, nil, 10, true},
		{"the second list comes after the rootfs", begun + "reading the index again\n", 0, []faults.Record{whole}, 0, true},
	} {
		l := newLedger(map[string]string{rootfs: "…"})
		l.begin(map[string]int{rootfs: test.had})
		for _, r := range test.list {
			l.add("http://127.0.0.1", r)
		}
		if err := l.kept(test.have, test.said); (err != nil) != test.broken {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// TestWait checks that wait sees a connection that a server accepts late.
func TestWait(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := net.Dial("tcp", listener.Addr().String()) // the program's
	if err != nil {
		t.Fatal(err)
	}
	client.Close()
	l := newLedger(nil)
	waited := make(chan error, 1)
	go func() { waited <- l.wait([]host{{address: listener.Addr().String()}, {}}) }()
	for range 2 {
		time.Sleep(20 * time.Millisecond)
		select {
		case err := <-waited:
			t.Fatalf("wait returns before all connections were accepted and closed: %v", err)
		default:
		}
		c, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		l.connection(c, http.StateNew)
		time.Sleep(20 * time.Millisecond)
		c.Close()
		l.connection(c, http.StateClosed)
	}
	if err := <-waited; err != nil {
		t.Error(err)
	}
}
