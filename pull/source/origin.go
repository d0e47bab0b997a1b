package source

import (
	"context"
	"crypto/sha256"
	"fmt"
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

// FindBuild is Find for one build of an image: it returns the cached copy if that is the build,
// even if it has expired, else the server's. The error is of Kind Gone if neither is that build.
func (f *Finder) FindBuild(ctx context.Context, q image.Query, build string) (*Found, error) {
	cached, why := f.inCache(q)
	if cached != nil && cached.Image.Build == build {
		cached.announce = func() { f.sayCached(cached) }
		return cached, nil
	}
	if cached != nil {
		cached.Close()
	}
	if f.replaceEvidence = why != nil; why != nil {
		f.tell.Note(fmt.Sprintf("the cached copy can't be used as it is: %v", why))
	}
	found, err := f.onServer(ctx, q)
	if err != nil {
		return nil, err
	}
	return found, found.CheckBuild(build)
}

// CheckBuild closes found and returns an error of Kind Gone unless found is that build.
func (found *Found) CheckBuild(build string) error {
	if found.Image.Build == build {
		return nil
	}
	found.Close()
	return &Error{Kind: Gone, Err: fmt.Errorf("build %q of %s is neither in the cache nor on the server, which has %q", build, found.Image.Name, found.Image.Build)}
}
