package image

import "errors"

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
// "localhost:5000/x@sha256:…".
func ParseReference(text string) (Reference, error) { return Reference{}, errors.New("todo") }

// String returns the complete name: "docker:docker.io/library/nginx:latest@sha256:…".
func (r *Reference) String() string { return "" }

// URL returns the base URL of the repository in the registry's API, such as
// "https://registry-1.docker.io/v2/library/nginx".
func (r *Reference) URL() string { return "" }
