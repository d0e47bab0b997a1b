package source

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"lxc-pull/image"
	"lxc-pull/pull/source/registrytest"
)

// TestSaveArchive reads with archive/tar what SaveArchive writes, and finds the image in it again.
func TestSaveArchive(t *testing.T) {
	reg := registrytest.New(t)
	noise := []byte("the same layer twice")
	digest := reg.AddImage("app", "1.0", registrytest.Image{Layers: [][]byte{noise, registrytest.Layer(t, "etc/", "etc/a=1", "b->etc/a"), noise}})
	reg.AddIndex("app", "multi", "linux/amd64 "+digest)
	f, said := containerFinder(t, testContainer(t, reg.Host()+"/app:multi"), "")
	var b bytes.Buffer
	if err := f.SaveArchive(t.Context(), &b); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	files, names := map[string][]byte{}, []string{}
	for r := tar.NewReader(bytes.NewReader(b.Bytes())); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(names, h.Name) {
			t.Errorf("%q twice", h.Name)
		}
		names = append(names, h.Name)
		files[h.Name], _ = io.ReadAll(r)
	}
	var index struct {
		Manifests []struct {
			MediaType, Digest string
			Size              int
			Platform          struct{ OS, Architecture string }
			Annotations       map[string]string
		}
	}
	if err := json.Unmarshal(files["index.json"], &index); err != nil || len(index.Manifests) != 1 {
		t.Fatalf("index.json: %s, %v", files["index.json"], err)
	}
	m := index.Manifests[0]
	if m.Digest != digest || m.MediaType != registrytest.ManifestType || m.Platform.OS != "linux" || m.Platform.Architecture != "amd64" || m.Annotations["org.opencontainers.image.ref.name"] != "multi" {
		t.Errorf("%+v", m)
	}
	blobs := 0
	for name, data := range files {
		if filepath.Dir(name) == "blobs/sha256" && len(data) > 0 {
			blobs++
			if "sha256:"+filepath.Base(name) != registrytest.Digest(data) {
				t.Errorf("%q has other bytes", name)
			}
		}
	}
	if blobs != 4 || string(files["oci-layout"]) != `{"imageLayoutVersion":"1.0.0"}` {
		t.Errorf("%q", names)
	}

	path := filepath.Join(t.TempDir(), "x.tar")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	c := &Container{Archive: path, Arch: "amd64", Platforms: []image.Platform{{OS: "linux", Arch: "amd64"}}}
	f, said = containerFinder(t, c, t.TempDir())
	found, layers, err := layersOf(t.Context(), f)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if len(layers) != 3 || found.Image.Reference != "archive@"+digest || !found.Safe() {
		t.Errorf("%d layers, %+v", len(layers), found.Image)
	}
	found.Close()
	if tags, err := f.Tags(t.Context()); err != nil || !slices.Equal(tags, []string{"multi"}) {
		t.Errorf("%q, %v", tags, err)
	}
}

// TestSaveArchiveFails writes to something that is full, and reads wrong bytes.
func TestSaveArchiveFails(t *testing.T) {
	reg := registrytest.New(t)
	layers, _ := threeLayers(t, reg, "app", "1", 1)
	for _, room := range []int{0, 100, 2000, 5000, 200_000} {
		f, _ := containerFinder(t, testContainer(t, reg.Host()+"/app:1"), "")
		if err := f.SaveArchive(t.Context(), &full{room}); !errors.Is(err, errFull) {
			t.Errorf("room for %d bytes: %v", room, err)
		}
	}
	reg.ReplaceBlob(registrytest.Digest(layers[2]), make([]byte, len(layers[2])))
	f, _ := containerFinder(t, testContainer(t, reg.Host()+"/app:1"), "")
	if err := f.SaveArchive(t.Context(), io.Discard); KindOf(err) != Unverified {
		t.Errorf("wrong bytes: %v", err)
	}
}

var errFull = errors.New("full")

type full struct{ room int }

func (w *full) Write(p []byte) (int, error) {
	if w.room -= len(p); w.room < 0 {
		return 0, errFull
	}
	return len(p), nil
}
