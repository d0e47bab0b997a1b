package source

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"lxc-pull/fetch"
	"lxc-pull/image"
)

// Limits of the signatures of one image. Who can write into the repository can add any number.
const (
	// maxSignatures is how many signatures, and manifests of signatures, are looked at. A
	// project that signs a digest again every week has 50 in a year.
	maxSignatures = 100
	// maxSigned is the size of the largest payload or bundle in bytes. A payload has 300 bytes,
	// a bundle with the proofs of a transparency log 10 kB. Lists of software, which are in
	// bundles too, have megabytes and are no signatures of the image.
	maxSigned = 128 << 10
	// maxEnvelope is how many signatures of one bundle are tried; cosign writes one.
	maxEnvelope = 4
	// maxEncoded is the length of the longest signature in base64. One by an RSA key of 16384
	// bits has 2,732.
	maxEncoded = 4 << 10
)

// The types of cosign's files.
const (
	simpleSigningType = "application/vnd.dev.cosign.simplesigning.v1+json"
	simpleArtifact    = "application/vnd.dev.cosign.artifact.sig.v1+json"
	bundleType        = "application/vnd.dev.sigstore.bundle.v0.3+json"
	statementType     = "application/vnd.in-toto+json"
	// emptyType is the type of an empty config. cosign takes it for the type of its bundles when
	// it lists them itself, at registries without the API of referrers.
	emptyType = "application/vnd.oci.empty.v1+json"
)

// A refusal says how much the reason why signatures don't count tells the user. Of several
// reasons the largest is reported.
type refusal int

const (
	notSigned  refusal = iota // there is no signature
	unreadable                // files that are not in a known format
	keyless                   // signatures by certificates (Fulcio)
	notOurs                   // signatures by other keys, or of changed text
	otherClaim                // a trusted key signed something else
)

// A cosignSearch looks for a good signature of one image.
type cosignSearch struct {
	_       [0]func() // forbids ==, whose code nothing needs
	finder  *Finder
	store   store
	ref     *image.Reference
	left    int     // signatures and manifests that may still be looked at
	refusal refusal // of why
	why     error   // nil: no signature was seen
	failure error   // of the registry, the first; nil: it gave everything
}

// checkCosign returns which trusted key signed the manifest or index top, or the manifest, which
// is top or one that the index top lists: a signature of an index vouches for what it lists. A
// signature may be at the tag sha256-HEX.sig, as cosign up to 2.x writes it, or in a bundle that
// refers to the digest, as cosign 3 does. One good signature is enough. ref is the name under
// which the user knows the image; signatures may be bound to its repository. An archive
// has none: its ref has no Host.
//
// The error is of Kind Unverified and says why the signatures don't count. It is the store's, such
// as one of Kind Network, if no signature was seen and the store did not say that there is none.
func (f *Finder) checkCosign(ctx context.Context, s store, ref *image.Reference, top, manifest image.Digest) (signers, error) {
	if f.trust.keys == nil {
		return signers{}, nil // nothing is checked
	}
	what := "the image " + string(top)
	if ref.Host != "" {
		what = strconv.Quote(ref.String())
	}
	if !f.trust.keys.HasPlain() {
		_, err := f.trust.keys.VerifyPlain(nil, nil)
		return signers{}, unverified(what, err)
	}
	c := &cosignSearch{finder: f, store: s, ref: ref, left: maxSignatures}
	by := c.find(ctx, top)
	if by == "" && manifest != top {
		by = c.find(ctx, manifest)
	}
	switch {
	case by != "":
		return signers{keys: []string{by}}, nil
	case ctx.Err() != nil:
		return signers{}, ctx.Err()
	case c.failure != nil && c.why == nil:
		return signers{}, fmt.Errorf("the signatures of %s: %w", what, c.failure)
	case c.why == nil:
		c.why = errors.New("no cosign signature of " + string(top))
		if manifest != top {
			c.why = fmt.Errorf("%w or %s", c.why, string(manifest))
		}
	case c.failure != nil:
		c.why = fmt.Errorf("%w; other signatures can't be read: %v", c.why, c.failure)
	case c.left == 0:
		c.why = fmt.Errorf("%w; only %d signatures are looked at", c.why, maxSignatures)
	}
	return signers{}, unverified(what, c.why)
}

// note records why a signature does not count.
func (c *cosignSearch) note(r refusal, why error) {
	if r > c.refusal {
		c.refusal, c.why = r, why
	}
}

// failed records an error of the store, unless it says that there is no such file.
func (c *cosignSearch) failed(err error) {
	switch {
	case isUnverified(err):
		c.note(notOurs, err) // the bytes don't have their digest
	case c.failure == nil && !isAbsent(err):
		c.failure = err
	}
}

