package source

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ed25519"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/image/cache"
	"lxc-pull/lxc"
	"lxc-pull/pgp"
)

// A pgpKey is an OpenPGP key of version 4 that makes signatures for tests.
type pgpKey struct {
	key         ed25519.PrivateKey
	body        []byte // of its packet
	fingerprint []byte
}

// pgpBirth is when the keys were made.
var pgpBirth = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newPGPKey(seed string) *pgpKey {
	sum := sha256.Sum256([]byte(seed))
	k := &pgpKey{key: ed25519.NewKeyFromSeed(sum[:])}
	k.body = binary.BigEndian.AppendUint32([]byte{4}, uint32(pgpBirth.Unix()))
	k.body = append(append(k.body, 22, 9), "\x2b\x06\x01\x04\x01\xda\x47\x0f\x01\x01\x07\x40"...)
	k.body = append(k.body, k.key.Public().(ed25519.PublicKey)...)
	print := sha1.Sum(append([]byte{0x99, 0, byte(len(k.body))}, k.body...))
	k.fingerprint = print[:]
	return k
}

func pgpPacket(tag byte, body []byte) []byte {
	return append([]byte{0xc0 | tag, 255, 0, 0, byte(len(body) >> 8), byte(len(body))}, body...)
}

// sign returns a signature packet over data.
func (k *pgpKey) sign(kind byte, at time.Time, data []byte) []byte {
	hashed := binary.BigEndian.AppendUint32([]byte{5, 2}, uint32(at.Unix()))
	hashed = append(hashed, 2, 27, 3)                            // may certify and sign
	hashed = append(append(hashed, 22, 33, 4), k.fingerprint...) // by this key
	head := append([]byte{4, kind, 22, 8, 0, byte(len(hashed))}, hashed...)
	sum := sha256.New()
	sum.Write(data)
	sum.Write(head)
	sum.Write([]byte{4, 255, 0, 0, 0, byte(len(head))})
	digest := sum.Sum(nil)
	body := append(append(head, 0, 0), digest[:2]...)
	raw := ed25519.Sign(k.key, digest)
	for _, number := range [][]byte{raw[:32], raw[32:]} {
		number = bytes.TrimLeft(number, "\x00")
		bits := len(number) * 8
		for b := number[0]; b&0x80 == 0; b <<= 1 {
			bits--
		}
		body = append(append(body, byte(bits>>8), byte(bits)), number...)
	}
	return pgpPacket(2, body)
}

func (k *pgpKey) ring(t *testing.T) *pgp.Keyring {
	t.Helper()
	id := "test <test@example.com>"
	self := append([]byte{0x99, 0, byte(len(k.body))}, k.body...)
	self = append(append(self, 0xb4, 0, 0, 0, byte(len(id))), id...)
	cert := append(pgpPacket(6, k.body), pgpPacket(13, []byte(id))...)
	ring, err := pgp.ReadKeyring(append(cert, k.sign(0x13, pgpBirth, self)...))
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func pgpArmor(packet []byte) string {
	return "-----BEGIN PGP SIGNATURE-----\n\n" + base64.StdEncoding.EncodeToString(packet) + "\n-----END PGP SIGNATURE-----\n"
}

// cleartext makes a cleartext signed message.
func (k *pgpKey) cleartext(at time.Time, text string) string {
	text = strings.TrimSuffix(text, "\n")
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	sig := k.sign(1, at, []byte(strings.Join(lines, "\r\n")))
	return "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n" + text + "\n" + pgpArmor(sig)
}

// A streamsTree is a simplestreams server with one product, whose lists key signs.
type streamsTree struct {
	*testServer
	key    *pgpKey
	at     time.Time // of the signatures
	forms  string    // of the lists: "c" cleartext signed, "d" detached signatures, "u" unsigned
	metas  map[string][]byte
	roots  map[string][]byte
	builds []string // JSON of the versions
}

// day1 and day2 are builds and signature times.
var day1, day2 = time.Date(2026, 8, 1, 13, 0, 0, 0, time.UTC), time.Date(2026, 8, 9, 13, 0, 0, 0, time.UTC)

const build1, build2 = "20260801_13:00", "20260809_13:00"

func newStreamsTree(t *testing.T) *streamsTree {
	return &streamsTree{testServer: newTestServer(t), key: newPGPKey("one"), at: day1, forms: "cdu", metas: map[string][]byte{}, roots: map[string][]byte{}}
}

func (s *streamsTree) put(name, text string) {
	name = filepath.Join(s.dir, name)
	os.MkdirAll(filepath.Dir(name), 0o755)
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// sign writes a text at path in its forms.
func (s *streamsTree) sign(path, text string) {
	for _, name := range []string{path + ".json", path + ".json.gpg", path + ".sjson"} {
		os.Remove(filepath.Join(s.dir, name))
	}
	if strings.ContainsAny(s.forms, "ud") {
		s.put(path+".json", text)
	}
	if strings.Contains(s.forms, "d") {
		s.put(path+".json.gpg", pgpArmor(s.key.sign(0, s.at, []byte(text))))
	}
	if strings.Contains(s.forms, "c") {
		s.put(path+".sjson", s.key.cleartext(s.at, text))
	}
}

func incusTar(t *testing.T, build string, expires time.Time, more ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	text := "architecture: x86_64\ncreation_date: 1785589200\nexpiry_date: " + fmt.Sprint(expires.Unix()) + "\nproperties:\n  build: \"" + build + "\"\n" +
		"templates:\n  /etc/hostname:\n    when:\n    - create\n    - copy\n    template: hostname.tpl\n"
	files := append([]string{"metadata.yaml", text, "templates/hostname.tpl", "{{ container.name }}\n"}, more...)
	for i := 0; i < len(files); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))}); err != nil {
			t.Fatal(err)
		}
		w.Write([]byte(files[i+1]))
	}
	w.Close()
	z.Close()
	return b.Bytes()
}

