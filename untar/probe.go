package untar

import (
	"fmt"
	"math"
	"strconv"

	"golang.org/x/sys/unix"
)

// A Room is the free space of a file system. A number is -1 if the file system does not know
// it, or reports zero as some FUSE, network and memory file systems do; then nothing may be
// refused because of it.
type Room struct {
	Bytes  int64 // free for the caller
	Inodes int64 // free
	Total  int64 // bytes of the whole file system
	// Packs means that the file system may compress, so that more than Bytes may fit.
	Packs bool
}

// Room returns the free space of the root's file system (statfs(2)).
func (r *Root) Room() (Room, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(r.fd, &st); err != nil {
		return Room{}, pathError("statfs", r.path, err)
	}
	return roomOf(&st), nil
}

// roomOf converts the result of statfs(2).
func roomOf(st *unix.Statfs_t) Room {
	room := Room{Bytes: -1, Inodes: -1, Total: -1}
	bytes := func(blocks uint64) int64 {
		if size := uint64(max(st.Bsize, 1)); blocks <= math.MaxInt64/size {
			return int64(blocks * size)
		}
		return math.MaxInt64
	}
	if st.Blocks > 0 {
		room.Bytes, room.Total = bytes(st.Bavail), bytes(st.Blocks)
	}
	if st.Files > 0 {
		room.Inodes = int64(min(st.Ffree, math.MaxInt64))
	}
	switch fsName(int64(st.Type)) {
	case "btrfs", "bcachefs", "f2fs", "jffs2", "ubifs", "zfs", "fuse":
		room.Packs = true
	}
	return room
}

// FileSystem returns the name of the root's file system, as in mount(8).
func (r *Root) FileSystem() string {
	if r.fsKind == "" {
		var st unix.Statfs_t
		r.fsKind = "this file system"
		if unix.Fstatfs(r.fd, &st) == nil {
			r.fsKind = fsName(int64(st.Type))
		}
	}
	return r.fsKind
}

// fsName returns the name for a magic number of statfs(2): of file systems that lack
// something a root file system needs, and of some others.
func fsName(magic int64) string {
	switch uint32(magic) {
	case 0x4d44:
		return "vfat"
	case 0x2011bab0:
		return "exfat"
	case 0x5346544e, 0x7366746e:
		return "ntfs"
	case 0xef53:
		return "ext4"
	case 0x01021994:
		return "tmpfs"
	case 0x6969:
		return "nfs"
	case 0x65735546:
		return "fuse"
	case 0x5dca2df5:
		return "sdcardfs"
	case 0x72b6:
		return "jffs2"
	case 0x24051905:
		return "ubifs"
	case 0xf2f52010:
		return "f2fs"
	case 0x9123683e:
		return "btrfs"
	case 0xca451a4e:
		return "bcachefs"
	case 0x58465342:
		return "xfs"
	case 0x2fc12fc1:
		return "zfs"
	case 0x794c7630:
		return "overlay"
	case 0x01021997:
		return "9p"
	case 0xff534d42, 0xfe534d42:
		return "cifs"
	case 0x858458f6:
		return "ramfs"
	}
	return "file system 0x" + strconv.FormatUint(uint64(uint32(magic)), 16)
}

// An UnfitError means that a directory's file system lacks something that a root file system
// needs.
type UnfitError struct {
	_          [0]func() // forbids ==, whose code nothing needs
	Path       string
	FileSystem string
	Need       string // "symbolic links"
}

func (e *UnfitError) Error() string {
	return fmt.Sprintf("%q can't hold a root file system: it needs %s, which %s lacks there", e.Path, e.Need, e.FileSystem)
}

// A Lack says which features a file system lacks that an extraction can do without.
type Lack struct {
	HardLinks  bool // no hard links; the extractor makes copies instead
	Attributes bool // no extended attributes; file capabilities and ACLs are lost
}

