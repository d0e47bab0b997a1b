package untar

import (
	"bytes"
	"context"
	"fmt"
	"hash/maphash"
	"io"
	"sort"

	"golang.org/x/sys/unix"
)

// An Aspect is a property of a file that Compare looks at, or a set of them.
type Aspect uint16

// The aspects, in the order of AspectLetters.
const (
	AspectSize       Aspect = 1 << iota
	AspectMode              // permissions, and the kind of file
	AspectContent           // of a regular file
	AspectDevice            // numbers of a device node
	AspectLink              // target of a symbolic link, or that two names are one file
	AspectUser              // owner
	AspectGroup             //
	AspectTime              // never compared: programs in a container set times
	AspectCapability        // file capabilities
)

// AspectLetters has a letter for each aspect, as in the output of rpm --verify (rpm(8)).
const AspectLetters = "SM5DLUGTP"

// A Fate says what became of a file of an archive.
type Fate uint8

// The fates of files that differ.
const (
	Changed Fate = iota // it is there, and differs
	Missing             // the archive has it, the root does not
	Added               // the root has it, the archive does not
)

// A Difference is a file of a root that is not as in the archive.
type Difference struct {
	Path    string // clean; "" is the root itself
	Dir     bool   // an added directory; what is in it has no Differences of its own
	Fate    Fate
	Wrong   Aspect // what differs, if Changed
	Unknown Aspect // what could not be compared: this user may not read it, or something is mounted there
	Edited  bool   // CompareOptions.Edited explains it
	hard    bool   // a hard link
}

// CompareOptions control Compare.
type CompareOptions struct {
	Options              // of the extraction: Strict, Vouched, Filter.Exclude, Limits.Entries, Metadata.Privilege and IDMap
	Ignore      []string // files that match are not compared; patterns as in Filter.Exclude, for clean paths
	Edited      []string // clean paths of files that were made or whose content was edited after the extraction
	NoDevices   bool     // the extraction could not make device nodes
	ChangedOnly bool     // find neither missing nor added files
}

// A Comparison is the result of Compare.
type Comparison struct {
	Entries     int64        // of the archive, including those that are not compared
	Differences []Difference // in the order of their paths
	More        int64        // further differences, for which there was no room in the list
}

// Limits of a comparison.
const (
	// maxDiffMemory limits the list of differences, in bytes: 100,000 usual paths. More
	// differences are counted only.
	maxDiffMemory = 16 << 20
	diffMemory    = 64 // bytes of a difference, besides its path
	// maxImplied limits the directories that only the paths of entries name. An extraction
	// can keep no more of them (maxDirMemory).
	maxImplied = maxDirMemory / dirMemory
)

// A comparer is one run of Root.Compare.
type comparer struct {
	x       *extractor // of an extraction with the same options, which tells owners, modes and attributes
	opt     *CompareOptions
	ignore  *selection
	dev     uint64 // the file system of the root; others are not entered
	edited  map[string]bool
	seen    map[uint64]finding // by the hash of the path
	seed    maphash.Seed
	implied int
	// replaced: a later entry of the same path replaced one of a regular file
	replaced bool
	found    Comparison
	memory   int64 // of found.Differences
	buf      []byte
}

// A finding is what is known about a path of the archive.
type finding struct {
	entry int32 // the number of the last entry with this path, from 1; 0: no entry is compared
	diff  int32 // index in the list of differences, plus 1; or one of the constants below
	dir   bool
}

// Values of finding.diff.
const (
	noDifference = 0
	notListed    = -1 // it differs, but the list is full
	noDevice     = -2 // a device node that the extraction could not make
)

