package fetch

import (
	"bytes"
	"compress/gzip"
	"crypto/x509"
	_ "embed"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// embeddedRoots has the CA certificates of Mozilla, which the module
// golang.org/x/crypto/x509roots/fallback takes from NSS. The module would put them into the
// program uncompressed, with their names and digests, which needs 55 kB more.
// "go test ./fetch -run Roots -update" writes the file anew, after a change of the module's
// version in go.mod.
//
// It is a gzip file. The comment in its header is the module's path and version. The content
// has for each certificate, in the module's order, one line and then the certificate in DER.
// The line is the date after which the CA is not trusted for new certificates, in the form
// of RFC 3339, or empty.
//
// The signatures of the certificates without a date are zeros, which saves 40 kB: a CA's
// signature of its own certificate proves nothing, and crypto/x509 does not look at it. The
// others keep it, so that a pool with such a certificate knows it again in a file of the user,
// and its date still counts.
//
//go:embed roots.gz
var embeddedRoots string

// maxRoots is the largest size of the content: four times that of 2026, so that damaged data
// can't need much memory.
const maxRoots = 512 << 10

// A root is one embedded CA certificate. A date of zero means that it has no constraint.
type root struct {
	certificate   *x509.Certificate
	distrustAfter time.Time
}

// RootsVersion returns the version of the module that the embedded CA certificates are from,
// such as "v0.0.0-20261030153154-30a33513ff6d", or "" if the data don't have it. It
// decompresses nothing.
func RootsVersion() string {
	const header = "\x1f\x8b\x08\x10" // a gzip header (RFC 1952, section 2.3) with a comment, which begins at byte 10
	if len(embeddedRoots) < 10 || !strings.HasPrefix(embeddedRoots, header) {
		return ""
	}
	comment, _, _ := strings.Cut(embeddedRoots[10:], "\x00")
	_, version, _ := strings.Cut(comment, " ")
	return version
}

// loadEmbedded adds the CA certificates in packed, which has the form of embeddedRoots, to
// pool, with their constraints, which the PEM format can't express. They are decompressed and
// parsed when they are first needed: importing x509roots/fallback would cost 1.7 ms and 1.2 MB
// at every start. After an error pool may have some of them.
func loadEmbedded(pool *x509.CertPool, packed string) error {
	content, err := unpackRoots(packed)
	if err == nil && len(content) == 0 {
		err = errors.New("there are none")
	}
	for err == nil && len(content) > 0 {
		var r root
		if r, content, err = nextRoot(content); err != nil {
			break
		}
		if r.distrustAfter.IsZero() {
			pool.AddCert(r.certificate)
		} else {
			pool.AddCertWithConstraint(r.certificate, issuedBy(r.distrustAfter))
		}
	}
	if err != nil {
		return fmt.Errorf("embedded CA certificates: %w", err)
	}
	return nil
}

// unpackRoots returns the content of a file such as embeddedRoots.
func unpackRoots(packed string) ([]byte, error) {
	z, err := gzip.NewReader(strings.NewReader(packed))
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(z, maxRoots+1))
	if err == nil && len(content) > maxRoots {
		err = fmt.Errorf("more than %d bytes", maxRoots)
	}
	return content, err
}

// nextRoot parses the first certificate in content, and returns the rest of content.
func nextRoot(content []byte) (r root, rest []byte, err error) {
	date, rest, found := bytes.Cut(content, []byte{'\n'})
	if !found {
		return r, nil, io.ErrUnexpectedEOF
	}
	if len(date) > 0 {
		if r.distrustAfter, err = time.Parse(time.RFC3339, string(date)); err != nil {
			return r, nil, err
		}
	}
	var der asn1.RawValue
	if rest, err = asn1.Unmarshal(rest, &der); err == nil {
		r.certificate, err = x509.ParseCertificate(der.FullBytes)
	}
	return r, rest, err
}

// issuedBy returns the constraint that no certificate of a chain may have been issued after
// a date, with the error of the module's constraint.
func issuedBy(distrustAfter time.Time) func([]*x509.Certificate) error {
	return func(chain []*x509.Certificate) error {
		for _, c := range chain {
			if c.NotBefore.After(distrustAfter) {
				return fmt.Errorf("certificate issued after distrust-after date %q", distrustAfter)
			}
		}
		return nil
	}
}
