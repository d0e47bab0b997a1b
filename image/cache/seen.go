package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lxc-pull/image"
)

// BASE/.lxc-pull/seen remembers the newest build of each image that each signer
// has signed, so that a server can't give an old one for new. A line per image:
// signer, dist, release, arch, variant, build and the signature's time in Unix
// seconds, between tabs. To remove images from the cache does not touch it.

const (
	seenName = "seen"
	// maxSeen bounds the file: images.linuxcontainers.org has 500 images, a line
	// has about 100 bytes.
	maxSeen = 4 << 20
	// maxSeenWait bounds the wait for the file's lock: a container is complete by
	// then, and others hold it for as long as a small file takes to be written.
	maxSeenWait = 10 * time.Second
)

// A Seen is the newest build of an image that was seen from a signer.
type Seen struct {
	Signer string // a key's fingerprint
	image.Name
	Build  string
	Signed time.Time // to the second
}

// LoadSeen returns what has been seen; nothing when there is no such file. A
// damaged file is an error: to forget it silently would be an attacker's wish.
func (c *Cache) LoadSeen() ([]Seen, error) {
	d, err := c.walk(false, evidenceName)
	if err == nil {
		defer d.Close()
		var list []Seen
		if list, err = loadSeen(d); err == nil {
			return list, nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	return nil, err
}

func loadSeen(d directory) ([]Seen, error) {
	data, err := d.read(seenName, maxSeen)
	if err != nil {
		return nil, err
	}
	return parseSeen(string(data))
}

func parseSeen(text string) ([]Seen, error) {
	var list []Seen
	for n, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if line == "" && n == 0 {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != 7 {
			return nil, fmt.Errorf("line %d of the file of seen builds is damaged", n+1)
		}
		seconds, err := strconv.ParseInt(f[6], 10, 64)
		s := Seen{f[0], image.Name{Dist: f[1], Release: f[2], Arch: f[3], Variant: f[4]}, f[5], time.Unix(seconds, 0)}
		if err != nil || s.check() != nil {
			return nil, fmt.Errorf("line %d of the file of seen builds is damaged", n+1)
		}
		list = append(list, s)
	}
	return list, nil
}

func (s *Seen) check() error {
	return errors.Join(checkName(s.Signer), checkImage(s.Name), checkName(s.Build))
}

// UpdateSeen lets edit change the list of what has been seen and stores it, with
// the file locked all the time. An error of edit's is returned, and nothing is
// stored.
func (c *Cache) UpdateSeen(ctx context.Context, edit func([]Seen) ([]Seen, error)) error {
	d, err := c.walk(true, evidenceName)
	if err != nil {
		return c.unwritable(err)
	}
	defer d.Close()
	l, err := c.lock(ctx, d, seenName+lockSuffix, maxSeenWait)
	if err != nil {
		return c.unwritable(err)
	}
	defer l.release()
	list, err := loadSeen(d)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if list, err = edit(list); err != nil {
		return err
	}
	var b strings.Builder
	for _, s := range list {
		if err := s.check(); err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s\t%s\t%s\t%s\t%s\t%s\t%d\n", s.Signer, s.Dist, s.Release, s.Arch, s.Variant, s.Build, s.Signed.Unix())
	}
	return c.unwritable(c.replace(d, seenName, b.String()))
}

// replace writes a file aside and renames it, so that a reader or a power
// failure finds the old one or the new one.
func (c *Cache) replace(d directory, name, text string) error {
	aside := name + newSuffix
	f, err := d.create(aside)
	if err != nil {
		return err
	}
	c.own(f)
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = d.rename(aside, name)
	}
	return err
}
