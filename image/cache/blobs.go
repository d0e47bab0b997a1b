package cache

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/image"
	"lxc-pull/image/sha256"
)

// Images whose files all have digests are kept as blobs, which several images may share: the
// manifests, configs and layers of container images, and the signed lists, metadata and root file
// systems of images from other sources. All are in one directory:
//
//	BASE/.lxc-pull/images/sha256-HEX          a complete blob
//	BASE/.lxc-pull/images/.sha256-HEX.part    an incomplete one
//	BASE/.lxc-pull/images/.sha256-HEX.lock    its lock
//	BASE/.lxc-pull/images/image-HEX           the record of one image (kept.go)
//	BASE/.lxc-pull/images/.images.lock        the lock of all records
//
// The directory has mode 0700: other users of the machine must not read an image that was
// downloaded with a password. The stock template and older versions of this program look at
// BASE/download and BASE/.lxc-pull/seen only.
//
// A blob appears under its name by a rename, after its bytes are on the disk. Only the process
// that holds a blob's lock writes it, and complete blobs are read without a lock. Complete blobs
// are removed under both locks and, unless the user asks for it or the blob is damaged, only if no
// run has opened them for youngBlob, or if there is no run now (Join): a run may have them open and
// not have recorded its image yet.

const (
	imagesName = "images"
	blobPrefix = "sha256-"

	// youngBlob is how long a blob that no image needs stays after its last use: no run takes
	// much longer from its first layer to the record of its image.
	youngBlob = time.Hour
	// restBlob is how long after its last use a blob's time is set again. In a lower layer of
	// overlayfs that copies the file.
	restBlob = youngBlob / 4

	// slowWait is how long a run waits for another one that downloads a blob at less than
	// usefulRate: any server of any image can give a blob that many images share, as slowly as it
	// wants. At this rate, half a line of 1 Mbit/s, 100 MB take half an hour.
	slowWait   = 15 * time.Second
	usefulRate = 64 << 10 // bytes per second
)

// A Blob is a file of images in the cache, such as a manifest or a layer, locked by this process
// while it is incomplete. Images share blobs.
type Blob struct {
	_        [0]func() // forbids ==, whose code nothing needs
	File     *os.File  // for reading; writes append to it
	Have     int64     // bytes that an earlier run left, or all of them
	Complete bool      // File has all bytes; whoever uses them checks the digest

	cache *Cache
	dir   *directory // of all blobs
	name  string     // in dir, when complete
	size  int64      // bytes when complete; -1: not known
	lock  *lock      // nil: not held
	early earlyWriter
}

// blobName returns the name of a blob's file. The error says that d is no digest.
func blobName(d image.Digest) (string, error) {
	if _, err := image.ParseDigest(string(d)); err != nil {
		return "", err
	}
	return blobPrefix + string(d[len("sha256:"):]), nil
}

// isDigestName reports whether a name is prefix and a SHA-256 digest in lower-case hexadecimal
// digits.
func isDigestName(name, prefix string) bool {
	hex, ok := strings.CutPrefix(name, prefix)
	return ok && len(hex) == 2*sha256.Size && strings.Trim(hex, "0123456789abcdef") == ""
}

// images opens the directory of blobs and records. If create is true, it creates the directory
// and lets no other user read it.
func (c *Cache) images(create bool) (*directory, error) {
	d, err := c.walk(create, evidenceName, imagesName)
	if err == nil && create {
		d.file.Chmod(0o700) // some file systems have no modes
	}
	return d, err
}

// Blob opens the blob with that digest, or begins or continues one of size bytes; -1 means that
// the size is not known. While another process downloads it, Blob waits; the error wraps ErrLocked
// if that is too slow (slowWait). The error is an *UnwritableError if the cache can't be used.
//
// A caller that has an incomplete blob must not ask for the same one again before it closes
// it: it would wait for itself. A manifest may list a layer twice.
func (c *Cache) Blob(ctx context.Context, d image.Digest, size int64) (*Blob, error) {
	b, err := c.blob(ctx, d, size, true)
	return b, c.unwritable(err)
}