// digests of files in a list.
func hexOf(parts ...[]byte) string { return fmt.Sprintf("%x", sha256.Sum256(bytes.Join(parts, nil))) }

// add adds a version with the files whose types are named.
func (s *streamsTree) add(build string, expires time.Time, types ...string) {
	dir := "images/debian/trixie/amd64/default/" + build + "/"
	meta := incusTar(s.t, build, expires)
	root, squashfs := []byte("rootfs "+build), []byte("squashfs "+build)
	s.metas[build], s.roots[build] = meta, root
	var items []string
	for _, kind := range types {
		data, more := meta, ""
		switch kind {
		case "incus.tar.xz", "lxd.tar.xz":
			more = `,"combined_sha256":"` + hexOf(meta, root) + `","combined_rootxz_sha256":"` + hexOf(meta, root) + `","combined_squashfs_sha256":"` + hexOf(meta, squashfs) + `"`
		case "root.tar.xz":
			data = root
		case "squashfs":
			data = squashfs
		case "incus_combined.tar.gz":
			data = incusTar(s.t, build, expires, "rootfs/etc/passwd", "root:x:0:0::/:/bin/sh\n")
			s.roots[build] = data
		}
		s.put(dir+kind, string(data))
		items = append(items, fmt.Sprintf(`"%s":{"ftype":"%s","path":"%s","sha256":"%s","size":%d%s}`, kind, kind, dir+kind, hexOf(data), len(data), more))
	}
	s.builds = append(s.builds, `"`+build+`":{"items":{`+strings.Join(items, ",")+`}}`)
}

// publish writes the index and the list.
func (s *streamsTree) publish() {
	s.publishIndex()
	s.publishList(s.list())
}

func (s *streamsTree) publishIndex() {
	s.sign(streamsIndex, `{"format":"index:1.0","index":{"images":{"datatype":"image-downloads","path":"streams/v1/images.json","format":"products:1.0","products":["debian:trixie:amd64:default"]}}}`+"\n")
}

func (s *streamsTree) publishList(text string) { s.sign("streams/v1/images", text) }

func (s *streamsTree) list() string {
	return `{"content_id":"images","datatype":"image-downloads","format":"products:1.0","products":{"debian:trixie:amd64:default":` +
		`{"aliases":"debian/trixie/default,debian/trixie,debian/13","arch":"amd64","os":"Debian","release":"trixie","variant":"default",` + "\n" +
		`"versions":{` + strings.Join(s.builds, ", \n") + "}}}}\n"
}

// options are those of a Finder that trusts the tree's key. base is the cache, "": none.
func (s *streamsTree) options(t *testing.T, base string) Options {
	t.Helper()
	opt := Options{
		Servers: newServers(t, []string{s.URL}, nil), Keys: s.key.ring(t), Clock: NewClock(time.Time{}, time.Now()), Mode: lxc.System,
		Wanted: Wanted{Streams: &Streams{Alias: "debian/13", Arch: []string{"amd64", "x86_64"}}},
	}
	opt.Clock.system = func() time.Time { return day2 }
	opt.Clock.built = day1
	if base != "" {
		opt.Cache = &cache.Cache{Base: base, Evidence: EvidenceNames()}
		opt.Histories = []*cache.Cache{opt.Cache}
	}
	s.client(t, &opt, "")
	return opt
}

func (s *streamsTree) client(t *testing.T, opt *Options, ca string) {
	t.Helper()
	options := fetch.Options{Limits: fetch.LimitOptions{Retries: -1}, Report: fetch.ReportOptions{Notify: opt.Servers.NoteFailure}}
	if ca != "" {
		options.TLS.CACerts = []string{ca}
	}
	var err error
	if opt.Client, err = fetch.NewClient(options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(opt.Client.Close)
}

// getStreams finds the image and reads it, as often as Next wants.
func getStreams(t *testing.T, opt Options) (found *Found, root, said string, err error) {
	t.Helper()
	var b strings.Builder
	f := Open(opt, heard(&b))
	f.Provide(1<<20, func() (*os.File, error) { return os.CreateTemp(t.TempDir(), "") })
	found, layers, err := layersOf(context.WithoutCancel(t.Context()), f)
	if err != nil {
		return nil, "", b.String(), err
	}
	t.Cleanup(found.Close)
	found.Close()
	return found, string(layers[0]), b.String(), nil
}

// TestStreams reads an image in all forms, with and without a cache.
func TestStreams(t *testing.T) {
	for _, test := range []struct {
		name, files, forms string
		squashfs           bool
		inside             string
	}{
		{"tar", "incus.tar.xz root.tar.xz squashfs", "cdu", false, ""},
		{"cleartext only", "incus.tar.xz root.tar.xz", "c", false, ""},
		{"detached only", "lxd.tar.xz root.tar.xz", "d", false, ""},
		{"squashfs only", "incus.tar.xz squashfs", "cdu", true, ""},
		{"unified", "incus_combined.tar.gz", "cdu", false, "rootfs"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStreamsTree(t)
			s.forms = test.forms
			s.add(build1, day2.AddDate(0, 1, 0), strings.Fields(test.files)...)
			s.publish()
			for _, base := range []string{"", t.TempDir()} {
				for _, again := range []bool{false, true} {
					s.forget()
					found, root, said, err := getStreams(t, s.options(t, base))
					if err != nil {
						t.Fatalf("%v\n%s", err, said)
					}
					want := string(s.roots[build1])
					if test.squashfs {
						want = "squashfs " + build1
					}
					if root != want {
						t.Errorf("the root file system is %q", root)
					}
					if l := found.Layers[0]; l.Squashfs != test.squashfs || l.Inside != test.inside || l.Packed != int64(len(want)) {
						t.Errorf("%+v", l)
					}
					img := found.Image
					if img.Name.String() != "debian/trixie/amd64/default" || img.Build != build1 || img.Reference != s.URL+" debian:trixie:amd64:default" {
						t.Errorf("%+v", img)
					}
					if m := found.Incus; m == nil || m.Arch != "x86_64" || len(m.Templates) != 1 || string(m.Templates[0].Text) != "{{ container.name }}\n" {
						t.Errorf("%+v", m)
					}
					if expiry := string(found.Meta["expiry"]); expiry != fmt.Sprintln(day2.AddDate(0, 1, 0).Unix()) || found.Meta["config-user"] == nil {
						t.Errorf("%q", found.Meta)
					}
					if keys := found.Signers(); len(keys) != 1 || !strings.Contains(said, "signed by the key "+keys[0][:16]) {
						t.Errorf("signers %q, said %s", keys, said)
					}
					if cached := base != "" && again; found.Cached != cached || cached != (len(s.requests) == 0) {
						t.Errorf("cached %v, asked for %q", found.Cached, s.requests)
					}
					if n := strings.Count(said, "Downloading the rootfs"); n > 1 {
						t.Errorf("downloaded %d times: %s", n, said)
					}
					if files := found.FileList(); strings.Count(files, "\n") != min(2, len(strings.Fields(test.files))) || !strings.Contains(files, s.URL+"/images/") {
						t.Errorf("files:\n%s", files)
					}
					var origin Origin
					if found.Origin(&origin); origin.Digest != "" || origin.Signed != day1.Format(time.RFC3339) || origin.Server != s.URL {
						t.Errorf("%+v", origin)
					}
				}
			}
		})
	}
}

