package source

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"lxc-pull/image"
)

// An Origin says where an image comes from and who vouches for it. Times are in the form of
// RFC 3339.
type Origin struct {
	Server  string   // the server's URL; "file:" for a directory of this machine
	Signers []string // fingerprints of the keys that signed the index; nil: it was not verified
	Signed  string   // when the newest of these signatures was made; "": not known
	Meta    string   // SHA-256 digest of the metadata as hexadecimal digits; "": not known
	Created string   // the time of the run
	Digest  string   // of a container image's manifest, as image.Digest; "": not known
}

// Origin sets o to the origin of the image. The server is the one of this run, also if the
// bytes come from the cache.
func (found *Found) Origin(o *Origin) {
	f := found.finder
	o.Signers = found.Signers()
	if at := found.index.signers.at; !at.IsZero() {
		o.Signed = at.UTC().Format(time.RFC3339)
	}
	o.Created = f.trust.clock.Now().UTC().Format(time.RFC3339)
	o.Server = f.Server()
	if found.oci != nil {
		o.Digest = string(found.oci.manifest.digest)
		return
	}
	if tarball := found.checks.evidence[image.MetaFile]; tarball != nil {
		sum := sha256.Sum256(tarball)
		o.Meta = hex.EncodeToString(sum[:])
	}
}

// Server returns the URL of the server that the Finder uses, as in an Origin; "": none.
func (f *Finder) Server() string {
	if c := f.opt.Container; c != nil {
		scheme, rest, _ := strings.Cut(c.Reference.URL(), "://")
		host, _, _ := strings.Cut(rest, "/")
		if c.Archive != "" {
			return "file:"
		}
		return scheme + "://" + host
	}
	if f.opt.Servers == nil || f.opt.Servers.current() == nil {
		return ""
	}
	if url := f.opt.Servers.current().url; !strings.HasPrefix(url, "file:") {
		return url
	}
	return "file:"
}

// Digest returns the SHA-256 digest of the bytes. Call it after Check.
func (s *Stream) Digest() []byte {
	switch {
	case s.seal.digest != nil:
		return s.seal.want[:]
	case s.seal.sum != nil:
		return s.seal.sum.Sum(nil)
	}
	return nil
}
