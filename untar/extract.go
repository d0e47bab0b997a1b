package untar

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrNotEmpty says that a strict extraction found something in the root.
var ErrNotEmpty = errors.New("the directory is not empty")

var (
	errRootType    = errors.New("the root entry is not a directory")
	errRootLink    = errors.New("hard link to the root")
	errNoTarget    = errors.New("empty link target")
	errLongTarget  = errors.New("link target is too long")
	errTargetNUL   = errors.New("link target with a NUL byte")
	errTargetGone  = errors.New("target of the hard link is not in the archive")
	errTargetDir   = errors.New("hard link to a directory")
	errTooMany     = errors.New("too many entries")
	errTooManyDirs = errors.New("too many directories")
	errFull        = errors.New("a directory that is not empty is in the way")
	errFixed       = errors.New("what is in the way can't be removed")
	errReplaced    = errors.New("another process put something else in its place")
	errWhiteout    = errors.New("bad whiteout name")
)

// An extractor is one run of Root.Extract.
type extractor struct {
	root *Root
	opt  Options
	in   *stream
	rep  Report

	chown bool // owners are set
	// implicitUID and implicitGID own the directories that the archive leaves out.
	implicitUID, implicitGID uint32
	uid, gid                 uint32
	noPriv                   string // why a privilege is missing, for notes

	dirs        dirStack // the parent of the entry at hand
	targets     dirStack // the parent of a hard link's target
	rootInherit inherit
	rootAccess  access
	directories map[string]directory // what remains to be set, by clean path
	skipped     map[string]struct{}  // paths of devices that could not be made
	memory      int64                // of directories and skipped
	made        map[uint64]struct{}  // hashes of paths made by this run; nil: not kept
	seed        maphash.Seed
	purged      map[uint64]struct{} // hashes of paths that hold nothing of the lower layers
	selection   *selection
	logical     int64

	stripped, target, canon []byte // clean paths, used again for every entry
	name, name2, attr       cname
}

// A directory is the metadata of a directory, to be set when nothing is made in it any
// more.
type directory struct {
	mode     uint32
	uid, gid uint32
	sec      int64
	nsec     int32
	named    bool // by the archive, not only a parent of what it names
	fresh    bool // made by this run, as 0700
	inherit       // of what is made in it
	attrs    []xattr
}

// Extract reads an uncompressed archive to its end and writes it below the
// root. The report is never nil. Extract sets the process's umask to 0 while it
// runs; it is not for concurrent use. What it wrote is durable only after Sync.
//
// An error is a *FormatError where the archive is at fault, else what the
// reader or a system call said, with the entry's name. What was extracted until
// then stays.
func (r *Root) Extract(tar io.Reader, opt Options) (*Report, error) {
	x := &extractor{
		root:        r,
		opt:         opt,
		in:          newStream(tar, opt.Strict, opt.Vouched),
		dirs:        r.dirs(),
		targets:     r.dirs(),
		directories: make(map[string]directory),
		uid:         uint32(os.Geteuid()),
		gid:         uint32(os.Getegid()),
	}
	defer x.dirs.close()
	defer x.targets.close()
	var err error
	if x.selection, err = newSelection(opt); err != nil {
		return &x.rep, err
	}
	x.detectPrivilege()
	x.implicitUID, x.implicitGID = x.uid, x.gid
	if opt.IDMap != nil {
		var ok1, ok2 bool
		x.implicitUID, ok1 = idMap(opt.IDMap).id(0, false)
		x.implicitGID, ok2 = idMap(opt.IDMap).id(0, true)
		if !ok1 || !ok2 {
			return &x.rep, &OwnerError{0, 0, unix.EINVAL}
		}
		r.owner = &owner{x.implicitUID, x.implicitGID}
	}
	// First, so that nobody adds a name after the look.
	if opt.DeferRoot {
		if err := r.deferRoot(); err != nil {
			return &x.rep, err
		}
	}
	empty, err := r.IsEmpty()
	if err != nil {
		return &x.rep, err
	}
	if !empty && opt.Strict && !opt.Layer && !opt.Merge {
		return &x.rep, ErrNotEmpty
	}
	if !empty || opt.Layer {
		x.made, x.seed = make(map[uint64]struct{}), maphash.MakeSeed()
	}
	r.merged = nil
	if opt.Merge && x.made != nil {
		r.merged = x
	}
	x.targets.most = 8 // with what was left last and a removal's own, few enough
	r.known.start(empty && x.isOurs(r.fd), true)
	defer r.known.start(false, false)
	old := unix.Umask(0)
	defer unix.Umask(old)
	if err := x.run(); err != nil {
		return &x.rep, err
	}
	return &x.rep, x.finish()
}

