package main

import (
	"fmt"
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

	mu    sync.Mutex
	list  []entry
	since time.Time // when the run began
	busy  int       // requests for any file that are being answered
	idle  sync.Cond
	had   map[string]int // bytes in the cache when the run began, by path
}

type entry struct {
	host string
	faults.Record
}

func newLedger(files map[string]string) *ledger {
	l := &ledger{files: files}
	l.idle.L = &l.mu
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
		l.idle.Broadcast()
	}()
	h.ServeHTTP(w, r)
}

// wait returns when all requests have been answered; their senders have ended.
func (l *ledger) wait() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.busy > 0 {
		l.idle.Wait()
	}
}

func (l *ledger) add(host string, r faults.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// A request for the last bytes, which tell the unpacked size, keeps no byte.
	look := strings.HasPrefix(r.Range, "bytes=-")
	if _, ok := l.files[r.Path]; ok && !look && r.Begun.After(l.since) {
		l.list = append(l.list, entry{host, r})
	}
}

// begin forgets the requests of earlier runs.
func (l *ledger) begin(had map[string]int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list, l.had, l.since = nil, had, time.Now()
}

// sent returns the number of bytes of rootfs archives that the servers have sent in
// this run.
func (l *ledger) sent() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, e := range l.list {
		n += int(e.Sent)
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
// than the number of right bytes that the servers sent.
func (l *ledger) kept(have int, said string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if strings.Contains(said, "; starting again") || slow.MatchString(said) {
		return nil
	}
	here := l.had[image(build2)]
	for _, e := range l.list {
		first := 0
		fmt.Sscanf(e.Range, "bytes=%d-", &first)
		switch e.Fault {
		case "", "cut", "stall", "throttle":
			if e.Path != image(build2) || e.Range != "" && e.Status != http.StatusPartialContent {
				return nil
			}
			here = max(here, first+int(e.Sent))
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
