package source

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lxc-pull/image"
	"lxc-pull/untar"

	"golang.org/x/sys/unix"
)

// An onDisk is an archive that a test builds: contents by name, in order.
type onDisk struct {
	names []string
	files map[string]string
}

func (o *onDisk) put(name, content string) {
	if o.files == nil {
		o.files = map[string]string{}
	}
	if _, ok := o.files[name]; !ok {
		o.names = append(o.names, name)
	}
	o.files[name] = content
}

// blob adds a blob and returns its descriptor's beginning, without the closing brace.
func (o *onDisk) blob(mediaType, content string) string {
	d := sumOf([]byte(content))
	o.put(blobName(d), content)
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d`, mediaType, d, len(content))
}

// image adds an image with the given layers, and returns its descriptor as blob does.
func (o *onDisk) image(config string, layers ...string) string {
	text := `{"schemaVersion":2,"mediaType":"` + image.OCIManifest + `","config":` + o.blob(image.OCIConfigType, config) + `},"layers":[`
	for i, l := range layers {
		if i > 0 {
			text += ","
		}
		text += o.blob("application/vnd.oci.image.layer.v1.tar", l) + "}"
	}
	return o.blob(image.OCIManifest, text+"]}")
}

// index adds oci-layout and index.json.
func (o *onDisk) index(descriptors ...string) {
	o.put(layoutFile, `{"imageLayoutVersion":"1.0.0"}`)
	o.put(indexFile, `{"schemaVersion":2,"manifests":[`+strings.Join(descriptors, ",")+`]}`)
}

// named ends a descriptor with the name of an image.
func named(descriptor, name string) string {
	return descriptor + `,"annotations":{"org.opencontainers.image.ref.name":"` + name + `"}}`
}

func (o *onDisk) directory(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range o.names {
		p := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(p), 0o755)
		if err == nil {
			err = os.WriteFile(p, []byte(o.files[name]), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (o *onDisk) tar() []byte {
	b := untar.AppendHeader(nil, "blobs/", 0)
	for _, name := range o.names {
		b = untar.AppendHeader(b, name, int64(len(o.files[name])))
		b = append(b, o.files[name]...)
		b = append(b, make([]byte, -len(o.files[name])&511)...)
	}
	return append(b, make([]byte, 1024)...)
}

func (o *onDisk) file(t *testing.T) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(p, o.tar(), 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

// spoolIn returns a function that makes a file in a directory, and counts the calls.
func spoolIn(t *testing.T, n *int) func() (*os.File, error) {
	return func() (*os.File, error) {
		*n++
		f, err := os.CreateTemp(t.TempDir(), "")
		if err == nil {
			t.Cleanup(func() { f.Close() })
		}
		return f, err
	}
}

// noSpool fails the test if a copy is made.
func noSpool(t *testing.T) func() (*os.File, error) {
	return func() (*os.File, error) {
		t.Error("a copy is made")
		return nil, errors.New("no copy")
	}
}

// content reads an image completely: its config, then its layers, checked as the package's users
// do.
func content(t *testing.T, a *archive, name string) (string, error) {
	t.Helper()
	ctx := context.Background()
	text, mediaType, err := a.get(ctx, "manifests/"+name, image.MaxManifest)
	if err != nil {
		return "", err
	}
	m, err := image.ParseManifest(text, mediaType)
	if err != nil {
		t.Fatalf("manifest %s: %v", text, err)
	}
	if m.Index {
		t.Fatalf("an index: %s", text)
	}
	var st store = a
	config, _, err := st.get(ctx, "blobs/"+string(m.Config.Digest), image.MaxConfig)
	if err != nil {
		return "", err
	}
	all := string(config)
	for i := range m.Layers {
		for _, offset := range []int64{0, m.Layers[i].Size / 2, m.Layers[i].Size} {
			r, err := st.open(ctx, &m.Layers[i], offset)
			if err != nil {
				return "", err
			}
			data, err := io.ReadAll(r)
			if e := r.Close(); err != nil || e != nil {
				return "", errors.Join(err, e)
			}
			if offset == 0 {
				if sumOf(data) != m.Layers[i].Digest {
					return "", &Error{Kind: Unverified, Err: errors.New("the reader of the layer sees another digest")}
				}
				all += "|" + string(data)
			} else if want := all[len(all)-len(data):]; int64(len(data)) != m.Layers[i].Size-offset || string(data) != want {
				t.Errorf("from %d: %q, want %q", offset, data, want)
			}
		}
		if _, err := st.open(ctx, &m.Layers[i], m.Layers[i].Size+1); err == nil {
			t.Error("an offset after the end is accepted")
		}
	}
	return all, nil
}

// TestArchiveForms reads one image in all forms.
func TestArchiveForms(t *testing.T) {
	var oci, docker, both onDisk
	const config = `{"architecture":"arm64","os":"linux"}`
	layers := []string{"layer 1", "layer two"}
	oci.index(named(oci.image(config, layers...), "1.2"))
	hex := strings.TrimPrefix(string(sumOf([]byte(config))), "sha256:")
	docker.put("aa/layer.tar", layers[0])
	docker.put("bb/layer.tar", layers[1])
	docker.put(hex+".json", config)
	docker.put(savedFile, `[{"Config":"`+hex+`.json","RepoTags":["nginx:1.2"],"Layers":["aa/layer.tar","bb/layer.tar"]}]`)
	d := both.image(config, layers...)
	both.index(named(d, "1.2"))
	both.put(savedFile, `[{"Config":"blobs/sha256/`+hex+`","RepoTags":["nginx:1.2"],"Layers":["`+blobName(sumOf([]byte(layers[0])))+`","`+blobName(sumOf([]byte(layers[1])))+`"]}]`)
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	w.Write(docker.tar())
	w.Close()
	gz := filepath.Join(t.TempDir(), "x.tar.gz")
	if err := os.WriteFile(gz, packed.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	const want = config + "|layer 1|layer two"
	for _, c := range []struct {
		name, path string
		names      []string
		copies     int
	}{
		{"layout", oci.directory(t), []string{"", "1.2"}, 0},
		{"oci-archive", oci.file(t), []string{"", "1.2"}, 0},
		{"docker-archive", docker.file(t), []string{"", "1.2", "nginx:1.2", "docker.io/library/nginx:1.2", hex, "sha256:" + hex}, 0},
		{"docker-archive with a layout", both.file(t), []string{"", "1.2", "nginx:1.2"}, 0},
		{"docker-archive, gzip", gz, []string{"", "nginx:1.2"}, 1},
	} {
		for _, name := range c.names {
			copies := 0
			a, err := openArchive(t.Context(), c.path, name, spoolIn(t, &copies), untar.DecompressOptions{})
			if err != nil {
				t.Errorf("%s, %q: %v", c.name, name, err)
				continue
			}
			if copies != c.copies {
				t.Errorf("%s: %d copies", c.name, copies)
			}
			for _, again := range []string{"", name} {
				if isDigest(again) { // of the config
					continue
				}
				if got, err := content(t, a, again); err != nil || got != want {
					t.Errorf("%s, %q: %q, %v", c.name, name, got, err)
				}
			}
			text, _, _ := a.get(t.Context(), "manifests/", image.MaxManifest)
			if same, _, err := a.get(t.Context(), "manifests/"+string(sumOf(text)), image.MaxManifest); err != nil || !bytes.Equal(text, same) {
				t.Errorf("%s: by its digest the manifest is %q, %v", c.name, same, err)
			}
			if list, err := a.referrers(t.Context(), sumOf(text)); len(list) != 0 || err != nil {
				t.Errorf("%s: referrers %v, %v", c.name, list, err)
			}
			a.close()
		}
		_, err := openArchive(t.Context(), c.path, "other", spoolIn(t, new(int)), untar.DecompressOptions{})
		if KindOf(err) != NotFound || !strings.Contains(err.Error(), "1.2") {
			t.Errorf("%s, another name: %v", c.name, err)
		}
	}
}

// openArchive opens an archive as a Finder does.
func openArchive(ctx context.Context, path, name string, spool func() (*os.File, error), decoding untar.DecompressOptions) (*archive, error) {
	f := new(Finder)
	f.Provide(0, spool)
	f.opt.Decoding = decoding
	return f.openArchive(ctx, path, name)
}

// TestArchiveFromStdin reads archives from standard input: a pipe, a file, and the rest of a file.
func TestArchiveFromStdin(t *testing.T) {
	var o onDisk
	o.index(o.image("{}", "layer") + "}")
	read := func(what string, stdin *os.File, copies int) {
		n := 0
		f := new(Finder)
		f.Provide(0, spoolIn(t, &n))
		f.opt.Stdin = stdin
		a, err := f.openArchive(t.Context(), "-", "")
		if err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		got, err := content(t, a, "")
		if a.close(); got != "{}|layer" || err != nil || n != copies {
			t.Errorf("%s: %q, %d copies, %v", what, got, n, err)
		}
		if _, err := stdin.Stat(); err != nil {
			t.Errorf("%s: standard input is closed: %v", what, err)
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go func(w *os.File) {
		w.Write(o.tar())
		w.Close()
	}(w)
	read("a pipe", r, 1)
	r.Close()
	f, err := os.Create(filepath.Join(t.TempDir(), "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.WriteString("before")
	f.Write(o.tar())
	f.Seek(6, io.SeekStart)
	read("the rest of a file", f, 0)

	// A pipe that gets no bytes does not block a run that is ended.
	r, w, err = os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	finder := new(Finder)
	finder.Provide(0, noSpool(t))
	finder.opt.Stdin = r
	if _, err := finder.openArchive(ctx, "-", ""); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended run: %v", err)
	}
}

// TestArchiveNames checks which image of several a name means.
func TestArchiveNames(t *testing.T) {
	var o, docker, platforms, signed onDisk
	o.index(named(o.image("a"), "docker.io/library/a:1"), named(o.image("b"), "b"), o.image("c")+"}")
	hex := func(s string) string { return strings.TrimPrefix(string(sumOf([]byte(s))), "sha256:") }
	docker.put("a.json", "a")
	docker.put(hex("b")+".json", "b")
	docker.put(savedFile, `[{"Config":"a.json","RepoTags":["a:latest","x.org/y/a:2"],"Layers":null},{"Config":"`+hex("b")+`.json","RepoTags":null,"Layers":[]}]`)
	on := func(d, arch string) string {
		return d + `,"platform":{"os":"linux","architecture":"` + arch + `"}}`
	}
	platforms.index(on(platforms.image("arm"), "arm64"), on(platforms.image("amd"), "amd64"))
	img := signed.image("s")
	digest := strings.Split(img, `"`)[7]
	sig := signed.blob(image.OCIManifest, `{"schemaVersion":2,"config":`+signed.blob(image.OCIConfigType, "{}")+`},"layers":[`+signed.blob(image.SimpleSigning, "payload")+`}]}`)
	bundle := signed.blob(image.OCIManifest, `{"schemaVersion":2,"artifactType":"application/vnd.dev.sigstore.bundle.v0.3+json","config":`+signed.blob("application/vnd.oci.empty.v1+json", "{}")+`},"layers":[],"subject":`+img+`}}`)
	tagged := signed.blob(image.OCIIndex, `{"schemaVersion":2,"manifests":[`+signed.image("referrer by tag")+`}]}`)
	signed.index(img+"}", sig+"}", bundle+"}", named(tagged, strings.Replace(digest, ":", "-", 1)))
	for _, c := range []struct{ what, path, name, want string }{
		{"oci", o.directory(t), "a:1", "a"},
		{"oci", o.directory(t), "docker.io/a:1", "a"},
		{"oci", o.directory(t), "1", "a"},
		{"oci", o.directory(t), "b", "b"},
		{"oci", o.directory(t), "b:latest", "b"},
		{"oci", o.directory(t), "latest", "b"},
		{"oci", o.directory(t), "a", ""},
		{"oci", o.directory(t), "", ""},
		{"oci", o.directory(t), "x/b", ""},
		{"docker", docker.file(t), "a", "a"},
		{"docker", docker.file(t), "x.org/y/a:2", "a"},
		{"docker", docker.file(t), "2", "a"},
		{"docker", docker.file(t), hex("b"), "b"},
		{"docker", docker.file(t), "", ""},
		{"docker", docker.file(t), "sha256:" + hex("c"), ""},
		{"signed", signed.directory(t), "", "s"},
	} {
		a, err := openArchive(t.Context(), c.path, c.name, noSpool(t), untar.DecompressOptions{})
		if c.want == "" {
			if KindOf(err) != NotFound {
				t.Errorf("%s, %q: %v", c.what, c.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s, %q: %v", c.what, c.name, err)
			continue
		}
		if got, err := content(t, a, ""); got != c.want || err != nil {
			t.Errorf("%s, %q: %q, %v", c.what, c.name, got, err)
		}
		a.close()
	}
	// A layout whose images are for several platforms is an index itself.
	a, err := openArchive(t.Context(), platforms.file(t), "", noSpool(t), untar.DecompressOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	text, mediaType, err := a.get(t.Context(), "manifests/", image.MaxManifest)
	if err != nil || string(text) != platforms.files[indexFile] || mediaType != image.OCIIndex {
		t.Errorf("platforms: %s, %q, %v", text, mediaType, err)
	}
	// The signatures beside an image.
	if a, err = openArchive(t.Context(), signed.directory(t), "", noSpool(t), untar.DecompressOptions{}); err != nil {
		t.Fatal(err)
	}
	defer a.close()
	list, err := a.referrers(t.Context(), image.Digest(digest))
	if err != nil || len(list) != 2 || list[0].ArtifactType != "application/vnd.dev.sigstore.bundle.v0.3+json" {
		t.Errorf("referrers: %+v, %v", list, err)
	}
	text, _, err = a.get(t.Context(), "manifests/"+strings.Replace(digest, ":", "-", 1)+".sig", image.MaxManifest)
	if err != nil || !strings.Contains(sig, string(sumOf(text))) {
		t.Errorf("signatures: %s, %v", text, err)
	}
	if _, _, err = a.get(t.Context(), "manifests/sha256-1", image.MaxManifest); KindOf(err) != NotFound {
		t.Errorf("no such tag: %v", err)
	}
}

// TestArchiveList checks that the list of names in an error is bounded and escaped.
func TestArchiveList(t *testing.T) {
	var o onDisk
	var all []string
	for i := range 1000 {
		all = append(all, named(o.image(fmt.Sprint(i)), fmt.Sprintf("\\u0001name%d", i)))
	}
	o.index(all...)
	_, err := openArchive(t.Context(), o.file(t), "", noSpool(t), untar.DecompressOptions{})
	if KindOf(err) != NotFound || !strings.Contains(err.Error(), `"\x01name9" (1000 in all)`) || len(err.Error()) > 500 || strings.Contains(err.Error(), "\x01") {
		t.Errorf("%v", err)
	}
}

// TestArchiveRefuses checks archives that are wrong in one thing each.
func TestArchiveRefuses(t *testing.T) {
	const config = `{"architecture":"arm64"}`
	manifest := blobName("sha256:" + image.Digest(strings.Repeat("0", 64))) // the image's is put in its place
	for _, c := range []struct {
		what  string
		spoil func(o *onDisk)
		kind  Kind
		text  string // a part of the error
	}{
		{"manifest with another digest", func(o *onDisk) { o.put(manifest, o.files[manifest]+" ") }, Unverified, "digest"},
		{"config with another digest", func(o *onDisk) { o.put(blobName(sumOf([]byte(config))), `{"architecture":"armel"}`) }, Unverified, "digest"},
		{"config of another size", func(o *onDisk) { o.put(blobName(sumOf([]byte(config))), ``) }, Unverified, "digest"},
		{"layer of another size", func(o *onDisk) { o.put(blobName(sumOf([]byte("layer"))), "longer layer") }, Unverified, "12 bytes, and 5"},
		{"layer with another digest", func(o *onDisk) { o.put(blobName(sumOf([]byte("layer"))), "reyal") }, Unverified, "digest"},
		{"no layer", func(o *onDisk) { o.drop(blobName(sumOf([]byte("layer")))) }, NotFound, "no such file"},
		{"no manifest", func(o *onDisk) { o.drop(manifest) }, NotFound, "no such file"},
		{"no index", func(o *onDisk) { o.drop(indexFile) }, NotFound, "index.json"},
		{"no oci-layout", func(o *onDisk) { o.drop(layoutFile) }, -1, "oci-layout"},
		{"another version", func(o *onDisk) { o.put(layoutFile, `{"imageLayoutVersion":"2.0.0"}`) }, Unusable, "version"},
		{"index that is no JSON", func(o *onDisk) { o.put(indexFile, `<html>`) }, Unusable, "index.json"},
		{"index that is a manifest", func(o *onDisk) { o.put(indexFile, o.files[manifest]) }, Unusable, "index.json"},
		{"large index", func(o *onDisk) { o.put(indexFile, strings.Repeat(" ", image.MaxManifest+1)) }, 0, "allowed"},
		{"index of nothing", func(o *onDisk) { o.index() }, NotFound, "no image"},
	} {
		for _, form := range []string{"layout", "tar"} {
			var o onDisk
			d := o.image(config, "layer")
			manifest = blobName(image.Digest(strings.Split(d, `"`)[7]))
			o.index(d + "}")
			c.spoil(&o)
			path := ""
			if form == "tar" {
				path = o.file(t)
			} else {
				path = o.directory(t)
			}
			a, err := openArchive(t.Context(), path, "", noSpool(t), untar.DecompressOptions{})
			if err == nil {
				_, err = content(t, a, "")
				a.close()
			}
			if err == nil || c.kind >= 0 && KindOf(err) != c.kind || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s, %s: kind %d, %v", form, c.what, KindOf(err), err)
			}
		}
	}
}

// drop removes a file.
func (o *onDisk) drop(name string) {
	delete(o.files, name)
	o.names = slices.DeleteFunc(o.names, func(s string) bool { return s == name })
}

func TestSavedRefuses(t *testing.T) {
	config := strings.TrimPrefix(string(sumOf([]byte("{}"))), "sha256:") + ".json"
	layers := `"l"` + strings.Repeat(`,"l"`, image.MaxLayers)
	for _, c := range []struct {
		what, saved string
		kind        Kind
		text        string
	}{
		{"no JSON", `no`, Unusable, savedFile},
		{"no layer", `[{"Config":"` + config + `","Layers":["other"]}]`, NotFound, `"other"`},
		{"no config", `[{"Config":"other.json","Layers":["l"]}]`, NotFound, `"other.json"`},
		{"config with another digest", `[{"Config":"` + strings.Repeat("0", 64) + `.json","Layers":["l"]}]`, Unverified, "digest"},
		{"layer that is a blob of another digest", `[{"Config":"` + config + `","Layers":["blobs/sha256/` + strings.Repeat("1", 64) + `"]}]`, Unverified, "digest"},
		{"a name outside", `[{"Config":"../` + config + `","Layers":["l"]}]`, Unusable, savedFile},
		{"too many layers", `[{"Config":"` + config + `","Layers":[` + layers + `]}]`, Unusable, ""},
		{"no image", `[]`, NotFound, "no image"},
	} {
		var o onDisk
		o.put("l", "layer")
		o.put(config, "{}")
		o.put(strings.Repeat("0", 64)+".json", "{}")
		o.put("blobs/sha256/"+strings.Repeat("1", 64), "layer")
		o.put(savedFile, c.saved)
		a, err := openArchive(t.Context(), o.file(t), "", noSpool(t), untar.DecompressOptions{})
		if err == nil {
			_, err = content(t, a, "")
			a.close()
		}
		if err == nil || KindOf(err) != c.kind || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: kind %d, %v", c.what, KindOf(err), err)
		}
	}
}

