package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// A product is a member of "products" in a list. images.linuxcontainers.org and Ubuntu have
// different members.
type product struct {
	Aliases         string             `json:"aliases"`
	Arch            string             `json:"arch"`
	OS              string             `json:"os"`
	Release         string             `json:"release"`
	ReleaseCodename string             `json:"release_codename,omitempty"`
	ReleaseTitle    string             `json:"release_title"`
	Requirements    map[string]string  `json:"requirements,omitempty"`
	SupportEOL      string             `json:"support_eol,omitempty"`
	Supported       bool               `json:"supported,omitempty"`
	Variant         string             `json:"variant,omitempty"`
	Version         string             `json:"version,omitempty"`
	Versions        map[string]version `json:"versions"`
}

type version struct {
	Items   map[string]*item `json:"items"`
	Label   string           `json:"label,omitempty"`
	PubName string           `json:"pubname,omitempty"`
}

// An item is a file of a version.
type item struct {
	Combined         string `json:"combined_sha256,omitempty"`
	CombinedRootXZ   string `json:"combined_rootxz_sha256,omitempty"`
	CombinedSquashfs string `json:"combined_squashfs_sha256,omitempty"`
	DeltaBase        string `json:"delta_base,omitempty"`
	FileType         string `json:"ftype"`
	Path             string `json:"path"`
	SHA256           string `json:"sha256"`
	Size             int64  `json:"size"`
}

type list struct {
	ContentID string              `json:"content_id"`
	Datatype  string              `json:"datatype"`
	Format    string              `json:"format"`
	License   string              `json:"license,omitempty"`
	Products  map[string]*product `json:"products"`
	Updated   string              `json:"updated,omitempty"`
}

type entry struct {
	Datatype string   `json:"datatype"`
	Format   string   `json:"format"`
	Path     string   `json:"path"`
	Products []string `json:"products"`
	Updated  string   `json:"updated,omitempty"`
}

// releaseNumbers are the numbers and code names of Ubuntu's releases.
var releaseNumbers = map[string][2]string{
	"focal": {"20.04", "Focal Fossa"}, "jammy": {"22.04", "Jammy Jellyfish"}, "noble": {"24.04", "Noble Numbat"}, "resolute": {"26.04", "Resolute Raccoon"},
}

// documents returns the texts of the files in streams/v1, by their names.
func (o *options) documents() (map[string][]byte, error) {
	lists, entries := map[string]*list{}, map[string]*entry{}
	updated := ""
	if o.layout == "ubuntu" {
		updated = o.at.UTC().Format(time.RFC1123Z)
		// Lists of images that clouds have under other names: they are nothing for a container.
		entries["com.ubuntu.cloud:released:aws"] = &entry{
			Datatype: "image-ids", Format: "products:1.0", Path: "streams/v1/com.ubuntu.cloud:released:aws.json",
			Products: []string{"com.ubuntu.cloud:server:24.04:amd64"}, Updated: updated,
		}
		lists["com.ubuntu.cloud:released:aws"] = &list{ContentID: "com.ubuntu.cloud:released:aws", Datatype: "image-ids", Format: "products:1.0", Products: map[string]*product{}, Updated: updated}
	}
	for _, im := range o.images {
		id, key, p, v := o.describe(im)
		l := lists[id]
		if l == nil {
			l = &list{ContentID: id, Datatype: "image-downloads", Format: "products:1.0", Products: map[string]*product{}, Updated: updated}
			lists[id] = l
			entries[id] = &entry{Datatype: l.Datatype, Format: l.Format, Path: "streams/v1/" + id + ".json", Updated: updated}
		}
		if l.Products[key] == nil {
			l.Products[key] = p
			entries[id].Products = append(entries[id].Products, key)
		}
		l.Products[key].Versions[im.version] = v
	}
	documents := map[string][]byte{}
	add := func(name string, value any) error {
		text, err := json.Marshal(value)
		if err == nil && o.layout == "ubuntu" { // people can read it
			text, err = json.MarshalIndent(value, "", " ")
		}
		documents[name] = append(text, '\n')
		return err
	}
	for id, l := range lists {
		if err := add(id+".json", l); err != nil {
			return nil, err
		}
	}
	return documents, add("index.json", map[string]any{"format": "index:1.0", "index": entries})
}

// describe returns the list that has an image, and its product and version.
func (o *options) describe(im *build) (id, key string, p *product, v version) {
	v.Items = im.items
	if o.layout == "incus" {
		aliases := []string{im.dist + "/" + im.release + "/" + im.variant}
		if im.variant == "default" {
			aliases = append(aliases, im.dist+"/"+im.release)
		}
		if im.release == "trixie" { // as a release with a number has it
			aliases = append(aliases, strings.Replace(aliases[len(aliases)-1], "trixie", "13", 1))
		}
		return "images", strings.Join([]string{im.dist, im.release, im.arch, im.variant}, ":"), &product{
			Aliases: strings.Join(aliases, ","), Arch: im.arch, OS: strings.ToUpper(im.dist[:1]) + im.dist[1:], Release: im.release,
			ReleaseTitle: im.release, Requirements: map[string]string{"secureboot": "false"}, Variant: im.variant, Versions: map[string]version{},
		}, v
	}
	number := releaseNumbers[im.release]
	prefix := "com.ubuntu.cloud"
	if im.variant != "default" {
		prefix += "." + im.variant
	}
	v.Label = "release"
	v.PubName = fmt.Sprintf("ubuntu-%s-%s-%s-server-%s", im.release, number[0], im.arch, im.version)
	return prefix + ":released:download", prefix + ":server:" + number[0] + ":" + im.arch, &product{
		Aliases: number[0] + "," + im.release + "," + im.release[:1] + map[bool]string{true: ",lts"}[im.release == "noble"], Arch: im.arch, OS: im.dist, Release: im.release,
		ReleaseCodename: number[1], ReleaseTitle: number[0] + " LTS", SupportEOL: "2039-05-31", Supported: true, Version: number[0],
		Versions: map[string]version{},
	}, v
}
