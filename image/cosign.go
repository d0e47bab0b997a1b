package image

import "errors"

// A Claim is what a signature of cosign says: the digest of the manifest that was signed, and
// the repository, "" if the signature names none.
type Claim struct{ Digest, Repository string }

// ParseSimpleSigning parses the payload of a signature that cosign up to 2.x made
// ("application/vnd.dev.cosign.simplesigning.v1+json").
func ParseSimpleSigning(text []byte) (Claim, error) { return Claim{}, errors.New("todo") }

// A Bundle is a signature that cosign 3 made ("application/vnd.dev.sigstore.bundle.v0.3+json"):
// a DSSE envelope.
type Bundle struct {
	_          [0]func() // forbids ==, whose code nothing needs
	Payload    []byte    // an in-toto statement (ParseStatement)
	Type       string    // the payload's type
	Signatures [][]byte  // of DSSE's pre-authentication encoding of Type and Payload
}

// ParseBundle parses a bundle.
func ParseBundle(text []byte) (*Bundle, error) { return nil, errors.New("todo") }

// ParseStatement parses the in-toto statement of a signature of cosign 3. It refuses
// statements of other predicates than cosign's signatures.
func ParseStatement(text []byte) ([]Claim, error) { return nil, errors.New("todo") }
