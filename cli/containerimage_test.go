package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lxc-pull/image"
	"lxc-pull/lxc"
	"lxc-pull/pull"
	"lxc-pull/pull/source"
)

// The forms of sources.md 1, and what each means.
func TestContainerNames(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0a", 32)
	for _, c := range []struct{ name, want string }{
		{"docker:nginx", "docker:docker.io/library/nginx:latest"},
		{"docker://ghcr.io/owner/app:1.2@" + digest, "docker:ghcr.io/owner/app:1.2@" + digest},
		{"docker:localhost:5000/x", "docker:localhost:5000/x:latest"},
		{"docker+http://127.0.0.1:5000/x", "docker+http://127.0.0.1:5000/x:latest"},
		{"oci://ghcr.io/owner/app", "docker:ghcr.io/owner/app:latest"},
		{"oci:/srv/layout", "/srv/layout||"},
		{"oci:layout:v1", "layout|v1|"},
		{"oci:layout:v1@" + digest, "layout|v1|" + digest},
		{"oci:layout@" + digest, "layout||" + digest},
		{"oci-archive:a b.tar:latest", "a b.tar|latest|"},
		{"docker-archive:./x.tar:docker.io/library/alpine:3.20", "./x.tar|docker.io/library/alpine:3.20|"},
		{"docker-archive:x.tar:alpine", "x.tar|alpine|"},
		{"oci-archive:x.tar:localhost:5000/a/b", "x.tar|localhost:5000/a/b|"},
		{"-", "-||"},
	} {
		got, err := parseContainer(c.name)
		if err != nil || !isContainer(c.name) {
			t.Errorf("parseContainer(%q): %v", c.name, err)
			continue
		}
		text := got.Archive + "|" + got.Reference.Tag + "|" + string(got.Reference.Digest)
		if got.Archive == "" {
			text = got.Reference.String()
		}
		if text != c.want {
			t.Errorf("parseContainer(%q) = %q, want %q", c.name, text, c.want)
		}
	}
	for _, name := range []string{
		"docker:", "docker://", "docker:UPPER", "docker:x:", "docker:a@sha256:00", "docker:a b", "docker:ghcr.io/", "docker:a\x1b[m",
		"oci://nginx", "oci://owner/app", "oci:", "oci::tag", "oci-archive:", "docker-archive::x", "oci:a@sha256:xyz", "oci:a\n",
		"docker://user:secret@ghcr.io/x", "docker:user:secret@ghcr.io/x", "docker://secret@ghcr.io/x@" + digest, "docker+http://u:secret@h/x:y",
	} {
		_, err := parseContainer(name)
		if exitStatus(err) != exitUsage {
			t.Errorf("parseContainer(%q) = %v", name, err)
		} else if strings.Contains(err.Error(), "secret") || strings.ContainsFunc(err.Error(), isControl) {
			t.Errorf("parseContainer(%q) shows too much: %v", name, err)
		}
	}
}

// What may be a container image or a file is refused with what it could mean; names of image
// servers are not.
func TestUnclearNames(t *testing.T) {
	for name, want := range map[string]string{
		"nginx:latest": "docker:nginx:latest", "ghcr.io/x/y": "docker:ghcr.io/x/y", "localhost/x": "docker:localhost/x", "localhost:5000/x": "docker:localhost:5000/x",
		"debian:13": "debian/13", "x@sha256:00": "docker:x@sha256:00", "x.tar": "docker-archive:x.tar", "a/b.tar.gz": "oci-archive:a/b.tar.gz", "x.squashfs": "./x.squashfs",
		"~x/y.tar": "~x/y.tar", "containers-storage:x": "containers-storage:", "dir:/x": "dir:", "docker-daemon:x:y": "docker-daemon:", "image:debian/13": "images:debian/13",
		"dokcer:x": "docker:x",
	} {
		if err := new(imageOptions).readImage(name); exitStatus(err) != exitUsage || !strings.Contains(err.Error(), want) {
			t.Errorf("readImage(%q) = %v, want %q in it", name, err, want)
		}
	}
	// What only the name of a container image can be, as in lxc-oci -u.
	for name, want := range map[string]string{
		"ubuntu:24.04": "docker:ubuntu:24.04", "./a/b.tar.gz": "oci-archive:./a/b.tar.gz", "/srv/rootfs": "docker-archive:/srv/rootfs", "https://host/x.tar": "URL", "nginx": "docker:nginx",
	} {
		if err := refuse(name, true); exitStatus(err) != exitUsage || !strings.Contains(err.Error(), want) {
			t.Errorf("refuse(%q) = %v, want %q in it", name, err, want)
		}
	}
	for _, name := range []string{"debian", "debian/trixie", "debian/trixie@20260829_05:24", "ubuntu/24.04/arm64/cloud", "opensuse/15.6", "debian/trixie/arm64"} {
		if got := unclear(name); got != "" || isContainer(name) {
			t.Errorf("unclear(%q) = %q, a container: %v", name, got, isContainer(name))
		}
	}
}

