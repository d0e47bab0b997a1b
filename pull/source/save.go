package source

import (
	"context"
	"fmt"
	"io"
	"strings"

	"lxc-pull/image"
	"lxc-pull/untar"
)

// SaveArchive writes the image of Options.Container to w as an archive of an OCI image layout
// (OCI image spec, image-layout.md): its manifest for the wanted platform with the tag as its
// name, its config and its layers, all as they are in the registry. The digest of each is
// checked while it is written, so what w has got counts only if there is no error.
func (f *Finder) SaveArchive(ctx context.Context, w io.Writer) error {
	found, err := f.findContainer(ctx)
	if err != nil {
		return err
	}
	defer found.Close()
	found.Accept()
	o := found.oci
	config, err := o.reader.small(ctx, &o.config, image.MaxConfig)
	if err != nil {
		return err
	}
	s := saver{w: w}
	s.file("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	s.header("blobs/", 0)
	s.header("blobs/sha256/", 0)
	s.file("index.json", o.savedIndex(f.opt.Container.Reference.Tag, found.Config.Platform))
	s.file(blobPath(o.manifest.digest), o.manifest.text)
	if o.config.Digest != o.manifest.digest {
		s.file(blobPath(o.config.Digest), config)
	}
	var written []image.Digest
	for i := range o.layers {
		if err := s.layer(ctx, found, i, written); err != nil {
			found.Forget(err)
			return err
		}
		written = append(written, o.layers[i].Digest)
	}
	s.write(make([]byte, 2*tarBlock)) // the end of the archive
	if s.err == nil {
		found.Keep()
	}
	return s.err
}

// tarBlock is the size of a block of a tar archive, in bytes.
const tarBlock = 512

// blobPath returns the name of a blob in a layout.
func blobPath(d image.Digest) string {
	return "blobs/sha256/" + strings.TrimPrefix(string(d), "sha256:")
}

// savedIndex returns the index.json of a layout with one manifest. tag is its name, "": none.
func (o *ociImage) savedIndex(tag string, p image.Platform) []byte {
	b := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{`)
	add := func(before, name, value string) {
		b = untar.AppendJSONString(append(b, before+`"`+name+`":`...), value)
	}
	add("", "mediaType", o.manifest.mediaType)
	add(",", "digest", string(o.manifest.digest))
	b = fmt.Appendf(b, `,"size":%d`, len(o.manifest.text))
	add(`,"platform":{`, "os", p.OS)
	add(",", "architecture", p.Arch)
	if p.Variant != "" {
		add(",", "variant", p.Variant)
	}
	b = append(b, '}')
	if tag != "" {
		add(`,"annotations":{`, "org.opencontainers.image.ref.name", tag)
		b = append(b, '}')
	}
	return append(b, "}]}"...)
}

// A saver writes a tar archive. After an error it writes nothing more.
type saver struct {
	w   io.Writer
	err error
}

func (s *saver) write(p []byte) {
	if s.err == nil {
		_, s.err = s.w.Write(p)
	}
}

func (s *saver) header(name string, size int64) { s.write(untar.AppendHeader(nil, name, size)) }

// pad writes zeros up to a multiple of a block, after a file of size bytes.
func (s *saver) pad(size int64) { s.write(make([]byte, -size&(tarBlock-1))) }

func (s *saver) file(name string, text []byte) {
	s.header(name, int64(len(text)))
	s.write(text)
	s.pad(int64(len(text)))
}

// layer reads a layer, and writes it unless it is in written.
func (s *saver) layer(ctx context.Context, found *Found, layer int, written []image.Digest) error {
	stream, err := found.Open(ctx, layer)
	if err != nil {
		return err
	}
	defer stream.Close()
	w := s.w
	for _, d := range written {
		if d == found.oci.layers[layer].Digest {
			w = io.Discard
		}
	}
	if w == s.w {
		s.header(blobPath(found.oci.layers[layer].Digest), stream.Size)
	}
	if s.err != nil {
		return s.err
	}
	if _, err = io.Copy(w, stream); err == nil {
		err = stream.Check()
	}
	if err == nil && w == s.w {
		s.pad(stream.Size)
	}
	return err
}
