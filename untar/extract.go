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

// ErrNotEmpty means that the root of a strict extraction is not empty.
var ErrNotEmpty error = textError("the directory is not empty")

// ErrTooBig means that an archive has more content than Limits.Bytes, or a file that is
// longer than any disk.
var ErrTooBig error = textError("more content than allowed")

var (
	errRootType    error = textError("the root entry is not a directory")
	errTooMany     error = textError("too many entries")
	errTooManyDirs error = textError("too many directories")
	errIsLink      error = textError("a parent is a symbolic link")
	errFull        error = textError("a directory that is not empty is in the way")
	errFixed       error = textError("a mount point or an immutable file is in the way")
	errReplaced    error = textError("another process replaced it")
	errTheirs      error = textError("another file is in the way")
)

// LeftOut is the Fate of a Note about entries that a merge skipped because the root
// already had something else at their names.
const LeftOut = "left out"

// An extractor is one run of Root.Extract.
type extractor struct {
	root *Root
	opt  Options
	input
	rep       Report
	self      ownership
	selection *selection

	dirs    dirStack // the parent of the current entry
	targets dirStack // the parent of a hard link's target

	kept    keptPaths
	made    madePaths
	logical int64 // sum of all file sizes so far, holes included
	buf     buffers
}

// An input is the files of which an extractor makes a tree.
type input struct {
	_    [0]func() // forbids ==, whose code nothing needs
	in   entries
	tree *tree // the directory that is copied; nil: in is an archive
}

// ownership says who owns the new files, and which owners the process can set.
type ownership struct {
	_        [0]func() // forbids ==, whose code nothing needs
	uid, gid uint32    // the process's own
	chown    bool      // set the owners from the archive
	reason   string    // why a privilege is missing, for notes
	implicit owner     // of directories without an entry of their own
}

// keptPaths are paths whose data is kept until the end of the run.
type keptPaths struct {
	directories map[string]directory // metadata to set at the end, by clean path
	skipped     map[string]struct{}  // devices that could not be made
	memory      int64                // bytes used by both, at most maxDirMemory
}

// madePaths remembers the paths that a run made, as hashes.
type madePaths struct {
	seed   maphash.Seed
	hashes map[uint64]struct{} // nil: the root was empty, so the run made every path
	purged map[uint64]struct{} // paths at which no file of a lower layer is left
	// inodes has what all layers of a merge made, by the hash of the path: the file's inode
	// number, or 0 for a directory that was there before and contains such files. It is nil
	// outside of such a merge. Only the file that has the number is removed: as long as a file
	// from before the merge exists, no other file of its file system has its number. So a
	// collision of two hashes can't remove it.
	inodes map[uint64]uint64
}

// buffers are reused for every entry, so that an entry causes no garbage.
type buffers struct {
	stripped, target, canon []byte // clean paths
	name, name2, attr       cname
}

// add remembers a path that this run made.
func (m *madePaths) add(path []byte) {
	if m.hashes != nil {
		m.hashes[maphash.Bytes(m.seed, path)] = struct{}{}
	}
}

// has reports whether this run made the path.
func (m *madePaths) has(path []byte) bool {
	if m.hashes == nil {
		return true
	}
	_, ok := m.hashes[maphash.Bytes(m.seed, path)]
	return ok
}

// origin says what a layer may do with the file at a name: it goes if this run made it. In a
// merge of layers all other files stay; a directory with files that this run made is shared.
func (m *madePaths) origin(dir int, name cname, path []byte) verdict {
	if m.inodes == nil {
		return goes
	}
	ino, ok := m.inodes[maphash.Bytes(m.seed, path)]
	var st unix.Stat_t
	switch {
	case !ok:
		return stays
	case ino == 0:
		return shared
	case lstatat(dir, name, &st) != nil || st.Ino != ino:
		return stays
	}
	return goes
}

// addFile remembers a new file of a merge of layers.
func (x *extractor) addFile(dir int, name cname, path []byte) error {
	m := x.made.inodes
	var st unix.Stat_t
	if m == nil || lstatat(dir, name, &st) != nil {
		return nil
	}
	for ino := st.Ino; ; ino = 0 {
		h := maphash.Bytes(x.made.seed, path)
		if _, ok := m[h]; ok && ino == 0 {
			break
		}
		if m[h] = ino; len(path) == 0 {
			break
		}
		path, _ = splitPath(path)
	}
	if int64(len(m)) > x.selection.maxEntries {
		return errTooMany
	}
	return nil
}

