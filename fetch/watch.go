package fetch

import (
	"context"
	"sync/atomic"
	"time"
)

// reportInterval is the silence after which ReportOptions.Waiting is called. A user
// who is told nothing for fifteen seconds believes that the program hangs.
const reportInterval = 10 * time.Second

// A watcher calls ReportOptions.Waiting for one download whenever the user has been
// told nothing by any part of the program for reportInterval. Received bytes alone
// tell the user nothing. The Body stores the values while the watcher reads them in
// another goroutine.
type watcher struct {
	url  atomic.Value // string: the URL of the current request
	size atomic.Int64 // bytes of the whole file; -1: unknown
	got  atomic.Int64 // bytes of the file received

	since  atomic.Int64 // start of the wait for the network, in ns of Unix time; 0: no wait
	resume atomic.Int64 // time of the next attempt, in ns of Unix time

	stop func() // set by start; nothing is reported after stop has returned
}

func (w *watcher) beginWait() { w.since.Store(time.Now().UnixNano()) }
func (w *watcher) endWait()   { w.since.Store(0) }

// start watches until ctx is done or w.stop is called.
func (w *watcher) start(ctx context.Context, c *Client) {
	if c.opt.Report.Waiting == nil {
		w.stop = func() {}
		return
	}
	c.heard.CompareAndSwap(0, time.Now().UnixNano())
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.run(ctx, c)
	}()
	w.stop = func() {
		cancel()
		<-ended
	}
}

func (w *watcher) run(ctx context.Context, c *Client) {
	reported, begun := w.got.Load(), time.Now()
	for pause := time.Duration(0); wait(ctx, pause) == nil; {
		now := time.Now()
		if pause = reportInterval - now.Sub(c.lastHeard()); pause > 0 {
			continue
		}
		pause = reportInterval / 10
		since, got := w.since.Load(), w.got.Load()
		if since == 0 && got == reported {
			continue // the reader is busy elsewhere, the network is not the cause
		}
		report := Waiting{URL: w.url.Load().(string), Size: w.size.Load()}
		report.Left = max(time.Unix(0, w.resume.Load()).Sub(now), 0)
		if got > reported && report.Left == 0 {
			report.Got, report.For = got, now.Sub(begun)
		} else {
			report.For = now.Sub(time.Unix(0, since))
		}
		reported = got
		if ctx.Err() != nil {
			return // the timer and ctx were due at once, and wait took the timer
		}
		c.heard.Store(now.UnixNano())
		c.opt.Report.Waiting(report)
	}
}

// pause waits for d before the next request for url.
func (c *Client) pause(ctx context.Context, d time.Duration, url string) error {
	var w watcher
	w.size.Store(-1)
	w.url.Store(url)
	w.beginWait()
	w.resume.Store(time.Now().Add(d).UnixNano())
	w.start(ctx, c)
	defer w.stop()
	return c.opt.Wait(ctx, d)
}

// lastHeard returns the time when the user was last told anything.
func (c *Client) lastHeard() time.Time {
	heard := time.Unix(0, c.heard.Load())
	if c.opt.Report.Heard != nil {
		if other := c.opt.Report.Heard(); other.After(heard) {
			return other
		}
	}
	return heard
}

// notify reports a failure that another attempt will follow.
func (c *Client) notify(e Event) {
	c.heard.Store(time.Now().UnixNano())
	c.opt.Report.Notify(e)
}
