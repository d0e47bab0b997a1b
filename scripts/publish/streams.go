package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// The simplestreams list of a tree, which Incus reads. Unlike index-system it
// has sizes and digests of files, and older builds.
type (
	streamsIndex struct {
		Format string                      `json:"format"`
		Index  map[string]streamsIndexItem `json:"index"`
	}
	streamsIndexItem struct {
		Datatype string   `json:"datatype"`
		Format   string   `json:"format"`
		Path     string   `json:"path"`
		Products []string `json:"products"`
	}
	streamsProducts struct {
		ContentID string                    `json:"content_id"`
		Datatype  string                    `json:"datatype"`
		Format    string                    `json:"format"`
		Products  map[string]streamsProduct `json:"products"`
	}
	streamsProduct struct {
		Aliases      string                    `json:"aliases"`
		Arch         string                    `json:"arch"`
		OS           string                    `json:"os"`
		Release      string                    `json:"release"`
		ReleaseTitle string                    `json:"release_title"`
		Variant      string                    `json:"variant"`
		Versions     map[string]streamsVersion `json:"versions"`
	}
	streamsVersion struct {
		Items map[string]streamsItem `json:"items"`
	}
	streamsItem struct {
		FileType string `json:"ftype"`
		Path     string `json:"path"`
		SHA256   string `json:"sha256"`
		Size     int64  `json:"size"`
	}
)

// streams returns images.json and index.json for images in scan's order. JSON
// objects have sorted keys, so equal trees give equal bytes.
func (t *tree) streams(images []image) (products, index []byte, err error) {
	const datatype, format = "image-downloads", "products:1.0"
	list := streamsProducts{ContentID: "images", Datatype: datatype, Format: format, Products: make(map[string]streamsProduct)}
	names := []string{}
	for _, im := range images {
		id := strings.ReplaceAll(im.product(), "/", ":")
		product, ok := list.Products[id]
		if !ok {
			names = append(names, id)
			aliases := im.dist + "/" + im.release + "/" + im.variant
			if im.variant == "default" {
				aliases += "," + im.dist + "/" + im.release
			}
			product = streamsProduct{
				Aliases: aliases, Arch: im.arch, OS: strings.ToUpper(im.dist[:1]) + im.dist[1:],
				Release: im.release, ReleaseTitle: im.release, Variant: im.variant,
				Versions: make(map[string]streamsVersion),
			}
			list.Products[id] = product
		}
		item, err := t.streamsItem(im)
		if err != nil {
			return nil, nil, err
		}
		product.Versions[im.build] = streamsVersion{Items: map[string]streamsItem{item.FileType: item}}
	}
	if products, err = json.Marshal(list); err != nil {
		return nil, nil, err
	}
	index, err = json.Marshal(streamsIndex{
		Format: "index:1.0",
		Index:  map[string]streamsIndexItem{"images": {datatype, format, "streams/v1/images.json", names}},
	})
	return append(products, '\n'), append(index, '\n'), err
}

// streamsItem describes a build's root file system. It takes the digest from the build's
// signed SHA256SUMS, because hashing every archive in every run would take minutes on a
// server with a hundred images.
func (t *tree) streamsItem(im image) (streamsItem, error) {
	item := streamsItem{FileType: "root.tar.xz", Path: im.path() + "/rootfs.tar.xz"}
	info, err := os.Stat(t.file(item.Path))
	if err != nil {
		return item, err
	}
	item.Size = info.Size()
	sums, err := os.ReadFile(t.file(im.path() + "/SHA256SUMS"))
	if err != nil {
		return item, err
	}
	for line := range strings.Lines(string(sums)) {
		if digest, ok := strings.CutSuffix(line, "  rootfs.tar.xz\n"); ok {
			item.SHA256 = digest
		}
	}
	if item.SHA256 == "" {
		return item, fmt.Errorf("%s/SHA256SUMS has no line for rootfs.tar.xz", im.path())
	}
	return item, nil
}
