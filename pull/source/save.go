package source

import (
	"context"
	"io"

	"lxc-pull/image"
	"lxc-pull/untar"
)

// SaveArchive writes the image of Options.Container to w as an archive of an OCI image layout
// (OCI image spec, image-layout.md): its manifest for the wanted platform with the tag as its
// name, its config and its layers, all as they are in the registry. The digest of each is
// checked while it is written, so what w has got counts only if there is no error.
func (f *Finder) SaveArchive(ctx context.Context, w io.Writer) error {
	found, err := f.findPinned(ctx)
	if err != nil {
		return err
	}
	defer found.Close()
	found.Accept()
	o := found.pinned
	config, _, err := o.reader.get(ctx, "blobs/"+string(o.config.Digest), image.MaxConfig)
	if err != nil {
		return err
	}
	b := appendFile(appendLayout(nil), indexFile, savedIndex(savedEntry(o.manifest, f.opt.Container.Reference.Tag, &found.Config.Platform)))
	b = appendFile(b, blobName(o.manifest.digest), o.manifest.text)
	b = appendFile(b, blobName(o.config.Digest), config)
	for i := range o.layers {
		if b, err = o.saveLayer(ctx, w, found, i, b); err != nil {
			found.Forget(err)
			return err
		}
	}
	if _, err = w.Write(append(b, make([]byte, 2*tarBlock)...)); err == nil { // the end of the archive
		found.Keep()
	}
	return err
}

// tarBlock is the size of a block of a tar archive, in bytes.
const tarBlock = 512

// appendLayout appends the beginning of a layout to a tar archive.
func appendLayout(b []byte) []byte {
	b = untar.AppendHeader(untar.AppendHeader(b, "blobs/", 0), blobsDir, 0)
	return appendFile(b, layoutFile, []byte(`{"imageLayoutVersion":"1.0.0"}`))
}

// savedIndex returns the index.json of a layout with these entries.
func savedIndex(entries string) []byte {
	return []byte(`{"schemaVersion":2,"mediaType":"` + image.OCIIndex + `","manifests":[` + entries + "]}")
}

// savedEntry returns the entry of index.json for a manifest. name is a tag, "": none; p is nil
// for an index, whose manifests have platforms.
func savedEntry(d *document, name string, p *image.Platform) string {
	text := descriptor(d.mediaType, d.digest, int64(len(d.text)))
	if p != nil {
		text += `,"platform":{"os":` + jsonString(p.OS) + `,"architecture":` + jsonString(p.Arch)
		if p.Variant != "" {
			text += `,"variant":` + jsonString(p.Variant)
		}
		text += "}"
	}
	if name != "" {
		text += `,"annotations":{"org.opencontainers.image.ref.name":` + jsonString(name) + "}"
	}
	return text + "}"
}

func jsonString(s string) string { return string(untar.AppendJSONString(nil, s)) }

// appendFile appends a file to a tar archive.
func appendFile(b []byte, name string, text []byte) []byte {
	b = append(untar.AppendHeader(b, name, int64(len(text))), text...)
	return append(b, make([]byte, -len(text)&(tarBlock-1))...)
}

// saveLayer writes before, which precedes the layer in the archive, and the layer, unless a layer
// below is the same. It returns what has to follow it.
func (o *pinnedImage) saveLayer(ctx context.Context, w io.Writer, found *Found, layer int, before []byte) (after []byte, err error) {
	d := &o.layers[layer]
	before = untar.AppendHeader(before, blobName(d.Digest), d.Size)
	after = make([]byte, -d.Size&(tarBlock-1))
	for i := range layer {
		if o.layers[i].Digest == d.Digest {
			w, after = io.Discard, before[:len(before)-tarBlock]
		}
	}
	stream, err := found.Open(ctx, layer)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	if _, err = w.Write(before); err == nil {
		_, err = io.Copy(w, stream)
	}
	if err == nil {
		err = stream.Check()
	}
	return after, err
}
