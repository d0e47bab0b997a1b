package source

import (
	"context"
	"fmt"
	"io"
	"strings"

	"lxc-pull/image"
	"lxc-pull/image/cache"
)

// maxKeptTexts is how many small files of an image are kept: its manifests, its config, and what
// vouches for it. The signatures of one image are at most a few dozen files.
const maxKeptTexts = 256

// An ociReader reads the manifests and other small files of an image from its store, and those
// that have a digest from the cache. It remembers what it read, so that the cache can keep it.
//
// Signatures have no digest that the image names. While offline is set, those that the cache
// keeps with the image are all there are, and the store is asked only for what the cache lacks.
type ociReader struct {
	store
	archive *archive     // nil: the store is a registry
	cache   *cache.Cache // nil: it is not used
	kept    *cache.Kept  // the image in the cache; nil: none
	fresh   bool         // the user wants what the store has now
	offline bool
	texts   []document // read so far
}

// note remembers a text.
func (r *ociReader) note(d image.Digest, text []byte) {
	for i := range r.texts {
		if r.texts[i].digest == d {
			return
		}
	}
	if len(r.texts) < maxKeptTexts {
		r.texts = append(r.texts, document{digest: d, text: text})
	}
}

// cached returns a text of the cache, nil if the cache does not have it.
func (r *ociReader) cached(d image.Digest, max int64) []byte {
	for i := range r.texts {
		if r.texts[i].digest == d {
			return r.texts[i].text
		}
	}
	if r.cache == nil || r.fresh {
		return nil
	}
	blob, err := r.cache.FindBlob(d)
	if err != nil {
		return nil
	}
	defer blob.Close()
	text, err := io.ReadAll(io.NewSectionReader(blob.File, 0, max+1))
	if err != nil || int64(len(text)) > max || textDigest(text) != d {
		return nil // it is downloaded again
	}
	r.note(d, text)
	return text
}

func (r *ociReader) manifest(ctx context.Context, name string) (text []byte, mediaType string, err error) {
	switch {
	case strings.Contains(name, ":"):
		if text = r.cached(image.Digest(name), image.MaxManifest); text != nil {
			return text, "", nil
		}
	case r.offline:
		for _, m := range r.keptManifests() {
			for i := range m.manifest.Layers {
				if m.manifest.Layers[i].Signature != "" {
					return m.text, m.manifest.MediaType, nil
				}
			}
		}
		return nil, "", &Error{Kind: NotFound, Err: fmt.Errorf("the cache has no %q", name)}
	}
	if text, mediaType, err = r.store.manifest(ctx, name); err == nil {
		r.note(textDigest(text), text)
	}
	return text, mediaType, err
}

func (r *ociReader) small(ctx context.Context, d *image.Descriptor, max int64) (text []byte, err error) {
	if text = r.cached(d.Digest, max); text != nil {
		return text, nil
	}
	if text, err = r.store.small(ctx, d, max); err == nil {
		r.note(d.Digest, text)
	}
	return text, err
}

func (r *ociReader) referrers(ctx context.Context, d image.Digest) (list []image.Descriptor, err error) {
	if !r.offline {
		return r.store.referrers(ctx, d)
	}
	for _, m := range r.keptManifests() {
		if m.manifest.Subject == d {
			list = append(list, image.Descriptor{
				MediaType: m.manifest.MediaType, Digest: m.digest, Size: int64(len(m.text)), ArtifactType: m.manifest.ArtifactType,
			})
		}
	}
	return list, nil
}

// A keptManifest is a manifest that the cache keeps with the image.
type keptManifest struct {
	document
	manifest *image.Manifest
}

// keptManifests returns the manifests that the cache keeps with the image.
func (r *ociReader) keptManifests() (list []keptManifest) {
	if r.kept == nil {
		return nil
	}
	for _, d := range r.kept.Blobs {
		if blob, err := r.cache.FindBlob(d); err == nil {
			first := make([]byte, 1)
			blob.File.ReadAt(first, 0)
			size := blob.Have
			blob.Close()
			if size > image.MaxManifest || first[0] != '{' {
				continue // a layer
			}
		}
		text := r.cached(d, image.MaxManifest)
		if text == nil {
			continue
		}
		if m, err := image.ParseManifest(text, ""); err == nil {
			list = append(list, keptManifest{document{digest: d, text: text}, m})
		}
	}
	return list
}

// close closes the archive, if the store is one.
func (r *ociReader) close() {
	if r.archive != nil {
		r.archive.close()
	}
}
