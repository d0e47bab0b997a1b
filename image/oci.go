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
	maxText      = 128 << 10 // bytes of a string: the longest argument or variable of Linux (MAX_ARG_STRLEN)
	maxItems     = 4096      // words, variables, volumes or saved images
	maxManifests = 10000     // in an index: archives with many images have hundreds
	maxTags      = 100000    // in a list of tags: public repositories have up to 60,000
	maxBlob      = 16 << 40  // bytes of a blob: the largest file of ext4; the sum of MaxLayers of them fits into an int64
	maxListed    = 20        // platforms that an error names
	maxQuoted    = 100       // bytes of foreign text that an error shows
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
)

// A Digest is a SHA-256 digest as manifests write it: "sha256:" and 64 lower-case hexadecimal
// digits. A Digest that this package returns has this form, or is "".
type Digest string

// A Platform is the machine for which an image is made (OCI image index, "platform").
type Platform struct{ OS, Arch, Variant string }

// Name returns the platform as "linux/arm/v7".
func (p *Platform) Name() string {
	name := p.OS + "/" + p.Arch
	if p.Variant != "" {
		name += "/" + p.Variant
	}
	return name
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
	Manifests    []Descriptor // of an index, without attestations (platform unknown/unknown)
}

// noObject is wrong with a document that is no object.
const noObject = "it is no JSON object"

// A reader reads members of JSON objects. It keeps the first of the things that are wrong with
// them. Members that are absent or null are empty.
type reader struct {
	_     [0]func()  // forbids ==, whose code nothing needs
	value json.Value // the document
	why   string
}

// read begins to read a document of at most max bytes, which is an object.
func read(text []byte, max int) *reader {
	r := new(reader)
	var err error
	if len(text) > max {
		r.why = "it is larger than " + strconv.Itoa(max) + " bytes"
	} else if r.value, err = json.Parse(string(text)); err != nil {
		r.why = err.Error()
	} else if !r.value.IsObject() {
		r.why = noObject
	}
	return r
}

// done returns the error, which begins with the name of the document, nil if nothing is wrong.
func (r *reader) done(document string) error {
	if r.why == "" {
		return nil
	}
	return errors.New(document + ": " + r.why)
}

// fail notes that something is wrong.
func (r *reader) fail(why string) {
	if r.why == "" {
		r.why = why
	}
}

// wrong notes that a member is wrong.
func (r *reader) wrong(name, why string) { r.fail(strconv.Quote(name) + " " + why) }

// check returns a string. Texts have no NUL, but may have other control characters.
func (r *reader) check(v json.Value, name string) string {
	text, ok := v.Text()
	if !ok || len(text) > maxText || strings.IndexByte(text, 0) >= 0 {
		r.wrong(name, "is not a text of at most "+strconv.Itoa(maxText)+" bytes without NUL")
		return ""
	}
	return text
}

// text returns a member that is a string.
func (r *reader) text(v json.Value, name string) string {
	if v = v.Get(name); v.IsNull() {
		return ""
	}
	return r.check(v, name)
}

// texts sets strings to the members of the names, which blanks separate.
func (r *reader) texts(v json.Value, names string, to ...*string) {
	for i, name := range strings.Fields(names) {
		*to[i] = r.text(v, name)
	}
}

// want checks that a member is a string.
func (r *reader) want(v json.Value, name, wanted string) {
	if text := r.text(v, name); text != wanted {
		r.wrong(name, "is "+quote(text)+", and only "+strconv.Quote(wanted)+" is supported")
	}
}

// items returns the items of a member that is an array with at most max items.
func (r *reader) items(v json.Value, name string, max int) []json.Value {
	v = v.Get(name)
	items, ok := v.Items()
	if !ok && !v.IsNull() || len(items) > max {
		r.wrong(name, "is no array of at most "+strconv.Itoa(max)+" items")
		return nil
	}
	return items
}

