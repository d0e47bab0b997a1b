package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/image"
)

// list describes the container images, sorted by reference, and then the blobs that no image
// needs and the incomplete ones.
func (r *records) list() ([]Info, error) {
	needed, err := r.needed()
	if err != nil {
		return nil, err
	}
	names, err := r.names()
	if err != nil {
		return nil, err
	}
	var found []Info
	var keys []string
	for _, name := range names {
		if k, err := r.load(name); err == nil {
			info := r.describe(k, needed)
			if info.Used, _ = r.images.modified(name); info.Used.Before(k.Time) {
				info.Used = k.Time
			}
			found, keys = append(found, info), append(keys, k.Reference+"\x01"+k.Name.Arch)
		}
	}
	if names, err = r.blobs.names(); err != nil {
		return nil, err
	}
	for _, name := range names {
		d, hidden := blobDigest(name)
		if d == "" || hidden && !strings.HasSuffix(name, partSuffix) || needed[name] > 0 {
			continue
		}
		st, err := r.blobs.ownFile(name)
		if err != nil {
			continue
		}
		t := time.Unix(st.Mtim.Unix())
		found = append(found, Info{Blob: d, Partial: hidden, Size: st.Size, Modified: t, Used: t, Proven: true})
		keys = append(keys, "\xff"+string(d)) // no reference has this byte
	}
	var list []Info
	for _, i := range image.Order(keys) {
		list = append(list, found[i])
	}
	return list, nil
}

// describe returns the Info of a container image. needed is what needed returns.
func (r *records) describe(k *Kept, needed map[string]int) Info {
	info := Info{Kept: k, Build: string(k.Top), Modified: k.Time, Proven: true}
	for _, d := range k.Blobs {
		name, _ := blobName(d)
		var size int64
		f, err := r.blobs.openFile(name, unix.O_RDONLY, 0)
		if err == nil {
			if st, e := f.Stat(); e == nil {
				size = st.Size()
			}
			f.Close()
		} else if info.Damage == nil {
			info.Damage = err
		}
		k.sizes = append(k.sizes, size)
		info.Size += size
		if needed[name] > 1 {
			info.Shared += size
		}
	}
	return info
}

// dropBlob removes a blob that list has returned, if still no image needs it. The lock of the
// records is held.
func (r *records) dropBlob(i Info, before time.Time) error {
	if !i.Partial {
		needed, err := r.needed()
		if err != nil {
			return err
		}
		if name, _ := blobName(i.Blob); needed[name] > 0 {
			return ErrLocked
		}
	}
	_, err := r.removeBlob(i.Blob, i.Partial, before)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// SweepBlobs removes what interrupted runs left of container images more than Leftover before
// now: incomplete blobs, complete ones that no image needs, records that were not renamed to
// their name, locks. report is called for each blob, with the error if the removal failed; a
// blob that another process uses is left out.
func (c *Cache) SweepBlobs(now time.Time, report func(Info, error)) error {
	before := now.Add(-Leftover)
	r, err := c.openRecords(false)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil
	} else if err != nil {
		return err
	}
	r.close()
	if r, err = c.lockRecords(context.Background()); err != nil {
		return err
	}
	defer r.close()
	list, err := r.list()
	if err != nil {
		return err
	}
	for _, i := range list {
		if i.Blob == "" || i.Used.After(before) {
			continue
		}
		if err := r.dropBlob(i, before); !errors.Is(err, ErrLocked) {
			report(i, err)
		}
	}
	return errors.Join(r.sweepRecords(before), r.sweepLocks(before))
}

// sweepRecords removes files that replace or a lock left beside the records.
func (r *records) sweepRecords(before time.Time) error {
	names, err := r.images.names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if !r.images.olderThan(name, before) {
			continue
		}
		record, isNew := strings.CutSuffix(name, newSuffix)
		if isNew && isHex(record) {
			text, e := r.images.read(name, maxRecord)
			if e != nil || !strings.HasPrefix(recordBegin, string(text)) && !strings.HasPrefix(string(text), recordBegin) {
				continue
			}
			if _, e = r.images.ownFile(name); e != nil {
				continue
			}
			err = errors.Join(err, r.images.remove(name))
		} else if of, ok := hiddenVariant(name); ok && of == imagesName && name != r.lock.name && r.images.isOldLock(name) {
			err = errors.Join(err, r.images.remove(name))
		}
	}
	return err
}

// sweepLocks removes the locks of blobs that killed processes left.
func (r *records) sweepLocks(before time.Time) error {
	names, err := r.blobs.names()
	if err != nil {
		return err
	}
	for _, name := range names {
		d, hidden := blobDigest(name)
		if d == "" || !hidden || !r.blobs.olderThan(name, before) || !r.blobs.isOldLock(name) {
			continue
		}
		blob, _ := blobName(d)
		l, e := r.cache.quietLock(r.blobs, lockOf(blob), 0)
		if errors.Is(e, ErrLocked) {
			continue
		} else if e == nil && name != l.name { // else release removes it
			e = r.blobs.remove(name)
		}
		if l != nil {
			e = errors.Join(e, l.release())
		}
		err = errors.Join(err, e)
	}
	return err
}

// isOldLock reports whether a file is a lock by its name and content.
func (d directory) isOldLock(name string) bool {
	return strings.Contains(name, lockSuffix) && d.isLeftover(name)
}

// VerifyKept reads all blobs of an Info that List returned, and returns an error if one is
// missing or has another digest. It does not check signatures.
func (c *Cache) VerifyKept(ctx context.Context, i Info) error {
	blobs := []image.Digest{i.Blob}
	if i.Kept != nil {
		blobs = i.Kept.Blobs
	}
	for _, d := range blobs {
		b, err := c.FindBlob(d)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the blob %s is missing", d)
		} else if err != nil {
			return err
		}
		err = b.checkDigest(ctx)
		b.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
