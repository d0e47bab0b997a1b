package source

import (
	"fmt"
	"strings"

	"lxc-pull/image"
)

// choose looks up the image of found.query in the current server's index, as found.Image. If
// the index has other names for it, found.query gets them. If the user named a build that is
// not in the index, the image has that build, and the path that it would have on the server.
func (found *Found) choose(index *image.Index) (err error) {
	f, q, img := found.finder, &found.query, &found.Image
	for {
		*img, err = index.Find(*q)
		if err == nil || !q.Loose || !f.loose && q.Release != image.Latest {
			break
		}
		q.Loose = false
		f.distrustCache = f.distrustCache || f.opt.Use.Flush // Find has flushed another name
		if note := index.Resolve(q); note != "" && note != f.noted {
			f.noted = note
			f.tell.Tell(note)
		}
	}
	if err != nil || q.Build == "" || img.Build == q.Build {
		return err
	}
	path, ok := strings.CutSuffix(img.Path, "/"+img.Build)
	if !ok || !f.loose {
		return index.Gone(img, q)
	}
	img.Build, img.Path = q.Build, path+"/"+q.Build
	found.index.unlisted = true
	return nil
}

// checkUnlisted decides whether a build that the signed index does not name may be used. If
// the signature of its SHA256SUMS has the notation with the file's path, it says which build
// of which image it belongs to. Otherwise only the server says that: so it must be asked over
// https, mirrors are not asked for the tarballs, and the user is warned.
func (found *Found) checkUnlisted() error {
	f := found.finder
	if !found.index.unlisted || !found.Vouched() || found.checks.rootfs.bound {
		return nil
	}
	url := f.opt.Servers.current().url
	text := fmt.Sprintf("no signature says that build %q is one of %s, only the server %q does", found.Image.Build, found.Image.Name, url)
	if strings.HasPrefix(url, "http:") {
		return distrust(text, "it must do so over https")
	}
	f.tell.Warn("unverified", text)
	found.index.only = url
	return nil
}

// from returns the URLs of one of the image's tarballs, in the order in which to ask.
func (found *Found) from(file string) []string {
	path := found.Image.Path + "/" + file
	if found.index.only != "" {
		return []string{found.index.only + "/" + path}
	}
	return found.finder.opt.Servers.files(path)
}
