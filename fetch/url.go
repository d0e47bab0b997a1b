package fetch

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
)

// CheckURL returns an *Error of KindURL if Open does not accept the URL. The text of
// the error shows no password.
func CheckURL(raw string) error {
	_, err := parseURL(raw)
	return err
}

// parseURL parses a URL given by the caller. An error is an *Error of KindURL.
func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		// The error of url.Parse repeats parts of the URL, which may be secret.
		err = errors.New("not a URL")
		if strings.Contains(raw, "@") {
			err = errors.New("not a URL (write %, @, : and / in the user and password as %25, %40, %3A and %2F)")
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

// checkURL returns an error if a URL can't be fetched. The error shows the right
// spelling if checkURL can guess it.
func checkURL(raw string, u *url.URL) error {
	switch u.Scheme {
	case "http", "https":
		switch {
		case !strings.HasPrefix(raw[len(u.Scheme):], "://"):
			return fmt.Errorf("no host name in the URL: write a URL that begins with %s://HOST", u.Scheme)
		case u.Hostname() == "":
			return errors.New("no host name in the URL")
		case !validPort(u):
			return errors.New("the port is not a number from 1 to 65535")
		}
	case "file":
		switch {
		case u.Host != "" && u.Host != "localhost":
			return errors.New("a file URL has no host: write file:///PATH, with three slashes")
		case !strings.HasPrefix(u.Path, "/"):
			return errors.New("a file URL needs an absolute path: write file:///PATH, with three slashes")
		}
	case "":
		if (strings.HasPrefix(raw, "/") || strings.HasPrefix(raw, ".")) && !strings.ContainsAny(raw, "@?#") {
			if path, err := filepath.Abs(raw); err == nil {
				return fmt.Errorf("not an http, https or file URL: the URL of this local path is %q", (&url.URL{Scheme: "file", Path: path}).String())
			}
		}
		return errNoURL
	default:
		return errNoURL
	}
	return nil
}

var errNoURL = errors.New("not an http, https or file URL: a URL begins with https://, http:// or file:///")

// Origin returns the scheme, host and port of a URL as scheme://host:port. It returns
// "" for a file URL and for text that is not a URL.
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

// withoutUser returns a URL without its user and password.
func withoutUser(u *url.URL) string {
	bare := *u
	bare.User = nil
	return bare.String()
}

// ShowURL returns a URL without the parts that may be secret: the user (which may
// be an access key), the password, the query and the fragment. If raw is not a URL
// and may contain a password, ShowURL returns a fixed text instead.
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
		// The password may contain a /, ? or #, so that url.Parse took the text
		// before it for the host.
		return notShown
	}
	return text
}

const notShown = "(not shown: it may hold a password)"