// TestStreamsTrust has the verdicts about lists and files.
func TestStreamsTrust(t *testing.T) {
	for _, test := range []struct {
		name string
		kind Kind
		text string // of the error, or said
		do   func(s *streamsTree, opt *Options)
	}{
		{"signed", 0, "signed by the key", nil},
		{"unsigned list", Unverified, "signature", func(s *streamsTree, _ *Options) {
			s.forms = "u"
			s.publish()
		}},
		{"unsigned list, no key over plain http", Unverified, "plain http", func(s *streamsTree, opt *Options) { opt.BuiltInKey = true }},
		{"unsigned list, no validation", 0, "", func(s *streamsTree, opt *Options) {
			s.forms = "u"
			s.publish()
			opt.Keys = nil
		}},
		{"no key, a signature is required", Unverified, "signature is required", func(s *streamsTree, opt *Options) {
			opt.BuiltInKey, opt.Streams.RequireSignature = true, true
		}},
		{"no validation, a signature is required", Unverified, "signature is required", func(s *streamsTree, opt *Options) {
			opt.Keys, opt.Streams.RequireSignature = nil, true
		}},
		{"known server, wrong key", Unverified, "no signature by a trusted key", func(s *streamsTree, opt *Options) {
			opt.BuiltInKey, opt.Streams.Name = true, "ubuntu"
		}},
		{"known server, unsigned", Unverified, "signature", func(s *streamsTree, opt *Options) {
			opt.BuiltInKey, opt.Streams.Name = true, "images"
			s.forms = "u"
			s.publish()
		}},
		{"wrong key", Unverified, "no signature by a trusted key", func(s *streamsTree, _ *Options) {
			s.key = newPGPKey("other")
			s.publish()
		}},
		{"wrongly signed list", Unverified, "bad signature", func(s *streamsTree, _ *Options) {
			s.forms = "c"
			s.put("streams/v1/images.sjson", strings.Replace(s.key.cleartext(s.at, s.list()), "trixie", "trixiE", 1))
		}},
		{"wrongly signed index", Unverified, "bad signature", func(s *streamsTree, _ *Options) {
			text, _ := os.ReadFile(filepath.Join(s.dir, "streams/v1/index.sjson"))
			s.put("streams/v1/index.sjson", strings.Replace(string(text), "trixie", "trixiE", 1))
		}},
		{"wrong detached signature", Unverified, "bad signature", func(s *streamsTree, _ *Options) {
			s.forms = "d"
			s.publish()
			s.put("streams/v1/images.json", s.list()+" ")
		}},
		{"index signed, list not", Unverified, "signature", func(s *streamsTree, _ *Options) {
			s.forms = "u"
			s.publishList(s.list())
		}},
		{"list signed, index not", Unverified, "signature", func(s *streamsTree, _ *Options) {
			s.forms = "u"
			s.publishIndex()
		}},
		{"cleartext cut by gpg, detached good", 0, "signed by the key", func(s *streamsTree, _ *Options) {
			list := s.list()
			s.put("streams/v1/images.sjson", s.key.cleartext(s.at, list[:len(list)/2]))
		}},
		{"cleartext cut, nothing else", Unverified, "signature", func(s *streamsTree, _ *Options) {
			s.forms = "c"
			list := s.list()
			s.publish()
			s.put("streams/v1/images.sjson", s.key.cleartext(s.at, list[:len(list)/2]))
		}},
		{"metadata of another image", Unverified, "SHA-256", func(s *streamsTree, _ *Options) {
			s.put("images/debian/trixie/amd64/default/"+build1+"/incus.tar.xz", string(incusTar(s.t, build1, day1)))
		}},
		{"another root file system", Unverified, "is not the one in the list", func(s *streamsTree, _ *Options) {
			s.put("images/debian/trixie/amd64/default/"+build1+"/root.tar.xz", "rootfs 20260801_13:01")
		}},
		{"longer root file system", Unverified, "by the list", func(s *streamsTree, _ *Options) {
			s.put("images/debian/trixie/amd64/default/"+build1+"/root.tar.xz", "rootfs 20260801_13:00 and more")
		}},
		{"wrong combined digest", Unverified, "together", func(s *streamsTree, _ *Options) {
			s.publishList(strings.Replace(s.list(), hexOf(s.metas[build1], s.roots[build1])+`","combined_squashfs`, strings.Repeat("0", 64)+`","combined_squashfs`, 1))
		}},
		{"no such alias", NotFound, "", func(_ *streamsTree, opt *Options) { opt.Streams.Alias = "alpine/edge" }},
		{"no such build", NotFound, "", func(_ *streamsTree, opt *Options) { opt.Streams.Build = build2 }},
		{"that build", 0, "signed by the key", func(_ *streamsTree, opt *Options) { opt.Streams.Build = build1 }},
		{"unknown name", NotFound, "no known image server", func(_ *streamsTree, opt *Options) {
			opt.Servers, opt.Streams.Name = nil, "debian"
		}},
		{"no list", Network, "404", func(s *streamsTree, opt *Options) {
			opt.Keys = nil
			os.Remove(filepath.Join(s.dir, "streams/v1/images.json"))
		}},
		{"no JSON", Network, "", func(s *streamsTree, opt *Options) {
			opt.Keys = nil
			s.put("streams/v1/images.json", "<html>")
		}},
	} {
		for _, base := range []string{"", t.TempDir()} {
			t.Run(test.name, func(t *testing.T) {
				s := newStreamsTree(t)
				s.add(build1, day2.AddDate(0, 1, 0), "incus.tar.xz", "root.tar.xz")
				s.publish()
				opt := s.options(t, base)
				if test.do != nil {
					test.do(s, &opt)
				}
				_, _, said, err := getStreams(t, opt)
				if KindOf(err) != test.kind || (err == nil) != (test.kind == 0) {
					t.Fatalf("kind %d: %v\n%s", KindOf(err), err, said)
				}
				if err != nil {
					said = err.Error()
				}
				if !strings.Contains(said, test.text) {
					t.Errorf("said %s", said)
				}
				if err != nil && base != "" {
					list, _ := opt.Cache.List()
					for i := range list {
						if list[i].Kept != nil || test.name == "metadata of another image" { // not even its list
							t.Errorf("the cache keeps %+v", list[i])
						}
					}
				}
			})
		}
	}
}

