package source

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"lxc-pull/image"
	"lxc-pull/image/cache"
	"lxc-pull/pull/source/registrytest"
	"lxc-pull/untar"
)

// blobPath returns the path of a blob in a cache.
func blobPath(base, digest string) string {
	return base + "/.lxc-pull/images/" + strings.Replace(digest, ":", "-", 1)
}

// TestDamagedBlob has a blob of any kind and damage in the cache: it is replaced. The manifest is
// blamed only if the blob has its digest.
func TestDamagedBlob(t *testing.T) {
	for _, damage := range []string{"short", "empty", "long", "other"} {
		reg, base := registrytest.New(t), t.TempDir()
		want, digest := threeLayers(t, reg, "app", "1", 1)
		read := func() (*Found, string) {
			t.Helper()
			f, said := containerFinder(t, testContainer(t, reg.Host()+"/app:1"), base)
			found, layers, err := layersOf(t.Context(), f)
			if err != nil || !same(layers, want) {
				t.Fatalf("%s: %v\n%s", damage, err, said)
			}
			found.Close()
			return found, said.String()
		}
		read()
		var names []string
		for name := range reg.Blobs {
			names = append(names, name)
		}
		for _, name := range append(names, digest) {
			data, err := os.ReadFile(blobPath(base, name))
			if err != nil {
				t.Fatal(err)
			}
			switch damage {
			case "short":
				data = data[:10]
			case "empty":
				data = nil
			case "long":
				data = append(data, 0)
			case "other":
				data[0] ^= 1
			}
			if err := os.WriteFile(blobPath(base, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
			_, said := read()
			layer := slices.ContainsFunc(want, func(l []byte) bool { return registrytest.Digest(l) == name })
			if strings.Contains(said, "damaged") != layer || strings.Contains(said, "starting again") {
				t.Errorf("%s: said %s", damage, said)
			}
			if now, _ := os.ReadFile(blobPath(base, name)); registrytest.Digest(now) != name {
				t.Errorf("%s: %s is still damaged", damage, name)
			}
			if found, said := read(); !found.Cached {
				t.Errorf("%s: not from the cache: %s", damage, said)
			}
		}
		// Another image says another size of the layer.
		var m map[string]any
		json.Unmarshal(reg.Manifests["app 1"].Text, &m)
		m["layers"].([]any)[1].(map[string]any)["size"] = 299_999
		reg.AddManifest("app", "2", registrytest.ManifestType, reg.JSON(m))
		f, said := containerFinder(t, testContainer(t, reg.Host()+"/app:2"), base)
		if _, _, err := layersOf(t.Context(), f); KindOf(err) != Unverified || !strings.Contains(err.Error(), "299999 by the manifest") || strings.Contains(said.String(), "damaged") {
			t.Errorf("%v\n%s", err, said)
		}
		if _, err := os.Stat(blobPath(base, registrytest.Digest(want[1]))); err != nil {
			t.Error(err)
		}
	}
}

// gatherAll gathers an image, and returns what is in its temporary file.
func gatherAll(t *testing.T, found *Found, during func(layer int)) (temp []byte, err error) {
	t.Helper()
	var file *os.File
	err = found.Gather(t.Context(), func() (*os.File, error) {
		file, err = os.CreateTemp(t.TempDir(), "")
		return file, err
	}, func(layer int, _ *Stream) io.WriteCloser { during(layer); return nothing{io.Discard} })
	if file != nil {
		temp, _ = os.ReadFile(file.Name())
	}
	return temp, err
}

// TestGather has a cache that loses a blob: no byte comes from the network after Gather, nor in a
// run from the cache.
func TestGather(t *testing.T) {
	for _, gather := range []bool{true, false} {
		reg, base := registrytest.New(t), t.TempDir()
		want, _ := threeLayers(t, reg, "app", "1", 1)
		f, said := containerFinder(t, testContainer(t, reg.Host()+"/app:1"), base)
		if !gather {
			if _, _, err := layersOf(t.Context(), f); err != nil {
				t.Fatal(err)
			}
		}
		found, err := f.Find(t.Context(), image.Query{})
		if err != nil || found.Safe() == gather {
			t.Fatalf("%v, safe: %v", err, found.Safe())
		}
		if gather {
			if temp, err := gatherAll(t, found, func(int) {}); err != nil || temp != nil {
				t.Fatalf("%v, %d bytes", err, len(temp))
			}
		}
		if err := os.Remove(blobPath(base, registrytest.Digest(want[1]))); err != nil {
			t.Fatal(err)
		}
		reg.Forget()
		if _, err = readLayers(t.Context(), found); KindOf(err) != Unverified || len(reg.Asked("blobs")) > 0 {
			t.Errorf("%v, asked %q", err, reg.Asked(""))
		}
		found.Forget(err)
		if found, err = f.Next(t.Context(), found, err); err != nil || found.Cached || found.Safe() {
			t.Fatalf("%v\n%s", err, said)
		}
		if _, err := gatherAll(t, found, func(int) {}); err != nil {
			t.Error(err)
		}
		if layers, err := readLayers(t.Context(), found); err != nil || !same(layers, want) {
			t.Error(err)
		}
		found.Close()
	}
}

// TestGatherFull has a cache on a full disk: the layer goes on in the temporary file.
func TestGatherFull(t *testing.T) {
	reg, base := registrytest.New(t), t.TempDir()
	want, _ := threeLayers(t, reg, "app", "1", 1)
	f, said := containerFinder(t, testContainer(t, reg.Host()+"/app:1"), base)
	found, err := f.Find(t.Context(), image.Query{})
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	sent := make(chan bool)
	reg.Change = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, registrytest.Digest(want[1])) {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(want[1])))
		w.Write(want[1][:100_000])
		w.(http.Flusher).Flush()
		<-sent
		w.Write(want[1][100_000:])
		return true
	}
	temp, err := gatherAll(t, found, func(layer int) {
		if layer != 1 {
			return
		}
		a := found.pinned.at.ahead
		for a.layers[1].blob == nil {
			time.Sleep(time.Millisecond)
		}
		for a.inCache(1) {
			a.mu.Lock()
			if a.layers[1].written >= 96<<10 { // what is sent so far, in whole chunks
				a.layers[1].blob.File.Close()
				a.layers[1].blob.File, _ = os.Open(strings.Replace(blobPath(base, registrytest.Digest(want[1])), "sha256-", ".sha256-", 1) + ".part")
				a.mu.Unlock()
				break
			}
			a.mu.Unlock()
			time.Sleep(time.Millisecond)
		}
		close(sent)
	})
	reg.Forget()
	if err != nil || !bytes.Equal(temp, slices.Concat(want[1:]...)) {
		t.Fatalf("%v, %d bytes\n%s", err, len(temp), said)
	}
	if layers, err := readLayers(t.Context(), found); err != nil || !same(layers, want) || len(reg.Asked("")) > 0 {
		t.Errorf("%v, asked %q", err, reg.Asked(""))
	}
}