// detectPrivilege finds out what the process may do. A user namespace is
// recognised for the wording only: what fails there fails by its errno.
func (x *extractor) detectPrivilege() {
	switch p := x.opt.Privilege; {
	case p == User, p == DetectPrivilege && x.uid != 0:
		x.rep.Privilege, x.noPriv = "user", "not root"
	case inUserNamespace():
		x.chown, x.rep.Privilege, x.noPriv = true, "user namespace", "user namespace"
	default:
		x.chown, x.rep.Privilege, x.noPriv = true, "root", "not permitted"
	}
	if x.opt.IDMap != nil {
		x.noPriv = "user namespace" // of the container to come
	}
}

// inUserNamespace reports whether /proc shows a user namespace that lacks some
// of the IDs.
func inUserNamespace() bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return false
	}
	fields := strings.Fields(string(text))
	return !slices.Equal(fields, []string{"0", "0", "4294967295"})
}

func (x *extractor) run() error {
	for {
		e, err := x.in.next()
		if err == io.EOF {
			return x.selection.missing()
		}
		if err != nil {
			return err
		}
		x.rep.Entries++
		if x.rep.Entries > x.selection.maxEntries {
			return x.in.bad(x.in.off, errTooMany)
		}
		if err := x.entry(e); err != nil && !x.leaveOut(e, err) {
			return fmt.Errorf("entry %s: %w", quote(e.Name), err)
		}
	}
}

// LeftOut is the fate of a Note about entries that gave way to what the root held.
const LeftOut = "left out"

// leaveOut passes over an entry of a merge that can't be made, since what is in
// the root stays, and reports whether it did. An error would cost the root more:
// LXC removes it with all that it holds when its template fails.
func (x *extractor) leaveOut(e *Entry, err error) bool {
	if x.opt.Merge {
		for _, why := range []error{errFull, errFixed, errNotDir, errTargetGone} {
			if errors.Is(err, why) {
				x.rep.note("entry", LeftOut, why.Error(), e.Name)
				return true
			}
		}
	}
	return false
}