// Compare reads an uncompressed archive to its end and compares the files below the root with
// what Extract with the same options would make of it. It extracts nothing and changes nothing.
//
// It follows no link, opens no device and no pipe, and enters no other file system. Files that
// change or vanish meanwhile are reported as one of their states. The time that it takes is
// bounded by the archive's size, and by the number of names in its directories.
//
// The errors are those of Extract.
func (r *Root) Compare(ctx context.Context, tar io.Reader, opt *CompareOptions) (*Comparison, error) {
	x := new(extractor)
	x.root, x.opt, x.dirs = r, opt.Options, r.dirs()
	x.in = newStream(Until(ctx, tar), opt.Strict, opt.Vouched)
	defer x.dirs.close()
	c := new(comparer)
	c.x, c.opt, c.seed, c.buf = x, opt, maphash.MakeSeed(), make([]byte, bufferSize)
	c.seen, c.edited = map[uint64]finding{}, map[string]bool{}
	var err error
	if x.selection, err = newSelection(opt.Options); err != nil {
		return nil, err
	}
	ignore := new(Options)
	ignore.Filter.Exclude = opt.Ignore
	if c.ignore, err = newSelection(*ignore); err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(r.fd, &st); err != nil {
		return nil, pathError("stat", r.path, err)
	}
	c.dev = uint64(st.Dev)
	// A user without privileges owned all files, also the root.
	x.self = ownership{uid: st.Uid, gid: st.Gid, chown: opt.Metadata.Privilege != User}
	for _, name := range opt.Edited {
		if path, err := cleanName(nil, []byte(name)); err == nil {
			c.edited[string(path)] = true
			dir, _ := splitPath(path)
			c.imply(dir)
		}
	}
	if err := c.run(ctx); err != nil {
		return nil, err
	}
	kept := c.found.Differences[:0]
	for _, d := range c.found.Differences {
		if d.hard && c.replaced && d.Wrong == AspectLink {
			// Its target may be a file that a later entry replaced; nothing tells its content then.
			d.Wrong, d.Unknown = 0, AspectLink|AspectContent
		}
		if d.Wrong|d.Unknown != 0 || d.Fate != Changed {
			kept = append(kept, d)
		}
	}
	sort.SliceStable(kept, func(i, j int) bool { return kept[i].Path < kept[j].Path })
	c.found.Differences = kept
	return &c.found, nil
}

func (c *comparer) run(ctx context.Context) error {
	for {
		e, err := c.x.in.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		c.found.Entries++
		if c.found.Entries > c.x.selection.maxEntries {
			return c.x.in.bad(c.x.in.off, errTooMany)
		}
		if err := c.entry(e); err != nil {
			return fmt.Errorf("entry %s: %w", quote(e.Name), err)
		}
	}
	if c.opt.ChangedOnly {
		return nil
	}
	for dirs := []string{""}; len(dirs) > 0; {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		dir := dirs[len(dirs)-1]
		dirs = dirs[:len(dirs)-1]
		below, err := c.added([]byte(dir))
		if err != nil {
			return pathError("read", dir, err)
		}
		dirs = append(dirs, below...)
	}
	return nil
}

func (c *comparer) key(path []byte) uint64 { return maphash.Bytes(c.seed, path) }

// imply remembers a directory and its parents, which have no entries so far.
func (c *comparer) imply(dir []byte) {
	for {
		if v, ok := c.seen[c.key(dir)]; ok && v.dir {
			return
		} else if !ok {
			c.implied++
			c.seen[c.key(dir)] = finding{dir: true}
		}
		if len(dir) == 0 {
			return
		}
		dir, _ = splitPath(dir)
	}
}

// ignores reports whether the caller does not want a path to be compared.
func (c *comparer) ignores(path []byte) (bool, error) {
	if len(c.opt.Ignore) == 0 || len(path) == 0 {
		return false, nil
	}
	ok, err := c.ignore.selects(path)
	return !ok, err
}

// entry compares one entry.
func (c *comparer) entry(e *Entry) error {
	x := c.x
	ok, err := x.selection.selects(e.Name)
	if err != nil {
		return err
	}
	path := x.selection.path
	key := c.key(path)
	skip, err := c.ignores(path)
	if err != nil {
		return err
	}
	if !ok {
		if _, ok := c.seen[key]; !ok {
			c.seen[key] = finding{}
		}
		return nil
	}
	if x.logical += e.Size; x.logical > maxLogical || e.Size > maxLogical {
		return ErrTooBig
	}
	if len(path) == 0 && e.Type != TypeDir {
		return errRootType
	}
	if err := idMap(x.opt.Metadata.IDMap).owners(x, e); err != nil {
		return err
	}
	dir, _ := splitPath(path)
	if c.imply(dir); c.implied > maxImplied {
		return errTooManyDirs
	}
	v := finding{entry: int32(c.found.Entries), dir: e.Type == TypeDir}
	if e.Type == TypeLink {
		if same, err := c.hardLink(path, e, &v, skip); err != nil || same {
			return err
		}
	}
	c.drop(c.seen[key])
	if !skip && e.Type != TypeLink {
		d := Difference{Path: string(path)}
		if err := c.look(path, e, &d); err != nil {
			return err
		}
		// The extraction may have left out a device node that this process can't make or use.
		if v.diff = noDevice; d.Fate != Missing || e.Type != TypeChar && e.Type != TypeBlock ||
			!c.opt.NoDevices && (c.opt.Metadata.IDMap == nil || e.Major|e.Minor == 0) {
			v.diff = c.add(d)
		}
	}
	c.seen[key] = v
	return nil
}

