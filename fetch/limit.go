package fetch

import (
	"sync"
	"time"
)

// A limiter limits the bytes per second of all streams of a Client together.
type limiter struct {
	_    [0]func() // forbids ==, whose code nothing needs
	rate int64     // bytes per second; 0: no limit

	mu   sync.Mutex
	free time.Time // when the next bytes may be read
}

// portion returns how many of n bytes to read at once: the bytes of an eighth of a
// second, so that the traffic is even.
func (l *limiter) portion(n int) int {
	if l.rate <= 0 {
		return n
	}
	return int(min(int64(n), max(512, l.rate/8)))
}

// take counts n bytes that were read, and returns how long to wait before the next
// read.
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
