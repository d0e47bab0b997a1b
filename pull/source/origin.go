package source

import (
	"crypto/sha256"
	"strings"
	"time"

	"lxc-pull/image"
)

// An Origin says where an image comes from and who vouches for it.
type Origin struct {
	Server  string    // the server's URL; "file:" for a directory of this machine
	Signers []string  // fingerprints of the keys that signed the index; nil: it was not verified
	Signed  time.Time // when the newest of these signatures was made; zero: not known
	Meta    []byte    // SHA-256 digest of the metadata; nil: not known
	Now     time.Time // the time of the run
}

// Origin returns the origin of the image. The server is the one of this run, also if the bytes
// come from the cache.
func (found *Found) Origin() Origin {
	f := found.finder
	o := Origin{Signers: found.index.signers.keys, Signed: found.index.signers.at, Now: f.trust.clock.Now()}
	if f.opt.Servers != nil && f.opt.Servers.current() != nil {
		o.Server = f.opt.Servers.current().url
	}
	if strings.HasPrefix(o.Server, "file:") {
		o.Server = "file:"
	}
	if tarball := found.checks.evidence[image.MetaFile]; tarball != nil {
		sum := sha256.Sum256(tarball)
		o.Meta = sum[:]
	}
	return o
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
