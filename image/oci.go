package image

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"lxc-pull/image/json"
)

// Limits of the documents of container images, in bytes. The largest in use have 100 kB.
const (
	MaxManifest = 4 << 20 // of a manifest or index: the most that registries take (distribution spec, "Pushing Manifests")
	MaxConfig   = 4 << 20 // of a config
	MaxLayers   = 512     // layers of an image: overlayfs stacks at most 500
)

// Limits of what is in the documents.
const (
	maxManifests = 10000     // in an index: archives with many images have hundreds
	maxBlob      = 1 << 44   // bytes of a layer: the largest file of ext4; MaxLayers of them fit into an int64
	maxWords     = 4096      // items of a list in a config, or in the manifest.json of "docker save"
	maxWord      = 128 << 10 // bytes of a word or variable: MAX_ARG_STRLEN of Linux
	maxPath      = 4096      // bytes of a path: PATH_MAX of Linux
	maxShort     = 512       // bytes of a media type, a user, a signal, a date, a name
	maxPart      = 64        // bytes of a platform's part
	maxSeal      = 64 << 10  // bytes of a signature in an annotation; those of RSA have 700
	maxTags      = 100000    // in a list of tags; public repositories have up to 60,000
	maxListed    = 20        // platforms that an error names
)

// The media types of manifests, indexes and configs (OCI image spec, media-types.md; Docker
// image manifest version 2, schema 2).
const (
	OCIIndex       = "application/vnd.oci.image.index.v1+json"
	OCIManifest    = "application/vnd.oci.image.manifest.v1+json"
	OCIConfigType  = "application/vnd.oci.image.config.v1+json"
	DockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
	DockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	DockerConfig   = "application/vnd.docker.container.image.v1+json"

	docker1 = "application/vnd.docker.distribution.manifest.v1+" // schema 1: +json, +prettyjws
)

// A Digest is a SHA-256 digest as manifests write it: "sha256:" and 64 lower-case hexadecimal
// digits. A Digest that this package returns has this form, or is "".
type Digest string

// A Platform is the machine for which an image is made (OCI image index, "platform").
type Platform struct{ OS, Arch, Variant string }

// String returns the platform as "linux/arm/v7".
func (p Platform) String() string {
	s := p.OS + "/" + p.Arch
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	if s == "/" {
		s = "a platform that is not named"
	}
	return s
}

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
	Manifests    []Descriptor // of an index, without the attestations of BuildKit (platform unknown/unknown)
}

// A reader reads members of JSON objects. It keeps the first error.
type reader struct{ err error }

// fail notes an error.
func (r *reader) fail(name, why string) {
	if r.err == nil {
		r.err = errors.New("the member " + strconv.Quote(name) + " " + why)
	}
}

// text returns a member that is a string of at most max bytes, "" if it is absent or null.
func (r *reader) text(v json.Value, name string, max int) string {
	v = v.Get(name)
	text, ok := v.Text()
	switch {
	case v.IsNull():
	case !ok:
		r.fail(name, "is no string")
	case len(text) > max:
		r.fail(name, "is longer than "+strconv.Itoa(max)+" bytes")
	case strings.IndexByte(text, 0) >= 0:
		r.fail(name, "has a NUL")
	default:
		return text
	}
	return ""
}

// items calls each with the items of a member that is an array, of which there are at most max.
// The member may be absent or null.
func (r *reader) items(v json.Value, name string, max int, each func(json.Value)) {
	v = v.Get(name)
	n := 0
	isList := v.Items(func(item json.Value) bool {
		if n++; n > max {
			r.fail(name, "has more than "+strconv.Itoa(max)+" items")
		}
		if r.err == nil {
			each(item)
		}
		return r.err == nil
	})
	if !isList && !v.IsNull() {
		r.fail(name, "is no array")
	}
}

