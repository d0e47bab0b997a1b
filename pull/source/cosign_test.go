package source

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/pgp"
)

// A memoryStore is a registry in memory, of which each call can fail.
type memoryStore struct {
	manifests map[string][]byte // by tag and digest
	blobs     map[image.Digest][]byte
	list      map[image.Digest][]image.Descriptor
	fail      map[string]error // by the beginning of a call, such as "referrers" or "manifest sha256-"
	calls     []string
}

// absent is what a registry's answer 404 becomes.
func absent() error {
	return &fetch.Error{URL: "https://registry.example/v2/", Kind: fetch.KindStatus, Status: 404}
}

func newMemoryStore() *memoryStore {
	return &memoryStore{map[string][]byte{}, map[image.Digest][]byte{}, map[image.Digest][]image.Descriptor{}, map[string]error{}, nil}
}

func (s *memoryStore) called(ctx context.Context, call string) error {
	s.calls = append(s.calls, call)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for begin, err := range s.fail {
		if strings.HasPrefix(call, begin) {
			return err
		}
	}
	return nil
}

func (s *memoryStore) get(ctx context.Context, path string, max int64) ([]byte, string, error) {
	if digest, ok := strings.CutPrefix(path, "blobs/"); ok {
		text, err := s.small(ctx, image.Digest(digest), max)
		return text, "", err
	}
	return s.manifest(ctx, strings.TrimPrefix(path, "manifests/"))
}

func (s *memoryStore) manifest(ctx context.Context, name string) ([]byte, string, error) {
	if err := s.called(ctx, "manifest "+name); err != nil {
		return nil, "", err
	}
	text, ok := s.manifests[name]
	if !ok {
		return nil, "", absent()
	}
	var m struct{ MediaType string }
	json.Unmarshal(text, &m)
	return text, m.MediaType, nil
}

func (s *memoryStore) small(ctx context.Context, d image.Digest, max int64) ([]byte, error) {
	if err := s.called(ctx, "small "+string(d)); err != nil {
		return nil, err
	}
	text, ok := s.blobs[d]
	switch {
	case !ok:
		return nil, absent()
	case int64(len(text)) > max:
		return nil, errors.New("too large")
	case digestOf(text) != d:
		return nil, unverified("a blob", errors.New("its digest is wrong"))
	}
	return text, nil
}

func (s *memoryStore) referrers(ctx context.Context, d image.Digest) ([]image.Descriptor, error) {
	if err := s.called(ctx, "referrers "+string(d)); err != nil {
		return nil, err
	}
	return s.list[d], nil
}

func (s *memoryStore) open(context.Context, *image.Descriptor, int64) (io.ReadCloser, error) {
	return nil, errors.New("no layer is needed")
}

// digestOf returns the digest of a text.
func digestOf(text []byte) image.Digest {
	return image.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256(text)))
}

// message returns the layer of a signature over the manifest itself, as "cosign sign-blob" makes it.
func (c *coSignature) message(s *memoryStore, manifest []byte) object {
	digest := sha256.Sum256(manifest)
	return s.put(image.SigstoreBundle, toJSON(object{"mediaType": image.SigstoreBundle, "verificationMaterial": object{"publicKey": object{"hint": "x"}},
		"messageSignature": object{"messageDigest": object{"algorithm": "SHA2_256", "digest": base64.StdEncoding.EncodeToString(digest[:])},
			"signature": base64.StdEncoding.EncodeToString(c.sign(manifest))}}))
}

// toJSON returns v as JSON.
func toJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

// object is a JSON object.
type object map[string]any

// put stores a blob and returns its descriptor.
func (s *memoryStore) put(mediaType string, text []byte) object {
	s.blobs[digestOf(text)] = text
	return object{"mediaType": mediaType, "digest": digestOf(text), "size": len(text)}
}

// A coSignature is a signature that the tests make as cosign does.
type coSignature struct {
	key        crypto.Signer
	digest     image.Digest // of the signed manifest
	repository string
	kind       string // critical.type, or the predicate's type
	payload    string // the type of the bundle's payload
	change     func(payload []byte) []byte
	changeSig  func(sig []byte) []byte
	byCert     bool // of a certificate: keyless
}

