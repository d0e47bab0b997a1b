package main

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"lxc-pull/scripts/lab/faults"
)

// A ledger records every request for a rootfs to all servers of a trial.
type ledger struct {
	files map[string]string // by path

	mu      sync.Mutex
	changed sync.Cond
	list    []entry
	busy    int             // requests for any file that are being answered
	open    map[string]bool // connections by name (pair): true until they are closed
	altered bool            // a server has altered a manifest in this run
	had     map[string]int  // bytes in the cache when the run began, by path
}

type entry struct {
	host string
	faults.Record
}

// carries says that the answer's body is of the file, and no error message.
func (e entry) carries() bool {
	return e.Status == http.StatusOK || e.Status == http.StatusPartialContent
}

func newLedger(files map[string]string) *ledger {
	l := &ledger{files: files, open: map[string]bool{}}
	l.changed.L = &l.mu
	return l
}

// answer calls a handler, and counts it as busy until it ends.
func (l *ledger) answer(h http.Handler, w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	l.busy++
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.busy--
		l.changed.Broadcast()
	}()
	h.ServeHTTP(w, r)
}

// connection is a server's http.Server.ConnState.
func (l *ledger) connection(c net.Conn, state http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name := pair(c.RemoteAddr(), c.LocalAddr())
	switch state {
	case http.StateNew:
		l.open[name] = true
	case http.StateClosed, http.StateHijacked: // busy counts the request of a hijacked one
		l.open[name] = false
	}
	l.changed.Broadcast()
}

// pair names a connection by the client's address and the server's.
func pair(client, server net.Addr) string { return client.String() + " " + server.String() }

// wait returns when the servers have answered all requests of a program that has ended,
// also those that no server has read yet. A server accepts connections in the order in
// which they came, so it has the program's when it has one of our own.
func (l *ledger) wait(hosts []host) error {
	var ours []string
	for _, h := range hosts {
		if h.address == "" {
			continue
		}
		c, err := net.Dial("tcp", h.address)
		if err != nil {
			return err
		}
		ours = append(ours, pair(c.LocalAddr(), c.RemoteAddr()))
		c.Close()
	}
	overdue := false
	timer := time.AfterFunc(patience, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		overdue = true
		l.changed.Broadcast()
	})
	defer timer.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.done(ours) {
		if overdue {
			return fmt.Errorf("%v after the program's end %d requests and these connections are left: %v", patience, l.busy, l.open)
		}
		l.changed.Wait()
	}
	clear(l.open)
	return nil
}

// done says that the servers have had our connections, and that no connection is left.
func (l *ledger) done(ours []string) bool {
	for _, name := range ours {
		if _, accepted := l.open[name]; !accepted {
			return false
		}
	}
	return l.busy == 0 && !slices.Contains(slices.Collect(maps.Values(l.open)), true)
}

func (l *ledger) add(name string, r faults.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.altered = l.altered || r.Fault == "corrupt" && strings.Contains(r.Path, "/manifests/")
	// A request for the last bytes, which tell the unpacked size, keeps no byte.
	look := strings.HasPrefix(r.Range, "bytes=-")
	if _, ok := l.files[r.Path]; ok && !look {
		l.list = append(l.list, entry{name, r})
	}
}

// begin forgets the requests of earlier runs.
func (l *ledger) begin(had map[string]int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list, l.had, l.altered = nil, had, false
}

// altersManifest reports whether a server has altered a manifest in this run.
func (l *ledger) altersManifest() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.altered
}

// sent returns the number of bytes of rootfs archives that the servers have sent in
// this run.
func (l *ledger) sent() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, e := range l.list {
		if e.carries() {
			n += int(e.Sent)
		}
	}
	return n
}

// slow matches the messages about attempts that the program ended because almost no
// bytes came. Bytes that were on their way then are lost, and requested again.
var slow = regexp.MustCompile(`(rootfs\.tar\.xz|/blobs/sha256:[0-9a-f]+)".*(stalled|no answer in time)`)