// add adds a difference to the list, unless it is none, and returns finding.diff.
func (c *comparer) add(d Difference) int32 {
	switch {
	case d.Fate == Changed && d.Wrong|d.Unknown == 0, d.Fate != Changed && c.opt.ChangedOnly:
		return noDifference
	case c.memory > maxDiffMemory:
		c.found.More++
		return notListed
	}
	d.Edited = c.edited[d.Path] && d.Fate != Missing && (d.Wrong|d.Unknown)&^(AspectSize|AspectContent) == 0
	c.memory += int64(len(d.Path) + diffMemory)
	c.found.Differences = append(c.found.Differences, d)
	return int32(len(c.found.Differences))
}

// drop forgets the finding about an entry that a later entry replaces.
func (c *comparer) drop(v finding) {
	c.replaced = c.replaced || v.entry > 0 && !v.dir
	switch {
	case v.diff > 0: // an empty difference, which Compare leaves out
		c.found.Differences[v.diff-1] = Difference{}
	case v.diff == notListed:
		c.found.More--
	}
}

// hardLink compares a hard link: it and its target must be one file, to which the target's
// finding applies. same reports that it is a link to itself, which changes nothing.
func (c *comparer) hardLink(path []byte, e *Entry, v *finding, skip bool) (same bool, err error) {
	target, err := c.x.linkTarget(e)
	if err != nil {
		return false, err
	}
	of := c.seen[c.key(target)]
	switch {
	case of.entry == 0 || of.dir:
		return false, targetError(e, errTargetGone)
	case bytes.Equal(target, path):
		return true, nil
	case of.diff == noDevice:
		v.diff = noDevice
		return false, nil
	case skip:
		return false, nil
	}
	d := Difference{Path: string(path)}
	was, err := c.inode(path, &d)
	if err == nil && was != (inode{}) {
		var other Difference
		to, err := c.inode(target, &other)
		switch {
		case err != nil:
			return false, err
		case to != was:
			d.Wrong, d.hard = AspectLink, true
		case of.diff > 0:
			d = c.found.Differences[of.diff-1]
			d.Path, d.Edited = string(path), false
		}
	}
	v.diff = c.add(d)
	return false, err
}

