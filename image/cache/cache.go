// Package cache keeps downloaded images in a directory for later runs.
//
// The directory has the layout of LXC's own "download" template, so that both
// programs can share it:
//
//	BASE/download/DIST/RELEASE/ARCH/VARIANT/    an entry: one image
//	    rootfs.tar.xz
//	    build_id                                the build's name and a newline
//	    config, expiry, templates, ...          the files of meta.tar.xz
//	    .lxc-pull/                              the evidence: files under their own names
//	        meta.tar.xz, SHA256SUMS, SHA256SUMS.asc, ...
//	BASE/download/DIST/RELEASE/ARCH/.VARIANT.*  the lock, and entries that are not in place
//	BASE/.lxc-pull/seen                         the newest builds seen (seen.go)
//	BASE/.lxc-pull/images/                      images that are kept as blobs (blobs.go, kept.go)
//
// # The life of an entry
//
//  1. Cache.Lock opens BASE (base.go), creates the directories down to ARCH and
//     locks the file .VARIANT.lock (lock.go). Only the process that holds the lock
//     changes the entry. The returned Slot first finishes what a killed process
//     had begun (Slot.finish).
//  2. Slot.Open returns the entry if there is one. The caller decides whether the
//     build is new enough, and checks the bytes against the evidence. If the entry
//     is good, the caller unpacks it, and Cache.Use records the time.
//  3. Otherwise Slot.Stage opens the directory .VARIANT.part and the caller appends
//     the download to its rootfs.tar.xz, after the Stage.Have bytes that an
//     interrupted run with the same tag left there.
//  4. Once the digest and the signature are right, Stage.Commit writes the metadata
//     and the evidence, syncs, and renames .VARIANT.part to .VARIANT.new. From then on the
//     new entry counts. Two more renames put it in place: the old entry becomes
//     .VARIANT.old and is removed, .VARIANT.new becomes VARIANT.
//  5. Slot.Unlock removes the lock file.
//  6. Cache.Shrink, Cache.Drop and Cache.Remove remove entries; Cache.Leftovers and
//     Slot.Sweep remove the files of interrupted runs (sweep.go). They take the
//     same lock, so an entry that a run is using stays.
//
// As calls:
//
//	slot, err := cache.Lock(ctx, name)
//	entry, err := slot.Open()
//	stage, err := slot.Stage(tag)
//	io.Copy(stage, body)
//	stage.Commit(build, files, evidence)
//	slot.Unlock()
//
// # Guarantees
//
// An entry appears and disappears as a whole, also for the stock template, which
// checks only whether the directory exists. (Between the old and the new entry
// there is a moment without any; the stock template would download then.) A Stage
// that was not committed keeps its bytes for the next Stage with the same tag. No
// symbolic link below BASE is followed. Files that another user owns or may write
// are not used (owner.go), and files without the marks of this program or of the stock
// template are not removed (markers.go). New files are given to Cache.UID and
// Cache.GID; errors of that are ignored, as in the stock template.
//
// The package checks every name itself (checkName) and does not rely on the caller
// for it. It does not check the bytes of a rootfs: the caller that opens an entry
// verifies them.
//
// # Reading order
//
// cache.go, entry.go, slot.go, stage.go implement the life above with the help of directory.go,
// owner.go, base.go, lock.go and markers.go; list.go, sweep.go and
// seen.go come last. blobs.go and kept.go keep images whose files all have digests, whose life is:
//
//	blob, err := cache.Blob(ctx, digest, size)     // each blob; one process downloads it
//	io.Copy(blob, body)
//	blob.Commit()
//	cache.Keep(ctx, kept)                          // the record of the image
package cache

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"lxc-pull/image"
)

// Limits.
const (
	maxName  = 200     // bytes of a name: file systems allow 255; the rest is for our suffixes
	maxFiles = 256     // metadata files of an image; real images have a dozen
	maxTag   = 4 << 10 // bytes of a Stage's tag: a digest, or a path on a server
	// maxKept is how many bytes are read of an entry besides its rootfs: an index
	// (4 MB), meta.tar.xz (4 MB) and its files (8 MB), SHA256SUMS (1 MB), signatures.
	maxKept = 20 << 20
)

// The names of an entry's files.
const (
	rootfsName   = image.RootfsFile
	buildName    = "build_id"
	evidenceName = ".lxc-pull"
	tagName      = "tag" // only in a Stage's directory
)

