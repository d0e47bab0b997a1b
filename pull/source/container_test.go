package source

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/image/cache"
	"lxc-pull/lxc"
	"lxc-pull/pgp"
	"lxc-pull/pull/source/registrytest"
)

// testContainer names an image of a registrytest.Registry, for a machine of type linux/amd64.
func testContainer(t *testing.T, name string) *Container {
	t.Helper()
	ref, err := image.ParseReference(name)
	if err != nil {
		t.Fatal(err)
	}
	ref.Plain = true
	return &Container{Reference: ref, Arch: "amd64", Platforms: []image.Platform{{OS: "linux", Arch: "amd64"}}}
}

// containerFinder returns a Finder of a container image, which keeps images in base ("": no
// cache), and what it says.
func containerFinder(t *testing.T, c *Container, base string) (*Finder, *strings.Builder) {
	t.Helper()
	opt := Options{Wanted: Wanted{Container: c}, Clock: NewClock(time.Time{}, time.Now()), Mode: lxc.System, Servers: new(Servers)}
	opt.Keys = pgp.LinuxContainers()
	opt.BuiltInKey = true
	if base != "" {
		opt.Cache = &cache.Cache{Base: base}
		opt.Histories = []*cache.Cache{opt.Cache}
	}
	return finderOf(t, opt)
}

func finderOf(t *testing.T, opt Options) (*Finder, *strings.Builder) {
	t.Helper()
	var err error
	var client *fetch.Client
	options := fetch.Options{
		Limits:    fetch.LimitOptions{Retries: -1},
		Authorize: opt.Container.Authorize(func() *fetch.Client { return client }),
	}
	if client, err = fetch.NewClient(options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	opt.Client = client
	said := new(strings.Builder)
	return Open(opt, heard(said)), said
}

// heard is a Listener that writes a line for each text.
func heard(b *strings.Builder) Listener {
	line := func(text string) { fmt.Fprintln(b, text) }
	return Listener{
		Say: line, Tell: line, Note: line, Warn: func(code, text string) { line(code + ": " + text) },
		Image: func(image.Image, string, bool) {}, Begin: func(string, int64, int64) io.WriteCloser { return nothing{io.Discard} },
	}
}

type nothing struct{ io.Writer }

func (nothing) Close() error { return nil }

// layersOf finds the image and reads its layers, as often as Next wants.
func layersOf(ctx context.Context, f *Finder) (found *Found, layers [][]byte, err error) {
	if found, err = f.Find(ctx, image.Query{}); err != nil {
		return nil, nil, err
	}
	found.Accept()
	for {
		if layers, err = readLayers(ctx, found); err == nil {
			found.Keep()
			found.Remember(ctx)
			return found, layers, nil
		}
		found.Forget(err)
		if found, err = f.Next(ctx, found, err); err != nil {
			return nil, nil, err
		}
	}
}

func readLayers(ctx context.Context, found *Found) (layers [][]byte, err error) {
	for i := range found.Layers {
		stream, err := found.Open(ctx, i)
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(stream)
		if err == nil {
			err = stream.Check()
		}
		stream.Close()
		if err != nil {
			return nil, err
		}
		layers = append(layers, data)
	}
	return layers, nil
}

// threeLayers adds an image of three layers of random bytes, which are no archives: package
// source does not look into them. The second is larger than what is kept in memory.
func threeLayers(t *testing.T, f *registrytest.Registry, repository, tag string, seed byte) (layers [][]byte, digest string) {
	noise := rand.NewChaCha8([32]byte{seed})
	for _, size := range []int{1000, 300_000, 70_000} {
		layer := make([]byte, size)
		noise.Read(layer)
		layers = append(layers, layer)
	}
	return layers, f.AddImage(repository, tag, registrytest.Image{Layers: layers, Plain: true, Created: "2026-08-01T10:00:00Z"})
}

func same(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }

func TestContainer(t *testing.T) {
	reg := registrytest.New(t)
	want, digest := threeLayers(t, reg, "app/web", "1.0", 1)
	index := reg.AddIndex("app/web", "multi", "linux/arm64 "+reg.AddImage("app/web", "", registrytest.Image{Layers: want[:1], Platform: "linux/arm64"}), "linux/amd64 "+digest)
	for _, base := range []string{"", t.TempDir()} {
		for _, name := range []string{"app/web:1.0", "app/web:multi", "app/web@" + digest, "app/web@" + index} {
			f, said := containerFinder(t, testContainer(t, reg.Host()+"/"+name), base)
			found, layers, err := layersOf(t.Context(), f)
			if err != nil || !same(layers, want) {
				t.Fatalf("%s: %v\n%s", name, err, said)
			}
			found.Close()
			var origin Origin
			found.Origin(&origin)
			if origin.Server != reg.URL || origin.Digest != digest || found.Image.Dist != "web" || !strings.HasPrefix(digest, "sha256:"+found.Image.Build) || found.Config == nil || !strings.HasSuffix(found.Image.Reference, "@sha256:"+strings.Split(found.Image.Reference, "@sha256:")[1]) {
				t.Errorf("%s: %+v, %+v", name, origin, found.Image)
			}
			if pinned := strings.Contains(name, "@"); strings.Contains(said.String(), "not signed: ") == pinned {
				t.Errorf("%s: said %s", name, said)
			}
		}
	}
}

// TestContainerCached reads an image from the cache: the tag is asked for, and nothing else; with
// the digest there is no request; offline the last image counts.
func TestContainerCached(t *testing.T) {
	reg := registrytest.New(t)
	want, digest := threeLayers(t, reg, "app", "1", 1)
	base := t.TempDir()
	read := func(name string, change func(*Options)) (*Found, string) {
		t.Helper()
		reg.Forget()
		f, said := containerFinder(t, testContainer(t, name), base)
		if change != nil {
			change(&f.opt)
		}
		found, layers, err := layersOf(t.Context(), f)
		if err != nil || !same(layers, want) {
			t.Fatalf("%v\n%s", err, said)
		}
		found.Close()
		return found, said.String()
	}
	name, pinned := reg.Host()+"/app:1", reg.Host()+"/app@"+digest
	if found, said := read(name, nil); found.Cached || !strings.Contains(said, "The image cache is now ready") {
		t.Errorf("the first: %s", said)
	}
	if found, _ := read(name, nil); !found.Cached || len(reg.Asked("")) != 1 {
		t.Errorf("from the cache: asked %q", reg.Asked(""))
	}
	if found, _ := read(name, func(o *Options) { o.Use.Force = true }); !found.Cached || len(reg.Asked("")) != 0 {
		t.Errorf("forced: asked %q", reg.Asked(""))
	}
	if _, said := read(name, func(o *Options) { o.Use.Flush = true }); !strings.Contains(said, "ready") || len(reg.Asked("blobs")) < 3 {
		t.Errorf("flushed: asked %q, %s", reg.Asked(""), said)
	}
	if found, _ := read(pinned, nil); !found.Cached || len(reg.Asked("")) != 0 {
		t.Errorf("pinned: asked %q", reg.Asked(""))
	}
	if _, _ = read(pinned, func(o *Options) { o.Use.Refresh = true }); len(reg.Asked("manifests")) == 0 {
		t.Error("refreshed without a request")
	}
	reg.Close()
	if found, said := read(name, nil); !found.Cached || !strings.Contains(said, "offline: ") {
		t.Errorf("offline: %s", said)
	}
	// A damaged blob is not used, and can't be downloaded now.
	var files []string
	for _, dir := range []string{base + "/.lxc-pull/images"} {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if info, _ := e.Info(); info.Size() == 300_000 {
				files = append(files, dir+"/"+e.Name())
			}
		}
	}
	if len(files) != 1 {
		t.Fatalf("layers in the cache: %q", files)
	}
	data, _ := os.ReadFile(files[0])
	data[1000] ^= 1
	if err := os.WriteFile(files[0], data, 0o644); err != nil {
		t.Fatal(err)
	}
	f, said := containerFinder(t, testContainer(t, name), base)
	if _, _, err := layersOf(t.Context(), f); !Offline(err) || !strings.Contains(said.String(), "damaged") {
		t.Errorf("damaged: %v, %s", err, said)
	}
}

