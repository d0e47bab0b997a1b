package image

import (
	"errors"
	"strconv"
	"strings"
)

// Limits of names (github.com/distribution/reference).
const (
	maxRepository = 255 // bytes of a repository's name
	maxTag        = 128 // bytes of a tag
	maxHost       = 253 // bytes of a host: the longest name of DNS
)

const (
	dockerHub    = "docker.io"            // the host of names without one
	dockerHubAPI = "registry-1.docker.io" // which answers for it
)

// A Reference names a container image in a registry, by the rules of Docker's command line
// (github.com/distribution/reference).
type Reference struct {
	_          [0]func() // forbids ==, whose code nothing needs
	Plain      bool      // plain http
	Host       string    // "docker.io", "ghcr.io", "localhost:5000"
	Repository string    // "library/nginx"
	Tag        string    // "" only if Digest is set
	Digest     Digest    // of the manifest or index; "": the tag decides
}

// ParseReference parses a name without its scheme: "nginx", "ghcr.io/owner/app:1.2",
// "localhost:5000/x@sha256:…". The first part is the host if it has a dot or a colon, or is
// "localhost"; otherwise the host is docker.io. A name with neither tag nor digest means the
// tag latest.
func ParseReference(text string) (Reference, error) {
	r, why := parseReference(text)
	if why != "" {
		return Reference{}, errors.New("image " + quote(text) + ": " + why)
	}
	return r, nil
}

// parseReference is ParseReference. It says what is wrong with the name.
func parseReference(text string) (r Reference, why string) {
	if strings.Contains(text, "://") {
		return r, "the name of a repository has no scheme"
	}
	name, digest, pinned := strings.Cut(text, "@")
	if pinned {
		if r.Digest, why = parseDigest(digest); why != "" {
			return r, why
		}
	}
	r.Host, r.Repository = dockerHub, name
	if first, rest, ok := strings.Cut(name, "/"); ok && (first == "localhost" || strings.ContainsAny(first, ".:")) {
		r.Host, r.Repository = first, rest
	}
	r.Repository, r.Tag, pinned = strings.Cut(r.Repository, ":")
	switch {
	case pinned && r.Tag == "":
		return r, "there is no tag after the colon"
	case pinned && !isTag(r.Tag):
		return r, quote(r.Tag) + " is no tag: it must have at most 128 letters, digits, dots, hyphens and underscores, and begin with no dot or hyphen"
	case !pinned && r.Digest == "":
		r.Tag = "latest"
	}
	if isHex(text, 64) {
		return r, "64 hexadecimal digits are the id of an image, which no registry knows, not a digest"
	}
	if r.Host == "index.docker.io" {
		r.Host = dockerHub
	}
	if why = checkRepository(r.Repository); why == "" && r.Host == dockerHub && !strings.Contains(r.Repository, "/") {
		r.Repository = "library/" + r.Repository
	}
	if why == "" && len(r.Repository) > maxRepository {
		why = "the repository's name is longer than 255 bytes"
	}
	if why == "" && !isHost(r.Host) {
		why = quote(r.Host) + " is not the name or address of a host, with or without a port"
	}
	return r, why
}

// quote quotes foreign text for an error, and shortens it.
func quote(text string) string {
	if len(text) > maxQuoted {
		text = text[:maxQuoted] + "..."
	}
	return strconv.Quote(text)
}

// checkRepository says what is wrong with a repository's name. Its parts are of lower-case
// letters and digits, with a dot, one or two underscores, or hyphens between two of these.
func checkRepository(name string) string {
	if lower := strings.ToLower(name); lower != name {
		return "the repository's name must be in lower case: " + quote(lower)
	}
	last := byte('/') // the mark before name[i], 0 after a letter or digit
	for i := 0; i < len(name); i++ {
		c := name[i]
		switch {
		case isAlnum(c):
			last = 0
		case strings.IndexByte("/._-", c) < 0:
			return quote(name[i:i+1]) + " is not allowed in a repository's name"
		case last == 0 || c == '-' && last == '-':
			last = c
		case c == '_' && last == '_' && isAlnum(name[i-2]):
		default:
			last = '/'
			i = len(name)
		}
	}
	if last != 0 {
		return "each part of the repository's name must begin and end with a letter or digit, and have no two marks side by side"
	}
	return ""
}

// isAlnum reports whether c is a letter or digit of ASCII.
func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

// consists reports whether s has only letters, digits and the marks.
func consists(s, marks string) bool {
	for i := 0; i < len(s); i++ {
		if !isAlnum(s[i]) && strings.IndexByte(marks, s[i]) < 0 {
			return false
		}
	}
	return true
}

// isTag reports whether s can be a tag.
func isTag(s string) bool {
	return s != "" && len(s) <= maxTag && s[0] != '.' && s[0] != '-' && consists(s, "._-")
}

// isHost reports whether s is a host with or without a port: a name of DNS, an address of IPv4,
// or one of IPv6 in brackets.
func isHost(s string) bool {
	name, port := s, "1"
	if at := strings.LastIndexByte(s, ':'); at >= 0 && s[len(s)-1] != ']' {
		name, port = s[:at], s[at+1:]
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return false
	}
	if len(name) > maxHost {
		return false
	}
	if inside, ok := strings.CutPrefix(name, "["); ok {
		inside, ok = strings.CutSuffix(inside, "]")
		return ok && inside != "" && strings.Trim(inside, "0123456789abcdefABCDEF:") == ""
	}
	dots := "." + name + "." // each part between two dots begins and ends with a letter or digit
	return consists(name, ".-") && !strings.Contains(dots, "..") && !strings.Contains(dots, ".-") && !strings.Contains(dots, "-.")
}

// isHex reports whether s is of n lower-case hexadecimal digits.
func isHex(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789abcdef") == ""
}

// parseDigest parses a digest. It says what is wrong with it.
func parseDigest(text string) (d Digest, why string) {
	hex, ok := strings.CutPrefix(text, "sha256:")
	if !ok || !isHex(hex, 64) {
		return "", quote(text) + " is no digest that is supported: it must be sha256: and 64 lower-case hexadecimal digits"
	}
	return Digest(text), ""
}

// ParseDigest parses a digest. Only SHA-256 is supported (OCI descriptor, "Digests").
func ParseDigest(text string) (Digest, error) {
	d, why := parseDigest(text)
	if why != "" {
		return "", errors.New(why)
	}
	return d, nil
}

// Name returns the host and the repository: "docker.io/library/nginx".
func (r *Reference) Name() string { return r.Host + "/" + r.Repository }

// String returns the complete name: "docker:docker.io/library/nginx:latest@sha256:…". For plain
// http it begins with "docker+http://".
func (r *Reference) String() string {
	name := "docker:"
	if r.Plain {
		name = "docker+http://"
	}
	name += r.Name()
	if r.Tag != "" {
		name += ":" + r.Tag
	}
	if r.Digest != "" {
		name += "@" + string(r.Digest)
	}
	return name
}

// URL returns the base URL of the repository in the registry's API, such as
// "https://registry-1.docker.io/v2/library/nginx".
func (r *Reference) URL() string {
	scheme, host := "https://", r.Host
	if r.Plain {
		scheme = "http://"
	}
	if host == dockerHub {
		host = dockerHubAPI
	}
	return scheme + host + "/v2/" + r.Repository
}