// stopped reports whether the search must end: the registry can't be reached, or enough was
// looked at.
func (c *cosignSearch) stopped(ctx context.Context) bool {
	return ctx.Err() != nil || c.left == 0 || c.failure != nil && Offline(c.failure)
}

// find looks for a good signature of target and returns the fingerprint of its key, "" if there
// is none.
func (c *cosignSearch) find(ctx context.Context, target image.Digest) string {
	if c.stopped(ctx) {
		return ""
	}
	tag := strings.Replace(string(target), ":", "-", 1)
	if by := c.look(ctx, tag+".sig", target); by != "" || c.stopped(ctx) {
		return by
	}
	list, err := c.store.referrers(ctx, target)
	if err != nil && !refusesCall(err) {
		c.failed(err)
	}
	list = onlySignatures(list)
	if len(list) == 0 && !c.stopped(ctx) {
		// The place where referrers are listed at registries without the API (distribution
		// spec, "Referrers Tag Schema").
		if m, _ := c.manifest(ctx, tag); m != nil && m.Index {
			list = onlySignatures(m.Manifests)
		}
	}
	for i := range list {
		if c.stopped(ctx) {
			return ""
		}
		c.left--
		if by := c.look(ctx, string(list[i].Digest), target); by != "" {
			return by
		}
	}
	return ""
}

// onlySignatures returns those of the manifests that may be cosign's signatures.
func onlySignatures(list []image.Descriptor) []image.Descriptor {
	var some []image.Descriptor
	for _, d := range list {
		switch d.ArtifactType {
		case bundleType, simpleArtifact, emptyType, "":
			some = append(some, d)
		}
	}
	return some
}

// manifest returns a manifest or index by its tag or digest, and its text; nil if it can't.
func (c *cosignSearch) manifest(ctx context.Context, name string) (*image.Manifest, []byte) {
	text, mediaType, err := c.store.manifest(ctx, name)
	if err != nil {
		c.failed(err)
		return nil, nil
	}
	m, err := image.ParseManifest(text, mediaType)
	if err != nil {
		c.note(unreadable, fmt.Errorf("the manifest of a signature, %s: %w", name, err))
		return nil, nil
	}
	return m, text
}

// look looks for a good signature of target in the manifest with that name: its layers are
// payloads or bundles. It passes over artifacts of other kinds, such as lists of software. It
// returns the fingerprint of the key, "" if there is none.
func (c *cosignSearch) look(ctx context.Context, name string, target image.Digest) string {
	m, text := c.manifest(ctx, name)
	if m == nil || m.Index {
		return ""
	}
	switch m.ArtifactType {
	case bundleType, simpleArtifact, emptyType, "":
	default:
		return ""
	}
	// Only the words of an error depend on this.
	byCert := bytes.Count(text, []byte(`"dev.sigstore.cosign/certificate"`)) >= len(m.Layers)
	for i := range m.Layers {
		if c.stopped(ctx) {
			return ""
		}
		c.left--
		if by := c.layer(ctx, &m.Layers[i], byCert, target); by != "" {
			return by
		}
	}
	return ""
}

// layer returns the fingerprint of the key that made the signature of target in the layer, "" if
// it is not good.
func (c *cosignSearch) layer(ctx context.Context, d *image.Descriptor, byCert bool, target image.Digest) string {
	if d.MediaType != simpleSigningType && d.MediaType != bundleType {
		c.note(unreadable, fmt.Errorf("a signature of the unknown type %q", clip(d.MediaType)))
		return ""
	}
	if d.Size > maxSigned {
		c.note(unreadable, fmt.Errorf("a signature of %d bytes, more than %d", d.Size, maxSigned))
		return ""
	}
	text, err := c.store.small(ctx, d, maxSigned)
	if err != nil {
		if isAbsent(err) {
			c.note(unreadable, fmt.Errorf("a signature is missing: %w", err))
		}
		c.failed(err)
		return ""
	}
	if d.MediaType == bundleType {
		return c.bundle(text, target)
	}
	return c.simple(text, d.Signature, byCert, target)
}

// simple checks a payload of cosign up to 2.x with its signature in base64.
func (c *cosignSearch) simple(payload []byte, encoded string, byCert bool, target image.Digest) string {
	sig, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(sig) == 0 || len(encoded) > maxEncoded {
		c.note(unreadable, errors.New("a signature that is not base64"))
		return ""
	}
	by := c.signer(payload, sig, byCert)
	if by == "" {
		return ""
	}
	claim, err := image.ParseSimpleSigning(payload)
	if err != nil {
		c.note(otherClaim, signedOther(by, err))
		return ""
	}
	return c.accept(by, []image.Claim{claim}, target)
}

