package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
)

// The media types of cosign's files.
const (
	typeManifest  = "application/vnd.oci.image.manifest.v1+json"
	typeIndex     = "application/vnd.oci.image.index.v1+json"
	typeConfig    = "application/vnd.oci.image.config.v1+json"
	typeEmpty     = "application/vnd.oci.empty.v1+json"
	typeSimple    = "application/vnd.dev.cosign.simplesigning.v1+json"
	typeBundle    = "application/vnd.dev.sigstore.bundle.v0.3+json"
	typeStatement = "application/vnd.in-toto+json"
)

// A signature says how an image is signed. Its zero value is a good signature by cosign's defaults.
type signature struct {
	key         string // the name of the key
	digest      string // that is signed; "": the image's
	repository  string // that the payload names, with {HOST} and {REPOSITORY}
	kind        string // the payload's type, or the statement's predicate; "": cosign's
	payloadType string // of the envelope; "": an in-toto statement
	before      string // the name of a key that makes another signature before this one; "": none

	sha256    bool // with SHA-256, as cosign 2 signs with every ECDSA key
	prehash   bool // Ed25519ph, as cosign signs with keys that it made
	platforms bool // the manifests that the index lists are signed, not the index
	byCert    bool // there is a certificate in place of a key
	none      bool // there is no signature

	changePayload, changeSignature func([]byte) []byte // after signing; nil: not changed
}

// object is a JSON object.
type object map[string]any

// toJSON returns v as JSON.
func toJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // there are only strings and numbers in it
	}
	return text
}

// or returns the first string that is not empty.
func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// store signs an image and stores the signature in its repository.
func (s signature) store(r *server, keys map[string]crypto.Signer, place, repository string, img *copied) error {
	if s.none {
		return nil
	}
	targets := []descriptor{img.top}
	if s.platforms {
		targets = img.manifests
	}
	for _, target := range targets {
		all := []signature{s}
		if s.before != "" {
			all = []signature{{key: s.before}, s}
		}
		var layers []object
		for _, one := range all {
			layer, err := one.layer(r, keys[one.key], place, repository, target.Digest)
			if err != nil {
				return err
			}
			layers = append(layers, layer)
		}
		if err := r.putSignatures(place, repository, target, layers); err != nil {
			return err
		}
	}
	return nil
}

// putSignatures stores the signatures of target: those of cosign 2 are layers of one manifest, and
// each of cosign 3 has a manifest of its own.
func (r *server) putSignatures(place, repository string, target descriptor, layers []object) error {
	tag := strings.Replace(target.Digest, ":", "-", 1)
	empty, err := r.putBlob(repository, []byte("{}"))
	if err != nil {
		return err
	}
	if place == "tag" {
		empty["mediaType"] = typeConfig
		_, err = r.putManifest(repository, tag+".sig", typeManifest, toJSON(object{
			"schemaVersion": 2, "mediaType": typeManifest, "config": empty, "layers": layers}))
		return err
	}
	empty["mediaType"] = typeEmpty
	var list []object
	listed := true // by the registry
	for _, layer := range layers {
		text := toJSON(object{"schemaVersion": 2, "mediaType": typeManifest, "artifactType": typeBundle,
			"config": empty, "layers": []object{layer}, "subject": target,
			"annotations": object{"dev.sigstore.bundle.content": "dsse-envelope"}})
		digest := digestOf(text)
		knows, err := r.putManifest(repository, digest, typeManifest, text)
		if err != nil {
			return err
		}
		listed = listed && knows
		// cosign lists its bundles by the type of their config.
		list = append(list, object{"mediaType": typeManifest, "digest": digest, "size": len(text), "artifactType": typeEmpty})
	}
	if !listed { // OCI distribution spec, "Referrers Tag Schema"
		_, err = r.putManifest(repository, tag, typeIndex, toJSON(object{"schemaVersion": 2, "mediaType": typeIndex, "manifests": list}))
	}
	return err
}

// layer signs a digest and stores the payload or bundle. It returns its descriptor.
func (s signature) layer(r *server, key crypto.Signer, place, repository, digest string) (object, error) {
	digest = or(s.digest, digest)
	if place == "tag" {
		_, host, _ := strings.Cut(r.url, "://")
		named := strings.NewReplacer("{HOST}", host, "{REPOSITORY}", repository).Replace(s.repository)
		payload := toJSON(object{"critical": object{
			"identity": object{"docker-reference": named},
			"image":    object{"docker-manifest-digest": digest},
			"type":     or(s.kind, "cosign container image signature"),
		}, "optional": nil})
		sig, err := s.sign(key, payload)
		if err != nil {
			return nil, err
		}
		layer, err := r.putBlob(repository, s.changed(payload))
		if err != nil {
			return nil, err
		}
		notes := object{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(sig)}
		if s.byCert {
			notes["dev.sigstore.cosign/certificate"] = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"
		}
		layer["mediaType"], layer["annotations"] = typeSimple, notes
		return layer, nil
	}
	_, hex, _ := strings.Cut(digest, ":")
	payload := toJSON(object{
		"_type":         "https://in-toto.io/Statement/v1",
		"subject":       []object{{"digest": object{"sha256": hex}}},
		"predicateType": or(s.kind, "https://sigstore.dev/cosign/sign/v1"),
		"predicate":     object{},
	})
	kind := or(s.payloadType, typeStatement)
	sig, err := s.sign(key, fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(kind), kind, len(payload), payload))
	if err != nil {
		return nil, err
	}
	by := object{"publicKey": object{"hint": "cosign.pub"}}
	if s.byCert {
		by = object{"certificate": object{"rawBytes": "MAA="}}
	}
	layer, err := r.putBlob(repository, toJSON(object{
		"mediaType":            typeBundle,
		"verificationMaterial": by,
		"dsseEnvelope": object{
			"payload": base64.StdEncoding.EncodeToString(s.changed(payload)), "payloadType": kind,
			"signatures": []object{{"sig": base64.StdEncoding.EncodeToString(sig)}},
		},
	}))
	if err != nil {
		return nil, err
	}
	layer["mediaType"] = typeBundle
	return layer, nil
}

// changed returns the payload as it is stored.
func (s signature) changed(payload []byte) []byte {
	if s.changePayload != nil {
		return s.changePayload(payload)
	}
	return payload
}

// sign signs a message.
func (s signature) sign(key crypto.Signer, message []byte) ([]byte, error) {
	hash := crypto.SHA256
	switch key := key.(type) {
	case ed25519.PrivateKey:
		hash = 0
		if s.prehash {
			hash = crypto.SHA512
		}
	case *ecdsa.PrivateKey:
		switch {
		case s.sha256:
		case key.Curve == elliptic.P384():
			hash = crypto.SHA384
		case key.Curve == elliptic.P521():
			hash = crypto.SHA512
		}
	}
	digest := message
	if hash != 0 {
		w := hash.New()
		w.Write(message)
		digest = w.Sum(nil)
	}
	sig, err := key.Sign(rand.Reader, digest, hash)
	if err == nil && s.changeSignature != nil {
		sig = s.changeSignature(sig)
	}
	return sig, err
}
