package untar

import (
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// markerBegin begins the text of every marker. A file with a marker's name but without
// this text is another program's. Seven fields follow: the kind, the ID, the directory's
// old mode, its access and default ACL, the parent's old mode, and the directory's owner
// if that was another user: "whole 0123… 755 - - 750 -1".
const markerBegin = "lxc-pull: incomplete: "

// Kinds of markers.
const (
	markWhole = "whole" // made by OpenTarget
	markMerge = "merge" // made by OpenMerge: no later run empties the directory
)

// noMode means that a mode is unknown.
const noMode = ^uint32(0)

// maxMarker is the size of the largest possible marker in bytes, rounded up: two ACLs of
// 64 KiB each (XATTR_SIZE_MAX) in hexadecimal.
const maxMarker = 300 << 10

// A mark is the content of a marker.
type mark struct {
	kind, id   string
	dir        dirState
	parentMode uint32
}

// text formats the content of a marker.
func (m mark) text() []byte {
	acl := func(b []byte) string {
		if len(b) == 0 {
			return "-"
		}
		return hex.EncodeToString(b)
	}
	parentMode := "-"
	if m.parentMode != noMode {
		parentMode = strconv.FormatUint(uint64(m.parentMode), 8)
	}
	return fmt.Appendf(nil, "%s%s %s %o %s %s %s %d\n", markerBegin, m.kind, m.id, m.dir.mode, acl(m.dir.access), acl(m.dir.def), parentMode, m.dir.owner)
}

// parseMark parses a marker's content. The result has no ID if the text is cut off or in
// the format of another version.
func parseMark(text string) mark {
	none := mark{dir: dirState{owner: -1}, parentMode: noMode}
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
	m.dir.access, _ = hex.DecodeString(f[3]) // "-": none
	m.dir.def, _ = hex.DecodeString(f[4])
	if f[5] != "-" {
		if mode, err = strconv.ParseUint(f[5], 8, 32); err != nil {
			return none
		}
		m.parentMode = uint32(mode & 07777)
	}
	return m
}

// markerName returns the name that the directory's marker has.
func (t *Target) markerName() string { return "." + t.name + ".incomplete" }

// recover finds out whether the directory is empty. If a marker and a proof show that an
// interrupted run made its content, and both runs are for a whole tree, recover empties
// the directory. For an empty directory it leaves a marker that is locked and that
// writeMarker has yet to write.
func (t *Target) recover(merge bool) error {
	fd, made, m, err := t.lockMarker()
	if err != nil {
		return err
	}
	ours := fd >= 0 && t.root.holds(m.id)
	if ours {
		t.root.own = append(t.root.own, proofName(m.id))
	}
	t.found.empty, err = t.root.IsEmpty()
	if err == nil && !t.found.empty && ours && !merge && m.kind == markWhole {
		t.found.recovered, t.found.empty = true, true
		err = t.root.RemoveContents()
	}
	if fd < 0 {
		return err
	}
	if m.parentMode != noMode && t.parentIsClosed() {
		t.old.parentMode = m.parentMode
	}
	switch {
	case err == nil && t.found.empty:
		if ours {
			if err = t.root.restore(m.dir); err == nil {
				err = t.root.removeOwn(proofName(m.id))
			}
		}
		t.marker = marker{name: t.markerName(), fd: fd}
		return err
	case err == nil && ours && merge:
		t.marker, t.proof, t.found.resumed = marker{name: t.markerName(), fd: fd}, proofName(m.id), true
		t.sign(t.proof, unix.O_TRUNC)
		return nil
	case made: // the directory was empty a moment ago: another run has completed its tree
		unix.Unlinkat(int(t.parent.Fd()), t.markerName(), 0)
	default:
		t.found.stale = filepath.Join(t.parent.Name(), t.markerName())
	}
	unix.Close(fd)
	return err
}

// openMarker opens the marker. If there is none and the directory is empty, it makes one.
// fd is -1 if there is no marker afterwards.
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
			return fd, true, nil // -1: the caller may not write to the parent
		}
	}
}

