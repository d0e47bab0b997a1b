package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"lxc-pull/pull/source/registrytest"
)

// A registryKey is the key of a script's registry among its values.
type registryKey struct{}

// registryCommand returns the script command "registry", which starts a registry on loopback the
// first time, and sets REGISTRY to its HOST:PORT:
//
//	registry image REPO TAG [KEY=VALUE]... [-- ENTRY...]...   an image; each -- begins a layer, whose
//	      entries are as for registrytest.Layer. KEY is platform, type (the layers' media type) or one of the
//	      image's config, with a JSON value. DIGEST is set to the digest of its manifest
//	registry index REPO TAG PLATFORM=DIGEST...                sets DIGEST, too
//	registry basic|token USER PASSWORD                        requires a login
//	registry html|free                                        every answer is a web page; none is
//	registry limit N                                          the next N requests are answered 429
//	registry spoil                                            every layer and config has other bytes
//	registry save oci|docker FILE REPO TAG                    writes an archive of the image; CONFIG
//	      is set to the digits of its config's digest
//	registry requests FILE                                    writes a line for each request since the last
func registryCommand(t *testing.T) func(ts *testscript.TestScript, neg bool, args []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		holder := ts.Value(registryKey{}).(**registrytest.Registry)
		if *holder == nil {
			*holder = registrytest.New(t)
			ts.Setenv("REGISTRY", (*holder).Host())
		}
		f := *holder
		if neg || len(args) == 0 {
			ts.Fatalf("usage: registry VERB ...")
		}
		verb, args := args[0], args[1:]
		switch verb {
		case "start":
		case "image":
			ts.Setenv("DIGEST", f.AddImage(args[0], args[1], scriptImage(ts, t, args[2:])))
		case "index":
			var entries []string
			for _, arg := range args[2:] {
				entries = append(entries, strings.Replace(arg, "=", " ", 1))
			}
			ts.Setenv("DIGEST", f.AddIndex(args[0], args[1], entries...))
		case "save":
			saveImage(ts, f, args[0] == "docker", args[1], args[2], args[3])
		case "requests":
			ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Join(f.Asked(""), "\n")+"\n"), 0o644))
			f.Forget()
		default:
			f.Mu.Lock()
			defer f.Mu.Unlock()
			f.Basic, f.Tokens, f.HTML, f.User, f.Password = false, false, false, "", ""
			switch verb {
			case "basic":
				f.RequireBasic(args[0], args[1])
			case "token":
				f.RequireToken(args[0], args[1])
			case "html":
				f.HTML = true
			case "limit":
				n, err := strconv.Atoi(args[0])
				ts.Check(err)
				f.TooMany = n
			case "spoil":
				for digest, data := range f.Blobs {
					f.Blobs[digest] = append(append([]byte(nil), data[:len(data)-1]...), data[len(data)-1]^1)
				}
			case "free":
			default:
				ts.Fatalf("registry %s is not known", verb)
			}
		}
	}
}

// scriptImage returns the image that a script describes.
func scriptImage(ts *testscript.TestScript, t *testing.T, args []string) registrytest.Image {
	i := registrytest.Image{Config: map[string]any{}}
	var layers [][]string
	for _, arg := range args {
		switch key, value, _ := strings.Cut(arg, "="); {
		case arg == "--":
			layers = append(layers, nil)
		case len(layers) > 0:
			layers[len(layers)-1] = append(layers[len(layers)-1], arg)
		case key == "platform":
			i.Platform = value
		case key == "type":
			i.MediaType = value
		default:
			var member any
			if err := json.Unmarshal([]byte(value), &member); err != nil {
				ts.Fatalf("%s: %v", arg, err)
			}
			i.Config[key] = member
		}
	}
	for _, entries := range layers {
		i.Layers = append(i.Layers, registrytest.Layer(t, entries...))
	}
	return i
}

// saveImage writes an OCI archive or one of docker save.
func saveImage(ts *testscript.TestScript, f *registrytest.Registry, docker bool, file, repository, tag string) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	top := f.Manifests[repository+" "+tag]
	var m struct {
		Config struct{ Digest string }
		Layers []struct{ Digest string }
	}
	ts.Check(json.Unmarshal(top.Text, &m))
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(name string, data []byte) {
		ts.Check(w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data)), Typeflag: tar.TypeReg}))
		_, err := w.Write(data)
		ts.Check(err)
	}
	blob := func(digest string) string { return "blobs/sha256/" + strings.TrimPrefix(digest, "sha256:") }
	layers := []string{}
	for _, l := range m.Layers {
		name := blob(l.Digest)
		data := f.Blobs[l.Digest]
		if docker { // plain archives
			z, err := gzip.NewReader(bytes.NewReader(data))
			ts.Check(err)
			data, err = io.ReadAll(z)
			ts.Check(err)
			name = strings.TrimPrefix(name, "blobs/sha256/") + "/layer.tar"
		}
		layers = append(layers, name)
		add(name, data)
	}
	if docker {
		config := strings.TrimPrefix(m.Config.Digest, "sha256:") + ".json"
		add(config, f.Blobs[m.Config.Digest])
		add("manifest.json", f.JSON([]any{map[string]any{"Config": config, "RepoTags": []string{repository + ":" + tag}, "Layers": layers}}))
	} else {
		add(blob(m.Config.Digest), f.Blobs[m.Config.Digest])
		d := registrytest.Descriptor(top.MediaType, top.Text)
		add(blob(d["digest"].(string)), top.Text)
		d["annotations"] = map[string]string{"org.opencontainers.image.ref.name": tag}
		add("index.json", f.JSON(map[string]any{"schemaVersion": 2, "manifests": []any{d}}))
		add("oci-layout", []byte(`{"imageLayoutVersion": "1.0.0"}`))
	}
	ts.Setenv("CONFIG", strings.TrimPrefix(m.Config.Digest, "sha256:"))
	ts.Check(w.Close())
	ts.Check(os.WriteFile(ts.MkAbs(file), b.Bytes(), 0o644))
}
