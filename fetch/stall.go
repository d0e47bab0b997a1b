package fetch

import (
	"context"
	"io"
	"time"
)

// A stallTimer closes a connection that is too slow. In each window of time spent
// waiting for bytes, a number of bytes (the quota) must come; then the next window
// begins. Time that the reader spends elsewhere, as on a slow disk, does not
// count.
type stallTimer struct {
	quota  int64
	window time.Duration
	bytes  int64         // received in this window
	spent  time.Duration // waited in this window
	timer  *time.Timer   // nil: no limit
}

// begin starts the first window of a connection. cancel closes the connection.
func (s *stallTimer) begin(rate int64, window time.Duration, cancel context.CancelCauseFunc) {
	*s = stallTimer{quota: max(1, int64(float64(rate)*window.Seconds())), window: window}
	s.timer = time.AfterFunc(window, func() { cancel(errStalled) })
	s.timer.Stop()
}

// read calls r.Read while the timer runs.
func (s *stallTimer) read(r io.Reader, p []byte) (int, error) {
	if s.timer == nil {
		return r.Read(p)
	}
	if s.bytes >= s.quota {
		s.bytes, s.spent = 0, 0
	}
	start := time.Now()
	s.timer.Reset(s.window - s.spent)
	n, err := r.Read(p)
	stopped := s.timer.Stop()
	s.spent += time.Since(start)
	s.bytes += int64(n)
	if !stopped && err != nil && err != io.EOF {
		err = errStalled
	}
	return n, err
}
