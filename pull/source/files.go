package source

import (
	"crypto/sha256"
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
// The files of a container image are its index, its manifest, its config and the layers.
func (found *Found) FileList() string {
	if found.oci != nil {
		return found.oci.fileList(found)
	}
	servers := found.finder.opt.Servers
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
		url := servers.current().url + "/" + path
		if name == image.MetaFile { // a mirror may have it
			url = servers.files(path)[0]
		}
		sum := sha256.Sum256(data)
		lines += fileLine(sum[:], int64(len(data)), url)
	}
	var sum []byte
	if s := found.checks.rootfs; s.digestKnown() {
		sum = s.want[:]
	}
	return lines + fileLine(sum, found.Layers[0].Packed, found.URL())
}

// fileLine returns the line of a file. sum is nil and size -1 if they are not known.
func fileLine(sum []byte, size int64, url string) string {
	digest, bytes := "-", "-"
	if sum != nil {
		digest = hex.EncodeToString(sum)
	}
	if size >= 0 {
		bytes = strconv.FormatInt(size, 10)
	}
	return digest + " " + bytes + " " + url + "\n"
}

// URL returns the URL that is asked first for the root file system; for a container image, the
// URL of its manifest or the path of its archive.
func (found *Found) URL() string {
	if o := found.oci; o != nil {
		return o.url(found, "manifests", o.manifest.digest)
	}
	return found.urls()[0]
}

// Arriving says what happens to the root file system before it is unpacked: it is downloaded, or
// read from an archive on this machine.
func (found *Found) Arriving() string {
	if found.oci != nil && found.oci.registry == nil {
		return "Reading the rootfs"
	}
	return "Downloading the rootfs"
}

// Signers returns the fingerprints of the keys that signed the index with the image, or the
// container image.
func (found *Found) Signers() []string {
	if found.oci != nil {
		return found.oci.signers
	}
	return found.index.signers.keys
}
