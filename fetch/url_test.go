package fetch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheckURL checks that an error shows the right spelling of a URL.
func TestCheckURL(t *testing.T) {
	t.Chdir("/")
	for raw, want := range map[string]string{
		"https://a/x": "", "http://[::1]:8080/": "", "file:///x": "", "file://localhost/x": "",
		"file:/x":              "",
		"https:/x":             "https://",
		"http:x":               "http://",
		"https:///x":           "no host name",
		"./x":                  `"file:///x"`,
		"/x y":                 `"file:///x%20y"`,
		"x":                    "begins with https://",
		"ftp://a":              "not an http",
		"localhost:999999":     "not an http",
		"http://localhost:0/x": "the port", "http://localhost:65536": "the port", "http://localhost:999999": "the port",
		"file://x/y": "file:///", "file:x": "file:///",
		"http://a b/": "not a URL", "http://u:p%@a/": "%25", "::": "not a URL",
	} {
		err := CheckURL(raw)
		if (err == nil) != (want == "") || err != nil && (kindOf(err) != KindURL || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", raw, err, want)
		}
	}
}

func TestOrigin(t *testing.T) {
	for raw, want := range map[string]string{
		"https://A.test/x": "https://a.test:443", "http://u:p@a:8080?x": "http://a:8080", "http://[::1]": "http://[::1]:80", "file:///x": "", "::": "",
	} {
		if got := Origin(raw); got != want {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	}
}

// TestShowURL checks that no text is shown that may be a password.
func TestShowURL(t *testing.T) {
	for raw, want := range map[string]string{
		"https://a/x":                   "https://a/x",
		"https://u:s3cret@a/x":          "https://a/x",
		"https://s3cret@a/x":            "https://a/x",
		"https://a/x?k=s3cret#s3cret":   "https://a/x?...",
		"https://u:1/s3cret@a/x":        "(not shown: it may hold a password)",
		"https://u:s3/cret@a/x":         "(not shown: it may hold a password)",
		"https://u:s3cret%@a/x":         "(not shown: it may hold a password)",
		"https:/u:s3cret@a/x":           "(not shown: it may hold a password)",
		"u:s3cret@a/x":                  "(not shown: it may hold a password)",
		"file:///a@b":                   "file:///a@b",
		"file:/u:s3cret@b":              "(not shown: it may hold a password)",
		"https://a:999999999999999/x y": "https://a:999999999999999/x%20y",
	} {
		if got := ShowURL(raw); got != want {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	}
}

// FuzzShowURL checks that no text before the last @ is shown.
func FuzzShowURL(f *testing.F) {
	f.Add("http://u:", "", "host/x")
	f.Add("https:/", "/%zz", "host:x?y#z")
	f.Add("", "#", "[::1]")
	f.Fuzz(func(t *testing.T, before, after, host string) {
		raw := before + "s3cret" + after + "@" + host
		if strings.HasPrefix(raw, "file:///") || strings.Contains(before+host, "s3cret") || strings.Contains(before, "@") {
			t.Skip("a path, or a secret that is none")
		}
		if got := ShowURL(raw); strings.Contains(got, "s3cret") {
			t.Errorf("%q is shown as %q", raw, got)
		}
		if err := CheckURL(raw); err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: %v", raw, err)
		}
	})
}

// TestColons reads a directory tree from a file system without colons in names.
func TestColons(t *testing.T) {
	for _, build := range []string{"1_05:24", "1_05%3A24", "1_05_24"} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, build), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, build, "x:y"), []byte(build), 0o644); err != nil {
			t.Fatal(err)
		}
		c := newClient(t, Options{})
		got, err := c.Get(t.Context(), "file://"+dir+"/1_05:24/x:y", 100)
		if string(got) != build {
			t.Errorf("%q: %q, %v", build, got, err)
		}
		if got, _, err := c.Tail(t.Context(), "file://"+dir+"/1_05:24/x:y", 2); string(got) != "24" {
			t.Errorf("%q: %q, %v", build, got, err)
		}
		if _, err := c.Get(t.Context(), "file://"+dir+"/1_05:24/absent", 100); !os.IsNotExist(unwrapFile(err)) {
			t.Errorf("%q: %v", build, err)
		}
	}
}

func unwrapFile(err error) error {
	for _, e := range Failures(err) {
		return e.Err
	}
	return err
}