// lockMarker opens, locks and reads the marker; made says that it is new. fd is -1 if
// there is no marker, if the file is not a marker or belongs to another user, who must not
// make us remove files, or if locks don't work and the marker's run may still be alive.
func (t *Target) lockMarker() (fd int, made bool, m mark, err error) {
	none := mark{dir: dirState{owner: -1}, parentMode: noMode}
	for range 10 {
		fd, made, err := t.openMarker()
		if err != nil {
			return -1, false, none, err
		}
		var st unix.Stat_t
		if fd < 0 || unix.Fstat(fd, &st) != nil || !isOurs(&st) {
			// On some file systems (vfat, NFS with root_squash) new files belong to
			// another user.
			if made && leadsTo(int(t.parent.Fd()), t.markerName(), fd) {
				unix.Unlinkat(int(t.parent.Fd()), t.markerName(), 0)
			}
			unix.Close(fd)
			return -1, false, none, t.lockDir()
		}
		lock := tryLock(fd)
		if lock == nil && !leadsTo(int(t.parent.Fd()), t.markerName(), fd) {
			unix.Close(fd) // its run has just ended and removed it
			continue
		}
		data, err := readFD(fd, t.markerName(), maxMarker)
		m := parseMark(string(data))
		switch {
		case err != nil || len(data) > 0 && !strings.HasPrefix(string(data), markerBegin):
			err = nil // another program's file
		case lock == unix.EWOULDBLOCK && !othersMayLock(fd, &st):
			err = t.busy(t.root, m.id)
		case lock != nil && lock != unix.EWOULDBLOCK && !made: // no locks here: the other process may be running
			t.found.stale = filepath.Join(t.parent.Name(), t.markerName())
		default:
			return fd, made, m, nil
		}
		unix.Close(fd)
		return -1, false, none, err
	}
	return -1, false, none, pathError("fill", t.path, ErrBusy)
}

// othersMayLock reports whether another user may hold the lock of a file, because its mode
// let others open it. It sets the mode to 0600. On a file system without modes (FAT) it
// returns false, so the lock counts.
func othersMayLock(fd int, st *unix.Stat_t) bool {
	return st.Mode&077 != 0 && unix.Fchmod(fd, 0600) == nil && unix.Fstat(fd, st) == nil && st.Mode&077 == 0
}

// lockDir locks the directory itself if it can have no marker, and if no other user can
// open it.
func (t *Target) lockDir() error {
	var st unix.Stat_t
	if unix.Fstat(t.root.fd, &st) == nil && st.Uid == uint32(os.Geteuid()) && st.Mode&077 == 0 && tryLock(t.root.fd) == unix.EWOULDBLOCK {
		return t.busy(t.root, "")
	}
	return nil
}

// parentIsClosed reports whether only its owner can use the parent directory.
func (t *Target) parentIsClosed() bool {
	var st unix.Stat_t
	return unix.Fstat(int(t.parent.Fd()), &st) == nil && st.Mode&07777 == 0700
}

// writeMarker writes the marker, makes it durable, and then makes the proof: a proof
// without a marker would make the next run refuse the directory. Since the directory is
// empty at this point, a marker that is cut off by a kill does no harm.
func (t *Target) writeMarker(merge bool) error {
	kind := markWhole
	if merge {
		kind = markMerge
	}
	id, fd := newID(), t.marker.fd
	err := unix.Ftruncate(fd, 0)
	if err == nil {
		err = pwriteFull(fd, mark{kind, id, t.old.dir, t.old.parentMode}.text(), 0)
	}
	if err == nil {
		err = unix.Fsync(fd)
	}
	if err == nil {
		err = t.syncParent()
	}
	if err != nil {
		return pathError("write", t.marker.name, err)
	}
	return t.prove(id)
}

// unmark restores the parent's mode and removes the marker.
func (t *Target) unmark() error {
	if t.marker.name == "" {
		return nil
	}
	dir := int(t.parent.Fd())
	if t.old.parentMode != noMode && t.parentIsClosed() {
		if err := unix.Fchmod(dir, t.old.parentMode); err != nil {
			return pathError("chmod", t.parent.Name(), err)
		}
	}
	err := unix.Unlinkat(dir, t.marker.name, 0)
	if err != nil && err != unix.ENOENT {
		return pathError("remove", t.marker.name, err)
	}
	t.marker.name = ""
	return nil
}
