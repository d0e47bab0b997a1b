package cache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/image"
)

// A record is a file that says which blobs an image needs: a container image, or one of another
// source whose files all have digests. Its name is the digest of the image's reference and
// architecture, and its time is when the image was last used. It has these lines:
//
//	lxc-pull image 1
//	SECONDS since 1970, REFERENCE, DIST, RELEASE, ARCH, VARIANT, MEDIA TYPE    (a line each)
//	sha256:HEX of the index or manifest that the reference names
//	sha256:HEX of the manifest
//	sha256:HEX of another blob, and so on
//
// A record of an image that has a build or an expiry date begins with "lxc-pull image 2", and its
// second line is "SECONDS since 1970, of the expiry date (0: none), BUILD", separated by blanks.
// Images of other sources than registries have their metadata, or else the root file system, in
// the place of the manifest, and perhaps no media type.
//
// A later format may have other lines, but also one for the digest of each blob, so that this
// version removes no blob of it.

const (
	recordBegin  = "lxc-pull image 1"
	recordBegin2 = "lxc-pull image 2"
	recordPrefix = "image-"
	recordTop    = 8 // the line of Kept.Top; the lines from here on are digests
	// maxKeptBlobs is how many blobs an image may need: its layers, and as many again for
	// manifests, the config and signatures.
	maxKeptBlobs = 2 * image.MaxLayers
	// maxField is the longest line, in bytes: a host (253), a repository (255), a tag (128) and
	// a digest (71) have less.
	maxField = 1 << 10
	// maxRecord is the largest record, in bytes: maxKeptBlobs lines of 72 bytes, and the others.
	maxRecord = 128 << 10
	// maxRecordWait is how long a run waits for the lock of the records. A complete container
	// waits for it, and other processes hold the lock while they write or remove a few files;
	// but after a kill it can take emptyOwner until the lock counts as free.
	maxRecordWait = 2 * emptyOwner
)

// A Kept is an image that the cache keeps as blobs.
type Kept struct {
	_ [0]func() // forbids ==, whose code nothing needs
	// Reference is what the image is called: image.Reference.String without the digest that its
	// tag has now, a simplestreams server's "images:debian/trixie/default", or a URL.
	Reference string
	Name      image.Name
	Build     string         // "": not known
	Expires   time.Time      // in whole seconds; zero: never
	Manifest  image.Digest   // of the platform's manifest
	Top       image.Digest   // of the index that lists the manifest, else Manifest
	MediaType string         // of Top
	Blobs     []image.Digest // all that the image needs, Manifest and Top too
	Time      time.Time      // when Keep recorded it, in whole seconds; Keep sets it
}

// recordName returns the name of an image's record.
func recordName(reference, arch string) string {
	sum := sha256.Sum256([]byte(reference + "\n" + arch))
	return recordPrefix + hex.EncodeToString(sum[:])
}

func (k *Kept) recordName() string { return recordName(k.Reference, k.Name.Arch) }

// fields returns the texts of the record's lines from the third on, in their order.
func (k *Kept) fields() []*string {
	return []*string{&k.Reference, &k.Name.Dist, &k.Name.Release, &k.Name.Arch, &k.Name.Variant, &k.MediaType, (*string)(&k.Top), (*string)(&k.Manifest)}
}

// lines returns the lines of the record.
func (k *Kept) lines() []string {
	lines := []string{recordBegin, strconv.FormatInt(k.Time.Unix(), 10)}
	if k.Build != "" || !k.Expires.IsZero() {
		expires := int64(0)
		if !k.Expires.IsZero() {
			expires = k.Expires.Unix()
		}
		lines[0] = recordBegin2
		lines[1] += " " + strconv.FormatInt(expires, 10) + " " + k.Build
	}
	for _, field := range k.fields() {
		lines = append(lines, *field)
	}
	for _, d := range k.Blobs {
		if !slices.Contains(lines, string(d)) {
			lines = append(lines, string(d))
		}
	}
	return lines
}

// Text returns the record of the image, from which ParseKept reads it.
func (k *Kept) Text() string { return strings.Join(k.lines(), "\n") + "\n" }

// ParseKept returns the image of a record.
func ParseKept(text string) (*Kept, error) {
	if len(text) > maxRecord {
		return nil, errors.New("the record of the image is larger than " + strconv.Itoa(maxRecord) + " bytes")
	}
	return parseKept(strings.Split(strings.TrimSuffix(text, "\n"), "\n"))
}

