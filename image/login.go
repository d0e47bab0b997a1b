package image

import (
	"encoding/base64"
	"errors"
	"strings"

	"lxc-pull/image/json"
)

const (
	maxToken   = 32 << 10 // bytes of a token: servers take headers of up to 32 kB
	maxSeconds = 86400    // that a token is used: a server that says more is asked once a day
	maxLogin   = 4096     // bytes of a name and password
	maxFile    = 1 << 20  // bytes of a file of credentials
	maxMessage = 512      // bytes of a registry's message
)

// ParseToken parses the answer of a token server (distribution, "Token Authentication").
// seconds is how long the token is good: at least 1, at most a day. A token has only printable
// characters of ASCII.
func ParseToken(text []byte) (token string, seconds int64, err error) {
	v, err := parse(text, 4*maxToken)
	r := new(reader)
	if err == nil {
		if token = r.text(v, "token", maxToken); token == "" {
			token = r.text(v, "access_token", maxToken)
		}
		err = r.err
	}
	if err == nil && !isPrintable(token) {
		err = errors.New("it has no token, or one with characters that no token has")
	}
	if err != nil {
		return "", 0, errors.New("answer of the token server: " + err.Error())
	}
	if seconds, _ = v.Get("expires_in").Int(); seconds <= 0 {
		seconds = 60 // as the specification says
	}
	return token, min(seconds, maxSeconds), nil
}

// isPrintable reports whether s is of printable characters of ASCII without blanks, and not
// empty.
func isPrintable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return s != ""
}

// RegistryError returns the code and the message of the first error in a registry's answer
// (distribution spec, "Error Codes"), "" if it has none. Some token servers and proxies answer
// with a message alone. Both texts are the server's, and at most 512 bytes long.
func RegistryError(text []byte) (code, message string) {
	v, err := parse(text, MaxManifest)
	if err != nil {
		return "", ""
	}
	v.Get("errors").Items(func(item json.Value) bool {
		v = item
		return false
	})
	code, _ = v.Get("code").Text()
	for _, name := range [...]string{"message", "details", "error_description", "error"} {
		if message == "" {
			message, _ = v.Get(name).Text()
		}
	}
	return shorten(code), shorten(message)
}

// shorten cuts a text after maxMessage bytes, not inside a character.
func shorten(s string) string {
	if len(s) > maxMessage {
		s = strings.ToValidUTF8(s[:maxMessage], "")
	}
	return s
}

// Login returns the name and password for a registry in a file of credentials, such as
// ~/.docker/config.json or ${XDG_RUNTIME_DIR}/containers/auth.json (containers-auth.json(5)):
// that of the longest name that fits host/repository. ok is false if the file has none.
func Login(file []byte, host, repository string) (user, password string, ok bool, err error) {
	v, err := parse(file, maxFile)
	r := new(reader)
	var entry json.Value
	best := -1
	if err == nil {
		r.object(v, "auths").Members(func(key string, value json.Value) bool {
			if n := fitsLogin(key, host+"/"+repository); n > best {
				best, entry = n, value
			}
			return true
		})
		user, password, err = r.login(entry)
	}
	helper := ""
	if err == nil && user == "" {
		// docker login leaves an empty entry if a helper has the password.
		if best >= 0 {
			helper = r.text(v, "credsStore", maxShort)
		}
		r.object(v, "credHelpers").Members(func(key string, value json.Value) bool {
			if fitsLogin(key, host+"/"+repository) >= 0 {
				helper, _ = value.Text()
			}
			return true
		})
		err = r.err
	}
	if helper != "" {
		err = errors.New("the password for " + quote(host) + " is with the helper " + quote("docker-credential-"+helper) + ", and this program never runs helpers: give the name and password another way")
	}
	if err != nil {
		return "", "", false, err
	}
	return user, password, user != "", nil
}

// fitsLogin returns how well a key in a file of credentials fits a repository: the length of
// the key, -1 if it does not fit. Keys of Docker are URLs, of which only the host counts.
func fitsLogin(key, name string) int {
	key, isURL := strings.CutPrefix(key, "https://")
	if !isURL {
		key, isURL = strings.CutPrefix(key, "http://")
	}
	host, path, _ := strings.Cut(key, "/")
	if isURL || path == "v1/" || path == "v2/" || path == "v1" || path == "v2" {
		path = ""
	}
	exact := 1 // prefers docker.io to its other names
	if host == "index.docker.io" || host == dockerHubAPI {
		host, exact = dockerHub, 0
	}
	if path = strings.TrimSuffix(path, "/"); path != "" {
		host += "/" + path
	}
	if isURL {
		exact = 0
	}
	if strings.HasPrefix(name+"/", host+"/") {
		return 2*len(host) + exact
	}
	return -1
}

// login returns the name and password in an entry of a file of credentials, "" if there is
// none. The errors do not show them.
func (r *reader) login(entry json.Value) (user, password string, err error) {
	auth, token := r.text(entry, "auth", 2*maxLogin), r.text(entry, "identitytoken", maxToken)
	user, password = r.text(entry, "username", maxLogin), r.text(entry, "password", maxLogin)
	if r.err == nil && auth != "" {
		text, err := base64.StdEncoding.DecodeString(auth)
		named := false
		user, password, named = strings.Cut(string(text), ":")
		password = strings.Trim(password, "\x00") // as Docker does
		if err != nil || !named || user == "" {
			r.fail("auth", "is not the Base64 of NAME:PASSWORD")
		}
	}
	if r.err == nil && (token != "" || user == "<token>") {
		r.err = errors.New("identity tokens are not supported: make an access token in the account's settings at the registry, and use it as the password")
	}
	return user, password, r.err
}
