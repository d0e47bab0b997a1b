package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ulikunitz/xz"
)

// kernelArch are the kernel's names of architectures, which Incus has in metadata.yaml.
var kernelArch = map[string]string{"amd64": "x86_64", "arm64": "aarch64", "armhf": "armv7l", "i386": "i686", "ppc64el": "ppc64le"}

// templates are those of images in use: all that a container's name is in, and one with a
// statement, which needs Incus.
var templates = []struct{ name, text string }{
	{"hostname.tpl", "{{ container.name }}\n"},
	{"hosts.tpl", "127.0.0.1\tlocalhost\n127.0.1.1\t{{ container.name }}\n"},
	{"cloud-init-meta.tpl", "#cloud-config\ninstance-id: {{ container.name }}\nlocal-hostname: {{ container.name }}\n{{ config_get(\"user.meta-data\", \"\") }}\n"},
	{"cloud-init-network.tpl", "{% if config_get(\"user.network-config\", \"\") == \"\" %}version: 1{% else %}{{ config_get(\"user.network-config\", \"\") }}{% endif %}\n"},
}

// metadataYAML returns the metadata of an image: in the form of distrobuilder for images.linuxcontainers.org,
// and in that of Ubuntu's build, whose mappings are in braces.
func (o *options) metadataYAML(im *build) (string, error) {
	if o.metadata != "" {
		text, err := os.ReadFile(o.metadata)
		return string(text), err
	}
	arch := kernelArch[im.arch]
	if arch == "" {
		arch = im.arch
	}
	day, err := time.Parse("20060102", im.version[:min(8, len(im.version))])
	if err != nil {
		return "", fmt.Errorf("version %q does not begin with a date", im.version)
	}
	if o.layout == "ubuntu" {
		return fmt.Sprintf(`architecture: %q
creation_date: %d
properties: {architecture: %s, description: 'Ubuntu %s LTS server (%[5]s)', os: %s, release: %s,
  serial: '%[5]s'}
templates:
  /etc/hostname:
    template: hostname.tpl
    when: [create, copy]
  /etc/hosts: {"template": "hosts.tpl", "when": ["create", "copy"], "create_only": true}
  /var/lib/cloud/seed/nocloud-net/meta-data:
    template: cloud-init-meta.tpl
    when: [create, copy]
  /var/lib/cloud/seed/nocloud-net/network-config:
    template: cloud-init-network.tpl
    when: [create, copy]
`, arch, day.Unix(), im.arch, releaseNumbers[im.release][0], im.version, im.dist, im.release), nil
	}
	return fmt.Sprintf(`architecture: %s
creation_date: %d
expiry_date: %d
properties:
  architecture: %s
  description: %s %s %[4]s (%[7]s)
  name: %[5]s-%[6]s-%[4]s-%[8]s-%[7]s
  os: %[5]s
  release: %[6]s
  serial: "%[7]s"
  variant: %[8]s
templates:
  /etc/hostname:
    when:
    - create
    - copy
    create_only: false
    template: hostname.tpl
    properties: {}
  /etc/hosts:
    when:
    - create
    - copy
    create_only: false
    template: hosts.tpl
    properties: {}
`, arch, day.Unix(), day.AddDate(5, 0, 0).Unix(), im.arch, im.dist, im.release, im.version, im.variant), nil
}

// dir returns the directory of an image, relative to the tree, and the beginning of its files'
// names.
func (o *options) dir(im *build) (dir, prefix string) {
	if o.layout == "ubuntu" {
		kind := im.variant
		if kind == "default" {
			kind = "server"
		}
		return fmt.Sprintf("%s/releases/%s/release-%s", kind, im.release, im.version),
			fmt.Sprintf("ubuntu-%s-%s-cloudimg-%s", releaseNumbers[im.release][0], kind, im.arch)
	}
	return strings.Join([]string{"images", im.dist, im.release, im.arch, im.variant, im.version}, "/"), ""
}

// addFiles makes the files of an image that are missing, and its items.
func (o *options) addFiles(im *build) error {
	text, err := o.metadataYAML(im)
	if err != nil {
		return err
	}
	dir, prefix := o.dir(im)
	metaName, rootName, squashfsName, diskName := "incus.tar.xz", "rootfs.tar.xz", "rootfs.squashfs", "disk.qcow2"
	if prefix != "" {
		metaName, rootName, squashfsName, diskName = prefix+"-lxd.tar.xz", prefix+"-root.tar.xz", prefix+".squashfs", prefix+".img"
	}
	if o.unified {
		err := o.addFile(im, "incus_combined.tar.gz", "incus_combined.tar.gz", dir+"/"+prefix+"incus_combined.tar.gz", func(w io.Writer) error { return o.packUnified(w, text) })
		if err == nil {
			same := *im.items["incus_combined.tar.gz"]
			same.FileType = "lxd_combined.tar.gz" // LXD knows the file by this name
			im.items["lxd_combined.tar.gz"] = &same
		}
		return err
	}
	if err := o.addFile(im, "lxd.tar.xz", "lxd.tar.xz", dir+"/"+metaName, func(w io.Writer) error { return packMetadata(w, text) }); err != nil {
		return err
	}
	meta := im.items["lxd.tar.xz"]
	if o.root != "" {
		if err := o.addFile(im, "root.tar.xz", "root.tar.xz", dir+"/"+rootName, copyOf(o.root)); err != nil {
			return err
		}
		if meta.CombinedRootXZ, err = o.combined(meta, im.items["root.tar.xz"]); err != nil {
			return err
		}
		meta.Combined = meta.CombinedRootXZ
	}
	if o.squashfs != "" {
		name := "squashfs"
		if o.layout == "incus" {
			name = "root.squashfs"
		}
		if err := o.addFile(im, name, "squashfs", dir+"/"+squashfsName, copyOf(o.squashfs)); err != nil {
			return err
		}
		if meta.CombinedSquashfs, err = o.combined(meta, im.items[name]); err != nil {
			return err
		}
	}
	// What is of no use for a container: a disk, and the difference from the version before.
	disk := "disk1.img"
	if o.layout == "incus" {
		disk = "disk-kvm.img"
		same := *meta
		same.FileType = metaName
		im.items[metaName] = &same
		im.items["root.20200101_00:00.vcdiff"] = &item{FileType: "squashfs.vcdiff", Path: dir + "/delta-20200101_00:00.vcdiff", SHA256: strings.Repeat("0", 64), Size: 1, DeltaBase: "20200101_00:00"}
	}
	return o.addFile(im, filepath.Base(diskName), disk, dir+"/"+diskName, func(w io.Writer) error {
		_, err := io.WriteString(w, "a disk of a virtual machine\n")
		return err
	})
}