// entry extracts one entry.
func (x *extractor) entry(e *Entry) error {
	if ok, err := x.selection.selects(e.Name); err != nil || !ok {
		return err
	}
	path := x.selection.path
	if n := x.opt.Strip; n > 0 {
		name, ok := stripComponents(e.Name, n)
		if !ok {
			return nil
		}
		var err error
		if path, err = cleanName(x.stripped[:0], name); err != nil {
			return err
		}
		x.stripped = path
	}
	if x.opt.Each != nil {
		x.opt.Each(e)
	}
	if e.Unknown() {
		x.rep.note("entry", "of an unknown type taken as a file", fmt.Sprintf("type %q", e.Flag), e.Name)
	}
	if len(path) == 0 {
		if e.Type != TypeDir {
			return errRootType
		}
		x.root.named = true
		if err := idMap(x.opt.IDMap).owners(x, e); err != nil {
			return err
		}
		return x.keepDir(path, e, directory{})
	}
	if err := idMap(x.opt.IDMap).owners(x, e); err != nil {
		return err
	}
	dir, base := splitPath(path)
	if x.opt.Layer {
		if bytes.HasPrefix(base, []byte(whiteoutPrefix)) {
			return x.whiteout(dir, base)
		}
	}
	fd, path, err := x.parent(path, dir)
	if err != nil {
		return err
	}
	name := x.name.set(base)
	if x.opt.KeepOld && e.Type != TypeDir {
		var st unix.Stat_t
		if err := lstatat(fd, name, &st); err == nil && !x.isMade(path) {
			x.rep.note("file", "kept as it was", "it exists", e.Name)
			return nil
		}
	}
	if _, ok := x.skipped[string(path)]; ok { // one before it of the same name
		delete(x.skipped, string(path))
		x.memory -= int64(dirMemory + len(path))
	}
	switch e.Type {
	case TypeDir:
		err = x.dir(fd, name, path, e)
	case TypeFile:
		err = x.file(fd, name, path, e)
	case TypeSymlink:
		err = x.symlink(fd, name, path, e)
	case TypeLink:
		err = x.link(fd, name, path, e)
	case TypeChar, TypeBlock, TypeFIFO:
		err = x.device(fd, name, path, e)
	}
	if _, skipped := x.skipped[string(path)]; err == nil && !skipped {
		x.mark(path)
	}
	return err
}

func (x *extractor) mark(path []byte) {
	if x.made != nil {
		x.made[maphash.Bytes(x.seed, path)] = struct{}{}
	}
}

// isMade reports whether the path was made by this run. It is so for every path
// where the root was empty at the start.
func (x *extractor) isMade(path []byte) bool {
	if x.made == nil {
		return true
	}
	_, ok := x.made[maphash.Bytes(x.seed, path)]
	return ok
}

// parent opens the directory that the entry at path belongs into and makes those
// that are missing. It returns the path again, which is another one where a
// layer's parent is a link.
func (x *extractor) parent(path, dir []byte) (int, []byte, error) {
	fd, rest, err := x.dirs.enter(dir)
	if err != nil && isNotDir(err) && x.opt.Layer {
		canon, rerr := x.root.resolve(string(dir), resolveOptions{last: true, create: 0755})
		if rerr != nil {
			return -1, nil, rerr
		}
		base := path[len(dir)+1:]
		if x.canon = append(x.canon[:0], canon...); len(canon) > 0 {
			x.canon = append(x.canon, '/')
		}
		x.canon = append(x.canon, base...)
		path, dir = x.canon, x.canon[:len(canon)]
		fd, rest, err = x.dirs.enter(dir)
	}
	for err == unix.ENOENT {
		// The components up to rest exist; make the first of rest.
		component := rest
		if i := bytes.IndexByte(rest, '/'); i >= 0 {
			component = rest[:i]
		}
		in := x.inherits(fd)
		if err := mkdirat(fd, x.name.set(component), 0700); err != nil {
			return -1, nil, err
		}
		made := dir[:len(dir)-len(rest)+len(component)]
		f := directory{mode: 0755, uid: x.implicitUID, gid: x.implicitGID, fresh: true}
		if in == inheritNothing {
			f.inherit = in
		}
		if err := x.putDir(made, f); err != nil {
			return -1, nil, err
		}
		fd, rest, err = x.dirs.enter(dir)
	}
	if err != nil && isNotDir(err) {
		err = errNotDir
	}
	return fd, path, err
}

// inherits finds out what is given to new files in the directory fd, the last of
// x.dirs.
func (x *extractor) inherits(fd int) inherit {
	in := x.dirs.inherits(x.rootInherit)
	if in != inheritUnknown {
		return in
	}
	f, ok := x.directories[string(x.dirs.path)]
	if !ok || !f.fresh {
		return inheritUnknown // not made by us: the first file will tell
	}
	if f.inherit == inheritUnknown {
		var st unix.Stat_t
		f.inherit = inheritSome
		if unix.Fstat(fd, &st) == nil && st.Uid == x.uid && st.Gid == x.gid && st.Mode&07777 == 0700 && !hasDefaultACL(fd) {
			f.inherit = inheritNothing
		}
		x.directories[string(x.dirs.path)] = f
	}
	x.setInherit(f.inherit)
	return f.inherit
}

