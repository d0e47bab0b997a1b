package cache

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"lxc-pull/image"
)

// A record is a file in BASE/.lxc-pull/images that says which blobs an image needs. Its name is
// the digest of the image's reference and architecture, and its time is when the image was last
// used. It has one line for each field, and one for each blob:
//
//	lxc-pull container image 1
//	reference<TAB>docker:docker.io/library/nginx:latest
//	name<TAB>DIST<TAB>RELEASE<TAB>ARCH<TAB>VARIANT
//	time<TAB>SECONDS since 1970
//	type<TAB>MEDIA TYPE
//	top<TAB>sha256:HEX
//	manifest<TAB>sha256:HEX
//	blob<TAB>sha256:HEX
//
// A later format begins with another first line, and still has a line with "blob" for each blob,
// so that this version removes none of these.

const (
	recordBegin = "lxc-pull container image 1\n"
	// maxRecord is the largest record, in bytes: maxKeptBlobs lines of 77 bytes, and six more.
	maxRecord = 128 << 10
	// maxKeptBlobs is how many blobs an image may need: its layers, and as many again for
	// manifests, the config and signatures.
	maxKeptBlobs = 2 * image.MaxLayers
	// maxField is the longest field, in bytes: a host (253), a repository (255), a tag (128) and a digest (71)
	// have less.
	maxField = 1 << 10
	// maxRecordWait is how long a run waits for the lock of the records. A complete container
	// waits for it, and other processes hold the lock while they write or remove small numbers
	// of files.
	maxRecordWait = 10 * time.Second
)

// A Kept is a container image that the cache keeps.
type Kept struct {
	_         [0]func() // forbids ==, whose code nothing needs
	Reference string    // image.Reference.String, without the digest that its tag has now
	Name      image.Name
	Manifest  image.Digest   // of the platform's manifest
	Top       image.Digest   // of the index that lists the manifest, else Manifest
	MediaType string         // of Top
	Blobs     []image.Digest // all that the image needs, Manifest and Top too
	Time      time.Time      // when Keep recorded it, in whole seconds; Keep sets it

	sizes []int64 // of the Blobs, in bytes; List sets it
}

// recordName returns the name of an image's record.
func recordName(reference, arch string) string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(reference+"\x00"+arch)))
}

func (k *Kept) recordName() string { return recordName(k.Reference, k.Name.Arch) }

// format returns the text of the record, or an error if a field can't be recorded.
func (k *Kept) format() (string, error) {
	if k.Reference == "" || k.Name.Arch == "" || len(k.Blobs) > maxKeptBlobs {
		return "", fmt.Errorf("%q can't be recorded: it has no name, or %d blobs", k.Reference, len(k.Blobs))
	}
	text := recordBegin
	add := func(key string, fields ...string) {
		text += key
		for _, f := range fields {
			text += "\t" + f
		}
		text += "\n"
	}
	add("reference", k.Reference)
	add("name", k.Name.Dist, k.Name.Release, k.Name.Arch, k.Name.Variant)
	add("time", strconv.FormatInt(k.Time.Unix(), 10))
	add("type", k.MediaType)
	add("top", string(k.Top))
	add("manifest", string(k.Manifest))
	for _, f := range []string{k.Reference, k.Name.Dist, k.Name.Release, k.Name.Arch, k.Name.Variant, k.MediaType} {
		if len(f) > maxField || !utf8.ValidString(f) || strings.ContainsFunc(f, func(r rune) bool { return r < 0x20 || 0x7f <= r && r < 0xa0 }) {
			return "", fmt.Errorf("%q can't be recorded", f)
		}
	}
	seen, ends := map[string]int{}, 0
	for _, d := range k.Blobs {
		name, err := blobName(d)
		if err == nil && seen[name] > 0 {
			err = fmt.Errorf("the blob %s is listed twice", d)
		}
		if err != nil {
			return "", err
		}
		seen[name]++
		if d == k.Top || d == k.Manifest {
			ends++
		}
		add("blob", string(d))
	}
	if want := 2; k.Top != k.Manifest && ends != want || k.Top == k.Manifest && ends != 1 {
		return "", fmt.Errorf("%q can't be recorded: its manifest is not among its blobs", k.Reference)
	}
	return text, nil
}

