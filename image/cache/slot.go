package cache

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/image"
)

// A Slot is one image's part of the cache, locked by this process.
type Slot struct {
	_      [0]func() // forbids ==, whose code nothing needs
	cache  *Cache
	name   image.Name
	parent *directory
	lock   *lock
}

// Lock creates the directories of an image and locks them. It waits while another
// process, which is probably downloading the same image, holds the lock. The error is an
// *UnwritableError if the cache can't be used; it wraps ErrLocked if the wait was too
// long.
func (c *Cache) Lock(ctx context.Context, n image.Name) (*Slot, error) {
	return c.lockImage(ctx, &n, maxLockWait)
}

func (c *Cache) lockImage(ctx context.Context, name *image.Name, maxWait time.Duration) (*Slot, error) {
	n := *name
	if err := checkImage(n); err != nil {
		return nil, err
	}
	d, err := c.parent(n, true)
	if err != nil {
		return nil, c.unwritable(err)
	}
	s, err := c.lockIn(ctx, d, "."+n.Variant+lockSuffix, maxWait)
	if err != nil {
		return nil, c.unwritable(err)
	}
	s.name = n
	if err := s.finish(); err != nil {
		s.Unlock()
		return nil, c.unwritable(err)
	}
	return s, nil
}

// TryLock is Lock without waiting: if another process holds the lock, the error is
// ErrLocked.
func (c *Cache) TryLock(n image.Name) (*Slot, error) {
	slot, err := c.lockImage(context.Background(), &n, 0)
	if errors.Is(err, ErrLocked) {
		return nil, ErrLocked
	}
	return slot, err
}

// lockIn takes the lock name in d. It closes d if it fails.
func (c *Cache) lockIn(ctx context.Context, d *directory, name string, maxWait time.Duration) (*Slot, error) {
	l, err := c.lock(ctx, d, name, maxWait)
	if err != nil {
		d.file.Close()
		return nil, err
	}
	return &Slot{cache: c, parent: d, lock: l}, nil
}

// Unlock releases the lock. The Slot and its Stage must not be used afterwards.
func (s *Slot) Unlock() error {
	err := s.lock.release()
	if e := s.parent.file.Close(); err == nil {
		err = e
	}
	return err
}

// Open opens the image's entry. The error is fs.ErrNotExist if there is none.
func (s *Slot) Open() (*Entry, error) { return s.cache.openEntry(s.parent, s.name.Variant) }

// The directories beside an entry. Commit renames a complete entry from part to
// fresh, and from then on it counts: the renames that remain are finished by this
// process or by the next one that locks the image (finish).
func (s *Slot) part() string  { return "." + s.name.Variant + partSuffix }
func (s *Slot) fresh() string { return "." + s.name.Variant + newSuffix }
func (s *Slot) stale() string { return "." + s.name.Variant + oldSuffix }

// finish does the renames and removals that remain after Commit or Remove, in this
// process or in one that was killed.
func (s *Slot) finish() error {
	if err := s.parent.removeLeftover(s.stale()); err != nil {
		return err
	}
	if !s.parent.exists(s.fresh()) {
		return nil
	}
	if !s.parent.markers(s.fresh()).entry() {
		return s.parent.notOurs(s.fresh())
	}
	if err := s.setAside(); err != nil {
		return err
	}
	if err := s.parent.rename(s.fresh(), s.name.Variant); err != nil {
		if errors.Is(err, unix.EXDEV) { // overlayfs, as in setAside
			return s.parent.removeAll(s.fresh())
		}
		return err
	}
	return s.parent.removeAll(s.stale())
}

// setAside renames the entry to stale. overlayfs can't rename a directory of a lower
// layer (kernel, overlayfs.rst, "Renaming directories": EXDEV), for example in a
// container whose image holds a cache; there the entry is removed at once.
func (s *Slot) setAside() error {
	if !s.parent.exists(s.name.Variant) {
		return nil
	}
	if err := s.checkReplaceable(); err != nil {
		return err
	}
	err := s.parent.rename(s.name.Variant, s.stale())
	if errors.Is(err, unix.EXDEV) {
		return s.parent.removeAll(s.name.Variant)
	}
	return err
}

// checkReplaceable returns an error if the entry's name is taken by something that
// neither this program nor the stock template has made. An empty directory and an
// incomplete entry may be replaced.
func (s *Slot) checkReplaceable() error {
	m := s.parent.markers(s.name.Variant)
	if m.empty || m.any() || !s.parent.exists(s.name.Variant) {
		return nil
	}
	return s.parent.notOurs(s.name.Variant)
}

// remove removes the image's entry and an interrupted download of a new one.
func (s *Slot) remove() error {
	return errors.Join(s.removeEntry(), s.parent.removeLeftover(s.part()))
}

func (s *Slot) removeEntry() error {
	if err := s.setAside(); err != nil {
		return err
	}
	return s.parent.removeAll(s.stale())
}

// Adopt adds evidence to an entry that the stock template made. The caller has
// verified the entry against the evidence. The error is an *UnwritableError.
func (s *Slot) Adopt(evidence map[string][]byte) error {
	d, err := s.parent.open(s.name.Variant)
	if err != nil {
		return s.cache.unwritable(err)
	}
	temporary := evidenceName + newSuffix
	if s.parent.markers(s.name.Variant).flat {
		err = d.removeAll(temporary)
	} else {
		err = s.parent.notOurs(s.name.Variant)
	}
	if err == nil {
		st := &Stage{slot: s, dir: d}
		err = st.writeEvidence(temporary, evidence)
	}
	if err == nil {
		err = d.syncAll()
	}
	if err == nil {
		err = d.removeAll(evidenceName)
	}
	if err == nil {
		err = d.rename(temporary, evidenceName)
	}
	if err == nil {
		err = d.sync()
	}
	d.file.Close()
	return s.cache.unwritable(err)
}
