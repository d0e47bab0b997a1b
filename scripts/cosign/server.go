package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// A server is a registry (OCI distribution spec, version 1.1).
type server struct{ url string }

// A descriptor names a manifest or blob.
type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
}

// A copied is a copy of an image.
type copied struct {
	top       descriptor   // of the index, or the manifest
	manifests []descriptor // of the index, or the manifest alone
}

// digestOf returns the digest of a text.
func digestOf(text []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(text)) }

// call sends a request and returns the answer, which must have one of the statuses.
func (r *server) call(method, address string, head map[string]string, body []byte, statuses ...int) (*http.Response, []byte, error) {
	request, err := http.NewRequest(method, address, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	for name, value := range head {
		request.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, nil, err
	}
	for _, status := range statuses {
		if answer.StatusCode == status {
			return answer, text, nil
		}
	}
	return nil, nil, fmt.Errorf("%s %s: %s: %.200q", method, address, answer.Status, text)
}

// at returns the URL of a part of a repository.
func (r *server) at(repository, part string) string { return r.url + "/v2/" + repository + "/" + part }

// upload uploads a blob. location is the header of that name in the answer that began the upload.
func (r *server) upload(begun *http.Response, text []byte) error {
	to, err := begun.Request.URL.Parse(begun.Header.Get("Location"))
	if err != nil {
		return err
	}
	query := to.Query()
	query.Set("digest", digestOf(text))
	to.RawQuery = query.Encode()
	_, _, err = r.call("PUT", to.String(), map[string]string{"Content-Type": "application/octet-stream"}, text, 201)
	return err
}

// putBlob stores a blob and returns its descriptor without a media type.
func (r *server) putBlob(repository string, text []byte) (object, error) {
	begun, _, err := r.call("POST", r.at(repository, "blobs/uploads/"), nil, nil, 202)
	if err == nil {
		err = r.upload(begun, text)
	}
	return object{"digest": digestOf(text), "size": len(text)}, err
}

// copyBlob copies a blob from one repository to another, which needs no upload if the registry
// can mount it.
func (r *server) copyBlob(from, to, digest string) error {
	query := url.Values{"mount": {digest}, "from": {from}}
	begun, _, err := r.call("POST", r.at(to, "blobs/uploads/?"+query.Encode()), nil, nil, 201, 202)
	if err != nil || begun.StatusCode == 201 {
		return err
	}
	_, text, err := r.call("GET", r.at(from, "blobs/"+digest), nil, nil, 200)
	if err != nil {
		return err
	}
	return r.upload(begun, text)
}

// putManifest stores a manifest, and reports whether the registry lists it for its subject.
func (r *server) putManifest(repository, name, mediaType string, text []byte) (listed bool, err error) {
	answer, _, err := r.call("PUT", r.at(repository, "manifests/"+name), map[string]string{"Content-Type": mediaType}, text, 201)
	return err == nil && answer.Header.Get("OCI-Subject") != "", err
}

// copyImage copies an image, with all manifests of an index, to another repository.
func (r *server) copyImage(from, to, tag string) (*copied, error) {
	top, list, err := r.copyManifest(from, to, tag)
	if err != nil {
		return nil, err
	}
	c := &copied{top: top}
	if len(list) == 0 {
		c.manifests = []descriptor{top}
	}
	c.manifests = append(c.manifests, list...)
	return c, nil
}

// copyManifest copies a manifest and what it names. It returns its descriptor, and those of the
// manifests of an index.
func (r *server) copyManifest(from, to, name string) (d descriptor, list []descriptor, err error) {
	accept := strings.Join([]string{typeIndex, typeManifest,
		"application/vnd.docker.distribution.manifest.list.v2+json", "application/vnd.docker.distribution.manifest.v2+json"}, ", ")
	answer, text, err := r.call("GET", r.at(from, "manifests/"+name), map[string]string{"Accept": accept}, nil, 200)
	if err != nil {
		return d, nil, err
	}
	var m struct {
		Config            descriptor
		Layers, Manifests []descriptor
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return d, nil, err
	}
	for _, each := range m.Manifests {
		if _, _, err := r.copyManifest(from, to, each.Digest); err != nil {
			return d, nil, err
		}
	}
	if len(m.Manifests) == 0 {
		for _, each := range append(m.Layers, m.Config) {
			if err := r.copyBlob(from, to, each.Digest); err != nil {
				return d, nil, err
			}
		}
	}
	d = descriptor{answer.Header.Get("Content-Type"), digestOf(text), int64(len(text))}
	_, err = r.putManifest(to, name, d.MediaType, text)
	return d, m.Manifests, err
}
