package source

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io/fs"
	"strconv"
	"strings"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/pgp"
)

// Limits of the signatures of one image. Who can write into the repository can add any number.
const (
	// maxSignatures is how many signatures, and manifests of signatures, are looked at. A
	// project that signs a digest again every week has 50 in a year. An error names the number.
	maxSignatures = 100
	// maxSigned is the size of the largest payload or bundle in bytes. A payload has 300 bytes,
	// a bundle with the proofs of a transparency log 10 kB. Lists of software, which are in
	// bundles too, have megabytes and are no signatures of the image.
	maxSigned = 128 << 10
	// maxSignedManifest is the size of the largest manifest of signatures, or index that lists
	// them, in bytes: one line of an index has 300 bytes, a keyless signature 8 kB.
	maxSignedManifest = 256 << 10
	// maxEnvelope is how many signatures of one bundle are tried; cosign writes one.
	maxEnvelope = 4
	// maxEncoded is the length of the longest signature in base64. One by an RSA key of 16384
	// bits has 2,732.
	maxEncoded = 4 << 10
)

// The types of cosign's files.
const (
	simpleArtifact = "application/vnd.dev.cosign.artifact.sig.v1+json"
	// emptyType is the type of an empty config. cosign takes it for the type of its bundles when
	// it lists them itself, at registries without the API of referrers.
	emptyType = "application/vnd.oci.empty.v1+json"
)

// A refusal says how much the reason why a signature does not count tells the user. Of several
// reasons the largest is reported.
type refusal int

const (
	unreadable refusal = iota + 1 // a file that is not in a known format
	keyless                       // a signature by a certificate (Fulcio)
	notOurs                       // a signature by another key, or of changed text
	otherClaim                    // a trusted key signed something else
	notAll                        // not all signatures were looked at
)

