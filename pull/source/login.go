package source

import (
	"context"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"lxc-pull/fetch"
	"lxc-pull/image"
)

// maxToken is the largest answer of a token server, in bytes. Tokens have up to 4 kB.
const maxToken = 64 << 10

// Authorize returns the function for fetch.Options.Authorize of the Client that asks the
// container's registry and its mirrors. client returns that Client, which also asks the
// registry's token server. A name and password go to their own registry and to the token server
// that it names.
func (c *Container) Authorize(client func() *fetch.Client) func(ctx context.Context, url, challenge string) (string, error) {
	return func(ctx context.Context, from, challenge string) (string, error) {
		bases, err := c.bases()
		var at *base // nil: neither a registry nor a mirror
		for _, b := range bases {
			if strings.HasPrefix(from, b.url+"/") {
				at = b
			}
		}
		if err != nil || at == nil {
			return "", err
		}
		user, password, err := c.login(at)
		if err != nil {
			return "", err
		}
		basic := ""
		if user != "" {
			basic = base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
			c.hide(password)
			c.hide(basic)
			basic = "Basic " + basic
		}
		wants := parseChallenge(challenge)
		switch {
		case wants.bearer:
			token, err := wants.token(ctx, client(), at, user, basic)
			c.hide(strings.TrimPrefix(token, "Bearer "))
			return token, err
		case wants.basic && basic == "":
			return "", failed(Login, strconv.Quote(at.host)+" wants a user name and password")
		case wants.basic:
			return basic, nil
		}
		return "", errors.New(strconv.Quote(at.host) + " wants a login of a kind that this program does not know")
	}
}

// hide notes a text that no error may have. Of many only the last count.
func (c *Container) hide(secret string) {
	c.mu.Lock()
	if secret != "" && !slices.Contains(c.secrets[:], secret) {
		c.secrets[c.next%len(c.secrets)] = secret
		c.next++
	}
	c.mu.Unlock()
}

// tells reports whether a text has a password or token.
func (c *Container) tells(text string) bool {
	found := false
	c.mu.Lock()
	for _, secret := range c.secrets {
		found = found || secret != "" && strings.Contains(text, secret)
	}
	c.mu.Unlock()
	return found
}

// login returns the name and password for a registry or mirror; user is "" if there is none.
func (c *Container) login(at *base) (user, password string, err error) {
	if c.Login == nil {
		return "", "", nil
	}
	return c.Login(at.host, at.repository)
}

// A challenge is what a registry wants: a name and password, or a token of a token server
// (distribution, "Token Authentication").
type challenge struct {
	basic, bearer         bool
	realm, service, scope string // of the token
}

// parseChallenge parses the field WWW-Authenticate (RFC 9110, section 11.6.1). It passes over
// schemes and parameters that it does not know.
func parseChallenge(text string) (c challenge) {
	bearer := false // the scheme that is being read
	for text = strings.TrimLeft(text, " \t,"); text != ""; text = strings.TrimLeft(text, " \t,") {
		end := strings.IndexAny(text, " \t,=")
		if end < 0 {
			end = len(text)
		}
		word := text[:end]
		text = strings.TrimLeft(text[end:], " \t")
		if !strings.HasPrefix(text, "=") {
			bearer = strings.EqualFold(word, "Bearer")
			c.bearer = c.bearer || bearer
			c.basic = c.basic || strings.EqualFold(word, "Basic")
			continue
		}
		value := ""
		text = strings.TrimLeft(text[1:], " \t")
		quoted := strings.HasPrefix(text, `"`) // RFC 9110, section 5.6.4
		i := 0
		if quoted {
			i = 1
		}
		for ; i < len(text); i++ {
			c := text[i]
			if quoted && c == '"' {
				i++
				break
			}
			if quoted && c == '\\' {
				if i++; i == len(text) {
					break
				}
			} else if !quoted && (c == ' ' || c == '\t' || c == ',') {
				break
			}
			value += text[i : i+1]
		}
		text = text[i:]
		if !bearer {
			continue
		}
		switch strings.ToLower(word) {
		case "realm":
			c.realm = value
		case "service":
			c.service = value
		case "scope":
			c.scope = value
		}
	}
	return c
}

// token gets a token from the token server that a registry names. user is "" without a login.
func (c *challenge) token(ctx context.Context, client *fetch.Client, at *base, user, basic string) (string, error) {
	u, err := url.Parse(c.realm)
	if err == nil {
		err = checkRealm(u, at)
	}
	if err != nil {
		return "", because(strconv.Quote(at.host)+" names a token server that is not asked, "+quote(fetch.ShowURL(c.realm)), err)
	}
	if !mayLogIn(u, at) {
		user, basic = "", ""
	}
	scope := c.scope
	if scope == "" {
		scope = "repository:" + at.repository + ":pull"
	}
	for _, part := range strings.Fields(scope) {
		u.RawQuery += "&scope=" + url.QueryEscape(part)
	}
	if c.service != "" {
		u.RawQuery += "&service=" + url.QueryEscape(c.service)
	}
	u.RawQuery = strings.TrimPrefix(u.RawQuery, "&")
	data, _, err := client.Load(ctx, fetch.Request{URLs: []string{u.String()}, Max: maxToken, Accept: "application/json", Authorization: basic})
	for _, e := range fetch.Failures(err) {
		if e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden || e.Status == http.StatusBadRequest {
			text := " gives no token without a login"
			if user != "" {
				text = " does not accept the name " + strconv.Quote(user) + " with this password"
			}
			return "", &Error{Kind: Login, Text: strconv.Quote(u.Host) + text, Err: err}
		}
	}
	if err != nil {
		return "", err
	}
	token, _, err := image.ParseToken(data)
	if err != nil {
		return "", because("the token server "+strconv.Quote(u.Host), err)
	}
	return "Bearer " + token, nil
}

// checkRealm refuses a token server to which the password would go unprotected. The token server
// of a registry over plain http may be on the same host, or on this machine if the registry is.
func checkRealm(u *url.URL, at *base) error {
	own, err := url.Parse(at.url)
	switch {
	case err != nil:
		return err
	case u.User != nil || u.Host == "":
		return errors.New("not a URL of a server")
	case u.Scheme == "https":
		return nil
	case u.Scheme != "http" || own.Scheme != "http":
		return errors.New("it must be an https URL")
	}
	if u.Hostname() == own.Hostname() || isLoopback(u) && isLoopback(own) {
		return nil
	}
	return errors.New("over plain http it must be on the registry's host")
}

// mayLogIn reports whether a token server may get the login: over plain http only the registry
// itself may.
func mayLogIn(u *url.URL, at *base) bool {
	return u.Scheme == "https" || strings.HasPrefix(at.url, "http://"+u.Host+"/")
}

// isLoopback reports whether a URL's host is this machine.
func isLoopback(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