// A list with a wrong combined digest removes nothing that the cache has of another server's image,
// although the layer is the same.
func TestStreamsWrongCombined(t *testing.T) {
	good, bad, base := newStreamsTree(t), newStreamsTree(t), t.TempDir()
	for _, s := range []*streamsTree{good, bad} {
		s.add(build1, day2.AddDate(0, 1, 0), "incus.tar.xz", "root.tar.xz")
		s.publish()
	}
	bad.publishList(strings.Replace(bad.list(), hexOf(bad.metas[build1], bad.roots[build1])+`","combined_squashfs`, strings.Repeat("0", 64)+`","combined_squashfs`, 1))
	if _, _, _, err := getStreams(t, good.options(t, base)); err != nil {
		t.Fatal(err)
	}
	if _, _, said, err := getStreams(t, bad.options(t, base)); KindOf(err) != Unverified || !strings.Contains(err.Error(), "together") || strings.Contains(said, "damaged") {
		t.Errorf("the other server: %v\n%s", err, said)
	}
	opt := good.options(t, base)
	opt.Use.Force = true
	if _, _, said, err := getStreams(t, opt); err != nil || strings.Contains(said, "Downloading the rootfs") {
		t.Errorf("what the cache had: %v\n%s", err, said)
	}
}

// TestStreamsReplay offers older lists and builds than those that were seen.
func TestStreamsReplay(t *testing.T) {
	s, base := newStreamsTree(t), t.TempDir()
	s.add(build1, day2.AddDate(0, 1, 0), "incus.tar.xz", "root.tar.xz")
	s.publish()
	old := s.list()
	s.add(build2, day2.AddDate(0, 1, 0), "incus.tar.xz", "root.tar.xz")
	s.at = day2
	s.publish()
	refresh := func(change func(*Options)) error {
		opt := s.options(t, base)
		opt.Use.Refresh = true
		if change != nil {
			change(&opt)
		}
		_, _, _, err := getStreams(t, opt)
		return err
	}
	if err := refresh(nil); err != nil {
		t.Fatal(err)
	}
	s.publishList(old) // signed anew
	if err := refresh(nil); KindOf(err) != Replayed || !strings.Contains(err.Error(), `"`+build2+`" was seen before`) {
		t.Errorf("an older build: %v", err)
	}
	s.at = day1
	s.publishList(s.list())
	if err := refresh(nil); KindOf(err) != Replayed || !strings.Contains(err.Error(), "index was signed 2026-08-01") {
		t.Errorf("an older list: %v", err)
	}
	// Another image of the same server has the same list.
	if err := refresh(func(opt *Options) { opt.Streams.Alias, opt.Cache = "alpine/edge", nil }); KindOf(err) != Replayed {
		t.Errorf("an older list with another image: %v", err)
	}
	if _, err := Open(s.options(t, base), deaf()).List(t.Context()); KindOf(err) != Replayed {
		t.Errorf("List: %v", err)
	}
	if err := refresh(func(opt *Options) { opt.AllowOlder = true }); err != nil {
		t.Errorf("with AllowOlder: %v", err)
	}
	if err := refresh(nil); err != nil {
		t.Errorf("after it: %v", err)
	}
	// An image that has expired is refused, and used from the cache.
	opt := s.options(t, "")
	opt.Clock.system = func() time.Time { return day2.AddDate(0, 2, 0) }
	if _, _, _, err := getStreams(t, opt); KindOf(err) != Replayed || !strings.Contains(err.Error(), "expired") {
		t.Errorf("expired: %v", err)
	}
}