// texts returns a member that is an array of strings of at most max bytes each.
func (r *reader) texts(v json.Value, name string, max int) (list []string) {
	r.items(v, name, maxWords, func(item json.Value) {
		text, ok := item.Text()
		switch {
		case !ok:
			r.fail(name, "has an item that is no string")
		case len(text) > max:
			r.fail(name, "has an item that is longer than "+strconv.Itoa(max)+" bytes")
		case strings.IndexByte(text, 0) >= 0:
			r.fail(name, "has an item with a NUL")
		}
		list = append(list, text)
	})
	return list
}

// object returns a member that is an object; it may be absent or null.
func (r *reader) object(v json.Value, name string) json.Value {
	v = v.Get(name)
	if !v.IsNull() && !v.Members(func(string, json.Value) bool { return false }) {
		r.fail(name, "is no object")
	}
	return v
}

// digest returns a member that is a digest.
func (r *reader) digest(v json.Value, name string) Digest {
	d, why := parseDigest(r.text(v, name, maxShort))
	if why != "" {
		r.fail(name, "is wrong: "+why)
	}
	return d
}

// platform returns the platform of a config or of an entry of an index.
func (r *reader) platform(v json.Value) Platform {
	return Platform{r.text(v, "os", maxPart), r.text(v, "architecture", maxPart), r.text(v, "variant", maxPart)}
}

// descriptor reads a descriptor.
func (r *reader) descriptor(v json.Value, name string) (d Descriptor) {
	if v.Get("digest").IsNull() {
		r.fail(name, "has no digest")
		return d
	}
	d.MediaType = r.text(v, "mediaType", maxShort)
	d.Digest = r.digest(v, "digest")
	size, ok := v.Get("size").Int()
	if !ok || size < 0 || size > maxBlob {
		r.fail(name, "has a size that is no number from 0 to "+strconv.Itoa(maxBlob>>40)+" TiB")
	}
	d.Size = size
	d.ArtifactType = r.text(v, "artifactType", maxShort)
	d.Platform = r.platform(r.object(v, "platform"))
	notes := r.object(v, "annotations")
	if d.Name = r.text(notes, "org.opencontainers.image.ref.name", maxShort); d.Name == "" {
		d.Name = r.text(notes, "io.containerd.image.name", maxShort)
	}
	d.Signature = r.text(notes, "dev.cosignproject.cosign/signature", maxSeal)
	return d
}

// descriptors reads an array of descriptors. It passes over attestations in an index.
func (r *reader) descriptors(v json.Value, name string, max int) (list []Descriptor) {
	r.items(v, name, max, func(item json.Value) {
		d := r.descriptor(item, name)
		if name == "layers" || d.Platform.OS != "unknown" || d.Platform.Arch != "unknown" {
			list = append(list, d)
		}
	})
	return list
}

// parse parses a document of at most max bytes, which is an object.
func parse(text []byte, max int) (json.Value, error) {
	if len(text) > max {
		return json.Value{}, errors.New("it is larger than " + strconv.Itoa(max) + " bytes")
	}
	v, err := json.Parse(string(text))
	if err == nil && !v.Members(func(string, json.Value) bool { return false }) {
		err = errors.New("it is no JSON object")
	}
	return v, err
}