// isOurs reports whether nobody else can change names in the directory fd, the last
// of x.dirs. So it is in all that were made by this run, until the end.
func (x *extractor) isOurs(fd int) bool {
	a := &x.rootAccess
	if n := len(x.dirs.levels); n > 0 {
		a = &x.dirs.levels[n-1].access
	}
	if *a == accessUnknown {
		*a = accessOthers
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil && st.Uid == x.uid && st.Mode&022 == 0 {
			*a = accessOurs
		}
	}
	return *a == accessOurs
}

func (x *extractor) setInherit(in inherit) {
	if n := len(x.dirs.levels); n > 0 {
		x.dirs.levels[n-1].inherit = in
	} else {
		x.rootInherit = in
	}
}

// passesOn reports whether a directory may give what is made in it something of
// its own: an ACL, or its setgid bit, which shows only on directories where the
// group is the caller's.
func passesOn(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) != nil || st.Mode&unix.S_ISGID != 0 || hasDefaultACL(fd)
}

// hasDefaultACL reports whether a directory may have an ACL that new files inherit.
func hasDefaultACL(fd int) bool {
	_, err := unix.Fgetxattr(fd, "system.posix_acl_default", nil)
	return err != unix.ENODATA && err != unix.EOPNOTSUPP
}

// ours reports whether a new file has the entry's owner without a chown.
func (x *extractor) ours(e *Entry) bool { return !x.chown || e.UID == x.uid && e.GID == x.gid }

// mode is the entry's mode, without the bits that would lend the caller's
// rights to others where the owner is not the archive's.
func (x *extractor) mode(e *Entry) uint32 {
	mode := e.Mode
	if !x.chown {
		if e.UID != x.uid {
			mode &^= unix.S_ISUID
		}
		if e.GID != x.gid && e.Type != TypeDir {
			mode &^= unix.S_ISGID
		}
		if mode != e.Mode {
			x.rep.note("setuid or setgid bit", "dropped", x.noPriv, e.Name)
		}
	}
	return mode
}

// ErrTooBig says that an archive holds more bytes than Options.MaxBytes, or
// longer files than any disk has.
var ErrTooBig = errors.New("more content than allowed")

// An OwnerError is an owner that can't be set.
type OwnerError struct {
	UID, GID uint32
	Err      error // EINVAL: the user namespace maps no such ID
}

func (e *OwnerError) Error() string {
	if e.Err == unix.EINVAL {
		return fmt.Sprintf("owner %d:%d has no mapping in this user namespace", e.UID, e.GID)
	}
	return fmt.Sprintf("set owner %d:%d: %v", e.UID, e.GID, e.Err)
}

func (e *OwnerError) Unwrap() error { return e.Err }

// dir makes a directory or merges with one that exists.
func (x *extractor) dir(parent int, name cname, path []byte, e *Entry) error {
	if f, ok := x.directories[string(path)]; ok && f.fresh {
		return x.keepDir(path, e, f)
	}
	f := directory{fresh: true}
	in := x.inherits(parent)
	err := mkdirat(parent, name, 0700)
	if err == unix.EEXIST {
		var st unix.Stat_t
		if err := lstatat(parent, name, &st); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			if !x.chown && st.Mode&0700 != 0700 {
				x.makeWritable(parent, name)
			}
			return x.keepDir(path, e, directory{})
		}
		if err := x.clear(parent, name, path); err != nil {
			return err
		}
		err = mkdirat(parent, name, 0700)
	}
	if err != nil {
		return err
	}
	if in == inheritNothing {
		f.inherit = in
	}
	return x.keepDir(path, e, f)
}

