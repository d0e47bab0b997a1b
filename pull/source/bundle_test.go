package source

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lxc-pull/image"
	"lxc-pull/image/cache"
	"lxc-pull/lxc"
	"lxc-pull/pgp"
	"lxc-pull/pull/source/registrytest"
	"lxc-pull/untar"
)

// exported is what Export writes.
func exported(t *testing.T, f *Finder, q image.Query) []byte {
	t.Helper()
	f.Provide(0, spoolIn(t, new(int)))
	var b bytes.Buffer
	if err := f.Export(t.Context(), q, time.Time{}, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// bundleFinder is a Finder of a bundle. It has no client and no servers: a request would end the
// test.
func bundleFinder(t testing.TB, path string, keys *pgp.Keyring) (*Finder, *strings.Builder) {
	said := new(strings.Builder)
	return Open(Options{Wanted: Wanted{Bundle: path}, Keys: keys, Clock: NewClock(time.Time{}, time.Now()), Mode: lxc.System}, heard(said)), said
}

// unbundle finds the image of a bundle and reads its layers.
func unbundle(ctx context.Context, f *Finder) (*Found, [][]byte, error) {
	found, err := f.Find(ctx, image.Query{})
	if err != nil {
		return nil, nil, err
	}
	defer found.Close()
	found.Accept()
	layers, err := readLayers(ctx, found)
	if err == nil {
		found.Keep()
		found.Remember(ctx)
		return found, layers, nil
	}
	found.Forget(err)
	if _, next := f.Next(ctx, found, err); next == nil {
		err = fmt.Errorf("Next knows another source after %w", err)
	}
	return nil, nil, err
}

func writeBundle(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.bundle")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const testBuild = "20260829_05:24"

// indexBundle is a bundle of an image of an index, the keys that signed it, and its root file
// system.
func indexBundle(t *testing.T, expiry time.Time) ([]byte, *pgp.Keyring, string) {
	t.Helper()
	s := newTestServer(t)
	s.publish(testBuild, expiry)
	opt := serverOptions(t, t.TempDir(), s.URL)
	return exported(t, Open(opt, heard(new(strings.Builder))), testQuery()), opt.Keys, "rootfs " + testBuild
}

func TestBundleOfIndex(t *testing.T) {
	s := newTestServer(t)
	s.publish(testBuild, time.Now().Add(time.Hour))
	base := t.TempDir()
	opt := serverOptions(t, base, s.URL)
	first := exported(t, Open(opt, heard(new(strings.Builder))), testQuery())
	s.forget()
	if again := exported(t, Open(opt, heard(new(strings.Builder))), testQuery()); !bytes.Equal(again, first) || len(s.requests) > 0 {
		t.Errorf("from the cache it is another one, or the server was asked: %q", s.requests)
	}
	opt.Cache = nil
	if again := exported(t, Open(opt, heard(new(strings.Builder))), testQuery()); !bytes.Equal(again, first) {
		t.Error("without a cache it is another one")
	}
	path := writeBundle(t, first)
	f, said := bundleFinder(t, path, opt.Keys)
	history := &cache.Cache{Base: t.TempDir()}
	f.opt.Histories = []*cache.Cache{history}
	found, layers, err := unbundle(t.Context(), f)
	if err != nil || string(bytes.Join(layers, nil)) != "rootfs "+testBuild || string(found.Meta["config"]) != testBuild {
		t.Fatalf("%v: %q\n%s", err, layers, said)
	}
	var origin Origin
	found.Origin(&origin)
	if found.Image.Name.String() != "d/r/a/v" || found.Image.Build != testBuild || found.Cached || !found.Vouched() || origin.Server != "file:" || len(origin.Signers) != 1 || origin.Meta == "" {
		t.Errorf("%+v, %+v", found.Image, origin)
	}
	if seen, err := history.LoadSeen(); err != nil || len(seen) != 1 || seen[0].Build != testBuild {
		t.Errorf("remembered: %v, %v", seen, err)
	}
	if !strings.Contains(said.String(), `build "20260829_05:24" of d/r/a/v, from a bundle`) {
		t.Errorf("said %s", said)
	}

	// The whole stream is verified before it is used, the list has the path, and another
	// architecture is refused.
	found, err = f.Find(t.Context(), image.Query{Arch: []string{"a"}})
	if err != nil {
		t.Fatal(err)
	}
	if sure := found.Measure(t.Context(), true); !sure || found.Layers[0].Packed != int64(len("rootfs "+testBuild)) || !found.Safe() || found.WillKeep() {
		t.Errorf("measured %+v", found.Layers[0])
	}
	if list := found.FileList(); strings.Count(list, " "+path+"\n") != 6 || found.URL() != path || found.Arriving() != "Reading the rootfs" {
		t.Errorf("the files are %s", list)
	}
	stream, err := found.Open(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := stream.Complete(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(whole); err != nil || whole.Check() != nil || string(data) != "rootfs "+testBuild {
		t.Errorf("complete: %q, %v", data, err)
	}
	found.Close()
	if _, err := f.Find(t.Context(), image.Query{Arch: []string{"other"}}); KindOf(err) != NotFound {
		t.Errorf("another architecture: %v", err)
	}
}

func TestBundleRefused(t *testing.T) {
	data, keys, rootfs := indexBundle(t, time.Now().Add(time.Hour))
	path := writeBundle(t, data)
	f, _ := bundleFinder(t, path, newTestSigner(t).keyring())
	if _, _, err := unbundle(t.Context(), f); KindOf(err) != Unverified {
		t.Errorf("by another key: %v", err)
	}

	// A newer build was seen.
	history := &cache.Cache{Base: t.TempDir()}
	s := newTestServer(t)
	s.publish("20260901_05:24", time.Now().Add(time.Hour))
	opt := serverOptions(t, history.Base, s.URL)
	newer := Open(opt, heard(new(strings.Builder)))
	found, err := newer.Find(t.Context(), testQuery())
	if err != nil {
		t.Fatal(err)
	}
	found.Remember(t.Context())
	found.Close()
	f, _ = bundleFinder(t, path, keys)
	f.opt.Histories = []*cache.Cache{history}
	if _, _, err := unbundle(t.Context(), f); KindOf(err) != Replayed || !strings.Contains(err.Error(), "the bundle has build") {
		t.Errorf("an older build: %v", err)
	}
	f.opt.AllowOlder = true
	if _, _, err := unbundle(t.Context(), f); err != nil {
		t.Errorf("an older build with --allow-older: %v", err)
	}

	// The image has expired, or will have when it is needed.
	f, _ = bundleFinder(t, path, keys)
	f.opt.Clock = NewClock(time.Now().Add(2*time.Hour), time.Now())
	f.trust.clock = f.opt.Clock
	if _, _, err := unbundle(t.Context(), f); KindOf(err) != Replayed {
		t.Errorf("an expired image: %v", err)
	}
	f.opt.AllowOlder = true
	if _, layers, err := unbundle(t.Context(), f); err != nil || string(layers[0]) != rootfs {
		t.Errorf("an expired image with --allow-older: %v", err)
	}
	for hours, ok := range map[int]bool{0: true, 2: false} {
		again := Open(opt, heard(new(strings.Builder)))
		again.Provide(0, spoolIn(t, new(int)))
		var b bytes.Buffer
		err := again.Export(t.Context(), testQuery(), time.Now().Add(time.Duration(hours)*time.Hour), &b)
		if (err == nil) != ok || !ok && (KindOf(err) != Replayed || b.Len() > 0) {
			t.Errorf("until %d hours from now: %v, %d bytes", hours, err, b.Len())
		}
	}
}

// TestBundleUnsigned exports without signatures. Only who wants none takes such a bundle.
func TestBundleUnsigned(t *testing.T) {
	s := newTestServer(t)
	s.publish(testBuild, time.Now().Add(time.Hour))
	opt := serverOptions(t, t.TempDir(), s.URL)
	keys := opt.Keys
	opt.Keys, opt.Cache = nil, nil
	path := writeBundle(t, exported(t, Open(opt, heard(new(strings.Builder))), testQuery()))
	f, _ := bundleFinder(t, path, keys)
	if _, _, err := unbundle(t.Context(), f); KindOf(err) != Unverified || !strings.Contains(err.Error(), "--no-validate") {
		t.Errorf("with keys: %v", err)
	}
	f, _ = bundleFinder(t, path, nil)
	if _, layers, err := unbundle(t.Context(), f); err != nil || string(layers[0]) != "rootfs "+testBuild {
		t.Errorf("without keys: %v", err)
	}
}

// TestExportAgain gets wrong bytes of one server, and the image of the next. Nothing of the wrong
// bytes is written.
func TestExportAgain(t *testing.T) {
	bad, good := newTestServer(t), newTestServer(t)
	for _, s := range []*testServer{bad, good} {
		s.publish(testBuild, time.Now().Add(time.Hour))
	}
	if err := os.WriteFile(filepath.Join(bad.dir, "images", testBuild, image.RootfsFile), []byte("wrong "+testBuild), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, noCache := range []bool{false, true} {
		opt := serverOptions(t, t.TempDir(), bad.URL, good.URL)
		if noCache {
			opt.Cache = nil
		}
		data := exported(t, Open(opt, heard(new(strings.Builder))), testQuery())
		f, _ := bundleFinder(t, writeBundle(t, data), opt.Keys)
		if _, layers, err := unbundle(t.Context(), f); err != nil || string(layers[0]) != "rootfs "+testBuild {
			t.Errorf("no cache %v: %v", noCache, err)
		}
	}
	opt := serverOptions(t, t.TempDir(), bad.URL)
	f := Open(opt, heard(new(strings.Builder)))
	f.Provide(0, spoolIn(t, new(int)))
	var b bytes.Buffer
	if err := f.Export(t.Context(), testQuery(), time.Time{}, &b); KindOf(err) != Unverified || b.Len() > 0 {
		t.Errorf("the wrong server alone: %v, %d bytes", err, b.Len())
	}
}

// members returns the members of a bundle, each with its header and padding.
func members(t *testing.T, data []byte) (list [][]byte) {
	t.Helper()
	in := bytes.NewReader(data)
	r := tar.NewReader(in)
	for at := 0; ; {
		h, err := r.Next()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		end := at + tarBlock + int(h.Size+tarBlock-1)/tarBlock*tarBlock
		list = append(list, data[at:end])
		at = end
	}
}

func joined(list ...[]byte) []byte {
	return append(bytes.Join(list, nil), make([]byte, 2*tarBlock)...)
}

// TestBundleTampered changes, removes and doubles each member of bundles.
func TestBundleTampered(t *testing.T) {
	indexed, keys, _ := indexBundle(t, time.Now().Add(time.Hour))
	contained, pem := containerBundle(t)
	for kind, c := range map[string]struct {
		data []byte
		keys *pgp.Keyring
	}{"index": {indexed, keys}, "container": {contained, pem}} {
		_, want, err := tryBundle(t, c.data, c.keys)
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		list := members(t, c.data)
		if !bytes.Equal(joined(list...), c.data) {
			t.Fatalf("%s: archive/tar reads other members", kind)
		}
		refuse := func(what string, data []byte) {
			t.Helper()
			if _, _, err := tryBundle(t, data, c.keys); err == nil {
				t.Errorf("%s: %s: accepted", kind, what)
			}
		}
		replaced := func(i int, with ...[]byte) []byte {
			return joined(append(append(append([][]byte{}, list[:i]...), with...), list[i+1:]...)...)
		}
		for i, m := range list {
			name, _, _ := strings.Cut(string(m[:100]), "\x00")
			if directory := strings.HasSuffix(name, "/"); !directory {
				refuse(name+" twice", replaced(i, m, m))
				size := bytes.IndexByte(m[tarBlock:], 0)
				changed := append([]byte{}, m...)
				changed[tarBlock+max(size, 1)/2] ^= 1
				// The label of the image, and signatures of which others are enough, may change.
				_, layers, err := tryBundle(t, replaced(i, changed), c.keys)
				if err == nil && (kind == "index" || !same(layers, want)) {
					t.Errorf("%s: %s changed: accepted", kind, name)
				}
				_, layers, err = tryBundle(t, replaced(i), c.keys)
				if err == nil && (kind == "index" || !strings.HasPrefix(name, blobsDir) || !same(layers, want)) {
					t.Errorf("%s: without %s: accepted", kind, name)
				}
			}
			refuse(name+" cut", c.data[:len(joined(list[:i]...))])
			for at := offMode; at < tarBlock; at++ {
				changed := append([]byte{}, m...)
				changed[at] ^= 1
				other := replaced(i, changed)
				a := &archive{tar: bytes.NewReader(other)}
				if err := a.listBundle(t.Context(), int64(len(other))); err == nil {
					t.Errorf("%s: %s with another byte %d of its header: accepted", kind, name, at)
				}
			}
			link := append([]byte{}, m...)
			copy(link, tarHeader(t, &tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}))
			refuse(name+" as a link", replaced(i, link))
		}
		first, last := list[0], list[len(list)-1]
		for what, data := range map[string][]byte{
			"nothing":                    nil,
			"an empty archive":           joined(),
			"the first member alone":     joined(first),
			"the first member last":      joined(append(append([][]byte{}, list[1:]...), first)...),
			"without the first member":   joined(list[1:]...),
			"a member after the end":     append(append([]byte{}, c.data...), last...),
			"zeros after the end":        append(append([]byte{}, c.data...), make([]byte, tarBlock)...),
			"one block at the end":       c.data[:len(c.data)-tarBlock],
			"no end":                     c.data[:len(c.data)-2*tarBlock],
			"a bit in the end":           append(append([]byte{}, c.data[:len(c.data)-1]...), 1),
			"a name with ..":             joined(append(append([][]byte{}, list...), appendFile(nil, "../x", []byte("x")))...),
			"an absolute name":           joined(append(append([][]byte{}, list...), appendFile(nil, "/etc/x", []byte("x")))...),
			"a file that is not its own": joined(append(append([][]byte{}, list...), appendFile(nil, "x", []byte("x")))...),
			"a device":                   joined(append(append([][]byte{}, list...), tarHeader(t, &tar.Header{Name: "x", Typeflag: tar.TypeChar}))...),
			"a directory":                joined(append(append([][]byte{}, list...), tarHeader(t, &tar.Header{Name: "x/", Typeflag: tar.TypeDir}))...),
			"a file of 8 EiB":            joined(append(append([][]byte{}, list...), untar.AppendHeader(nil, "x", 1<<63-1))...),
			"a file of 1 TiB":            joined(append(append([][]byte{}, list...), untar.AppendHeader(nil, "x", 1<<40))...),
			"another version":            bytes.Replace(c.data, []byte(bundleBegin), []byte(bundleFile+" 2 "), 1),
			"another kind":               bytes.Replace(c.data, []byte(bundleBegin), []byte(bundleFile+" 1 x"), 1),
		} {
			refuse(what, data)
		}
		many := append([]byte{}, first...)
		for i := range maxBundleFiles {
			many = appendFile(many, fmt.Sprint("blobs/sha256/", i), nil)
		}
		refuse("too many members", joined(many))
	}
}

const offMode = 100

// tarHeader returns a header of archive/tar.
func tarHeader(t *testing.T, h *tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := tar.NewWriter(&b).WriteHeader(h); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()[:tarBlock]
}

// tryBundle finds the image of a bundle and reads its layers.
func tryBundle(t testing.TB, data []byte, keys *pgp.Keyring) (*Found, [][]byte, error) {
	f, _ := bundleFinder(t, writeBundle(t, data), keys)
	return unbundle(t.Context(), f)
}

// containerBundle is a bundle of a container image of three layers, one of them twice, and the
// key that signed its index in both storages.
func containerBundle(t *testing.T) ([]byte, *pgp.Keyring) {
	t.Helper()
	reg, key := registrytest.New(t), newTestSigner(t)
	_, digest := threeLayers(t, reg, "app", "1", 3)
	top := reg.AddIndex("app", "1", "linux/amd64 "+digest, "linux/arm64 "+reg.AddImage("app", "", registrytest.Image{Layers: [][]byte{{1}}, Platform: "linux/arm64"}))
	key.signTag(reg, "app", top)
	key.signBundle(reg, "app", digest)
	f, _ := containerFinder(t, testContainer(t, reg.Host()+"/app:1"), "")
	return exported(t, f, image.Query{}), key.keyring()
}

func TestBundleOfContainer(t *testing.T) {
	key, stranger := newTestSigner(t), newTestSigner(t)
	for _, c := range []struct {
		name              string
		index, tag, cosig bool // an index leads to it; the storage of its signatures
	}{
		{"unsigned", false, false, false},
		{"signed at the tag", false, true, false},
		{"signed in a bundle", false, false, true},
		{"an index that is signed at the tag", true, true, false},
		{"an index that is signed in a bundle", true, false, true},
		{"both", true, true, true},
	} {
		reg := registrytest.New(t)
		want, digest := threeLayers(t, reg, "team/app", "1", 1)
		top := digest
		if c.index {
			top = reg.AddIndex("team/app", "1", "linux/amd64 "+digest, "linux/arm64 "+reg.AddImage("team/app", "", registrytest.Image{Layers: want[:1], Platform: "linux/arm64"}))
		}
		if c.tag {
			stranger.signTag(reg, "team/app", digest)
			key.signTag(reg, "team/app", top)
		}
		if c.cosig {
			stranger.signBundle(reg, "team/app", top)
			key.signBundle(reg, "team/app", top)
		}
		for _, base := range []string{"", t.TempDir()} {
			f, _ := containerFinder(t, testContainer(t, reg.Host()+"/team/app:1"), base)
			path := writeBundle(t, exported(t, f, image.Query{}))
			f, said := bundleFinder(t, path, key.keyring())
			found, layers, err := unbundle(t.Context(), f)
			if signed := c.tag || c.cosig; signed != (err == nil) || signed && (!same(layers, want) || found.Image.Reference != "docker+http://"+reg.Host()+"/team/app:1@"+top || len(found.Signers()) != 1) {
				t.Errorf("%s: with the key: %v\n%s", c.name, err, said)
			}
			f, _ = bundleFinder(t, path, pgp.LinuxContainers())
			if _, _, err = unbundle(t.Context(), f); KindOf(err) != Unverified || !errors.Is(err, ErrNoSignature) {
				t.Errorf("%s: without its key: %v", c.name, err)
			}
			f, said = bundleFinder(t, path, nil) // --no-validate
			if found, layers, err = unbundle(t.Context(), f); err != nil || !same(layers, want) || found.Image.Reference != "archive@"+top || found.Image.Arch != "amd64" || found.Image.Dist != "app" {
				t.Errorf("%s: without a key: %v\n%s", c.name, err, said)
			}
			f.opt.RequireSignature = true
			if _, _, err = unbundle(t.Context(), f); KindOf(err) != Unverified {
				t.Errorf("%s: --require-signature without a key: %v", c.name, err)
			}
			f, _ = bundleFinder(t, path, newTestSigner(t).keyring())
			if _, _, err = unbundle(t.Context(), f); KindOf(err) != Unverified {
				t.Errorf("%s: with another key: %v", c.name, err)
			}
			// It is an oci-archive, too.
			archive := &Container{Archive: path, Arch: "amd64", Platforms: []image.Platform{{OS: "linux", Arch: "amd64"}}}
			archive.Reference.Tag = "1"
			f, said = containerFinder(t, archive, "")
			if _, layers, err = layersOf(t.Context(), f); err != nil || !same(layers, want) {
				t.Errorf("%s: as an oci-archive: %v\n%s", c.name, err, said)
			}
		}
	}
}

// TestBundleOfOtherRepository has a signature for another repository than the bundle says.
func TestBundleOfOtherRepository(t *testing.T) {
	reg, key := registrytest.New(t), newTestSigner(t)
	_, digest := threeLayers(t, reg, "app", "1", 3)
	payload := fmt.Sprintf(`{"critical":{"identity":{"docker-reference":"%s/app"},"image":{"docker-manifest-digest":"%s"},"type":"cosign container image signature"},"optional":null}`, reg.Host(), digest)
	key.signPayload(reg, "app", digest, payload)
	f, _ := containerFinder(t, testContainer(t, reg.Host()+"/app:1"), "")
	data := exported(t, f, image.Query{})
	if _, _, err := tryBundle(t, data, key.keyring()); err != nil {
		t.Fatal(err)
	}
	other := bytes.Replace(data, []byte(reg.Host()+"/app:1"), []byte(reg.Host()+"/bpp:1"), 1)
	if _, _, err := tryBundle(t, other, key.keyring()); KindOf(err) != Unverified {
		t.Errorf("under another name: %v", err)
	}
}

// TestBundleFromStdin spools a bundle from a pipe.
func TestBundleFromStdin(t *testing.T) {
	data, keys, rootfs := indexBundle(t, time.Now().Add(time.Hour))
	contained, pem := containerBundle(t)
	for _, c := range []struct {
		data []byte
		keys *pgp.Keyring
	}{{data, keys}, {contained, pem}} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			w.Write(c.data)
			w.Close()
		}()
		f, said := bundleFinder(t, "-", c.keys)
		f.opt.Stdin = r
		f.Provide(0, spoolIn(t, new(int)))
		_, layers, err := unbundle(t.Context(), f)
		r.Close()
		if err != nil || len(layers) == 1 && string(layers[0]) != rootfs {
			t.Errorf("%v\n%s", err, said)
		}
	}
	f, _ := bundleFinder(t, t.TempDir(), keys)
	if _, _, err := unbundle(t.Context(), f); err == nil {
		t.Error("a directory is accepted")
	}
}

// FuzzBundle checks that whatever bundle is accepted, its bytes are those that were signed, and
// that it is as Export writes it.
func FuzzBundle(f *testing.F) {
	var data []byte
	var keys *pgp.Keyring
	var rootfs string
	f.Add(uint32(0), []byte{1})
	f.Add(uint32(700), []byte("lxc-pull"))
	noise := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		f.Add(noise.Uint32(), []byte{byte(noise.Uint32())})
	}
	f.Fuzz(func(t *testing.T, at uint32, with []byte) {
		if data == nil {
			data, keys, rootfs = indexBundle(t, time.Now().Add(240*time.Hour))
		}
		changed := append([]byte{}, data...)
		n := copy(changed[at%uint32(len(changed)):], with)
		found, layers, err := tryBundle(t, changed, keys)
		if err != nil {
			return
		}
		if len(layers) != 1 || string(layers[0]) != rootfs || string(found.Meta["config"]) != testBuild || found.Image.Name.String() != "d/r/a/v" {
			t.Fatalf("after a change of %d bytes at %d: %q of %s", n, at, layers, found.Image.Name)
		}
	})
}
