package pull

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"syscall"

	"lxc-pull/pull/source"
	"lxc-pull/untar"
)

// What is known to end badly is refused before the big download: a file system that
// can't hold a root file system, owners that can't be given, too little room. Nothing is
// refused for what is not known.

// spare is what unpacking leaves free on a file system, in bytes: a host whose disk an
// image has filled to the last block can't even log that. On the flash of a router that
// is a sixteenth of it.
func spare(room untar.Room) int64 {
	const most = 16 << 20
	if room.Total < 0 {
		return most
	}
	return min(most, room.Total/16)
}

// usualIDs is how many owners an image may have without being odd: Debian's highest is
// nobody, 65534.
const usualIDs = 65535

// probe tries what the file system of the new root can hold, and asks nothing of the
// network.
func (r *run) probe() error {
	path, root := r.target.Container.Rootfs, r.place.root
	var owner *[2]uint32
	if os.Geteuid() == 0 {
		owner = &[2]uint32{}
		for i, ranges := range r.givableIDs() {
			if n := mappedCount(ranges); n > 0 && n < usualIDs {
				r.warnf("only the owners 0 to %d are mapped here; an image with others, up to %d, can't be unpacked", n-1, usualIDs-1)
			}
			owner[i] = someID(ranges)
		}
	}
	if r.place.merges {
		return nil // what a kill leaves of a trial would stay; the directory holds a tree already
	}
	lack, err := root.Probe(owner)
	if err != nil {
		return err
	}
	if lack.Attributes {
		if r.opt.NeedXattrs {
			return &untar.UnfitError{Path: path, FileSystem: root.FileSystem(), Need: "extended attributes (--xattrs)"}
		}
		r.warnf("%q is on %s, which has no extended attributes: file capabilities and ACLs of the image will be lost", path, root.FileSystem())
	}
	if lack.HardLinks {
		r.warnf("%q is on %s, which has no hard links: there will be copies, which take more room", path, root.FileSystem())
	}
	return nil
}

// givableIDs returns the ranges of users and of groups that files can be given here:
// those of lxc.idmap, else those of the user namespace. nil: all, or not known.
func (r *run) givableIDs() (kinds [2][]untar.IDRange) {
	if r.target.IDMap == nil {
		return r.target.IDs
	}
	for _, each := range r.target.IDMap {
		if each.UID {
			kinds[0] = append(kinds[0], each)
		}
		if each.GID {
			kinds[1] = append(kinds[1], each)
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

// What an image takes on a disk, worked out from the size of its tar archive: an
// eighth of that may be headers and padding of the archive, and on the average a
// file, with its share of directories and links, has less than 64 KiB (20 KiB in
// Debian's minimal tree). A packed image unpacks to at least twice its size,
// most to four times.
const (
	leastShare   = 7
	leastDivisor = 8
	mostPerFile  = 64 << 10
	leastFactor  = 2
)

// checkRoom refuses an image that surely does not fit, before its first byte.
func (r *run) checkRoom(ctx context.Context, found *source.Found) error {
	sure := found.Measure(ctx, false)
	if err := ctx.Err(); err != nil {
		return err
	}
	layer := &found.Layers[0]
	if layer.Packed >= 0 && !sure && r.enoughRoom(layer, 0) != nil {
		// A false size must not keep out an image that fits.
		said := layer.Packed
		if sure = found.Measure(ctx, true); !sure {
			r.warnf("the image is said to have %s, for which there is no room, by a server that nothing vouches for: going on", source.ByteCount(said))
		}
	}
	if layer.Packed < 0 {
		return nil
	}
	r.image.sized = true
	if found.WillKeep() && r.sharesDisk(found.CacheDir()) {
		if r.enoughRoom(layer, layer.Packed) != nil && r.enoughRoom(layer, 0) == nil {
			r.warnf("there is no room for a copy in the cache: going on without it")
			found.LeaveCache()
		}
	}
	beside := int64(0)
	if !found.Cached && !found.WillKeep() && r.verifiesFirst(found) {
		beside = layer.Packed // a file of its own
	}
	return r.enoughRoom(layer, beside)
}

// checkLateRoom is checkRoom for an image whose size the server has told only with its
// first byte.
func (r *run) checkLateRoom(found *source.Found, stream *source.Stream) error {
	if r.image.sized || stream.Size <= 0 {
		return nil
	}
	beside := int64(0)
	if r.verifiesFirst(found) && !stream.InCache() {
		beside = stream.Size
	}
	return r.enoughRoom(&source.Layer{Packed: stream.Size, Content: -1}, beside)
}

// enoughRoom compares the room that there is with a layer's sizes and what is written
// beside it, in bytes.
func (r *run) enoughRoom(layer *source.Layer, beside int64) error {
	room, err := r.place.root.Room()
	if err != nil {
		return err
	}
	need, have := shortage(room, layer.Packed, layer.Content, beside)
	if need == "" {
		return nil
	}
	text := fmt.Sprintf("%q: the image needs %s, and %s there has %s free", r.target.Container.Rootfs, need, r.place.root.FileSystem(), have)
	return &Error{Kind: NoRoom, Text: text, Err: syscall.ENOSPC}
}

// shortage says what is needed and what there is of it; "" if it may be enough. packed
// and content are the sizes of an image (content -1: not known), beside what is written
// beside it, all in bytes.
func shortage(room untar.Room, packed, content, beside int64) (need, have string) {
	least := min(packed, math.MaxInt64/leastFactor) * leastFactor
	switch {
	case room.Packs:
		least = packed // whatever it does, it packs no better than xz
	case content >= 0:
		least = content / leastDivisor * leastShare
	}
	if room.Bytes >= 0 && least > room.Bytes-spare(room)-beside {
		need = source.ByteCount(least)
		if beside > 0 {
			need += ", " + source.ByteCount(beside) + " for the download"
		}
		return need + " and " + source.ByteCount(spare(room)) + " to spare", source.ByteCount(room.Bytes)
	}
	if files := max(least/mostPerFile, 1); room.Inodes >= 0 && files > room.Inodes {
		return fmt.Sprintf("%d inodes or more", files), fmt.Sprint(room.Inodes)
	}
	return "", ""
}

// sharesDisk reports whether a directory is on the root's file system.
func (r *run) sharesDisk(directory string) bool {
	other, err := os.Stat(directory)
	if err != nil {
		return false
	}
	dir, err := r.place.root.File()
	if err != nil {
		return false
	}
	defer dir.Close()
	there, err := dir.Stat()
	if err != nil {
		return false
	}
	a, ok1 := other.Sys().(*syscall.Stat_t)
	b, ok2 := there.Sys().(*syscall.Stat_t)
	return ok1 && ok2 && a.Dev == b.Dev
}

// whatIsFull gives an error of a full disk the Kind NoRoom, and makes it say if there are
// no inodes left, which no listing of free space shows. Other errors stay as they are.
func (r *run) whatIsFull(err error) error {
	if KindOf(err) != 0 || !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	text := err.Error()
	if room, e := r.place.root.Room(); e == nil && room.Inodes == 0 && room.Bytes != 0 {
		text = fmt.Sprintf("%s: %s at %q has no inodes left", text, r.place.root.FileSystem(), r.target.Container.Rootfs)
	}
	return &Error{Kind: NoRoom, Text: text, Err: err}
}
