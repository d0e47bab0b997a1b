package image

import (
	"encoding/base64"
	"strings"
	"testing"
)

func TestParseToken(t *testing.T) {
	for _, test := range []struct {
		text, token string
		seconds     int64
		want        string
	}{
		{`{"token":"abc.d-e_f~+/="}`, "abc.d-e_f~+/=", 60, ""},
		{`{"access_token":"x","expires_in":300}`, "x", 300, ""},
		{`{"token":"","access_token":"x","expires_in":0}`, "x", 60, ""},
		{`{"token":"a","access_token":"b","expires_in":-5}`, "a", 60, ""},
		{`{"token":"a","expires_in":9223372036854775807}`, "a", maxSeconds, ""},
		{`{"token":"a","expires_in":"300"}`, "a", 60, ""},
		{`{"token":"` + strings.Repeat("x", maxToken) + `"}`, strings.Repeat("x", maxToken), 60, ""},
		{`{"token":"` + strings.Repeat("x", maxToken+1) + `"}`, "", 60, "more than 32 kB"},
		{`{"token":"a\r\nHost: x"}`, "", 60, "characters"}, {`{"token":"a b"}`, "", 60, "characters"}, {`{"token":"ä"}`, "", 60, "characters"}, {`{"token":"\u007f"}`, "", 60, "characters"},
		{`{}`, "", 60, "no token"}, {`{"token":5}`, "", 60, "not a text"}, {`[]`, "", 60, "no JSON object"}, {`<html>`, "", 60, "no valid JSON"},
	} {
		token, seconds, err := ParseToken([]byte(test.text))
		check(t, test.text, err, test.want)
		if token != test.token || seconds != test.seconds {
			t.Errorf("%.100s: %.100q, %d", test.text, token, seconds)
		}
	}
}

func TestRegistryError(t *testing.T) {
	for text, want := range map[string]string{
		`{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down","detail":{}},{"code":"B"}]}`: "TOOMANYREQUESTS|slow down",
		`{"errors":[{"code":"DENIED"}]}`:                      "DENIED|",
		`{"errors":[5]}`:                                      "|",
		`{"errors":[]}`:                                       "|",
		`{"errors":null,"message":"m"}`:                       "|m",
		`{"details":"incorrect username or password"}`:        "|incorrect username or password",
		`{"error":"invalid_token","error_description":"old"}`: "|old",
		`<html>`: "|", ``: "|", `[]`: "|",
		`{"errors":[{"code":"A","message":"` + strings.Repeat("x", 2000) + `"}]}`: "A|" + strings.Repeat("x", maxMessage),
	} {
		if code, message := RegistryError([]byte(text)); code+"|"+message != want {
			t.Errorf("%.100s: %q, %q", text, code, message)
		}
	}
}