// list returns a member that is an array of strings.
func (r *reader) list(v json.Value, name string) (list []string) {
	for _, item := range r.items(v, name, maxItems) {
		list = append(list, r.check(item, name))
	}
	return list
}

// object returns a member that is an object.
func (r *reader) object(v json.Value, name string) json.Value {
	if v = v.Get(name); !v.IsNull() && !v.IsObject() {
		r.wrong(name, "is no object")
	}
	return v
}

// digest returns a string that is a digest.
func (r *reader) digest(text string) Digest {
	d, why := parseDigest(text)
	if why != "" {
		r.fail(why)
	}
	return d
}

// platform reads the platform of a config or of an entry of an index.
func (r *reader) platform(v json.Value, p *Platform) {
	if r.texts(v, "os architecture variant", &p.OS, &p.Arch, &p.Variant); strings.Trim(p.OS+p.Arch+p.Variant, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" {
		r.wrong("platform", "has other characters than letters, digits and . _ -")
	}
}

// descriptor reads a descriptor.
func (r *reader) descriptor(v json.Value, d *Descriptor) {
	notes, digest, name := r.object(v, "annotations"), "", ""
	r.texts(v, "mediaType artifactType digest", &d.MediaType, &d.ArtifactType, &digest)
	r.texts(notes, "org.opencontainers.image.ref.name io.containerd.image.name dev.cosignproject.cosign/signature", &d.Name, &name, &d.Signature)
	r.platform(r.object(v, "platform"), &d.Platform)
	if d.Name == "" {
		d.Name = name
	}
	d.Digest = r.digest(digest)
	var ok bool
	if d.Size, ok = v.Get("size").Int(); !ok || d.Size < 0 || d.Size > maxBlob {
		r.wrong("size", "is no number from 0 to 2^44")
	}
}

// descriptors reads an array of descriptors. It passes over the attestations that BuildKit puts
// into an index.
func (r *reader) descriptors(name string, max int) []Descriptor {
	items := r.items(r.value, name, max)
	list := make([]Descriptor, len(items))
	n := 0
	for i := range items {
		list[n] = Descriptor{} // after one that was passed over
		d := &list[n]
		r.descriptor(items[i], d)
		if name == "layers" || d.Platform.OS != "unknown" || d.Platform.Arch != "unknown" {
			n++
		}
	}
	return list[:n]
}

// The kinds of manifests. An image may have either, with a list of manifests or without.
const (
	noManifest = iota // the media type is another
	anImage
	anIndex
	schema1 // of Docker, which no registry has taken since 2022
)

// manifestKind returns which kind of manifest has a media type.
func manifestKind(mediaType string) int {
	switch mediaType {
	case OCIManifest, DockerManifest:
		return anImage
	case OCIIndex, DockerIndex:
		return anIndex
	}
	if strings.HasPrefix(mediaType, "application/vnd.docker.distribution.manifest.v1+") {
		return schema1
	}
	return noManifest
}

