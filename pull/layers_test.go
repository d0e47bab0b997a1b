package pull

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/lxc"
	"lxc-pull/pull/source"
	"lxc-pull/untar"
)

// A layerServer is a registry with one image, "app:1", for linux/amd64.
type layerServer struct {
	*httptest.Server
	mu       sync.Mutex
	manifest []byte
	blobs    map[string][]byte
	asked    []string
}

// A testLayer is a layer as the registry has it.
type testLayer struct {
	packed []byte
	diffID string // "": that of packed
}

func digestOf(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }

// diffOf returns the digest of a layer that pack has made.
func diffOf(t *testing.T, packed []byte) string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	archive, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return digestOf(archive)
}

func serveLayers(t *testing.T, layers ...testLayer) *layerServer {
	t.Helper()
	s := &layerServer{blobs: map[string][]byte{}}
	var list, diffs []string
	add := func(kind string, data []byte) string {
		s.blobs[digestOf(data)] = data
		return fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.%s","digest":"%s","size":%d}`, kind, digestOf(data), len(data))
	}
	for _, l := range layers {
		diff := l.diffID
		if diff == "" {
			diff = diffOf(t, l.packed)
		}
		diffs = append(diffs, `"`+diff+`"`)
		list = append(list, add("layer.v1.tar+gzip", l.packed))
	}
	config := fmt.Sprintf(`{"os":"linux","architecture":"amd64","config":{"Cmd":["/bin/app"]},"rootfs":{"type":"layers","diff_ids":[%s]}}`, strings.Join(diffs, ","))
	s.manifest = fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":%s,"layers":[%s]}`, add("config.v1+json", []byte(config)), strings.Join(list, ","))
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked = append(s.asked, r.URL.Path)
		name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
		switch data := s.blobs[name]; {
		case name == "1" || name == digestOf(s.manifest):
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			w.Write(s.manifest)
		case data == nil:
			http.NotFound(w, r)
		default:
			w.Write(data)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// finder returns a Finder of the image, with what it says in said.
func (s *layerServer) finder(t *testing.T, base string, said *strings.Builder) *source.Finder {
	t.Helper()
	ref, err := image.ParseReference(strings.TrimPrefix(s.URL, "https://") + "/app:1")
	if err != nil {
		t.Fatal(err)
	}
	opt := testOptions(t, base)
	authority := filepath.Join(t.TempDir(), "ca.pem")
	writeFile(t, authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	if opt.Client, err = fetch.NewClient(fetch.Options{TLS: fetch.TLSOptions{CACerts: []string{authority}}, Limits: fetch.LimitOptions{Retries: -1}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { opt.Client.Close() })
	opt.Container = &source.Container{Reference: ref, Arch: "amd64", Platforms: []image.Platform{{OS: "linux", Arch: "amd64"}}}
	return source.Open(opt, into(said))
}

// rootfsTarget is the target of a root file system alone.
func rootfsTarget(dir string) Target {
	return Target{Container: lxc.Container{Name: "web", Path: dir, Rootfs: filepath.Join(dir, "root")}, RootfsOnly: true, Owner: Owner{UID: -1, GID: -1}}
}

// threeLayers are layers with whiteouts, replaced files and an empty layer.
func threeLayers(t *testing.T) []testLayer {
	return []testLayer{
		{packed: pack(t, testEntry{name: "etc/"}, testEntry{name: "etc/a", text: "1"}, testEntry{name: "etc/b", text: "1"}, testEntry{name: "old/"}, testEntry{name: "old/x", text: "1"}, testEntry{name: "was/"}, testEntry{name: "was/file", text: "1"})},
		{packed: pack(t)},
		{packed: pack(t, testEntry{name: "etc/.wh.a"}, testEntry{name: "etc/b", text: "2"}, testEntry{name: "old/"}, testEntry{name: "old/.wh..wh..opq"}, testEntry{name: "old/y", text: "2"}, testEntry{name: ".wh.was"}, testEntry{name: "was", target: "etc"})},
	}
}

const threeUnpacked = "etc drwxr-xr-x\netc/b -rw-r--r-- \"2\"\nold drwxr-xr-x\nold/y -rw-r--r-- \"2\"\nwas Lrwxrwxrwx -> etc\n"

// TestRunLayers unpacks the same image without a cache, into one, out of it, and verified first.
func TestRunLayers(t *testing.T) {
	syscall.Umask(0o022)
	s := serveLayers(t, threeLayers(t)...)
	base := t.TempDir()
	for _, c := range []struct {
		name, base string
		opt        Options
	}{
		{"no cache", "", Options{}}, {"to the cache", base, Options{}}, {"from the cache", base, Options{}},
		{"verified first from the cache", base, Options{VerifyFirst: true}},
		{"verified first", "", Options{VerifyFirst: true}}, {"verified first to the cache", t.TempDir(), Options{VerifyFirst: true}},
		{"little memory", "", Options{Memory: 20 << 20}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			var said strings.Builder
			c.opt.Tell = into(&said)
			reports := 0
			c.opt.Report = func(_ context.Context, r *untar.Report) error {
				reports++
				if r.Entries != 14 || r.Bytes != 6 {
					t.Errorf("report: %+v", r)
				}
				return nil
			}
			target := rootfsTarget(dir)
			if _, err := Run(t.Context(), s.finder(t, c.base, &said), image.Query{}, target, c.opt); err != nil {
				t.Fatalf("%v\n%s", err, &said)
			}
			got := below(t, target.Container.Rootfs)
			_, got, _ = strings.Cut(got, "\n")
			if !strings.Contains(withoutMade(got), threeUnpacked) || reports != 1 {
				t.Errorf("%d reports, made:\n%s", reports, got)
			}
		})
	}
}

// TestRunLayersFails removes the files of the layers before the one that is wrong.
func TestRunLayersFails(t *testing.T) {
	syscall.Umask(0o022)
	good := threeLayers(t)
	for _, c := range []struct {
		name string
		kind source.Kind
		says string
		make func() *layerServer
	}{
		{"diff_id", source.Unverified, "diff_id", func() *layerServer {
			return serveLayers(t, good[0], good[1], testLayer{good[2].packed, digestOf(nil)})
		}},
		{"wrong bytes", source.Unverified, "layer 3 of 3", func() *layerServer {
			s := serveLayers(t, good...)
			s.blobs[digestOf(good[2].packed)] = make([]byte, len(good[2].packed))
			return s
		}},
		{"no archive", 0, "layer 3 of 3", func() *layerServer {
			text := []byte("this is no tar archive, and long enough for a header of one" + strings.Repeat(".", 600))
			var z bytes.Buffer
			w := gzip.NewWriter(&z)
			w.Write(text)
			w.Close()
			return serveLayers(t, good[0], good[1], testLayer{packed: z.Bytes()})
		}},
		{"cut off", source.Unverified, "", func() *layerServer {
			s := serveLayers(t, good...)
			s.blobs[digestOf(good[2].packed)] = good[2].packed[:50]
			return s
		}},
	} {
		for i, base := range []string{"", t.TempDir(), "", t.TempDir()} {
			t.Run(fmt.Sprint(c.name, i), func(t *testing.T) {
				s := c.make()
				dir := t.TempDir()
				var said strings.Builder
				_, err := Run(t.Context(), s.finder(t, base, &said), image.Query{}, rootfsTarget(dir), Options{Tell: into(&said), VerifyFirst: i > 1})
				if err == nil || source.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
					t.Errorf("kind %d: %v\n%s", source.KindOf(err), err, &said)
				}
				if list := below(t, dir); strings.Count(list, "\n") != 1 {
					t.Errorf("left:\n%s", list)
				}
			})
		}
	}
}

// TestNoRoomForLayers counts all layers, and the file for the download.
func TestNoRoomForLayers(t *testing.T) {
	r := &run{staging: &staging{}, target: rootfsTarget(t.TempDir())}
	root, err := untar.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	r.staging.root = root
	room, err := root.Room()
	if err != nil || room.Bytes < 0 {
		t.Skip("the free room is not known")
	}
	layers := []source.Layer{{Packed: room.Bytes / 2, Content: -1}, {Packed: room.Bytes, Content: -1}}
	found := &source.Found{Layers: layers, Config: new(image.OCIConfig)}
	var e *Error
	if err := r.enoughRoom(found.Sum(), 0); !errors.As(err, &e) || e.Kind != NoRoom {
		t.Errorf("%v", err)
	}
	found.Layers = layers[:1]
	if err := r.enoughRoom(found.Sum(), 0); err != nil {
		t.Errorf("half of it: %v", err)
	}
	if err := r.enoughRoom(found.Sum(), room.Bytes/4*3); err == nil {
		t.Error("and as much for the download")
	}
}

// withoutMade removes what a run makes in every root file system from the output of below.
func withoutMade(list string) (out string) {
	for line := range strings.Lines(list) {
		if !strings.HasPrefix(line, "dev") && !strings.HasPrefix(line, "etc/host") && !strings.HasPrefix(line, "etc/resolv") {
			out += line
		}
	}
	return out
}

// TestMergeLayers puts an image beside a user's files: its whiteouts remove what its lower layers
// made, and nothing that was there.
func TestMergeLayers(t *testing.T) {
	syscall.Umask(0o022)
	s := serveLayers(t,
		testLayer{packed: pack(t, testEntry{name: "etc/"}, testEntry{name: "etc/a", text: "1"}, testEntry{name: "data", text: "a file"},
			testEntry{name: "etc/key", text: "secret"}, testEntry{name: "home/key", text: "secret"}, testEntry{name: "srv/key", text: "secret"}, testEntry{name: "etc/yours", text: "theirs"}, testEntry{name: "opt/d/x", text: "1"})},
		testLayer{packed: pack(t, testEntry{name: "etc/.wh.mine"}, testEntry{name: "home/"}, testEntry{name: "home/.wh..wh..opq"}, testEntry{name: ".wh.srv"}, testEntry{name: "etc/b", text: "2"},
			testEntry{name: "etc/.wh.key"}, testEntry{name: "etc/.wh.yours"}, testEntry{name: "opt/d", text: "2"})},
	)
	dir := t.TempDir()
	for _, name := range []string{"etc/mine", "home/alice", "srv/www", "data/base", "etc/yours"} {
		writeFile(t, filepath.Join(dir, "web/rootfs", name), []byte("mine"))
	}
	target := newContainer(t, dir)
	target.MakeDir, target.Caller = false, &Caller{parent: os.Getppid()}
	writeFile(t, filepath.Join(target.Container.Path, "config"), nil)
	var said strings.Builder
	if _, err := Run(t.Context(), s.finder(t, "", &said), image.Query{}, target, Options{Tell: into(&said)}); err != nil {
		t.Fatalf("%v\n%s", err, &said)
	}
	got := below(t, target.Container.Rootfs)
	if strings.Contains(got, "key") {
		t.Errorf("a file that layer 2 deletes is there:\n%s", got)
	}
	if !strings.Contains(said.String(), "2 files of the image were not written") || !strings.Contains(said.String(), `"etc/yours"`) {
		t.Errorf("no warning about what was left out:\n%s", &said)
	}
	for _, line := range []string{`etc/yours -rw-r--r-- "mine"`, `opt/d -rw-r--r-- "2"`, `etc/mine -rw-r--r-- "mine"`, `home/alice -rw-r--r-- "mine"`, `srv/www -rw-r--r-- "mine"`, `data/base -rw-r--r-- "mine"`, `etc/a -rw-r--r-- "1"`, `etc/b -rw-r--r-- "2"`} {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("%q is not there:\n%s\n%s", line, got, &said)
		}
	}
}