// ParseManifest parses an image manifest or index, OCI's or Docker's. mediaType is the one with
// which it came, "" if that is not known. The text and the types must agree about what it is
// (CVE-2021-41190). The layers may be of any type: see CheckImage.
func ParseManifest(text []byte, mediaType string) (*Manifest, error) {
	mediaType, _, _ = strings.Cut(mediaType, ";")
	mediaType = strings.TrimSpace(mediaType)
	v, err := parse(text, MaxManifest)
	if err != nil {
		if mediaType != "" {
			return nil, errors.New("manifest of type " + quote(mediaType) + ": " + err.Error())
		}
		return nil, errors.New("manifest: " + err.Error())
	}
	m, r := new(Manifest), new(reader)
	m.MediaType = r.text(v, "mediaType", maxShort)
	if !isManifestType(mediaType) {
		mediaType = "" // such as application/json
	}
	version, ok := v.Get("schemaVersion").Int()
	hasList, hasImage := !v.Get("manifests").IsNull(), !v.Get("config").IsNull() || !v.Get("layers").IsNull()
	switch {
	case r.err != nil:
	case version == 1 || !v.Get("fsLayers").IsNull() || strings.HasPrefix(m.MediaType, docker1) || strings.HasPrefix(mediaType, docker1):
		return nil, errors.New("manifest: Docker's schema 1 is not supported: the image must be pushed again by a Docker of 2016 or later")
	case !v.Get("schemaVersion").IsNull() && (!ok || version != 2):
		return nil, errors.New("manifest: its schemaVersion is not 2")
	case hasList && (hasImage || !v.Get("blobs").IsNull()):
		return nil, errors.New("manifest: it is an image and a list of images at the same time")
	case m.MediaType != "" && mediaType != "" && m.MediaType != mediaType:
		return nil, errors.New("manifest: it came as " + quote(mediaType) + ", and says that it is " + quote(m.MediaType))
	case m.MediaType == "" && mediaType != "":
		m.MediaType = mediaType
	case m.MediaType == "" && hasList:
		m.MediaType = OCIIndex
	case m.MediaType == "":
		m.MediaType = OCIManifest
	}
	index := m.MediaType == OCIIndex || m.MediaType == DockerIndex
	switch {
	case r.err != nil:
	case !index && m.MediaType != OCIManifest && m.MediaType != DockerManifest:
		return nil, errors.New("manifest: its type " + quote(m.MediaType) + " is not supported")
	case index && hasImage, !index && hasList:
		return nil, errors.New("manifest: its type " + quote(m.MediaType) + " contradicts its content")
	case !index && v.Get("config").IsNull():
		return nil, errors.New("manifest: it has no config")
	}
	m.Index = index
	m.ArtifactType = r.text(v, "artifactType", maxShort)
	if subject := r.object(v, "subject"); !subject.IsNull() {
		m.Subject = r.digest(subject, "digest")
	}
	if index {
		m.Manifests = r.descriptors(v, "manifests", maxManifests)
	} else {
		m.Config = r.descriptor(r.object(v, "config"), "config")
		m.Layers = r.descriptors(v, "layers", MaxLayers)
	}
	if r.err != nil {
		return nil, errors.New("manifest: " + r.err.Error())
	}
	return m, nil
}

// isManifestType reports whether a media type is that of a manifest or index.
func isManifestType(mediaType string) bool {
	return mediaType == OCIIndex || mediaType == OCIManifest || mediaType == DockerIndex || mediaType == DockerManifest || strings.HasPrefix(mediaType, docker1)
}

// CheckImage returns an error if the manifest is not one of an image whose layers can be
// applied: tar archives in any compression. The error says what it is instead.
func (m *Manifest) CheckImage() error {
	kind := m.Config.MediaType
	switch {
	case m.Index:
		return errors.New("it is a list of images, not an image")
	case kind != OCIConfigType && kind != DockerConfig:
		return errors.New("it is no image of a container: its config has the type " + quote(kind))
	case m.Config.Size > MaxConfig:
		return errors.New("its config is larger than " + strconv.Itoa(MaxConfig) + " bytes")
	}
	for i := range m.Layers {
		kind := m.Layers[i].MediaType
		why := ""
		switch {
		case strings.Contains(kind, "+enc"):
			why = "encrypted layers are not supported"
		case strings.Contains(kind, ".nondistributable.") || strings.Contains(kind, ".foreign."):
			why = "foreign layers, which the registry does not have, are not supported"
		case strings.HasPrefix(kind, "application/vnd.oci.image.layer.v1.tar") || strings.HasPrefix(kind, "application/vnd.docker.image.rootfs.diff.tar"):
			continue
		case strings.Contains(kind, "squashfs") || strings.Contains(kind, "erofs"):
			why = "file systems as layers are not supported, only tar archives"
		case strings.Contains(kind, "in-toto"):
			why = "it is an attestation about an image, not an image"
		default:
			why = "layers of this type are not supported"
		}
		return errors.New("layer " + strconv.Itoa(i+1) + " of type " + quote(kind) + ": " + why)
	}
	return nil
}

