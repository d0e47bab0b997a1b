// Package cache keeps images in a directory for later runs.
//
// The cache has the layout of LXC's own "download" template, so that both use
// the same one:
//
//	BASE/download/DIST/RELEASE/ARCH/VARIANT/    an entry
//	    rootfs.tar.xz
//	    build_id                                the build, a line
//	    config, expiry, templates, ...          the metadata tarball's files, flat
//	    .lxc-pull/                              evidence: files by their own names
//	        meta.tar.xz, SHA256SUMS, SHA256SUMS.asc, ...
//	BASE/download/DIST/RELEASE/ARCH/.VARIANT.*  an entry in the making, a lock
//	BASE/.lxc-pull/seen                         the newest builds seen (seen.go)
//
// How it is used:
//
//	slot, err := cache.Lock(ctx, name)      // one process at a time makes an entry
//	entry, err := slot.Open()               // is there one?
//	...                                     // fresh and right: use entry.Rootfs
//	stage, err := slot.Stage(tag)           // else make one
//	io.Copy(stage, body)                    // from stage.Have on
//	stage.Commit(build, files, evidence)    // only when the digest is right
//	slot.Unlock()
//
// What others own or may write is not used (owner.go).
//
// The promises: an entry appears and disappears whole, also for the stock
// template, which looks only at the directory's existence (between the old and the
// new entry there is a moment with none, in which it would download). A stage
// that was not committed stays, and the next Stage of the same tag goes on with
// its bytes. Below BASE no symbolic link is followed. What is written is given
// to Cache.UID and GID, errors ignored, as the stock template does.
//
// Names are checked here (checkName), whatever the caller has checked: a cache
// must not depend on it. The bytes are not: who opens an entry checks them
// against the evidence.
package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"lxc-pull/image"
)

// The limits and their reasons.
const (
	maxName  = 200     // bytes of a name: 255 is the file system's, less our suffixes
	maxFiles = 256     // metadata files of an image; real ones have a dozen
	maxTag   = 4 << 10 // of the tag of an entry in the making: a digest, or a path on a server
	// maxKept bounds what is read of an entry besides its rootfs: a list of images
	// (4 MB), meta.tar.xz (4 MB) and its files (8 MB), SHA256SUMS (1 MB), signatures.
	maxKept = 20 << 20
)

const (
	rootfsName   = image.RootfsFile
	buildName    = "build_id"
	evidenceName = ".lxc-pull"
	tagName      = "tag" // of a stage, beside its rootfs
)

// A Cache is a directory of images. It holds nothing open.
type Cache struct {
	Base string // the directory: LXC_CACHE_PATH, or what stands for it

	// Chown gives what is written to UID and GID.
	Chown    bool
	UID, GID int

	// Above are users in whose directories BASE may lie, besides the cache's own.
	Above []int

	// Evidence is the names of the evidence files that entries have; others are
	// not read. nil: all are.
	Evidence []string

	// Waiting, when not nil, is called once when a lock is held by another:
	// "process 12", "" where that is not known.
	Waiting func(holder string)
	// Wait waits for d or until ctx is done; nil: really.
	Wait func(ctx context.Context, d time.Duration) error

	noFlock bool // for tests: as on a file system without flock
}

// checkImage refuses an image of whose name a part may not become a name in the
// cache.
func checkImage(n image.Name) error {
	for _, part := range []string{n.Dist, n.Release, n.Arch, n.Variant} {
		if err := checkName(part); err != nil {
			return err
		}
	}
	return nil
}

// checkName refuses what may not become a name in the cache: nothing, a dot
// at the start (".", "..", our own names), a slash, control characters, broken
// UTF-8, and what is too long.
func checkName(s string) error {
	bad := s == "" || s[0] == '.' || len(s) > maxName || !utf8.ValidString(s) ||
		strings.ContainsFunc(s, func(r rune) bool { return r == '/' || r < 0x20 || 0x7f <= r && r < 0xa0 })
	if bad {
		return fmt.Errorf("%q can't be a name in the cache", s)
	}
	return nil
}

// An UnwritableError is a cache that can't be written: a creation goes on
// without it.
type UnwritableError struct {
	Base string
	Err  error
}

