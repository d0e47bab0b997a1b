package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"lxc-pull/pgp"
)

// A memory is a registry in memory: what was put at a path is there. Of the API of referrers it
// has only the header by which it says that it knows it.
type memory struct {
	mu    sync.Mutex
	files map[string][]byte
	types map[string]string
	knows bool // the API of referrers
}

func (m *memory) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	at := r.URL.Path
	switch {
	case r.Method == "POST" && r.URL.Query().Get("mount") != "" && strings.HasSuffix(at, "-tag/blobs/uploads/"):
		digest := r.URL.Query().Get("mount")
		m.files[strings.TrimSuffix(at, "uploads/")+digest] = m.files["/v2/"+r.URL.Query().Get("from")+"/blobs/"+digest]
		w.WriteHeader(201)
	case r.Method == "POST":
		w.Header().Set("Location", at+"1?state=x")
		w.WriteHeader(202)
	case r.Method == "PUT" && strings.HasSuffix(at, "/blobs/uploads/1"):
		digest := r.URL.Query().Get("digest")
		if digest != digestOf(body) || r.URL.Query().Get("state") != "x" {
			http.Error(w, "the digest or the state is wrong", 400)
			return
		}
		m.files[strings.TrimSuffix(at, "uploads/1")+digest] = body
		w.WriteHeader(201)
	case r.Method == "PUT":
		m.put(at, r.Header.Get("Content-Type"), body)
		if m.knows && strings.Contains(string(body), `"subject"`) {
			w.Header().Set("OCI-Subject", "x")
		}
		w.WriteHeader(201)
	case m.files[at] != nil:
		w.Header().Set("Content-Type", m.types[at])
		w.Write(m.files[at])
	default:
		http.NotFound(w, r)
	}
}

// put stores a manifest at its name and its digest.
func (m *memory) put(at, mediaType string, body []byte) {
	for _, name := range []string{at, at[:strings.LastIndex(at, "/")+1] + digestOf(body)} {
		m.files[name], m.types[name] = body, mediaType
	}
}

// Each case has a signature where cosign writes it, which counts or not as the list says. (What
// a trusted key signed, the program's own tests check.)
func TestCases(t *testing.T) {
	for _, knows := range []bool{false, true} {
		m := &memory{files: map[string][]byte{}, types: map[string]string{}, knows: knows}
		server := httptest.NewServer(m)
		defer server.Close()
		blob := []byte("{}")
		m.files["/v2/app/blobs/"+digestOf(blob)] = blob
		small := descriptor{"application/octet-stream", digestOf(blob), int64(len(blob))}
		manifest := toJSON(object{"schemaVersion": 2, "mediaType": typeManifest, "config": small, "layers": []descriptor{small}})
		m.put("/v2/app/manifests/one", typeManifest, manifest)
		index := toJSON(object{"schemaVersion": 2, "mediaType": typeIndex, "manifests": []descriptor{{typeManifest, digestOf(manifest), int64(len(manifest))}}})
		m.put("/v2/app/manifests/latest", typeIndex, index)
		dir := t.TempDir()
		if err := run(server.URL+"/", "app:latest", dir); err != nil {
			t.Fatal(err)
		}
		cases, err := os.ReadFile(filepath.Join(dir, "cases"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(cases)) {
			fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
			repository, _, _ := strings.Cut(fields[0], ":")
			target := digestOf(index)
			if strings.Contains(fields[0], "platforms") {
				target = digestOf(manifest)
			}
			if got := m.files["/v2/"+repository+"/manifests/"+digestOf(index)]; string(got) != string(index) {
				t.Errorf("%s: the image was not copied", fields[0])
			}
			key, err := os.ReadFile(filepath.Join(dir, fields[1]))
			if err != nil {
				t.Fatal(err)
			}
			keys, err := pgp.ReadKeyring(key)
			if err != nil {
				t.Fatal(err)
			}
			signatures, good := m.signatures(t, keys, repository, target)
			switch want := fields[2]; {
			case strings.HasPrefix(want, "no cosign"):
				if signatures != 0 {
					t.Errorf("%s has signatures", fields[0])
				}
			case strings.HasPrefix(want, "another key"), want == "keyless":
				if signatures == 0 || good {
					t.Errorf("%s: %d signatures, and a good one is %v", fields[0], signatures, good)
				}
			case !good:
				t.Errorf("%s: no signature of the key", fields[0])
			}
		}
	}
}

// signatures counts the signatures of target in a repository, and reports whether one of them is
// by one of the keys.
func (m *memory) signatures(t *testing.T, keys *pgp.Keyring, repository, target string) (n int, good bool) {
	t.Helper()
	at := "/v2/" + repository + "/"
	decode := func(text []byte, into any) {
		t.Helper()
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
	var manifests [][]byte
	tag := at + "manifests/" + strings.Replace(target, ":", "-", 1)
	if text := m.files[tag+".sig"]; text != nil {
		manifests = append(manifests, text)
	}
	if m.files[tag] != nil == m.knows && strings.HasSuffix(repository, "-bundle") && !strings.Contains(repository, "no-signature") {
		t.Errorf("%s: a tag lists the referrers: %v", repository, !m.knows)
	}
	for name, text := range m.files {
		if strings.HasPrefix(name, at+"manifests/sha256:") && strings.Contains(string(text), `"subject":{"mediaType":"`) && strings.Contains(string(text), target) {
			manifests = append(manifests, text)
		}
	}
	for _, text := range manifests {
		var manifest struct {
			Layers []struct {
				MediaType, Digest string
				Annotations       map[string]string
			}
		}
		decode(text, &manifest)
		for _, layer := range manifest.Layers {
			n++
			message, sig := m.files[at+"blobs/"+layer.Digest], []byte(nil)
			switch layer.MediaType {
			case typeSimple:
				sig, _ = base64.StdEncoding.DecodeString(layer.Annotations["dev.cosignproject.cosign/signature"])
			case typeBundle:
				var b struct {
					DSSEEnvelope struct {
						Payload     []byte
						PayloadType string
						Signatures  []struct{ Sig []byte }
					}
				}
				decode(message, &b)
				e := b.DSSEEnvelope
				message = fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(e.PayloadType), e.PayloadType, len(e.Payload), e.Payload)
				sig = e.Signatures[0].Sig
			}
			_, err := keys.VerifyPlain(message, sig)
			good = good || err == nil
		}
	}
	return n, good
}
