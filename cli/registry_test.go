package cli

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

// The media types that a fakeRegistry gives.
const (
	fakeManifestType = "application/vnd.oci.image.manifest.v1+json"
	fakeIndexType    = "application/vnd.oci.image.index.v1+json"
	fakeConfigType   = "application/vnd.oci.image.config.v1+json"
	fakeLayerType    = "application/vnd.oci.image.layer.v1.tar"
)

// A fakeRegistry is a registry of container images on loopback (OCI distribution spec, what
// pulling needs of it). Set its fields before the first request, or between lock and unlock.
type fakeRegistry struct {
	*httptest.Server
	t  testing.TB
	mu sync.Mutex

	blobs     map[string][]byte       // by digest
	manifests map[string]fakeManifest // by "REPOSITORY TAG" and "REPOSITORY DIGEST"
	tags      map[string][]string     // by repository
	requests  []string                // "GET /v2/…", with the Range if there is one; "token …" for the token server

	user, password string // that basic authentication or the token server wants; "": none
	basic, tokens  bool   // which authentication is wanted
	tokenUses      int    // how many requests a token is good for; 0: any number
	uses           int    // requests with the current token
	token          int    // number of the current token
	tooMany        int    // how many requests are answered 429
	wait           string // the Retry-After of 429
	html           bool   // every answer is a web page
	noReferrers    bool   // no referrers API
	pageSize       int    // tags on a page; 0: all
	cut            int64  // a response with a blob ends after so many bytes; 0: does not
	change         func(http.ResponseWriter, *http.Request) bool
}

type fakeManifest struct {
	mediaType string
	text      []byte
}

// A fakeImage says how addImage makes an image. The zero value is of this package's usual
// platform, linux/amd64.
type fakeImage struct {
	layers    [][]byte       // tar archives, the lowest first
	plain     bool           // the layers are not compressed
	platform  string         // os/arch or os/arch/variant; "": linux/amd64
	config    map[string]any // the member "config" of the config: Cmd, Env and so on
	created   string         // RFC 3339
	manifest  map[string]any // more members of the manifest
	mediaType string         // of the layers; "": as plain says
}

// newRegistry starts a registry without images.
func newRegistry(t testing.TB) *fakeRegistry {
	f := &fakeRegistry{t: t, blobs: map[string][]byte{}, manifests: map[string]fakeManifest{}, tags: map[string][]string{}}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.Close)
	return f
}

// host returns HOST:PORT. The registry speaks plain http.
func (f *fakeRegistry) host() string { return strings.TrimPrefix(f.URL, "http://") }

// asked returns the requests so far whose text contains part, and forget forgets them all.
func (f *fakeRegistry) asked(part string) (list []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.requests {
		if strings.Contains(r, part) {
			list = append(list, r)
		}
	}
	return list
}

func (f *fakeRegistry) forget() {
	f.mu.Lock()
	f.requests = nil
	f.mu.Unlock()
}

func fakeDigest(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }

// addBlob adds a blob and returns its digest.
func (f *fakeRegistry) addBlob(data []byte) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.blobs[fakeDigest(data)] = data
	return fakeDigest(data)
}

// addManifest adds a manifest, and a tag for it unless that is "". It returns the digest.
func (f *fakeRegistry) addManifest(repository, tag, mediaType string, text []byte) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	digest := fakeDigest(text)
	f.manifests[repository+" "+digest] = fakeManifest{mediaType, text}
	if tag != "" {
		f.manifests[repository+" "+tag] = fakeManifest{mediaType, text}
		if !slices.Contains(f.tags[repository], tag) {
			f.tags[repository] = append(f.tags[repository], tag)
		}
	}
	return digest
}

func (f *fakeRegistry) json(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		f.t.Error(err)
	}
	return text
}

func fakeDescriptor(mediaType string, data []byte) map[string]any {
	return map[string]any{"mediaType": mediaType, "digest": fakeDigest(data), "size": len(data)}
}

func fakePlatform(platform string) map[string]any {
	if platform == "" {
		platform = "linux/amd64"
	}
	p := map[string]any{}
	for i, part := range strings.SplitN(platform, "/", 3) {
		p[[]string{"os", "architecture", "variant"}[i]] = part
	}
	return p
}

