package image

import (
	"strings"
	"testing"
)

var (
	hexA    = strings.Repeat("0a", 32)
	digestA = "sha256:" + hexA
	digestB = "sha256:" + strings.Repeat("b1", 32)
)

func TestParseReference(t *testing.T) {
	long := strings.Repeat("x", 248) // with "library/" 256 bytes
	for _, test := range []struct{ text, want string }{
		{"nginx", "docker:docker.io/library/nginx:latest"},
		{"nginx:1.27", "docker:docker.io/library/nginx:1.27"},
		{"owner/app", "docker:docker.io/owner/app:latest"},
		{"docker.io/nginx", "docker:docker.io/library/nginx:latest"},
		{"index.docker.io/nginx", "docker:docker.io/library/nginx:latest"},
		{"index.docker.io/owner/app:x", "docker:docker.io/owner/app:x"},
		{"ghcr.io/owner/app:1.2", "docker:ghcr.io/owner/app:1.2"},
		{"ghcr.io/app", "docker:ghcr.io/app:latest"},
		{"localhost/x", "docker:localhost/x:latest"},
		{"localhost:5000/x@" + digestA, "docker:localhost:5000/x@" + digestA},
		{"host:80/a/b/c:T_a.g-1@" + digestA, "docker:host:80/a/b/c:T_a.g-1@" + digestA},
		{"[::1]:5000/x", "docker:[::1]:5000/x:latest"},
		{"127.0.0.1/x", "docker:127.0.0.1/x:latest"},
		{"a.b-c.D/x", "docker:a.b-c.D/x:latest"},
		{"a__b/c--d/e.f_g", "docker:docker.io/a__b/c--d/e.f_g:latest"},
		{"nginx:80/x", "docker:nginx:80/x:latest"},
		{"a:" + strings.Repeat("t", maxTag), "docker:docker.io/library/a:" + strings.Repeat("t", maxTag)},
		{long[1:], "docker:docker.io/library/" + long[1:] + ":latest"},
		{hexA + ":x", "docker:docker.io/library/" + hexA + ":x"},

		{"", "begin and end with a letter or digit"},
		{"nginx:", "no tag after the colon"},
		{"nginx@", "no digest"},
		{"nginx:@" + digestA, "no tag after the colon"},
		{":tag", "begin and end with a letter"},
		{"@" + digestA, "begin and end with a letter"},
		{"Nginx", `must be in lower case: "nginx"`},
		{"Library/nginx", `must be in lower case: "library/nginx"`}, // Docker takes Library for a host
		{"ghcr.io/Owner/app", `must be in lower case: "owner/app"`},
		{"http://registry/x", "no scheme"},
		{"https://ghcr.io/x", "no scheme"},
		{"a:b:c", "is no tag"},
		{"a:.b", "is no tag"}, {"a:-b", "is no tag"}, {"a:b/c", "is not the name or address"}, {"a/b:c/d", "is no tag"}, {"a:ü", "is no tag"},
		{"a:" + strings.Repeat("t", maxTag+1), "is no tag"},
		{long, "longer than 255"},
		{"a@sha512:" + strings.Repeat("0a", 64), `"sha512:`},
		{"a@" + digestA[:70], "64 lower-case"}, {"a@" + strings.ToUpper(digestA), "64 lower-case"}, {"a@sha256:" + strings.ToUpper(hexA), "64 lower-case"}, {"a@" + digestA + "@" + digestA, "64 lower-case"},
		{hexA, "id of an image"},
		{"a//b", "begin and end"}, {"/a", "begin and end"}, {"a/", "begin and end"}, {"a/.", "begin and end"}, {"a/../b", "begin and end"}, {"..", "begin and end"}, {"-a", "begin and end"}, {"a-", "begin and end"}, {"a..b", "begin and end"}, {"a___b", "begin and end"}, {"a._b", "begin and end"},
		{"a b", `" " is not allowed`}, {"a\n", `"\n" is not allowed`}, {"a\x1b[2", `is not allowed`}, {"a%2f", `"%" is not allowed`}, {"a?b", "is not allowed"}, {"a#b", "is not allowed"}, {"ä", "is not allowed"}, {"a\\b", "is not allowed"},
		{"./a", "name or address"}, {"../a", "name or address"}, {"-a.b/x", "name or address"}, {"a-.b/x", "name or address"}, {"a..b/x", "name or address"}, {"a_b.c/x", "name or address"}, {"a.b:/x", "name or address"}, {"a:0/x", "name or address"}, {"a:65536/x", "name or address"}, {"a:x/y", "name or address"}, {"a.b:+1/x", "name or address"}, {"[::1/x", "name or address"}, {"[]:1/x", "name or address"}, {"[::1%eth0]/x", "name or address"}, {"user:pw.x/y", "name or address"}, {"user@h.x/y", "no digest"},
		{strings.Repeat("a.", 127) + "a/x", "name or address"},
	} {
		r, err := ParseReference(test.text)
		got := ""
		if err != nil {
			got = err.Error()
			if i := strings.IndexFunc(got, func(c rune) bool { return c < ' ' || c == 0x7f }); i >= 0 || len(got) > 1000 {
				t.Errorf("%q: error %q", test.text, got)
			}
		} else {
			got = r.String()
		}
		if strings.HasPrefix(test.want, "docker:") && got != test.want || !strings.Contains(got, test.want) {
			t.Errorf("%q: got %q, want %q", test.text, got, test.want)
		}
	}
}

