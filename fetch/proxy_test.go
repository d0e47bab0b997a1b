package fetch

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestEnvironmentProxies checks which proxy is used for a request in an environment.
func TestEnvironmentProxies(t *testing.T) {
	for _, test := range []struct{ env, url, want string }{
		{"", "http://a/", ""},
		{"HTTP_PROXY=http://p:1", "http://a/", "http://p:1"},
		{"HTTP_PROXY=http://p:1", "https://a/", ""},
		{"https_proxy=p:1", "https://a/", "http://p:1"},
		{"HTTPS_PROXY=https://p|https_proxy=http://q", "https://a/", "https://p"},
		{"ALL_PROXY=socks5://u:p@p:1", "http://a/", "socks5://u:p@p:1"},
		{"all_proxy=socks5h://p|https_proxy=http://q", "https://a/", "http://q"},
		{"all_proxy=socks5h://p|https_proxy=http://q", "http://a/", "socks5h://p"},
		{"all_proxy=p", "http://localhost/", ""},
		{"all_proxy=p", "http://127.9.9.9:80/", ""},
		{"all_proxy=p", "http://[::1]/", ""},
		{"all_proxy=p|NO_PROXY=*", "http://a/", ""},
		{"all_proxy=p|no_proxy= b , A.test", "http://a.test/", ""},
		{"all_proxy=p|no_proxy=a.test", "http://x.A.test/", ""},
		{"all_proxy=p|no_proxy=a.test", "http://xa.test/", "http://p"},
		{"all_proxy=p|no_proxy=.a.test", "http://a.test/", "http://p"},
		{"all_proxy=p|no_proxy=*.a.test", "http://x.a.test/", ""},
		{"all_proxy=p|no_proxy=a.test:8080", "http://a.test/", "http://p"},
		{"all_proxy=p|no_proxy=a.test:443", "https://a.test/", ""},
		{"all_proxy=p|no_proxy=10.0.0.0/8", "http://10.1.2.3/", ""},
		{"all_proxy=p|no_proxy=10.0.0.0/8", "http://11.1.2.3/", "http://p"},
		{"all_proxy=p|no_proxy=10.1.2.3", "http://10.1.2.3/", ""},
		{"all_proxy=p|no_proxy=fe80::1,[fd00::1]:80", "http://[fd00::1]/", ""},
		{"all_proxy=p|no_proxy=2.3,:80,", "http://1.2.3/", ""},
		{"all_proxy=p|no_proxy=:80,,", "http://a/", "http://p"},
	} {
		env := map[string]string{}
		for word := range strings.SplitSeq(test.env, "|") {
			name, value, _ := strings.Cut(word, "=")
			env[name] = value
		}
		p, err := environmentProxies(func(name string) string { return env[name] })
		if err != nil {
			t.Errorf("%s: %v", test.env, err)
			continue
		}
		got := ""
		if u, _ := p.forRequest(httptest.NewRequest("GET", test.url, nil)); u != nil {
			got = u.String()
		}
		if got != test.want {
			t.Errorf("%s, %s: %q, want %q", test.env, test.url, got, test.want)
		}
	}
}

// TestProxyUnreadable checks that a malformed proxy variable is an error before any
// request is sent, and that the error shows no password.
func TestProxyUnreadable(t *testing.T) {
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"} {
		for _, value := range []string{"http://u:s3cret%zz@p:1", "u:s3cret%@p", "http://u:s3cret@p:x", "http://u:s3/cret@p:1", "socks4://u:s3cret@p", "ftp://s3cret", "http://", "http://u:s3cret@p:99999", "http://u:s3cret@:80"} {
			env := func(n string) string {
				if n == name {
					return value
				}
				return ""
			}
			_, err := environmentProxies(env)
			if err == nil || strings.Contains(err.Error(), "s3") || !strings.Contains(err.Error(), name) {
				t.Errorf("%s=%s: %v", name, value, err)
			}
		}
	}
	if _, err := environmentProxies(func(n string) string { return map[string]string{"REQUEST_METHOD": "GET", "HTTP_PROXY": "http://p"}[n] }); err == nil {
		t.Error("a CGI program believes its client's HTTP_PROXY")
	}
	t.Setenv("ALL_PROXY", "http://u:s3cret%@p")
	asked := false
	listener := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer listener.Close()
	c, err := NewClient(Options{Wait: func(context.Context, time.Duration) error { t.Error("it is asked again"); return nil }})
	if err != nil {
		t.Fatalf("a client that asks nobody yet: %v", err)
	}
	for _, u := range []string{listener.URL + "/x", "https://images.test/x"} {
		if _, err := c.Get(t.Context(), u, 10); kindOf(err) != KindSettings || strings.Contains(err.Error(), "s3cret") || asked {
			t.Errorf("a request: %v, asked %v", err, asked)
		}
	}
	file := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), "file://"+file, 10); err != nil {
		t.Errorf("a local file: %v", err)
	}
	if u, err := proxyURL("socks://p:1080/"); err != nil || u.Scheme != "socks5" {
		t.Errorf("GNOME's socks: %v, %v", u, err)
	}
}

// TestSOCKS has a proxy that sends nothing, and a proxy that does not speak SOCKS.
func TestSOCKS(t *testing.T) {
	silent := Options{Proxy: http.ProxyURL(&url.URL{Scheme: "socks5", Host: "proxy.test", User: url.UserPassword("u", "s3cret")}), Limits: LimitOptions{Retries: -1}}
	inTime(t, send("x"), silent, func(t *testing.T, c *Client) {
		if _, err := c.Get(t.Context(), "http://images.test/", 10); kindOf(err) != KindTimeout {
			t.Errorf("a silent proxy: %v", err)
		}
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn.Read(make([]byte, 3))
			conn.Write([]byte("HTTP/1.0 400"))
			conn.Close()
		}
	}()
	web := Options{Proxy: http.ProxyURL(&url.URL{Scheme: "socks5", Host: listener.Addr().String(), User: url.UserPassword("u", "s3cret")})}
	if _, err := newClient(t, web).Get(t.Context(), "http://images.test/", 10); kindOf(err) != KindProxy || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("a proxy that speaks no SOCKS: %v", err)
	}
}