// makeWritable lets the owner into a directory of his own whose mode keeps him
// out; the entry's mode replaces this one at the end.
func (x *extractor) makeWritable(parent int, name cname) {
	fd, err := openat(parent, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	unix.Fchmodat(unix.AT_FDCWD, procFD(fd), 0700, 0)
}

// keepDir remembers an entry's metadata for the end. The last entry of a
// path wins.
func (x *extractor) keepDir(path []byte, e *Entry, f directory) error {
	f.mode, f.uid, f.gid, f.sec, f.nsec, f.named = x.mode(e), e.UID, e.GID, e.Sec, e.Nsec, true
	x.noteOwner(e)
	f.attrs = nil
	for _, a := range x.attributes(e) {
		f.attrs = append(f.attrs, xattr{bytes.Clone(a.name), bytes.Clone(a.value)})
		x.memory += int64(len(a.name) + len(a.value) + 64)
	}
	return x.putDir(path, f)
}

func (x *extractor) putDir(path []byte, f directory) error {
	if _, ok := x.directories[string(path)]; !ok {
		x.memory += int64(dirMemory + len(path))
	}
	if x.memory > maxDirMemory {
		return errTooManyDirs
	}
	x.directories[string(path)] = f
	return nil
}

// noteOwner counts entries whose owner an ordinary user can't set.
func (x *extractor) noteOwner(e *Entry) {
	if !x.chown && (e.UID != x.uid || e.GID != x.gid) {
		x.rep.note("owner", "not kept", x.noPriv, e.Name)
	}
}

// clear removes what is at a name, to make room for an entry. A directory goes
// only when it is empty, unless it is a lower layer's.
func (x *extractor) clear(parent int, name cname, path []byte) error {
	err := unlinkat(parent, name, 0)
	if err == unix.EBUSY && x.opt.Merge {
		return errFixed
	}
	if err != unix.EISDIR && err != unix.EPERM {
		return err
	}
	err = removeDir(parent, name)
	if err == unix.ENOTEMPTY && x.opt.Layer {
		dir, base := splitPath(path)
		if err := x.purge(parent, dir, string(base)); err != nil {
			return err
		}
		err = removeDir(parent, name)
		if err == unix.ENOENT {
			err = nil
		}
	}
	switch err {
	case nil:
		delete(x.directories, string(path))
		x.targets.pop(0) // it may have passed through here
		x.root.known.forget(path)
	case unix.ENOTEMPTY, unix.EEXIST:
		return errFull
	case unix.EBUSY, unix.EPERM, unix.ENOTDIR: // a mount point, or immutable
		if x.opt.Merge {
			return errFixed
		}
	}
	return err
}

// file writes a regular file. The order matters: a write drops setuid bits and
// capabilities, and so does a chown; a chmod rewrites the mask of an ACL.
func (x *extractor) file(parent int, name cname, path []byte, e *Entry) error {
	if x.logical += e.Size; x.logical > maxLogical || e.Size > maxLogical {
		return ErrTooBig
	}
	if max := x.opt.MaxBytes; max > 0 && e.stored > max-x.rep.Bytes {
		return ErrTooBig
	}
	in := x.inherits(parent)
	mode := x.mode(e)
	attrs := x.attributes(e)
	ours := x.ours(e) && in == inheritNothing
	create := uint32(0600)
	if ours && mode&^0777 == 0 && len(attrs) == 0 {
		create = mode
	}
	const flags = unix.O_CREAT | unix.O_EXCL | unix.O_WRONLY | openFlags
	fd, err := openat(parent, name, flags, create)
	if err == unix.EEXIST {
		if err := x.clear(parent, name, path); err != nil {
			return err
		}
		fd, err = openat(parent, name, flags, create)
	}
	if err != nil {
		return err
	}
	err = x.fill(fd, e)
	if err == nil && in == inheritUnknown {
		var st unix.Stat_t
		in = inheritSome
		if unix.Fstat(fd, &st) == nil && st.Uid == x.uid && st.Gid == x.gid && st.Mode&07777 == create && !passesOn(parent) {
			in = inheritNothing
		}
		x.setInherit(in)
		ours = x.ours(e) && in == inheritNothing
	}
	if err == nil && x.chown && !ours {
		if err = unix.Fchown(fd, int(e.UID), int(e.GID)); err != nil {
			err = &OwnerError{e.UID, e.GID, err}
		}
	}
	if err == nil && len(attrs) > 0 {
		err = x.setAttrs(fd, attrs, beforeMode, e.Name)
	}
	if err == nil && (mode != create || !ours) {
		err = unix.Fchmod(fd, mode)
	}
	if err == nil && len(attrs) > 0 {
		err = x.setAttrs(fd, attrs, afterMode, e.Name)
	}
	if err == nil {
		err = x.timeErr(setTime(fd, nil, e.Sec, e.Nsec), e.Name)
	}
	if e := unix.Close(fd); err == nil && e != unix.EINTR {
		err = e
	}
	x.noteOwner(e)
	return err
}

// fill writes a file's content, and its holes by leaving them out.
func (x *extractor) fill(fd int, e *Entry) error {
	if !e.Sparse {
		for {
			b, err := x.in.chunk(e.stored)
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if err := writeFull(fd, b); err != nil {
				return err
			}
			x.rep.Bytes += int64(len(b))
		}
	}
	for i := range e.extents.n {
		piece := e.extents.at(i)
		for piece.Length > 0 {
			b, err := x.in.chunk(piece.Length)
			if err != nil {
				return err
			}
			if err := pwriteFull(fd, b, piece.Offset); err != nil {
				return err
			}
			x.rep.Bytes += int64(len(b))
			piece.Offset += int64(len(b))
			piece.Length -= int64(len(b))
		}
	}
	// A hole at the end, whatever the map says about it.
	return unix.Ftruncate(fd, e.Size)
}

// timeErr drops an error about a time, which no tree is worse for, unless the
// disk is.
func (x *extractor) timeErr(err error, name []byte) error {
	switch err {
	case nil, unix.EIO, unix.EROFS, unix.ENOSPC, unix.EDQUOT:
		return err
	}
	x.rep.note("time", "not kept", err.Error(), name)
	return nil
}

func (x *extractor) symlink(parent int, name cname, path []byte, e *Entry) error {
	switch {
	case len(e.Link) == 0:
		return errNoTarget
	case len(e.Link) > maxTarget:
		return errLongTarget
	case bytes.IndexByte(e.Link, 0) >= 0:
		return errTargetNUL
	}
	target := x.name2.set(e.Link)
	err := symlinkat(target, parent, name)
	if err == unix.EEXIST {
		if err := x.clear(parent, name, path); err != nil {
			return err
		}
		err = symlinkat(target, parent, name)
	}
	if err != nil {
		return err
	}
	return x.special(parent, name, e, unix.S_IFLNK, false)
}

// special sets the metadata of what can't be opened: a link or a device, and
// of the latter the mode.
func (x *extractor) special(parent int, name cname, e *Entry, mode uint32, chmod bool) error {
	x.noteOwner(e)
	odd := x.inherits(parent) != inheritNothing
	chown := x.chown && (odd || !x.ours(e))
	attrs := x.attributes(e)
	// mknod gives the exact mode where nothing is inherited, and chown takes
	// setuid bits away.
	chmod = chmod && (odd || chown && mode&06000 != 0)
	if chmod || len(attrs) > 0 || !x.isOurs(parent) {
		return x.viaProc(parent, name, e, attrs, mode, chown, chmod)
	}
	if chown {
		if err := lchownat(parent, name, e.UID, e.GID); err != nil {
			return &OwnerError{e.UID, e.GID, err}
		}
	}
	return x.timeErr(setTime(parent, name, e.Sec, e.Nsec), e.Name)
}

func (x *extractor) device(parent int, name cname, path []byte, e *Entry) error {
	mode := x.mode(e)
	thing := "device node"
	switch e.Type {
	case TypeChar:
		mode |= unix.S_IFCHR
	case TypeBlock:
		mode |= unix.S_IFBLK
	case TypeFIFO:
		mode |= unix.S_IFIFO
		thing = "named pipe"
	}
	if x.opt.IDMap != nil && e.Type != TypeFIFO && e.Major|e.Minor != 0 {
		// The container's root could not make it, and may not use it.
		x.rep.note(thing, "skipped", x.noPriv, e.Name)
		return x.skip(path)
	}
	err := mknodat(parent, name, mode, e.Major, e.Minor)
	if err == unix.EEXIST {
		// Whether it can be made is tried before what is there goes.
		trial := cname(proofName(newID()) + "\x00")
		if err = mknodat(parent, trial, mode, e.Major, e.Minor); err == nil {
			err = unlinkat(parent, trial, 0)
		}
		if err == nil {
			if err := x.clear(parent, name, path); err != nil {
				return err
			}
			err = mknodat(parent, name, mode, e.Major, e.Minor)
		}
	}
	if err == unix.EPERM || err == unix.EACCES && !x.chown {
		x.rep.note(thing, "skipped", x.noPriv, e.Name)
		return x.skip(path)
	}
	if err != nil {
		return err
	}
	return x.special(parent, name, e, mode, true)
}

// skip remembers a path that could not be made, for links to it.
func (x *extractor) skip(path []byte) error {
	if x.skipped == nil {
		x.skipped = make(map[string]struct{})
	}
	x.skipped[string(path)] = struct{}{}
	if x.memory += int64(dirMemory + len(path)); x.memory > maxDirMemory {
		return errTooManyDirs
	}
	return nil
}

// link makes a hard link. Its metadata is the target's; that of the entry is
// not applied.
func (x *extractor) link(parent int, name cname, path []byte, e *Entry) error {
	if len(e.Link) == 0 {
		return errNoTarget
	}
	target, err := cleanName(x.target[:0], e.Link)
	if err != nil {
		return fmt.Errorf("target %s: %w", quote(e.Link), err)
	}
	if n := x.opt.Strip; n > 0 {
		name, ok := stripComponents(e.Link, n)
		if !ok {
			return fmt.Errorf("target %s: %w", quote(e.Link), errTargetGone)
		}
		if target, err = cleanName(target[:0], name); err != nil {
			return err
		}
	}
	x.target = target
	if len(target) == 0 {
		return errRootLink
	}
	if _, ok := x.skipped[string(target)]; ok {
		x.rep.note("hard link", "skipped", "its target is", e.Name)
		return x.skip(path)
	}
	dir, base := splitPath(target)
	from, rest, err := parent, []byte(nil), error(nil)
	if !bytes.Equal(dir, x.dirs.path) {
		from, rest, err = x.targets.enter(dir)
		if err != nil && isNotDir(err) && x.opt.Layer {
			var canon []byte
			if canon, err = x.root.resolve(string(dir), resolveOptions{last: true}); err == nil {
				target = bytes.TrimPrefix(append(canon, target[len(dir):]...), []byte("/"))
				dir, base = splitPath(target)
				from, rest, err = x.targets.enter(dir)
			}
		}
	}
	switch {
	case len(rest) > 0 && err != nil && isNotDir(err):
		return fmt.Errorf("target %s: %w", quote(e.Link), errNotDir)
	case err == unix.ENOENT:
		return fmt.Errorf("target %s: %w", quote(e.Link), errTargetGone)
	case err != nil:
		return err
	}
	old := x.name2.set(base)
	var st unix.Stat_t
	if bytes.Equal(target, path) {
		// Old GNU tar writes links to themselves.
		if err := lstatat(from, old, &st); err != nil || x.opt.Merge && !x.isMade(target) {
			return fmt.Errorf("target %s: %w", quote(e.Link), errTargetGone)
		}
		return nil
	}
	if !x.opt.Layer && !x.isMade(target) {
		return fmt.Errorf("target %s: %w", quote(e.Link), errTargetGone)
	}
	err = linkat(from, old, parent, name)
	if err == unix.EEXIST {
		var was unix.Stat_t
		if lstatat(from, old, &st) == nil && lstatat(parent, name, &was) == nil && st.Dev == was.Dev && st.Ino == was.Ino {
			return nil
		}
		if err := x.clear(parent, name, path); err != nil {
			return err
		}
		if from != parent { // clear may have closed it
			if from, _, err = x.targets.enter(dir); err != nil {
				return err
			}
		}
		err = linkat(from, old, parent, name)
	}
	switch err {
	case nil:
		return nil
	case unix.ENOENT:
		return fmt.Errorf("target %s: %w", quote(e.Link), errTargetGone)
	case unix.EPERM, unix.EMLINK, unix.EXDEV, unix.EOPNOTSUPP:
		if lerr := lstatat(from, old, &st); lerr != nil {
			return lerr
		}
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			return fmt.Errorf("target %s: %w", quote(e.Link), errTargetDir)
		}
		if cerr := x.copyFile(from, old, parent, name, &st); cerr != nil {
			return fmt.Errorf("copy %s for a link (%v): %w", quote(e.Link), err, cerr)
		}
		x.rep.note("hard link", "replaced by a copy", err.Error(), e.Name)
		return nil
	}
	return err
}

