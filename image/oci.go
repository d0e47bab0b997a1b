package image

import "errors"

// Limits of the documents of container images, in bytes. The largest in use have 100 kB.
const (
	MaxManifest = 4 << 20 // of a manifest or index: the most that registries take (distribution spec, "Pushing Manifests")
	MaxConfig   = 4 << 20 // of a config
	MaxLayers   = 512     // layers of an image: overlayfs stacks at most 500
)

// A Digest is a SHA-256 digest as manifests write it: "sha256:" and 64 lower-case hexadecimal
// digits. A Digest that this package returns has this form, or is "".
type Digest string

// A Platform is the machine for which an image is made (OCI image index, "platform").
type Platform struct{ OS, Arch, Variant string }

// A Descriptor names a manifest, config or layer (OCI descriptor).
type Descriptor struct {
	_            [0]func() // forbids ==, whose code nothing needs
	MediaType    string
	Digest       Digest
	Size         int64 // bytes
	Platform     Platform
	ArtifactType string
	Name         string // annotation org.opencontainers.image.ref.name, or io.containerd.image.name
	Signature    string // annotation dev.cosignproject.cosign/signature
}

// A Manifest is an image manifest, or an image index (a list of manifests) if Index is true.
type Manifest struct {
	_            [0]func() // forbids ==, whose code nothing needs
	Index        bool
	MediaType    string
	ArtifactType string
	Subject      Digest // of the manifest to which this one refers; "": none
	Config       Descriptor
	Layers       []Descriptor // the lowest first
	Manifests    []Descriptor // of an index
}

// ParseManifest parses an image manifest or index, OCI's or Docker's. mediaType is the one with
// which it came, "" if that is not known.
func ParseManifest(text []byte, mediaType string) (*Manifest, error) { return nil, errors.New("todo") }

// Choose returns the manifest of an index for the first of the platforms that the index has.
func (m *Manifest) Choose(wanted []Platform) (*Descriptor, error) { return nil, errors.New("todo") }

// An OCIConfig is the config of a container image (OCI image spec, config.md).
type OCIConfig struct {
	_          [0]func() // forbids ==, whose code nothing needs
	Platform   Platform
	Created    string   // RFC 3339; "": not known
	DiffIDs    []Digest // of the decompressed layers, the lowest first
	Entrypoint []string
	Cmd        []string
	Env        []string // NAME=VALUE
	User       string
	Dir        string // the working directory
	StopSignal string
	Volumes    []string
}

// ParseConfig parses the config of an image.
func ParseConfig(text []byte) (*OCIConfig, error) { return nil, errors.New("todo") }

// ParseTags parses the list of a repository's tags (distribution spec, "Listing Tags").
func ParseTags(text []byte) ([]string, error) { return nil, errors.New("todo") }

// ParseToken parses the answer of a token server (distribution, "Token Authentication").
// seconds is how long the token is good.
func ParseToken(text []byte) (token string, seconds int64, err error) {
	return "", 0, errors.New("todo")
}

// RegistryError returns the code and the message of the first error in a registry's answer
// (distribution spec, "Error Codes"), "" if it has none.
func RegistryError(text []byte) (code, message string) { return "", "" }

// Login returns the name and password for a registry in a file of credentials, such as
// ~/.docker/config.json or ${XDG_RUNTIME_DIR}/containers/auth.json (containers-auth.json(5)):
// that of the longest name that fits host/repository. ok is false if the file has none.
func Login(file []byte, host, repository string) (user, password string, ok bool, err error) {
	return "", "", false, errors.New("todo")
}

// A SavedImage is an image of a "docker save" archive (its manifest.json).
type SavedImage struct {
	_      [0]func() // forbids ==, whose code nothing needs
	Config string    // the name of the config's file in the archive
	Layers []string  // the names of the layers' files, the lowest first
	Tags   []string  // NAME:TAG
}

// ParseSaved parses the manifest.json of a "docker save" archive.
func ParseSaved(text []byte) ([]SavedImage, error) { return nil, errors.New("todo") }

// CheckImage returns an error if the manifest is not one of an image.
func (m *Manifest) CheckImage() error { return nil }