// TestArchivePaths checks what else may be at the path, and links in a layout.
func TestArchivePaths(t *testing.T) {
	dir := t.TempDir()
	open := func(path string) error {
		a, err := openArchive(t.Context(), path, "", noSpool(t), untar.DecompressOptions{})
		if err == nil {
			_, err = content(t, a, "")
			a.close()
		}
		return err
	}
	fifo, text := filepath.Join(dir, "fifo"), filepath.Join(dir, "text")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(text, []byte("no archive"), 0o600); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "other.tar")
	if err := os.WriteFile(other, append(untar.AppendHeader(nil, "etc/passwd", 0), make([]byte, 1024)...), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, text string }{
		{fifo, "regular file"}, {"/dev/null", "regular file"}, {dir, "not an OCI layout"}, {filepath.Join(dir, "no"), "no such file"}, {text, "not a tar archive"}, {other, "neither"},
	} {
		if err := open(c.path); err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", c.path, err)
		}
	}
	var bad *untar.FormatError
	if err := open(text); !errors.As(err, &bad) {
		t.Errorf("no archive: %v", err)
	}
	var o onDisk
	o.index(o.image("{}", "layer") + "}")
	for _, name := range []string{"blobs", "blobs/sha256", blobName(sumOf([]byte("layer"))), indexFile} {
		layout := o.directory(t)
		path := filepath.Join(layout, name)
		moved := filepath.Join(layout, "moved")
		err := os.Rename(path, moved)
		if err == nil {
			err = os.Symlink(moved, path)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := open(layout); err == nil {
			t.Errorf("%s is a link, and is followed", name)
		}
	}
}

// TestArchiveCopyFails checks the error of a full disk.
func TestArchiveCopyFails(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("/dev/full, the disk that is full, is missing: %v", err)
	}
	defer full.Close()
	var o onDisk
	o.index(o.image("{}", "layer") + "}")
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	w.Write(o.tar())
	w.Close()
	path := filepath.Join(t.TempDir(), "x.tar.gz")
	if err := os.WriteFile(path, packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = openArchive(t.Context(), path, "", func() (*os.File, error) { return full, nil }, untar.DecompressOptions{})
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "room") {
		t.Errorf("a full disk: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := openArchive(ctx, path, "", noSpool(t), untar.DecompressOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended run: %v", err)
	}
	path = filepath.Join(t.TempDir(), "cut.tar.gz")
	if err := os.WriteFile(path, packed.Bytes()[:packed.Len()-20], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openArchive(t.Context(), path, "", spoolIn(t, new(int)), untar.DecompressOptions{}); err == nil {
		t.Error("a compressed archive that is cut off is accepted")
	}
}