// Extract reads an uncompressed archive to its end and writes it below the root. The
// report is never nil. Extract sets the process's umask to 0 while it runs, so it must
// not run concurrently with other code that makes files. Call Sync to make the result
// durable. A large archive is partly written to the disk before (syncfs(2)).
//
// The error is a *FormatError if the archive is bad. Otherwise it is the error of tar's
// Read or of a system call, with the entry's name. Files that were extracted before an
// error stay.
func (r *Root) Extract(tar io.Reader, opt Options) (*Report, error) {
	in := newStream(opt.Filter.recognizeIn(tar), opt.Strict, opt.Vouched)
	in.parser.layer = opt.Layer // an image may have layers that change nothing
	return r.extract(in, opt)
}

// extract makes the files of in, as Extract does.
func (r *Root) extract(in entries, opt Options) (*Report, error) {
	x := &extractor{
		root:    r,
		opt:     opt,
		self:    ownership{uid: uint32(os.Geteuid()), gid: uint32(os.Getegid())},
		dirs:    r.dirs(),
		targets: r.dirs(),
		kept:    keptPaths{directories: make(map[string]directory)},
	}
	defer x.dirs.close()
	defer x.targets.close()
	var err error
	if x.selection, err = newSelection(&opt); err != nil {
		return &x.rep, err
	}
	if x.in, err = x.within(in); err != nil {
		return &x.rep, err
	}
	x.detectPrivilege()
	x.self.implicit = owner{x.self.uid, x.self.gid}
	if opt.Metadata.IDMap != nil {
		uid, ok1 := idMap(opt.Metadata.IDMap).id(0, false)
		gid, ok2 := idMap(opt.Metadata.IDMap).id(0, true)
		if x.self.implicit = (owner{uid, gid}); !ok1 || !ok2 {
			return &x.rep, &OwnerError{0, 0, unix.EINVAL}
		}
		r.owner = &owner{uid, gid}
	}
	// Close the root first, so that no other user can add a name after IsEmpty.
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
		x.made.hashes, x.made.seed = make(map[uint64]struct{}), maphash.MakeSeed()
	}
	if opt.Merge && opt.Layer {
		if x.made.inodes = make(map[uint64]uint64); r.merged != nil && r.merged.inodes != nil {
			x.made.seed, x.made.inodes = r.merged.seed, r.merged.inodes
		}
	}
	r.merged = nil
	if opt.Merge && x.made.hashes != nil {
		r.merged = &x.made
	}
	x.targets.most = 8 // keeps the sum of all descriptors below 32, see maxOpenDirs
	if t, ok := in.(*tree); ok {
		x.tree, t.rep = t, &x.rep
		x.dirs.most, x.targets.most = maxOpenDirs-sourceLevels, 8-sourceLevels
	}
	r.known.start(empty && x.isOurs(r.fd), true)
	defer r.known.start(false, false)
	old := unix.Umask(0)
	defer unix.Umask(old)
	if err := x.run(); err != nil {
		return &x.rep, err
	}
	return &x.rep, x.finish()
}

// detectPrivilege decides whether owners are set. The text about a user namespace is for
// notes only: a call that the namespace does not allow fails with its errno.
func (x *extractor) detectPrivilege() {
	switch p := x.opt.Metadata.Privilege; {
	case p == User, p == DetectPrivilege && x.self.uid != 0:
		x.rep.Privilege, x.self.reason = "user", "not root"
	case inUserNamespace():
		x.self.chown, x.rep.Privilege, x.self.reason = true, "user namespace", "user namespace"
	default:
		x.self.chown, x.rep.Privilege, x.self.reason = true, "root", "not permitted"
	}
	if x.opt.Metadata.IDMap != nil {
		x.self.reason = "user namespace" // the one in which the container will run
	}
}

// inUserNamespace reports whether the process is in a user namespace that does not map
// all IDs to themselves.
func inUserNamespace() bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return false
	}
	fields := strings.Fields(string(text))
	return !slices.Equal(fields, []string{"0", "0", "4294967295"})
}

// run extracts all entries.
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
			return x.in.fail(errTooMany)
		}
		if err := x.stopped(); err != nil {
			return err
		}
		if err := x.entry(e); err != nil && !x.leaveOut(e, err) {
			return fmt.Errorf("entry %s: %w", quote(e.Name), err)
		}
	}
}

// stopped returns the error with which the caller ends the extraction.
func (x *extractor) stopped() error {
	if x.opt.Stop == nil {
		return nil
	}
	return x.opt.Stop()
}

