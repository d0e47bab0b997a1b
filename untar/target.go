package untar

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Target is the place for a new tree, kept so that nobody mistakes one that
// was interrupted for a complete one, and so that the next run on the same path
// finds and removes what a kill or a power cut left.
//
// Every run has an id of 128 random bits. While it goes on, the directory that it
// fills holds a small file, the proof, that is named by the id; an archive can't
// know the name. In it is the number of the run's process, for messages.
//
// Where the directory is absent, the tree grows in a directory beside it,
// ".NAME.partial-ID", which Commit renames. It is locked; the next run removes
// those that nobody has locked and that hold the proof. Where the directory exists
// and is empty, a file beside it, the marker ".NAME.incomplete", says so until
// Commit, with the id; the next run empties a directory that holds the proof of its
// marker, and no other: inode numbers and file system ids are given out again.
// Where the directory holds something else, the archive is merged into that, with
// no such promise.
//
// Who can open a file or a directory can lock it (flock(2)), and so keep others from
// what the lock guards. So only what nobody else can open is locked: the marker,
// of mode 0600, and directories of mode 0700. A directory that exists is neither.
type Target struct {
	root      *Root
	parent    *os.File // the directory of all three names; nil: merged, or no marker could be made
	name      string   // of the directory in parent
	staging   string   // of the directory that Commit renames, "" if none
	renamed   bool     // Commit has done so
	marker    string   // of the marker, "" if none
	markerFD  int      // locked, so that others know that it is in use; -1: none
	proof     string   // of the file in the directory, "" if none
	before    dirState
	taken     bool   // from before.owner, see takeOver
	around    uint32 // mode of the parent before a run closed it to others, or noMode
	merge     bool   // OpenMerge's, into a directory that exists
	empty     bool   // the directory held nothing at the start
	recovered bool
	resumed   bool // an interrupted run's tree is merged into
	stale     string
	path      string
}

// OpenTarget opens or makes the directory at path for a tree that is to be there
// whole or not at all. It empties a directory that such a run left incomplete. In a
// directory that exists it removes the ACLs: the tree's modes are the archive's. The
// error is ErrBusy where another run works on it.
func OpenTarget(path string) (*Target, error) { return openTarget(path, false) }

// OpenMerge does the same for an archive that may be merged into what the directory
// holds. It removes nothing from it.
func OpenMerge(path string) (*Target, error) { return openTarget(path, true) }

func openTarget(path string, merge bool) (*Target, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	t := &Target{path: path, markerFD: -1, around: noMode}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		abs = real
	}
	t.name = filepath.Base(abs)
	parent, perr := os.Open(filepath.Dir(abs))
	if perr == nil {
		t.parent = parent
	}
	t.root, err = OpenRoot(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && t.parent != nil:
		t.empty = true
		err = t.stage()
	case err == nil:
		err = t.take(merge)
	}
	if err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// takeOver makes an empty directory this process's own until the tree is complete: a
// mode does not keep the owner out, who could put something else in the place of
// what is made. The marker has the owner.
func (t *Target) takeOver() error {
	if t.before.owner < 0 {
		return nil
	}
	if err := unix.Fchown(t.root.fd, os.Geteuid(), -1); err != nil {
		return fmt.Errorf("%q belongs to user %d, who could change the tree while it grows: %w", t.path, t.before.owner, err)
	}
	t.taken = true
	empty, err := t.root.IsEmpty()
	if err == nil && !empty {
		err = pathError("fill", t.path, ErrNotEmpty)
	}
	return err
}

// giveBack undoes takeOver.
func (t *Target) giveBack() {
	if t.taken {
		unix.Fchown(t.root.fd, int(t.before.owner), -1)
		t.taken = false
	}
}

// take prepares a directory that exists.
func (t *Target) take(merge bool) (err error) {
	t.merge = merge
	if t.parent != nil && t.name == string(filepath.Separator) {
		t.parent.Close() // a marker would be in the tree itself
		t.parent = nil
	}
	if t.parent == nil {
		t.empty, err = t.root.IsEmpty()
	} else {
		err = t.recover(merge)
	}
	if err != nil || !t.empty {
		return err
	}
	t.before, err = t.root.state()
	if err == nil && t.markerFD >= 0 {
		err = t.writeMarker(merge)
	}
	if err == nil && !merge {
		if err = t.takeOver(); err == nil {
			err = t.root.DropInheritedACLs()
		}
	}
	if err != nil {
		t.giveBack()
		t.unprove()
		t.unmark()
	}
	return err
}