// Probe tests whether the root's file system can hold a root file system. In a directory that
// it makes and removes, it tries directories, names that differ in case, symbolic links,
// modes, and, if owner is not nil, files of that user and group. If one of these is missing
// the error is an *UnfitError; if the owner may not be set, an *OwnerError. Other errors
// (the disk is full or read-only) are those of the system call. Probe does not try devices:
// the extractor notes those that it can't make.
func (r *Root) Probe(owner *[2]uint32) (lack Lack, err error) {
	// The name is unique. If Probe is killed in an empty root, the next run removes the
	// directory (see Target), unless it merges.
	own := proofName(newID())
	name := cname(own + "\x00")
	if err := mkdirat(r.fd, name, 0700); err != nil {
		return lack, pathError("make a directory in", r.path, err)
	}
	defer func() {
		if e := r.RemoveNames(own); err == nil {
			err = e
		}
	}()
	dir, err := openat(r.fd, name, dirFlags, 0)
	if err != nil {
		return lack, pathError("open a directory in", r.path, err)
	}
	defer unix.Close(dir)
	p := probe{root: r, dir: dir}
	if p.file, err = openat(dir, probeA, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|openFlags, 0600); err != nil {
		return lack, p.fail("make a file in", err)
	}
	defer unix.Close(p.file)
	for _, try := range []func() error{p.links, p.modes, p.names} {
		if err := try(); err != nil {
			return p.lack, err
		}
	}
	if owner != nil {
		if err := p.owners(owner[0], owner[1]); err != nil {
			return p.lack, err
		}
	}
	p.attributes()
	return p.lack, nil
}

// A probe is one run of Root.Probe.
type probe struct {
	root *Root
	dir  int // the directory that Probe makes
	file int // "a" in it
	lack Lack
}

func (p *probe) fail(op string, err error) error {
	return pathError(op, p.root.path, err)
}

// unfit returns the error for something that the file system lacks.
func (p *probe) unfit(need string) error {
	return &UnfitError{Path: p.root.path, FileSystem: p.root.FileSystem(), Need: need}
}

// local reports whether an error comes from the state of the disk or the system, such as a
// full disk, and not from the type of the file system.
func local(err error) bool {
	switch err {
	case unix.ENOSPC, unix.EDQUOT, unix.EROFS, unix.EIO, unix.ENOMEM, unix.EMFILE, unix.ENFILE, unix.ENOENT:
		return true
	}
	return false
}

var probeA, probeCapitalA, probeB, probeLink, probeTarget = cname("a\x00"), cname("A\x00"), cname("b\x00"), cname("l\x00"), cname("target\x00")

// names tests for names that differ only in case.
func (p *probe) names() error {
	var st unix.Stat_t
	if lstatat(p.dir, probeCapitalA, &st) == nil {
		return p.unfit("names that differ in upper and lower case")
	}
	return nil
}

// links tests for symbolic links and hard links.
func (p *probe) links() error {
	err := symlinkat(probeTarget, p.dir, probeLink)
	if local(err) {
		return p.fail("make a link in", err)
	}
	var buf [len("target") + 1]byte
	if n, e := readlinkat(p.dir, probeLink, buf[:]); err != nil || e != nil || string(buf[:n]) != "target" {
		return p.unfit("symbolic links")
	}
	err = linkat(p.dir, probeA, p.dir, probeB)
	if local(err) {
		return p.fail("make a link in", err)
	}
	p.lack.HardLinks = err != nil
	return nil
}

// modes tests for modes. It sets two, because one may be the fixed mode of all files.
func (p *probe) modes() error {
	for _, mode := range []uint32{0751, 0604} {
		err := unix.Fchmod(p.file, mode)
		var st unix.Stat_t
		if err == unix.ENOENT && lstatat(p.dir, probeA, &st) == nil {
			return p.unfit("changes of open files") // sshfs
		}
		if local(err) {
			return p.fail("change a file in", err)
		}
		if e := unix.Fstat(p.file, &st); err != nil || e != nil || st.Mode&07777 != mode {
			return p.unfit("permissions")
		}
	}
	return nil
}

// owners tests for owners. It checks the result, because some file systems only pretend to
// change an owner.
func (p *probe) owners(uid, gid uint32) error {
	for _, name := range []cname{probeLink, probeA} {
		err := lchownat(p.dir, name, uid, gid)
		var st unix.Stat_t
		if err == unix.ENOENT && lstatat(p.dir, name, &st) == nil {
			return p.unfit("owners of symbolic links") // sshfs follows them
		}
		if local(err) {
			return p.fail("change a file in", err)
		}
		if err != nil {
			return fmt.Errorf("%q on %s: %w", p.root.path, p.root.FileSystem(), &OwnerError{uid, gid, err})
		}
		if err := lstatat(p.dir, name, &st); err != nil || st.Uid != uid || st.Gid != gid {
			return p.unfit("owners")
		}
	}
	return nil
}

// attributes tests for extended attributes with those of images: a capability (cap_net_raw,
// version 2 of vfs_cap_data in capability.h) or, if that is not permitted, a user attribute.
// tmpfs had no user attributes before Linux 6.6.
func (p *probe) attributes() {
	capability := []byte{1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	if unix.Fsetxattr(p.file, attrCapability, capability, 0) == nil {
		return
	}
	p.lack.Attributes = unix.Fsetxattr(p.file, "user.lxc-pull", []byte("x"), 0) != nil
}
