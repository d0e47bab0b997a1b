package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"lxc-pull/fetch"
	"lxc-pull/lxc"
	"lxc-pull/untar"
	"lxc-pull/untar/xz"
)

// What is known to end badly is refused before the big download: a file system
// that can't hold a root file system, owners that can't be given, too little
// room. What the includes and the architecture of the image's config must be,
// checkMeta looks at. Nothing is refused for what isn't known.

// spare is what unpacking leaves free on a file system, in bytes: a host whose
// disk an image has filled to the last block can't even log that. On the flash of
// a router that is a sixteenth of it.
func spare(room untar.Room) int64 {
	const most = 16 << 20
	if room.Total < 0 {
		return most
	}
	return min(most, room.Total/16)
}

// usualIDs is how many owners an image may have without being odd: Debian's
// highest is nobody, 65534.
const usualIDs = 65535

// checkPlace tries what the file system of the new root can hold, and asks
// nothing of the network.
func (c *creation) checkPlace(root *untar.Root) error {
	var owner *[2]uint32
	if os.Geteuid() == 0 {
		owner = &[2]uint32{}
		for i, ranges := range c.mappedIDs() {
			if n := mappedCount(ranges); n > 0 && n < usualIDs {
				c.ui.warnf("only the owners 0 to %d are mapped here; an image with others, up to %d, can't be unpacked", n-1, usualIDs-1)
			}
			owner[i] = someID(ranges)
		}
	}
	if c.merges {
		return nil // what a kill leaves of a trial would stay; the folder holds a tree already
	}
	lack, err := root.Probe(owner)
	if err != nil {
		return err
	}
	if lack.Attributes {
		if c.opt.xattrs {
			return &untar.UnfitError{Path: c.container.Rootfs, FileSystem: root.FileSystem(), Need: "extended attributes (--xattrs)"}
		}
		c.ui.warnf("%q is on %s, which has no extended attributes: file capabilities and ACLs of the image will be lost", c.container.Rootfs, root.FileSystem())
	}
	if lack.HardLinks {
		c.ui.warnf("%q is on %s, which has no hard links: there will be copies, which take more room", c.container.Rootfs, root.FileSystem())
	}
	return nil
}

// mappedIDs are the ranges of owners of users and of groups that can be given
// here: those of lxc.idmap, else those of the user namespace. nil: all, or not
// known.
func (c *creation) mappedIDs() (kinds [2][]untar.IDRange) {
	if c.idmap != nil {
		for _, r := range c.idmap {
			if r.UID {
				kinds[0] = append(kinds[0], r)
			}
			if r.GID {
				kinds[1] = append(kinds[1], r)
			}
		}
		return kinds
	}
	for i, file := range []string{"/proc/self/uid_map", "/proc/self/gid_map"} {
		text, err := os.ReadFile(file)
		if err != nil || lxc.NamespaceOf(text, nil) == lxc.HostNamespace {
			continue
		}
		for line := range strings.Lines(string(text)) {
			// In the namespace its own ids count, whatever they are outside.
			// By hand: fmt's scanning is 30 KB of the program.
			fields := strings.Fields(line)
			if len(fields) != 3 {
				continue
			}
			inside, err := strconv.ParseUint(fields[0], 10, 32)
			count, err2 := strconv.ParseUint(fields[2], 10, 32)
			if err == nil && err2 == nil {
				kinds[i] = append(kinds[i], untar.IDRange{Inside: uint32(inside), Outside: uint32(inside), Count: uint32(count)})
			}
		}
	}
	return kinds
}

// mappedCount returns how many owners, from 0 on, ranges cover without a hole; 0
// where that is not known.
func mappedCount(ranges []untar.IDRange) (n uint32) {
	for range ranges {
		for _, r := range ranges {
			if r.Inside <= n && r.Count > n-r.Inside {
				n = r.Inside + r.Count
			}
		}
	}
	return n
}

// someID is an owner on the disk to try with: not the caller, where there is
// another one.
func someID(ranges []untar.IDRange) uint32 {
	id := uint32(0)
	for _, r := range ranges {
		if r.Inside == 0 && r.Count > 0 {
			id = r.Outside
		}
	}
	if mappedCount(ranges) != 1 {
		id++
	}
	return id
}

// A roomError says that a file system has too little of something. Its exit
// status is that of a full disk.
type roomError struct {
	path, fileSystem string
	need, have       string // "171 MiB", "2300 inodes"
}

func (e *roomError) Error() string {
	return fmt.Sprintf("%q: the image needs %s, and %s there has %s free", e.path, e.need, e.fileSystem, e.have)
}

func (e *roomError) Unwrap() error { return syscall.ENOSPC }

// What an image takes on a disk, worked out from the size of its tar archive: an
// eighth of that may be headers and padding of the archive, and on the average a
// file, with its share of folders and links, has less than 64 KiB (20 KiB in
// Debian's minimal tree). A packed image unpacks to at least twice its size,
// most to four times.
const (
	leastShare   = 7
	leastDivisor = 8
	mostPerFile  = 64 << 10
	leastFactor  = 2
)

// indexTail is how much of the end of an image is looked at, in bytes: xz's
// index has at most 18 for each block, of which xz makes one in 24 MiB.
const indexTail = 4 << 10