func (e *UnwritableError) Error() string {
	return fmt.Sprintf("cache %q can't be used: %v", e.Base, e.Err)
}

func (e *UnwritableError) Unwrap() error { return e.Err }

// unwritable wraps err, but for the end of a context.
func (c *Cache) unwritable(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &UnwritableError{c.Base, err}
}

// own gives an open file or directory to the cache's owner. Errors are ignored:
// the ids may not be mapped, and the entry is usable as it is.
func (c *Cache) own(f *os.File) {
	if c.Chown {
		unix.Fchown(int(f.Fd()), c.UID, c.GID)
	}
}

// walk opens the directory at the end of a path below BASE.
func (c *Cache) walk(make bool, names ...string) (directory, error) {
	d, err := c.base(make)
	if err != nil {
		return directory{}, err
	}
	for _, name := range names {
		next, err := c.step(d, name, make)
		d.Close()
		if err != nil {
			return directory{}, err
		}
		d = next
	}
	return d, nil
}

func (c *Cache) step(d directory, name string, make bool) (directory, error) {
	made := false
	if make {
		var err error
		if made, err = d.mkdir(name); err != nil {
			return directory{}, err
		}
	}
	next, err := d.open(name)
	if err == nil && made {
		c.own(next.File)
	}
	return next, err
}

// parent opens the directory in which the image's entry is.
func (c *Cache) parent(k image.Name, make bool) (directory, error) {
	if err := checkImage(k); err != nil {
		return directory{}, err
	}
	return c.walk(make, "download", k.Dist, k.Release, k.Arch)
}

// An Entry is an image in the cache, opened. It stays readable when the cache
// is changed or removed.
type Entry struct {
	Build    string            // build_id
	Modified time.Time         // when the entry was made
	Rootfs   *os.File          // rootfs.tar.xz, at its start
	Size     int64             // of Rootfs
	Files    map[string][]byte // the metadata, by file name
	Evidence map[string][]byte // nil when the stock template made the entry
}

// Close closes Rootfs.
func (e *Entry) Close() error { return e.Rootfs.Close() }

// Open opens an image's entry without a lock, for a cache that may only be
// read. The error is fs.ErrNotExist when there is none, or only a half-made one
// of the stock template.
func (c *Cache) Open(k image.Name) (*Entry, error) {
	d, err := c.parent(k, false)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return c.openEntry(d, k.Variant)
}