// parseKept returns the image of a record, whose lines these are.
func parseKept(lines []string) (*Kept, error) {
	ok := recordTop+2 <= len(lines) && len(lines) <= recordTop+maxKeptBlobs && (lines[0] == recordBegin || lines[0] == recordBegin2)
	for i, line := range lines {
		ok = ok && isPrintable(line, maxField)
		if i >= recordTop {
			_, err := blobName(image.Digest(line))
			ok = ok && err == nil
		}
	}
	if !ok {
		return nil, errors.New("it is no record of an image")
	}
	k := new(Kept)
	text := lines[1]
	if lines[0] == recordBegin2 {
		var expires string
		text, expires, _ = strings.Cut(text, " ")
		expires, k.Build, _ = strings.Cut(expires, " ")
		if n, err := strconv.ParseInt(expires, 10, 64); err != nil {
			return k, err
		} else if n != 0 {
			k.Expires = time.Unix(n, 0)
		}
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	k.Time = time.Unix(seconds, 0)
	if err == nil && k.lines()[1] != lines[1] { // dropKept compares all lines
		err = errors.New("its second line is not as this program writes it")
	}
	for i, field := range k.fields() {
		*field = lines[i+2]
	}
	for i, line := range lines[recordTop:] {
		if i != 1 || k.Manifest != k.Top {
			k.Blobs = append(k.Blobs, image.Digest(line))
		}
	}
	return k, err
}

// loadKept reads the record of that name. It returns the lines of a damaged one too.
func (d *directory) loadKept(name string) (*Kept, []string, error) {
	text, err := d.read(name, maxRecord)
	if err != nil {
		return nil, nil, err
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	k, err := parseKept(lines)
	if err == nil && k.recordName() != name {
		err = errors.New("it is the record of another image")
	}
	return k, lines, d.wrap("read", name, err)
}

// lockImages opens the directory of blobs and records, and locks the records.
func (c *Cache) lockImages(ctx context.Context) (*Slot, error) {
	d, err := c.images(true)
	if err != nil {
		return nil, err
	}
	return c.lockIn(ctx, d, "."+imagesName+lockSuffix, maxRecordWait)
}

// Keep records an image whose blobs are complete, in the place of an older one of the same
// Reference and Name.Arch. Blobs that only the older one needed are removed. A blob may be
// listed more than once in k. The error is an *UnwritableError.
func (c *Cache) Keep(ctx context.Context, k *Kept) error { return c.unwritable(c.keep(ctx, k)) }

func (c *Cache) keep(ctx context.Context, k *Kept) error {
	k.Time = time.Unix(time.Now().Unix(), 0)
	lines := k.lines()
	if _, err := parseKept(lines); err != nil {
		return err
	}
	s, err := c.lockImages(ctx)
	if err != nil {
		return err
	}
	d := s.parent
	for _, line := range lines[recordTop:] {
		if name, _ := blobName(image.Digest(line)); !d.exists(name) {
			err = d.wrap("open", name, unix.ENOENT)
		}
	}
	name := k.recordName()
	old, _, unread := d.loadKept(name)
	if err == nil {
		err = c.replace(d, name, strings.Join(lines, "\n")+"\n")
	}
	if err == nil {
		if unread == nil {
			// The new image is kept whether or not this succeeds.
			c.removeUnneeded(d, old.Blobs, time.Now().Add(-youngBlob))
		}
		err = d.sync()
	}
	s.Unlock()
	return err
}

// FindKept returns the image that Keep has recorded. The error is fs.ErrNotExist if there is none.
// Its blobs may have been removed since.
func (c *Cache) FindKept(reference, arch string) (*Kept, error) {
	if k := c.HeldKept; k != nil && k.Reference == reference && k.Name.Arch == arch {
		return k, nil
	}
	d, err := c.images(false)
	if err != nil {
		return nil, err
	}
	k, _, err := d.loadKept(recordName(reference, arch))
	d.file.Close()
	return k, err
}

// UseKept records that the image is used now: for Shrink, and so that no other process removes
// its blobs before this run opens them. Errors are ignored; then the last recorded time stays.
func (c *Cache) UseKept(k *Kept) {
	d, err := c.images(false)
	if err != nil {
		return
	}
	d.touch(k.recordName(), 0)
	for _, blob := range k.Blobs {
		if name, err := blobName(blob); err == nil {
			d.touch(name, restBlob)
		}
	}
	d.file.Close()
}

// listKept describes the images that are kept as blobs, the last used first, and then the blobs that no image
// needs and the incomplete ones. A blob that several images need counts for the image among
// them that was used last.
func (d *directory) listKept() ([]Info, error) {
	keys, err := d.names()
	if err != nil {
		return nil, err
	}
	for n, name := range keys {
		t, _ := d.modified(name)
		keys[n] = t.UTC().Format("2006-01-02 15:04:05.000000000") + "/" + name
		if isDigestName(name, recordPrefix) {
			keys[n] = "x" + keys[n] // records come first below
		}
	}
	slices.Sort(keys)
	var list []Info
	counted := map[string]bool{} // the blobs
	for n := len(keys) - 1; n >= 0; n-- {
		_, name, _ := strings.Cut(keys[n], "/")
		i := Info{Proven: true}
		i.Used, _ = d.modified(name)
		i.Modified = i.Used
		if !isDigestName(name, recordPrefix) {
			blob := strings.TrimSuffix(strings.TrimPrefix(name, "."), partSuffix)
			i.Partial = name == "."+blob+partSuffix
			if !isDigestName(blob, blobPrefix) || name != blob && !i.Partial || counted[name] {
				continue
			}
			i.Blob = image.Digest("sha256:" + blob[len(blobPrefix):])
			if i.Size, err = d.ownFile(name); err == nil {
				list = append(list, i)
			}
			continue
		}
		k, lines, err := d.loadKept(name)
		if lines == nil && errors.Is(err, fs.ErrNotExist) {
			continue
		} else if lines == nil {
			return nil, err // its blobs are not known
		}
		for at, line := range lines {
			blob, e := blobName(image.Digest(line))
			if e != nil || at > 0 && lines[at-1] == line {
				continue
			}
			size, e := d.ownFile(blob)
			if e != nil && i.Damage == nil {
				i.Damage = e
			}
			if counted[blob] {
				i.Shared += size
			} else {
				i.Size += size
			}
			counted[blob] = true
		}
		if err == nil {
			i.Kept, i.Build, i.Modified = k, string(k.Top), k.Time
			list = append(list, i)
		}
	}
	return list, nil
}

// removeBlob removes a file of a blob: the complete or incomplete one, or a lock. It fails with
// ErrLocked if another process holds the blob's lock, or if the file was used since the time
// before, if that is not zero.
func (c *Cache) removeBlob(d *directory, blob, name string, before time.Time) error {
	l, err := c.lock(context.Background(), d, "."+blob+lockSuffix, 0)
	if err != nil {
		return err
	}
	if name != l.name {
		if _, err = d.ownFile(name); err == nil {
			if used, _ := d.modified(name); !before.IsZero() && used.After(before) {
				err = ErrLocked
			} else {
				err = d.remove(name)
			}
		}
	}
	l.release()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// removeUnneeded removes those of the blobs that no record lists and that removeBlob can remove.
// The lock of the records is held. A blob that is in use stays without an error.
func (c *Cache) removeUnneeded(d *directory, blobs []image.Digest, before time.Time) error {
	list, err := d.listKept()
	for n := range list {
		for _, b := range blobs {
			if i := &list[n]; !i.Partial && i.Blob == b {
				name, _ := blobName(b)
				if e := c.removeBlob(d, name, name, before); e != nil && !errors.Is(e, ErrLocked) {
					err = e
				}
			}
		}
	}
	return err
}

// dropKept removes the blob that i describes, if it was not used since; or the image,
// and those of its blobs that no other image needs and that were not used since the time before.
func (c *Cache) dropKept(i *Info, before time.Time) error {
	s, err := c.lockImages(context.Background())
	if err != nil {
		return err
	}
	d, blobs := s.parent, []image.Digest{i.Blob}
	if k := i.Kept; k != nil {
		blobs = k.Blobs
		name := k.recordName()
		var lines []string
		_, lines, err = d.loadKept(name)
		if err == nil && !slices.Equal(lines, k.lines()) {
			err = errors.New("it has changed in the meantime")
		}
		if err == nil {
			_, err = d.ownFile(name)
		}
		if err == nil {
			err = d.remove(name)
		}
		if err == nil {
			// A record without its blobs would be a damaged image.
			err = d.sync()
		}
	} else {
		before = i.Used
	}
	if i.Partial {
		name, _ := blobName(i.Blob)
		err = c.removeBlob(d, name, "."+name+partSuffix, before)
	} else if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = c.removeUnneeded(d, blobs, before)
		if name, _ := blobName(i.Blob); err == nil && i.Kept == nil && d.exists(name) {
			err = ErrLocked // it is used, or an image needs it by now
		}
	}
	s.Unlock()
	return err
}

// SweepBlobs removes locks and unfinished records of images that killed runs left more
// than Leftover before now. What it can't remove stays for the next time. Blobs are listed by List.
func (c *Cache) SweepBlobs(now time.Time) {
	d, err := c.images(false)
	if err != nil {
		return
	}
	names, _ := d.names()
	for _, name := range names {
		of, _ := hiddenVariant(name)
		if record, ok := strings.CutSuffix(name, newSuffix); ok && isDigestName(record, recordPrefix) {
			of = imagesName
		} else if !strings.Contains(name, lockSuffix) || !isDigestName(of, blobPrefix) && of != imagesName || !d.isLeftover(name) {
			continue
		}
		c.removeBlob(d, of, name, now.Add(-Leftover))
	}
	d.file.Close()
}