func TestLogin(t *testing.T) {
	auth := func(text string) string {
		return `{"auth":"` + base64.StdEncoding.EncodeToString([]byte(text)) + `"}`
	}
	for _, test := range []struct{ file, host, repository, want string }{
		{`{"auths":{"ghcr.io":` + auth("u:p:q") + `}}`, "ghcr.io", "a/b", "u|p:q"},
		{`{"auths":{"ghcr.io":` + auth("u:p\x00\x00") + `}}`, "ghcr.io", "a/b", "u|p"},
		{`{"auths":{"ghcr.io":` + auth("u:") + `}}`, "ghcr.io", "a/b", "u|"},
		{`{"auths":{"ghcr.io":` + auth("u:p") + `}}`, "ghcr.io.evil", "a/b", "|"},
		{`{"auths":{"ghcr.io":` + auth("u:p") + `}}`, "evil.ghcr.io", "a/b", "|"},
		{`{"auths":{"ghcr.io":` + auth("u:p") + `}}`, "docker.io", "ghcr.io/b", "|"},
		{`{"auths":{"https://index.docker.io/v1/":` + auth("u:p") + `}}`, "docker.io", "library/x", "u|p"},
		{`{"auths":{"index.docker.io/v1/":` + auth("u:p") + `}}`, "docker.io", "library/x", "u|p"},
		{`{"auths":{"registry-1.docker.io":` + auth("u:p") + `}}`, "docker.io", "library/x", "u|p"},
		{`{"auths":{"https://index.docker.io/v1/":` + auth("u:p") + `,"docker.io":` + auth("v:q") + `}}`, "docker.io", "library/x", "v|q"},
		{`{"auths":{"docker.io":` + auth("v:q") + `,"https://index.docker.io/v1/":` + auth("u:p") + `}}`, "docker.io", "library/x", "v|q"},
		{`{"auths":{"https://h.x:5000/v2/":` + auth("u:p") + `}}`, "h.x:5000", "a", "u|p"},
		{`{"auths":{"http://h.x:5000":` + auth("u:p") + `}}`, "h.x:5000", "a", "u|p"},
		{`{"auths":{"h.x":` + auth("u:p") + `}}`, "h.x:5000", "a", "|"},
		{`{"auths":{"q.io":` + auth("a:1") + `,"q.io/n":` + auth("b:2") + `,"q.io/n/app":` + auth("c:3") + `,"q.io/n/apple":` + auth("d:4") + `}}`, "q.io", "n/app", "c|3"},
		{`{"auths":{"q.io":` + auth("a:1") + `,"q.io/n":` + auth("b:2") + `,"q.io/n/app":` + auth("c:3") + `}}`, "q.io", "n/app2", "b|2"},
		{`{"auths":{"q.io":` + auth("a:1") + `,"q.io/n/":` + auth("b:2") + `}}`, "q.io", "nn/x", "a|1"},
		{`{"auths":{"q.io":{"username":"u","password":"p"}}}`, "q.io", "a", "u|p"},
		{`{"auths":{"q.io":{}}}`, "q.io", "a", "|"}, {`{"auths":{}}`, "q.io", "a", "|"}, {`{}`, "q.io", "a", "|"}, {`{"auths":null}`, "q.io", "a", "|"},
		{`{"auths":{},"credsStore":"desktop"}`, "q.io", "a", "|"}, // nobody logged in
		{`{"auths":{"q.io":{}},"credsStore":"desktop"}`, "q.io", "a", "||lacks"},
		{`{"auths":{"q.io":` + auth("u:p") + `},"credsStore":"desktop"}`, "q.io", "a", "u|p"},
		{`{"credHelpers":{"q.io":"gcloud"}}`, "q.io", "a", "||lacks"},
		{`{"credHelpers":{"q.io":"gcloud"},"auths":{"q.io":` + auth("u:p") + `}}`, "q.io", "a", "u|p"},
		{`{"credHelpers":{"q.io":"gcloud"}}`, "other.io", "a", "|"},
		{`{"auths":{"q.io":{"identitytoken":"x"}}}`, "q.io", "a", "||lacks"},
		{`{"auths":{"q.io":{"auth":"` + base64.StdEncoding.EncodeToString([]byte("<token>:x")) + `"}}}`, "q.io", "a", "||lacks"},
		{`{"auths":{"q.io":{"auth":"!"}}}`, "q.io", "a", "Base64"}, {`{"auths":{"q.io":` + auth("secret") + `}}`, "q.io", "a", "Base64"}, {`{"auths":{"q.io":` + auth(":p") + `}}`, "q.io", "a", "Base64"},
		{`{"auths":{"q.io":{"auth":5}}}`, "q.io", "a", "not a text"}, {`{"auths":[]}`, "q.io", "a", "no object"}, {`x`, "q.io", "a", "no valid JSON"},
	} {
		user, password, lacks, err := Login([]byte(test.file), test.host, test.repository)
		got := user + "|" + password
		if lacks {
			got += "|lacks"
		}
		if err != nil {
			if got != "|" || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: an error and %q", test.file, got)
			}
			got = err.Error()
		}
		if strings.Contains(test.want, "|") && got != test.want || !strings.Contains(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.file, got, test.want)
		}
	}
}