// A cosignSearch looks for a good signature of one image.
type cosignSearch struct {
	_       [0]func() // forbids ==, whose code nothing needs
	keys    *pgp.Keyring
	store   textStore
	ref     *image.Reference
	target  image.Digest // whose signature is looked for
	left    int          // signatures and manifests that may still be looked at
	refusal refusal      // of why
	why     error        // nil: no signature was seen
	failure error        // of the registry, the first; nil: it gave everything
	stop    bool         // the registry can't be reached
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
func (f *Finder) checkCosign(ctx context.Context, s textStore, ref *image.Reference, top, manifest image.Digest) (signers, error) {
	if f.trust.keys == nil {
		return signers{}, nil // nothing is checked
	}
	what := string(top)
	if named := *ref; ref.Host != "" {
		named.Digest = top
		what = named.String()
	}
	c := &cosignSearch{keys: f.trust.keys, store: s, ref: ref, left: maxSignatures}
	if !c.keys.HasPlain() {
		return signers{}, unverified(what, because("no trusted key is of a PEM file, as cosign writes it", &pgp.UntrustedError{}))
	}
	by := c.find(ctx, top)
	if by == "" && manifest != top && !c.stop {
		by = c.find(ctx, manifest)
	}
	switch {
	case by != "":
		return signers{keys: []string{by}}, nil
	case c.why == nil && c.failure != nil:
		return signers{}, because("the signatures of "+what, c.failure)
	case c.why == nil:
		c.why = ErrNoSignature
	case c.failure != nil:
		c.note(notAll, "not all signatures can be read ("+c.failure.Error()+")", c.why)
	case c.left == 0:
		c.note(notAll, "more than 100 signatures", c.why)
	}
	return signers{}, unverified(what, c.why)
}

// note records why a signature does not count: the text, and the error, which may be nil. It
// returns "", which is no fingerprint.
func (c *cosignSearch) note(r refusal, text string, err error) string {
	if r > c.refusal {
		c.refusal, c.why = r, errors.New(text)
		if err != nil {
			c.why = because(text, err)
		}
	}
	return ""
}

// failed records an error of the store, unless it says that there is no such file, or the call is
// one that older registries lack. They answer it with various statuses, or a web page.
func (c *cosignSearch) failed(err error, lacked bool) {
	list := fetch.Failures(err)
	absent := len(list) > 0
	for _, e := range list {
		switch {
		case isNotFound(e):
		case lacked && (e.Kind == fetch.KindHTML || e.Status >= 400 && e.Status <= 415 && e.Status != 401 && e.Status != 403 && e.Status != 408 || e.Status == 501):
		default:
			absent = false
		}
	}
	switch kind := KindOf(err); {
	case kind == Unverified:
		c.note(notOurs, "a signature was changed", err) // its bytes don't have their digest
	case absent, kind == NotFound, errors.Is(err, fs.ErrNotExist):
	case c.failure == nil:
		c.failure = err
		c.stop = Offline(err) || len(list) == 0
	}
}

// find looks for a good signature of target and returns the fingerprint of its key, "" if there
// is none.
func (c *cosignSearch) find(ctx context.Context, target image.Digest) string {
	c.target = target
	tag := strings.Replace(string(target), ":", "-", 1)
	_, by := c.look(ctx, tag+".sig")
	if by != "" || c.stop {
		return by
	}
	list, err := c.store.referrers(ctx, target)
	by, seen := c.among(ctx, list)
	if err != nil && by == "" {
		c.failed(err, true)
	}
	if seen || c.stop {
		return by
	}
	// The place where referrers are listed at registries without the API (distribution
	// spec, "Referrers Tag Schema").
	if m, _ := c.look(ctx, tag); m != nil {
		by, _ = c.among(ctx, m.Manifests)
	}
	return by
}

// among looks for a good signature in the listed manifests. It returns the fingerprint of its key,
// "" if there is none, and whether one of the manifests may be a signature.
func (c *cosignSearch) among(ctx context.Context, list []image.Descriptor) (by string, seen bool) {
	for i := range list {
		if by != "" || c.stop || c.left == 0 {
			break
		}
		if isSignature(list[i].ArtifactType) {
			seen = true
			c.left--
			_, by = c.look(ctx, string(list[i].Digest))
		}
	}
	return by, seen
}

// appendSignatures appends those of the listed manifests to a list that may be signatures, up to
// the number that is looked at. The list does not keep the text with the others in memory.
func appendSignatures(list, more []image.Descriptor) []image.Descriptor {
	for i := range more {
		if d := &more[i]; isSignature(d.ArtifactType) && len(list) < maxSignatures {
			list = append(list, image.Descriptor{Digest: image.Digest(strings.Clone(string(d.Digest))), ArtifactType: strings.Clone(d.ArtifactType)})
		}
	}
	return list
}

// isSignature reports whether an artifact of the type may be a signature of cosign.
func isSignature(artifact string) bool {
	return artifact == image.SigstoreBundle || artifact == simpleArtifact || artifact == emptyType || artifact == ""
}

// look returns the manifest or index of that name, nil if it can't be read, and the fingerprint of
// the key that made a good signature in it, "" if there is none. The layers of a manifest
// are payloads or bundles. Artifacts of other kinds, such as lists of software, are passed over.
func (c *cosignSearch) look(ctx context.Context, name string) (m *image.Manifest, by string) {
	text, mediaType, err := c.store.get(ctx, "manifests/"+name, maxSignedManifest)
	if err != nil {
		c.failed(err, false)
		return nil, ""
	}
	if m, err = image.ParseManifest(text, mediaType); err != nil {
		return nil, c.note(unreadable, "the manifest of a signature", err)
	}
	if m.Index || !isSignature(m.ArtifactType) {
		return m, ""
	}
	// Only the words of an error depend on this.
	byCert := bytes.Count(text, []byte(`"dev.sigstore.cosign/certificate"`)) >= len(m.Layers)
	for i := range m.Layers {
		d := &m.Layers[i]
		if c.stop || c.left == 0 {
			break
		}
		c.left--
		if d.MediaType != image.SimpleSigning && d.MediaType != image.SigstoreBundle || d.Size > maxSigned {
			c.note(unreadable, "a signature of an unknown type, or larger than 128 KiB: "+quote(d.MediaType), nil)
			continue
		}
		text, _, err := c.store.get(ctx, "blobs/"+string(d.Digest), maxSigned)
		switch {
		case err != nil:
			if c.failed(err, false); c.failure == nil {
				c.note(unreadable, "a signature is missing", err)
			}
		case d.MediaType == image.SigstoreBundle:
			by = c.bundle(ctx, text)
		default:
			by = c.simple(text, d.Signature, byCert)
		}
		if by != "" {
			break
		}
	}
	return m, by
}

// simple checks a payload of cosign up to 2.x with its signature in base64.
func (c *cosignSearch) simple(payload []byte, encoded string, byCert bool) string {
	sig, err := base64.StdEncoding.DecodeString(encoded[:min(len(encoded), maxEncoded)])
	if err != nil {
		return c.note(unreadable, "a signature", err)
	}
	by := c.signer(payload, sig, byCert)
	if by == "" {
		return ""
	}
	claim, err := image.ParseSimpleSigning(payload)
	return c.accept(by, []image.Claim{claim}, err)
}

// bundle checks a bundle of cosign 3.
func (c *cosignSearch) bundle(ctx context.Context, text []byte) string {
	b, err := image.ParseBundle(text)
	if err != nil {
		return c.note(unreadable, "a bundle with a signature", err)
	}
	message := preAuth(b.Type, b.Payload)
	plain := b.Type == "" && len(b.Payload) == 0 // a signature of the manifest itself ("messageSignature")
	if plain {
		if message, _, err = c.store.get(ctx, "manifests/"+string(c.target), image.MaxManifest); err != nil {
			c.failed(err, false)
			return ""
		}
	}
	for _, sig := range b.Signatures[:min(len(b.Signatures), maxEnvelope)] {
		by := c.signer(message, sig, false)
		switch {
		case by == "":
			continue
		case plain:
			return by
		case b.Type != image.InTotoType:
			return c.accept(by, nil, errors.New("the payload's type is "+quote(b.Type)))
		}
		claims, err := image.ParseStatement(b.Payload)
		return c.accept(by, claims, err)
	}
	return ""
}

// preAuth returns the text over which the signatures of a DSSE envelope are (DSSE v1.0.0, "PAE").
func preAuth(kind string, payload []byte) []byte {
	head := "DSSEv1 " + strconv.Itoa(len(kind)) + " " + kind + " " + strconv.Itoa(len(payload)) + " "
	return append([]byte(head), payload...)
}

// signer returns the fingerprint of the trusted key that signed the message, or notes why none
// did. byCert says that a certificate belongs to the signature.
func (c *cosignSearch) signer(message, sig []byte, byCert bool) string {
	by, err := c.keys.VerifyPlain(message, sig)
	switch {
	case err == nil:
	case byCert:
		c.note(keyless, "it is keyless: a certificate of a login (Fulcio) belongs to it, not a key", err)
	default:
		c.note(notOurs, "another key signed it, or the signature or its text was changed", err)
	}
	return by
}

// accept returns by, the key of a signature, if what the signature says is true. err, if not nil,
// says why it can't be known what it says; the claims don't count then.
func (c *cosignSearch) accept(by string, claims []image.Claim, err error) string {
	why := "no digest"
	if err != nil {
		claims = nil
	}
	for i := range claims {
		claim := &claims[i]
		if claim.Digest != string(c.target) {
			why = "the digest is " + quote(claim.Digest) + ", not " + string(c.target)
			continue
		}
		// A signature may name no repository, and an archive is in none.
		if claim.Repository == "" || c.ref.Host == "" {
			return by
		}
		r, err := image.ParseReference(claim.Repository)
		if err == nil && r.Host == c.ref.Host && r.Repository == c.ref.Repository {
			return by
		}
		why = "the repository is " + quote(claim.Repository)
	}
	if err == nil {
		err = errors.New(why)
	}
	return c.note(otherClaim, "the trusted key "+by+" signed something else", err)
}

// quote quotes a string from outside, of which the beginning is enough, for an error.
func quote(s string) string { return strconv.Quote(s[:min(len(s), 128)]) }
