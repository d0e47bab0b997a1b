package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"lxc-pull/scripts/lab/faults"
)

// A registry is a tree of files: what GET /v2/app/manifests/latest and /v2/app/blobs/DIGEST
// answer. Its image has three layers; the later ones replace and remove files of the others.

// repository is the image's path on a server.
const repository = "/v2/app"

// newRegistryWorld makes the image, and lists the tree that a container must have.
func newRegistryWorld(dir, program string) (*world, error) {
	w := &world{dir: dir, program: program, oci: true, trees: map[string]string{}, right: map[string]string{}, files: map[string]string{}}
	w.trees["whole"] = filepath.Join(dir, "registry")
	r := rand.NewChaCha8(sha256.Sum256([]byte("registry")))
	noise := func(n int) string {
		data := make([]byte, n)
		r.Read(data)
		return string(data)
	}
	layers := [][][2]string{
		{{"bin/", ""}, {"bin/sh", "sh"}, {"etc/", ""}, {"etc/old", "old"}, {"usr/", ""}, {"usr/first", noise(120_000)}},
		{{"etc/.wh.old", ""}, {"usr/second", noise(150_000)}},
		{{"usr/first", "replaced"}, {"usr/third", noise(90_000)}, {"run/", ""}},
	}
	right := filepath.Join(dir, "right")
	final := map[string]string{}
	var descriptors, ids []any
	for _, layer := range layers {
		var plain bytes.Buffer
		t := tar.NewWriter(&plain)
		for _, file := range layer {
			name, text := file[0], file[1]
			header := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), ModTime: time.Unix(1700000000, 0)}
			if strings.HasSuffix(name, "/") {
				header.Mode, header.Typeflag = 0o755, tar.TypeDir
			}
			if err := t.WriteHeader(header); err != nil {
				return nil, err
			}
			if _, err := t.Write([]byte(text)); err != nil {
				return nil, err
			}
			if before, hidden, ok := strings.Cut(name, ".wh."); ok {
				delete(final, before+hidden)
			} else {
				final[name] = text
			}
		}
		if err := t.Close(); err != nil {
			return nil, err
		}
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		if _, err := z.Write(plain.Bytes()); err != nil {
			return nil, err
		}
		if err := z.Close(); err != nil {
			return nil, err
		}
		digest, err := w.blob(packed.Bytes())
		if err != nil {
			return nil, err
		}
		descriptors = append(descriptors, descriptor("application/vnd.oci.image.layer.v1.tar+gzip", digest, packed.Len()))
		ids = append(ids, fmt.Sprintf("sha256:%x", sha256.Sum256(plain.Bytes())))
		w.files[repository+"/blobs/"+digest] = packed.String()
	}
	config, err := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux", "config": map[string]any{"Cmd": []string{"/bin/sh"}}, "rootfs": map[string]any{"type": "layers", "diff_ids": ids},
	})
	if err != nil {
		return nil, err
	}
	digest, err := w.blob(config)
	if err != nil {
		return nil, err
	}
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": descriptor("application/vnd.oci.image.config.v1+json", digest, len(config)), "layers": descriptors,
	})
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"latest", fmt.Sprintf("sha256:%x", sha256.Sum256(manifest))} {
		if err := write(filepath.Join(w.trees["whole"]+repository, "manifests", name), manifest); err != nil {
			return nil, err
		}
	}
	for name, text := range final {
		path := filepath.Join(right, name)
		if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(path, 0o755)
		} else {
			err = write(path, []byte(text))
		}
		if err != nil {
			return nil, err
		}
	}
	if w.right[build1], err = w.contents(right); err != nil {
		return nil, err
	}
	return w, w.equip()
}

// descriptor returns an OCI descriptor.
func descriptor(mediaType, digest string, size int) map[string]any {
	return map[string]any{"mediaType": mediaType, "digest": digest, "size": size}
}

// blob writes a blob to the registry and returns its digest.
func (w *world) blob(data []byte) (digest string, err error) {
	digest = fmt.Sprintf("sha256:%x", sha256.Sum256(data))
	return digest, write(filepath.Join(w.trees["whole"]+repository, "blobs", digest), data)
}

func write(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}