// check returns an error if a request asks for bytes that the program had already: right
// bytes that a server had sent in answer to an earlier request. Exempt are bytes that
// the program dropped after a wrong digest or because servers disagree, and bytes that a
// server without ranges repeats.
func (l *ledger) check(said string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := slices.Clone(l.list)
	slices.SortFunc(list, func(a, b entry) int { return a.Begun.Compare(b.Begun) })
	excused := len(slow.FindAllString(said, -1))
	restarts := strings.Count(said, "; starting again")
	here := 0
	path := ""
	refuses := map[string]bool{}
	for i, e := range list {
		if e.Path != path { // another build: bytes of the first build are of no use
			path = e.Path
			here = l.had[path]
		}
		first := 0
		fmt.Sscanf(e.Range, "bytes=%d-", &first)
		switch {
		case first >= here:
		case e.Range == "" && refuses[e.host]: // the server sends the whole file; the program skips the bytes that it has
			first = here
		case first == 0 && restarts > 0:
			restarts--
			here = 0
		case excused > 0:
			excused--
			here = first
		default:
			return fmt.Errorf("request %d of %d asks for %s from byte %d on, %d are here:\n%s", i+1, len(list), path, first, here, l.text(list))
		}
		right := false
		switch e.Fault {
		case "", "cut", "stall", "throttle":
			right = true
		case "norange", "wrongrange", "416", "long", "short", "endless":
			refuses[e.host] = refuses[e.host] || e.Range != ""
		}
		switch {
		case right && e.Status == 206:
			here = max(here, first+int(e.Sent))
		case right && e.Status == 200:
			here = max(here, int(e.Sent))
			refuses[e.host] = refuses[e.host] || e.Range != ""
		}
	}
	return nil
}

// checkEach is check for several files that are downloaded at the same time.
func (l *ledger) checkEach(said string) error {
	l.mu.Lock()
	list, had := l.list, l.had
	l.mu.Unlock()
	for path := range l.files {
		one := newLedger(l.files)
		one.had = had
		for _, e := range list {
			if e.Path == path {
				one.list = append(one.list, e)
			}
		}
		if err := one.check(said); err != nil {
			return err
		}
	}
	return nil
}

// kept returns an error if, after a failure of the network, the cache has fewer bytes
// than the number of right bytes that the servers sent. The program requests a rootfs before
// its turn, if the cache has none of it, and keeps no byte before it has the verified small files.
func (l *ledger) kept(have int, said string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if strings.Contains(said, "; starting again") || slow.MatchString(said) {
		return nil
	}
	list := l.list
	before, _, begun := strings.Cut(said, "Downloading the rootfs")
	if !begun || strings.Contains(before, "reading the index again") {
		list = nil // nobody read the answer
	}
	here := l.had[image(build2)]
	for _, e := range list {
		first := 0
		fmt.Sscanf(e.Range, "bytes=%d-", &first)
		switch e.Fault {
		case "", "cut", "stall", "throttle":
			if e.Path != image(build2) || e.Range != "" && e.Status != http.StatusPartialContent {
				return nil
			}
			if e.carries() {
				here = max(here, first+int(e.Sent))
			}
		case "404", "429", "500", "502", "503", "504", "reset", "silence", "circle", "html":
		default:
			return nil // wrong bytes, or lengths
		}
	}
	if have < here {
		return fmt.Errorf("the cache has %d bytes of the rootfs, %d came:\n%s", have, here, l.text(l.list))
	}
	return nil
}

// text returns the requests as lines.
func (l *ledger) text(list []entry) string {
	var b strings.Builder
	for _, e := range list {
		fmt.Fprintf(&b, "  %s %s %q fault %q: %d, %d bytes\n", e.host, e.Path, e.Range, e.Fault, e.Status, e.Sent)
	}
	return b.String()
}
