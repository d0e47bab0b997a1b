package main

import (
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"lxc-pull/pgp"
)

// A clock is the time by which one run judges certificates, signatures and
// expiry dates: the system's, unless that is known to be wrong. Boards without
// a battery start in 1970. No program is older than its own build, so a clock
// before it is behind, and so is one before what a trusted key was seen to have
// signed. The time is then the newest of the build's date and of what the
// trusted keys have signed: the earliest that it can be. That holds for this run
// and this server's keys alone; the system's clock is never set, and the time
// never goes back.
//
// It is safe for concurrent use.
type clock struct {
	given  time.Time // --time, which overrides all; zero: not given
	built  time.Time
	system func() time.Time

	mu     sync.Mutex
	signed time.Time // the newest good signature that the clock is behind; zero: none
}

// maxAge is how long after its build a program believes signatures to be of
// the present when it has no clock. Its embedded roots have ended by then, and a
// publisher whose clock says 2099 must not take the device along.
const maxAge = 10 * 365 * 24 * time.Hour

// newClock returns the clock of a run; given is --time or zero.
func newClock(given time.Time) *clock {
	return &clock{given: given, built: buildDate(), system: time.Now}
}

// behind reports whether the system's clock is known to be wrong, so that now
// is only the earliest time that it can be.
func (c *clock) behind() bool {
	system := c.system()
	return c.given.IsZero() && (system.Before(c.built) || c.learned().After(system.Add(slack)))
}

// learned is the newest good signature that the clock is behind.
func (c *clock) learned() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.signed
}

func (c *clock) now() time.Time {
	switch {
	case !c.given.IsZero():
		return c.given
	case !c.behind():
		return c.system()
	}
	if signed := c.learned(); signed.After(c.built) {
		return signed
	}
	return c.built
}

// learn takes the time of a good signature by one of the trusted keys as a sign
// that it is at least as late, unless it can't be so late. --time stays what it
// is.
func (c *clock) learn(made time.Time) {
	if !c.behind() && !made.After(c.now().Add(slack)) || made.After(c.latest()) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if made.After(c.signed) {
		c.signed = made
	}
}

// latest is the latest time that it can be, where now is not sure.
func (c *clock) latest() time.Time { return c.built.Add(maxAge) }

// policy is by what time signatures are judged.
func (c *clock) policy() pgp.Policy {
	p := pgp.Policy{Now: c.now()}
	if c.behind() {
		p.Latest = c.latest()
	}
	return p
}

// isFuture reports whether a time can't be yet, whatever the clock: a signer's
// clock was wrong, or ours when it was noted. What is only ahead of the clock
// says that the clock is behind.
func (c *clock) isFuture(t time.Time) bool {
	return t.After(c.latest()) && t.After(c.now().Add(slack))
}

// warn says once that the clock is wrong.
func (c *clock) warn(ui *ui) {
	ui.given = c.given
	signed := c.learned().UTC().Format(time.DateOnly)
	switch {
	case !c.given.IsZero():
		if c.learned().After(c.given.Add(slack)) {
			ui.warnf("--time is behind what was signed on %s: builds older than that are refused all the same", signed)
		}
	case c.behind() && !c.system().Before(c.built):
		ui.warnf("the clock says %s and is behind what was signed on %s; going by that, and by what trusted keys sign. Set the clock, or pass --time",
			c.system().UTC().Format(time.DateOnly), signed)
	case c.behind():
		ui.warnf("the system's clock says %s, and this program was made later; going by %s, and by what trusted keys sign. Set the clock, or pass --time",
			c.system().UTC().Format(time.DateOnly), c.now().UTC().Format(time.DateOnly))
	}
}

// sourceDate is the time of the sources in Unix seconds, where who builds them
// says it: -ldflags "-X main.sourceDate=$SOURCE_DATE_EPOCH"
// (reproducible-builds.org/specs/source-date-epoch).
var sourceDate string

// buildDate is a time before which this program can't have been made: the
// newest of the sources' date, the commit's, and those in the versions of the
// modules that it is made of. The last are there whatever the way of building.
// The embedded roots' version is one, so this is no earlier than their date.
func buildDate() time.Time {
	newest := time.Time{}
	if seconds, err := strconv.ParseInt(sourceDate, 10, 64); err == nil {
		newest = time.Unix(seconds, 0).UTC()
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return newest
	}
	dates := []time.Time{versionDate(info.Main.Version)}
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			if t, err := time.Parse(time.RFC3339, s.Value); err == nil {
				dates = append(dates, t)
			}
		}
	}
	for _, m := range info.Deps {
		dates = append(dates, versionDate(m.Version))
	}
	for _, t := range dates {
		if t.After(newest) {
			newest = t
		}
	}
	return newest
}

// versionDate is the commit's time in a pseudo-version (go.dev/ref/mod,
// "Pseudo-versions": v0.0.0-20261030153154-30a33513ff6d), else zero.
func versionDate(version string) time.Time {
	version, _, _ = strings.Cut(version, "+")
	parts := strings.Split(version, "-")
	if len(parts) < 3 {
		return time.Time{}
	}
	stamp := parts[len(parts)-2]
	stamp = stamp[strings.LastIndexByte(stamp, '.')+1:] // after a tag: v1.2.4-0.20261030153154-...
	t, err := time.Parse("20060102150405", stamp)
	if err != nil {
		return time.Time{}
	}
	return t
}