// TestCacheLimit keeps the cache below its limit, also after a run that downloads nothing.
func TestCacheLimit(t *testing.T) {
	reg, base := registrytest.New(t), t.TempDir()
	c := &cache.Cache{Base: base}
	read := func(tag string, limit int64) {
		t.Helper()
		f, said := containerFinder(t, testContainer(t, reg.Host()+"/app:"+tag), base)
		f.opt.Use.Limit = limit
		found, _, err := layersOf(t.Context(), f)
		if err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		found.Close()
		sum := int64(0)
		list, err := c.List()
		for i := range list {
			sum += list[i].Size
			if limit > 0 && (list[i].Blob != "" || list[i].Kept.Reference != testContainer(t, reg.Host()+"/app:"+tag).Reference.String()) {
				t.Errorf("%s is left", list[i].Label())
			}
		}
		if err != nil || limit > 0 && sum > limit {
			t.Errorf("%v, %d bytes of %d", err, sum, limit)
		}
	}
	for i := range 3 {
		threeLayers(t, reg, "app", fmt.Sprint(i), byte(i))
		read(fmt.Sprint(i), 400_000)
	}
	threeLayers(t, reg, "app", "3", 3)
	read("3", 0)
	threeLayers(t, reg, "app", "3", 4) // the tag moves: nobody needs the old blobs
	read("3", 400_000)
	read("2", 0)
	read("3", 400_000)
}

