package cache

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/image"
)

// Container images are kept as blobs: manifests, configs and layers, which several images may
// share.
//
//	BASE/.lxc-pull/blobs/sha256-HEX          a complete blob
//	BASE/.lxc-pull/blobs/.sha256-HEX.part    an incomplete one
//	BASE/.lxc-pull/blobs/.sha256-HEX.lock    its lock
//	BASE/.lxc-pull/images/HEX                the record of one image (kept.go)
//	BASE/.lxc-pull/images/.images.lock       the lock of all records
//
// Both directories have mode 0700: other users of the machine must not read an image that was
// downloaded with a password. The stock template and older versions of this program look at
// BASE/download and BASE/.lxc-pull/seen only.
//
// A blob appears under its name by a rename, after its bytes are on the disk. Only the process
// that holds a blob's lock writes, renames or removes it; complete blobs are read without a
// lock. Complete blobs are removed under the lock of the records too, and, unless the user asks
// for it, only if Blob and UseKept have not set their time for youngBlob: a run that uses them
// may not have recorded its image yet.

const (
	blobsName  = "blobs"
	imagesName = "images"
	blobPrefix = "sha256-"

	// youngBlob is how long a blob that no image needs stays after its last use: no run takes
	// much longer from its first layer to the record of its image.
	youngBlob = time.Hour
	// blobRisk is the age from which on Blob sets a blob's time. It leaves the rest of youngBlob
	// to the run, and a cache in a lower layer of overlayfs, where setting the time copies the
	// file, copies it at most once.
	blobRisk = youngBlob / 4
)

// A Blob is a manifest, config or layer of container images in the cache, locked by this
// process while it is incomplete. Images share blobs.
type Blob struct {
	_        [0]func() // forbids ==, whose code nothing needs
	File     *os.File  // for reading; writes append to it
	Have     int64     // bytes that an earlier run left, or all of them
	Complete bool      // File has all bytes; whoever uses them checks the digest

	cache  *Cache
	dir    directory // of all blobs
	name   string    // in dir
	digest image.Digest
	size   int64 // bytes when complete; -1: not known
	lock   *lock // nil: not held
}

// blobName returns the name of a blob's file. An error means that d is no digest.
func blobName(d image.Digest) (string, error) {
	hex, ok := strings.CutPrefix(string(d), "sha256:")
	if !ok || !isHex(hex) {
		return "", fmt.Errorf("%q is not a SHA-256 digest", string(d))
	}
	return blobPrefix + hex, nil
}

// blobDigest returns the digest of the blob to which a file in the directory of blobs belongs,
// "" if it belongs to none. hidden says that the file is not the complete blob.
func blobDigest(name string) (d image.Digest, hidden bool) {
	if variant, ok := hiddenVariant(name); ok {
		name, hidden = variant, true
	}
	hex, ok := strings.CutPrefix(name, blobPrefix)
	if !ok || !isHex(hex) {
		return "", false
	}
	return image.Digest("sha256:" + hex), hidden
}

// isHex reports whether s is a SHA-256 digest in lower-case hexadecimal digits.
func isHex(s string) bool {
	return len(s) == 2*sha256.Size && strings.Trim(s, "0123456789abcdef") == ""
}

func partOf(blob string) string { return "." + blob + partSuffix }
func lockOf(blob string) string { return "." + blob + lockSuffix }

// private opens a directory in BASE/.lxc-pull that other users can't read, and creates it if
// create is true.
func (c *Cache) private(name string, create bool) (directory, error) {
	d, err := c.walk(create, evidenceName)
	if err != nil {
		return directory{}, err
	}
	defer d.file.Close()
	err = unix.EEXIST
	if create {
		err = unix.Mkdirat(int(d.file.Fd()), name, 0o700)
	}
	if err != nil && err != unix.EEXIST {
		return directory{}, d.wrap("mkdir", name, err)
	}
	inner, openErr := d.open(name)
	if err == nil && openErr == nil {
		c.giveAway(inner.file)
	}
	return inner, openErr
}