const (
	ociManifest = "application/vnd.oci.image.manifest.v1+json"
	ociIndex    = "application/vnd.oci.image.index.v1+json"
	ociConfig   = "application/vnd.oci.image.config.v1+json"
	cosignKind  = "cosign container image signature"
	predicate   = "https://sigstore.dev/cosign/sign/v1"
)

// sign signs a message with the hash algorithm of the key.
func (c *coSignature) sign(message []byte) []byte {
	hash := crypto.SHA256
	switch key := c.key.(type) {
	case ed25519.PrivateKey:
		hash = crypto.SHA512 // Ed25519ph
	case *ecdsa.PrivateKey:
		if key.Curve == elliptic.P384() {
			hash = crypto.SHA384
		}
	}
	w := hash.New()
	w.Write(message)
	sig, err := c.key.Sign(rand.Reader, w.Sum(nil), hash)
	if err != nil {
		panic(err)
	}
	if c.changeSig != nil {
		sig = c.changeSig(sig)
	}
	return sig
}

// simple returns the layer of a signature of cosign 2.
func (c *coSignature) simple(s *memoryStore) object {
	kind := c.kind
	if kind == "" {
		kind = cosignKind
	}
	payload := toJSON(object{"critical": object{"identity": object{"docker-reference": c.repository},
		"image": object{"docker-manifest-digest": c.digest}, "type": kind}, "optional": nil})
	sig := c.sign(payload)
	if c.change != nil {
		payload = c.change(payload)
	}
	layer := s.put(image.SimpleSigning, payload)
	notes := object{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(sig)}
	if c.byCert {
		notes["dev.sigstore.cosign/certificate"] = "-----BEGIN CERTIFICATE-----"
	}
	layer["annotations"] = notes
	return layer
}

// bundle returns the layer of a signature of cosign 3.
func (c *coSignature) bundle(s *memoryStore) object {
	kind, payloadType := c.kind, c.payload
	if kind == "" {
		kind = predicate
	}
	if payloadType == "" {
		payloadType = image.InTotoType
	}
	_, hex, _ := strings.Cut(string(c.digest), ":")
	payload := toJSON(object{"_type": "https://in-toto.io/Statement/v1", "predicateType": kind,
		"subject": []object{{"digest": object{"sha256": hex}}}, "predicate": object{}})
	sig := c.sign(fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload))
	if c.change != nil {
		payload = c.change(payload)
	}
	by := object{"publicKey": object{"hint": "x"}}
	if c.byCert {
		by = object{"certificate": object{"rawBytes": "AAAA"}}
	}
	return s.put(image.SigstoreBundle, toJSON(object{"mediaType": image.SigstoreBundle, "verificationMaterial": by,
		"dsseEnvelope": object{"payload": base64.StdEncoding.EncodeToString(payload), "payloadType": payloadType,
			"signatures": []object{{"sig": base64.StdEncoding.EncodeToString(sig)}}}}))
}

// tag stores signatures as cosign 2 does, at a tag.
func (s *memoryStore) tag(target image.Digest, layers ...object) {
	text := toJSON(object{"schemaVersion": 2, "mediaType": ociManifest, "config": s.put(ociConfig, []byte("{}")), "layers": layers})
	s.manifests[tagOf(target)+".sig"] = text
}

// refer stores a manifest that refers to target, and returns its descriptor for a list.
func (s *memoryStore) refer(target image.Digest, artifact string, layers ...object) image.Descriptor {
	text := toJSON(object{"schemaVersion": 2, "mediaType": ociManifest, "artifactType": artifact,
		"config": s.put("application/vnd.oci.empty.v1+json", []byte("{}")), "layers": layers,
		"subject": object{"mediaType": ociManifest, "digest": target, "size": 2}})
	s.manifests[string(digestOf(text))] = text
	return image.Descriptor{MediaType: ociManifest, Digest: digestOf(text), Size: int64(len(text)), ArtifactType: artifact}
}

// tagOf returns a digest as a tag.
func tagOf(d image.Digest) string { return strings.Replace(string(d), ":", "-", 1) }

