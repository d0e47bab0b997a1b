package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// registries are the hosts that the sandbox stands in for as registries of container images. All
// have one image, under the names in repositories.
var registries = []string{"registry-1.docker.io", "auth.docker.io", "ghcr.io", "registry.example.org", "mirror.example.org"}

// repositories are the repositories of the registries, and imageTags the tags of each.
var (
	repositories = []string{"library/alpine", "library/nginx", "library/debian", "owner/app", "team/app"}
	imageTags    = []string{"1.4", "3.22", "latest", "trixie"}
)

// The user of registry.example.org, which gives nothing without a login.
const registryUser, registryPassword = "tux", "correct horse battery staple"

// A registry is the handler of all registries (OCI distribution spec). Docker Hub's wants a
// token, as the real one does.
type registry struct {
	files map[string][]byte // manifests and blobs by digest, manifests also by tag
	types map[string]string // media types of manifests, likewise
}

// The media types of an image.
const (
	indexType    = "application/vnd.oci.image.index.v1+json"
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar+gzip"
	cosignType   = "application/vnd.dev.cosign.simplesigning.v1+json"
)

// newRegistry makes the image, with a cosign signature of the key whose public half it writes to
// cosign.pub in dir.
func newRegistry(dir string) (*registry, error) {
	r := &registry{files: map[string][]byte{}, types: map[string]string{}}
	var layers []map[string]any
	var diffIDs []string
	for _, layer := range [][]tar.Header{
		{{Name: "etc/", Mode: 0o755}, {Name: "etc/passwd", Mode: 0o644}, {Name: "bin/", Mode: 0o755}, {Name: "bin/sh", Mode: 0o755}, {Name: "run/", Mode: 0o755}},
		{{Name: "srv/", Mode: 0o755}, {Name: "srv/page", Mode: 0o644}},
	} {
		content, packed := pack(layer)
		diffIDs = append(diffIDs, digestOf(content))
		layers = append(layers, r.descriptor(layerType, packed))
	}
	var platforms []map[string]any
	for _, platform := range slices.Compact(slices.Sorted(slices.Values([]string{"amd64", "arm64", runtime.GOARCH}))) {
		config := marshal(map[string]any{
			"os": "linux", "architecture": platform, "created": "2026-11-01T00:00:00Z",
			"rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs},
			"config": map[string]any{"Entrypoint": []string{"/bin/sh"}, "Env": []string{"LANG=C.UTF-8"}, "WorkingDir": "/srv", "StopSignal": "SIGQUIT"},
		})
		manifest := marshal(map[string]any{"schemaVersion": 2, "mediaType": manifestType, "config": r.descriptor(configType, config), "layers": layers})
		d := r.descriptor(manifestType, manifest)
		d["platform"] = map[string]string{"os": "linux", "architecture": platform}
		platforms = append(platforms, d)
	}
	index := marshal(map[string]any{"schemaVersion": 2, "mediaType": indexType, "manifests": platforms})
	r.descriptor(indexType, index)
	for _, tag := range imageTags {
		r.files[tag], r.types[tag] = index, indexType
	}
	return r, r.sign(dir, digestOf(index))
}

// sign adds a signature as cosign 2 does: a manifest under a tag made of the digest.
func (r *registry) sign(dir, digest string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	if err := os.WriteFile(filepath.Join(dir, "cosign.pub"), text, 0o644); err != nil {
		return err
	}
	payload := marshal(map[string]any{"optional": nil, "critical": map[string]any{
		"type":     "cosign container image signature",
		"image":    map[string]string{"docker-manifest-digest": digest},
		"identity": map[string]string{"docker-reference": ""},
	}})
	sum := sha256.Sum256(payload)
	signature, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		return err
	}
	d := r.descriptor(cosignType, payload)
	d["annotations"] = map[string]any{"dev.cosignproject.cosign/signature": signature} // base64, as JSON has bytes
	tag := strings.Replace(digest, ":", "-", 1) + ".sig"
	r.files[tag] = marshal(map[string]any{"schemaVersion": 2, "mediaType": manifestType, "config": r.descriptor(configType, []byte("{}")), "layers": []any{d}})
	r.types[tag] = manifestType
	return nil
}

// descriptor adds a file, and returns its descriptor.
func (r *registry) descriptor(mediaType string, text []byte) map[string]any {
	digest := digestOf(text)
	r.files[digest], r.types[digest] = text, mediaType
	return map[string]any{"mediaType": mediaType, "digest": digest, "size": len(text)}
}

func digestOf(text []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(text)) }

// marshal returns JSON of values that have one.
func marshal(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return text
}

// pack makes a layer of directories, and of files that hold their own names.
func pack(entries []tar.Header) (content, packed []byte) {
	var archive, compressed bytes.Buffer
	w := tar.NewWriter(&archive)
	for i := range entries {
		h := &entries[i]
		text := []byte(h.Name + "\n")
		if h.Typeflag = tar.TypeReg; strings.HasSuffix(h.Name, "/") {
			h.Typeflag, text = tar.TypeDir, nil
		}
		h.Size = int64(len(text))
		w.WriteHeader(h) // writes to memory don't fail
		w.Write(text)
	}
	w.Close()
	z := gzip.NewWriter(&compressed)
	z.Write(archive.Bytes())
	z.Close()
	return archive.Bytes(), compressed.Bytes()
}

func (r *registry) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	user, password, _ := request.BasicAuth()
	rest, isAPI := strings.CutPrefix(request.URL.Path, "/v2/")
	repository, name := "", ""
	for _, part := range []string{"/manifests/", "/blobs/", "/tags/"} {
		if before, after, ok := strings.Cut(rest, part); ok {
			repository, name = before, after
		}
	}
	text, ok := r.files[name]
	switch host := request.Host; {
	case host == "auth.docker.io":
		fmt.Fprint(w, `{"token": "anybody"}`)
	case host == "registry-1.docker.io" && request.Header.Get("Authorization") != "Bearer anybody":
		w.Header().Set("WWW-Authenticate", `Bearer realm="https://auth.docker.io/token",service="registry.docker.io"`)
		http.Error(w, "{}", http.StatusUnauthorized)
	case host == "registry.example.org" && (user != registryUser || password != registryPassword):
		w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		http.Error(w, "{}", http.StatusUnauthorized)
	case !isAPI || !slices.Contains(repositories, repository):
		http.Error(w, `{"errors": [{"code": "NAME_UNKNOWN"}]}`, http.StatusNotFound)
	case name == "list":
		w.Write(marshal(map[string]any{"name": repository, "tags": imageTags}))
	case !ok:
		http.Error(w, `{"errors": [{"code": "MANIFEST_UNKNOWN"}]}`, http.StatusNotFound)
	default:
		w.Header().Set("Content-Type", r.types[name])
		w.Write(text)
	}
}
