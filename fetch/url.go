package fetch

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
)

// CheckURL returns an *Error of KindURL for what Open would not ask for; it
// shows no password.
func CheckURL(raw string) error {
	_, err := parseURL(raw)
	return err
}

// parseURL accepts what a caller may ask for.
func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		// The parser's error repeats the URL or parts of it.
		err = errors.New("not a URL")
		if strings.Contains(raw, "@") {
			err = errors.New("not a URL (in its user and password %, @, : and / are written %25, %40, %3A and %2F)")
		}
	} else {
		err = checkURL(raw, u)
	}
	if err != nil {
		return nil, &Error{URL: raw, Kind: KindURL, Err: err}
	}
	u.Fragment = ""
	return u, nil
}

// checkURL says what is wrong with a URL, with the right spelling where that
// can be guessed.
func checkURL(raw string, u *url.URL) error {
	switch u.Scheme {
	case "http", "https":
		switch {
		case !strings.HasPrefix(raw[len(u.Scheme):], "://"):
			return fmt.Errorf("no host name in the URL: it begins with %s:// and then has the host", u.Scheme)
		case u.Hostname() == "":
			return errors.New("no host name in the URL")
		case !validPort(u):
			return errors.New("the port is not a number from 1 to 65535")
		}
	case "file":
		switch {
		case u.Host != "" && u.Host != "localhost":
			return errors.New("a file URL has no host: file:///DIR, with three slashes")
		case !strings.HasPrefix(u.Path, "/"):
			return errors.New("a file URL has an absolute path: file:///DIR, with three slashes")
		}
	case "":
		if (strings.HasPrefix(raw, "/") || strings.HasPrefix(raw, ".")) && !strings.ContainsAny(raw, "@?#") {
			if path, err := filepath.Abs(raw); err == nil {
				return fmt.Errorf("not an http, https or file URL: a file here is %q", (&url.URL{Scheme: "file", Path: path}).String())
			}
		}
		return errNoURL
	default:
		return errNoURL
	}
	return nil
}

var errNoURL = errors.New("not an http, https or file URL: a URL begins with https://, http:// or file:///")

// Origin returns the scheme, host and port of a URL as scheme://host:port, ""
// for a file URL and what is no URL.
func Origin(raw string) string {
	u, err := parseURL(raw)
	if err != nil || u.Scheme == "file" {
		return ""
	}
	return origin(u)
}

func origin(u *url.URL) string {
	host := strings.ToLower(u.Hostname())
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return u.Scheme + "://" + host + ":" + port(u)
}

// withoutUser is a URL as an Error has it.
func withoutUser(u *url.URL) string {
	bare := *u
	bare.User = nil
	return bare.String()
}

// ShowURL returns what may be shown of a URL: no user, for that may be a key
// itself, no password, no query and no fragment. Of one that is none, and may
// hold a password all the same, nothing is shown.
func ShowURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		if strings.ContainsAny(raw, "@?#") {
			return notShown
		}
		return raw
	}
	user := u.User
	if u.RawQuery != "" {
		u.RawQuery = "..."
	}
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	text := u.String()
	if strings.Contains(raw, "@") && (user == nil || strings.Contains(text, "@")) && !strings.HasPrefix(raw, "file:///") {
		return notShown // a password with a /, ? or # in it, perhaps: what precedes that was taken for the host
	}
	return text
}

const notShown = "(not shown: it may hold a password)"
