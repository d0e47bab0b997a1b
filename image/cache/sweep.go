package cache

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"sort"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/image"
)

// What is taken out of the cache again. All of it under the locks that
// creations take: what a creation has is left alone, for it would lose its work.

// Leftover is how long what a run left behind may stay: an interrupted download
// that nobody went on with, a lock of another machine. No creation takes a week.
const Leftover = 7 * 24 * time.Hour

// ErrLocked says that a process is using an image's place in the cache.
var ErrLocked = errors.New("in use by another process")

// TryLock is Lock where it need not wait; else the error is ErrLocked.
func (c *Cache) TryLock(k image.Name) (*Slot, error) {
	none := *c
	none.Waiting = nil
	none.Wait = func(context.Context, time.Duration) error { return ErrLocked }
	slot, err := none.Lock(context.Background(), k)
	if errors.Is(err, ErrLocked) {
		return nil, ErrLocked
	}
	if slot != nil {
		slot.cache = c
	}
	return slot, err
}

// Use notes that the image is used now, for Shrink. Where that can't be written
// the last time stays.
func (c *Cache) Use(k image.Name) {
	d, err := c.parent(k, false)
	if err != nil {
		return
	}
	defer d.Close()
	entry, err := d.open(k.Variant)
	if err != nil {
		return
	}
	defer entry.Close()
	now := []unix.Timespec{{Nsec: unix.UTIME_NOW}, {Nsec: unix.UTIME_NOW}}
	unix.UtimesNanoAt(int(entry.Fd()), buildName, now, unix.AT_SYMLINK_NOFOLLOW)
}

// Leftovers are the images beside whose place something older than Leftover is
// left of a process that ended: an interrupted download, an entry that was not
// put in its place or not removed, a lock.
func (c *Cache) Leftovers(now time.Time) ([]image.Name, error) {
	var keys []image.Name
	err := c.walkPlaces(func(d directory, k image.Name, name string) {
		if name[0] == '.' && d.olderThan(name, now.Add(-Leftover)) && d.isLeftover(name) {
			keys = append(keys, k)
		}
	})
	// A generic sort of these types would cost 60 kB of program; this one is in it.
	sort.SliceStable(keys, func(i, j int) bool { return compareNames(keys[i], keys[j]) < 0 })
	return slices.Compact(keys), err
}

// Sweep removes what Leftovers found of an image, and returns the size of the
// download that was removed.
func (s *Slot) Sweep(now time.Time) (int64, error) {
	names, err := s.parent.names()
	if err != nil {
		return 0, err
	}
	var bytes int64
	for _, name := range names {
		variant, ok := hiddenVariant(name)
		if !ok || variant != s.key.Variant || name == s.lock.name || !s.parent.olderThan(name, now.Add(-Leftover)) || !s.parent.isLeftover(name) {
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

// Shrink removes the images that were not used for the longest time, and
// interrupted downloads as if they were images, until there are at most max
// bytes of rootfs tarballs. spare does not count and is not removed, and neither
// is what another user owns or what is not Proven. Each that was removed is told,
// and each that could not be, with the reason.
func (c *Cache) Shrink(max int64, spare image.Name, tell func(Info, error)) error {
	list, err := c.List()
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(i Info) bool { return i.Name == spare || !i.Proven })
	var sum int64
	for _, i := range list {
		sum += i.Size
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].Used.Before(list[j].Used) })
	for _, i := range list {
		if sum <= max {
			return nil
		}
		if i.Foreign() {
			continue
		}
		err := c.Drop(i)
		if err == nil {
			sum -= i.Size
		}
		tell(i, err)
	}
	return nil
}

// Drop removes what List told of: an entry or an interrupted download. ErrLocked
// says that a process has its place. What is not Proven goes only if i, which the
// user has named, was not Proven either.
func (c *Cache) Drop(i Info) error {
	s, err := c.TryLock(i.Name)
	if err != nil {
		return err
	}
	defer s.Unlock()
	if i.Partial {
		return s.parent.removeLeftover(s.part())
	}
	if i.Proven && s.parent.exists(i.Variant) {
		if now, ok := look(s.parent, i.Name, i.Variant); !ok || !now.Proven {
			return s.parent.notOurs(i.Variant)
		}
	}
	return s.removeEntry()
}

// hiddenVariant finds out of which image the name beside an entry is: what
// stage.go and lock.go make.
func hiddenVariant(name string) (string, bool) {
	if name[0] != '.' {
		return "", false
	}
	for _, end := range []string{partSuffix, newSuffix, oldSuffix, lockSuffix, lockSuffix + ownerSuffix} {
		if variant, ok := strings.CutSuffix(name[1:], end); ok && checkName(variant) == nil {
			return variant, true
		}
	}
	// A lock that was being taken over has the process's number behind it.
	if i := strings.LastIndex(name, lockSuffix+ownerSuffix+"."); i > 0 && checkName(name[1:i]) == nil {
		return name[1:i], true
	}
	return "", false
}

