package source

import (
	"crypto/sha256"
	"strings"

	"lxc-pull/image"
)

// A File is a file that a run downloads, or needs to verify another.
type File struct {
	URL    string
	SHA256 [sha256.Size]byte
	Size   int64 // in bytes, -1 if it is not known
	Known  bool  // SHA256 is the digest of the verified file
}

// Files returns the files of the image at the servers that a run would ask first: the index,
// the signed digests and the signatures, the metadata, and at the end the root file system,
// whose size is known after Measure. The image must come from a server, not from the cache.
func (found *Found) Files() []File {
	servers := found.finder.opt.Servers
	server := servers.current()
	if server == nil {
		return nil
	}
	var list []File
	for _, name := range EvidenceNames() {
		data := found.checks.evidence[name]
		if data == nil || name == image.MetaFile {
			continue
		}
		path := found.Image.Path + "/" + name
		if strings.HasPrefix(name, "index-") {
			path = image.IndexDir + "/" + name
		}
		list = append(list, File{server.url + "/" + path, sha256.Sum256(data), int64(len(data)), true})
	}
	meta := found.checks.evidence[image.MetaFile]
	rootfs := File{URL: found.urls()[0], Size: found.Layers[0].Packed}
	if s := found.checks.rootfs; s.digestKnown() {
		rootfs.SHA256, rootfs.Known = s.want, true
	}
	return append(list, File{servers.files(found.Image.Path + "/" + image.MetaFile)[0], sha256.Sum256(meta), int64(len(meta)), true}, rootfs)
}

// Signers returns the fingerprints of the keys that signed the index with the image.
func (found *Found) Signers() []string { return found.index.signers.keys }
