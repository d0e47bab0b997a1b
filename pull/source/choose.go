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
		return index.Gone(*img, *q)
	}
	img.Build, img.Path = q.Build, path+"/"+q.Build
	found.index.unlisted = true
	return nil
}

// checkUnlisted decides whether a build that the signed index does not name may be used. If
// the signature of its SHA256SUMS has the notation with the file's path, it says which build
// of which image it belongs to. Otherwise only the server says that: so it must be asked over
// https, and the user is warned.
func (found *Found) checkUnlisted() error {
	f := found.finder
	if !found.index.unlisted || !found.Vouched() || found.checks.rootfs.bound {
		return nil
	}
	server := f.opt.Servers.current()
	if strings.HasPrefix(server.url, "http:") {
		return unverified(fmt.Sprintf("build %q", found.Image.Build),
			fmt.Errorf("the signed list does not name it, and its signature does not say to which image it belongs; the server would have to say so over https, and %q is not https", server.url))
	}
	f.tell.Warn(fmt.Sprintf("the signed list does not name build %q: that it is an image of %s is the word of %q, not of a signature", found.Image.Build, found.Image.Name, server.url))
	return nil
}

// from returns the URLs of one of the image's tarballs, in the order in which to ask. A build
// for which only the server's word stands comes from that server, and not from mirrors.
func (found *Found) from(file string) []string {
	servers, path := found.finder.opt.Servers, found.Image.Path+"/"+file
	if server := servers.current(); server != nil && found.index.unlisted && found.Vouched() && !found.checks.rootfs.bound {
		return []string{server.url + "/" + path}
	}
	return servers.files(path)
}
