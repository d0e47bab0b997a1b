package cache

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/image"
)

// The file BASE/.lxc-pull/seen records the newest build of each image that each
// signer has signed, so that a server can't present an old build as the newest. Each
// line has signer, dist, release, arch, variant, build and the signature's time in
// seconds since 1970, between tabs. Removing images from the cache does not remove the file.

const (
	seenName = "seen"
	// maxSeen is the largest file, in bytes: images.linuxcontainers.org has 500 images,
	// and a line has about 100 bytes.
	maxSeen = 4 << 20
	// maxSeenWait is how long UpdateSeen waits for the lock. A complete container
	// waits for it, and other processes hold the lock only while they write a small
	// file.
	maxSeenWait = 10 * time.Second
)

// A Seen is the newest build of an image that a signer has signed, as far as this cache
// has seen.
type Seen struct {
	_      [0]func() // forbids ==, whose code nothing needs
	Signer string    // the fingerprint of the key
	image.Name
	Build  string
	Signed time.Time // the signature's time, in whole seconds
}

// LoadSeen returns the recorded builds, none if there is no file. A damaged file is an
// error, because ignoring it would let an attacker present old builds.
func (c *Cache) LoadSeen() ([]Seen, error) {
	d, err := c.walk(false, evidenceName)
	if err == nil {
		var list []Seen
		list, err = loadSeen(d)
		d.file.Close()
		if err == nil {
			return list, nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	return nil, err
}

// loadSeen reads the file seen in d.
func loadSeen(d *directory) ([]Seen, error) {
	data, err := d.read(seenName, maxSeen)
	if err != nil {
		return nil, err
	}
	return parseSeen(string(data))
}

// parseSeen parses the content of the file seen.
func parseSeen(text string) ([]Seen, error) {
	var list []Seen
	for n, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if line == "" && n == 0 {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != 7 {
			f = make([]string, 7) // of which nothing is good
		}
		seconds, err := strconv.ParseInt(f[6], 10, 64)
		s := Seen{Signer: f[0], Name: image.Name{Dist: f[1], Release: f[2], Arch: f[3], Variant: f[4]}, Build: f[5], Signed: time.Unix(seconds, 0)}
		if err != nil || s.check() != nil {
			return nil, errors.New("line " + strconv.Itoa(n+1) + " of the file of seen builds is damaged")
		}
		list = append(list, s)
	}
	return list, nil
}

// check returns an error if a field can't be stored.
func (s *Seen) check() error {
	return errors.Join(checkName(s.Signer), checkImage(s.Name), checkName(s.Build))
}

// UpdateSeen locks the file, calls edit with the recorded builds, and stores the list
// that edit returns. If edit returns an error, UpdateSeen stores nothing and returns it.
// The error is an *UnwritableError if the file can't be locked or written.
func (c *Cache) UpdateSeen(ctx context.Context, edit func([]Seen) ([]Seen, error)) error {
	d, err := c.walk(true, evidenceName)
	if err != nil {
		return c.unwritable(err)
	}
	slot, err := c.lockIn(ctx, d, seenName+lockSuffix, maxSeenWait)
	if err != nil {
		return c.unwritable(err)
	}
	list, err := loadSeen(d)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		list, err = edit(list)
	}
	var text []byte
	for i := 0; i < len(list) && err == nil; i++ {
		s := &list[i]
		text = append(text, strings.Join([]string{s.Signer, s.Dist, s.Release, s.Arch, s.Variant, s.Build, strconv.FormatInt(s.Signed.Unix(), 10)}, "\t")+"\n"...)
		err = s.check()
	}
	if err == nil {
		err = c.unwritable(c.replace(d, seenName, string(text)))
	}
	slot.Unlock()
	return err
}

// replace writes text to a temporary file and renames it to name, so that readers, also
// after a power failure, find the old content or the new one.
func (c *Cache) replace(d *directory, name, text string) error {
	temporary := name + newSuffix
	f, err := d.create(temporary)
	if err != nil {
		return err
	}
	c.giveAway(f)
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = d.rename(temporary, name)
	}
	if err != nil {
		d.remove(temporary) // create has made it
	}
	return err
}
