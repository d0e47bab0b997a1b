package source

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

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
		o.Signed = date(at)
	}
	o.Created = date(f.trust.clock.Now())
	o.Server = found.server()
	if p := found.pinned; p != nil {
		if found.Config != nil {
			o.Digest = string(p.id())
		} else if p.id() != "" && p.manifest.text != nil {
			o.Meta = string(p.manifest.digest)[len("sha256:"):]
		}
		return
	}
	if tarball := found.checks.evidence[image.MetaFile]; tarball != nil {
		sum := sha256.Sum256(tarball)
		o.Meta = hex.EncodeToString(sum[:])
	}
}

// server is Finder.Server, but of a simplestreams server the one that the image comes from.
func (found *Found) server() string {
	if url := found.index.server; url != "" && found.finder.opt.Bundle == "" {
		return shownServer(url)
	}
	return found.finder.Server()
}

// shownServer returns the URL of a server, of a directory only the scheme.
func shownServer(url string) string {
	if strings.HasPrefix(url, "file:") {
		return "file:"
	}
	return url
}

// Server returns the URL of the server that the Finder uses, as in an Origin; "": none.
func (f *Finder) Server() string {
	if f.opt.Bundle != "" {
		return "file:"
	}
	if c := f.opt.Container; c != nil {
		scheme, rest, _ := strings.Cut(c.Reference.URL(), "://")
		host, _, _ := strings.Cut(rest, "/")
		if c.Archive != "" {
			return "file:"
		}
		return scheme + "://" + host
	}
	if file := f.opt.File; file != nil {
		scheme, rest, remote := strings.Cut(file.Path, "://")
		if host, _, _ := strings.Cut(rest, "/"); remote && scheme != "file" {
			return scheme + "://" + host[strings.LastIndexByte(host, '@')+1:]
		}
		return "file:"
	}
	if f.opt.Servers == nil || f.opt.Servers.current() == nil {
		return ""
	}
	return shownServer(f.opt.Servers.current().url)
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