// The words are those of sh -c 'printf "%s\n" WORDS' where nothing is expanded.
func TestSplitWords(t *testing.T) {
	for text, want := range map[string]string{
		``: ``, ` `: ``, `a`: `a`, `a b  c`: `a|b|c`, "a\tb\nc": `a|b|c`, `'a b' "c d"`: `a b|c d`, `a'b'"c"d`: `abcd`, `''`: ``, `a '' b`: `a||b`,
		`a\ b`: `a b`, `"a\"b"`: `a"b`, `"a\nb"`: `a\nb`, `'a\b'`: `a\b`, `"\$x \\"`: `$x \`, `$HOME * ; ~ #x`: `$HOME|*|;|~|#x`, `-g 'daemon off;'`: `-g|daemon off;`,
	} {
		got, err := splitWords(text)
		if err != nil || got == nil || strings.Join(got, "|") != want {
			t.Errorf("splitWords(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{`'a`, `"a`, `a\`, `"\`, "a\x00", "a\x1b[m", "a\rb"} {
		if got, err := splitWords(text); err == nil {
			t.Errorf("splitWords(%q) = %q", text, got)
		}
	}
}

// FuzzSplitWords: quoted by shellWords, any words come back as they were.
func FuzzSplitWords(f *testing.F) {
	f.Add("a", "b c")
	f.Add("it's", `"`)
	f.Add("", `\`)
	f.Fuzz(func(t *testing.T, a, b string) {
		words := []string{a, b}
		got, err := splitWords(shellWords(words))
		if strings.ContainsFunc(a+b, func(r rune) bool { return r < ' ' && r != '\t' && r != '\n' || r == 0x7f }) {
			if err == nil {
				t.Errorf("a control character in %q is accepted", words)
			}
			return
		}
		if err != nil || !slices.Equal(got, words) {
			t.Errorf("splitWords(shellWords(%q)) = %q, %v", words, got, err)
		}
	})
}

// As for docker: another entry point means that the image's arguments are not used.
func TestContainerCommand(t *testing.T) {
	config := &image.OCIConfig{Entrypoint: []string{"/entry"}, Cmd: []string{"a", "b"}}
	for _, c := range []struct{ entrypoint, cmd, want string }{
		{"-", "-", "/entry a b"}, {"/x y", "-", "/x y"}, {"/x", "c", "/x c"}, {"-", "c d", "/entry c d"}, {"", "c", "c"}, {"", "-", "/bin/sh"},
	} {
		o := new(pull.Process)
		if c.entrypoint != "-" {
			o.Entrypoint, _ = splitWords(c.entrypoint)
		}
		if c.cmd != "-" {
			o.Cmd, _ = splitWords(c.cmd)
		}
		if got := strings.Join(o.Arguments(config), " "); got != c.want {
			t.Errorf("entrypoint %q, cmd %q: %q, want %q", c.entrypoint, c.cmd, got, c.want)
		}
	}
}

func TestSortTags(t *testing.T) {
	tags := strings.Fields("1.9 edge latest 1.10 3.20.1 3.20 alpha v2.0 1.10-rc1")
	sortTags(tags)
	text := strings.Join(tags, " ")
	if tags[0] != "latest" || !strings.HasSuffix(text, "edge alpha") || strings.Index(text, "1.10") > strings.Index(text, "1.9") || strings.Index(text, "3.20") > strings.Index(text, "1.10") {
		t.Errorf("%q", text)
	}
	if got := tagTable([]string{"latest", "3.20", "3.19"}, 20); got != "latest 3.20 3.19\n" {
		t.Errorf("%q", got)
	}
	if got := tagTable([]string{"latest", "3.20"}, 0); got != "latest\n3.20\n" {
		t.Errorf("%q", got)
	}
}

// A login goes to its own registry alone, the files are asked in their order, and those that
// others can change are not used.
func TestLogins(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	auth := func(host, pair string) string {
		return `{"auths": {"` + host + `": {"auth": "` + map[string]string{"a:1": "YTox", "b:2": "Yjoy", "c:3": "Yzoz"}[pair] + `"}}}`
	}
	for _, name := range []string{"REGISTRY_AUTH_FILE", "XDG_CONFIG_HOME", "DOCKER_CONFIG"} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", dir)
	t.Setenv("XDG_RUNTIME_DIR", filepath.Join(dir, "run"))
	put("run/containers/auth.json", auth("quay.io", "b:2"), 0o600)
	put(".docker/config.json", `{"credsStore": "pass", `+auth("https://index.docker.io/v1/", "c:3")[1:], 0o600)
	own := put("own.json", auth("ghcr.io", "a:1"), 0o600)
	password := put("password", "secret\n", 0o600)

	login := func(set func(o *finderOptions), name string) (o *finderOptions, ask func(host string) string, warned string, err error) {
		o = &finderOptions{owner: pull.Owner{UID: -1, GID: -1}, namespace: lxc.HostNamespace}
		set(o)
		var out strings.Builder
		err = o.useContainer(t.Context(), &ui{out: &out, err: &out, given: []string{"server", "mirror"}}, name, "")
		return o, func(host string) string {
			user, password, err := o.registry.image.Login(host, "library/x")
			if err != nil {
				return err.Error()
			}
			return user + ":" + password
		}, out.String(), err
	}
	_, ask, warned, err := login(func(o *finderOptions) { o.registry.authFile = own }, "docker:ghcr.io/x/y")
	if err != nil || warned != "" || ask("ghcr.io") != "a:1" || ask("quay.io") != "b:2" || ask("docker.io") != "c:3" || ask("elsewhere.io") != ":" {
		t.Errorf("%q %q %q %q, %q, %v", ask("ghcr.io"), ask("quay.io"), ask("docker.io"), ask("elsewhere.io"), warned, err)
	}
	o, ask, _, err := login(func(o *finderOptions) { o.registry.user, o.registry.passwordFile = "me", password }, "docker:quay.io/x")
	if err != nil || ask("quay.io") != "me:secret" || ask("mirror.io") != ":" || o.registry.lacking() != "" {
		t.Errorf("%q %q, %v", ask("quay.io"), ask("mirror.io"), err)
	}
	helpers := put("helpers.json", `{"auths": {"ghcr.io": {}}, "credsStore": "pass", "credHelpers": {"gcr.io": "gcloud"}}`, 0o600)
	for name, want := range map[string]string{"docker:gcr.io/x/y": helpers, "docker:ghcr.io/x/y": helpers, "docker:elsewhere.io/x": "", "docker:quay.io/x": ""} {
		o, ask, _, err := login(func(o *finderOptions) { o.registry.authFile = helpers }, name)
		if err != nil || ask("gcr.io") != ":" || o.registry.lacking() != want {
			t.Errorf("%s: %q, lacking %q, %v", name, ask("gcr.io"), o.registry.lacking(), err)
		}
	}
	for what, set := range map[string]func(o *finderOptions){
		"alone":    func(o *finderOptions) { o.registry.user = "me" },
		"nobody":   func(o *finderOptions) { o.registry.passwordFile = password },
		"no file":  func(o *finderOptions) { o.registry.authFile = dir + "/none" },
		"mirror":   func(o *finderOptions) { o.servers.mirrors = []string{"ftp://x"} },
		"password": func(o *finderOptions) { o.servers.mirrors = []string{"me:secret@x"} },
		"colon":    func(o *finderOptions) { o.registry.user, o.registry.passwordFile = "m:e", password },
	} {
		if _, _, _, err := login(set, "docker:quay.io/x"); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", what, err)
		}
	}
	put("run/containers/auth.json", auth("quay.io", "b:2"), 0o666)
	if _, ask, warned, err := login(func(*finderOptions) {}, "docker:quay.io/x"); err != nil || ask("quay.io") != ":" || !strings.Contains(warned, "are not used") {
		t.Errorf("a file that anybody can write: %q, %q, %v", ask("quay.io"), warned, err)
	}
	put(".docker/config.json", `{"auths": {"docker.io": {"auth": "c2VjcmV0`, 0o600) // not JSON
	if _, ask, _, err := login(func(*finderOptions) {}, "docker:x"); err != nil || !strings.Contains(ask("docker.io"), "config.json") || strings.Contains(ask("docker.io"), "c2VjcmV0") {
		t.Errorf("a broken file: %q, %v", ask("docker.io"), err)
	}
}

// Settings of image servers do not count for registries.
func TestSettingsOfImageServers(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	c := new(createCall)
	s := new(settings)
	s.add("server", "images.example", "LXC_PULL_SERVER")
	s.add("mirror", "https://mirror.example/images", "LXC_PULL_MIRROR")
	s.add("require-signature", "1", "LXC_PULL_REQUIRE_SIGNATURE")
	s.give(flagsOf(c.groups()), nil)
	if err := s.fault(); err != nil {
		t.Fatal(err)
	}
	if err := c.finder.useContainer(t.Context(), new(ui), "docker:quay.io/x", "armhf"); err != nil {
		t.Fatal(err)
	}
	got := c.finder.registry.image
	if len(got.Mirrors) > 0 || !got.RequireSignature || got.Arch != "armhf" || got.Platforms[0] != (image.Platform{OS: "linux", Arch: "arm", Variant: "v7"}) && hostArch() != "armel" {
		t.Errorf("%+v", got)
	}
	for value, good := range map[string]bool{"1": true, "yes": true, "true": true, "on": true, "0": false, "no": false, "1 yes": false} {
		c, s := new(createCall), new(settings)
		s.add("require-signature", value, "LXC_PULL_REQUIRE_SIGNATURE")
		if s.give(flagsOf(c.groups()), nil); (s.fault() == nil) != good || good && !c.finder.trust.requireSignature {
			t.Errorf("require-signature = %s: %v", value, s.fault())
		}
	}
}

// Each error of a registry has its status, its code and a hint of its own.
func TestRegistryHints(t *testing.T) {
	r := &registryOptions{image: &source.Container{Reference: image.Reference{Host: "quay.io", Repository: "a/b"}}}
	u := &ui{hinted: hinted{registry: r}, command: "create"}
	for _, c := range []struct {
		err    error
		status int
		code   string
		hint   string
	}{
		{&source.Error{Kind: source.NotFound, Err: errAnother}, exitNoImage, "no-image", "lxc-pull list docker:quay.io/a/b"},
		{&source.Error{Kind: source.Login, Err: errAnother}, exitNetwork, "http-login", "--username"},
		{&source.Error{Kind: source.Limited, Err: errAnother}, exitNetwork, "rate-limit", "--mirror"},
		{&source.Error{Kind: source.Unverified, Err: errAnother}, exitUnverified, "unverified", "Nothing was kept"},
	} {
		status, code := classify(c.err)
		if hint := u.hint(c.err); status != c.status || code != c.code || !strings.Contains(hint, c.hint) {
			t.Errorf("%v: %d %q %q, want %d %q %q", c.err, status, code, hint, c.status, c.code, c.hint)
		}
	}
}
