package untar

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// maxLinked limits the paths of files with several names that are kept until all their
	// names were met, in bytes: 200,000 usual files at a time.
	maxLinked = 64 << 20

	// defaultOverflow is the id that stat(2) shows for those that a user namespace does not map,
	// unless /proc/sys/kernel has another one (DEFAULT_OVERFLOWUID in the kernel's highuid.h).
	defaultOverflow = 65534

	// overlayMagic is what statfs(2) says of an overlayfs (OVERLAYFS_SUPER_MAGIC).
	overlayMagic = 0x794c7630

	// sourceLevels is the number of directories that the walk through a copied directory keeps
	// open. The extraction keeps fewer open meanwhile, for a process with 32 descriptors.
	sourceLevels = 4
)

var (
	errChanged    error = textError("it changed while it was copied")
	errIntoItself error = textError("the directory can't be copied into itself")
	errManyLinks  error = textError("too many files with several names")
)

// ErrUnmapped is the Err of an *OwnerError for a file whose owner is not known, since the user
// namespace of this process has no id for it.
var ErrUnmapped error = textError("this user namespace has no id for its owner")

// Copy is Extract for the files below another directory, which must not change meanwhile: a file
// that changes or vanishes is an error that names it, as is a file that the caller can't read.
// Files get names as with "tar -C FROM -c .". Holes stay holes, and where both are on a file
// system that can share blocks of files, the copies share them (FICLONE, ioctl_ficlone(2)):
// Report.Shared. Limits.Bytes does not count these blocks.
//
// Where owners are set, Metadata.Caller says whose files become root's. A process in a user
// namespace can't see the owners that the namespace does not map: such a file is an *OwnerError with
// ErrUnmapped. So the copy has no owner outside of the namespace's ids, if Caller is set.
//
// Copy enters no other file system: a mount point becomes an empty directory, with a Note. So does
// a nested btrfs subvolume. Sockets, and files on which others are mounted, are left out, with a
// Note. Copy follows no link, and it opens
// directories and regular files only, even if another user renames and replaces files meanwhile.
// A directory can't be copied into one below it, unless that is on another file system. The memory
// depends on the directory, not on its files' sizes: names of the directories on the way, and those
// of files with several names while some are to come, each at most 64 MiB.
func (r *Root) Copy(from *Root, opt Options) (*Report, error) {
	t := new(tree)
	defer t.close()
	if err := t.start(from, r); err != nil {
		return new(Report), err
	}
	if p := opt.Metadata.Privilege; p == Owners || p == DetectPrivilege && os.Geteuid() == 0 {
		t.caller, t.mapped = opt.Metadata.Caller, inUserNamespace()
		t.overflow = [2]uint32{overflowID("uid"), overflowID("gid")}
	}
	f := &opt.Filter
	if f.Top {
		f.recognize(t)
		t.close()
		t.frames = nil
	}
	t.prunes = f.Inside == "" && f.Strip == 0 && len(f.Members) == 0
	return r.extract(t, opt)
}

// A tree reads a directory as a sequence of entries: the directory itself, and for each directory
// first the files in it and then its subdirectories.
type tree struct {
	root   *Root
	walk   dirStack // at the directory of the last frame
	frames []treeFrame
	target inode // of the root that is filled
	rep    *Report
	entry  Entry
	st     unix.Stat_t // of the current entry
	treeFlags
	treeOwners
	treeFile
	treeMemory
	treeBuffers
}

// treeBuffers are reused for every entry.
type treeBuffers struct{ path, name, buf []byte }

// treeFlags are what a tree knows about its reader and the two file systems.
type treeFlags struct {
	selected bool // the reader wants the current entry
	prunes   bool // what is below a directory that the reader does not want, it does not want either
	unshared bool // the file systems can't share blocks
}

// treeOwners are what a tree knows about the owners of files.
type treeOwners struct {
	_        [0]func()  // forbids ==, whose code nothing needs
	caller   *[2]uint32 // Metadata.Caller
	mapped   bool       // this process is in a user namespace, and the copies get owners
	overflow [2]uint32  // the user and group of files whose owner the namespace does not map
}

// A treeFile is what is read of the current regular file.
type treeFile struct {
	fd     int    // 0: the current entry is none
	piece  Extent // the rest of the current extent
	pieces int    // extents that have begun
}