// contents is the listing of a tree without the files and directories that a container gets
// besides those of its image.
func (w *world) contents(dir string) (string, error) {
	text, err := listing(dir)
	var kept []string
	for line := range strings.Lines(text) {
		name, _, _ := strings.Cut(line, " ")
		switch name {
		case "etc/hostname", "etc/hosts", "etc/resolv.conf", "dev", "dev/pts":
		default:
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, ""), err
}

// runRegistry is run for a registry: one with random faults, perhaps an interruption, and at the
// end a good one, which must send only the bytes that the cache lacks.
func (t *trial) runRegistry() error {
	r := rand.New(rand.NewPCG(t.seed, 2))
	t.dir = filepath.Join(t.world.dir, fmt.Sprint("run-", t.seed))
	for _, name := range []string{"", "lxc", "tmp"} {
		if err := os.Mkdir(filepath.Join(t.dir, name), 0o755); err != nil {
			return err
		}
	}
	defer os.RemoveAll(t.dir)
	t.ledger = newLedger(t.world.files)
	s := &faults.Server{Dir: t.world.trees["whole"], Seed: t.seed, Chance: 0.2 + 0.5*r.Float64(), Most: 1 + r.IntN(3)}
	all := faults.All()
	switch n := r.IntN(10); {
	case n == 0:
		s.Chance = 0
	case n == 1: // no layer ever comes whole
		s.Chance, s.Most, s.Only, s.Faults = 1, 1000, "blobs/sha256", []string{"cut", "503", "reset"}
	case n < 4:
		s.Chance, s.Most, s.Faults = 1, 1000, []string{all[r.IntN(len(all))]}
	case n < 7:
		for range 3 {
			s.Faults = append(s.Faults, all[r.IntN(len(all))])
		}
	}
	secure := r.IntN(4) > 0
	bad := t.serve(s, secure)
	defer bad.close()
	t.cached = r.IntN(3) > 0
	options := []string{"--stall-time=2", fmt.Sprintf("--retries=%d", []int{1, 2, 4}[r.IntN(3)])}
	if !t.cached {
		options = append(options, "--no-cache")
	}
	t.setting = append(t.setting, fmt.Sprintf("%s: %s, chance %.2f, most %d, %s", bad.url, strings.Join(s.Faults, ","), s.Chance, s.Most, strings.Join(options, " ")))
	if r.IntN(4) == 0 {
		after := time.Duration(5+r.IntN(1500)) * time.Millisecond
		t.setting = append(t.setting, fmt.Sprintf("interrupted after %v", after))
		if err := t.create("first", []host{bad}, options, after); err != nil {
			return fmt.Errorf("the interrupted run: %w", err)
		}
	}
	if err := t.create("web", []host{bad}, options, 0); err != nil {
		return err
	}
	sane := t.serve(&faults.Server{Dir: t.world.trees["whole"]}, secure)
	defer sane.close()
	have, missing := t.blobs(), 0
	for path, data := range t.world.files {
		missing += len(data) - have[path]
	}
	if err := t.create("sane", []host{sane}, []string{"--stall-time=60"}, 0); err != nil {
		return fmt.Errorf("a sane run afterwards: %w", err)
	}
	if o := t.outcomes[len(t.outcomes)-1]; o != "right tree" {
		return fmt.Errorf("a sane run afterwards ends with %s\n%s", o, t.said.String())
	}
	t.outcomes = t.outcomes[:len(t.outcomes)-1]
	if sent := t.ledger.sent(); sent != missing {
		return fmt.Errorf("a sane server sent %d bytes of the missing %d", sent, missing)
	}
	return nil
}

// blobs returns how many right bytes of each layer the cache has, by the layer's path on a server.
func (t *trial) blobs() map[string]int {
	have := map[string]int{}
	for path, data := range t.world.files {
		_, hex, _ := strings.Cut(path, "sha256:")
		found, _ := filepath.Glob(filepath.Join(t.dir, "cache/.lxc-pull/*/*"+hex+"*"))
		for _, file := range found {
			if kept, err := os.ReadFile(file); err == nil && strings.HasPrefix(data, string(kept)) {
				have[path] = max(have[path], len(kept))
			}
		}
	}
	return have
}