// TestContainerResumes continues a layer in its middle, in a later run.
func TestContainerResumes(t *testing.T) {
	reg := registrytest.New(t)
	want, _ := threeLayers(t, reg, "app", "1", 1)
	base := t.TempDir()
	reg.Cut = 100_000
	f, _ := containerFinder(t, testContainer(t, reg.Host()+"/app:1"), base)
	found, err := f.Find(t.Context(), image.Query{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = readLayers(t.Context(), found); KindOf(err) != Network {
		t.Fatalf("a cut connection: %v", err)
	}
	if kept := found.Forget(err); !kept {
		t.Error("nothing is kept")
	}
	found.Close()
	reg.Cut = 0
	reg.Forget()
	f, said := containerFinder(t, testContainer(t, reg.Host()+"/app:1"), base)
	if _, layers, err := layersOf(t.Context(), f); err != nil || !same(layers, want) {
		t.Fatalf("%v\n%s", err, said)
	}
	if asked := reg.Asked("bytes="); len(asked) != 1 || !strings.Contains(asked[0], "bytes=1") {
		t.Errorf("asked %q", reg.Asked(""))
	}
}

// TestContainerWrong has images that are refused, and the Kind of the error.
func TestContainerWrong(t *testing.T) {
	for _, c := range []struct {
		name string
		kind Kind
		says string
		make func(reg *registrytest.Registry, layers [][]byte)
	}{
		{"no repository", NotFound, "no repository", func(reg *registrytest.Registry, _ [][]byte) { delete(reg.Manifests, "app 1"); clear(reg.Manifests) }},
		{"no tag", NotFound, `no "1"`, func(reg *registrytest.Registry, _ [][]byte) { delete(reg.Manifests, "app 1") }},
		{"HTML", Network, "web page", func(reg *registrytest.Registry, _ [][]byte) { reg.HTML = true }},
		{"too many", Limited, "pull rate limit", func(reg *registrytest.Registry, _ [][]byte) { reg.TooMany = 100 }},
		{"wrong bytes", Unverified, "digest", func(reg *registrytest.Registry, l [][]byte) {
			reg.ReplaceBlob(registrytest.Digest(l[1]), make([]byte, len(l[1])))
		}},
		{"short layer", Unverified, "300000 by the manifest", func(reg *registrytest.Registry, l [][]byte) { reg.ReplaceBlob(registrytest.Digest(l[1]), l[1][:1000]) }},
		{"long layer", Unverified, "", func(reg *registrytest.Registry, l [][]byte) {
			reg.ReplaceBlob(registrytest.Digest(l[1]), append(bytes.Clone(l[1]), 0))
		}},
		{"no layer", NotFound, "", func(reg *registrytest.Registry, l [][]byte) { delete(reg.Blobs, registrytest.Digest(l[1])) }},
		{"wrong config", Unverified, "digest", func(reg *registrytest.Registry, _ [][]byte) {
			for digest, text := range reg.Blobs {
				if bytes.HasPrefix(text, []byte("{")) {
					reg.Blobs[digest] = append(bytes.Clone(text), ' ')
				}
			}
		}},
		{"another platform", NotFound, "riscv64", func(reg *registrytest.Registry, l [][]byte) {
			reg.AddImage("app", "1", registrytest.Image{Layers: l, Platform: "linux/riscv64"})
		}},
		{"another platform than the index says", Unusable, "its config", func(reg *registrytest.Registry, l [][]byte) {
			reg.AddIndex("app", "1", "linux/amd64 "+reg.AddImage("app", "", registrytest.Image{Layers: l, Platform: "linux/arm64"}))
		}},
		{"no such platform", NotFound, "", func(reg *registrytest.Registry, l [][]byte) {
			reg.AddIndex("app", "1", "linux/arm64 "+reg.AddImage("app", "", registrytest.Image{Layers: l, Platform: "linux/arm64"}))
		}},
		{"a foreign layer", Unusable, "foreign", func(reg *registrytest.Registry, l [][]byte) {
			reg.AddImage("app", "1", registrytest.Image{Layers: l, MediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"})
		}},
		{"squashfs", Unusable, "squashfs", func(reg *registrytest.Registry, l [][]byte) {
			reg.AddImage("app", "1", registrytest.Image{Layers: l, MediaType: "application/vnd.stacker.image.layer.squashfs+zstd+verity"})
		}},
		{"no image", Unusable, "cncf.helm", func(reg *registrytest.Registry, l [][]byte) {
			reg.AddImage("app", "1", registrytest.Image{Layers: l, Manifest: map[string]any{"config": registrytest.Descriptor("application/vnd.cncf.helm.config.v1+json", []byte("{}"))}})
		}},
		{"no JSON", Network, "no valid JSON", func(reg *registrytest.Registry, _ [][]byte) {
			reg.AddManifest("app", "1", registrytest.ManifestType, []byte("nonsense"))
		}},
	} {
		for _, cached := range []bool{false, true} {
			t.Run(fmt.Sprint(c.name, cached), func(t *testing.T) {
				reg, base := registrytest.New(t), ""
				if cached {
					base = t.TempDir()
				}
				layers, _ := threeLayers(t, reg, "app", "1", 1)
				c.make(reg, layers)
				f, said := containerFinder(t, testContainer(t, reg.Host()+"/app:1"), base)
				_, _, err := layersOf(t.Context(), f)
				if err == nil || KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
					t.Errorf("kind %d: %v\n%s", KindOf(err), err, said)
				}
				if cached {
					entries, _ := os.ReadDir(base + "/.lxc-pull/images")
					for _, e := range entries {
						if !strings.HasPrefix(e.Name(), ".") && !strings.HasPrefix(e.Name(), "sha256-") {
							t.Errorf("%q is kept", e.Name())
						}
					}
				}
			})
		}
	}
}

// TestContainerLogin tries the two kinds of authentication, with tokens that end in the middle.
func TestContainerLogin(t *testing.T) {
	good := func(host, repository string) (string, string, error) { return "alice", "s3cret", nil }
	bad := func(host, repository string) (string, string, error) { return "alice", "wrong", nil }
	for _, c := range []struct {
		name  string
		setUp func(*registrytest.Registry)
		login func(host, repository string) (string, string, error)
		says  string // of the refusal; "": the image is read
	}{
		{"anonymous token", func(r *registrytest.Registry) { r.RequireToken("", "") }, nil, ""},
		{"short tokens", func(r *registrytest.Registry) { r.RequireToken("", ""); r.TokenUses = 2 }, nil, ""},
		{"token", func(r *registrytest.Registry) { r.RequireToken("alice", "s3cret"); r.RedirectBlobs() }, good, ""},
		{"basic", func(r *registrytest.Registry) { r.RequireBasic("alice", "s3cret"); r.RedirectBlobs() }, good, ""},
		{"token without login", func(r *registrytest.Registry) { r.RequireToken("alice", "s3cret") }, nil, "without a login"},
		{"basic without login", func(r *registrytest.Registry) { r.RequireBasic("alice", "s3cret") }, nil, "wants a user name and password"},
		{"wrong password", func(r *registrytest.Registry) { r.RequireToken("alice", "s3cret") }, bad, "does not accept"},
		{"wrong basic password", func(r *registrytest.Registry) { r.RequireBasic("alice", "s3cret") }, bad, `does not let the user "alice"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			reg := registrytest.New(t)
			want, _ := threeLayers(t, reg, "owner/app", "1", 1)
			c.setUp(reg)
			container := testContainer(t, reg.Host()+"/owner/app:1")
			container.Login = c.login
			f, said := containerFinder(t, container, "")
			_, layers, err := layersOf(t.Context(), f)
			if c.says == "" && (err != nil || !same(layers, want)) {
				t.Errorf("%v\n%s", err, said)
			}
			if c.says != "" && (KindOf(err) != Login || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("kind %d: %v", KindOf(err), err)
			}
			for _, r := range reg.Asked("token ") {
				if !strings.Contains(r, "scope=repository%3Aowner%2Fapp%3Apull") || !strings.Contains(r, "service=fake%2C+registry") {
					t.Errorf("asked %q", r)
				}
			}
		})
	}
}

// TestRealm checks to which token servers a password may go.
func TestRealm(t *testing.T) {
	client, err := fetch.NewClient(fetch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for realm, want := range map[string][2]bool{ // for a registry over https, over plain http
		"https://auth.example/token":    {true, true},
		"http://auth.example/token":     {false, false},
		"http://r.example:5001/token":   {false, true},
		"http://127.0.0.1:5001/token":   {false, false}, // the registry is not on this machine
		"http://localhost/token":        {false, false},
		"https://a:b@auth.example/":     {false, false},
		"file:///etc/passwd":            {false, false},
		"ftp://r.example/":              {false, false},
		"":                              {false, false},
		"//auth.example/token":          {false, false},
		"http://r.example.evil.example": {false, false},
	} {
		for i, scheme := range []string{"https", "http"} {
			c := challenge{realm: realm}
			_, err := c.token(canceled(), client, &base{url: scheme + "://r.example/v2/x"}, "", "")
			if asked := err == nil || !strings.Contains(err.Error(), "not asked"); asked != want[i] {
				t.Errorf("%q for %s: %v", realm, scheme, err)
			}
		}
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestChallenge(t *testing.T) {
	for text, want := range map[string]challenge{
		`Bearer realm="https://a/t",service="s, \"x\"",scope="repository:a/b:pull"`: {bearer: true, realm: "https://a/t", service: `s, "x"`, scope: "repository:a/b:pull"},
		`bearer realm=https://a/t , Service = s`:                                    {bearer: true, realm: "https://a/t", service: "s"},
		`Basic realm="x"`:                                                           {basic: true},
		`Basic realm="x", Bearer realm="y"`:                                         {basic: true, bearer: true, realm: "y"},
		`Bearer realm="y", Basic realm="x"`:                                         {basic: true, bearer: true, realm: "y"},
		`Negotiate, Digest realm="z",nonce="n"`:                                     {},
		``:                                                                          {},
		`Bearer realm="unclosed`:                                                    {bearer: true, realm: "unclosed"},
		`Bearer realm="end\`:                                                        {bearer: true, realm: "end"},
		`Bearer =,=,"`:                                                              {},
	} {
		if got := parseChallenge(text); got != want {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// FuzzChallenge checks that every challenge is read to its end.
func FuzzChallenge(f *testing.F) {
	f.Add(`Bearer realm="https://a/t",service="s, \"x\"",scope="repository:a/b:pull"`)
	f.Add(`Basic realm="x", Bearer realm=y,=,"`)
	f.Fuzz(func(t *testing.T, text string) {
		c := parseChallenge(text)
		if len(c.realm)+len(c.service)+len(c.scope) > len(text) || c.realm != "" && !c.bearer {
			t.Errorf("%+v", c)
		}
	})
}

// TestContainerMirror asks mirrors first for what has a digest, and the registry for tags.
func TestContainerMirror(t *testing.T) {
	reg, mirror := registrytest.New(t), registrytest.New(t)
	want, digest := threeLayers(t, reg, "app", "1", 1)
	threeLayers(t, mirror, "cache/app", "1", 1)
	threeLayers(t, mirror, "cache/app", "old", 1)
	container := testContainer(t, reg.Host()+"/app:1")
	container.Mirrors = []string{mirror.URL + "/cache"}
	read := func() string {
		t.Helper()
		f, said := containerFinder(t, container, "")
		found, layers, err := layersOf(t.Context(), f)
		if err != nil || !same(layers, want) {
			t.Fatalf("%v\n%s", err, said)
		}
		if found.Safe() {
			t.Error("a mirror is safe")
		}
		return said.String()
	}
	read()
	if len(reg.Asked("")) != 1 || len(mirror.Asked("/blobs/")) != 4 {
		t.Errorf("asked %q and %q", reg.Asked(""), mirror.Asked(""))
	}
	// Wrong bytes of the mirror: the registry's count.
	mirror.ReplaceBlob(registrytest.Digest(want[1]), make([]byte, len(want[1])))
	if said := read(); !strings.Contains(said, "starting again") {
		t.Errorf("said %s", said)
	}
	// The registry limits its requests: the mirror says what the tag is.
	threeLayers(t, mirror, "cache/app", "1", 1)
	reg.TooMany = 100
	if said := read(); !strings.Contains(said, "older") {
		t.Errorf("said %s", said)
	}
	container.Reference.Tag, container.Reference.Digest = "", image.Digest(digest)
	// A mirror that is down is asked once.
	down := registrytest.New(t)
	down.Close()
	container.Mirrors = append([]string{down.URL}, container.Mirrors...)
	if said := read(); strings.Count(said, "asking") != 1 {
		t.Errorf("said %s", said)
	}
	reg.Close()
	read()
}

// TestTagMoves says when a tag leads to another image, and warns of an older one.
func TestTagMoves(t *testing.T) {
	reg, base := registrytest.New(t), t.TempDir()
	read := func(created string) string {
		t.Helper()
		reg.AddImage("app", "1", registrytest.Image{Layers: [][]byte{{1}}, Created: created})
		f, said := containerFinder(t, testContainer(t, reg.Host()+"/app:1"), base)
		f.opt.Cache = nil
		if _, _, err := layersOf(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		return said.String()
	}
	for _, c := range []struct{ created, says string }{
		{"2026-05-01T00:00:00Z", ""}, {"2026-05-01T00:00:00Z", ""}, {"2026-06-01T00:00:00Z", "another image"},
		{"2026-05-01T00:00:00Z", "old-image: "}, {"2026-05-02T00:00:00Z", "old-image: "}, {"", "another image"}, {"2026-06-01T00:00:00Z", ""},
	} {
		said := read(c.created)
		if moved := strings.Contains(said, "another image") || strings.Contains(said, "old-image"); moved != (c.says != "") || !strings.Contains(said, c.says) {
			t.Errorf("%q: said %s", c.created, said)
		}
	}
}

// TestContainerBusy uses the kept image if the registry limits downloads or fails, with a warning, but
// not if it has no such tag any more.
func TestContainerBusy(t *testing.T) {
	reg, base := registrytest.New(t), t.TempDir()
	threeLayers(t, reg, "app", "1", 1)
	f, _ := containerFinder(t, testContainer(t, reg.Host()+"/app:1"), base)
	found, _, err := layersOf(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	found.Keep()
	found.Close()
	for status, used := range map[int]bool{429: true, 500: true, 503: true, 404: false, 403: false} {
		reg.Change = func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(status)
			return true
		}
		f, said := containerFinder(t, testContainer(t, reg.Host()+"/app:1"), base)
		found, layers, err := layersOf(t.Context(), f)
		if used && (err != nil || len(layers) != 3 || !found.Cached || !strings.Contains(said.String(), "offline: ")) || !used && err == nil {
			t.Errorf("%d: %v\n%s", status, err, said)
		}
		if found != nil {
			found.Close()
		}
	}
}

// TestArchiveRelease gives an image of an archive a name that its container can have.
func TestArchiveRelease(t *testing.T) {
	for tag, want := range map[string]string{"docker.io/library/nginx:1.2": "1.2", "nginx": "nginx", "1.2": "1.2", "a/b:": "", "": "", "a:\x1b": ""} {
		c := &Container{Archive: "x", Arch: "amd64", Reference: image.Reference{Tag: tag}}
		f := &Finder{opt: Options{Wanted: Wanted{Container: c}}}
		d := &document{digest: sumOf([]byte(tag))}
		found := &Found{finder: f, pinned: &pinnedImage{top: d, manifest: d}}
		f.nameContainer(found)
		if want == "" {
			want = string(d.digest)[len("sha256:"):][:12]
		}
		if got := found.Image.Release; got != want || image.CheckName(got) != nil {
			t.Errorf("%q: %q, not %q", tag, got, want)
		}
	}
}

func TestTags(t *testing.T) {
	reg := registrytest.New(t)
	arm := reg.AddImage("app", "a", registrytest.Image{Layers: [][]byte{{1}}, Platform: "linux/arm/v7"})
	amd := reg.AddImage("app", "b", registrytest.Image{Layers: [][]byte{{1}}})
	reg.AddIndex("app", "c", "linux/arm/v7 "+arm, "linux/amd64 "+amd)
	reg.PageSize = 2
	f, _ := containerFinder(t, testContainer(t, reg.Host()+"/app:c"), "")
	tags, err := f.Tags(t.Context())
	if err != nil || !slices.Equal(tags, []string{"a", "b", "c"}) {
		t.Errorf("%q, %v", tags, err)
	}
	platforms, err := f.Platforms(t.Context())
	if err != nil || fmt.Sprint(platforms) != "[{linux arm v7} {linux amd64 }]" {
		t.Errorf("%v, %v", platforms, err)
	}
	// A registry that never comes to an end.
	reg.Change = func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Link", `</v2/app/tags/list?last=a>; rel="next"`)
		fmt.Fprint(w, `{"tags":["a"]}`)
		return true
	}
	if _, err := f.Tags(t.Context()); err == nil || !strings.Contains(err.Error(), "pages") {
		t.Errorf("endless: %v", err)
	}
}

func TestNextPage(t *testing.T) {
	for link, want := range map[string]string{
		`</v2/app/tags/list?last=b&n=2>; rel="next"`: "https://h/v2/app/tags/list?last=b&n=2",
		`<list?last=b>; rel=next`:                    "https://h/v2/app/tags/list?last=b",
		`<https://evil/x>; rel="next"`:               "https://evil/x", // the caller asks only the same repository
		`</x>; rel="prev"`:                           "",
		`nonsense`:                                   "",
	} {
		if got := nextPage("https://h/v2/app/tags/list", []string{link}); got != want {
			t.Errorf("%q: %q", link, got)
		}
	}
}

// TestContainerCanceled ends a run in the middle of a layer, and leaves no goroutine behind: Close
// waits for it.
func TestContainerCanceled(t *testing.T) {
	reg := registrytest.New(t)
	layers, _ := threeLayers(t, reg, "app", "1", 1)
	stuck := make(chan struct{})
	defer close(stuck)
	reg.Change = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, registrytest.Digest(layers[1])) {
			return false
		}
		reg.Mu.Unlock()
		defer reg.Mu.Lock()
		w.Header().Set("Content-Length", fmt.Sprint(len(layers[1])))
		w.Write(layers[1][:50_000])
		w.(http.Flusher).Flush()
		select {
		case <-stuck:
		case <-r.Context().Done():
		}
		return true
	}
	for _, base := range []string{"", t.TempDir()} {
		ctx, cancel := context.WithCancel(t.Context())
		f, _ := containerFinder(t, testContainer(t, reg.Host()+"/app:1"), base)
		found, err := f.Find(ctx, image.Query{})
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(100*time.Millisecond, cancel)
		_, err = readLayers(ctx, found)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if kept := found.Forget(err); kept != (base != "") {
			t.Errorf("kept: %v", kept)
		}
		if _, err := f.Next(ctx, found, err); !errors.Is(err, context.Canceled) {
			t.Errorf("next: %v", err)
		}
		cancel()
	}
}

// TestAheadMemory never keeps more bytes of later layers than it may.
func TestAheadMemory(t *testing.T) {
	reg := registrytest.New(t)
	want, _ := threeLayers(t, reg, "app", "1", 1)
	f, _ := containerFinder(t, testContainer(t, reg.Host()+"/app:1"), "")
	const limit = 3 * chunkSize
	f.Provide(limit, nil)
	found, err := f.Find(t.Context(), image.Query{})
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	stream, err := found.Open(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	a := found.pinned.at.ahead
	for range 50 { // the first layer is small, so that the second fills the memory
		a.mu.Lock()
		used := 0
		for i := range a.layers {
			for _, chunk := range a.layers[i].chunks {
				used += cap(chunk)
			}
		}
		full := a.room < chunkSize
		a.mu.Unlock()
		if used > limit {
			t.Fatalf("%d bytes", used)
		}
		if full && used == limit {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if len(reg.Asked(registrytest.Digest(want[1]))) != 1 || len(reg.Asked(registrytest.Digest(want[2]))) != 0 {
		t.Errorf("asked %q", reg.Asked(""))
	}
	data, err := io.ReadAll(stream)
	if err != nil || !bytes.Equal(data, want[0]) || stream.Check() != nil {
		t.Errorf("the first layer: %v", err)
	}
	stream.Close()
}

// A testSigner signs as cosign does.
type testSigner struct {
	t   *testing.T
	key *ecdsa.PrivateKey
}

func newTestSigner(t *testing.T) *testSigner {
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &testSigner{t, key}
}

func (s *testSigner) keyring() *pgp.Keyring {
	der, err := x509.MarshalPKIXPublicKey(&s.key.PublicKey)
	if err != nil {
		s.t.Fatal(err)
	}
	ring, err := pgp.ReadKeyring(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	if err != nil {
		s.t.Fatal(err)
	}
	return ring
}

func (s *testSigner) sign(text string) string {
	sum := sha256.Sum256([]byte(text))
	sig, err := ecdsa.SignASN1(crand.Reader, s.key, sum[:])
	if err != nil {
		s.t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(sig)
}

// signTag signs a digest as cosign up to 2.x does.
func (s *testSigner) signTag(reg *registrytest.Registry, repository, digest string) {
	payload := fmt.Sprintf(`{"critical":{"identity":{"docker-reference":""},"image":{"docker-manifest-digest":"%s"},"type":"cosign container image signature"},"optional":null}`, digest)
	s.signPayload(reg, repository, digest, payload)
}

// signPayload is signTag for a payload that may say anything.
func (s *testSigner) signPayload(reg *registrytest.Registry, repository, digest, payload string) {
	layer := registrytest.Descriptor("application/vnd.dev.cosign.simplesigning.v1+json", []byte(payload))
	layer["annotations"] = map[string]string{"dev.cosignproject.cosign/signature": s.sign(payload)}
	reg.AddBlob([]byte(payload))
	config := []byte("{}")
	reg.AddBlob(config)
	reg.AddManifest(repository, strings.Replace(digest, ":", "-", 1)+".sig", registrytest.ManifestType, reg.JSON(map[string]any{
		"schemaVersion": 2, "mediaType": registrytest.ManifestType, "config": registrytest.Descriptor(registrytest.ConfigType, config), "layers": []any{layer},
	}))
}

// signBundle signs a digest as cosign 3 does.
func (s *testSigner) signBundle(reg *registrytest.Registry, repository, digest string) {
	const kind, bundle = "application/vnd.in-toto+json", "application/vnd.dev.sigstore.bundle.v0.3+json"
	statement := fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"%s"}}],"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{}}`, strings.TrimPrefix(digest, "sha256:"))
	text := reg.JSON(map[string]any{
		"mediaType": bundle, "verificationMaterial": map[string]any{"publicKey": map[string]string{"hint": ""}},
		"dsseEnvelope": map[string]any{
			"payload": base64.StdEncoding.EncodeToString([]byte(statement)), "payloadType": kind,
			"signatures": []any{map[string]string{"sig": s.sign(fmt.Sprintf("DSSEv1 %d %s %d %s", len(kind), kind, len(statement), statement))}},
		},
	})
	reg.AddBlob(text)
	config := []byte("{}")
	reg.AddBlob(config)
	reg.AddManifest(repository, "", registrytest.ManifestType, reg.JSON(map[string]any{
		"schemaVersion": 2, "mediaType": registrytest.ManifestType, "artifactType": bundle, "subject": map[string]any{"mediaType": registrytest.ManifestType, "digest": digest, "size": 1},
		"config": registrytest.Descriptor("application/vnd.oci.empty.v1+json", config), "layers": []any{registrytest.Descriptor(bundle, text)},
	}))
}

// TestContainerSigned wants signatures, from the registry and, without a request, from the cache.
func TestContainerSigned(t *testing.T) {
	good, other := newTestSigner(t), newTestSigner(t)
	for _, c := range []struct {
		name string
		good bool
		sign func(reg *registrytest.Registry, digest string)
	}{
		{"tag", true, func(reg *registrytest.Registry, digest string) { good.signTag(reg, "app", digest) }},
		{"bundle", true, func(reg *registrytest.Registry, digest string) { good.signBundle(reg, "app", digest) }},
		{"no signature", false, func(*registrytest.Registry, string) {}},
		{"another key", false, func(reg *registrytest.Registry, digest string) { other.signTag(reg, "app", digest) }},
		{"another digest", false, func(reg *registrytest.Registry, digest string) {
			good.signTag(reg, "app", digest)
			reg.AddImage("app", "1", registrytest.Image{Layers: [][]byte{{9}}})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			reg, base := registrytest.New(t), t.TempDir()
			_, digest := threeLayers(t, reg, "app", "1", 1)
			c.sign(reg, digest)
			read := func(name string, keys *pgp.Keyring) (*Found, error) {
				f, said := containerFinder(t, testContainer(t, reg.Host()+"/"+name), base)
				f.opt.Keys, f.trust.keys, f.opt.Container.RequireSignature = keys, keys, true
				reg.Forget()
				found, _, err := layersOf(t.Context(), f)
				if err == nil && (len(found.Signers()) != 1 || strings.Contains(said.String(), "not signed") || !strings.Contains(said.String(), "signed by the key "+found.Signers()[0][:16])) {
					t.Errorf("signers %q, said %s", found.Signers(), said)
				}
				return found, err
			}
			if _, err := read("app:1", good.keyring()); (err == nil) != c.good || err != nil && KindOf(err) != Unverified {
				t.Fatalf("%v", err)
			}
			if !c.good {
				return
			}
			if _, err := read("app@"+digest, pgp.LinuxContainers()); KindOf(err) != Unverified {
				t.Errorf("a pin without a key: %v", err)
			}
			if found, err := read("app@"+digest, good.keyring()); err != nil || !found.Cached {
				t.Errorf("pinned: %v", err)
			}
			if found, err := read("app@"+digest, good.keyring()); err != nil || !found.Cached || len(reg.Asked("")) != 0 {
				t.Errorf("pinned, again: %v, asked %q", err, reg.Asked(""))
			}
			reg.Close()
			if found, err := read("app:1", good.keyring()); err != nil || !found.Cached {
				t.Errorf("offline: %v", err)
			}
			if _, err := read("app:1", other.keyring()); KindOf(err) != Unverified {
				t.Errorf("offline, with another key: %v", err)
			}
		})
	}
}

// TestContainerTogether has eight runs read one image with one cache: each layer is downloaded
// once. Two images have the same layers in another order.
func TestContainerTogether(t *testing.T) {
	reg, base := registrytest.New(t), t.TempDir()
	want, _ := threeLayers(t, reg, "app", "1", 1)
	other := [][]byte{want[2], want[1], want[0], want[2]}
	reg.AddImage("app", "2", registrytest.Image{Layers: other, Plain: true})
	errs := make(chan error)
	for i := range 8 {
		name, layers := reg.Host()+"/app:1", want
		if i%2 == 1 {
			name, layers = reg.Host()+"/app:2", other
		}
		f, said := containerFinder(t, testContainer(t, name), base)
		go func() {
			found, got, err := layersOf(t.Context(), f)
			if err == nil {
				found.Close()
			}
			if err == nil && !same(got, layers) {
				err = errors.New("other bytes")
			}
			if err == nil && strings.Contains(said.String(), "cache-problem") {
				err = errors.New(said.String())
			}
			errs <- err
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	for _, layer := range want {
		if n := len(reg.Asked(registrytest.Digest(layer))); n != 1 {
			t.Errorf("a layer of %d bytes was asked for %d times", len(layer), n)
		}
	}
}

// TestContainerFaults has bad registries: the layers are right, or the error has a Kind.
func TestContainerFaults(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		reg := registrytest.New(t)
		want, _ := threeLayers(t, reg, "app", "1", 1)
		if rnd.IntN(3) == 0 {
			reg.RedirectBlobs()
		}
		faults := 1 + rnd.IntN(6)
		reg.Change = func(w http.ResponseWriter, r *http.Request) bool {
			reg.Cut = 0
			if faults == 0 || rnd.IntN(2) == 0 {
				return false
			}
			faults--
			switch rnd.IntN(6) {
			case 0:
				w.WriteHeader(http.StatusServiceUnavailable)
			case 1:
				w.Header().Set("Content-Type", "application/octet-stream")
				w.Write(make([]byte, rnd.IntN(400_000)))
			case 2:
				reg.Cut = 1 + rnd.Int64N(200_000)
				return false
			case 3:
				w.Header().Set("Content-Length", "300000")
				w.Write(want[1][:rnd.IntN(1000)])
			case 4:
				reg.Fail(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", "slower")
			case 5:
				w.Header().Set("Content-Type", "text/html")
				io.WriteString(w, "<html>")
			}
			return true
		}
		base := ""
		if seed%2 == 1 {
			base = t.TempDir()
		}
		good := false
		for range 20 {
			f, said := containerFinder(t, testContainer(t, reg.Host()+"/app:1"), base)
			found, got, err := layersOf(t.Context(), f)
			if err == nil {
				found.Close()
				if good = same(got, want); !good {
					t.Errorf("seed %d: other bytes\n%s", seed, said)
				}
				break
			}
			if KindOf(err) == 0 && !strings.Contains(err.Error(), "manifest: ") && !strings.Contains(err.Error(), "JSON") {
				t.Errorf("seed %d: %v\n%s", seed, err, said)
			}
		}
		if !good {
			t.Errorf("seed %d: never right", seed)
		}
	}
}
