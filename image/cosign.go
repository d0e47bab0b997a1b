package image

import (
	"encoding/base64"
	"errors"
	"strings"

	"lxc-pull/image/json"
)

// Limits of signatures.
const (
	maxSigned     = 1 << 20 // bytes of a payload, bundle or statement; those of cosign have 3 kB
	maxSignatures = 16      // of a bundle; cosign makes one
	maxSubjects   = 1000    // of a statement; cosign names one
)

// The media types of cosign's signatures.
const (
	SimpleSigning = "application/vnd.dev.cosign.simplesigning.v1+json" // of cosign up to 2.x
	SigstoreType  = "application/vnd.dev.sigstore.bundle.v0.3+json"    // of cosign 3
	InTotoType    = "application/vnd.in-toto+json"                     // of the payload of a bundle
)

// A Claim is what a signature of cosign says: the digest of the manifest that was signed, and
// the repository, "" if the signature names none.
type Claim struct{ Digest, Repository string }

// ParseSimpleSigning parses the payload of a signature that cosign up to 2.x made
// ("application/vnd.dev.cosign.simplesigning.v1+json"). The repository is as Reference.Name
// returns it. Members of "critical" that are not known must not be passed over
// (containers/image, containers-signature(5)).
func ParseSimpleSigning(text []byte) (Claim, error) {
	v, err := parse(text, maxSigned)
	r := new(reader)
	var c Claim
	if err == nil {
		critical := r.object(v, "critical")
		critical.Members(func(name string, _ json.Value) bool {
			if name != "identity" && name != "image" && name != "type" {
				r.err = errors.New("its critical member " + quote(name) + " is not known")
			}
			return r.err == nil
		})
		if kind := r.text(critical, "type", maxShort); r.err == nil && kind != "cosign container image signature" {
			r.err = errors.New("it is of type " + quote(kind) + ", which is not that of an image's signature")
		}
		c.Digest = string(r.digest(r.object(critical, "image"), "docker-manifest-digest"))
		if name := r.text(r.object(critical, "identity"), "docker-reference", maxShort); r.err == nil && name != "" {
			var ref Reference
			if ref, r.err = ParseReference(name); r.err == nil {
				c.Repository = ref.Name()
			}
		}
		err = r.err
	}
	if err != nil {
		return Claim{}, errors.New("payload of a signature: " + err.Error())
	}
	return c, nil
}

// A Bundle is a signature that cosign 3 made ("application/vnd.dev.sigstore.bundle.v0.3+json"):
// a DSSE envelope, or a signature of the manifest itself ("messageSignature").
type Bundle struct {
	_          [0]func() // forbids ==, whose code nothing needs
	Payload    []byte    // an in-toto statement (ParseStatement)
	Type       string    // the payload's type
	Signatures [][]byte  // of DSSE's pre-authentication encoding of Type and Payload
	// Message is the digest of the manifest if the signature is one of the manifest's own
	// bytes; Payload and Type are then empty. "": it is a DSSE envelope.
	Message Digest
}

// ParseBundle parses a bundle.
func ParseBundle(text []byte) (*Bundle, error) {
	v, err := parse(text, maxSigned)
	b, r := new(Bundle), new(reader)
	if err == nil {
		r.bundle(b, v)
		err = r.err
	}
	if err != nil {
		return nil, errors.New("bundle of a signature: " + err.Error())
	}
	return b, nil
}