// treeMemory is what a tree remembers, within limits.
type treeMemory struct {
	todo   int64 // bytes of the names in all frames
	linked int64 // bytes of the names in links
	links  map[inode]*linkedFile
}

// A linkedFile is a file with several names, of which the reader did not get all.
type linkedFile struct {
	_     [0]func() // forbids ==, whose code nothing needs
	first string    // its first name
	left  uint64    // how many names are left
}

// A treeFrame is a directory on the way to the current one.
type treeFrame struct {
	is     inode
	reader *dirReader // nil: all names were read
	todo   []string   // subdirectories
}

// inodeIn returns the inode that a status is about.
func inodeIn(st *unix.Stat_t) inode { return inode{uint64(st.Dev), st.Ino} }

// start makes a tree of from. It refuses a target that is the tree or below it. Targets on other
// file systems may be below it, since those are not entered.
func (t *tree) start(from, target *Root) error {
	t.root, t.walk, t.rep, t.buf, t.links = from, from.dirs(), new(Report), make([]byte, bufferSize), make(map[inode]*linkedFile)
	t.walk.most = sourceLevels
	is := inodeOf(from.fd)
	t.target = inodeOf(target.fd)
	fd, at := target.fd, t.target
	for n := 0; n < maxComponents && t.target.dev == is.dev && at != is; n++ {
		up, err := openDir(fd, cname("..\x00"))
		if fd != target.fd {
			unix.Close(fd)
		}
		if fd = target.fd; err != nil {
			break // enter checks each directory as well
		}
		was := at
		if fd, at = up, inodeOf(up); at == was {
			break
		}
	}
	if fd != target.fd {
		unix.Close(fd)
	}
	if at == is {
		return pathError("copy", from.path, errIntoItself)
	}
	return nil
}

// close closes all descriptors.
func (t *tree) close() {
	t.closeFile()
	for i := range t.frames {
		t.frames[i].close()
	}
	t.walk.close()
}

func (t *tree) closeFile() {
	if t.fd > 0 {
		unix.Close(t.fd)
	}
	t.treeFile = treeFile{}
}

func (f *treeFrame) close() {
	if f.reader != nil {
		f.reader.close()
	}
	f.reader = nil
}

// fail implements entries.
func (t *tree) fail(cause error) error {
	return fmt.Errorf("copy %s: %w", quote(t.path), cause)
}

// next implements entries.
func (t *tree) next() (e *Entry, err error) {
	if t.frames == nil {
		t.path = append(t.path[:0], '.')
		e, err = t.enter(t.root.fd)
	} else {
		err = t.leave()
	}
	for e == nil && err == nil {
		last := len(t.frames) - 1
		f := &t.frames[last]
		t.path = append(t.path[:0], t.walk.path...)
		var dir int
		if dir, err = t.walk.top(); err != nil {
			break
		}
		var name string
		if f.reader != nil {
			if name, err = f.reader.next(); err == nil && name == "" {
				f.close()
			}
			if name != "" && (last > 0 || !t.root.ignores(name)) {
				t.path = joinPath(t.path, name)
				e, err = t.read(dir, name)
			}
		} else if n := len(f.todo); n > 0 {
			name, f.todo = f.todo[n-1], f.todo[:n-1]
			t.todo -= int64(dirMemory + len(name))
			t.path = joinPath(t.path, name)
			e, err = t.down(dir, name)
		} else if last == 0 {
			return nil, io.EOF
		} else {
			t.frames = t.frames[:last]
			t.walk.pop(last - 1)
			t.path = append(t.path[:0], t.walk.path...)
			if dir, err = t.walk.top(); err == nil && inodeOf(dir) != t.frames[last-1].is {
				err = errChanged
			}
		}
	}
	if err != nil {
		return nil, t.fail(err)
	}
	return e, nil
}

// leave ends the current entry.
func (t *tree) leave() error {
	selected, was := t.selected, t.st
	t.selected = false
	if t.fd > 0 {
		err := unix.Fstat(t.fd, &t.st)
		t.closeFile()
		if err == nil && selected && (t.st.Size != was.Size || t.st.Mtim != was.Mtim) {
			err = errChanged
		}
		if err != nil {
			return err
		}
	}
	switch kind := t.entry.Type; {
	case kind == TypeDir:
		if f := &t.frames[len(t.frames)-1]; !selected && t.prunes && f.is == inodeIn(&was) {
			f.close()
		}
	case kind != TypeLink && was.Nlink > 1 && selected:
		t.links[inodeIn(&was)] = &linkedFile{first: string(t.name), left: uint64(was.Nlink) - 1}
		if t.linked += int64(dirMemory + len(t.name)); t.linked > maxLinked {
			return errManyLinks
		}
	}
	return nil
}