// parseKept parses a record. It accepts only what format returns.
func parseKept(text string) (*Kept, error) {
	lines := strings.Split(text, "\n")
	k := new(Kept)
	var seconds string
	var top, manifest string
	for i, f := range []struct {
		key  string
		into []*string
	}{
		{"reference", []*string{&k.Reference}}, {"name", []*string{&k.Name.Dist, &k.Name.Release, &k.Name.Arch, &k.Name.Variant}},
		{"time", []*string{&seconds}}, {"type", []*string{&k.MediaType}}, {"top", []*string{&top}}, {"manifest", []*string{&manifest}},
	} {
		if i+1 >= len(lines) {
			break
		}
		fields := strings.Split(lines[i+1], "\t")
		for n, into := range f.into {
			if n+1 < len(fields) {
				*into = fields[n+1]
			}
		}
	}
	k.Top, k.Manifest = image.Digest(top), image.Digest(manifest)
	n, _ := strconv.ParseInt(seconds, 10, 64)
	k.Time = time.Unix(n, 0)
	k.Blobs = blobLines(text)
	// Whatever was damaged or left out is not in the text that this Kept has.
	if again, err := k.format(); err != nil {
		return nil, fmt.Errorf("damaged record: %w", err)
	} else if again != text {
		return nil, errors.New("damaged record")
	}
	return k, nil
}

// blobLines returns the blobs that a record lists, also one that parseKept can't read.
func blobLines(text string) (blobs []image.Digest) {
	for line := range strings.Lines(text) {
		if d, ok := strings.CutPrefix(line, "blob\t"); ok {
			blobs = append(blobs, image.Digest(strings.TrimSuffix(d, "\n")))
		}
	}
	return blobs
}

// records are the records and blobs of container images. If lock is not nil, it is held, and no
// other process changes the records or removes complete blobs.
type records struct {
	cache  *Cache
	images directory
	blobs  directory
	lock   *lock
}

// openRecords opens the records without the lock. The error is fs.ErrNotExist if there are none
// and create is false.
func (c *Cache) openRecords(create bool) (r *records, err error) {
	r = &records{cache: c}
	if r.images, err = c.private(imagesName, create); err != nil {
		return nil, err
	}
	if r.blobs, err = c.private(blobsName, create); err != nil {
		r.images.file.Close()
		return nil, err
	}
	return r, nil
}

// lockRecords opens the records and takes their lock, and waits at most maxRecordWait for it.
func (c *Cache) lockRecords(ctx context.Context) (*records, error) {
	r, err := c.openRecords(true)
	if err != nil {
		return nil, err
	}
	quiet := *c
	quiet.Waiting = nil // the lock is held for moments
	if r.lock, err = quiet.lock(ctx, r.images, lockOf(imagesName), maxRecordWait); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *records) close() error {
	var err error
	if r.lock != nil {
		err = r.lock.release()
	}
	r.images.file.Close()
	r.blobs.file.Close()
	return err
}

// load reads the record of that name.
func (r *records) load(name string) (*Kept, error) {
	text, err := r.images.read(name, maxRecord)
	if err != nil {
		return nil, err
	}
	k, err := parseKept(string(text))
	if err == nil && k.recordName() != name {
		err = errors.New("it is the record of another image")
	}
	return k, r.images.wrap("read", name, err)
}

