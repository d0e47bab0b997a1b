package image

import (
	"encoding/base64"
	"strings"

	"lxc-pull/image/json"
)

const (
	maxToken   = 32 << 10 // bytes of a token: servers take headers of up to 32 kB
	maxSeconds = 86400    // that a token is used: a server that says more is asked once a day
	maxMessage = 512      // bytes of a registry's message
)

// ParseToken parses the answer of a token server (distribution, "Token Authentication").
// seconds is how long the token is good: at least 1, at most a day. A token has only printable
// characters of ASCII.
func ParseToken(text []byte) (token string, seconds int64, err error) {
	r := read(text, 4*maxToken)
	if token = r.text(r.value, "token"); token == "" {
		token = r.text(r.value, "access_token")
	}
	if token == "" || len(token) > maxToken {
		r.fail("it has no token, or one of more than 32 kB")
	}
	for i := 0; i < len(token); i++ {
		if token[i] <= ' ' || token[i] >= 0x7f {
			r.fail("its token has characters that no token has")
		}
	}
	if r.why != "" {
		token = ""
	}
	if seconds, _ = r.value.Get("expires_in").Int(); seconds <= 0 {
		seconds = 60 // as the specification says
	}
	return token, min(seconds, maxSeconds), r.done("answer of the token server")
}

// RegistryError returns the code and the message of the first error in a registry's answer
// (distribution spec, "Error Codes"), "" if it has none. Some token servers and proxies answer
// with a message alone. Both texts are the server's, and at most 512 bytes long.
func RegistryError(text []byte) (code, message string) {
	v := read(text, MaxManifest).value
	if items, _ := v.Get("errors").Items(); len(items) > 0 {
		v = items[0]
	}
	code, _ = v.Get("code").Text()
	for _, name := range [...]string{"message", "details", "error_description", "error"} {
		if message == "" {
			message, _ = v.Get(name).Text()
		}
	}
	return code[:min(len(code), maxMessage)], message[:min(len(message), maxMessage)]
}

// Login returns the name and password for a registry in a file of credentials, such as
// ~/.docker/config.json or ${XDG_RUNTIME_DIR}/containers/auth.json (containers-auth.json(5)):
// that of the longest name that fits host/repository. user is "" if the file has none. lacks
// says that there is a login which this program can't use: a credential helper has it, or it is
// an identity token. Such a file lets an image be read that needs no login. An error shows no
// password.
func Login(file []byte, host, repository string) (user, password string, lacks bool, err error) {
	r := read(file, MaxConfig)
	entry, _ := bestLogin(r.object(r.value, "auths"), host+"/"+repository)
	helper := ""
	if entry.IsObject() { // docker login leaves an empty one if a helper has the password
		helper = r.text(r.value, "credsStore")
	}
	if own, name := bestLogin(r.object(r.value, "credHelpers"), host+"/"+repository); name != "" {
		helper, _ = own.Text()
	}
	auth, token, ok := "", "", false
	r.texts(entry, "auth identitytoken username password", &auth, &token, &user, &password)
	if auth != "" {
		text, err := base64.StdEncoding.DecodeString(auth)
		user, password, ok = strings.Cut(string(text), ":")
		password = strings.Trim(password, "\x00") // as Docker does
		if err != nil || !ok || user == "" {
			r.wrong("auth", "is not the Base64 of NAME:PASSWORD")
		}
	}
	if token != "" || user == "<token>" { // as Docker writes an identity token
		user, lacks = "", true
	}
	lacks = lacks || user == "" && helper != ""
	if user == "" || r.why != "" {
		return "", "", lacks, r.done("credentials for " + quote(host))
	}
	return user, password, false, nil
}

// bestLogin returns the member of an object, and its name, that fits a repository best.
func bestLogin(v json.Value, repository string) (value json.Value, name string) {
	best := -1
	parts, _ := v.Members()
	for i := 0; i < len(parts); i += 2 {
		key, _ := parts[i].Text()
		if n := fitsLogin(key, repository); n > best {
			best, value, name = n, parts[i+1], key
		}
	}
	return value, name
}

// fitsLogin returns how well a key in a file of credentials fits a repository: the more the
// longer the key is, -1 if it does not fit. Keys of Docker are URLs, of which only the host
// counts.
func fitsLogin(key, name string) int {
	_, url, isURL := strings.Cut(key, "://")
	exact := 1 // prefers a name to a URL, and docker.io to its other names
	if isURL {
		key, exact = url, 0
	}
	host, path, _ := strings.Cut(strings.TrimSuffix(key, "/"), "/")
	if host == "index.docker.io" || host == dockerHubAPI {
		host, exact = dockerHub, 0
	}
	if !isURL && path != "" && path != "v1" && path != "v2" {
		host += "/" + path
	}
	if strings.HasPrefix(name+"/", host+"/") {
		return 2*len(host) + exact
	}
	return -1
}