func TestReferenceURL(t *testing.T) {
	for text, want := range map[string]string{
		"nginx":             "https://registry-1.docker.io/v2/library/nginx",
		"ghcr.io/a/b:c":     "https://ghcr.io/v2/a/b",
		"localhost:5000/x":  "https://localhost:5000/v2/x",
		"[::1]:5000/x:y":    "https://[::1]:5000/v2/x",
		"index.docker.io/x": "https://registry-1.docker.io/v2/library/x",
	} {
		if r, err := ParseReference(text); err != nil || r.URL() != want {
			t.Errorf("%q: %q, %v", text, r.URL(), err)
		}
	}
	r := Reference{Plain: true, Host: "h:1", Repository: "x", Tag: "y"}
	if r.URL() != "http://h:1/v2/x" || r.String() != "docker+http://h:1/x:y" || r.Name() != "h:1/x" {
		t.Errorf("%q, %q, %q", r.URL(), r.String(), r.Name())
	}
}

func TestParseDigest(t *testing.T) {
	if d, err := ParseDigest(digestA); string(d) != digestA || err != nil {
		t.Errorf("%q, %v", d, err)
	}
	for _, text := range []string{"", "sha256:", hexA, digestA + "0", "sha512:" + hexA + hexA, "SHA256:" + hexA, digestA + "\n"} {
		if d, err := ParseDigest(text); d != "" || err == nil {
			t.Errorf("%q is a digest", text)
		}
	}
}

// A name that is accepted is safe in a path and a URL, and its complete form means the same.
func FuzzParseReference(f *testing.F) {
	for _, text := range []string{"nginx", "ghcr.io/a/b:c", "localhost:5000/x@" + digestA, "a__b/c--d.e:T", "[::1]:80/x", "HTTP://x", "a:b@c"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseReference(text)
		if err != nil {
			if len(err.Error()) > 2000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		if r.Tag == "" && r.Digest == "" || len(r.Tag) > maxTag || len(r.Repository) > maxRepository || len(r.Host) > maxHost+6 {
			t.Errorf("%q: %+v", text, r)
		}
		if strings.Trim(r.Repository, "abcdefghijklmnopqrstuvwxyz0123456789/._-") != "" || strings.Contains("/"+r.Repository+"/", "/.") || strings.Contains(r.Repository, "//") {
			t.Errorf("%q: repository %q", text, r.Repository)
		}
		if r.Tag != "" && !isTag(r.Tag) || strings.ContainsAny(r.Host, "/@ \n") {
			t.Errorf("%q: %+v", text, r)
		}
		again, err := ParseReference(strings.TrimPrefix(r.String(), "docker:"))
		if err != nil || again.String() != r.String() {
			t.Errorf("%q: %q is %q, %v", text, r.String(), again.String(), err)
		}
	})
}
