package image

import (
	"encoding/base64"
	"encoding/hex"
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
	SimpleSigning  = "application/vnd.dev.cosign.simplesigning.v1+json" // of cosign up to 2.x
	SigstoreBundle = "application/vnd.dev.sigstore.bundle.v0.3+json"    // of cosign 3
	InTotoType     = "application/vnd.in-toto+json"                     // of the payload of a bundle
)

// A Claim is what a signature of cosign says: the digest of the manifest that was signed, and
// the repository, "" if the signature names none.
type Claim struct {
	_ [0]func() // forbids ==, whose code nothing needs

	Digest, Repository string
}

// ParseSimpleSigning parses the payload of a signature that cosign up to 2.x made
// ("application/vnd.dev.cosign.simplesigning.v1+json"). The repository is as Reference.Name
// returns it. Members of "critical" that are not known must not be passed over
// (containers-signature(5)).
func ParseSimpleSigning(text []byte) (Claim, error) {
	r := read(text, maxSigned)
	critical := r.object(r.value, "critical")
	parts, _ := critical.Members()
	for i := 0; i < len(parts); i += 2 {
		if name, _ := parts[i].Text(); name != "identity" && name != "image" && name != "type" {
			r.fail("its critical member " + quote(name) + " is not known")
		}
	}
	r.want(critical, "type", "cosign container image signature")
	c := Claim{Digest: string(r.digest(r.text(r.object(critical, "image"), "docker-manifest-digest")))}
	if name := r.text(r.object(critical, "identity"), "docker-reference"); name != "" {
		ref, why := parseReference(name)
		if why != "" {
			r.fail(why)
		}
		c.Repository = ref.Name()
	}
	return c, r.done("payload of a signature")
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
	r, b := read(text, maxSigned), new(Bundle)
	r.want(r.value, "mediaType", SigstoreBundle)
	material := r.object(r.value, "verificationMaterial")
	if !material.Get("certificate").IsNull() || !material.Get("x509CertificateChain").IsNull() {
		r.fail("keyless signatures are not supported, only those of a key")
	}
	envelope, message := r.object(r.value, "dsseEnvelope"), r.object(r.value, "messageSignature")
	switch {
	case envelope.IsNull() == message.IsNull():
		r.fail("it must have either dsseEnvelope or messageSignature")
	case envelope.IsNull():
		digest := r.object(message, "messageDigest")
		r.want(digest, "algorithm", "SHA2_256")
		b.Message = r.digest("sha256:" + hex.EncodeToString(r.bytes(digest, "digest")))
		b.Signatures = append(b.Signatures, r.bytes(message, "signature"))
	default:
		b.Payload, b.Type = r.bytes(envelope, "payload"), r.text(envelope, "payloadType")
		for _, item := range r.items(envelope, "signatures", maxSignatures) {
			b.Signatures = append(b.Signatures, r.bytes(item, "sig"))
		}
		if len(b.Signatures) == 0 {
			r.fail("it has no signatures")
		}
	}
	return b, r.done("bundle of a signature")
}

// bytes returns a member that is the Base64 of bytes, and not empty: standard, or that for URLs,
// as DSSE allows both.
func (r *reader) bytes(v json.Value, name string) []byte {
	text := r.text(v, name)
	coding := base64.StdEncoding
	if strings.ContainsAny(text, "-_") {
		coding = base64.URLEncoding
	}
	data, err := coding.DecodeString(text)
	if err != nil || len(data) == 0 {
		r.wrong(name, "is no Base64")
	}
	return data
}

// ParseStatement parses the in-toto statement of a signature of cosign 3. It refuses
// statements of other predicates than cosign's signatures: attestations, such as those about a
// build, say nothing about who wants the image to be used. The repository of a claim is the
// subject's name if that is the name of an image with a host; cosign itself writes none.
func ParseStatement(text []byte) (claims []Claim, err error) {
	r := read(text, maxSigned)
	r.want(r.value, "_type", "https://in-toto.io/Statement/v1")
	r.want(r.value, "predicateType", "https://sigstore.dev/cosign/sign/v1")
	for _, item := range r.items(r.value, "subject", maxSubjects) {
		c := Claim{Digest: string(r.digest("sha256:" + r.text(r.object(item, "digest"), "sha256")))}
		name := r.text(item, "name")
		if ref, why := parseReference(name); why == "" && strings.Contains(name, ref.Host+"/") {
			c.Repository = ref.Name()
		}
		claims = append(claims, c)
	}
	if len(claims) == 0 {
		r.fail("it names no image")
	}
	return claims, r.done("statement of a signature")
}
