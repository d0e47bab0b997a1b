package fetch

import (
	"context"
	"sync/atomic"
	"time"
)

// A vigil watches one transfer and tells Options.Waiting of it whenever the user
// has heard nothing for waitingInterval: not of this transfer, of anything. That
// bytes come is no news to him.
type vigil struct {
	size  atomic.Int64 // of the whole file, -1: not known; told by accept while keep watches
	asked atomic.Value // string: the URL of the request under way
	got   atomic.Int64 // bytes of the file that are here
	// In ns of Unix time: since when the network is waited for (0: it is not),
	// when the next attempt is.
	since, resume atomic.Int64
}

// busy says that the network is waited for from now on, idle that it is not.
func (v *vigil) busy() { v.since.Store(time.Now().UnixNano()) }
func (v *vigil) idle() { v.since.Store(0) }

// keep watches until ctx ends or end is called. Once end has returned nothing more
// is told.
func (v *vigil) keep(ctx context.Context, c *Client) (end func()) {
	if c.opt.Waiting == nil {
		return func() {}
	}
	c.heard.CompareAndSwap(0, time.Now().UnixNano())
	ctx, cancel := context.WithCancel(ctx)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		told, begun := v.got.Load(), time.Now()
		for pause := time.Duration(0); wait(ctx, pause) == nil; {
			now := time.Now()
			if pause = waitingInterval - now.Sub(c.lastHeard()); pause > 0 {
				continue
			}
			pause = waitingInterval / 10
			since, got := v.since.Load(), v.got.Load()
			if since == 0 && got == told {
				continue // the reader is elsewhere: that is not the network's
			}
			w := Waiting{URL: v.asked.Load().(string), Size: v.size.Load()}
			w.Left = max(time.Unix(0, v.resume.Load()).Sub(now), 0)
			if got > told && w.Left == 0 {
				w.Got, w.For = got, now.Sub(begun)
			} else {
				w.For = now.Sub(time.Unix(0, since))
			}
			told = got
			if ctx.Err() != nil {
				return // it ended in this very moment: wait may say either
			}
			c.heard.Store(now.UnixNano())
			c.opt.Waiting(w)
		}
	}()
	return func() {
		cancel()
		<-gone
	}
}

// lastHeard is when the user was last told something.
func (c *Client) lastHeard() time.Time {
	heard := time.Unix(0, c.heard.Load())
	if c.opt.Heard != nil {
		if other := c.opt.Heard(); other.After(heard) {
			return other
		}
	}
	return heard
}

// notify tells of a failure that is followed by another attempt.
func (c *Client) notify(e Event) {
	c.heard.Store(time.Now().UnixNano())
	c.opt.Notify(e)
}