// ParseManifest parses an image manifest or index, OCI's or Docker's. mediaType is the one with
// which it came, "" if that is not known. The text and the types must agree about what it is
// (CVE-2021-41190). The layers may be of any type: see CheckImage.
func ParseManifest(text []byte, mediaType string) (*Manifest, error) {
	r := read(text, MaxManifest)
	v := r.value
	mediaType, _, _ = strings.Cut(mediaType, ";")
	mediaType = strings.TrimSpace(mediaType)
	m := new(Manifest)
	r.texts(v, "mediaType artifactType", &m.MediaType, &m.ArtifactType)
	if r.why != "" && mediaType != "" {
		r.why += ", of type " + quote(mediaType)
	}
	content := noManifest
	if !v.Get("config").IsNull() || !v.Get("layers").IsNull() {
		content = anImage
	}
	if !v.Get("manifests").IsNull() {
		content += anIndex // both: schema1
	}
	switch came := manifestKind(mediaType); {
	case came == noManifest: // such as application/json
	case m.MediaType == "":
		m.MediaType = mediaType
	case m.MediaType != mediaType:
		r.fail("it came as " + quote(mediaType) + ", and says that it is " + quote(m.MediaType))
	}
	if m.MediaType == "" {
		m.MediaType = OCIManifest
		if content == anIndex {
			m.MediaType = OCIIndex
		}
	}
	kind := manifestKind(m.MediaType)
	version := v.Get("schemaVersion")
	n, _ := version.Int()
	switch {
	case n == 1 || kind == schema1 || !v.Get("fsLayers").IsNull():
		r.fail("Docker's schema 1 is not supported: the image must be pushed again with a newer program")
	case kind == noManifest:
		r.fail("manifests of type " + quote(m.MediaType) + " are not supported")
	case n != 2 && !version.IsNull():
		r.fail("its schemaVersion is not 2")
	case kind != content && !(kind == anIndex && content == noManifest): // an empty list may be null
		r.fail("its content is not that of " + quote(m.MediaType))
	}
	if subject := r.object(v, "subject"); !subject.IsNull() {
		m.Subject = r.digest(r.text(subject, "digest"))
	}
	if m.Index = kind == anIndex; m.Index {
		m.Manifests = r.descriptors("manifests", maxManifests)
	} else {
		r.descriptor(r.object(v, "config"), &m.Config)
		m.Layers = r.descriptors("layers", MaxLayers)
	}
	return m, r.done("manifest")
}

// CheckImage returns an error if the manifest is not one of an image whose layers can be
// applied: tar archives in any compression. The error says what it is instead.
func (m *Manifest) CheckImage() error {
	if kind := m.Config.MediaType; kind != OCIConfigType && kind != DockerConfig {
		return errors.New("it is no image of a container: its config is of type " + quote(kind))
	}
	if m.Config.Size > MaxConfig {
		return errors.New("its config is larger than " + strconv.Itoa(MaxConfig) + " bytes")
	}
	for i := range m.Layers {
		if kind := m.Layers[i].MediaType; layerProblem(kind) != "" {
			return errors.New("layer " + strconv.Itoa(i+1) + " is of type " + quote(kind) + ": " + layerProblem(kind))
		}
	}
	return nil
}

// layerProblem says why layers of a media type can't be applied, "" if they can. The
// decompressor finds out how they are compressed.
func layerProblem(mediaType string) string {
	for _, p := range [...][2]string{
		{"+enc", "encrypted layers are not supported"},
		{".nondistributable.", "layers that the registry does not have are not supported"},
		{".foreign.", "layers that the registry does not have are not supported"},
		{".image.layer.v1.tar", ""},
		{".image.rootfs.diff.tar", ""},
		{"in-toto", "it is an attestation about an image, not an image"},
	} {
		if strings.Contains(mediaType, p[0]) {
			return p[1]
		}
	}
	return "only tar archives are supported as layers"
}

// Choose returns the manifest of an index for the first of the platforms that the index has.
// Only images for Linux are chosen. If the index has one image, without a platform, that is
// chosen: its config has the platform.
func (m *Manifest) Choose(wanted []Platform) (*Descriptor, error) {
	var chosen *Descriptor
	images, there := 0, ""
	for i := range m.Manifests {
		d := &m.Manifests[i]
		if !d.isImage() {
			continue
		}
		if images++; images <= maxListed {
			there += ", " + quote(d.Platform.Name())
		}
		chosen = d
	}
	if images != 1 || chosen.Platform.OS+chosen.Platform.Arch != "" {
		chosen = nil
		for i := range wanted {
			for j := range m.Manifests {
				d := &m.Manifests[j]
				if chosen == nil && d.Platform == wanted[i] && d.Platform.OS == "linux" && d.isImage() {
					chosen = d
				}
			}
		}
	}
	switch {
	case chosen == nil && images == 0:
		return nil, errors.New("the index has no images")
	case chosen == nil:
		if images > maxListed {
			there += " and " + strconv.Itoa(images-maxListed) + " more"
		}
		name := "this machine"
		if len(wanted) > 0 {
			name = quote(wanted[0].Name())
		}
		return nil, errors.New("there is no image for " + name + ", but for" + there[1:])
	case chosen.Size > MaxManifest:
		return nil, errors.New("the manifest is larger than " + strconv.Itoa(MaxManifest) + " bytes")
	}
	return chosen, nil
}

