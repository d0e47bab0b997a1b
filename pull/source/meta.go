package source

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"lxc-pull/fetch"
	"lxc-pull/image"
	"lxc-pull/lxc"
	"lxc-pull/untar"
)

// Limits of the metadata, in bytes.
const (
	maxMeta      = 4 << 20 // meta.tar.xz: today's have 1 kB
	maxMetaFile  = 1 << 20 // one file in it
	maxMetaTotal = 8 << 20 // all of them
)

// readMeta reads the metadata, from the cached copy of the same build if its bytes are the
// signed ones, else from a server.
func (found *Found) readMeta(ctx context.Context) error {
	var data []byte
	if entry := found.cache.entry; entry != nil {
		if kept := entry.Evidence[image.MetaFile]; kept != nil && found.checks.meta.checkBytes(kept) == nil {
			data = kept
		} else if err := found.renewSeals(); err != nil {
			return err
		}
	}
	if data == nil {
		found.finder.tell.Say("Downloading the metadata")
		var err error
		if data, err = found.loadMeta(ctx); err != nil {
			return err
		}
	}
	found.checks.evidence[image.MetaFile] = data
	return found.useMeta(data)
}

// loadMeta downloads the metadata from the first server that gives the signed bytes.
func (found *Found) loadMeta(ctx context.Context) ([]byte, error) {
	f := found.finder
	course := fetch.NewCourse(found.from(image.MetaFile))
	for {
		data, sources, err := f.opt.Client.Load(ctx, fetch.Request{
			URLs: course.URLs(), Pinned: found.checks.meta.refusesWrong(), Max: maxMeta, Hasty: f.opt.Servers.others(), CallerRestarts: true,
		})
		wrong := false
		if err == nil {
			if err = found.checks.meta.checkBytes(data); err == nil {
				return data, nil
			}
			wrong = true
			f.opt.Servers.noteWrong(sources)
		}
		if ctx.Err() != nil {
			return nil, err
		}
		again, last := course.Next(fetch.Attempt{Err: err, Wrong: wrong, Sources: sources})
		if !again {
			return nil, last
		}
		f.warn("retry", "", err, "; starting again")
		if err := found.renewSeals(); err != nil {
			return nil, err
		}
	}
}

// useMeta unpacks a metadata tarball whose bytes are verified.
func (found *Found) useMeta(tarball []byte) error {
	return because(image.MetaFile, found.takeMeta(tarball))
}

// takeMeta is useMeta for metadata of another name, which the error does not have.
func (found *Found) takeMeta(tarball []byte) error {
	files, err := found.finder.readTarball(tarball)
	if err != nil {
		return err
	}
	found.Meta = lxc.Meta{}
	found.files = nil
	for _, file := range files {
		if err := checkMetaFile(file); err != nil {
			return err
		}
		if file.Name == "" {
			continue // "./", the archive's top directory
		}
		found.Meta[file.Name] = file.Data
		found.files = append(found.files, file)
	}
	return nil
}

// checkMetaFile refuses a member of the metadata that must not become a file in the cache:
// links, devices and directories, hidden files, and the names of the cache's own files.
func checkMetaFile(f untar.File) error {
	if f.Name == "" && f.Type == untar.TypeDir {
		return nil
	}
	if f.Type != untar.TypeFile {
		return fmt.Errorf("%q is not a regular file", f.Name)
	}
	if err := image.CheckName(f.Name); err != nil {
		return because(strconv.Quote(f.Name), err)
	}
	switch f.Name {
	case image.RootfsFile, image.MetaFile, image.SumsFile, "build_id":
		return fmt.Errorf("%q has the name of a file of the cache", f.Name)
	}
	if strings.HasPrefix(f.Name, ".") {
		return fmt.Errorf("%q is a hidden file", f.Name)
	}
	return nil
}
