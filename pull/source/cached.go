package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"lxc-pull/image"
	"lxc-pull/image/cache"
	"lxc-pull/lxc"
)

// inCache returns the cached copy of the image, nil if there is none. It sends no request. An
// error means that there is a copy, but that a server must be asked before it is used.
func (f *Finder) inCache(ctx context.Context, q image.Query) (*Found, error) {
	if f.opt.Cache == nil || f.distrustCache {
		return nil, nil
	}
	if f.opt.Streams != nil {
		return f.streamsInCache(ctx)
	}
	for _, name := range cacheNames(q) {
		entry, err := f.opt.Cache.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if q.Build != "" && q.Build != entry.Build {
			entry.Close()
			continue
		}
		found, err := f.fromEntry(name, entry, q)
		if err != nil {
			entry.Close()
			return nil, err
		}
		return found, nil
	}
	return nil, nil
}

// CachedIndex returns the index that the newest of the cache's entries keeps. Nothing is
// verified, so it is only good for suggestions. It is empty if no entry has one.
func CachedIndex(c *cache.Cache, entries []cache.Info) (x image.Index) {
	newest := -1
	for i, info := range entries {
		if info.Evidence && info.Damage == nil && (newest < 0 || info.Modified.After(entries[newest].Modified)) {
			newest = i
		}
	}
	if newest < 0 {
		return x
	}
	entry, err := c.Open(entries[newest].Name)
	if err != nil {
		return x
	}
	defer entry.Close()
	for _, name := range allIndexNames() {
		if text := entry.Evidence[string(name)]; text != nil {
			return name.parse(text)
		}
	}
	return x
}

// cacheNames returns the names under which the cache may have the image: an entry has the names
// of the server's index, which may spell the architecture differently from q.
func cacheNames(q image.Query) []image.Name {
	var names []image.Name
	for _, arch := range q.Arch {
		names = append(names, image.Name{Dist: q.Dist, Release: q.Release, Arch: arch, Variant: q.Variant})
	}
	return names
}

// fromEntry returns the image of a cache entry after checking the evidence that is kept with
// it; the digest of the root file system is checked when the file is read. The error says why
// the evidence is not good.
func (f *Finder) fromEntry(name image.Name, entry *cache.Entry, q image.Query) (*Found, error) {
	found := &Found{
		Image: image.Image{Name: name, Build: entry.Build}, Cached: true, Layers: []Layer{{Name: image.RootfsFile, Packed: -1, Content: -1}},
		finder: f, lxcImage: lxcImage{query: q, checks: checks{evidence: evidence(entry.Evidence)}, cache: cacheParts{entry: entry}},
	}
	if f.trust.keys == nil && entry.Evidence[image.MetaFile] == nil {
		// The user wants no check, and the stock template made the entry.
		found.checks.rootfs = &seal{file: image.RootfsFile}
		found.Meta = lxc.Meta(entry.Files)
		return found, nil
	}
	if f.trust.keys != nil {
		if err := f.checkAgainstIndex(found); err != nil {
			return nil, err
		}
	}
	if err := found.renewSeals(); err != nil {
		return nil, err
	}
	tarball := entry.Evidence[image.MetaFile]
	if tarball == nil {
		return nil, errors.New(image.MetaFile + " is not kept with it")
	}
	if err := found.checks.meta.checkBytes(tarball); err != nil {
		return nil, err
	}
	return found, found.useMeta(tarball)
}

// checkAgainstIndex checks that an entry is the image and build that its directory and
// build_id say: the signed index that is kept with it must list them, and no newer build may
// have been seen, unless the user named the build. The index also has the image's path on the server, which signatures may
// name.
func (f *Finder) checkAgainstIndex(found *Found) error {
	for _, name := range allIndexNames() {
		text, sig := found.checks.evidence[string(name)], found.checks.evidence[string(name)+image.SigSuffix]
		if text == nil || sig == nil {
			continue
		}
		by, err := f.trust.verify(string(name), name.path(), text, sig)
		if err != nil {
			return err
		}
		for _, img := range name.parse(text).Images {
			if img.Name == found.Image.Name && img.Build == found.Image.Build {
				found.Image, found.index.signers = img, by
				if found.query.Build != "" {
					return nil
				}
				return f.checkNotOlder(&img, &by, true)
			}
		}
		return unverified(string(name), fmt.Errorf("the signed index does not list build %q of this image", found.Image.Build))
	}
	return errors.New("no signed index is kept with it (the stock template or an older version made it); the next creation downloads one")
}