// bundle checks a bundle of cosign 3.
func (c *cosignSearch) bundle(text []byte, target image.Digest) string {
	b, err := image.ParseBundle(text)
	if err != nil {
		c.note(unreadable, fmt.Errorf("a bundle with a signature: %w", err))
		return ""
	}
	// Only the words of an error depend on this (sigstore_bundle.proto, VerificationMaterial).
	byCert := bytes.Contains(text, []byte(`"certificate"`)) || bytes.Contains(text, []byte(`"x509CertificateChain"`))
	message := preAuth(b.Type, b.Payload)
	by := ""
	for i, sig := range b.Signatures {
		if by == "" && i < maxEnvelope {
			by = c.signer(message, sig, byCert)
		}
	}
	if by == "" {
		if len(b.Signatures) == 0 {
			c.note(unreadable, errors.New("a bundle without a signature"))
		}
		return ""
	}
	if b.Type != statementType {
		c.note(otherClaim, signedOther(by, fmt.Errorf("the payload's type is %q", clip(b.Type))))
		return ""
	}
	claims, err := image.ParseStatement(b.Payload)
	if err != nil {
		c.note(otherClaim, signedOther(by, err))
		return ""
	}
	return c.accept(by, claims, target)
}

// preAuth returns the text over which the signatures of a DSSE envelope are (DSSE v1.0.0, "PAE").
func preAuth(kind string, payload []byte) []byte {
	head := "DSSEv1 " + strconv.Itoa(len(kind)) + " " + kind + " " + strconv.Itoa(len(payload)) + " "
	return append([]byte(head), payload...)
}

// signer returns the fingerprint of the trusted key that signed the message, or notes why none
// did. byCert says that a certificate belongs to the signature.
func (c *cosignSearch) signer(message, sig []byte, byCert bool) string {
	by, err := c.finder.trust.keys.VerifyPlain(message, sig)
	switch {
	case err == nil:
		return by
	case byCert:
		c.note(keyless, fmt.Errorf("it is signed without a key, by a certificate of a login (Fulcio), which lxc-pull can't verify: %w", err))
	default:
		c.note(notOurs, fmt.Errorf("another key signed it, or the signature or its text was changed: %w", err))
	}
	return ""
}

// accept returns by if what its signature says is true of target.
func (c *cosignSearch) accept(by string, claims []image.Claim, target image.Digest) string {
	for i := range claims {
		claim := &claims[i]
		switch {
		case claim.Digest != string(target):
			c.note(otherClaim, signedOther(by, fmt.Errorf("the digest is %q, not %s", clip(claim.Digest), string(target))))
		case !c.isOfRepository(claim.Repository):
			c.note(otherClaim, signedOther(by, fmt.Errorf("the repository is %q", clip(claim.Repository))))
		default:
			return by
		}
	}
	if len(claims) == 0 {
		c.note(otherClaim, signedOther(by, errors.New("no digest")))
	}
	return ""
}

// isOfRepository reports whether a signature that names a repository was made for the image.
// "" names none, and an archive is in none.
func (c *cosignSearch) isOfRepository(named string) bool {
	if named == "" || c.ref.Host == "" {
		return true
	}
	r, err := image.ParseReference(named)
	return err == nil && r.Host == c.ref.Host && r.Repository == c.ref.Repository
}

// signedOther returns the reason to refuse a signature of a trusted key.
func signedOther(by string, why error) error {
	return fmt.Errorf("the trusted key %s signed something else: %w", by, why)
}

// clip shortens a string from outside for an error's text.
func clip(s string) string {
	if len(s) > 128 {
		return s[:128] + "..."
	}
	return s
}

// isAbsent reports whether err says that a store does not have a file.
func isAbsent(err error) bool {
	if KindOf(err) == NotFound || errors.Is(err, fs.ErrNotExist) {
		return true
	}
	list := fetch.Failures(err)
	for _, e := range list {
		if !isNotFound(e) {
			return false
		}
	}
	return len(list) > 0
}

// refusesCall reports whether err says that a registry does not know the call that lists
// referrers, which older registries lack. They answer with various statuses, or a web page.
func refusesCall(err error) bool {
	list := fetch.Failures(err)
	for _, e := range list {
		switch e.Status {
		case 400, 404, 405, 406, 410, 415, 501:
		default:
			if e.Kind != fetch.KindHTML {
				return false
			}
		}
	}
	return len(list) > 0
}