// leaveOut reports whether a merge can go on without the entry, and notes it then. A
// merge keeps what the root has. To fail instead would lose more: LXC removes the whole
// root when its template fails.
func (x *extractor) leaveOut(e *Entry, err error) bool {
	if x.opt.Merge {
		for _, why := range []error{errFull, errFixed, errTheirs, errNotDir, errTargetGone, errTargetDir, errWhiteout, unix.ENOTDIR, unix.ELOOP} {
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
	if n := x.opt.Filter.Strip; n > 0 {
		name, ok := stripComponents(e.Name, n)
		if !ok {
			return nil
		}
		var err error
		if path, err = cleanName(x.buf.stripped[:0], name); err != nil {
			return err
		}
		x.buf.stripped = path
	}
	if x.tree != nil {
		if x.tree.selected = true; e.Type != TypeLink {
			if err := x.tree.checkOwner(); err != nil {
				return err
			}
		}
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
		if err := idMap(x.opt.Metadata.IDMap).owners(x, e); err != nil {
			return err
		}
		return x.keepDir(path, e, directory{})
	}
	if err := idMap(x.opt.Metadata.IDMap).owners(x, e); err != nil {
		return err
	}
	dir, base := splitPath(path)
	if x.opt.Layer && isWhiteout(base) {
		return x.whiteout(dir, base)
	}
	fd, path, err := x.parent(path, dir)
	if err != nil {
		return err
	}
	return x.make(fd, x.buf.name.set(base), path, e)
}

// make makes the entry's file in its parent directory.
func (x *extractor) make(parent int, name cname, path []byte, e *Entry) (err error) {
	if x.opt.KeepOld && e.Type != TypeDir {
		var st unix.Stat_t
		if err := lstatat(parent, name, &st); err == nil && !x.made.has(path) {
			x.rep.note("file", "kept as it was", "it exists", e.Name)
			return nil
		}
	}
	if _, ok := x.kept.skipped[string(path)]; ok { // an earlier entry of the same name
		delete(x.kept.skipped, string(path))
		x.kept.memory -= int64(dirMemory + len(path))
	}
	switch e.Type {
	case TypeDir:
		err = x.dir(parent, name, path, e)
	case TypeFile:
		err = x.file(parent, name, path, e)
	case TypeSymlink:
		err = x.symlink(parent, name, path, e)
	case TypeLink:
		err = x.link(parent, name, path, e)
	case TypeChar, TypeBlock, TypeFIFO:
		err = x.device(parent, name, path, e)
	case typeSocket:
		x.rep.note("socket", "skipped", "the program that listens makes it", e.Name)
		err = x.skip(path)
	}
	if _, skipped := x.kept.skipped[string(path)]; err == nil && !skipped {
		x.made.add(path)
		if e.Type != TypeDir {
			return x.addFile(parent, name, path)
		}
	}
	return err
}

// parent opens dir, the parent directory of path, and makes the missing directories on
// the way. It returns the directory's descriptor, and path with a layer's links resolved.
func (x *extractor) parent(path, dir []byte) (int, []byte, error) {
	fd, rest, err := x.dirs.enter(dir)
	if err != nil && isNotDir(err) && x.opt.Layer {
		if err = x.makeParent(fd, dir, rest, x.inherits(fd)); err == nil {
			fd, rest, err = x.dirs.enter(dir)
		}
	}
	if err == errIsLink {
		canon, rerr := x.root.resolve(string(dir), resolveOptions{last: true, create: 0755, layer: x})
		if rerr != nil {
			return -1, nil, rerr
		}
		base := path[len(dir)+1:]
		if x.buf.canon = append(x.buf.canon[:0], canon...); len(canon) > 0 {
			x.buf.canon = append(x.buf.canon, '/')
		}
		x.buf.canon = append(x.buf.canon, base...)
		path, dir = x.buf.canon, x.buf.canon[:len(canon)]
		fd, rest, err = x.dirs.enter(dir)
	}
	for err == unix.ENOENT {
		if err := x.makeParent(fd, dir, rest, x.inherits(fd)); err != nil {
			return -1, nil, err
		}
		fd, rest, err = x.dirs.enter(dir)
	}
	if err != nil && isNotDir(err) {
		err = errNotDir
	}
	if err == nil && x.opt.Layer {
		err = x.noteLower(fd, dir)
	}
	return fd, path, err
}

// makeParent makes a missing directory without an entry: the first component of rest, which is
// the end of dir. fd is open on the directory before rest. in is what that directory passes on.
// In a layer it replaces a lower layer's file; the error is errIsLink if that is a symbolic link.
func (x *extractor) makeParent(fd int, dir, rest []byte, in inherit) error {
	component, _, _ := bytes.Cut(rest, []byte("/"))
	at := len(dir) - len(rest)
	name := x.buf.name.set(component)
	if x.opt.Layer {
		var st unix.Stat_t
		there := lstatat(fd, name, &st) == nil
		if there && st.Mode&unix.S_IFMT == unix.S_IFLNK {
			return errIsLink
		}
		if path := dir[:at+len(component)]; there && (x.made.has(path) || x.made.origin(fd, name, path) != goes) {
			return errNotDir // of this layer, or from before a merge
		}
		err := x.noteLower(fd, dir[:max(at-1, 0)])
		if err == nil && there {
			err = unlinkat(fd, name, 0)
		}
		if err != nil {
			return err
		}
	}
	if err := mkdirat(fd, name, 0700); err != nil {
		return err
	}
	f := directory{mode: 0755, uid: x.self.implicit.uid, gid: x.self.implicit.gid, fresh: true}
	if in == inheritNothing {
		f.inherit = in
	}
	path := dir[:at+len(component)]
	if err := x.addFile(fd, x.buf.name, path); err != nil {
		return err
	}
	return x.putDir(path, f)
}

// clear removes the file or the empty directory at a name, to make room for an entry. In
// a layer it also removes a directory with its content, if a lower layer made the directory. A
// merge of layers keeps what was there before, and removes only what lower layers made in it.
func (x *extractor) clear(parent int, name cname, path []byte) error {
	is, err := x.made.origin(parent, name, path), error(nil)
	if is == stays {
		return errTheirs
	}
	if is == goes {
		err = unlinkat(parent, name, 0)
		if err == unix.EBUSY && x.opt.Merge {
			return errFixed
		}
		if err != unix.EISDIR && err != unix.EPERM {
			return err
		}
		err = removeDir(parent, name)
	}
	if is == shared || err == unix.ENOTEMPTY && x.opt.Layer {
		dir, base := splitPath(path)
		if err := x.purge(parent, dir, string(base)); err != nil {
			return err
		}
		if is == shared {
			return errTheirs
		}
		err = removeDir(parent, name)
		if err == unix.ENOENT {
			err = nil
		}
	}
	switch err {
	case nil:
		delete(x.kept.directories, string(path))
		x.targets.pop(0) // its path may contain the removed directory
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

// keepsOwner reports whether a new file has the entry's owner without a chown.
func (x *extractor) keepsOwner(e *Entry) bool {
	return !x.self.chown || e.UID == x.self.uid && e.GID == x.self.gid
}

// mode returns the entry's mode. If the owner is not set, it drops the setuid and setgid
// bits: they would give the caller's rights to others.
func (x *extractor) mode(e *Entry) uint32 {
	mode := e.Mode
	if !x.self.chown {
		if e.UID != x.self.uid {
			mode &^= unix.S_ISUID
		}
		if e.GID != x.self.gid && e.Type != TypeDir {
			mode &^= unix.S_ISGID
		}
		if mode != e.Mode {
			x.rep.note("setuid or setgid bit", "dropped", x.self.reason, e.Name)
		}
	}
	return mode
}

// noteOwner counts an entry whose owner an ordinary user can't set.
func (x *extractor) noteOwner(e *Entry) {
	if !x.self.chown && (e.UID != x.self.uid || e.GID != x.self.gid) {
		x.rep.note("owner", "not kept", x.self.reason, e.Name)
	}
}

// timeErr turns an error of setting a time into a note, unless it shows that the disk is
// full or failing.
func (x *extractor) timeErr(err error, name []byte) error {
	switch err {
	case nil, unix.EIO, unix.EROFS, unix.ENOSPC, unix.EDQUOT:
		return err
	}
	x.rep.note("time", "not kept", err.Error(), name)
	return nil
}

// An OwnerError means that an owner can't be set.
type OwnerError struct {
	UID, GID uint32
	Err      error // EINVAL: the user namespace does not map the ID; ErrUnmapped: see Root.Copy
}

func (e *OwnerError) Error() string {
	if e.Err == ErrUnmapped {
		return e.Err.Error()
	}
	if e.Err == unix.EINVAL {
		return fmt.Sprintf("owner %d:%d has no mapping in this user namespace", e.UID, e.GID)
	}
	return fmt.Sprintf("set owner %d:%d: %v", e.UID, e.GID, e.Err)
}

func (e *OwnerError) Unwrap() error { return e.Err }