// The places where a signature can be.
var cosignPlaces = map[string]func(s *memoryStore, c *coSignature, target image.Digest){
	"tag": func(s *memoryStore, c *coSignature, target image.Digest) { s.tag(target, c.simple(s)) },
	"referrers": func(s *memoryStore, c *coSignature, target image.Digest) {
		s.list[target] = append(s.list[target], s.refer(target, image.SigstoreBundle, c.bundle(s)))
	},
	"referrers tag": func(s *memoryStore, c *coSignature, target image.Digest) {
		d := s.refer(target, image.SigstoreBundle, c.bundle(s))
		s.fail["referrers"] = absent()
		s.manifests[tagOf(target)] = toJSON(object{"schemaVersion": 2, "mediaType": ociIndex, "manifests": []object{{
			"mediaType": d.MediaType, "digest": d.Digest, "size": d.Size, "artifactType": emptyType}}}) // as cosign 2.6 writes it
	},
	"referrers of cosign 2": func(s *memoryStore, c *coSignature, target image.Digest) {
		s.list[target] = append(s.list[target], s.refer(target, simpleArtifact, c.simple(s)))
	},
}

// A cosignTest is what the tests of signatures need: keys of each kind, and an image.
type cosignTest struct {
	keys          map[string]crypto.Signer
	finder        *Finder
	ref           image.Reference
	top, manifest image.Digest
}

