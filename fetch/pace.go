package fetch

import (
	"context"
	"io"
	"sync"
	"time"
)

// A guard breaks off a connection that brings too little: in each window of
// time spent waiting for bytes a quota of them must come. When the quota is
// met, a new window begins. Time that the reader spends elsewhere (a slow
// disk) is not the network's and does not count.
type guard struct {
	quota  int64
	window time.Duration
	bytes  int64
	spent  time.Duration
	timer  *time.Timer // nil: no guard
}

// begin starts the first window of a connection that hangup breaks off.
func (g *guard) begin(rate int64, window time.Duration, hangup context.CancelCauseFunc) {
	*g = guard{quota: max(1, int64(float64(rate)*window.Seconds())), window: window}
	if hangup != nil {
		g.timer = time.AfterFunc(window, func() { hangup(errStalled) })
		g.timer.Stop()
	}
}

// read is r.Read under guard.
func (g *guard) read(r io.Reader, p []byte) (int, error) {
	if g.timer == nil {
		return r.Read(p)
	}
	if g.bytes >= g.quota {
		g.bytes, g.spent = 0, 0
	}
	start := time.Now()
	g.timer.Reset(g.window - g.spent)
	n, err := r.Read(p)
	stopped := g.timer.Stop()
	g.spent += time.Since(start)
	g.bytes += int64(n)
	if !stopped && err != nil && err != io.EOF {
		err = errStalled
	}
	return n, err
}

// A limiter spreads bytes over time, over all streams of a client.
type limiter struct {
	rate int64 // bytes per second, 0: no limit

	mu   sync.Mutex
	free time.Time // when what was taken so far has been paid for
}

// portion returns how many of n bytes to read at once: an eighth of a second's,
// so that the line is used evenly.
func (l *limiter) portion(n int) int {
	if l.rate <= 0 {
		return n
	}
	return int(min(int64(n), max(512, l.rate/8)))
}

// take accounts for n bytes and returns how long to wait before the next.
func (l *limiter) take(n int) time.Duration {
	if l.rate <= 0 || n <= 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(time.Duration(float64(n) / float64(l.rate) * float64(time.Second)))
	return l.free.Sub(now)
}