// names returns the names of the records.
func (r *records) names() ([]string, error) {
	all, err := r.images.names()
	var names []string
	for _, name := range all {
		var st unix.Stat_t
		if isHex(name) && unix.Fstatat(int(r.images.file.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil &&
			st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size <= maxRecord {
			names = append(names, name)
		}
	}
	return names, err
}

// needed returns, by the name of each blob, how many records list it. If it can't read a
// record, the error is that one, and nothing may be removed.
func (r *records) needed() (map[string]int, error) {
	names, err := r.names()
	if err != nil {
		return nil, err
	}
	needed := map[string]int{}
	for _, name := range names {
		text, err := r.images.read(name, maxRecord)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		for _, d := range blobLines(string(text)) {
			if blob, err := blobName(d); err == nil {
				needed[blob]++
			}
		}
	}
	return needed, nil
}

// removeBlob removes a file of the blob d: the complete one, or if part is true the incomplete
// one. It fails with ErrLocked if another process holds the blob's lock, or if the file was
// used since the time before, if that is not zero. It returns the file's size.
func (r *records) removeBlob(d image.Digest, part bool, before time.Time) (int64, error) {
	blob, err := blobName(d)
	if err != nil {
		return 0, err
	}
	name := blob
	if part {
		name = partOf(blob)
	}
	l, err := r.cache.quietLock(r.blobs, lockOf(blob), 0)
	if err != nil {
		return 0, err
	}
	defer l.release()
	st, err := r.blobs.ownFile(name)
	if err != nil {
		return 0, err
	}
	if !before.IsZero() && time.Unix(st.Mtim.Unix()).After(before) {
		return 0, ErrLocked
	}
	return st.Size, r.blobs.remove(name)
}

// removeUnneeded removes those of the blobs that no record lists and that removeBlob can remove.
// A blob that is in use stays without an error.
func (r *records) removeUnneeded(blobs []image.Digest, before time.Time) error {
	needed, err := r.needed()
	if err != nil {
		return err
	}
	for _, d := range blobs {
		if name, _ := blobName(d); needed[name] > 0 {
			continue
		}
		if _, e := r.removeBlob(d, false, before); e != nil && !errors.Is(e, ErrLocked) && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// Keep records an image whose blobs are complete, in the place of an older one of the same
// Reference and Name.Arch. Blobs that only the older one needed are removed. A blob may be
// listed more than once in k. The error is an *UnwritableError.
func (c *Cache) Keep(ctx context.Context, k *Kept) error { return c.unwritable(c.keep(ctx, k)) }

func (c *Cache) keep(ctx context.Context, k *Kept) error {
	each := *k
	each.Blobs, each.Time = nil, time.Unix(time.Now().Unix(), 0)
	listed := map[string]int{}
	for _, d := range k.Blobs {
		if listed[string(d)]++; listed[string(d)] == 1 {
			each.Blobs = append(each.Blobs, d)
		}
	}
	text, err := each.format()
	if err != nil {
		return err
	}
	r, err := c.lockRecords(ctx)
	if err != nil {
		return err
	}
	defer r.close()
	for _, d := range each.Blobs {
		name, _ := blobName(d)
		f, err := r.blobs.openFile(name, unix.O_RDONLY, 0)
		if err != nil {
			return err
		}
		f.Close()
	}
	name := each.recordName()
	if r.images.exists(name) {
		if _, err := r.images.ownFile(name); err != nil {
			return err
		}
	}
	old, _ := r.load(name)
	if err := c.replace(r.images, name, text); err != nil {
		return err
	}
	if err := r.images.sync(); err != nil {
		return err
	}
	k.Time = each.Time
	if old != nil {
		// The new image is kept whether or not this succeeds.
		r.removeUnneeded(old.Blobs, time.Now().Add(-youngBlob))
	}
	return nil
}

// FindKept returns the image that Keep has recorded. The error is fs.ErrNotExist if there is none.
// Its blobs may have been removed since.
func (c *Cache) FindKept(reference, arch string) (*Kept, error) {
	r, err := c.openRecords(false)
	if err != nil {
		return nil, err
	}
	defer r.close()
	return r.load(recordName(reference, arch))
}

// UseKept records that the image is used now: for Shrink, and so that no other process removes
// its blobs before this run opens them. Errors are ignored; then the last recorded time stays.
func (c *Cache) UseKept(k *Kept) {
	r, err := c.openRecords(false)
	if err != nil {
		return
	}
	defer r.close()
	r.images.touch(k.recordName())
	for _, d := range k.Blobs {
		name, err := blobName(d)
		if t, ok := r.blobs.modified(name); err != nil || !ok || time.Since(t) < blobRisk {
			continue
		}
		// Under the lock, because removeBlob compares the time under it. If another process
		// has the lock, it sets the time too.
		if l, err := c.quietLock(r.blobs, lockOf(name), 0); err == nil {
			r.blobs.touch(name)
			l.release()
		}
	}
}

// RemoveKept removes an image and the blobs that no other image needs. An image that is not
// there is no error.
func (c *Cache) RemoveKept(ctx context.Context, reference, arch string) error {
	k, err := c.FindKept(reference, arch)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return c.dropKept(ctx, k, time.Time{})
}

// dropKept removes the record of an image, if it is still as in k, and those of its blobs that
// no other image needs and that removeBlob can remove.
func (c *Cache) dropKept(ctx context.Context, k *Kept, before time.Time) error {
	r, err := c.lockRecords(ctx)
	if err != nil {
		return err
	}
	defer r.close()
	name := k.recordName()
	now, err := r.load(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	was, _ := k.format()
	if is, _ := now.format(); is != was {
		return errors.New("it has changed in the meantime")
	}
	if _, err := r.images.ownFile(name); err != nil {
		return err
	}
	if err := r.images.remove(name); err != nil {
		return err
	}
	// A record without its blobs would be a damaged image; blobs without a record are removed
	// by gc.
	if err := r.images.sync(); err != nil {
		return err
	}
	return r.removeUnneeded(k.Blobs, before)
}
