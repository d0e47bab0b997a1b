package source

import (
	"fmt"
	"sync"
	"time"

	"lxc-pull/pgp"
)

// slack is the difference between clocks, build times and signature times that is
// tolerated: build IDs are in local time, and mirrors lag.
const slack = 24 * time.Hour

// A Clock is the time by which a run judges certificates, signatures and expiry dates. It is
// the system's time unless the system's clock is known to be wrong: boards without a battery
// start in 1970. The clock is wrong if it says a time before this program was built, or
// before a good signature by a trusted key. Then the time is the newest of the build date
// and of the times of such signatures; it can't be earlier than that. Only this run uses
// that time: the system's clock is never set, and the time never goes back.
//
// A Clock is safe for concurrent use.
type Clock struct {
	given  time.Time        // by the user, overrides all else; zero: not given
	built  time.Time        // when this program was built
	system func() time.Time // the system's clock

	mu     sync.Mutex
	signed time.Time // of the newest good signature that is later than the clock; zero: none
}

// maxAge is how long after its build date a program without a right clock takes the times of
// signatures for the present. By then its embedded roots have expired, and a publisher
// whose clock says 2099 must not set this clock.
const maxAge = 10 * 365 * 24 * time.Hour

// NewClock returns the clock of a run. given is the time that the user passed, zero for the
// system's. built is when this program was built, or an earlier time if that is not known.
func NewClock(given, built time.Time) *Clock {
	return &Clock{given: given, built: built, system: time.Now}
}

// Given returns the time that the user passed, zero if there is none.
func (c *Clock) Given() time.Time { return c.given }

// Behind reports whether the system's clock is known to be wrong. Then Now returns the
// earliest possible time.
func (c *Clock) Behind() bool {
	system := c.system()
	return c.given.IsZero() && (system.Before(c.built) || c.learned().After(system.Add(slack)))
}

// learned returns the time of the newest good signature that is later than the clock.
func (c *Clock) learned() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.signed
}

// Now returns the time by which the run judges.
func (c *Clock) Now() time.Time {
	switch {
	case !c.given.IsZero():
		return c.given
	case !c.Behind():
		return c.system()
	}
	if signed := c.learned(); signed.After(c.built) {
		return signed
	}
	return c.built
}

// learn advances the time to that of a good signature by a trusted key, unless that is too far
// in the future. A time that the user passed stays.
func (c *Clock) learn(signed time.Time) {
	if !c.Behind() && !signed.After(c.Now().Add(slack)) || signed.After(c.latest()) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if signed.After(c.signed) {
		c.signed = signed
	}
}

// latest returns the latest possible present time while the system's clock is wrong.
func (c *Clock) latest() time.Time { return c.built.Add(maxAge) }

// Policy returns the times by which package pgp judges signatures.
func (c *Clock) Policy() pgp.Policy {
	p := pgp.Policy{Now: c.Now()}
	if c.Behind() {
		p.Latest = c.latest()
	}
	return p
}

// isFuture reports whether t can't have come yet, whatever the clock says: then the signer's
// clock was wrong, or this machine's when t was recorded. If t is only later than the
// clock's time, the clock is behind.
func (c *Clock) isFuture(t time.Time) bool {
	return t.After(c.latest()) && t.After(c.Now().Add(slack))
}

// CanBe reports whether t may be the present time. If t is more than maxAge after the
// program was built, a wrong clock is more likely.
func (c *Clock) CanBe(t time.Time) bool { return !t.After(c.latest()) }

// Warning returns what the user should know about the clock, "" if nothing is wrong with it.
func (c *Clock) Warning() string {
	signed := c.learned().UTC().Format(time.DateOnly)
	system := c.system()
	switch {
	case !c.given.IsZero() && c.learned().After(c.given.Add(slack)):
		return fmt.Sprintf("--time is behind what was signed on %s: builds older than that are refused all the same", signed)
	case c.Behind() && !system.Before(c.built):
		return fmt.Sprintf("the clock says %s and is behind what was signed on %s; going by that, and by what trusted keys sign. Set the clock, or pass --time",
			system.UTC().Format(time.DateOnly), signed)
	case c.Behind():
		return fmt.Sprintf("the system's clock says %s, and this program was made later; going by %s, and by what trusted keys sign. Set the clock, or pass --time",
			system.UTC().Format(time.DateOnly), c.Now().UTC().Format(time.DateOnly))
	}
	return ""
}