// inode returns the inode of the file at path, zero if it can't be opened, as d says then.
func (c *comparer) inode(path []byte, d *Difference) (inode, error) {
	fd, _, err := c.open(path, d)
	if fd < 0 || err != nil {
		return inode{}, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	err = unix.Fstatat(fd, "", &st, unix.AT_EMPTY_PATH)
	return inode{uint64(st.Dev), st.Ino}, err
}

// open opens a file with O_PATH, which has no effect on the file. If it can't, fd is -1, and
// d says that the file is missing or can't be compared.
func (c *comparer) open(path []byte, d *Difference) (fd int, name cname, err error) {
	x := c.x
	dir, base := splitPath(path)
	parent, err := c.enter(dir)
	if err == nil {
		name = x.buf.name.set(base)
		if len(path) == 0 {
			name = cname(".\x00")
		}
		fd, err = openat(parent, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	}
	switch {
	case err == nil:
		return fd, name, nil
	case err == unix.ENOENT || isNotDir(err):
		d.Fate = Missing
		return -1, nil, nil
	case err == unix.EACCES || err == unix.EXDEV:
		d.Unknown = 1<<len(AspectLetters) - 1
		return -1, nil, nil
	}
	return -1, nil, err
}

// enter opens a directory. The error is EXDEV if it is in another file system: something is
// mounted there.
func (c *comparer) enter(dir []byte) (int, error) {
	fd, _, err := c.x.dirs.enter(dir)
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	if err := unix.Fstatat(fd, "", &st, unix.AT_EMPTY_PATH); err != nil {
		return -1, err
	}
	if uint64(st.Dev) != c.dev {
		return -1, unix.EXDEV
	}
	return fd, nil
}

// kinds are the kinds of files in a mode, by the type of an entry.
var kinds = [...]uint32{
	0: unix.S_IFREG, TypeSymlink - TypeFile: unix.S_IFLNK, TypeChar - TypeFile: unix.S_IFCHR,
	TypeBlock - TypeFile: unix.S_IFBLK, TypeDir - TypeFile: unix.S_IFDIR, TypeFIFO - TypeFile: unix.S_IFIFO,
}

// look compares an entry with the file at its path.
func (c *comparer) look(path []byte, e *Entry, d *Difference) error {
	x := c.x
	fd, name, err := c.open(path, d)
	if err != nil || fd < 0 {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstatat(fd, "", &st, unix.AT_EMPTY_PATH); err != nil {
		return err
	}
	if x.self.chown {
		if st.Uid != e.UID {
			d.Wrong |= AspectUser
		}
		if st.Gid != e.GID {
			d.Wrong |= AspectGroup
		}
	}
	kind := kinds[e.Type-TypeFile]
	if st.Mode&unix.S_IFMT != kind {
		d.Wrong |= AspectMode
		return nil
	}
	if kind != unix.S_IFLNK && st.Mode&07777 != x.mode(e) {
		d.Wrong |= AspectMode
	}
	switch kind {
	case unix.S_IFLNK:
		n, err := readlinkat(fd, cname("\x00"), c.buf[:maxTarget+1])
		if err != nil {
			return err
		}
		if !bytes.Equal(c.buf[:n], e.Link) {
			d.Wrong |= AspectLink
		}
	case unix.S_IFCHR, unix.S_IFBLK:
		if unix.Major(uint64(st.Rdev)) != e.Major || unix.Minor(uint64(st.Rdev)) != e.Minor {
			d.Wrong |= AspectDevice
		}
	case unix.S_IFREG:
		return c.file(place{fd, name}, &st, e, d)
	}
	return nil
}

// file compares a regular file, on which at.dir is open with O_PATH.
func (c *comparer) file(at place, st *unix.Stat_t, e *Entry, d *Difference) error {
	fd, err := c.openFile(at, st)
	switch err {
	case nil:
	case unix.EACCES, unix.EPERM:
		d.Unknown |= AspectContent | AspectCapability
		err = nil
	case unix.ENOENT, unix.ELOOP: // it has vanished
		*d = Difference{Path: d.Path, Fate: Missing}
		return nil
	default:
		return err
	}
	if st.Size != e.Size {
		d.Wrong |= AspectSize | AspectContent
		d.Unknown &^= AspectContent
	}
	if fd < 0 {
		return err
	}
	defer unix.Close(fd)
	if c.x.self.chown && !c.sameCapability(fd, e) {
		d.Wrong |= AspectCapability
	}
	if st.Size != e.Size {
		return nil
	}
	same, err := c.sameContent(fd, e)
	if !same {
		d.Wrong |= AspectContent
	}
	return err
}

// openFile opens the regular file on which an O_PATH descriptor is open. With /proc it is
// certain to open this file. Without /proc it opens the name again, which another process may
// have replaced, and then checks the file.
func (c *comparer) openFile(at place, st *unix.Stat_t) (int, error) {
	const flags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | openFlags
	fd, err := openat(unix.AT_FDCWD, cname(procFD(at.dir)+"\x00"), flags&^unix.O_NOFOLLOW, 0)
	if err != unix.ENOENT {
		return fd, err
	}
	parent, err := c.x.dirs.top()
	if err != nil {
		return -1, err
	}
	if fd, err = openat(parent, at.name, flags, 0); err != nil {
		return -1, err
	}
	if inodeOf(fd) != (inode{uint64(st.Dev), st.Ino}) {
		unix.Close(fd)
		return -1, unix.ENOENT
	}
	return fd, nil
}

// sameCapability compares the capabilities of a file, without the root user that they have in
// a user namespace. In a user namespace, old kernels can't store capabilities, so there it is
// no difference if a file has none.
func (c *comparer) sameCapability(fd int, e *Entry) bool {
	var want []byte
	for _, a := range c.x.attributes(e) {
		if string(a.name) == attrCapability {
			want = a.value
		}
	}
	n, err := unix.Fgetxattr(fd, attrCapability, c.buf[:64])
	have := c.buf[:max(n, 0)]
	for _, value := range []*[]byte{&have, &want} {
		if v2, ok := capabilityV2(*value); ok {
			*value = v2
		}
	}
	switch err {
	case nil:
		return bytes.Equal(have, want)
	case unix.ENODATA:
		return want == nil || c.opt.NoDevices || c.opt.Metadata.IDMap != nil
	}
	return err == unix.EOPNOTSUPP || err == unix.ENOSYS // the file system can't store them
}

// sameContent compares the content of an open file with an entry of the same size.
func (c *comparer) sameContent(fd int, e *Entry) (same bool, err error) {
	if !e.Sparse {
		return c.sameBytes(fd, 0, e.Size, false)
	}
	same = true
	for i, at := 0, int64(0); same && err == nil && i <= e.extents.n; i++ {
		x := Extent{Offset: e.Size}
		if i < e.extents.n {
			x = e.extents.at(i)
		}
		if same, err = c.sameBytes(fd, at, x.Offset, true); same && err == nil {
			at = x.Offset + x.Length
			same, err = c.sameBytes(fd, x.Offset, at, false)
		}
	}
	return same, err
}

// sameBytes compares the bytes of a file from off to end with the next bytes of the archive,
// or with zeros. It skips holes of the file, so that zeros take no longer than the file has
// bytes on the disk.
func (c *comparer) sameBytes(fd int, off, end int64, zeros bool) (bool, error) {
	for off < end {
		want, n := []byte(nil), min(int64(len(c.buf)), end-off)
		if zeros {
			next, err := unix.Seek(fd, off, unix.SEEK_DATA)
			if err == unix.ENXIO || err == nil && next >= end {
				return true, nil // no data follows
			}
			if err == nil {
				off, n = next, min(n, end-next)
			}
		} else {
			var err error
			if want, err = c.x.in.chunk(n); err != nil {
				return false, err
			}
			n = int64(len(want))
		}
		have, err := preadFull(fd, c.buf[:n], off)
		if err != nil || int64(len(have)) < n || zeros && len(bytes.Trim(have, "\x00")) > 0 || !zeros && !bytes.Equal(have, want) {
			return false, err
		}
		off += n
	}
	return true, nil
}

// preadFull reads until buf is full or the file ends.
func preadFull(fd int, buf []byte, off int64) ([]byte, error) {
	n := 0
	for n < len(buf) {
		k, err := unix.Pread(fd, buf[n:], off+int64(n))
		if err == unix.EINTR {
			continue
		}
		if err != nil || k == 0 {
			return buf[:n], err
		}
		n += k
	}
	return buf, nil
}

// added adds the files in a directory of the archive that the archive does not have. It
// returns the directories in it that the archive has.
func (c *comparer) added(dir []byte) (below []string, err error) {
	fd, err := c.enter(dir)
	if err == unix.ENOENT || err == unix.EXDEV || err == unix.EACCES || isNotDir(err) {
		return nil, nil // the comparison of the directory itself reports it
	}
	if err != nil {
		return nil, err
	}
	d, err := newDirReader(fd)
	if err == unix.EACCES {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer d.close()
	for {
		name, err := d.next()
		if err != nil || name == "" {
			return below, err
		}
		path := joinPath(append([]byte(nil), dir...), name)
		if v, ok := c.seen[c.key(path)]; ok {
			if v.dir {
				below = append(below, string(path))
			}
			continue
		}
		if len(dir) == 0 && c.x.root.ignores(name) {
			continue
		}
		ok, err := c.x.selection.selects(append([]byte("./"), path...))
		if err != nil {
			return below, err
		}
		skip, err := c.ignores(path)
		var st unix.Stat_t
		if err != nil || skip || !ok || lstatat(fd, c.x.buf.name.set([]byte(name)), &st) != nil {
			continue
		}
		c.add(Difference{Path: string(path), Fate: Added, Dir: st.Mode&unix.S_IFMT == unix.S_IFDIR})
	}
}
