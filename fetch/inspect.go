package fetch

import (
	"net/http"
	"os"
	"time"
)

// LoadTrust reads the CA certificates, which the Client otherwise reads when it first needs
// them, and returns where they were found, as Trust does. An error is an *Error of KindFile.
func (c *Client) LoadTrust() (string, error) {
	if _, err := c.pools.secure(); err != nil {
		return "", err
	}
	return c.Trust(), nil
}

// ClockOffset returns how far the clock of the last server that answered is ahead of the
// system's clock, by the Date of its answer (RFC 9110, 6.6.1), which has whole seconds. known
// is false if no server has told its time.
func (c *Client) ClockOffset() (ahead time.Duration, known bool) {
	ns := c.ahead.Load()
	return time.Duration(ns), ns != 0
}

// noteDate records the Date of a response for ClockOffset. An answer out of a cache, which
// has an Age, is as old as the cache's copy.
func (c *Client) noteDate(h http.Header) {
	if date, err := http.ParseTime(h.Get("Date")); err == nil && h.Get("Age") == "" {
		c.ahead.Store(int64(time.Until(date)))
	}
}

// CheckProxies returns an error if a proxy variable of the environment can't be used. The
// error does not show the variable's value, which may contain a password.
func CheckProxies() error {
	_, err := environmentProxies(os.Getenv)
	return err
}
