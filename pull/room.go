package pull

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"syscall"

	"lxc-pull/pull/source"
	"lxc-pull/untar"
)

// Before the root file system is downloaded, probe and checkRoom refuse a target that surely
// can't hold it: for lack of extended attributes, of room or of inodes. An unknown property is
// no reason to refuse a target.

// spare is how many bytes unpacking leaves free on a file system, so that the host can still
// write its log: 16 MiB, or a sixteenth of the size of a small file system, as on a router.
func spare(room untar.Room) int64 {
	const most = 16 << 20
	if room.Total < 0 {
		return most
	}
	return min(most, room.Total/16)
}

// usualIDs is how many user IDs an ordinary image needs: Debian's highest is nobody, 65534.
const usualIDs = 65535

// probe tries which features the root's file system has, and warns or refuses if it lacks
// one. It does not use the network.
func (r *run) probe() error {
	path, root := r.target.Container.Rootfs, r.staging.root
	var owner *[2]uint32
	if os.Geteuid() == 0 {
		owner = &[2]uint32{}
		for i, ranges := range r.givableIDs() {
			if n := mappedCount(ranges); n > 0 && n < usualIDs {
				r.warn("owners", "only the owners 0 to %d are mapped here; an image with others, up to %d, can't be unpacked", n-1, usualIDs-1)
			}
			owner[i] = trialID(ranges)
		}
	}
	if r.staging.merging {
		return nil // a run that is killed during the trial would leave the trial's files there
	}
	missing, err := root.Probe(owner)
	if err != nil {
		return err
	}
	if missing.Attributes {
		if r.opt.NeedXattrs {
			return &untar.UnfitError{Path: path, FileSystem: root.FileSystem(), Need: "extended attributes (--xattrs)"}
		}
		r.warn("file-system", "%q is on %s, which has no extended attributes: file capabilities and ACLs of the image will be lost", path, root.FileSystem())
	}
	if missing.HardLinks {
		r.warn("file-system", "%q is on %s, which has no hard links: they become copies, which take more room", path, root.FileSystem())
	}
	return nil
}

// givableIDs returns the ranges of users and of groups that files can get here: those of
// lxc.idmap, else those of this process's user namespace. nil: all, or not known.
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

// mappedCount returns how many IDs from 0 on ranges cover without a gap; 0 if ranges are not
// known.
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

