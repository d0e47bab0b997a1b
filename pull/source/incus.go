package source

import (
	"bytes"
	"errors"
	"io"

	"lxc-pull/image"
	"lxc-pull/untar"
)

// Names in the metadata of images for Incus (its doc/reference/image_format.md).
const (
	incusFile      = "metadata.yaml"
	incusTemplates = "templates/"
	incusRoot      = "rootfs"
)

// useIncus takes Incus' metadata and its templates out of texts, which are named as in an archive.
func (found *Found) useIncus(texts map[string][]byte) error {
	if texts[incusFile] == nil {
		return errors.New("it has no " + incusFile)
	}
	in, err := image.ParseIncus(texts[incusFile])
	if err != nil {
		return because(incusFile, err)
	}
	for i := range in.Templates {
		if t := &in.Templates[i]; i < maxTemplates && image.CheckName(t.Template) == nil {
			t.Text = texts[incusTemplates+t.Template]
		}
	}
	found.Incus = in
	return nil
}

// useEither takes a tarball of metadata: Incus' if it has a metadata.yaml, else LXC's.
func (found *Found) useEither(tarball []byte) error {
	texts, err := found.finder.readTexts(tarball)
	if err != nil {
		return err
	}
	if texts[incusFile] == nil {
		return found.takeMeta(tarball)
	}
	return found.useIncus(texts)
}

// readTexts returns the content of the regular files of a tarball of metadata.
func (f *Finder) readTexts(tarball []byte) (map[string][]byte, error) {
	files, err := f.readTarball(tarball)
	texts := map[string][]byte{}
	for i := range files {
		if files[i].Type == untar.TypeFile {
			texts[files[i].Name] = files[i].Data
		}
	}
	return texts, err
}

// readTarball returns the files of a tarball of metadata.
func (f *Finder) readTarball(tarball []byte) ([]untar.File, error) {
	plain, err := f.decompress(bytes.NewReader(tarball))
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	return untar.ReadFiles(plain, maxMetaFile, maxMetaTotal)
}

// decompress decompresses something of which little is read.
func (f *Finder) decompress(r io.Reader) (*untar.Decompressed, error) {
	opt := f.opt.Decoding
	opt.Workers = 1
	return untar.Decompress(r, opt)
}