// FindBlob opens a complete blob without a lock, for a cache that can only be read. The error is
// fs.ErrNotExist if there is none.
func (c *Cache) FindBlob(d image.Digest) (*Blob, error) {
	return c.blob(context.Background(), d, -1, false)
}

// blob opens a complete blob. If there is none and create is true, it begins or continues it.
func (c *Cache) blob(ctx context.Context, d image.Digest, size int64, create bool) (*Blob, error) {
	name, err := blobName(d)
	if err != nil {
		return nil, err
	}
	if c.Held != nil {
		file, size, err := c.Held(d)
		if err != nil {
			return nil, err
		}
		return &Blob{File: file, Have: size, Complete: true}, nil
	}
	dir, err := c.images(create)
	if err != nil {
		return nil, err
	}
	b := &Blob{cache: c, dir: dir, name: name, size: size}
	err = b.open(name, unix.O_RDONLY)
	if create && errors.Is(err, fs.ErrNotExist) {
		if b.lock, err = b.takeLock(ctx); err == nil {
			// The process that held the lock may have completed the blob.
			if err = b.open(name, unix.O_RDONLY); err == nil {
				err = b.unlock()
			} else if errors.Is(err, fs.ErrNotExist) {
				err = b.open(b.part(), unix.O_RDWR|unix.O_CREAT|unix.O_APPEND)
			}
		}
	}
	if err != nil {
		b.Close()
		return nil, err
	}
	if create && b.Complete {
		dir.touch(name, restBlob)
	}
	return b, nil
}

// takeLock locks the blob. It gives up once the process that has the lock is too slow (slowWait).
func (b *Blob) takeLock(ctx context.Context) (*lock, error) {
	name := "." + b.name + lockSuffix
	have := func() int64 {
		var st unix.Stat_t
		unix.Fstatat(int(b.dir.file.Fd()), b.part(), &st, unix.AT_SYMLINK_NOFOLLOW)
		return st.Size // 0: no file
	}
	c, pause := *b.cache, b.cache.pause
	if pause == nil {
		pause = wait
	}
	before, waited := have(), time.Duration(0) // in this window
	c.pause = func(ctx context.Context, d time.Duration) error {
		if waited += d; waited >= slowWait {
			now := have()
			grown := now - before
			if grown < int64(slowWait/time.Second)*usefulRate && (b.size < 0 || now < b.size) { // a complete one is being synced
				return &lockedError{holder: holder(b.dir, name), waited: waited}
			}
			before, waited = now, 0
		}
		return pause(ctx, d)
	}
	return c.lock(ctx, b.dir, name, maxLockWait)
}

// Join says that a run uses images that are kept as blobs, until the caller closes what it returns: while there
// is a run, Shrink leaves blobs alone that no image needs yet. Without a cache it returns nil. On a
// file system without flock(2) it has no effect, and Shrink goes by the age of blobs.
func (c *Cache) Join() *os.File {
	d, err := c.images(true)
	if err != nil {
		return nil
	}
	for waited := time.Duration(0); d.flock(unix.LOCK_SH) == unix.EWOULDBLOCK && waited < maxRecordWait; waited += lockPoll {
		time.Sleep(lockPoll) // Shrink is at work
	}
	return d.file
}

// flock locks the directory, or returns unix.EWOULDBLOCK. The kernel unlocks it when it is closed.
func (d *directory) flock(how int) (err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Flock(int(d.file.Fd()), how|unix.LOCK_NB)
	}
	return err
}

// open opens the file of that name as File. It is complete if it is opened for reading.
func (b *Blob) open(name string, flag int) (err error) {
	if b.File, err = b.dir.openFile(name, flag, 0o600); err != nil {
		return err
	}
	b.Complete = flag == unix.O_RDONLY
	if !b.Complete {
		if _, err = b.dir.ownFile(name); err == nil {
			b.cache.giveAway(b.File)
		}
	}
	if err == nil {
		b.Have, err = b.File.Seek(0, io.SeekEnd)
	}
	if err == nil && !b.Complete && b.size >= 0 && b.Have > b.size { // of a list with another size
		b.Have = 0
		err = b.File.Truncate(0)
	}
	if err == nil {
		_, err = b.File.Seek(0, io.SeekStart)
	}
	return err
}