// trialID returns an ID outside the map, with which probe tries chown(2). It is not the ID of
// the container's root if the map has another ID.
func trialID(ranges []untar.IDRange) uint32 {
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

// An estimate of the least disk space and inodes that an image takes, from the size of its
// tar archive. Up to an eighth of an archive is headers and padding. A file, together with
// its share of directories and links, has less than 64 KiB on average (20 KiB in Debian's
// minimal image). A compressed archive decompresses to at least twice its size; most images
// decompress to four times.
const (
	leastShare   = 7
	leastDivisor = 8
	mostPerFile  = 64 << 10
	leastFactor  = 2
)

// checkRoom refuses an image for which there surely is too little room, before the download.
func (r *run) checkRoom(ctx context.Context, found *source.Found) error {
	sure := found.Measure(ctx, false)
	if err := ctx.Err(); err != nil {
		return err
	}
	layer := leastOf(found, found.Sum())
	if layer.Packed >= 0 && !sure && r.enoughRoom(layer, 0) != nil {
		// A mirror's false size must not make this run refuse an image that fits.
		said := layer.Packed
		if sure = found.Measure(ctx, true); !sure {
			r.warn("no-room", "a mirror, or a server over plain http, says that the image has %s, more than is free; it may be wrong, so the download goes on", source.ByteCount(said))
		}
	}
	if layer.Packed < 0 {
		return nil
	}
	r.contents.sized = true
	if found.WillKeep() && r.sharesDisk(os.Stat(found.CacheDir())) {
		if r.enoughRoom(layer, layer.Packed) != nil && r.enoughRoom(layer, 0) == nil {
			r.warn("cache-problem", "there is no room for a copy in the cache: going on without it")
			found.LeaveCache()
		}
	}
	temp := int64(0)
	if !found.Cached && !found.WillKeep() && (r.verifiesFirst(found) || r.gathers(found)) {
		temp = layer.Packed // downloadFirst writes a temporary file
	}
	return r.enoughRoom(layer, temp)
}

// checkLateRoom is checkRoom for an image whose size the server tells only when the download
// begins.
func (r *run) checkLateRoom(found *source.Found, stream *source.Stream) error {
	if r.contents.sized || stream.Size <= 0 {
		return nil
	}
	temp := int64(0)
	if r.verifiesFirst(found) && !stream.InCache() {
		temp = stream.Size
	}
	return r.enoughRoom(leastOf(found, &source.Layer{Packed: stream.Size, Content: -1}), temp)
}

// leastOf returns the sizes by which a layer is judged. An image of another source than the index
// of an image server may hardly be compressed: its content is at least as large as the archive.
func leastOf(found *source.Found, layer *source.Layer) *source.Layer {
	if found.Pinned() && layer.Content < 0 && layer.Packed >= 0 {
		return &source.Layer{Packed: layer.Packed, Content: layer.Packed}
	}
	return layer
}

// enoughRoom returns an error of Kind NoRoom if there surely is too little room for a layer
// and for a temporary file of temp bytes.
func (r *run) enoughRoom(layer *source.Layer, temp int64) error {
	room, err := r.staging.root.Room()
	if err != nil {
		return err
	}
	need, have := shortage(room, layer.Packed, layer.Content, temp)
	if need == "" {
		return nil
	}
	text := fmt.Sprintf("%q: the image needs %s, and %s there has %s free", r.target.Container.Rootfs, need, r.staging.root.FileSystem(), have)
	return &Error{Kind: NoRoom, Text: text, Err: syscall.ENOSPC}
}

// shortage returns, in words, how much room an image needs and how much there is; "" if
// there may be enough. packed and content are the sizes of the image's archive, compressed
// and decompressed (content -1: not known), temp is the size of a temporary file, all in
// bytes.
func shortage(room untar.Room, packed, content, temp int64) (need, have string) {
	least := min(packed, math.MaxInt64/leastFactor) * leastFactor
	switch {
	case room.Packs:
		least = packed // the file system compresses, but no better than xz
	case content >= 0:
		least = content / leastDivisor * leastShare
	}
	if room.Bytes >= 0 && least > room.Bytes-spare(room)-temp {
		need = source.ByteCount(least)
		if temp > 0 {
			need += ", " + source.ByteCount(temp) + " for the download"
		}
		return need + " and " + source.ByteCount(spare(room)) + " to spare", source.ByteCount(room.Bytes)
	}
	if files := max(least/mostPerFile, 1); room.Inodes >= 0 && files > room.Inodes {
		return fmt.Sprintf("%d inodes or more", files), fmt.Sprint(room.Inodes)
	}
	return "", ""
}

// sharesDisk reports whether a directory is on the same file system as the root. Its arguments are
// the results of a stat of the directory.
func (r *run) sharesDisk(other fs.FileInfo, err error) bool {
	if err != nil {
		return false
	}
	dir, err := r.staging.root.File()
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

// explainFull gives ENOSPC the Kind NoRoom. If no inodes are left the error says so: df(1)
// without -i does not show it. Other errors stay as they are.
func (r *run) explainFull(err error) error {
	if KindOf(err) != 0 || !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	text := err.Error()
	if room, e := r.staging.root.Room(); e == nil && room.Inodes == 0 && room.Bytes != 0 {
		text = fmt.Sprintf("%s: %s at %q has no inodes left", text, r.staging.root.FileSystem(), r.target.Container.Rootfs)
	}
	return &Error{Kind: NoRoom, Text: text, Err: err}
}