// Choose returns the manifest of an index for the first of the platforms that the index has.
// Only images for Linux are chosen. If the index has one manifest, without a platform, that is
// chosen: its config has the platform.
func (m *Manifest) Choose(wanted []Platform) (*Descriptor, error) {
	var chosen *Descriptor
	images := 0
	for i := range m.Manifests {
		if d := &m.Manifests[i]; d.isImage() {
			images++
			chosen = d
		}
	}
	if images != 1 || chosen.Platform.OS != "" || chosen.Platform.Arch != "" {
		chosen = m.find(wanted)
	}
	switch {
	case chosen == nil:
		return nil, m.notFor(wanted)
	case chosen.Size > MaxManifest:
		return nil, errors.New("the manifest for " + quote(chosen.Platform.String()) + " is larger than " + strconv.Itoa(MaxManifest) + " bytes")
	}
	return chosen, nil
}

// isImage reports whether an entry of an index is a manifest or index of an image. A signature
// or another artifact has no platform, and a type.
func (d *Descriptor) isImage() bool {
	artifact := d.ArtifactType != "" && d.ArtifactType != OCIConfigType && d.ArtifactType != DockerConfig
	return isManifestType(d.MediaType) && (d.Platform.OS != "" || !artifact)
}

// find returns the first entry for the first platform that has one, nil if none has.
func (m *Manifest) find(wanted []Platform) *Descriptor {
	for i := range wanted {
		for j := range m.Manifests {
			d := &m.Manifests[j]
			if p := &d.Platform; p.OS == "linux" && wanted[i].OS == p.OS && wanted[i].Arch == p.Arch && wanted[i].Variant == p.Variant && d.isImage() {
				return d
			}
		}
	}
	return nil
}

// notFor returns the error for an index without an image for the platforms.
func (m *Manifest) notFor(wanted []Platform) error {
	text, there, more := "there is no image", "", 0
	if len(wanted) > 0 {
		text += " for " + wanted[0].String()
	}
	for i := range m.Manifests {
		d := &m.Manifests[i]
		name := quote(d.Platform.String())
		switch {
		case !d.isImage() || strings.Contains(there+", ", " "+name+", "):
		case more > 0 || strings.Count(there, ", ") >= maxListed:
			more++
		default:
			there += ", " + name
		}
	}
	if there == "" {
		return errors.New(text + ", nor for another platform")
	}
	text += "; there are images for" + there[1:]
	if more > 0 {
		text += " and " + strconv.Itoa(more) + " more"
	}
	return errors.New(text)
}

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

