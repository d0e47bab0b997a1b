package cache

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/image"
)

// An Entry is an open image of the cache. It stays readable when the cache is
// changed or removed.
type Entry struct {
	Build    string            // the content of build_id
	Modified time.Time         // when Rootfs was last written
	Rootfs   *os.File          // rootfs.tar.xz, at its start
	Size     int64             // of Rootfs, in bytes
	Files    map[string][]byte // the metadata, by file name
	Evidence map[string][]byte // by file name; nil if the stock template made the entry
}

// Close closes Rootfs.
func (e *Entry) Close() error { return e.Rootfs.Close() }

// Open opens an image's entry without a lock, for a cache that can only be read.
// The error is fs.ErrNotExist if there is no entry, or only an incomplete one of the
// stock template.
func (c *Cache) Open(n image.Name) (*Entry, error) {
	d, err := c.parent(n, false)
	if err != nil {
		return nil, err
	}
	e, err := c.openEntry(d, n.Variant)
	d.file.Close()
	return e, err
}

// openEntry opens the entry in the directory name and reads all of it but the rootfs.
func (c *Cache) openEntry(parent *directory, name string) (*Entry, error) {
	d, e, err := openRootfs(parent, name)
	if err != nil {
		return nil, err
	}
	left := int64(maxKept)
	if e.Files, err = d.files(&left, nil); err == nil {
		var inner *directory
		if inner, err = d.open(evidenceName); err == nil {
			e.Evidence, err = inner.files(&left, func(name string) bool { return c.Evidence == nil || slices.Contains(c.Evidence, name) })
			inner.file.Close()
		} else if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	d.file.Close()
	if err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

// openRootfs opens an entry's directory and the two files that every entry has: it
// reads build_id and opens the rootfs.
func openRootfs(parent *directory, name string) (*directory, *Entry, error) {
	d, err := parent.open(name)
	if err != nil {
		return nil, nil, err
	}
	e := new(Entry)
	build, err := d.read(buildName, maxName+2)
	if err == nil {
		e.Build = strings.TrimSpace(string(build))
		err = checkName(e.Build)
	}
	if err == nil {
		e.Rootfs, err = d.openFile(rootfsName, unix.O_RDONLY, 0)
	}
	if err != nil {
		d.file.Close()
		return nil, nil, err
	}
	info, err := e.Rootfs.Stat()
	if err != nil {
		e.Close()
		d.file.Close()
		return nil, nil, err
	}
	e.Size, e.Modified = info.Size(), info.ModTime()
	return d, e, nil
}

// Metadata returns those metadata files of an entry whose names begin with prefix.
func (c *Cache) Metadata(n image.Name, prefix string) (map[string][]byte, error) {
	parent, err := c.parent(n, false)
	if err != nil {
		return nil, err
	}
	d, err := parent.open(n.Variant)
	parent.file.Close()
	if err != nil {
		return nil, err
	}
	left := int64(maxKept)
	files, err := d.files(&left, func(name string) bool { return strings.HasPrefix(name, prefix) })
	d.file.Close()
	return files, err
}

// files reads the files of a directory for which wanted returns true; a nil wanted
// means all. The rootfs, build_id and hidden files are left out. A file that is not
// regular is an error, and so are more than *left bytes; files subtracts from *left
// what it has read.
func (d *directory) files(left *int64, wanted func(name string) bool) (map[string][]byte, error) {
	names, err := d.names()
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, name := range names {
		if name == rootfsName || name == buildName || name[0] == '.' || wanted != nil && !wanted(name) {
			continue
		}
		if len(files) == maxFiles {
			return nil, d.wrap("read", name, errors.New("more than "+strconv.Itoa(maxFiles)+" files"))
		}
		if files[name], err = d.read(name, *left); err != nil {
			return nil, err
		}
		*left -= int64(len(files[name]))
	}
	return files, nil
}