// TestStreamsCache has the same outcomes as TestCacheUse.
func TestStreamsCache(t *testing.T) {
	for _, test := range []struct {
		name                    string
		use                     CacheUse
		expired, offline, newer bool
		cached                  bool
		build, said             string
		asked                   bool
	}{
		{"fresh", CacheUse{}, false, false, true, true, build1, "Using image from local cache", false},
		{"expired", CacheUse{}, true, false, true, false, build2, "has expired, re-downloading", true},
		{"expired, offline", CacheUse{}, true, true, false, true, build1, "although it has expired", false},
		{"forced", CacheUse{Force: true}, true, false, true, true, build1, "Using image", false},
		{"refreshed", CacheUse{Refresh: true}, false, false, true, false, build2, "Downloading the image index", true},
		{"refreshed, nothing newer", CacheUse{Refresh: true}, false, false, false, true, build1, "already up to date", true},
		{"refreshed, offline", CacheUse{Refresh: true}, false, true, false, true, build1, "using the cached copy", false},
		{"flushed", CacheUse{Flush: true}, false, false, false, false, build1, "Flushing the cache", true},
		{"dry run, flushed", CacheUse{Flush: true, ReadOnly: true}, false, false, false, false, build1, "Downloading the metadata", true},
		{"dry run", CacheUse{ReadOnly: true}, false, false, true, true, build1, "Using image", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, base := newStreamsTree(t), t.TempDir()
			s.add(build1, day2.AddDate(0, 1, 0), "incus.tar.xz", "root.tar.xz")
			s.publish()
			if _, _, said, err := getStreams(t, s.options(t, base)); err != nil || !strings.Contains(said, "The image cache is now ready") {
				t.Fatalf("%v\n%s", err, said)
			}
			if test.newer {
				s.add(build2, day2.AddDate(0, 3, 0), "incus.tar.xz", "root.tar.xz")
				s.at = day2
				s.publish()
			}
			s.forget()
			if test.offline {
				s.Close()
			}
			opt := s.options(t, base)
			opt.Use = test.use
			opt.Streams.Alias = "debian/trixie" // another alias of it
			if test.expired {
				opt.Clock.system = func() time.Time { return day2.AddDate(0, 2, 0) }
			}
			found, root, said, err := getStreams(t, opt)
			if err != nil {
				t.Fatalf("%v\n%s", err, said)
			}
			if found.Cached != test.cached || found.Image.Build != test.build || root != "rootfs "+test.build || !strings.Contains(said, test.said) {
				t.Errorf("cached %v, build %s, %q, said %s", found.Cached, found.Image.Build, root, said)
			}
			if asked := len(s.requests) > 0; asked != test.asked {
				t.Errorf("asked for %q", s.requests)
			}
		})
	}
}

// TestStreamsDamagedCache changes what the cache keeps.
func TestStreamsDamagedCache(t *testing.T) {
	for n := range 3 { // the list, the metadata, the root file system
		s, base := newStreamsTree(t), t.TempDir()
		s.add(build1, day2.AddDate(0, 1, 0), "incus.tar.xz", "root.tar.xz")
		s.publish()
		opt := s.options(t, base)
		if _, _, _, err := getStreams(t, opt); err != nil {
			t.Fatal(err)
		}
		list, _ := opt.Cache.List()
		if len(list) != 1 || list[0].Kept == nil || len(list[0].Kept.Blobs) != 3 || list[0].Label() != s.URL+" debian:trixie:amd64:default amd64" {
			t.Fatalf("%+v", list)
		}
		kept := list[0].Kept
		d := []image.Digest{kept.Top, kept.Manifest, image.Digest("sha256:" + hexOf(s.roots[build1]))}[n]
		file := filepath.Join(base, ".lxc-pull/images", strings.Replace(string(d), ":", "-", 1))
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/2] ^= 1
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			_, root, said, err := getStreams(t, s.options(t, base))
			if err != nil || root != "rootfs "+build1 {
				t.Errorf("%d: %v %q\n%s", n, err, root, said)
			}
		}
		s.Close()
		if found, _, said, err := getStreams(t, s.options(t, base)); err != nil || !found.Cached {
			t.Errorf("%d: it is not repaired: %v\n%s", n, err, said)
		}
	}
}

// TestStreamsMirrors asks mirrors for files: their bytes count only if the digest is right.
func TestStreamsMirrors(t *testing.T) {
	s := newStreamsTree(t)
	s.add(build1, day2.AddDate(0, 1, 0), "incus.tar.xz", "root.tar.xz")
	s.publish()
	mirror := newTestServer(t)
	dir := "images/debian/trixie/amd64/default/" + build1 + "/"
	for _, good := range []bool{true, false} {
		for name, data := range map[string][]byte{"incus.tar.xz": s.metas[build1], "root.tar.xz": s.roots[build1]} {
			if !good {
				data = bytes.Repeat([]byte("x"), len(data))
			}
			mirror.write(dir+name, data)
		}
		opt := s.options(t, t.TempDir())
		opt.Servers = newServers(t, []string{s.URL}, []string{mirror.URL})
		s.client(t, &opt, "")
		s.forget()
		mirror.forget()
		found, root, said, err := getStreams(t, opt)
		if err != nil || root != "rootfs "+build1 {
			t.Fatalf("%v, %q\n%s", err, root, said)
		}
		if found.pinned.remote.safe() {
			t.Error("bytes of a mirror count as safe before they are verified")
		}
		if mirror.asked(dir+"root.tar.xz") != 1 || mirror.asked("streams/v1/images.sjson") > 0 || (s.asked(dir+"root.tar.xz") == 0) != good {
			t.Errorf("good %v: the mirror was asked for %q, the server for %q", good, mirror.requests, s.requests)
		}
	}
}

