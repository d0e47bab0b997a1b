package source

import (
	"fmt"
	"sync"
	"time"

	"lxc-pull/pgp"
)

// slack is by how much clocks, build times and signatures may differ before
// that means something: build ids are local time, and mirrors lag.
const slack = 24 * time.Hour

// A Clock is the time by which one run judges certificates, signatures and
// expiry dates. That is the system's time, unless the system's clock is known to
// be wrong. Boards without a battery start in 1970. No program is older than its
// own build, so a clock that is before the build is behind, and so is a clock that
// is before a signature by a trusted key. Then the time is the newest of the
// build's date and of what the trusted keys have signed: the earliest that it can
// be. That holds for this run and this server's keys alone; the system's clock is
// never set, and the time never goes back.
//
// It is safe for concurrent use.
type Clock struct {
	given  time.Time // by the user, overrides all; zero: not given
	built  time.Time
	system func() time.Time

	mu     sync.Mutex
	signed time.Time // the newest good signature that the clock is behind; zero: none
}

// maxAge is how long after its build a program believes signatures to be of the
// present when it has no clock. Its embedded roots have expired by then, and a
// publisher whose clock says 2099 must not take the device along.
const maxAge = 10 * 365 * 24 * time.Hour

// NewClock returns the clock of a run. given is the time that the user says it is,
// zero for the system's. built is when this program was built, as far as that is
// known.
func NewClock(given, built time.Time) *Clock {
	return &Clock{given: given, built: built, system: time.Now}
}

// Given returns the time that the user says it is; zero: the user says nothing.
func (c *Clock) Given() time.Time { return c.given }

// Behind reports whether the system's clock is known to be wrong, so that Now is
// only the earliest time that it can be.
func (c *Clock) Behind() bool {
	system := c.system()
	return c.given.IsZero() && (system.Before(c.built) || c.learned().After(system.Add(slack)))
}

// learned returns the time of the newest good signature that the clock is behind.
func (c *Clock) learned() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.signed
}

// Now returns the time.
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

// learn moves the time to that of a good signature by a trusted key, if it can be
// that late. A time that the user gave stays.
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

// latest returns the latest time that it can be if Now is not sure.
func (c *Clock) latest() time.Time { return c.built.Add(maxAge) }

// Policy returns the times by which signatures are judged.
func (c *Clock) Policy() pgp.Policy {
	p := pgp.Policy{Now: c.Now()}
	if c.Behind() {
		p.Latest = c.latest()
	}
	return p
}

// isFuture reports whether a time can't have come yet, whatever the clock says:
// the signer's clock was wrong, or ours when the time was noted. A time that is
// only ahead of the clock says that the clock is behind.
func (c *Clock) isFuture(t time.Time) bool {
	return t.After(c.latest()) && t.After(c.Now().Add(slack))
}

// CanBe reports whether it can be as late as t: when a program is as old as this one
// would be by then, a clock that says t is more likely wrong.
func (c *Clock) CanBe(t time.Time) bool { return !t.After(c.latest()) }

// Warning returns what a user should know of the clock, "" if nothing is wrong
// with it.
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