// OpenTargetAt opens an existing directory by its name in parent, as OpenTarget does.
// Another user may own parent: a link of that name is not followed. path is for
// messages. The caller may close parent to others while the tree grows: the marker
// keeps its mode, and when the marker goes, parent has that again.
func OpenTargetAt(parent *os.File, name, path string) (*Target, error) {
	fd, err := openat(int(parent.Fd()), cname(name+"\x00"), dirFlags, 0)
	if err != nil {
		return nil, pathError("open", path, err)
	}
	t := &Target{path: path, name: name, markerFD: -1, around: noMode, root: &Root{fd: fd, path: path}}
	own, err := openat(int(parent.Fd()), cname(".\x00"), dirFlags, 0)
	if err != nil {
		t.Close()
		return nil, pathError("open", parent.Name(), err)
	}
	t.parent = os.NewFile(uintptr(own), parent.Name())
	var st unix.Stat_t
	if err := unix.Fstat(own, &st); err != nil {
		t.Close()
		return nil, pathError("stat", parent.Name(), err)
	}
	t.around = st.Mode & 07777
	if err := t.take(false); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// ErrBusy says that another process fills the same directory.
var ErrBusy = errors.New("another run is filling this directory")

// pathError is a *fs.PathError, made in one place since there are many.
//
//go:noinline
func pathError(op, path string, err error) error {
	return &fs.PathError{Op: op, Path: path, Err: bareError(err)}
}

// bareError drops what a *fs.PathError says besides the cause.
func bareError(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// A BusyError is ErrBusy where the process is known.
type BusyError struct{ PID int }

func (e *BusyError) Error() string { return fmt.Sprintf("%v (process %d)", ErrBusy, e.PID) }
func (e *BusyError) Unwrap() error { return ErrBusy }

// busy says that another run fills the directory, the one with this proof in r.
func (t *Target) busy(r *Root, id string) error {
	err := ErrBusy
	if r.holds(id) {
		if fd, e := openat(r.fd, cname(proofName(id)+"\x00"), unix.O_RDONLY|openFlags|unix.O_NONBLOCK, 0); e == nil {
			text, _ := readFD(fd, t.path, 32)
			unix.Close(fd)
			if pid, e := strconv.Atoi(strings.TrimSpace(string(text))); e == nil && pid > 0 {
				err = &BusyError{pid}
			}
		}
	}
	return pathError("fill", t.path, err)
}

// tryLock takes the lock of what this user alone can open, for a run that works
// there alone; the kernel gives it back when the process ends, however it ends.
// The error is EWOULDBLOCK where another run has it, another one where the file
// system has no locks.
func tryLock(fd int) error {
	for {
		if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != unix.EINTR {
			return err
		}
	}
}

// newID makes a run's id. The runtime seeds this generator from the 16 random
// bytes that the kernel gives every program (AT_RANDOM, getauxval(3)); unlike
// getrandom(2) that never waits, also early in the boot of a small board.
func newID() string { return fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64()) }

func isID(s string) bool { return len(s) == 32 && strings.Trim(s, "0123456789abcdef") == "" }

// proofName is the name of the file that says whose the directory is.
func proofName(id string) string { return ".lxc-pull-" + id }

// prove makes the proof in the directory.
func (t *Target) prove(id string) error {
	name := proofName(id)
	if err := t.sign(name, unix.O_CREAT|unix.O_EXCL); err != nil {
		return pathError("make a file in", t.path, err)
	}
	t.proof, t.root.own = name, append(t.root.own, name)
	return nil
}

// sign writes the number of this process into the proof. It is for messages: a full
// disk will show where it matters.
func (t *Target) sign(name string, flags int) error {
	fd, err := openat(t.root.fd, cname(name+"\x00"), flags|unix.O_WRONLY|openFlags, 0600)
	if err == nil {
		unix.Write(fd, strconv.AppendInt(nil, int64(os.Getpid()), 10))
		unix.Close(fd)
	}
	return err
}

// isOurs reports whether st is of a file that this user made and nobody has
// linked to a place of his choice.
func isOurs(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFREG && st.Uid == uint32(os.Geteuid()) && st.Nlink == 1
}

// holds reports whether a directory has the proof of a run.
func (r *Root) holds(id string) bool {
	var st unix.Stat_t
	return isID(id) && unix.Fstatat(r.fd, proofName(id), &st, unix.AT_SYMLINK_NOFOLLOW) == nil && isOurs(&st)
}

// sweep removes staged directories of this name whose processes are gone. A living
// one's is ErrBusy.
func (t *Target) sweep() error {
	dir := int(t.parent.Fd())
	d, err := newDirReader(dir)
	if err != nil {
		return nil // a directory that may be written and not read
	}
	defer d.close()
	for {
		name, err := d.next()
		if err != nil || name == "" {
			return err
		}
		id, ok := strings.CutPrefix(name, t.stagingName(""))
		if !ok || !isID(id) {
			continue
		}
		if err := t.sweepOne(name, id); err != nil {
			return err
		}
	}
}

func (t *Target) stagingName(id string) string { return "." + t.name + ".partial-" + id }

// sweepOne removes a staged directory that is empty or holds its own proof. The
// kernel refuses to remove a mount point before it looks whether it is empty.
func (t *Target) sweepOne(name, id string) error {
	dir := int(t.parent.Fd())
	if err := removeDir(dir, cname(name+"\x00")); err != unix.ENOTEMPTY && err != unix.EEXIST {
		return nil // removed, mounted, no directory, or not ours to remove
	}
	was := t.stale
	t.stale = filepath.Join(t.parent.Name(), name)
	fd, err := openat(dir, cname(name+"\x00"), dirFlags, 0)
	if err != nil {
		return nil
	}
	stale := &Root{fd: fd, path: name, own: []string{proofName(id)}}
	defer stale.Close()
	if !stale.holds(id) {
		return nil
	}
	switch err := tryLock(fd); err {
	case nil:
	case unix.EWOULDBLOCK:
		return t.busy(stale, id)
	default:
		return nil // no locks here: its process may live
	}
	if err := stale.RemoveContents(); err != nil {
		return err
	}
	// The proof goes last: a sweep that is killed leaves it for the next one.
	if err := stale.removeOwn(proofName(id)); err != nil {
		return err
	}
	if err := removeDir(dir, cname(name+"\x00")); err != nil && err != unix.ENOENT {
		return pathError("remove", name, err)
	}
	t.stale = was
	return nil
}

// stage makes the directory that Commit renames.
func (t *Target) stage() error {
	if t.exists() {
		return pathError("mkdir", t.path, unix.EEXIST) // a link that leads nowhere
	}
	if err := t.sweep(); err != nil {
		return err
	}
	dir := int(t.parent.Fd())
	for range 10 {
		id := newID()
		name := t.stagingName(id)
		if err := unix.Mkdirat(dir, name, 0700); err != nil {
			return pathError("mkdir", t.path, err)
		}
		fd, err := openat(dir, cname(name+"\x00"), dirFlags, 0)
		if err == nil {
			t.root, t.staging = &Root{fd: fd, path: t.path}, name
			if tryLock(fd) == unix.EWOULDBLOCK {
				err = ErrBusy
			} else {
				err = t.root.DropInheritedACLs()
			}
			if err == nil {
				err = t.prove(id)
			}
			if err == nil {
				return nil
			}
			removeDir(dir, cname(name+"\x00"))
			t.root.Close()
			t.root, t.staging = nil, ""
		}
		if !errors.Is(err, unix.ENOENT) && err != ErrBusy {
			return pathError("make a directory at", t.path, err)
		}
		// Another run's sweep came between mkdir and the proof.
	}
	return pathError("fill", t.path, ErrBusy)
}

// exists reports whether something is at the directory's own name.
func (t *Target) exists() bool {
	var st unix.Stat_t
	return unix.Fstatat(int(t.parent.Fd()), t.name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil
}

// leadsTo reports whether a name in dir is the directory or file that fd is.
func leadsTo(dir int, name string, fd int) bool {
	var there, open unix.Stat_t
	return unix.Fstatat(dir, name, &there, unix.AT_SYMLINK_NOFOLLOW) == nil && unix.Fstat(fd, &open) == nil &&
		there.Dev == open.Dev && there.Ino == open.Ino
}

// A dirState is what a run changes of an empty directory before it is filled.
type dirState struct {
	mode        uint32
	owner       int64  // -1: this process's user
	access, def []byte // ACLs as attributes, nil: none
}

func (r *Root) state() (s dirState, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(r.fd, &st); err != nil {
		return s, pathError("stat", r.path, err)
	}
	s = dirState{st.Mode & 07777, int64(st.Uid), readAttr(r.fd, attrACL), readAttr(r.fd, attrDefaultACL)}
	if st.Uid == uint32(os.Geteuid()) {
		s.owner = -1
	}
	return s, nil
}

// restore gives the directory back what it had, where that was changed.
func (r *Root) restore(s dirState) error {
	now, err := r.state()
	for _, a := range []struct {
		name     string
		was, now []byte
	}{{attrACL, s.access, now.access}, {attrDefaultACL, s.def, now.def}} {
		switch {
		case err != nil || bytes.Equal(a.was, a.now):
		case len(a.was) == 0:
			err = unix.Fremovexattr(r.fd, a.name)
		default:
			err = unix.Fsetxattr(r.fd, a.name, a.was, 0)
		}
	}
	if err == nil && (now.mode != s.mode || !bytes.Equal(s.access, now.access)) {
		err = unix.Fchmod(r.fd, s.mode)
	}
	if err == nil && s.owner >= 0 && now.owner != s.owner {
		err = unix.Fchown(r.fd, int(s.owner), -1)
	}
	if err != nil {
		return pathError("restore the permissions of", r.path, err)
	}
	return nil
}

// DropInheritedACLs removes the root directory's ACLs: its own, and the default that
// everything made in it would inherit. A directory is given both by the one in which
// it is made, and a host's user whom they name could read the container's files.
func (r *Root) DropInheritedACLs() error {
	was, err := r.state()
	if err == nil && len(was.def) > 0 {
		err = unix.Fremovexattr(r.fd, attrDefaultACL)
	}
	if err == nil && len(was.access) > 0 {
		// The mode's group bits are the ACL's mask; the group itself may have less.
		if err = unix.Fremovexattr(r.fd, attrACL); err == nil {
			err = unix.Fchmod(r.fd, was.mode&^070|was.mode&(aclGroupPerm(was.access)<<3))
		}
	}
	if err != nil {
		return pathError("remove the ACL of", r.path, err)
	}
	return nil
}

// markerBegin is how every marker begins: what has its name and not this is some
// other file. Behind it are the kind, the id, the directory's mode and ACLs before, the
// mode that the directory around it had, and the directory's owner where that was another
// user: "whole 0123… 755 - - 750 -1".
const markerBegin = "lxc-pull: incomplete: "

const (
	markWhole = "whole" // OpenTarget's
	markMerge = "merge" // OpenMerge's: nobody empties the directory
)

// noMode is no mode.
const noMode = ^uint32(0)

// maxMarker is above what any marker has, in bytes: two ACLs of the most that an
// attribute may hold (XATTR_SIZE_MAX, 64 KiB), in hexadecimal.
const maxMarker = 300 << 10

// A mark is a marker that was read.
type mark struct {
	kind, id string
	before   dirState
	around   uint32
}

func (m mark) text() []byte {
	acl := func(b []byte) string {
		if len(b) == 0 {
			return "-"
		}
		return hex.EncodeToString(b)
	}
	around := "-"
	if m.around != noMode {
		around = strconv.FormatUint(uint64(m.around), 8)
	}
	return fmt.Appendf(nil, "%s%s %s %o %s %s %s %d\n", markerBegin, m.kind, m.id, m.before.mode, acl(m.before.access), acl(m.before.def), around, m.before.owner)
}

// parseMark reads a marker. One that is cut, or of another version, has no id.
func parseMark(text string) mark {
	none := mark{before: dirState{owner: -1}, around: noMode}
	f := strings.Fields(strings.TrimPrefix(text, markerBegin))
	if len(f) != 7 || !strings.HasSuffix(text, "\n") || !isID(f[1]) {
		return none
	}
	mode, err := strconv.ParseUint(f[2], 8, 32)
	owner, err2 := strconv.ParseInt(f[6], 10, 64)
	if err != nil || err2 != nil || owner < -1 || owner > math.MaxUint32 {
		return none
	}
	m := mark{f[0], f[1], dirState{mode: uint32(mode & 07777), owner: owner}, noMode}
	m.before.access, _ = hex.DecodeString(f[3]) // "-" is none
	m.before.def, _ = hex.DecodeString(f[4])
	if f[5] != "-" {
		if mode, err = strconv.ParseUint(f[5], 8, 32); err != nil {
			return none
		}
		m.around = uint32(mode & 07777)
	}
	return m
}

func (t *Target) markerName() string { return "." + t.name + ".incomplete" }

// recover finds out whether the directory is empty. Where a marker and the proof say
// that it holds the rest of an interrupted run it empties it, if both runs are
// for a whole tree. In an empty directory the run has a marker then, locked and still
// to be written.
func (t *Target) recover(merge bool) error {
	fd, made, m, err := t.lockMarker()
	if err != nil {
		return err
	}
	ours := fd >= 0 && t.root.holds(m.id)
	if ours {
		t.root.own = append(t.root.own, proofName(m.id))
	}
	t.empty, err = t.root.IsEmpty()
	if err == nil && !t.empty && ours && !merge && m.kind == markWhole {
		t.recovered, t.empty = true, true
		err = t.root.RemoveContents()
	}
	if fd < 0 {
		return err
	}
	if m.around != noMode && t.parentIsClosed() {
		t.around = m.around
	}
	switch {
	case err == nil && t.empty:
		if ours {
			if err = t.root.restore(m.before); err == nil {
				err = t.root.removeOwn(proofName(m.id))
			}
		}
		t.marker, t.markerFD = t.markerName(), fd
		return err
	case err == nil && ours && merge:
		t.marker, t.markerFD, t.proof, t.resumed = t.markerName(), fd, proofName(m.id), true
		t.sign(t.proof, unix.O_TRUNC)
		return nil
	case made: // another run's tree came to be complete here in the meantime
		unix.Unlinkat(int(t.parent.Fd()), t.markerName(), 0)
	default:
		t.stale = filepath.Join(t.parent.Name(), t.markerName())
	}
	unix.Close(fd)
	return err
}

// openMarker opens the marker, or makes one where there is none and the directory is
// empty. fd is -1 where there is none then.
func (t *Target) openMarker() (fd int, made bool, err error) {
	const flags = unix.O_RDWR | openFlags | unix.O_NONBLOCK
	name := cname(t.markerName() + "\x00")
	for {
		fd, err := openat(int(t.parent.Fd()), name, flags, 0)
		if err != unix.ENOENT {
			return fd, false, nil
		}
		if empty, err := t.root.IsEmpty(); err != nil || !empty {
			return -1, false, err
		}
		fd, err = openat(int(t.parent.Fd()), name, flags|unix.O_CREAT|unix.O_EXCL, 0600)
		if err != unix.EEXIST {
			return fd, true, nil // -1: the directory beside which it would stand isn't ours
		}
	}
}

// lockMarker opens and locks the marker, and reads it. made says that it is new. fd
// is -1 where there is none, or something else, or somebody else's, which must not
// make us remove anything, or where nothing tells whether its run lives.
func (t *Target) lockMarker() (fd int, made bool, m mark, err error) {
	none := mark{before: dirState{owner: -1}, around: noMode}
	for range 10 {
		fd, made, err := t.openMarker()
		if err != nil {
			return -1, false, none, err
		}
		var st unix.Stat_t
		if fd < 0 || unix.Fstat(fd, &st) != nil || !isOurs(&st) {
			// What is made may belong to another user: vfat, NFS with root_squash.
			if made && leadsTo(int(t.parent.Fd()), t.markerName(), fd) {
				unix.Unlinkat(int(t.parent.Fd()), t.markerName(), 0)
			}
			unix.Close(fd)
			return -1, false, none, t.lockDir()
		}
		lock := tryLock(fd)
		if lock == nil && !leadsTo(int(t.parent.Fd()), t.markerName(), fd) {
			unix.Close(fd) // its run has ended just now
			continue
		}
		data, err := readFD(fd, t.markerName(), maxMarker)
		m := parseMark(string(data))
		switch {
		case err != nil || len(data) > 0 && !strings.HasPrefix(string(data), markerBegin):
			err = nil // some other file
		case lock == unix.EWOULDBLOCK && !othersMayLock(fd, &st):
			err = t.busy(t.root, m.id)
		case lock != nil && lock != unix.EWOULDBLOCK && !made: // no locks here: its process may live
			t.stale = filepath.Join(t.parent.Name(), t.markerName())
		default:
			return fd, made, m, nil
		}
		unix.Close(fd)
		return -1, false, none, err
	}
	return -1, false, none, pathError("fill", t.path, ErrBusy)
}

// othersMayLock reports whether others may have opened a file, by the mode that it
// had, and so may have its lock. Where modes can't be set (FAT), that is not known,
// and the lock counts.
func othersMayLock(fd int, st *unix.Stat_t) bool {
	return st.Mode&077 != 0 && unix.Fchmod(fd, 0600) == nil && unix.Fstat(fd, st) == nil && st.Mode&077 == 0
}

// lockDir locks the directory itself, where there can be no marker, if nobody else
// can open it.
func (t *Target) lockDir() error {
	var st unix.Stat_t
	if unix.Fstat(t.root.fd, &st) == nil && st.Uid == uint32(os.Geteuid()) && st.Mode&077 == 0 && tryLock(t.root.fd) == unix.EWOULDBLOCK {
		return t.busy(t.root, "")
	}
	return nil
}

// parentIsClosed reports whether the directory around is closed to others.
func (t *Target) parentIsClosed() bool {
	var st unix.Stat_t
	return unix.Fstat(int(t.parent.Fd()), &st) == nil && st.Mode&07777 == 0700
}

// writeMarker writes the marker, and when it is durable makes the proof: a proof
// without a marker would be in the way of the next run. The directory is empty: a
// marker that is cut here does no harm.
func (t *Target) writeMarker(merge bool) error {
	kind := markWhole
	if merge {
		kind = markMerge
	}
	id, fd := newID(), t.markerFD
	err := unix.Ftruncate(fd, 0)
	if err == nil {
		err = pwriteFull(fd, mark{kind, id, t.before, t.around}.text(), 0)
	}
	if err == nil {
		err = unix.Fsync(fd)
	}
	if err == nil {
		err = t.syncParent()
	}
	if err != nil {
		return pathError("write", t.marker, err)
	}
	return t.prove(id)
}

func (t *Target) unmark() error {
	if t.marker == "" {
		return nil
	}
	dir := int(t.parent.Fd())
	if t.around != noMode && t.parentIsClosed() {
		if err := unix.Fchmod(dir, t.around); err != nil {
			return pathError("chmod", t.parent.Name(), err)
		}
	}
	err := unix.Unlinkat(dir, t.marker, 0)
	if err != nil && err != unix.ENOENT {
		return pathError("remove", t.marker, err)
	}
	t.marker = ""
	return nil
}

// syncParent makes what was done to names durable, where directories can be synced.
func (t *Target) syncParent() error {
	err := t.parent.Sync()
	if errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}

// Root is the directory to extract into.
func (t *Target) Root() *Root { return t.root }

// Path is where that directory is before Commit.
func (t *Target) Path() string {
	if t.staging == "" {
		return t.path
	}
	return filepath.Join(t.parent.Name(), t.staging)
}

// IsEmpty reports whether the directory held nothing at the start, or was emptied
// then.
func (t *Target) IsEmpty() bool { return t.empty }

// Recovered returns the directory's path where it was emptied of an interrupted
// run, else "".
func (t *Target) Recovered() string {
	if t.recovered {
		return t.path
	}
	return ""
}

// Resumed reports whether the directory holds the rest of an interrupted run, which
// OpenMerge leaves there.
func (t *Target) Resumed() bool { return t.resumed }

// IsAt reports whether the directory's name still leads to it.
func (t *Target) IsAt() bool { return leadsTo(int(t.parent.Fd()), t.name, t.root.fd) }

// ParentMode is the mode that the directory around had before this run, or the one
// that was interrupted, closed it to others (OpenTargetAt).
func (t *Target) ParentMode() uint32 { return t.around }

// Stale is the path of a marker or a staged directory that seems to be an
// interrupted run's, and that nothing proves; else "". It is for the user to look
// at and to remove.
func (t *Target) Stale() string { return t.stale }

// Commit makes the tree durable and complete: it syncs, and then removes the
// proof and renames the directory or removes the marker. Whether it fails or not,
// Abort can still remove everything. The error is fs.ErrExist where something
// came to be at the directory's own name.
func (t *Target) Commit() error {
	if err := t.root.Sync(); err != nil {
		return err
	}
	if t.staging != "" {
		if err := t.fixStaging(); err != nil {
			return err
		}
	}
	if err := t.unprove(); err != nil {
		return err
	}
	if t.staging != "" {
		if err := t.rename(); err != nil {
			return err
		}
	}
	if !t.root.named {
		t.giveBack()
	}
	if err := t.unmark(); err != nil {
		return err
	}
	if t.parent == nil {
		return nil
	}
	if err := t.syncRoot(); err != nil {
		return err
	}
	return t.syncParent()
}

// unprove removes the proof, for a power cut before the marker: one file system
// keeps the order, two don't.
func (t *Target) unprove() error {
	if t.proof == "" {
		return nil
	}
	if err := t.root.removeOwn(t.proof); err != nil {
		return err
	}
	t.proof = ""
	var in, beside unix.Stat_t
	if unix.Fstat(t.root.fd, &in) == nil && unix.Fstat(int(t.parent.Fd()), &beside) == nil && in.Dev == beside.Dev {
		return nil
	}
	return t.syncRoot()
}

// syncRoot makes what was done to names in the directory durable.
func (t *Target) syncRoot() error {
	if err := unix.Fsync(t.root.fd); err != nil && err != unix.EINVAL {
		return pathError("fsync", t.path, err)
	}
	return nil
}

// rename gives a staged directory its own name. A plain rename would replace an
// empty directory; renameat2 is not in kernels before 3.15, nor always allowed.
func (t *Target) rename() error {
	dir := int(t.parent.Fd())
	err := error(unix.EEXIST)
	if !t.exists() {
		// Who owns the parent can put another directory in the place of a name.
		if !leadsTo(dir, t.staging, t.root.fd) {
			return pathError("rename", filepath.Join(t.parent.Name(), t.staging), errReplaced)
		}
		err = unix.Renameat(dir, t.staging, dir, t.name)
	}
	if err != nil {
		return pathError("rename", t.path, err)
	}
	t.staging, t.renamed = "", true
	if !leadsTo(dir, t.name, t.root.fd) {
		return pathError("rename", t.path, errReplaced)
	}
	return nil
}

// fixStaging gives a staged directory the mode of a new one where nobody has given
// it another.
func (t *Target) fixStaging() error {
	var st unix.Stat_t
	if t.root.named || unix.Fstat(t.root.fd, &st) == nil && st.Mode&07777 != 0700 {
		return nil
	}
	old := unix.Umask(0)
	unix.Umask(old)
	if err := unix.Fchmod(t.root.fd, 0777&^uint32(old)); err != nil {
		return pathError("chmod", t.path, err)
	}
	return nil
}

// Abort removes what the run made, and nothing else: where the directory held
// something at the start, that and all the rest stays. It returns the path of
// what was emptied or removed, "" for none.
//
// In a directory that OpenMerge found, nobody is kept from putting in something of
// their own, which no one can tell from the archive's: there all of it stays.
func (t *Target) Abort() (string, error) {
	if !t.empty {
		return "", nil
	}
	if t.merge {
		if err := t.unprove(); err != nil {
			return "", err
		}
		return "", t.unmark()
	}
	if err := t.root.RemoveContents(); err != nil {
		return "", err
	}
	if t.staging == "" && !t.renamed {
		if err := t.root.restore(t.before); err != nil {
			return "", err
		}
		t.taken = false
	}
	if err := t.unprove(); err != nil {
		return "", err
	}
	made := t.staging
	if t.renamed {
		made = t.name
	}
	if dir := t.parent; made != "" && leadsTo(int(dir.Fd()), made, t.root.fd) {
		if err := removeDir(int(dir.Fd()), cname(made+"\x00")); err != nil {
			return "", pathError("remove", made, err)
		}
	}
	return t.path, t.unmark()
}

// Keep leaves what there is, under the directory's own name, without a marker.
func (t *Target) Keep() error {
	if err := t.unprove(); err != nil {
		return err
	}
	if t.staging != "" {
		if err := t.rename(); err != nil {
			return err
		}
	}
	return t.unmark()
}

// Close closes the descriptors. Without Commit, Abort or Keep before it a marker
// or a staged directory stays, as after a kill.
func (t *Target) Close() {
	if t.root != nil {
		t.root.Close()
	}
	if t.markerFD >= 0 {
		unix.Close(t.markerFD)
		t.markerFD = -1
	}
	if t.parent != nil {
		t.parent.Close()
		t.parent = nil
	}
}