// describe starts the current entry, of a file with the status t.st.
func (t *tree) describe(kind byte) *Entry {
	e, st := &t.entry, &t.st
	t.name = append(append(t.name[:0], "./"...), t.path...)
	if kind == TypeDir {
		t.name = append(t.name, '/')
	}
	e.Type, e.Flag, e.Name, e.Link = kind, kind, t.name, nil
	e.Mode, e.UID, e.GID, e.Sec, e.Nsec = st.Mode&07777, st.Uid, st.Gid, int64(st.Mtim.Sec), int32(st.Mtim.Nsec)
	if t.caller != nil && e.UID == t.caller[0] {
		e.UID = 0
	}
	if t.caller != nil && e.GID == t.caller[1] {
		e.GID = 0
	}
	e.Size, e.stored, e.Sparse, e.xattrs = 0, 0, false, nil
	e.extents.reset()
	return e
}

// overflowID returns the id of that kind, "uid" or "gid", which stat(2) shows for unmapped ones.
func overflowID(kind string) uint32 {
	text, _ := os.ReadFile("/proc/sys/kernel/overflow" + kind)
	id, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
	if err != nil {
		return defaultOverflow
	}
	return uint32(id)
}

// checkOwner returns an error if the current entry's owner is not mapped. Such a file seems to be
// nobody's. The kernel lets root of a namespace set O_NOATIME only on files of mapped users
// (inode_owner_or_capable in fs/inode.c), which tells a file that really is nobody's from one whose
// owner is not mapped. There is no such test for a group and for special files.
func (t *tree) checkOwner() error {
	st, fd := &t.st, t.fd
	user, group := st.Uid == t.overflow[0], st.Gid == t.overflow[1]
	if !t.mapped || !user && !group {
		return nil
	}
	if f := &t.frames[len(t.frames)-1]; t.entry.Type == TypeDir && f.reader != nil && f.is == inodeIn(st) {
		fd = f.reader.fd
	}
	if user && fd > 0 {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err == nil {
			_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags|unix.O_NOATIME)
		}
		if err == nil {
			return nil
		}
	}
	return &OwnerError{st.Uid, st.Gid, ErrUnmapped}
}

// enter returns the entry of the directory t.path, which fd is open on, and goes into it.
func (t *tree) enter(fd int) (*Entry, error) {
	reader, err := newDirReader(fd)
	if err != nil {
		return nil, err
	}
	err = unix.Fstat(reader.fd, &t.st)
	t.frames = append(t.frames, treeFrame{is: inodeIn(&t.st), reader: reader})
	e := t.describe(TypeDir)
	if err == nil {
		e.xattrs, err = readAttrs(reader.fd, "")
	}
	if inodeIn(&t.st) == t.target {
		err = errIntoItself
	}
	return e, err
}

// down goes into a subdirectory of the directory dir.
func (t *tree) down(dir int, name string) (*Entry, error) {
	err := lstatat(dir, cname(name+"\x00"), &t.st)
	if err != nil {
		return nil, err
	}
	if was := inodeIn(&t.st); was.dev == t.frames[0].is.dev {
		fd, _, err := t.walk.enter(t.path)
		if err != nil {
			return nil, err
		}
		e, err := t.enter(fd)
		if err == nil && inodeIn(&t.st) != was {
			err = errChanged
		}
		return e, err
	}
	if t.st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil, errChanged
	}
	t.rep.note("mount point", "copied as an empty directory", "another file system", t.path)
	if t.mapped && (t.st.Uid == t.overflow[0] || t.st.Gid == t.overflow[1]) {
		t.st.Uid, t.st.Gid = 0, 0 // it is not the owner of the directory below
	}
	return t.describe(TypeDir), nil
}