// walkPlaces calls visit for each name in the directories in which entries are.
func (c *Cache) walkPlaces(visit func(d directory, k image.Name, name string)) error {
	d, err := c.walk(false, "download")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer d.Close()
	walkPlaces(d, nil, visit)
	return nil
}

func walkPlaces(d directory, above []string, visit func(d directory, k image.Name, name string)) {
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
				walkPlaces(inner, append(above, name), visit)
				inner.Close()
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

func compareNames(a, b image.Name) int { return strings.Compare(a.String(), b.String()) }

// olderThan reports whether nothing in the file, or in the directory's first level,
// was changed since then.
func (d directory) olderThan(name string, then time.Time) bool {
	t, ok := d.modified(name)
	if !ok || t.After(then) {
		return false
	}
	inner, err := d.open(name)
	if err != nil {
		return !untrusted(err) // no directory, or another user's: not ours to remove
	}
	defer inner.Close()
	names, err := inner.names()
	for _, each := range names {
		if t, ok := inner.modified(each); ok && t.After(then) {
			return false
		}
	}
	return err == nil
}

// modified is the time of a name's last change.
func (d directory) modified(name string) (time.Time, bool) {
	var st unix.Stat_t
	err := unix.Fstatat(int(d.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return time.Unix(st.Mtim.Unix()), err == nil
}

// List returns what is in the cache, sorted by key; nothing when there is no
// cache. What has no signs of an image, and what can't be read, is passed over.
func (c *Cache) List() ([]Info, error) {
	var list []Info
	err := c.walkPlaces(func(d directory, k image.Name, name string) {
		if info, ok := look(d, k, name); ok {
			list = append(list, info)
		}
	})
	sort.SliceStable(list, func(i, j int) bool {
		if order := compareNames(list[i].Name, list[j].Name); order != 0 {
			return order < 0
		}
		return !list[i].Partial && list[j].Partial
	})
	return list, err
}

// look tells of the image, or the interrupted download, that has a name; ok is
// false where it is neither.
func look(d directory, k image.Name, name string) (info Info, ok bool) {
	there := d.signs(name)
	info = Info{Name: k, Partial: name == "."+k.Variant+partSuffix}
	switch {
	case info.Partial:
		info.Proven = there.any()
		if !info.Proven {
			return info, false
		}
		info.measure(d, name)
	case name[0] == '.', !there.rootfs && !there.build && !there.evidence:
		return info, false
	default:
		inner, e, err := begin(d, name)
		if err != nil {
			info.Damage = err
			info.Proven = there.flat && there.evidence || untrusted(err) && there.image()
			if !info.Proven && !there.flat {
				return info, false // a directory of something else
			}
			info.measure(d, name)
			break
		}
		info.Build, info.Modified, info.Size, info.Evidence, info.Proven = e.Build, e.Modified, e.Size, there.evidence, there.flat
		e.Close()
		inner.Close()
	}
	info.Used = info.Modified
	if entry, err := d.open(name); err == nil {
		if t, ok := entry.modified(buildName); ok && t.After(info.Used) {
			info.Used = t
		}
		entry.Close()
	}
	return info, true
}

// An Info is what List tells of an image.
type Info struct {
	image.Name
	Build    string    // "" while Partial
	Modified time.Time // when the rootfs was last written
	Used     time.Time // when the image was last used, as far as that could be noted
	Size     int64     // of the rootfs, as far as it is there, in bytes
	Partial  bool      // only begun
	Evidence bool      // with evidence
	Damage   error     // why the entry can't be used

	// Proven says that its content shows whose it is: the cache's. Half an entry of
	// the stock template's (rootfs.tar.xz without build_id, or the reverse) may be
	// anything: it is not removed unless the user names it.
	Proven bool
}

// Foreign reports whether the entry is another user's, whose it stays unless its
// removal is asked for.
func (i Info) Foreign() bool { return untrusted(i.Damage) }

// measure tells of a rootfs that is only begun, or of a damaged entry's.
func (i *Info) measure(parent directory, name string) {
	i.Modified, _ = parent.modified(name)
	d, err := parent.open(name)
	if err != nil {
		if untrusted(err) {
			i.Damage = err
		}
		return
	}
	defer d.Close()
	f, err := d.openFile(rootfsName, os.O_RDONLY, 0)
	if err != nil {
		return
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil {
		i.Size, i.Modified = info.Size(), info.ModTime()
	}
}
