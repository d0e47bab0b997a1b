// Package registrytest has a registry of container images for tests, as net/http/httptest has a
// server. It imports no other package of this module, so that tests of each can use it.
package registrytest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The media types that a Registry gives.
const (
	ManifestType = "application/vnd.oci.image.manifest.v1+json"
	IndexType    = "application/vnd.oci.image.index.v1+json"
	ConfigType   = "application/vnd.oci.image.config.v1+json"
	LayerType    = "application/vnd.oci.image.layer.v1.tar"
)

// A Registry is a registry of container images on loopback, with what pulling needs of OCI's
// distribution spec. Set its fields before the first request, or with Mu held.
type Registry struct {
	*httptest.Server
	Mu sync.Mutex
	Content
	Login
	Faults
	t        testing.TB
	requests []string         // as Asked returns them
	cdn      *httptest.Server // to which blobs are redirected; nil: none
}

// Content is what a Registry has.
type Content struct {
	Blobs     map[string][]byte   // by digest
	Manifests map[string]Manifest // by "REPOSITORY TAG" and "REPOSITORY DIGEST"
	tags      map[string][]string // by repository
}

// A Manifest is the text of a manifest or an index.
type Manifest struct {
	MediaType string
	Text      []byte
}

// Login is what a Registry wants to know before it gives something.
type Login struct {
	User, Password string // that basic authentication or the token server wants; "": none
	Basic, Tokens  bool   // which authentication is wanted
	TokenUses      int    // how many requests a token is good for; 0: any number
	uses           int    // requests with the current token
	token          int    // number of the current token
}

// Faults are the ways in which a Registry differs from a good one.
type Faults struct {
	TooMany     int    // how many requests are answered 429
	Wait        string // the Retry-After of 429
	HTML        bool   // every answer is a web page
	NoReferrers bool   // no referrers API
	PageSize    int    // tags on a page; 0: all
	Cut         int64  // a response with a blob ends after so many bytes; 0: does not
	// Change is called first, unless nil; if it returns true, it has answered the request. It must
	// not lock Mu.
	Change func(http.ResponseWriter, *http.Request) bool
}

// An Image says how AddImage makes an image.
type Image struct {
	Layers    [][]byte       // tar archives, the lowest first
	Plain     bool           // the layers are not compressed
	Platform  string         // os/arch or os/arch/variant; "": linux/amd64
	Config    map[string]any // the member "config" of the config: Cmd, Env and so on
	Created   string         // RFC 3339
	Manifest  map[string]any // more members of the manifest
	MediaType string         // of the layers; "": as Plain says
}

// New starts a registry without images.
func New(t testing.TB) *Registry {
	f := &Registry{t: t}
	f.Content = Content{Blobs: map[string][]byte{}, Manifests: map[string]Manifest{}, tags: map[string][]string{}}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.Close)
	return f
}

// Host returns HOST:PORT. The registry speaks plain http.
func (f *Registry) Host() string { return strings.TrimPrefix(f.URL, "http://") }

// Asked returns the requests so far whose text contains part. A request is written "GET /v2/…",
// followed by its Range if it has one; one to the token server "token QUERY USER".
func (f *Registry) Asked(part string) (list []string) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	for _, r := range f.requests {
		if strings.Contains(r, part) {
			list = append(list, r)
		}
	}
	return list
}

// Forget forgets the requests so far.
func (f *Registry) Forget() {
	f.Mu.Lock()
	f.requests = nil
	f.Mu.Unlock()
}

// Digest returns the SHA-256 digest of data as manifests write it.
func Digest(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }

// AddBlob adds a blob and returns its digest.
func (f *Registry) AddBlob(data []byte) string {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	f.Blobs[Digest(data)] = data
	return Digest(data)
}