// A Cache is a directory of images. It holds no open files.
type Cache struct {
	Base string // the directory: LXC_CACHE_PATH, or the default place

	// Chown says whether new files are given to UID and GID.
	Chown    bool
	UID, GID int

	// Above lists more users who may own the directories above Base: besides root and
	// the users who may own the cache itself.
	Above []int

	// Evidence lists the names of the evidence files that are read; nil means all.
	Evidence []string

	// Waiting, if not nil, is called once when another process holds a lock. holder is
	// for people, such as "process 12"; "" if the process is not known.
	Waiting func(holder string)
	// Held, if not nil, has the blobs of the one image HeldKept in place of the directory: they
	// are in a bundle. Held returns the file of a blob, which stays open, and its size; the error
	// is fs.ErrNotExist if there is none. Nothing can be written then.
	Held     func(d image.Digest) (file *os.File, size int64, err error)
	HeldKept *Kept

	// pause waits for d or until ctx is done. Tests replace it; nil means a real wait.
	pause func(ctx context.Context, d time.Duration) error

	noFlock bool // tests only: behave as on a file system without flock(2)
}

// checkImage returns an error if a part of an image's name may not be a file name in
// the cache.
func checkImage(n image.Name) error {
	for _, part := range []string{n.Dist, n.Release, n.Arch, n.Variant} {
		if err := checkName(part); err != nil {
			return err
		}
	}
	return nil
}

// checkName returns an error if s may not be a file name in the cache: it is empty or
// too long, begins with a dot (".", ".." and the cache's own names do), or has a
// slash, a control character or invalid UTF-8.
func checkName(s string) error {
	if s == "" || s[0] == '.' || strings.IndexByte(s, '/') >= 0 || !isPrintable(s, maxName) {
		return errors.New(strconv.Quote(s) + " can't be a name in the cache")
	}
	return nil
}

// isPrintable reports whether s has at most max bytes, and neither control characters nor invalid
// UTF-8.
func isPrintable(s string, max int) bool {
	for _, r := range s {
		if r < 0x20 || 0x7f <= r && r < 0xa0 {
			return false
		}
	}
	return len(s) <= max && utf8.ValidString(s)
}

// An UnwritableError says that the cache can't be written. The caller can go on
// without it.
type UnwritableError struct {
	_    [0]func() // forbids ==, whose code nothing needs
	base string    // the cache's directory
	err  error     // why
}

func (e *UnwritableError) Error() string {
	return "cache " + strconv.Quote(e.base) + " can't be used: " + e.err.Error()
}

func (e *UnwritableError) Unwrap() error { return e.err }

// unwritable wraps err in an *UnwritableError, unless it is nil or a context's error.
func (c *Cache) unwritable(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &UnwritableError{base: c.Base, err: err}
}

// giveAway gives an open file or directory to UID and GID. Errors are ignored: the
// ids may not be mapped, and the entry can be used as it is.
func (c *Cache) giveAway(f *os.File) {
	if c.Chown {
		unix.Fchown(int(f.Fd()), c.UID, c.GID)
	}
}

// walk opens the directory at the end of a path below BASE, and creates the
// directories of the path if create is true.
func (c *Cache) walk(create bool, names ...string) (*directory, error) {
	if c.Held != nil {
		return nil, fs.ErrNotExist
	}
	d, err := c.base(create)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		next, err := c.step(d, name, create)
		d.file.Close()
		if err != nil {
			return nil, err
		}
		d = next
	}
	return d, nil
}

// step opens the directory name in d, and creates it if create is true.
func (c *Cache) step(d *directory, name string, create bool) (*directory, error) {
	created := false
	if create {
		var err error
		if created, err = d.mkdir(name); err != nil {
			return nil, err
		}
	}
	next, err := d.open(name)
	if err == nil && created {
		c.giveAway(next.file)
	}
	return next, err
}

// parent opens the directory that holds an image's entry.
func (c *Cache) parent(n image.Name, create bool) (*directory, error) {
	if err := checkImage(n); err != nil {
		return nil, err
	}
	return c.walk(create, "download", n.Dist, n.Release, n.Arch)
}

// Remove removes an image from the cache. An image that is not there is no error.
func (c *Cache) Remove(ctx context.Context, n image.Name) error {
	d, err := c.parent(n, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	d.file.Close()
	s, err := c.Lock(ctx, n)
	if err != nil {
		return err
	}
	err = s.remove()
	s.Unlock()
	return err
}