// part returns the name of the incomplete blob.
func (b *Blob) part() string { return "." + b.name + partSuffix }

// Write appends to an incomplete blob.
func (b *Blob) Write(p []byte) (int, error) { return b.early.write(b.File, p) }

// Commit makes the blob complete. The caller has checked its digest. File stays open. When
// Commit returns without error, the blob is on the disk. The error is an *UnwritableError.
func (b *Blob) Commit() error {
	if b.Complete {
		return nil
	}
	part := b.part()
	size, err := b.dir.ownFile(part)
	if err == nil && b.size >= 0 && size != b.size {
		err = errors.New(strconv.Quote(part) + " has " + strconv.FormatInt(size, 10) + " bytes, not " + strconv.FormatInt(b.size, 10))
	}
	if err == nil && (!isAt(b.File, b.dir, part) || b.dir.exists(b.name)) {
		err = b.dir.notOurs(b.name)
	}
	if err == nil {
		err = b.File.Sync() // the bytes must be on disk before the rename is
	}
	if err == nil {
		b.dir.touch(part, restBlob) // all bytes may be of an earlier run
		err = b.dir.rename(part, b.name)
	}
	if err == nil {
		b.Have, b.Complete = size, true
		err = b.dir.sync()
	}
	if err == nil {
		err = b.unlock()
	}
	return b.cache.unwritable(err)
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

func (b *Blob) close(remove bool) (err error) {
	if b.dir == nil {
		return nil
	}
	if b.File != nil {
		name := b.name
		if !b.Complete {
			name = b.part()
			size, e := b.File.Seek(0, io.SeekEnd)
			remove = remove || e == nil && size == 0
		}
		if remove && b.Complete {
			err = b.removeComplete()
		} else if remove && isAt(b.File, b.dir, name) {
			if _, err = b.dir.ownFile(name); err == nil {
				err = b.dir.remove(name)
			}
		}
		b.File.Close()
	}
	if e := b.unlock(); err == nil {
		err = e
	}
	b.dir.file.Close()
	b.dir = nil
	return err
}

// removeComplete removes a complete blob, unless another one is in its place.
func (b *Blob) removeComplete() error {
	s, err := b.cache.lockImages(context.Background())
	if err != nil {
		return err
	}
	if isAt(b.File, b.dir, b.name) {
		err = b.cache.removeBlob(b.dir, b.name, b.name, time.Time{})
	}
	s.Unlock()
	return err
}

// ownFile returns the size of a file that this program may change or remove: a regular file of
// a trusted owner with no other name.
func (d *directory) ownFile(name string) (size int64, err error) {
	f, err := d.openFile(name, unix.O_RDONLY, 0)
	if err != nil {
		return 0, err
	}
	var st unix.Stat_t
	err = unix.Fstat(int(f.Fd()), &st)
	f.Close()
	if err == nil && st.Nlink != 1 {
		err = d.notOurs(name)
	}
	return st.Size, err
}

// VerifyKept reads the blobs of an Info that List returned, and returns an error if one is
// missing or has another digest. It does not check signatures.
func (c *Cache) VerifyKept(ctx context.Context, i Info) error {
	blobs := []image.Digest{i.Blob}
	if i.Kept != nil {
		blobs = i.Kept.Blobs
	}
	buf := make([]byte, 128<<10)
	for _, d := range blobs {
		b, err := c.FindBlob(d)
		if err != nil {
			return err
		}
		h := sha256.New()
		for err == nil {
			var n int
			n, err = b.File.Read(buf)
			h.Write(buf[:n])
			if e := ctx.Err(); e != nil {
				err = e
			}
		}
		b.Close()
		if err != io.EOF {
			return err
		}
		if sum := "sha256:" + hex.EncodeToString(h.Sum(nil)); sum != string(d) {
			return errors.New("the blob " + string(d) + " has the digest " + sum)
		}
	}
	return nil
}