// AddManifest adds a manifest, and a tag for it unless that is "". It returns the digest.
func (f *Registry) AddManifest(repository, tag, mediaType string, text []byte) string {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	digest := Digest(text)
	f.Manifests[repository+" "+digest] = Manifest{mediaType, text}
	if tag != "" {
		f.Manifests[repository+" "+tag] = Manifest{mediaType, text}
		if !slices.Contains(f.tags[repository], tag) {
			f.tags[repository] = append(f.tags[repository], tag)
		}
	}
	return digest
}

// JSON returns the text of a value.
func (f *Registry) JSON(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		f.t.Error(err)
	}
	return text
}

// Descriptor returns the descriptor of data (image spec, "OCI Content Descriptors").
func Descriptor(mediaType string, data []byte) map[string]any {
	return map[string]any{"mediaType": mediaType, "digest": Digest(data), "size": len(data)}
}

func describePlatform(platform string) map[string]any {
	if platform == "" {
		platform = "linux/amd64"
	}
	p := map[string]any{}
	for i, part := range strings.SplitN(platform, "/", 3) {
		p[[]string{"os", "architecture", "variant"}[i]] = part
	}
	return p
}

// AddImage adds an image, and a tag for it unless that is "". It returns the manifest's digest.
func (f *Registry) AddImage(repository, tag string, i Image) string {
	diffs, layers := []string{}, []map[string]any{}
	for _, layer := range i.Layers {
		diffs = append(diffs, Digest(layer))
		mediaType := LayerType
		if !i.Plain {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			z.Write(layer)
			z.Close()
			layer, mediaType = b.Bytes(), LayerType+"+gzip"
		}
		if i.MediaType != "" {
			mediaType = i.MediaType
		}
		f.AddBlob(layer)
		layers = append(layers, Descriptor(mediaType, layer))
	}
	config := describePlatform(i.Platform)
	config["rootfs"] = map[string]any{"type": "layers", "diff_ids": diffs}
	if i.Config != nil {
		config["config"] = i.Config
	}
	if i.Created != "" {
		config["created"] = i.Created
	}
	text := f.JSON(config)
	f.AddBlob(text)
	manifest := map[string]any{"schemaVersion": 2, "mediaType": ManifestType, "config": Descriptor(ConfigType, text), "layers": layers}
	for name, value := range i.Manifest {
		manifest[name] = value
	}
	return f.AddManifest(repository, tag, ManifestType, f.JSON(manifest))
}

// AddIndex adds an index of manifests that are there, each written "PLATFORM DIGEST". It
// returns the index's digest.
func (f *Registry) AddIndex(repository, tag string, entries ...string) string {
	list := []map[string]any{}
	for _, entry := range entries {
		platform, digest, _ := strings.Cut(entry, " ")
		f.Mu.Lock()
		m, ok := f.Manifests[repository+" "+digest]
		f.Mu.Unlock()
		if !ok {
			f.t.Errorf("no manifest %s", digest)
		}
		d := Descriptor(m.MediaType, m.Text)
		d["platform"] = describePlatform(platform)
		list = append(list, d)
	}
	return f.AddManifest(repository, tag, IndexType, f.JSON(map[string]any{"schemaVersion": 2, "mediaType": IndexType, "manifests": list}))
}

// RequireToken makes the registry want a token of its own token server, which wants the user
// and password unless user is "".
func (f *Registry) RequireToken(user, password string) {
	f.Tokens, f.User, f.Password = true, user, password
}

// RequireBasic makes the registry want basic authentication.
func (f *Registry) RequireBasic(user, password string) {
	f.Basic, f.User, f.Password = true, user, password
}

// RedirectBlobs makes the registry redirect blobs to another origin, which refuses requests
// with credentials, as the CDNs of registries do.
func (f *Registry) RedirectBlobs() {
	f.cdn = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			f.t.Error("credentials went to another origin")
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		f.giveBlob(w, r, strings.TrimPrefix(r.URL.Path, "/"))
	}))
	f.t.Cleanup(f.cdn.Close)
}