// addFile makes a file, if it is missing, and its item.
func (o *options) addFile(im *build, name, kind, path string, write func(io.Writer) error) error {
	file := filepath.Join(o.tree, path)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err == nil {
		err = write(out)
		if closed := out.Close(); err == nil {
			err = closed
		}
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	i := &item{FileType: kind, Path: path}
	i.SHA256, i.Size, err = o.digest(path)
	im.items[name] = i
	return err
}

// copyOf returns a function that copies a file.
func copyOf(file string) func(io.Writer) error {
	return func(w io.Writer) error {
		in, err := os.Open(file)
		if err != nil {
			return err
		}
		defer in.Close()
		_, err = io.Copy(w, in)
		return err
	}
}

// digest returns the digest and the size of files of the tree, one after the other.
func (o *options) digest(paths ...string) (digest string, size int64, err error) {
	h := sha256.New()
	for _, path := range paths {
		in, err := os.Open(filepath.Join(o.tree, path))
		if err != nil {
			return "", 0, err
		}
		n, err := io.Copy(h, in)
		in.Close()
		if err != nil {
			return "", 0, err
		}
		size += n
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}

// combined returns Incus' fingerprint of an image of two files.
func (o *options) combined(meta, root *item) (string, error) {
	digest, _, err := o.digest(meta.Path, root.Path)
	return digest, err
}

// packMetadata writes incus.tar.xz.
func packMetadata(w io.Writer, text string) error {
	packer, err := xz.NewWriter(w)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(packer)
	if err := addMetadata(archive, text); err != nil {
		return err
	}
	return errors.Join(archive.Close(), packer.Close())
}

// addMetadata adds metadata.yaml and the templates to an archive.
func addMetadata(archive *tar.Writer, text string) error {
	add := func(name, text string) error {
		err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), ModTime: time.Unix(0, 0), Typeflag: tar.TypeReg})
		if err == nil {
			_, err = io.WriteString(archive, text)
		}
		return err
	}
	if err := add("metadata.yaml", text); err != nil {
		return err
	}
	if err := archive.WriteHeader(&tar.Header{Name: "templates/", Mode: 0o755, ModTime: time.Unix(0, 0), Typeflag: tar.TypeDir}); err != nil {
		return err
	}
	for _, t := range templates {
		if err := add("templates/"+t.name, t.text); err != nil {
			return err
		}
	}
	return nil
}

// packUnified writes a unified image: the metadata, and the root file system below rootfs/.
func (o *options) packUnified(w io.Writer, text string) error {
	packed, err := os.ReadFile(o.root)
	if err != nil {
		return err
	}
	unpacked, err := xz.NewReader(bytes.NewReader(packed))
	if err != nil {
		return err
	}
	packer := gzip.NewWriter(w)
	archive := tar.NewWriter(packer)
	if err := addMetadata(archive, text); err != nil {
		return err
	}
	for in := tar.NewReader(unpacked); ; {
		h, err := in.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		below := func(name string) string { return "rootfs/" + strings.TrimPrefix(name, "./") }
		h.Name = below(h.Name)
		if h.Typeflag == tar.TypeLink {
			h.Linkname = below(h.Linkname)
		}
		if h.Typeflag == tar.TypeGNUSparse {
			h.Typeflag = tar.TypeReg // Reader returns the holes as zeros
		}
		for key := range h.PAXRecords {
			if strings.HasPrefix(key, "GNU.sparse.") {
				delete(h.PAXRecords, key)
			}
		}
		h.Format = tar.FormatPAX
		if err := archive.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(archive, in); err != nil {
			return err
		}
	}
	return errors.Join(archive.Close(), packer.Close())
}

// filler returns an image, by its number, whose files are missing. Two of them are versions of
// one product.
func (o *options) filler(n int) *build {
	product := n / 2
	im := &build{
		fmt.Sprintf("filler%02d", product/25), fmt.Sprintf("%d.%d", product/5%5+1, product%5), "amd64", "default",
		fmt.Sprintf("2026080%d_05:24", n%2+1), map[string]*item{},
	}
	dir, _ := o.dir(im)
	for i, file := range []string{"incus.tar.xz", "lxd.tar.xz", "root.tar.xz", "squashfs", "disk-kvm.img", "root.20260801_05:24.vcdiff"} {
		digest := sha256.Sum256([]byte(dir + file))
		hex := hex.EncodeToString(digest[:])
		im.items[file] = &item{FileType: file, Path: dir + "/" + file, SHA256: hex, Size: int64(100000 + n)}
		if i < 2 {
			im.items[file].Combined, im.items[file].CombinedRootXZ, im.items[file].CombinedSquashfs = hex, hex, hex
		}
	}
	return im
}