// TestRegistryLists has lists that don't end, and measures the memory of what is kept.
func TestRegistryLists(t *testing.T) {
	reg := registrytest.New(t)
	reg.AddImage("app", "1", registrytest.Image{Layers: [][]byte{{1}}})
	pages, items, artifact, loop := 0, 0, "", false
	reg.Change = func(w http.ResponseWriter, r *http.Request) bool {
		pages++
		if !loop {
			w.Header().Set("Link", fmt.Sprintf(`<%s?n=%d>; rel="next"`, r.URL.Path, pages))
		} else {
			w.Header().Set("Link", "<"+r.URL.Path+`>; rel="next"`)
		}
		var list []string
		for i := range items {
			if text := fmt.Sprintf("%d-%d", pages, i); strings.Contains(r.URL.Path, "/tags/") {
				list = append(list, `"`+text+strings.Repeat("x", 100)+`"`)
			} else {
				list = append(list, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":1,"artifactType":%q,"annotations":{"a":%q}}`, registrytest.ManifestType, registrytest.Digest([]byte(text)), artifact, strings.Repeat("x", 150)))
			}
		}
		if strings.Contains(r.URL.Path, "/tags/") {
			fmt.Fprintf(w, `{"tags":[%s]}`, strings.Join(list, ","))
		} else {
			fmt.Fprintf(w, `{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, registrytest.IndexType, strings.Join(list, ","))
		}
		return true
	}
	f, _ := containerFinder(t, testContainer(t, reg.Host()+"/app:1"), "")
	o, err := f.openImage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	digest := image.Digest(registrytest.Digest(nil))
	for _, test := range []struct {
		name     string
		items    int
		artifact string
		loop     bool
		pages    int
		want     int // entries
		says     string
	}{
		{"others", 9999, "application/x", false, maxReferrers, 0, "more than 4 pages"},
		{"signatures", 9999, image.SigstoreBundle, false, 1, maxSignatures, ""},
		{"a loop", 10, image.SigstoreBundle, true, 1, 10, "again"},
	} {
		pages, items, artifact, loop = 0, test.items, test.artifact, test.loop
		list, err := o.registry.referrers(t.Context(), digest)
		if len(list) != test.want || pages != test.pages || (err != nil) != (test.says != "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %d entries of %d pages: %v", test.name, len(list), pages, err)
		}
		if kept := keptBytes(&list); kept > 1<<20 {
			t.Errorf("%s: %d bytes stay", test.name, kept)
		}
	}
	pages, items, loop = 0, 30_000, false
	tags, err := f.Tags(t.Context())
	if err == nil || !strings.Contains(err.Error(), "100000 tags") || pages != 4 || len(tags) > maxTags {
		t.Errorf("%d tags of %d pages: %v", len(tags), pages, err)
	}
	pages, items, loop = 0, 3, true
	if _, err = f.Tags(t.Context()); err == nil || !strings.Contains(err.Error(), "again") || pages != 1 {
		t.Errorf("a loop: %d pages: %v", pages, err)
	}
}

// keptBytes returns how many bytes of memory are in use because of what p points to.
func keptBytes(p *[]image.Descriptor) int64 {
	var m runtime.MemStats
	use := func() int64 { runtime.GC(); runtime.GC(); runtime.ReadMemStats(&m); return int64(m.HeapAlloc) }
	with := use()
	runtime.KeepAlive(p)
	*p = nil
	return with - use()
}

// TestKeptTexts bounds the texts of signatures.
func TestKeptTexts(t *testing.T) {
	c := newCosignTest(t)
	s := newMemoryStore()
	r := &imageReader{store: s}
	for i := range 90 {
		text := []byte(fmt.Sprintf(`{"schemaVersion":2,"artifactType":%q,"config":{"mediaType":"x","digest":%q,"size":2},"layers":[],"annotations":{"a":%q,"b":%q}}`,
			image.SigstoreBundle, digestOf([]byte(fmt.Sprint(i))), strings.Repeat("x", 120_000), strings.Repeat("y", 120_000)))
		s.manifests[string(digestOf(text))] = text
		s.list[c.top] = append(s.list[c.top], image.Descriptor{MediaType: image.OCIManifest, Digest: digestOf(text), Size: int64(len(text)), ArtifactType: image.SigstoreBundle})
	}
	search := &cosignSearch{keys: c.finder.trust.keys, store: r, ref: new(image.Reference), left: maxSignatures}
	if by := search.find(t.Context(), c.top); by != "" || r.size > maxKeptBytes || len(r.texts) < 30 || search.left > 20 {
		t.Errorf("%q, %d bytes of %d texts, %d left", by, r.size, len(r.texts), search.left)
	}
}

// TestArchiveRepeats lists two large manifests 4,096 times, and many that are too much in all.
func TestArchiveRepeats(t *testing.T) {
	var o onDisk
	var all []string
	for i := range 2 {
		text := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":2},"layers":[],"annotations":{`, image.OCIManifest, image.OCIConfigType, digestOf(nil))
		for n := range 30 {
			text += fmt.Sprintf(`"%d":%q,`, n, strings.Repeat("y", 120_000))
		}
		all = append(all, o.blob(image.OCIManifest, text+fmt.Sprintf(`"n":"%d"}}`, i))+"}")
	}
	for i := range maxArchiveIndex - 2 {
		all = append(all, all[i%2])
	}
	o.index(all...)
	begin := time.Now()
	a, err := openArchive(t.Context(), o.directory(t), "", noSpool(t), untar.DecompressOptions{})
	if KindOf(err) != NotFound || !strings.Contains(err.Error(), "several") {
		t.Errorf("%v, %v", a, err)
	}
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	for i := range all {
		all[i] = strings.Replace(all[i], image.OCIManifest, fmt.Sprint("application/x", i), 1)
	}
	o.index(all...)
	if _, err = openArchive(t.Context(), o.directory(t), "", noSpool(t), untar.DecompressOptions{}); err == nil || !strings.Contains(err.Error(), "more than 64 MiB") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = openArchive(ctx, o.directory(t), "", noSpool(t), untar.DecompressOptions{}); err != context.Canceled {
		t.Error(err)
	}
}

// TestSecrets has a registry that repeats the password or the token in its errors, and token
// servers on other ports.
func TestSecrets(t *testing.T) {
	for _, echo := range []string{"s3cret", "YWxpY2U6czNjcmV0", "good1"} {
		reg := registrytest.New(t)
		threeLayers(t, reg, "app", "1", 1)
		reg.RequireToken("alice", "s3cret")
		reg.Change = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Authorization") == "" || r.URL.Path == "/token" {
				return false
			}
			reg.Fail(w, http.StatusForbidden, "DENIED", "you sent <"+echo+">")
			return true
		}
		c := testContainer(t, reg.Host()+"/app:1")
		c.Login = func(string, string) (string, string, error) { return "alice", "s3cret", nil }
		f, said := containerFinder(t, c, "")
		if _, _, err := layersOf(t.Context(), f); KindOf(err) != Login || strings.Contains(err.Error()+said.String(), echo) {
			t.Errorf("%v\n%s", err, said)
		}
	}
	for realm, want := range map[string]bool{"http://127.0.0.1:1/t": false, "http://localhost:5000/t": false, "http://127.0.0.1:5000/t": true, "https://auth.example/t": true} {
		u, err := url.Parse(realm)
		if err == nil {
			err = checkRealm(u, &base{url: "http://127.0.0.1:5000/v2/x"})
		}
		if err != nil {
			t.Error(err)
		}
		if got := mayLogIn(u, &base{url: "http://127.0.0.1:5000/v2/x"}); got != want {
			t.Errorf("%s: %v", realm, got)
		}
	}
}