// ReplaceBlob makes the registry give other bytes for a digest.
func (f *Registry) ReplaceBlob(digest string, data []byte) {
	f.Mu.Lock()
	f.Blobs[digest] = data
	f.Mu.Unlock()
}

func (f *Registry) serve(w http.ResponseWriter, r *http.Request) {
	text := r.Method + " " + r.URL.Path
	if part := r.Header.Get("Range"); part != "" {
		text += " " + part
	}
	f.Mu.Lock()
	defer f.Mu.Unlock()
	f.requests = append(f.requests, text)
	switch {
	case f.Change != nil && f.Change(w, r):
		return
	case f.HTML:
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>Log in to this network</title>")
		return
	case r.URL.Path == "/token":
		f.serveToken(w, r)
		return
	case f.TooMany > 0:
		f.TooMany--
		if f.Wait != "" {
			w.Header().Set("Retry-After", f.Wait)
		}
		f.Fail(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", "You have reached your pull rate limit.")
		return
	case !f.admits(w, r):
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/v2/")
	for _, part := range []string{"/manifests/", "/blobs/", "/referrers/", "/tags/"} {
		i := strings.LastIndex(path, part)
		if i < 0 {
			continue
		}
		repository, name := path[:i], path[i+len(part):]
		switch part {
		case "/manifests/":
			f.giveManifest(w, repository, name)
		case "/blobs/":
			if f.cdn != nil {
				http.Redirect(w, r, f.cdn.URL+"/"+name, http.StatusTemporaryRedirect)
				return
			}
			f.Mu.Unlock()
			defer f.Mu.Lock() // also if giveBlob ends the connection
			f.giveBlob(w, r, name)
		case "/referrers/":
			f.giveReferrers(w, repository, name)
		case "/tags/":
			f.giveTags(w, r, repository)
		}
		return
	}
	if path == "" {
		fmt.Fprint(w, "{}")
		return
	}
	w.WriteHeader(http.StatusNotFound)
}

// Fail answers with an error of a registry (distribution spec, "Error Codes").
func (f *Registry) Fail(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(f.JSON(map[string]any{"errors": []any{map[string]any{"code": code, "message": message}}}))
}

func (f *Registry) serveToken(w http.ResponseWriter, r *http.Request) {
	user, password, ok := r.BasicAuth()
	f.requests[len(f.requests)-1] = "token " + r.URL.RawQuery + " " + user
	if ok && (user != f.User || password != f.Password) {
		f.Fail(w, http.StatusUnauthorized, "UNAUTHORIZED", "incorrect username or password")
		return
	}
	f.token, f.uses = f.token+1, 0
	name := "anonymous"
	if ok {
		name = "good"
	}
	w.Write(f.JSON(map[string]any{"token": name + strconv.Itoa(f.token), "expires_in": 300}))
}

// admits reports whether a request has what the registry wants, and answers it if not.
func (f *Registry) admits(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case f.Tokens:
		repository, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/manifests/")
		repository, _, _ = strings.Cut(repository, "/blobs/")
		repository, _, _ = strings.Cut(repository, "/referrers/")
		repository, _, _ = strings.Cut(repository, "/tags/")
		got, number := r.Header.Get("Authorization"), strconv.Itoa(f.token)
		f.uses++
		fresh := f.TokenUses == 0 || f.uses <= f.TokenUses
		if fresh && (got == "Bearer good"+number || f.User == "" && got == "Bearer anonymous"+number) {
			return true
		}
		if got == "Bearer anonymous"+number && fresh {
			f.Fail(w, http.StatusForbidden, "DENIED", "requested access to the resource is denied")
			return false
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf("Bearer realm=%q,service=\"fake, registry\",scope=%q", f.URL+"/token", "repository:"+repository+":pull"))
	case f.Basic:
		if user, password, ok := r.BasicAuth(); ok && user == f.User && password == f.Password {
			return true
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="fake"`)
	default:
		return true
	}
	f.Fail(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
	return false
}

func (f *Registry) giveManifest(w http.ResponseWriter, repository, name string) {
	m, ok := f.Manifests[repository+" "+name]
	if !ok {
		code := "NAME_UNKNOWN"
		for key := range f.Manifests {
			if strings.HasPrefix(key, repository+" ") {
				code = "MANIFEST_UNKNOWN"
			}
		}
		f.Fail(w, http.StatusNotFound, code, "not known")
		return
	}
	w.Header().Set("Content-Type", m.MediaType)
	w.Header().Set("Docker-Content-Digest", Digest(m.Text))
	w.Write(m.Text)
}

func (f *Registry) giveBlob(w http.ResponseWriter, r *http.Request, digest string) {
	f.Mu.Lock()
	data, ok := f.Blobs[digest]
	cut := f.Cut
	f.Mu.Unlock()
	if !ok {
		f.Fail(w, http.StatusNotFound, "BLOB_UNKNOWN", "blob unknown")
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if cut > 0 {
		w = &cutWriter{w, cut}
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

// A cutWriter ends the connection after some bytes.
type cutWriter struct {
	http.ResponseWriter
	left int64
}

func (w *cutWriter) Write(p []byte) (int, error) {
	if int64(len(p)) > w.left {
		w.ResponseWriter.Write(p[:w.left])
		w.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	w.left -= int64(len(p))
	return w.ResponseWriter.Write(p)
}

func (f *Registry) giveReferrers(w http.ResponseWriter, repository, digest string) {
	if f.NoReferrers {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	list := []map[string]any{}
	for key, m := range f.Manifests {
		var has struct {
			Subject      struct{ Digest string }
			ArtifactType string
		}
		if strings.HasPrefix(key, repository+" sha256:") && json.Unmarshal(m.Text, &has) == nil && has.Subject.Digest == digest {
			d := Descriptor(m.MediaType, m.Text)
			d["artifactType"] = has.ArtifactType
			list = append(list, d)
		}
	}
	w.Header().Set("Content-Type", IndexType)
	w.Write(f.JSON(map[string]any{"schemaVersion": 2, "mediaType": IndexType, "manifests": list}))
}

func (f *Registry) giveTags(w http.ResponseWriter, r *http.Request, repository string) {
	tags, ok := f.tags[repository]
	if !ok {
		f.Fail(w, http.StatusNotFound, "NAME_UNKNOWN", "repository name not known to registry")
		return
	}
	tags = slices.Sorted(slices.Values(tags))
	if last := r.URL.Query().Get("last"); last != "" {
		for len(tags) > 0 && tags[0] <= last {
			tags = tags[1:]
		}
	}
	if f.PageSize > 0 && len(tags) > f.PageSize {
		tags = tags[:f.PageSize]
		w.Header().Set("Link", fmt.Sprintf("</v2/%s/tags/list?last=%s&n=%d>; rel=\"next\"", repository, tags[len(tags)-1], f.PageSize))
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(f.JSON(map[string]any{"name": repository, "tags": tags}))
}

// Layer returns a layer, a tar archive. An entry "PATH=TEXT" is a file, "PATH/" a directory and
// "PATH->TARGET" a symbolic link. A name may be a whiteout.
func Layer(t testing.TB, entries ...string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, entry := range entries {
		h, text := &tar.Header{Name: entry, Mode: 0o755, Typeflag: tar.TypeDir}, ""
		if name, target, ok := strings.Cut(entry, "->"); ok {
			h = &tar.Header{Name: name, Linkname: target, Mode: 0o777, Typeflag: tar.TypeSymlink}
		} else if name, content, ok := strings.Cut(entry, "="); ok || !strings.HasSuffix(entry, "/") {
			text = content
			h = &tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}
			if strings.Contains(name, "bin/") {
				h.Mode = 0o755
			}
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		w.Write([]byte(text))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
