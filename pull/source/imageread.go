package source

import (
	"context"
	"io"
	"os"
	"strconv"
	"strings"

	"lxc-pull/image"
	"lxc-pull/image/cache"
)

// maxKeptTexts is how many small files of an image are kept: its manifests, its config, and what
// vouches for it. The signatures of one image are at most a few dozen files.
const maxKeptTexts = 256

// maxKeptBytes is how many bytes of small files are kept before no more signatures are: those of
// 100 signatures, with their manifests, are a few MB.
const maxKeptBytes = 8 << 20

// An imageReader reads the manifests and other small files of an image from its store, and those
// that have a digest from the cache. It remembers what it read, so that the cache can keep it.
//
// Signatures have no digest that the image names. While offline is set, those that the cache
// keeps with the image are all there are, and the store is asked only for what the cache lacks.
type imageReader struct {
	store   store
	archive *archive     // nil: the store is a registry
	cache   *cache.Cache // nil: it is not used
	kept    *cache.Kept  // the image in the cache; nil: none
	fresh   bool         // the user wants what the store has now
	offline bool
	texts   []*document // read so far
	size    int         // bytes of texts
	run     *os.File    // says that there is a run (cache.Join); nil: it does not
	seen    cache.Seen  // for the history: the metadata of a file at a URL; without a Signer there is none
}

// known returns a text that was read, nil if there is none.
func (r *imageReader) known(d image.Digest) []byte {
	for _, t := range r.texts {
		if t.digest == d {
			return t.text
		}
	}
	return nil
}

// cached returns a text that was read, or that the cache has; nil if there is none.
func (r *imageReader) cached(d image.Digest, max int64) []byte {
	if text := r.known(d); text != nil {
		return text
	}
	if r.cache == nil || r.fresh {
		return nil
	}
	blob, err := r.cache.FindBlob(d)
	if err != nil {
		return nil
	}
	defer blob.Close()
	if blob.Have > max {
		return nil
	}
	text := make([]byte, blob.Have)
	if _, err = blob.File.ReadAt(text, 0); err != nil && err != io.EOF || sumOf(text) != d {
		return nil // it is downloaded again
	}
	return text
}

func (r *imageReader) get(ctx context.Context, path string, max int64) (text []byte, mediaType string, err error) {
	_, name, _ := strings.Cut(path, "/")
	switch {
	case strings.Contains(name, ":"):
		text = r.cached(image.Digest(name), max)
	case r.offline:
		r.eachKept(func(m *image.Manifest, d image.Digest, kept []byte) {
			for i := range m.Layers {
				if m.Layers[i].Signature != "" && text == nil {
					text, mediaType = kept, m.MediaType
				}
			}
		})
		if text == nil {
			return nil, "", failed(NotFound, "the cache has no "+strconv.Quote(name))
		}
	}
	if text == nil {
		text, mediaType, err = r.store.get(ctx, path, max)
	}
	// The limit is for signatures: anybody who can write into the repository can add any.
	if err == nil && len(r.texts) < maxKeptTexts && (max > maxSignedManifest || r.size+len(text) <= maxKeptBytes) {
		if d := sumOf(text); r.known(d) == nil {
			r.size += len(text)
			r.texts = append(r.texts, &document{digest: d, text: text})
		}
	}
	return text, mediaType, err
}

func (r *imageReader) referrers(ctx context.Context, d image.Digest) (list []image.Descriptor, err error) {
	if !r.offline {
		return r.store.referrers(ctx, d)
	}
	r.eachKept(func(m *image.Manifest, digest image.Digest, text []byte) {
		if m.Subject == d {
			list = append(list, image.Descriptor{MediaType: m.MediaType, Digest: digest, Size: int64(len(text)), ArtifactType: m.ArtifactType})
		}
	})
	return list, nil
}

// eachKept calls each with the manifests that the cache keeps with the image.
func (r *imageReader) eachKept(each func(m *image.Manifest, d image.Digest, text []byte)) {
	if r.kept == nil {
		return
	}
	for _, d := range r.kept.Blobs {
		text := r.cached(d, image.MaxManifest)
		if m, err := image.ParseManifest(text, ""); err == nil {
			each(m, d, text)
		}
	}
}

// leave ends what cache.Join began: the cache may remove what no image needs.
func (r *imageReader) leave() {
	r.run.Close() // does nothing for nil
	r.run = nil
}

// close closes the archive, if the store is one.
func (r *imageReader) close() {
	r.leave()
	if r.archive != nil {
		r.archive.close()
	}
}