func (c *Cache) openEntry(parent directory, name string) (*Entry, error) {
	d, e, err := begin(parent, name)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	left := int64(maxKept)
	if e.Files, err = d.files(&left, nil); err == nil {
		var inner directory
		if inner, err = d.open(evidenceName); err == nil {
			e.Evidence, err = inner.files(&left, func(name string) bool { return c.Evidence == nil || slices.Contains(c.Evidence, name) })
			inner.Close()
		} else if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

// begin opens an entry's directory, and of its files the two that each has.
func begin(parent directory, name string) (directory, *Entry, error) {
	d, err := parent.open(name)
	if err != nil {
		return directory{}, nil, err
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
		d.Close()
		return directory{}, nil, err
	}
	info, err := e.Rootfs.Stat()
	if err != nil {
		e.Close()
		d.Close()
		return directory{}, nil, err
	}
	e.Size, e.Modified = info.Size(), info.ModTime()
	return d, e, nil
}

// Metadata returns an entry's metadata files whose names begin with prefix.
func (c *Cache) Metadata(k image.Name, prefix string) (map[string][]byte, error) {
	parent, err := c.parent(k, false)
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	d, err := parent.open(k.Variant)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	left := int64(maxKept)
	return d.files(&left, func(name string) bool { return strings.HasPrefix(name, prefix) })
}

// files reads the files in a directory that are neither the entry's own nor
// hidden, and that want wants; nil: all. Anything but a regular file is an
// error, and so are more than left bytes; left is what may still be read then.
func (d directory) files(left *int64, want func(name string) bool) (map[string][]byte, error) {
	names, err := d.names()
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, name := range names {
		if name == rootfsName || name == buildName || name[0] == '.' || want != nil && !want(name) {
			continue
		}
		if len(files) == maxFiles {
			return nil, d.wrap("read", name, fmt.Errorf("more than %d files", maxFiles))
		}
		if files[name], err = d.read(name, *left); err != nil {
			return nil, err
		}
		*left -= int64(len(files[name]))
	}
	return files, nil
}

// A Slot is the place of one image in the cache, locked.
type Slot struct {
	cache  *Cache
	key    image.Name
	parent directory
	lock   *lock
}

// Lock locks the place of an image, and makes what directories it needs. It waits
// while another process has it (that one is likely to be downloading the same
// image). An *UnwritableError says that there is no place.
func (c *Cache) Lock(ctx context.Context, k image.Name) (*Slot, error) {
	if err := checkImage(k); err != nil {
		return nil, err
	}
	d, err := c.parent(k, true)
	if err != nil {
		return nil, c.unwritable(err)
	}
	l, err := c.lock(ctx, d, "."+k.Variant+lockSuffix, maxLockWait)
	if err != nil {
		d.Close()
		return nil, c.unwritable(err)
	}
	s := &Slot{cache: c, key: k, parent: d, lock: l}
	if err := s.settle(); err != nil {
		s.Unlock()
		return nil, c.unwritable(err)
	}
	return s, nil
}

// lock takes the lock of that name in d, and waits for it no longer than most.
func (c *Cache) lock(ctx context.Context, d directory, name string, most time.Duration) (*lock, error) {
	w := waiter{flock: !c.noFlock, most: most, told: c.Waiting, pause: c.Wait, own: c.own}
	if w.pause == nil {
		w.pause = wait
	}
	return w.acquire(ctx, d, name)
}

// Unlock ends the use of the Slot and of its Stage.
func (s *Slot) Unlock() error {
	err := s.lock.release()
	if e := s.parent.Close(); err == nil {
		err = e
	}
	return err
}

// Open opens the image's entry; fs.ErrNotExist says that there is none.
func (s *Slot) Open() (*Entry, error) { return s.cache.openEntry(s.parent, s.key.Variant) }

// The names beside an entry. A complete new one is renamed from part to fresh,
// which is the moment when it counts; the rest, finished here or by whoever
// comes next, only moves names.
func (s *Slot) part() string  { return "." + s.key.Variant + partSuffix }
func (s *Slot) fresh() string { return "." + s.key.Variant + newSuffix }
func (s *Slot) stale() string { return "." + s.key.Variant + oldSuffix }

// settle finishes what a process that was killed had begun.
func (s *Slot) settle() error {
	if err := s.parent.removeLeftover(s.stale()); err != nil {
		return err
	}
	if !s.parent.exists(s.fresh()) {
		return nil
	}
	if !s.parent.signs(s.fresh()).image() {
		return s.parent.notOurs(s.fresh())
	}
	if err := s.setAside(); err != nil {
		return err
	}
	if err := s.parent.rename(s.fresh(), s.key.Variant); err != nil {
		if errors.Is(err, unix.EXDEV) { // as in setAside
			return s.parent.removeAll(s.fresh())
		}
		return err
	}
	return s.parent.removeAll(s.stale())
}

// setAside takes the entry out of its place. overlayfs can't rename a directory of
// a lower layer (kernel, overlayfs.rst, "Renaming directories": EXDEV), as in a
// container whose image has a cache: there it is removed where it is.
func (s *Slot) setAside() error {
	if !s.parent.exists(s.key.Variant) {
		return nil
	}
	if err := s.replaceable(); err != nil {
		return err
	}
	err := s.parent.rename(s.key.Variant, s.stale())
	if errors.Is(err, unix.EXDEV) {
		return s.parent.removeAll(s.key.Variant)
	}
	return err
}

// replaceable says why what is at the entry's place may not give way: it is no
// entry, not even the stock template's that was killed.
func (s *Slot) replaceable() error {
	there := s.parent.signs(s.key.Variant)
	if there.empty || there.any() || !s.parent.exists(s.key.Variant) {
		return nil
	}
	return s.parent.notOurs(s.key.Variant)
}

// Remove removes the image's entry, and what was begun for a new one.
func (s *Slot) Remove() error {
	return errors.Join(s.removeEntry(), s.parent.removeLeftover(s.part()))
}

func (s *Slot) removeEntry() error {
	if err := s.setAside(); err != nil {
		return err
	}
	return s.parent.removeAll(s.stale())
}

// A Stage is an entry in the making: an io.Writer for its rootfs.tar.xz.
type Stage struct {
	Have   int64    // bytes of the rootfs that an earlier run left
	Rootfs *os.File // the file, for who wants to read those bytes; writes go to its end

	slot *Slot
	dir  directory
}

// Stage begins a new entry. The tag says which bytes its rootfs will have (a
// digest, or a server, path and build): what an earlier run left under the same
// tag is kept, anything else is removed. The entry that is there stays until
// Commit.
func (s *Slot) Stage(tag string) (*Stage, error) {
	st, err := s.stage(tag)
	if err != nil {
		return nil, s.cache.unwritable(err)
	}
	return st, nil
}

// Begun reports whether an earlier run left bytes under the tag, with which its
// Stage goes on.
func (s *Slot) Begun(tag string) bool {
	d, ok := s.begun(tag)
	if ok {
		d.Close()
	}
	return ok
}

// begun opens what an earlier run left under the tag.
func (s *Slot) begun(tag string) (directory, bool) {
	d, err := s.parent.open(s.part())
	if err != nil {
		return directory{}, false
	}
	old, err := d.read(tagName, maxTag)
	ok := err == nil && string(old) == tag
	if ok {
		f, err := d.openFile(rootfsName, unix.O_RDONLY, 0)
		if err == nil {
			f.Close()
		}
		ok = err == nil || errors.Is(err, fs.ErrNotExist)
	}
	if !ok {
		d.Close()
		return directory{}, false
	}
	return d, true
}

func (s *Slot) stage(tag string) (*Stage, error) {
	if d, ok := s.begun(tag); ok {
		d.Close()
	} else if err := s.parent.removeLeftover(s.part()); err != nil {
		return nil, err
	}
	if err := s.replaceable(); err != nil { // before the download, not after
		return nil, err
	}
	d, err := s.cache.step(s.parent, s.part(), true)
	if err != nil {
		return nil, err
	}
	st := &Stage{slot: s, dir: d}
	if err := st.write(d, tagName, []byte(tag), 0o644); err != nil {
		d.Close()
		return nil, err
	}
	st.Rootfs, err = d.openFile(rootfsName, unix.O_RDWR|unix.O_CREAT|unix.O_APPEND, 0o644)
	if err == nil {
		s.cache.own(st.Rootfs)
		var info fs.FileInfo
		if info, err = st.Rootfs.Stat(); err == nil {
			st.Have = info.Size()
			return st, nil
		}
		st.Rootfs.Close()
	}
	d.Close()
	return nil, err
}

// write makes a file of data in d.
func (st *Stage) write(d directory, name string, data []byte, mode fs.FileMode) error {
	f, err := d.create(name)
	if err != nil {
		return err
	}
	st.slot.cache.own(f)
	if _, err = f.Write(data); err == nil && mode != 0o644 {
		err = f.Chmod(mode)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// Write appends to the rootfs.
func (st *Stage) Write(p []byte) (int, error) { return st.Rootfs.Write(p) }

// Reset forgets the bytes of the rootfs, after a wrong digest.
func (st *Stage) Reset() error {
	st.Have = 0
	if err := st.Rootfs.Truncate(0); err != nil {
		return err
	}
	_, err := st.Rootfs.Seek(0, io.SeekStart)
	return err
}

// Close ends the use of the Stage and keeps its bytes for a later run.
func (st *Stage) Close() error {
	err := st.Rootfs.Close()
	if e := st.dir.Close(); err == nil {
		err = e
	}
	return err
}

// Discard closes the Stage and removes it.
func (st *Stage) Discard() error {
	st.Close()
	return st.slot.parent.removeAll(st.slot.part())
}

// A File is a metadata file of an image.
type File struct {
	Data []byte
	Mode fs.FileMode // permissions; the owner may always read it, others never write it
}

// Commit makes the Stage the image's entry, in place of the one that is there,
// and closes it. The caller has checked the rootfs; files and evidence are what
// Entry will have. The entry is on disk when Commit returns. After an error the
// old entry, or none, is there.
func (st *Stage) Commit(build string, files map[string]File, evidence map[string][]byte) error {
	err := st.fill(build, files, evidence)
	if e := st.Close(); err == nil {
		err = e
	}
	s := st.slot
	if err == nil {
		err = s.complete()
	}
	if err == nil {
		err = s.settle()
	}
	if err == nil {
		err = s.parent.sync()
	}
	return s.cache.unwritable(err)
}

// complete makes the part the new entry. A part that was begun in a lower layer of
// overlayfs can't be renamed (see setAside), but what is in it can: the files as
// such, and the evidence, whose directory is of this run.
func (s *Slot) complete() error {
	err := s.parent.rename(s.part(), s.fresh())
	if !errors.Is(err, unix.EXDEV) {
		return err
	}
	part, err := s.parent.open(s.part())
	if err != nil {
		return err
	}
	defer part.Close()
	names, err := part.names()
	if err != nil {
		return err
	}
	copied, err := s.cache.step(s.parent, s.stale(), true)
	if err != nil {
		return err
	}
	defer copied.Close()
	for _, name := range names {
		if err := unix.Renameat(int(part.Fd()), name, int(copied.Fd()), name); err != nil {
			return part.wrap("rename", name, err)
		}
	}
	if err := copied.sync(); err != nil {
		return err
	}
	if err := s.parent.rename(s.stale(), s.fresh()); err != nil {
		return err
	}
	return s.parent.removeAll(s.part())
}

func (st *Stage) fill(build string, files map[string]File, evidence map[string][]byte) error {
	if err := checkName(build); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := checkName(name); err != nil {
			return err
		}
		if name == rootfsName || name == buildName || name == tagName {
			return fmt.Errorf("a metadata file may not be called %q", name)
		}
		if err := st.write(st.dir, name, files[name].Data, files[name].Mode&0o755|0o400); err != nil {
			return err
		}
	}
	if err := st.fillEvidence(evidenceName, evidence); err != nil {
		return err
	}
	if err := st.write(st.dir, buildName, []byte(build+"\n"), 0o644); err != nil {
		return err
	}
	if err := st.dir.remove(tagName); err != nil {
		return err
	}
	// The rename must not become durable before the bytes.
	if err := st.Rootfs.Sync(); err != nil {
		return err
	}
	return st.dir.sync()
}

// fillEvidence makes a directory of evidence in the entry.
func (st *Stage) fillEvidence(directory string, evidence map[string][]byte) error {
	inner, err := st.slot.cache.step(st.dir, directory, true)
	if err != nil {
		return err
	}
	defer inner.Close()
	for _, name := range slices.Sorted(maps.Keys(evidence)) {
		if err := checkName(name); err != nil {
			return err
		}
		if err := st.write(inner, name, evidence[name], 0o644); err != nil {
			return err
		}
	}
	return inner.sync()
}

// Adopt adds evidence to the image's entry, which the stock template made. The
// caller has checked the entry against it.
func (s *Slot) Adopt(evidence map[string][]byte) error {
	return s.cache.unwritable(s.adopt(evidence))
}

func (s *Slot) adopt(evidence map[string][]byte) error {
	d, err := s.parent.open(s.key.Variant)
	if err != nil {
		return err
	}
	defer d.Close()
	aside := evidenceName + newSuffix
	if !s.parent.signs(s.key.Variant).flat {
		return s.parent.notOurs(s.key.Variant)
	}
	if err := d.removeAll(aside); err != nil {
		return err
	}
	st := &Stage{slot: s, dir: d}
	if err := st.fillEvidence(aside, evidence); err != nil {
		return err
	}
	if err := d.removeAll(evidenceName); err != nil {
		return err
	}
	if err := d.rename(aside, evidenceName); err != nil {
		return err
	}
	return d.sync()
}

// Remove removes an image from the cache; one that is not there is no error.
func (c *Cache) Remove(ctx context.Context, k image.Name) error {
	d, err := c.parent(k, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	d.Close()
	s, err := c.Lock(ctx, k)
	if err != nil {
		return err
	}
	defer s.Unlock()
	return s.Remove()
}