// Blob opens the blob with that digest, or begins or continues one of size bytes; -1 means that
// the size is not known. While another process downloads it, Blob waits. A complete blob may
// have another size: then its digest is right, and size is wrong. The error is an
// *UnwritableError if the cache can't be used.
//
// A caller that has an incomplete blob must not ask for the same one again before it closes
// it: it would wait for itself. A manifest may list a layer twice.
func (c *Cache) Blob(ctx context.Context, d image.Digest, size int64) (*Blob, error) {
	name, err := blobName(d)
	if err != nil {
		return nil, err
	}
	dir, err := c.private(blobsName, true)
	if err != nil {
		return nil, c.unwritable(err)
	}
	b := &Blob{cache: c, dir: dir, name: name, digest: d, size: size}
	if err := b.begin(ctx); err != nil {
		b.Close()
		return nil, c.unwritable(err)
	}
	return b, nil
}

// begin opens the complete blob, or takes the lock and opens the incomplete one.
func (b *Blob) begin(ctx context.Context) (err error) {
	if b.openFresh() {
		return nil
	}
	if b.lock, err = b.cache.lock(ctx, b.dir, lockOf(b.name), maxLockWait); err != nil {
		return err
	}
	// The process that held the lock may have completed the blob.
	err = b.openComplete()
	if err == nil && b.size >= 0 && b.Have != b.size {
		if err = b.checkDigest(ctx); err != nil && ctx.Err() == nil {
			err = b.dropDamaged()
		}
	}
	if err == nil {
		b.dir.touch(b.name)
		return b.unlock()
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return b.openPart()
}

// openFresh opens the complete blob without a lock. It returns false if there is none, or if
// more must be done with it: its size is wrong, or it is so old that it may be removed.
func (b *Blob) openFresh() bool {
	err := b.openComplete()
	if err == nil && (b.size < 0 || b.Have == b.size) {
		if t, ok := b.dir.modified(b.name); ok && time.Since(t) < blobRisk {
			return true
		}
	}
	if err == nil {
		b.File.Close()
		b.File, b.Have, b.Complete = nil, 0, false
	}
	return false
}

// openComplete opens the complete blob. The error is fs.ErrNotExist if there is none.
func (b *Blob) openComplete() error {
	f, err := b.dir.openFile(b.name, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	b.File, b.Have, b.Complete = f, info.Size(), true
	return nil
}

// dropDamaged removes the complete blob, whose bytes are wrong, and returns fs.ErrNotExist.
// The lock is held.
func (b *Blob) dropDamaged() error {
	b.File.Close()
	b.File, b.Have, b.Complete = nil, 0, false
	if _, err := b.dir.ownFile(b.name); err != nil {
		return err
	}
	if err := b.dir.remove(b.name); err != nil {
		return err
	}
	return fs.ErrNotExist
}

// openPart opens or creates the incomplete blob. The lock is held.
func (b *Blob) openPart() error {
	f, err := b.dir.openFile(partOf(b.name), unix.O_RDWR|unix.O_CREAT|unix.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	b.File = f
	st, err := b.dir.ownFile(partOf(b.name))
	if err != nil {
		return err
	}
	b.cache.giveAway(f)
	b.Have = st.Size
	if b.size >= 0 && b.Have > b.size { // bytes of another size that a list gave
		b.Have = 0
		return f.Truncate(0)
	}
	return nil
}

// checkDigest reads all of File and returns an error if its bytes don't have the digest, or once
// ctx is done.
func (b *Blob) checkDigest(ctx context.Context) error {
	h := sha256.New()
	buf := make([]byte, 128<<10)
	for at := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := b.File.ReadAt(buf, at)
		h.Write(buf[:n])
		at += int64(n)
		if err == io.EOF {
			break
		} else if err != nil {
			return err
		}
	}
	if sum := fmt.Sprintf("sha256:%x", h.Sum(nil)); sum != string(b.digest) {
		return fmt.Errorf("the blob %s has the digest %s", b.digest, sum)
	}
	return nil
}

// FindBlob opens a complete blob without a lock, for a cache that can only be read. The error is
// fs.ErrNotExist if there is none.
func (c *Cache) FindBlob(d image.Digest) (*Blob, error) {
	name, err := blobName(d)
	if err != nil {
		return nil, err
	}
	dir, err := c.private(blobsName, false)
	if err != nil {
		return nil, err
	}
	b := &Blob{cache: c, dir: dir, name: name, digest: d, size: -1}
	if err := b.openComplete(); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// Write appends to an incomplete blob.
func (b *Blob) Write(p []byte) (int, error) { return b.File.Write(p) }

// Commit makes the blob complete. The caller has checked its digest. File stays open. When
// Commit returns without error, the blob is on the disk. After an error, an *UnwritableError,
// the blob is still incomplete.
func (b *Blob) Commit() error {
	if b.Complete {
		return nil
	}
	return b.cache.unwritable(b.commit())
}

func (b *Blob) commit() error {
	part := partOf(b.name)
	st, err := b.dir.ownFile(part)
	if err != nil {
		return err
	}
	if !isAt(b.File, b.dir, part) || b.dir.exists(b.name) {
		return b.dir.notOurs(part)
	}
	if b.size >= 0 && st.Size != b.size {
		return b.dir.wrap("rename", part, fmt.Errorf("it has %d bytes, not %d", st.Size, b.size))
	}
	// The bytes must be on disk before the rename is.
	if err := b.File.Sync(); err != nil {
		return err
	}
	b.dir.touch(part) // all bytes may be of an earlier run
	if err := b.dir.rename(part, b.name); err != nil {
		return err
	}
	b.Have, b.Complete = st.Size, true
	return errors.Join(b.dir.sync(), b.unlock())
}

// unlock releases the lock, if it is held.
func (b *Blob) unlock() error {
	l := b.lock
	if b.lock = nil; l == nil {
		return nil
	}
	return l.release()
}

// Close closes the blob. An incomplete one stays for a later run. Closing it again does nothing.
func (b *Blob) Close() error { return b.close(false) }

// Discard closes the blob and removes it.
func (b *Blob) Discard() error { return b.close(true) }

func (b *Blob) close(remove bool) error {
	if b.dir.file == nil {
		return nil
	}
	var err error
	if b.File != nil {
		name := partOf(b.name)
		if info, e := b.File.Stat(); b.Complete {
			name = b.name
		} else if e == nil && info.Size() == 0 {
			remove = true
		}
		if remove {
			err = b.remove(name)
		}
		b.File.Close()
	}
	err = errors.Join(err, b.unlock(), b.dir.file.Close())
	b.dir.file = nil
	return err
}

// remove removes the file of the blob under its lock, if the name still leads to it.
func (b *Blob) remove(name string) (err error) {
	if b.lock == nil {
		if b.lock, err = b.cache.quietLock(b.dir, lockOf(b.name), maxRecordWait); err != nil {
			return err
		}
	}
	if !isAt(b.File, b.dir, name) {
		return nil
	}
	if _, err := b.dir.ownFile(name); err != nil {
		return err
	}
	return b.dir.remove(name)
}

// quietLock is lock without a call of Waiting. If the wait is too long, the error is ErrLocked.
func (c *Cache) quietLock(d directory, name string, maxWait time.Duration) (*lock, error) {
	quiet := *c
	quiet.Waiting = nil
	l, err := quiet.lock(context.Background(), d, name, maxWait)
	if errors.Is(err, ErrLocked) {
		err = ErrLocked
	}
	return l, err
}

// ownFile returns the state of a file that this program may change or remove: a regular file of
// a trusted owner with no other name.
func (d directory) ownFile(name string) (st unix.Stat_t, err error) {
	f, err := d.openFile(name, unix.O_RDONLY, 0)
	if err != nil {
		return st, err
	}
	defer f.Close()
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return st, d.wrap("stat", name, err)
	}
	if st.Nlink != 1 {
		return st, d.notOurs(name)
	}
	return st, nil
}