// measure finds out how large an image is, packed and unpacked; -1 where that
// can't be told before the download. Of a server it asks for the last few bytes
// of the file, once: there is xz's index. safe says that nobody but a --server
// and who has its certificate can have invented them; only says to ask none else.
func (c *creation) measure(ctx context.Context, s *source, only bool) (packed, content int64, safe bool) {
	var tail []byte
	if s.entry != nil {
		packed = s.entry.Size
		tail = make([]byte, min(indexTail, packed))
		if _, err := s.entry.Rootfs.ReadAt(tail, packed-int64(len(tail))); err != nil && err != io.EOF {
			return packed, -1, true
		}
		safe = true
	} else {
		urls := c.servers.files(s.image.Path + "/" + rootfsFile)
		if only {
			urls = slices.DeleteFunc(urls, func(u string) bool { return !c.servers.safe(u) })
		}
		if len(urls) == 0 {
			return -1, -1, false
		}
		var err error
		var from string
		if tail, packed, from, err = c.tail(ctx, urls); err != nil {
			c.ui.notef("the size of the image is not known yet: %s", printable(err.Error()))
			return -1, -1, false
		}
		safe = c.servers.safe(from)
	}
	content, ok := xz.ContentSize(tail, packed)
	if !ok {
		content = -1
	}
	return packed, content, safe
}

// tail asks the server that the file will come from. One that is down is asked
// for nothing more where there is another.
func (c *creation) tail(ctx context.Context, urls []string) (data []byte, size int64, from string, err error) {
	for i, u := range urls {
		from = u
		data, size, err = c.client.Tail(ctx, u, indexTail)
		var failed *fetch.Error
		if err == nil || !errors.As(err, &failed) || !offline(err) && !absent(failed) || i+1 == len(urls) {
			break
		}
		c.servers.failed(fetch.Event{Err: failed, Next: urls[i+1]})
	}
	return data, size, from, err
}

// checkRoom refuses an image that surely does not fit, before its first byte.
func (c *creation) checkRoom(ctx context.Context, root *untar.Root, s *source) error {
	if s.measured {
		return nil
	}
	s.measured = true
	packed, content, safe := c.measure(ctx, s, false)
	if err := ctx.Err(); err != nil {
		return err
	}
	if packed >= 0 && !safe && c.fits(root, packed, content, 0) != nil {
		// A false size must not keep out an image that fits.
		said := packed
		if packed, content, safe = c.measure(ctx, s, true); !safe {
			c.ui.warnf("the image is said to have %s, for which there is no room, by a server that nothing vouches for: going on", byteCount(said))
		}
	}
	if packed < 0 {
		return nil
	}
	s.packed = packed
	if s.slot != nil && s.entry == nil && c.cacheShares(root) {
		if c.fits(root, packed, content, packed) != nil && c.fits(root, packed, content, 0) == nil {
			c.ui.warnf("there is no room for a copy in the cache: going on without it")
			s.leaveCache()
		}
	}
	beside := int64(0)
	if s.slot == nil && s.entry == nil {
		if c.plan(s); c.verifyFirst(s) {
			beside = packed // a file of its own
		}
	}
	return c.fits(root, packed, content, beside)
}

// fits compares the room that there is with an image's sizes, packed and
// unpacked (-1: not known), and what is written beside it, all in bytes.
func (c *creation) fits(root *untar.Root, packed, content, beside int64) error {
	room, err := root.Room()
	if err != nil {
		return err
	}
	if need, have := shortage(room, packed, content, beside); need != "" {
		return &roomError{c.container.Rootfs, root.FileSystem(), need, have}
	}
	return nil
}

// shortage says what is needed and what there is; "" where it may do.
func shortage(room untar.Room, packed, content, beside int64) (need, have string) {
	least := min(packed, math.MaxInt64/leastFactor) * leastFactor
	switch {
	case room.Packs:
		least = packed // whatever it does, it packs no better than xz
	case content >= 0:
		least = content / leastDivisor * leastShare
	}
	if room.Bytes >= 0 && least > room.Bytes-spare(room)-beside {
		need = byteCount(least)
		if beside > 0 {
			need += ", " + byteCount(beside) + " for the download"
		}
		return need + " and " + byteCount(spare(room)) + " to spare", byteCount(room.Bytes)
	}
	if files := max(least/mostPerFile, 1); room.Inodes >= 0 && files > room.Inodes {
		return fmt.Sprintf("%d inodes or more", files), fmt.Sprint(room.Inodes)
	}
	return "", ""
}

// cacheShares reports whether the cache is on the root's file system.
func (c *creation) cacheShares(root *untar.Root) bool {
	cache, err := os.Stat(c.cache.Base)
	if err != nil {
		return false
	}
	dir, err := root.File()
	if err != nil {
		return false
	}
	defer dir.Close()
	there, err := dir.Stat()
	if err != nil {
		return false
	}
	a, ok1 := cache.Sys().(*syscall.Stat_t)
	b, ok2 := there.Sys().(*syscall.Stat_t)
	return ok1 && ok2 && a.Dev == b.Dev
}

// whatIsFull makes an error of a full disk say that it is inodes that there are
// none of, which no listing of free space shows.
func (c *creation) whatIsFull(root *untar.Root, err error) error {
	if !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	if room, e := root.Room(); e == nil && room.Inodes == 0 && room.Bytes != 0 {
		return fmt.Errorf("%w: %s at %q has no inodes left", err, root.FileSystem(), c.container.Rootfs)
	}
	return err
}