// addImage adds an image, and a tag for it unless that is "". It returns the manifest's digest.
func (f *fakeRegistry) addImage(repository, tag string, i fakeImage) string {
	diffs, layers := []string{}, []map[string]any{}
	for _, layer := range i.layers {
		diffs = append(diffs, fakeDigest(layer))
		mediaType := fakeLayerType
		if !i.plain {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			z.Write(layer)
			z.Close()
			layer, mediaType = b.Bytes(), fakeLayerType+"+gzip"
		}
		if i.mediaType != "" {
			mediaType = i.mediaType
		}
		f.addBlob(layer)
		layers = append(layers, fakeDescriptor(mediaType, layer))
	}
	config := fakePlatform(i.platform)
	config["rootfs"] = map[string]any{"type": "layers", "diff_ids": diffs}
	if i.config != nil {
		config["config"] = i.config
	}
	if i.created != "" {
		config["created"] = i.created
	}
	text := f.json(config)
	f.addBlob(text)
	manifest := map[string]any{"schemaVersion": 2, "mediaType": fakeManifestType, "config": fakeDescriptor(fakeConfigType, text), "layers": layers}
	for name, value := range i.manifest {
		manifest[name] = value
	}
	return f.addManifest(repository, tag, fakeManifestType, f.json(manifest))
}

// addIndex adds an index of manifests that are there, each written "PLATFORM DIGEST". It
// returns the index's digest.
func (f *fakeRegistry) addIndex(repository, tag string, entries ...string) string {
	list := []map[string]any{}
	for _, entry := range entries {
		platform, digest, _ := strings.Cut(entry, " ")
		f.mu.Lock()
		m, ok := f.manifests[repository+" "+digest]
		f.mu.Unlock()
		if !ok {
			f.t.Errorf("no manifest %s", digest)
		}
		d := fakeDescriptor(m.mediaType, m.text)
		d["platform"] = fakePlatform(platform)
		list = append(list, d)
	}
	return f.addManifest(repository, tag, fakeIndexType, f.json(map[string]any{"schemaVersion": 2, "mediaType": fakeIndexType, "manifests": list}))
}

// requireToken makes the registry want a token of its own token server, which wants the user
// and password unless user is "".
func (f *fakeRegistry) requireToken(user, password string) {
	f.tokens, f.user, f.password = true, user, password
}

// requireBasic makes the registry want basic authentication.
func (f *fakeRegistry) requireBasic(user, password string) {
	f.basic, f.user, f.password = true, user, password
}