// ParseConfig parses the config of an image. Members that are absent or null are empty. An
// entry of Env without a name or without "=" sets nothing, and is left out. Texts have no NUL,
// but may have other control characters.
func ParseConfig(text []byte) (*OCIConfig, error) {
	v, err := parse(text, MaxConfig)
	if err != nil {
		return nil, errors.New("config of the image: " + err.Error())
	}
	c, r := new(OCIConfig), new(reader)
	c.Platform = r.platform(v)
	// Builds without a date have that of year 1.
	c.Created = r.text(v, "created", maxShort)
	if t, err := time.Parse(time.RFC3339, c.Created); err != nil || t.IsZero() {
		c.Created = ""
	}
	rootfs := r.object(v, "rootfs")
	if kind := r.text(rootfs, "type", maxShort); kind != "" && kind != "layers" {
		r.fail("rootfs", "is of type "+quote(kind)+", not layers")
	}
	r.items(rootfs, "diff_ids", MaxLayers, func(item json.Value) {
		text, _ := item.Text()
		id, why := parseDigest(text)
		if why != "" {
			r.fail("diff_ids", "is wrong: "+why)
		}
		c.DiffIDs = append(c.DiffIDs, id)
	})
	run := r.object(v, "config")
	c.Entrypoint, c.Cmd = r.texts(run, "Entrypoint", maxWord), r.texts(run, "Cmd", maxWord)
	for _, entry := range r.texts(run, "Env", maxWord) {
		if strings.IndexByte(entry, '=') > 0 {
			c.Env = append(c.Env, entry)
		}
	}
	c.User, c.Dir, c.StopSignal = r.text(run, "User", maxShort), r.text(run, "WorkingDir", maxPath-1), r.text(run, "StopSignal", maxShort)
	r.object(run, "Volumes").Members(func(name string, _ json.Value) bool {
		if len(c.Volumes) == maxWords || len(name) >= maxPath || strings.IndexByte(name, 0) >= 0 {
			r.fail("Volumes", "has too many names, or one that is no path")
		}
		c.Volumes = append(c.Volumes, name)
		return r.err == nil
	})
	if r.err != nil {
		return nil, errors.New("config of the image: " + r.err.Error())
	}
	return c, nil
}

// ParseTags parses the list of a repository's tags (distribution spec, "Listing Tags").
func ParseTags(text []byte) ([]string, error) {
	v, err := parse(text, maxTags*(maxTag+4))
	if err != nil {
		return nil, errors.New("list of tags: " + err.Error())
	}
	var tags []string
	r := new(reader)
	r.items(v, "tags", maxTags, func(item json.Value) {
		tag, _ := item.Text()
		if !isTag(tag) {
			r.fail("tags", "has an item that is no tag")
		}
		tags = append(tags, tag)
	})
	if r.err != nil {
		return nil, errors.New("list of tags: " + r.err.Error())
	}
	return tags, nil
}

// A SavedImage is an image of a "docker save" archive (its manifest.json).
type SavedImage struct {
	_      [0]func() // forbids ==, whose code nothing needs
	Config string    // the name of the config's file in the archive
	Layers []string  // the names of the layers' files, the lowest first
	Tags   []string  // NAME:TAG
}

// ParseSaved parses the manifest.json of a "docker save" archive. The names of files are
// relative, and have no part "..".
func ParseSaved(text []byte) ([]SavedImage, error) {
	var images []SavedImage
	r := new(reader)
	if len(text) > MaxManifest {
		return nil, errors.New("manifest.json: it is larger than " + strconv.Itoa(MaxManifest) + " bytes")
	}
	v, err := json.Parse(string(text))
	isList := err == nil && v.Items(func(item json.Value) bool {
		s := SavedImage{Config: r.text(item, "Config", maxPath), Layers: r.texts(item, "Layers", maxPath), Tags: r.texts(item, "RepoTags", maxShort)}
		if len(s.Layers) > MaxLayers {
			r.fail("Layers", "has more than "+strconv.Itoa(MaxLayers)+" items")
		}
		if len(images) == maxWords {
			r.err = errors.New("it has more than " + strconv.Itoa(maxWords) + " images")
		}
		if !isLocal(s.Config) {
			r.fail("Config", "is no path in the archive")
		}
		for _, name := range s.Layers {
			if !isLocal(name) {
				r.fail("Layers", "has an item that is no path in the archive")
			}
		}
		images = append(images, s)
		return r.err == nil
	})
	if err == nil {
		err = r.err
	}
	if err == nil && !isList {
		err = errors.New("it is no JSON array")
	}
	if err != nil {
		return nil, errors.New("manifest.json: " + err.Error())
	}
	return images, nil
}

// isLocal reports whether a name is a path below a directory.
func isLocal(name string) bool {
	return name != "" && name[0] != '/' && !strings.Contains("/"+name+"/", "/../")
}
