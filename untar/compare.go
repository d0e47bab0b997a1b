package untar

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/maphash"
	"io"
	"slices"
	"strconv"
	"strings"

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
	_       [0]func() // forbids ==, whose code nothing needs
	Path    string    // clean; "" is the root itself
	Dir     bool      // an added directory; what is in it has no Differences of its own
	Fate    Fate
	Wrong   Aspect      // what differs, if Changed
	Unknown Aspect      // what could not be compared: this user may not read it, or something is mounted there
	Edited  bool        // CompareOptions.Edited explains it
	hard    bool        // a hard link
	other   bool        // a file of another kind
	same    *Difference // of a hard link: its target's, if they are one file
}

// CompareOptions control Compare.
type CompareOptions struct {
	Options              // of the extraction: Strict, Vouched, Filter.Exclude, Inside and Top, Limits.Entries, Metadata.Privilege and IDMap
	Ignore      []string // files that match are not compared; patterns as in Filter.Exclude, for clean paths
	Edited      []string // what was made or edited after the extraction: see CutDigest
	NoDevices   bool     // the extraction could not make device nodes
	ChangedOnly bool     // find neither missing nor added files
}

// A Comparison is the result of Compare.
type Comparison struct {
	Entries     int64         // of the archive, including those that are not compared
	Differences []*Difference // in the order of their paths
	More        int64         // further differences, for which there was no room in the list
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

// maxDigested limits the files of CompareOptions.Edited that are read, in bytes: twice what a
// creation may write.
const maxDigested = 128 << 20

// keysDir is the directory of root's keys, which nobody else may read (sshd(8)). Files are
// always new there.
const keysDir = ".ssh"

// A comparer is one run of Root.Compare.
type comparer struct {
	x       *extractor // of an extraction with the same options, which tells owners, modes and attributes
	opt     *CompareOptions
	ignore  *selection
	dev     uint64             // the file system of the root; others are not entered
	seen    map[uint64]finding // by the hash of the path
	seed    maphash.Seed
	implied int
	// replaced: a later entry of the same path replaced one of a regular file
	replaced bool
	found    Comparison
	memory   int64       // of found.Differences
	st       unix.Stat_t // of the file that open has opened
	buf      []byte
}

// A finding is what is known about a path of the archive.
type finding struct {
	_     [0]func() // forbids ==, whose code nothing needs
	entry int32     // the number of the last entry with this path, from 1; 0: no entry is compared
	diff  int32     // index in the list of differences, plus 1; or one of the constants below
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
	own := *opt
	tar = own.Filter.recognizeIn(Until(ctx, tar))
	return r.compare(ctx, newStream(tar, opt.Strict, opt.Vouched), &own)
}

// compare compares the files below the root with in, as Compare does.
func (r *Root) compare(ctx context.Context, in entries, opt *CompareOptions) (*Comparison, error) {
	x := &extractor{root: r, opt: opt.Options, dirs: r.dirs()}
	c := &comparer{x: x, opt: opt, seed: maphash.MakeSeed(), buf: make([]byte, bufferSize), seen: map[uint64]finding{}}
	var err error
	if x.selection, err = newSelection(&opt.Options); err != nil {
		return nil, err
	}
	if x.in, err = x.within(in); err != nil {
		return nil, err
	}
	ignore := Options{Filter: Filter{Exclude: opt.Ignore}}
	if c.ignore, err = newSelection(&ignore); err != nil {
		return nil, err
	}
	if err := unix.Fstat(r.fd, &c.st); err != nil {
		return nil, pathError("stat", r.path, err)
	}
	c.dev = uint64(c.st.Dev)
	// A user without privileges owned all files, also the root.
	x.self.uid, x.self.gid, x.self.chown = c.st.Uid, c.st.Gid, opt.Metadata.Privilege != User
	top := new(Entry)
	if err := idMap(opt.Metadata.IDMap).owners(x, top); err != nil {
		return nil, err
	}
	x.self.implicit = owner{top.UID, top.GID}
	edited := map[string]string{} // digests by paths
	for _, line := range opt.Edited {
		digest, name := CutDigest(line)
		if path, err := cleanName(nil, []byte(name)); err == nil {
			edited[string(path)] = digest
			c.imply(path)
		}
	}
	if err = c.run(); err == nil && !opt.ChangedOnly {
		err = c.added(ctx, edited)
	}
	if err != nil {
		x.dirs.close()
		return nil, err
	}
	kept, left := c.found.Differences[:0], int64(maxDigested)
	for _, d := range c.found.Differences {
		if digest, ok := edited[d.Path]; ok && d.Fate != Missing && c.explains(d, digest, &left) {
			d.Edited = true
			if d.same != nil {
				d.same.Edited = true
			}
		}
	}
	for _, d := range c.found.Differences {
		if d.same != nil && d.same.Edited && d.contentOnly() {
			d.Edited = true
		}
		if d.hard && c.replaced && d.Wrong == AspectLink {
			// Its target may be a file that a later entry replaced; nothing tells its content then.
			d.Wrong, d.Unknown = 0, AspectLink|AspectContent
		}
		if d.Wrong|d.Unknown != 0 || d.Fate != Changed {
			kept = append(kept, d)
		}
	}
	x.dirs.close()
	c.found.Differences = sortedByPath(kept)
	return &c.found, nil
}

// sortedByPath sorts differences by their paths. slices.SortFunc would add 5 KB to the program.
func sortedByPath(list []*Difference) []*Difference {
	keys := make([]string, len(list))
	for i, d := range list {
		keys[i] = d.Path + "\x00" + strconv.Itoa(i)
	}
	slices.Sort(keys)
	sorted := make([]*Difference, len(list))
	for n, key := range keys {
		i, _ := strconv.Atoi(key[strings.IndexByte(key, 0)+1:])
		sorted[n] = list[i]
	}
	return sorted
}

// CutDigest splits a line of CompareOptions.Edited: the SHA-256 digest of a regular file as
// hexadecimal digits, two blanks and its clean path, as sha256sum(1) prints them. A directory
// that was made has only its path; then digest is "".
func CutDigest(line string) (digest, path string) {
	if len(line) > 66 && line[64:66] == "  " {
		return line[:64], line[66:]
	}
	return "", line
}

// Digest returns the SHA-256 digest of a regular file as hexadecimal digits, "" if it can't be
// read or is too large. It resolves names as ReadFile does.
func (r *Root) Digest(name string) string {
	fd, _, err := r.open(name, unix.O_RDONLY)
	if err != nil {
		return ""
	}
	left := int64(maxDigested)
	return digestOf(fd, make([]byte, 32<<10), &left)
}

// digestOf returns the digest of an open file and closes it. left is how many bytes may be read.
func digestOf(fd int, buf []byte, left *int64) string {
	sum, digest := sha256.New(), ""
	for off := int64(0); *left >= 0; {
		n, err := unix.Pread(fd, buf, off)
		if err == unix.EINTR {
			continue
		}
		if err == nil && n == 0 {
			digest = hex.EncodeToString(sum.Sum(nil))
		}
		if n <= 0 {
			break
		}
		sum.Write(buf[:n])
		off += int64(n)
		*left -= int64(n)
	}
	unix.Close(fd)
	return digest
}

// explains reports whether a difference is what an edit made: a file with the digest of the
// edit and the metadata of the archive or of the edit, or a directory that was made. Like the
// comparison it follows no link and enters no other file system. left is how many bytes may be
// read.
func (c *comparer) explains(d *Difference, digest string, left *int64) bool {
	fd, _ := c.open([]byte(d.Path), new(Difference))
	if fd < 0 {
		return false
	}
	ok := c.unlikeMade(d.Path) == 0
	if digest == "" {
		ok = ok && d.Dir
	} else if ok = ok && (d.Fate == Added || d.other || d.hard || strings.Contains(d.Path, keysDir)); ok || d.contentOnly() {
		file := -1
		if c.st.Mode&unix.S_IFMT == unix.S_IFREG {
			file, _ = c.reopen(fd)
		}
		ok = file >= 0 && digestOf(file, c.buf, left) == digest
	}
	unix.Close(fd)
	return ok
}

// contentOnly reports whether nothing but the content of a file differs.
func (d *Difference) contentOnly() bool {
	return d.Fate == Changed && (d.Wrong|d.Unknown)&^(AspectSize|AspectContent) == 0
}

// unlikeMade returns how the file of c.st is unlike the files of WriteFile and the directories
// of MkdirAll and of an extraction: its kind, its owner, or more permissions than they have.
func (c *comparer) unlikeMade(path string) (wrong Aspect) {
	allowed, kind := uint32(0o644), c.st.Mode&unix.S_IFMT
	if kind == unix.S_IFDIR {
		allowed = 0o755
	}
	if strings.Contains(path, keysDir) {
		allowed &= 0o700
	}
	if c.st.Mode&0o7777&^allowed != 0 || kind != unix.S_IFDIR && kind != unix.S_IFREG {
		wrong = AspectMode
	}
	if c.x.self.chown && c.st.Uid != c.x.self.implicit.uid {
		wrong |= AspectUser
	}
	if c.x.self.chown && c.st.Gid != c.x.self.implicit.gid {
		wrong |= AspectGroup
	}
	return wrong
}

// run compares all entries.
func (c *comparer) run() error {
	for {
		e, err := c.x.in.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		c.found.Entries++
		if c.found.Entries > c.x.selection.maxEntries {
			return c.x.in.fail(errTooMany)
		}
		if err := c.entry(e); err != nil {
			return fmt.Errorf("entry %s: %w", quote(e.Name), err)
		}
	}
}

// imply remembers the parents of a path, which have no entries so far.
func (c *comparer) imply(path []byte) {
	for len(path) > 0 {
		path, _ = splitPath(path)
		key := maphash.Bytes(c.seed, path)
		v, ok := c.seen[key]
		if v.dir {
			return
		}
		if !ok {
			c.implied++
			c.seen[key] = finding{dir: true}
		}
	}
}

// selects sets x.selection.path to the clean form of a name. It reports whether the extraction
// selects the name, and whether the caller does not want it to be compared.
func (c *comparer) selects(name []byte) (ok, skip bool, err error) {
	ok, err = c.x.selection.selects(name)
	if path := c.x.selection.path; ok && len(path) > 0 {
		skip, err = c.ignore.selects(path)
		skip = !skip
	}
	return ok, skip, err
}

// entry compares one entry.
func (c *comparer) entry(e *Entry) error {
	x := c.x
	ok, skip, err := c.selects(e.Name)
	if err != nil {
		return err
	}
	path := x.selection.path
	key := maphash.Bytes(c.seed, path)
	was, known := c.seen[key]
	if !ok {
		if !known {
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
	if c.imply(path); c.implied > maxImplied {
		return errTooManyDirs
	}
	v := finding{entry: int32(c.found.Entries), dir: e.Type == TypeDir}
	d := &Difference{Path: string(path)}
	if e.Type == TypeLink {
		target, err := x.linkTarget(e)
		if err != nil {
			return err
		}
		of := c.seen[maphash.Bytes(c.seed, target)]
		if of.entry == 0 || of.dir {
			return targetError(e, errTargetGone)
		}
		if bytes.Equal(target, path) {
			return nil // it changes nothing
		}
		if v.diff = of.diff; v.diff != noDevice && !skip {
			err = c.hardLink(path, target, of.diff, d)
		}
		if err != nil {
			return err
		}
	} else if e.Type == typeSocket {
		v.diff = noDevice
	} else if !skip {
		if err := c.look(path, e, d); err != nil {
			return err
		}
		// The extraction may have left out a device node that this process can't make or use.
		if d.Fate == Missing && (e.Type == TypeChar || e.Type == TypeBlock) &&
			(c.opt.NoDevices || c.opt.Metadata.IDMap != nil && e.Major|e.Minor != 0) {
			v.diff = noDevice
		}
	}
	// This entry replaces an earlier one.
	c.replaced = c.replaced || was.entry > 0 && !was.dir
	if was.diff > 0 { // an empty difference, which Compare leaves out
		*c.found.Differences[was.diff-1] = Difference{}
	} else if was.diff == notListed {
		c.found.More--
	}
	if v.diff != noDevice {
		v.diff = c.add(d)
	}
	c.seen[key] = v
	return nil
}

// add adds a difference to the list, unless it is none, and returns finding.diff.
func (c *comparer) add(d *Difference) int32 {
	if d.Fate == Changed && d.Wrong|d.Unknown == 0 || d.Fate != Changed && c.opt.ChangedOnly {
		return noDifference
	}
	if c.memory > maxDiffMemory {
		c.found.More++
		return notListed
	}
	c.memory += int64(len(d.Path) + diffMemory)
	c.found.Differences = append(c.found.Differences, d)
	return int32(len(c.found.Differences))
}

// hardLink compares a hard link: it and its target must be one file, to which the target's
// finding applies: diff, its place in the list.
func (c *comparer) hardLink(path, target []byte, diff int32, d *Difference) error {
	fd, err := c.open(path, d)
	if fd < 0 {
		return err
	}
	unix.Close(fd)
	link := inode{uint64(c.st.Dev), c.st.Ino}
	var other Difference
	if fd, err = c.open(target, &other); fd >= 0 {
		unix.Close(fd)
	}
	if fd < 0 || link != (inode{uint64(c.st.Dev), c.st.Ino}) {
		d.Wrong, d.hard = AspectLink, true
	} else if diff > 0 {
		name, other := d.Path, c.found.Differences[diff-1]
		*d = *other
		if d.Path = name; d.same == nil {
			d.same = other
		}
	}
	return err
}

// open opens a file with O_PATH, which has no effect on the file, and sets c.st to its status
// and x.buf.name to its name. If it can't, the descriptor is -1, and d says that the file is
// missing or can't be compared.
func (c *comparer) open(path []byte, d *Difference) (int, error) {
	dir, base := splitPath(path)
	if len(path) == 0 {
		base = []byte(".")
	}
	fd, err := c.enter(dir)
	if err == nil {
		fd, err = openat(fd, c.x.buf.name.set(base), unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	}
	if err == nil {
		if err = unix.Fstatat(fd, "", &c.st, unix.AT_EMPTY_PATH); err == nil {
			return fd, nil
		}
		unix.Close(fd)
	}
	switch no, _ := err.(unix.Errno); no {
	case unix.ENOENT, unix.ENOTDIR, unix.ELOOP:
		d.Fate = Missing
		return -1, nil
	case unix.EACCES, unix.EXDEV:
		d.Unknown = 1<<len(AspectLetters) - 1
		return -1, nil
	}
	return -1, err
}

// enter opens a directory. The error is EXDEV if it is in another file system: something is
// mounted there.
func (c *comparer) enter(dir []byte) (int, error) {
	fd, _, err := c.x.dirs.enter(dir)
	if err == nil {
		err = unix.Fstatat(fd, "", &c.st, unix.AT_EMPTY_PATH)
	}
	if err == nil && uint64(c.st.Dev) != c.dev {
		err = unix.EXDEV
	}
	return fd, err
}

// kinds are the kinds of files in a mode, by the type of an entry.
var kinds = [...]uint32{
	0: unix.S_IFREG, TypeSymlink - TypeFile: unix.S_IFLNK, TypeChar - TypeFile: unix.S_IFCHR,
	TypeBlock - TypeFile: unix.S_IFBLK, TypeDir - TypeFile: unix.S_IFDIR, TypeFIFO - TypeFile: unix.S_IFIFO,
}

// look compares an entry with the file at its path.
func (c *comparer) look(path []byte, e *Entry, d *Difference) error {
	fd, err := c.open(path, d)
	if fd < 0 {
		return err
	}
	st := &c.st
	if c.x.self.chown && st.Uid != e.UID {
		d.Wrong |= AspectUser
	}
	if c.x.self.chown && st.Gid != e.GID {
		d.Wrong |= AspectGroup
	}
	kind := kinds[e.Type-TypeFile]
	if st.Mode&unix.S_IFMT != kind {
		d.Wrong, d.other = d.Wrong|AspectMode, true
		kind = 0 // nothing else is comparable
	} else if kind != unix.S_IFLNK && st.Mode&07777 != c.x.mode(e) {
		d.Wrong |= AspectMode
	}
	switch kind {
	case unix.S_IFLNK:
		var n int
		if n, err = readlinkat(fd, cname("\x00"), c.buf[:maxTarget+1]); !bytes.Equal(c.buf[:n], e.Link) {
			d.Wrong |= AspectLink
		}
	case unix.S_IFCHR, unix.S_IFBLK:
		if unix.Major(uint64(st.Rdev)) != e.Major || unix.Minor(uint64(st.Rdev)) != e.Minor {
			d.Wrong |= AspectDevice
		}
	case unix.S_IFREG:
		err = c.file(fd, e, d)
	}
	unix.Close(fd)
	return err
}

// reopen opens a regular file for reading, on which the descriptor path is open with O_PATH.
func (c *comparer) reopen(path int) (int, error) {
	dir, err := c.x.dirs.top()
	if err != nil {
		return -1, err
	}
	return reopen(path, dir, c.x.buf.name, inodeIn(&c.st))
}

// reopen opens a regular file for reading, on which the descriptor path is open with O_PATH.
// With /proc it is certain to open this file. Without /proc it opens its name in dir again, which
// another process may have replaced, and then checks that it is the inode.
func reopen(path, dir int, name cname, is inode) (int, error) {
	const flags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | openFlags
	fd, err := openat(unix.AT_FDCWD, cname(procFD(path)+"\x00"), flags&^unix.O_NOFOLLOW, 0)
	if err == unix.ENOENT {
		if fd, err = openat(dir, name, flags, 0); err == nil && inodeOf(fd) != is {
			unix.Close(fd)
			fd, err = -1, unix.ENOENT
		}
	}
	return fd, err
}

// file compares a regular file, on which the descriptor path is open with O_PATH.
func (c *comparer) file(path int, e *Entry, d *Difference) error {
	fd, err := c.reopen(path)
	switch no, _ := err.(unix.Errno); no {
	case unix.EACCES, unix.EPERM:
		d.Unknown |= AspectContent | AspectCapability
		err = nil
	case unix.ENOENT, unix.ELOOP: // it has vanished
		d.Fate, d.Wrong, d.Unknown = Missing, 0, 0
		return nil
	}
	if err != nil {
		return err
	}
	if c.st.Size != e.Size {
		d.Wrong |= AspectSize | AspectContent
		d.Unknown &^= AspectContent
	}
	if fd < 0 {
		return nil
	}
	if c.x.self.chown && !c.sameCapability(fd, e) {
		d.Wrong |= AspectCapability
	}
	if c.st.Size == e.Size {
		var same bool
		if same, err = c.sameContent(fd, e); !same {
			d.Wrong |= AspectContent
		}
	}
	unix.Close(fd)
	return err
}

// sameCapability compares the capabilities of a file, without the root user that they have in
// a user namespace. In a user namespace, old kernels can't store capabilities, so there it is
// no difference if a file has none.
func (c *comparer) sameCapability(fd int, e *Entry) bool {
	var want []byte
	attrs := c.x.attributes(e)
	for i := range attrs {
		if string(attrs[i].name) == attrCapability {
			want = attrs[i].value
		}
	}
	n, err := unix.Fgetxattr(fd, attrCapability, c.buf[:64])
	switch no, _ := err.(unix.Errno); no {
	case 0:
		have := c.buf[:n]
		if v2, ok := capabilityV2(have); ok {
			have = v2
		}
		if v2, ok := capabilityV2(want); ok {
			want = v2
		}
		return bytes.Equal(have, want)
	case unix.ENODATA:
		return want == nil || c.opt.NoDevices || c.opt.Metadata.IDMap != nil
	case unix.EOPNOTSUPP, unix.ENOSYS:
		return true // the file system can't store them
	}
	return false
}

// sameContent compares the content of an open file with an entry of the same size: its data
// with the next bytes of the archive, and all else with zeros. It skips holes of the file, so
// that zeros take no longer than the file has bytes on the disk.
func (c *comparer) sameContent(fd int, e *Entry) (bool, error) {
	data := Extent{Length: e.Size}
	if e.Sparse {
		data.Length = 0
	}
	for off, i := int64(0), 0; off < e.Size; {
		if off >= data.Offset+data.Length {
			if data = (Extent{Offset: e.Size}); i < e.extents.n {
				data = e.extents.at(i)
			}
			i++
			continue
		}
		zeros, end := true, data.Offset
		if off >= end {
			zeros, end = false, end+data.Length
		}
		n := min(int64(len(c.buf)), end-off)
		if zeros {
			next, err := unix.Seek(fd, off, unix.SEEK_DATA)
			if err == unix.ENXIO || err == nil && next >= end {
				off = end // no data follows
				continue
			}
			if err == nil {
				off, n = next, min(n, end-next)
			}
		}
		k, err := unix.Pread(fd, c.buf[:n], off)
		if err == unix.EINTR {
			continue
		}
		if err != nil || k == 0 {
			return false, err
		}
		have := c.buf[:k]
		if !zeros {
			want, err := c.x.in.chunk(int64(k))
			if have = have[:len(want)]; err != nil || !bytes.Equal(have, want) {
				return false, err
			}
		} else if len(bytes.Trim(have, "\x00")) > 0 {
			return false, nil
		}
		off += int64(len(have))
	}
	return true, nil
}

// added adds the files in the directories of the archive that the archive does not have, and
// those in a directory that was made later and is in edited.
func (c *comparer) added(ctx context.Context, edited map[string]string) error {
	for dirs := []string{""}; len(dirs) > 0; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		dir := dirs[len(dirs)-1]
		dirs = dirs[:len(dirs)-1]
		fd, err := c.enter([]byte(dir))
		var names *dirReader
		if err == nil {
			names, err = newDirReader(fd)
		}
		switch no, _ := err.(unix.Errno); no {
		case unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.EACCES, unix.EXDEV:
			continue // the comparison of the directory itself reports it
		}
		for name := ""; err == nil; {
			if name, err = names.next(); err != nil || name == "" {
				break
			}
			path := strings.TrimPrefix(dir+"/"+name, "/")
			v, ok := c.seen[maphash.Bytes(c.seed, []byte(path))]
			if v.dir {
				dirs = append(dirs, path)
			}
			if ok && (v.entry > 0 || !v.dir) {
				continue
			}
			if dir == "" && c.x.root.ignores(name) {
				continue
			}
			var skip bool
			ok, skip, err = c.selects([]byte("./" + path))
			if ok && !skip && err == nil && lstatat(fd, c.x.buf.name.set([]byte(name)), &c.st) == nil {
				isDir := c.st.Mode&unix.S_IFMT == unix.S_IFDIR
				if v.dir { // only the names of other files imply it
					wrong := c.unlikeMade(path)
					if !isDir {
						wrong |= AspectMode
					}
					c.add(&Difference{Path: path, Wrong: wrong})
					continue
				}
				if _, ok := edited[path]; ok && isDir {
					dirs = append(dirs, path)
				}
				c.add(&Difference{Path: path, Fate: Added, Dir: isDir})
			}
		}
		if names != nil {
			names.close()
		}
		if err != nil {
			return pathError("read", dir, err)
		}
	}
	return nil
}