// bundle reads a bundle.
func (r *reader) bundle(b *Bundle, v json.Value) {
	// Before 0.3 the type was written as application/vnd.dev.sigstore.bundle+json;version=0.2.
	if kind := r.text(v, "mediaType", maxShort); r.err == nil && !strings.HasPrefix(kind, "application/vnd.dev.sigstore.bundle") {
		r.err = errors.New("its type is " + quote(kind))
	}
	material := r.object(v, "verificationMaterial")
	envelope, message := r.object(v, "dsseEnvelope"), r.object(v, "messageSignature")
	switch {
	case r.err != nil:
	case !material.Get("certificate").IsNull() || !material.Get("x509CertificateChain").IsNull():
		r.err = errors.New("keyless signatures are not supported: sign with a key (cosign sign --key)")
	case envelope.IsNull() == message.IsNull():
		r.err = errors.New("it has not just one of dsseEnvelope and messageSignature")
	case envelope.IsNull():
		digest := r.object(message, "messageDigest")
		if kind := r.text(digest, "algorithm", maxShort); r.err == nil && kind != "SHA2_256" {
			r.err = errors.New("digests of the kind " + quote(kind) + " are not supported, only SHA2_256")
		}
		sum := r.base64(digest, "digest")
		if r.err == nil && len(sum) != 32 {
			r.fail("digest", "is no SHA-256 digest")
		}
		b.Message = hexDigest(sum)
		b.Signatures = append(b.Signatures, r.base64(message, "signature"))
	default:
		b.Payload, b.Type = r.base64(envelope, "payload"), r.text(envelope, "payloadType", maxShort)
		r.items(envelope, "signatures", maxSignatures, func(item json.Value) {
			b.Signatures = append(b.Signatures, r.base64(item, "sig"))
		})
		if r.err == nil && len(b.Signatures) == 0 {
			r.fail("signatures", "is empty")
		}
	}
}

// base64 returns a member that is the Base64 of bytes, and not empty: standard, or that for URLs,
// as DSSE allows both.
func (r *reader) base64(v json.Value, name string) []byte {
	text := r.text(v, name, maxSigned)
	coding := base64.StdEncoding
	if strings.ContainsAny(text, "-_") {
		coding = base64.URLEncoding
	}
	data, err := coding.DecodeString(text)
	if err != nil || len(data) == 0 {
		r.fail(name, "is no Base64")
	}
	return data
}

// hexDigest returns a digest of its bytes.
func hexDigest(sum []byte) Digest {
	text := []byte("sha256:")
	for _, b := range sum {
		text = append(text, "0123456789abcdef"[b>>4], "0123456789abcdef"[b&15])
	}
	return Digest(text)
}

// ParseStatement parses the in-toto statement of a signature of cosign 3. It refuses
// statements of other predicates than cosign's signatures: attestations, such as those about a
// build, say nothing about who wants the image to be used. The repository of a claim is the
// subject's name if that is the name of an image with a host; cosign itself writes none.
func ParseStatement(text []byte) ([]Claim, error) {
	v, err := parse(text, maxSigned)
	r := new(reader)
	var claims []Claim
	if err == nil {
		if kind := r.text(v, "_type", maxShort); r.err == nil && kind != "https://in-toto.io/Statement/v1" && kind != "https://in-toto.io/Statement/v0.1" {
			r.err = errors.New("its type is " + quote(kind))
		}
		if kind := r.text(v, "predicateType", maxShort); r.err == nil && kind != "https://sigstore.dev/cosign/sign/v1" {
			r.err = errors.New("it is an attestation of the kind " + quote(kind) + ", not the signature of an image")
		}
		r.items(v, "subject", maxSubjects, func(item json.Value) {
			digest, name := r.text(r.object(item, "digest"), "sha256", maxShort), r.text(item, "name", maxShort)
			d, why := parseDigest("sha256:" + digest)
			if why != "" {
				r.fail("subject", "is wrong: "+why)
			}
			c := Claim{Digest: string(d)}
			if ref, err := ParseReference(name); err == nil && (strings.HasPrefix(name, ref.Host+"/") || strings.HasPrefix(name, "index.docker.io/")) {
				c.Repository = ref.Name()
			}
			claims = append(claims, c)
		})
		if r.err == nil && len(claims) == 0 {
			r.err = errors.New("it names no image")
		}
		err = r.err
	}
	if err != nil {
		return nil, errors.New("statement of a signature: " + err.Error())
	}
	return claims, nil
}
