package source

import (
	"encoding/hex"
	"strconv"
	"strings"

	"lxc-pull/image"
)

// FileList returns a line for each file of the image, at the servers that a run would ask
// first: its SHA-256, its size in bytes and its URL, with "-" for what is not known. The files
// are the metadata, the index, the signed digests and the signatures, and at the end the root
// file system, whose size is known after Measure. The image must come from a server, not
// from the cache.
//
// The files of a container image are its index, its manifest, its config and the layers. Those of
// another pinned image (Found.Pinned) are its metadata, if that is a file of its own, and the root
// file system.
func (found *Found) FileList() string {
	if found.pinned != nil {
		return found.pinned.fileList(found)
	}
	servers, bundle := found.finder.opt.Servers, found.cache.bundle
	var lines string
	for _, name := range EvidenceNames() {
		data := found.checks.evidence[name]
		if data == nil {
			continue
		}
		path := found.Image.Path + "/" + name
		if strings.HasPrefix(name, "index-") {
			path = image.IndexDir + "/" + name
		}
		url := found.URL()
		if name != image.MetaFile && bundle == nil {
			url = servers.current().url + "/" + path
		} else if bundle == nil { // a mirror may have it
			url = servers.files(path)[0]
		}
		lines += fileLine(string(sumOf(data))[len("sha256:"):], int64(len(data)), url)
	}
	sum := ""
	if s := found.checks.rootfs; s.digestKnown() {
		sum = hex.EncodeToString(s.want[:])
	}
	return lines + fileLine(sum, found.Layers[0].Packed, found.URL())
}

// fileLine returns the line of a file. sum is "" and size -1 if they are not known.
func fileLine(sum string, size int64, url string) string {
	digest, bytes := "-", "-"
	if sum != "" {
		digest = sum
	}
	if size >= 0 {
		bytes = strconv.FormatInt(size, 10)
	}
	return digest + " " + bytes + " " + url + "\n"
}

// URL returns the URL that is asked first for the root file system; for a container image, the
// URL of its manifest or the path of its archive; for a bundle its path.
func (found *Found) URL() string {
	if o := found.pinned; o != nil && found.Config == nil {
		return o.url(found, "blobs", o.layers[0].Digest)
	} else if o != nil {
		return o.url(found, "manifests", o.id())
	}
	if a := found.cache.bundle; a != nil {
		return a.name
	}
	return found.urls()[0]
}

// Bundled reports whether the image comes from a bundle.
func (found *Found) Bundled() bool { return found.finder.opt.Bundle != "" }

// Arriving says what happens to the root file system before it is unpacked: it is downloaded, or
// read from this machine.
func (found *Found) Arriving() string {
	if found.cache.bundle != nil {
		return "Reading the rootfs"
	}
	if o := found.pinned; o != nil {
		if _, here := o.reader.store.(*spooled); here || o.remote == nil || o.at.starts != nil {
			return "Reading the rootfs"
		}
	}
	return "Downloading the rootfs"
}

// Signers returns the fingerprints of the keys that signed the index with the image, or the
// container image.
func (found *Found) Signers() []string {
	if found.pinned != nil {
		return found.pinned.signers
	}
	return found.index.signers.keys
}