func (f *fakeRegistry) serve(w http.ResponseWriter, r *http.Request) {
	text := r.Method + " " + r.URL.Path
	if part := r.Header.Get("Range"); part != "" {
		text += " " + part
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, text)
	switch {
	case f.change != nil && f.change(w, r):
		return
	case f.html:
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>Log in to this network</title>")
		return
	case r.URL.Path == "/token":
		f.serveToken(w, r)
		return
	case f.tooMany > 0:
		f.tooMany--
		if f.wait != "" {
			w.Header().Set("Retry-After", f.wait)
		}
		f.fail(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", "You have reached your pull rate limit.")
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
			f.mu.Unlock()
			defer f.mu.Lock() // also if giveBlob ends the connection
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

// fail answers with an error of a registry (distribution spec, "Error Codes").
func (f *fakeRegistry) fail(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(f.json(map[string]any{"errors": []any{map[string]any{"code": code, "message": message}}}))
}

func (f *fakeRegistry) serveToken(w http.ResponseWriter, r *http.Request) {
	user, password, ok := r.BasicAuth()
	f.requests[len(f.requests)-1] = "token " + r.URL.RawQuery + " " + user
	if ok && (user != f.user || password != f.password) {
		f.fail(w, http.StatusUnauthorized, "UNAUTHORIZED", "incorrect username or password")
		return
	}
	f.token, f.uses = f.token+1, 0
	name := "anonymous"
	if ok {
		name = "good"
	}
	w.Write(f.json(map[string]any{"token": name + strconv.Itoa(f.token), "expires_in": 300}))
}

// admits reports whether a request has what the registry wants, and answers it if not.
func (f *fakeRegistry) admits(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case f.tokens:
		repository, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/manifests/")
		repository, _, _ = strings.Cut(repository, "/blobs/")
		repository, _, _ = strings.Cut(repository, "/referrers/")
		repository, _, _ = strings.Cut(repository, "/tags/")
		got, number := r.Header.Get("Authorization"), strconv.Itoa(f.token)
		f.uses++
		fresh := f.tokenUses == 0 || f.uses <= f.tokenUses
		if fresh && (got == "Bearer good"+number || f.user == "" && got == "Bearer anonymous"+number) {
			return true
		}
		if got == "Bearer anonymous"+number && fresh {
			f.fail(w, http.StatusForbidden, "DENIED", "requested access to the resource is denied")
			return false
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf("Bearer realm=%q,service=\"fake, registry\",scope=%q", f.URL+"/token", "repository:"+repository+":pull"))
	case f.basic:
		if user, password, ok := r.BasicAuth(); ok && user == f.user && password == f.password {
			return true
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="fake"`)
	default:
		return true
	}
	f.fail(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
	return false
}

func (f *fakeRegistry) giveManifest(w http.ResponseWriter, repository, name string) {
	m, ok := f.manifests[repository+" "+name]
	if !ok {
		code := "NAME_UNKNOWN"
		for key := range f.manifests {
			if strings.HasPrefix(key, repository+" ") {
				code = "MANIFEST_UNKNOWN"
			}
		}
		f.fail(w, http.StatusNotFound, code, "not known")
		return
	}
	w.Header().Set("Content-Type", m.mediaType)
	w.Header().Set("Docker-Content-Digest", fakeDigest(m.text))
	w.Write(m.text)
}

func (f *fakeRegistry) giveBlob(w http.ResponseWriter, r *http.Request, digest string) {
	f.mu.Lock()
	data, ok := f.blobs[digest]
	cut := f.cut
	f.mu.Unlock()
	if !ok {
		f.fail(w, http.StatusNotFound, "BLOB_UNKNOWN", "blob unknown")
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

func (f *fakeRegistry) giveReferrers(w http.ResponseWriter, repository, digest string) {
	if f.noReferrers {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	list := []map[string]any{}
	for key, m := range f.manifests {
		var has struct {
			Subject      struct{ Digest string }
			ArtifactType string
		}
		if strings.HasPrefix(key, repository+" sha256:") && json.Unmarshal(m.text, &has) == nil && has.Subject.Digest == digest {
			d := fakeDescriptor(m.mediaType, m.text)
			d["artifactType"] = has.ArtifactType
			list = append(list, d)
		}
	}
	w.Header().Set("Content-Type", fakeIndexType)
	w.Write(f.json(map[string]any{"schemaVersion": 2, "mediaType": fakeIndexType, "manifests": list}))
}

func (f *fakeRegistry) giveTags(w http.ResponseWriter, r *http.Request, repository string) {
	tags, ok := f.tags[repository]
	if !ok {
		f.fail(w, http.StatusNotFound, "NAME_UNKNOWN", "repository name not known to registry")
		return
	}
	tags = slices.Sorted(slices.Values(tags))
	if last := r.URL.Query().Get("last"); last != "" {
		for len(tags) > 0 && tags[0] <= last {
			tags = tags[1:]
		}
	}
	if f.pageSize > 0 && len(tags) > f.pageSize {
		tags = tags[:f.pageSize]
		w.Header().Set("Link", fmt.Sprintf("</v2/%s/tags/list?last=%s&n=%d>; rel=\"next\"", repository, tags[len(tags)-1], f.pageSize))
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(f.json(map[string]any{"name": repository, "tags": tags}))
}

// tarLayer returns a layer, a tar archive. An entry "PATH=TEXT" is a file, "PATH/" a directory and
// "PATH->TARGET" a symbolic link. A name may be a whiteout.
func tarLayer(t testing.TB, entries ...string) []byte {
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
