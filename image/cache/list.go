package cache

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"lxc-pull/image"
)

// An Info describes an image or a partial download in the cache. Three kinds of things have one:
// images of an index and their partial downloads have a Name; images of other sources are Kept; blobs
// of these that no image needs, or that are incomplete (Partial), are a Blob.
type Info struct {
	_ [0]func() // forbids ==, whose code nothing needs
	image.Name
	Kept     *Kept
	Blob     image.Digest
	Build    string    // "" for a partial download
	Modified time.Time // when the rootfs was last written
	Used     time.Time // when the image was last used, as far as Use could record it
	Size     int64     // bytes of the rootfs, or of blobs, that are there
	Shared   int64     // more bytes, of blobs that count in another image's Size
	Partial  bool      // an interrupted download
	Evidence bool      // the entry has evidence
	Damage   error     // why the entry can't be used; nil: it can

	// Proven says that the marker files show that the cache made this directory. A
	// directory with only one of rootfs.tar.xz and build_id can be an incomplete entry
	// of the stock template, but also something else: it is removed only if the user
	// names it.
	Proven bool
}

// Foreign reports whether another user owns the entry or may write it. Shrink does not
// remove such an entry.
func (i *Info) Foreign() bool { return untrusted(i.Damage) }

// Label returns what people call the image or blob.
func (i *Info) Label() string {
	switch {
	case i.Kept != nil:
		if i.Kept.Name.Arch == "" { // of a file
			return i.Kept.Reference
		}
		return i.Kept.Reference + " " + i.Kept.Name.Arch
	case i.Blob != "":
		return ShortDigest(i.Blob)
	}
	return i.Name.String()
}

// ShortDigest returns the beginning of a digest, which is enough for people.
func ShortDigest(d image.Digest) string { return string(d[:min(len(d), len("sha256:")+12)]) }

// List returns the images and partial downloads in the cache, sorted by name; none if
// there is no cache. Those that are kept as blobs come last, the last used first, and then blobs
// that no image needs.
// Directories without the marker files of an image, and directories and records that can't be
// read, are left out.
func (c *Cache) List() ([]Info, error) {
	if c.HeldKept != nil {
		return []Info{{Kept: c.HeldKept, Proven: true}}, nil
	}
	var found []*Info
	var keys []string
	err := c.walkEntries(func(d *directory, n image.Name, name string) {
		if info := inspect(d, n, name); info != nil {
			key := n.String()
			if info.Partial {
				key += "\x01" // after the image itself
			}
			found, keys = append(found, info), append(keys, key)
		}
	})
	var list []Info
	for _, i := range image.Order(keys) {
		list = append(list, *found[i])
	}
	if d, err := c.images(false); err == nil {
		more, _ := d.listKept()
		list = append(list, more...)
		d.file.Close()
	}
	return list, err
}

// inspect describes the entry or partial download name in d, nil if name is neither.
func inspect(d *directory, n image.Name, name string) *Info {
	there := d.markers(name)
	info := &Info{Name: n, Partial: name == "."+n.Variant+partSuffix}
	switch {
	case info.Partial:
		info.Proven = there.any()
		if !info.Proven {
			return nil
		}
		info.measure(d, name)
	case name[0] == '.', !there.rootfs && !there.build && !there.evidence:
		return nil
	default:
		inner, e, err := openRootfs(d, name)
		if err != nil {
			info.Damage = err
			info.Proven = there.flat && there.evidence || untrusted(err) && there.entry()
			if !info.Proven && !there.flat {
				return nil // a directory of another program
			}
			info.measure(d, name)
			break
		}
		info.Build, info.Modified, info.Size, info.Evidence, info.Proven = e.Build, e.Modified, e.Size, there.evidence, there.flat
		e.Close()
		inner.file.Close()
	}
	info.Used = info.Modified
	if entry, err := d.open(name); err == nil {
		if t, ok := entry.modified(buildName); ok && t.After(info.Used) {
			info.Used = t
		}
		entry.file.Close()
	}
	return info
}

// measure sets Modified and Size from the rootfs of a partial download or a damaged
// entry, and Damage if its directory is another user's.
func (i *Info) measure(parent *directory, name string) {
	i.Modified, _ = parent.modified(name)
	d, err := parent.open(name)
	if err != nil {
		if untrusted(err) {
			i.Damage = err
		}
		return
	}
	if f, err := d.openFile(rootfsName, os.O_RDONLY, 0); err == nil {
		if info, err := f.Stat(); err == nil {
			i.Size, i.Modified = info.Size(), info.ModTime()
		}
		f.Close()
	}
	d.file.Close()
}

// walkEntries calls visit for every name, hidden ones included, in the directories that
// hold entries.
func (c *Cache) walkEntries(visit func(d *directory, n image.Name, name string)) error {
	d, err := c.walk(false, "download")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	walkBelow(d, nil, visit)
	d.file.Close()
	return nil
}

// walkBelow is walkEntries for a directory d, whose path below download is above.
func walkBelow(d *directory, above []string, visit func(d *directory, n image.Name, name string)) {
	names, err := d.names()
	if err != nil {
		return
	}
	for _, name := range names {
		if len(above) < 3 {
			if checkName(name) != nil {
				continue
			}
			if inner, err := d.open(name); err == nil {
				walkBelow(inner, append(above, name), visit)
				inner.file.Close()
			}
			continue
		}
		variant, hidden := hiddenVariant(name)
		if !hidden {
			variant = name
		}
		if checkName(variant) == nil {
			visit(d, image.Name{Dist: above[0], Release: above[1], Arch: above[2], Variant: variant}, name)
		}
	}
}