// pemKey returns a public key in PEM.
func pemKey(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// newCosignTest returns a test with trusted keys "p256", "p384", "ed25519" and "rsa", and the key
// "other", which is not trusted.
func newCosignTest(t testing.TB) *cosignTest {
	t.Helper()
	c := &cosignTest{keys: map[string]crypto.Signer{"ed25519": signer()}}
	for name, curve := range map[string]elliptic.Curve{"p256": elliptic.P256(), "p384": elliptic.P384(), "other": elliptic.P256()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c.keys[name] = key
	}
	text, err := os.ReadFile("../../pgp/testdata/rsa.pem") // making one takes minutes under an emulator
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if c.keys["rsa"], err = x509.ParsePKCS1PrivateKey(block.Bytes); err != nil {
		t.Fatal(err)
	}
	var rings []byte
	for name, key := range c.keys {
		if name != "other" {
			rings = append(rings, pemKey(t, key)...)
		}
	}
	ring, err := pgp.ReadKeyring(rings)
	if err != nil {
		t.Fatal(err)
	}
	c.finder = &Finder{trust: trust{keys: ring}}
	if c.ref, err = image.ParseReference("registry.example/owner/app:1"); err != nil {
		t.Fatal(err)
	}
	c.top, c.manifest = digestOf([]byte("an index")), digestOf([]byte("a manifest"))
	return c
}

// check calls checkCosign.
func (c *cosignTest) check(s *memoryStore) (signers, error) {
	return c.finder.checkCosign(context.Background(), s, &c.ref, c.top, c.manifest)
}

// A signature by a key of each kind counts in every place, for the index and for the manifest.
func TestCosignGood(t *testing.T) {
	c := newCosignTest(t)
	for place, store := range cosignPlaces {
		for _, name := range []string{"p256", "p384", "ed25519", "rsa"} {
			for _, target := range []image.Digest{c.top, c.manifest} {
				s := newMemoryStore()
				store(s, &coSignature{key: c.keys[name], digest: target}, target)
				by, err := c.check(s)
				ring, _ := pgp.ReadKeyring(pemKey(t, c.keys[name]))
				if err != nil || len(by.keys) != 1 || by.keys[0] != ring.Fingerprints()[0] || !by.at.IsZero() {
					t.Errorf("%s, %s: %+v, %v", place, name, by, err)
				}
			}
		}
	}
}

// Each signature that does not count is refused in every place, and the error says why. Beside a
// good one it does no harm.
func TestCosignRefused(t *testing.T) {
	c := newCosignTest(t)
	first := func(text []byte) []byte { return append([]byte{text[0] ^ 1}, text[1:]...) }
	for name, test := range map[string]struct {
		make coSignature
		want string
		only string // the beginning of the places' names
	}{
		"wrong digest":       {coSignature{digest: digestOf([]byte("another"))}, "signed something else: the digest is", ""},
		"wrong key":          {coSignature{key: c.keys["other"]}, "another key signed it", ""},
		"altered payload":    {coSignature{change: func(p []byte) []byte { return append([]byte(" "), p...) }}, "the signature or its text was changed", ""},
		"altered signature":  {coSignature{changeSig: first}, "the signature or its text was changed", ""},
		"empty signature":    {coSignature{changeSig: func([]byte) []byte { return nil }}, "", ""},
		"another type":       {coSignature{kind: "atomic container signature"}, "signed something else: ", "tag"},
		"another predicate":  {coSignature{kind: "https://slsa.dev/provenance/v1"}, "signed something else: ", "referrers"},
		"another payload":    {coSignature{payload: "text/plain"}, `signed something else: the payload's type is "text/plain"`, "referrers"},
		"keyless":            {coSignature{key: c.keys["other"], byCert: true}, "keyless", ""},
		"other repository":   {coSignature{repository: "registry.example/owner/other"}, `the repository is "registry.example/owner/other"`, "tag"},
		"other host":         {coSignature{repository: "docker.io/owner/app"}, "the repository is", "tag"},
		"repository, part":   {coSignature{repository: "registry.example/owner"}, "the repository is", "tag"},
		"not a repository":   {coSignature{repository: "registry.example/UPPER"}, "", "tag"},
		"escapes":            {coSignature{repository: "\x1b[2J"}, `\x1b[2`, "tag"},
		"a digest's escapes": {coSignature{digest: "sha256:\x1b[2J"}, "signed something else", "tag"},
	} {
		for place, store := range cosignPlaces {
			simple := place == "tag" || strings.HasSuffix(place, "cosign 2")
			if test.only == "tag" && !simple || test.only == "referrers" && simple {
				continue
			}
			bad := test.make
			if bad.digest == "" {
				bad.digest = c.top
			}
			if bad.key == nil {
				bad.key = c.keys["p256"]
			}
			s := newMemoryStore()
			store(s, &bad, c.top)
			by, err := c.check(s)
			if KindOf(err) != Unverified || !strings.Contains(fmt.Sprint(err), test.want) || by.keys != nil {
				t.Errorf("%s, %s: %v", name, place, err)
			}
			if strings.Contains(fmt.Sprint(err), "\x1b") {
				t.Errorf("%s, %s: an escape in %v", name, place, err)
			}
			cosignPlaces["referrers"](s, &coSignature{key: c.keys["rsa"], digest: c.manifest}, c.manifest)
			delete(s.fail, "referrers")
			if _, err := c.check(s); err != nil {
				t.Errorf("%s, %s, with a good signature: %v", name, place, err)
			}
		}
	}
}

// A signature names the repository in any spelling that means the same, or none.
func TestCosignRepository(t *testing.T) {
	c := newCosignTest(t)
	for _, test := range []struct{ image, signed string }{
		{"registry.example/owner/app:1", ""},
		{"registry.example/owner/app:1", "registry.example/owner/app"},
		{"registry.example/owner/app:1", "registry.example/owner/app:2"}, // the digest counts
		{"localhost:5000/app", "localhost:5000/app"},
		{"nginx", "docker.io/library/nginx"},
		{"nginx", "index.docker.io/library/nginx"},
		{"nginx:1.2", "nginx"},
		{"docker.io/library/nginx", "docker.io/nginx"},
		{"owner/app", "index.docker.io/owner/app:latest"},
	} {
		var err error
		if c.ref, err = image.ParseReference(test.image); err != nil {
			t.Fatal(err)
		}
		s := newMemoryStore()
		s.tag(c.top, (&coSignature{key: c.keys["p256"], digest: c.top, repository: test.signed}).simple(s))
		if _, err := c.check(s); err != nil {
			t.Errorf("%s signed as %q: %v", test.image, test.signed, err)
		}
	}
	c.ref = image.Reference{} // an archive is in no repository
	s := newMemoryStore()
	s.tag(c.top, (&coSignature{key: c.keys["p256"], digest: c.top, repository: "registry.example/x"}).simple(s))
	if _, err := c.check(s); err != nil {
		t.Errorf("an archive: %v", err)
	}
}

// A bundle may be a signature over the manifest's bytes, and counts for no other manifest.
func TestCosignMessage(t *testing.T) {
	c := newCosignTest(t)
	for _, key := range []string{"p256", "p384", "ed25519", "rsa", "other"} {
		for _, signed := range []string{"an index", "a manifest", "another"} {
			s := newMemoryStore()
			s.manifests[string(c.top)], s.manifests[string(c.manifest)] = []byte("an index"), []byte("a manifest")
			layer := (&coSignature{key: c.keys[key]}).message(s, []byte(signed))
			s.list[c.manifest] = []image.Descriptor{s.refer(c.manifest, image.SigstoreBundle, layer)}
			_, err := c.check(s)
			if good := key != "other" && signed == "a manifest"; good != (err == nil) || !good && !strings.Contains(err.Error(), "another key signed it") {
				t.Errorf("%s, %s: %v", key, signed, err)
			}
		}
	}
}

// Without a signature nothing is verified, and a registry that does not answer is not one
// that has no signature.
func TestCosignMissing(t *testing.T) {
	c := newCosignTest(t)
	status := func(code int) error {
		return &fetch.Error{URL: "https://registry.example/v2/", Kind: fetch.KindStatus, Status: code}
	}
	down := &fetch.Error{URL: "https://registry.example/v2/", Kind: fetch.KindRefused}
	page := &fetch.Error{URL: "https://registry.example/v2/", Kind: fetch.KindHTML}
	for name, test := range map[string]struct {
		fail  map[string]error
		kind  Kind
		want  string
		calls int
	}{
		"nothing":                     {nil, Unverified, "owner/app:1@sha256:", 6},
		"no API":                      {map[string]error{"referrers": absent()}, Unverified, "no cosign signature", 6},
		"an API that is not known":    {map[string]error{"referrers": status(400)}, Unverified, "no cosign signature", 6},
		"a page":                      {map[string]error{"referrers": page}, Unverified, "no cosign signature", 6},
		"the API is broken":           {map[string]error{"referrers": status(500)}, Network, "500", 6},
		"the API is for others":       {map[string]error{"referrers": status(403)}, Network, "403", 6},
		"the tag is broken":           {map[string]error{"manifest sha256-": status(502)}, Network, "502", 6},
		"too many requests":           {map[string]error{"manifest sha256-": status(429)}, Network, "429", 6},
		"down":                        {map[string]error{"": down}, Network, "refused", 1},
		"not found, by another store": {map[string]error{"manifest": &Error{Kind: NotFound, Err: errors.New("no such tag")}}, Unverified, "no cosign signature", 6},
	} {
		s := newMemoryStore()
		for call, err := range test.fail {
			s.fail[call] = err
		}
		by, err := c.check(s)
		if KindOf(err) != test.kind || !strings.Contains(fmt.Sprint(err), test.want) || by.keys != nil || len(s.calls) != test.calls {
			t.Errorf("%s: %v after %q", name, err, s.calls)
		}
	}
	// A bad signature was seen, and others can't be read.
	s := newMemoryStore()
	cosignPlaces["tag"](s, &coSignature{key: c.keys["other"], digest: c.top}, c.top)
	s.fail["referrers"] = status(500)
	if _, err := c.check(s); KindOf(err) != Unverified || !strings.Contains(err.Error(), "another key") || !strings.Contains(err.Error(), "500") {
		t.Errorf("a bad signature: %v", err)
	}
	// A good signature counts although another place does not answer.
	s = newMemoryStore()
	cosignPlaces["referrers"](s, &coSignature{key: c.keys["p256"], digest: c.top}, c.top)
	s.fail["manifest sha256-"] = status(500)
	if _, err := c.check(s); err != nil {
		t.Errorf("a good signature: %v", err)
	}
	// An image without an index has one digest, and is asked for once.
	s = newMemoryStore()
	if _, err := c.finder.checkCosign(context.Background(), s, &c.ref, c.top, c.top); KindOf(err) != Unverified || len(s.calls) != 3 {
		t.Errorf("no index: %v after %q", err, s.calls)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.finder.checkCosign(ctx, newMemoryStore(), &c.ref, c.top, c.manifest); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// Files that are damaged or of other kinds are refused, and don't hide a good signature.
func TestCosignDamaged(t *testing.T) {
	c := newCosignTest(t)
	good := &coSignature{key: c.keys["p256"], digest: c.top}
	for name, test := range map[string]struct {
		make func(s *memoryStore)
		want string
	}{
		"a manifest that is not JSON": {func(s *memoryStore) { s.manifests[tagOf(c.top)+".sig"] = []byte("<html>") }, "the manifest of a signature"},
		"an unknown kind of layer":    {func(s *memoryStore) { s.tag(c.top, s.put("text/\x1b", []byte("x"))) }, `"text/\x1b"`},
		"no annotation":               {func(s *memoryStore) { s.tag(c.top, s.put(image.SimpleSigning, []byte("x"))) }, "another key signed it"},
		"an annotation that is not base64": {func(s *memoryStore) {
			layer := s.put(image.SimpleSigning, []byte("x"))
			layer["annotations"] = object{"dev.cosignproject.cosign/signature": "\x1b"}
			s.tag(c.top, layer)
		}, "a signature: illegal base64"},
		"a bundle that is not JSON": {func(s *memoryStore) {
			s.list[c.top] = []image.Descriptor{s.refer(c.top, image.SigstoreBundle, s.put(image.SigstoreBundle, []byte("{")))}
		}, "a bundle with a signature"},
		"a bundle without an envelope": {func(s *memoryStore) {
			s.list[c.top] = []image.Descriptor{s.refer(c.top, image.SigstoreBundle, s.put(image.SigstoreBundle, []byte("{}")))}
		}, ""},
		"a large bundle": {func(s *memoryStore) {
			s.list[c.top] = []image.Descriptor{s.refer(c.top, image.SigstoreBundle, s.put(image.SigstoreBundle, bytes.Repeat([]byte(" "), maxSigned+1)))}
		}, "larger than 128 KiB"},
		"another blob": {func(s *memoryStore) {
			layer := good.simple(s)
			s.blobs[layer["digest"].(image.Digest)] = []byte("other")
			s.tag(c.top, layer)
		}, "its digest is wrong"},
		"no blob": {func(s *memoryStore) {
			layer := good.simple(s)
			delete(s.blobs, layer["digest"].(image.Digest))
			s.tag(c.top, layer)
		}, "a signature is missing"},
		"an index at the tag": {func(s *memoryStore) {
			s.manifests[tagOf(c.top)+".sig"] = toJSON(object{"schemaVersion": 2, "mediaType": ociIndex, "manifests": []object{}})
		}, "no cosign signature"},
	} {
		s := newMemoryStore()
		test.make(s)
		if _, err := c.check(s); KindOf(err) != Unverified || !strings.Contains(fmt.Sprint(err), test.want) {
			t.Errorf("%s: %v", name, err)
		}
		s.list[c.top] = append(s.list[c.top], s.refer(c.top, image.SigstoreBundle, good.bundle(s)))
		if _, err := c.check(s); err != nil {
			t.Errorf("%s, with a good signature: %v", name, err)
		}
	}
	// Referrers of other kinds, such as lists of software, are not asked for.
	s := newMemoryStore()
	s.list[c.top] = []image.Descriptor{s.refer(c.top, "application/spdx+json", s.put("text/plain", []byte("x")))}
	if _, err := c.check(s); KindOf(err) != Unverified || slices.Contains(s.calls, "manifest "+string(s.list[c.top][0].Digest)) {
		t.Errorf("another kind of artifact: %v after %q", err, s.calls)
	}
	s.list[c.top][0].ArtifactType = emptyType // the manifest says what it is
	if _, err := c.check(s); KindOf(err) != Unverified || !strings.Contains(err.Error(), "no cosign signature") || slices.Contains(s.calls, "small "+string(digestOf([]byte("x")))) {
		t.Errorf("another kind of artifact: %v after %q", err, s.calls)
	}
}

// The number of signatures that are looked at is bounded, wherever they are.
func TestCosignBounds(t *testing.T) {
	c := newCosignTest(t)
	other, good := &coSignature{key: c.keys["other"], digest: c.top}, &coSignature{key: c.keys["p256"], digest: c.top}
	for _, n := range []int{maxSignatures - 1, maxSignatures} {
		s := newMemoryStore()
		var layers []object
		for range n {
			layers = append(layers, other.simple(s))
		}
		s.tag(c.top, append(layers, good.simple(s))...)
		_, err := c.check(s)
		if n < maxSignatures != (err == nil) || err != nil && (KindOf(err) != Unverified || !strings.Contains(err.Error(), "more than 100 signatures")) {
			t.Errorf("the good one after %d layers: %v", n, err)
		}
		s = newMemoryStore()
		for range n/2 + 1 {
			s.list[c.top] = append(s.list[c.top], s.refer(c.top, image.SigstoreBundle, other.bundle(s)))
		}
		cosignPlaces["referrers"](s, good, c.manifest)
		if _, err := c.check(s); KindOf(err) != Unverified || len(s.calls) > 2*maxSignatures+8 {
			t.Errorf("%d referrers: %v after %d calls", n/2+1, err, len(s.calls))
		}
	}
}

// Keys of other kinds can't verify a container image, and without any nothing is checked.
func TestCosignKeys(t *testing.T) {
	c := newCosignTest(t)
	s := newMemoryStore()
	c.finder.trust.keys = pgp.LinuxContainers()
	if _, err := c.check(s); KindOf(err) != Unverified || !strings.Contains(err.Error(), "no trusted key is of a PEM file") || len(s.calls) > 0 {
		t.Errorf("an OpenPGP key: %v", err)
	}
	c.finder.trust.keys = nil
	if by, err := c.check(s); err != nil || by.keys != nil || len(s.calls) > 0 {
		t.Errorf("no keys: %+v, %v", by, err)
	}
}

// What a text says does not count if it can't be read.
func TestCosignAccept(t *testing.T) {
	c := &cosignSearch{ref: new(image.Reference), target: digestOf(nil)}
	claims := []image.Claim{{Digest: string(digestOf(nil))}}
	if c.accept("by", claims, errors.New("damaged")) != "" || c.accept("by", nil, nil) != "" || c.accept("by", claims, nil) != "by" {
		t.Error(c.why)
	}
}

// FuzzCosign changes the manifest of signatures and what its layers are. The trusted key has signed
// another image only, so nothing may be accepted, and an error shows no control characters.
func FuzzCosign(f *testing.F) {
	c := newCosignTest(f)
	signed := &coSignature{key: c.keys["p256"], digest: digestOf([]byte("another"))}
	for _, text := range []object{signed.simple(newMemoryStore()), signed.bundle(newMemoryStore())} {
		s := newMemoryStore()
		s.tag(c.top, text)
		f.Add(s.manifests[tagOf(c.top)+".sig"], []byte("{}"))
	}
	s := newMemoryStore()
	for _, place := range []string{"tag", "referrers"} {
		cosignPlaces[place](s, signed, c.top)
	}
	for _, text := range s.blobs {
		f.Add(s.manifests[tagOf(c.top)+".sig"], text)
	}
	f.Fuzz(func(t *testing.T, manifest, blob []byte) {
		by, err := c.finder.checkCosign(context.Background(), &sameStore{manifest, blob}, &c.ref, c.top, c.manifest)
		if err == nil || by.keys != nil || KindOf(err) != Unverified {
			t.Fatalf("accepted: %+v, %v", by, err)
		}
		for _, r := range err.Error() {
			if r < ' ' || r == 0x7f {
				t.Fatalf("%q", err)
			}
		}
	})
}

// A sameStore has the same text at every name.
type sameStore struct{ text, blob []byte }

func (s *sameStore) get(_ context.Context, path string, _ int64) ([]byte, string, error) {
	if strings.HasPrefix(path, "blobs/") {
		return s.blob, "", nil
	}
	return s.text, "", nil
}

func (s *sameStore) referrers(context.Context, image.Digest) ([]image.Descriptor, error) {
	return nil, nil
}

func (s *sameStore) open(context.Context, *image.Descriptor, int64) (io.ReadCloser, error) {
	return nil, errors.New("no layer is needed")
}

// The example of the DSSE specification, v1.0.0.
func TestPreAuth(t *testing.T) {
	if got := string(preAuth("http://example.com/HelloWorld", []byte("hello world"))); got != "DSSEv1 29 http://example.com/HelloWorld 11 hello world" {
		t.Error(got)
	}
}