// read returns the entry of a file in the directory dir, or nil if it has none now.
func (t *tree) read(dir int, name string) (*Entry, error) {
	// O_PATH has no effect on the file, whatever it is, and no other process can replace the
	// open file.
	comp := cname(name + "\x00")
	fd, err := openat(dir, comp, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if err := unix.Fstatat(fd, "", &t.st, unix.AT_EMPTY_PATH); err != nil {
		return nil, err
	}
	kind := byte(0)
	for i, mode := range kinds {
		if mode == t.st.Mode&unix.S_IFMT {
			kind = TypeFile + byte(i)
		}
	}
	switch kind {
	case TypeDir:
		f := &t.frames[len(t.frames)-1]
		f.todo = append(f.todo, name)
		if t.todo += int64(dirMemory + len(name)); t.todo > maxDirMemory {
			return nil, errTooManyDirs
		}
		return nil, nil
	case 0:
		t.rep.note("socket", "not copied", "the program that serves it makes it", t.path)
		return nil, nil
	}
	if uint64(t.st.Dev) != t.frames[0].is.dev && !onOverlay(fd) {
		t.rep.note("mount point", "not copied", "another file system", t.path)
		return nil, nil
	}
	if l := t.links[inodeIn(&t.st)]; l != nil {
		e := t.describe(TypeLink)
		e.Link = []byte(l.first)
		if l.left--; l.left == 0 {
			delete(t.links, inodeIn(&t.st))
			t.linked -= int64(dirMemory + len(l.first))
		}
		return e, nil
	}
	e := t.describe(kind)
	path := procFD(fd)
	switch kind {
	case TypeFile:
		if fd, err = reopen(fd, dir, comp, inodeIn(&t.st)); err != nil {
			return nil, err
		}
		t.fd, path = fd, ""
		err = unix.Fstat(fd, &t.st)
		e.Size = t.st.Size
		t.findHoles()
	case TypeSymlink:
		e.Link = make([]byte, maxTarget+1)
		n := 0
		n, err = readlinkat(fd, cname("\x00"), e.Link)
		e.Link = e.Link[:n]
	default:
		e.Major, e.Minor = unix.Major(uint64(t.st.Rdev)), unix.Minor(uint64(t.st.Rdev))
	}
	if err == nil {
		if e.xattrs, err = readAttrs(fd, path); err == unix.ENOENT && path != "" {
			t.rep.note("special file", "copied without attributes", errNoProc.Error(), t.path)
			err = nil
		}
	}
	return e, err
}

// onOverlay reports whether a file is on an overlayfs, whose files may have the device of the file
// system that they come from, while its directories have its own.
func onOverlay(fd int) bool {
	var st unix.Statfs_t
	return unix.Fstatfs(fd, &st) == nil && uint32(st.Type) == overlayMagic
}

// findHoles sets the extents of the current regular file. Where the file system doesn't tell holes,
// and where there are too many of them, all is taken as content.
func (t *tree) findHoles() {
	e := &t.entry
	for at := int64(0); at < e.Size; {
		data, err := unix.Seek(t.fd, at, unix.SEEK_DATA)
		if err == unix.ENXIO || err == nil && data >= e.Size {
			break // only a hole is left
		}
		hole := e.Size
		if err != nil || data < at || e.extents.n == maxExtents-1 {
			data = at
		} else if end, err := unix.Seek(t.fd, data, unix.SEEK_HOLE); err == nil && end > data {
			hole = min(end, hole)
		}
		e.extents.add(Extent{data, hole - data})
		e.stored += hole - data
		at = hole
	}
	e.Sparse = e.stored < e.Size
}

// chunk implements entries.
func (t *tree) chunk(max int64) ([]byte, error) {
	if t.piece.Length == 0 {
		if t.pieces == t.entry.extents.n || t.fd == 0 {
			return nil, io.EOF
		}
		t.piece = t.entry.extents.at(t.pieces)
		t.pieces++
	}
	for {
		n, err := unix.Pread(t.fd, t.buf[:min(max, t.piece.Length, bufferSize)], t.piece.Offset)
		if err == unix.EINTR {
			continue
		}
		if err == nil && n == 0 {
			err = errChanged // it has become shorter
		}
		if err != nil {
			return nil, t.fail(err)
		}
		t.piece.Offset += int64(n)
		t.piece.Length -= int64(n)
		return t.buf[:n], nil
	}
}

// share makes the new file fd share the blocks of the current regular file, and reports whether it
// could.
func (t *tree) share(fd int) bool {
	if t.unshared || t.fd == 0 || t.entry.Size == 0 {
		return false
	}
	err := unix.IoctlFileClone(fd, t.fd)
	switch err {
	case unix.EXDEV, unix.EOPNOTSUPP, unix.ENOTTY, unix.ENOSYS:
		t.unshared = true // for other errors, another file may have better luck
	}
	return err == nil
}