// finish sets the metadata of all directories, every one after those below it.
func (x *extractor) finish() error {
	paths := make([]string, 0, len(x.directories))
	for p := range x.directories {
		paths = append(paths, p)
	}
	slices.SortFunc(paths, comparePaths)
	x.targets.pop(0)
	for _, path := range slices.Backward(paths) {
		f := x.directories[path]
		fd, _, err := x.dirs.enter([]byte(path))
		switch {
		case err == unix.ENOENT || err != nil && isNotDir(err):
			continue // replaced meanwhile
		case err == nil && path == "" && x.opt.DeferRoot:
			f := f
			x.root.deferred.directory, x.root.deferred.x = &f, x
		case err == nil:
			err = x.applyDir(fd, f, []byte(path))
		}
		if err != nil {
			return fmt.Errorf("directory %s: %w", quote([]byte(path)), err)
		}
	}
	return nil
}

// comparePaths orders paths so that a directory comes right before what is below
// it.
func comparePaths(a, b string) int {
	for i := 0; i < len(a) && i < len(b); i++ {
		if a[i] != b[i] {
			switch {
			case a[i] == '/':
				return -1
			case b[i] == '/':
				return 1
			}
			return int(a[i]) - int(b[i])
		}
	}
	return len(a) - len(b)
}

// applyDir gives a directory its owner, mode, attributes and time.
func (x *extractor) applyDir(fd int, f directory, path []byte) error {
	known := f.fresh && f.inherit == inheritNothing // it is ours and 0700
	if x.chown && !(known && f.uid == x.uid && f.gid == x.gid) {
		if err := unix.Fchown(fd, int(f.uid), int(f.gid)); err != nil {
			return &OwnerError{f.uid, f.gid, err}
		}
	}
	if len(f.attrs) > 0 {
		if err := x.setAttrs(fd, f.attrs, beforeMode, path); err != nil {
			return err
		}
	}
	if !known || f.mode != 0700 {
		if err := unix.Fchmod(fd, f.mode); err != nil {
			return err
		}
	}
	if len(f.attrs) > 0 {
		if err := x.setAttrs(fd, f.attrs, afterMode, path); err != nil {
			return err
		}
	}
	if !f.named {
		return nil
	}
	return x.timeErr(setTime(fd, nil, f.sec, f.nsec), path)
}
