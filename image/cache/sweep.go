package cache

import (
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/image"
)

// The functions of this file remove images and files of interrupted runs. They take the
// lock of the image first, so they remove nothing that a run is using.

// Leftover is how long files of an interrupted run stay: a partial download, a
// lock of another machine. No run takes a week.
const Leftover = 7 * 24 * time.Hour

// Use records that the image is used now, for Shrink: it sets the time of build_id.
// Errors are ignored; then the last recorded time stays.
func (c *Cache) Use(n image.Name) {
	d, err := c.parent(n, false)
	if err != nil {
		return
	}
	if entry, err := d.open(n.Variant); err == nil {
		entry.touch(buildName, 0)
		entry.file.Close()
	}
	d.file.Close()
}

// Leftovers returns the images that have files of interrupted runs older than Leftover
// at the time now: a partial download, an entry that was not renamed to its name or not
// removed, a lock.
func (c *Cache) Leftovers(now time.Time) ([]image.Name, error) {
	var list []image.Name
	var keys []string
	err := c.walkEntries(func(d *directory, n image.Name, name string) {
		if name[0] == '.' && d.olderThan(name, now.Add(-Leftover)) && d.isLeftover(name) {
			list, keys = append(list, n), append(keys, n.String())
		}
	})
	var names []image.Name // each once
	last := ""
	for _, i := range image.Order(keys) {
		if keys[i] != last {
			names, last = append(names, list[i]), keys[i]
		}
	}
	return names, err
}

// Sweep removes the image's files that Leftovers looks for, and returns how many bytes
// of downloads were removed.
func (s *Slot) Sweep(now time.Time) (int64, error) {
	names, err := s.parent.names()
	if err != nil {
		return 0, err
	}
	var bytes int64
	for _, name := range names {
		variant, ok := hiddenVariant(name)
		if !ok || variant != s.name.Variant || name == s.lock.name || !s.parent.olderThan(name, now.Add(-Leftover)) || !s.parent.isLeftover(name) {
			continue
		}
		var info Info
		info.measure(s.parent, name)
		if err := s.parent.removeAll(name); err != nil {
			return bytes, err
		}
		bytes += info.Size
	}
	return bytes, nil
}

// Shrink removes images, least recently used first, until the rootfs tarballs and blobs in the
// cache have at most max bytes. Partial downloads count as images. The image spare and
// directories that are not Proven don't count and stay; images of other users count and
// stay. Blobs that images share count once. Complete blobs that no image needs go first;
// but those that were used in the last hour stay while there is a run (Join), which may be about to
// record their image. report is called for each removal, with the error if it failed.
func (c *Cache) Shrink(max int64, spare image.Name, report func(Info, error)) error {
	list, err := c.List()
	if err != nil {
		return err
	}
	before := time.Now().Add(-youngBlob)
	if d, err := c.images(false); err == nil {
		defer d.file.Close()
		if !c.noFlock && d.flock(unix.LOCK_EX) == nil {
			before = time.Time{} // there is no run
		}
	}
	unneeded := func(i *Info) bool { return i.Blob != "" && !i.Partial }
	spared := func(i *Info) bool { return i.Kept == nil && i.Blob == "" && (i.Name == spare || !i.Proven) }
	var sum int64
	keys := make([]string, len(list))
	for n := range list {
		i := &list[n]
		if keys[n] = i.Used.UTC().Format("2006-01-02 15:04:05.000000000"); unneeded(i) {
			keys[n] = "" // it sorts first
		}
		if !spared(i) {
			sum += i.Size
		}
	}
	for _, n := range image.Order(keys) {
		i := &list[n]
		if sum <= max {
			return nil
		}
		if spared(i) || i.Foreign() || unneeded(i) && !before.IsZero() && i.Used.After(before) {
			continue
		}
		err := c.drop(i, before)
		if err == nil {
			sum -= i.Size // also of blobs that stay while there is a run
		}
		report(*i, err)
	}
	return nil
}

// Drop removes the entry or partial download that i, which List returned, describes. The
// error is ErrLocked if another process uses the image. If i is Proven, Drop checks the
// entry again, leaves it if it has changed, and returns an error. The caller passes an i
// that is not Proven only if the user has named the image. With an image that is Kept Drop removes
// the blobs that no other one needs.
func (c *Cache) Drop(i Info) error { return c.drop(&i, time.Time{}) }

// drop is Drop, but leaves blobs of an image that were used since the time before, if that is not
// zero.
func (c *Cache) drop(i *Info, before time.Time) error {
	if i.Kept != nil || i.Blob != "" {
		return c.dropKept(i, before)
	}
	s, err := c.TryLock(i.Name)
	if err != nil {
		return err
	}
	changed := false
	if i.Proven && !i.Partial && s.parent.exists(i.Variant) {
		now := inspect(s.parent, i.Name, i.Variant)
		changed = now == nil || !now.Proven
	}
	switch {
	case i.Partial:
		err = s.parent.removeLeftover(s.part())
	case changed:
		err = s.parent.notOurs(i.Variant)
	default:
		err = s.removeEntry()
	}
	s.Unlock()
	return err
}

// hiddenVariant returns the variant to which a hidden name belongs: the names that
// slot.go and lock.go create. ok is false for other names.
func hiddenVariant(name string) (variant string, ok bool) {
	if name[0] != '.' {
		return "", false
	}
	for _, end := range []string{partSuffix, newSuffix, oldSuffix, lockSuffix, lockSuffix + ownerSuffix} {
		if variant, ok := strings.CutSuffix(name[1:], end); ok && checkName(variant) == nil {
			return variant, true
		}
	}
	// tryOwner adds the process id when it takes an owner file over.
	if i := strings.LastIndex(name, lockSuffix+ownerSuffix+"."); i > 0 && checkName(name[1:i]) == nil {
		return name[1:i], true
	}
	return "", false
}

// olderThan reports whether the file or directory name, and the files in that directory,
// were last changed before then.
func (d *directory) olderThan(name string, then time.Time) bool {
	t, ok := d.modified(name)
	if !ok || t.After(then) {
		return false
	}
	inner, err := d.open(name)
	if err != nil {
		return !untrusted(err) // a file; or another user's directory, which stays
	}
	names, err := inner.names()
	old := err == nil
	for _, each := range names {
		t, ok := inner.modified(each)
		old = old && !(ok && t.After(then))
	}
	inner.file.Close()
	return old
}
