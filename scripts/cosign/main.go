// Command cosign signs an image of a registry as cosign does, once for every case that
// lxc-pull must accept or refuse:
//
//	go run -C scripts ./cosign -o DIR http://127.0.0.1:5000 app:latest
//
// Each case is a repository of its own, cosign/CASE-PLACE, with a copy of the image: PLACE is
// "tag" for cosign 2's signatures, at the tag sha256-HEX.sig, and "bundle" for those of cosign 3,
// which refer to the image. The registry must accept uploads from everybody. DIR gets the public
// keys, KEY.pub, and the file "cases" with a line for each case, of fields between tabs: the
// reference without the registry, the file of the trusted key, and the words of the error, which
// are empty if the signature is good.
package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	dir := flag.String("o", "", "the `DIR` for the keys and the list of cases")
	flag.Parse()
	if flag.NArg() != 2 || *dir == "" {
		fmt.Fprintln(os.Stderr, "usage: cosign -o DIR http://HOST:PORT REPOSITORY:TAG")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), flag.Arg(1), *dir); err != nil {
		fmt.Fprintln(os.Stderr, "cosign:", err)
		os.Exit(1)
	}
}

// A testCase is one way to sign an image.
type testCase struct {
	name  string
	place string // "tag" or "bundle"; "": both
	key   string // that lxc-pull trusts; "": p256
	want  string // words of the error; "": the signature is good
	make  signature
}

// testCases has a case for each kind of key and for each refusal.
func testCases() []testCase {
	first := func(text []byte) []byte { return append([]byte{text[0] ^ 1}, text[1:]...) }
	blank := func(text []byte) []byte { return append([]byte(" "), text...) }
	return []testCase{
		{name: "p256"},
		{name: "p384", key: "p384"},
		{name: "p521", key: "p521"},
		{name: "ed25519", key: "ed25519"},
		{name: "ed25519ph", key: "ed25519", make: signature{prehash: true}},
		{name: "rsa", key: "rsa"},
		{name: "sha256", key: "p384", make: signature{sha256: true}},
		{name: "platforms", make: signature{platforms: true}},
		{name: "beside-another", make: signature{before: "other"}},
		{name: "repository", place: "tag", make: signature{repository: "{HOST}/{REPOSITORY}"}},
		{name: "no-signature", want: "no cosign signature", make: signature{none: true}},
		{name: "wrong-key", want: "another key signed it", make: signature{key: "other"}},
		{name: "wrong-digest", want: "signed something else: the digest is", make: signature{digest: "sha256:" + strings.Repeat("0", 64)}},
		{name: "altered-payload", want: "another key signed it", make: signature{changePayload: blank}},
		{name: "altered-signature", want: "another key signed it", make: signature{changeSignature: first}},
		{name: "other-repository", place: "tag", want: "the repository is", make: signature{repository: "{HOST}/cosign/p256-tag"}},
		{name: "other-host", place: "tag", want: "the repository is", make: signature{repository: "registry.invalid/{REPOSITORY}"}},
		{name: "another-type", place: "tag", want: "signed something else", make: signature{kind: "atomic container signature"}},
		{name: "another-predicate", place: "bundle", want: "signed something else", make: signature{kind: "https://slsa.dev/provenance/v1"}},
		{name: "another-payload-type", place: "bundle", want: "the payload's type is", make: signature{payloadType: "application/json"}},
		{name: "keyless", want: "keyless", make: signature{key: "other", byCert: true}},
	}
}

// run makes all cases.
func run(registry, name, dir string) error {
	repository, tag, ok := strings.Cut(name, ":")
	if !ok {
		return fmt.Errorf("%q has no tag", name)
	}
	keys, err := makeKeys(dir)
	if err != nil {
		return err
	}
	r := &server{url: strings.TrimSuffix(registry, "/")}
	var list strings.Builder
	for _, c := range testCases() {
		if c.key == "" {
			c.key = "p256"
		}
		if c.make.key == "" {
			c.make.key = c.key
		}
		for _, place := range []string{"tag", "bundle"} {
			if c.place != "" && c.place != place {
				continue
			}
			to := "cosign/" + c.name + "-" + place
			copied, err := r.copyImage(repository, to, tag)
			if err == nil {
				err = c.make.store(r, keys, place, to, copied)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", to, err)
			}
			fmt.Fprintf(&list, "%s:%s\t%s.pub\t%s\n", to, tag, c.key, c.want)
		}
	}
	return os.WriteFile(filepath.Join(dir, "cases"), []byte(list.String()), 0o666)
}

// makeKeys returns new keys of each kind by their names, and writes the public ones to dir. "other"
// is a key that nobody trusts.
func makeKeys(dir string) (map[string]crypto.Signer, error) {
	keys := map[string]crypto.Signer{}
	var failed error
	add := func(name string, key crypto.Signer, err error) {
		if err != nil {
			failed = errors.Join(failed, err)
			return
		}
		keys[name] = key
		der, err := x509.MarshalPKIXPublicKey(key.Public())
		if err == nil {
			block := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
			err = os.WriteFile(filepath.Join(dir, name+".pub"), block, 0o666)
		}
		failed = errors.Join(failed, err)
	}
	for name, curve := range map[string]elliptic.Curve{"p256": elliptic.P256(), "other": elliptic.P256(), "p384": elliptic.P384(), "p521": elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		add(name, key, err)
	}
	_, small, err := ed25519.GenerateKey(rand.Reader)
	add("ed25519", small, err)
	large, err := rsa.GenerateKey(rand.Reader, 2048)
	add("rsa", large, err)
	return keys, failed
}