// TestStreamsServers asks the next server after one that can't be used.
func TestStreamsServers(t *testing.T) {
	bad, good := newStreamsTree(t), newStreamsTree(t)
	bad.key = newPGPKey("other")
	for _, s := range []*streamsTree{bad, good} {
		s.add(build1, day2.AddDate(0, 1, 0), "incus.tar.xz", "root.tar.xz")
		s.publish()
	}
	opt := good.options(t, "")
	opt.Servers = newServers(t, []string{bad.URL, good.URL}, nil)
	_, root, said, err := getStreams(t, opt)
	if err != nil || root != "rootfs "+build1 || !strings.Contains(said, "asking") {
		t.Errorf("%v, %q\n%s", err, root, said)
	}
	opt.Servers = newServers(t, []string{bad.URL, good.URL}, nil)
	index, err := Open(opt, deaf()).List(t.Context())
	if err != nil || len(index.Images) != 1 || index.Images[0].Build != build1 {
		t.Errorf("%+v, %v", index, err)
	}
}

// TestStreamsResume continues a download that the network cut.
func TestStreamsResume(t *testing.T) {
	s, base := newStreamsTree(t), t.TempDir()
	s.add(build1, day2.AddDate(0, 1, 0), "incus.tar.xz", "root.tar.xz")
	root := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	s.put("images/debian/trixie/amd64/default/"+build1+"/root.tar.xz", string(root))
	list := strings.Replace(s.list(), hexOf(s.roots[build1]), hexOf(root), 1)
	list = strings.ReplaceAll(list, hexOf(s.metas[build1], s.roots[build1]), hexOf(s.metas[build1], root))
	list = strings.Replace(list, fmt.Sprintf(`"size":%d`, len(s.roots[build1])), fmt.Sprintf(`"size":%d`, len(root)), 1)
	s.publishIndex()
	s.publishList(list)
	cut := true
	var ranges []string
	inner := s.Config.Handler
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "root.tar.xz") {
			ranges = append(ranges, r.Header.Get("Range"))
			if cut {
				w.Header().Set("Content-Length", fmt.Sprint(len(root)))
				w.Header().Set("Content-Type", "application/octet-stream")
				w.Write(root[:100_000])
				return
			}
		}
		inner.ServeHTTP(w, r)
	})
	if _, _, _, err := getStreams(t, s.options(t, base)); KindOf(err) != Network {
		t.Fatalf("the network was cut: %v", err)
	}
	cut = false
	_, got, said, err := getStreams(t, s.options(t, base))
	if err != nil || got != string(root) {
		t.Fatalf("%v\n%s", err, said)
	}
	if last := ranges[len(ranges)-1]; last != "bytes=100000-" && !strings.HasPrefix(last, "bytes=9") {
		t.Errorf("asked for %q", ranges)
	}
}

// TestStreamsCertificate trusts the certificate of a server without any key.
func TestStreamsCertificate(t *testing.T) {
	s := newStreamsTree(t)
	s.forms = "u"
	s.add(build1, day2.AddDate(0, 1, 0), "incus.tar.xz", "root.tar.xz")
	s.publish()
	secure := httptest.NewUnstartedServer(s.Config.Handler)
	secure.StartTLS()
	defer secure.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o644); err != nil {
		t.Fatal(err)
	}
	base := t.TempDir()
	for range 2 {
		opt := s.options(t, base)
		opt.BuiltInKey = true
		opt.Servers = newServers(t, []string{secure.URL}, nil)
		s.client(t, &opt, ca)
		found, root, said, err := getStreams(t, opt)
		if err != nil || root != "rootfs "+build1 {
			t.Fatalf("%v, %q", err, root)
		}
		if want := "not signed: trusting the certificate of \"" + strings.TrimPrefix(secure.URL, "https://") + "\""; strings.Count(said, want) != 1 || len(found.Signers()) > 0 {
			t.Errorf("said %s", said)
		}
	}
	// A redirect to plain http is not followed.
	secure.Config.Handler = http.RedirectHandler(s.URL+"/streams/v1/index.json", http.StatusFound)
	opt := s.options(t, "")
	opt.BuiltInKey = true
	opt.Servers = newServers(t, []string{secure.URL}, nil)
	s.client(t, &opt, ca)
	if _, _, _, err := getStreams(t, opt); err == nil {
		t.Error("a redirect from https to http was followed")
	}
}

// TestKnownURLs has the ways in which the URL of a known server can be written, and two servers of
// which each has its own key.
func TestKnownURLs(t *testing.T) {
	lxc, ubuntu := pgp.LinuxContainers().Fingerprints()[0], pgp.UbuntuCloudImages().Fingerprints()[0]
	for _, test := range []struct{ url, name, key string }{
		{"https://images.linuxcontainers.org", "images", lxc},
		{"https://IMAGES.linuxcontainers.org/", "images", lxc},
		{"https://images.linuxcontainers.org.", "images", lxc},
		{"https://images.linuxcontainers.org:443//", "images", lxc},
		{"HTTPS://images.linuxcontainers.org.:443", "images", lxc},
		{"images.linuxcontainers.org:443", "images", lxc},
		{"http://images.linuxcontainers.org", "", lxc},
		{"https://images.linuxcontainers.org:8443/mirror", "", lxc},
		{"https://cloud-images.ubuntu.com//releases/", "ubuntu", ubuntu},
		{"https://cloud-images.ubuntu.com/other", "", ubuntu},
		{"https://other.example", "", ""},
		{"https://images.linuxcontainers.org.example", "", ""},
		{"https://example/images.linuxcontainers.org", "", ""},
	} {
		opt := Options{Keys: pgp.LinuxContainers(), BuiltInKey: true, Clock: NewClock(time.Time{}, time.Now()), Wanted: Wanted{Streams: new(Streams)}}
		opt.Servers = newServers(t, []string{"https://first.example", test.url}, nil)
		f := Open(opt, deaf())
		if server, err := f.streamsServer(); err != nil || server.url != "https://first.example" || f.trust.keys != nil {
			t.Errorf("%+v, %v", server, err)
		}
		opt.Servers.giveUp(failed(NotFound, "no"))
		server, err := f.streamsServer()
		key := ""
		if f.trust.keys != nil {
			key = strings.Join(f.trust.keys.Fingerprints(), " ")
		}
		if err != nil || !strings.HasPrefix(key, test.key) || (key == "") != (test.key == "") {
			t.Errorf("%s: keys %q, %v", test.url, key, err)
		}
		name := ""
		if k := f.opt.Streams.at(server.url); k != nil {
			name = k.Name
		}
		if name != test.name {
			t.Errorf("%s is %q", test.url, name)
		}
	}
	for url, want := range map[string]bool{"images.linuxcontainers.org": true, "other.example": false} {
		if newServers(t, []string{"https://cloud-images.ubuntu.com/daily", url}, nil).Pinned() != want {
			t.Error(url)
		}
	}
}