// isImage reports whether an entry of an index is an image, or an index of images. A signature
// or another artifact has a type, and no platform.
func (d *Descriptor) isImage() bool {
	kind := manifestKind(d.MediaType)
	artifact := d.ArtifactType != "" && d.ArtifactType != OCIConfigType && d.ArtifactType != DockerConfig
	return (kind == anImage || kind == anIndex) && (d.Platform.OS != "" || !artifact)
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
	r := read(text, MaxConfig)
	v := r.value
	run, rootfs := r.object(v, "config"), r.object(v, "rootfs")
	c := new(OCIConfig)
	r.platform(v, &c.Platform)
	r.texts(v, "created", &c.Created)
	r.texts(run, "User WorkingDir StopSignal", &c.User, &c.Dir, &c.StopSignal)
	c.Entrypoint, c.Cmd = r.list(run, "Entrypoint"), r.list(run, "Cmd")
	for _, entry := range r.list(run, "Env") {
		if strings.IndexByte(entry, '=') > 0 {
			c.Env = append(c.Env, entry)
		}
	}
	// Builds without a date have that of year 1.
	if t, err := time.Parse(time.RFC3339, c.Created); err != nil || t.IsZero() {
		c.Created = ""
	}
	if !rootfs.Get("type").IsNull() {
		r.want(rootfs, "type", "layers")
	}
	for _, item := range r.items(rootfs, "diff_ids", MaxLayers) {
		c.DiffIDs = append(c.DiffIDs, r.digest(r.check(item, "diff_ids")))
	}
	volumes, _ := r.object(run, "Volumes").Members()
	if len(volumes) > 2*maxItems {
		r.wrong("Volumes", "has too many members")
		volumes = nil
	}
	for i := 0; i < len(volumes); i += 2 {
		c.Volumes = append(c.Volumes, r.check(volumes[i], "Volumes"))
	}
	return c, r.done("config of the image")
}

// ParseTags parses the list of a repository's tags (distribution spec, "Listing Tags").
func ParseTags(text []byte) (tags []string, err error) {
	r := read(text, 4*MaxManifest)
	for _, item := range r.items(r.value, "tags", maxTags) {
		tag, _ := item.Text()
		if !isTag(tag) {
			r.wrong("tags", "has an item that is no tag")
		}
		tags = append(tags, tag)
	}
	return tags, r.done("list of tags")
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
func ParseSaved(text []byte) (images []SavedImage, err error) {
	r := read(text, MaxManifest)
	items, ok := r.value.Items()
	if r.why == noObject {
		r.why = ""
	}
	if !ok || len(items) > maxItems {
		r.fail("it is no array of at most " + strconv.Itoa(maxItems) + " images")
		items = nil
	}
	for _, item := range items {
		s := SavedImage{Config: r.text(item, "Config"), Layers: r.list(item, "Layers"), Tags: r.list(item, "RepoTags")}
		good := len(s.Layers) <= MaxLayers && isLocal(s.Config)
		for _, name := range s.Layers {
			good = good && isLocal(name)
		}
		if !good {
			r.fail("it has too many layers, or a name that is no path in the archive")
		}
		images = append(images, s)
	}
	return images, r.done("manifest.json")
}

// isLocal reports whether a name is a path below a directory.
func isLocal(name string) bool {
	return name != "" && name[0] != '/' && !strings.Contains("/"+name+"/", "/../")
}