// TestStreamsCacheTrust has several servers: none lends another its trust.
func TestStreamsCacheTrust(t *testing.T) {
	lacks, plain, base := newStreamsTree(t), newStreamsTree(t), t.TempDir()
	for _, s := range []*streamsTree{lacks, plain} {
		s.add(build1, day2.AddDate(0, 1, 0), "incus.tar.xz", "root.tar.xz")
		s.publish()
	}
	lacks.publishList(`{"content_id":"images","datatype":"image-downloads","format":"products:1.0","products":{}}`)
	plain.forms = "u"
	plain.publish()
	get := func(keys bool, servers ...*streamsTree) (*Found, error) {
		opt := lacks.options(t, base)
		var urls []string
		for _, s := range servers {
			urls = append(urls, s.URL)
		}
		opt.Servers = newServers(t, urls, nil)
		if !keys {
			opt.Keys = nil
		}
		lacks.client(t, &opt, "")
		found, _, _, err := getStreams(t, opt)
		return found, err
	}
	found, err := get(false, lacks, plain)
	if err != nil || !strings.HasPrefix(found.Image.Reference, plain.URL+" ") {
		t.Fatalf("%+v, %v", found, err)
	}
	var origin Origin
	if found.Origin(&origin); origin.Server != plain.URL {
		t.Errorf("from %s", origin.Server)
	}
	// The other server still lacks it, whether or not the run validates.
	for _, keys := range []bool{false, true} {
		if found, err := get(keys, lacks); KindOf(err) != NotFound {
			t.Errorf("keys %v: %+v, %v", keys, found, err)
		}
	}
	// The copy counts as one of its server, also as the second one, in runs that do not validate.
	if found, err := get(false, lacks, plain); err != nil || !found.Cached {
		t.Errorf("%+v, %v", found, err)
	}
	if found, err := get(true, plain); KindOf(err) != Unverified {
		t.Errorf("%+v, %v", found, err)
	}
	// Nor does it count where the certificate would do.
	opt := plain.options(t, base)
	list, _ := opt.Cache.List()
	if len(list) == 0 || list[0].Kept == nil || !strings.HasPrefix(list[0].Kept.MediaType, unchecked) {
		t.Fatalf("%+v", list)
	}
	opt.BuiltInKey, opt.Servers = true, newServers(t, []string{"https://127.0.0.1:1/x"}, nil)
	kept := list[0].Kept
	kept.Reference = "https://127.0.0.1:1/x debian:trixie:amd64:default"
	if err := opt.Cache.Keep(t.Context(), kept); err != nil {
		t.Fatal(err)
	}
	if found, err := Open(opt, deaf()).streamsInCache(t.Context()); found != nil || err != nil {
		t.Errorf("%+v, %v", found, err)
	}
	kept.MediaType = strings.TrimPrefix(kept.MediaType, unchecked)
	if err := opt.Cache.Keep(t.Context(), kept); err != nil {
		t.Fatal(err)
	}
	if found, err := Open(opt, deaf()).streamsInCache(t.Context()); found == nil {
		t.Errorf("a checked record does not count: %v", err)
	} else {
		found.Close()
	}
}

// TestStreamsTwoLists has two lists of a server, of which one never changes.
func TestStreamsTwoLists(t *testing.T) {
	s, base := newStreamsTree(t), t.TempDir()
	s.add(build1, day2.AddDate(0, 1, 0), "incus.tar.xz", "root.tar.xz")
	list := s.list()
	index := `{"format":"index:1.0","index":{"a":{"datatype":"image-downloads","path":"streams/v1/a.json"},"images":{"datatype":"image-downloads","path":"streams/v1/b.json"}}}` + "\n"
	s.sign(streamsIndex, index)
	other := strings.NewReplacer(`"content_id":"images"`, `"content_id":"a"`, "debian:trixie", "alpine:edge", "debian/trixie/default,", "", "debian/trixie,debian/13", "alpine/13", `"Debian"`, `"Alpine"`).Replace(list)
	s.sign("streams/v1/b", list)
	s.at = day2
	s.sign("streams/v1/a", other)
	for _, alias := range []string{"alpine/13", "debian/13", "alpine/13", "debian/13"} {
		opt := s.options(t, base)
		opt.Streams.Alias, opt.Use.Refresh = alias, true
		if _, _, _, err := getStreams(t, opt); err != nil {
			t.Fatalf("%s: %v", alias, err)
		}
	}
	s.at = day1.AddDate(0, 0, -2)
	s.sign("streams/v1/b", list)
	opt := s.options(t, base)
	opt.Use.Refresh = true
	if _, _, _, err := getStreams(t, opt); KindOf(err) != Replayed {
		t.Errorf("an older list: %v", err)
	}
}

// TestStreamsRelabelled offers signed lists as other lists, and old images at another URL.
func TestStreamsRelabelled(t *testing.T) {
	s, base := newStreamsTree(t), t.TempDir()
	s.add(build1, day2.AddDate(0, 1, 0), "incus.tar.xz", "root.tar.xz")
	s.publishIndex()
	s.publishList(strings.Replace(s.list(), `"content_id":"images"`, `"content_id":"daily"`, 1))
	if _, _, _, err := getStreams(t, s.options(t, "")); KindOf(err) != Unverified || !strings.Contains(err.Error(), `its content is "daily", not "images"`) {
		t.Errorf("another list: %v", err)
	}
	r := &listReader{finder: Open(s.options(t, ""), deaf()), server: &server{url: "https://cloud-images.ubuntu.com/releases"}, by: signers{keys: []string{"A"}}}
	for id, ok := range map[string]bool{"com.ubuntu.cloud:released:download": true, "com.ubuntu.cloud:daily:download": false, "": false} {
		if err := r.checkContent(&image.Products{ContentID: id}, id); (err == nil) != ok {
			t.Errorf("%q: %v", id, err)
		}
	}
	// An older build of the same image at another URL is replayed, and so is a bundle of it.
	s.publish()
	old := newStreamsTree(t)
	old.builds = s.builds
	for name, data := range map[string][]byte{"incus.tar.xz": s.metas[build1], "root.tar.xz": s.roots[build1]} {
		old.put("images/debian/trixie/amd64/default/"+build1+"/"+name, string(data))
	}
	old.publish()
	bundle := exported(t, Open(s.options(t, t.TempDir()), heard(new(strings.Builder))), image.Query{})
	s.add(build2, day2.AddDate(0, 1, 0), "incus.tar.xz", "root.tar.xz")
	s.at = day2
	s.publish()
	if _, _, _, err := getStreams(t, s.options(t, base)); err != nil {
		t.Fatal(err)
	}
	opt := s.options(t, base)
	opt.Servers = newServers(t, []string{old.URL}, nil)
	s.client(t, &opt, "")
	if _, _, _, err := getStreams(t, opt); KindOf(err) != Replayed {
		t.Errorf("an old list at another URL: %v", err)
	}
	// The edited URL has the same size.
	bundle = bytes.ReplaceAll(bundle, []byte(strings.TrimPrefix(s.URL, "http://")), []byte(strings.Repeat("9", len(s.URL)-len("http://"))))
	f := keptFinder(t, bundle, s.key.ring(t), s.options(t, "").Clock)
	f.opt.Histories = s.options(t, base).Histories
	if _, _, err := unbundle(t.Context(), f); KindOf(err) != Replayed {
		t.Errorf("an old bundle with another URL: %v", err)
	}
}

// TestStreamsWithdrawn offers a newer list without the build that was seen, and with one of the day
// before.
func TestStreamsWithdrawn(t *testing.T) {
	s, base := newStreamsTree(t), t.TempDir()
	s.at = day2
	for _, build := range []string{"20260808", "20260809"} {
		s.add(build, day2.AddDate(0, 1, 0), "incus.tar.xz", "root.tar.xz")
	}
	s.publish()
	for _, want := range []string{"20260809", "20260808"} {
		opt := s.options(t, base)
		opt.Use.Refresh = true
		found, _, said, err := getStreams(t, opt)
		if err != nil || found.Image.Build != want || strings.Contains(said, `build "20260808", and "20260809" was seen before`) != (want == "20260808") {
			t.Errorf("%v\n%s", err, said)
		}
		s.at = day2.Add(time.Hour)
		s.builds = s.builds[:1]
		s.publish()
	}
}

// TestStreamsDrop checks that a list which an image needs stays.
func TestStreamsDrop(t *testing.T) {
	s, base := newStreamsTree(t), t.TempDir()
	s.add(build1, day2.AddDate(0, 1, 0), "incus.tar.xz", "root.tar.xz")
	s.publish()
	opt := s.options(t, base)
	if _, _, _, err := getStreams(t, opt); err != nil {
		t.Fatal(err)
	}
	list, _ := opt.Cache.List()
	r := &listReader{finder: Open(opt, deaf()), cache: opt.Cache, added: true, list: &document{digest: list[0].Kept.Top}}
	r.drop()
	text := []byte("a list without an image")
	r.list, r.added = &document{digest: sumOf(text), text: text}, true
	if err := keepText(t.Context(), opt.Cache, r.list); err != nil {
		t.Fatal(err)
	}
	r.drop()
	for d, want := range map[image.Digest]bool{list[0].Kept.Top: true, r.list.digest: false} {
		blob, err := opt.Cache.FindBlob(d)
		if (err == nil) != want {
			t.Errorf("%s: %v", d, err)
		}
		if err == nil {
			blob.Close()
		}
	}
}

// TestKnownServers compares the facts about known servers with the keys in this program.
func TestKnownServers(t *testing.T) {
	for _, k := range KnownServers() {
		s := &Streams{Name: k.Name}
		opt := Options{Keys: pgp.LinuxContainers(), BuiltInKey: true, Clock: NewClock(time.Time{}, time.Now()), Wanted: Wanted{Streams: s}}
		if ring := opt.keys(""); strings.Join(ring.Fingerprints(), " ") != k.Fingerprint {
			t.Errorf("%s: %q, not %q", k.Name, ring.Fingerprints(), k.Fingerprint)
		}
		if fetch.CheckURL(k.URL) != nil || strings.HasSuffix(k.URL, "/") || !strings.HasPrefix(k.URL, "https://") {
			t.Errorf("%s: %q", k.Name, k.URL)
		}
		if s.at("").URL != k.URL {
			t.Errorf("%s is not found", k.Name)
		}
		f := Open(opt, deaf())
		if server, err := f.streamsServer(); err != nil || server.url != k.URL || f.trust.keys == nil {
			t.Errorf("%s: %+v, %v", k.Name, server, err)
		}
	}
}
